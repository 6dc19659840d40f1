//! Rows against a raw client on the same private etcd.

use std::time::{Duration, Instant};

use etcd_client::{GetOptions, PutOptions, WatchOptions};
use portolan_benches::{GROUP, instance, record};
use tokio::task::JoinSet;

use super::{PREFIX, median, micros, millis, ratio, raw, registry, runtime, start};
use crate::Row;

pub fn all() -> Vec<Row> {
    runtime()
        .block_on(async { vec![propagation().await, first_sync().await, registrations().await] })
}

/// A put by a raw client until a watcher has it: a raw watch and a directory take turns.
async fn propagation() -> Row {
    const ROUNDS: u64 = 1_000;
    let etcd = start();
    let (mut writer, mut watcher) = (raw(&etcd).await, raw(&etcd).await);
    for number in 0..1_000 {
        let (key, value) = record(number, 1);
        writer.put(key, value, None).await.expect("it is put");
    }
    let options = WatchOptions::new().with_prefix();
    let mut watch = watcher.watch(PREFIX, Some(options)).await.expect("it is watched");
    let registry = registry(&etcd);
    let directory = registry.group(GROUP).expect("a name").directory();
    directory.wait_for(|snapshot| snapshot.len() == 1_000).await.expect("open");
    let (mut raw_times, mut our_times) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (key, value) = record(round % 1_000, round + 2);
        let started = Instant::now();
        let putting = writer.put(key, value, None);
        if round % 2 == 0 {
            let seeing = async {
                loop {
                    let message = watch.message().await.expect("open").expect("open");
                    if !message.events().is_empty() {
                        return started.elapsed();
                    }
                }
            };
            let (put, seen) = tokio::join!(putting, seeing);
            put.expect("it is put");
            raw_times.push(seen);
        } else {
            let before = directory.snapshot().revision();
            let seeing = async {
                directory.wait_for(|snapshot| snapshot.revision() > before).await.expect("open");
                started.elapsed()
            };
            let (put, seen) = tokio::join!(putting, seeing);
            put.expect("it is put");
            our_times.push(seen);
        }
        // The other side takes in this round's change before its own turn.
        tokio::time::sleep(Duration::from_micros(500)).await;
        if round % 2 == 1 {
            watch.message().await.expect("open");
        }
    }
    registry.shutdown().await;
    let (ours, theirs) = (median(our_times), median(raw_times));
    let measured = ratio(ours, theirs);
    Row {
        what: "put sent → seen in a directory, p50",
        against: "raw watch",
        aim: "≤ 1.15",
        measured: format!("{measured:.2} ({} / {})", micros(ours), micros(theirs)),
        met: Some(measured <= 1.15),
    }
}

async fn first_sync() -> Row {
    const RECORDS: u64 = 10_000;
    let etcd = start();
    let mut client = raw(&etcd).await;
    let mut puts = JoinSet::new();
    for number in 0..RECORDS {
        let mut client = client.clone();
        puts.spawn(async move {
            let (key, value) = record(number, 1);
            client.put(key, value, None).await.expect("it is put");
        });
        if puts.len() >= 256 {
            puts.join_next().await;
        }
    }
    puts.join_all().await;
    let (mut our_times, mut raw_times) = (Vec::new(), Vec::new());
    for _ in 0..11 {
        let started = Instant::now();
        let options = GetOptions::new().with_prefix();
        let reply = client.get(PREFIX, Some(options)).await.expect("it is read");
        assert_eq!(reply.kvs().len() as u64, RECORDS);
        raw_times.push(started.elapsed());

        let registry = registry(&etcd);
        registry.ready(Duration::from_secs(10)).await.expect("etcd is there");
        let started = Instant::now();
        let directory = registry.group(GROUP).expect("a name").directory();
        let snapshot = directory.ready().await.expect("open");
        our_times.push(started.elapsed());
        assert_eq!(snapshot.len() as u64, RECORDS);
        registry.shutdown().await;
    }
    let (ours, theirs) = (median(our_times), median(raw_times));
    let measured = ratio(ours, theirs);
    Row {
        what: "first sync of 10,000 records",
        against: "raw range",
        aim: "≤ 1.15",
        measured: format!("{measured:.2} ({} / {})", millis(ours), millis(theirs)),
        met: Some(measured <= 1.15),
    }
}

async fn registrations() -> Row {
    const COUNT: u64 = 10_000;
    let (mut our_times, mut raw_times, mut leases) = (Vec::new(), Vec::new(), 0);
    for _ in 0..3 {
        let etcd = start();
        let mut client = raw(&etcd).await;
        let started = Instant::now();
        let mut puts = JoinSet::new();
        let mut lease = 0;
        for number in 0..COUNT {
            if number % 1_000 == 0 {
                lease = client.lease_grant(15, None).await.expect("it is granted").id();
            }
            let mut client = client.clone();
            puts.spawn(async move {
                let (key, value) = record(number, 1);
                let options = PutOptions::new().with_lease(lease);
                client.put(key, value, Some(options)).await.expect("it is put");
            });
            // As many in flight as a pipelining client would have.
            if puts.len() >= 256 {
                puts.join_next().await;
            }
        }
        puts.join_all().await;
        raw_times.push(started.elapsed());
        drop(etcd);

        let etcd = start();
        let mut client = raw(&etcd).await;
        let registry = registry(&etcd);
        registry.ready(Duration::from_secs(10)).await.expect("etcd is there");
        let group = registry.group(GROUP).expect("a name");
        let started = Instant::now();
        let registrations: Vec<_> = (0..COUNT)
            .map(|number| group.register(instance(number)).expect("it can be registered"))
            .collect();
        for registration in &registrations {
            registration.ready().await.expect("it stands");
        }
        our_times.push(started.elapsed());
        leases = client.leases().await.expect("they are listed").leases().len();
        registry.abandon().await;
    }
    let (ours, theirs) = (median(our_times), median(raw_times));
    let measured = 1.0 / ratio(ours, theirs);
    Row {
        what: "10,000 registrations from one process, rate",
        against: "raw pipelined puts",
        aim: "≥ 0.8, and 10 leases",
        measured: format!("{measured:.2} ({} / {}), {leases} leases", millis(ours), millis(theirs)),
        met: Some(measured >= 0.8 && leases == 10),
    }
}
