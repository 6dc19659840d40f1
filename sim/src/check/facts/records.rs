//! What is known of each thing in the world.

use portolan_core::Time;
use portolan_core::engine::{
    Conflict, Followed, Gone, OpId, RegistrationEvent, Snapshot, UpdateOutcome,
};
use portolan_core::layout::{Decoded, Scope};
use portolan_core::waist::{Certainty, Key, KeyRange, LeaseId, Request, Revision, StoreError};

use crate::check::digest::Digest;
use crate::check::epochs::Epochs;
use crate::check::ops::{self, Write};
use crate::process::Clock;
use crate::trace::Run;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct RunFacts {
    pub clock: Clocks,
    /// What it writes into its records.
    pub stamp: u64,
    pub life: RunLife,
    /// When it was last held, if ever.
    pub held_at: Option<Time>,
    /// By its own clock, when its shutdown is to end.
    pub closing: Option<Time>,
    pub closed: bool,
    /// In which history of the store its end was told to have left nothing behind.
    pub farewell: Option<usize>,
    /// The cluster that granted its first lease.
    pub home: Option<u64>,
    /// The newest revision that an update or a call has told its application of.
    pub acknowledged: Revision,
}

/// A run's clock, also as it ran before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Clocks(Vec<Clock>);

impl Clocks {
    pub fn of(clock: Clock) -> Self {
        Self(vec![clock])
    }

    /// From its start on it runs like this.
    pub fn runs(&mut self, clock: Clock) {
        self.0.push(clock);
    }

    /// What it shows at a moment of the world.
    pub fn local(&self, at: Time) -> Time {
        let then = self.0.iter().rev().find(|clock| clock.start <= at);
        then.or(self.0.first()).map_or(at, |clock| clock.local(at))
    }

    /// The first moment of the world at which it shows at least `local`, as it runs now.
    pub fn world(&self, local: Time) -> Time {
        self.0.last().map_or(local, |clock| clock.world(local))
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RunLife {
    Awake,
    Held,
    Over,
}

/// A request that was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Attempt {
    pub at: Time,
    /// In which history of the store it was sent.
    pub epoch: usize,
    pub request: Request,
    /// What each of its writes says; `None`: it deletes.
    pub says: Vec<Option<Decoded>>,
    /// How it ended for its engine; `None`: it still waits.
    pub fate: Option<Fate>,
    /// The key-value call that it is of.
    pub call: Option<OpId>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    Answered,
    Failed(StoreError),
    Cancelled,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Lease {
    /// The run that asked for it, and for which it was granted.
    pub owner: Option<Run>,
    /// Whether the store has it.
    pub lives: bool,
    /// Whether the owner knows that it was granted.
    pub confirmed: bool,
    /// The cluster that granted it; 0: the owner was not told.
    pub cluster: u64,
    /// Whether it was kept alive, or a record of its owner's has hung on it.
    pub used: bool,
    /// Whether its owner ever asked to revoke it.
    pub revoke_sent: bool,
    /// Whether its owner has been told that the store does not have it.
    pub known_dead: bool,
    /// By the owner's clock, until when it may rely on it: as long as no acknowledged request for
    /// it is older than the time to live that it brought.
    pub relied_until: Time,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Directory {
    pub scope: Scope,
    pub keys: Option<KeyRange>,
    /// What it showed before the present entry, and shows now.
    pub before: Option<Snapshot>,
    pub shown: Option<Snapshot>,
    /// Of what it shows now.
    pub digest: Digest,
    pub open: bool,
    /// The histories of the store of which it may have shown a moment then, and may now.
    pub epochs_before: Epochs,
    pub epochs: Epochs,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Registration {
    /// By its run's clock, since when it is wanted.
    pub wanted: Time,
    pub keys: Vec<Key>,
    pub conflict: Conflict,
    pub told: Option<RegistrationEvent>,
    /// By its run's clock, when its removal is to end.
    pub deadline: Option<Time>,
    pub gone: Option<Gone>,
    /// In which history of the store that was told.
    pub gone_in: usize,
    /// The lease on which its record is known to hang, and since which revision.
    pub hangs_on: Option<(Moment, LeaseId)>,
    /// Whether an answer has ever shown its own record in the store.
    pub stood: bool,
}

/// A revision of one of the store's histories, by its number.
pub(crate) type Moment = (usize, Revision);

/// A follower of a key range.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Follower {
    pub keys: KeyRange,
    pub from: Option<Revision>,
    pub open: bool,
    /// All changes up to here were told, or declared missing; `None`: nothing was told yet.
    pub cursor: Option<Revision>,
    /// A gap was declared, and no whole list was told since.
    pub broken: bool,
    /// The last key that was told of a list that is not whole yet.
    pub listed: Option<Key>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Operation {
    pub kind: OperationKind,
    /// By its run's clock.
    pub deadline: Time,
    pub ended: bool,
    pub outcome: Option<UpdateOutcome>,
    /// The newest revision that its application had been told as written when it began.
    pub floor: Revision,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum OperationKind {
    Update { key: Option<Key> },
    Call { request: Request },
}

impl Directory {
    /// The revision that it shows; 0 before its first list.
    pub fn cursor(&self) -> Revision {
        self.shown.as_ref().map_or(Revision::ZERO, |shown| shown.revision)
    }
}

impl Follower {
    /// As it was before anything was told.
    pub fn unheard(&self) -> Self {
        Self { cursor: None, broken: false, ..self.clone() }
    }

    pub(super) fn hear(&mut self, what: &Followed) {
        match what {
            Followed::Begun { revision } => self.cursor = Some(*revision),
            Followed::Changes { events } => {
                self.cursor = events.last().map(|event| event.kv.mod_revision).or(self.cursor);
            }
            Followed::Lagged { after } | Followed::Gap { after, .. } => {
                self.cursor = Some(*after);
                self.broken = true;
                self.listed = None;
            }
            Followed::Listed { revision, complete, records, .. } => {
                self.listed = records.last().map(|record| record.key.clone());
                if *complete {
                    self.cursor = Some(*revision);
                    self.broken = false;
                    self.listed = None;
                }
            }
        }
    }
}

impl Registration {
    pub(super) fn hangs(&mut self, at: Moment, lease: LeaseId) {
        if self.hangs_on.is_none_or(|(known, _)| known <= at) {
            self.hangs_on = Some((at, lease));
        }
    }
}

impl Attempt {
    /// All that it may write, and what that says; `None`: it deletes.
    pub fn writes(&self) -> impl Iterator<Item = (Write<'_>, Option<&Decoded>)> {
        let says = self.says.iter().map(Option::as_ref);
        ops::writes(&self.request).into_iter().zip(says)
    }

    /// Whether its engine cannot know whether it was, or will be, applied.
    pub fn is_in_doubt(&self) -> bool {
        match &self.fate {
            Some(Fate::Failed(error)) => error.certainty() == Certainty::Unknown,
            Some(Fate::Cancelled) => true,
            Some(Fate::Answered) | None => false,
        }
    }
}
