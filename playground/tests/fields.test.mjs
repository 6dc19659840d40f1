// What is no button: fields, choices, lists, the tabs, the trace; the keys of the page; and that the
// keyboard reaches all of it, and shows where it is.
import assert from 'node:assert/strict';

import { onPage } from './browser.mjs';
import { press, replayed, THE_END, WORLD, worldOf } from './world.mjs';

onPage('scenarios are found, drawn and loaded', { timeout: 120_000 }, async ({ page }) => {
    const world = worldOf(page);
    await world.ready();
    const all = await page.locator('.scenario').evaluateAll((nodes) => nodes.map((node) => node.dataset.testid));
    assert.ok(all.length > 50);
    const find = page.getByTestId('scenario-find');
    const shown = () => page.locator('.scenario:visible').evaluateAll((nodes) => nodes.map((node) => node.dataset.testid));
    await page.getByTestId('scenarios').click();
    await find.fill('REVOKE lease');
    assert.ok((await shown()).includes('scenario-lease-revoked') && (await shown()).length < 10);
    await find.press('Control+a');
    await page.keyboard.type('no such words');
    assert.deepEqual(await shown(), []);
    assert.ok(await page.getByText('No scenario has such a word').isVisible());
    await find.fill('');
    assert.deepEqual(await shown(), all);
    await press(page, 'Escape');
    // Each of them; by turns by the pointer and by keys.
    let last = '';
    for (const [n, id] of all.entries()) {
        if (n % 2) await page.getByTestId('scenarios').click();
        else await press(page, 's');
        if (n % 2) await page.getByTestId(id).click();
        else await page.getByTestId(id).press(n % 4 ? 'Enter' : 'Space');
        const plan = await world.export();
        assert.notEqual(plan, last, id);
        assert.equal(await world.now(), 0, id);
        last = plan;
    }
    for (const [how, seed] of [['fill', '4711'], ['type', '12']]) {
        await press(page, 's');
        const field = page.getByTestId('seed');
        if (how === 'fill') await field.fill(seed);
        else {
            await field.press('Control+a');
            await page.keyboard.type(seed);
        }
        if (how === 'fill') await page.getByTestId('mix').selectOption({ index: 2 });
        else await page.getByTestId('mix').press('Home');
        await field.press('Enter');
        assert.equal((await world.plan()).seed, Number(seed));
    }
    await press(page, 's');
    await page.getByTestId('seed').fill('x');
    await page.getByTestId('draw').click();
    assert.equal((await world.plan()).seed, 12);
});

onPage('speed, slowness, side and actions are chosen', async ({ page }) => {
    const world = worldOf(page);
    await world.load(WORLD);
    const speed = page.getByTestId('speed');
    const shown = (words) => page.locator('#speed-shown').getByText(words, { exact: true }).waitFor();
    const box = await speed.boundingBox();
    await page.mouse.click(box.x + box.width - 3, box.y + box.height / 2);
    await shown('1000×');
    await page.mouse.click(box.x + 3, box.y + box.height / 2);
    await shown('0.1×');
    for (const [key, words] of [['ArrowRight', '0.2×'], ['End', '1000×'], ['ArrowLeft', '500×'], ['Home', '0.1×']]) {
        await speed.press(key);
        await shown(words);
        assert.equal(await speed.getAttribute('aria-valuetext'), words.replace('×', ' times'));
    }
    // Slowed down for messages, time goes from event to event and no faster than they can be seen.
    const slow = page.getByTestId('slow');
    await slow.press('Space');
    assert.equal(await slow.isChecked(), false);
    await page.getByText('slow down for messages').click();
    assert.equal(await slow.isChecked(), true);
    const beside = page.getByTestId('beside');
    await beside.focus();
    await press(page, 'ArrowDown');
    await page.waitForFunction(() => portolan.view().beside !== null);
    await press(page, 'Home');
    await page.waitForFunction(() => portolan.view().beside === null);
    await page.getByTestId('actions').click();
    await page.getByTestId('action-find').fill('OPERATOR revoke');
    assert.deepEqual(await page.locator('.action-list button:visible').allTextContents(), ['Revoke a lease']);
});

