//! Runs plans.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use madsim::runtime::Runtime;
use portolan_sim::Property;
use portolan_sim::check::Coverage;
use portolan_sim::trace::{Entry, TraceHash};

use crate::chance::{Chance, Purpose};
use crate::checks::{self, Failure};
use crate::plan::Plan;
use crate::record;
use crate::world::World;

/// What became of a plan.
pub struct Outcome {
    /// What did not hold.
    pub failures: Vec<Failure>,
    /// The trace's hash.
    pub hash: TraceHash,
    /// The trace.
    pub trace: Vec<Entry>,
    /// How often each of the simulator's properties had something to look at.
    pub looked: Vec<(Property, u64)>,
    /// What the simulator counts of what happened.
    pub coverage: Coverage,
}

/// Runs a plan once, on a thread of its own: the standard library's maps have their order from their
/// thread's first draw.
pub fn once(plan: &Plan) -> Outcome {
    let plan = plan.clone();
    let running =
        std::thread::Builder::new().name("simulation".to_owned()).spawn(move || on(&plan));
    let running = running.expect("threads can be had");
    running.join().unwrap_or_else(|_| Outcome {
        failures: vec![Failure::Own("MS8", "the simulation broke off".to_owned())],
        hash: TraceHash::EMPTY,
        trace: Vec::new(),
        looked: Vec::new(),
        coverage: Coverage::default(),
    })
}

/// Runs a plan twice, in one process: the same must happen (EF8).
pub fn twice(plan: &Plan) -> Outcome {
    let (first, mut second) = (once(plan), once(plan));
    if let Err(violation) = portolan_sim::check::same(&first.trace, &second.trace) {
        second.failures.push(Failure::Property(violation));
    } else if first.hash != second.hash {
        let text = format!("one trace has the hashes {:?} and {:?}", first.hash, second.hash);
        second.failures.push(Failure::Own("MS8", text));
    }
    second
}

/// Takes steps out of a failing plan as long as the same property falls first; runs at most `tries`
/// plans.
pub fn shrink(plan: &Plan, name: &str, mut tries: u32) -> Plan {
    let falls = |plan: &Plan| once(plan).failures.first().is_some_and(|it| it.name() == name);
    let mut best = plan.clone();
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 && tries > 0 {
        let (mut from, before) = (0, best.steps.len());
        while from < best.steps.len() && tries > 0 {
            let mut smaller = best.clone();
            smaller.steps.drain(from..(from + size).min(best.steps.len()));
            tries -= 1;
            if falls(&smaller) {
                best = smaller;
            } else {
                from += size;
            }
        }
        if best.steps.len() == before {
            size /= 2;
        }
    }
    best
}

fn on(plan: &Plan) -> Outcome {
    let seed = Chance(plan.seed).bits(Purpose::Network, 0, 0);
    let mut runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
    runtime.set_time_limit(Duration::from_millis(plan.last_ms()) + LONGEST);
    let ran = catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(plan))));
    let record = record::end();
    let mut failures = Vec::new();
    match ran {
        Ok(found) => failures.extend(found),
        Err(panic) => failures.push(Failure::Own("MS8", format!("a panic: {}", said(&*panic)))),
    }
    let Some(record) = record else { unreachable!("a world begins with its record") };
    // The first thing that did not hold tells most.
    let mut all: Vec<_> =
        record.checks.violations().iter().cloned().map(Failure::Property).collect();
    if let Some(stray) = record.strays.first() {
        all.push(Failure::Own("MS9", format!("nobody has asked for {stray}")));
    }
    all.append(&mut failures);
    let looked = record.checks.looked().into_iter().collect();
    let coverage = record.checks.coverage().clone();
    // Leave what runs no more to nobody: its tasks end here, on the simulation's own thread.
    drop(runtime);
    Outcome { failures: all, hash: record.hash, trace: record.entries, looked, coverage }
}

async fn live(plan: &Plan) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut world = World::new(plan);
    world.run(plan).await;
    checks::rest(&world).await;
    checks::seen(&world, &mut failures).await;
    checks::counted(&world, &mut failures);
    checks::farewell(&world, &mut failures).await;
    checks::leaks(&world, &mut failures).await;
    failures
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

/// How long a world may take to come to rest and to end.
const LONGEST: Duration = Duration::from_secs(600);
