// The page's one loop: virtual time goes on, one view is asked for, and every part shows what
// changed. Parts hear of the world only through the view, and ask for things only through `App`.

import { attribute, byId, moment } from './dom.mjs';
import { Engine, Panicked } from './engine.mjs';
import { Player, SPEEDS } from './player.mjs';
import { Stage } from './stage.mjs';
import { Timeline } from './timeline.mjs';
import { Trace } from './trace.mjs';
import { Checks } from './checks.mjs';
import { Inspector } from './inspector.mjs';
import { Guide } from './guide.mjs';
import { Scenarios, title } from './scenarios.mjs';
import { Actions } from './actions.mjs';
import { Menu } from './menu.mjs';
import { Share } from './share.mjs';
import { Panes } from './panes.mjs';
import { Transport } from './transport.mjs';
import { Verdict } from './verdict.mjs';
import { say, tellPanic } from './notices.mjs';
import { listenToKeys } from './keys.mjs';
import { listenToTheme } from './theme.mjs';
import { expose } from './api.mjs';

/** Wall time for going to a moment that was never reached, in a frame. */
const SEEK_BUDGET_MS = 12;
/** A plan of more processes is no story, and takes seconds to run for its guide. */
const MOST_GUIDED = 16;
/** How often the time line's marks are asked for while time passes. */
const MARKS_EVERY_MS = 300;

class App {
  constructor() {
    this.engine = null;
    this.view = null;
    this.selected = null;
    /** Whose things are inspected. */
    this.side = 'main';
    this.pointed = null;
    this.name = null;
    this.wanted = null;
    this.dirty = true;
    this.frameAsked = false;
    this.stages = [];
    this.panes = new Panes(this);
    this.guide = new Guide(byId('pane-guide'), this);
  }

  /** Begins with the simulator there. */
  start(engine) {
    this.engine = engine;
    engine.onPanic = (message, asked) => this.panicked(message, asked);
    this.player = new Player(engine);
    byId('loading').remove();
    this.addStage('main');
    this.timeline = new Timeline(this);
    this.trace = new Trace(byId('pane-trace'), this);
    this.checks = new Checks(byId('pane-checks'), this);
    this.inspector = new Inspector(byId('pane-inspect'), this);
    this.transport = new Transport(this, SPEEDS);
    this.verdict = new Verdict(this);
    this.scenarios = new Scenarios(this);
    this.actions = new Actions(this);
    this.menu = new Menu(this);
    this.share = new Share(this);
    listenToTheme(() => this.recolour());
    if (!this.share.fromAddress() && !this.view) this.load({ scenario: this.first() }, { name: this.first() });
  }

  first() {
    return this.engine.scenarios.some((scenario) => scenario.name === 'first-visit') ? 'first-visit' : 'crash';
  }

  addStage(side) {
    const stage = new Stage(side, this);
    this.stages.push(stage);
    byId('pair').append(stage.root);
  }

  // Loading

  /** Takes another plan, and throws where it cannot be read. */
  open(request, { name, title: words, about }) {
    this.engine.load(request);
    this.player.pause();
    // A shared moment: frame by frame, as any that is far ahead.
    this.wanted = this.engine.wanted() ?? null;
    const scenario = this.engine.scenarios.find((candidate) => candidate.name === name);
    this.name = name ?? null;
    const shown = words ?? title(name ?? 'a plan');
    this.scenarios.name(shown);
    this.guide.load(shown, scenario?.about || this.aboutPlan() || about || '', scenario?.naive ?? null);
    this.choose(null, { keepPane: true });
    for (const stage of this.stages) stage.opened = null;
    this.point(null);
    this.historyChanged();
    this.showNow();
    this.guideLater();
  }

  /** What there is to look at, once the plan is on the stage: to find out takes a run of it. */
  guideLater() {
    clearTimeout(this.guiding);
    this.timeline.expected = 0;
    if (this.view.processes.length > MOST_GUIDED) return;
    this.guiding = setTimeout(() => this.guarded(() => {
      const steps = this.engine.guide();
      this.guide.setSteps(steps);
      this.timeline.expected = steps.at(-1)?.at_ms ?? 0;
      this.showNow();
    }), 0);
  }

