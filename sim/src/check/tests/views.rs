//! Stories of directories that go wrong.

use portolan_core::engine::{Change, Freshness, Gap, Snapshot, StepCause};
use portolan_core::instance::Stamp;
use portolan_core::waist::{Key, Range, Reply, Request, Revision, WatchReply};

use super::super::Property;
use super::Row;
use super::story::{C0, P0, P1, Story, added, instance, key, keys, value_of};
use crate::plan::{Left, StoreFault};
use crate::trace::What;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(Property::VW1, lacking(), "lacks /portolan/instances/web/b @3"),
        Row::new(Property::VW1, ahead(), "names @9, but the store is at @2"),
        Row::new(Property::VW2, falling(), "falls from @3 to @2"),
        Row::new(Property::VW2, silent_epoch(), "begins epoch 1 without saying so"),
        Row::new(Property::VW2, needless_epoch(), "declares a new epoch, but"),
        Row::new(Property::VW3, torn(), "shows a part of @3"),
        Row::new(Property::VW4, added_twice(), "does not fit what it showed"),
        Row::new(Property::VW4, nothing_new(), "tells a step in which nothing changed"),
        Row::new(Property::VW5, disagreeing(), "differ at @2"),
        Row::new(Property::VW6, invented(), "was never in the store"),
        Row::new(Property::VW7, missed(), "did not tell of /portolan/instances/web/a rightly"),
        Row::new(Property::VW8, undeclared(), "says live across a gap"),
        Row::new(Property::VW9, one_later(), "from @4, which nothing delivered stands at"),
        Row::new(Property::VW9, from_header(), "from @9, which nothing delivered stands at"),
        Row::new(
            Property::VW9,
            from_early_progress(),
            "from @3, which nothing delivered stands at",
        ),
        Row::new(Property::VW10, behind(), "took a list @2 that was behind"),
        Row::new(Property::VW10, confirmed_behind(), "goes on by a watch confirmed @2, behind"),
        Row::new(Property::VW11, silent(), "says live after a silence"),
        Row::new(Property::VW12, late(), "a late reader is not told all"),
        Row::new(Property::LV8, not_moved(), "says Stale"),
        Row::new(Property::LV9, chased(), "was told a second time"),
        Row::new(Property::LV12, waiting_for_the_past(), "from @100, and @2 is next"),
        Row::new(Property::LV1, stale_in_the_end(), "says Stale"),
    ]
}

/// The record `web/a` is written once more, by process 0.
fn rewritten() -> Story {
    let mut story = Story::directory();
    story.publish(P0, 3, 7, 2, 1, 2).changed(3, &instance(P0, 1, 2), Some(7), C0, 3);
    story
}

fn with_b() -> Story {
    let mut story = Story::directory();
    let b = value_of("b", Stamp { run: 9, registration: 1, sequence: 1 });
    story.put(3, &key("b"), &b, None, C0, 90);
    story
}

fn lacking() -> Story {
    let mut story = with_b();
    let mut snapshot = story.snapshot(3);
    snapshot.records.remove(&key("b"));
    story.steps(P1, 1, StepCause::Watched, Vec::new(), snapshot);
    story
}

/// The directory never shows what came after it was listed, and somebody looks now and then.
fn late() -> Story {
    let mut story = with_b();
    for _ in 0..5 {
        let mut snapshot = story.snapshot(3);
        snapshot.records.remove(&key("b"));
        story.says(P1, 1, snapshot);
    }
    story
}

/// One of the members stays cut off, and the directory with it.
fn not_moved() -> Story {
    let mut story = stale_in_the_end();
    story.add(What::Healed(Left { processes: Vec::new(), members: vec![1] }));
    story.rests()
}

/// A watch is opened again where it was just told that the history is gone.
fn chased() -> Story {
    let canceled = Reply::Watch(WatchReply {
        canceled: true,
        compact_revision: Revision(3),
        ..WatchReply::default()
    });
    let mut story = rewritten();
    story.hears(P1, 2, canceled.clone()).watches(P1, 3, 2).hears(P1, 3, canceled);
    story
}

