//! What was removed, and stands again.

use insta::assert_snapshot;

use super::store::Store;
use super::*;
use crate::waist::TimeToLiveReply;

/// Two registrations that stood on one lease, watched both, of which the second was removed. The
/// record that it left is returned.
fn removed() -> (Harness, Store, KeyValue) {
    removed_with(200)
}

/// An engine that watches so many own records at most, and an empty store.
fn watching(own_watches: u32) -> (Harness, Store) {
    tuned(own_watches, 1)
}

fn tuned(own_watches: u32, sweeps_per_ttl: u32) -> (Harness, Store) {
    let h = Harness::tuned(|tuning| {
        (tuning.own_watches, tuning.sweeps_per_ttl) = (own_watches, sweeps_per_ttl);
        tuning.probe_after = Duration::from_secs(3_600);
    });
    (h, Store { revision: 1, ..Store::default() })
}

/// As many own records are watched as is said.
fn removed_with(own_watches: u32) -> (Harness, Store, KeyValue) {
    let (mut h, mut store) = watching(own_watches);
    for id in 1..=2 {
        h.register(id, &format!("i{id}"), Conflict::Replace);
    }
    h.play(1, |request| watched(&mut store, request));
    let left = store.keys[&key(2)].clone();
    h.deregister(2);
    h.play(1, |request| watched(&mut store, request));
    assert_eq!(store.on(h.leases[0]), [key(1)], "{}", h.trace);
    h.trace();
    (h, store, left)
}

/// As the store answers, and it says that it watches.
fn watched(store: &mut Store, request: &Request) -> Option<Reply> {
    let Request::Watch(watch) = request else { return store.answer(request) };
    let header = header(store.revision);
    let reply = WatchReply { header, watch_id: watch.id, created: true, ..WatchReply::default() };
    Some(Reply::Watch(reply))
}

fn key(id: u64) -> Key {
    Key::from(format!("/p/instances/web/i{id}"))
}

fn lost() -> StoreError {
    StoreError::ConnectionLost { detail: "reset".into() }
}

/// The own watch is lost and comes back.
fn reconnect(h: &mut Harness) {
    let stream = stream(h);
    h.reply(stream, Reply::Failed(lost()));
}

/// The newest stream.
fn stream(h: &Harness) -> u64 {
    let stream = h.asked.iter().rfind(|(_, asked)| matches!(asked, Request::Watch(_)));
    stream.expect("a watch").0.0
}

