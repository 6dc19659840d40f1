//! Stories of engines that try too hard, too long, or beyond their end.

use std::time::Duration;

use portolan_core::engine::{Command, Event, OpId, RegistrationId};
use portolan_core::waist::{KeyRange, Range, Reply, Request, StoreError};

use super::super::Property;
use super::Row;
use super::story::{P0, Story, grant_request};
use crate::trace::What;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(Property::EF1, spinning(), "tried Grant"),
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
    story.at(1_500).add(What::Healed).at(1_600).add(What::Healed);
    ended_call(&mut story);
    story
}

fn ended_call(story: &mut Story) {
    let error = portolan_core::engine::CallError::NotDone(StoreError::GaveUp);
    story.tells(P0, Event::Called { id: OpId(1), result: Err(error) });
}

fn begun_late() -> Story {
    let mut story = called();
    story.cancels(P0, 1).at(1_500).sends(P0, 2, read());
    ended_call(&mut story);
    story
}

fn removal_overdue() -> Story {
    let mut story = Story::registered();
    story.wants(P0, Command::Deregister { id: RegistrationId(1), within: within() });
    story.at(1_500).add(What::Healed).at(1_600).add(What::Healed);
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
