//! Who leads, and what becomes of what is sent to a leader that does not answer.

use std::collections::BTreeSet;
use std::time::Duration;

use portolan_core::waist::{
    AttemptId, Compact, DeleteRange, Grant, KeyRange, MemberId, Reply, Request, Revision, Revoke,
    StoreError, Txn,
};
use portolan_memory::{ClientId, Config, Fault, Input, MemberFault, Operation, Pass};

use crate::kit::{Bench, ME, lease, put, put_op, renewal};

/// Chance belongs to the term, whatever the seed: who leads and how long that takes changes.
#[test]
fn who_is_elected_is_drawn_anew_in_each_term() {
    for seed in [0, 1, u64::MAX] {
        let mut bench = Bench::with(Config { seed, ..Config::default().members(5) });
        let (mut leaders, mut times) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..12 {
            bench.fault(Fault::LeaderLost);
            bench.fault(Fault::LeaderBack);
            let old = bench.leader().expect("one is elected");
            leaders.insert(old);
            bench.member_fault(old, MemberFault::Pause);
            let since = bench.now;
            while bench.leader().is_none_or(|leader| leader == old) {
                bench.wait(bench.model.poll_timeout().expect("an election").since(bench.now));
            }
            times.insert(bench.now.since(since));
            bench.member_fault(old, MemberFault::Resume);
        }
        assert!(leaders.len() > 2, "{leaders:?} with seed {seed}");
        assert!(times.len() > 10, "{times:?} with seed {seed}");
    }
}

/// Whatever else happens meanwhile.
#[test]
fn while_there_is_to_be_no_leader_none_is_elected() {
    let mut bench = Bench::patient(3);
    bench.fault(Fault::LeaderLost);
    bench.member_fault(2, MemberFault::Pause);
    bench.member_fault(2, MemberFault::Resume);
    bench.wait_ms(10_000);
    assert_eq!(bench.leader(), None);
    bench.fault(Fault::LeaderBack);
    assert!(bench.leader().is_some());
}

/// What is said where a proposal found no way to the leader, and nobody else was elected meanwhile.
#[test]
fn what_a_proposal_without_an_answer_is_told() {
    let told = |faults: &[(u16, MemberFault)]| {
        // So long that nobody is elected before it is given up: five seconds and two of these.
        let election_timeout = Duration::from_secs(60);
        let config = Config { election_timeout, require_leader: false, ..Config::default() };
        let mut bench = Bench::with(config.members(3));
        let writing = bench.send_to(1, Request::Put(put("k", "")));
        assert!(bench.answer(writing).is_some());
        bench.member_fault(2, MemberFault::Lag);
        bench.member_fault(1, MemberFault::Lag);
        let writing = bench.send_to(1, Request::Put(put("k", "")));
        bench.wait_ms(100_000);
        for (member, fault) in faults {
            bench.member_fault(*member, *fault);
        }
        bench.wait_ms(25_000);
        bench.failed(writing)
    };
    let lost = Some(StoreError::TimedOutConnectionLost);
    assert_eq!(told(&[]), Some(StoreError::TimedOut));
    assert_eq!(told(&[(1, MemberFault::CutOff)]), lost);
    assert_eq!(told(&[(0, MemberFault::CutOff)]), lost);
    assert_eq!(told(&[(0, MemberFault::Stop)]), lost);
}

/// What is sent to a leader that nobody reaches is lost, though it may come back.
#[test]
fn a_proposal_to_a_leader_that_is_cut_off_is_lost() {
    let mut bench = Bench::three();
    bench.member_fault(0, MemberFault::CutOff);
    let writing = bench.send_to(1, Request::Put(put("lost", "")));
    bench.wait_ms(500);
    bench.member_fault(0, MemberFault::Heal);
    assert_eq!((bench.model.term(), bench.revision()), (2, 1));
    bench.wait_ms(7_000);
    assert_eq!(bench.failed(writing), Some(StoreError::TimedOut));
}

/// Nobody waits for the first any more; it is agreed on all the same, and so is the second.
#[test]
fn a_call_that_was_given_up_takes_no_answer_of_another() {
    let mut bench = Bench::three();
    bench.member_fault(0, MemberFault::Pause);
    let [given_up, waits] = ["a", "b"].map(|key| bench.send_to(1, Request::Put(put(key, ""))));
    let cancel = Input::Cancel { from: ME, attempt: given_up };
    bench.input(cancel);
    bench.member_fault(0, MemberFault::Resume);
    assert_eq!(bench.revision(), 3);
    let told = bench.answer(waits).and_then(|reply| reply.header().map(|header| header.revision));
    assert_eq!((told, bench.answer(given_up)), (Some(Revision(3)), None));
}

