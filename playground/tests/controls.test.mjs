// Every control of the page: it has a name, it is tried here or in the file that is about it, the
// keyboard reaches it and shows where it is, and it has its effect by mouse, by Enter and by Space.
import assert from 'node:assert/strict';

import { onPage } from './browser.mjs';
import { WORLD, worldOf } from './world.mjs';

const CONTROLS = 'button, select, input, textarea, a[href], [role=tab], [role=slider], [role=listbox], [role=option], [role=menuitem]';

/**
 * Buttons: what is done before, and what holds afterwards, in the page, of `portolan` and `w`, the view
 * before. Each begins in the middle of WORLD, with nothing chosen.
 */
const open = (id) => `document.querySelector('[data-testid=${id}]').open`;
const shut = (id) => `!${open(id)}`;
const pane = (name) => `!document.getElementById('pane-${name}').hidden`;
const now = (ms) => `portolan.view().now_ms === ${ms}`;
const title = (words) => `document.querySelector('[data-testid=inspect-title]').textContent.includes(${words}) && ${pane('inspect')}`;
const through = (...ids) => async (page) => { for (const id of ids) await page.getByTestId(id).first().click(); };
const value = (id) => `document.getElementById('${id}').textContent`;
const field = (id) => `document.querySelector('[data-testid=${id}]').value`;
const loaded = (name) => `${value('scenario-name')} === '${name}'`;
const BUTTONS = {
    scenarios: [null, open('scenario-dialog')],
    'scenarios-close': [through('scenarios'), shut('scenario-dialog')],
    'seed-any': [through('scenarios'), `document.querySelector('[data-testid=seed]').value !== '7'`],
    draw: [through('scenarios'), `portolan.view().now_ms === 0 && ${value('scenario-name')} === 'Seed ' + ${field('seed')} + ', ' + ${field('mix')}`],
    actions: [null, open('action-dialog')],
    'actions-close': [through('actions'), shut('action-dialog')],
    'action-wipe': [through('actions'), `document.querySelector('[data-testid=action-name]').textContent === 'Wipe the store'`],
    'do-action': [through('actions', 'action-crash'), `portolan.view().processes[0].life === 'crashed'`],
    share: [null, open('share-dialog')],
    'share-close': [through('share'), shut('share-dialog')],
    'share-copy': [through('share'), `/Copied|Copy it by hand/.test(document.querySelector('[data-testid=share-dialog]').textContent)`],
    theme: [null, `document.documentElement.dataset.theme !== w.theme`],
    help: [null, open('help-dialog')],
    'help-close': [through('help'), shut('help-dialog')],
    'tab-guide': [through('tab-trace'), pane('guide')],
    'tab-inspect': [null, pane('inspect')],
    'tab-trace': [null, pane('trace')],
    'tab-checks': [null, pane('checks')],
    fold: [null, `document.getElementById('panel').clientWidth > w.panel`],
    'to-start': [null, now(0)],
    play: [null, `portolan.view().now_ms > w.now_ms && document.getElementById('play').ariaPressed === 'true'`],
    step: [null, `portolan.view().now_ms > w.now_ms && document.getElementById('play').ariaPressed === 'false'`],
    mend: [(page, world) => world.act({ cut: { process: 0, way: 'up' } }), `portolan.view().links.every((link) => link.cut === 'none')`],
    'go-on': [(page, world) => world.advanceTo(1e9), `portolan.view().now_ms > w.now_ms`],
    dismiss: [through('mend'), `!document.querySelector('.notice')`],
    'sight-vanish': [null, loaded('Crash')],
    'sight-survive': [null, loaded('Compacted while cut off')],
    'sight-naive': [null, `${loaded('Watch compacted')} && portolan.view().beside !== null`],
    'guide-next': [guided, 'portolan.view().now_ms > w.now_ms'],
    'caption-next': [guided, 'portolan.view().now_ms > w.now_ms'],
    'guide-step-1': [guided, 'portolan.view().now_ms > 0'],
    'guide-beside': [(page, world) => world.load({ scenario: 'first-visit' }), 'portolan.view().beside !== null'],
    'mark-fault': [async (page, world) => { await world.advanceTo(2_500); }, now(1_500)],
    'inspect-process-0': [null, title(`'Process 0'`)],
    registration: [null, title(`'web/a of process 0'`)],
    directory: [null, title(`'Directory of web'`)],
    believed: [null, title(`'/portolan/instances/web/a'`)],
    difference: [(page, world) => world.act({ 'delete-key': { key: '/portolan/instances/web/a' } }), title(`'/portolan/instances/web/a'`)],
    key: [null, title(`'/portolan/instances/web/a'`)],
    lease: [null, title(`'Lease ' + w.leases[0].id`)],
    'member-1': [null, title(`'Member 1'`)],
    store: [null, title(`'store'`)],
    'link-1-2': [null, `!document.querySelector('[data-testid=menu]').hidden && ${title(`'Link of process 1 to member 2'`)}`],
    'inspect-world': [through('store'), `document.querySelector('[data-testid=messages]').checkVisibility()`],
    see: [through('registration'), title(`'/portolan/instances/web/a'`)],
    can: [through('inspect-process-1'), `portolan.view().processes[1].life === 'crashed'`],
    message: [async (page, world) => { await world.act({ open: { process: 0, scope: { instances: 'web' } } }); await page.getByTestId('tab-inspect').click(); }, title(`'essage'`)],
    trouble: [async (page, world) => { await world.act({ slow: { process: 1, member: 2, extra_ms: 9 } }); await page.getByTestId('tab-inspect').click(); }, title(`'Link of process 1 to member 2'`)],
    'inspect-LV1': [through('tab-checks'), title(`'LV1'`)],
    'process-5': [many, `${title(`'Process 5'`)} && document.querySelectorAll('article.process').length === 1`],
    'scenario-slow-link': [through('scenarios'), `${loaded('Slow link')} && portolan.view().now_ms === 0`],
    'to-loss': [lost, 'portolan.view().now_ms === w.beside.lost[0].at_ms'],
};

