//! A group's configuration: any JSON.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::json::{DEPTH_LIMIT, Expected, Json, JsonError, JsonFault, Style};
use crate::name::GroupName;
use crate::rng::hash;

/// Bytes of a configuration at most, in canonical form. etcd refuses requests above 1.5 MiB (row E1).
pub const DATA_LIMIT: usize = 1 << 20;

/// Bytes of the text it is read from at most: people lay a document out, and what was written must
/// be theirs to edit.
pub const TEXT_LIMIT: usize = 4 << 20;

/// Any JSON, as canonical text: no white space, object keys sorted by their bytes, strings with
/// the fewest escapes, numbers as they were written.
///
/// Documents that differ in nothing but white space, order of keys or escapes are equal. `1` and
/// `1.0` are not: no digit is ever changed. `Debug` shows length and hash only, since
/// configurations may hold secrets; serialised, it is its text in a string.
#[derive(Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Data(Box<str>);

/// Text that cannot be a configuration.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Not JSON, or JSON that readers would understand differently.
    #[error("configuration is not JSON: {0}")]
    Json(JsonError),
    /// Too many bytes.
    #[error("configuration has {length} bytes; the limit is {limit}")]
    TooLarge {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

impl Data {
    /// Reads JSON and brings it into canonical form.
    ///
    /// # Errors
    /// [`DataError`], for text that is not JSON, has a key twice in one object, a number of 10^308
    /// or more, more than 63 levels, more than 1 MiB in canonical form, or more than 4 MiB as given.
    pub fn parse(text: &str) -> Result<Self, DataError> {
        fits(text.len(), TEXT_LIMIT)?;
        let json = Json::parse_field(text).map_err(DataError::Json)?;
        Self::from_json(&json)
    }

    /// The canonical form of a value.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_value(value: &serde_json::Value) -> Result<Self, DataError> {
        // Deeper values are turned away before they can exhaust the stack.
        if !shallow(value, DEPTH_LIMIT) {
            let fault = JsonFault::Depth { limit: DEPTH_LIMIT };
            return Err(DataError::Json(JsonError { at: 0, fault }));
        }
        Self::parse(&value.to_string())
    }

    /// The document as a value. Numbers that neither 64 bits nor a double hold lose digits there.
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).expect("canonical text is JSON within serde_json's limits")
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn from_json(json: &Json<'_>) -> Result<Self, DataError> {
        let mut text = String::new();
        json.write(Style::Plain, &mut text);
        fits(text.len(), DATA_LIMIT)?;
        Ok(Self(text.into()))
    }
}

/// A group's shared configuration.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupConfig {
    // In a box, so that it does not set the size of a directory's records, which are instances.
    inner: Box<Inner>,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
struct Inner {
    group: GroupName,
    data: Data,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<u64>,
    /// An object with the fields of the record that this version does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unknown: Option<Unknown>,
}

impl GroupConfig {
    /// A configuration that nobody has written yet.
    pub fn new(group: GroupName, data: Data) -> Self {
        Self::read(group, data, None, None)
    }

    pub(crate) fn read(
        group: GroupName,
        data: Data,
        operation: Option<u64>,
        unknown: Option<Unknown>,
    ) -> Self {
        Self { inner: Box::new(Inner { group, data, operation, unknown }) }
    }

    /// The same record with other data. What a newer version wrote beside the data stays.
    #[must_use]
    pub fn with_data(mut self, data: Data) -> Self {
        self.inner.data = data;
        self
    }

    /// Whose.
    pub fn group(&self) -> &GroupName {
        &self.inner.group
    }

    /// The document.
    pub fn data(&self) -> &Data {
        &self.inner.data
    }

    /// The operation that wrote it, where the layout keeps that.
    pub fn operation(&self) -> Option<u64> {
        self.inner.operation
    }

    /// The record's fields that this version does not know, as a JSON object in canonical text.
    pub fn unknown(&self) -> Option<&str> {
        self.inner.unknown.as_ref().map(Unknown::as_str)
    }
}

/// A JSON object with at least one field, as canonical text; `Debug` shows its length only.
#[derive(Clone, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Unknown(Box<str>);

impl Unknown {
    /// `None` for no fields.
    pub(crate) fn new(fields: Vec<(std::borrow::Cow<'_, str>, Json<'_>)>) -> Option<Self> {
        if fields.is_empty() {
            return None;
        }
        let mut text = String::new();
        Json::Object(fields).write(Style::Plain, &mut text);
        Some(Self(text.into()))
    }

    pub(crate) fn parse(text: &str) -> Result<Option<Self>, JsonError> {
        match Json::parse(text, Style::Plain)? {
            Json::Object(fields) => Ok(Self::new(fields)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Array(_) => {
                Err(JsonError { at: 0, fault: JsonFault::Expected(Expected::Object) })
            }
        }
    }

    /// Text that was one before.
    pub(crate) fn checked(text: &str) -> Self {
        Self(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn fits(length: usize, limit: usize) -> Result<(), DataError> {
    if length > limit {
        return Err(DataError::TooLarge { length, limit });
    }
    Ok(())
}

fn shallow(value: &serde_json::Value, levels: usize) -> bool {
    use serde_json::Value;
    let below = |value: &Value| shallow(value, levels - 1);
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        Value::Array(items) => levels > 0 && items.iter().all(below),
        Value::Object(fields) => levels > 0 && fields.values().all(below),
    }
}

impl FromStr for Data {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Data {
    type Error = DataError;

    fn try_from(text: String) -> Result<Self, DataError> {
        Self::parse(&text)
    }
}

impl From<Data> for String {
    fn from(data: Data) -> Self {
        data.0.into()
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({}B:{:08x})", self.0.len(), hash(self.0.as_bytes()) >> 32)
    }
}

impl TryFrom<String> for Unknown {
    type Error = JsonError;

    fn try_from(text: String) -> Result<Self, JsonError> {
        Self::parse(&text)?.ok_or(JsonError { at: 0, fault: JsonFault::Expected(Expected::Key) })
    }
}

impl From<Unknown> for String {
    fn from(unknown: Unknown) -> Self {
        unknown.0.into()
    }
}

impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unknown({}B)", self.0.len())
    }
}
