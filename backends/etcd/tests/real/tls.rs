//! TLS: who trusts whom, what is said when somebody does not, and what changes under way.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use portolan_core::waist::{
    Certainty, Grant, KeepAlive, KeyRange, LeaseId, Range, Reply, Request, Revision, Revoke,
    StoreError, Watch,
};
use portolan_etcd::{BuildError, Builder, EtcdBackend, Tls, TlsPart};
use portolan_kit::{Authority, Certified, Etcd, Release, ServerTls, replace_file};
use tempfile::TempDir;

use crate::harness::{Driver, PATIENCE, etcd, get, put};

/// A server of 127.0.0.1 and localhost.
fn server(authority: &Authority, mutual: bool) -> (Etcd, ServerTls) {
    serving(authority, &authority.server(&["127.0.0.1", "localhost"]), mutual)
}

/// A server that shows `own` and trusts `authority`.
fn serving(authority: &Authority, own: &Certified, mutual: bool) -> (Etcd, ServerTls) {
    let tls = ServerTls::new(authority.pem(), own, mutual).expect("files");
    (Etcd::builder(Release::V3_5).tls(&tls).start().expect("etcd starts"), tls)
}

fn driver(etcd: &Etcd, tls: Tls) -> Driver {
    Driver::new(builder(etcd, tls))
}

fn builder(etcd: &Etcd, tls: Tls) -> Builder {
    EtcdBackend::builder().address(etcd.client_url()).tls(tls)
}

fn shown(certified: &Certified, tls: Tls) -> Tls {
    tls.identity_pem(certified.cert.clone(), certified.key.clone().into())
}

/// Why there is no connection, the member's address aside. Nothing was sent.
async fn refusal(driver: &mut Driver, etcd: &Etcd) -> String {
    let error = driver.failure(Request::Put(put("a", b"1"))).await;
    assert_eq!(error.certainty(), Certainty::NotDone, "{error}");
    let StoreError::CannotConnect { detail } = error else { panic!("{error:?}") };
    let address = format!("127.0.0.1:{}: ", etcd.client_port());
    detail.strip_prefix(&address).unwrap_or_else(|| panic!("{detail}")).to_owned()
}

#[tokio::test]
async fn every_kind_of_call_goes_over_tls() {
    let authority = Authority::new("test authority");
    for mutual in [false, true] {
        let (etcd, _files) = server(&authority, mutual);
        let tls = Tls::new().ca_pem(authority.pem());
        let tls = if mutual { shown(&authority.client("somebody"), tls) } else { tls };
        let mut driver = driver(&etcd, tls);
        let lease = LeaseId::new(7).expect("not 0");
        for request in [
            Request::Grant(Grant { lease: Some(lease), ttl_secs: 600 }),
            Request::KeepAlive(KeepAlive { lease }),
            Request::Revoke(Revoke { lease }),
            Request::Status,
        ] {
            let reply = driver.ask(request.clone()).await;
            assert!(!matches!(reply, Reply::Failed(_)), "{request}: {reply:?}");
        }
        for n in 0..6 {
            driver.put(&format!("big/{n}"), &vec![7; 1 << 20]).await;
        }
        let Reply::Range(reply) =
            driver.ask(Request::Range(Range::of(KeyRange::prefix("big/")))).await
        else {
            panic!("a reply")
        };
        assert_eq!(reply.kvs.iter().map(|kv| kv.value.len()).sum::<usize>(), 6 << 20);
        let keys = KeyRange::prefix("big/");
        let watch = Watch { fragment: true, ..Watch::of(keys, Revision(2)) };
        let stream = driver.submit(Request::Watch(watch));
        let mut events = 0;
        while events < 6 {
            let Reply::Watch(reply) = driver.answer(stream).await else { panic!("a watch") };
            events += reply.events.len();
        }
    }
}

