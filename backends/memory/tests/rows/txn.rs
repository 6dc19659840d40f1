use portolan_core::waist::{
    Compare, Key, KeyRange, LeaseId, Op, OpReply, Ordering, Put, Range, Reply, Request, Revision,
    StoreError, Target, Txn,
};

use portolan_memory::Config;

use crate::kit::{Bench, delete_op, nested, put, put_op, range_op, span};

fn compare(key: &str, result: Ordering, target: Target) -> Compare {
    Compare { keys: KeyRange::one(key), result, target }
}

fn succeeds(bench: &mut Bench, compare: Compare) -> bool {
    bench.txn(vec![compare], vec![], vec![]).succeeded
}

#[test]
fn t1_compares_are_anded_and_see_the_state_before() {
    let mut bench = Bench::new();
    bench.put("k", "old");
    let is = |value: &str| compare("k", Ordering::Equal, Target::Value(value.into()));
    assert!(bench.txn(vec![is("old"), is("old")], vec![], vec![]).succeeded);
    assert!(!bench.txn(vec![is("old"), is("new")], vec![], vec![]).succeeded);
    // The inner compare does not see the outer put.
    let inner = |value: &str| {
        Op::Txn(Txn {
            compares: vec![is(value)],
            then: vec![put_op("then", "")],
            or_else: vec![put_op("else", "")],
        })
    };
    bench.txn(vec![], vec![put_op("k", "new"), inner("new")], vec![]);
    assert_eq!(bench.get("then"), None);
    assert!(bench.get("else").is_some());
}

#[test]
fn t2_a_missing_key_compares_as_zeros_but_for_its_value() {
    let mut bench = Bench::new();
    let lease = LeaseId::new;
    let cases = [
        (Ordering::Equal, Target::Version(0), true),
        (Ordering::Greater, Target::Version(0), false),
        (Ordering::Equal, Target::CreateRevision(Revision(0)), true),
        (Ordering::Equal, Target::ModRevision(Revision(0)), true),
        (Ordering::NotEqual, Target::ModRevision(Revision(5)), true),
        (Ordering::Less, Target::ModRevision(Revision(5)), true),
        (Ordering::Equal, Target::Lease(None), true),
        (Ordering::Greater, Target::Lease(lease(-3)), true),
        (Ordering::Equal, Target::Value("".into()), false),
        (Ordering::NotEqual, Target::Value("x".into()), false),
        (Ordering::Less, Target::Value("x".into()), false),
    ];
    for (result, target, expected) in cases {
        let condition = compare("absent", result, target);
        assert_eq!(succeeds(&mut bench, condition.clone()), expected, "{condition:?}");
    }
    assert_eq!(
        bench.error(Request::Txn(Txn {
            compares: vec![compare("", Ordering::Equal, Target::Version(0))],
            ..Txn::default()
        })),
        Some(StoreError::KeyNotProvided)
    );
}

#[test]
fn t3_a_range_compare_holds_for_every_key() {
    let mut bench = Bench::new();
    bench.put("a", "1");
    bench.put("b", "1");
    let within = |keys: KeyRange, target| Compare { keys, result: Ordering::Equal, target };
    let one = || Target::Value("1".into());
    assert!(succeeds(&mut bench, within(span("a", "c"), one())));
    bench.put("b", "2");
    assert!(!succeeds(&mut bench, within(span("a", "c"), one())));
    // An empty range is like one missing key.
    assert!(!succeeds(&mut bench, within(span("x", "z"), one())));
    assert!(succeeds(&mut bench, within(span("x", "z"), Target::Version(0))));
    assert!(succeeds(&mut bench, within(span("c", "a"), Target::Version(0))));
    assert!(!succeeds(&mut bench, within(KeyRange::from_key("a"), Target::Version(0))));
}

#[test]
fn t4_operations_run_in_order_at_one_revision() {
    let mut bench = Bench::new();
    bench.put("old", "");
    let reply = bench.txn(
        vec![],
        vec![
            range_op(KeyRange::all()),
            put_op("k", "v"),
            range_op(KeyRange::all()),
            delete_op(KeyRange::one("old")),
            range_op(KeyRange::all()),
            range_op(KeyRange { key: "k".into(), end: Key::default() }),
        ],
        vec![],
    );
    let counts: Vec<_> = reply
        .responses
        .iter()
        .filter_map(|response| match response {
            OpReply::Range(reply) => Some(reply.count),
            OpReply::Put(_) | OpReply::Delete(_) | OpReply::Txn(_) => None,
        })
        .collect();
    assert_eq!(counts, [1, 2, 1, 1]);
    assert_eq!(bench.get("k").map(|kv| kv.mod_revision.0), Some(3));
    assert_eq!(bench.revision(), 3);
}

