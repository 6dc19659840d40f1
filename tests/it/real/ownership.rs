//! Who owns a record, on real etcd: two processes with one id, and strangers who meddle.

use portolan::{Conflict, Gone, State};

use super::*;

const KEY: &str = "/portolan/instances/web/a";

/// A process that comes and goes quickly.
fn process(etcd: &Etcd) -> (Registry, Group) {
    let builder = Registry::builder().endpoints([etcd.client_url()]);
    let registry = builder.ttl(Duration::from_secs(3)).build().expect("an address");
    let web = registry.group("web").expect("a name");
    (registry, web)
}

fn register_with(group: &Group, conflict: Conflict) -> Registration {
    group.register_with(instance(group, "a"), conflict).expect("it can be tried")
}

/// Registers `a` and waits until it stands.
async fn standing(group: &Group) -> (Registration, i64) {
    let registration = register(group, "a");
    let revision = soon("registered", registration.ready()).await.expect("it stands");
    (registration, revision.0)
}

/// How it ended.
async fn gone(registration: &Registration) -> Gone {
    let state = registration.wait_for(|state| matches!(state, RegistrationState::Gone(_)));
    soon("an end", state).await.gone().expect("waited for")
}

async fn state(registration: &Registration, what: &str, fits: fn(&RegistrationState) -> bool) {
    soon(what, registration.wait_for(fits)).await;
}

fn is_disturbed(state: &RegistrationState) -> bool {
    *state == RegistrationState::Lost { reason: LossReason::Disturbed }
}

fn field(etcd: &Etcd, name: &str) -> String {
    let text = etcdctl(etcd, &["get", KEY, "--write-out=fields"]);
    let start = format!("\"{name}\" : ");
    let value = text.lines().find_map(|line| line.strip_prefix(start.as_str()));
    value.unwrap_or_default().to_owned()
}

/// The lease of a stranger, as etcdctl names it.
fn strange_lease(etcd: &Etcd, ttl_secs: &str) -> String {
    let granted = etcdctl(etcd, &["lease", "grant", ttl_secs]);
    granted.split_whitespace().nth(1).expect("lease ID granted with TTL").to_owned()
}

#[tokio::test]
async fn who_comes_later_replaces_or_is_kept_out_or_waits() {
    let etcd = etcd();
    let ((first, ours), (second, theirs)) = (process(&etcd), process(&etcd));
    let (held, revision) = standing(&ours).await;

    let rejected = register_with(&theirs, Conflict::Reject);
    let end = gone(&rejected).await;
    assert!(matches!(end, Gone::Rejected { by: Some(_) }), "{end:?}");

    let waiting = register_with(&theirs, Conflict::Wait);
    state(&waiting, "waiting", |state| matches!(state, RegistrationState::Waiting { .. })).await;
    assert_eq!(content(&etcd, KEY), [(KEY.to_owned(), revision)].into(), "neither touched it");
    soon("removed", held.deregister()).await.expect("it is confirmed");
    let turn = soon("its turn", waiting.ready()).await.expect("it stands").0;
    assert_eq!(content(&etcd, KEY), [(KEY.to_owned(), turn)].into());

    let winner = register_with(&ours, Conflict::Replace);
    let won = soon("replaced", winner.ready()).await.expect("it stands").0;
    let RegistrationState::Registered { lease, .. } = winner.state() else {
        panic!("{:?}", winner.state());
    };
    assert_eq!(gone(&waiting).await, Gone::Superseded { by: Some(lease) });
    assert!(soon("closed", second.shutdown()).await);
    assert_eq!(content(&etcd, KEY), [(KEY.to_owned(), won)].into(), "the loser left it alone");
    assert!(soon("closed", first.shutdown()).await);
    assert_eq!(content(&etcd, ""), BTreeMap::new());
}

