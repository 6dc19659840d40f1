//! How disturbed records are found that nobody watches: sweeps and the audit.
//!
//! - A *sweep* asks a lease which keys it has, once in its time to live, and at once when it is in
//!   doubt (see `stray`). A key that should hang there and is not told was deleted or moved, perhaps:
//!   the answer of an old release around a change of leader is wrong (3.4.32 and 3.5.14 mend that),
//!   and it has no order (row L9). So it is a hint, and the read decides. Where etcd wants rights on
//!   all keys of a lease (3.4.42, 3.5.28) it may refuse: then the audit is left.
//! - The *audit* reads every own record in turn, watched or not, a batch at a time and all of them
//!   within `audit_every`. It alone finds what was overwritten in place.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use super::lease::{LeaseState, Renewal};
use super::leasing::is_denied;
use super::slot::{Phase, Slot, SlotId};
use super::{Flight, Holds};
use crate::engine::cx::Cx;
use crate::engine::retry::jittered;
use crate::engine::wire::Owner;
use crate::rng::Rng;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{AttemptId, Key, LeaseId, Reply, Request, TimeToLive};

/// How much earlier than it must a sweep may come, in percent: so that leases granted together do
/// not stay together.
const SWEEP_JITTER: u32 = 25;

/// How much earlier than it must a batch of the audit may come, in percent.
const AUDIT_JITTER: u32 = 33;

/// The audit's turn.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Audit {
    /// When the next batch is read; `None`: there is nothing to read.
    next: Option<Time>,
    /// The last slot that was read; the next batch begins behind it.
    last: Option<SlotId>,
    rng: Rng,
}

impl Audit {
    pub fn new(rng: &Rng) -> Self {
        Self { next: None, last: None, rng: rng.fork("audit") }
    }

    pub fn close(&mut self) {
        (self.next, self.last) = (None, None);
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.next
    }
}

impl Holds {
    /// A record stands on a lease, and is not watched: the lease is swept from now on.
    pub(super) fn sweep_later(&mut self, cx: &Cx<'_>, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if lease.sweep_at.is_none() && cx.tuning.sweeps_per_ttl > 0 {
            // The first one anywhere in the time: many leases may have been granted at once.
            let jitter = cx.tuning.jitter_percent;
            lease.sweep_at = Some(next_sweep(cx.now, cx.tuning, jitter, &mut self.audit.rng));
            self.set_lease_timer(id);
        }
    }

    /// Sweeps a lease, if that is due.
    pub(super) fn sweep(&mut self, cx: &mut Cx<'_>, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if lease.sweep_at.is_none_or(|at| at > cx.now) {
            return;
        }
        lease.sweep_at = None;
        let LeaseState::Held { expires_at, .. } = lease.state else { return };
        let own = &self.own;
        let wanted = lease.doubted || lease.slots.iter().any(|slot| !own.follows(*slot));
        if expires_at <= cx.now || self.closing.is_some() || !wanted {
            return;
        }
        let jitter = cx.tuning.jitter_percent.min(SWEEP_JITTER);
        lease.sweep_at = Some(next_sweep(cx.now, cx.tuning, jitter, &mut self.audit.rng));
        if lease.sweep.is_some() {
            // A store that takes longer than that has enough to do. Only a new doubt, of which there is
            // one for each stream, does not wait.
            return;
        }
        let ask = Request::TimeToLive(TimeToLive { lease: id, keys: true });
        let attempt = cx.send(Owner::Holds, ask);
        lease.sweep = Some(attempt);
        self.flights.insert(attempt, Flight::Sweep(id));
    }

    /// A lease has told which keys it has, or has not: the next sweep comes anyway.
    pub(super) fn sweep_answered(
        &mut self,
        cx: &mut Cx<'_>,
        attempt: AttemptId,
        id: LeaseId,
        reply: &Reply,
    ) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        let newest = lease.sweep.take_if(|newest| *newest == attempt).is_some();
        if newest && matches!(reply, Reply::Failed(error) if is_denied(error)) {
            lease.doubted = false;
        }
        let Reply::TimeToLive(left) = reply else { return };
        if left.lease != id {
            return;
        }
        if left.ttl_secs < 0 {
            // No such lease, it says. A renewal tells whether that is so.
            if let LeaseState::Held { renewal: Renewal::Due { at }, .. } = &mut lease.state {
                *at = cx.now.min(*at);
                self.set_lease_timer(id);
            }
            return;
        }
        if newest {
            lease.doubted = false;
        }
        let there: BTreeSet<&Key> = left.keys.iter().collect();
        let missing = |id: &SlotId| {
            let slot = &self.slots[id];
            // What was put after this was told proves nothing.
            let told =
                slot.standing().is_some_and(|record| record.modified <= left.header.revision);
            told && may_be_read(slot) && !there.contains(&slot.key)
        };
        let missing: Vec<_> = lease.slots.iter().copied().filter(missing).collect();
        for id in missing {
            self.read_again(id);
        }
        self.look_for_strays(cx, id, &left.keys);
    }

    /// There are more records than before: the audit comes in time for all of them.
    pub(super) fn audit_in_time(&mut self, cx: &Cx<'_>) {
        if self.closing.is_none() {
            let next = self.next_audit(cx);
            let sooner = self.audit.next.filter(|&at| at <= next);
            self.audit.next = sooner.or(Some(next));
        }
    }

    /// Reads the next batch of own records, if that is due.
    pub(super) fn audit(&mut self, cx: &Cx<'_>) {
        if self.audit.next.is_none_or(|at| at > cx.now) {
            return;
        }
        let after = self.audit.last.map_or(Unbounded, Excluded);
        let mut rest = self.slots.range((after, Unbounded)).map(|(&id, _)| id);
        let batch: Vec<_> = rest.by_ref().take(batch_keys(cx.tuning)).collect();
        // After the last one it begins anew.
        self.audit.last = rest.next().and(batch.last().copied());
        for id in batch {
            if may_be_read(&self.slots[&id]) {
                self.read_again(id);
            }
        }
        self.audit.next = if self.slots.is_empty() { None } else { Some(self.next_audit(cx)) };
    }

    fn next_audit(&mut self, cx: &Cx<'_>) -> Time {
        let batches = self.slots.len().div_ceil(batch_keys(cx.tuning)).max(1);
        let pause = cx.tuning.audit_every / u32::try_from(batches).unwrap_or(u32::MAX);
        let jitter = cx.tuning.jitter_percent.min(AUDIT_JITTER);
        cx.now + jittered(pause, jitter, &mut self.audit.rng)
    }

    fn read_again(&mut self, id: SlotId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.recheck = true;
            self.reconsider(id);
        }
    }
}

/// Whether a record is believed to stand, and nothing is under way that will tell.
fn may_be_read(slot: &Slot) -> bool {
    slot.phase == Phase::Wanted && slot.stands() && slot.flight.is_none()
}

fn batch_keys(tuning: &Tuning) -> usize {
    tuning.batch_keys.max(1) as usize
}

fn next_sweep(now: Time, tuning: &Tuning, jitter: u32, rng: &mut Rng) -> Time {
    now + jittered(tuning.lease_ttl / tuning.sweeps_per_ttl.max(1), jitter, rng)
}
