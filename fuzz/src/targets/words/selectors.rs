//! Selectors: what is read is written so that it reads the same, and what is put together fits whom
//! its requirements name one by one.

use portolan_core::instance::{Instance, State};
use portolan_core::name::{GroupName, InstanceId};
use portolan_core::selector::{Selector, SelectorError};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use super::told;

#[derive(Debug, Serialize, Deserialize)]
pub enum Piece {
    Known(u8),
    Any(String),
}

/// What selectors are made of.
const PIECES: &[&str] = &[
    "a",
    "b",
    "zone",
    " ",
    ",",
    "=",
    "==",
    "!=",
    "!",
    " in (",
    " notin (",
    "(",
    ")",
    "\"",
    "\\",
    "@state",
    "@version",
    "ready",
    "draining",
    ">",
    ">=",
    "<",
    "<=",
    "~",
    "^",
    "1",
    "1.2",
    "1.2.3-rc.1",
    "1.*",
    "@",
];

/// Keys of labels, few enough to meet again.
const KEYS: &[&str] = &["a", "b", "zone", "in", "state"];

/// The operators of versions.
const COMPARISONS: &[&str] = &["=", ">", ">=", "<", "<=", "~", "^"];

#[derive(Debug, Serialize, Deserialize)]
pub enum Requirement {
    Label { key: u8, there: bool },
    Value { key: u8, among: bool, values: Vec<String> },
    State { among: bool, states: Vec<State> },
    Version { comparison: u8, than: Numbers },
    Versioned { there: bool },
}

type Numbers = (u8, u8, u8);

#[derive(Debug, Serialize, Deserialize)]
pub struct Described {
    labels: Vec<(u8, String)>,
    state: State,
    version: Option<Numbers>,
}

/// For a seed.
pub fn text() -> Vec<Piece> {
    ["zone in (", "eu, \"a b\"", "), !canary,", "@state!=draining,@version>=1.2"]
        .map(|text| Piece::Any(text.to_owned()))
        .into()
}

/// For a seed.
pub fn requirements() -> Vec<Requirement> {
    vec![
        Requirement::Value { key: 0, among: true, values: vec!["eu".to_owned()] },
        Requirement::Label { key: 1, there: false },
        Requirement::State { among: true, states: vec![State::Ready] },
        Requirement::Version { comparison: 2, than: (1, 2, 3) },
    ]
}

/// For a seed.
pub fn described() -> Described {
    Described { labels: vec![(0, "eu".to_owned())], state: State::Ready, version: Some((1, 3, 0)) }
}

pub fn read(pieces: &[Piece]) {
    let known = |at: u8| PIECES[usize::from(at) % PIECES.len()];
    let pieces = pieces.iter().map(|piece| match piece {
        Piece::Known(at) => known(*at),
        Piece::Any(text) => text,
    });
    if let Some(selector) = told(Selector::parse(&pieces.collect::<String>())) {
        written_as_read(&selector);
    }
}

/// Read from its text and put together by hand a selector is the same, and fits whom it should.
pub fn selects(requirements: &[Requirement], described: &Described) {
    let built = requirements.iter().try_fold(Selector::all(), |it, one| one.join(it));
    let text = requirements.iter().map(Requirement::text).collect::<Vec<_>>().join(",");
    let read = told(Selector::parse(&text));
    let built = told(built);
    assert_eq!(read, built, "{text}");
    let (Some(selector), Some(instance)) = (built, described.instance()) else { return };
    written_as_read(&selector);
    let fits = requirements.iter().all(|requirement| requirement.holds(&instance));
    assert_eq!(selector.matches(&instance), fits, "{text} for {instance:?}");
}

fn written_as_read(selector: &Selector) {
    let text = selector.to_string();
    assert_eq!(Selector::parse(&text).as_ref(), Ok(selector), "{text}");
}

fn key(at: u8) -> &'static str {
    KEYS[usize::from(at) % KEYS.len()]
}

