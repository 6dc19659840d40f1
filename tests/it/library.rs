//! The library over the embedded store, under a paused clock: what users see.

mod endings;
mod picks;

use std::time::Duration;

use portolan::{
    Change, Conflict, Data, Embedded, ErrorKind, Freshness, Gone, Group, Instance,
    RegistrationState, Registry, State, UpdateError,
};
use tokio::time::timeout;

/// Longer than anything here may take; under a paused clock it costs nothing.
const SOON: Duration = Duration::from_secs(60);

fn registry(store: &Embedded) -> Registry {
    Registry::builder()
        .embedded(store)
        .ttl(Duration::from_secs(5))
        .build()
        .expect("the defaults make sense")
}

fn group(registry: &Registry) -> Group {
    registry.group("web").expect("a name")
}

fn instance(group: &Group, id: &str) -> Instance {
    group
        .instance(id)
        .expect("a name")
        .endpoint("http", "10.0.0.7:8080")
        .build()
        .expect("an instance")
}

fn ids(snapshot: &portolan::Snapshot) -> Vec<&str> {
    snapshot.instances().map(Instance::id).collect()
}

#[tokio::test(start_paused = true)]
async fn registers_finds_updates_and_removes() {
    let store = Embedded::new();
    let (ours, theirs) = (registry(&store), registry(&store));
    let (web, seen) = (group(&ours), group(&theirs).directory());
    let mut registration = web.register(instance(&web, "a")).expect("it can be registered");
    let revision = registration.ready().await.expect("it stands");
    let snapshot = seen.wait_for(|s| s.revision() >= revision).await.expect("it is seen");
    assert_eq!(ids(&snapshot), ["a"]);
    assert!(snapshot.is_live());

    let changed = instance(&web, "a").with_state(State::OutOfService);
    registration.update(changed).expect("it can be written");
    let revision = registration.ready().await.expect("it stands");
    let snapshot = seen.wait_for(|s| s.revision() >= revision).await.expect("it is seen");
    assert_eq!(snapshot.instance("a").map(Instance::state), Some(State::OutOfService));

    let mut changes = seen.changes();
    let reading = async {
        let mut states = Vec::new();
        while states.last() != Some(&None) {
            let difference = changes.next().await.expect("open");
            states.extend(difference.changes.iter().map(|change| match change {
                Change::Added { record, .. } | Change::Updated { record, .. } => {
                    record.instance().map(Instance::state)
                }
                Change::Removed { .. } => None,
            }));
        }
        states
    };
    let (states, removed) = tokio::join!(timeout(SOON, reading), registration.deregister());
    removed.expect("it is confirmed");
    let states = states.expect("a reader that keeps up gets every step");
    assert_eq!(
        states,
        [Some(State::OutOfService), Some(State::Draining), None],
        "a wished removal drains first"
    );
    assert!(ours.shutdown().await && theirs.shutdown().await);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_store_loses_nothing() {
    let store = Embedded::new();
    let registry = registry(&store);
    let web = group(&registry);
    let registration = web.register(instance(&web, "a")).expect("it can be registered");
    registration.ready().await.expect("it stands");
    let seen = web.directory();
    seen.wait_for(|snapshot| snapshot.len() == 1).await.expect("it is seen");
    store.stop();
    let stale = seen.wait_for(|snapshot| !snapshot.is_live());
    let stale = timeout(SOON, stale).await.expect("it is noticed").expect("open");
    assert_eq!(ids(&stale), ["a"], "an error changes the freshness, never the content");
    assert!(matches!(stale.freshness(), Freshness::Stale { .. }));
    tokio::time::sleep(Duration::from_secs(30)).await;
    store.start();
    let well = registry.wait_for_status(portolan::Status::is_well);
    timeout(SOON, well).await.expect("it recovers").expect("open");
    let back = seen.wait_for(|snapshot| snapshot.is_live() && snapshot.len() == 1);
    timeout(SOON, back).await.expect("it recovers").expect("open");
    registry.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn two_updates_at_once_both_survive() {
    let store = Embedded::new();
    let registries = [registry(&store), registry(&store)];
    let change = |name: &'static str| {
        move |config: &mut std::collections::BTreeMap<String, u32>| {
            *config.entry(name.to_owned()).or_default() += 1;
        }
    };
    let (first, second) = (group(&registries[0]), group(&registries[1]));
    for _ in 0..20 {
        // The first time both create: one of them finds the other's, and adds to it.
        let (a, b) = tokio::join!(first.update_as(change("a")), second.update_as(change("b")));
        assert!(a.is_ok() && b.is_ok(), "{a:?}, {b:?}");
    }
    let config = first.config().await.expect("it is read").expect("it is there");
    let counts: std::collections::BTreeMap<String, u32> = config.parse().expect("it fits");
    assert_eq!(counts, [("a".to_owned(), 20), ("b".to_owned(), 20)].into());
    let wrong = first.update_as(|_: &mut Vec<u32>| {}).await.expect_err("a map is no list");
    assert_eq!(wrong.kind(), ErrorKind::Invalid);
    let kept = first.update(|_| None).await.expect("nothing is to be done");
    assert!(!kept.written);
    let found = first.config().await.expect("it is read").expect("it is there");
    let before = portolan::Revision(found.revision.0 - 1);
    assert_eq!(second.remove_config(before).await, Ok(false), "it was changed since");
    assert_eq!(second.remove_config(found.revision).await, Ok(true));
    assert_eq!(second.remove_config(found.revision).await, Ok(false));
    assert_eq!(first.config().await, Ok(None));
    for registry in registries {
        registry.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_folded_differences_that_arrive() {
    let store = Embedded::new();
    let registry = registry(&store);
    let web = group(&registry);
    let seen = web.directory();
    let mut changes = seen.changes();
    let mut registration = web.register(instance(&web, "a")).expect("it can be registered");
    for round in 0..10 {
        let state = if round % 2 == 0 { State::Ready } else { State::OutOfService };
        registration.update(instance(&web, "a").with_state(state)).expect("it can be written");
        registration.ready().await.expect("it stands");
    }
    let last = registration.ready().await.expect("it stands");
    seen.wait_for(|snapshot| snapshot.revision() >= last).await.expect("it is seen");
    let mut folded = std::collections::BTreeMap::new();
    let mut steps = 0;
    while changes.seen().revision() < last {
        let difference = changes.next().await.expect("open");
        steps += 1;
        for change in difference.changes {
            match change {
                Change::Added { key, record } => {
                    assert!(folded.insert(key, record).is_none(), "added twice");
                }
                Change::Updated { key, record, before } => {
                    assert_eq!(folded.insert(key, record), Some(before));
                }
                Change::Removed { key, before } => {
                    assert_eq!(folded.remove(&key), Some(before));
                }
            }
        }
    }
    assert!(steps <= 2, "ten revisions came in {steps} steps");
    let now: std::collections::BTreeMap<_, _> = seen
        .snapshot()
        .records()
        .iter()
        .map(|(key, record)| (key.clone(), record.clone()))
        .collect();
    assert_eq!(folded, now);
    registry.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_panics_fails_its_own_update_alone() {
    let store = Embedded::new();
    let registry = registry(&store);
    let web = group(&registry);
    let registration = web.register(instance(&web, "a")).expect("it can be registered");
    let error = web.update(|_| panic!("as a bug does")).await.expect_err("it panics");
    assert_eq!((&error, error.kind()), (&UpdateError::Panicked, ErrorKind::Invalid));
    assert!(web.config().await.expect("it is read").is_none(), "nothing was written");
    web.update(|_| Some(Data::parse("1").expect("a document"))).await.expect("all goes on");
    registration.ready().await.expect("it stands");
    registration.deregister().await.expect("it is confirmed");
    assert!(registry.shutdown().await);
}

#[tokio::test(start_paused = true)]
async fn a_registration_is_updated_as_itself_and_while_it_lasts() {
    let store = Embedded::new();
    let registry = registry(&store);
    let web = group(&registry);
    let mut registration = web.register(instance(&web, "a")).expect("it can be registered");
    let error = registration.update(instance(&web, "b")).expect_err("another one");
    assert_eq!(error.to_string(), "instance \"b\" is not the one registered, \"a\"");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    timeout(SOON, registration.ready()).await.expect("nothing else is waited for").expect("ready");
    let second = web.register(instance(&web, "a")).expect("it can be tried");
    let lost = second.ready().await.expect_err("it is registered already");
    assert!(matches!(lost.gone(), Gone::Refused { .. }), "{lost}");
    assert!(matches!(registration.state(), RegistrationState::Registered { .. }));
    assert!(registry.shutdown().await);
    let error = registration.update(instance(&web, "a")).expect_err("it has ended");
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_status_counts() {
    let store = Embedded::new();
    let (ours, theirs) = (registry(&store), registry(&store));
    let web = group(&ours);
    let registration = web.register(instance(&web, "a")).expect("it can be registered");
    registration.ready().await.expect("it stands");
    let seen = web.directory();
    seen.ready().await.expect("it is listed");
    let well = ours.wait_for_status(portolan::Status::is_well).await.expect("open");
    assert_eq!((well.registrations, well.registered), (1, 1));
    assert_eq!((well.directories, well.live, well.unsynced, well.unreadable), (1, 1, 0, 0));
    assert!(well.last_answer.is_some_and(|at| at <= ours.uptime()) && !well.closing);
    assert_eq!((well.last_failure, seen.age()), (None, Some(Duration::ZERO)));
    store.stop();
    let ill =
        timeout(SOON, ours.wait_for_status(|status| status.live == 0 && status.registered == 0));
    let ill = ill.await.expect("it is noticed").expect("open");
    assert!(ill.last_failure.is_some() && ill.registrations == 1 && !ill.is_well(), "{ill:?}");
    tokio::time::sleep(SOON).await;
    assert!(seen.age().is_some_and(|age| age >= SOON), "{:?}", seen.age());
    theirs.abandon().await;
    ours.abandon().await;
}

#[tokio::test(start_paused = true)]
async fn conflicts_follow_the_policy() {
    let store = Embedded::new();
    let (first, second) = (registry(&store), registry(&store));
    let (ours, theirs) = (group(&first), group(&second));
    let held = ours.register(instance(&ours, "a")).expect("it can be registered");
    held.ready().await.expect("it stands");
    let rejected =
        theirs.register_with(instance(&theirs, "a"), Conflict::Reject).expect("it can be tried");
    let error = rejected.ready().await.expect_err("it is kept out");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let waiting =
        theirs.register_with(instance(&theirs, "a"), Conflict::Wait).expect("it can be tried");
    waiting.wait_for(|state| matches!(state, RegistrationState::Waiting { .. })).await;
    held.deregister().await.expect("it is confirmed");
    timeout(SOON, waiting.ready()).await.expect("its turn comes").expect("it stands");
    let replaced = waiting;
    let winner = ours.register(instance(&ours, "a")).expect("it can be registered");
    winner.ready().await.expect("it stands");
    let gone = replaced.wait_for(|state| matches!(state, RegistrationState::Gone(_)));
    let gone = timeout(SOON, gone).await.expect("it gives way").gone();
    assert!(matches!(gone, Some(Gone::Superseded { .. })), "{gone:?}");
    first.shutdown().await;
    second.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_record_is_listed_and_skipped() {
    let store = Embedded::new();
    let registry = registry(&store);
    let web = group(&registry);
    // A group of another root shares the prefix with nothing here; garbage is written through
    // the configuration of a group whose key lies among the instances of `web`.
    let intruder = Registry::builder()
        .embedded(&store)
        .root("/portolan/instances/web")
        .build()
        .expect("a root");
    let other = intruder.group("x").expect("a name");
    let data = Data::parse("{\"not\":\"an instance\"}").expect("JSON");
    other.update(move |_| Some(data.clone())).await.expect("it is written");
    let held = web.register(instance(&web, "a")).expect("it can be registered");
    held.ready().await.expect("it stands");
    let seen = web.directory();
    let snapshot = seen.wait_for(|s| s.len() == 1).await.expect("it is seen");
    assert_eq!(ids(&snapshot), ["a"]);
    let counted = registry.wait_for_status(|status| status.unreadable == 1);
    timeout(SOON, counted).await.expect("it is counted").expect("open");
    let bad: Vec<_> = snapshot.unreadable().map(|(key, _)| key.to_string()).collect();
    assert_eq!(bad, ["/portolan/instances/web/groups/x"]);
    registry.shutdown().await;
    intruder.shutdown().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_field_value_and_limit() {
    let store = Embedded::new();
    let build = |change: fn(portolan::RegistryBuilder) -> portolan::RegistryBuilder| {
        let builder = change(Registry::builder().embedded(&store));
        builder.build().map(drop).expect_err("it makes no sense").to_string()
    };
    let registry = registry(&store);
    let web = group(&registry);
    let local =
        web.instance("a").map(|builder| builder.endpoint("http", "127.0.0.1:80")).expect("names");
    let local = local.build().expect("an instance");
    let other = registry.group("db").expect("a name");
    let texts = [
        build(|b| b.ttl(Duration::from_millis(500))),
        build(|b| b.ttl(Duration::from_secs(1 << 20))),
        build(|b| b.tuning(portolan::Tuning { page_limit: 0, ..Default::default() })),
        build(|b| b.call_within(Duration::ZERO)),
        build(|b| b.root("portolan")),
        Registry::builder().build().map(drop).expect_err("no store").to_string(),
        registry.group("a/b").map(drop).expect_err("a slash").to_string(),
        web.instance("..").map(drop).expect_err("dots").to_string(),
        web.register(local).map(drop).expect_err("a local address").to_string(),
        other.register(instance(&web, "a")).map(drop).expect_err("not its group").to_string(),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r#"
    lease_ttl is 500ms; allowed is 1 s to 86400 s, in whole seconds
    lease_ttl is 1048576s; allowed is 1 s to 86400 s, in whole seconds
    page_limit is 0; allowed is 1 or more
    call_within is zero; it takes a time above zero
    root is "portolan"; it takes an absolute path of names, like /portolan
    no store is named: give the addresses of etcd's members, or an embedded store
    group name has '/' at byte 1; allowed are letters, digits, '.', '_' and '-'
    instance id is "..", which stands for a folder in paths
    endpoint name "http": endpoint "127.0.0.1:80" would be advertised, but loopback is reached from this machine only; advertise an address that others reach, or allow local ones
    instance "a" belongs to group "web"; it is registered in "db"
    "#);
    registry.shutdown().await;
}
