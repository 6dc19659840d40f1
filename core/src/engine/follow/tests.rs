mod deleted;
mod harness;
mod laws;
mod world;

use insta::assert_snapshot;

use self::harness::*;
use super::Follow;
use crate::engine::harness::Harness;
use crate::engine::{Command, FollowId, FollowSeq, Setup};
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{KeyRange, Reply, Revision, StoreError};

#[test]
fn changes_are_told_once_in_whole_revisions_with_what_was_before() {
    let mut h = followed(Tuning::default());
    // The watch begins at the cursor, so it repeats what was told; a part waits for its rest.
    h.reply(2, events(8, [put("b", 4, 7), put("a", 8, 8)]));
    h.reply(2, part(12, [was(put("a", 8, 9), put("a", 8, 8)), put("c", 10, 10)]));
    h.reply(2, events(12, [delete("a", 10), delete("c", 12)]));
    assert_snapshot!(h.trace(), @"
    0.000s < follow 1 [k, l)
    0.000s > #1 m0 range [k, l) limit=128 sort=Mod/Descending
    0.000s < #1 range @7 k/b=2B:e92744d8@4/7
    0.000s > follow 1 1 begun @7
    0.000s > #2 m0 watch [k, l) from 7 prev progress fragment
    0.000s < #2 watch @7 created
    0.000s > #3 m0 range [k, l) at7 limit=128 sort=Mod/Descending
    0.000s < #3 range @7 k/b=2B:e92744d8@4/7
    0.000s > #4 m0 status
    0.000s < #2 watch @8 k/b=2B:e92744d8@4/7, k/a=2B:86e746da@8/8
    0.000s > follow 1 2 changes: k/a=2B:86e746da@8/8
    0.000s < #2 watch @12 fragment k/a=2B:3be75e32@8/9, k/c=3B:0368d98d@10/10
    0.000s > follow 1 3 changes: k/a=2B:3be75e32@8/9 was @8
    0.000s < #2 watch @12 -k/a@10, -k/c@12
    0.000s > follow 1 4 changes: k/c=3B:0368d98d@10/10, -k/a@10, -k/c@12
    ");
}

#[test]
fn it_begins_where_the_reader_says() {
    let mut h = start(Tuning::default(), Some(5));
    h.reply(1, counted(9, 1, put("a", 3, 3))).reply(2, created(9));
    h.reply(3, counted(9, 1, put("a", 3, 3)));
    h.reply(2, events(9, [put("a", 3, 6), put("b", 8, 8)]));
    assert_snapshot!(h.trace(), @"
    0.000s < follow 1 [k, l) from 5
    0.000s > #1 m0 range [k, l) at4 limit=128 sort=Mod/Descending
    0.000s < #1 range @9 k/a=2B:9e73a6e3@3/3
    0.000s > follow 1 1 begun @4
    0.000s > #2 m0 watch [k, l) from 4 prev progress fragment
    0.000s < #2 watch @9 created
    0.000s > #3 m0 range [k, l) at4 limit=128 sort=Mod/Descending
    0.000s < #3 range @9 k/a=2B:9e73a6e3@3/3
    0.000s > #4 m0 status
    0.000s < #2 watch @9 k/a=2B:0c216d79@3/6, k/b=2B:86e746da@8/8
    0.000s > follow 1 2 changes: k/a=2B:0c216d79@3/6, k/b=2B:86e746da@8/8
    ");
}

#[test]
fn a_beginning_that_is_compacted_or_was_never_there_is_a_gap() {
    for error in [StoreError::Compacted, StoreError::FutureRevision] {
        let mut h = start(Tuning::default(), Some(5));
        h.reply(1, failed(error.clone())).wait(ms(100));
        // Nothing goes on before the reader has taken what was told.
        assert!(h.end().contains("gap after @4"), "{}", h.trace());
        h.acknowledge(1).reply(2, range(9, [put("a", 3, 3)]));
        // Nor is a list at its end before it is known that it was of one store.
        assert!(h.end().contains("#3 m0 watch"), "{}", h.trace());
        h.reply(3, created(9)).reply(4, range(9, [put("a", 3, 3)]));
        let said: Vec<_> = h.lines.iter().filter(|line| line.contains("follow 1")).collect();
        let why = if error == StoreError::Compacted { "Compacted" } else { "NewEpoch" };
        assert_eq!(said.len(), 3, "{}", h.trace());
        assert!(said[1].ends_with(&format!("follow 1 1 gap after @4: {why}")), "{}", said[1]);
        assert!(said[2].contains("follow 1 2 listed @9 ") && !said[2].ends_with("more"));
    }
}

#[test]
fn an_answer_from_before_its_beginning_is_asked_for_again() {
    let cases = [
        (None, 0, false),
        (None, 1, true),
        (Some(5), 3, false),
        (Some(5), 4, true),
        (Some(5), 5, true),
    ];
    for (from, revision, begins) in cases {
        let mut h = start(Tuning::default(), from);
        h.reply(1, range(revision, [])).wait(ms(100));
        assert_eq!(h.trace().contains("begun"), begins, "{}", h.trace());
        let next = if begins { "#2 m0 watch" } else { "#2 m0 range" };
        assert!(h.end().contains(next), "{}", h.trace());
    }
}

#[test]
fn each_waits_until_its_own_time() {
    let mut h = start(Tuning::default(), None);
    let keys = KeyRange::prefix("k");
    h.command(Command::Follow { id: FollowId(2), keys, from: None });
    h.reply(1, failed(lost())).wait(ms(50)).reply(2, failed(lost())).wait(ms(100));
    let asked = h.lines.iter().filter(|line| line.contains("> #")).skip(2);
    let times: Vec<_> = asked.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(times, ["0.100s", "0.150s"], "{}", h.trace());
}

#[test]
fn a_slow_reader_is_told_that_it_lagged_and_lists_once_it_has_taken_all() {
    let mut h = followed(Tuning { follow_events: 2, ..Tuning::default() });
    h.reply(2, events(9, [put("a", 8, 8), put("b", 4, 9), put("a", 8, 10), put("c", 11, 11)]));
    h.wait(ms(60_000)).acknowledge(1).wait(ms(1_000)).acknowledge(3);
    h.reply(5, page(20, [put("a", 8, 10), put("b", 4, 9)], 3)).wait(ms(60_000)).acknowledge(4);
    h.reply(6, range(22, [put("b", 4, 9), put("c", 11, 11)]));
    h.reply(7, created(22)).reply(8, counted(22, 3, put("c", 11, 11)));
    h.reply(7, events(22, [was(delete("c", 21), put("c", 11, 11))]));
    assert_snapshot!(h.trace(), @"
    0.000s < follow 1 [k, l)
    0.000s > #1 m0 range [k, l) limit=128 sort=Mod/Descending
    0.000s < #1 range @7 k/b=2B:e92744d8@4/7
    0.000s > follow 1 1 begun @7
    0.000s > #2 m0 watch [k, l) from 7 prev progress fragment
    0.000s < #2 watch @7 created
    0.000s > #3 m0 range [k, l) at7 limit=128 sort=Mod/Descending
    0.000s < #3 range @7 k/b=2B:e92744d8@4/7
    0.000s > #4 m0 status
    0.000s < #2 watch @9 k/a=2B:86e746da@8/8, k/b=2B:3be75e32@4/9, k/a=3B:0368d98d@8/10, k/c=3B:4df80213@11/11
    0.000s > follow 1 2 changes: k/a=2B:86e746da@8/8, k/b=2B:3be75e32@4/9
    0.000s > #2 cancel
    0.000s > #4 cancel
    0.000s > follow 1 3 lagged after @9
    60.000s < acknowledge 1 1
    61.000s < acknowledge 1 3
    61.000s > #5 m0 range [k, l) limit=2
    61.000s < #5 range @20 k/a=3B:0368d98d@8/10, k/b=2B:3be75e32@4/9 of 3
    61.000s > follow 1 4 listed @20 k/a=3B:0368d98d@8/10 k/b=2B:3be75e32@4/9, more
    121.000s < acknowledge 1 4
    121.000s > #6 m0 range [k/b, l) at20 limit=3
    121.000s < #6 range @22 k/b=2B:3be75e32@4/9, k/c=3B:4df80213@11/11
    121.000s > #7 m0 watch [k, l) from 20 prev progress fragment
    121.000s < #7 watch @22 created
    121.000s > #8 m0 range [k, l) at20 limit=128 sort=Mod/Descending
    121.000s < #8 range @22 k/c=3B:4df80213@11/11 of 3
    121.000s > follow 1 5 listed on @20 k/c=3B:4df80213@11/11
    121.000s > #9 m0 status
    121.000s < #7 watch @22 -k/c@21
    121.000s > follow 1 6 changes: -k/c@21 was @11
    ");
}

#[test]
fn a_page_waits_for_room_in_the_window() {
    // Five bytes each: two fit.
    let mut h = start(Tuning { follow_bytes: 13, ..Tuning::default() }, Some(5));
    h.reply(1, failed(StoreError::Compacted)).acknowledge(1).wait(ms(100));
    h.reply(2, range(9, [put("a", 3, 3), put("b", 4, 4), put("c", 5, 5)]));
    h.acknowledge(2);
    h.reply(3, created(9)).reply(4, range(9, [put("c", 5, 5), put("b", 4, 4), put("a", 3, 3)]));
    h.acknowledge(3).acknowledge(4);
    assert_snapshot!(h.trace(), @"
    0.000s < follow 1 [k, l) from 5
    0.000s > #1 m0 range [k, l) at4 limit=128 sort=Mod/Descending
    0.000s < #1 failed: etcdserver: mvcc: required revision has been compacted
    0.000s > follow 1 1 gap after @4: Compacted
    0.000s < acknowledge 1 1
    0.100s > #2 m0 range [k, l) limit=8192
    0.100s < #2 range @9 k/a=2B:9e73a6e3@3/3, k/b=2B:5dc116c9@4/4, k/c=2B:c2f61945@5/5
    0.100s > follow 1 2 listed @9 k/a=2B:9e73a6e3@3/3 k/b=2B:5dc116c9@4/4, more
    0.100s < acknowledge 1 2
    0.100s > #3 m0 watch [k, l) from 9 prev progress fragment
    0.100s < #3 watch @9 created
    0.100s > #4 m0 range [k, l) at9 limit=128 sort=Mod/Descending
    0.100s < #4 range @9 k/c=2B:c2f61945@5/5, k/b=2B:5dc116c9@4/4, k/a=2B:9e73a6e3@3/3
    0.100s > follow 1 3 listed on @9 k/c=2B:c2f61945@5/5
    0.100s > #5 m0 status
    0.100s < acknowledge 1 3
    0.100s < acknowledge 1 4
    ");
}

#[test]
fn what_cannot_be_divided_has_the_window_to_itself() {
    let mut h = followed(Tuning { follow_events: 1, ..Tuning::default() });
    h.acknowledge(1).reply(2, events(8, [put("a", 8, 8), put("c", 8, 8)]));
    assert!(h.end().contains("follow 1 2 changes:"), "{}", h.trace());
    h.reply(2, events(9, [delete("a", 9)]));
    assert!(h.end().ends_with("follow 1 3 lagged after @8"), "{}", h.trace());
}

#[test]
fn a_record_that_is_larger_than_the_window_is_listed_all_the_same() {
    let mut h = start(Tuning { follow_bytes: 3, ..Tuning::default() }, Some(5));
    h.reply(1, failed(StoreError::Compacted)).acknowledge(1).wait(ms(100));
    h.reply(2, range(9, [put("a", 3, 3), put("b", 4, 4)]));
    assert!(h.end().contains("follow 1 2 listed @9 k/a"), "{}", h.trace());
    h.acknowledge(2).reply(3, created(9)).reply(4, range(9, [put("b", 4, 4), put("a", 3, 3)]));
    assert!(h.trace().contains("follow 1 3 listed on @9 k/b"), "{}", h.trace());
}

#[test]
fn compaction_while_cut_off_is_a_gap() {
    let mut h = followed(Tuning::default());
    h.acknowledge(1).reply(2, failed(lost())).wait(ms(100));
    h.reply(5, created(40)).reply(5, compacted(30)).wait(ms(200)).acknowledge(2).wait(ms(200));
    h.reply(7, range(40, [put("b", 4, 7)]));
    h.reply(8, created(40)).reply(9, range(40, [put("b", 4, 7)]));
    assert_snapshot!(h.trace(), @"
    0.000s < follow 1 [k, l)
    0.000s > #1 m0 range [k, l) limit=128 sort=Mod/Descending
    0.000s < #1 range @7 k/b=2B:e92744d8@4/7
    0.000s > follow 1 1 begun @7
    0.000s > #2 m0 watch [k, l) from 7 prev progress fragment
    0.000s < #2 watch @7 created
    0.000s > #3 m0 range [k, l) at7 limit=128 sort=Mod/Descending
    0.000s < #3 range @7 k/b=2B:e92744d8@4/7
    0.000s > #4 m0 status
    0.000s < acknowledge 1 1
    0.000s < #2 failed: connection lost: reset
    0.000s > m0 redial
    0.000s > #4 cancel
    0.100s > #5 m0 watch [k, l) from 7 prev progress fragment
    0.100s < #5 watch @40 created
    0.100s > #6 m0 range [k, l) at7 limit=128 sort=Mod/Descending
    0.100s < #5 watch @0 canceled compacted=30
    0.100s > #6 cancel
    0.100s > #5 cancel
    0.100s > follow 1 2 gap after @7: Compacted
    0.300s < acknowledge 1 2
    0.300s > #7 m0 range [k, l) limit=8192
    0.500s < #7 range @40 k/b=2B:e92744d8@4/7
    0.500s > #8 m0 watch [k, l) from 40 prev progress fragment
    0.500s < #8 watch @40 created
    0.500s > #9 m0 range [k, l) at40 limit=128 sort=Mod/Descending
    0.500s < #9 range @40 k/b=2B:e92744d8@4/7
    0.500s > follow 1 3 listed @40 k/b=2B:e92744d8@4/7
    0.500s > #10 m0 status
    ");
}

#[test]
fn another_store_behind_a_lost_connection_is_a_gap() {
    // What the store has at the cursor, 9: the newest record was put at 8 and then one deleted.
    let cases = [
        ("the same", counted(12, 1, put("c", 8, 8)), false),
        ("more", counted(12, 3, put("c", 8, 8)), true),
        ("an older newest", counted(12, 1, put("b", 4, 7)), true),
        ("another value", counted(12, 1, valued(put("c", 8, 8), "x")), true),
        ("another key", counted(12, 1, put("d", 8, 8)), true),
        ("a younger term", old_term(counted(12, 1, put("c", 8, 8))), true),
        ("behind", counted(8, 1, put("c", 8, 8)), true),
    ];
    for (what, check, other) in cases {
        let mut h = followed(Tuning::default());
        h.reply(2, events(9, [put("c", 8, 8), delete("b", 9)])).wait(ms(1));
        h.reply(2, failed(lost())).wait(ms(100));
        h.reply(5, created(12)).reply(6, check);
        let told = h.end().ends_with("gap after @9: NewEpoch");
        assert_eq!(told, other, "{what}: {}", h.trace());
    }
}

/// What this process holds has shown it; meanwhile the store has come as far as it was, and looks the same.
#[test]
fn another_store_that_looks_the_same_is_a_gap() {
    for other in [false, true] {
        let mut h = followed(Tuning::default());
        if other {
            h.engine.follows.each(Follow::new_epoch);
        }
        h.reply(2, failed(lost())).wait(ms(100));
        h.reply(5, created(9)).reply(6, counted(9, 1, put("b", 4, 7)));
        let told = h.end().ends_with("gap after @7: NewEpoch");
        assert_eq!(told, other, "{}", h.trace());
    }
}

/// Found by the check, or by the list that follows another gap.
#[test]
fn another_store_is_declared_once() {
    let checked = counted(9, 1, put("c", 6, 6));
    for (check, gaps) in [
        (checked, vec!["NewEpoch"]),
        (failed(StoreError::Compacted), vec!["Compacted", "NewEpoch"]),
    ] {
        let mut h = followed(Tuning::default());
        h.reply(2, failed(lost())).wait(ms(100)).reply(5, created(9)).reply(6, check);
        h.acknowledge(2).wait(ms(200)).reply(7, range(3, [put("c", 3, 3)]));
        h.reply(8, created(3)).reply(9, range(3, [put("c", 3, 3)]));
        let gap = |line: &String| Some(line.split_once("gap after @7: ")?.1.to_owned());
        assert_eq!(h.lines.iter().filter_map(gap).collect::<Vec<_>>(), gaps, "{}", h.trace());
        assert!(h.trace().contains("listed @3"), "{}", h.trace());
    }
}

#[test]
fn the_header_of_events_never_becomes_the_cursor() {
    let mut h = followed(Tuning::default());
    h.reply(4, status("3.5.30")).reply(2, events(50, [put("a", 8, 8)]));
    h.reply(2, failed(lost())).wait(ms(100));
    assert!(h.end().contains("watch [k, l) from 8 "), "{}", h.trace());
    h.reply(5, created(60)).reply(6, counted(60, 2, put("a", 8, 8))).reply(7, status("3.5.30"));
    // A progress answer of a server that keeps its promise does.
    h.reply(5, events(60, [])).reply(5, failed(lost())).wait(ms(500));
    assert!(h.end().contains("watch [k, l) from 60 "), "{}", h.trace());
    for version in ["3.4.24", "3.5.7", "none"] {
        let mut h = followed(Tuning::default());
        h.reply(4, status(version)).reply(2, events(60, []));
        h.reply(2, failed(lost())).wait(ms(100));
        assert!(h.end().contains("watch [k, l) from 7 "), "{version}: {}", h.trace());
    }
}

#[test]
fn a_watch_that_tells_nothing_is_left_and_then_declared() {
    let mut h = followed(Tuning::default());
    h.acknowledge(1).wait(ms(8_000)).reply(6, counted(12, 2, put("a", 8, 8))).wait(ms(200));
    h.reply(7, created(12)).reply(8, counted(12, 1, put("b", 4, 7))).wait(ms(9_000));
    h.reply(11, counted(12, 2, put("a", 8, 8)));
    assert_snapshot!(h.trace(), @"
    0.000s < follow 1 [k, l)
    0.000s > #1 m0 range [k, l) limit=128 sort=Mod/Descending
    0.000s < #1 range @7 k/b=2B:e92744d8@4/7
    0.000s > follow 1 1 begun @7
    0.000s > #2 m0 watch [k, l) from 7 prev progress fragment
    0.000s < #2 watch @7 created
    0.000s > #3 m0 range [k, l) at7 limit=128 sort=Mod/Descending
    0.000s < #3 range @7 k/b=2B:e92744d8@4/7
    0.000s > #4 m0 status
    0.000s < acknowledge 1 1
    3.000s > #4 cancel
    3.000s > m0 redial
    5.000s > #5 m0 on #2 progress
    8.000s > #6 m0 range [k, l) limit=1 sort=Mod/Descending keys-only
    8.000s < #6 range @12 k/a=2B:86e746da@8/8 of 2
    8.000s > m0 redial
    8.000s > #2 cancel
    8.100s > #7 m0 watch [k, l) from 7 prev progress fragment
    8.200s < #7 watch @12 created
    8.200s > #8 m0 range [k, l) at7 limit=128 sort=Mod/Descending
    8.200s < #8 range @12 k/b=2B:e92744d8@4/7
    8.200s > #9 m0 status
    11.200s > #9 cancel
    11.200s > m0 redial
    13.200s > #10 m0 on #7 progress
    16.200s > #11 m0 range [k, l) limit=1 sort=Mod/Descending keys-only
    17.200s < #11 range @12 k/a=2B:86e746da@8/8 of 2
    17.200s > #7 cancel
    17.200s > follow 1 2 gap after @7: Differs
    ");
}

/// A follower that was refused waits up to a minute, but not once the password is right.
#[test]
fn whoever_was_refused_is_let_in_soon() {
    let tuning = Tuning { jitter_percent: 0, ..Tuning::default() };
    let mut h = Harness::with(Setup { authenticates: true, ..setup(tuning) });
    h.command(Command::Follow { id: FOLLOW, keys: KeyRange::prefix("k"), from: None });
    let login = |h: &Harness| -> u64 {
        let line = h.lines.iter().rev().find(|line| line.ends_with(" m0 authenticate"));
        line.and_then(|line| line.split(['#', ' ']).nth(3)?.parse().ok()).expect("a login")
    };
    let mut refused = 0;
    while refused == login(&h) || h.now < Time::from_secs(600) {
        if refused != login(&h) {
            refused = login(&h);
            h.reply(refused, failed(StoreError::AuthFailed));
        }
        h.wait(ms(1_000));
    }
    let attempt = login(&h);
    h.lines.clear();
    h.reply(attempt, Reply::Authenticated).wait(ms(1_000));
    assert!(h.end().contains("range [k, l)"), "{}", h.trace());
}

#[test]
fn nothing_follows_once_it_is_ended() {
    for command in [Command::Unfollow { id: FOLLOW }, Command::Shutdown { within: ms(1_000) }] {
        let mut h = followed(Tuning::default());
        h.command(command);
        assert!(h.lines.iter().any(|line| line.ends_with("> #2 cancel")), "{}", h.trace());
        h.wait(ms(60_000)).reply(2, events(9, [put("a", 8, 8)]));
        let keys = KeyRange::prefix("k");
        h.command(Command::Acknowledge { id: FOLLOW, seq: FollowSeq(9) });
        let after = h.lines.iter().skip_while(|line| !line.contains("cancel"));
        assert!(after.clone().count() > 0, "{}", h.trace());
        assert!(after.clone().all(|line| !line.contains("> follow")), "{}", h.trace());
        assert_eq!(h.engine.in_flight(), 0);
        h.command(Command::Follow { id: FOLLOW, keys, from: Some(Revision(1)) });
    }
}
