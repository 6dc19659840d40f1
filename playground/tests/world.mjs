// What the tests of the page ask of it, besides what `browser.mjs` gives: its world, by
// `window.portolan`, and the command, which says what the same plan does there.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { needed } from './browser.mjs';

const run = promisify(execFile);

/** Later than any plan's end. */
export const THE_END = 1e10;

/** The page's world for programs: what `api.mjs` says, from here. */
export function worldOf(page) {
    const ask = (name, ...values) =>
        page.evaluate(([name, values]) => portolan.ready.then(() => portolan[name](...values)), [name, values]);
    return {
        ready: () => page.evaluate(() => portolan.ready),
        load: (plan) => ask('load', plan),
        advanceTo: (ms) => ask('advanceTo', ms),
        step: () => ask('step'),
        view: (side) => ask('view', ...(side ? [side] : [])),
        trace: () => ask('trace'),
        checks: (side) => ask('checks', ...(side ? [side] : [])),
        act: (action) => ask('act', action),
        export: () => ask('export'),
        /** The plan as an object. */
        plan: async () => JSON.parse(await ask('export')),
        now: async () => (await ask('view')).now_ms,
        /** Waits until the moment that is shown is one of these. */
        until: (from, to = from) =>
            page.waitForFunction(([from, to]) => {
                const { now_ms } = portolan.view();
                return from <= now_ms && now_ms <= to;
            }, [from, to]),
    };
}

/** What `portolan sim replay --trace` says of a plan's text: its lines without the last, and whether all held. */
export async function replayed(plan) {
    const folder = await mkdtemp(join(tmpdir(), 'portolan-'));
    try {
        const path = join(folder, 'plan.json');
        await writeFile(path, plan);
        return await replayedNamed(path);
    } finally {
        await rm(folder, { recursive: true });
    }
}

/** The same for a plan that the command finds: by its name, its seed, or its path. */
export async function replayedNamed(plan) {
    const command = needed('PORTOLAN_COMMAND');
    const options = { maxBuffer: 1 << 30 };
    const said = await run(command, ['sim', 'replay', plan, '--trace'], options).catch((error) => {
        // 1: something did not hold; all else is no run.
        if (error.code !== 1) throw error;
        return error;
    });
    const end = said.stdout.trimEnd().lastIndexOf('\n') + 1;
    return {
        trace: said.stdout.slice(0, end),
        entries: Number(/^(\d+) entries, hash/.exec(said.stdout.slice(end))[1]),
        held: said.code === undefined,
        told: said.stderr,
    };
}

/** Presses a key, where the focus is. */
export const press = (page, key) => page.keyboard.press(key);

/** Drops a file on the page, as one does who drags it there: `{ name, mimeType, buffer }`. */
export async function drop(page, { name, mimeType, buffer }) {
    const data = await page.evaluateHandle(async ([name, type, base64]) => {
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], name, { type }));
        return data;
    }, [name, mimeType, buffer.toString('base64')]);
    await page.dispatchEvent('main', 'dragenter', { dataTransfer: data });
    if (!(await page.locator('#drop').isVisible())) throw new Error('nothing says that a file may be dropped');
    await page.dispatchEvent('main', 'dragover', { dataTransfer: data });
    await page.dispatchEvent('main', 'drop', { dataTransfer: data });
    if (await page.locator('#drop').isVisible()) throw new Error('the place to drop a file stays');
}

/** What the page has said last. */
export const said = (page) => page.getByTestId('notices').locator('.notice p').last().textContent();

/** A world in which there is something of each kind from 1 s on; a crash and a restart at 1.5 s. */
export const WORLD = {
    version: 1,
    seed: 1,
    world: { processes: 3, members: 3, users: true },
    lasts_ms: 20_000,
    steps: [
        { at_ms: 0, do: { register: { process: 0, id: 1, group: 'web', instance: 'a' } } },
        { at_ms: 0, do: { register: { process: 1, id: 1, group: 'web', instance: 'b' } } },
        { at_ms: 0, do: { open: { process: 2, id: 1, scope: { instances: 'web' } } } },
        { at_ms: 1_500, do: { crash: { process: 1 } } },
        { at_ms: 1_500, do: { restart: { process: 1 } } },
    ],
};
