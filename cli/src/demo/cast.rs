//! Who plays in the story, and where.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portolan::{
    Directory, Embedded, Instance, Layout, Registration, Registry, Snapshot, State, Tuning,
};
use tokio::task::JoinSet;

use super::{LIMIT, failed};
use crate::fail::Failure;
use crate::store::Store;

/// The group of the story.
pub const GROUP: &str = "demo";

/// Where the story happens.
pub struct Cast<'a> {
    store: &'a Store,
    embedded: Option<Embedded>,
    /// In a cluster that others use too, below a root of this run's own.
    layout: Layout,
    /// All connections that were made.
    registries: Mutex<Vec<Registry>>,
}

/// A program with one instance.
pub struct Program {
    pub registry: Registry,
    pub registration: Registration,
    instance: Instance,
}

/// etcd's minimum.
const TTL: Duration = Duration::from_secs(2);

/// How long each part of the clearing up may take, whatever became of the store.
const CLEARING: Duration = Duration::from_secs(2);

impl<'a> Cast<'a> {
    pub fn new(store: &'a Store) -> Result<Self, Failure> {
        if matches!(store.layout(), Layout::EtcdNaming(_)) {
            let line =
                "--layout etcd-naming: demo takes native, as it needs states and configuration";
            return Err(Failure::usage(line));
        }
        let registries = Mutex::default();
        if !store.is_given() {
            let (embedded, layout) = (Some(Embedded::new()), store.layout().clone());
            return Ok(Self { store, embedded, layout, registries });
        }
        // The one source of chance in the standard library.
        let chance = RandomState::new().hash_one(0) & 0xffff_ffff;
        let root = format!("{}-demo-{chance:08x}", store.layout().root());
        let layout = Layout::native(&root).map_err(Failure::usage)?;
        Ok(Self { store, embedded: None, layout, registries })
    }

    /// The first line of the story.
    pub fn stage(&self) -> String {
        match self.embedded {
            Some(_) => "on the embedded store, a model of etcd in this process; \
                with --endpoints on a real etcd"
                .to_owned(),
            None => format!("on {}, below {}", self.store, self.layout.root()),
        }
    }

    /// Waits until the store has answered anything at all.
    pub async fn reached(&self, registry: &Registry) -> Result<(), Failure> {
        // The time for a real store says nothing of the embedded one.
        let within = if self.embedded.is_some() { LIMIT } else { self.store.timeout() };
        let answered = registry.ready(within).await;
        answered.map_err(|_| Failure::Failed(self.store.silent(registry)))
    }

    pub fn embedded(&self) -> Option<Embedded> {
        self.embedded.clone()
    }

    /// One more program's connection.
    pub fn registry(&self) -> Result<Registry, Failure> {
        let registry = self.connect()?;
        self.registries().push(registry.clone());
        Ok(registry)
    }

    fn connect(&self) -> Result<Registry, Failure> {
        // The story has a limit of its own, and takes some time where a race is to be seen.
        let builder = self.store.builder().layout(self.layout.clone()).call_within(LIMIT);
        let builder = builder.shutdown_within(CLEARING).tuning(Tuning {
            lease_ttl: TTL,
            // A story has no 8 s to wait until a directory says that it is stale.
            probe_after: Duration::from_millis(400),
            probe_timeout: Duration::from_millis(600),
            backoff_cap: Duration::from_millis(500),
            ..Tuning::default()
        });
        match &self.embedded {
            Some(store) => builder.embedded(store).build(),
            None => builder.build(),
        }
        .map_err(|error| self.store.unbuilt(&error))
    }

    fn registries(&self) -> MutexGuard<'_, Vec<Registry>> {
        self.registries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all programs and takes away what they wrote, however far the story came.
    ///
    /// Returns what is left and does not end with a lease.
    pub async fn clear(&self) -> Option<String> {
        let mut ending = JoinSet::new();
        let registries = std::mem::take(&mut *self.registries());
        // Where nobody ever answered, nothing was written.
        let reached = registries.iter().any(|registry| registry.status().last_answer.is_some());
        for registry in registries {
            ending.spawn(async move { registry.shutdown().await });
        }
        // Those that were killed, or cannot reach the store, leave the rest to their leases.
        ending.join_all().await;
        if self.embedded.is_some() || !reached {
            return None;
        }
        let removed = tokio::time::timeout(CLEARING, self.remove_configuration()).await;
        if removed.is_ok_and(|removed| removed.is_ok()) {
            return None;
        }
        Some(format!("{}/groups/{GROUP}", self.layout.root()))
    }

    async fn remove_configuration(&self) -> Result<(), Failure> {
        let group = self.connect()?.group(GROUP).map_err(failed)?;
        if let Some(found) = group.config().await.map_err(failed)? {
            group.remove_config(found.revision).await.map_err(failed)?;
        }
        Ok(())
    }

    /// A program that has begun to register its instance.
    pub fn program(&self, number: u8) -> Result<Program, Failure> {
        let registry = self.registry()?;
        let group = registry.group(GROUP).map_err(failed)?;
        // Of the block that is set aside for documentation, so that nobody is called.
        let address = format!("192.0.2.{number}:8080");
        let instance = group.instance(&format!("web-{number}")).map_err(failed)?;
        let instance = instance.endpoint("http", address).build().map_err(failed)?;
        let registration = group.register(instance.clone()).map_err(failed)?;
        Ok(Program { registry, registration, instance })
    }
}

impl Program {
    pub fn id(&self) -> &str {
        self.instance.id()
    }

    pub fn address(&self) -> &str {
        self.instance.endpoint("http").unwrap_or_default()
    }

    /// Publishes another state.
    pub fn publish(&mut self, state: State) -> Result<(), Failure> {
        self.registration.update(self.instance.clone().with_state(state)).map_err(failed)
    }

    /// Removes the instance, sees that confirmed, and ends.
    pub async fn leave(self) -> Result<(), Failure> {
        self.registration.deregister().await.map_err(failed)?;
        if !self.registry.shutdown().await {
            return Err(failed("a lease was not revoked"));
        }
        Ok(())
    }
}

/// What a directory says of an instance.
pub fn state(snapshot: &Snapshot, id: &str) -> Option<State> {
    snapshot.instance(id).map(Instance::state)
}

/// Whom callers would call: as many picks as the directory has instances.
pub fn picks(directory: &Directory) -> Vec<String> {
    let picks = (0..directory.snapshot().len()).filter_map(|_| directory.pick());
    picks.filter_map(|record| Some(record.instance()?.id().to_owned())).collect()
}
