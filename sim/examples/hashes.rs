//! Prints the trace's hash of drawn plans, a seed a line: `hashes [FROM [COUNT]]`.
//!
//! `.ci/test.sh wasm` compares what this prints on the machine with what it prints in a WebAssembly
//! engine.
#![expect(clippy::disallowed_methods, reason = "the harness takes its seeds from the command line")]

use std::io::Write;

use portolan_sim::{Mix, Plan, Runner};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().map_err(|_| text));
    let mut number = |otherwise: u64| match arguments.next().unwrap_or(Ok(otherwise)) {
        Ok(number) => Ok(number),
        Err(text) => Err(std::io::Error::other(format!("{text:?} is no number"))),
    };
    let (from, count) = (number(0)?, number(20)?);
    let mut out = std::io::stdout().lock();
    for seed in (from..).take(usize::try_from(count).unwrap_or(usize::MAX)) {
        let mut runner = Runner::new(&Plan::draw(seed, &Mix::default()), false);
        runner.finish();
        writeln!(out, "seed {seed}: {} entries, {}", runner.entries(), runner.hash())?;
    }
    Ok(())
}
