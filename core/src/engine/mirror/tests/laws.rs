use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::harness::lost;
use super::strange::{answers, constant, strange_life, strange_turn};
use super::viewer::Viewer;
use super::world::{Manner, Turn, World};
use crate::tuning::Tuning;
use crate::waist::StoreError;

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
    fn no_answer_is_too_strange(turns in vec(strange_turn(), 0..60)) {
        strange_life(turns);
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
    let told = met(200, turn(), |turns| {
        let mut world = World::new();
        turns.into_iter().for_each(|turn| world.turn(turn));
        assert!(world.heals());
        world.viewer
    });
    assert_met(
        &told,
        &[
            ("Relisted(Compacted)", 10),
            ("Relisted(Differs)", 1),
            ("Relisted(Garbled)", 3),
            ("Relisted(NewEpoch)", 50),
            ("Live", 50),
            ("Unreadable only", 5),
            ("Watched", 100),
        ],
    );
}

/// So do the strange stores.
#[test]
fn strange_stores_meet_what_they_are_for() {
    let told = met(60, strange_turn(), strange_life);
    assert_met(
        &told,
        &[
            ("Listed", 50),
            ("Relisted(Compacted)", 4),
            ("Relisted(Garbled)", 10),
            ("Relisted(NewEpoch)", 15),
            ("Stale", 40),
            ("Watched", 3),
        ],
    );
}

/// Of some lives of 100 turns, drawn always alike: in how many each thing was told.
fn met<T: Debug>(
    lives: usize,
    turn: impl Strategy<Value = T>,
    live: impl Fn(Vec<T>) -> Viewer,
) -> BTreeMap<String, usize> {
    let mut runner = TestRunner::deterministic();
    let turns = vec(turn, 100);
    let mut met = BTreeMap::new();
    for _ in 0..lives {
        let turns = turns.new_tree(&mut runner).expect("nothing is refused").current();
        for what in live(turns).told.into_keys() {
            *met.entry(what).or_insert(0) += 1;
        }
    }
    met
}

fn assert_met(met: &BTreeMap<String, usize>, least: &[(&str, usize)]) {
    for (what, least) in least {
        assert!(met.get(*what).is_some_and(|lives| lives >= least), "{what}: {met:?}");
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

pub fn error() -> impl Strategy<Value = StoreError> {
    prop_oneof![
        Just(lost()),
        Just(StoreError::NoLeader),
        Just(StoreError::TooManyRequests),
        Just(StoreError::StreamEnded),
        Just(StoreError::PermissionDenied),
        Just(StoreError::AnswerTooLarge { size: 9 << 20, limit: 4 << 20 }),
    ]
}
