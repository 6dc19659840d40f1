//! Holds: every registration of this process, and the leases that they hang on.
//!
//! A registration promises that its record stands in the store under a live lease of ours, until
//! told otherwise. All registrations share few leases. Every write compares the key's mod
//! revision, so of all attempts with one guard at most one applies, and a late one does no harm, and
//! the lease of what stands there, so that it does none in another store either:
//!
//! - *publish*: if the key is still at the guard, put it on the lease, else read it;
//! - *heal*: a record that vanished, was detached, moved or changed is published anew; one that
//!   somebody else put over ours is a takeover, and the registration ends;
//! - *remove*: publish `Draining`, delete under the guard, and confirm only when no late publish
//!   can bring the record back: every lease on which one may still land is dead.
//!
//! All of it holds within one history of the store. When another one begins (`epoch`), all is
//! published anew on new leases; removals begin anew too, since what was gone may stand again.
//!
//! | file | what it holds |
//! |---|---|
//! | `lease` | the states of one lease |
//! | `slot` | one key of one registration |
//! | `batch` | many slots in one request, and its answer |
//! | `own` | the watch of own keys |
//! | `sweep` | how the disturbed ones among the others are found |
//! | `stray` | how removed ones are found that another store has brought back |
//! | `leasing` | grants, renewals, losses, revokes; which slot hangs on which lease |
//! | `gathering` | fewer leases, when fewer suffice |
//! | `judging` | what an answer means for a slot |
//! | `ending` | drains, removes, gives up, shuts down |
//! | `sending` | which slots go out together, and what failed batches mean |

mod batch;
mod ending;
mod gathering;
mod judging;
mod lease;
mod leasing;
mod own;
mod sending;
mod slot;
mod stray;
mod sweep;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::lease::Lease;
use self::own::{OwnWatch, Sighting};
use self::sending::Sending;
use self::slot::{Phase, Slot, SlotId};
use self::sweep::Audit;
use super::cx::Cx;
use super::retry::Backoff;
use super::{Conflict, Event, Gone, LossReason, RegistrationEvent, RegistrationId};
use crate::instance::Instance;
use crate::layout::{Stamp, Written};
use crate::rng::Rng;
use crate::time::Time;
use crate::waist::{AttemptId, Key, LeaseId, Reply, Revision};

/// All registrations and leases of one process.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Holds {
    run: u64,
    rng: Rng,
    registrations: BTreeMap<RegistrationId, Registration>,
    /// Those that wait for a former one to leave their keys.
    blocked: BTreeSet<RegistrationId>,
    slots: BTreeMap<SlotId, Slot>,
    /// Which slot each key belongs to, until nothing of it can come any more.
    keys: BTreeMap<Key, SlotId>,
    leases: BTreeMap<LeaseId, Lease>,
    /// The leases granted to this run, but for those long dead: a record on one of them is ours.
    ours: BTreeSet<LeaseId>,
    /// Those of them that are dead, in the order of their ends.
    dead: VecDeque<LeaseId>,
    flights: BTreeMap<AttemptId, Flight>,
    sending: Sending,
    /// Slots that wait for a place on a lease.
    unplaced: BTreeSet<SlotId>,
    /// Leases whose slots changed: they may have become empty.
    touched: BTreeSet<LeaseId>,
    granting: Granting,
    slot_timers: BTreeSet<(Time, SlotId)>,
    lease_timers: BTreeSet<(Time, LeaseId)>,
    deadlines: BTreeSet<(Time, RegistrationId)>,
    own: OwnWatch,
    audit: Audit,
    closing: Option<Shutdown>,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Registration {
    instance: Instance,
    conflict: Conflict,
    sequence: u64,
    slots: u16,
    stage: Stage,
    told: Told,
    /// A refusal was told since: what holds again must be told again.
    denied: bool,
    removal: Option<Removal>,
    /// How it ends, if not as wished.
    ending: Option<Gone>,
}

