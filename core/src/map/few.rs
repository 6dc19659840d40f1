//! A short list inside its node, so that a node is one block of memory.

use std::ops::{Index, IndexMut};

/// The most that a node holds at rest. Wider nodes make the map shallower, but copying them
/// touches more reference counts.
pub(super) const WIDEST: usize = 16;

/// A list of at most `WIDEST`, and one more for the moment before its node is split. What is
/// there fills the first slots, the others are empty.
#[derive(Clone)]
pub(super) struct Few<T> {
    slots: [Option<T>; WIDEST + 1],
}

impl<T> Few<T> {
    pub(super) fn new() -> Self {
        Self { slots: [const { None }; WIDEST + 1] }
    }

    pub(super) fn insert(&mut self, slot: usize, item: T) {
        self.slots[slot..].rotate_right(1);
        self.slots[slot] = Some(item);
    }

    pub(super) fn remove(&mut self, slot: usize) -> T {
        let item = self.slots[slot].take().expect("the slot is in use");
        self.slots[slot..].rotate_left(1);
        item
    }

    /// Takes everything out, from the first to the last.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.slots.iter_mut().map_while(Option::take)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().map_while(Option::as_ref)
    }

    /// The slots, empty ones at the end.
    pub(super) fn slots(&self) -> &[Option<T>] {
        &self.slots
    }
}

impl<T> Index<usize> for Few<T> {
    type Output = T;

    fn index(&self, slot: usize) -> &T {
        self.slots[slot].as_ref().expect("the slot is in use")
    }
}

impl<T> IndexMut<usize> for Few<T> {
    fn index_mut(&mut self, slot: usize) -> &mut T {
        self.slots[slot].as_mut().expect("the slot is in use")
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut few = Self::new();
        // The slots come first: `zip` takes from the items only what has one.
        few.slots.iter_mut().zip(items).for_each(|(slot, item)| *slot = Some(item));
        few
    }
}
