//! What is drawn: steps that say which key, lease or revision they mean only in relation to what
//! is there when they are taken. So a sequence that has lost some of its steps still makes sense,
//! and a failing one can be shrunk.

use portolan_core::waist::{
    Compact, Compare, DeleteRange, Grant, KeepAlive, Key, KeyRange, LeaseId, Op, Ordering, Put,
    Range, Request, Revision, Revoke, Sort, SortTarget, Target, TimeToLive, Txn, Watch,
    WatchFilter,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// One thing done to both stores.
#[derive(Clone, Debug)]
pub enum Step {
    Put(APut),
    Range(ARange),
    Delete(AKeys, bool),
    Txn(ATxn),
    Compact(ARevision),
    Grant(u8, i64),
    Revoke(u8),
    Renew(u8),
    TimeToLive(u8, bool),
    Leases,
    Status,
    /// Opens the stream; nothing, and not counted, if it is open.
    Open(u8, AWatch),
    /// Nothing, and not counted, if the stream is not open; likewise below.
    Create(u8, AWatch),
    Cancel(u8, i64),
    Progress(u8),
    Close(u8),
}

#[derive(Clone, Debug)]
pub struct APut {
    key: u8,
    value: u8,
    lease: Option<u8>,
    prev: bool,
    ignore_value: bool,
    ignore_lease: bool,
}

#[derive(Clone, Debug)]
pub enum AKeys {
    One(u8),
    Span(u8, u8),
    Prefix(u8),
    From(u8),
    All,
    /// A range from the empty key on.
    Empty(u8),
}

#[derive(Clone, Debug)]
pub struct ARange {
    keys: AKeys,
    limit: i64,
    revision: ARevision,
    sort: Option<(SortTarget, Sort)>,
    serializable: bool,
    only: Only,
    bounds: [ARevision; 4],
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Only {
    Everything,
    Keys,
    Count,
}

/// A revision, as seen from the moment at which it is used.
#[derive(Clone, Debug)]
pub enum ARevision {
    None,
    /// So many before the present one.
    Ago(i64),
    /// So many after the last compaction.
    SinceCompaction(i64),
    Exactly(i64),
}

#[derive(Clone, Debug)]
pub struct ATxn {
    compares: Vec<ACompare>,
    then: Vec<AnOp>,
    or_else: Vec<AnOp>,
}

#[derive(Clone, Debug)]
pub enum AnOp {
    Put(APut),
    Range(ARange),
    Delete(AKeys, bool),
    Txn(ATxn),
}

#[derive(Clone, Debug)]
pub struct ACompare {
    keys: AKeys,
    result: Ordering,
    target: ATarget,
}

#[derive(Clone, Debug)]
enum ATarget {
    Version(i64),
    Create(ARevision),
    Mod(ARevision),
    Value(u8),
    Lease(Option<u8>),
}

#[derive(Clone, Debug)]
pub struct AWatch {
    keys: AKeys,
    start: ARevision,
    id: i64,
    prev: bool,
    progress: bool,
    filters: Vec<WatchFilter>,
    fragment: bool,
}

/// Where the stores stand when a step is taken.
#[derive(Clone, Copy, Debug)]
pub struct Present {
    pub revision: Revision,
    pub compacted: Revision,
}

impl Step {
    /// The request to send, for steps that are calls.
    pub fn request(&self, present: Present) -> Option<Request> {
        Some(match self {
            Self::Put(put) => Request::Put(put.words()),
            Self::Range(range) => Request::Range(range.words(present)),
            Self::Delete(keys, prev_kv) => {
                Request::Delete(DeleteRange { keys: keys.words(), prev_kv: *prev_kv })
            }
            Self::Txn(txn) => {
                let mut txn = txn.words(present);
                spare_etcd(&mut txn);
                Request::Txn(txn)
            }
            Self::Compact(revision) => Request::Compact(compaction(revision.words(present))),
            Self::Grant(slot, ttl_secs) => {
                Request::Grant(Grant { lease: Some(lease(*slot)), ttl_secs: *ttl_secs })
            }
            Self::Revoke(slot) => Request::Revoke(Revoke { lease: lease(*slot) }),
            Self::Renew(slot) => Request::KeepAlive(KeepAlive { lease: lease(*slot) }),
            Self::TimeToLive(slot, keys) => {
                Request::TimeToLive(TimeToLive { lease: lease(*slot), keys: *keys })
            }
            Self::Leases => Request::Leases,
            Self::Status => Request::Status,
            Self::Open(..)
            | Self::Create(..)
            | Self::Cancel(..)
            | Self::Progress(_)
            | Self::Close(_) => return None,
        })
    }
}

impl APut {
    fn words(&self) -> Put {
        Put {
            key: key(self.key),
            value: VALUES[usize::from(self.value)].into(),
            lease: self.lease.map(lease),
            prev_kv: self.prev,
            ignore_value: self.ignore_value,
            ignore_lease: self.ignore_lease,
        }
    }
}

impl AKeys {
    fn words(&self) -> KeyRange {
        match self {
            Self::One(one) => KeyRange::one(key(*one)),
            Self::Span(from, to) => KeyRange::span(key(*from), key(*to)),
            Self::Prefix(prefix) => KeyRange::prefix(key(*prefix)),
            Self::From(from) => KeyRange::from_key(key(*from)),
            Self::All => KeyRange::all(),
            Self::Empty(to) => KeyRange::span(Key::default(), key(*to)),
        }
    }
}

impl ARange {
    fn words(&self, present: Present) -> Range {
        let [min_mod, max_mod, min_create, max_create] =
            self.bounds.clone().map(|bound| bound.words(present));
        Range {
            keys: self.keys.words(),
            limit: self.limit,
            revision: self.revision.words(present),
            sort: self.sort,
            serializable: self.serializable,
            keys_only: self.only == Only::Keys,
            count_only: self.only == Only::Count,
            min_mod_revision: min_mod,
            max_mod_revision: max_mod,
            min_create_revision: min_create,
            max_create_revision: max_create,
        }
    }
}

impl ARevision {
    pub fn words(&self, present: Present) -> Revision {
        match self {
            Self::None => Revision::ZERO,
            Self::Ago(steps) => Revision(present.revision.0 - steps),
            Self::SinceCompaction(steps) => Revision(present.compacted.0 + steps),
            Self::Exactly(revision) => Revision(*revision),
        }
    }
}

impl ATxn {
    fn words(&self, present: Present) -> Txn {
        let ops = |ops: &[AnOp]| {
            let words = |op: &AnOp| match op {
                AnOp::Put(put) => Op::Put(put.words()),
                AnOp::Range(range) => Op::Range(range.words(present)),
                AnOp::Delete(keys, prev_kv) => {
                    Op::Delete(DeleteRange { keys: keys.words(), prev_kv: *prev_kv })
                }
                AnOp::Txn(txn) => Op::Txn(txn.words(present)),
            };
            ops.iter().map(words).collect()
        };
        let compares = self.compares.iter().map(|compare| Compare {
            keys: compare.keys.words(),
            result: compare.result,
            target: match &compare.target {
                ATarget::Version(version) => Target::Version(*version),
                ATarget::Create(revision) => Target::CreateRevision(revision.words(present)),
                ATarget::Mod(revision) => Target::ModRevision(revision.words(present)),
                ATarget::Value(value) => Target::Value(VALUES[usize::from(*value)].into()),
                ATarget::Lease(slot) => Target::Lease(slot.map(lease)),
            },
        });
        Txn { compares: compares.collect(), then: ops(&self.then), or_else: ops(&self.or_else) }
    }
}

impl AWatch {
    pub fn words(&self, present: Present) -> Watch {
        Watch {
            keys: self.keys.words(),
            start: self.start.words(present),
            id: self.id,
            prev_kv: self.prev,
            progress: self.progress,
            filters: self.filters.clone(),
            fragment: self.fragment,
        }
    }
}

/// A transaction may not delete a key and put it too, but a delete without an end gets past the
/// check (T6), and then kills every etcd that is tried here: at once if the put has an ignore flag,
/// else at the next compaction. See the end of `docs/etcd.md`. So in transactions such deletes get
/// an end.
fn spare_etcd(txn: &mut Txn) {
    for op in txn.then.iter_mut().chain(&mut txn.or_else) {
        match op {
            Op::Delete(delete) if *delete.keys.end == [0] => {
                delete.keys.end = Key::from(&[0xff; 4][..]);
            }
            Op::Txn(txn) => spare_etcd(txn),
            Op::Put(_) | Op::Range(_) | Op::Delete(_) => {}
        }
    }
}

/// The whole sequence of a run, to be cut into cases.
pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..=most)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        24 => a_put(1).prop_map(Step::Put),
        12 => a_range().prop_map(Step::Range),
        4 => (few_keys(), any::<bool>()).prop_map(|(keys, prev)| Step::Delete(keys, prev)),
        16 => a_txn(2).prop_map(Step::Txn),
        2 => revision().prop_map(Step::Compact),
        6 => (slot(), select(TTLS)).prop_map(|(slot, ttl)| Step::Grant(slot, ttl)),
        1 => slot().prop_map(Step::Revoke),
        2 => slot().prop_map(Step::Renew),
        2 => (slot(), any::<bool>()).prop_map(|(slot, keys)| Step::TimeToLive(slot, keys)),
        1 => Just(Step::Leases),
        1 => Just(Step::Status),
        3 => (stream(), a_watch()).prop_map(|(stream, watch)| Step::Open(stream, watch)),
        3 => (stream(), a_watch()).prop_map(|(stream, watch)| Step::Create(stream, watch)),
        2 => (stream(), watch_id()).prop_map(|(stream, id)| Step::Cancel(stream, id)),
        1 => stream().prop_map(Step::Progress),
        1 => stream().prop_map(Step::Close),
    ]
}

