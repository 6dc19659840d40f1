//! Puts instances together.

use std::borrow::Cow;
use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::{Instance, InstanceError, Parts, Stamp, State, Unknown};
use crate::name::{GroupName, InstanceId};

/// Puts an [`Instance`] together; [`build`](Self::build) checks it. Endpoints and labels are
/// handed in as text, or as what was parsed before.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    plain: Plain,
}

/// All that an instance says, as serde shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plain {
    group: GroupName,
    id: String,
    #[serde(default)]
    state: State,
    #[serde(default)]
    endpoints: BTreeMap<String, String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_millis: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stamp: Option<Stamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    evicted_by: Option<String>,
    /// A JSON object as text, so that no digit is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unknown: Option<Unknown>,
}

impl Builder {
    pub(super) fn new(group: GroupName, id: InstanceId) -> Self {
        Self {
            plain: Plain {
                group,
                id: id.into(),
                state: State::default(),
                endpoints: BTreeMap::new(),
                labels: BTreeMap::new(),
                version: None,
                weight: None,
                created_millis: None,
                stamp: None,
                evicted_by: None,
                unknown: None,
            },
        }
    }

    pub(super) fn from_instance(instance: &Instance) -> Self {
        Self { plain: Plain::of(instance) }
    }

    /// Sets one endpoint to `host:port`; at most 32.
    pub fn endpoint(mut self, name: impl AsRef<str>, address: impl AsRef<str>) -> Self {
        let address = address.as_ref().to_owned();
        self.plain.endpoints.insert(name.as_ref().to_owned(), address);
        self
    }

    /// Takes one endpoint away.
    pub fn without_endpoint(mut self, name: &str) -> Self {
        self.plain.endpoints.remove(name);
        self
    }

    /// Sets one label; at most 64, values of at most 256 bytes of text that prints.
    pub fn label(mut self, key: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.plain.labels.insert(key.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Takes one label away.
    pub fn without_label(mut self, key: &str) -> Self {
        self.plain.labels.remove(key);
        self
    }

    /// Sets what it is doing; [`State::Ready`] unless set.
    pub fn state(mut self, state: State) -> Self {
        self.plain.state = state;
        self
    }

    /// Sets the version of the service.
    pub fn version(mut self, version: Version) -> Self {
        self.plain.version = Some(version.to_string());
        self
    }

    /// Sets its share of the work against the others' shares.
    pub fn weight(mut self, weight: u16) -> Self {
        self.plain.weight = Some(weight);
        self
    }

    /// Sets when it came into being, in milliseconds since 1970; 0 stands for unknown.
    pub fn created_millis(mut self, millis: u64) -> Self {
        self.plain.created_millis = Some(millis);
        self
    }

    /// Sets who evicts it: that is for layouts to write, not for owners.
    pub(super) fn evicted_by(mut self, by: Option<&str>) -> Self {
        self.plain.evicted_by = by.map(str::to_owned);
        self
    }

    /// Checks all of it.
    ///
    /// # Errors
    /// [`InstanceError`] names the field, the value and what is allowed.
    pub fn build(self) -> Result<Instance, InstanceError> {
        self.plain.build()
    }
}

impl Plain {
    pub(super) fn of(instance: &Instance) -> Self {
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Self {
            group: instance.group_name(),
            id: instance.id().to_owned(),
            state: instance.state(),
            endpoints: instance.endpoints().map(owned).collect(),
            labels: instance.labels().map(owned).collect(),
            version: instance.version_text().map(str::to_owned),
            weight: instance.weight(),
            created_millis: instance.created_millis(),
            stamp: instance.stamp(),
            evicted_by: instance.evicted_by().map(str::to_owned),
            unknown: instance.unknown().map(Unknown::checked),
        }
    }

    pub(super) fn build(self) -> Result<Instance, InstanceError> {
        InstanceId::check_foreign(&self.id)?;
        let pairs = |map: BTreeMap<String, String>| {
            map.into_iter().map(|(key, value)| (Cow::Owned(key), Cow::Owned(value))).collect()
        };
        Parts {
            group: self.group.as_str(),
            id: &self.id,
            state: self.state,
            version: self.version.as_deref().map(Cow::Borrowed),
            unknown: self.unknown,
            endpoints: pairs(self.endpoints),
            labels: pairs(self.labels),
            weight: self.weight,
            created_millis: self.created_millis.unwrap_or_default(),
            stamp: self.stamp,
            evicted_by: self.evicted_by.as_deref().map(Cow::Borrowed),
        }
        .pack()
    }
}
