//! What may be looked at from outside, for checks and for drawing.

use std::collections::BTreeMap;

use portolan_core::Time;
use portolan_core::waist::{
    EventKind, Header, Key, KeyRange, KeyValue, LeaseId, MemberId, Revision,
};
use serde::{Deserialize, Serialize};

use super::Model;
use super::member::Power;
use crate::{Config, Log};

/// A lease as it is now.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct LeaseView {
    /// Its id.
    pub lease: LeaseId,
    /// Its time to live, as granted.
    pub ttl_secs: i64,
    /// When its time is over; it lives on until it is revoked. `None` while there is no leader.
    pub expires: Option<Time>,
    /// The keys that hang on it.
    pub keys: Vec<Key>,
}

/// A member as it is now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct MemberView {
    /// Its place.
    pub member: MemberId,
    /// etcd's own id of it.
    pub id: u64,
    /// Whether its process runs and is not held.
    pub is_up: bool,
    /// The leader that it knows of, who may be gone.
    pub leader: Option<MemberId>,
    /// How far it has applied the log.
    pub revision: Revision,
    /// Whether the other members cannot reach it.
    pub is_cut_off: bool,
    /// Whether it applies nothing more of what it hears.
    pub lags: bool,
    /// Whether its database is full (row E2).
    pub is_full: bool,
}

impl Model {
    /// The truth: everything that was ever applied in this epoch. Empty if the configuration says
    /// not to keep it.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// How often the history began anew: by a wipe, a restore, another cluster. From 0.
    pub fn epoch(&self) -> u64 {
        self.cluster.epoch
    }

    /// The revision of the last change that was agreed on; members may lag behind it.
    pub fn revision(&self) -> Revision {
        self.head.store.revision()
    }

    /// The oldest revision that clients can read; `None` before the first compaction.
    pub fn compacted(&self) -> Option<Revision> {
        let compacted = self.head.store.compacted();
        (compacted.0 >= 0).then_some(compacted)
    }

    /// Whether there is a backup to restore.
    pub fn has_backup(&self) -> bool {
        self.backup.is_some()
    }

    /// What all that is stored counts for against [`Limits::quota_bytes`](crate::Limits::quota_bytes).
    pub fn stored(&self) -> u64 {
        self.head.stored()
    }

    /// How much of that counts for history, against [`Limits::history_bytes`](crate::Limits::history_bytes).
    pub fn history(&self) -> u64 {
        self.head.store.history()
    }

    /// The configuration; its cluster id changes when the cluster is replaced.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The raft term.
    pub fn term(&self) -> u64 {
        self.cluster.term
    }

    /// Whether a member's process runs and is not held; of several members, any.
    pub fn is_up(&self) -> bool {
        self.members.iter().any(|member| member.power == Power::On)
    }

    /// Whether there is a leader, though it may be held or cut off.
    pub fn has_leader(&self) -> bool {
        self.cluster.leader.is_some()
    }

    /// Which member leads, though it may be held or cut off.
    pub fn leader(&self) -> Option<MemberId> {
        self.cluster.leader.map(place)
    }

    /// What stands in the headers of a member's answers now.
    pub fn header_of(&self, member: MemberId) -> Header {
        self.header(self.place(member))
    }

    /// How each member is, by its place.
    pub fn members(&self) -> impl Iterator<Item = MemberView> + use<'_> {
        self.members.iter().enumerate().map(|(m, member)| MemberView {
            member: place(m),
            id: member.id,
            is_up: member.power == Power::On,
            leader: member.sight.leader.map(place),
            revision: self.state(m).store.revision(),
            is_cut_off: member.cut,
            lags: member.lag,
            is_full: self.alarms.contains(&member.id),
        })
    }

    /// The latest time that the model has heard of.
    pub fn now(&self) -> Time {
        self.now
    }

    /// All records at `revision`, whatever was compacted since. `None` for a revision that has not
    /// come yet, or that was compacted while no log is kept.
    pub fn store_at(&self, revision: Revision) -> Option<BTreeMap<Key, KeyValue>> {
        let store = &self.head.store;
        if revision > store.revision() {
            return None;
        }
        if revision >= store.compacted() {
            let records = store.range(&KeyRange::all(), revision);
            return Some(records.map(|kv| (kv.key.clone(), kv.clone())).collect());
        }
        if !self.config.keep_log {
            return None;
        }
        let mut records = BTreeMap::new();
        for change in self.log.changes().iter().take_while(|change| change.revision <= revision) {
            match change.kind {
                EventKind::Put => records.insert(change.kv.key.clone(), change.kv.clone()),
                EventKind::Delete => records.remove(&change.kv.key),
            };
        }
        Some(records)
    }

    /// One record as it is now.
    pub fn record(&self, key: &[u8]) -> Option<&KeyValue> {
        self.head.store.latest(key)
    }

    /// All records as they are now, by key.
    pub fn records(&self) -> impl Iterator<Item = &KeyValue> + use<'_> {
        self.head.store.range(&KeyRange::all(), self.revision())
    }

    /// The records of some keys as they are now.
    pub fn records_of(&self, keys: &KeyRange) -> impl Iterator<Item = &KeyValue> + use<'_> {
        self.head.store.range(keys, self.revision())
    }

    /// All leases, by id.
    pub fn leases(&self) -> impl Iterator<Item = LeaseView> + use<'_> {
        self.head.leases.iter().map(|(&lease, known)| LeaseView {
            lease,
            ttl_secs: known.ttl_secs,
            expires: self.cluster.lessor.expires(lease),
            keys: known.keys.iter().cloned().collect(),
        })
    }
}

fn place(m: usize) -> MemberId {
    MemberId(u16::try_from(m).expect("there are few members"))
}
