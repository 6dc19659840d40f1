//! What checks ask of what is known.

use std::collections::BTreeSet;

use portolan_core::Time;
use portolan_core::engine::{DirectoryId, FollowId, OpId, RegistrationId};
use portolan_core::layout::Layout;
use portolan_core::waist::{Key, KeyRange, LeaseId, Reply};

use super::{Attempt, Directory, Facts, Follower, Lease, Operation, Registration, RunLife};
use crate::trace::{Entry, Run, What};

impl Facts {
    /// Whether a key is an instance's.
    pub fn is_instance(&self, key: &Key) -> bool {
        self.instances.iter().any(|range| range.contains(key))
    }

    pub fn layout(&self) -> &Layout {
        &self.setup.layout
    }

    /// What a run's clock shows at a moment of the world.
    pub fn local(&self, run: Run, at: Time) -> Time {
        self.runs.get(&run).map_or(at, |facts| facts.clock.local(at))
    }

    /// Whether a run takes inputs as they come.
    pub fn is_awake(&self, run: Run) -> bool {
        self.runs.get(&run).is_some_and(|facts| facts.life == RunLife::Awake)
    }

    /// Whether a run must come to rest: it is awake, and healed.
    pub fn must_rest(&self, run: Run) -> bool {
        self.is_awake(run) && !self.left.processes.contains(&run.process)
    }

    /// The attempt that an entry answers, if its engine still waited for it.
    pub fn answered<'a>(&'a self, entry: &'a Entry) -> Option<(Run, &'a Attempt, &'a Reply)> {
        match &entry.what {
            What::Answered { run, attempt, reply } if self.fresh => {
                Some((*run, self.attempts.get(&(*run, *attempt))?, reply))
            }
            _ => None,
        }
    }

    /// The directories of a run that show just these keys.
    pub fn directories_of(
        &self,
        run: Run,
        keys: &KeyRange,
    ) -> impl Iterator<Item = (DirectoryId, &Directory)> {
        self.directories_by(run)
            .filter(move |(_, directory)| directory.open && directory.keys.as_ref() == Some(keys))
    }

    /// All directories of a run.
    pub fn directories_by(&self, run: Run) -> impl Iterator<Item = (DirectoryId, &Directory)> {
        self.directories
            .range((run, DirectoryId(0))..=(run, DirectoryId(u64::MAX)))
            .map(|(&(_, id), directory)| (id, directory))
    }

    /// The one directory of a run that shows just these keys; `None` if there are several, or a
    /// follower of them, since the wire does not tell for which of them an attempt is.
    pub fn only_directory_of(
        &self,
        run: Run,
        keys: &KeyRange,
    ) -> Option<(DirectoryId, &Directory)> {
        let mut of = self.directories_of(run, keys);
        of.next().filter(|_| of.next().is_none() && !self.is_followed(run, keys))
    }

    /// Whether a run has ever followed just these keys.
    pub fn is_followed(&self, run: Run, keys: &KeyRange) -> bool {
        self.followers_by(run).any(|follower| follower.keys == *keys)
    }

    /// All followers of a run.
    pub fn followers_by(&self, run: Run) -> impl Iterator<Item = &Follower> {
        let own = self.follows.range((run, FollowId(0))..=(run, FollowId(u64::MAX)));
        own.map(|(_, follower)| follower)
    }

    /// All operations of a run.
    pub fn ops_by(&self, run: Run) -> impl Iterator<Item = (OpId, &Operation)> {
        let own = self.ops.range((run, OpId(0))..=(run, OpId(u64::MAX)));
        own.map(|(&(_, id), operation)| (id, operation))
    }

    /// All leases that were ever granted for a run.
    pub fn leases_by(&self, run: Run) -> impl Iterator<Item = (LeaseId, &Lease)> {
        let owned = self.owned.get(&run).into_iter().flatten();
        owned.filter_map(|&id| Some((id, self.leases.get(&id)?)))
    }

    /// The leases on which instances hang in the store.
    pub fn carrying(&self) -> BTreeSet<LeaseId> {
        let there = self.instances.iter().flat_map(|keys| {
            let now = self.store.range_at(keys, self.store.revision);
            now.filter_map(|(_, version)| version.lease)
        });
        there.collect()
    }

    /// The run for which a lease was granted.
    pub fn owner(&self, lease: LeaseId) -> Option<Run> {
        self.leases.get(&lease)?.owner
    }

    /// The registrations of a run.
    pub fn registrations_of(
        &self,
        run: Run,
    ) -> impl Iterator<Item = (RegistrationId, &Registration)> {
        self.registrations
            .range((run, RegistrationId(0))..=(run, RegistrationId(u64::MAX)))
            .map(|(&(_, id), registration)| (id, registration))
    }
}