/// The store begins anew, and a watch waits for what came after the former one.
fn waiting_for_the_past() -> Story {
    let mut story = Story::directory();
    story.add(What::Stored(StoreFault::Wipe)).watches(P1, 3, 100);
    story.rests()
}

fn ahead() -> Story {
    let mut story = Story::directory();
    let snapshot = story.snapshot(9);
    story.says(P1, 1, snapshot);
    story
}

fn falling() -> Story {
    let mut story = rewritten();
    let mut before = story.snapshot(3);
    story.says(P1, 1, before.clone());
    before.revision = Revision(2);
    story.says(P1, 1, before);
    story
}

/// The step is told as one of the watch, and its snapshot is of another epoch.
fn silent_epoch() -> Story {
    let mut story = rewritten();
    let before =
        Story::directory().snapshot(2).records.get(&key("a")).expect("it is there").clone();
    let snapshot = Snapshot { epoch: 1, ..story.snapshot(3) };
    let record = snapshot.records.get(&key("a")).expect("it is there").clone();
    let changes = vec![Change::Updated { key: key("a"), before, record }];
    story.hears_events(P1, 2, 3).steps(P1, 1, StepCause::Watched, changes, snapshot);
    story
}

fn needless_epoch() -> Story {
    let mut story = Story::directory();
    let snapshot = Snapshot { epoch: 1, ..story.snapshot(2) };
    story.steps(P1, 1, StepCause::Relisted(Gap::NewEpoch), Vec::new(), snapshot);
    story
}

/// Both records change at one revision; one of the changes is shown.
fn torn() -> Story {
    let mut story = rewritten();
    let before = Story::directory().snapshot(2);
    let b = value_of("b", Stamp { run: 9, registration: 1, sequence: 1 });
    story.put(3, &key("b"), &b, None, C0, 3);
    let after = story.snapshot(3);
    let new = after.records.get(&key("b")).expect("it is there").clone();
    let mut torn = Snapshot { revision: Revision(3), ..before };
    torn.records.insert(key("b"), new.clone());
    let changes = vec![Change::Added { key: key("b"), record: new }];
    story.steps(P1, 1, StepCause::Watched, changes, torn);
    story
}

fn added_twice() -> Story {
    let mut story = Story::directory();
    let snapshot = story.snapshot(2);
    story.steps(P1, 1, StepCause::Watched, added(&snapshot), snapshot);
    story
}

fn nothing_new() -> Story {
    let mut story = Story::directory();
    let snapshot = story.snapshot(2);
    story.steps(P1, 1, StepCause::Watched, Vec::new(), snapshot);
    story
}

fn disagreeing() -> Story {
    let mut story = Story::directory();
    let mut snapshot = story.snapshot(2);
    snapshot.records.remove(&key("a"));
    story.open(P1, 2).asks_list(P1, 9).hears_list(P1, 9, 2);
    story.steps(P1, 2, StepCause::Listed, Vec::new(), snapshot);
    story
}

fn invented() -> Story {
    let mut story = Story::directory();
    let mut other = rewritten().snapshot(3);
    other.revision = Revision(2);
    let record = other.records.get(&key("a")).expect("it is there").clone();
    let before = story.snapshot(2).records.get(&key("a")).expect("it is there").clone();
    let changes = vec![Change::Updated { key: key("a"), before, record }];
    story.steps(P1, 1, StepCause::Watched, changes, other);
    story
}

/// The watch is opened anew, and the change meanwhile is passed over.
fn missed() -> Story {
    let mut story = rewritten();
    story.cancels(P1, 2).watches(P1, 3, 2);
    let b = value_of("b", Stamp { run: 9, registration: 1, sequence: 1 });
    story.put(4, &key("b"), &b, None, C0, 90);
    let old = Story::directory().snapshot(2);
    let new = story.snapshot(4).records.get(&key("b")).expect("it is there").clone();
    let mut shown = Snapshot { revision: Revision(4), ..old };
    shown.records.insert(key("b"), new.clone());
    let changes = vec![Change::Added { key: key("b"), record: new }];
    story.steps(P1, 1, StepCause::Watched, changes, shown);
    story
}

