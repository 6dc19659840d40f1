//! An application that believes nothing but the events.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::{
    Change, Event, Freshness, Gap, GuardNews, Record, Snapshot, Step, StepCause, Suspect,
};
use crate::map::Map;
use crate::waist::{Key, Revision};

/// Folds steps strictly, and holds each against the snapshot that came with it.
#[derive(Default)]
pub struct Viewer {
    /// What was told, by its cause, and how often.
    pub told: BTreeMap<String, usize>,
    pub epoch: u32,
    pub revision: Revision,
    freshness: Option<Freshness>,
    records: BTreeMap<Key, Arc<Record>>,
    unread: usize,
    /// The content after the last step.
    last: Option<Snapshot>,
    /// What the guard keeps, as the last event showed it.
    suspects: Map<Key, Arc<Suspect>>,
    guarded: BTreeMap<String, ()>,
}

impl Viewer {
    pub fn see(&mut self, event: &Event) {
        match event {
            Event::Stepped { step, .. } => self.step(step),
            Event::Freshness { snapshot, .. } => {
                assert_ne!(self.freshness, Some(snapshot.freshness), "no news");
                self.check(snapshot);
                assert!(self.freshness.is_some(), "fresh before the first list");
                self.freshness = Some(snapshot.freshness);
                let live = snapshot.freshness == Freshness::Live;
                self.count(if live { "Live" } else { "Stale" });
            }
            Event::Guard { news, snapshot, .. } => {
                self.check(snapshot);
                match news {
                    GuardNews::Tripped { group, rule } => {
                        let old = self.guarded.insert(group.clone(), ());
                        assert_eq!(old, None, "{group} is guarded already");
                        assert!(rule.leases_gone >= 3 && rule.leases_gone * 2 > rule.of, "{rule}");
                        self.count("Tripped");
                    }
                    GuardNews::Dropped { keys, why, .. } => {
                        assert!(keys.is_sorted() && !keys.is_empty(), "{news}");
                        for key in keys {
                            assert!(self.suspects.contains_key(key), "{key} is no suspect");
                            assert!(!snapshot.suspects.contains_key(key), "{key} is one still");
                        }
                        self.count(&format!("{why:?}"));
                    }
                    GuardNews::Ended { group } => {
                        assert!(self.guarded.remove(group).is_some(), "{group} is not guarded");
                    }
                }
                self.suspects = snapshot.suspects.clone();
            }
            Event::Registration { .. }
            | Event::Followed { .. }
            | Event::Propose { .. }
            | Event::Updated { .. }
            | Event::Called { .. }
            | Event::Closed { .. } => panic!("no event of a directory: {event}"),
        }
    }

    fn step(&mut self, step: &Step) {
        if let Some(before) = self.last.replace(step.snapshot.clone()) {
            assert_eq!(before.changes_to(&step.snapshot), step.changes, "what a reader compares");
        }
        let mut last: Option<&Key> = None;
        for change in &step.changes {
            let key = match change {
                Change::Added { key, record } => {
                    let old = self.records.insert(key.clone(), Arc::clone(record));
                    assert_eq!(old, None, "{key} was there before it was added");
                    key
                }
                Change::Updated { key, before, record } => {
                    assert_ne!(before, record, "{key} did not change");
                    let old = self.records.insert(key.clone(), Arc::clone(record));
                    assert_eq!(old.as_ref(), Some(before), "{key} was something else");
                    key
                }
                Change::Removed { key, before } => {
                    let old = self.records.remove(key);
                    assert_eq!(old.as_ref(), Some(before), "{key} was something else");
                    key
                }
            };
            assert!(last.is_none_or(|last| last < key), "{key} is out of order, or came twice");
            last = Some(key);
        }
        let epoch = u32::from(step.cause == StepCause::Relisted(Gap::NewEpoch));
        assert_eq!(step.snapshot.epoch, self.epoch + epoch, "epochs are declared");
        if epoch > 0 {
            self.revision = Revision::ZERO;
        } else {
            let news = !step.changes.is_empty() || step.snapshot.bad.len() != self.unread;
            // A change of one unreadable record into another is not visible from here.
            let news = news || !step.snapshot.bad.is_empty();
            assert!(news || step.cause == StepCause::Listed, "an empty step");
        }
        assert_eq!(step.snapshot.freshness, Freshness::Live, "what steps was confirmed");
        self.count(&format!("{:?}", step.cause));
        if step.changes.is_empty() && step.cause == StepCause::Watched {
            self.count("Unreadable only");
        }
        self.epoch = step.snapshot.epoch;
        self.freshness = Some(step.snapshot.freshness);
        self.unread = step.snapshot.bad.len();
        self.suspects = step.snapshot.suspects.clone();
        self.check(&step.snapshot);
    }

    /// Whether a snapshot has just what the steps led to, and no older revision.
    pub fn check(&mut self, snapshot: &Snapshot) {
        assert!(snapshot.records.iter().eq(&self.records), "folding the steps leads elsewhere");
        assert_eq!(snapshot.epoch, self.epoch, "epochs are declared");
        assert!(snapshot.revision >= self.revision, "the revision fell");
        self.revision = snapshot.revision;
        let keys = snapshot.suspects.keys();
        assert!(keys.into_iter().all(|key| !self.records.contains_key(key)), "kept, though there");
    }

    /// Whether the engine's own snapshot has nothing that was not told.
    pub fn check_told(&mut self, snapshot: &Snapshot) {
        self.check(snapshot);
        assert_eq!(snapshot.freshness, self.freshness.unwrap_or(Freshness::Unsynced));
        assert_eq!(snapshot.suspects, self.suspects, "suspects change unsaid");
        assert_eq!(snapshot.guarded, !self.guarded.is_empty(), "guarded, and not told");
    }

    fn count(&mut self, what: &str) {
        *self.told.entry(what.to_owned()).or_default() += 1;
    }
}
