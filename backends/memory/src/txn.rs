//! What a transaction does, from `server/etcdserver/txn/txn.go`.
//!
//! ```text
//! path: which branch each transaction takes, nested ones too, all seen before anything is written
//! check: what may fail in the branches taken (row T7)
//! run: nothing can fail any more
//! ```

use portolan_core::waist::{
    Compare, KeyValue, LeaseId, Op, OpReply, Ordering, Put, Range, Revision, StoreError, Target,
    Txn, TxnReply,
};

use crate::Quirks;
use crate::range::range;
use crate::state::{State, Writer};
use crate::store::Store;

/// The branch that a transaction takes, and those of its nested ones in order.
struct Path {
    then: bool,
    nested: Vec<Path>,
}

/// Runs a transaction that may write.
pub(crate) fn apply(
    writer: &mut Writer<'_>,
    txn: &Txn,
    quirks: &Quirks,
) -> Result<TxnReply, StoreError> {
    let path = Path::of(&writer.state.store, txn);
    check(writer.state, txn, &path, quirks)?;
    let mut reply = run(writer, txn, &path);
    reply.header.revision = writer.revision();
    Ok(reply)
}

/// Runs a transaction that holds nothing but ranges.
pub(crate) fn read(state: &State, txn: &Txn, quirks: &Quirks) -> Result<TxnReply, StoreError> {
    let path = Path::of(&state.store, txn);
    check(state, txn, &path, quirks)?;
    let revision = state.store.revision();
    let mut reply = TxnReply { succeeded: path.then, ..TxnReply::default() };
    for op in path.ops(txn) {
        match op {
            Op::Range(request) => {
                reply.responses.push(OpReply::Range(range(&state.store, revision, request)?));
            }
            Op::Put(_) | Op::Delete(_) | Op::Txn(_) => {}
        }
    }
    Ok(reply)
}

/// Whether `txn` holds nothing but ranges, so that it needs no consensus (row T9).
pub(crate) fn is_read_only(txn: &Txn) -> bool {
    txn.then.iter().chain(&txn.or_else).all(|op| matches!(op, Op::Range(_)))
}

/// Whether `txn` is answered from the member's own, possibly old, data. A transaction without
/// operations is (row T9).
pub(crate) fn is_serializable(txn: &Txn) -> bool {
    txn.then
        .iter()
        .chain(&txn.or_else)
        .all(|op| matches!(op, Op::Range(Range { serializable: true, .. })))
}

/// Whether `txn` may need space on disk (row E2). Puts of nested transactions are not counted
/// (`server/storage/quota.go`).
pub(crate) fn needs_space(txn: &Txn) -> bool {
    txn.then.iter().chain(&txn.or_else).any(|op| matches!(op, Op::Put(_)))
}

impl Path {
    /// Decides all compares, those of nested transactions included, against `store` as it is now
    /// (row T1).
    fn of(store: &Store, txn: &Txn) -> Self {
        let then = txn.compares.iter().all(|compare| holds(store, compare));
        let ops = if then { &txn.then } else { &txn.or_else };
        let nested = ops
            .iter()
            .filter_map(|op| match op {
                Op::Txn(txn) => Some(Self::of(store, txn)),
                Op::Range(_) | Op::Put(_) | Op::Delete(_) => None,
            })
            .collect();
        Self { then, nested }
    }

    fn ops<'a>(&self, txn: &'a Txn) -> &'a [Op] {
        if self.then { &txn.then } else { &txn.or_else }
    }
}

/// Rows T2 and T3.
fn holds(store: &Store, compare: &Compare) -> bool {
    let mut found = store.range(&compare.keys, store.revision()).peekable();
    if found.peek().is_none() {
        return match compare.target {
            // A missing value cannot be told from an empty one, so nothing is said of it.
            Target::Value(_) => false,
            Target::Version(_)
            | Target::CreateRevision(_)
            | Target::ModRevision(_)
            | Target::Lease(_) => holds_for(&KeyValue::default(), compare),
        };
    }
    found.all(|kv| holds_for(kv, compare))
}

