// The simulator in WebAssembly, behind one class: JSON becomes objects here, and every failure one
// of two things. A `Refusal` is a plain sentence for whoever asked, and nothing changed. A panic is
// a bug of ours: the instance is not asked again, and `onPanic` hears what to report.

/** Something was asked that cannot be; nothing changed. */
export class Refusal extends Error {}

/** Events between two looks at the wall clock. */
const MOST_EVENTS = 256;

/** The simulator has panicked, and takes nothing more. */
export class Panicked extends Error {}

export class Engine {
  /** Fetches and starts the module. */
  static async start() {
    const wasm = await import('./portolan.mjs');
    await wasm.default();
    return new Engine(wasm);
  }

  constructor(wasm) {
    this.wasm = wasm;
    this.world = null;
    this.panicked = null;
    /** The plan so far, for a report: a panicked world can no longer be asked for it. */
    this.plan = '';
    this.onPanic = () => {};
    this.scenarios = JSON.parse(wasm.scenarios());
    this.mixes = JSON.parse(wasm.mixes());
    this.fleets = JSON.parse(wasm.fleets());
  }

  version() {
    return this.wasm.version();
  }

  /** Takes another plan; if it cannot be read, the present one stays. */
  load(request) {
    const text = JSON.stringify(request);
    const world = this.guard(() => new this.wasm.Playground(text), `load ${text.slice(0, 2000)}`);
    this.world?.free();
    this.world = world;
    this.remember();
  }

  wanted() { return this.call('wanted'); }
  now() { return this.call('now'); }
  next() { return this.call('next'); }
  reaches() { return this.call('reaches'); }
  advance(toMs, most) { return this.call('advance', toMs, most); }
  step() { return this.call('step'); }

  /**
   * Goes to any moment: at once where it is known, else by running there, for at most so long on the
   * wall. Answers whether it is there, or never will be.
   */
  goTo(toMs, wallMs = Infinity) {
    this.call('seek', toMs);
    const until = performance.now() + wallMs;
    while (!this.call('advance', toMs, MOST_EVENTS)) {
      if (this.call('next') === undefined) break;
      if (performance.now() > until) return false;
    }
    return true;
  }

  last(toMs) { this.call('last', toMs); }
  beside(fleet) { this.call('beside', fleet || undefined); }
  share() { return this.call('share'); }
  export() { return this.call('export'); }
  traceText() { return this.call('trace_text'); }
  traceAt(options) { return this.call('trace_at', JSON.stringify(options)); }
  view(options) { return JSON.parse(this.call('view', JSON.stringify(options))); }
  trace(options) { return JSON.parse(this.call('trace', JSON.stringify(options))); }
  marks() { return JSON.parse(this.call('marks')); }
  /** Whether all hold, and each of them. */
  checks(options) {
    const list = JSON.parse(this.call('checks', JSON.stringify(options)));
    return { held: list.every((check) => check.state !== 'violated'), list };
  }
  inspect(what, side) { return JSON.parse(this.call('inspect', what, JSON.stringify({ side }))); }
  guide() { return JSON.parse(this.call('guide')); }

  act(action) {
    const at = this.call('act', JSON.stringify(action));
    this.remember();
    return at;
  }

  /** Calls the world, or says why not. */
  call(name, ...values) {
    if (!this.world) throw new Refusal('the simulator is not loaded yet');
    return this.guard(() => this.world[name](...values), `${name} ${values.join(' ')}`);
  }

  guard(run, asked) {
    if (this.panicked) throw new Panicked(this.panicked);
    try {
      return run();
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) {
        this.panicked = this.lastWords() ?? error.message;
        this.onPanic(this.panicked, asked);
        throw new Panicked(this.panicked);
      }
      throw new Refusal(error instanceof Error ? error.message : String(error));
    }
  }

  /** What the panic said, if the module kept it: the trap itself says only "unreachable". */
  lastWords() {
    try {
      return this.wasm.broken();
    } catch {
      return undefined;
    }
  }

  remember() {
    this.plan = this.call('export');
  }
}
