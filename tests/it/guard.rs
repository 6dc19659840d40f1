//! What an outage leaves of a directory, over the embedded store, under a paused clock.

use std::collections::BTreeSet;
use std::time::Duration;

use portolan::{Directory, Embedded, Group, Guard, Instance, Layout, Registration, Registry};
use tokio::time::{Instant, sleep, timeout};

const SOON: Duration = Duration::from_secs(60);

/// A group's instances, each in a process of its own, and somebody who looks at them.
struct Fleet {
    store: Embedded,
    processes: Vec<(Registry, Registration)>,
    registry: Registry,
    seen: Directory,
}

fn registry(store: &Embedded, guard: Guard, layout: &Layout) -> Registry {
    let builder = Registry::builder().embedded(store).layout(layout.clone());
    builder.ttl(Duration::from_secs(5)).guard(guard).build().expect("it makes sense")
}

fn group(registry: &Registry) -> Group {
    registry.group("web").expect("a name")
}

async fn process(store: &Embedded, layout: &Layout, id: &str) -> (Registry, Registration) {
    let registry = registry(store, Guard::Off, layout);
    let web = group(&registry);
    let instance = web.instance(id).expect("a name").endpoint("grpc", "10.0.0.7:8080").build();
    let registration = web.register(instance.expect("an instance")).expect("it can be");
    registration.ready().await.expect("it stands");
    (registry, registration)
}

impl Fleet {
    async fn new(guard: Guard, layout: &Layout) -> Self {
        let store = Embedded::new();
        let mut processes = Vec::new();
        for id in ["a", "b", "c", "d"] {
            processes.push(process(&store, layout, id).await);
        }
        let registry = registry(&store, guard, layout);
        let seen = group(&registry).directory();
        seen.wait_for(|snapshot| snapshot.len() == 4).await.expect("all are seen");
        Self { store, processes, registry, seen }
    }

    /// All processes are cut off at once; their leases end.
    async fn outage(&mut self) {
        for (registry, _) in std::mem::take(&mut self.processes) {
            registry.abandon().await;
        }
        let empty = self.seen.wait_for(|snapshot| snapshot.is_empty());
        timeout(SOON, empty).await.expect("their leases end").expect("open");
    }

    /// Who is picked in some rounds.
    fn picked(&self) -> BTreeSet<String> {
        let picks = (0..20).filter_map(|_| self.seen.pick());
        picks.filter_map(|record| Some(record.instance()?.id().to_owned())).collect()
    }
}

fn names<const N: usize>(ids: [&str; N]) -> BTreeSet<String> {
    ids.map(str::to_owned).into()
}

#[tokio::test(start_paused = true)]
async fn an_outage_does_not_empty_a_directory() {
    let layout = Layout::default();
    let mut fleet = Fleet::new(Guard::ByLayout, &layout).await;
    fleet.outage().await;
    let guarded = fleet.seen.wait_for(portolan::Snapshot::is_guarded);
    let guarded = timeout(SOON, guarded).await.expect("it trips").expect("open");
    assert_eq!(guarded.suspects().len(), 4);
    assert!(guarded.is_empty() && guarded.is_live(), "the store has none of them, and says so");
    assert_eq!(fleet.picked(), names(["a", "b", "c", "d"]));
    assert_eq!(fleet.registry.status().suspects, 4);

    // A user finds one gone, and another comes back by itself.
    let suspects = guarded.suspects().values();
    let gone: Vec<&Instance> = suspects.filter_map(|suspect| suspect.record.instance()).collect();
    fleet.seen.refused(gone[0]);
    let (_process, _back) = process(&fleet.store, &layout, "b").await;
    let less = fleet.seen.wait_for(|snapshot| snapshot.suspects().len() == 2);
    let less = timeout(SOON, less).await.expect("it is told").expect("open");
    assert_eq!((less.len(), less.is_guarded()), (1, true));
    assert_eq!(fleet.picked(), names(["b", "c", "d"]));

    let (mut changes, since) = (fleet.seen.changes(), Instant::now());
    let over = fleet.seen.wait_for(|snapshot| snapshot.suspects().is_empty());
    let over = timeout(Duration::from_secs(301), over).await.expect("not for ever").expect("open");
    assert!(since.elapsed() > Duration::from_secs(290), "{:?}", since.elapsed());
    assert!(!over.is_guarded() && over.len() == 1);
    assert_eq!(fleet.picked(), names(["b"]));
    let last = changes.next().await.expect("open");
    assert!(last.snapshot.suspects().is_empty(), "told to those who read changes");
    fleet.registry.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn one_line_turns_it_off_and_layouts_without_draining_need_one_to_turn_it_on() {
    let naming = Layout::etcd_naming("shop").expect("a root");
    let cases = [
        (Guard::Off, Layout::default(), false),
        (Guard::ByLayout, naming.clone(), false),
        (Guard::On, naming, true),
    ];
    for (guard, layout, kept) in cases {
        let mut fleet = Fleet::new(guard, &layout).await;
        fleet.outage().await;
        sleep(Duration::from_secs(1)).await;
        let snapshot = fleet.seen.snapshot();
        assert_eq!(snapshot.is_guarded(), kept, "{guard:?}, {}", layout.name());
        assert_eq!(snapshot.suspects().len(), if kept { 4 } else { 0 });
        assert_eq!(fleet.seen.pick().is_some(), kept);
        fleet.registry.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_as_wished_is_gone_at_once() {
    for layout in [Layout::default(), Layout::etcd_naming("shop").expect("a root")] {
        let mut fleet = Fleet::new(Guard::ByLayout, &layout).await;
        for (registry, _) in std::mem::take(&mut fleet.processes) {
            assert!(registry.shutdown().await, "every removal is confirmed");
        }
        let gone = fleet.seen.wait_for(|snapshot| snapshot.is_empty());
        let gone = timeout(SOON, gone).await.expect("it is seen").expect("open");
        assert!(gone.suspects().is_empty() && !gone.is_guarded());
        assert_eq!(fleet.seen.pick(), None);
        sleep(SOON).await;
        assert!(fleet.seen.snapshot().suspects().is_empty());
        fleet.registry.shutdown().await;
    }
}
