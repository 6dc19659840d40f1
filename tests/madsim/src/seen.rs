//! What must happen in many runs: a simulation in which nothing goes wrong proves nothing.

use std::collections::BTreeMap;
use std::fmt;

use portolan_sim::check::{Coverage, Machine, Mark};

/// What was seen, added up.
#[derive(Default)]
pub struct Seen {
    machines: BTreeMap<Machine, u64>,
    marks: BTreeMap<Mark, u64>,
}

impl Seen {
    /// One run more.
    pub fn add(&mut self, coverage: &Coverage) {
        for (machine, times) in coverage.machines() {
            *self.machines.entry(*machine).or_default() += times;
        }
        for (mark, times) in coverage.marks() {
            *self.marks.entry(*mark).or_default() += times;
        }
    }

    /// Whether all that must happen has.
    ///
    /// # Errors
    /// What has not.
    pub fn whole(&self) -> Result<(), String> {
        let machines = Machine::ALL.iter().filter(|machine| !self.machines.contains_key(machine));
        let marks = MUST_HAPPEN.iter().filter(|mark| !self.marks.contains_key(mark));
        let missing: Vec<String> = machines
            .map(|machine| format!("{machine:?}"))
            .chain(marks.map(|mark| format!("{mark:?}")))
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("never seen: {missing:?}")) }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.machines, self.marks)
    }
}

/// What 200 drawn plans show many times over.
const MUST_HAPPEN: &[Mark] = &[
    Mark::LeaseLost,
    Mark::LeaseLostInAPause,
    Mark::LeaseProlonged,
    Mark::TwoLeasesEndedAtOnce,
    Mark::RecordDisturbed,
    Mark::Superseded,
    Mark::KeyMovedFromRunToRun,
    Mark::RemovalUnconfirmed,
    Mark::DirectoryStale,
    Mark::WatchCompactedAway,
    Mark::UpdateUnknown,
];
