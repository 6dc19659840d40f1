//! Texts that users give: names, endpoints, labels, selectors, times, sizes, flags. Each is taken or refused in a
//! sentence; what is taken says what it was given; a password is never said.

mod selectors;

use portolan_core::instance::{Endpoint, Instance};
use portolan_core::layout::Layout;
use portolan_core::name::{GroupName, InstanceId};
use serde::{Deserialize, Serialize};

use crate::tape::{self, Tape};

/// Longer than this no sentence is that tells why a text of the longest kind is refused.
const LONGEST_REASON: usize = 4_000;

/// What is given, and where.
#[derive(Debug, Serialize, Deserialize)]
enum Given {
    Names(String),
    Endpoint(String),
    Instance {
        endpoints: Vec<(String, String)>,
        labels: Vec<(String, String)>,
    },
    Root(String),
    /// A whole command line; a text of the list of known ones where it begins like one.
    Line(Vec<Word>),
    /// The password is one that nothing else says.
    User(String, Vec<Word>),
    /// The text of one, of what they are made of.
    Selector(Vec<selectors::Piece>),
    /// One put together, and whom it is asked for.
    Selects(Vec<selectors::Requirement>, selectors::Described),
}

#[derive(Debug, Serialize, Deserialize)]
enum Word {
    Known(u8),
    Any(String),
    /// `--flag=value`.
    Both(u8, String),
}

/// What command lines are made of.
const KNOWN: &[&str] = &[
    "register",
    "deregister",
    "groups",
    "instances",
    "watch",
    "config",
    "get",
    "edit",
    "put",
    "sim",
    "run",
    "replay",
    "list",
    "serve",
    "playground",
    "demo",
    "help",
    "--",
    "sh",
    "web",
    "a",
    "--endpoints",
    "--user",
    "--password-file",
    "--cacert",
    "--cert",
    "--key",
    "--timeout",
    "--root",
    "--layout",
    "--output",
    "-o",
    "json",
    "table",
    "--endpoint",
    "--label",
    "--version",
    "--weight",
    "--ttl",
    "--probe",
    "--on-conflict",
    "--drain",
    "--listen",
    "--dir",
    "--members",
    "--history",
    "--seeds",
    "--mix",
    "--trace",
    "--help",
    "15s",
    "0s",
    "24h",
    "1ms",
    "64MiB",
    "1024GiB",
    "http=a:1",
    "tcp:127.0.0.1:1",
    "http://[::1]/x",
    "127.0.0.1:0",
    "-1",
    "65536",
    "18446744073709551616",
    "--selector",
    "zone in (a, b)",
    "!a,@version>=1.2",
];

/// A list of what is given.
pub fn run(input: &[u8]) {
    let mut tape = Tape::new(input);
    while !tape.is_over() {
        if let Some(given) = tape.read() {
            hold(given);
        }
    }
}

/// One of each.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let word = |text: &str| Word::Any(text.to_owned());
    let given = [
        ("names", Given::Names("web-1.a_b".to_owned())),
        ("endpoint", Given::Endpoint("[fe80::1]:8080".to_owned())),
        (
            "instance",
            Given::Instance {
                endpoints: vec![("http".to_owned(), "10.0.0.7:8080".to_owned())],
                labels: vec![("zone".to_owned(), "eu-1".to_owned())],
            },
        ),
        ("root", Given::Root("/portolan".to_owned())),
        (
            "line",
            Given::Line(
                ["register", "web", "a", "--endpoint", "http=a:1", "--ttl", "15s", "--", "sh"]
                    .map(word)
                    .into(),
            ),
        ),
        ("user", Given::User("root".to_owned(), vec![word("groups")])),
        ("user-like-a-flag", Given::User("--ttl".to_owned(), vec![word("groups")])),
        ("selector", Given::Selector(selectors::text())),
        ("selects", Given::Selects(selectors::requirements(), selectors::described())),
    ];
    given.map(|(name, given)| (name.to_owned(), tape::write(&[given]))).into()
}

fn hold(given: Given) {
    match given {
        Given::Names(text) => {
            same(&text, GroupName::parse(&text).map(|name| name.as_str().to_owned()));
            same(&text, InstanceId::parse(&text).map(|id| id.as_str().to_owned()));
            let foreign = Layout::etcd_naming("shop").expect("a root");
            same(&text, foreign.parse_id(&text).map(|id| id.as_str().to_owned()));
        }
        Given::Endpoint(text) => {
            if let Some(endpoint) = told(Endpoint::parse(&text)) {
                let again = Endpoint::parse(endpoint.as_str());
                assert_eq!(again.as_ref(), Ok(&endpoint), "an endpoint is written as it is read");
                assert!(endpoint.port() > 0 && !endpoint.host().is_empty(), "{endpoint}");
                told(endpoint.check_advertised(false));
                assert_eq!(endpoint.check_advertised(true), Ok(()));
            }
        }
        Given::Instance { endpoints, labels } => {
            let (group, id) = (GroupName::parse("web"), InstanceId::parse("a"));
            let builder = Instance::builder(group.expect("a name"), id.expect("an id"));
            let builder = endpoints.iter().fold(builder, |it, (name, at)| it.endpoint(name, at));
            let builder = labels.iter().fold(builder, |it, (name, text)| it.label(name, text));
            if let Some(instance) = told(builder.build()) {
                for (name, text) in instance.labels() {
                    assert!(labels.contains(&(name.to_owned(), text.to_owned())), "{name}={text}");
                }
                assert_eq!(instance.edit().build().as_ref(), Ok(&instance), "edited in nothing");
            }
        }
        Given::Root(text) => {
            for layout in [Layout::native(&text), Layout::etcd_naming(&text)] {
                if let Some(layout) = told(layout) {
                    assert_eq!(layout.root().trim_end_matches('/'), text.trim_end_matches('/'));
                }
            }
        }
        Given::Line(words) => drop(told(portolan_cli::read(line(words)))),
        Given::Selector(pieces) => selectors::read(&pieces),
        Given::Selects(requirements, described) => selectors::selects(&requirements, &described),
        Given::User(name, words) => {
            const PASSWORD: &str = "Xyzzy7Plugh";
            let user = ["portolan".to_owned(), "--user".to_owned(), format!("{name}:{PASSWORD}")];
            let line: Vec<_> = user.into_iter().chain(line(words).into_iter().skip(1)).collect();
            let said = portolan_cli::read(line).unwrap_or_else(|refusal| refusal);
            assert!(!said.contains(PASSWORD), "{said}");
        }
    }
}

/// As it was given, or refused.
fn same<E: ToString>(given: &str, read: Result<String, E>) {
    if let Some(read) = told(read) {
        assert_eq!(read, given);
    }
}

/// What was taken; else it was told why, at a length that one reads.
fn told<T, E: ToString>(read: Result<T, E>) -> Option<T> {
    let refusal = match read {
        Ok(read) => return Some(read),
        Err(refusal) => refusal.to_string(),
    };
    assert!(!refusal.is_empty(), "a refusal without a word");
    assert!(refusal.len() < LONGEST_REASON, "{} bytes of a refusal", refusal.len());
    None
}

fn line(words: Vec<Word>) -> Vec<String> {
    let known = |at: u8| KNOWN[usize::from(at) % KNOWN.len()];
    let words = words.into_iter().map(|word| match word {
        Word::Known(at) => known(at).to_owned(),
        Word::Any(text) => text,
        Word::Both(at, text) => format!("{}={text}", known(at)),
    });
    ["portolan".to_owned()].into_iter().chain(words).collect()
}
