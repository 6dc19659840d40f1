// The keys, and the page that lists them beside what colours and shapes mean.

import { button, byId, el } from './dom.mjs';
import { fillRing, ring } from './rings.mjs';

const KEYS = [
  [['Space', 'k'], 'play or pause'],
  [['.'], 'one thing happens'],
  [['←', '→'], 'back or on by 100 ms; with Shift, 1 s'],
  [['[', ']'], 'to the mark before or after'],
  [['Home', 'End'], 'to the beginning, or as far as it was run'],
  [['−', '+'], 'slower, faster'],
  [['n'], 'the guide’s next step'],
  [['s'], 'choose a scenario'],
  [['a'], 'do something'],
  [['g', 'i', 't', 'c'], 'guide, inspector, trace, checks'],
  [['m'], 'menu of what is focused or chosen (also Shift F10)'],
  [['Esc'], 'close, or choose nothing'],
  [['?'], 'this'],
];

const MEANINGS = [
  ['state', 'well', 'as it should be'],
  ['state', 'unsure', 'waits, old, or not known'],
  ['state', 'broken', 'broken or lost'],
];

/** What each message is, and the class of the sample. */
const MESSAGES = [
  ['data', 'write, read, watch, event: about what is stored'],
  ['lease', 'lease, renew: about leases'],
  ['ink', 'answer: to whatever was asked'],
  ['broken', 'failed: or lost on the way, as a cross'],
];

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

let dialog = null;

/** Shows the keys and the legend. */
export function openHelp() {
  dialog ??= makeHelp();
  dialog.showModal();
}

function makeHelp() {
  const made = el('dialog', { class: 'sheet help-sheet', 'data-testid': 'help-dialog', 'aria-labelledby': 'help-title' },
    el('div', { class: 'sheet-head' }, el('h2', { id: 'help-title' }, 'How to read this page'),
      button({ class: 'icon', 'aria-label': 'Close', 'data-testid': 'help-close', onclick: () => made.close() }, '×')),
    el('div', { class: 'help-body' },
      el('section', {}, el('h3', {}, 'What one sees'),
        el('p', {}, 'On the left are processes, each a program with a registry client in it; on the right is the store, an etcd of one to five members. All of it is simulated, message by message, by the engine and the simulator that test Portolan: nothing is animated that did not happen.'),
        el('ul', { class: 'legend' },
          ...MEANINGS.map(([kind, standing, words]) => el('li', {}, el('span', { class: kind, 'data-standing': standing }, 'like this'), words)),
          el('li', {}, sample(), 'a lease: the ring is the time that it has left'),
          el('li', {}, el('span', { class: 'sample-differs' }, 'a difference'), 'between what a process believes and what the store holds'),
          ...MESSAGES.map(([colour, words]) => el('li', {}, el('span', { class: `swatch ${colour}` }), words))),
        el('p', {}, 'Time is virtual. Messages travel for a few milliseconds, so time slows down for them, unless you turn that off below.')),
      el('section', {}, el('h3', {}, 'Keys'),
        el('dl', { class: 'keys' }, ...KEYS.map(([keys, words]) => el('div', {}, el('dt', {}, ...keys.map((key) => el('kbd', {}, key))), el('dd', {}, words)))))));
  made.addEventListener('click', (event) => { if (event.target === made) made.close(); });
  document.body.append(made);
  return made;
}

function sample() {
  const node = ring(22);
  fillRing(node, { left_ms: 65, ttl_ms: 100 });
  return node;
}

byId('help').addEventListener('click', openHelp);
