//! Who has changed the store.
//!
//! The model knows requests by numbers of its own server; the engines know theirs. What ties them is
//! what they say: a key, a value, a lease. Two requests that say the same are the same to every check.

use std::collections::{BTreeMap, VecDeque};

use portolan_core::waist::{AttemptId, EventKind, Key, KeyRange, LeaseId, Op, Put, Request, Txn};
use portolan_memory::{Cause, Change, ClientId, LeaseChange, LeaseStep};
use portolan_sim::Run;

/// What engines have sent, and by which names the checks know them.
#[derive(Default)]
pub struct Authors {
    clients: BTreeMap<Run, ClientId>,
    sent: VecDeque<(Run, AttemptId, Request)>,
}

impl Authors {
    /// A run begins: by which name the checks are to know its connections.
    pub fn began(&mut self, run: Run) -> ClientId {
        let client = ClientId(run.start * 16 + u32::from(run.process));
        self.clients.insert(run, client);
        client
    }

    /// A run has sent a request.
    pub fn sent(&mut self, run: Run, attempt: AttemptId, request: &Request) {
        let matters = matches!(
            request,
            Request::Put(_)
                | Request::Delete(_)
                | Request::Txn(_)
                | Request::Grant(_)
                | Request::Revoke(_)
                | Request::KeepAlive(_)
        );
        if matters {
            self.sent.push_back((run, attempt, request.clone()));
        }
        if self.sent.len() > KEPT {
            self.sent.pop_front();
        }
    }

    /// A change with the author that the checks know; `None`: nobody has asked for it.
    pub fn of_change(&self, change: &Change) -> Option<Change> {
        let cause = match change.cause {
            Cause::Request { .. } => {
                let (from, attempt) = self.whoever(|request| writes(request, change))?;
                Cause::Request { from, attempt }
            }
            cause => self.of_cause(cause)?,
        };
        Some(Change { cause, ..change.clone() })
    }

    /// As [`of_change`](Self::of_change), for a lease.
    pub fn of_lease(&self, change: &LeaseChange) -> Option<LeaseChange> {
        let lease = change.lease;
        let step = match change.step {
            LeaseStep::Granted { ttl_secs, expires, .. } => {
                let (from, attempt) = self.whoever(|request| {
                    matches!(request, Request::Grant(grant) if grant.lease == Some(lease))
                })?;
                LeaseStep::Granted { ttl_secs, expires, from, attempt }
            }
            LeaseStep::Renewed { expires, .. } => {
                let (from, attempt) = self.whoever(
                    |request| matches!(request, Request::KeepAlive(ask) if ask.lease == lease),
                )?;
                LeaseStep::Renewed { expires, from, attempt }
            }
            step @ LeaseStep::Prolonged { .. } => step,
            LeaseStep::Ended { cause } => LeaseStep::Ended { cause: self.of_cause(cause)? },
        };
        Some(LeaseChange { step, ..change.clone() })
    }

    fn of_cause(&self, cause: Cause) -> Option<Cause> {
        let Cause::Revoke { lease, .. } = cause else { return Some(cause) };
        let (from, attempt) = self.revoker(lease)?;
        Some(Cause::Revoke { lease, from, attempt })
    }

    fn revoker(&self, lease: LeaseId) -> Option<(ClientId, AttemptId)> {
        self.whoever(|request| matches!(request, Request::Revoke(ask) if ask.lease == lease))
    }

    /// Who has sent such a request last.
    fn whoever(&self, such: impl Fn(&Request) -> bool) -> Option<(ClientId, AttemptId)> {
        let found = self.sent.iter().rev().find(|(_, _, request)| such(request));
        let (run, attempt, _) = found?;
        Some((*self.clients.get(run)?, *attempt))
    }
}

fn writes(request: &Request, change: &Change) -> bool {
    match request {
        Request::Put(put) => puts(put, change),
        Request::Delete(delete) => deletes(&delete.keys, change),
        Request::Txn(txn) => txn_writes(txn, change),
        _ => false,
    }
}

fn txn_writes(txn: &Txn, change: &Change) -> bool {
    txn.then.iter().chain(&txn.or_else).any(|op| match op {
        Op::Put(put) => puts(put, change),
        Op::Delete(delete) => deletes(&delete.keys, change),
        Op::Txn(txn) => txn_writes(txn, change),
        Op::Range(_) => false,
    })
}

fn puts(put: &Put, change: &Change) -> bool {
    let same = put.key == change.kv.key && put.value == change.kv.value;
    same && change.kind == EventKind::Put && put.lease == change.kv.lease
}

fn deletes(keys: &KeyRange, change: &Change) -> bool {
    let key: &Key = &change.kv.key;
    change.kind == EventKind::Delete && keys.contains(key)
}

/// Requests that are remembered: what was sent so long ago is not under way any more.
const KEPT: usize = 4_000;