/// A wished removal, and how long its parts may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
struct Removal {
    /// Its entry among the deadlines: the time for `Draining` is over, or all of it.
    next: Time,
    ends_at: Time,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
enum Stage {
    /// A former registration still has one of its keys.
    Blocked,
    Wanted,
    /// `Draining` is being published.
    Draining,
    Removing,
}

/// What the application was last told.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
enum Told {
    Nothing,
    Registered { lease: LeaseId, revision: Revision, sequence: u64 },
    Lost,
    Waiting,
    Gone,
}

#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
struct Granting {
    backoff: Backoff,
    /// No lease is asked for before.
    retry_at: Option<Time>,
    in_flight: u32,
    failing: bool,
    /// Leases in a row that the store did not know any more soon after it granted them.
    in_vain: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
struct Shutdown {
    deadline: Time,
    confirmed: bool,
}

/// What an attempt of ours was for.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
enum Flight {
    Batch(Vec<batch::Item>),
    Grant(LeaseId),
    KeepAlive {
        lease: LeaseId,
        asked_at: Time,
    },
    Revoke(LeaseId),
    /// How long the lease of a disputed record lives.
    Dispute(SlotId, LeaseId),
    /// Which keys a lease has.
    Sweep(LeaseId),
    /// Whether a key that belongs to nothing here stands on a lease of ours.
    Stray(LeaseId, Key),
}

impl Holds {
    pub fn new(run: u64, rng: Rng) -> Self {
        Self {
            run,
            registrations: BTreeMap::new(),
            blocked: BTreeSet::new(),
            slots: BTreeMap::new(),
            keys: BTreeMap::new(),
            leases: BTreeMap::new(),
            ours: BTreeSet::new(),
            dead: VecDeque::new(),
            flights: BTreeMap::new(),
            sending: Sending::default(),
            unplaced: BTreeSet::new(),
            touched: BTreeSet::new(),
            granting: Granting::default(),
            slot_timers: BTreeSet::new(),
            lease_timers: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            own: OwnWatch::default(),
            audit: Audit::new(&rng),
            closing: None,
            rng,
        }
    }

    pub fn run(&self) -> u64 {
        self.run
    }

    /// Begins a registration. Its number must be new.
    pub fn register(
        &mut self,
        cx: &mut Cx<'_>,
        id: RegistrationId,
        instance: Instance,
        conflict: Conflict,
    ) {
        let instance = instance.without_mark();
        let written = match self.encode(cx, id, &instance, 1) {
            Ok(written) => written,
            Err(reason) => return gone(cx, id, Gone::Refused { reason }),
        };
        let wanted_twice = written.iter().find(|written| {
            let owner = self.keys.get(&written.key).map(|slot| &self.registrations[&slot.0]);
            owner.is_some_and(|owner| owner.stage == Stage::Wanted)
                || self.blocked.iter().any(|id| {
                    let blocked = &self.registrations[id].instance;
                    blocked.group() == instance.group() && blocked.id() == instance.id()
                })
        });
        if let Some(Written { key, .. }) = wanted_twice {
            let reason = format!("key {key} is registered by this process already");
            return gone(cx, id, Gone::Refused { reason });
        }
        let slots = u16::try_from(written.len()).unwrap_or(u16::MAX);
        let registration = Registration {
            instance,
            conflict,
            sequence: 1,
            slots,
            stage: Stage::Blocked,
            told: Told::Nothing,
            denied: false,
            removal: None,
            ending: None,
        };
        self.registrations.insert(id, registration);
        self.blocked.insert(id);
        self.begin(cx, id, written);
    }

    /// Replaces what a registration publishes.
    pub fn publish(&mut self, cx: &mut Cx<'_>, id: RegistrationId, instance: Instance) {
        let instance = instance.without_mark();
        let Some(registration) = self.registrations.get(&id) else { return };
        let same = registration.instance.group() == instance.group()
            && registration.instance.id() == instance.id();
        let sequence = registration.sequence + 1;
        if !same {
            return;
        }
        let Ok(written) = self.encode(cx, id, &instance, sequence) else { return };
        let Some(registration) = self.registrations.get_mut(&id) else { return };
        registration.instance = instance;
        registration.sequence = sequence;
        if registration.stage == Stage::Wanted {
            self.rewrite(id, written, sequence);
        }
    }

    pub fn on_reply(&mut self, cx: &mut Cx<'_>, attempt: AttemptId, reply: Reply) {
        if self.own.is_stream(attempt) {
            for sighting in self.own.on_reply(cx, reply) {
                self.sighted(cx, sighting);
            }
            return;
        }
        match self.flights.remove(&attempt) {
            Some(Flight::Batch(items)) => self.batch_answered(cx, attempt, &items, reply),
            Some(Flight::Grant(lease)) => self.grant_answered(cx, lease, reply),
            Some(Flight::KeepAlive { lease, asked_at }) => {
                self.renewal_answered(cx, lease, asked_at, reply);
            }
            Some(Flight::Revoke(lease)) => self.revoke_answered(cx, lease, reply),
            Some(Flight::Sweep(lease)) => self.sweep_answered(cx, attempt, lease, &reply),
            Some(Flight::Stray(lease, key)) => self.stray_read(cx, lease, &key, &reply),
            Some(Flight::Dispute(slot, by)) => self.dispute_answered(cx, slot, by, &reply),
            None => {}
        }
    }

