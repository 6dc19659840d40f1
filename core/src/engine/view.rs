use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::instance::{GroupConfig, Instance};
use crate::layout::BadRecord;
use crate::map::Map;
use crate::time::Time;
use crate::waist::{Key, KeyEvent, KeyValue, LeaseId, Revision};

/// A directory's whole content at one revision, and what its guard keeps apart from it. Cloning is
/// cheap: content is shared.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Snapshot {
    /// Counts the histories seen: it rises when the store turned out to be another one, or to
    /// have lost what it had. Revisions compare within one epoch only.
    pub epoch: u32,
    /// The content is the store's at this revision; 0 before the first list.
    pub revision: Revision,
    /// How far it can be trusted.
    pub freshness: Freshness,
    /// The readable records, by key.
    pub records: Map<Key, Arc<Record>>,
    /// The records that should be readable and are not.
    pub bad: Map<Key, Arc<Unread>>,
    /// Instances that the store does not have any more, by key, and that an outage may have taken
    /// away: they vanished together with most of their group. Kept for a while, or until they are
    /// back; none of them is in `records`.
    pub suspects: Map<Key, Arc<Suspect>>,
    /// Whether the guard has tripped for a group; until it has, suspects are only looked into.
    pub guarded: bool,
}

impl Snapshot {
    /// What changed from this content to a later one of the same directory, in the order of keys.
    pub fn changes_to(&self, later: &Self) -> Vec<Change> {
        let differing = self.records.diff(&later.records);
        let changes = differing.filter_map(|(key, before, after)| {
            Change::of(key.clone(), before.cloned(), after.cloned())
        });
        changes.collect()
    }
}

/// An instance that may have been taken away by an outage.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Suspect {
    /// Its record as it was last seen.
    pub record: Arc<Record>,
    /// When it was seen to be gone.
    pub since: Time,
}

/// What a directory's guard against mass expiry has to say.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum GuardNews {
    /// So many of a group's leases ended at once that it looks like an outage: what hung on them
    /// is kept apart.
    Tripped {
        /// The group.
        group: String,
        /// By which rule.
        rule: GuardRule,
    },
    /// Some suspects are kept no more.
    Dropped {
        /// Their group.
        group: String,
        /// Their keys.
        keys: Vec<Key>,
        /// Why.
        why: Undone,
    },
    /// A group that the guard had tripped for has no suspect any more.
    Ended {
        /// The group.
        group: String,
    },
}

/// The rule that makes a guard trip, with its numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct GuardRule {
    /// Leases of the group that ended; at least 3.
    pub leases_gone: u32,
    /// Leases that it had; more than half of them ended.
    pub of: u32,
    /// Within this time, or kept already.
    pub within: Duration,
}

/// Why suspects are kept no more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Undone {
    /// They were removed on purpose: their lease lives.
    Wished,
    /// Without those that were removed on purpose, too few leases ended for an outage.
    Few,
    /// A user of the directory found them gone.
    Refused,
    /// They were kept long enough.
    Over,
}

/// How far a snapshot can be trusted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Freshness {
    /// Not listed yet; empty without meaning.
    Unsynced,
    /// The store confirmed it, no longer ago than a probe takes.
    Live,
    /// The store has not confirmed it since then; it may be old.
    Stale {
        /// The last confirmation.
        since: Time,
    },
}

/// A readable record.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// When it came into being.
    pub create_revision: Revision,
    /// When it last changed.
    pub mod_revision: Revision,
    /// The lease it hangs on.
    pub lease: Option<LeaseId>,
    /// A hash of the value as stored ([`crate::rng::hash`]).
    pub value_hash: u64,
    /// What it says.
    pub content: Content,
}

impl Record {
    /// The instance, if it is one.
    pub fn instance(&self) -> Option<&Instance> {
        match &self.content {
            Content::Instance(instance) => Some(instance),
            Content::Config(_) => None,
        }
    }
}

