//! Portolan's own layout; `docs/native-layout.md` is its specification.

mod fast;
mod read;
mod write;

use std::str;

use serde::{Deserialize, Serialize};

use super::{
    BadRecord, CONFIG_LIMIT, Decoded, EncodeError, EvictError, INSTANCE_LIMIT, KeyFault, ROOT_LIMIT,
};
use super::{RootError, Scope, Stamp, Written};
use crate::instance::{GroupConfig, Instance};
use crate::json::shortened;
use crate::name::{self, GroupName, InstanceId, NameKind};
use crate::waist::{Key, KeyRange, Value};

pub(super) use read::operation_of;

/// The root unless another is chosen.
pub const DEFAULT_ROOT: &str = "/portolan";

/// Portolan's own layout below a root.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Plain", into = "Plain")]
pub struct Native {
    root: Box<str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    root: String,
}

impl Native {
    /// The layout below `root`: one or more names, each after a `/`.
    ///
    /// # Errors
    /// [`RootError`] quotes the root and says what it takes.
    pub fn new(root: &str) -> Result<Self, RootError> {
        if root.len() > ROOT_LIMIT {
            return Err(RootError::TooLong { length: root.len(), limit: ROOT_LIMIT });
        }
        let found = || shortened(root, 80);
        let Some(path) = root.strip_prefix('/') else {
            return Err(RootError::NotAbsolute { found: found() });
        };
        for name in path.split('/') {
            if name.is_empty() {
                return Err(RootError::EmptyName { found: found() });
            }
            name::check(NameKind::Part, name)
                .map_err(|error| RootError::Name { found: found(), error })?;
        }
        Ok(Self { root: root.into() })
    }

    /// The root.
    pub fn root(&self) -> &str {
        &self.root
    }

    pub(super) fn range(&self, scope: &Scope) -> KeyRange {
        let root = &self.root;
        match scope {
            Scope::Instances(group) => KeyRange::prefix(format!("{root}{INSTANCES}{group}/")),
            Scope::AllInstances => KeyRange::prefix(format!("{root}{INSTANCES}")),
            Scope::Config(group) => KeyRange::one(self.config_key(group.as_str())),
            Scope::AllConfigs => KeyRange::prefix(format!("{root}{GROUPS}")),
        }
    }

    pub(super) fn instance_key(&self, group: &str, id: &str) -> Result<Key, EncodeError> {
        InstanceId::check(id)?;
        Ok(Key::from(format!("{}{INSTANCES}{group}/{id}", self.root)))
    }

    pub(super) fn config_key(&self, group: &str) -> Key {
        Key::from(format!("{}{GROUPS}{group}", self.root))
    }

    pub(super) fn decode(&self, key: &Key, value: &Value) -> Decoded {
        let Some(path) = key.strip_prefix(self.root.as_bytes()) else {
            return Decoded::Ignored;
        };
        if let Some(path) = path.strip_prefix(INSTANCES.as_bytes()) {
            return match self::instance(path, value) {
                Ok(instance) => Decoded::Instance(instance),
                Err(bad) => Decoded::Bad(bad),
            };
        }
        if let Some(path) = path.strip_prefix(GROUPS.as_bytes()) {
            return match self::config(path, value) {
                Ok(config) => Decoded::Config(config),
                Err(bad) => Decoded::Bad(bad),
            };
        }
        Decoded::Ignored
    }

    pub(super) fn encode_instance(
        &self,
        instance: &Instance,
        stamp: Stamp,
    ) -> Result<Written, EncodeError> {
        let key = self.instance_key(instance.group(), instance.id())?;
        Ok(Written { key, value: write::instance(instance, Some(stamp))? })
    }

    /// The same record with the mark, under the stamp that it has, if any.
    pub(super) fn evict(&self, key: &Key, value: &Value, by: &str) -> Result<Written, EvictError> {
        let instance = match self.decode(key, value) {
            Decoded::Instance(instance) => instance,
            Decoded::Bad(bad) => return Err(EvictError::Unreadable(bad)),
            Decoded::Config(_) | Decoded::Ignored => return Err(EvictError::NoInstance),
        };
        let marked = instance.evicted(by).map_err(EvictError::By)?;
        let value = write::instance(&marked, marked.stamp()).map_err(EvictError::Encode)?;
        Ok(Written { key: key.clone(), value })
    }

    pub(super) fn encode_config(
        &self,
        config: &GroupConfig,
        operation: u64,
    ) -> Result<Written, EncodeError> {
        let key = self.config_key(config.group().as_str());
        Ok(Written { key, value: write::config(config, operation)? })
    }
}

fn instance(path: &[u8], value: &Value) -> Result<Instance, BadRecord> {
    let path = str::from_utf8(path).map_err(|_| BadRecord::Key(KeyFault::Utf8))?;
    let (group, id) = path.split_once('/').ok_or(BadRecord::Key(KeyFault::NoId))?;
    GroupName::check(group).map_err(BadRecord::KeyName)?;
    InstanceId::check(id).map_err(BadRecord::KeyName)?;
    fits(value, INSTANCE_LIMIT)?;
    let fast = str::from_utf8(value).ok().and_then(|text| fast::instance(group, id, text));
    fast.map_or_else(|| read::instance(group, id, value), Ok)
}

/// What the fast reader makes of a value, if anything, and what the whole one does.
#[cfg(test)]
pub(super) fn both_ways(value: &str) -> (Option<Instance>, Result<Instance, BadRecord>) {
    (fast::instance("web", "w1", value), read::instance("web", "w1", value.as_bytes()))
}

fn config(path: &[u8], value: &Value) -> Result<GroupConfig, BadRecord> {
    let path = str::from_utf8(path).map_err(|_| BadRecord::Key(KeyFault::Utf8))?;
    let group = GroupName::parse(path).map_err(BadRecord::KeyName)?;
    fits(value, CONFIG_LIMIT)?;
    read::config(group, value)
}

fn fits(value: &[u8], limit: usize) -> Result<(), BadRecord> {
    if value.len() > limit {
        return Err(BadRecord::TooLarge { length: value.len(), limit });
    }
    Ok(())
}

impl Default for Native {
    fn default() -> Self {
        Self { root: DEFAULT_ROOT.into() }
    }
}

impl TryFrom<Plain> for Native {
    type Error = RootError;

    fn try_from(plain: Plain) -> Result<Self, RootError> {
        Self::new(&plain.root)
    }
}

impl From<Native> for Plain {
    fn from(native: Native) -> Self {
        Self { root: native.root.into() }
    }
}

const INSTANCES: &str = "/instances/";
const GROUPS: &str = "/groups/";

/// What this version knows of an instance's record; the version comes first.
const INSTANCE_FIELDS: &[&str] = &[
    "v",
    "group",
    "id",
    "state",
    "endpoints",
    "labels",
    "version",
    "weight",
    "created",
    "stamp",
    "evicted",
];

/// What this version knows of a configuration's record; the version comes first.
const CONFIG_FIELDS: &[&str] = &["v", "group", "data", "operation"];
