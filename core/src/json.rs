//! JSON as records hold it: read without loss, written in one form.
//!
//! It is our own because records must come out as they went in: numbers keep every digit, object
//! keys are sorted whatever the build's features say, and the bytes can be those of Go's
//! `encoding/json`. Depth is bounded, so no input exhausts the stack.

mod read;
#[cfg(test)]
pub(crate) mod tests;
mod write;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use read::{Kind, Reader, duplicate, plain_end};
pub(crate) use write::write_text;

/// Objects and arrays within each other at most, in a record.
pub(crate) const RECORD_DEPTH: usize = 64;

/// Objects and arrays within each other at most, in what a record's field holds.
pub const DEPTH_LIMIT: usize = RECORD_DEPTH - 1;

/// Text that is not the JSON it should be.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
#[error("byte {at}: {fault}")]
pub struct JsonError {
    /// Where, in bytes from 0.
    pub at: usize,
    /// What is wrong there.
    pub fault: JsonFault,
}

/// What is wrong with JSON text.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum JsonFault {
    /// Something else than what must come here.
    #[error("expected {0}")]
    Expected(Expected),
    /// Something after the document.
    #[error("the document ends here, but text follows")]
    Trailing,
    /// A raw control character within a string.
    #[error("a string has a control character that is not escaped")]
    Control,
    /// A `\` followed by none of `"\/bfnrt` and `uXXXX`, or half of a surrogate pair.
    #[error("a string has an escape that stands for no character")]
    Escape,
    /// A number of 10^308 or more, which other readers take for infinite.
    #[error("a number is out of range; the limit is 10^308")]
    Range,
    /// Objects and arrays nested too deeply.
    #[error("nested too deeply; the limit is {limit} levels")]
    Depth {
        /// Levels allowed.
        limit: usize,
    },
    /// One key twice in one object.
    #[error("an object has the key {key:?} twice")]
    Duplicate {
        /// The key, shortened.
        key: String,
    },
    /// Bytes that are not UTF-8.
    #[error("not UTF-8")]
    Utf8,
}

/// What must come next in JSON text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Expected {
    /// Any value.
    Value,
    /// A string.
    String,
    /// A key, or the object's end.
    Key,
    /// `:`
    Colon,
    /// `,`, or the end of the object or array.
    Comma,
    /// A digit.
    Digit,
    /// An object.
    Object,
}

/// A document. Objects are sorted by key, each key once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    /// As written.
    Number(&'a str),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// How strict the reader, how the writer writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Style {
    /// As RFC 8259 says; no key twice. Written with the fewest escapes.
    Plain,
    /// As Go's `encoding/json`: of equal keys the last wins, half surrogate pairs are replaced.
    /// Written with its HTML escapes.
    Go,
}

/// The first `limit` bytes of a text, or a little less, with `..` if that is not all of it.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = (0..=limit).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}..", &text[..end])
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value => "a value",
            Self::String => "the rest of a string",
            Self::Key => "a key",
            Self::Colon => "':'",
            Self::Comma => "',' or the end of the object or array",
            Self::Digit => "a digit",
            Self::Object => "an object",
        })
    }
}
