// What one can do to a thing, where it is: the menu at it, and the same in the inspector; each entry, by
// mouse and by keyboard. And a link that is clicked on where it is drawn.
import assert from 'node:assert/strict';

import { onPage } from './browser.mjs';
import { WORLD, worldOf } from './world.mjs';

/** A moment in the middle of WORLD, and another one at which much is broken. */
const BROKEN = [
    { crash: { process: 0 } },
    { pause: { process: 2 } },
    { member: { member: 1, fault: 'stop' } },
    { member: { member: 2, fault: 'cut-off' } },
    { member: { member: 2, fault: 'lag' } },
];

/** What there is, and of each how many entries it has at least, where all is well; then where it is not. */
const THINGS = {
    'inspect-process-0': 8,
    'inspect-process-1': 8,
    'inspect-process-2': 5,
    'member-0': 6,
    'member-1': 5,
    'member-2': 6,
    'link-0-1': 10,
    'link-2-0': 10,
    registration: 3,
    directory: 0,
    lease: 2,
    key: 1,
    store: 5,
};
const HURT = { 'inspect-process-0': 5, 'inspect-process-2': 7, 'member-1': 5, 'member-2': 6 };

for (const [name, before, things] of [['well', [], THINGS], ['broken', BROKEN, HURT]]) {
    onPage(`each entry of each menu is done, where things are ${name}`, { timeout: 180_000 }, async ({ page, t }) => {
        const world = worldOf(page);
        const begin = async () => {
            await world.load(WORLD);
            await world.advanceTo(2_000);
            if (before.length > 0) await world.act(before);
        };
        let entries = 0;
        const wrong = [];
        for (const [id, least] of Object.entries(things)) {
            await begin();
            const thing = page.getByTestId('stage-main').getByTestId(id).first();
            const offered = await menu(page, thing, 'right');
            await page.keyboard.press('Escape');
            if (offered.length - 1 < least) wrong.push(`${id} has ${offered}`);
            for (const [n, label] of offered.slice(0, -1).entries()) {
                await begin();
                const known = (await world.plan()).steps.length;
                const was = await world.view();
                // By turns: the pointer; the keyboard, down and up, Enter and Space; the inspector.
                const way = entries++ % 3;
                if (way < 2) assert.deepEqual(await menu(page, thing, ['right', 'm'][way]), offered, id);
                else await look(page, thing);
                if (way === 0) await page.getByTestId('menu-item').nth(n).click();
                else if (way === 1) await byKeys(page, n, offered.length);
                else await page.getByTestId('can').nth(n).press(n % 2 ? 'Enter' : 'Space');
                const steps = (await world.plan()).steps.slice(known);
                const now = await world.view();
                if (steps.length !== 1 || now.now_ms <= was.now_ms) wrong.push(`${id}, ${label}: ${JSON.stringify(steps)}`);
                if (await page.getByTestId('menu').isVisible()) wrong.push(`${id}, ${label}: the menu stays`);
            }
        }
        assert.deepEqual(wrong, []);
        t.diagnostic(`${entries} entries`);
    });
}

onPage('what is chosen is shown at once, with what one can do to it', async ({ page }) => {
    const world = worldOf(page);
    await world.load(WORLD);
    await world.advanceTo(2_000);
    // Without a frame in between.
    const shown = await page.evaluate(() => ['inspect-process-0', 'inspect-process-2', 'lease'].map((id) => {
        document.querySelector(`[data-testid=stage-main] [data-testid=${id}]`).click();
        const can = [...document.querySelectorAll('[data-testid=can]')].map((button) => button.textContent);
        return [document.querySelector('[data-testid=inspect-title]').textContent.split(' ')[0], can.includes('Hold'), can.includes('Revoke it')];
    }));
    assert.deepEqual(shown, [['Process', true, false], ['Process', true, false], ['Lease', false, true]]);
});

