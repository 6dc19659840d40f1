//! Who may depend on whom.

use std::collections::BTreeSet;

use super::{
    assert_none,
    metadata::{self, Graph, Package},
};

/// Each package of the workspace and the packages of the workspace that it may be built with. A new
/// package needs a line here: that is the moment to think about its arrows.
const MAY_USE: &[(&str, &[&str])] = &[
    ("portolan-core", &[]),
    ("portolan-memory", &["portolan-core"]),
    ("portolan-etcd", &["portolan-core"]),
    ("portolan-wire", &["portolan-core", "portolan-memory"]),
    ("portolan", &["portolan-core", "portolan-memory", "portolan-etcd", "portolan-wire"]),
    ("portolan-sim", &["portolan-core", "portolan-memory"]),
    ("portolan-cli", &["portolan", "portolan-wire", "portolan-sim"]),
    ("portolan-playground", &["portolan-core", "portolan-memory", "portolan-sim"]),
    ("portolan-bindgen", &[]),
    ("portolan-kit", &[]),
    (
        "portolan-benches",
        &[
            "portolan",
            "portolan-core",
            "portolan-memory",
            "portolan-etcd",
            "portolan-wire",
            "portolan-sim",
        ],
    ),
];

/// What the fuzz workspace may use of ours: all that takes what others give.
const FUZZ_MAY_USE: &[&str] = &[
    "portolan-cli",
    "portolan-core",
    "portolan-memory",
    "portolan-playground",
    "portolan-sim",
    "portolan-wire",
];

/// Crates that serve tests and measurements; nothing is built with them.
const DEVELOPMENT: &[&str] = &["portolan-kit", "portolan-benches"];

/// Whose tests may use those: what speaks to a real etcd is tested on one, beside its code. They
/// know nothing of ours, so no circle arises.
const TESTED_ON_ETCD: &[&str] = &["portolan", "portolan-etcd", "portolan-wire", "portolan-cli"];

/// All that core names, for its tests aside.
const CORE_USES: &[&str] = &["bytes", "semver", "serde", "serde_json", "thiserror"];

/// Machines without clock, entropy, socket or thread: they run in a browser and in the simulator.
const PURE: &[&str] = &["portolan-core", "portolan-memory", "portolan-sim", "portolan-playground"];

/// What no pure crate reaches, however far away.
const IMPURE: &[&str] = &[
    "async-std",
    "chrono",
    "etcd-client",
    "fastrand",
    "futures-executor",
    "getrandom",
    "h2",
    "hyper",
    "log",
    "mio",
    "prost",
    "rand",
    "rand_core",
    "rustls",
    "smol",
    "socket2",
    "time",
    "tokio",
    "tonic",
    "tower",
    "tracing",
];

#[test]
fn every_arrow_is_allowed() {
    assert_none(&forbidden_arrows(metadata::graph()));
}

#[test]
fn core_names_its_list_only() {
    assert_none(&extra_in_core(metadata::graph()));
}

#[test]
fn pure_crates_reach_nothing_impure() {
    assert_none(&impure(metadata::graph()));
}

#[test]
fn fuzz_uses_the_crates_it_may() {
    let Some(fuzz) = metadata::fuzz() else { return };
    assert_none(&forbidden_in_fuzz(&fuzz));
}

fn forbidden_arrows(graph: &Graph) -> Vec<String> {
    let ours: BTreeSet<&str> = graph.members().map(|(name, _)| name.as_str()).collect();
    let mut violations = Vec::new();
    for (name, package) in graph.members() {
        let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| known == name) else {
            violations.push(format!("{name} has no line in the table of arrows"));
            continue;
        };
        for used in package.uses.iter().map(String::as_str).filter(|used| ours.contains(used)) {
            if !allowed.contains(&used) {
                violations.push(format!("{name} uses {used}"));
            }
        }
        let tested_on_etcd = TESTED_ON_ETCD.iter().chain(DEVELOPMENT).any(|known| known == name);
        for used in package.tests_use.iter().map(String::as_str) {
            if DEVELOPMENT.contains(&used) && !tested_on_etcd {
                violations.push(format!("the tests of {name} use {used}"));
            }
        }
    }
    violations
}

