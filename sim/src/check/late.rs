//! VW12: what a reader is told that looks only now and then.

use std::collections::BTreeMap;

use portolan_core::engine::{Change, DirectoryId, Snapshot};
use portolan_core::waist::{Key, Revision};

use super::facts::Facts;
use super::views::Shown;
use super::{Check, Report};
use crate::trace::{Entry, Run};

/// VW12.
#[derive(Clone, Debug, Default)]
pub(super) struct CatchUp {
    readers: BTreeMap<(Run, DirectoryId), Reader>,
}

/// Looks at every fifth thing that its directory says, and is told the way from what it saw then.
#[derive(Clone, Debug)]
struct Reader {
    seen: Snapshot,
    missed: u32,
    folded: BTreeMap<Key, (Revision, u64)>,
}

const EVERY: u32 = 5;

impl Check for CatchUp {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let Some(shown) = Shown::of(facts, entry) else { return };
        let new = shown.snapshot;
        let reader = self.readers.entry((shown.run, shown.id)).or_insert_with(|| Reader {
            seen: new.clone(),
            missed: 0,
            folded: whole(new),
        });
        reader.missed += 1;
        if reader.missed < EVERY {
            return;
        }
        reader.missed = 0;
        report.look();
        for change in reader.seen.changes_to(new) {
            match change {
                Change::Added { key, record } | Change::Updated { key, record, .. } => {
                    reader.folded.insert(key, (record.mod_revision, record.value_hash));
                }
                Change::Removed { key, .. } => _ = reader.folded.remove(&key),
            }
        }
        reader.seen = new.clone();
        let name = shown.name();
        report.expect(reader.folded == whole(new), || {
            format!("{name} at @{}: a late reader is not told all that changed", new.revision)
        });
        let Some(keys) = shown.keys else { return };
        if let Some(difference) = facts.history_of(shown.directory).differs(keys, new) {
            report.fail(format!("a late reader is not told all: {name} {difference}"));
        }
    }
}

fn whole(snapshot: &Snapshot) -> BTreeMap<Key, (Revision, u64)> {
    let records = snapshot.records.iter();
    records.map(|(key, record)| (key.clone(), (record.mod_revision, record.value_hash))).collect()
}
