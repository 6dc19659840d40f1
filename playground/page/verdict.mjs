// Side by side: one line that says what the naive client has lost, and when.

import { attribute, button, byId, el, keyed, moment, show, text } from './dom.mjs';

const MOST = 4;

export class Verdict {
  constructor(app) {
    this.app = app;
    this.root = byId('verdict');
    this.words = el('span', { 'data-testid': 'verdict-words' });
    this.lost = el('span', { class: 'lost' });
    this.root.append(this.words, this.lost);
  }

  render(view) {
    const { beside } = view;
    show(this.root, Boolean(beside));
    this.head(view);
    if (!beside) return;
    // While a cut lasts, both believe what is old; what counts is who goes on so.
    const losing = beside.lost.length > 0 || beside.differs > view.differs;
    attribute(this.root, 'data-losing', losing ? 'yes' : null);
    text(this.words, beside.words);
    keyed(this.lost, beside.lost.slice(0, MOST), (lost) => `${lost.at_ms} ${lost.words}`,
      (lost) => button({ class: 'small', 'data-testid': 'to-loss', title: lost.words, onclick: () => this.app.seek(lost.at_ms) }, moment(lost.at_ms)), () => {});
  }

  /** Whose stage is whose. */
  head(view) {
    const [main, other] = this.app.stages;
    text(main.title, 'Portolan');
    text(main.words, view.checks.violations ? `${view.checks.violations} checks violated` : view.differs ? `${view.differs} differ from the store` : 'agrees with the store');
    if (!other || !view.beside) return;
    text(other.title, this.app.fleetName(view.beside.fleet));
    text(other.words, view.beside.differs ? `${view.beside.differs} differ from the store` : 'agrees with the store');
  }
}
