// The stage: processes on one shore, the store on the other, and between them what travels. One
// stage shows one side; two stand beside each other when a plan runs with two kinds of clients.

import { attribute, el, figure, keyed, show, text } from './dom.mjs';
import { fillProcess, fillTile, makeProcess, makeTile } from './cards.mjs';
import { fillStore, makeStore } from './store.mjs';
import { Chart, makeLine } from './chart.mjs';

/** Up to so many processes are cards; more are tiles, of which the chosen one opens. */
const MOST_CARDS = 6;
/** Up to so many are cards with one row for each instance. */
const MOST_FULL = 4;
/** More tiles than this help nobody. */
const MOST_TILES = 240;
/** A stage that is narrower stands upright: processes above, the store below. */
const UPRIGHT_BELOW = 760;

export class Stage {
  /** `app.choose(what, how)` hears what was clicked, `app.wake()` that there is something to draw. */
  constructor(side, app) {
    this.side = side;
    this.app = app;
    this.opened = null;
    this.stale = true;
    const under = el('canvas', { class: 'under', 'aria-hidden': 'true' });
    const over = el('canvas', { class: 'over', 'aria-hidden': 'true' });
    this.open = el('div', { class: 'open' });
    this.crew = el('div', { class: 'crew' });
    this.more = el('p', { class: 'more' });
    this.store = makeStore();
    this.hint = el('p', { class: 'hint' });
    this.shore = el('div', { class: 'shore', 'aria-label': 'Processes', role: 'group' }, this.open, this.crew, this.more);
    this.strait = el('div', { class: 'strait', 'data-place': 'links' }, this.hint);
    this.sea = el('div', { class: 'sea' }, under, this.shore, this.strait, this.store, over);
    this.title = el('b');
    this.words = el('span', { class: 'quiet' });
    this.head = el('header', { class: 'stage-head' }, this.title, this.words);
    this.root = el('section', { class: 'stage', 'data-side': side, 'data-testid': `stage-${side}` }, this.head, el('div', { class: 'scroll' }, this.sea));
    this.chart = new Chart(under, over);
    this.watchSize();
    this.listen();
    // The store stays in sight, so lines end elsewhere then.
    this.root.lastChild.addEventListener('scroll', () => this.moved(), { passive: true });
  }

  watchSize() {
    this.sizes = new ResizeObserver(() => this.moved());
    for (const node of [this.root, this.sea, this.shore, this.crew, this.store]) this.sizes.observe(node);
  }

  /** Things stand elsewhere now. */
  moved() {
    this.stale = true;
    this.app.wake();
  }

  listen() {
    this.sea.addEventListener('click', (event) => {
      const on = event.target.closest('[data-what]');
      const point = pointed(event);
      if (on) this.app.choose(on.dataset.what, { menu: on.dataset.menu === 'yes', on, point, side: this.side });
      else {
        const what = this.hit(event);
        if (what) this.app.choose(what, { menu: what.startsWith('link:'), point, side: this.side });
      }
    });
    this.sea.addEventListener('contextmenu', (event) => {
      const on = event.target.closest('[data-what]');
      const what = on?.dataset.what ?? this.hit(event);
      if (!what) return;
      event.preventDefault();
      this.app.choose(what, { menu: true, on, point: pointed(event), side: this.side });
    });
    this.sea.addEventListener('pointermove', (event) => {
      const what = event.target.closest('button') ? null : this.hit(event);
      if (what === this.chart.hover) return;
      this.chart.hover = what;
      this.sea.style.cursor = what ? 'pointer' : '';
      this.app.wake();
    });
    this.sea.addEventListener('pointerleave', () => {
      this.chart.hover = null;
      this.app.wake();
    });
  }

  hit(event) {
    const box = this.sea.getBoundingClientRect();
    return this.chart.hit(event.clientX - box.left, event.clientY - box.top);
  }

  /** What to ask of a view, so that it has what is shown and little more. */
  options(processes) {
    const rows = processes > MOST_CARDS || this.upright ? 6 : 9;
    return { side: this.side, rows, other_rows: Math.min(rows, this.rowsOfOne(processes)) };
  }

  /** How many rows of each of its lists a process shows. */
  rowsOfOne(processes) {
    // Of a process that is a tile, one row of each list tells how it is.
    if (processes > MOST_CARDS) return this.opened === null ? 1 : 6;
    if (processes > MOST_FULL) return 3;
    return processes <= 2 && !this.upright ? 9 : 5;
  }

