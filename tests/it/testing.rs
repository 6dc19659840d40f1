//! The kit for users' own tests, as a user writes them.

use std::time::Duration;

use portolan::testing::Etcd;
use portolan::{Directory, Group, Registration, RegistrationState, Registry};
use tokio::time::Instant;

fn web(registry: &Registry) -> Group {
    registry.group("web").expect("a name")
}

async fn registered(registry: &Registry, id: &str) -> Registration {
    let web = web(registry);
    let instance = web.instance(id).expect("an id").build().expect("an instance");
    let registration = web.register(instance).expect("it can be");
    registration.ready().await.expect("it stands");
    registration
}

async fn shows(directory: &Directory, ids: &[&str]) {
    let all = directory.wait_for(|snapshot| {
        snapshot.is_live() && snapshot.instances().map(|found| found.id()).eq(ids.iter().copied())
    });
    all.await.expect("it is open");
}

#[tokio::test(start_paused = true)]
async fn an_etcd_is_away_for_40_seconds() {
    let etcd = Etcd::new();
    let registry = etcd.registry();
    let mut registration = registered(&registry, "a").await;
    let directory = web(&registry).directory();
    shows(&directory, &["a"]).await;
    let since = Instant::now();
    etcd.away(Duration::from_secs(40)).await;
    assert_eq!(since.elapsed(), Duration::from_secs(40));
    assert!(!directory.snapshot().is_live());
    assert_eq!(directory.snapshot().len(), 1);
    assert!(matches!(registration.state(), RegistrationState::Lost { .. }), "its time was over");
    shows(&directory, &["a"]).await;
    registration.ready().await.expect("it stands again");
    registration.drain().expect("it can be");
    let draining = directory.wait_for(|snapshot| {
        snapshot.instances().all(|found| found.state() == portolan::State::Draining)
    });
    draining.await.expect("it is open");
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_lost_now() {
    let etcd = Etcd::new();
    let registration = registered(&etcd.registry(), "a").await;
    let RegistrationState::Registered { lease: before, .. } = registration.state() else {
        panic!("{:?}", registration.state())
    };
    etcd.lose_lease(&registration).await.expect("there is one");
    etcd.revoke(before).await.expect_err("it is gone");
    registration.wait_for(|state| matches!(state, RegistrationState::Lost { .. })).await;
    etcd.lose_lease(&registration).await.expect_err("it stands on none");
    registration.ready().await.expect("it stands again");
    let RegistrationState::Registered { lease: after, .. } = registration.state() else {
        panic!("{:?}", registration.state())
    };
    assert_ne!(before, after);
}

#[tokio::test(start_paused = true)]
async fn history_is_compacted_while_a_client_is_cut_off() {
    let etcd = Etcd::new();
    let link = etcd.link();
    let directory = web(&link.registry()).directory();
    shows(&directory, &[]).await;
    link.cut();
    let others = etcd.registry();
    let (_a, b) = (registered(&others, "a").await, registered(&others, "b").await);
    b.deregister().await.expect("it is removed");
    etcd.compact().await.expect("there is something to compact");
    etcd.compact().await.expect_err("it is compacted already");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(directory.snapshot().is_empty() && !directory.snapshot().is_live());
    link.heal();
    shows(&directory, &["a"]).await;
}

#[tokio::test(start_paused = true)]
async fn all_leases_end_at_once() {
    let etcd = Etcd::new();
    let registries: Vec<_> = (0..8).map(|_| etcd.registry()).collect();
    let mut all = Vec::new();
    for (at, registry) in registries.iter().enumerate() {
        all.push(registered(registry, &format!("i{at}")).await);
    }
    let directory = web(&etcd.registry()).directory();
    let ids: Vec<_> = (0..8).map(|at| format!("i{at}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    shows(&directory, &ids).await;
    assert_eq!(etcd.expire_all().await.expect("it answers"), 8);
    for registration in &all {
        registration.wait_for(|state| matches!(state, RegistrationState::Lost { .. })).await;
    }
    shows(&directory, &ids).await;
    etcd.stop();
    etcd.expire_all().await.expect_err("nobody is there");
}

/// What a program keeps in etcd beside this crate.
#[tokio::test(start_paused = true)]
async fn other_code_shares_the_store() {
    let etcd = Etcd::new();
    let mut client = etcd.link().client().await.expect("it is made");
    let _a = registered(&etcd.registry(), "a").await;
    let got = client.get("/portolan/instances/web/a", None).await.expect("it gets");
    assert_eq!(got.count(), 1);
    client.delete("/portolan/instances/web/a", None).await.expect("it deletes");
    let directory = web(&etcd.registry()).directory();
    shows(&directory, &["a"]).await;
}

/// When what happened, by a clock that only the test moves.
#[test]
fn the_same_test_takes_the_same_course() {
    let course = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let (etcd, since, mut seen) = (Etcd::new(), Instant::now(), Vec::new());
            let link = etcd.link();
            let registration = registered(&link.registry(), "a").await;
            let directory = web(&etcd.registry()).directory();
            let mut changes = directory.changes();
            let watched = async {
                loop {
                    let Some(difference) = changes.next().await else { break };
                    seen.push(format!("{:?} {:?}", since.elapsed(), difference.changes));
                }
            };
            let troubled = async {
                etcd.away(Duration::from_secs(7)).await;
                registration.ready().await.expect("it stands again");
                link.cut();
                tokio::time::sleep(Duration::from_secs(50)).await;
                link.heal();
                shows(&directory, &["a"]).await;
                etcd.lose_lease(&registration).await.expect("there is one");
                tokio::time::sleep(Duration::from_secs(60)).await;
            };
            tokio::select! {
                biased;
                () = watched => {}
                () = troubled => {}
            }
            seen
        })
    };
    let first = course();
    assert!(first.len() > 3, "{first:#?}");
    for _ in 0..5 {
        assert_eq!(course(), first);
    }
}
