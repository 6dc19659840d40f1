//! What applications were told of what they counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counts of all processes.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<BTreeMap<String, Counts>>>);

/// The counts of one group.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Begun.
    pub began: u64,
    /// Told to be done.
    pub done: u64,
    /// Told not to be done.
    pub refused: u64,
}

impl Tally {
    /// A process begins to count one more.
    pub fn began(&self, group: &str) {
        self.lock().entry(group.to_owned()).or_default().began += 1;
    }

    /// It was told that this is done.
    pub fn done(&self, group: &str) {
        self.lock().entry(group.to_owned()).or_default().done += 1;
    }

    /// It was told that nothing was done.
    pub fn refused(&self, group: &str) {
        self.lock().entry(group.to_owned()).or_default().refused += 1;
    }

    /// What is known of each group.
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Counts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