/// The watch was compacted away, and the directory says live without a list.
fn undeclared() -> Story {
    let canceled = Reply::Watch(WatchReply {
        canceled: true,
        compact_revision: Revision(3),
        ..WatchReply::default()
    });
    let mut story = rewritten();
    // The first time it lists, as it should.
    story.hears(P1, 2, canceled.clone()).asks_list(P1, 3).hears_list(P1, 3, 3);
    story.watches(P1, 4, 3).hears(P1, 4, canceled);
    let snapshot = story.snapshot(3);
    story.says(P1, 1, snapshot);
    story
}

/// The watch is opened anew after the last event, not at it.
fn one_later() -> Story {
    let mut story = rewritten();
    story.hears_events(P1, 2, 3).cancels(P1, 2).watches(P1, 3, 4);
    story
}

/// An event's header is ahead of the event.
fn from_header() -> Story {
    let mut story = rewritten();
    story.hears_events(P1, 2, 9).cancels(P1, 2).watches(P1, 3, 9);
    story
}

/// The store writes another key, answers for its progress, and the watch is opened anew from there.
pub(super) fn from_progress() -> Story {
    let mut story = Story::directory();
    let b = value_of("b", Stamp { run: 9, registration: 1, sequence: 1 });
    story.put(3, &Key::from("/kv/other"), &b, None, C0, 90).hears_progress(P1, 2, 3);
    story.cancels(P1, 2).watches(P1, 3, 3);
    story
}

/// The server is one of those whose progress may be ahead of its events.
fn from_early_progress() -> Story {
    from_progress().on("3.5.7")
}

/// A list from before an event that was delivered becomes the view.
fn behind() -> Story {
    let mut story = rewritten();
    story.hears_events(P1, 2, 3).asks_list(P1, 3).hears_list(P1, 3, 2);
    let snapshot = Story::directory().snapshot(2);
    story.steps(P1, 1, StepCause::Relisted(Gap::Compacted), Vec::new(), snapshot);
    story
}

/// A new watch is confirmed by who has not seen what was delivered; what it brings is taken.
fn confirmed_behind() -> Story {
    follows_from_behind(false)
}

/// Whether a linearizable read at the cursor vouches for the view before the watch goes on.
pub(super) fn follows_from_behind(vouched: bool) -> Story {
    let (mut story, old) = (rewritten(), Story::directory().snapshot(2));
    let (shown, changes) = (story.snapshot(3), updated(&old, &story.snapshot(3)));
    story.hears_events(P1, 2, 3).steps(P1, 1, StepCause::Watched, changes, shown.clone());
    story.cancels(P1, 2).watches(P1, 3, 3).confirms(P1, 3, 2);
    if vouched {
        let at = Range { revision: Revision(3), ..Range::of(keys()) };
        story.sends(P1, 4, Request::Range(at)).hears_list(P1, 4, 3);
    }
    story.publish(P0, 4, 7, 3, 1, 3).changed(4, &instance(P0, 1, 3), Some(7), C0, 4);
    let (new, changes) = (story.snapshot(4), updated(&shown, &story.snapshot(4)));
    story.hears_events(P1, 3, 4).steps(P1, 1, StepCause::Watched, changes, new);
    story
}

/// That `web/a` is updated from one snapshot to the next.
fn updated(before: &Snapshot, after: &Snapshot) -> Vec<Change> {
    let of = |snapshot: &Snapshot| snapshot.records.get(&key("a")).expect("it is there").clone();
    vec![Change::Updated { key: key("a"), before: of(before), record: of(after) }]
}

fn silent() -> Story {
    let mut story = Story::directory();
    story.at(8_500).add(What::Healed(Left::default())).at(8_600).add(What::Healed(Left::default()));
    story
}

fn stale_in_the_end() -> Story {
    let mut story = Story::directory();
    let stale = Freshness::Stale { since: portolan_core::Time::ZERO };
    let snapshot = Snapshot { freshness: stale, ..story.snapshot(2) };
    story.says(P1, 1, snapshot);
    story.rests()
}