#[test]
fn t5_how_many_operations() {
    let puts = |count: usize| -> Vec<Op> {
        (0..count).map(|number| put_op(&format!("k{number}"), "")).collect()
    };
    let with_nested = |count: usize, inner: usize| {
        let inside = (0..inner).map(|number| put_op(&format!("n{number}"), "")).collect();
        let mut ops = puts(count);
        ops.push(nested(inside));
        ops
    };
    let txn = |then, or_else| Txn { compares: vec![], then, or_else };
    let compares = vec![compare("k", Ordering::Equal, Target::Version(0)); 129];
    let cases = [
        (txn(puts(128), puts(128)), true),
        (txn(puts(129), vec![]), false),
        (txn(vec![], puts(129)), false),
        (Txn { compares, ..Txn::default() }, false),
        // 127 and the nested one make 128; nothing is left for its own.
        (txn(with_nested(127, 1), vec![]), false),
        (txn(with_nested(127, 0), vec![]), true),
        (txn(with_nested(126, 1), vec![]), true),
        (txn(with_nested(126, 2), vec![]), false),
    ];
    for (number, (txn, fine)) in cases.into_iter().enumerate() {
        let mut bench = Bench::new();
        let expected = (!fine).then_some(StoreError::TooManyOps);
        assert_eq!(bench.error(Request::Txn(txn)), expected, "case {number}");
    }

    // `--max-txn-ops` moves all of these limits.
    let few = || Bench::with(Config { max_txn_ops: 3, ..Config::default() });
    let compares = |count| vec![compare("k", Ordering::Equal, Target::Version(0)); count];
    let cases = [
        (txn(puts(3), puts(3)), true),
        (txn(puts(4), vec![]), false),
        (txn(vec![], puts(4)), false),
        (Txn { compares: compares(3), ..Txn::default() }, true),
        (Txn { compares: compares(4), ..Txn::default() }, false),
        (txn(with_nested(1, 1), vec![]), true),
        (txn(with_nested(1, 2), vec![]), false),
    ];
    for (number, (txn, fine)) in cases.into_iter().enumerate() {
        let expected = (!fine).then_some(StoreError::TooManyOps);
        assert_eq!(few().error(Request::Txn(txn)), expected, "of three, case {number}");
    }
}

#[test]
fn t6_which_keys_may_be_written_twice() {
    let either = |then: Vec<Op>, or_else: Vec<Op>| Op::Txn(Txn { compares: vec![], then, or_else });
    let k = || put_op("k", "");
    let delete = || delete_op(KeyRange::one("k"));
    let cases = [
        ("two puts", vec![k(), k()], false),
        ("put, then a delete over it", vec![k(), delete_op(span("a", "z"))], false),
        ("delete, then put", vec![delete(), k()], false),
        ("put and nested put", vec![k(), nested(vec![k()])], false),
        ("two nested puts", vec![nested(vec![k()]), nested(vec![k()])], false),
        ("put in both branches", vec![either(vec![k()], vec![k()])], true),
        ("put beside put in both branches", vec![either(vec![k()], vec![k()]), k()], false),
        ("put against delete in the other branch", vec![either(vec![k()], vec![delete()])], true),
        ("delete and nested put", vec![delete(), nested(vec![k()])], false),
        ("nested delete, then put", vec![nested(vec![delete()]), k()], false),
        ("nested delete, then nested put", vec![nested(vec![delete()]), nested(vec![k()])], false),
        // What etcd lets through, though it changes one key twice at one revision.
        ("nested put, then nested delete", vec![nested(vec![k()]), nested(vec![delete()])], true),
        ("delete without an end, then put", vec![delete_op(KeyRange::from_key("k")), k()], true),
        ("overlapping deletes", vec![delete(), delete_op(span("a", "z"))], true),
        ("a delete that can hit nothing", vec![delete_op(span("z", "a")), k()], true),
    ];
    for (name, then, fine) in cases {
        let mut bench = Bench::new();
        let txn = Txn { then: then.clone(), ..Txn::default() };
        let expected = (!fine).then_some(StoreError::DuplicateKey);
        assert_eq!(bench.error(Request::Txn(txn)), expected.clone(), "{name}");
        let txn = Txn { or_else: then, ..Txn::default() };
        assert_eq!(bench.error(Request::Txn(txn)), expected, "{name}, in the branch not taken");
    }
    let mut bench = Bench::new();
    assert!(bench.txn(vec![], vec![k()], vec![k()]).succeeded);
}

