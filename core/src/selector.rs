//! Which instances are meant: a condition on labels, state and version.

mod error;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use semver::{Comparator, Op, VersionReq};
use serde::{Deserialize, Serialize};

use crate::instance::{Instance, State, VERSION_LIMIT, check_label};
use crate::json::shortened;
use crate::name::LabelKey;
pub use error::{SelectorError, Several, Wanted};

/// Requirements of one selector at most; each comparison of versions counts as one.
pub const REQUIREMENTS_LIMIT: usize = 64;

/// Different values of one requirement at most.
pub const VALUES_LIMIT: usize = 64;

/// A condition that instances fit or do not: every one of its requirements must hold.
///
/// As text the requirements stand between commas. Those on labels read as in Kubernetes:
///
/// | requirement | holds for instances |
/// |---|---|
/// | `zone` | with that label, whatever its value |
/// | `!zone` | without it |
/// | `zone=eu` (or `==`), `zone=` | with that label and value, or with that label and no value |
/// | `zone!=eu` | without the label, or with another value |
/// | `zone in (eu, us)` | with that label and one of the values |
/// | `zone notin (eu, us)` | without the label, or with a value that is none of them |
/// | `@state=ready`, and `!=`, `in`, `notin` | in that state: `starting`, `ready`, `draining`, `out-of-service` |
/// | `@version`, `!@version` | with a version, or without |
/// | `@version>=1.2`, and `=`, `>`, `<`, `<=`, `~`, `^` | with a version that Cargo would take for that |
///
/// No text at all is fitted by every instance. A value with white space or one of
/// `, ( ) = ! < > " ' \` stands in double quotes, in which `\"` and `\\` stand for those two; so
/// does one in a list that is empty.
///
/// Where versions are compared, one that is a pre-release fits only if one of the comparisons is with a
/// pre-release of the same three numbers; what follows a `+` is not compared. Equal selectors have equal
/// texts, and fit the same.
///
/// ```
/// # use portolan_core::selector::Selector;
/// let selector: Selector = "zone in (eu, us), !canary, @version>=1.2".parse()?;
/// assert_eq!(selector.to_string(), "zone in (eu, us), !canary, @version>=1.2");
/// # Ok::<_, portolan_core::selector::SelectorError>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    requirements: Vec<Requirement>,
    /// Compared together, since pre-releases fit only where one comparison names them.
    versions: VersionReq,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
enum Requirement {
    /// The label is there, or is not.
    Label { key: LabelKey, there: bool },
    /// The label's value is among these; or is not, or there is no such label.
    Value { key: LabelKey, among: bool, values: BTreeSet<Box<str>> },
    /// The state is among these, or is not.
    State { among: bool, states: BTreeSet<State> },
    /// There is a version, or there is none.
    Version { there: bool },
}

impl Selector {
    /// What every instance fits.
    pub fn all() -> Self {
        Self::default()
    }

