//! Watches.

use std::time::Duration;

use portolan_core::waist::{
    EventKind, Key, KeyRange, Range, Reply, Request, Revision, StoreError, Watch, WatchFilter,
    WatchSay,
};

use super::cases;
use crate::conformance::client::{Client, Tap, always, name};
use crate::conformance::releases;
use crate::conformance::store::Happening;

cases! {
    w1_created_comes_first: SHARED,
    w2_starts_now_before_and_later: SHARED,
    w3_a_start_that_was_compacted: SHARED,
    w4_a_negative_start: FRESH,
    w5_how_watches_are_numbered: SHARED,
    w6_a_cancelled_watch_falls_silent: SHARED,
    w7_in_step_one_message_for_each_revision: SHARED,
    w8_behind_a_thousand_revisions_at_a_time: SHARED,
    w10_filters: SHARED,
    w11_what_was_there_before: SHARED,
    w12_a_quiet_watch_is_told_that_it_is_up_to_date: TELLING,
    w13_progress_on_request: SHARED,
    w14_large_messages_come_in_parts: SHARED,
    w16_compaction_does_not_touch_who_is_in_step: SHARED,
    w17_refused_at_once_without_a_leader: CLUSTER,
    w17_a_silent_watch_without_a_leader: LENIENT_CLUSTER,
}

fn w1_created_comes_first(client: &mut Client<'_>) {
    let first = client.put("a", "1").header.revision;
    let now = client.put("a", "2").header.revision;
    // With events waiting, too.
    for start in [Revision::ZERO, first, now] {
        let stream = client.submit(Request::Watch(Watch::of(client.one("a"), start)));
        let created = client.told(stream);
        assert!(created.created && !created.canceled && created.events.is_empty(), "{created:?}");
        assert_eq!(created.header.revision, now, "from {start}");
        assert_eq!((created.watch_id, created.compact_revision), (0, Revision::ZERO));
        client.cancel(stream);
    }
}

fn w2_starts_now_before_and_later(client: &mut Client<'_>) {
    let first = client.put("a", "1").header.revision;
    let second = client.put("b", "2").header.revision;
    let now = client.watch_all(Revision::ZERO);
    let before = client.watch_all(second);
    let all = client.watch_all(first);
    let later = client.submit(Request::Watch(Watch::of(client.all(), Revision(second.0 + 2))));
    let created = client.told(later);
    assert!(created.created);
    assert_eq!(created.header.revision, second, "below the start: the only hint");

    let events = client.events(all, 2);
    assert_eq!(events[0].kv.mod_revision, first);
    assert_eq!(events[1].kv.mod_revision, second);
    assert_eq!(client.events(before, 1)[0].kv.mod_revision, second);
    client.silent(now);

    client.put("c", "3");
    let last = client.put("d", "4").header.revision;
    assert_eq!(name(&client.events(now, 2)[0].kv.key), "c");
    client.events(before, 2);
    client.events(all, 2);
    assert_eq!(client.events(later, 1)[0].kv.mod_revision, last);
    client.silent(later);
}

fn w3_a_start_that_was_compacted(client: &mut Client<'_>) {
    let first = client.put("a", "1").header.revision;
    let second = client.put("a", "2").header.revision;
    let third = client.put("a", "3").header.revision;
    client.compact(second);
    let stream = client.watch_all(first);
    let end = client.told(stream);
    assert!(end.canceled && !end.created && end.events.is_empty(), "{end:?}");
    assert_eq!((end.compact_revision, end.header.revision), (second, Revision::ZERO));
    assert_eq!((end.watch_id, end.cancel_reason.as_str()), (0, ""));
    client.put("a", "4");
    client.silent(stream);

    let stream = client.watch_all(second);
    let events = client.events(stream, 3);
    let told: Vec<_> = events.iter().map(|event| event.kv.mod_revision).collect();
    assert_eq!(told, [second, third, third.next()]);
}

fn w4_a_negative_start(client: &mut Client<'_>) {
    releases::negative_start(client);
}

