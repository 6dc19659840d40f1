//! EF3, EF5 and EF6: what many share, what is not tried again, and how much there is at once.

use std::collections::{BTreeMap, BTreeSet};

use portolan_core::Time;
use portolan_core::engine::OpId;
use portolan_core::tuning::Guard;
use portolan_core::waist::{AttemptId, LeaseId, Reply, Request};

use super::facts::{Facts, Fate};
use super::{Check, Report};
use crate::trace::{Entry, Run, What};

/// EF3.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedBudget {
    tried: BTreeSet<(Run, OpId)>,
    /// When, by its own clock, a run would have made its next retry if it made them at the even
    /// rate.
    even: BTreeMap<Run, Time>,
}

impl Check for SharedBudget {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let What::Sent { run, attempt, .. } = &entry.what else { return };
        let call = facts.attempts.get(&(*run, *attempt)).and_then(|known| known.call);
        let Some(id) = call.filter(|&id| !self.tried.insert((*run, id))) else { return };
        report.look();
        let tuning = &facts.setup.tuning;
        let now = facts.local(*run, entry.at);
        let gap = std::time::Duration::from_secs(1) / tuning.retries_per_sec.max(1);
        let even = self.even.entry(*run).or_insert(Time::ZERO);
        *even = (*even).max(now) + gap;
        let ahead = even.since(now);
        let most = gap * (tuning.retry_burst.max(1) + tuning.max_in_flight);
        report.expect(ahead <= most + gap, || {
            format!("{run} tries operation {} again, {ahead:?} ahead of its budget", id.0)
        });
    }
}

/// EF5.
#[derive(Clone, Debug, Default)]
pub(super) struct NoUse {
    refused: BTreeMap<Run, Vec<Refused>>,
}

/// One of these operations, which all ask the same, was told that it is in vain. Which one shows when
/// it ends, before anything more is asked.
#[derive(Clone, Debug)]
struct Refused {
    alike: BTreeSet<OpId>,
    error: String,
}

impl Refused {
    /// Whether one of them has ended since.
    fn is_obeyed(&self, facts: &Facts, run: Run) -> bool {
        self.alike.iter().any(|id| facts.ops.get(&(run, *id)).is_none_or(|op| op.ended))
    }
}

impl Check for NoUse {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        match &entry.what {
            What::Answered { run, attempt, reply: Reply::Failed(error) } if facts.fresh => {
                let known = facts.attempts.get(&(*run, *attempt));
                let known = known.filter(|known| known.call.is_some() && error.is_permanent());
                if let Some(known) = known {
                    report.look();
                    let alike = facts.calls_for(*run, &known.request).collect();
                    let refused = Refused { alike, error: error.to_string() };
                    self.refused.entry(*run).or_default().push(refused);
                }
            }
            What::Sent { run, attempt, .. } => {
                let Some(refused) = self.refused.get_mut(run) else { return };
                refused.retain(|refused| !refused.is_obeyed(facts, *run));
                let call = facts.attempts.get(&(*run, *attempt)).and_then(|known| known.call);
                let again = refused
                    .iter()
                    .find(|refused| call.is_some_and(|id| refused.alike.contains(&id)));
                report.expect(again.is_none(), || {
                    let error = again.map_or("", |refused| refused.error.as_str());
                    format!("{run} asks again by {attempt}, though it was told: {error}")
                });
            }
            _ => {}
        }
    }
}

/// EF6.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounded {
    waiting: BTreeMap<Run, BTreeSet<AttemptId>>,
}

impl Check for Bounded {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        match &entry.what {
            What::Sent { run, attempt, request, .. } => {
                if matches!(request, Request::OnWatch { .. }) {
                    return;
                }
                let waiting = self.waiting.entry(*run).or_default();
                waiting.insert(*attempt);
                report.look();
                let count = waiting.len();
                let mut bound = allowed(facts, *run);
                if count > bound {
                    // Seldom, and it takes a look at all that was ever written.
                    bound += questions(facts, *run);
                }
                report.expect(count <= bound, || {
                    format!("{run} waits for {count} answers at once; the bound is {bound}")
                });
            }
            What::Cancelled { run, attempt } => self.ended(*run, *attempt),
            What::Answered { run, attempt, .. } if facts.fresh => {
                let fate = facts.attempts.get(&(*run, *attempt)).map(|known| &known.fate);
                if matches!(fate, Some(Some(Fate::Answered | Fate::Failed(_) | Fate::Cancelled))) {
                    self.ended(*run, *attempt);
                }
            }
            What::Crashed(run) => _ = self.waiting.remove(run),
            _ => {}
        }
    }
}

impl Bounded {
    fn ended(&mut self, run: Run, attempt: AttemptId) {
        if let Some(waiting) = self.waiting.get_mut(&run) {
            waiting.remove(&attempt);
        }
    }
}

/// What a run may wait for at once, but for its guards' [`questions`]: a list or a stream and a probe
/// for each directory and follower, one attempt for each operation, one for each key and one for each lease, a few for
/// all of it: the own watch, a grant or four, a token, the members.
fn allowed(facts: &Facts, run: Run) -> usize {
    let directories = facts.directories_by(run).filter(|(_, directory)| directory.open);
    let followers = facts.followers_by(run).filter(|follower| follower.open);
    let operations = facts.ops_by(run).filter(|(_, operation)| !operation.ended);
    let keys: usize = facts.registrations_of(run).map(|(_, known)| known.keys.len()).sum();
    let leases = facts.leases_by(run).count();
    let operations = operations.count().min(facts.setup.tuning.max_in_flight as usize);
    2 * (directories.count() + followers.count()) + operations + 2 * keys + leases + FOR_ALL
}

/// What the guards of a run's directories may ask at once when many records vanish together: of each
/// group, whether its leases live, up to a limit; and of one more, for how long it was granted.
fn questions(facts: &Facts, run: Run) -> usize {
    let guards = match facts.setup.tuning.guard {
        Guard::On => true,
        Guard::Off => false,
        Guard::ByLayout => facts.setup.layout.says_state(),
    };
    let directories = facts.directories_by(run).filter(|(_, directory)| guards && directory.open);
    let mut most = 0;
    for keys in directories.filter_map(|(_, directory)| directory.keys.as_ref()) {
        let mut leases: BTreeMap<&str, BTreeSet<LeaseId>> = BTreeMap::new();
        for history in facts.past.iter().chain([&facts.store]) {
            for (group, lease) in history.leases(keys) {
                leases.entry(group).or_default().insert(lease);
            }
        }
        most += leases.values().map(|leases| leases.len().min(LEASES_ASKED) + 1).sum::<usize>();
    }
    most
}

const FOR_ALL: usize = 8;

/// Leases that a guard asks for at once.
const LEASES_ASKED: usize = 32;
