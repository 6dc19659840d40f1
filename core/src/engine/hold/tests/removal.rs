//! When a removal is confirmed.

use insta::assert_snapshot;

use super::store::Store;
use super::*;

#[test]
fn an_unanswered_publish_is_repeated_under_its_guard_and_taints_the_lease() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, gave_up()).wait(1);
    let ours = own(&h, 5, 5, h.leases[0]);
    h.reply(3, found(5, Some(ours)));
    // The first attempt may still land once the key is gone: removal is confirmed only when its
    // lease is dead.
    h.deregister(1).reply(4, put(6)).reply(5, deleted(7));
    assert!(!h.trace.contains("gone"), "{}", h.trace);
    h.reply(6, Reply::Revoke(RevokeReply { header: header(7) }));
    assert_snapshot!(h.trace(), @"
    0.000s < register 1 web/a ready Replace
    0.000s > #1 m0 grant lease=L1 ttl=9s
    0.000s < #1 granted lease=L1 ttl=9s
    0.000s > #2 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    0.000s < #2 failed: connection lost: reset
    0.000s > m0 redial
    0.100s > #3 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    1.000s < #3 else /p/instances/web/a=146B:1a5ed297@5/5~L1 @5
    1.000s > registration 1 registered @5 lease=L1 sequence=1
    1.000s < deregister 1 within 20s
    1.000s > #4 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    1.000s < #4 then put @6
    1.000s > #5 m0 txn if mod(/p/instances/web/a)=6, lease(/p/instances/web/a)=L1 then delete /p/instances/web/a else range /p/instances/web/a
    1.000s > #6 m0 revoke lease=L1
    1.000s < #5 then deleted 1 @7
    1.000s < #6 revoked @7
    1.000s > registration 1 gone: deregistered
    ");
}

#[test]
fn siblings_move_before_a_tainted_lease_is_revoked() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1).register(2, "b", Conflict::Replace);
    h.reply(2, gave_up()).reply(3, put(5)).wait(1).reply(4, put(6)).trace();
    h.deregister(1).reply(5, put(7)).reply(6, deleted(8));
    h.grant(7).reply(8, put(9));
    h.reply(9, Reply::Revoke(RevokeReply { header: header(9) }));
    assert_snapshot!(h.trace(), @"
    1.000s < deregister 1 within 20s
    1.000s > #5 m0 txn if mod(/p/instances/web/a)=6, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    1.000s < #5 then put @7
    1.000s > #6 m0 txn if mod(/p/instances/web/a)=7, lease(/p/instances/web/a)=L1 then delete /p/instances/web/a else range /p/instances/web/a
    1.000s < #6 then deleted 1 @8
    1.000s > #7 m0 grant lease=L2 ttl=9s
    1.000s < #7 granted lease=L2 ttl=9s
    1.000s > #8 m0 txn if mod(/p/instances/web/b)=5, lease(/p/instances/web/b)=L1 then put /p/instances/web/b=146B:41b53285 lease=L2 else range /p/instances/web/b
    1.000s < #8 then put @9
    1.000s > registration 2 registered @9 lease=L2 sequence=1
    1.000s > #9 m0 revoke lease=L1
    1.000s < #9 revoked @9
    1.000s > registration 1 gone: deregistered
    ");
}

