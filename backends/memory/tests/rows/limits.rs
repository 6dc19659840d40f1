use portolan_core::waist::{
    Compact, Compare, DeleteRange, Grant, Key, KeyRange, LeaseId, Op, Ordering, Put, Range, Reply,
    Request, Revision, Revoke, Sort, SortTarget, StoreError, Target, Txn, Value, Watch, WatchSay,
};
use portolan_memory::{Config, Fault};

use crate::kit::{Bench, delete_op, lease, nested, put, put_op, range_op};

fn big(length: usize) -> Value {
    Value::from(vec![b'v'; length])
}

/// Each boundary was found on real servers by bisection (3.4.23, 3.5.16, 3.5.30): the longest that
/// passes and, one byte more, the shortest that does not.
#[test]
fn e1_the_longest_request() {
    let put_of =
        |length| Request::Put(Put { key: "kk".into(), value: big(length), ..Put::default() });
    let txn_of = |length| {
        let keys = KeyRange::span("kk", "kz");
        let target = Target::Version(300);
        Request::Txn(Txn {
            compares: vec![Compare { keys, result: Ordering::Less, target }],
            then: vec![Op::Put(Put { key: "kk".into(), value: big(length), ..Put::default() })],
            or_else: vec![],
        })
    };
    let delete_of = |length| {
        let keys = KeyRange::one(vec![b'k'; length]);
        Request::Delete(DeleteRange { keys, prev_kv: true })
    };
    // The lower half of the member's id decides one byte.
    for (member_id, less) in [(0x1234_4df3, 0), (0x1234_f420, 1)] {
        let mut bench = Bench::with(Config { member_id, ..Config::default() });
        assert_eq!(bench.error(put_of(1_572_839 - less)), None);
        assert_eq!(bench.error(put_of(1_572_840 - less)), Some(StoreError::RequestTooLarge));
        assert_eq!(bench.error(txn_of(1_572_815 - less)), None);
        assert_eq!(bench.error(txn_of(1_572_816 - less)), Some(StoreError::RequestTooLarge));
        assert_eq!(bench.error(delete_of(1_572_841 - less)), None);
        assert_eq!(bench.error(delete_of(1_572_842 - less)), Some(StoreError::RequestTooLarge));
    }
}

#[test]
fn e1_the_longest_message() {
    let mut bench = Bench::new();
    let range_of = |length| {
        Request::Range(Range {
            limit: 5,
            serializable: true,
            sort: Some((SortTarget::Value, Sort::Descending)),
            min_mod_revision: Revision(200),
            ..Range::of(KeyRange::one(vec![b'k'; length]))
        })
    };
    let limit = 2_097_152;
    assert_eq!(bench.error(range_of(2_097_137)), None);
    let error = StoreError::MessageTooLarge { size: 2_097_153, limit };
    assert_eq!(bench.error(range_of(2_097_138)), Some(error));
    let huge = Put { key: "kk".into(), value: big(3_000_000), ..Put::default() };
    let error = StoreError::MessageTooLarge { size: 3_000_009, limit };
    assert_eq!(bench.error(Request::Put(huge)), Some(error));
    // On a stream it ends the stream.
    let stream = bench.watch(Watch::of(KeyRange::one("k"), Revision::ZERO));
    bench.heard(stream);
    let key = Key::from(vec![b'k'; 2_097_152]);
    bench.say(stream, WatchSay::Create(Watch::of(KeyRange::one(key), Revision::ZERO)));
    let failed = bench.answer(stream);
    assert!(matches!(failed, Some(Reply::Failed(StoreError::MessageTooLarge { .. }))));
    bench.put("k", "");
    assert!(bench.is_quiet());
}

#[test]
fn e2_space_alarm() {
    let mut bench = Bench::new();
    bench.grant(1, 60);
    bench.put("k", "");
    bench.fault(Fault::SpaceAlarm(true));
    let txn = |then| Request::Txn(Txn { then, ..Txn::default() });
    let no_space = Some(StoreError::NoSpace);
    let cases = [
        (Request::Put(put("k", "")), no_space.clone()),
        // Before anything else is looked at.
        (Request::Put(put("", "")), no_space.clone()),
        (txn(vec![put_op("x", ""), put_op("x", "")]), no_space.clone()),
        (Request::Txn(Txn { or_else: vec![put_op("x", "")], ..Txn::default() }), no_space.clone()),
        (Request::Grant(Grant { lease: Some(lease(1)), ttl_secs: 9 }), no_space),
        (txn(vec![]), None),
        (txn(vec![range_op(KeyRange::one("k"))]), None),
        (txn(vec![delete_op(KeyRange::one("x"))]), None),
        // Puts of nested transactions are not counted.
        (txn(vec![nested(vec![put_op("x", "")])]), None),
        (Request::Range(Range::of(KeyRange::one("k"))), None),
        (Request::Delete(DeleteRange { keys: KeyRange::one("k"), prev_kv: false }), None),
        (Request::Revoke(Revoke { lease: lease(1) }), None),
        (Request::Compact(Compact { revision: Revision(2), physical: false }), None),
    ];
    for (request, error) in cases {
        assert_eq!(bench.error(request.clone()), error, "{request:?}");
    }
    let Reply::Status(status) = bench.ask(Request::Status) else { panic!("status was asked") };
    assert_eq!(status.errors.len(), 1);
    bench.fault(Fault::SpaceAlarm(false));
    assert_eq!(bench.error(Request::Put(put("k", ""))), None);
}

