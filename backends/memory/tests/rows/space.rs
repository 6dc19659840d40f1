//! The quota, and history that is compacted by itself.

use portolan_core::waist::{
    DeleteRange, Grant, KeyRange, Range, Reply, Request, Revision, Revoke, StoreError, Txn, Value,
    Watch,
};
use portolan_memory::{Config, Fault, Limits};

use crate::kit::{Bench, delete_op, lease, nested, put, put_op};

fn with_quota(quota: u64) -> Bench {
    let limits = Limits { quota_bytes: Some(quota), ..Limits::default() };
    Bench::with(Config { limits, ..Config::default() })
}

fn with_history(limit: u64) -> Bench {
    let limits = Limits { history_bytes: Some(limit), ..Limits::default() };
    Bench::with(Config { limits, ..Config::default() })
}

fn put_of(key: &str, length: usize) -> Request {
    let value = Value::from(vec![7; length]);
    Request::Put(portolan_core::waist::Put { value, ..put(key, "") })
}

/// A version counts for its key, its value and 256.
#[test]
fn e2_what_finds_no_room_raises_the_alarm() {
    let cases = [
        ("put", put_of("k", 100), 357),
        ("grant", Request::Grant(Grant { lease: None, ttl_secs: 10 }), 256),
        (
            "the dearer branch",
            Request::Txn(Txn {
                then: vec![put_op("k", "12"), delete_op(KeyRange::all())],
                or_else: vec![put_op("k", "1"), put_op("l", "1")],
                ..Txn::default()
            }),
            516,
        ),
        (
            "nested",
            Request::Txn(Txn { then: vec![nested(vec![put_op("k", "1")])], ..Txn::default() }),
            258,
        ),
    ];
    for (what, request, cost) in cases {
        let refused = Some(StoreError::NoSpace);
        let mut bench = with_quota(1_000 + cost);
        bench.ask(put_of("a", 742));
        assert_eq!(bench.model.stored(), 999);
        assert_eq!(bench.error(request.clone()), None, "{what}");
        assert!(!bench.model.members().any(|member| member.is_full), "{what}");

        let mut bench = with_quota(999 + cost);
        bench.ask(put_of("a", 742));
        assert_eq!(bench.error(request), refused, "{what}");
        assert!(bench.model.members().all(|member| member.is_full), "{what}");
        assert_eq!((bench.revision(), bench.model.stored()), (2, 999), "{what}");
    }
}

#[test]
fn e2_the_alarm_stays_until_it_is_disarmed() {
    let mut bench = with_quota(10_000);
    bench.grant(1, 60);
    bench.ask(put_of("a", 5_000));
    let refused = Some(StoreError::NoSpace);
    assert_eq!(bench.error(put_of("b", 5_000)), refused);
    // Nothing else is, and room alone is no reason to take more.
    let stream = bench.watch(Watch::of(KeyRange::all(), Revision::ZERO));
    assert_eq!(bench.range(Range::of(KeyRange::all())).count, 1);
    bench.ask(Request::Delete(DeleteRange { keys: KeyRange::all(), prev_kv: false }));
    assert_eq!(bench.heard_events(stream).len(), 1);
    assert_eq!(bench.error(Request::Revoke(Revoke { lease: lease(1) })), None);
    assert_eq!(bench.compact(3), None);
    assert_eq!(bench.model.stored(), 257, "the delete itself");
    assert_eq!(bench.error(put_of("b", 1)), refused);
    let Reply::Status(status) = bench.ask(Request::Status) else { panic!("no status") };
    assert_eq!((status.db_size, status.errors.len()), (257, 1));
    bench.fault(Fault::SpaceAlarm(false));
    assert_eq!(bench.error(put_of("b", 5_000)), None);
}

#[test]
fn c3_the_older_half_of_a_long_history_is_compacted() {
    // Each version counts for 256 and 44.
    let mut bench = with_history(3_000);
    let stream = bench.watch(Watch::of(KeyRange::all(), Revision::ZERO));
    for _ in 0..11 {
        bench.ask(put_of("k", 43));
    }
    assert_eq!((bench.model.history(), bench.model.compacted()), (3_000, None));
    bench.ask(put_of("k", 43));
    assert_eq!((bench.model.history(), bench.model.compacted()), (1_500, Some(Revision(8))));
    assert_eq!((bench.model.stored(), bench.revision()), (1_800, 13));
    // It is seen as any compaction is.
    let at = |revision| {
        Request::Range(Range { revision: Revision(revision), ..Range::of(KeyRange::all()) })
    };
    assert_eq!(bench.error(at(7)), Some(StoreError::Compacted));
    assert_eq!(bench.error(at(8)), None);
    assert_eq!(bench.compact(8), Some(StoreError::Compacted));
    assert_eq!(bench.heard_events(stream).len(), 12, "who is in step is not disturbed");
    let late = bench.watch(Watch::of(KeyRange::all(), Revision(7)));
    bench.wait_ms(100);
    assert_eq!(bench.heard(late)[1].compact_revision, Revision(8));
}

#[test]
fn c3_what_can_be_read_is_no_history_and_deletes_are() {
    let mut bench = with_history(3_000);
    for at in 0..100 {
        bench.put(&format!("{at:02}"), "");
    }
    assert_eq!((bench.model.history(), bench.model.compacted()), (0, None));
    // All in one revision: only the next one makes room.
    bench.delete(KeyRange::all());
    assert_eq!(bench.model.history(), 100 * 258);
    bench.put("k", "");
    assert_eq!((bench.model.history(), bench.model.stored()), (0, 257));
    assert_eq!(bench.model.compacted(), Some(Revision(103)));
}

/// A delete goes with the compaction of a later revision, not with that of its own.
#[test]
fn c3_no_more_is_compacted_than_it_takes() {
    let [mut limited, mut other, mut earlier] = [with_history(3_000), Bench::new(), Bench::new()];
    for at in 0.. {
        for bench in [&mut limited, &mut other, &mut earlier] {
            bench.ask(put_of("k", at * 10));
            bench.delete(KeyRange::one("k"));
        }
        if limited.model.compacted().is_some() {
            break;
        }
        assert!(limited.model.history() <= 3_000);
    }
    let at = limited.model.compacted().expect("it was too much");
    other.compact(at.0);
    earlier.compact(at.0 - 1);
    assert_eq!(other.model.history(), limited.model.history());
    assert!(other.model.history() <= 1_500 && earlier.model.history() > 1_500);
}
