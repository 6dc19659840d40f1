//! What holds for any sequence of requests, waits and restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portolan_core::waist::{
    AttemptId, Compact, Compare, DeleteRange, EventKind, Grant, KeepAlive, Key, KeyEvent, KeyRange,
    KeyValue, LeaseId, MemberId, Op, Put, Range, Reply, Request, Revision, Revoke, Txn, Watch,
    WatchReply,
};
use portolan_memory::{
    Cause, Change, Config, Fault, Input, Limits, Model, Output, Pass, watch_weight,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::kit::{Bench, ME, lease};

type Records = BTreeMap<Key, KeyValue>;

#[derive(Clone, Debug)]
enum Step {
    Ask(Request),
    /// A watch that starts this many revisions before the next one.
    Watch(KeyRange, i64),
    /// Compacts this many revisions before the present.
    Compact(i64),
    Wait(u64),
    Restart,
}

fn key() -> impl Strategy<Value = Key> {
    prop::sample::select(vec!["a", "b", "c", "d", "e"]).prop_map(Key::from)
}

fn keys() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        key().prop_map(KeyRange::one),
        (key(), key()).prop_map(|(from, to)| KeyRange::span(from, to)),
        key().prop_map(KeyRange::from_key),
        Just(KeyRange::all()),
    ]
}

fn lease_id() -> impl Strategy<Value = LeaseId> {
    (1..4i64).prop_map(lease)
}

fn put() -> impl Strategy<Value = Put> {
    (key(), 0..100u8, prop::option::of(lease_id())).prop_map(|(key, value, lease)| Put {
        key,
        value: vec![value].into(),
        lease,
        ..Put::default()
    })
}

fn delete() -> impl Strategy<Value = DeleteRange> {
    keys().prop_map(|keys| DeleteRange { keys, prev_kv: true })
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let plain = prop_oneof![
        put().prop_map(Op::Put),
        delete().prop_map(Op::Delete),
        keys().prop_map(|keys| Op::Range(Range::of(keys))),
    ];
    let nested = vec(plain.clone(), 0..3).prop_map(|then| Op::Txn(Txn { then, ..Txn::default() }));
    vec(prop_oneof![4 => plain, 1 => nested], 0..4)
}

