//! What `docs/etcd.md` says of requests in themselves, told once more from its words.

use std::collections::BTreeMap;

use portolan_core::waist::{
    Compare, EventKind, Key, KeyRange, KeyValue, LeaseId, Op, OpReply, Ordering, Put, Request,
    Revision, StoreError, Target, Txn, TxnReply,
};

pub(super) type Records = BTreeMap<Key, KeyValue>;

/// Row G1.
pub(super) fn is_within(keys: &KeyRange, key: &[u8]) -> bool {
    match &*keys.end {
        [] => *key == *keys.key,
        [0] => *key >= *keys.key,
        end => *key >= *keys.key && key < end,
    }
}

/// Rows T5, T6, K3 and K4: what a transaction may be refused with for what it says. Empty: with
/// nothing.
pub(super) fn faults_of(txn: &Txn, max_ops: usize) -> Vec<StoreError> {
    let mut faults = Vec::new();
    if is_too_large(txn, max_ops) {
        faults.push(StoreError::TooManyOps);
    }
    shape(txn, &mut faults);
    // Only what is well-formed is looked at for keys named twice.
    if faults.is_empty() && names_a_key_twice(txn) {
        faults.push(StoreError::DuplicateKey);
    }
    faults
}

/// Row T5.
fn is_too_large(txn: &Txn, room: usize) -> bool {
    let size = [txn.compares.len(), txn.then.len(), txn.or_else.len()].into_iter().max();
    let Some(left) = room.checked_sub(size.unwrap_or(0)) else { return true };
    ops(txn).any(|op| matches!(op, Op::Txn(nested) if is_too_large(nested, left)))
}

/// Rows K3 and K4.
fn shape(txn: &Txn, faults: &mut Vec<StoreError>) {
    let mut keyless = txn.compares.iter().any(|compare| compare.keys.key.is_empty());
    for op in ops(txn) {
        match op {
            Op::Range(range) => keyless |= range.keys.key.is_empty(),
            Op::Delete(delete) => keyless |= delete.keys.key.is_empty(),
            Op::Put(put) => {
                keyless |= put.key.is_empty();
                if put.ignore_value && !put.value.is_empty() {
                    faults.push(StoreError::ValueProvided);
                }
                if put.ignore_lease && put.lease.is_some() {
                    faults.push(StoreError::LeaseProvided);
                }
            }
            Op::Txn(nested) => shape(nested, faults),
        }
    }
    if keyless {
        faults.push(StoreError::KeyNotProvided);
    }
}

fn ops(txn: &Txn) -> impl Iterator<Item = &Op> {
    txn.then.iter().chain(&txn.or_else)
}

/// A put or delete, and the way to it: on each level the branch and the place there.
struct Write<'a> {
    way: Vec<(bool, usize)>,
    what: What<'a>,
}

#[derive(Clone, Copy)]
enum What<'a> {
    Put(&'a Key),
    Delete(&'a KeyRange),
}

/// Row T6: each two writes are looked at.
fn names_a_key_twice(txn: &Txn) -> bool {
    let mut all = Vec::new();
    writes(txn, &[], &mut all);
    let pairs =
        all.iter().enumerate().flat_map(|(at, one)| all[at + 1..].iter().map(move |b| (one, b)));
    pairs.into_iter().any(|(one, other)| do_clash(one, other))
}

fn writes<'a>(txn: &'a Txn, way: &[(bool, usize)], all: &mut Vec<Write<'a>>) {
    for (branch, ops) in [(true, &txn.then), (false, &txn.or_else)] {
        for (place, op) in ops.iter().enumerate() {
            let way = [way, &[(branch, place)]].concat();
            match op {
                Op::Range(_) => {}
                Op::Put(put) => all.push(Write { way, what: What::Put(&put.key) }),
                Op::Delete(delete) => all.push(Write { way, what: What::Delete(&delete.keys) }),
                Op::Txn(nested) => writes(nested, &way, all),
            }
        }
    }
}

fn do_clash(one: &Write<'_>, other: &Write<'_>) -> bool {
    let parting = one.way.iter().zip(&other.way).position(|(a, b)| a != b);
    let level = parting.expect("each write stands elsewhere");
    let ((a_branch, a_place), (b_branch, b_place)) = (one.way[level], other.way[level]);
    if a_branch != b_branch {
        return false;
    }
    let is_nested = |write: &Write<'_>| write.way.len() > level + 1;
    let (put, put_place, keys, keys_place) = match (one.what, other.what) {
        (What::Put(a), What::Put(b)) => return a == b,
        (What::Delete(_), What::Delete(_)) => return false,
        (What::Put(put), What::Delete(keys)) => (put, a_place, keys, b_place),
        (What::Delete(keys), What::Put(put)) => (put, b_place, keys, a_place),
    };
    let is_later = is_nested(one) && is_nested(other) && put_place < keys_place;
    *keys.end != [0] && !is_later && is_within(keys, put)
}