/// `care` times less often than one in four, something is to be ignored; what fails alone fails a
/// whole transaction.
fn a_put(care: u32) -> impl Strategy<Value = APut> {
    let values = 0..u8::try_from(VALUES.len()).expect("few values");
    let lease = option::weighted(0.2, slot());
    // Whether to ignore, and whether to give nothing beside it, as one should.
    let flags = || {
        prop_oneof![
            9 * care => Just((false, false)),
            2 => Just((true, true)),
            1 => Just((true, false)),
        ]
    };
    (a_key(), values, lease, any::<bool>(), flags(), flags()).prop_map(
        |(key, value, lease, prev, (ignore_value, no_value), (ignore_lease, no_lease))| APut {
            key,
            value: if no_value { 0 } else { value },
            lease: lease.filter(|_| !no_lease),
            prev,
            ignore_value,
            ignore_lease,
        },
    )
}

fn a_range() -> impl Strategy<Value = ARange> {
    use SortTarget::{Create, Key, Mod, Value, Version};
    let sort = option::weighted(
        0.4,
        (
            select(vec![Key, Version, Create, Mod, Value]),
            select(vec![Sort::Ascending, Sort::Descending, Sort::Unspecified]),
        ),
    );
    let only = select(vec![Only::Everything, Only::Everything, Only::Keys, Only::Count]);
    let bound = || prop_oneof![5 => Just(ARevision::None), 1 => revision()];
    let bounds = [bound(), bound(), bound(), bound()];
    let at = prop_oneof![2 => Just(ARevision::None), 1 => revision()];
    let limit = prop_oneof![1 => Just(0), 1 => -1..5i64];
    (keys(), limit, at, sort, any::<bool>(), only, bounds).prop_map(
        |(keys, limit, revision, sort, serializable, only, bounds)| {
            // Sorted by values that are then left out, who could tell a tie?
            let by_value = sort.is_some_and(|(target, _)| target == Value);
            let only = if by_value && only == Only::Keys { Only::Everything } else { only };
            ARange { keys, limit, revision, sort, serializable, only, bounds }
        },
    )
}