    pub fn on_timer(&mut self, cx: &mut Cx<'_>) {
        self.sending.now = cx.now;
        // Leases first: what was lost while this process slept must not be relied on by what
        // else is due.
        while let Some(id) = pop_due(&mut self.lease_timers, cx.now) {
            self.lease_due(cx, id);
        }
        while let Some(id) = pop_due(&mut self.slot_timers, cx.now) {
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.timer = None;
                self.reconsider(id);
            }
        }
        while let Some(id) = pop_due(&mut self.deadlines, cx.now) {
            self.removal_due(cx, id);
        }
        self.granting.retry_at = self.granting.retry_at.filter(|&at| at > cx.now);
        self.audit(cx);
        for sighting in self.own.on_timer(cx) {
            self.sighted(cx, sighting);
        }
    }

    /// A login succeeded after one was refused: no long pause need be sat out.
    pub fn let_in(&mut self, cx: &mut Cx<'_>) {
        let soon = cx.wire.backoff_at(cx.now, cx.tuning, &mut Backoff::default());
        let slots: Vec<_> = self.slots.keys().copied().collect();
        for id in slots {
            if let Some(slot) = self.slots.get_mut(&id)
                && let Some(at) = &mut slot.retry_at
            {
                *at = soon.min(*at);
                self.reconsider(id);
            }
        }
        let leases: Vec<_> = self.leases.keys().copied().collect();
        for id in leases {
            if let Some(lease) = self.leases.get_mut(&id) {
                lease.due_by(soon);
                self.set_lease_timer(id);
            }
        }
        self.granting.retry_at = self.granting.retry_at.map(|at| soon.min(at));
        self.own.retry_by(soon);
        self.sending.retry_by(soon);
    }

    /// What every input ends with: slots get their leases, batches go out, empty leases go.
    pub fn settle(&mut self, cx: &mut Cx<'_>) {
        self.sending.now = cx.now;
        self.gather(cx);
        self.place(cx);
        self.flush(cx);
        self.retire(cx);
    }

    pub fn next_timeout(&self) -> Option<Time> {
        [
            self.lease_timers.first().map(|&(at, _)| at),
            self.slot_timers.first().map(|&(at, _)| at),
            self.deadlines.first().map(|&(at, _)| at),
            self.granting.retry_at.filter(|_| !self.unplaced.is_empty()),
            self.sending.next_timeout(),
            self.own.next_timeout(),
            self.audit.next_timeout(),
            self.closing.filter(|_| self.closed().is_none()).map(|closing| closing.deadline),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Gives a registration its keys, unless a former one still has one of them.
    fn begin(&mut self, cx: &mut Cx<'_>, id: RegistrationId, written: Vec<Written>) {
        if written.iter().any(|written| self.keys.contains_key(&written.key)) {
            return;
        }
        let Some(registration) = self.registrations.get_mut(&id) else { return };
        registration.stage = Stage::Wanted;
        let (sequence, slots) = (registration.sequence, registration.slots);
        self.blocked.remove(&id);
        for (place, Written { key, value }) in (0..slots).zip(written) {
            let slot = SlotId(id, place);
            self.keys.insert(key.clone(), slot);
            self.slots.insert(slot, Slot::new(key, value, sequence));
            self.reconsider(slot);
        }
        self.audit_in_time(cx);
        if slots == 0 {
            self.end(cx, id);
        }
    }

    /// Lets registrations begin whose keys have become free.
    fn unblock(&mut self, cx: &mut Cx<'_>) {
        let blocked: Vec<_> = self
            .blocked
            .iter()
            .map(|&id| (id, &self.registrations[&id]))
            .map(|(id, registration)| (id, registration.instance.clone(), registration.sequence))
            .collect();
        for (id, instance, sequence) in blocked {
            match self.encode(cx, id, &instance, sequence) {
                Ok(written) => self.begin(cx, id, written),
                Err(_) => self.end(cx, id),
            }
        }
    }

    fn encode(
        &self,
        cx: &Cx<'_>,
        id: RegistrationId,
        instance: &Instance,
        sequence: u64,
    ) -> Result<Vec<Written>, String> {
        let stamp = Stamp { run: self.run, registration: id.0, sequence };
        cx.layout.encode_instance(instance, stamp).map_err(|error| error.to_string())
    }

    /// Has other values stand at a registration's keys.
    fn rewrite(&mut self, id: RegistrationId, written: Vec<Written>, sequence: u64) {
        for written in written {
            let Some(&slot_id) = self.keys.get(&written.key) else { continue };
            if slot_id.0 == id
                && let Some(slot) = self.slots.get_mut(&slot_id)
            {
                slot.want(written.value, sequence);
                self.reconsider(slot_id);
            }
        }
    }

    /// A key of this process, if there is anything of it.
    pub fn some_key(&self) -> Option<&Key> {
        self.keys.keys().next()
    }

    /// The store is another one, or has lost what it had. What it said before counts for nothing:
    /// all is published anew, on new leases, and the old ones go as soon as nothing hangs on them.
    /// What a restored store has revived of leases that were gone ends with them, unrenewed.
    pub fn new_epoch(&mut self, cx: &mut Cx<'_>) {
        self.own.restart(cx);
        self.recall(cx);
        let slots: Vec<_> = self.slots.keys().copied().collect();
        for id in slots {
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.new_epoch();
            }
            if self.registrations.get(&id.0).is_some_and(|owner| owner.stage == Stage::Wanted) {
                self.tell_lost(cx, id.0, LossReason::Disturbed);
            }
            self.reconsider(id);
        }
        let leases: Vec<_> = self.leases.keys().copied().collect();
        for id in leases {
            self.condemn(cx, id);
        }
    }

    fn sighted(&mut self, cx: &mut Cx<'_>, sighting: Sighting) {
        match sighting {
            Sighting::Seen(id, seen, mark) => {
                if let Some(slot) = self.slots.get_mut(&id)
                    && slot.seen.is_none_or(|old| old.as_of < seen.as_of)
                {
                    slot.seen = Some(seen);
                    slot.evicted_by = judging::meant(mark, self.run, id);
                    self.learnt(id);
                    self.judge(cx, id, false);
                }
            }
            Sighting::Blind(id) => self.unseen(cx, id),
            Sighting::Anew(id) => {
                self.unseen(cx, id);
                self.doubt(cx, id);
            }
            Sighting::Begun(id) => self.doubt(cx, id),
        }
    }

    /// Nothing tells how a slot's key stands but a read.
    fn unseen(&mut self, cx: &mut Cx<'_>, id: SlotId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.recheck = true;
            // A pause that it sits out already is not cut short: where its key may not be read, its
            // watch is refused too, again and again.
            if slot.retry_at.is_none_or(|at| at <= cx.now) {
                slot.retry_at = Some(cx.wire.backoff_at(cx.now, cx.tuning, &mut slot.backoff));
            }
            self.reconsider(id);
        }
    }

