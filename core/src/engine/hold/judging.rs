//! What an answer means for a slot.

use std::time::Duration;

use super::batch::{Answer, Item};
use super::lease::LeaseState;
use super::leasing::is_denied;
use super::slot::{Phase, Seen, SlotId, Standing, Wait, Whose};
use super::{Flight, Holds, Stage, Told};
use crate::engine::cx::Cx;
use crate::engine::wire::Owner;
use crate::engine::{Conflict, Event, Gone, LossReason, RegistrationEvent};
use crate::layout::Stamp;
use crate::tuning::Tuning;
use crate::waist::{AttemptId, LeaseId, Reply, Request, StoreError, TimeToLive};

impl Holds {
    /// A slot's request was answered.
    pub(super) fn answered(
        &mut self,
        cx: &mut Cx<'_>,
        attempt: AttemptId,
        item: &Item,
        answer: Answer,
    ) {
        let mark = match &answer {
            Answer::Found(_, Some(kv)) => cx.layout.eviction_of(&kv.key, &kv.value),
            Answer::Found(_, None) | Answer::Done(_) => None,
        };
        let Some(slot) = self.slots.get_mut(&item.slot) else { return };
        slot.flight = None;
        slot.recheck = false;
        slot.alone = false;
        slot.taints.retain(|taint| taint.attempt != attempt);
        let seen = match answer {
            Answer::Done(at) => {
                slot.strikes = 0;
                slot.backoff.worked(cx.now);
                let record = item.lease().map(|lease| Standing {
                    created: item.created.unwrap_or(at),
                    modified: at,
                    lease: Some(lease),
                    value_hash: item.value_hash,
                });
                Seen { as_of: at, record }
            }
            Answer::Found(at, kv) => {
                // The first guess may well be wrong; what fails again and again must not spin.
                slot.strikes += u32::from(item.is_write());
                if slot.strikes > 1 {
                    let retry_at = cx.wire.backoff_at(cx.now, cx.tuning, &mut slot.backoff);
                    slot.retry_at = Some(retry_at);
                }
                Seen { as_of: at, record: kv.as_ref().map(Standing::of) }
            }
        };
        // The own watch may have brought something newer meanwhile. An answer from before what was
        // known when it was asked for comes from a store that lost what it had.
        let newer = slot.seen.is_none_or(|old| old.as_of <= seen.as_of);
        if newer || seen.as_of < item.known_to {
            slot.seen = Some(seen);
            slot.evicted_by = meant(mark, self.run, item.slot);
        }
        if let Some(lease) = item.lease() {
            self.untainted(item.slot, lease);
        }
        self.learnt(item.slot);
        self.judge(cx, item.slot, true);
    }

    /// What a newly known revision of a slot's key proves: which publishes cannot land any more,
    /// and which leases it has left.
    pub(super) fn learnt(&mut self, id: SlotId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let leases: Vec<_> = slot.taints.iter().map(|taint| taint.lease).collect();
        slot.lift_taints();
        for lease in leases {
            self.untainted(id, lease);
        }
        self.see_left(id);
    }

    /// A publish of a slot on a lease cannot land any more. Another one may; and whoever was given
    /// up stays until its leases are dead.
    pub(super) fn untainted(&mut self, id: SlotId, lease: LeaseId) {
        let Some(slot) = self.slots.get(&id) else { return };
        let tainted = slot.taints.iter().any(|taint| taint.lease == lease);
        if !tainted
            && slot.phase != Phase::Abandoned
            && let Some(lease) = self.leases.get_mut(&lease)
        {
            lease.tainting.remove(&id);
        }
    }

    /// Decides what follows from what is now known of a slot's key. `proven`: by a linearizable
    /// answer to a request of its own, else by the watch.
    pub(super) fn judge(&mut self, cx: &mut Cx<'_>, id: SlotId, proven: bool) {
        let Some(slot) = self.slots.get(&id) else { return };
        let Some(registration) = self.registrations.get(&id.0) else { return };
        match slot.phase {
            Phase::Wanted | Phase::Waiting | Phase::Disputed { .. } => match registration.stage {
                Stage::Draining => self.judge_draining(cx, id),
                Stage::Blocked | Stage::Wanted | Stage::Removing => self.judge_wanted(cx, id),
            },
            Phase::Removing | Phase::Condemning | Phase::Abandoned => {}
        }
        if proven {
            self.judge_removal(cx, id);
        }
        self.reconsider(id);
        self.tell(cx, id.0);
    }

