//! Ranges.

use std::time::Duration;

use portolan_core::waist::{
    Key, KeyRange, Range, Reply, Request, Revision, Sort, SortTarget, StoreError,
};

use super::cases;
use crate::conformance::client::{Client, Tap, names};
use crate::conformance::store::Happening;

cases! {
    g1_which_keys_a_range_means: FRESH,
    g2_which_revisions_can_be_read: SHARED,
    g3_a_limit_cuts_the_list_not_the_count: SHARED,
    g4_revision_filters_come_before_the_limit: SHARED,
    g5_every_order: SHARED,
    g6_keys_only_and_count_only: SHARED,
    g7_without_a_leader_only_stale_reads: LENIENT_CLUSTER,
}

fn g1_which_keys_a_range_means(client: &mut Client<'_>) {
    for name in ["a", "ab", "b", "c"] {
        client.put(name, "1");
    }
    let (a, b, zero) = (client.key("a"), client.key("b"), Key::from(&[0][..]));
    let cases: [(KeyRange, &[&str]); 9] = [
        (KeyRange::one(a.clone()), &["a"]),
        (KeyRange::span(a.clone(), b.clone()), &["a", "ab"]),
        (KeyRange::prefix(a.clone()), &["a", "ab"]),
        (KeyRange::from_key(b.clone()), &["b", "c"]),
        (KeyRange::all(), &["a", "ab", "b", "c"]),
        (KeyRange::from_key(zero), &["a", "ab", "b", "c"]),
        (KeyRange::span(b.clone(), b.clone()), &[]),
        (KeyRange::span(b.clone(), a), &[]),
        (KeyRange::span(b.clone(), Key::from(&[0, 0][..])), &[]),
    ];
    for (keys, expected) in cases {
        let reply = client.range(Range::of(keys.clone()));
        assert_eq!(names(&reply.kvs), expected, "{keys}");
        assert_eq!(reply.count, i64::try_from(expected.len()).expect("small"), "{keys}");
    }
    assert_eq!(client.delete(KeyRange::from_key(b)).deleted, 2);
}

fn g2_which_revisions_can_be_read(client: &mut Client<'_>) {
    let first = client.put("a", "1").header.revision;
    let second = client.put("a", "2").header.revision;
    let third = client.put("a", "3").header.revision;
    let keys = client.one("a");
    let at = |revision| Range { revision: Revision(revision), ..Range::of(keys.clone()) };
    let value = |client: &mut Client<'_>, revision: i64| {
        let mut kvs = client.range(at(revision)).kvs;
        kvs.pop().map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
    };
    for (revision, expected) in [
        (first.0 - 1, None),
        (first.0, Some("1")),
        (second.0, Some("2")),
        (third.0, Some("3")),
        (0, Some("3")),
        (-7, Some("3")),
    ] {
        assert_eq!(value(client, revision).as_deref(), expected, "at {revision}");
    }
    let future = client.failure(Request::Range(at(third.0 + 1)));
    assert_eq!(future, StoreError::FutureRevision);
    client.compact(second);
    assert_eq!(client.failure(Request::Range(at(first.0))), StoreError::Compacted);
    assert_eq!(value(client, second.0).as_deref(), Some("2"));
}

fn g3_a_limit_cuts_the_list_not_the_count(client: &mut Client<'_>) {
    for name in ["a", "b", "c"] {
        client.put(name, "1");
    }
    let cases: [(i64, &[&str], bool); 5] = [
        (0, &["a", "b", "c"], false),
        (-1, &["a", "b", "c"], false),
        (2, &["a", "b"], true),
        (3, &["a", "b", "c"], false),
        (4, &["a", "b", "c"], false),
    ];
    for (limit, expected, more) in cases {
        let reply = client.range(Range { limit, ..Range::of(client.all()) });
        assert_eq!(names(&reply.kvs), expected, "limit {limit}");
        assert_eq!((reply.more, reply.count), (more, 3), "limit {limit}");
    }
}

