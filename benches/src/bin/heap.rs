//! Prints what a directory costs on the heap, counted by the allocator: bytes for each record, and
//! allocations for each pick. A program of its own, since counting slows everything down.

use std::io::Write;

use allocation_counter::measure;
use portolan::{Embedded, Registry};
use portolan_benches::{GROUP, Mirroring, instance};

const RECORDS: u64 = 100_000;

fn main() -> std::io::Result<()> {
    let mut held = None;
    let listed = measure(|| held = Some(Mirroring::of(RECORDS))).bytes_current;
    let mut mirroring = held.expect("it was made");
    // Every record changes once, in no order: what a directory looks like after a while.
    let change = measure(|| {
        for start in 0..RECORDS / 100 {
            let numbers = (0..100).map(|n| (start * 100 + n) * 7_919 % RECORDS);
            let batch = mirroring.batch(numbers);
            mirroring.apply(batch);
        }
    });
    let each = |bytes: i64| bytes.unsigned_abs() / RECORDS;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} {} {}",
        each(listed),
        each(listed + change.bytes_current),
        allocations_of_picks()
    )
}

/// How often 1,000 picks from a live directory allocate.
fn allocations_of_picks() -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let registry = Registry::builder().embedded(&Embedded::new()).build().expect("defaults");
        let group = registry.group(GROUP).expect("a name");
        let registrations: Vec<_> = (0..1_000)
            .map(|number| group.register(instance(number)).expect("it can be registered"))
            .collect();
        let directory = group.directory();
        directory.wait_for(|snapshot| snapshot.len() == 1_000).await.expect("open");
        let picks = measure(|| {
            for _ in 0..1_000 {
                assert!(directory.pick().is_some(), "every record is ready");
            }
        });
        drop(registrations);
        registry.abandon().await;
        picks.count_total
    })
}
