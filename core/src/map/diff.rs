//! The difference of two maps, skipping what they share.

use std::cmp::Ordering;
use std::sync::Arc;

use super::tree::{Entry, Node, Tree};

/// What differs between two maps: `(key, old value, new value)` in key order; made by
/// [`Map::diff`](super::Map::diff). At least one of the values is there, and they are not equal.
pub struct Diff<'a, K, V> {
    old: Walk<'a, K, V>,
    new: Walk<'a, K, V>,
}

impl<'a, K, V> Diff<'a, K, V> {
    pub(super) fn new(old: &'a Tree<K, V>, new: &'a Tree<K, V>) -> Self {
        let nothing = || Walk { entries: &[], trees: Vec::new() };
        let mut diff = Self { old: nothing(), new: nothing() };
        if !old.shares(new) {
            diff.old.enter(old);
            diff.new.enter(new);
        }
        diff
    }

    /// Steps over shared trees and opens others until both walks stand at an entry or an end.
    fn align(&mut self) {
        loop {
            match (self.old.tree(), self.new.tree()) {
                (Some(old), Some(new)) if old.shares(new) => {
                    self.old.skip();
                    self.new.skip();
                }
                // The larger one is opened: it may begin with the other, never the reverse.
                (Some(old), Some(new)) => match old.len.cmp(&new.len) {
                    Ordering::Less => self.new.open(),
                    Ordering::Greater => self.old.open(),
                    Ordering::Equal => {
                        self.old.open();
                        self.new.open();
                    }
                },
                (Some(_), None) => self.old.open(),
                (None, Some(_)) => self.new.open(),
                (None, None) => return,
            }
        }
    }
}

impl<'a, K: Ord, V: PartialEq> Iterator for Diff<'a, K, V> {
    type Item = (&'a K, Option<&'a V>, Option<&'a V>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.align();
            let order = match (self.old.entry(), self.new.entry()) {
                (Some(old), Some(new)) if Arc::ptr_eq(old, new) => Ordering::Equal,
                (Some(old), Some(new)) => old.0.cmp(&new.0),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return None,
            };
            let old = if order.is_le() { self.old.take() } else { None };
            let new = if order.is_ge() { self.new.take() } else { None };
            match (old, new) {
                (Some(old), Some(new)) if Arc::ptr_eq(old, new) || old.1 == new.1 => {}
                (old, new) => {
                    let (key, _) = &**old.or(new)?;
                    return Some((key, old.map(|entry| &entry.1), new.map(|entry| &entry.1)));
                }
            }
        }
    }
}

/// What one map still has to come: first the rest of a leaf, then trees, the last list first.
/// Lists end where their slots are empty, and no list of trees is.
struct Walk<'a, K, V> {
    entries: &'a [Option<Entry<K, V>>],
    trees: Vec<&'a [Option<Tree<K, V>>]>,
}

impl<'a, K, V> Walk<'a, K, V> {
    /// The tree that comes next, unless an entry or the end does.
    fn tree(&self) -> Option<&'a Tree<K, V>> {
        match self.entry() {
            Some(_) => None,
            None => self.trees.last()?.first()?.as_ref(),
        }
    }

    /// Steps over the next tree.
    fn skip(&mut self) -> Option<&'a Tree<K, V>> {
        let (tree, rest) = self.trees.pop()?.split_first()?;
        if let Some(Some(_)) = rest.first() {
            self.trees.push(rest);
        }
        tree.as_ref()
    }

    /// Replaces the next tree by what is in it.
    fn open(&mut self) {
        if let Some(tree) = self.skip() {
            self.enter(tree);
        }
    }

    fn enter(&mut self, tree: &'a Tree<K, V>) {
        #[cfg(test)]
        ENTERED.set(ENTERED.get() + 1);
        match &tree.node {
            Node::Leaf(entries) => self.entries = entries.slots(),
            Node::Inner(node) => self.trees.push(node.children.slots()),
        }
    }

    fn entry(&self) -> Option<&'a Entry<K, V>> {
        self.entries.first()?.as_ref()
    }

    /// Steps over the next entry.
    fn take(&mut self) -> Option<&'a Entry<K, V>> {
        let (entry, rest) = self.entries.split_first()?;
        self.entries = rest;
        entry.as_ref()
    }
}

#[cfg(test)]
thread_local! {
    /// How many nodes were looked into, for the test that shared ones are not.
    pub(super) static ENTERED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
