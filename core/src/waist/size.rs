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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waist::{DeleteRange, Range, Revision, Watch};

    #[test]
    fn a_request_holds_its_keys_and_values() {
        let keys = || KeyRange::span("ab", "abc");
        let range = || Range::of(keys());
        let put = || Put { key: "k".into(), value: "1234567".into(), ..Put::default() };
        let delete = || DeleteRange { keys: keys(), prev_kv: false };
        let compare = |target| {
            let result = crate::waist::Ordering::Equal;
            Compare { keys: KeyRange::one("abcd"), result, target }
        };
        let nested = Txn { then: vec![Op::Put(put())], ..Txn::default() };
        let txn = Txn {
            compares: vec![
                compare(Target::Value("12".into())),
                compare(Target::ModRevision(Revision(9))),
            ],
            then: vec![Op::Range(range()), Op::Delete(delete())],
            or_else: vec![Op::Txn(nested)],
        };
        let cases = [
            (Request::Range(range()), 5),
            (Request::Put(put()), 8),
            (Request::Delete(delete()), 5),
            (Request::Watch(Watch::of(keys(), Revision::ZERO)), 5),
            (Request::Txn(txn), 4 + 2 + 4 + 5 + 5 + 8),
            (Request::Txn(Txn::default()), 0),
            (Request::Status, 0),
        ];
        for (request, bytes) in cases {
            assert_eq!(request.payload_bytes(), bytes, "{request}");
        }
    }
}
