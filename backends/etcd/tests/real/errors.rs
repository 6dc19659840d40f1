//! What a failed request may have done, row by row: each failure is brought about for real, and
//! where something surely was not done, the store is looked at afterwards.
//!
//! | failure | certainty | brought about by |
//! |---|---|---|
//! | nobody listens | not done | [`crate::failures::nobody_listens`] |
//! | no route, no name, no TLS, no answer while connecting | not done | [`crate::failures::no_connection_comes_about`], [`crate::ways::a_name_that_stands_for_nothing`], [`crate::tls::who_is_not_trusted_is_told_why`], [`crate::failures::a_connection_takes_too_long`] |
//! | refused for what it says | not done | [`a_request_above_the_limits`] |
//! | no leader, asked for one | not done | [`a_cluster_without_its_majority`] |
//! | the cluster's own time is over: `request timed out`, `context deadline exceeded` | unknown | [`a_cluster_without_its_majority`] |
//! | other words of etcd's, and words that are not etcd's | as they say | [`words_decide`] |
//! | the connection breaks under the call | unknown | [`a_member_dies_under_a_call`], [`crate::failures::a_connection_breaks_under_a_call`] |
//! | the member stops | unknown | [`a_member_stops_under_a_call`], [`words_decide`] |
//! | the database is full | unknown | [`a_full_store`] |
//! | the answer exceeds what is decoded | unknown | [`crate::failures::an_answer_above_the_decode_limit_is_no_compaction`] |
//! | given up here | unknown | [`what_was_given_up_may_happen_later`] |

use std::time::{Duration, Instant};

use portolan_core::waist::{Certainty, Code, Reply, Request, StoreError};
use portolan_etcd::EtcdBackend;
use portolan_kit::{Cluster, Etcd, Release};
use tokio::net::TcpListener;

use crate::harness::{Driver, PATIENCE, get, put};

async fn fails(driver: &mut Driver, key: &str) -> StoreError {
    driver.failure(Request::Put(put(key, b"1"))).await
}

