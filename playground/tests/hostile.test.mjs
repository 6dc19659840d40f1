// What comes from strangers: a link or a file that cannot be read changes nothing and is explained in
// plain words; text is text, whatever stands in it; and where the simulator breaks, the page does not.
import assert from 'node:assert/strict';

import { onPage } from './browser.mjs';
import { drop, said, worldOf } from './world.mjs';

/** Without a slash: of a key its last part is shown. */
const MARKUP = '<img src=x onerror="window.ran=1"><svg onload=window.ran=1><script>window.ran=1';

/** Of each: what stands after `#`, and what the explanation has in it. */
const LINKS = {
    garbage: ['garbage', /link cannot be read/],
    'half of an escape': ['%E4%ZZ%', /link cannot be read/],
    'a NUL and a lone surrogate': ['%00%ED%A0%80', /link cannot be read/],
    'an empty object': [{}, /link cannot be read/],
    'a list': [[[[[]]]], /link cannot be read/],
    'a number': ['7', /link cannot be read/],
    'deeper than a stack': ['['.repeat(200_000), /link cannot be read/],
    'nothing of what it shall have': [{ of: { nobody: 'crash' } }, /link cannot be read/],
    'no such scenario': [{ of: { scenario: MARKUP } }, /onerror/],
    'no seed': [{ of: { drawn: { seed: '-1', mix: 'full' } } }, /link cannot be read/],
    'no mix': [{ of: { drawn: { seed: '1', mix: 'constructor' } } }, /link cannot be read/],
    'wrong types': [{ of: { scenario: 'crash' }, steps: 'none', lasts_ms: 'x', at_nanos: {} }, /link cannot be read/],
    'too late a moment': [{ of: { scenario: 'crash' }, at_nanos: 2 ** 63 }, /link cannot be read/],
    'no moment': [{ of: { scenario: 'crash' }, at_nanos: -1 }, /link cannot be read/],
    'a step of nobody': [
        { of: { scenario: 'crash' }, steps: [{ at_ms: 1, do: { crash: { process: 4000 } } }] }, /link cannot be read/,
    ],
    'a plan that is none': [{ of: { plan: '{"version": 99}' } }, /link cannot be read/],
    huge: ['a'.repeat(1_500_000), /link cannot be read/],
};

onPage('a link that cannot be read changes nothing', async ({ page }) => {
    const world = worldOf(page);
    const before = await begun(world);
    for (const [name, [content, words]] of Object.entries(LINKS)) {
        const fragment = typeof content === 'string' ? content : encodeURIComponent(JSON.stringify(content));
        await page.evaluate(() => document.querySelectorAll('.notice button').forEach((button) => button.click()));
        await page.evaluate((fragment) => { location.hash = fragment; }, fragment);
        await page.getByTestId('notices').getByText('link cannot be read').waitFor({ timeout: 5_000 })
            .catch(() => assert.fail(`${name}: nothing is said`));
        const told = await said(page);
        assert.match(told, words, name);
        plain(told, name);
        assert.deepEqual(await state(world), before, name);
        await clean(page, name);
    }
    // A good one works as ever.
    await page.evaluate(() => { location.hash = encodeURIComponent('{"of":{"scenario":"crash"},"at_nanos":1500000000}'); });
    await world.until(1_500);
});

onPage('who comes by a link that cannot be read is shown the beginning', { path: '#%7Bbroken' }, async ({ page }) => {
    const world = worldOf(page);
    await world.ready();
    assert.match(await said(page), /link cannot be read/);
    assert.equal(await world.now(), 0);
    assert.match(await page.locator('#scenario-name').textContent(), /First visit/i);
});

onPage('a link to a moment that takes minutes to come to holds up nobody', async ({ page }) => {
    const world = worldOf(page);
    const hour = 3_600_000;
    const steps = Array.from({ length: 60 }, (_, process) => ({ at_ms: 0, do: { open: { process, id: 1, scope: { instances: 'web' } } } }));
    const plan = JSON.stringify({ version: 1, seed: 1, world: { processes: 60 }, steps });
    const fragment = encodeURIComponent(JSON.stringify({ of: { plan }, lasts_ms: hour, at_nanos: hour * 1e6 }));
    await page.evaluate((fragment) => { location.hash = fragment; }, fragment);
    // It is on its way, and whoever has seen enough stops it.
    await page.locator('#scenario-name', { hasText: 'A shared moment' }).waitFor();
    await world.until(1, hour - 1);
    await page.getByTestId('play').click();
    await page.getByTestId('play').click();
    const stopped = await world.now();
    assert.ok(stopped < hour, `${stopped}`);
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    assert.equal(await world.now(), stopped);
});

