//! `docs/properties.md` lists the simulator's properties, their scans, and the stories that break
//! them; this holds it to the code.

use std::collections::{BTreeMap, BTreeSet};

use super::{assert_none, read, root};

/// A row of the page: its id, and what it puts in backticks in the columns of scans and of stories.
#[derive(Debug)]
struct Row {
    id: String,
    /// Files in `sim/src/check/`, and what is in them.
    scans: Vec<(String, String)>,
    stories: Vec<String>,
}

#[test]
fn the_page_of_properties_is_true() {
    let rows = rows(&read("docs/properties.md"));
    let named = named(&read("sim/src/check/mod.rs"));
    assert!(named.len() > 30, "the list of properties is read wrongly: {named:?}");
    let mut sources = BTreeMap::new();
    let folder = root().join("sim/src/check");
    for folder in [folder.clone(), folder.join("tests")] {
        for entry in std::fs::read_dir(&folder).expect("the folder of checks") {
            let path = entry.expect("its entry").path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
                let name = if name == "mod" { "check".to_owned() } else { name };
                sources.entry(name).or_insert_with(String::new).push_str(&read(&path));
            }
        }
    }
    assert_none(&violations(&rows, &named, &sources));
}

#[test]
fn a_page_that_is_not_true_is_found() {
    let page = "| id | must hold | how | broken by |\n|---|---|---|---|\n\
                | VW1 | it is so | `views::Prefix` | `lacking` |\n\
                | VW3 | it is so | `views::Gone`, `nowhere::Whole` | `torn` |\n\
                | VW1 | again | no scan | |\n";
    let named = BTreeSet::from(["VW1".to_owned(), "VW2".to_owned()]);
    let sources = BTreeMap::from([
        ("views".to_owned(), "pub(super) struct Prefix {}".to_owned()),
        ("tests".to_owned(), "fn lacking() -> Story {}".to_owned()),
    ]);
    let expected = [
        "VW3 is no property",
        "VW3: there is no scan `views::Gone`",
        "VW3: there is no scan `nowhere::Whole`",
        "VW3: there is no story `torn`",
        "VW1 stands there twice",
        "VW1 names no scan, or no story",
        "VW2 is missing",
    ];
    assert_eq!(violations(&rows(page), &named, &sources), expected);
}

fn violations(
    rows: &[Row],
    named: &BTreeSet<String>,
    sources: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut unlisted = named.clone();
    let mut found = Vec::new();
    for Row { id, scans, stories } in rows {
        if !unlisted.remove(id) {
            let why = if named.contains(id) { "stands there twice" } else { "is no property" };
            found.push(format!("{id} {why}"));
        }
        let gone = |scan: &&(String, String)| {
            !sources.get(&scan.0).is_some_and(|source| defines(source, &scan.1))
        };
        let gone = scans.iter().filter(gone);
        found.extend(gone.map(|(file, name)| format!("{id}: there is no scan `{file}::{name}`")));
        let gone = |story: &&String| {
            !sources.values().any(|source| source.contains(&format!("fn {story}(")))
        };
        let gone = stories.iter().filter(gone);
        found.extend(gone.map(|story| format!("{id}: there is no story `{story}`")));
        if scans.is_empty() || stories.is_empty() {
            found.push(format!("{id} names no scan, or no story"));
        }
    }
    found.extend(unlisted.iter().map(|id| format!("{id} is missing")));
    found
}

fn defines(source: &str, item: &str) -> bool {
    [format!("struct {item}"), format!("fn {item}")].iter().any(|start| {
        source.match_indices(start.as_str()).any(|(at, _)| {
            let next = source[at + start.len()..].chars().next();
            next.is_some_and(|next| !next.is_alphanumeric() && next != '_')
        })
    })
}

fn rows(page: &str) -> Vec<Row> {
    let cells = page.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix("| ")?.split('|').map(str::trim).collect();
        let is_id = |id: &str| id.starts_with(|c: char| c.is_ascii_uppercase());
        (cells.len() >= 4 && is_id(cells[0]) && cells[0] != "Id").then_some(cells)
    });
    cells
        .map(|cells| Row {
            id: cells[0].to_owned(),
            scans: quoted(cells[2])
                .iter()
                .filter_map(|scan| scan.split_once("::"))
                .map(|(file, name)| (file.to_owned(), name.to_owned()))
                .collect(),
            stories: quoted(cells[3]),
        })
        .collect()
}

fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names in the simulator's list of properties: lines like `    VW1 = "..",`.
fn named(source: &str) -> BTreeSet<String> {
    let list = source.split("\nproperties! {\n").nth(1).and_then(|rest| rest.split("\n}").next());
    let names = list.into_iter().flat_map(str::lines).filter_map(|line| line.split_once(" = \""));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}
