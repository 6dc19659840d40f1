//! The simulator on the command line: plans with names, drawn plans, and one plan again.

mod canary;
mod draw;

use std::fs::File;
use std::io::{self, Read};

use portolan_sim::{Entry, Plan, Runner, Scenario};
use serde::Serialize;

use crate::args::Sim;
use crate::fail::Failure;
use crate::out::{self, Out, Row};

pub fn run(out: Out, command: Sim) -> Result<(), Failure> {
    match command {
        Sim::List => list(out),
        Sim::Run(asked) => draw::run(out, &asked),
        Sim::Replay { plan, mix, trace } => replay(out, &plan, &mix, trace),
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

fn replay(out: Out, plan: &str, mix: &str, trace: bool) -> Result<(), Failure> {
    let plan = find(plan, mix)?;
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

/// The plan of that name or seed, or in that file.
fn find(plan: &str, mix: &str) -> Result<Plan, Failure> {
    let mix = draw::mix(mix)?;
    if let Ok(seed) = plan.parse() {
        return Ok(Plan::draw(seed, &mix));
    }
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

/// A plan's file.
const MOST_BYTES: u64 = 16 << 20;
