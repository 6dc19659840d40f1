//! All leases of a group end together, and etcd is well: their owner is cut off, or leaves.

use portolan::{Changes, Guard, Tuning};
use tracing::subscriber::DefaultGuard;

use super::*;
use crate::observing::Lines;

const INSTANCES: usize = 30;

/// On five leases: the guard counts leases.
const EACH: u32 = 6;

/// One process with all the instances, and another that looks at them.
struct Fleet {
    etcd: Etcd,
    way: Proxy,
    owner: Registry,
    registrations: Vec<Registration>,
    watcher: Registry,
    directory: Directory,
    lines: Lines,
    _lines: DefaultGuard,
}

impl Fleet {
    async fn new(guard: Guard) -> Self {
        let etcd = etcd();
        let way = Proxy::start(etcd.client_port()).await;
        let tuning = Tuning {
            lease_ttl: Duration::from_secs(3),
            max_keys_per_lease: EACH,
            backoff_cap: Duration::from_secs(1),
            ..Tuning::default()
        };
        let owner = Registry::builder().endpoints([way.url()]).tuning(tuning).build();
        let owner = owner.expect("an address");
        let watcher = Registry::builder().endpoints([etcd.client_url()]).guard(guard);
        let watcher = watcher.ttl(Duration::from_secs(3)).build().expect("an address");
        let lines = Lines::default();
        let _lines = tracing::subscriber::set_default(lines.clone());
        let web = owner.group("web").expect("a name");
        let registrations: Vec<_> =
            (0..INSTANCES).map(|number| register(&web, &format!("i{number}"))).collect();
        let directory = watcher.group("web").expect("a name").directory();
        let fleet = Self { etcd, way, owner, registrations, watcher, directory, lines, _lines };
        fleet.stands().await;
        let leases: BTreeSet<_> =
            fleet.directory.snapshot().records().values().map(|record| record.lease).collect();
        assert_eq!(leases.len(), INSTANCES / EACH as usize);
        fleet
    }

    /// Waits until all of them stand, and are seen.
    async fn stands(&self) {
        for registration in &self.registrations {
            soon("registered", registration.ready()).await.expect("it stands");
        }
        settles(&self.etcd, &self.directory, "/portolan/instances/").await;
        assert_eq!(self.directory.snapshot().len(), INSTANCES);
    }

    /// Waits until etcd has none of them, and this is known.
    async fn ends(&self) -> Snapshot {
        let ended = seen("ended", &self.directory, Snapshot::is_empty).await;
        assert!(ended.is_live(), "it is not the store that is away");
        assert_eq!(content(&self.etcd, ""), BTreeMap::new());
        ended
    }

    /// How many of them are picked in turn.
    fn picked(&self) -> usize {
        let picks = (0..2 * INSTANCES).filter_map(|_| self.directory.pick());
        picks.filter_map(|it| Some(it.instance()?.id().to_owned())).collect::<BTreeSet<_>>().len()
    }

    /// What the guard has told since this was last asked.
    fn told(&self) -> Vec<String> {
        self.lines.take().into_iter().filter(|line| line.contains("guard")).collect()
    }

    async fn close(self) {
        assert!(soon("closed", self.owner.shutdown()).await);
        assert!(soon("closed", self.watcher.shutdown()).await);
    }
}

/// Reads what a directory tells until nothing is left; nothing may be kept apart meanwhile.
async fn vanish(mut changes: Changes) {
    loop {
        let step = changes.next().await.expect("the registry is open").snapshot;
        assert_eq!((step.suspects().len(), step.is_guarded()), (0, false));
        if step.is_empty() {
            return;
        }
    }
}

#[tokio::test]
async fn a_fleet_that_is_cut_off_is_kept_and_comes_back() {
    let fleet = Fleet::new(Guard::ByLayout).await;
    fleet.way.cut();
    fleet.ends().await;
    let all = |snapshot: &Snapshot| snapshot.is_guarded() && snapshot.suspects().len() == INSTANCES;
    let kept = seen("kept", &fleet.directory, all).await;
    assert!(kept.is_empty() && kept.is_live());
    assert_eq!((fleet.picked(), fleet.watcher.status().suspects), (INSTANCES, INSTANCES));
    let told = fleet.told();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("the guard holds: more than half"), "{told:?}");
    assert!(told[0].ends_with("group leases_gone of within_secs"), "{told:?}");

    let mut changes = fleet.directory.changes();
    fleet.way.heal();
    soon("back", async {
        while changes.seen().len() < INSTANCES {
            let step = changes.next().await.expect("the registry is open").snapshot;
            assert_eq!(step.len() + step.suspects().len(), INSTANCES, "each is one or the other");
        }
    })
    .await;
    assert!(!changes.seen().is_guarded());
    fleet.stands().await;
    let told = fleet.told();
    assert!(matches!(told.as_slice(), [done] if done.contains("the guard is done")), "{told:#?}");
    fleet.close().await;
}

#[tokio::test]
async fn without_the_guard_a_fleet_that_is_cut_off_is_gone() {
    let fleet = Fleet::new(Guard::Off).await;
    let watching = tokio::spawn(vanish(fleet.directory.changes()));
    fleet.way.cut();
    soon("gone", watching).await.expect("nothing was amiss");
    assert_eq!(fleet.picked(), 0);
    fleet.ends().await;
    fleet.way.heal();
    fleet.stands().await;
    assert_eq!(fleet.told(), Vec::<String>::new());
    fleet.close().await;
}

#[tokio::test]
async fn a_fleet_that_leaves_is_gone_at_once() {
    let fleet = Fleet::new(Guard::ByLayout).await;
    let watching = tokio::spawn(vanish(fleet.directory.changes()));
    assert!(soon("closed", fleet.owner.shutdown()).await, "every removal is confirmed");
    soon("gone", watching).await.expect("nothing was amiss");
    assert_eq!(fleet.picked(), 0);
    let ended = fleet.ends().await;
    // All leases are revoked by now, and more than half of a time to live is over.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(fleet.directory.snapshot(), ended);
    assert_eq!(fleet.told(), Vec::<String>::new());
    assert!(soon("closed", fleet.watcher.shutdown()).await);
}
