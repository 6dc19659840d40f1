//! EF1, EF4 and EF7: how hard engines try, how long, and how they stop.

use std::collections::{BTreeMap, BTreeSet};

use portolan_core::Time;
use portolan_core::engine::{Event, OpId, RegistrationEvent};
use portolan_core::instance::State;
use portolan_core::layout::Decoded;
use portolan_core::waist::{AttemptId, Key, KeyRange, LeaseId, Op, Reply, Request};

use super::due::Due;
use super::facts::{Attempt, Facts, OperationKind, RunLife};
use super::ops;
use super::series::{Series, users};
use super::{Check, Report};
use crate::app::Edited;
use crate::trace::{Entry, Run, What};

/// EF1.
#[derive(Clone, Debug, Default)]
pub(super) struct NoBusyLoop {
    series: Series<Target>,
    /// The leases that were granted since a record last came to stand on one of them.
    idle: BTreeMap<Run, BTreeSet<LeaseId>>,
}

/// What an attempt is for.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
enum Target {
    Read(Key),
    Write(Key),
    Grant,
    /// A lease on which something comes to stand: a grant that is answered has not brought that yet.
    Footing,
    Revoke(LeaseId),
    KeepAlive(LeaseId),
    TimeToLive(LeaseId),
}

impl Check for NoBusyLoop {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        match &entry.what {
            What::Sent { run, attempt, request, .. } => {
                let known = facts.attempts.get(&(*run, *attempt));
                if known.is_none_or(|known| known.call.is_some()) {
                    return;
                }
                for target in targets(request) {
                    let users = |first| users_of(facts, *run, &target, first);
                    self.series.tried(facts, (*run, target.clone()), users, report);
                }
            }
            What::Cancelled { run, attempt } => self.ended(facts, (*run, *attempt), None),
            What::Answered { run, attempt, reply } if facts.fresh => {
                self.ended(facts, (*run, *attempt), Some(reply));
            }
            _ => {}
        }
    }
}

impl NoBusyLoop {
    /// An attempt ended: with an answer, or by being given up.
    fn ended(&mut self, facts: &Facts, (run, id): (Run, AttemptId), reply: Option<&Reply>) {
        let Some(attempt) = facts.attempts.get(&(run, id)) else { return };
        let worked = match reply {
            None | Some(Reply::Failed(_)) => false,
            Some(Reply::KeepAlive(reply)) => reply.ttl_secs > 0,
            Some(_) => true,
        };
        let written: BTreeSet<&Key> = reply
            .map(|reply| ops::written(&attempt.request, reply))
            .into_iter()
            .flatten()
            .collect();
        self.granted(run, attempt, reply, &written);
        for target in targets(&attempt.request) {
            let refused = match &target {
                Target::Write(key) => !written.contains(key) && !is_config(facts, key),
                Target::Footing => true,
                Target::Read(_)
                | Target::Grant
                | Target::Revoke(_)
                | Target::KeepAlive(_)
                | Target::TimeToLive(_) => false,
            };
            self.series.ended((run, target), worked && !refused);
        }
    }

    /// What was granted is of use once something stands on it.
    fn granted(
        &mut self,
        run: Run,
        attempt: &Attempt,
        reply: Option<&Reply>,
        written: &BTreeSet<&Key>,
    ) {
        let idle = self.idle.entry(run).or_default();
        if let Some(Reply::Grant(granted)) = reply {
            idle.insert(granted.lease);
        }
        let writes = ops::writes(&attempt.request).into_iter();
        let mut stands =
            writes.filter(|write| written.contains(write.key)).filter_map(|w| w.lease());
        if stands.any(|lease| idle.contains(&lease)) {
            idle.clear();
            self.series.ended((run, Target::Footing), true);
        }
    }
}

/// Whether a key holds a configuration: a compare that fails there is no failure, since somebody
/// else's swap has won.
fn is_config(facts: &Facts, key: &Key) -> bool {
    let last = facts.store.of(key).last();
    matches!(last.and_then(|version| version.decoded.as_ref()), Some(Decoded::Config(_)))
}

