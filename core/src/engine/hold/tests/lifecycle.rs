//! From the first publish to the end.

use insta::assert_snapshot;

use super::store::Store;
use super::*;

#[test]
fn registers_renews_and_removes() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).wait(3);
    let lease = h.leases[0];
    h.reply(3, kept(lease, TTL as i64)).deregister(1).reply(4, put(6)).reply(5, deleted(7));
    h.reply(6, Reply::Revoke(RevokeReply { header: header(7) }));
    assert_snapshot!(h.trace(), @"
    0.000s < register 1 web/a ready Replace
    0.000s > #1 m0 grant lease=L1 ttl=9s
    0.000s < #1 granted lease=L1 ttl=9s
    0.000s > #2 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    0.000s < #2 then put @5
    0.000s > registration 1 registered @5 lease=L1 sequence=1
    3.000s > #3 m0 keepalive lease=L1
    3.000s < #3 kept alive lease=L1 ttl=9s
    3.000s < deregister 1 within 20s
    3.000s > #4 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    3.000s < #4 then put @6
    3.000s > #5 m0 txn if mod(/p/instances/web/a)=6, lease(/p/instances/web/a)=L1 then delete /p/instances/web/a else range /p/instances/web/a
    3.000s > #6 m0 revoke lease=L1
    3.000s < #5 then deleted 1 @7
    3.000s > registration 1 gone: deregistered
    3.000s < #6 revoked @7
    ");
    assert_eq!(h.engine.poll_timeout(), None, "nothing is left to wait for");
}

