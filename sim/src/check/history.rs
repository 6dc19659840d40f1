//! The store's history, as its log tells it: the truth that all else is held against.

use std::collections::BTreeMap;

use portolan_core::Time;
use portolan_core::engine::{Content, Record, Snapshot};
use portolan_core::layout::{Decoded, Layout, Stamp};
use portolan_core::rng::hash;
use portolan_core::waist::{AttemptId, EventKind, Key, KeyRange, LeaseId, Revision};
use portolan_memory::{Cause, Change, ClientId};

use super::digest::Digest;
use crate::app::{Edited, Tag};
use crate::trace::Run;

/// Every change of every key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct History {
    /// The revision of the last change.
    pub revision: Revision,
    keys: BTreeMap<Key, Vec<Version>>,
    /// Every change's key, by revision.
    touched: Vec<(Revision, Key)>,
    /// The revisions that changed several keys.
    several: Vec<Revision>,
    /// The content of key ranges that directories show, after each revision that changed it.
    digests: BTreeMap<KeyRange, Vec<(Revision, Digest)>>,
}

/// A key after one change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Version {
    pub at: Time,
    pub revision: Revision,
    pub created: Revision,
    pub lease: Option<LeaseId>,
    pub value_hash: u64,
    /// What the value says; `None`: the key was deleted.
    pub decoded: Option<Decoded>,
    pub by: Author,
}

/// Whose doing a change was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Author {
    /// A request of a process's.
    Run(Run, AttemptId),
    /// The end of a lease, by a process's request.
    Revoke(Run, LeaseId),
    /// Somebody's who is no process.
    Stranger,
    /// The end of a lease's time.
    Expiry(LeaseId),
}

impl Version {
    /// The stamp of an instance's record.
    pub fn stamp(&self) -> Option<Stamp> {
        match &self.decoded {
            Some(Decoded::Instance(instance)) => instance.stamp(),
            Some(Decoded::Config(_) | Decoded::Ignored | Decoded::Bad(_)) | None => None,
        }
    }

    /// The operation that wrote a configuration's record.
    pub fn operation(&self) -> Option<u64> {
        match &self.decoded {
            Some(Decoded::Config(config)) => config.operation(),
            Some(Decoded::Instance(_) | Decoded::Ignored | Decoded::Bad(_)) | None => None,
        }
    }

    /// Whose proposal a configuration's record is.
    pub fn tag(&self) -> Option<Tag> {
        match &self.decoded {
            Some(Decoded::Config(config)) => {
                Some(Edited::read(config).by).filter(|tag| tag.proposal > 0)
            }
            Some(Decoded::Instance(_) | Decoded::Ignored | Decoded::Bad(_)) | None => None,
        }
    }

    /// Whether the key is there.
    pub fn is_there(&self) -> bool {
        self.decoded.is_some()
    }

    /// Whether a shown record is this version of its key.
    pub fn is_record(&self, record: &Record) -> bool {
        let same_content = match (&self.decoded, &record.content) {
            (Some(Decoded::Instance(stored)), Content::Instance(shown)) => stored == shown,
            (Some(Decoded::Config(stored)), Content::Config(shown)) => stored == shown,
            _ => false,
        };
        same_content
            && record.mod_revision == self.revision
            && record.create_revision == self.created
            && record.lease == self.lease
            && record.value_hash == self.value_hash
    }

    /// Whether a directory shows it, readable or not.
    pub fn is_shown(&self) -> bool {
        !matches!(self.decoded, None | Some(Decoded::Ignored))
    }
}

impl History {
    /// Of a fresh store, which is at revision 1 (row R1).
    pub fn new() -> Self {
        Self {
            revision: Revision(1),
            keys: BTreeMap::new(),
            touched: Vec::new(),
            several: Vec::new(),
            digests: BTreeMap::new(),
        }
    }

    /// Keeps an account of a range's content from its beginning on.
    pub fn account_for(&mut self, keys: &KeyRange) {
        if self.digests.contains_key(keys) {
            return;
        }
        let (mut digest, mut digests) = (Digest::default(), Vec::new());
        let mut next: BTreeMap<&Key, usize> = BTreeMap::new();
        for (revision, key) in self.touched.iter().filter(|(_, key)| keys.contains(key)) {
            let at = next.entry(key).or_default();
            let versions = &self.keys[key];
            let old = at.checked_sub(1).and_then(|before| versions.get(before));
            digest = digest.pushed(key, old, &versions[*at]);
            *at += 1;
            note(&mut digests, *revision, digest);
        }
        self.digests.insert(keys.clone(), digests);
    }

