use super::{Breakage, Canary, Spoil};
use crate::check::Property;

/// A check that falls without a reason would make every canary fall.
#[test]
fn what_is_not_broken_does_not_fall() {
    let nothing = Canary {
        name: "nothing",
        what: "Nothing is broken.",
        breaks: Property::VW1,
        mix: "full",
        spoil: Spoil::World(|_| {}),
    };
    let survival = nothing.fall(0..5).expect_err("nothing is broken");
    assert!(survival.instead.is_empty(), "{survival:?}");
}

#[test]
fn a_breakage_has_the_name_that_plans_give_it() {
    for &breakage in Breakage::ALL {
        let name = serde_json::to_value(breakage).expect("a word");
        assert_eq!(name, breakage.name());
    }
}
