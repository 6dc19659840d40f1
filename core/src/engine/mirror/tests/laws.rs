use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::harness::{DIRECTORY, engine, lost};
use super::viewer::Viewer;
use super::world::{Manner, Turn, World};
use crate::engine::{Command, Input, Output};
use crate::layout::Scope;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{
    EventKind, Header, Key, KeyEvent, KeyValue, Range, RangeReply, Reply, Request, Revision,
    StatusReply, StoreError, WatchReply,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever happens on the way, what is shown was the store's content at the revision named,
    /// steps fold to it, ticks without need do nothing, and in the end it is the store's content,
    /// live. A new epoch is declared only when there was one.
    #[test]
    fn a_copy_is_the_store_at_its_revision(turns in vec(turn(), 0..120)) {
        let mut world = World::new();
        for turn in turns {
            world.turn(turn);
        }
        prop_assert!(world.heals(), "it never arrived");
        prop_assert!(usize::try_from(world.viewer.epoch).expect("few") <= world.restores());
    }

    /// No answer makes it panic, show what the steps do not tell, or fall back in an epoch.
    #[test]
    fn no_answer_is_too_strange(answers in vec((any::<u8>(), 0_u64..8_000, answers()), 0..40)) {
        let mut engine = engine(Tuning { page_limit: 2, ..Tuning::default() });
        let (mut open, mut viewer, mut now) = (Vec::new(), Viewer::default(), Time::ZERO);
        engine.handle(now, Input::Command(Command::Open { id: DIRECTORY, scope: Scope::AllInstances }));
        for (which, pause, answers) in answers {
            while let Some(output) = engine.poll_output() {
                match output {
                    Output::Send { attempt, request, .. } => open.push((attempt, request)),
                    Output::Cancel { attempt } => open.retain(|(open, _)| *open != attempt),
                    Output::Event(event) => viewer.see(&event),
                }
            }
            viewer.check_told(engine.snapshot(DIRECTORY).expect("open"));
            // Half of the time nothing but time passes.
            now = now + Duration::from_millis(pause / 2);
            let pick = open.len().checked_sub(1).map(|last| &open[usize::from(which) % (last + 1)]);
            match pick {
                Some((attempt, request)) if pause % 2 == 0 => {
                    let (attempt, reply) = (*attempt, answers.to(request));
                    engine.handle(now, Input::Reply { attempt, reply });
                }
                _ => engine.handle(now, Input::Tick),
            }
        }
    }

    /// Attempts of one kind in a time t: at most 1 + log2(B/b0) + t/B, without jitter, under any
    /// constant answer.
    #[test]
    fn a_constant_answer_never_makes_it_spin(answers in answers()) {
        let tuning = Tuning { page_limit: 2, jitter_percent: 0, ..Tuning::default() };
        let span = Duration::from_secs(600);
        let counts = constant(&tuning, span, &answers);
        let doublings = (tuning.backoff_cap.as_nanos() / tuning.backoff_base.as_nanos()).ilog2() + 1;
        let paced = 1 + u128::from(doublings) + span.as_nanos().div_ceil(tuning.backoff_cap.as_nanos());
        let probes = 1 + span.as_nanos() / tuning.probe_after.as_nanos();
        prop_assert!(counts.lists <= paced, "{counts:?}, at most {paced}");
        prop_assert!(counts.pages <= paced, "{counts:?}, at most {paced}");
        prop_assert!(counts.watches <= paced, "{counts:?}, at most {paced}");
        prop_assert!(counts.checks <= counts.watches, "{counts:?}");
        prop_assert!(counts.statuses <= counts.watches, "{counts:?}");
        prop_assert!(counts.settles.max(counts.probes) <= probes, "{counts:?}, at most {probes}");
    }
}

/// The worlds of the first law meet what they are there for; else it would hold of itself.
#[test]
fn worlds_meet_what_they_are_for() {
    let mut runner = TestRunner::deterministic();
    let mut told = BTreeMap::new();
    for _ in 0..200 {
        let turns = vec(turn(), 100).new_tree(&mut runner).expect("nothing is refused").current();
        let mut world = World::new();
        turns.into_iter().for_each(|turn| world.turn(turn));
        assert!(world.heals());
        for what in world.viewer.told.into_keys() {
            *told.entry(what).or_insert(0) += 1;
        }
    }
    let least = [
        ("Relisted(Compacted)", 10),
        ("Relisted(Differs)", 1),
        ("Relisted(Garbled)", 3),
        ("Relisted(NewEpoch)", 50),
        ("Live", 50),
        ("Unreadable only", 5),
        ("Watched", 100),
    ];
    for (what, least) in least {
        assert!(told.get(what).is_some_and(|&worlds| worlds >= least), "{what}: {told:?}");
    }
}

