// All that one can do to a world: each entry of the menu of everything, by mouse and by keyboard, does
// what it says, to what was chosen, and is in the plan that is exported.
import assert from 'node:assert/strict';

import { onPage } from './browser.mjs';
import { worldOf } from './world.mjs';

const PLAN = {
    version: 1,
    seed: 1,
    world: { processes: 3, members: 3, users: true },
    lasts_ms: 60_000,
    steps: [
        { at_ms: 0, do: { register: { process: 0, id: 1, group: 'web', instance: 'a' } } },
        { at_ms: 0, do: { register: { process: 1, id: 1, group: 'web', instance: 'b' } } },
        { at_ms: 0, do: { open: { process: 2, id: 1, scope: { instances: 'web' } } } },
    ],
};

const process = (n, fits) => `v.processes[${n}].${fits}`;
const member = (n, fits) => `v.members[${n}].${fits}`;
const links = (n, fits) => `v.links.filter((l) => l.process === ${n}).every((l) => ${fits})`;
const has = (words) => `t.includes(${JSON.stringify(words)})`;

/**
 * Of each: what is set in its fields; the names of the plan's new steps; what holds then, of the view `v`,
 * the one before `w`, and the trace `t`; and what is done before it.
 */
const ACTIONS = {
    crash: [{ process: '1' }, 'crash', process(1, 'life === "crashed"')],
    restart: [{ process: '1' }, 'restart', process(1, 'run === "p1.2"')],
    pause: [{ process: '2' }, 'pause', process(2, 'life === "held"')],
    resume: [{ process: '2' }, 'resume', process(2, 'life === "running"'), { pause: { process: 2 } }],
    shutdown: [{ process: '0', within_ms: '4000' }, 'shutdown', has('"within_ms":4000')],
    clock: [{ process: '1', drift: '150' }, 'clock', process(1, 'drift_permille === 150')],
    'add-process': [{}, 'add-process', 'v.processes.length === 4'],
    register: [{ process: '2', group: 'db', instance: 'x-1' }, 'register', process(2, 'registrations.some((r) => r.name === "db/x-1")')],
    publish: [{ registration: '1 1', state: 'draining' }, 'publish', has('"publish":{"process":1,"id":1,"state":"draining"')],
    deregister: [{ registration: '0 1' }, 'deregister', has('"deregister":{"process":0,"id":1')],
    open: [{ process: '1', group: 'db' }, 'open', process(1, 'directories[0].title === "db"')],
    edit: [{ process: '1', group: 'web' }, 'update', has('"update":{"process":1,"id":1,"group":"web"')],
    'edit-both': [{ process: '2', other: '1', group: 'web' }, 'update,update', `${has('"update":{"process":2,')} && ${has('"update":{"process":1,')}`],
    cut: [{ process: '1', link: '2', way: 'down' }, 'cut', 'v.links.find((l) => l.process === 1 && l.member === 2).cut === "down" && v.links.filter((l) => l.cut !== "none").length === 1'],
    heal: [{ process: '1', link: '' }, 'heal', links(1, 'l.cut === "none"'), { cut: { process: 1, way: 'both' } }],
    slow: [{ process: '2', link: '', extra_ms: '700' }, 'slow', links(2, 'l.extra_ms === 700')],
    lose: [{ process: '2', link: '1', one_way: 'down', count: '3' }, 'lose', 'v.links.find((l) => l.process === 2 && l.member === 1).losing === 3'],
    reset: [{ process: '2', link: '' }, 'reset', links(2, '!l.connected')],
    blackhole: [{ process: '2', link: '' }, 'blackhole', 'v.links.some((l) => l.process === 2 && l.dead)'],
    'member-stop': [{ member: '1' }, 'member', member(1, 'up === false')],
    'member-start': [{ member: '1' }, 'member', member(1, 'up === true'), { member: { member: 1, fault: 'stop' } }],
    'member-restart': [{ member: '2' }, 'member', has('m2 restarts')],
    'member-pause': [{ member: '2' }, 'member', member(2, 'up === false')],
    'member-resume': [{ member: '2' }, 'member', member(2, 'up === true'), { member: { member: 2, fault: 'pause' } }],
    'member-cut-off': [{ member: '1' }, 'member', member(1, 'cut_off')],
    'member-rejoin': [{ member: '1' }, 'member', member(1, 'cut_off === false'), { member: { member: 1, fault: 'cut-off' } }],
    'member-lag': [{ member: '1' }, 'member', member(1, 'lags')],
    'member-catch-up': [{ member: '1' }, 'member', member(1, 'lags === false'), { member: { member: 1, fault: 'lag' } }],
    lead: [{ member: '2' }, 'lead', member(2, 'leads')],
    'store-restart': [{}, 'store', has('store restarts')],
    'store-stop': [{}, 'store', 'v.members.every((m) => !m.up) && !v.store.works'],
    'store-start': [{}, 'store', 'v.members.every((m) => m.up)', { store: { fault: 'stop' } }],
    'store-pause': [{}, 'store', 'v.members.every((m) => !m.up)'],
    'store-resume': [{}, 'store', 'v.members.every((m) => m.up)', { store: { fault: 'pause' } }],
    'lose-leader': [{}, 'store', 'v.members.every((m) => !m.leads) && v.leases.every((l) => l.left_ms === null)'],
    'regain-leader': [{}, 'store', 'v.members.some((m) => m.leads)', { store: { fault: 'lose-leader' } }],
    compact: [{ keep: '1' }, 'compact', 'v.store.compacted === v.store.revision - 1'],
    fill: [{}, 'store', 'v.members.every((m) => m.full)'],
    'make-room': [{}, 'store', 'v.members.every((m) => !m.full)', { store: { fault: 'fill' } }],
    backup: [{}, 'store', 'v.store.backup'],
    restore: [{}, 'store', has('"store":{"fault":"restore"}'), { store: { fault: 'backup' } }],
    wipe: [{}, 'store', 'v.store.keys === 0'],
    replace: [{}, 'store', 'v.store.keys === 0'],
    rights: [{}, 'rights', has('"may":"read"')],
    'rights-nothing': [{}, 'rights', has('"may":"nothing"')],
    'rights-all': [{}, 'rights', has('"may":"all"'), { rights: { may: 'nothing' } }],
    password: [{}, 'password', has('"right":false')],
    'password-back': [{}, 'password', has('"right":true'), { password: { right: false } }],
    expire: [{ lease: 1 }, 'expire', 'v.leases.find((l) => l.id === w.leases[1].id)?.left_ms === 0'],
    revoke: [{ lease: 0 }, 'revoke', 'v.leases.length === w.leases.length - 1 && v.store.keys === w.store.keys - 1'],
    'delete-key': [{ key: 1 }, 'delete-key', 'v.store.keys === w.store.keys - 1 && v.leases.length === w.leases.length'],
    'put-key': [{ any_key: '/elsewhere', value: 'x', lease_secs: '9' }, 'put-key', 'v.store.rows.some((r) => r.key === "/elsewhere") && v.leases.some((l) => l.ttl_ms === 9000 && l.owner === null)'],
    crowd: [{ group: 'db', crowd: '7', at_once: '3', lease_secs: '30' }, 'crowd', 'v.store.keys === w.store.keys + 7'],
    mend: [{}, 'mend', 'v.links.every((l) => l.cut === "none") && v.members.every((m) => m.up)', [{ cut: { process: 0, way: 'up' } }, { member: { member: 1, fault: 'stop' } }]],
};

