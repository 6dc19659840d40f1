//! The nodes of the map, and what is done to them.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::iter;
use std::mem;
use std::sync::Arc;

/// A subtree; its clones share its nodes.
pub(super) enum Tree<K, V> {
    Leaf(Arc<[Entry<K, V>]>),
    Inner {
        /// The number of entries below.
        len: usize,
        node: Arc<Inner<K, V>>,
    },
}

/// Shared by itself, so that copying a leaf clones neither keys nor values.
pub(super) type Entry<K, V> = Arc<(K, V)>;

/// An inner node.
pub(super) struct Inner<K, V> {
    /// One for each child: no key in the child is smaller, every key before the child is.
    bounds: Arc<[K]>,
    pub(super) children: Vec<Tree<K, V>>,
}

/// A leaf, and the index in the whole map of its first entry.
pub(super) struct Leaf<'a, K, V> {
    pub(super) start: usize,
    pub(super) entries: &'a [Entry<K, V>],
}

/// The most entries or children that a node holds.
pub(super) const WIDEST: usize = 12;

/// The least that a node other than the root holds.
pub(super) const NARROWEST: usize = 4;

impl<K, V> Tree<K, V> {
    pub(super) fn empty() -> Self {
        Self::Leaf(Arc::default())
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Inner { len, .. } => *len,
        }
    }

    /// Whether both are one and the same, or at least both empty.
    pub(super) fn shares(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Leaf(left), Self::Leaf(right)) => Arc::ptr_eq(left, right),
            (Self::Inner { node: left, .. }, Self::Inner { node: right, .. }) => {
                Arc::ptr_eq(left, right)
            }
            (Self::Leaf(_), Self::Inner { .. }) | (Self::Inner { .. }, Self::Leaf(_)) => false,
        }
    }

    /// The leaf with the entry at `index`, which must be below the length.
    pub(super) fn leaf_at(&self, index: usize) -> Leaf<'_, K, V> {
        let mut tree = self;
        let mut offset = index;
        loop {
            match tree {
                Self::Leaf(entries) => return Leaf { start: index - offset, entries },
                Self::Inner { node, .. } => tree = &node.children[node.child_at(&mut offset)],
            }
        }
    }

    /// The number of entries or children in the topmost node.
    fn width(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Inner { node, .. } => node.children.len(),
        }
    }

    /// A bound below: no key is smaller. The tree must not be empty.
    fn bound(&self) -> &K {
        match self {
            Self::Leaf(entries) => &entries[0].0,
            Self::Inner { node, .. } => &node.bounds[0],
        }
    }

    fn inner(bounds: Arc<[K]>, children: Vec<Self>) -> Self {
        let len = children.iter().map(Self::len).sum();
        Self::Inner { len, node: Arc::new(Inner { bounds, children }) }
    }
}

impl<K: Ord, V> Tree<K, V> {
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut tree = self;
        loop {
            match tree {
                Self::Leaf(entries) => return find(entries, key).ok().map(|slot| &entries[slot].1),
                Self::Inner { node, .. } => tree = &node.children[node.child_of(key)],
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
            match tree {
                Self::Leaf(entries) => {
                    return find(entries, key).map(|at| before + at).map_err(|at| before + at);
                }
                Self::Inner { node, .. } => {
                    let slot = node.child_of(key);
                    before += node.children[..slot].iter().map(Self::len).sum::<usize>();
                    tree = &node.children[slot];
                }
            }
        }
    }
}

impl<K: Clone, V> Tree<K, V> {
    /// As few nodes as can be, from entries in strictly ascending order.
    pub(super) fn build(entries: impl ExactSizeIterator<Item = (K, V)>) -> Self {
        let sizes = even(entries.len());
        let mut entries = entries.map(Arc::new);
        let mut trees: Vec<Self> =
            sizes.map(|size| Self::Leaf(entries.by_ref().take(size).collect())).collect();
        while trees.len() > 1 {
            let sizes = even(trees.len());
            let mut children = trees.into_iter();
            trees = sizes.map(|size| Self::over(children.by_ref().take(size).collect())).collect();
        }
        trees.pop().unwrap_or_else(Self::empty)
    }

