// How long a frame takes with 50 processes, 1,000 instances and 200 messages in flight, and how long it
// takes to go back in ten minutes of the sandbox. Run by `make bench-page`; prints a line for each figure.
import assert from 'node:assert/strict';

import { onPage } from './browser.mjs';

const PROCESSES = 50;
const EACH = 20;

/** 50 processes that each register 20 instances; each edits again and again, on links that are slow. */
function busy() {
    const steps = [];
    for (let process = 0; process < PROCESSES; process += 1) {
        for (let id = 1; id <= EACH; id += 1) {
            const instance = `i-${process}-${id}`;
            steps.push({ at_ms: process, do: { register: { process, id, group: `g${process % 10}`, instance } } });
        }
        steps.push({ at_ms: 3000, do: { open: { process, id: 1, scope: { instances: `g${process % 10}` } } } });
    }
    let call = 0;
    for (let at_ms = 5000; at_ms < 60_000; at_ms += 250) {
        for (let n = 0; n < 40; n += 1) {
            const process = (at_ms / 250 + n) % PROCESSES;
            call += 1;
            const get = { get: { key: `/kv/${process}` } };
            steps.push({ at_ms: at_ms + n * 6, do: { call: { process, id: call, call: get, within_ms: 20_000 } } });
        }
    }
    const wire = { delay_us: [500_000, 900_000] };
    return { version: 1, seed: 1, lasts_ms: 120_000, world: { processes: PROCESSES, members: 3, wire }, steps };
}

const at = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];

onPage('frames', { viewport: { width: 1280, height: 800 }, timeout: 300_000 }, async ({ page, context }) => {
    await page.waitForFunction(() => window.portolan?.ready.then(() => true));
    await page.evaluate((plan) => window.portolan.load(plan), busy());
    await page.evaluate(() => window.portolan.advanceTo(20_000));
    const seen = await page.evaluate(() => {
        const view = window.portolan.view();
        return [view.processes.length, view.store.keys, view.messages.length];
    });
    console.log(`frames: ${seen[0]} processes, ${seen[1]} instances, ${seen[2]} messages in flight`);
    assert.ok(seen[0] === PROCESSES && seen[1] >= PROCESSES * EACH && seen[2] >= 150, `${seen}`);
    // What the simulator takes of each frame.
    await page.evaluate(async () => {
        const { Playground } = await import(new URL('portolan.mjs', document.baseURI));
        window.shares = [0];
        for (const name of ['advance', 'view', 'next', 'now', 'trace', 'trace_at', 'checks', 'marks', 'inspect']) {
            const real = Playground.prototype[name];
            Playground.prototype[name] = function measured(...values) {
                const before = performance.now();
                try {
                    return real.apply(this, values);
                } finally {
                    window.shares[window.shares.length - 1] += performance.now() - before;
                }
            };
        }
        const tick = () => {
            window.shares.push(0);
            requestAnimationFrame(tick);
        };
        requestAnimationFrame(tick);
    });
    const tool = await context.newCDPSession(page);
    const events = [];
    tool.on('Tracing.dataCollected', ({ value }) => events.push(...value));
    const done = new Promise((resolve) => {
        tool.once('Tracing.tracingComplete', resolve);
    });
    await tool.send('Tracing.start', { categories: 'devtools.timeline', transferMode: 'ReportEvents' });
    await page.keyboard.press('Space');
    await page.waitForFunction(() => window.shares.length > 600, null, { timeout: 120_000 });
    await page.keyboard.press('Space');
    await tool.send('Tracing.end');
    await done;
    const names = ['FireAnimationFrame', 'UpdateLayoutTree', 'Layout', 'PrePaint', 'Paint', 'Layerize', 'Commit'];
    const parts = events.filter(({ ph, name }) => ph === 'X' && names.includes(name));
    parts.sort((a, b) => a.ts - b.ts);
    const frames = [];
    let end = 0;
    for (const { name, ts, dur } of parts) {
        if (name === 'FireAnimationFrame' && ts - end > 4000) frames.push(0);
        // What lies within another one counts once.
        if (frames.length > 0) frames[frames.length - 1] += Math.max(0, ts + dur - Math.max(ts, end)) / 1000;
        end = Math.max(end, ts + dur);
    }
    frames.sort((a, b) => a - b);
    const shares = (await page.evaluate(() => window.shares)).sort((a, b) => a - b);
    const show = (of) => `p50 ${at(of, 0.5).toFixed(1)} ms, p95 ${at(of, 0.95).toFixed(1)} ms`;
    console.log(`frames: ${frames.length}, scripting, layout and paint: ${show(frames)} (aim: p95 below 16)`);
    console.log(`frames: the simulator's share: ${show(shares)} (aim: below 4)`);
});

onPage('going back', { timeout: 300_000 }, async ({ page }) => {
    await page.waitForFunction(() => window.portolan?.ready.then(() => true));
    await page.evaluate(() => window.portolan.load({ scenario: 'sandbox' }));
    await page.evaluate(() => window.portolan.advanceTo(600_000));
    const took = await page.evaluate(() => {
        const all = [];
        for (let n = 1; n <= 60; n += 1) {
            const before = performance.now();
            window.portolan.advanceTo((n * 7919 * 1000) % 600_000);
            all.push(performance.now() - before);
            window.portolan.advanceTo(600_000);
        }
        return all.sort((a, b) => a - b);
    });
    console.log(`going back in ten minutes: p50 ${at(took, 0.5).toFixed(0)} ms, most ${at(took, 1).toFixed(0)} ms (aim: below 100)`);
});
