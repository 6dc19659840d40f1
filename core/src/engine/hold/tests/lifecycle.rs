//! From the first publish to the end.

use insta::assert_snapshot;

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
    3.000s > #4 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    3.000s < #4 then put @6
    3.000s > #5 m0 txn if mod(/p/instances/web/a)=6 then delete /p/instances/web/a else range /p/instances/web/a
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
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.000s < register 3 web/a ready Replace
    0.000s < #3 then put @6
    0.000s > #4 m0 txn if mod(/p/instances/web/a)=6 then delete /p/instances/web/a else range /p/instances/web/a
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
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.000s < #3 then put @6
    0.000s > #4 m0 txn if mod(/p/instances/web/a)=6 then delete /p/instances/web/a else range /p/instances/web/a
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
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.250s > #4 m0 revoke lease=L1
    1.000s > registration 1 gone: removal not confirmed in time
    1.000s < #4 revoked @7
    1.000s > #3 cancel
    1.000s > closed confirmed=false
    0.000s < shutdown within 10s
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    1.750s > #4 m0 revoke lease=L1
    3.000s > #3 cancel
    3.000s > m0 redial
    3.100s > #5 m0 txn if mod(/p/instances/web/a)=5 then delete /p/instances/web/a else range /p/instances/web/a
    4.750s > #4 cancel
    4.850s > #6 m0 revoke lease=L1
    6.100s > #5 cancel
    6.100s > m0 redial
    6.300s > #7 m0 txn if mod(/p/instances/web/a)=5 then delete /p/instances/web/a else range /p/instances/web/a
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
    h.played = 0;
    h.play(15_000, |request| {
        let lost = Reply::Failed(StoreError::LeaseNotFound);
        let Request::Grant(grant) = request else { return Some(lost) };
        grant.lease.map(granted)
    });
    assert!(h.leases.len() > 2_900, "{}", h.leases.len());
    assert!(h.engine.holds.ours.len() < 2_500, "{}", h.engine.holds.ours.len());
}

/// That it is superseded is known, and that nothing of it can come: it is told, though the last
/// read is not answered in time.
#[test]
fn an_ending_that_is_known_is_told_when_the_time_is_over() {
    let mut outcome = String::new();
    for seen in [true, false] {
        let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
        h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).trace();
        let created = WatchReply { watch_id: 1, created: true, ..WatchReply::default() };
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
    0.000s < #3 watch @0 id=1 created
    0.000s < #3 watch @0 id=1 /p/instances/web/a=2B:51503ab8@5/6~0000000000000999
    0.000s > registration 1 lost Disturbed
    0.000s > #3 cancel
    0.000s > #4 m0 range /p/instances/web/a
    0.000s > #5 m0 revoke lease=L1
    0.000s < shutdown within 2s
    1.000s > registration 1 gone: superseded by the record on lease 0000000000000999
    2.000s > #4 cancel
    2.000s > #5 cancel
    2.000s > closed confirmed=true
    0.000s < #3 watch @0 id=1 created
    0.000s < shutdown within 2s
    0.000s > #3 cancel
    0.000s > #4 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.250s > #5 m0 revoke lease=L1
    1.000s > registration 1 gone: removal not confirmed in time
    2.000s > #4 cancel
    2.000s > #5 cancel
    2.000s > closed confirmed=false
    ");
}