#[derive(Debug, Default)]
struct Counts {
    lists: u128,
    pages: u128,
    checks: u128,
    settles: u128,
    watches: u128,
    statuses: u128,
    probes: u128,
}

impl Counts {
    fn count(&mut self, request: &Request) {
        let count = match request {
            Request::Range(Range { sort: None, revision: Revision::ZERO, .. }) => &mut self.lists,
            Request::Range(Range { sort: None, .. }) => &mut self.pages,
            Request::Range(Range { keys_only: true, .. }) => &mut self.settles,
            Request::Range(_) => &mut self.checks,
            Request::Watch(_) => &mut self.watches,
            Request::Status => &mut self.statuses,
            Request::OnWatch { .. } => &mut self.probes,
            Request::Put(_)
            | Request::Delete(_)
            | Request::Txn(_)
            | Request::Compact(_)
            | Request::Grant(_)
            | Request::Revoke(_)
            | Request::KeepAlive(_)
            | Request::TimeToLive(_)
            | Request::Leases
            | Request::Authenticate => panic!("a mirror never asks {request}"),
        };
        *count += 1;
    }
}

/// Answers all that is asked at once and alike.
fn constant(tuning: &Tuning, span: Duration, answers: &Answers) -> Counts {
    let mut engine = engine(tuning.clone());
    let mut counts = Counts::default();
    let mut now = Time::ZERO;
    let end = now + span;
    let scope = Scope::AllInstances;
    engine.handle(now, Input::Command(Command::Open { id: DIRECTORY, scope }));
    loop {
        while let Some(output) = engine.poll_output() {
            let Output::Send { attempt, request, .. } = output else { continue };
            counts.count(&request);
            for reply in answers.all_to(&request) {
                engine.handle(now, Input::Reply { attempt, reply });
            }
        }
        match engine.poll_timeout() {
            Some(due) if due <= end => now = due,
            _ => return counts,
        }
        engine.handle(now, Input::Tick);
    }
}

/// What a strange store says to each kind of request.
#[derive(Clone, Debug)]
struct Answers {
    range: Reply,
    watch: Vec<Reply>,
    status: Reply,
}

impl Answers {
    fn to(&self, request: &Request) -> Reply {
        self.all_to(request).first().cloned().unwrap_or(Reply::Failed(lost()))
    }

    fn all_to(&self, request: &Request) -> Vec<Reply> {
        match request {
            Request::Range(_) => vec![self.range.clone()],
            Request::Watch(_) => self.watch.clone(),
            Request::Status => vec![self.status.clone()],
            Request::OnWatch { .. } => Vec::new(),
            Request::Put(_)
            | Request::Delete(_)
            | Request::Txn(_)
            | Request::Compact(_)
            | Request::Grant(_)
            | Request::Revoke(_)
            | Request::KeepAlive(_)
            | Request::TimeToLive(_)
            | Request::Leases
            | Request::Authenticate => panic!("a mirror never asks {request}"),
        }
    }
}

fn turn() -> impl Strategy<Value = Turn> {
    let write = || btree_map(0_u8..4, 0_u8..6, 1..4);
    let manner = any::<([bool; 4], bool)>();
    let restore = (0_u8..40, any::<bool>(), any::<bool>(), vec(write(), 0..30));
    prop_oneof![
        8 => write().prop_map(Turn::Write),
        6 => any::<u8>().prop_map(Turn::Run),
        6 => any::<u8>().prop_map(Turn::Deliver),
        14 => Just(Turn::Flow),
        1 => any::<u8>().prop_map(Turn::Lose),
        1 => (any::<u8>(), error()).prop_map(|(which, error)| Turn::Fail(which, error)),
        1 => Just(Turn::Break),
        1 => any::<u8>().prop_map(Turn::Cancel),
        1 => (0_u8..10).prop_map(Turn::Compact),
        1 => restore.prop_map(|(keep, other_cluster, term_back, writes)| {
            Turn::Restore { keep, other_cluster, term_back, writes }
        }),
        1 => (0_u8..10).prop_map(Turn::Lag),
        1 => manner.prop_map(|([in_parts, twice, mute, old_version], stuck)| {
            Turn::Manner(Manner { in_parts, twice, mute, old_version, stuck })
        }),
        10 => (0_u64..12_000).prop_map(|millis| Turn::Wait(Duration::from_millis(millis))),
    ]
}

fn error() -> impl Strategy<Value = StoreError> {
    prop_oneof![
        Just(lost()),
        Just(StoreError::NoLeader),
        Just(StoreError::TooManyRequests),
        Just(StoreError::StreamEnded),
        Just(StoreError::PermissionDenied),
        Just(StoreError::AnswerTooLarge { size: 9 << 20, limit: 4 << 20 }),
    ]
}

