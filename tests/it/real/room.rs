//! A store without room, and one behind etcd's own proxy.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use portolan::{Data, ErrorKind, RegistrationState, Registry, Snapshot, Tuning};
use portolan_core::waist::{Certainty, Reply, Request, StoreError};
use portolan_kit::{Etcd, Port, Release};

use super::raw::{Raw, put};
use super::wire::Wire;
use super::{
    content, etcd, etcdctl, instance, register, registry, registry_at, seen, settles, soon,
};

#[tokio::test]
async fn a_full_store_still_finds_and_removes() {
    let etcd = Etcd::builder(Release::V3_5).flag("--quota-backend-bytes=4194304");
    let etcd = etcd.start().unwrap_or_else(|error| panic!("{error}"));
    let tuning = Tuning {
        lease_ttl: Duration::from_secs(5),
        backoff_cap: Duration::from_secs(1),
        backoff_slow_cap: Duration::from_secs(2),
        ..Tuning::default()
    };
    let builder = Registry::builder().endpoints([etcd.client_url()]).tuning(tuning);
    let (ours, theirs) = (builder.build().expect("an address"), registry(&etcd));
    let web = ours.group("web").expect("a name");
    let (kept, leaving) = (register(&web, "a"), register(&web, "b"));
    soon("registered", kept.ready()).await.expect("it stands");
    soon("registered", leaving.ready()).await.expect("it stands");
    let other = theirs.group("web").expect("a name");
    let directory = other.directory();
    seen("two", &directory, |snapshot| snapshot.len() == 2).await;

    let mut raw = Raw::of(&etcd);
    let mut fill = 0;
    loop {
        let fat = put(format!("fill/{fill}"), vec![7; 1 << 20], None);
        let reply = raw.ask(Request::Put(fat)).await;
        if reply == Reply::Failed(StoreError::NoSpace) {
            break;
        }
        assert!(matches!(reply, Reply::Put(_)), "{reply:?}");
        fill += 1;
        assert!(fill < 30, "the quota is never met");
    }
    let new = register(&web, "c");
    let denied = |state: &RegistrationState| matches!(state, RegistrationState::Denied { .. });
    let RegistrationState::Denied { reason } = soon("told", new.wait_for(denied)).await else {
        panic!("{:?}", new.state())
    };
    assert!(reason.contains("space"), "{reason}");
    let data = || "{}".parse::<Data>().expect("JSON");
    // Those words are no proof that nothing was written (row E2).
    let full = web.update(move |_| Some(data())).await.expect_err("there is no room");
    assert_eq!(full.kind(), ErrorKind::Unknown, "{full:?}");
    assert!(full.to_string().contains("database space exceeded"), "{full}");
    // Reading, renewing and removing go on.
    let late = registry(&etcd);
    let late_directory = late.group("web").expect("a name").directory();
    seen("two", &late_directory, |snapshot| snapshot.len() == 2).await;
    soon("removed", leaving.deregister()).await.expect("it is confirmed");
    seen("one", &directory, |snapshot| snapshot.is_live() && snapshot.len() == 1).await;
    assert!(matches!(kept.state(), RegistrationState::Registered { .. }), "{:?}", kept.state());
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(matches!(kept.state(), RegistrationState::Registered { .. }), "{:?}", kept.state());

    let text = etcdctl(&etcd, &["del", "--prefix", "fill/", "--write-out=fields"]);
    let revision = text.lines().find_map(|line| line.strip_prefix("\"Revision\" : "));
    etcdctl(&etcd, &["compact", "--physical", revision.expect("it is told")]);
    etcdctl(&etcd, &["defrag"]);
    etcdctl(&etcd, &["alarm", "disarm"]);
    soon("registered", new.ready()).await.expect("it stands");
    web.update(move |_| Some(data())).await.expect("it is written");
    settles(&etcd, &directory, "/portolan/instances/").await;
    assert_eq!(directory.snapshot().len(), 2);
    assert!(ours.shutdown().await && theirs.shutdown().await && late.shutdown().await);
}

