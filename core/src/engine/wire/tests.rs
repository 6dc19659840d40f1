use std::time::Duration;

use super::{Owner, Wire};
use crate::engine::harness::Harness;
use crate::engine::{Command, DirectoryId, OpId, Output, Setup};
use crate::layout::{Layout, Scope};
use crate::rng::Rng;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{
    AttemptId, Code, DeleteRange, Header, KeyRange, LeaseId, Op, Put, Range, RangeReply, Reply,
    Request, Revision, StatusReply, StoreError, Txn, Watch, WatchReply, WatchSay,
};

fn lost() -> Reply {
    Reply::Failed(StoreError::ConnectionLost { detail: "reset".to_owned() })
}

fn header() -> Header {
    Header { cluster_id: 1, member_id: 1, revision: Revision(7), raft_term: 2 }
}

fn range() -> Reply {
    Reply::Range(RangeReply { header: header(), ..RangeReply::default() })
}

fn said(created: bool) -> Reply {
    Reply::Watch(WatchReply { header: header(), created, ..WatchReply::default() })
}

/// A directory whose watch is attempt 2, at a member that a call has found wanting since, at 20 s.
fn watched_at_a_blamed_member() -> Harness {
    let tuning = Tuning {
        jitter_percent: 0,
        census_within: None,
        probe_after: Duration::from_secs(25),
        ..Tuning::default()
    };
    let layout = Layout::default();
    let setup = Setup { layout, tuning, members: 2, authenticates: false, seed: 1 };
    let mut h = Harness::with(setup);
    h.command(Command::Open { id: DirectoryId(1), scope: Scope::AllInstances });
    h.reply(1, range()).reply(2, said(true)).reply(3, range());
    h.reply(4, Reply::Status(StatusReply { header: header(), ..StatusReply::default() }))
        .wait(Duration::from_secs(20));
    let request = Request::Range(Range::of(KeyRange::one("k")));
    h.command(Command::Call { id: OpId(1), request, within: Duration::from_secs(3) });
    h.reply(5, lost());
    assert!(h.end().contains("redial"), "{}", h.trace());
    h.lines.clear();
    h
}

#[test]
fn a_stream_that_dies_after_its_member_recovered_is_news() {
    let mut h = watched_at_a_blamed_member();
    h.wait(Duration::from_secs(3)).reply(2, said(false)).wait(Duration::from_secs(1));
    h.reply(2, lost());
    assert!(h.end().contains("redial"), "{}", h.trace());
}

#[test]
fn a_stream_that_dies_with_its_member_is_not() {
    let mut h = watched_at_a_blamed_member();
    h.reply(2, lost());
    assert!(!h.trace().contains("redial"), "{}", h.trace());
}

#[test]
fn a_silence_is_news_however_long_the_stream_has_been_open() {
    let mut h = watched_at_a_blamed_member();
    // Probed after 25 s, unanswered for 3 s; and the store has a record that it never told.
    h.wait(Duration::from_secs(10));
    let settling = h.lines.iter().find(|line| line.contains("keys-only")).expect("it is settled");
    let attempt = settling.split(['#', ' ']).nth(3).and_then(|number| number.parse().ok());
    let Reply::Range(mut more) = range() else { unreachable!("a range's answer") };
    more.count = 1;
    h.reply(attempt.expect("a number"), Reply::Range(more));
    assert!(h.trace().contains("redial"), "{}", h.trace());
}

#[test]
fn an_answer_of_another_cluster_is_told_as_the_failure_that_it_is_taken_for() {
    let mut h = watched_at_a_blamed_member();
    h.wait(Duration::from_secs(2));
    let request = Request::Range(Range::of(KeyRange::one("k")));
    h.command(Command::Call { id: OpId(2), request, within: Duration::from_secs(3) });
    let attempt = sent_last(&h);
    let Reply::Range(mut strange) = range() else { unreachable!("a range's answer") };
    strange.header.cluster_id = 9;
    h.reply(attempt, Reply::Range(strange));
    let error = StoreError::OtherCluster { expected: 1, found: 9 };
    assert_eq!(h.engine.take_disbelieved(), Some(error), "{}", h.trace());
    assert_eq!(h.engine.take_disbelieved(), None, "told once");
}

/// Away is a store of which nobody answers. Who refuses is there, whatever failed before.
#[test]
fn a_store_that_refuses_is_not_away() {
    let setup = Setup {
        layout: Layout::default(),
        tuning: Tuning { jitter_percent: 0, ..Tuning::default() },
        members: 1,
        authenticates: false,
        seed: 1,
    };
    let mut h = Harness::with(setup);
    let other = StoreError::Other { code: Code::Unauthenticated, message: "no file".to_owned() };
    let cases = [
        (StoreError::PermissionDenied, false),
        (StoreError::NoSpace, false),
        (StoreError::NoLeader, true),
        (StoreError::AuthFailed, false),
        (other, true),
    ];
    for (id, (error, away)) in (1..).zip(cases) {
        let mut ask = |id, reply| {
            let request = Request::Range(Range::of(KeyRange::one("k")));
            let within = Duration::from_secs(3);
            h.command(Command::Call { id: OpId(id), request, within });
            h.reply(sent_last(&h), reply).command(Command::Abandon { id: OpId(id) });
            h.wait(Duration::from_secs(1));
            h.engine.standing().away
        };
        assert!(ask(2 * id, lost()), "nobody answers");
        assert_eq!(ask(2 * id + 1, Reply::Failed(error.clone())), away, "{error:?}");
    }
}

