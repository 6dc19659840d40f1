//! What a directory shows, without a doubt that it is so.

use std::sync::Arc;

use portolan_core::engine::{
    Content, DirectoryId, Event, Freshness, Record, Snapshot, Step, StepCause, Unread,
};
use portolan_core::layout::{Decoded, Layout};
use portolan_core::map::Map;
use portolan_core::rng::hash;
use portolan_core::waist::{EventKind, Key, KeyEvent, KeyValue, Revision};

/// The records that a reader has, and shows.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct View {
    id: DirectoryId,
    shown: Snapshot,
}

impl View {
    pub fn new(id: DirectoryId) -> Self {
        let shown = Snapshot {
            epoch: 0,
            revision: Revision::ZERO,
            freshness: Freshness::Unsynced,
            records: Map::new(),
            bad: Map::new(),
            suspects: Map::new(),
            guarded: false,
        };
        Self { id, shown }
    }

    /// All records are these.
    pub fn list(&mut self, layout: &Layout, kvs: &[KeyValue], revision: Revision) -> Option<Event> {
        let mut shown = Snapshot { records: Map::new(), bad: Map::new(), ..self.shown.clone() };
        for kv in kvs {
            put(&mut shown, layout, kv);
        }
        self.show(shown, revision)
    }

    /// These changes happened.
    pub fn apply(&mut self, layout: &Layout, events: &[KeyEvent]) -> Option<Event> {
        let mut shown = self.shown.clone();
        for KeyEvent { kind, kv, .. } in events {
            take(&mut shown, &kv.key);
            if *kind == EventKind::Put {
                put(&mut shown, layout, kv);
            }
        }
        self.show(shown, events.last()?.kv.mod_revision)
    }

    fn show(&mut self, shown: Snapshot, revision: Revision) -> Option<Event> {
        let first = self.shown.freshness == Freshness::Unsynced;
        let changes = self.shown.changes_to(&shown);
        let news = first || !changes.is_empty() || shown.bad != self.shown.bad;
        self.shown = Snapshot { revision, freshness: Freshness::Live, ..shown };
        let cause = if first { StepCause::Listed } else { StepCause::Watched };
        let step = Step { cause, changes, snapshot: self.shown.clone() };
        news.then_some(Event::Stepped { id: self.id, step })
    }
}

fn take(shown: &mut Snapshot, key: &Key) {
    shown.records.remove(key);
    shown.bad.remove(key);
}

fn put(shown: &mut Snapshot, layout: &Layout, kv: &KeyValue) {
    let (mod_revision, value_hash) = (kv.mod_revision, hash(&kv.value));
    let content = match layout.decode(&kv.key, &kv.value) {
        Decoded::Instance(instance) => Content::Instance(instance),
        Decoded::Config(config) => Content::Config(config),
        Decoded::Ignored => return,
        Decoded::Bad(bad) => {
            shown.bad.insert(kv.key.clone(), Arc::new(Unread { mod_revision, value_hash, bad }));
            return;
        }
    };
    let record = Record {
        create_revision: kv.create_revision,
        mod_revision,
        lease: kv.lease,
        value_hash,
        content,
    };
    shown.records.insert(kv.key.clone(), Arc::new(record));
}
