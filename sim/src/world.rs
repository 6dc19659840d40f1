//! A world: processes, a store, the wire between them, one clock.
//!
//! ```text
//! plan ──▶ World::step ──▶ entries of the trace
//!            │ engines ⇄ wire ⇄ store
//! ```
//! One call of [`World::step`] is one thing that happens. A world can be cloned at any moment; the
//! clone goes on to the same trace.

mod choice;
mod faults;
mod lives;
mod strangers;
mod users;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use portolan_core::Time;
use portolan_core::engine::{Input, Output};
use portolan_core::waist::{DeleteRange, KeyRange, MemberId, Put, Request, Revoke};
use portolan_memory::{self as memory, ClientId, Fault, Identity, Model};

use crate::app::{App, think};
use crate::canary::Breakage;
use crate::chance::Chance;
use crate::link::{Arrival, LinkView, Travelling, Wire};
use crate::plan::{Do, Plan, Step, WorldSetup};
use crate::process::Process;
use crate::queue::{Happening, Queue};
use crate::trace::{Entry, Run, What};
pub use choice::{Choice, Timer};
use users::Users;

/// A world under a plan.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct World {
    setup: Arc<WorldSetup>,
    /// By time.
    steps: Arc<Vec<Step>>,
    next_step: usize,
    now: Time,
    chance: Chance,
    queue: Queue,
    wire: Wire,
    store: Model,
    /// When the store is to be ticked.
    store_at: Option<Time>,
    told: LogEnd,
    /// The end of the log of which there is a backup.
    backup: Option<LogEnd>,
    processes: Vec<Process>,
    /// When processes are to be woken.
    wakes: BTreeSet<(Time, u16)>,
    users: Users,
    stranger: Stranger,
    entries: VecDeque<Entry>,
}

/// How much of the store's log there is; of the world's, how much of it has been told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash)]
struct LogEnd {
    changes: usize,
    leases: usize,
}

/// Whoever else writes into the store, straight into it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
struct Stranger {
    identity: Identity,
    attempts: u64,
    leases: i64,
}

impl World {
    /// The world at time 0, with nothing done.
    pub fn new(plan: &Plan) -> Self {
        let setup = Arc::new(plan.world.clone());
        let chance = Chance::new(plan.seed);
        let store = memory::Config { keep_log: true, ..setup.store.clone() };
        let store = Model::new(store.members(setup.members));
        let mut world = Self {
            steps: Arc::new(plan.in_order()),
            next_step: 0,
            now: Time::ZERO,
            chance,
            queue: Queue::default(),
            wire: Wire::new(setup.wire.clone(), chance),
            store_at: store.poll_timeout(),
            store,
            told: LogEnd::default(),
            backup: None,
            processes: (0..setup.processes).map(|_| Process::new(App::default())).collect(),
            wakes: BTreeSet::new(),
            users: Users::default(),
            stranger: Stranger::default(),
            entries: VecDeque::new(),
            setup,
        };
        world.note(What::Began(Arc::clone(&world.setup)));
        if world.setup.users {
            world.set_up_users();
        }
        for process in 0..world.setup.processes {
            world.start(process);
        }
        world
    }

    /// Has the next thing happen. False if nothing ever will.
    pub fn step(&mut self) -> bool {
        let Some((at, next)) = self.next() else { return false };
        self.now = self.now.max(at);
        match next {
            Next::Step => {
                let what = self.steps[self.next_step].what.clone();
                self.next_step += 1;
                self.apply(what);
            }
            Next::Queue => {
                if let Some(happening) = self.queue.pop() {
                    self.happen(happening);
                }
            }
            Next::Store => self.tell_store(memory::Input::Tick),
            Next::Process(process) => self.feed(process, Input::Tick),
        }
        true
    }

    /// Has other things happen from now on: those of a plan with the same past.
    pub(crate) fn replan(&mut self, plan: &Plan) {
        self.steps = Arc::new(plan.in_order());
    }

    /// Lets time pass in which nothing happens.
    pub(crate) fn wait_until(&mut self, moment: Time) {
        self.now = self.now.max(moment);
    }

