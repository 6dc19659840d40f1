//! Grants, renewals and losses of leases.

use insta::assert_snapshot;

use super::store::Store;
use super::*;

#[test]
fn a_lease_that_the_store_lost_is_granted_anew_under_another_id() {
    let mut h = Harness::registered();
    h.wait(3);
    let lease = h.leases[0];
    h.reply(3, kept(lease, 0)).grant(4).reply(5, put(9));
    assert_snapshot!(h.trace(), @"
    3.000s > #3 m0 keepalive lease=L1
    3.000s < #3 kept alive lease=L1 ttl=0s
    3.000s > registration 1 lost LeaseLost
    3.000s > #4 m0 grant lease=L2 ttl=9s
    3.000s < #4 granted lease=L2 ttl=9s
    3.000s > #5 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L2 else range /p/instances/web/a
    3.000s < #5 then put @9
    3.000s > registration 1 registered @9 lease=L2 sequence=1
    ");
}

#[test]
fn a_lease_counts_from_when_it_was_asked_for() {
    let mut h = Harness::registered();
    h.wait(TTL + 1);
    assert_snapshot!(h.trace(), @"
    3.000s > #3 m0 keepalive lease=L1
    6.000s > #3 cancel
    6.000s > m0 redial
    6.100s > #4 m0 keepalive lease=L1
    8.910s > #4 cancel
    8.910s > registration 1 lost LeaseLost
    8.910s > #5 m0 grant lease=L2 ttl=9s
    ");
}

#[test]
fn a_process_that_slept_says_lost_first() {
    let mut h = Harness::registered();
    h.sleep(TTL + 1).input(Input::Tick);
    let trace = h.trace();
    let first = trace.lines().next().expect("something was said");
    assert!(first.ends_with("registration 1 lost LeaseLost"), "{trace}");
    assert!(!trace.contains("keepalive"), "{trace}");
}

#[test]
fn an_unanswered_grant_is_never_used() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace);
    let first = h.leases[0];
    h.wait(4).reply(1, granted(first)).grant(2).reply(3, put(5));
    assert_snapshot!(h.trace(), @"
    0.000s < register 1 web/a ready Replace
    0.000s > #1 m0 grant lease=L1 ttl=9s
    3.000s > #1 cancel
    3.000s > m0 redial
    3.100s > #2 m0 grant lease=L2 ttl=9s
    4.000s < #1 granted lease=L1 ttl=9s
    4.000s < #2 granted lease=L2 ttl=9s
    4.000s > #3 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L2 else range /p/instances/web/a
    4.000s < #3 then put @5
    4.000s > registration 1 registered @5 lease=L2 sequence=1
    ");
}

/// A store that grants leases, renews them, and finds none when something is put: the first loss is
/// healed at once, the next ones after pauses.
#[test]
fn leases_that_are_gone_when_they_are_used_do_not_make_it_spin() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace);
    let minute = Time::from_secs(60);
    let mut grants = Vec::new();
    while h.now < minute && grants.len() < 100 {
        for (attempt, request) in std::mem::take(&mut h.asked) {
            let reply = if let Request::Grant(grant) = request {
                grants.push(h.now);
                granted(grant.lease.expect("its own id"))
            } else if let Request::KeepAlive(keep) = request {
                kept(keep.lease, TTL.cast_signed())
            } else {
                Reply::Failed(StoreError::LeaseNotFound)
            };
            h.reply(attempt.0, reply);
        }
        if h.asked.is_empty() {
            h.now = h.engine.poll_timeout().unwrap_or(minute);
            h.input(Input::Tick);
        }
    }
    assert_eq!(grants[..2], [Time::ZERO; 2]);
    // With pauses from 0.1 s up to 5 s.
    assert!((10..=20).contains(&grants.len()), "{} grants in a minute: {grants:?}", grants.len());
}

