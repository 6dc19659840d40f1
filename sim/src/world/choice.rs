//! What can happen next, when it is not the clock that decides.
//!
//! [`World::step`] takes what is earliest. Whoever wants to see every order asks for the
//! [`choices`](World::choices) instead, and has one of them happen: then messages travel as long as
//! one likes, overtake each other (but for those of one stream), or are lost, and time passes only
//! when one lets it, to the next moment for which something waits.

use std::fmt;

use portolan_core::Time;
use portolan_core::engine::Input;
use portolan_memory as memory;

use super::World;
use crate::plan::Way;
use crate::queue::Happening;

/// One of the things that can happen next.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum Choice {
    /// What is under way under this number comes to where it goes.
    Comes(u64),
    /// The message under this number, of a call, is lost, and nobody is told.
    Lost(u64),
    /// Time goes on to when the next one waits for it, and it has its turn.
    Passes(Timer),
}

/// Who waits for a time. Of several whose time is the same, each may be the first.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum Timer {
    /// A client for a sign of life on its connection, or the store for the end of one.
    Wire(u64),
    /// The store.
    Store,
    /// A process.
    Process(u16),
}

impl World {
    /// All that can happen next, the steps of the plan left aside. Of several that are alike, one:
    /// messages of one stream come in their order.
    pub fn choices(&self) -> Vec<Choice> {
        let mut choices = Vec::new();
        let mut before = None;
        for ((_, number), happening) in self.queue.iter() {
            let minded = self.wire.minds(happening) && !happening.is_timed();
            if !minded || before == Some(happening) {
                continue;
            }
            before = Some(happening);
            choices.push(Choice::Comes(number));
            if let &Happening::Arrive { client, way, attempt } = happening
                && self.wire.could_lose(client, way, attempt).is_some()
            {
                choices.push(Choice::Lost(number));
            }
        }
        let next = self.timers().map(|(at, _)| at.max(self.now)).min();
        let first = self.timers().filter(|&(at, _)| Some(at.max(self.now)) == next);
        choices.extend(first.map(|(_, timer)| Choice::Passes(timer)));
        choices
    }

    /// Has one of its [`choices`](Self::choices) happen; nothing, if it is none of them. In which
    /// order what is still under way was sent is forgotten, so that two orders that came to the
    /// same left equal worlds.
    pub fn choose(&mut self, choice: Choice) {
        match choice {
            Choice::Comes(number) => self.come(number),
            Choice::Lost(number) => {
                let lost = self.queue.iter().find(|((_, other), _)| *other == number);
                if let Some((_, &Happening::Arrive { client, way, attempt })) = lost
                    && let Some(end) = self.wire.could_lose(client, way, attempt)
                {
                    self.wire.lose(end, (way, None), 1, false);
                    self.come(number);
                }
            }
            Choice::Passes(timer) => self.pass(timer),
        }
        self.queue.level(self.now);
    }

    /// A choice in words.
    pub fn show(&self, choice: Choice) -> String {
        let shown = |number| {
            let found = self.queue.iter().find(|((_, other), _)| *other == number);
            found.map_or("nothing".to_owned(), |(_, happening)| happening.to_string())
        };
        match choice {
            Choice::Comes(number) => shown(number),
            Choice::Lost(number) => format!("{} is lost", shown(number)),
            Choice::Passes(Timer::Wire(number)) => format!("time passes: {}", shown(number)),
            Choice::Passes(Timer::Store) => "time passes: the store's turn".to_owned(),
            Choice::Passes(Timer::Process(process)) => format!("time passes: p{process}'s turn"),
        }
    }

    fn timers(&self) -> impl Iterator<Item = (Time, Timer)> {
        let wire = self.queue.iter().filter(|(_, it)| it.is_timed() && self.wire.minds(it));
        let wire = wire.map(|((at, number), _)| (at, Timer::Wire(number)));
        let store = self.store.poll_timeout().map(|at| (at, Timer::Store));
        let wakes = self.wakes.iter().map(|&(at, process)| (at, Timer::Process(process)));
        wire.chain(store).chain(wakes)
    }

    fn come(&mut self, number: u64) {
        let place = self.queue.iter().map(|(place, _)| place).find(|&(_, other)| other == number);
        if let Some(place) = place
            && let Some(happening) = self.queue.take(place)
        {
            self.happen(happening);
        }
    }

    fn pass(&mut self, timer: Timer) {
        let Some((at, _)) = self.timers().find(|&(_, other)| other == timer) else { return };
        self.now = self.now.max(at);
        match timer {
            Timer::Wire(number) => self.come(number),
            Timer::Store => self.tell_store(memory::Input::Tick),
            Timer::Process(process) => self.feed(process, Input::Tick),
        }
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arrive { client, way: Way::Up, attempt } => {
                write!(f, "{client} {attempt} arrives")
            }
            Self::Arrive { client, way: Way::Down, attempt } => {
                write!(f, "an answer to {client} {attempt} arrives")
            }
            Self::Detect { client, .. } => write!(f, "{client} is found dead"),
            Self::Hangup { client } => write!(f, "the store misses {client}"),
            Self::Fail { run, attempt, .. } => write!(f, "{run} learns that {attempt} failed"),
            Self::Command { run, command } => write!(f, "{run} decides to {command}"),
        }
    }
}
