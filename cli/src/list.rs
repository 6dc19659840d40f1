//! What is registered now.

use std::collections::BTreeMap;

use portolan::{Content, GroupName, Scope, Selector, State};
use serde::Serialize;

use crate::fail::Failure;
use crate::out::{Out, Row};
use crate::show::{self, Found};
use crate::store::Store;

/// A group in the list of groups.
#[derive(Default, Serialize)]
struct Summary {
    group: String,
    instances: usize,
    ready: usize,
    config: bool,
}

/// Lists all groups that have an instance or a configuration.
pub async fn groups(store: &Store, out: Out) -> Result<(), Failure> {
    let registry = store.connect()?;
    let (instances, configs) =
        (registry.directory(Scope::AllInstances), registry.directory(Scope::AllConfigs));
    let snapshots =
        [store.listed(&registry, &instances).await?, store.listed(&registry, &configs).await?];
    let mut groups: BTreeMap<String, Summary> = BTreeMap::new();
    for record in snapshots.iter().flat_map(|snapshot| snapshot.records().values()) {
        match &record.content {
            Content::Instance(instance) => {
                let group = groups.entry(instance.group().to_owned()).or_default();
                group.instances += 1;
                group.ready += usize::from(instance.state() == State::Ready);
            }
            Content::Config(config) => {
                groups.entry(config.group().to_string()).or_default().config = true;
            }
        }
    }
    let named = groups.into_iter().map(|(group, summary)| Summary { group, ..summary });
    out.rows(&named.collect::<Vec<_>>())?;
    snapshots.iter().for_each(show::unreadable);
    Ok(())
}

/// Lists the instances of one group that fit.
pub async fn instances(
    store: &Store,
    out: Out,
    group: &GroupName,
    selector: &Selector,
) -> Result<(), Failure> {
    let registry = store.connect()?;
    let directory = registry.directory(Scope::Instances(group.clone()));
    let snapshot = store.listed(&registry, &directory).await?;
    let found = Found::all(&snapshot, selector);
    if !found.is_empty() {
        out.rows(&found)?;
    }
    show::unreadable(&snapshot);
    if !found.is_empty() {
        return Ok(());
    }
    let all = snapshot.instances().count() + snapshot.suspects().len();
    Err(Failure::NotFound(match all {
        0 => format!("group {group} has no instance"),
        _ => format!("group {group} has no instance that fits {selector} (of {all})"),
    }))
}

impl Row for Summary {
    const HEADER: &'static [&'static str] = &["GROUP", "INSTANCES", "READY", "CONFIG"];

    fn cells(&self) -> Vec<String> {
        let config = if self.config { "yes" } else { "no" };
        vec![
            self.group.clone(),
            self.instances.to_string(),
            self.ready.to_string(),
            config.to_owned(),
        ]
    }
}
