//! What a label may say.

use serde::{Deserialize, Serialize};

/// Bytes in a label's value at most.
pub const LABEL_LIMIT: usize = 256;

/// A label's value that cannot be.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// Too many bytes.
    #[error("value has {length} bytes; the limit is {limit}")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Nothing, where something must be said.
    #[error("value is empty; it takes 1 to {limit} bytes")]
    Empty {
        /// Bytes allowed.
        limit: usize,
    },
    /// Something that does not print.
    #[error("value has {found:?} at byte {at}; allowed is text of one line that prints")]
    BadChar {
        /// The character.
        found: char,
        /// Its place, in bytes from 0.
        at: usize,
    },
}

/// Whether `value` can be a label's: at most 256 bytes, on one line, in which all is seen.
pub(crate) fn check(value: &str) -> Result<(), LabelError> {
    if value.len() > LABEL_LIMIT {
        return Err(LabelError::TooLong { length: value.len(), limit: LABEL_LIMIT });
    }
    if value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Ok(());
    }
    let bad = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || unseen(c);
    match value.char_indices().find(|&(_, c)| bad(c)) {
        Some((at, found)) => Err(LabelError::BadChar { found, at }),
        None => Ok(()),
    }
}

/// Characters of Unicode's class Cf that show nothing themselves, or change the direction of what
/// does: with them one text passes for another.
fn unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}
