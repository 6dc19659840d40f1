//! RG1 to RG4 and RG12: what processes write about their registrations.

use std::collections::BTreeMap;

use portolan_core::engine::{Conflict, Event, Gone, RegistrationEvent, RegistrationId};
use portolan_core::layout::Decoded;
use portolan_core::waist::{AttemptId, EventKind, Key, Request};

use super::facts::{Attempt, Facts};
use super::history::{Author, Version};
use super::ops::{self, Write};
use super::{Check, Report};
use crate::trace::{Entry, Run, What};

/// A change that a process made to an instance's key, not by a key-value call.
struct Written<'a> {
    run: Run,
    attempt: AttemptId,
    key: &'a Key,
    /// What stood there before.
    before: Option<&'a Version>,
    after: &'a Version,
    /// The run's own registration that the record names.
    registration: Option<(RegistrationId, u64)>,
}

impl<'a> Written<'a> {
    fn of(facts: &'a Facts, entry: &'a Entry) -> Option<Self> {
        let What::Changed(change) = &entry.what else { return None };
        let key = &change.kv.key;
        let after = facts.store.of(key).last()?;
        let Author::Run(run, attempt) = after.by else { return None };
        if facts.attempts.get(&(run, attempt))?.call.is_some() || !facts.is_instance(key) {
            return None;
        }
        let stamp = after.stamp().filter(|stamp| stamp.run == facts.runs[&run].stamp);
        let registration = stamp.map(|stamp| (RegistrationId(stamp.registration), stamp.sequence));
        let before = facts.store.before_last(key);
        Some(Self { run, attempt, key, before, after, registration })
    }

    /// Its part of the request.
    fn write(&self, facts: &'a Facts) -> Option<Write<'a>> {
        let attempt = facts.attempts.get(&(self.run, self.attempt))?;
        let mut writes = ops::writes(&attempt.request).into_iter();
        writes.find(|write| write.key == self.key)
    }
}

/// RG1.
#[derive(Clone, Debug, Default)]
pub(super) struct NoGhost;

impl Check for NoGhost {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        if let What::Told { event: Event::Registration { event, .. }, .. } = &entry.what
            && matches!(event, RegistrationEvent::Gone(gone) if is_final(gone))
        {
            report.look();
        }
        let Some(written) = Written::of(facts, entry) else { return };
        let farewell = facts.runs[&written.run].farewell == Some(facts.epoch());
        report.expect(!farewell, || {
            let Written { run, attempt, key, .. } = written;
            format!("{run} had closed, all confirmed, and then its attempt {attempt} wrote {key}")
        });
        let Some((id, _)) = written.registration else { return };
        // A restored backup has what was removed since.
        let gone = facts
            .registrations
            .get(&(written.run, id))
            .filter(|registration| registration.gone_in == facts.epoch())
            .and_then(|registration| registration.gone.as_ref());
        if let Some(gone) = gone.filter(|gone| is_final(gone)) {
            let Written { run, attempt, key, .. } = written;
            report.fail(format!(
                "registration {} of {run} was {gone}, and then its attempt {attempt} wrote {key} @{}",
                id.0, written.after.revision
            ));
        }
    }
}

/// Whether an end promises that nothing of the registration comes back.
fn is_final(gone: &Gone) -> bool {
    match gone {
        Gone::Deregistered
        | Gone::Rejected { .. }
        | Gone::Superseded { .. }
        | Gone::Evicted { .. } => true,
        Gone::Unconfirmed | Gone::Refused { .. } => false,
    }
}

/// LV2, its first half: what is wanted is taken, unless the process wants it already or is closing.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken;

impl Check for Taken {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let What::Told { run, event: Event::Registration { id, event } } = &entry.what else {
            return;
        };
        let RegistrationEvent::Gone(Gone::Refused { reason }) = event else { return };
        let Some(refused) = facts.registrations.get(&(*run, *id)) else { return };
        let closing = facts.runs.get(run).is_some_and(|known| known.closing.is_some());
        let wanted_already = facts.registrations_of(*run).any(|(other, registration)| {
            let wanted = registration.gone.is_none() && registration.deadline.is_none();
            other != *id && wanted && registration.keys == refused.keys
        });
        report.expect(closing || wanted_already, || {
            format!("registration {} of {run} was refused: {reason}", id.0)
        });
    }
}

/// RG2.
#[derive(Clone, Debug, Default)]
pub(super) struct NoReturn {
    last: BTreeMap<(Run, Key), RegistrationId>,
}

impl Check for NoReturn {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        if facts.begins_history(entry) {
            self.last.clear();
        }
        let Some(written) = Written::of(facts, entry) else { return };
        let Some((id, _)) = written.registration else { return };
        let Written { run, key, .. } = written;
        let Some(last) = self.last.insert((run, key.clone()), id) else { return };
        if last != id {
            report.look();
        }
        report.expect(last <= id, || {
            format!("registration {} of {run} wrote {key} after registration {}", id.0, last.0)
        });
    }
}

