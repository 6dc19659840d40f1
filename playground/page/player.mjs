// How virtual time passes while the page plays. A frame has a share of wall time for the simulator;
// what does not fit waits for the next one, and the speed that is shown is the one that came about.
//
// Messages travel for a few milliseconds, which nobody can see at the speed at which leases run
// out. So, where asked, time slows down while something travels, and only then: virtual time stays
// as it is, and what is seen is what happened.

/** The speeds to choose from. */
export const SPEEDS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/** Wall time for what happens in a frame, in milliseconds; to look at it takes as long again. */
const BUDGET_MS = 2;
/** Events between two looks at the wall clock; grows and shrinks with how long they take. */
const FEWEST = 16;
/** No frame is taken for longer than this: a page that was hidden goes on where it was. */
const LONGEST_FRAME_MS = 100;
/** How long a message's way shall take on the wall, by how much there is to see in it. */
const JOURNEY_MS = { grant: 900, write: 900, event: 900, lease: 900, failed: 900, renew: 450, answer: 450 };
const OTHER_JOURNEY_MS = 550;

export class Player {
  constructor(engine) {
    this.engine = engine;
    this.playing = false;
    this.speed = 1;
    this.slow = true;
    /** Pause there, or nowhere. */
    this.until = null;
    this.most = FEWEST;
    this.pace = [];
  }

  play(until = null) {
    this.playing = true;
    this.until = until;
    this.pace = [];
  }

  pause() {
    this.playing = false;
    this.until = null;
  }

  /** One frame of `wallMs`, from what `view` showed last. Answers whether anything moved. */
  frame(wallMs, view) {
    if (!this.playing) return false;
    const wall = Math.min(wallMs, LONGEST_FRAME_MS);
    const from = this.engine.now();
    const speed = this.rate(view);
    let to = from + wall * speed;
    if (this.until !== null) to = Math.min(to, this.until);
    // In slow motion no event is passed unseen: the next frame begins where it happens.
    const next = this.engine.next();
    const short = this.slow && this.speed <= 20;
    if (short && next !== undefined) to = Math.min(to, Math.max(next, from));
    this.run(to);
    const now = this.engine.now();
    this.note(wallMs, now - from);
    if (this.until !== null && now >= this.until) this.pause();
    else if (now < to && this.engine.next() === undefined) this.pause();
    return true;
  }

  /** Advances until `to` or until the wall time is used up. */
  run(to) {
    const start = performance.now();
    for (;;) {
      const before = performance.now();
      if (this.engine.advance(to, this.most)) return;
      const after = performance.now();
      if (after - before > BUDGET_MS / 4) this.most = Math.max(FEWEST, this.most >> 1);
      else if (this.most < 1 << 14) this.most <<= 1;
      if (after - start > BUDGET_MS || this.engine.next() === undefined) return;
    }
  }

  /** Virtual milliseconds per millisecond on the wall. */
  rate(view) {
    if (!this.slow || !view) return this.speed;
    let rate = this.speed;
    let travelling = 0;
    for (const message of view.messages) travelling += message.held ? 0 : 1;
    // Many at once: nobody reads each, and somebody wants to get on.
    const ease = Math.sqrt(Math.max(1, this.speed)) * (1 + travelling / 8);
    for (const message of view.messages) {
      if (message.held) continue;
      const way = message.arrives_ms - message.left_ms;
      const journey = (JOURNEY_MS[message.kind] ?? OTHER_JOURNEY_MS) / ease;
      if (way > 0) rate = Math.min(rate, way / journey);
    }
    return rate;
  }

  note(wallMs, virtualMs) {
    this.pace.push([wallMs, virtualMs]);
    if (this.pace.length > 40) this.pace.shift();
  }

  /** The speed that came about over the last frames, or `null` before there is one to tell. */
  real() {
    if (this.pace.length < 10) return null;
    const wall = this.pace.reduce((sum, [ms]) => sum + ms, 0);
    return wall > 0 ? this.pace.reduce((sum, [, ms]) => sum + ms, 0) / wall : null;
  }
}
