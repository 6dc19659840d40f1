//! Several members: what each of them answers while some are gone, cut off, held, or behind.

#![expect(clippy::wildcard_enum_match_arm, reason = "it names the few answers that may come")]

use portolan_core::waist::{
    Compare, Grant, KeyRange, MemberId, Put, Range, Reply, Request, Revision, StoreError,
    TimeToLive, Txn, Watch,
};
use portolan_memory::{Config, Fault, MemberFault};
use proptest::prelude::*;

use crate::kit::{Bench, lease, put, put_op, renewal};

fn read(key: &str) -> Request {
    Request::Range(Range::of(KeyRange::one(key)))
}

fn stale(key: &str) -> Request {
    Request::Range(Range { serializable: true, ..Range::of(KeyRange::one(key)) })
}

/// How many records a range found, and the revision that its member was at.
fn found(reply: &Reply) -> (usize, i64) {
    let Reply::Range(reply) = reply else { panic!("{reply:?}") };
    (reply.kvs.len(), reply.header.revision.0)
}

#[test]
fn members_say_who_they_are_and_who_leads() {
    let mut bench = Bench::three();
    let ids: Vec<u64> = bench.model.config().member_ids().collect();
    assert_eq!(ids.len(), 3);
    for (place, id) in (0..).zip(&ids) {
        let Reply::Status(status) = bench.ask_at(place, Request::Status) else { panic!() };
        assert_eq!((status.header.member_id, status.leader), (*id, ids[0]));
        let Reply::Members(members) = bench.ask_at(place, Request::Members) else { panic!() };
        assert_eq!((members.header.member_id, members.header.revision), (*id, Revision::ZERO));
        let told: Vec<u64> = members.members.iter().map(|member| member.id).collect();
        assert_eq!(told, ids);
        let reply = bench.ask_at(place, Request::Put(put("k", "")));
        assert_eq!(reply.header().map(|header| header.member_id), Some(*id));
    }
    // A longer list of the client's leads to the same members.
    let reply = bench.ask_at(4, read("k"));
    assert_eq!(reply.header().map(|header| header.member_id), Some(ids[1]));
    assert_eq!(Config::default().members(9).member_ids().count(), 5);
    assert_eq!(Config::default().members(0).member_ids().count(), 1);
}

