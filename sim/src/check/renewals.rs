//! RG7, RG8, RG10 and LV10: how leases are renewed, and what a pause does to them.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_core::Time;
use portolan_core::engine::{Event, LossReason, RegistrationEvent, RegistrationId};
use portolan_core::waist::{AttemptId, LeaseId, Reply, Request, StoreError};

use super::facts::{Facts, Registration};
use super::leases::moving_time;
use super::{Check, Report, ops};
use crate::trace::{Entry, Run, What};

/// The lease on which a registration says that it stands.
fn believed(registration: &Registration) -> Option<LeaseId> {
    let Some(RegistrationEvent::Registered { lease, .. }) = registration.told else { return None };
    // Moved, but with other content than the newest, it was not told again yet.
    Some(registration.hangs_on.map_or(lease, |(_, lease)| lease))
}

/// RG7.
#[derive(Clone, Debug, Default)]
pub(super) struct Waking {
    /// Registrations whose lease ran out while their process was held, and which have not said so
    /// yet.
    owed: BTreeMap<(Run, RegistrationId), LeaseId>,
}

impl Check for Waking {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        match &entry.what {
            What::Resumed(run) => {
                let now = facts.local(*run, facts.now);
                for (id, registration) in facts.registrations_of(*run) {
                    let Some(lease) = believed(registration) else { continue };
                    let known = facts.leases.get(&lease);
                    let over = known.is_some_and(|lease| lease.relied_until <= now);
                    if over && registration.deadline.is_none() {
                        report.look();
                        self.owed.insert((*run, id), lease);
                    }
                }
            }
            What::Told { run, event: Event::Registration { id, event } } => {
                let Some(lease) = self.owed.remove(&(*run, *id)) else { return };
                let again = matches!(event, RegistrationEvent::Registered { .. });
                report.expect(!again, || {
                    format!(
                        "registration {} of {run}, whose lease {lease} ran out while it was held, \
                         says first: {event}",
                        id.0
                    )
                });
            }
            What::Sent { run, request, .. } if !self.owed.is_empty() => {
                let keeps = match request {
                    Request::KeepAlive(keep) => Some(keep.lease),
                    _ => None,
                };
                let writes = ops::writes(request).into_iter().filter_map(|write| write.lease());
                let used: Vec<_> = writes.chain(keeps).collect();
                for ((of, id), lease) in &self.owed {
                    report.expect(of != run || !used.contains(lease), || {
                        format!(
                            "{run} uses lease {lease}, which ran out while it was held, before \
                             registration {} has said so: {request}",
                            id.0
                        )
                    });
                }
            }
            What::Crashed(run) => self.owed.retain(|(of, _), _| of != run),
            _ => {}
        }
    }

    fn settled(&mut self, facts: &Facts, report: &mut Report<'_>) {
        for ((run, id), lease) in std::mem::take(&mut self.owed) {
            let registration = facts.registrations.get(&(run, id));
            let wanted = registration.is_some_and(|known| known.deadline.is_none());
            report.expect(!wanted || !facts.is_awake(run), || {
                format!(
                    "registration {} of {run} does not say that lease {lease} ran out while it was \
                     held",
                    id.0
                )
            });
        }
    }
}

/// RG8.
#[derive(Clone, Debug, Default)]
pub(super) struct Renewed {
    waiting: BTreeMap<(Run, LeaseId), AttemptId>,
    /// Leases of which a renewal has just said that they are gone.
    gone: Vec<(Run, LeaseId)>,
}

impl Check for Renewed {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        match &entry.what {
            What::Sent { run, attempt, request: Request::KeepAlive(keep), .. } => {
                report.look();
                let before = self.waiting.insert((*run, keep.lease), *attempt);
                report.expect(before.is_none(), || {
                    format!(
                        "{run} renews lease {} by {attempt} while it waits for {}",
                        keep.lease,
                        before.unwrap_or(*attempt)
                    )
                });
            }
            What::Cancelled { run, attempt } => self.ended(facts, *run, *attempt),
            What::Answered { run, attempt, reply } if facts.fresh => {
                self.ended(facts, *run, *attempt);
                if let Reply::KeepAlive(_) = reply {
                    self.gone.extend(&facts.died);
                }
            }
            _ => {}
        }
    }

    fn settled(&mut self, facts: &Facts, report: &mut Report<'_>) {
        for (run, lease) in std::mem::take(&mut self.gone) {
            for (id, registration) in facts.registrations_of(run) {
                let still =
                    believed(registration) == Some(lease) && registration.deadline.is_none();
                report.expect(!still || !facts.is_awake(run), || {
                    format!(
                        "registration {} of {run} says that it stands on lease {lease}, which is \
                         gone by the answer to a renewal",
                        id.0
                    )
                });
            }
        }
    }
}

impl Renewed {
    fn ended(&mut self, facts: &Facts, run: Run, attempt: AttemptId) {
        let Some(known) = facts.attempts.get(&(run, attempt)) else { return };
        if let Request::KeepAlive(keep) = &known.request
            && self.waiting.get(&(run, keep.lease)) == Some(&attempt)
        {
            self.waiting.remove(&(run, keep.lease));
        }
    }
}

/// RG10.
#[derive(Clone, Debug, Default)]
pub(super) struct NoStrays {
    /// Since when, by the world's time, nothing is registered by a run.
    idle: BTreeMap<Run, Time>,
}

