//! The leader's countdowns, from `server/lease/lessor.go`.
//!
//! ```text
//! grant, renew → due ──(next scan at or after it)──→ proposed for revoke ──→ gone
//!                                                        │ refused
//!                                                        └→ looked at again after the retry time
//! ```
//! Only the leader has them. A lease that is due but not yet revoked is still there (row L12).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portolan_core::Time;
use portolan_core::waist::LeaseId;

use crate::Config;

/// When each lease is over, and when it will be looked at.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(crate) struct Lessor {
    countdowns: BTreeMap<LeaseId, Countdown>,
    /// By the time of the next look.
    queue: BTreeSet<(Time, LeaseId)>,
    /// The next scan comes no earlier than this.
    not_before: Time,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
struct Countdown {
    expires: Time,
    look: Time,
}

impl Lessor {
    /// Starts or restarts a lease's countdown; it is over at the time returned.
    pub(crate) fn start(&mut self, now: Time, lease: LeaseId, span: Duration) -> Time {
        let expires = now + span;
        self.set(lease, Countdown { expires, look: expires });
        expires
    }

    /// Ends a lease's countdown at once, if there is one.
    pub(crate) fn expire(&mut self, now: Time, lease: LeaseId) {
        if self.countdowns.contains_key(&lease) {
            self.set(lease, Countdown { expires: now, look: now });
        }
    }

    /// Forgets a lease that was revoked.
    pub(crate) fn end(&mut self, lease: LeaseId) {
        if let Some(old) = self.countdowns.remove(&lease) {
            self.queue.remove(&(old.look, lease));
        }
    }

    /// Forgets all: this member is no longer the leader.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// When the lease is over.
    pub(crate) fn expires(&self, lease: LeaseId) -> Option<Time> {
        self.countdowns.get(&lease).map(|countdown| countdown.expires)
    }

    /// Whether the lease's time is over.
    pub(crate) fn is_over(&self, now: Time, lease: LeaseId) -> bool {
        self.expires(lease).is_some_and(|expires| expires <= now)
    }

    /// All leases, by the time when they are over.
    pub(crate) fn by_expiry(&self) -> Vec<LeaseId> {
        let mut all: Vec<_> =
            self.countdowns.iter().map(|(&lease, countdown)| (countdown.expires, lease)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, lease)| lease).collect()
    }

    /// When the next scan finds something (row L6).
    pub(crate) fn next_scan(&self, config: &Config) -> Option<Time> {
        let (look, _) = *self.queue.first()?;
        Some(next_beat(look.max(self.not_before), config.lease_scan_interval))
    }

    /// The leases to revoke now, at most as many as one scan takes. Each will be looked at again
    /// after the retry time, in case its revoke fails.
    pub(crate) fn scan(&mut self, now: Time, config: &Config) -> Vec<LeaseId> {
        let mut found = Vec::new();
        self.not_before = now + Duration::from_nanos(1);
        while let Some(&(look, lease)) = self.queue.first() {
            if look > now || found.len() == config.lease_scan_limit {
                break;
            }
            let expires = self.expires(lease).unwrap_or(now);
            // Always later than now: even a time limit of 0 becomes 5 s.
            self.set(lease, Countdown { expires, look: now + config.request_timeout() });
            if expires <= now {
                found.push(lease);
            }
        }
        found
    }

    fn set(&mut self, lease: LeaseId, countdown: Countdown) {
        self.end(lease);
        self.countdowns.insert(lease, countdown);
        self.queue.insert((countdown.look, lease));
    }
}

/// The first multiple of `interval` at or after `at`.
pub(crate) fn next_beat(at: Time, interval: Duration) -> Time {
    let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
    Time::from_nanos(at.as_nanos().div_ceil(interval).saturating_mul(interval))
}
