//! A store with its whole history, a wire that breaks, and a reader that believes nothing.

use std::collections::BTreeMap;

use super::harness::{FOLLOW, delete, lost, put, setup, valued};
use crate::engine::{Command, Engine, Event, FollowSeq, Followed, Gap, Input, Output};
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{
    AttemptId, EventKind, Header, Key, KeyEvent, KeyRange, KeyValue, Op, OpReply, Range,
    RangeReply, Reply, Request, Revision, StatusReply, StoreError, Txn, TxnReply, Watch,
    WatchReply,
};

/// What happens next.
#[derive(Clone, Debug)]
pub enum Turn {
    /// Keys at one revision: 0 deletes, else a value. The last key is outside the range.
    Write(BTreeMap<u8, u8>),
    Compact(u8),
    Break,
    /// Another history: the first revisions of this one, and some of its own.
    Restore(u8),
    /// All that was asked is answered, and what follows from it too.
    Flow,
    /// The reader takes so many, and acknowledges the last.
    Take(u8),
    /// Whether progress is answered, and events come one by one, and twice.
    Manner([bool; 3]),
    Wait(u64),
}

pub const LIMIT: u32 = 5;
pub const KEYS: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone)]
struct Store {
    /// Tells its values from those of the others.
    name: usize,
    raft_term: u64,
    compacted: i64,
    /// The events of revision 2, of 3, and so on; those outside the range left out.
    history: Vec<Vec<KeyEvent>>,
}

type Content = BTreeMap<Key, KeyValue>;

impl Store {
    fn revision(&self) -> i64 {
        1 + i64::try_from(self.history.len()).expect("short")
    }

    fn at(&self, revision: i64) -> Option<Content> {
        let mut all = BTreeMap::new();
        let count = usize::try_from(revision - 1).ok()?;
        for event in self.history.get(..count)?.iter().flatten() {
            match event.kind {
                EventKind::Put => all.insert(event.kv.key.clone(), event.kv.clone()),
                EventKind::Delete => all.remove(&event.kv.key),
            };
        }
        Some(all)
    }

    fn events(&self, revision: i64) -> &[KeyEvent] {
        let at = usize::try_from(revision - 2).ok();
        at.and_then(|at| self.history.get(at)).map_or(&[], Vec::as_slice)
    }

    fn write(&mut self, changes: &BTreeMap<u8, u8>) {
        let revision = self.revision() + 1;
        let old = self.at(revision - 1).expect("the present");
        let (mut events, mut any) = (Vec::new(), false);
        for (&key, &what) in changes {
            let Some(id) = KEYS.get(usize::from(key)) else {
                any = true;
                continue;
            };
            let known = old.get(&put(id, 0, 0).kv.key);
            let create = known.map_or(revision, |kv| kv.create_revision.0);
            let mut event = match (what, known) {
                (0, None) => continue,
                (0, Some(_)) => delete(id, revision),
                _ => self.put(id, create, revision),
            };
            event.prev = known.cloned();
            events.push(event);
        }
        if any || !events.is_empty() {
            self.history.push(events);
        }
    }

    fn put(&self, id: &str, create: i64, revision: i64) -> KeyEvent {
        valued(put(id, create, revision), &format!("{}: {revision}", self.name))
    }

    fn header(&self) -> Header {
        let &Self { raft_term, .. } = self;
        Header { cluster_id: 7, member_id: 1, revision: Revision(self.revision()), raft_term }
    }

    fn range(&self, range: &Range) -> Result<RangeReply, StoreError> {
        let at = match range.revision.0 {
            ..=0 => self.revision(),
            revision if revision < self.compacted => return Err(StoreError::Compacted),
            revision => revision,
        };
        let all = self.at(at).ok_or(StoreError::FutureRevision)?;
        let mut kvs: Vec<_> = all.into_values().filter(|kv| range.keys.contains(&kv.key)).collect();
        if range.sort.is_some() {
            kvs.sort_by_key(|kv| std::cmp::Reverse(kv.mod_revision));
        }
        let count = kvs.len();
        if range.limit > 0 {
            kvs.truncate(usize::try_from(range.limit).expect("a limit"));
        }
        let more = kvs.len() < count;
        Ok(RangeReply {
            header: self.header(),
            kvs,
            more,
            count: i64::try_from(count).expect("few"),
        })
    }
}

