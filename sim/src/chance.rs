//! Addressed chance: every draw is a hash of what it is for, never the next of one stream.
//!
//! One message more on one link then shifts no other draw, so a plan tells the same story after a
//! change elsewhere.

use std::time::Duration;

use portolan_core::rng;

/// Draws numbers by address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Chance {
    seed: u64,
}

/// What a number is drawn for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(crate) enum Purpose {
    /// The seed of a run's engine.
    Run = 1,
    /// How long a message travels.
    Delay = 2,
    /// Whether a call's answer arrives twice.
    Duplicate = 3,
    Linger = 5,
    /// Whether a request that was given up is still sent.
    Late = 6,
    /// Whether the answer to a call that was given up is still delivered.
    LateAnswer = 7,
    /// How long the application thinks about a proposal.
    Think = 8,
}

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The number for `purpose` at `place`, the `count`th one.
    pub fn bits(self, purpose: Purpose, place: u64, count: u64) -> u64 {
        let mut bytes = [0; 32];
        let words = [self.seed, purpose as u64, place, count];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        rng::hash(&bytes)
    }

    /// True in `percent` of 100 places.
    pub fn percent(self, purpose: Purpose, place: u64, count: u64, percent: u32) -> bool {
        self.bits(purpose, place, count) % 100 < u64::from(percent)
    }

    /// A span from `least` to `most` microseconds, both included.
    pub fn micros(
        self,
        purpose: Purpose,
        place: u64,
        count: u64,
        (least, most): (u64, u64),
    ) -> Duration {
        let width = most.saturating_sub(least).saturating_add(1);
        Duration::from_micros(least.saturating_add(self.bits(purpose, place, count) % width))
    }
}
