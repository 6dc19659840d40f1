//! Chance as the engine sees it: a small seeded generator that can be forked.

use serde::{Deserialize, Serialize};

/// A deterministic generator (SplitMix64).
///
/// Each machine owns one, made with [`Rng::fork`], so that a new draw in one machine does not
/// shift the draws of another. Clone it only together with the whole machine that owns it.
/// It is not fit for cryptography.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// A generator whose whole future follows from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator of its own for the purpose `label`; draws nothing from this one.
    pub fn fork(&self, label: &str) -> Self {
        let mut state = self.state ^ 0xa076_1d64_78bd_642f;
        for byte in label.bytes() {
            state = mix(state ^ u64::from(byte));
        }
        Self { state: mix(state) }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number from 0 up to, not including, `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product is uniform up to a bias of bound / 2^64.
        let product = u128::from(self.bits()) * u128::from(bound);
        (product >> 64) as u64
    }

    /// True in `percent` of 100 draws.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < u64::from(percent)
    }
}

/// SplitMix64's finisher: every input bit changes about half of the output bits.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A 64-bit hash of `bytes`, equal on every platform and in every release. Not for adversaries.
pub fn hash(bytes: &[u8]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64 ^ bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        state = mix(state ^ u64::from_le_bytes(word)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    }
    let mut word = [0; 8];
    let rest = chunks.remainder();
    word[..rest.len()].copy_from_slice(rest);
    mix(state ^ u64::from_le_bytes(word))
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn percent_is_of_a_hundred_draws() {
        for percent in [0, 1, 50, 99, 100, 101] {
            let mut rng = Rng::new(7);
            let hits = (0..10_000).filter(|_| rng.percent(percent)).count();
            let expected = usize::try_from(percent.min(100)).expect("small") * 100;
            let exact = percent == 0 || percent >= 100;
            assert!(hits.abs_diff(expected) <= if exact { 0 } else { 200 }, "{percent}: {hits}");
            assert!(exact || (hits > 0 && hits < 10_000), "{percent}: {hits}");
        }
    }
}
