use portolan_core::waist::{AttemptId, KeepAlive, LeaseId, Reply, Request, Revoke, StoreError};

use crate::harness::{Driver, etcd};

fn renew(lease: LeaseId) -> Request {
    Request::KeepAlive(KeepAlive { lease })
}

fn ttl_of(reply: &Reply) -> i64 {
    let Reply::KeepAlive(reply) = reply else { panic!("a renewal was answered with {reply:?}") };
    assert_ne!(reply.header.cluster_id, 0, "every answer has its header");
    reply.ttl_secs
}

#[tokio::test]
async fn one_stream_renews_all_leases_living_and_dead() {
    let etcd = etcd();
    let mut driver = Driver::of(&etcd);
    let dead = LeaseId::new(4711).expect("not 0");
    // The very first renewal of a stream may be of a dead lease.
    let reply = driver.ask(renew(dead)).await;
    assert_eq!(ttl_of(&reply), 0);

    let mut leases = Vec::new();
    for id in 1..=50 {
        leases.push(driver.grant(id).await);
    }
    let mut attempts: Vec<(AttemptId, LeaseId)> = Vec::new();
    for lease in leases.iter().copied().chain([dead]).chain(leases.iter().copied()) {
        attempts.push((driver.submit(renew(lease)), lease));
    }
    for (attempt, lease) in attempts {
        // One stream, so in the order of asking.
        let (answered, reply) = driver.next().await;
        assert_eq!(answered, attempt);
        assert_eq!(ttl_of(&reply), if lease == dead { 0 } else { 600 });
    }
    assert_eq!(keepalive_streams(&etcd), 1);
}

#[tokio::test]
async fn a_lost_stream_fails_what_is_on_the_way_and_is_opened_again() {
    let mut etcd = etcd();
    let mut driver = Driver::of(&etcd);
    let (first, second) = (driver.grant(1).await, driver.grant(2).await);
    assert_eq!(ttl_of(&driver.ask(renew(first)).await), 600);

    etcd.pause().expect("pause");
    let attempts = [driver.submit(renew(first)), driver.submit(renew(second))];
    // Let both get onto the wire.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    etcd.kill().expect("kill");
    for attempt in attempts {
        let reply = driver.answer(attempt).await;
        assert!(matches!(reply, Reply::Failed(StoreError::ConnectionLost { .. })), "{reply:?}");
    }
    let reply = driver.ask(renew(first)).await;
    assert!(matches!(reply, Reply::Failed(StoreError::Refused { .. })), "{reply:?}");

    etcd.restart().expect("restart");
    assert_eq!(ttl_of(&driver.ask(renew(second)).await), 600);
}

/// A cancelled renewal is not answered, and the answers to others stay with them.
#[tokio::test]
async fn a_cancelled_renewal_shifts_nothing() {
    let etcd = etcd();
    let mut driver = Driver::of(&etcd);
    let (first, second) = (driver.grant(1).await, driver.grant(2).await);
    driver.ask(renew(first)).await;
    driver.ask(Request::Revoke(Revoke { lease: first })).await;
    let cancelled = driver.submit(renew(first));
    let kept = driver.submit(renew(second));
    driver.cancel(cancelled);
    let late = driver.submit(renew(second));
    for attempt in [kept, late] {
        let (answered, reply) = driver.next().await;
        assert_eq!((answered, ttl_of(&reply)), (attempt, 600));
    }
}

/// A stream whose oldest renewal was given up is left for a new one.
#[tokio::test]
async fn a_stream_that_does_not_answer_is_left() {
    let mut etcd = etcd();
    let mut driver = Driver::of(&etcd);
    let lease = driver.grant(1).await;
    driver.ask(renew(lease)).await;
    etcd.pause().expect("pause");
    let given_up = driver.submit(renew(lease));
    let beside = driver.submit(renew(lease));
    driver.cancel(given_up);
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    let fresh = driver.submit(renew(lease));
    let reply = driver.answer(beside).await;
    let Reply::Failed(StoreError::ConnectionLost { detail }) = reply else { panic!("{reply:?}") };
    assert!(detail.ends_with("a lease's renewal stays unanswered"), "{detail}");
    etcd.resume().expect("resume");
    assert_eq!(ttl_of(&driver.answer(fresh).await), 600);
}

fn keepalive_streams(etcd: &portolan_kit::Etcd) -> u64 {
    crate::harness::started(etcd, "Lease", "LeaseKeepAlive")
}
