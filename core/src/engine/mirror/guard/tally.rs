use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::view::{GuardRule, Record};
use crate::time::Time;
use crate::waist::{Key, LeaseId};

/// The leases of one group: those that stand, and those that ended lately.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(super) struct Tally {
    /// How many instances hang on each lease.
    living: BTreeMap<LeaseId, u32>,
    /// Leases that took their last instance along, not by wish as far as is known.
    pub gone: BTreeMap<LeaseId, Gone>,
    /// On which of them each key hung.
    missing: BTreeMap<Key, LeaseId>,
    /// Those of the ended leases that are not kept, by when they ended.
    recent: BTreeSet<(Time, LeaseId)>,
    /// Leases that a record came to, or went from, since they were last looked at.
    touched: BTreeSet<LeaseId>,
    /// The longest time to live that one of its leases was granted, of those that were asked for.
    pub granted: Duration,
    /// Whether a living one was asked for that since the last time that none was missing.
    pub sampled: bool,
    /// Whether the guard has told that it keeps suspects of this group.
    pub tripped: bool,
    pub question: Question,
    /// Beyond those that are asked for.
    pub unasked: BTreeSet<LeaseId>,
}

/// A lease that ended, as far as the records show.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Gone {
    pub since: Time,
    /// What hung on it and has neither come back nor been refused.
    pub records: BTreeMap<Key, Arc<Record>>,
    /// Whether it has surely ended: the store has it no more, or did not say.
    pub ended: bool,
    /// Whether its records are suspects.
    pub kept: bool,
}

/// What the store was asked about the ended leases of a group, and said so far.
///
/// It is decided by what had ended when it was asked, also if some of it is back by then.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash)]
pub(super) struct Question {
    pub asked: u32,
    pub answered: u32,
    /// Those of them that live.
    pub lived: u32,
    /// Leases that are known to have ended, asked now or before.
    pub ended: u32,
    /// The fewest leases that lived while it was open.
    living: Option<u32>,
}

impl Question {
    pub fn is_open(self) -> bool {
        self.answered < self.asked
    }

    /// Whether all that were asked for live on, so that the others may be taken to do so too.
    pub fn all_live(self) -> bool {
        self.lived == self.asked
    }

    /// The rule, by what is known of the leases.
    pub fn rule(self, within: Duration) -> Option<GuardRule> {
        rule(self.ended, self.living?, within)
    }
}

impl Tally {
    /// An instance hangs on this lease from now on. Instances without one never expire.
    pub fn hang(&mut self, lease: Option<LeaseId>) {
        if let Some(lease) = lease {
            *self.living.entry(lease).or_default() += 1;
            self.touched.insert(lease);
        }
    }

    /// An instance does not hang on this lease any more.
    pub fn unhang(&mut self, lease: Option<LeaseId>) {
        if let Some(lease) = lease
            && let Some(count) = self.living.get_mut(&lease)
        {
            *count -= 1;
            if *count == 0 {
                self.living.remove(&lease);
            }
        }
    }

    /// An instance is gone that nobody announced to be leaving.
    pub fn miss(&mut self, key: &Key, record: &Arc<Record>, now: Time) {
        let Some(lease) = record.lease else { return };
        self.found(key);
        self.missing.insert(key.clone(), lease);
        self.touched.insert(lease);
        let recent = &mut self.recent;
        let gone = self.gone.entry(lease).or_insert_with(|| {
            recent.insert((now, lease));
            Gone { since: now, records: BTreeMap::new(), ended: false, kept: false }
        });
        gone.records.insert(key.clone(), Arc::clone(record));
    }

    /// A missing key is there again: true if it was missed. A lease is no longer counted as ended
    /// once all that hung on it is back.
    pub fn found(&mut self, key: &Key) -> bool {
        let Some(lease) = self.missing.remove(key) else { return false };
        if let Some(gone) = self.gone.get_mut(&lease) {
            gone.records.remove(key);
            if gone.records.is_empty() {
                self.forget(lease);
            }
        }
        true
    }

