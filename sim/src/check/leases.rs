//! RG5, RG6 and RG11: what processes do with leases.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portolan_core::Time;
use portolan_core::engine::{Event, RegistrationEvent};
use portolan_core::waist::{Certainty, LeaseId, Reply, Request, StoreError};

use super::due::Due;
use super::facts::{Attempt, Facts};
use super::ops;
use super::{Check, Report};
use crate::trace::{Entry, Run, What};

/// RG5.
#[derive(Clone, Debug, Default)]
pub(super) struct NoPile {
    /// Lease ids that were ever asked for.
    asked: BTreeSet<LeaseId>,
    /// Since when a run has had too many.
    since: BTreeMap<Run, Time>,
    /// When what a run would put or delete was last refused, or given up without an answer, or its
    /// answer was lost.
    in_vain: BTreeMap<Run, Time>,
    /// Runs that may have more than they had.
    due: Due,
}

impl Check for NoPile {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        if let Some((_, attempt, Reply::Failed(error))) = facts.answered(entry)
            && let Request::Grant(grant) = &attempt.request
            && error.certainty() == Certainty::NotDone
        {
            // It may be asked for again, where only a token was wanting.
            self.asked.retain(|asked| grant.lease != Some(*asked));
        }
        if let Some((run, attempt, Reply::Failed(error))) = facts.answered(entry)
            && matches!(
                error,
                StoreError::PermissionDenied
                    | StoreError::NoSpace
                    | StoreError::ConnectionLost { .. }
            )
            && writes_instances(facts, attempt)
        {
            self.in_vain.insert(run, entry.at);
        }
        match &entry.what {
            What::Cancelled { run, attempt } => {
                let known = facts.attempts.get(&(*run, *attempt));
                if known.is_some_and(|attempt| writes_instances(facts, attempt)) {
                    self.in_vain.insert(*run, entry.at);
                }
            }
            What::Answered { run, reply: Reply::Grant(_) | Reply::KeepAlive(_), .. }
            | What::Told { run, event: Event::Registration { .. } }
            | What::Started { run, .. }
            | What::Clocked { run, .. }
            | What::Resumed(run) => self.due.changed(*run),
            What::Leased(change) => self.due.all_changed(facts.owner(change.lease)),
            What::Changed(change) => {
                self.due.all_changed(change.kv.lease.and_then(|lease| facts.owner(lease)));
            }
            What::Stored(_) => self.due.all_changed(facts.runs.keys().copied()),
            _ => {}
        }
        let What::Sent { run, request, .. } = &entry.what else { return };
        if let Request::Grant(grant) = request {
            let fresh = grant.lease.is_some_and(|lease| self.asked.insert(lease));
            report.look();
            report.expect(fresh, || {
                format!("{run} asks for a lease without an id, or with one asked for before")
            });
        }
    }

    fn settled(&mut self, facts: &Facts, report: &mut Report<'_>) {
        let tuning = &facts.setup.tuning;
        while let Some(run) = self.due.next(facts.now) {
            if !facts.is_awake(run) {
                self.since.remove(&run);
                continue;
            }
            let held = self.held(facts, run);
            let keys: usize = facts
                .registrations_of(run)
                .filter(|(_, registration)| registration.gone.is_none())
                .map(|(_, registration)| registration.keys.len())
                .sum();
            let allowed = keys.div_ceil(tuning.max_keys_per_lease.max(1) as usize) + 1;
            if held <= allowed {
                self.since.remove(&run);
                continue;
            }
            // Leases whose keys are moving to others do not count; moving takes a few answers.
            let since = *self.since.entry(run).or_insert(facts.now);
            // As long as it has too many, every moment counts: some may run out.
            self.due.at(run, Some(facts.now + Duration::from_nanos(1)));
            let for_long = facts.now.since(since);
            report.expect(for_long <= moving_time(facts) + retries_time(facts, keys), || {
                format!("{run} holds {held} leases for {keys} keys, for {for_long:?} now")
            });
        }
    }
}

impl NoPile {
    /// How many leases a run has that it could do without if its keys had moved.
    fn held(&self, facts: &Facts, run: Run) -> usize {
        let now = facts.local(run, facts.now);
        let home = facts.runs.get(&run).and_then(|known| known.home);
        let held = facts.leases_by(run).filter(|(_, lease)| {
            // Of what another cluster granted, the grant is not believed at first, and nobody
            // comes to keep it.
            let is_kept = lease.used || home == Some(lease.cluster);
            let is_held = lease.confirmed && lease.lives && is_kept;
            is_held && !lease.revoke_sent && lease.relied_until > now
        });
        let tuning = &facts.setup.tuning;
        let again = tuning.backoff_slow_cap + tuning.attempt_timeout;
        if self.in_vain.get(&run).is_none_or(|&at| at + again < facts.now) {
            return held.count();
        }
        // The store refuses what is put, and what is deleted, or the answers are lost, but not what
        // is renewed. Nothing can move, and to let a lease go would take all that stands on it: the
        // records of those that are still registered, beside what was given up.
        let carrying = facts.carrying();
        held.filter(|(id, _)| !carrying.contains(id)).count()
    }
}

