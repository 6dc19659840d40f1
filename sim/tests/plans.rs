//! Drawn plans, under all checks.
//!
//! ```text
//! PORTOLAN_PLANS=100000 cargo nextest run -p portolan-sim --no-capture drawn   more of them
//! PORTOLAN_FROM=7000    ..                                                     from another seed
//! PORTOLAN_KEEP=FOLDER  ..                                                     keeps what failed
//! PORTOLAN_PLAN=FILE    cargo nextest run -p portolan-sim --no-capture --run-ignored only replay
//!                                              one, with its trace; PORTOLAN_SEED=7 draws it
//! ```
#![expect(clippy::disallowed_methods, reason = "the harness reads its knobs")]
#![expect(clippy::print_stderr, reason = "the harness shows progress")]

use std::collections::BTreeMap;

use portolan_sim::check::same;
use portolan_sim::plan::{Fleet, SubjectKind, Subjects, WorldSetup};
use portolan_sim::run::{Failure, shrink};
use portolan_sim::{Batch, Mix, Plan, Property, Runner};

/// On both cores.
fn run(plans: u64, from: u64) -> Batch {
    let mut all = Batch::default();
    let end = from + plans;
    for start in (from..end).step_by(5_000) {
        let seeds = start..end.min(start + 5_000);
        all.join(Batch::of(seeds, &Mix::default(), 2, MOST_FAILURES));
        if all.failures.len() as u64 >= MOST_FAILURES {
            break;
        }
        eprintln!("{} plans, {} failures", all.plans, all.failures.len());
    }
    all
}

const MOST_FAILURES: u64 = 20;

fn knob(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}; it takes a number")))
}

