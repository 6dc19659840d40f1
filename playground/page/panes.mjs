// The panel's tabs: guide, inspector, trace, checks. On a wide page the panel stands beside the
// stage and can be made wider; on a narrow one it is a sheet below it and can be folded.

import { byId } from './dom.mjs';

const NAMES = ['guide', 'inspect', 'trace', 'checks'];
const NARROW = window.matchMedia('(max-width: 760px)');

export class Panes {
  constructor(app) {
    this.app = app;
    this.shown = 'guide';
    this.tabs = NAMES.map((name) => byId(`tab-${name}`));
    this.tabs.forEach((tab, n) => {
      tab.addEventListener('click', () => {
        // On a narrow page the tab that is shown folds its sheet.
        if (this.narrow() && this.shown === NAMES[n] && !this.other()) this.fold(true);
        else this.show(NAMES[n]);
      });
      tab.addEventListener('keydown', (event) => this.key(event, n));
    });
    byId('fold').addEventListener('click', () => this.fold(!this.other()));
  }

  key(event, n) {
    const to = { ArrowRight: n + 1, ArrowLeft: n - 1, Home: 0, End: NAMES.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = (to + NAMES.length) % NAMES.length;
    this.show(NAMES[next]);
    this.tabs[next].focus();
  }

  /** Whether the panel has the size that it does not have by itself. */
  other() {
    return document.body.dataset.panel === 'other';
  }

  fold(other) {
    if (other) document.body.dataset.panel = 'other';
    else delete document.body.dataset.panel;
    byId('fold').setAttribute('aria-expanded', String(this.narrow() ? !other : other));
    this.app.wake();
  }

  narrow() {
    return NARROW.matches;
  }

  show(name, focus = false) {
    this.shown = name;
    if (this.narrow() && this.other()) this.fold(false);
    this.tabs.forEach((tab, n) => {
      const chosen = NAMES[n] === name;
      tab.setAttribute('aria-selected', String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      byId(`pane-${NAMES[n]}`).hidden = !chosen;
    });
    if (name === 'trace') this.app.trace?.reshow();
    if (focus) (byId(`pane-${name}`).querySelector('[tabindex="0"]') ?? byId(`pane-${name}`)).focus();
    this.app.changed();
  }
}
