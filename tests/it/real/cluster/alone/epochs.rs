//! The store is taken back to a snapshot, or forgets everything.

use portolan_kit::KitError;

use super::*;

const WEB: &str = "/portolan/instances/web/";
const TTL: Duration = Duration::from_secs(5);

/// Servers that are one store, taken back together.
fn restore(members: &mut [Etcd], token: Option<&str>) -> Result<(), KitError> {
    let snapshot = members[0].folder().join("snapshot");
    for member in members.iter_mut() {
        member.kill()?;
    }
    for member in members.iter_mut() {
        member.restore(&snapshot, token)?;
        member.launch()?;
    }
    members.iter_mut().try_for_each(|member| member.wait_healthy(SOON))
}

/// From `members`, a snapshot of when `a`, `b` and another process's `d` stood; then `b` and `d` are
/// removed, `c` comes and `a` changes; then `taken_back`.
async fn everything_is_as_it_was_wanted(
    members: &mut [Etcd],
    taken_back: impl FnOnce(&mut [Etcd]) -> Result<(), KitError>,
) {
    let urls: Vec<_> = members.iter().map(Etcd::client_url).collect();
    let registry = || patient().endpoints(&urls).ttl(TTL).build().expect("addresses");
    let [ours, theirs, other] = [(), (), ()].map(|()| registry());
    let web = ours.group("web").expect("a name");
    let (mut a, b) = (register(&web, "a"), register(&web, "b"));
    let d = register(&other.group("web").expect("a name"), "d");
    for registration in [&a, &b, &d] {
        soon("registered", registration.ready()).await.expect("it stands");
    }
    let directories = [&ours, &theirs].map(|at| at.group("web").expect("a name").directory());
    for directory in &directories {
        seen("three", directory, |snapshot| snapshot.len() == 3).await;
    }
    let path = members[0].folder().join("snapshot");
    etcdctl(&members[0], &["snapshot", "save", path.to_str().expect("UTF-8")]);
    soon("removed", b.deregister()).await.expect("it is confirmed");
    soon("removed", d.deregister()).await.expect("it is confirmed");
    assert!(soon("closed", other.shutdown()).await);
    let c = register(&web, "c");
    soon("registered", c.ready()).await.expect("it stands");
    a.update(instance(&web, "a").with_state(portolan::State::OutOfService)).expect("it can be");
    soon("written", a.ready()).await.expect("it stands");
    let before = directories.each_ref().map(|directory| directory.snapshot().epoch());
    for directory in &directories {
        seen("two", directory, |snapshot| snapshot.len() == 2).await;
    }

    taken_back(members).unwrap_or_else(|error| panic!("{error}"));
    for (directory, before) in directories.iter().zip(before) {
        let rebuilt = |snapshot: &Snapshot| {
            let ids: Vec<_> = snapshot.instances().map(Instance::id).collect();
            let a = snapshot.instance("a").map(Instance::state);
            let as_wanted = ids == ["a", "c"] && a == Some(portolan::State::OutOfService);
            snapshot.is_live() && as_wanted && snapshot.epoch() > before
        };
        seen("rebuilt", directory, rebuilt).await;
        agrees(&urls[0], directory, WEB).await;
    }
    for registration in [&a, &c] {
        let standing = |state: &RegistrationState| {
            let RegistrationState::Registered { revision, .. } = state else { return false };
            let shown = directories[0].snapshot();
            shown.records().values().any(|record| record.mod_revision == *revision)
        };
        soon("standing", registration.wait_for(standing)).await;
    }
    assert!(soon("removed", ours.shutdown()).await && soon("closed", theirs.shutdown()).await);
    assert_eq!(content(&members[0], WEB), BTreeMap::new());
}

#[tokio::test]
async fn a_restored_store_is_a_new_epoch() {
    let mut etcd = etcd();
    let members = std::slice::from_mut(&mut etcd);
    everything_is_as_it_was_wanted(members, |members| restore(members, None)).await;
}

#[tokio::test]
async fn a_store_restored_as_another_cluster_is_a_new_epoch() {
    let mut etcd = etcd();
    let members = std::slice::from_mut(&mut etcd);
    everything_is_as_it_was_wanted(members, |members| restore(members, Some("another"))).await;
}

#[tokio::test]
async fn a_wiped_store_is_a_new_epoch() {
    let mut etcd = etcd();
    let members = std::slice::from_mut(&mut etcd);
    let wiped = |members: &mut [Etcd]| {
        members[0].wipe()?;
        members[0].restart()
    };
    everything_is_as_it_was_wanted(members, wiped).await;
}

#[tokio::test]
async fn a_cluster_restored_as_itself_is_a_new_epoch() {
    let mut cluster = cluster();
    let members = cluster.members_mut();
    everything_is_as_it_was_wanted(members, |members| restore(members, None)).await;
}

#[tokio::test]
async fn a_cluster_restored_as_another_is_a_new_epoch() {
    let mut cluster = cluster();
    let members = cluster.members_mut();
    everything_is_as_it_was_wanted(members, |members| restore(members, Some("another"))).await;
}
