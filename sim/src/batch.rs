//! Many drawn plans, and what they came to.
#![expect(
    clippy::disallowed_methods,
    reason = "plans run beside each other; none knows of another"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::check::{Coverage, Fault, Machine, Mark, Property};
use crate::draw::Mix;
use crate::plan::Plan;
use crate::run::{Failure, Runner};

/// What a batch of plans came to. Batches that ran beside each other are joined.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Batch {
    /// How many were run.
    pub plans: u64,
    /// What happened in them, in entries of their traces.
    pub entries: u64,
    /// What happened in their worlds, in steps of them.
    pub events: u64,
    /// How long they took, in seconds of their worlds.
    pub virtual_secs: u64,
    /// How often each property had something to look at.
    pub looked: BTreeMap<Property, u64>,
    /// In how many plans each machine did its work.
    pub machines: BTreeMap<Machine, u64>,
    /// In how many plans each rare thing happened.
    pub marks: BTreeMap<Mark, u64>,
    /// In how many plans each kind of fault took effect.
    pub faults: BTreeMap<Fault, u64>,
    /// Those that did not hold, as they were drawn.
    pub failures: Vec<Failure>,
}

impl Batch {
    /// Draws the plan of a seed, and runs it.
    pub fn run(&mut self, seed: u64, mix: &Mix) {
        let plan = Plan::draw(seed, mix);
        let mut runner = Runner::new(&plan, false);
        runner.finish();
        self.plans += 1;
        self.entries += runner.entries();
        self.events += runner.events();
        self.virtual_secs += runner.world().now().as_nanos() / 1_000_000_000;
        add(&mut self.looked, &runner.checks().looked());
        self.cover(runner.checks().coverage());
        if let Some(violation) = runner.violation() {
            self.failures.push(Failure { plan, violation: violation.clone() });
        }
    }

    /// Draws the plans of these seeds, and runs them on so many threads. What they come to does
    /// not depend on how many there are. No plan is begun once `most_failures` have failed.
    ///
    /// # Panics
    /// Where a plan makes it panic, which is a bug.
    pub fn of(seeds: Range<u64>, mix: &Mix, threads: usize, most_failures: u64) -> Self {
        let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
        let work = || {
            let mut batch = Self::default();
            while failed.load(Ordering::Relaxed) < most_failures {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if !seeds.contains(&seed) {
                    break;
                }
                let before = batch.failures.len();
                batch.run(seed, mix);
                let now = batch.failures.len();
                failed.fetch_add((now - before) as u64, Ordering::Relaxed);
            }
            batch
        };
        let mut batch = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut batch = work();
            for other in others {
                // A thread ends early only by a panic, which goes on here.
                batch.join(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            batch
        });
        batch.failures.sort_by_key(|failure| failure.plan.seed);
        batch
    }

    /// Adds another batch.
    pub fn join(&mut self, other: Self) {
        self.plans += other.plans;
        self.entries += other.entries;
        self.events += other.events;
        self.virtual_secs += other.virtual_secs;
        add(&mut self.looked, &other.looked);
        add(&mut self.machines, &other.machines);
        add(&mut self.marks, &other.marks);
        add(&mut self.faults, &other.faults);
        self.failures.extend(other.failures);
    }

    /// What a batch leaves unproven: properties that had nothing to look at, machines that did their
    /// work in fewer than a tenth of the plans, faults that never struck, rare things that never
    /// happened. Of a small batch that says little.
    pub fn unproven(&self) -> Vec<String> {
        // That one is of two runs of one plan.
        let properties = Property::ALL.iter().filter(|&&property| property != Property::EF8);
        let idle = properties.filter(|property| self.looked.get(property).is_none_or(|&n| n == 0));
        let idle = idle.map(|property| format!("{property} had nothing to look at"));
        let seldom = Machine::ALL.iter().filter_map(|machine| {
            let plans = self.machines.get(machine).copied().unwrap_or(0);
            (plans < self.plans / 10).then(|| format!("{machine:?} was at work in {plans} plans"))
        });
        let faults = Fault::ALL.iter().filter(|&fault| !self.faults.contains_key(fault));
        let marks = Mark::ALL.iter().filter(|&mark| !self.marks.contains_key(mark));
        idle.chain(seldom)
            .chain(faults.map(|fault| format!("there was no {fault:?}")))
            .chain(marks.map(|mark| format!("there was no {mark:?}")))
            .collect()
    }

    fn cover(&mut self, coverage: &Coverage) {
        once(&mut self.machines, coverage.machines());
        once(&mut self.marks, coverage.marks());
        once(&mut self.faults, coverage.faults());
    }
}

fn add<K: Ord + Copy>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (&key, &count) in from {
        *to.entry(key).or_default() += count;
    }
}

/// Counts what one plan had, however often.
fn once<K: Ord + Copy>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for &key in from.keys() {
        *to.entry(key).or_default() += 1;
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plans, entries, virtual_secs, .. } = self;
        write!(f, "{plans} plans, {virtual_secs} s of virtual time, {entries} entries")
    }
}
