// The keyboard reaches every control in each state of the page, in an order without traps, and each
// control shows that it has the focus.
import assert from 'node:assert/strict';

import { onPage } from './browser.mjs';
import { press, WORLD, worldOf } from './world.mjs';

const STATES = {
    guide: [],
    inspector: ['inspect-process-0'],
    trace: ['tab-trace'],
    checks: ['tab-checks'],
    scenarios: ['scenarios'],
    actions: ['actions', 'action-put-key'],
    share: ['share'],
    help: ['help'],
};

for (const viewport of [{ width: 1280, height: 800 }, { width: 390, height: 844 }]) {
    onPage(`Tab comes to every control and shows it, ${viewport.width} wide`, { viewport, timeout: 120_000 }, async ({ page }) => {
        const world = worldOf(page);
        const [unreached, unseen] = [[], []];
        for (const [state, clicks] of Object.entries(STATES)) {
            await page.evaluate(() => document.querySelector('dialog[open]')?.close());
            await world.load(WORLD);
            await world.advanceTo(2_000);
            for (const id of clicks) await page.getByTestId(id).click();
            // Lists are filled with the next frame.
            await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
            const wanted = await page.evaluate(controls);
            assert.ok(wanted > 0, `${state}: ${wanted} controls`);
            // Once around: to the first one again, or out of the page.
            for (let n = 0; n < wanted + 12; n++) {
                await press(page, 'Tab');
                const focus = await page.evaluate(shown);
                if (focus && !focus.seen) unseen.push(`${state}: ${focus.name}`);
            }
            const left = await page.evaluate(() => window.wanted.filter((node) => node.isConnected).map((node) => node.dataset.testid ?? node.outerHTML.slice(0, 80)));
            if (left.length > 0) unreached.push(`${state}: ${left}`);
        }
        assert.deepEqual(unreached, []);
        assert.deepEqual([...new Set(unseen)], []);
    });
}

onPage('who skips goes past what is skipped', async ({ page }) => {
    await worldOf(page).ready();
    for (const [words, id] of [['Skip to the time line', 'timeline'], ['Skip to guide and inspector', 'panel']]) {
        const skip = page.getByText(words);
        await skip.focus();
        const { y, height } = await skip.boundingBox();
        assert.ok(y >= 0 && height > 10, `${words} is out of sight`);
        await press(page, 'Enter');
        await press(page, 'Tab');
        assert.ok(await page.locator(`#${id}`).evaluate((part) => part.contains(document.activeElement)), words);
    }
    assert.equal(await page.locator('.notice').count(), 0);
});

/** Remembers what Tab has to come to, and counts it: of a group that arrows go through, one. */
function controls() {
    const within = document.querySelector('dialog[open]') ?? document;
    window.wanted = [...within.querySelectorAll('button, select, input, textarea, a[href], [tabindex="0"]')]
        .filter((node) => node.checkVisibility({ visibilityProperty: true }) && !node.disabled && node.tabIndex >= 0);
    document.activeElement.blur();
    return window.wanted.length;
}

/** What has the focus, and whether one sees that: by its outline, or a shadow in its place. */
function shown() {
    const node = document.activeElement;
    if (node === document.body) return null;
    window.wanted = window.wanted.filter((other) => other !== node);
    const style = getComputedStyle(node);
    const outline = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 && !/, 0\)$/.test(style.outlineColor);
    const box = node.getBoundingClientRect();
    const there = box.width > 0 && box.right > 0 && box.bottom > 0 && box.left < innerWidth && box.top < innerHeight;
    return { name: node.dataset.testid ?? node.id ?? node.className, seen: there && (outline || style.boxShadow !== 'none') };
}
