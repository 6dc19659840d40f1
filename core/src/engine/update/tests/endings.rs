//! What ends an update early, or for want of time.

use insta::assert_snapshot;

use super::harness::*;
use crate::engine::{Command, OpId};
use crate::instance::DATA_LIMIT;
use crate::layout::Layout;
use crate::waist::{Reply, Request, StoreError, Value};

#[test]
fn others_keep_winning_until_the_deadline() {
    let mut h = Harness::swapping(base(), 9);
    for (round, revision) in (0..7).zip(10..) {
        let winner = || Some(record(theirs("1"), 3, revision, revision - 7));
        h.reply(2 + 2 * round, lost(revision, winner())).millis(100 << round);
        h.reply(3 + 2 * round, range(revision, winner())).write("2");
    }
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < #2 else K=62B:46a831a0@3/10 @10
    0.100s > #3 m1 range K
    0.100s < #3 range @10 K=62B:46a831a0@3/10
    0.100s > update 1 propose on Data(1B:41ea7199)
    0.100s < proposed 1 Data(1B:92953a0b)
    0.100s > #4 m1 txn if mod(K)=10 then put K=62B:cb90c3fb else range K
    0.100s < #4 else K=62B:46a831a0@3/11 @11
    0.300s > #5 m1 range K
    0.300s < #5 range @11 K=62B:46a831a0@3/11
    0.300s > update 1 propose on Data(1B:41ea7199)
    0.300s < proposed 1 Data(1B:92953a0b)
    0.300s > #6 m1 txn if mod(K)=11 then put K=62B:f0ff2797 else range K
    0.300s < #6 else K=62B:46a831a0@3/12 @12
    0.700s > #7 m1 range K
    0.700s < #7 range @12 K=62B:46a831a0@3/12
    0.700s > update 1 propose on Data(1B:41ea7199)
    0.700s < proposed 1 Data(1B:92953a0b)
    0.700s > #8 m1 txn if mod(K)=12 then put K=62B:5c71ae9b else range K
    0.700s < #8 else K=62B:46a831a0@3/13 @13
    1.500s > #9 m1 range K
    1.500s < #9 range @13 K=62B:46a831a0@3/13
    1.500s > update 1 propose on Data(1B:41ea7199)
    1.500s < proposed 1 Data(1B:92953a0b)
    1.500s > #10 m1 txn if mod(K)=13 then put K=62B:6f6cae8f else range K
    1.500s < #10 else K=62B:46a831a0@3/14 @14
    3.100s > #11 m1 range K
    3.100s < #11 range @14 K=62B:46a831a0@3/14
    3.100s > update 1 propose on Data(1B:41ea7199)
    3.100s < proposed 1 Data(1B:92953a0b)
    3.100s > #12 m1 txn if mod(K)=14 then put K=62B:7cb097fb else range K
    3.100s < #12 else K=62B:46a831a0@3/15 @15
    6.300s > #13 m1 range K
    6.300s < #13 range @15 K=62B:46a831a0@3/15
    6.300s > update 1 propose on Data(1B:41ea7199)
    6.300s < proposed 1 Data(1B:92953a0b)
    6.300s > #14 m1 txn if mod(K)=15 then put K=62B:b0aadd71 else range K
    6.300s < #14 else K=62B:46a831a0@3/16 @16
    6.300s > update 1 conflict
    12.700s < #15 range @16 K=62B:46a831a0@3/16
    12.700s < proposed 1 Data(1B:92953a0b)
    ");
}

#[test]
fn deadline_while_unanswered() {
    let mut h = Harness::swapping(base(), 9);
    h.wait(WITHIN).wait(WITHIN);
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    3.000s > #2 cancel
    3.000s > m1 redial
    3.100s > #3 m0 range K
    6.100s > #3 cancel
    6.100s > m0 redial
    6.300s > #4 m1 range K
    9.300s > #4 cancel
    9.300s > m1 redial
    9.700s > #5 m0 range K
    10.000s > #5 cancel
    10.000s > update 1 unknown: no answer in time
    ");
}

