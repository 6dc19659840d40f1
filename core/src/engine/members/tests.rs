use super::*;
use proptest::{prop_assert_eq, proptest};
use std::collections::BTreeSet;

const HEALTHY: Duration = Duration::from_secs(10);

fn members(count: u16, first: u64) -> Members {
    Members::new(count, first, Rng::new(1))
}

fn tuning() -> Tuning {
    Tuning::default()
}

fn secs(secs: u64) -> Time {
    Time::from_secs(secs)
}

/// Blames at `now` whoever is asked then, by an attempt sent just then.
fn fail(members: &mut Members, now: Time) -> MemberId {
    let asked = members.choose(now);
    members.blame(asked, now, now, &tuning());
    asked
}

proptest! {
    /// After as many blames as there are members, each of them was asked.
    #[test]
    fn every_member_is_asked(count in 1_u16..20, first: u64) {
        let mut members = members(count, first);
        let asked: BTreeSet<_> =
            (0..u64::from(count)).map(|ms| fail(&mut members, Time::from_millis(ms))).collect();
        prop_assert_eq!(asked.len(), usize::from(count));
    }

    /// Where nobody works, nobody is left out, however long each was quarantined before, whether
    /// they are asked within their quarantines or only after them.
    #[test]
    fn all_are_asked_in_turn_where_nobody_works(
        count in 1_u16..8,
        before in proptest::collection::vec((0_u16..8, 0_u64..30_000), 0..20),
        after_quarantines: bool,
    ) {
        let mut members = members(count, 0);
        let mut now = Time::from_secs(1);
        for (member, later) in before {
            now = now + Duration::from_millis(later);
            members.blame(MemberId(member % count), now, now, &tuning());
        }
        for member in 0..count {
            now = now + Duration::from_millis(1);
            members.blame(MemberId(member), now, now, &tuning());
        }
        let pause = Duration::from_millis(if after_quarantines { 60_000 } else { 1 });
        let asked: BTreeSet<_> =
            (1..=u32::from(count)).map(|turn| fail(&mut members, now + pause * turn)).collect();
        prop_assert_eq!(asked.len(), usize::from(count));
    }
}

#[test]
fn whoever_works_is_asked_again() {
    let mut members = members(3, 7);
    for at in 0..100 {
        assert_eq!(members.choose(secs(at)), MemberId(1));
        members.worked(MemberId(1), None, secs(at), secs(at), HEALTHY);
    }
}

#[test]
fn a_hundred_attempts_on_a_dying_connection_are_one_failure() {
    let mut members = members(3, 0);
    assert!(members.blame(MemberId(0), secs(1), secs(2), &tuning()), "news: connect anew");
    let once = members.clone();
    for sent_at in [secs(0), secs(1), secs(2)] {
        assert!(!members.blame(MemberId(0), sent_at, secs(3), &tuning()), "old news");
        members.worked(MemberId(0), Some(5), sent_at, secs(3), HEALTHY);
    }
    assert_eq!(members, once);
    assert_eq!(members.choose(secs(3)), MemberId(1));
}

#[test]
fn quarantine_grows_with_each_failure_and_ends_with_health() {
    let mut members = members(1, 0);
    let quarantine = |members: &mut Members, now: Time| {
        fail(members, now);
        let Health::Quarantined { until } = members.members[0].health else { panic!("blamed") };
        until.since(now)
    };
    // Always less than the full span, at least three quarters of it.
    let mut now = secs(1);
    for full in [1, 2, 4, 8, 16, 30, 30] {
        let span = quarantine(&mut members, now);
        let full = Duration::from_secs(full);
        assert!(full * 3 / 4 <= span && span <= full, "{span:?} of {full:?}");
        now = now + full;
    }
    // Within it, further failures make it last, but not grow: all have failed, perhaps.
    let span = quarantine(&mut members, now + Duration::from_millis(1));
    assert!(span <= Duration::from_secs(30));
    let strikes = members.members[0].strikes;
    quarantine(&mut members, now + Duration::from_millis(2));
    assert_eq!(members.members[0].strikes, strikes);
    // An answer takes it back on probation, and time in health ends that.
    now = now + Duration::from_secs(1);
    for (after, health) in [
        (0, Health::Probation { since: now }),
        (9, Health::Probation { since: now }),
        (10, Health::Trusted),
    ] {
        let at = now + Duration::from_secs(after);
        members.worked(MemberId(0), None, at, at, HEALTHY);
        assert_eq!(members.members[0].health, health, "{after}");
    }
    assert!(quarantine(&mut members, secs(1_000)) <= Duration::from_secs(1), "from the base again");
}

