//! Which faults struck: told from what happened in the world, not from what its plan asked for.

use portolan_core::waist::EventKind;
use portolan_memory::{Cause, Change, LeaseChange, LeaseStep};
use serde::{Deserialize, Serialize};

use super::facts::{Facts, Fate};
use super::history::Author;
use crate::plan::{Cut, Do, MemberFault, Rights, StoreFault, Way};
use crate::trace::{Entry, What};

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A kind of fault that took effect.
        #[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

faults! {
    /// A message travelled longer than its link takes otherwise.
    Delayed,
    /// A request was lost.
    RequestLost,
    /// An answer was lost.
    AnswerLost,
    /// A request reached the store when its engine had stopped waiting for it.
    RequestLate,
    /// An answer reached an engine that had stopped waiting for it.
    AnswerLate,
    /// An engine was given the same answer twice.
    AnswerTwice,
    /// A message was stopped where the link was cut to the store alone.
    CutUp,
    /// Where it was cut from the store alone.
    CutDown,
    /// Where it was cut both ways.
    CutBoth,
    /// A connection broke, and both ends noticed.
    Reset,
    /// A message vanished in a connection that was dead unnoticed.
    Swallowed,
    /// A process ended without a word.
    Crash,
    /// A process started again.
    Restart,
    /// A process was held, and went on.
    Pause,
    /// The store ended and started.
    StoreRestart,
    /// The store ended.
    StoreStop,
    /// The store was held.
    StorePause,
    /// The store's members lost their leader for good.
    LeaderLost,
    /// Another member began to lead.
    LeaderChange,
    /// A member ended and started.
    MemberRestart,
    /// A member ended.
    MemberStop,
    /// A member was held.
    MemberPause,
    /// A member was cut off from the others.
    MemberCutOff,
    /// A member fell behind.
    MemberLag,
    /// The processes' user lost rights.
    RightsTaken,
    /// Its password was changed.
    PasswordChanged,
    /// The store was full.
    Full,
    /// The store lost its data.
    Wiped,
    /// It was restored from a backup.
    Restored,
    /// Another cluster took its place.
    Replaced,
    /// The store forgot its history.
    Compaction,
    /// A process's lease was revoked by a stranger.
    LeaseRevoked,
    /// What a process had written was deleted by a stranger.
    KeyDeleted,
    /// It was overwritten.
    KeyOverwritten,
    /// It was moved to another lease, or off its own.
    KeyMoved,
}

impl Fault {
    /// What an entry tells of, if it is a fault; `doing` is the plan's step just before it.
    pub(super) fn of(facts: &Facts, doing: Option<&Do>, entry: &Entry) -> Option<Self> {
        Some(match &entry.what {
            What::Delayed { .. } => Self::Delayed,
            What::Lost { way: Way::Up, .. } => Self::RequestLost,
            What::Lost { way: Way::Down, .. } => Self::AnswerLost,
            What::Arrived { late: true, .. } => Self::RequestLate,
            What::Answered { run, attempt, .. } if !facts.fresh => {
                match facts.attempts.get(&(*run, *attempt))?.fate.as_ref()? {
                    Fate::Answered => Self::AnswerTwice,
                    Fate::Cancelled | Fate::Failed(_) => Self::AnswerLate,
                }
            }
            What::Stopped { cut, .. } => match cut {
                Cut::Up => Self::CutUp,
                Cut::Down => Self::CutDown,
                Cut::Both => Self::CutBoth,
            },
            What::Broke { .. } => {
                let reset = matches!(doing, Some(Do::Reset { .. } | Do::Cut { reset: true, .. }));
                return reset.then_some(Self::Reset);
            }
            What::Swallowed { .. } => Self::Swallowed,
            What::Crashed(_) => Self::Crash,
            What::Started { run, .. } if run.start > 1 => Self::Restart,
            What::Resumed(_) => Self::Pause,
            What::Stored(StoreFault::Restart) => Self::StoreRestart,
            What::Stored(StoreFault::Stop) => Self::StoreStop,
            What::Stored(StoreFault::Pause) => Self::StorePause,
            What::Stored(StoreFault::LoseLeader) => Self::LeaderLost,
            What::Stored(StoreFault::Fill) => Self::Full,
            What::Stored(StoreFault::Wipe) => Self::Wiped,
            What::Stored(StoreFault::Restore) => Self::Restored,
            What::Stored(StoreFault::Replace) => Self::Replaced,
            What::Allowed(Rights::Read | Rights::Nothing) => Self::RightsTaken,
            What::PasswordSet { right: false } => Self::PasswordChanged,
            What::Led(Some(_)) => Self::LeaderChange,
            What::Membered { fault, .. } => match fault {
                MemberFault::Restart => Self::MemberRestart,
                MemberFault::Stop => Self::MemberStop,
                MemberFault::Pause => Self::MemberPause,
                MemberFault::CutOff => Self::MemberCutOff,
                MemberFault::Lag => Self::MemberLag,
                MemberFault::Start
                | MemberFault::Resume
                | MemberFault::Rejoin
                | MemberFault::CatchUp => return None,
            },
            What::Compacted(_) => Self::Compaction,
            What::Leased(change) => return revoked(facts, change),
            What::Changed(change) => return touched(facts, change),
            _ => return None,
        })
    }
}

fn revoked(facts: &Facts, change: &LeaseChange) -> Option<Fault> {
    let LeaseStep::Ended { cause: Cause::Revoke { from, .. } } = change.step else { return None };
    let owned = facts.leases.get(&change.lease)?.owner.is_some();
    (owned && !facts.clients.contains_key(&from)).then_some(Fault::LeaseRevoked)
}

fn touched(facts: &Facts, change: &Change) -> Option<Fault> {
    let Cause::Request { from, .. } = change.cause else { return None };
    let before = facts.store.before_last(&change.kv.key)?;
    let runs_own = before.is_there() && matches!(before.by, Author::Run(..));
    if facts.clients.contains_key(&from) || !runs_own {
        return None;
    }
    let same = facts.store.of(&change.kv.key).last()?.value_hash == before.value_hash;
    Some(match change.kind {
        EventKind::Delete => Fault::KeyDeleted,
        EventKind::Put if same => Fault::KeyMoved,
        EventKind::Put => Fault::KeyOverwritten,
    })
}
