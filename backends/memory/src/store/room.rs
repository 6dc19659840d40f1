//! How much room is taken, and which compaction makes some.

use std::ops::{AddAssign, SubAssign};

use portolan_core::waist::{KeyValue, Revision};

use super::{Store, find_both};

/// What a version counts for beside its key and its value, in bytes: as much as etcd reckons for a
/// put (`kvOverhead` in `server/storage/quota.go`).
pub(crate) const VERSION_BYTES: u64 = 256;

/// How much some versions are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash)]
pub(super) struct Size {
    versions: u64,
    /// Of their keys and values.
    pub(super) bytes: u64,
}

impl Size {
    pub(super) fn of(kv: &KeyValue) -> Self {
        Self { versions: 1, bytes: (kv.key.len() + kv.value.len()) as u64 }
    }

    fn counted(self) -> u64 {
        self.bytes + self.versions * VERSION_BYTES
    }
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.versions += other.versions;
        self.bytes += other.bytes;
    }
}

impl SubAssign for Size {
    fn sub_assign(&mut self, other: Self) {
        self.versions -= other.versions;
        self.bytes -= other.bytes;
    }
}

impl Store {
    /// What all versions count for, in bytes.
    pub(crate) fn stored(&self) -> u64 {
        self.all.counted()
    }

    /// What those count for that cannot be read now: the superseded ones, and deletes.
    pub(crate) fn history(&self) -> u64 {
        self.all.counted() - self.present.counted()
    }

    /// The first revision whose compaction leaves `limit` of history or less; if none does, the
    /// last one. `None` if that was compacted already.
    pub(crate) fn compaction_to(&self, limit: u64) -> Option<Revision> {
        let (mut left, mut deletes) = (self.history(), 0);
        let mut at = self.compacted;
        for place in &self.order {
            if place.revision > at {
                if left <= limit {
                    break;
                }
                // A delete outlives the compaction of its own revision (row C2), not a later one.
                left -= std::mem::take(&mut deletes);
                at = place.revision;
            }
            let Some((before, version)) = find_both(&self.keys, place) else { continue };
            if let Some(before) = before.filter(|before| before.kv.version > 0) {
                left -= before.size().counted();
            }
            if version.kv.version == 0 {
                deletes += version.size().counted();
            }
        }
        (at > self.compacted).then_some(at)
    }
}