    /// Has something happen now that is in no plan.
    pub fn act(&mut self, what: Do) {
        self.apply(what);
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<Time> {
        self.next().map(|(at, _)| at)
    }

    /// The next entry of the trace. Drain it after every step.
    pub fn poll_entry(&mut self) -> Option<Entry> {
        self.entries.pop_front()
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// What there is.
    pub fn setup(&self) -> &WorldSetup {
        &self.setup
    }

    /// Whether all steps of the plan have run.
    pub fn plan_is_done(&self) -> bool {
        self.next_step == self.steps.len()
    }

    /// The store.
    pub fn store(&self) -> &Model {
        &self.store
    }

    /// The processes, by number.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// All messages that are on their way: those that wait at cuts, then the others by the time at
    /// which they arrive.
    pub fn travelling(&self) -> Vec<Travelling<'_>> {
        self.wire.travelling(&self.queue)
    }

    /// The link between a process and a member of the store.
    pub fn link(&self, process: u16, member: MemberId) -> LinkView {
        self.wire.link(process, member)
    }

    /// The earliest of all that is to happen; of equal times the plan's steps first, then messages,
    /// then the store's timers, then the processes'.
    fn next(&self) -> Option<(Time, Next)> {
        let step = self.steps.get(self.next_step);
        [
            step.map(|step| (Time::from_millis(step.at_ms), Next::Step)),
            self.queue.next_at().map(|at| (at, Next::Queue)),
            self.store_at.map(|at| (at, Next::Store)),
            self.wakes.first().map(|&(at, process)| (at, Next::Process(process))),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|&(at, _)| at)
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive { client, way, attempt } => {
                let late = self.wire.is_late(client, attempt);
                let arrival = self.wire.arrive(self.now, &mut self.queue, client, way, attempt);
                self.note_wire();
                match arrival {
                    Some(Arrival::Store(mut input)) => {
                        if let memory::Input::Request { attempt, request, .. } = &mut input {
                            let attempt = *attempt;
                            self.note(What::Arrived { client, attempt, late });
                            if let Some(breakage) = self.setup.broken {
                                breakage.reach(request);
                            }
                        }
                        self.tell_store(input);
                    }
                    Some(Arrival::Process(run, attempt, reply)) => {
                        self.feed_run(run, Input::Reply { attempt, reply });
                    }
                    None => {}
                }
            }
            Happening::Detect { client, silence } => {
                if self.setup.broken.is_none_or(Breakage::detects) {
                    self.wire.detect(self.now, &mut self.queue, client, silence);
                }
                self.note_wire();
            }
            Happening::Hangup { client } => {
                if let Some(input) = self.wire.hangup(self.now, &mut self.queue, client) {
                    self.tell_store(input);
                }
            }
            Happening::Fail { run, attempt, reply } => {
                self.feed_run(run, Input::Reply { attempt, reply: *reply });
            }
            Happening::Command { run, command } => self.feed_run(run, Input::Command(*command)),
        }
    }

