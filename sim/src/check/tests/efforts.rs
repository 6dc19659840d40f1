//! Stories of engines that try too hard, too long, or beyond their end.

use std::time::Duration;

use portolan_core::engine::{CallError, Command, Conflict, Event, OpId, RegistrationId};
use portolan_core::waist::{
    AttemptId, KeepAlive, KeepAliveReply, KeyRange, Range, Reply, Request, StoreError, TimeToLive,
};

use super::super::Property;
use super::Row;
use super::story::{C0, P0, P1, Story, config_key, grant_request, header, lease};
use crate::plan::Left;
use crate::trace::What;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(Property::EF1, spinning(), "tried Grant"),
        Row::new(Property::EF1, granted_and_gone(), "tried Footing"),
        Row::new(Property::EF1, granted_and_not_found(), "tried Footing"),
        Row::new(Property::EF2, opened_and_closed(), "times in 990ms in vain"),
        Row::new(Property::EF3, beyond_the_budget(), "ahead of its budget"),
        Row::new(Property::EF5, asked_again(), "though it was told"),
        Row::new(Property::EF6, too_much_at_once(), "waits for 9 answers at once"),
        Row::new(Property::LV7, waiting_on_the_dead(), "which vanished in a dead connection"),
        Row::new(Property::EF4, overdue(), "operation 1 of p0.1 has not ended at its deadline"),
        Row::new(Property::EF4, begun_late(), "which was to end by 1.000s"),
        Row::new(Property::EF4, removal_overdue(), "the removal of registration 1 of p0.1"),
        Row::new(Property::EF7, talkative(), "has closed, and then"),
        Row::new(Property::EF7, busy_closing(), "is closing, and asks: grant"),
        Row::new(Property::EF7, left_open(), "has closed and still waits for #3"),
    ]
}

fn within() -> Duration {
    Duration::from_secs(1)
}

/// A grant is refused every ten milliseconds, and asked for again at once.
fn spinning() -> Story {
    let mut story = Story::new();
    for round in 1..=100 {
        story.at(round * 10).sends(P0, round, grant_request(i64::try_from(round).unwrap_or(1)));
        story.hears(P0, round, Reply::Failed(StoreError::TooManyRequests));
    }
    story
}

/// Each lease is granted, and gone when it is first renewed; a new one is asked for at once.
fn granted_and_gone() -> Story {
    granted_in_vain(|story, attempt, id| {
        story.sends(P0, attempt, Request::KeepAlive(KeepAlive { lease: lease(id) }));
        let reply = KeepAliveReply { header: header(2), lease: lease(id), ttl_secs: 0 };
        story.hears(P0, attempt, Reply::KeepAlive(reply));
    })
}

/// Each lease is granted, and not there when something is put on it.
fn granted_and_not_found() -> Story {
    granted_in_vain(|story, attempt, id| {
        story.publish(P0, attempt, id, 0, 1, 1);
        story.hears(P0, attempt, Reply::Failed(StoreError::LeaseNotFound));
    })
}

fn granted_in_vain(then: impl Fn(&mut Story, u64, i64)) -> Story {
    let mut story = Story::new();
    story.register(P0, 1, Conflict::Replace);
    for round in 1..=100 {
        let id = i64::try_from(round).unwrap_or(1);
        story.at(round * 10).grant(P0, 2 * round, id);
        then(&mut story, 2 * round + 1, id);
    }
    story
}

/// A watch is confirmed, and closed at once, every time.
fn opened_and_closed() -> Story {
    let mut story = Story::new();
    for round in 1..=100 {
        story.at(round * 10).watches(P0, round, 1).confirms(P0, round, 1);
        story.hears(P0, round, Reply::Failed(StoreError::StreamEnded));
    }
    story
}

fn beyond_the_budget() -> Story {
    let mut story = called();
    for attempt in 2..2_000 {
        story.cancels(P0, attempt - 1).sends(P0, attempt, read());
    }
    story
}

fn asked_again() -> Story {
    let mut story = called();
    story.hears(P0, 1, Reply::Failed(StoreError::PermissionDenied)).sends(P0, 2, read());
    story
}

