// How to read the page: what its colours and shapes mean, drawn by what draws them on the stage, and
// the keys.

import { button, el } from './dom.mjs';
import { drawMessage } from './glyphs.mjs';
import { fillRing, ring } from './rings.mjs';

export const KEYS = [
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

const STATES = [
  ['well', 'live', 'as it should be'],
  ['unsure', 'stale', 'waits, is old, or is not known'],
  ['broken', 'crashed', 'broken, cut or lost'],
];

const MESSAGES = [
  [['write', 'read'], 'asks the store to write, or to tell'],
  [['watch', 'event'], 'asks to be told of changes; a change is told'],
  [['lease', 'renew'], 'asks for a lease, or for more time on it'],
  [['answer', 'failed'], 'what comes back'],
];

let dialog = null;

/** Shows how to read the page. */
export function openHelp() {
  dialog ??= make();
  dialog.showModal();
  const style = getComputedStyle(dialog);
  const ink = Object.fromEntries(['ink', 'quiet', 'surface', 'accent', 'broken', 'lease', 'data'].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  ink.font = `12px ${style.fontFamily}`;
  for (const canvas of dialog.querySelectorAll('canvas')) paint(canvas, ink);
}

function make() {
  const made = el('dialog', { class: 'sheet help-sheet', 'data-testid': 'help-dialog', 'aria-labelledby': 'help-title' },
    el('div', { class: 'sheet-head' }, el('h2', { id: 'help-title' }, 'How to read this page'),
      button({ class: 'icon', 'aria-label': 'Close', 'data-testid': 'help-close', onclick: () => made.close() }, '×')),
    el('div', { class: 'help-body' },
      el('section', {}, el('h3', {}, 'What one sees'),
        el('p', {}, 'Processes are programs with a registry client in them; the store is an etcd of one to five members. All of it is simulated, message by message, by the engine and the simulator that test Portolan: nothing is animated that did not happen.'),
        el('ul', { class: 'legend' },
          ...STATES.map(([standing, word, words]) => el('li', {}, el('span', { class: 'state', 'data-standing': standing }, word), words)),
          el('li', {}, sample(), 'a lease: the ring is the time that it has left'),
          el('li', {}, el('span', { class: 'sample-differs' }, 'a difference'), 'between what a process believes and what the store holds'),
          ...MESSAGES.map(([kinds, words]) => el('li', {}, el('span', {}, ...kinds.map((kind) => el('canvas', { 'data-kind': kind, 'aria-label': kind, role: 'img' }))), words))),
        el('p', {}, 'Time is virtual. Messages travel for a few milliseconds, so time slows down for them, unless you turn that off.')),
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

function paint(canvas, ink) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = 110 * scale;
  canvas.height = 24 * scale;
  const cx = canvas.getContext('2d');
  cx.scale(scale, scale);
  drawMessage(cx, 40, 12, { kind: canvas.dataset.kind, copies: 1 }, 0, true, ink, false);
}
