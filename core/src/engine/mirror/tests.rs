mod harness;
mod viewer;

use std::time::Duration;

use insta::assert_snapshot;

use self::harness::*;
use crate::engine::{Command, Freshness};
use crate::layout::Scope;
use crate::name::GroupName;
use crate::time::Time;
use crate::waist::{Reply, StoreError};

#[test]
fn lists_in_pages_of_one_revision_and_watches_from_there() {
    let mut h = Harness::open();
    h.reply(1, page(7, [kv("a", 3, 3), kv("b", 4, 5)], 3)).reply(2, range(9, [kv("c", 6, 6)]));
    h.reply(3, created(9)).reply(4, counted(9, 3, kv("c", 6, 6))).reply(5, status("3.5.30"));
    h.reply(3, events(10, [put(kv("b", 4, 10)), delete("c", 10)]));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn a_compaction_between_two_pages_starts_over() {
    let mut h = Harness::open();
    h.reply(1, page(7, [kv("a", 3, 3), kv("b", 4, 5)], 3));
    h.fail(2, StoreError::Compacted).wait(ms(100));
    h.reply(3, range(12, [kv("a", 3, 3)]));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn a_lost_page_is_asked_for_again_and_a_large_one_made_smaller() {
    let mut h = Harness::open();
    h.reply(1, page(7, [kv("a", 3, 3), kv("b", 4, 5)], 3));
    h.fail(2, lost()).wait(ms(100));
    h.fail(3, StoreError::AnswerTooLarge { size: 5 << 20, limit: 4 << 20 }).wait(ms(200));
    h.reply(4, range(9, [kv("c", 6, 6)]));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn a_compacted_watch_is_listed_anew_and_removals_are_told() {
    let mut h = Harness::followed();
    h.fail(3, lost()).wait(ms(100));
    h.reply(5, created(40)).reply(5, compacted(30)).wait(ms(200));
    h.reply(7, range(40, [kv("b", 4, 5), kv("c", 20, 20)]));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn a_list_that_finds_nothing_new_is_no_step() {
    let mut h = Harness::followed();
    h.reply(3, compacted(8)).wait(ms(100));
    h.reply(5, range(40, [kv("a", 3, 3), kv("b", 4, 5)]));
    assert_snapshot!(h.trace(), @"");
    assert_eq!(h.snapshot().revision.0, 40);
}

#[test]
fn a_lagging_member_is_waited_for_and_then_left() {
    let mut h = Harness::followed();
    h.fail(3, lost()).wait(ms(100));
    h.reply(5, created(6)).reply(6, counted(9, 2, kv("b", 4, 5))).reply(7, status("3.5.30"));
    h.wait(ms(8_000)).reply(9, counted(9, 2, kv("b", 4, 5))).wait(ms(200));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn a_lagging_member_that_catches_up_is_followed() {
    let mut h = Harness::followed();
    h.fail(3, lost()).wait(ms(100));
    h.reply(5, created(6)).reply(6, counted(9, 2, kv("b", 4, 5))).reply(7, status("3.5.30"));
    h.wait(ms(5_000)).reply(5, progress(6)).wait(ms(1_000));
    h.reply(5, events(8, [delete("a", 8)])).wait(ms(4_000));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn after_a_lost_connection_events_wait_for_the_check() {
    let mut h = Harness::followed();
    h.fail(3, lost()).wait(ms(100));
    h.reply(5, created(9)).reply(5, events(8, [put(kv("a", 3, 8))])).reply(5, progress(9));
    h.reply(6, counted(9, 2, kv("b", 4, 5))).reply(7, status("3.5.30"));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn a_wiped_store_that_overtook_the_cursor_is_a_new_epoch() {
    let mut h = Harness::followed();
    h.fail(3, lost()).wait(ms(100));
    h.reply(5, created(9)).reply(5, events(8, [put(kv("x", 8, 8))]));
    h.reply(6, counted(9, 2, kv("b", 6, 6))).wait(ms(200));
    h.reply(7, range(9, [kv("b", 6, 6), kv("x", 8, 8)])).reply(8, created(9));
    h.reply(9, counted(9, 2, kv("x", 8, 8)));
    assert_snapshot!(h.trace(), @"");
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
        h.fail(3, lost()).wait(ms(100));
        h.reply(5, created(9)).reply(6, reply).wait(ms(200));
        h.reply(7, range(3, [kv("z", 2, 2)]));
        assert_eq!(h.snapshot().epoch, u32::from(new_epoch), "{what}");
    }
}

#[test]
fn a_list_below_the_cursor_is_a_new_epoch() {
    let mut h = Harness::followed();
    h.reply(3, compacted(8)).wait(ms(100)).reply(5, range(2, [kv("a", 2, 2)]));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn a_watch_cancelled_in_band_is_opened_again() {
    let mut h = Harness::followed();
    h.reply(3, canceled(9, "etcdserver: no leader")).wait(ms(100));
    let denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    for attempt in 5..13 {
        h.reply(attempt, canceled(9, denied)).wait(ms(100 << (attempt - 4)));
    }
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn parts_are_joined_and_revisions_stay_whole() {
    let mut h = Harness::followed();
    h.reply(3, part(11, [put(kv("a", 3, 8)), put(kv("c", 9, 9))]));
    h.reply(3, part(11, [delete("b", 9), put(kv("d", 11, 11))]));
    h.reply(3, events(11, [delete("a", 11)]));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn a_part_without_the_rest_is_fetched_again() {
    let mut h = Harness::followed();
    h.reply(3, part(8, [put(kv("a", 3, 8))])).reply(3, progress(8)).wait(ms(100));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn events_told_twice_or_from_the_past_change_nothing() {
    let mut h = Harness::followed();
    h.reply(3, events(8, [delete("a", 8)])).reply(3, events(8, [delete("a", 8)]));
    h.reply(3, events(9, [put(kv("a", 3, 3)), delete("b", 6), put(kv("c", 9, 9))]));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn many_revisions_in_one_answer_are_one_step_and_its_header_is_no_cursor() {
    let mut h = Harness::followed();
    h.reply(3, events(50, [put(kv("c", 8, 8)), delete("c", 9), put(kv("a", 3, 10))]));
    h.fail(3, lost()).wait(ms(100));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn events_out_of_order_are_listed_anew() {
    let mut h = Harness::followed();
    h.reply(3, events(50, [put(kv("c", 9, 9)), put(kv("a", 3, 8))])).wait(ms(100));
    h.reply(5, range(50, [kv("a", 3, 8), kv("b", 4, 5), kv("c", 9, 9)]));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn an_answered_probe_proves_life_and_moves_the_cursor_of_a_vouched_stream() {
    let mut h = Harness::followed();
    h.wait(ms(5_000)).reply(3, progress(30)).fail(3, lost()).wait(ms(100));
    assert_snapshot!(h.trace(), @"");
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
fn an_unanswered_probe_is_settled_by_a_read_and_not_asked_again() {
    let mut h = Harness::followed();
    h.wait(ms(8_000)).reply(6, counted(30, 2, kv("b", 4, 5)));
    h.wait(ms(5_000)).reply(7, counted(30, 2, kv("b", 4, 5)));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn an_unanswered_probe_that_finds_a_difference_opens_another_watch() {
    let mut h = Harness::followed();
    h.wait(ms(8_000)).reply(6, counted(30, 3, kv("c", 30, 30))).wait(ms(100));
    h.reply(7, created(30)).reply(8, counted(30, 2, kv("b", 4, 5)));
    h.reply(7, events(30, [put(kv("c", 30, 30))]));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn a_watch_that_never_brings_the_difference_is_replaced_by_a_list() {
    let mut h = Harness::followed();
    h.wait(ms(8_000)).reply(6, counted(30, 3, kv("c", 30, 30))).wait(ms(100));
    h.reply(7, created(30)).reply(8, counted(30, 2, kv("b", 4, 5))).fail(9, lost());
    h.trace();
    h.wait(ms(8_000)).reply(11, counted(30, 3, kv("c", 30, 30))).wait(ms(200));
    h.reply(12, range(30, [kv("a", 3, 3), kv("b", 4, 5), kv("c", 30, 30)]));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn a_store_that_does_not_answer_at_all_makes_the_copy_stale() {
    let mut h = Harness::followed();
    h.wait(ms(12_000));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn a_watch_that_is_not_confirmed_is_opened_elsewhere() {
    let mut h = Harness::open();
    h.reply(1, range(7, [])).wait(ms(3_100));
    assert_snapshot!(h.trace(), @"");
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
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn a_refusal_is_tried_again_slowly() {
    let mut h = Harness::open();
    for attempt in 1..14 {
        h.fail(attempt, StoreError::PermissionDenied).wait(Duration::from_secs(60));
    }
    let sent = h.trace().lines().filter(|line| line.contains("limit=2")).count();
    assert_eq!(sent, 14);
    assert!(h.snapshot().records.is_empty());
}

#[test]
fn a_scope_without_keys_is_listed_at_once_and_for_ever() {
    let mut h = Harness::open_scope(Scope::Config(GroupName::parse("cart").expect("a name")));
    h.wait(Duration::from_secs(3_600));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn closing_ends_all_attempts() {
    let mut h = Harness::followed();
    h.wait(ms(8_000)).command(Command::Close { id: DIRECTORY }).wait(Duration::from_secs(60));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn freshness_counts_from_the_last_confirmation() {
    let mut h = Harness::followed();
    h.wait(ms(1_000)).reply(3, events(8, [delete("a", 8)])).fail(3, lost()).wait(ms(7_999));
    assert_eq!(h.snapshot().freshness, Freshness::Live);
    h.wait(ms(1));
    assert_eq!(h.snapshot().freshness, Freshness::Stale { since: Time::from_secs(1) });
}
