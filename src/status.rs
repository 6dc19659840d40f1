use std::sync::Arc;
use std::time::Duration;

use portolan_core::time::Time;

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
    /// The last answer of the store, as [`Registry::uptime`](crate::Registry::uptime) then;
    /// `None`: none yet.
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
