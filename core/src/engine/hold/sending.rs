//! Which slots go out together, and what failed batches mean.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::{self, Item};
use super::leasing::is_denied;
use super::slot::{Action, Slot, SlotId, Taint};
use super::{Flight, Holds};
use crate::engine::Gone;
use crate::engine::cx::Cx;
use crate::engine::retry::Backoff;
use crate::engine::wire::Owner;
use crate::time::Time;
use crate::waist::{AttemptId, Key, Reply, StoreError};

/// Batches under way at once, while they are answered.
const BATCHES_AT_ONCE: usize = 8;

/// The slots that are ready to be sent, by what is to be sent for them.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(super) struct Sending {
    /// The time of the present input.
    pub now: Time,
    queues: BTreeMap<Action, BTreeSet<SlotId>>,
    /// The queue served last, so that none starves.
    served: Option<Action>,
    in_flight: usize,
    backoff: Backoff,
    /// After a failure: nothing is sent before.
    pause: Option<Time>,
    /// After a failure one batch at a time feels its way, until one is answered.
    failing: bool,
}

impl Sending {
    pub fn queue(&mut self, id: SlotId, slot: &mut Slot, action: Action) {
        slot.queued = Some(action);
        self.queues.entry(action).or_default().insert(id);
    }

    pub fn unqueue(&mut self, id: SlotId, slot: &mut Slot) {
        if let Some(action) = slot.queued.take()
            && let Some(queue) = self.queues.get_mut(&action)
        {
            queue.remove(&id);
            if queue.is_empty() {
                self.queues.remove(&action);
            }
        }
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.pause.filter(|_| !self.queues.is_empty() && self.has_room())
    }

    fn has_room(&self) -> bool {
        self.in_flight < if self.failing { 1 } else { BATCHES_AT_ONCE }
    }

    /// The queue whose turn it is.
    fn turn(&mut self) -> Option<Action> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = self.served.map_or(Unbounded, Excluded);
        let mut later = self.queues.range((after, Unbounded));
        let next = later.next().or_else(|| self.queues.iter().next()).map(|(&action, _)| action);
        self.served = next;
        next
    }
}

impl Holds {
    /// Sends what is ready, as far as there is room.
    pub(super) fn flush(&mut self, cx: &mut Cx<'_>) {
        self.sending.pause = self.sending.pause.filter(|&at| at > cx.now);
        while self.sending.pause.is_none() && self.sending.has_room() {
            let Some(action) = self.sending.turn() else { return };
            self.send_batch(cx, action);
        }
    }

    fn send_batch(&mut self, cx: &mut Cx<'_>, action: Action) {
        let ids = self.choose(cx, action);
        let items: Vec<_> = ids.iter().map(|&id| Item::new(id, &self.slots[&id], action)).collect();
        let request = batch::request(ids.iter().map(|id| (&self.slots[id], action)));
        let attempt = cx.send(Owner::Holds, request);
        for item in &items {
            let slot = self.slots.get_mut(&item.slot).expect("chosen from the slots");
            self.sending.unqueue(item.slot, slot);
            slot.flight = Some(attempt);
            if let Action::Publish(lease) = action {
                slot.taints.push(Taint { attempt, lease, guard: item.guard });
                self.taint(lease, item.slot);
            }
        }
        self.sending.in_flight += 1;
        self.flights.insert(attempt, Flight::Batch(items));
    }

    /// The slots of one batch: within the store's limits, and none that must go alone.
    fn choose(&self, cx: &Cx<'_>, action: Action) -> Vec<SlotId> {
        let mut bytes = 0;
        let mut chosen = Vec::new();
        let queue = self.sending.queues.get(&action).into_iter().flatten();
        for &id in queue.take(cx.tuning.batch_keys.max(1) as usize) {
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

    pub(super) fn batch_answered(
        &mut self,
        cx: &mut Cx<'_>,
        attempt: AttemptId,
        items: &[Item],
        reply: Reply,
    ) {
        self.sending.in_flight -= 1;
        let nowhere = Key::default();
        let keys: Vec<_> = items
            .iter()
            .map(|item| self.slots.get(&item.slot).map_or(&nowhere, |slot| &slot.key))
            .collect();
        match batch::answers(reply, items, &keys) {
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
                if surely_not_done {
                    slot.taints.retain(|taint| taint.attempt != attempt);
                }
            }
            if let (true, Some(lease)) = (surely_not_done, item.lease()) {
                self.untainted(item.slot, lease);
            }
        }
        let lease = items.first().and_then(Item::lease);
        if let (StoreError::LeaseNotFound, Some(lease)) = (error, lease) {
            self.batch_stranded(cx, items);
            self.lease_died(cx, lease);
        } else if error.is_permanent() || *error == StoreError::NoSpace {
            self.batch_refused(cx, items, error);
        } else {
            self.sending.failing = true;
            let pause = cx.wire.retry_at(cx.now, cx.tuning, &mut self.sending.backoff);
            self.sending.pause = Some(self.sending.pause.map_or(pause, |at| at.max(pause)));
        }
        for item in items {
            self.reconsider(item.slot);
        }
    }

    /// The lease was gone when something was put on it. Once is a loss, healed at once; but where
    /// each new lease is gone as well, neither grants nor puts may spin.
    fn batch_stranded(&mut self, cx: &mut Cx<'_>, items: &[Item]) {
        for item in items {
            let Some(slot) = self.slots.get_mut(&item.slot) else { continue };
            slot.strikes += 1;
            if slot.strikes > 1 {
                let retry_at = cx.wire.retry_at(cx.now, cx.tuning, &mut slot.backoff);
                slot.retry_at = Some(retry_at);
            }
        }
    }

    /// The store will not take it: a batch is split, so that one slot holds up no other.
    fn batch_refused(&mut self, cx: &mut Cx<'_>, items: &[Item], error: &StoreError) {
        let single = items.len() == 1;
        for item in items {
            let Some(slot) = self.slots.get_mut(&item.slot) else { continue };
            if !single {
                slot.alone = true;
            } else if is_denied(error) || *error == StoreError::NoSpace {
                slot.retry_at = Some(cx.wire.retry_slowly_at(cx.now, cx.tuning, &mut slot.backoff));
                self.tell_denied(cx, item.slot.0, error);
            } else if item.is_write() && item.lease().is_some() {
                let reason = format!("key {}: {error}", slot.key);
                self.end_because(cx, item.slot.0, Gone::Refused { reason });
            } else {
                slot.retry_at = Some(cx.wire.retry_slowly_at(cx.now, cx.tuning, &mut slot.backoff));
            }
        }
    }
}
