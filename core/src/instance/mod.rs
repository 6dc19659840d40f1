//! Instances and configuration: what is published and found.

mod builder;
mod data;
mod endpoint;
mod label;
mod pack;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::Split;

use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use crate::json::{DEPTH_LIMIT, Expected, JsonError, JsonFault};
use crate::name::{GroupName, InstanceId};
pub use builder::Builder;
pub(crate) use data::Unknown;
pub use data::{DATA_LIMIT, Data, DataError, GroupConfig, TEXT_LIMIT};
pub use endpoint::{Endpoint, EndpointError, HOST_LIMIT, LocalKind};
pub(crate) use label::check as check_label;
pub use label::{LABEL_LIMIT, LabelError};
pub use pack::{ENDPOINTS_LIMIT, InstanceError, LABELS_LIMIT, Many, NUMBER_LIMIT, VERSION_LIMIT};
pub(crate) use pack::{Pairs, Parts};

/// One running copy of a service.
///
/// Small, because directories hold very many: all text is in one buffer, so what is read is
/// borrowed from it. Built by [`Instance::builder`] or read by a
/// [`Layout`](crate::layout::Layout); either way what it says is valid. Instances that say the
/// same are equal.
#[derive(Clone, Eq, PartialEq, Hash)]
pub struct Instance {
    /// Lines: the group, the id, the version, the unknown fields, who evicts it if
    /// `evicted`, then `name=address` for each endpoint, then `key=value` for each label, both sorted. Nothing in it
    /// can hold a line's end.
    text: Box<str>,
    created_millis: u64,
    stamp: Stamp,
    weight: Option<u16>,
    state: State,
    stamped: bool,
    evicted: bool,
    endpoints: u8,
}

/// Where an instance is in its life, as it says itself.
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Not to be called yet.
    Starting,
    /// To be called.
    #[default]
    Ready,
    /// About to leave: finish with it, call others.
    Draining,
    /// Here to stay, not to be called for now.
    OutOfService,
}

/// Who wrote an instance's record: ties it to one registration of one run, in order.
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize,
)]
pub struct Stamp {
    /// The run of the process, drawn at its start.
    pub run: u64,
    /// The registration, numbered within its run from 1; at most [`NUMBER_LIMIT`].
    pub registration: u64,
    /// The update of that registration, from 1; it never falls in the store; at most
    /// [`NUMBER_LIMIT`].
    pub sequence: u64,
}

impl Instance {
    /// Begins an instance: ready, without endpoints, labels or anything else.
    pub fn builder(group: GroupName, id: InstanceId) -> Builder {
        Builder::new(group, id)
    }

    /// A builder that begins with all that this one says.
    pub fn edit(&self) -> Builder {
        Builder::from_instance(self)
    }

    /// The same in another state.
    #[must_use]
    pub fn with_state(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    /// The same under another stamp, or none.
    #[must_use]
    pub fn with_stamp(mut self, stamp: Option<Stamp>) -> Self {
        self.stamped = stamp.is_some();
        self.stamp = stamp.unwrap_or_default();
        self
    }

    /// The group's name.
    pub fn group(&self) -> &str {
        self.line(0)
    }

    /// The group's name, as a name of its own.
    pub fn group_name(&self) -> GroupName {
        GroupName::checked(self.group())
    }

    /// What tells it from the others of its group.
    pub fn id(&self) -> &str {
        self.line(1)
    }

    /// The id, as a name of its own.
    pub fn instance_id(&self) -> InstanceId {
        InstanceId::checked(self.id())
    }

    /// What it is doing, as it says.
    pub fn state(&self) -> State {
        self.state
    }

    /// The address of one endpoint, as [`Endpoint`] writes it.
    pub fn endpoint(&self, name: &str) -> Option<&str> {
        self.endpoints().find(|&(other, _)| other == name).map(|(_, address)| address)
    }

    /// All endpoints as names and addresses, sorted by name.
    pub fn endpoints(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs().take(usize::from(self.endpoints))
    }

    /// The value of one label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels().find(|&(other, _)| other == key).map(|(_, value)| value)
    }

