//! What a trace exercised.

use std::collections::{BTreeMap, BTreeSet};

use portolan_core::engine::{
    CallError, Event, Freshness, Gone, LossReason, OpId, RegistrationEvent, UpdateOutcome,
};
use portolan_core::waist::{MemberId, Reply, Request, Revision};
use serde::{Deserialize, Serialize};

use super::facts::{Facts, Fate, OperationKind};
use super::history::Author;
use super::ops;
use crate::plan::Way;
use crate::trace::{Entry, Run, What};

/// A machine of the engine.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
pub enum Machine {
    /// Leases: one was renewed, and one was lost or replaced.
    Lease,
    /// Registrations: one stood, and one was removed, healed or superseded.
    Hold,
    /// Directories: one went on after its first list.
    Mirror,
    /// Updates: one was written.
    Update,
    /// Calls: one was answered.
    Call,
    /// Retries: something that had failed was tried again.
    Retry,
    /// Members: another one was asked than before.
    Members,
}

impl Machine {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Lease,
        Self::Hold,
        Self::Mirror,
        Self::Update,
        Self::Call,
        Self::Retry,
        Self::Members,
    ];
}

/// Rare things worth counting.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Mark {
    GrantAnswerLost,
    WriteAnswerLost,
    WriteAppliedAfterItsClientMovedOn,
    LateWriteStoppedByItsGuard,
    LeaseLost,
    RecordDisturbed,
    Superseded,
    Waiting,
    RemovalUnconfirmed,
    WatchCompactedAway,
    DirectoryStale,
    UpdateUnknown,
    UpdateConflict,
    UpdateAppliedThoughUnanswered,
    KeyMovedFromRunToRun,
    CallUnknown,
}

/// How often each machine and each rare thing was seen.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    machines: BTreeMap<Machine, u64>,
    marks: BTreeMap<Mark, u64>,
    #[serde(skip)]
    renewed: BTreeSet<Run>,
    #[serde(skip)]
    members: BTreeMap<Run, MemberId>,
    #[serde(skip)]
    failed: BTreeSet<(Run, String)>,
}

impl Coverage {
    /// How often each machine did what it is for, troubles included.
    pub fn machines(&self) -> &BTreeMap<Machine, u64> {
        &self.machines
    }

    /// How often rare things happened.
    pub fn marks(&self) -> &BTreeMap<Mark, u64> {
        &self.marks
    }

