use std::fmt;

use serde::{Deserialize, Serialize};

use crate::instance::LabelError;
use crate::name::NameError;

/// A selector that cannot be.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// Text of another form.
    #[error("byte {at}: expected {wanted}, found {}", Found(*.found))]
    Expected {
        /// Where, in bytes from 0.
        at: usize,
        /// What may stand there.
        wanted: Wanted,
        /// What stands there; `None`: the text ends.
        found: Option<char>,
    },
    /// A label's key.
    #[error("{key:?}: {error}")]
    Key {
        /// The key, shortened.
        key: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// A value that no label can have.
    #[error("label {key:?}: {error}")]
    Value {
        /// The label's key.
        key: String,
        /// What is wrong with the value.
        error: LabelError,
    },
    /// Neither `@state` nor `@version`.
    #[error("there is no @{found}; beside labels a selector knows @state and @version")]
    Field {
        /// What it says behind the `@`, shortened.
        found: String,
    },
    /// A state that there is not.
    #[error("there is no state {found:?}; it takes starting, ready, draining or out-of-service")]
    State {
        /// The state, shortened.
        found: String,
    },
    /// A comparison with something that is no version.
    #[error(
        "there is no version {found:?}: {reason}; it takes one like 1.2.3, or its beginning like 1.2"
    )]
    Version {
        /// What it is compared with, shortened.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A comparison with a version of too many bytes.
    #[error("a version has {length} bytes; the limit is {limit}")]
    VersionTooLong {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// No value, where one of several is required.
    #[error("there is no value; it takes 1 to {limit}")]
    NoValue {
        /// Values allowed.
        limit: usize,
    },
    /// Too many requirements or values.
    #[error("there are more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: Several,
        /// How many are allowed.
        limit: usize,
    },
}

/// What a selector has several of.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Several {
    /// Requirements.
    Requirements,
    /// Values of one of them.
    Values,
}

/// What may stand at a place of a selector's text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Wanted {
    /// A requirement.
    Requirement,
    /// A label's key, or `@version`, after a `!`.
    Negated,
    /// How a label is compared, or the end of the requirement.
    Comparison,
    /// How a state is compared.
    StateComparison,
    /// How a version is compared, or the end of the requirement.
    VersionComparison,
    /// The beginning of a list.
    List,
    /// A value.
    Value,
    /// What may follow a backslash.
    Escaped,
    /// The end of a quoted value.
    Quote,
    /// Another value of a list, or its end.
    ListEnd,
    /// Another requirement, or the end.
    End,
}

impl fmt::Display for Several {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requirements => "requirements",
            Self::Values => "values in one requirement",
        })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requirement => "a label's key, @state or @version",
            Self::Negated => "a label's key or @version after the '!'",
            Self::Comparison => "'=', '!=', in, notin, or ',' before another requirement",
            Self::StateComparison => "'=', '!=', in or notin",
            Self::VersionComparison => {
                "'=', '>', '>=', '<', '<=', '~', '^', or ',' before another requirement"
            }
            Self::List => "'(' before the values",
            Self::Value => "a value (in double quotes if it is empty or has signs)",
            Self::Escaped => "'\"' or '\\' after the '\\'",
            Self::Quote => "'\"' after the value",
            Self::ListEnd => "',' or ')' (values with white space or signs stand in double quotes)",
            Self::End => {
                "',' before another requirement (values with white space or signs stand in double quotes)"
            }
        })
    }
}

/// What was found, in words.
struct Found(Option<char>);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(found) => write!(f, "{found:?}"),
            None => f.write_str("the end"),
        }
    }
}
