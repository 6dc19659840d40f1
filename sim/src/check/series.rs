//! What is tried again and again in vain, and how often that may be.

use std::collections::BTreeMap;
use std::fmt::Debug;

use portolan_core::Time;
use portolan_core::waist::Key;

use super::Report;
use super::facts::{Facts, OperationKind};
use crate::trace::Run;

/// What each run has tried since it last worked.
#[derive(Clone, Debug)]
pub(super) struct Series<K> {
    tries: BTreeMap<(Run, K), Tries>,
}

#[derive(Clone, Copy, Debug)]
struct Tries {
    first: Time,
    count: u64,
    failed: bool,
}

/// First tries that do not count as repetitions: grants begin with several at once.
const SLACK: u128 = 4;

impl<K: Clone + Debug + Ord> Series<K> {
    /// A run tries something, of which `users` of its parts, told since when, each may have need.
    pub fn tried(
        &mut self,
        facts: &Facts,
        (run, what): (Run, K),
        users: impl FnOnce(Time) -> u128,
        report: &mut Report<'_>,
    ) {
        let now = facts.local(run, facts.now);
        let tries = self
            .tries
            .entry((run, what.clone()))
            .and_modify(|tries| tries.count += u64::from(tries.failed))
            .or_insert(Tries { first: now, count: 1, failed: false });
        if tries.count < 2 {
            return;
        }
        report.look();
        let tuning = &facts.setup.tuning;
        let doublings = tuning
            .backoff_cap
            .as_nanos()
            .div_ceil(tuning.backoff_base.as_nanos().max(1))
            .next_power_of_two()
            .trailing_zeros();
        let kept = 100 - u128::from(tuning.jitter_percent.min(95));
        let pause = (tuning.backoff_cap.as_nanos() * kept / 100).max(1);
        let span = now.since(tries.first);
        let each = 1 + u128::from(doublings) + span.as_nanos().div_ceil(pause);
        let bound = each * users(tries.first) + SLACK;
        report.expect(u128::from(tries.count) <= bound, || {
            let count = tries.count;
            format!("{run} tried {what:?} {count} times in {span:?} in vain; the bound is {bound}")
        });
    }

    /// A try was refused for its token, and is made anew with the next one: both count as one.
    pub fn made_anew(&mut self, place: &(Run, K)) {
        if let Some(tries) = self.tries.get_mut(place) {
            tries.count = tries.count.saturating_sub(1);
        }
    }

    /// A try ended.
    pub fn ended(&mut self, place: (Run, K), worked: bool) {
        if worked {
            self.tries.remove(&place);
        } else if let Some(tries) = self.tries.get_mut(&place) {
            tries.failed = true;
        }
    }
}

impl<K> Default for Series<K> {
    fn default() -> Self {
        Self { tries: BTreeMap::new() }
    }
}

/// How many directories, followers, updates and registrations of a run may each have tried the
/// same key, or range from there, since `first`.
pub(super) fn users(facts: &Facts, run: Run, key: &Key, first: Time) -> u128 {
    let directories = facts
        .directories_by(run)
        .filter(|(_, directory)| directory.keys.as_ref().is_some_and(|keys| keys.key == *key));
    let followers = facts.followers_by(run).filter(|follower| follower.keys.key == *key);
    let updates = facts.ops_by(run).filter(|(_, operation)| {
        matches!(&operation.kind, OperationKind::Update { key: Some(on) } if on == key)
    });
    // One after the other, each anew; all that came before the first try stand for one.
    let registrations = facts.registrations_of(run).filter(|(_, it)| it.keys.contains(key));
    let (later, earlier): (Vec<_>, Vec<_>) =
        registrations.partition(|(_, known)| known.wanted > first);
    let registrations = later.len() + earlier.len().min(1);
    let others = directories.count() + followers.count() + updates.count();
    1.max(others + registrations) as u128
}