  /** The same, with a refusal told. Answers whether it worked. */
  load(request, named, told = 'This cannot be run') {
    return this.attempt(told, () => { this.open(request, named); return true; }) ?? false;
  }

  /** What the plan says of itself; a shared one brings its sentence along. */
  aboutPlan() {
    try {
      return String(JSON.parse(this.engine.plan).about ?? '').slice(0, 600);
    } catch {
      return '';
    }
  }

  /** Runs something that the simulator may refuse, and tells so. `undefined` if it did. */
  attempt(told, run) {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof Panicked)) say(`${told}: ${error.message}`, 'bad');
      return undefined;
    }
  }

  // Time

  now() { return this.wanted ?? this.view?.now_ms ?? 0; }
  reached() { return this.engine.reaches(); }

  play(until = null) {
    this.wanted = null;
    if (this.view?.end && this.engine.next() === undefined) this.seek(0);
    this.player.play(until);
    // On a narrow page there is the stage to look at now; the guide's words stand under it.
    if (this.panes.narrow() && this.panes.shown === 'guide') this.panes.fold(true);
    this.wake();
  }

  pause() {
    this.player.pause();
    this.wanted = null;
    this.wake();
  }

  toggle() {
    if (this.player?.playing) this.pause();
    else if (this.player) this.play();
  }

  step() {
    if (!this.engine?.world) return;
    this.player.pause();
    this.wanted = null;
    this.attempt('No step', () => this.engine.step());
    this.changed();
  }

  /** That moment, with the next frame: a drag asks for more moments than can be shown. */
  seek(ms) {
    if (!this.engine?.world) return;
    this.player.pause();
    this.wanted = Math.max(0, ms);
    this.wake();
  }

  toMark(way) {
    const mark = this.timeline?.neighbour(way);
    if (mark) this.seek(mark.at_ms);
  }

  faster(by) {
    this.transport?.faster(by);
  }

  goOn(ms) {
    this.attempt('It cannot go on', () => this.engine.last(this.engine.now() + ms));
    this.play();
    this.changed();
  }

  // For programs: at once, and thrown where it fails.

  goTo(ms) {
    this.player.pause();
    this.wanted = null;
    this.engine.goTo(Math.max(0, ms));
    this.historyChanged();
    this.showNow();
  }

  stepOnce() {
    this.player.pause();
    this.wanted = null;
    const more = this.engine.step();
    this.showNow();
    return more;
  }

  doNow(action) {
    this.wanted = null;
    const at = this.engine.act(action);
    this.historyChanged();
    this.showNow();
    return at;
  }

  // Doing and choosing

  /** Does something now. Answers when, or why not. */
  act(action, label) {
    try {
      const at = this.doNow(action);
      say(`${label}: done at ${moment(at)}.`, 'good');
      return { at };
    } catch (error) {
      if (!(error instanceof Panicked)) say(`${label}: ${error.message}`, 'bad');
      return { refused: error.message };
    }
  }

  fleetName(id) {
    return this.engine.fleets.find((fleet) => fleet.id === id)?.name ?? id;
  }

  beside(fleet) {
    this.attempt('That cannot stand beside', () => this.engine.beside(fleet));
    this.historyChanged();
    this.showNow();
  }

  /** Chooses a thing to look at, or nothing. */
  choose(what, { menu = false, on = null, point = null, side = null, keepPane = false }) {
    this.selected = what;
    if (side) this.side = side;
    if (!what) this.side = 'main';
    this.inspector?.choose(what);
    if (what) for (const stage of this.stages) stage.focus(what);
    if (what && !keepPane && !(menu && this.panes.narrow())) this.panes.show('inspect');
    if (menu && what) this.menu.open(what, { on, point });
    // At once: until the next frame, the buttons would be those of the thing before.
    if (what) this.showNow();
    else this.changed();
  }

  menuAt(node) {
    const on = node?.closest?.('[data-what]') ?? null;
    const what = on?.dataset.what ?? this.selected;
    if (what) this.choose(what, { menu: true, on, point: on ? null : { x: innerWidth / 2, y: innerHeight / 3 } });
  }

  /** Points at what the guide speaks of. */
  point(what) {
    this.pointed = what;
    this.changed();
  }

  showPane(name, focus = false) {
    this.panes.show(name, focus);
  }

  // Showing

  wake() {
    if (this.frameAsked || !this.engine?.world) return;
    this.frameAsked = true;
    requestAnimationFrame((at) => this.frame(at));
  }

  changed() {
    this.dirty = true;
    this.wake();
  }

  /** What was shown of the past or of what is to come may be other now. */
  historyChanged() {
    this.trace?.forget();
    this.marksAt = null;
    this.dirty = true;
  }

  frame(at) {
    this.frameAsked = false;
    const wall = Math.max(1, at - (this.lastFrame ?? at - 16));
    this.lastFrame = at;
    this.guarded(() => {
      if (this.wanted !== null) {
        // What is far ahead takes more than a frame; the page shows how far it has come.
        if (this.engine.goTo(this.wanted, SEEK_BUDGET_MS)) this.wanted = null;
        this.marksAt = null;
        this.dirty = true;
      }
      if (this.player.frame(wall, this.view)) this.dirty = true;
      this.refresh();
    });
    if (this.player.playing || this.wanted !== null) this.wake();
    else this.lastFrame = undefined;
  }

  showNow() {
    this.dirty = true;
    this.guarded(() => this.refresh());
  }

  /** Nothing that goes wrong in showing may stop the page; a panic has its own panel. */
  guarded(run) {
    try {
      run();
    } catch (error) {
      this.player.pause();
      this.wanted = null;
      if (!(error instanceof Panicked)) {
        console.error(error);
        say(`The page stumbled: ${error.message}`, 'bad');
      }
    }
  }

  refresh() {
    if (this.dirty) {
      this.dirty = false;
      const [main] = this.stages;
      this.view = this.engine.view(main.options(this.view?.processes.length ?? 1));
      this.arrange();
      main.render(this.view);
      if (this.stages[1]) {
        this.besideView = this.engine.view(this.stages[1].options(this.view.processes.length));
        this.stages[1].render(this.besideView);
      }
      this.renderMarks();
      this.timeline.render(this.view, this.engine.reaches());
      this.transport.render(this.view);
      this.verdict.render(this.view);
      this.guide.render(this.view);
      this.checks.render(this.view);
      this.inspector.render(this.view);
      this.trace.processes(this.view.processes.length);
      for (const stage of this.stages) stage.mark(this.selected, this.pointed);
      this.markPlaces();
    } else {
      this.transport.render(this.view);
      this.timeline.draw();
      this.inspector.render(this.view);
    }
    this.trace.render(this.view);
    this.stages[0].draw(this.view);
    this.stages[1]?.draw(this.besideView);
  }

  /** One stage or two. */
  arrange() {
    const two = Boolean(this.view.beside);
    if (two === (this.stages.length === 2)) return;
    if (two) this.addStage('beside');
    else this.stages.pop().close();
    attribute(byId('pair'), 'data-two', two ? 'yes' : null);
    for (const stage of this.stages) stage.moved();
  }

  renderMarks() {
    const now = performance.now();
    if (this.marksAt !== null && now - this.marksAt < MARKS_EVERY_MS) return;
    this.marksAt = now;
    const marks = this.engine.marks();
    this.timeline.setMarks(marks);
    this.guide.setMarks(marks);
  }

  /** Points at places outside of the stages too. */
  markPlaces() {
    for (const node of document.querySelectorAll('.outside')) node.classList.toggle('pointed', node.dataset.place === this.pointed);
  }

  recolour() {
    for (const stage of this.stages) stage.chart.colours();
    this.timeline?.colours();
    this.wake();
  }

  panicked(message, asked) {
    this.player.pause();
    tellPanic({ message, asked, plan: this.engine.plan, version: this.engine.version(), onAgain: () => { history.replaceState(null, '', location.pathname); location.reload(); } });
  }
}

const app = new App();
listenToKeys(app);
const start = Engine.start().then((engine) => app.start(engine));
expose(app, start);
start.catch((error) => {
  console.error(error);
  const loading = document.getElementById('loading');
  if (loading) loading.textContent = `The simulator could not be loaded: ${error.message}. It needs a browser with WebAssembly, and the file portolan_bg.wasm beside this page.`;
});
