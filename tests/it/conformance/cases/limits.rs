//! Limits.

use portolan_core::waist::{Grant, Op, Put, Range, Reply, Request, Revision, StoreError, Txn};

use super::cases;
use crate::conformance::client::{Client, always};
use crate::conformance::store::Happening;

cases! {
    e1_how_long_a_request_may_be: SHARED,
    e2_a_full_store: SMALL,
}

fn e1_how_long_a_request_may_be(client: &mut Client<'_>) {
    let key = client.key("a");
    let put =
        |bytes: usize| Put { key: key.clone(), value: vec![0; bytes].into(), ..Put::default() };
    // What goes to consensus may have 1.5 MiB with its envelope. That holds the request's number:
    // the lower 16 bits of the member's id and 48 more, seven in a byte.
    let proposal = 3 << 19;
    let member = client.records().header.member_id & 0xffff;
    let number = (48 + member.checked_ilog2().map_or(0, |bit| bit as usize + 1)).div_ceil(7);
    let fits = proposal - 14 - number - key.len();
    assert!(matches!(client.ask(Request::Put(put(fits))), Reply::Put(_)));
    assert_eq!(client.failure(Request::Put(put(fits + 1))), StoreError::RequestTooLarge);
    assert_eq!(client.get("a").map(|kv| kv.value.len()), Some(fits), "the last byte that passes");
    assert_eq!(client.failure(Request::Put(put(proposal))), StoreError::RequestTooLarge);
    let txn = always([Op::Put(put(proposal))]);
    assert_eq!(client.failure(Request::Txn(txn)), StoreError::RequestTooLarge);
    // The message itself may have 512 KiB more. A field has a tag of one byte and a length.
    let limit = (2 << 20) as u64;
    let overhead = 1 + 1 + key.len() + 1 + 3;
    let message = (2 << 20) - overhead;
    assert_eq!(client.failure(Request::Put(put(message))), StoreError::RequestTooLarge);
    let size = limit + 1;
    let longer = put(message + 1);
    assert_eq!(client.failure(Request::Put(longer)), StoreError::MessageTooLarge { size, limit });
    assert_eq!(client.get("a").map(|kv| kv.version), Some(1));
}

fn e2_a_full_store(client: &mut Client<'_>) {
    let first = client.put("a", "1").header.revision;
    let lease = client.grant(600);
    client.happen(Happening::Fill);
    let put = client.op_put("a", "2");
    let inside = Txn { or_else: vec![put.clone()], ..Txn::default() };
    let empty = Put { value: "not empty".into(), ..Put::default() };
    for request in [
        Request::Put(client.a_put("a", "2")),
        Request::Txn(always([put])),
        Request::Txn(inside),
        Request::Grant(Grant { lease: Some(client.never()), ttl_secs: 600 }),
        // Before anything else is looked at.
        Request::Put(empty),
        Request::Grant(Grant { lease: Some(lease), ttl_secs: i64::MAX }),
    ] {
        assert_eq!(client.failure(request.clone()), StoreError::NoSpace, "{request:?}");
    }
    assert_eq!(client.get("a").map(|kv| kv.mod_revision), Some(first));
    assert_eq!(client.renew(lease).ttl_secs, 600);
    client.txn(always([Op::Range(Range::of(client.all())), client.op_delete(client.one("b"))]));
    assert_eq!(client.delete(client.one("a")).deleted, 1);
    client.revoke(lease);
    let now = client.revision();
    client.compact(now);
    let reply = client.ask(Request::Status);
    let Reply::Status(status) = reply else { panic!("{reply:?}") };
    assert!(status.errors.iter().any(|error| error.contains("NOSPACE")), "{status:?}");
    assert!(now > Revision(1));
}