#[test]
fn the_best_of_a_bad_lot_is_asked() {
    let mut members = members(4, 0);
    let worked = |members: &mut Members, member, at| {
        members.worked(MemberId(member), None, secs(at), secs(at), HEALTHY);
    };
    for at in [1_u64, 2, 3, 4] {
        assert_eq!(u64::from(fail(&mut members, secs(at)).0), at - 1);
    }
    // Their quarantines end after 2, 3, 4 and 5 s at the latest.
    assert_eq!(
        members.clone().choose(secs(4)),
        MemberId(0),
        "the first in turn whose time is over"
    );
    assert_eq!(members.clone().choose(Time::ZERO), MemberId(0), "who was blamed longest ago");
    worked(&mut members, 2, 4);
    assert_eq!(members.clone().choose(secs(4)), MemberId(2), "it has answered");
    worked(&mut members, 1, 5);
    worked(&mut members, 1, 15);
    assert_eq!(members.choose(secs(15)), MemberId(1), "it is trusted again");
    worked(&mut members, 2, 15);
    assert_eq!(members.choose(secs(15)), MemberId(1), "whoever works is kept");
}

#[test]
fn two_addresses_of_one_member_are_quarantined_together() {
    let mut members = members(3, 0);
    for (member, serves) in [(0, 11), (1, 11), (2, 12)] {
        members.worked(MemberId(member), Some(serves), secs(1), secs(1), HEALTHY);
    }
    fail(&mut members, secs(2));
    assert_eq!(members.choose(secs(2)), MemberId(2));
    assert_eq!(members.members[0].serves, None, "its next connections may lead elsewhere");
}

#[test]
fn another_cluster_is_believed_when_nobody_else_is_left() {
    let (ours, other) = (7, 8);
    let mut members = members(3, 0);
    assert!(!members.is_stranger(MemberId(0), ours, ours, secs(1), &tuning()));
    assert!(
        members.is_stranger(MemberId(1), other, ours, secs(1), &tuning()),
        "others can be asked"
    );
    assert!(!members.is_stranger(MemberId(0), other, ours, secs(2), &tuning()), "most say so");
    // It was replaced, so what is told of the former one is not believed either.
    assert!(members.is_stranger(MemberId(1), ours, other, secs(3), &tuning()));

    let mut members = super::tests::members(2, 0);
    assert!(members.is_stranger(MemberId(0), other, ours, secs(1), &tuning()));
    fail(&mut members, secs(1));
    fail(&mut members, Time::from_millis(1_001));
    assert!(
        !members.is_stranger(MemberId(0), other, ours, Time::from_millis(1_002), &tuning()),
        "1 is away"
    );
}

/// The right members are down, and the wrong address is not.
#[test]
fn an_outage_makes_no_stranger_the_store() {
    let (ours, other) = (7, 8);
    let mut members = members(3, 0);
    for member in [0, 1] {
        assert!(!members.is_stranger(MemberId(member), ours, ours, secs(1), &tuning()));
    }
    let minutes = |minutes: u64| secs(60 * minutes);
    // They were heard a second after the start, which counts for five minutes.
    for (now, believed) in [(secs(2), false), (minutes(5), false), (secs(301), true)] {
        for member in [0, 1] {
            members.blame(MemberId(member), now, now, &tuning());
        }
        let strange = members.is_stranger(MemberId(2), other, ours, now, &tuning());
        assert_eq!(strange, !believed, "{now}");
    }
}

#[test]
fn more_members_have_their_way_against_one_that_is_down() {
    let (ours, other) = (7, 8);
    let mut members = members(3, 0);
    assert!(!members.is_stranger(MemberId(0), ours, ours, secs(1), &tuning()));
    members.blame(MemberId(0), secs(2), secs(2), &tuning());
    assert!(members.is_stranger(MemberId(1), other, ours, secs(2), &tuning()), "2 can be asked");
    assert!(!members.is_stranger(MemberId(2), other, ours, secs(2), &tuning()), "two against one");
}

/// One of them is cut off for good: it can always be asked, and never says anything.
#[test]
fn more_than_half_need_not_wait_for_the_others() {
    let (ours, other) = (7, 8);
    for (count, needed) in [(2, 2), (3, 2), (4, 3), (5, 3)] {
        let mut members = members(count, 0);
        for member in 0..count {
            members.heard_from(MemberId(member), ours, secs(1));
        }
        let mut strange =
            |member| members.is_stranger(MemberId(member), other, ours, secs(2), &tuning());
        let believed: Vec<_> = (0..needed).map(|member| !strange(member)).collect();
        let expected: Vec<_> = (1..=needed).map(|said| said == needed).collect();
        assert_eq!(believed, expected, "of {count}");
    }
}