onPage('the panels are gone through by arrows', async ({ page }) => {
    await worldOf(page).ready();
    const names = ['guide', 'inspect', 'trace', 'checks'];
    await page.getByTestId('tab-guide').focus();
    for (const [key, name] of [['ArrowRight', 'inspect'], ['ArrowRight', 'trace'], ['End', 'checks'], ['ArrowRight', 'guide'], ['ArrowLeft', 'checks'], ['Home', 'guide']]) {
        await press(page, key);
        assert.equal(await page.evaluate(() => document.activeElement.id), `tab-${name}`);
        for (const other of names) {
            assert.equal(await page.locator(`#pane-${other}`).isVisible(), other === name, `${name}: ${other}`);
            assert.equal(await page.getByTestId(`tab-${other}`).getAttribute('aria-selected'), String(other === name));
        }
    }
});

onPage('the trace is filtered, gone through, and leads to its moments', async ({ page }) => {
    const world = worldOf(page);
    await world.load(WORLD);
    await world.advanceTo(2_000);
    await press(page, 't');
    const list = page.getByTestId('trace');
    const lines = async () => (await page.getByTestId('trace-row').allTextContents());
    const whole = (await world.trace()).trimEnd().split('\n');
    await page.getByTestId('trace-row').filter({ hasText: whole.at(-1) }).waitFor();
    for (const line of await lines()) assert.ok(whole.includes(line), line);
    await page.getByTestId('trace-process').selectOption('1');
    await page.waitForFunction(() => [...document.querySelectorAll('[data-testid=trace-row]')].every((row) => !/ p[02]\./.test(row.textContent)));
    assert.ok((await lines()).length > 3);
    await page.getByTestId('trace-process').press('Home');
    await page.getByTestId('trace-kind').selectOption('told');
    await page.waitForFunction(() => [...document.querySelectorAll('[data-testid=trace-row]')].every((row) => / (told|wants) /.test(row.textContent)));
    const told = await lines();
    assert.deepEqual(told, whole.filter((line) => / (told|wants) /.test(line)));
    // To a line's moment, by a click and by keys.
    await page.getByTestId('trace-row').first().click();
    const first = Number(told[0].match(/^[\d.]+/)[0]) * 1_000;
    await world.until(first, first + 1);
    await list.focus();
    await press(page, 'ArrowDown');
    await press(page, 'Enter');
    const second = Number(told[1].match(/^[\d.]+/)[0]) * 1_000;
    await world.until(second, second + 1);
    assert.equal(await page.getByTestId('trace-follow').isChecked(), false);
    await page.getByTestId('trace-follow').press('Space');
    assert.equal(await page.getByTestId('trace-follow').isChecked(), true);
});

/** In which each change of a directory is told twice, on purpose, as the command's canaries have it. */
const BROKEN = {
    version: 1,
    seed: 1,
    world: { processes: 2, broken: 'change-told-twice' },
    steps: [
        { at_ms: 0, do: { open: { process: 1, id: 1, scope: { instances: 'web' } } } },
        { at_ms: 1_000, do: { register: { process: 0, id: 1, group: 'web', instance: 'a' } } },
        { at_ms: 2_000, do: { deregister: { process: 0, id: 1, within_ms: 5_000 } } },
    ],
};

