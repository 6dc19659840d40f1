//! Checks what an instance says and packs it.

use std::borrow::Cow;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::endpoint::{self, Host};
use super::{EndpointError, Instance, LABEL_LIMIT, LabelError, Stamp, State, Unknown, check_label};
use crate::json::shortened;
use crate::name::{EndpointName, LabelKey, NameError};

/// Endpoints of one instance at most.
pub const ENDPOINTS_LIMIT: usize = 32;

/// Labels of one instance at most.
pub const LABELS_LIMIT: usize = 64;

/// Bytes of a version's text at most.
pub const VERSION_LIMIT: usize = 128;

/// The largest number written into records: above 2^53 - 1 readers that take numbers for doubles
/// lose digits.
pub const NUMBER_LIMIT: u64 = (1 << 53) - 1;

/// An instance that cannot be.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// The group, the id, an endpoint's name or a label's key.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An endpoint's address.
    #[error("endpoint name {name:?}: {error}")]
    Endpoint {
        /// The endpoint's name.
        name: String,
        /// What is wrong with its address.
        error: EndpointError,
    },
    /// A label's value.
    #[error("label {key:?}: {error}")]
    Label {
        /// The label's key.
        key: String,
        /// What is wrong with its value.
        error: LabelError,
    },
    /// One name or key twice.
    #[error("{what} {found:?} is there twice")]
    Twice {
        /// Endpoint or label.
        what: Many,
        /// Its name or key.
        found: String,
    },
    /// Too many endpoints or labels.
    #[error("{found} {what}s; the limit is {limit}")]
    TooMany {
        /// Endpoints or labels.
        what: Many,
        /// How many.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A version that is not semantic, or too long.
    #[error("version is {found:?}; it takes a semantic version like 1.2.3, at most {limit} bytes")]
    Version {
        /// The version, shortened.
        found: String,
        /// Bytes allowed.
        limit: usize,
    },
    /// Who evicts it.
    #[error("evicted by: {error}")]
    Evictor {
        /// What is wrong with the name.
        error: LabelError,
    },
    /// A moment beyond what records can hold.
    #[error("created is {found} ms; the limit is {limit}")]
    Created {
        /// Milliseconds since 1970.
        found: u64,
        /// Milliseconds allowed.
        limit: u64,
    },
}

/// What an instance has several of.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Many {
    /// Endpoints.
    Endpoint,
    /// Labels.
    Label,
}

/// Names or keys with what they stand for.
pub(crate) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// What an instance says, not checked yet, but for the group and the id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts<'a> {
    pub group: &'a str,
    pub id: &'a str,
    pub state: State,
    pub version: Option<Cow<'a, str>>,
    pub unknown: Option<Unknown>,
    pub endpoints: Pairs<'a>,
    pub labels: Pairs<'a>,
    pub weight: Option<u16>,
    pub created_millis: u64,
    pub stamp: Option<Stamp>,
    pub evicted_by: Option<Cow<'a, str>>,
}

impl Parts<'_> {
    pub(crate) fn pack(mut self) -> Result<Instance, InstanceError> {
        many(Many::Endpoint, &mut self.endpoints, ENDPOINTS_LIMIT)?;
        many(Many::Label, &mut self.labels, LABELS_LIMIT)?;
        for (name, address) in &mut self.endpoints {
            EndpointName::check(name)?;
            match endpoint::check(address) {
                Ok(Host::Canonical) => {}
                Ok(Host::V6(host, port)) => *address = format!("[{host}]:{port}").into(),
                Err(error) => {
                    return Err(InstanceError::Endpoint { name: name.to_string(), error });
                }
            }
        }
        for (key, value) in &self.labels {
            LabelKey::check(key)?;
            check_label(value)
                .map_err(|error| InstanceError::Label { key: key.to_string(), error })?;
        }
        if let Some(version) = &self.version {
            check_version(version)?;
        }
        if let Some(by) = &self.evicted_by {
            check_evictor(by)?;
        }
        if self.created_millis > super::NUMBER_LIMIT {
            let (found, limit) = (self.created_millis, NUMBER_LIMIT);
            return Err(InstanceError::Created { found, limit });
        }
        Ok(Instance {
            text: self.text(),
            created_millis: self.created_millis,
            stamp: self.stamp.unwrap_or_default(),
            weight: self.weight,
            state: self.state,
            stamped: self.stamp.is_some(),
            evicted: self.evicted_by.is_some(),
            endpoints: u8::try_from(self.endpoints.len()).expect("at most 32 were let in"),
        })
    }

    fn text(&self) -> Box<str> {
        let version = self.version.as_deref().unwrap_or_default();
        let unknown = self.unknown.as_ref().map_or("", Unknown::as_str);
        let by = self.evicted_by.as_deref();
        let pairs = || self.endpoints.iter().chain(&self.labels);
        let size = self.group.len() + self.id.len() + version.len() + unknown.len();
        let size = size + by.map_or(0, |by| by.len() + 1) + 3;
        let size = pairs().fold(size, |size, (key, value)| size + key.len() + value.len() + 2);
        // Of the very size, so that no byte is wasted.
        let mut text = String::with_capacity(size);
        for line in [self.group, "\n", self.id, "\n", version, "\n", unknown] {
            text.push_str(line);
        }
        if let Some(by) = by {
            text.push('\n');
            text.push_str(by);
        }
        for (key, value) in pairs() {
            for part in ["\n", key, "=", value] {
                text.push_str(part);
            }
        }
        debug_assert_eq!(text.len(), size, "counted as it is written");
        text.into_boxed_str()
    }
}

/// Sorts; refuses too many and twice the same.
fn many(
    what: Many,
    pairs: &mut [(Cow<'_, str>, Cow<'_, str>)],
    limit: usize,
) -> Result<(), InstanceError> {
    if pairs.len() > limit {
        return Err(InstanceError::TooMany { what, found: pairs.len(), limit });
    }
    if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(twice) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(InstanceError::Twice { what, found: shortened(&twice[0].0, 80) });
        }
    }
    Ok(())
}

/// A name like a label's value, but not none.
fn check_evictor(by: &str) -> Result<(), InstanceError> {
    let checked =
        if by.is_empty() { Err(LabelError::Empty { limit: LABEL_LIMIT }) } else { check_label(by) };
    checked.map_err(|error| InstanceError::Evictor { error })
}

fn check_version(text: &str) -> Result<(), InstanceError> {
    if text.len() > VERSION_LIMIT || Version::parse(text).is_err() {
        let found = shortened(text, 40);
        return Err(InstanceError::Version { found, limit: VERSION_LIMIT });
    }
    Ok(())
}

impl std::fmt::Display for Many {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Endpoint => "endpoint",
            Self::Label => "label",
        })
    }
}