#[test]
fn refusals_of_others_cost_no_lease_its_renewal() {
    let mut h = Harness::tuned(|tuning| tuning.jitter_percent = 90);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5));
    let mut renewals = 0;
    for id in 2..900 {
        h.register(id, &format!("b{id}"), Conflict::Replace);
    }
    h.trace();
    play(&mut h, 2, Time::from_secs(60), |request| {
        let Request::KeepAlive(keep) = request else {
            return Some(Reply::Failed(StoreError::PermissionDenied));
        };
        renewals += 1;
        let fails = renewals % 5 == 0;
        Some(if fails { gave_up() } else { kept(keep.lease, TTL as i64) })
    });
    let told: Vec<_> = h.trace.lines().filter(|line| line.contains("registration 1 ")).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_renewal_is_tried_once_more_before_its_lease_is_over() {
    let mut h = Harness::tuned(|tuning| {
        tuning.backoff_base = Duration::from_secs(5);
        tuning.backoff_cap = Duration::from_secs(10);
    });
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).trace();
    play(&mut h, 2, Time::from_secs(8), |request| {
        matches!(request, Request::KeepAlive(_)).then(gave_up)
    });
    assert_snapshot!(h.trace(), @"
    3.000s > #3 m0 keepalive lease=L1
    3.000s < #3 failed: connection lost: reset
    3.000s > m0 redial
    7.410s > #4 m0 keepalive lease=L1
    7.410s < #4 failed: connection lost: reset
    7.410s > m0 redial
    ");
}

/// Ten leases for ten thousand, each renewed three times in its time, on whatever moments.
#[test]
fn ten_thousand_registrations_take_few_renewals() {
    const REGISTRATIONS: u64 = 10_000;
    let mut h = Harness::new();
    let mut store = super::store::Store { revision: 1, ..Default::default() };
    for id in 1..=REGISTRATIONS {
        h.register(id, &format!("i{id}"), Conflict::Replace);
    }
    h.play(1, |request| store.answer(request));
    assert_eq!(store.keys.len() as u64, REGISTRATIONS);
    assert_eq!(store.leases.len(), 10, "1,000 keys each");
    let asked = h.play(10 * TTL, |request| store.answer(request));
    let renewals = asked.iter().filter(|(_, asked)| matches!(asked, Request::KeepAlive(_)));
    assert_eq!(renewals.count(), 10 * 10 * 3, "leases, times to live, renewals in each");
    assert_eq!(asked.len(), 10 * 10 * 3, "and nothing else");
}

/// Most of what filled ten leases is gone. What is left moves to two, a lease at a time, and is
/// never missing.
#[test]
fn what_is_left_of_many_leases_is_gathered_on_few() {
    let mut h = Harness::tuned(|tuning| tuning.max_keys_per_lease = 10);
    let mut store = Store { revision: 1, ..Store::default() };
    for id in 1..=100 {
        h.register(id, &format!("i{id}"), Conflict::Replace);
    }
    h.play(1, |request| store.answer(request));
    assert_eq!(store.leases.len(), 10);
    let one_each: Vec<_> = store.leases.iter().map(|&lease| store.on(lease)[0].clone()).collect();
    for id in 1..=100 {
        if !one_each.contains(&Key::from(format!("/p/instances/web/i{id}"))) {
            h.deregister(id);
        }
    }
    h.trace();
    let asked = h.play(5, |request| {
        let reply = store.answer(request);
        let stand = one_each.iter().filter(|key| {
            store
                .keys
                .get(*key)
                .is_some_and(|kv| kv.lease.is_some_and(|on| store.leases.contains(&on)))
        });
        assert_eq!(stand.count(), 10, "{request}");
        reply
    });
    assert_eq!((store.keys.len(), store.leases.len()), (10, 2));
    let trace = h.trace();
    assert!(!trace.contains("lost"), "{trace}");
    let revokes = asked.iter().filter(|(_, asked)| matches!(asked, Request::Revoke(_)));
    assert_eq!(revokes.count(), 8);
}

