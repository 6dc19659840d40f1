//! A store for [`Harness::play`] that does what the holds ask of it, and no more.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::waist::{Compare, DeleteReply, TimeToLiveReply};

#[derive(Default)]
pub(super) struct Store {
    pub revision: i64,
    pub keys: BTreeMap<Key, KeyValue>,
    pub leases: BTreeSet<LeaseId>,
}

impl Store {
    pub fn answer(&mut self, request: &Request) -> Option<Reply> {
        Some(match request {
            Request::Grant(grant) => {
                let lease = grant.lease?;
                self.leases.insert(lease);
                Reply::Grant(GrantReply { header: self.header(), lease, ttl_secs: grant.ttl_secs })
            }
            Request::KeepAlive(keep) => Reply::KeepAlive(KeepAliveReply {
                header: self.header(),
                lease: keep.lease,
                ttl_secs: if self.leases.contains(&keep.lease) { TTL as i64 } else { 0 },
            }),
            Request::Revoke(revoke) => {
                self.revision += 1;
                self.leases.remove(&revoke.lease);
                self.keys.retain(|_, kv| kv.lease != Some(revoke.lease));
                Reply::Revoke(RevokeReply { header: self.header() })
            }
            Request::TimeToLive(ask) => Reply::TimeToLive(self.time_to_live(ask.lease)),
            Request::Range(range) => {
                Reply::Range(RangeReply { header: self.header(), ..self.range(&range.keys.key) })
            }
            Request::Txn(txn) => {
                self.revision += 1;
                let (succeeded, responses) = self.txn(&txn.compares, &txn.then, &txn.or_else);
                Reply::Txn(TxnReply { header: self.header(), succeeded, responses })
            }
            Request::Put(_)
            | Request::Delete(_)
            | Request::Compact(_)
            | Request::Leases
            | Request::Watch(_)
            | Request::OnWatch { .. }
            | Request::Status
            | Request::Members
            | Request::Authenticate => return None,
        })
    }

    /// Keys that hang on a lease.
    pub fn on(&self, lease: LeaseId) -> Vec<Key> {
        let on = self.keys.values().filter(|kv| kv.lease == Some(lease));
        on.map(|kv| kv.key.clone()).collect()
    }

    pub fn time_to_live(&self, lease: LeaseId) -> TimeToLiveReply {
        let (header, keys) = (self.header(), self.on(lease));
        let alive = self.leases.contains(&lease);
        let (ttl_secs, granted_secs) = if alive { (5, TTL as i64) } else { (-1, 0) };
        TimeToLiveReply { header, lease, ttl_secs, granted_secs, keys }
    }

    fn header(&self) -> Header {
        header(self.revision)
    }

    fn range(&self, key: &Key) -> RangeReply {
        let kvs: Vec<_> = self.keys.get(key).cloned().into_iter().collect();
        RangeReply { count: kvs.len() as i64, kvs, ..RangeReply::default() }
    }

    fn txn(&mut self, compares: &[Compare], then: &[Op], or_else: &[Op]) -> (bool, Vec<OpReply>) {
        let holds = compares.iter().all(|compare| {
            let key = &compare.keys.key;
            let kv = self.keys.get(key);
            let revision = kv.map_or(Revision::ZERO, |kv| kv.mod_revision);
            let lease = kv.and_then(|kv| kv.lease);
            *compare == Compare::mod_revision(key.clone(), revision)
                || *compare == Compare::lease(key.clone(), lease)
        });
        let ops = if holds { then } else { or_else };
        (holds, ops.iter().map(|op| self.op(op)).collect())
    }

    fn op(&mut self, op: &Op) -> OpReply {
        match op {
            Op::Range(range) => OpReply::Range(self.range(&range.keys.key)),
            Op::Put(put) => {
                let at = Revision(self.revision);
                let created = self.keys.get(&put.key).map_or(at, |kv| kv.create_revision);
                let kv = KeyValue {
                    key: put.key.clone(),
                    create_revision: created,
                    mod_revision: at,
                    version: 1,
                    value: put.value.clone(),
                    lease: put.lease,
                };
                self.keys.insert(put.key.clone(), kv);
                OpReply::Put(PutReply::default())
            }
            Op::Delete(delete) => {
                let deleted = i64::from(self.keys.remove(&delete.keys.key).is_some());
                OpReply::Delete(DeleteReply { deleted, ..DeleteReply::default() })
            }
            Op::Txn(txn) => {
                let (succeeded, responses) = self.txn(&txn.compares, &txn.then, &txn.or_else);
                OpReply::Txn(TxnReply { succeeded, responses, ..TxnReply::default() })
            }
        }
    }
}
