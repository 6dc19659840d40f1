use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;

use super::*;
use crate::engine::harness::Harness;
use crate::engine::{Command, OpId, Setup};
use crate::layout::Layout;
use crate::tuning::Tuning;
use crate::waist::{
    Header, KeyRange, Range, RangeReply, Reply, Request, Revision, StoreError, TxnReply,
};

/// What a census finds where members answer in this order, and who the strangers are.
fn found(count: u16, words: &[(u16, Option<u64>)]) -> (bool, Option<u64>, Vec<u16>) {
    let mut census = Census::new(count, true);
    assert_eq!(census.begin().count(), usize::from(count));
    for &(member, word) in words {
        assert!(!census.is_over(), "what comes later is not needed");
        census.heard(MemberId(member), word);
    }
    let strangers = census.strangers().into_iter().map(|(member, _)| member.0).collect();
    (census.is_over(), census.home(), strangers)
}

#[test]
fn most_of_the_given_members_say_which_cluster_it_is() {
    let (ours, other) = (Some(7), Some(8));
    assert_eq!(found(3, &[(2, other), (0, ours), (1, ours)]), (true, ours, vec![2]));
    assert_eq!(
        found(3, &[(2, ours), (0, ours)]),
        (true, ours, vec![]),
        "one more says nothing new"
    );
    assert_eq!(found(3, &[(0, ours), (1, other)]), (false, None, vec![]), "the third decides");
    assert_eq!(found(2, &[(0, other)]), (false, None, vec![]), "one of two is not most");
    // The others are down.
    assert_eq!(found(3, &[(0, None), (1, None), (2, other)]), (true, other, vec![]));
    assert_eq!(
        found(5, &[(0, other), (1, None), (2, ours), (3, ours), (4, None)]),
        (true, ours, vec![0])
    );
    assert_eq!(found(2, &[(0, None), (1, None)]), (true, None, vec![]));
}

#[test]
fn of_as_many_the_first_in_the_given_order_counts() {
    let (ours, other) = (Some(7), Some(8));
    assert_eq!(found(2, &[(1, other), (0, ours)]), (true, ours, vec![1]));
    assert_eq!(found(2, &[(1, ours), (0, other)]), (true, other, vec![1]));
    assert_eq!(found(4, &[(0, None), (3, ours), (1, other), (2, None)]), (true, other, vec![3]));
}

proptest! {
    /// Whoever most of the given members belong to is the store, whatever comes first.
    #[test]
    fn the_order_of_answers_decides_nothing(
        words in vec(option::of(0_u64..3), 2..6),
        order in vec(any::<Index>(), 5),
    ) {
        let mut census = Census::new(u16::try_from(words.len()).expect("few"), true);
        let mut left: Vec<MemberId> = census.begin().collect();
        for next in order.iter().take(words.len()) {
            prop_assert!(!census.is_due());
            let member = left.swap_remove(next.index(left.len()));
            census.heard(member, words[usize::from(member.0)]);
        }
        prop_assert!(census.is_over());
        let votes = |cluster| words.iter().filter(|&&word| word == Some(cluster)).count();
        let home = census.home();
        prop_assert_eq!(home.is_none(), words.iter().all(Option::is_none));
        for cluster in words.iter().flatten().copied() {
            let ours = votes(home.expect("somebody answered"));
            prop_assert!(votes(cluster) <= ours);
            let place = |cluster| words.iter().position(|&word| word == Some(cluster));
            prop_assert!(votes(cluster) < ours || place(home.expect("some")) <= place(cluster));
        }
    }
}

fn from(cluster_id: u64, member_id: u64) -> Header {
    Header { cluster_id, member_id, revision: Revision(7), raft_term: 2 }
}

fn nothing_done(cluster_id: u64, member_id: u64) -> Reply {
    Reply::Txn(TxnReply { header: from(cluster_id, member_id), ..TxnReply::default() })
}

