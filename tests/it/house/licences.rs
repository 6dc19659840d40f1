//! Licences, bans and sources of what we build with, by the lists of `deny.toml`: cargo-deny reads
//! the texts themselves and is not on every machine, this is.

use std::collections::BTreeSet;

use super::{assert_none, metadata, read};

#[test]
fn every_licence_is_allowed() {
    let allowed = list(&read("deny.toml"), "allow");
    assert!(allowed.contains("MIT"), "{allowed:?}");
    let packages = &metadata::graph().packages;
    let refused = packages.iter().filter(|(_, package)| !permits(&package.licence, &allowed));
    let lines: Vec<_> =
        refused.map(|(name, p)| format!("{name} is under {:?}", p.licence)).collect();
    assert_none(&lines);
}

#[test]
fn every_source_is_the_public_registry() {
    let allowed = list(&read("deny.toml"), "allow-registry");
    assert_eq!(allowed.len(), 1, "{allowed:?}");
    let is_known = |source: &str| {
        source.strip_prefix("registry+").is_some_and(|registry| allowed.contains(registry))
    };
    let packages = metadata::graph().packages.iter();
    let foreign = packages.filter(|(_, package)| !package.is_member && !is_known(&package.source));
    let lines: Vec<_> = foreign.map(|(name, p)| format!("{name} is from {:?}", p.source)).collect();
    assert_none(&lines);
}

#[test]
fn no_banned_crate_is_used() {
    let banned = banned(&read("deny.toml"));
    assert!(banned.contains("openssl"), "{banned:?}");
    let used = banned.iter().filter(|name| metadata::graph().packages.contains_key(*name));
    assert_none(&used.map(|name| format!("{name} is banned by deny.toml")).collect::<Vec<_>>());
}

/// The strings of the list `name = [..]`.
fn list(toml: &str, name: &str) -> BTreeSet<String> {
    let head = format!("\n{name} = [");
    let Some((_, rest)) = toml.split_once(&head) else { return BTreeSet::new() };
    let body = rest.split(']').next().unwrap_or_default();
    body.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names in the list of bans.
fn banned(toml: &str) -> BTreeSet<String> {
    let names = toml.lines().filter_map(|line| line.trim().strip_prefix("{ name = \""));
    names.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be met with the allowed licences alone. `AND` binds closer than
/// `OR`; the old `/` is an `OR`; what cannot be read is refused.
fn permits(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().collect::<Vec<_>>().into_iter().peekable();
    let permitted = either(&mut words, allowed);
    permitted && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::vec::IntoIter<&'a str>>;

fn either(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut permitted = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        // Read on in any case: the rest must be consumed.
        permitted |= both(words, allowed);
    }
    permitted
}

fn both(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut permitted = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        permitted &= one(words, allowed);
    }
    permitted
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let permitted = either(words, allowed);
        return words.next() == Some(")") && permitted;
    }
    let Some(licence) = words.next() else { return false };
    let licence = match words.next_if_eq(&"WITH") {
        Some(_) => format!("{licence} WITH {}", words.next().unwrap_or_default()),
        None => licence.to_owned(),
    };
    allowed.contains(&licence)
}

#[test]
fn licence_expressions_are_read_as_they_bind() {
    let allowed = BTreeSet::from(["MIT", "Apache-2.0", "Unicode-3.0"].map(str::to_owned));
    let cases = [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("MIT OR Apache-2.0 AND GPL-3.0-only", true),
        ("(MIT OR GPL-3.0-only) AND Unicode-3.0", true),
        ("(MIT OR Apache-2.0) AND OpenSSL", false),
        ("Apache-2.0 WITH LLVM-exception", false),
        ("Apache-2.0 WITH LLVM-exception OR Apache-2.0", true),
        ("MIT/Apache-2.0", true),
        ("(MIT", false),
        ("MIT)", false),
        ("MIT MIT", false),
        ("", false),
    ];
    for (expression, expected) in cases {
        assert_eq!(permits(expression, &allowed), expected, "{expression:?}");
    }
}
