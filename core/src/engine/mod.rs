//! The engine: all machines of one process behind one door.
//!
//! ```text
//! Input (command, reply, tick) ──▶ Engine::handle(now, input) ──▶ poll_output: requests, events
//!                                                             └─▶ poll_timeout: when to tick
//! ```
//!
//! | machine | what it does |
//! |---|---|
//! | `hold` | keeps records under leases: grants, renews, publishes, heals, removes |
//! | `mirror` | keeps a local copy of a key range, and apart what an outage took from it |
//! | `follow` | tells every change of a key range once, in a bounded window |
//! | `update` | swaps a group's configuration, exactly once or a truthful "unknown" |
//! | `call` | one request with a deadline, repeated only where that is safe |
//! | `epoch` | notices that the store is another one, or has lost what it had |
//! | `wire` | numbers attempts, gives each a time limit, holds back what waits for a login |
//! | `census` | says which cluster is the store, where members differ |
//! | `members` | picks the member to ask |
//! | `discovery` | asks the cluster for its members |
//! | `auth` | says when to log in |
//! | `retry` | says when to try again: backoff, and a budget for the whole process |

mod auth;
mod call;
mod census;
mod cx;
mod discovery;
mod epoch;
mod fingerprint;
mod flight;
mod follow;
#[cfg(test)]
mod harness;
mod hold;
mod input;
mod members;
mod mirror;
mod output;
mod pages;
mod retry;
mod show;
mod stream;
mod timed;
mod update;
mod view;
mod wire;

use serde::{Deserialize, Serialize};

pub use self::input::{Command, Conflict, Input, Proposal};
pub use self::output::{
    CallError, Event, Gone, Login, LossReason, Output, RegistrationEvent, Standing, UpdateOutcome,
};
pub use self::view::{
    Change, Content, Followed, Freshness, Gap, GuardNews, GuardRule, Record, Snapshot, Step,
    StepCause, Suspect, Undone, Unread,
};

use self::call::Calls;
use self::cx::Cx;
use self::discovery::Discovery;
use self::epoch::Detector;
use self::follow::Follow;
use self::hold::Holds;
use self::mirror::Mirror;
use self::timed::Timed;
use self::update::Updates;
use self::wire::{Owner, Wire};
use crate::layout::Layout;
use crate::rng::Rng;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{AttemptId, Reply, StoreError};

/// One call of register. Chosen by the driver, from 1, never twice in a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RegistrationId(pub u64);

/// One open directory. Chosen by the driver, never twice in a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DirectoryId(pub u64);

/// One follower of a key range. Chosen by the driver, never twice in a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FollowId(pub u64);

/// The number of what a follower was told: 1 for the first, one more each time.
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct FollowSeq(pub u64);

/// One update or call. Chosen by the driver, never twice in a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpId(pub u64);

/// What an engine is started with.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Setup {
    /// Which keys and values stand for what.
    pub layout: Layout,
    /// The constants.
    pub tuning: Tuning,
    /// How many etcd members the driver can reach; at least 1.
    pub members: u16,
    /// Whether the backend has credentials, so that it must be told to authenticate.
    pub authenticates: bool,
    /// Where all chance comes from; also tells this run from every other one, so it must be drawn
    /// anew at each start of a process.
    pub seed: u64,
}

/// All machines of one process.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Engine {
    layout: Layout,
    tuning: Tuning,
    now: Time,
    rng: Rng,
    wire: Wire,
    discovery: Discovery,
    detector: Detector,
    holds: Holds,
    mirrors: Timed<DirectoryId, Mirror>,
    follows: Timed<FollowId, Follow>,
    updates: Updates,
    calls: Calls,
    closing: Closing,
    /// When the next timer is due, as of the last input.
    due: Option<Time>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
enum Closing {
    Open,
    /// The holds are being removed.
    Underway,
    Closed,
}

impl Engine {
    /// An engine that has done nothing yet. Its clock must not run before `now`.
    pub fn new(now: Time, setup: Setup) -> Self {
        let rng = Rng::new(setup.seed);
        let run = rng.fork("run").bits() >> 1;
        let mut engine = Self {
            wire: Wire::new(setup.members.max(1), setup.authenticates, &setup.tuning, &rng),
            discovery: Discovery::new(rng.fork("discovery")),
            detector: Detector::default(),
            holds: Holds::new(run, rng.fork("hold")),
            mirrors: Timed::new(),
            follows: Timed::new(),
            updates: Updates::new(rng.fork("update")),
            calls: Calls::new(rng.fork("call")),
            closing: Closing::Open,
            due: None,
            layout: setup.layout,
            tuning: setup.tuning,
            now,
            rng,
        };
        engine.due = engine.next_timeout();
        engine
    }