#[test]
fn a_key_is_registered_once_and_again_only_when_its_former_registration_has_ended() {
    let mut h = Harness::registered();
    h.register(2, "a", Conflict::Replace);
    h.deregister(1).register(3, "a", Conflict::Replace);
    h.reply(3, put(6)).reply(4, deleted(7));
    assert_snapshot!(h.trace(), @"
    0.000s < register 2 web/a ready Replace
    0.000s > registration 2 gone: refused: key /p/instances/web/a is registered by this process already
    0.000s < deregister 1 within 20s
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.000s < register 3 web/a ready Replace
    0.000s < #3 then put @6
    0.000s > #4 m0 txn if mod(/p/instances/web/a)=6, lease(/p/instances/web/a)=L1 then delete /p/instances/web/a else range /p/instances/web/a
    0.000s > #5 m0 revoke lease=L1
    0.000s < #4 then deleted 1 @7
    0.000s > registration 1 gone: deregistered
    0.000s > #6 m0 grant lease=L2 ttl=9s
    ");
}

#[test]
fn shutdown_drains_removes_revokes_and_falls_silent() {
    let mut h = Harness::registered();
    h.command(Command::Shutdown { within: Duration::from_secs(5) });
    h.reply(3, put(6)).reply(4, deleted(7));
    h.reply(5, Reply::Revoke(RevokeReply { header: header(7) }));
    h.register(9, "z", Conflict::Replace).wait(60);
    assert_snapshot!(h.trace(), @"
    0.000s < shutdown within 5s
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.000s < #3 then put @6
    0.000s > #4 m0 txn if mod(/p/instances/web/a)=6, lease(/p/instances/web/a)=L1 then delete /p/instances/web/a else range /p/instances/web/a
    0.000s > #5 m0 revoke lease=L1
    0.000s < #4 then deleted 1 @7
    0.000s > registration 1 gone: deregistered
    0.000s < #5 revoked @7
    0.000s > closed confirmed=true
    0.000s < register 9 web/z ready Replace
    0.000s > registration 9 gone: refused: shut down
    ");
    assert_eq!(h.engine.poll_timeout(), None);
}

/// Fell under hostile answers: it closed, and nobody was told how the registration had ended.
#[test]
fn a_shutdown_without_time_tells_how_registrations_end() {
    let mut h = Harness::registered();
    h.command(Command::Shutdown { within: Duration::ZERO }).wait(0);
    let trace = h.trace();
    let place = |what: &str| trace.find(what).unwrap_or_else(|| panic!("no {what}: {trace}"));
    let gone = place("registration 1 gone: removal not confirmed in time");
    assert!(gone < place("closed confirmed=false"), "{trace}");
    assert_eq!(h.engine.poll_timeout(), None);
}

/// What could not be removed in time is left to its lease, and the revoke has time to be answered.
#[test]
fn a_shutdown_that_runs_out_hears_of_its_revokes() {
    let mut outcome = String::new();
    for within in [2, 10] {
        let mut h = Harness::registered();
        let lease = h.leases[0];
        h.command(Command::Shutdown { within: Duration::from_secs(within) });
        h.played = h.asked.len();
        // Only renewals are answered.
        let last = within - 1;
        h.play(last, |request| {
            matches!(request, Request::KeepAlive(_)).then(|| kept(lease, TTL as i64))
        });
        let (revoke, _) = h
            .asked
            .iter()
            .rfind(|(_, asked)| matches!(asked, Request::Revoke(_)))
            .cloned()
            .expect("a revoke");
        h.reply(revoke.0, Reply::Revoke(RevokeReply { header: header(7) }));
        outcome += &h.trace();
    }
    assert_snapshot!(outcome, @"
    0.000s < shutdown within 2s
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.250s > #4 m0 revoke lease=L1
    1.000s > registration 1 gone: removal not confirmed in time
    1.000s < #4 revoked @7
    1.000s > #3 cancel
    1.000s > closed confirmed=false
    0.000s < shutdown within 10s
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    1.750s > #4 m0 revoke lease=L1
    3.000s > #3 cancel
    3.000s > m0 redial
    3.100s > #5 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then delete /p/instances/web/a else range /p/instances/web/a
    4.750s > #4 cancel
    4.850s > #6 m0 revoke lease=L1
    6.100s > #5 cancel
    6.100s > m0 redial
    6.300s > #7 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then delete /p/instances/web/a else range /p/instances/web/a
    7.000s > registration 1 gone: removal not confirmed in time
    7.850s > #6 cancel
    8.050s > #8 m0 revoke lease=L1
    9.000s < #8 revoked @7
    9.000s > #7 cancel
    9.000s > closed confirmed=false
    ");
}

/// However long the store keeps silent, and however many leases come and go.
#[test]
fn what_is_remembered_does_not_grow() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1);
    h.played = 1;
    let lease = h.leases[0];
    h.play(100, |request| {
        let refused = Reply::Failed(StoreError::TimedOut);
        Some(if matches!(request, Request::KeepAlive(_)) { kept(lease, 9) } else { refused })
    });
    let taints: Vec<_> = h.engine.holds.slots.values().map(|slot| slot.taints.len()).collect();
    assert_eq!(taints, [1], "one guard, one lease");

    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace);
    // Each lease is found dead when it is first used.
    let mut most = 0;
    for _ in 0..15_000 {
        h.play(1, |request| {
            let lost = Reply::Failed(StoreError::LeaseNotFound);
            let Request::Grant(grant) = request else { return Some(lost) };
            grant.lease.map(granted)
        });
        most = most.max(h.engine.holds.ours.len());
    }
    assert!(h.leases.len() > 2_900, "{}", h.leases.len());
    assert_eq!(most, 1_999, "a thousand at least, and twice as many at most");
    let (_, dead) = h.leases.split_last().expect("leases were asked for");
    let ours = &h.engine.holds.ours;
    assert!(dead.iter().rev().take(1_000).all(|lease| ours.contains(lease)), "the last ones");

    let mut h = Harness::new();
    let mut store = Store { revision: 1, ..Store::default() };
    h.register(1, "a", Conflict::Replace);
    for id in 2..100 {
        h.register(id, "b", Conflict::Replace).play(0, |request| store.answer(request));
        h.deregister(id).play(0, |request| store.answer(request));
    }
    let tainting: Vec<_> =
        h.engine.holds.leases.values().map(|lease| lease.tainting.len()).collect();
    assert_eq!(tainting, [0], "those that came and went");
}