    /// The ranges of which an account is kept.
    pub fn accounts(&self) -> impl Iterator<Item = &KeyRange> {
        self.digests.keys()
    }

    /// A range's content at a revision; `None` where no account is kept.
    fn digest_at(&self, keys: &KeyRange, revision: Revision) -> Option<Digest> {
        let digests = self.digests.get(keys)?;
        let after = digests.partition_point(|&(at, _)| at <= revision);
        Some(digests[..after].last().map_or(Digest::default(), |&(_, digest)| digest))
    }

    pub fn push(&mut self, layout: &Layout, clients: &BTreeMap<ClientId, Run>, change: &Change) {
        let kv = &change.kv;
        let by = match change.cause {
            Cause::Request { from, attempt } => {
                clients.get(&from).map_or(Author::Stranger, |&run| Author::Run(run, attempt))
            }
            Cause::Revoke { lease, from, .. } => {
                clients.get(&from).map_or(Author::Stranger, |&run| Author::Revoke(run, lease))
            }
            Cause::Expiry { lease } => Author::Expiry(lease),
        };
        let version = Version {
            at: change.at,
            revision: change.revision,
            created: kv.create_revision,
            lease: kv.lease,
            value_hash: hash(&kv.value),
            decoded: match change.kind {
                EventKind::Put => Some(layout.decode(&kv.key, &kv.value)),
                EventKind::Delete => None,
            },
            by,
        };
        self.revision = self.revision.max(change.revision);
        let before = self.touched.last().map(|&(at, _)| at);
        debug_assert!(before <= Some(change.revision), "a history goes on, never back");
        if before == Some(change.revision) && self.several.last() != before.as_ref() {
            self.several.push(change.revision);
        }
        self.touched.push((change.revision, kv.key.clone()));
        let versions = self.keys.entry(kv.key.clone()).or_default();
        for (_, digests) in self.digests.iter_mut().filter(|(keys, _)| keys.contains(&kv.key)) {
            let digest = digests.last().map_or(Digest::default(), |&(_, digest)| digest);
            let digest = digest.pushed(&kv.key, versions.last(), &version);
            note(digests, change.revision, digest);
        }
        versions.push(version);
    }

    /// In what a snapshot of these keys is otherwise than the store was at the revision it names.
    /// Many records are looked at one by one only if their digest tells that they differ.
    pub fn differs(&self, keys: &KeyRange, snapshot: &Snapshot, digest: Digest) -> Option<String> {
        let Snapshot { revision, records, bad, .. } = snapshot;
        if *revision > self.revision {
            return Some(format!("names @{revision}, but the store is at @{}", self.revision));
        }
        if records.len() + bad.len() > FEW && self.digest_at(keys, *revision) == Some(digest) {
            return None;
        }
        let mut truth = self.range_at(keys, *revision).filter(|(_, version)| version.is_shown());
        let mut shown: Vec<_> = records.keys().chain(bad.keys()).collect();
        shown.sort_unstable();
        for key in shown {
            let Some((true_key, version)) = truth.next() else {
                return Some(format!("shows {key}, absent @{revision}"));
            };
            if key != true_key {
                let (what, key) =
                    if key < true_key { ("shows absent", key) } else { ("lacks", true_key) };
                return Some(format!("{what} {key} @{revision}"));
            }
            let fits = match (records.get(key), bad.get(key)) {
                (Some(record), None) => version.is_record(record),
                (None, Some(unread)) => {
                    matches!(version.decoded, Some(Decoded::Bad(_)))
                        && (unread.mod_revision, unread.value_hash)
                            == (version.revision, version.value_hash)
                }
                (Some(_), Some(_)) | (None, None) => false,
            };
            if !fits {
                let from = version.revision;
                return Some(format!(
                    "at @{revision} shows {key} otherwise than the store, which has it from @{from}"
                ));
            }
        }
        truth.next().map(|(key, _)| format!("lacks {key} @{revision}"))
    }