impl Store {
    /// One of reads alone.
    fn txn(&self, txn: &Txn) -> Result<TxnReply, StoreError> {
        assert!(txn.compares.is_empty() && txn.or_else.is_empty());
        let read = |op: &Op| {
            let Op::Range(range) = op else { panic!("a follower never does that: {op:?}") };
            let read = self.range(range)?;
            let header = Header { revision: read.header.revision, ..Header::default() };
            Ok(OpReply::Range(RangeReply { header, ..read }))
        };
        let responses = txn.then.iter().map(read).collect::<Result<_, _>>()?;
        Ok(TxnReply { header: self.header(), succeeded: true, responses })
    }
}

struct Flight {
    request: Request,
    created: bool,
    next: i64,
    asked: bool,
}

pub struct World {
    engine: Engine,
    now: Time,
    /// Every store there was; the last one is there now.
    stores: Vec<Store>,
    flights: BTreeMap<AttemptId, Flight>,
    manner: [bool; 3],
    reader: Reader,
    pub told: BTreeMap<&'static str, usize>,
}

/// What the reader was told, and what it may believe.
#[derive(Default)]
struct Reader {
    /// Told, not acknowledged: number, events.
    open: Vec<(FollowSeq, usize)>,
    at: i64,
    content: Content,
    /// Whether a gap was declared and no whole list came since; so it is before it begins.
    broken: bool,
    begun: bool,
    listed: Content,
    /// Which stores fit what was told since the last list.
    of: Vec<usize>,
}

impl World {
    pub fn new(from: Option<i64>) -> Self {
        let tuning = Tuning { follow_events: LIMIT, page_limit: 2, ..Tuning::default() };
        let store = Store { name: 0, raft_term: 5, compacted: 0, history: Vec::new() };
        let mut world = Self {
            engine: Engine::new(Time::ZERO, setup(tuning)),
            now: Time::ZERO,
            stores: vec![store],
            flights: BTreeMap::new(),
            manner: [false; 3],
            reader: Reader::default(),
            told: BTreeMap::new(),
        };
        let (keys, from) = (KeyRange::prefix("k"), from.map(Revision));
        world.handle(Input::Command(Command::Follow { id: FOLLOW, keys, from }));
        world
    }

    pub fn turn(&mut self, turn: Turn) {
        match turn {
            Turn::Write(changes) => self.store().write(&changes),
            Turn::Compact(back) => {
                let store = self.store();
                store.compacted = store.compacted.max(store.revision() - i64::from(back));
            }
            Turn::Break => self.broken(),
            Turn::Restore(keep) if self.stores.len() < 5 => self.restore(keep),
            Turn::Restore(_) => {}
            Turn::Flow => self.flow(),
            Turn::Take(count) => self.take(usize::from(count)),
            Turn::Manner(manner) => self.manner = manner,
            Turn::Wait(millis) => self.wait(millis),
        }
    }

    /// All is well again, and the reader takes all: it ends with what the store has.
    pub fn heals(&mut self) {
        self.manner = [false; 3];
        // A page of two records a turn, and none is left unanswered for long.
        for _ in 0..12 {
            for _ in 0..80 {
                self.flow();
                self.take(usize::MAX);
            }
            self.wait(10_000);
        }
        let reader = &self.reader;
        let now = self.stores.last().expect("one");
        let at_rest = reader.begun && !reader.broken;
        assert!(at_rest, "it never goes on: {:?} {:?}", self.told, self.engine.follows);
        assert_eq!(Some(&reader.content), now.at(now.revision()).as_ref(), "not all was told");
    }

    fn store(&mut self) -> &mut Store {
        self.stores.last_mut().expect("one")
    }

    fn broken(&mut self) {
        for attempt in self.flights.keys().copied().collect::<Vec<_>>() {
            self.flights.remove(&attempt);
            self.handle(Input::Reply { attempt, reply: Reply::Failed(lost()) });
        }
    }

    fn restore(&mut self, keep: u8) {
        let mut store = self.stores.last().expect("one").clone();
        store.history.truncate(usize::from(keep));
        store.raft_term += 1;
        store.compacted = store.compacted.min(store.revision());
        store.name = self.stores.len();
        self.stores.push(store);
        self.broken();
    }

