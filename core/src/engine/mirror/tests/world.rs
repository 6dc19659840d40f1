//! A store with its whole history, and a wire that loses, delays, breaks and repeats.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use super::harness::{DIRECTORY, delete_key, engine, lost, put, record};
use super::viewer::Viewer;
use crate::engine::{Command, Engine, Freshness, Input, Output, Snapshot};
use crate::layout::Scope;
use crate::rng::hash;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{
    AttemptId, EventKind, Header, Key, KeyEvent, KeyValue, Range, RangeReply, Reply, Request,
    Revision, SortTarget, StatusReply, StoreError, Watch, WatchReply, WatchSay,
};

/// One history. What it writes tells it from others, as the stamps of registrations do.
#[derive(Clone)]
pub struct Store {
    name: usize,
    cluster_id: u64,
    raft_term: u64,
    compacted: i64,
    /// The events of revision 2, of 3, and so on.
    history: Vec<Vec<KeyEvent>>,
}

impl Store {
    pub fn new() -> Self {
        Self { name: 0, cluster_id: 0xc, raft_term: 5, compacted: 0, history: Vec::new() }
    }

    fn revision(&self) -> i64 {
        1 + i64::try_from(self.history.len()).expect("short")
    }

    /// Writes keys at one revision: 0 deletes, 1 puts what cannot be read, else an address.
    fn write(&mut self, changes: &BTreeMap<u8, u8>) {
        let revision = self.revision() + 1;
        let old = self.at(revision - 1).unwrap_or_default();
        let mut events = Vec::new();
        for (&key, &what) in changes {
            let key = KEYS[usize::from(key) % KEYS.len()];
            let known = old.get(key.as_bytes());
            let create = known.map_or(revision, |kv| kv.create_revision.0);
            match (what, known) {
                (0, None) => {}
                (0, Some(_)) => events.push(delete_key(key, revision)),
                (1, _) => {
                    let value = format!("{{{}", self.name);
                    events.push(put(record(key, &value, create, revision)));
                }
                (n, _) => {
                    let value = format!(r#"{{"Addr":"h{}:{n}"}}"#, self.name);
                    events.push(put(record(key, &value, create, revision)));
                }
            }
        }
        if !events.is_empty() {
            self.history.push(events);
        }
    }

    /// Another history that has the first `keep` revisions in common.
    fn fork(&self, name: usize, keep: usize) -> Self {
        let mut fork = Self { name, ..self.clone() };
        fork.history.truncate(keep);
        fork.compacted = fork.compacted.min(fork.revision());
        fork
    }

    /// All there was at a revision; `None` if there was none.
    pub fn at(&self, revision: i64) -> Option<BTreeMap<Key, KeyValue>> {
        let mut all = BTreeMap::new();
        let revisions = usize::try_from(revision - 1).ok()?;
        for event in self.history.get(..revisions)?.iter().flatten() {
            match event.kind {
                EventKind::Put => all.insert(event.kv.key.clone(), event.kv.clone()),
                EventKind::Delete => all.remove(&event.kv.key),
            };
        }
        Some(all)
    }

    fn header(&self, revision: i64) -> Header {
        let revision = Revision(revision);
        Header { cluster_id: self.cluster_id, member_id: 7, revision, raft_term: self.raft_term }
    }

    fn range(&self, range: &Range) -> Result<RangeReply, StoreError> {
        let at = match range.revision.0 {
            ..=0 => self.revision(),
            revision if revision < self.compacted => return Err(StoreError::Compacted),
            revision => revision,
        };
        let all = self.at(at).ok_or(StoreError::FutureRevision)?;
        let mut kvs: Vec<_> = all.into_values().filter(|kv| range.keys.contains(&kv.key)).collect();
        if matches!(range.sort, Some((SortTarget::Mod, _))) {
            kvs.sort_by_key(|kv| std::cmp::Reverse(kv.mod_revision));
        }
        let count = kvs.len();
        kvs.truncate(usize::try_from(range.limit).expect("lists have a limit"));
        let more = kvs.len() < count;
        let count = i64::try_from(count).expect("few");
        Ok(RangeReply { header: self.header(self.revision()), kvs, more, count })
    }
}

/// Three instances, and one key that is nothing of ours.
const KEYS: [&str; 4] = ["shop/cart/a", "shop/cart/b", "shop/leader", "shop/mail/a"];

/// What happens next.
#[derive(Clone, Debug)]
pub enum Turn {
    Write(BTreeMap<u8, u8>),
    /// The store looks at an attempt, or tells more on a stream.
    Run(u8),
    /// Of an attempt the oldest message arrives.
    Deliver(u8),
    /// All is looked at, all that was said arrives, and what follows from it too.
    Flow,
    /// Nothing of what was sent for an attempt, or will be, arrives.
    Lose(u8),
    Fail(u8, StoreError),
    /// All connections break.
    Break,
    /// A watch is cancelled in band.
    Cancel(u8),
    Compact(u8),
    /// Another history: the first revisions of this one, and some more.
    Restore {
        keep: u8,
        other_cluster: bool,
        term_back: bool,
        writes: Vec<BTreeMap<u8, u8>>,
    },
    /// Watches are served by a member that is behind.
    Lag(u8),
    Manner(Manner),
    Wait(Duration),
}

/// How watches are served.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    pub in_parts: bool,
    pub twice: bool,
    pub mute: bool,
    pub old_version: bool,
    /// Confirmed, and silent from then on.
    pub stuck: bool,
}

