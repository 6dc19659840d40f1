//! VW1 to VW6: what a directory shows, held against the store.

use std::collections::BTreeMap;

use portolan_core::engine::{
    Change, Content, DirectoryId, Event, Freshness, Gap, Record, Snapshot, Step, StepCause,
};
use portolan_core::layout::{Decoded, Scope};
use portolan_core::waist::{Key, KeyRange, Revision};

use super::facts::{Directory, Facts};
use super::history::Version;
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
    folded: BTreeMap<(Run, DirectoryId), BTreeMap<Key, (Revision, u64)>>,
}

impl Check for Prefix {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let Some(shown) = Shown::of(facts, entry) else { return };
        report.look();
        let folded = self.folded.entry((shown.run, shown.id)).or_default();
        for change in shown.step.iter().flat_map(|step| &step.changes) {
            match change {
                Change::Added { key, record } | Change::Updated { key, record, .. } => {
                    folded.insert(key.clone(), (record.mod_revision, record.value_hash));
                }
                Change::Removed { key, .. } => {
                    folded.remove(key);
                }
            }
        }
        let Snapshot { revision, records, bad, .. } = shown.snapshot;
        let same = records.len() == folded.len()
            && records.iter().zip(folded.iter()).all(|((key, record), (other, folded))| {
                key == other && *folded == (record.mod_revision, record.value_hash)
            });
        report.expect(same, || {
            format!("{} at @{revision}: its differences do not fold to its snapshot", shown.name())
        });
        if *revision > facts.store.revision {
            report.fail(format!(
                "{} names @{revision}, but the store is at @{}",
                shown.name(),
                facts.store.revision
            ));
            return;
        }
        let Some(keys) = shown.keys else { return };
        let mut truth = facts.store.range_at(keys, *revision).filter(|(_, v)| v.is_shown());
        let mut shown_keys: Vec<_> = records.keys().chain(bad.keys()).collect();
        shown_keys.sort_unstable();
        for key in shown_keys {
            let next = truth.next();
            let Some((true_key, version)) = next else {
                report.fail(format!("{} shows {key}, absent @{revision}", shown.name()));
                return;
            };
            if key != true_key {
                let (what, key) =
                    if key < true_key { ("shows absent", key) } else { ("lacks", true_key) };
                report.fail(format!("{} {what} {key} @{revision}", shown.name()));
                return;
            }
            let fits = match (records.get(key), bad.get(key)) {
                (Some(record), None) => is_record(version, record),
                (None, Some(unread)) => {
                    matches!(version.decoded, Some(Decoded::Bad(_)))
                        && (unread.mod_revision, unread.value_hash)
                            == (version.revision, version.value_hash)
                }
                (Some(_), Some(_)) | (None, None) => false,
            };
            report.expect(fits, || {
                format!(
                    "{} at @{revision} shows {key} otherwise than the store, which has it from @{}",
                    shown.name(),
                    version.revision
                )
            });
        }
        if let Some((key, _)) = truth.next() {
            report.fail(format!("{} lacks {key} @{revision}", shown.name()));
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
        report.expect(after.epoch == before.epoch || declared, || {
            format!("{} begins epoch {} without saying so", shown.name(), after.epoch)
        });
        report.expect(after.epoch == before.epoch || !declared, || {
            format!("{} declares a new epoch, but the store has had only one", shown.name())
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
        for at in facts.store.revisions(shown.before(), *revision) {
            let touched: Vec<_> = facts.store.touched(keys, at).collect();
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
                let truth = facts.store.at(key, *revision).filter(|version| version.is_shown());
                shown_from(key) != truth.map(|version| version.revision)
            };
            let old: Vec<_> = touched.iter().filter(is_old).collect();
            report.expect(old.is_empty() || old.len() == touched.len(), || {
                format!("{} at @{revision} shows a part of @{at}: {} is not", shown.name(), old[0])
            });
        }
        let ahead = records.iter().find(|(_, record)| record.mod_revision > *revision);
        if let Some((key, record)) = ahead {
            let from = record.mod_revision;
            report.fail(format!("{} at @{revision} shows {key} from @{from}", shown.name()));
        }
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
    seen: BTreeMap<(Scope, Revision), (Run, DirectoryId, Snapshot)>,
}

impl Check for OneOrder {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let Some(shown) = Shown::of(facts, entry) else { return };
        let place = (shown.directory.scope.clone(), shown.snapshot.revision);
        let Some((run, id, other)) = self.seen.get(&place) else {
            self.seen.insert(place, (shown.run, shown.id, shown.snapshot.clone()));
            return;
        };
        if (*run, *id) == (shown.run, shown.id) {
            return;
        }
        report.look();
        let same = other.records == shown.snapshot.records && other.bad == shown.snapshot.bad;
        report.expect(same, || {
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
            let written = facts.store.of(key).iter().any(|version| is_record(version, record));
            report.expect(written && record.mod_revision <= shown.snapshot.revision, || {
                format!("{}: {change} was never in the store", shown.name())
            });
        }
    }
}

/// Whether a shown record is that version of its key.
fn is_record(version: &Version, record: &Record) -> bool {
    let same_content = match (&version.decoded, &record.content) {
        (Some(Decoded::Instance(stored)), Content::Instance(shown)) => stored == shown,
        (Some(Decoded::Config(stored)), Content::Config(shown)) => stored == shown,
        _ => false,
    };
    same_content
        && record.mod_revision == version.revision
        && record.create_revision == version.created
        && record.lease == version.lease
        && record.value_hash == version.value_hash
}
