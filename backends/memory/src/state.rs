//! What the members agree on: a store and its leases, changed by nothing but [`State::apply`].
//!
//! `apply` is a pure function of the state and the command: members that apply the same commands in
//! the same order hold the same state. Time has no place here; leases run out at the leader
//! (`lessor`), which then proposes to revoke them.

use std::collections::{BTreeMap, BTreeSet};

use portolan_core::waist::{
    Compact, CompactReply, DeleteRange, DeleteReply, GrantReply, Header, Key, KeyRange, KeyValue,
    LeaseId, Put, PutReply, Reply, Revision, RevokeReply, StoreError, Txn,
};

use crate::auth::{Auth, Judge, Who};
use crate::model::LEASE_BYTES;
use crate::store::Store;
use crate::{Operation, Outcome, Quirks, Token, txn};

/// The replicated state of one member.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) leases: BTreeMap<LeaseId, Lease>,
    pub(crate) auth: Auth,
    /// How many commands were applied.
    pub(crate) applied: u64,
}

/// What the members know of a lease.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Lease {
    pub(crate) ttl_secs: i64,
    pub(crate) keys: BTreeSet<Key>,
}

/// What goes through consensus.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) enum Command {
    Put(Put),
    Delete(DeleteRange),
    Txn(Txn),
    Compact(Compact),
    /// The time to live is already raised to the minimum, unless it is too large.
    Grant {
        lease: LeaseId,
        ttl_secs: i64,
    },
    Revoke {
        lease: LeaseId,
    },
    /// A user has shown the password; each member will know the token.
    Authenticate {
        user: String,
        token: Token,
    },
    Operate(Operation),
}

/// A command, and whose it is.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Entry {
    pub(crate) command: Command,
    pub(crate) who: Who,
}

/// What is said of a request, without the ids in its header.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) enum Answer {
    Reply(Reply),
    /// To an operator.
    Outcome(Outcome),
}

/// What a command did.
pub(crate) struct Applied {
    pub(crate) answer: Result<Answer, StoreError>,
    /// What changed, in order, all at the store's new revision.
    pub(crate) changes: Vec<KeyValue>,
}

impl State {
    pub(crate) fn new() -> Self {
        Self { store: Store::new(), leases: BTreeMap::new(), auth: Auth::new(), applied: 0 }
    }

    /// Applies one command, if whoever asks may do it.
    pub(crate) fn apply(&mut self, entry: Entry, quirks: &Quirks) -> Applied {
        self.applied += 1;
        let Entry { command, who } = entry;
        if let Err(error) = self.judge(&who, quirks).command(&command) {
            return Applied::quietly(Err(error));
        }
        match command {
            Command::Put(put) => self.write(|writer| {
                writer.check_put(&put)?;
                Ok(Reply::Put(writer.put(put)))
            }),
            Command::Delete(delete) => {
                self.write(|writer| Ok(Reply::Delete(writer.delete(&delete))))
            }
            Command::Txn(txn) => {
                self.write(|writer| txn::apply(writer, &txn, quirks).map(Reply::Txn))
            }
            Command::Compact(compact) => {
                Applied::quietly(self.compact(compact, quirks).map(Reply::Compact))
            }
            Command::Grant { lease, ttl_secs } => {
                Applied::quietly(self.grant(lease, ttl_secs).map(Reply::Grant))
            }
            Command::Revoke { lease } => self.revoke(lease),
            Command::Authenticate { .. } => Applied::quietly(Ok(Reply::Authenticated)),
            Command::Operate(operation) => {
                let answer = self.auth.operate(&operation, quirks).map(Answer::Outcome);
                Applied { answer, changes: Vec::new() }
            }
        }
    }

    /// What all that is stored counts for, history included, in bytes.
    pub(crate) fn stored(&self) -> u64 {
        self.store.stored() + self.leases.len() as u64 * LEASE_BYTES
    }

    /// What a request is judged by, as things are now.
    pub(crate) fn judge<'a>(&'a self, who: &'a Who, quirks: &'a Quirks) -> Judge<'a> {
        Judge { auth: &self.auth, leases: &self.leases, who, quirks }
    }

    /// Runs a transaction that writes nothing; it needs no consensus (row T9).
    pub(crate) fn read_txn(&self, txn: &Txn, quirks: &Quirks) -> Result<Reply, StoreError> {
        txn::read(self, txn, quirks).map(Reply::Txn)
    }

    /// Row C1.
    fn compact(&mut self, request: Compact, quirks: &Quirks) -> Result<CompactReply, StoreError> {
        if request.revision <= self.store.compacted() {
            return Err(StoreError::Compacted);
        }
        if request.revision > self.store.revision() {
            return Err(StoreError::FutureRevision);
        }
        self.store.compact(request.revision, quirks.compaction_drops_delete);
        Ok(CompactReply { header: self.header() })
    }

    /// Rows L1 and L2, from `server/lease/lessor.go`.
    fn grant(&mut self, lease: LeaseId, ttl_secs: i64) -> Result<GrantReply, StoreError> {
        if ttl_secs > MAX_TTL_SECS {
            return Err(StoreError::LeaseTtlTooLarge);
        }
        if self.leases.contains_key(&lease) {
            return Err(StoreError::LeaseExists);
        }
        self.leases.insert(lease, Lease { ttl_secs, keys: BTreeSet::new() });
        Ok(GrantReply { header: self.header(), lease, ttl_secs })
    }

    /// Row L5: the keys go in one revision, in order.
    fn revoke(&mut self, lease: LeaseId) -> Applied {
        let Some(ended) = self.leases.remove(&lease) else {
            return Applied::quietly(Err(StoreError::LeaseNotFound));
        };
        let mut applied = self.write(|writer| {
            for key in &ended.keys {
                writer.delete_key(key);
            }
            Ok(Reply::Revoke(RevokeReply::default()))
        });
        applied.answer = Ok(Reply::Revoke(RevokeReply { header: self.header() }).into());
        applied
    }

    /// A header with the present revision alone.
    fn header(&self) -> Header {
        Header { revision: self.store.revision(), ..Header::default() }
    }

    fn write(&mut self, run: impl FnOnce(&mut Writer<'_>) -> Result<Reply, StoreError>) -> Applied {
        let mut writer = Writer { state: self, changes: Vec::new() };
        let reply = run(&mut writer);
        let changes = writer.changes;
        if !changes.is_empty() {
            self.store.finish();
        }
        Applied { answer: reply.map(Answer::Reply), changes }
    }
}

