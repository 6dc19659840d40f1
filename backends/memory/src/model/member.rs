//! What one member has, and the calls that it has not answered yet.

use portolan_core::Time;
use portolan_core::waist::{AttemptId, Header, LeaseId, Request, StoreError};

use crate::ClientId;
use crate::state::{Command, State};
use crate::watch::Watches;

/// What one member has.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Member {
    pub(super) state: State,
    pub(super) watches: Watches,
    /// The space alarm (row E2).
    pub(super) full: bool,
    /// Too far behind with applying to take proposals (row E3).
    pub(super) overloaded: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) enum Power {
    On,
    /// Held, as by SIGSTOP.
    Held,
    Off,
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
    /// For a leader, until a time when this error is the answer.
    Leader { later: Later, until: Time, otherwise: StoreError },
    /// For the revoke of a lease that is over (row L7). The header is from before (row R6).
    Revoke { lease: LeaseId, header: Header },
}

/// What is taken up again once there is a leader.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) enum Later {
    Request(Request),
    /// Already proposed.
    Command(Command),
}

impl Member {
    pub(super) fn new() -> Self {
        Self { state: State::new(), watches: Watches::default(), full: false, overloaded: false }
    }
}