impl Check for NoStrays {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        match &entry.what {
            What::Wanted { run, .. } | What::Told { run, event: Event::Registration { .. } } => {
                let wanted = facts.registrations_of(*run).any(|(_, known)| known.gone.is_none());
                if wanted {
                    self.idle.remove(run);
                } else {
                    self.idle.entry(*run).or_insert(entry.at);
                }
            }
            What::Sent { run, request: Request::KeepAlive(keep), .. } => {
                report.look();
                let lease = keep.lease;
                let confirmed = facts.leases.get(&lease).is_some_and(|lease| lease.confirmed);
                report.expect(confirmed, || {
                    format!("{run} keeps lease {lease} alive, whose grant was not answered")
                });
                let idle = self.idle.get(run).map(|&since| entry.at.since(since));
                report.expect(idle.is_none_or(|idle| idle <= moving_time(facts)), || {
                    format!("{run} keeps lease {lease} alive, and has nothing registered")
                });
            }
            _ => {}
        }
    }
}

/// LV10.
#[derive(Clone, Debug, Default)]
pub(super) struct NoStarving {
    fed: BTreeMap<(Run, LeaseId), Fed>,
    /// When each run last had trouble to be answered, or asked for a token, by its own clock.
    trouble: BTreeMap<Run, Time>,
    /// What was refused since the last login.
    refused: BTreeMap<Run, Refused>,
}

/// Who has no token that serves, and is not let in to get another one, can ask nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Refused {
    token: bool,
    login: bool,
}

/// What a lease was last given, by its run's clock. Not known of one whose renewal is under way, or
/// has failed.
#[derive(Clone, Copy, Debug)]
struct Fed {
    asked: Time,
    answered: Time,
    ttl: Duration,
}

impl Check for NoStarving {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        match &entry.what {
            What::Sent { run, request: Request::KeepAlive(keep), .. } => {
                self.look(facts, (*run, keep.lease), report);
            }
            What::Told { run, event: Event::Registration { id, event } } => {
                let lost = RegistrationEvent::Lost { reason: LossReason::LeaseLost };
                let registration = facts.registrations.get(&(*run, *id));
                let lease = registration.and_then(|known| known.hangs_on).map(|(_, lease)| lease);
                if let Some(lease) = lease.filter(|_| *event == lost)
                    && facts.leases.get(&lease).is_some_and(|lease| !lease.known_dead)
                {
                    self.look(facts, (*run, lease), report);
                }
            }
            What::Answered { run, attempt, reply } if facts.fresh => {
                // While a token was asked for, everything waited for it.
                let known = facts.attempts.get(&(*run, *attempt));
                let token = known.is_some_and(|known| known.request == Request::Authenticate);
                if token || matches!(reply, Reply::Failed(_)) {
                    self.trouble.insert(*run, facts.local(*run, entry.at));
                }
                self.let_in(*run, token, reply);
                self.answered(facts, (*run, *attempt), reply);
            }
            What::Sent { run, request: Request::Authenticate, .. }
            | What::Cancelled { run, .. } => {
                self.trouble.insert(*run, facts.local(*run, entry.at));
            }
            What::Paused(run) => self.fed.retain(|(of, _), _| of != run),
            _ => {}
        }
    }
}

impl NoStarving {
    fn answered(&mut self, facts: &Facts, (run, id): (Run, AttemptId), reply: &Reply) {
        let Some(attempt) = facts.attempts.get(&(run, id)) else { return };
        let (lease, ttl_secs) = match reply {
            Reply::Grant(reply) => (reply.lease, reply.ttl_secs),
            Reply::KeepAlive(reply) => (reply.lease, reply.ttl_secs),
            _ => return,
        };
        // What another cluster says is not believed by everybody, at all times.
        let known = facts.runs.get(&run);
        let home = known.and_then(|known| known.home);
        if home.is_some_and(|home| reply.header().is_some_and(|said| said.cluster_id != home)) {
            self.fed.remove(&(run, lease));
            return;
        }
        // What it has missed while it was held is no fault of its own.
        let held = known.and_then(|known| known.held_at);
        if held.is_some_and(|held| held >= attempt.at) {
            return;
        }
        if let Ok(secs @ 1..) = u64::try_from(ttl_secs) {
            let (asked, answered) = (facts.local(run, attempt.at), facts.local(run, facts.now));
            let fed = Fed { asked, answered, ttl: Duration::from_secs(secs) };
            self.fed.insert((run, lease), fed);
        }
    }

    fn let_in(&mut self, run: Run, is_login: bool, reply: &Reply) {
        let refused = self.refused.entry(run).or_default();
        match reply {
            Reply::Authenticated => *refused = Refused::default(),
            Reply::Failed(StoreError::AuthFailed) if is_login => refused.login = true,
            Reply::Failed(
                StoreError::InvalidToken | StoreError::NoToken | StoreError::OldAuthRevision,
            ) => refused.token = true,
            _ => {}
        }
    }

    /// A lease is asked for again, or was lost.
    fn look(&mut self, facts: &Facts, place: (Run, LeaseId), report: &mut Report<'_>) {
        let Some(Fed { asked, answered, ttl }) = self.fed.remove(&place) else { return };
        let (run, lease) = place;
        let now = facts.local(run, facts.now);
        report.look();
        let refused = self.refused.get(&run).copied().unwrap_or_default();
        let is_shut_out = refused.token && refused.login;
        if is_shut_out || self.trouble.get(&run).is_some_and(|&at| at >= answered) {
            return;
        }
        let in_time = now.since(asked) <= ttl / 2 || now == answered;
        // Everything waits for a token that is still asked for.
        let mut under_way = facts.attempts.by(run).filter(|(_, known)| known.fate.is_none());
        if !in_time && under_way.any(|(_, known)| known.request == Request::Authenticate) {
            return;
        }
        report.expect(in_time, || {
            let waited = now.since(asked);
            format!("{run} left lease {lease} of {ttl:?} without a renewal for {waited:?}")
        });
    }
}
