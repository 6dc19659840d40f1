//! Prints what a directory costs on the heap, counted by the allocator: bytes for each record, and
//! allocations for each pick. A program of its own, since counting slows everything down.

use std::io::Write;

use allocation_counter::measure;
use portolan_benches::Mirroring;
use portolan_core::instance::State;
use portolan_core::picker::RoundRobin;

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
    let snapshot = mirroring.snapshot();
    let mut picker = RoundRobin::default();
    let picks = measure(|| {
        for _ in 0..1_000 {
            let pick = picker.pick(&snapshot.records, |record| {
                record.instance().is_some_and(|instance| instance.state() == State::Ready)
            });
            assert!(pick.is_some(), "every record is ready");
        }
    });
    let each = |bytes: i64| bytes.unsigned_abs() / RECORDS;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} {} {}", each(listed), each(listed + change.bytes_current), picks.count_total)
}
