//! Leases.

use std::time::Duration;

use portolan_core::waist::{
    EventKind, Grant, KeepAlive, KeyRange, LeaseId, Op, Put, Reply, Request, Revision, Revoke,
    StoreError,
};

use super::cases;
use crate::conformance::client::{Client, Tap, always, name};
use crate::conformance::store::Happening;

cases! {
    l1_who_chooses_the_id: SHARED,
    l2_how_long_a_lease_may_be: SHARED,
    l3_a_put_wants_its_lease_to_exist: SHARED,
    l4_a_key_hangs_on_the_lease_of_its_last_put: SHARED,
    l5_the_keys_go_with_the_lease_in_one_revision: SHARED,
    l6_an_expired_lease_is_gone_within_half_a_second: SHARED,
    l7_a_renewal_gives_the_full_time: SHARED,
    l8_no_renewal_without_a_leader: LENIENT_CLUSTER,
    l9_what_is_left_of_a_lease: SHARED,
    l10_a_restart_starts_every_lease_over: FRESH,
    l10_a_new_leader_starts_every_lease_over: CLUSTER,
    l11_a_store_held_too_long_ends_the_lease_first: FRESH,
    l12_a_key_is_there_until_the_revoke: SHARED,
}

fn leased(client: &Client<'_>, name: &str, lease: LeaseId) -> Put {
    client.a_put(name, "1").tap(|put| put.lease = Some(lease))
}

fn l1_who_chooses_the_id(client: &mut Client<'_>) {
    let chosen = client.ask_grant(Grant { lease: None, ttl_secs: 600 });
    assert!(chosen.lease.get() > 0, "{chosen:?}");
    let other = client.ask_grant(Grant { lease: None, ttl_secs: 600 });
    assert_ne!(chosen.lease, other.lease);
    let own = client.lease_id();
    let negative = LeaseId::new(-own.get());
    for lease in [Some(own), negative] {
        let grant = Grant { lease, ttl_secs: 600 };
        assert_eq!(Some(client.ask_grant(grant).lease), lease);
        assert_eq!(client.failure(Request::Grant(grant)), StoreError::LeaseExists);
        client.revoke(lease.expect("it is not 0"));
        assert_eq!(Some(client.ask_grant(grant).lease), lease, "free at once");
    }
    let reply = client.ask(Request::Leases);
    let Reply::Leases(reply) = reply else { panic!("{reply:?}") };
    for lease in [Some(own), negative, Some(chosen.lease), Some(other.lease)] {
        let lease = lease.expect("it is not 0");
        assert!(reply.leases.contains(&lease), "{lease} in {reply:?}");
    }
}

fn l2_how_long_a_lease_may_be(client: &mut Client<'_>) {
    const MOST: i64 = 9_000_000_000;
    for (asked, granted) in [(0, 2), (-7, 2), (1, 2), (2, 2), (3, 3), (MOST, MOST)] {
        let lease = Some(client.lease_id());
        let reply = client.ask_grant(Grant { lease, ttl_secs: asked });
        assert_eq!(reply.ttl_secs, granted, "{asked} s");
        assert_eq!(client.time_to_live(reply.lease).granted_secs, granted, "{asked} s");
        assert_eq!(client.renew(reply.lease).ttl_secs, granted, "{asked} s");
    }
    let live = client.grant(600);
    for lease in [Some(client.lease_id()), None, Some(live)] {
        let grant = Grant { lease, ttl_secs: MOST + 1 };
        assert_eq!(client.failure(Request::Grant(grant)), StoreError::LeaseTtlTooLarge);
    }
}

fn l3_a_put_wants_its_lease_to_exist(client: &mut Client<'_>) {
    let before = client.revision();
    let put = leased(client, "a", client.never());
    assert_eq!(client.failure(Request::Put(put.clone())), StoreError::LeaseNotFound);
    let txn = always([client.op_put("b", "1"), Op::Put(put)]);
    assert_eq!(client.failure(Request::Txn(txn)), StoreError::LeaseNotFound);
    let lease = client.grant(600);
    client.revoke(lease);
    let late = leased(client, "a", lease);
    assert_eq!(client.failure(Request::Put(late)), StoreError::LeaseNotFound);
    let reply = client.records();
    assert_eq!((reply.count, reply.header.revision), (0, before));
    for lease in [lease, client.never()] {
        let error = client.failure(Request::Revoke(Revoke { lease }));
        assert_eq!(error, StoreError::LeaseNotFound);
    }
}

