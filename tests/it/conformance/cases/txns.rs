//! Transactions.

use std::time::Duration;

use portolan_core::waist::{
    Compare, KeyRange, Op, OpReply, Ordering, Put, Range, Request, Revision, StoreError, Target,
    Txn,
};

use super::cases;
use crate::conformance::client::{Client, Tap, always};
use crate::conformance::store::Happening;

cases! {
    t1_all_compares_hold_before_anything_is_written: SHARED,
    t2_a_missing_key_compares_as_zeros: SHARED,
    t3_a_compare_of_a_range_holds_for_every_key: SHARED,
    t4_operations_see_those_before_them: SHARED,
    t5_how_much_fits_in: SHARED,
    t6_no_key_is_written_twice: SHARED,
    t7_the_branch_taken_is_checked_first: SHARED,
    t9_what_needs_no_leader: LENIENT_CLUSTER,
}

const ORDERINGS: [Ordering; 4] =
    [Ordering::Equal, Ordering::Greater, Ordering::Less, Ordering::NotEqual];

/// Whether `found`, of the stored side against the given one, is what the compare wants.
fn holds(wanted: Ordering, found: std::cmp::Ordering) -> bool {
    match wanted {
        Ordering::Equal => found.is_eq(),
        Ordering::Greater => found.is_gt(),
        Ordering::Less => found.is_lt(),
        Ordering::NotEqual => found.is_ne(),
    }
}

fn decides(client: &mut Client<'_>, compares: impl Into<Vec<Compare>>) -> bool {
    client.txn(Txn { compares: compares.into(), ..Txn::default() }).succeeded
}

fn t1_all_compares_hold_before_anything_is_written(client: &mut Client<'_>) {
    let at = client.put("a", "1").header.revision;
    let there = Compare::mod_revision(client.key("a"), at);
    let absent = Compare::mod_revision(client.key("b"), Revision::ZERO);
    let wrong = Compare::mod_revision(client.key("a"), at.next());
    assert!(decides(client, [there.clone(), absent.clone()]));
    assert!(!decides(client, [there.clone(), wrong.clone(), absent.clone()]));
    assert!(decides(client, []));

    // The nested one does not see what the outer one writes.
    let nested = Txn {
        compares: vec![absent],
        then: vec![client.op_put("c", "1")],
        or_else: vec![client.op_put("d", "1")],
    };
    let outer = Txn {
        compares: vec![wrong],
        then: vec![],
        or_else: vec![client.op_put("b", "1"), Op::Txn(nested)],
    };
    let reply = client.txn(outer);
    assert!(!reply.succeeded);
    let OpReply::Txn(nested) = &reply.responses[1] else { panic!("{reply:?}") };
    assert!(nested.succeeded);
    assert_eq!(reply.responses.len(), 2);
    let count = |client: &mut Client<'_>, name| client.range(Range::of(client.one(name))).count;
    assert_eq!((count(client, "b"), count(client, "c"), count(client, "d")), (1, 1, 0));
}

fn t2_a_missing_key_compares_as_zeros(client: &mut Client<'_>) {
    let lease = client.grant(600);
    let at = client.ask_put(client.a_put("a", "m").tap(|put| put.lease = Some(lease)));
    let at = at.header.revision;
    let cases = [
        ("a", Target::Version(0), 1.cmp(&0)),
        ("a", Target::Version(1), 1.cmp(&1)),
        ("a", Target::Version(2), 1.cmp(&2)),
        ("a", Target::CreateRevision(at), 1.cmp(&1)),
        ("a", Target::ModRevision(at.next()), 1.cmp(&2)),
        ("a", Target::Value("m".into()), 1.cmp(&1)),
        ("a", Target::Value("l".into()), 1.cmp(&0)),
        ("a", Target::Value("mm".into()), 1.cmp(&2)),
        ("a", Target::Lease(Some(lease)), 1.cmp(&1)),
        ("a", Target::Lease(None), 1.cmp(&0)),
        ("missing", Target::Version(0), 0.cmp(&0)),
        ("missing", Target::Version(-1), 0.cmp(&-1)),
        ("missing", Target::CreateRevision(Revision(0)), 0.cmp(&0)),
        ("missing", Target::CreateRevision(Revision(1)), 0.cmp(&1)),
        ("missing", Target::ModRevision(Revision(0)), 0.cmp(&0)),
        ("missing", Target::ModRevision(Revision(1)), 0.cmp(&1)),
        ("missing", Target::Lease(None), 0.cmp(&0)),
        ("missing", Target::Lease(Some(lease)), 0.cmp(&1)),
    ];
    for (name, target, found) in cases {
        for result in ORDERINGS {
            let compare = Compare { keys: client.one(name), result, target: target.clone() };
            assert_eq!(decides(client, [compare.clone()]), holds(result, found), "{compare:?}");
        }
    }
    // Of the value of a key that is not there nothing holds, not even that it differs.
    for (result, value) in ORDERINGS.into_iter().flat_map(|result| [(result, ""), (result, "m")]) {
        let keys = client.one("missing");
        let compare = Compare { keys, result, target: Target::Value(value.into()) };
        assert!(!decides(client, [compare.clone()]), "{compare:?}");
    }
}

