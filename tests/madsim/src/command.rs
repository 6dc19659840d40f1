//! The command: which plans to run, and what is printed of them.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use crate::checks::Failure;
use crate::draw;
use crate::plan::{Breakage, Plan};
use crate::run::{self, Outcome};
use crate::seen::Seen;

const USAGE: &str = "usage:
  portolan-madsim seeds FROM COUNT   runs the plans of COUNT seeds, the first of them FROM
  portolan-madsim plan FILE..        runs plans, each twice
  portolan-madsim trace FILE         runs a plan, and prints what happens
  portolan-madsim canaries           breaks things on purpose, for the checks to notice
  portolan-madsim draw SEED          prints the plan of a seed";

/// Does what the arguments say.
pub fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["seeds", from, count] => number("FROM", from)
            .and_then(|from| Ok((from, number("COUNT", count)?)))
            .and_then(|(from, count)| seeds(from, count)),
        ["plan", files @ ..] if !files.is_empty() => plans(files),
        ["trace", file] => trace(file),
        ["canaries"] => canaries(),
        ["draw", seed] => number("SEED", seed).map(|seed| print!("{}", draw::plan(seed).to_text())),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn number(what: &str, word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{what} is {word:?}; it takes a whole number"))
}

fn read(file: &str) -> Result<Plan, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    Plan::parse(&text).map_err(|error| format!("{file}: {error}"))
}

/// Every tenth plan is run twice: the same must happen.
fn seeds(from: u64, count: u64) -> Result<(), String> {
    let started = Instant::now();
    let (mut failed, mut entries) = (Vec::new(), 0);
    let (mut looked, mut seen) = (BTreeMap::new(), Seen::default());
    for seed in from..from.saturating_add(count) {
        let plan = draw::plan(seed);
        let outcome = if seed.is_multiple_of(10) { run::twice(&plan) } else { run::once(&plan) };
        entries += outcome.trace.len();
        for (property, times) in &outcome.looked {
            *looked.entry(*property).or_insert(0) += times;
        }
        seen.add(&outcome.coverage);
        if let Some(failure) = outcome.failures.first() {
            println!("seed {seed}: {failure}");
            if failed.is_empty() {
                tell(&run::shrink(&plan, &failure.name(), SHRINKING), &outcome);
            }
            failed.push((seed, failure.name()));
        }
        if (seed + 1 - from).is_multiple_of(1_000) {
            println!("{} seeds, up to {seed}; go on with FROM={}", seed + 1 - from, seed + 1);
        }
    }
    let idle: Vec<_> = looked.iter().filter(|(_, times)| **times == 0).collect();
    let secs = started.elapsed().as_secs_f64();
    println!(
        "{count} seeds from {from} in {secs:.1} s, {:.1} a second; {entries} entries; {} failed",
        count as f64 / secs,
        failed.len()
    );
    println!("checks with nothing to look at: {idle:?}");
    println!("seen: {seen}");
    // A few seeds need not show everything.
    if count >= 200 {
        seen.whole()?;
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {failed:?}")) }
}

fn plans(files: &[&str]) -> Result<(), String> {
    let mut failed = 0;
    for file in files {
        let plan = read(file)?;
        let outcome = run::twice(&plan);
        match outcome.failures.first() {
            None => println!("{file}: holds, {:?}", outcome.hash),
            Some(_) => {
                failed += 1;
                tell(&plan, &outcome);
            }
        }
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} failed", files.len())) }
}

fn trace(file: &str) -> Result<(), String> {
    let outcome = run::once(&read(file)?);
    for entry in &outcome.trace {
        println!("{:>14} {entry}", entry.at.as_nanos());
    }
    outcome.failures.iter().for_each(|failure| println!("{failure}"));
    Ok(())
}

/// Each breakage must be noticed by its property, in one of a few seeds.
fn canaries() -> Result<(), String> {
    let mut unnoticed = Vec::new();
    for &(breakage, name) in Breakage::ALL {
        let notices = |seed: &u64| {
            let mut plan = draw::plan(*seed);
            plan.world.broken = Some(breakage);
            let twice = breakage == Breakage::Whim;
            let outcome = if twice { run::twice(&plan) } else { run::once(&plan) };
            outcome.failures.iter().any(|failure| failure.name() == name)
        };
        match (0..CANARY_SEEDS).find(notices) {
            Some(seed) => println!("{breakage:?}: noticed by {name}, seed {seed}"),
            None => unnoticed.push((breakage, name)),
        }
    }
    if unnoticed.is_empty() { Ok(()) } else { Err(format!("not noticed: {unnoticed:?}")) }
}

/// How many plans may be run to make a failing one small.
const SHRINKING: u32 = 300;

/// In how many seeds a canary is looked for.
const CANARY_SEEDS: u64 = 20;

fn tell(plan: &Plan, outcome: &Outcome) {
    let failures: Vec<&Failure> = outcome.failures.iter().take(5).collect();
    for failure in failures {
        println!("{failure}");
    }
    println!("replay: put the plan below into a file, and");
    println!("  make madsim-plan PLAN=FILE");
    print!("{}", plan.to_text());
}