/// Somebody may have kept it alive, or a store may have brought it back: it is ours however many
/// leases have come and gone since.
#[test]
fn a_record_on_a_lease_of_long_ago_is_ours() {
    let mut h = Harness::tuned(|tuning| tuning.max_keys_per_lease = 1);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).wait(3);
    let first = h.leases[0];
    let ours = own(&h, 5, 5, first);
    h.reply(3, kept(first, 0)).grant(4).reply(5, found(6, Some(ours.clone())));
    h.register(2, "b", Conflict::Replace);
    h.played = 5;
    let is_of_a = |request: &Request| request.to_string().contains("/web/a");
    h.play(11_000, |request| {
        Some(if let Request::Grant(grant) = request {
            granted(grant.lease?)
        } else if let Request::KeepAlive(keep) = request {
            kept(keep.lease, TTL as i64)
        } else if is_of_a(request) {
            Reply::Failed(StoreError::PermissionDenied)
        } else {
            Reply::Failed(StoreError::LeaseNotFound)
        })
    });
    assert!(h.leases.len() > 2_100, "{}", h.leases.len());
    h.trace();
    let asked = h.play(61, |request| {
        if let Request::KeepAlive(keep) = request {
            return Some(kept(keep.lease, TTL as i64));
        }
        is_of_a(request).then(|| found(7, Some(ours.clone())))
    });
    let heals = |request: &Request| request.to_string().contains("mod(/p/instances/web/a)=5");
    assert!(asked.iter().filter(|(_, request)| heals(request)).count() > 1, "{}", h.trace);
    assert!(!h.trace.contains("registration 1 "), "{}", h.trace);
}

/// That it is superseded is known, and that nothing of it can come: it is told, though the last
/// read is not answered in time.
#[test]
fn an_ending_that_is_known_is_told_when_the_time_is_over() {
    let mut outcome = String::new();
    for seen in [true, false] {
        let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
        h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).trace();
        let created =
            WatchReply { header: header(5), watch_id: 1, created: true, ..WatchReply::default() };
        h.reply(3, Reply::Watch(created.clone()));
        if seen {
            let kv = record(5, 6, Some(stranger()));
            let event = KeyEvent { kind: crate::waist::EventKind::Put, kv, prev: None };
            h.reply(3, Reply::Watch(WatchReply { created: false, events: vec![event], ..created }));
        }
        h.command(Command::Shutdown { within: Duration::from_secs(2) }).wait(2);
        outcome += &h.trace();
    }
    assert_snapshot!(outcome, @"
    0.000s < #3 watch @5 id=1 created
    0.000s < #3 watch @5 id=1 /p/instances/web/a=2B:51503ab8@5/6~0000000000000999
    0.000s > registration 1 lost Disturbed
    0.000s > #3 cancel
    0.000s > #4 m0 range /p/instances/web/a
    0.000s > #5 m0 revoke lease=L1
    0.000s < shutdown within 2s
    1.000s > registration 1 gone: superseded by the record on lease 0000000000000999
    2.000s > #4 cancel
    2.000s > #5 cancel
    2.000s > closed confirmed=true
    0.000s < #3 watch @5 id=1 created
    0.000s < shutdown within 2s
    0.000s > #3 cancel
    0.000s > #4 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.250s > #5 m0 revoke lease=L1
    1.000s > registration 1 gone: removal not confirmed in time
    2.000s > #4 cancel
    2.000s > #5 cancel
    2.000s > closed confirmed=false
    ");
}

