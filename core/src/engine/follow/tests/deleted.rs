//! The newest record was deleted, or is not known: what else a store is known by.

use insta::assert_snapshot;

use super::harness::*;
use crate::engine::harness::Harness;
use crate::tuning::Tuning;
use crate::waist::{Reply, StoreError};

/// Of `b@7` and `c@8`, `c` was deleted at 9; of `b` it is known that it is there, and no more.
fn unknown() -> Harness {
    let mut h = start(Tuning::default(), Some(8));
    h.reply(1, failed(TOO_LARGE)).wait(ms(100)).reply(2, page(8, [put("c", 8, 8)], 2));
    h.reply(3, created(8)).reply(4, page(8, [put("c", 8, 8)], 2)).acknowledge(1);
    h.reply(5, status("3.4.0")).reply(3, events(9, [was(delete("c", 9), put("c", 8, 8))]));
    h
}

const TOO_LARGE: StoreError = StoreError::AnswerTooLarge { size: 128, limit: 1 };

/// Of `b@7` and `c@8`, `c` was deleted at 9.
fn deleted() -> Harness {
    let mut h = followed(Tuning::default());
    h.acknowledge(1).reply(4, status("3.4.0")).reply(2, events(8, [put("c", 8, 8)]));
    h.reply(2, events(9, [was(delete("c", 9), put("c", 8, 8))]));
    h
}

/// As that, and its watch is opened anew: #5, with the check #6.
fn reopened() -> Harness {
    let mut h = deleted();
    h.reply(2, failed(lost())).wait(ms(100)).reply(5, created(20));
    h
}

