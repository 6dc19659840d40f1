//! What the sources themselves must not say, where no lint sees it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{assert_none, read, root};

/// Where async code lives. Without `biased` the order of a `select!` is chance, and a simulated run
/// could not be repeated.
const ASYNC: &[&str] = &["src", "backends", "cli/src", "examples"];

/// What belongs to the machines inside core; the vocabulary beside it knows none of them.
const MACHINES: &str = "crate::engine";

#[test]
fn every_select_is_biased() {
    let files = ASYNC.iter().flat_map(|folder| rust_files(&root().join(folder)));
    let violations: Vec<_> = files.flat_map(|file| in_file(&file, chance_selects)).collect();
    assert_none(&violations);
}

#[test]
fn the_vocabulary_of_core_knows_no_machine() {
    let core = root().join("core/src");
    let files = rust_files(&core).into_iter().filter(|file| {
        // `lib.rs` names every module.
        !file.starts_with(core.join("engine")) && *file != core.join("lib.rs")
    });
    let violations: Vec<_> = files.flat_map(|file| in_file(&file, machine_uses)).collect();
    assert_none(&violations);
}

#[test]
fn the_scans_see_files() {
    assert!(rust_files(&root().join("core/src")).len() > 3);
    assert!(rust_files(&root().join("tests")).iter().any(|file| file.ends_with("sources.rs")));
}

/// The lines, counted from 1, on which a rule is broken, with the name of the file.
fn in_file(file: &Path, rule: fn(&str) -> Vec<usize>) -> Vec<String> {
    let shown = file.strip_prefix(root()).unwrap_or(file).display();
    rule(&read(file)).into_iter().map(|line| format!("{shown}:{line}")).collect()
}

/// Every `select!` whose first word is not `biased`.
fn chance_selects(source: &str) -> Vec<usize> {
    let source = without_comments(source);
    let mut lines = Vec::new();
    for (at, found) in source.match_indices("select!") {
        let rest = source[at + found.len()..].trim_start();
        let Some(body) = rest.strip_prefix(['{', '(', '[']) else { continue };
        if !body.trim_start().starts_with("biased;") {
            lines.push(source[..at].matches('\n').count() + 1);
        }
    }
    lines
}

fn machine_uses(source: &str) -> Vec<usize> {
    let source = without_comments(source);
    let lines = source.lines().enumerate();
    lines.filter(|(_, line)| line.contains(MACHINES)).map(|(index, _)| index + 1).collect()
}

/// Line comments blanked; `//` inside a string cuts that line short, which costs these rules
/// nothing.
fn without_comments(source: &str) -> String {
    let code = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.collect::<Vec<_>>().join("\n")
}

pub(super) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        // A folder that is not there yet has no files.
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[test]
fn selects_by_chance_are_found() {
    let cases = [
        ("tokio::select! {\n    biased;\n    x = y => {}\n}", &[][..]),
        ("tokio::select! {\n    // why\n    biased;\n    x = y => {}\n}", &[]),
        ("// select! { }", &[]),
        ("fn f() {\n    select! { x = y => {} }\n}", &[2]),
        ("select!(x = y => {})", &[1]),
        ("a\nselect! {\n// biased;\nx = y => {} }\nselect! { x => {} }", &[2, 5]),
    ];
    for (source, expected) in cases {
        assert_eq!(chance_selects(source), expected, "{source:?}");
    }
}

#[test]
fn machines_in_the_vocabulary_are_found() {
    let source = "use crate::{time::Time};\n/// crate::engine is fine in a comment\n\
        use crate::engine::Engine;\n";
    assert_eq!(machine_uses(source), [3]);
}
