//! Pages of a list: where the next one begins, and how large it may be.

use crate::waist::Key;

/// The first key after `key`.
pub(crate) fn successor(key: &Key) -> Key {
    let mut bytes = Vec::with_capacity(key.len() + 1);
    bytes.extend_from_slice(key);
    bytes.push(0);
    bytes.into()
}

/// A page that should fit when one of `page` records made an answer of `size` bytes: half, or less
/// if the sizes say so; at least one record.
pub(crate) fn smaller(page: u32, size: u64, limit: u64) -> u32 {
    let fitting = u128::from(page) * u128::from(limit) / u128::from(size.max(1));
    let fitting = u32::try_from(fitting).unwrap_or(u32::MAX);
    fitting.min(page / 2).max(1)
}
