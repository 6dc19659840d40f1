//! Prints what a directory costs on the heap, counted by the allocator: bytes for each record, and
//! allocations for each pick. A program of its own, since counting slows everything down.

use std::io::Write;

use portolan_benches::Mirroring;
use portolan_core::instance::State;
use portolan_core::picker::RoundRobin;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const RECORDS: u64 = 100_000;

fn main() -> std::io::Result<()> {
    let profiler = dhat::Profiler::builder().testing().build();
    let before = dhat::HeapStats::get().curr_bytes;
    let mut mirroring = Mirroring::of(RECORDS);
    let listed = dhat::HeapStats::get().curr_bytes;
    // Every record changes once, in no order: what a directory looks like after a while.
    for start in 0..RECORDS / 100 {
        let numbers = (0..100).map(|n| (start * 100 + n) * 7_919 % RECORDS);
        let batch = mirroring.batch(numbers);
        mirroring.apply(batch);
    }
    let changed = dhat::HeapStats::get().curr_bytes;
    let snapshot = mirroring.snapshot();
    let mut picker = RoundRobin::default();
    let blocks = dhat::HeapStats::get().total_blocks;
    for _ in 0..1_000 {
        let pick = picker.pick(&snapshot.records, |record| {
            record.instance().is_some_and(|instance| instance.state() == State::Ready)
        });
        assert!(pick.is_some(), "every record is ready");
    }
    let picks = dhat::HeapStats::get().total_blocks - blocks;
    let each = |bytes: usize| (bytes - before) as u64 / RECORDS;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} {} {picks}", each(listed), each(changed))?;
    drop(profiler);
    Ok(())
}
