//! A persistent ordered map: the content of a directory, shared by its snapshots.
//!
//! Cloning costs one reference count. Changing a map that shares nothing happens in place;
//! changing one that has clones copies the nodes from the root to the entry and no others, and
//! the clones stay as they were.
//!
//! ```text
//! Map ── Tree ── Inner ─┬─ Tree ── Inner ── ..       all leaves are at one depth
//!                       └─ Tree ── Leaf ─┬─ Entry    (key, value), shared by copies of the leaf
//!                                        └─ Entry
//! ```
//!
//! It is a B+ tree of narrow nodes, since a copy of a node touches the reference count of each
//! thing in it: one for an entry, however many its key and value have, and one for a child.
//! Each tree knows its number of entries. That makes [`Map::nth`] cheap, and ranges, iterators
//! and removals nothing more than indices.

mod diff;
mod few;
mod iter;
#[cfg(test)]
mod tests;
mod tree;

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::mem;
use std::ops::{Bound, RangeBounds};

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use diff::Diff;
pub use iter::Iter;
use tree::Tree;

/// A persistent ordered map; see the [module](self).
///
/// Two maps with the same entries are equal and hash equally, however they came about.
pub struct Map<K, V> {
    root: Tree<K, V>,
}

impl<K, V> Map<K, V> {
    /// A map without entries.
    pub fn new() -> Self {
        Self { root: Tree::default() }
    }

    /// The number of entries; O(1).
    pub fn len(&self) -> usize {
        self.root.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry at `index` in key order, or `None` if `index` is not below [`len`](Self::len);
    /// O(log n), and it allocates nothing.
    pub fn nth(&self, index: usize) -> Option<(&K, &V)> {
        if index >= self.len() {
            return None;
        }
        self.root.leaf_at(index).get(index)
    }

    /// The entry with the smallest key.
    pub fn first(&self) -> Option<(&K, &V)> {
        self.nth(0)
    }

    /// The entry with the greatest key.
    pub fn last(&self) -> Option<(&K, &V)> {
        self.nth(self.len().checked_sub(1)?)
    }

    /// All entries in key order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter::new(&self.root, 0..self.len())
    }

    /// All keys in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator {
        self.iter().map(|(key, _)| key)
    }

    /// All values in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> Map<K, V> {
    /// The value of `key`.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.root.get(key)
    }

    /// Whether there is a value of `key`.
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.get(key).is_some()
    }

    /// The entries whose keys lie within `bounds`, in key order; none if the bounds cross.
    pub fn range<Q, R>(&self, bounds: R) -> Iter<'_, K, V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
        R: RangeBounds<Q>,
    {
        let start = match bounds.start_bound() {
            Bound::Included(key) => self.root.rank(key).unwrap_or_else(|index| index),
            Bound::Excluded(key) => self.root.rank(key).map_or_else(|index| index, |at| at + 1),
            Bound::Unbounded => 0,
        };
        let end = match bounds.end_bound() {
            Bound::Included(key) => self.root.rank(key).map_or_else(|index| index, |at| at + 1),
            Bound::Excluded(key) => self.root.rank(key).unwrap_or_else(|index| index),
            Bound::Unbounded => self.len(),
        };
        Iter::new(&self.root, start..end)
    }

    /// The keys on which this map and `new` differ, in order, each with its value here and its
    /// value there. Parts that both maps share are skipped unseen, so that the difference to a
    /// clone costs what was changed since, not what there is.
    pub fn diff<'a>(&'a self, new: &'a Self) -> Diff<'a, K, V> {
        Diff::new(&self.root, &new.root)
    }
}

impl<K: Ord + Clone, V: Clone> Map<K, V> {
    /// Sets the value of `key` and returns the one it had. Of two equal keys either may be kept.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.root.insert(key, value)
    }

    /// Takes the entry of `key` away and returns its value. Copies nothing if there is none.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let index = self.root.rank(key).ok()?;
        Some(self.root.remove(index))
    }
}

impl<K, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone() }
    }
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord, V: PartialEq> PartialEq for Map<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.diff(other).next().is_none()
    }
}

impl<K: Ord, V: Eq> Eq for Map<K, V> {}

impl<K: Hash, V: Hash> Hash for Map<K, V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|entry| entry.hash(state));
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<'a, K, V> IntoIterator for &'a Map<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

/// Fills its nodes, which insertion leaves a third empty; of equal keys the last wins. Linear if
/// the entries come in order.
impl<K: Ord + Clone, V> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries: Vec<(K, V)> = entries.into_iter().collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        // The sort is stable: of equal neighbours the later came later.
        entries.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                mem::swap(later, kept);
            }
            same
        });
        Self { root: Tree::build(entries).unwrap_or_default() }
    }
}

impl<K: Ord + Clone, V: Clone> Extend<(K, V)> for Map<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        entries.into_iter().for_each(|(key, value)| drop(self.insert(key, value)));
    }
}

impl<K: Serialize, V: Serialize> Serialize for Map<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'de, K, V> Deserialize<'de> for Map<K, V>
where
    K: Ord + Clone + Deserialize<'de>,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for Entries<K, V>
where
    K: Ord + Clone + Deserialize<'de>,
    V: Deserialize<'de>,
{
    type Value = Map<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Map<K, V>, A::Error> {
        // Grows with what arrives: a length claimed by the input reserves nothing.
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(entries.into_iter().collect())
    }
}
