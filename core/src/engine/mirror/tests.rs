mod audits;
mod harness;
mod kept;
mod laws;
mod lists;
mod probes;
mod strange;
mod viewer;
mod world;

use std::sync::Arc;
use std::time::Duration;

use insta::assert_snapshot;

use self::harness::*;
use crate::engine::{Command, Freshness};
use crate::layout::Scope;
use crate::name::GroupName;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{Key, Reply, StoreError};

#[test]
fn a_compacted_watch_is_listed_anew_and_removals_are_told() {
    let mut h = Harness::followed();
    h.fail(2, lost()).wait(ms(100));
    h.reply(5, created(40)).reply(5, compacted(30)).wait(ms(200));
    h.reply(7, range(40, [kv("b", 4, 5), kv("c", 20, 20)]));
    assert_snapshot!(h.trace(), @"
    0.000s > #2 failed: connection lost: reset
    0.000s < m1 redial
    0.100s < #5 m0 watch shop from 7 progress fragment
    0.100s > #5 watch @40 created
    0.100s < #6 m0 range shop at7 limit=128 sort=Mod/Descending
    0.100s > #5 watch @0 canceled compacted=30
    0.100s < #6 cancel
    0.100s < #5 cancel
    0.100s < directory 1 0@7 stale since 0.000s 2 records
    0.300s < #7 m0 range shop limit=2
    0.300s > #7 range @40 b@4/5, c@20/20
    0.300s < directory 1 0@40 live 2 records Relisted(Compacted): -a@3, +c@20
    0.300s < #8 m0 watch shop from 40 progress fragment
    ");
}

#[test]
fn a_check_whose_history_is_compacted_is_a_gap() {
    let mut h = Harness::followed();
    h.fail(2, lost()).wait(ms(100)).reply(5, created(40)).fail(6, StoreError::Compacted);
    let before = h.snapshot().records.clone();
    h.wait(ms(200)).reply(7, range(40, [kv("a", 3, 3), kv("b", 4, 40)]));
    assert!(h.trace().contains("Relisted(Compacted): ~b@40"));
    let after = &h.snapshot().records;
    let shared = |id: &str| {
        let key = Key::from(format!("shop/cart/{id}").as_str());
        before.get(&key).zip(after.get(&key)).is_some_and(|(a, b)| Arc::ptr_eq(a, b))
    };
    assert!(shared("a") && !shared("b"), "a list costs memory only for what is new");
}

#[test]
fn after_a_lost_connection_events_wait_for_the_check() {
    let mut h = Harness::followed();
    h.fail(2, lost()).wait(ms(100));
    h.reply(5, created(9)).reply(5, events(8, [put(kv("a", 3, 8))])).reply(5, progress(9));
    h.reply(6, counted(9, 2, kv("b", 4, 5))).reply(7, status("3.5.30"));
    assert_snapshot!(h.trace(), @"
    0.000s > #2 failed: connection lost: reset
    0.000s < m1 redial
    0.100s < #5 m0 watch shop from 7 progress fragment
    0.100s > #5 watch @9 created
    0.100s < #6 m0 range shop at7 limit=128 sort=Mod/Descending
    0.100s > #5 watch @8 a@3/8
    0.100s > #5 watch @9 id=-1
    0.100s > #6 range @9 b@4/5 of 2
    0.100s < #7 m0 status
    0.100s < directory 1 0@8 live 2 records Watched: ~a@8
    0.100s > #7 status 3.5.30 @1
    ");
}

#[test]
fn a_wiped_store_that_overtook_the_cursor_is_a_new_epoch() {
    let mut h = Harness::followed();
    h.fail(2, lost()).wait(ms(100));
    h.reply(5, created(9)).reply(5, events(8, [put(kv("x", 8, 8))]));
    h.reply(6, counted(9, 2, kv("b", 6, 6))).wait(ms(200));
    h.reply(7, range(9, [kv("b", 6, 6), kv("x", 8, 8)])).reply(8, created(9));
    h.reply(9, counted(9, 2, kv("x", 8, 8)));
    assert_snapshot!(h.trace(), @"
    0.000s > #2 failed: connection lost: reset
    0.000s < m1 redial
    0.100s < #5 m0 watch shop from 7 progress fragment
    0.100s > #5 watch @9 created
    0.100s < #6 m0 range shop at7 limit=128 sort=Mod/Descending
    0.100s > #5 watch @8 x@8/8
    0.100s > #6 range @9 b@6/6 of 2
    0.100s < #5 cancel
    0.100s < directory 1 0@7 stale since 0.000s 2 records
    0.300s < #7 m0 range shop limit=2
    0.300s > #7 range @9 b@6/6, x@8/8
    0.300s < directory 1 1@9 live 2 records Relisted(NewEpoch): -a@3, ~b@6, +x@8
    0.300s < #8 m0 watch shop from 9 progress fragment
    0.300s > #8 watch @9 created
    0.300s < #9 m0 range shop at9 limit=128 sort=Mod/Descending
    0.300s > #9 range @9 x@8/8 of 2
    0.300s < #10 m0 status
    ");
}

#[test]
fn what_tells_another_store() {
    let mut other = header(9);
    other.cluster_id = 0xd;
    let mut earlier = header(9);
    earlier.raft_term = 1;
    let newest = || counted(9, 2, kv("b", 4, 5));
    let with = |header| {
        let Reply::Range(mut reply) = newest() else { unreachable!("a range's answer") };
        reply.header = header;
        Reply::Range(reply)
    };
    let same_size = record("shop/cart/b", r#"{"Addr":"x:5"}"#, 4, 5);
    let cases = [
        ("nothing", newest(), false),
        ("another cluster", with(other), true),
        ("an earlier term", with(earlier), true),
        ("an earlier revision", with(header(6)), true),
        ("one record more", counted(9, 3, kv("b", 4, 5)), true),
        ("one record less", counted(9, 1, kv("b", 4, 5)), true),
        ("a newer record", counted(9, 2, kv("b", 4, 6)), true),
        ("another key", counted(9, 2, kv("c", 4, 5)), true),
        ("another value", counted(9, 2, same_size), true),
        ("no record", range(9, []), true),
        ("a lost revision", Reply::Failed(StoreError::FutureRevision), true),
    ];
    for (what, reply, new_epoch) in cases {
        let mut h = Harness::followed();
        h.fail(2, lost()).wait(ms(100));
        h.reply(5, created(9)).reply(6, reply).wait(ms(200));
        h.reply(7, range(3, [kv("z", 2, 2)]));
        assert_eq!(h.snapshot().epoch, u32::from(new_epoch), "{what}");
    }
}

#[test]
fn a_watch_cancelled_in_band_is_opened_again() {
    let mut h = Harness::followed();
    h.reply(2, canceled(9, "etcdserver: no leader")).wait(ms(100));
    let denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    for attempt in 5..13 {
        h.reply(attempt, canceled(9, denied)).wait(ms(100 << (attempt - 4)));
    }
    assert_snapshot!(h.trace(), @r#"
    0.000s > #2 watch @9 canceled reason="etcdserver: no leader"
    0.000s < m1 redial
    0.000s < #2 cancel
    0.100s < #5 m0 watch shop from 7 progress fragment
    0.100s > #5 watch @9 canceled reason="rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    0.100s < #5 cancel
    0.300s < #6 m0 watch shop from 7 progress fragment
    0.300s > #6 watch @9 canceled reason="rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    0.300s < #6 cancel
    0.700s < #7 m0 watch shop from 7 progress fragment
    0.700s > #7 watch @9 canceled reason="rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    0.700s < #7 cancel
    1.500s < #8 m0 watch shop from 7 progress fragment
    1.500s > #8 watch @9 canceled reason="rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    1.500s < #8 cancel
    3.100s < #9 m0 watch shop from 7 progress fragment
    3.100s > #9 watch @9 canceled reason="rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    3.100s < #9 cancel
    6.300s < #10 m0 watch shop from 7 progress fragment
    6.300s > #10 watch @9 canceled reason="rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    6.300s < #10 cancel
    8.000s < directory 1 0@7 stale since 0.000s 2 records
    12.700s < #11 m0 watch shop from 7 progress fragment
    12.700s > #11 watch @9 canceled reason="rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    12.700s < #11 cancel
    25.500s < #12 m0 watch shop from 7 progress fragment
    25.500s > #12 watch @9 canceled reason="rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    25.500s < #12 cancel
    51.100s < #13 m0 watch shop from 7 progress fragment
    "#);
}

#[test]
fn parts_are_joined_and_revisions_stay_whole() {
    let mut h = Harness::followed();
    h.reply(2, part(11, [put(kv("a", 3, 8)), put(kv("c", 9, 9))]));
    h.reply(2, part(11, [delete("b", 9), put(kv("d", 11, 11))]));
    h.reply(2, events(11, [delete("a", 11)]));
    assert_snapshot!(h.trace(), @"
    0.000s > #2 watch @11 fragment a@3/8, c@9/9
    0.000s < directory 1 0@8 live 2 records Watched: ~a@8
    0.000s > #2 watch @11 fragment -b@9, d@11/11
    0.000s < directory 1 0@9 live 2 records Watched: -b@5, +c@9
    0.000s > #2 watch @11 -a@11
    0.000s < directory 1 0@11 live 2 records Watched: -a@8, +d@11
    ");
}

#[test]
fn a_part_without_the_rest_is_fetched_again() {
    let mut h = Harness::followed();
    h.reply(2, part(8, [put(kv("a", 3, 8))])).reply(2, progress(8)).wait(ms(100));
    assert_snapshot!(h.trace(), @"
    0.000s > #2 watch @8 fragment a@3/8
    0.000s > #2 watch @8 id=-1
    0.000s < #2 cancel
    0.100s < #5 m1 watch shop from 7 progress fragment
    ");
}

#[test]
fn events_told_twice_or_from_the_past_change_nothing() {
    let mut h = Harness::followed();
    h.reply(2, events(8, [delete("a", 8)])).reply(2, events(8, [delete("a", 8)]));
    h.reply(2, events(9, [put(kv("a", 3, 3)), delete("b", 6), put(kv("c", 9, 9))]));
    assert_snapshot!(h.trace(), @"
    0.000s > #2 watch @8 -a@8
    0.000s < directory 1 0@8 live 1 records Watched: -a@3
    0.000s > #2 watch @8 -a@8
    0.000s > #2 watch @9 a@3/3, -b@6, c@9/9
    0.000s < directory 1 0@9 live 2 records Watched: +c@9
    ");
}

#[test]
fn many_revisions_in_one_answer_are_one_step_and_its_header_is_no_cursor() {
    let mut h = Harness::followed();
    h.reply(2, events(50, [put(kv("c", 8, 8)), delete("c", 9), put(kv("a", 3, 10))]));
    h.fail(2, lost()).wait(ms(100));
    assert_snapshot!(h.trace(), @"
    0.000s > #2 watch @50 c@8/8, -c@9, a@3/10
    0.000s < directory 1 0@10 live 2 records Watched: ~a@10
    0.000s > #2 failed: connection lost: reset
    0.000s < m1 redial
    0.100s < #5 m0 watch shop from 10 progress fragment
    ");
}

#[test]
fn events_out_of_order_are_listed_anew() {
    let mut h = Harness::followed();
    h.reply(2, events(50, [put(kv("c", 9, 9)), put(kv("a", 3, 8))])).wait(ms(100));
    h.reply(5, range(50, [kv("a", 3, 8), kv("b", 4, 5), kv("c", 9, 9)]));
    assert_snapshot!(h.trace(), @"
    0.000s > #2 watch @50 c@9/9, a@3/8
    0.000s < #2 cancel
    0.000s < directory 1 0@7 stale since 0.000s 2 records
    0.100s < #5 m1 range shop limit=2
    0.100s > #5 range @50 a@3/8, b@4/5, c@9/9
    0.100s < directory 1 0@50 live 3 records Relisted(Garbled): ~a@8, +c@9
    0.100s < #6 m1 watch shop from 50 progress fragment
    ");
}

#[test]
fn a_watch_that_is_not_confirmed_is_opened_elsewhere() {
    let mut h = Harness::open();
    h.reply(1, range(7, [])).wait(ms(3_100));
    assert_snapshot!(h.trace(), @"
    0.000s < #1 m1 range shop limit=2
    0.000s > #1 range @7
    0.000s < directory 1 0@7 live 0 records Listed
    0.000s < #2 m1 watch shop from 7 progress fragment
    3.000s < m1 redial
    3.000s < #2 cancel
    3.100s < #3 m0 watch shop from 7 progress fragment
    ");
}

#[test]
fn unreadable_and_foreign_records_count_but_are_not_shown() {
    let mut h = Harness::open();
    let bad = record("shop/cart/bad", "{", 4, 4);
    let foreign = record("shop/leader", "x", 9, 9);
    h.reply(1, range(9, [bad, foreign.clone()])).reply(2, created(9));
    h.reply(3, counted(9, 2, foreign)).fail(4, lost());
    // The newest goes, then the bad one heals, breaks again and changes.
    h.reply(2, events(10, [delete_key("shop/leader", 10)])).fail(2, lost()).wait(ms(100));
    h.reply(5, created(10)).reply(6, counted(10, 1, record("shop/cart/bad", "{", 4, 4)));
    h.reply(5, events(11, [put(kv("bad", 4, 11))]));
    h.reply(5, events(12, [put(record("shop/cart/bad", "[", 4, 12))]));
    h.reply(5, events(13, [put(record("shop/cart/bad", "]", 4, 13))]));
    assert_snapshot!(h.trace(), @"
    0.000s < #1 m1 range shop limit=2
    0.000s > #1 range @9 bad@4/4, shop/leader@9/9
    0.000s < directory 1 0@9 live 0 records 1 unreadable Listed
    0.000s < #2 m1 watch shop from 9 progress fragment
    0.000s > #2 watch @9 created
    0.000s < #3 m1 range shop at9 limit=128 sort=Mod/Descending
    0.000s > #3 range @9 shop/leader@9/9 of 2
    0.000s < #4 m1 status
    0.000s > #4 failed: connection lost: reset
    0.000s < m1 redial
    0.000s > #2 watch @10 -shop/leader@10
    0.000s > #2 failed: connection lost: reset
    0.100s < #5 m0 watch shop from 10 progress fragment
    0.100s > #5 watch @10 created
    0.100s < #6 m0 range shop at10 limit=128 sort=Mod/Descending
    0.100s > #6 range @10 bad@4/4
    0.100s < #7 m0 status
    0.100s > #5 watch @11 bad@4/11
    0.100s < directory 1 0@11 live 1 records Watched: +bad@11
    0.100s > #5 watch @12 bad@4/12
    0.100s < directory 1 0@12 live 0 records 1 unreadable Watched: -bad@11
    0.100s > #5 watch @13 bad@4/13
    0.100s < directory 1 0@13 live 0 records 1 unreadable Watched
    ");
}

#[test]
fn pauses_grow_until_a_watch_has_lived_for_long() {
    let mut h = Harness::followed();
    h.fail(2, lost()).wait(ms(100));
    h.reply(5, created(7)).reply(6, counted(7, 2, kv("b", 4, 5))).reply(7, status("3.5.30"));
    h.wait(ms(4_999)).fail(5, lost()).wait(ms(200));
    h.reply(8, created(7)).reply(9, counted(7, 2, kv("b", 4, 5))).reply(10, status("3.5.30"));
    h.wait(ms(5_000)).reply(8, progress(7)).wait(ms(5_000)).fail(8, lost()).wait(ms(100));
    let watches = h.trace();
    let watches: Vec<_> = watches.lines().filter(|line| line.contains(" watch shop")).collect();
    assert_snapshot!(watches.join("\n"), @"
    0.100s < #5 m0 watch shop from 7 progress fragment
    5.299s < #8 m1 watch shop from 7 progress fragment
    15.399s < #13 m0 watch shop from 7 progress fragment
    ");
}

#[test]
fn a_scope_without_keys_is_listed_at_once_and_for_ever() {
    let mut h = Harness::open_scope(Scope::Config(GroupName::parse("cart").expect("a name")));
    h.wait(Duration::from_secs(3_600));
    assert_snapshot!(h.trace(), @"0.000s < directory 1 0@0 live 0 records Listed");
}

#[test]
fn closing_ends_all_attempts() {
    let mut h = Harness::followed();
    h.wait(ms(8_000)).command(Command::Close { id: DIRECTORY }).wait(Duration::from_secs(60));
    assert_snapshot!(h.trace(), @"
    5.000s < #5 m1 on #2 progress
    8.000s < #6 m1 range shop limit=1 sort=Mod/Descending keys-only
    8.000s < directory 1 0@7 stale since 0.000s 2 records
    8.000s < #6 cancel
    8.000s < #2 cancel
    ");
}

#[test]
fn freshness_counts_from_the_last_confirmation() {
    let mut h = Harness::followed();
    h.wait(ms(1_000)).reply(2, events(8, [delete("a", 8)])).fail(2, lost()).wait(ms(7_999));
    assert_eq!(h.snapshot().freshness, Freshness::Live);
    h.wait(ms(1));
    assert_eq!(h.snapshot().freshness, Freshness::Stale { since: Time::from_secs(1) });
}

#[test]
fn what_is_said_of_another_watch_is_not_ours() {
    let mut h = Harness::followed();
    let Reply::Watch(mut other) = events(8, [delete("a", 8)]) else { unreachable!("events") };
    other.watch_id = 1;
    h.reply(2, Reply::Watch(other));
    assert_eq!((h.snapshot().revision.0, h.snapshot().records.len()), (7, 2));
}

#[test]
fn a_stream_of_another_cluster_is_left() {
    let mut h = Harness::followed();
    h.fail(2, lost()).wait(ms(100));
    let Reply::Watch(mut other) = created(9) else { unreachable!("a watch's answer") };
    other.header.cluster_id += 1;
    h.reply(5, Reply::Watch(other)).reply(5, events(8, [delete("a", 8)]));
    h.reply(6, counted(9, 2, kv("b", 4, 5))).wait(ms(200));
    assert_snapshot!(h.trace(), @"
    0.000s > #2 failed: connection lost: reset
    0.000s < m1 redial
    0.100s < #5 m0 watch shop from 7 progress fragment
    0.100s > #5 watch @9 created
    0.100s < #6 m0 range shop at7 limit=128 sort=Mod/Descending
    0.100s > #5 watch @8 -a@8
    0.100s > #6 range @9 b@4/5 of 2
    0.100s < m0 redial
    0.100s < #5 cancel
    0.300s < #7 m1 watch shop from 7 progress fragment
    ");
}

#[test]
fn events_from_outside_the_range_are_left_out() {
    let mut h = Harness::followed();
    h.reply(2, events(8, [put(record("zoo/cart/a", r#"{"Addr":"h:1"}"#, 8, 8))]));
    assert_eq!((h.snapshot().revision.0, h.snapshot().records.len()), (7, 2));
}

#[test]
fn nothing_but_its_confirmation_opens_a_watch() {
    let mut h = Harness::open();
    h.reply(1, range(7, [])).reply(2, progress(7)).reply(2, created(7)).reply(3, range(7, []));
    h.reply(2, events(8, [put(kv("a", 8, 8))]));
    assert_eq!((h.snapshot().revision.0, h.snapshot().records.len()), (8, 1));
}

#[test]
fn a_refusal_is_tried_again_slowly() {
    let mut h = Harness::open();
    for attempt in 1..14 {
        let pause = ms(100 << (attempt - 1)).min(Tuning::default().backoff_slow_cap);
        h.fail(attempt, StoreError::PermissionDenied);
        assert_eq!(h.trace().lines().filter(|line| line.contains("limit=2")).count(), 1);
        h.wait(pause - ms(1));
        assert_eq!(h.trace(), "", "attempt {attempt} is followed too soon");
        h.wait(ms(1));
    }
    assert!(h.trace().contains("#14 "));
}

#[test]
fn a_lagging_member_is_waited_for_and_then_left() {
    let mut h = Harness::followed();
    h.fail(2, lost()).wait(ms(100));
    h.reply(5, created(6)).reply(6, counted(9, 2, kv("b", 4, 5))).reply(7, status("3.5.30"));
    h.wait(ms(8_000)).reply(9, counted(9, 2, kv("b", 4, 5))).wait(ms(200));
    assert_snapshot!(h.trace(), @"
    0.000s > #2 failed: connection lost: reset
    0.000s < m1 redial
    0.100s < #5 m0 watch shop from 7 progress fragment
    0.100s > #5 watch @6 created
    0.100s < #6 m0 range shop at7 limit=128 sort=Mod/Descending
    0.100s > #6 range @9 b@4/5 of 2
    0.100s < #7 m0 status
    0.100s > #7 status 3.5.30 @1
    5.100s < #8 m0 on #5 progress
    8.100s < #9 m0 range shop limit=1 sort=Mod/Descending keys-only
    8.100s < directory 1 0@7 stale since 0.100s 2 records
    8.100s > #9 range @9 b@4/5 of 2
    8.100s < m0 redial
    8.100s < #5 cancel
    8.100s < directory 1 0@7 live 2 records
    8.300s < #10 m1 watch shop from 7 progress fragment
    ");
}

#[test]
fn a_list_below_the_cursor_is_a_new_epoch() {
    let mut h = Harness::followed();
    h.reply(2, compacted(8)).wait(ms(100)).reply(5, range(2, [kv("a", 2, 2)]));
    assert_snapshot!(h.trace(), @"
    0.000s > #2 watch @0 canceled compacted=8
    0.000s < #2 cancel
    0.000s < directory 1 0@7 stale since 0.000s 2 records
    0.100s < #5 m1 range shop limit=2
    0.100s > #5 range @2 a@2/2
    0.100s < directory 1 1@2 live 1 records Relisted(NewEpoch): ~a@2, -b@5
    0.100s < #6 m1 watch shop from 2 progress fragment
    ");
}

#[test]
fn progress_is_taken_for_a_cursor_only_from_versions_that_keep_it() {
    let cases = [
        ("3.4.24", 7),
        ("3.4.25", 30),
        ("3.5.7", 7),
        ("3.5.8", 30),
        ("3.6.0-rc.1", 30),
        ("3.3.27", 7),
        ("4.0.0", 30),
        ("", 7),
        ("three", 7),
    ];
    for (version, cursor) in cases {
        let mut h = Harness::open();
        h.reply(1, range(7, [])).reply(2, created(7)).reply(3, range(7, []));
        h.reply(4, status(version)).reply(2, progress(30));
        assert_eq!(h.snapshot().revision.0, cursor, "{version:?}");
    }
    let mut h = Harness::open();
    h.reply(1, range(7, [])).reply(2, created(7)).reply(3, range(7, []));
    let Reply::Status(mut other) = status("3.5.30") else { unreachable!("a status") };
    other.header.member_id += 1;
    h.reply(4, Reply::Status(other)).reply(2, progress(30));
    assert_eq!(h.snapshot().revision.0, 7, "another member's version");
}

#[test]
fn a_watch_that_never_brings_the_difference_is_replaced_by_a_list() {
    let mut h = Harness::followed();
    h.wait(ms(8_000)).reply(6, counted(30, 3, kv("c", 30, 30))).wait(ms(100));
    h.reply(7, created(30)).reply(8, counted(30, 2, kv("b", 4, 5))).fail(9, lost());
    h.trace();
    h.wait(ms(8_000)).reply(11, counted(30, 3, kv("c", 30, 30))).wait(ms(200));
    h.reply(12, range(30, [kv("a", 3, 3), kv("b", 4, 5), kv("c", 30, 30)]));
    assert_snapshot!(h.trace(), @"
    13.100s < #10 m0 on #7 progress
    16.100s < #11 m1 range shop limit=1 sort=Mod/Descending keys-only
    16.100s < directory 1 0@7 stale since 8.100s 2 records
    16.100s > #11 range @30 c@30/30 of 3
    16.100s < #7 cancel
    16.300s < #12 m1 range shop limit=2
    16.300s > #12 range @30 a@3/3, b@4/5, c@30/30
    16.300s < directory 1 0@30 live 3 records Relisted(Differs): +c@30
    16.300s < #13 m1 watch shop from 30 progress fragment
    ");
}

#[test]
fn a_store_that_does_not_answer_at_all_makes_the_copy_stale() {
    let mut h = Harness::followed();
    h.wait(ms(12_000));
    assert_snapshot!(h.trace(), @"
    5.000s < #5 m1 on #2 progress
    8.000s < #6 m1 range shop limit=1 sort=Mod/Descending keys-only
    8.000s < directory 1 0@7 stale since 0.000s 2 records
    11.000s < #6 cancel
    11.000s < m1 redial
    11.000s < #2 cancel
    11.100s < #7 m0 watch shop from 7 progress fragment
    ");
}
