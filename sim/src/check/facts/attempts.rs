//! All requests that were sent, by run and number.

use std::collections::BTreeMap;

use portolan_core::waist::AttemptId;

use super::Attempt;
use crate::trace::Run;

/// Engines number their attempts one after the other, so that most are found at once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Attempts(BTreeMap<Run, Vec<(AttemptId, Attempt)>>);

impl Attempts {
    pub fn get(&self, &(run, id): &(Run, AttemptId)) -> Option<&Attempt> {
        let own = self.0.get(&run)?;
        place(own, id).ok().map(|at| &own[at].1)
    }

    pub fn get_mut(&mut self, &(run, id): &(Run, AttemptId)) -> Option<&mut Attempt> {
        let own = self.0.get_mut(&run)?;
        place(own, id).ok().map(|at| &mut own[at].1)
    }

    pub fn insert(&mut self, (run, id): (Run, AttemptId), attempt: Attempt) {
        let own = self.0.entry(run).or_default();
        match place(own, id) {
            Ok(at) => own[at].1 = attempt,
            Err(at) => own.insert(at, (id, attempt)),
        }
    }

    /// Those of a run, by number.
    pub fn by(&self, run: Run) -> impl Iterator<Item = (AttemptId, &Attempt)> {
        self.0.get(&run).into_iter().flatten().map(|(id, attempt)| (*id, attempt))
    }

    /// All of them, by run and number.
    pub fn iter(&self) -> impl Iterator<Item = ((Run, AttemptId), &Attempt)> {
        let runs = self.0.iter();
        runs.flat_map(|(&run, own)| own.iter().map(move |(id, attempt)| ((run, *id), attempt)))
    }
}

/// Where an attempt is, or would be.
fn place(own: &[(AttemptId, Attempt)], id: AttemptId) -> Result<usize, usize> {
    let Some((first, _)) = own.first() else { return Err(0) };
    let guess = usize::try_from(id.0.wrapping_sub(first.0)).unwrap_or(usize::MAX);
    match own.get(guess) {
        Some((found, _)) if *found == id => Ok(guess),
        _ => own.binary_search_by_key(&id, |(found, _)| *found),
    }
}
