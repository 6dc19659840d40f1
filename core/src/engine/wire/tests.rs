use std::time::Duration;

use crate::engine::harness::Harness;
use crate::engine::{Command, DirectoryId, OpId, Setup};
use crate::layout::{Layout, Scope};
use crate::tuning::Tuning;
use crate::waist::{
    Code, Header, KeyRange, Range, RangeReply, Reply, Request, Revision, StatusReply, StoreError,
    WatchReply,
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