onPage('a check that does not hold leads to its moment', async ({ page }) => {
    const world = worldOf(page);
    await world.load(BROKEN);
    await world.advanceTo(500);
    await press(page, 'c');
    const sum = page.getByTestId('checks-sum');
    await sum.getByText('All hold so far').waitFor();
    assert.ok(!(await page.locator('#checks-badge').isVisible()));

    await world.advanceTo(THE_END);
    const { held, list } = await world.checks();
    const violated = list.filter((check) => check.state === 'violated');
    assert.equal(held, false);
    const ids = violated.map((check) => check.id);
    assert.deepEqual(ids, ['VW1', 'VW4']);
    const found = violated.flatMap((check) => check.violations);
    const { told } = await replayed(await world.export());
    // The command stops at the first.
    assert.ok(told.includes(found[0].text), `${found[0].text}: the command says ${told}`);
    await sum.getByText('2 checks do not hold.').waitFor();
    assert.equal(await sum.getAttribute('data-standing'), 'broken');
    assert.equal(await page.locator('#checks-badge').textContent(), String(found.length));
    // What does not hold comes first; the others stand as they are, each with how often it was looked at.
    const rows = page.locator('li[data-testid^=check-]');
    assert.deepEqual(await rows.evaluateAll((all) => all.slice(0, 2).map((row) => row.dataset.testid)), ids.map((id) => `check-${id}`));
    const said = await rows.evaluateAll((all) => Object.fromEntries(all.map((one) => [one.dataset.testid, one.textContent])));
    const states = { holds: 'holds', violated: 'does not hold', 'not looked at': 'not looked at yet', 'not asked': 'not asked of this plan' };
    for (const { id, state, looks } of list) {
        assert.ok(said[`check-${id}`].includes(states[state]), `${id}: ${state}`);
        if (looks > 0) assert.match(said[`check-${id}`], new RegExp(`\\D${looks.toLocaleString('en')} look`), id);
    }

    // To its moment, by mouse and by keyboard: it shows there, and did not before.
    const [, { id, violations: [{ at_ms }] }] = violated;
    for (const go of [(lead) => lead.click(), (lead) => lead.press('Enter')]) {
        await go(page.getByTestId(`check-${id}`).getByTestId('to-violation').first());
        await world.until(Math.floor(at_ms), Math.ceil(at_ms));
        assert.equal((await world.checks()).list.find((check) => check.id === id).state, 'violated');
        await world.advanceTo(at_ms - 1);
        await sum.getByText('All hold so far').waitFor();
        assert.equal(await page.getByTestId('to-violation').count(), 0);
        await world.advanceTo(THE_END);
        await sum.getByText('2 checks do not hold.').waitFor();
    }
});

onPage('a check of the other side leads to its moment', async ({ page }) => {
    const world = worldOf(page);
    await world.load({ scenario: 'naive-lease-revoked' });
    await world.advanceTo(THE_END);
    await press(page, 'c');
    await page.getByTestId('checks-sum').getByText('All hold').waitFor();
    await page.getByTestId('checks-side').focus();
    await press(page, 'End');
    await page.getByTestId('checks-sum').getByText(/1 check does not hold/).waitFor();
    const { list } = await world.checks('beside');
    const [{ at_ms }] = list.find((check) => check.state === 'violated').violations;
    await page.getByTestId('to-violation').first().press('Enter');
    await world.until(Math.floor(at_ms), Math.ceil(at_ms));
});

onPage('the keys of the page do what the help says', async ({ page }) => {
    const world = worldOf(page);
    await world.load(WORLD);
    await world.advanceTo(1_000);
    for (const key of ['Space', 'k']) {
        await press(page, key);
        await page.locator('#play[aria-pressed=true]').waitFor();
        await press(page, key);
        await page.locator('#play[aria-pressed=false]').waitFor();
    }
    const before = await world.now();
    await press(page, '.');
    assert.ok((await world.now()) > before);
    await press(page, '+');
    await page.locator('#speed-shown', { hasText: '2×' }).waitFor();
    await press(page, '-');
    await page.locator('#speed-shown', { hasText: '1×' }).waitFor();
    for (const [key, name] of [['i', 'inspect'], ['t', 'trace'], ['c', 'checks'], ['g', 'guide']]) {
        await press(page, key);
        assert.ok(await page.locator(`#pane-${name}`).isVisible(), key);
        assert.ok(await page.locator(`#pane-${name}`).evaluate((pane) => pane.contains(document.activeElement)), `${key}: the focus`);
    }
    for (const [key, id] of [['s', 'scenario-dialog'], ['a', 'action-dialog'], ['?', 'help-dialog']]) {
        await press(page, key);
        assert.ok(await page.getByTestId(id).isVisible(), key);
        await press(page, 'Escape');
        assert.ok(!(await page.getByTestId(id).isVisible()), `${key}: closed`);
    }
    await page.getByTestId('inspect-process-1').press('Enter');
    await page.getByTestId('inspect-title').waitFor();
    await press(page, 'Escape');
    await page.getByTestId('inspect-title').waitFor({ state: 'hidden' });
    await world.load({ scenario: 'crash' });
    await page.getByTestId('guide-step-0').waitFor({ state: 'attached' });
    await press(page, 'n');
    await world.until(0.001, Infinity);
});
