//! Every row, on every store.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use portolan_kit::Release;

use super::cases::{self, Case};
use super::client::Client;
use super::releases;
use super::store::{Setup, Store, World};

/// Runs the cases that `wanted` names and fails with a line for each that failed: the row, the
/// store, and what was amiss.
fn run(world: World, wanted: impl Fn(&Case) -> bool) {
    let mut shared: Option<Box<dyn Store>> = None;
    let mut failures = Vec::new();
    let mut ran = 0;
    for (number, case) in cases::all().into_iter().enumerate().filter(|(_, case)| wanted(case)) {
        let mut own;
        let store = if case.setup == Setup::SHARED {
            shared.get_or_insert_with(|| world.store(Setup::SHARED))
        } else {
            own = world.store(case.setup);
            &mut own
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            (case.run)(&mut Client::new(&mut **store, number));
        }));
        ran += 1;
        if let Err(panic) = outcome {
            failures.push(format!(
                "{} ({}) on {}: {}",
                case.row(),
                case.name,
                store.name(),
                words(&*panic)
            ));
            // Whatever state it is in, the next case is not to suffer from it.
            shared = None;
        }
    }
    assert!(ran > 0, "no case was wanted");
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}

/// The cases of a chapter that need one server, or those that need a cluster.
fn chapter(letter: char, cluster: bool) -> impl Fn(&Case) -> bool {
    move |case| case.row().starts_with(letter) && (case.setup.members > 1) == cluster
}

/// A test for each chapter of a kind, each on a store of its own.
macro_rules! chapters {
    ($world:expr, $cluster:literal: $(fn $name:ident() is $letter:literal;)*) => {
        $(
            #[test]
            fn $name() {
                run($world, chapter($letter, $cluster));
            }
        )*
    };
}

/// The tests of one store, as far as it has one member.
macro_rules! alone {
    ($world:expr) => {
        chapters! {
            $world, false:
            fn revisions() is 'R';
            fn keys() is 'K';
            fn ranges() is 'G';
            fn transactions() is 'T';
            fn leases() is 'L';
            fn watches() is 'W';
            fn compaction() is 'C';
            fn limits() is 'E';
            fn users() is 'A';
        }
    };
}

/// The tests of one store, as far as it has several.
macro_rules! together {
    ($world:expr) => {
        chapters! {
            $world, true:
            fn members() is 'M';
            fn clusters_read_without_a_leader() is 'G';
            fn clusters_decide_without_a_leader() is 'T';
            fn clusters_keep_leases_without_a_leader() is 'L';
            fn clusters_watch_without_a_leader() is 'W';
        }
    };
}

/// The tests of one real release.
macro_rules! on_etcd {
    ($module:ident, $release:expr) => {
        mod $module {
            use super::*;

            const ETCD: World = World::Real($release);

            alone!(ETCD);

            together!(ETCD);

            #[test]
            fn differences_of_releases() {
                assert_eq!(releases::check(ETCD), Vec::<String>::new());
            }
        }
    };
}

on_etcd!(on_etcd_3_4, Release::V3_4);
on_etcd!(on_etcd_3_5, Release::V3_5);

/// Releases that are here beside the required ones: a late 3.5, and that of `PORTOLAN_ETCD`.
#[test]
fn on_every_other_etcd_that_is_here() {
    for release in Release::wanted() {
        if !Release::REQUIRED.contains(&release) {
            run(World::Real(release), |case| case.setup.members == 1);
            assert_eq!(releases::check(World::Real(release)), Vec::<String>::new());
        }
    }
}

/// The model as each release: those that the suite runs for real, one for each switch that none
/// of these has, and the newest.
#[test]
fn on_the_model() {
    for release in [Some("3.4.23"), Some("3.4.26"), Some("3.5.10"), Some("3.5.16"), None] {
        run(World::Model(release), |_| true);
        assert_eq!(releases::check(World::Model(release)), Vec::<String>::new());
    }
}

/// The model behind etcd's own gRPC, asked by the same client as real etcd is.
mod over_the_wire {
    use super::*;

    const WIRE: World = World::Wire(Some("3.5.16"));

    alone!(WIRE);
    together!(WIRE);
}

/// Every row of the page has a case or a reason why not, never both; and nothing else has.
#[test]
fn every_row_is_answered_for() {
    let page = include_str!("../../../docs/etcd.md");
    let rows: BTreeSet<String> = page.lines().filter_map(row_id).collect();
    assert!(rows.len() > 60, "the page has lost its rows: {rows:?}");
    let mut answers: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for case in cases::all() {
        answers.entry(case.row()).or_default().insert("a case");
    }
    for (row, _) in cases::WITHOUT {
        answers.entry((*row).to_owned()).or_default().insert("a reason");
    }
    for row in &rows {
        assert_eq!(answers.get(row).map_or(0, BTreeSet::len), 1, "{row}: {:?}", answers.get(row));
    }
    for row in answers.keys() {
        assert!(rows.contains(row), "{row} is not on the page");
    }
    let names: BTreeSet<_> = cases::all().iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases::all().len(), "two cases of one name");
    // What differs between releases is seen, or it is said why not.
    assert!(!releases::ROWS.is_empty() && !releases::UNSEEN.is_empty());
    assert!(releases::UNSEEN.iter().chain(cases::WITHOUT).all(|(_, why)| !why.is_empty()));
}

/// The id at the beginning of a table's line, if it is one.
fn row_id(line: &str) -> Option<String> {
    let id = line.strip_prefix("| ")?.split(' ').next()?;
    let (letter, number) = id.split_at_checked(1)?;
    let is_row = "RKGTLWCEMA".contains(letter) && number.parse::<u8>().is_ok();
    is_row.then(|| id.to_owned())
}
