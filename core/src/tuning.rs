//! Every constant of the engine, in one place, so that tests and the simulator can draw them.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The engine's constants. The defaults suit a cluster within one region. What each may be says
/// [`check`](Self::check).
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
    /// Retries of calls, updates and batches of keys that a whole process may make at once. The
    /// few others have only their backoff: leases, directories, and the store being away.
    pub retry_burst: u32,
    /// Such retries that a whole process earns back each second.
    pub retries_per_sec: u32,
    /// Records in one page of a list.
    pub page_limit: u32,
    /// How long a quiet watch is trusted before it is probed.
    pub probe_after: Duration,
    /// How long a probe, or the confirmation of a new watch, waits.
    pub probe_timeout: Duration,
    /// How often a directory that is being followed is held against a whole list, and each own record
    /// is read again, at the longest; drawn from two thirds of it to all.
    pub audit_every: Duration,
    /// Which directories are guarded against mass expiry.
    pub guard: Guard,
    /// How long suspects are kept at most.
    pub guard_hold: Duration,
    /// Keys in one batched transaction at most; etcd takes 126 nested ones (row T5).
    pub batch_keys: u32,
    /// Bytes of keys and values in one batch at most; etcd takes 1.5 MiB (row E1).
    pub batch_bytes: u32,
    /// Own keys that are watched at most. Leases with more are swept.
    pub own_watches: u32,
    /// How often within its time to live a lease with unwatched keys is asked which keys it has; 0:
    /// never.
    pub sweeps_per_ttl: u32,
    /// How long a member that failed is left alone, the first time.
    pub quarantine_base: Duration,
    /// How long it is left alone at most, when it goes on failing.
    pub quarantine_cap: Duration,
    /// How long, at the start, all given members are asked to which cluster they belong, before
    /// anything else is sent; those that were slower are left alone at first. `None`: they are not
    /// asked, and the first answer says which cluster is the store. Of no account where one member
    /// is given.
    pub census_within: Option<Duration>,
    /// How often the cluster is asked for its members, to be reached beside those that were given;
    /// drawn from three quarters of it to all. `None`: never.
    pub member_list_every: Option<Duration>,
    /// Changes and records that the reader of a followed key range may leave unacknowledged; beyond
    /// it the watch ends, and all is listed once it has caught up.
    pub follow_events: u32,
    /// Bytes of keys and values in them. What cannot be divided (a revision, a record) and is
    /// larger than the window has it to itself.
    pub follow_bytes: u32,
    /// Requests in flight at most, watches not counted; beyond it calls are refused as busy.
    pub max_in_flight: u32,
    /// Bytes of keys and values in them at most; beyond it calls and updates are refused as busy.
    pub max_in_flight_bytes: u32,
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
            audit_every: Duration::from_secs(900),
            guard: Guard::ByLayout,
            guard_hold: Duration::from_secs(300),
            batch_keys: 126,
            batch_bytes: 1 << 20,
            own_watches: 200,
            sweeps_per_ttl: 1,
            quarantine_base: Duration::from_secs(1),
            quarantine_cap: Duration::from_secs(30),
            census_within: Some(Duration::from_secs(1)),
            member_list_every: None,
            follow_events: 8_192,
            follow_bytes: 16 << 20,
            max_in_flight: 1_024,
            max_in_flight_bytes: 64 << 20,
        }
    }
}

/// Which directories keep what an outage seems to have taken away.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// Those of layouts whose records say `Draining`. Elsewhere a fleet that is shut down looks
    /// like one that was cut off.
    #[default]
    ByLayout,
    /// All of them.
    On,
    /// None.
    Off,
}

/// A constant that makes no sense.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field} is {given}; allowed is {allowed}")]
#[non_exhaustive]
pub struct TuningError {
    /// The name of the constant.
    pub field: &'static str,
    /// What it is.
    pub given: String,
    /// What it may be.
    pub allowed: String,
}