/// A list may lead to a stranger under many names, and who was given may be down for long.
#[test]
fn who_was_found_never_makes_another_cluster_the_store() {
    let (ours, other) = (7, 8);
    let mut members = members(1, 0);
    let info =
        |id| MemberInfo { id, client_urls: vec!["http://b:1".to_owned()], is_learner: false };
    members.worked(MemberId(0), Some(1), secs(1), secs(1), HEALTHY);
    assert!(!members.is_stranger(MemberId(0), ours, ours, secs(1), &tuning()));
    assert_eq!(members.listed(&[info(1), info(2), info(3)]).len(), 2);
    for now in [secs(3), secs(3_600)] {
        for found in [1, 2] {
            members.blame(MemberId(0), now, now, &tuning());
            assert!(members.is_stranger(MemberId(found), other, ours, now, &tuning()), "{now}");
        }
    }
    assert!(
        !members.is_stranger(MemberId(0), other, ours, secs(3_601), &tuning()),
        "who was given says so, and all others do"
    );
}

#[test]
fn listed_members_are_added_once_and_retire() {
    let info = |id: u64, url: &str| MemberInfo {
        id,
        client_urls: vec![url.to_owned()],
        is_learner: false,
    };
    let mut members = members(1, 0);
    members.worked(MemberId(0), Some(1), secs(1), secs(1), HEALTHY);
    let list = [
        info(1, "http://a:1"),
        info(2, "http://b:1"),
        MemberInfo { is_learner: true, ..info(3, "http://c:1") },
        MemberInfo { client_urls: Vec::new(), ..info(4, "") },
    ];
    let found = vec![(MemberId(1), vec!["http://b:1".to_owned()])];
    assert_eq!(members.listed(&list), found, "1 is reached already, 3 only listens, 4 is nowhere");
    assert_eq!(members.listed(&list), [], "known");
    assert_eq!(members.choose(secs(1)), MemberId(0));
    fail(&mut members, secs(2));
    assert_eq!(members.choose(secs(2)), MemberId(1));
    let again = vec![(MemberId(2), vec!["http://a:1".to_owned()])];
    assert_eq!(members.listed(&list[..1]), again, "who knows where the given address leads now");
    assert_eq!(members.choose(secs(2)), MemberId(2), "the one found first is no member any more");

    let many: Vec<_> = (10..200).map(|id| info(id, "http://d:1")).collect();
    members.listed(&many);
    assert_eq!(members.members.len(), MOST_MEMBERS);
}

/// Who was taken from the cluster's list may not have heard yet that the cluster was replaced.
#[test]
fn who_is_a_member_no_more_has_no_say() {
    let (ours, other) = (7, 8);
    let mut members = members(1, 0);
    let info =
        |id| MemberInfo { id, client_urls: vec!["http://b:1".to_owned()], is_learner: false };
    members.worked(MemberId(0), Some(1), secs(1), secs(1), HEALTHY);
    assert_eq!(members.listed(&[info(1), info(2)]).len(), 1);
    assert!(!members.is_stranger(MemberId(1), ours, ours, secs(2), &tuning()));
    let stays = members.clone();
    members.listed(&[info(1)]);
    for (mut members, believed) in [(stays, false), (members, true)] {
        members.blame(MemberId(1), secs(3), secs(3), &tuning());
        let strange = members.is_stranger(MemberId(0), other, ours, secs(3), &tuning());
        assert_eq!(strange, !believed);
    }
}

/// A word against whoever says that the store was replaced is one for the store as it was.
#[test]
fn a_third_cluster_is_no_argument() {
    let (ours, other, third) = (7, 8, 9);
    let mut members = members(2, 0);
    assert!(members.is_stranger(MemberId(0), third, ours, secs(1), &tuning()));
    members.blame(MemberId(0), secs(2), secs(2), &tuning());
    assert!(!members.is_stranger(MemberId(1), other, ours, secs(2), &tuning()));
}

/// Moving costs a connection, so who failed once and answers again is not left for a better one.
#[test]
fn who_is_on_probation_is_kept_while_asked() {
    let mut members = members(3, 0);
    let worked = |members: &mut Members, member, at| {
        members.worked(MemberId(member), None, secs(at), secs(at), HEALTHY);
    };
    for at in 1..4 {
        fail(&mut members, secs(at));
    }
    worked(&mut members, 1, 10);
    assert_eq!(members.choose(secs(10)), MemberId(1));
    worked(&mut members, 2, 10);
    worked(&mut members, 2, 20);
    assert_eq!(members.members[2].health, Health::Trusted);
    assert_eq!(members.choose(secs(20)), MemberId(1));
    members.blame(MemberId(1), secs(21), secs(21), &tuning());
    worked(&mut members, 0, 22);
    assert_eq!(members.choose(secs(22)), MemberId(2), "trusted before on probation");
}
