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

/// What is under way is given up, and what is due is not asked: a removal may take longer than the
/// next question is away.
#[test]
fn who_shuts_down_asks_no_more() {
    for under_way in [true, false] {
        let mut h = asking(Some(every()));
        if !under_way {
            h.reply(1, listed(&[]));
        }
        let name = (GroupName::parse("web"), InstanceId::parse("a"));
        let (Ok(group), Ok(instance)) = name else { panic!("names") };
        let instance = Instance::builder(group, instance).build().expect("an instance");
        let (id, conflict) = (RegistrationId(1), Conflict::Replace);
        h.command(Command::Register { id, instance, conflict });
        let asked = h.end().rsplit_once("lease=").and_then(|(_, rest)| rest.split_once(' '));
        let (lease, _) = asked.expect("a lease is asked for");
        let lease = i64::from_str_radix(lease, 16).ok().and_then(LeaseId::new).expect("an id");
        let granted = GrantReply { header: Header::default(), lease, ttl_secs: 3_600 };
        h.reply(2, Reply::Grant(granted));
        h.lines.clear();
        h.command(Command::Shutdown { within: every() * 10 });
        assert_eq!(h.trace().contains("> #1 cancel"), under_way, "{}", h.trace());
        h.wait(every() * 9);
        assert!(h.engine.poll_timeout().is_some(), "the removal goes on: {}", h.trace());
        assert!(!h.trace().contains("members"), "{}", h.trace());
    }
}

#[test]
fn nobody_asks_unless_it_is_wished() {
    let h = asking(None);
    assert_eq!((h.engine.poll_timeout(), h.trace()), (None, String::new()));
}
