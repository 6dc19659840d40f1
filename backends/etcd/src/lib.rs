//! Carries the portolan service registry's requests to a real etcd cluster.
//!
//! [`EtcdBackend`] implements [`Backend`](portolan_core::waist::Backend): it carries and reports,
//! and decides nothing. Which member is asked, how long an answer is waited for, what is tried
//! again: the engine above says so.
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), portolan_etcd::BuildError> {
//! use portolan_core::waist::{AttemptId, Backend, KeyRange, MemberId, Range, Request};
//!
//! let mut etcd = portolan_etcd::EtcdBackend::builder().address("127.0.0.1:2379").build()?;
//! let range = Range::of(KeyRange::prefix("/portolan/"));
//! etcd.submit(AttemptId(1), MemberId(0), Request::Range(range));
//! let (attempt, reply) = std::future::poll_fn(|cx| etcd.poll_reply(cx)).await;
//! # let _ = (attempt, reply);
//! # Ok(())
//! # }
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `builder` | what can be said of a cluster: members, credentials, TLS, time limits |
//! | `address` | where a member is |
//! | `wires` | how new channels to a member are made |
//! | `dial` | how a connection is made: names, addresses in turn, TCP |
//! | `tls` | certificates, read again when they change; handshakes, and what goes wrong in them |
//! | `files` | looks whether files changed |
//! | `backend` | the trait: which request goes which way, what may still be answered |
//! | `member` | the clients of one member, and its calls |
//! | `keepalive` | the one stream that renews all leases at a member |
//! | `watch` | one stream for each watch attempt |
//! | `auth` | the credentials, the token, and the channel that adds it to every call |
//! | `convert` | our words into etcd's, and back |
//! | `error` | what went wrong, as a [`StoreError`](portolan_core::waist::StoreError) |
//! | `inbox` | the two queues of answers |
//! | `tasks` | all that runs, so that all of it can be ended |
//!
//! The runtime is tokio under that very name: a build with `cfg(madsim)` puts another crate there.

mod address;
mod auth;
mod backend;
mod builder;
mod convert;
mod dial;
mod error;
mod files;
mod inbox;
mod keepalive;
mod member;
mod tasks;
mod tls;
mod watch;
mod wires;

pub use backend::EtcdBackend;
pub use builder::{BuildError, Builder, RawChannel, Transport};
pub use tls::{Tls, TlsError, TlsPart};
