// A moment is the same from wherever one comes to it, and by whatever one goes there.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

import { onPage } from './browser.mjs';
import { press, THE_END, worldOf } from './world.mjs';

for (const request of [{ scenario: 'first-visit' }, { seed: '11', mix: 'full' }]) {
    const name = request.scenario ?? `seed ${request.seed}`;
    onPage(`the moments of ${name} are the same in any order`, async ({ page }) => {
        const world = worldOf(page);
        await world.load(request);
        const end = (await world.advanceTo(THE_END)).now_ms;
        await world.load(request);
        const moments = [0, 0.037, 0.2, 0.4123, 0.71, 0.999].map((part) => end * part);
        const first = [];
        for (const moment of moments) first.push(await all(world, moment));
        for (const order of [[5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2], [2, 2, 5, 0, 0, 4]]) {
            for (const n of order) assert.deepEqual(await all(world, moments[n]), first[n], `${order}: ${n}`);
        }
        // To the end, whose future nobody knows; and to what nobody has run yet.
        await world.advanceTo(THE_END);
        for (const n of [4, 1]) assert.deepEqual(await all(world, moments[n]), first[n], `from the end: ${n}`);
        await world.load(request);
        for (const n of [5, 2]) assert.deepEqual(await all(world, moments[n]), first[n], `at once: ${n}`);
    });
}

onPage('playing and stepping come by the same moments', async ({ page }) => {
    const world = worldOf(page);
    await world.load({ scenario: 'sandbox' });
    // Fast, so that playing takes no longer than its frames.
    await page.getByTestId('slow').uncheck();
    await page.getByTestId('speed').focus();
    await page.keyboard.press('End');
    await page.getByTestId('play').click();
    await world.until(4_000, Infinity);
    await page.getByTestId('play').click();
    const played = await world.view();
    await page.getByTestId('to-start').click();
    await world.until(0);
    assert.deepEqual(await world.advanceTo(played.now_ms), played);
    // What is done now is in the one history and not in the other: before it, nothing differs.
    const before = await world.advanceTo(2_000.25);
    await world.advanceTo(3_000);
    await world.act({ crash: { process: 0 } });
    await world.advanceTo(9_000);
    assert.deepEqual(past(await world.advanceTo(2_000.25)), past(before));
    for (let n = 0; n < 5; n++) await page.getByTestId('step').click();
    const stepped = await world.view();
    assert.ok(stepped.now_ms > 2_000.25, stepped.at);
    await world.advanceTo(0);
    assert.deepEqual(await world.advanceTo(stepped.now_ms), stepped);
});

onPage('side by side, both sides go back', async ({ page }) => {
    const world = worldOf(page);
    await world.load({ scenario: 'naive-watch-compacted' });
    const both = async (ms) => [await world.advanceTo(ms), await world.view('beside')];
    const moments = [500, 1_500, 4_000, 9_000];
    const first = [];
    for (const moment of moments) first.push(await both(moment));
    for (const n of [2, 0, 3, 1]) assert.deepEqual(await both(moments[n]), first[n], `${n}`);
});

onPage('the time line is dragged to any moment', async ({ page }) => {
    const world = worldOf(page);
    await world.load({ scenario: 'crash' });
    await world.advanceTo(THE_END);
    const track = page.getByTestId('track');
    const box = await track.boundingBox();
    const value = async (name) => Number(await track.getAttribute(`aria-value${name}`));
    const at = async (part) => page.mouse.move(box.x + box.width * part, box.y + box.height / 2, { steps: 3 });
    const seen = new Map();
    await at(0.4);
    await page.mouse.down();
    // There, back, and there again, with the button held down.
    for (const part of [0.8, 0.5, 0.2, 0.5, 0.7, 0.2, 0.8]) {
        await at(part);
        const expected = ((box.width * part - SIDE) / (box.width - 2 * SIDE)) * (await value('max'));
        await world.until(expected - 2, expected + 2);
        const view = await world.view();
        if (seen.has(part)) assert.deepEqual(view, seen.get(part), `at ${part} of the time line`);
        seen.set(part, view);
        assert.equal(await value('now'), Math.round(view.now_ms));
        assert.equal(await page.getByTestId('clock').textContent(), view.at);
    }
    await page.mouse.up();
    // The button is up: the pointer drags no more.
    const rest = await world.now();
    await at(0.1);
    assert.equal(await world.now(), rest);
    // At a moment that programs ask for, it is the same.
    await world.advanceTo(0);
    assert.deepEqual(await world.advanceTo(seen.get(0.5).now_ms), seen.get(0.5));
});

onPage('the time line goes by keys', async ({ page }) => {
    const world = worldOf(page);
    await world.load({ scenario: 'crash' });
    await world.advanceTo(5_000);
    await world.advanceTo(2_000);
    const at = await world.view();
    await page.getByTestId('track').focus();
    for (const [key, moment] of [
        ['ArrowLeft', 1_900],
        ['ArrowLeft', 1_800],
        ['Shift+ArrowRight', 2_800],
        ['ArrowRight', 2_900],
        ['Shift+ArrowLeft', 1_900],
        ['ArrowRight', 2_000],
        ['Home', 0],
        ['Shift+ArrowRight', 1_000],
        ['Shift+ArrowRight', 2_000],
    ]) {
        await press(page, key);
        await world.until(moment);
        if (moment === 2_000) assert.deepEqual(await world.view(), at, `by ${key}`);
    }
    await press(page, 'End');
    await world.until(3_500, 5_000);
    // From mark to mark: the fault, and what became of it.
    await press(page, 'Home');
    await world.until(0);
    await press(page, ']');
    await world.until(1_000);
    await press(page, ']');
    await world.until(3_500);
    await press(page, '[');
    await world.until(1_000);
});

/** How far the time line's ends lie within it, in pixels. */
const SIDE = 14;

/** A view without what it says of the plan's future. */
const past = ({ heals_ms, lasts_ms, last_step_ms, ...past }) => past;

/** All that is told of a moment. */
async function all(world, ms) {
    const view = await world.advanceTo(ms);
    // Of a trace its hash: nobody reads a difference of thousands of lines.
    const trace = createHash('sha256').update(await world.trace()).digest('hex');
    return { view, trace, checks: await world.checks() };
}
