//! A service registry over etcd.
//!
//! A program **registers** its instances under leases, **finds** others through a live directory
//! that a watch keeps, and **shares** a group's configuration by compare-and-swap; and it goes on
//! doing so while etcd restarts, partitions, compacts, or forgets.
//!
//! ```
//! # #[cfg(feature = "memory")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use portolan::Registry;
//!
//! // `Registry::builder().endpoints(["127.0.0.1:2379"]).build()?` for a real etcd.
//! let registry = Registry::embedded()?;
//! let web = registry.group("web")?;
//!
//! let instance = web.instance("web-1")?.endpoint("http", "10.0.0.7:8080").build()?;
//! let registration = web.register(instance)?;
//! registration.ready().await?;
//!
//! let directory = web.directory();
//! let snapshot = directory.wait_for(|snapshot| snapshot.len() == 1).await?;
//! assert_eq!(snapshot.instances().next().and_then(|i| i.endpoint("http")), Some("10.0.0.7:8080"));
//!
//! registration.deregister().await?;
//! registry.shutdown().await;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "memory"))]
//! # fn main() {}
//! ```
//!
//! | part | what it is |
//! |---|---|
//! | [`Registry`] | the connection to a store; cheap to clone |
//! | [`Group`] | a service's name: its instances and their shared configuration |
//! | [`Registration`] | the promise to keep an instance in the store |
//! | [`Directory`], [`Snapshot`] | a live copy of a group, and the whole of it at one revision |
//! | [`Selector`], [`Selection`] | a condition on labels, state and version, and what of a directory fits it |
//! | [`Follower`] | every change of keys, once, in order |
//! | [`Embedded`] | a store within this process, for tests and trials (feature `memory`) |
//! | `testing` | an etcd within the process, to be stopped, cut off and robbed of leases (feature `testing`) |
//!
//! Nothing here waits for the store unless it says so: building, registering and opening a
//! directory return at once, and everything is retried for as long as it is wanted.

// Without a store there is nothing to drive; it compiles all the same, since features add up.
#![cfg_attr(not(any(feature = "etcd", feature = "memory")), allow(dead_code, unused_variables))]

mod build;
mod clock;
mod directory;
mod driver;
mod error;
mod evict;
mod follow;
mod group;
mod handles;
#[cfg(feature = "memory")]
mod memory;
mod registration;
mod registry;
mod selection;
mod status;
mod task;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

pub use build::{BuildError, RegistryBuilder};
pub use directory::{Changes, Difference, Directory, Snapshot};
pub use error::{
    CallError, DeregisterError, ErrorKind, EvictError, GroupError, RegisterError, RegistrationLost,
    Unavailable, UpdateError,
};
pub use evict::Eviction;
pub use follow::Follower;
pub use group::{Configuration, Group, Updated};
#[cfg(feature = "memory")]
pub use memory::Embedded;
pub use registration::{Registration, RegistrationState};
pub use registry::Registry;
pub use selection::Selection;
pub use status::{Status, StatusChanges};

pub use portolan_core::engine::{
    Change, Conflict, Content, Followed, Freshness, Gap, Gone, Login, LossReason, Record, Suspect,
};
pub use portolan_core::instance::{
    Builder as InstanceBuilder, Data, DataError, Endpoint, EndpointError, GroupConfig, Instance,
    InstanceError, LabelError, Stamp, State,
};
pub use portolan_core::layout::{
    BadRecord, EncodeError, EvictError as MarkError, Layout, RootError, Scope,
};
pub use portolan_core::map::Map;
pub use portolan_core::name::{EndpointName, GroupName, InstanceId, LabelKey, NameError};
pub use portolan_core::selector::{Selector, SelectorError};
pub use portolan_core::time::Time;
pub use portolan_core::tuning::{Guard, Tuning, TuningError};
pub use portolan_core::waist::{EventKind, Key, KeyEvent, KeyValue, LeaseId, Revision, Value};
#[cfg(feature = "etcd")]
pub use portolan_etcd::{BuildError as EtcdError, RawChannel, Tls, TlsError, TlsPart};
#[cfg(feature = "etcd")]
pub use secrecy::SecretString;
pub use semver::{Version, VersionReq};

#[cfg(all(doctest, feature = "etcd"))]
#[doc = include_str!("../README.md")]
struct Readme;
