//! Stories of registrations and leases that go wrong.

use portolan_core::engine::{
    Command, Conflict, Event, Gone, LossReason, RegistrationEvent, RegistrationId,
};
use portolan_core::waist::{
    DeleteRange, KeepAlive, KeepAliveReply, KeyRange, Put, Reply, Request, Revoke,
};

use super::super::Property;
use super::Row;
use super::story::{
    C0, C1, P0, P1, Story, TTL_SECS, grant_request, header, instance, key, lease, publish_request,
};
use crate::plan::Left;
use crate::trace::{Run, What};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(Property::RG1, ghost(), "was deregistered, and then its attempt #3 wrote"),
        Row::new(Property::RG1, late_after_farewell(), "had closed, all confirmed, and then"),
        Row::new(Property::RG2, returned(), "registration 1 of p0.1 wrote"),
        Row::new(Property::RG3, unleased(), "on no live lease of its own"),
        Row::new(
            Property::RG3,
            unconfirmed_lease(),
            "on lease 0000000000000008 before it was granted",
        ),
        Row::new(Property::RG4, unguarded(), "without comparing"),
        Row::new(Property::RG4, foreign(), "hung on lease 0000000000000009 of somebody else"),
        Row::new(
            Property::RG4,
            foreign_revoke(),
            "revokes lease 0000000000000009, which is not its own",
        ),
        Row::new(Property::RG5, granted_twice(), "with one asked for before"),
        Row::new(Property::RG5, pile(), "holds 4 leases for 1 keys"),
        Row::new(Property::RG10, stray(), "whose grant was not answered"),
        Row::new(Property::RG6, beyond(), "which may be relied on until 9.900s"),
        Row::new(Property::RG7, woken(), "before registration 1 has said so"),
        Row::new(Property::RG7, woken_in_silence(), "does not say that lease 0000000000000007"),
        Row::new(Property::RG8, renewed_twice_at_once(), "while it waits for #3"),
        Row::new(Property::RG8, gone_by_a_renewal(), "which is gone by the answer"),
        Row::new(Property::RG9, lost_twice(), "or twice"),
        Row::new(Property::RG9, lost_after_its_end(), "has ended, and then says"),
        Row::new(Property::RG10, needless(), "has nothing registered"),
        Row::new(Property::RG11, used_dead(), "which it knows to be dead"),
        Row::new(Property::RG12, stepped_back(), "wrote content 1 over content 2"),
        Row::new(Property::LV2, refused(), "was refused: no reason"),
        Row::new(Property::LV2, not_standing(), "is wanted, but"),
        Row::new(Property::LV3, left_behind(), "still hangs on a lease of p0.1, which is gone"),
        Row::new(Property::LV4, not_removed(), "has ended, but"),
        Row::new(Property::LV5, not_made_good(), "was lost, and has not come back"),
        Row::new(Property::LV10, starving(), "without a renewal for 6s"),
        Row::new(Property::LV11, gap(), "of another, where its registration 1 is to stand"),
    ]
}

fn gone(story: &mut Story, id: u64, gone: Gone) {
    let event = RegistrationEvent::Gone(gone);
    story.tells(P0, Event::Registration { id: RegistrationId(id), event });
}

fn renewed(story: &mut Story, run: Run, attempt: u64, id: i64, ttl_secs: i64) {
    story.sends(run, attempt, Request::KeepAlive(KeepAlive { lease: lease(id) }));
    let reply = KeepAliveReply { header: header(2), lease: lease(id), ttl_secs };
    story.hears(run, attempt, Reply::KeepAlive(reply));
}

fn ghost() -> Story {
    let mut story = Story::registered();
    story.publish(P0, 3, 7, 0, 1, 1).delete(3, &key("a"), C0, 4);
    gone(&mut story, 1, Gone::Deregistered);
    story.changed(4, &instance(P0, 1, 1), Some(7), C0, 3);
    story
}

fn late_after_farewell() -> Story {
    let mut story = Story::registered();
    story.publish(P0, 3, 7, 2, 1, 2);
    gone(&mut story, 1, Gone::Deregistered);
    story.tells(P0, Event::Closed { confirmed: true });
    story.changed(3, &instance(P0, 1, 2), Some(7), C0, 3);
    story
}

fn returned() -> Story {
    let mut story = Story::registered();
    story.register(P0, 2, Conflict::Replace).publish(P0, 3, 7, 2, 2, 1);
    story.changed(3, &instance(P0, 2, 1), Some(7), C0, 3);
    story.publish(P0, 4, 7, 3, 1, 2).changed(4, &instance(P0, 1, 2), Some(7), C0, 4);
    story
}

fn unleased() -> Story {
    let mut story = Story::registered();
    story.sends(P0, 3, publish_request(2, instance(P0, 1, 2), None));
    story.changed(3, &instance(P0, 1, 2), None, C0, 3);
    story
}

fn unconfirmed_lease() -> Story {
    let mut story = Story::registered();
    story.sends(P0, 3, grant_request(8)).granted(8, C0, 3).publish(P0, 4, 8, 2, 1, 2);
    story
}

fn unguarded() -> Story {
    let mut story = Story::registered();
    let value = instance(P0, 1, 2);
    let put = Put { key: key("a"), value: value.clone(), lease: Some(lease(7)), ..Put::default() };
    story.sends(P0, 3, Request::Put(put)).changed(3, &value, Some(7), C0, 3);
    story
}

