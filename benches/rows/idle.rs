//! What a process costs that only keeps its registrations.

use std::process::{Child, Command, Stdio};

use super::start;
use crate::Row;

/// Two times to live.
const SECS: u64 = 30;

pub fn all() -> Vec<Row> {
    // Beside each other: each is measured by its own processor time.
    let (one, thousand) = (start(), start());
    let run = |etcd: &portolan_kit::Etcd, count: u64| {
        let arguments = [etcd.client_url(), count.to_string(), SECS.to_string()];
        let mut command = Command::new(env!("CARGO_BIN_EXE_idle"));
        command.args(arguments).stdout(Stdio::piped()).spawn().expect("the program starts")
    };
    let running = [
        ("an idle process with one registration", run(&one, 1)),
        ("the same with 1,000 registrations", run(&thousand, 1_000)),
    ];
    running.map(|(what, child)| row(what, child)).into()
}

fn row(what: &'static str, child: Child) -> Row {
    let output = child.wait_with_output().expect("the program ends");
    assert!(output.status.success(), "{}", output.status);
    let text = String::from_utf8(output.stdout).expect("text");
    let mut numbers = text.split_whitespace().map(|n| n.parse::<f64>().expect("a number"));
    let mut next = || numbers.next().expect("three numbers");
    let (resident, heap, micros) = (next() / MIB, next() / 1024.0, next());
    Row {
        what,
        against: "–",
        aim: "report",
        measured: format!(
            "{resident:.1} MiB resident, {heap:.0} KiB of it heap; {:.1} ms of processor time in \
             {SECS} s",
            micros / 1e3
        ),
        met: None,
    }
}

const MIB: f64 = 1_048_576.0;
