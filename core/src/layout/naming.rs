//! The layout of etcd's `naming` package, as gRPC programs read and write it.
//!
//! etcd: `client/v3/naming/endpoints/endpoints_impl.go` and `internal/update.go`; the older peers
//! are etcd 3.4's `clientv3/naming/grpc.go`. A fleet's target is `<root>/<group>`; the key is
//! `<target>/<id>`, where fleets like to take the address for the id; the value is one JSON object
//! in the very bytes of Go's `encoding/json`:
//!
//! ```text
//! shop/cart/10.0.0.7:8080   {"Op":0,"Addr":"10.0.0.7:8080","Metadata":{"zone":"a"}}
//! ```
//!
//! An instance is its one endpoint and its labels. There is no state, so all that is there is
//! called, and no room for a version, a weight, or who wrote it.

use std::borrow::Cow;
use std::str;

use serde::{Deserialize, Serialize};

use super::{BadRecord, Decoded, EncodeError, INSTANCE_LIMIT, KeyFault, ROOT_LIMIT, RootError};
use super::{Scope, Written};
use crate::instance::{Instance, LABELS_LIMIT, Parts, Unknown, check_label};
use crate::json::{Json, Kind, Reader, Style, shortened, write_text};
use crate::name::{GroupName, InstanceId, LabelKey};
use crate::waist::{Key, KeyRange, Value};

/// The name of the one endpoint that such a record has.
pub const NAMING_ENDPOINT: &str = "grpc";

/// etcd's naming layout below a root.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Plain", into = "Plain")]
pub struct Naming {
    root: Box<str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    root: String,
}

impl Naming {
    /// The layout below `root`: what the fleet's targets have before the `/` and the group. Empty,
    /// if they have nothing there. A `/` at its end is taken for the one before the group.
    ///
    /// # Errors
    /// [`RootError`] for more than 256 bytes and for control characters.
    pub fn new(root: &str) -> Result<Self, RootError> {
        if root.len() > ROOT_LIMIT {
            return Err(RootError::TooLong { length: root.len(), limit: ROOT_LIMIT });
        }
        match root.char_indices().find(|&(_, c)| c.is_control()) {
            Some((at, found)) => Err(RootError::Control { found, at }),
            None => Ok(Self { root: root.into() }),
        }
    }

    /// The root.
    pub fn root(&self) -> &str {
        &self.root
    }

    pub(super) fn range(&self, scope: &Scope) -> Option<KeyRange> {
        let base = self.base();
        match scope {
            Scope::Instances(group) => Some(KeyRange::prefix(format!("{base}{group}/"))),
            Scope::AllInstances => Some(KeyRange::prefix(base)),
            Scope::Config(_) | Scope::AllConfigs => None,
        }
    }

    pub(super) fn instance_key(&self, group: &str, id: &str) -> Key {
        Key::from(format!("{}{group}/{id}", self.base()))
    }

    pub(super) fn decode(&self, key: &Key, value: &Value) -> Decoded {
        let path = key.strip_prefix(self.root.as_bytes());
        let path = match self.base_slash() {
            "" => path,
            slash => path.and_then(|path| path.strip_prefix(slash.as_bytes())),
        };
        // A key without a further slash, or below what is no group's name, is another target's.
        let parts = path.and_then(|path| {
            let slash = path.iter().position(|&byte| byte == b'/')?;
            let group = str::from_utf8(&path[..slash]).ok()?;
            GroupName::check(group).ok()?;
            Some((group, &path[slash + 1..]))
        });
        match parts.map(|(group, id)| instance(group, id, value)) {
            Some(Ok(instance)) => Decoded::Instance(instance),
            Some(Err(bad)) => Decoded::Bad(bad),
            None => Decoded::Ignored,
        }
    }

    pub(super) fn encode_instance(&self, instance: &Instance) -> Result<Written, EncodeError> {
        let mut endpoints = instance.endpoints();
        let (Some((_, address)), None) = (endpoints.next(), endpoints.next()) else {
            return Err(EncodeError::Endpoints { found: instance.endpoints().count() });
        };
        let mut value = r#"{"Op":0,"Addr":"#.to_owned();
        write_text(address, Style::Go, &mut value);
        value.push_str(r#","Metadata":"#);
        let unknown = instance.unknown().and_then(|text| Json::parse(text, Style::Plain).ok());
        metadata(unknown.and_then(take_metadata), instance).write(Style::Go, &mut value);
        value.push('}');
        let key = self.instance_key(instance.group(), instance.id());
        Ok(Written { key, value: value.into() })
    }

    /// What all keys begin with.
    fn base(&self) -> String {
        format!("{}{}", self.root, self.base_slash())
    }

    fn base_slash(&self) -> &'static str {
        if self.root.is_empty() || self.root.ends_with('/') { "" } else { "/" }
    }
}

fn instance(group: &str, id: &[u8], value: &Value) -> Result<Instance, BadRecord> {
    let id = str::from_utf8(id).map_err(|_| BadRecord::Key(KeyFault::Utf8))?;
    InstanceId::check_foreign(id).map_err(BadRecord::KeyName)?;
    if value.len() > INSTANCE_LIMIT {
        return Err(BadRecord::TooLarge { length: value.len(), limit: INSTANCE_LIMIT });
    }
    let text = go_text(value);
    let record = Record::read(&text)?;
    if record.address.is_empty() {
        return Err(BadRecord::Missing { field: "Addr".to_owned(), takes: "host:port".to_owned() });
    }
    let labels: Vec<_> = labels(&record.metadata).collect();
    let plain = label_object(labels.iter().map(|(key, value)| (&**key, &**value)));
    let kept = if plain == record.metadata {
        Vec::new()
    } else {
        vec![(Cow::Borrowed(METADATA), record.metadata.clone())]
    };
    let parts = Parts {
        group,
        id,
        unknown: Unknown::new(kept),
        endpoints: vec![(NAMING_ENDPOINT.into(), record.address)],
        labels,
        ..Parts::default()
    };
    Ok(parts.pack()?)
}