    /// Takes one input. Timers due at or before `now` run first, so every driver gets one order.
    ///
    /// A `now` that is earlier than the last one is taken as the last one.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        self.wire.set_now(self.now);
        if self.closing == Closing::Closed {
            if let Input::Command(command) = input {
                self.command(command);
            }
            return;
        }
        self.run_timers();
        match input {
            Input::Command(command) => self.command(command),
            Input::Reply { attempt, reply } => self.reply(attempt, reply),
            Input::Tick => {}
        }
        self.settle();
        self.due = self.next_timeout();
    }

    /// The next thing to do, or `None` until the next input. Drain it after every `handle`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.wire.pop_output()
    }

    /// When to pass [`Input::Tick`] if nothing else happens first; `None`: no need to.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.due
    }

    /// The run that this engine writes into its records.
    pub fn run(&self) -> u64 {
        self.holds.run()
    }

    fn next_timeout(&self) -> Option<Time> {
        if self.closing == Closing::Closed {
            return None;
        }
        [
            self.wire.next_timeout(),
            self.discovery.next_timeout(self.tuning.member_list_every.is_some()),
            self.holds.next_timeout(),
            self.mirrors.next_timeout(),
            self.follows.next_timeout(),
            self.updates.next_timeout(),
            self.calls.next_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// A directory's present snapshot.
    pub fn snapshot(&self, id: DirectoryId) -> Option<&Snapshot> {
        self.mirrors.get(id).map(Mirror::snapshot)
    }

    /// How the store stands, as far as asking it goes.
    pub fn standing(&self) -> Standing {
        self.wire.standing()
    }

    /// Why the last answer that was handed in is taken for a failure, if it is one that did not look
    /// like it: it came from another cluster. Told once.
    pub fn take_disbelieved(&mut self) -> Option<StoreError> {
        self.wire.take_disbelieved()
    }

    /// Bytes of keys and values in what is in flight.
    pub fn bytes_in_flight(&self) -> usize {
        self.wire.bytes_in_flight()
    }

    /// Requests in flight, watches not counted.
    pub fn in_flight(&self) -> usize {
        self.wire.calls_in_flight()
    }

    /// Runs every timer due by now; a timer may set another that is due too, but not without end.
    fn run_timers(&mut self) {
        for _ in 0..MAX_TIMER_PASSES {
            if self.due.is_none_or(|due| due > self.now) {
                return;
            }
            while let Some((attempt, owner, error)) = self.wire.expire(&self.tuning) {
                self.dispatch(owner, attempt, Reply::Failed(error));
            }
            let (mut cx, machines) = self.split();
            machines.discovery.on_timer(&mut cx);
            machines.holds.on_timer(&mut cx);
            for id in machines.mirrors.due(cx.now) {
                machines.mirrors.on(id, |mirror| mirror.on_timer(&mut cx));
            }
            for id in machines.follows.due(cx.now) {
                machines.follows.on(id, |follow| follow.on_timer(&mut cx));
            }
            machines.updates.on_timer(&mut cx);
            machines.calls.on_timer(&mut cx);
            self.settle();
            self.due = self.next_timeout();
        }
        debug_assert!(false, "a timer that stays due would spin");
    }

    fn reply(&mut self, attempt: AttemptId, reply: Reply) {
        if let Some((owner, attempt, reply)) = self.wire.answered(attempt, reply, &self.tuning) {
            self.dispatch(owner, attempt, reply);
        }
    }

    fn dispatch(&mut self, owner: Owner, attempt: AttemptId, reply: Reply) {
        let (mut cx, machines) = self.split();
        match owner {
            Owner::Epoch => {
                if machines.detector.on_reply(&mut cx, attempt, &reply) {
                    machines.holds.new_epoch(&mut cx);
                    machines.updates.new_epoch(&mut cx);
                    machines.follows.each(Follow::new_epoch);
                }
            }
            Owner::Holds => machines.holds.on_reply(&mut cx, attempt, reply),
            Owner::Mirror(id) => {
                machines.mirrors.on(id, |mirror| mirror.on_reply(&mut cx, attempt, reply));
            }
            Owner::Follow(id) => {
                machines.follows.on(id, |follow| follow.on_reply(&mut cx, attempt, reply));
            }
            Owner::Update(id) => machines.updates.on_reply(&mut cx, id, attempt, reply),
            Owner::Call(id) => machines.calls.on_reply(&mut cx, id, reply),
            Owner::Members => machines.discovery.on_reply(&mut cx, &reply),
            // The wire keeps these to itself.
            Owner::Login | Owner::Census => {}
        }
    }

    fn command(&mut self, command: Command) {
        let rng = &self.rng;
        let mut cx =
            Cx { now: self.now, tuning: &self.tuning, layout: &self.layout, wire: &mut self.wire };
        if self.closing != Closing::Open {
            refuse(&mut cx, command);
            return;
        }
        match command {
            Command::Register { id, instance, conflict } => {
                self.holds.register(&mut cx, id, instance, conflict);
            }
            Command::Publish { id, instance } => self.holds.publish(&mut cx, id, instance),
            Command::Deregister { id, within } => self.holds.deregister(&mut cx, id, within),
            Command::Open { id, scope } => {
                let rng = rng.fork("mirror").fork(&id.0.to_string());
                let mirror = Mirror::open(&mut cx, id, scope, rng);
                self.mirrors.insert(id, mirror);
            }
            Command::Close { id } => {
                if let Some(mut mirror) = self.mirrors.remove(id) {
                    mirror.close(&mut cx);
                }
            }
            Command::Refused { id, key } => {
                self.mirrors.on(id, |mirror| mirror.refused(&mut cx, &key));
            }
            Command::Follow { id, keys, from } => {
                let rng = rng.fork("follow").fork(&id.0.to_string());
                let follow = Follow::start(&mut cx, id, keys, from, rng);
                self.follows.insert(id, follow);
            }
            Command::Acknowledge { id, seq } => {
                self.follows.on(id, |follow| follow.acknowledge(&mut cx, seq));
            }
            Command::Unfollow { id } => {
                if let Some(mut follow) = self.follows.remove(id) {
                    follow.close(&mut cx);
                }
            }
            Command::Update { id, group, within } => {
                let idle = self.calls.idle().and(self.updates.idle());
                self.updates.start(&mut cx, idle, id, group, within);
            }
            Command::Proposed { id, proposal } => self.updates.proposed(&mut cx, id, proposal),
            Command::Call { id, request, within } => {
                let idle = self.calls.idle().and(self.updates.idle());
                self.calls.start(&mut cx, idle, id, request, within);
            }
            Command::Abandon { id } => {
                self.updates.abandon(&mut cx, id);
                self.calls.abandon(&mut cx, id);
            }
            Command::Shutdown { within } => {
                self.closing = Closing::Underway;
                // A closing engine asks for nothing new, so what has not left must not.
                cx.wire.refuse_waiting();
                self.mirrors.each(|mirror| mirror.close(&mut cx));
                self.mirrors.clear();
                self.follows.each(|follow| follow.close(&mut cx));
                self.follows.clear();
                self.discovery.close(&mut cx);
                self.updates.close(&mut cx);
                self.calls.close(&mut cx);
                self.holds.shutdown(&mut cx, within);
            }
        }
    }

    /// What every input ends with: suspicions are looked into, batches go out, a finished shutdown
    /// is told.
    fn settle(&mut self) {
        loop {
            let (mut cx, machines) = self.split();
            machines.detector.settle(&mut cx, machines.holds.some_key());
            machines.holds.settle(&mut cx);
            // A refusal makes its owner wait, so this comes to an end.
            let Some((attempt, owner, error)) = self.wire.pop_refused() else { break };
            self.dispatch(owner, attempt, Reply::Failed(error));
        }
        self.wire.take_census(&self.tuning);
        self.wire.log_in(&self.tuning);
        if self.wire.take_let_in() {
            let (mut cx, machines) = self.split();
            machines.mirrors.each(|mirror| mirror.let_in(&mut cx));
            machines.holds.let_in(&mut cx);
            machines.follows.each(|follow| follow.let_in(&mut cx));
        }
        if let (Closing::Underway, Some(confirmed)) = (self.closing, self.holds.closed()) {
            self.closing = Closing::Closed;
            self.wire.cancel_all();
            self.wire.push(Output::Event(Event::Closed { confirmed }));
        }
    }

    fn split(&mut self) -> (Cx<'_>, Machines<'_>) {
        (
            Cx { now: self.now, tuning: &self.tuning, layout: &self.layout, wire: &mut self.wire },
            Machines {
                discovery: &mut self.discovery,
                detector: &mut self.detector,
                holds: &mut self.holds,
                mirrors: &mut self.mirrors,
                follows: &mut self.follows,
                updates: &mut self.updates,
                calls: &mut self.calls,
            },
        )
    }
}

/// Timers that set further timers for the same moment: more than this is a loop.
const MAX_TIMER_PASSES: u32 = 64;

struct Machines<'a> {
    discovery: &'a mut Discovery,
    detector: &'a mut Detector,
    holds: &'a mut Holds,
    mirrors: &'a mut Timed<DirectoryId, Mirror>,
    follows: &'a mut Timed<FollowId, Follow>,
    updates: &'a mut Updates,
    calls: &'a mut Calls,
}

/// Answers a command that comes after the shutdown began.
fn refuse(cx: &mut Cx<'_>, command: Command) {
    match command {
        Command::Register { id, .. } => cx.event(Event::Registration {
            id,
            event: RegistrationEvent::Gone(Gone::Refused { reason: "shut down".to_owned() }),
        }),
        Command::Update { id, .. } => cx.event(Event::Updated {
            id,
            outcome: UpdateOutcome::Failed { error: CallError::Closed },
        }),
        Command::Call { id, .. } => {
            cx.event(Event::Called { id, result: Err(CallError::Closed) });
        }
        Command::Publish { .. }
        | Command::Deregister { .. }
        | Command::Open { .. }
        | Command::Close { .. }
        | Command::Refused { .. }
        | Command::Follow { .. }
        | Command::Acknowledge { .. }
        | Command::Unfollow { .. }
        | Command::Proposed { .. }
        | Command::Abandon { .. }
        | Command::Shutdown { .. } => {}
    }
}