const crash = (more) => JSON.stringify({ version: 1, seed: 0, world: { processes: 2 }, steps: [], ...more });
const FILES = {
    'empty.json': '',
    'binary.json': Buffer.from(Array.from({ length: 4096 }, (_, n) => (n * 7919) % 256)),
    'page.html': '<!doctype html><script>window.ran=1</script>',
    'large.json': Buffer.alloc(17 << 20, ' '),
    'half.json': crash({}).slice(0, -3),
    'null.json': 'null',
    'version.json': crash({ version: 2 }),
    'unknown.json': crash({ evil: true }),
    'nobody.json': crash({ world: { processes: 0 } }),
    'many.json': crash({ world: { processes: 65_535 } }),
    'steps.json': crash({ steps: [{ at_ms: 1, do: { [MARKUP]: {} } }] }),
    'late.json': crash({ lasts_ms: 1e15 }),
    'deep.json': '{"version":'.repeat(50_000),
    [`${MARKUP}.json`]: 'markup',
};

onPage('a file that cannot be read changes nothing', async ({ page }) => {
    const world = worldOf(page);
    const before = await begun(world);
    let way = 0;
    for (const [name, content] of Object.entries(FILES)) {
        const file = { name, mimeType: 'application/json', buffer: Buffer.from(content) };
        await page.evaluate(() => document.querySelectorAll('.notice button').forEach((button) => button.click()));
        if (way++ % 2 === 0 || file.buffer.length > 1 << 20) await page.getByTestId('import-file').setInputFiles(file);
        else await drop(page, file);
        await page.locator('.notice.bad').waitFor({ timeout: 5_000 }).catch(() => assert.fail(`${name}: nothing is said`));
        const told = await said(page);
        assert.ok(told.startsWith(name.slice(0, 80)), `${name}: ${told}`);
        plain(told, name);
        assert.deepEqual(await state(world), before, name);
        await clean(page, name);
    }
    assert.match(await page.getByTestId('notices').textContent(), /onerror/);
});

onPage('what stands in a file is shown as text', async ({ page }) => {
    const world = worldOf(page);
    const below = (name) => `/portolan/instances/web/${name}`;
    const plan = crash({
        about: MARKUP,
        steps: [
            { at_ms: 0, do: { open: { process: 1, id: 1, scope: { instances: 'web' } } } },
            { at_ms: 0, do: { register: { process: 0, id: 1, group: 'web', instance: 'a' } } },
            { at_ms: 100, do: { 'put-key': { key: below(MARKUP), value: MARKUP, lease_secs: 60 } } },
            { at_ms: 100, do: { 'put-key': { key: below('<img src=x onerror=ran=1>'), value: '{"v":1}', lease_secs: null } } },
            { at_ms: 100, do: { 'put-key': { key: below('b'), value: JSON.stringify({ v: 1, state: MARKUP }), lease_secs: null } } },
            { at_ms: 100, do: { 'put-key': { key: MARKUP, value: '', lease_secs: null } } },
        ],
    });
    await world.ready();
    await drop(page, { name: `${MARKUP}.json`, mimeType: 'text/html', buffer: Buffer.from(plan) });
    await page.getByText(MARKUP.slice(0, 30)).first().waitFor();
    await world.advanceTo(1_000);
    assert.ok((await page.getByTestId('guide-title').textContent()).startsWith('<img'), 'the title');
    assert.match(await page.locator('#pane-guide').textContent(), /onerror="window.ran=1"/);
    // The stage, each thing in the inspector, its menu, the lists of actions, the trace.
    await page.getByTestId('stage-main').getByText('<script>').first().waitFor();
    for (const what of ['key', 'believed', 'directory', 'registration', 'store']) {
        for (const node of await page.getByTestId('stage-main').getByTestId(what).all()) {
            await node.click();
            await clean(page, what);
        }
    }
    await page.getByTestId('key').filter({ hasText: 'onerror' }).first().click({ button: 'right' });
    assert.match(await page.getByTestId('menu').textContent(), /<script>/);
    await page.keyboard.press('Escape');
    assert.match(await page.getByTestId('inspect-title').textContent(), /<script>/);
    await page.getByTestId('tab-trace').click();
    await page.getByTestId('trace').getByText('onerror').first().waitFor();
    await page.getByTestId('actions').click();
    await page.getByTestId('action-delete-key').click();
    assert.match(await page.getByTestId('field-key').textContent(), /onerror/);
    await page.getByTestId('actions-close').click();
    // What the page itself is given to do, too.
    for (const action of [MARKUP, { [MARKUP]: {} }, { register: { process: 0, group: MARKUP, instance: 'x' } }]) {
        await assert.rejects(world.act(action));
    }
    await clean(page, 'all of it');
});

