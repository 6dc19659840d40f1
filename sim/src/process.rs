//! One process: what is tried in it, its application, its clock.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};

use portolan_core::Time;
use portolan_core::engine::Input;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::subject::Subject;
use crate::trace::Run;

/// A process, running or not.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Process {
    pub(crate) app: App,
    pub(crate) starts: u32,
    pub(crate) live: Option<Live>,
}

/// A run of a process.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Live {
    pub run: Run,
    pub subject: Subject,
    pub clock: Clock,
    /// While it is held: what has reached it.
    pub held: Option<VecDeque<Input>>,
    /// When its next timer is due, by its own clock.
    pub due: Option<Time>,
    /// When it is to be woken for that, in the world's time.
    pub wake: Option<Time>,
}

/// How a process's clock runs against the world's: it starts at 0 with the run, and in a thousand
/// of the world's nanoseconds it counts a thousand and `drift_permille`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    /// Since when it runs like this, in the world's time.
    pub start: Time,
    /// What it showed then.
    pub shown: Time,
    /// How much faster it runs.
    pub drift_permille: i16,
}

impl Process {
    pub(crate) fn new(app: App) -> Self {
        Self { app, starts: 0, live: None }
    }

    /// How its clock runs, if the process does.
    pub fn clock(&self) -> Option<Clock> {
        self.live.as_ref().map(|live| live.clock)
    }

    /// Whether it is held.
    pub fn is_held(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.held.is_some())
    }

    /// The run, if the process runs.
    pub fn run(&self) -> Option<Run> {
        self.live.as_ref().map(|live| live.run)
    }
}

impl Live {
    pub fn new(run: Run, clock: Clock, subject: Subject) -> Self {
        let due = subject.poll_timeout();
        Self { run, subject, clock, held: None, due, wake: None }
    }
}

impl Clock {
    /// One that starts now.
    pub fn started(start: Time, drift_permille: i16) -> Self {
        Self { start, shown: Time::ZERO, drift_permille }
    }

    /// The same clock, running otherwise from a moment on.
    #[must_use]
    pub fn runs(self, from: Time, drift_permille: i16) -> Self {
        Self { start: from, shown: self.local(from), drift_permille }
    }

    /// What it shows at a moment of the world.
    pub fn local(self, at: Time) -> Time {
        let passed = u128::from(at.since(self.start).as_nanos() as u64);
        let shown = u128::from(self.shown.as_nanos()) + passed * u128::from(self.rate()) / 1000;
        Time::from_nanos(u64::try_from(shown).unwrap_or(u64::MAX))
    }

    /// The first moment of the world at which it shows at least `local`.
    pub fn world(self, local: Time) -> Time {
        if local == Time::NEVER {
            return local;
        }
        let passed = u128::from(local.as_nanos().saturating_sub(self.shown.as_nanos()));
        let passed = (passed * 1000).div_ceil(u128::from(self.rate()));
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        Time::from_nanos(self.start.as_nanos().saturating_add(passed))
    }

    fn rate(self) -> u64 {
        u64::try_from(1000 + i32::from(self.drift_permille)).unwrap_or(1).max(1)
    }
}

/// A clock that runs as it did from the start leaves no other trace than it always did.
impl Hash for Clock {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.start, self.drift_permille).hash(state);
        if self.shown > Time::ZERO {
            self.shown.hash(state);
        }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.drift_permille {
            0 => Ok(()),
            drift => write!(f, ", its clock off by {drift:+} in 1000"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_has_reached_what_it_is_woken_for() {
        for drift_permille in [-9, -1, 0, 1, 7] {
            let clock = Clock::started(Time::from_nanos(123), 3);
            let clock = clock.runs(Time::from_nanos(4_567), drift_permille);
            for nanos in (0..5_000).chain([999_999_999, 1_000_000_001]) {
                let due = Time::from_nanos(nanos);
                let at = clock.world(due);
                assert!(clock.local(at) >= due, "{drift_permille} {nanos}");
            }
        }
    }
}