/// What a request that succeeds makes of these records, in order (rows R2, K1, K2, K4, L5, T1 to T4).
pub(super) fn changes(
    before: &Records,
    request: &Request,
    revision: Revision,
) -> Vec<(EventKind, KeyValue)> {
    let mut run = Run { before, now: before.clone(), revision, done: Vec::new() };
    match request {
        Request::Put(put) => run.put(put),
        Request::Delete(delete) => run.delete(|kv| is_within(&delete.keys, &kv.key)),
        Request::Txn(txn) => run.txn(txn),
        Request::Revoke(revoke) => run.delete(|kv| kv.lease == Some(revoke.lease)),
        Request::Range(_)
        | Request::Compact(_)
        | Request::Grant(_)
        | Request::KeepAlive(_)
        | Request::TimeToLive(_)
        | Request::Leases
        | Request::Watch(_)
        | Request::OnWatch { .. }
        | Request::Status
        | Request::Members
        | Request::Authenticate => {}
    }
    run.done
}

struct Run<'a> {
    before: &'a Records,
    now: Records,
    revision: Revision,
    done: Vec<(EventKind, KeyValue)>,
}

impl Run<'_> {
    fn put(&mut self, put: &Put) {
        let old = self.now.get(&put.key).cloned();
        let kept = old.clone().unwrap_or_default();
        let kv = KeyValue {
            key: put.key.clone(),
            create_revision: old.map_or(self.revision, |old| old.create_revision),
            mod_revision: self.revision,
            version: kept.version + 1,
            value: if put.ignore_value { kept.value } else { put.value.clone() },
            lease: if put.ignore_lease { kept.lease } else { put.lease },
        };
        self.now.insert(put.key.clone(), kv.clone());
        self.done.push((EventKind::Put, kv));
    }

    fn delete(&mut self, wanted: impl Fn(&KeyValue) -> bool) {
        let gone: Vec<Key> =
            self.now.values().filter(|kv| wanted(kv)).map(|kv| kv.key.clone()).collect();
        for key in gone {
            self.now.remove(&key);
            let kv = KeyValue { key, mod_revision: self.revision, ..KeyValue::default() };
            self.done.push((EventKind::Delete, kv));
        }
    }

    fn txn(&mut self, txn: &Txn) {
        let then = txn.compares.iter().all(|compare| holds(self.before, compare));
        for op in if then { &txn.then } else { &txn.or_else } {
            match op {
                Op::Range(_) => {}
                Op::Put(put) => self.put(put),
                Op::Delete(delete) => self.delete(|kv| is_within(&delete.keys, &kv.key)),
                Op::Txn(nested) => self.txn(nested),
            }
        }
    }
}

/// Rows T2 and T3.
fn holds(records: &Records, compare: &Compare) -> bool {
    let mut found = records.values().filter(|kv| is_within(&compare.keys, &kv.key)).peekable();
    if found.peek().is_none() {
        let says_value = matches!(compare.target, Target::Value(_));
        return !says_value && holds_of(&KeyValue::default(), compare);
    }
    found.all(|kv| holds_of(kv, compare))
}

fn holds_of(kv: &KeyValue, compare: &Compare) -> bool {
    let id = |lease: Option<LeaseId>| lease.map_or(0, LeaseId::get);
    let (less, equal) = match &compare.target {
        Target::Version(wanted) => (kv.version < *wanted, kv.version == *wanted),
        Target::CreateRevision(wanted) => {
            (kv.create_revision < *wanted, kv.create_revision == *wanted)
        }
        Target::ModRevision(wanted) => (kv.mod_revision < *wanted, kv.mod_revision == *wanted),
        Target::Value(wanted) => (kv.value < *wanted, kv.value == *wanted),
        Target::Lease(wanted) => (id(kv.lease) < id(*wanted), id(kv.lease) == id(*wanted)),
    };
    match compare.result {
        Ordering::Equal => equal,
        Ordering::NotEqual => !equal,
        Ordering::Less => less,
        Ordering::Greater => !less && !equal,
    }
}

/// How many changes the answer to a transaction tells of.
pub(super) fn told_changes(reply: &TxnReply) -> usize {
    let told = |reply: &OpReply| match reply {
        OpReply::Range(_) => 0,
        OpReply::Put(_) => 1,
        OpReply::Delete(reply) => usize::try_from(reply.deleted).unwrap_or(usize::MAX),
        OpReply::Txn(reply) => told_changes(reply),
    };
    reply.responses.iter().map(told).sum()
}
