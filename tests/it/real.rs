//! The library on real etcd: private servers, killed, restarted, compacted and meddled with.

mod auth;
mod cluster;
mod compaction;
mod expiry;
mod follow;
mod history;
mod kinds;
mod ownership;
mod proxy;
mod raw;
mod room;
mod tls;
mod volume;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portolan::{
    Directory, Group, Instance, LossReason, Registration, RegistrationState, Registry, Snapshot,
};
use portolan_kit::{Etcd, Release};
use tokio::time::timeout;

use self::proxy::Proxy;

/// Longer than any recovery may take on a busy machine.
const SOON: Duration = Duration::from_secs(60);

fn etcd() -> Etcd {
    Etcd::builder(Release::V3_5).start().unwrap_or_else(|error| panic!("{error}"))
}

fn registry_at(url: &str) -> Registry {
    Registry::builder().endpoints([url]).ttl(Duration::from_secs(5)).build().expect("an address")
}

fn registry(etcd: &Etcd) -> Registry {
    registry_at(&etcd.client_url())
}

fn instance(group: &Group, id: &str) -> Instance {
    let builder = group.instance(id).expect("a name");
    builder.endpoint("http", "10.0.0.7:8080").build().expect("an instance")
}

fn register(group: &Group, id: &str) -> Registration {
    group.register(instance(group, id)).expect("it can be registered")
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what}: not within {SOON:?}"))
}

async fn seen(what: &str, directory: &Directory, fits: impl FnMut(&Snapshot) -> bool) -> Snapshot {
    soon(what, directory.wait_for(fits)).await.expect("the registry is open")
}

fn etcdctl(etcd: &Etcd, args: &[&str]) -> String {
    etcd.etcdctl(args.iter().copied()).unwrap_or_else(|error| panic!("{error}"))
}

/// Key and mod revision of every record below `prefix`, as etcdctl tells them.
fn content(etcd: &Etcd, prefix: &str) -> BTreeMap<String, i64> {
    parsed(&etcdctl(etcd, &["get", "--prefix", prefix, "--write-out=fields"]))
}

fn parsed(text: &str) -> BTreeMap<String, i64> {
    let field = |name: &str| -> Vec<&str> {
        let start = format!("\"{name}\" : ");
        text.lines().filter_map(|line| line.strip_prefix(start.as_str())).collect()
    };
    let keys = field("Key").into_iter().map(|key| key.trim_matches('"').to_owned());
    let revisions = field("ModRevision").into_iter().map(|n| n.parse().expect("a number"));
    keys.zip(revisions).collect()
}

fn shown(snapshot: &Snapshot) -> BTreeMap<String, i64> {
    snapshot
        .records()
        .iter()
        .map(|(key, record)| (key.to_string(), record.mod_revision.0))
        .collect()
}

/// Waits until a directory is live and holds just what etcd holds.
async fn settles(etcd: &Etcd, directory: &Directory, prefix: &str) {
    let truth = content(etcd, prefix);
    seen(prefix, directory, |snapshot| snapshot.is_live() && shown(snapshot) == truth).await;
}

#[tokio::test]
async fn the_main_job() {
    let etcd = etcd();
    let (ours, theirs) = (registry(&etcd), registry(&etcd));
    let web = ours.group("web").expect("a name");
    let registrations: Vec<_> = ["a", "b", "c"].map(|id| register(&web, id)).into();
    for registration in &registrations {
        soon("registered", registration.ready()).await.expect("it stands");
    }
    let directory = theirs.group("web").expect("a name").directory();
    seen("three", &directory, |snapshot| snapshot.len() == 3).await;

    web.update(|_| Some("{}".parse().expect("JSON"))).await.expect("it is created");
    let change = |name: &'static str| {
        move |config: &mut BTreeMap<String, u32>| {
            config.insert(name.to_owned(), 1);
        }
    };
    let other = theirs.group("web").expect("a name");
    let (first, second) = tokio::join!(web.update_as(change("a")), other.update_as(change("b")));
    first.and(second).expect("both survive");
    let config = web.config().await.expect("it is read").expect("it is there");
    assert_eq!(config.data.as_str(), r#"{"a":1,"b":1}"#);
    let all: Vec<_> = content(&etcd, "").into_keys().collect();
    let records = ["groups/web", "instances/web/a", "instances/web/b", "instances/web/c"];
    assert_eq!(all, records.map(|key| format!("/portolan/{key}")), "nothing but the records");

    for registration in registrations {
        soon("removed", registration.deregister()).await.expect("it is confirmed");
    }
    seen("none", &directory, Snapshot::is_empty).await;
    assert_eq!(content(&etcd, "/portolan/instances/"), BTreeMap::new());
    assert!(ours.shutdown().await && theirs.shutdown().await);
    let alive = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(alive, 0, "no task is left, those of connections included");
    let leases = etcdctl(&etcd, &["lease", "list"]);
    assert_eq!(leases.trim(), "found 0 leases", "every lease is revoked");
}

