//! Asks the cluster for its members, now and then, if that is wished (`tuning.member_list_every`).
//!
//! Off by default: what a cluster says of itself are the addresses that its members were told to
//! advertise, which are often reachable from within the cluster only. What is found is added to what
//! was given, never put in its place.

use super::cx::Cx;
use super::retry::{Backoff, jittered};
use super::wire::Owner;
use crate::rng::Rng;
use crate::time::Time;
use crate::waist::{AttemptId, Reply, Request};

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Discovery {
    state: State,
    backoff: Backoff,
    rng: Rng,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
enum State {
    Resting {
        ask_at: Time,
    },
    /// Asked; the wire answers in any case, and once.
    Asking {
        attempt: AttemptId,
    },
    /// The engine shuts down: whom to ask for what ends with it is known well enough.
    Closed,
}

impl Discovery {
    pub fn new(rng: Rng) -> Self {
        Self { state: State::Resting { ask_at: Time::ZERO }, backoff: Backoff::default(), rng }
    }

    pub fn on_timer(&mut self, cx: &mut Cx<'_>) {
        if self.next_timeout(cx.tuning.member_list_every.is_some()).is_some_and(|at| at <= cx.now) {
            let attempt = cx.send(Owner::Members, Request::Members);
            self.state = State::Asking { attempt };
        }
    }

    /// Asks for nothing any more.
    pub fn close(&mut self, cx: &mut Cx<'_>) {
        if let State::Asking { attempt } = self.state {
            cx.cancel(attempt);
        }
        self.state = State::Closed;
    }

    pub fn on_reply(&mut self, cx: &mut Cx<'_>, reply: &Reply) {
        if self.state == State::Closed {
            return;
        }
        let every = cx.tuning.member_list_every.unwrap_or_default();
        let mut ask_at = cx.now + jittered(every, JITTER_PERCENT, &mut self.rng);
        if let Reply::Members(listed) = reply {
            self.backoff.worked(cx.now);
            cx.wire.members_listed(&listed.members);
        } else if let Reply::Failed(error) = reply {
            ask_at = cx.wire.backoff_after(error, cx.now, cx.tuning, &mut self.backoff);
        }
        self.state = State::Resting { ask_at };
    }

    /// When to call [`on_timer`](Self::on_timer) if nothing else happens first.
    pub fn next_timeout(&self, wished: bool) -> Option<Time> {
        match self.state {
            State::Resting { ask_at } if wished => Some(ask_at),
            State::Resting { .. } | State::Asking { .. } | State::Closed => None,
        }
    }
}

/// The processes of a fleet do not all ask at the same time.
const JITTER_PERCENT: u32 = 25;

#[cfg(test)]
mod tests;