for (const way of ['mouse', 'keyboard']) {
    onPage(`each action does what it says, by ${way}`, { timeout: 120_000 }, async ({ page }) => {
        const world = worldOf(page);
        await world.load(PLAN);
        await world.advanceTo(2_000);
        const share = JSON.stringify({ of: { plan: JSON.stringify(PLAN) }, lasts_ms: PLAN.lasts_ms, at_nanos: 2e9 });
        await page.getByTestId('actions').click();
        const offered = await page.locator('.action-list button').evaluateAll((all) => all.map((one) => one.dataset.testid.slice(7)));
        assert.deepEqual(offered.toSorted(), Object.keys(ACTIONS).toSorted());
        const wrong = [];
        for (const id of offered) {
            const [fields, steps, holds, before] = ACTIONS[id];
            await world.load({ share });
            if (before) await world.act(before);
            const was = await world.view();
            const known = (await world.plan()).steps.length;
            await doIt(page, way, id, fields);
            const told = await page.getByTestId('action-done').textContent();
            if (!/^Done at/.test(told)) wrong.push(`${id}: ${told}`);
            const added = (await world.plan()).steps.slice(known).map((step) => Object.keys(step.do)[0]).join();
            if (added !== steps) wrong.push(`${id}: the plan has ${added}`);
            const [v, t] = [await world.view(), await world.trace()];
            if (v.now_ms <= was.now_ms) wrong.push(`${id}: no time has passed`);
            if (!new Function('v', 'w', 't', `return ${holds}`)(v, was, t)) wrong.push(`${id}: not so: ${holds}`);
        }
        assert.deepEqual(wrong, []);
    });
}

/** Chooses an action in the open dialog, fills its fields, and has it done. */
async function doIt(page, way, id, fields) {
    const chosen = page.getByTestId(`action-${id}`);
    if (way === 'mouse') {
        await chosen.click();
        for (const [name, value] of Object.entries(fields)) await fill(page.getByTestId(`field-${name}`), value);
        await page.getByTestId('do-action').click();
        return;
    }
    await chosen.press('Enter');
    for (const [name, value] of Object.entries(fields)) {
        const field = page.getByTestId(`field-${name}`);
        if (await field.evaluate((node) => node.tagName === 'INPUT')) {
            await field.focus();
            await page.keyboard.press('Control+a');
            await page.keyboard.type(value);
            continue;
        }
        const want = await field.evaluate((node, value) => (typeof value === 'number' ? value : [...node.options].findIndex((one) => one.value === value)), value);
        await field.press('Home');
        for (let n = 0; n < want; n++) await field.press('ArrowDown');
    }
    await page.getByTestId('do-action').press(Object.keys(fields).length % 2 ? 'Enter' : 'Space');
}

async function fill(field, value) {
    if (await field.evaluate((node) => node.tagName === 'INPUT')) await field.fill(value);
    else await field.selectOption(typeof value === 'number' ? { index: value } : value);
}

onPage('what cannot be done is told, and changes nothing', async ({ page }) => {
    const world = worldOf(page);
    await world.load({ scenario: 'crash' });
    const [view, plan] = [await world.view(), await world.export()];
    await page.getByTestId('actions').click();
    for (const [id, fields, words] of [
        ['rights', {}, /neither rights nor passwords/],
        ['expire', {}, /No lease is running/],
        ['delete-key', {}, /The store holds nothing/],
        ['deregister', {}, /There is no registration/],
        ['register', { group: 'a b/c', instance: 'x' }, /./],
    ]) {
        await doIt(page, 'mouse', id, fields);
        const told = page.getByTestId('action-done');
        assert.match(await told.textContent(), words, id);
        assert.equal(await told.getAttribute('data-tone'), 'bad', id);
        assert.deepEqual([await world.view(), await world.export()], [view, plan], id);
    }
});
