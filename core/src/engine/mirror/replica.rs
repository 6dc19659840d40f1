use std::sync::Arc;

use crate::engine::fingerprint::Fingerprint;
use crate::engine::view::{Change, Content, Freshness, Record, Snapshot, Unread};
use crate::layout::{Decoded, Layout};
use crate::map::Map;
use crate::rng::hash;
use crate::waist::{EventKind, Key, KeyEvent, KeyValue, RangeReply, Revision};

/// The local copy of a key range: what is shown, and what is merely known.
///
/// Every key of the range is in exactly one of three maps, so that the copy can be held against
/// the store's own count and newest record.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Replica {
    pub shown: Snapshot,
    /// Keys that are nothing of ours. One of them may be the range's newest, and deleting that
    /// one makes another the newest, so a mere count would not do.
    hidden: Map<Key, Fingerprint>,
}

/// What a stored record is to the copy.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) enum Reading {
    Record(Arc<Record>),
    Unread(Arc<Unread>),
    Hidden(Fingerprint),
}

/// What became of a key.
struct Touched {
    key: Key,
    before: Option<Arc<Record>>,
    after: Option<Arc<Record>>,
    /// Of a key with several changes of which the last one took it away: what it was then.
    last: Option<Arc<Record>>,
}

/// What a change of the copy means to those who see it.
#[derive(Default)]
pub(super) struct Delta {
    /// By key, each key once.
    pub changes: Vec<Change>,
    /// Whether the unreadable records changed.
    pub unread_changed: bool,
    /// By key: what was there right before it was removed, where that came with the removal.
    last: Vec<(Key, Arc<Record>)>,
}

impl Replica {
    /// Of a range that was never listed.
    pub fn new() -> Self {
        Self {
            shown: Snapshot {
                epoch: 0,
                revision: Revision::ZERO,
                freshness: Freshness::Unsynced,
                records: Map::new(),
                bad: Map::new(),
                suspects: Map::new(),
                guarded: false,
            },
            hidden: Map::new(),
        }
    }

    /// The store's content at this revision is what it is.
    pub fn cursor(&self) -> Revision {
        self.shown.revision
    }

    /// Goes on to the revision of the last event. The events are whole revisions, all of them
    /// after the copy's, in order.
    pub fn apply(&mut self, layout: &Layout, events: Vec<KeyEvent>) -> Delta {
        let bad = self.shown.bad.clone();
        let mut touched = Vec::with_capacity(events.len());
        for KeyEvent { kind, kv, prev: _ } in events {
            self.shown.revision = self.shown.revision.max(kv.mod_revision);
            let reading = match kind {
                EventKind::Put => Some(read(layout, &kv)),
                EventKind::Delete => None,
            };
            touched.push(self.set(kv.key, reading));
        }
        // Of several changes of a key only the first before and the last after count.
        touched.sort_by(|a, b| a.key.cmp(&b.key));
        touched.dedup_by(|later, kept| {
            let same = later.key == kept.key;
            if same {
                kept.after = later.after.take();
                kept.last = later.before.take();
            }
            same
        });
        let last = touched.iter_mut().filter(|touched| touched.after.is_none());
        let last = last.filter_map(|touched| Some((touched.key.clone(), touched.last.take()?)));
        Delta {
            last: last.collect(),
            changes: touched.into_iter().filter_map(Touched::change).collect(),
            unread_changed: bad != self.shown.bad,
        }
    }

    /// Becomes the content listed at `revision`.
    pub fn replace(&mut self, revision: Revision, readings: Vec<(Key, Reading)>) -> Delta {
        let before = self.shown.clone();
        let (mut records, mut bad, mut hidden) = (Vec::new(), Vec::new(), Vec::new());
        for (key, reading) in readings {
            match reading {
                Reading::Record(record) => records.push((key, record)),
                Reading::Unread(unread) => bad.push((key, unread)),
                Reading::Hidden(known) => hidden.push((key, known)),
            }
        }
        self.shown.revision = revision;
        self.shown.records = records.into_iter().collect();
        self.shown.bad = bad.into_iter().collect();
        self.hidden = hidden.into_iter().collect();
        Delta::between(&before, &self.shown)
    }

    /// What `kv` is, decoded anew only if the copy does not hold the very same record.
    pub fn read(&self, layout: &Layout, kv: &KeyValue) -> Reading {
        match self.shown.records.get(&kv.key) {
            Some(known) if is_of(known, kv) => Reading::Record(Arc::clone(known)),
            _ => read(layout, kv),
        }
    }

