//! When to try again.

use std::time::Duration;

use crate::rng::Rng;
use crate::time::Time;
use crate::tuning::Tuning;

/// Exponential backoff with jitter for one kind of attempt of one machine.
///
/// A pause is drawn from `[(1 − jitter)·p, p]`, where p doubles from the base to the cap with
/// each failure. It falls back only after what failed has been seen working for
/// `tuning.healthy_after`: something that merely opens proves nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(crate) struct Backoff {
    failures: u32,
    working_since: Option<Time>,
}

impl Backoff {
    /// It failed at `now`: when to try again.
    pub fn failed(&mut self, now: Time, tuning: &Tuning, rng: &mut Rng) -> Time {
        self.failed_capped(now, tuning, rng, tuning.backoff_cap)
    }

    /// It was refused in a way that only an operator can mend: when to try again, slowly.
    pub fn refused(&mut self, now: Time, tuning: &Tuning, rng: &mut Rng) -> Time {
        self.failed_capped(now, tuning, rng, tuning.backoff_slow_cap)
    }

    /// It worked at `now`.
    pub fn worked(&mut self, now: Time) {
        self.working_since.get_or_insert(now);
    }

    fn failed_capped(&mut self, now: Time, tuning: &Tuning, rng: &mut Rng, cap: Duration) -> Time {
        if self.working_since.take().is_some_and(|since| now.since(since) >= tuning.healthy_after) {
            self.failures = 0;
        }
        let doubled = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let pause = tuning.backoff_base.saturating_mul(doubled).min(cap);
        self.failures = self.failures.saturating_add(1).min(31);
        now + jittered(pause, tuning.jitter_percent, rng)
    }
}

/// A span drawn from `[(1 − jitter)·span, span]`.
pub(crate) fn jittered(span: Duration, jitter_percent: u32, rng: &mut Rng) -> Duration {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let loose = u64::try_from(u128::from(nanos) * u128::from(jitter_percent.min(100)) / 100)
        .expect("at most nanos");
    Duration::from_nanos(nanos - rng.below(loose.saturating_add(1)))
}

/// What the many share: calls, updates, and batches of keys retry `burst` times at once, then
/// `rate` times a second.
///
/// The few do not draw from it: leases, directories, the own watch, and the pause of all batches
/// together. Each has a backoff of its own and one thing under way, and a renewal that waited
/// behind hundreds of refused calls would cost a lease.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Budget {
    /// When the next retry would be due if they came at the even rate.
    even: Time,
}

impl Budget {
    /// A full budget.
    pub fn new() -> Self {
        Self { even: Time::ZERO }
    }

    /// Takes one retry that is wanted at `wanted`: when it may happen. Nothing is taken, and there
    /// is none, if that is not before `deadline`.
    ///
    /// Whoever takes one may end before it happens. So that such retries do not add up, the queue
    /// is never longer than what may be in flight: beyond that, retries share their moment.
    pub fn take(
        &mut self,
        now: Time,
        wanted: Time,
        deadline: Time,
        tuning: &Tuning,
    ) -> Option<Time> {
        let gap = Duration::from_secs(1) / tuning.retries_per_sec.max(1);
        let burst = gap * tuning.retry_burst.max(1);
        let longest = burst.saturating_add(gap.saturating_mul(tuning.max_in_flight));
        let even = (self.even.max(now) + gap).min(now + longest);
        let at = wanted.max(even - burst);
        if at >= deadline {
            return None;
        }
        self.even = even;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert, proptest};

    proptest! {
        /// In any time t a machine that always fails tries at most
        /// 1 + log2(cap/base) + t / (cap·(1 − jitter)) times: retry never spins.
        #[test]
        fn retry_never_spins(seed: u64, base_ms in 1_u64..500, doublings in 0_u32..8, jitter in 0_u32..=90) {
            let tuning = Tuning {
                backoff_base: Duration::from_millis(base_ms),
                backoff_cap: Duration::from_millis(base_ms << doublings),
                jitter_percent: jitter,
                ..Tuning::default()
            };
            let mut rng = Rng::new(seed);
            let mut backoff = Backoff::default();
            let (mut now, mut attempts) = (Time::ZERO, 0_u128);
            let end = Time::ZERO + tuning.backoff_cap * 50;
            while now < end {
                attempts += 1;
                backoff.worked(now);
                now = backoff.failed(now, &tuning, &mut rng);
            }
            let floor = tuning.backoff_cap.as_nanos() * u128::from(100 - jitter) / 100;
            let bound = 1 + u128::from(doublings) + u128::from(end.as_nanos()).div_ceil(floor);
            prop_assert!(attempts <= bound, "{attempts} attempts, bound {bound}");
        }
    }

    #[test]
    fn backoff_falls_only_after_proven_health() {
        let tuning = Tuning { jitter_percent: 0, ..Tuning::default() };
        let mut rng = Rng::new(1);
        let mut backoff = Backoff::default();
        let pause = |backoff: &mut Backoff, now: Time, rng: &mut Rng| {
            backoff.failed(now, &tuning, rng).since(now)
        };
        let now = Time::from_secs(100);
        assert_eq!(pause(&mut backoff, now, &mut rng), tuning.backoff_base);
        backoff.worked(now);
        assert_eq!(pause(&mut backoff, now, &mut rng), tuning.backoff_base * 2, "merely opened");
        backoff.worked(now);
        let later = now + tuning.healthy_after;
        assert_eq!(pause(&mut backoff, later, &mut rng), tuning.backoff_base, "proven");
    }

    #[test]
    fn the_budget_gives_a_burst_and_then_an_even_rate() {
        let mut budget = Budget::new();
        assert_eq!(waits(&mut budget, 6, Time::NEVER), [0, 0, 0, 100, 200, 300]);
    }

    #[test]
    fn what_would_come_too_late_takes_nothing() {
        let mut budget = Budget::new();
        waits(&mut budget, 4, Time::NEVER);
        assert_eq!(waits(&mut budget, 1_000, NOW + Duration::from_millis(200)), []);
        assert_eq!(waits(&mut budget, 1, Time::NEVER), [200]);
    }

    #[test]
    fn retries_that_never_happen_do_not_add_up() {
        let mut budget = Budget::new();
        let waits = waits(&mut budget, 1_000, Time::NEVER);
        assert_eq!(waits.last(), Some(&2_000), "20 in flight, 10 a second");
    }

    const NOW: Time = Time::from_secs(5);

    /// How long each of `count` retries waits, in milliseconds.
    fn waits(budget: &mut Budget, count: usize, deadline: Time) -> Vec<u128> {
        let tuning =
            Tuning { retry_burst: 3, retries_per_sec: 10, max_in_flight: 20, ..Tuning::default() };
        (0..count)
            .filter_map(|_| budget.take(NOW, NOW, deadline, &tuning))
            .map(|at| at.since(NOW).as_millis())
            .collect()
    }
}
