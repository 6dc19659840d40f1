use std::time::Duration;

use portolan_core::engine::{CallError as Refusal, Gone};
use portolan_core::instance::InstanceError;
use portolan_core::layout::{EncodeError, EvictError as MarkError};
use portolan_core::name::NameError;
use portolan_core::waist::{Certainty, StoreError};

/// What sort of failure it is: what to do about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked makes no sense; it was refused before anything was sent.
    Invalid,
    /// The store could not be reached, or gave up; try again later.
    Unavailable,
    /// It may or may not have been done.
    Unknown,
    /// Somebody else was there.
    Conflict,
    /// The store forbids it: rights, password.
    Denied,
    /// Too much is under way; try again.
    Busy,
    /// The store has no room left.
    NoSpace,
    /// An operator took the instance out.
    Evicted,
    /// The registry is shut down.
    Closed,
    /// The store refused for another reason.
    Refused,
}

fn kind_of(error: &StoreError, certainty: Certainty) -> ErrorKind {
    if matches!(error, StoreError::PermissionDenied | StoreError::AuthFailed) {
        ErrorKind::Denied
    } else if *error == StoreError::NoSpace {
        ErrorKind::NoSpace
    } else if certainty == Certainty::Unknown {
        ErrorKind::Unknown
    } else if error.is_permanent() {
        ErrorKind::Refused
    } else {
        ErrorKind::Unavailable
    }
}

/// Why a group cannot be named so.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The name is not one.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Why a registration was not begun; nothing was sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The instance belongs to another group.
    #[error("instance {instance:?} belongs to group {group:?}; it is registered in {wanted:?}")]
    OtherGroup {
        /// The instance's id.
        instance: String,
        /// Its group.
        group: String,
        /// The group it was to be registered in.
        wanted: String,
    },
    /// An address that nobody else could reach.
    #[error(transparent)]
    Address(InstanceError),
    /// The layout cannot write it.
    #[error(transparent)]
    Encode(EncodeError),
    /// A registration keeps its id.
    #[error("instance {instance:?} is not the one registered, {registered:?}")]
    OtherInstance {
        /// The id of what was to be written.
        instance: String,
        /// The id of what is registered.
        registered: String,
    },
    /// The layout has no place for states; nothing was published.
    #[error("the layout has no place for an instance's state")]
    Stateless,
    /// The registration has ended.
    #[error(transparent)]
    Ended(RegistrationLost),
    /// The registry is shut down.
    #[error("the registry is shut down")]
    Closed,
}

impl RegisterError {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::OtherGroup { .. }
            | Self::OtherInstance { .. }
            | Self::Stateless
            | Self::Address(_)
            | Self::Encode(_) => ErrorKind::Invalid,
            Self::Ended(lost) => lost.kind(),
            Self::Closed => ErrorKind::Closed,
        }
    }
}

/// A registration has ended without being asked to.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the registration has ended: {gone}")]
pub struct RegistrationLost {
    pub(crate) gone: Gone,
}

impl RegistrationLost {
    /// How it ended.
    pub fn gone(&self) -> &Gone {
        &self.gone
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self.gone {
            Gone::Rejected { .. } | Gone::Superseded { .. } => ErrorKind::Conflict,
            Gone::Evicted { .. } => ErrorKind::Evicted,
            Gone::Refused { .. } => ErrorKind::Invalid,
            Gone::Unconfirmed => ErrorKind::Unknown,
            Gone::Deregistered => ErrorKind::Closed,
        }
    }
}

/// A removal was not confirmed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeregisterError {
    /// Not within its time: the record is gone, at the latest, when its lease ends.
    #[error("removal was not confirmed within {within:?}; the record ends with its lease")]
    Unconfirmed {
        /// How long it was tried.
        within: Duration,
    },
    /// The registration had ended before, for another reason.
    #[error(transparent)]
    Ended(#[from] RegistrationLost),
}

impl DeregisterError {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unconfirmed { .. } => ErrorKind::Unknown,
            Self::Ended(lost) => lost.kind(),
        }
    }
}

/// Why an instance was not taken out, or may not have been.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvictError {
    /// The record cannot be marked; nothing was written.
    #[error(transparent)]
    Mark(#[from] MarkError),
    /// The store did not answer, or refused; or there is no such id.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl EvictError {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Mark(_) => ErrorKind::Invalid,
            Self::Call(error) => error.kind(),
        }
    }
}

/// Nothing more will come.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The registry was shut down.
    #[error("the registry is shut down")]
    Closed,
}

/// Why a call has no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{inner}")]
pub struct CallError {
    pub(crate) inner: Refusal,
}

impl CallError {
    pub(crate) fn closed() -> Self {
        Self { inner: Refusal::Closed }
    }

    pub(crate) fn invalid(reason: String) -> Self {
        Self { inner: Refusal::Invalid { reason } }
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match &self.inner {
            Refusal::NotDone(error) => kind_of(error, Certainty::NotDone),
            Refusal::Unknown(error) => kind_of(error, Certainty::Unknown),
            Refusal::Busy { .. } | Refusal::BusyBytes { .. } => ErrorKind::Busy,
            Refusal::Closed => ErrorKind::Closed,
            Refusal::Invalid { .. } => ErrorKind::Invalid,
        }
    }
}

/// Why a configuration was not changed, or may not have been.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// Others kept changing it until the deadline; nothing of ours was written.
    #[error("others kept changing the configuration until the deadline")]
    Conflict,
    /// It may have been written, once.
    #[error("unknown whether the configuration was written: {reason}")]
    Unknown {
        /// The last failure.
        reason: String,
    },
    /// Surely nothing was written.
    #[error("configuration not changed: {0}")]
    NotDone(CallError),
    /// What stands there, or what was to be written, does not fit the type asked for.
    #[error("configuration {what}: {reason}")]
    Shape {
        /// Which of the two.
        what: &'static str,
        /// What does not fit, and where. Values are not shown: they may be secrets.
        reason: String,
    },
    /// The closure panicked; nothing was written. It is not called again.
    #[error("configuration not changed: the closure that was to change it panicked")]
    Panicked,
}

impl UpdateError {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Conflict => ErrorKind::Conflict,
            Self::Unknown { .. } => ErrorKind::Unknown,
            Self::NotDone(error) => error.kind(),
            Self::Shape { .. } | Self::Panicked => ErrorKind::Invalid,
        }
    }
}
