//! What the leader does about leases: renews, tells, and lets them expire.

use std::time::Duration;

use portolan_core::waist::{
    AttemptId, KeepAlive, KeepAliveReply, LeaseId, LeasesReply, Reply, Request, StoreError,
    TimeToLive, TimeToLiveReply,
};

use super::Model;
use super::member::{Later, Waiting, Waits};
use crate::auth::Who;
use crate::log::{Cause, LeaseChange, LeaseStep};
use crate::state::{Answer, Command, Entry};
use crate::{ClientId, Pass};

impl Model {
    /// Rows R6 and L7.
    pub(super) fn keep_alive(
        &mut self,
        m: usize,
        from: ClientId,
        attempt: AttemptId,
        request: KeepAlive,
        pass: Pass,
    ) -> Result<Option<Answer>, StoreError> {
        if !self.lessor_answers(m) {
            let later = Later::Request(Request::KeepAlive(request), pass);
            self.wait_for_leader(m, from, attempt, later, StoreError::NoLeader);
            return Ok(None);
        }
        let header = self.header(m);
        let lease = request.lease;
        let reply = |ttl_secs| {
            Ok(Some(Reply::KeepAlive(KeepAliveReply { header, lease, ttl_secs }).into()))
        };
        let Some(known) = self.head.leases.get(&lease) else { return reply(0) };
        let ttl_secs = known.ttl_secs;
        if self.cluster.lessor.is_over(self.now, lease) {
            let what = Waits::Revoke { lease, header, pass };
            self.members[m].waiting.push(Waiting { from, attempt, what });
            return Ok(None);
        }
        let expires = self.cluster.lessor.start(self.now, lease, span(ttl_secs));
        self.log_lease(lease, LeaseStep::Renewed { expires, from, attempt });
        reply(ttl_secs)
    }

    /// Row L9. A lease that is over but not yet revoked has 0 s or less.
    pub(super) fn time_to_live(
        &mut self,
        m: usize,
        from: ClientId,
        attempt: AttemptId,
        request: TimeToLive,
        pass: Pass,
    ) -> Result<Option<Answer>, StoreError> {
        if !self.lessor_answers(m) {
            let later = Later::Request(Request::TimeToLive(request), pass);
            self.wait_for_leader(m, from, attempt, later, StoreError::NoLeader);
            return Ok(None);
        }
        let lease = request.lease;
        let mut reply = TimeToLiveReply {
            header: self.header(m),
            lease,
            ttl_secs: -1,
            granted_secs: 0,
            keys: Vec::new(),
        };
        if let Some(known) = self.head.leases.get(&lease) {
            let expires = self.cluster.lessor.expires(lease).unwrap_or(self.now);
            let left = i128::from(expires.as_nanos()) - i128::from(self.now.as_nanos());
            reply.ttl_secs = i64::try_from(left / 1_000_000_000).unwrap_or(i64::MAX);
            reply.granted_secs = known.ttl_secs;
            if request.keys {
                reply.keys = known.keys.iter().cloned().collect();
            }
        }
        Ok(Some(Reply::TimeToLive(reply).into()))
    }

    /// Asked of the member alone. The leader has them by the time when they are over.
    pub(super) fn all_leases(&self, m: usize) -> LeasesReply {
        let leases = if self.cluster.leader == Some(m) && self.members[m].behind.is_none() {
            self.cluster.lessor.by_expiry()
        } else {
            self.state(m).leases.keys().copied().collect()
        };
        LeasesReply { header: self.header(m), leases }
    }

    /// A positive id that no lease has (row L1).
    pub(super) fn choose_lease(&mut self, m: usize) -> LeaseId {
        loop {
            self.chosen += 1;
            let id = (self.members[m].id & 0x7fff) << 48 | self.chosen & 0xffff_ffff_ffff;
            let id = i64::try_from(id).ok().and_then(LeaseId::new);
            if let Some(id) = id.filter(|id| !self.head.leases.contains_key(id)) {
                return id;
            }
        }
    }

    /// After a lease was revoked: nobody counts for it any more, and renewals that waited for this
    /// learn that it is gone (row L7).
    pub(super) fn lease_ended(&mut self, lease: LeaseId, cause: Cause) {
        self.cluster.lessor.end(lease);
        self.log_lease(lease, LeaseStep::Ended { cause });
        let waits =
            |what: &Waits| matches!(what, Waits::Revoke { lease: waits, .. } if *waits == lease);
        for m in 0..self.members.len() {
            for Waiting { from, attempt, what } in self.members[m].take_waiting(waits) {
                if let Waits::Revoke { lease, header, .. } = what {
                    let reply = KeepAliveReply { header, lease, ttl_secs: 0 };
                    self.reply(m, from, attempt, Reply::KeepAlive(reply));
                }
            }
        }
    }

    pub(super) fn expire_leases(&mut self) {
        if !self.works() {
            return;
        }
        if self.cluster.lessor.next_scan(&self.config).is_none_or(|due| due > self.now) {
            return;
        }
        let overloaded = self.cluster.leader.is_some_and(|m| self.members[m].overloaded);
        for lease in self.cluster.lessor.scan(self.now, &self.config) {
            if overloaded && self.config.quirks.overload_stops_expiry {
                continue;
            }
            // It fails only if the lease is gone, and then there is nothing left to do.
            let entry = Entry { command: Command::Revoke { lease }, who: Who::Store };
            let _ = self.commit(entry, Cause::Expiry { lease });
        }
    }

    pub(super) fn log_lease(&mut self, lease: LeaseId, step: LeaseStep) {
        if self.config.keep_log {
            let revision = self.head.store.revision();
            self.log.push_lease(LeaseChange { at: self.now, revision, lease, step });
        }
    }
}

pub(super) fn span(ttl_secs: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl_secs).unwrap_or(0))
}
