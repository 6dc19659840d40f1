//! LV7 and LV9: how long anybody waits on a dead connection, and how often a compaction is run into.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portolan_core::Time;
use portolan_core::waist::{AttemptId, KeyRange, Reply, Request, Revision};

use super::facts::{Facts, RunLife};
use super::{Check, Report};
use crate::trace::{Entry, Run, What};

/// LV7.
#[derive(Clone, Debug, Default)]
pub(super) struct NoDeadWait {
    /// By when each attempt that vanished in a dead connection has ended.
    due: BTreeSet<(Time, Run, AttemptId)>,
}

impl Check for NoDeadWait {
    fn see(&mut self, facts: &Facts, entry: &Entry, _: &mut Report<'_>) {
        let What::Swallowed { client, attempt } = &entry.what else { return };
        let Some(&run) = facts.clients.get(client) else { return };
        let tuning = &facts.setup.tuning;
        let detected = Duration::from_millis(facts.setup.wire.detect_ms);
        let longest = detected.max(tuning.attempt_timeout).max(tuning.probe_timeout);
        // A clock that is slow waits longer.
        let due = entry.at + longest * 2 + Duration::from_millis(100);
        self.due.insert((due, run, *attempt));
    }

    fn settled(&mut self, facts: &Facts, report: &mut Report<'_>) {
        while let Some(&(due, run, attempt)) = self.due.first() {
            if due > facts.now {
                return;
            }
            self.due.pop_first();
            let Some(known) = facts.attempts.get(&(run, attempt)) else { continue };
            let Some(at) = facts.runs.get(&run) else { continue };
            let held_since = at.held_at.is_some_and(|held| held + (due.since(known.at)) > due);
            if at.life != RunLife::Awake
                || held_since
                || matches!(known.request, Request::OnWatch { .. })
            {
                continue;
            }
            report.look();
            report.expect(known.fate.is_some(), || {
                format!("{run} still waits for {attempt}, which vanished in a dead connection")
            });
        }
    }
}

/// LV9.
#[derive(Clone, Debug, Default)]
pub(super) struct NoChase {
    /// Up to where the history was gone when a watch of these keys was last told so, in which
    /// history of the store.
    told: BTreeMap<(Run, KeyRange), (usize, Revision)>,
}

impl Check for NoChase {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let Some((run, attempt, Reply::Watch(reply))) = facts.answered(entry) else { return };
        let Request::Watch(watch) = &attempt.request else { return };
        if !reply.canceled || reply.compact_revision <= Revision::ZERO {
            return;
        }
        // Of several that show the same keys each runs into it once.
        if facts.only_directory_of(run, &watch.keys).is_none() {
            return;
        }
        report.look();
        let now = (facts.past.len(), reply.compact_revision);
        let before = self.told.insert((run, watch.keys.clone()), now);
        report.expect(before.is_none_or(|before| before.0 < now.0 || before.1 < now.1), || {
            format!(
                "{run} was told a second time that the history of {} before @{} is gone",
                watch.keys, reply.compact_revision
            )
        });
    }
}