/// What a readable record says.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Content {
    /// An instance.
    Instance(Instance),
    /// A group's configuration.
    Config(GroupConfig),
}

/// An unreadable record.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Unread {
    /// When it last changed.
    pub mod_revision: Revision,
    /// A hash of the value as stored.
    pub value_hash: u64,
    /// What is wrong with it.
    pub bad: BadRecord,
}

/// One emitted difference: whole revisions only, one or several.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Step {
    /// What led to it.
    pub cause: StepCause,
    /// What changed, by key, each key once. Empty only when the step is a first list, a new epoch
    /// or a change of nothing but unreadable records.
    pub changes: Vec<Change>,
    /// The content after it.
    pub snapshot: Snapshot,
}

/// What led to a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum StepCause {
    /// The first list.
    Listed,
    /// The watch went on.
    Watched,
    /// Continuity could not be proven, so all was listed again.
    Relisted(Gap),
}

/// Why continuity could not be proven.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Gap {
    /// The history since the cursor was compacted; or, where changes are followed, that before it
    /// by which the store would be known.
    Compacted,
    /// The store is another one, or lost what it had: a new epoch.
    NewEpoch,
    /// A probe found a difference.
    Differs,
    /// An audit found a difference, which no probe had.
    Audited,
    /// The store's answer made no sense, or was too large to read.
    Garbled,
}

/// What the reader of a followed key range is told.
///
/// After [`Begun`](Self::Begun) or a complete list, each change of the range is in exactly one
/// [`Changes`](Self::Changes), until continuity breaks: then that is told, and a list comes next.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub enum Followed {
    /// Every change after this revision is told from now on.
    Begun {
        /// The last revision whose changes are not told.
        revision: Revision,
    },
    /// Changes of one or several whole revisions, in their order.
    Changes {
        /// Never empty. What was there before comes with each, unless the store had compacted that
        /// revision by the time it told the change.
        events: Vec<KeyEvent>,
    },
    /// The reader was too slow: its window had no room for the next revision. A list comes next,
    /// once it has taken everything.
    Lagged {
        /// Everything up to this revision was told.
        after: Revision,
    },
    /// Continuity could not be proven. A list comes next, once the reader has taken everything.
    /// Several may come in a row.
    Gap {
        /// Everything up to this revision was told, or declared missing before.
        after: Revision,
        /// Why. After a new epoch revisions do not compare with former ones.
        why: Gap,
    },
    /// A part of all that there is at a revision, in the order of keys, without what happened in
    /// between. Every change after it is told once the list is complete.
    Listed {
        /// The list's revision, the same in all its parts.
        revision: Revision,
        /// Whether this part begins the list. An earlier one that was not complete is void.
        first: bool,
        /// Whether this part ends the list.
        complete: bool,
        /// The records.
        records: Vec<KeyValue>,
    },
}

/// What became of one key.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub enum Change {
    /// It was absent, or unreadable.
    Added {
        /// The key.
        key: Key,
        /// What is there now.
        record: Arc<Record>,
    },
    /// It was there, as something else.
    Updated {
        /// The key.
        key: Key,
        /// What was there.
        before: Arc<Record>,
        /// What is there now.
        record: Arc<Record>,
    },
    /// It is gone, or became unreadable.
    Removed {
        /// The key.
        key: Key,
        /// What was there.
        before: Arc<Record>,
    },
}

impl Change {
    /// What became of a key, of which this was readable before and is now; `None`: it never was.
    pub(super) fn of(
        key: Key,
        before: Option<Arc<Record>>,
        after: Option<Arc<Record>>,
    ) -> Option<Self> {
        match (before, after) {
            (None, Some(record)) => Some(Self::Added { key, record }),
            (Some(before), Some(record)) => Some(Self::Updated { key, before, record }),
            (Some(before), None) => Some(Self::Removed { key, before }),
            (None, None) => None,
        }
    }
}
