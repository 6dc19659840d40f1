//! Another store, or one that has lost what it had.

use insta::assert_snapshot;

use super::store::Store;
use super::*;

/// A store restored to before the publish, with the lease: the watch would wait for a revision to
/// come, and the lease is renewed as ever.
#[test]
fn a_restored_store_gets_all_anew_on_new_leases() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).reply(3, created(5)).trace();
    h.reply(3, gave_up()).wait(1).reply(4, created(2));
    let early = own(&h, 2, 2, h.leases[0]);
    h.reply(5, read(2, Some(early.clone())));
    h.revision = Revision(2);
    h.grant(6).wait(1).reply(7, found(2, Some(early))).reply(8, put(3));
    h.reply(10, Reply::Revoke(RevokeReply { header: header(3) }));
    assert_snapshot!(h.trace(), @"
    0.000s < #3 failed: connection lost: reset
    0.000s > m0 redial
    0.100s > #4 m0 watch /p/instances/web/a from 5 id=1 fragment
    1.000s < #4 watch @2 id=1 created
    1.000s > #5 m0 range /p/instances/web/a
    1.000s < #5 range @2 /p/instances/web/a=146B:1a5ed297@2/2~L1
    1.000s > #4 cancel
    1.000s > registration 1 lost Disturbed
    1.000s > #6 m0 grant lease=L2 ttl=9s
    1.000s < #6 granted lease=L2 ttl=9s
    1.100s > #7 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L2 else range /p/instances/web/a
    2.000s < #7 else /p/instances/web/a=146B:1a5ed297@2/2~L1 @2
    2.000s > #8 m0 txn if mod(/p/instances/web/a)=2, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=146B:1a5ed297 lease=L2 else range /p/instances/web/a
    2.000s < #8 then put @3
    2.000s > #9 m0 watch /p/instances/web/a from 3 id=2 fragment
    2.000s > registration 1 registered @3 lease=L2 sequence=1
    2.000s > #10 m0 revoke lease=L1
    2.000s < #10 revoked @3
    ");
}

/// A lease is being left for a second one, to which nothing was sent yet, when the store becomes
/// another one: both go when the record stands on a third.
#[test]
fn all_leases_that_a_record_was_to_hang_on_go() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1).register(2, "b", Conflict::Replace);
    h.reply(2, gave_up()).reply(3, put(5)).wait(1).reply(4, put(6)).deregister(1).reply(5, put(7));
    // While this is under way, b has a place on the second lease, and is not sent there.
    let draining = instance("b").with_state(State::Draining);
    h.command(Command::Publish { id: RegistrationId(2), instance: draining });
    h.reply(6, deleted(8)).grant(8).register(3, "c", Conflict::Replace).reply(9, put(3));
    h.played = h.asked.len() - 1;
    let leases = h.leases.iter().copied().collect();
    let mut store = Store { revision: 3, leases, ..Store::default() };
    h.play(1, |request| store.answer(request));
    assert_eq!(store.leases.into_iter().collect::<Vec<_>>(), h.leases[2..], "{}", h.trace);
}

/// What is on its way to a new lease when the store is restored may land there.
#[test]
fn a_lease_stays_as_long_as_what_was_sent_on_it_may_stand_there() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1).register(2, "b", Conflict::Replace);
    h.reply(2, gave_up()).reply(3, put(5)).wait(2).reply(4, put(6));
    h.deregister(1).reply(5, put(7)).reply(6, deleted(20)).grant(7);
    let (_, moves) = h.asked.last().cloned().expect("it moves");
    let mut store = Store { revision: 9, ..Store::default() };
    store.leases.extend(&h.leases);
    let b = Key::from("/p/instances/web/b");
    let stands = KeyValue { key: b.clone(), ..own(&h, 5, 5, h.leases[0]) };
    store.keys.insert(b.clone(), stands);
    store.answer(&moves).expect("an answer that is lost");
    assert_eq!(store.keys[&b].lease, Some(h.leases[1]));
    h.played = h.asked.len();
    h.play(2, |request| {
        let answer = store.answer(request);
        assert!(store.keys.contains_key(&b), "it is gone, by {request}");
        answer
    });
    assert_eq!(store.leases.into_iter().collect::<Vec<_>>(), h.leases[2..], "{}", h.trace);
}

