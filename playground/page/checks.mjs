// The properties that the simulator holds every run against, and how they stand.

import { attribute, button, byId, count, el, keyed, moment, show, text } from './dom.mjs';

const STATES = {
  holds: ['well', 'holds'],
  violated: ['broken', 'does not hold'],
  'not looked at': ['past', 'not looked at yet'],
  'not asked': ['past', 'not asked of this plan'],
};
const EVERY_MS = 400;

export class Checks {
  constructor(root, app) {
    this.root = root;
    this.app = app;
    this.badge = byId('checks-badge');
    this.sum = el('p', { class: 'sum', 'data-testid': 'checks-sum' });
    this.side = el('select', { 'data-testid': 'checks-side', 'aria-label': 'Checks of' }, el('option', { value: 'main' }, 'Portolan'), el('option', { value: 'beside' }, 'the other side'));
    this.side.addEventListener('change', () => { this.asked = null; app.wake(); });
    this.list = el('ul', { class: 'checks' });
    root.append(
      el('h2', {}, 'Checks'),
      el('p', { class: 'quiet' }, 'Properties that must hold whatever happens. The simulator looks at the store’s own log, which is the truth, and compares it with what each process was told.'),
      this.side, this.sum, this.list,
    );
  }

  render(view) {
    const { violations } = view.checks;
    show(this.badge, violations > 0);
    text(this.badge, violations);
    show(this.side, Boolean(view.beside));
    if (!view.beside) this.side.value = 'main';
    if (this.root.hidden) return;
    const now = performance.now();
    const key = `${view.now_ms} ${this.side.value} ${violations}`;
    if (this.asked === key) return;
    if (this.app.player.playing && now - (this.last ?? 0) < EVERY_MS) return;
    this.asked = key;
    this.last = now;
    const checks = this.app.engine.checks({ side: this.side.value });
    const violated = checks.list.filter((check) => check.state === 'violated').length;
    attribute(this.sum, 'data-standing', checks.held ? 'well' : 'broken');
    text(this.sum, checks.held ? `All hold so far, after ${count(view.checks.looks, 'look')}.` : `${count(violated, 'check does', 'checks do')} not hold.`);
    const order = { violated: 0, holds: 1 };
    const sorted = checks.list.toSorted((a, b) => (order[a.state] ?? 2) - (order[b.state] ?? 2));
    keyed(this.list, sorted, (check) => check.id, (check) => this.make(check), (node, check) => this.fill(node, check));
  }

  make(check) {
    const node = el('li', { 'data-testid': `check-${check.id}` });
    node.parts = { state: el('span', { class: 'state' }), about: el('p'), looks: el('span', { class: 'quiet' }), violations: el('ul') };
    node.append(
      button({ class: 'row', 'data-what': `check:${check.id}`, 'data-testid': `inspect-${check.id}`, onclick: () => this.app.choose(`check:${check.id}`, {}) }, el('b', {}, check.id), node.parts.state, node.parts.looks),
      node.parts.about, node.parts.violations,
    );
    return node;
  }

  fill(node, check) {
    const { parts } = node;
    const [standing, words] = STATES[check.state] ?? ['unsure', check.state];
    attribute(node, 'data-standing', standing);
    attribute(parts.state, 'data-standing', standing);
    text(parts.state, words);
    text(parts.about, check.about);
    text(parts.looks, check.looks ? count(check.looks, 'look') : '');
    keyed(parts.violations, check.violations.slice(0, 50), (v) => `${v.at_ms} ${v.text}`,
      (v) => el('li', {}, el('span', {}, v.text), button({ class: 'small', 'data-testid': 'to-violation', onclick: () => this.app.seek(v.at_ms) }, `Go to ${moment(v.at_ms)}`)),
      () => {});
  }
}