impl Described {
    /// `None`: the labels are none.
    fn instance(&self) -> Option<Instance> {
        let (group, id) = (GroupName::parse("web"), InstanceId::parse("a"));
        let builder = Instance::builder(group.expect("a name"), id.expect("an id"));
        let builder = self.labels.iter().fold(builder, |it, (at, value)| it.label(key(*at), value));
        let version = |(a, b, c): Numbers| Version::new(a.into(), b.into(), c.into());
        let builder =
            self.version.into_iter().fold(builder, |it, given| it.version(version(given)));
        builder.state(self.state).build().ok()
    }
}

impl Requirement {
    fn join(&self, selector: Selector) -> Result<Selector, SelectorError> {
        match self {
            Self::Label { key: at, there: true } => selector.with_label(key(*at)),
            Self::Label { key: at, there: false } => selector.without_label(key(*at)),
            Self::Value { key: at, among: true, values } => selector.label_in(key(*at), values),
            Self::Value { key: at, among: false, values } => {
                selector.label_not_in(key(*at), values)
            }
            Self::State { among: true, states } => selector.state_in(states.iter().copied()),
            Self::State { among: false, states } => selector.state_not_in(states.iter().copied()),
            Self::Versioned { there: true } => selector.with_version(),
            Self::Versioned { there: false } => selector.without_version(),
            Self::Version { .. } => {
                let text = self.text();
                let wanted = VersionReq::parse(text.trim_start_matches("@version"));
                selector.version(&wanted.expect("a requirement"))
            }
        }
    }

    /// All values in quotes, and as lists.
    fn text(&self) -> String {
        let list = |field: &str, among: bool, values: Vec<String>| {
            let word = if among { "in" } else { "notin" };
            format!("{field} {word} ({})", values.join(","))
        };
        match self {
            Self::Label { key: at, there } => {
                format!("{}{}", if *there { "" } else { "!" }, key(*at))
            }
            Self::Value { key: at, among, values } => {
                let escaped = |value: &String| value.replace('\\', "\\\\").replace('"', "\\\"");
                let values = values.iter().map(|value| format!("\"{}\"", escaped(value)));
                list(key(*at), *among, values.collect())
            }
            Self::State { among, states } => {
                list("@state", *among, states.iter().map(State::to_string).collect())
            }
            Self::Versioned { there } => format!("{}@version", if *there { "" } else { "!" }),
            Self::Version { comparison, than: (a, b, c) } => {
                let comparison = COMPARISONS[usize::from(*comparison) % COMPARISONS.len()];
                format!("@version{comparison}{a}.{b}.{c}")
            }
        }
    }

    /// As the words say, one by one.
    fn holds(&self, instance: &Instance) -> bool {
        let label = |at: &u8| instance.labels().find(|(name, _)| *name == key(*at));
        match self {
            Self::Label { key, there } => label(key).is_some() == *there,
            Self::Value { key, among, values } => {
                let same = |(_, value): (&str, &str)| values.iter().any(|one| one == value);
                label(key).is_some_and(same) == *among
            }
            Self::State { among, states } => states.contains(&instance.state()) == *among,
            Self::Versioned { there } => instance.version().is_some() == *there,
            Self::Version { comparison, than } => {
                let Some(version) = instance.version() else { return false };
                let is = (version.major, version.minor, version.patch);
                let than = (than.0.into(), than.1.into(), than.2.into());
                let begins = |numbers: usize| {
                    let (is, than) = ([is.0, is.1, is.2], [than.0, than.1, than.2]);
                    is[..numbers] == than[..numbers]
                };
                match usize::from(*comparison) % COMPARISONS.len() {
                    0 => is == than,
                    1 => is > than,
                    2 => is >= than,
                    3 => is < than,
                    4 => is <= than,
                    5 => is >= than && begins(2),
                    // Up to the first number that is not zero.
                    _ => {
                        is >= than
                            && begins(match than {
                                (0, 0, _) => 3,
                                (0, _, _) => 2,
                                _ => 1,
                            })
                    }
                }
            }
        }
    }
}
