//! Compaction.

use portolan_core::waist::{Compact, EventKind, Range, Request, Revision, StoreError, Watch};

use super::cases;
use crate::conformance::client::{Client, Tap};

cases! {
    c1_what_can_be_compacted: FRESH,
    c2_what_compaction_leaves: SHARED,
}

fn c1_what_can_be_compacted(client: &mut Client<'_>) {
    let refused = |client: &mut Client<'_>, revision: i64| {
        let compact = Compact { revision: Revision(revision), physical: false };
        client.failure(Request::Compact(compact))
    };
    assert_eq!(refused(client, -1), StoreError::Compacted);
    client.compact(Revision(0));
    assert_eq!(refused(client, 0), StoreError::Compacted);
    let now = client.put("a", "1").header.revision;
    assert_eq!(refused(client, now.0 + 1), StoreError::FutureRevision);
    client.compact(Revision(1));
    assert_eq!(refused(client, 1), StoreError::Compacted);
    let physical = Compact { revision: now, physical: true };
    let reply = client.ask(Request::Compact(physical));
    assert_eq!(reply.header().map(|header| header.revision), Some(now));
    assert_eq!(refused(client, now.0), StoreError::Compacted);
    assert_eq!(refused(client, now.0 - 1), StoreError::Compacted);
}

fn c2_what_compaction_leaves(client: &mut Client<'_>) {
    // Dead before the compaction, changed before it, changed after it.
    client.put("dead", "1");
    let first = client.put("changed", "1").header.revision;
    client.delete(client.one("dead"));
    let at = client.put("changed", "2").header.revision;
    let last = client.put("later", "1").header.revision;
    let ranges = |client: &mut Client<'_>, revision: Revision| {
        client.range(Range { revision, ..Range::of(client.all()) }).kvs
    };
    let before = [at, last].map(|revision| ranges(client, revision));
    client.compact(at);
    assert_eq!([at, last].map(|revision| ranges(client, revision)), before);
    let old = Range { revision: first, ..Range::of(client.all()) };
    assert_eq!(client.failure(Request::Range(old)), StoreError::Compacted);
    let count = Range { revision: first, count_only: true, ..Range::of(client.all()) };
    assert_eq!(client.failure(Request::Range(count)), StoreError::Compacted);

    let watch = Watch::of(client.all(), at).tap(|watch| watch.prev_kv = true);
    let stream = client.watch(watch);
    let events = client.events(stream, 2);
    assert_eq!(events[0].kv.mod_revision, at);
    assert_eq!((events[0].kind, events[0].prev.clone()), (EventKind::Put, None));
    assert_eq!(events[1].kv.mod_revision, last);
}
