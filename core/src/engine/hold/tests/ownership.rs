//! Somebody else's record at our key.

use insta::assert_snapshot;

use super::store::Store;
use super::*;
use crate::waist::TimeToLiveReply;

#[test]
fn conflicts_are_decided_once() {
    let mut outcome = String::new();
    for conflict in [Conflict::Replace, Conflict::Reject, Conflict::Wait] {
        let mut h = Harness::new();
        h.register(1, "a", conflict).grant(1).trace();
        h.reply(2, found(4, Some(record(3, 4, Some(stranger())))));
        outcome += &format!("{conflict:?}\n{}", h.trace());
    }
    assert_snapshot!(outcome, @"
    Replace
    0.000s < #2 else /p/instances/web/a=2B:51503ab8@3/4~0000000000000999 @4
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=4, lease(/p/instances/web/a)=0000000000000999 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    Reject
    0.000s < #2 else /p/instances/web/a=2B:51503ab8@3/4~0000000000000999 @4
    0.000s > registration 1 gone: kept out by the record on lease 0000000000000999
    0.000s > #3 m0 revoke lease=L1
    Wait
    0.000s < #2 else /p/instances/web/a=2B:51503ab8@3/4~0000000000000999 @4
    0.000s > registration 1 waiting for lease=0000000000000999
    ");
}

#[test]
fn a_record_without_a_lease_is_nobodys() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Reject).grant(1).trace();
    h.reply(2, found(4, Some(record(3, 4, None)))).reply(3, put(5));
    assert_snapshot!(h.trace(), @"
    0.000s < #2 else /p/instances/web/a=2B:51503ab8@3/4 @4
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=4, lease(/p/instances/web/a)=- then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    0.000s < #3 then put @5
    0.000s > registration 1 registered @5 lease=L1 sequence=1
    ");
}

