//! How disturbed records are found that nobody watches.

use std::collections::BTreeMap;

use insta::assert_snapshot;

use super::store::Store;
use super::*;
use crate::waist::TimeToLiveReply;

/// `count` registrations that stand, none of them watched.
fn swept(count: u64, change: impl FnOnce(&mut Tuning)) -> (Harness, Store) {
    let mut h = Harness::tuned(|tuning| {
        tuning.sweeps_per_ttl = 1;
        change(tuning);
    });
    let mut store = Store { revision: 1, ..Store::default() };
    for id in 1..=count {
        h.register(id, &format!("i{id}"), Conflict::Replace);
    }
    h.play(1, |request| store.answer(request));
    assert_eq!(store.keys.len() as u64, count);
    h.trace();
    (h, store)
}

fn key(id: u64) -> Key {
    Key::from(format!("/p/instances/web/i{id}"))
}

fn sweeps(asked: &[(Time, Request)]) -> Vec<(Time, LeaseId)> {
    let sweep = |(at, request): &(Time, Request)| {
        let Request::TimeToLive(ask) = request else { return None };
        ask.keys.then_some((*at, ask.lease))
    };
    asked.iter().filter_map(sweep).collect()
}

/// The keys of the reads that are asked for, each time.
fn reads(asked: &[(Time, Request)]) -> Vec<(Time, Vec<Key>)> {
    let read = |(at, request): &(Time, Request)| {
        let mut keys = Vec::new();
        if let Request::Range(range) = request {
            keys.push(range.keys.key.clone());
        } else if let Request::Txn(txn) = request {
            keys.extend(txn.then.iter().filter_map(|op| match op {
                Op::Range(range) => Some(range.keys.key.clone()),
                Op::Put(_) | Op::Delete(_) | Op::Txn(_) => None,
            }));
        }
        (!keys.is_empty()).then_some((*at, keys))
    };
    asked.iter().filter_map(read).collect()
}

/// A store that takes longer than the time between two sweeps has enough to do.
#[test]
fn a_sweep_waits_for_the_one_before() {
    let (mut h, mut store) = swept(1, |tuning| {
        (tuning.sweeps_per_ttl, tuning.attempt_timeout) = (9, Duration::from_secs(5));
    });
    let asked = h.play(TTL, |request| {
        if matches!(request, Request::TimeToLive(_)) { None } else { store.answer(request) }
    });
    assert_eq!(sweeps(&asked).len(), 2, "one within its time limit, and one after it: {}", h.trace);
}

#[test]
fn a_key_that_its_lease_has_no_more_is_read_and_healed() {
    let (mut h, mut store) = swept(2, |_| {});
    store.keys.remove(&key(2));
    store.revision += 1;
    h.play(TTL, |request| store.answer(request));
    let trace = h.trace();
    let told = trace.lines().skip_while(|line| !line.contains("time-to-live"));
    assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @"
    9.000s > #5 m0 time-to-live lease=L1 keys
    9.000s > #6 m0 keepalive lease=L1
    9.000s < #5 time-to-live lease=L1 left=5s granted=9s keys=1
    9.000s > #7 m0 range /p/instances/web/i2
    9.000s < #6 kept alive lease=L1 ttl=9s
    9.000s < #7 range @3
    9.000s > registration 2 lost Disturbed
    9.100s > #8 m0 txn if mod(/p/instances/web/i2)=0 then put /p/instances/web/i2=147B:1ce01096 lease=L1 else range /p/instances/web/i2
    9.100s < #8 then put @4
    9.100s > registration 2 registered @4 lease=L1 sequence=1
    ");
}

/// A record that a stranger has moved to another lease is not on ours any more: a takeover.
#[test]
fn a_key_that_was_moved_is_a_takeover() {
    let (mut h, mut store) = swept(2, |_| {});
    store.revision += 1;
    let moved = store.keys.get_mut(&key(2)).expect("it stands");
    (moved.lease, moved.mod_revision) = (Some(stranger()), Revision(store.revision));
    h.play(TTL + 1, |request| store.answer(request));
    assert!(
        h.trace.contains("registration 2 gone: superseded by the record on lease 0000000000000999")
    );
    assert!(!h.trace.contains("registration 1 "), "{}", h.trace);
}

/// An old release around a change of leader: it lists nothing. The reads decide.
#[test]
fn a_sweep_is_only_a_hint() {
    let (mut h, mut store) = swept(2, |_| {});
    let asked = h.play(3 * TTL, |request| {
        let Request::TimeToLive(ask) = request else { return store.answer(request) };
        let keys = Vec::new();
        Some(Reply::TimeToLive(TimeToLiveReply { keys, ..store.time_to_live(ask.lease) }))
    });
    assert_eq!(sweeps(&asked).len(), 3);
    assert_eq!(reads(&asked).len(), 3, "both keys at once, each time");
    let writes = asked.iter().filter(|(_, request)| request.to_string().contains("then put"));
    assert_eq!(writes.count(), 0);
    assert!(!h.trace.contains("lost"), "{}", h.trace);
}