/// What Go's decoder makes of a value.
struct Record<'a> {
    address: Cow<'a, str>,
    metadata: Json<'a>,
}

impl<'a> Record<'a> {
    /// Field names in any letter case, of several the last one; what is missing or null is empty.
    /// etcd's readers up to 3.4 used `Op`, later ones take it for 0; a careful one checks that it
    /// is what Go can read, and no more.
    fn read(text: &'a str) -> Result<Self, BadRecord> {
        let mut reader = Reader::new(text, Style::Go);
        let mut record = Self { address: Cow::Borrowed(""), metadata: Json::Null };
        match reader.kind()? {
            Kind::Null => {
                reader.value()?;
            }
            Kind::Object => {
                reader.object()?;
                let mut first = true;
                while let Some(name) = reader.key(&mut first)? {
                    record.field(&name, reader.value()?)?;
                }
            }
            found @ (Kind::Bool | Kind::Number | Kind::Text | Kind::Array) => {
                Json::parse(text, Style::Go)?;
                return Err(BadRecord::NotObject { found: found.into() });
            }
        }
        reader.end()?;
        Ok(record)
    }

    fn field(&mut self, name: &str, value: Json<'a>) -> Result<(), BadRecord> {
        let wrong = |field: &str, value: &Json<'_>, takes: &str| {
            let mut found = String::new();
            value.write(Style::Plain, &mut found);
            Err(BadRecord::Field {
                field: field.to_owned(),
                found: shortened(&found, 40),
                takes: takes.to_owned(),
            })
        };
        if name.eq_ignore_ascii_case("Addr") {
            match value {
                Json::Text(address) => self.address = address,
                Json::Null => {}
                Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                    return wrong("Addr", &value, "text");
                }
            }
        } else if name.eq_ignore_ascii_case("Op") {
            match value {
                Json::Number(number) if number.parse::<u8>().is_ok() => {}
                Json::Null => {}
                Json::Bool(_)
                | Json::Number(_)
                | Json::Text(_)
                | Json::Array(_)
                | Json::Object(_) => {
                    return wrong("Op", &value, "a whole number up to 255");
                }
            }
        } else if name.eq_ignore_ascii_case(METADATA) {
            self.metadata = value;
        }
        Ok(())
    }
}

/// Text as Go's decoder sees it: each byte that is not UTF-8 is replaced.
fn go_text(value: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(value) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(value.len());
    for chunk in value.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}

/// The fields of the metadata that can be labels, in order.
fn labels<'j>(metadata: &'j Json<'_>) -> impl Iterator<Item = (Cow<'j, str>, Cow<'j, str>)> {
    let fields = match metadata {
        Json::Object(fields) => &**fields,
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Array(_) => &[],
    };
    let fitting = fields.iter().filter_map(|(key, value)| {
        let value = as_label(key, value)?;
        Some((Cow::Borrowed(&**key), Cow::Borrowed(value)))
    });
    fitting.take(LABELS_LIMIT)
}

fn as_label<'j>(key: &str, value: &'j Json<'_>) -> Option<&'j str> {
    let text: &str = match value {
        Json::Text(text) => text,
        Json::Number(number) => number,
        Json::Bool(true) => "true",
        Json::Bool(false) => "false",
        Json::Null | Json::Array(_) | Json::Object(_) => return None,
    };
    (LabelKey::check(key).is_ok() && check_label(text).is_ok()).then_some(text)
}

/// The metadata of an instance that has labels and nothing more.
fn label_object<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> Json<'a> {
    let fields: Vec<_> = labels.map(|(key, value)| (key.into(), text(value))).collect();
    if fields.is_empty() { Json::Null } else { Json::Object(fields) }
}

/// The metadata of an instance: what came with its record, as far as its labels still agree.
fn metadata<'j>(kept: Option<Json<'j>>, instance: &'j Instance) -> Json<'j> {
    let Some(kept) = kept else {
        return label_object(instance.labels());
    };
    let were: Vec<String> = labels(&kept).map(|(key, _)| key.into_owned()).collect();
    let Json::Object(mut fields) = kept else {
        let object = label_object(instance.labels());
        return if object == Json::Null { kept } else { object };
    };
    fields.retain(|(key, value)| match instance.label(key) {
        Some(label) => as_label(key, value) == Some(label),
        None => !were.iter().any(|was| was == key),
    });
    for (key, label) in instance.labels() {
        if let Err(index) = fields.binary_search_by(|(other, _)| (**other).cmp(key)) {
            fields.insert(index, (key.into(), text(label)));
        }
    }
    Json::Object(fields)
}

fn text(text: &str) -> Json<'_> {
    Json::Text(Cow::Borrowed(text))
}

fn take_metadata(unknown: Json<'_>) -> Option<Json<'_>> {
    let Json::Object(fields) = unknown else {
        return None;
    };
    fields.into_iter().find(|(name, _)| name == METADATA).map(|(_, value)| value)
}

impl TryFrom<Plain> for Naming {
    type Error = RootError;

    fn try_from(plain: Plain) -> Result<Self, RootError> {
        Self::new(&plain.root)
    }
}

impl From<Naming> for Plain {
    fn from(naming: Naming) -> Self {
        Self { root: naming.root.into() }
    }
}

const METADATA: &str = "Metadata";