/// The number of the attempt that was sent last.
fn sent_last(h: &Harness) -> u64 {
    let sent = h.lines.iter().rev().find_map(|line| line.split_once("> #")).expect("it is sent");
    sent.1.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

fn lease(id: i64) -> LeaseId {
    LeaseId::new(id).expect("not 0")
}

fn put_on(id: i64) -> Op {
    Op::Put(Put { key: "k".into(), lease: Some(lease(id)), ..Put::default() })
}

/// A wire with credentials, at a member of its own.
fn wire(tuning: &Tuning) -> Wire {
    Wire::new(1, true, tuning, &Rng::new(1))
}

/// The login that waits for nobody is answered.
fn log_in(wire: &mut Wire, tuning: &Tuning) {
    wire.log_in(tuning);
    let login = AttemptId(wire.last);
    assert_eq!(wire.answered(login, Reply::Authenticated, tuning), None);
}

fn outputs(wire: &mut Wire) -> Vec<String> {
    std::iter::from_fn(|| wire.pop_output()).map(|output: Output| output.to_string()).collect()
}

/// The puts on a lease that is dead are answered to their owner: those that wait for a token at once,
/// those under way when their token turns out to be old. All else is sent, or sent anew.
#[test]
fn puts_on_a_dead_lease_are_not_sent() {
    let tuning = Tuning::default();
    let txn = |ops: Vec<Op>| Txn { then: ops, ..Txn::default() };
    let nested = Txn { or_else: vec![put_on(7)], ..Txn::default() };
    let delete = Op::Delete(DeleteRange { keys: KeyRange::one("k"), prev_kv: false });
    let cases = [
        (Owner::Holds, txn(vec![put_on(7)]), true),
        (Owner::Holds, txn(vec![put_on(8), Op::Txn(nested)]), true),
        (Owner::Holds, txn(vec![put_on(8)]), false),
        (Owner::Holds, txn(vec![delete, Op::Range(Range::of(KeyRange::one("k")))]), false),
        // What an application puts there is its own affair.
        (Owner::Call(OpId(1)), txn(vec![put_on(7)]), false),
    ];
    for sent in [false, true] {
        let mut wire = wire(&tuning);
        let mut attempts = Vec::new();
        for (owner, txn, dead) in &cases {
            let give_up_at = Some(Time::from_secs(3));
            let attempt = wire.send(*owner, Request::Txn(txn.clone()), give_up_at);
            attempts.push((attempt, *owner, *dead));
        }
        if sent {
            log_in(&mut wire, &tuning);
            wire.refuse_puts_on(lease(7));
            assert_eq!(wire.pop_refused(), None, "they are under way");
            for &(attempt, owner, dead) in &attempts {
                let refused = Reply::Failed(StoreError::InvalidToken);
                let told = wire.answered(attempt, refused.clone(), &tuning);
                assert_eq!(told, dead.then_some((owner, attempt, refused)));
            }
            assert_eq!(wire.parked.len(), 3, "to be sent anew");
        } else {
            wire.refuse_puts_on(lease(7));
            for &(attempt, owner, _) in attempts.iter().filter(|(.., dead)| *dead) {
                let detail = "its lease is gone".to_owned();
                let told = (attempt, owner, StoreError::CannotConnect { detail });
                assert_eq!(wire.pop_refused(), Some(told));
            }
            assert_eq!(wire.pop_refused(), None);
            log_in(&mut wire, &tuning);
            assert_eq!(outputs(&mut wire).len(), 4, "the login, and what is left");
        }
    }
}

/// A stream that is refused for its token before it spoke is opened anew with what was said on it;
/// what asks for an answer now is not said again, and what a stream that speaks was told is not kept.
#[test]
fn a_stream_opened_anew_is_told_what_was_said() {
    let tuning = Tuning::default();
    let mut wire = wire(&tuning);
    let watch = |key: &str| Watch::of(KeyRange::one(key), Revision(5));
    let create = |key| WatchSay::Create(watch(key));
    let stream = wire.send(Owner::Holds, Request::Watch(watch("a")), None);
    wire.say(stream, create("b"));
    log_in(&mut wire, &tuning);
    for say in [create("c"), WatchSay::Progress, WatchSay::Cancel { id: 1 }] {
        wire.say(stream, say);
    }
    insta::assert_snapshot!(outputs(&mut wire).join("\n"), @"
    #2 m0 authenticate
    #1 m0 watch a from 5
    #3 m0 on #1 watch b from 5
    #4 m0 on #1 watch c from 5
    #5 m0 on #1 progress
    #6 m0 on #1 cancel id=1
    ");
    wire.set_now(Time::from_secs(100));
    assert_eq!(wire.answered(stream, Reply::Failed(StoreError::NoToken), &tuning), None);
    log_in(&mut wire, &tuning);
    insta::assert_snapshot!(outputs(&mut wire).join("\n"), @"
    #8 m0 authenticate
    #7 m0 watch a from 5
    #9 m0 on #7 watch b from 5
    #10 m0 on #7 watch c from 5
    #11 m0 on #7 cancel id=1
    ");

    let anew = wire.renamed[&stream];
    let told = wire.answered(anew, said(true), &tuning);
    assert_eq!(told, Some((Owner::Holds, stream, said(true))));
    wire.say(stream, create("d"));
    assert_eq!(wire.flights[&anew].said, []);
    insta::assert_snapshot!(outputs(&mut wire).join("\n"), @"#12 m0 on #7 watch d from 5");
}
