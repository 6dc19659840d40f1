//! What is to happen, by time, and in the order it was decided on.

use std::collections::BTreeMap;

use portolan_core::Time;
use portolan_core::engine::Command;
use portolan_core::waist::{AttemptId, Reply};
use portolan_memory::ClientId;

use crate::plan::Way;
use crate::trace::{Run, stable_hash};

/// What is to happen.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(crate) struct Queue {
    happenings: BTreeMap<(Time, u64), Happening>,
    last: u64,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) enum Happening {
    /// The next message of one attempt comes to the end of its way.
    Arrive { client: ClientId, way: Way, attempt: AttemptId },
    /// If the connection has been silent since this silence began, its client takes it for dead.
    Detect { client: ClientId, silence: u64 },
    /// The store learns that a client is gone, unless more of it is still on the way.
    Hangup { client: ClientId },
    /// An engine learns that its attempt's connection is gone.
    Fail { run: Run, attempt: AttemptId, reply: Box<Reply> },
    /// An application has made up its mind.
    Command { run: Run, command: Box<Command> },
}

impl Queue {
    pub fn push(&mut self, at: Time, happening: Happening) {
        self.last += 1;
        self.happenings.insert((at, self.last), happening);
    }

    pub fn next_at(&self) -> Option<Time> {
        self.happenings.first_key_value().map(|(&(at, _), _)| at)
    }

    pub fn pop(&mut self) -> Option<Happening> {
        self.happenings.pop_first().map(|(_, happening)| happening)
    }

    /// All of it, each with its time and number, the earliest first.
    pub fn iter(&self) -> impl Iterator<Item = ((Time, u64), &Happening)> {
        self.happenings.iter().map(|(&place, happening)| (place, happening))
    }

    pub fn take(&mut self, place: (Time, u64)) -> Option<Happening> {
        self.happenings.remove(&place)
    }

    /// Makes everything that has no time of its own due now, and forgets in which order it was
    /// decided on.
    pub fn level(&mut self, now: Time) {
        let mut all: Vec<_> = std::mem::take(&mut self.happenings)
            .into_iter()
            .map(|((at, _), happening)| {
                let at = if happening.is_timed() { at } else { now };
                (at, stable_hash(&happening), happening)
            })
            .collect();
        all.sort_by_key(|&(at, hash, _)| (at, hash));
        let numbered = (1..).zip(all).map(|(number, (at, _, happening))| ((at, number), happening));
        self.happenings = numbered.collect();
        self.last = self.happenings.len() as u64;
    }
}

impl Happening {
    /// Whether it waits for its time; anything else only takes some.
    pub fn is_timed(&self) -> bool {
        match self {
            Self::Detect { .. } | Self::Hangup { .. } => true,
            Self::Arrive { .. } | Self::Fail { .. } | Self::Command { .. } => false,
        }
    }
}