/// A record that is deleted, overwritten in place or detached from its lease is healed: the same
/// content on a lease of ours.
#[tokio::test]
async fn what_a_stranger_does_to_a_record_is_healed() {
    let etcd = etcd();
    let (registry, web) = process(&etcd);
    let (registration, mut revision) = standing(&web).await;
    let wanted = field(&etcd, "Value");
    let same = etcdctl(&etcd, &["get", KEY, "--print-value-only"]);
    for meddling in [
        &["del", KEY][..],
        &["put", "--ignore-lease", KEY, "{}"],
        &["put", KEY, "{}"],
        &["put", KEY, same.trim_end()],
    ] {
        etcdctl(&etcd, meddling);
        state(&registration, "noticed", is_disturbed).await;
        let healed = soon("healed", registration.ready()).await.expect("it stands").0;
        assert!(healed > revision + 1, "{meddling:?}");
        revision = healed;
        let RegistrationState::Registered { lease, .. } = registration.state() else {
            panic!("{:?}", registration.state());
        };
        assert_eq!(content(&etcd, KEY), [(KEY.to_owned(), revision)].into(), "{meddling:?}");
        assert_eq!(field(&etcd, "Lease"), lease.get().to_string(), "{meddling:?}");
        assert_eq!(field(&etcd, "Value"), wanted, "{meddling:?}");
    }
    assert!(soon("closed", registry.shutdown()).await);
}

/// A record that a stranger puts over ours, on a lease of its own, is a takeover: the registration
/// ends and leaves it alone.
#[tokio::test]
async fn a_record_moved_to_another_lease_is_a_takeover() {
    let etcd = etcd();
    let (registry, web) = process(&etcd);
    let (registration, _) = standing(&web).await;
    let lease = strange_lease(&etcd, "60");
    etcdctl(&etcd, &["put", "--lease", &lease, KEY, "{}"]);
    let moved = content(&etcd, KEY);
    let end = gone(&registration).await;
    let Gone::Superseded { by: Some(by) } = end else { panic!("{end:?}") };
    assert_eq!(by.to_string(), lease);
    assert!(soon("closed", registry.shutdown()).await);
    assert_eq!(content(&etcd, KEY), moved, "it is the stranger's");
}

/// Deleted, and put anew on a lease that nobody renews: the late attempt of one that has ended. It
/// is neither fought nor given way to; when it has gone with its lease, ours is back.
#[tokio::test]
async fn a_record_put_after_ours_vanished_is_outlived() {
    let etcd = etcd();
    let (registry, web) = process(&etcd);
    let (registration, _) = standing(&web).await;
    let lease = strange_lease(&etcd, "3");
    etcdctl(&etcd, &["del", KEY]);
    etcdctl(&etcd, &["put", "--lease", &lease, KEY, "{}"]);
    state(&registration, "noticed", is_disturbed).await;
    let theirs = content(&etcd, KEY);
    assert_eq!(field(&etcd, "Value"), "\"{}\"");
    let healed = soon("healed", registration.ready()).await.expect("it stands").0;
    assert!(healed > theirs[KEY] + 1, "its lease's end took it away before");
    assert!(soon("closed", registry.shutdown()).await);
}

#[tokio::test]
async fn garbage_is_skipped_counted_and_listed() {
    let etcd = etcd();
    let (registry, web) = process(&etcd);
    let (_registration, _) = standing(&web).await;
    let directory = web.directory();
    let bad = ["b", "c/d", "e"].map(|id| format!("/portolan/instances/web/{id}"));
    for (key, value) in bad.iter().zip(["nonsense", "{}", "{\"v\":99}"]) {
        etcdctl(&etcd, &["put", key, value]);
    }
    let snapshot = seen("listed", &directory, |snapshot| snapshot.unreadable().len() == 3).await;
    let listed: Vec<_> = snapshot.unreadable().map(|(key, _)| key.to_string()).collect();
    assert_eq!(listed, bad);
    let instances = snapshot.instances().map(|instance| (instance.id(), instance.state()));
    let ids: Vec<_> = instances.collect();
    assert_eq!(ids, [("a", State::Ready)]);
    soon("counted", registry.wait_for_status(|status| status.unreadable == 3)).await.expect("open");
    etcdctl(&etcd, &["del", "--prefix", "/portolan/instances/web/c"]);
    seen("less", &directory, |snapshot| snapshot.unreadable().len() == 2).await;
    assert!(soon("closed", registry.shutdown()).await);
}
