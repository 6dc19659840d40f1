//! Every check can fail: a hand-made story for each property, and what its check says of it.

mod configs;
mod efforts;
mod follows;
mod holds;
mod story;
mod views;

use std::collections::BTreeSet;

use self::story::Story;
use super::{Checks, Property, same};
use crate::draw::Mix;
use crate::plan::Plan;
use crate::run::Runner;

/// A story in which one property does not hold, and what its check is to say.
struct Row {
    property: Property,
    story: Story,
    says: &'static str,
}

impl Row {
    fn new(property: Property, story: Story, says: &'static str) -> Self {
        Self { property, story, says }
    }
}

#[test]
fn every_check_can_fail() {
    let rows = [views::rows(), holds::rows(), configs::rows(), efforts::rows(), follows::rows()];
    let mut fell = BTreeSet::from([Property::EF8]);
    for Row { property, story, says } in rows.into_iter().flatten() {
        let checks = story.checked();
        let own = checks.violations().iter().filter(|violation| violation.property == property);
        let texts: Vec<_> = own.map(|violation| violation.text.as_str()).collect();
        assert!(
            texts.iter().any(|text| text.contains(says)),
            "{property} is to say {says:?}; it says {texts:?}, all say {:#?}",
            checks.violations()
        );
        assert!(checks.looked()[&property] > 0, "{property} counted nothing");
        fell.insert(property);
    }
    let all: BTreeSet<_> = Property::ALL.iter().copied().collect();
    assert_eq!(all, fell, "a property has no row");
}

/// A check is asked only about entries of the kinds that it names: of no other does it take notice.
#[test]
fn checks_name_all_that_they_look_at() {
    let rows = [views::rows(), holds::rows(), configs::rows(), efforts::rows(), follows::rows()];
    let stories = rows.into_iter().flatten().map(|row| row.story.entries);
    let drawn = (0..4).map(|seed| {
        let mut runner = Runner::new(&Plan::draw(seed, &Mix::default()), true);
        while runner.entries() < 500 && runner.step() {}
        runner.trace().to_vec()
    });
    for entries in stories.chain(drawn) {
        let mut checks = Checks::new();
        for entry in &entries {
            checks.see(entry);
            assert_eq!(checks.surprised(entry), [], "{entry}");
        }
    }
}

/// The stories that the rows spoil are good until then.
#[test]
fn good_stories_pass() {
    let stories = [
        ("registration", Story::registered()),
        ("directory", Story::directory()),
        ("update", Story::updated()),
        ("follower", follows::followed()),
        ("a member that lags, vouched for", views::follows_from_behind(true)),
        ("progress that is meant", views::from_progress().on("3.5.8")),
    ];
    for (name, story) in stories {
        let mut checks = Checks::new();
        for entry in &story.entries {
            checks.see(entry);
        }
        assert_eq!(checks.violations(), [], "{name}");
    }
}

/// EF8's row: what is compared are whole traces.
#[test]
fn traces_that_differ_are_told_apart() {
    let one = Story::registered().entries;
    let mut other = one.clone();
    assert_eq!(same(&one, &other), Ok(()));
    other.pop();
    let shorter = same(&one, &other).expect_err("it lacks a line");
    assert!(shorter.text.contains("and then \"nothing\""), "{shorter}");
    other[2].at = other[2].at + std::time::Duration::from_nanos(1);
    let changed = same(&one, &other).expect_err("a line is another");
    assert!(changed.text.starts_with("line 3 is"), "{changed}");
}
