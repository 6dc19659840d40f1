//! The watch of own keys.

use insta::assert_snapshot;

use super::store::Store;
use super::*;

/// Its key may not be read, nor watched; the watch is tried again sooner than what is refused is.
#[test]
fn a_watch_that_is_refused_cuts_no_pause_short() {
    let mut h = Harness::tuned(|tuning| {
        (tuning.own_watches, tuning.jitter_percent) = (200, 90);
    });
    let mut store = Store { revision: 1, ..Store::default() };
    h.register(1, "a", Conflict::Replace);
    let asked = h.play(600, |request| {
        let refused = matches!(request, Request::Watch(_) | Request::Range(_));
        let denied = || Reply::Failed(StoreError::PermissionDenied);
        if refused { Some(denied()) } else { store.answer(request) }
    });
    let reads = asked.iter().filter(|(_, request)| matches!(request, Request::Range(_)));
    let watches = asked.iter().filter(|(_, request)| matches!(request, Request::Watch(_)));
    let (reads, watches) = (reads.count(), watches.count());
    assert!(watches > 5 * reads, "{watches} watches, {reads} reads");
}

#[test]
fn own_keys_are_watched_and_healed() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).trace();
    let created =
        WatchReply { header: header(5), watch_id: 1, created: true, ..WatchReply::default() };
    h.reply(3, Reply::Watch(created.clone()));
    let kv = KeyValue {
        key: Key::from("/p/instances/web/a"),
        mod_revision: Revision(6),
        ..KeyValue::default()
    };
    let event = KeyEvent { kind: crate::waist::EventKind::Delete, kv, prev: None };
    h.reply(3, Reply::Watch(WatchReply { created: false, events: vec![event], ..created }));
    h.wait(1);
    assert_snapshot!(h.trace(), @"
    0.000s < #3 watch @5 id=1 created
    0.000s < #3 watch @5 id=1 -/p/instances/web/a@6
    0.000s > registration 1 lost Disturbed
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    ");
}

/// A store that refuses the watch of one key answers with number -1 (rows W4, W5).
#[test]
fn a_refused_own_watch_is_made_again_and_its_key_is_read() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).trace();
    let refused =
        WatchReply { watch_id: -1, created: true, canceled: true, ..WatchReply::default() };
    h.reply(3, Reply::Watch(refused)).wait(1);
    let ours = own(&h, 5, 5, h.leases[0]);
    h.reply(5, read(9, Some(ours)));
    assert_snapshot!(h.trace(), @"
    0.000s < #3 watch @0 id=-1 created canceled
    0.000s > m0 redial
    0.000s > #3 cancel
    0.100s > #4 m0 watch /p/instances/web/a from 5 id=1 fragment
    0.100s > #5 m0 range /p/instances/web/a
    1.000s < #5 range @9 /p/instances/web/a=146B:1a5ed297@5/5~L1
    ");
}

/// Our own cancel is answered with the number of the watch.
#[test]
fn a_watch_that_we_gave_up_is_no_refused_one() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5));
    h.register(2, "b", Conflict::Replace).reply(4, put(6)).trace();
    h.deregister(1).reply(6, put(7)).trace();
    let canceled = WatchReply { watch_id: 1, canceled: true, ..WatchReply::default() };
    h.reply(3, Reply::Watch(canceled));
    assert_snapshot!(h.trace(), @"0.000s < #3 watch @0 id=1 canceled");
}

/// The key went while it was read: the read is older than that.
#[test]
fn a_read_does_not_undo_what_the_watch_told_meanwhile() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).reply(3, created(5));
    h.reply(3, gave_up()).wait(1).reply(4, created(5)).wait(1).trace();
    let ours = own(&h, 5, 5, h.leases[0]);
    h.reply(4, went(9)).reply(5, read(5, Some(ours))).wait(1);
    assert_snapshot!(h.trace(), @"
    2.000s < #4 watch @9 id=1 -/p/instances/web/a@9
    2.000s > registration 1 lost Disturbed
    2.000s < #5 range @5 /p/instances/web/a=146B:1a5ed297@5/5~L1
    2.200s > #6 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    3.000s > #7 m0 keepalive lease=L1
    ");
}

/// The key itself was seen at a later revision: what it had there is lost. That it is another store
/// is read too.
#[test]
fn what_a_restored_store_says_of_a_key_counts() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).reply(3, created(5)).trace();
    let ours = own(&h, 5, 5, h.leases[0]);
    h.reply(3, went(50)).wait(1).reply(4, found(40, Some(ours)));
    assert_snapshot!(h.trace(), @"
    0.000s < #3 watch @50 id=1 -/p/instances/web/a@50
    0.000s > registration 1 lost Disturbed
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    1.000s < #4 else /p/instances/web/a=146B:1a5ed297@5/5~L1 @40
    1.000s > registration 1 registered @5 lease=L1 sequence=1
    1.000s > #5 m0 range /p/instances/web/a
    ");
}

