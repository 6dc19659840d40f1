//! What is broken about updates of configurations, and about reads.

use portolan_core::engine::{CallError, Event, Output, UpdateOutcome};
use portolan_core::waist::{Op, Request, Target, Txn};

use super::memory::Memory;
use crate::check::ops;

/// Changes how updates are told to end.
fn outcome(mut output: Output, change: fn(&mut UpdateOutcome)) -> Vec<Output> {
    if let Output::Event(Event::Updated { outcome, .. }) = &mut output {
        change(outcome);
    }
    vec![output]
}

pub(super) fn done_told_as_conflict(_: &mut Memory, output: Output) -> Vec<Output> {
    outcome(output, |outcome| {
        if let UpdateOutcome::Done { .. } = outcome {
            *outcome = UpdateOutcome::Conflict;
        }
    })
}

pub(super) fn doubt_told_as_failure(_: &mut Memory, output: Output) -> Vec<Output> {
    outcome(output, |outcome| {
        if let UpdateOutcome::Unknown { error } = outcome {
            *outcome = UpdateOutcome::Failed { error: CallError::NotDone(error.clone()) };
        }
    })
}

pub(super) fn another_guard(memory: &mut Memory, mut output: Output) -> Vec<Output> {
    if let Output::Send { request, .. } = &mut output {
        let puts = ops::writes(request).into_iter().filter_map(|write| write.put);
        let operation = puts.filter_map(|put| memory.layout.operation_of(&put.value)).next();
        let again = operation.is_some_and(|operation| !memory.operations.insert(operation));
        if let (true, Request::Txn(txn)) = (again, request) {
            for compare in &mut txn.compares {
                compare.target = Target::ModRevision(memory.newest);
            }
        }
    }
    vec![output]
}

pub(super) fn compares_nothing(request: &mut Request) {
    if let Request::Txn(Txn { compares, then, .. }) = request {
        let mut puts = then.iter().filter_map(|op| match op {
            Op::Put(put) => Some(put),
            _ => None,
        });
        // What hangs on no lease is no instance.
        if puts.any(|put| put.lease.is_none()) {
            compares.clear();
        }
    }
}

pub(super) fn old_base(memory: &mut Memory, mut output: Output) -> Vec<Output> {
    if let Output::Event(Event::Propose { id, base }) = &mut output
        && let Some(group) = memory.updates.get(id)
    {
        *base = memory.bases.entry(group.clone()).or_insert_with(|| base.clone()).clone();
    }
    vec![output]
}

pub(super) fn asks_any_member(_: &mut Memory, mut output: Output) -> Vec<Output> {
    if let Output::Send { request: Request::Range(range), .. } = &mut output {
        range.serializable = true;
    }
    vec![output]
}
