//! Followers over the embedded store, under a paused clock: what their readers are told.

use std::time::Duration;

use portolan::{
    Embedded, EventKind, Followed, Follower, Registration, Registry, RegistryBuilder, Tuning,
};
use tokio::time::timeout;

/// Longer than anything here may take; under a paused clock it costs nothing.
const SOON: Duration = Duration::from_secs(60);

fn builder(store: &Embedded) -> RegistryBuilder {
    Registry::builder().embedded(store).ttl(Duration::from_secs(5))
}

async fn next(follower: &mut Follower) -> Followed {
    timeout(SOON, follower.next()).await.expect("soon").expect("the registry is open")
}

async fn register(registry: &Registry, id: &str) -> Registration {
    let group = registry.group("web").expect("a name");
    let instance = group.instance(id).expect("a name").endpoint("http", "10.0.0.7:8080");
    let instance = instance.build().expect("an instance");
    let registration = group.register(instance).expect("it can be registered");
    registration.ready().await.expect("it stands");
    registration
}

/// Each change below `/portolan/instances/`: put or delete, whether it was there, and its key's end.
fn changes(told: &Followed) -> Vec<(EventKind, bool, String)> {
    let Followed::Changes { events } = told else { return Vec::new() };
    let id = |key: &[u8]| String::from_utf8_lossy(key).rsplit('/').next().map(str::to_owned);
    let change = |event: &portolan::KeyEvent| {
        (event.kind, event.prev.is_some(), id(&event.kv.key).unwrap_or_default())
    };
    events.iter().map(change).collect()
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_keeps_up_sees_each_change_with_what_was_before() {
    let store = Embedded::new();
    let registry = builder(&store).build().expect("the defaults make sense");
    let mut follower = registry.follow("/portolan/instances/");
    assert!(matches!(next(&mut follower).await, Followed::Begun { .. }));
    let registration = register(&registry, "a").await;
    registration.deregister().await.expect("it is confirmed");
    let mut seen = Vec::new();
    while seen.last().is_none_or(|(kind, _, _)| *kind == EventKind::Put) {
        seen.extend(changes(&next(&mut follower).await));
    }
    let a = || "a".to_owned();
    assert_eq!(
        seen,
        [(EventKind::Put, false, a()), (EventKind::Put, true, a()), (EventKind::Delete, true, a())],
        "put, put as draining, deleted"
    );
    assert!(registry.shutdown().await);
    assert_eq!(follower.next().await, None, "it ends with the registry");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_told_that_it_lagged_and_what_there_is() {
    let store = Embedded::new();
    let tuning = Tuning { follow_events: 2, ..Tuning::default() };
    let registry = builder(&store).tuning(tuning).build().expect("the defaults make sense");
    let mut follower = registry.follow("/portolan/instances/");
    assert!(matches!(next(&mut follower).await, Followed::Begun { .. }));
    let mut registrations = Vec::new();
    for id in ["a", "b", "c", "d"] {
        registrations.push(register(&registry, id).await);
    }
    let (mut told, mut listed) = (Vec::new(), Vec::new());
    loop {
        match next(&mut follower).await {
            changed @ Followed::Changes { .. } => told.extend(changes(&changed)),
            Followed::Lagged { .. } => break,
            other @ (Followed::Begun { .. } | Followed::Gap { .. } | Followed::Listed { .. }) => {
                panic!("{other:?}")
            }
        }
    }
    assert_eq!(told.len(), 2, "what there was room for");
    loop {
        let Followed::Listed { complete, records, .. } = next(&mut follower).await else {
            panic!("a list comes next");
        };
        assert!(records.len() <= 2, "a list has no more room than changes");
        listed.extend(records);
        if complete {
            break;
        }
    }
    assert_eq!(listed.len(), 4, "all that there is");
    registrations.push(register(&registry, "e").await);
    let told = changes(&next(&mut follower).await);
    assert_eq!(told, [(EventKind::Put, false, "e".to_owned())], "and on from there");
    assert!(registry.shutdown().await);
}