    fn judge_wanted(&mut self, cx: &mut Cx<'_>, id: SlotId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let Some(record) = slot.standing().copied() else {
            let told = slot.told_hash.is_some();
            slot.phase = Phase::Wanted;
            if told && slot.seen.is_some() {
                self.disturbed(cx, id);
            }
            return;
        };
        if let Some(Whose::Foreign(by)) = slot.whose(&self.ours) {
            self.judge_foreign(cx, id, &record, by);
            return;
        }
        slot.phase = Phase::Wanted;
        if record.lease.is_some() {
            slot.ours_created = Some(record.created);
            slot.ours_on = record.lease;
            // Not to be healed: whoever put it there may ask that, and it says draining already.
            if let Some(by) = slot.evicted_by.take() {
                self.end_because(cx, id.0, Gone::Evicted { by: by.into() });
                return;
            }
        }
        if slot.stands() {
            slot.told_hash = Some(record.value_hash);
            slot.backoff.worked(cx.now);
            let seen_at = slot.seen.map_or(record.modified, |seen| seen.as_of);
            let (key, lease) = (slot.key.clone(), record.lease);
            if self.closing.is_none()
                && !self.own.follow(cx, id, &key, seen_at)
                && let Some(lease) = lease
            {
                self.sweep_later(cx, lease);
            }
        } else if record.lease.is_none() || !slot.wrote(record.value_hash) {
            self.disturbed(cx, id);
        } else if !record.lease.is_some_and(|lease| self.keeps(lease)) {
            // It is moved soon; but a restored store may have put it back where nobody renews it.
            self.tell_lost(cx, id.0, LossReason::Disturbed);
        }
    }

    /// Whether a lease is one on which records are renewed.
    fn keeps(&self, lease: LeaseId) -> bool {
        let lease = self.leases.get(&lease);
        lease.is_some_and(|lease| matches!(lease.state, LeaseState::Held { .. }))
    }

    /// Somebody else's record stands at the key.
    fn judge_foreign(&mut self, cx: &mut Cx<'_>, id: SlotId, record: &Standing, by: LeaseId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let Some(registration) = self.registrations.get_mut(&id.0) else { return };
        let Some(ours_created) = slot.ours_created else {
            match registration.conflict {
                Conflict::Replace => slot.phase = Phase::Wanted,
                Conflict::Reject => {
                    self.end_because(cx, id.0, Gone::Rejected { by: Some(by) });
                }
                Conflict::Wait => {
                    slot.phase = Phase::Waiting;
                    slot.retry_at = Some(cx.wire.backoff_at(cx.now, cx.tuning, &mut slot.backoff));
                    if registration.told != Told::Waiting || registration.denied {
                        registration.told = Told::Waiting;
                        registration.denied = false;
                        let event = RegistrationEvent::Waiting { owner: Some(by) };
                        cx.event(Event::Registration { id: id.0, event });
                    }
                }
            }
            return;
        };
        if record.created == ours_created {
            self.end_because(cx, id.0, Gone::Superseded { by: Some(by) });
            return;
        }
        match slot.phase {
            Phase::Disputed { by: known, wait: Wait::Until(until) }
                if known == by && until <= cx.now =>
            {
                self.end_because(cx, id.0, Gone::Superseded { by: Some(by) });
                return;
            }
            Phase::Disputed { by: known, wait: Wait::Asked | Wait::Until(_) } if known == by => {}
            Phase::Wanted
            | Phase::Waiting
            | Phase::Disputed { .. }
            | Phase::Removing
            | Phase::Condemning
            | Phase::Abandoned => {
                slot.phase = Phase::Disputed { by, wait: Wait::Asked };
                let ask = TimeToLive { lease: by, keys: false };
                let attempt = cx.send(Owner::Holds, Request::TimeToLive(ask));
                self.flights.insert(attempt, Flight::Dispute(id, by));
            }
        }
        slot.retry_at = Some(cx.wire.backoff_at(cx.now, cx.tuning, &mut slot.backoff));
        self.unplace_disputed(cx, id);
    }

    /// How long the lease of a disputed record lives: after that the record is a takeover. It
    /// counts from the answer, since the lease may have been renewed just before.
    pub(super) fn dispute_answered(&mut self, cx: &Cx<'_>, id: SlotId, by: LeaseId, reply: &Reply) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if slot.phase != (Phase::Disputed { by, wait: Wait::Asked }) {
            return;
        }
        let ours = cx.tuning.lease_ttl;
        let ttl = if let Reply::TimeToLive(left) = reply
            && left.lease == by
        {
            // "No such lease" may be wrong around a change of leader (row L9).
            let granted = u64::try_from(left.granted_secs).ok().filter(|&secs| secs > 0);
            Some(granted.map_or(ours, Duration::from_secs))
        } else {
            // It may be told to those only who have rights on the lease's keys.
            matches!(reply, Reply::Failed(error) if is_denied(error)).then_some(ours)
        };
        let wait =
            ttl.map_or(Wait::Unanswered, |ttl| Wait::Until(cx.now + outlived(ttl, cx.tuning)));
        slot.phase = Phase::Disputed { by, wait };
    }

    /// `Draining` was answered, or there is nothing of ours any more that could drain.
    fn judge_draining(&mut self, cx: &mut Cx<'_>, id: SlotId) {
        let Some(slot) = self.slots.get(&id) else { return };
        if slot.stands() || slot.whose(&self.ours) != Some(Whose::Ours) {
            self.remove(cx, id);
        }
    }

    fn judge_removal(&mut self, cx: &mut Cx<'_>, id: SlotId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if slot.phase != Phase::Removing || slot.flight.is_some() {
            return;
        }
        if slot.whose(&self.ours) == Some(Whose::Ours) {
            return;
        }
        slot.phase = Phase::Condemning;
        let leases: Vec<_> = slot.taints.iter().map(|taint| taint.lease).collect();
        let live: Vec<_> =
            leases.into_iter().filter(|lease| self.leases.contains_key(lease)).collect();
        if live.is_empty() {
            self.free(cx, id);
            return;
        }
        for lease in live {
            self.condemn(cx, lease);
        }
    }

    /// The leases that a slot was to leave, and whose record is now known to be elsewhere.
    fn see_left(&mut self, id: SlotId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let on = slot.standing().and_then(|record| record.lease);
        let (stay, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut slot.leaving).into_iter().partition(|&lease| Some(lease) == on);
        slot.leaving = stay;
        for lease in gone {
            self.left(lease, id);
        }
    }

    fn unplace_disputed(&mut self, cx: &mut Cx<'_>, id: SlotId) {
        self.unplace(id);
        self.tell_lost(cx, id.0, LossReason::Disturbed);
    }

    /// Something else than what we wrote stands there: it is healed, after a pause, since whoever
    /// did it may do it again.
    fn disturbed(&mut self, cx: &mut Cx<'_>, id: SlotId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if slot.told_hash.take().is_some() {
            slot.retry_at = Some(cx.wire.backoff_at(cx.now, cx.tuning, &mut slot.backoff));
        }
        self.tell_lost(cx, id.0, LossReason::Disturbed);
    }

    pub(super) fn tell_denied(
        &mut self,
        cx: &mut Cx<'_>,
        id: crate::engine::RegistrationId,
        error: &StoreError,
    ) {
        if let Some(owner) = self.registrations.get_mut(&id)
            && owner.told != Told::Gone
        {
            owner.denied = true;
            let event = RegistrationEvent::Denied { error: error.clone() };
            cx.event(Event::Registration { id, event });
        }
    }
}

/// When a lease of this time to live, which nobody renews, has ended by the slowest clock. A second
/// more: the store tells whole seconds, and looks for ended leases now and then (row L6).
fn outlived(ttl: Duration, tuning: &Tuning) -> Duration {
    let error = ttl.saturating_mul(tuning.clock_error_permille.min(1_000)) / 1_000;
    ttl.saturating_add(error).saturating_add(Duration::from_secs(1))
}

/// By whose wish this very registration is to end. A mark that was meant for an earlier one, and
/// came back with an old copy of the store, is healed like any other change.
pub(super) fn meant(mark: Option<(Stamp, Box<str>)>, run: u64, slot: SlotId) -> Option<Box<str>> {
    let (stamp, by) = mark?;
    (stamp.run == run && stamp.registration == slot.0.0).then_some(by)
}