/// Three members, and one call.
fn calling(authenticates: bool) -> Harness {
    let tuning = Tuning { jitter_percent: 0, ..Tuning::default() };
    let setup = Setup { layout: Layout::default(), tuning, members: 3, authenticates, seed: 1 };
    let mut h = Harness::with(setup);
    let request = Request::Range(Range::of(KeyRange::one("k")));
    h.command(Command::Call { id: OpId(1), request, within: Duration::from_secs(10) });
    h
}

#[test]
fn nothing_else_is_sent_before_it_is_known_which_cluster_it_is() {
    let mut h = calling(true);
    h.wait(Duration::from_millis(10)).reply(4, nothing_done(9, 1));
    h.wait(Duration::from_millis(10)).reply(2, nothing_done(7, 1));
    h.wait(Duration::from_millis(10)).reply(3, nothing_done(7, 2));
    let named = StoreError::OtherCluster { expected: 7, found: 9 };
    assert_eq!(h.engine.take_disbelieved(), Some(named), "an operator must learn of it");
    h.reply(5, Reply::Authenticated);
    h.reply(1, Reply::Range(RangeReply { header: from(7, 1), ..RangeReply::default() }));
    insta::assert_snapshot!(h.trace(), @"
    0.000s < call 1 range k within 10s
    0.000s > #2 m0 txn
    0.000s > #3 m1 txn
    0.000s > #4 m2 txn
    0.010s < #4 else @7
    0.020s < #2 else @7
    0.030s < #3 else @7
    0.030s > m2 redial
    0.030s > #5 m1 authenticate
    0.030s < #5 authenticated
    0.030s > #1 m1 range k
    0.030s < #1 range @7
    0.030s > call 1 range @7
    ");
}

#[test]
fn a_member_that_says_nothing_is_not_waited_for_long_and_not_asked_first() {
    let mut h = calling(false);
    h.reply(2, nothing_done(7, 1));
    h.reply(3, Reply::Failed(StoreError::CannotConnect { detail: "refused".to_owned() }));
    h.wait(Duration::from_millis(999));
    assert!(!h.trace().contains("> #1 "), "{}", h.trace());
    h.wait(Duration::from_millis(1));
    insta::assert_snapshot!(h.trace(), @"
    0.000s < call 1 range k within 10s
    0.000s > #2 m0 txn
    0.000s > #3 m1 txn
    0.000s > #4 m2 txn
    0.000s < #2 else @7
    0.000s < #3 failed: cannot connect: refused
    0.000s > m1 redial
    1.000s > #4 cancel
    1.000s > m2 redial
    1.000s > #1 m0 range k
    ");
}

#[test]
fn a_stranger_that_answers_late_is_told_from_the_store() {
    let mut h = calling(false);
    h.reply(2, nothing_done(7, 1)).reply(3, nothing_done(7, 2)).reply(4, nothing_done(9, 1));
    let named = StoreError::OtherCluster { expected: 7, found: 9 };
    assert_eq!(h.engine.take_disbelieved(), Some(named), "{}", h.trace());
    assert!(h.end().contains("m2 redial"), "{}", h.trace());
}

#[test]
fn where_nobody_answers_the_wait_ends_and_attempts_go_on() {
    let mut h = calling(false);
    h.wait(Duration::from_secs(1));
    assert!(h.trace().contains("> #1 "), "{}", h.trace());
    // The first answer says then which cluster it is.
    h.reply(1, Reply::Range(RangeReply { header: from(9, 1), ..RangeReply::default() }));
    assert_eq!(h.engine.take_disbelieved(), None);
    assert!(h.end().contains("> call 1 range"), "{}", h.trace());
}

/// etcd asks nobody for a token there; whoever does all the same has not said where it belongs.
#[test]
fn a_member_that_wants_a_token_first_says_nothing() {
    let mut h = calling(true);
    for attempt in [2, 3, 4] {
        h.reply(attempt, Reply::Failed(StoreError::NoToken));
    }
    assert!(h.end().contains("authenticate"), "{}", h.trace());
}
