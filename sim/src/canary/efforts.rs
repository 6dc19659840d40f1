//! What is broken about pauses, deadlines and ends.

use std::time::Duration;

use portolan_core::engine::{Command, Event, Input, Output, Setup};

use super::holds::renew;
use super::memory::Memory;

pub(super) fn no_pause(setup: &mut Setup) {
    let tuning = &mut setup.tuning;
    let pause = Duration::from_millis(1);
    (tuning.backoff_base, tuning.backoff_cap, tuning.backoff_slow_cap) = (pause, pause, pause);
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
