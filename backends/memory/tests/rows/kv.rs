use portolan_core::waist::{
    Compact, DeleteRange, EventKind, Key, KeyRange, KeyValue, LeaseId, Put, Range, Reply, Request,
    Revision, Sort, SortTarget, StoreError,
};
use portolan_memory::reply_size;

use crate::kit::{Bench, lease, nested, put, put_op, range_op, span};

#[test]
fn r1_a_fresh_store_is_at_revision_1() {
    let mut bench = Bench::new();
    assert_eq!(bench.range(Range::of(KeyRange::all())).header.revision.0, 1);
    assert_eq!(bench.model.compacted(), None);
}

#[test]
fn r2_one_step_for_each_changing_request() {
    let mut bench = Bench::new();
    assert_eq!(bench.put("b", ""), 2);
    assert_eq!(bench.put("a", ""), 3);
    assert_eq!(bench.delete(KeyRange::prefix("")), (4, 2));
    let order: Vec<_> = bench
        .model
        .log()
        .at_revision(Revision(4))
        .iter()
        .map(|change| (change.index, change.kv.key.to_string()))
        .collect();
    assert_eq!(order, [(0, "a".to_owned()), (1, "b".to_owned())]);
}

#[test]
fn r3_no_change_no_step() {
    let mut bench = Bench::new();
    bench.put("k", "v");
    assert_eq!(bench.delete(KeyRange::one("absent")), (2, 0));
    assert_eq!(bench.delete(span("x", "z")), (2, 0));
    bench.txn(vec![], vec![range_op(KeyRange::one("k"))], vec![]);
    bench.txn(vec![], vec![], vec![]);
    bench.txn(vec![], vec![crate::kit::delete_op(KeyRange::one("absent"))], vec![]);
    bench.grant(7, 10);
    bench.ask(Request::KeepAlive(portolan_core::waist::KeepAlive { lease: lease(7) }));
    bench.ask(Request::Revoke(portolan_core::waist::Revoke { lease: lease(7) }));
    bench.compact(2);
    assert_eq!(
        bench.error(Request::Put(Put { lease: LeaseId::new(9), ..put("k", "") })),
        Some(StoreError::LeaseNotFound)
    );
    bench.grant(8, 2);
    bench.wait_ms(3000);
    assert_eq!(bench.model.leases().count(), 0);
    assert_eq!(bench.revision(), 2);
}

#[test]
fn r4_an_identical_value_is_a_change() {
    let mut bench = Bench::new();
    bench.put("k", "v");
    assert_eq!(bench.put("k", "v"), 3);
    assert_eq!(bench.get("k").map(|kv| kv.version), Some(2));
}

#[test]
fn r5_header_of_a_range_is_the_present_also_of_the_past() {
    let mut bench = Bench::new();
    bench.put("k", "1");
    bench.put("k", "2");
    let reply = bench.range(Range { revision: Revision(2), ..Range::of(KeyRange::one("k")) });
    assert_eq!((reply.header.revision.0, reply.kvs[0].mod_revision.0), (3, 2));
    let header = reply.header;
    assert_eq!(header.cluster_id, bench.model.config().cluster_id);
    assert_eq!(header.member_id, bench.model.config().member_id);
    assert_eq!(header.raft_term, 2);
}

#[test]
fn r7_headers_inside_a_transaction_have_the_revision_alone() {
    let mut bench = Bench::new();
    bench.put("k", "");
    let reply = bench.txn(
        vec![],
        vec![
            range_op(KeyRange::one("k")),
            put_op("a", ""),
            range_op(KeyRange::one("k")),
            nested(vec![put_op("b", "")]),
        ],
        vec![],
    );
    assert_eq!((reply.header.revision.0, reply.header.raft_term), (3, 2));
    let inside: Vec<_> = reply
        .responses
        .iter()
        .map(|response| match response {
            portolan_core::waist::OpReply::Range(reply) => reply.header,
            portolan_core::waist::OpReply::Put(reply) => reply.header,
            portolan_core::waist::OpReply::Delete(reply) => reply.header,
            portolan_core::waist::OpReply::Txn(reply) => reply.header,
        })
        .map(|header| (header.revision.0, header.raft_term, header.cluster_id))
        .collect();
    // The first range came before the first write; the nested transaction says nothing.
    assert_eq!(inside, [(2, 0, 0), (3, 0, 0), (3, 0, 0), (0, 0, 0)]);
}

#[test]
fn k1_create_mod_version() {
    let mut bench = Bench::new();
    let facts =
        |kv: Option<KeyValue>| kv.map(|kv| (kv.create_revision.0, kv.mod_revision.0, kv.version));
    bench.put("k", "1");
    assert_eq!(facts(bench.get("k")), Some((2, 2, 1)));
    bench.put("other", "");
    bench.put("k", "2");
    assert_eq!(facts(bench.get("k")), Some((2, 4, 2)));
    bench.delete(KeyRange::one("k"));
    assert_eq!(facts(bench.get("k")), None);
    bench.put("k", "3");
    assert_eq!(facts(bench.get("k")), Some((6, 6, 1)));
}

