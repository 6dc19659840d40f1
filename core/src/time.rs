//! Time as the engine sees it: a span since the driver's clock started.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment: nanoseconds since the driver's clock started, which never goes back.
///
/// It says nothing about the wall clock and cannot be compared between processes.
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The moment at which the driver's clock started.
    pub const ZERO: Self = Self(0);
    /// Later than every moment that will be reached.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `nanos` nanoseconds after the clock's start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The moment `millis` milliseconds after the clock's start.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// The moment `secs` seconds after the clock's start.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time since `earlier`; zero when `earlier` is not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// Saturates at [`Time::NEVER`].
    fn add(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    /// Saturates at [`Time::ZERO`].
    fn sub(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

impl fmt::Display for Time {
    /// Seconds with three decimals, rounded down: `3.000s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0 / 1_000_000;
        write!(f, "{}.{:03}s", millis / 1000, millis % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_number_of_nanoseconds() {
        let moments = [
            (Time::ZERO, 0, "0.000s"),
            (Time::from_nanos(1_999_999), 1_999_999, "0.001s"),
            (Time::from_millis(61_005), 61_005_000_000, "61.005s"),
            (Time::from_secs(7), 7_000_000_000, "7.000s"),
            (Time::from_millis(u64::MAX), u64::MAX, "18446744073.709s"),
            (Time::from_secs(u64::MAX), u64::MAX, "18446744073.709s"),
        ];
        for (moment, nanos, shown) in moments {
            assert_eq!((moment.as_nanos(), &*moment.to_string()), (nanos, shown));
        }
    }

    #[test]
    fn time_ends_at_both_ends() {
        let (early, late) = (Time::from_nanos(3), Time::from_nanos(8));
        let span = Duration::from_nanos(5);
        assert_eq!((early + span, late - span), (late, early));
        assert_eq!((late.since(early), early.since(late)), (span, Duration::ZERO));
        assert_eq!(early - span, Time::ZERO);
        assert_eq!((late + Duration::MAX, late - Duration::MAX), (Time::NEVER, Time::ZERO));
    }
}
