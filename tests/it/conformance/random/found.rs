//! That a difference is found, shrunk and printed: shown on models that are wrong on purpose, each
//! held against the right one. Needs no etcd.

use portolan_memory::{Config, Quirks};

use super::compare;
use super::draw::Step;
use super::pair::{Pair, Start};
use crate::conformance::model::ModelStore;
use crate::conformance::store::{Setup, Store};

fn beside(quirks: Quirks) -> [Box<dyn Store>; 2] {
    let wrong = ModelStore::with(Config { quirks, ..Config::default() });
    [Box::new(ModelStore::new(None, Setup::FRESH)), Box::new(wrong)]
}

/// What a run says that has to find a difference, without the line on how to repeat it.
fn found(start: Start) -> Vec<String> {
    let text = compare("a wrong one", start, 0, 20_000).err().expect("they differ");
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let last = lines.pop().expect("it has lines");
    assert_eq!(
        last, "repeat with PORTOLAN_CONFORMANCE_SEED=0 PORTOLAN_CONFORMANCE_OPS=20000",
        "{text}"
    );
    lines
}

/// The steps that are left after shrinking, each by its first word.
fn steps(lines: &[String]) -> Vec<&str> {
    let steps = lines.split(|line| line == "after").nth(1).expect("it says after what");
    steps.iter().map(|step| step.split('(').next().unwrap_or_default()).collect()
}

#[test]
fn in_an_answer() {
    let lines = found(|| beside(Quirks { puts_checked_first: true, ..Quirks::default() }));
    assert!(lines[0].starts_with("the model and a wrong one differ at step 0, Txn("), "{lines:#?}");
    assert!(lines[1].starts_with("Txn("), "what was asked: {lines:#?}");
    assert_eq!(lines[2], "model: Failed(Compacted)");
    assert_eq!(lines[3], "etcd:  Failed(LeaseNotFound)");
    assert_eq!(steps(&lines), ["Txn"]);
}

/// Also when it is the very last thing that comes, and the model says nothing there.
#[test]
fn in_what_a_watch_is_told() {
    let lines = found(|| beside(Quirks { progress_before_start: true, ..Quirks::default() }));
    assert_eq!(
        lines[..3],
        ["the model and a wrong one differ at the end:", "watch -1", "model: None"]
    );
    assert!(lines.iter().any(|line| line.starts_with("etcd:  Some(")), "{lines:#?}");
    assert_eq!(steps(&lines), ["Open", "Progress"]);
}

#[test]
fn nowhere_if_there_is_none() {
    let pair = compare("its like", || beside(Quirks::default()), 0, 20_000);
    let pair = pair.unwrap_or_else(|text| panic!("{text}"));
    assert!(pair.steps >= 20_000);
}

#[test]
fn what_finds_nothing_to_do_is_no_step() {
    let mut pair = Pair::new(|| beside(Quirks::default()));
    let idle = [Step::Cancel(0, 7), Step::Progress(1), Step::Close(0)];
    assert!(pair.case(&idle).is_ok());
    assert_eq!(pair.steps, 0);
    assert!(pair.case(&[Step::Close(0), Step::Status, Step::Leases]).is_ok());
    assert_eq!(pair.steps, 2);
}
