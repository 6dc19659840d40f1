//! What can be wrong with records and roots.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::instance::{DataError, InstanceError, JsonError};
use crate::json::Kind;
use crate::name::NameError;

/// Why a record cannot be read. Says which field, what it holds (shortened) and what it takes.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum BadRecord {
    /// The key is within the layout's ranges but no record's.
    #[error("key {0}")]
    Key(KeyFault),
    /// The key names a group or an instance that cannot be.
    #[error("key: {0}")]
    KeyName(NameError),
    /// Too many bytes.
    #[error("record has {length} bytes; the limit is {limit}")]
    TooLarge {
        /// Bytes there.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not JSON.
    #[error("record is not JSON: {0}")]
    Json(JsonError),
    /// JSON, but no object.
    #[error("record is {found}; it takes an object")]
    NotObject {
        /// What it is.
        found: JsonKind,
    },
    /// A newer version wrote it in a form that this one does not know.
    #[error("v is {found}; this version reads 1 and nothing newer")]
    Newer {
        /// The version of the form.
        found: u64,
    },
    /// A field that must be there.
    #[error("{field} is missing; it takes {takes}")]
    Missing {
        /// Which.
        field: String,
        /// What it takes.
        takes: String,
    },
    /// A field that holds something else than it may.
    #[error("{field} is {found}; it takes {takes}")]
    Field {
        /// Which.
        field: String,
        /// What it holds, shortened.
        found: String,
        /// What it takes.
        takes: String,
    },
    /// A field and the key say different things.
    #[error("{field} is {found:?}, but the key says {key:?}")]
    Contradicts {
        /// Which.
        field: String,
        /// What it says, shortened.
        found: String,
        /// What the key says.
        key: String,
    },
    /// An instance that cannot be.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// A configuration that cannot be.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum KeyFault {
    /// Bytes that are not UTF-8.
    #[error("is not UTF-8")]
    Utf8,
    /// A group and no more.
    #[error("has a group but no instance id")]
    NoId,
}

/// What kind of JSON something is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JsonKind {
    /// `null`
    Null,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// Why something cannot be written in a layout.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A name that the layout's keys cannot hold.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not exactly one endpoint.
    #[error("endpoints: the etcd-naming layout takes exactly 1, and there are {found}")]
    Endpoints {
        /// How many.
        found: usize,
    },
    /// A number that JSON readers would round.
    #[error("{field} is {found}; the limit is {limit}")]
    Number {
        /// Which.
        field: String,
        /// The number.
        found: u64,
        /// The largest allowed.
        limit: u64,
    },
    /// A field said to be unknown that this version knows.
    #[error("unknown field {field:?} is one that this version writes itself")]
    Known {
        /// Which, shortened.
        field: String,
    },
    /// Too many bytes.
    #[error("record has {length} bytes; the limit is {limit}")]
    TooLarge {
        /// Bytes it would take.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A layout without configurations.
    #[error("the etcd-naming layout has no group configuration")]
    NoConfig,
}

/// Why a record cannot be marked as evicted.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum EvictError {
    /// The layout's records have no room for the mark.
    #[error("the {layout} layout has no room for an eviction mark")]
    NoRoom {
        /// Which.
        layout: String,
    },
    /// What stands there cannot be read, so it cannot be written back whole.
    #[error("record is unreadable: {0}")]
    Unreadable(BadRecord),
    /// No instance's key.
    #[error("record is no instance's")]
    NoInstance,
    /// Nobody can be called that.
    #[error(transparent)]
    By(InstanceError),
    /// With the mark it would exceed the layout.
    #[error(transparent)]
    Encode(EncodeError),
}

/// A layout's root that cannot be.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// No path from the top.
    #[error("root is {found:?}; it takes an absolute path of names, like /portolan")]
    NotAbsolute {
        /// The root, shortened.
        found: String,
    },
    /// Two slashes in a row, or one at the end.
    #[error("root is {found:?}, which has an empty name; it takes a path like /portolan")]
    EmptyName {
        /// The root, shortened.
        found: String,
    },
    /// A segment that is no name.
    #[error("root is {found:?}, which has a part that is no name: {error}")]
    Name {
        /// The root, shortened.
        found: String,
        /// What is wrong with that part.
        error: NameError,
    },
    /// Too many bytes.
    #[error("root has {length} bytes; the limit is {limit}")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A control character, which no fleet means.
    #[error("root has {found:?} at byte {at}; control characters are not allowed")]
    Control {
        /// The character.
        found: char,
        /// Its place, in bytes from 0.
        at: usize,
    },
}

impl From<JsonError> for BadRecord {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

impl From<Kind> for JsonKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Null => Self::Null,
            Kind::Bool => Self::Bool,
            Kind::Number => Self::Number,
            Kind::Text => Self::String,
            Kind::Array => Self::Array,
            Kind::Object => Self::Object,
        }
    }
}

impl fmt::Display for JsonKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}
