//! The house rules: what may depend on what, what each package says of itself, and what is written
//! nowhere. Each rule is a function from plain data to its violations, so that beside the test that
//! finds none in the tree stands one that finds a violation made by hand.

mod arrows;
mod licences;
mod madsim;
mod manifests;
mod metadata;
mod promises;
mod properties;
mod sources;

use std::path::Path;

/// The folder of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads a file of the workspace.
fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails with all violations, one a line.
fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}