/// One that waits for its key counts too.
#[test]
fn a_key_is_waited_for_by_one_registration() {
    let mut h = Harness::registered();
    h.deregister(1).register(2, "a", Conflict::Replace).trace();
    h.register(3, "a", Conflict::Replace).register(4, "b", Conflict::Replace);
    let trace = h.trace();
    let ended: Vec<_> = trace.lines().filter(|line| line.contains("gone")).collect();
    let twice = "refused: key /p/instances/web/a is registered by this process already";
    assert_eq!(ended, [format!("0.000s > registration 3 gone: {twice}")], "{trace}");
}

#[test]
fn nothing_is_published_under_another_name() {
    for (group, name) in [("web", "b"), ("api", "a")] {
        let mut h = Harness::registered();
        let group = GroupName::parse(group).expect("a name");
        let name = InstanceId::parse(name).expect("a name");
        let instance = Instance::builder(group, name).build().expect("an instance");
        h.command(Command::Publish { id: RegistrationId(1), instance });
        assert_eq!(h.asked.len(), 2, "{}", h.trace);
        h.trace();
        h.deregister(1);
        // Its own record is what drains, as ever.
        let drains = "then put /p/instances/web/a=149B:89827a71 lease=L1";
        assert!(h.trace.contains(drains), "{}", h.trace);
    }
}

/// A removal ends with the shutdown at the latest, so that its end is told, and no later than it
/// would without.
#[test]
fn a_shutdown_prolongs_no_removal() {
    let mut outcome = String::new();
    for within in [60, 19, 10] {
        let mut h = Harness::registered();
        let lease = h.leases[0];
        h.deregister(1);
        let renewed = |request: &Request| {
            matches!(request, Request::KeepAlive(_)).then(|| kept(lease, TTL as i64))
        };
        h.played = h.asked.len();
        h.play(4, renewed);
        h.command(Command::Shutdown { within: Duration::from_secs(within) }).play(70, renewed);
        let trace = h.trace();
        let line = |what: &str| trace.lines().find(|line| line.contains(what)).expect("it is told");
        outcome += &format!("{within} s\n{}\n{}\n", line("revoke"), line("gone"));
    }
    assert_snapshot!(outcome, @"
    60 s
    5.000s > #6 m0 revoke lease=L1
    20.000s > registration 1 gone: removal not confirmed in time
    19 s
    5.000s > #6 m0 revoke lease=L1
    20.000s > registration 1 gone: removal not confirmed in time
    10 s
    5.750s > #6 m0 revoke lease=L1
    11.000s > registration 1 gone: removal not confirmed in time
    ");
}

/// The first guess may well be wrong, so what follows it is tried at once.
#[test]
fn compares_that_fail_again_and_again_do_not_make_it_spin() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace);
    let lease = h.leases[0];
    let mut revision = 5;
    let asked = h.play(30, |request| {
        revision += 1;
        Some(if matches!(request, Request::Grant(_)) {
            granted(lease)
        } else if matches!(request, Request::KeepAlive(_)) {
            kept(lease, TTL as i64)
        } else {
            found(revision, None)
        })
    });
    let publishes = asked.iter().filter(|(_, request)| matches!(request, Request::Txn(_)));
    let times: Vec<_> = publishes.map(|(at, _)| at.to_string()).collect();
    assert_snapshot!(times.join(" "), @"0.000s 0.000s 0.100s 0.300s 0.700s 1.500s 3.100s 6.300s 11.300s 16.300s 21.300s 26.300s");
}

/// Whoever has less time than they said at first may say so.
#[test]
fn of_two_wishes_for_a_removal_the_earlier_end_counts() {
    let within =
        |secs| Command::Deregister { id: RegistrationId(1), within: Duration::from_secs(secs) };
    let mut h = Harness::registered();
    h.command(within(20)).command(within(2)).command(within(30)).wait(1);
    assert!(!h.trace.contains("gone"), "{}", h.trace);
    h.wait(1);
    assert!(h.trace.contains("2.000s > registration 1 gone: removal not confirmed"), "{}", h.trace);
}
