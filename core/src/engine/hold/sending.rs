//! Which slots go out together, and what failed batches mean.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};

use super::batch::{self, Item};
use super::leasing::is_denied;
use super::slot::{Action, Lane, Phase, Slot, SlotId, Taint};
use super::{Flight, Holds, Stage};
use crate::engine::Gone;
use crate::engine::cx::Cx;
use crate::engine::retry::Backoff;
use crate::engine::wire::Owner;
use crate::time::Time;
use crate::waist::{AttemptId, Reply, StoreError};

/// Batches under way at once, while they are answered.
const BATCHES_AT_ONCE: usize = 8;

/// The slots that are ready to be sent, by what is to be sent for them.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(super) struct Sending {
    /// The time of the present input.
    pub now: Time,
    queues: BTreeMap<Lane, Queue>,
    /// The queue served last, so that none starves.
    served: Option<Lane>,
    /// When the next batch of retries may go; `None`: the budget was not asked yet.
    retries_from: Option<Time>,
    in_flight: usize,
    backoff: Backoff,
    /// After a failure: nothing is sent before.
    pause: Option<Time>,
    /// After a failure one batch at a time feels its way, until one is answered.
    failing: bool,
}

#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
struct Queue {
    slots: BTreeSet<SlotId>,
    /// The slot that was retried last, so that none starves. Each queue has its own: they take turns,
    /// and another's would begin this one's round anew.
    retried: Option<SlotId>,
}

impl Sending {
    pub fn queue(&mut self, id: SlotId, slot: &mut Slot, action: Action) {
        let lane = Lane { again: slot.again, action };
        slot.queued = Some(lane);
        self.queues.entry(lane).or_default().slots.insert(id);
    }

    pub fn unqueue(&mut self, id: SlotId, slot: &mut Slot) {
        if let Some(lane) = slot.queued.take()
            && let Some(queue) = self.queues.get_mut(&lane)
        {
            queue.slots.remove(&id);
            if queue.slots.is_empty() {
                self.queues.remove(&lane);
            }
        }
    }

    /// A pause ends at `at`, or before.
    pub fn retry_by(&mut self, at: Time) {
        self.pause = self.pause.map(|until| at.min(until));
    }

    pub fn next_timeout(&self) -> Option<Time> {
        if self.queues.is_empty() || !self.has_room() {
            return None;
        }
        // Without a pause, what is left are retries.
        self.pause.or(self.retries_from)
    }

    /// Whether the last batch failed.
    pub fn is_failing(&self) -> bool {
        self.failing
    }

    fn has_room(&self) -> bool {
        self.in_flight < if self.failing { 1 } else { BATCHES_AT_ONCE }
    }

    fn has_retries(&self) -> bool {
        // Ordered by `again` first.
        self.queues.last_key_value().is_some_and(|(lane, _)| lane.again)
    }

    /// The queue whose turn it is.
    fn turn(&mut self) -> Option<Lane> {
        let may_retry = self.retries_from.is_some_and(|at| at <= self.now);
        let after = self.served.map_or(Unbounded, Excluded);
        let later = self.queues.range((after, Unbounded));
        let mut next = later.chain(&self.queues).map(|(&lane, _)| lane);
        let turn = next.find(|lane| may_retry || !lane.again);
        // Whose turn it was is kept while none may go: the first would come first each time.
        self.served = turn.or(self.served);
        turn
    }
}

impl Holds {
    /// Sends what is ready, as far as there is room.
    pub(super) fn flush(&mut self, cx: &mut Cx<'_>) {
        self.sending.pause = self.sending.pause.filter(|&at| at > cx.now);
        while self.sending.pause.is_none() && self.sending.has_room() {
            if self.sending.retries_from.is_none() && self.sending.has_retries() {
                self.sending.retries_from = Some(cx.wire.budget_at(cx.now, cx.tuning));
            }
            let Some(lane) = self.sending.turn() else { return };
            self.send_batch(cx, lane);
        }
    }

    fn send_batch(&mut self, cx: &mut Cx<'_>, lane: Lane) {
        let ids = self.choose(cx, lane);
        if lane.again {
            self.sending.retries_from = None;
            if let Some(queue) = self.sending.queues.get_mut(&lane) {
                queue.retried = ids.last().copied();
            }
        }
        let action = lane.action;
        let items: Vec<_> = ids.iter().map(|&id| Item::new(id, &self.slots[&id], action)).collect();
        let request = batch::request(ids.iter().map(|id| (&self.slots[id], action)));
        let attempt = cx.send(Owner::Holds, request);
        for item in &items {
            let slot = self.slots.get_mut(&item.slot).expect("chosen from the slots");
            self.sending.unqueue(item.slot, slot);
            slot.flight = Some(attempt);
            slot.again = false;
            if let Action::Publish(lease) = action {
                slot.taints.push(Taint { attempt, lease, guard: item.guard });
                self.taint(lease, item.slot);
            }
        }
        self.sending.in_flight += 1;
        self.flights.insert(attempt, Flight::Batch(items));
    }

