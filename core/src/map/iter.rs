//! Iteration by index: no stack, no allocation, both ends alike.

use std::iter::FusedIterator;
use std::ops::Range;

use super::tree::{Leaf, Tree};

/// Entries in key order, from either end.
pub struct Iter<'a, K, V> {
    tree: &'a Tree<K, V>,
    /// The indices still to come.
    rest: Range<usize>,
    /// The leaves that the last entries from the front and from the back came from.
    front: Option<Leaf<'a, K, V>>,
    back: Option<Leaf<'a, K, V>>,
}

impl<'a, K, V> Iter<'a, K, V> {
    pub(super) fn new(tree: &'a Tree<K, V>, rest: Range<usize>) -> Self {
        Self { tree, rest, front: None, back: None }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.rest.next()?;
        entry(self.tree, &mut self.front, index)
    }

    /// Skips in O(log n).
    fn nth(&mut self, count: usize) -> Option<Self::Item> {
        let index = self.rest.nth(count)?;
        entry(self.tree, &mut self.front, index)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rest.size_hint()
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let index = self.rest.next_back()?;
        entry(self.tree, &mut self.back, index)
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}

impl<K, V> FusedIterator for Iter<'_, K, V> {}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { tree: self.tree, rest: self.rest.clone(), front: self.front, back: self.back }
    }
}

/// The entry at `index`, from the leaf at hand or else from the one that becomes it.
fn entry<'a, K, V>(
    tree: &'a Tree<K, V>,
    leaf: &mut Option<Leaf<'a, K, V>>,
    index: usize,
) -> Option<(&'a K, &'a V)> {
    match leaf.as_ref().and_then(|leaf| leaf.get(index)) {
        Some(found) => Some(found),
        None => leaf.insert(tree.leaf_at(index)).get(index),
    }
}
