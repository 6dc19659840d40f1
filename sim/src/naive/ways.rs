//! In what the clients differ.

use std::time::Duration;

/// The ways of one client.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) struct Ways {
    /// Whether all registrations of a process hang on one lease.
    pub shared_lease: bool,
    /// What is done when a lease is lost.
    pub lost: Lost,
    /// Whether the record is written again and again.
    pub rewrite: Option<Rewrite>,
    /// After how long a failed registration is tried again; `None`: never.
    pub retry: Option<Duration>,
    pub removal: Removal,
    /// How long a call waits for its answer; `None`: for ever.
    pub timeout: Option<Duration>,
    pub begin: Begin,
    pub on_event: OnEvent,
    /// Whether any member may answer a list.
    pub stale_lists: bool,
    /// Whether the prefix that is read does not end where a group's name does.
    pub bare_prefix: bool,
    pub broken: Broken,
    pub compacted: Compacted,
}

/// What is done when a lease is lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) enum Lost {
    /// Nobody is told.
    Nothing,
    /// Another is asked for after a pause, and the record written on it.
    Replace { pause: Duration },
    /// It is renewed all the same, now and then, for ever.
    Insist { pause: Duration },
}

/// A record is written again though nothing in it has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) struct Rewrite {
    /// After so many tenths of the lease's time to live: counted from the last time it was begun
    /// where it renews the lease, and from its answer elsewhere.
    pub tenths: u32,
    pub lease: LeaseFirst,
}

/// What is done about the lease before that.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) enum LeaseFirst {
    /// It is renewed.
    Renew,
    /// It is asked for, and replaced once it is older than its time to live, however long it lives.
    Ask,
}

/// What a removal does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) enum Removal {
    /// Deletes the record.
    Delete,
    /// Deletes the record and, if the group has none left, all that begins with the group's name.
    DeleteAndTidy,
    /// Nothing but to stop renewing: the record ends with its lease.
    Leave,
}

/// How a reader begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) enum Begin {
    /// Lists, and watches from the revision after the list.
    ListThenNext,
    /// Lists, watches from now on, and lists once more when the watch is open.
    ListThenNowThenList,
    /// Watches from now on, and lists when the watch is open.
    NowThenList,
}

/// What a reader makes of events.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) enum OnEvent {
    /// A list, for each answer of the watch.
    ListAgain,
    /// What they say.
    Apply,
}

/// What becomes of a watch whose stream breaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) enum Broken {
    /// It goes on where it was.
    Resume,
    /// It goes on from now on, after a pause.
    FromNow { pause: Duration },
}

/// What becomes of a watch whose next events are compacted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) enum Compacted {
    /// Nothing is heard any more, and nobody is told.
    Deaf,
    /// It goes on at the oldest revision that there is.
    AtOldest,
    /// It goes on from now on, after a pause.
    FromNow { pause: Duration },
}