fn w5_how_watches_are_numbered(client: &mut Client<'_>) {
    let stream = client.watch_all(Revision::ZERO);
    let create = |client: &mut Client<'_>, id: i64, keys: KeyRange| {
        let watch = Watch { id, ..Watch::of(keys, Revision::ZERO) };
        client.say(stream, WatchSay::Create(watch));
        let reply = client.told(stream);
        assert!(reply.created, "{reply:?}");
        (reply.watch_id, reply.canceled, reply.cancel_reason)
    };
    let fine = |id: i64| (id, false, String::new());
    let refused = |reason: &str| (-1, true, reason.to_owned());
    let keys = client.one("a");
    assert_eq!(create(client, 0, keys.clone()), fine(1));
    assert_eq!(create(client, 3, keys.clone()), fine(3));
    assert_eq!(create(client, 0, keys.clone()), fine(2));
    // The one in use is left out.
    assert_eq!(create(client, 0, keys.clone()), fine(4));
    assert_eq!(create(client, -9, keys.clone()), fine(-9));
    let duplicate = "mvcc: duplicate watch ID provided on the WatchStream";
    assert_eq!(create(client, 3, keys.clone()), refused(duplicate));
    let void = client.span("b", "a");
    assert_eq!(create(client, 0, void), refused("mvcc: watcher range is empty"));
    let same = client.span("b", "b");
    assert_eq!(create(client, 0, same), refused("mvcc: watcher range is empty"));

    client.say(stream, WatchSay::Cancel { id: 2 });
    assert!(client.told(stream).canceled);
    // Chosen by the store, it does not come back; chosen by us, it does.
    assert_eq!(create(client, 0, keys.clone()), fine(5));
    assert_eq!(create(client, 2, keys), fine(2));

    // An empty key means one zero byte: with an end above it, from the very first key on.
    let below = KeyRange::span(Key::default(), client.key("b"));
    assert_eq!(create(client, 77, below), fine(77));
    client.put("a", "1");
    let ids: std::collections::BTreeSet<_> = (0..8).map(|_| client.told(stream).watch_id).collect();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), [-9, 0, 1, 2, 3, 4, 5, 77]);
    client.silent(stream);
}

fn w6_a_cancelled_watch_falls_silent(client: &mut Client<'_>) {
    let stream = client.watch_all(Revision::ZERO);
    let watch = Watch { id: 7, ..Watch::of(client.all(), Revision::ZERO) };
    client.say(stream, WatchSay::Create(watch));
    client.told(stream);
    client.say(stream, WatchSay::Cancel { id: 99 });
    client.say(stream, WatchSay::Cancel { id: 7 });
    let end = client.told(stream);
    assert!(end.canceled && !end.created && end.events.is_empty(), "{end:?}");
    assert_eq!((end.watch_id, end.cancel_reason.as_str()), (7, ""));
    assert_eq!(end.compact_revision, Revision::ZERO);
    client.say(stream, WatchSay::Cancel { id: 7 });
    client.put("a", "1");
    assert_eq!(client.told(stream).watch_id, 0);
    client.silent(stream);
}

fn w7_in_step_one_message_for_each_revision(client: &mut Client<'_>) {
    let narrow = client.watch(Watch::of(client.span("a", "c"), Revision::ZERO));
    client.put("x", "1");
    let first = client.put("a", "1").header.revision;
    let ops = [client.op_put("b", "1"), client.op_put("x", "2"), client.op_put("a", "2")];
    let second = client.txn(always(ops)).header.revision;
    let third = client.delete(client.all()).header.revision;
    let expected: [(Revision, &[(EventKind, &str)]); 3] = [
        (first, &[(EventKind::Put, "a")]),
        (second, &[(EventKind::Put, "b"), (EventKind::Put, "a")]),
        (third, &[(EventKind::Delete, "a"), (EventKind::Delete, "b")]),
    ];
    for (revision, events) in expected {
        let message = client.told(narrow);
        assert_eq!(message.header.revision, revision);
        let told: Vec<_> =
            message.events.iter().map(|event| (event.kind, name(&event.kv.key))).collect();
        let events: Vec<_> = events.iter().map(|(kind, key)| (*kind, (*key).to_owned())).collect();
        assert_eq!(told, events);
    }
}

