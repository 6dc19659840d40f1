use serde::{Deserialize, Serialize};

use super::{AttemptId, Key, KeyRange, LeaseId, Revision, Value};

/// What can be asked of a store; each variant is answered by the [`Reply`](super::Reply) of its
/// name, or by [`Reply::Failed`](super::Reply::Failed).
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Request {
    /// Reads keys.
    Range(Range),
    /// Writes one key.
    Put(Put),
    /// Deletes keys.
    Delete(DeleteRange),
    /// Compares, then runs one of two lists of operations, all at one revision.
    Txn(Txn),
    /// Forgets history.
    Compact(Compact),
    /// Asks for a lease.
    Grant(Grant),
    /// Ends a lease and deletes its keys, in one revision (row L5).
    Revoke(Revoke),
    /// Renews a lease to its full time to live.
    KeepAlive(KeepAlive),
    /// Asks what is left of a lease.
    TimeToLive(TimeToLive),
    /// Lists all leases.
    Leases,
    /// Opens a watch stream, with its first watch. Its answers carry this attempt until it fails
    /// or is cancelled.
    Watch(Watch),
    /// Says something more on the open watch stream of another attempt. No answer of its own.
    OnWatch {
        /// The attempt that opened the stream.
        stream: AttemptId,
        /// What is said.
        say: WatchSay,
    },
    /// Asks a member how it is.
    Status,
    /// Asks a member who the cluster's members are.
    Members,
    /// Has the backend fetch a new token with the credentials that it holds. Further requests
    /// to any member carry it.
    Authenticate,
}

/// Reads keys (rows G1 to G8).
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Range {
    /// Which keys.
    pub keys: KeyRange,
    /// How many records at most; 0 or less: all.
    pub limit: i64,
    /// At which revision; 0 or less: now.
    pub revision: Revision,
    /// In which order; `None` is ascending by key.
    pub sort: Option<(SortTarget, Sort)>,
    /// Whether any member may answer from its own, possibly old, data.
    pub serializable: bool,
    /// Leave values out. The lease may be missing too.
    pub keys_only: bool,
    /// Only count.
    pub count_only: bool,
    /// Only records modified at this revision or later; 0: no bound.
    pub min_mod_revision: Revision,
    /// Only records modified at this revision or earlier; 0: no bound.
    pub max_mod_revision: Revision,
    /// Only records created at this revision or later; 0: no bound.
    pub min_create_revision: Revision,
    /// Only records created at this revision or earlier; 0: no bound.
    pub max_create_revision: Revision,
}

impl Range {
    /// A linearizable read of `keys` as they are now.
    pub fn of(keys: KeyRange) -> Self {
        Self { keys, ..Self::default() }
    }
}

impl Default for Range {
    /// The empty key, which etcd refuses: set `keys`.
    fn default() -> Self {
        Self {
            keys: KeyRange::one(Key::default()),
            limit: 0,
            revision: Revision::ZERO,
            sort: None,
            serializable: false,
            keys_only: false,
            count_only: false,
            min_mod_revision: Revision::ZERO,
            max_mod_revision: Revision::ZERO,
            min_create_revision: Revision::ZERO,
            max_create_revision: Revision::ZERO,
        }
    }
}

/// What a range is sorted by.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum SortTarget {
    /// The key.
    Key,
    /// The number of puts since its creation.
    Version,
    /// The revision of its creation.
    Create,
    /// The revision of its last change.
    Mod,
    /// The value.
    Value,
}

/// Which way a range is sorted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Sort {
    /// Unspecified; with a target other than the key etcd takes it as ascending (row G5).
    Unspecified,
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// Writes one key (rows K1 to K5, L3, L4).
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Put {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Value,
    /// The lease to hang it on; `None` detaches it.
    pub lease: Option<LeaseId>,
    /// Whether the answer tells what was there before.
    pub prev_kv: bool,
    /// Keep the stored value; `value` must be empty, the key must exist.
    pub ignore_value: bool,
    /// Keep the stored lease; `lease` must be `None`, the key must exist.
    pub ignore_lease: bool,
}

/// Deletes keys.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct DeleteRange {
    /// Which keys.
    pub keys: KeyRange,
    /// Whether the answer tells what was there before.
    #[serde(default)]
    pub prev_kv: bool,
}

/// A transaction (rows T1 to T9).
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Txn {
    /// All must hold; they see the state before the transaction.
    pub compares: Vec<Compare>,
    /// Run when all compares hold.
    pub then: Vec<Op>,
    /// Run otherwise.
    pub or_else: Vec<Op>,
}