#[test]
fn the_check_asks_for_the_deletion_itself() {
    let mut h = reopened();
    h.reply(6, reads(20, 1, put("b", 4, 7), [Some(put("c", 8, 8)), None]));
    h.reply(5, events(20, [put("d", 20, 20)]));
    let from = h.lines.iter().position(|line| line.contains("#2 failed")).expect("it failed");
    assert_snapshot!(h.lines[from..].join("\n"), @"
    0.000s < #2 failed: connection lost: reset
    0.000s > m0 redial
    0.100s > #5 m0 watch [k, l) from 9 prev progress fragment
    0.100s < #5 watch @20 created
    0.100s > #6 m0 txn then range [k, l) at9 limit=128 sort=Mod/Descending, range k/c at8, range k/c at9
    0.100s < #6 then k/b=2B:e92744d8@4/7, k/c=2B:86e746da@8/8, nothing @20
    0.100s > #7 m0 status
    0.100s < #5 watch @20 k/d=3B:3b04a8d7@20/20
    0.100s > follow 1 4 changes: k/d=3B:3b04a8d7@20/20
    ");
}

#[test]
fn another_store_has_no_such_deletion() {
    let (b, c) = (|| put("b", 4, 7), || Some(put("c", 8, 8)));
    let cases = [
        ("the same", reads(20, 1, b(), [c(), None]), false),
        ("the record was never there", reads(20, 1, b(), [None, None]), true),
        ("another one was there", reads(20, 1, b(), [Some(put("c", 4, 6)), None]), true),
        ("with another value", reads(20, 1, b(), [c().map(|put| valued(put, "x")), None]), true),
        ("it is there still", reads(20, 1, b(), [c(), c()]), true),
        ("another one is as new as it was", reads(20, 1, put("d", 8, 8), [c(), None]), true),
        ("one is newer", reads(20, 1, put("d", 9, 9), [c(), None]), true),
        ("there are more", reads(20, 2, b(), [c(), None]), true),
        ("it is behind", reads(8, 1, b(), [c(), None]), true),
        ("half an answer", reads(20, 1, b(), [c()]), true),
    ];
    for (what, check, other) in cases {
        let mut h = reopened();
        h.reply(6, check);
        let told = h.end().ends_with("gap after @9: NewEpoch");
        assert_eq!(told, other, "{what}: {}", h.trace());
    }
}

#[test]
fn a_deletion_whose_history_is_compacted_proves_nothing() {
    let still_there = || counted(20, 1, put("b", 4, 7));
    let cases: [(&str, Reply, &str); 3] = [
        ("only what was before it", still_there(), "gap after @9: Compacted"),
        ("the cursor too", failed(StoreError::Compacted), "gap after @9: Compacted"),
        ("by another store", counted(20, 2, put("b", 4, 7)), "gap after @9: NewEpoch"),
    ];
    for (what, check, told) in cases {
        let mut h = unknown();
        h.reply(3, failed(lost())).wait(ms(200)).reply(6, created(20));
        h.reply(7, failed(StoreError::Compacted));
        assert!(h.end().ends_with("#8 m0 range [k, l) at9 limit=1 sort=Mod/Descending"));
        h.reply(8, check);
        assert!(h.end().ends_with(told), "{what}: {}", h.trace());
    }
}

/// Then the deletion need not be found in the store's history.
#[test]
fn where_all_that_is_left_is_known_it_is_enough() {
    for (left, other) in [(put("b", 4, 7), false), (valued(put("b", 4, 7), "x"), true)] {
        let mut h = reopened();
        h.reply(6, failed(StoreError::Compacted)).reply(7, counted(20, 1, left));
        let told = h.end().ends_with("gap after @9: NewEpoch");
        assert_eq!(told, other, "{}", h.trace());
    }
}

/// Else a store that failed once would be believed more easily.
#[test]
fn a_check_that_failed_for_another_reason_asks_for_the_deletion_again() {
    let mut h = reopened();
    h.reply(6, failed(lost())).wait(ms(200)).reply(7, created(20));
    assert!(h.end().ends_with("range k/c at8, range k/c at9"), "{}", h.trace());
}

#[test]
fn while_the_watch_is_quiet_the_newest_record_is_learned() {
    let mut h = unknown();
    h.wait(ms(5_000));
    assert!(h.end().ends_with("#6 m0 range [k, l) limit=1 sort=Mod/Descending"), "{}", h.trace());
    h.reply(6, counted(20, 1, put("b", 4, 7))).wait(ms(5_000));
    assert!(h.end().ends_with("on #3 progress"), "as ever from then on: {}", h.trace());
    h.reply(3, failed(lost())).wait(ms(100)).reply(8, created(20));
    h.reply(9, failed(StoreError::Compacted)).reply(10, counted(20, 1, put("b", 4, 7)));
    assert!(!h.trace().contains("gap"), "{}", h.trace());
    h.reply(8, events(20, [put("d", 20, 20)]));
    assert!(h.end().contains("changes: k/d"), "{}", h.trace());
}

/// What the read shows may be on its way: neither the watch nor its member is at fault.
#[test]
fn what_is_new_while_it_learns_is_waited_for() {
    let mut h = unknown();
    h.wait(ms(5_000)).reply(6, counted(10, 2, put("d", 10, 10)));
    assert!(h.end().ends_with("on #3 progress"), "{}", h.trace());
    h.wait(ms(100)).reply(3, events(10, [put("d", 10, 10)]));
    assert!(h.end().contains("changes: k/d"), "{}", h.trace());
    // And if it does not come, another watch is opened.
    let mut h = unknown();
    h.wait(ms(5_000)).reply(6, counted(10, 2, put("d", 10, 10))).wait(ms(3_000));
    h.reply(8, counted(10, 2, put("d", 10, 10)));
    assert!(h.trace().ends_with("#3 cancel"), "{}", h.trace());
}

/// Large records do not keep a follower from beginning, checking, or learning.
#[test]
fn a_read_that_is_too_large_is_made_anew_with_less() {
    const LARGE: StoreError = StoreError::AnswerTooLarge { size: 128, limit: 32 };
    let mut h = start(Tuning::default(), None);
    h.reply(1, failed(LARGE)).wait(ms(100)).reply(2, counted(7, 1, put("b", 4, 7)));
    assert!(h.trace().contains("#2 m0 range [k, l) limit=32 "), "{}", h.trace());
    h.reply(3, created(7)).reply(4, failed(LARGE)).wait(ms(200)).reply(5, created(7));
    assert!(h.end().contains("#6 m0 range [k, l) at7 limit=8 "), "{}", h.trace());
    h.reply(6, counted(7, 1, put("b", 4, 7)));
    assert!(!h.trace().contains("gap"), "{}", h.trace());
    let mut h = unknown();
    h.wait(ms(5_000)).reply(6, failed(LARGE)).wait(ms(100_000));
    assert!(!h.trace().contains("gap"), "{}", h.trace());
}