#[test]
fn k2_a_delete_tells_key_and_revision_alone() {
    let mut bench = Bench::new();
    bench.grant(7, 60);
    bench.put_on("k", "v", 7);
    bench.delete(KeyRange::one("k"));
    let change = bench.model.log().changes()[1].clone();
    assert_eq!(change.kind, EventKind::Delete);
    let bare = KeyValue { key: "k".into(), mod_revision: Revision(3), ..KeyValue::default() };
    assert_eq!(change.kv, bare);
}

#[test]
fn k3_k4_what_a_put_refuses() {
    let cases = [
        (Put::default(), StoreError::KeyNotProvided),
        (Put { ignore_value: true, ..put("", "") }, StoreError::KeyNotProvided),
        (Put { ignore_value: true, ..put("k", "v") }, StoreError::ValueProvided),
        (
            Put { ignore_lease: true, lease: LeaseId::new(7), ..put("k", "v") },
            StoreError::LeaseProvided,
        ),
        (Put { ignore_value: true, ..put("absent", "") }, StoreError::KeyNotFound),
        (Put { ignore_lease: true, ..put("absent", "v") }, StoreError::KeyNotFound),
        (Put { lease: LeaseId::new(404), ..put("k", "") }, StoreError::LeaseNotFound),
        // Both wrong: the lease is looked at first.
        (
            Put { lease: LeaseId::new(404), ignore_value: true, ..put("absent", "") },
            StoreError::LeaseNotFound,
        ),
    ];
    let mut bench = Bench::new();
    bench.grant(7, 60);
    bench.put("k", "");
    for (request, error) in cases {
        assert_eq!(bench.error(Request::Put(request.clone())), Some(error), "{request:?}");
    }
    let empty = KeyRange::one("");
    for request in [
        Request::Range(Range::of(empty.clone())),
        Request::Delete(DeleteRange { keys: empty, prev_kv: false }),
    ] {
        assert_eq!(bench.error(request), Some(StoreError::KeyNotProvided));
    }
    assert_eq!(bench.revision(), 2);
}

#[test]
fn k4_ignore_flags_keep_what_is_stored() {
    let mut bench = Bench::new();
    bench.grant(7, 60);
    bench.put_on("k", "old", 7);
    bench.put_with(Put { ignore_lease: true, ..put("k", "new") });
    let kv = bench.get("k").expect("just written");
    assert_eq!((&*kv.value, kv.lease, kv.version), (&b"new"[..], LeaseId::new(7), 2));
    bench.put_with(Put { ignore_value: true, ..put("k", "") });
    let kv = bench.get("k").expect("just written");
    assert_eq!((&*kv.value, kv.lease, kv.version), (&b"new"[..], None, 3));
}

#[test]
fn k5_prev_kv_is_the_state_before() {
    let mut bench = Bench::new();
    let with_prev = |value: &str| Request::Put(Put { prev_kv: true, ..put("k", value) });
    let Reply::Put(first) = bench.ask(with_prev("1")) else { panic!("a put was asked") };
    assert_eq!(first.prev, None);
    let Reply::Put(second) = bench.ask(with_prev("2")) else { panic!("a put was asked") };
    assert_eq!(second.prev.map(|kv| kv.value), Some("1".into()));
    bench.put("l", "3");
    let delete = DeleteRange { keys: KeyRange::prefix(""), prev_kv: true };
    let Reply::Delete(gone) = bench.ask(Request::Delete(delete)) else { panic!("a delete") };
    let values: Vec<_> = gone.prev.iter().map(|kv| kv.value.to_vec()).collect();
    assert_eq!((gone.deleted, values), (2, vec![b"2".to_vec(), b"3".to_vec()]));
}

#[test]
fn g1_which_keys_a_range_means() {
    let mut bench = Bench::new();
    for key in ["a", "b", "b\0", "c"] {
        bench.put(key, "");
    }
    let cases = [
        (KeyRange::one("b"), vec!["b"]),
        (KeyRange::from_key("b"), vec!["b", "b\0", "c"]),
        (KeyRange::all(), vec!["a", "b", "b\0", "c"]),
        (span("a", "c"), vec!["a", "b", "b\0"]),
        (span("c", "a"), vec![]),
        (span("b", "b"), vec![]),
        (span("b", "b\0"), vec!["b"]),
    ];
    for (keys, expected) in cases {
        let reply = bench.range(Range::of(keys.clone()));
        let found: Vec<_> = reply.kvs.iter().map(|kv| kv.key.clone()).collect();
        let expected: Vec<_> = expected.into_iter().map(Key::from).collect();
        assert_eq!((reply.count as usize, found), (expected.len(), expected), "{keys}");
    }
}

