//! What one member has, and the calls that it has not answered yet.

use std::collections::{BTreeMap, VecDeque};

use portolan_core::Time;
use portolan_core::waist::{AttemptId, Header, LeaseId, Request, StoreError};

use crate::state::{Answer, Entry, State};
use crate::watch::Watches;
use crate::{ClientId, Input, Operation, Pass, Token};

/// What one member has of its own.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Member {
    /// etcd's own id of it.
    pub(super) id: u64,
    pub(super) power: Power,
    /// Whether no other member can be reached from it, nor it from them.
    pub(super) cut: bool,
    /// Whether it is kept from applying what it has received.
    pub(super) lag: bool,
    /// Whether something was agreed on without it: it cannot lead before it has that.
    pub(super) missed: bool,
    /// Its own older state, while it has not applied all; a member in step shares the cluster's.
    pub(super) behind: Option<Box<Behind>>,
    pub(super) sight: Sight,
    /// The raft term when it last heard of a leader.
    pub(super) term: u64,
    pub(super) watches: Watches,
    pub(super) waiting: Vec<Waiting>,
    /// What has arrived while the process is held.
    pub(super) held: VecDeque<Input>,
    /// Proposals that have reached it and were not agreed on: it leads without a majority, or is held.
    pub(super) mail: Vec<Proposal>,
    pub(super) tokens: BTreeMap<Token, Session>,
    /// What it had applied when it last wrote to disk: older tokens do not outlive the process.
    pub(super) written: u64,
    /// Too far behind with applying to take proposals (row E3).
    pub(super) overloaded: bool,
}

/// What a member that lags stands at, and what it has still to apply.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Behind {
    pub(super) state: State,
    pub(super) queue: VecDeque<Entry>,
}

/// What a member knows of a token. Each member counts for itself, from when it was used there.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Session {
    pub(super) user: String,
    pub(super) expires: Time,
    /// The place in the log where it was issued.
    pub(super) issued: u64,
}

/// Which leader a member knows of. For a while this may be one that is gone.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash)]
pub(super) struct Sight {
    pub(super) leader: Option<usize>,
    /// Since when it is this one, or none.
    pub(super) since: Time,
    /// When it gives up a leader that it does not hear of.
    pub(super) forget_at: Option<Time>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) enum Power {
    On,
    /// Held, as by SIGSTOP.
    Held,
    Off,
}

/// A command on its way to being agreed on, and whose it is.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Proposal {
    /// The member that was asked.
    pub(super) asked: usize,
    pub(super) from: ClientId,
    pub(super) attempt: AttemptId,
    pub(super) entry: Entry,
}

/// A call that is not answered yet.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Waiting {
    pub(super) from: ClientId,
    pub(super) attempt: AttemptId,
    pub(super) what: Waits,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) enum Waits {
    /// For a leader, until a time when this error is the answer. What was sent to one that is silent
    /// waits for that one, whoever leads by then.
    Leader { later: Later, silent: Option<usize>, until: Time, otherwise: StoreError },
    /// A read, for a leader that it has asked how far the log is. A new one refuses it.
    Read { request: Request, pass: Pass, until: Time },
    /// A proposal, for being agreed on. It may have been lost on the way.
    Sent { since: Time, until: Time },
    /// For the member to have applied so many commands; for ever, where a token waits.
    Applied { count: u64, then: Then, since: Time, until: Option<Time> },
    /// For the revoke of a lease that is over (row L7). The header is from before (row R6).
    Revoke { lease: LeaseId, header: Header, pass: Pass },
}

/// What is taken up again once there is a leader.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) enum Later {
    Request(Request, Pass),
    /// Ready to be proposed.
    Entry(Entry),
}

/// What is done once a member has applied what it waits for.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) enum Then {
    Say(Result<Answer, StoreError>),
    Ask(Request, Pass),
    Operate(Operation, Pass),
}

impl Waits {
    /// Whether it was said on a stream: that has answers, what is said on it has none.
    pub(super) fn is_on_stream(&self) -> bool {
        matches!(self, Self::Applied { then: Then::Ask(Request::OnWatch { .. }, _), .. })
    }

    /// When it is given up, if it ever is.
    pub(super) fn until(&self) -> Option<Time> {
        match self {
            Self::Leader { until, .. } | Self::Read { until, .. } | Self::Sent { until, .. } => {
                Some(*until)
            }
            Self::Applied { until, .. } => *until,
            Self::Revoke { .. } => None,
        }
    }
}

impl Member {
    /// A member that runs and knows a leader.
    pub(super) fn new(id: u64, leader: usize, term: u64) -> Self {
        Self {
            id,
            power: Power::On,
            cut: false,
            lag: false,
            missed: false,
            behind: None,
            sight: Sight { leader: Some(leader), ..Sight::default() },
            term,
            watches: Watches::default(),
            waiting: Vec::new(),
            held: VecDeque::new(),
            mail: Vec::new(),
            tokens: BTreeMap::new(),
            written: 0,
            overloaded: false,
        }
    }

    /// How much it has to have applied before it opens a stream of watches that it was asked for.
    pub(super) fn opens_after(&self, stream: (ClientId, AttemptId)) -> Option<u64> {
        let opening = self.waiting.iter().find(|call| (call.from, call.attempt) == stream)?;
        match opening.what {
            Waits::Applied { count, then: Then::Ask(Request::Watch(_), _), .. } => Some(count),
            Waits::Applied { .. }
            | Waits::Leader { .. }
            | Waits::Read { .. }
            | Waits::Sent { .. }
            | Waits::Revoke { .. } => None,
        }
    }

    /// Takes the calls that `wanted` picks off the list, in order.
    pub(super) fn take_waiting(&mut self, wanted: impl Fn(&Waits) -> bool) -> Vec<Waiting> {
        if !self.waiting.iter().any(|call| wanted(&call.what)) {
            return Vec::new();
        }
        let (taken, rest) =
            std::mem::take(&mut self.waiting).into_iter().partition(|call| wanted(&call.what));
        self.waiting = rest;
        taken
    }
}
