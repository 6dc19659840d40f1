//! Who plays in the story, and where.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use portolan::{
    Directory, Embedded, Group, Instance, Key, Layout, Registration, Registry, Snapshot, State,
    Tuning,
};

use super::failed;
use crate::fail::Failure;
use crate::store::Store;

/// The group of the story.
pub const GROUP: &str = "demo";

/// Where the story happens.
pub struct Cast<'a> {
    store: &'a Store,
    embedded: Option<Embedded>,
    /// Sets the names of this run apart in a cluster that others use too.
    tag: String,
}

/// A program with one instance.
pub struct Program {
    pub registry: Registry,
    pub registration: Registration,
    instance: Instance,
}

/// etcd's minimum.
const TTL: Duration = Duration::from_secs(2);

impl<'a> Cast<'a> {
    pub fn new(store: &'a Store) -> Result<Self, Failure> {
        if matches!(store.layout(), Layout::EtcdNaming(_)) {
            let line =
                "--layout etcd-naming: demo takes native, as it needs states and configuration";
            return Err(Failure::usage(line));
        }
        if !store.is_given() {
            return Ok(Self { store, embedded: Some(Embedded::new()), tag: String::new() });
        }
        // The one source of chance in the standard library.
        let chance = RandomState::new().hash_one(0) & 0xffff;
        Ok(Self { store, embedded: None, tag: format!("-{chance:04x}") })
    }

    /// The first line of the story.
    pub fn stage(&self) -> String {
        match self.embedded {
            Some(_) => "on the embedded store, a model of etcd in this process; \
                with --endpoints on a real etcd"
                .to_owned(),
            None => format!("on {}, in group {GROUP}", self.store),
        }
    }

    /// Waits until the store has answered anything at all.
    pub async fn reached(&self, registry: &Registry) -> Result<(), Failure> {
        let answered = registry.ready(self.store.timeout()).await;
        answered.map_err(|_| Failure::Failed(self.store.silent(registry)))
    }

    pub fn embedded(&self) -> Option<Embedded> {
        self.embedded.clone()
    }

    /// One more program's connection.
    pub fn registry(&self) -> Result<Registry, Failure> {
        let builder = self.store.builder().tuning(Tuning {
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
        .map_err(Failure::usage)
    }

    /// A program that has begun to register its instance.
    pub fn program(&self, number: u8) -> Result<Program, Failure> {
        let registry = self.registry()?;
        let group = registry.group(GROUP).map_err(failed)?;
        // Of the block that is set aside for documentation, so that nobody is called.
        let address = format!("192.0.2.{number}:8080");
        let instance = group.instance(&self.own(&format!("web-{number}"))).map_err(failed)?;
        let instance = instance.endpoint("http", address).build().map_err(failed)?;
        let registration = group.register(instance.clone()).map_err(failed)?;
        Ok(Program { registry, registration, instance })
    }

    /// A name that is this run's alone.
    pub fn own(&self, name: &str) -> String {
        format!("{name}{}", self.tag)
    }

    /// Whether any instance of this run is there.
    pub fn any(&self, snapshot: &Snapshot) -> bool {
        snapshot.instances().any(|instance| instance.id().ends_with(&self.tag))
    }

    /// The key of what cannot be taken away again, in a cluster that goes on.
    pub fn leftover(&self, group: &Group) -> Option<Key> {
        let key = self.store.layout().config_key(group.name());
        key.filter(|_| self.embedded.is_none())
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