#[test]
fn e3_overload() {
    let mut bench = Bench::new();
    bench.grant(1, 2);
    bench.put_on("k", "", 1);
    bench.fault(Fault::Overload(true));
    let busy = Some(StoreError::TooManyRequests);
    let read_only = Txn { then: vec![range_op(KeyRange::one("k"))], ..Txn::default() };
    let cases = [
        (Request::Put(put("k", "")), busy.clone()),
        // Checked before; too large after.
        (Request::Put(put("", "")), Some(StoreError::KeyNotProvided)),
        (Request::Put(Put { value: big(1_572_900), ..put("k", "") }), busy.clone()),
        (Request::Txn(Txn { then: vec![put_op("k", "")], ..Txn::default() }), busy.clone()),
        (Request::Txn(read_only), None),
        (Request::Range(Range::of(KeyRange::one("k"))), None),
        (Request::Grant(Grant { lease: None, ttl_secs: 9 }), busy.clone()),
        (Request::Revoke(Revoke { lease: lease(1) }), busy.clone()),
        (Request::Compact(Compact { revision: Revision(2), physical: false }), busy),
    ];
    for (request, error) in cases {
        assert_eq!(bench.error(request.clone()), error, "{request:?}");
    }
    assert_eq!(bench.revision(), 2);
    bench.wait_ms(2500);
    assert_eq!(bench.get("k"), None, "expired leases are revoked all the same");
}

#[test]
fn c1_what_can_be_compacted() {
    let mut bench = Bench::new();
    bench.put("k", "");
    assert_eq!(bench.compact(-1), Some(StoreError::Compacted));
    assert_eq!(bench.compact(0), None);
    assert_eq!(bench.compact(0), Some(StoreError::Compacted));
    assert_eq!(bench.compact(3), Some(StoreError::FutureRevision));
    bench.put("k", "");
    let reply = bench.ask(Request::Compact(Compact { revision: Revision(2), physical: true }));
    assert_eq!(reply.header().map(|header| header.revision.0), Some(3));
    assert_eq!(bench.compact(2), Some(StoreError::Compacted));
    assert_eq!(bench.compact(1), Some(StoreError::Compacted));
    assert_eq!(bench.model.compacted(), Some(Revision(2)));
}

#[test]
fn c2_what_compaction_leaves() {
    let mut bench = Bench::new();
    bench.put("dead", ""); // 2
    bench.put("old", "1"); // 3
    bench.put("old", "2"); // 4
    bench.delete(KeyRange::one("dead")); // 5
    bench.put("gone", ""); // 6
    bench.delete(KeyRange::one("gone")); // 7
    bench.put("old", "3"); // 8
    assert_eq!(bench.compact(7), None);
    let read = |revision| Range { revision: Revision(revision), ..Range::of(KeyRange::all()) };
    let values = |kvs: Vec<portolan_core::waist::KeyValue>| -> Vec<String> {
        kvs.iter().map(|kv| String::from_utf8_lossy(&kv.value).into_owned()).collect()
    };
    assert_eq!(bench.error(Request::Range(read(6))), Some(StoreError::Compacted));
    assert_eq!(values(bench.range(read(7)).kvs), ["2"]);
    assert_eq!(values(bench.range(read(8)).kvs), ["3"]);
    let stream = bench.watch(Watch::of(KeyRange::all(), Revision(7)));
    bench.wait_ms(100);
    let heard: Vec<_> = bench
        .heard_events(stream)
        .iter()
        .map(|event| (event.kv.key.to_string(), event.kv.mod_revision.0))
        .collect();
    assert_eq!(heard, [("gone".to_owned(), 7), ("old".to_owned(), 8)], "the delete at 7 stays");
    // The log forgets nothing.
    assert_eq!(bench.model.log().changes().len(), 7);
    let then = bench.model.store_at(Revision(3)).expect("the log is kept");
    let keys: Vec<_> = then.keys().map(Key::to_string).collect();
    assert_eq!(keys, ["dead", "old"]);
}

#[test]
fn c2_a_key_that_changed_last_before_the_compaction_stays() {
    let mut bench = Bench::new();
    bench.put("quiet", "1");
    bench.put("k", "");
    bench.put("k", "");
    bench.compact(4);
    bench.put("k", "");
    bench.compact(5);
    assert_eq!(bench.get("quiet").map(|kv| kv.value), Some("1".into()));
}

