// What holds for any page that `make playground` builds and `portolan playground` serves.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { address, barriers, onPage } from './browser.mjs';

const POLICY =
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; " +
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

for (const [path, type] of [
    ['', 'text/html; charset=utf-8'],
    ['portolan.mjs', 'text/javascript; charset=utf-8'],
    ['portolan_bg.wasm', 'application/wasm'],
]) {
    test(`the headers of /${path}`, async () => {
        const answer = await fetch(new URL(path, address));
        assert.equal(answer.status, 200);
        const sent = Object.fromEntries(answer.headers);
        assert.equal(sent['content-type'], type);
        assert.equal(sent['content-security-policy'], POLICY);
        assert.equal(sent['x-content-type-options'], 'nosniff');
        assert.equal(sent['referrer-policy'], 'no-referrer');
        assert.equal(sent['cache-control'], 'no-cache');
        assert.ok((await answer.arrayBuffer()).byteLength > 0);
    });
}

onPage('it says what it is', async ({ page }) => {
    assert.match(await page.title(), /Portolan/);
    assert.equal(await page.locator('html').getAttribute('lang'), 'en');
    assert.equal(await page.locator('h1').count(), 1);
});

onPage('only its own server is asked', async ({ page, asked }) => {
    await page.waitForLoadState('networkidle');
    assert.ok(asked.includes(address), asked.join('\n'));
    for (const url of asked) assert.ok(url.startsWith(address) || url.startsWith('data:'), url);
});

for (const colorScheme of ['light', 'dark']) {
    onPage(`nobody is kept out, ${colorScheme}`, { colorScheme }, async ({ page }) => {
        assert.deepEqual(await barriers(page), []);
    });
}

onPage('the module runs under the policy', async ({ page }) => {
    const scenarios = await page.evaluate(async () => {
        const portolan = await import(new URL('portolan.mjs', document.baseURI));
        await portolan.default();
        return JSON.parse(portolan.scenarios());
    });
    assert.ok(scenarios.length > 10);
    for (const { name, about } of scenarios) assert.ok(name && about, name);
});

onPage('scripts of others do not run', { mayComplain: true }, async ({ page, complaints }) => {
    const ran = await page.evaluate(async () => {
        const script = document.createElement('script');
        script.textContent = 'window.ran = true';
        document.head.append(script);
        return window.ran === true;
    });
    assert.equal(ran, false);
    assert.match(complaints.join('\n'), /Content Security Policy/);
});

onPage('it is painted before the module is there', { path: false }, async ({ page }) => {
    let release;
    const held = new Promise((resolve) => {
        release = resolve;
    });
    await page.route('**/portolan_bg.wasm', async (route) => {
        await held;
        await route.continue();
    });
    await page.goto(address);
    await page.locator('#loading').waitFor();
    assert.ok(await page.locator('h1').isVisible());
    const painted = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint').length);
    assert.equal(painted, 1);
    release();
    await page.locator('#loading').waitFor({ state: 'detached' });
    await page.waitForFunction(() => window.portolan.ready.then(() => true));
});
