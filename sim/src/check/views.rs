//! VW1 to VW6: what a directory shows, held against the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_core::engine::{
    Change, DirectoryId, Event, Freshness, Gap, Record, Snapshot, Step, StepCause,
};
use portolan_core::layout::Scope;
use portolan_core::waist::{Key, KeyRange, Revision};

use super::digest::{self, Digest, Sum};
use super::facts::{Directory, Facts};
use super::{Check, Report};
use crate::trace::{Entry, Run, What};

/// A directory told its application something.
pub(super) struct Shown<'a> {
    pub run: Run,
    pub id: DirectoryId,
    pub directory: &'a Directory,
    /// Its keys; `None` if the layout has none of that kind.
    pub keys: Option<&'a KeyRange>,
    pub snapshot: &'a Snapshot,
    pub step: Option<&'a Step>,
}

impl<'a> Shown<'a> {
    /// What an entry shows, if it is of a directory that has ever listed.
    pub fn of(facts: &'a Facts, entry: &'a Entry) -> Option<Self> {
        let What::Told { run, event } = &entry.what else { return None };
        let (id, snapshot, step) = match event {
            Event::Stepped { id, step } => (*id, &step.snapshot, Some(step)),
            Event::Freshness { id, snapshot } | Event::Guard { id, snapshot, .. } => {
                (*id, snapshot, None)
            }
            Event::Registration { .. }
            | Event::Followed { .. }
            | Event::Propose { .. }
            | Event::Updated { .. }
            | Event::Called { .. }
            | Event::Closed { .. } => return None,
        };
        let directory = facts.directories.get(&(*run, id))?;
        let listed = snapshot.freshness != Freshness::Unsynced;
        let keys = directory.keys.as_ref();
        listed.then_some(Self { run: *run, id, directory, keys, snapshot, step })
    }

    pub fn name(&self) -> String {
        format!("directory {} of {}", self.id.0, self.run)
    }

    /// The revision that it named before.
    pub fn before(&self) -> Revision {
        self.directory.before.as_ref().map_or(Revision::ZERO, |before| before.revision)
    }
}

/// VW1.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefix {
    folded: BTreeMap<(Run, DirectoryId), Sum>,
}

impl Check for Prefix {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let Some(shown) = Shown::of(facts, entry) else { return };
        report.look();
        let folded = self.folded.entry((shown.run, shown.id)).or_default();
        shown.step.iter().for_each(|step| digest::fold(folded, &step.changes));
        let revision = shown.snapshot.revision;
        report.expect(*folded == shown.directory.digest.records, || {
            format!("{} at @{revision}: its differences do not fold to its snapshot", shown.name())
        });
        let Some(keys) = shown.keys else { return };
        let (store, digest) = (facts.history_of(shown.directory), shown.directory.digest);
        if let Some(difference) = store.differs(keys, shown.snapshot, digest) {
            report.fail(format!("{} {difference}", shown.name()));
        }
    }
}

/// VW2.
#[derive(Clone, Debug, Default)]
pub(super) struct Monotone;

impl Check for Monotone {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let Some(shown) = Shown::of(facts, entry) else { return };
        let Some(before) = &shown.directory.before else { return };
        report.look();
        let after = shown.snapshot;
        let declared =
            shown.step.is_some_and(|step| step.cause == StepCause::Relisted(Gap::NewEpoch));
        let other = shown.directory.epochs_before.first() < shown.directory.epochs.last();
        report.expect(after.epoch == before.epoch || declared, || {
            format!("{} begins epoch {} without saying so", shown.name(), after.epoch)
        });
        report.expect(after.epoch == before.epoch || other, || {
            format!("{} declares a new epoch, but the store is the same", shown.name())
        });
        report.expect(after.epoch > before.epoch || after.revision >= before.revision, || {
            format!("{} falls from @{} to @{}", shown.name(), before.revision, after.revision)
        });
    }
}

/// VW3.
#[derive(Clone, Debug, Default)]
pub(super) struct Whole;