    /// Whether another history has the same in these keys at a revision.
    pub fn is_same_at(&self, other: &Self, keys: &KeyRange, at: Revision) -> bool {
        if let (Some(one), Some(other)) = (self.digest_at(keys, at), other.digest_at(keys, at)) {
            return one == other;
        }
        let records = |history: &Self| -> Vec<_> {
            let there = history.range_at(keys, at);
            there.map(|(key, v)| (key.clone(), v.revision, v.value_hash)).collect()
        };
        records(self) == records(other)
    }

    /// All versions of a key, oldest first.
    pub fn of(&self, key: &[u8]) -> &[Version] {
        self.keys.get(key).map_or(&[], Vec::as_slice)
    }

    /// A key's state at a revision; `None` if it was absent.
    pub fn at(&self, key: &[u8], revision: Revision) -> Option<&Version> {
        let versions = self.of(key);
        let after = versions.partition_point(|version| version.revision <= revision);
        versions[..after].last().filter(|version| version.is_there())
    }

    /// A key's state before its last change.
    pub fn before_last(&self, key: &[u8]) -> Option<&Version> {
        let versions = self.of(key);
        let last = versions.len().checked_sub(2)?;
        versions.get(last).filter(|version| version.is_there())
    }

    /// The first change of a key after a revision.
    pub fn first_after(&self, key: &[u8], revision: Revision) -> Option<&Version> {
        let versions = self.of(key);
        versions.get(versions.partition_point(|version| version.revision <= revision))
    }

    /// All keys of a range that were there at a revision.
    pub fn range_at<'a>(
        &'a self,
        keys: &'a KeyRange,
        revision: Revision,
    ) -> impl Iterator<Item = (&'a Key, &'a Version)> {
        self.keys
            .range(keys.key.clone()..)
            .take_while(|(key, _)| keys.contains(key))
            .filter_map(move |(key, _)| Some((key, self.at(key, revision)?)))
    }

    /// The leases on which instances of a range ever hung, each with their group.
    pub fn leases<'a>(&'a self, keys: &'a KeyRange) -> impl Iterator<Item = (&'a str, LeaseId)> {
        let here = self.keys.range(keys.key.clone()..).take_while(|(key, _)| keys.contains(key));
        here.flat_map(|(_, versions)| versions).filter_map(|version| match &version.decoded {
            Some(Decoded::Instance(instance)) => Some((instance.group(), version.lease?)),
            Some(Decoded::Config(_) | Decoded::Ignored | Decoded::Bad(_)) | None => None,
        })
    }

    /// The keys of a range that changed at a revision.
    pub fn touched<'a>(
        &'a self,
        keys: &'a KeyRange,
        revision: Revision,
    ) -> impl Iterator<Item = &'a Key> {
        let from = self.touched.partition_point(|&(at, _)| at < revision);
        let here = self.touched[from..].iter().take_while(move |&&(at, _)| at == revision);
        here.map(|(_, key)| key).filter(|key| keys.contains(key))
    }

    /// The revisions after one and up to another that changed several keys, of whatever range.
    pub fn several(&self, after: Revision, up_to: Revision) -> impl Iterator<Item = Revision> {
        let from = self.several.partition_point(|&at| at <= after);
        self.several[from..].iter().copied().take_while(move |&at| at <= up_to)
    }

    /// The revisions after one and up to another at which anything changed.
    pub fn revisions(
        &self,
        after: Revision,
        up_to: Revision,
    ) -> impl Iterator<Item = Revision> + use<'_> {
        let from = self.touched.partition_point(|&(at, _)| at <= after);
        let span = self.touched[from..].iter().map(|&(at, _)| at);
        let mut last = after;
        span.take_while(move |&at| at <= up_to)
            .filter(move |&at| std::mem::replace(&mut last, at) < at)
    }
}

fn note(digests: &mut Vec<(Revision, Digest)>, revision: Revision, digest: Digest) {
    match digests.last_mut() {
        Some((last, known)) if *last == revision => *known = digest,
        _ => digests.push((revision, digest)),
    }
}

/// So many records are looked at one by one in any case.
const FEW: usize = 8;
