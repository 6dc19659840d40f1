//! Swaps where nothing stood, each as a story.

use insta::assert_snapshot;

use super::harness::*;

#[test]
fn creation_answered() {
    let mut h = Harness::swapping(None, 9);
    h.reply(2, applied(10));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=0 then put K=67B:0a942b0b else range K
    0.000s < #2 then put @10
    0.000s > update 1 done @10
    ");
}

#[test]
fn creation_lost() {
    let mut h = Harness::swapping(None, 9);
    let winner = Some(record(theirs("\"theirs\""), 10, 10, 1));
    h.reply(2, lost(10, winner.clone())).millis(100);
    h.reply(3, range(10, winner)).write("\"both\"").reply(4, applied(11));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=0 then put K=67B:0a942b0b else range K
    0.000s < #2 else K=69B:35fd8739@10/10 @10
    0.100s > #3 m1 range K
    0.100s < #3 range @10 K=69B:35fd8739@10/10
    0.100s > update 1 propose on Data(8B:5d1ad621)
    0.100s < proposed 1 Data(6B:ab21aa7c)
    0.100s > #4 m1 txn if mod(K)=10 then put K=67B:a7a19dfb else range K
    0.100s < #4 then put @11
    0.100s > update 1 done @11
    ");
}

#[test]
fn creation_refused_is_another_operation_the_next_time() {
    let mut h = Harness::swapping(None, 9);
    let first = h.put.clone();
    h.fail(2, refused()).millis(100).reply(3, range(9, None)).write("\"mine\"");
    assert_ne!(h.put, first, "an id of its own");
    h.reply(4, applied(10));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=0 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: connection refused: 127.0.0.1:2379
    0.000s > m1 redial
    0.100s > #3 m0 range K
    0.100s < #3 range @9
    0.100s > update 1 propose on nothing
    0.100s < proposed 1 Data(6B:25647cc0)
    0.100s > #4 m0 txn if mod(K)=0 then put K=67B:60e9a1c3 else range K
    0.100s < #4 then put @10
    0.100s > update 1 done @10
    ");
}

#[test]
fn creation_unanswered_and_there() {
    let mut h = Harness::swapping(None, 9);
    let ours = Some(record(h.put.clone(), 10, 10, 1));
    h.fail(2, lost_connection()).millis(100).reply(3, range(12, ours));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=0 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: connection lost: reset
    0.000s > m1 redial
    0.100s > #3 m0 range K
    0.100s < #3 range @12 K=67B:0a942b0b@10/10
    0.100s > update 1 done @10
    ");
}

#[test]
fn creation_unanswered_and_in_the_history() {
    let mut h = Harness::swapping(None, 9);
    let ours = record(h.put.clone(), 11, 11, 1);
    let newest = record(theirs("1"), 11, 13, 2);
    h.fail(2, lost_connection()).millis(100).reply(3, range(13, Some(newest.clone())));
    h.reply(4, created(13)).reply(4, events(13, vec![put(ours), put(newest)]));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=0 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: connection lost: reset
    0.000s > m1 redial
    0.100s > #3 m0 range K
    0.100s < #3 range @13 K=62B:46a831a0@11/13
    0.100s > #4 m0 watch K from 9 fragment
    0.100s < #4 watch @13 created
    0.100s < #4 watch @13 K=67B:0a942b0b@11/11, K=62B:46a831a0@11/13
    0.100s > #4 cancel
    0.100s > update 1 done @11
    ");
}

#[test]
fn creation_unanswered_and_not_in_the_history() {
    let mut h = Harness::swapping(None, 9);
    h.fail(2, lost_connection()).millis(100).reply(3, range(13, None));
    h.reply(4, created(13)).millis(200).reply(4, progress(12)).reply(4, progress(13));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=0 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: connection lost: reset
    0.000s > m1 redial
    0.100s > #3 m0 range K
    0.100s < #3 range @13
    0.100s > #4 m0 watch K from 9 fragment
    0.100s < #4 watch @13 created
    0.100s > #5 m0 on #4 progress
    0.300s > #6 m0 on #4 progress
    0.300s < #4 watch @12 id=-1
    0.300s < #4 watch @13 id=-1
    0.300s > #4 cancel
    0.300s > update 1 unknown: connection lost: reset
    ");
}

#[test]
fn creation_unanswered_and_another_there() {
    let mut h = Harness::swapping(None, 9);
    let theirs = record(theirs("1"), 11, 11, 1);
    h.fail(2, lost_connection()).millis(100).reply(3, range(13, Some(theirs.clone())));
    h.reply(4, created(13)).reply(4, events(13, vec![put(theirs)]));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=0 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: connection lost: reset
    0.000s > m1 redial
    0.100s > #3 m0 range K
    0.100s < #3 range @13 K=62B:46a831a0@11/11
    0.100s > #4 m0 watch K from 9 fragment
    0.100s < #4 watch @13 created
    0.100s < #4 watch @13 K=62B:46a831a0@11/11
    0.100s > #4 cancel
    0.100s > update 1 unknown: connection lost: reset
    ");
}

#[test]
fn creation_unanswered_and_compacted() {
    let mut h = Harness::swapping(None, 9);
    h.fail(2, lost_connection()).millis(100).reply(3, range(13, None));
    h.reply(4, created(13)).reply(4, compacted(13));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=0 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: connection lost: reset
    0.000s > m1 redial
    0.100s > #3 m0 range K
    0.100s < #3 range @13
    0.100s > #4 m0 watch K from 9 fragment
    0.100s < #4 watch @13 created
    0.100s > #5 m0 on #4 progress
    0.100s < #4 watch @0 canceled compacted=13
    0.100s > #4 cancel
    0.100s > update 1 unknown: etcdserver: mvcc: required revision has been compacted
    ");
}

/// A watch that is cancelled for another reason than a compaction says so.
#[test]
fn creation_unanswered_and_the_search_refused() {
    let mut h = Harness::swapping(None, 9);
    h.fail(2, lost_connection()).millis(100).reply(3, range(13, None));
    let status = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    h.reply(4, created(13)).reply(4, cancelled(status));
    assert_snapshot!(h.end(), @"0.100s > update 1 unknown: etcdserver: permission denied");
}
