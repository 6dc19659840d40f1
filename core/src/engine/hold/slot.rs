//! One key of one registration: what is wanted there, what was last seen there, and what follows.

use std::collections::BTreeSet;

use super::RegistrationId;
use crate::engine::retry::Backoff;
use crate::rng::hash;
use crate::time::Time;
use crate::waist::{AttemptId, Compare, Key, KeyValue, LeaseId, Revision, Value};

/// A key of a registration: the registration, and the key's place in its record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub(super) struct SlotId(pub RegistrationId, pub u16);

impl SlotId {
    /// No key has a lower one.
    pub const FIRST: Self = Self(RegistrationId(0), 0);
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Slot {
    pub key: Key,
    /// What is to stand there.
    pub value: Value,
    pub value_hash: u64,
    /// The content that `value` says; see `RegistrationEvent::Registered`.
    pub sequence: u64,
    pub phase: Phase,
    /// The lease it is placed on.
    pub lease: Option<LeaseId>,
    /// What the store last said of the key; `None`: nothing yet.
    pub seen: Option<Seen>,
    /// Who evicts this registration, if what was last seen is its record with such a mark.
    pub evicted_by: Option<Box<str>>,
    /// The create revision of our own record, when it was last seen in the store.
    pub ours_created: Option<Revision>,
    /// The lease that it hung on then. It counts in another epoch, too.
    pub ours_on: Option<LeaseId>,
    /// The batch it is in.
    pub flight: Option<AttemptId>,
    /// Its publishes that may still land.
    pub taints: Vec<Taint>,
    /// Failed compares in a row.
    pub strikes: u32,
    pub backoff: Backoff,
    /// Nothing is sent for it before.
    pub retry_at: Option<Time>,
    /// What is sent for it next is a retry.
    pub again: bool,
    /// It is sent in no batch with others, since such a batch was refused.
    pub alone: bool,
    /// It must be read again: its watch could not tell all that happened.
    pub recheck: bool,
    /// The value that stood there when the application was last told so.
    pub told_hash: Option<u64>,
    /// The leases that it must be seen to have left.
    pub leaving: Vec<LeaseId>,
    /// The queue it stands in.
    pub queued: Option<Lane>,
    /// The timer that is set for it.
    pub timer: Option<Time>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) enum Phase {
    /// Our record is to stand there.
    Wanted,
    /// Somebody else's record stands there; it is read again at `retry_at`.
    Waiting,
    /// A record that was created after ours vanished stands there on the lease `by`. It may be a
    /// late attempt of a process that has ended. Still there when that lease should have ended, it
    /// is a takeover.
    Disputed { by: LeaseId, wait: Wait },
    /// Our record is to be gone.
    Removing,
    /// The key is gone; the leases of the taints must die.
    Condemning,
    /// Given up: the registration has ended, the slot stays until its leases are dead.
    Abandoned,
}

/// How long a disputed record is waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) enum Wait {
    /// The store is being asked how long its lease lives.
    Asked,
    /// It did not say; it is asked again with the next read of the key.
    Unanswered,
    Until(Time),
}

/// What the store said of a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) struct Seen {
    /// At which revision.
    pub as_of: Revision,
    /// What stood there; `None`: nothing.
    pub record: Option<Standing>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) struct Standing {
    pub created: Revision,
    pub modified: Revision,
    pub lease: Option<LeaseId>,
    pub value_hash: u64,
}

/// Whose a record is: that of the lease it hangs on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) enum Whose {
    /// On a lease of this run; or on none, with a value that we wrote.
    Ours,
    /// On no lease, with a value that we did not write: anybody may replace it.
    Nobodys,
    /// On a lease that is not ours.
    Foreign(LeaseId),
}

/// A publish that may still land: with guard 0 as long as its lease may live, since an absent key
/// recurs; with any other guard until an answer shows the key at another revision.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) struct Taint {
    pub attempt: AttemptId,
    pub lease: LeaseId,
    pub guard: Revision,
}

/// What is to be sent for a slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub(super) enum Action {
    /// Delete the key, if it is still at its guard.
    Remove,
    /// Read the key.
    Read,
    /// Put the key on this lease, if it is still at its guard.
    Publish(LeaseId),
}

/// The queue of slots that may go out together. Retries have lanes of their own: they wait for
/// the process's budget, and gather meanwhile, so that a batch of them draws from it once.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub(super) struct Lane {
    pub again: bool,
    pub action: Action,
}

impl Standing {
    pub fn of(kv: &KeyValue) -> Self {
        Self {
            created: kv.create_revision,
            modified: kv.mod_revision,
            lease: kv.lease,
            value_hash: hash(&kv.value),
        }
    }
}