fn txn() -> impl Strategy<Value = Txn> {
    (key(), 0..6i64, ops(), ops()).prop_map(|(key, revision, then, or_else)| Txn {
        compares: vec![Compare::mod_revision(key, Revision(revision))],
        then,
        or_else,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let grant = (lease_id(), 0..6i64)
        .prop_map(|(lease, ttl_secs)| Request::Grant(Grant { lease: Some(lease), ttl_secs }));
    prop_oneof![
        8 => put().prop_map(|put| Step::Ask(Request::Put(put))),
        3 => delete().prop_map(|delete| Step::Ask(Request::Delete(delete))),
        5 => txn().prop_map(|txn| Step::Ask(Request::Txn(txn))),
        3 => grant.prop_map(Step::Ask),
        1 => lease_id().prop_map(|lease| Step::Ask(Request::Revoke(Revoke { lease }))),
        1 => lease_id().prop_map(|lease| Step::Ask(Request::KeepAlive(KeepAlive { lease }))),
        2 => (keys(), 0..5i64).prop_map(|(keys, back)| Step::Watch(keys, back)),
        1 => (0..5i64).prop_map(Step::Compact),
        3 => (0..1500u64).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

/// Small batches, so that catching up takes several.
fn config() -> Config {
    Config { sync_revisions: 2, sync_watchers: 2, ..Config::default() }
}

fn run(bench: &mut Bench, step: Step) {
    match step {
        Step::Ask(request) => {
            let attempt = bench.send(request);
            bench.answer(attempt);
        }
        Step::Watch(keys, back) => {
            let start = Revision((bench.revision() + 1 - back).max(1));
            bench.watch(Watch { prev_kv: true, ..Watch::of(keys, start) });
        }
        Step::Compact(back) => {
            let revision = Revision(bench.revision() - back);
            bench.ask(Request::Compact(Compact { revision, physical: false }));
        }
        Step::Wait(millis) => bench.wait_ms(millis),
        Step::Restart => bench.fault(Fault::Restart),
    }
}

/// The records at `revision` by the log alone.
fn replay(log: &[Change], revision: Revision) -> Records {
    let mut records = Records::new();
    for change in log.iter().take_while(|change| change.revision <= revision) {
        apply(&mut records, change.kind, &change.kv);
    }
    records
}

fn apply(records: &mut Records, kind: EventKind, kv: &KeyValue) {
    match kind {
        EventKind::Put => records.insert(kv.key.clone(), kv.clone()),
        EventKind::Delete => records.remove(&kv.key),
    };
}

fn read(bench: &mut Bench, revision: Revision) -> Records {
    let reply = bench.range(Range { revision, ..Range::of(KeyRange::all()) });
    reply.kvs.into_iter().map(|kv| (kv.key.clone(), kv)).collect()
}

fn within(records: &Records, keys: &KeyRange) -> Records {
    records
        .iter()
        .filter(|(key, _)| keys.contains(key))
        .map(|(key, kv)| (key.clone(), kv.clone()))
        .collect()
}

/// What fell once: a key that a transaction puts and deletes, told of from the very revision that
/// was compacted.
#[test]
fn a_slow_stream_may_miss_what_one_revision_undoes() {
    let limits = Limits { stream_bytes: Some(64), ..Limits::default() };
    let mut bench = Bench::with(Config { limits, ..config() });
    let put = |key: &str| Op::Put(Put { key: key.into(), ..Put::default() });
    let ask = |bench: &mut Bench, then: Vec<Op>| {
        bench.ask(Request::Txn(Txn { then, ..Txn::default() }));
    };
    ask(&mut bench, vec![put("c")]);
    let stream = bench.watch(Watch::of(KeyRange::all(), Revision(2)));
    let take = |bench: &mut Bench| {
        bench.input(Input::Taken { from: ME, attempt: stream, bytes: 1 << 20 });
    };
    take(&mut bench);
    bench.wait_ms(200);
    let undone = Op::Delete(DeleteRange { keys: KeyRange::all(), prev_kv: false });
    ask(&mut bench, vec![put("a"), undone]);
    ask(&mut bench, vec![put("a")]);
    bench.ask(Request::Compact(Compact { revision: Revision(3), physical: false }));
    let mut told = bench.heard(stream);
    take(&mut bench);
    told.extend(bench.heard(stream));
    let events = told.iter().flat_map(|reply| &reply.events);
    let events: Vec<_> =
        events.map(|each| (each.kind, each.kv.key.clone(), each.kv.mod_revision.0)).collect();
    let (put, delete) = (EventKind::Put, EventKind::Delete);
    let key = |name: &str| Key::from(name);
    assert_eq!(events[0], (put, key("c"), 2));
    assert_eq!(events[1..3], [(delete, key("a"), 3), (delete, key("c"), 3)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every request raises the revision by one if it changed anything, and by nothing otherwise.
    #[test]
    fn revisions_grow_by_one_for_each_changing_request(steps in vec(step(), 1..60)) {
        let mut bench = Bench::with(config());
        for step in steps {
            let (before, changes) = (bench.revision(), bench.model.log().changes().len());
            let is_one_request = matches!(step, Step::Ask(_) | Step::Watch(..) | Step::Compact(_));
            run(&mut bench, step);
            let grown = bench.revision() - before;
            let changed = bench.model.log().changes().len() > changes;
            if is_one_request {
                prop_assert_eq!(grown, i64::from(changed));
            }
        }
        let mut expected = (1, 0);
        for change in bench.model.log().changes() {
            let is_next = change.revision.0 == expected.0 + 1 && change.index == 0;
            let is_same = change.revision.0 == expected.0 && change.index == expected.1;
            prop_assert!(is_next || is_same, "{change} after {expected:?}");
            expected = (change.revision.0, change.index + 1);
        }
        prop_assert_eq!(bench.revision(), expected.0);
    }

    /// What is read at a revision is what the log makes of it, whatever was compacted before it.
    #[test]
    fn reads_tell_what_the_log_tells(steps in vec(step(), 1..60)) {
        let mut bench = Bench::with(config());
        for step in steps {
            run(&mut bench, step);
        }
        let log = bench.model.log().changes().to_vec();
        let oldest = bench.model.compacted().map_or(1, |revision| revision.0.max(1));
        for revision in oldest..=bench.revision() {
            let revision = Revision(revision);
            prop_assert_eq!(read(&mut bench, revision), replay(&log, revision));
        }
        for revision in 1..=bench.revision() {
            let revision = Revision(revision);
            prop_assert_eq!(bench.model.store_at(revision), Some(replay(&log, revision)));
        }
    }

    /// A watch from any revision tells, in order and once, all that leads from there to the present,
    /// with what was there before.
    #[test]
    fn a_watch_replays_to_the_present(steps in vec(step(), 1..60)) {
        let mut bench = Bench::with(config());
        let mut open: Vec<(AttemptId, KeyRange, i64)> = Vec::new();
        let mut heard: BTreeMap<AttemptId, Vec<WatchReply>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Watch(keys, back) => {
                    let start = (bench.revision() + 1 - back).max(1);
                    let watch = Watch::of(keys.clone(), Revision(start));
                    open.push((bench.watch(Watch { prev_kv: true, ..watch }), keys, start));
                }
                // A restart ends the streams; what they said until then was checked elsewhere.
                Step::Restart => {}
                Step::Ask(_) | Step::Compact(_) | Step::Wait(_) => run(&mut bench, step),
            }
        }
        bench.wait_ms(10_000);
        for (stream, ..) in &open {
            heard.insert(*stream, bench.heard(*stream));
        }
        let log = bench.model.log().changes().to_vec();
        let now = replay(&log, bench.model.revision());
        for (stream, keys, start) in open {
            let told = &heard[&stream];
            if keys.is_void() || told.last().is_some_and(|reply| reply.canceled) {
                continue;
            }
            let mut records = within(&replay(&log, Revision(start - 1)), &keys);
            let mut last = 0;
            for KeyEvent { kind, kv, prev } in told.iter().flat_map(|reply| &reply.events) {
                prop_assert!(kv.mod_revision.0 >= start && kv.mod_revision.0 >= last);
                last = kv.mod_revision.0;
                if let Some(prev) = prev {
                    let before = replay(&log, Revision(last - 1));
                    prop_assert_eq!(Some(prev), before.get(&kv.key));
                }
                apply(&mut records, *kind, kv);
            }
            prop_assert_eq!(records, within(&now, &keys), "watch of {} from {}", keys, start);
        }
    }

    /// A stream that is taken in parts, late, is told what one is told that is never full, in the same
    /// order, unless its history was compacted meanwhile; and no more than there is room for lies
    /// before it, but for one revision.
    #[test]
    fn a_slow_stream_is_told_the_same(steps in vec((step(), 0..4u64), 1..60), room in 1..4_000u64) {
        let mut quick = Bench::with(config());
        let limits = Limits { stream_bytes: Some(room), ..Limits::default() };
        let mut slow = Bench::with(Config { limits, ..config() });
        let mut streams: BTreeMap<AttemptId, [Vec<WatchReply>; 2]> = BTreeMap::new();
        let mut untaken: BTreeMap<AttemptId, u64> = BTreeMap::new();
        let mut longest = 0;
        for (step, part) in steps {
            if let Step::Watch(keys, back) = step {
                let start = Revision((quick.revision() + 1 - back).max(1));
                let watch = Watch { prev_kv: true, ..Watch::of(keys, start) };
                streams.insert(quick.watch(watch.clone()), Default::default());
                slow.watch(watch);
            } else if !matches!(step, Step::Restart) {
                run(&mut quick, step.clone());
                run(&mut slow, step);
            }
            for (&stream, [_, told]) in &mut streams {
                let more = slow.heard(stream);
                let untaken = untaken.entry(stream).or_default();
                *untaken += more.iter().map(watch_weight).sum::<u64>();
                longest = more.iter().map(watch_weight).fold(longest, u64::max);
                prop_assert!(*untaken < room + longest, "{untaken} of {room}");
                told.extend(more);
                let bytes = *untaken * part / 3;
                *untaken -= bytes;
                slow.input(Input::Taken { from: ME, attempt: stream, bytes });
            }
        }
        quick.wait_ms(10_000);
        for (stream, [all, told]) in &mut streams {
            all.extend(quick.heard(*stream));
            for _ in 0..200 {
                slow.wait_ms(100);
                let more = slow.heard(*stream);
                let bytes = more.iter().map(watch_weight).sum::<u64>() + untaken[stream];
                untaken.insert(*stream, 0);
                slow.input(Input::Taken { from: ME, attempt: *stream, bytes });
                told.extend(more);
            }
            // Of a key that changes twice in one revision, whoever is told of that one from history
            // hears but the last change, if it is the very one that was compacted (row C2).
            let is_compacted = slow.model.compacted().is_some();
            let events = |told: &[WatchReply]| -> Vec<_> {
                let events = told.iter().flat_map(|reply| &reply.events);
                let events: Vec<_> = events.map(|each| (each.kind, each.kv.clone())).collect();
                let place = |kv: &KeyValue| (kv.mod_revision, kv.key.clone());
                let is_last = |(at, (_, kv)): &(usize, &(EventKind, KeyValue))| {
                    !is_compacted || events[at + 1..].iter().all(|(_, on)| place(on) != place(kv))
                };
                events.iter().enumerate().filter(is_last).map(|(_, each)| each.clone()).collect()
            };
            let (expected, found) = (events(all), events(told));
            let is_ended = |told: &[WatchReply]| told.last().is_some_and(|reply| reply.canceled);
            // Who is served whenever it takes something may be ahead of who waits for the beat.
            prop_assert!(
                expected.starts_with(&found) || is_ended(all) && found.starts_with(&expected),
                "{found:?} of {expected:?}"
            );
            let is_whole = found.len() == expected.len();
            prop_assert!(is_whole || is_ended(told) || is_ended(all), "{found:?} of {expected:?}");
        }
    }

    /// What is stored is what can be read, the leases, and the history, which is never longer than it
    /// may be while there is something to compact.
    #[test]
    fn history_stays_below_its_limit(steps in vec(step(), 1..100), limit in 0..4_000u64) {
        let limits = Limits { history_bytes: Some(limit), ..Limits::default() };
        let mut bench = Bench::with(Config { limits, ..config() });
        for step in steps {
            run(&mut bench, step);
            let records = read(&mut bench, Revision::ZERO);
            let bytes = |kv: &KeyValue| 256 + (kv.key.len() + kv.value.len()) as u64;
            let readable: u64 = records.values().map(bytes).sum();
            let leases = 256 * bench.model.leases().count() as u64;
            let history = bench.model.history();
            prop_assert_eq!(bench.model.stored(), readable + leases + history);
            let is_all = bench.model.compacted() == Some(bench.model.revision());
            prop_assert!(history <= limit || is_all, "{history} of {limit}");
        }
    }

    /// A lease's keys are those whose records name it, and they vanish with it in one revision.
    #[test]
    fn a_lease_takes_its_keys_along_in_one_revision(steps in vec(step(), 1..60)) {
        let mut bench = Bench::with(config());
        for step in steps {
            run(&mut bench, step);
            let records = read(&mut bench, Revision::ZERO);
            let mut by_record: BTreeSet<(LeaseId, Key)> = BTreeSet::new();
            for kv in records.values() {
                by_record.extend(kv.lease.map(|lease| (lease, kv.key.clone())));
            }
            let by_lease: BTreeSet<(LeaseId, Key)> = bench
                .model
                .leases()
                .flat_map(|view| view.keys.into_iter().map(move |key| (view.lease, key)))
                .collect();
            prop_assert_eq!(by_record, by_lease);
        }
        let log = bench.model.log().changes().to_vec();
        for change in &log {
            let (Cause::Expiry { lease } | Cause::Revoke { lease, .. }) = change.cause else { continue };
            prop_assert_eq!(change.kind, EventKind::Delete);
            let after = replay(&log, change.revision);
            prop_assert!(after.values().all(|kv| kv.lease != Some(lease)), "{change} left something");
        }
    }

    /// Ticks at other times, and a copy half way, change nothing.
    #[test]
    fn ticks_in_between_change_nothing(
        steps in vec((step(), 0..700u64), 1..40),
        extra in vec(0..700u64, 0..20),
    ) {
        let mut plain = Model::new(config());
        let mut ticked = Model::new(config());
        let mut said: [Vec<Output>; 2] = Default::default();
        let mut now = portolan_core::Time::ZERO;
        let mut extra = extra.into_iter();
        for (number, (step, wait)) in steps.into_iter().enumerate() {
            let until = now + Duration::from_millis(wait);
            for _ in 0..2 {
                if let Some(at) = extra.next() {
                    let at = (now + Duration::from_millis(at)).min(until);
                    ticked.handle(at, Input::Tick);
                    drain(&mut ticked, &mut said[1]);
                }
            }
            now = until;
            let attempt = AttemptId(number as u64 + 1);
            let request = match step {
                Step::Ask(request) => Some(request),
                Step::Watch(keys, back) => {
                    let start = Revision((plain.revision().0 + 1 - back).max(1));
                    Some(Request::Watch(Watch::of(keys, start)))
                }
                Step::Compact(back) => {
                    let revision = Revision(plain.revision().0 - back);
                    Some(Request::Compact(Compact { revision, physical: false }))
                }
                Step::Wait(_) => None,
                Step::Restart => None,
            };
            let input = match request {
                Some(request) => Input::Request { from: ME, attempt, member: MemberId(0), request, pass: Pass::Nobody },
                None => Input::Fault(Fault::Restart),
            };
            plain.handle(now, input.clone());
            drain(&mut plain, &mut said[0]);
            ticked = ticked.clone();
            ticked.handle(now, input);
            drain(&mut ticked, &mut said[1]);
        }
        let [plain_said, ticked_said] = said;
        prop_assert_eq!(plain_said, ticked_said);
        prop_assert_eq!(plain, ticked);
    }

    /// Every call is answered once, every stream begins with "created", and nothing else is said.
    #[test]
    fn every_call_is_answered_once(steps in vec(step(), 1..60)) {
        let mut model = Model::new(config());
        let mut said = Vec::new();
        let mut streams = BTreeSet::new();
        let mut calls = BTreeSet::new();
        let mut now = portolan_core::Time::ZERO;
        for (number, step) in steps.into_iter().enumerate() {
            let attempt = AttemptId(number as u64 + 1);
            let request = match step {
                Step::Ask(request) => request,
                Step::Watch(keys, back) => {
                    streams.insert(attempt);
                    Request::Watch(Watch::of(keys, Revision(back)))
                }
                Step::Compact(back) => {
                    Request::Compact(Compact { revision: Revision(back), physical: false })
                }
                Step::Wait(millis) => {
                    now = now + Duration::from_millis(millis);
                    model.handle(now, Input::Tick);
                    drain(&mut model, &mut said);
                    continue;
                }
                Step::Restart => continue,
            };
            if !streams.contains(&attempt) {
                calls.insert(attempt);
            }
            model.handle(now, Input::Request { from: ME, attempt, member: MemberId(0), request, pass: Pass::Nobody });
            drain(&mut model, &mut said);
        }
        model.handle(now + Duration::from_secs(10), Input::Tick);
        drain(&mut model, &mut said);
        for output in said {
            if let Reply::Watch(reply) = output.reply {
                prop_assert!(!calls.contains(&output.attempt));
                prop_assert_eq!(reply.created, streams.remove(&output.attempt));
            } else {
                prop_assert!(calls.remove(&output.attempt), "{} answered twice", output.attempt);
            }
        }
        prop_assert!(calls.is_empty() && streams.is_empty(), "not answered: {calls:?} {streams:?}");
    }
}

fn drain(model: &mut Model, said: &mut Vec<Output>) {
    while let Some(output) = model.poll_output() {
        said.push(output);
    }
}
