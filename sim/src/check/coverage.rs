//! What a trace exercised.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portolan_core::Time;
use portolan_core::engine::{
    CallError, Event, Freshness, Gone, LossReason, OpId, RegistrationEvent, RegistrationId,
    UpdateOutcome,
};
use portolan_core::waist::{
    AttemptId, Key, KeyRange, LeaseId, MemberId, Reply, Request, Revision, StoreError, WatchReply,
};
use portolan_memory::{Cause, LeaseStep};
use serde::{Deserialize, Serialize};

use self::watched::Watched;
use super::facts::{Attempt, Facts, Fate, OperationKind};
use super::faults::Fault;
use super::history::Author;
use super::ops;
use crate::plan::{Do, MemberFault, Way};
use crate::trace::{Entry, Run, What};

mod watched;

/// A machine of the engine.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
pub enum Machine {
    /// Leases: one that had been renewed was lost, and its registration stood on another again.
    Lease,
    /// Registrations: one stood, and one was removed, healed or superseded.
    Hold,
    /// Directories: one told a difference after its first list.
    Mirror,
    /// Updates: one was written.
    Update,
    /// Calls: one was answered.
    Call,
    /// Retries: something that had failed was tried again, later.
    Retry,
    /// Members: after something had failed at one, another was asked.
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

macro_rules! marks {
    ($($name:ident,)*) => {
        /// Rare things worth counting.
        #[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "the names say it")]
        pub enum Mark {
            $($name,)*
        }

        impl Mark {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

marks! {
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
    WatchConfirmedBehindItsView,
    DirectoryStale,
    UpdateUnknown,
    UpdateConflict,
    UpdateAppliedThoughUnanswered,
    KeyMovedFromRunToRun,
    CallUnknown,
    ProgressAheadOfItsEvents,
    WriteLost,
    LeaseLostInAPause,
    RenewalAnsweredTooLate,
    ListCompactedAway,
    CaughtUpInSeveralGoes,
    WatchOnACutOffMember,
    TwoLeasesEndedAtOnce,
    LeaseProlonged,
    StreamClosedAgainAndAgain,
    CaughtUpWithAThousandRevisions,
    RevisionInParts,
    AnswerTooLarge,
    LeasesEndedInSeveralRounds,
    ManyKeysInOneBatch,
}

/// How often each machine and each rare thing was seen.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    machines: BTreeMap<Machine, u64>,
    marks: BTreeMap<Mark, u64>,
    faults: BTreeMap<Fault, u64>,
    #[serde(skip)]
    known: Known,
}

/// What the next entries are held against.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Known {
    /// The plan's last step, as long as nothing but its effects have followed.
    doing: Option<Do>,
    /// Leases that were renewed.
    renewed: BTreeSet<LeaseId>,
    /// The lease on which each registration last stood, as its application was told, and whether
    /// it was told since that it lost it, or its record.
    stood: BTreeMap<(Run, RegistrationId), (LeaseId, Option<LossReason>)>,
    /// The member that each run asked last, and whether something failed there since.
    members: BTreeMap<Run, (MemberId, bool)>,
    /// When what failed, and has not worked since.
    failed: BTreeMap<(Run, Address), Time>,
    /// The revision up to which each watch was told that it had all.
    progress: BTreeMap<(Run, AttemptId), Revision>,
    /// How many watches of the same keys have ended as soon as they were accepted, in a row.
    closed: BTreeMap<(Run, KeyRange), u32>,
    /// The watches that are open.
    watched: BTreeMap<(Run, AttemptId), Watched>,
    /// When a lease last ran out, and how many did so then.
    expired: Option<(Time, usize)>,
}

impl Known {
    /// What is tried again, or has worked: when it had failed.
    fn forget_failure(&mut self, run: Run, request: &Request) -> Option<Time> {
        if self.failed.is_empty() {
            return None;
        }
        self.failed.remove(&(run, Address::of(request)))
    }
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

    /// How often each kind of fault took effect.
    pub fn faults(&self) -> &BTreeMap<Fault, u64> {
        &self.faults
    }

    pub(super) fn see(&mut self, facts: &Facts, entry: &Entry) {
        if let Some(fault) = Fault::of(facts, self.known.doing.as_ref(), entry) {
            *self.faults.entry(fault).or_default() += 1;
        }
        match &entry.what {
            What::Did(step) => self.known.doing = Some(step.clone()),
            What::Broke { .. } => {}
            _ => self.known.doing = None,
        }
        match &entry.what {
            What::Told { run, event } => self.told(facts, *run, event),
            What::Sent { run, attempt, member, request } => {
                if let Request::Watch(_) = request {
                    self.known.watched.insert((*run, *attempt), Watched::at(*member));
                }
                if let Request::Txn(txn) = request
                    && txn.then.len() >= MANY_KEYS
                {
                    self.mark(Mark::ManyKeysInOneBatch);
                }
                let before = self.known.members.get(run).copied();
                if let Some((before, failed)) = before
                    && before != *member
                    && failed
                {
                    self.machine(Machine::Members);
                }
                if before.is_none_or(|(before, _)| before != *member) {
                    self.known.members.insert(*run, (*member, false));
                }
                let failed = self.known.forget_failure(*run, request);
                if failed.is_some_and(|at| at < entry.at) {
                    self.machine(Machine::Retry);
                }
            }
            What::Answered { run, attempt: id, reply } if facts.fresh => {
                let Some((_, attempt, _)) = facts.answered(entry) else { return };
                self.watch_answered(facts, (*run, *id), attempt, reply);
                if matches!(reply, Reply::Failed(_)) {
                    self.failed(*run, &attempt.request, entry.at);
                } else if !matches!(attempt.request, Request::Watch(_)) {
                    self.known.forget_failure(*run, &attempt.request);
                }
                match reply {
                    Reply::Failed(StoreError::AnswerTooLarge { .. }) => {
                        self.mark(Mark::AnswerTooLarge);
                    }
                    Reply::KeepAlive(kept) if kept.ttl_secs > 0 => {
                        self.known.renewed.insert(kept.lease);
                    }
                    Reply::Failed(StoreError::Compacted)
                        if matches!(attempt.request, Request::Range(_)) =>
                    {
                        self.mark(Mark::ListCompactedAway);
                    }
                    Reply::Watch(reply) if !reply.canceled && !reply.created => {
                        self.progress((*run, *id), reply);
                    }
                    Reply::Watch(reply) if reply.canceled && reply.compact_revision.0 > 0 => {
                        self.mark(Mark::WatchCompactedAway);
                    }
                    Reply::Watch(reply) if reply.created && !reply.canceled => {
                        let Request::Watch(watch) = &attempt.request else { return };
                        let directory = facts.only_directory_of(*run, &watch.keys);
                        if directory.is_some_and(|(_, it)| it.cursor() > reply.header.revision) {
                            self.mark(Mark::WatchConfirmedBehindItsView);
                        }
                    }
                    _ => {}
                }
            }
            What::Answered { run, attempt, reply: Reply::KeepAlive(kept) } => {
                // Nobody waits for it any more.
                let Some(known) = facts.attempts.get(&(*run, *attempt)) else { return };
                let age = facts.local(*run, entry.at).since(facts.local(*run, known.at));
                let ttl = u64::try_from(kept.ttl_secs).unwrap_or(0);
                if ttl > 0 && age >= Duration::from_secs(ttl) {
                    self.mark(Mark::RenewalAnsweredTooLate);
                }
            }
            What::Membered { member, fault: MemberFault::CutOff }
                if self.known.watched.values().any(|watch| watch.member == *member) =>
            {
                self.mark(Mark::WatchOnACutOffMember);
            }
            What::Leased(change) => match change.step {
                LeaseStep::Ended { cause: Cause::Expiry { .. } } => self.expired(facts, entry.at),
                LeaseStep::Prolonged { .. } => self.mark(Mark::LeaseProlonged),
                LeaseStep::Ended { .. } | LeaseStep::Granted { .. } | LeaseStep::Renewed { .. } => {
                }
            },
            What::Crashed(run) => self.known.watched.retain(|(of, _), _| of != run),
            What::Lost { client, attempt, way: Way::Up } => {
                let run = facts.clients.get(client).copied();
                let known = run.and_then(|run| facts.attempts.get(&(run, *attempt)));
                if known.is_some_and(|known| !ops::writes(&known.request).is_empty()) {
                    self.mark(Mark::WriteLost);
                }
            }
            What::Cancelled { run, attempt } => {
                self.known.watched.remove(&(*run, *attempt));
                // It waited as long as it may, and is given up; or it is not needed any more.
                if let Some(known) = facts.attempts.get(&(*run, *attempt)) {
                    let waited = facts.local(*run, entry.at).since(facts.local(*run, known.at));
                    if waited >= facts.setup.tuning.attempt_timeout
                        && !matches!(known.request, Request::Watch(_))
                    {
                        self.failed(*run, &known.request, entry.at);
                    }
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
            Event::Registration { id, event } => {
                let lost = RegistrationEvent::Lost { reason: LossReason::LeaseLost };
                let held = facts.runs.get(&run).and_then(|known| known.held_at);
                if *event == lost && held == Some(facts.now) {
                    self.mark(Mark::LeaseLostInAPause);
                }
                self.registration((run, *id), event);
            }
            Event::Stepped { id, step } => {
                let known = facts.directories.get(&(run, *id));
                let before = known.and_then(|directory| directory.before.as_ref());
                let listed = before.is_some_and(|before| before.revision > Revision::ZERO);
                if listed && !step.changes.is_empty() {
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
            Event::Guard { .. }
            | Event::Followed { .. }
            | Event::Propose { .. }
            | Event::Closed { .. } => {}
        }
    }

    fn registration(&mut self, place: (Run, RegistrationId), event: &RegistrationEvent) {
        match event {
            RegistrationEvent::Registered { lease, .. } => {
                let before = self.known.stood.insert(place, (*lease, None));
                let Some((old, Some(reason))) = before else { return };
                self.machine(Machine::Hold);
                if reason == LossReason::LeaseLost
                    && old != *lease
                    && self.known.renewed.contains(&old)
                {
                    self.machine(Machine::Lease);
                }
            }
            RegistrationEvent::Lost { reason } => {
                self.mark(match reason {
                    LossReason::LeaseLost => Mark::LeaseLost,
                    LossReason::Disturbed | LossReason::Evicted => Mark::RecordDisturbed,
                });
                if let Some((_, lost)) = self.known.stood.get_mut(&place) {
                    *lost = Some(*reason);
                }
            }
            RegistrationEvent::Gone(gone) => {
                let stood = self.known.stood.remove(&place).is_some();
                match gone {
                    Gone::Superseded { .. } => self.mark(Mark::Superseded),
                    Gone::Unconfirmed => self.mark(Mark::RemovalUnconfirmed),
                    Gone::Deregistered
                    | Gone::Rejected { .. }
                    | Gone::Evicted { .. }
                    | Gone::Refused { .. } => {}
                }
                if stood && matches!(gone, Gone::Deregistered | Gone::Superseded { .. }) {
                    self.machine(Machine::Hold);
                }
            }
            RegistrationEvent::Waiting { .. } => self.mark(Mark::Waiting),
            RegistrationEvent::Denied { .. } => {}
        }
    }

    fn expired(&mut self, facts: &Facts, at: Time) {
        let store = &facts.setup.store;
        let before = self.known.expired;
        let now = before.filter(|&(last, _)| last == at).map_or(1, |(_, count)| count + 1);
        self.known.expired = Some((at, now));
        if now == 2 {
            self.mark(Mark::TwoLeasesEndedAtOnce);
        }
        // The round before took as many as it could, and left the rest to this one.
        let left = before.is_some_and(|(last, count)| {
            count >= store.lease_scan_limit && at.since(last) == store.lease_scan_interval
        });
        if now == 1 && left {
            self.mark(Mark::LeasesEndedInSeveralRounds);
        }
    }

    fn failed(&mut self, run: Run, request: &Request, at: Time) {
        self.known.failed.insert((run, Address::of(request)), at);
        if let Some((_, failed)) = self.known.members.get_mut(&run) {
            *failed = true;
        }
    }

    fn watch_answered(
        &mut self,
        facts: &Facts,
        place: (Run, AttemptId),
        attempt: &Attempt,
        reply: &Reply,
    ) {
        let Request::Watch(watch) = &attempt.request else { return };
        match reply {
            Reply::Watch(reply) if !reply.canceled => {
                if let Some(watch) = self.known.watched.get_mut(&place) {
                    let marks = watch.told(reply);
                    marks.for_each(|mark| self.mark(mark));
                }
                let last = reply.events.last().map(|event| event.kv.mod_revision);
                if last.is_some_and(|last| last < reply.header.revision) {
                    self.mark(Mark::CaughtUpInSeveralGoes);
                }
            }
            Reply::Watch(_) | Reply::Failed(_) => {
                let accepted =
                    self.known.watched.remove(&place).is_some_and(|watch| watch.accepted);
                let (run, now) = (place.0, facts.now);
                let lived = facts.local(run, now).since(facts.local(run, attempt.at));
                let closed = self.known.closed.entry((run, watch.keys.clone())).or_default();
                let at_once = accepted && lived < facts.setup.tuning.healthy_after;
                *closed = if at_once { *closed + 1 } else { 0 };
                if *closed == 3 {
                    self.mark(Mark::StreamClosedAgainAndAgain);
                }
            }
            _ => {}
        }
    }

    /// A watch says that it has told all up to a revision, or tells what is older than that.
    fn progress(&mut self, watch: (Run, AttemptId), reply: &WatchReply) {
        let told = self.known.progress.entry(watch).or_default();
        let Some(first) = reply.events.first() else {
            *told = (*told).max(reply.header.revision);
            return;
        };
        if first.kv.mod_revision <= *told {
            self.mark(Mark::ProgressAheadOfItsEvents);
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

/// A batch of so many keys is a large one.
const MANY_KEYS: usize = 20;

/// What a request is for, roughly: the same address is the same try again.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
enum Address {
    Range(KeyRange),
    Watch(KeyRange),
    Grant,
    KeepAlive(LeaseId),
    Revoke(LeaseId),
    Write(Option<Key>),
    Other,
}

impl Address {
    fn of(request: &Request) -> Self {
        match request {
            Request::Range(range) => Self::Range(range.keys.clone()),
            Request::Watch(watch) => Self::Watch(watch.keys.clone()),
            Request::Grant(_) => Self::Grant,
            Request::KeepAlive(keep) => Self::KeepAlive(keep.lease),
            Request::Revoke(revoke) => Self::Revoke(revoke.lease),
            Request::Put(_) | Request::Delete(_) | Request::Txn(_) => {
                Self::Write(ops::writes(request).first().map(|write| write.key.clone()))
            }
            Request::Compact(_)
            | Request::TimeToLive(_)
            | Request::Leases
            | Request::OnWatch { .. }
            | Request::Status
            | Request::Members
            | Request::Authenticate => Self::Other,
        }
    }
}