#[test]
fn t6_a_key_changed_twice_at_one_revision() {
    let mut bench = Bench::new();
    bench.put("k", "old");
    let then = vec![nested(vec![put_op("k", "new")]), nested(vec![delete_op(KeyRange::one("k"))])];
    bench.txn(vec![], then, vec![]);
    assert_eq!(bench.get("k"), None);
    let read = Range { revision: Revision(2), ..Range::of(KeyRange::one("k")) };
    assert_eq!(bench.range(read).kvs[0].value, "old".into());
    let then = vec![delete_op(KeyRange::from_key("a")), put_op("k", "again")];
    bench.put("k", "between");
    bench.txn(vec![], then, vec![]);
    let kv = bench.get("k").expect("put after the delete");
    assert_eq!((kv.create_revision.0, kv.version), (5, 1));
    let indices: Vec<_> =
        bench.model.log().at_revision(Revision(5)).iter().map(|change| change.index).collect();
    assert_eq!(indices, [0, 1]);
}

#[test]
fn t7_the_branch_taken_is_checked_before_anything_runs() {
    let bad_lease = || Op::Put(Put { lease: LeaseId::new(404), ..put("x", "") });
    let bad_ignore = || Op::Put(Put { ignore_value: true, ..put("absent", "") });
    let at = |revision| {
        let range = Range::of(KeyRange::one("k"));
        Op::Range(Range { revision: Revision(revision), ..range })
    };
    let cases = [
        (vec![bad_lease()], StoreError::LeaseNotFound),
        (vec![bad_ignore()], StoreError::KeyNotFound),
        // In a transaction the key is looked at before the lease.
        (
            vec![Op::Put(Put {
                lease: LeaseId::new(404),
                ignore_value: true,
                ..put("absent", "")
            })],
            StoreError::KeyNotFound,
        ),
        (vec![nested(vec![bad_lease()])], StoreError::LeaseNotFound),
        (vec![at(9)], StoreError::FutureRevision),
        // Not even with the write before it does its own revision exist.
        (vec![at(5)], StoreError::FutureRevision),
        (vec![at(2)], StoreError::Compacted),
        // Only 0 is "now" here.
        (vec![at(-1)], StoreError::Compacted),
        (vec![at(9), bad_lease()], StoreError::FutureRevision),
    ];
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.put("k", "");
    }
    bench.compact(3);
    for (ops, error) in cases {
        let mut then = vec![put_op("fine", "")];
        then.extend(ops.clone());
        let txn = Txn { then, ..Txn::default() };
        assert_eq!(bench.error(Request::Txn(txn)), Some(error.clone()), "{ops:?}");
        // In the branch not taken it does no harm.
        let reply = bench.txn(vec![], vec![], ops.clone());
        assert!(reply.succeeded, "{ops:?}");
    }
    assert_eq!((bench.revision(), bench.get("fine")), (4, None));
}

#[test]
fn t9_compare_only_is_answered_by_a_member_without_a_leader() {
    let mut bench = Bench::with(portolan_memory::Config {
        require_leader: false,
        ..portolan_memory::Config::default()
    });
    bench.put("k", "v");
    bench.fault(portolan_memory::Fault::LeaderLost);
    let stale = Range { serializable: true, ..Range::of(KeyRange::one("k")) };
    let cases = [
        (vec![], true),
        (vec![Op::Range(stale.clone())], true),
        (vec![range_op(KeyRange::one("k"))], false),
        (vec![Op::Range(stale), range_op(KeyRange::one("k"))], false),
        (vec![put_op("x", "")], false),
        (vec![nested(vec![])], false),
    ];
    for (then, at_once) in cases {
        let attempt = bench.send(Request::Txn(Txn { then: then.clone(), ..Txn::default() }));
        assert_eq!(bench.answer(attempt).is_some(), at_once, "{then:?}");
    }
}

/// etcd dies of this; the model takes what is missing as empty.
#[test]
fn an_ignore_flag_that_finds_its_key_gone_harms_nobody() {
    let mut bench = Bench::new();
    bench.put("k", "v");
    let then = vec![
        delete_op(KeyRange::from_key("a")),
        Op::Put(Put { ignore_value: true, ..put("k", "") }),
    ];
    let reply = bench.ask(Request::Txn(Txn { then, ..Txn::default() }));
    assert!(matches!(reply, Reply::Txn(_)));
}

/// Rows G3 and C1, where a transaction asks.
#[test]
fn a_transaction_reads_from_the_compaction_to_the_present() {
    let mut bench = Bench::new();
    for value in ["1", "2", "3"] {
        bench.put("k", value);
    }
    bench.compact(3);
    let mut read = |revision| {
        let range = Range { revision: Revision(revision), ..Range::of(KeyRange::one("k")) };
        let then = vec![Op::Range(range), put_op("other", "")];
        bench.error(Request::Txn(Txn { then, ..Txn::default() }))
    };
    assert_eq!(read(2), Some(StoreError::Compacted));
    assert_eq!(read(3), None);
    // The present one is that before the transaction's own.
    assert_eq!(read(5), None);
    assert_eq!(read(7), Some(StoreError::FutureRevision));
    assert_eq!(read(6), None);
}
