use portolan_core::Time;
use portolan_core::waist::{
    AttemptId, KeyRange, MemberId, Range, Reply, Request, Revision, StoreError, Txn, Watch,
};
use portolan_memory::{Cause, ClientId, Config, Fault, Input, Pass};

use crate::kit::{Bench, ME, lease, put, put_op, renewal};

fn all() -> Watch {
    Watch::of(KeyRange::all(), Revision::ZERO)
}

#[test]
fn r8_a_wiped_store_keeps_its_cluster_id() {
    let mut bench = Bench::new();
    bench.grant(1, 60);
    bench.put_on("k", "", 1);
    let before = bench.range(Range::of(KeyRange::all())).header;
    bench.fault(Fault::Restart);
    bench.fault(Fault::Wipe);
    let after = bench.range(Range::of(KeyRange::all())).header;
    assert_eq!((after.cluster_id, after.member_id), (before.cluster_id, before.member_id));
    assert_eq!((after.revision.0, after.raft_term), (1, 2));
    assert_eq!((bench.model.epoch(), bench.model.leases().count()), (1, 0));
    assert!(bench.model.log().changes().is_empty());
    bench.fault(Fault::ReplaceCluster);
    let other = bench.range(Range::of(KeyRange::all())).header;
    assert_ne!(other.cluster_id, before.cluster_id);
    assert_ne!(other.member_id, before.member_id);
    assert_eq!(bench.model.epoch(), 2);
}

#[test]
fn r9_a_restart_keeps_the_data_and_raises_the_term() {
    let mut bench = Bench::new();
    bench.put("k", "v");
    let stream = bench.watch(all());
    bench.heard(stream);
    bench.fault(Fault::Restart);
    assert!(matches!(bench.failed(stream), Some(StoreError::ConnectionLost { .. })));
    let header = bench.range(Range::of(KeyRange::all())).header;
    assert_eq!((header.revision.0, header.raft_term), (2, 3));
    assert_eq!(bench.model.epoch(), 0);
    bench.put("k", "");
    assert!(bench.is_quiet(), "the stream is gone");
}

#[test]
fn a_stopped_store_refuses() {
    let mut bench = Bench::new();
    bench.grant(1, 2);
    bench.put_on("k", "", 1);
    bench.fault(Fault::Stop);
    assert_eq!(bench.model.poll_timeout(), None);
    let error = bench.error(Request::Range(Range::of(KeyRange::one("k"))));
    assert!(matches!(error, Some(StoreError::Refused { .. })));
    bench.wait_ms(60_000);
    bench.fault(Fault::Start);
    assert!(bench.get("k").is_some(), "nobody counted while it was down");
    // Row L10: 2 s and the election timeout from the start.
    bench.wait_ms(2999);
    assert!(bench.get("k").is_some());
    bench.wait_ms(1);
    assert_eq!(bench.get("k"), None);
}

#[test]
fn a_store_wiped_while_stopped_stays_stopped() {
    let mut bench = Bench::new();
    bench.put("k", "");
    bench.fault(Fault::Stop);
    bench.fault(Fault::Wipe);
    assert!(!bench.model.is_up());
    bench.fault(Fault::Start);
    bench.fault(Fault::Start);
    assert_eq!((bench.revision(), bench.model.term(), bench.model.epoch()), (1, 2, 1));
}

#[test]
fn what_was_not_delivered_dies_with_the_connection() {
    let mut model = portolan_memory::Model::new(Config::default());
    for from in [ME, ClientId(2)] {
        let (attempt, member) = (AttemptId(1), MemberId(0));
        let request = Request::Status;
        model.handle(
            Time::ZERO,
            Input::Request { from, attempt, member, request, pass: Pass::Nobody },
        );
    }
    model.handle(Time::ZERO, Input::Disconnect { from: ME });
    assert_eq!(model.poll_output().map(|output| output.to), Some(ClientId(2)));
    assert_eq!(model.poll_output(), None);
}

#[test]
fn l10_a_new_leader_starts_every_countdown_over() {
    for (fault, back) in [(Fault::Restart, None), (Fault::LeaderLost, Some(Fault::LeaderBack))] {
        let mut bench = Bench::new();
        bench.grant(1, 6);
        bench.put_on("k", "", 1);
        bench.wait_ms(4000);
        bench.fault(fault);
        if let Some(back) = back {
            bench.wait_ms(1000);
            bench.fault(back);
        }
        assert_eq!(bench.model.term(), 3);
        bench.wait_ms(6999);
        assert!(bench.get("k").is_some(), "{fault:?}");
        bench.wait_ms(1);
        assert_eq!(bench.get("k"), None, "{fault:?}");
    }
}