    /// One step of the plan.
    fn apply(&mut self, what: Do) {
        self.note(What::Did(what.clone()));
        let now = self.now;
        match what {
            Do::Register { process, .. }
            | Do::Publish { process, .. }
            | Do::Deregister { process, .. }
            | Do::Open { process, .. }
            | Do::Close { process, .. }
            | Do::Follow { process, .. }
            | Do::Unfollow { process, .. }
            | Do::Update { process, .. }
            | Do::Call { process, .. }
            | Do::Abandon { process, .. }
            | Do::Shutdown { process, .. } => {
                let Some(process_there) = self.processes.get_mut(usize::from(process)) else {
                    return;
                };
                if let Some(run) = process_there.run()
                    && let Some(command) = process_there.app.command(run, &what)
                {
                    self.feed(process, Input::Command(command));
                }
            }
            Do::AddProcess {} => {
                if let Ok(process) = u16::try_from(self.processes.len()) {
                    self.processes.push(Process::new(App::default()));
                    self.start(process);
                }
            }
            Do::Mend { left } => self.mend(&left),
            Do::Crash { process } => self.crash(process),
            Do::Restart { process } => {
                self.crash(process);
                self.start(process);
            }
            Do::Clock { process, drift_permille } => self.set_clock(process, drift_permille),
            Do::Pause { process } => self.pause(process),
            Do::Resume { process } => self.resume(process),
            Do::Cut { process, member, way, reset } => {
                for end in self.ends(process, member) {
                    if reset {
                        self.wire.reset(now, &mut self.queue, end);
                    }
                    self.wire.cut(now, &mut self.queue, end, way);
                }
            }
            Do::Heal { process, member } => {
                for end in self.ends(process, member) {
                    self.wire.heal(now, &mut self.queue, end);
                }
            }
            Do::Reset { process, member } => {
                for end in self.ends(process, member) {
                    self.wire.reset(now, &mut self.queue, end);
                }
            }
            Do::Blackhole { process, member } => {
                for end in self.ends(process, member) {
                    self.wire.blackhole(now, &mut self.queue, end);
                }
            }
            Do::Lose { process, member, way, of, count, told } => {
                for end in self.ends(process, member) {
                    self.wire.lose(end, (way, of), count, told);
                }
            }
            Do::Slow { process, member, extra_ms } => {
                for end in self.ends(process, member) {
                    self.wire.slow(end, Duration::from_millis(extra_ms));
                }
            }
            Do::Store { fault } => self.store_fault(fault),
            Do::Member { member, fault } => self.member_fault(MemberId(member), fault),
            Do::Lead { member } => {
                self.tell_store(memory::Input::Fault(Fault::LeaderTo(MemberId(member))));
            }
            Do::Rights { may } => self.set_rights(may),
            Do::Password { right } => self.set_password(right),
            Do::Compact { keep } => self.compact(keep),
            Do::Expire { lease } => {
                self.tell_store(memory::Input::Fault(Fault::Expire(lease)));
            }
            Do::Revoke { lease } => self.ask(Request::Revoke(Revoke { lease })),
            Do::RevokeOf { key } => {
                if let Some(lease) = self.store.record(&key).and_then(|record| record.lease) {
                    self.ask(Request::Revoke(Revoke { lease }));
                }
            }
            Do::DeleteKey { key } => {
                let keys = KeyRange::one(key);
                self.ask(Request::Delete(DeleteRange { keys, prev_kv: false }));
            }
            Do::PutKey { key, value, lease_secs } => {
                let lease = lease_secs.map(|secs| self.grant(secs));
                let value = value.into();
                self.ask(Request::Put(Put { key, value, lease, ..Put::default() }));
            }
            Do::MoveKey { key, lease_secs } => self.move_key(key, lease_secs),
            Do::Crowd { group, count, at_once, lease_secs } => {
                self.crowd(&group, count, at_once, lease_secs);
            }
        }
        self.note_wire();
    }

    fn feed_run(&mut self, run: Run, input: Input) {
        let there = self.processes.get(usize::from(run.process));
        if there.and_then(Process::run) == Some(run) {
            self.feed(run.process, input);
        }
    }

    /// Hands an input to a process's engine, and carries out what it says.
    fn feed(&mut self, process: u16, input: Input) {
        let Some(there) = self.processes.get_mut(usize::from(process)) else { return };
        let Some(live) = &mut there.live else { return };
        if let Some(held) = &mut live.held {
            held.push_back(input);
            return;
        }
        let run = live.run;
        let local = live.clock.local(self.now);
        if input != Input::Tick && live.due.is_some_and(|due| due <= local) {
            // The engine would do so itself; apart, the trace tells what came of what.
            live.subject.handle(local, Input::Tick);
            self.drain(process);
        }
        self.hear(process, run, input);
    }

