use std::fmt;
use std::num::NonZeroI64;

use serde::{Deserialize, Serialize};

use super::{Key, Value};

/// The store's counter: one step for each transaction that changes something (rows R1 to R3 of
/// `docs/etcd.md`). In requests 0 stands for "now".
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub i64);

impl Revision {
    /// "Now" in a request; "never" or "absent" in a guard.
    pub const ZERO: Self = Self(0);

    /// The revision after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A lease's id: any number but 0, which etcd reads as "choose one" or "no lease" (row L1).
#[derive(Clone, Copy, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(NonZeroI64);

impl LeaseId {
    /// The id `id`; `None` for 0.
    pub const fn new(id: i64) -> Option<Self> {
        match NonZeroI64::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The id as etcd writes it.
    pub const fn get(self) -> i64 {
        self.0.get()
    }
}

impl fmt::Display for LeaseId {
    /// Sixteen hexadecimal digits, a minus sign for the first of them where it is negative: what
    /// `etcdctl` prints and takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.get().unsigned_abs();
        if self.0.is_negative() { write!(f, "-{digits:015x}") } else { write!(f, "{digits:016x}") }
    }
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseId({self})")
    }
}

/// What every answer of etcd says about where it comes from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Header {
    /// The cluster. A store wiped and started with the same flags has the same one (row R8).
    pub cluster_id: u64,
    /// The member that answered, by etcd's own id.
    pub member_id: u64,
    /// The store's revision; its meaning differs by the kind of answer (rows R5, R6, W8, W12).
    pub revision: Revision,
    /// The raft term; it rises when a leader is elected, and at a restart (row R9).
    pub raft_term: u64,
}

/// A key with what etcd knows of it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct KeyValue {
    /// The key.
    pub key: Key,
    /// The revision at which the key came into being; 0 in a delete event.
    pub create_revision: Revision,
    /// The revision of the last change, the delete itself in a delete event.
    pub mod_revision: Revision,
    /// 1 at creation, one more with each put; 0 in a delete event.
    pub version: i64,
    /// The value; empty in a delete event and in `keys_only` answers.
    pub value: Value,
    /// The lease that the key hangs on.
    pub lease: Option<LeaseId>,
}

/// A set of keys, as etcd writes it (row G1).
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
pub struct KeyRange {
    /// The first key.
    pub key: Key,
    /// Empty: just `key`. One zero byte: all keys from `key` on. Else: the keys before `end`.
    #[serde(default, skip_serializing_if = "no_bytes")]
    pub end: Key,
}

fn no_bytes(key: &Key) -> bool {
    key.is_empty()
}

impl KeyRange {
    /// Just `key`.
    pub fn one(key: impl Into<Key>) -> Self {
        Self { key: key.into(), end: Key::default() }
    }

    /// All keys from `key` up to, not including, `end`.
    pub fn span(key: impl Into<Key>, end: impl Into<Key>) -> Self {
        Self { key: key.into(), end: end.into() }
    }

    /// All keys from `key` on.
    pub fn from_key(key: impl Into<Key>) -> Self {
        Self { key: key.into(), end: Key::from(&[0][..]) }
    }

    /// Every key.
    pub fn all() -> Self {
        Self { key: Key::from(&[0][..]), end: Key::from(&[0][..]) }
    }

    /// All keys that begin with `prefix`; every key when it is empty.
    pub fn prefix(prefix: impl Into<Key>) -> Self {
        let key = prefix.into();
        if key.is_empty() {
            return Self::all();
        }
        let mut end = key.to_vec();
        while let Some(last) = end.pop() {
            if last < 0xff {
                end.push(last + 1);
                return Self { key, end: end.into() };
            }
        }
        Self::from_key(key)
    }

    /// Whether `key` is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        if self.end.is_empty() {
            return key == &*self.key;
        }
        key >= &*self.key && (*self.end == [0] || key < &*self.end)
    }

    /// Whether the range can hold no key at all: an end at or below the key.
    pub fn is_void(&self) -> bool {
        !self.end.is_empty() && *self.end != [0] && self.end <= self.key
    }
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.end {
            [] => write!(f, "{}", self.key),
            [0] => write!(f, "[{}, ..)", self.key),
            _ => write!(f, "[{}, {})", self.key, self.end),
        }
    }
}

