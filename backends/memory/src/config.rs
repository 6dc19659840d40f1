use std::hash::{Hash, Hasher};
use std::time::Duration;

use portolan_core::Rng;
use serde::{Deserialize, Serialize};

use crate::Quirks;

/// Limits and timing of the modelled etcd. The defaults are etcd's own
/// (`server/embed/config.go`, `server/config/config.go`).
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The cluster's id, in every header.
    pub cluster_id: u64,
    /// The first member's id, in every header of its answers. Its lower 16 bits also go into every proposal, so they
    /// decide a byte of the limit of row E1.
    pub member_id: u64,
    /// The ids of the members beside the first; empty: it is alone. Up to four, more are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_members: Vec<u64>,
    /// What status says the version is.
    pub version: String,
    /// How this release differs from the newest one.
    pub quirks: Quirks,
    /// `--max-txn-ops`: compares or operations on one level of a transaction (row T5).
    pub max_txn_ops: usize,
    /// `--max-request-bytes`: the size of a proposal (row E1). gRPC takes 512 KiB more.
    pub max_request_bytes: u64,
    /// `--heartbeat-interval`.
    pub heartbeat: Duration,
    /// `--election-timeout`. Also what a new leader adds to every lease (row L10).
    pub election_timeout: Duration,
    /// How often the leader looks for expired leases (row L6).
    pub lease_scan_interval: Duration,
    /// How many leases it revokes each time (row L6).
    pub lease_scan_limit: usize,
    /// How often watchers that are behind are served (row W8).
    pub sync_interval: Duration,
    /// How many of them at a time.
    pub sync_watchers: usize,
    /// How many revisions each of them gets at a time (row W8).
    pub sync_revisions: usize,
    /// From what size on a watch's answer goes out in parts, in bytes (row W14); `None`: etcd's own,
    /// the longest message that gRPC takes.
    pub fragment_bytes: Option<u64>,
    /// How much is kept at most.
    #[serde(skip_serializing_if = "Limits::are_off")]
    pub limits: Limits,
    /// `--watch-progress-notify-interval`; up to a tenth is added for each stream (row W12).
    pub progress_interval: Duration,
    /// `--auth-token-ttl`: how long a token that is not used is good (row A6).
    pub token_ttl: Duration,
    /// Whether clients ask for a leader on everything but stale reads (row W17), as this
    /// project's etcd backend does.
    pub require_leader: bool,
    /// Whether [`Log`](crate::Log) is kept. Turn it off for a long-lived store.
    pub keep_log: bool,
    /// Where chance comes from: the tenth of the progress interval, elections, tokens.
    pub seed: u64,
}

/// How much is kept at most, in bytes; `None`: any amount.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// What was said on a stream of watches and its carrier has not taken
    /// ([`Input::Taken`](crate::Input::Taken)), as [`watch_weight`](crate::watch_weight) has it. One
    /// answer may go beyond it by one revision; then the stream's watchers fall behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_bytes: Option<u64>,
    /// What is stored, history included (row E2): of each version its key, its value and 256 more, of
    /// each lease 256. As `--quota-backend-bytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
    /// How much of that may be history: versions that are superseded, and deletes. If there is more,
    /// its older half is compacted, as etcd does by itself where it is asked to (row C3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_bytes: Option<u64>,
}

impl Limits {
    fn are_off(&self) -> bool {
        *self == Self::default()
    }
}

/// Limits that are off leave no trace in a hash: traces from before there were any keep theirs.
impl Hash for Limits {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if !self.are_off() {
            (self.stream_bytes, self.quota_bytes, self.history_bytes).hash(state);
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // The ids of a member named "default" on the default ports.
            cluster_id: 0xcdf8_1818_e327_0a4e,
            member_id: 0x8e9e_05c5_2164_694d,
            other_members: Vec::new(),
            version: "3.7.0".to_owned(),
            quirks: Quirks::default(),
            max_txn_ops: 128,
            max_request_bytes: 3 << 19,
            heartbeat: Duration::from_millis(100),
            election_timeout: Duration::from_secs(1),
            lease_scan_interval: Duration::from_millis(500),
            lease_scan_limit: 500,
            sync_interval: Duration::from_millis(100),
            sync_watchers: 512,
            sync_revisions: 1000,
            fragment_bytes: None,
            limits: Limits::default(),
            progress_interval: Duration::from_secs(600),
            token_ttl: Duration::from_secs(300),
            require_leader: true,
            keep_log: true,
            seed: 0,
        }
    }
}

impl Config {
    /// As the release `version` behaves, for example `3.4.23`; see [`Quirks::of_version`].
    /// `None` if that is no version.
    pub fn of_version(version: &str) -> Option<Self> {
        let quirks = Quirks::of_version(version)?;
        Some(Self { version: version.to_owned(), quirks, ..Self::default() })
    }

    /// With `count` members, from 1 to 5, whose ids are made up.
    pub fn members(self, count: u16) -> Self {
        let mut ids = Rng::new(self.member_id).fork("members");
        let other_members = (1..count.min(MOST_MEMBERS)).map(|_| ids.bits()).collect();
        Self { other_members, ..self }
    }

    /// The ids of all members, by their place.
    pub fn member_ids(&self) -> impl Iterator<Item = u64> + use<'_> {
        let others = self.other_members.iter().copied();
        std::iter::once(self.member_id).chain(others).take(usize::from(MOST_MEMBERS))
    }

    /// The longest message that gRPC takes, in bytes (row E1).
    pub const fn max_message_bytes(&self) -> u64 {
        self.max_request_bytes + (512 << 10)
    }

    /// From what size on a watch's answer goes out in parts, in bytes (row W14).
    pub fn fragment_size(&self) -> u64 {
        self.fragment_bytes.unwrap_or(self.max_message_bytes())
    }

    /// The shortest time to live that is granted, in seconds (row L2).
    ///
    /// etcd: `ceil(3 × electionTicks / 2 × tick)` (`server/etcdserver/server.go`).
    pub fn min_lease_ttl(&self) -> i64 {
        let tick = self.heartbeat.as_millis().max(1);
        let election_ticks = self.election_timeout.as_millis() / tick;
        let millis = election_ticks * 3 / 2 * tick;
        i64::try_from(millis.div_ceil(1000)).unwrap_or(i64::MAX)
    }

    /// How long etcd waits for its own consensus (row G7): 7 s by default.
    ///
    /// etcd: `5 s + 2 × election timeout` (`server/config/config.go`, `ReqTimeout`).
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + self.election_timeout.saturating_mul(2)
    }
}

/// More than five members only make a cluster slower.
const MOST_MEMBERS: u16 = 5;
