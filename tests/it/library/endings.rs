//! How registries end: shut down, dropped, abandoned, or without their runtime.

use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use portolan::{Directory, Embedded, ErrorKind, Gone, Registration, RegistrationState, Registry};
use tokio::time::timeout;

use super::{SOON, group, instance, registry};

#[tokio::test(start_paused = true)]
async fn nothing_is_left_after_shutdown() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let store = Embedded::new();
    let registry = registry(&store);
    let web = group(&registry);
    let registrations: Vec<_> =
        ["a", "b"].map(|id| web.register(instance(&web, id)).expect("it can be")).into();
    let directory = web.directory();
    directory.wait_for(|snapshot| snapshot.len() == 2).await.expect("both are seen");
    assert!(tasks() > before, "the driver is a task");
    assert!(registry.shutdown().await, "every removal is confirmed");
    assert_eq!(tasks(), before);
    for registration in &registrations {
        assert_eq!(registration.state(), RegistrationState::Gone(Gone::Deregistered));
    }
    let kind = web.register(instance(&web, "c")).map(drop).map_err(|error| error.kind());
    assert_eq!(kind, Err(ErrorKind::Closed));
    assert!(timeout(SOON, directory.wait_for(|_| false)).await.expect("it ends").is_err());
    assert!(timeout(SOON, web.directory().wait_for(|_| false)).await.expect("it ends").is_err());
    let error = web.config().await.expect_err("it is closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(registry.shutdown().await, "a second one finds nothing to do");
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_dropped_removes_what_it_registered() {
    let store = Embedded::new();
    let watcher = registry(&store);
    let seen = group(&watcher).directory();
    {
        let registry = registry(&store);
        let web = group(&registry);
        let registration = web.register(instance(&web, "a")).expect("it can be registered");
        registration.ready().await.expect("it stands");
        seen.wait_for(|snapshot| snapshot.len() == 1).await.expect("it is seen");
    }
    let gone = seen.wait_for(|snapshot| snapshot.is_empty());
    timeout(Duration::from_secs(1), gone).await.expect("long before the lease ends").expect("open");
    watcher.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_registry_vanishes_with_its_lease() {
    let store = Embedded::new();
    let (ours, theirs) = (registry(&store), registry(&store));
    let (web, seen) = (group(&ours), group(&theirs).directory());
    let registration = web.register(instance(&web, "a")).expect("it can be registered");
    registration.ready().await.expect("it stands");
    seen.wait_for(|snapshot| snapshot.len() == 1).await.expect("it is seen");
    ours.abandon().await;
    let started = tokio::time::Instant::now();
    seen.wait_for(|snapshot| snapshot.is_empty()).await.expect("it vanishes");
    let after = started.elapsed();
    assert!(after > Duration::from_secs(2) && after < Duration::from_secs(7), "{after:?}");
    assert!(matches!(registration.state(), RegistrationState::Gone(_)));
    theirs.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn changes_end_with_their_registry_and_not_before_all_was_told() {
    let store = Embedded::new();
    for abandoned in [false, true] {
        let (ours, theirs) = (registry(&store), registry(&store));
        let web = group(&theirs);
        let registration = web.register(instance(&web, "a")).expect("it can be registered");
        registration.ready().await.expect("it stands");
        let seen = group(&ours).directory();
        let (mut early, mut stream) = (seen.changes(), seen.changes());
        seen.wait_for(|snapshot| snapshot.len() == 1).await.expect("it is seen");
        if abandoned {
            ours.abandon().await;
        } else {
            assert!(ours.shutdown().await);
        }
        // What was shown before the end is told, also to who begins to read after it.
        let mut late = seen.changes();
        for changes in [&mut early, &mut late] {
            let told = timeout(SOON, changes.next()).await.expect("at once").expect("a difference");
            assert_eq!(told.changes.len(), 1);
            for _ in 0..2 {
                assert_eq!(timeout(SOON, changes.next()).await.expect("it ends"), None);
            }
        }
        let mut next =
            async || std::future::poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await;
        let told = timeout(SOON, next()).await.expect("at once").expect("a difference");
        assert!(told.changes.len() == 1 && !told.snapshot.is_live(), "nobody vouches for it");
        for _ in 0..2 {
            assert_eq!(timeout(SOON, next()).await.expect("it ends"), None);
        }
        registration.deregister().await.expect("it is confirmed");
        theirs.shutdown().await;
    }
}

/// Nothing that a dead driver kept is believed to be kept on.
async fn expect_over(registry: &Registry, registration: Registration, seen: &Directory) {
    assert_eq!(registration.state(), RegistrationState::Gone(Gone::Unconfirmed));
    assert!(registration.ready().await.is_err());
    assert!(!seen.snapshot().is_live() && seen.snapshot().len() == 1);
    assert!(seen.age().is_some_and(|age| age < SOON), "{:?}", seen.age());
    assert!(timeout(SOON, seen.wait_for(|_| false)).await.expect("it ends").is_err());
    let status = registry.status();
    assert!(status.closing && !status.is_well() && status.live == 0, "{status:?}");
    let error = registration.deregister().await.expect_err("nobody confirms it");
    assert_eq!(error.kind(), ErrorKind::Unknown);
    for _ in 0..2 {
        assert!(!timeout(SOON, registry.shutdown()).await.expect("it ends"), "not confirmed");
    }
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_registry_is_believed_in_nothing() {
    let store = Embedded::new();
    let registry = registry(&store);
    let web = group(&registry);
    let registration = web.register(instance(&web, "a")).expect("it can be registered");
    let seen = web.directory();
    seen.wait_for(|snapshot| snapshot.len() == 1).await.expect("it is seen");
    registry.abandon().await;
    expect_over(&registry, registration, &seen).await;
}

#[test]
fn a_registry_whose_runtime_is_gone_is_believed_in_nothing() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
    };
    let first = runtime();
    let (registry, registration, seen) = first.block_on(async {
        let registry = registry(&Embedded::new());
        let web = group(&registry);
        let registration = web.register(instance(&web, "a")).expect("it can be registered");
        let seen = web.directory();
        seen.wait_for(|snapshot| snapshot.len() == 1).await.expect("it is seen");
        (registry, registration, seen)
    });
    drop(first);
    runtime().block_on(expect_over(&registry, registration, &seen));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_everybody_the_same_answer() {
    for stopped in [false, true] {
        let store = Embedded::new();
        let registry = registry(&store);
        let web = group(&registry);
        let registration = web.register(instance(&web, "a")).expect("it can be registered");
        registration.ready().await.expect("it stands");
        if stopped {
            store.stop();
        }
        // Whoever gives up waiting takes nothing from the others.
        assert!(timeout(Duration::ZERO, registry.shutdown()).await.is_err());
        let (first, second) = tokio::join!(registry.shutdown(), registry.shutdown());
        assert_eq!([first, second, registry.shutdown().await], [!stopped; 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_finds_no_store_ends_by_its_limit() {
    let store = Embedded::new();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let limit = Duration::from_secs(3);
    let registry =
        Registry::builder().embedded(&store).shutdown_within(limit).build().expect("it fits");
    let web = group(&registry);
    let registration = web.register(instance(&web, "a")).expect("it can be registered");
    registration.ready().await.expect("it stands");
    store.stop();
    let started = tokio::time::Instant::now();
    assert!(!registry.shutdown().await, "nothing is confirmed");
    assert_eq!(started.elapsed().as_secs(), limit.as_secs());
    assert_eq!(registration.state(), RegistrationState::Gone(Gone::Unconfirmed));
    assert_eq!(tasks(), before);
}
