//! A deterministic in-memory model of etcd for the portolan service registry.
//!
//! [`Model`] is an etcd cluster of one to five members as its clients see it: a plain machine that is handed every request
//! together with the time, and never looks at a clock, a socket or chance of its own. It stands in
//! for etcd in tests, in the simulator and in a browser, so it has to be an honest double: what it
//! answers, `docs/etcd.md` writes down row by row, and one conformance suite holds both the model and
//! real etcd to it. Where the two differ, the model is wrong.
//!
//! ```
//! use portolan_core::Time;
//! use portolan_core::waist::{AttemptId, MemberId, Put, Reply, Request};
//! use portolan_memory::{ClientId, Config, Input, Model, Pass};
//!
//! let mut model = Model::new(Config::default());
//! let put = Put { key: "k".into(), value: "v".into(), ..Put::default() };
//! model.handle(
//!     Time::ZERO,
//!     Input::Request {
//!         from: ClientId(1),
//!         attempt: AttemptId(1),
//!         member: MemberId(0),
//!         request: Request::Put(put),
//!         pass: Pass::Nobody,
//!     },
//! );
//! let output = model.poll_output().expect("every request is answered");
//! assert!(matches!(output.reply, Reply::Put(reply) if reply.header.revision.0 == 2));
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`Model`] | the three doors, routing, faults |
//! | `store` | revisions, keys and their history, compaction |
//! | `txn`, `check` | what a transaction does; what is refused before anything runs |
//! | `state` | what the members agree on: the store and the leases, changed by `apply` alone |
//! | `lessor` | the leader's countdowns |
//! | `auth` | users, roles, and who may do what |
//! | [`Operation`], [`Operated`] | what an operator asks, and is told |
//! | [`Pass`], [`Identity`] | how a client says who it is, and what its carrier keeps for that |
//! | `watch` | streams, watchers in step and behind, batches, fragments, progress |
//! | `size` | how long a message is on the wire |
//! | [`Log`] | the truth: all that ever happened in this epoch |
//! | [`Config`], [`Quirks`] | limits and released servers' differences |

#![warn(clippy::float_arithmetic)]

mod auth;
mod check;
mod config;
mod input;
mod lessor;
mod log;
mod model;
mod operation;
mod pass;
mod quirks;
mod range;
mod size;
mod state;
mod store;
mod txn;
mod watch;

pub use config::{Config, Limits};
pub use input::{ClientId, Fault, Input, MemberFault, Output};
pub use log::{Cause, Change, LeaseChange, LeaseStep, Log};
pub use model::{LeaseView, MemberView, Model};
pub use operation::{Access, Admin, Operated, Operation, Outcome, Permission};
pub use pass::{Credentials, Identity, Pass, Password, Token};
pub use quirks::Quirks;
pub use size::{operation_size, reply_size, request_size, watch_weight};