#[test]
fn l11_a_store_held_for_longer_than_the_time_to_live_loses_the_lease() {
    let mut bench = Bench::new();
    bench.grant(1, 2);
    bench.put_on("k", "", 1);
    bench.wait_ms(1000);
    bench.fault(Fault::Pause);
    let renewing = bench.send(renewal(1));
    let read = bench.send(Request::Range(Range::of(KeyRange::one("k"))));
    bench.wait_ms(9000);
    assert!(bench.is_quiet() && bench.model.poll_timeout().is_none());
    bench.fault(Fault::Resume);
    let Some(Reply::KeepAlive(reply)) = bench.answer(renewing) else { panic!("no answer") };
    assert_eq!(reply.ttl_secs, 0);
    assert!(matches!(bench.answer(read), Some(Reply::Range(reply)) if reply.kvs.is_empty()));
    let change = bench.model.log().changes().last().expect("the expiry").clone();
    assert_eq!(change.cause, Cause::Expiry { lease: lease(1) });
    assert_eq!(change.at, bench.now, "it ended on waking, not before");
}

#[test]
fn a_store_killed_while_held_answers_nothing_it_was_asked() {
    let mut bench = Bench::new();
    bench.fault(Fault::Pause);
    let attempt = bench.send(Request::Put(put("k", "")));
    bench.fault(Fault::Restart);
    assert!(matches!(bench.failed(attempt), Some(StoreError::ConnectionLost { .. })));
    assert_eq!(bench.revision(), 1);
    bench.put("k", "");
}

#[test]
fn restore_cuts_the_log_back_and_revives_leases() {
    let mut bench = Bench::new();
    bench.grant(1, 60);
    bench.put_on("kept", "", 1);
    bench.fault(Fault::Snapshot);
    bench.put("lost", "");
    bench.ask(Request::Revoke(portolan_core::waist::Revoke { lease: lease(1) }));
    bench.fault(Fault::Restart);
    let stream = bench.watch(all());
    bench.heard(stream);
    bench.fault(Fault::Restore);
    assert!(matches!(bench.failed(stream), Some(StoreError::ConnectionLost { .. })));
    assert_eq!((bench.revision(), bench.model.epoch(), bench.model.term()), (2, 1, 2));
    assert_eq!(bench.model.log().changes().len(), 1);
    assert!(bench.get("kept").is_some() && bench.get("lost").is_none());
    assert_eq!(bench.model.leases().count(), 1);
    // Revisions come again with other content.
    assert_eq!(bench.put("other", ""), 3);
    // The backup is still there, and without one nothing happens.
    bench.fault(Fault::Restore);
    assert_eq!(bench.revision(), 2);
    let mut bench = Bench::new();
    bench.put("k", "");
    bench.fault(Fault::Restore);
    assert_eq!((bench.revision(), bench.model.epoch()), (2, 0));
}

#[test]
fn g7_l8_without_a_leader_calls_wait_and_then_fail() {
    let mut bench = Bench::patient(1);
    bench.grant(1, 60);
    bench.put("k", "v");
    bench.fault(Fault::LeaderLost);
    let stale = Range { serializable: true, ..Range::of(KeyRange::one("k")) };
    assert_eq!(bench.range(stale).kvs.len(), 1);
    let stream = bench.watch(all());
    assert_eq!(bench.heard(stream).len(), 1, "opened, and silent");
    let cases = [
        (Request::Range(Range::of(KeyRange::one("k"))), StoreError::TimedOut),
        (Request::Put(put("k", "")), StoreError::ServerDeadline),
        (
            Request::Txn(Txn { then: vec![put_op("k", "")], ..Txn::default() }),
            StoreError::ServerDeadline,
        ),
        (renewal(1), StoreError::NoLeader),
    ];
    let attempts: Vec<_> =
        cases.into_iter().map(|(request, error)| (bench.send(request), error)).collect();
    bench.wait_ms(6999);
    assert!(bench.is_quiet());
    bench.wait_ms(1);
    for (attempt, error) in attempts {
        assert_eq!(bench.failed(attempt), Some(error));
    }
    bench.fault(Fault::LeaderBack);
    assert_eq!(bench.revision(), 2, "what was given up is not applied");
}

