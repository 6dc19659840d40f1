// The built page in a browser, for the tests beside this file. `.ci/test.sh page` serves the page and
// says where, in PORTOLAN_PLAYGROUND; PORTOLAN_BROWSER is the folder that has the driver and axe.
//
//     import { onPage } from './browser.mjs';
//
//     onPage('it has a title', async ({ page }) => {
//         assert.match(await page.title(), /Portolan/);
//     });
//
// Each test has a page of its own, opened and loaded. It fails if the page says anything to the console,
// throws, asks anybody but its own server, or is refused anything. Nothing sleeps: what takes time is
// waited for, by `page.waitForFunction` and the like, for as long as PATIENCE at most.
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, test } from 'node:test';
import assert from 'node:assert/strict';

/** Where the page is, with a slash at the end. */
export const address = needed('PORTOLAN_PLAYGROUND');

/** How long any one thing may take, in milliseconds: long for a busy machine, short for who waits. */
export const PATIENCE = 10_000;

const installed = createRequire(join(needed('PORTOLAN_BROWSER'), 'node_modules', 'any.js'));
const { chromium } = installed('playwright-core');

/**
 * A test on a page of its own. `body` is given `{ page, context, asked, complaints, t }`: Playwright's page
 * and context, the addresses asked for so far, what was wrong so far, and the test's own context.
 *
 * Options: `path` (to open, default ''; false: nothing is opened), `viewport`, `colorScheme`,
 * `reducedMotion` (default 'reduce') and all else that Playwright's `newContext` takes; `mayComplain`: the
 * test looks at `complaints` itself; `timeout`: of the whole test, in milliseconds.
 */
export function onPage(name, options, body) {
    if (body === undefined) return onPage(name, {}, options);
    const { path = '', mayComplain = false, timeout = 6 * PATIENCE, ...rest } = options;
    test(name, { timeout }, async (t) => {
        const context = await (await browser()).newContext({ reducedMotion: 'reduce', ...rest });
        try {
            context.setDefaultTimeout(PATIENCE);
            const { asked, complaints } = listen(context);
            const page = await context.newPage();
            if (path !== false) await page.goto(new URL(path, address).href, { waitUntil: 'load' });
            try {
                await body({ page, context, asked, complaints, t });
            } catch (error) {
                await picture(page, name);
                // What the page said is often why.
                if (complaints.length > 0) error.message += `\nthe page: ${complaints.join('\n')}`;
                throw error;
            }
            if (!mayComplain) assert.deepEqual(complaints, [], 'the page complains');
        } finally {
            await context.close();
        }
    });
}

/** What axe finds serious or critical, a line each; of the whole page, or of what a selector names. */
export async function barriers(page, selector) {
    if (!(await page.evaluate('typeof axe === "object"'))) {
        // The driver's own evaluation: the page's policy keeps scripts of others out, and this one in.
        await page.evaluate(await readFile(installed.resolve('axe-core/axe.min.js'), 'utf8'));
    }
    const found = await page.evaluate(
        // `preload` would fetch style sheets again.
        (within) => axe.run(within ?? document, { preload: false, resultTypes: ['violations'] }),
        selector,
    );
    return found.violations
        .filter(({ impact }) => ['serious', 'critical'].includes(impact))
        .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.target).join(', ')}`);
}

let launched;

/** One for all tests of a file, from the first that wants it. */
function browser() {
    launched ??= chromium.launch({
        executablePath: process.env.PORTOLAN_CHROMIUM ?? '/usr/bin/chromium',
        // Root has no sandbox; the others keep it from asking its maker's servers.
        args: [
            '--no-sandbox',
            '--disable-gpu',
            '--disable-quic',
            '--no-first-run',
            '--disable-background-networking',
            '--disable-component-update',
            '--disable-sync',
        ],
    });
    return launched;
}

after(async () => (await launched)?.close());

/** What pages of a context ask for, and what goes wrong in them. */
function listen(context) {
    const asked = [];
    const complaints = [];
    const home = new URL(address).origin;
    context.on('console', (said) => complaints.push(`console.${said.type()}: ${said.text()}`));
    context.on('weberror', (thrown) => complaints.push(`thrown: ${thrown.error().stack}`));
    context.on('request', (request) => {
        const url = request.url();
        asked.push(url);
        const ours = url.startsWith(`${home}/`) || url.startsWith('data:') || url.startsWith(`blob:${home}/`);
        if (!ours) complaints.push(`asked elsewhere: ${url}`);
    });
    context.on('requestfailed', (request) => {
        complaints.push(`failed: ${request.url()}: ${request.failure()?.errorText}`);
    });
    context.on('response', (response) => {
        if (response.status() >= 400) complaints.push(`${response.status()}: ${response.url()}`);
    });
    return { asked, complaints };
}

/** What was to be seen when a test failed, in the folder PORTOLAN_PICTURES. */
async function picture(page, name) {
    const folder = process.env.PORTOLAN_PICTURES;
    if (folder === undefined) return;
    const path = join(folder, `${name.replace(/[^a-z0-9]+/gi, '-')}.png`);
    try {
        await mkdir(folder, { recursive: true });
        await page.screenshot({ path });
        console.log(`a picture of it: ${path}`);
    } catch (error) {
        console.log(`no picture of it: ${error.message}`);
    }
}

/** What the environment says; `.ci/test.sh page` sets it. */
export function needed(name) {
    const value = process.env[name];
    if (value === undefined) throw new Error(`${name} is not set: run .ci/test.sh page`);
    return value;
}
