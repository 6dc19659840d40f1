//! What is tried in a process: something that hears inputs and says outputs, as an engine does.

use portolan_core::Time;
use portolan_core::engine::{Engine, Input, Output, Setup};

use crate::naive::Naive;
use crate::plan::SubjectKind;

/// What is tried in a process.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
#[expect(clippy::large_enum_variant, reason = "a world has few, and nearly all are engines")]
pub(crate) enum Subject {
    /// The engine that production runs.
    Engine(Engine),
    /// A client as another fleet has it.
    Naive(Naive),
}

impl Subject {
    pub fn new(kind: SubjectKind, setup: Setup) -> Self {
        match kind {
            SubjectKind::Engine => Self::Engine(Engine::new(Time::ZERO, setup)),
            SubjectKind::Naive(fleet) => Self::Naive(Naive::new(fleet, setup)),
        }
    }

    /// What stands in its records, to tell its runs apart.
    pub fn stamp(&self) -> u64 {
        match self {
            Self::Engine(engine) => engine.run(),
            Self::Naive(naive) => naive.run(),
        }
    }

    pub fn handle(&mut self, now: Time, input: Input) {
        match self {
            Self::Engine(engine) => engine.handle(now, input),
            Self::Naive(naive) => naive.handle(now, input),
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Engine(engine) => engine.poll_output(),
            Self::Naive(naive) => naive.poll_output(),
        }
    }

    pub fn poll_timeout(&self) -> Option<Time> {
        match self {
            Self::Engine(engine) => engine.poll_timeout(),
            Self::Naive(naive) => naive.poll_timeout(),
        }
    }
}