#[test]
fn deadline_while_the_application_thinks() {
    let mut h = Harness::updating();
    h.reply(1, range(9, None)).wait(WITHIN).write("\"late\"");
    assert_snapshot!(h.trace(), @"
    0.000s < update 1 cart within 10s
    0.000s > #1 m1 range K
    0.000s < #1 range @9
    0.000s > update 1 propose on nothing
    10.000s > update 1 failed: not done: no answer in time
    10.000s < proposed 1 Data(6B:16ed21cf)
    ");
}

#[test]
fn nobody_listens() {
    let mut h = Harness::updating();
    for attempt in 1..20 {
        h.fail(attempt, refused()).millis(800);
    }
    let trace = h.trace();
    let shown = trace.lines().filter(|line| line.contains("> #") || line.contains("> update"));
    assert_snapshot!(shown.collect::<Vec<_>>().join("\n"), @"
    0.000s > #1 m1 range K
    0.100s > #2 m0 range K
    1.000s > #3 m1 range K
    2.000s > #4 m0 range K
    3.200s > #5 m1 range K
    4.800s > #6 m0 range K
    7.800s > #6 cancel
    7.800s > update 1 failed: not done: no answer in time
    ");
}

#[test]
fn a_permanent_refusal_ends_it() {
    let mut h = Harness::swapping(base(), 9);
    h.fail(2, StoreError::PermissionDenied);
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: etcdserver: permission denied
    0.000s > update 1 failed: not done: etcdserver: permission denied
    ");
}

#[test]
fn a_permanent_refusal_after_a_doubt() {
    let mut h = Harness::swapping(base(), 9);
    h.fail(2, StoreError::TimedOut).millis(100).fail(3, StoreError::PermissionDenied);
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: etcdserver: request timed out
    0.000s > m1 redial
    0.100s > #3 m0 range K
    0.100s < #3 failed: etcdserver: permission denied
    0.100s > update 1 unknown: etcdserver: permission denied
    ");
}

#[test]
fn a_full_store() {
    let mut h = Harness::swapping(base(), 9);
    h.fail(2, StoreError::NoSpace).millis(100).reply(3, range(9, base()));
    h.fail(4, StoreError::NoSpace).millis(200).reply(5, range(9, base()));
    h.reply(6, applied(10));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < #2 failed: etcdserver: mvcc: database space exceeded
    0.100s > #3 m1 range K
    0.100s < #3 range @9 K=66B:a4a1067f@3/5
    0.100s > #4 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.100s < #4 failed: etcdserver: mvcc: database space exceeded
    0.300s > #5 m1 range K
    0.300s < #5 range @9 K=66B:a4a1067f@3/5
    0.300s > #6 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.300s < #6 then put @10
    0.300s > update 1 done @10
    ");
}

#[test]
fn an_unreadable_record_is_left_alone() {
    let mut h = Harness::updating();
    h.reply(1, range(9, Some(record(Value::from("{\"v\":1"), 3, 5, 2))));
    assert_snapshot!(h.trace(), @"
    0.000s < update 1 cart within 10s
    0.000s > #1 m1 range K
    0.000s < #1 range @9 K=6B:7f90f689@3/5
    0.000s > update 1 failed: the record at K cannot be read: record is not JSON: byte 6: expected ',' or the end of the object or array
    ");
}

#[test]
fn too_much_is_refused_before_it_is_sent() {
    let mut h = Harness::updating();
    let unknown =
        format!(r#"{{"v":1,"group":"cart","data":1,"more":"{}"}}"#, "x".repeat(200 << 10));
    h.reply(1, range(9, Some(record(Value::from(unknown), 3, 5, 2))));
    h.write(&format!("\"{}\"", "x".repeat(DATA_LIMIT - 2)));
    assert_snapshot!(h.end(), @"0.000s > update 1 failed: configuration of group cart: record has 1253447 bytes; the limit is 1179648");
}

#[test]
fn a_layout_without_configurations() {
    let mut h = Harness::idle(Layout::etcd_naming("shop").expect("a root"));
    h.command(Command::Update { id: OP, group: group(), within: WITHIN });
    assert_snapshot!(h.trace(), @"
    0.000s < update 1 cart within 10s
    0.000s > update 1 failed: the etcd-naming layout has no group configuration
    ");
}

#[test]
fn shut_down_while_nothing_was_sent() {
    let mut h = Harness::updating();
    h.reply(1, range(9, base())).command(Command::Shutdown { within: WITHIN });
    assert_snapshot!(h.trace(), @"
    0.000s < update 1 cart within 10s
    0.000s > #1 m1 range K
    0.000s < #1 range @9 K=66B:a4a1067f@3/5
    0.000s > update 1 propose on Data(5B:e3bd0998)
    0.000s < shutdown within 10s
    0.000s > update 1 failed: shut down
    0.000s > closed confirmed=true
    ");
}

#[test]
fn shut_down_while_unanswered() {
    let mut h = Harness::swapping(base(), 9);
    h.command(Command::Shutdown { within: WITHIN }).reply(2, applied(10));
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < shutdown within 10s
    0.000s > #2 cancel
    0.000s > update 1 unknown: no answer in time
    0.000s > closed confirmed=true
    0.000s < #2 then put @10
    ");
}

#[test]
fn abandoned() {
    let mut h = Harness::swapping(base(), 9);
    h.command(Command::Abandon { id: OP }).reply(2, applied(10)).wait(WITHIN);
    assert_snapshot!(h.trace(), @"
    0.000s < proposed 1 Data(6B:25647cc0)
    0.000s > #2 m1 txn if mod(K)=5 then put K=67B:0a942b0b else range K
    0.000s < abandon 1
    0.000s > #2 cancel
    0.000s < #2 then put @10
    ");
}

#[test]
fn busy() {
    let mut h = Harness::idle(Layout::default());
    h.engine.tuning.max_in_flight = 1;
    for id in [1, 2] {
        let id = OpId(id);
        h.command(Command::Update { id, group: group(), within: WITHIN });
    }
    // One that asks nothing of the store counts too: the application holds it up.
    h.reply(1, range(9, None));
    h.command(Command::Update { id: OpId(3), group: group(), within: WITHIN });
    assert_snapshot!(h.trace(), @"
    0.000s < update 1 cart within 10s
    0.000s > #1 m1 range K
    0.000s < update 2 cart within 10s
    0.000s > update 2 failed: busy: 1 requests in flight, the limit is 1
    0.000s < #1 range @9
    0.000s > update 1 propose on nothing
    0.000s < update 3 cart within 10s
    0.000s > update 3 failed: busy: 1 requests in flight, the limit is 1
    ");
}

/// Calls that have nothing in flight count for updates, and updates for calls.
#[test]
fn busy_with_the_other_kind() {
    let mut h = Harness::idle(Layout::default());
    h.engine.tuning.max_in_flight = 1;
    let update = |id| Command::Update { id: OpId(id), group: group(), within: WITHIN };
    let call = |id| Command::Call { id: OpId(id), request: Request::Leases, within: WITHIN };
    h.command(update(1)).reply(1, range(9, None));
    h.command(call(2)).command(Command::Abandon { id: OP }).command(call(3));
    h.reply(2, Reply::Failed(StoreError::NoLeader)).command(update(4));
    assert_snapshot!(h.trace(), @"
    0.000s < update 1 cart within 10s
    0.000s > #1 m1 range K
    0.000s < #1 range @9
    0.000s > update 1 propose on nothing
    0.000s < call 2 leases within 10s
    0.000s > call 2 busy: 1 requests in flight, the limit is 1
    0.000s < abandon 1
    0.000s < call 3 leases within 10s
    0.000s > #2 m1 leases
    0.000s < #2 failed: etcdserver: no leader
    0.000s > m1 redial
    0.000s < update 4 cart within 10s
    0.000s > update 4 failed: busy: 1 requests in flight, the limit is 1
    ");
}