struct Flight {
    request: Request,
    /// What the store said, oldest first; it has not arrived yet.
    said: VecDeque<Reply>,
    /// A call that was carried out, or a stream whose end was said.
    over: bool,
    created: bool,
    /// The next revision that a stream tells.
    next: i64,
    asked: bool,
    lost: bool,
}

pub struct World {
    engine: Engine,
    now: Time,
    store: Store,
    past: Vec<Store>,
    lag: i64,
    manner: Manner,
    flights: BTreeMap<AttemptId, Flight>,
    pub viewer: Viewer,
    trace: String,
}

impl World {
    pub fn new() -> Self {
        let manner = Manner::default();
        let mut world = Self {
            engine: engine(Tuning { page_limit: 2, ..Tuning::default() }),
            now: Time::ZERO,
            store: Store::new(),
            past: Vec::new(),
            lag: 0,
            manner,
            flights: BTreeMap::new(),
            viewer: Viewer::default(),
            trace: String::new(),
        };
        let scope = Scope::AllInstances;
        world.handle(Input::Command(Command::Open { id: DIRECTORY, scope }));
        world
    }

    pub fn turn(&mut self, turn: Turn) {
        if !matches!(turn, Turn::Run(_) | Turn::Deliver(_) | Turn::Flow) {
            writeln!(self.trace, "{} - {turn:?}", self.now).expect("a string takes all");
        }
        match turn {
            Turn::Write(changes) => self.store.write(&changes),
            Turn::Run(which) => drop(self.pick(which).map(|attempt| self.run(attempt))),
            Turn::Deliver(which) => drop(self.pick(which).map(|attempt| self.deliver(attempt))),
            Turn::Flow => self.flow(),
            Turn::Lose(which) => self.on(which, |flight| flight.lost = true),
            Turn::Fail(which, error) => self.on(which, |flight| flight.end(error)),
            Turn::Break => self.break_all(),
            Turn::Cancel(which) => self.on(which, |flight| {
                if matches!(flight.request, Request::Watch(_)) {
                    let reply = WatchReply { canceled: true, ..WatchReply::default() };
                    flight.said.push_back(Reply::Watch(reply));
                    flight.over = true;
                }
            }),
            Turn::Compact(behind) => {
                let at = self.store.revision() - i64::from(behind);
                self.store.compacted = self.store.compacted.max(at);
            }
            Turn::Restore { keep, other_cluster, term_back, writes } => {
                let mut store = self.store.fork(self.past.len() + 1, usize::from(keep));
                store.cluster_id += u64::from(other_cluster);
                store.raft_term -= u64::from(term_back && store.raft_term > 1);
                for changes in writes {
                    store.write(&changes);
                }
                self.past.push(std::mem::replace(&mut self.store, store));
                self.break_all();
            }
            Turn::Lag(behind) => self.lag = i64::from(behind),
            Turn::Manner(manner) => self.manner = manner,
            Turn::Wait(span) => self.wait(span),
        }
    }

