//! Revisions and headers.

use std::time::Duration;

use portolan_core::waist::{
    Compact, DeleteRange, EventKind, Grant, Header, KeyRange, Op, OpReply, Range, Reply, Request,
    Revision, StoreError, Txn,
};

use super::cases;
use crate::conformance::client::{Client, Tap, always, name};
use crate::conformance::store::Happening;

cases! {
    r1_a_fresh_store_stands_at_revision_1: FRESH,
    r2_one_request_is_one_revision: SHARED,
    r3_no_change_no_revision: SHARED,
    r4_the_same_value_is_a_change: SHARED,
    r5_headers_tell_the_revision_of_the_write: SHARED,
    r6_lease_answers_tell_the_revision_too: SHARED,
    r7_headers_inside_a_transaction_are_bare: SHARED,
    r8_a_wiped_store_keeps_its_cluster_id: FRESH,
    r9_a_restart_keeps_the_revision_and_raises_the_term: FRESH,
}

fn r1_a_fresh_store_stands_at_revision_1(client: &mut Client<'_>) {
    let reply = client.range(Range::of(KeyRange::all()));
    assert_eq!((reply.header.revision, reply.count), (Revision(1), 0));
    assert_ne!(reply.header.cluster_id, 0);
    assert_ne!(reply.header.member_id, 0);
    // Nothing was compacted, not even 0.
    client.compact(Revision(0));
}

fn r2_one_request_is_one_revision(client: &mut Client<'_>) {
    let before = client.revision();
    for (n, key) in ["a", "b", "c"].iter().enumerate() {
        let step = i64::try_from(n).expect("small") + 1;
        assert_eq!(client.put(key, "1").header.revision.0, before.0 + step);
    }
    let stream = client.watch_all(Revision::ZERO);
    let ops =
        [client.op_put("z", "1"), client.op_delete(client.span("a", "d")), client.op_put("y", "1")];
    let reply = client.txn(always(ops));
    assert_eq!(reply.header.revision.0, before.0 + 4);
    let message = client.told(stream);
    let told: Vec<_> = message
        .events
        .iter()
        .map(|event| (event.kind, name(&event.kv.key), event.kv.mod_revision))
        .collect();
    let at = reply.header.revision;
    let expected = [
        (EventKind::Put, "z"),
        (EventKind::Delete, "a"),
        (EventKind::Delete, "b"),
        (EventKind::Delete, "c"),
        (EventKind::Put, "y"),
    ];
    assert_eq!(told, expected.map(|(kind, name)| (kind, name.to_owned(), at)));
}

fn r3_no_change_no_revision(client: &mut Client<'_>) {
    let before = client.put("a", "1").header.revision;
    let id = client.lease_id();
    let lease = client.grant(600);
    let missing = client.one("missing");
    let unleased = Op::Put(portolan_core::waist::Put {
        lease: Some(client.lease_id()),
        ..client.a_put("b", "1")
    });
    let requests = [
        Request::Delete(DeleteRange { keys: missing.clone(), prev_kv: false }),
        Request::Delete(DeleteRange { keys: client.span("x", "b"), prev_kv: false }),
        Request::Txn(always([client.op_get("a")])),
        Request::Txn(Txn::default()),
        Request::Txn(always([client.op_delete(missing.clone()), client.op_delete(missing)])),
        Request::Txn(always([unleased])),
        Request::Put(client.a_put("b", "1").tap(|put| put.ignore_value = true)),
        Request::Grant(Grant { lease: Some(id), ttl_secs: 600 }),
        Request::Grant(Grant { lease: Some(id), ttl_secs: 600 }),
        Request::KeepAlive(portolan_core::waist::KeepAlive { lease: id }),
        Request::Revoke(portolan_core::waist::Revoke { lease }),
        Request::Compact(Compact { revision: before, physical: false }),
        Request::Compact(Compact { revision: before, physical: false }),
    ];
    for request in requests {
        client.ask(request.clone());
        assert_eq!(client.revision(), before, "after {request:?}");
    }
    // Nor does the end of a lease, if no key goes with it.
    let short = client.grant(2);
    while client.time_to_live(short).ttl_secs >= 0 {
        client.wait(Duration::from_millis(100));
    }
    assert_eq!(client.revision(), before);
}

fn r4_the_same_value_is_a_change(client: &mut Client<'_>) {
    let first = client.put("a", "1").header.revision;
    assert_eq!(client.put("a", "1").header.revision, first.next());
    let kv = client.get("a").expect("it was put");
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (first, first.next(), 2));
}

