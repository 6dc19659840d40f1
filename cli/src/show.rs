//! Instances and configuration as rows of tables and as JSON. The names of fields stay.

use std::collections::BTreeMap;

use portolan::{Data, Instance, Record, Selector, Snapshot, State};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::out::{self, Row};

/// An instance.
#[derive(Serialize)]
pub struct Found {
    group: String,
    id: String,
    state: State,
    /// Who has asked its owner to remove it.
    #[serde(skip_serializing_if = "Option::is_none")]
    evicted_by: Option<String>,
    endpoints: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    version: Option<String>,
    weight: Option<u16>,
    /// Since 1970.
    created_millis: Option<u64>,
    /// As `etcdctl` writes it; a number would lose digits in other readers.
    lease: Option<String>,
    /// Of the last change.
    revision: i64,
    /// Whether the store does not have it any more, and an outage may be why.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    suspect: bool,
}

/// A group's configuration.
#[derive(Serialize)]
pub struct Document {
    pub group: String,
    /// Of the last change.
    pub revision: i64,
    pub data: Box<RawValue>,
}

impl Found {
    pub fn new(record: &Record, instance: &Instance) -> Self {
        let pairs = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Self {
            group: instance.group().to_owned(),
            id: instance.id().to_owned(),
            state: instance.state(),
            evicted_by: instance.evicted_by().map(str::to_owned),
            endpoints: instance.endpoints().map(pairs).collect(),
            labels: instance.labels().map(pairs).collect(),
            version: instance.version_text().map(str::to_owned),
            weight: instance.weight(),
            created_millis: instance.created_millis(),
            lease: record.lease.map(|lease| lease.to_string()),
            revision: record.mod_revision.0,
            suspect: false,
        }
    }

    /// All instances of a snapshot that fit, in the order of their keys; suspects behind the others.
    pub fn all(snapshot: &Snapshot, selector: &Selector) -> Vec<Self> {
        let fits = |instance: &&Instance| selector.matches(instance);
        let there = snapshot.records().values().filter_map(|record| {
            record.instance().filter(fits).map(|instance| Self::new(record, instance))
        });
        let kept = snapshot.suspects().values().filter_map(|suspect| {
            let record = &suspect.record;
            let instance = record.instance().filter(fits)?;
            Some(Self { suspect: true, ..Self::new(record, instance) })
        });
        there.chain(kept).collect()
    }

    /// Group and id.
    pub fn name(&self) -> String {
        format!("{}/{}", self.group, self.id)
    }

    /// The rest of it.
    pub fn details(&self) -> String {
        self.cells()[1..].join("  ").trim_end().to_owned()
    }
}

impl Row for Found {
    const HEADER: &'static [&'static str] =
        &["ID", "STATE", "ENDPOINTS", "VERSION", "WEIGHT", "LABELS"];

    fn cells(&self) -> Vec<String> {
        let pairs = |map: &BTreeMap<String, String>| {
            let pairs = map.iter().map(|(key, value)| format!("{key}={value}"));
            pairs.collect::<Vec<_>>().join(",")
        };
        let state = match &self.evicted_by {
            Some(by) => format!("{}, evicted by {by}", self.state),
            None => self.state.to_string(),
        };
        vec![
            self.id.clone(),
            if self.suspect { format!("{state} (suspect)") } else { state },
            pairs(&self.endpoints),
            self.version.clone().unwrap_or_default(),
            self.weight.map(|weight| weight.to_string()).unwrap_or_default(),
            pairs(&self.labels),
        ]
    }
}

impl Document {
    pub fn new(group: &str, revision: i64, data: &Data) -> Self {
        let data = RawValue::from_string(data.as_str().to_owned());
        Self {
            group: group.to_owned(),
            revision,
            data: data.expect("a configuration is canonical JSON"),
        }
    }
}

/// Says which records could not be read; they are in no list.
pub fn unreadable(snapshot: &Snapshot) {
    let unreadable = snapshot.unreadable();
    let count = unreadable.len();
    for (key, bad) in unreadable.take(TOLD) {
        out::note(format!("unreadable record {key}: {bad}"));
    }
    if count > TOLD {
        out::note(format!("{count} unreadable records in all"));
    }
}

/// Unreadable records told one by one at most.
const TOLD: usize = 20;