    /// A tree of these children, none of them empty.
    fn over(children: Vec<Self>) -> Self {
        Self::inner(children.iter().map(|child| child.bound().clone()).collect(), children)
    }
}

impl<K: Ord + Clone, V: Clone> Tree<K, V> {
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let old = self.insert_below(key, value);
        if let Some(right) = self.split() {
            let left = mem::replace(self, Self::empty());
            *self = Self::over(vec![left, right]);
        }
        old
    }

    /// Leaves the topmost node too wide by one where it was full.
    fn insert_below(&mut self, key: K, value: V) -> Option<V> {
        match self {
            Self::Leaf(entries) => match find(entries, &key) {
                Ok(slot) => Some(replace(entries, slot, key, value)),
                Err(slot) => {
                    let entry = Arc::new((key, value));
                    *entries = with(entries, slot, entry).collect();
                    None
                }
            },
            Self::Inner { len, node } => {
                let node = Arc::make_mut(node);
                let slot = node.child_of(&key);
                if key < node.bounds[slot] {
                    Arc::make_mut(&mut node.bounds)[slot] = key.clone();
                }
                let old = node.children[slot].insert_below(key, value);
                if old.is_none() {
                    *len += 1;
                    if let Some(right) = node.children[slot].split() {
                        node.insert(slot + 1, right);
                    }
                }
                old
            }
        }
    }

    /// Takes out the entry at `index`, which must be below the length.
    pub(super) fn remove(&mut self, index: usize) -> V {
        let value = self.remove_below(index);
        if let Self::Inner { node, .. } = self
            && let [only] = &*node.children
        {
            *self = only.clone();
        }
        value
    }

    /// Leaves the topmost node too narrow by one where it was as narrow as can be.
    fn remove_below(&mut self, index: usize) -> V {
        match self {
            Self::Leaf(entries) => {
                let value = entries[index].1.clone();
                *entries = without(entries, index).collect();
                value
            }
            Self::Inner { len, node } => {
                *len -= 1;
                let node = Arc::make_mut(node);
                let mut offset = index;
                let slot = node.child_at(&mut offset);
                let value = node.children[slot].remove_below(offset);
                if node.children[slot].width() < NARROWEST {
                    node.widen(slot);
                }
                value
            }
        }
    }

    /// Appends a tree of the same depth.
    fn append(&mut self, right: &Self) {
        match (&mut *self, right) {
            (Self::Leaf(left), Self::Leaf(right)) => {
                *left = left.iter().chain(&**right).cloned().collect();
            }
            (Self::Inner { node: left, .. }, Self::Inner { node: right, .. }) => {
                let bounds = left.bounds.iter().chain(&*right.bounds).cloned().collect();
                let children = left.children.iter().chain(&right.children).cloned().collect();
                *self = Self::inner(bounds, children);
            }
            (Self::Leaf(_), Self::Inner { .. }) | (Self::Inner { .. }, Self::Leaf(_)) => {
                unreachable!("all leaves are at one depth")
            }
        }
    }

    /// Cuts off the upper half if the topmost node is too wide.
    fn split(&mut self) -> Option<Self> {
        let middle = self.width() / 2;
        if self.width() <= WIDEST {
            return None;
        }
        let (left, right) = match self {
            Self::Leaf(entries) => {
                let (left, right) = entries.split_at(middle);
                (Self::Leaf(left.into()), Self::Leaf(right.into()))
            }
            Self::Inner { node, .. } => {
                let (left, right) = node.children.split_at(middle);
                let (below, above) = node.bounds.split_at(middle);
                (Self::inner(below.into(), left.into()), Self::inner(above.into(), right.into()))
            }
        };
        *self = left;
        Some(right)
    }
}

