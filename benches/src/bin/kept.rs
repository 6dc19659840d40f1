//! Prints what is kept for a reader of a directory that does not read, in bytes: after each of 1,000
//! records has changed once, and after ten times. `kept URL`, an empty etcd.

use std::io::{Error, Write};

use allocation_counter::measure;
use etcd_client::{Client, Txn, TxnOp};
use portolan::{Directory, Registry};
use portolan_benches::{GROUP, record};

const RECORDS: u64 = 1_000;

fn main() -> std::io::Result<()> {
    let url = std::env::args().nth(1).ok_or_else(|| Error::other("kept URL"))?;
    // One thread, so that the allocator's count is that of all there is.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (once, ten_times) = runtime.block_on(async {
        let client = Client::connect([&url], None).await.map_err(Error::other)?;
        let registry = Registry::builder().endpoints([&url]).build().map_err(Error::other)?;
        let directory = registry.group(GROUP).map_err(Error::other)?.directory();
        change(&client, &directory, 1).await?;
        let kept =
            (kept(&client, &directory, 2..=2).await?, kept(&client, &directory, 3..=12).await?);
        registry.abandon().await;
        Ok::<_, Error>(kept)
    })?;
    writeln!(std::io::stdout(), "{once} {ten_times}")
}

/// What is given back when a reader goes that has seen what was there before, and nothing since.
async fn kept(
    client: &Client,
    directory: &Directory,
    sequences: std::ops::RangeInclusive<u64>,
) -> std::io::Result<i64> {
    let mut slow = directory.changes();
    let first = slow.next().await.map(|difference| difference.changes.len());
    assert_eq!(first, Some(1_000), "it has seen what there is");
    for sequence in sequences {
        change(client, directory, sequence).await?;
    }
    Ok(-measure(|| drop(slow)).bytes_current)
}

/// Changes every record, and waits until the directory has it.
async fn change(client: &Client, directory: &Directory, sequence: u64) -> std::io::Result<()> {
    let numbers: Vec<_> = (0..RECORDS).collect();
    let mut client = client.clone();
    for some in numbers.chunks(100) {
        let puts = some.iter().map(|&number| {
            let (key, value) = record(number, sequence);
            TxnOp::put(key, value, None)
        });
        let txn = Txn::new().and_then(puts.collect::<Vec<_>>());
        let answer = client.txn(txn).await.map_err(Error::other)?;
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        let there = directory.wait_for(|snapshot| snapshot.revision().0 >= revision).await;
        there.map_err(Error::other)?;
    }
    Ok(())
}