    /// The faults end. Whether all is shown, live, within a time.
    pub fn heals(&mut self) -> bool {
        self.lag = 0;
        self.manner = Manner::default();
        self.flights.values_mut().filter(|flight| flight.lost).for_each(|f| f.end(lost()));
        let end = self.now + Duration::from_secs(300);
        loop {
            self.flow();
            let snapshot = self.engine.snapshot(DIRECTORY).expect("open");
            if snapshot.freshness == Freshness::Live
                && self.store.at(self.store.revision()).is_some_and(|all| shows(snapshot, &all))
            {
                return true;
            }
            let due = self.engine.poll_timeout().expect("a mirror always waits for something");
            if due > end {
                return false;
            }
            self.now = due;
            self.handle(Input::Tick);
        }
    }

    pub fn restores(&self) -> usize {
        self.past.len()
    }

    fn pick(&self, which: u8) -> Option<AttemptId> {
        let count = self.flights.len().max(1);
        self.flights.keys().nth(usize::from(which) % count).copied()
    }

    fn on(&mut self, which: u8, change: impl FnOnce(&mut Flight)) {
        if let Some(attempt) = self.pick(which) {
            change(self.flights.get_mut(&attempt).expect("picked from them"));
        }
    }

    /// What was said on streams may still arrive, answers to calls are lost.
    fn break_all(&mut self) {
        for flight in self.flights.values_mut() {
            let stream = matches!(flight.request, Request::Watch(_));
            if stream && flight.over {
                continue;
            }
            if !stream {
                flight.said.clear();
            }
            flight.end(lost());
        }
    }

    fn run(&mut self, attempt: AttemptId) {
        let Some(flight) = self.flights.get_mut(&attempt).filter(|flight| !flight.over) else {
            return;
        };
        match &flight.request {
            Request::Range(range) => flight.answer(match self.store.range(range) {
                Ok(reply) => Reply::Range(reply),
                Err(error) => Reply::Failed(error),
            }),
            Request::Status => {
                let version = if self.manner.old_version { "3.5.7" } else { "3.5.30" };
                flight.answer(Reply::Status(StatusReply {
                    header: self.store.header(self.store.revision()),
                    version: version.to_owned(),
                    ..StatusReply::default()
                }));
            }
            Request::Watch(watch) => {
                let watch = watch.clone();
                flight.tell(&self.store, &watch, self.lag, self.manner);
            }
            Request::Put(_)
            | Request::Delete(_)
            | Request::Txn(_)
            | Request::Compact(_)
            | Request::Grant(_)
            | Request::Revoke(_)
            | Request::KeepAlive(_)
            | Request::TimeToLive(_)
            | Request::Leases
            | Request::OnWatch { .. }
            | Request::Members
            | Request::Authenticate => panic!("a mirror never asks {}", flight.request),
        }
    }

    fn deliver(&mut self, attempt: AttemptId) -> bool {
        let flight = self.flights.get_mut(&attempt).filter(|flight| !flight.lost);
        let Some(reply) = flight.and_then(|flight| flight.said.pop_front()) else {
            return false;
        };
        if !matches!(reply, Reply::Watch(_)) {
            self.flights.remove(&attempt);
        }
        self.handle(Input::Reply { attempt, reply });
        true
    }

