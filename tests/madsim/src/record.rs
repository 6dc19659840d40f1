//! The trace of a run, as it comes about: what the engines hear and say, what the store does, what is
//! done to the hosts; and the simulator's checks over it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use portolan_core::Time;
use portolan_core::engine::{Event, OpId, Output};
use portolan_core::waist::{Op, Request, Revision};
use portolan_heard::{Ear, Heard};
use portolan_memory::{Change, LeaseChange, LeaseStep};
use portolan_sim::trace::{Entry, TraceHash, What};
use portolan_sim::{Checks, Clock, Property, Run};
use portolan_wire::Etcd;
use tokio::time::Instant;

use crate::authors::Authors;
use crate::plan::Breakage;

/// The trace so far.
pub struct Record {
    started: Instant,
    last: Time,
    etcd: Etcd,
    /// How much of the store's log was told.
    told: (usize, usize),
    compacted: Option<Revision>,
    authors: Authors,
    over: BTreeSet<Run>,
    /// Runs that were shut down.
    closed: BTreeSet<Run>,
    /// Runs whose hosts go on, and that have not stirred yet.
    waking: BTreeSet<Run>,
    /// The update that each run's application is asked about now.
    asked: Option<(Run, OpId)>,
    /// What the store did that nobody had asked for.
    pub strays: Vec<String>,
    /// The checks.
    pub checks: Checks,
    /// The trace's hash.
    pub hash: TraceHash,
    /// All of it.
    pub entries: Vec<Entry>,
}

thread_local! {
    /// A simulation has one thread, and its tasks cannot hand this on: they have to be `Send`.
    static RECORD: RefCell<Option<Record>> = const { RefCell::new(None) };
}

/// Begins the record of this thread.
pub fn begin(etcd: Etcd, started: Instant, held_to: &[Property]) {
    let record = Record {
        started,
        last: Time::ZERO,
        etcd,
        told: (0, 0),
        compacted: None,
        authors: Authors::default(),
        over: BTreeSet::new(),
        closed: BTreeSet::new(),
        waking: BTreeSet::new(),
        asked: None,
        strays: Vec::new(),
        checks: Checks::of(held_to),
        hash: TraceHash::EMPTY,
        entries: Vec::new(),
    };
    RECORD.with(|place| place.replace(Some(record)));
}

/// Takes this thread's record away.
pub fn end() -> Option<Record> {
    portolan_heard::nobody_listens();
    RECORD.with(RefCell::take)
}

/// Something happened.
pub fn note(what: What) {
    with(|record| record.note(what));
}

/// Looks at the record, after all that the store has done.
pub fn with<T>(look: impl FnOnce(&mut Record) -> T) -> Option<T> {
    RECORD.with(|place| {
        let mut place = place.borrow_mut();
        let record = place.as_mut()?;
        record.hear_store();
        Some(look(record))
    })
}

/// Listens to the engine of a run, which is made with this seed.
pub fn listen(run: Run, seed: u64, broken: Option<Breakage>) {
    portolan_heard::listen(seed, Rc::new(Listener { run, broken, told: RefCell::default() }));
}

/// The update whose closure is called now.
pub fn asked(run: Run) -> u64 {
    let asked = with(|record| record.asked.filter(|(of, _)| *of == run)).flatten();
    asked.map_or(0, |(_, op)| op.0)
}

impl Record {
    /// Since the world began.
    pub fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    /// Whether a run was shut down.
    pub fn is_closed(&self, run: Run) -> bool {
        self.closed.contains(&run)
    }

    fn note(&mut self, what: What) {
        if run_of(&what).is_some_and(|run| self.over.contains(&run)) {
            // Its host is dead; madsim drops what runs there a moment later.
            return;
        }
        if let Some(run) = run_of(&what).filter(|run| self.waking.remove(run)) {
            self.push(self.now(), What::Resumed(run));
        }
        match &what {
            What::Sent { run, attempt, request, .. } => self.authors.sent(*run, *attempt, request),
            What::Crashed(run) => {
                self.over.insert(*run);
            }
            // One that has not stirred since it was resumed is held as before.
            What::Paused(run) if self.waking.remove(run) => return,
            What::Resumed(run) => {
                // A process goes on when it runs, which is a moment after its host does.
                self.waking.insert(*run);
                return;
            }
            What::Told { run, event: Event::Closed { .. } } => {
                self.closed.insert(*run);
            }
            _ => {}
        }
        let started = if let What::Started { run, .. } = &what { Some(*run) } else { None };
        self.push(self.now(), what);
        if let Some(run) = started {
            let client = self.authors.began(run);
            let member = portolan_core::waist::MemberId(0);
            self.push(self.now(), What::Connected { run, member, client });
        }
    }

