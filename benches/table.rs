//! `make bench`: one table. Each row is a ratio against a peer in the same run, or a figure of its
//! own where there is no peer; medians of several rounds, the two sides taking turns.

mod rows;

use std::io::Write;

/// One row: what, against what, the aim, and what was measured.
struct Row {
    what: &'static str,
    against: &'static str,
    aim: &'static str,
    measured: String,
    met: Option<bool>,
}

fn main() -> std::io::Result<()> {
    // `cargo test --benches` runs it with this, to see that it starts.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "| row | against | aim | measured | met |\n|---|---|---|---|---|")?;
    let mut print = |row: &Row| {
        let met = match row.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        let Row { what, against, aim, measured, .. } = row;
        writeln!(out, "| {what} | {against} | {aim} | {measured} | {met} |")
    };
    for row in rows::pure::all().iter().chain(&rows::etcd::all()) {
        print(row)?;
    }
    Ok(())
}
