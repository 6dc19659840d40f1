//! An engine with something broken around it: what it hears, or what it says.

use std::collections::VecDeque;

use portolan_core::Time;
use portolan_core::engine::{Engine, Input, Output, Setup};

use super::Breakage;
use super::memory::Memory;

/// The engine that production runs, and what is broken around it.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Broken {
    engine: Engine,
    breakage: Breakage,
    memory: Memory,
    said: VecDeque<Output>,
}

impl Broken {
    pub fn new(breakage: Breakage, mut setup: Setup) -> Self {
        breakage.prepare(&mut setup);
        let memory = Memory::new(setup.layout.clone());
        let engine = Engine::new(Time::ZERO, setup);
        Self { engine, breakage, memory, said: VecDeque::new() }
    }

    pub fn stamp(&self) -> u64 {
        self.engine.run()
    }

    pub fn handle(&mut self, now: Time, input: Input) {
        self.memory.hear(&input);
        for heard in self.breakage.hear(&mut self.memory, input) {
            self.engine.handle(now, heard);
        }
        loop {
            while let Some(output) = self.memory.next_extra() {
                self.said.push_back(output);
            }
            while let Some(output) = self.engine.poll_output() {
                self.memory.sent(&output);
                let said = self.breakage.say(&mut self.memory, output.clone());
                self.memory.told(output);
                self.said.extend(said);
            }
            let Some(answer) = self.memory.next_answer() else { return };
            self.engine.handle(now, answer);
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.said.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Time> {
        self.engine.poll_timeout()
    }
}