    /// All labels as keys and values, sorted by key.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs().skip(usize::from(self.endpoints))
    }

    /// The version of the service.
    pub fn version(&self) -> Option<Version> {
        Version::parse(self.version_text()?).ok()
    }

    /// The version of the service, as text.
    pub fn version_text(&self) -> Option<&str> {
        Some(self.line(2)).filter(|text| !text.is_empty())
    }

    /// Its share of the work against the others' shares; 0 to 65535, as in DNS.
    pub fn weight(&self) -> Option<u16> {
        self.weight
    }

    /// When it came into being, in milliseconds since 1970 by its own wall clock.
    pub fn created_millis(&self) -> Option<u64> {
        Some(self.created_millis).filter(|&millis| millis > 0)
    }

    /// Which registration wrote the record it was read from; `None` if it was not read from one,
    /// or the layout keeps no stamps.
    pub fn stamp(&self) -> Option<Stamp> {
        self.stamped.then_some(self.stamp)
    }

    /// The fields of its record that this version does not know, as a JSON object in canonical
    /// text. They are written back with it.
    pub fn unknown(&self) -> Option<&str> {
        Some(self.line(3)).filter(|text| !text.is_empty())
    }

    /// Who has asked its owner to take it away, if anybody has; its state is then
    /// [`State::Draining`].
    pub fn evicted_by(&self) -> Option<&str> {
        self.evicted.then(|| self.line(4))
    }

    /// The same, marked as evicted by somebody.
    ///
    /// # Errors
    /// [`InstanceError::Evictor`]: that is no text of 1 to 256 bytes that prints.
    pub(crate) fn evicted(&self, by: &str) -> Result<Self, InstanceError> {
        self.edit().state(State::Draining).evicted_by(Some(by)).build()
    }

    /// The same without such a mark, in the state that it has: that is for others to put there.
    #[must_use]
    pub(crate) fn without_mark(self) -> Self {
        if self.evicted_by().is_none() {
            return self;
        }
        self.edit().evicted_by(None).build().expect("what is valid stays so without a mark")
    }

    /// Whether all its endpoints may be published, for others to call.
    ///
    /// # Errors
    /// The first endpoint that [`Endpoint::check_advertised`] refuses.
    pub fn check_advertised(&self, allow_local: bool) -> Result<(), InstanceError> {
        for (name, address) in self.endpoints() {
            Endpoint::parse(address)
                .and_then(|endpoint| endpoint.check_advertised(allow_local))
                .map_err(|error| InstanceError::Endpoint { name: name.to_owned(), error })?;
        }
        Ok(())
    }

    /// Endpoints and labels. Keys have no `=`.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.lines().skip(4 + usize::from(self.evicted));
        lines.map(|line| line.split_once('=').unwrap_or((line, "")))
    }

    fn lines(&self) -> Split<'_, char> {
        self.text.split('\n')
    }

    fn line(&self, index: usize) -> &str {
        self.lines().nth(index).unwrap_or_default()
    }
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Starting, Self::Ready, Self::Draining, Self::OutOfService];

    /// The name that records and commands use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::OutOfService => "out-of-service",
        }
    }

    /// The state of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}/{}/{}", self.run, self.registration, self.sequence)
    }
}

impl fmt::Display for Instance {
    /// Group, id and state: `web/web-1 ready`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {}", self.group(), self.id(), self.state)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Pairs<'a>(Vec<(&'a str, &'a str)>);
        impl fmt::Debug for Pairs<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_map().entries(self.0.iter().copied()).finish()
            }
        }
        f.debug_struct("Instance")
            .field("group", &self.group())
            .field("id", &self.id())
            .field("state", &self.state)
            .field("endpoints", &Pairs(self.endpoints().collect()))
            .field("labels", &Pairs(self.labels().collect()))
            .field("version", &self.version_text())
            .field("weight", &self.weight)
            .field("created_millis", &self.created_millis())
            .field("stamp", &self.stamp())
            .field("evicted_by", &self.evicted_by())
            .field("unknown_bytes", &self.line(3).len())
            .finish()
    }
}

/// As JSON outputs, traces and plans show it. Not the form of any record: that is the layouts'
/// affair.
impl Serialize for Instance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        builder::Plain::of(self).serialize(serializer)
    }
}

/// Takes ids of foreign layouts too, since what a directory shows must be readable again.
impl<'de> Deserialize<'de> for Instance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        builder::Plain::deserialize(deserializer)?.build().map_err(de::Error::custom)
    }
}