#[tokio::test]
async fn etcd_is_killed_and_comes_back() {
    let mut etcd = etcd();
    let registry = registry(&etcd);
    let web = registry.group("web").expect("a name");
    let registration = register(&web, "a");
    soon("registered", registration.ready()).await.expect("it stands");
    let directory = web.directory();
    seen("one", &directory, |snapshot| snapshot.len() == 1).await;
    etcd.kill().expect("it runs");
    let stale = seen("stale", &directory, |snapshot| !snapshot.is_live()).await;
    assert_eq!(stale.len(), 1, "an error changes the freshness, never the content");
    // Longer than the lease: ours counts it as lost, etcd has it still (row L10).
    let lost = |state: &RegistrationState| matches!(state, RegistrationState::Lost { .. });
    soon("lost", registration.wait_for(lost)).await;
    etcd.restart().expect("it starts");
    soon("registered again", registration.ready()).await.expect("it stands");
    settles(&etcd, &directory, "/portolan/instances/web/").await;
    assert!(registry.shutdown().await);
}

#[tokio::test]
async fn a_lease_revoked_and_a_key_deleted_by_hand_are_healed() {
    let etcd = etcd();
    let registry = registry(&etcd);
    let web = registry.group("web").expect("a name");
    let registration = register(&web, "a");
    let first = soon("registered", registration.ready()).await.expect("it stands");
    let lost = |why: LossReason| {
        move |state: &RegistrationState| *state == RegistrationState::Lost { reason: why }
    };
    etcdctl(&etcd, &["del", "/portolan/instances/web/a"]);
    soon("noticed", registration.wait_for(lost(LossReason::Disturbed))).await;
    let second = soon("healed", registration.ready()).await.expect("it stands");
    assert!(second > first);
    let RegistrationState::Registered { lease, .. } = registration.state() else {
        panic!("{:?}", registration.state());
    };
    etcdctl(&etcd, &["lease", "revoke", &lease.to_string()]);
    let healed = |state: &RegistrationState| matches!(state, RegistrationState::Registered { lease: new, .. } if *new != lease);
    soon("healed", registration.wait_for(healed)).await;
    settles(&etcd, &web.directory(), "/portolan/instances/web/").await;
    assert!(registry.shutdown().await);
}

#[tokio::test]
async fn history_is_compacted_while_a_directory_is_cut_off() {
    let etcd = etcd();
    let proxy = Proxy::start(etcd.client_port()).await;
    let (ours, theirs) = (registry(&etcd), registry_at(&proxy.url()));
    let web = ours.group("web").expect("a name");
    let mut kept: BTreeMap<_, _> =
        ["a", "b"].map(|id| (id, register(&web, id))).into_iter().collect();
    let directory = theirs.group("web").expect("a name").directory();
    seen("two", &directory, |snapshot| snapshot.len() == 2).await;
    proxy.cut();
    seen("stale", &directory, |snapshot| !snapshot.is_live()).await;
    let leaving = kept.remove("a").expect("it is there");
    leaving.deregister().await.expect("it is confirmed");
    kept.insert("c", register(&web, "c"));
    let last = soon("registered", kept["c"].ready()).await.expect("it stands");
    etcdctl(&etcd, &["compact", &last.to_string()]);
    assert_eq!(directory.snapshot().len(), 2, "nothing is known of it yet");
    proxy.heal();
    settles(&etcd, &directory, "/portolan/instances/web/").await;
    let ids: BTreeSet<_> =
        directory.snapshot().instances().map(|instance| instance.id().to_owned()).collect();
    assert_eq!(ids, ["b", "c"].map(str::to_owned).into());
    assert!(ours.shutdown().await && theirs.shutdown().await);
}

/// Makes the store know `root` and `web`, who may do anything below `/portolan/`.
fn set_up_users(etcd: &Etcd) {
    for args in [
        &["user", "add", "root:top"][..],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "web"],
        &["role", "grant-permission", "--prefix=true", "web", "readwrite", "/portolan/"],
        &["user", "add", "web:secret"],
        &["user", "grant-role", "web", "web"],
        &["auth", "enable"],
    ] {
        etcdctl(etcd, args);
    }
}

