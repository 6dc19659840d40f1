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

#[cfg(test)]
mod tests;