/// What was published after the list was made is not missing from it.
#[test]
fn what_is_newer_than_the_list_is_not_missing() {
    let (mut h, mut store) = swept(2, |_| {});
    h.play(TTL, |request| {
        let is_sweep = matches!(request, Request::TimeToLive(_));
        if is_sweep { None } else { store.answer(request) }
    });
    let (attempt, _) = h
        .asked
        .iter()
        .rfind(|(_, asked)| matches!(asked, Request::TimeToLive(_)))
        .cloned()
        .expect("a sweep");
    let list = TimeToLiveReply { keys: vec![key(2)], ..store.time_to_live(h.leases[0]) };
    let out = instance("i1").with_state(State::OutOfService);
    h.command(Command::Publish { id: RegistrationId(1), instance: out });
    h.play(0, |request| store.answer(request));
    h.reply(attempt.0, Reply::TimeToLive(list));
    let asked = h.play(1, |request| store.answer(request));
    assert_eq!(reads(&asked).len(), 0, "{}", h.trace);
}

/// "No such lease", it says: a renewal is asked at once, and decides.
#[test]
fn a_lease_that_is_unknown_to_a_sweep_is_renewed_at_once() {
    let mut outcome = String::new();
    for lives in [true, false] {
        let (mut h, mut store) = swept(1, |tuning| tuning.sweeps_per_ttl = 4);
        let lease = h.leases[0];
        if !lives {
            store.leases.clear();
            store.keys.clear();
        }
        let unknown = TimeToLiveReply {
            ttl_secs: -1,
            granted_secs: 0,
            keys: Vec::new(),
            ..store.time_to_live(lease)
        };
        h.play(2, |request| {
            let is_sweep = matches!(request, Request::TimeToLive(_));
            if is_sweep { Some(Reply::TimeToLive(unknown.clone())) } else { store.answer(request) }
        });
        outcome += &format!("it lives: {lives}\n{}", h.trace());
    }
    assert_snapshot!(outcome, @"
    it lives: true
    2.250s > #3 m0 time-to-live lease=L1 keys
    2.250s < #3 time-to-live lease=L1 left=-1s granted=0s keys=0
    2.250s > #4 m0 keepalive lease=L1
    2.250s < #4 kept alive lease=L1 ttl=9s
    it lives: false
    2.250s > #3 m0 time-to-live lease=L1 keys
    2.250s < #3 time-to-live lease=L1 left=-1s granted=0s keys=0
    2.250s > #4 m0 keepalive lease=L1
    2.250s < #4 kept alive lease=L1 ttl=0s
    2.250s > registration 1 lost LeaseLost
    2.250s > #5 m0 grant lease=L2 ttl=9s
    2.250s < #5 granted lease=L2 ttl=9s
    2.250s > #6 m0 txn if mod(/p/instances/web/i1)=0 then put /p/instances/web/i1=147B:a375f67c lease=L2 else range /p/instances/web/i1
    2.250s < #6 then put @3
    2.250s > registration 1 registered @3 lease=L2 sequence=1
    ");
}

/// Etcd tells whole seconds: the last one is 0.
#[test]
fn a_lease_in_its_last_second_still_tells_its_keys() {
    let (mut h, mut store) = swept(2, |_| {});
    store.keys.remove(&key(2));
    store.revision += 1;
    let asked = h.play(TTL, |request| {
        let Request::TimeToLive(ask) = request else { return store.answer(request) };
        Some(Reply::TimeToLive(TimeToLiveReply { ttl_secs: 0, ..store.time_to_live(ask.lease) }))
    });
    let reads: Vec<_> = reads(&asked).into_iter().map(|(_, keys)| keys).collect();
    assert_eq!(reads, [[key(2)]]);
}

/// With authentication etcd may want rights on all keys of the lease; a store may not answer.
#[test]
fn a_sweep_that_is_refused_or_lost_is_made_again_after_a_ttl() {
    for answer in [Some(Reply::Failed(StoreError::PermissionDenied)), None] {
        let (mut h, mut store) = swept(2, |_| {});
        let asked = h.play(10 * TTL, |request| {
            let is_sweep = matches!(request, Request::TimeToLive(_));
            if is_sweep { answer.clone() } else { store.answer(request) }
        });
        assert_eq!(sweeps(&asked).len(), 10, "{answer:?}");
        assert!(!h.trace.contains("> registration"), "{}", h.trace);
    }
}

/// Ten leases at different moments, each at least once in its time and at most once in three
/// quarters of it; those whose keys are all watched, never.
#[test]
fn sweeps_are_spread() {
    let (mut h, mut store) = swept(100, |tuning| {
        (tuning.max_keys_per_lease, tuning.jitter_percent) = (10, 90);
        tuning.own_watches = 20;
    });
    let start = h.now;
    let asked = h.play(20 * TTL, |request| store.answer(request));
    let mut times: BTreeMap<LeaseId, Vec<Time>> = BTreeMap::new();
    for (at, lease) in sweeps(&asked) {
        times.entry(lease).or_default().push(at);
    }
    assert_eq!(times.len(), 8, "two of ten leases are watched whole");
    let mut firsts: Vec<_> = times.values().map(|times| times[0]).collect();
    firsts.sort();
    firsts.dedup();
    assert_eq!(firsts.len(), 8, "no two at once");
    for times in times.values() {
        assert!(times[0].since(start) <= Duration::from_secs(TTL));
        for pair in times.windows(2) {
            let millis = pair[1].since(pair[0]).as_millis();
            assert!((6_750..=9_000).contains(&millis), "{millis} ms");
        }
    }
}

/// What is left is watched: there is nothing to sweep for.
#[test]
fn sweeps_end_with_the_last_record_that_is_not_watched() {
    let (mut h, mut store) = swept(2, |tuning| tuning.own_watches = 1);
    let asked = h.play(2 * TTL, |request| store.answer(request));
    assert_eq!(sweeps(&asked).len(), 2);
    h.deregister(2);
    h.play(1, |request| store.answer(request));
    let asked = h.play(3 * TTL, |request| store.answer(request));
    assert_eq!((store.keys.len(), sweeps(&asked).len()), (1, 0), "{}", h.trace);
}

/// What drains is not looked after any more.
#[test]
fn a_shutdown_sweeps_nothing() {
    let (mut h, mut store) = swept(1, |tuning| tuning.sweeps_per_ttl = 4);
    h.command(Command::Shutdown { within: Duration::from_secs(20) });
    let asked = h.play(3, |request| {
        let is_batch = matches!(request, Request::Txn(_));
        if is_batch { None } else { store.answer(request) }
    });
    assert!(matches!(asked[0].1, Request::Txn(_)) && sweeps(&asked).is_empty(), "{asked:?}");
}

#[test]
fn the_audit_finds_what_was_overwritten_in_place() {
    let (mut h, mut store) = swept(3, |tuning| tuning.audit_every = Duration::from_secs(60));
    store.revision += 1;
    let written = store.keys.get_mut(&key(2)).expect("it stands");
    (written.value, written.mod_revision) = ("x".into(), Revision(store.revision));
    let asked = h.play(61, |request| store.answer(request));
    assert_eq!(reads(&asked).len(), 1);
    let trace = h.trace();
    let told: Vec<_> = trace.lines().filter(|line| line.contains("registration")).collect();
    assert_snapshot!(told.join("\n"), @"
    60.000s > registration 2 lost Disturbed
    60.100s > registration 2 registered @5 lease=L1 sequence=1
    ");
}

/// Batch by batch, every record within the time and none before two thirds of it.
#[test]
fn the_audit_goes_round() {
    const EVERY: u64 = 900;
    let (mut h, mut store) = swept(1_000, |tuning| {
        (tuning.audit_every, tuning.jitter_percent) = (Duration::from_secs(EVERY), 90);
        tuning.sweeps_per_ttl = 0;
    });
    let asked = h.play(4 * EVERY, |request| store.answer(request));
    let reads = reads(&asked);
    let mut last: BTreeMap<Key, Vec<Time>> = BTreeMap::new();
    for (at, keys) in &reads {
        assert!(keys.len() <= 126);
        for key in keys {
            last.entry(key.clone()).or_default().push(*at);
        }
    }
    assert_eq!(last.len(), 1_000, "each of them");
    for (key, times) in &last {
        assert!(times[0].since(Time::ZERO).as_secs() <= EVERY + 1, "{key}");
        for pair in times.windows(2) {
            let secs = pair[1].since(pair[0]).as_secs();
            assert!((EVERY * 67 / 100..=EVERY).contains(&secs), "{key} after {secs} s");
        }
    }
    let mut moments: Vec<_> = reads.iter().map(|(at, _)| *at).collect();
    moments.dedup();
    assert_eq!(moments.len(), reads.len(), "one batch at a time");
}

/// However many batches they make, and however full the last one is.
#[test]
fn the_audit_reads_each_record_in_its_time() {
    const EVERY: u64 = 100;
    for count in [1, 125, 126, 127, 252] {
        let (mut h, mut store) = swept(count, |tuning| {
            (tuning.audit_every, tuning.sweeps_per_ttl) = (Duration::from_secs(EVERY), 0);
        });
        let asked = h.play(3 * EVERY, |request| store.answer(request));
        let mut times: BTreeMap<Key, Vec<Time>> = BTreeMap::new();
        for (at, keys) in reads(&asked) {
            for key in keys {
                times.entry(key).or_default().push(at);
            }
        }
        assert_eq!(times.len() as u64, count);
        for (key, times) in times {
            let pauses: Vec<_> = times.windows(2).map(|two| two[1].since(two[0])).collect();
            assert_eq!(pauses, [Duration::from_secs(EVERY); 2], "{count} keys, {key}: {times:?}");
        }
    }
}

/// Nothing is read of what is gone, or going.
#[test]
fn the_audit_ends_with_the_last_record() {
    let (mut h, mut store) = swept(2, |tuning| tuning.audit_every = Duration::from_secs(60));
    h.deregister(1).deregister(2);
    h.play(1, |request| store.answer(request));
    assert_eq!(h.engine.poll_timeout(), None);
}
