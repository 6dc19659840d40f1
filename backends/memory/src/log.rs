use std::fmt;

use portolan_core::Time;
use portolan_core::waist::{AttemptId, EventKind, KeyValue, LeaseId, Revision};
use serde::{Deserialize, Serialize};

use crate::ClientId;

/// The truth: every change of this epoch, in order, whatever was compacted or answered since.
///
/// A restored store keeps the part up to its backup; a wiped one starts empty.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Log {
    changes: Vec<Change>,
    leases: Vec<LeaseChange>,
}

/// One change of one key.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// When it was applied.
    pub at: Time,
    /// The revision, shared by all changes of one request.
    pub revision: Revision,
    /// The place among the changes of its revision, from 0.
    pub index: u32,
    /// Put or delete.
    pub kind: EventKind,
    /// The key after the change; of a delete only key and mod revision are set (row K2).
    pub kv: KeyValue,
    /// Whose doing it was.
    pub cause: Cause,
}

/// Why something happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// A request.
    Request {
        /// Whose.
        from: ClientId,
        /// Which.
        attempt: AttemptId,
    },
    /// A request to revoke this lease.
    Revoke {
        /// The lease.
        lease: LeaseId,
        /// Whose request.
        from: ClientId,
        /// Which request.
        attempt: AttemptId,
    },
    /// This lease's time was over.
    Expiry {
        /// The lease.
        lease: LeaseId,
    },
}

/// One step in the life of a lease.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct LeaseChange {
    /// When.
    pub at: Time,
    /// The store's revision afterwards.
    pub revision: Revision,
    /// Which lease.
    pub lease: LeaseId,
    /// What happened to it.
    pub step: LeaseStep,
}

/// What may happen to a lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum LeaseStep {
    /// It begins.
    Granted {
        /// Its time to live, as granted.
        ttl_secs: i64,
        /// When its time is over, if nobody renews it.
        expires: Time,
        /// By whose request.
        from: ClientId,
        /// By which request.
        attempt: AttemptId,
    },
    /// It was kept alive.
    Renewed {
        /// When its time is over now.
        expires: Time,
        /// By whose request.
        from: ClientId,
        /// By which request.
        attempt: AttemptId,
    },
    /// A new leader started its countdown over (row L10).
    Prolonged {
        /// When its time is over now.
        expires: Time,
    },
    /// It ends, and its keys with it, at the revision of this step if it had any.
    Ended {
        /// A revoke or its expiry.
        cause: Cause,
    },
}

impl Log {
    /// Every change, oldest first.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Every step in the life of every lease, oldest first.
    pub fn leases(&self) -> &[LeaseChange] {
        &self.leases
    }

    /// The changes of one revision, in order.
    pub fn at_revision(&self, revision: Revision) -> &[Change] {
        let start = self.changes.partition_point(|change| change.revision < revision);
        let end = self.changes.partition_point(|change| change.revision <= revision);
        &self.changes[start..end]
    }

    /// The changes of `revision` and later, in order.
    pub fn since(&self, revision: Revision) -> &[Change] {
        let start = self.changes.partition_point(|change| change.revision < revision);
        &self.changes[start..]
    }

    pub(crate) fn push(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub(crate) fn push_lease(&mut self, change: LeaseChange) {
        self.leases.push(change);
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { from, attempt } => write!(f, "{from} {attempt}"),
            Self::Revoke { lease, from, attempt } => {
                write!(f, "revoke of lease {lease} by {from} {attempt}")
            }
            Self::Expiry { lease } => write!(f, "expiry of lease {lease}"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            EventKind::Put => "put",
            EventKind::Delete => "delete",
        };
        let Self { at, revision, index, kv, cause, .. } = self;
        write!(f, "{at} r{revision}.{index} {kind} {} {} by {cause}", kv.key, kv.value)
    }
}
