//! Which instance to call next.
//!
//! Nothing here keeps a list of its own: a directory's snapshot is picked from as it is, so a pick
//! is never older than the snapshot, and nothing is to be rebuilt when it changes.

use serde::{Deserialize, Serialize};

use crate::map::Map;

/// Picks one entry after the other, in key order, round and round.
///
/// It is a cursor and no more. Entries that come and go move the others' places, so some may be
/// picked early or late once; while nothing changes, each fitting entry is picked once a round. Let
/// different programs start at different places, or all begin with the same entry.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoundRobin {
    cursor: u64,
}

/// What was picked.
#[derive(Debug, Eq, PartialEq)]
pub struct Pick<'m, K, V> {
    /// Its key.
    pub key: &'m K,
    /// Its value.
    pub value: &'m V,
    /// The cursor for the next pick.
    pub next: u64,
}

impl RoundRobin {
    /// Starts at this place; any number will do.
    pub const fn starting_at(cursor: u64) -> Self {
        Self { cursor }
    }

    /// The next entry that fits, as [`round_robin`] finds it.
    pub fn pick<'m, K, V>(
        &mut self,
        entries: &'m Map<K, V>,
        fits: impl FnMut(&V) -> bool,
    ) -> Option<Pick<'m, K, V>> {
        let pick = round_robin(entries, self.cursor, fits)?;
        self.cursor = pick.next;
        Some(pick)
    }
}

/// The first entry that fits, from the cursor's place on and around the end; `None` if none fits.
///
/// Allocates nothing. O(log n) if the entry at the cursor's place fits; each that does not costs
/// one step more. The next cursor stands behind the picked entry, so that an entry after several
/// that do not fit is not picked more often than others. Whoever shares the cursor between threads
/// may keep it in an atomic: a lost update picks one entry twice and harms nothing.
pub fn round_robin<'m, K, V>(
    entries: &'m Map<K, V>,
    cursor: u64,
    mut fits: impl FnMut(&V) -> bool,
) -> Option<Pick<'m, K, V>> {
    let place = usize::try_from(cursor.checked_rem(entries.len() as u64)?).ok()?;
    let pick = |index: usize, (key, value)| Pick { key, value, next: index as u64 + 1 };
    let first = entries.nth(place)?;
    if fits(first.1) {
        return Some(pick(place, first));
    }
    let mut after = entries.iter();
    after.nth(place);
    let after = after.zip(place + 1..);
    let before = entries.iter().zip(0..place);
    after.chain(before).find(|((_, value), _)| fits(value)).map(|(entry, index)| pick(index, entry))
}

/// As [`round_robin`], of two maps as if the second one stood behind the first.
///
/// Allocates nothing, and costs as much as there.
pub fn round_robin_both<'m, K, V, W>(
    first: &'m Map<K, V>,
    second: &'m Map<K, W>,
    cursor: u64,
    mut fits_first: impl FnMut(&V) -> bool,
    mut fits_second: impl FnMut(&W) -> bool,
) -> Option<Either<Pick<'m, K, V>, Pick<'m, K, W>>> {
    let total = first.len() + second.len();
    let place = usize::try_from(cursor.checked_rem(total as u64)?).ok()?;
    let mut of_first = |from: usize, to: usize| {
        let (key, value, next) = found(first, from, to, 0, &mut fits_first)?;
        Some(Either::First(Pick { key, value, next }))
    };
    let mut of_second = |from: usize, to: usize| {
        let (key, value, next) = found(second, from, to, first.len(), &mut fits_second)?;
        Some(Either::Second(Pick { key, value, next }))
    };
    if let Some(behind) = place.checked_sub(first.len()) {
        let after = of_second(behind, second.len());
        return after.or_else(|| of_first(0, first.len())).or_else(|| of_second(0, behind));
    }
    let after = of_first(place, first.len());
    after.or_else(|| of_second(0, second.len())).or_else(|| of_first(0, place))
}

/// One of two.
#[derive(Debug, Eq, PartialEq)]
pub enum Either<A, B> {
    /// Of the first.
    First(A),
    /// Of the second.
    Second(B),
}

/// The first entry that fits among those from one index to before another, and the cursor behind
/// it, where `before` others stand before the map.
fn found<'m, K, V>(
    entries: &'m Map<K, V>,
    from: usize,
    to: usize,
    before: usize,
    fits: &mut impl FnMut(&V) -> bool,
) -> Option<(&'m K, &'m V, u64)> {
    let mut after = entries.iter();
    if let Some(skipped) = from.checked_sub(1) {
        after.nth(skipped);
    }
    let mut among = after.zip(from..to);
    let ((key, value), index) = among.find(|((_, value), _)| fits(value))?;
    Some((key, value, (before + index) as u64 + 1))
}

#[cfg(test)]
mod tests;
