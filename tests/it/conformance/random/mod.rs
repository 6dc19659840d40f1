//! Drawn sequences of requests, put to the model and to another store side by side, which is real
//! etcd or the wire server: every answer and every event is compared. `mask` lists all that may
//! differ. A difference is shrunk to the shortest sequence that still shows it, and printed.
//!
//! The run is the same every time; `PORTOLAN_CONFORMANCE_SEED` draws another one, and
//! `PORTOLAN_CONFORMANCE_OPS` makes it longer (`make conformance-long`).
#![expect(clippy::print_stderr, reason = "a long run says what it did")]
#![expect(clippy::wildcard_enum_match_arm, reason = "it compares few of many kinds of step")]

mod draw;
mod found;
mod mask;
mod pair;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::env;

use portolan_kit::Release;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::model::{self, ModelStore};
use super::real::RealStore;
use super::store::{Setup, Store};
use pair::{Difference, Pair, Start};

#[test]
fn on_etcd_3_4() {
    run("etcd 3.4", || beside(Release::V3_4), 4_000);
}

#[test]
fn on_etcd_3_5() {
    run("etcd 3.5", || beside(Release::V3_5), 20_000);
}

/// What of it is lost or changed on the way into etcd's words and back shows here: the model behind
/// them is the same.
#[test]
fn over_the_wire() {
    let beside = || -> [Box<dyn Store>; 2] {
        let model = ModelStore::new(None, Setup::FRESH);
        let wire = RealStore::over_wire(model::config(None, Setup::FRESH), Setup::FRESH);
        [Box::new(model), Box::new(wire)]
    };
    run("the wire server", beside, 4_000);
}

/// Real etcd, and the model as that release behaves.
fn beside(release: Release) -> [Box<dyn Store>; 2] {
    let etcd = RealStore::start(release, Setup::FRESH);
    let model = ModelStore::new(Some(etcd.release()), Setup::FRESH);
    [Box::new(model), Box::new(etcd)]
}

/// Takes `steps` steps, or as many as the environment says, on the model and on the other store.
fn run(other: &str, start: Start, steps: u64) {
    let seed = setting("PORTOLAN_CONFORMANCE_SEED").unwrap_or(0);
    let steps = setting("PORTOLAN_CONFORMANCE_OPS").unwrap_or(steps);
    let pair = compare(other, start, seed, steps).unwrap_or_else(|text| panic!("{text}"));
    let table: Vec<_> =
        pair.seen.iter().map(|(what, times)| format!("{times:>8} {what}")).collect();
    eprintln!("{} steps on {other}, seed {seed}\n{}", pair.steps, table.join("\n"));
    assert_all_happened(&pair.seen);
}

/// As [`run`], to the first difference. The error is for the reader.
fn compare(other: &str, start: Start, seed: u64, steps: u64) -> Result<Pair, String> {
    let strategy = draw::steps(CASE);
    let pair = RefCell::new(Pair::new(start));
    let case = |drawn: Vec<draw::Step>| {
        let outcome = pair.borrow_mut().case(&drawn);
        outcome.map_err(|Difference(what)| {
            // Each attempt to shrink it may start an etcd: let the reader see what goes on.
            let where_to = what.lines().next().unwrap_or_default();
            eprintln!("a difference in {} steps {where_to}", drawn.len());
            TestCaseError::fail(what)
        })
    };
    for batch in 0.. {
        if pair.borrow().steps >= steps {
            break;
        }
        match runner(seed, batch).run(&strategy, case) {
            Ok(()) => {}
            Err(TestError::Fail(what, drawn)) => {
                let drawn: Vec<_> = drawn.iter().map(|step| format!("{step:?}")).collect();
                return Err(format!(
                    "the model and {other} differ {what}\nafter\n{}\nrepeat with \
                     PORTOLAN_CONFORMANCE_SEED={seed} PORTOLAN_CONFORMANCE_OPS={steps}",
                    drawn.join("\n")
                ));
            }
            Err(TestError::Abort(why)) => return Err(why.to_string()),
        }
    }
    Ok(pair.into_inner())
}

/// A run in which one of these never came up has proven less than it seems.
fn assert_all_happened(seen: &BTreeMap<String, u64>) {
    let missing: Vec<_> = MUST.iter().filter(|what| !seen.contains_key(**what)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}

/// A runner for a batch of cases: it is good for so many and no more.
fn runner(seed: u64, batch: u64) -> TestRunner {
    let config =
        Config { cases: 10, max_shrink_iters: 400, failure_persistence: None, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&batch.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

fn setting(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is not a number")))
}

/// How many steps a case has at most.
const CASE: usize = 60;

const MUST: &[&str] = &[
    "put",
    "range",
    "range, cut",
    "delete",
    "delete of nothing",
    "transaction, compares held",
    "transaction, compares did not hold",
    "compaction",
    "grant",
    "revoke",
    "renewal",
    "renewal of nothing",
    "time to live",
    "time to live of nothing",
    "leases",
    "status",
    "watch created",
    "watch refused",
    "watch cancelled",
    "watch compacted away",
    "watch progress",
    "watch event",
    "watch events, several",
    "etcdserver: key is not provided",
    "etcdserver: key not found",
    "etcdserver: value is provided",
    "etcdserver: lease is provided",
    "etcdserver: duplicate key given in txn request",
    "etcdserver: mvcc: required revision has been compacted",
    "etcdserver: mvcc: required revision is a future revision",
    "etcdserver: requested lease not found",
    "etcdserver: lease already exists",
    "etcdserver: too large lease TTL",
];
