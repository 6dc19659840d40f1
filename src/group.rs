use std::time::Duration;

use portolan_core::engine::{Conflict, OpId};
use portolan_core::instance::{Builder as InstanceBuilder, Data, GroupConfig, Instance};
use portolan_core::layout::{Decoded, Scope, Stamp};
use portolan_core::name::{GroupName, NameError};
use portolan_core::waist::{
    Compare, DeleteRange, Key, KeyRange, Op, Range, Reply, Request, Revision, Txn,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::directory::Directory;
use crate::driver::{Change, Message};
use crate::error::{CallError, RegisterError, UpdateError};
use crate::registration::Registration;
use crate::registry::Registry;

/// A service's name: its instances, and the configuration that they share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Group {
    registry: Registry,
    name: GroupName,
}

/// A group's configuration at one revision.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Configuration {
    /// The revision of its last change.
    pub revision: Revision,
    /// The document.
    pub data: Data,
}

impl Configuration {
    /// The document as a `T`.
    ///
    /// # Errors
    /// It does not fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, UpdateError> {
        serde_json::from_str(self.data.as_str()).map_err(|error| misfit("in the store", &error))
    }
}

/// How an update ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Updated {
    /// The revision at which the configuration now stands; 0: there is none.
    pub revision: Revision,
    /// Whether it was written; else the closure left it as it was.
    pub written: bool,
}

impl Group {
    pub(crate) fn new(registry: Registry, name: GroupName) -> Self {
        Self { registry, name }
    }

    /// The group's name.
    pub fn name(&self) -> &GroupName {
        &self.name
    }

    /// Begins the description of an instance of this group.
    ///
    /// # Errors
    /// The id is not one.
    pub fn instance(&self, id: &str) -> Result<InstanceBuilder, NameError> {
        let id = self.registry.layout().parse_id(id)?;
        Ok(Instance::builder(self.name.clone(), id))
    }

    /// Keeps `instance` in the store until the returned guard is told otherwise, or dropped. A
    /// record of somebody else at its key is replaced.
    ///
    /// Returns at once; [`Registration::ready`] waits until the record stands.
    ///
    /// A registry keeps one registration of each id: a second one ends at once, as
    /// [`Gone::Refused`](crate::Gone::Refused), and disturbs the first in nothing.
    ///
    /// # Errors
    /// The instance cannot be registered; nothing was sent.
    pub fn register(&self, instance: Instance) -> Result<Registration, RegisterError> {
        self.register_with(instance, Conflict::Replace)
    }

    /// As [`register`](Self::register), with a choice of what to do when somebody else's record
    /// stands there.
    ///
    /// # Errors
    /// As [`register`](Self::register).
    pub fn register_with(
        &self,
        instance: Instance,
        conflict: Conflict,
    ) -> Result<Registration, RegisterError> {
        self.check(&instance)?;
        let (id, states) =
            self.registry.register(instance.clone(), conflict).ok_or(RegisterError::Closed)?;
        Ok(Registration::new(self.clone(), instance, id, states))
    }

    /// A live copy of the group's instances.
    pub fn directory(&self) -> Directory {
        self.registry.directory(Scope::Instances(self.name.clone()))
    }

    /// A live copy of the group's configuration.
    pub fn configurations(&self) -> Directory {
        self.registry.directory(Scope::Config(self.name.clone()))
    }

    /// The group's configuration as it is now, by a linearizable read.
    ///
    /// # Errors
    /// The store did not answer in time, or what stands there cannot be read.
    pub async fn config(&self) -> Result<Option<Configuration>, CallError> {
        let layout = self.registry.layout();
        let range = Request::Range(Range::of(KeyRange::one(self.config_key()?)));
        let reply = self.registry.call(range, self.registry.shared.limits.call).await?;
        let Reply::Range(range) = reply else { return Ok(None) };
        let Some(kv) = range.kvs.first() else { return Ok(None) };
        match layout.decode(&kv.key, &kv.value) {
            Decoded::Config(config) => {
                Ok(Some(Configuration { revision: kv.mod_revision, data: config.data().clone() }))
            }
            Decoded::Bad(bad) => {
                Err(CallError::invalid(format!("configuration at key {}: {bad}", kv.key)))
            }
            Decoded::Instance(_) | Decoded::Ignored => Ok(None),
        }
    }

    /// Removes the group's configuration, if it was last changed at `revision`. Returns whether that
    /// was so; else nothing is changed.
    ///
    /// # Errors
    /// The store did not answer in time. Of kind [`Unknown`](crate::ErrorKind::Unknown) if it may
    /// have been removed all the same.
    pub async fn remove_config(&self, revision: Revision) -> Result<bool, CallError> {
        let key = self.config_key()?;
        let keys = KeyRange::one(key.clone());
        let txn = Txn {
            compares: vec![Compare::mod_revision(key, revision)],
            then: vec![Op::Delete(DeleteRange { keys, prev_kv: false })],
            or_else: Vec::new(),
        };
        let reply = self.registry.call(Request::Txn(txn), self.registry.shared.limits.call).await?;
        Ok(matches!(reply, Reply::Txn(reply) if reply.succeeded))
    }

    fn config_key(&self) -> Result<Key, CallError> {
        let none = || CallError::invalid("this layout has no group configuration".to_owned());
        self.registry.layout().config_key(&self.name).ok_or_else(none)
    }

