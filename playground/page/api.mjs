// `window.portolan`: the page for programs. Everything is done at once, and the page shows it when
// the call returns; a refusal is thrown as an `Error` with the sentence that the page would show.
//
//   await portolan.ready          the simulator is loaded
//   portolan.load(plan)           a plan: a file's text, the same as an object, or one of
//                                 {scenario: "crash"}, {seed: "7", mix: "full"}, {share: ".."}; paused at its start, or where it was shared
//   portolan.advanceTo(ms)        that moment of virtual time, forward or back; answers the view
//   portolan.step()               the next thing happens; false at the end
//   portolan.view(side)           what is shown, as an object; side: "main" (default) or "beside"
//   portolan.trace()              the trace so far, as text: the lines of `portolan sim replay --trace`
//   portolan.checks(side)         how each property stands, as an object
//   portolan.act(action)          does something now; answers when, in virtual milliseconds
//   portolan.export()             the plan with all that was done, as a file's text
//
// Shapes: what `view`, `checks` and `act` take and give is what playground/src/ says of them.

/** Puts the interface on the window. `start` resolves when the simulator is there. */
export function expose(app, start) {
  window.portolan = {
    ready: start.then(() => undefined),
    load(plan) {
      const request = typeof plan === 'string' ? { plan }
        // A plan has a seed of its own; what is only asked for has no steps.
        : 'steps' in plan ? { plan: JSON.stringify(plan) } : plan;
      app.open(request, { name: request.scenario, title: request.scenario ? undefined : 'A plan', about: '' });
      if (app.wanted !== null) app.goTo(app.wanted);
    },
    advanceTo(ms) {
      app.goTo(Number(ms));
      return this.view();
    },
    step: () => app.stepOnce(),
    view: (side = 'main') => app.engine.view({ side, rows: 1000 }),
    trace: () => app.engine.traceText(),
    checks: (side = 'main') => app.engine.checks({ side }),
    act: (action) => app.doNow(action),
    export: () => app.engine.export(),
  };
}
