//! What is registered now, and each change from then on.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan::{
    BadRecord, Change, Content, Difference, GroupName, Key, Map, Record, Registry, Revision, Scope,
    Snapshot, Suspect,
};
use serde::Serialize;

use crate::fail::Failure;
use crate::out::{self, Out};
use crate::show::{Document, Found};
use crate::signals::Signals;
use crate::store::Store;

/// One line of what is printed.
#[derive(Serialize)]
struct Line {
    event: &'static str,
    /// The revision that the directory has reached with it.
    at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Document>,
    /// How many there are, in the line that ends the first list.
    #[serde(skip_serializing_if = "Option::is_none")]
    instances: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    configs: Option<usize>,
}

/// Follows one group, or all of them, until a signal.
pub async fn run(store: &Store, out: Out, group: Option<GroupName>) -> Result<(), Failure> {
    let mut end = Signals::listen()?;
    let registry = store.connect()?;
    tokio::select! {
        biased;
        () = end.next_end() => Ok(()),
        followed = follow(store, &registry, out, group) => followed,
    }
}

async fn follow(
    store: &Store,
    registry: &Registry,
    out: Out,
    group: Option<GroupName>,
) -> Result<(), Failure> {
    let scopes = match group {
        Some(group) => [Scope::Instances(group.clone()), Scope::Config(group)],
        None => [Scope::AllInstances, Scope::AllConfigs],
    };
    let [instances, configs] = scopes.map(|scope| registry.directory(scope));
    store.listed(registry, &instances).await?;
    store.listed(registry, &configs).await?;
    let (mut of_instances, mut of_configs) = (instances.changes(), configs.changes());
    let mut watch = Watch::new(out);
    for changes in [&mut of_instances, &mut of_configs] {
        let first = changes.next().await;
        watch.tell(&first.ok_or_else(ended)?)?;
    }
    watch.listed(of_instances.seen(), of_configs.seen())?;
    loop {
        let difference = tokio::select! {
            biased;
            difference = of_instances.next() => difference,
            difference = of_configs.next() => difference,
        };
        watch.tell(&difference.ok_or_else(ended)?)?;
        watch.guard(of_instances.seen())?;
        watch.freshness(of_instances.seen(), of_configs.seen())?;
    }
}

fn ended() -> Failure {
    Failure::Failed("the registry ended".to_owned())
}

struct Watch {
    out: Out,
    /// Whether both directories were fresh when last told.
    live: bool,
    /// What was told of suspects, and whether the directory was guarded.
    suspects: Map<Key, Arc<Suspect>>,
    guarded: bool,
    /// What was told of unreadable records.
    unreadable: BTreeMap<Key, BadRecord>,
}

impl Watch {
    fn new(out: Out) -> Self {
        let (suspects, unreadable) = (Map::new(), BTreeMap::new());
        Self { out, live: true, suspects, guarded: false, unreadable }
    }

    fn tell(&mut self, difference: &Difference) -> Result<(), Failure> {
        let at = difference.snapshot.revision();
        if difference.new_epoch {
            let text = "the store is another one, or has lost what it had";
            self.line(text, Line::new("new-epoch", at))?;
        }
        for change in &difference.changes {
            let (event, record) = match change {
                Change::Added { record, .. } => ("added", record),
                Change::Updated { record, .. } => ("updated", record),
                // Told as a suspect, as long as it is one.
                Change::Removed { key, .. } if difference.snapshot.suspects().contains_key(key) => {
                    continue;
                }
                Change::Removed { before, .. } => ("removed", before),
            };
            self.record(event, at, record)?;
        }
        self.tell_unreadable(&difference.snapshot);
        Ok(())
    }

    fn record(&self, event: &'static str, at: Revision, record: &Record) -> Result<(), Failure> {
        let mut line = Line::new(event, at);
        let text = match &record.content {
            Content::Instance(instance) => {
                let found = line.instance.insert(Found::new(record, instance));
                format!("{}  {}", found.name(), found.details())
            }
            Content::Config(config) => {
                let (group, data) = (config.group().as_str(), config.data());
                line.config = Some(Document::new(group, record.mod_revision.0, data));
                // The document may be long, and is asked for by `config get`.
                format!("{group}  configuration of {} bytes", data.as_str().len())
            }
        };
        self.line(&text, line)
    }

    /// The first list is over.
    fn listed(&self, instances: &Snapshot, configs: &Snapshot) -> Result<(), Failure> {
        let mut line = Line::new("listed", instances.revision());
        let counts = (instances.len(), configs.len());
        (line.instances, line.configs) = (Some(counts.0), Some(counts.1));
        self.line(&format!("instances: {}, configurations: {}", counts.0, counts.1), line)
    }

    /// Tells what is kept though the store does not have it any more, and what of that is gone.
    fn guard(&mut self, snapshot: &Snapshot) -> Result<(), Failure> {
        let at = snapshot.revision();
        let before = std::mem::replace(&mut self.suspects, snapshot.suspects().clone());
        for (key, old, new) in before.diff(snapshot.suspects()) {
            match (old, new) {
                (None, Some(new)) => self.record("suspect", at, &new.record)?,
                (Some(old), None) if !snapshot.records().contains_key(key) => {
                    self.record("removed", at, &old.record)?;
                }
                (Some(_), _) | (None, None) => {}
            }
        }
        let guarded = snapshot.is_guarded();
        if std::mem::replace(&mut self.guarded, guarded) == guarded {
            return Ok(());
        }
        if guarded {
            let text = "most of a group vanished at once: what did is kept for a while";
            self.line(text, Line::new("guarded", at))
        } else {
            self.line("nothing is kept any more", Line::new("unguarded", at))
        }
    }

    /// Tells when the two stop, or begin again, to be what the store has.
    fn freshness(&mut self, instances: &Snapshot, configs: &Snapshot) -> Result<(), Failure> {
        let live = instances.is_live() && configs.is_live();
        if std::mem::replace(&mut self.live, live) == live {
            return Ok(());
        }
        let at = instances.revision();
        if live {
            self.line("the store confirms this again", Line::new("live", at))
        } else {
            self.line("the store does not confirm this any more", Line::new("stale", at))
        }
    }

    fn tell_unreadable(&mut self, snapshot: &Snapshot) {
        for (key, bad) in snapshot.unreadable() {
            if self.unreadable.insert(key.clone(), bad.clone()).as_ref() != Some(bad) {
                out::note(format!("unreadable record {key}: {bad}"));
            }
        }
    }

    fn line(&self, text: &str, line: Line) -> Result<(), Failure> {
        self.out.one(format!("{:>6}  {:<9}  {text}", line.at, line.event), &line)
    }
}

impl Line {
    fn new(event: &'static str, at: Revision) -> Self {
        Self { event, at: at.0, instance: None, config: None, instances: None, configs: None }
    }
}