#[test]
fn a_put_that_waits_is_applied_when_the_leader_is_back() {
    let mut bench = Bench::patient(1);
    bench.grant(1, 2);
    bench.fault(Fault::LeaderLost);
    let first = bench.send(Request::Put(put("k", "1")));
    let second = bench.send(Request::Put(put("k", "2")));
    let cancelled = bench.send(Request::Put(put("k", "3")));
    let renewing = bench.send(renewal(1));
    bench.input(Input::Cancel { from: ME, attempt: cancelled });
    bench.wait_ms(5000);
    bench.fault(Fault::LeaderBack);
    let revisions: Vec<_> = [first, second]
        .into_iter()
        .filter_map(|attempt| bench.answer(attempt))
        .filter_map(|reply| reply.header().map(|header| header.revision.0))
        .collect();
    assert_eq!(revisions, [2, 3]);
    assert!(matches!(bench.answer(renewing), Some(Reply::KeepAlive(reply)) if reply.ttl_secs == 2));
    assert!(bench.is_quiet());
    assert_eq!(bench.get("k").map(|kv| kv.value), Some("2".into()));
}

#[test]
fn a_renewal_that_waits_for_a_revoke_goes_to_the_next_leader() {
    let mut bench = Bench::patient(1);
    bench.wait_ms(100);
    bench.grant(1, 2);
    bench.wait_ms(2100);
    let renewing = bench.send(renewal(1));
    bench.fault(Fault::LeaderLost);
    bench.wait_ms(1000);
    bench.fault(Fault::LeaderBack);
    assert!(matches!(bench.answer(renewing), Some(Reply::KeepAlive(reply)) if reply.ttl_secs == 2));
}

#[test]
fn w17_who_asks_for_a_leader_is_refused_at_once() {
    let mut bench = Bench::new();
    bench.put("k", "v");
    let stream = bench.watch(all());
    bench.heard(stream);
    bench.wait_ms(1000);
    bench.fault(Fault::LeaderLost);
    let error = Some(StoreError::NoLeader);
    for request in [
        Request::Range(Range::of(KeyRange::one("k"))),
        Request::Put(put("k", "")),
        Request::Watch(all()),
        renewal(1),
        Request::Leases,
    ] {
        assert_eq!(bench.error(request.clone()), error, "{request:?}");
    }
    let stale = Range { serializable: true, ..Range::of(KeyRange::one("k")) };
    assert_eq!(bench.range(stale).kvs.len(), 1);
    let Reply::Status(status) = bench.ask(Request::Status) else { panic!("status was asked") };
    assert_eq!((status.leader, status.errors), (0, vec!["etcdserver: no leader".to_owned()]));
    bench.wait_ms(2999);
    assert!(bench.is_quiet());
    bench.wait_ms(1);
    assert_eq!(bench.failed(stream), error);
    assert!(bench.model.poll_timeout().is_none());
}

#[test]
fn status_and_authentication() {
    let mut bench = Bench::with(Config::of_version("3.5.16").expect("a version"));
    let Reply::Status(status) = bench.ask(Request::Status) else { panic!("status was asked") };
    assert_eq!((status.version.as_str(), status.is_learner), ("3.5.16", false));
    assert_eq!(status.leader, status.header.member_id);
    assert_eq!(bench.error(Request::Authenticate), Some(StoreError::AuthNotEnabled));
    assert_eq!(Config::of_version("latest"), None);
}

#[test]
fn the_log_names_who_did_it() {
    let mut bench = Bench::new();
    let attempt = bench.send(Request::Put(put("k", "")));
    let change = &bench.model.log().changes()[0];
    assert_eq!(change.cause, Cause::Request { from: ME, attempt });
    let hash = portolan_core::rng::hash(b"") >> 32;
    assert_eq!(change.to_string(), format!("0.000s r2.0 put k 0B:{hash:08x} by c1 #1"));
}

#[test]
fn a_store_without_a_log_keeps_none() {
    let mut bench = Bench::with(Config { keep_log: false, ..Config::default() });
    bench.grant(1, 60);
    bench.put("k", "1");
    bench.put("k", "2");
    assert!(bench.model.log().changes().is_empty() && bench.model.log().leases().is_empty());
    assert_eq!(bench.model.store_at(Revision(2)).map(|records| records.len()), Some(1));
    bench.compact(3);
    assert_eq!(bench.model.store_at(Revision(2)), None);
    assert_eq!(bench.model.store_at(Revision(4)), None);
}

#[test]
fn a_copy_goes_on_alike() {
    let mut bench = Bench::new();
    bench.grant(1, 2);
    bench.put_on("k", "", 1);
    bench.watch(all());
    let mut copy = bench.model.clone();
    assert_eq!(copy, bench.model);
    let request = Request::Put(put("k", "2"));
    let input = Input::Request {
        from: ME,
        attempt: AttemptId(9),
        member: MemberId(0),
        request,
        pass: Pass::Nobody,
    };
    copy.handle(bench.now, input.clone());
    assert_ne!(copy, bench.model);
    bench.model.handle(bench.now, input);
    assert_eq!(copy, bench.model);
}
