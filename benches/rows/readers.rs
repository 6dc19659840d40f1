//! A reader of a directory that sleeps, beside one that does not.

use std::process::Command;
use std::time::{Duration, Instant};

use portolan::Changes;
use portolan_benches::{GROUP, record};
use tokio::task::JoinHandle;

use super::{median, micros, ratio, raw, registry, runtime, start};
use crate::Row;

const RECORDS: u64 = 1_000;

pub fn all() -> Vec<Row> {
    vec![runtime().block_on(beside()), kept()]
}

/// A stream of changes until the fast reader has each; in every other block of them a slow one
/// looks on.
async fn beside() -> Row {
    const BLOCKS: u64 = 40;
    const CHANGES: u64 = 200;
    let etcd = start();
    let mut writer = raw(&etcd).await;
    for number in 0..RECORDS {
        let (key, value) = record(number, 1);
        writer.put(key, value, None).await.expect("it is put");
    }
    let registry = registry(&etcd);
    let directory = registry.group(GROUP).expect("a name").directory();
    directory.wait_for(|snapshot| snapshot.len() as u64 == RECORDS).await.expect("open");
    let mut fast = directory.changes();
    fast.next().await.expect("open");
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for block in 0..BLOCKS {
        let slow = (block % 2 == 1).then(|| sleeper(directory.changes()));
        for change in 0..CHANGES {
            let number = block * CHANGES + change;
            let (key, value) = record(number % RECORDS, number + 2);
            let started = Instant::now();
            let seeing = async {
                fast.next().await.expect("open");
                started.elapsed()
            };
            let (put, seen) = tokio::join!(writer.put(key, value, None), seeing);
            put.expect("it is put");
            if slow.is_some() { &mut beside } else { &mut alone }.push(seen);
        }
        if let Some(slow) = slow {
            slow.abort();
        }
    }
    registry.shutdown().await;
    let (with, without) = (median(beside), median(alone));
    let measured = ratio(with, without);
    Row {
        what: "put sent → read by a reader, one that sleeps beside it, p50",
        against: "the reader alone",
        aim: "≤ 1.1",
        measured: format!("{measured:.2} ({} / {})", micros(with), micros(without)),
        met: Some(measured <= 1.1),
    }
}

/// Reads now and then.
fn sleeper(mut changes: Changes) -> JoinHandle<()> {
    tokio::spawn(async move {
        while changes.next().await.is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

fn kept() -> Row {
    let etcd = start();
    let output = Command::new(env!("CARGO_BIN_EXE_kept")).arg(etcd.client_url()).output();
    let output = output.expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let mut numbers = text.split_whitespace().map(|n| n.parse::<f64>().expect("a number"));
    let mut next = || numbers.next().expect("two numbers") / 1024.0;
    let (once, ten_times) = (next(), next());
    Row {
        what: "kept for one that sleeps, each of 1,000 records changed once / ten times",
        against: "–",
        aim: "one copy of it all: ≤ 1.1 after ten times",
        measured: format!("{once:.0} KiB / {ten_times:.0} KiB"),
        met: Some(ten_times <= once * 1.1),
    }
}
