use portolan_core::waist::{
    Grant, Key, KeyRange, LeaseId, Reply, Request, Revision, Revoke, StoreError, TimeToLive,
    TimeToLiveReply,
};
use portolan_memory::{Cause, Config, Fault, LeaseStep, Quirks};

use crate::kit::{Bench, delete_op, lease, renewal};

fn keep_alive(bench: &mut Bench, id: i64) -> i64 {
    let reply = bench.ask(renewal(id));
    let Reply::KeepAlive(reply) = reply else { panic!("{reply:?}") };
    assert_eq!(reply.lease, lease(id));
    reply.ttl_secs
}

fn time_to_live(bench: &mut Bench, id: i64) -> TimeToLiveReply {
    let reply = bench.ask(Request::TimeToLive(TimeToLive { lease: lease(id), keys: true }));
    let Reply::TimeToLive(reply) = reply else { panic!("{reply:?}") };
    reply
}

fn revoke(bench: &mut Bench, id: i64) -> Option<StoreError> {
    bench.error(Request::Revoke(Revoke { lease: lease(id) }))
}

#[test]
fn l1_ids() {
    let mut bench = Bench::new();
    let grant = |lease: Option<LeaseId>| Request::Grant(Grant { lease, ttl_secs: 10 });
    let mut chosen = Vec::new();
    for expected in 1..=2 {
        let reply = bench.ask(grant(None));
        let Reply::Grant(reply) = reply else { panic!("{reply:?}") };
        chosen.push(reply.lease.get());
        assert_eq!(bench.model.leases().count(), expected);
    }
    // The member that was asked is in it, and later ones are higher (`pkg/idutil`).
    assert!(chosen.iter().all(|id| id >> 48 == 0x694d), "{chosen:x?}");
    assert_eq!(chosen[0] + 1, chosen[1]);
    assert_eq!(bench.grant(-7, 10), 10);
    assert_eq!(bench.error(grant(Some(lease(-7)))), Some(StoreError::LeaseExists));
    assert_eq!(revoke(&mut bench, -7), None);
    assert_eq!(revoke(&mut bench, -7), Some(StoreError::LeaseNotFound));
    assert_eq!(bench.grant(-7, 10), 10);
}

#[test]
fn l2_shortest_and_longest() {
    let mut bench = Bench::new();
    let cases = [(-5, 2), (0, 2), (1, 2), (2, 2), (3, 3), (9_000_000_000, 9_000_000_000)];
    for (id, (asked, granted)) in (1..).zip(cases) {
        assert_eq!(bench.grant(id, asked), granted, "asked for {asked}");
    }
    let too_long = |id| Request::Grant(Grant { lease: Some(lease(id)), ttl_secs: 9_000_000_001 });
    assert_eq!(bench.error(too_long(99)), Some(StoreError::LeaseTtlTooLarge));
    // Also where the id is taken.
    assert_eq!(bench.error(too_long(1)), Some(StoreError::LeaseTtlTooLarge));
    let millis = std::time::Duration::from_millis;
    let fast = Config { heartbeat: millis(20), election_timeout: millis(200), ..Config::default() };
    assert_eq!(fast.min_lease_ttl(), 1);
}

#[test]
fn l4_a_key_hangs_on_one_lease() {
    let mut bench = Bench::new();
    for id in [1, 2] {
        bench.grant(id, 60);
    }
    let keys = |bench: &mut Bench, id| time_to_live(bench, id).keys;
    let key = || vec![Key::from("k")];
    bench.put_on("k", "", 1);
    assert_eq!((keys(&mut bench, 1), keys(&mut bench, 2)), (key(), vec![]));
    bench.put_on("k", "", 2);
    assert_eq!((keys(&mut bench, 1), keys(&mut bench, 2)), (vec![], key()));
    revoke(&mut bench, 1);
    assert!(bench.get("k").is_some(), "it had moved");
    bench.put("k", "");
    assert_eq!(keys(&mut bench, 2), vec![]);
    bench.put_on("k", "", 2);
    bench.delete(KeyRange::one("k"));
    assert_eq!(keys(&mut bench, 2), vec![]);
    bench.put_on("k", "", 2);
    bench.txn(vec![], vec![delete_op(KeyRange::one("k"))], vec![]);
    assert_eq!(keys(&mut bench, 2), vec![]);
    // The key's own record says the same.
    bench.put_on("k", "", 2);
    assert_eq!(bench.get("k").and_then(|kv| kv.lease), LeaseId::new(2));
}

