//! What is broken about directories.

use std::sync::Arc;

use portolan_core::engine::{
    Change, Event, Freshness, Input, Output, Record, Setup, Snapshot, Step, StepCause,
};
use portolan_core::waist::{
    AttemptId, EventKind, KeyEvent, Reply, Request, Revision, StoreError, Watch, WatchReply,
    WatchSay,
};

use super::memory::Memory;

/// What is left of a watch's answer.
fn of_watch(
    input: Input,
    keep: impl FnOnce(AttemptId, WatchReply) -> Vec<WatchReply>,
) -> Vec<Input> {
    match input {
        Input::Reply { attempt, reply: Reply::Watch(reply) } => keep(attempt, reply)
            .into_iter()
            .map(|reply| Input::Reply { attempt, reply: Reply::Watch(reply) })
            .collect(),
        other => vec![other],
    }
}

pub(super) fn deaf(_: &mut Memory, input: Input) -> Vec<Input> {
    of_watch(input, |_, _| Vec::new())
}

pub(super) fn without_deletes(_: &mut Memory, input: Input) -> Vec<Input> {
    of_watch(input, |_, mut reply| {
        reply.events.retain(|event| event.kind != EventKind::Delete);
        vec![reply]
    })
}

pub(super) fn torn(_: &mut Memory, input: Input) -> Vec<Input> {
    of_watch(input, |_, mut reply| {
        let inside = |two: &[KeyEvent]| two[0].kv.mod_revision == two[1].kv.mod_revision;
        let Some(at) = reply.events.windows(2).position(inside) else { return vec![reply] };
        let rest = WatchReply { events: reply.events.split_off(at + 1), ..reply.clone() };
        vec![WatchReply { fragment: false, ..reply }, rest]
    })
}

pub(super) fn first_answer_swallowed(memory: &mut Memory, input: Input) -> Vec<Input> {
    let Memory { asked, opened, swallowed, .. } = memory;
    of_watch(input, |attempt, mut reply| {
        let Some(Request::Watch(watch)) = asked.get(&attempt) else { return vec![reply] };
        let again = opened.get(&watch.keys).is_some_and(|&opened| opened > 1);
        let Some(first) = reply.events.first().map(|event| event.kv.mod_revision) else {
            return vec![reply];
        };
        if !again || !swallowed.insert(attempt) {
            return vec![reply];
        }
        reply.events.retain(|event| event.kv.mod_revision != first);
        if reply.events.is_empty() { Vec::new() } else { vec![reply] }
    })
}

/// Whether an input says that history is gone.
fn is_compacted(input: &Input) -> bool {
    match input {
        Input::Reply { reply: Reply::Watch(reply), .. } => {
            reply.canceled && reply.compact_revision > Revision::ZERO
        }
        Input::Reply { reply: Reply::Failed(error), .. } => *error == StoreError::Compacted,
        _ => false,
    }
}

pub(super) fn compaction_unheard(_: &mut Memory, input: Input) -> Vec<Input> {
    if is_compacted(&input) { Vec::new() } else { vec![input] }
}

pub(super) fn compaction_heard(memory: &mut Memory, input: Input) -> Vec<Input> {
    memory.compacted = is_compacted(&input);
    vec![input]
}

pub(super) fn live_where_compacted(memory: &mut Memory, mut output: Output) -> Vec<Output> {
    if let (true, Output::Event(Event::Freshness { snapshot, .. })) =
        (memory.compacted, &mut output)
    {
        snapshot.freshness = Freshness::Live;
    }
    vec![output]
}

pub(super) fn silent_where_compacted(memory: &mut Memory, output: Output) -> Vec<Output> {
    let told = matches!(output, Output::Event(Event::Freshness { .. }));
    if memory.compacted && told { Vec::new() } else { vec![output] }
}

