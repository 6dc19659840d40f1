// The guide: what a plan is about, step by step, each step pointing at what happens; and for whoever
// comes for the first time, three things to see.

import { attribute, button, byId, el, keyed, moment, show, text } from './dom.mjs';

/** Of each: the scenarios that show it, the best first, and what to look out for. */
const SIGHTS = [
  {
    id: 'vanish', title: 'An instance vanishes',
    text: 'Its process dies without a word. Nobody renews its lease; when the ring has run out, it is gone everywhere.',
    names: ['crash'],
  },
  {
    id: 'survive', title: 'A cut that Portolan survives',
    text: 'A process is cut off, and what it missed is forgotten by the store. It knows that it does not know, and finds out.',
    names: ['compacted-while-cut-off', 'connection-reset'],
  },
  {
    id: 'naive', title: 'A naive client that does not',
    text: 'The same cut, for another client. It is told nothing more, notices nothing, and believes in what is no more.',
    names: ['naive-watch-compacted', 'naive-deletes-forgotten'],
  },
];

/** How long a step that passes by is pointed at. */
const POINT_MS = 4000;

export class Guide {
  constructor(root, app) {
    this.root = root;
    this.app = app;
    this.steps = [];
    this.marks = [];
    this.step = -1;
    this.about = el('p', { class: 'about', 'data-testid': 'about' });
    this.title = el('h2', { 'data-testid': 'guide-title' });
    this.list = el('ol', { class: 'steps', 'aria-label': 'Steps of the guide' });
    this.next = button({ class: 'primary wide', hidden: true, 'data-testid': 'guide-next', onclick: () => this.advance() });
    this.compare = button({ class: 'wide', hidden: true, 'data-testid': 'guide-beside', onclick: () => this.app.beside(this.naive) });
    this.happened = el('ul', { class: 'marks', 'data-testid': 'marks' });
    this.happenedTitle = el('h3', {}, 'What has mattered so far');
    this.makeCaption();
    this.sights = el('ol', { class: 'sights' }, ...SIGHTS.map((sight) => this.makeSight(sight)));
    this.tour = el('section', { class: 'tour', 'aria-label': 'Three things to see' }, el('h2', {}, 'Three things to see'), this.sights);
    root.append(
      this.tour,
      el('section', { class: 'story' }, this.title, this.about, this.next, this.compare, this.list, this.happenedTitle, this.happened),
    );
  }

  /** The step that is now, under the stage: whoever watches the stage need not look away. */
  makeCaption() {
    this.caption = byId('caption');
    this.captionWhen = el('span', { class: 'when' });
    this.captionTitle = el('b');
    this.captionText = el('span');
    this.captionNext = button({ class: 'primary', 'data-testid': 'caption-next', onclick: () => this.advance() });
    this.caption.append(el('p', { 'aria-live': 'polite' }, this.captionWhen, this.captionTitle, this.captionText), this.captionNext);
  }

  makeSight(sight) {
    sight.button = button({ class: 'sight', 'data-testid': `sight-${sight.id}`, onclick: () => this.look(sight) },
      el('b', {}, sight.title), el('span', {}, sight.text));
    return el('li', {}, sight.button);
  }

  /** Loads what shows a sight, and plays it. */
  look(sight) {
    const known = new Set(this.app.engine?.scenarios.map((scenario) => scenario.name));
    const name = sight.names.find((candidate) => known.has(candidate));
    if (!name || !this.app.load({ scenario: name }, { name })) return;
    attribute(sight.button, 'data-seen', 'yes');
    for (const other of SIGHTS) attribute(other.button, 'aria-current', other === sight ? 'true' : null);
    this.app.play();
  }

  /** Another plan: `about` in a sentence. Its steps come when they are known. */
  load(title, about, naive) {
    this.naive = naive;
    text(this.title, title);
    text(this.about, about);
    this.setSteps([]);
    const sight = SIGHTS.find((candidate) => candidate.button.hasAttribute('aria-current'));
    if (sight && !sight.names.includes(this.app.name)) attribute(sight.button, 'aria-current', null);
    // With a story running, the three stand back.
    attribute(this.tour, 'data-small', this.loaded ? 'yes' : null);
    this.loaded = true;
    this.root.scrollTop = 0;
  }

