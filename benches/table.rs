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
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs it with this, to see that it starts.
    if arguments.iter().any(|argument| argument == "--test") {
        return Ok(());
    }
    // `cargo bench .. -- faults idle` measures these subjects alone; `--bench` is cargo's.
    let named = |subject: &str| arguments.iter().any(|argument| argument == subject);
    let all = arguments.iter().all(|argument| argument.starts_with('-'));
    let mut out = std::io::stdout().lock();
    writeln!(out, "| row | against | aim | measured | met |\n|---|---|---|---|---|")?;
    for (_, rows) in rows::SUBJECTS.into_iter().filter(|(subject, _)| all || named(subject)) {
        for Row { what, against, aim, measured, met } in rows() {
            let met = match met {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "–",
            };
            writeln!(out, "| {what} | {against} | {aim} | {measured} | {met} |")?;
        }
    }
    Ok(())
}
