//! What is tried in a process: something that hears inputs and says outputs, as an engine does.

use portolan_core::Time;
use portolan_core::engine::{Engine, Input, Output, Setup};

/// What is tried in a process.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) enum Subject {
    /// The engine that production runs.
    Engine(Engine),
}

impl Subject {
    pub fn new(setup: Setup) -> Self {
        Self::Engine(Engine::new(Time::ZERO, setup))
    }

    /// What stands in its records, to tell its runs apart.
    pub fn stamp(&self) -> u64 {
        match self {
            Self::Engine(engine) => engine.run(),
        }
    }

    pub fn handle(&mut self, now: Time, input: Input) {
        match self {
            Self::Engine(engine) => engine.handle(now, input),
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Engine(engine) => engine.poll_output(),
        }
    }

    pub fn poll_timeout(&self) -> Option<Time> {
        match self {
            Self::Engine(engine) => engine.poll_timeout(),
        }
    }
}
