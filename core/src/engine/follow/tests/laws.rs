use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::harness::*;
use super::world::{KEYS, Turn, World};
use crate::tuning::Tuning;
use crate::waist::StoreError;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What is told folds to the store's content at each revision named, each change comes once
    /// and with what was before it, nothing is missing without a declared gap, the window is never
    /// exceeded, and in the end everything was told.
    #[test]
    fn every_change_is_told_once_or_declared_missing(
        from in proptest::option::of(-1_i64..9),
        turns in vec(turn(), 0..120),
    ) {
        let mut world = World::new(from);
        turns.into_iter().for_each(|turn| world.turn(turn));
        world.heals();
    }

    /// Under any constant answers it asks at most 1 + log2(B/b0) + t/B times in a time t.
    #[test]
    fn a_constant_answer_never_makes_it_spin(
        range in answer(),
        watch in answer(),
        check in answer(),
    ) {
        let tuning = Tuning::default();
        let mut h = start(tuning.clone(), None);
        let mut counts = BTreeMap::new();
        let span = Duration::from_secs(600);
        let end = h.now + span;
        let doublings = (tuning.backoff_cap.as_nanos() / tuning.backoff_base.as_nanos()).ilog2() + 1;
        let paced = 1 + u128::from(doublings) + span.as_nanos().div_ceil(tuning.backoff_cap.as_nanos());
        let probes = 1 + span.as_nanos() / tuning.probe_after.as_nanos();
        let (mut open, mut seen, mut told) = (Vec::new(), 0, 0);
        loop {
            for line in &h.lines[seen..] {
                told += u64::from(line.contains("> follow"));
            }
            open.extend(sent(&h.lines[seen..]));
            seen = h.lines.len();
            if let Some((attempt, kind)) = open.pop() {
                let count = counts.entry(kind).or_insert(0_u128);
                *count += 1;
                let most = if kind == Kind::Now { paced + probes } else { paced };
                // At once: without a pause the time would never be over.
                prop_assert!(*count <= most || kind == Kind::Other, "{kind:?}: {counts:?}, {most}");
                let reply = match kind {
                    Kind::Watch => &watch,
                    Kind::At => &check,
                    Kind::Now => &range,
                    Kind::Other => continue,
                };
                let reply = match (reply, kind) {
                    (None, Kind::Watch) => created(7),
                    (None, _) => counted(7, 1, put("b", 4, 7)),
                    (Some(error), _) => failed(error.clone()),
                };
                h.reply(attempt, reply);
                continue;
            }
            // The reader takes everything at once, which makes no pause shorter.
            let before = seen;
            h.acknowledge(told);
            if sent(&h.lines[before..]).next().is_some() {
                continue;
            }
            match h.engine.poll_timeout().filter(|due| *due <= end) {
                None => break,
                Some(due) => drop(h.wait(due.since(h.now))),
            }
        }
    }
}

/// The worlds of the first law meet what they are there for; else it would hold of itself.
#[test]
fn worlds_meet_what_they_are_for() {
    let mut runner = TestRunner::deterministic();
    let mut met: BTreeMap<_, usize> = BTreeMap::new();
    for _ in 0..200 {
        let turns = vec(turn(), 100).new_tree(&mut runner).expect("nothing is refused").current();
        let mut world = World::new(None);
        turns.into_iter().for_each(|turn| world.turn(turn));
        world.heals();
        for what in world.told.into_keys() {
            *met.entry(what).or_default() += 1;
        }
    }
    let least =
        [("changes", 150), ("compacted", 20), ("lagged", 50), ("listed", 100), ("new epoch", 50)];
    for (what, least) in least {
        assert!(met.get(what).is_some_and(|lives| *lives >= least), "{what}: {met:?}");
    }
}

fn turn() -> impl Strategy<Value = Turn> {
    let keys = u8::try_from(KEYS.len()).expect("few") + 1;
    prop_oneof![
        8 => btree_map(0..keys, 0_u8..4, 1..4).prop_map(Turn::Write),
        10 => Just(Turn::Flow),
        6 => (0_u8..6).prop_map(Turn::Take),
        1 => (0_u8..6).prop_map(Turn::Compact),
        1 => Just(Turn::Break),
        1 => (0_u8..30).prop_map(Turn::Restore),
        1 => any::<[bool; 3]>().prop_map(Turn::Manner),
        6 => (0_u64..12_000).prop_map(Turn::Wait),
    ]
}

fn answer() -> impl Strategy<Value = Option<StoreError>> {
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(lost())),
        1 => Just(Some(StoreError::Compacted)),
        1 => Just(Some(StoreError::FutureRevision)),
        1 => Just(Some(StoreError::NoLeader)),
        1 => Just(Some(StoreError::PermissionDenied)),
        1 => Just(Some(StoreError::AnswerTooLarge { size: 9, limit: 4 })),
    ]
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
enum Kind {
    Watch,
    /// A read at the cursor.
    At,
    /// A read of the present.
    Now,
    Other,
}

/// What was sent, read off a trace.
fn sent(lines: &[String]) -> impl Iterator<Item = (u64, Kind)> {
    lines.iter().filter_map(|line| {
        let (_, request) = line.split_once(" > #")?;
        let (attempt, request) = request.split_once(" m0 ")?;
        let kind = match request {
            text if text.starts_with("watch") => Kind::Watch,
            text if text.starts_with("range") && text.contains(" at") => Kind::At,
            text if text.starts_with("range") => Kind::Now,
            _ => Kind::Other,
        };
        Some((attempt.parse().ok()?, kind))
    })
}