    /// Reads the text that [`Selector`] describes.
    ///
    /// # Errors
    /// [`SelectorError`] says what is wrong; where the text has another form, also at which byte.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        read::selector(text)
    }

    /// Requires a label, whatever its value.
    ///
    /// # Errors
    /// The key is none, or there are 64 requirements already.
    pub fn with_label(self, key: &str) -> Result<Self, SelectorError> {
        self.with(Requirement::Label { key: label_key(key)?, there: true })
    }

    /// Requires that there is no such label.
    ///
    /// # Errors
    /// As [`with_label`](Self::with_label).
    pub fn without_label(self, key: &str) -> Result<Self, SelectorError> {
        self.with(Requirement::Label { key: label_key(key)?, there: false })
    }

    /// Requires a label with this value.
    ///
    /// # Errors
    /// As [`label_in`](Self::label_in).
    pub fn label_is(self, key: &str, value: &str) -> Result<Self, SelectorError> {
        self.label_in(key, [value])
    }

    /// Requires a label with one of these values.
    ///
    /// # Errors
    /// The key is none, there are no values or more than 64, one of them can be no label's, or there
    /// are 64 requirements already.
    pub fn label_in<V: AsRef<str>>(
        self,
        key: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self, SelectorError> {
        self.value(key, true, values)
    }

    /// Requires that there is no such label, or that its value is none of these.
    ///
    /// # Errors
    /// As [`label_in`](Self::label_in).
    pub fn label_not_in<V: AsRef<str>>(
        self,
        key: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self, SelectorError> {
        self.value(key, false, values)
    }

    /// Requires one of these states.
    ///
    /// # Errors
    /// There are no states, or 64 requirements already.
    pub fn state_in(self, states: impl IntoIterator<Item = State>) -> Result<Self, SelectorError> {
        self.state(true, states)
    }

    /// Requires a state that is none of these.
    ///
    /// # Errors
    /// As [`state_in`](Self::state_in).
    pub fn state_not_in(
        self,
        states: impl IntoIterator<Item = State>,
    ) -> Result<Self, SelectorError> {
        self.state(false, states)
    }

    /// Requires any version.
    ///
    /// # Errors
    /// There are 64 requirements already.
    pub fn with_version(self) -> Result<Self, SelectorError> {
        self.with(Requirement::Version { there: true })
    }

    /// Requires that there is no version.
    ///
    /// # Errors
    /// As [`with_version`](Self::with_version).
    pub fn without_version(self) -> Result<Self, SelectorError> {
        self.with(Requirement::Version { there: false })
    }

    /// Requires a version that all these comparisons hold for, and those given before. Where there
    /// are none (`*`), nothing is required.
    ///
    /// # Errors
    /// There are more than 64 requirements then, or a comparison has no text that reads as it, or one
    /// of more than 128 bytes behind its operator.
    pub fn version(self, wanted: &VersionReq) -> Result<Self, SelectorError> {
        wanted.comparators.iter().try_fold(self, |it, one| it.compared(one.clone()))
    }

    /// Requires what another one requires, too.
    ///
    /// # Errors
    /// There are more than 64 requirements then.
    pub fn and(self, other: Self) -> Result<Self, SelectorError> {
        let it = other.requirements.into_iter().try_fold(self, Self::with)?;
        it.version(&other.versions)
    }

    /// Whether an instance fits. Looks through its labels for each requirement on one, and reads its
    /// version if that is compared.
    pub fn matches(&self, instance: &Instance) -> bool {
        let versions = || instance.version().is_some_and(|version| self.versions.matches(&version));
        self.requirements.iter().all(|requirement| requirement.holds(instance))
            && (self.versions.comparators.is_empty() || versions())
    }

    /// Whether every instance fits it, since nothing is required.
    pub fn is_all(&self) -> bool {
        self.count() == 0
    }

    fn value<V: AsRef<str>>(
        self,
        key: &str,
        among: bool,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self, SelectorError> {
        let key = label_key(key)?;
        let checked = values.into_iter().map(|value| {
            let value = value.as_ref();
            let wrong = |error| SelectorError::Value { key: key.to_string(), error };
            check_label(value).map_err(wrong).map(|()| Box::from(value))
        });
        let values = few(checked)?;
        self.with(Requirement::Value { key, among, values })
    }

    fn state(
        self,
        among: bool,
        states: impl IntoIterator<Item = State>,
    ) -> Result<Self, SelectorError> {
        let states = few(states.into_iter().map(Ok))?;
        self.with(Requirement::State { among, states })
    }

    /// With one comparison more, whose text must read as it.
    fn compared(self, comparator: Comparator) -> Result<Self, SelectorError> {
        // `1.*` says what `=1` says, which has an operator.
        let wildcard = comparator.op == Op::Wildcard && comparator.patch.is_none();
        let op = if wildcard { Op::Exact } else { comparator.op };
        let comparator = Comparator { op, ..comparator };
        let text = comparator.to_string();
        let version = text.trim_start_matches(['=', '>', '<', '~', '^']);
        if version.len() > VERSION_LIMIT {
            let (length, limit) = (version.len(), VERSION_LIMIT);
            return Err(SelectorError::VersionTooLong { length, limit });
        }
        if Comparator::parse(&text).as_ref().ok() != Some(&comparator) {
            let reason = "it has no text of its own".to_owned();
            return Err(SelectorError::Version { found: version.to_owned(), reason });
        }
        let mut it = self.with_room()?;
        it.versions.comparators.push(comparator);
        Ok(it)
    }

    fn with(self, requirement: Requirement) -> Result<Self, SelectorError> {
        let mut it = self.with_room()?;
        it.requirements.push(requirement);
        Ok(it)
    }

    fn with_room(self) -> Result<Self, SelectorError> {
        if self.count() == REQUIREMENTS_LIMIT {
            let (what, limit) = (Several::Requirements, REQUIREMENTS_LIMIT);
            return Err(SelectorError::TooMany { what, limit });
        }
        Ok(self)
    }

    fn count(&self) -> usize {
        self.requirements.len() + self.versions.comparators.len()
    }
}

fn label_key(key: &str) -> Result<LabelKey, SelectorError> {
    LabelKey::parse(key).map_err(|error| SelectorError::Key { key: shortened(key, 80), error })
}

/// At least one, and not too many.
fn few<T: Ord>(
    values: impl Iterator<Item = Result<T, SelectorError>>,
) -> Result<BTreeSet<T>, SelectorError> {
    let mut few = BTreeSet::new();
    for value in values {
        few.insert(value?);
        // Counted as they come, since there may be any number of them.
        if few.len() > VALUES_LIMIT {
            let (what, limit) = (Several::Values, VALUES_LIMIT);
            return Err(SelectorError::TooMany { what, limit });
        }
    }
    if few.is_empty() {
        return Err(SelectorError::NoValue { limit: VALUES_LIMIT });
    }
    Ok(few)
}

impl Requirement {
    fn holds(&self, instance: &Instance) -> bool {
        match self {
            Self::Label { key, there } => instance.label(key.as_str()).is_some() == *there,
            Self::Value { key, among, values } => {
                let value = instance.label(key.as_str());
                value.is_some_and(|value| values.contains(value)) == *among
            }
            Self::State { among, states } => states.contains(&instance.state()) == *among,
            Self::Version { there } => instance.version_text().is_some() == *there,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for requirement in &self.requirements {
            write!(f, "{between}{requirement}")?;
            between = ", ";
        }
        for comparator in &self.versions.comparators {
            write!(f, "{between}@version{comparator}")?;
            between = ", ";
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label { key, there } => write!(f, "{}{key}", not(*there)),
            Self::Version { there } => write!(f, "{}@version", not(*there)),
            Self::Value { key, among, values } => {
                f.write_str(key.as_str())?;
                list(f, *among, values.iter().map(|value| &**value))
            }
            Self::State { among, states } => {
                f.write_str("@state")?;
                list(f, *among, states.iter().map(|state| state.as_str()))
            }
        }
    }
}

fn not(there: bool) -> &'static str {
    if there { "" } else { "!" }
}

/// `=eu` or `!=eu` for one, ` in (eu, us)` or ` notin (eu, us)` for several.
fn list<'a>(
    f: &mut fmt::Formatter<'_>,
    among: bool,
    values: impl ExactSizeIterator<Item = &'a str>,
) -> fmt::Result {
    let one = values.len() == 1;
    f.write_str(match (one, among) {
        (true, true) => "=",
        (true, false) => "!=",
        (false, true) => " in (",
        (false, false) => " notin (",
    })?;
    for (before, value) in values.enumerate() {
        f.write_str(if before == 0 { "" } else { ", " })?;
        quoted(f, value)?;
    }
    f.write_str(if one { "" } else { ")" })
}

/// In quotes where it must be.
fn quoted(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    if !value.is_empty() && value.chars().all(read::is_bare) {
        return f.write_str(value);
    }
    f.write_char('"')?;
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Selector {
    type Error = SelectorError;

    fn try_from(text: String) -> Result<Self, SelectorError> {
        Self::parse(&text)
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.to_string()
    }
}