    pub(super) fn see(&mut self, facts: &Facts, entry: &Entry) {
        match &entry.what {
            What::Told { run, event } => self.told(facts, *run, event),
            What::Sent { run, member, request, .. } => {
                if self.members.insert(*run, *member).is_some_and(|before| before != *member) {
                    self.machine(Machine::Members);
                }
                if self.failed.remove(&(*run, address(request))) {
                    self.machine(Machine::Retry);
                }
            }
            What::Answered { run, reply, .. } if facts.fresh => {
                if let Some((_, attempt, _)) = facts.answered(entry)
                    && matches!(reply, Reply::Failed(_))
                {
                    self.failed.insert((*run, address(&attempt.request)));
                }
                match reply {
                    Reply::KeepAlive(kept) if kept.ttl_secs > 0 => {
                        self.renewed.insert(*run);
                    }
                    Reply::Watch(reply) if reply.canceled && reply.compact_revision.0 > 0 => {
                        self.mark(Mark::WatchCompactedAway);
                    }
                    _ => {}
                }
            }
            What::Cancelled { run, attempt } => {
                if let Some(known) = facts.attempts.get(&(*run, *attempt)) {
                    self.failed.insert((*run, address(&known.request)));
                }
            }
            What::Lost { client, attempt, way: Way::Down } => {
                let run = facts.clients.get(client).copied();
                let request = run
                    .and_then(|run| facts.attempts.get(&(run, *attempt)))
                    .map(|known| &known.request);
                match request {
                    Some(Request::Grant(_)) => self.mark(Mark::GrantAnswerLost),
                    Some(Request::Txn(_) | Request::Put(_)) => self.mark(Mark::WriteAnswerLost),
                    _ => {}
                }
            }
            What::Arrived { client, attempt, late: true } => {
                let run = facts.clients.get(client).copied();
                let known = run.and_then(|run| facts.attempts.get(&(run, *attempt)));
                let writes = known.map(|known| ops::writes(&known.request)).unwrap_or_default();
                let stale = |write: &ops::Write<'_>| {
                    let now = facts.store.at(write.key, facts.store.revision);
                    let now = now.map(|version| version.revision).unwrap_or_default();
                    write.guard.is_some_and(|guard| guard != now)
                };
                if writes.iter().any(stale) {
                    self.mark(Mark::LateWriteStoppedByItsGuard);
                }
            }
            What::Changed(change) => {
                let versions = facts.store.of(&change.kv.key);
                let Some(version) = versions.last() else { return };
                if let Author::Run(run, attempt) = version.by {
                    let known = facts.attempts.get(&(run, attempt));
                    if known.is_some_and(|known| known.fate.is_some()) {
                        self.mark(Mark::WriteAppliedAfterItsClientMovedOn);
                    }
                    let before = facts.store.before_last(&change.kv.key);
                    if let Some(Author::Run(other, _)) = before.map(|before| before.by)
                        && other != run
                        && version.stamp().is_some()
                    {
                        self.mark(Mark::KeyMovedFromRunToRun);
                    }
                }
            }
            _ => {}
        }
    }

    fn told(&mut self, facts: &Facts, run: Run, event: &Event) {
        match event {
            Event::Registration { event, .. } => match event {
                RegistrationEvent::Lost { reason } => {
                    if *reason == LossReason::LeaseLost {
                        self.mark(Mark::LeaseLost);
                        if self.renewed.contains(&run) {
                            self.machine(Machine::Lease);
                        }
                    } else {
                        self.mark(Mark::RecordDisturbed);
                    }
                    self.machine(Machine::Hold);
                }
                RegistrationEvent::Gone(gone) => {
                    self.machine(Machine::Hold);
                    match gone {
                        Gone::Superseded { .. } => {
                            self.mark(Mark::Superseded);
                        }
                        Gone::Unconfirmed => {
                            self.mark(Mark::RemovalUnconfirmed);
                        }
                        _ => {}
                    }
                }
                RegistrationEvent::Waiting { .. } => self.mark(Mark::Waiting),
                RegistrationEvent::Registered { .. } | RegistrationEvent::Denied { .. } => {}
            },
            Event::Stepped { id, .. } => {
                let known = facts.directories.get(&(run, *id));
                if known.is_some_and(|directory| directory.before.is_some()) {
                    self.machine(Machine::Mirror);
                }
            }
            Event::Freshness { snapshot, .. } => {
                if matches!(snapshot.freshness, Freshness::Stale { .. }) {
                    self.mark(Mark::DirectoryStale);
                }
            }
            Event::Updated { id, outcome } => match outcome {
                UpdateOutcome::Done { revision } => {
                    self.machine(Machine::Update);
                    if self::unanswered(facts, run, *id, *revision) {
                        self.mark(Mark::UpdateAppliedThoughUnanswered);
                    }
                }
                UpdateOutcome::Unknown { .. } => self.mark(Mark::UpdateUnknown),
                UpdateOutcome::Conflict => self.mark(Mark::UpdateConflict),
                UpdateOutcome::Unchanged { .. } | UpdateOutcome::Failed { .. } => {}
            },
            Event::Called { result, .. } => match result {
                Ok(_) => self.machine(Machine::Call),
                Err(CallError::Unknown(_)) => self.mark(Mark::CallUnknown),
                Err(_) => {}
            },
            Event::Propose { .. } | Event::Closed { .. } => {}
        }
    }

    fn machine(&mut self, machine: Machine) {
        *self.machines.entry(machine).or_default() += 1;
    }

    fn mark(&mut self, mark: Mark) {
        *self.marks.entry(mark).or_default() += 1;
    }
}

/// Whether the swap that an update was told of was made by an attempt without an answer.
fn unanswered(facts: &Facts, run: Run, id: OpId, revision: Revision) -> bool {
    let operation = facts.ops.get(&(run, id));
    let Some(OperationKind::Update { key: Some(key) }) = operation.map(|known| &known.kind) else {
        return false;
    };
    let Some(Author::Run(by, attempt)) = facts.store.at(key, revision).map(|version| version.by)
    else {
        return false;
    };
    let attempt = facts.attempts.get(&(by, attempt));
    attempt.is_some_and(|attempt| attempt.fate != Some(Fate::Answered))
}

/// What a request is for, roughly: the same address is the same try again.
fn address(request: &Request) -> String {
    match request {
        Request::Range(range) => format!("range {}", range.keys),
        Request::Watch(watch) => format!("watch {}", watch.keys),
        Request::Grant(_) => "grant".to_owned(),
        Request::KeepAlive(keep) => format!("keepalive {}", keep.lease),
        Request::Revoke(revoke) => format!("revoke {}", revoke.lease),
        Request::Put(_) | Request::Delete(_) | Request::Txn(_) => {
            let writes = ops::writes(request);
            writes.first().map_or("txn".to_owned(), |write| format!("write {}", write.key))
        }
        Request::Compact(_)
        | Request::TimeToLive(_)
        | Request::Leases
        | Request::OnWatch { .. }
        | Request::Status
        | Request::Authenticate => "other".to_owned(),
    }
}
