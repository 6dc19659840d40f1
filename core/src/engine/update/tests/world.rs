//! Two clients, one key, a stranger, and a wire that loses, delays and reorders. Whatever is drawn,
//! what the clients say of their swaps is what the store's log shows.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::harness::{OP, WITHIN, data, group, header, key, put_value};
use super::store::{By, Change, Store};
use crate::engine::update::task::State;
use crate::engine::{Command, Engine, Event, Input, Output, Proposal, Setup, UpdateOutcome};
use crate::instance::GroupConfig;
use crate::layout::{Decoded, Layout};
use crate::rng::Rng;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{
    AttemptId, EventKind, KeyEvent, KeyRange, Op, Range, Reply, Request, Revision, StoreError,
    Target, TxnReply, Value, Watch, WatchReply, WatchSay,
};

struct World {
    /// As if the layout had no room for operations' ids.
    foreign: bool,
    store: Store,
    now: Time,
    clients: Vec<Client>,
    /// On their way to the store; those that a client gave up stay.
    requests: Vec<(usize, AttemptId, Request)>,
    replies: Vec<(usize, AttemptId, Reply)>,
    streams: Vec<Stream>,
    seen: Seen,
}

struct Client {
    engine: Engine,
    deadline: Time,
    /// What it was shown, if it has not answered yet.
    asked: Option<Option<GroupConfig>>,
    outcome: Option<UpdateOutcome>,
    /// Each operation's guard, and its number of attempts.
    operations: BTreeMap<u64, (Revision, u32)>,
}

struct Stream {
    client: usize,
    attempt: AttemptId,
    watch: Watch,
    created: bool,
    /// All up to this revision was told.
    told: i64,
    /// How far the member that serves it is behind.
    lag: i64,
    asked: bool,
}

/// How often each thing happened, by name.
type Seen = BTreeMap<String, u32>;

impl World {
    fn new(foreign: bool) -> Self {
        let client = |seed| {
            let setup = Setup {
                layout: Layout::default(),
                tuning: Tuning { census_within: None, ..Tuning::default() },
                members: 3,
                authenticates: false,
                seed,
            };
            Client {
                engine: Engine::new(Time::ZERO, setup),
                deadline: Time::ZERO + WITHIN,
                asked: None,
                outcome: None,
                operations: BTreeMap::new(),
            }
        };
        let mut world = Self {
            foreign,
            store: Store { revision: 1, ..Store::default() },
            now: Time::ZERO,
            clients: vec![client(1), client(2)],
            requests: Vec::new(),
            replies: Vec::new(),
            streams: Vec::new(),
            seen: Seen::new(),
        };
        for client in 0..2 {
            let command = Command::Update { id: OP, group: group(), within: WITHIN };
            world.handle(client, Input::Command(command));
        }
        world
    }

    fn handle(&mut self, client: usize, input: Input) {
        let state = |engine: &Engine| engine.updates.tasks.get(&OP).map(|(_, state)| name(state));
        let engine = &mut self.clients[client].engine;
        let before = state(engine);
        engine.handle(self.now, input);
        while let Some(output) = self.clients[client].engine.poll_output() {
            self.carry(client, output, before);
        }
        let engine = &mut self.clients[client].engine;
        if let (Some(before), Some(after)) = (before, state(engine)) {
            *self.seen.entry(format!("{before} > {after}")).or_default() += 1;
        }
        // A tick that nobody asked for changes nothing.
        let settled = engine.clone();
        engine.handle(self.now, Input::Tick);
        assert_eq!(*engine, settled);
        assert!(engine.poll_timeout().is_none_or(|due| due > self.now), "a timer stays due");
    }

    fn carry(&mut self, client: usize, output: Output, before: Option<&str>) {
        match output {
            Output::Send { attempt, request, .. } => {
                let sender = &mut self.clients[client];
                assert!(self.now < sender.deadline, "EF4: {request} after the deadline");
                check_request(&request, &mut sender.operations);
                self.requests.push((client, attempt, request));
            }
            Output::Cancel { attempt } => {
                self.streams.retain(|stream| (stream.client, stream.attempt) != (client, attempt));
            }
            Output::Redial { .. } | Output::Introduce { .. } => {}
            Output::Event(Event::Propose { base, .. }) => self.clients[client].asked = Some(base),
            Output::Event(Event::Updated { outcome, .. }) => {
                let client = &mut self.clients[client];
                assert!(self.now <= client.deadline, "EF4: answered late");
                assert_eq!(client.outcome, None, "answered twice");
                let kind = outcome.to_string();
                let kind = kind.split([':', ' ']).next().expect("a word");
                let before = before.expect("it was pending");
                *self.seen.entry(format!("{before} > {kind}")).or_default() += 1;
                client.outcome = Some(outcome);
            }
            Output::Event(event) => panic!("{event}"),
        }
    }