/// Why an update of a full store ends as unknown, also where there is one member only. What found
/// room when it was asked is looked at again when it is applied: then it is written, and the answer
/// is the very words of a refusal (row E2).
#[tokio::test]
async fn a_full_store_has_written_what_it_seems_to_refuse() {
    // When etcd sees that there is no room left is a matter of when it writes to disk.
    for _ in 0..20 {
        let etcd = Etcd::builder(Release::V3_5).flag("--quota-backend-bytes=4194304");
        let etcd = etcd.start().unwrap_or_else(|error| panic!("{error}"));
        let key = |n: usize| format!("fill/{n}");
        let fat = (0..16).map(|n| Request::Put(put(key(n), vec![7; 1 << 20], None)));
        let replies = Raw::of(&etcd).each(fat).await;
        let there = content(&etcd, "fill/");
        let refused = Reply::Failed(StoreError::NoSpace);
        let mut refused = (0..).zip(replies).filter(|(_, reply)| *reply == refused);
        if refused.any(|(n, _)| there.contains_key(&key(n))) {
            assert_eq!(StoreError::NoSpace.certainty(), Certainty::Unknown);
            return;
        }
    }
    panic!("no refused write was found written");
}

/// `etcd grpc-proxy`, ended when dropped.
struct GrpcProxy {
    child: Child,
    port: Port,
    etcd: (std::path::PathBuf, String),
}

impl GrpcProxy {
    fn start(etcd: &Etcd) -> Self {
        let port = Port::reserve().expect("a free port");
        let etcd = (etcd.programs().etcd.clone(), etcd.client_url());
        let child = Self::spawn(&etcd, &port);
        Self { child, port, etcd }
    }

    fn spawn((program, etcd): &(std::path::PathBuf, String), port: &Port) -> Child {
        let child = Command::new(program)
            .args(["grpc-proxy", "start", "--endpoints", etcd])
            .args(["--listen-addr", &port.addr().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd is there");
        while TcpStream::connect(port.addr()).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        child
    }

    fn restart(&mut self) {
        self.end();
        self.child = Self::spawn(&self.etcd, &self.port);
    }

    fn end(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ends");
    }

    fn url(&self) -> String {
        format!("http://{}", self.port.addr())
    }
}

impl Drop for GrpcProxy {
    fn drop(&mut self) {
        self.end();
    }
}

/// It answers no progress request, so each quiet spell ends in a read, which agrees.
#[tokio::test]
async fn behind_the_grpc_proxy_of_etcd() {
    let etcd = etcd();
    let mut proxy = GrpcProxy::start(&etcd);
    let wire = Wire::start(&proxy.url()).await;
    let (ours, theirs) = (registry_at(&proxy.url()), registry_at(&wire.url()));
    let (web, other) = (ours.group("web").expect("a name"), theirs.group("web").expect("a name"));
    let mut registrations: Vec<_> = ["a", "b"].map(|id| register(&web, id)).into();
    for registration in &registrations {
        soon("registered", registration.ready()).await.expect("it stands");
    }
    let directory = other.directory();
    seen("two", &directory, |snapshot| snapshot.len() == 2).await;
    let config = |text: &'static str| move |_: Option<&Data>| Some(text.parse().expect("JSON"));
    web.update(config(r#"{"n":1}"#)).await.expect("it is written");
    assert_eq!(
        other.config().await.expect("it is read").expect("there").data.as_str(),
        r#"{"n":1}"#
    );
    // Longer than a quiet watch is trusted, its probe and the lease included.
    let (watches, reads) = (wire.count("Watch"), wire.count("Range"));
    let (first, state) = (directory.snapshot().revision(), registrations[0].state());
    tokio::time::sleep(Duration::from_secs(10)).await;
    seen("live", &directory, |s| s.is_live() && s.len() == 2 && s.revision() == first).await;
    assert_eq!(registrations[0].state(), state, "it was renewed");
    assert_eq!(wire.count("Watch"), watches, "a silent watch is not a dead one");
    assert!(wire.count("Range") > reads, "a read has settled it");

    proxy.restart();
    registrations[0].update(instance(&web, "a")).expect("it is taken");
    registrations.push(register(&web, "c"));
    for registration in &registrations {
        soon("registered", registration.ready()).await.expect("it stands");
    }
    settles(&etcd, &directory, "/portolan/instances/").await;
    assert_eq!(directory.snapshot().len(), 3);
    web.update(config(r#"{"n":2}"#)).await.expect("it is written");
    assert_eq!(
        other.config().await.expect("it is read").expect("there").data.as_str(),
        r#"{"n":2}"#
    );
    for registration in registrations {
        soon("removed", registration.deregister()).await.expect("it is confirmed");
    }
    seen("none", &directory, Snapshot::is_empty).await;
    assert!(ours.shutdown().await && theirs.shutdown().await);
    assert_eq!(etcdctl(&etcd, &["lease", "list"]).trim(), "found 0 leases");
}
