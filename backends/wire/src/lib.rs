//! An etcd for tests and development: the in-memory model behind etcd's own gRPC.
//!
//! ```text
//! etcdctl, any client ── HTTP/2 ──▶ Server ─▶ services ─▶ Store ─▶ Model (portolan-memory)
//!                                             │ words of etcd │ time of tokio
//!                                             │ into ours     │
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `server` | listens, serves, and stops |
//! | `services` | etcd's services, one file each |
//! | `requests`, `replies`, `status` | etcd's words into ours, and ours into etcd's |
//! | `store` | the model in tokio's time, for many clients |
//!
//! Nothing is kept on a disk: what a server holds ends with it.

mod replies;
mod requests;
mod server;
mod services;
mod status;
mod store;

pub use portolan_memory::{Admin, Config, Fault};
pub use server::{Control, ServeError, Server};
