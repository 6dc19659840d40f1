//! Requests taken apart: what they write, and what an answer says of each write.

use portolan_core::waist::{
    Key, KeyValue, LeaseId, Op, OpReply, Ordering, Put, Reply, Request, Revision, StoreError,
    Target, Txn, TxnReply,
};

/// One write of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write<'a> {
    /// The key; of a range that is deleted, its first.
    pub key: &'a Key,
    /// The mod revision that it is compared with.
    pub guard: Option<Revision>,
    /// What is put; `None`: it is deleted.
    pub put: Option<&'a Put>,
}

impl Write<'_> {
    /// The lease that it names.
    pub fn lease(&self) -> Option<LeaseId> {
        self.put.and_then(|put| put.lease)
    }
}

/// All that a request may write, in order.
pub(crate) fn writes(request: &Request) -> Vec<Write<'_>> {
    let mut found = Vec::new();
    match request {
        Request::Put(put) => found.push(Write { key: &put.key, guard: None, put: Some(put) }),
        Request::Delete(delete) => {
            found.push(Write { key: &delete.keys.key, guard: None, put: None });
        }
        Request::Txn(txn) => txn_writes(txn, &mut Vec::new(), &mut found),
        Request::Range(_)
        | Request::Compact(_)
        | Request::Grant(_)
        | Request::Revoke(_)
        | Request::KeepAlive(_)
        | Request::TimeToLive(_)
        | Request::Leases
        | Request::Watch(_)
        | Request::OnWatch { .. }
        | Request::Status
        | Request::Members
        | Request::Authenticate => {}
    }
    found
}

fn txn_writes<'a>(txn: &'a Txn, guards: &mut Vec<(&'a Key, Revision)>, found: &mut Vec<Write<'a>>) {
    let outer = guards.len();
    for compare in &txn.compares {
        if let (Target::ModRevision(revision), Ordering::Equal, true) =
            (&compare.target, compare.result, compare.keys.end.is_empty())
        {
            guards.push((&compare.keys.key, *revision));
        }
    }
    let guard = |guards: &[(&Key, Revision)], key: &Key| {
        guards.iter().rev().find(|(guarded, _)| *guarded == key).map(|&(_, revision)| revision)
    };
    for op in &txn.then {
        match op {
            Op::Put(put) => {
                let guard = guard(guards, &put.key);
                found.push(Write { key: &put.key, guard, put: Some(put) });
            }
            Op::Delete(delete) => {
                let key = &delete.keys.key;
                found.push(Write { key, guard: guard(guards, key), put: None });
            }
            Op::Txn(txn) => txn_writes(txn, guards, found),
            Op::Range(_) => {}
        }
    }
    guards.truncate(outer);
    for op in &txn.or_else {
        match op {
            Op::Put(put) => found.push(Write { key: &put.key, guard: None, put: Some(put) }),
            Op::Delete(delete) => {
                found.push(Write { key: &delete.keys.key, guard: None, put: None });
            }
            Op::Txn(txn) => txn_writes(txn, guards, found),
            Op::Range(_) => {}
        }
    }
}

/// The keys that an answered request has written; `None` if the answer fits no request of ours.
pub(crate) fn written<'a>(request: &'a Request, reply: &Reply) -> Vec<&'a Key> {
    let mut found = Vec::new();
    match (request, reply) {
        (Request::Put(put), Reply::Put(_)) => found.push(&put.key),
        (Request::Delete(delete), Reply::Delete(_)) => found.push(&delete.keys.key),
        (Request::Txn(txn), Reply::Txn(reply)) => txn_written(txn, reply, &mut found),
        _ => {}
    }
    found
}

fn txn_written<'a>(txn: &'a Txn, reply: &TxnReply, found: &mut Vec<&'a Key>) {
    let branch = if reply.succeeded { &txn.then } else { &txn.or_else };
    for (op, reply) in branch.iter().zip(&reply.responses) {
        match (op, reply) {
            (Op::Put(put), OpReply::Put(_)) => found.push(&put.key),
            (Op::Delete(delete), OpReply::Delete(_)) => found.push(&delete.keys.key),
            (Op::Txn(txn), OpReply::Txn(reply)) => txn_written(txn, reply, found),
            _ => {}
        }
    }
}

/// The records that an answer to a question for single keys shows.
pub(crate) fn looked_up<'a>(request: &Request, reply: &'a Reply) -> Vec<&'a KeyValue> {
    let mut found = Vec::new();
    match (request, reply) {
        (Request::Range(range), Reply::Range(reply)) if range.keys.end.is_empty() => {
            found.extend(&reply.kvs);
        }
        (Request::Txn(_), Reply::Txn(reply)) => txn_looked_up(reply, &mut found),
        _ => {}
    }
    found
}

fn txn_looked_up<'a>(reply: &'a TxnReply, found: &mut Vec<&'a KeyValue>) {
    for reply in &reply.responses {
        match reply {
            OpReply::Range(reply) => found.extend(&reply.kvs),
            OpReply::Txn(reply) => txn_looked_up(reply, found),
            OpReply::Put(_) | OpReply::Delete(_) => {}
        }
    }
}

/// The leases that an answer shows the store not to have.
pub(crate) fn found_dead(request: &Request, reply: &Reply) -> Vec<LeaseId> {
    match (request, reply) {
        (Request::KeepAlive(keep), Reply::KeepAlive(reply)) if reply.ttl_secs <= 0 => {
            vec![keep.lease]
        }
        (Request::Revoke(revoke), Reply::Revoke(_) | Reply::Failed(StoreError::LeaseNotFound)) => {
            vec![revoke.lease]
        }
        (request, Reply::Failed(StoreError::LeaseNotFound)) => {
            writes(request).into_iter().filter_map(|write| write.lease()).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a request reads what any member happens to have: a serializable range, or a
/// transaction that compares and has no operations (row T9). One that does neither reads nothing.
pub(crate) fn may_be_stale(request: &Request) -> bool {
    match request {
        Request::Range(range) => range.serializable,
        Request::Txn(txn) => {
            let serializable = |op: &Op| match op {
                Op::Range(range) => range.serializable,
                Op::Put(_) | Op::Delete(_) => false,
                Op::Txn(txn) => txn.then.is_empty() && txn.or_else.is_empty(),
            };
            let ops = || txn.then.iter().chain(&txn.or_else);
            let compares_alone = ops().next().is_none() && !txn.compares.is_empty();
            compares_alone || ops().any(serializable)
        }
        Request::Put(_)
        | Request::Delete(_)
        | Request::Compact(_)
        | Request::Grant(_)
        | Request::Revoke(_)
        | Request::KeepAlive(_)
        | Request::TimeToLive(_)
        | Request::Leases
        | Request::Watch(_)
        | Request::OnWatch { .. }
        | Request::Status
        | Request::Members
        | Request::Authenticate => false,
    }
}