fn t3_a_compare_of_a_range_holds_for_every_key(client: &mut Client<'_>) {
    client.put("a", "1");
    client.put("b", "1");
    client.put("c", "2");
    let compare = |keys: KeyRange, result, value: &str| Compare {
        keys,
        result,
        target: Target::Value(value.into()),
    };
    let (ab, abc, none) = (client.span("a", "c"), client.all(), client.span("x", "z"));
    assert!(decides(client, [compare(ab.clone(), Ordering::Equal, "1")]));
    assert!(!decides(client, [compare(abc.clone(), Ordering::Equal, "1")]));
    assert!(decides(client, [compare(abc.clone(), Ordering::Less, "3")]));
    assert!(!decides(client, [compare(abc, Ordering::NotEqual, "2")]));
    // An empty range is like a missing key.
    assert!(!decides(client, [compare(none.clone(), Ordering::NotEqual, "1")]));
    let zero = |keys| Compare { keys, result: Ordering::Equal, target: Target::Version(0) };
    assert!(decides(client, [zero(none)]));
    assert!(decides(client, [zero(client.span("c", "a"))]));
    assert!(!decides(client, [zero(ab)]));
    let upwards = KeyRange::from_key(client.key("a"));
    assert!(!decides(client, [compare(upwards, Ordering::Equal, "1")]));
}

fn t4_operations_see_those_before_them(client: &mut Client<'_>) {
    client.put("a", "1");
    let ops = [
        client.op_get("a"),
        client.op_put("b", "1"),
        Op::Range(Range::of(client.all())),
        client.op_delete(client.one("a")),
        Op::Range(Range::of(client.all())),
        Op::Txn(always([Op::Range(Range::of(client.all())), client.op_put("c", "1")])),
        Op::Range(Range::of(client.all())),
    ];
    let reply = client.txn(always(ops));
    let counts: Vec<_> = reply
        .responses
        .iter()
        .map(|reply| match reply {
            OpReply::Range(reply) => reply.count,
            OpReply::Put(_) => -1,
            OpReply::Delete(reply) => -10 * reply.deleted,
            OpReply::Txn(reply) => match &reply.responses[0] {
                OpReply::Range(reply) => 100 + reply.count,
                OpReply::Put(_) | OpReply::Delete(_) | OpReply::Txn(_) => panic!("{reply:?}"),
            },
        })
        .collect();
    assert_eq!(counts, [1, -1, 2, -10, 1, 101, 2]);
    let kvs = client.records().kvs;
    assert!(kvs.iter().all(|kv| kv.mod_revision == reply.header.revision), "{kvs:?}");
}

fn t5_how_much_fits_in(client: &mut Client<'_>) {
    let puts = |client: &Client<'_>, count: usize, from: usize| -> Vec<Op> {
        (from..from + count).map(|n| client.op_put(&format!("k{n:04}"), "")).collect()
    };
    let compares = |client: &Client<'_>, count: usize| -> Vec<Compare> {
        let compare = Compare::mod_revision(client.key("c"), Revision::ZERO);
        vec![compare; count]
    };
    let nested = |client: &Client<'_>, outside: usize, inside: usize| {
        let mut then = puts(client, outside, 0);
        then.push(Op::Txn(always(puts(client, inside, 1000))));
        always(then)
    };
    let both =
        |then: Vec<Op>, or_else: Vec<Op>, compares: Vec<Compare>| Txn { compares, then, or_else };
    let cases = [
        (always(puts(client, 128, 0)), true),
        (always(puts(client, 129, 0)), false),
        (both(vec![], puts(client, 129, 0), vec![]), false),
        (both(puts(client, 128, 0), puts(client, 128, 0), compares(client, 128)), true),
        (both(vec![], vec![], compares(client, 129)), false),
        // The nested one is an operation of the outer level, and takes from what is left.
        (nested(client, 126, 1), true),
        (nested(client, 127, 1), false),
        (nested(client, 100, 27), true),
        (nested(client, 100, 28), false),
    ];
    for (number, (txn, fits)) in cases.into_iter().enumerate() {
        if fits {
            client.txn(txn);
        } else {
            assert_eq!(client.failure(Request::Txn(txn)), StoreError::TooManyOps, "case {number}");
        }
    }
}

