//! What a range answers (rows G1 to G6), from `server/etcdserver/txn/range.go`.

use std::cmp::Ordering;

use portolan_core::waist::{
    Header, KeyValue, Range, RangeReply, Revision, Sort, SortTarget, StoreError, Value,
};

use crate::store::Store;

/// Reads from `store` at `current`, which is one ahead of the store's revision inside a
/// transaction that has written. Of the header only the revision is set.
pub(crate) fn range(
    store: &Store,
    current: Revision,
    request: &Range,
) -> Result<RangeReply, StoreError> {
    if request.revision > current {
        return Err(StoreError::FutureRevision);
    }
    let at = if request.revision.0 <= 0 { current } else { request.revision };
    if at < store.compacted() {
        return Err(StoreError::Compacted);
    }
    let mut reply = RangeReply {
        header: Header { revision: current, ..Header::default() },
        ..RangeReply::default()
    };
    let found = store.range(&request.keys, at);
    if request.count_only {
        reply.count = found.count() as i64;
        return Ok(reply);
    }
    let limit = usize::try_from(request.limit).unwrap_or(0);
    let mut kept: Vec<&KeyValue> = Vec::new();
    let sorted = order_of(request);
    for kv in found {
        reply.count += 1;
        if !wanted(request, kv) {
            continue;
        }
        if sorted.is_none() && limit > 0 && kept.len() == limit {
            reply.more = true;
            continue;
        }
        kept.push(kv);
    }
    if let Some((target, order)) = sorted {
        if order == Sort::Unspecified && limit > 0 && !is_filtered(request) {
            // It reads no more than it thinks it needs, in the order of the keys, and sorts that.
            kept.truncate(limit + 1);
        }
        // Stable, where etcd's sort leaves ties in any order (row G5).
        kept.sort_by(|a, b| {
            let ascending = compare(target, a, b);
            if order == Sort::Descending { ascending.reverse() } else { ascending }
        });
        if limit > 0 && kept.len() > limit {
            kept.truncate(limit);
            reply.more = true;
        }
    }
    let strip = |kv: &KeyValue| {
        let value = if request.keys_only { Value::default() } else { kv.value.clone() };
        KeyValue { key: kv.key.clone(), value, ..*kv }
    };
    reply.kvs = kept.into_iter().map(strip).collect();
    Ok(reply)
}

/// How to sort; `None` where the order of the keys will do.
fn order_of(request: &Range) -> Option<(SortTarget, Sort)> {
    match request.sort? {
        (SortTarget::Key, Sort::Unspecified | Sort::Ascending) => None,
        sort => Some(sort),
    }
}

fn is_filtered(request: &Range) -> bool {
    [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ]
    .iter()
    .any(|bound| bound.0 != 0)
}

/// Whether the revision filters let `kv` through (row G4).
fn wanted(request: &Range, kv: &KeyValue) -> bool {
    let within = |revision: Revision, min: Revision, max: Revision| {
        (min.0 == 0 || revision >= min) && (max.0 == 0 || revision <= max)
    };
    within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
        && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
}

fn compare(target: SortTarget, a: &KeyValue, b: &KeyValue) -> Ordering {
    match target {
        SortTarget::Key => a.key.cmp(&b.key),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    }
}