fn w8_behind_a_thousand_revisions_at_a_time(client: &mut Client<'_>) {
    let first = client.put("k", "").header.revision;
    for n in 0..2300 {
        // Revisions that do not concern the watch do not count.
        client.put(if n % 10 == 0 { "x" } else { "k" }, "");
    }
    let now = client.put("k", "").header.revision;
    let stream = client.watch(Watch::of(client.one("k"), first));
    let mut last = first.0 - 1;
    for count in [1000, 1000, 72] {
        let message = client.told(stream);
        assert_eq!(message.events.len(), count);
        assert_eq!(message.header.revision, now, "ahead of what is told");
        for event in message.events {
            assert!(event.kv.mod_revision.0 > last, "in order");
            last = event.kv.mod_revision.0;
        }
    }
    assert_eq!(last, now.0);
    // Now it is in step.
    let next = client.put("k", "").header.revision;
    assert_eq!(client.told(stream).header.revision, next);
}

fn w10_filters(client: &mut Client<'_>) {
    let filtered = |client: &mut Client<'_>, filters: &[WatchFilter]| {
        let watch = Watch::of(client.all(), Revision::ZERO);
        client.watch(watch.tap(|watch| watch.filters = filters.to_vec()))
    };
    let no_puts = filtered(client, &[WatchFilter::NoPut]);
    let no_deletes = filtered(client, &[WatchFilter::NoDelete]);
    let nothing = filtered(client, &[WatchFilter::NoPut, WatchFilter::NoDelete]);
    let first = client.put("a", "1").header.revision;
    let both = [client.op_put("b", "1"), client.op_delete(client.one("a"))];
    let second = client.txn(always(both)).header.revision;
    let third = client.delete(client.one("b")).header.revision;
    for (stream, kind, revisions) in [
        (no_puts, EventKind::Delete, [second, third]),
        (no_deletes, EventKind::Put, [first, second]),
    ] {
        for revision in revisions {
            let message = client.told(stream);
            assert_eq!(message.header.revision, revision);
            let kinds: Vec<_> = message.events.iter().map(|event| event.kind).collect();
            assert_eq!(kinds, [kind]);
        }
        client.silent(stream);
    }
    client.silent(nothing);
}

fn w11_what_was_there_before(client: &mut Client<'_>) {
    let watch = Watch::of(client.all(), Revision::ZERO);
    let stream = client.watch(watch.clone().tap(|watch| watch.prev_kv = true));
    let first = client.put("a", "1").header.revision;
    client.put("a", "2");
    client.delete(client.one("a"));
    client.put("a", "3");
    let events = client.events(stream, 4);
    let before: Vec<_> = events.iter().map(|event| event.prev.clone()).collect();
    let kvs: Vec<_> = events.iter().map(|event| Some(event.kv.clone())).collect();
    assert_eq!(before, [None, kvs[0].clone(), kvs[1].clone(), None]);

    // Unasked, nothing is told.
    let quiet = client.watch(watch.clone().tap(|watch| watch.start = first));
    assert!(client.events(quiet, 4).iter().all(|event| event.prev.is_none()));

    // Looked up when sent: what is compacted then is not there.
    let fourth = client.put("a", "4").header.revision;
    client.put("a", "5");
    client.compact(fourth);
    let late = watch.tap(|watch| {
        watch.prev_kv = true;
        watch.start = fourth;
    });
    let late = client.watch(late);
    let events = client.events(late, 2);
    assert_eq!(events[0].prev, None);
    assert_eq!(events[1].prev, Some(events[0].kv.clone()));
}

fn w12_a_quiet_watch_is_told_that_it_is_up_to_date(client: &mut Client<'_>) {
    let watch = Watch::of(client.one("a"), Revision::ZERO);
    let asked = client.watch(watch.clone().tap(|watch| watch.progress = true));
    let unasked = client.watch(watch);
    let now = client.put("b", "1").header.revision;
    let mut last = client.told(asked);
    // The first may be from before the put.
    if last.header.revision < now {
        last = client.told(asked);
    }
    assert_eq!((last.watch_id, last.header.revision), (0, now));
    assert!(last.events.is_empty() && !last.created && !last.canceled, "{last:?}");
    client.silent_for(unasked, Duration::from_secs(2));
}

fn w13_progress_on_request(client: &mut Client<'_>) {
    let stream = client.watch_all(Revision::ZERO);
    client.say(stream, WatchSay::Create(Watch::of(client.one("a"), Revision::ZERO)));
    client.told(stream);
    let now = client.revision();
    client.say(stream, WatchSay::Progress);
    let told = client.told(stream);
    assert_eq!((told.watch_id, told.header.revision), (-1, now));
    assert!(told.events.is_empty() && !told.created && !told.canceled, "{told:?}");
    client.silent(stream);

    let at = client.put("b", "1").header.revision;
    client.events(stream, 1);
    client.say(stream, WatchSay::Progress);
    assert_eq!(client.told(stream).header.revision, at);
}

