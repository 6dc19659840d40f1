use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::ops::Bound;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::Map;
use super::diff::ENTERED;
use super::few::WIDEST;
use super::tree::{NARROWEST, Node, Tree};
use crate::waist::Key;

type Model = BTreeMap<u16, u32>;

#[derive(Clone, Copy, Debug)]
enum Op {
    Insert(u16, u32),
    Remove(u16),
    /// Removes what is at this share of the length, in 1/65,536.
    RemoveNth(u16),
    Snapshot,
    Forget,
}

/// Mostly inserts or mostly removals, so that maps grow three levels deep and shrink again.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let phase = |inserts, removals| {
        let op = prop_oneof![
            inserts => (key(), 0..3_u32).prop_map(|(key, value)| Op::Insert(key, value)),
            removals => key().prop_map(Op::Remove),
            removals => any::<u16>().prop_map(Op::RemoveNth),
            1 => Just(Op::Snapshot),
            1 => Just(Op::Forget),
        ];
        vec(op, 0..500)
    };
    (phase(20, 1), phase(1, 20), phase(10, 5))
        .prop_map(|(grow, shrink, mixed)| [grow, shrink, mixed].concat())
}

fn key() -> impl Strategy<Value = u16> {
    0..600_u16
}

/// A map with its model, filled in one go.
fn filled() -> impl Strategy<Value = (Map<u16, u32>, Model)> {
    proptest::collection::btree_map(key(), 0..3_u32, 0..600)
        .prop_map(|model| (model.clone().into_iter().collect(), model))
}