    /// The application answers: one more than what it was shown, or, seldom, nothing.
    fn propose(&mut self, client: usize, keep: bool) {
        let Some(base) = self.clients[client].asked.take() else {
            return;
        };
        let next = base.map_or(0, |config| count(&config)) + 1;
        let write = Proposal::Write(data(&next.to_string()));
        let proposal = if keep { Proposal::Keep } else { write };
        self.handle(client, Input::Command(Command::Proposed { id: OP, proposal }));
        let task = self.clients[client].engine.updates.tasks.get_mut(&OP);
        if let (true, Some((_, State::Swapping { swap, .. }))) = (self.foreign, task) {
            swap.mark = None;
        }
    }

    /// A request arrives; what it is answered with.
    fn arrive(&mut self, place: usize) -> Option<(usize, AttemptId, Reply)> {
        let (client, attempt, request) = self.requests.remove(place);
        let reply = match request {
            Request::Range(_) => Reply::Range(self.store.range()),
            Request::Txn(txn) => {
                let moved_on = !self.waits_for(client, attempt);
                let reply = self.store.txn(client, &txn);
                let Reply::Txn(TxnReply { succeeded, .. }) = &reply else { unreachable!() };
                if moved_on {
                    let what = if *succeeded { "applied" } else { "stopped" };
                    *self.seen.entry(format!("late attempt {what}")).or_default() += 1;
                }
                reply
            }
            Request::Watch(watch) => {
                if self.waits_for(client, attempt) {
                    let (told, lag) = (watch.start.0 - 1, attempt.0 as i64 % 3);
                    let (created, asked) = (false, false);
                    self.streams.push(Stream { client, attempt, watch, created, told, lag, asked });
                }
                return None;
            }
            Request::OnWatch { stream, say: WatchSay::Progress } => {
                let ours = |s: &&mut Stream| (s.client, s.attempt) == (client, stream);
                if let Some(stream) = self.streams.iter_mut().find(ours) {
                    stream.asked = true;
                }
                return None;
            }
            Request::Put(_)
            | Request::Delete(_)
            | Request::Compact(_)
            | Request::Grant(_)
            | Request::Revoke(_)
            | Request::KeepAlive(_)
            | Request::TimeToLive(_)
            | Request::Leases
            | Request::OnWatch { .. }
            | Request::Status
            | Request::Members
            | Request::Authenticate => panic!("an update does not ask for {request}"),
        };
        Some((client, attempt, reply))
    }

    fn waits_for(&self, client: usize, attempt: AttemptId) -> bool {
        self.clients[client]
            .engine
            .wire
            .clone()
            .answered(attempt, Reply::Authenticated, &Tuning::default())
            .is_some()
    }

    /// A stream says its next thing, if it has any; its member catches up by one revision.
    fn serve(&mut self, place: usize) {
        let (store, stream) = (&self.store, &mut self.streams[place]);
        let applied = store.revision - stream.lag;
        stream.lag = (stream.lag - 1).max(0);
        let mut reply = WatchReply { header: header(applied), ..WatchReply::default() };
        let untold = |change: &&Change| {
            let at = change.event.kv.mod_revision.0;
            at > stream.told && at <= applied
        };
        let events: Vec<_> = store.log.iter().filter(untold).map(|c| c.event.clone()).collect();
        if !stream.created {
            stream.created = true;
            reply.created = true;
        } else if stream.told < stream.watch.start.0 && stream.watch.start.0 < store.compacted {
            reply.header = header(0);
            reply.canceled = true;
            reply.compact_revision = Revision(store.compacted);
        } else if !events.is_empty() {
            reply.events = events;
        } else if stream.asked {
            stream.asked = false;
            reply.watch_id = -1;
        } else {
            return;
        }
        if !reply.created {
            stream.told = stream.told.max(applied);
        }
        self.replies.push((stream.client, stream.attempt, Reply::Watch(reply)));
    }

    fn wait(&mut self, longest: u64) {
        let due = self.clients.iter().filter_map(|client| client.engine.poll_timeout()).min();
        let end = self.now + std::time::Duration::from_millis(longest);
        self.now = due.unwrap_or(end).min(end).max(self.now);
        for client in 0..self.clients.len() {
            self.handle(client, Input::Tick);
        }
    }

