use std::collections::{BTreeMap, BTreeSet};

use portolan_core::waist::{Key, KeyRange};

use super::WatcherId;

/// The watchers that are in step, by what they watch, so that a change need not look at all.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(super) struct Index {
    keys: BTreeMap<Key, BTreeSet<WatcherId>>,
    ranges: BTreeMap<KeyRange, BTreeSet<WatcherId>>,
    all: BTreeSet<WatcherId>,
}

impl Index {
    pub(super) fn insert(&mut self, range: &KeyRange, id: WatcherId) {
        self.all.insert(id);
        if range.end.is_empty() {
            self.keys.entry(range.key.clone()).or_default().insert(id);
        } else {
            self.ranges.entry(range.clone()).or_default().insert(id);
        }
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, range: &KeyRange, id: WatcherId) -> bool {
        if !self.all.remove(&id) {
            return false;
        }
        if range.end.is_empty() {
            remove(&mut self.keys, &range.key, id);
        } else {
            remove(&mut self.ranges, range, id);
        }
        true
    }

    pub(super) fn contains(&self, id: WatcherId) -> bool {
        self.all.contains(&id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The watchers of `key`.
    pub(super) fn of<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = WatcherId> + use<'a> {
        let single = self.keys.get(key).into_iter().flatten();
        // Ranges are sorted by their first key.
        let ranges = self
            .ranges
            .iter()
            .take_while(|(range, _)| range.key <= *key)
            .filter(|(range, _)| range.contains(key))
            .flat_map(|(_, ids)| ids);
        single.chain(ranges).copied()
    }
}

fn remove<K: Ord>(map: &mut BTreeMap<K, BTreeSet<WatcherId>>, key: &K, id: WatcherId) {
    if let Some(ids) = map.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}
