// Side by side: where a naive client loses, the page says what, and Portolan loses nothing.
import assert from 'node:assert/strict';

import { onPage } from './browser.mjs';
import { replayedNamed, THE_END, worldOf } from './world.mjs';

onPage('each scenario that promises a loss shows it', { timeout: 120_000 }, async ({ page, t }) => {
    const world = worldOf(page);
    await world.ready();
    const scenarios = await losing(page);
    assert.ok(scenarios.length >= 11, `${scenarios.length}`);
    assert.ok(scenarios.some(({ name }) => !name.startsWith('naive-')), 'one of ours is worth it too');
    for (const { name, naive } of scenarios) {
        await world.load({ scenario: name });
        if (!name.startsWith('naive-')) {
            assert.equal((await world.view()).beside, null, name);
            await page.getByTestId('beside').selectOption(naive);
        }
        const verdict = page.getByTestId('verdict');
        assert.equal((await world.view()).beside.fleet, naive, name);
        assert.ok(await verdict.isVisible(), name);
        assert.match(await verdict.textContent(), /lost nothing so far/, name);

        const end = await world.advanceTo(THE_END);
        // Ours: nothing lost, nothing believed that is not so.
        assert.deepEqual([end.end.why, end.checks.violations, end.differs], ['rest', 0, 0], name);
        assert.ok((await world.checks()).held, name);
        assert.equal(await page.getByTestId('stage-main').getByTestId('difference').count(), 0, name);
        // Theirs: the line says so.
        const words = await page.getByTestId('verdict-words').textContent();
        assert.equal(words, end.beside.words, name);
        assert.doesNotMatch(words, /lost nothing/, name);
        assert.equal(await verdict.getAttribute('data-losing') !== null, end.beside.lost.length + end.beside.differs > 0, name);
        const theirs = await world.view('beside');
        const shown = theirs.processes.flatMap((process) => process.directories.flatMap((directory) => directory.rows))
            .filter((row) => row.difference !== null);
        const differences = page.getByTestId('stage-beside').getByTestId('difference');
        assert.equal(await differences.count(), shown.length, name);
        for (const [n, row] of shown.entries()) assert.match(await differences.nth(n).textContent(), new RegExp(`^${row.name}`), name);
        // And the command says it in the same words, if it says that something does not hold.
        if (!name.startsWith('naive-')) continue;
        const { held, told } = await replayedNamed(name);
        assert.equal(held, end.beside.lost.length === 0, name);
        if (!held) assert.ok(told.includes(end.beside.lost[0].words), `${name}: ${told}`);
        t.diagnostic(`${name}: ${words}`);
    }
});

onPage('by playing too, each loss is shown, and each play ends', { timeout: 120_000 }, async ({ page }) => {
    const world = worldOf(page);
    await world.ready();
    await page.getByTestId('slow').uncheck();
    await page.getByTestId('speed').fill('12');
    for (const { name, naive } of await losing(page)) {
        await world.load({ scenario: name });
        if (!name.startsWith('naive-')) await page.getByTestId('beside').selectOption(naive);
        await page.getByTestId('play').click();
        const words = page.getByTestId('verdict-words').filter({ hasNotText: 'lost nothing so far' });
        await words.waitFor().catch(() => assert.fail(`${name}: played, and nothing is said of a loss`));
        await page.locator('#play[aria-pressed=false]').waitFor().catch(() => assert.fail(`${name}: it plays for ever`));
        assert.notEqual((await world.view()).end, null, name);
    }
});

onPage('a loss leads to its moment, and the other side can be taken away', async ({ page }) => {
    const world = worldOf(page);
    await world.load({ scenario: 'naive-stranger-deletes' });
    const { beside } = await world.advanceTo(THE_END);
    const lost = page.getByTestId('to-loss').first();
    await lost.click();
    await world.until(Math.floor(beside.lost[0].at_ms), Math.ceil(beside.lost[0].at_ms));
    assert.match((await world.view()).beside.words, /lost/);
    const shown = ['stage-main', 'stage-beside'].map((id) => page.getByTestId(id));
    for (const stage of shown) assert.ok(await stage.isVisible());
    await page.getByTestId('beside').selectOption('');
    assert.equal((await world.view()).beside, null);
    assert.equal(await shown[1].count(), 0);
    assert.ok(!(await page.getByTestId('verdict').isVisible()));
    // Both in step: what one does happens on both sides, at one moment.
    await page.getByTestId('beside').selectOption('go-kit');
    await world.act({ crash: { process: 0 } });
    const sides = [await world.view(), await world.view('beside')];
    assert.equal(sides[0].now_ms, sides[1].now_ms);
    for (const side of sides) assert.equal(side.processes[0].life, 'crashed');
    assert.deepEqual(sides.map((side) => side.processes[1].client), ['portolan', 'go-kit']);
});

/** The scenarios in which somebody loses. */
function losing(page) {
    return page.evaluate(async () => {
        const { scenarios } = await import(new URL('portolan.mjs', document.baseURI));
        return JSON.parse(scenarios()).filter((scenario) => scenario.loses);
    });
}