/// Whether an attempt of the engine's own would put or delete instances.
fn writes_instances(facts: &Facts, attempt: &Attempt) -> bool {
    attempt.call.is_none()
        && ops::writes(&attempt.request).iter().any(|write| facts.is_instance(write.key))
}

/// How long all of a run's keys may wait for the budget of retries, if each has to be tried again:
/// one at a time, and in turn with reads and removals.
fn retries_time(facts: &Facts, keys: usize) -> Duration {
    let retries = u32::try_from(keys).unwrap_or(u32::MAX).saturating_mul(3);
    Duration::from_secs(1) / facts.setup.tuning.retries_per_sec.max(1) * retries
}

/// How long it takes to move keys to another lease, if the store can be reached at all: if it
/// cannot, the leases end meanwhile.
pub(super) fn moving_time(facts: &Facts) -> Duration {
    let tuning = &facts.setup.tuning;
    let ttl = tuning.lease_ttl.max(Duration::from_secs(2));
    ttl + tuning.attempt_timeout * 4 + tuning.backoff_cap * 3
}

/// RG6.
#[derive(Clone, Debug, Default)]
pub(super) struct Belief {
    /// Runs that may have said more than they may, or have been told that they may less.
    due: Due,
}

impl Check for Belief {
    fn see(&mut self, facts: &Facts, entry: &Entry, _: &mut Report<'_>) {
        match &entry.what {
            // A list says nothing of what leases records hang on; a question for one key does.
            What::Answered { reply: Reply::Range(reply), .. } if reply.kvs.len() > 1 => {}
            What::Answered { run, .. }
            | What::Told { run, event: Event::Registration { .. } }
            | What::Started { run, .. }
            | What::Clocked { run, .. }
            | What::Resumed(run) => self.due.changed(*run),
            // Anew, under a number that had been given out: nothing is known of it yet.
            What::Leased(change) => self.due.all_changed(facts.owner(change.lease)),
            _ => {}
        }
    }

    fn settled(&mut self, facts: &Facts, report: &mut Report<'_>) {
        while let Some(run) = self.due.next(facts.now) {
            self.look(facts, run, report);
        }
    }
}

impl Belief {
    fn look(&mut self, facts: &Facts, run: Run, report: &mut Report<'_>) {
        let Some(of_run) = facts.runs.get(&run).filter(|_| facts.is_awake(run)) else { return };
        let now = of_run.clock.local(facts.now);
        let mut next = Time::NEVER;
        for (id, registration) in facts.registrations_of(run) {
            let Some(RegistrationEvent::Registered { lease: told, .. }) = registration.told else {
                continue;
            };
            // Moved, but with other content than the newest, it was not told again yet.
            let lease = registration.hangs_on.map_or(told, |(_, lease)| lease);
            // A registration that is being removed says nothing any more.
            if registration.deadline.is_some() {
                continue;
            }
            report.look();
            let known = facts.leases.get(&lease).filter(|lease| !lease.known_dead);
            let until = known.map_or(Time::ZERO, |lease| lease.relied_until);
            report.expect(now < until, || {
                format!(
                    "registration {} of {run} says at {now} of its clock that it is registered on \
                     lease {lease}, which may be relied on until {until}",
                    id.0
                )
            });
            next = next.min(until);
        }
        self.due.at(run, (next < Time::NEVER && next > now).then(|| of_run.clock.world(next)));
    }
}

/// RG11.
#[derive(Clone, Debug, Default)]
pub(super) struct GoneMeansGrant {
    /// Leases that a run knows to be dead.
    dead: BTreeSet<(Run, LeaseId)>,
}

impl Check for GoneMeansGrant {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        if let What::Sent { run, request, .. } = &entry.what {
            let mut used: Vec<_> =
                ops::writes(request).into_iter().filter_map(|write| write.lease()).collect();
            match request {
                Request::KeepAlive(keep) => used.push(keep.lease),
                Request::Grant(grant) => used.extend(grant.lease),
                _ => {}
            }
            for lease in used {
                report.expect(!self.dead.contains(&(*run, lease)), || {
                    format!("{run} uses lease {lease}, which it knows to be dead: {request}")
                });
            }
        }
        for &died in &facts.died {
            report.look();
            self.dead.insert(died);
        }
    }
}
