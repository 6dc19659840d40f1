//! The nodes of the map, and what is done to them.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::mem;
use std::slice;
use std::sync::Arc;

use super::few::{Few, WIDEST};

/// A subtree; its clones share its nodes.
pub(super) struct Tree<K, V> {
    /// The number of entries.
    pub(super) len: usize,
    pub(super) node: Node<K, V>,
}

pub(super) enum Node<K, V> {
    Leaf(Arc<Few<Entry<K, V>>>),
    Inner(Arc<Inner<K, V>>),
}

/// Shared by itself, so that copying a leaf clones neither keys nor values.
pub(super) type Entry<K, V> = Arc<(K, V)>;

pub(super) struct Inner<K, V> {
    /// One for each child: no key in the child is smaller, every key before the child is. It may
    /// be a key that was removed since. Bounds change only when children split or join, or a new
    /// first key comes; other copies of the node share them.
    pub(super) bounds: Arc<[K]>,
    pub(super) children: Few<Tree<K, V>>,
}

/// A leaf, and the index in the whole map of its first entry.
pub(super) struct Leaf<'a, K, V> {
    start: usize,
    end: usize,
    entries: &'a Few<Entry<K, V>>,
}

/// The least that a node other than the root holds.
pub(super) const NARROWEST: usize = 6;

impl<K, V> Tree<K, V> {
    /// Whether both are one and the same.
    pub(super) fn shares(&self, other: &Self) -> bool {
        match (&self.node, &other.node) {
            (Node::Leaf(left), Node::Leaf(right)) => Arc::ptr_eq(left, right),
            (Node::Inner(left), Node::Inner(right)) => Arc::ptr_eq(left, right),
            (Node::Leaf(_), Node::Inner(_)) | (Node::Inner(_), Node::Leaf(_)) => false,
        }
    }

    /// The leaf with the entry at `index`, which must be below the length.
    pub(super) fn leaf_at(&self, index: usize) -> Leaf<'_, K, V> {
        let mut tree = self;
        let mut offset = index;
        loop {
            match &tree.node {
                Node::Leaf(entries) => {
                    let start = index - offset;
                    return Leaf { start, end: start + tree.len, entries };
                }
                Node::Inner(node) => {
                    let (slot, within) = node.child_at(offset);
                    (tree, offset) = (&node.children[slot], within);
                }
            }
        }
    }

    /// The number of entries or children in the topmost node.
    pub(super) fn width(&self) -> usize {
        match &self.node {
            Node::Leaf(_) => self.len,
            Node::Inner(node) => node.bounds.len(),
        }
    }

    /// A bound below: no key is smaller. The tree must not be empty.
    fn bound(&self) -> &K {
        match &self.node {
            Node::Leaf(entries) => &entries[0].0,
            Node::Inner(node) => &node.bounds[0],
        }
    }
}

impl<K: Ord, V> Tree<K, V> {
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut tree = self;
        loop {
            match &tree.node {
                Node::Leaf(entries) => return find(entries, key).ok().map(|slot| &entries[slot].1),
                Node::Inner(node) => tree = &node.children[node.child_of(key)],
            }
        }
    }

    /// The index of `key`, or the one it would have.
    pub(super) fn rank<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        let mut tree = self;
        let mut before = 0;
        loop {
            match &tree.node {
                Node::Leaf(entries) => {
                    return find(entries, key).map(|at| before + at).map_err(|at| before + at);
                }
                Node::Inner(node) => {
                    let slot = node.child_of(key);
                    before += node.children.iter().take(slot).map(|child| child.len).sum::<usize>();
                    tree = &node.children[slot];
                }
            }
        }
    }
}

impl<K: Clone, V> Tree<K, V> {
    /// As few nodes as can be, from entries in strictly ascending order.
    pub(super) fn build(entries: Vec<(K, V)>) -> Option<Self> {
        let count = entries.len();
        let mut trees = leaves(entries.into_iter().map(Arc::new), count);
        while trees.len() > 1 {
            let count = trees.len();
            trees = inners(trees.into_iter(), count);
        }
        trees.pop()
    }
}

