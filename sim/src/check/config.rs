//! CS1 to CS6: what updates of groups' configuration do.

use std::collections::BTreeMap;

use portolan_core::engine::{Event, OpId, UpdateOutcome};
use portolan_core::layout::Decoded;
use portolan_core::waist::{AttemptId, Certainty, Key, Reply, Request, Revision};

use super::facts::{Attempt, Facts, OperationKind};
use super::history::{Author, Version};
use super::ops::{self, Write};
use super::{Check, Report};
use crate::app::{Edited, Tag};
use crate::trace::{Entry, Run, What};

/// A configuration's record that a request writes.
struct Swap<'a> {
    write: Write<'a>,
    /// The operation's id, as written.
    operation: u64,
    tag: Tag,
}

impl<'a> Swap<'a> {
    fn of(attempt: &'a Attempt) -> Option<Self> {
        attempt.writes().find_map(|(write, says)| {
            let Some(Decoded::Config(config)) = says else { return None };
            let tag = Some(Edited::read(config).by).filter(|tag| tag.proposal > 0)?;
            Some(Self { write, operation: config.operation()?, tag })
        })
    }
}

/// A change of a configuration that a process's update made.
fn swapped<'a>(
    facts: &'a Facts,
    entry: &'a Entry,
) -> Option<(Run, AttemptId, &'a Key, &'a Version)> {
    let What::Changed(change) = &entry.what else { return None };
    let key = &change.kv.key;
    let after = facts.store.of(key).last()?;
    let Author::Run(run, attempt) = after.by else { return None };
    let is_call = facts.attempts.get(&(run, attempt))?.call.is_some();
    (!is_call && after.tag().is_some()).then_some((run, attempt, key, after))
}

/// CS1.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    written: BTreeMap<(Run, OpId), Vec<Revision>>,
    /// What was written before the store's present history began.
    former: BTreeMap<(Run, OpId), Vec<Revision>>,
}

impl Check for Outcome {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        if facts.begins_history(entry) {
            self.former.append(&mut self.written);
        }
        let place = if let Some((run, _, _, version)) = swapped(facts, entry) {
            let tag = version.tag().expect("it is a swap");
            report.expect(tag.run() == run, || format!("{run} wrote what {} proposed", tag.run()));
            let place = (tag.run(), OpId(tag.op));
            self.written.entry(place).or_default().push(version.revision);
            place
        } else if let What::Told { run, event: Event::Updated { id, .. } } = &entry.what {
            report.look();
            (*run, *id)
        } else {
            return;
        };
        let [written, former] = [&self.written, &self.former]
            .map(|written| written.get(&place).map_or(&[][..], Vec::as_slice));
        let outcome = facts.ops.get(&place).and_then(|operation| operation.outcome.as_ref());
        let fits = match outcome {
            Some(UpdateOutcome::Done { revision }) => {
                written == [*revision] || written.is_empty() && former == [*revision]
            }
            Some(
                UpdateOutcome::Unchanged { .. }
                | UpdateOutcome::Conflict
                | UpdateOutcome::Failed { .. },
            ) => written.is_empty(),
            Some(UpdateOutcome::Unknown { .. }) | None => written.len() <= 1,
        };
        report.expect(fits, || {
            let (run, id) = place;
            let outcome = outcome.map_or("nothing yet".to_owned(), ToString::to_string);
            format!("update {} of {run} said {outcome}, and was written at {written:?}", id.0)
        });
    }
}

/// CS2.
#[derive(Clone, Debug, Default)]
pub(super) struct OneGuard {
    guards: BTreeMap<(Run, u64), Revision>,
}

impl Check for OneGuard {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        if let Some((run, attempt, Reply::Failed(error))) = facts.answered(entry)
            && error.certainty() == Certainty::NotDone
            && let Some(swap) = Swap::of(attempt)
            && swap.write.guard == Some(Revision::ZERO)
        {
            // It was never there: what only wanted a token may come again.
            self.guards.remove(&(run, swap.operation));
        }
        let What::Sent { run, attempt, .. } = &entry.what else { return };
        let attempt = facts.attempts.get(&(*run, *attempt));
        let Some(swap) = attempt.and_then(Swap::of) else { return };
        report.look();
        let Some(guard) = swap.write.guard else {
            report.fail(format!("{run} writes {} without comparing", swap.write.key));
            return;
        };
        let Some(before) = self.guards.insert((*run, swap.operation), guard) else { return };
        report.expect(before == guard, || {
            format!(
                "{run} repeats operation {:x} with guard {guard} after {before}",
                swap.operation
            )
        });
        report.expect(guard > Revision::ZERO, || {
            format!("{run} attempts the creation {:x} twice", swap.operation)
        });
    }
}

/// CS3.
#[derive(Clone, Debug, Default)]
pub(super) struct Honest {
    /// Each update's attempts: where they are, and what they carry.
    attempts: BTreeMap<(Run, OpId), Vec<Attempted>>,
}

#[derive(Clone, Debug)]
struct Attempted {
    attempt: AttemptId,
    /// The history of the store in which it was sent: in a later one its guard means nothing.
    epoch: usize,
    operation: u64,
    key: Key,
    guard: Revision,
}

impl Check for Honest {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        match &entry.what {
            What::Sent { run, attempt, .. } => {
                let known = facts.attempts.get(&(*run, *attempt));
                let Some(swap) = known.and_then(Swap::of) else { return };
                let place = (*run, OpId(swap.tag.op));
                self.expect_settled(facts, place, Some(swap.operation), report);
                let attempted = Attempted {
                    attempt: *attempt,
                    epoch: facts.epoch(),
                    operation: swap.operation,
                    key: swap.write.key.clone(),
                    guard: swap.write.guard.unwrap_or_default(),
                };
                self.attempts.entry(place).or_default().push(attempted);
            }
            What::Told { run, event: Event::Updated { id, outcome } } => match outcome {
                UpdateOutcome::Conflict
                | UpdateOutcome::Unchanged { .. }
                | UpdateOutcome::Failed { .. } => {
                    self.expect_settled(facts, (*run, *id), None, report);
                }
                UpdateOutcome::Done { revision } => {
                    self.expect_found(facts, (*run, *id), *revision, report);
                }
                UpdateOutcome::Unknown { .. } => {}
            },
            _ => {}
        }
    }
}

