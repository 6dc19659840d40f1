//! What was removed, and stands again.
//!
//! A removal is over when nothing can bring the record back in this history of the store. A store
//! that was restored from a backup can, and where nothing shows that it is another one, on a lease
//! that carries other records too the old one would be renewed with them for ever. So whenever a
//! lease has told which keys it has, as sweeps ask it, one that belongs to nothing here is read,
//! since what a lease tells is only a hint; if it does stand there, the lease is condemned: what
//! belongs to us moves to another one, and what is left goes with it. Leases whose records are all
//! watched are not swept: one that a record left is asked once on each stream of the own watch, since
//! a restored store ends all streams.

use super::slot::SlotId;
use super::{Flight, Holds};
use crate::engine::cx::Cx;
use crate::engine::wire::Owner;
use crate::waist::{Key, KeyRange, LeaseId, Range, Reply, Request};

impl Holds {
    /// A slot is watched on a stream, and before that stream another store may have come to be
    /// behind its lease: if a record ever left that, it is asked at once which keys it has, and again
    /// until it has told, or refused to. Once for each stream, however many of its keys are watched.
    pub(super) fn doubt(&mut self, cx: &Cx<'_>, slot: SlotId) {
        let stream = self.own.stream();
        let Some(id) = self.slots.get(&slot).and_then(|slot| slot.lease) else { return };
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if cx.tuning.sweeps_per_ttl > 0 && lease.vacated && lease.doubted_on != stream {
            lease.doubted_on = stream;
            lease.doubted = true;
            // What it was asked before may yet be answered by the store that was there before.
            lease.sweep = None;
            lease.sweep_at = Some(cx.now);
            self.set_lease_timer(id);
        }
    }

    /// A lease has told its keys: one that belongs to nothing here is read.
    pub(super) fn look_for_strays(&mut self, cx: &mut Cx<'_>, id: LeaseId, told: &[Key]) {
        if self.closing.is_some() {
            return;
        }
        if let Some(stray) = told.iter().find(|key| !self.keys.contains_key(*key)) {
            let read = Request::Range(Range::of(KeyRange::one(stray.clone())));
            let attempt = cx.send(Owner::Holds, read);
            self.flights.insert(attempt, Flight::Stray(id, stray.clone()));
        }
    }

    /// What seemed to stand on a lease of ours was read.
    pub(super) fn stray_read(&mut self, cx: &mut Cx<'_>, id: LeaseId, key: &Key, reply: &Reply) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if self.closing.is_some() || self.keys.contains_key(key) {
            return;
        }
        let Reply::Range(read) = reply else {
            // The next sweep tells it again.
            lease.doubted = true;
            return self.sweep_later(cx, id);
        };
        if read.kvs.iter().any(|kv| kv.key == *key && kv.lease == Some(id)) {
            self.condemn(cx, id);
        }
    }
}
