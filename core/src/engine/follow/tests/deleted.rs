//! The newest record was deleted, or is not known: what else a store is known by.

use insta::assert_snapshot;

use super::harness::*;
use crate::engine::harness::Harness;
use crate::tuning::Tuning;
use crate::waist::{Reply, StoreError};

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
    0.100s > #6 m0 txn then range [k, l) at9 limit=2 sort=Mod/Descending, range k/c at8, range k/c at9
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
        let mut h = reopened();
        h.reply(6, failed(StoreError::Compacted));
        assert!(h.end().ends_with("#7 m0 range [k, l) at9 limit=2 sort=Mod/Descending"));
        h.reply(7, check);
        assert!(h.end().ends_with(told), "{what}: {}", h.trace());
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
    let mut h = deleted();
    h.wait(ms(5_000));
    assert!(h.end().ends_with("#5 m0 range [k, l) limit=2 sort=Mod/Descending"), "{}", h.trace());
    h.reply(5, counted(20, 1, put("b", 4, 7))).wait(ms(5_000));
    assert!(h.end().ends_with("on #2 progress"), "as ever from then on: {}", h.trace());
    h.reply(2, failed(lost())).wait(ms(100)).reply(7, created(20));
    h.reply(8, failed(StoreError::Compacted)).reply(9, counted(20, 1, put("b", 4, 7)));
    assert!(!h.trace().contains("gap"), "{}", h.trace());
    h.reply(7, events(20, [put("d", 20, 20)]));
    assert!(h.end().contains("changes: k/d"), "{}", h.trace());
}

/// What the read shows may be on its way: neither the watch nor its member is at fault.
#[test]
fn what_is_new_while_it_learns_is_waited_for() {
    let mut h = deleted();
    h.wait(ms(5_000)).reply(5, counted(10, 2, put("d", 10, 10)));
    assert!(h.end().ends_with("on #2 progress"), "{}", h.trace());
    h.wait(ms(100)).reply(2, events(10, [put("d", 10, 10)]));
    assert!(h.end().contains("changes: k/d"), "{}", h.trace());
    // And if it does not come, another watch is opened.
    let mut h = deleted();
    h.wait(ms(5_000)).reply(5, counted(10, 2, put("d", 10, 10))).wait(ms(3_000));
    h.reply(7, counted(10, 2, put("d", 10, 10)));
    assert!(h.trace().ends_with("#2 cancel"), "{}", h.trace());
}

/// Of the newest records, put in one revision, two are read and both are known.
#[test]
fn where_not_all_of_the_newest_are_known_one_of_them_is_asked_for() {
    let two_of_three = || page(7, [put("a", 7, 7), put("b", 4, 7)], 3);
    let cases = [
        ("the same", reads(9, 3, put("a", 7, 7), [Some(put("a", 7, 7))]), false),
        ("read in another order", reads(9, 3, put("c", 7, 7), [Some(put("a", 7, 7))]), false),
        ("another", reads(9, 3, put("c", 7, 7), [None]), true),
    ];
    for (what, check, other) in cases {
        let mut h = start(Tuning::default(), None);
        h.reply(1, two_of_three()).reply(2, created(9)).reply(3, check);
        let told = h.end().ends_with("gap after @7: NewEpoch");
        assert_eq!(told, other, "{what}: {}", h.trace());
    }
}