  setSteps(steps) {
    this.steps = steps;
    this.step = -1;
    this.shownAt = null;
    this.list.replaceChildren();
    this.list.keyedNodes = undefined;
    keyed(this.list, steps.map((step, n) => ({ ...step, n })), (step) => step.n, (step) => this.makeStep(step), () => {});
    show(this.next, steps.length > 0);
  }

  makeStep(step) {
    return el('li', {},
      button({ class: 'row', 'data-testid': `guide-step-${step.n}`, onclick: () => this.show(step.n) },
        el('span', { class: 'when' }, moment(step.at_ms)), el('b', {}, step.title)),
      el('p', {}, step.text));
  }

  /** Plays on to the next step, and points at what it tells of. */
  advance() {
    const next = this.steps[this.step + 1];
    if (!next) {
      this.app.seek(0);
      this.set(-1);
      return;
    }
    this.set(this.step + 1);
    if (next.at_ms > this.app.engine.now()) this.app.play(next.at_ms);
    else this.app.seek(next.at_ms);
  }

  /** Goes to a step at once. */
  show(n) {
    this.app.seek(this.steps[n].at_ms);
    this.set(n);
  }

  /** The step that is now; `passing`: time has brought it, and will take it away. */
  set(n, passing = false) {
    this.step = n;
    clearTimeout(this.pointing);
    this.app.point(this.steps[n]?.focus ?? null);
    if (passing) this.pointing = setTimeout(() => this.app.point(null), POINT_MS);
    const node = this.list.children[n];
    node?.scrollIntoView({ block: 'nearest' });
    this.app.wake();
  }

  render(view) {
    // Whoever plays or drags is at the step that was last.
    const { player } = this.app;
    if (player.until === null && this.shownAt !== view.now_ms) {
      let at = -1;
      while (at + 1 < this.steps.length && this.steps[at + 1].at_ms <= view.now_ms) at++;
      if (view.now_ms === 0 && this.step < 0) at = -1;
      if (at !== this.step) this.set(at, true);
    }
    this.shownAt = view.now_ms;
    this.renderCaption();
    if (this.root.hidden) return;
    this.renderMarks();
    const alone = Boolean(this.naive) && !view.beside;
    show(this.compare, alone);
    if (alone) text(this.compare, `The same beside a naive client: ${this.app.fleetName(this.naive)}`);
    [...this.list.children].forEach((node, n) => {
      attribute(node, 'data-step', n === this.step ? 'now' : n < this.step ? 'past' : 'later');
      attribute(node.firstChild, 'aria-current', n === this.step ? 'step' : null);
    });
  }

  renderCaption() {
    const now = this.steps[this.step];
    const next = this.steps[this.step + 1];
    show(this.caption, this.steps.length > 0);
    if (this.steps.length === 0) return;
    text(this.captionWhen, now ? moment(now.at_ms) : '');
    text(this.captionTitle, now ? `${now.title}.` : '');
    text(this.captionText, now ? now.text : this.about.textContent);
    text(this.captionNext, !next ? 'Again' : this.step < 0 ? 'Start' : 'Next');
    attribute(this.captionNext, 'title', next ? next.title : 'From the beginning');
    text(this.next, !next ? 'From the beginning' : this.step < 0 ? 'Start the guide' : `Next: ${next.title}`);
  }

  /** Lists the time line's marks: the same, for whoever cannot see or hit them. */
  setMarks(marks) {
    this.marks = marks;
    if (!this.root.hidden) this.renderMarks();
  }

  renderMarks() {
    const { marks } = this;
    if (this.marksShown === marks) return;
    this.marksShown = marks;
    show(this.happenedTitle, marks.length > 0);
    const shown = marks.slice(-40);
    keyed(this.happened, shown.map((mark, n) => ({ ...mark, n })), (mark) => `${mark.at_ms} ${mark.kind} ${mark.words}`,
      (mark) => el('li', {}, button({ class: 'row', 'data-mark': mark.kind, 'data-testid': `mark-${mark.kind}`, onclick: () => this.app.seek(mark.at_ms) },
        el('span', { class: 'when' }, moment(mark.at_ms)), el('span', {}, mark.words))),
      () => {});
  }
}