const MILLI: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Tuning {
    /// Whether an engine can work with these. One that cannot is never told so later: it would
    /// spin, or wait without end.
    ///
    /// # Errors
    /// The first constant out of its range.
    pub fn check(&self) -> Result<(), TuningError> {
        // Destructured, so that no new constant is forgotten.
        let Self {
            lease_ttl,
            max_keys_per_lease,
            clock_error_permille,
            renewals_per_ttl,
            attempt_timeout,
            backoff_base,
            backoff_cap,
            backoff_slow_cap,
            jitter_percent,
            healthy_after,
            retry_burst,
            retries_per_sec,
            page_limit,
            probe_after,
            probe_timeout,
            audit_every,
            guard: _,
            guard_hold,
            batch_keys,
            batch_bytes,
            own_watches: _,
            sweeps_per_ttl,
            quarantine_base,
            quarantine_cap,
            census_within,
            member_list_every,
            follow_events,
            follow_bytes,
            max_in_flight,
            max_in_flight_bytes,
        } = *self;
        // A longer one is no sign of life any more.
        let range = Duration::from_secs(1)..=DAY;
        if lease_ttl.subsec_nanos() != 0 || !range.contains(&lease_ttl) {
            let allowed = "1 s to 86400 s, in whole seconds".to_owned();
            return Err(TuningError { field: "lease_ttl", given: shown(lease_ttl), allowed });
        }
        time("attempt_timeout", attempt_timeout, MILLI..=HOUR)?;
        time("backoff_base", backoff_base, MILLI..=HOUR)?;
        time("backoff_cap", backoff_cap, backoff_base..=HOUR)?;
        time("backoff_slow_cap", backoff_slow_cap, backoff_cap..=DAY)?;
        time("healthy_after", healthy_after, Duration::ZERO..=DAY)?;
        time("probe_after", probe_after, MILLI..=DAY)?;
        time("probe_timeout", probe_timeout, MILLI..=HOUR)?;
        time("audit_every", audit_every, Duration::from_secs(1)..=DAY)?;
        number("sweeps_per_ttl", sweeps_per_ttl, 0..=100)?;
        time("quarantine_base", quarantine_base, MILLI..=HOUR)?;
        time("quarantine_cap", quarantine_cap, quarantine_base..=HOUR)?;
        if let Some(within) = census_within {
            time("census_within", within, MILLI..=HOUR)?;
        }
        if let Some(every) = member_list_every {
            time("member_list_every", every, Duration::from_secs(1)..=DAY)?;
        }
        time("guard_hold", guard_hold, Duration::from_secs(1)..=HOUR)?;
        number("max_keys_per_lease", max_keys_per_lease, 1..=u32::MAX)?;
        number("clock_error_permille", clock_error_permille, 0..=500)?;
        // Fewer, and one lost answer loses the lease.
        number("renewals_per_ttl", renewals_per_ttl, 3..=100)?;
        // More, and a pause may be none.
        number("jitter_percent", jitter_percent, 0..=95)?;
        number("retry_burst", retry_burst, 1..=u32::MAX)?;
        number("retries_per_sec", retries_per_sec, 1..=u32::MAX)?;
        number("page_limit", page_limit, 1..=u32::MAX)?;
        number("batch_keys", batch_keys, 1..=126)?;
        number("batch_bytes", batch_bytes, 1..=3 << 19)?;
        number("follow_events", follow_events, 1..=u32::MAX)?;
        number("follow_bytes", follow_bytes, 1..=u32::MAX)?;
        number("max_in_flight", max_in_flight, 1..=u32::MAX)?;
        // Less, and the largest request never goes.
        number("max_in_flight_bytes", max_in_flight_bytes, 3 << 19..=u32::MAX)
    }
}

fn time(
    field: &'static str,
    given: Duration,
    allowed: RangeInclusive<Duration>,
) -> Result<(), TuningError> {
    if allowed.contains(&given) {
        return Ok(());
    }
    let allowed = format!("{} to {}", shown(*allowed.start()), shown(*allowed.end()));
    Err(TuningError { field, given: shown(given), allowed })
}

fn shown(time: Duration) -> String {
    format!("{time:?}")
}