#[test]
fn w18_g7_a_member_that_lags_serves_what_it_has() {
    let mut bench = Bench::three();
    bench.put("k", "1");
    bench.member_fault(1, MemberFault::Lag);
    bench.put("k", "2");
    bench.put("l", "");
    assert_eq!(found(&bench.ask_at(1, stale("l"))), (0, 2));
    assert_eq!(found(&bench.ask_at(2, stale("l"))), (1, 4));
    // Row T9: compares alone are answered from there too.
    let compare = Compare::mod_revision("k".into(), Revision(2));
    let decide = Request::Txn(Txn { compares: vec![compare], ..Txn::default() });
    let Reply::Txn(reply) = bench.ask_at(1, decide) else { panic!() };
    assert!(reply.succeeded && reply.header.revision == Revision(2));
    // Row W2: the start is still to come there, and `created` says so.
    let stream = bench.send_to(1, Request::Watch(Watch::of(KeyRange::all(), Revision(4))));
    let created = bench.heard(stream);
    assert_eq!(created.iter().map(|reply| reply.header.revision.0).collect::<Vec<_>>(), [2]);
    let Reply::Status(status) = bench.ask_at(1, Request::Status) else { panic!() };
    assert_eq!((status.header.revision.0, status.raft_index), (2, 3));
    // What needs the present waits for it.
    let linearizable = bench.send_to(1, read("k"));
    let written = bench.send_to(1, Request::Put(put("m", "")));
    bench.wait_ms(500);
    assert!(bench.is_quiet());
    assert_eq!(bench.revision(), 5, "it was written, though nobody is told");
    bench.member_fault(1, MemberFault::CatchUp);
    let events = bench.heard_events(stream);
    assert_eq!(events.iter().map(|event| event.kv.mod_revision.0).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(bench.answer(linearizable).as_ref().map(found), Some((1, 5)));
    let reply = bench.answer(written);
    assert_eq!(reply.and_then(|reply| reply.header().map(|header| header.revision.0)), Some(5));
}

#[test]
fn what_waits_for_a_member_that_lags_times_out() {
    let mut bench = Bench::three();
    bench.member_fault(1, MemberFault::Lag);
    bench.put("k", "");
    let reading = bench.send_to(1, read("k"));
    let writing = bench.send_to(1, Request::Put(put("k", "2")));
    bench.wait_ms(6999);
    assert!(bench.is_quiet());
    bench.wait_ms(1);
    assert_eq!(bench.failed(reading), Some(StoreError::TimedOut));
    assert_eq!(bench.failed(writing), Some(StoreError::TimedOut));
    assert_eq!(bench.revision(), 3);
}

#[test]
fn another_member_leads_when_the_leader_is_gone() {
    let mut bench = Bench::patient(3);
    bench.grant(1, 6);
    bench.put_on("k", "", 1);
    bench.wait_ms(4000);
    bench.member_fault(0, MemberFault::Stop);
    assert!(matches!(bench.ask_at(0, read("k")), Reply::Failed(StoreError::Refused { .. })));
    let reading = bench.send_to(1, read("k"));
    let writing = bench.send_to(1, Request::Put(put("lost", "")));
    let renewing = bench.send_to(2, renewal(1));
    bench.wait_ms(999);
    assert!(bench.is_quiet() && bench.leader().is_none());
    bench.wait_ms(1001);
    let elected = bench.leader().expect("a majority is left");
    assert!(elected != 0 && bench.model.term() == 3);
    assert_eq!(bench.failed(reading), Some(StoreError::LeaderChanged));
    let Some(Reply::KeepAlive(reply)) = bench.answer(renewing) else { panic!() };
    assert_eq!(reply.ttl_secs, 6);
    assert_eq!(found(&bench.ask_at(1, read("lost"))), (0, 2));
    bench.wait_ms(5000);
    assert_eq!(bench.failed(writing), Some(StoreError::TimedOutLeaderFail));
    // It comes back as a follower, and knows what it has missed.
    bench.ask_at(1, Request::Put(put("m", "")));
    bench.member_fault(0, MemberFault::Start);
    assert_eq!(bench.leader(), Some(elected));
    assert_eq!(found(&bench.ask_at(0, stale("m"))), (1, 3));
}

#[test]
fn nobody_leads_who_has_missed_something() {
    for seed in 0..8 {
        let mut bench = Bench::with(Config { seed, ..Config::default().members(3) });
        bench.member_fault(1, MemberFault::CutOff);
        bench.put("k", "");
        bench.member_fault(0, MemberFault::Stop);
        bench.member_fault(1, MemberFault::Heal);
        bench.wait_ms(2000);
        assert_eq!(bench.leader(), Some(2), "seed {seed}");
        assert_eq!(found(&bench.ask_at(1, read("k"))), (1, 2));
    }
}

#[test]
fn l10_whoever_leads_starts_every_countdown_over() {
    let mut bench = Bench::three();
    bench.grant(1, 6);
    bench.put_on("k", "", 1);
    bench.wait_ms(4000);
    bench.fault(Fault::LeaderTo(MemberId(2)));
    assert_eq!((bench.leader(), bench.model.term()), (Some(2), 3));
    bench.wait_ms(6999);
    assert!(bench.get("k").is_some());
    bench.wait_ms(1);
    assert_eq!(bench.get("k"), None);
    // Nobody can hand over to a member that is not there, or leads already.
    bench.member_fault(1, MemberFault::CutOff);
    bench.fault(Fault::LeaderTo(MemberId(1)));
    bench.fault(Fault::LeaderTo(MemberId(2)));
    assert_eq!((bench.leader(), bench.model.term()), (Some(2), 3));
}

#[test]
fn a_proposal_before_a_leader_that_is_held_is_applied_when_it_goes_on() {
    for (held_ms, in_time) in [(500, true), (9000, false)] {
        let mut bench = Bench::three();
        bench.member_fault(0, MemberFault::Pause);
        let writing = bench.send_to(1, Request::Put(put("k", "")));
        let reading = bench.send_to(1, read("k"));
        let direct = bench.send_to(0, read("k"));
        bench.wait_ms(held_ms);
        assert_eq!(bench.revision(), 1);
        if !in_time {
            assert_eq!(bench.failed(reading), Some(StoreError::LeaderChanged));
            assert_eq!(bench.failed(writing), Some(StoreError::TimedOutLeaderFail));
        }
        bench.member_fault(0, MemberFault::Resume);
        assert_eq!(bench.revision(), 2, "late, whoever leads by now");
        assert_eq!(bench.model.term(), if in_time { 2 } else { 3 });
        if in_time {
            assert!(matches!(bench.answer(writing), Some(Reply::Put(_))));
            assert!(matches!(bench.answer(reading), Some(Reply::Range(_))));
        }
        assert!(matches!(bench.answer(direct), Some(Reply::Range(_))));
        assert!(bench.is_quiet());
    }
}

#[test]
fn a_leader_that_is_cut_off_appends_nothing() {
    // Healed before another one is elected: its proposals are agreed on after all.
    let mut bench = Bench::three();
    bench.member_fault(0, MemberFault::CutOff);
    let writing = bench.send_to(0, Request::Put(put("k", "")));
    bench.wait_ms(900);
    assert_eq!((bench.revision(), bench.is_quiet()), (1, true));
    bench.member_fault(0, MemberFault::Heal);
    assert!(matches!(bench.answer(writing), Some(Reply::Put(_))));
    assert_eq!((bench.model.term(), bench.leader()), (2, Some(0)));

    // Healed later: they are lost, and nobody learns it.
    bench.member_fault(0, MemberFault::CutOff);
    let writing = bench.send_to(0, Request::Put(put("lost", "")));
    while bench.leader().is_none_or(|leader| leader == 0) {
        bench.wait_ms(10);
    }
    bench.ask_at(1, Request::Put(put("won", "")));
    bench.member_fault(0, MemberFault::Heal);
    bench.wait_ms(6000);
    assert_eq!(bench.failed(writing), Some(StoreError::TimedOutLeaderFail));
    assert_eq!(found(&bench.ask_at(0, read("lost"))), (0, 3));
    assert_eq!(bench.model.log().changes().len(), 2);
}

#[test]
fn g7_t9_l8_w17_a_member_that_is_cut_off() {
    let mut bench = Bench::patient(3);
    bench.grant(1, 60);
    bench.put("k", "");
    bench.member_fault(2, MemberFault::CutOff);
    // Until it notices, what it asks of the others is lost.
    let early = bench.send_to(2, Request::Put(put("lost", "")));
    bench.wait_ms(1000);
    bench.put("k", "2");
    let stream = bench.send_to(2, Request::Watch(Watch::of(KeyRange::all(), Revision::ZERO)));
    assert_eq!(bench.heard(stream).len(), 1);
    assert_eq!(found(&bench.ask_at(2, stale("k"))), (1, 2));
    let Reply::Txn(_) = bench.ask_at(2, Request::Txn(Txn::default())) else { panic!() };
    let Reply::Leases(leases) = bench.ask_at(2, Request::Leases) else { panic!() };
    assert_eq!(leases.leases, [lease(1)]);
    let Reply::Status(status) = bench.ask_at(2, Request::Status) else { panic!() };
    assert_eq!((status.leader, status.errors), (0, vec!["etcdserver: no leader".to_owned()]));
    let Reply::Members(_) = bench.ask_at(2, Request::Members) else { panic!() };
    let cases = [
        (read("k"), StoreError::TimedOut),
        (Request::Put(put("k", "")), StoreError::ServerDeadline),
        (
            Request::Txn(Txn { then: vec![put_op("k", "")], ..Txn::default() }),
            StoreError::ServerDeadline,
        ),
        (Request::Grant(Grant { lease: None, ttl_secs: 9 }), StoreError::ServerDeadline),
        (renewal(1), StoreError::NoLeader),
        (Request::TimeToLive(TimeToLive { lease: lease(1), keys: false }), StoreError::NoLeader),
    ];
    let attempts: Vec<_> =
        cases.into_iter().map(|(request, error)| (bench.send_to(2, request), error)).collect();
    bench.wait_ms(6000);
    assert_eq!(bench.failed(early), Some(StoreError::TimedOut));
    bench.wait_ms(999);
    assert!(bench.is_quiet(), "the others go on, and it is silent");
    bench.wait_ms(1);
    for (attempt, error) in attempts {
        assert_eq!(bench.failed(attempt), Some(error));
    }
    assert_eq!((bench.revision(), bench.model.term(), bench.leader()), (3, 2, Some(0)));
    bench.member_fault(2, MemberFault::Heal);
    assert_eq!(bench.heard_events(stream).len(), 1, "it has caught up");
}

#[test]
fn w17_streams_that_ask_for_a_leader_end_on_the_member_without_one() {
    let mut bench = Bench::three();
    let watch = Request::Watch(Watch::of(KeyRange::all(), Revision::ZERO));
    let [there, here] = [2, 1].map(|member| bench.send_to(member, watch.clone()));
    for stream in [there, here] {
        bench.heard(stream);
    }
    bench.member_fault(2, MemberFault::CutOff);
    bench.wait_ms(3999);
    assert!(bench.is_quiet());
    // An election timeout until it knows, and three more.
    bench.wait_ms(1);
    assert_eq!(bench.failed(there), Some(StoreError::NoLeader));
    assert!(matches!(bench.ask_at(2, read("k")), Reply::Failed(StoreError::NoLeader)));
    bench.put("k", "");
    assert_eq!(bench.heard_events(here).len(), 1);
}

#[test]
fn without_a_majority_nothing_is_agreed_on() {
    let mut bench = Bench::patient(3);
    bench.grant(1, 2);
    bench.put_on("k", "", 1);
    bench.member_fault(0, MemberFault::Stop);
    bench.member_fault(1, MemberFault::Stop);
    let sent = bench.send_to(2, Request::Put(put("sent", "")));
    bench.wait_ms(2000);
    let waits = bench.send_to(2, Request::Put(put("waits", "")));
    let reads = bench.send_to(2, read("k"));
    bench.wait_ms(2000);
    bench.member_fault(1, MemberFault::Start);
    bench.wait_ms(2000);
    assert_eq!(bench.model.term(), 3);
    assert!(matches!(bench.answer(waits), Some(Reply::Put(_))));
    assert_eq!(bench.failed(reads), Some(StoreError::LeaderChanged));
    assert_eq!(found(&bench.ask_at(2, read("k"))), (1, 3), "its countdown began anew");
    bench.wait_ms(2000);
    assert_eq!(bench.failed(sent), Some(StoreError::TimedOut));
    assert_eq!(found(&bench.ask_at(2, read("sent"))).0, 0);
    bench.wait_ms(2000);
    assert_eq!(found(&bench.ask_at(1, read("k"))).0, 0);
}

#[test]
fn the_whole_cluster_restarts_is_held_and_is_restored() {
    let mut bench = Bench::three();
    bench.put("kept", "");
    bench.fault(Fault::Snapshot);
    bench.put("lost", "");
    bench.fault(Fault::Restart);
    assert!(bench.leader().is_none());
    bench.wait_ms(2000);
    assert_eq!(bench.model.term(), 3);
    assert_eq!(found(&bench.ask_at(1, read("lost"))), (1, 3));
    bench.fault(Fault::Pause);
    let asked = bench.send_to(1, read("lost"));
    bench.wait_ms(60_000);
    assert!(bench.is_quiet() && !bench.model.is_up() && bench.model.poll_timeout().is_none());
    bench.fault(Fault::Resume);
    assert!(matches!(bench.answer(asked), Some(Reply::Range(_))));
    let before = bench.model.config().cluster_id;
    bench.fault(Fault::Restore);
    bench.wait_ms(2000);
    assert_eq!((bench.model.term(), bench.model.config().cluster_id), (2, before));
    assert_eq!(found(&bench.ask_at(2, read("lost"))), (0, 2));
    bench.fault(Fault::ReplaceCluster);
    bench.wait_ms(2000);
    let header = *bench.ask_at(1, read("kept")).header().expect("it is a range");
    assert!(header.cluster_id != before && header.revision.0 == 1);
    assert_eq!(Some(header.member_id), bench.model.config().member_ids().nth(1));
    bench.fault(Fault::LeaderLost);
    bench.wait_ms(60_000);
    assert!(bench.leader().is_none());
    bench.fault(Fault::LeaderBack);
    assert!(bench.leader().is_some() && bench.model.term() == 3);
}

#[derive(Clone, Debug)]
enum Step {
    Put(u16, u8),
    Grant(u16),
    Member(u16, MemberFault),
    LeaderTo(u16),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop::sample::select(vec![
        MemberFault::Restart,
        MemberFault::Stop,
        MemberFault::Start,
        MemberFault::Pause,
        MemberFault::Resume,
        MemberFault::CutOff,
        MemberFault::Heal,
        MemberFault::Lag,
        MemberFault::CatchUp,
    ]);
    prop_oneof![
        4 => (0..5_u16, any::<u8>()).prop_map(|(member, key)| Step::Put(member, key % 8)),
        1 => (0..5_u16).prop_map(Step::Grant),
        3 => (0..5_u16, fault).prop_map(|(member, fault)| Step::Member(member, fault)),
        1 => (0..5_u16).prop_map(Step::LeaderTo),
        3 => (0..4000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever happens to the members: what was answered is in the log, at most once; what was
    /// refused for sure is not; and in the end all members hold the same and answer everything.
    #[test]
    fn members_agree(count in 1..6_u16, steps in prop::collection::vec(step(), 1..60)) {
        let mut bench = Bench::with(Config { require_leader: false, ..Config::default().members(count) });
        let mut puts = Vec::new();
        for step in steps {
            match step {
                Step::Put(member, key) => {
                    let value = puts.len().to_string();
                    let put = Put { key: format!("{key}").as_str().into(), value: value.as_str().into(), ..Put::default() };
                    puts.push((bench.send_to(member, Request::Put(put)), value));
                }
                Step::Grant(member) => {
                    bench.send_to(member, Request::Grant(Grant { lease: None, ttl_secs: 5 }));
                }
                Step::Member(member, fault) => bench.member_fault(member, fault),
                Step::LeaderTo(member) => bench.fault(Fault::LeaderTo(MemberId(member))),
                Step::Wait(millis) => bench.wait_ms(millis),
            }
            let views: Vec<_> = bench.model.members().collect();
            prop_assert!(views.iter().all(|view| view.revision <= bench.model.revision()));
        }
        for member in 0..count {
            for fault in [MemberFault::Start, MemberFault::Heal, MemberFault::CatchUp, MemberFault::Resume] {
                bench.member_fault(member, fault);
            }
        }
        bench.wait_ms(10_000);
        prop_assert!(bench.leader().is_some());
        let revision = bench.model.revision();
        for member in 0..count {
            let all = Request::Range(Range { serializable: true, ..Range::of(KeyRange::all()) });
            let Reply::Range(reply) = bench.ask_at(member, all) else { panic!("it serves") };
            prop_assert_eq!(reply.header.revision, revision);
            let here: Vec<_> = reply.kvs.into_iter().collect();
            let truth: Vec<_> = bench.model.store_at(revision).unwrap_or_default().into_values().collect();
            prop_assert_eq!(here, truth);
        }
        for (attempt, value) in puts {
            let written = bench.model.log().changes().iter()
                .filter(|change| change.kv.value == value.as_str().into()).count();
            match bench.answer(attempt).expect("everything is answered in the end") {
                Reply::Put(_) => prop_assert_eq!(written, 1),
                Reply::Failed(StoreError::Refused { .. }) => prop_assert_eq!(written, 0),
                Reply::Failed(_) => prop_assert!(written <= 1),
                other => panic!("a put was answered with {other:?}"),
            }
        }
    }
}
