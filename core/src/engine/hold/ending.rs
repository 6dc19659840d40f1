//! How registrations end: drained, removed, given up, or with the process.

use std::collections::BTreeSet;
use std::time::Duration;

use super::slot::{Phase, SlotId, Whose};
use super::{Holds, Removal, Shutdown, Stage, Told, gone};
use crate::engine::cx::Cx;
use crate::engine::{Gone, LossReason, RegistrationId};
use crate::instance::State;

/// What part of a removal's time may go into telling `Draining`: a quarter.
const DRAINING_PART: u32 = 4;

impl Holds {
    /// Drains and removes a registration.
    pub fn deregister(&mut self, cx: &mut Cx<'_>, id: RegistrationId, within: Duration) {
        let Some(registration) = self.registrations.get_mut(&id) else { return };
        if let Some(removal) = registration.removal {
            if removal.ends_at > cx.now + within {
                self.removed_within(cx, id, within);
            }
            return;
        }
        registration.removal = Some(Removal { next: cx.now, ends_at: cx.now });
        self.removed_within(cx, id, within);
        match self.registrations[&id].stage {
            Stage::Blocked => self.end(cx, id),
            Stage::Wanted => self.drain(cx, id),
            Stage::Draining | Stage::Removing => {}
        }
    }

    /// Sets how long a removal may take: a quarter of that for `Draining`, since telling it must
    /// not take the time that the removal itself needs.
    fn removed_within(&mut self, cx: &Cx<'_>, id: RegistrationId, within: Duration) {
        let Some(registration) = self.registrations.get_mut(&id) else { return };
        let Some(removal) = &mut registration.removal else { return };
        self.deadlines.remove(&(removal.next, id));
        *removal = Removal { next: cx.now + within / DRAINING_PART, ends_at: cx.now + within };
        self.deadlines.insert((removal.next, id));
    }

    /// Removes all registrations and revokes all leases, within a time. The last of it, one
    /// attempt's or half of it, is for the revokes of what was given up.
    pub fn shutdown(&mut self, cx: &mut Cx<'_>, within: Duration) {
        self.own.close(cx);
        self.audit.close();
        self.closing = Some(Shutdown { deadline: cx.now + within, confirmed: true });
        let within = within.saturating_sub(cx.tuning.attempt_timeout).max(within / 2);
        let ids: Vec<_> = self.registrations.keys().copied().collect();
        for id in ids {
            self.deregister(cx, id, within);
        }
    }

    /// Once shut down: whether every removal was confirmed.
    pub fn closed(&self) -> Option<bool> {
        let closing = self.closing?;
        let over = self.sending.now >= closing.deadline;
        let gone = self.registrations.is_empty();
        let idle = gone && self.leases.is_empty();
        // Where there is no time at all, how they end is told with the next timer.
        let told = self.registrations.values().all(|registration| registration.told == Told::Gone);
        // What was given up before may still land as long as its lease is not known to be dead.
        (over && told || idle).then_some(closing.confirmed && gone)
    }

    /// Begins a wished removal: `Draining` first, where the layout has it, the record stands, and
    /// the application has not said so itself.
    pub(super) fn drain(&mut self, cx: &mut Cx<'_>, id: RegistrationId) {
        let Some(registration) = self.registrations.get_mut(&id) else { return };
        registration.stage = Stage::Draining;
        let sequence = registration.sequence + 1;
        let draining = registration.instance.clone().with_state(State::Draining);
        let says_so = registration.instance.state() == State::Draining;
        let written = if cx.layout.says_state() && !says_so {
            self.encode(cx, id, &draining, sequence).unwrap_or_default()
        } else {
            Vec::new()
        };
        let has_draining = !written.is_empty();
        self.rewrite(id, written, sequence);
        for slot in self.slots_of(id) {
            let stands = self.slots[&slot].whose(&self.ours) == Some(Whose::Ours);
            let placed = self.slots[&slot].lease.is_some();
            if !(has_draining && stands && placed) {
                self.remove(cx, slot);
            }
        }
    }

