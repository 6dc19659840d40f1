//! Tokens that end, rights that are taken, passwords that change.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use portolan::{
    Directory, ErrorKind, Group, Login, RegistrationState, Registry, RegistryBuilder, Status,
    Tuning, UpdateError, Updated,
};
use portolan_kit::{Builder, Etcd, Programs, Release, replace_file};

use super::kinds::{among, refused};
use super::proxy::Proxy;
use super::{etcdctl, instance, parsed, register, seen, set_up_users, shown, soon};

const ROOT: &str = "--user=root:top";

/// A store that knows `root` and `web`, who may do anything below `/portolan/`.
fn guarded(builder: Builder) -> Etcd {
    let etcd = builder.start().unwrap_or_else(|error| panic!("{error}"));
    set_up_users(&etcd);
    etcd
}

fn at(etcd: &Etcd) -> RegistryBuilder {
    Registry::builder().endpoints([etcd.client_url()])
}

async fn settles(etcd: &Etcd, directory: &Directory) {
    let prefix = "/portolan/instances/";
    let truth = etcdctl(etcd, &[ROOT, "get", "--prefix", prefix, "--write-out=fields"]);
    let truth = parsed(&truth);
    seen(prefix, directory, |snapshot| snapshot.is_live() && shown(snapshot) == truth).await;
}

async fn count(group: &Group) -> Result<Updated, UpdateError> {
    let add = |config: &mut BTreeMap<String, u32>| *config.entry("n".to_owned()).or_default() += 1;
    group.update_as(add).await
}

async fn counted(group: &Group) -> u32 {
    let config = soon("read", group.config()).await.expect("it is read").expect("it is there");
    config.parse::<BTreeMap<String, u32>>().expect("it is ours")["n"]
}

/// The store loses its data, and its operator sets up the same users again. A token from before names
/// a place in the log that the new one comes to much later: who brings it is kept waiting, and not
/// refused.
#[tokio::test]
async fn a_token_from_before_the_store_lost_its_data_is_renewed() {
    let mut etcd = guarded(Etcd::builder(Release::V3_5));
    let registry = at(&etcd).user("web", "secret".into()).build().expect("an address");
    let web = registry.group("web").expect("a name");
    for _ in 0..100 {
        count(&web).await.expect("it is counted");
    }
    // Tokens are forgotten with the process, and asked for anew at the end of so long a log.
    etcd.kill().expect("it runs");
    etcd.restart().expect("it starts");
    let registration = register(&web, "a");
    soon("registered", registration.ready()).await.expect("it stands");
    let directory = web.directory();
    settles(&etcd, &directory).await;
    etcd.wipe().expect("it is stopped and emptied");
    etcd.restart().expect("it starts");
    set_up_users(&etcd);
    // Nobody asks the store anything meanwhile: that would bring its log forward.
    seen("registered again", &directory, |snapshot| {
        snapshot.is_live() && snapshot.epoch() > 0 && snapshot.len() == 1
    })
    .await;
    settles(&etcd, &directory).await;
    count(&web).await.expect("it is counted");
    assert_eq!(counted(&web).await, 1, "the former count is lost");
}

