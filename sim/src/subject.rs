//! What is tried in a process: something that hears inputs and says outputs, as an engine does.

use portolan_core::Time;
use portolan_core::engine::{Engine, Input, Output, Setup};

use crate::canary::{Breakage, Broken};
use crate::naive::Naive;
use crate::plan::SubjectKind;

/// What is tried in a process.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) enum Subject {
    /// The engine that production runs.
    Engine(Box<Engine>),
    /// The same, with something broken around it.
    Broken(Box<Broken>),
    /// A client as another fleet has it.
    Naive(Box<Naive>),
}

impl Subject {
    pub fn new(kind: SubjectKind, setup: Setup, broken: Option<Breakage>) -> Self {
        match (kind, broken) {
            (SubjectKind::Engine, None) => Self::Engine(Box::new(Engine::new(Time::ZERO, setup))),
            (SubjectKind::Engine, Some(breakage)) => {
                Self::Broken(Box::new(Broken::new(breakage, setup)))
            }
            (SubjectKind::Naive(fleet), _) => Self::Naive(Box::new(Naive::new(fleet, setup))),
        }
    }

    /// What stands in its records, to tell its runs apart.
    pub fn stamp(&self) -> u64 {
        match self {
            Self::Engine(engine) => engine.run(),
            Self::Naive(naive) => naive.run(),
            Self::Broken(broken) => broken.stamp(),
        }
    }

    pub fn handle(&mut self, now: Time, input: Input) {
        match self {
            Self::Engine(engine) => engine.handle(now, input),
            Self::Naive(naive) => naive.handle(now, input),
            Self::Broken(broken) => broken.handle(now, input),
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Engine(engine) => engine.poll_output(),
            Self::Naive(naive) => naive.poll_output(),
            Self::Broken(broken) => broken.poll_output(),
        }
    }

    pub fn poll_timeout(&self) -> Option<Time> {
        match self {
            Self::Engine(engine) => engine.poll_timeout(),
            Self::Naive(naive) => naive.poll_timeout(),
            Self::Broken(broken) => broken.poll_timeout(),
        }
    }
}