fn extra_in_core(graph: &Graph) -> Vec<String> {
    let core = &graph.packages["portolan-core"];
    let extra = core.uses.iter().filter(|used| !CORE_USES.contains(&used.as_str()));
    extra.map(|used| format!("portolan-core uses {used}")).collect()
}

fn impure(graph: &Graph) -> Vec<String> {
    let mut violations = Vec::new();
    for name in PURE {
        for reached in graph.reach(name) {
            if IMPURE.contains(&reached) {
                violations.push(format!("{name} reaches {reached}"));
            }
        }
    }
    violations
}

fn forbidden_in_fuzz(metadata: &serde_json::Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().expect("cargo metadata lists packages");
    let mut violations = Vec::new();
    for dependency in packages.iter().flat_map(|package| package["dependencies"].as_array()) {
        let names = dependency.iter().filter_map(|dependency| dependency["name"].as_str());
        violations.extend(
            names
                .filter(|name| name.starts_with("portolan") && !FUZZ_MAY_USE.contains(name))
                .map(|name| format!("fuzz uses {name}")),
        );
    }
    violations
}

/// A workspace by hand: each package with what it uses and what its tests use.
fn made(packages: &[(&str, &[&str], &[&str])]) -> Graph {
    let mut graph = Graph::default();
    for (name, uses, tests_use) in packages {
        let package = Package {
            is_member: name.starts_with("portolan"),
            uses: uses.iter().map(ToString::to_string).collect(),
            tests_use: tests_use.iter().map(ToString::to_string).collect(),
            ..Package::default()
        };
        graph.packages.insert((*name).to_owned(), package);
    }
    graph
}

#[test]
fn forbidden_arrows_are_found() {
    let graph = made(&[
        ("portolan", &["portolan-core", "portolan-sim"], &["portolan-kit", "portolan-sim"]),
        ("portolan-core", &["serde", "portolan-memory"], &["portolan-kit"]),
        ("portolan-kit", &["tempfile"], &[]),
        ("portolan-memory", &["portolan-core", "portolan-kit"], &[]),
        ("portolan-new", &[], &[]),
        ("portolan-sim", &["portolan-memory"], &[]),
    ]);
    assert_eq!(
        forbidden_arrows(&graph),
        [
            "portolan uses portolan-sim",
            "portolan-core uses portolan-memory",
            "the tests of portolan-core use portolan-kit",
            "portolan-memory uses portolan-kit",
            "portolan-new has no line in the table of arrows",
        ]
    );
}

#[test]
fn foreign_crates_in_core_are_found() {
    let graph = made(&[("portolan-core", &["serde", "bytes", "rand"], &["proptest"])]);
    assert_eq!(extra_in_core(&graph), ["portolan-core uses rand"]);
}

#[test]
fn impure_crates_are_found_far_away() {
    let graph = made(&[
        ("portolan-sim", &["portolan-memory"], &[]),
        ("portolan-memory", &["nice"], &["rand"]),
        ("nice", &["tokio"], &[]),
        ("tokio", &["mio"], &[]),
    ]);
    assert_eq!(
        impure(&graph),
        [
            "portolan-memory reaches mio",
            "portolan-memory reaches tokio",
            "portolan-sim reaches mio",
            "portolan-sim reaches tokio",
        ]
    );
}

#[test]
fn forbidden_crates_in_fuzz_are_found() {
    let metadata = serde_json::json!({"packages": [{"dependencies": [
        {"name": "portolan-core"}, {"name": "portolan"}, {"name": "arbitrary"},
    ]}]});
    assert_eq!(forbidden_in_fuzz(&metadata), ["fuzz uses portolan"]);
}
