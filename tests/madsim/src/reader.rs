//! Reads what the library tells, as programs do, and holds it to what it says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portolan::{Change, Difference, Directory, Follower, Key, Revision};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A task that reads; it ends with this.
pub struct Reader {
    task: JoinHandle<()>,
    folded: Folded,
}

/// What a reader has made of the differences of a directory.
#[derive(Clone, Default)]
struct Folded(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    records: BTreeMap<Key, Revision>,
    trouble: Option<String>,
}

impl Reader {
    /// Reads the differences of a directory, and takes a while for each. `forgets`: it drops one now
    /// and then, which is to be noticed.
    pub fn of_directory(directory: &Directory, slow_ms: u64, forgets: bool) -> Self {
        let (mut changes, folded) = (directory.changes(), Folded::default());
        let into = folded.clone();
        let task = tokio::spawn(async move {
            let mut told = 0;
            while let Some(difference) = changes.next().await {
                told += 1;
                if !(forgets && told == 2) {
                    into.lock().take(&difference);
                }
                sleep(Duration::from_millis(slow_ms)).await;
            }
        });
        Self { task, folded }
    }

    /// Reads what a follower is told, and takes a while for each piece.
    pub fn of_follower(mut follower: Follower, slow_ms: u64) -> Self {
        let task = tokio::spawn(async move {
            while follower.next().await.is_some() {
                sleep(Duration::from_millis(slow_ms)).await;
            }
        });
        Self { task, folded: Folded::default() }
    }

    /// What did not fit.
    pub fn trouble(&self) -> Option<String> {
        self.folded.lock().trouble.clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Folded {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Each change must fit what was there, and all together make what is there.
    fn take(&mut self, difference: &Difference) {
        for change in &difference.changes {
            let (key, before, after) = match change {
                Change::Added { key, record } => (key, None, Some(record)),
                Change::Updated { key, before, record } => (key, Some(before), Some(record)),
                Change::Removed { key, before } => (key, Some(before), None),
            };
            let known = match after {
                Some(record) => self.records.insert(key.clone(), record.mod_revision),
                None => self.records.remove(key),
            };
            let expected = before.map(|record| record.mod_revision);
            if known != expected {
                self.complain(format!("{key} was {known:?} and changes from {expected:?}"));
            }
        }
        let shown = difference.snapshot.records().iter();
        let shown: BTreeMap<_, _> =
            shown.map(|(key, record)| (key.clone(), record.mod_revision)).collect();
        if self.records != shown {
            let text = format!("differences make {:?} of {shown:?}", self.records);
            self.complain(text);
        }
    }

    fn complain(&mut self, text: String) {
        self.trouble.get_or_insert(text);
    }
}