/// What an event says of its key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// The key was created or changed.
    Put,
    /// The key was deleted: by a request, or with its lease.
    Delete,
}

/// One change of one key, as a watch tells it.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct KeyEvent {
    /// Put or delete.
    pub kind: EventKind,
    /// The key after the change; of a delete only key and mod revision are set (row K2).
    pub kv: KeyValue,
    /// The key before the change, if it was asked for and still exists (row W11).
    pub prev: Option<KeyValue>,
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::{Key, KeyRange, LeaseId, Revision};

    /// What etcdctl 3.5 prints for these numbers.
    #[test]
    fn leases_read_as_etcdctl_prints_them() {
        let shown = |id| LeaseId::new(id).map(|lease| lease.to_string());
        let of = |text: &str| Some(text.to_owned());
        assert_eq!(shown(0), None);
        assert_eq!(shown(10), of("000000000000000a"));
        assert_eq!(shown(i64::MAX), of("7fffffffffffffff"));
        assert_eq!(shown(-5), of("-000000000000005"));
        assert_eq!(shown(i64::MIN), of("-8000000000000000"));
    }
    #[test]
    fn numbers_say_what_they_are() {
        let lease = LeaseId::new(10).expect("not 0");
        assert_eq!(format!("{lease:?}"), "LeaseId(000000000000000a)");
        assert_eq!(
            (Revision(7).next(), Revision(i64::MAX).next()),
            (Revision(8), Revision(i64::MAX))
        );
    }

    /// Row G1: what etcd takes a range's end for.
    #[test]
    fn a_range_holds_its_keys() {
        type Keys = &'static [&'static [u8]];
        let cases: [(KeyRange, Keys, Keys); 9] = [
            (KeyRange::one("b"), &[b"b"], &[b"", b"a", b"b\0", b"c"]),
            (KeyRange::span("b", "d"), &[b"b", b"b\0", b"c", b"c\xff"], &[b"a", b"d", b"d\0"]),
            (KeyRange::span("b", "b"), &[], &[b"a", b"b", b"b\0"]),
            (KeyRange::span("d", "b"), &[], &[b"a", b"b", b"c", b"d", b"e"]),
            (KeyRange::from_key("b"), &[b"b", b"c", b"\xff\xff"], &[b"", b"a\xff"]),
            (KeyRange::all(), &[b"\0", b"a", b"\xff\xff"], &[]),
            (KeyRange::prefix("b"), &[b"b", b"b\xff\xff"], &[b"a\xff", b"c"]),
            (KeyRange::prefix(&b"b\xff"[..]), &[b"b\xff", b"b\xff\xff"], &[b"b", b"c"]),
            (KeyRange::prefix(&b"\xff"[..]), &[b"\xff", b"\xff\xff"], &[b"\xfe\xff"]),
        ];
        for (range, within, without) in cases {
            for key in within {
                assert!(range.contains(key), "{range:?} {key:?}");
            }
            for key in without {
                assert!(!range.contains(key), "{range:?} {key:?}");
            }
            assert_eq!(range.is_void(), within.is_empty(), "{range:?}");
            let text = serde_json::to_string(&range).expect("text");
            assert_eq!(text.contains("end"), range != KeyRange::one("b"), "{text}");
            assert_eq!(serde_json::from_str::<KeyRange>(&text).expect("a range"), range);
        }
    }

    proptest! {
        /// A range that is not void holds at least its first key.
        #[test]
        fn a_void_range_is_one_without_its_first_key(key: Vec<u8>, end: Vec<u8>, other: Vec<u8>) {
            let range = KeyRange { key: Key::from(key), end: Key::from(end) };
            prop_assert_eq!(range.is_void(), !range.contains(&range.key), "{:?}", range);
            prop_assert_eq!(range.is_void() && range.contains(&other), false, "{:?}", range);
        }
    }
}