    /// A missing key is to be waited for no more, but its lease has ended all the same.
    pub fn write_off(&mut self, key: &Key) -> bool {
        let Some(lease) = self.missing.remove(key) else { return false };
        if let Some(gone) = self.gone.get_mut(&lease) {
            gone.records.remove(key);
        }
        true
    }

    /// Takes an ended lease from the count.
    pub fn forget(&mut self, lease: LeaseId) -> Option<Gone> {
        let gone = self.gone.remove(&lease)?;
        self.recent.remove(&(gone.since, lease));
        self.unasked.remove(&lease);
        for key in gone.records.keys() {
            self.missing.remove(key);
        }
        Some(gone)
    }

    /// Leases that are counted as ended and carry an instance all the same.
    pub fn revived(&mut self) -> Vec<LeaseId> {
        let touched = std::mem::take(&mut self.touched).into_iter();
        let lives =
            |lease: &LeaseId| self.gone.contains_key(lease) && self.living.contains_key(lease);
        touched.filter(lives).collect()
    }

    /// Takes from the count what ended longer ago than `within` and is not kept.
    pub fn forget_old(&mut self, now: Time, within: Duration) {
        while let Some(&(since, lease)) = self.recent.first()
            && since + within < now
        {
            self.forget(lease);
        }
    }

    /// Keeps what all ended leases took along; those that were not kept before.
    pub fn keep(&mut self) -> Vec<LeaseId> {
        let recent: Vec<_> = std::mem::take(&mut self.recent).into_iter().collect();
        for (_, lease) in &recent {
            if let Some(gone) = self.gone.get_mut(lease) {
                gone.kept = true;
            }
        }
        recent.into_iter().map(|(_, lease)| lease).collect()
    }

    /// Keeps nothing any more; what was kept.
    pub fn release(&mut self) -> Vec<Key> {
        let mut keys = Vec::new();
        for (lease, gone) in self.gone.iter_mut().filter(|(_, gone)| gone.kept) {
            gone.kept = false;
            self.recent.insert((gone.since, *lease));
            keys.extend(gone.records.keys().cloned());
        }
        keys
    }

    /// The rule by which the guard trips, by what is missing. What is kept counts for as long as
    /// it is.
    pub fn rule(&self, within: Duration) -> Option<GuardRule> {
        rule(number(self.gone.len()), number(self.living.len()), within)
    }

    /// A question is opened, or stays so.
    pub fn question(&mut self) {
        let living = number(self.living.len());
        let fewest = self.question.living.map_or(living, |fewest| fewest.min(living));
        self.question.living = Some(fewest);
    }

    /// A living lease that can tell how long leases are granted here, if that is not known and
    /// begins to matter: one has ended, and the group is large enough for the guard.
    pub fn sample(&mut self) -> Option<LeaseId> {
        let matters =
            !self.gone.is_empty() && number(self.gone.len() + self.living.len()) >= LEAST_GONE;
        if !matters || self.sampled || !self.granted.is_zero() {
            return None;
        }
        self.sampled = true;
        self.living.keys().next().copied()
    }

    /// Whether any instance of the group is a suspect.
    pub fn keeps(&self) -> bool {
        self.gone.values().any(|gone| gone.kept && !gone.records.is_empty())
    }

    /// Whether nothing is to be remembered of it. Without a lease that ended nothing is kept, so it
    /// is not tripped either.
    pub fn is_empty(&self) -> bool {
        self.living.is_empty() && self.gone.is_empty() && !self.question.is_open()
    }
}

/// Several leases, and more than half of all.
fn rule(leases_gone: u32, living: u32, within: Duration) -> Option<GuardRule> {
    let of = leases_gone.saturating_add(living);
    (leases_gone >= LEAST_GONE && leases_gone > living).then_some(GuardRule {
        leases_gone,
        of,
        within,
    })
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Leases that must have ended for the guard to trip, however small the group is: two instances
/// may well end together.
const LEAST_GONE: u32 = 3;