#[test]
fn what_a_restored_store_brought_back_goes_with_its_lease() {
    let (mut h, mut store, left) = removed();
    store.keys.insert(key(2), left);
    reconnect(&mut h);
    h.play(2, |request| watched(&mut store, request));
    assert_snapshot!(h.trace(), @"
    2.000s < #3 failed: connection lost: reset
    2.000s > m0 redial
    2.100s > #8 m0 watch /p/instances/web/i1 from 2 id=1 fragment
    2.100s < #8 watch @4 id=1 created
    2.100s > #9 m0 time-to-live lease=L1 keys
    2.100s < #9 time-to-live lease=L1 left=5s granted=9s keys=2
    2.100s > #10 m0 range /p/instances/web/i2
    2.100s < #10 range @4 /p/instances/web/i2=147B:1ce01096@2/2~L1
    2.100s > #11 m0 grant lease=L2 ttl=9s
    2.100s < #11 granted lease=L2 ttl=9s
    2.200s > #12 m0 range /p/instances/web/i1
    2.200s < #12 range @4 /p/instances/web/i1=147B:a375f67c@2/2~L1
    2.200s > #13 m0 txn if mod(/p/instances/web/i1)=2, lease(/p/instances/web/i1)=L1 then put /p/instances/web/i1=147B:a375f67c lease=L2 else range /p/instances/web/i1
    2.200s < #13 then put @5
    2.200s > registration 1 registered @5 lease=L2 sequence=1
    2.200s > #14 m0 revoke lease=L1
    2.200s < #14 revoked @6
    ");
    assert_eq!(store.keys.keys().collect::<Vec<_>>(), [&key(1)]);
}

/// No own watch can be lost where none is kept: every sweep looks.
#[test]
fn what_was_brought_back_is_found_where_nothing_is_watched() {
    let (mut h, mut store, left) = removed_with(0);
    store.keys.insert(key(2), left);
    h.play(TTL * 2, |request| watched(&mut store, request));
    assert_eq!(store.on(h.leases[1]), [key(1)], "{}", h.trace);
    assert_eq!(store.keys.keys().collect::<Vec<_>>(), [&key(1)]);
}

/// A release that tells what is not so, around a change of leader: the read decides.
#[test]
fn what_only_seems_to_stand_changes_nothing() {
    let elsewhere = |left: &KeyValue| KeyValue { lease: Some(stranger()), ..left.clone() };
    for what in ["nothing", "on another lease", "unanswered"] {
        let (mut h, mut store, left) = removed();
        reconnect(&mut h);
        if what == "on another lease" {
            store.keys.insert(key(2), elsewhere(&left));
        }
        let lease = h.leases[0];
        let asked = h.play(TTL / 2, |request| {
            if matches!(request, Request::TimeToLive(_)) {
                let keys = vec![key(1), key(2)];
                let told = TimeToLiveReply { keys, ..store.time_to_live(lease) };
                return Some(Reply::TimeToLive(told));
            }
            let is_read = matches!(request, Request::Range(range) if range.keys.key == key(2));
            if is_read && what == "unanswered" {
                return Some(Reply::Failed(lost()));
            }
            watched(&mut store, request)
        });
        let requests: Vec<_> = asked.iter().map(|(_, request)| request.to_string()).collect();
        assert!(requests.iter().any(|asked| asked == "range /p/instances/web/i2"), "{requests:?}");
        assert!(!requests.iter().any(|asked| asked.starts_with("grant")), "{what}: {requests:?}");
    }
}

/// Of two registrations one is refused, and the other, which alone was watched, is removed. So there
/// is no stream that would end with the store. When the first is watched at last, a restored store
/// may have brought back the second.
#[test]
fn what_was_brought_back_is_found_when_a_lease_is_watched_again() {
    let (mut h, mut store) = watching(1);
    let is_first = |request: &Request| {
        matches!(request, Request::Txn(_)) && request.to_string().contains("instances/web/i1")
    };
    let denied = |store: &mut Store, request: &Request| match is_first(request) {
        true => Some(Reply::Failed(StoreError::PermissionDenied)),
        false => watched(store, request),
    };
    for id in 1..=2 {
        h.register(id, &format!("i{id}"), Conflict::Replace);
    }
    h.play(1, |request| denied(&mut store, request));
    let left = store.keys[&key(2)].clone();
    h.deregister(2);
    h.play(1, |request| denied(&mut store, request));
    assert!(store.keys.is_empty(), "{}", h.trace);
    store.keys.insert(key(2), left);
    h.play(TTL * 2, |request| watched(&mut store, request));
    assert_eq!(store.keys.keys().collect::<Vec<_>>(), [&key(1)], "{}", h.trace);
}

/// By the time that it is read somebody here wants it: it is that one's to judge.
#[test]
fn what_is_registered_meanwhile_is_no_stray() {
    let (mut h, mut store, left) = removed();
    store.keys.insert(key(2), left);
    reconnect(&mut h);
    let is_read =
        |request: &Request| matches!(request, Request::Range(range) if range.keys.key == key(2));
    h.play(1, |request| if is_read(request) { None } else { watched(&mut store, request) });
    let read = h.asked.iter().rfind(|(_, asked)| is_read(asked)).expect("it is read");
    let (read, answer) = (read.0.0, store.answer(&read.1).expect("a record"));
    h.register(3, "i2", Conflict::Replace);
    h.reply(read, answer);
    let asked = h.play(TTL / 2, |request| watched(&mut store, request));
    let revokes = asked.iter().filter(|(_, asked)| matches!(asked, Request::Revoke(_)));
    assert_eq!(revokes.count(), 0, "{}", h.trace);
    assert!(store.keys.contains_key(&key(2)), "{}", h.trace);
}

#[test]
fn where_sweeps_are_off_no_lease_is_asked() {
    let (mut h, mut store) = tuned(200, 0);
    for id in 1..=2 {
        h.register(id, &format!("i{id}"), Conflict::Replace);
    }
    h.play(1, |request| watched(&mut store, request));
    h.deregister(2);
    h.play(1, |request| watched(&mut store, request));
    reconnect(&mut h);
    let asked = h.play(2 * TTL, |request| watched(&mut store, request));
    assert_eq!(sweeps(&asked), 0, "{}", h.trace);
}

/// Twenty keys, and each says by itself that it is watched again. A lease that no record ever left
/// has nothing that could be brought back.
#[test]
fn a_lease_is_asked_once_for_all_its_keys() {
    for (removed, count) in [(true, 1), (false, 0)] {
        assert_eq!(asked_for_its_keys(removed), count, "with one removed: {removed}");
    }
}

fn asked_for_its_keys(removed: bool) -> usize {
    let (mut h, mut store) = watching(200);
    for id in 1..=21 {
        h.register(id, &format!("i{id}"), Conflict::Replace);
    }
    h.play(1, |request| watched(&mut store, request));
    if removed {
        h.deregister(21);
        h.play(1, |request| watched(&mut store, request));
    }
    reconnect(&mut h);
    let mut asked = h.play(0, |request| watched(&mut store, request));
    for _ in 0..3 {
        asked.extend(h.play(1, |request| watched(&mut store, request)));
        let stream = stream(&h);
        for id in 1..=20 {
            let reply = WatchReply { header: header(store.revision), ..WatchReply::default() };
            h.reply(stream, Reply::Watch(WatchReply { watch_id: id, created: true, ..reply }));
            asked.extend(h.play(0, |request| watched(&mut store, request)));
        }
    }
    sweeps(&asked)
}

/// Once for each time that the watch was lost, and again only as long as nothing was told.
#[test]
fn a_lease_in_doubt_is_asked_until_it_has_told() {
    let cases = [
        ("told", None, 1),
        ("denied", Some(StoreError::PermissionDenied), 1),
        ("lost", Some(lost()), 3),
    ];
    for (what, error, count) in cases {
        let (mut h, mut store, _) = removed();
        reconnect(&mut h);
        let asked = h.play(3 * TTL, |request| match (request, &error) {
            (Request::TimeToLive(_), Some(error)) => Some(Reply::Failed(error.clone())),
            (request, _) => watched(&mut store, request),
        });
        assert_eq!(sweeps(&asked), count, "{what}: {}", h.trace);
    }
}

/// The watch is lost twice while the first question is under way: the store that answers it may be
/// the one that was there before.
#[test]
fn what_a_lease_was_asked_before_settles_no_doubt() {
    let (mut h, mut store, left) = removed();
    reconnect(&mut h);
    let before = h.play(1, |request| {
        if matches!(request, Request::TimeToLive(_)) { None } else { watched(&mut store, request) }
    });
    assert_eq!(sweeps(&before), 1, "{}", h.trace);
    let first = h.asked.iter().rfind(|(_, asked)| matches!(asked, Request::TimeToLive(_)));
    let first = first.expect("a question").0.0;
    store.keys.insert(key(2), left);
    reconnect(&mut h);
    let told = TimeToLiveReply { keys: vec![key(1)], ..store.time_to_live(h.leases[0]) };
    h.play(1, |request| {
        if matches!(request, Request::TimeToLive(_)) { None } else { watched(&mut store, request) }
    });
    h.reply(first, Reply::TimeToLive(told));
    h.play(2 * TTL, |request| watched(&mut store, request));
    assert_eq!(store.keys.keys().collect::<Vec<_>>(), [&key(1)], "{}", h.trace);
}

fn sweeps(asked: &[(Time, Request)]) -> usize {
    asked.iter().filter(|(_, asked)| matches!(asked, Request::TimeToLive(_))).count()
}

/// The lease has ended for us: nobody renews it, whatever a restored store makes of it.
#[test]
fn a_record_put_back_on_a_lease_that_has_ended_is_lost() {
    let mut h = Harness::tuned(|tuning| {
        tuning.own_watches = 200;
        tuning.probe_after = Duration::from_secs(3_600);
    });
    let mut store = Store { revision: 1, ..Store::default() };
    h.register(1, "i1", Conflict::Replace);
    h.play(1, |request| watched(&mut store, request));
    let (first, before) = (h.leases[0], store.keys[&key(1)].clone());
    store.leases.remove(&first);
    store.keys.clear();
    h.play(TTL, |request| watched(&mut store, request));
    assert_eq!(store.on(h.leases[1]), [key(1)], "{}", h.trace);
    h.trace();
    store.keys.insert(key(1), before);
    reconnect(&mut h);
    h.play(1, |request| watched(&mut store, request));
    let trace = h.trace();
    let lost = trace.find("registration 1 lost Disturbed").expect(&trace);
    let moved = trace.find("registration 1 registered").expect(&trace);
    assert!(lost < moved, "{trace}");
}
