use proptest::prelude::*;

use super::*;

fn entries(fit: &[bool]) -> Map<u32, bool> {
    (0..).zip(fit.iter().copied()).collect()
}

fn picks(entries: &Map<u32, bool>, start: u64, count: usize) -> Vec<u32> {
    let mut picker = RoundRobin::starting_at(start);
    let picks = std::iter::from_fn(|| picker.pick(entries, |&fits| fits).map(|pick| *pick.key));
    picks.take(count).collect()
}

#[test]
fn goes_round() {
    let cases: [(&[bool], u64, &[u32]); 7] = [
        (&[], 3, &[]),
        (&[false, false], 1, &[]),
        (&[true], u64::MAX, &[0, 0, 0, 0, 0]),
        (&[true, true, true], 0, &[0, 1, 2, 0, 1]),
        (&[true, true, true], 5, &[2, 0, 1, 2, 0]),
        (&[true, false, false, true], 1, &[3, 0, 3, 0, 3]),
        (&[false, true, true, false], 3, &[1, 2, 1, 2, 1]),
    ];
    for (fit, start, expected) in cases {
        assert_eq!(picks(&entries(fit), start, 5), expected, "{fit:?} from {start}");
    }
}

proptest! {
    /// While nothing changes, a round picks each fitting entry once, in order, and no other.
    #[test]
    fn a_round_is_fair(
        fit in proptest::collection::vec(any::<bool>(), 0..40),
        start in any::<u64>(),
    ) {
        let entries = entries(&fit);
        let fitting: Vec<u32> = (0..).zip(&fit).filter(|(_, fits)| **fits).map(|(key, _)| key).collect();
        let mut round = picks(&entries, start, fitting.len());
        let turn = round.iter().enumerate().min_by_key(|(_, key)| **key).map_or(0, |(at, _)| at);
        round.rotate_left(turn);
        prop_assert_eq!(round, fitting);
    }

    /// Entries that come and go never lead to one that does not fit, nor hide all that do.
    #[test]
    fn changes_do_no_harm(
        maps in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 0..20), 1..10),
        start in any::<u64>(),
    ) {
        let mut picker = RoundRobin::starting_at(start);
        for fit in maps {
            let entries = entries(&fit);
            let pick = picker.pick(&entries, |&fits| fits);
            prop_assert_eq!(pick.is_some(), fit.contains(&true));
            prop_assert!(pick.is_none_or(|pick| *pick.value));
        }
    }
}

proptest! {
    /// Of two maps it picks what it would pick of both in one.
    #[test]
    fn both_are_as_one(split in 0_u32..8, count in 0_u32..8, unfit: [bool; 8], cursor: u64) {
        let fits = |value: &u32| !unfit[*value as usize];
        let first: Map<u32, u32> = (0..split.min(count)).map(|n| (n, n)).collect();
        let second: Map<u32, u32> = (split.min(count)..count).map(|n| (n, n)).collect();
        let one: Map<u32, u32> = (0..count).map(|n| (n, n)).collect();
        let both = round_robin_both(&first, &second, cursor, fits, fits);
        let both = both.map(|found| match found {
            Either::First(pick) => {
                assert!(first.contains_key(pick.key));
                pick
            }
            Either::Second(pick) => pick,
        });
        prop_assert_eq!(both, round_robin(&one, cursor, fits));
    }
}
