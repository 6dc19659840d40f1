use std::time::Duration;

use super::output::{CallError, Event, Output};
use super::wire::{Owner, Wire};
use crate::layout::Layout;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{AttemptId, Request, Watch, WatchSay};

/// What a machine may use while it handles an input: the time, the constants, and the way out.
pub(crate) struct Cx<'a> {
    pub now: Time,
    pub tuning: &'a Tuning,
    pub layout: &'a Layout,
    pub wire: &'a mut Wire,
}

impl Cx<'_> {
    /// Sends one request. It is answered within `tuning.attempt_timeout`, if by nothing else then
    /// by `StoreError::GaveUp`.
    pub fn send(&mut self, owner: Owner, request: Request) -> AttemptId {
        self.send_within(owner, request, self.tuning.attempt_timeout)
    }

    /// Sends one request that is answered within `limit`, or `tuning.attempt_timeout` if that is
    /// shorter.
    pub fn send_within(&mut self, owner: Owner, request: Request, limit: Duration) -> AttemptId {
        let give_up_at = self.now + limit.min(self.tuning.attempt_timeout);
        self.wire.send(owner, request, Some(give_up_at))
    }

    /// Opens a watch stream. It has no time limit: whoever opens one must notice its silence.
    pub fn watch(&mut self, owner: Owner, watch: Watch) -> AttemptId {
        self.wire.send(owner, Request::Watch(watch), None)
    }

    /// Says something more on an open watch stream, to the member that serves it.
    pub fn say(&mut self, stream: AttemptId, say: WatchSay) {
        self.wire.say(stream, say);
    }

    /// Blames the member that serves a stream: it went silent.
    pub fn blame_stream(&mut self, stream: AttemptId) {
        self.wire.blame_stream(stream, self.tuning);
    }

    /// Stops waiting for an attempt; ends its stream if it is a watch. Nothing of it arrives any
    /// more.
    pub fn cancel(&mut self, attempt: AttemptId) {
        self.take_back(attempt);
    }

    /// As [`cancel`](Self::cancel). False: it had not left yet, so it is surely not done.
    pub fn take_back(&mut self, attempt: AttemptId) -> bool {
        self.wire.cancel(attempt)
    }

    /// Why the application may begin nothing more for now, if so; `bytes` is what the new one holds.
    pub fn busy(&self, idle: Idle, bytes: usize) -> Option<CallError> {
        let in_flight = self.wire.calls_in_flight().saturating_add(idle.count);
        let in_flight = u32::try_from(in_flight).unwrap_or(u32::MAX);
        let limit = self.tuning.max_in_flight;
        if in_flight >= limit {
            return Some(CallError::Busy { in_flight, limit });
        }
        let bytes = self.wire.bytes_in_flight().saturating_add(idle.bytes).saturating_add(bytes);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let limit = self.tuning.max_in_flight_bytes;
        (bytes > limit).then_some(CallError::BusyBytes { bytes, limit })
    }

    /// Tells the application.
    pub fn event(&mut self, event: Event) {
        self.wire.push(Output::Event(event));
    }
}

/// Calls and updates that have begun and have no request in flight: they are memory, and will have one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Idle {
    pub count: usize,
    /// Of keys and values.
    pub bytes: usize,
}

impl Idle {
    pub fn and(self, more: Self) -> Self {
        Self { count: self.count + more.count, bytes: self.bytes + more.bytes }
    }
}
