//! How a server is to be started: releases, flags, timers.

use std::{fmt, sync::Arc, time::Duration};

use crate::{Cluster, Etcd, KitError, Programs, Release, ServerTls, etcd::Plan};

/// What a server, or each member of a cluster, is started with.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    release: Release,
    flags: Vec<String>,
    progress_every: Option<Duration>,
    tls: Option<ServerTls>,
    peers: Option<Peers>,
}

/// The port under which the others reach a member: of its index, and the port it listens on.
#[derive(Clone)]
pub(crate) struct Peers(pub(crate) Arc<dyn Fn(usize, u16) -> u16 + Send + Sync>);

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peers")
    }
}

impl Builder {
    pub(crate) fn new(release: Release) -> Self {
        Self { release, flags: Vec::new(), progress_every: None, tls: None, peers: None }
    }

    /// One more flag, as etcd's command line has it: `--quota-backend-bytes=1048576`.
    pub fn flag(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// Heartbeats every 20 ms and elections after 200 ms: a cluster heals in a third of a second,
    /// and leases may be as short as 1 s. Not for busy machines: leaders are lost more easily.
    pub fn fast_timers(self) -> Self {
        self.flag("--heartbeat-interval=20").flag("--election-timeout=200")
    }

    /// Simple auth tokens that end after `ttl` without use (whole seconds; etcd's default is 300).
    pub fn auth_token_ttl(self, ttl: Duration) -> Self {
        self.flag("--auth-token=simple").flag(format!("--auth-token-ttl={}", ttl.as_secs()))
    }

    /// How often an idle watch that asked for it is told the revision (etcd's default: 10 minutes).
    pub fn progress_every(mut self, interval: Duration) -> Self {
        self.progress_every = Some(interval);
        self
    }

    /// Has clients speak TLS to it; among each other, members do not.
    pub fn tls(mut self, tls: &ServerTls) -> Self {
        self.tls = Some(tls.clone());
        self
    }

    /// Has the members reach each other through somebody in between: `way` is told each member's
    /// index and the port that it listens on for the others, before any is started, and says the
    /// port on this machine where they find it.
    pub fn peers_through(
        mut self,
        way: impl Fn(usize, u16) -> u16 + Send + Sync + 'static,
    ) -> Self {
        self.peers = Some(Peers(Arc::new(way)));
        self
    }

    /// Starts one server and waits until it is healthy.
    ///
    /// # Errors
    /// [`KitError::NoEtcd`], [`KitError::NotNamed`], or [`KitError::Start`] with the end of its log.
    pub fn start(self) -> Result<Etcd, KitError> {
        let mut members = Etcd::start_members(&self.plan()?, 1)?;
        Ok(members.pop().expect("one was started"))
    }

    /// Starts a cluster of `size` members and waits until all are healthy.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub fn start_cluster(self, size: usize) -> Result<Cluster, KitError> {
        Ok(Cluster::of(Etcd::start_members(&self.plan()?, size)?))
    }

    fn plan(self) -> Result<Plan, KitError> {
        let programs = Programs::find(self.release)?;
        let mut flags = self.flags;
        // Killing a process does not lose what it wrote; only a machine that dies would.
        if programs.minor() >= (3, 5) {
            flags.push(String::from("--unsafe-no-fsync"));
        }
        if let Some(interval) = self.progress_every {
            let experimental = if programs.minor() < (3, 6) { "experimental-" } else { "" };
            let millis = interval.as_millis();
            flags.push(format!("--{experimental}watch-progress-notify-interval={millis}ms"));
        }
        Ok(Plan { programs, flags, tls: self.tls, peers: self.peers })
    }
}
