//! Stories of followers that go wrong.

use portolan_core::engine::{Command, Event, FollowId, FollowSeq, Followed, Gap};
use portolan_core::waist::{EventKind, Key, KeyEvent, KeyRange, KeyValue, Revision};

use super::super::Property;
use super::Row;
use super::story::{C0, P1, Story};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(Property::FO1, missed(), "tells [(Revision(3), \"/kv/a\")] after @1; there was"),
        Row::new(Property::FO1, twice(), "after @2; there was []"),
        Row::new(Property::FO1, other(), "@2 not as it was"),
        Row::new(Property::FO1, forgets_what_was(), "that it was None, not Some"),
        Row::new(Property::FO1, undeclared(), "lists @2 without a gap"),
        Row::new(Property::FO1, lacking(), "lists {} @2; there was"),
        Row::new(Property::FO1, wrong_gap(), "has told all up to @2, and says @1"),
        Row::new(Property::FO1, too_late(), "begins @7"),
        Row::new(Property::FO2, greedy(), "holds 8193 changes"),
        Row::new(Property::FO3, not_told(), "was not told of Some(Revision(2))"),
        Row::new(Property::FO3, not_listed(), "has still to list"),
    ]
}

/// Process 1 follows `/kv/` from now on; `/kv/a` is written at revision 2.
pub(super) fn follows() -> Story {
    let mut story = Story::new();
    let (id, keys) = (FollowId(1), KeyRange::prefix("/kv/"));
    story.wants(P1, Command::Follow { id, keys, from: None });
    story.hears_of(1, Followed::Begun { revision: Revision(1) });
    story.writes(2, "one");
    story
}

/// It is told so.
pub(super) fn followed() -> Story {
    let mut story = follows();
    story.hears_of(2, changes(vec![put(2, "one", None)]));
    story
}

impl Story {
    fn hears_of(&mut self, seq: u64, what: Followed) -> &mut Self {
        self.tells(P1, Event::Followed { id: FollowId(1), seq: FollowSeq(seq), what })
    }

    fn writes(&mut self, revision: i64, value: &str) -> &mut Self {
        self.put(revision, &Key::from("/kv/a"), &value.into(), None, C0, 90)
    }
}

fn kv(revision: i64, value: &str) -> KeyValue {
    KeyValue {
        key: Key::from("/kv/a"),
        value: value.into(),
        mod_revision: Revision(revision),
        ..KeyValue::default()
    }
}

fn put(revision: i64, value: &str, prev: Option<KeyValue>) -> KeyEvent {
    KeyEvent { kind: EventKind::Put, kv: kv(revision, value), prev }
}

fn changes(events: Vec<KeyEvent>) -> Followed {
    Followed::Changes { events }
}

fn missed() -> Story {
    let mut story = follows();
    story.writes(3, "two").hears_of(2, changes(vec![put(3, "two", Some(kv(2, "one")))]));
    story
}

fn twice() -> Story {
    let mut story = followed();
    story.hears_of(3, changes(vec![put(2, "one", None)]));
    story
}

fn other() -> Story {
    let mut story = follows();
    story.hears_of(2, changes(vec![put(2, "another", None)]));
    story
}

fn forgets_what_was() -> Story {
    let mut story = followed();
    story.writes(3, "two").hears_of(3, changes(vec![put(3, "two", None)]));
    story
}

fn undeclared() -> Story {
    let mut story = followed();
    story.hears_of(3, list());
    story
}

fn lacking() -> Story {
    let mut story = followed();
    story.hears_of(3, gap(2)).hears_of(4, list());
    story
}

fn wrong_gap() -> Story {
    let mut story = followed();
    story.hears_of(3, gap(1));
    story
}

fn too_late() -> Story {
    let mut story = Story::new();
    let (id, keys) = (FollowId(1), KeyRange::prefix("/kv/"));
    story.wants(P1, Command::Follow { id, keys, from: None });
    story.hears_of(1, Followed::Begun { revision: Revision(7) });
    story
}

fn greedy() -> Story {
    let mut story = follows();
    let mut events = vec![put(2, "one", None)];
    for revision in 3..=8_194 {
        story.writes(revision, "more");
        let before = events.last().map(|event| event.kv.clone());
        events.push(put(revision, "more", before));
    }
    story.hears_of(2, changes(events));
    story
}

fn not_told() -> Story {
    follows().rests()
}

fn not_listed() -> Story {
    let mut story = followed();
    story.hears_of(3, gap(2));
    story.rests()
}

fn gap(after: i64) -> Followed {
    Followed::Gap { after: Revision(after), why: Gap::Compacted }
}

fn list() -> Followed {
    Followed::Listed { revision: Revision(2), first: true, complete: true, records: Vec::new() }
}