  render(view) {
    const tiles = view.processes.length > MOST_CARDS;
    const density = tiles ? 'tiles' : view.processes.length <= MOST_FULL ? 'full' : 'medium';
    if (density !== this.density) {
      this.density = density;
      attribute(this.sea, 'data-density', density);
      this.stale = true;
    }
    const leases = new Map(view.leases.map((lease) => [lease.id, lease]));
    const context = { now: view.now_ms, leases, told: new Map(view.told.map((told) => [told.process, told])), links: linksOf(view) };
    const cards = tiles ? view.processes.filter((process) => process.n === this.opened) : [];
    const fill = (node, process) => fillProcess(node, process, context);
    keyed(this.open, cards, (process) => process.n, makeProcess, fill);
    const shown = view.processes.length > MOST_TILES ? view.processes.slice(0, MOST_TILES) : view.processes;
    // A tile and a card of one process are two nodes.
    const key = (process) => (tiles ? `tile ${process.n}` : process.n);
    keyed(this.crew, shown, key, tiles ? makeTile : makeProcess, tiles ? (node, process) => fillTile(node, process, context) : fill);
    show(this.more, shown.length < view.processes.length);
    text(this.more, `and ${figure(view.processes.length - shown.length)} more processes`);
    fillStore(this.store, view, leases);
    const count = `${view.processes.length} ${view.members.length}`;
    if (count !== this.count) {
      this.count = count;
      this.stale = true;
    }
    text(this.hint, view.now_ms === 0 && !this.app.player.playing ? 'Press Play, or choose one of the three things to see.' : '');
  }

  /** Places what has moved, and draws links and messages. */
  draw(view) {
    if (this.stale) this.place(view);
    this.chart.draw(view);
  }

  place(view) {
    this.stale = false;
    const upright = this.root.clientWidth < UPRIGHT_BELOW;
    if (upright !== this.upright) {
      this.upright = upright;
      attribute(this.sea, 'data-upright', upright ? 'yes' : null);
    }
    const origin = this.sea.getBoundingClientRect();
    const docks = new Map();
    for (const [n, node] of this.store.parts.members.keyedNodes) docks.set(n, box(node, origin));
    const tiles = this.density === 'tiles';
    const lines = new Map();
    const crew = box(this.crew, origin);
    for (const [key, node] of this.crew.keyedNodes) {
      const n = tiles ? Number(key.slice(5)) : key;
      const card = tiles ? this.open.keyedNodes.get(n) : node;
      const from = card ? null : this.quay(box(node, origin), crew);
      for (const [member, dock] of docks) {
        const port = from ?? box(card.parts.ports.keyedNodes.get(member) ?? card, origin);
        lines.set(`${n}:${member}`, this.line(port, dock, tiles && !card));
      }
    }
    this.chart.place(Math.ceil(origin.width), Math.ceil(origin.height), lines, box(this.strait, origin));
  }

  /** Where a tile's lines begin: on the shore's edge, each at its own spot, so that none runs over a neighbour. */
  quay(tile, crew) {
    if (this.upright) {
      const x = tile.left + ((tile.bottom - crew.top) / (crew.bottom - crew.top + 1)) * (tile.right - tile.left);
      return { left: x, right: x, top: crew.bottom, bottom: crew.bottom };
    }
    const y = tile.top + ((tile.right - crew.left) / (crew.right - crew.left + 1)) * (tile.bottom - tile.top);
    return { left: crew.right, right: crew.right, top: y, bottom: y };
  }

  line(port, dock, crowded) {
    return this.upright
      ? makeLine((port.left + port.right) / 2, port.bottom, (dock.left + dock.right) / 2, dock.top, true, crowded)
      : makeLine(port.right, (port.top + port.bottom) / 2, dock.left, (dock.top + dock.bottom) / 2, false, crowded);
  }

  /** Marks what is chosen, and what the guide points at. */
  mark(selected, pointed) {
    this.chart.selected = selected;
    this.chart.pointed = pointed;
    for (const [name, what] of [['selected', selected], ['pointed', pointed]]) {
      for (const node of this.root.querySelectorAll(`.${name}`)) if (!is(node, what)) node.classList.remove(name);
      if (!what) continue;
      const quoted = CSS.escape(what);
      for (const node of this.root.querySelectorAll(`[data-what="${quoted}"]:not(.name), [data-card="${quoted}"], [data-place="${quoted}"]`)) node.classList.add(name);
    }
  }

  /** Opens the card of one process among many. */
  focus(what) {
    const n = /^(?:process|link|directory|registration):(\d+)/.exec(what)?.[1];
    if (n !== undefined) this.opened = Number(n);
  }

  close() {
    this.sizes.disconnect();
    this.root.remove();
  }
}

function is(node, what) {
  return what !== null && [node.dataset.what, node.dataset.card, node.dataset.place].includes(what);
}

function box(node, origin) {
  const rect = node.getBoundingClientRect();
  return { left: rect.left - origin.left, right: rect.right - origin.left, top: rect.top - origin.top, bottom: rect.bottom - origin.top };
}

function linksOf(view) {
  const members = view.members.length;
  if (view.links.length === members * view.processes.length) return (n) => view.links.slice(n * members, (n + 1) * members);
  const by = Map.groupBy ? Map.groupBy(view.links, (link) => link.process) : group(view.links);
  return (n) => by.get(n) ?? [];
}

function group(links) {
  const by = new Map();
  for (const link of links) by.set(link.process, [...(by.get(link.process) ?? []), link]);
  return by;
}

/** Where one has pointed; nowhere by the keyboard: what opens then opens at what is focused. */
function pointed(event) {
  return event.clientX || event.clientY ? { x: event.clientX, y: event.clientY } : null;
}