fn w14_large_messages_come_in_parts(client: &mut Client<'_>) {
    let value = "x".repeat(900_000);
    let first = client.put("0", &value).header.revision;
    for n in 1..5 {
        client.put(&n.to_string(), &value);
    }
    let watch = Watch::of(client.all(), first);
    let stream = client.watch(watch.clone().tap(|watch| watch.fragment = true));
    let parts: Vec<_> = (0..3).map(|_| client.told(stream)).collect();
    let sizes: Vec<_> = parts.iter().map(|part| (part.events.len(), part.fragment)).collect();
    assert_eq!(sizes, [(2, true), (2, true), (1, false)]);
    let names: Vec<_> =
        parts.iter().flat_map(|part| &part.events).map(|event| name(&event.kv.key)).collect();
    assert_eq!(names, ["0", "1", "2", "3", "4"]);
    // One event alone is never split.
    client.put("5", &value);
    let part = client.told(stream);
    assert_eq!((part.events.len(), part.fragment), (1, false));
    let whole = client.watch(watch);
    let part = client.told(whole);
    assert_eq!((part.events.len(), part.fragment), (6, false));

    // One revision, too: the request is short, but what was there before is not.
    let watch = Watch::of(client.all(), Revision::ZERO);
    let split = client.watch(watch.tap(|watch| {
        watch.fragment = true;
        watch.prev_kv = true;
    }));
    let ops = ["0", "1", "2"].map(|name| client.op_put(name, ""));
    let at = client.txn(always(ops)).header.revision;
    for (names, more) in [(vec!["0", "1"], true), (vec!["2"], false)] {
        let part = client.told(split);
        assert_eq!((part.header.revision, part.fragment), (at, more));
        let told: Vec<_> = part.events.iter().map(|event| name(&event.kv.key)).collect();
        assert_eq!(told, names);
        assert!(part.events.iter().all(|event| event.kv.mod_revision == at));
    }
}

fn w16_compaction_does_not_touch_who_is_in_step(client: &mut Client<'_>) {
    let stream = client.watch_all(Revision::ZERO);
    client.put("a", "1");
    let now = client.put("a", "2").header.revision;
    client.events(stream, 2);
    client.compact(now);
    client.silent(stream);
    client.put("a", "3");
    assert_eq!(client.events(stream, 1)[0].kv.version, 3);
}

fn w17_refused_at_once_without_a_leader(client: &mut Client<'_>) {
    client.put("a", "1");
    let stream = client.watch_all(Revision::ZERO);
    client.wait(Duration::from_millis(500));
    client.happen(Happening::LoseLeader);
    // Streams end after three election timeouts.
    let reply = client.answer(stream);
    assert_eq!(reply, Reply::Failed(StoreError::NoLeader));
    let range = Range::of(client.one("a"));
    let lease = client.never();
    for request in [
        Request::Range(range.clone()),
        Request::Put(client.a_put("a", "2")),
        Request::Txn(Default::default()),
        Request::KeepAlive(portolan_core::waist::KeepAlive { lease }),
        Request::Watch(Watch::of(client.all(), Revision::ZERO)),
    ] {
        let asked = client.now();
        assert_eq!(client.failure(request.clone()), StoreError::NoLeader, "{request:?}");
        assert!(client.now() - asked < Duration::from_secs(2), "at once: {request:?}");
    }
    // What a member may say alone it does.
    assert_eq!(client.range(Range { serializable: true, ..range }).count, 1);
    let reply = client.ask(Request::Status);
    assert!(matches!(&reply, Reply::Status(status) if status.leader == 0), "{reply:?}");
    client.happen(Happening::FindLeader);
    client.come_back();
    client.watch_all(Revision::ZERO);
}

fn w17_a_silent_watch_without_a_leader(client: &mut Client<'_>) {
    client.happen(Happening::LoseLeader);
    client.wait(Duration::from_secs(4));
    let stream = client.watch_all(Revision::ZERO);
    client.silent_for(stream, Duration::from_secs(4));
}
