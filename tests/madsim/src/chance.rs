//! Addressed chance, as the simulator has it: a draw is a hash of what it is for.
//!
//! madsim draws everything from one stream, so that any change of the code tells another story under
//! the same seed. What is drawn here stays what it was.

use portolan_core::rng;

/// Draws numbers by address.
#[derive(Clone, Copy, Debug)]
pub struct Chance(pub u64);

/// What a number is drawn for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// The seed of a run's engine.
    Run = 1,
    /// Whether what was sent is done although the sender hung up.
    Linger = 2,
    /// madsim's own chance.
    Network = 3,
    /// How long a program waits.
    Patience = 4,
}

impl Chance {
    /// The number for `purpose` at `place`, the `count`th one.
    pub fn bits(self, purpose: Purpose, place: u64, count: u64) -> u64 {
        let mut bytes = [0; 32];
        let words = [self.0, purpose as u64, place, count];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        rng::hash(&bytes)
    }

    /// True in `percent` of 100 places.
    pub fn percent(self, purpose: Purpose, place: u64, count: u64, percent: u64) -> bool {
        self.bits(purpose, place, count) % 100 < percent
    }
}
