//! Starts private etcd servers for the tests of the portolan service registry.
//!
//! ```no_run
//! use portolan_kit::{Etcd, Release};
//!
//! let mut etcd = Etcd::start(Release::V3_5).expect("etcd starts");
//! etcd.etcdctl(["put", "color", "blue"]).expect("put");
//! etcd.kill().expect("kill"); // as if the machine lost power
//! etcd.restart().expect("the same data on the same port");
//! assert_eq!(etcd.etcdctl(["get", "color", "--print-value-only"]).expect("get"), "blue\n");
//! ```
//!
//! Every server listens on loopback ports of its own and keeps its data in a folder of its own (in
//! memory where the machine has room). Dropping the handle ends the process, by its id, and removes
//! the folder. Should the test process itself be killed, a small guardian process does both.
//!
//! All calls block. They are short, so an async test may make them from its own thread; a test on a
//! current-thread runtime should know that nothing else runs meanwhile.
//!
//! Linux only: port reservations use its abstract socket names, and pausing its job control.

mod builder;
mod cluster;
mod error;
mod etcd;
mod etcdctl;
mod folder;
mod guardian;
mod health;
mod port;
mod process;
mod release;
mod tls;

pub use builder::Builder;
pub use cluster::Cluster;
pub use error::KitError;
pub use etcd::Etcd;
pub use port::Port;
pub use release::{Programs, Release};
pub use tls::{Authority, Certified, ServerTls, replace_file};