#[test]
fn l5_the_keys_of_a_lease_go_in_one_revision() {
    let mut bench = Bench::new();
    bench.grant(1, 60);
    for key in ["b", "a", "c"] {
        bench.put_on(key, "", 1);
    }
    let reply = bench.ask(Request::Revoke(Revoke { lease: lease(1) }));
    assert_eq!(reply.header().map(|header| header.revision.0), Some(5));
    let gone = bench.model.log().at_revision(Revision(5));
    let order: Vec<_> = gone.iter().map(|change| change.kv.key.to_string()).collect();
    assert_eq!(order, ["a", "b", "c"]);
    assert!(
        gone.iter().all(
            |change| matches!(change.cause, Cause::Revoke { lease: id, .. } if id == lease(1))
        )
    );
}

#[test]
fn l5_each_expired_lease_has_its_own_revision() {
    let mut bench = Bench::new();
    for id in [1, 2] {
        bench.grant(id, 2);
    }
    bench.put_on("x", "", 1);
    bench.put_on("y", "", 2);
    bench.put_on("z", "", 1);
    bench.wait_ms(2500);
    assert_eq!(bench.revision(), 6);
    let causes: Vec<_> =
        bench.model.log().since(Revision(5)).iter().map(|change| change.cause).collect();
    let expiry = |id| Cause::Expiry { lease: lease(id) };
    assert_eq!(causes, [expiry(1), expiry(1), expiry(2)]);
}

#[test]
fn l6_expired_leases_are_found_every_half_second() {
    // Granted at 100 ms: over at 2.1 s, found at 2.5 s.
    let mut bench = Bench::new();
    bench.wait_ms(100);
    bench.grant(1, 2);
    bench.put_on("k", "", 1);
    bench.wait_ms(2399);
    assert!(bench.get("k").is_some(), "row L12: readable until it is revoked");
    bench.wait_ms(1);
    assert_eq!(bench.get("k"), None);
}

#[test]
fn l6_five_hundred_a_round() {
    let mut bench = Bench::new();
    for id in 1..=1200 {
        bench.grant(id, 2);
    }
    let counts: Vec<_> = [2000, 500, 500]
        .into_iter()
        .map(|millis| {
            bench.wait_ms(millis);
            bench.model.leases().count()
        })
        .collect();
    assert_eq!(counts, [700, 200, 0]);
}

#[test]
fn l6_a_failed_revoke_is_tried_again_after_the_request_timeout() {
    let quirks = Quirks { overload_stops_expiry: true, ..Quirks::default() };
    let mut bench = Bench::with(Config { quirks, ..Config::default() });
    bench.grant(1, 2);
    bench.fault(Fault::Overload(true));
    bench.wait_ms(2500);
    bench.fault(Fault::Overload(false));
    bench.wait_ms(6400);
    assert_eq!(bench.model.leases().count(), 1);
    bench.wait_ms(200);
    assert_eq!(bench.model.leases().count(), 0, "found at 2 s, again at 9 s");
}

#[test]
fn l7_a_renewal_counts_from_now() {
    let mut bench = Bench::new();
    bench.grant(1, 4);
    bench.wait_ms(3000);
    assert_eq!(keep_alive(&mut bench, 1), 4);
    bench.wait_ms(3999);
    assert_eq!(bench.model.leases().count(), 1);
    bench.wait_ms(1);
    assert_eq!(bench.model.leases().count(), 0);
    assert_eq!(keep_alive(&mut bench, 1), 0);
    assert_eq!(keep_alive(&mut bench, 404), 0);
}