    fn take(&mut self, count: usize) {
        let taken: Vec<_> = self.reader.open.drain(..count.min(self.reader.open.len())).collect();
        if let Some(&(seq, _)) = taken.last() {
            self.handle(Input::Command(Command::Acknowledge { id: FOLLOW, seq }));
        }
    }

    fn wait(&mut self, millis: u64) {
        let end = self.now + std::time::Duration::from_millis(millis);
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.handle(Input::Tick);
        }
        self.now = end;
    }

    fn flow(&mut self) {
        for _ in 0..1_000 {
            let replies: Vec<_> = self.flights.keys().copied().collect();
            let mut said = false;
            for attempt in replies {
                for reply in self.answers(attempt) {
                    said = true;
                    self.handle(Input::Reply { attempt, reply });
                }
            }
            if !said {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn answers(&mut self, attempt: AttemptId) -> Vec<Reply> {
        let Some(flight) = self.flights.get_mut(&attempt) else { return Vec::new() };
        let store = self.stores.last().expect("one");
        let header = store.header();
        let reply = if let Request::Watch(watch) = flight.request.clone() {
            return flight.tell(store, &watch, self.manner);
        } else if let Request::Range(range) = &flight.request {
            store.range(range).map_or_else(Reply::Failed, Reply::Range)
        } else if let Request::Txn(txn) = &flight.request {
            store.txn(txn).map_or_else(Reply::Failed, Reply::Txn)
        } else {
            assert_eq!(flight.request, Request::Status, "a follower never asks that");
            let version = "3.5.30".to_owned();
            Reply::Status(StatusReply { header, version, ..StatusReply::default() })
        };
        self.flights.remove(&attempt);
        vec![reply]
    }

    fn handle(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { request: Request::OnWatch { stream, .. }, .. } => {
                    self.flights.get_mut(&stream).expect("an open stream").asked = true;
                }
                Output::Send { attempt, request, .. } => {
                    let flight = Flight { request, created: false, next: 0, asked: false };
                    self.flights.insert(attempt, flight);
                }
                Output::Cancel { attempt } => drop(self.flights.remove(&attempt)),
                Output::Redial { .. } | Output::Introduce { .. } => {}
                Output::Event(Event::Followed { seq, what, .. }) => self.told(seq, what),
                Output::Event(event) => panic!("no event of a follower: {event}"),
            }
        }
        assert!(self.flights.len() <= 3, "calls are forgotten");
        let mut twin = self.engine.clone();
        twin.handle(self.now, Input::Tick);
        assert!(twin == self.engine, "a tick without need had an effect");
    }

    fn told(&mut self, seq: FollowSeq, what: Followed) {
        let reader = &mut self.reader;
        let size = match &what {
            Followed::Changes { events } => events.len(),
            Followed::Listed { records, .. } => records.len(),
            Followed::Begun { .. } | Followed::Lagged { .. } | Followed::Gap { .. } => 0,
        };
        assert!(reader.open.last().is_none_or(|(last, _)| *last < seq), "numbers rise");
        let held: usize = reader.open.iter().map(|(_, size)| size).sum();
        let whole = match &what {
            Followed::Changes { events } => {
                events.iter().all(|event| event.kv.mod_revision == events[0].kv.mod_revision)
            }
            Followed::Begun { .. }
            | Followed::Lagged { .. }
            | Followed::Gap { .. }
            | Followed::Listed { .. } => size <= 1,
        };
        let limit = usize::try_from(LIMIT).expect("small");
        assert!(
            size == 0 || held + size <= limit || held == 0 && whole,
            "{held} held and {size} more"
        );
        reader.open.push((seq, size));
        assert!(reader.open.len() <= limit + 6, "what costs nothing piles up");
        let what = match what {
            Followed::Begun { revision } => {
                assert!(!reader.begun && !reader.broken, "it begins once");
                reader.begun = true;
                reader.at = revision.0;
                reader.of = vec![self.stores.len() - 1];
                let store = self.stores.last().expect("one");
                reader.content = store.at(revision.0).expect("it was read there");
                "begun"
            }
            Followed::Changes { events } => {
                assert!(reader.begun && !reader.broken, "changes after a gap, before a list");
                for whole in events.chunk_by(|a, b| a.kv.mod_revision == b.kv.mod_revision) {
                    reader.step(&self.stores, whole);
                }
                "changes"
            }
            Followed::Lagged { after } => {
                assert!(after.0 >= reader.at && !reader.broken);
                reader.broken = true;
                "lagged"
            }
            Followed::Gap { after, why } => {
                assert!(reader.broken || after.0 >= reader.at);
                assert!(why != Gap::NewEpoch || self.stores.len() > 1 || !reader.begun);
                reader.broken = true;
                reader.begun = true;
                match why {
                    Gap::Compacted => "compacted",
                    Gap::NewEpoch => "new epoch",
                    Gap::Differs => "differs",
                    Gap::Audited | Gap::Garbled => "garbled",
                }
            }
            Followed::Listed { revision, first, complete, records } => {
                assert!(reader.broken, "a list without a gap");
                if first {
                    reader.listed.clear();
                }
                let records = records.into_iter().map(|kv| (kv.key.clone(), kv));
                reader.listed.extend(records);
                if complete {
                    reader.broken = false;
                    reader.at = revision.0;
                    reader.content = std::mem::take(&mut reader.listed);
                    let fits = |of: &usize| {
                        self.stores[*of].at(revision.0).as_ref() == Some(&reader.content)
                    };
                    reader.of = (0..self.stores.len()).filter(fits).collect();
                    assert!(!reader.of.is_empty(), "never so in a store");
                }
                "listed"
            }
        };
        *self.told.entry(what).or_default() += 1;
    }
}

