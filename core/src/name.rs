//! Names, parsed once at the edge: what is built is valid.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The most bytes that a name takes.
pub const NAME_LIMIT: usize = 63;

/// The most bytes that an instance id takes where other programs choose it; see [`InstanceId`].
pub const FOREIGN_ID_LIMIT: usize = 1_024;

/// Which kind of name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameKind {
    /// [`GroupName`].
    Group,
    /// [`InstanceId`].
    InstanceId,
    /// [`EndpointName`].
    EndpointName,
    /// [`LabelKey`].
    LabelKey,
    /// A part of a root.
    Part,
}

/// A name that cannot be.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing at all.
    #[error("{what} is empty; it takes 1 to {limit} bytes")]
    Empty {
        /// Which name.
        what: NameKind,
        /// Bytes allowed.
        limit: usize,
    },
    /// Too many bytes.
    #[error("{what} has {length} bytes; the limit is {limit}")]
    TooLong {
        /// Which name.
        what: NameKind,
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A character that is not allowed.
    #[error("{what} has {found:?} at byte {at}; allowed are letters, digits, '.', '_' and '-'")]
    BadChar {
        /// Which name.
        what: NameKind,
        /// The character.
        found: char,
        /// Its place, in bytes from 0.
        at: usize,
    },
    /// `.` or `..`, which path-minded tools would eat.
    #[error("{what} is {found:?}, which stands for a folder in paths")]
    Dots {
        /// Which name.
        what: NameKind,
        /// The name.
        found: String,
    },
    /// A control character in a foreign id, which takes every other character.
    #[error("{what} has {found:?} at byte {at}; control characters are not allowed")]
    Control {
        /// Which name.
        what: NameKind,
        /// The character.
        found: char,
        /// Its place, in bytes from 0.
        at: usize,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:expr) => {
        $(#[$doc])*
        ///
        /// 1 to 63 bytes of ASCII letters, digits, `.`, `_` and `-`, but neither `.` nor `..`.
        #[derive(Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`NameError`] says which name, what is wrong with it, and what is allowed.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                Self::check(text).map(|()| Self(text.into()))
            }

            /// Checks a name without taking it.
            ///
            /// # Errors
            /// As [`parse`](Self::parse).
            pub fn check(text: &str) -> Result<(), NameError> {
                check($what, text)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// A name that was checked before.
            #[allow(dead_code, reason = "not every kind of name is handed out again")]
            pub(crate) fn checked(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }
    };
}

name! {
    /// A group's name: what is looked up.
    GroupName, NameKind::Group
}
name! {
    /// What tells an instance from the others of its group.
    ///
    /// The one exception to the rule that follows are ids of foreign layouts, where other
    /// programs choose the keys; [`Layout::parse_id`](crate::layout::Layout::parse_id) knows.
    InstanceId, NameKind::InstanceId
}
name! {
    /// What tells an endpoint from the others of its instance: `http`, `metrics`.
    EndpointName, NameKind::EndpointName
}
name! {
    /// A label's key.
    LabelKey, NameKind::LabelKey
}

impl InstanceId {
    /// Takes an id as other programs choose them in layouts that are not ours: `10.0.0.7:8080`,
    /// `a/b`. 1 to 1,024 bytes of UTF-8 without control characters. Only layouts make them.
    pub(crate) fn foreign(text: &str) -> Result<Self, NameError> {
        Self::check_foreign(text).map(|()| Self(text.into()))
    }

    pub(crate) fn check_foreign(text: &str) -> Result<(), NameError> {
        let what = NameKind::InstanceId;
        if text.is_empty() {
            return Err(NameError::Empty { what, limit: FOREIGN_ID_LIMIT });
        }
        if text.len() > FOREIGN_ID_LIMIT {
            return Err(NameError::TooLong { what, length: text.len(), limit: FOREIGN_ID_LIMIT });
        }
        match text.char_indices().find(|&(_, c)| c.is_control()) {
            Some((at, found)) => Err(NameError::Control { what, found, at }),
            None => Ok(()),
        }
    }
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Group => "group name",
            Self::InstanceId => "instance id",
            Self::EndpointName => "endpoint name",
            Self::LabelKey => "label key",
            Self::Part => "part",
        })
    }
}

/// Checks any name.
pub(crate) fn check(what: NameKind, text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what, limit: NAME_LIMIT });
    }
    if text.len() > NAME_LIMIT {
        return Err(NameError::TooLong { what, length: text.len(), limit: NAME_LIMIT });
    }
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    // All that is fine is ASCII, so the first other byte begins a character.
    if let Some(at) = text.bytes().position(|byte| !fine(byte)) {
        let found = text[at..].chars().next().expect("a byte is there");
        return Err(NameError::BadChar { what, found, at });
    }
    if matches!(text, "." | "..") {
        return Err(NameError::Dots { what, found: text.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
