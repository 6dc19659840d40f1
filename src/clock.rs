//! The clock of a registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use portolan_core::time::Time;
use tokio::time::Instant;

/// Counts from when a registry was built: by tokio's clock, so that it works under a paused one,
/// and on Linux also while the machine sleeps, when tokio's stands still. So a process that was
/// suspended knows that its leases are over before it says anything to the store.
///
/// Timers do not wake a machine up. After it woke, the driver notices at the next input or timer,
/// which is never further away than the next renewal or probe.
#[derive(Clone)]
pub(crate) struct Clock {
    started: Instant,
    sleep: Arc<Sleep>,
}

struct Sleep {
    lead: Box<dyn Fn() -> Lead + Send + Sync>,
    /// The lead at the start: the machine may have slept before.
    at_start: Duration,
    /// Nanoseconds slept since; it never falls.
    slept: AtomicU64,
}

/// How far the clock that counts sleep is ahead of the one that does not. Both cannot be read in
/// the same moment, so it is only known to be between two bounds.
#[derive(Clone, Copy, Debug)]
struct Lead {
    least: Duration,
    most: Duration,
}

/// Shorter sleeps are none: a clock that was never suspended shall read as tokio's does.
const GRAIN: Duration = Duration::from_millis(10);

impl Clock {
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start() -> Self {
        Self::with(lead)
    }

    fn with(lead: impl Fn() -> Lead + Send + Sync + 'static) -> Self {
        let at_start = lead().most;
        let sleep = Sleep { lead: Box::new(lead), at_start, slept: AtomicU64::new(0) };
        Self { started: Instant::now(), sleep: Arc::new(sleep) }
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed() + self.sleep.look()
    }

    pub fn now(&self) -> Time {
        Time::ZERO + self.elapsed()
    }

    /// When a timer of tokio's must fire for something that is due at `at`, unless the machine
    /// sleeps.
    pub fn instant(&self, at: Time) -> Instant {
        self.started + at.since(Time::ZERO).saturating_sub(self.sleep.known())
    }
}

impl Sleep {
    fn known(&self) -> Duration {
        Duration::from_nanos(self.slept.load(Relaxed))
    }

    fn look(&self) -> Duration {
        let slept = (self.lead)().least.saturating_sub(self.at_start);
        if slept > self.known() + GRAIN {
            let nanos = u64::try_from(slept.as_nanos()).unwrap_or(u64::MAX);
            self.slept.fetch_max(nanos, Relaxed);
        }
        self.known()
    }
}

/// Tokio's clock is the standard library's, which is Linux's monotonic one.
#[cfg(target_os = "linux")]
fn lead() -> Lead {
    use rustix::time::{ClockId, Timespec, clock_gettime};

    let span = |at: Timespec| {
        let secs = u64::try_from(at.tv_sec).unwrap_or(0);
        Duration::new(secs, u32::try_from(at.tv_nsec).unwrap_or(0))
    };
    let before = span(clock_gettime(ClockId::Monotonic));
    let awake_and_asleep = span(clock_gettime(ClockId::Boottime));
    let after = span(clock_gettime(ClockId::Monotonic));
    Lead {
        least: awake_and_asleep.saturating_sub(after),
        most: awake_and_asleep.saturating_sub(before),
    }
}

#[cfg(not(target_os = "linux"))]
fn lead() -> Lead {
    Lead { least: Duration::ZERO, most: Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Limits;
    use crate::{Embedded, RegistrationState};
    use portolan_core::engine::{LossReason, Setup};
    use portolan_core::layout::Layout;
    use portolan_core::tuning::Tuning;

    /// How far ahead the other clock is: it was before, and the bounds are a millisecond apart.
    struct Machine(Arc<AtomicU64>);

    impl Machine {
        fn new() -> Self {
            Self(Arc::new(AtomicU64::new(777_000)))
        }

        fn clock(&self) -> Clock {
            let ahead = Arc::clone(&self.0);
            Clock::with(move || {
                let least = Duration::from_millis(ahead.load(Relaxed));
                Lead { least, most: least + Duration::from_millis(1) }
            })
        }

        fn sleeps(&self, millis: u64) {
            self.0.fetch_add(millis, Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn sleep_counts_and_chance_does_not() {
        let machine = Machine::new();
        let clock = machine.clock();
        assert_eq!(clock.elapsed(), Duration::ZERO, "sleep before the start is none");
        machine.sleeps(9);
        assert_eq!(clock.elapsed(), Duration::ZERO, "both clocks cannot be read at once");
        machine.sleeps(60_000);
        assert_eq!(clock.elapsed(), Duration::from_millis(60_008), "known to be slept at least");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.elapsed(), Duration::from_millis(65_008));
        let due = clock.now() + Duration::from_secs(1);
        assert_eq!(clock.instant(due), Instant::now() + Duration::from_secs(1));
        assert!(clock.instant(Time::ZERO) <= Instant::now(), "long due");
    }

    /// On a machine that does not sleep meanwhile both clocks go alike.
    #[tokio::test]
    async fn awake_it_reads_as_tokios() {
        let clock = Clock::start();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = clock.started.elapsed();
        let elapsed = clock.elapsed();
        assert!(before <= elapsed && elapsed <= clock.started.elapsed(), "{before:?} {elapsed:?}");
    }

    /// A suspended process wakes: its registration is lost before anything else is said of it.
    #[tokio::test(start_paused = true)]
    async fn after_a_sleep_a_registration_is_lost_and_healed() {
        let (machine, store) = (Machine::new(), Embedded::new());
        let limits = Limits {
            call: Duration::from_secs(5),
            shutdown: Duration::from_secs(5),
            allow_local: false,
        };
        let setup = Setup {
            layout: Layout::default(),
            tuning: Tuning::default(),
            members: 1,
            authenticates: false,
            seed: 1,
        };
        let registry = {
            let (clock, store) = (machine.clock(), store.connect());
            crate::build::start(false, setup, limits, || clock, || Ok(store)).expect("it starts")
        };
        let web = registry.group("web").expect("a name");
        let instance = web.instance("a").expect("a name").endpoint("http", "192.0.2.1:80");
        let registration = web.register(instance.build().expect("an instance")).expect("it can be");
        registration.ready().await.expect("it stands");
        // With nobody there to heal it at once, what is said in between can be seen.
        store.stop();
        machine.sleeps(3_600_000);
        let lost = RegistrationState::Lost { reason: LossReason::LeaseLost };
        let by_timer = tokio::time::timeout(
            Duration::from_secs(6),
            registration.wait_for(|state| *state == lost),
        );
        by_timer.await.expect("at the next renewal's time");
        assert!(registry.uptime() >= Duration::from_secs(3_599));
        store.start();
        registration.ready().await.expect("it is healed");
        assert!(registry.shutdown().await);
    }
}