fn a_txn(depth: u32) -> BoxedStrategy<ATxn> {
    let op = an_op(depth);
    (vec(a_compare(), 0..3), vec(op.clone(), 0..5), vec(op, 0..4))
        .prop_map(|(compares, then, or_else)| ATxn { compares, then, or_else })
        .boxed()
}

fn an_op(depth: u32) -> BoxedStrategy<AnOp> {
    let flat = prop_oneof![
        8 => a_put(8).prop_map(AnOp::Put),
        6 => a_range().prop_map(AnOp::Range),
        3 => (few_keys(), any::<bool>()).prop_map(|(keys, prev)| AnOp::Delete(keys, prev)),
    ];
    if depth == 0 {
        return flat.boxed();
    }
    prop_oneof![9 => flat, 2 => a_txn(depth - 1).prop_map(AnOp::Txn)].boxed()
}

fn a_compare() -> impl Strategy<Value = ACompare> {
    use Ordering::{Equal, Greater, Less, NotEqual};
    let values = 0..u8::try_from(VALUES.len()).expect("few values");
    let target = prop_oneof![
        (-1..4i64).prop_map(ATarget::Version),
        revision().prop_map(ATarget::Create),
        revision().prop_map(ATarget::Mod),
        values.prop_map(ATarget::Value),
        option::of(slot()).prop_map(ATarget::Lease),
    ];
    (keys(), select(vec![Equal, Greater, Less, NotEqual]), target)
        .prop_map(|(keys, result, target)| ACompare { keys, result, target })
}

