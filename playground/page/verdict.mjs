// Side by side: one line that says what the naive client has lost, and when.

import { attribute, button, byId, el, keyed, moment, show, text } from './dom.mjs';

const MOST = 4;

export class Verdict {
  constructor(app) {
    this.app = app;
    this.root = byId('verdict');
    this.sign = el('b', { 'data-testid': 'verdict-fleet' });
    this.words = el('span', { 'data-testid': 'verdict-words' });
    this.lost = el('span', { class: 'lost' });
    this.root.append(this.sign, this.words, this.lost);
  }

  render(view) {
    const { beside } = view;
    show(this.root, Boolean(beside));
    this.head(view);
    if (!beside) return;
    const losing = beside.lost.length > 0 || beside.differs > 0;
    attribute(this.root, 'data-losing', losing ? 'yes' : null);
    text(this.sign, this.app.fleetName(beside.fleet));
    text(this.words, beside.words);
    keyed(this.lost, beside.lost.slice(0, MOST), (lost) => `${lost.at_ms} ${lost.words}`,
      (lost) => button({ class: 'small', 'data-testid': 'to-loss', title: lost.words, onclick: () => this.app.seek(lost.at_ms) }, moment(lost.at_ms)), () => {});
  }

  /** Whose stage is whose. */
  head(view) {
    const [main, other] = this.app.stages;
    text(main.title, 'Portolan');
    text(main.words, view.checks.violations ? `${view.checks.violations} checks violated` : differs(view));
    if (!other || !view.beside) return;
    text(other.title, this.app.fleetName(view.beside.fleet));
    text(other.words, view.beside.differs ? `${view.beside.differs} differ from the store` : 'agrees with the store');
  }
}

function differs(view) {
  let n = 0;
  for (const process of view.processes) for (const directory of process.directories) n += directory.differs;
  return n ? `${n} differ from the store` : 'agrees with the store';
}