    fn hear(&mut self, process: u16, run: Run, input: Input) {
        let Some(there) = self.processes.get_mut(usize::from(process)) else { return };
        let Some(live) = &mut there.live else { return };
        let heard = match &input {
            Input::Reply { attempt, reply } => {
                Some(What::Answered { run, attempt: *attempt, reply: reply.clone() })
            }
            Input::Command(command) => Some(What::Wanted { run, command: command.clone() }),
            Input::Tick => None,
        };
        live.subject.handle(live.clock.local(self.now), input);
        self.entries.extend(heard.map(|what| Entry { at: self.now, what }));
        self.drain(process);
    }

    fn drain(&mut self, process: u16) {
        let Some(there) = self.processes.get_mut(usize::from(process)) else { return };
        let Some(live) = &mut there.live else { return };
        let (now, run) = (self.now, live.run);
        while let Some(output) = live.subject.poll_output() {
            match output {
                Output::Send { attempt, member, request } => {
                    let what = What::Sent { run, attempt, member, request: request.clone() };
                    self.entries.push_back(Entry { at: now, what });
                    self.wire.send(now, &mut self.queue, (run, member), attempt, request);
                    for what in self.wire.take_notes() {
                        self.entries.push_back(Entry { at: now, what });
                    }
                }
                Output::Cancel { attempt } => {
                    let what = What::Cancelled { run, attempt };
                    self.entries.push_back(Entry { at: now, what });
                    self.wire.cancel(now, &mut self.queue, run, attempt);
                }
                // No name stands for several members here, and no member is new.
                Output::Redial { .. } | Output::Introduce { .. } => {}
                Output::Event(event) => {
                    if let Some((command, slow)) = there.app.on_event(run, &event) {
                        let thought =
                            slow.unwrap_or_else(|| think(self.chance, &self.setup, run, &event));
                        let command = Box::new(command);
                        self.queue.push(now + thought, Happening::Command { run, command });
                    }
                    let what = What::Told { run, event };
                    self.entries.push_back(Entry { at: now, what });
                }
            }
        }
        live.due = live.subject.poll_timeout();
        self.rewake(process);
    }

    fn tell_store(&mut self, input: memory::Input) {
        let (before, led) = (self.store.compacted(), self.store.leader());
        self.store.handle(self.now, input);
        self.store_at = self.store.poll_timeout();
        for change in &self.store.log().changes()[self.told.changes..] {
            let what = What::Changed(change.clone());
            self.entries.push_back(Entry { at: change.at, what });
        }
        for change in &self.store.log().leases()[self.told.leases..] {
            let what = What::Leased(change.clone());
            self.entries.push_back(Entry { at: change.at, what });
        }
        self.told = LogEnd {
            changes: self.store.log().changes().len(),
            leases: self.store.log().leases().len(),
        };
        if self.setup.members > 1 && self.store.leader() != led {
            self.note(What::Led(self.store.leader()));
        }
        let after = self.store.compacted();
        if let Some(compacted) = after.filter(|_| after != before) {
            self.note(What::Compacted(compacted));
        }
        while let Some(mut output) = self.store.poll_output() {
            let token = output.take_token();
            let memory::Output { to, attempt, reply, .. } = output;
            if to == STRANGER {
                self.stranger.identity.hear(token);
                continue;
            }
            self.wire.answer(self.now, &mut self.queue, to, attempt, (reply, token));
        }
        self.note_wire();
        self.apply_rights();
    }

    fn ends(&self, process: u16, member: Option<u16>) -> Vec<(u16, MemberId)> {
        let all = 0..self.setup.members;
        let chosen = all.filter(|&number| member.is_none_or(|member| member == number));
        chosen.map(|number| (process, MemberId(number))).collect()
    }

    fn note(&mut self, what: What) {
        self.entries.push_back(Entry { at: self.now, what });
    }

    fn note_wire(&mut self) {
        for what in self.wire.take_notes() {
            self.note(what);
        }
    }
}

#[derive(Clone, Copy)]
enum Next {
    Step,
    Queue,
    Store,
    Process(u16),
}

/// How the store knows strangers.
pub(crate) const STRANGER: ClientId = ClientId(0);

/// Strangers' leases are numbered from here; no engine draws such small numbers.
const STRANGERS_LEASES: i64 = 0x5000_0000;
