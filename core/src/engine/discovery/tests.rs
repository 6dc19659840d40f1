use std::time::Duration;

use crate::engine::harness::Harness;
use crate::engine::{Command, Conflict, RegistrationId, Setup};
use crate::instance::Instance;
use crate::layout::Layout;
use crate::name::{GroupName, InstanceId};
use crate::tuning::Tuning;
use crate::waist::{GrantReply, Header, LeaseId, MemberInfo, MembersReply, Reply, StoreError};

/// An engine that was given one member.
fn asking(member_list_every: Option<Duration>) -> Harness {
    let tuning = Tuning { jitter_percent: 0, member_list_every, ..Tuning::default() };
    let layout = Layout::default();
    let mut h = Harness::with(Setup { layout, tuning, members: 1, authenticates: false, seed: 1 });
    h.wait(Duration::ZERO);
    h
}

fn every() -> Duration {
    Duration::from_secs(60)
}

fn listed(ids: &[u64]) -> Reply {
    let member = |&id: &u64| {
        let client_urls = vec![format!("http://m{id}:2379")];
        MemberInfo { id, client_urls, is_learner: false }
    };
    let members = ids.iter().map(member).collect();
    Reply::Members(MembersReply { header: Header::default(), members })
}

#[test]
fn who_is_listed_is_introduced_once() {
    let mut h = asking(Some(every()));
    for (attempt, ids) in [(1, &[5, 6][..]), (2, &[6, 5, 7])] {
        h.reply(attempt, listed(ids));
        h.now = h.engine.poll_timeout().expect("it asks again");
        h.wait(Duration::ZERO);
    }
    let told = h.lines.iter().filter_map(|line| line.split_once(" > "));
    let told: Vec<_> = told.map(|(_, what)| what).filter(|what| what.contains("is at")).collect();
    let expected =
        ["m1 is at http://m5:2379", "m2 is at http://m6:2379", "m3 is at http://m7:2379"];
    assert_eq!(told, expected);
}

/// The processes of a fleet ask at times of their own, and one under way is enough.
#[test]
fn the_list_is_asked_for_every_so_often() {
    let mut h = asking(Some(every()));
    for attempt in 1..20 {
        assert_eq!(h.engine.in_flight(), 1);
        assert!(h.end().ends_with(&format!("> #{attempt} m0 members")), "{}", h.trace());
        let asked_at = h.now;
        h.reply(attempt, listed(&[]));
        assert_eq!(h.engine.in_flight(), 0);
        h.now = h.engine.poll_timeout().expect("it asks again");
        let pause = h.now.since(asked_at);
        assert!(every() * 3 / 4 <= pause && pause <= every(), "{pause:?}");
        h.wait(Duration::ZERO);
    }
}

#[test]
fn a_list_that_does_not_come_is_asked_for_ever_less_often() {
    let mut h = asking(Some(every()));
    let pauses = |h: &mut Harness, error: StoreError, last| {
        let mut pauses = Vec::new();
        for attempt in last..last + 12 {
            let failed_at = h.now;
            h.reply(attempt, Reply::Failed(error.clone()));
            h.now = h.engine.poll_timeout().expect("it asks again");
            pauses.push(h.now.since(failed_at).as_millis());
            h.wait(Duration::ZERO);
        }
        pauses
    };
    let millis = [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000, 5_000, 5_000, 5_000];
    assert_eq!(pauses(&mut h, StoreError::NoLeader, 1), millis);
    // An operator has forbidden it.
    assert_eq!(pauses(&mut h, StoreError::PermissionDenied, 13), [60_000; 12]);
    // It works for a while: the next pause is the first again.
    for attempt in 25..27 {
        h.reply(attempt, listed(&[]));
        h.now = h.engine.poll_timeout().expect("it asks again");
        h.wait(Duration::ZERO);
    }
    assert_eq!(pauses(&mut h, StoreError::NoLeader, 27), millis);
}

#[test]
fn nobody_asks_unless_it_is_wished() {
    let h = asking(None);
    assert_eq!((h.engine.poll_timeout(), h.trace()), (None, String::new()));
}

/// What is under way when the engine is to close is given up, and nothing is asked while it does so.
#[test]
fn a_closing_engine_asks_no_more() {
    let mut h = asking(Some(every()));
    assert_eq!(h.engine.in_flight(), 1);
    h.command(Command::Shutdown { within: every() * 3 });
    assert_eq!((h.engine.in_flight(), h.engine.poll_timeout()), (0, None), "{}", h.trace());

    let mut h = asking(Some(every()));
    h.reply(1, listed(&[]));
    let group = GroupName::parse("web").expect("letters");
    let instance = Instance::builder(group, InstanceId::parse("a").expect("a letter"));
    let (id, conflict) = (RegistrationId(1), Conflict::Replace);
    let instance = instance.build().expect("names are enough");
    h.command(Command::Register { id, instance, conflict });
    let (_, drawn) = h.end().split_once("lease=").expect("it asks for a lease");
    let lease = i64::from_str_radix(&drawn[..16], 16).ok().and_then(LeaseId::new);
    let lease = lease.expect("a lease's id");
    let (header, ttl_secs) = (Header::default(), 15);
    h.reply(2, Reply::Grant(GrantReply { header, lease, ttl_secs }));
    h.command(Command::Shutdown { within: every() * 3 });
    h.wait(every() * 2);
    assert!(h.engine.poll_timeout().is_some(), "the removal is under way: {}", h.trace());
    assert_eq!(h.trace().matches("m0 members").count(), 1, "{}", h.trace());
}
