//! Stories of updates that go wrong.

use portolan_core::engine::{Command, Event, OpId, UpdateOutcome};
use portolan_core::waist::{KeyRange, Range, Request, Revision, Txn};

use super::super::Property;
use super::Row;
use super::story::{C0, C1, P0, P1, Story, config_key, decoded_config, updated};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(Property::CS1, written_twice(), "was written at [Revision(2), Revision(3)]"),
        Row::new(Property::CS1, false_conflict(), "said conflict, and was written at"),
        Row::new(Property::CS2, two_guards(), "with guard 2 after 0"),
        Row::new(Property::CS2, created_twice(), "attempts the creation 32 twice"),
        Row::new(Property::CS3, too_early(), "goes on although attempt #3"),
        Row::new(Property::CS3, others_taken_for_own(), "which is another's"),
        Row::new(Property::CS4, lost_update(), "over the record of @3"),
        Row::new(Property::CS5, unseen(), "is shown /portolan/groups/web from before @2"),
        Row::new(Property::CS6, stale_read(), "asks what may be answered from old data"),
        Row::new(Property::CS6, compares_alone(), "asks what may be answered from old data"),
        Row::new(Property::LV6, without_end(), "operation 2 of p0.1 has not ended"),
    ]
}

fn written_twice() -> Story {
    let mut story = Story::updated();
    story.swapped(3, 50, 1, C0, 2);
    story
}

fn false_conflict() -> Story {
    let mut story = Story::new();
    story.update(P0, 1).swap(P0, 2, 50, 0, 1).swapped(2, 50, 1, C0, 2);
    story.tells(P0, updated(1, UpdateOutcome::Conflict));
    story
}

fn two_guards() -> Story {
    let mut story = Story::new();
    story.update(P0, 1).swap(P0, 2, 50, 0, 1).cancels(P0, 2).swap(P0, 3, 50, 2, 1);
    story
}

fn created_twice() -> Story {
    let mut story = Story::new();
    story.update(P0, 1).swap(P0, 2, 50, 0, 1).cancels(P0, 2).swap(P0, 3, 50, 0, 1);
    story
}

/// The attempt is not answered, the guard still stands, and the closure runs again.
fn too_early() -> Story {
    let mut story = Story::updated();
    story.update(P0, 2).swap(P0, 3, 51, 2, 2).cancels(P0, 3).swap(P0, 4, 52, 2, 2);
    story
}

fn others_taken_for_own() -> Story {
    let mut story = Story::updated();
    story.update(P0, 2).swap(P0, 3, 51, 2, 2).cancels(P0, 3);
    story.update(P1, 1).swap(P1, 1, 60, 2, 1).swapped(3, 60, 1, C1, 1);
    story.tells(P0, updated(2, UpdateOutcome::Done { revision: Revision(3) }));
    story
}

/// The store takes a swap although its guard is gone.
fn lost_update() -> Story {
    let mut story = Story::updated();
    story.update(P1, 1).swap(P1, 1, 60, 2, 1).swapped(3, 60, 1, C1, 1);
    story.update(P0, 2).swap(P0, 3, 51, 2, 2).swapped(4, 51, 2, C0, 3);
    story
}

/// After the acknowledged swap an update is shown nothing.
fn unseen() -> Story {
    let mut story = Story::updated();
    let base = Some(decoded_config(P0, 1, 50));
    story.update(P0, 2).tells(P0, Event::Propose { id: OpId(2), base });
    story.update(P0, 3).tells(P0, Event::Propose { id: OpId(3), base: None });
    story
}

fn stale_read() -> Story {
    let mut story = Story::new();
    let keys = KeyRange::one(config_key());
    let range = Range { serializable: true, ..Range::of(keys) };
    story.update(P0, 1).sends(P0, 1, Request::Range(range));
    story
}

fn compares_alone() -> Story {
    let mut story = Story::new();
    let compares = vec![portolan_core::waist::Compare::mod_revision(config_key(), Revision(3))];
    story.update(P0, 1).sends(P0, 1, Request::Txn(Txn { compares, ..Txn::default() }));
    story
}

fn without_end() -> Story {
    let mut story = Story::updated();
    let within = std::time::Duration::from_secs(5);
    let request = Request::Range(Range::of(KeyRange::one(config_key())));
    story.wants(P0, Command::Call { id: OpId(2), request, within });
    story.rests()
}