#[test]
fn a_lease_is_retired_when_fewer_suffice() {
    let (mut h, mut store) = filled(3, 3);
    thin_out(&mut h, &store, &[1, 1, 1]);
    h.play(1, |request| store.answer(request));
    let trace = h.trace();
    let gone = trace.lines().rev().position(|line| line.contains("gone: deregistered"));
    let after = trace.lines().count() - gone.expect("six are gone");
    let told: Vec<_> = trace.lines().skip(after).collect();
    assert_snapshot!(told.join("\n"), @"
    1.000s > #19 m0 txn if mod(/p/instances/web/i7)=4, lease(/p/instances/web/i7)=L3 then put /p/instances/web/i7=147B:5ca51a86 lease=L1 else range /p/instances/web/i7
    1.000s < #19 then put @17
    1.000s > registration 7 registered @17 lease=L1 sequence=1
    1.000s > #20 m0 revoke lease=L3
    1.000s < #20 revoked @18
    ");
}

/// Two of three remain, and one record moves for that.
#[test]
fn the_lease_with_the_fewest_records_is_retired() {
    let (mut h, mut store) = filled(3, 6);
    let leases: Vec<_> = store.leases.iter().copied().collect();
    let kept = thin_out(&mut h, &store, &[2, 1, 2]);
    let asked = h.play(1, |request| store.answer(request));
    let revoked = asked.iter().filter_map(|(_, request)| {
        let Request::Revoke(revoke) = request else { return None };
        Some(revoke.lease)
    });
    assert_eq!(revoked.collect::<Vec<_>>(), [leases[1]], "{}", h.trace);
    let again = h.trace.lines().filter(|line| line.contains(" registered @"));
    assert_eq!(again.count(), 1, "{}", h.trace);
    assert_eq!(store.keys.len(), kept.len());
}

/// What is drained is left where it is, so that it is told before it goes.
#[test]
fn a_lease_whose_record_is_draining_is_not_retired() {
    let (mut h, mut store) = filled(3, 3);
    let kept = thin_out(&mut h, &store, &[1, 1, 2]);
    h.play(1, |request| store.answer(request));
    h.deregister(number(&kept[0])).deregister(number(&kept[3]));
    let draining = kept[0].to_string();
    let asked = h.play(4, |request| {
        let is_it = request.to_string().contains(&draining);
        if is_it { None } else { store.answer(request) }
    });
    let told: Vec<_> = asked
        .iter()
        .map(|(_, request)| request.to_string())
        .filter(|request| request.contains(&draining))
        .collect();
    assert_eq!(told.len(), 2, "it is not answered, and sent again: {told:?}");
    assert!(told.iter().all(|request| request.contains("then put")), "{told:?}");
    assert_eq!(store.leases.len(), 2, "another one is retired");
}

/// What stands is left alone until the store takes what is sent.
#[test]
fn nothing_moves_while_batches_fail() {
    let (mut h, mut store) = filled(5, 5);
    let out = kept_keys(&store, &[1, 1, 1, 1, 1]).remove(0);
    let name = out.to_string().rsplit('/').next().expect("a key").to_owned();
    let instance = instance(&name).with_state(State::OutOfService);
    h.command(Command::Publish { id: RegistrationId(number(&out)), instance });
    let (attempt, _) = h.asked.last().cloned().expect("a publish");
    thin_out(&mut h, &store, &[1, 1, 1, 1, 1]);
    let is_it = |request: &Request| request.to_string().contains(&format!("{out})="));
    let asked = h.play(0, |request| {
        let answers = !is_it(request) && !matches!(request, Request::Revoke(_));
        if answers { store.answer(request) } else { None }
    });
    let revokes = asked.iter().filter(|(_, request)| matches!(request, Request::Revoke(_)));
    assert_eq!(revokes.count(), 1, "one of five leases is left, and others are to follow");
    let busy = || Reply::Failed(StoreError::TooManyRequests);
    h.reply(attempt.0, busy());
    let asked = h.play(2, |request| {
        if matches!(request, Request::Txn(_)) {
            return Some(busy());
        }
        let is_revoke = matches!(request, Request::Revoke(_));
        if is_revoke { None } else { store.answer(request) }
    });
    let batches: Vec<_> =
        asked.iter().filter(|(_, request)| matches!(request, Request::Txn(_))).collect();
    let alone = |request: &Request| {
        let Request::Txn(txn) = request else { return false };
        txn.compares.len() == 2 && txn.compares.iter().all(|compare| compare.keys.key == out)
    };
    assert!(batches.len() > 2 && batches.iter().all(|(_, request)| alone(request)), "{batches:?}");
}

/// The one to spare stays, also while the revoke of another is under way: what is left does not move
/// twice.
#[test]
fn a_revoke_under_way_retires_no_other_lease() {
    let (mut h, mut store) = filled(3, 3);
    thin_out(&mut h, &store, &[1, 1, 1]);
    let (mut revoked, mut asked) = (std::collections::BTreeSet::new(), 0);
    h.play(2 * TTL, |request| {
        asked += 1;
        assert!(asked < 100, "what is left moves without end");
        if let Request::Revoke(revoke) = request {
            revoked.insert(revoke.lease);
            return Some(gave_up());
        }
        store.answer(request)
    });
    assert_eq!(revoked.len(), 1, "{revoked:?}");
    let used = store.leases.iter().filter(|&&lease| !store.on(lease).is_empty());
    assert_eq!((store.keys.len(), store.leases.len(), used.count()), (3, 3, 2));
    h.play(TTL, |request| store.answer(request));
    assert_eq!(store.leases.len(), 2);
}

/// A store that grants leases, takes what is put on them, and knows none of them when it is renewed.
/// The first loss is healed at once, and so is any loss after a lease that lived.
#[test]
fn leases_that_do_not_last_are_asked_for_ever_more_slowly() {
    let mut h = Harness::new();
    let mut store = Store { revision: 1, ..Store::default() };
    h.register(1, "a", Conflict::Replace);
    let mut times = Vec::new();
    for (secs, lasts) in [(60, false), (60, true), (10, false)] {
        let asked = h.play(secs, |request| {
            let Request::KeepAlive(keep) = request else { return store.answer(request) };
            Some(kept(keep.lease, if lasts { TTL as i64 } else { 0 }))
        });
        let grants = asked.iter().filter(|(_, request)| matches!(request, Request::Grant(_)));
        times.extend(grants.map(|(at, _)| at.to_string()));
        times.push(format!("({lasts})"));
    }
    assert_snapshot!(times.join(" "), @"0.000s 3.000s 6.100s 9.300s 12.700s 16.500s 21.100s 27.300s 35.300s 43.300s 51.300s 59.300s (false) (true) 122.300s 125.300s 128.400s (false)");
}

/// The first one, as it is only lost and may still live, is revoked when the record is elsewhere.
#[test]
fn a_record_that_moved_twice_leaves_no_lease_behind() {
    let mut h = Harness::registered();
    h.sleep(TTL + 1).input(Input::Tick).grant(3);
    h.reply(4, Reply::Failed(StoreError::LeaseNotFound)).grant(5).reply(6, put(9));
    assert!(h.trace.ends_with("> #7 m0 revoke lease=L1\n"), "{}", h.trace);
}

/// What has lived for `healthy_after` has proven it.
#[test]
fn a_lease_that_lived_long_enough_is_replaced_at_once() {
    let mut h = Harness::tuned(|tuning| tuning.healthy_after = Duration::from_secs(3));
    let mut store = Store { revision: 1, ..Store::default() };
    h.register(1, "a", Conflict::Replace);
    let asked = h.play(15, |request| {
        let Request::KeepAlive(keep) = request else { return store.answer(request) };
        Some(kept(keep.lease, 0))
    });
    let grants = asked.iter().filter(|(_, request)| matches!(request, Request::Grant(_)));
    let times: Vec<_> = grants.map(|&(at, _)| at).collect();
    assert_eq!(times, [0, 3, 6, 9, 12, 15].map(Time::from_secs));
}

#[test]
fn nobody_waits_for_the_renewal_of_a_lease_that_is_revoked() {
    let mut h = Harness::registered();
    h.wait(3).deregister(1).reply(4, put(6));
    let trace = h.trace();
    let (_, after) = trace.split_once("#4 then put @6").expect("it was answered");
    assert!(after.contains("> #3 cancel\n"), "{trace}");
}

/// Registrations that fill `leases` leases of `max` keys.
fn filled(leases: usize, max: u32) -> (Harness, Store) {
    let mut h = Harness::tuned(|tuning| tuning.max_keys_per_lease = max);
    let mut store = Store { revision: 1, ..Store::default() };
    for id in 1..=leases as u64 * u64::from(max) {
        h.register(id, &format!("i{id}"), Conflict::Replace);
    }
    h.play(1, |request| store.answer(request));
    assert_eq!(store.leases.len(), leases);
    (h, store)
}

/// So many keys of each lease.
fn kept_keys(store: &Store, keep: &[usize]) -> Vec<Key> {
    let keys = store.leases.iter().zip(keep).flat_map(|(&lease, &keep)| {
        let on = store.on(lease);
        on.into_iter().take(keep)
    });
    keys.collect()
}

/// Deregisters all but so many of each lease. Which are left.
fn thin_out(h: &mut Harness, store: &Store, keep: &[usize]) -> Vec<Key> {
    let kept = kept_keys(store, keep);
    for key in store.keys.keys().filter(|key| !kept.contains(key)) {
        h.deregister(number(key));
    }
    h.trace();
    kept
}

/// The registration `1` has the key that ends in `i1`.
fn number(key: &Key) -> u64 {
    let text = key.to_string();
    text.rsplit('i').next().and_then(|number| number.parse().ok()).expect("a number")
}