fn number(
    field: &'static str,
    given: u32,
    allowed: RangeInclusive<u32>,
) -> Result<(), TuningError> {
    if allowed.contains(&given) {
        return Ok(());
    }
    let allowed = match allowed.into_inner() {
        (least, u32::MAX) => format!("{least} or more"),
        (least, most) => format!("{least} to {most}"),
    };
    Err(TuningError { field, given: given.to_string(), allowed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_named_with_its_limits() {
        let changes: [fn(&mut Tuning); 30] = [
            |tuning| tuning.lease_ttl = Duration::from_millis(1_500),
            |tuning| tuning.lease_ttl = Duration::ZERO,
            |tuning| tuning.lease_ttl = Duration::MAX,
            |tuning| tuning.attempt_timeout = Duration::ZERO,
            |tuning| tuning.backoff_base = Duration::from_micros(999),
            |tuning| tuning.backoff_cap = Duration::from_millis(99),
            |tuning| tuning.backoff_slow_cap = Duration::from_secs(4),
            |tuning| tuning.healthy_after = Duration::MAX,
            |tuning| tuning.probe_after = Duration::ZERO,
            |tuning| tuning.probe_timeout = Duration::ZERO,
            |tuning| tuning.audit_every = Duration::from_millis(999),
            |tuning| tuning.sweeps_per_ttl = 101,
            |tuning| tuning.quarantine_base = Duration::ZERO,
            |tuning| tuning.quarantine_cap = Duration::from_millis(999),
            |tuning| tuning.census_within = Some(Duration::ZERO),
            |tuning| tuning.member_list_every = Some(Duration::ZERO),
            |tuning| tuning.guard_hold = Duration::from_secs(3_601),
            |tuning| tuning.max_keys_per_lease = 0,
            |tuning| tuning.clock_error_permille = 501,
            |tuning| tuning.renewals_per_ttl = 2,
            |tuning| tuning.jitter_percent = 96,
            |tuning| tuning.retry_burst = 0,
            |tuning| tuning.retries_per_sec = 0,
            |tuning| tuning.page_limit = 0,
            |tuning| tuning.batch_keys = 127,
            |tuning| tuning.batch_bytes = 0,
            |tuning| tuning.follow_events = 0,
            |tuning| tuning.follow_bytes = 0,
            |tuning| tuning.max_in_flight = 0,
            |tuning| tuning.max_in_flight_bytes = (3 << 19) - 1,
        ];
        let errors = changes.map(|change| {
            let mut tuning = Tuning::default();
            assert_eq!(tuning.check(), Ok(()));
            change(&mut tuning);
            tuning.check().expect_err("it makes no sense").to_string()
        });
        insta::assert_snapshot!(errors.join("\n"), @"
        lease_ttl is 1.5s; allowed is 1 s to 86400 s, in whole seconds
        lease_ttl is 0ns; allowed is 1 s to 86400 s, in whole seconds
        lease_ttl is 18446744073709551615.999999999s; allowed is 1 s to 86400 s, in whole seconds
        attempt_timeout is 0ns; allowed is 1ms to 3600s
        backoff_base is 999µs; allowed is 1ms to 3600s
        backoff_cap is 99ms; allowed is 100ms to 3600s
        backoff_slow_cap is 4s; allowed is 5s to 86400s
        healthy_after is 18446744073709551615.999999999s; allowed is 0ns to 86400s
        probe_after is 0ns; allowed is 1ms to 86400s
        probe_timeout is 0ns; allowed is 1ms to 3600s
        audit_every is 999ms; allowed is 1s to 86400s
        sweeps_per_ttl is 101; allowed is 0 to 100
        quarantine_base is 0ns; allowed is 1ms to 3600s
        quarantine_cap is 999ms; allowed is 1s to 3600s
        census_within is 0ns; allowed is 1ms to 3600s
        member_list_every is 0ns; allowed is 1s to 86400s
        guard_hold is 3601s; allowed is 1s to 3600s
        max_keys_per_lease is 0; allowed is 1 or more
        clock_error_permille is 501; allowed is 0 to 500
        renewals_per_ttl is 2; allowed is 3 to 100
        jitter_percent is 96; allowed is 0 to 95
        retry_burst is 0; allowed is 1 or more
        retries_per_sec is 0; allowed is 1 or more
        page_limit is 0; allowed is 1 or more
        batch_keys is 127; allowed is 1 to 126
        batch_bytes is 0; allowed is 1 to 1572864
        follow_events is 0; allowed is 1 or more
        follow_bytes is 0; allowed is 1 or more
        max_in_flight is 0; allowed is 1 or more
        max_in_flight_bytes is 1572863; allowed is 1572864 or more
        ");
    }
}
