//! Keeps one lease alive, as etcd's Go client does.

use std::time::Duration;

use portolan_core::Time;
use portolan_core::waist::{KeepAlive, LeaseId, Reply, Request};

use super::calls::{Calls, Why};

/// A lease that is kept alive.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Keeper {
    pub lease: LeaseId,
    why: Why,
    ttl: Duration,
    renew_at: Time,
    /// Taken for lost then, if no answer comes.
    lost_at: Time,
}

impl Keeper {
    pub fn new(calls: &Calls, why: Why, lease: LeaseId, ttl: Duration) -> Self {
        let now = calls.now();
        Self { lease, why, ttl, renew_at: now + ttl / 3, lost_at: now + ttl }
    }

    /// Renews the lease if it is time to. True: it is lost.
    pub fn on_timer(&mut self, calls: &mut Calls) -> bool {
        let now = calls.now();
        if now >= self.lost_at {
            return true;
        }
        if now >= self.renew_at {
            self.renew_at = now + ASK_AGAIN;
            calls.ask(self.why, Request::KeepAlive(KeepAlive { lease: self.lease }));
        }
        false
    }

    /// Hears the answer. True: the lease is lost.
    pub fn on_reply(&mut self, calls: &Calls, reply: &Reply) -> bool {
        // One that failed is sent anew, by then on another stream.
        let Reply::KeepAlive(reply) = reply else { return false };
        let now = calls.now();
        (self.renew_at, self.lost_at) = (now + self.ttl / 3, now + self.ttl);
        reply.ttl_secs <= 0
    }

    /// Goes on with a lease that is lost.
    pub fn insist(&mut self, calls: &Calls, pause: Duration) {
        (self.renew_at, self.lost_at) = (calls.now() + pause, Time::NEVER);
    }

    pub fn next_timeout(&self) -> Time {
        self.renew_at.min(self.lost_at)
    }
}

/// How often the Go client sends a renewal that was not answered (`client/v3/lease.go`).
const ASK_AGAIN: Duration = Duration::from_millis(500);
