//! Every constant of the engine, in one place, so that tests and the simulator can draw them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The engine's constants. The defaults suit a cluster within one region.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Tuning {
    /// Time to live asked for leases. Whole seconds; etcd raises it to its minimum (row L2).
    pub lease_ttl: Duration,
    /// Keys on one lease at most. etcd stalls when one lease of very many keys ends.
    pub max_keys_per_lease: u32,
    /// How wrong this machine's clock may run against the store's, in thousandths.
    pub clock_error_permille: u32,
    /// A lease is renewed when this part of its time has passed: 3 means a third.
    pub renewals_per_ttl: u32,
    /// How long one attempt waits for its answer (T).
    pub attempt_timeout: Duration,
    /// The first pause after a failure (b0).
    pub backoff_base: Duration,
    /// The longest pause between attempts (B).
    pub backoff_cap: Duration,
    /// The longest pause after a permanent refusal: permission denied, wrong password.
    pub backoff_slow_cap: Duration,
    /// How much of a pause is drawn by chance, in percent: 90 means from a tenth of it to all.
    pub jitter_percent: u32,
    /// How long something must have worked before its pauses start from the base again.
    pub healthy_after: Duration,
    /// Retries that a whole process may make at once.
    pub retry_burst: u32,
    /// Retries that a whole process earns back each second.
    pub retries_per_sec: u32,
    /// Records in one page of a list.
    pub page_limit: u32,
    /// How long a quiet watch is trusted before it is probed.
    pub probe_after: Duration,
    /// How long a probe, or the confirmation of a new watch, waits.
    pub probe_timeout: Duration,
    /// Keys in one batched transaction at most; etcd takes 126 nested ones (row T5).
    pub batch_keys: u32,
    /// Bytes of keys and values in one batch at most; etcd takes 1.5 MiB (row E1).
    pub batch_bytes: u32,
    /// Own keys that are watched at most.
    pub own_watches: u32,
    /// Requests in flight at most, watches not counted; beyond it calls are refused as busy.
    pub max_in_flight: u32,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            lease_ttl: Duration::from_secs(15),
            max_keys_per_lease: 1_000,
            clock_error_permille: 10,
            renewals_per_ttl: 3,
            attempt_timeout: Duration::from_secs(3),
            backoff_base: Duration::from_millis(100),
            backoff_cap: Duration::from_secs(5),
            backoff_slow_cap: Duration::from_secs(60),
            jitter_percent: 90,
            healthy_after: Duration::from_secs(10),
            retry_burst: 64,
            retries_per_sec: 32,
            page_limit: 10_000,
            probe_after: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(3),
            batch_keys: 126,
            batch_bytes: 1 << 20,
            own_watches: 200,
            max_in_flight: 1_024,
        }
    }
}
