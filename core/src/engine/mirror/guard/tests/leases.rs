//! Which leases count as ended, and what is asked of the store about them.

use super::*;

/// All that was told of a group that was found to be in an outage.
fn tripped(leases_gone: u32, of: u32) -> GuardNews {
    let rule = GuardRule { leases_gone, of, within: TTL };
    GuardNews::Tripped { group: "cart".to_owned(), rule }
}

#[test]
fn a_lease_that_still_carries_an_instance_has_not_ended() {
    let mut world = World::new();
    world.turn(Turn::Register(vec![0, 1, 2, 3]));
    for (id, of) in [(4, 0), (5, 1)] {
        let standing = world.store[&of];
        let more = vec![world.put(id, standing)];
        world.apply(more);
    }
    world.turn(Turn::Delete(vec![0, 1]));
    world.turn(Turn::Expire(2));
    world.turn(Turn::Expire(3));
    assert_eq!(world.suspects(), [].into(), "two of four");
}

#[test]
fn a_lease_without_time_left_has_ended() {
    for (left, kept) in [(1, 0), (0, 3), (-1, 3)] {
        let mut world = World::new();
        world.left = left;
        world.turn(Turn::Register(vec![0, 1, 2, 3]));
        world.turn(Turn::Delete(vec![0, 1, 2]));
        world.turn(Turn::Answer);
        assert_eq!(world.suspects().len(), kept, "{left} s left");
    }
}

#[test]
fn a_lease_that_is_known_to_have_ended_counts_and_is_not_asked_for_again() {
    let mut world = World::new();
    world.turn(Turn::Register((0..5).collect()));
    world.turn(Turn::Expire(0));
    world.turn(Turn::Expire(1));
    world.turn(Turn::Delete(vec![4]));
    world.turn(Turn::Answer);
    assert_eq!(world.suspects(), [].into(), "one of three was removed on purpose");
    world.turn(Turn::Expire(2));
    assert_eq!(world.asked.len(), 1);
    world.turn(Turn::Answer);
    assert_eq!(world.news.last(), Some(&tripped(3, 4)));
}

#[test]
fn what_is_gone_again_is_kept_for_a_time_of_its_own() {
    let mut world = World::new();
    world.turn(Turn::Register(vec![0, 1, 2, 3]));
    let standing = world.store[&0];
    (0..3).for_each(|id| world.turn(Turn::Expire(id)));
    world.turn(Turn::Answer);
    world.turn(Turn::Wait(HOLD / 2));
    let back = vec![world.put(0, standing)];
    world.apply(back);
    world.turn(Turn::Expire(0));
    world.turn(Turn::Answer);
    assert_eq!(world.suspects(), [0, 1, 2].into());
    world.turn(Turn::Wait(HOLD / 2));
    assert_eq!(world.suspects(), [0].into());
    world.turn(Turn::Wait(HOLD / 2));
    assert_eq!(world.suspects(), [].into());
}

#[test]
fn how_long_leases_are_granted_is_asked_once_and_where_it_matters() {
    let mut world = World::new();
    world.turn(Turn::Register(vec![0, 1]));
    world.turn(Turn::Expire(0));
    assert_eq!(world.asked.len(), 0, "two leases never make it trip");
    world.turn(Turn::Register(vec![0, 2]));
    assert_eq!(world.asked.len(), 0, "none is missing");
    world.turn(Turn::Expire(0));
    assert_eq!(world.asked.len(), 1);
    world.turn(Turn::Expire(2));
    assert_eq!(world.asked.len(), 1, "it is asked already");
    world.turn(Turn::Answer);
    world.turn(Turn::Register(vec![0, 2]));
    world.turn(Turn::Expire(0));
    assert_eq!(world.asked.len(), 0, "it is known");
}

#[test]
fn of_a_group_that_is_gone_nothing_is_left() {
    let mut world = World::new();
    world.turn(Turn::Register(vec![0, 1, 2]));
    (0..3).for_each(|id| world.turn(Turn::Drain(id)));
    assert_eq!(world.guard.groups, BTreeMap::new(), "by wish");
    world.turn(Turn::Register(vec![0, 1, 2]));
    (0..3).for_each(|id| world.turn(Turn::Expire(id)));
    world.turn(Turn::Answer);
    assert_eq!(world.news, [tripped(3, 3)]);
    world.turn(Turn::Wait(HOLD));
    assert_eq!(world.guard.groups, BTreeMap::new(), "in an outage that is over");
}

#[test]
fn a_lease_of_days_does_not_make_an_outage_last_for_days() {
    let mut world = World::new();
    world.granted = 10 * 24 * 3_600;
    world.turn(Turn::Register(vec![0, 1, 2, 3]));
    world.turn(Turn::Expire(3));
    world.turn(Turn::Answer);
    world.turn(Turn::Expire(1));
    world.turn(Turn::Expire(2));
    world.turn(Turn::Answer);
    let within = Duration::from_secs(24 * 3_600);
    let rule = GuardRule { leases_gone: 3, of: 4, within };
    assert_eq!(world.news, [GuardNews::Tripped { group: "cart".to_owned(), rule }]);
}