#[tokio::test]
async fn who_is_not_trusted_is_told_why() {
    let authority = Authority::new("test authority");
    // Of the same name, and yet another one.
    let stranger = Authority::new("test authority");
    let trusting = || Tls::new().ca_pem(authority.pem());
    let (etcd, _files) = server(&authority, true);
    let cases = [
        (
            "an unknown authority",
            shown(&authority.client("a"), Tls::new().ca_pem(stranger.pem())),
            "TLS: the server's certificate is not signed by an authority that we trust",
        ),
        (
            "another name",
            shown(&authority.client("a"), trusting()).server_name("etcd.test"),
            "TLS: the server's certificate is for another name (certificate not valid for name \
             \"etcd.test\"",
        ),
        (
            "no certificate of ours",
            trusting(),
            "TLS: the server wants a client certificate, and we have none",
        ),
        (
            "one of an unknown authority",
            shown(&stranger.client("a"), trusting()),
            "TLS: the server refuses our certificate (",
        ),
        (
            "an expired one",
            shown(&authority.expired_client("a"), trusting()),
            "TLS: the server refuses our certificate (",
        ),
    ];
    for (case, tls, why) in cases {
        let told = refusal(&mut driver(&etcd, tls), &etcd).await;
        assert!(told.starts_with(why), "{case}: {told}");
    }

    let own = authority.expired_server(&["127.0.0.1"]);
    // It would not become healthy: it calls itself.
    let (etcd, files) = server(&authority, false);
    files.replace(&own).expect("files");
    let told = refusal(&mut driver(&etcd, trusting()), &etcd).await;
    assert!(told.starts_with("TLS: the server's certificate has expired ("), "{told}");
}

