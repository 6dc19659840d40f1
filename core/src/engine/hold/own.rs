//! The watch of own keys: one stream, one watch for each key.
//!
//! It tells early what would otherwise show only at the next write: a record that was deleted,
//! changed or moved. It is a help and no proof: what must be certain is read. So is each key after
//! the stream was lost.

use std::collections::BTreeMap;

use super::slot::{Seen, SlotId, Standing};
use crate::engine::cx::Cx;
use crate::engine::retry::Backoff;
use crate::engine::wire::Owner;
use crate::layout::Stamp;
use crate::time::Time;
use crate::waist::{
    AttemptId, EventKind, Key, KeyEvent, KeyRange, Reply, Revision, Watch, WatchReply, WatchSay,
};

#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(super) struct OwnWatch {
    stream: Option<Stream>,
    watched: BTreeMap<i64, Watched>,
    ids: BTreeMap<SlotId, i64>,
    last_id: i64,
    backoff: Backoff,
    /// No stream is opened before.
    retry_at: Option<Time>,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Stream {
    attempt: AttemptId,
    /// When it must have said something; before `probed`, when it is asked to.
    due: Time,
    probed: bool,
    /// Parts of answers that are not complete yet.
    parts: BTreeMap<i64, Vec<KeyEvent>>,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Watched {
    slot: SlotId,
    key: Key,
    /// How far the key is known.
    seen: Revision,
    /// Its stream was lost: another store may be behind the next one.
    broken: bool,
    /// The store has said on the present stream that it watches.
    confirmed: bool,
}

/// What the watch brought.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Sighting {
    /// This is how the key stands, and what eviction mark it carries.
    Seen(SlotId, Seen, Option<(Stamp, Box<str>)>),
    /// It cannot tell how the key stands; read it.
    Blind(SlotId),
    /// As that, since it goes on on another stream: behind that may be another store.
    Anew(SlotId),
    /// It is watched from now on; before, nobody may have noticed another store.
    Begun(SlotId),
}

impl OwnWatch {
    /// Whether a slot's key is followed.
    pub fn follows(&self, slot: SlotId) -> bool {
        self.ids.contains_key(&slot)
    }

    /// Follows `key`, which is known up to `seen`, unless it is followed already or there are too
    /// many. Whether it is followed now.
    pub fn follow(&mut self, cx: &mut Cx<'_>, slot: SlotId, key: &Key, seen: Revision) -> bool {
        if self.follows(slot) {
            return true;
        }
        if self.ids.len() >= cx.tuning.own_watches as usize {
            return false;
        }
        self.last_id += 1;
        let id = self.last_id;
        self.ids.insert(slot, id);
        let watched = Watched { slot, key: key.clone(), seen, broken: false, confirmed: false };
        self.watched.insert(id, watched);
        if let Some(stream) = &self.stream {
            let watch = watch(id, &self.watched[&id]);
            cx.say(stream.attempt, WatchSay::Create(watch));
        } else if self.retry_at.is_none() {
            self.open(cx);
        }
        true
    }

    /// Stops following a slot's key.
    pub fn forget(&mut self, cx: &mut Cx<'_>, slot: SlotId) {
        let Some(id) = self.ids.remove(&slot) else { return };
        self.watched.remove(&id);
        if let Some(stream) = &self.stream {
            if self.watched.is_empty() {
                cx.cancel(stream.attempt);
                self.stream = None;
            } else {
                cx.say(stream.attempt, WatchSay::Cancel { id });
            }
        }
    }

    /// Follows nothing any more; revisions begin anew.
    pub fn restart(&mut self, cx: &mut Cx<'_>) {
        if let Some(stream) = self.stream.take() {
            cx.cancel(stream.attempt);
        }
        self.watched.clear();
        self.ids.clear();
        self.retry_at = None;
    }

    /// A stream that is to be opened is opened by `at`.
    pub fn retry_by(&mut self, at: Time) {
        self.retry_at = self.retry_at.map(|due| at.min(due));
    }

    pub fn close(&mut self, cx: &mut Cx<'_>) {
        if let Some(stream) = &self.stream {
            cx.cancel(stream.attempt);
        }
        *self = Self::default();
    }

    /// The stream that is open.
    pub fn stream(&self) -> Option<AttemptId> {
        self.stream.as_ref().map(|stream| stream.attempt)
    }