fn l4_a_key_hangs_on_the_lease_of_its_last_put(client: &mut Client<'_>) {
    let (first, second) = (client.grant(600), client.grant(600));
    for name in ["moved", "freed", "deleted", "kept", "ignored"] {
        client.ask_put(leased(client, name, first));
    }
    client.ask_put(leased(client, "moved", second));
    client.put("freed", "1");
    client.delete(client.one("deleted"));
    client.put("deleted", "1");
    let ignoring = client.a_put("ignored", "2").tap(|put| put.ignore_lease = true);
    client.ask_put(ignoring);
    let mut keys = client.time_to_live(first).keys;
    keys.sort();
    assert_eq!(keys, [client.key("ignored"), client.key("kept")]);
    assert_eq!(client.time_to_live(second).keys, [client.key("moved")]);
    client.revoke(first);
    let left = client.records();
    let left: Vec<_> = left.kvs.iter().map(|kv| (name(&kv.key), kv.lease)).collect();
    let expected = [("deleted", None), ("freed", None), ("moved", Some(second))];
    assert_eq!(left, expected.map(|(name, lease)| (name.to_owned(), lease)));
}

fn l5_the_keys_go_with_the_lease_in_one_revision(client: &mut Client<'_>) {
    let lease = client.grant(600);
    for name in ["c", "a", "d", "b"] {
        client.ask_put(leased(client, name, lease));
    }
    let stream = client.watch_all(Revision::ZERO);
    let at = client.revoke(lease).header.revision;
    let message = client.told(stream);
    let told: Vec<_> = message
        .events
        .iter()
        .map(|event| (event.kind, name(&event.kv.key), event.kv.mod_revision))
        .collect();
    let expected = ["a", "b", "c", "d"].map(|name| (EventKind::Delete, name.to_owned(), at));
    assert_eq!(told, expected);
    assert_eq!(message.header.revision, at);

    // Leases that end together do so one by one, in whatever order.
    for lease in ["x", "y", "z"] {
        let id = client.grant(2);
        let of = |name: &str| Op::Put(leased(client, &format!("{lease}{name}"), id));
        client.txn(always([of("2"), of("1")]));
    }
    client.events(stream, 6);
    let last = client.revision();
    let mut ended = Vec::new();
    for step in 1..=3 {
        let message = client.told(stream);
        assert_eq!(message.header.revision.0, last.0 + step);
        let of: Vec<_> = message.events.iter().map(|event| name(&event.kv.key)).collect();
        assert!(message.events.iter().all(|event| event.kind == EventKind::Delete));
        ended.push(of);
    }
    ended.sort();
    assert_eq!(ended, [["x1", "x2"], ["y1", "y2"], ["z1", "z2"]]);
}

fn l6_an_expired_lease_is_gone_within_half_a_second(client: &mut Client<'_>) {
    let stream = client.watch_all(Revision::ZERO);
    let asked = client.now();
    let lease = client.grant(2);
    client.ask_put(leased(client, "a", lease));
    client.events(stream, 1);
    let event = client.events(stream, 1).remove(0);
    let took = client.now() - asked;
    assert_eq!(event.kind, EventKind::Delete);
    // Half a second for the scan, and the rest for a machine that is busy.
    assert!(took >= Duration::from_secs(2) && took < Duration::from_millis(3500), "{took:?}");
    assert_eq!(client.time_to_live(lease).ttl_secs, -1);
    assert_eq!(client.renew(lease).ttl_secs, 0);
}

fn l7_a_renewal_gives_the_full_time(client: &mut Client<'_>) {
    let lease = client.grant(4);
    client.wait(Duration::from_millis(2500));
    assert!(client.time_to_live(lease).ttl_secs <= 1);
    let renewed = client.renew(lease);
    assert_eq!((renewed.lease, renewed.ttl_secs), (lease, 4));
    assert!(client.time_to_live(lease).ttl_secs >= 3);
    // Past its first end.
    client.wait(Duration::from_millis(2500));
    assert_eq!(client.renew(lease).ttl_secs, 4);

    // Leases that are not there are answered, and the stream goes on.
    let gone = client.grant(600);
    client.revoke(gone);
    let attempts: Vec<_> = [gone, lease, client.never(), lease]
        .into_iter()
        .map(|lease| (lease, client.submit(Request::KeepAlive(KeepAlive { lease }))))
        .collect();
    for (asked, attempt) in attempts {
        let reply = client.answer(attempt);
        let Reply::KeepAlive(reply) = reply else { panic!("{reply:?}") };
        let expected = if asked == lease { 4 } else { 0 };
        assert_eq!((reply.lease, reply.ttl_secs), (asked, expected));
    }
}

/// Without `require_leader`, which refuses at once: see W17.
fn l8_no_renewal_without_a_leader(client: &mut Client<'_>) {
    let lease = client.grant(600);
    client.happen(Happening::LoseLeader);
    client.wait(Duration::from_secs(3));
    let asked = client.now();
    let error = client.failure(Request::KeepAlive(KeepAlive { lease }));
    assert_eq!(error, StoreError::NoLeader);
    let took = client.now() - asked;
    assert!(took > Duration::from_secs(6) && took < Duration::from_secs(9), "{took:?}");
}

