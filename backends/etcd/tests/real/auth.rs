use std::time::Duration;

use portolan_core::waist::{
    AttemptId, Certainty, Code, Compact, Grant, KeepAlive, KeyRange, LeaseId, Reply, Request,
    Revision, Revoke, StoreError, TimeToLive, Txn, Watch,
};
use portolan_etcd::EtcdBackend;
use portolan_kit::{Etcd, Release};

use crate::harness::{Driver, etcd, get, put, started};

const PASSWORD: &str = "a secret to be kept";

/// A server that knows only `root`.
fn guarded() -> Etcd {
    guard(etcd())
}

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
        Request::Watch(Watch::of(KeyRange::all(), Revision::ZERO)),
        Request::Status,
    ]
}

#[tokio::test]
async fn one_token_serves_every_call() {
    let etcd = guarded();
    let mut driver = driver(&etcd, PASSWORD);
    // All at once, before there is a token.
    let reads: Vec<_> = (0..10).map(|_| driver.submit(get("a"))).collect();
    for attempt in reads {
        assert!(matches!(driver.answer(attempt).await, Reply::Range(_)));
    }
    for request in everything() {
        let reply = driver.ask(request.clone()).await;
        assert!(!matches!(reply, Reply::Failed(_)), "{request:?}: {reply:?}");
        if let Reply::Watch(reply) = reply {
            assert!(reply.created && !reply.canceled, "{reply:?}");
        }
    }
    assert_eq!(started(&etcd, "Auth", "Authenticate"), 1);
    assert_eq!(driver.ask(Request::Authenticate).await, Reply::Authenticated);
    assert!(matches!(driver.ask(get("a")).await, Reply::Range(_)));
    assert_eq!(started(&etcd, "Auth", "Authenticate"), 2);
    assert!(!format!("{:?}", driver.backend).contains(PASSWORD));
}

#[tokio::test]
async fn a_wrong_password_fails_everything_and_shows_itself_nowhere() {
    let etcd = guarded();
    let mut driver = driver(&etcd, "a wrong secret");
    for request in everything().into_iter().chain([Request::Authenticate]) {
        let error = driver.failure(request.clone()).await;
        assert_eq!(error, StoreError::AuthFailed, "{request:?}");
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

/// Credentials for a store that wants none: nothing is amiss, and it is asked once.
#[tokio::test]
async fn a_store_without_authentication_needs_no_token() {
    let etcd = etcd();
    let mut driver = driver(&etcd, PASSWORD);
    for _ in 0..3 {
        assert!(matches!(driver.ask(get("a")).await, Reply::Range(_)));
    }
    assert_eq!(started(&etcd, "Auth", "Authenticate"), 1);
    assert_eq!(driver.failure(Request::Authenticate).await, StoreError::AuthNotEnabled);
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

/// Calls and watches alike: the first that carries a token that etcd has forgotten is refused, and
/// the next one carries another.
#[tokio::test]
async fn a_forgotten_token_costs_one_refusal() {
    let ttl = Duration::from_secs(2);
    let started = Etcd::builder(Release::V3_5).auth_token_ttl(ttl).start();
    let etcd = guard(started.expect("etcd starts"));
    let mut driver = driver(&etcd, PASSWORD);
    driver.put("a", b"1").await;
    let watch = Request::Watch(Watch::of(KeyRange::all(), Revision::ZERO));
    for request in [get("a"), Request::Put(put("a", b"2")), watch] {
        // etcd drops old tokens once a second.
        tokio::time::sleep(ttl * 2).await;
        let error = driver.failure(request.clone()).await;
        assert_eq!(error, StoreError::InvalidToken, "{request}");
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
    driver.put("a", b"1").await;
    etcd.restart().expect("it restarts");
    let mut errors = Vec::new();
    while let Reply::Failed(error) = driver.ask(get("a")).await {
        errors.push(error);
        assert!(errors.len() < 5, "{errors:?}");
    }
}

/// Authentication turned on after it was found to be off.
#[tokio::test]
async fn a_store_that_begins_to_want_a_token_gets_one() {
    let etcd = etcd();
    let mut driver = driver(&etcd, PASSWORD);
    driver.put("a", b"1").await;
    let etcd = guard(etcd);
    assert_eq!(driver.failure(get("a")).await, StoreError::NoToken);
    assert!(matches!(driver.ask(get("a")).await, Reply::Range(_)));
    assert!(started(&etcd, "Auth", "Authenticate") >= 2);
}