    /// Puts a slot where it belongs: in a queue, among the unplaced, or under a timer.
    fn reconsider(&mut self, id: SlotId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        self.sending.unqueue(id, slot);
        if let Some(at) = slot.timer.take() {
            self.slot_timers.remove(&(at, id));
        }
        self.unplaced.remove(&id);
        if slot.phase == Phase::Wanted && slot.lease.is_none() {
            self.unplaced.insert(id);
        }
        let Some(action) = slot.action(&self.ours).filter(|_| slot.flight.is_none()) else {
            return;
        };
        slot.again |= slot.retry_at.is_some();
        slot.retry_at = slot.retry_at.filter(|&at| at > self.sending.now);
        if let Some(at) = slot.retry_at {
            slot.timer = Some(at);
            self.slot_timers.insert((at, id));
        } else {
            self.sending.queue(id, slot, action);
        }
    }

    /// Tells the application when a registration's whole record stands.
    fn tell(&mut self, cx: &mut Cx<'_>, id: RegistrationId) {
        let slots = self.slots_of(id);
        let Some(registration) = self.registrations.get_mut(&id) else { return };
        if registration.stage != Stage::Wanted {
            return;
        }
        let mut told = None;
        for slot in &slots {
            let slot = &self.slots[slot];
            if let (true, Some(lease), Some(record)) = (slot.stands(), slot.lease, slot.standing())
            {
                let (revision, sequence) = (record.modified, slot.sequence);
                told = told.max(Some((revision, sequence, lease)));
            } else {
                return;
            }
        }
        let Some((revision, sequence, lease)) = told else { return };
        let now = Told::Registered { lease, revision, sequence };
        if registration.told != now || registration.denied {
            registration.told = now;
            registration.denied = false;
            let event = RegistrationEvent::Registered { lease, revision, sequence };
            cx.event(Event::Registration { id, event });
        }
    }

    /// Tells the application that a record that it was told of may be gone: once for each loss.
    fn tell_lost(&mut self, cx: &mut Cx<'_>, id: RegistrationId, reason: LossReason) {
        if let Some(registration) = self.registrations.get_mut(&id)
            && matches!(registration.told, Told::Registered { .. })
        {
            registration.told = Told::Lost;
            let event = RegistrationEvent::Lost { reason };
            cx.event(Event::Registration { id, event });
        }
    }

    fn slots_of(&self, id: RegistrationId) -> Vec<SlotId> {
        self.slots.range(SlotId(id, 0)..=SlotId(id, u16::MAX)).map(|(&id, _)| id).collect()
    }
}

fn gone(cx: &mut Cx<'_>, id: RegistrationId, gone: Gone) {
    cx.event(Event::Registration { id, event: RegistrationEvent::Gone(gone) });
}

fn pop_due<T: Copy + Ord>(timers: &mut BTreeSet<(Time, T)>, now: Time) -> Option<T> {
    let &(at, id) = timers.first()?;
    if at > now {
        return None;
    }
    timers.pop_first();
    Some(id)
}