impl Honest {
    /// An update that is said to be written, although its last attempt had no answer, was found as
    /// the first change after its guard.
    fn expect_found(
        &self,
        facts: &Facts,
        place: (Run, OpId),
        revision: Revision,
        report: &mut Report<'_>,
    ) {
        let Some(last) = self.attempts.get(&place).and_then(|attempts| attempts.last()) else {
            return;
        };
        let known = facts.attempts.get(&(place.0, last.attempt));
        if known.is_none_or(|attempt| !attempt.is_in_doubt()) || last.epoch < facts.epoch() {
            return;
        }
        report.look();
        let versions = facts.store.of(&last.key).iter();
        let mut after = versions.filter(|version| version.revision > last.guard);
        // A creation may come after others have come and gone.
        let found = if last.guard > Revision::ZERO {
            after.next().filter(|version| version.operation() == Some(last.operation))
        } else {
            after.find(|version| version.operation() == Some(last.operation))
        };
        report.expect(found.is_some_and(|version| version.revision == revision), || {
            let (run, id) = place;
            format!("update {} of {run} says it is written @{revision}, which is another's", id.0)
        });
    }

    /// No attempt of an update, but for those of the operation `but`, may still be applied.
    fn expect_settled(
        &self,
        facts: &Facts,
        place: (Run, OpId),
        but: Option<u64>,
        report: &mut Report<'_>,
    ) {
        let (run, id) = place;
        for attempted in self.attempts.get(&place).into_iter().flatten() {
            let in_doubt = facts
                .attempts
                .get(&(run, attempted.attempt))
                .is_some_and(|attempt| attempt.is_in_doubt());
            let former = attempted.epoch < facts.epoch();
            if !in_doubt || former || Some(attempted.operation) == but {
                continue;
            }
            report.look();
            let first = facts.store.first_after(&attempted.key, attempted.guard);
            let settled = attempted.guard > Revision::ZERO
                && first.is_some_and(|first| first.operation() != Some(attempted.operation));
            report.expect(settled, || {
                format!(
                    "update {} of {run} goes on although attempt {} (operation {:x}, guard {}) was \
                     or may be applied",
                    id.0, attempted.attempt, attempted.operation, attempted.guard
                )
            });
        }
    }
}

/// CS4.
#[derive(Clone, Debug, Default)]
pub(super) struct NoLostUpdate;

impl Check for NoLostUpdate {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let Some((run, attempt, key, after)) = swapped(facts, entry) else { return };
        report.look();
        let attempt = facts.attempts.get(&(run, attempt));
        let guard = attempt.and_then(Swap::of).and_then(|swap| swap.write.guard);
        let before = facts.store.before_last(key).map_or(Revision::ZERO, |before| before.revision);
        report.expect(guard == Some(before), || {
            format!(
                "{run} swapped {key} @{} against {guard:?}, over the record of @{before}",
                after.revision
            )
        });
    }
}

/// CS5.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnWrites;

impl Check for OwnWrites {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let What::Told { run, event } = &entry.what else { return };
        match event {
            Event::Propose { id, base } => {
                let Some(operation) = facts.ops.get(&(*run, *id)) else { return };
                let OperationKind::Update { key: Some(key) } = &operation.kind else { return };
                if operation.floor == Revision::ZERO {
                    return;
                }
                report.look();
                // What stood at the floor or later: one of these was shown.
                let versions = facts.store.of(key);
                let at_floor =
                    versions.partition_point(|version| version.revision <= operation.floor);
                let mut shown = versions[at_floor.saturating_sub(1)..].iter();
                let seen = base.as_ref();
                let fits = at_floor == 0 && seen.is_none()
                    || shown.any(|version| match (&version.decoded, seen) {
                        (Some(Decoded::Config(config)), Some(seen)) => config == seen,
                        (Some(Decoded::Config(_)), None) | (None, Some(_)) => false,
                        (_, None) => true,
                        (Some(_), Some(_)) => false,
                    });
                report.expect(fits, || {
                    format!(
                        "update {} of {run} is shown {key} from before @{}, acknowledged to it",
                        id.0, operation.floor
                    )
                });
            }
            Event::Called { id, result: Ok(Reply::Range(reply)) } => {
                let Some(operation) = facts.ops.get(&(*run, *id)) else { return };
                if operation.floor == Revision::ZERO {
                    return;
                }
                report.look();
                report.expect(reply.header.revision >= operation.floor, || {
                    format!(
                        "call {} of {run} reads @{}, before @{}, acknowledged to it",
                        id.0, reply.header.revision, operation.floor
                    )
                });
            }
            _ => {}
        }
    }
}

/// CS6.
#[derive(Clone, Debug, Default)]
pub(super) struct Linearizable;

impl Check for Linearizable {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let What::Sent { run, attempt, request, .. } = &entry.what else { return };
        if !matches!(request, Request::Range(_) | Request::Txn(_)) {
            return;
        }
        if facts.attempts.get(&(*run, *attempt)).is_none_or(|attempt| attempt.call.is_some()) {
            return;
        }
        report.look();
        report.expect(!ops::may_be_stale(request), || {
            format!("{run} asks what may be answered from old data: {request}")
        });
    }
}