impl Check for Whole {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let Some(shown) = Shown::of(facts, entry) else { return };
        let Some(keys) = shown.keys else { return };
        let Snapshot { revision, records, bad, .. } = shown.snapshot;
        let store = facts.history_of(shown.directory);
        for at in store.several(shown.before(), *revision) {
            let touched: Vec<_> = store.touched(keys, at).collect();
            if touched.len() < 2 {
                continue;
            }
            report.look();
            // How each key of that revision is shown: as of it or later, or from before it.
            let shown_from = |key: &Key| {
                let record = records.get(key).map(|record| record.mod_revision);
                record.or_else(|| bad.get(key).map(|unread| unread.mod_revision))
            };
            let is_old = |key: &&&Key| {
                let truth = store.at(key, *revision).filter(|version| version.is_shown());
                shown_from(key) != truth.map(|version| version.revision)
            };
            let old: Vec<_> = touched.iter().filter(is_old).collect();
            report.expect(old.is_empty() || old.len() == touched.len(), || {
                format!("{} at @{revision} shows a part of @{at}: {} is not", shown.name(), old[0])
            });
        }
        // What a watch has left as it was, was looked at when it was told.
        let watched = shown.step.is_some_and(|step| step.cause == StepCause::Watched);
        let changed = shown.step.iter().flat_map(|step| &step.changes).filter_map(after);
        let all = records.iter().filter(|_| !watched);
        let mut looked_at = changed.chain(all);
        if let Some((key, record)) = looked_at.find(|(_, record)| record.mod_revision > *revision) {
            let from = record.mod_revision;
            report.fail(format!("{} at @{revision} shows {key} from @{from}", shown.name()));
        }
    }
}

/// What there is of a key after a change.
fn after(change: &Change) -> Option<(&Key, &Arc<Record>)> {
    match change {
        Change::Added { key, record } | Change::Updated { key, record, .. } => Some((key, record)),
        Change::Removed { .. } => None,
    }
}

/// VW4.
#[derive(Clone, Debug, Default)]
pub(super) struct Sound;

impl Check for Sound {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let Some(shown) = Shown::of(facts, entry) else { return };
        let Some(step) = shown.step else { return };
        report.look();
        let before = shown.directory.before.as_ref();
        let known = |key: &Key| before.and_then(|before| before.records.get(key));
        let mut last: Option<&Key> = None;
        for change in &step.changes {
            let (key, fits) = match change {
                Change::Added { key, .. } => (key, known(key).is_none()),
                Change::Updated { key, before, record } => {
                    (key, known(key) == Some(before) && before != record)
                }
                Change::Removed { key, before } => (key, known(key) == Some(before)),
            };
            report
                .expect(fits, || format!("{}: {change} does not fit what it showed", shown.name()));
            report.expect(last.is_none_or(|last| last < key), || {
                format!("{}: {change} is out of order, or told twice", shown.name())
            });
            last = Some(key);
        }
        let excused = match step.cause {
            StepCause::Listed | StepCause::Relisted(Gap::NewEpoch) => true,
            StepCause::Watched | StepCause::Relisted(_) => {
                before.is_some_and(|before| before.bad != step.snapshot.bad)
            }
        };
        report.expect(excused || !step.changes.is_empty(), || {
            format!("{} tells a step in which nothing changed", shown.name())
        });
    }
}

/// VW5.
#[derive(Clone, Debug, Default)]
pub(super) struct OneOrder {
    seen: BTreeMap<(Scope, usize, Revision), (Run, DirectoryId, Digest)>,
}

impl Check for OneOrder {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let Some(shown) = Shown::of(facts, entry) else { return };
        let epoch = shown.directory.epochs.last().copied().unwrap_or_default();
        let place = (shown.directory.scope.clone(), epoch, shown.snapshot.revision);
        let digest = shown.directory.digest;
        let Some((run, id, other)) = self.seen.get(&place) else {
            self.seen.insert(place, (shown.run, shown.id, digest));
            return;
        };
        if (*run, *id) == (shown.run, shown.id) {
            return;
        }
        report.look();
        report.expect(*other == digest, || {
            let revision = shown.snapshot.revision;
            format!("{} and directory {} of {run} differ at @{revision}", shown.name(), id.0)
        });
    }
}

/// VW6.
#[derive(Clone, Debug, Default)]
pub(super) struct NotInvented;

impl Check for NotInvented {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let Some(shown) = Shown::of(facts, entry) else { return };
        for change in shown.step.iter().flat_map(|step| &step.changes) {
            let (Change::Added { key, record } | Change::Updated { key, record, .. }) = change
            else {
                continue;
            };
            report.look();
            let store = facts.history_of(shown.directory);
            let version = store.at(key, record.mod_revision);
            let written = version.is_some_and(|version| version.is_record(record));
            report.expect(written && record.mod_revision <= shown.snapshot.revision, || {
                format!("{}: {change} was never in the store", shown.name())
            });
        }
    }
}
