// What the page runs is what the command runs: the same trace to the byte, and the same end. What did
// not hold is compared in beside.test.mjs, for clients that were never made to hold it.
import assert from 'node:assert/strict';

import { onPage } from './browser.mjs';
import { replayed, THE_END, worldOf } from './world.mjs';

const SCENARIOS = [
    'another-cluster',
    'compacted-while-cut-off',
    'crash',
    'first-visit',
    'garbage-beside-records',
    'held-longer-than-its-lease',
    'leases-expire-a-few-at-a-time',
    'progress-withheld',
    'store-restored',
    'two-updates-at-once',
];
const SEEDS = ['1', '2', '3', '4', '5', '6', '7', '8', '9', '18446744073709551615'];

for (const [what, requests] of [
    ['scenarios', SCENARIOS.map((scenario) => ({ scenario }))],
    ['seeds', SEEDS.map((seed) => ({ seed, mix: 'full' }))],
]) {
    onPage(`the trace of ten ${what} is the command's`, async ({ page }) => {
        const world = worldOf(page);
        for (const request of requests) await same(world, request);
    });
}

onPage('so is the trace of what was done', async ({ page }) => {
    const world = worldOf(page);
    await world.load({ scenario: 'compacted-while-cut-off' });
    await world.advanceTo(1_500);
    await world.act([{ edit: { process: 0, group: 'web' } }, { edit: { process: 1, group: 'web' } }]);
    await world.advanceTo(2_000.5);
    await world.act({ 'put-key': { key: '/portolan/instances/web/"\u{1f980}\n', value: '\\u0000', lease_secs: 2 } });
    await world.act({ 'add-process': {} });
    const plan = await world.export();
    await ends(world, { plan });
    // Back, and on: what was known is not what is made up again.
    await world.advanceTo(1_000);
    await ends(world, { plan });
});

async function same(world, request) {
    await world.load(request);
    await ends(world, request);
}

/** Goes to the end, and compares all that is told. */
async function ends(world, request) {
    const about = JSON.stringify(request).slice(0, 100);
    const view = await world.advanceTo(THE_END);
    const theirs = await replayed(await world.export());
    const ours = await world.trace();
    // One line says more than a difference of thousands.
    assert.equal(firstDifference(ours, theirs.trace), null, about);
    assert.equal(ours.split('\n').length - 1, theirs.entries, about);
    assert.equal(view.end.why, theirs.held ? 'rest' : 'violated', about);
    const { held, list } = await world.checks();
    assert.equal(held, theirs.held, about);
    assert.equal(list.some((check) => check.violations.length > 0), !theirs.held, about);
}

function firstDifference(ours, theirs) {
    if (ours === theirs) return null;
    const [a, b] = [ours.split('\n'), theirs.split('\n')];
    const n = a.findIndex((line, n) => line !== b[n]);
    return `line ${n + 1}: the page has ${JSON.stringify(a[n])}, the command ${JSON.stringify(b[n])}`;
}
