//! What is broken about followers.

use portolan_core::engine::{Command, Event, Followed, Input, Output, Setup};

use super::memory::Memory;

pub(super) fn twice(_: &mut Memory, output: Output) -> Vec<Output> {
    if let Output::Event(Event::Followed { what: Followed::Changes { .. }, .. }) = &output {
        return vec![output.clone(), output];
    }
    vec![output]
}

pub(super) fn gap_untold(memory: &mut Memory, output: Output) -> Vec<Output> {
    if let Output::Event(Event::Followed { id, seq, what: Followed::Gap { .. } }) = &output {
        let (id, seq) = (*id, *seq);
        memory.answer(Input::Command(Command::Acknowledge { id, seq }));
        return Vec::new();
    }
    vec![output]
}

pub(super) fn boundless(setup: &mut Setup) {
    (setup.tuning.follow_events, setup.tuning.follow_bytes) = (u32::MAX, u32::MAX);
}

pub(super) fn falls_silent(memory: &mut Memory, output: Output) -> Vec<Output> {
    if let Output::Event(Event::Followed { id, .. }) = &output {
        let told = memory.followed.entry(*id).or_default();
        *told += 1;
        if *told > 3 {
            return Vec::new();
        }
    }
    vec![output]
}