#[tokio::test]
async fn a_user_with_a_password_is_let_in_and_another_is_told() {
    let etcd = etcd();
    set_up_users(&etcd);
    let as_user = |password: &str| {
        Registry::builder()
            .endpoints([etcd.client_url()])
            .user("web", password.to_owned().into())
            .build()
            .expect("an address")
    };
    let registry = as_user("secret");
    let web = registry.group("web").expect("a name");
    let registration = register(&web, "a");
    soon("registered", registration.ready()).await.expect("it stands");
    seen("one", &web.directory(), |snapshot| snapshot.len() == 1).await;
    soon("removed", registration.deregister()).await.expect("it is confirmed");
    assert!(registry.shutdown().await);

    let stranger = as_user("wrong");
    let web = stranger.group("web").expect("a name");
    let registration = register(&web, "b");
    let denied = |state: &RegistrationState| matches!(state, RegistrationState::Denied { .. });
    soon("told", registration.wait_for(denied)).await;
    let text = format!("{stranger:?} {registration:?}");
    assert!(!text.contains("wrong"), "{text}");
    stranger.abandon().await;
}

#[tokio::test]
async fn another_member_takes_over_when_one_dies() {
    let mut cluster = Etcd::builder(Release::V3_5)
        .fast_timers()
        .start_cluster(3)
        .unwrap_or_else(|error| panic!("{error}"));
    let registry = Registry::builder()
        .endpoints(cluster.client_urls())
        .ttl(Duration::from_secs(5))
        .build()
        .expect("addresses");
    let web = registry.group("web").expect("a name");
    let mut registration = register(&web, "a");
    soon("registered", registration.ready()).await.expect("it stands");
    let directory = web.directory();
    seen("one", &directory, |snapshot| snapshot.len() == 1).await;
    for dead in 0..3 {
        cluster.members_mut()[dead].kill().expect("it runs");
        registration.update(instance(&web, "a")).expect("it can be written");
        let revision = soon("written", registration.ready()).await.expect("it stands");
        let snapshot = seen("seen", &directory, |s| s.is_live() && s.revision() >= revision).await;
        assert_eq!(snapshot.len(), 1);
        cluster.members_mut()[dead].restart().expect("it starts");
    }
    assert!(soon("closed", registry.shutdown()).await);
}

mod alone {
    use super::*;

    /// 1,000 registrations and 20 directories through ten restarts.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_thousand_registrations_live_through_ten_restarts() {
        const GROUPS: usize = 20;
        const EACH: usize = 50;
        let mut etcd = etcd();
        let (ours, theirs) = (registry(&etcd), registry(&etcd));
        let groups: Vec<_> =
            (0..GROUPS).map(|n| ours.group(&format!("group-{n}")).expect("a name")).collect();
        let registrations: Vec<_> = groups
            .iter()
            .flat_map(|group| (0..EACH).map(|n| register(group, &format!("i{n}"))))
            .collect();
        let directories: Vec<_> = groups
            .iter()
            .map(|group| theirs.group(group.name().as_str()).expect("a name").directory())
            .collect();
        for restart in 0..10 {
            if restart % 2 == 0 {
                etcd.kill().expect("it runs");
            } else {
                etcd.stop().expect("it runs");
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
            etcd.restart().expect("it starts");
            // Not always to the end: some restarts fall into the recovery from the one before.
            if restart % 3 == 2 {
                soon("well", ours.wait_for_status(portolan::Status::is_well)).await;
            }
        }
        for registration in &registrations {
            soon("registered", registration.ready()).await.expect("it stands");
        }
        soon("well", ours.wait_for_status(portolan::Status::is_well)).await;
        let all = content(&etcd, "/portolan/instances/");
        assert_eq!(all.len(), GROUPS * EACH, "none missing, none twice");
        for (group, directory) in groups.iter().zip(&directories) {
            let prefix = format!("/portolan/instances/{}/", group.name());
            settles(&etcd, directory, &prefix).await;
            assert_eq!(directory.snapshot().len(), EACH);
        }
        assert!(ours.shutdown().await, "every removal is confirmed");
        for directory in &directories {
            seen("empty", directory, Snapshot::is_empty).await;
        }
        assert!(theirs.shutdown().await);
    }
}