/** What is no button, is one of many alike, or is tried elsewhere: of each the file. */
const OTHERS = {
    'actions.test.mjs': ['action-(?!find).*', 'field-.*'],
    'beside.test.mjs': ['beside'],
    'fields.test.mjs': ['action-find', 'mix', 'scenario-find', 'scenario-.*', 'seed', 'slow', 'speed', 'checks-side', 'to-violation', 'trace', 'trace-.*'],
    'focus.test.mjs': ['skip-.*'],
    'hostile.test.mjs': ['panic-.*'],
    'menu.test.mjs': ['menu-item', 'inspect-process-\\d+', 'link-\\d+-\\d+', 'member-\\d+'],
    'moments.test.mjs': ['track'],
    'share.test.mjs': ['export', 'import', 'import-file', 'share-link'],
    alike: ['guide-step-\\d+', 'inspect-[A-Z]+\\d+', 'mark-.*', 'process-\\d+'],
};

for (const way of ['mouse', 'Enter', 'Space']) {
    onPage(`each button has its effect, by ${way}`, { timeout: 180_000 }, async ({ page }) => {
        const world = worldOf(page);
        await world.ready();
        const wrong = [];
        for (const [id, [before, holds]] of Object.entries(BUTTONS)) {
            await fresh(page, world);
            if (before) await before(page, world);
            const was = await page.evaluate(() => ({ ...portolan.view(), theme: document.documentElement.dataset.theme, panel: document.getElementById('panel').clientWidth }));
            // A difference is named at its row, whose button it is.
            const control = page.getByTestId(id).first().locator('xpath=descendant-or-self::button').first();
            const fits = await page.evaluateHandle(`((w) => ${holds})`);
            try {
                if (way === 'mouse') await control.click({ timeout: 3_000 });
                else await control.press(way, { timeout: 3_000 });
                await page.waitForFunction(([fits, was]) => fits(was), [fits, was], { timeout: 3_000 });
            } catch (error) {
                wrong.push(`${id}: ${error.message.split('\n')[0]}: not so: ${holds}`);
            }
        }
        assert.deepEqual(wrong, []);
    });
}

onPage('every control has a name, and is tried', async ({ page }) => {
    const world = worldOf(page);
    const tried = [...Object.keys(BUTTONS), ...Object.values(OTHERS).flat()].map((one) => new RegExp(`^${one}$`));
    const [nameless, untried] = [new Set(), new Set()];
    const look = async () => {
        for (const [id, html] of await page.evaluate((all) => [...document.querySelectorAll(all)].map((node) => [node.dataset.testid, node.outerHTML.slice(0, 90)]), CONTROLS)) {
            if (!id) nameless.add(html);
            else if (!tried.some((one) => one.test(id))) untried.add(id);
        }
    };
    await fresh(page, world);
    await world.act([{ slow: { process: 1, member: 2, extra_ms: 9 } }, { 'delete-key': { key: '/portolan/instances/web/a' } }]);
    for (const id of ['tab-inspect', 'store', 'tab-trace', 'tab-checks', 'tab-guide', 'help', 'help-close', 'actions', 'action-put-key', 'actions-close', 'link-0-0']) {
        await page.getByTestId(id).click();
        await look();
    }
    await lost(page, world);
    await look();
    await many(page, world);
    await look();
    assert.deepEqual([...untried], []);
    assert.deepEqual([...nameless], []);
});

/** The middle of a world, nothing chosen or open. */
async function fresh(page, world) {
    await world.ready();
    await page.evaluate(() => {
        for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close();
        for (const button of document.querySelectorAll('.notice button')) button.click();
        if (document.body.dataset.panel === 'other') document.getElementById('fold').click();
        document.getElementById('tab-guide').click();
    });
    await world.load(WORLD);
    await world.advanceTo(2_000);
}

async function guided(page, world) {
    await world.load({ scenario: 'crash' });
    await page.getByTestId('guide-step-1').waitFor();
}

async function many(page, world) {
    await world.load({ version: 1, seed: 0, world: { processes: 12 }, steps: [] });
}

async function lost(page, world) {
    await world.load({ scenario: 'naive-lease-revoked' });
    await world.advanceTo(1e10);
}