fn a_watch() -> impl Strategy<Value = AWatch> {
    use WatchFilter::{NoDelete, NoPut};
    let filters = select(vec![
        vec![],
        vec![],
        vec![],
        vec![NoPut],
        vec![NoDelete],
        vec![NoDelete, NoPut],
        vec![NoPut, NoPut],
    ]);
    let start = prop_oneof![
        4 => Just(ARevision::None),
        1 => (-4..0i64).prop_map(ARevision::Ago),
        2 => revision(),
    ];
    let id = prop_oneof![3 => Just(0), 2 => watch_id()];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (keys(), start, id, flags, filters).prop_map(
        |(keys, start, id, (prev, progress, fragment), filters)| AWatch {
            keys,
            start,
            id,
            prev,
            progress,
            filters,
            fragment,
        },
    )
}

fn keys() -> impl Strategy<Value = AKeys> {
    prop_oneof![
        16 => a_key().prop_map(AKeys::One),
        8 => (a_key(), a_key()).prop_map(|(from, to)| AKeys::Span(from, to)),
        6 => a_key().prop_map(AKeys::Prefix),
        6 => a_key().prop_map(AKeys::From),
        8 => Just(AKeys::All),
        1 => a_key().prop_map(AKeys::Empty),
    ]
}

/// As [`keys`], but mostly one: what is deleted is not there for anything else.
fn few_keys() -> impl Strategy<Value = AKeys> {
    prop_oneof![4 => a_key().prop_map(AKeys::One), 1 => keys()]
}

fn revision() -> impl Strategy<Value = ARevision> {
    prop_oneof![
        1 => Just(ARevision::None),
        6 => (-1..8i64).prop_map(ARevision::Ago),
        3 => (-2..3i64).prop_map(ARevision::SinceCompaction),
        1 => select(vec![-2, -1, 1, 2, i64::MAX, i64::MIN]).prop_map(ARevision::Exactly),
    ]
}

fn a_key() -> impl Strategy<Value = u8> {
    0..u8::try_from(KEYS.len()).expect("few keys")
}

fn slot() -> impl Strategy<Value = u8> {
    0..u8::try_from(LEASES.len()).expect("few leases")
}

fn stream() -> impl Strategy<Value = u8> {
    0..2u8
}

fn watch_id() -> impl Strategy<Value = i64> {
    select(vec![0, 1, 2, 3, 7, -1, -5, i64::MAX])
}

/// One that answers when it is done: until then, a release that forgets a delete at the compaction
/// may or may not have forgotten it.
pub fn compaction(revision: Revision) -> Compact {
    Compact { revision, physical: true }
}

fn key(place: u8) -> Key {
    Key::from(KEYS[usize::from(place)])
}

fn lease(slot: u8) -> LeaseId {
    LeaseId::new(LEASES[usize::from(slot)]).expect("none is 0")
}

/// Neighbours, prefixes of each other, and both ends of all keys.
const KEYS: [&[u8]; 8] = [b"b", b"a", b"aa", b"ab", b"c", b"a\0", b"\0", b"\xff\xff"];
const VALUES: [&str; 4] = ["", "1", "2", "22"];
const LEASES: [i64; 4] = [11, 12, -13, i64::MIN];
/// None of them ends within a run; above the largest is too large.
const TTLS: &[i64] = &[50_000, 60_000, 9_000_000_000, 9_000_000_001];
