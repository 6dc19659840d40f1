//! Iteration by index: no stack, no allocation, both ends alike.

use std::iter::FusedIterator;
use std::ops::Range;

use super::tree::{Leaf, Tree};

/// Entries in key order, from either end.
pub struct Iter<'a, K, V> {
    tree: &'a Tree<K, V>,
    /// The indices still to come.
    rest: Range<usize>,
    /// The leaves that the last entry from the front and from the back came from.
    front: Leaf<'a, K, V>,
    back: Leaf<'a, K, V>,
}

impl<'a, K, V> Iter<'a, K, V> {
    pub(super) fn new(tree: &'a Tree<K, V>, rest: Range<usize>) -> Self {
        Self { tree, rest, front: Leaf::NONE, back: Leaf::NONE }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.rest.next()?;
        Some(self.front.entry(self.tree, index))
    }

    /// Skips in O(log n).
    fn nth(&mut self, count: usize) -> Option<Self::Item> {
        let index = self.rest.nth(count)?;
        Some(self.front.entry(self.tree, index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rest.size_hint()
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let index = self.rest.next_back()?;
        Some(self.back.entry(self.tree, index))
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}

impl<K, V> FusedIterator for Iter<'_, K, V> {}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { tree: self.tree, rest: self.rest.clone(), front: self.front, back: self.back }
    }
}

impl<'a, K, V> Leaf<'a, K, V> {
    /// The entry at `index`, which this leaf holds, or becomes the one that does.
    fn entry(&mut self, tree: &'a Tree<K, V>, index: usize) -> (&'a K, &'a V) {
        if index.wrapping_sub(self.start) >= self.entries.len() {
            *self = tree.leaf_at(index);
        }
        let (key, value) = &*self.entries[index - self.start];
        (key, value)
    }
}
