// The keys of the page; `legend.mjs` lists them for whoever asks.

import { byId } from './dom.mjs';
import { openHelp } from './legend.mjs';

export function listenToKeys(app) {
  window.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector('dialog[open]')) return;
    const on = event.target;
    const typing = on.closest?.('input:not([type=range]):not([type=checkbox]), select, textarea');
    if (typing) return;
    const run = commands(app)[event.key];
    if (!run) return;
    // Space presses the button that has the focus, and arrows move a range or a tab.
    if (event.key === ' ' && on.closest?.('button, summary, [type=checkbox]')) return;
    if (/^(Arrow|Home|End)/.test(event.key) && on.closest?.('[type=range], [role=tab], [role=listbox], [role=menu]')) return;
    event.preventDefault();
    run(event.shiftKey, on);
  });
}

function commands(app) {
  const by = (ms) => (shift) => app.seek(app.now() + ms * (shift ? 10 : 1));
  return {
    ' ': () => app.toggle(),
    k: () => app.toggle(),
    '.': () => app.step(),
    ArrowLeft: by(-100),
    ArrowRight: by(100),
    '[': () => app.toMark(-1),
    ']': () => app.toMark(1),
    Home: () => app.seek(0),
    End: () => app.seek(app.reached()),
    '-': () => app.faster(-1),
    '+': () => app.faster(1),
    '=': () => app.faster(1),
    n: () => app.guide?.advance(),
    s: () => app.scenarios?.open(),
    a: () => app.actions?.open(),
    g: () => app.showPane('guide', true),
    i: () => app.showPane('inspect', true),
    t: () => app.showPane('trace', true),
    c: () => app.showPane('checks', true),
    m: (shift, on) => app.menuAt(on),
    Escape: () => app.choose(null, {}),
    '?': () => openHelp(),
  };
}

byId('help').addEventListener('click', openHelp);
