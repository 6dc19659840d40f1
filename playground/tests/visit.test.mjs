// A first visit: at most six clicks, no key, no knowledge; and all three things are seen, each on the
// stage, in words, and because it happened.
import assert from 'node:assert/strict';

import { onPage } from './browser.mjs';
import { worldOf } from './world.mjs';

const MOST_CLICKS = 6;

onPage('in six clicks one has seen why', { timeout: 120_000 }, async ({ page }) => {
    const world = worldOf(page);
    let clicks = 0;
    const click = async (id) => {
        clicks++;
        await page.getByTestId(id).click();
    };
    // A visitor takes a minute for it, and sees each message on its way. Nobody reads here, so time goes
    // faster; what happens, and what is to be clicked on, is the same.
    await page.getByTestId('slow').uncheck();
    await page.getByTestId('speed').fill('5');
    // Only what is to be seen without scrolling is clicked on.
    for (const id of ['sight-vanish', 'sight-survive', 'sight-naive', 'play', 'caption-next']) {
        await inSight(page, id);
    }

    // 1. An instance vanishes because its lease ran out.
    await click('sight-vanish');
    const lease = page.getByTestId('stage-main').getByTestId('lease');
    await soon(page, (view) => view.store.keys > 0);
    const key = (await world.view()).store.rows[0].name;
    await page.getByTestId('stage-main').getByTestId('key').filter({ hasText: key }).waitFor();
    await soon(page, (view) => view.processes.some((process) => process.life === 'crashed'));
    // Still there, and the process is not: its lease runs out.
    assert.equal(await page.getByTestId('stage-main').getByTestId('key').count(), 1);
    assert.equal(await page.locator('article[data-life=crashed]').count(), 1);
    assert.match(await lease.first().textContent(), /left/);
    await soon(page, (view) => view.store.keys === 0 && view.processes[1].directories[0].believed === 0);
    assert.equal(await page.getByTestId('stage-main').getByTestId('key').count(), 0);
    assert.equal(await lease.count(), 0);
    assert.match(await world.trace(), /delete \S+ by expiry of lease/);
    assert.match(await page.getByTestId('caption').textContent(), /lease/);

    // 2. A cut that Portolan survives.
    await click('sight-survive');
    await soon(page, (view) => view.links.some((link) => link.cut !== 'none'));
    assert.ok(await page.locator('[data-link=cut]').count() > 0, 'a cut link looks as any other');
    await soon(page, (view) => view.differs > 0);
    await page.getByTestId('stage-main').getByTestId('difference').first().waitFor();
    await soon(page, (view) => view.links.every((link) => link.cut === 'none') && view.differs === 0 && view.now_ms > 1_000);
    assert.equal(await page.getByTestId('stage-main').getByTestId('difference').count(), 0);
    assert.equal((await world.view()).checks.violations, 0);

    // 3. A naive client that does not.
    await click('sight-naive');
    await page.getByTestId('stage-beside').waitFor();
    await soon(page, (view) => view.links.some((link) => link.cut !== 'none'));
    await soon(page, (view) => view.links.every((link) => link.cut === 'none')
        && view.differs === 0 && view.beside.differs > 0);
    await page.getByTestId('stage-beside').getByTestId('difference').first().waitFor();
    assert.equal(await page.getByTestId('stage-main').getByTestId('difference').count(), 0);
    assert.doesNotMatch(await page.getByTestId('verdict-words').textContent(), /lost nothing/);
    assert.ok(await page.getByTestId('verdict').isVisible());
    assert.ok(clicks <= MOST_CLICKS, `${clicks} clicks`);
});

onPage('on a narrow page, too, all three are near', { viewport: { width: 390, height: 844 } }, async ({ page }) => {
    const world = worldOf(page);
    await world.ready();
    let clicks = 0;
    for (const id of ['sight-vanish', 'sight-survive', 'sight-naive']) {
        // The sheet gives way to the stage when time goes on; one click brings it back.
        if (!(await page.getByTestId(id).isVisible())) {
            clicks++;
            await page.getByTestId('tab-guide').click();
        }
        clicks++;
        await page.getByTestId(id).click();
        assert.equal(await page.getByTestId('play').getAttribute('aria-pressed'), 'true');
        assert.ok(await page.getByTestId('stage-main').isVisible(), id);
        await inSight(page, 'stage-main');
    }
    assert.ok(clicks <= MOST_CLICKS, `${clicks} clicks`);
});

/** Waits for what the page shows to be so; only watches, and clicks on nothing. */
async function soon(page, fits) {
    const there = await page.evaluateHandle(`(${fits})`);
    await page.waitForFunction((fits) => fits(portolan.view()), there, { timeout: 30_000 });
}

async function inSight(page, id) {
    const seen = await page.getByTestId(id).evaluate((node) => {
        const box = node.getBoundingClientRect();
        return box.width > 0 && box.top >= 0 && box.left >= 0 && box.top < innerHeight && box.right <= innerWidth + 1;
    });
    assert.ok(seen, `${id} is out of sight`);
}
