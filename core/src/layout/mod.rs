//! Layouts: which keys and values stand for what.
//!
//! Only this module knows how keys are named and values written; the machines above it deal with
//! keys and bytes.
//!
//! | layout | root | instance | configuration |
//! |---|---|---|---|
//! | [`Native`] | `/portolan` | `<root>/instances/<group>/<id>` | `<root>/groups/<group>` |
//! | [`Naming`] | `shop` | `<root>/<group>/<id>` | none |

mod error;
mod naming;
mod native;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use crate::instance::Stamp;
use crate::instance::{GroupConfig, Instance};
use crate::name::{GroupName, InstanceId, NameError};
use crate::waist::{Key, KeyRange, Value};
pub use error::{BadRecord, EncodeError, EvictError, JsonKind, KeyFault, RootError};
pub use naming::{NAMING_ENDPOINT, Naming};
pub use native::{DEFAULT_ROOT, Native};

/// Bytes of an instance's record at most, in every layout.
pub const INSTANCE_LIMIT: usize = 128 << 10;

/// Bytes of a configuration's record at most; below etcd's 1.5 MiB for a request (row E1).
pub const CONFIG_LIMIT: usize = crate::instance::DATA_LIMIT + (128 << 10);

/// Bytes of a root at most.
pub const ROOT_LIMIT: usize = 256;

/// A layout with its root.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Portolan's own; `docs/native-layout.md` is its specification.
    Native(Native),
    /// That of etcd's `naming` package, which gRPC programs read.
    EtcdNaming(Naming),
}

/// What a directory shows.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The instances of one group.
    Instances(GroupName),
    /// The instances of every group.
    AllInstances,
    /// The configuration of one group.
    Config(GroupName),
    /// The configuration of every group.
    AllConfigs,
}

/// One key of what is written.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Written {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Value,
}

/// What a key and value stand for. Decoding is total: whatever is stored, this is the answer.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub enum Decoded {
    /// An instance.
    Instance(Instance),
    /// A group's configuration.
    Config(GroupConfig),
    /// Nothing of ours; not shown, not counted.
    Ignored,
    /// It should be ours but cannot be read; counted, listed and skipped.
    Bad(BadRecord),
}

impl Layout {
    /// Portolan's own layout below `root`, an absolute path of names: `/portolan`.
    ///
    /// # Errors
    /// [`RootError`] quotes the root and says what it takes.
    pub fn native(root: &str) -> Result<Self, RootError> {
        Native::new(root).map(Self::Native)
    }

    /// The layout of etcd's `naming` package below `root`, the part of the fleet's targets before
    /// the group: `shop` for the target `shop/cart`, nothing for the target `cart`.
    ///
    /// # Errors
    /// [`RootError`] quotes the root and says what it takes.
    pub fn etcd_naming(root: &str) -> Result<Self, RootError> {
        Naming::new(root).map(Self::EtcdNaming)
    }

