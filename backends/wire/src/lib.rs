//! An etcd for tests and development: the in-memory model behind etcd's own gRPC.
//!
//! ```text
//! etcdctl, any client ── TCP, TLS ──▶ Server ─┐
//! etcd-client ── within this process ─────────┴▶ connections ─▶ services ─▶ Store ─▶ Model
//!                                                  (HTTP/2)    │ words of etcd │ time of tokio
//!                                                              │ into ours     │
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `etcd` | an etcd: its store, and what happens to it |
//! | `server`, `tls` | listens, and serves whoever connects |
//! | `local` | clients within this process |
//! | `connection` | how a connection is served, held, broken, and ended |
//! | `services` | etcd's services, one file each |
//! | `requests`, `replies`, `status` | etcd's words into ours, and ours into etcd's |
//! | `hash` | the hash of what is kept |
//! | `store` | the model in tokio's time, for many clients |
//!
//! Nothing is kept on a disk: what an etcd holds ends with it.
//!
//! Without its feature `net`, as in a simulated network, there are the services alone.

#[cfg(feature = "net")]
mod connection;
mod etcd;
mod hash;
#[cfg(test)]
mod lengths;
#[cfg(feature = "net")]
mod local;
mod replies;
mod requests;
#[cfg(feature = "net")]
mod server;
mod services;
mod status;
mod store;
#[cfg(feature = "net")]
mod tls;

#[cfg(feature = "net")]
pub use connection::{End, Served};
pub use etcd::Etcd;
#[cfg(feature = "net")]
pub use local::Link;
pub use portolan_memory::{Admin, Config, Fault, Limits, MemberFault};
#[cfg(feature = "net")]
pub use server::{ListenError, Server};
#[cfg(feature = "net")]
pub use tls::{Tls, TlsError};
