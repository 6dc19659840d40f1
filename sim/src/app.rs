//! The application of a process: what its plan says it wants, across restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portolan_core::engine::{
    Command, Conflict, DirectoryId, Event, FollowId, OpId, Proposal, RegistrationId,
};
use portolan_core::instance::{Data, GroupConfig, Instance, State};
use portolan_core::layout::Scope;
use portolan_core::name::{GroupName, InstanceId};
use portolan_core::waist::{
    Compare, DeleteRange, Key, KeyRange, Op, Put, Range, Request, Revision, Txn,
};
use serde::{Deserialize, Serialize};

use crate::chance::{Chance, Purpose};
use crate::plan::{Call, Do, WorldSetup};
use crate::trace::Run;

/// What an application wants, and what it has begun in the present run.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(crate) struct App {
    registrations: BTreeMap<RegistrationId, Registration>,
    directories: BTreeMap<DirectoryId, Scope>,
    /// Everything begun in this run: numbers are used once.
    used: BTreeSet<Used>,
    updates: BTreeMap<OpId, Update>,
    follows: BTreeMap<FollowId, Follow>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
enum Used {
    Registration(RegistrationId),
    Directory(DirectoryId),
    Follow(FollowId),
    Op(OpId),
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Follow {
    keys: KeyRange,
    slow: Duration,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Registration {
    instance: Instance,
    conflict: Conflict,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
struct Update {
    keep: bool,
    proposals: u32,
}

/// What an application writes into a group's configuration.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Edited {
    /// How often it was changed.
    pub count: u64,
    /// Who changed it last.
    pub by: Tag,
}

/// One proposal of one update of one run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
pub(crate) struct Tag {
    pub process: u16,
    pub start: u32,
    pub op: u64,
    /// Numbered from 1.
    pub proposal: u32,
}

impl App {
    /// Turns a step into a command. `None`: it makes no sense now.
    pub fn command(&mut self, run: Run, step: &Do) -> Option<Command> {
        Some(match step {
            &Do::Register { id, ref group, ref instance, conflict, .. } => {
                let last =
                    self.used.range(..=Used::Registration(RegistrationId(u64::MAX))).next_back();
                let rises = last.is_none_or(|&last| last < Used::Registration(id));
                rises.then_some(())?;
                self.used.insert(Used::Registration(id));
                let instance = describe(run, id, group, instance);
                let registration = Registration { instance: instance.clone(), conflict };
                self.registrations.insert(id, registration);
                Command::Register { id, instance, conflict }
            }
            &Do::Publish { id, state, weight, .. } => {
                let registration = self.registrations.get_mut(&id)?;
                let edited = registration.instance.edit().state(state).weight(weight);
                let instance = edited.build().expect("states and weights are always fine");
                registration.instance = instance.clone();
                Command::Publish { id, instance }
            }
            &Do::Deregister { id, within_ms, .. } => {
                self.registrations.remove(&id)?;
                Command::Deregister { id, within: millis(within_ms) }
            }
            &Do::Open { id, ref scope, .. } => {
                self.used.insert(Used::Directory(id)).then_some(())?;
                self.directories.insert(id, scope.clone());
                Command::Open { id, scope: scope.clone() }
            }
            &Do::Close { id, .. } => {
                self.directories.remove(&id)?;
                Command::Close { id }
            }
            &Do::Follow { id, ref prefix, from, slow_ms, .. } => {
                self.used.insert(Used::Follow(id)).then_some(())?;
                let keys = KeyRange::prefix(prefix.clone());
                let slow = millis(slow_ms);
                self.follows.insert(id, Follow { keys: keys.clone(), slow });
                Command::Follow { id, keys, from }
            }
            &Do::Unfollow { id, .. } => {
                self.follows.remove(&id)?;
                Command::Unfollow { id }
            }
            &Do::Update { id, ref group, within_ms, keep, .. } => {
                self.used.insert(Used::Op(id)).then_some(())?;
                self.updates.insert(id, Update { keep, proposals: 0 });
                Command::Update { id, group: group.clone(), within: millis(within_ms) }
            }
            &Do::Call { id, ref call, within_ms, .. } => {
                self.used.insert(Used::Op(id)).then_some(())?;
                Command::Call { id, request: request(run, id, call), within: millis(within_ms) }
            }
            &Do::Abandon { id, .. } => {
                self.used.contains(&Used::Op(id)).then_some(())?;
                self.updates.remove(&id);
                Command::Abandon { id }
            }
            &Do::Shutdown { within_ms, .. } => {
                self.registrations.clear();
                self.directories.clear();
                self.follows.clear();
                Command::Shutdown { within: millis(within_ms) }
            }
            Do::AddProcess {}
            | Do::Clock { .. }
            | Do::Expire { .. }
            | Do::Revoke { .. }
            | Do::Mend { .. }
            | Do::Crash { .. }
            | Do::Restart { .. }
            | Do::Pause { .. }
            | Do::Resume { .. }
            | Do::Cut { .. }
            | Do::Heal { .. }
            | Do::Reset { .. }
            | Do::Blackhole { .. }
            | Do::Lose { .. }
            | Do::Slow { .. }
            | Do::Store { .. }
            | Do::Member { .. }
            | Do::Lead { .. }
            | Do::Rights { .. }
            | Do::Password { .. }
            | Do::Compact { .. }
            | Do::RevokeOf { .. }
            | Do::DeleteKey { .. }
            | Do::PutKey { .. }
            | Do::MoveKey { .. }
            | Do::Crowd { .. } => return None,
        })
    }

    /// A new run begins: it wants what the former one wanted. What that one had begun to ask is
    /// forgotten.
    pub fn restart(&mut self) -> Vec<Command> {
        self.updates.clear();
        let registrations = self.registrations.iter().map(|(&id, registration)| {
            let Registration { instance, conflict } = registration.clone();
            Command::Register { id, instance, conflict }
        });
        let directories =
            self.directories.iter().map(|(&id, scope)| Command::Open { id, scope: scope.clone() });
        let follows = self.follows.iter().map(|(&id, follow)| Command::Follow {
            id,
            keys: follow.keys.clone(),
            from: None,
        });
        let commands: Vec<_> = registrations.chain(directories).chain(follows).collect();
        self.used = self
            .registrations
            .keys()
            .map(|&id| Used::Registration(id))
            .chain(self.directories.keys().map(|&id| Used::Directory(id)))
            .chain(self.follows.keys().map(|&id| Used::Follow(id)))
            .collect();
        commands
    }

    /// Its readers take what they are told at once from now on.
    pub fn hurry(&mut self) {
        for follow in self.follows.values_mut() {
            follow.slow = Duration::ZERO;
        }
    }

    /// What it answers to an event, if anything; `None` for how long it thinks: as long as the world
    /// says.
    pub fn on_event(&mut self, run: Run, event: &Event) -> Option<(Command, Option<Duration>)> {
        if let Event::Followed { id, seq, .. } = event {
            let slow = self.follows.get(id)?.slow;
            return Some((Command::Acknowledge { id: *id, seq: *seq }, Some(slow)));
        }
        let Event::Propose { id, base } = event else { return None };
        let update = self.updates.get_mut(id)?;
        update.proposals += 1;
        let proposal = if update.keep {
            Proposal::Keep
        } else {
            Proposal::Write(edit(run, *id, update.proposals, base.as_ref()))
        };
        Some((Command::Proposed { id: *id, proposal }, None))
    }
}

impl Edited {
    /// Reads what some application wrote; anything else counts as never edited.
    pub fn read(config: &GroupConfig) -> Self {
        serde_json::from_str(config.data().as_str()).unwrap_or_default()
    }
}

impl Tag {
    /// The run that it belongs to.
    pub fn run(self) -> Run {
        Run { process: self.process, start: self.start }
    }
}

fn edit(run: Run, id: OpId, proposal: u32, base: Option<&GroupConfig>) -> Data {
    let before = base.map(Edited::read).unwrap_or_default();
    let by = Tag { process: run.process, start: run.start, op: id.0, proposal };
    let edited = Edited { count: before.count.wrapping_add(1), by };
    let text = serde_json::to_string(&edited).expect("numbers are JSON");
    Data::parse(&text).expect("numbers are a configuration")
}

/// How long an application thinks about an event.
pub(crate) fn think(chance: Chance, setup: &WorldSetup, run: Run, event: &Event) -> Duration {
    let op = match event {
        Event::Propose { id, .. } => id.0,
        Event::Registration { .. }
        | Event::Stepped { .. }
        | Event::Freshness { .. }
        | Event::Guard { .. }
        | Event::Followed { .. }
        | Event::Updated { .. }
        | Event::Called { .. }
        | Event::Closed { .. } => 0,
    };
    let place = u64::from(run.process) << 32 | u64::from(run.start);
    chance.micros(Purpose::Think, place, op, setup.think_us)
}

fn describe(run: Run, id: RegistrationId, group: &GroupName, instance: &InstanceId) -> Instance {
    let [high, low] = run.process.to_be_bytes();
    let address = format!("10.{high}.{low}.{}:80", id.0 % 250 + 1);
    let builder = Instance::builder(group.clone(), instance.clone()).endpoint("http", address);
    builder.state(State::Ready).build().expect("this is an address")
}

fn request(run: Run, id: OpId, call: &Call) -> Request {
    let put = |key: &Key| Put {
        key: key.clone(),
        value: format!("{run}/{}", id.0).into(),
        ..Put::default()
    };
    let range = |key: &Key| Range::of(KeyRange::one(key.clone()));
    match call {
        Call::Put { key } => Request::Put(put(key)),
        Call::Get { key } => Request::Range(range(key)),
        Call::List { prefix } => Request::Range(Range::of(KeyRange::prefix(prefix.clone()))),
        Call::Delete { key } => {
            Request::Delete(DeleteRange { keys: KeyRange::one(key.clone()), prev_kv: false })
        }
        Call::Create { key } => Request::Txn(Txn {
            compares: vec![Compare::mod_revision(key.clone(), Revision::ZERO)],
            then: vec![Op::Put(put(key))],
            or_else: vec![Op::Range(range(key))],
        }),
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