    /// One thing happens, chosen by two bytes.
    fn step(&mut self, (what, which): (u8, u8)) {
        let which = usize::from(which);
        let (requests, replies) = (self.requests.len(), self.replies.len());
        match what % 32 {
            0..=6 if requests > 0 => {
                let reply = self.arrive(which % requests);
                self.replies.extend(reply);
            }
            // It arrives, but its answer does not.
            7 if requests > 0 => drop(self.arrive(which % requests)),
            // The answer says that nobody knows; it has arrived, or still travels.
            8 | 9 if requests > 0 && which >= 128 => {
                if let Some((client, attempt, _)) = self.arrive(which % requests) {
                    self.replies.push((client, attempt, Reply::Failed(StoreError::TimedOut)));
                }
            }
            8 | 9 if requests > 0 => {
                let (client, attempt, _) = self.requests[which % requests];
                self.replies.push((client, attempt, Reply::Failed(StoreError::TimedOut)));
            }
            // It never arrives; nobody says so, or it may have, or it surely did not.
            10..=12 if requests > 0 => {
                let (client, attempt, _) = self.requests.remove(which % requests);
                let error = match which / 16 % 4 {
                    0 => return,
                    1 => StoreError::LeaderChanged,
                    2 => StoreError::NoLeader,
                    _ => StoreError::NoSpace,
                };
                self.replies.push((client, attempt, Reply::Failed(error)));
            }
            13..=18 if replies > 0 => {
                let (client, attempt, _) = self.replies[which % replies];
                // A stream keeps its order.
                let first = |(c, a, _): &(_, _, _)| (*c, *a) == (client, attempt);
                let place = self.replies.iter().position(first).expect("it is there");
                let (_, _, reply) = self.replies.remove(place);
                self.handle(client, Input::Reply { attempt, reply });
            }
            19..=21 => self.propose(which % 2, which > 250),
            22 | 23 | 31 if !self.streams.is_empty() => self.serve(which % self.streams.len()),
            24 => self.stranger(which),
            25 => self.store.revision += 1,
            26 if which % 8 == 0 => self.store.compacted = self.store.revision,
            27..=29 => self.wait(which as u64),
            30 if which % 4 == 0 => self.wait(10_000),
            _ => {}
        }
    }

    fn stranger(&mut self, which: usize) {
        let current = self.store.current().and_then(|kv| config(&kv.value));
        match which % 8 {
            0..=2 => self.store.delete(),
            // What once stood there, to the byte.
            3 => {
                let puts = self.store.log.iter().filter(|c| c.event.kind == EventKind::Put);
                let values: Vec<_> = puts.map(|change| change.event.kv.value.clone()).collect();
                if let Some(value) = values.get(which / 8 % values.len().max(1)) {
                    self.store.put(value.clone(), By::Stranger);
                }
            }
            // Without ids, somebody may well want the same.
            4 if self.foreign => {
                let value = self.requests.iter().find_map(|(_, _, request)| put_value(request));
                if let Some(value) = value.cloned() {
                    self.store.put(value, By::Stranger);
                }
            }
            _ => {
                let next = current.map_or(0, |config| count(&config)) + 1;
                let config = GroupConfig::new(group(), data(&next.to_string()));
                let written = Layout::default().encode_config(&config, 77).expect("small");
                self.store.put(written.value, By::Stranger);
            }
        }
    }

    /// The clients get no further answers; then all that still travels arrives.
    fn finish(mut self) -> Seen {
        while self.clients.iter().any(|client| client.outcome.is_none()) {
            self.wait(10_000);
        }
        while !self.requests.is_empty() {
            self.arrive(0);
        }
        for (index, client) in self.clients.iter().enumerate() {
            self.check_outcome(index, client);
        }
        self.check_log();
        self.seen
    }

    /// CS1: what the client was told is what the log shows.
    fn check_outcome(&self, index: usize, client: &Client) {
        let own = |change: &&Change| matches!(change.by, By::Client(by, _) if by == index);
        let entries: Vec<_> = self.store.log.iter().filter(own).collect();
        match client.outcome.as_ref().expect("it ended") {
            UpdateOutcome::Done { revision } => {
                let [entry] = &entries[..] else {
                    panic!("CS1: done, with {} entries", entries.len());
                };
                // Our bytes may have been put there again by somebody else.
                let value = |change: &&Change| change.event.kv.mod_revision == *revision;
                let there = self.store.log.iter().find(value).expect("CS1: done, but not there");
                assert_eq!(there.event.kv.value, entry.event.kv.value, "CS1: done, not there");
            }
            UpdateOutcome::Unknown { .. } => assert!(entries.len() <= 1, "CS1: unknown"),
            outcome @ (UpdateOutcome::Conflict
            | UpdateOutcome::Unchanged { .. }
            | UpdateOutcome::Failed { .. }) => {
                assert!(entries.is_empty(), "CS1: {outcome}, with {} entries", entries.len());
            }
        }
    }

