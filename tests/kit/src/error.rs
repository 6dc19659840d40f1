//! What can go wrong while servers are started and moved about.

use std::{fmt, io, path::PathBuf, time::Duration};

use crate::Release;

/// Why a server could not be started, driven or asked.
///
/// Its `Debug` is its `Display`: tests say `.expect("etcd starts")`, and what etcd wrote last should
/// then be readable.
#[derive(thiserror::Error)]
pub enum KitError {
    /// There is no etcd of this release here. Nothing was started.
    #[error(
        "no {release} here: {looked_at} does not run; `make etcd` brings it, \
         or PORTOLAN_ETCD=/path/to/etcd names one for Release::Named"
    )]
    NoEtcd {
        /// What was wished for.
        release: Release,
        /// Where it should have been.
        looked_at: PathBuf,
    },
    /// `PORTOLAN_ETCD` is not set, so there is no etcd by that name.
    #[error("PORTOLAN_ETCD is not set: it should name an etcd binary, with etcdctl beside it")]
    NotNamed,
    /// The process ended by itself, or never became healthy; it has been ended.
    #[error("etcd {name} {what}; its last words:\n{log_tail}")]
    Start {
        /// The member's name.
        name: String,
        /// What was seen.
        what: String,
        /// The end of its log.
        log_tail: String,
    },
    /// The server is not running (or paused), and what was asked needs it to.
    #[error("etcd {name} is not running")]
    Down {
        /// The member's name.
        name: String,
    },
    /// The process did not end after SIGTERM in this time; it was killed.
    #[error("etcd {name} did not end within {within:?} after SIGTERM and was killed")]
    Stubborn {
        /// The member's name.
        name: String,
        /// How long it was given.
        within: Duration,
    },
    /// `etcdctl` ended with a failure; whether the cluster applied the command is not known.
    #[error("etcdctl {args} failed: {stderr}")]
    Etcdctl {
        /// The arguments, joined by spaces.
        args: String,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// No member said within this time that it leads.
    #[error("no leader within {within:?}")]
    NoLeader {
        /// How long was waited.
        within: Duration,
    },
    /// The operating system refused.
    #[error("{what}: {cause}")]
    Os {
        /// What was tried.
        what: String,
        /// Its answer.
        cause: io::Error,
    },
}

impl KitError {
    /// For `map_err`: says what was tried when the operating system refused.
    pub(crate) fn os<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |cause| Self::Os { what, cause: cause.into() }
    }
}

impl fmt::Debug for KitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
