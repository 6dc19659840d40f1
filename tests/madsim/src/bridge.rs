//! Carries gRPC calls over the simulated network, one TCP stream for each.
//!
//! ```text
//! etcd-client ── Channel::Custom(Wire) ══ head, frames ══▶ serve ── Routes of portolan-wire
//! ```
//! There is no HTTP/2 under it: no pings, no flow control, no connection that calls share. What a
//! call sees when its connection breaks is what it sees through tonic and HTTP/2.

mod client;
mod frame;
mod server;

pub use client::Wire;
pub use server::serve;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts what is open.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicUsize>);

impl Gauge {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// One more, as long as what is returned is there.
    pub fn another(&self) -> impl Send + use<> {
        self.one()
    }

    fn one(&self) -> One {
        self.0.fetch_add(1, Relaxed);
        One(self.clone())
    }
}

/// One that is open as long as this is there.
struct One(Gauge);

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// A connection that broke under a call, in the words that HTTP/2 has for it: measured through tonic
/// 0.14, whose status for it is `Unknown`.
#[derive(Debug)]
struct Broken(std::io::Error);

impl Broken {
    fn new(kind: std::io::ErrorKind) -> Self {
        Self(kind.into())
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("h2 protocol error: error reading a body from connection")
    }
}

impl std::error::Error for Broken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