fn t6_no_key_is_written_twice(client: &mut Client<'_>) {
    let put = |client: &Client<'_>| client.op_put("a", "1");
    let del = |client: &Client<'_>| client.op_delete(client.one("a"));
    let wide = |client: &Client<'_>| client.op_delete(client.span("a", "c"));
    let beside = |client: &Client<'_>| client.op_delete(client.span("b", "c"));
    let inner = |ops: Vec<Op>| Op::Txn(always(ops));
    let cases = [
        (vec![put(client), put(client)], true),
        (vec![put(client), del(client)], true),
        (vec![del(client), put(client)], true),
        (vec![put(client), wide(client)], true),
        (vec![put(client), beside(client)], false),
        (vec![del(client), del(client)], false),
        (vec![wide(client), del(client)], false),
        (vec![put(client), inner(vec![put(client)])], true),
        (vec![inner(vec![put(client)]), put(client)], true),
        (vec![inner(vec![put(client)]), inner(vec![put(client)])], true),
        (vec![put(client), inner(vec![wide(client)])], true),
        (vec![del(client), inner(vec![put(client)])], true),
        (vec![del(client), inner(vec![del(client)])], false),
    ];
    for (number, (ops, refused)) in cases.into_iter().enumerate() {
        // The check looks at both branches, whichever is taken.
        for txn in [always(ops.clone()), Txn { or_else: ops.clone(), ..Txn::default() }] {
            if refused {
                let error = client.failure(Request::Txn(txn));
                assert_eq!(error, StoreError::DuplicateKey, "case {number}");
            } else {
                client.txn(txn);
            }
        }
    }
    // What excludes each other may write the same key.
    let apart = Txn { then: vec![put(client)], or_else: vec![put(client)], ..Txn::default() };
    client.txn(apart.clone());
    client.txn(always([Op::Txn(apart)]));
}

fn t7_the_branch_taken_is_checked_first(client: &mut Client<'_>) {
    let at = client.put("a", "1").header.revision;
    let no_lease = Put { lease: Some(client.never()), ..client.a_put("b", "1") };
    let no_key = client.a_put("missing", "").tap(|put| put.ignore_value = true);
    let later = Range { revision: Revision(at.0 + 1000), ..Range::of(client.one("a")) };
    let cases = [
        (Op::Put(no_lease), StoreError::LeaseNotFound),
        (Op::Put(no_key), StoreError::KeyNotFound),
        (Op::Range(later), StoreError::FutureRevision),
    ];
    for (bad, error) in cases {
        let fine = client.op_put("c", "1");
        let taken = always([fine.clone(), bad.clone()]);
        assert_eq!(client.failure(Request::Txn(taken)), error, "{bad:?}");
        let nested = always([fine, Op::Txn(always([bad.clone()]))]);
        assert_eq!(client.failure(Request::Txn(nested)), error, "nested: {bad:?}");
        assert_eq!(client.get("c"), None, "nothing was written: {bad:?}");
        // In the other branch it does no harm.
        let other = Txn { or_else: vec![bad], ..Txn::default() };
        assert!(client.txn(other).succeeded);
    }
    let compacted = Range { revision: Revision(1), ..Range::of(client.one("a")) };
    client.put("a", "2");
    let now = client.revision();
    client.compact(now);
    let read = always([Op::Range(compacted)]);
    assert_eq!(client.failure(Request::Txn(read)), StoreError::Compacted);
    // Outside a transaction this means "now".
    let negative = Range { revision: Revision(-1), ..Range::of(client.one("a")) };
    let read = always([Op::Range(negative)]);
    assert_eq!(client.failure(Request::Txn(read)), StoreError::Compacted);
}

fn t9_what_needs_no_leader(client: &mut Client<'_>) {
    client.put("a", "1");
    client.wait(Duration::from_millis(500));
    client.happen(Happening::LoseLeader);
    client.wait(Duration::from_secs(3));
    let stale = Range { serializable: true, ..Range::of(client.one("a")) };
    let there =
        Compare { keys: client.one("a"), result: Ordering::Greater, target: Target::Version(0) };
    assert!(decides(client, [there]));
    assert!(client.txn(always([Op::Range(stale.clone())])).succeeded);
    // One read that is not stale makes the whole wait.
    let mixed = always([Op::Range(stale), client.op_get("a")]);
    assert_eq!(client.failure(Request::Txn(mixed)), StoreError::TimedOut);
}
