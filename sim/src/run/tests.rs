use std::cell::Cell;

use super::*;
use crate::plan::{Do, WorldSetup};
use crate::{Mix, Property};

/// Forty steps that heal what is not cut, and these among them.
fn among_forty(world: WorldSetup, steps: &[&str]) -> Plan {
    let json = |text: &str| serde_json::from_str(text).expect("this is a step");
    let mut all: Vec<_> = (0..40)
        .map(|n| json(&format!(r#"{{"at_ms":{n},"do":{{"heal":{{"process":0}}}}}}"#)))
        .collect();
    for (at, step) in (0..).map(|n| n * 13 + 5).zip(steps) {
        all.insert(at, json(&format!(r#"{{"at_ms":{at},"do":{step}}}"#)));
    }
    Plan::of(7, world, all)
}

fn failure(plan: &Plan, property: Property) -> Failure {
    let violation = Violation { property, at: plan.last(), text: String::new() };
    Failure { plan: plan.clone(), violation }
}

const CUT: &str = r#"{"cut":{"process":0,"way":"both"}}"#;
const COMPACT: &str = r#"{"compact":{"keep":0}}"#;
const CRASH: &str = r#"{"crash":{"process":0}}"#;

/// It fails where all three are there in their order; where one is missing, often in another way.
#[test]
fn what_matters_is_left() {
    let tries = Cell::new(0);
    let judge = |plan: &Plan| {
        tries.set(tries.get() + 1);
        let matters: Vec<_> =
            plan.steps.iter().filter(|step| !matches!(step.what, Do::Heal { .. })).collect();
        let [cut, compact, crash] = matters.as_slice() else {
            return (matters.len() == 2).then(|| failure(plan, Property::LV2));
        };
        let all = matches!(cut.what, Do::Cut { .. })
            && matches!(compact.what, Do::Compact { .. })
            && matches!(crash.what, Do::Crash { .. });
        all.then(|| failure(plan, Property::VW1))
    };
    let plan = among_forty(WorldSetup::default(), &[CUT, COMPACT, CRASH]);
    let small = shrink_by(judge(&plan).expect("it fails"), 2_000, judge);
    assert_eq!(small.plan.steps.len(), 3, "{}", small.plan.to_text());
    assert_eq!(small.violation.property, Property::VW1);
    assert!(tries.get() < 100, "{} tries", tries.get());
    tries.set(0);
    let larger = shrink_by(judge(&plan).expect("it fails"), 5, judge);
    assert_eq!(tries.get(), 6, "no more than it may try");
    assert_eq!(larger.violation.property, Property::VW1);
}

/// Where every message travels for ten seconds, nothing is answered in time.
#[test]
fn a_real_plan_becomes_small() {
    let mut world = WorldSetup::default();
    world.wire.delay_us = (10_000_000, 10_000_000);
    let open = r#"{"open":{"process":0,"id":1,"scope":"all-configs"}}"#;
    let fell = failure_of(&among_forty(world, &[open])).expect("it fails");
    let small = shrink(fell.clone(), 2_000);
    assert_eq!(small.violation.property, fell.violation.property);
    assert!(matches!(&small.plan.steps[..], [step] if matches!(step.what, Do::Open { .. })));
    assert_eq!(failure_of(&small.plan), Some(small), "it can be replayed");
}

#[test]
fn what_holds_does_not_fail() {
    assert_eq!(failure_of(&Plan::draw(1, &Mix::named("calm").expect("a name"))), None);
}
