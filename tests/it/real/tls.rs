//! Certificates that are replaced while the library works.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use portolan::{ErrorKind, Group, Registration, Registry, Tls};
use portolan_kit::{Authority, Certified, Etcd, Release, ServerTls, replace_file};

use super::kinds::among;
use super::{instance, register, seen, settles, soon};

/// What a change of certificates may cost: nothing but an attempt that is repeated, or one whose
/// connection broke under it.
const LISTED: &[ErrorKind] = &[ErrorKind::Unavailable, ErrorKind::Unknown];

/// How many calls ended well, and how many changes are certain and how many in doubt.
#[derive(Default)]
struct Done {
    reads: AtomicU32,
    sure: AtomicU32,
    doubtful: AtomicU32,
    over: AtomicBool,
}

async fn reads(group: Group, done: Arc<Done>) {
    while !done.over.load(Relaxed) {
        if among("read", group.config().await, LISTED).is_ok() {
            done.reads.fetch_add(1, Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn updates(group: Group, done: Arc<Done>) {
    let add = |config: &mut BTreeMap<String, u32>| *config.entry("n".to_owned()).or_default() += 1;
    while !done.over.load(Relaxed) {
        match among("update", group.update_as(add).await, LISTED) {
            Ok(_) => done.sure.fetch_add(1, Relaxed),
            Err(ErrorKind::Unknown) => done.doubtful.fetch_add(1, Relaxed),
            Err(_) => 0,
        };
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn registers(group: Group, mut registration: Registration, done: Arc<Done>) -> Registration {
    while !done.over.load(Relaxed) {
        registration.update(instance(&group, "a")).expect("it is taken");
        soon("registered", registration.ready()).await.expect("it stands");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    registration
}

/// Waits until calls of each kind that began from now on have ended well.
async fn goes_on(step: &str, done: &Done) {
    let (reads, sure) = (done.reads.load(Relaxed), done.sure.load(Relaxed));
    soon(step, async {
        while done.reads.load(Relaxed) < reads + 3 || done.sure.load(Relaxed) < sure + 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn every_certificate_is_replaced_under_load() {
    let (old, new) = (Authority::new("old authority"), Authority::new("new authority"));
    let both = format!("{}{}", old.pem(), new.pem());
    let names = ["127.0.0.1", "localhost"];
    let files = ServerTls::new(&both, &old.server(&names), true).expect("files");
    let mut etcd = Etcd::builder(Release::V3_5).tls(&files).start().expect("etcd starts");
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| {
        replace_file(&path(name), text).expect("it is written");
    };
    let show = |Certified { cert, key }: Certified| {
        write("own.pem", &cert);
        write("own.key", &key);
    };
    write("ca.pem", old.pem());
    show(old.client("web"));
    let tls =
        || Tls::new().ca_file(path("ca.pem")).identity_files(path("own.pem"), path("own.key"));
    let registry = |url: String| {
        let builder = Registry::builder().endpoints([url]).ttl(Duration::from_secs(5));
        builder.tls(tls()).build().expect("the files make sense")
    };
    let (ours, theirs) = (registry(etcd.client_url()), registry(etcd.client_url()));
    let (web, other) = (ours.group("web").expect("a name"), theirs.group("web").expect("a name"));
    let registration = register(&web, "a");
    soon("registered", registration.ready()).await.expect("it stands");
    let directory = other.directory();
    seen("one", &directory, |snapshot| snapshot.len() == 1).await;

    let done = Arc::new(Done::default());
    let load = (
        tokio::spawn(reads(other.clone(), done.clone())),
        tokio::spawn(updates(web.clone(), done.clone())),
        tokio::spawn(updates(other.clone(), done.clone())),
        tokio::spawn(registers(web.clone(), registration, done.clone())),
    );
    goes_on("with the old ones", &done).await;
    // Longer than files are looked at.
    let noticed = Duration::from_millis(2_500);
    write("ca.pem", &both);
    tokio::time::sleep(noticed).await;
    goes_on("with two authorities", &done).await;
    files.replace(&new.server(&names)).expect("it is written");
    goes_on("with another server's", &done).await;
    show(new.client("web"));
    tokio::time::sleep(noticed).await;
    goes_on("with another of ours", &done).await;
    write("ca.pem", new.pem());
    tokio::time::sleep(noticed).await;
    goes_on("with the new ones", &done).await;
    // No connection from before is left after this.
    etcd.restart().expect("it starts");
    goes_on("after a restart", &done).await;
    done.over.store(true, Relaxed);
    let registration = load.3.await.expect("nothing was amiss");
    load.0.await.expect("nothing was amiss");
    load.1.await.expect("nothing was amiss");
    load.2.await.expect("nothing was amiss");

    settles(&etcd, &directory, "/portolan/instances/").await;
    assert_eq!(directory.snapshot().len(), 1);
    let config = soon("read", other.config()).await.expect("it is read").expect("it is there");
    let n = config.parse::<BTreeMap<String, u32>>().expect("it is ours")["n"];
    let (sure, doubtful) = (done.sure.load(Relaxed), done.doubtful.load(Relaxed));
    assert!((sure..=sure + doubtful).contains(&n), "{n}, of {sure} and perhaps {doubtful}");
    soon("removed", registration.deregister()).await.expect("it is confirmed");
    assert!(ours.shutdown().await && theirs.shutdown().await);
}
