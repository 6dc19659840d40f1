use crate::rng::hash;
use crate::waist::{EventKind, Key, KeyEvent, KeyValue, RangeReply, Revision};

/// What is known of a key range at the cursor, without a copy of it: enough to notice that a store
/// is another one, or that something was not told.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(super) struct Known {
    /// How many records there are.
    count: u64,
    /// No record changed later than this.
    newest: Revision,
    /// Whether a record that changed just then is surely there. After it was deleted the newest is
    /// an older one, and which is not known until the store is asked again.
    is_there: bool,
    /// Records that changed just then, not always all of them, with hashes of their values.
    some: Vec<(Key, u64)>,
}

impl Known {
    /// Goes on by the changes of one whole revision.
    pub fn apply(&mut self, events: &[KeyEvent]) {
        for KeyEvent { kind, kv, prev: _ } in events {
            match kind {
                EventKind::Put => {
                    if kv.create_revision == kv.mod_revision {
                        self.count = self.count.saturating_add(1);
                    }
                    self.put(kv);
                }
                EventKind::Delete => {
                    self.count = self.count.saturating_sub(1);
                    self.some.retain(|(key, _)| *key != kv.key);
                    self.is_there &= !self.some.is_empty();
                }
            }
        }
    }

    /// One more record of a list.
    pub fn listed(&mut self, kv: &KeyValue) {
        self.count = self.count.saturating_add(1);
        self.put(kv);
    }

    /// Learns from a range read with its newest record first.
    pub fn learn(&mut self, reply: &RangeReply) {
        self.count = u64::try_from(reply.count).unwrap_or_default();
        match reply.kvs.first() {
            Some(kv) => {
                if kv.mod_revision < self.newest {
                    self.newest = Revision::ZERO;
                }
                self.some.retain(|(key, _)| *key != kv.key);
                self.put(kv);
            }
            None => *self = Self { count: self.count, ..Self::default() },
        }
    }

    /// Whether a range read at the cursor, with its newest record first, shows what is known.
    pub fn is_as(&self, reply: &RangeReply) -> bool {
        self.is_as_new_as(reply)
            && reply.kvs.first().is_none_or(|kv| {
                let known = self.some.iter().find(|(key, _)| *key == kv.key);
                kv.mod_revision < self.newest
                    || known.is_none_or(|(_, value_hash)| *value_hash == hash(&kv.value))
            })
    }

    /// Whether a range read with its newest record first has as many records, and none that is
    /// newer.
    pub fn is_as_new_as(&self, reply: &RangeReply) -> bool {
        let newest = match reply.kvs.first() {
            None => reply.count == 0,
            Some(kv) if self.is_there => kv.mod_revision == self.newest,
            Some(kv) => kv.mod_revision <= self.newest,
        };
        newest && u64::try_from(reply.count) == Ok(self.count)
    }

    fn put(&mut self, kv: &KeyValue) {
        if kv.mod_revision < self.newest {
            return;
        }
        if kv.mod_revision > self.newest {
            self.newest = kv.mod_revision;
            self.some.clear();
        }
        self.is_there = true;
        self.some.push((kv.key.clone(), hash(&kv.value)));
    }
}
