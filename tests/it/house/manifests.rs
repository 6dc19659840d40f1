//! What each package says of itself.

use super::{
    assert_none,
    metadata::{self, Package},
    read, root,
};

/// Keys that every package takes from the workspace, so that they agree.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "repository"];

/// Packages that a plain build leaves out, as they need a browser, a nightly or a special cfg.
const SPECIAL: &[&str] = &["portolan-playground", "portolan-bindgen", "portolan-madsim"];

/// Development only: never published.
const UNPUBLISHED: &[&str] = &[
    "portolan-kit",
    "portolan-benches",
    "portolan-madsim",
    "portolan-playground",
    "portolan-bindgen",
];

/// The folders and files that may stand at the top, dot-files aside.
const TOP_LEVEL: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "backends",
    "benches",
    "cli",
    "core",
    "deny.toml",
    "docs",
    "examples",
    "fuzz",
    "playground",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "sim",
    "src",
    "tests",
];

#[test]
fn packages_inherit_what_they_share() {
    let mut violations = Vec::new();
    for (name, package) in metadata::graph().members() {
        let manifest = read(&package.manifest);
        violations.extend(not_inherited(name, &manifest));
    }
    assert_none(&violations);
}

#[test]
fn packages_are_published_and_built_as_they_should() {
    let members = metadata::graph().members();
    let violations: Vec<_> = members.flat_map(|(name, package)| misplaced(name, package)).collect();
    assert_none(&violations);
}

/// The lists that packages inherit, or copy, are what they are meant to be.
#[test]
fn the_lints_are_all_there() {
    let manifest = read("Cargo.toml");
    let lints = [
        "unsafe_code = \"forbid\"",
        "missing_docs = \"warn\"",
        "all = { level = \"warn\", priority = -1 }",
        "unwrap_used = \"warn\"",
        "print_stdout = \"warn\"",
        "wildcard_enum_match_arm = \"warn\"",
    ];
    for lint in lints {
        assert!(manifest.lines().any(|line| line == lint), "Cargo.toml lacks {lint}");
    }
    let list = read("core/clippy.toml");
    let banned = [
        "std::collections::HashMap",
        "std::collections::HashSet",
        "std::time::Instant",
        "std::time::SystemTime",
    ];
    for item in banned {
        assert!(list.contains(item), "core/clippy.toml lacks {item}");
    }
}

#[test]
fn the_lists_against_clocks_and_chance_are_one() {
    let core = read("core/clippy.toml");
    for copy in ["backends/memory/clippy.toml", "sim/clippy.toml"] {
        assert_eq!(read(copy), core, "{copy} differs from core/clippy.toml");
    }
}

/// Clippy reads the list of a package, or of a folder above it: one at the top would hold for the
/// library too, which has a clock.
#[test]
fn the_library_has_no_list_against_clocks() {
    for path in ["clippy.toml", ".clippy.toml", "backends/clippy.toml", "backends/.clippy.toml"] {
        assert!(!root().join(path).exists(), "{path} holds for more than the pure crates");
    }
}

#[test]
fn nothing_else_stands_at_the_top() {
    let entries = std::fs::read_dir(root()).expect("the workspace can be listed");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    assert_none(&strangers(&names));
}

fn not_inherited(name: &str, manifest: &str) -> Vec<String> {
    let has = |wanted: &str| manifest.lines().any(|line| line.trim() == wanted);
    let mut violations: Vec<_> = INHERITED
        .iter()
        .filter(|key| !has(&format!("{key}.workspace = true")))
        .map(|key| format!("{name} does not inherit {key}"))
        .collect();
    if !manifest.contains("\n[lints]\nworkspace = true\n") {
        violations.push(format!("{name} does not inherit the lints"));
    }
    violations
}

fn misplaced(name: &str, package: &Package) -> Vec<String> {
    let mut violations = Vec::new();
    if package.is_published == UNPUBLISHED.contains(&name) {
        let not = if package.is_published { "is" } else { "is not" };
        violations.push(format!("{name} {not} published"));
    }
    if package.is_default == SPECIAL.contains(&name) {
        let not = if package.is_default { "is" } else { "is not" };
        violations.push(format!("{name} {not} among the default members"));
    }
    // The command and the library are both called portolan: one page would overwrite the other.
    if package.documented_bins.contains("portolan") {
        violations.push(format!("the binary portolan of {name} lacks `doc = false`"));
    }
    violations
}

fn strangers(names: &[String]) -> Vec<String> {
    let known = |name: &str| name.starts_with('.') || name == "target" || TOP_LEVEL.contains(&name);
    names.iter().filter(|name| !known(name)).map(|name| format!("{name} at the top")).collect()
}

#[test]
fn what_is_not_inherited_is_found() {
    let manifest = "[package]\nname = \"portolan-x\"\nversion = \"0.2.0\"\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\nrepository.workspace = true\n";
    assert_eq!(
        not_inherited("portolan-x", manifest),
        ["portolan-x does not inherit version", "portolan-x does not inherit the lints"]
    );
}

#[test]
fn misplaced_packages_are_found() {
    let package = Package {
        is_published: true,
        documented_bins: ["portolan".to_owned()].into(),
        ..Package::default()
    };
    assert_eq!(
        misplaced("portolan-kit", &package),
        [
            "portolan-kit is published",
            "portolan-kit is not among the default members",
            "the binary portolan of portolan-kit lacks `doc = false`",
        ]
    );
}

#[test]
fn strangers_at_the_top_are_found() {
    let names = [".ci", "core", "target", "notes.txt", "scripts"].map(str::to_owned);
    assert_eq!(strangers(&names), ["notes.txt at the top", "scripts at the top"]);
}