impl Slot {
    pub fn new(key: Key, value: Value, sequence: u64) -> Self {
        Self {
            value_hash: hash(&value),
            key,
            value,
            sequence,
            phase: Phase::Wanted,
            lease: None,
            seen: None,
            evicted_by: None,
            ours_created: None,
            ours_on: None,
            flight: None,
            taints: Vec::new(),
            strikes: 0,
            backoff: Backoff::default(),
            retry_at: None,
            again: false,
            alone: false,
            recheck: false,
            told_hash: None,
            leaving: Vec::new(),
            queued: None,
            timer: None,
        }
    }

    pub fn want(&mut self, value: Value, sequence: u64) {
        self.value_hash = hash(&value);
        self.value = value;
        self.sequence = sequence;
    }

    /// The revision that a write compares: 0 for an absent key, and as the first guess.
    pub fn guard(&self) -> Revision {
        self.standing().map_or(Revision::ZERO, |record| record.modified)
    }

    /// What a write compares: the revision at its guard, and the lease of what stands there. Revisions
    /// come again where the store was wiped, restored or replaced, and another's record may stand at
    /// the very same one; leases are drawn by chance and do not.
    pub fn compares(&self) -> Vec<Compare> {
        let mut compares = vec![Compare::mod_revision(self.key.clone(), self.guard())];
        let lease = self.standing().map(|record| record.lease);
        compares.extend(lease.map(|lease| Compare::lease(self.key.clone(), lease)));
        compares
    }

    pub fn standing(&self) -> Option<&Standing> {
        self.seen.as_ref()?.record.as_ref()
    }

    /// Whether what was last seen is what is wanted, on the lease that it is placed on.
    pub fn stands(&self) -> bool {
        self.lease.is_some()
            && self.standing().is_some_and(|record| {
                record.lease == self.lease && record.value_hash == self.value_hash
            })
    }

    /// Whether the value is one that this registration wrote.
    pub fn wrote(&self, value_hash: u64) -> bool {
        value_hash == self.value_hash || Some(value_hash) == self.told_hash
    }

    /// Whether nothing was ever sent for it, so that nothing can come.
    pub fn untouched(&self) -> bool {
        self.seen.is_none() && self.ours_created.is_none() && self.taints.is_empty()
    }

    /// Whether something of it may stand, or land, on a lease that it was placed on.
    pub fn may_hang_on(&self, lease: LeaseId) -> bool {
        let stands = match self.seen {
            Some(seen) => seen.record.is_some_and(|record| record.lease == Some(lease)),
            None => self.ours_on == Some(lease),
        };
        stands || self.taints.iter().any(|taint| taint.lease == lease)
    }

    /// The store has begun another history: what it said of the key counts for nothing, and the
    /// revisions that publishes were guarded with may come again.
    pub fn new_epoch(&mut self) {
        self.seen = None;
        self.evicted_by = None;
        self.told_hash = None;
        self.recheck = false;
        // A foreign record is not above ours, since ours was in another history; whoever wrote it
        // may have ended long ago.
        self.ours_created = self.ours_created.map(|_| Revision::ZERO);
        for taint in &mut self.taints {
            taint.guard = Revision::ZERO;
        }
        self.phase = match self.phase {
            Phase::Disputed { .. } => Phase::Wanted,
            // It may stand there again.
            Phase::Condemning => Phase::Removing,
            Phase::Wanted | Phase::Waiting | Phase::Removing | Phase::Abandoned => self.phase,
        };
    }

    /// Whether what stands at the key is known not to be ours, and nothing of ours can come.
    pub fn is_settled(&self, ours: &BTreeSet<LeaseId>) -> bool {
        let known = self.seen.is_some() && self.whose(ours) != Some(Whose::Ours);
        known && self.taints.is_empty()
    }

    /// Whose record stands at the key; `None`: nothing stands there, or it is not known.
    pub fn whose(&self, ours: &BTreeSet<LeaseId>) -> Option<Whose> {
        self.standing().map(|record| match record.lease {
            Some(lease) if ours.contains(&lease) => Whose::Ours,
            Some(lease) => Whose::Foreign(lease),
            None if self.wrote(record.value_hash) => Whose::Ours,
            None => Whose::Nobodys,
        })
    }

    /// What is to be sent for it, if nothing holds it back.
    pub fn action(&self, ours: &BTreeSet<LeaseId>) -> Option<Action> {
        match self.phase {
            Phase::Wanted if self.recheck => Some(Action::Read),
            Phase::Wanted if self.stands() => None,
            Phase::Wanted => self.lease.map(Action::Publish),
            Phase::Waiting | Phase::Disputed { .. } => Some(Action::Read),
            Phase::Removing => match self.whose(ours) {
                Some(Whose::Ours) => Some(Action::Remove),
                Some(Whose::Nobodys | Whose::Foreign(_)) | None => Some(Action::Read),
            },
            Phase::Condemning | Phase::Abandoned => None,
        }
    }

    /// Lifts the taints that the key's present revision proves harmless: a revision that was left
    /// never comes again. An absent key does.
    pub fn lift_taints(&mut self) {
        let now_at = self.guard();
        self.taints.retain(|taint| taint.guard == Revision::ZERO || taint.guard == now_at);
    }
}
