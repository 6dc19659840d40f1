//! Keys and values.

use portolan_core::waist::{
    Compare, DeleteRange, EventKind, Key, KeyRange, KeyValue, Put, Range, Request, Revision,
    StoreError, Txn,
};

use super::cases;
use crate::conformance::client::{Client, Tap, always, names};

cases! {
    k1_versions_and_revisions_of_a_key: SHARED,
    k2_a_delete_event_is_bare: SHARED,
    k3_no_request_takes_an_empty_key: SHARED,
    k4_ignoring_what_is_not_given: SHARED,
    k5_what_was_there_before: SHARED,
}

fn k1_versions_and_revisions_of_a_key(client: &mut Client<'_>) {
    let first = client.put("a", "1").header.revision;
    client.put("b", "1");
    let second = client.put("a", "2").header.revision;
    let kv = client.get("a").expect("it was put");
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (first, second, 2));
    assert_eq!((kv.value, kv.lease), ("2".into(), None));
    client.delete(client.one("a"));
    assert_eq!(client.get("a"), None);
    let again = client.put("a", "3").header.revision;
    let kv = client.get("a").expect("it was put");
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (again, again, 1));
}

fn k2_a_delete_event_is_bare(client: &mut Client<'_>) {
    let lease = client.grant(600);
    let stream = client.watch_all(Revision::ZERO);
    client.ask_put(client.a_put("a", "1").tap(|put| put.lease = Some(lease)));
    let put = client.events(stream, 1).remove(0);
    assert_eq!((put.kind, put.kv.lease), (EventKind::Put, Some(lease)));
    let at = client.delete(client.one("a")).header.revision;
    let delete = client.events(stream, 1).remove(0);
    assert_eq!(delete.kind, EventKind::Delete);
    let bare = KeyValue { key: client.key("a"), mod_revision: at, ..KeyValue::default() };
    assert_eq!((delete.kv, delete.prev), (bare, None));
}

fn k3_no_request_takes_an_empty_key(client: &mut Client<'_>) {
    let empty = KeyRange::one(Key::default());
    let end = KeyRange::span(Key::default(), client.key("z"));
    let compare = Compare::mod_revision(Key::default(), Revision::ZERO);
    let delete = |keys: &KeyRange| DeleteRange { keys: keys.clone(), prev_kv: false };
    let inside = always([client.op_delete(empty.clone())]);
    let requests = [
        Request::Put(Put { value: "1".into(), ..Put::default() }),
        Request::Range(Range::of(empty.clone())),
        Request::Range(Range::of(end.clone())),
        Request::Delete(delete(&empty)),
        Request::Delete(delete(&end)),
        Request::Txn(Txn { compares: vec![compare], ..Txn::default() }),
        Request::Txn(inside),
    ];
    for request in requests {
        assert_eq!(client.failure(request.clone()), StoreError::KeyNotProvided, "{request:?}");
    }
}

fn k4_ignoring_what_is_not_given(client: &mut Client<'_>) {
    let lease = client.grant(600);
    let put = client.a_put("a", "1").tap(|put| put.lease = Some(lease));
    client.ask_put(put);
    let bare = Put { key: client.key("a"), ..Put::default() };
    let value = bare.clone().tap(|put| put.ignore_value = true);
    let with_lease = bare.clone().tap(|put| put.ignore_lease = true);

    // What is ignored stays, the rest is replaced, and it is a change like any other.
    let at = client.ask_put(with_lease.clone().tap(|put| put.value = "2".into())).header.revision;
    let kv = client.get("a").expect("it is there");
    assert_eq!((kv.value, kv.lease, kv.version), ("2".into(), Some(lease), 2));
    assert_eq!(kv.mod_revision, at);
    client.ask_put(value.clone());
    let kv = client.get("a").expect("it is there");
    assert_eq!((kv.value, kv.lease, kv.version), ("2".into(), None, 3));

    let never = Some(client.never());
    let missing = client.key("missing");
    let cases = [
        (value.clone().tap(|put| put.value = "3".into()), StoreError::ValueProvided),
        (with_lease.clone().tap(|put| put.lease = Some(lease)), StoreError::LeaseProvided),
        (value.clone().tap(|put| put.key = missing.clone()), StoreError::KeyNotFound),
        (with_lease.tap(|put| put.key = missing.clone()), StoreError::KeyNotFound),
    ];
    for (put, error) in cases {
        assert_eq!(client.failure(Request::Put(put.clone())), error, "{put:?}");
        let txn = always([portolan_core::waist::Op::Put(put.clone())]);
        assert_eq!(client.failure(Request::Txn(txn)), error, "in a transaction: {put:?}");
    }
    // Two mistakes: which one is told depends on where.
    let both = value.tap(|put| {
        put.key = missing;
        put.lease = never;
    });
    assert_eq!(client.failure(Request::Put(both.clone())), StoreError::LeaseNotFound);
    let txn = always([portolan_core::waist::Op::Put(both)]);
    assert_eq!(client.failure(Request::Txn(txn)), StoreError::KeyNotFound);
    assert_eq!(client.get("a").expect("it is there").version, 3);
}

fn k5_what_was_there_before(client: &mut Client<'_>) {
    let put = |client: &Client<'_>, value: &str| client.a_put("a", value).tap(|p| p.prev_kv = true);
    let first = put(client, "1");
    assert_eq!(client.ask_put(first).prev, None);
    let before = client.get("a");
    let second = put(client, "2");
    assert_eq!(client.ask_put(second).prev, before);
    // Unasked, nothing is told.
    assert_eq!(client.put("a", "3").prev, None);

    client.put("b", "1");
    client.put("c", "1");
    let before = client.range(Range::of(client.span("a", "c"))).kvs;
    let reply = client.delete(client.span("a", "c"));
    assert_eq!((reply.deleted, &reply.prev), (2, &before));
    assert_eq!(names(&reply.prev), ["a", "b"]);
    let quiet = DeleteRange { keys: client.one("c"), prev_kv: false };
    let reply = client.ask(Request::Delete(quiet));
    let portolan_core::waist::Reply::Delete(reply) = reply else { panic!("{reply:?}") };
    assert_eq!((reply.deleted, reply.prev), (1, Vec::new()));
}