/// Process 1 writes over the record, and process 0, which was to give way, writes over that.
fn foreign() -> Story {
    let mut story = Story::registered();
    story.register(P1, 1, Conflict::Replace).grant(P1, 1, 9).publish(P1, 2, 9, 2, 1, 1);
    story.changed(3, &instance(P1, 1, 1), Some(9), C1, 2);
    story.publish(P0, 3, 7, 3, 1, 2).changed(4, &instance(P0, 1, 2), Some(7), C0, 3);
    story
}

fn foreign_revoke() -> Story {
    let mut story = Story::registered();
    story.grant(P1, 1, 9).sends(P0, 3, Request::Revoke(Revoke { lease: lease(9) }));
    story
}

fn granted_twice() -> Story {
    let mut story = Story::registered();
    story.sends(P0, 3, grant_request(7));
    story
}

/// Four leases, all renewed, for one registration.
fn pile() -> Story {
    let mut story = Story::registered();
    for id in 8..=10 {
        story.grant(P0, u64::try_from(id).unwrap_or(0), id);
    }
    for (round, second) in (0_u64..).zip((0..=60).step_by(5)) {
        story.at(second * 1_000);
        for id in 7..=10 {
            let attempt = 100 + round * 10 + u64::try_from(id).unwrap_or(0);
            renewed(&mut story, P0, attempt, id, TTL_SECS);
        }
    }
    story
}

fn keep_alive(id: i64) -> Request {
    Request::KeepAlive(KeepAlive { lease: lease(id) })
}

fn lost(story: &mut Story, id: u64) {
    let event = RegistrationEvent::Lost { reason: LossReason::LeaseLost };
    story.tells(P0, Event::Registration { id: RegistrationId(id), event });
}

/// Process 0 is held beyond its lease's time.
fn held() -> Story {
    let mut story = Story::registered();
    story.add(What::Paused(P0)).at(20_000).add(What::Resumed(P0));
    story
}

fn woken() -> Story {
    let mut story = held();
    story.publish(P0, 3, 7, 2, 1, 2);
    story
}

fn woken_in_silence() -> Story {
    let mut story = held();
    story.at(20_001).add(What::Healed(Left::default()));
    story
}

fn renewed_twice_at_once() -> Story {
    let mut story = Story::registered();
    story.sends(P0, 3, keep_alive(7)).sends(P0, 4, keep_alive(7));
    story
}

fn gone_by_a_renewal() -> Story {
    let mut story = Story::registered();
    renewed(&mut story, P0, 3, 7, 0);
    story.at(1).add(What::Healed(Left::default()));
    story
}

fn lost_twice() -> Story {
    let mut story = Story::registered();
    lost(&mut story, 1);
    lost(&mut story, 1);
    story
}

fn lost_after_its_end() -> Story {
    let mut story = Story::registered();
    lost(&mut story, 1);
    gone(&mut story, 1, Gone::Unconfirmed);
    lost(&mut story, 1);
    story
}

/// What was registered is gone, and its lease is renewed for ever.
fn needless() -> Story {
    let mut story = Story::registered();
    gone(&mut story, 1, Gone::Deregistered);
    for round in 1..=20 {
        story.at(round * 5_000);
        renewed(&mut story, P0, 10 + round, 7, TTL_SECS);
    }
    story
}

fn not_made_good() -> Story {
    let mut story = Story::registered();
    lost(&mut story, 1);
    story.rests()
}

fn starving() -> Story {
    let mut story = Story::registered();
    story.at(6_000).sends(P0, 3, keep_alive(7));
    story
}

/// Process 1, which is to take the place, deletes first what stands there.
fn gap() -> Story {
    let mut story = Story::registered();
    let delete = DeleteRange { keys: KeyRange::one(key("a")), prev_kv: false };
    story.register(P1, 1, Conflict::Replace).sends(P1, 1, Request::Delete(delete));
    story.delete(3, &key("a"), C1, 1);
    story
}

fn stray() -> Story {
    let mut story = Story::registered();
    story.sends(P0, 3, grant_request(8)).granted(8, C0, 3);
    renewed(&mut story, P0, 4, 8, TTL_SECS);
    story
}

fn beyond() -> Story {
    let mut story = Story::registered();
    story
        .at(9_899)
        .add(What::Healed(Left::default()))
        .at(9_900)
        .add(What::Healed(Left::default()))
        .at(9_901)
        .add(What::Healed(Left::default()));
    story
}

fn used_dead() -> Story {
    let mut story = Story::registered();
    renewed(&mut story, P0, 3, 7, 0);
    story.publish(P0, 4, 7, 2, 1, 2);
    story
}

fn stepped_back() -> Story {
    let mut story = Story::registered();
    story.publish(P0, 3, 7, 2, 1, 2).changed(3, &instance(P0, 1, 2), Some(7), C0, 3);
    story.publish(P0, 4, 7, 3, 1, 1).changed(4, &instance(P0, 1, 1), Some(7), C0, 4);
    story
}

fn refused() -> Story {
    let mut story = Story::new();
    story.register(P0, 1, Conflict::Replace);
    gone(&mut story, 1, Gone::Refused { reason: "no reason".to_owned() });
    // Another one, so that the check has looked at a registration in the end.
    story.register(P1, 1, Conflict::Replace);
    story.rests()
}

fn not_standing() -> Story {
    let mut story = Story::registered();
    story.delete(3, &key("a"), C1, 9);
    story.rests()
}

fn left_behind() -> Story {
    let mut story = Story::registered();
    story.add(What::Crashed(P0));
    story.rests()
}

fn not_removed() -> Story {
    let mut story = Story::registered();
    let within = std::time::Duration::from_secs(5);
    story.wants(P0, Command::Deregister { id: RegistrationId(1), within });
    gone(&mut story, 1, Gone::Unconfirmed);
    story.rests()
}
