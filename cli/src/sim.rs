//! The simulator on the command line: plans with names, drawn plans, and one plan again.

mod canary;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use portolan_sim::run::{Failure as Fallen, shrink};
use portolan_sim::{Batch, Entry, Mix, Plan, Runner, Scenario};
use serde::Serialize;

use crate::args::Sim;
use crate::fail::Failure;
use crate::out::{self, Out, Row};

pub fn run(out: Out, command: Sim) -> Result<(), Failure> {
    match command {
        Sim::List => list(out),
        Sim::Run { plans, seed, keep } => draw(out, plans, seed, &keep),
        Sim::Replay { plan, trace } => replay(out, &plan, trace),
        Sim::Canary { name } => canary::run(out, name.as_deref()),
    }
}

/// A plan that has a name.
#[derive(Serialize)]
struct Named {
    name: &'static str,
    about: String,
}

impl Row for Named {
    const HEADER: &'static [&'static str] = &["NAME", "WHAT THERE IS TO SEE"];

    fn cells(&self) -> Vec<String> {
        vec![self.name.to_owned(), self.about.clone()]
    }
}

fn list(out: Out) -> Result<(), Failure> {
    let named = |&scenario: &Scenario| Named { name: scenario.name, about: scenario.plan().about };
    out.rows(&Scenario::ALL.iter().map(named).collect::<Vec<_>>())
}

/// What a batch came to.
#[derive(Serialize)]
struct Summary {
    plans: u64,
    virtual_secs: u64,
    entries: u64,
    failures: usize,
    unproven: Vec<String>,
}

fn draw(out: Out, plans: u64, seed: u64, keep: &Path) -> Result<(), Failure> {
    if !keep.is_dir() {
        return Err(Failure::Usage(format!("--keep {} is no folder", keep.display())));
    }
    let batch = batch(plans, seed);
    let unproven = batch.unproven();
    let failures = batch.failures.len();
    let said =
        if failures == 0 { "all held".to_owned() } else { format!("{failures} did not hold") };
    let &Batch { plans: ran, virtual_secs, entries, .. } = &batch;
    let summary =
        Summary { plans: ran, virtual_secs, entries, failures, unproven: unproven.clone() };
    out.one(format!("{batch}: {said}"), &summary)?;
    // A small batch has not come to everything.
    if plans >= ENOUGH {
        unproven.iter().for_each(|line| out::note(format!("in these plans {line}")));
    }
    for fallen in batch.failures {
        keep_fallen(fallen, keep)?;
    }
    if failures > 0 {
        return Err(Failure::Failed(format!("{failures} of {ran} plans did not hold")));
    }
    Ok(())
}

/// On all cores. It stops early where much does not hold.
fn batch(plans: u64, seed: u64) -> Batch {
    let mix = Mix::default();
    let next = AtomicU64::new(0);
    let failed = AtomicU64::new(0);
    let work = || {
        let mut batch = Batch::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= plans || failed.load(Ordering::Relaxed) >= MOST_FAILURES {
                return batch;
            }
            batch.run(seed.wrapping_add(number), &mix);
            failed.fetch_max(batch.failures.len() as u64, Ordering::Relaxed);
            if (number + 1).is_multiple_of(ENOUGH) && number + 1 < plans {
                out::note(format!("{} of {plans} plans", number + 1));
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..cores).map(|_| scope.spawn(work)).collect();
        let mut batch = work();
        for other in others {
            // A thread ends early only by a panic, which goes on here.
            batch.join(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        batch
    })
}

/// Makes a fallen plan small, and keeps it.
fn keep_fallen(fallen: Fallen, folder: &Path) -> Result<(), Failure> {
    let (seed, property) = (fallen.plan.seed, fallen.violation.property);
    let small = shrink(fallen, SHRINKING_TRIES);
    let path = folder.join(format!("{property}-{seed}.json"));
    std::fs::write(&path, small.plan.to_text())
        .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))?;
    out::note(format!("{}; kept as {}", small.violation, path.display()));
    Ok(())
}

/// One thing that happened.
#[derive(Serialize)]
struct Happened {
    at_nanos: u64,
    what: String,
}

/// How a run ended.
#[derive(Serialize)]
struct Ended {
    entries: u64,
    hash: String,
    held: bool,
}

fn replay(out: Out, plan: &str, trace: bool) -> Result<(), Failure> {
    let plan = find(plan)?;
    let mut runner = Runner::new(&plan, true);
    runner.finish();
    if !plan.about.is_empty() {
        out::note(&plan.about);
    }
    let shown = |entry: &&Entry| trace || entry.what.is_news();
    for entry in runner.trace().iter().filter(shown) {
        let happened = Happened { at_nanos: entry.at.as_nanos(), what: entry.what.to_string() };
        out.one(entry, &happened)?;
    }
    let (entries, hash) = (runner.entries(), runner.hash().to_string());
    let held = runner.violation().is_none();
    out.one(format!("{entries} entries, hash {hash}"), &Ended { entries, hash, held })?;
    match runner.violation() {
        Some(violation) => Err(Failure::Failed(violation.to_string())),
        None => Ok(()),
    }
}

/// The plan of that name, or in that file.
fn find(plan: &str) -> Result<Plan, Failure> {
    if let Some(scenario) = Scenario::find(plan) {
        return Ok(scenario.plan());
    }
    let mut file = File::open(plan).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return Failure::NotFound(format!(
                "there is neither a plan with the name {plan} nor such a file; `portolan sim list` \
                 has the names"
            ));
        }
        Failure::Failed(format!("cannot read {plan}: {error}"))
    })?;
    let mut text = String::new();
    let read = file.by_ref().take(MOST_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| Failure::Failed(format!("cannot read {plan}: {error}")))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(Failure::Usage(format!("{plan} has more than {MOST_BYTES} bytes")));
    }
    Plan::parse(&text).map_err(|error| Failure::Usage(format!("{plan}: {error}")))
}

/// A batch of so many has come to everything that is to be proven.
const ENOUGH: u64 = 1_000;

/// Each core stops at so many plans that did not hold.
const MOST_FAILURES: u64 = 20;

/// Smaller plans tried for each.
const SHRINKING_TRIES: u32 = 2_000;

/// A plan's file.
const MOST_BYTES: u64 = 16 << 20;
