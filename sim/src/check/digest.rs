//! Contents as numbers: what a directory shows and what the store had are held against each other
//! without going through all records each time.

use portolan_core::engine::{Change, Content, Record, Snapshot, Unread};
use portolan_core::layout::Decoded;
use portolan_core::waist::Key;

use super::history::Version;
use crate::trace::stable_hash;

/// What is shown of a key range: two that differ in any record differ, but for one in 2⁶⁴.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Digest {
    pub records: Sum,
    pub bad: Sum,
}

/// The sum of the hashes of a set's members: one more or fewer changes it by its own.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sum {
    count: u64,
    hashes: u64,
}

impl Sum {
    pub fn add(&mut self, hash: u64) {
        (self.count, self.hashes) = (self.count.wrapping_add(1), self.hashes.wrapping_add(hash));
    }

    pub fn take(&mut self, hash: u64) {
        (self.count, self.hashes) = (self.count.wrapping_sub(1), self.hashes.wrapping_sub(hash));
    }
}

impl Digest {
    /// Of a directory that shows something else now: told from what the two contents do not share.
    pub fn changed(mut self, before: Option<&Snapshot>, after: &Snapshot) -> Self {
        let nothing = (Default::default(), Default::default());
        let (records, bad) =
            before.map_or((&nothing.0, &nothing.1), |before| (&before.records, &before.bad));
        for (key, old, new) in records.diff(&after.records) {
            old.iter().for_each(|record| self.records.take(of_record(key, record)));
            new.iter().for_each(|record| self.records.add(of_record(key, record)));
        }
        for (key, old, new) in bad.diff(&after.bad) {
            old.iter().for_each(|unread| self.bad.take(of_unread(key, unread)));
            new.iter().for_each(|unread| self.bad.add(of_unread(key, unread)));
        }
        self
    }

    /// Of a store in which a key has become another version.
    pub fn pushed(mut self, key: &Key, old: Option<&Version>, new: &Version) -> Self {
        if let Some(old) = old {
            self.sum(old).into_iter().for_each(|sum| sum.take(of_version(key, old)));
        }
        self.sum(new).into_iter().for_each(|sum| sum.add(of_version(key, new)));
        self
    }

    /// Where a version counts, if it is shown.
    fn sum(&mut self, version: &Version) -> Option<&mut Sum> {
        match &version.decoded {
            Some(Decoded::Instance(_) | Decoded::Config(_)) => Some(&mut self.records),
            Some(Decoded::Bad(_)) => Some(&mut self.bad),
            Some(Decoded::Ignored) | None => None,
        }
    }
}

/// What is readable, after what became of it was told.
pub(crate) fn fold(records: &mut Sum, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Added { key, record } => records.add(of_record(key, record)),
            Change::Updated { key, before, record } => {
                records.take(of_record(key, before));
                records.add(of_record(key, record));
            }
            Change::Removed { key, before } => records.take(of_record(key, before)),
        }
    }
}

/// A readable record under its key.
fn of_record(key: &Key, record: &Record) -> u64 {
    let Record { create_revision, mod_revision, lease, value_hash, content } = record;
    let about = (key, mod_revision, value_hash, create_revision, lease);
    match content {
        Content::Instance(instance) => stable_hash(&(about, instance)),
        Content::Config(config) => stable_hash(&(about, config)),
    }
}

fn of_unread(key: &Key, unread: &Unread) -> u64 {
    stable_hash(&(key, unread.mod_revision, unread.value_hash))
}

fn of_version(key: &Key, version: &Version) -> u64 {
    let Version { created, revision, lease, value_hash, decoded, .. } = version;
    let about = (key, revision, value_hash, created, lease);
    match decoded {
        Some(Decoded::Instance(instance)) => stable_hash(&(about, instance)),
        Some(Decoded::Config(config)) => stable_hash(&(about, config)),
        Some(Decoded::Ignored | Decoded::Bad(_)) | None => {
            stable_hash(&(key, revision, value_hash))
        }
    }
}