fn r5_headers_tell_the_revision_of_the_write(client: &mut Client<'_>) {
    let first = client.put("a", "1").header.revision;
    assert_eq!(client.put("b", "1").header.revision, first.next());
    // A read of the past tells the present.
    let old = client.range(Range { revision: first, ..Range::of(client.all()) });
    assert_eq!((old.header.revision, old.count), (first.next(), 1));
    // A write that changes nothing tells the present too.
    assert_eq!(client.delete(client.one("missing")).header.revision, first.next());
    assert_eq!(client.delete(client.one("a")).header.revision.0, first.0 + 2);
    assert_eq!(client.txn(Txn::default()).header.revision.0, first.0 + 2);
    let put = always([client.op_put("c", "1")]);
    assert_eq!(client.txn(put).header.revision.0, first.0 + 3);
    let reply = client.ask(Request::Compact(Compact { revision: first, physical: false }));
    assert_eq!(reply.header().map(|header| header.revision.0), Some(first.0 + 3));
    let reply = client.ask(Request::Status);
    assert_eq!(reply.header().map(|header| header.revision.0), Some(first.0 + 3));
}

fn r6_lease_answers_tell_the_revision_too(client: &mut Client<'_>) {
    let lease = client.grant(600);
    let put = client.a_put("a", "1").tap(|put| put.lease = Some(lease));
    let at = client.ask_put(put).header.revision;
    let other = client.lease_id();
    assert_eq!(client.ask_grant(Grant { lease: Some(other), ttl_secs: 9 }).header.revision, at);
    assert_eq!(client.renew(lease).header.revision, at);
    assert_eq!(client.renew(client.never()).header.revision, at);
    assert_eq!(client.time_to_live(lease).header.revision, at);
    assert_eq!(client.time_to_live(client.never()).header.revision, at);
    let reply = client.ask(Request::Leases);
    assert_eq!(reply.header().map(|header| header.revision), Some(at));
    assert_eq!(client.revoke(other).header.revision, at);
    assert_eq!(client.revoke(lease).header.revision, at.next());
}

fn r7_headers_inside_a_transaction_are_bare(client: &mut Client<'_>) {
    let before = client.put("a", "1").header.revision;
    let nested = always([client.op_get("a"), client.op_put("c", "1")]);
    let ops = [
        client.op_get("a"),
        client.op_delete(client.one("missing")),
        client.op_put("b", "1"),
        client.op_get("a"),
        Op::Txn(nested),
    ];
    let reply = client.txn(always(ops));
    let bare = |revision| Header { revision, ..Header::default() };
    let inner = |reply: &OpReply| match reply {
        OpReply::Range(reply) => reply.header,
        OpReply::Put(reply) => reply.header,
        OpReply::Delete(reply) => reply.header,
        OpReply::Txn(reply) => reply.header,
    };
    let headers: Vec<_> = reply.responses.iter().map(inner).collect();
    let after = before.next();
    let expected = [bare(before), bare(before), bare(after), bare(after), Header::default()];
    assert_eq!(headers, expected);
    let OpReply::Txn(nested) = &reply.responses[4] else { panic!("{reply:?}") };
    let headers: Vec<_> = nested.responses.iter().map(inner).collect();
    assert_eq!(headers, [bare(after), bare(after)]);
    assert_ne!(reply.header.cluster_id, 0);
}

fn r8_a_wiped_store_keeps_its_cluster_id(client: &mut Client<'_>) {
    client.put("a", "1");
    let before = client.put("b", "1").header;
    client.happen(Happening::Restart);
    client.come_back();
    client.happen(Happening::Wipe);
    client.come_back();
    let after = client.records();
    assert_eq!(after.count, 0);
    assert_eq!(after.header.revision, Revision(1));
    assert_eq!(after.header.cluster_id, before.cluster_id);
    assert_eq!(after.header.member_id, before.member_id);
    assert_eq!(after.header.raft_term, before.raft_term, "the term starts over");
    // What is remembered of the former store is in the future of this one.
    let old = Range { revision: before.revision, ..Range::of(client.all()) };
    assert_eq!(client.failure(Request::Range(old)), StoreError::FutureRevision);
}

fn r9_a_restart_keeps_the_revision_and_raises_the_term(client: &mut Client<'_>) {
    let before = client.put("a", "1").header;
    client.happen(Happening::Restart);
    client.come_back();
    let after = client.records();
    assert_eq!((after.count, after.header.revision), (1, before.revision));
    assert_eq!(after.header.cluster_id, before.cluster_id);
    assert_eq!(after.header.member_id, before.member_id);
    assert!(after.header.raft_term > before.raft_term, "{after:?}");
    assert!(matches!(client.ask(Request::Leases), Reply::Leases(_)));
}
