//! An etcd for the tests of programs that use this crate: within the test's own process, without a
//! socket, and under tokio's paused clock if the test wants that (feature `testing`).
//!
//! It is the model of etcd that this crate's own simulator runs on, behind etcd's own gRPC. What a
//! registry does on it, it does through etcd-client, as on a real one; and other code that uses
//! etcd-client can share it ([`Link::client`]). With a paused clock, and on a runtime with one thread,
//! a test takes no time, and what happens happens at the same moment each time.
//!
//! # An etcd that is away
//!
//! ```
//! use std::time::Duration;
//! use portolan::testing::Etcd;
//!
//! # /*
//! #[tokio::test(start_paused = true)]
//! # */
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let etcd = Etcd::new();
//! let web = etcd.registry().group("web")?;
//! let registration = web.register(web.instance("web-1")?.build()?)?;
//! registration.ready().await?;
//! let directory = web.directory();
//! directory.wait_for(|snapshot| snapshot.len() == 1).await?;
//!
//! etcd.away(Duration::from_secs(40)).await;
//!
//! assert!(!directory.snapshot().is_live(), "it says how old it is");
//! assert_eq!(directory.snapshot().len(), 1, "and keeps what it knows");
//! directory.wait_for(|snapshot| snapshot.is_live() && snapshot.len() == 1).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # A client that is cut off while history is compacted
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use portolan::testing::Etcd;
//! let etcd = Etcd::new();
//! let link = etcd.link();
//! let directory = link.registry().group("web")?.directory();
//! directory.ready().await?;
//!
//! link.cut();
//! let web = etcd.registry().group("web")?;
//! let registration = web.register(web.instance("web-1")?.build()?)?;
//! registration.ready().await?;
//! etcd.compact().await?;
//! link.heal();
//!
//! directory.wait_for(|snapshot| snapshot.instance("web-1").is_some()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # A small service, and its test
//!
//! The service takes jobs only while it is found; its test takes its lease away.
//!
//! ```
//! use portolan::{Group, Registration, RegistrationState, Registry};
//! use portolan::testing::Etcd;
//!
//! struct Worker { registration: Registration }
//!
//! impl Worker {
//!     async fn start(registry: &Registry) -> Result<Self, Box<dyn std::error::Error>> {
//!         let group: Group = registry.group("workers")?;
//!         let instance = group.instance("worker-1")?.endpoint("http", "10.0.0.7:8080").build()?;
//!         let registration = group.register(instance)?;
//!         registration.ready().await?;
//!         Ok(Self { registration })
//!     }
//!
//!     fn takes_jobs(&self) -> bool {
//!         matches!(self.registration.state(), RegistrationState::Registered { .. })
//!     }
//! }
//!
//! # /*
//! #[tokio::test(start_paused = true)]
//! # */
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn a_worker_without_a_lease_takes_no_jobs() -> Result<(), Box<dyn std::error::Error>> {
//!     let etcd = Etcd::new();
//!     let worker = Worker::start(&etcd.registry()).await?;
//!     assert!(worker.takes_jobs());
//!
//!     etcd.lose_lease(&worker.registration).await?;
//!     worker.registration.wait_for(|state| matches!(state, RegistrationState::Lost { .. })).await;
//!     assert!(!worker.takes_jobs());
//!
//!     worker.registration.ready().await?;
//!     assert!(worker.takes_jobs(), "it is found again");
//!     Ok(())
//! }
//! # a_worker_without_a_lease_takes_no_jobs().unwrap();
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use portolan_core::waist::{Compact, LeaseId, Reply, Request, Revision, Revoke, StoreError};

pub use portolan_wire::{Config, Fault};

use crate::{Registration, RegistrationState, Registry, RegistryBuilder};

/// An etcd with one member, within this process, empty at first. Cheap to clone: all clones are one
/// etcd, whose data live as long as one of them, or a connection to it, does.
#[derive(Clone)]
pub struct Etcd {
    etcd: portolan_wire::Etcd,
    /// What its registries draw from, one each.
    seeds: Arc<AtomicU64>,
}

impl Etcd {
    /// One that behaves as the newest release that is known.
    ///
    /// # Panics
    /// Outside a tokio runtime, whose clock it uses.
    #[expect(clippy::new_without_default, reason = "it has to be within a runtime")]
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    /// One that is set up otherwise; [`Config::of_version`] for that of another release.
    ///
    /// # Panics
    /// Outside a tokio runtime, whose clock it uses.
    pub fn with(config: Config) -> Self {
        Self { etcd: portolan_wire::Etcd::new(config), seeds: Arc::default() }
    }

    /// A registry on it, as the default one is on a real etcd, over a link of its own. What it draws
    /// comes from a seed of its own, the same each time.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn registry(&self) -> Registry {
        self.link().registry()
    }

    /// A way to it, which can be cut.
    pub fn link(&self) -> Link {
        Link { etcd: self.clone(), link: self.etcd.link() }
    }

    /// Its process ends: connections break, and whoever connects is refused.
    pub fn stop(&self) {
        self.etcd.fault(Fault::Stop);
    }

    /// It starts again with its data, and every lease counts from the start.
    pub fn start(&self) {
        self.etcd.fault(Fault::Start);
    }

    /// [Stops](Self::stop) it, and [starts](Self::start) it again after `time`. Whoever drops this
    /// meanwhile leaves it stopped.
    pub async fn away(&self, time: Duration) {
        self.stop();
        tokio::time::sleep(time).await;
        self.start();
    }

    /// Whatever else may happen to a store.
    pub fn fault(&self, fault: Fault) {
        self.etcd.fault(fault);
    }

    /// A lease is revoked, and its keys are deleted, as if it had run out.
    ///
    /// # Errors
    /// As etcd: there is no such lease, or the store is stopped.
    pub async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.etcd.ask(Request::Revoke(Revoke { lease })).await.map(drop)
    }

    /// Revokes the lease on which a registration stands.
    ///
    /// # Errors
    /// As [`revoke`](Self::revoke); a registration that does not stand has no lease.
    pub async fn lose_lease(&self, registration: &Registration) -> Result<(), StoreError> {
        let RegistrationState::Registered { lease, .. } = registration.state() else {
            return Err(StoreError::LeaseNotFound);
        };
        self.revoke(lease).await
    }

    /// Revokes all leases, one after the other and at the same moment; how many there were.
    ///
    /// # Errors
    /// As [`revoke`](Self::revoke); those before it are revoked then.
    pub async fn expire_all(&self) -> Result<usize, StoreError> {
        let Reply::Leases(all) = self.etcd.ask(Request::Leases).await? else { return Ok(0) };
        for lease in &all.leases {
            self.revoke(*lease).await?;
        }
        Ok(all.leases.len())
    }

    /// Compacts history up to now; which revision that is.
    ///
    /// # Errors
    /// As etcd: that revision is compacted already, or the store is stopped.
    pub async fn compact(&self) -> Result<Revision, StoreError> {
        let revision = self.etcd.look(portolan_memory::Model::revision);
        self.etcd.ask(Request::Compact(Compact { revision, physical: false })).await?;
        Ok(revision)
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Etcd")
    }
}

