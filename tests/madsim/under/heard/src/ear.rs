//! Listens to engines, by the seed that each was given.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;
use std::rc::Rc;

use portolan_core::engine::{self, Command, Input, Output, Setup};
use portolan_core::time::Time;
use portolan_core::waist::{AttemptId, Reply};

/// What an engine heard.
#[derive(Debug)]
pub enum Heard<'a> {
    /// It began, and this is the number that it writes into its records.
    Began(u64),
    /// Its application wants something.
    Wanted(&'a Command),
    /// The store answered.
    Answered(AttemptId, &'a Reply),
}

/// Whoever listens.
pub trait Ear {
    /// The engine heard something.
    fn heard(&self, what: &Heard<'_>);

    /// The engine says something. `None`: nobody else is to hear it, and the engine is broken by
    /// that.
    fn said(&self, output: Output) -> Option<Output>;

    /// The driver takes this, to do it now.
    fn handed(&self, output: &Output);
}

thread_local! {
    /// A simulation, with all that runs in it, has one thread.
    static EARS: RefCell<BTreeMap<u64, Rc<dyn Ear>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Listens to the engine that is made with `seed` next.
pub fn listen(seed: u64, ear: Rc<dyn Ear>) {
    EARS.with(|ears| ears.borrow_mut().insert(seed, ear));
}

/// Forgets all who listen, on this thread.
pub fn nobody_listens() {
    EARS.with(|ears| ears.borrow_mut().clear());
}

/// Core's engine. What it says is told to the ear when the engine says it, which is before its driver
/// asks for it.
pub struct Engine {
    inner: engine::Engine,
    seed: u64,
    said: VecDeque<Output>,
}

impl Engine {
    /// As core's.
    pub fn new(now: Time, setup: Setup) -> Self {
        let seed = setup.seed;
        let inner = engine::Engine::new(now, setup);
        let mut engine = Self { inner, seed, said: VecDeque::new() };
        engine.tell(&Heard::Began(engine.inner.run()));
        engine.drain();
        engine
    }

    /// As core's. Timers that are due are let run apart, so that it shows what came of what.
    pub fn handle(&mut self, now: Time, input: Input) {
        if input != Input::Tick && self.inner.poll_timeout().is_some_and(|due| due <= now) {
            self.inner.handle(now, Input::Tick);
            self.drain();
        }
        match &input {
            Input::Command(command) => self.tell(&Heard::Wanted(command)),
            Input::Reply { attempt, reply } => self.tell(&Heard::Answered(*attempt, reply)),
            Input::Tick => {}
        }
        self.inner.handle(now, input);
        self.drain();
    }

    /// As core's.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.said.pop_front()?;
        if let Some(ear) = self.ear() {
            ear.handed(&output);
        }
        Some(output)
    }

    /// As core's.
    pub fn take_disbelieved(&mut self) -> Option<portolan_core::waist::StoreError> {
        self.inner.take_disbelieved()
    }

    fn drain(&mut self) {
        let ear = self.ear();
        while let Some(output) = self.inner.poll_output() {
            let output = match &ear {
                Some(ear) => ear.said(output),
                None => Some(output),
            };
            self.said.extend(output);
        }
    }

    fn tell(&self, what: &Heard<'_>) {
        if let Some(ear) = self.ear() {
            ear.heard(what);
        }
    }

    fn ear(&self) -> Option<Rc<dyn Ear>> {
        EARS.with(|ears| ears.borrow().get(&self.seed).cloned())
    }
}

impl Deref for Engine {
    type Target = engine::Engine;

    fn deref(&self) -> &engine::Engine {
        &self.inner
    }
}
