//! One process: what is tried in it, its application, its clock.

use std::collections::VecDeque;
use std::fmt;

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
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Clock {
    /// When it started, in the world's time.
    pub start: Time,
    /// How much faster it runs.
    pub drift_permille: i16,
}

impl Process {
    pub(crate) fn new(app: App) -> Self {
        Self { app, starts: 0, live: None }
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
    /// What it shows at a moment of the world.
    pub fn local(self, at: Time) -> Time {
        let passed = u128::from(at.since(self.start).as_nanos() as u64);
        let shown = passed * u128::from(self.rate()) / 1000;
        Time::from_nanos(u64::try_from(shown).unwrap_or(u64::MAX))
    }

    /// The first moment of the world at which it shows at least `local`.
    pub fn world(self, local: Time) -> Time {
        if local == Time::NEVER {
            return local;
        }
        let passed = (u128::from(local.as_nanos()) * 1000).div_ceil(u128::from(self.rate()));
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        Time::from_nanos(self.start.as_nanos().saturating_add(passed))
    }

    fn rate(self) -> u64 {
        u64::try_from(1000 + i32::from(self.drift_permille)).unwrap_or(1).max(1)
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
            let clock = Clock { start: Time::from_nanos(123), drift_permille };
            for nanos in (0..5_000).chain([999_999_999, 1_000_000_001]) {
                let due = Time::from_nanos(nanos);
                let at = clock.world(due);
                assert!(clock.local(at) >= due, "{drift_permille} {nanos}");
            }
        }
    }
}
