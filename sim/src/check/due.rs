//! Which runs a check has to look at when a moment is over.

use std::collections::{BTreeMap, BTreeSet};

use portolan_core::Time;

use crate::trace::Run;

/// Runs of which something has changed, and runs whose time has come. All others are as they were
/// when they were last looked at, so that nothing new can be found there.
#[derive(Clone, Debug, Default)]
pub(super) struct Due {
    changed: Vec<Run>,
    by_time: BTreeSet<(Time, Run)>,
    times: BTreeMap<Run, Time>,
}

impl Due {
    /// Something changed that may matter.
    pub fn changed(&mut self, run: Run) {
        if self.changed.last() != Some(&run) {
            self.changed.push(run);
        }
    }

    /// As that, of several or none.
    pub fn all_changed(&mut self, runs: impl IntoIterator<Item = Run>) {
        runs.into_iter().for_each(|run| self.changed(run));
    }

    /// The next run to look at, now that a moment is over; say [`at`](Self::at) what comes of it.
    pub fn next(&mut self, now: Time) -> Option<Run> {
        if let Some(run) = self.changed.pop() {
            self.changed.retain(|&other| other != run);
            return Some(run);
        }
        let &(at, run) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.at(run, None);
        Some(run)
    }

    /// When a run is to be looked at again though nothing changes: by the world's time, later than
    /// the moment that is over.
    pub fn at(&mut self, run: Run, time: Option<Time>) {
        let before = match time {
            Some(time) => self.times.insert(run, time),
            None => self.times.remove(&run),
        };
        if before == time {
            return;
        }
        self.by_time.extend(time.map(|time| (time, run)));
        if let Some(before) = before {
            self.by_time.remove(&(before, run));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn take(due: &mut Due, now: u64) -> Vec<u16> {
        let now = Time::from_secs(now);
        std::iter::from_fn(|| due.next(now)).map(|run| run.process).collect()
    }

    #[test]
    fn a_run_is_looked_at_where_it_changed_or_its_time_has_come() {
        let run = |process| Run { process, start: 1 };
        let mut due = Due::default();
        assert_eq!(take(&mut due, 1), [0_u16; 0]);
        for process in [1, 2, 1] {
            due.changed(run(process));
        }
        assert_eq!(take(&mut due, 1), [1, 2], "once each");
        due.at(run(1), Some(Time::from_secs(5)));
        due.at(run(2), Some(Time::from_secs(4)));
        due.at(run(2), Some(Time::from_secs(6)));
        due.at(run(3), Some(Time::from_secs(2) + Duration::from_nanos(1)));
        due.at(run(3), None);
        assert_eq!(take(&mut due, 4), [0_u16; 0]);
        assert_eq!(take(&mut due, 6), [1, 2]);
        assert_eq!(take(&mut due, 6), [0_u16; 0], "and no more, unless it is said again");
    }
}
