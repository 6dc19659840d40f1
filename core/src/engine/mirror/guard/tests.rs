mod leases;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::replica::Replica;
use super::*;
use crate::engine::output::Output;
use crate::engine::wire::Wire;
use crate::engine::{DirectoryId, GuardRule};
use crate::instance::Stamp;
use crate::layout::Layout;
use crate::name::{GroupName, InstanceId};
use crate::rng::Rng;
use crate::tuning::Tuning;
use crate::waist::{EventKind, Header, KeyEvent, KeyValue, Revision, StoreError, TimeToLiveReply};

const TTL: Duration = Duration::from_secs(15);
const HOLD: Duration = Duration::from_secs(300);

/// Leases that end at these seconds, beside so many that live: whether it trips at the last of
/// them, and with which numbers.
#[test]
fn what_makes_it_trip() {
    type Case = (&'static [u64], usize, Option<(u32, u32)>);
    let cases: [Case; 10] = [
        (&[], 0, None),
        (&[0, 0], 0, None),
        (&[0, 0, 0], 0, Some((3, 3))),
        (&[0, 0, 0], 2, Some((3, 5))),
        (&[0, 0, 0], 3, None),
        (&[0, 7, 15], 2, Some((3, 5))),
        (&[0, 7, 16], 2, None),
        (&[0, 7, 16], 0, None),
        (&[0, 7, 16, 17], 0, Some((3, 3))),
        (&[0, 0, 0, 0, 0, 0], 5, Some((6, 11))),
    ];
    for (ends, living, expected) in cases {
        let mut world = World::new();
        let count = ends.len() + living;
        let ids: Vec<_> = (0..count).map(|id| u8::try_from(id).expect("few")).collect();
        world.turn(Turn::Register(ids.clone()));
        for (second, id) in ends.iter().zip(&ids) {
            world.now = Time::ZERO + Duration::from_secs(*second);
            world.turn(Turn::Expire(*id));
            world.turn(Turn::Answer);
        }
        let tripped = world.news.iter().find_map(|news| match news {
            GuardNews::Tripped { rule, .. } => Some(*rule),
            GuardNews::Dropped { .. } | GuardNews::Ended { .. } => None,
        });
        let rule = expected.map(|(leases_gone, of)| GuardRule { leases_gone, of, within: TTL });
        assert_eq!(tripped, rule, "{ends:?} beside {living}");
        let kept = expected.map_or(0, |(gone, _)| gone);
        assert_eq!(world.guard.suspects().len(), kept as usize, "{ends:?} beside {living}");
        assert_eq!(world.guard.is_tripped(), kept > 0);
    }
}

#[test]
fn a_process_that_takes_many_instances_along_is_one_failure() {
    let mut world = World::new();
    world.turn(Turn::Register(vec![0]));
    let lease = world.store[&0].lease;
    let more = (1..6).map(|id| (id, Standing { lease, draining: false }));
    let events = more.map(|(id, standing)| world.put(id, standing)).collect();
    world.apply(events);
    world.turn(Turn::Register(vec![6]));
    world.turn(Turn::Expire(0));
    assert_eq!(world.store.len(), 1, "all but one are gone");
    assert!(world.guard.suspects().is_empty());
    assert!(world.asked.is_empty(), "with two leases it never trips, so nothing is asked");
}

/// The longest time to live counts, once a lease has told it.
#[test]
fn a_longer_time_to_live_is_learned_from_what_lives() {
    let mut world = World::new();
    world.granted = 60;
    world.turn(Turn::Register(vec![0, 1, 2, 3]));
    for (id, second) in [(0, 0), (1, 30), (2, 60)] {
        world.now = Time::ZERO + Duration::from_secs(second);
        world.turn(Turn::Expire(id));
        world.turn(Turn::Answer);
    }
    assert_eq!(world.guard.suspects().len(), 3);
    let rule = GuardRule { leases_gone: 3, of: 4, within: Duration::from_secs(60) };
    let group = "cart".to_owned();
    assert_eq!(world.news, [GuardNews::Tripped { group, rule }]);
}

/// A directory of thousands asks for few.
#[test]
fn what_is_asked_is_bounded_and_stands_for_the_rest() {
    for (expired, kept) in [(false, 0), (true, 100)] {
        let mut world = World::new();
        world.turn(Turn::Register((0..100).collect()));
        let ids: Vec<u8> = (0..100).collect();
        let events = ids.iter().map(|id| world.delete(*id)).collect();
        if expired {
            world.leases.clear();
        }
        world.apply(events);
        assert_eq!(world.guard.suspects().len(), 100, "nothing flaps while it asks");
        assert_eq!(world.asked.len(), 32);
        world.turn(Turn::Answer);
        assert_eq!(world.guard.suspects().len(), kept);
        assert_eq!(world.guard.is_tripped(), expired);
        let rule = GuardRule { leases_gone: 100, of: 100, within: TTL };
        let tripped = GuardNews::Tripped { group: "cart".to_owned(), rule };
        assert_eq!(world.news.contains(&tripped), expired);
        world.turn(Turn::Answer);
        assert!(world.asked.is_empty());
    }
}

#[test]
fn off_it_keeps_and_asks_nothing() {
    let mut world = World::with(Tuning { guard: Switch::Off, ..Tuning::default() });
    world.turn(Turn::Register((0..9).collect()));
    (0..9).for_each(|id| world.turn(Turn::Expire(id)));
    assert!(world.guard.suspects().is_empty() && world.asked.is_empty() && world.news.is_empty());
    assert_eq!(world.guard.groups, BTreeMap::new());
}

#[test]
fn a_draining_that_came_with_its_removal_was_seen() {
    let mut world = World::new();
    world.turn(Turn::Register((0..4).collect()));
    let mut events = Vec::new();
    for id in 0..4 {
        let lease = world.store[&id].lease;
        events.push(world.put(id, Standing { lease, draining: true }));
        events.push(world.delete(id));
    }
    world.apply(events);
    assert!(world.guard.suspects().is_empty() && world.asked.is_empty());
}

#[test]
fn a_refused_suspect_is_kept_no_more_and_its_lease_counts_on() {
    let mut world = World::new();
    world.turn(Turn::Register((0..4).collect()));
    (0..2).for_each(|id| world.turn(Turn::Expire(id)));
    let refuse = |world: &mut World, id| {
        let news = world.guard.refused(&key(id));
        world.hear(news);
    };
    // Before it is a suspect, and when it is one.
    refuse(&mut world, 0);
    world.turn(Turn::Expire(2));
    world.turn(Turn::Answer);
    assert_eq!(world.suspects(), [1, 2].into());
    refuse(&mut world, 1);
    assert_eq!(world.suspects(), [2].into());
    world.turn(Turn::Expire(3));
    world.turn(Turn::Answer);
    assert_eq!(world.suspects(), [2, 3].into());
    [2, 3, 3].into_iter().for_each(|id| refuse(&mut world, id));
    assert!(!world.guard.is_tripped());
    assert_eq!(world.news.last(), Some(&GuardNews::Ended { group: "cart".to_owned() }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// What vanished with its lease, and within one time to live with more than half of the
    /// others, is shown or suspected until it is over, whatever else happens. What was removed on
    /// purpose is no suspect once the store has answered. What is back is none at all.
    #[test]
    fn an_outage_takes_nothing_away_and_a_wish_does(turns in vec(turn(), 0..60)) {
        let mut world = World::new();
        for turn in turns {
            world.turn(turn);
            world.check();
        }
        world.turn(Turn::Wait(HOLD));
        world.turn(Turn::Answer);
        world.turn(Turn::Wait(HOLD));
        prop_assert!(world.guard.suspects().is_empty(), "kept for ever");
        prop_assert!(!world.guard.is_tripped());
        prop_assert_eq!(world.guard.next_timeout(), None);
    }
}

/// The law meets what it is there for.
#[test]
fn worlds_meet_what_they_are_for() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..300 {
        let turns = vec(turn(), 60).new_tree(&mut runner).expect("nothing is refused").current();
        let mut world = World::new();
        turns.into_iter().for_each(|turn| world.turn(turn));
        for news in &world.news {
            *met.entry(match news {
                GuardNews::Tripped { .. } => "tripped",
                GuardNews::Ended { .. } => "ended",
                GuardNews::Dropped { why: Undone::Wished, .. } => "wished",
                GuardNews::Dropped { why: Undone::Few, .. } => "few",
                GuardNews::Dropped { why: Undone::Over, .. } => "over",
                GuardNews::Dropped { why: Undone::Refused, .. } => "refused",
            })
            .or_default() += 1;
        }
    }
    for (what, least) in
        [("tripped", 100), ("ended", 30), ("wished", 100), ("few", 50), ("over", 5)]
    {
        assert!(met.get(what).is_some_and(|count| *count >= least), "{what}: {met:?}");
    }
}

#[derive(Clone, Debug)]
enum Turn {
    /// Each on a lease of its own.
    Register(Vec<u8>),
    Expire(u8),
    /// By hand: its lease lives on.
    Delete(Vec<u8>),
    Drain(u8),
    /// All questions are answered.
    Answer,
    /// Or fail.
    Fail,
    Wait(Duration),
}

fn turn() -> impl Strategy<Value = Turn> {
    let id = || 0_u8..8;
    prop_oneof![
        4 => vec(id(), 1..6).prop_map(Turn::Register),
        8 => id().prop_map(Turn::Expire),
        2 => vec(id(), 1..5).prop_map(Turn::Delete),
        1 => id().prop_map(Turn::Drain),
        4 => Just(Turn::Answer),
        1 => Just(Turn::Fail),
        3 => (0_u64..20_000).prop_map(|millis| Turn::Wait(Duration::from_millis(millis))),
        1 => (100_u64..320).prop_map(|secs| Turn::Wait(Duration::from_secs(secs))),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Standing {
    lease: LeaseId,
    draining: bool,
}

/// A store with its leases, a copy of it, and the guard beside it.
struct World {
    now: Time,
    tuning: Tuning,
    layout: Layout,
    wire: Wire,
    guard: Guard,
    replica: Replica,
    revision: i64,
    store: BTreeMap<u8, Standing>,
    leases: BTreeSet<LeaseId>,
    granted: i64,
    /// Of a lease that lives, in seconds.
    left: i64,
    asked: BTreeMap<AttemptId, LeaseId>,
    news: Vec<GuardNews>,
    /// What leases took along when they expired, and is not back.
    expired: BTreeMap<u8, (Time, LeaseId)>,
    /// Of that, what an outage took, and until when it is to be kept.
    taken: BTreeMap<u8, Time>,
    /// What was removed on purpose and is not back; by which answers that is known.
    wished: BTreeSet<u8>,
    honest: bool,
}

impl World {
    fn new() -> Self {
        Self::with(Tuning::default())
    }

    fn with(tuning: Tuning) -> Self {
        let layout = Layout::default();
        let mut wire = Wire::new(1, false, &tuning, &Rng::new(1));
        let owner = Owner::Mirror(DirectoryId(1));
        let cx = Cx { now: Time::ZERO, tuning: &tuning, layout: &layout, wire: &mut wire };
        let guard = Guard::new(&cx, owner);
        Self {
            now: Time::ZERO,
            tuning,
            layout,
            wire,
            guard,
            replica: Replica::new(),
            revision: 1,
            store: BTreeMap::new(),
            leases: BTreeSet::new(),
            granted: 15,
            left: 9,
            asked: BTreeMap::new(),
            news: Vec::new(),
            expired: BTreeMap::new(),
            taken: BTreeMap::new(),
            wished: BTreeSet::new(),
            honest: true,
        }
    }

    fn turn(&mut self, turn: Turn) {
        match turn {
            Turn::Register(ids) => {
                let ids: BTreeSet<u8> = ids.into_iter().collect();
                let mut events = Vec::new();
                for id in ids {
                    self.revision += 1;
                    let lease = LeaseId::new(self.revision).expect("above zero");
                    self.leases.insert(lease);
                    events.push(self.put(id, Standing { lease, draining: false }));
                }
                self.apply(events);
            }
            Turn::Expire(id) => {
                let Some(Standing { lease, .. }) = self.store.get(&id).copied() else { return };
                self.leases.remove(&lease);
                let all = self.store.iter().filter(|(_, standing)| standing.lease == lease);
                let ids: Vec<u8> = all.map(|(id, _)| *id).collect();
                let events = ids.iter().map(|id| self.delete(*id)).collect();
                self.expired.extend(ids.into_iter().map(|id| (id, (self.now, lease))));
                self.apply(events);
            }
            Turn::Delete(ids) => {
                let ids: BTreeSet<u8> = ids.into_iter().collect();
                let there: Vec<u8> =
                    ids.into_iter().filter(|id| self.store.contains_key(id)).collect();
                self.wished.extend(&there);
                let events = there.into_iter().map(|id| self.delete(id)).collect();
                self.apply(events);
            }
            Turn::Drain(id) => {
                let Some(standing) = self.store.get(&id).copied() else { return };
                let draining = vec![self.put(id, Standing { draining: true, ..standing })];
                self.apply(draining);
                self.wished.insert(id);
                let gone = vec![self.delete(id)];
                self.apply(gone);
                self.leases.remove(&standing.lease);
            }
            Turn::Answer => self.answer(false),
            Turn::Fail => self.answer(true),
            Turn::Wait(span) => self.wait(span),
        }
    }

    fn answer(&mut self, fail: bool) {
        while let Some((attempt, lease)) = self.asked.pop_first() {
            self.honest &= !fail;
            let lives = self.leases.contains(&lease);
            let reply = Reply::TimeToLive(TimeToLiveReply {
                header: Header::default(),
                lease,
                ttl_secs: if lives { self.left } else { -1 },
                granted_secs: if lives { self.granted } else { 0 },
                keys: Vec::new(),
            });
            let reply = if fail { Reply::Failed(StoreError::NoLeader) } else { reply };
            let Self { now, tuning, layout, wire, .. } = self;
            let mut cx = Cx { now: *now, tuning, layout, wire };
            let news = self.guard.answered(&mut cx, attempt, &reply).expect("it asked");
            self.hear(news);
        }
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.guard.next_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            let Self { now, tuning, layout, wire, .. } = self;
            let cx = Cx { now: *now, tuning, layout, wire };
            let news = self.guard.on_timer(&cx);
            self.hear(news);
        }
        self.now = end;
    }

    fn put(&mut self, id: u8, standing: Standing) -> KeyEvent {
        self.store.insert(id, standing);
        self.expired.remove(&id);
        self.taken.remove(&id);
        self.wished.remove(&id);
        self.revision += 1;
        let group = GroupName::parse("cart").expect("a name");
        let state = if standing.draining { State::Draining } else { State::Ready };
        let builder =
            Instance::builder(group, InstanceId::parse(&format!("i{id:03}")).expect("a name"));
        let instance = builder.endpoint("http", "10.0.0.7:80").state(state).build();
        let instance = instance.expect("an instance");
        let stamp = Stamp { run: 1, registration: 1, ..Stamp::default() };
        let written = self.layout.encode_instance(&instance, stamp).expect("it fits").remove(0);
        assert_eq!(written.key, key(id));
        let mod_revision = Revision(self.revision);
        let kv = KeyValue {
            key: written.key,
            value: written.value,
            create_revision: mod_revision,
            mod_revision,
            version: 1,
            lease: Some(standing.lease),
        };
        KeyEvent { kind: EventKind::Put, kv, prev: None }
    }

    fn delete(&mut self, id: u8) -> KeyEvent {
        self.store.remove(&id);
        self.revision += 1;
        let mod_revision = Revision(self.revision);
        let kv = KeyValue { key: key(id), mod_revision, ..KeyValue::default() };
        KeyEvent { kind: EventKind::Delete, kv, prev: None }
    }

    fn apply(&mut self, events: Vec<KeyEvent>) {
        let delta = self.replica.apply(&self.layout, events);
        let Self { now, tuning, layout, wire, .. } = self;
        let mut cx = Cx { now: *now, tuning, layout, wire };
        let news = self.guard.see(&mut cx, &delta);
        self.hear(news);
        self.reckon();
    }

    fn hear(&mut self, news: Vec<GuardNews>) {
        self.news.extend(news);
        while let Some(output) = self.wire.pop_output() {
            if let Output::Send { attempt, request: Request::TimeToLive(ask), .. } = output {
                self.asked.insert(attempt, ask.lease);
            }
        }
    }

    /// Whether there is an outage, by what really happened.
    fn reckon(&mut self) {
        let now = self.now;
        let counts = |id: &u8, since: Time| since + TTL >= now || self.taken.contains_key(id);
        let gone = self.expired.iter().filter(|(id, (since, _))| counts(id, *since));
        let gone: Vec<(u8, Time, LeaseId)> =
            gone.map(|(id, (since, lease))| (*id, *since, *lease)).collect();
        let ended: BTreeSet<LeaseId> = gone.iter().map(|(_, _, lease)| *lease).collect();
        let living: BTreeSet<LeaseId> =
            self.store.values().map(|standing| standing.lease).collect();
        if ended.len() >= 3 && ended.len() > living.len() {
            self.taken.extend(gone.into_iter().map(|(id, since, _)| (id, since + HOLD)));
        }
    }

    fn suspects(&self) -> BTreeSet<u8> {
        let ids = 0..=u8::MAX;
        ids.filter(|id| self.guard.suspects().contains_key(&key(*id))).collect()
    }

    fn check(&mut self) {
        self.taken.retain(|_, until| *until > self.now);
        let suspects = self.suspects();
        for id in self.taken.keys() {
            assert!(suspects.contains(id), "{id} is lost at {}", self.now);
        }
        for id in &suspects {
            assert!(!self.store.contains_key(id), "{id} is back");
            let settled = self.honest && self.asked.is_empty();
            assert!(!settled || !self.wished.contains(id), "{id} was removed on purpose");
        }
        let shown = |id: &u8| self.replica.shown.records.contains_key(&key(*id));
        assert!(self.store.keys().all(shown), "the copy is the store's");
    }
}

fn key(id: u8) -> Key {
    format!("/portolan/instances/cart/i{id:03}").as_str().into()
}