/// Two calls ask the same. One is told that it is in vain, and ends; the other has not been told.
#[test]
fn a_call_may_ask_what_another_one_was_refused() {
    let mut story = called();
    let call = Command::Call { id: OpId(2), request: read(), within: within() };
    story.wants(P0, call).sends(P0, 2, read());
    story.hears(P0, 2, Reply::Failed(StoreError::PermissionDenied));
    let result = Err(CallError::NotDone(StoreError::PermissionDenied));
    story.tells(P0, Event::Called { id: OpId(2), result }).sends(P0, 3, read());
    assert_eq!(story.checked().violations(), []);
}

fn too_much_at_once() -> Story {
    let mut story = Story::new();
    for attempt in 1..=9 {
        story.sends(P0, attempt, read());
    }
    story
}

/// A directory whose one record vanishes may ask for its lease, and for one that lives, beside its
/// stream and all else; no more.
#[test]
fn a_guard_asks_for_the_leases_that_its_directory_had() {
    for (count, fits) in [(9, true), (11, true), (12, false)] {
        let mut story = Story::directory();
        for attempt in 1..=count {
            let ask = TimeToLive { lease: lease(7), keys: false };
            story.sends(P1, 100 + attempt, Request::TimeToLive(ask));
        }
        let checks = story.checked();
        let mut properties = checks.violations().iter().map(|violation| violation.property);
        assert_eq!(!properties.any(|property| property == Property::EF6), fits, "{count}");
    }
}

fn waiting_on_the_dead() -> Story {
    let mut story = called();
    story.add(What::Swallowed { client: C0, attempt: AttemptId(1) });
    story
        .at(60_000)
        .add(What::Healed(Left::default()))
        .at(60_001)
        .add(What::Healed(Left::default()));
    story
}

fn read() -> Request {
    Request::Range(Range::of(KeyRange::one("/kv/a")))
}

fn called() -> Story {
    let mut story = Story::new();
    let call = Command::Call { id: OpId(1), request: read(), within: within() };
    story.wants(P0, call).sends(P0, 1, read());
    story
}

fn overdue() -> Story {
    let mut story = called();
    story.at(1_500).add(What::Healed(Left::default())).at(1_600).add(What::Healed(Left::default()));
    ended_call(&mut story);
    story
}

fn ended_call(story: &mut Story) {
    let error = CallError::NotDone(StoreError::GaveUp);
    story.tells(P0, Event::Called { id: OpId(1), result: Err(error) });
}

fn begun_late() -> Story {
    let mut story = called();
    story.cancels(P0, 1).at(1_500).sends(P0, 2, read());
    ended_call(&mut story);
    story
}

/// A call was held past its deadline, and asked for the key that an update, still in time, reads.
#[test]
fn an_update_may_read_what_an_overdue_call_was_reading() {
    let read = Request::Range(Range::of(KeyRange::one(config_key())));
    let mut story = Story::new();
    story.wants(P0, Command::Call { id: OpId(1), request: read.clone(), within: within() });
    story.sends(P0, 1, read.clone()).at(700).update(P0, 2);
    story.cancels(P0, 1).at(1_500).sends(P0, 2, read);
    ended_call(&mut story);
    assert_eq!(story.checked().violations(), []);
}

fn removal_overdue() -> Story {
    let mut story = Story::registered();
    story.wants(P0, Command::Deregister { id: RegistrationId(1), within: within() });
    story.at(1_500).add(What::Healed(Left::default())).at(1_600).add(What::Healed(Left::default()));
    ended_call(&mut story);
    story
}

fn talkative() -> Story {
    let mut story = Story::registered();
    story.wants(P0, Command::Shutdown { within: within() });
    story.tells(P0, Event::Closed { confirmed: false }).sends(P0, 3, read());
    story
}

fn busy_closing() -> Story {
    let mut story = Story::registered();
    story.wants(P0, Command::Shutdown { within: within() }).sends(P0, 3, grant_request(8));
    story
}

fn left_open() -> Story {
    let mut story = Story::registered();
    story.wants(P0, Command::Shutdown { within: within() }).sends(P0, 3, read());
    story.tells(P0, Event::Closed { confirmed: false });
    story
}