    /// CS4: each swap was made from the entry before it.
    fn check_log(&self) {
        let mut before: Option<&KeyEvent> = None;
        for Change { event, by } in &self.store.log {
            if let By::Client(client, operation) = by {
                let last = before.filter(|last| last.kind == EventKind::Put).map(|last| &last.kv);
                let guard = last.map_or(Revision::ZERO, |kv| kv.mod_revision);
                let (sent, _) = self.clients[*client].operations[operation];
                assert_eq!(sent, guard, "CS4: {event}");
                let base = last.and_then(|kv| config(&kv.value)).map_or(0, |base| count(&base));
                let ours = config(&event.kv.value).expect("readable");
                assert_eq!(count(&ours), base + 1, "CS4: {event} lost an update");
            }
            before = Some(event);
        }
    }
}

/// CS2 and CS6: one guard through all attempts, a creation once, and no read from old data.
fn check_request(request: &Request, operations: &mut BTreeMap<u64, (Revision, u32)>) {
    let now = Range::of(KeyRange::one(key()));
    if let Request::Range(range) = request {
        assert_eq!(*range, now, "CS6");
    }
    if let Request::Txn(txn) = request {
        assert_eq!(txn.or_else[..], [Op::Range(now)], "CS6");
        let Target::ModRevision(guard) = txn.compares[0].target else { panic!("{txn}") };
        let value = put_value(request).expect("a swap puts");
        let operation = Layout::default().operation_of(value).expect("it is marked");
        let (first, attempts) = operations.entry(operation).or_insert((guard, 0));
        *attempts += 1;
        assert_eq!(*first, guard, "CS2: another guard");
        assert!(guard > Revision::ZERO || *attempts == 1, "CS2: a creation sent twice");
    }
}

fn config(value: &Value) -> Option<GroupConfig> {
    match Layout::default().decode(&key(), value) {
        Decoded::Config(config) => Some(config),
        Decoded::Instance(_) | Decoded::Ignored | Decoded::Bad(_) => None,
    }
}

fn count(config: &GroupConfig) -> u64 {
    config.data().as_str().parse().expect("a number")
}

fn name(state: &State) -> &'static str {
    match state {
        State::Reading { .. } => "reading",
        State::Proposing { .. } => "proposing",
        State::Swapping { swap, .. } if swap.creates() => "creating",
        State::Swapping { doubt: None, .. } => "swapping",
        State::Swapping { doubt: Some(_), .. } => "swapping again",
        State::Looking { doubted, .. } if doubted.swap.creates() => "looking for a creation",
        State::Looking { .. } => "looking",
        State::Searching(search) if search.doubted.swap.creates() => "searching for a creation",
        State::Searching(_) => "searching",
        State::Pausing { .. } => "pausing",
    }
}

fn run(foreign: bool, steps: impl IntoIterator<Item = (u8, u8)>) -> Seen {
    let mut world = World::new(foreign);
    let mut steps = steps.into_iter().peekable();
    if steps.peek().is_some_and(|&(_, which)| which % 2 == 0) {
        world.stranger(7);
    }
    for step in steps {
        world.step(step);
    }
    world.finish()
}

proptest! {
    /// Lost, late and repeated attempts, a stranger and compactions: CS1 to CS4, CS6, EF4.
    #[test]
    fn outcomes_tell_the_truth(
        foreign: bool,
        steps in prop::collection::vec(any::<(u8, u8)>(), 0..600),
    ) {
        run(foreign, steps);
    }
}

/// The law above proves nothing about what never happens.
#[test]
fn every_ending_happens() {
    let mut rng = Rng::new(7);
    let mut seen = Seen::new();
    for turn in 0..4_000 {
        let steps: Vec<(u8, u8)> = (0..500)
            .map(|_| {
                let [what, which, ..] = rng.bits().to_le_bytes();
                (what, which)
            })
            .collect();
        for (what, times) in run(turn % 4 == 0, steps) {
            *seen.entry(what).or_default() += times;
        }
    }
    for wanted in [
        "creating > done",
        "swapping > done",
        "swapping again > done",
        "looking > done",
        "searching > done",
        "looking for a creation > done",
        "searching for a creation > done",
        "searching > unknown",
        "searching for a creation > unknown",
        "looking > proposing",
        "looking > swapping again",
        "searching > proposing",
        "swapping > conflict",
        "reading > failed",
        "proposing > failed",
        "late attempt applied",
        "late attempt stopped",
    ] {
        assert!(seen.get(wanted).is_some_and(|&times| times >= 5), "{wanted}: {seen:#?}");
    }
}
