//! Grants, renewals, losses and revokes; and which slot hangs on which lease.

use std::collections::BTreeSet;
use std::time::Duration;

use super::lease::{Lease, LeaseState, Renewal, Revoking};
use super::slot::{Phase, Slot, SlotId};
use super::{Flight, Holds, Stage};
use crate::engine::LossReason;
use crate::engine::cx::Cx;
use crate::engine::wire::Owner;
use crate::time::Time;
use crate::waist::{Grant, KeepAlive, LeaseId, Reply, Request, Revoke, StoreError};

/// Grants under way at once, while they succeed.
const GRANTS_AT_ONCE: u32 = 4;

/// Dead leases that are remembered, at least.
const DEAD_KEPT: usize = 1_000;

impl Holds {
    /// Gives slots without a lease a place, and asks for leases where there is none.
    pub(super) fn place(&mut self, cx: &mut Cx<'_>) {
        if self.unplaced.is_empty() {
            return;
        }
        let open: Vec<_> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.has_room(cx.tuning))
            .map(|(&id, _)| id)
            .collect();
        for id in open {
            while let Some(&slot_id) = self.unplaced.first() {
                let lease = self.leases.get_mut(&id).expect("an open lease is there");
                if !lease.has_room(cx.tuning) {
                    break;
                }
                lease.slots.insert(slot_id);
                let slot = self.slots.get_mut(&slot_id).expect("an unplaced slot is there");
                slot.lease = Some(id);
                self.reconsider(slot_id);
            }
        }
        let per_lease = u32::try_from(self.unplaced.len())
            .unwrap_or(u32::MAX)
            .div_ceil(cx.tuning.max_keys_per_lease.max(1));
        let at_once = if self.granting.failing { 1 } else { GRANTS_AT_ONCE };
        while self.granting.retry_at.is_none() && self.granting.in_flight < per_lease.min(at_once) {
            self.grant(cx);
        }
    }

    fn grant(&mut self, cx: &mut Cx<'_>) {
        // 63 bits; etcd takes any id but 0, its own are positive too.
        let id = loop {
            let bits = i64::try_from(self.rng.bits() >> 1).expect("63 bits");
            if let Some(id) = LeaseId::new(bits).filter(|id| !self.leases.contains_key(id)) {
                break id;
            }
        };
        let ttl_secs = i64::try_from(cx.tuning.lease_ttl.as_secs()).unwrap_or(i64::MAX).max(1);
        let grant = Request::Grant(Grant { lease: Some(id), ttl_secs });
        let attempt = cx.send(Owner::Holds, grant);
        self.granting.in_flight += 1;
        self.leases.insert(id, Lease::granting(cx.now));
        self.flights.insert(attempt, Flight::Grant(id));
    }

    pub(super) fn grant_answered(&mut self, cx: &mut Cx<'_>, id: LeaseId, reply: Reply) {
        self.granting.in_flight = self.granting.in_flight.saturating_sub(1);
        let Some(lease) = self.leases.get_mut(&id) else { return };
        let LeaseState::Granting { asked_at } = lease.state else { return };
        if let Reply::Grant(granted) = &reply
            && granted.lease == id
            && let Ok(ttl @ 1..) = u64::try_from(granted.ttl_secs)
        {
            self.granting.failing = false;
            self.granting.backoff.worked(cx.now);
            lease.alive(asked_at, Duration::from_secs(ttl), cx.tuning);
            self.ours.insert(id);
            self.touched.insert(id);
            self.set_lease_timer(id);
            return;
        }
        // Whatever went wrong, the id is never used again: if the grant was made all the same,
        // that lease is never renewed and ends by itself.
        self.leases.remove(&id);
        self.granting.failing = true;
        let denied = matches!(&reply, Reply::Failed(error) if is_denied(error));
        let backoff = &mut self.granting.backoff;
        self.granting.retry_at = Some(if denied {
            cx.wire.backoff_slowly_at(cx.now, cx.tuning, backoff)
        } else {
            cx.wire.backoff_at(cx.now, cx.tuning, backoff)
        });
        if let Reply::Failed(error) = reply
            && denied
        {
            let waiting: BTreeSet<_> = self.unplaced.iter().map(|slot| slot.0).collect();
            for registration in waiting {
                self.tell_denied(cx, registration, &error);
            }
        }
    }

    pub(super) fn renewal_answered(
        &mut self,
        cx: &mut Cx<'_>,
        id: LeaseId,
        asked_at: Time,
        reply: Reply,
    ) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if let Reply::KeepAlive(kept) = &reply
            && kept.lease == id
        {
            if kept.ttl_secs <= 0 {
                // etcd has no such lease: its keys are gone with it (rows L5, L7).
                self.grant_was_in_vain(cx, id);
                self.lease_died(cx, id);
                return;
            }
            let ttl = Duration::from_secs(kept.ttl_secs.unsigned_abs());
            lease.alive(asked_at, ttl, cx.tuning);
            lease.backoff.worked(cx.now);
        } else if let LeaseState::Held { renewal, expires_at, .. } = &mut lease.state {
            let at = cx.wire.backoff_at(cx.now, cx.tuning, &mut lease.backoff);
            // However long the pause, there is one try more while an answer can still help.
            let last = *expires_at - cx.tuning.lease_ttl / (2 * cx.tuning.renewals_per_ttl.max(2));
            *renewal = Renewal::Due { at: if cx.now < last { at.min(last) } else { at } };
        }
        self.set_lease_timer(id);
    }

    pub(super) fn revoke_answered(&mut self, cx: &mut Cx<'_>, id: LeaseId, reply: Reply) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if matches!(reply, Reply::Revoke(_) | Reply::Failed(StoreError::LeaseNotFound)) {
            self.lease_died(cx, id);
            return;
        }
        let denied = matches!(&reply, Reply::Failed(error) if is_denied(error));
        let at = if denied {
            cx.wire.backoff_slowly_at(cx.now, cx.tuning, &mut lease.backoff)
        } else {
            cx.wire.backoff_at(cx.now, cx.tuning, &mut lease.backoff)
        };
        lease.state = LeaseState::Revoking(Revoking::Due { at });
        self.set_lease_timer(id);
    }

    /// A lease's timer is due: it is over, to be renewed, or to be revoked.
    pub(super) fn lease_due(&mut self, cx: &mut Cx<'_>, id: LeaseId) {
        self.sweep(cx, id);
        let Some(lease) = self.leases.get_mut(&id) else { return };
        lease.timer = None;
        match lease.state {
            LeaseState::Held { expires_at, .. } if expires_at <= cx.now => {
                self.lease_over(cx, id);
            }
            LeaseState::Held { expires_at, renewal: Renewal::Due { at }, condemned }
                if at <= cx.now =>
            {
                let limit = expires_at.since(cx.now);
                let request = Request::KeepAlive(KeepAlive { lease: id });
                let attempt = cx.send_within(Owner::Holds, request, limit);
                let renewal = Renewal::Asked { attempt, asked_at: cx.now };
                lease.state = LeaseState::Held { expires_at, renewal, condemned };
                let flight = Flight::KeepAlive { lease: id, asked_at: cx.now };
                self.flights.insert(attempt, flight);
            }
            LeaseState::Revoking(Revoking::Due { .. }) => self.revoke(cx, id),
            LeaseState::Held { .. }
            | LeaseState::Granting { .. }
            | LeaseState::Lost
            | LeaseState::Revoking(Revoking::Asked { .. }) => {}
        }
        self.set_lease_timer(id);
    }

    /// Our time on a lease is over; the store may still have it.
    fn lease_over(&mut self, cx: &mut Cx<'_>, id: LeaseId) {
        self.drop_renewal(cx, id);
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.state = LeaseState::Lost;
        }
        self.clear_out(id);
        // Those that were leaving already: as long as they are not seen elsewhere, they hang on it.
        let Some(lease) = self.leases.get(&id) else { return };
        for slot in lease.leaving.clone() {
            self.homeless(cx, slot);
        }
        self.touched.insert(id);
    }

    /// A lease was gone when it was to be used or renewed. Once is a loss, healed at once; but a store that
    /// grants leases and keeps none would be asked for more without a pause.
    pub(super) fn grant_was_in_vain(&mut self, cx: &mut Cx<'_>, id: LeaseId) {
        let Some(lease) = self.leases.get(&id) else { return };
        if matches!(lease.state, LeaseState::Revoking(_)) {
            return;
        }
        let granting = &mut self.granting;
        let soon = cx.now.since(lease.since) < cx.tuning.healthy_after;
        granting.in_vain = if soon { granting.in_vain.saturating_add(1) } else { 0 };
        if granting.in_vain > 1 && granting.retry_at.is_none() {
            let retry_at = cx.wire.backoff_at(cx.now, cx.tuning, &mut granting.backoff);
            granting.retry_at = Some(retry_at);
        }
    }

    /// A lease is known to be dead: nothing hangs on it, and nothing can land on it.
    pub(super) fn lease_died(&mut self, cx: &mut Cx<'_>, id: LeaseId) {
        self.drop_renewal(cx, id);
        cx.wire.refuse_puts_on(id);
        self.clear_out(id);
        let Some(lease) = self.leases.remove(&id) else { return };
        if let Some(at) = lease.timer {
            self.lease_timers.remove(&(at, id));
        }
        self.touched.remove(&id);
        for slot_id in lease.leaving {
            if let Some(slot) = self.slots.get_mut(&slot_id) {
                slot.leaving.retain(|&left| left != id);
                // Its keys went with it: the best guess for the next guard.
                if let Some(seen) = &mut slot.seen
                    && seen.record.is_some_and(|record| record.lease == Some(id))
                {
                    seen.record = None;
                    slot.told_hash = None;
                }
            }
            self.homeless(cx, slot_id);
        }
        for slot_id in lease.tainting {
            self.untaint(cx, slot_id, id);
        }
        self.bury(id);
    }

    /// A dead lease is forgotten after many others, unless a slot still names it. Not at once: a
    /// watch may be late with what happened on it, and a restored store may bring it back.
    fn bury(&mut self, id: LeaseId) {
        if !self.ours.contains(&id) {
            return;
        }
        self.dead.push_back(id);
        if self.dead.len() < 2 * DEAD_KEPT {
            return;
        }
        let on = |slot: &Slot| slot.standing().and_then(|record| record.lease);
        let named: BTreeSet<_> = self.slots.values().filter_map(on).collect();
        for _ in 0..DEAD_KEPT {
            match self.dead.pop_front() {
                Some(id) if named.contains(&id) => self.dead.push_back(id),
                Some(id) => _ = self.ours.remove(&id),
                None => return,
            }
        }
    }

    /// A slot's lease was lost.
    fn homeless(&mut self, cx: &mut Cx<'_>, id: SlotId) {
        if self.slots.get(&id).is_some_and(Slot::stands) {
            // It was leaving, and stands elsewhere already.
            return;
        }
        self.tell_lost(cx, id.0, LossReason::LeaseLost);
        let draining =
            self.registrations.get(&id.0).is_some_and(|owner| owner.stage == Stage::Draining);
        if draining {
            self.remove(cx, id);
        } else {
            self.reconsider(id);
        }
    }

    /// A lease shall take no slots and be revoked as soon as its slots are elsewhere.
    pub(super) fn condemn(&mut self, cx: &mut Cx<'_>, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if let LeaseState::Held { condemned, .. } = &mut lease.state {
            *condemned = true;
        }
        for slot in self.clear_out(id) {
            if self.slots.get(&slot).is_some_and(|slot| !slot.may_hang_on(id)) {
                self.leave(slot, id);
            }
            // The record stands until it has moved: nothing was lost.
            let draining =
                self.registrations.get(&slot.0).is_some_and(|owner| owner.stage == Stage::Draining);
            if draining {
                self.remove(cx, slot);
            } else {
                self.reconsider(slot);
            }
        }
        self.touched.insert(id);
    }

    /// Takes all slots off a lease; it waits until they are seen elsewhere.
    fn clear_out(&mut self, id: LeaseId) -> Vec<SlotId> {
        let Some(lease) = self.leases.get_mut(&id) else { return Vec::new() };
        let slots: Vec<_> = std::mem::take(&mut lease.slots).into_iter().collect();
        for slot_id in &slots {
            lease.leaving.insert(*slot_id);
            let slot = self.slots.get_mut(slot_id).expect("a lease's slot is there");
            slot.lease = None;
            if !slot.leaving.contains(&id) {
                slot.leaving.push(id);
            }
        }
        slots
    }

    /// A slot takes up no place any more.
    pub(super) fn unplace(&mut self, id: SlotId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if let Some(lease_id) = slot.lease.take()
            && let Some(lease) = self.leases.get_mut(&lease_id)
        {
            lease.slots.remove(&id);
            lease.vacated = true;
            self.touched.insert(lease_id);
        }
        for lease in std::mem::take(&mut slot.leaving) {
            self.left(lease, id);
        }
    }

    /// A slot that was to be seen elsewhere first need not: nothing of it is on that lease.
    fn leave(&mut self, id: SlotId, lease: LeaseId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.leaving.retain(|&left| left != lease);
        }
        self.left(lease, id);
    }

    /// A slot's record is known not to hang on a lease any more, or does not matter.
    pub(super) fn left(&mut self, lease_id: LeaseId, slot: SlotId) {
        if let Some(lease) = self.leases.get_mut(&lease_id) {
            lease.leaving.remove(&slot);
            self.touched.insert(lease_id);
        }
    }

    /// Notes that something of a slot may still land, or stand, on a lease.
    pub(super) fn taint(&mut self, lease_id: LeaseId, slot: SlotId) {
        if let Some(lease) = self.leases.get_mut(&lease_id) {
            lease.tainting.insert(slot);
        }
    }

    /// Nothing of a slot can land on a dead lease.
    fn untaint(&mut self, cx: &mut Cx<'_>, id: SlotId, dead: LeaseId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.taints.retain(|taint| taint.lease != dead);
        let others = self.leases.values().any(|lease| lease.tainting.contains(&id));
        let over = match slot.phase {
            Phase::Condemning => slot.taints.is_empty(),
            Phase::Abandoned => !others,
            Phase::Wanted | Phase::Waiting | Phase::Disputed { .. } | Phase::Removing => false,
        };
        if over {
            self.free(cx, id);
        }
    }

    /// Revokes leases that carry nothing any more.
    pub(super) fn retire(&mut self, cx: &mut Cx<'_>) {
        while let Some(id) = self.touched.pop_first() {
            let Some(lease) = self.leases.get(&id) else { continue };
            let carries_nothing = lease.is_empty();
            match lease.state {
                LeaseState::Held { .. } | LeaseState::Lost if carries_nothing => {
                    self.drop_renewal(cx, id);
                    self.revoke(cx, id);
                }
                LeaseState::Held { .. }
                | LeaseState::Lost
                | LeaseState::Granting { .. }
                | LeaseState::Revoking(_) => {}
            }
            self.set_lease_timer(id);
        }
    }

    fn revoke(&mut self, cx: &mut Cx<'_>, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        let attempt = cx.send(Owner::Holds, Request::Revoke(Revoke { lease: id }));
        lease.state = LeaseState::Revoking(Revoking::Asked { attempt });
        self.flights.insert(attempt, Flight::Revoke(id));
    }

    fn drop_renewal(&mut self, cx: &mut Cx<'_>, id: LeaseId) {
        if let Some(lease) = self.leases.get(&id)
            && let LeaseState::Held { renewal: Renewal::Asked { attempt, .. }, .. } = lease.state
        {
            self.flights.remove(&attempt);
            cx.cancel(attempt);
        }
    }

    pub(super) fn set_lease_timer(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        let next = lease.next_timeout();
        if next == lease.timer {
            return;
        }
        if let Some(at) = lease.timer {
            self.lease_timers.remove(&(at, id));
        }
        lease.timer = next;
        if let Some(at) = next {
            self.lease_timers.insert((at, id));
        }
    }
}

/// Refusals that somebody must mend. A lease id that is in use is none: another one is drawn.
pub(super) fn is_denied(error: &StoreError) -> bool {
    *error == StoreError::NoSpace || error.is_permanent() && *error != StoreError::LeaseExists
}