#[test]
fn a_removal_that_is_not_confirmed_in_time_leaves_its_lease_to_die() {
    let mut h = Harness::registered();
    h.command(Command::Deregister { id: RegistrationId(1), within: Duration::from_secs(1) });
    h.wait(1);
    h.reply(4, Reply::Failed(StoreError::LeaseNotFound));
    assert_snapshot!(h.trace(), @"
    0.000s < deregister 1 within 1s
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.250s > #4 m0 revoke lease=L1
    1.000s > registration 1 gone: removal not confirmed in time
    1.000s < #4 failed: etcdserver: requested lease not found
    ");
}

/// Deleting needs no space.
#[test]
fn a_full_store_does_not_hold_up_a_removal() {
    let mut h = Harness::registered();
    h.deregister(1).reply(3, Reply::Failed(StoreError::NoSpace)).reply(4, deleted(6));
    h.reply(5, Reply::Revoke(RevokeReply { header: header(6) }));
    assert_snapshot!(h.trace(), @"
    0.000s < deregister 1 within 20s
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.000s < #3 failed: etcdserver: mvcc: database space exceeded
    0.000s > #4 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then delete /p/instances/web/a else range /p/instances/web/a
    0.000s > #5 m0 revoke lease=L1
    0.000s < #4 then deleted 1 @6
    0.000s > registration 1 gone: deregistered
    0.000s < #5 revoked @6
    ");
}

/// Who has said that it drains does not say it again.
#[test]
fn a_removal_of_what_drains_already_only_removes() {
    let mut h = Harness::registered();
    let draining = instance("a").with_state(State::Draining);
    h.command(Command::Publish { id: RegistrationId(1), instance: draining });
    h.reply(3, put(6)).deregister(1).reply(4, deleted(7));
    assert_snapshot!(h.trace(), @"
    0.000s < publish 1 web/a draining
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.000s < #3 then put @6
    0.000s > registration 1 registered @6 lease=L1 sequence=2
    0.000s < deregister 1 within 20s
    0.000s > #4 m0 txn if mod(/p/instances/web/a)=6, lease(/p/instances/web/a)=L1 then delete /p/instances/web/a else range /p/instances/web/a
    0.000s > #5 m0 revoke lease=L1
    0.000s < #4 then deleted 1 @7
    0.000s > registration 1 gone: deregistered
    ");
}

/// Telling that it drains takes a quarter of a removal's time at most.
#[test]
fn a_removal_goes_on_without_draining() {
    let mut h = Harness::registered();
    h.deregister(1);
    let lease = h.leases[0];
    h.played = 2;
    h.play(6, |request| {
        if let Request::Txn(txn) = request {
            let draining = matches!(txn.then[..], [Op::Put(_)]);
            return draining.then_some(Reply::Failed(StoreError::TooManyRequests));
        }
        matches!(request, Request::KeepAlive(_)).then(|| kept(lease, TTL as i64))
    });
    assert_snapshot!(h.trace(), @"
    0.000s < deregister 1 within 20s
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.000s < #3 failed: etcdserver: too many requests
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.100s < #4 failed: etcdserver: too many requests
    0.300s > #5 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.300s < #5 failed: etcdserver: too many requests
    0.700s > #6 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.700s < #6 failed: etcdserver: too many requests
    1.500s > #7 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    1.500s < #7 failed: etcdserver: too many requests
    3.000s > #8 m0 keepalive lease=L1
    3.000s < #8 kept alive lease=L1 ttl=9s
    3.100s > #9 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    3.100s < #9 failed: etcdserver: too many requests
    5.000s > #10 m0 revoke lease=L1
    ");
}

/// As many as there are: in the requests that they would take anyway.
#[test]
fn a_full_store_does_not_hold_up_many_removals() {
    let mut h = Harness::new();
    let mut store = Store { revision: 1, ..Store::default() };
    h.register(1, "a", Conflict::Replace).register(2, "b", Conflict::Replace);
    h.play(1, |request| store.answer(request));
    h.command(Command::Shutdown { within: Duration::from_secs(5) });
    let asked = h.play(1, |request| {
        let is_full = request.to_string().contains("then put");
        if is_full { Some(Reply::Failed(StoreError::NoSpace)) } else { store.answer(request) }
    });
    let batches = asked.iter().filter(|(_, request)| matches!(request, Request::Txn(_)));
    assert_eq!(batches.count(), 2, "draining, and deleting: {}", h.trace);
    assert!(store.keys.is_empty());
    assert!(h.trace.ends_with("> closed confirmed=true\n"), "{}", h.trace);
}

#[test]
fn a_removal_waits_for_the_publish_that_is_under_way() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1).trace();
    h.deregister(1).wait(1).reply(2, put(5)).reply(4, deleted(6));
    assert_snapshot!(h.trace(), @"
    0.000s < deregister 1 within 20s
    0.000s > #3 m0 revoke lease=L1
    1.000s < #2 then put @5
    1.000s > #4 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then delete /p/instances/web/a else range /p/instances/web/a
    1.000s < #4 then deleted 1 @6
    1.000s > registration 1 gone: deregistered
    ");
}

/// Its record still stands at the revision that our publish compares.
#[test]
fn a_removal_waits_for_a_publish_that_may_still_replace_somebody() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1);
    let theirs = record(3, 4, Some(stranger()));
    h.reply(2, found(4, Some(theirs.clone()))).reply(3, gave_up()).trace();
    h.deregister(1).wait(1).reply(5, read(4, Some(theirs)));
    assert!(!h.trace.contains("gone"), "{}", h.trace);
    h.reply(4, Reply::Revoke(RevokeReply { header: header(4) }));
    assert_snapshot!(h.trace(), @"
    0.000s < deregister 1 within 20s
    0.000s > #4 m0 revoke lease=L1
    0.100s > #5 m0 range /p/instances/web/a
    1.000s < #5 range @4 /p/instances/web/a=2B:51503ab8@3/4~0000000000000999
    1.000s < #4 revoked @4
    1.000s > registration 1 gone: deregistered
    ");
}

/// Whose it is, its value tells: ours goes, anybody else's stays.
#[test]
fn a_record_that_hangs_on_no_lease_is_removed_if_we_wrote_it() {
    let mut outcome = String::new();
    for is_ours in [true, false] {
        let mut h = Harness::registered();
        h.deregister(1).reply(3, put(6)).trace();
        let ours = own(&h, 5, 7, stranger());
        let record = if is_ours { ours } else { record(5, 7, None) };
        h.reply(4, found(7, Some(KeyValue { lease: None, ..record })));
        outcome += &h.trace();
    }
    assert_snapshot!(outcome, @"
    0.000s < #4 else /p/instances/web/a=146B:1a5ed297@5/7 @7
    0.000s > #6 m0 txn if mod(/p/instances/web/a)=7, lease(/p/instances/web/a)=- then delete /p/instances/web/a else range /p/instances/web/a
    0.000s < #4 else /p/instances/web/a=2B:51503ab8@5/7 @7
    0.000s > registration 1 gone: deregistered
    ");
}

#[test]
fn a_removal_that_is_asked_for_again_takes_no_longer() {
    let mut h = Harness::registered();
    let id = RegistrationId(1);
    h.command(Command::Deregister { id, within: Duration::from_secs(2) }).wait(1);
    h.deregister(1).wait(1);
    let end = "\n2.000s > registration 1 gone: removal not confirmed in time\n";
    assert!(h.trace.contains(end), "{}", h.trace);
}

/// It stands all the time, on the old lease or on the new one.
#[test]
fn a_record_that_moves_is_not_lost() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1).register(2, "b", Conflict::Replace);
    h.reply(2, put(5)).reply(3, gave_up()).wait(1).reply(4, put(6));
    h.deregister(2).reply(5, put(7)).reply(6, deleted(8)).grant(7).trace();
    let ours = own(&h, 5, 5, h.leases[0]);
    h.reply(8, gave_up()).wait(1).reply(9, found(8, Some(ours))).reply(10, put(9));
    assert_snapshot!(h.trace(), @"
    1.000s < #8 failed: connection lost: reset
    1.000s > m0 redial
    1.200s > #9 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=146B:1a5ed297 lease=L2 else range /p/instances/web/a
    2.000s < #9 else /p/instances/web/a=146B:1a5ed297@5/5~L1 @8
    2.000s > #10 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=146B:1a5ed297 lease=L2 else range /p/instances/web/a
    2.000s < #10 then put @9
    2.000s > registration 1 registered @9 lease=L2 sequence=1
    2.000s > #11 m0 revoke lease=L1
    ");
}

/// On each lease one of them may land, whenever the key is absent.
#[test]
fn a_removal_waits_for_all_leases_of_its_unanswered_publishes() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, gave_up());
    h.sleep(TTL + 1).input(Input::Tick).grant(3).reply(4, gave_up());
    h.deregister(1).wait(1);
    let revoke_of = |h: &Harness, lease: LeaseId| {
        let is_it = |(_, request): &&(AttemptId, Request)| matches!(request, Request::Revoke(revoke) if revoke.lease == lease);
        h.asked.iter().find(is_it).expect("a revoke").0.0
    };
    let (read_at, _) = h
        .asked
        .iter()
        .rfind(|(_, request)| matches!(request, Request::Range(_)))
        .cloned()
        .expect("a read");
    h.reply(read_at.0, read(5, None));
    let revoked = || Reply::Revoke(RevokeReply { header: header(5) });
    for lease in h.leases.clone() {
        assert!(!h.trace.contains("gone"), "{}", h.trace);
        h.reply(revoke_of(&h, lease), revoked());
    }
    assert!(h.trace.ends_with("> registration 1 gone: deregistered\n"), "{}", h.trace);
}