#[test]
fn a_client_that_is_gone_takes_nobody_with_it() {
    let mut bench = Bench::three();
    bench.member_fault(0, MemberFault::Pause);
    let other = ClientId(2);
    let attempt = AttemptId(1_000);
    let request = || Request::Put(put("theirs", ""));
    bench.input(Input::Request {
        from: other,
        attempt,
        member: MemberId(1),
        request: request(),
        pass: Pass::Nobody,
    });
    let mine = bench.send_to(1, Request::Put(put("mine", "")));
    bench.input(Input::Disconnect { from: other });
    bench.member_fault(0, MemberFault::Resume);
    assert!(matches!(bench.answer(mine), Some(Reply::Put(_))));
    assert_eq!((bench.answer(attempt), bench.revision()), (None, 3));

    let member = MemberId(0);
    for from in [ME, other] {
        let operation = Operation::Users;
        bench.model.handle(
            bench.now,
            Input::Operate { from, attempt, member, operation, pass: Pass::Nobody },
        );
    }
    bench.model.handle(bench.now, Input::Disconnect { from: other });
    let told: Vec<_> = std::iter::from_fn(|| bench.model.poll_operated()).collect();
    assert_eq!(told.iter().map(|told| told.to).collect::<Vec<_>>(), [ME]);
}

/// The leader lists leases by the time when they are over, the others by id.
#[test]
fn leases_are_listed_by_whom_is_asked() {
    let mut bench = Bench::three();
    bench.grant(1, 90);
    bench.grant(2, 10);
    for (member, expected) in [(0, [lease(2), lease(1)]), (1, [lease(1), lease(2)])] {
        let Reply::Leases(told) = bench.ask_at(member, Request::Leases) else { panic!() };
        assert_eq!(told.leases, expected, "of m{member}");
    }
}

/// As of then, however much its member has applied since.
#[test]
fn what_was_done_is_told_with_its_revision() {
    let mut bench = Bench::three();
    bench.grant(1, 60);
    for key in ["a", "b"] {
        bench.put(key, "");
    }
    bench.member_fault(1, MemberFault::Lag);
    let asked = [
        (Request::Grant(Grant { lease: None, ttl_secs: 60 }), 3),
        (Request::Put(put("c", "")), 4),
        (Request::Delete(DeleteRange { keys: KeyRange::one("a"), prev_kv: false }), 5),
        (Request::Txn(Txn { then: vec![put_op("d", "")], ..Txn::default() }), 6),
        (Request::Compact(Compact { revision: Revision(4), physical: false }), 6),
        (Request::Revoke(Revoke { lease: lease(1) }), 6),
    ];
    let asked = asked.map(|(request, revision)| (bench.send_to(1, request), revision));
    bench.put("e", "");
    bench.member_fault(1, MemberFault::CatchUp);
    for (attempt, revision) in asked {
        let told = bench.answer(attempt).and_then(|reply| reply.header().copied());
        assert_eq!(told.map(|header| header.revision), Some(Revision(revision)), "{attempt}");
    }
}

/// Told apart by when its member came to know of another leader.
#[test]
fn what_a_proposal_is_told_whose_leader_has_changed() {
    let told = |after_ms| {
        let mut bench = Bench::patient(3);
        bench.member_fault(1, MemberFault::Lag);
        let writing = bench.send_to(1, Request::Put(put("k", "")));
        bench.wait_ms(after_ms);
        bench.fault(Fault::LeaderTo(MemberId(2)));
        bench.wait_ms(7_000);
        bench.failed(writing)
    };
    assert_eq!(told(0), Some(StoreError::TimedOut));
    assert_eq!(told(1), Some(StoreError::TimedOutLeaderFail));
    // Two election timeouts.
    assert_eq!(told(1_999), Some(StoreError::TimedOutLeaderFail));
    assert_eq!(told(2_000), Some(StoreError::TimedOut));
}

/// One that is alone loses no connection to anybody.
#[test]
fn what_a_proposal_is_told_by_one_that_is_alone() {
    let mut bench = Bench::new();
    bench.member_fault(0, MemberFault::CutOff);
    bench.member_fault(0, MemberFault::Lag);
    let writing = bench.send(Request::Put(put("k", "")));
    bench.wait_ms(7_000);
    assert_eq!(bench.failed(writing), Some(StoreError::TimedOut));
}

#[test]
fn a_renewal_that_waits_for_a_leader_that_is_held_goes_on_with_it() {
    let mut bench = Bench::three();
    bench.grant(1, 60);
    bench.member_fault(0, MemberFault::Pause);
    let renewing = bench.send_to(1, renewal(1));
    bench.wait_ms(500);
    assert!(bench.is_quiet());
    bench.member_fault(0, MemberFault::Resume);
    assert!(matches!(bench.answer(renewing), Some(Reply::KeepAlive(_))));
}