    pub fn is_stream(&self, attempt: AttemptId) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.attempt == attempt)
    }

    pub fn on_reply(&mut self, cx: &mut Cx<'_>, reply: Reply) -> Vec<Sighting> {
        let Some(stream) = &mut self.stream else { return Vec::new() };
        let Reply::Watch(message) = reply else {
            return self.lost(cx);
        };
        stream.due = cx.now + cx.tuning.probe_after;
        stream.probed = false;
        self.backoff.worked(cx.now);
        self.message(cx, message)
    }

    fn message(&mut self, cx: &mut Cx<'_>, message: WatchReply) -> Vec<Sighting> {
        let id = message.watch_id;
        if message.canceled && !(1..=self.last_id).contains(&id) {
            // One of them was refused, and it does not say which (rows W4, W5). A number that was
            // given up by us has another ending: that is the answer to our own cancel.
            return self.refused(cx);
        }
        let Some(watched) = self.watched.get_mut(&id) else { return Vec::new() };
        let slot = watched.slot;
        watched.confirmed |= message.created;
        if message.canceled {
            // Compacted, or refused: whatever happened since, only a read can tell.
            self.ids.remove(&slot);
            self.watched.remove(&id);
            return vec![Sighting::Blind(slot)];
        }
        let early = message.header.revision < watched.seen;
        if message.created && (std::mem::take(&mut watched.broken) || early) {
            // A watch that goes on in another store, or before its time, is just silent (row W2).
            return vec![Sighting::Anew(slot)];
        }
        if message.created {
            return vec![Sighting::Begun(slot)];
        }
        let Some(stream) = &mut self.stream else { return Vec::new() };
        let mut events = stream.parts.remove(&id).unwrap_or_default();
        events.extend(message.events);
        if message.fragment {
            stream.parts.insert(id, events);
            return Vec::new();
        }
        let mine = events.into_iter().filter(|event| event.kv.key == watched.key);
        let Some(last) = mine.max_by_key(|event| event.kv.mod_revision) else {
            return Vec::new();
        };
        let as_of = last.kv.mod_revision;
        if as_of <= watched.seen {
            return Vec::new();
        }
        watched.seen = as_of;
        let record = match last.kind {
            EventKind::Put => Some(Standing::of(&last.kv)),
            EventKind::Delete => None,
        };
        let mark = cx.layout.eviction_of(&last.kv.key, &last.kv.value);
        vec![Sighting::Seen(slot, Seen { as_of, record }, mark)]
    }

    #[must_use]
    pub fn on_timer(&mut self, cx: &mut Cx<'_>) -> Vec<Sighting> {
        let mut sightings = Vec::new();
        if let Some(stream) = &mut self.stream
            && stream.due <= cx.now
        {
            if stream.probed {
                sightings = self.refused(cx);
            } else {
                stream.probed = true;
                stream.due = cx.now + cx.tuning.probe_timeout;
                cx.say(stream.attempt, WatchSay::Progress);
            }
        }
        if self.retry_at.is_some_and(|at| at <= cx.now) {
            self.retry_at = None;
            self.open(cx);
        }
        sightings
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.stream.as_ref().map(|stream| stream.due).into_iter().chain(self.retry_at).min()
    }

    /// The stream is silent, or of no use: another member may serve better.
    fn refused(&mut self, cx: &mut Cx<'_>) -> Vec<Sighting> {
        if let Some(stream) = &self.stream {
            let attempt = stream.attempt;
            cx.blame_stream(attempt);
            cx.cancel(attempt);
        }
        self.lost(cx)
    }

    /// The stream is gone. What it watched is followed up by the next one; but a key that it never
    /// said it watched may be one that is always refused, so it is read.
    fn lost(&mut self, cx: &mut Cx<'_>) -> Vec<Sighting> {
        self.stream = None;
        self.retry_at = Some(cx.wire.backoff_at(cx.now, cx.tuning, &mut self.backoff));
        let mut blind = Vec::new();
        for watched in self.watched.values_mut() {
            watched.broken = true;
            if !std::mem::take(&mut watched.confirmed) {
                blind.push(Sighting::Blind(watched.slot));
            }
        }
        blind
    }

    fn open(&mut self, cx: &mut Cx<'_>) {
        let mut watches = self.watched.iter().map(|(&id, watched)| watch(id, watched));
        let Some(first) = watches.next() else { return };
        let attempt = cx.watch(Owner::Holds, first);
        for watch in watches {
            cx.say(attempt, WatchSay::Create(watch));
        }
        self.stream = Some(Stream {
            attempt,
            due: cx.now + cx.tuning.probe_timeout,
            probed: true,
            parts: BTreeMap::new(),
        });
    }
}

/// It begins at what is known, not after it: a watch that begins in the future leaves probes
/// unanswered until something changes (since 3.4.38, 3.5.22, 3.6.2; row W13), and a quiet store
/// would look like a dead one. What is told again is passed over.
fn watch(id: i64, watched: &Watched) -> Watch {
    let keys = KeyRange::one(watched.key.clone());
    Watch { id, fragment: true, ..Watch::of(keys, watched.seen) }
}