    /// The layout's name, as commands and plans use it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Native(_) => "native",
            Self::EtcdNaming(_) => "etcd-naming",
        }
    }

    /// The base of all its keys, as it was given.
    pub fn root(&self) -> &str {
        match self {
            Self::Native(native) => native.root(),
            Self::EtcdNaming(naming) => naming.root(),
        }
    }

    /// Takes an instance id by the layout's own rule. Foreign layouts hold ids that other
    /// programs chose, `10.0.0.7:8080` for one; Portolan's own takes names only.
    ///
    /// # Errors
    /// [`NameError`] says what is wrong with it, and what is allowed.
    pub fn parse_id(&self, text: &str) -> Result<InstanceId, NameError> {
        match self {
            Self::Native(_) => InstanceId::parse(text),
            Self::EtcdNaming(_) => InstanceId::foreign(text),
        }
    }

    /// Where the keys of `scope` are: nowhere, if the layout has no such records. Keys of groups
    /// whose names merely begin alike are never within.
    pub fn ranges(&self, scope: &Scope) -> Vec<KeyRange> {
        match self {
            Self::Native(native) => vec![native.range(scope)],
            Self::EtcdNaming(naming) => naming.range(scope).into_iter().collect(),
        }
    }

    /// What a key and value stand for. The key decides about group and id; a record that says
    /// otherwise is bad.
    pub fn decode(&self, key: &Key, value: &Value) -> Decoded {
        match self {
            Self::Native(native) => native.decode(key, value),
            Self::EtcdNaming(naming) => naming.decode(key, value),
        }
    }

    /// The keys and values that publish an instance under `stamp`, which replaces the one it was
    /// read with. All of them are to hang on a lease.
    ///
    /// What the layout has no room for is left out: in etcd's naming layout all but the endpoint,
    /// the labels and the metadata that came with the record.
    ///
    /// # Errors
    /// [`EncodeError`] says what the layout cannot hold; nothing is to be written then.
    pub fn encode_instance(
        &self,
        instance: &Instance,
        stamp: Stamp,
    ) -> Result<Vec<Written>, EncodeError> {
        let written = match self {
            Self::Native(native) => native.encode_instance(instance, stamp),
            Self::EtcdNaming(naming) => naming.encode_instance(instance),
        }?;
        fits(&written, INSTANCE_LIMIT)?;
        Ok(vec![written])
    }

    /// The key and value that publish a configuration as the work of `operation`. It is to hang
    /// on no lease.
    ///
    /// # Errors
    /// [`EncodeError`] says what the layout cannot hold; nothing is to be written then.
    pub fn encode_config(
        &self,
        config: &GroupConfig,
        operation: u64,
    ) -> Result<Written, EncodeError> {
        let written = match self {
            Self::Native(native) => native.encode_config(config, operation),
            Self::EtcdNaming(_) => Err(EncodeError::NoConfig),
        }?;
        fits(&written, CONFIG_LIMIT)?;
        Ok(written)
    }

    /// The keys of one instance's record.
    ///
    /// # Errors
    /// [`EncodeError::Name`], if the layout cannot hold such an id.
    pub fn instance_keys(
        &self,
        group: &GroupName,
        id: &InstanceId,
    ) -> Result<Vec<Key>, EncodeError> {
        Ok(vec![match self {
            Self::Native(native) => native.instance_key(group.as_str(), id.as_str())?,
            Self::EtcdNaming(naming) => naming.instance_key(group.as_str(), id.as_str()),
        }])
    }

    /// The key of one group's configuration; `None` if the layout has none.
    pub fn config_key(&self, group: &GroupName) -> Option<Key> {
        match self {
            Self::Native(native) => Some(native.config_key(group.as_str())),
            Self::EtcdNaming(_) => None,
        }
    }

    /// Whether records say what state an instance is in. Where not, all that is published is
    /// called by everyone, and a removal cannot be announced.
    pub const fn says_state(&self) -> bool {
        match self {
            Self::Native(_) => true,
            Self::EtcdNaming(_) => false,
        }
    }

    /// Whether instances' records carry the stamp of who wrote them.
    pub const fn keeps_stamp(&self) -> bool {
        match self {
            Self::Native(_) => true,
            Self::EtcdNaming(_) => false,
        }
    }

    /// Whether configurations carry the id of the operation that wrote them.
    pub const fn keeps_operation(&self) -> bool {
        match self {
            Self::Native(_) => true,
            Self::EtcdNaming(_) => false,
        }
    }

    /// The stamp of an instance's record; `None` if it is none, is bad, or has none.
    pub fn stamp_of(&self, key: &Key, value: &Value) -> Option<Stamp> {
        match self.decode(key, value) {
            Decoded::Instance(instance) => instance.stamp(),
            Decoded::Config(_) | Decoded::Ignored | Decoded::Bad(_) => None,
        }
    }

    /// Whether instances' records have room for the word that their owner is to take them away.
    pub const fn says_evicted(&self) -> bool {
        match self {
            Self::Native(_) => true,
            Self::EtcdNaming(_) => false,
        }
    }

    /// The value that marks an instance's record as evicted by somebody. It is to be put in the
    /// record's place under a guard, on the lease that the record has: the owner then sees it and
    /// removes the record. The mark's state is draining, so that readers that do not know it leave
    /// the instance alone all the same. Everything else the record says stays.
    ///
    /// # Errors
    /// [`EvictError`] says why the record cannot be marked; nothing is to be written then.
    pub fn evict(&self, key: &Key, value: &Value, by: &str) -> Result<Value, EvictError> {
        let marked = match self {
            Self::Native(native) => native.evict(key, value, by),
            Self::EtcdNaming(_) => Err(EvictError::NoRoom { layout: self.name().to_owned() }),
        }?;
        fits(&marked, INSTANCE_LIMIT).map_err(EvictError::Encode)?;
        Ok(marked.value)
    }

    /// Whose registration an instance's record asks to take it away, and by whose wish; `None` if
    /// it does not, or if it says nothing of its writer.
    pub fn eviction_of(&self, key: &Key, value: &Value) -> Option<(Stamp, Box<str>)> {
        match self.decode(key, value) {
            Decoded::Instance(instance) => Some((instance.stamp()?, instance.evicted_by()?.into())),
            Decoded::Config(_) | Decoded::Ignored | Decoded::Bad(_) => None,
        }
    }

    /// The operation that wrote a configuration's record; `None` if it does not say. Needs no more
    /// of the record than that it is JSON.
    pub fn operation_of(&self, value: &Value) -> Option<u64> {
        match self {
            Self::Native(_) => native::operation_of(value),
            Self::EtcdNaming(_) => None,
        }
    }
}

impl Default for Layout {
    /// Portolan's own, below `/portolan`.
    fn default() -> Self {
        Self::Native(Native::default())
    }
}

fn fits(written: &Written, limit: usize) -> Result<(), EncodeError> {
    let length = written.value.len();
    if length > limit {
        return Err(EncodeError::TooLarge { length, limit });
    }
    Ok(())
}
