//! Swaps of a record that stood there, each as a story.

use insta::assert_snapshot;

use super::harness::*;
use crate::engine::{Command, Proposal};
use crate::waist::StoreError;

#[test]
fn swap() {
    let mut h = Harness::updating();
    h.reply(1, range(9, base())).write("\"mine\"").millis(20).reply(2, applied(10));
    assert_snapshot!(h.trace(), @"
    0.000s < update 1 cart within 10s
    0.000s > #1 m1 range K
    0.000s < #1 range @9 K=66B:a4a1067f@3/5
    0.000s > update 1 propose on Data(5B:e3bd0998)
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.020s < #2 then put @10
    0.020s > update 1 done @10
    ");
}

#[test]
fn nothing_to_change() {
    let mut h = Harness::updating();
    h.reply(1, range(9, base())).command(Command::Proposed { id: OP, proposal: Proposal::Keep });
    assert_snapshot!(h.trace(), @"
    0.000s < update 1 cart within 10s
    0.000s > #1 m1 range K
    0.000s < #1 range @9 K=66B:a4a1067f@3/5
    0.000s > update 1 propose on Data(5B:e3bd0998)
    0.000s < proposed 1 nothing
    0.000s > update 1 unchanged @5
    ");
}

#[test]
fn lost_the_race_and_won_the_next() {
    let mut h = Harness::swapping(base(), 9);
    let winner = Some(record(theirs("\"theirs\""), 3, 10, 3));
    h.reply(2, lost(10, winner.clone())).millis(100);
    h.reply(3, range(10, winner)).write("\"both\"").reply(4, applied(11));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < #2 else K=69B:35fd8739@3/10 @10
    0.100s > #3 m1 range K
    0.100s < #3 range @10 K=69B:35fd8739@3/10
    0.100s > update 1 propose on Data(8B:5d1ad621)
    0.100s < proposed 1 Data(6B:ab21aa7c)
    0.100s > #4 m1 txn if mod(K)=10 then put K=67B:a7a19dfb else range K
    0.100s < #4 then put @11
    0.100s > update 1 done @11
    ");
}

#[test]
fn reply_lost_but_applied() {
    let mut h = Harness::swapping(base(), 9);
    let ours = Some(record(h.put.clone(), 3, 10, 3));
    h.fail(2, lost_connection()).millis(100).reply(3, range(12, ours));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: connection lost: reset
    0.000s > m1 redial
    0.100s > #3 m0 range K
    0.100s < #3 range @12 K=67B:0a942b0b@3/10
    0.100s > update 1 done @10
    ");
}

#[test]
fn reply_lost_and_not_applied() {
    let mut h = Harness::swapping(base(), 9);
    h.wait(WITHIN / 3).millis(100).reply(3, range(12, base()));
    let first = h.put.clone();
    h.reply(4, applied(13));
    assert_eq!(h.put, first, "the same attempt, to the byte");
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    3.000s > #2 cancel
    3.000s > m1 redial
    3.100s > #3 m0 range K
    3.433s < #3 range @12 K=66B:a4a1067f@3/5
    3.433s > #4 m0 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    3.433s < #4 then put @13
    3.433s > update 1 done @13
    ");
}

#[test]
fn reply_lost_and_overtaken() {
    let mut h = Harness::swapping(base(), 9);
    let winner = Some(record(theirs("\"theirs\""), 3, 11, 3));
    h.fail(2, lost_connection()).millis(100).reply(3, range(12, winner));
    h.write("\"both\"").reply(4, applied(13));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: connection lost: reset
    0.000s > m1 redial
    0.100s > #3 m0 range K
    0.100s < #3 range @12 K=69B:35fd8739@3/11
    0.100s > update 1 propose on Data(8B:5d1ad621)
    0.100s < proposed 1 Data(6B:ab21aa7c)
    0.100s > #4 m0 txn if mod(K)=11 then put K=67B:a7a19dfb else range K
    0.100s < #4 then put @13
    0.100s > update 1 done @13
    ");
}

#[test]
fn the_same_attempt_again_shows_that_the_first_was_applied() {
    let mut h = Harness::swapping(base(), 9);
    h.fail(2, lost_connection()).millis(100).reply(3, range(9, base()));
    let ours = Some(record(h.put.clone(), 3, 10, 3));
    h.reply(4, lost(10, ours));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: connection lost: reset
    0.000s > m1 redial
    0.100s > #3 m0 range K
    0.100s < #3 range @9 K=66B:a4a1067f@3/5
    0.100s > #4 m0 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.100s < #4 else K=67B:0a942b0b@3/10 @10
    0.100s > update 1 done @10
    ");
}

#[test]
fn a_sure_refusal_does_not_settle_the_attempt_before_it() {
    let mut h = Harness::swapping(base(), 9);
    h.fail(2, lost_connection()).millis(100).reply(3, range(9, base()));
    let ours = Some(record(h.put.clone(), 3, 10, 3));
    h.fail(4, refused()).millis(200).reply(5, range(10, ours));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: connection lost: reset
    0.000s > m1 redial
    0.100s > #3 m0 range K
    0.100s < #3 range @9 K=66B:a4a1067f@3/5
    0.100s > #4 m0 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.100s < #4 failed: connection refused: 127.0.0.1:2379
    0.100s > m0 redial
    0.300s > #5 m1 range K
    0.300s < #5 range @10 K=67B:0a942b0b@3/10
    0.300s > update 1 done @10
    ");
}

#[test]
fn applied_and_written_over() {
    let mut h = Harness::swapping(base(), 9);
    let newest = record(theirs("\"newer\""), 3, 12, 4);
    h.fail(2, lost_connection()).millis(100).reply(3, range(12, Some(newest.clone())));
    let ours = record(h.put.clone(), 3, 10, 3);
    h.reply(4, created(12)).reply(4, events(12, vec![put(ours), put(newest)]));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: connection lost: reset
    0.000s > m1 redial
    0.100s > #3 m0 range K
    0.100s < #3 range @12 K=68B:a83e5777@3/12
    0.100s > #4 m0 watch K from 5 fragment
    0.100s < #4 watch @12 created
    0.100s < #4 watch @12 K=67B:0a942b0b@3/10, K=68B:a83e5777@3/12
    0.100s > #4 cancel
    0.100s > update 1 done @10
    ");
}

#[test]
fn deleted_and_recreated() {
    let mut h = Harness::swapping(base(), 9);
    let newest = record(theirs("\"newer\""), 12, 13, 2);
    h.fail(2, lost_connection()).millis(100).reply(3, range(13, Some(newest.clone())));
    let again = record(theirs("1"), 12, 12, 1);
    h.reply(4, created(13)).reply(4, events(13, vec![delete(10), put(again), put(newest)]));
    h.write("\"both\"").reply(5, applied(14));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: connection lost: reset
    0.000s > m1 redial
    0.100s > #3 m0 range K
    0.100s < #3 range @13 K=68B:a83e5777@12/13
    0.100s > #4 m0 watch K from 5 fragment
    0.100s < #4 watch @13 created
    0.100s < #4 watch @13 -K@10, K=62B:46a831a0@12/12, K=68B:a83e5777@12/13
    0.100s > #4 cancel
    0.100s > update 1 propose on Data(7B:c172c66b)
    0.100s < proposed 1 Data(6B:ab21aa7c)
    0.100s > #5 m0 txn if mod(K)=13 then put K=67B:a7a19dfb else range K
    0.100s < #5 then put @14
    0.100s > update 1 done @14
    ");
}

#[test]
fn compacted_before_it_could_be_told() {
    let mut h = Harness::swapping(base(), 9);
    h.fail(2, lost_connection()).millis(100).reply(3, range(13, None));
    h.reply(4, created(13)).reply(4, compacted(12));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: connection lost: reset
    0.000s > m1 redial
    0.100s > #3 m0 range K
    0.100s < #3 range @13
    0.100s > #4 m0 watch K from 5 fragment
    0.100s < #4 watch @13 created
    0.100s < #4 watch @0 canceled compacted=12
    0.100s > #4 cancel
    0.100s > update 1 unknown: etcdserver: mvcc: required revision has been compacted
    ");
}

#[test]
fn a_silent_watch_is_opened_anew_on_another_member() {
    let mut h = Harness::swapping(base(), 9);
    h.fail(2, StoreError::LeaderChanged).millis(100).reply(3, range(13, None));
    h.reply(4, created(4)).millis(3_200).reply(5, range(13, None));
    h.reply(6, created(13)).reply(6, events(13, vec![delete(11)]));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: etcdserver: leader changed
    0.100s > #3 m1 range K
    0.100s < #3 range @13
    0.100s > #4 m1 watch K from 5 fragment
    0.100s < #4 watch @4 created
    3.100s > m1 redial
    3.100s > #4 cancel
    3.300s > #5 m0 range K
    3.300s < #5 range @13
    3.300s > #6 m0 watch K from 5 fragment
    3.300s < #6 watch @13 created
    3.300s < #6 watch @13 -K@11
    3.300s > #6 cancel
    3.300s > update 1 propose on nothing
    ");
}

#[test]
fn without_room_for_an_id_other_bytes_are_not_ours() {
    let mut h = Harness::swapping(base(), 9);
    let other = Some(record(theirs("\"theirs\""), 3, 10, 3));
    h.unmark().fail(2, lost_connection()).millis(100).reply(3, range(12, other));
    h.write("\"both\"");
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: connection lost: reset
    0.000s > m1 redial
    0.100s > #3 m0 range K
    0.100s < #3 range @12 K=69B:35fd8739@3/10
    0.100s > update 1 propose on Data(8B:5d1ad621)
    0.100s < proposed 1 Data(6B:ab21aa7c)
    0.100s > #4 m0 txn if mod(K)=10 then put K=67B:a7a19dfb else range K
    ");
}

#[test]
fn without_room_for_an_id_equal_bytes_may_be_anybodys() {
    let mut h = Harness::swapping(base(), 9);
    let equal = Some(record(h.put.clone(), 3, 10, 3));
    h.unmark().fail(2, lost_connection()).millis(100).reply(3, range(12, equal));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: connection lost: reset
    0.000s > m1 redial
    0.100s > #3 m0 range K
    0.100s < #3 range @12 K=67B:0a942b0b@3/10
    0.100s > update 1 unknown: connection lost: reset
    ");
}

#[test]
fn without_room_for_an_id_a_creation_cannot_be_found() {
    let mut h = Harness::swapping(None, 9);
    h.unmark().fail(2, lost_connection());
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=0 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: connection lost: reset
    0.000s > m1 redial
    0.000s > update 1 unknown: connection lost: reset
    ");
}
