// How the page is, in both themes and both sizes and in each of its main states: nobody is kept out,
// nothing is too small to read or to be had only by scrolling sideways, and who asks for less motion
// is given less.
import assert from 'node:assert/strict';

import { address, barriers, onPage } from './browser.mjs';
import { worldOf } from './world.mjs';

const SIZES = [{ width: 1280, height: 800 }, { width: 390, height: 844 }];

/** The states, each reached from the one before. */
const STATES = {
    start: async () => {},
    playing: async (page, world) => {
        await world.load({ scenario: 'first-visit' });
        await page.getByTestId('play').click();
        await world.until(200, Infinity);
    },
    paused: async (page, world) => {
        await page.getByTestId('play').click();
        await world.advanceTo(2_500);
    },
    inspector: async (page, world) => {
        await world.act([{ crash: { process: 1 } }, { cut: { process: 0, member: 0, way: 'up' } }]);
        await page.getByTestId('inspect-process-1').click();
        await page.getByTestId('inspect-title').waitFor();
    },
    world: async (page) => page.getByTestId('inspect-world').click(),
    trace: async (page) => page.getByTestId('tab-trace').click(),
    checks: async (page) => page.getByTestId('tab-checks').click(),
    menu: async (page) => {
        await page.getByTestId('link-0-0').click();
        await page.getByTestId('menu').waitFor();
    },
    'side by side': async (page, world) => {
        await page.keyboard.press('Escape');
        await world.load({ scenario: 'naive-watch-compacted' });
        await world.advanceTo(9_000);
        await page.getByTestId('tab-guide').click();
    },
    scenarios: dialog('scenarios'),
    actions: dialog('actions'),
    help: dialog('help'),
    share: dialog('share'),
    notices: async (page, world) => {
        await close(page);
        await page.getByTestId('mend').click();
        await page.evaluate(() => { location.hash = '{'; });
        await page.locator('.notice.bad').waitFor();
    },
    many: async (page, world) => {
        await close(page);
        await page.evaluate(() => document.querySelectorAll('.notice button').forEach((button) => button.click()));
        await world.load({ version: 1, seed: 0, world: { processes: 50 }, steps: [{ at_ms: 10, do: { crash: { process: 7 } } }] });
        await world.advanceTo(5_000);
    },
};

for (const colorScheme of ['light', 'dark']) {
    for (const viewport of SIZES) {
        const name = `${colorScheme}, ${viewport.width} wide`;
        onPage(`it is fit to be looked at, ${name}`, { colorScheme, viewport, timeout: 120_000 }, async ({ page }) => {
            const world = worldOf(page);
            await world.ready();
            assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), colorScheme);
            const wrong = [];
            for (const [state, reach] of Object.entries(STATES)) {
                await reach(page, world);
                for (const fault of await faults(page)) wrong.push(`${state}: ${fault}`);
            }
            assert.deepEqual(wrong, [], name);
        });
    }
}

onPage('it is fit to be looked at while it loads', { path: false }, async ({ page }) => {
    let go;
    const held = new Promise((resolve) => { go = resolve; });
    await page.route('**/*.wasm', (route) => held.then(() => route.continue()));
    await page.goto(address);
    await page.getByText('Loading the simulator').waitFor();
    try {
        assert.deepEqual(await faults(page), []);
        // Who is quick breaks nothing.
        for (const control of await page.locator('button:visible').elementHandles()) {
            if (await control.isVisible()) await control.click();
            await page.keyboard.press('Escape');
        }
    } finally {
        go();
    }
    await worldOf(page).ready();
    assert.equal(await worldOf(page).now(), 0);
});

onPage('who asks for less motion is given less', async ({ page }) => {
    const world = worldOf(page);
    await world.load({ scenario: 'first-visit' });
    for (const reach of Object.values(STATES).slice(1, 8)) {
        await reach(page, world);
        const moving = await page.evaluate(() => document.getAnimations()
            .filter((it) => it.playState === 'running' && it.effect.getComputedTiming().duration > 1)
            .map((it) => `${it.animationName ?? it.transitionProperty} of ${it.effect.target.className}`));
        assert.deepEqual(moving, []);
    }
    assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).scrollBehavior), 'auto');
});

onPage('what is drawn can be read as well', { path: false }, async ({ page }) => {
    await page.addInitScript(() => {
        const { fillText } = CanvasRenderingContext2D.prototype;
        window.drawn = new Set();
        CanvasRenderingContext2D.prototype.fillText = function (...values) {
            window.drawn.add(this.font);
            return fillText.apply(this, values);
        };
    });
    await page.goto(address);
    const world = worldOf(page);
    for (const state of ['playing', 'paused', 'inspector', 'menu', 'help', 'many']) await STATES[state](page, world);
    const fonts = await page.evaluate(() => [...window.drawn]);
    assert.ok(fonts.length > 0);
    for (const font of fonts) assert.ok(parseFloat(font.match(/[\d.]+px/)[0]) >= 12, font);
});

/** What is wrong with the page as it stands. */
async function faults(page) {
    const found = await page.evaluate(() => {
        const said = new Set();
        const { scrollWidth, clientWidth } = document.documentElement;
        if (scrollWidth > clientWidth) said.add(`it is ${scrollWidth - clientWidth} px too wide`);
        const within = document.querySelector('dialog[open]') ?? document.body;
        for (const part of within.querySelectorAll('dialog[open], .pane, .scroll, .top, .time')) {
            if (part.checkVisibility() && part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).overflowX !== 'hidden') {
                said.add(`#${part.id} .${part.className} is ${part.scrollWidth - part.clientWidth} px too wide`);
            }
        }
        const walker = document.createTreeWalker(within, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const { textContent, parentElement } = walker.currentNode;
            if (!textContent.trim() || !parentElement.checkVisibility()) continue;
            const size = parseFloat(getComputedStyle(parentElement).fontSize);
            if (size < 12) said.add(`${size} px: ${textContent.trim().slice(0, 40)} in <${parentElement.tagName}>`);
        }
        for (const field of within.querySelectorAll('input, select, textarea, button')) {
            const size = parseFloat(getComputedStyle(field).fontSize);
            if (field.checkVisibility() && size < 12) said.add(`${size} px: ${field.dataset.testid}`);
        }
        return [...said];
    });
    return [...found, ...(await barriers(page))];
}

function dialog(name) {
    return async (page) => {
        await close(page);
        await page.getByTestId(name).click();
        await page.locator('dialog[open]').waitFor();
    };
}

async function close(page) {
    if (await page.locator('dialog[open]').count() > 0) await page.keyboard.press('Escape');
}