fn l9_what_is_left_of_a_lease(client: &mut Client<'_>) {
    let lease = client.grant(10);
    client.wait(Duration::from_millis(50));
    let reply = client.time_to_live(lease);
    // Rounded down; 8 on a busy machine.
    assert!((8..=9).contains(&reply.ttl_secs), "{reply:?}");
    assert_eq!((reply.granted_secs, reply.keys), (10, Vec::new()));
    for name in ["b", "a"] {
        client.ask_put(leased(client, name, lease));
    }
    let mut keys = client.time_to_live(lease).keys;
    keys.sort();
    assert_eq!(keys, [client.key("a"), client.key("b")]);
    let quiet = portolan_core::waist::TimeToLive { lease, keys: false };
    let reply = client.ask(Request::TimeToLive(quiet));
    let Reply::TimeToLive(reply) = reply else { panic!("{reply:?}") };
    assert_eq!((reply.lease, reply.keys), (lease, Vec::new()));
    let reply = client.time_to_live(client.never());
    assert_eq!((reply.ttl_secs, reply.granted_secs), (-1, 0));
    assert_eq!((reply.lease, reply.keys), (client.never(), Vec::new()));
}

fn l10_a_restart_starts_every_lease_over(client: &mut Client<'_>) {
    let lease = client.grant(3);
    client.ask_put(leased(client, "a", lease));
    client.wait(Duration::from_millis(2500));
    client.happen(Happening::Restart);
    let restarted = client.now();
    client.come_back();
    // Past what was left, and nearly as long as it lasts.
    client.wait(Duration::from_millis(2500));
    assert!(client.get("a").is_some());
    while client.get("a").is_some() {
        client.wait(Duration::from_millis(50));
    }
    let took = client.now() - restarted;
    // Its time and an election timeout.
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(7), "{took:?}");
}

fn l10_a_new_leader_starts_every_lease_over(client: &mut Client<'_>) {
    // A read that waits for a leader may be answered seconds after there is one (row G7): the new
    // time has to outlast that.
    let lease = client.grant(9);
    client.ask_put(leased(client, "a", lease));
    client.wait(Duration::from_secs(5));
    client.happen(Happening::LoseLeader);
    client.wait(Duration::from_secs(6));
    client.happen(Happening::FindLeader);
    client.come_back();
    // Its time was over long ago.
    assert!(client.get("a").is_some());
    assert!(client.time_to_live(lease).ttl_secs > 0);
    let back = client.now();
    while client.get("a").is_some() {
        client.wait(Duration::from_millis(50));
        assert!(client.now() - back < Duration::from_secs(14), "it never ends");
    }
}

fn l11_a_store_held_too_long_ends_the_lease_first(client: &mut Client<'_>) {
    let lease = client.grant(2);
    client.ask_put(leased(client, "a", lease));
    assert_eq!(client.renew(lease).ttl_secs, 2);
    client.happen(Happening::Pause);
    client.wait(Duration::from_secs(1));
    let waiting = client.submit(Request::KeepAlive(KeepAlive { lease }));
    client.wait(Duration::from_secs(3));
    client.happen(Happening::Resume);
    let reply = client.answer(waiting);
    let Reply::KeepAlive(reply) = reply else { panic!("{reply:?}") };
    assert_eq!((reply.lease, reply.ttl_secs), (lease, 0));
    assert_eq!(client.get("a"), None);
}

fn l12_a_key_is_there_until_the_revoke(client: &mut Client<'_>) {
    // Spread over the half second between two scans, so that one of them just misses its scan.
    let mut watched: Vec<(String, Duration, Duration)> = Vec::new();
    for n in 0..5 {
        let asked = client.now();
        let lease = client.grant(2);
        client.ask_put(leased(client, &n.to_string(), lease));
        watched.push((n.to_string(), client.now(), Duration::ZERO));
        let spent = client.now() - asked;
        client.wait(Duration::from_millis(100).saturating_sub(spent));
    }
    loop {
        let asked = client.now();
        let there = crate::conformance::client::names(&client.records().kvs);
        if there.is_empty() {
            break;
        }
        for (_, granted, seen) in watched.iter_mut().filter(|(name, ..)| there.contains(name)) {
            *seen = asked - *granted;
        }
        client.wait(Duration::from_millis(20));
    }
    let longest = watched.iter().map(|(.., seen)| *seen).max().expect("there are five");
    assert!(longest > Duration::from_secs(2), "{longest:?}");
    assert_eq!(client.delete(KeyRange::one(client.key("0"))).deleted, 0);
}