fn g4_revision_filters_come_before_the_limit(client: &mut Client<'_>) {
    // Created in this order, changed in the reverse one.
    let created: Vec<_> =
        ["a", "b", "c"].iter().map(|name| client.put(name, "1").header.revision).collect();
    let changed: Vec<_> =
        ["c", "b", "a"].iter().map(|name| client.put(name, "2").header.revision).collect();
    let all = Range::of(client.all());
    let with = |change: &dyn Fn(&mut Range)| all.clone().tap(|range| change(range));
    let cases: [(Range, &[&str], bool); 7] = [
        (with(&|range| range.min_mod_revision = changed[1]), &["a", "b"], false),
        (with(&|range| range.max_mod_revision = changed[1]), &["b", "c"], false),
        (with(&|range| range.min_create_revision = created[1]), &["b", "c"], false),
        (with(&|range| range.max_create_revision = created[1]), &["a", "b"], false),
        (
            with(&|range| {
                range.min_mod_revision = changed[1];
                range.max_create_revision = created[0];
            }),
            &["a"],
            false,
        ),
        (
            with(&|range| {
                range.min_create_revision = created[1];
                range.limit = 1;
            }),
            &["b"],
            true,
        ),
        (
            with(&|range| {
                range.min_create_revision = created[1];
                range.limit = 2;
            }),
            &["b", "c"],
            false,
        ),
    ];
    for (range, expected, more) in cases {
        let reply = client.range(range.clone());
        assert_eq!(names(&reply.kvs), expected, "{range:?}");
        assert_eq!((reply.more, reply.count), (more, 3), "{range:?}");
    }
}

fn g5_every_order(client: &mut Client<'_>) {
    // No two alike in anything.
    client.put("b", "30");
    client.put("c", "1");
    client.put("a", "200");
    client.put("c", "1");
    client.put("c", "10");
    client.put("b", "20");
    let cases: [(SortTarget, [&str; 3]); 5] = [
        (SortTarget::Key, ["a", "b", "c"]),
        (SortTarget::Version, ["a", "b", "c"]),
        (SortTarget::Create, ["b", "c", "a"]),
        (SortTarget::Mod, ["a", "c", "b"]),
        (SortTarget::Value, ["c", "b", "a"]),
    ];
    for (target, ascending) in cases {
        for order in [Sort::Ascending, Sort::Descending, Sort::Unspecified] {
            let mut expected = ascending;
            if order == Sort::Descending {
                expected.reverse();
            }
            let range = Range { sort: Some((target, order)), ..Range::of(client.all()) };
            let reply = client.range(range.clone());
            let found = names(&reply.kvs);
            assert_eq!(found, expected, "{target:?} {order:?}");
            let limited = client.range(Range { limit: 2, ..range });
            assert_eq!(names(&limited.kvs), expected[..2], "{target:?} {order:?}");
            assert_eq!((limited.more, limited.count), (true, 3));
        }
    }
    // Without an order, only one key more than the limit is looked at: of `a` and `b` the one that
    // was created first, though `c` is older than both.
    client.delete(client.all());
    for name in ["c", "b", "a"] {
        client.put(name, "1");
    }
    for (order, expected) in [(Sort::Ascending, "c"), (Sort::Unspecified, "b")] {
        let sort = Some((SortTarget::Create, order));
        let range = Range { sort, limit: 1, ..Range::of(client.all()) };
        assert_eq!(names(&client.range(range.clone()).kvs), [expected], "{order:?}");
        let filtered = range.tap(|range| range.min_mod_revision = Revision(1));
        assert_eq!(names(&client.range(filtered).kvs), ["c"], "{order:?}");
    }
}

fn g6_keys_only_and_count_only(client: &mut Client<'_>) {
    client.put("a", "2");
    client.put("b", "1");
    let sort = Some((SortTarget::Value, Sort::Ascending));
    let full = client.range(Range { sort, ..Range::of(client.all()) });
    let keys = client.range(Range { sort, keys_only: true, ..Range::of(client.all()) });
    let mut without = full.clone();
    for kv in &mut without.kvs {
        kv.value = Default::default();
    }
    assert_eq!(keys, without);
    assert_eq!(names(&keys.kvs), ["b", "a"]);
    let count = client.range(Range { count_only: true, limit: 1, ..Range::of(client.all()) });
    assert_eq!((count.kvs, count.count, count.more), (Vec::new(), 2, false));
}

/// Without `require_leader`, which refuses at once: see W17.
fn g7_without_a_leader_only_stale_reads(client: &mut Client<'_>) {
    client.put("a", "1");
    let stale = Range { serializable: true, ..Range::of(client.one("a")) };
    // What the member has applied may be a moment behind what it has answered.
    client.wait(Duration::from_millis(500));
    client.happen(Happening::LoseLeader);
    client.wait(Duration::from_secs(3));
    assert_eq!(client.range(stale.clone()).count, 1);
    let asked = client.now();
    assert_eq!(client.failure(Request::Range(Range::of(client.one("a")))), StoreError::TimedOut);
    let took = client.now() - asked;
    // Five seconds and twice the election timeout, and the rest for a machine that is busy.
    assert!(took > Duration::from_millis(6500) && took < Duration::from_secs(12), "{took:?}");
    assert_eq!(client.range(stale).count, 1);
    client.happen(Happening::FindLeader);
    client.come_back();
    let reply = client.ask(Request::Range(Range::of(client.one("a"))));
    assert!(matches!(reply, Reply::Range(reply) if reply.count == 1));
}
