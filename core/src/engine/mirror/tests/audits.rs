//! Copies that are held against the store.

use std::time::Duration;

use insta::assert_snapshot;

use super::harness::*;
use crate::engine::{Command, Freshness};
use crate::tuning::Tuning;
use crate::waist::{Reply, StoreError};

/// Audited every 4 s, which is before any probe.
fn followed() -> Harness {
    Harness::followed_with(Tuning { audit_every: Duration::from_secs(4), ..Tuning::default() })
}

/// The watch told of `c`, and lost that `a` went right before.
#[test]
fn an_event_that_the_watch_lost_is_found_and_repaired() {
    let mut h = followed();
    h.reply(2, events(9, [put(kv("c", 9, 9))])).wait(ms(4_000));
    h.reply(5, range(10, [kv("b", 4, 5), kv("c", 9, 9)]));
    h.wait(ms(100)).reply(6, range(10, [kv("b", 4, 5), kv("c", 9, 9)]));
    assert_snapshot!(h.trace(), @"
    0.000s > #2 watch @9 c@9/9
    0.000s < directory 1 0@9 live 3 records Watched: +c@9
    4.000s < #5 m1 range shop at9 limit=2
    4.000s > #5 range @10 b@4/5, c@9/9
    4.000s < m1 redial
    4.000s < #2 cancel
    4.000s < directory 1 0@9 stale since 0.000s 3 records
    4.100s < #6 m0 range shop limit=2
    4.100s > #6 range @10 b@4/5, c@9/9
    4.100s < directory 1 0@10 live 2 records Relisted(Audited): -a@3
    4.100s < #7 m0 watch shop from 10 progress fragment
    ");
}

#[test]
fn a_record_that_is_missing_at_the_end_is_noticed_too() {
    let mut h = followed();
    h.wait(ms(4_000)).reply(5, range(7, [kv("a", 3, 3)]));
    assert_snapshot!(h.trace(), @"
    4.000s < #5 m1 range shop at7 limit=2
    4.000s > #5 range @7 a@3/3
    4.000s < m1 redial
    4.000s < #2 cancel
    4.000s < directory 1 0@7 stale since 0.000s 2 records
    ");
}

/// What comes while the pages do is none of the audit's business.
#[test]
fn an_audit_of_what_is_the_same_says_nothing() {
    let mut h = followed();
    h.reply(2, events(9, [put(kv("c", 9, 9))])).wait(ms(4_000));
    h.reply(5, page(11, [kv("a", 3, 3), kv("b", 4, 5)], 3));
    h.reply(2, events(11, [put(kv("a", 3, 10)), delete("c", 11)]));
    h.reply(6, range(11, [kv("c", 9, 9)])).wait(ms(3_999));
    assert_snapshot!(h.trace(), @r"
    0.000s > #2 watch @9 c@9/9
    0.000s < directory 1 0@9 live 3 records Watched: +c@9
    4.000s < #5 m1 range shop at9 limit=2
    4.000s > #5 range @11 a@3/3, b@4/5 of 3
    4.000s < #6 m1 range [b\x00, shop0) at9 limit=2
    4.000s > #2 watch @11 a@3/10, -c@11
    4.000s < directory 1 0@11 live 2 records Watched: ~a@10, -c@9
    4.000s > #6 range @11 c@9/9
    ");
    assert_eq!(h.snapshot().freshness, Freshness::Live);
    h.wait(ms(1));
    assert_snapshot!(h.trace(), @"8.000s < #7 m1 range shop at11 limit=2");
}

#[test]
fn an_audit_that_fails_leaves_the_copy_as_it_is() {
    let strange = [
        ("lost", Err(lost())),
        ("refused", Err(StoreError::PermissionDenied)),
        ("out of order", Ok(range(7, [kv("b", 4, 5), kv("a", 3, 3)]))),
        ("endless", Ok(page(7, [], 3))),
        ("of later", Ok(range(9, [kv("a", 3, 3), kv("b", 4, 9)]))),
    ];
    for (what, answer) in strange {
        let mut h = followed();
        h.wait(ms(4_000));
        h.trace();
        match answer {
            Ok(reply) => h.reply(5, reply),
            Err(error) => h.fail(5, error),
        };
        let trace = h.trace();
        let told = trace.lines().filter(|line| !line.ends_with("redial"));
        assert_eq!(told.count(), 1, "{what}: nothing but the answer: {trace}");
        assert_eq!(h.snapshot().freshness, Freshness::Live, "{what}");
        h.reply(2, progress(7)).wait(ms(4_000));
        assert!(h.trace().contains("#6 m"), "{what}: the next audit comes");
    }
}

/// Its member answers progress, and no read: it may have stopped applying what is agreed on.
#[test]
fn a_member_that_leaves_an_audit_unanswered_is_left() {
    let mut h = followed();
    h.wait(ms(4_000)).reply(2, progress(7)).wait(ms(2_000)).reply(2, progress(7)).wait(ms(1_000));
    h.wait(ms(100));
    assert_snapshot!(h.trace(), @"
    4.000s < #5 m1 range shop at7 limit=2
    4.000s > #2 watch @7 id=-1
    6.000s > #2 watch @7 id=-1
    7.000s < #5 cancel
    7.000s < m1 redial
    7.000s < #2 cancel
    7.100s < #6 m0 watch shop from 7 progress fragment
    ");
    assert_eq!(h.snapshot().freshness, Freshness::Live, "the content is not in doubt");
}

/// Its member answers progress, and has stopped applying what is agreed on: the audit showed the
/// store further on. What was under way by then may be as old.
#[test]
fn a_member_that_shows_less_than_an_audit_is_left() {
    let mut h = followed();
    h.wait(ms(4_000)).reply(5, range(10, [kv("a", 3, 3), kv("b", 4, 5)]));
    h.wait(ms(2_999)).reply(2, progress(9)).wait(ms(1)).reply(2, progress(9)).wait(ms(100));
    assert_snapshot!(h.trace(), @"
    4.000s < #5 m1 range shop at7 limit=2
    4.000s > #5 range @10 a@3/3, b@4/5
    5.000s < #6 m1 on #2 progress
    6.999s > #2 watch @9 id=-1
    7.000s > #2 watch @9 id=-1
    7.000s < m1 redial
    7.000s < #2 cancel
    7.100s < #7 m0 watch shop from 9 progress fragment
    ");
    assert_eq!(h.snapshot().freshness, Freshness::Live, "the content is not in doubt");
}

/// Whatever was asked beside such a stream is given up with it: a late answer is nobody's.
#[test]
fn what_settles_a_probe_ends_with_a_stream_that_shows_too_little() {
    let mut h = followed();
    h.wait(ms(4_000)).reply(5, range(10, [kv("a", 3, 3), kv("b", 4, 5)]));
    h.wait(ms(4_000));
    h.reply(2, progress(9));
    assert_snapshot!(h.trace(), @"
    4.000s < #5 m1 range shop at7 limit=2
    4.000s > #5 range @10 a@3/3, b@4/5
    5.000s < #6 m1 on #2 progress
    8.000s < #7 m1 range shop limit=1 sort=Mod/Descending keys-only
    8.000s < directory 1 0@7 stale since 0.000s 2 records
    8.000s < #8 m1 range shop at7 limit=2
    8.000s > #2 watch @9 id=-1
    8.000s < m1 redial
    8.000s < #7 cancel
    8.000s < #2 cancel
    8.000s < #8 cancel
    ");
}

/// An audit is answered by a store whose leader has changed, and then what was asked before it, from
/// before that: the store is the same.
#[test]
fn what_settles_a_probe_may_be_older_than_an_audit() {
    let mut h = followed();
    h.wait(ms(4_000)).reply(5, range(10, [kv("a", 3, 3), kv("b", 4, 5)]));
    h.wait(ms(4_500));
    let mut audited = range(12, [kv("a", 3, 3), kv("b", 4, 5)]);
    if let Reply::Range(page) = &mut audited {
        page.header.raft_term += 1;
    }
    h.reply(8, audited).reply(7, counted(10, 2, kv("b", 4, 5)));
    assert_snapshot!(h.trace(), @"
    4.000s < #5 m1 range shop at7 limit=2
    4.000s > #5 range @10 a@3/3, b@4/5
    5.000s < #6 m1 on #2 progress
    8.000s < #7 m1 range shop limit=1 sort=Mod/Descending keys-only
    8.000s < directory 1 0@7 stale since 0.000s 2 records
    8.000s < #8 m1 range shop at7 limit=2
    8.500s > #8 range @12 a@3/3, b@4/5
    8.500s > #7 range @10 b@4/5 of 2
    8.500s < directory 1 0@7 live 2 records
    ");
    assert_eq!(h.snapshot().freshness, Freshness::Live);
}

#[test]
fn a_compacted_cursor_or_another_store_is_listed_anew() {
    let mut h = followed();
    h.wait(ms(4_000)).fail(5, StoreError::Compacted);
    h.wait(ms(100)).reply(6, range(40, [kv("a", 3, 3), kv("b", 4, 5)]));
    assert_snapshot!(h.trace(), @"
    4.000s < #5 m1 range shop at7 limit=2
    4.000s > #5 failed: etcdserver: mvcc: required revision has been compacted
    4.000s < #2 cancel
    4.000s < directory 1 0@7 stale since 0.000s 2 records
    4.100s < #6 m1 range shop limit=2
    4.100s > #6 range @40 a@3/3, b@4/5
    4.100s < #7 m1 watch shop from 40 progress fragment
    4.100s < directory 1 0@40 live 2 records
    ");

    let mut h = followed();
    h.wait(ms(4_000)).reply(5, range(6, [kv("a", 3, 3)])).wait(ms(100));
    assert_snapshot!(h.trace(), @"
    4.000s < #5 m1 range shop at7 limit=2
    4.000s > #5 range @6 a@3/3
    4.000s < m1 redial
    4.000s < #2 cancel
    4.000s < directory 1 0@7 stale since 0.000s 2 records
    4.100s < #6 m0 range shop limit=2
    ");
}

#[test]
fn an_audit_ends_with_its_watch_and_makes_its_pages_smaller() {
    let mut h = followed();
    h.wait(ms(4_000));
    h.fail(5, StoreError::AnswerTooLarge { size: 5 << 20, limit: 4 << 20 });
    h.reply(2, progress(7)).wait(ms(4_000)).fail(2, lost());
    h.wait(ms(100)).command(Command::Close { id: DIRECTORY });
    assert_snapshot!(h.trace(), @"
    4.000s < #5 m1 range shop at7 limit=2
    4.000s > #5 failed: answer of 5242880 bytes exceeds the decode limit of 4194304
    4.000s > #2 watch @7 id=-1
    8.000s < #6 m1 range shop at7 limit=1
    8.000s > #2 failed: connection lost: reset
    8.000s < m1 redial
    8.000s < #6 cancel
    8.100s < #7 m0 watch shop from 7 progress fragment
    8.100s < #7 cancel
    ");
}
