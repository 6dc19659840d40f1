//! The guard, seen from outside.

use insta::assert_snapshot;

use super::harness::*;
use crate::engine::Command;
use crate::layout::Scope;
use crate::tuning::{Guard, Tuning};
use crate::waist::{Key, StoreError};

/// Four instances, each on a lease of its own; the watch #2 is followed.
fn guarded() -> Harness {
    let tuning = Tuning { guard: Guard::On, page_limit: 9, ..Tuning::default() };
    let mut h = Harness::open_with(Scope::AllInstances, tuning);
    let all = [leased("a", 1, 4), leased("b", 2, 5), leased("c", 3, 6), leased("d", 4, 7)];
    h.reply(1, page(7, [all[0].clone(), all[1].clone()], 4));
    h.reply(2, range(7, [all[1].clone(), all[2].clone(), all[3].clone()]));
    h.reply(3, created(7)).reply(4, counted(7, 4, leased("d", 4, 7))).reply(5, status("3.5.30"));
    h.trace();
    h
}

#[test]
fn an_outage_is_told_with_its_rule_and_ends_when_all_are_back() {
    let mut h = guarded();
    h.reply(3, events(8, [delete("a", 8)])).reply(6, left(2, 15));
    h.reply(3, events(10, [delete("b", 9), delete("c", 10)]));
    h.reply(7, left(1, 0)).reply(8, left(2, 0)).fail(9, StoreError::NoLeader);
    h.reply(3, events(11, [put(leased("b", 12, 11))]));
    h.reply(3, events(13, [put(leased("a", 11, 12)), put(leased("c", 13, 13))]));
    assert_snapshot!(h.trace(), @"
    0.000s > #3 watch @8 -a@8
    0.000s < #6 m1 time-to-live lease=0000000000000002
    0.000s < directory 1 0@8 live 3 records Watched: -a@4
    0.000s > #6 time-to-live lease=0000000000000002 left=14s granted=15s keys=0
    0.000s > #3 watch @10 -b@9, -c@10
    0.000s < #7 m1 time-to-live lease=0000000000000001
    0.000s < #8 m1 time-to-live lease=0000000000000002
    0.000s < #9 m1 time-to-live lease=0000000000000003
    0.000s < directory 1 0@10 live 1 records 3 suspects Watched: -b@5, -c@6
    0.000s > #7 time-to-live lease=0000000000000001 left=-1s granted=0s keys=0
    0.000s > #8 time-to-live lease=0000000000000002 left=-1s granted=0s keys=0
    0.000s > #9 failed: etcdserver: no leader
    0.000s < m1 redial
    0.000s < directory 1 0@10 live 1 records 3 suspects guarded guards cart: 3 of 4 leases ended within 15s
    0.000s > #3 watch @11 b@11/11~000000000000000c
    0.000s < directory 1 0@11 live 2 records 2 suspects guarded Watched: +b@11
    0.000s > #3 watch @13 a@12/12~000000000000000b, c@13/13~000000000000000d
    0.000s < directory 1 0@13 live 4 records Watched: +a@12, +c@13
    0.000s < directory 1 0@13 live 4 records guards cart no more
    ");
}

#[test]
fn what_does_not_come_back_is_dropped_in_the_end() {
    let mut h = guarded();
    h.reply(3, events(10, [delete("a", 8), delete("b", 9), delete("c", 10)]));
    h.reply(6, left(1, 0)).reply(7, left(2, 0)).reply(8, left(3, 0));
    let key = Key::from("shop/cart/b");
    h.command(Command::Refused { id: DIRECTORY, key: key.clone() });
    h.command(Command::Refused { id: DIRECTORY, key });
    h.command(Command::Close { id: DIRECTORY });
    let first = h.trace();
    assert_snapshot!(first, @"
    0.000s > #3 watch @10 -a@8, -b@9, -c@10
    0.000s < #6 m1 time-to-live lease=0000000000000001
    0.000s < #7 m1 time-to-live lease=0000000000000002
    0.000s < #8 m1 time-to-live lease=0000000000000003
    0.000s < directory 1 0@10 live 1 records 3 suspects Watched: -a@4, -b@5, -c@6
    0.000s > #6 time-to-live lease=0000000000000001 left=-1s granted=0s keys=0
    0.000s > #7 time-to-live lease=0000000000000002 left=-1s granted=0s keys=0
    0.000s > #8 time-to-live lease=0000000000000003 left=-1s granted=0s keys=0
    0.000s < directory 1 0@10 live 1 records 3 suspects guarded guards cart: 3 of 4 leases ended within 15s
    0.000s < directory 1 0@10 live 1 records 2 suspects guarded drops suspects of cart Refused: b
    0.000s < #3 cancel
    ");

    let mut h = guarded();
    h.reply(3, events(10, [delete("a", 8), delete("b", 9), delete("c", 10)]));
    h.reply(6, left(1, 0)).reply(7, left(2, 0)).reply(8, left(3, 0));
    h.fail(3, StoreError::PermissionDenied);
    h.trace();
    h.wait(ms(299_999));
    assert_eq!(h.snapshot().suspects.len(), 3);
    h.trace();
    h.wait(ms(1));
    assert_snapshot!(h.trace(), @"
    300.000s < directory 1 0@10 stale since 0.000s 1 records drops suspects of cart Over: a b c
    300.000s < directory 1 0@10 stale since 0.000s 1 records guards cart no more
    ");
}

#[test]
fn what_was_removed_on_purpose_is_dropped_as_soon_as_that_is_known() {
    let mut h = guarded();
    h.reply(3, events(10, [delete("a", 8), delete("b", 9), delete("c", 10)]));
    h.reply(6, left(1, 15)).reply(7, left(2, 0)).reply(8, left(3, 0));
    assert_snapshot!(h.trace(), @"
    0.000s > #3 watch @10 -a@8, -b@9, -c@10
    0.000s < #6 m1 time-to-live lease=0000000000000001
    0.000s < #7 m1 time-to-live lease=0000000000000002
    0.000s < #8 m1 time-to-live lease=0000000000000003
    0.000s < directory 1 0@10 live 1 records 3 suspects Watched: -a@4, -b@5, -c@6
    0.000s > #6 time-to-live lease=0000000000000001 left=14s granted=15s keys=0
    0.000s < directory 1 0@10 live 1 records 2 suspects drops suspects of cart Wished: a
    0.000s > #7 time-to-live lease=0000000000000002 left=-1s granted=0s keys=0
    0.000s > #8 time-to-live lease=0000000000000003 left=-1s granted=0s keys=0
    0.000s < directory 1 0@10 live 1 records drops suspects of cart Few: b c
    ");
}

#[test]
fn closing_asks_no_more() {
    let mut h = guarded();
    h.reply(3, events(10, [delete("a", 8), delete("b", 9), delete("c", 10)]));
    h.trace();
    h.command(Command::Close { id: DIRECTORY });
    assert_snapshot!(h.trace(), @"
    0.000s < #3 cancel
    0.000s < #6 cancel
    0.000s < #7 cancel
    0.000s < #8 cancel
    ");
}

/// The layout of these tests has no word for leaving.
#[test]
fn a_layout_without_draining_is_guarded_only_if_asked_for() {
    let mut h = Harness::open();
    h.reply(1, range(7, [leased("a", 1, 4), leased("b", 2, 5)]));
    h.reply(2, created(7)).reply(3, counted(7, 2, leased("b", 2, 5)));
    h.reply(2, events(8, [put(leased("c", 3, 8))]));
    h.trace();
    h.reply(2, events(11, [delete("a", 9), delete("b", 10), delete("c", 11)]));
    assert_snapshot!(h.trace(), @"
    0.000s > #2 watch @11 -a@9, -b@10, -c@11
    0.000s < directory 1 0@11 live 0 records Watched: -a@4, -b@5, -c@8
    ");
}