/// How many records a key has, as soon as the store answers.
async fn count(driver: &mut Driver, key: &str) -> i64 {
    let begun = Instant::now();
    loop {
        let reply = driver.ask(get(key)).await;
        if let Reply::Range(reply) = reply {
            return reply.count;
        }
        assert!(begun.elapsed() < PATIENCE, "{reply:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_request_above_the_limits() {
    for release in Release::wanted() {
        let etcd = Etcd::start(release).expect("etcd starts");
        let mut driver = Driver::of(&etcd);
        let error = driver.failure(Request::Put(put("a", &vec![7; 1_600_000]))).await;
        assert_eq!(error, StoreError::RequestTooLarge, "{release}");
        assert_eq!(error.certainty(), Certainty::NotDone);
        let error = driver.failure(Request::Put(put("a", &vec![7; 3_000_000]))).await;
        assert!(matches!(error, StoreError::MessageTooLarge { .. }), "{release}: {error:?}");
        assert_eq!(error.certainty(), Certainty::NotDone);
        assert_eq!(count(&mut driver, "a").await, 0, "{release}");
    }
}

/// Three members, of which two stand still.
async fn majority_lost(release: Release) {
    let mut cluster = Cluster::start(release).expect("etcd starts");
    let leader = cluster.leader(PATIENCE).expect("somebody leads");
    let url = cluster[leader].client_url();
    let mut driver = Driver::new(EtcdBackend::builder().address(&url));
    let lenient = EtcdBackend::builder().address(&url).require_leader(false);
    let mut lenient = Driver::new(lenient);
    driver.put("before", b"1").await;
    lenient.put("before", b"1").await;

    let others = (0..3).filter(|index| *index != leader);
    for index in others.clone() {
        cluster[index].pause().expect("pause");
    }
    // It does not know yet that it leads nobody, takes the write, and waits for the others.
    let error = fails(&mut driver, "timed-out").await;
    let timed_out =
        [StoreError::TimedOut, StoreError::TimedOutLeaderFail, StoreError::TimedOutConnectionLost];
    assert!(timed_out.contains(&error), "{release}: {error:?}");
    assert_eq!(error.certainty(), Certainty::Unknown);

    let error = fails(&mut driver, "refused").await;
    assert_eq!(error, StoreError::NoLeader, "{release}");
    assert_eq!(error.certainty(), Certainty::NotDone);

    let error = fails(&mut lenient, "waited").await;
    assert_eq!(error, StoreError::ServerDeadline, "{release}");
    assert_eq!(error.certainty(), Certainty::Unknown);

    for index in others {
        cluster[index].resume().expect("resume");
    }
    assert_eq!(count(&mut driver, "refused").await, 0, "{release}");
}

#[tokio::test]
async fn a_cluster_without_its_majority() {
    majority_lost(Release::V3_5).await;
}

/// The same errors, one of them with another code.
#[tokio::test]
async fn an_old_cluster_without_its_majority() {
    majority_lost(Release::V3_4).await;
}

#[tokio::test]
async fn other_clusters_without_their_majority() {
    for release in Release::wanted() {
        if !Release::REQUIRED.contains(&release) {
            majority_lost(release).await;
        }
    }
}

/// Killed while it stands still with the call in its hands.
#[tokio::test]
async fn a_member_dies_under_a_call() {
    for release in Release::wanted() {
        let mut etcd = Etcd::start(release).expect("etcd starts");
        let mut driver = Driver::of(&etcd);
        driver.put("before", b"1").await;
        etcd.pause().expect("pause");
        let attempt = driver.submit(Request::Put(put("a", b"1")));
        tokio::time::sleep(Duration::from_millis(100)).await;
        etcd.kill().expect("kill");
        let error = driver.end(attempt).await;
        assert!(matches!(error, StoreError::ConnectionLost { .. }), "{release}: {error:?}");
        assert_eq!(error.certainty(), Certainty::Unknown);
    }
}

/// Told to end while it stands still with the call in its hands: it answers, says that it stops, or
/// hangs up. Whichever it is, what was written is what was said, or nothing was said.
#[tokio::test]
async fn a_member_stops_under_a_call() {
    for release in Release::wanted() {
        let mut etcd = Etcd::start(release).expect("etcd starts");
        let mut driver = Driver::of(&etcd);
        driver.put("before", b"1").await;
        etcd.pause().expect("pause");
        let attempt = driver.submit(Request::Put(put("a", b"1")));
        tokio::time::sleep(Duration::from_millis(100)).await;
        etcd.stop().expect("it ends");
        let reply = driver.answer(attempt).await;
        etcd.restart().expect("it starts");
        let found = count(&mut driver, "a").await;
        if let Reply::Failed(error) = reply {
            assert_eq!(error.certainty(), Certainty::Unknown, "{release}: {error:?}");
        } else {
            assert!(matches!(reply, Reply::Put(_)) && found == 1, "{release}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn a_full_store() {
    for release in Release::wanted() {
        let builder = Etcd::builder(release).flag("--quota-backend-bytes=1000000");
        let etcd = builder.start().expect("etcd starts");
        let mut driver = Driver::of(&etcd);
        let mut tries = 0;
        let error = loop {
            let reply = driver.ask(Request::Put(put(&format!("big/{tries}"), &[7; 100_000]))).await;
            if let Reply::Failed(error) = reply {
                break error;
            }
            tries += 1;
            assert!(tries < 100, "{release}: the quota is never met");
        };
        assert_eq!(error, StoreError::NoSpace, "{release}");
        assert_eq!(error.certainty(), Certainty::Unknown);
        // Reads go on.
        assert_eq!(count(&mut driver, "big/0").await, 1, "{release}");
    }
}

/// The engine takes back what it no longer waits for. What a leader has taken is done all the same,
/// once the others answer.
#[tokio::test]
async fn what_was_given_up_may_happen_later() {
    // A leader that nobody answers keeps its lead for 5 s: longer than any machine stalls here.
    let builder = Etcd::builder(Release::V3_5).flag("--election-timeout=5000");
    let mut cluster = builder.start_cluster(3).expect("etcd starts");
    let leader = cluster.leader(PATIENCE).expect("somebody leads");
    let mut driver = Driver::of(&cluster[leader]);
    driver.put("before", b"1").await;
    let others = (0..3).filter(|index| *index != leader);
    for index in others.clone() {
        cluster[index].pause().expect("pause");
    }
    let logged = written_to_the_log(&cluster[leader]);
    let attempt = driver.submit(Request::Put(put("a", b"1")));
    let begun = Instant::now();
    while written_to_the_log(&cluster[leader]) == logged {
        assert_eq!(driver.next_within(Duration::from_millis(20)).await, None);
        assert!(begun.elapsed() < PATIENCE, "the leader never took it");
    }
    driver.cancel(attempt);
    for index in others {
        cluster[index].resume().expect("resume");
    }
    assert_eq!(count(&mut driver, "a").await, 1);
    assert_eq!(driver.next_within(Duration::from_millis(100)).await, None);
    assert_eq!(StoreError::GaveUp.certainty(), Certainty::Unknown);
}

/// How many bytes a member has written to its log of what is decided on with the others.
fn written_to_the_log(member: &Etcd) -> u64 {
    let fits = |line: &str| line.starts_with("etcd_disk_wal_write_bytes_total");
    member.counted(fits).expect("it says what it has counted")
}

/// A server on a real socket that answers every call with one status.
async fn answering(code: Code, words: &'static str) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    let server = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.expect("accept");
        let mut connection = h2::server::handshake(socket).await.expect("HTTP/2");
        while let Some(call) = connection.accept().await {
            let Ok((_, mut answer)) = call else { return };
            let head = http::Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", (code as i32).to_string())
                .header("grpc-message", words)
                .body(())
                .expect("a response");
            let _ = answer.send_response(head, true);
        }
    });
    (address, server)
}

/// What no real etcd does at will, word for word, and the codes that releases differ in.
#[tokio::test]
async fn words_decide() {
    use Certainty::{NotDone, Unknown};
    let other = |code, message: &str| StoreError::Other { code, message: message.to_owned() };
    let cases = [
        (Code::Unavailable, "etcdserver: server stopped", StoreError::Stopped, Unknown),
        (Code::Unavailable, "etcdserver: leader changed", StoreError::LeaderChanged, Unknown),
        (Code::Unavailable, "etcdserver: request timed out", StoreError::TimedOut, Unknown),
        (
            Code::Unavailable,
            "etcdserver: request timed out, possibly due to previous leader failure",
            StoreError::TimedOutLeaderFail,
            Unknown,
        ),
        (
            Code::Unavailable,
            "etcdserver: request timed out, possibly due to connection lost",
            StoreError::TimedOutConnectionLost,
            Unknown,
        ),
        (Code::Unavailable, "etcdserver: no leader", StoreError::NoLeader, NotDone),
        // 3.5 and 3.4.
        (Code::DeadlineExceeded, "context deadline exceeded", StoreError::ServerDeadline, Unknown),
        (Code::Unknown, "context deadline exceeded", StoreError::ServerDeadline, Unknown),
        (
            Code::ResourceExhausted,
            "etcdserver: too many requests",
            StoreError::TooManyRequests,
            NotDone,
        ),
        (
            Code::ResourceExhausted,
            "etcdserver: mvcc: database space exceeded",
            StoreError::NoSpace,
            Unknown,
        ),
        // One code, two meanings.
        (
            Code::InvalidArgument,
            "etcdserver: revision of auth store is old",
            StoreError::OldAuthRevision,
            NotDone,
        ),
        (
            Code::InvalidArgument,
            "etcdserver: request is too large",
            StoreError::RequestTooLarge,
            NotDone,
        ),
        // What stands before etcd, or comes after it.
        (Code::Unavailable, "upstream reset", other(Code::Unavailable, "upstream reset"), Unknown),
        (Code::Internal, "a bug", other(Code::Internal, "a bug"), Unknown),
        (Code::ResourceExhausted, "slow", other(Code::ResourceExhausted, "slow"), Unknown),
        (Code::PermissionDenied, "no", other(Code::PermissionDenied, "no"), NotDone),
    ];
    for (code, words, expected, certainty) in cases {
        let (address, server) = answering(code, words).await;
        let error = fails(&mut Driver::new(EtcdBackend::builder().address(address)), "a").await;
        assert_eq!(error, expected, "{code:?} {words}");
        assert_eq!(error.certainty(), certainty, "{code:?} {words}");
        server.abort();
    }
}