    /// Whether a range read with its newest records first shows this very content: as many keys,
    /// and the newest ones the same down to their values.
    pub fn is_as(&self, reply: &RangeReply) -> bool {
        self.is_as_new_as(reply) && reply.kvs.iter().all(|kv| self.has(kv))
    }

    /// Whether a range read with its newest record first has as many keys, and none that is
    /// newer. In one history that proves that nothing has changed since: what changed and is
    /// still there is newer, and what is gone is missing in the count.
    pub fn is_as_new_as(&self, reply: &RangeReply) -> bool {
        let newest = reply.kvs.first().map_or(Revision::ZERO, |kv| kv.mod_revision);
        usize::try_from(reply.count) == Ok(self.len()) && newest == self.newest()
    }

    fn set(&mut self, key: Key, reading: Option<Reading>) -> Touched {
        let (record, unread, known) = match reading {
            Some(Reading::Record(record)) => (Some(record), None, None),
            Some(Reading::Unread(unread)) => (None, Some(unread), None),
            Some(Reading::Hidden(known)) => (None, None, Some(known)),
            None => (None, None, None),
        };
        let before = put(&mut self.shown.records, &key, record.clone());
        put(&mut self.shown.bad, &key, unread);
        put(&mut self.hidden, &key, known);
        Touched { key, before, after: record, last: None }
    }

    pub fn len(&self) -> usize {
        self.shown.records.len() + self.shown.bad.len() + self.hidden.len()
    }

    /// The newest mod revision in the range; 0 if it is empty. Walks all keys: it is asked for
    /// after a lost connection or a silence, not with each event.
    fn newest(&self) -> Revision {
        let records = self.shown.records.values().map(|record| record.mod_revision);
        let bad = self.shown.bad.values().map(|unread| unread.mod_revision);
        let hidden = self.hidden.values().map(|known| known.modified);
        records.chain(bad).chain(hidden).max().unwrap_or_default()
    }

    /// Whether it has just this record.
    pub fn has(&self, kv: &KeyValue) -> bool {
        let found = (kv.mod_revision, hash(&kv.value));
        if let Some(record) = self.shown.records.get(&kv.key) {
            return is_of(record, kv);
        }
        if let Some(unread) = self.shown.bad.get(&kv.key) {
            return found == (unread.mod_revision, unread.value_hash);
        }
        self.hidden.get(&kv.key).is_some_and(|known| *known == Fingerprint::of(kv))
    }
}

impl Touched {
    fn change(self) -> Option<Change> {
        let Self { key, before, after, last: _ } = self;
        Change::of(key, before, after)
    }
}

impl Delta {
    fn between(old: &Snapshot, new: &Snapshot) -> Self {
        let touched = old.records.diff(&new.records).map(|(key, before, after)| Touched {
            key: key.clone(),
            before: before.map(Arc::clone),
            after: after.map(Arc::clone),
            last: None,
        });
        let changes = touched.filter_map(Touched::change).collect();
        Self { changes, unread_changed: old.bad != new.bad, last: Vec::new() }
    }

    /// What a removed key was right before that, if that is another record than the one in its
    /// change.
    pub fn last(&self, key: &Key) -> Option<&Arc<Record>> {
        let at = self.last.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        Some(&self.last[at].1)
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && !self.unread_changed
    }
}

/// Whether a record was read from just this key and value.
fn is_of(record: &Record, kv: &KeyValue) -> bool {
    record.mod_revision == kv.mod_revision
        && record.create_revision == kv.create_revision
        && record.lease == kv.lease
        && record.value_hash == hash(&kv.value)
}

fn read(layout: &Layout, kv: &KeyValue) -> Reading {
    let (mod_revision, value_hash) = (kv.mod_revision, hash(&kv.value));
    let content = match layout.decode(&kv.key, &kv.value) {
        Decoded::Instance(instance) => Content::Instance(instance),
        Decoded::Config(config) => Content::Config(config),
        Decoded::Ignored => return Reading::Hidden(Fingerprint::of(kv)),
        Decoded::Bad(bad) => {
            return Reading::Unread(Arc::new(Unread { mod_revision, value_hash, bad }));
        }
    };
    Reading::Record(Arc::new(Record {
        create_revision: kv.create_revision,
        mod_revision,
        lease: kv.lease,
        value_hash,
        content,
    }))
}

fn put<V: Clone>(map: &mut Map<Key, V>, key: &Key, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key.clone(), value),
        None => map.remove(key),
    }
}
