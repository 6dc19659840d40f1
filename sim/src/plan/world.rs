//! What there is in a world.

use std::time::Duration;

use portolan_core::Tuning;
use portolan_core::layout::Layout;
use serde::{Deserialize, Serialize};

use super::Subjects;
use crate::canary::Breakage;

/// What there is.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorldSetup {
    /// How many processes there are, numbered from 0; 1 to 4096.
    pub processes: u16,
    /// How many members the store has, numbered from 0; 1 to 5. Each process can reach all.
    pub members: u16,
    /// Whether the store asks who is asking. Processes are then a user who may do everything, until
    /// a step says otherwise.
    pub users: bool,
    /// Which keys and values stand for what.
    pub layout: Layout,
    /// What is tried in each process: `["engine", {"naive": "go-kit"}]`. Engines, where nothing is
    /// said.
    #[serde(skip_serializing_if = "Subjects::is_empty")]
    pub subjects: Subjects,
    /// The engines' constants. Clients of other fleets take the time to live from them.
    pub tuning: Tuning,
    /// The store's constants.
    pub store: portolan_memory::Config,
    /// The links' constants.
    pub wire: WireSetup,
    /// How much faster each process's clock runs than the store's, in thousandths; processes
    /// beyond the list have a true one.
    pub drift_permille: Vec<i16>,
    /// How long an application thinks about a configuration that it is shown, least and most, in
    /// microseconds.
    pub think_us: (u64, u64),
    /// What is broken on purpose; nothing, if it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<Breakage>,
}

/// How connections behave.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WireSetup {
    /// How long a message travels, least and most, in microseconds.
    pub delay_us: (u64, u64),
    /// After how long a silent connection is taken for dead, in milliseconds (D).
    pub detect_ms: u64,
    /// How often, in percent, what was written to a connection before it broke arrives all the same.
    pub linger_percent: u32,
    /// How often, in percent, a request that was given up before it was sent is sent all the same.
    pub late_percent: u32,
    /// How often, in percent, the answer to a call that was given up is delivered all the same.
    pub late_answer_percent: u32,
    /// How often, in percent, the answer to a call arrives twice.
    pub duplicate_percent: u32,
    /// The largest answer that clients take in, in bytes: a larger one fails (row G8), and a stream
    /// that brings one ends.
    pub decode_bytes: u64,
}

impl WorldSetup {
    /// How long a world in which nothing is left to be done must stay so, to have come to rest:
    /// what hangs on a lease whose process is gone, or what is still on its way, shows by then.
    pub fn quiet_time(&self) -> Duration {
        self.tuning.lease_ttl.max(Duration::from_secs(2)) + Duration::from_secs(2)
    }

    /// How long a world that has healed may make no progress, until it has come to rest.
    ///
    /// A dead connection is noticed (D), whoever waits tries again (B, twice, since two things may
    /// have to be tried in a row), a few answers come (4T), a quiet watch is probed, and what hangs
    /// on leases of the dead goes when they end: their time, started over by a restart of the
    /// store (row L10), and once more for what waits for such a lease before it acts. A leader may
    /// have to be elected first, twice at worst. Who was refused tries again slowly: to log in, and
    /// then to do what it was about. What only an audit shows waits for it, where they are frequent.
    pub fn settling_time(&self) -> Duration {
        let tuning = &self.tuning;
        let longest_lease = tuning.lease_ttl.max(Duration::from_secs(2));
        let by_their_clocks = Duration::from_millis(self.wire.detect_ms)
            + tuning.backoff_cap * 3
            + tuning.attempt_timeout * 4
            + tuning.probe_after
            + tuning.quarantine_cap.min(Duration::from_secs(30))
            + tuning.audit_every.min(Duration::from_secs(20)) * 2
            + tuning.probe_timeout * 2
            + longest_lease * 3
            + self.store.election_timeout * 4
            + if self.users { tuning.backoff_slow_cap * 2 } else { Duration::ZERO }
            + self.store.lease_scan_interval
            + Duration::from_secs(2);
        // The slowest of their clocks takes longer for it.
        let slowest = self.drift_permille.iter().copied().min().unwrap_or(0).clamp(-500, 0);
        by_their_clocks * 1_000 / (1_000 - u32::from(slowest.unsigned_abs()))
    }
}

impl Default for WorldSetup {
    fn default() -> Self {
        Self {
            processes: 1,
            members: 1,
            users: false,
            layout: Layout::default(),
            subjects: Subjects::default(),
            tuning: Tuning::default(),
            store: portolan_memory::Config::default(),
            wire: WireSetup::default(),
            drift_permille: Vec::new(),
            think_us: (0, 0),
            broken: None,
        }
    }
}

impl Default for WireSetup {
    fn default() -> Self {
        Self {
            delay_us: (1_000, 5_000),
            detect_ms: 4_000,
            linger_percent: 50,
            late_percent: 50,
            late_answer_percent: 50,
            duplicate_percent: 0,
            // As the driver for etcd has it.
            decode_bytes: 64 << 20,
        }
    }
}
