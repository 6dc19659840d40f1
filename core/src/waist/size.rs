//! How much a request holds.

use super::{Compare, KeyRange, Op, Put, Request, Target, Txn};

impl Request {
    /// Bytes of keys and values in it: what it costs to keep it in memory, and most of what it costs
    /// to send it.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Self::Range(range) => keys(&range.keys),
            Self::Put(request) => put(request),
            Self::Delete(delete) => keys(&delete.keys),
            Self::Txn(request) => txn(request),
            Self::Watch(watch) => keys(&watch.keys),
            Self::Compact(_)
            | Self::Grant(_)
            | Self::Revoke(_)
            | Self::KeepAlive(_)
            | Self::TimeToLive(_)
            | Self::Leases
            | Self::OnWatch { .. }
            | Self::Status
            | Self::Members
            | Self::Authenticate => 0,
        }
    }
}

fn txn(txn: &Txn) -> usize {
    let ops = txn.then.iter().chain(&txn.or_else).map(|op| match op {
        Op::Range(range) => keys(&range.keys),
        Op::Put(request) => put(request),
        Op::Delete(delete) => keys(&delete.keys),
        Op::Txn(nested) => self::txn(nested),
    });
    txn.compares.iter().map(compare).chain(ops).fold(0, usize::saturating_add)
}

fn compare(compare: &Compare) -> usize {
    let value = match &compare.target {
        Target::Value(value) => value.len(),
        Target::Version(_)
        | Target::CreateRevision(_)
        | Target::ModRevision(_)
        | Target::Lease(_) => 0,
    };
    keys(&compare.keys).saturating_add(value)
}

fn put(put: &Put) -> usize {
    put.key.len().saturating_add(put.value.len())
}

fn keys(keys: &KeyRange) -> usize {
    keys.key.len().saturating_add(keys.end.len())
}
