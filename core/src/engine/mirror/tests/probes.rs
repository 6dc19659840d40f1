//! Watches that are silent, lag, or keep something back.

use insta::assert_snapshot;

use super::harness::*;
use crate::engine::Freshness;
use crate::time::Time;
use crate::waist::Reply;

#[test]
fn a_lagging_member_that_catches_up_is_followed() {
    let mut h = Harness::followed();
    h.fail(2, lost()).wait(ms(100));
    h.reply(5, created(6)).reply(6, counted(9, 2, kv("b", 4, 5))).reply(7, status("3.5.30"));
    h.wait(ms(2_000)).reply(5, progress(6)).wait(ms(1_000));
    h.reply(5, events(8, [delete("a", 8)])).wait(ms(4_000));
    assert_snapshot!(h.trace(), @"
    0.000s > #2 failed: connection lost: reset
    0.000s < m1 redial
    0.100s < #5 m0 watch shop from 7 progress fragment
    0.100s > #5 watch @6 created
    0.100s < #6 m0 range shop at7 limit=128 sort=Mod/Descending
    0.100s > #6 range @9 b@4/5 of 2
    0.100s < #7 m0 status
    0.100s > #7 status 3.5.30 @1
    2.100s > #5 watch @6 id=-1
    3.100s > #5 watch @8 -a@8
    3.100s < directory 1 0@8 live 1 records Watched: -a@3
    ");
}

#[test]
fn an_answered_probe_proves_life_and_moves_the_cursor_of_a_vouched_stream() {
    let mut h = Harness::followed();
    h.wait(ms(5_000)).reply(2, progress(30)).fail(2, lost()).wait(ms(100));
    assert_snapshot!(h.trace(), @"
    5.000s < #5 m1 on #2 progress
    5.000s > #2 watch @30 id=-1
    5.000s > #2 failed: connection lost: reset
    5.000s < m1 redial
    5.100s < #6 m0 watch shop from 30 progress fragment
    ");
}

#[test]
fn an_unanswered_probe_is_settled_by_a_read_and_not_asked_again() {
    let mut h = Harness::followed();
    h.wait(ms(8_000)).reply(6, counted(30, 2, kv("b", 4, 5)));
    h.wait(ms(5_000)).reply(7, counted(30, 2, kv("b", 4, 5)));
    assert_snapshot!(h.trace(), @"
    5.000s < #5 m1 on #2 progress
    8.000s < #6 m1 range shop limit=1 sort=Mod/Descending keys-only
    8.000s < directory 1 0@7 stale since 0.000s 2 records
    8.000s > #6 range @30 b@4/5 of 2
    8.000s < directory 1 0@7 live 2 records
    13.000s < #7 m1 range shop limit=1 sort=Mod/Descending keys-only
    13.000s > #7 range @30 b@4/5 of 2
    ");
}

/// A store that falls behind what was read then is another one.
#[test]
fn what_settles_a_silence_tells_how_far_the_store_is() {
    let newest = |term| {
        let Reply::Range(mut reply) = counted(30, 2, kv("b", 4, 5)) else { unreachable!("a read") };
        reply.header.raft_term = term;
        Reply::Range(reply)
    };
    let mut h = Harness::followed();
    h.wait(ms(8_000)).reply(6, newest(3)).wait(ms(5_000)).reply(7, newest(2)).wait(ms(200));
    h.reply(8, range(30, [kv("a", 3, 3), kv("b", 4, 5)]));
    assert_eq!(h.snapshot().epoch, 1);
}

#[test]
fn a_stream_that_speaks_again_needs_no_settling() {
    let mut h = Harness::followed();
    h.wait(ms(8_000)).reply(2, events(8, [delete("a", 8)])).wait(ms(5_000));
    assert_snapshot!(h.trace(), @"
    5.000s < #5 m1 on #2 progress
    8.000s < #6 m1 range shop limit=1 sort=Mod/Descending keys-only
    8.000s < directory 1 0@7 stale since 0.000s 2 records
    8.000s > #2 watch @8 -a@8
    8.000s < #6 cancel
    8.000s < directory 1 0@8 live 1 records Watched: -a@3
    13.000s < #7 m1 on #2 progress
    ");
}

#[test]
fn an_unanswered_probe_that_finds_a_difference_opens_another_watch() {
    let mut h = Harness::followed();
    h.wait(ms(8_000)).reply(6, counted(30, 3, kv("c", 30, 30))).wait(ms(100));
    h.reply(7, created(30)).reply(8, counted(30, 2, kv("b", 4, 5)));
    h.reply(7, events(30, [put(kv("c", 30, 30))]));
    assert_snapshot!(h.trace(), @"
    5.000s < #5 m1 on #2 progress
    8.000s < #6 m1 range shop limit=1 sort=Mod/Descending keys-only
    8.000s < directory 1 0@7 stale since 0.000s 2 records
    8.000s > #6 range @30 c@30/30 of 3
    8.000s < m1 redial
    8.000s < #2 cancel
    8.100s < #7 m0 watch shop from 7 progress fragment
    8.100s > #7 watch @30 created
    8.100s < #8 m0 range shop at7 limit=128 sort=Mod/Descending
    8.100s > #8 range @30 b@4/5 of 2
    8.100s < #9 m0 status
    8.100s < directory 1 0@7 live 2 records
    8.100s > #7 watch @30 c@30/30
    8.100s < directory 1 0@30 live 3 records Watched: +c@30
    ");
}

/// Its answer would come to whatever is asked next.
#[test]
fn a_stream_that_ends_while_it_is_settled_takes_its_read_along() {
    let mut h = Harness::followed();
    h.wait(ms(8_000)).fail(2, lost());
    assert!(h.trace().contains("#6 cancel"));
}

#[test]
fn a_copy_of_which_neither_stream_nor_store_answers_is_stale_at_once() {
    let mut h = Harness::followed();
    // Found to be mute and fine at 8 s, which makes it live until 16 s.
    h.wait(ms(8_000)).reply(6, counted(30, 2, kv("b", 4, 5))).wait(ms(5_000)).fail(7, lost());
    assert_eq!(h.snapshot().freshness, Freshness::Stale { since: Time::from_secs(8) });
}
