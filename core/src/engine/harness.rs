//! Drives an engine in tests, and writes down what goes in and out.

use std::time::Duration;

use super::{Command, Engine, Input, Setup};
use crate::time::Time;
use crate::waist::{AttemptId, Reply};

pub(crate) struct Harness {
    pub engine: Engine,
    pub now: Time,
    pub lines: Vec<String>,
}

impl Harness {
    pub fn with(setup: Setup) -> Self {
        Self { engine: Engine::new(Time::ZERO, setup), now: Time::ZERO, lines: Vec::new() }
    }

    pub fn command(&mut self, command: Command) -> &mut Self {
        self.handle(Input::Command(command))
    }

    pub fn reply(&mut self, attempt: u64, reply: Reply) -> &mut Self {
        self.handle(Input::Reply { attempt: AttemptId(attempt), reply })
    }

    pub fn handle(&mut self, input: Input) -> &mut Self {
        self.lines.push(format!("{} < {input}", self.now));
        self.engine.handle(self.now, input);
        self.drain();
        self
    }

    pub fn wait(&mut self, span: Duration) -> &mut Self {
        let end = self.now + span;
        while let Some(due) = self.engine.poll_timeout().filter(|&due| due <= end) {
            self.now = due;
            self.engine.handle(due, Input::Tick);
            self.drain();
        }
        self.now = end;
        self
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            self.lines.push(format!("{} > {output}", self.now));
        }
    }

    pub fn trace(&self) -> String {
        self.lines.join("\n")
    }

    pub fn end(&self) -> &str {
        self.lines.last().expect("something happened")
    }
}