#[test]
fn drawn_plans_hold() {
    let plans = knob("PORTOLAN_PLANS").unwrap_or(5_000);
    let mut batch = run(plans, knob("PORTOLAN_FROM").unwrap_or(0));
    eprintln!("{batch}");
    eprintln!("plans by machine: {:?}", batch.machines);
    eprintln!("plans by mark: {:?}", batch.marks);
    eprintln!("plans by fault: {:?}", batch.faults);
    eprintln!("looked: {:?}", batch.looked);
    let mut by_property: BTreeMap<Property, Vec<Failure>> = BTreeMap::new();
    for failure in std::mem::take(&mut batch.failures) {
        by_property.entry(failure.violation.property).or_default().push(failure);
    }
    let folder = std::env::var("PORTOLAN_KEEP").ok();
    let failed: Vec<_> = by_property
        .into_values()
        .map(|failures| {
            let seeds: Vec<_> = failures.iter().map(|failure| failure.plan.seed).collect();
            for (folder, failure) in
                folder.iter().flat_map(|f| failures.iter().map(move |x| (f, x)))
            {
                let (seed, property) = (failure.plan.seed, failure.violation.property);
                let shrunk = shrink(failure.clone(), 2_000);
                eprintln!("{}", shrunk.violation);
                let path = format!("{folder}/{property}-{seed}.json");
                std::fs::write(&path, shrunk.plan.to_text()).expect("the folder can be written");
            }
            let shortest = failures.into_iter().min_by_key(|failure| failure.plan.steps.len());
            let shrunk = shortest.map(|failure| shrink(failure, 2_000).to_string());
            format!("seeds {seeds:?}: {}", shrunk.unwrap_or_default())
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    if plans >= 1_000 {
        assert_eq!(batch.unproven(), Vec::<String>::new(), "in {plans} plans");
    }
}

/// A batch comes to the same however many run beside each other.
#[test]
fn threads_do_not_matter() {
    let said = |threads| {
        let batch = Batch::of(3..15, &Mix::default(), threads, 1);
        format!("{batch} {} {:?} {:?} {:?}", batch.events, batch.looked, batch.marks, batch.faults)
    };
    assert!(said(1).starts_with("12 plans, "), "{}", said(1));
    assert_eq!(said(1), said(3));
}

#[test]
fn a_batch_says_what_it_leaves_unproven() {
    let mut batch = Batch::default();
    batch.run(0, &Mix { classes: Vec::new(), follows: (0, 0), ..Mix::default() });
    let unproven = batch.unproven();
    for expected in ["FO1 had nothing to look at", "there was no Crash", "there was no LeaseLost"] {
        assert!(unproven.iter().any(|text| text == expected), "{expected} in {unproven:?}");
    }
}

#[test]
fn what_is_no_plan_is_refused() {
    let refused = |text: &str| Plan::parse(text).expect_err(text).to_string();
    assert_eq!(refused(r#"{"version": 2, "steps": []}"#), "version is 2; it takes 1");
    assert_eq!(
        refused(r#"{"world": {"processes": 4097}, "steps": []}"#),
        "world.processes is 4097; it takes 1 to 4096"
    );
    let nobody = r#"{"steps": [{"at_ms": 0, "do": {"crash": {"process": 1}}}]}"#;
    assert_eq!(refused(nobody), "steps[0] names process 1 of 1, numbered from 0");
    let unknown = refused(r#"{"world": {"subjects": [{"naive": "consul"}]}, "steps": []}"#);
    assert!(unknown.contains("unknown variant `consul`, expected one of `go-kit`"), "{unknown}");
    let store = |secs: u64| {
        let span = format!(r#"{{"secs": {secs}, "nanos": 0}}"#);
        refused(&format!(
            r#"{{"world": {{"store": {{"election_timeout": {span}}}}}, "steps": []}}"#
        ))
    };
    let takes = "it takes 1 to 3600000";
    for (secs, millis) in [(0, "0"), (3_601, "3601000"), (u64::MAX, "18446744073709551615")] {
        let said = format!("world.store.election_timeout, in ms, is {millis}; {takes}");
        assert_eq!(store(secs), said);
    }
    let unknown = refused(r#"{"held_to": ["LV99"], "steps": []}"#);
    assert!(unknown.contains("unknown variant `LV99`"), "{unknown}");
    assert!(refused("{}").starts_with("not a plan: missing field `steps`"));
    let left = |left: &str| {
        refused(&format!(r#"{{"world": {{"members": 3}}, "left": {left}, "steps": []}}"#))
    };
    assert_eq!(left(r#"{"processes": [1]}"#), "left.processes is 1; it takes 0");
    assert_eq!(left(r#"{"members": [3]}"#), "left.members is 3; it takes 0 to 2");
    assert_eq!(left(r#"{"members": [0, 1]}"#), "left.members, counted, is 2; it takes 0 to 1");
}

/// A run stops at the first property that does not hold, of those that its plan is held to.
#[test]
fn a_plan_is_held_to_what_it_says() {
    let all = Plan::draw(0, &Mix::default());
    assert!(!all.to_text().contains("held_to"));
    let plan = Plan { held_to: vec![Property::LV1, Property::VW1], ..all };
    assert_eq!(Plan::parse(&plan.to_text()).expect("it reads back"), plan);
    let mut runner = Runner::new(&plan, false);
    runner.finish();
    let looked: Vec<_> = runner.checks().looked().keys().copied().collect();
    assert_eq!(looked, [Property::VW1, Property::LV1]);
}

/// What is tried in each process.
#[test]
fn a_plan_with_clients_of_other_fleets_reads_back() {
    let plan = Plan::parse(
        r#"{"world": {"processes": 3, "subjects": ["engine", {"naive": "lumeweb"}]}, "steps": []}"#,
    )
    .expect("a plan");
    let kinds: Vec<_> = (0..3).map(|process| plan.world.subjects.of(process)).collect();
    let lumeweb = SubjectKind::Naive(Fleet::Lumeweb);
    assert_eq!(kinds, [SubjectKind::Engine, lumeweb, SubjectKind::Engine]);
    for &fleet in Fleet::ALL {
        let mut plan = plan.clone();
        plan.world.subjects = Subjects(vec![SubjectKind::Naive(fleet)]);
        assert_eq!(Plan::parse(&plan.to_text()).expect("it reads back"), plan);
    }
    let text = Plan::of(7, WorldSetup::default(), Vec::new()).to_text();
    assert!(!text.contains("subjects"), "{text}");
}

/// EF8: the same plan gives the same trace to the byte, and so does a clone of the world taken
/// midway.
#[test]
fn the_same_plan_gives_the_same_trace() {
    for seed in 0..20 {
        let plan = Plan::draw(seed, &Mix::default());
        let text = plan.to_text();
        assert_eq!(Plan::parse(&text).expect("a drawn plan reads back"), plan, "seed {seed}");
        let mut first = Runner::new(&plan, true);
        let mut steps = 0;
        let mut midway = None;
        while first.step() {
            steps += 1;
            if steps == 1_000 {
                midway = Some(first.clone());
            }
        }
        let mut second = Runner::new(&plan, true);
        second.finish();
        for (name, other) in [("again", Some(second)), ("from midway", midway)] {
            let Some(mut other) = other else { continue };
            other.finish();
            assert_eq!(same(first.trace(), other.trace()), Ok(()), "seed {seed}, {name}");
            assert_eq!(first.hash(), other.hash(), "seed {seed}, {name}");
            assert!(first.world() == other.world(), "seed {seed}, {name}: the worlds differ");
        }
    }
}

/// Replays `PORTOLAN_PLAN`, or draws `PORTOLAN_SEED`, and shows the trace.
#[test]
#[ignore = "a tool: it takes a plan from PORTOLAN_PLAN, or draws one from PORTOLAN_SEED"]
fn replay() {
    let plan = match (std::env::var("PORTOLAN_PLAN"), knob("PORTOLAN_SEED")) {
        (Ok(path), _) => {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
            Plan::parse(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
        }
        (Err(_), Some(seed)) => Plan::draw(seed, &Mix::default()),
        (Err(_), None) => panic!("PORTOLAN_PLAN names a plan's file, or PORTOLAN_SEED a seed"),
    };
    let mut runner = Runner::new(&plan, true);
    runner.finish();
    for entry in runner.trace() {
        eprintln!("{entry}");
    }
    eprintln!("hash {}", runner.hash());
    if let Some(violation) = runner.violation() {
        panic!("{violation}");
    }
}