impl Reader {
    /// A whole revision: just what some store did at it, and nothing lies between. The store may
    /// have become another one unseen, as long as that had the same by then.
    fn step(&mut self, stores: &[Store], events: &[KeyEvent]) {
        let at = events[0].kv.mod_revision.0;
        assert!(at > self.at, "told twice");
        let first = self.of.first().copied().unwrap_or_default();
        self.of = (first..stores.len())
            .filter(|of| stores[*of].at(self.at).as_ref() == Some(&self.content))
            .collect();
        let next = |store: &Store| {
            (self.at + 1..at).all(|between| store.events(between).is_empty())
                && store.events(at) == events
        };
        self.of.retain(|of| next(&stores[*of]));
        assert!(!self.of.is_empty(), "no store did that after {}: {events:?}", self.at);
        for event in events {
            let before = match event.kind {
                EventKind::Put => self.content.insert(event.kv.key.clone(), event.kv.clone()),
                EventKind::Delete => self.content.remove(&event.kv.key),
            };
            assert_eq!(before, event.prev, "what was there before");
        }
        self.at = at;
        let of = self.of.first().expect("not empty");
        assert_eq!(Some(&self.content), stores[*of].at(at).as_ref());
    }
}

impl Flight {
    fn tell(&mut self, store: &Store, watch: &Watch, manner: [bool; 3]) -> Vec<Reply> {
        let [mute, in_parts, twice] = manner;
        let mut said = Vec::new();
        let reply = WatchReply { header: store.header(), ..WatchReply::default() };
        if !self.created {
            self.created = true;
            self.next = watch.start.0.max(2);
            said.push(WatchReply { created: true, ..reply.clone() });
            if watch.start.0 < store.compacted {
                let compact_revision = Revision(store.compacted);
                said.push(WatchReply { canceled: true, compact_revision, ..reply });
                return said.into_iter().map(Reply::Watch).collect();
            }
        }
        let events: Vec<_> =
            (self.next..=store.revision()).flat_map(|at| store.events(at).to_vec()).collect();
        self.next = self.next.max(store.revision() + 1);
        for _ in 0..=usize::from(twice) {
            let parts = events.chunks(if in_parts { 1 } else { usize::MAX });
            let last = parts.len();
            said.extend(parts.enumerate().map(|(at, part)| WatchReply {
                fragment: at + 1 < last,
                events: part.to_vec(),
                ..reply.clone()
            }));
        }
        if !mute && std::mem::take(&mut self.asked) {
            said.push(WatchReply { watch_id: -1, ..reply });
        }
        said.into_iter().map(Reply::Watch).collect()
    }
}