#[test]
fn a_renewal_tells_of_a_restored_store_too() {
    let mut h = Harness::registered();
    h.wait(3);
    let lease = h.leases[0];
    h.reply(3, kept_at(lease, header(2))).reply(4, read(2, None));
    h.revision = Revision(2);
    h.grant(5).reply(6, put(3));
    assert_snapshot!(h.trace(), @"
    3.000s > #3 m0 keepalive lease=L1
    3.000s < #3 kept alive lease=L1 ttl=9s
    3.000s > #4 m0 range /p/instances/web/a
    3.000s < #4 range @2
    3.000s > registration 1 lost Disturbed
    3.000s > #5 m0 grant lease=L2 ttl=9s
    3.000s < #5 granted lease=L2 ttl=9s
    3.000s > #6 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L2 else range /p/instances/web/a
    3.000s < #6 then put @3
    3.000s > registration 1 registered @3 lease=L2 sequence=1
    3.000s > #7 m0 revoke lease=L1
    ");
}

#[test]
fn a_member_that_lags_is_no_other_store() {
    let mut h = Harness::registered();
    h.wait(3);
    let lease = h.leases[0];
    h.reply(3, kept_at(lease, header(2))).reply(4, read(5, None));
    assert_snapshot!(h.trace(), @"
    3.000s > #3 m0 keepalive lease=L1
    3.000s < #3 kept alive lease=L1 ttl=9s
    3.000s > #4 m0 range /p/instances/web/a
    3.000s < #4 range @5
    ");
}

#[test]
fn another_cluster_or_a_younger_term_is_another_store() {
    let mut outcome = String::new();
    for (cluster_id, raft_term) in [(1, 3), (2, 3), (1, 2), (1, 4)] {
        let mut h = Harness::new();
        let stand = |revision: i64, cluster_id: u64, raft_term: u64| Header {
            cluster_id,
            raft_term,
            ..header(revision)
        };
        h.register(1, "a", Conflict::Replace);
        let lease = h.leases[0];
        let ttl_secs = TTL as i64;
        h.reply(1, Reply::Grant(GrantReply { header: stand(4, 1, 3), lease, ttl_secs }));
        let responses = vec![OpReply::Put(PutReply::default())];
        h.reply(2, Reply::Txn(TxnReply { header: stand(5, 1, 3), succeeded: true, responses }));
        h.wait(3).reply(3, kept_at(lease, stand(9, cluster_id, raft_term))).trace();
        let header = stand(9, cluster_id, raft_term);
        h.reply(4, Reply::Range(RangeReply { header, ..RangeReply::default() }));
        outcome += &format!("cluster {cluster_id} term {raft_term}\n{}", h.trace());
    }
    assert_snapshot!(outcome, @"
    cluster 1 term 3
    3.000s < #4 range @9
    cluster 2 term 3
    3.000s < #4 range @9
    3.000s > registration 1 lost Disturbed
    3.000s > #5 m0 grant lease=L2 ttl=9s
    cluster 1 term 2
    3.000s < #4 range @9
    3.000s > registration 1 lost Disturbed
    3.000s > #5 m0 grant lease=L2 ttl=9s
    cluster 1 term 4
    3.000s < #4 range @9
    ");
}

/// In a store that has overtaken all that was known of the former one, no header tells.
#[test]
fn own_keys_are_read_after_their_watch_was_lost() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).reply(3, created(5)).trace();
    h.reply(3, gave_up()).wait(1).reply(4, created(50)).wait(1).reply(5, read(50, None)).wait(1);
    assert_snapshot!(h.trace(), @"
    0.000s < #3 failed: connection lost: reset
    0.000s > m0 redial
    0.100s > #4 m0 watch /p/instances/web/a from 5 id=1 fragment
    1.000s < #4 watch @50 id=1 created
    1.100s > #5 m0 range /p/instances/web/a
    2.000s < #5 range @50
    2.000s > registration 1 lost Disturbed
    2.200s > #6 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    3.000s > #7 m0 keepalive lease=L1
    ");
}

/// What a process has removed may stand again.
#[test]
fn a_removal_that_waits_for_its_lease_begins_anew_in_another_epoch() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, gave_up()).wait(1);
    let ours = own(&h, 5, 5, h.leases[0]);
    h.reply(3, found(5, Some(ours.clone()))).deregister(1).reply(4, put(6)).trace();
    h.reply(5, deleted(7));
    h.command(Command::Call {
        id: crate::engine::OpId(9),
        request: Request::Range(crate::waist::Range::of(KeyRange::one(Key::from("x")))),
        within: Duration::from_secs(5),
    });
    h.reply(7, read(5, None)).reply(8, read(5, Some(ours.clone())));
    h.reply(9, read(5, Some(ours))).reply(10, deleted(6));
    h.reply(6, Reply::Failed(StoreError::LeaseNotFound));
    assert_snapshot!(h.trace(), @"
    1.000s < #5 then deleted 1 @7
    1.000s < call 9 range x within 5s
    1.000s > #7 m0 range x
    1.000s < #7 range @5
    1.000s > call 9 range @5
    1.000s > #8 m0 range /p/instances/web/a
    1.000s < #8 range @5 /p/instances/web/a=146B:1a5ed297@5/5~L1
    1.000s > #9 m0 range /p/instances/web/a
    1.000s < #9 range @5 /p/instances/web/a=146B:1a5ed297@5/5~L1
    1.000s > #10 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then delete /p/instances/web/a else range /p/instances/web/a
    1.000s < #10 then deleted 1 @6
    1.000s < #6 failed: etcdserver: requested lease not found
    1.000s > registration 1 gone: deregistered
    ");
}

/// Who answers now may be another store than the one that took it. It is asked for anew, and what
/// fails then is tried again.
#[test]
fn a_publish_under_way_in_another_epoch_is_not_believed() {
    let mut h = Harness::registered();
    let instance = instance("a").with_state(State::OutOfService);
    h.command(Command::Publish { id: RegistrationId(1), instance });
    another_epoch(&mut h);
    h.trace();
    h.grant(6).reply(7, gave_up()).reply(3, put(6)).wait(1).reply(8, put(3));
    assert_snapshot!(h.trace(), @"
    0.000s < #6 granted lease=L2 ttl=9s
    0.000s > #7 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=155B:a3356908 lease=L2 else range /p/instances/web/a
    0.000s < #7 failed: connection lost: reset
    0.000s > m0 redial
    0.000s < #3 then put @6
    0.100s > #8 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=155B:a3356908 lease=L2 else range /p/instances/web/a
    1.000s < #8 then put @3
    1.000s > registration 1 registered @3 lease=L2 sequence=2
    1.000s > #9 m0 revoke lease=L1
    ");
}

/// What stood there may stand there again, or something else of ours: only a read can tell.
#[test]
fn a_removal_in_another_epoch_reads_first() {
    let mut h = Harness::registered();
    another_epoch(&mut h);
    h.trace();
    h.deregister(1);
    assert!(!h.trace.contains("gone"), "{}", h.trace);
    h.reply(6, read(2, None));
    assert_snapshot!(h.trace(), @"
    0.000s < deregister 1 within 20s
    0.000s > #6 m0 range /p/instances/web/a
    0.000s > #7 m0 revoke lease=L1
    0.000s < #6 range @2
    0.000s > registration 1 gone: deregistered
    ");
}

/// Nothing hangs on a lease on which nothing could be put: nobody has to be seen elsewhere first,
/// which may take as long as the store refuses whatever is put.
#[test]
fn a_lease_that_nothing_was_put_on_goes_at_once_in_another_epoch() {
    let mut h = Harness::tuned(|tuning| tuning.max_keys_per_lease = 1);
    h.register(1, "a", Conflict::Replace);
    h.grant(1).reply(2, put(5));
    h.register(2, "b", Conflict::Replace);
    h.grant(3).reply(4, Reply::Failed(StoreError::PermissionDenied));
    h.trace();
    another_epoch(&mut h);
    assert_snapshot!(h.trace(), @"
    0.000s < call 9 range x within 5s
    0.000s > #5 m0 range x
    0.000s < #5 range @2
    0.000s > call 9 range @2
    0.000s > #6 m0 range /p/instances/web/a
    0.000s < #6 range @2
    0.000s > registration 1 lost Disturbed
    0.000s > #7 m0 grant lease=L3 ttl=9s
    0.000s > #8 m0 grant lease=L4 ttl=9s
    0.000s > #9 m0 revoke lease=L2
    ");
}

/// An answer tells of a lower revision than the one that is known, and a read confirms it.
fn another_epoch(h: &mut Harness) {
    let next = h.asked.last().expect("something was asked").0.0 + 1;
    h.command(Command::Call {
        id: crate::engine::OpId(9),
        request: Request::Range(crate::waist::Range::of(KeyRange::one(Key::from("x")))),
        within: Duration::from_secs(5),
    });
    h.reply(next, read(2, None)).reply(next + 1, read(2, None));
    h.revision = Revision(2);
}

#[test]
fn an_update_in_doubt_stays_so_in_another_epoch() {
    let mut h = Harness::registered();
    let (id, within) = (crate::engine::OpId(9), Duration::from_secs(20));
    let group = GroupName::parse("web").expect("a name");
    h.command(Command::Update { id, group, within }).reply(3, read(5, None));
    let proposal = crate::engine::Proposal::Write(crate::instance::Data::parse("1").expect("JSON"));
    h.command(Command::Proposed { id, proposal }).wait(3).trace();
    let lease = h.leases[0];
    h.reply(5, kept_at(lease, header(2))).reply(6, read(2, None));
    assert_snapshot!(h.trace(), @"
    3.000s < #5 kept alive lease=L1 ttl=9s
    3.000s > #6 m0 range /p/instances/web/a
    3.000s < #6 range @2
    3.000s > registration 1 lost Disturbed
    3.000s > update 9 unknown: no answer in time
    3.000s > #7 m0 grant lease=L2 ttl=9s
    ");
}