impl<K: Ord, V> Inner<K, V> {
    /// The slot of the child that holds `key` if any does.
    fn child_of<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        let after = self.bounds.iter().position(|bound| bound.borrow() > key);
        after.unwrap_or(self.bounds.len()).saturating_sub(1)
    }
}

impl<K, V> Inner<K, V> {
    /// The slot of the child with the entry at `offset`, which becomes the offset in the child.
    fn child_at(&self, offset: &mut usize) -> usize {
        let mut slot = 0;
        while *offset >= self.children[slot].len() {
            *offset -= self.children[slot].len();
            slot += 1;
        }
        slot
    }
}

impl<K: Ord + Clone, V: Clone> Inner<K, V> {
    fn insert(&mut self, slot: usize, child: Tree<K, V>) {
        self.bounds = with(&self.bounds, slot, child.bound().clone()).collect();
        self.children.insert(slot, child);
    }

    /// Joins a narrow child with a neighbour, or shares with it what both have.
    fn widen(&mut self, slot: usize) {
        if self.children.len() == 1 {
            return;
        }
        let left = slot.saturating_sub(1);
        let right = self.children.remove(left + 1);
        self.bounds = without(&self.bounds, left + 1).collect();
        self.children[left].append(&right);
        if let Some(right) = self.children[left].split() {
            self.insert(left + 1, right);
        }
    }
}

impl<K, V> Clone for Tree<K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::Leaf(entries) => Self::Leaf(Arc::clone(entries)),
            Self::Inner { len, node } => Self::Inner { len: *len, node: Arc::clone(node) },
        }
    }
}

impl<K, V> Clone for Inner<K, V> {
    fn clone(&self) -> Self {
        Self { bounds: Arc::clone(&self.bounds), children: self.children.clone() }
    }
}

impl<K, V> Leaf<'_, K, V> {
    pub(super) const NONE: Self = Leaf { start: 0, entries: &[] };
}

impl<K, V> Clone for Leaf<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Leaf<'_, K, V> {}

// Nodes are searched from their start: the processor then fetches the keys ahead, where a binary
// search of so few would wait for each in turn.

fn find<K, V, Q>(entries: &[Entry<K, V>], key: &Q) -> Result<usize, usize>
where
    K: Borrow<Q>,
    Q: Ord + ?Sized,
{
    for (slot, entry) in entries.iter().enumerate() {
        match entry.0.borrow().cmp(key) {
            Ordering::Less => {}
            Ordering::Equal => return Ok(slot),
            Ordering::Greater => return Err(slot),
        }
    }
    Err(entries.len())
}

/// Puts a new value into the entry at `slot`, in place if nobody else sees it.
fn replace<K, V: Clone>(
    entries: &mut Arc<[Entry<K, V>]>,
    slot: usize,
    key: K,
    value: V,
) -> V {
    let entry = &mut Arc::make_mut(entries)[slot];
    match Arc::get_mut(entry) {
        Some((_, place)) => mem::replace(place, value),
        None => {
            let old = entry.1.clone();
            *entry = Arc::new((key, value));
            old
        }
    }
}

fn with<T: Clone>(list: &[T], slot: usize, item: T) -> impl Iterator<Item = T> {
    let (before, after) = list.split_at(slot);
    before.iter().cloned().chain(iter::once(item)).chain(after.iter().cloned())
}

fn without<T: Clone>(list: &[T], slot: usize) -> impl Iterator<Item = T> {
    list[..slot].iter().chain(&list[slot + 1..]).cloned()
}

/// How many go into each of as few nodes as hold `count`, all about equally full.
fn even(count: usize) -> impl Iterator<Item = usize> {
    let nodes = count.div_ceil(WIDEST);
    (0..nodes).map(move |node| count * (node + 1) / nodes - count * node / nodes)
}
