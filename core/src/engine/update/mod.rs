//! Update: swaps a group's configuration, exactly once or a truthful "unknown".
//!
//! ```text
//! Reading ─▶ Proposing ─▶ Swapping ─▶ Done
//!    ▲           ▲         │  │  ▲
//!    └─ Pausing ◀┼── lost ─┘  │  │ the guard still stands
//!                │  unanswered│  │
//!                │            ▼  │
//!                └─ lost ── Looking ─▶ Searching ─▶ Done, Unknown, or lost
//! ```
//!
//! Each round is one operation: an id of its own, written with the record, and one guard, the mod
//! revision of the record that the application was shown. All attempts of an operation are the
//! same, so at most one of them is ever applied, also one that arrives long after it was given up.
//!
//! After an attempt without an answer and a guard above 0, the *first* change of the key after the
//! guard tells all: ours, and it was applied there; anybody else's, or a delete, and it was not
//! applied and never will be. While the guard still stands, the attempt may still arrive: the same
//! one is sent again. Layouts without room for an id know only that other bytes are not ours.
//!
//! Revisions mean something within one history of the store. When another one begins (`epoch`), what
//! is in doubt ends as unknown, and what is not begins anew.
//!
//! A guard of 0 says "absent", and that comes back with each delete. So a creation is attempted
//! once, and without an answer it is never called lost: either its id is found in the key's
//! history, or the outcome is unknown.

mod search;
mod swap;
mod task;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use self::task::{Flow, State, Task};
use super::OpId;
use super::cx::{Cx, Idle};
use super::input::Proposal;
use super::output::{Event, UpdateOutcome};
use crate::name::GroupName;
use crate::rng::Rng;
use crate::time::Time;
use crate::waist::{AttemptId, Reply};

/// All updates of one process that have not ended.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Updates {
    /// Draws the operations' ids.
    rng: Rng,
    tasks: BTreeMap<OpId, (Task, State)>,
}

impl Updates {
    pub fn new(rng: Rng) -> Self {
        Self { rng, tasks: BTreeMap::new() }
    }

    /// `idle`: of calls and updates.
    pub fn start(
        &mut self,
        cx: &mut Cx<'_>,
        idle: Idle,
        id: OpId,
        group: GroupName,
        within: Duration,
    ) {
        if self.tasks.contains_key(&id) {
            return;
        }
        let begun = cx.busy(idle, 0).map_or_else(
            || Task::begin(cx, id, group, within),
            |error| Err(UpdateOutcome::Failed { error }),
        );
        match begun {
            Ok(begun) => drop(self.tasks.insert(id, begun)),
            Err(outcome) => cx.event(Event::Updated { id, outcome }),
        }
    }

    pub fn proposed(&mut self, cx: &mut Cx<'_>, id: OpId, proposal: Proposal) {
        let Self { rng, tasks } = self;
        step(tasks, cx, id, |task, cx, state| task.proposed(cx, rng, state, proposal));
    }

    pub fn abandon(&mut self, cx: &mut Cx<'_>, id: OpId) {
        if let Some((_, state)) = self.tasks.remove(&id) {
            state.leave(cx);
        }
    }

    pub fn close(&mut self, cx: &mut Cx<'_>) {
        for (id, (task, state)) in std::mem::take(&mut self.tasks) {
            let outcome = task.closed(state.leave(cx));
            cx.event(Event::Updated { id, outcome });
        }
    }

    /// The store is another one, or has lost what it had.
    pub fn new_epoch(&mut self, cx: &mut Cx<'_>) {
        let ids: Vec<_> = self.tasks.keys().copied().collect();
        for id in ids {
            step(&mut self.tasks, cx, id, Task::new_epoch);
        }
    }

    pub fn on_reply(&mut self, cx: &mut Cx<'_>, id: OpId, attempt: AttemptId, reply: Reply) {
        step(&mut self.tasks, cx, id, |task, cx, state| task.on_reply(cx, state, attempt, reply));
    }

    pub fn on_timer(&mut self, cx: &mut Cx<'_>) {
        let due = |(task, state): &(Task, State)| task.wakes_at(state) <= cx.now;
        let due: Vec<OpId> =
            self.tasks.iter().filter(|(_, pair)| due(pair)).map(|(&id, _)| id).collect();
        for id in due {
            step(&mut self.tasks, cx, id, Task::on_timer);
        }
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.tasks.values().map(|(task, state)| task.wakes_at(state)).min()
    }

    /// Those that have no request in flight. What they will write is not known yet, and at most one
    /// record.
    pub fn idle(&self) -> Idle {
        let count = self.tasks.values().filter(|(_, state)| !state.in_flight()).count();
        Idle { count, bytes: 0 }
    }
}

/// Takes one input to one update, if it has not ended.
fn step<'a>(
    tasks: &mut BTreeMap<OpId, (Task, State)>,
    cx: &mut Cx<'a>,
    id: OpId,
    input: impl FnOnce(&mut Task, &mut Cx<'a>, State) -> Flow,
) {
    let Some((mut task, state)) = tasks.remove(&id) else {
        return;
    };
    match input(&mut task, cx, state) {
        ControlFlow::Continue(state) => drop(tasks.insert(id, (task, state))),
        ControlFlow::Break(outcome) => cx.event(Event::Updated { id, outcome }),
    }
}