    /// Changes the group's configuration by compare-and-swap, within the registry's time for calls.
    ///
    /// The closure is shown what stands there (`None`: nothing) and returns what is to stand there,
    /// or `None` to leave it. It runs in the registry's driver, so it must not block, and it runs
    /// again whenever somebody else was faster.
    ///
    /// Dropping the future takes nothing back: the update goes on to its end, and may be written.
    ///
    /// # Errors
    /// [`UpdateError::Unknown`] alone leaves open whether it was written; whatever happens, it is
    /// written at most once.
    pub async fn update<F>(&self, mut change: F) -> Result<Updated, UpdateError>
    where
        F: FnMut(Option<&Data>) -> Option<Data> + Send + 'static,
    {
        let shown = move |base: Option<&GroupConfig>| Ok(change(base.map(GroupConfig::data)));
        self.update_within(Box::new(shown), self.registry.shared.limits.call).await
    }

    /// As [`update`](Self::update), on a type of yours. Where nothing stands yet the closure is
    /// shown `T::default()`. Nothing is written when the document comes out as it was.
    ///
    /// The document is written as `T` is: a field that `T` does not know is lost, unless it keeps
    /// the rest (`#[serde(flatten)]`), and a number is as exact as its type. [`update`](Self::update)
    /// works on the text, and loses nothing.
    ///
    /// # Errors
    /// As [`update`](Self::update); and when what stands there does not fit `T`, in which case
    /// nothing is written.
    pub async fn update_as<T, F>(&self, mut change: F) -> Result<Updated, UpdateError>
    where
        T: Default + Serialize + DeserializeOwned,
        F: FnMut(&mut T) + Send + 'static,
    {
        let shown = move |base: Option<&GroupConfig>| {
            let mut value = match base {
                Some(config) => serde_json::from_str(config.data().as_str())
                    .map_err(|error| misfit("in the store", &error))?,
                None => T::default(),
            };
            change(&mut value);
            let what = "to be written";
            let value = serde_json::to_value(&value).map_err(|error| misfit(what, &error))?;
            let data = Data::from_value(&value)
                .map_err(|error| UpdateError::Shape { what, reason: error.to_string() })?;
            Ok(Some(data).filter(|data| base.map(GroupConfig::data) != Some(data)))
        };
        self.update_within(Box::new(shown), self.registry.shared.limits.call).await
    }

    async fn update_within(
        &self,
        change: Change,
        within: Duration,
    ) -> Result<Updated, UpdateError> {
        let (done, answer) = oneshot::channel();
        let id = OpId(self.registry.next_id());
        let group = self.name.clone();
        self.registry.send(Message::Update { id, group, within, change, done });
        answer.await.unwrap_or_else(|_| Err(UpdateError::NotDone(CallError::closed())))
    }

    /// What [`register`](Self::register) finds out about an instance before it asks the store.
    ///
    /// # Errors
    /// The instance cannot be registered.
    pub fn check(&self, instance: &Instance) -> Result<(), RegisterError> {
        if instance.group() != self.name.as_str() {
            return Err(RegisterError::OtherGroup {
                instance: instance.id().to_owned(),
                group: instance.group().to_owned(),
                wanted: self.name.to_string(),
            });
        }
        let allow_local = self.registry.shared.limits.allow_local;
        instance.check_advertised(allow_local).map_err(RegisterError::Address)?;
        // The stamp's numbers have a fixed limit, so that any stands for the one to come.
        let stamp = Stamp::default();
        self.registry
            .layout()
            .encode_instance(instance, stamp)
            .map(drop)
            .map_err(RegisterError::Encode)
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// What does not fit, without the values, which may be secrets: what was expected, and where.
fn misfit(what: &'static str, error: &serde_json::Error) -> UpdateError {
    let text = error.to_string();
    let safe = match text.find(", expected ") {
        Some(at) => &text[at + 2..],
        None if text.starts_with("missing field") => &text,
        None => "it does not fit its type",
    };
    let reason = if error.line() == 0 || safe.contains(" at line ") {
        safe.to_owned()
    } else {
        format!("{safe} at line {} column {}", error.line(), error.column())
    };
    UpdateError::Shape { what, reason }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is only read into")]
    struct Limits {
        requests: u16,
        mode: Option<Mode>,
    }

    #[derive(Debug, Deserialize)]
    enum Mode {
        Fast,
    }

    #[test]
    fn a_misfit_names_the_place_and_no_value() {
        let texts = [
            r#"{"requests":"hunter2"}"#,
            r#"{"requests":70000}"#,
            r#"{"requests":1,"mode":"hunter2"}"#,
            r#"{"requests":1,"hunter":2}"#,
            r#"{}"#,
            r#"{"requests":1,"requests":2}"#,
        ];
        let errors = texts.map(|text| {
            let error = serde_json::from_str::<Limits>(text).expect_err("it does not fit");
            let error = misfit("in the store", &error).to_string();
            assert!(!error.contains("hunter") && !error.contains("70000"), "{error}");
            error
        });
        insta::assert_snapshot!(errors.join("\n"), @"
        configuration in the store: expected u16 at line 1 column 21
        configuration in the store: expected u16 at line 1 column 17
        configuration in the store: expected `Fast` at line 1 column 30
        configuration in the store: expected `requests` or `mode` at line 1 column 22
        configuration in the store: missing field `requests` at line 1 column 2
        configuration in the store: it does not fit its type at line 1 column 24
        ");
    }
}
