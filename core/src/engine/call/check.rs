//! What is refused before it is sent: requests that the store could only refuse, or would answer
//! in a way that misleads.

use crate::waist::{Key, Op, Request, Txn};

/// Bytes of keys and values in one request at most: etcd's default of 1.5 MiB, less the smallest
/// envelope that a put goes to consensus in (row E1). What options and many operations add to that,
/// the store itself judges.
const BYTES_LIMIT: usize = (3 << 19) - 23;

/// Compares, or operations of one branch, in one transaction at most; etcd's default (row T5).
const OPS_LIMIT: usize = 128;

/// Why `request` cannot be a call, naming field, value and limit; else the bytes of keys and values
/// in it.
pub(super) fn check(request: &Request) -> Result<usize, String> {
    match request {
        Request::Range(range) => check_key("range", &range.keys.key)?,
        Request::Put(put) => check_key("put", &put.key)?,
        Request::Delete(delete) => check_key("delete", &delete.keys.key)?,
        Request::Txn(txn) if txn.then.is_empty() && txn.or_else.is_empty() => {
            // A member that is cut off answers such a transaction at once, from what it last knew
            // (row T9).
            return Err(
                "transaction has 0 operations, so its compares could be answered from old \
                        data; it takes at least 1, a range for one"
                    .to_owned(),
            );
        }
        Request::Txn(txn) => check_txn(txn, OPS_LIMIT)?,
        Request::Compact(_)
        | Request::Grant(_)
        | Request::Revoke(_)
        | Request::TimeToLive(_)
        | Request::Leases
        | Request::Status
        | Request::Members => {}
        Request::KeepAlive(_) => return Err(no_call("keepalive")),
        Request::Watch(_) | Request::OnWatch { .. } => return Err(no_call("watch")),
        Request::Authenticate => return Err(no_call("authenticate")),
    }
    let bytes = request.payload_bytes();
    if bytes > BYTES_LIMIT {
        return Err(format!(
            "request has {bytes} bytes of keys and values; the limit is {BYTES_LIMIT}"
        ));
    }
    Ok(bytes)
}

/// `left` is what the outer transactions leave of the limit, and it falls with each level, so the
/// recursion ends.
fn check_txn(txn: &Txn, left: usize) -> Result<(), String> {
    let counts = [
        ("compares", txn.compares.len()),
        ("operations (then)", txn.then.len()),
        ("operations (else)", txn.or_else.len()),
    ];
    for (what, count) in counts {
        if count > left && left == OPS_LIMIT {
            return Err(format!("transaction has {count} {what}; the limit is {OPS_LIMIT}"));
        }
        if count > left {
            return Err(format!(
                "nested transaction has {count} {what}; the outer ones leave {left} of the limit \
                 of {OPS_LIMIT}"
            ));
        }
    }
    let most = counts.map(|(_, count)| count).into_iter().max().unwrap_or(0);
    for compare in &txn.compares {
        check_key("compare", &compare.keys.key)?;
    }
    for op in txn.then.iter().chain(&txn.or_else) {
        match op {
            Op::Range(range) => check_key("range", &range.keys.key)?,
            Op::Put(put) => check_key("put", &put.key)?,
            Op::Delete(delete) => check_key("delete", &delete.keys.key)?,
            Op::Txn(txn) => check_txn(txn, left - most)?,
        }
    }
    Ok(())
}

fn check_key(what: &str, key: &Key) -> Result<(), String> {
    if key.is_empty() {
        return Err(format!("key of {what} has 0 bytes; it takes at least 1"));
    }
    Ok(())
}

fn no_call(what: &str) -> String {
    format!("{what} is no call: calls are single requests, each with one answer")
}