impl<K: Ord + Clone, V: Clone> Tree<K, V> {
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let old = self.insert_below(key, value);
        if let Some(right) = self.split() {
            let left = mem::take(self);
            let bounds = [left.bound().clone(), right.bound().clone()].into();
            *self = inner(bounds, [left, right].into_iter().collect());
        }
        old
    }

    /// Leaves the topmost node too wide by one where it was full.
    fn insert_below(&mut self, key: K, value: V) -> Option<V> {
        let old = match &mut self.node {
            Node::Leaf(entries) => match find(entries, &key) {
                Ok(slot) => Some(replace(&mut Arc::make_mut(entries)[slot], key, value)),
                Err(slot) => {
                    Arc::make_mut(entries).insert(slot, Arc::new((key, value)));
                    None
                }
            },
            Node::Inner(node) => {
                let node = Arc::make_mut(node);
                let slot = node.child_of(&key);
                if slot == 0 && key < node.bounds[0] {
                    Arc::make_mut(&mut node.bounds)[0] = key.clone();
                }
                let old = node.children[slot].insert_below(key, value);
                if let Some(right) = node.children[slot].split() {
                    node.insert(slot + 1, right);
                }
                old
            }
        };
        self.len += usize::from(old.is_none());
        old
    }

    /// Takes out the entry at `index`, which must be below the length.
    pub(super) fn remove(&mut self, index: usize) -> V {
        let value = self.remove_below(index);
        if let Node::Inner(node) = &self.node
            && node.bounds.len() == 1
        {
            *self = node.children[0].clone();
        }
        value
    }

    /// Leaves the topmost node too narrow by one where it was as narrow as can be.
    fn remove_below(&mut self, index: usize) -> V {
        self.len -= 1;
        match &mut self.node {
            Node::Leaf(entries) => {
                let entry = Arc::make_mut(entries).remove(index);
                Arc::try_unwrap(entry).map_or_else(|shared| shared.1.clone(), |(_, value)| value)
            }
            Node::Inner(node) => {
                let node = Arc::make_mut(node);
                let (slot, offset) = node.child_at(index);
                let value = node.children[slot].remove_below(offset);
                if node.children[slot].width() < NARROWEST {
                    node.widen(slot);
                }
                value
            }
        }
    }

    /// Cuts off the upper half if the topmost node is too wide.
    fn split(&mut self) -> Option<Self> {
        let width = self.width();
        if width <= WIDEST {
            return None;
        }
        let mut parts = match &mut self.node {
            Node::Leaf(entries) => leaves(Arc::make_mut(entries).drain(), width),
            Node::Inner(node) => inners(Arc::make_mut(node).children.drain(), width),
        };
        let right = parts.pop();
        *self = parts.pop()?;
        right
    }

    /// Joins two trees of the same depth, or shares evenly between two what both hold.
    fn join(mut self, mut right: Self) -> Vec<Self> {
        let count = self.width() + right.width();
        match (&mut self.node, &mut right.node) {
            (Node::Leaf(left), Node::Leaf(right)) => {
                let (left, right) = (Arc::make_mut(left), Arc::make_mut(right));
                leaves(left.drain().chain(right.drain()), count)
            }
            (Node::Inner(left), Node::Inner(right)) => {
                let (left, right) = (Arc::make_mut(left), Arc::make_mut(right));
                inners(left.children.drain().chain(right.children.drain()), count)
            }
            (Node::Leaf(_), Node::Inner(_)) | (Node::Inner(_), Node::Leaf(_)) => {
                unreachable!("all leaves are at one depth")
            }
        }
    }
}

impl<K, V> Inner<K, V> {
    /// The slot of the child with the entry at `offset`, and the entry's offset in that child.
    fn child_at(&self, mut offset: usize) -> (usize, usize) {
        let mut slot = 0;
        for child in self.children.iter() {
            if offset < child.len {
                break;
            }
            offset -= child.len;
            slot += 1;
        }
        (slot, offset)
    }

    /// The slot of the child that holds `key` if any does.
    fn child_of<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        let after = self.bounds.iter().position(|bound| bound.borrow() > key);
        after.unwrap_or(self.bounds.len()).saturating_sub(1)
    }
}

impl<K: Ord + Clone, V: Clone> Inner<K, V> {
    fn insert(&mut self, slot: usize, child: Tree<K, V>) {
        let (before, after) = self.bounds.split_at(slot);
        self.bounds = [before, slice::from_ref(child.bound()), after].concat().into();
        self.children.insert(slot, child);
    }

