//! What is broken about pauses, deadlines and ends.

use std::time::Duration;

use portolan_core::engine::{Command, Event, Input, Output, Setup};
use portolan_core::waist::{MemberId, Reply, Request, StoreError};

use super::holds::renew;
use super::memory::Memory;

pub(super) fn no_pause(setup: &mut Setup) {
    let tuning = &mut setup.tuning;
    let pause = Duration::from_millis(1);
    (tuning.backoff_base, tuning.backoff_cap, tuning.backoff_slow_cap) = (pause, pause, pause);
}

pub(super) fn open_is_well(setup: &mut Setup) {
    setup.tuning.healthy_after = Duration::ZERO;
}

pub(super) fn ends_what_opens(memory: &mut Memory, input: Input) -> Vec<Input> {
    let opened = match &input {
        Input::Reply { attempt, reply: Reply::Watch(reply) } if reply.created => Some(*attempt),
        _ => None,
    };
    let ends = opened.map(|attempt| {
        memory.say_more(Output::Cancel { attempt });
        let error = StoreError::ConnectionLost { detail: "it was ended".to_owned() };
        Input::Reply { attempt, reply: Reply::Failed(error) }
    });
    [input].into_iter().chain(ends).collect()
}

/// Sends a request so many times more.
fn flood(
    memory: &mut Memory,
    output: Output,
    times: u32,
    of: impl Fn(&Memory, &Request) -> bool,
) -> Vec<Output> {
    let again = match &output {
        Output::Send { request, .. } if of(memory, request) => Some(request.clone()),
        _ => None,
    };
    let again = again.into_iter().flat_map(|request| (1..times).map(move |_| request.clone()));
    let more: Vec<_> = again.map(|request| memory.send(request)).collect();
    [output].into_iter().chain(more).collect()
}

pub(super) fn calls_flood(memory: &mut Memory, output: Output) -> Vec<Output> {
    flood(memory, output, 1_200, Memory::is_of_call)
}

pub(super) fn reads_fiftyfold(memory: &mut Memory, output: Output) -> Vec<Output> {
    flood(memory, output, 50, |_, request| matches!(request, Request::Range(_)))
}

pub(super) fn asks_again(memory: &mut Memory, input: Input) -> Vec<Input> {
    if let Input::Reply { attempt, reply: Reply::Failed(error) } = &input
        && error.is_permanent()
        && let Some(request) = memory.asked.get(attempt).filter(|asked| memory.is_of_call(asked))
    {
        let again = memory.send(request.clone());
        memory.say_more(again);
    }
    vec![input]
}

pub(super) fn over_deadline(_: &mut Memory, mut input: Input) -> Vec<Input> {
    if let Input::Command(
        Command::Update { within, .. }
        | Command::Call { within, .. }
        | Command::Deregister { within, .. }
        | Command::Shutdown { within },
    ) = &mut input
    {
        *within += Duration::from_secs(1);
    }
    vec![input]
}

pub(super) fn never_cancels(_: &mut Memory, output: Output) -> Vec<Output> {
    if matches!(output, Output::Cancel { .. }) { Vec::new() } else { vec![output] }
}

pub(super) fn renews_after_closing(memory: &mut Memory, output: Output) -> Vec<Output> {
    let closed = matches!(output, Output::Event(Event::Closed { .. }));
    let lease = memory.last_lease.filter(|_| closed);
    let more = lease.map(|lease| memory.send(renew(lease)));
    [output].into_iter().chain(more).collect()
}

pub(super) fn ends_untold(_: &mut Memory, output: Output) -> Vec<Output> {
    let end = matches!(output, Output::Event(Event::Updated { .. } | Event::Called { .. }));
    if end { Vec::new() } else { vec![output] }
}

pub(super) fn asks_one_member(_: &mut Memory, mut output: Output) -> Vec<Output> {
    if let Output::Send { member, .. } = &mut output {
        *member = MemberId(0);
    }
    vec![output]
}