#[test]
fn w14_large_answers_come_in_parts() {
    let mut bench = Bench::new();
    for number in 0..5 {
        bench.put_with(Put { value: big(900_000), ..put(&format!("k{number}"), "") });
    }
    let watch = Watch { fragment: true, ..Watch::of(KeyRange::all(), Revision(2)) };
    let split = bench.watch(watch.clone());
    let whole = bench.watch(Watch { fragment: false, ..watch });
    bench.wait_ms(100);
    let shape = |bench: &mut Bench, stream| -> Vec<(usize, bool)> {
        let heard = bench.heard(stream);
        heard[1..].iter().map(|reply| (reply.events.len(), reply.fragment)).collect()
    };
    assert_eq!(shape(&mut bench, split), [(2, true), (2, true), (1, false)]);
    assert_eq!(shape(&mut bench, whole), [(5, false)]);
}

/// Found on 3.5.16 and 3.5.30: two events that make 2,097,152 bytes are parted, one byte less is not.
#[test]
fn w14_the_threshold_is_exact() {
    // Head: header 2 + 22 + 2 + 2. Each event: 4 + 4 for two lengths, the record: key 3,
    // revisions 2 + 2, version 2, value 4 and its bytes.
    let around = 28 + 2 * (8 + 3 + 6 + 4);
    let limit = 2_097_152;
    for (length, parts) in [(limit - 1, 1), (limit, 2)] {
        let mut bench = Bench::new();
        let first = 1_048_000;
        bench.put_with(Put { value: big(first), ..put("a", "") });
        bench.put_with(Put { value: big(length - around - first), ..put("b", "") });
        let watch = Watch { fragment: true, ..Watch::of(KeyRange::all(), Revision(2)) };
        let stream = bench.watch(watch);
        bench.wait_ms(100);
        let heard = bench.heard(stream);
        assert_eq!(heard.len() - 1, parts, "{length} bytes");
    }
}

#[test]
fn w14_one_revision_can_be_split() {
    let mut bench = Bench::with(Config { max_request_bytes: 4 << 20, ..Config::default() });
    let watch = Watch { fragment: true, ..Watch::of(KeyRange::all(), Revision::ZERO) };
    let stream = bench.watch(watch);
    bench.heard(stream);
    let puts =
        ["a", "b", "c"].map(|key| Op::Put(Put { value: big(1_300_000), ..put(key, "") })).to_vec();
    bench.grant(1, 60);
    bench.txn(vec![], puts, vec![]);
    // With a limit of 4.5 MiB it is one; put three more to go beyond it.
    assert_eq!(bench.heard(stream).len(), 1);
    let mut bench = Bench::new();
    let stream =
        bench.watch(Watch { fragment: true, ..Watch::of(KeyRange::all(), Revision::ZERO) });
    bench.grant(1, 60);
    for key in ["a", "b"] {
        bench.put_with(Put { lease: LeaseId::new(1), value: big(1_200_000), ..put(key, "") });
    }
    bench.heard(stream);
    let watch =
        Watch { fragment: true, prev_kv: true, ..Watch::of(KeyRange::all(), Revision::ZERO) };
    let stream = bench.watch(watch);
    bench.heard(stream);
    bench.ask(Request::Revoke(Revoke { lease: lease(1) }));
    let shape: Vec<_> = bench
        .heard(stream)
        .iter()
        .map(|reply| (reply.header.revision.0, reply.events.len(), reply.fragment))
        .collect();
    assert_eq!(shape, [(4, 1, true), (4, 1, false)]);
}

/// What is proposed is a message in an envelope: a header with a request id, and one field more.
#[test]
fn e1_short_proposals_have_their_length() {
    // The envelope's id ends in 48 bits that are all set, below 16 of the member's.
    let least = |member_id: u64, request: &Request| {
        (0..).find(|&max_request_bytes| {
            let config = Config { max_request_bytes, member_id, ..Config::default() };
            Bench::with(config).error(request.clone()) != Some(StoreError::RequestTooLarge)
        })
    };
    let grant = |id: i64, ttl_secs| Request::Grant(Grant { lease: LeaseId::new(id), ttl_secs });
    let compact = |physical| Request::Compact(Compact { revision: Revision(1), physical });
    let member_id = 0x694d;
    // Two bytes of tag, one of length, and of the id one of tag and nine.
    let (header, body) = (2 + 1 + 1 + 9, 1 + 1);
    let lengths = [
        (grant(1, 2), header + body + 2 + 2),
        (grant(1, 300), header + body + 3 + 2),
        (grant(300, 300), header + body + 3 + 3),
        (compact(false), header + body + 2),
        (compact(true), header + body + 2 + 2),
    ];
    for (request, length) in lengths {
        assert_eq!(least(member_id, &request), Some(length), "{request:?}");
    }
    // Seven bytes where the member's 16 bits are none.
    assert_eq!(least(0, &grant(1, 2)), Some(header - 2 + body + 2 + 2));
}