/// A watch that begins in the future of the store that serves it is silent until then (row W2).
#[test]
fn a_key_whose_watch_began_before_its_time_is_read() {
    for (at, is_read) in [(8, true), (9, false), (10, false)] {
        let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
        h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).reply(3, created(5));
        h.register(2, "b", Conflict::Replace).reply(4, put(9)).trace();
        let created = WatchReply { watch_id: 2, created: true, ..WatchReply::default() };
        h.reply(3, Reply::Watch(WatchReply { header: header(at), ..created })).wait(1);
        assert_eq!(h.trace().contains("range /p/instances/web/b"), is_read, "at {at}");
    }
}

/// It is asked to say something, and given up when it does not.
#[test]
fn a_silent_own_watch_is_opened_anew() {
    for answers in [true, false] {
        let mut h = Harness::tuned(|tuning| {
            tuning.own_watches = 200;
            (tuning.probe_after, tuning.probe_timeout) =
                (Duration::from_secs(2), Duration::from_millis(500));
        });
        h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).reply(3, created(5));
        h.trace();
        h.wait(2);
        assert!(h.trace().starts_with("2.000s > #4 m0 on #3 progress"), "it is asked");
        if answers {
            let header = header(5);
            h.reply(3, Reply::Watch(WatchReply { header, watch_id: -1, ..WatchReply::default() }));
        }
        h.trace();
        h.wait(1);
        assert_eq!(h.trace().contains("2.500s > #3 cancel"), !answers, "it answers: {answers}");
    }
}

/// Its lease has died since, and the record with it: the next publish is of an absent key.
#[test]
fn a_late_echo_of_our_own_publish_changes_nothing() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).reply(3, created(5));
    let out = instance("a").with_state(State::OutOfService);
    h.command(Command::Publish { id: RegistrationId(1), instance: out }).reply(4, put(8)).wait(3);
    let lease = h.leases[0];
    h.reply(5, kept(lease, 0)).trace();
    let kv = own(&h, 5, 8, lease);
    let event = KeyEvent { kind: crate::waist::EventKind::Put, kv, prev: None };
    let echo = WatchReply { header: header(8), watch_id: 1, ..WatchReply::default() };
    h.reply(3, Reply::Watch(WatchReply { events: vec![event], ..echo })).grant(6);
    assert!(h.trace.contains("> #7 m0 txn if mod(/p/instances/web/a)=0 "), "{}", h.trace);
    assert!(!h.trace.contains("> registration"), "{}", h.trace);
}

/// The watch tells that the key of registration 1 was deleted.
/// A publish was not answered, and was done; its repetition is refused, though there is nothing left
/// to be done.
#[test]
fn what_the_watch_shows_done_is_not_denied() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).reply(3, created(5)).trace();
    let out = instance("a").with_state(State::OutOfService);
    h.command(Command::Publish { id: RegistrationId(1), instance: out });
    h.reply(4, gave_up()).wait(1);
    let Request::Txn(again) = h.asked.last().expect("asked").1.clone() else { panic!("a publish") };
    let Some(Op::Put(put)) = again.then.into_iter().next() else { panic!("a put") };
    let kv = KeyValue { value: put.value, ..record(5, 6, Some(h.leases[0])) };
    let event = KeyEvent { kind: crate::waist::EventKind::Put, kv, prev: None };
    let shown = WatchReply { header: header(6), watch_id: 1, ..WatchReply::default() };
    h.reply(3, Reply::Watch(WatchReply { events: vec![event], ..shown }));
    h.reply(5, Reply::Failed(StoreError::NoSpace)).wait(3);
    let trace = h.trace();
    assert!(trace.contains("registration 1 registered @6"), "{trace}");
    assert!(!trace.contains("registration 1 denied"), "{trace}");
}

fn went(revision: i64) -> Reply {
    let kv = KeyValue {
        key: Key::from("/p/instances/web/a"),
        mod_revision: Revision(revision),
        ..KeyValue::default()
    };
    let event = KeyEvent { kind: crate::waist::EventKind::Delete, kv, prev: None };
    let header = header(revision);
    Reply::Watch(WatchReply { header, watch_id: 1, events: vec![event], ..WatchReply::default() })
}