#[test]
fn g2_revisions_read() {
    let mut bench = Bench::new();
    for value in ["2", "3", "4"] {
        bench.put("k", value);
    }
    bench.ask(Request::Compact(Compact { revision: Revision(3), physical: true }));
    let cases = [
        (-5, Ok("4")),
        (0, Ok("4")),
        (2, Err(StoreError::Compacted)),
        (3, Ok("3")),
        (4, Ok("4")),
        (5, Err(StoreError::FutureRevision)),
    ];
    for (revision, expected) in cases {
        let range = Range { revision: Revision(revision), ..Range::of(KeyRange::one("k")) };
        let reply = bench.ask(Request::Range(range));
        let found = if let Reply::Failed(error) = reply {
            Err(error)
        } else {
            let Reply::Range(reply) = reply else { panic!("{reply:?}") };
            Ok(reply.kvs[0].value.clone())
        };
        assert_eq!(found, expected.map(Into::into), "{revision}");
    }
}

#[test]
fn g3_g4_g5_g6_limit_filters_order_stripping() {
    let mut bench = Bench::new();
    for (key, value) in [("a", "3"), ("b", "1"), ("c", "2"), ("a", "3"), ("d", "0")] {
        bench.put(key, value);
    }
    // a: created 2, modified 5, version 2; b: 3; c: 4; d: 6.
    let all = Range::of(KeyRange::all());
    let sort = |target, order| Range { sort: Some((target, order)), ..all.clone() };
    let revision = Revision;
    let cases = [
        (all.clone(), "abcd", false),
        (Range { limit: 2, ..all.clone() }, "ab", true),
        (Range { limit: 4, ..all.clone() }, "abcd", false),
        (Range { limit: -1, ..all.clone() }, "abcd", false),
        (Range { min_mod_revision: revision(4), ..all.clone() }, "acd", false),
        (Range { max_mod_revision: revision(4), ..all.clone() }, "bc", false),
        (Range { min_create_revision: revision(3), ..all.clone() }, "bcd", false),
        (Range { max_create_revision: revision(3), ..all.clone() }, "ab", false),
        (Range { min_mod_revision: revision(4), limit: 2, ..all.clone() }, "ac", true),
        (Range { min_mod_revision: revision(4), limit: 3, ..all.clone() }, "acd", false),
        (sort(SortTarget::Key, Sort::Descending), "dcba", false),
        (sort(SortTarget::Key, Sort::Unspecified), "abcd", false),
        (sort(SortTarget::Value, Sort::Unspecified), "dbca", false),
        (sort(SortTarget::Value, Sort::Ascending), "dbca", false),
        (sort(SortTarget::Mod, Sort::Ascending), "bcad", false),
        (sort(SortTarget::Create, Sort::Descending), "dcba", false),
        (Range { limit: 1, ..sort(SortTarget::Version, Sort::Descending) }, "a", true),
        (Range { limit: 3, ..sort(SortTarget::Value, Sort::Ascending) }, "dbc", true),
        (Range { limit: 4, ..sort(SortTarget::Value, Sort::Ascending) }, "dbca", false),
    ];
    for (range, expected, more) in cases {
        let reply = bench.range(range.clone());
        let found: String = reply.kvs.iter().map(|kv| kv.key.to_string()).collect();
        assert_eq!((found.as_str(), reply.more), (expected, more), "{range:?}");
        assert_eq!(reply.count, 4, "the count knows no limit and no filter: {range:?}");
    }
    let bare = bench.range(Range { keys_only: true, ..sort(SortTarget::Value, Sort::Ascending) });
    assert!(bare.kvs.iter().all(|kv| kv.value.is_empty()));
    assert_eq!(&*bare.kvs[0].key, b"d", "sorted by the values that are then left out");
    let counted = bench.range(Range { count_only: true, limit: 1, ..all });
    assert_eq!((counted.count, counted.kvs.len(), counted.more), (4, 0, false));
}

#[test]
fn g8_the_size_of_an_answer() {
    let mut bench = Bench::new();
    bench.put("k", "v");
    let reply = bench.ask(Request::Range(Range::of(KeyRange::one("k"))));
    // Header: ids of 10 and 9 bytes with their tags, revision 2, term 2. Record: 3 + 2·3 + 3 bytes.
    let header = 2 + (1 + 10) + (1 + 10) + 2 + 2;
    let record = 2 + 3 + 2 + 2 + 2 + 3;
    assert_eq!(reply_size(&reply), header + record + 2);
    assert_eq!(reply_size(&Reply::Failed(StoreError::NoLeader)), 0);
}