fn targets(request: &Request) -> Vec<Target> {
    match request {
        Request::Range(range) => vec![Target::Read(range.keys.key.clone())],
        Request::Put(_) | Request::Delete(_) | Request::Txn(_) => {
            let writes = ops::writes(request).into_iter();
            let mut found: Vec<_> = writes.map(|write| Target::Write(write.key.clone())).collect();
            if let (true, Request::Txn(txn)) = (found.is_empty(), request) {
                found.extend(txn.then.iter().filter_map(|op| match op {
                    Op::Range(range) => Some(Target::Read(range.keys.key.clone())),
                    Op::Put(_) | Op::Delete(_) | Op::Txn(_) => None,
                }));
                // A key may be read at several revisions at once.
                found.sort_unstable();
                found.dedup();
            }
            found
        }
        Request::Grant(_) => vec![Target::Grant, Target::Footing],
        Request::Revoke(revoke) => vec![Target::Revoke(revoke.lease)],
        Request::KeepAlive(keep) => vec![Target::KeepAlive(keep.lease)],
        Request::TimeToLive(ask) => vec![Target::TimeToLive(ask.lease)],
        Request::Compact(_)
        | Request::Leases
        | Request::Watch(_)
        | Request::OnWatch { .. }
        | Request::Status
        | Request::Members
        | Request::Authenticate => Vec::new(),
    }
}

/// How many parts of a run, or leases for these, may each have tried the same since `first`.
fn users_of(facts: &Facts, run: Run, target: &Target, first: Time) -> u128 {
    match target {
        Target::Footing => {
            let wanted = facts.registrations_of(run).filter(|(_, known)| known.gone.is_none());
            let each = u128::from(facts.setup.tuning.max_keys_per_lease.max(1));
            1 + (wanted.count() as u128).div_ceil(each)
        }
        Target::Read(key) | Target::Write(key) => users(facts, run, key, first),
        Target::Grant | Target::Revoke(_) | Target::KeepAlive(_) | Target::TimeToLive(_) => 1,
    }
}

/// EF4.
#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines {
    /// Runs that may have something that is to end.
    due: Due,
}

impl Check for Deadlines {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        match &entry.what {
            What::Wanted { run, .. }
            | What::Started { run, .. }
            | What::Clocked { run, .. }
            | What::Resumed(run) => {
                self.due.changed(*run);
            }
            What::Told { event: Event::Updated { .. } | Event::Called { .. }, .. } => report.look(),
            What::Told { event: Event::Registration { event, .. }, .. } => {
                if matches!(event, RegistrationEvent::Gone(_)) {
                    report.look();
                }
            }
            What::Sent { run, attempt, request, .. } => {
                let now = facts.local(*run, entry.at);
                let Some(known) = facts.attempts.get(&(*run, *attempt)) else { return };
                let call = known.call;
                if call.is_some() && may_be_of_another(facts, *run, request, now) {
                    return;
                }
                let tag = known.says.iter().flatten().find_map(|says| match says {
                    Decoded::Config(config) => Some(Edited::read(config).by),
                    Decoded::Instance(_) | Decoded::Ignored | Decoded::Bad(_) => None,
                });
                let update = tag.filter(|tag| tag.proposal > 0).map(|tag| OpId(tag.op));
                let Some(id) = call.or(update) else { return };
                let Some(operation) = facts.ops.get(&(*run, id)) else { return };
                report.expect(now < operation.deadline && !operation.ended, || {
                    format!(
                        "{run} sends {attempt} for operation {} at {now}, which was to end by {}",
                        id.0, operation.deadline
                    )
                });
            }
            _ => {}
        }
    }

    /// Whatever was to end by now has ended.
    fn settled(&mut self, facts: &Facts, report: &mut Report<'_>) {
        while let Some(run) = self.due.next(facts.now) {
            let Some(known) = facts.runs.get(&run) else { continue };
            let now = known.clock.local(facts.now);
            let awake = known.life == RunLife::Awake;
            let mut next = Time::NEVER;
            let mut is_late = |deadline: Time| {
                let late = now >= deadline;
                if !late {
                    next = next.min(deadline);
                }
                late && awake
            };
            for (id, operation) in facts.ops_by(run).filter(|(_, operation)| !operation.ended) {
                let deadline = operation.deadline;
                report.expect(!is_late(deadline), || {
                    format!("operation {} of {run} has not ended at its deadline {deadline}", id.0)
                });
            }
            for (id, registration) in facts.registrations_of(run) {
                let Some(deadline) = registration.deadline else { continue };
                let late = registration.gone.is_none() && is_late(deadline);
                report.expect(!late, || {
                    format!(
                        "the removal of registration {} of {run} has not ended at its deadline \
                         {deadline}",
                        id.0
                    )
                });
            }
            let late = !known.closed && known.closing.is_some_and(is_late);
            report.expect(!late, || format!("the shutdown of {run} has not ended at its deadline"));
            // Whoever is held past a deadline is looked at when it goes on.
            self.due.at(run, (next < Time::NEVER).then(|| known.clock.world(next)));
        }
    }
}