fn answers() -> impl Strategy<Value = Answers> {
    let failed = || strange_error().prop_map(Reply::Failed);
    let range = prop_oneof![4 => range_reply().prop_map(Reply::Range), 1 => failed()];
    let first = prop_oneof![
        2 => watch_reply().prop_map(|reply| Reply::Watch(WatchReply { created: true, ..reply })),
        1 => watch_reply().prop_map(Reply::Watch),
    ];
    let later = prop_oneof![4 => watch_reply().prop_map(Reply::Watch), 1 => failed()];
    let watch = (first, vec(later, 0..4))
        .prop_map(|(first, later)| [first].into_iter().chain(later).collect());
    let version = proptest::sample::select(vec!["3.4.30", "3.5.7", "3.6.1", ""]);
    let status = (version, header()).prop_map(|(version, header)| {
        let version = version.to_owned();
        Reply::Status(StatusReply { header, version, ..StatusReply::default() })
    });
    let status = prop_oneof![4 => status, 1 => failed()];
    (range, watch, status).prop_map(|(range, watch, status)| Answers { range, watch, status })
}

fn strange_error() -> impl Strategy<Value = StoreError> {
    prop_oneof![
        error(),
        Just(StoreError::Compacted),
        Just(StoreError::FutureRevision),
        Just(StoreError::AnswerTooLarge { size: 0, limit: u64::MAX }),
        Just(StoreError::GaveUp),
    ]
}

fn revision() -> impl Strategy<Value = Revision> {
    prop_oneof![20 => 0_i64..12, 1 => Just(-1), 1 => Just(i64::MAX), 1 => Just(i64::MIN)]
        .prop_map(Revision)
}

fn header() -> impl Strategy<Value = Header> {
    let ids = (
        prop_oneof![9 => Just(1_u64), 1 => Just(2_u64)],
        prop_oneof![9 => Just(1_u64), 1 => Just(2_u64)],
        prop_oneof![9 => Just(3_u64), 1 => 0_u64..5],
    );
    (ids, revision()).prop_map(|((cluster_id, member_id, raft_term), revision)| Header {
        cluster_id,
        member_id,
        revision,
        raft_term,
    })
}

fn kv() -> impl Strategy<Value = KeyValue> {
    let keys = ["shop/cart/a", "shop/cart/b", "shop/cart/", "shop/leader", "elsewhere", ""];
    let values = [r#"{"Addr":"h:1"}"#, r#"{"Addr":"h:2"}"#, "{", ""];
    let names =
        (proptest::sample::select(keys.to_vec()), proptest::sample::select(values.to_vec()));
    (names, revision(), revision()).prop_map(|((key, value), create_revision, mod_revision)| {
        KeyValue {
            key: Key::from(key),
            create_revision,
            mod_revision,
            version: 1,
            value: value.into(),
            lease: None,
        }
    })
}

fn range_reply() -> impl Strategy<Value = RangeReply> {
    let kvs = (vec(kv(), 0..4), any::<bool>()).prop_map(|(mut kvs, sorted)| {
        if sorted {
            kvs.sort_by(|a, b| a.key.cmp(&b.key));
            kvs.dedup_by(|a, b| a.key == b.key);
        }
        kvs
    });
    let count = prop_oneof![9 => 0_i64..5, 1 => any::<i64>()];
    (header(), kvs, any::<bool>(), count).prop_map(|(header, kvs, more, count)| RangeReply {
        header,
        kvs,
        more,
        count,
    })
}

fn watch_reply() -> impl Strategy<Value = WatchReply> {
    let event = (any::<bool>(), kv()).prop_map(|(put, kv)| KeyEvent {
        kind: if put { EventKind::Put } else { EventKind::Delete },
        kv,
        prev: None,
    });
    let events = (vec(event, 0..5), any::<bool>()).prop_map(|(mut events, sorted)| {
        if sorted {
            events.sort_by_key(|event| event.kv.mod_revision);
        }
        events
    });
    let watch_id = prop_oneof![8 => Just(0_i64), 2 => Just(-1_i64), 1 => any::<i64>()];
    let canceled = prop_oneof![9 => Just(false), 1 => Just(true)];
    let compact_revision = prop_oneof![9 => Just(Revision::ZERO), 1 => revision()];
    let reasons = ["", "etcdserver: permission denied", "etcdserver: no leader", "?"];
    let reason = proptest::sample::select(reasons.to_vec());
    let flags = (any::<bool>(), prop_oneof![9 => Just(false), 1 => Just(true)]);
    (header(), watch_id, canceled, compact_revision, reason, flags, events).prop_map(
        |(header, watch_id, canceled, compact_revision, reason, (fragment, created), events)| {
            WatchReply {
                header,
                watch_id,
                created,
                canceled,
                compact_revision,
                cancel_reason: reason.to_owned(),
                fragment,
                events,
            }
        },
    )
}