impl Applied {
    /// No key has changed.
    fn quietly(reply: Result<Reply, StoreError>) -> Self {
        Self { answer: reply.map(Answer::Reply), changes: Vec::new() }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// The writes of one request, from `server/storage/mvcc/kvstore_txn.go`.
pub(crate) struct Writer<'a> {
    pub(crate) state: &'a mut State,
    changes: Vec<KeyValue>,
}

impl Writer<'_> {
    /// The revision that the request sees: one ahead of the store's once it has written.
    pub(crate) fn revision(&self) -> Revision {
        let before = self.state.store.revision();
        if self.changes.is_empty() { before } else { before.next() }
    }

    /// What may be wrong with a put on its own: rows L3 and K4. In a transaction the key is looked
    /// at before the lease.
    fn check_put(&self, put: &Put) -> Result<(), StoreError> {
        if put.lease.is_some_and(|lease| !self.state.leases.contains_key(&lease)) {
            return Err(StoreError::LeaseNotFound);
        }
        if (put.ignore_value || put.ignore_lease) && self.state.store.latest(&put.key).is_none() {
            return Err(StoreError::KeyNotFound);
        }
        Ok(())
    }

    /// Rows K1, K4, K5 and L4.
    ///
    /// An ignore flag may find no key after all, where the transaction has deleted it by a range
    /// without an end (see `check`). etcd dies of that; here what is missing counts as empty.
    pub(crate) fn put(&mut self, put: Put) -> PutReply {
        let before = self.state.store.latest(&put.key);
        let had_lease = before.and_then(|kv| kv.lease);
        let value = match before {
            Some(kv) if put.ignore_value => kv.value.clone(),
            Some(_) | None => put.value,
        };
        let lease = if put.ignore_lease { had_lease } else { put.lease };
        let prev = if put.prev_kv { before.cloned() } else { None };
        if had_lease != lease {
            self.detach(&put.key, had_lease);
            if let Some(lease) = lease.and_then(|id| self.state.leases.get_mut(&id)) {
                lease.keys.insert(put.key.clone());
            }
        }
        let (revision, index) = self.next();
        let kv = self.state.store.put(revision, index, put.key, value, lease);
        self.changes.push(kv);
        let header = Header { revision, ..Header::default() };
        PutReply { header, prev }
    }

    /// Deletes a range.
    pub(crate) fn delete(&mut self, delete: &DeleteRange) -> DeleteReply {
        let found: Vec<KeyValue> = self.range(&delete.keys).cloned().collect();
        for kv in &found {
            self.delete_key(&kv.key);
        }
        DeleteReply {
            header: Header { revision: self.revision(), ..Header::default() },
            deleted: found.len() as i64,
            prev: if delete.prev_kv { found } else { Vec::new() },
        }
    }

    fn range(&self, keys: &KeyRange) -> impl Iterator<Item = &KeyValue> {
        self.state.store.range(keys, self.revision())
    }

    /// Deletes one key; nothing happens if it is absent.
    fn delete_key(&mut self, key: &Key) {
        let Some(kv) = self.state.store.latest(key) else { return };
        let lease = kv.lease;
        self.detach(key, lease);
        let (revision, index) = self.next();
        let kv = self.state.store.delete(revision, index, key);
        self.changes.push(kv);
    }

    fn detach(&mut self, key: &Key, lease: Option<LeaseId>) {
        if let Some(lease) = lease.and_then(|id| self.state.leases.get_mut(&id)) {
            lease.keys.remove(key);
        }
    }

    /// Revision and place of the next change.
    fn next(&self) -> (Revision, u32) {
        let index =
            u32::try_from(self.changes.len()).expect("fewer changes than a request has bytes");
        (self.state.store.revision().next(), index)
    }
}

/// The longest time to live, in seconds (row L2, `server/lease/lessor.go`).
pub(crate) const MAX_TTL_SECS: i64 = 9_000_000_000;
