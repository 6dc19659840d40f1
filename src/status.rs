use std::sync::Arc;
use std::time::Duration;

use portolan_core::engine::Login;
use portolan_core::time::Time;
use tokio::sync::watch;

/// How a registry is doing, at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// Registrations that are wanted.
    pub registrations: usize,
    /// Of these, those whose record stands in the store as far as is known.
    pub registered: usize,
    /// Open directories.
    pub directories: usize,
    /// Of these, those that the store confirmed lately.
    pub live: usize,
    /// Of these, those that were never listed yet.
    pub unsynced: usize,
    /// Unreadable records in all directories.
    pub unreadable: usize,
    /// Suspects in all directories: instances that an outage seems to have taken away.
    pub suspects: usize,
    /// Requests in flight, watches not counted.
    pub in_flight: usize,
    /// Bytes of keys and values in what is in flight.
    pub bytes_in_flight: usize,
    /// The member asked last, by its place in the list that the registry was built with; further
    /// ones are those that the cluster named.
    pub member: u16,
    /// Whether every member has failed lately, and none has answered since: nobody is there, as far
    /// as is known. Who refuses, for want of rights or space, is there.
    pub store_away: bool,
    /// How the login to the store is. A refused one lets everything fail until it is mended.
    pub login: Login,
    /// How late the driver ran at worst within the last minute: its thread was busy, or the process
    /// was suspended. Beyond a third of the time to live, leases are in danger.
    pub driver_lag: Duration,
    /// The last answer of the store that was no refusal, as
    /// [`Registry::uptime`](crate::Registry::uptime) then; `None`: none yet.
    pub last_answer: Option<Duration>,
    /// What the store, or the way to it, last failed with, however long ago; requests that were
    /// merely not answered do not count.
    pub last_failure: Option<Arc<str>>,
    /// Whether the registry is shutting down or shut down.
    pub closing: bool,
}

impl Status {
    /// Whether the store has answered, every registration stands, every directory is live, and
    /// nothing is being shut down.
    pub fn is_well(&self) -> bool {
        !self.closing
            && self.last_answer.is_some()
            && self.registered == self.registrations
            && self.live == self.directories
    }

    pub(crate) fn answered_at(&mut self, now: Time) {
        self.last_answer = Some(now.since(Time::ZERO));
    }
}

/// How a registry is doing, from now on.
#[derive(Debug)]
pub struct StatusChanges {
    statuses: watch::Receiver<Status>,
    told: bool,
}

impl StatusChanges {
    pub(crate) fn new(statuses: watch::Receiver<Status>) -> Self {
        Self { statuses, told: false }
    }

    /// The status: at once the first time, then as soon as it is another one. `None`: the registry
    /// has ended, and its last status was told. Cancel safe.
    pub async fn next(&mut self) -> Option<Status> {
        if std::mem::replace(&mut self.told, true) {
            self.statuses.changed().await.ok()?;
        }
        Some(self.statuses.borrow_and_update().clone())
    }
}
