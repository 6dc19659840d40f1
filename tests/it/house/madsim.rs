//! The simulated network (`tests/madsim`) is nobody else's business, and runs what we publish.

use std::collections::BTreeMap;

use super::{assert_none, metadata, read};

/// Our packages as they are built there: their folder, and that of the manifest that stands in.
const STAND_INS: &[(&str, &str)] =
    &[(".", "portolan"), ("backends/etcd", "etcd"), ("backends/wire", "wire")];

/// What stands in for what there, so that versions do not compare.
const REPLACED: &[&str] = &["tokio", "socket2"];

#[test]
fn ordinary_builds_know_nothing_of_it() {
    assert!(!read("Cargo.lock").contains("madsim"), "Cargo.lock names madsim");
    let members = metadata::graph().members();
    let named = members.filter(|(_, package)| read(&package.manifest).contains("\"madsim"));
    assert_none(&named.map(|(name, _)| format!("{name} names madsim")).collect::<Vec<_>>());
}

/// The manifests there are written by hand: a dependency that is new here, or newer, is there too.
#[test]
fn its_manifests_name_what_ours_do() {
    let versions = dependencies(&read("Cargo.toml"), "[workspace.dependencies]");
    let mut violations = Vec::new();
    for (folder, stand_in) in STAND_INS {
        let ours = dependencies(&read(format!("{folder}/Cargo.toml")), "[dependencies]");
        let path = format!("tests/madsim/under/{stand_in}/Cargo.toml");
        let theirs = dependencies(&read(&path), "[dependencies]");
        violations.extend(differences(&path, &versions, &ours, &theirs));
    }
    assert_none(&violations);
}

fn differences(
    path: &str,
    versions: &BTreeMap<String, String>,
    ours: &BTreeMap<String, String>,
    theirs: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, line) in ours.iter().filter(|(_, line)| !line.contains("optional = true")) {
        let Some(found) = theirs.get(name) else {
            violations.push(format!("{path} lacks {name}"));
            continue;
        };
        let wanted = version(versions.get(name).unwrap_or(line));
        let is_ours = name.starts_with("portolan") || REPLACED.contains(&name.as_str());
        if !is_ours && version(found) != wanted {
            violations.push(format!("{path} has {name} {:?}, not {wanted:?}", version(found)));
        }
    }
    let extra = theirs.keys().filter(|name| !ours.contains_key(*name));
    violations.extend(extra.map(|name| format!("{path} names {name}, and we do not")));
    violations
}

/// The lines of a section, by the name that each begins with.
fn dependencies(manifest: &str, section: &str) -> BTreeMap<String, String> {
    let lines = manifest.lines().skip_while(|line| *line != section).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let named = lines.filter(|line| !line.starts_with('#')).filter_map(|line| {
        let end = line.find([' ', '.', '='])?;
        Some((line[..end].to_owned(), line[end..].to_owned()))
    });
    named.collect()
}

/// The first thing in quotes: a version.
fn version(line: &str) -> Option<&str> {
    line.split('"').nth(1)
}

#[test]
fn what_differs_is_found() {
    let of = |text: &str| dependencies(text, "[dependencies]");
    let ours = of("[dependencies]\na.workspace = true\nb = { workspace = true }\n[features]\n");
    let theirs = of("[dependencies]\na = \"2\"\nc = \"1\"\n");
    let versions = of("[dependencies]\na = { version = \"1\" }\nb = \"1\"\n");
    assert_eq!(
        differences("there", &versions, &ours, &theirs),
        [
            "there has a Some(\"2\"), not Some(\"1\")",
            "there lacks b",
            "there names c, and we do not",
        ]
    );
}
