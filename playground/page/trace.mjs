// The trace: what happened, line by line, as `portolan sim replay FILE --trace` prints it. Only the
// lines in sight are in the page; they are asked for in pages and kept until history may differ.

import { attribute, el, figure, keyed, show, text } from './dom.mjs';

const LINE_PX = 20;
const PAGE = 200;
const KINDS = [
  ['', 'everything'],
  ['messages', 'messages'],
  ['news', 'all but messages'],
  ['told', 'what applications want and are told'],
  ['store', 'the store'],
  ['plan', 'the plan'],
];

export class Trace {
  constructor(root, app) {
    this.root = root;
    this.app = app;
    this.pages = new Map();
    this.total = 0;
    this.cursor = -1;
    this.chosen = -1;
    this.process = el('select', { 'data-testid': 'trace-process', 'aria-label': 'Lines of', onchange: () => this.refilter() });
    this.kind = el('select', { 'data-testid': 'trace-kind', 'aria-label': 'Kind of line', onchange: () => this.refilter() },
      ...KINDS.map(([value, words]) => el('option', { value }, words)));
    this.follow = el('input', { type: 'checkbox', 'data-testid': 'trace-follow', checked: true });
    this.space = el('div', { class: 'space' });
    this.list = el('div', { class: 'lines', role: 'listbox', tabindex: '0', 'aria-label': 'Trace', 'data-testid': 'trace' }, this.space);
    this.whole = el('p', { class: 'whole', 'data-testid': 'trace-line' });
    this.count = el('span', { class: 'quiet' });
    root.append(
      el('div', { class: 'filters' }, this.process, this.kind, el('label', { class: 'check' }, this.follow, 'follow'), this.count),
      this.list, this.whole,
    );
    this.list.addEventListener('scroll', () => app.wake());
    this.list.addEventListener('wheel', () => this.unfollow(), { passive: true });
    this.list.addEventListener('click', (event) => {
      const row = event.target.closest('[role=option]');
      if (row) this.take(Number(row.dataset.n));
    });
    this.list.addEventListener('keydown', (event) => this.key(event));
  }

  unfollow() {
    this.follow.checked = false;
  }

  key(event) {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15 }[event.key];
    if (by) {
      this.unfollow();
      this.chosen = Math.max(0, Math.min(this.total - 1, (this.chosen < 0 ? this.cursor : this.chosen) + by));
      this.reveal(this.chosen);
      this.render();
    } else if (event.key === 'Enter' && this.chosen >= 0) this.take(this.chosen);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Goes to the moment of a line. */
  take(n) {
    this.chosen = n;
    const line = this.line(n);
    if (line) this.app.seek(line.at_ms);
  }

  /** How many processes there are to choose among. */
  processes(n) {
    if (this.offered === n) return;
    this.offered = n;
    const value = this.process.value;
    this.process.replaceChildren(el('option', { value: '' }, 'all processes'),
      ...Array.from({ length: Math.min(n, 4096) }, (_, i) => el('option', { value: String(i) }, `process ${i}`)));
    this.process.value = Number(value) < n ? value : '';
  }

  filter() {
    return { process: this.process.value === '' ? null : Number(this.process.value), kind: this.kind.value || null };
  }

  refilter() {
    this.forget();
    this.app.wake();
  }

  /** What was fetched may be of another history now. */
  forget() {
    this.pages.clear();
    this.chosen = -1;
    this.at = null;
  }

  /** Comes into sight: what passed meanwhile is looked up. */
  reshow() {
    this.at = null;
  }

  line(n) {
    const page = this.pages.get(Math.floor(n / PAGE));
    return page?.[n % PAGE];
  }

  fetch(number) {
    const known = this.pages.get(number);
    if (known && (known.length === PAGE || number * PAGE + known.length >= this.total)) return;
    const { total, lines } = this.app.engine.trace({ ...this.filter(), from: number * PAGE, count: PAGE });
    this.total = total;
    this.pages.set(number, lines);
    if (this.pages.size > 40) this.pages.delete(this.pages.keys().next().value);
  }

  /** Follows the present moment, if the pane is in sight. */
  render(view) {
    if (this.root.hidden || !this.app.engine.world) return;
    if (view && this.at !== view.now_ms) {
      this.at = view.now_ms;
      this.cursor = this.app.engine.traceAt(this.filter()) ?? -1;
      this.total = this.app.engine.trace({ ...this.filter(), from: 0, count: 0 }).total;
      this.space.style.height = `${this.total * LINE_PX}px`;
      if (this.follow.checked) this.reveal(this.cursor);
    }
    const first = Math.max(0, Math.floor(this.list.scrollTop / LINE_PX) - 4);
    const last = Math.min(this.total, first + Math.ceil(this.list.clientHeight / LINE_PX) + 8);
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page++) this.fetch(page);
    const numbers = [];
    for (let n = first; n < last; n++) if (this.line(n)) numbers.push(n);
    keyed(this.space, numbers, (n) => n, (n) => el('div', { role: 'option', id: `line-${n}`, 'data-n': n, 'data-testid': 'trace-row' }), (node, n) => this.fill(node, n));
    attribute(this.list, 'aria-activedescendant', numbers.includes(this.chosen) ? `line-${this.chosen}` : null);
    text(this.count, figure(this.total));
    const shown = this.line(this.chosen < 0 ? this.cursor : this.chosen);
    show(this.whole, Boolean(shown));
    if (shown) text(this.whole, shown.text);
  }

  fill(node, n) {
    const line = this.line(n);
    text(node, line.text);
    attribute(node, 'data-kind', line.kind);
    attribute(node, 'aria-selected', n === (this.chosen < 0 ? this.cursor : this.chosen) ? 'true' : 'false');
    attribute(node, 'data-when', n > this.cursor ? 'later' : n === this.cursor ? 'now' : null);
    const top = `${n * LINE_PX}px`;
    if (node.style.top !== top) node.style.top = top;
  }

  /** Scrolls a line into sight. */
  reveal(n) {
    const top = n * LINE_PX;
    const { scrollTop, clientHeight } = this.list;
    if (top < scrollTop || top > scrollTop + clientHeight - 2 * LINE_PX) this.list.scrollTop = Math.max(0, top - clientHeight * 0.6);
  }
}