/// A way to an [`Etcd`]. Cheap to clone: all clones are one link.
#[derive(Clone, Debug)]
pub struct Link {
    etcd: Etcd,
    link: portolan_wire::Link,
}

impl Link {
    /// A registry over this link, as the default one is on a real etcd. What it draws comes from a
    /// seed of its own, the same each time.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn registry(&self) -> Registry {
        self.builder().build().expect("a registry with all defaults, within a runtime")
    }

    /// A registry over this link, to be set up further.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn builder(&self) -> RegistryBuilder {
        let seed = self.etcd.seeds.fetch_add(1, Relaxed);
        Registry::builder().channels("within", self.link.raw(), self.link.raw()).seed(seed)
    }

    /// A client of etcd-client over this link, for what else a program keeps in etcd.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Errors
    /// None that is known: nothing is connected before the first call.
    pub async fn client(&self) -> Result<etcd_client::Client, etcd_client::Error> {
        etcd_client::Client::from_channel(self.link.channel(), None).await
    }

    /// Nothing comes through any more, in either direction, and nobody is told: connections stand
    /// still, and new ones wait.
    pub fn cut(&self) {
        self.link.cut();
    }

    /// All comes through again, what was sent meanwhile too.
    pub fn heal(&self) {
        self.link.heal();
    }
}
