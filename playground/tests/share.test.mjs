// What is taken elsewhere is the same there: by a link, by a file, by the command.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

import { address, onPage } from './browser.mjs';
import { drop, replayed, said, THE_END, worldOf } from './world.mjs';

/** What is done, and when; each at the moment to which the former has led. */
const DONE = [
    [900.5, { 'add-process': {} }],
    [1_200, [{ edit: { process: 0, group: 'web' } }, { edit: { process: 1, group: 'web' } }]],
    [2_345.678, { cut: { process: 1, member: 0, way: 'down' } }],
    [4_000, { 'put-key': { key: '/portolan/instances/web/ä #%&+"<b>', value: '\u{1f980}', lease_secs: null } }],
    [6_000, { mend: {} }],
];

for (const scenario of ['crash', 'naive-lease-revoked', 'first-visit']) {
    onPage(`a link to ${scenario} leads to the same moment`, async ({ page, context }) => {
        const world = worldOf(page);
        await world.load({ scenario });
        for (const [ms, action] of DONE) {
            await world.advanceTo(ms);
            await world.act(action);
        }
        // From the middle of what was done: what came later goes along.
        const here = await world.advanceTo(2_500.125);
        await page.getByTestId('share').click();
        const link = await page.getByTestId('share-link').inputValue();
        assert.equal(link, page.url());
        assert.ok(link.startsWith(`${address}#`), link);
        const other = await context.newPage();
        await other.goto(link);
        const there = worldOf(other);
        await there.ready();
        await there.until(here.now_ms);
        assert.deepEqual(await there.view(), here);
        assert.deepEqual(await there.view('beside'), await world.view('beside'));
        assert.equal(await there.export(), await world.export());
        assert.equal(await there.trace(), await world.trace());
        for (const ms of [7_000, 0, 100_000]) {
            assert.deepEqual(await there.advanceTo(ms), await world.advanceTo(ms), `${ms}`);
        }
        // Whoever follows it in a page that is open is led there too.
        await other.evaluate(() => { location.hash = ''; });
        await there.load({ scenario: 'restart' });
        await other.evaluate((hash) => { location.hash = hash; }, new URL(link).hash);
        await there.until(here.now_ms);
        assert.deepEqual(await there.view(), here);
    });
}

onPage('an export comes back, by the chooser, by dropping, and in the command', async ({ page }) => {
    const world = worldOf(page);
    await world.load({ scenario: 'restart' });
    for (const [ms, action] of DONE) {
        await world.advanceTo(ms);
        await world.act(action);
    }
    const downloading = page.waitForEvent('download');
    await page.getByTestId('export').click();
    const download = await downloading;
    assert.equal(download.suggestedFilename(), 'restart.json');
    assert.match(await said(page), /portolan sim replay restart\.json/);
    const text = await readFile(await download.path(), 'utf8');
    assert.equal(text, await world.export());
    const steps = JSON.parse(text).steps;
    for (const name of ['add-process', 'update', 'cut', 'put-key', 'mend']) {
        assert.ok(steps.some((step) => Object.keys(step.do)[0] === name), name);
    }
    const end = await world.advanceTo(THE_END);
    const trace = await world.trace();
    assert.equal(trace, (await replayed(text)).trace);

    for (const bring of [
        async (file) => {
            const choosing = page.waitForEvent('filechooser');
            await page.getByTestId('import').click();
            await (await choosing).setFiles(file);
        },
        (file) => page.getByTestId('import-file').setInputFiles(file),
        (file) => drop(page, file),
    ]) {
        await world.load({ scenario: 'crash' });
        await world.advanceTo(1_500);
        await bring({ name: 'mine.json', mimeType: 'application/json', buffer: Buffer.from(text) });
        await world.until(0);
        assert.equal(await page.locator('#scenario-name').textContent(), 'mine.json');
        assert.equal(await world.export(), text);
        assert.deepEqual(await world.advanceTo(THE_END), end);
        assert.equal(await world.trace(), trace);
    }
});