/// Whether a run has something in time that may ask what a call of it asks too: another such call,
/// or an update, which reads its key first. Requests do not say whom they are for.
fn may_be_of_another(facts: &Facts, run: Run, request: &Request, now: Time) -> bool {
    let reads = |key: &Key| match request {
        Request::Range(range) => range.keys == KeyRange::one(key.clone()),
        _ => false,
    };
    facts.ops_by(run).any(|(_, operation)| {
        let asks = match &operation.kind {
            OperationKind::Call { request: called } => called == request,
            OperationKind::Update { key } => key.as_ref().is_some_and(reads),
        };
        asks && !operation.ended && now < operation.deadline
    })
}

/// EF7.
#[derive(Clone, Debug, Default)]
pub(super) struct Silence;

impl Check for Silence {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let (What::Sent { run, .. } | What::Told { run, .. } | What::Cancelled { run, .. }) =
            &entry.what
        else {
            return;
        };
        let Some(known) = facts.runs.get(run) else { return };
        if let What::Told { event: Event::Closed { .. }, .. } = &entry.what {
            report.look();
            let open = facts.attempts.by(*run).find(|(_, attempt)| {
                attempt.fate.is_none() && !matches!(attempt.request, Request::OnWatch { .. })
            });
            report.expect(open.is_none(), || {
                let attempt = open.map_or(AttemptId(0), |(attempt, _)| attempt);
                format!("{run} has closed and still waits for {attempt}")
            });
            return;
        }
        if known.closed {
            let answers_refusal = matches!(entry.what, What::Told { .. });
            report
                .expect(answers_refusal, || format!("{run} has closed, and then: {}", entry.what));
        } else if let (Some(_), What::Sent { request, .. }) = (known.closing, &entry.what) {
            report.look();
            report.expect(is_farewell(facts, request), || {
                format!("{run} is closing, and asks: {request}")
            });
        }
    }
}

/// Whether a request is one of those that end things: what is drained, removed, read for that,
/// kept alive meanwhile, revoked.
fn is_farewell(facts: &Facts, request: &Request) -> bool {
    match request {
        // What ends things may need a token.
        Request::Range(_) | Request::KeepAlive(_) | Request::Revoke(_) | Request::Authenticate => {
            true
        }
        Request::Txn(_) => ops::writes(request).iter().all(|write| {
            write.put.is_none_or(|put| match facts.layout().decode(write.key, &put.value) {
                Decoded::Instance(instance) => instance.state() == State::Draining,
                Decoded::Config(_) | Decoded::Ignored | Decoded::Bad(_) => false,
            })
        }),
        Request::OnWatch { .. }
        | Request::Put(_)
        | Request::Delete(_)
        | Request::Compact(_)
        | Request::Grant(_)
        | Request::TimeToLive(_)
        | Request::Leases
        | Request::Watch(_)
        | Request::Status
        | Request::Members => false,
    }
}