for (const [name, request] of [
    ['playing', async (page) => page.getByTestId('play').click()],
    ['a step', async (page) => page.getByTestId('step').click()],
]) {
    onPage(`when the simulator breaks in ${name}, the page says what to report`, async ({ page }) => {
        const world = worldOf(page);
        await world.load({ scenario: 'crash' });
        await world.advanceTo(500);
        await world.act({ crash: { process: 1 } });
        const plan = await world.export();
        await page.evaluate(async () => {
            const { Playground } = await import(new URL('portolan.mjs', document.baseURI));
            for (const name of ['advance', 'step']) {
                Playground.prototype[name] = () => { throw new WebAssembly.RuntimeError('unreachable'); };
            }
        });
        await request(page);
        const panel = page.getByTestId('panic');
        await panel.waitFor();
        const report = await page.getByTestId('panic-report').inputValue();
        assert.match(report, /^portolan playground \d+\.\d+\.\d+\npanic: .+\nasked: (advance|step)/);
        assert.ok(report.includes(plan), 'the plan is in the report');
        assert.match(await page.getByTestId('panic-message').textContent(), /unreachable/);
        await page.getByTestId('panic-copy').click();
        await panel.getByText(/Copied|Copy it by hand/).waitFor();
        await page.getByTestId('panic-close').click();
        await panel.waitFor({ state: 'hidden' });
        // The rest of the page answers, and asks the broken one nothing more.
        await page.getByTestId('help').click();
        await page.getByTestId('help-close').click();
        await page.getByTestId('tab-inspect').click();
        assert.ok(await page.locator('#pane-inspect').isVisible());
        await page.getByTestId('theme').click();
        for (const control of ['play', 'step', 'to-start', 'mend']) await page.getByTestId(control).click();
        assert.equal(await page.getByTestId('play').getAttribute('aria-pressed'), 'false');
    });
}

/** A world to which something was done, in the middle of its run. */
async function begun(world) {
    await world.load({ scenario: 'restart' });
    await world.advanceTo(900.5);
    await world.act({ edit: { process: 1, group: 'web' } });
    await world.advanceTo(1_234.5);
    return state(world);
}

const state = async (world) => ({ view: await world.view(), plan: await world.export(), trace: await world.trace() });

/** Plain words: a sentence that is not as long as what it is of, and no program's talk. */
function plain(told, name) {
    assert.ok(told.length > 20 && told.length < 600, `${name}: ${told.length} letters: ${told.slice(0, 300)}`);
    assert.doesNotMatch(told, /panick|unreachable|undefined|\[object|RuntimeError|TypeError|src\/.*\.rs/, name);
}

/** Nothing of a stranger's has become a part of the page, or run. */
async function clean(page, name) {
    const found = await page.evaluate(() => ({
        ran: window.ran,
        parts: [...document.querySelectorAll('img:not([src="icon.svg"]), script:not([src="main.mjs"]), iframe, object, embed, [onerror], [onload]')]
            .map((node) => node.outerHTML),
    }));
    assert.deepEqual(found, { ran: undefined, parts: [] }, name);
}
