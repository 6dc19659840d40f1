//! How much is stored at most: the quota, and history that is compacted by itself.

use portolan_core::waist::{AttemptId, Compact, Op, Put, Request, StoreError, Txn};

use super::Model;
use crate::ClientId;
use crate::auth::Who;
use crate::log::Cause;
use crate::state::{Command, Entry};
use crate::store::VERSION_BYTES;

impl Model {
    /// Refuses what finds no room, and raises the alarm (row E2). Asked before anything else is
    /// looked at.
    ///
    /// etcd: `quotaAlarmer.check` in `v3rpc/quota.go`, `BackendQuota.Available` in
    /// `server/storage/quota.go`. What etcd looks at again when it is applied is applied at once here.
    pub(super) fn check_quota(&mut self, m: usize, request: &Request) -> Result<(), StoreError> {
        let Some(quota) = self.config.limits.quota_bytes else { return Ok(()) };
        let cost = cost(request);
        if cost == 0 || self.state(m).stored() + cost < quota {
            return Ok(());
        }
        self.alarms.insert(self.members[m].id);
        Err(StoreError::NoSpace)
    }

    /// What status says of the size: what is held against the quota, where there is one.
    pub(super) fn db_size(&self, m: usize) -> u64 {
        let state = self.state(m);
        if self.config.limits.quota_bytes.is_some() { state.stored() } else { state.store.bytes() }
    }

    /// Compacts away the older half of a history that has become too long, by an ordinary
    /// compaction, as `etcd --auto-compaction-retention` does (`server/etcdserver/api/v3compactor`).
    pub(super) fn limit_history(&mut self) {
        let Some(limit) = self.config.limits.history_bytes else { return };
        let store = &self.head.store;
        if store.history() <= limit {
            return;
        }
        if let Some(revision) = store.compaction_to(limit / 2) {
            let compact = Compact { revision, physical: false };
            let entry = Entry { command: Command::Compact(compact), who: Who::Store };
            let cause = Cause::Request { from: ClientId(0), attempt: AttemptId::NEWS };
            // It answers nobody, and the revision is there.
            let _ = self.commit(entry, cause);
        }
    }
}

/// How much room a request may take, in bytes, by etcd's own reckoning (`Cost` in
/// `server/storage/quota.go`). Puts of nested transactions, which etcd overlooks, count too: room
/// is memory here.
fn cost(request: &Request) -> u64 {
    match request {
        Request::Put(request) => put(request),
        Request::Txn(request) => txn(request),
        Request::Grant(_) => LEASE_BYTES,
        Request::Range(_)
        | Request::Delete(_)
        | Request::Compact(_)
        | Request::Revoke(_)
        | Request::KeepAlive(_)
        | Request::TimeToLive(_)
        | Request::Leases
        | Request::Watch(_)
        | Request::OnWatch { .. }
        | Request::Status
        | Request::Members
        | Request::Authenticate => 0,
    }
}

fn put(put: &Put) -> u64 {
    VERSION_BYTES + (put.key.len() + put.value.len()) as u64
}

/// The dearer one of its branches.
fn txn(request: &Txn) -> u64 {
    let branch = |ops: &[Op]| -> u64 {
        ops.iter()
            .map(|op| match op {
                Op::Put(request) => put(request),
                Op::Txn(request) => txn(request),
                Op::Range(_) | Op::Delete(_) => 0,
            })
            .sum()
    };
    branch(&request.then).max(branch(&request.or_else))
}

/// What a lease counts for, in bytes. etcd reckons with 64 (`leaseOverhead`); this is what it takes
/// here.
pub(crate) const LEASE_BYTES: u64 = 256;
