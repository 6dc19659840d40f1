//! Rows that need no etcd.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portolan::{Embedded, Registry};
use portolan_benches::{Mirroring, key_value, layout};
use portolan_core::engine::{Content, Record};
use portolan_core::layout::Decoded;
use portolan_core::rng::{Rng, hash};
use portolan_core::time::Time;
use portolan_core::waist::{AttemptId, Key, KeyValue, MemberId, Put, Reply, Request, Value};
use portolan_memory::{ClientId, Config, Input, Model, Pass};

use super::{median, micros, ratio, time};
use crate::Row;

pub fn all() -> Vec<Row> {
    let mut rows: Vec<_> = [100, 10_000, 1_000_000].into_iter().map(events).collect();
    rows.push(own_share());
    rows.push(pick());
    rows.extend(heap());
    rows.push(model());
    rows
}

const BATCH: u64 = 100;
const ROUNDS: usize = 7;

/// What a bare map would keep, made from the same bytes by the same decoder.
fn decode(kv: KeyValue) -> (Key, Arc<Record>) {
    let Decoded::Instance(instance) = layout().decode(&kv.key, &kv.value) else {
        panic!("a good record");
    };
    let record = Record {
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        lease: kv.lease,
        value_hash: hash(&kv.value),
        content: Content::Instance(instance),
    };
    (kv.key, Arc::new(record))
}

fn events(records: u64) -> Row {
    let batches = (200_000 / BATCH).min(records * 20 / BATCH).max(100);
    let mut ours = Mirroring::of(records);
    let mut theirs: BTreeMap<Key, Arc<Record>> =
        (0..records).map(|number| decode(key_value(number, 1, 2))).collect();
    let mut rng = Rng::new(1);
    let mut samples = Vec::new();
    for _ in 0..ROUNDS {
        let (mut our_time, mut their_time) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..batches / ROUNDS as u64 {
            let batch =
                ours.batch((0..BATCH).map(|_| rng.below(records)).collect::<Vec<_>>().into_iter());
            let Reply::Watch(message) = batch.clone() else { panic!("a watch answer") };
            our_time += time(|| {
                ours.apply(batch);
                ours.snapshot().records.len()
            });
            their_time += time(|| {
                for event in message.events {
                    let (key, record) = decode(event.kv);
                    theirs.insert(key, record);
                }
                theirs.len()
            });
        }
        samples.push((our_time.as_nanos() * 1_000 / their_time.as_nanos().max(1)) as u64);
    }
    let measured = median(samples) as f64 / 1e3;
    let what = match records {
        100 => "events applied in batches of 100, a snapshot read between, at 100 records",
        10_000 => "the same at 10,000 records",
        _ => "the same at 1,000,000 records",
    };
    Row {
        what,
        against: "bare `BTreeMap`, same bytes decoded",
        aim: "≤ 2.5×",
        measured: format!("{measured:.2}×"),
        met: Some(measured <= 2.5),
    }
}

fn own_share() -> Row {
    let mut directory = Mirroring::of(1_000);
    let mut rng = Rng::new(2);
    let samples = (0..5_000).map(|_| {
        let one = directory.batch([rng.below(1_000)].into_iter());
        time(|| {
            directory.apply(one);
            directory.snapshot().revision
        })
    });
    let measured = median(samples.collect());
    Row {
        what: "own share: event decoded → snapshot readable, 1,000 records, p50",
        against: "–",
        aim: "≤ 50 µs",
        measured: micros(measured),
        met: Some(measured <= Duration::from_micros(50)),
    }
}

fn pick() -> Row {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let nanos = runtime.block_on(async {
        let registry = Registry::builder().embedded(&Embedded::new()).build().expect("defaults");
        let group = registry.group(portolan_benches::GROUP).expect("a name");
        let registrations: Vec<_> = (0..1_000)
            .map(|n| group.register(portolan_benches::instance(n)).expect("it can be registered"))
            .collect();
        let directory = group.directory();
        directory.wait_for(|snapshot| snapshot.len() == 1_000).await.expect("open");
        const PICKS: u32 = 1_000_000;
        let samples = (0..ROUNDS).map(|_| {
            let started = Instant::now();
            for _ in 0..PICKS {
                std::hint::black_box(directory.pick());
            }
            started.elapsed().as_nanos() / u128::from(PICKS)
        });
        let nanos = median(samples.collect());
        drop(registrations);
        registry.shutdown().await;
        nanos
    });
    Row {
        what: "snapshot read and round-robin pick, 1,000 records",
        against: "–",
        aim: "≤ 50 ns",
        measured: format!("{nanos} ns"),
        met: Some(nanos <= 50),
    }
}

fn heap() -> Vec<Row> {
    let output = Command::new(env!("CARGO_BIN_EXE_heap")).output().expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut numbers = text.split_whitespace().map(|n| n.parse::<u64>().expect("a number"));
    let mut next = || numbers.next().expect("three numbers");
    let (listed, changed, picks) = (next(), next(), next());
    vec![
        Row {
            what: "heap per record, listed / after each changed once",
            against: "–",
            aim: "≤ 320 B",
            measured: format!("{listed} B / {changed} B"),
            met: Some(listed.max(changed) <= 320),
        },
        Row {
            what: "allocations in 1,000 picks",
            against: "–",
            aim: "0",
            measured: picks.to_string(),
            met: Some(picks == 0),
        },
    ]
}

fn model() -> Row {
    const PUTS: u64 = 200_000;
    let keys: Vec<Key> =
        (0..PUTS).map(|n| format!("/bench/{:07}", n * 7_919 % PUTS).into()).collect();
    let value = Value::from("x".repeat(200));
    let mut rates = Vec::new();
    let mut samples = Vec::new();
    for _ in 0..3 {
        let mut model = Model::new(Config { keep_log: false, ..Config::default() });
        let ours = time(|| {
            for (attempt, key) in (1..).zip(&keys) {
                let put = Put { key: key.clone(), value: value.clone(), ..Put::default() };
                model.handle(
                    Time::ZERO,
                    Input::Request {
                        from: ClientId(1),
                        attempt: AttemptId(attempt),
                        member: MemberId(0),
                        request: Request::Put(put),
                        pass: Pass::Nobody,
                    },
                );
                assert!(model.poll_output().is_some(), "every put is answered");
            }
        });
        let mut map = BTreeMap::new();
        let theirs = time(|| {
            for key in &keys {
                map.insert(key.clone(), value.clone());
            }
            map.len()
        });
        rates.push((u128::from(PUTS) * 1_000_000_000 / ours.as_nanos().max(1)) as u64);
        samples.push((ratio(ours, theirs) * 1e3) as u64);
    }
    Row {
        what: "model store, puts/s",
        against: "bare `BTreeMap` insert",
        aim: "report",
        measured: format!("{} /s, {:.1}×", median(rates), median(samples) as f64 / 1e3),
        met: None,
    }
}
