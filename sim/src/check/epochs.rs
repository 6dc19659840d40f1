//! The store's histories: one after the other, where it is wiped, restored or replaced.
//!
//! Who is not connected at that moment learns of it later, and who shows no more than a backup held
//! need never learn of it. So a directory or follower may be of several histories at once: of all
//! whose moment it may be showing.

use std::collections::BTreeSet;

use portolan_core::engine::{DirectoryId, Snapshot, StepCause};
use portolan_core::waist::{Key, KeyRange, LeaseId, Revision};

use super::facts::{Directory, Facts, Moment};
use super::history::History;
use crate::plan::StoreFault;
use crate::trace::{Entry, Run, What};

/// Histories, by their numbers.
pub(crate) type Epochs = BTreeSet<usize>;

/// What the store's last backup holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Backup {
    history: History,
    living: BTreeSet<LeaseId>,
}

impl Facts {
    /// Whether an entry begins another history of the store.
    pub fn begins_history(&self, entry: &Entry) -> bool {
        match &entry.what {
            What::Stored(StoreFault::Wipe | StoreFault::Replace) => true,
            What::Stored(StoreFault::Restore) => self.backup.is_some(),
            _ => false,
        }
    }

    /// The number of the store's present history.
    pub fn epoch(&self) -> usize {
        self.past.len()
    }

    /// A history of the store, by its number.
    pub fn history(&self, epoch: usize) -> &History {
        self.past.get(epoch).unwrap_or(&self.store)
    }

    /// The newest history of which a directory may show a moment.
    pub fn history_of(&self, directory: &Directory) -> &History {
        self.history(directory.epochs.last().copied().unwrap_or_default())
    }

    /// The moment at which one of `keys` was put on a lease, at a revision that somebody is told of
    /// now. That may be a moment of a former history: an answer was on its way, or its process was
    /// held, when the next one began. Leases are drawn by chance, so only what was restored with a
    /// history stands in several of them: then the moment is of the first.
    pub fn moment(&self, keys: &[Key], at: Revision, lease: LeaseId) -> Moment {
        let was_put = |&epoch: &usize| {
            let history = self.history(epoch);
            let mut there = keys.iter().filter_map(|key| history.at(key, at));
            there.any(|version| (version.revision, version.lease) == (at, Some(lease)))
        };
        // What was never written is of the present one, if of any.
        ((0..self.epoch()).find(was_put).unwrap_or(self.epoch()), at)
    }

    /// The histories of which something may be that was of `epochs`, and knows nothing of what came
    /// after revision `at`.
    pub fn epochs_since(&self, epochs: &Epochs, keys: &KeyRange, at: Revision) -> Epochs {
        let goes_on = |&later: &usize| {
            let later = self.history(later);
            let same = |&one: &usize| self.history(one).is_same_at(later, keys, at);
            later.revision >= at && epochs.iter().any(same)
        };
        let newest = epochs.last().copied().unwrap_or_default();
        let later = (newest + 1..=self.epoch()).filter(goes_on);
        epochs.iter().copied().chain(later).collect()
    }

    /// The histories of which something may be that has begun anew since it was of `epochs`.
    pub fn epochs_from(&self, epochs: &Epochs) -> Epochs {
        (epochs.first().copied().unwrap_or_default()..=self.epoch()).collect()
    }

    pub(super) fn stored(&mut self, fault: StoreFault) {
        match fault {
            StoreFault::Backup => {
                let living = self.leases.iter().filter(|(_, lease)| lease.lives);
                let living = living.map(|(&id, _)| id).collect();
                self.backup = Some(Backup { history: self.store.clone(), living });
            }
            StoreFault::Wipe | StoreFault::Replace => {
                self.begin_history(History::new(), &BTreeSet::new());
            }
            StoreFault::Restore => {
                if let Some(Backup { history, living }) = self.backup.clone() {
                    self.begin_history(history, &living);
                }
            }
            StoreFault::Restart
            | StoreFault::Stop
            | StoreFault::Start
            | StoreFault::Pause
            | StoreFault::Resume
            | StoreFault::LoseLeader
            | StoreFault::RegainLeader
            | StoreFault::Fill
            | StoreFault::MakeRoom => {}
        }
    }

    /// Other data took the place of the store's. What was acknowledged before means nothing now.
    fn begin_history(&mut self, history: History, living: &BTreeSet<LeaseId>) {
        let before = std::mem::replace(&mut self.store, history);
        before.accounts().for_each(|keys| self.store.account_for(keys));
        self.past.push(before);
        for (id, lease) in &mut self.leases {
            lease.lives = living.contains(id);
        }
        for run in self.runs.values_mut() {
            run.acknowledged = Revision::ZERO;
        }
        for operation in self.ops.values_mut() {
            operation.floor = Revision::ZERO;
        }
    }

    /// A directory showed something, and why.
    pub(super) fn show(
        &mut self,
        run: Run,
        id: DirectoryId,
        snapshot: &Snapshot,
        cause: Option<StepCause>,
    ) {
        let Some(directory) = self.directories.get(&(run, id)) else { return };
        let mut epochs = directory.epochs.clone();
        let digest = directory.digest.changed(directory.shown.as_ref(), snapshot);
        if let (true, Some(keys)) = (self.epoch() > 0, &directory.keys) {
            // Whoever lists learns what there is, though not that it is another store's. A list that
            // changes nothing shows only in the freshness.
            let may_be = if cause == Some(StepCause::Watched) {
                self.epochs_since(&epochs, keys, directory.cursor())
            } else {
                self.epochs_from(&epochs)
            };
            let fits =
                |&epoch: &usize| self.history(epoch).differs(keys, snapshot, digest).is_none();
            let fitting: Epochs = may_be.iter().copied().filter(fits).collect();
            // Where none fits, VW1 says so.
            epochs = if fitting.is_empty() { may_be } else { fitting };
        }
        if let Some(directory) = self.directories.get_mut(&(run, id)) {
            directory.before = directory.shown.replace(snapshot.clone());
            directory.digest = digest;
            directory.epochs_before = std::mem::replace(&mut directory.epochs, epochs);
        }
    }
}