    /// Has every key of a registration removed, without `Draining`: it ends for a reason.
    pub(super) fn end_because(&mut self, cx: &mut Cx<'_>, id: RegistrationId, ending: Gone) {
        let Some(registration) = self.registrations.get_mut(&id) else { return };
        if registration.told == Told::Gone {
            return;
        }
        let reason = if let Gone::Evicted { .. } = ending {
            LossReason::Evicted
        } else {
            LossReason::Disturbed
        };
        registration.ending.get_or_insert(ending);
        registration.stage = Stage::Removing;
        // It does not stand as wanted any more, and the removal may take a while.
        self.tell_lost(cx, id, reason);
        for slot in self.slots_of(id) {
            self.remove(cx, slot);
        }
    }

    /// Begins to remove one key.
    pub(super) fn remove(&mut self, cx: &mut Cx<'_>, id: SlotId) {
        self.own.forget(cx, id);
        self.unplace(id);
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.phase = Phase::Removing;
        slot.retry_at = None;
        slot.recheck = false;
        if slot.untouched() {
            self.free(cx, id);
        } else {
            self.reconsider(id);
        }
    }

    /// Nothing of a slot is in the store, and nothing can come.
    pub(super) fn free(&mut self, cx: &mut Cx<'_>, id: SlotId) {
        self.own.forget(cx, id);
        self.unplace(id);
        let Some(mut slot) = self.slots.remove(&id) else { return };
        if self.slots.is_empty() {
            self.audit.close();
        }
        self.sending.unqueue(id, &mut slot);
        if let Some(at) = slot.timer {
            self.slot_timers.remove(&(at, id));
        }
        for lease in slot.leaving {
            self.left(lease, id);
        }
        self.unplaced.remove(&id);
        self.keys.remove(&slot.key);
        if self.slots_of(id.0).is_empty() {
            self.end(cx, id.0);
        }
        self.unblock(cx);
    }

    /// A registration has no slot any more.
    pub(super) fn end(&mut self, cx: &mut Cx<'_>, id: RegistrationId) {
        let Some(registration) = self.registrations.remove(&id) else { return };
        self.blocked.remove(&id);
        if let Some(removal) = registration.removal {
            self.deadlines.remove(&(removal.next, id));
        }
        if registration.told != Told::Gone {
            gone(cx, id, registration.ending.unwrap_or(Gone::Deregistered));
        }
    }

    /// The time for a part of a removal is over.
    pub(super) fn removal_due(&mut self, cx: &mut Cx<'_>, id: RegistrationId) {
        let Some(registration) = self.registrations.get_mut(&id) else { return };
        let Some(removal) = &mut registration.removal else { return };
        if removal.ends_at <= cx.now {
            self.give_up(cx, id);
            return;
        }
        removal.next = removal.ends_at;
        self.deadlines.insert((removal.next, id));
        for slot in self.slots_of(id) {
            if self.slots[&slot].phase == Phase::Wanted {
                self.remove(cx, slot);
            }
        }
    }

    /// A removal's time is over: the rest is left to the leases, which take no part in anything
    /// else any more.
    fn give_up(&mut self, cx: &mut Cx<'_>, id: RegistrationId) {
        let Some(registration) = self.registrations.get_mut(&id) else { return };
        registration.told = Told::Gone;
        registration.stage = Stage::Removing;
        let ending = registration.ending.take();
        let slots = self.slots_of(id);
        let settled = slots.iter().all(|slot| self.slots[slot].is_settled(&self.ours));
        // Why it ends is known, and that nothing of it can come: only the last read is missing.
        let ending = ending.filter(|_| settled).unwrap_or(Gone::Unconfirmed);
        if let (Gone::Unconfirmed, Some(closing)) = (&ending, &mut self.closing) {
            closing.confirmed = false;
        }
        gone(cx, id, ending);
        for slot_id in slots {
            self.own.forget(cx, slot_id);
            self.unplace(slot_id);
            let Some(slot) = self.slots.get_mut(&slot_id) else { continue };
            slot.phase = Phase::Abandoned;
            let mut leases: BTreeSet<_> = slot.taints.iter().map(|taint| taint.lease).collect();
            leases.extend(slot.standing().and_then(|record| record.lease));
            leases.retain(|lease| self.leases.contains_key(lease));
            self.reconsider(slot_id);
            if leases.is_empty() {
                self.free(cx, slot_id);
            }
            for lease in leases {
                self.taint(lease, slot_id);
                self.condemn(cx, lease);
            }
        }
    }
}
