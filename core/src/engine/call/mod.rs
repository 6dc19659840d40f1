//! Calls: one request with a deadline, repeated only where that is safe.
//!
//! ```text
//! Waiting ⇄ Pausing, until an answer, a permanent error, a doubt, or the deadline
//! ```
//!
//! A read is repeated after anything that is not permanent. A write is repeated only when the
//! failure proves that it was not done: a write that may still be on its way must not be sent
//! twice, so its outcome is reported as unknown.

mod check;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::ControlFlow::{self, Break, Continue};
use std::time::Duration;

use super::OpId;
use super::cx::{Cx, Idle};
use super::output::{CallError, Event};
use super::retry::Backoff;
use super::wire::Owner;
use crate::rng::Rng;
use crate::time::Time;
use crate::waist::{AttemptId, Certainty, Op, Reply, Request, StoreError, Txn};

/// All calls of one process that have not ended.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Calls {
    calls: BTreeMap<OpId, (Call, State)>,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Call {
    id: OpId,
    request: Request,
    /// Of keys and values in it.
    bytes: usize,
    writes: bool,
    /// No attempt starts at it or later, and it is answered by then.
    deadline: Time,
    backoff: Backoff,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
enum State {
    /// Sent, not answered. The wire gives up at the call's deadline.
    Waiting { attempt: AttemptId },
    /// Surely not done; the same again at `until`.
    Pausing { until: Time, error: StoreError },
}

type Flow = ControlFlow<Result<Reply, CallError>, State>;

impl Calls {
    /// Calls need no chance of their own: the wire draws their pauses.
    pub fn new(_: Rng) -> Self {
        Self { calls: BTreeMap::new() }
    }

    /// `idle`: of calls and updates.
    pub fn start(
        &mut self,
        cx: &mut Cx<'_>,
        idle: Idle,
        id: OpId,
        request: Request,
        within: Duration,
    ) {
        if self.calls.contains_key(&id) {
            return;
        }
        match begin(cx, idle, id, request, within) {
            Ok(begun) => drop(self.calls.insert(id, begun)),
            Err(error) => cx.event(Event::Called { id, result: Err(error) }),
        }
    }

    pub fn abandon(&mut self, cx: &mut Cx<'_>, id: OpId) {
        if let Some((_, state)) = self.calls.remove(&id) {
            state.cancel(cx);
        }
    }

    pub fn close(&mut self, cx: &mut Cx<'_>) {
        for (id, (call, state)) in std::mem::take(&mut self.calls) {
            let sent = state.cancel(cx);
            let error = if sent && call.writes {
                CallError::Unknown(StoreError::GaveUp)
            } else {
                CallError::Closed
            };
            cx.event(Event::Called { id, result: Err(error) });
        }
    }

    pub fn on_reply(&mut self, cx: &mut Cx<'_>, id: OpId, reply: Reply) {
        self.step(cx, id, |call, cx, state| call.on_reply(cx, state, reply));
    }

    pub fn on_timer(&mut self, cx: &mut Cx<'_>) {
        let due =
            |(call, state): &(Call, State)| call.wakes_at(state).is_some_and(|at| at <= cx.now);
        let due: Vec<OpId> =
            self.calls.iter().filter(|(_, pair)| due(pair)).map(|(&id, _)| id).collect();
        for id in due {
            self.step(cx, id, Call::on_timer);
        }
    }

    pub fn idle(&self) -> Idle {
        let pausing = self.calls.values().filter(|(_, state)| state.is_pausing());
        pausing
            .fold(Idle::default(), |idle, (call, _)| idle.and(Idle { count: 1, bytes: call.bytes }))
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.calls.values().filter_map(|(call, state)| call.wakes_at(state)).min()
    }

    /// Takes one input to one call, if it has not ended.
    fn step<'a>(
        &mut self,
        cx: &mut Cx<'a>,
        id: OpId,
        input: impl FnOnce(&mut Call, &mut Cx<'a>, State) -> Flow,
    ) {
        let Some((mut call, state)) = self.calls.remove(&id) else {
            return;
        };
        match input(&mut call, cx, state) {
            Continue(state) => drop(self.calls.insert(id, (call, state))),
            Break(result) => cx.event(Event::Called { id, result }),
        }
    }
}

fn begin(
    cx: &mut Cx<'_>,
    idle: Idle,
    id: OpId,
    request: Request,
    within: Duration,
) -> Result<(Call, State), CallError> {
    let bytes = check::check(&request).map_err(|reason| CallError::Invalid { reason })?;
    if let Some(busy) = cx.busy(idle, bytes) {
        return Err(busy);
    }
    if within.is_zero() {
        return Err(CallError::NotDone(StoreError::GaveUp));
    }
    let writes = writes(&request);
    let deadline = cx.now + within;
    let call = Call { id, request, bytes, writes, deadline, backoff: Backoff::default() };
    let state = call.send(cx);
    Ok((call, state))
}

impl Call {
    /// Of a call one attempt is in flight at most, so an answer is that one's.
    fn on_reply(&mut self, cx: &mut Cx<'_>, state: State, reply: Reply) -> Flow {
        match (state, reply) {
            (State::Waiting { .. }, Reply::Failed(error)) => self.on_failed(cx, error),
            (State::Waiting { .. }, reply) => Break(Ok(reply)),
            (state @ State::Pausing { .. }, _) => Continue(state),
        }
    }

    /// To be called when it wakes, no sooner.
    fn on_timer(&mut self, cx: &mut Cx<'_>, state: State) -> Flow {
        match state {
            State::Pausing { error, .. } if cx.now >= self.deadline => {
                Break(Err(CallError::NotDone(error)))
            }
            State::Pausing { .. } => Continue(self.send(cx)),
            State::Waiting { .. } => Continue(state),
        }
    }

    fn on_failed(&mut self, cx: &mut Cx<'_>, error: StoreError) -> Flow {
        if error.is_permanent() || self.in_doubt(&error) {
            return Break(Err(self.failure(error)));
        }
        match cx.wire.retry_before(self.deadline, cx.now, cx.tuning, &mut self.backoff) {
            Some(until) => Continue(State::Pausing { until, error }),
            None => Break(Err(self.failure(error))),
        }
    }

    fn failure(&self, error: StoreError) -> CallError {
        if self.in_doubt(&error) { CallError::Unknown(error) } else { CallError::NotDone(error) }
    }

    /// Whether an attempt that failed so may have been applied, or may be later.
    fn in_doubt(&self, error: &StoreError) -> bool {
        self.writes && error.certainty() == Certainty::Unknown
    }

    fn send(&self, cx: &mut Cx<'_>) -> State {
        debug_assert!(cx.now < self.deadline, "no attempt starts after the deadline");
        let limit = self.deadline.since(cx.now);
        let attempt = cx.send_within(Owner::Call(self.id), self.request.clone(), limit);
        State::Waiting { attempt }
    }

    fn wakes_at(&self, state: &State) -> Option<Time> {
        match state {
            State::Waiting { .. } => None,
            State::Pausing { until, .. } => Some(self.deadline.min(*until)),
        }
    }
}

impl State {
    fn is_pausing(&self) -> bool {
        matches!(self, Self::Pausing { .. })
    }

    /// Stops waiting; what reached the store stays applied. Whether anything had left.
    fn cancel(&self, cx: &mut Cx<'_>) -> bool {
        match self {
            Self::Waiting { attempt } => cx.take_back(*attempt),
            Self::Pausing { .. } => false,
        }
    }
}

/// Whether a request may change what the store holds: records, history or leases.
fn writes(request: &Request) -> bool {
    match request {
        Request::Range(_)
        | Request::TimeToLive(_)
        | Request::Leases
        | Request::Status
        | Request::Members => false,
        Request::Txn(txn) => txn_writes(txn),
        Request::Put(_)
        | Request::Delete(_)
        | Request::Compact(_)
        | Request::Grant(_)
        | Request::Revoke(_)
        | Request::KeepAlive(_)
        | Request::Watch(_)
        | Request::OnWatch { .. }
        | Request::Authenticate => true,
    }
}

fn txn_writes(txn: &Txn) -> bool {
    txn.then.iter().chain(&txn.or_else).any(|op| match op {
        Op::Range(_) => false,
        Op::Put(_) | Op::Delete(_) => true,
        Op::Txn(txn) => txn_writes(txn),
    })
}