    /// Lets all that is open be looked at and arrive, until nothing is said any more.
    fn flow(&mut self) {
        for _ in 0..1_000 {
            let mut said = false;
            for attempt in self.flights.keys().copied().collect::<Vec<_>>() {
                self.run(attempt);
                said |= self.deliver(attempt);
            }
            if !said {
                return;
            }
        }
        panic!("it never comes to rest\n{}", self.trace);
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            assert!(due > self.now, "a timer that is due and was not run");
            // A tick before anything is due does nothing.
            let between = Time::from_nanos(due.as_nanos() - 1);
            let mut early = self.engine.clone();
            early.handle(between, Input::Tick);
            assert_eq!(early.poll_output(), None);
            self.now = due;
            self.handle(Input::Tick);
        }
        self.now = end;
    }

    fn handle(&mut self, input: Input) {
        writeln!(self.trace, "{} > {input}", self.now).expect("a string takes all");
        self.engine.handle(self.now, input);
        while let Some(output) = self.engine.poll_output() {
            writeln!(self.trace, "{} < {output}", self.now).expect("a string takes all");
            match output {
                Output::Send { attempt, request, .. } => self.send(attempt, request),
                Output::Redial { .. } | Output::Introduce { .. } => {}
                Output::Cancel { attempt } => drop(self.flights.remove(&attempt)),
                Output::Event(event) => self.viewer.see(&event),
            }
        }
        let snapshot = self.engine.snapshot(DIRECTORY).expect("open");
        self.viewer.check_told(snapshot);
        if snapshot.freshness != Freshness::Unsynced {
            let real = self.past.iter().chain([&self.store]);
            let mut real = real.filter_map(|store| store.at(snapshot.revision.0));
            let real = real.any(|all| shows(snapshot, &all));
            assert!(real, "never so in the store: {snapshot}\n{}", self.trace);
        }
        let stream = |flight: &&Flight| matches!(flight.request, Request::Watch(_));
        assert!(self.flights.values().filter(stream).count() <= 1, "two streams are open");
        assert!(self.flights.len() <= 3, "calls are forgotten");
        // A tick more changes nothing.
        let mut twin = self.engine.clone();
        twin.handle(self.now, Input::Tick);
        assert!(twin == self.engine, "a tick without need had an effect");
    }

    fn send(&mut self, attempt: AttemptId, request: Request) {
        if let Request::OnWatch { stream, say } = request {
            assert_eq!(say, WatchSay::Progress);
            let flight = self.flights.get_mut(&stream).expect("said on an open stream");
            flight.asked = true;
            return;
        }
        let flight = Flight {
            request,
            said: VecDeque::new(),
            over: false,
            created: false,
            next: 0,
            asked: false,
            lost: false,
        };
        self.flights.insert(attempt, flight);
    }
}

impl Flight {
    fn answer(&mut self, reply: Reply) {
        self.said.push_back(reply);
        self.over = true;
    }

    fn end(&mut self, error: StoreError) {
        self.lost = false;
        self.answer(Reply::Failed(error));
    }

    /// Tells what a stream has to tell, as far as its member is.
    fn tell(&mut self, store: &Store, watch: &Watch, lag: i64, manner: Manner) {
        let here = (store.revision() - lag).max(1);
        let reply = WatchReply { header: store.header(here), ..WatchReply::default() };
        if !self.created {
            self.created = true;
            // Nothing was ever written at the first revision.
            self.next = watch.start.0.max(2);
            self.said.push_back(Reply::Watch(WatchReply { created: true, ..reply.clone() }));
            if self.next < store.compacted {
                let header = store.header(0);
                let compact_revision = Revision(store.compacted);
                let reply = WatchReply { header, canceled: true, compact_revision, ..reply };
                self.answer(Reply::Watch(reply));
                return;
            }
        }
        if manner.stuck {
            return;
        }
        let mut events = Vec::new();
        while self.next <= here {
            let at = usize::try_from(self.next - 2).expect("from 2 on");
            events.extend(store.history[at].iter().cloned());
            self.next += 1;
        }
        if !events.is_empty() {
            for _ in 0..=usize::from(manner.twice) {
                self.events(&reply, &events, manner.in_parts);
            }
        }
        if self.asked && !manner.mute {
            self.asked = false;
            self.said.push_back(Reply::Watch(WatchReply { watch_id: -1, ..reply }));
        }
    }

    fn events(&mut self, reply: &WatchReply, events: &[KeyEvent], in_parts: bool) {
        let size = if in_parts { 1 } else { events.len() };
        let parts = events.chunks(size);
        let last = parts.len() - 1;
        for (at, part) in parts.enumerate() {
            let (fragment, events) = (at < last, part.to_vec());
            self.said.push_back(Reply::Watch(WatchReply { fragment, events, ..reply.clone() }));
        }
    }
}

/// Whether a snapshot is just this content.
fn shows(snapshot: &Snapshot, all: &BTreeMap<Key, KeyValue>) -> bool {
    let records = snapshot.records.iter();
    let records = records.map(|(key, record)| (key, (record.mod_revision, record.value_hash)));
    let bad = snapshot.bad.iter();
    let bad = bad.map(|(key, unread)| (key, (unread.mod_revision, unread.value_hash)));
    let shown: BTreeMap<_, _> = records.chain(bad).collect();
    let real = all.iter().filter(|(key, _)| *key != &Key::from(KEYS[2]));
    let readable = |kv: &KeyValue| kv.value.ends_with(b"}");
    real.clone().map(|(key, kv)| (key, (kv.mod_revision, hash(&kv.value)))).eq(shown)
        && real.filter(|(_, kv)| readable(kv)).count() == snapshot.records.len()
}
