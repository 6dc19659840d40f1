//! VW12: what a reader is told that looks only now and then.

use std::collections::BTreeMap;

use portolan_core::engine::{DirectoryId, Snapshot};

use super::digest::{self, Sum};
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
    folded: Sum,
}

const EVERY: u32 = 5;

impl Check for CatchUp {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let Some(shown) = Shown::of(facts, entry) else { return };
        let new = shown.snapshot;
        let reader = self.readers.entry((shown.run, shown.id)).or_insert_with(|| Reader {
            seen: new.clone(),
            missed: 0,
            folded: shown.directory.digest.records,
        });
        reader.missed += 1;
        if reader.missed < EVERY {
            return;
        }
        reader.missed = 0;
        report.look();
        digest::fold(&mut reader.folded, &reader.seen.changes_to(new));
        reader.seen = new.clone();
        let name = shown.name();
        report.expect(reader.folded == shown.directory.digest.records, || {
            format!("{name} at @{}: a late reader is not told all that changed", new.revision)
        });
        let Some(keys) = shown.keys else { return };
        let (store, digest) = (facts.history_of(shown.directory), shown.directory.digest);
        if let Some(difference) = store.differs(keys, new, digest) {
            report.fail(format!("a late reader is not told all: {name} {difference}"));
        }
    }
}
