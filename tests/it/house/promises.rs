//! `docs/promises.md` and `docs/troubles.md` name tests; this sees that they are there.

use std::collections::BTreeSet;
use std::fs;

use super::sources::rust_files;
use super::{assert_none, read, root};

#[test]
fn every_test_that_a_page_names_is_there() {
    let mut there = BTreeSet::new();
    for file in rust_files(root()) {
        // What was built, or fetched, is not ours.
        let ours = file.strip_prefix(root()).expect("within the root");
        if ours.starts_with("target") || ours.starts_with(".cache") {
            continue;
        }
        there.extend(functions(&fs::read_to_string(&file).expect("a source file")));
    }
    for (path, least) in [("docs/promises.md", 100), ("docs/troubles.md", 50)] {
        let page = read(path);
        assert!(named(&page).len() > least, "{path} is read wrongly");
        assert_none(&missing(path, &page, &there));
    }
}

#[test]
fn a_test_that_is_not_there_is_found() {
    let page = "| it | `it: real::is_there`, `core: gone::is_gone`; step x, `README` | holds |";
    let there = functions("    fn is_there() {}\n async fn other<T>() {}").collect();
    assert_eq!(missing("page.md", page, &there), ["page.md: no test `core: gone::is_gone`"]);
}

fn missing(path: &str, page: &str, there: &BTreeSet<String>) -> Vec<String> {
    let gone = named(page).into_iter().filter(|test| {
        let name = test.rsplit([':', ' ']).next().unwrap_or_default();
        !there.contains(name)
    });
    gone.map(|test| format!("{path}: no test `{test}`")).collect()
}

/// What the page puts as `binary: module::test`.
fn named(page: &str) -> Vec<&str> {
    let quoted = page
        .lines()
        .filter(|line| line.starts_with("| "))
        .flat_map(|line| line.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains(": ")));
    quoted.filter(|quoted| !quoted.contains(['=', '"', '{'])).collect()
}

fn functions(source: &str) -> impl Iterator<Item = String> {
    source
        .split("fn ")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}