    /// The slots of one batch: within the store's limits, and none that must go alone.
    fn choose(&self, cx: &Cx<'_>, lane: Lane) -> Vec<SlotId> {
        let mut bytes = 0;
        let mut chosen = Vec::new();
        let Some(queue) = self.sending.queues.get(&lane) else { return chosen };
        // Retries go round: those with the lowest numbers would be the only ones else.
        let last = queue.retried;
        let after = last.map_or(Unbounded, Excluded);
        let until = last.map_or(Excluded(SlotId::FIRST), Included);
        let slots = &queue.slots;
        let round = slots.range((after, Unbounded)).chain(slots.range((Unbounded, until)));
        for &id in round.take(cx.tuning.batch_keys.max(1) as usize) {
            let slot = &self.slots[&id];
            bytes += batch::size(slot);
            let fits = bytes <= cx.tuning.batch_bytes as usize && !slot.alone;
            if !chosen.is_empty() && !fits {
                break;
            }
            chosen.push(id);
            if slot.alone {
                break;
            }
        }
        chosen
    }

    /// Whatever answers batches from now on may be another store than the one that took them: they
    /// count as unanswered.
    pub(super) fn recall(&mut self, cx: &mut Cx<'_>) {
        self.flights.retain(|&attempt, flight| {
            let Flight::Batch(items) = flight else { return true };
            cx.cancel(attempt);
            self.sending.in_flight -= 1;
            for item in items {
                if let Some(slot) = self.slots.get_mut(&item.slot) {
                    slot.flight = None;
                }
            }
            false
        });
    }

    pub(super) fn batch_answered(
        &mut self,
        cx: &mut Cx<'_>,
        attempt: AttemptId,
        items: &[Item],
        reply: Reply,
    ) {
        self.sending.in_flight -= 1;
        match batch::answers(reply, items) {
            Ok(answers) => {
                self.sending.failing = false;
                self.sending.backoff.worked(cx.now);
                for (item, answer) in items.iter().zip(answers) {
                    self.answered(cx, attempt, item, answer);
                }
            }
            Err(error) => self.batch_failed(cx, attempt, items, &error),
        }
    }

    fn batch_failed(
        &mut self,
        cx: &mut Cx<'_>,
        attempt: AttemptId,
        items: &[Item],
        error: &StoreError,
    ) {
        use crate::waist::Certainty;
        let surely_not_done = error.certainty() == Certainty::NotDone;
        for item in items {
            if let Some(slot) = self.slots.get_mut(&item.slot) {
                slot.flight = None;
                let tainted = slot.taints.iter().find(|taint| taint.attempt == attempt).copied();
                // One that is as good as an earlier one says nothing new, however many there are.
                let known = tainted.is_some_and(|new| {
                    let mut others = slot.taints.iter().filter(|other| other.attempt != attempt);
                    others.any(|other| (other.lease, other.guard) == (new.lease, new.guard))
                });
                if surely_not_done || known {
                    slot.taints.retain(|taint| taint.attempt != attempt);
                }
            }
            if let (true, Some(lease)) = (surely_not_done, item.lease()) {
                self.untainted(item.slot, lease);
            }
        }
        let lease = items.first().and_then(Item::lease);
        if let (StoreError::LeaseNotFound, Some(lease)) = (error, lease) {
            self.grant_was_in_vain(cx, lease);
            self.lease_died(cx, lease);
        } else if is_denied(error) {
            self.batch_refused(cx, items, error);
        } else {
            self.sending.failing = true;
            let pause = cx.wire.backoff_at(cx.now, cx.tuning, &mut self.sending.backoff);
            self.sending.pause = Some(self.sending.pause.map_or(pause, |at| at.max(pause)));
        }
        for item in items {
            self.reconsider(item.slot);
        }
    }

    /// The store will not take it: a batch is split, so that one slot holds up no other. A
    /// registration ends only when its own request is what is wrong; whatever else the store has
    /// to say, somebody may mend it, so it is tried again, slowly. A removal does not wait for
    /// that: it can do without `Draining`, and deleting needs no space.
    fn batch_refused(&mut self, cx: &mut Cx<'_>, items: &[Item], error: &StoreError) {
        let single = items.len() == 1;
        for item in items {
            let Some(slot) = self.slots.get_mut(&item.slot) else { continue };
            let registration = self.registrations.get(&item.slot.0);
            let draining = slot.phase == Phase::Wanted
                && registration.is_some_and(|owner| owner.stage == Stage::Draining);
            if draining && (single || *error == StoreError::NoSpace) {
                self.remove(cx, item.slot);
            } else if slot.phase == Phase::Wanted && slot.stands() && !slot.recheck {
                // An earlier attempt was done after all, as the own watch has told meanwhile.
            } else if !single {
                slot.alone = true;
            } else if error.blames_request() && item.lease().is_some() {
                let reason = format!("key {}: {error}", slot.key);
                self.end_because(cx, item.slot.0, Gone::Refused { reason });
            } else {
                slot.retry_at =
                    Some(cx.wire.backoff_slowly_at(cx.now, cx.tuning, &mut slot.backoff));
                self.tell_denied(cx, item.slot.0, error);
            }
        }
    }
}