    fn remove(&mut self, slot: usize) -> Tree<K, V> {
        self.bounds = [&self.bounds[..slot], &self.bounds[slot + 1..]].concat().into();
        self.children.remove(slot)
    }

    /// Joins a narrow child with the next one, the last child with the one before it.
    fn widen(&mut self, slot: usize) {
        // Every inner node has two children, the root too: it gives way to an only child.
        let slot = slot.min(self.bounds.len() - 2);
        let (left, right) = (self.remove(slot), self.remove(slot));
        for (after, part) in left.join(right).into_iter().enumerate() {
            self.insert(slot + after, part);
        }
    }
}

impl<K, V> Default for Tree<K, V> {
    fn default() -> Self {
        Self { len: 0, node: Node::Leaf(Arc::new(Few::new())) }
    }
}

impl<K, V> Clone for Tree<K, V> {
    fn clone(&self) -> Self {
        let node = match &self.node {
            Node::Leaf(entries) => Node::Leaf(Arc::clone(entries)),
            Node::Inner(node) => Node::Inner(Arc::clone(node)),
        };
        Self { len: self.len, node }
    }
}

impl<K, V> Clone for Inner<K, V> {
    fn clone(&self) -> Self {
        Self { bounds: Arc::clone(&self.bounds), children: self.children.clone() }
    }
}

impl<'a, K, V> Leaf<'a, K, V> {
    /// The entry at `index` in the whole map, if it is in this leaf.
    pub(super) fn get(&self, index: usize) -> Option<(&'a K, &'a V)> {
        if !(self.start..self.end).contains(&index) {
            return None;
        }
        let (key, value) = &*self.entries[index - self.start];
        Some((key, value))
    }
}

impl<K, V> Clone for Leaf<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Leaf<'_, K, V> {}

// Nodes are searched from their start: the processor then fetches the keys ahead, where a binary
// search of so few would wait for each in turn.

fn find<K, V, Q>(entries: &Few<Entry<K, V>>, key: &Q) -> Result<usize, usize>
where
    K: Borrow<Q>,
    Q: Ord + ?Sized,
{
    let mut slot = 0;
    for entry in entries.iter() {
        match entry.0.borrow().cmp(key) {
            Ordering::Less => slot += 1,
            Ordering::Equal => return Ok(slot),
            Ordering::Greater => return Err(slot),
        }
    }
    Err(slot)
}

/// Puts a new value into an entry, in place if nobody else sees it.
fn replace<K, V: Clone>(entry: &mut Entry<K, V>, key: K, value: V) -> V {
    match Arc::get_mut(entry) {
        Some((_, place)) => mem::replace(place, value),
        None => {
            let old = entry.1.clone();
            *entry = Arc::new((key, value));
            old
        }
    }
}

/// As few leaves as hold the `count` entries, all about equally full.
fn leaves<K, V>(mut entries: impl Iterator<Item = Entry<K, V>>, count: usize) -> Vec<Tree<K, V>> {
    let leaf = |len| {
        let entries = entries.by_ref().take(len).collect();
        Tree { len, node: Node::Leaf(Arc::new(entries)) }
    };
    even(count).map(leaf).collect()
}

/// As few inner nodes as hold the `count` children, none of them empty, all about equally full.
fn inners<K, V>(mut children: impl Iterator<Item = Tree<K, V>>, count: usize) -> Vec<Tree<K, V>>
where
    K: Clone,
{
    let node = |width| {
        let children: Few<Tree<K, V>> = children.by_ref().take(width).collect();
        inner(children.iter().map(|child| child.bound().clone()).collect(), children)
    };
    even(count).map(node).collect()
}

fn inner<K, V>(bounds: Arc<[K]>, children: Few<Tree<K, V>>) -> Tree<K, V> {
    let len = children.iter().map(|child| child.len).sum();
    Tree { len, node: Node::Inner(Arc::new(Inner { bounds, children })) }
}

/// How many go into each of as few nodes as hold `count`.
fn even(count: usize) -> impl Iterator<Item = usize> {
    let nodes = count.div_ceil(WIDEST);
    (0..nodes).map(move |node| count / nodes + usize::from(node < count % nodes))
}
