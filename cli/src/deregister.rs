//! An instance is taken out by somebody who is not its owner.

use std::env;

use portolan::{ErrorKind, EvictError, Eviction, MarkError};
use serde::Serialize;

use crate::args::Deregister;
use crate::fail::Failure;
use crate::out::{Out, note};
use crate::store::Store;

/// What became of it.
#[derive(Serialize)]
struct TakenOut<'a> {
    group: &'a str,
    id: &'a str,
    /// `evicted`: its owner is asked to remove it; `deleted`.
    outcome: &'static str,
    /// At which that was written.
    revision: i64,
    /// As `etcdctl` writes it.
    lease: Option<String>,
    /// In whose name it was asked.
    by: Option<String>,
}

pub async fn run(store: &Store, out: Out, args: Deregister) -> Result<(), Failure> {
    if !args.force && !store.layout().says_evicted() {
        let layout = store.layout().name();
        return Err(Failure::Usage(format!(
            "--layout {layout} has no room for an eviction mark; --force deletes the record, which \
             an owner that is alive restores"
        )));
    }
    let registry = store.connect()?;
    let group = registry.group(args.group.as_str()).map_err(Failure::usage)?;
    let taken_out = if args.force {
        group.delete_instance(&args.id).await
    } else {
        group.evict(&args.id, &args.by.unwrap_or_else(operator)).await
    };
    let name = format!("{}/{}", args.group, args.id);
    let eviction = taken_out.map_err(|error| failed(store, &registry, &name, &error))?;
    let (group, id) = (args.group.as_str(), args.id.as_str());
    match eviction {
        Eviction::Marked { revision, lease, by } => {
            let lease = lease.to_string();
            let text = format!(
                "{name} is evicted by {by} at revision {revision}; its owner removes it, or it goes \
                 with lease {lease}"
            );
            let (revision, lease, by) = (revision.0, Some(lease), Some(by));
            let outcome = "evicted";
            out.one(text, &TakenOut { group, id, outcome, revision, lease, by })
        }
        Eviction::Deleted { revision, lease } => {
            let text = format!("{name} is deleted at revision {revision}");
            let lease = lease.map(|lease| lease.to_string());
            let hung_on = lease.clone();
            let (revision, outcome, by) = (revision.0, "deleted", None);
            out.one(text, &TakenOut { group, id, outcome, revision, lease, by })?;
            if let Some(lease) = hung_on {
                note(format!(
                    "{name} hung on lease {lease}: if its owner is alive, it restores it"
                ));
            }
            Ok(())
        }
        Eviction::NotFound => Err(Failure::NotFound(format!("{name} is not registered"))),
        Eviction::Changed | _ => Err(Failure::Failed(format!(
            "{name} is not taken out: its record was changed each time before it could be written"
        ))),
    }
}

fn failed(store: &Store, registry: &portolan::Registry, name: &str, error: &EvictError) -> Failure {
    let line = match (error, error.kind()) {
        (EvictError::Mark(MarkError::Unreadable(_)), _) => {
            format!("{name} cannot be marked: {error}; --force deletes it")
        }
        (_, ErrorKind::Invalid) => return Failure::usage(error),
        (EvictError::Call(refusal), ErrorKind::Denied) => store.refused(refusal),
        (_, ErrorKind::Unavailable) => store.silent(registry),
        _ => format!("{store}: {error}"),
    };
    Failure::Failed(line)
}

/// Who asks, as far as is known.
fn operator() -> String {
    let user = env::var("USER").ok().filter(|user| !user.is_empty());
    user.unwrap_or_else(|| "an operator".to_owned())
}