impl Op {
    /// Applies it to both, which must give the same answer.
    fn apply(self, map: &mut Map<u16, u32>, model: &mut Model) {
        match self {
            Self::Insert(key, value) => {
                assert_eq!(map.insert(key, value), model.insert(key, value), "{self:?}");
            }
            Self::Remove(key) => assert_eq!(map.remove(&key), model.remove(&key), "{self:?}"),
            Self::RemoveNth(share) => {
                let index = model.len() * usize::from(share) / 0x1_0000;
                if let Some(&key) = model.keys().nth(index) {
                    assert_eq!(map.remove(&key), model.remove(&key), "{self:?}");
                }
            }
            Self::Snapshot | Self::Forget => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The map answers like a `BTreeMap`, keeps its shape, and no snapshot ever changes.
    #[test]
    fn a_map_is_its_model((mut map, mut model) in filled(), ops in ops()) {
        let mut snapshots = Vec::new();
        for op in ops {
            op.apply(&mut map, &mut model);
            check(&map);
            match op {
                Op::Snapshot => snapshots.push((map.clone(), model.clone())),
                Op::Forget => drop(snapshots.pop()),
                Op::Insert(..) | Op::Remove(_) | Op::RemoveNth(_) => {}
            }
        }
        snapshots.push((map, model));
        for (map, model) in snapshots {
            check(&map);
            prop_assert!(map.iter().eq(&model), "{map:?} is not {model:?}");
        }
    }

    /// Keys find what they find in the model.
    #[test]
    fn lookups_are_the_models((map, model) in filled(), from in key(), to in key()) {
        for key in [from, to] {
            prop_assert_eq!(map.get(&key), model.get(&key));
            prop_assert_eq!(map.contains_key(&key), model.contains_key(&key));
        }
        prop_assert_eq!(map.first(), model.first_key_value());
        prop_assert_eq!(map.last(), model.last_key_value());
        prop_assert_eq!(map.len(), model.len());
        prop_assert_eq!(map.is_empty(), model.is_empty());

        use Bound::{Excluded, Included, Unbounded};
        let (low, high) = (from.min(to), from.max(to));
        for start in [Included(low), Excluded(low), Unbounded] {
            for end in [Included(high), Excluded(high), Unbounded] {
                if (start, end) == (Excluded(high), Excluded(low)) {
                    continue; // An empty range of one key, at which the model panics.
                }
                let range = map.range((start, end));
                prop_assert_eq!(range.len(), model.range((start, end)).count());
                prop_assert!(range.eq(model.range((start, end))), "{:?}..{:?}", start, end);
            }
        }
        prop_assert_eq!(map.range(high..low).len(), 0);
    }

    /// An index finds what counting finds, from either end.
    #[test]
    fn nth_is_counting((map, model) in filled(), ends in vec(any::<bool>(), 0..700)) {
        for index in 0..=model.len() {
            prop_assert_eq!(map.nth(index), model.iter().nth(index));
            prop_assert_eq!(map.iter().nth(index), model.iter().nth(index));
        }
        let (mut ours, mut models) = (map.iter(), model.iter());
        for front in ends {
            prop_assert_eq!(ours.len(), models.len());
            match front {
                true => prop_assert_eq!(ours.next(), models.next()),
                false => prop_assert_eq!(ours.next_back(), models.next_back()),
            }
        }
        prop_assert!(map.keys().rev().eq(model.keys().rev()));
        prop_assert!(map.values().eq(model.values()));
    }

    /// Applying the difference to the old map gives the new one, and it has nothing superfluous.
    #[test]
    fn applying_the_diff_arrives(
        (old, model) in filled(),
        ops in ops(),
        unrelated in filled(),
    ) {
        let mut changed = (old.clone(), model.clone());
        ops.iter().for_each(|op| op.apply(&mut changed.0, &mut changed.1));
        for (new, new_model) in [changed, unrelated, (Map::new(), Model::new())] {
            let keys: BTreeSet<_> = model.keys().chain(new_model.keys()).collect();
            let expected: Vec<_> = keys
                .into_iter()
                .map(|key| (key, model.get(key), new_model.get(key)))
                .filter(|(_, old, new)| old != new)
                .collect();
            prop_assert_eq!(old.diff(&new).collect::<Vec<_>>(), expected.clone());
            let back = expected.into_iter().map(|(key, old, new)| (key, new, old));
            prop_assert!(new.diff(&old).eq(back));

            let mut arrived = old.clone();
            for (key, _, value) in old.diff(&new) {
                match value {
                    Some(value) => arrived.insert(*key, *value),
                    None => arrived.remove(key),
                };
            }
            prop_assert_eq!(arrived, new);
        }
    }

    /// Equality and hash see the entries, not how they came there.
    #[test]
    fn history_does_not_show((mut map, mut model) in filled(), ops in ops(), key in key()) {
        ops.iter().for_each(|op| op.apply(&mut map, &mut model));
        let built: Map<u16, u32> = model.clone().into_iter().collect();
        let mut grown = Map::new();
        grown.extend(model.clone().into_iter().rev());
        for same in [&built, &grown] {
            prop_assert_eq!(same, &map);
            prop_assert_eq!(hashed(same), hashed(&map));
            prop_assert_eq!(same.diff(&map).count(), 0);
        }

        let value = map.get(&key).map_or(0, |value| value + 1);
        grown.insert(key, value);
        prop_assert_ne!(&grown, &map);
        prop_assert_ne!(hashed(&grown), hashed(&map));
    }

    /// Of equal keys the last wins, in whatever order they come.
    #[test]
    fn building_is_inserting(entries in vec((0..100_u16, any::<u32>()), 0..400)) {
        let map: Map<_, _> = entries.iter().copied().collect();
        check(&map);
        let model: Model = entries.into_iter().collect();
        prop_assert!(map.iter().eq(&model));
    }

    #[test]
    fn serde_round_trips((map, model) in filled()) {
        let text = serde_json::to_string(&map).expect("numbers can be keys");
        prop_assert_eq!(&text, &serde_json::to_string(&model).expect("numbers can be keys"));
        let back: Map<u16, u32> = serde_json::from_str(&text).expect("it was written by us");
        check(&back);
        prop_assert_eq!(back, map);
    }
}

#[test]
fn serde_takes_any_order_and_refuses_other_types() {
    let map: Map<Key, u32> =
        serde_json::from_str(r#"{"b":1,"a":2,"b":3}"#).expect("the last of two entries wins");
    assert_eq!(format!("{map:?}"), r#"{"a": 2, "b": 3}"#);
    assert_eq!(map.get(&b"a"[..]), Some(&2), "bytes find the key that wraps them");
    let error = serde_json::from_str::<Map<Key, u32>>("[1]").expect_err("a list is no map");
    assert_eq!(error.to_string(), "invalid type: sequence, expected a map at line 1 column 0");
}

#[test]
fn maps_cross_threads() {
    fn crosses<T: Send + Sync>(_: &T) {}
    crosses(&Map::<Key, Arc<u32>>::new());
}

/// A change to a shared map copies the nodes on the way to the entry, and clones no key.
#[test]
fn a_shared_map_copies_one_path() {
    let map = counted(10_000);
    let depth = depth(&map.root);
    assert!(depth >= 4, "the map is too small to show anything");
    let before = nodes(&map.root);

    let mut changed = map.clone();
    CLONES.set(0);
    for (change, fresh) in [("a new value", depth), ("another in place", depth)] {
        changed.insert(Counted(5_000), 0);
        let copied = nodes(&changed.root).difference(&before).count();
        assert_eq!(copied, fresh, "nodes copied for {change}");
    }
    assert_eq!(changed.remove(&Counted(5_001)), Some(5_001));
    assert_eq!(nodes(&changed.root).difference(&before).count(), depth, "the same path again");
    assert_eq!(changed.remove(&Counted(70_000)), None);
    assert_eq!(nodes(&changed.root).difference(&before).count(), depth, "nothing to remove");
    assert_eq!(CLONES.get(), 0, "keys cloned");
    assert_eq!(nodes(&map.root), before);
}

#[test]
fn an_unshared_map_changes_in_place() {
    let mut map = counted(10_000);
    let before = nodes(&map.root);
    let value = || std::ptr::from_ref(map.get(&Counted(7)).expect("it was inserted"));
    let place = value();
    assert_eq!(map.insert(Counted(7), 1), Some(7));
    assert_eq!(map.remove(&Counted(8)), Some(8));
    assert_eq!(map.insert(Counted(8), 2), None);
    let value = || std::ptr::from_ref(map.get(&Counted(7)).expect("it was inserted"));
    assert_eq!(value(), place, "the entry moved");
    assert_eq!(nodes(&map.root), before, "nodes were replaced");
}

/// What both maps share costs nothing, however much it is.
#[test]
fn diff_skips_what_is_shared() {
    let old = counted(10_000);
    let mut new = old.clone();
    let cost = |new: &Map<Counted, u32>| {
        ENTERED.set(0);
        COMPARES.set(0);
        (old.diff(new).count(), ENTERED.get(), COMPARES.get())
    };
    assert_eq!(cost(&new), (0, 0, 0), "differences, nodes entered, keys compared");

    let path = 2 * depth(&old.root);
    new.insert(Counted(5_000), 1_000_000);
    assert_eq!(cost(&new), (1, path, 1), "one new value");

    for gone in 5_000..5_010 {
        new.remove(&Counted(gone));
    }
    for fresh in 10_000..10_010 {
        new.insert(Counted(fresh), 0);
    }
    // Here nodes were joined and split, and both sides meet again right behind.
    let (differences, entered, compares) = cost(&new);
    assert_eq!(differences, 20);
    assert!(entered <= 3 * path, "{entered} nodes entered");
    assert!(compares <= 3 * WIDEST, "{compares} keys compared");
}

/// Four levels deep, up and down again.
#[test]
fn a_large_map_keeps_its_shape() {
    let mut map = Map::new();
    // An odd factor: no key comes twice.
    let keys = || (0..20_000_u16).map(|index| index.wrapping_mul(7_919));
    for (count, key) in keys().enumerate() {
        assert_eq!(map.insert(key, count), None);
        if count % 500 == 0 {
            check(&map);
        }
    }
    assert!(depth(&map.root) >= 4, "the map is too small to show anything");
    for (count, key) in keys().enumerate() {
        assert_eq!(map.remove(&key), Some(count));
        if count % 500 == 0 {
            check(&map);
        }
    }
    assert_eq!(map, Map::new());
}

/// A key that counts what is done to it.
#[derive(Debug, PartialEq, Eq)]
struct Counted(u32);

thread_local! {
    static CLONES: Cell<usize> = const { Cell::new(0) };
    static COMPARES: Cell<usize> = const { Cell::new(0) };
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        CLONES.set(CLONES.get() + 1);
        Self(self.0)
    }
}

impl Ord for Counted {
    fn cmp(&self, other: &Self) -> Ordering {
        COMPARES.set(COMPARES.get() + 1);
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Counted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Keys from 0 to below `len`, each its own value, inserted out of order.
fn counted(len: u32) -> Map<Counted, u32> {
    let mut map = Map::new();
    for index in 0..len {
        // 7,919 is a prime that divides no length used here, so every key comes once.
        let key = index * 7_919 % len;
        map.insert(Counted(key), key);
    }
    map
}

/// Everything that hashing writes.
fn hashed(map: &Map<u16, u32>) -> Vec<u8> {
    struct Recorder(Vec<u8>);
    impl Hasher for Recorder {
        fn finish(&self) -> u64 {
            0
        }

        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }
    let mut recorder = Recorder(Vec::new());
    map.hash(&mut recorder);
    recorder.0
}

fn depth<K, V>(tree: &Tree<K, V>) -> usize {
    match &tree.node {
        Node::Leaf(_) => 1,
        Node::Inner(node) => 1 + depth(&node.children[0]),
    }
}

/// The addresses of all nodes.
fn nodes<K, V>(tree: &Tree<K, V>) -> BTreeSet<usize> {
    match &tree.node {
        Node::Leaf(entries) => BTreeSet::from([Arc::as_ptr(entries).addr()]),
        Node::Inner(node) => {
            let own = Arc::as_ptr(node).addr();
            node.children.iter().flat_map(nodes).chain([own]).collect()
        }
    }
}

/// Holds the map to its shape.
fn check<V>(map: &Map<u16, V>) {
    let root = &map.root;
    assert!(matches!(root.node, Node::Leaf(_)) || root.width() >= 2, "the root has an only child");
    check_tree(root, 0..=u16::MAX, depth(root), 0);
}

/// Holds a tree to the keys that its parents allow, its depth, and at least `narrowest` things.
fn check_tree<V>(
    tree: &Tree<u16, V>,
    allowed: std::ops::RangeInclusive<u16>,
    depth: usize,
    narrowest: usize,
) {
    assert!((narrowest..=WIDEST).contains(&tree.width()), "{} in a node", tree.width());
    match &tree.node {
        Node::Leaf(entries) => {
            assert_eq!(depth, 1, "a leaf at another depth");
            let keys: Vec<u16> = entries.iter().map(|entry| entry.0).collect();
            assert_eq!(keys.len(), tree.len, "a leaf miscounted");
            assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?} out of order");
            assert!(keys.iter().all(|key| allowed.contains(key)), "{keys:?} beyond {allowed:?}");
        }
        Node::Inner(node) => {
            let len: usize = node.children.iter().map(|child| child.len).sum();
            assert_eq!(len, tree.len, "a node miscounted");
            assert_eq!(node.children.iter().count(), node.bounds.len(), "bounds and children");
            let bounds = &node.bounds;
            assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?} out of order");
            assert!(bounds.iter().all(|key| allowed.contains(key)), "{bounds:?}, {allowed:?}");
            for (slot, child) in node.children.iter().enumerate() {
                let end = bounds.get(slot + 1).map_or(*allowed.end(), |next| next - 1);
                check_tree(child, bounds[slot]..=end, depth - 1, NARROWEST);
            }
        }
    }
}
