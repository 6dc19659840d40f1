//! What the leader does about leases: renews, tells, and lets them expire.

use std::time::Duration;

use portolan_core::waist::{
    AttemptId, KeepAlive, KeepAliveReply, LeaseId, LeasesReply, Reply, Request, StoreError,
    TimeToLive, TimeToLiveReply,
};

use super::Model;
use super::member::{Later, Waiting, Waits};
use crate::ClientId;
use crate::log::{Cause, LeaseChange, LeaseStep};
use crate::state::Command;

impl Model {
    /// Rows R6 and L7.
    pub(super) fn keep_alive(
        &mut self,
        from: ClientId,
        attempt: AttemptId,
        request: KeepAlive,
    ) -> Result<Option<Reply>, StoreError> {
        if self.leaderless_since.is_some() {
            let later = Later::Request(Request::KeepAlive(request));
            return self.wait(from, attempt, later, StoreError::NoLeader);
        }
        let header = self.header();
        let lease = request.lease;
        let reply =
            |ttl_secs| Ok(Some(Reply::KeepAlive(KeepAliveReply { header, lease, ttl_secs })));
        let Some(known) = self.member.state.leases.get(&lease) else { return reply(0) };
        let ttl_secs = known.ttl_secs;
        if self.lessor.is_over(self.now, lease) {
            self.waiting.push(Waiting { from, attempt, what: Waits::Revoke { lease, header } });
            return Ok(None);
        }
        let expires = self.lessor.start(self.now, lease, span(ttl_secs));
        self.log_lease(lease, LeaseStep::Renewed { expires, from, attempt });
        reply(ttl_secs)
    }

    /// Row L9. A lease that is over but not yet revoked has 0 s or less.
    pub(super) fn time_to_live(
        &mut self,
        from: ClientId,
        attempt: AttemptId,
        request: TimeToLive,
    ) -> Result<Option<Reply>, StoreError> {
        if self.leaderless_since.is_some() {
            let later = Later::Request(Request::TimeToLive(request));
            return self.wait(from, attempt, later, StoreError::NoLeader);
        }
        let lease = request.lease;
        let mut reply = TimeToLiveReply {
            header: self.header(),
            lease,
            ttl_secs: -1,
            granted_secs: 0,
            keys: Vec::new(),
        };
        if let Some(known) = self.member.state.leases.get(&lease) {
            let expires = self.lessor.expires(lease).unwrap_or(self.now);
            let left = i128::from(expires.as_nanos()) - i128::from(self.now.as_nanos());
            reply.ttl_secs = i64::try_from(left / 1_000_000_000).unwrap_or(i64::MAX);
            reply.granted_secs = known.ttl_secs;
            if request.keys {
                reply.keys = known.keys.iter().cloned().collect();
            }
        }
        Ok(Some(Reply::TimeToLive(reply)))
    }

    /// By the time when they are over, as etcd sorts them.
    pub(super) fn all_leases(&self) -> LeasesReply {
        let mut leases = self.lessor.by_expiry();
        if self.leaderless_since.is_some() {
            leases = self.member.state.leases.keys().copied().collect();
        }
        LeasesReply { header: self.header(), leases }
    }

    /// A positive id that no lease has (row L1).
    pub(super) fn choose_lease(&mut self) -> LeaseId {
        loop {
            self.chosen += 1;
            let id = (self.config.member_id & 0x7fff) << 48 | self.chosen & 0xffff_ffff_ffff;
            let id = i64::try_from(id).ok().and_then(LeaseId::new);
            if let Some(id) = id.filter(|id| !self.member.state.leases.contains_key(id)) {
                return id;
            }
        }
    }

    /// After a lease was revoked: nobody counts for it any more, and renewals that waited for this
    /// learn that it is gone (row L7).
    pub(super) fn lease_ended(&mut self, lease: LeaseId, cause: Cause) {
        self.lessor.end(lease);
        self.log_lease(lease, LeaseStep::Ended { cause });
        let waits_for_it = |call: &Waiting| matches!(call.what, Waits::Revoke { lease: waits, .. } if waits == lease);
        if !self.waiting.iter().any(waits_for_it) {
            return;
        }
        let (done, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(waits_for_it);
        self.waiting = rest;
        for Waiting { from, attempt, what } in done {
            if let Waits::Revoke { lease, header } = what {
                let reply = KeepAliveReply { header, lease, ttl_secs: 0 };
                self.reply(from, attempt, Reply::KeepAlive(reply));
            }
        }
    }

    pub(super) fn expire_leases(&mut self) {
        if self.leaderless_since.is_some() {
            return;
        }
        if self.lessor.next_scan(&self.config).is_none_or(|due| due > self.now) {
            return;
        }
        for lease in self.lessor.scan(self.now, &self.config) {
            if self.member.overloaded && self.config.quirks.overload_stops_expiry {
                continue;
            }
            // It fails only if the lease is gone, and then there is nothing left to do.
            let _ = self.commit(Command::Revoke { lease }, Cause::Expiry { lease });
        }
    }

    pub(super) fn log_lease(&mut self, lease: LeaseId, step: LeaseStep) {
        if self.config.keep_log {
            let revision = self.member.state.store.revision();
            self.log.push_lease(LeaseChange { at: self.now, revision, lease, step });
        }
    }
}

pub(super) fn span(ttl_secs: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl_secs).unwrap_or(0))
}
