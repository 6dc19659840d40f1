//! Revisions, keys, and what each key was at each revision.
//!
//! ```text
//! put, delete  →  keys: key → versions, newest last     order: (revision, index) → key
//!                 reads look here                        watchers that catch up look here
//! compact(R)   →  of each key the newest version at or below R stays, and all above R
//! ```

mod room;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use portolan_core::waist::{
    EventKind, Key, KeyEvent, KeyRange, KeyValue, LeaseId, Revision, Value,
};

use room::Size;
pub(crate) use room::VERSION_BYTES;

/// The keys of one member and their history back to the last compaction.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Store {
    revision: Revision,
    /// The last compaction; −1 before the first (row R1).
    compacted: Revision,
    keys: BTreeMap<Key, History>,
    order: VecDeque<Place>,
    /// All versions.
    all: Size,
    /// Of these, those that can be read now; the rest is history.
    present: Size,
}

/// Where a change stands in the history.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Place {
    revision: Revision,
    index: u32,
    key: Key,
}

/// All versions of one key, oldest first; `last` apart, since most keys have but one.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct History {
    past: Vec<Version>,
    last: Version,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Version {
    index: u32,
    /// A version of 0 marks a delete, as in a delete event (row K2).
    kv: KeyValue,
}

impl Store {
    /// Empty, at revision 1 (row R1).
    pub(crate) fn new() -> Self {
        Self {
            revision: Revision(1),
            compacted: Revision(-1),
            keys: BTreeMap::new(),
            order: VecDeque::new(),
            all: Size::default(),
            present: Size::default(),
        }
    }

    /// The revision of the last finished request.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// The oldest revision that can be read; −1 if nothing was ever compacted.
    pub(crate) fn compacted(&self) -> Revision {
        self.compacted
    }

    /// Bytes of all keys and values that are kept, history included.
    pub(crate) fn bytes(&self) -> u64 {
        self.all.bytes
    }

    /// Makes the changes written since the last call visible as one revision.
    pub(crate) fn finish(&mut self) {
        self.revision = self.revision.next();
    }

    /// Writes `key` at `revision`, as its `index`th change (rows K1, R4). Returns the record.
    pub(crate) fn put(
        &mut self,
        revision: Revision,
        index: u32,
        key: Key,
        value: Value,
        lease: Option<LeaseId>,
    ) -> KeyValue {
        self.order.push_back(Place { revision, index, key: key.clone() });
        let mut kv = KeyValue {
            key,
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            value,
            lease,
        };
        match self.keys.entry(kv.key.clone()) {
            Entry::Vacant(place) => {
                place.insert(History { past: Vec::new(), last: Version { index, kv: kv.clone() } });
            }
            Entry::Occupied(mut place) => {
                let history = place.get_mut();
                if history.last.kv.version > 0 {
                    self.present -= history.last.size();
                    kv.create_revision = history.last.kv.create_revision;
                    kv.version = history.last.kv.version + 1;
                }
                history.push(Version { index, kv: kv.clone() });
            }
        }
        let size = Size::of(&kv);
        self.all += size;
        self.present += size;
        kv
    }

    /// Deletes `key`, which must be present, at `revision` as its `index`th change.
    pub(crate) fn delete(&mut self, revision: Revision, index: u32, key: &Key) -> KeyValue {
        let kv = KeyValue { key: key.clone(), mod_revision: revision, ..KeyValue::default() };
        self.order.push_back(Place { revision, index, key: key.clone() });
        let history = self.keys.get_mut(key).expect("only keys that were found are deleted");
        self.all += Size::of(&kv);
        self.present -= history.last.size();
        history.push(Version { index, kv: kv.clone() });
        kv
    }

    /// Forgets what was before `revision` (row C2). With `drop_delete` a delete at exactly
    /// `revision` is forgotten too, as some releases do.
    pub(crate) fn compact(&mut self, revision: Revision, drop_delete: bool) {
        let place = self.order.partition_point(|place| place.revision <= revision);
        // Only keys that changed up to here can hold a version that is no longer wanted.
        for Place { key, .. } in self.order.range(..place) {
            let Some(history) = self.keys.get_mut(key) else { continue };
            let (freed, is_empty) = history.forget(revision, drop_delete);
            self.all -= freed;
            if is_empty {
                self.keys.remove(key);
            }
        }
        // A watch can start no earlier than the compaction, so older places are never read again. Those
        // exactly there may name versions that are gone; `events` passes over them.
        let old = self.order.partition_point(|place| place.revision < revision);
        self.order.drain(..old);
        if self.order.capacity() > 4 * self.order.len() {
            self.order.shrink_to(2 * self.order.len());
        }
        self.compacted = revision;
    }

    /// The record of `key` at `revision`.
    pub(crate) fn at(&self, key: &[u8], revision: Revision) -> Option<&KeyValue> {
        self.keys.get(key)?.at(revision)
    }

    /// The record of `key` now, the change under way included.
    pub(crate) fn latest(&self, key: &[u8]) -> Option<&KeyValue> {
        self.keys.get(key)?.last.present()
    }