#[test]
fn a_record_put_over_ours_is_a_takeover() {
    let mut h = Harness::registered();
    let instance = instance("a").with_state(State::OutOfService);
    h.command(Command::Publish { id: RegistrationId(1), instance });
    h.reply(3, found(6, Some(record(5, 6, Some(stranger())))));
    assert_snapshot!(h.trace(), @"
    0.000s < publish 1 web/a out-of-service
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=155B:a3356908 lease=L1 else range /p/instances/web/a
    0.000s < #3 else /p/instances/web/a=2B:51503ab8@5/6~0000000000000999 @6
    0.000s > registration 1 lost Disturbed
    0.000s > registration 1 gone: superseded by the record on lease 0000000000000999
    0.000s > #4 m0 revoke lease=L1
    ");
}

/// The store was replaced unseen, and somebody's record stands at the very revision of ours.
#[test]
fn a_record_at_the_same_revision_on_another_lease_is_left_alone() {
    let instance = instance("a").with_state(State::OutOfService);
    let commands = [
        Command::Publish { id: RegistrationId(1), instance },
        Command::Deregister { id: RegistrationId(1), within: Duration::from_secs(20) },
    ];
    for command in commands {
        let mut h = Harness::registered();
        h.played = h.asked.len();
        let theirs = record(5, 5, Some(stranger()));
        let mut store = Store { revision: 5, ..Store::default() };
        store.leases.extend([h.leases[0], stranger()]);
        store.keys.insert(theirs.key.clone(), theirs.clone());
        h.command(command.clone());
        h.play(60, |request| store.answer(request));
        assert_eq!(store.keys.values().collect::<Vec<_>>(), [&theirs], "{command}: {}", h.trace);
    }
}

/// It is the record that ours was an update of, and no other one.
#[test]
fn a_record_put_over_our_update_is_a_takeover() {
    let mut h = Harness::registered();
    for (attempt, state, answer) in [
        (3, State::OutOfService, put(6)),
        (4, State::Ready, found(7, Some(record(5, 7, Some(stranger()))))),
    ] {
        let instance = instance("a").with_state(state);
        h.command(Command::Publish { id: RegistrationId(1), instance }).reply(attempt, answer);
    }
    assert!(h.trace.contains("registration 1 gone: superseded"), "{}", h.trace);
}

#[test]
fn a_record_created_after_ours_vanished_is_disputed() {
    let mut h = Harness::registered();
    let instance = instance("a").with_state(State::OutOfService);
    h.command(Command::Publish { id: RegistrationId(1), instance });
    h.reply(3, found(7, Some(record(7, 7, Some(stranger())))));
    h.reply(
        4,
        Reply::TimeToLive(crate::waist::TimeToLiveReply {
            header: header(7),
            lease: stranger(),
            ttl_secs: 3,
            granted_secs: 4,
            keys: Vec::new(),
        }),
    );
    h.wait(1);
    // It went with its lease: ours comes back.
    h.reply(6, read(8, None));
    assert_snapshot!(h.trace(), @"
    0.000s < publish 1 web/a out-of-service
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=155B:a3356908 lease=L1 else range /p/instances/web/a
    0.000s < #3 else /p/instances/web/a=2B:51503ab8@7/7~0000000000000999 @7
    0.000s > #4 m0 time-to-live lease=0000000000000999
    0.000s > registration 1 lost Disturbed
    0.000s > #5 m0 revoke lease=L1
    0.000s < #4 time-to-live lease=0000000000000999 left=3s granted=4s keys=0
    0.100s > #6 m0 range /p/instances/web/a
    1.000s < #6 range @8
    1.000s > #7 m0 grant lease=L2 ttl=9s
    ");
}

/// Each of them may be a late attempt of a process that has ended.
#[test]
fn a_dispute_begins_anew_with_another_lease() {
    let mut h = Harness::registered();
    let instance = instance("a").with_state(State::OutOfService);
    h.command(Command::Publish { id: RegistrationId(1), instance });
    h.reply(3, found(7, Some(record(7, 7, Some(stranger())))));
    let (lease, header, keys) = (stranger(), header(7), Vec::new());
    let left = TimeToLiveReply { header, lease, ttl_secs: 3, granted_secs: 4, keys };
    h.reply(4, Reply::TimeToLive(left)).wait(1);
    let other = LeaseId::new(0x998).expect("not 0");
    h.trace();
    h.reply(6, read(9, Some(record(9, 9, Some(other)))));
    assert!(h.trace.contains("time-to-live lease=0000000000000998\n"), "{}", h.trace);
}

/// As long as the lease of a disputed record may live by the slowest clock; where that can not be
/// known, as long as a lease of ours would. What is not answered is asked again.
#[test]
fn a_dispute_lasts_as_long_as_its_lease_may_live() {
    fn left(ttl_secs: i64, granted_secs: i64) -> Option<Reply> {
        let (header, keys) = (header(7), Vec::new());
        let left = TimeToLiveReply { header, lease: stranger(), ttl_secs, granted_secs, keys };
        Some(Reply::TimeToLive(left))
    }
    type Told = fn(usize) -> Option<Reply>;
    let cases: [(&str, Told); 6] = [
        ("granted 60 s", |_| left(50, 60)),
        ("granted for ever", |_| left(i64::MAX, i64::MAX)),
        ("no such lease", |_| left(-1, 0)),
        ("refused", |_| Some(Reply::Failed(StoreError::PermissionDenied))),
        ("failed twice", |n| if n < 2 { Some(gave_up()) } else { left(50, 60) }),
        ("unanswered once", |n| if n < 1 { None } else { left(50, 60) }),
    ];
    let mut outcome = String::new();
    for (what, answer) in cases {
        let mut h = Harness::registered();
        let instance = instance("a").with_state(State::OutOfService);
        h.command(Command::Publish { id: RegistrationId(1), instance });
        let theirs = record(7, 7, Some(stranger()));
        h.reply(3, found(7, Some(theirs.clone())));
        h.played = 3;
        let mut times = 0;
        let asked = h.play(150, |request| {
            if matches!(request, Request::TimeToLive(_)) {
                times += 1;
                return answer(times - 1);
            }
            let revoked = Reply::Revoke(RevokeReply { header: header(7) });
            let is_revoke = matches!(request, Request::Revoke(_));
            Some(if is_revoke { revoked } else { read(7, Some(theirs.clone())) })
        });
        let asks = asked.iter().filter(|(_, asked)| matches!(asked, Request::TimeToLive(_)));
        let asks: Vec<_> = asks.map(|(at, _)| at.to_string()).collect();
        let trace = h.trace();
        let gone = trace.lines().find(|line| line.contains("gone")).unwrap_or("stays");
        outcome += &format!("{what}, asked {}\n{gone}\n", asks.join(" "));
    }
    assert_snapshot!(outcome, @"
    granted 60 s, asked 0.000s
    66.300s > registration 1 gone: superseded by the record on lease 0000000000000999
    granted for ever, asked 0.000s
    stays
    no such lease, asked 0.000s
    11.300s > registration 1 gone: superseded by the record on lease 0000000000000999
    refused, asked 0.000s
    11.300s > registration 1 gone: superseded by the record on lease 0000000000000999
    failed twice, asked 0.000s 0.100s 0.300s
    66.300s > registration 1 gone: superseded by the record on lease 0000000000000999
    unanswered once, asked 0.000s 3.100s
    66.300s > registration 1 gone: superseded by the record on lease 0000000000000999
    ");
}