#[test]
fn l7_a_renewal_that_comes_too_late_waits_for_the_revoke() {
    let mut bench = Bench::new();
    bench.wait_ms(100);
    bench.grant(1, 2);
    bench.put_on("k", "", 1);
    bench.wait_ms(2100);
    let attempt = bench.send(renewal(1));
    assert_eq!(bench.answer(attempt), None);
    assert_eq!(time_to_live(&mut bench, 1).ttl_secs, 0, "over, but not revoked");
    bench.wait_ms(300);
    let Some(Reply::KeepAlive(reply)) = bench.answer(attempt) else { panic!("revoked by now") };
    // Row R6: the header is from before the revoke.
    assert_eq!((reply.ttl_secs, reply.header.revision.0, bench.revision()), (0, 2, 3));
}

#[test]
fn l7_a_renewal_that_waits_ends_with_a_revoke_by_hand_too() {
    let mut bench = Bench::new();
    bench.wait_ms(100);
    bench.grant(1, 2);
    bench.wait_ms(2100);
    let attempt = bench.send(renewal(1));
    assert_eq!(revoke(&mut bench, 1), None);
    assert!(matches!(bench.answer(attempt), Some(Reply::KeepAlive(reply)) if reply.ttl_secs == 0));
}

#[test]
fn l9_time_to_live() {
    let mut bench = Bench::new();
    let unknown = time_to_live(&mut bench, 1);
    assert_eq!((unknown.ttl_secs, unknown.granted_secs), (-1, 0));
    bench.grant(1, 10);
    for key in ["b", "a"] {
        bench.put_on(key, "", 1);
    }
    bench.wait_ms(1);
    let known = time_to_live(&mut bench, 1);
    assert_eq!((known.ttl_secs, known.granted_secs), (9, 10));
    assert_eq!(known.keys, [Key::from("a"), Key::from("b")]);
    let without = bench.ask(Request::TimeToLive(TimeToLive { lease: lease(1), keys: false }));
    assert!(matches!(without, Reply::TimeToLive(reply) if reply.keys.is_empty()));
}

#[test]
fn all_leases_are_listed_by_expiry() {
    let mut bench = Bench::new();
    for (id, ttl) in [(1, 30), (2, 10), (3, 20)] {
        bench.grant(id, ttl);
    }
    let Reply::Leases(reply) = bench.ask(Request::Leases) else { panic!("leases were asked") };
    assert_eq!(reply.leases, [lease(2), lease(3), lease(1)]);
    for id in 1..=3 {
        revoke(&mut bench, id);
    }
    let Reply::Leases(reply) = bench.ask(Request::Leases) else { panic!("leases were asked") };
    assert_eq!(
        (reply.leases, bench.model.poll_timeout()),
        (vec![], None),
        "nobody counts any more"
    );
}

#[test]
fn the_log_tells_the_life_of_a_lease() {
    let mut bench = Bench::new();
    bench.grant(1, 2);
    bench.wait_ms(1000);
    keep_alive(&mut bench, 1);
    bench.wait_ms(1000);
    bench.fault(Fault::Restart);
    bench.wait_ms(5000);
    let told: Vec<_> = bench
        .model
        .log()
        .leases()
        .iter()
        .map(|change| match change.step {
            LeaseStep::Granted { expires, .. } => format!("{} granted until {expires}", change.at),
            LeaseStep::Renewed { expires, .. } => format!("{} renewed until {expires}", change.at),
            LeaseStep::Prolonged { expires } => format!("{} prolonged until {expires}", change.at),
            LeaseStep::Ended { cause } => format!("{} ended by {cause}", change.at),
        })
        .collect();
    assert_eq!(
        told,
        [
            "0.000s granted until 2.000s",
            "1.000s renewed until 3.000s",
            "2.000s prolonged until 5.000s",
            "5.000s ended by expiry of lease 0000000000000001",
        ]
    );
}
