//! A watch, as etcd's Go client keeps it open.

use std::time::Duration;

use portolan_core::Time;
use portolan_core::waist::{KeyEvent, KeyRange, Reply, Request, Revision, Watch};

use super::calls::{Calls, Why};
use super::ways::Broken;

/// A watch that is opened anew when its stream breaks.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Watcher {
    keys: KeyRange,
    why: Why,
    broken: Broken,
    /// Where it is opened; 0: now.
    next: Revision,
    open_at: Option<Time>,
}

/// What a watch has to say.
pub(super) enum News {
    /// It is open.
    Created,
    Events(Vec<KeyEvent>),
    /// The store ended it, since what it was to tell is compacted.
    Compacted(Revision),
    /// The store ended it otherwise.
    Ended,
}

impl Watcher {
    pub fn new(keys: KeyRange, why: Why, broken: Broken) -> Self {
        Self { keys, why, broken, next: Revision::ZERO, open_at: None }
    }

    pub fn open(&mut self, calls: &mut Calls, next: Revision) {
        self.next = next;
        calls.ask(self.why, Request::Watch(Watch::of(self.keys.clone(), next)));
    }

    /// Opens it from now on, after a while.
    pub fn open_later(&mut self, calls: &Calls, pause: Duration) {
        self.next = Revision::ZERO;
        self.open_at = Some(calls.now() + pause);
    }

    pub fn on_timer(&mut self, calls: &mut Calls) {
        if self.open_at.is_some_and(|at| at <= calls.now()) {
            self.open_at = None;
            self.open(calls, self.next);
        }
    }

    pub fn on_reply(&mut self, calls: &mut Calls, reply: Reply) -> Option<News> {
        let Reply::Watch(reply) = reply else {
            match self.broken {
                // On a quiet range that is still where the watch began: it asks for no progress.
                Broken::Resume => self.open_at = Some(calls.now() + REOPEN),
                Broken::FromNow { pause } => self.open_later(calls, pause),
            }
            return None;
        };
        if reply.canceled {
            let why = self.why;
            calls.drop_all(|other| other == why);
            let compacted = reply.compact_revision;
            let is_gap = compacted > Revision::ZERO;
            return Some(if is_gap { News::Compacted(compacted) } else { News::Ended });
        }
        if reply.created {
            if self.next == Revision::ZERO {
                self.next = reply.header.revision;
            }
            return Some(News::Created);
        }
        self.next = reply.events.last()?.kv.mod_revision.next();
        Some(News::Events(reply.events))
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.open_at
    }
}

/// How long the Go client waits before it opens a broken watch again (`client/v3/watch.go`).
const REOPEN: Duration = Duration::from_millis(100);