/// RG3.
#[derive(Clone, Debug, Default)]
pub(super) struct AlwaysLeased;

impl Check for AlwaysLeased {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        if let What::Sent { run, attempt, request, .. } = &entry.what {
            let known = facts.attempts.get(&(*run, *attempt));
            if known.is_none_or(|known| known.call.is_some()) {
                return;
            }
            for write in ops::writes(request) {
                let Some(lease) = write.lease() else { continue };
                let known = facts.leases.get(&lease);
                let own = known.is_some_and(|known| known.owner == Some(*run) && known.confirmed);
                report.expect(own, || {
                    format!("{run} puts {} on lease {lease} before it was granted", write.key)
                });
            }
        }
        let Some(written) = Written::of(facts, entry) else { return };
        if !written.after.is_there() {
            return;
        }
        report.look();
        let Written { run, key, after, .. } = written;
        let lease = after.lease.and_then(|id| facts.leases.get(&id));
        report.expect(lease.is_some_and(|lease| lease.lives && lease.owner == Some(run)), || {
            format!("{run} wrote {key} @{} on no live lease of its own", after.revision)
        });
    }
}

/// RG4.
#[derive(Clone, Debug, Default)]
pub(super) struct ForeignSafe {
    /// Whether a registration had been seen to stand when an attempt to write its key was sent.
    stood: BTreeMap<(Run, AttemptId), BTreeMap<Key, bool>>,
}

impl Check for ForeignSafe {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        if let What::Sent { run, attempt, request, .. } = &entry.what {
            self.sent(facts, (*run, *attempt), request, report);
        }
        let Some(written) = Written::of(facts, entry) else { return };
        let Written { run, key, .. } = written;
        let guard = written.write(facts).and_then(|write| write.guard);
        report.expect(guard.is_some(), || format!("{run} writes {key} without comparing"));
        let Some(before) = written.before else { return };
        report.look();
        let Some(lease) = before.lease else { return };
        if facts.leases.get(&lease).is_some_and(|lease| lease.owner == Some(run)) {
            return;
        }
        let stood = self
            .stood
            .get(&(run, written.attempt))
            .and_then(|keys| keys.get(key))
            .copied()
            .unwrap_or(true);
        let replaces = written
            .registration
            .and_then(|(id, _)| facts.registrations.get(&(run, id)))
            .is_some_and(|registration| registration.conflict == Conflict::Replace && !stood);
        let what = if written.after.is_there() { "overwrites" } else { "deletes" };
        report.expect(written.after.is_there() && replaces, || {
            format!(
                "{run} {what} {key} @{}, which hung on lease {lease} of somebody else",
                written.after.revision
            )
        });
    }
}

impl ForeignSafe {
    fn sent(
        &mut self,
        facts: &Facts,
        (run, attempt): (Run, AttemptId),
        request: &Request,
        report: &mut Report<'_>,
    ) {
        if let Request::Revoke(revoke) = request {
            report.look();
            let owner = facts.leases.get(&revoke.lease).and_then(|lease| lease.owner);
            report.expect(owner == Some(run), || {
                format!("{run} revokes lease {}, which is not its own", revoke.lease)
            });
        }
        let known = facts.attempts.get(&(run, attempt));
        for (write, says) in known.into_iter().flat_map(Attempt::writes) {
            let Some(Decoded::Instance(instance)) = says else { continue };
            let Some(stamp) = instance.stamp() else { continue };
            let registration = facts.registrations.get(&(run, RegistrationId(stamp.registration)));
            let keys = self.stood.entry((run, attempt)).or_default();
            keys.insert(write.key.clone(), registration.is_none_or(|known| known.stood));
        }
    }
}

/// RG12.
#[derive(Clone, Debug, Default)]
pub(super) struct NoStepBack {
    last: BTreeMap<Key, (Run, RegistrationId, u64)>,
}

impl Check for NoStepBack {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        if let What::Changed(change) = &entry.what
            && change.kind == EventKind::Delete
        {
            // What is written into an empty place follows nothing. (A late first publish may land
            // there; RG1 sees to it that it does not stay.)
            self.last.remove(&change.kv.key);
        }
        if facts.begins_history(entry) {
            self.last.clear();
        }
        let Some(written) = Written::of(facts, entry) else { return };
        let Some((id, sequence)) = written.registration else { return };
        let Written { run, key, .. } = written;
        let before = self.last.insert(key.clone(), (run, id, sequence));
        let Some((_, _, last)) = before.filter(|&(r, i, _)| (r, i) == (run, id)) else { return };
        if last != sequence {
            report.look();
        }
        report.expect(last <= sequence, || {
            format!(
                "registration {} of {run} wrote content {sequence} over content {last} of {key}",
                id.0
            )
        });
    }
}
