//! The main paths, each as a story.

use insta::assert_snapshot;

use super::harness::*;
use crate::engine::{Command, Proposal};
use crate::instance::DATA_LIMIT;
use crate::layout::Layout;
use crate::waist::{StoreError, Value};

fn lost_connection() -> StoreError {
    StoreError::ConnectionLost { detail: "reset".to_owned() }
}

fn refused() -> StoreError {
    StoreError::Refused { detail: "127.0.0.1:2379".to_owned() }
}

#[test]
fn swap() {
    let mut h = Harness::swapping(base(), 9);
    h.millis(20).reply(2, applied(10));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn nothing_to_change() {
    let mut h = Harness::updating();
    h.reply(1, range(9, base())).command(Command::Proposed { id: OP, proposal: Proposal::Keep });
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn lost_the_race_and_won_the_next() {
    let mut h = Harness::swapping(base(), 9);
    let winner = Some(record(theirs("\"theirs\""), 3, 10, 3));
    h.reply(2, lost(10, winner.clone())).millis(100);
    h.reply(3, range(10, winner)).write("\"both\"").reply(4, applied(11));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn others_keep_winning_until_the_deadline() {
    let mut h = Harness::swapping(base(), 9);
    let mut attempt = 2;
    for revision in 10..100 {
        let winner = || Some(record(theirs("1"), 3, revision, revision - 7));
        h.reply(attempt, lost(revision, winner())).wait(WITHIN / 8);
        h.reply(attempt + 1, range(revision, winner())).write("2");
        attempt += 2;
    }
    assert_snapshot!(h.trace().lines().filter(|line| line.contains("> update")).last().expect("ends"), @"");
}

#[test]
fn reply_lost_but_applied() {
    let mut h = Harness::swapping(base(), 9);
    let ours = Some(record(h.put.clone(), 3, 10, 3));
    h.fail(2, lost_connection()).millis(100).reply(3, range(12, ours));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn reply_lost_and_not_applied() {
    let mut h = Harness::swapping(base(), 9);
    h.wait(WITHIN / 3).millis(100).reply(3, range(12, base()));
    let first = h.put.clone();
    h.reply(4, applied(13));
    assert_eq!(h.put, first, "the same attempt, to the byte");
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn reply_lost_and_overtaken() {
    let mut h = Harness::swapping(base(), 9);
    let winner = Some(record(theirs("\"theirs\""), 3, 11, 3));
    h.fail(2, lost_connection()).millis(100).reply(3, range(12, winner));
    h.write("\"both\"").reply(4, applied(13));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn the_same_attempt_again_shows_that_the_first_was_applied() {
    let mut h = Harness::swapping(base(), 9);
    h.fail(2, lost_connection()).millis(100).reply(3, range(9, base()));
    let ours = Some(record(h.put.clone(), 3, 10, 3));
    h.reply(4, lost(10, ours));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn applied_and_written_over() {
    let mut h = Harness::swapping(base(), 9);
    let newest = Some(record(theirs("\"newer\""), 3, 12, 4));
    h.fail(2, lost_connection()).millis(100).reply(3, range(12, newest.clone()));
    let ours = record(h.put.clone(), 3, 10, 3);
    h.reply(4, created(12));
    h.reply(4, events(12, vec![put(ours), put(newest.expect("above"))]));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn deleted_and_recreated() {
    let mut h = Harness::swapping(base(), 9);
    let newest = record(theirs("\"newer\""), 12, 13, 2);
    h.fail(2, lost_connection()).millis(100).reply(3, range(13, Some(newest.clone())));
    let again = record(theirs("1"), 12, 12, 1);
    h.reply(4, created(13)).reply(4, events(13, vec![delete(10), put(again), put(newest)]));
    h.write("\"both\"").reply(5, applied(14));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn compacted_before_it_could_be_told() {
    let mut h = Harness::swapping(base(), 9);
    h.fail(2, lost_connection()).millis(100).reply(3, range(13, None));
    h.reply(4, created(13)).reply(4, compacted(12));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn a_silent_watch_is_opened_anew_on_another_member() {
    let mut h = Harness::swapping(base(), 9);
    h.fail(2, StoreError::LeaderChanged).millis(100).reply(3, range(13, None));
    h.reply(4, created(4)).millis(3_200).reply(5, range(13, None));
    h.reply(6, created(13)).reply(6, events(13, vec![delete(11)]));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn creation_answered() {
    let mut h = Harness::swapping(None, 9);
    h.reply(2, applied(10));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn creation_lost() {
    let mut h = Harness::swapping(None, 9);
    let winner = Some(record(theirs("\"theirs\""), 10, 10, 1));
    h.reply(2, lost(10, winner.clone())).millis(100);
    h.reply(3, range(10, winner)).write("\"both\"").reply(4, applied(11));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn creation_refused_is_another_operation_the_next_time() {
    let mut h = Harness::swapping(None, 9);
    let first = h.put.clone();
    h.fail(2, refused()).millis(100).reply(3, range(9, None)).write("\"mine\"");
    assert_ne!(h.put, first, "an id of its own");
    h.reply(4, applied(10));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn creation_unanswered_and_there() {
    let mut h = Harness::swapping(None, 9);
    let ours = Some(record(h.put.clone(), 10, 10, 1));
    h.fail(2, lost_connection()).millis(100).reply(3, range(12, ours));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn creation_unanswered_and_in_the_history() {
    let mut h = Harness::swapping(None, 9);
    let ours = record(h.put.clone(), 11, 11, 1);
    let newest = record(theirs("1"), 11, 13, 2);
    h.fail(2, lost_connection()).millis(100).reply(3, range(13, Some(newest.clone())));
    h.reply(4, created(13)).reply(4, events(13, vec![put(ours), put(newest)]));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn creation_unanswered_and_not_in_the_history() {
    let mut h = Harness::swapping(None, 9);
    h.fail(2, lost_connection()).millis(100).reply(3, range(13, None));
    h.reply(4, created(13)).millis(200).reply(4, progress(12)).reply(4, progress(13));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn creation_unanswered_and_another_there() {
    let mut h = Harness::swapping(None, 9);
    let theirs = record(theirs("1"), 11, 11, 1);
    h.fail(2, lost_connection()).millis(100).reply(3, range(13, Some(theirs.clone())));
    h.reply(4, created(13)).reply(4, events(13, vec![put(theirs)]));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn creation_unanswered_and_compacted() {
    let mut h = Harness::swapping(None, 9);
    h.fail(2, lost_connection()).millis(100).reply(3, range(13, None));
    h.reply(4, created(13)).reply(4, compacted(13));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn deadline_while_unanswered() {
    let mut h = Harness::swapping(base(), 9);
    h.wait(WITHIN).wait(WITHIN);
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn deadline_while_the_application_thinks() {
    let mut h = Harness::updating();
    h.reply(1, range(9, None)).wait(WITHIN).write("\"late\"");
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn nobody_listens() {
    let mut h = Harness::updating();
    for attempt in 1..20 {
        h.fail(attempt, refused()).millis(800);
    }
    let trace = h.trace();
    let shown = trace.lines().filter(|line| line.contains("> #") || line.contains("> update"));
    assert_snapshot!(shown.collect::<Vec<_>>().join("\n"), @"");
}

#[test]
fn a_permanent_refusal_ends_it() {
    let mut h = Harness::swapping(base(), 9);
    h.fail(2, StoreError::PermissionDenied);
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn a_permanent_refusal_after_a_doubt() {
    let mut h = Harness::swapping(base(), 9);
    h.fail(2, StoreError::TimedOut).millis(100).fail(3, StoreError::PermissionDenied);
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn a_full_store() {
    let mut h = Harness::swapping(base(), 9);
    h.fail(2, StoreError::NoSpace).millis(100).reply(3, range(9, base()));
    h.fail(4, StoreError::NoSpace).millis(200).reply(5, range(9, base()));
    h.reply(6, applied(10));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn an_unreadable_record_is_left_alone() {
    let mut h = Harness::updating();
    h.reply(1, range(9, Some(record(Value::from("{\"v\":1"), 3, 5, 2))));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn too_much_is_refused_before_it_is_sent() {
    let mut h = Harness::updating();
    let unknown = format!(r#"{{"v":1,"group":"cart","data":1,"more":"{}"}}"#, "x".repeat(120 << 10));
    h.reply(1, range(9, Some(record(Value::from(unknown), 3, 5, 2))));
    h.write(&format!("\"{}\"", "x".repeat(DATA_LIMIT - 2)));
    assert_snapshot!(h.trace().lines().last().expect("ends"), @"");
}

#[test]
fn a_layout_without_configurations() {
    let mut h = Harness::idle(Layout::etcd_naming("shop").expect("a root"));
    h.command(Command::Update { id: OP, group: group(), within: WITHIN });
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn without_room_for_an_id_other_bytes_are_not_ours() {
    let mut h = Harness::swapping(base(), 9);
    let other = Some(record(theirs("\"theirs\""), 3, 10, 3));
    h.unmark().fail(2, lost_connection()).millis(100).reply(3, range(12, other));
    h.write("\"both\"");
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn without_room_for_an_id_equal_bytes_may_be_anybodys() {
    let mut h = Harness::swapping(base(), 9);
    let equal = Some(record(h.put.clone(), 3, 10, 3));
    h.unmark().fail(2, lost_connection()).millis(100).reply(3, range(12, equal));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn without_room_for_an_id_a_creation_cannot_be_found() {
    let mut h = Harness::swapping(None, 9);
    h.unmark().fail(2, lost_connection());
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn shut_down_while_nothing_was_sent() {
    let mut h = Harness::updating();
    h.reply(1, range(9, base())).command(Command::Shutdown { within: WITHIN });
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn shut_down_while_unanswered() {
    let mut h = Harness::swapping(base(), 9);
    h.command(Command::Shutdown { within: WITHIN }).reply(2, applied(10));
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn abandoned() {
    let mut h = Harness::swapping(base(), 9);
    h.command(Command::Abandon { id: OP }).reply(2, applied(10)).wait(WITHIN);
    assert_snapshot!(h.trace(), @"");
}

#[test]
fn busy() {
    let mut h = Harness::idle(Layout::default());
    h.engine.tuning.max_in_flight = 1;
    for id in [1, 2] {
        let id = crate::engine::OpId(id);
        h.command(Command::Update { id, group: group(), within: WITHIN });
    }
    assert_snapshot!(h.trace(), @"");
}
