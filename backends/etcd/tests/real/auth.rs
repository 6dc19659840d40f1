use std::time::Duration;

use portolan_core::waist::{
    AttemptId, Certainty, Code, Compact, Grant, KeepAlive, KeyRange, LeaseId, MemberId, Reply,
    Request, Revision, Revoke, StoreError, TimeToLive, Txn, Watch,
};
use portolan_etcd::EtcdBackend;
use portolan_kit::{Etcd, Release};

use crate::harness::{Driver, etcd, get, put, started};

const PASSWORD: &str = "a secret to be kept";

/// A server that knows only `root`.
fn guarded() -> Etcd {
    guard(etcd())
}

/// Turns authentication on.
fn guard(etcd: Etcd) -> Etcd {
    etcd.etcdctl(["user", "add", &format!("root:{PASSWORD}")]).expect("user add");
    etcd.etcdctl(["user", "grant-role", "root", "root"]).expect("grant-role");
    etcd.etcdctl(["auth", "enable"]).expect("auth enable");
    etcd
}

fn driver(etcd: &Etcd, password: &str) -> Driver {
    let builder = EtcdBackend::builder().address(etcd.client_url());
    Driver::new(builder.credentials("root", password.into()))
}

/// Fetches a token.
async fn log_in(driver: &mut Driver) {
    assert_eq!(driver.ask(Request::Authenticate).await, Reply::Authenticated);
}

fn watch() -> Request {
    Request::Watch(Watch::of(KeyRange::all(), Revision::ZERO))
}

fn everything() -> Vec<Request> {
    let lease = LeaseId::new(7).expect("not 0");
    vec![
        Request::Grant(Grant { lease: Some(lease), ttl_secs: 600 }),
        get("a"),
        Request::Put(put("a", b"1")),
        Request::Txn(Txn::default()),
        Request::KeepAlive(KeepAlive { lease }),
        Request::TimeToLive(TimeToLive { lease, keys: true }),
        Request::Leases,
        Request::Revoke(Revoke { lease }),
        Request::Compact(Compact { revision: Revision(1), physical: false }),
        watch(),
        Request::Status,
    ]
}

#[tokio::test]
async fn one_token_serves_every_call() {
    let etcd = guarded();
    let mut driver = driver(&etcd, PASSWORD);
    // Nothing is fetched without being asked for.
    for request in [get("a"), Request::Put(put("a", b"1")), watch()] {
        assert_eq!(driver.failure(request.clone()).await, StoreError::NoToken, "{request}");
    }
    assert_eq!(started(&etcd, "Auth", "Authenticate"), 0);
    log_in(&mut driver).await;
    for request in everything() {
        let reply = driver.ask(request.clone()).await;
        assert!(!matches!(reply, Reply::Failed(_)), "{request:?}: {reply:?}");
        if let Reply::Watch(reply) = reply {
            assert!(reply.created && !reply.canceled, "{reply:?}");
        }
    }
    assert_eq!(started(&etcd, "Auth", "Authenticate"), 1);
    assert!(!format!("{:?}", driver.backend).contains(PASSWORD));
}

/// Members know each other's tokens.
#[tokio::test]
async fn a_token_is_for_all_members() {
    let etcd = guarded();
    let builder = EtcdBackend::builder().address(etcd.client_url()).address(etcd.client_url());
    let mut driver = Driver::new(builder.credentials("root", PASSWORD.into()));
    log_in(&mut driver).await;
    portolan_core::waist::Backend::introduce(
        &mut driver.backend,
        MemberId(2),
        &[etcd.client_url()],
    );
    for member in (0..3).map(MemberId) {
        let attempt = driver.submit_to(member, get("a"));
        assert!(matches!(driver.answer(attempt).await, Reply::Range(_)), "{member}");
    }
    // Neither do other connections cost a login.
    portolan_core::waist::Backend::redial(&mut driver.backend, MemberId(0));
    assert!(matches!(driver.ask(get("a")).await, Reply::Range(_)));
    assert_eq!(started(&etcd, "Auth", "Authenticate"), 1);
}

/// What is on its way goes on with what it had.
#[tokio::test]
async fn a_token_comes_too_late_for_what_was_sent() {
    let mut etcd = guarded();
    let mut driver = driver(&etcd, PASSWORD);
    driver.failure(get("a")).await;
    etcd.pause().expect("pause");
    let early = driver.submit(get("a"));
    // Let it get onto the wire.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let login = driver.submit(Request::Authenticate);
    etcd.resume().expect("resume");
    assert_eq!(driver.answer(login).await, Reply::Authenticated);
    assert_eq!(driver.end(early).await, StoreError::NoToken);
    assert!(matches!(driver.ask(get("a")).await, Reply::Range(_)));
}

#[tokio::test]
async fn a_wrong_password_fails_everything_and_shows_itself_nowhere() {
    let etcd = guarded();
    let mut driver = driver(&etcd, "a wrong secret");
    assert_eq!(driver.failure(Request::Authenticate).await, StoreError::AuthFailed);
    for request in [get("a"), Request::Put(put("a", b"1")), watch()] {
        assert_eq!(driver.failure(request.clone()).await, StoreError::NoToken, "{request}");
    }
    assert!(!format!("{:?}", driver.backend).contains("a wrong secret"));
}

#[tokio::test]
async fn without_credentials_the_store_says_so() {
    let etcd = guarded();
    let mut driver = Driver::of(&etcd);
    assert_eq!(driver.failure(get("a")).await, StoreError::NoToken);
    assert_eq!(driver.failure(Request::Authenticate).await, StoreError::AuthFailed);
}