fn holds_for(kv: &KeyValue, compare: &Compare) -> bool {
    let order = match &compare.target {
        Target::Version(version) => kv.version.cmp(version),
        Target::CreateRevision(revision) => kv.create_revision.cmp(revision),
        Target::ModRevision(revision) => kv.mod_revision.cmp(revision),
        Target::Value(value) => kv.value.cmp(value),
        Target::Lease(lease) => {
            let number = |lease: Option<LeaseId>| lease.map_or(0, LeaseId::get);
            number(kv.lease).cmp(&number(*lease))
        }
    };
    match compare.result {
        Ordering::Equal => order.is_eq(),
        Ordering::NotEqual => order.is_ne(),
        Ordering::Greater => order.is_gt(),
        Ordering::Less => order.is_lt(),
    }
}

/// Row T7.
fn check(state: &State, txn: &Txn, path: &Path, quirks: &Quirks) -> Result<(), StoreError> {
    if quirks.puts_checked_first {
        walk(txn, path, &mut |op| check_put(state, op))?;
        walk(txn, path, &mut |op| check_range(state, op))
    } else {
        walk(txn, path, &mut |op| {
            check_put(state, op)?;
            check_range(state, op)
        })
    }
}

/// Shows `look` every operation that will run, in order.
fn walk(
    txn: &Txn,
    path: &Path,
    look: &mut impl FnMut(&Op) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut nested = path.nested.iter();
    for op in path.ops(txn) {
        match op {
            Op::Txn(txn) => {
                let path = nested.next().expect("a path for each nested transaction");
                walk(txn, path, look)?;
            }
            Op::Range(_) | Op::Put(_) | Op::Delete(_) => look(op)?,
        }
    }
    Ok(())
}

fn check_put(state: &State, op: &Op) -> Result<(), StoreError> {
    let Op::Put(Put { key, lease, ignore_value, ignore_lease, .. }) = op else { return Ok(()) };
    if (*ignore_value || *ignore_lease) && state.store.latest(key).is_none() {
        return Err(StoreError::KeyNotFound);
    }
    match lease {
        Some(lease) if !state.leases.contains_key(lease) => Err(StoreError::LeaseNotFound),
        Some(_) | None => Ok(()),
    }
}

/// Only 0 stands for "now" here: unlike a range on its own, one in a transaction takes a negative
/// revision at its word.
fn check_range(state: &State, op: &Op) -> Result<(), StoreError> {
    let Op::Range(Range { revision, .. }) = op else { return Ok(()) };
    if *revision == Revision::ZERO {
        Ok(())
    } else if *revision > state.store.revision() {
        Err(StoreError::FutureRevision)
    } else if *revision < state.store.compacted() {
        Err(StoreError::Compacted)
    } else {
        Ok(())
    }
}

/// Rows T4 and R7: of the headers inside only the revision is set, and that of a nested
/// transaction not even that.
fn run(writer: &mut Writer<'_>, txn: &Txn, path: &Path) -> TxnReply {
    let mut reply = TxnReply { succeeded: path.then, ..TxnReply::default() };
    let mut nested = path.nested.iter();
    for op in path.ops(txn) {
        let response = match op {
            Op::Range(request) => {
                let current = writer.revision();
                let found = range(&writer.state.store, current, request);
                OpReply::Range(found.expect("the revision was checked"))
            }
            Op::Put(put) => OpReply::Put(writer.put(put.clone())),
            Op::Delete(delete) => OpReply::Delete(writer.delete(delete)),
            Op::Txn(txn) => {
                let path = nested.next().expect("a path for each nested transaction");
                OpReply::Txn(run(writer, txn, path))
            }
        };
        reply.responses.push(response);
    }
    reply
}
