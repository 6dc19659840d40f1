//! Clients of other fleets: where nothing fails but processes they hold what they are made for.
#![expect(clippy::disallowed_methods, reason = "the harness uses both cores")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use portolan_core::name::InstanceId;
use portolan_sim::check::same;
use portolan_sim::plan::{Do, Fleet, SubjectKind, Subjects};
use portolan_sim::run::{Failure, failure_of};
use portolan_sim::{Mix, Plan, Property, Runner};

/// What they are made for: to show what there is, to have stand what is wanted, to leave nothing
/// behind.
const MADE_FOR: &[Property] = &[Property::LV1, Property::LV2, Property::LV3];

/// The plan of a seed, with a fleet's clients in all of its processes.
fn plan(seed: u64, mix: &Mix, fleet: Fleet) -> Plan {
    let mut plan = Plan::draw(seed, mix);
    let processes = usize::from(plan.world.processes);
    plan.world.subjects = Subjects(vec![SubjectKind::Naive(fleet); processes]);
    plan.held_to = MADE_FOR.to_vec();
    for step in &mut plan.steps {
        // In none of these fleets do two processes want one key: ids are addresses, or drawn.
        if let Do::Register { process, instance, .. } = &mut step.what
            && instance.as_str() == "shared"
        {
            *instance = InstanceId::parse(&format!("shared-{process}")).expect("a name");
        }
    }
    plan
}

/// What a thousand plans came to.
#[derive(Default)]
struct Ran {
    failures: Vec<Failure>,
    looked: BTreeMap<Property, u64>,
}

fn run(fleet: Fleet) -> Ran {
    let crash = Mix::named("crash").expect("it has that name");
    let mix = Mix { processes: (2, 4), seconds: (15, 25), ..crash };
    let next = AtomicU64::new(0);
    let work = || {
        let mut ran = Ran::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= PLANS {
                return ran;
            }
            let plan = plan(seed, &mix, fleet);
            let mut runner = Runner::new(&plan, false);
            runner.finish();
            for (property, looked) in runner.checks().looked() {
                *ran.looked.entry(property).or_default() += looked;
            }
            let violation = runner.violation().cloned();
            ran.failures.extend(violation.map(|violation| Failure { plan, violation }));
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut ran = work();
        let other = other.join().expect("the other half runs plans too");
        ran.failures.extend(other.failures);
        for (property, looked) in other.looked {
            *ran.looked.entry(property).or_default() += looked;
        }
        ran
    })
}

fn holds(fleet: Fleet) {
    let Ran { failures, looked } = run(fleet);
    let shortest = failures.iter().min_by_key(|failure| failure.plan.steps.len());
    let shown = shortest.map(ToString::to_string).unwrap_or_default();
    let seeds: Vec<_> = failures.iter().map(|failure| failure.plan.seed).collect();
    assert!(failures.is_empty(), "{fleet:?} fell with the seeds {seeds:?}: {shown}");
    // Of nothing else, and often.
    assert!(looked.keys().eq(MADE_FOR), "{looked:?}");
    assert!(looked.values().all(|&looked| looked >= PLANS / 2), "{looked:?}");
}

const PLANS: u64 = 1_000;

#[test]
fn go_kit_outlives_crashes() {
    holds(Fleet::GoKit);
}

#[test]
fn etcd_naming_outlives_crashes() {
    holds(Fleet::EtcdNaming);
}

#[test]
fn lumeweb_outlives_crashes() {
    holds(Fleet::Lumeweb);
}

#[test]
fn scalingo_outlives_crashes() {
    holds(Fleet::Scalingo);
}

#[test]
fn ligato_outlives_crashes() {
    holds(Fleet::Ligato);
}

/// Where all may fail each of them falls, and the engine in its place does not.
#[test]
fn where_all_may_fail_the_engine_holds_and_they_do_not() {
    let fell = |plan: &Plan| failure_of(plan).is_some();
    let mut falls = BTreeMap::new();
    for seed in 0..20 {
        let mix = Mix::default();
        for &fleet in Fleet::ALL {
            *falls.entry(format!("{fleet:?}")).or_insert(0) +=
                u32::from(fell(&plan(seed, &mix, fleet)));
        }
        let mut engines = plan(seed, &mix, Fleet::GoKit);
        engines.world.subjects = Subjects::default();
        assert_eq!(failure_of(&engines), None);
    }
    assert!(falls.len() == Fleet::ALL.len() && falls.values().all(|&falls| falls > 0), "{falls:?}");
}

/// EF8, of these clients too.
#[test]
fn the_same_plan_gives_the_same_trace() {
    for (seed, &fleet) in (0..).zip(Fleet::ALL) {
        let plan = plan(seed, &Mix::default(), fleet);
        assert_eq!(Plan::parse(&plan.to_text()).expect("a drawn plan reads back"), plan);
        let mut first = Runner::new(&plan, true);
        (0..1_000).for_each(|_| _ = first.step());
        let mut midway = first.clone();
        first.finish();
        midway.finish();
        let mut again = Runner::new(&plan, true);
        again.finish();
        for other in [midway, again] {
            assert_eq!(same(first.trace(), other.trace()), Ok(()), "{fleet:?}");
            assert!(first.world() == other.world(), "{fleet:?}: the worlds differ");
        }
    }
}