/// Credentials for a store that wants none: nothing is amiss. A token from before is sent no more.
#[tokio::test]
async fn a_store_without_authentication_needs_no_token() {
    let etcd = etcd();
    let mut driver = driver(&etcd, PASSWORD);
    assert_eq!(driver.failure(Request::Authenticate).await, StoreError::AuthNotEnabled);
    driver.put("a", b"1").await;

    let etcd = guard(etcd);
    assert_eq!(driver.failure(get("a")).await, StoreError::NoToken);
    log_in(&mut driver).await;
    driver.put("a", b"1").await;
    let root = format!("--user=root:{PASSWORD}");
    etcd.etcdctl([root.as_str(), "auth", "disable"]).expect("auth disable");
    assert_eq!(driver.failure(Request::Authenticate).await, StoreError::AuthNotEnabled);
    etcd.etcdctl(["auth", "enable"]).expect("auth enable");
    assert_eq!(driver.failure(get("a")).await, StoreError::NoToken);
}

/// The password is read when it is needed, and a change of its file is told.
#[tokio::test]
async fn a_password_comes_from_a_file() {
    let etcd = guarded();
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("password");
    let builder = EtcdBackend::builder().address(etcd.client_url());
    let mut driver = Driver::new(builder.password_file("root", &file));
    let unusable = |problem: &str| StoreError::Other {
        code: Code::Unauthenticated,
        message: format!("password file {}: {problem}", file.display()),
    };
    let error = driver.failure(Request::Authenticate).await;
    assert_eq!(error, unusable("No such file or directory (os error 2)"));
    assert_eq!(error.certainty(), Certainty::NotDone);
    assert!(!error.blames_member() && !error.is_permanent());

    let news = (AttemptId::NEWS, Reply::CredentialsChanged);
    let contents: [(&[u8], _); 4] = [
        (b"a wrong secret\n", StoreError::AuthFailed),
        (b"\nsecret", unusable("begins with an empty line")),
        (b"", unusable("begins with an empty line")),
        (b"secret\xff", unusable("is not UTF-8")),
    ];
    for (content, expected) in contents {
        std::fs::write(&file, content).expect("it is written");
        assert_eq!(driver.next().await, news, "{content:?}");
        assert_eq!(driver.failure(Request::Authenticate).await, expected, "{content:?}");
    }
    // With or without what ends a line, and whatever comes after it.
    for end in ["", "\n", "\r\n", "\nmore\n"] {
        std::fs::write(&file, format!("{PASSWORD}{end}")).expect("it is written");
        assert_eq!(driver.ask(Request::Authenticate).await, Reply::Authenticated, "{end:?}");
        assert!(matches!(driver.ask(get("a")).await, Reply::Range(_)));
    }
    // A refused password costs nothing that is held.
    std::fs::write(&file, "a wrong secret").expect("it is written");
    assert_eq!(driver.failure(Request::Authenticate).await, StoreError::AuthFailed);
    assert!(matches!(driver.ask(get("a")).await, Reply::Range(_)));
    // What was read is no news, except when the look falls between the writing and the reading;
    // nor is what is gone.
    let looked = Duration::from_millis(2500);
    let mut tries = 0;
    while driver.next_within(looked).await.is_some() {
        tries += 1;
        assert!(tries < 3, "what was read is told as news");
        std::fs::write(&file, format!("{PASSWORD}\n{tries}")).expect("it is written");
        assert_eq!(driver.ask(Request::Authenticate).await, Reply::Authenticated);
    }
    std::fs::remove_file(&file).expect("it is removed");
    assert_eq!(driver.next_within(looked).await, None);
    std::fs::write(&file, PASSWORD).expect("it is written");
    assert_eq!(driver.next().await, news);
    let shown = format!("{:?}", driver.backend);
    assert!(!shown.contains(PASSWORD), "{shown}");
}

/// Calls and watches alike: etcd's refusal is told, until somebody logs in again.
#[tokio::test]
async fn a_forgotten_token_costs_one_refusal() {
    let ttl = Duration::from_secs(2);
    let started = Etcd::builder(Release::V3_5).auth_token_ttl(ttl).start();
    let etcd = guard(started.expect("etcd starts"));
    let mut driver = driver(&etcd, PASSWORD);
    log_in(&mut driver).await;
    driver.put("a", b"1").await;
    for request in [get("a"), Request::Put(put("a", b"2")), watch()] {
        // etcd drops old tokens once a second.
        tokio::time::sleep(ttl * 2).await;
        for _ in 0..2 {
            let error = driver.failure(request.clone()).await;
            assert_eq!(error, StoreError::InvalidToken, "{request}");
        }
        log_in(&mut driver).await;
        let reply = driver.ask(request.clone()).await;
        assert!(!matches!(reply, Reply::Failed(_)), "{request}: {reply:?}");
        if let Reply::Watch(reply) = reply {
            assert!(reply.created && !reply.canceled, "{reply:?}");
        }
    }
}

/// An etcd that restarts may know its tokens again, from its log, or not.
#[tokio::test]
async fn a_restart_is_got_over() {
    let mut etcd = guarded();
    let mut driver = driver(&etcd, PASSWORD);
    log_in(&mut driver).await;
    driver.put("a", b"1").await;
    etcd.restart().expect("it restarts");
    let mut errors = Vec::new();
    while let Reply::Failed(error) = driver.ask(get("a")).await {
        if error == StoreError::InvalidToken {
            log_in(&mut driver).await;
        }
        errors.push(error);
        assert!(errors.len() < 5, "{errors:?}");
    }
}