pub(super) fn step_from_behind(memory: &mut Memory, input: Input) -> Vec<Input> {
    if let Input::Reply { attempt, reply: Reply::Watch(reply) } = &input
        && let (true, Some(Request::Watch(watch))) = (reply.created, memory.asked.get(attempt))
    {
        let shows = |id| memory.shown.get(id).is_some_and(|keys| keys.contains(&watch.keys));
        let behind = memory
            .steps
            .iter()
            .find(|(id, step)| shows(*id) && step.snapshot.revision > reply.header.revision);
        if let Some((&id, step)) = behind {
            let step = Step { cause: StepCause::Watched, ..step.clone() };
            memory.say_more(Output::Event(Event::Stepped { id, step }));
        }
    }
    vec![input]
}

/// Has watches that are opened begin elsewhere.
fn opened(mut output: Output, start: impl FnOnce(&Watch) -> Revision) -> Vec<Output> {
    if let Output::Send {
        request: Request::Watch(watch) | Request::OnWatch { say: WatchSay::Create(watch), .. },
        ..
    } = &mut output
    {
        watch.start = start(watch);
    }
    vec![output]
}

pub(super) fn watch_one_later(_: &mut Memory, output: Output) -> Vec<Output> {
    opened(output, |watch| watch.start.next())
}

pub(super) fn header_for_cursor(memory: &mut Memory, output: Output) -> Vec<Output> {
    let newest = memory.newest;
    opened(output, |watch| watch.start.max(newest))
}

pub(super) fn trusts_too_long(setup: &mut Setup) {
    setup.tuning.probe_after *= 10;
}

/// Changes the steps that directories tell.
fn stepped(output: Output, change: impl FnOnce(&mut Step)) -> Vec<Output> {
    match output {
        Output::Event(Event::Stepped { id, mut step }) => {
            change(&mut step);
            vec![Output::Event(Event::Stepped { id, step })]
        }
        other => vec![other],
    }
}

pub(super) fn old_step_again(memory: &mut Memory, output: Output) -> Vec<Output> {
    let Output::Event(Event::Stepped { id, .. }) = &output else { return vec![output] };
    let id = *id;
    let before = memory.steps.get(&id).cloned();
    let again = before.map(|step| Output::Event(Event::Stepped { id, step }));
    [output].into_iter().chain(again).collect()
}

pub(super) fn last_change_twice(_: &mut Memory, output: Output) -> Vec<Output> {
    stepped(output, |step| step.changes.extend(step.changes.last().cloned()))
}

pub(super) fn lacks_where_it_stays(_: &mut Memory, mut output: Output) -> Vec<Output> {
    if let Output::Event(Event::Freshness { snapshot, .. }) = &mut output {
        lack(snapshot);
    }
    vec![output]
}

pub(super) fn every_fifth_lacks(memory: &mut Memory, mut output: Output) -> Vec<Output> {
    let (id, snapshot) = match &mut output {
        Output::Event(Event::Stepped { id, step }) => (id, &mut step.snapshot),
        Output::Event(Event::Freshness { id, snapshot } | Event::Guard { id, snapshot, .. }) => {
            (id, snapshot)
        }
        _ => return vec![output],
    };
    if snapshot.freshness != Freshness::Unsynced {
        let said = memory.said.entry(*id).or_default();
        *said += 1;
        if said.is_multiple_of(5) {
            lack(snapshot);
        }
    }
    vec![output]
}

/// Takes a record away.
fn lack(snapshot: &mut Snapshot) {
    let last = snapshot.records.last().map(|(key, _)| key.clone());
    last.and_then(|key| snapshot.records.remove(&key));
}

pub(super) fn leases_forgotten(_: &mut Memory, output: Output) -> Vec<Output> {
    let forget = |record: &mut Arc<Record>| Arc::make_mut(record).lease = None;
    stepped(output, |step| {
        for change in &mut step.changes {
            match change {
                Change::Added { record, .. } | Change::Updated { record, .. } => forget(record),
                Change::Removed { .. } => {}
            }
        }
    })
}