    /// The records of `keys` at `revision`, by key.
    pub(crate) fn range<'a>(
        &'a self,
        keys: &KeyRange,
        revision: Revision,
    ) -> impl Iterator<Item = &'a KeyValue> + use<'a> {
        let found = bounds(keys).map(|bounds| self.keys.range::<[u8], _>(bounds));
        found.into_iter().flatten().filter_map(move |(_, history)| history.at(revision))
    }

    /// All versions up to `revision`, in order, each with its place within its revision; of those that
    /// lie before the last compaction only what one at `revision` would leave, unless that is nothing
    /// (`HashByRev` in `server/storage/mvcc/kvstore.go`), and without a delete exactly there.
    pub(crate) fn changes(&self, revision: Revision, drop_delete: bool) -> Vec<(KeyValue, u32)> {
        let mut changes = Vec::new();
        let mut leaves_any = false;
        for history in self.keys.values() {
            let up_to = |version: &&Version| version.kv.mod_revision <= revision;
            let all = history.past.iter().chain(std::iter::once(&history.last));
            let mut versions = all.filter(up_to).peekable();
            while let Some(version) = versions.next() {
                let is_there = version.kv.mod_revision == revision && !drop_delete;
                let is_left = versions.peek().is_none() && (version.kv.version > 0 || is_there);
                leaves_any |= is_left;
                changes.push((is_left, version));
            }
        }
        changes.retain(|(is_left, version)| {
            let at = version.kv.mod_revision;
            let is_old_delete = at == self.compacted && version.kv.version == 0;
            (*is_left || !leaves_any || at > self.compacted) && !is_old_delete
        });
        changes.sort_by_key(|(_, version)| (version.kv.mod_revision, version.index));
        changes.into_iter().map(|(_, version)| (version.kv.clone(), version.index)).collect()
    }

    /// The changes of `keys` from `since` on, oldest first, as far as they are kept.
    pub(crate) fn events<'a>(
        &'a self,
        keys: &'a KeyRange,
        since: Revision,
    ) -> impl Iterator<Item = KeyEvent> + use<'a> {
        let start = self.order.partition_point(|place| place.revision < since);
        self.order
            .range(start..)
            .filter(|place| keys.contains(&place.key))
            .filter_map(|place| find(&self.keys, place))
            .map(|kv| event(kv.clone()))
    }
}

impl History {
    fn push(&mut self, version: Version) {
        self.past.push(std::mem::replace(&mut self.last, version));
    }

    /// Drops what nobody can read any more once `revision` is compacted. How much that frees, and
    /// whether nothing is left.
    fn forget(&mut self, revision: Revision, drop_delete: bool) -> (Size, bool) {
        // The newest version at or below `revision` stays, unless it is a delete of no more interest.
        let is_wanted = |version: &Version| {
            let is_there = version.kv.mod_revision == revision && !drop_delete;
            version.kv.version > 0 || version.kv.mod_revision > revision || is_there
        };
        let mut old = self.past.partition_point(|version| version.kv.mod_revision <= revision);
        let mut is_empty = false;
        if self.last.kv.mod_revision > revision {
            if old > 0 && is_wanted(&self.past[old - 1]) {
                old -= 1;
            }
        } else {
            is_empty = !is_wanted(&self.last);
        }
        let mut freed = Size::default();
        self.past.drain(..old).for_each(|version| freed += version.size());
        // A key that is written often must not keep the room of its longest history.
        if self.past.capacity() > 4 * self.past.len() {
            self.past.shrink_to(2 * self.past.len());
        }
        if is_empty {
            freed += self.last.size();
        }
        (freed, is_empty)
    }

    fn at(&self, revision: Revision) -> Option<&KeyValue> {
        if self.last.kv.mod_revision <= revision {
            return self.last.present();
        }
        let after = self.past.partition_point(|version| version.kv.mod_revision <= revision);
        self.past[..after].last()?.present()
    }
}

impl Version {
    fn present(&self) -> Option<&KeyValue> {
        (self.kv.version > 0).then_some(&self.kv)
    }

    fn size(&self) -> Size {
        Size::of(&self.kv)
    }
}

/// The event that tells of `kv`, a put's or a delete's.
pub(crate) fn event(kv: KeyValue) -> KeyEvent {
    KeyEvent { kind: event_kind(&kv), kv, prev: None }
}

/// Whether `kv` is what a put leaves, or what a delete leaves (row K2).
pub(crate) fn event_kind(kv: &KeyValue) -> EventKind {
    if kv.version == 0 { EventKind::Delete } else { EventKind::Put }
}

fn find<'a>(keys: &'a BTreeMap<Key, History>, place: &Place) -> Option<&'a KeyValue> {
    find_both(keys, place).map(|(_, version)| &version.kv)
}

/// The version at a place, and the one before it, if they are kept.
fn find_both<'a>(
    keys: &'a BTreeMap<Key, History>,
    place: &Place,
) -> Option<(Option<&'a Version>, &'a Version)> {
    let History { past, last } = keys.get(&place.key)?;
    let wanted = (place.revision, place.index);
    let sort = |version: &Version| (version.kv.mod_revision, version.index);
    if sort(last) == wanted {
        return Some((past.last(), last));
    }
    let at = past.binary_search_by_key(&wanted, sort).ok()?;
    Some((at.checked_sub(1).map(|before| &past[before]), &past[at]))
}

type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// The bounds of `keys` in a map (row G1); `None` if it can hold no key.
fn bounds(keys: &KeyRange) -> Option<Bounds<'_>> {
    let start = Bound::Included(&*keys.key);
    match &*keys.end {
        [] => Some((start, start)),
        [0] => Some((start, Bound::Unbounded)),
        end => (!keys.is_void()).then_some((start, Bound::Excluded(end))),
    }
}
