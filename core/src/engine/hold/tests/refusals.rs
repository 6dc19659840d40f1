//! What the store refuses.

use insta::assert_snapshot;

use super::*;

/// The pauses grow to a minute; each refusal is told.
#[test]
fn denied_is_told_and_tried_again_slowly() {
    let mut outcome = String::new();
    for error in [StoreError::PermissionDenied, StoreError::AuthFailed, StoreError::NoSpace] {
        let mut h = Harness::new();
        h.register(1, "a", Conflict::Replace).grant(1).trace();
        h.played = 1;
        let (refused, lease) = (Reply::Failed(error.clone()), h.leases[0]);
        let tried = h.play(240, |request| {
            let renewal = matches!(request, Request::KeepAlive(_));
            Some(if renewal { kept(lease, TTL as i64) } else { refused.clone() })
        });
        let trace = h.trace();
        let told = trace.lines().filter(|line| line.contains("registration 1 denied")).count();
        let tried: Vec<_> = tried
            .iter()
            .filter(|(_, request)| matches!(request, Request::Txn(_)))
            .map(|(at, _)| at.to_string())
            .collect();
        outcome += &format!("{error}, told {told} times\n{}\n", tried.join(" "));
    }
    // The store takes it at last.
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1).trace();
    h.reply(2, Reply::Failed(StoreError::PermissionDenied)).wait(1).reply(3, put(5));
    outcome += &h.trace();
    assert_snapshot!(outcome, @"
    etcdserver: permission denied, told 13 times
    0.000s 0.100s 0.300s 0.700s 1.500s 3.100s 6.300s 12.700s 25.500s 51.100s 102.300s 162.300s 222.300s
    etcdserver: authentication failed, invalid user ID or password, told 13 times
    0.000s 0.100s 0.300s 0.700s 1.500s 3.100s 6.300s 12.700s 25.500s 51.100s 102.300s 162.300s 222.300s
    etcdserver: mvcc: database space exceeded, told 13 times
    0.000s 0.100s 0.300s 0.700s 1.500s 3.100s 6.300s 12.700s 25.500s 51.100s 102.300s 162.300s 222.300s
    0.000s < #2 failed: etcdserver: permission denied
    0.000s > registration 1 denied: etcdserver: permission denied
    0.100s > #3 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    1.000s < #3 then put @5
    1.000s > registration 1 registered @5 lease=L1 sequence=1
    ");
}

/// The record stood all along, but nobody was allowed to look; once it is seen again, that is told.
#[test]
fn a_record_that_may_be_read_again_is_told_again() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).trace();
    let lease = h.leases[0];
    let refused = || Reply::Failed(StoreError::PermissionDenied);
    h.reply(3, refused()).wait(1).reply(5, refused()).wait(1);
    let Request::Txn(published) = h.asked[1].1.clone() else { panic!("a publish") };
    let Some(Op::Put(written)) = published.then.into_iter().next() else { panic!("a put") };
    let kv = KeyValue {
        key: written.key,
        value: written.value,
        create_revision: Revision(5),
        mod_revision: Revision(5),
        version: 1,
        lease: Some(lease),
    };
    h.reply(6, read(7, Some(kv)));
    assert_snapshot!(h.trace(), @"
    0.000s < #3 failed: etcdserver: permission denied
    0.100s > #4 m0 watch /p/instances/web/a from 5 id=1 fragment
    0.100s > #5 m0 range /p/instances/web/a
    1.000s < #5 failed: etcdserver: permission denied
    1.000s > registration 1 denied: etcdserver: permission denied
    1.200s > #6 m0 range /p/instances/web/a
    2.000s < #6 range @7 /p/instances/web/a=146B:1a5ed297@5/5~L1
    2.000s > registration 1 registered @5 lease=L1 sequence=1
    ");
}

/// Registrations never give up: a refusal that blames nothing of ours is told and tried again.
#[test]
fn a_refusal_in_strange_words_ends_no_registration() {
    let forbidden = "grpc-status header missing, mapped from HTTP status code 403";
    let mut outcome = String::new();
    for (code, message) in [
        (Code::PermissionDenied, forbidden),
        (Code::InvalidArgument, "etcdserver: something new"),
        (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted"),
        (Code::FailedPrecondition, "etcdserver: not capable"),
    ] {
        let mut h = Harness::registered();
        let instance = instance("a").with_state(State::OutOfService);
        h.command(Command::Publish { id: RegistrationId(1), instance });
        h.trace();
        h.reply(3, Reply::Failed(StoreError::from_status(code, message))).wait(1);
        outcome += &h.trace();
    }
    assert_snapshot!(outcome, @"
    0.000s < #3 failed: PermissionDenied: grpc-status header missing, mapped from HTTP status code 403
    0.000s > m0 redial
    0.000s > registration 1 denied: PermissionDenied: grpc-status header missing, mapped from HTTP status code 403
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=155B:a3356908 lease=L1 else range /p/instances/web/a
    0.000s < #3 failed: InvalidArgument: etcdserver: something new
    0.000s > registration 1 denied: InvalidArgument: etcdserver: something new
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=155B:a3356908 lease=L1 else range /p/instances/web/a
    0.000s < #3 failed: etcdserver: mvcc: required revision has been compacted
    0.000s > registration 1 denied: etcdserver: mvcc: required revision has been compacted
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=155B:a3356908 lease=L1 else range /p/instances/web/a
    0.000s < #3 failed: etcdserver: not capable
    0.000s > m0 redial
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=155B:a3356908 lease=L1 else range /p/instances/web/a
    ");
}
