//! From text to a selector, in one pass.

use std::collections::BTreeSet;

use semver::Comparator;

use super::{Selector, SelectorError, Wanted, few};
use crate::instance::{State, VERSION_LIMIT};
use crate::json::shortened;

pub(super) fn selector(text: &str) -> Result<Selector, SelectorError> {
    let mut reader = Reader { text, at: 0 };
    let mut selector = Selector::all();
    reader.space();
    if reader.rest().is_empty() {
        return Ok(selector);
    }
    loop {
        selector = reader.requirement(selector)?;
        if !reader.takes(",") {
            break;
        }
    }
    if reader.rest().is_empty() { Ok(selector) } else { Err(reader.expected(Wanted::End)) }
}

/// Whether values may have it without quotes.
pub(super) fn is_bare(c: char) -> bool {
    let marks = [',', '(', ')', '=', '!', '<', '>', '"', '\'', '\\'];
    !c.is_whitespace() && !c.is_control() && !marks.contains(&c)
}

/// `>=` before `>`, since the first that fits is taken.
const COMPARISONS: [(&str, &str); 8] = [
    (">=", ">="),
    ("<=", "<="),
    ("==", "="),
    (">", ">"),
    ("<", "<"),
    ("=", "="),
    ("~", "~"),
    ("^", "^"),
];

fn comparator(operator: &str, version: &str) -> Result<Comparator, SelectorError> {
    // Before it is read: the text may be of any length.
    if version.len() > VERSION_LIMIT {
        let (length, limit) = (version.len(), VERSION_LIMIT);
        return Err(SelectorError::VersionTooLong { length, limit });
    }
    Comparator::parse(&format!("{operator}{version}")).map_err(|error| SelectorError::Version {
        found: shortened(version, 40),
        reason: error.to_string(),
    })
}

/// A text and how far it was read; what is read next is no white space.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn requirement(&mut self, selector: Selector) -> Result<Selector, SelectorError> {
        if self.takes("!") {
            let before = self.at;
            if self.rest().starts_with('@') {
                if self.field() == "version" {
                    return selector.without_version();
                }
                self.at = before;
                return Err(self.expected(Wanted::Negated));
            }
            let key = self.word(Wanted::Negated)?;
            return selector.without_label(key);
        }
        if self.rest().starts_with('@') {
            return self.compared(selector);
        }
        let key = self.word(Wanted::Requirement)?;
        if self.is_over() {
            return selector.with_label(key);
        }
        let (among, values) = self.values(Wanted::Comparison)?;
        if among { selector.label_in(key, values) } else { selector.label_not_in(key, values) }
    }

    /// What stands behind an `@`.
    fn field(&mut self) -> &'a str {
        // Without what takes white space with it.
        self.at += 1;
        self.run(|c| is_bare(c) && !matches!(c, '~' | '^'))
    }

    fn compared(&mut self, selector: Selector) -> Result<Selector, SelectorError> {
        match self.field() {
            "state" => {
                let (among, names) = self.values(Wanted::StateComparison)?;
                let states = names.iter().map(|name| {
                    let unknown = || SelectorError::State { found: shortened(name, 40) };
                    State::named(name).ok_or_else(unknown)
                });
                let states = states.collect::<Result<Vec<_>, _>>()?;
                if among { selector.state_in(states) } else { selector.state_not_in(states) }
            }
            "version" if self.is_over() => selector.with_version(),
            "version" => {
                let found = COMPARISONS.into_iter().find(|(text, _)| self.takes(text));
                let (_, operator) =
                    found.ok_or_else(|| self.expected(Wanted::VersionComparison))?;
                let version = self.word(Wanted::Value)?;
                selector.compared(comparator(operator, version)?)
            }
            other => Err(SelectorError::Field { found: shortened(other, 40) }),
        }
    }

    /// Whether the value is to be among those that follow, and those.
    fn values(&mut self, wanted: Wanted) -> Result<(bool, BTreeSet<String>), SelectorError> {
        if self.takes("!=") {
            return Ok((false, BTreeSet::from([self.value_or_none()?])));
        }
        if self.takes("==") || self.takes("=") {
            return Ok((true, BTreeSet::from([self.value_or_none()?])));
        }
        let before = self.at;
        let among = match self.run(is_bare) {
            "in" => true,
            "notin" => false,
            _ => {
                self.at = before;
                return Err(self.expected(wanted));
            }
        };
        if !self.takes("(") {
            return Err(self.expected(Wanted::List));
        }
        let mut first = true;
        let more = std::iter::from_fn(|| {
            let more = std::mem::take(&mut first) || self.takes(",");
            more.then(|| self.value())
        });
        let values = few(more)?;
        if self.takes(")") { Ok((among, values)) } else { Err(self.expected(Wanted::ListEnd)) }
    }

    /// Outside a list nothing stands for the empty one.
    fn value_or_none(&mut self) -> Result<String, SelectorError> {
        if self.is_over() { Ok(String::new()) } else { self.value() }
    }

    fn value(&mut self) -> Result<String, SelectorError> {
        if !self.rest().starts_with('"') {
            return self.word(Wanted::Value).map(str::to_owned);
        }
        self.at += 1;
        let mut value = String::new();
        loop {
            let inner = self.rest();
            let end = inner.find(['"', '\\']).unwrap_or(inner.len());
            value.push_str(&inner[..end]);
            self.at += end;
            if self.takes("\"") {
                return Ok(value);
            }
            if self.rest().is_empty() {
                return Err(self.expected(Wanted::Quote));
            }
            self.at += 1;
            match self.rest().chars().next() {
                Some(escaped @ ('"' | '\\')) => value.push(escaped),
                _ => return Err(self.expected(Wanted::Escaped)),
            }
            self.at += 1;
        }
    }

    /// At least one character that needs no quotes.
    fn word(&mut self, wanted: Wanted) -> Result<&'a str, SelectorError> {
        let word = self.run(is_bare);
        if word.is_empty() { Err(self.expected(wanted)) } else { Ok(word) }
    }

    /// All that is such, and the white space behind it.
    fn run(&mut self, is_such: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !is_such(c)).unwrap_or(rest.len());
        self.at += end;
        self.space();
        &rest[..end]
    }

    /// Whether this comes next; it is passed then.
    fn takes(&mut self, mark: &str) -> bool {
        let found = self.rest().starts_with(mark);
        if found {
            self.at += mark.len();
            self.space();
        }
        found
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_whitespace()).len();
    }

    /// Whether the requirement ends here.
    fn is_over(&self) -> bool {
        self.rest().is_empty() || self.rest().starts_with(',')
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn expected(&self, wanted: Wanted) -> SelectorError {
        SelectorError::Expected { at: self.at, wanted, found: self.rest().chars().next() }
    }
}