/// One operation of a transaction.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Op {
    /// Reads keys; it sees the writes before it.
    Range(Range),
    /// Writes one key.
    Put(Put),
    /// Deletes keys.
    Delete(DeleteRange),
    /// A nested transaction; its compares see the state before the outermost one.
    Txn(Txn),
}

/// One condition of a transaction. On a range it must hold for every key in it; an empty range,
/// like a missing key, compares as all zeros (rows T2, T3).
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Compare {
    /// Which keys.
    pub keys: KeyRange,
    /// How the stored side relates to `target`.
    pub result: Ordering,
    /// What is compared, and with what.
    pub target: Target,
}

impl Compare {
    /// Holds when `key` was last changed at exactly `revision`; 0: when it is absent.
    pub fn mod_revision(key: Key, revision: Revision) -> Self {
        Self {
            keys: KeyRange::one(key),
            result: Ordering::Equal,
            target: Target::ModRevision(revision),
        }
    }

    /// Holds when `key` hangs on exactly this lease; `None`: on none, or when it is absent.
    pub fn lease(key: Key, lease: Option<LeaseId>) -> Self {
        Self { keys: KeyRange::one(key), result: Ordering::Equal, target: Target::Lease(lease) }
    }
}

/// How the stored side of a compare relates to the given one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Ordering {
    /// Stored = given.
    Equal,
    /// Stored > given.
    Greater,
    /// Stored < given.
    Less,
    /// Stored ≠ given.
    NotEqual,
}

/// What a compare looks at.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Target {
    /// The number of puts since the key's creation.
    Version(i64),
    /// The revision of the key's creation.
    CreateRevision(Revision),
    /// The revision of the key's last change.
    ModRevision(Revision),
    /// The value; never holds for a missing key, whatever the ordering (row T2).
    Value(Value),
    /// The lease; `None` for a key without one.
    Lease(Option<LeaseId>),
}

/// Forgets the history before a revision (rows C1 to C3).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Compact {
    /// The oldest revision that stays readable.
    pub revision: Revision,
    /// Whether to answer only when the old records are gone from disk too.
    #[serde(default)]
    pub physical: bool,
}

/// Asks for a lease (rows L1, L2).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// The id wanted; `None`: the store chooses.
    pub lease: Option<LeaseId>,
    /// Seconds; raised to the store's minimum, refused above 9,000,000,000.
    pub ttl_secs: i64,
}

/// Ends a lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Revoke {
    /// Which.
    pub lease: LeaseId,
}

/// Renews a lease. One the store does not have is answered with a time to live of 0, not with an
/// error (row L7).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct KeepAlive {
    /// Which.
    pub lease: LeaseId,
}

/// Asks what is left of a lease (row L9).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct TimeToLive {
    /// Which.
    pub lease: LeaseId,
    /// Whether the answer lists the keys that hang on it.
    #[serde(default)]
    pub keys: bool,
}

/// Follows keys from a revision on (rows W1 to W18).
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Watch {
    /// Which keys.
    pub keys: KeyRange,
    /// The first revision told; 0: from now on.
    #[serde(default)]
    pub start: Revision,
    /// The number of this watch on its stream; 0: the store numbers from 0.
    #[serde(default)]
    pub id: i64,
    /// Whether events tell what was there before.
    #[serde(default)]
    pub prev_kv: bool,
    /// Whether the store tells now and then how far a quiet watch is.
    #[serde(default)]
    pub progress: bool,
    /// Events that are not wanted.
    #[serde(default)]
    pub filters: Vec<WatchFilter>,
    /// Whether a large answer may come in parts.
    #[serde(default)]
    pub fragment: bool,
}

impl Watch {
    /// A watch of `keys` from `start` on, everything optional off.
    pub fn of(keys: KeyRange, start: Revision) -> Self {
        Self {
            keys,
            start,
            id: 0,
            prev_kv: false,
            progress: false,
            filters: Vec::new(),
            fragment: false,
        }
    }
}

/// Events left out of a watch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum WatchFilter {
    /// No puts.
    NoPut,
    /// No deletes.
    NoDelete,
}

/// What can be said on an open watch stream.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum WatchSay {
    /// One watch more.
    Create(Watch),
    /// One watch less; an unknown id is not answered (row W6).
    Cancel {
        /// The watch's number.
        id: i64,
    },
    /// Asks how far all watches of the stream are; answered with id −1 only if all are in step
    /// (row W13).
    Progress,
}