/// Nothing rests on the order of TLS 1.3, in which we are done before the server is.
#[tokio::test]
async fn an_older_tls_says_the_same() {
    let authority = Authority::new("test authority");
    let own = authority.server(&["127.0.0.1"]);
    let files = ServerTls::new(authority.pem(), &own, true).expect("files");
    let etcd = Etcd::builder(Release::V3_5).tls(&files).flag("--tls-max-version=TLS1.2");
    let etcd = etcd.start().expect("etcd starts");
    let trusting = || Tls::new().ca_pem(authority.pem());
    let told = refusal(&mut driver(&etcd, trusting()), &etcd).await;
    assert!(told.starts_with("TLS: the server wants a client certificate, and we have"), "{told}");
    let mut driver = driver(&etcd, shown(&authority.client("a"), trusting()));
    driver.put("a", b"1").await;
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart() {
    let etcd = etcd();
    let address = format!("https://127.0.0.1:{}", etcd.client_port());
    let tls = Tls::new().ca_pem(Authority::new("test authority").pem());
    let mut driver = Driver::new(EtcdBackend::builder().address(address).tls(tls));
    let told = refusal(&mut driver, &etcd).await;
    let why = "TLS: the server hung up in the handshake; does it speak TLS? (tls handshake eof)";
    assert_eq!(told, why);
}

/// Without a scheme TLS follows from the settings, and a name is checked, not the address behind it.
#[tokio::test]
async fn the_name_is_what_counts() {
    let authority = Authority::new("test authority");
    let (etcd, _files) = serving(&authority, &authority.server(&["etcd.test", "127.0.0.1"]), false);
    let place = std::net::SocketAddr::from(([127, 0, 0, 1], etcd.client_port()));
    let named = |name: &str, tls: Tls| {
        let builder = EtcdBackend::builder().address(format!("{name}:2379")).tls(tls);
        Driver::new(builder.resolver(move |_, _| async move { Ok(vec![place]) }))
    };
    let trusting = || Tls::new().ca_pem(authority.pem());
    named("etcd.test", trusting()).put("a", b"1").await;
    named("other.test", trusting().server_name("etcd.test")).put("a", b"1").await;
    let error = named("other.test", trusting()).failure(get("a")).await;
    let StoreError::CannotConnect { detail } = error else { panic!("{error:?}") };
    let why =
        format!("other.test:2379: {place}: TLS: the server's certificate is for another name");
    assert!(detail.starts_with(&why), "{detail}");
}

/// A server with authentication, whose user `reader` may do nothing.
fn guarded(authority: &Authority) -> (Etcd, ServerTls) {
    let (etcd, files) = server(authority, true);
    for args in [
        &["user", "add", "root:hush"][..],
        &["user", "add", "reader:hush"],
        &["user", "grant-role", "root", "root"],
        &["auth", "enable"],
    ] {
        etcd.etcdctl(args.iter().copied()).expect("done");
    }
    (etcd, files)
}

/// etcd takes the common name for the user.
#[tokio::test]
async fn a_certificate_is_enough_to_be_somebody() {
    let authority = Authority::new("test authority");
    let (etcd, _files) = guarded(&authority);
    let as_user = |user| shown(&authority.client(user), Tls::new().ca_pem(authority.pem()));
    driver(&etcd, as_user("root")).put("a", b"1").await;
    let error = driver(&etcd, as_user("reader")).failure(get("a")).await;
    assert_eq!(error, StoreError::PermissionDenied);
}

/// The files of a client.
struct Files(TempDir);

impl Files {
    fn new(ca: &str, own: &Certified) -> Self {
        let files = Self(TempDir::new().expect("a folder"));
        files.trust(ca);
        files.show(own);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        replace_file(&self.path(name), text).expect("it is written");
    }

    fn trust(&self, ca: &str) {
        self.write("ca.pem", ca);
    }

    fn show(&self, own: &Certified) {
        self.write("own.pem", &own.cert);
        self.write("own.key", &own.key);
    }

    fn tls(&self) -> Tls {
        let tls = Tls::new().ca_file(self.path("ca.pem"));
        tls.identity_files(self.path("own.pem"), self.path("own.key"))
    }
}

/// An authority and all certificates change while calls go on; nothing is started again.
#[tokio::test]
async fn certificates_rotate_under_load() {
    let (old, new) = (Authority::new("old authority"), Authority::new("new authority"));
    let both = format!("{}{}", old.pem(), new.pem());
    let names = ["127.0.0.1"];
    let server = ServerTls::new(&both, &old.server(&names), true).expect("files");
    let etcd = Etcd::builder(Release::V3_5).tls(&server).start().expect("etcd starts");
    let files = Files::new(old.pem(), &old.client("somebody"));
    let mut driver = driver(&etcd, files.tls());
    let lease = driver.grant(1).await;
    let stream = driver.submit(Request::Watch(Watch::of(KeyRange::one("a"), Revision::ZERO)));
    driver.answer(stream).await;

    let mut calls = 0;
    let mut run = async |driver: &mut Driver, limit: Duration| {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            calls += 1;
            for request in [Request::Put(put("a", b"1")), Request::KeepAlive(KeepAlive { lease })] {
                let reply = driver.ask(request.clone()).await;
                assert!(!matches!(reply, Reply::Failed(_)), "call {calls}: {request}: {reply:?}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let looked = Duration::from_millis(2500);
    // First everybody knows both authorities, then everybody shows the new one's certificates,
    // then nobody knows the old one.
    run(&mut driver, Duration::from_millis(200)).await;
    files.trust(&both);
    run(&mut driver, looked).await;
    server.replace(&new.server(&names)).expect("files");
    // Half of a replacement: the certificate is there, the key is not yet.
    let own = new.client("somebody");
    files.write("own.pem", &own.cert);
    run(&mut driver, looked).await;
    files.write("own.key", &own.key);
    run(&mut driver, looked).await;
    files.trust(new.pem());
    run(&mut driver, looked).await;
    assert!(calls > 100, "{calls}");

    // The new certificates are in use: a server of the old authority is refused now.
    server.replace(&old.server(&names)).expect("files");
    portolan_core::waist::Backend::redial(&mut driver.backend, Default::default());
    let told = refusal(&mut driver, &etcd).await;
    assert!(told.contains("not signed by an authority that we trust"), "{told}");
    // What was under way stayed: the watch is that of the beginning, and has seen every put.
    for put in 0..calls {
        let Reply::Watch(reply) = driver.answer(stream).await else { panic!("put {put}") };
        assert_eq!(reply.events.len(), 1, "{reply:?}");
    }
}

/// Nobody asks for another connection: that the files changed is enough.
#[tokio::test]
async fn another_certificate_is_shown_without_being_asked_for() {
    let authority = Authority::new("test authority");
    let (etcd, _server) = guarded(&authority);
    let files = Files::new(authority.pem(), &authority.client("root"));
    let mut driver = driver(&etcd, files.tls());
    driver.put("a", b"1").await;
    files.show(&authority.client("reader"));
    let changed = Instant::now();
    while !matches!(driver.ask(get("a")).await, Reply::Failed(StoreError::PermissionDenied)) {
        assert!(changed.elapsed() < PATIENCE, "it is never shown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What was good before is used until there is something better, and errors say so.
#[tokio::test]
async fn a_damaged_file_changes_nothing_and_is_told_of() {
    let authority = Authority::new("test authority");
    let (etcd, server) = server(&authority, true);
    let files = Files::new(authority.pem(), &authority.client("somebody"));
    let mut driver = driver(&etcd, files.tls());
    files.write("own.key", "damaged");
    driver.put("a", b"1").await;
    server.replace(&Authority::new("other").server(&["127.0.0.1"])).expect("files");
    portolan_core::waist::Backend::redial(&mut driver.backend, Default::default());
    let told = refusal(&mut driver, &etcd).await;
    let file = files.path("own.key");
    let why = format!("; not used: client key {}: holds no private key as PEM", file.display());
    assert!(told.ends_with(&why), "{told}");
}

#[tokio::test]
async fn settings_that_make_no_sense_are_not_built() {
    let authority = Authority::new("test authority");
    let (own, other) = (authority.client("a"), authority.client("b"));
    let files = Files::new(authority.pem(), &own);
    files.write("text", "a secret that is no PEM");
    let trusting = || Tls::new().ca_pem(authority.pem());
    let cases = [
        (
            Tls::new().ca_file(files.path("missing")),
            TlsPart::Ca,
            "TLS: CA certificates DIR/missing: No such file or directory (os error 2)",
        ),
        (
            Tls::new().ca_file(files.path("text")),
            TlsPart::Ca,
            "TLS: CA certificates DIR/text: holds no certificate as PEM",
        ),
        (
            trusting().identity_files(files.path("text"), files.path("own.key")),
            TlsPart::Certificate,
            "TLS: client certificate DIR/text: holds no certificate as PEM",
        ),
        (
            trusting().identity_files(files.path("own.pem"), files.path("own.pem")),
            TlsPart::Key,
            "TLS: client key DIR/own.pem: holds no private key as PEM",
        ),
        (
            trusting().identity_pem(own.cert.clone(), other.key.into()),
            TlsPart::Key,
            "TLS: client key: is not that of the client certificate",
        ),
        (
            trusting().server_name("a b"),
            TlsPart::ServerName,
            "TLS: server name: \"a b\" is neither a DNS name nor an address",
        ),
    ];
    for (tls, part, text) in cases {
        let builder = EtcdBackend::builder().address("127.0.0.1:2379").tls(tls);
        let error = builder.build().expect_err(text);
        let BuildError::Tls(problem) = &error else { panic!("{error:?}") };
        assert_eq!(problem.part(), part);
        let shown = error.to_string().replace(&files.0.path().display().to_string(), "DIR");
        assert_eq!(shown, text);
    }
    let debug = format!("{:?}", shown(&own, files.tls()));
    assert!(!debug.contains("BEGIN"), "{debug}");
}