/// Over idle time longer than the token lasts, which no call may notice, and over restarts.
#[tokio::test]
async fn a_token_that_ends_within_seconds_costs_no_call() {
    let mut etcd = guarded(Etcd::builder(Release::V3_5).auth_token_ttl(Duration::from_secs(2)));
    let (ours, theirs) = (
        at(&etcd).user("web", "secret".into()).build().expect("an address"),
        at(&etcd).user("web", "secret".into()).build().expect("an address"),
    );
    let (web, other) = (ours.group("web").expect("a name"), theirs.group("web").expect("a name"));
    let mut registration = register(&web, "a");
    soon("registered", registration.ready()).await.expect("it stands");
    let (directory, configs) = (other.directory(), other.configurations());
    seen("one", &directory, |snapshot| snapshot.len() == 1).await;
    count(&other).await.expect("it is counted");
    let following = configs.clone();
    let follower = tokio::spawn(async move {
        let (mut changes, mut last) = (following.changes(), 0);
        while let Some(difference) = changes.next().await {
            assert!(!difference.new_epoch, "the store is the same one");
            let Some(config) = difference.snapshot.config() else { continue };
            let now: BTreeMap<String, u32> = serde_json::from_str(config.as_str()).expect("ours");
            assert!(now["n"] >= last, "it never goes back");
            last = now["n"];
        }
        last
    });
    let (mut sure, mut doubtful) = (1, 0);
    for (round, step) in ["idle", "restart", "idle", "restart"].into_iter().enumerate() {
        let restart = async {
            if step == "restart" {
                etcd.kill().expect("it runs");
                tokio::time::sleep(Duration::from_millis(500)).await;
                etcd.restart().expect("it starts");
            } else {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        };
        // What goes on while etcd is away may fail for that, and for nothing else.
        let listed: &[ErrorKind] = match step {
            "restart" => &[ErrorKind::Unavailable, ErrorKind::Unknown],
            _ => &[],
        };
        let ((), read, written) = tokio::join!(restart, other.config(), count(&other));
        among(step, read, listed).ok();
        match among(step, written, listed) {
            Ok(_) => sure += 1,
            Err(ErrorKind::Unknown) => doubtful += 1,
            Err(_) => {}
        }
        // What comes after it may not fail at all.
        among("afterwards", other.config().await, &[]).ok();
        among("afterwards", count(&other).await, &[]).ok();
        sure += 1;
        let again = web.instance("a").expect("a name").label("round", round.to_string());
        registration.update(again.build().expect("an instance")).expect("it is taken");
        soon("registered", registration.ready()).await.expect("it stands");
        settles(&etcd, &directory).await;
        let n = counted(&other).await;
        assert!((sure..=sure + doubtful).contains(&n), "{n}, of {sure} and perhaps {doubtful}");
    }
    soon("removed", registration.deregister()).await.expect("it is confirmed");
    let last = counted(&other).await;
    let told = format!(r#"{{"n":{last}}}"#);
    seen(&told, &configs, |s| s.config().is_some_and(|config| config.as_str() == told)).await;
    assert!(ours.shutdown().await && theirs.shutdown().await);
    assert_eq!(follower.await.expect("nothing was amiss"), last);
}

/// Also under the rules of newer releases, where a renewal takes the right to write what hangs on
/// the lease.
#[tokio::test]
async fn rights_are_taken_and_given_back() {
    let late = Programs::find(Release::Late).is_ok().then_some(Release::Late);
    for release in [Some(Release::V3_5), late].into_iter().flatten() {
        let etcd = guarded(Etcd::builder(release));
        let proxy = Proxy::start(etcd.client_port()).await;
        let tuning = Tuning {
            lease_ttl: Duration::from_secs(5),
            backoff_cap: Duration::from_secs(1),
            backoff_slow_cap: Duration::from_secs(2),
            probe_after: Duration::from_secs(1),
            ..Tuning::default()
        };
        let registry = || {
            let builder = Registry::builder().endpoints([proxy.url()]).tuning(tuning.clone());
            builder.user("web", "secret".into()).build().expect("an address")
        };
        let (registry, caller) = (registry(), registry());
        let web = registry.group("web").expect("a name");
        let mut registration = register(&web, "a");
        let kept = register(&web, "b");
        soon("registered", registration.ready()).await.expect("it stands");
        soon("registered", kept.ready()).await.expect("it stands");
        let directory = web.directory();
        seen("two", &directory, |snapshot| snapshot.len() == 2).await;
        count(&web).await.expect("it is counted");
        let other = caller.group("web").expect("a name");
        assert_eq!(counted(&other).await, 1);

        etcdctl(&etcd, &[ROOT, "role", "revoke-permission", "--prefix=true", "web", "/portolan/"]);
        refused("read", web.config().await, ErrorKind::Denied);
        refused("update", count(&web).await, ErrorKind::Denied);
        let denied = |state: &RegistrationState| matches!(state, RegistrationState::Denied { .. });
        registration.update(instance(&web, "a")).expect("it is taken");
        soon("denied", registration.wait_for(denied)).await;
        // etcd asks for rights when a watch begins, and never again.
        etcdctl(&etcd, &[ROOT, "put", "/portolan/instances/web/c", r#"{"v":1}"#]);
        seen("followed", &directory, |s| s.is_live() && s.instance("c").is_some()).await;
        proxy.cut();
        let read = tokio::spawn(async move { other.config().await });
        soon("away", caller.wait_for_status(|status| status.store_away)).await.expect("open");
        proxy.heal();
        refused("read", soon("read", read).await.expect("it ends"), ErrorKind::Denied);
        // Who refuses is there.
        soon("back", caller.wait_for_status(|status| !status.store_away)).await.expect("open");
        let stale = seen("stale", &directory, |snapshot| !snapshot.is_live()).await;
        assert!(stale.len() >= 2, "what was seen stays");
        // A missing right is no matter of the login: that one stands.
        soon("logged in", registry.wait_for_status(|status| status.login == Login::Done)).await;
        if release == Release::Late {
            soon("denied as well", kept.wait_for(denied)).await;
            // Nor may the lease be renewed: its records end, and come back on another one.
            let ours = ["/portolan/instances/web/a", "/portolan/instances/web/b"];
            soon("ended", async {
                while ours.iter().any(|key| !etcdctl(&etcd, &[ROOT, "get", key]).is_empty()) {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            })
            .await;
        }

        etcdctl(
            &etcd,
            &[ROOT, "role", "grant-permission", "--prefix=true", "web", "readwrite", "/portolan/"],
        );
        soon("registered", registration.ready()).await.expect("it stands");
        soon("registered", kept.ready()).await.expect("it stands");
        settles(&etcd, &directory).await;
        soon("well", registry.wait_for_status(Status::is_well)).await;
        count(&web).await.expect("it is counted");
        assert_eq!(counted(&web).await, 2);
        assert!(registry.shutdown().await && caller.shutdown().await);
    }
}

/// The pauses are far longer than the test: it is the change of the file that ends them.
#[tokio::test]
async fn a_password_changes_in_etcd_and_later_in_its_file() {
    let etcd = guarded(Etcd::builder(Release::V3_5));
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("password");
    replace_file(&file, "secret\n").expect("it is written");
    let long = Duration::from_secs(1_800);
    let tuning = Tuning {
        backoff_slow_cap: long,
        backoff_cap: long,
        backoff_base: long,
        healthy_after: Duration::ZERO,
        probe_after: Duration::from_secs(1),
        ..Tuning::default()
    };
    let registry = at(&etcd).tuning(tuning).password_file("web", &file).build();
    let registry = registry.expect("an address");
    let web = registry.group("web").expect("a name");
    let registration = register(&web, "a");
    soon("registered", registration.ready()).await.expect("it stands");
    let directory = web.directory();
    seen("one", &directory, |snapshot| snapshot.len() == 1).await;
    count(&web).await.expect("it is counted");

    let mut passwd = Command::new(&etcd.programs().etcdctl)
        .args(["--endpoints", &etcd.client_url(), ROOT])
        .args(["user", "passwd", "--interactive=false", "web"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("etcdctl runs");
    passwd.stdin.take().expect("it is piped").write_all(b"changed\n").expect("it is read");
    assert!(passwd.wait().expect("it ends").success());
    refused("read", web.config().await, ErrorKind::Denied);
    refused("update", count(&web).await, ErrorKind::Denied);
    let refused = |status: &Status| status.login == Login::Refused;
    soon("told", registry.wait_for_status(refused)).await;
    // A watch that is open is not asked who it is.
    etcdctl(&etcd, &[ROOT, "put", "/portolan/instances/web/b", r#"{"v":1}"#]);
    seen("followed", &directory, |snapshot| snapshot.is_live() && snapshot.len() == 2).await;

    replace_file(&file, "changed\n").expect("it is written");
    soon("told", registry.wait_for_status(|status| status.login == Login::Done)).await;
    count(&web).await.expect("it is counted");
    assert_eq!(counted(&web).await, 2);
    soon("registered", registration.ready()).await.expect("it stands");
    settles(&etcd, &directory).await;
    let text = format!("{registry:?} {registration:?}");
    assert!(!text.contains("changed"), "{text}");
    assert!(registry.shutdown().await);
}