    fn push(&mut self, at: Time, what: What) {
        // The store's timers are logged when they were due, which may be before what was told last.
        self.last = self.last.max(at);
        let entry = Entry { at: self.last, what };
        self.hash = self.hash.with(&entry);
        self.checks.see(&entry);
        self.entries.push(entry);
    }

    /// Tells what the store has done since.
    fn hear_store(&mut self) {
        let (changes, leases, compacted) = self.etcd.look(|model| {
            let changes = model.log().changes()[self.told.0..].to_vec();
            let leases = model.log().leases()[self.told.1..].to_vec();
            (changes, leases, model.compacted())
        });
        self.told.0 += changes.len();
        self.told.1 += leases.len();
        for step in in_order(changes, leases) {
            let (at, known, text) = match &step {
                Step::Change(change) => (
                    change.at,
                    self.authors.of_change(change).map(What::Changed),
                    change.to_string(),
                ),
                Step::Lease(lease) => {
                    (lease.at, self.authors.of_lease(lease).map(What::Leased), format!("{lease:?}"))
                }
            };
            match known {
                Some(what) => self.push(at, what),
                None => self.strays.push(text),
            }
        }
        if let Some(revision) = compacted.filter(|_| compacted != self.compacted) {
            self.compacted = compacted;
            self.push(self.now(), What::Compacted(revision));
        }
    }
}

enum Step {
    Change(Change),
    Lease(LeaseChange),
}

/// By time; at one time a lease is granted, then written on, then it ends.
fn in_order(changes: Vec<Change>, leases: Vec<LeaseChange>) -> Vec<Step> {
    let changes = changes.into_iter().map(|change| ((change.at, 1), Step::Change(change)));
    let leases = leases.into_iter().map(|lease| {
        let place = if matches!(lease.step, LeaseStep::Ended { .. }) { 2 } else { 0 };
        ((lease.at, place), Step::Lease(lease))
    });
    let mut steps: Vec<_> = changes.chain(leases).collect();
    steps.sort_by_key(|(place, _)| *place);
    steps.into_iter().map(|(_, step)| step).collect()
}

fn run_of(what: &What) -> Option<Run> {
    match what {
        What::Wanted { run, .. }
        | What::Told { run, .. }
        | What::Sent { run, .. }
        | What::Cancelled { run, .. }
        | What::Answered { run, .. } => Some(*run),
        _ => None,
    }
}

/// Listens to one engine.
struct Listener {
    run: Run,
    broken: Option<Breakage>,
    /// Directories that were told of something.
    told: RefCell<BTreeSet<u64>>,
}

impl Listener {
    /// What is broken on purpose.
    fn swallows(&self, output: &Output) -> bool {
        match (self.broken, output) {
            (Some(Breakage::NoRevoke), Output::Send { request, .. }) => {
                matches!(request, Request::Revoke(_))
            }
            (Some(Breakage::NoDelete), Output::Send { request: Request::Txn(txn), .. }) => {
                txn.then.iter().any(|op| matches!(op, Op::Delete(_) | Op::Txn(_)))
            }
            (Some(Breakage::NoNews), Output::Event(Event::Stepped { id, .. })) => {
                !self.told.borrow_mut().insert(id.0)
            }
            _ => false,
        }
    }
}

impl Ear for Listener {
    fn heard(&self, what: &Heard<'_>) {
        let run = self.run;
        note(match what {
            Heard::Began(stamp) => {
                let start = with(|record| record.now()).unwrap_or(Time::ZERO);
                let clock = Clock::started(start, 0);
                What::Started { run, stamp: *stamp, clock }
            }
            Heard::Wanted(command) => What::Wanted { run, command: (*command).clone() },
            Heard::Answered(attempt, reply) => {
                What::Answered { run, attempt: *attempt, reply: (*reply).clone() }
            }
        });
    }

    fn said(&self, output: Output) -> Option<Output> {
        if self.swallows(&output) {
            return None;
        }
        let run = self.run;
        match &output {
            Output::Send { attempt, member, request } => {
                let (attempt, member, request) = (*attempt, *member, request.clone());
                note(What::Sent { run, attempt, member, request });
            }
            Output::Cancel { attempt } => note(What::Cancelled { run, attempt: *attempt }),
            Output::Event(event) => note(What::Told { run, event: event.clone() }),
            Output::Redial { .. } | Output::Introduce { .. } => {}
        }
        Some(output)
    }

    fn handed(&self, output: &Output) {
        if let Output::Event(Event::Propose { id, .. }) = output {
            with(|record| record.asked = Some((self.run, *id)));
        }
    }
}

/// The world that the checks are told of.
pub fn began(setup: portolan_sim::plan::WorldSetup) {
    note(What::Began(Arc::new(setup)));
}