onPage('a menu goes away unused, and gives the focus back', async ({ page }) => {
    const world = worldOf(page);
    await world.load(WORLD);
    const before = [await world.advanceTo(2_000), await world.export()];
    const port = page.getByTestId('link-1-1');
    for (const key of ['Escape', 'Tab']) {
        await port.press('Enter');
        await page.getByTestId('menu').waitFor();
        assert.equal(await page.evaluate(() => document.activeElement.role), 'menuitem');
        await page.keyboard.press('End');
        await page.keyboard.press('ArrowDown');
        assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Cut both ways');
        await page.keyboard.press(key);
        await page.getByTestId('menu').waitFor({ state: 'hidden' });
        if (key === 'Escape') assert.ok(await port.evaluate((node) => node === document.activeElement));
    }
    await port.press('Enter');
    await page.getByTestId('clock').click();
    await page.getByTestId('menu').waitFor({ state: 'hidden' });
    // The last entry only looks.
    await port.press('Enter');
    await page.getByTestId('menu-item').last().click();
    assert.ok(await page.locator('#pane-inspect').isVisible());
    assert.deepEqual([await world.view(), await world.export()], before);
});

onPage('a menu stands at its thing', async ({ page }) => {
    const world = worldOf(page);
    await world.load(WORLD);
    await world.advanceTo(2_000);
    const port = page.getByTestId('link-1-1');
    const there = await port.boundingBox();
    for (const open of [() => port.click(), () => port.press('m'), () => port.press('Enter'), () => port.press('Shift+F10')]) {
        await open();
        const { x, y } = await page.getByTestId('menu').boundingBox();
        assert.ok(Math.abs(x - there.x) < 60 && Math.abs(y - there.y) < 400 && y > 60, `${open} opens it at ${x}, ${y}; the port is at ${there.x}, ${there.y}`);
        await page.keyboard.press('Escape');
    }
});

onPage('a link is cut where it is drawn, either way', async ({ page }) => {
    const world = worldOf(page);
    for (const [n, way] of [[0, 'both'], [1, 'up'], [2, 'down']]) {
        await world.load(WORLD);
        await world.advanceTo(2_000);
        // Between its ends: at the port on the one shore and the member on the other, half way.
        const port = await page.getByTestId('link-0-0').boundingBox();
        const member = await page.getByTestId('member-0').boundingBox();
        const [x, y] = [port.x + port.width, port.y + port.height / 2];
        await page.mouse.click((x + member.x) / 2, (y + member.y + member.height / 2) / 2);
        await page.getByTestId('menu').waitFor();
        assert.match(await page.getByTestId('menu').textContent(), /^Link of process 0 to member 0/);
        await page.getByTestId('menu-item').nth(n).click();
        const cut = (await world.view()).links.filter((link) => link.cut !== 'none');
        assert.deepEqual(cut.map((link) => [link.process, link.member, link.cut]), [[0, 0, way]]);
        assert.equal(await page.getByTestId('link-0-0').getAttribute('data-link'), 'cut');
    }
});

/** Opens the menu of a thing, by the pointer or by its key, and answers what is in it. */
async function menu(page, thing, how) {
    if (how === 'right') await thing.click({ button: 'right' });
    else {
        await thing.focus();
        await page.keyboard.press(how);
    }
    await page.getByTestId('menu').waitFor();
    return page.getByTestId('menu-item').allTextContents();
}

/** Has the inspector show a thing. */
async function look(page, thing) {
    await thing.press('Enter');
    if (await page.getByTestId('menu').isVisible()) await page.keyboard.press('Escape');
}

/** The entry `n` of `all`, from whichever end is nearer. */
async function byKeys(page, n, all) {
    if (n > all / 2) {
        await page.keyboard.press('End');
        for (let up = all - 1; up > n; up--) await page.keyboard.press('ArrowUp');
    } else {
        for (let down = 0; down < n; down++) await page.keyboard.press('ArrowDown');
    }
    await page.keyboard.press(n % 2 ? 'Enter' : 'Space');
}
