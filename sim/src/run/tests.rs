use std::cell::Cell;

use portolan_core::waist::LeaseId;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::plan::{Cut, Do, Left, StoreFault, WorldSetup};
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

/// One of the things that somebody who plays with a world does to it.
fn some_act(runner: &Runner, number: u64) -> Do {
    let processes = runner.world().processes().len() as u64;
    let process = (number / 16 % processes) as u16;
    let lease = runner.world().store().leases().nth((number / 16 % 8) as usize);
    let of_lease = |act: fn(LeaseId) -> Do| lease.map(|view| act(view.lease));
    let act = match number % 16 {
        0 | 1 => Some(Do::AddProcess {}),
        2 | 3 => Some(Do::Clock { process, drift_permille: (number / 64 % 400) as i16 }),
        4 | 5 => of_lease(|lease| Do::Expire { lease }),
        6 => of_lease(|lease| Do::Revoke { lease }),
        7 | 8 => Some(Do::Mend { left: Left::default() }),
        9 => Some(Do::Crash { process }),
        10 => Some(Do::Pause { process }),
        11 => Some(Do::Cut { process, member: None, way: Cut::Both, reset: false }),
        12 => Some(Do::Store { fault: StoreFault::Wipe }),
        13 => Some(Do::Compact { keep: 0 }),
        _ => None,
    };
    act.unwrap_or(Do::Restart { process })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whoever does something in a world that runs has changed its plan: the changed one, run from its
    /// beginning, takes the same course.
    #[test]
    fn what_is_done_meanwhile_could_have_been_planned(
        seed in 0..100_000_u64,
        lasts_ms in 0..40_000_u64,
        acts in vec((0..5_000_u64, 0..1_000_000_u64), 0..12),
    ) {
        let plan = Plan::draw(seed, &Mix::default());
        let mut plan = Plan { lasts_ms, ..plan };
        let mut runner = Runner::new(&plan, false);
        for (later, number) in acts {
            let at_ms = runner.world().now().as_nanos() / 1_000_000 + 1 + later;
            runner.run_until(Time::from_millis(at_ms));
            let step = Step { at_ms, what: some_act(&runner, number) };
            plan.steps.push(step);
            if runner.replan(&plan).is_err() {
                prop_assert!(runner.has_ended() || runner.has_healed());
                plan.steps.pop();
            }
        }
        runner.finish();
        let read = Plan::parse(&plan.to_text()).expect("it is a plan");
        prop_assert_eq!(&read, &plan);
        let mut planned = Runner::new(&read, false);
        planned.finish();
        prop_assert_eq!(runner.hash(), planned.hash());
        prop_assert_eq!(runner.violation(), planned.violation());
        prop_assert_eq!(runner.violation(), None);
    }
}

/// What has happened cannot be planned otherwise; and nothing can once all has healed.
#[test]
fn the_past_cannot_be_planned_otherwise() {
    let plan = Plan { lasts_ms: 5_000, ..among_forty(WorldSetup::default(), &[CUT]) };
    let mut runner = Runner::new(&plan, false);
    runner.run_until(Time::from_millis(3_000));
    let with = |at_ms| {
        let mut plan = plan.clone();
        plan.steps.push(Step { at_ms, what: Do::Mend { left: Left::default() } });
        plan
    };
    let now = runner.world().now();
    assert_eq!(runner.replan(&with(10)), Err(TooLate { now }));
    assert_eq!(runner.replan(&Plan { lasts_ms: 0, ..plan.clone() }), Err(TooLate { now }));
    assert_eq!(runner.replan(&Plan { seed: 8, ..plan.clone() }), Err(TooLate { now }));
    assert_eq!(runner.plan(), &plan);
    assert_eq!(runner.replan(&with(3_500)), Ok(()));
    assert!(!runner.has_healed());
    runner.run_until(Time::from_millis(5_001));
    assert!(runner.has_healed());
    assert!(runner.replan(&with(9_000)).is_err());
}
