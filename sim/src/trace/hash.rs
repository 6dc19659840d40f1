//! The hash of a trace, the same on every platform.

use std::fmt;
use std::hash::{Hash, Hasher};

use portolan_core::Rng;
use portolan_core::engine::{Event, Snapshot};
use serde::{Deserialize, Serialize};

use super::{Entry, What};

/// The hash of a trace so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct TraceHash(u64);

impl TraceHash {
    /// Of an empty trace.
    pub const EMPTY: Self = Self(0x706f_7274_6f6c_616e);

    /// With one entry more.
    #[must_use]
    pub fn with(self, entry: &Entry) -> Self {
        let mut hasher = StableHasher(self.0);
        if let What::Told { run, event } = &entry.what {
            (entry.at, run, Heard(event)).hash(&mut hasher);
        } else {
            entry.hash(&mut hasher);
        }
        Self(hasher.finish())
    }
}

/// What an application was told: of a directory what has changed, and how much it shows. All that
/// it shows comes of that, and would be thousands of records each time.
struct Heard<'a>(&'a Event);

impl Hash for Heard<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.0 {
            Event::Stepped { id, step } => {
                (0u8, id, step.cause, &step.changes, Outline(&step.snapshot)).hash(state);
            }
            Event::Freshness { id, snapshot } => (1u8, id, Outline(snapshot)).hash(state),
            Event::Guard { id, snapshot, news } => {
                (2u8, id, Outline(snapshot), news).hash(state);
            }
            Event::Registration { .. }
            | Event::Followed { .. }
            | Event::Propose { .. }
            | Event::Updated { .. }
            | Event::Called { .. }
            | Event::Closed { .. } => (3u8, self.0).hash(state),
        }
    }
}

struct Outline<'a>(&'a Snapshot);

impl Hash for Outline<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Snapshot { epoch, revision, freshness, records, bad, suspects, guarded } = self.0;
        (epoch, revision, freshness, guarded).hash(state);
        (records.len(), bad.len(), suspects.len()).hash(state);
    }
}

/// The hash of anything that is the same on every platform.
pub(crate) fn stable_hash(value: &impl Hash) -> u64 {
    let mut hasher = StableHasher(TraceHash::EMPTY.0);
    value.hash(&mut hasher);
    hasher.finish()
}

/// A hash that is the same on every platform: all sizes count as 64 bits.
struct StableHasher(u64);

impl StableHasher {
    fn fold(&mut self, word: u64) {
        // One draw of core's generator mixes well, and is the same everywhere.
        self.0 = Rng::new(self.0.rotate_left(23) ^ word).bits();
    }
}

impl Hasher for StableHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.fold(u64::from_le_bytes(word));
        }
        self.fold(bytes.len() as u64);
    }

    fn write_u8(&mut self, n: u8) {
        self.fold(n.into());
    }

    fn write_u16(&mut self, n: u16) {
        self.fold(n.into());
    }

    fn write_u32(&mut self, n: u32) {
        self.fold(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        self.fold(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.fold(n as u64);
    }

    fn write_i8(&mut self, n: i8) {
        self.fold(i64::from(n).cast_unsigned());
    }

    fn write_i16(&mut self, n: i16) {
        self.fold(i64::from(n).cast_unsigned());
    }

    fn write_i32(&mut self, n: i32) {
        self.fold(i64::from(n).cast_unsigned());
    }

    fn write_i64(&mut self, n: i64) {
        self.fold(n.cast_unsigned());
    }

    fn write_isize(&mut self, n: isize) {
        self.fold((n as i64).cast_unsigned());
    }
}

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
