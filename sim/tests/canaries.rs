//! Canaries: what is broken on purpose is noticed, each by its own check.
#![expect(clippy::disallowed_methods, reason = "the harness uses both cores")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use portolan_sim::canary::{BY_HAND, Breakage, SEEDS};
use portolan_sim::plan::WorldSetup;
use portolan_sim::run::{Failure, shrink};
use portolan_sim::{Canary, Mix, Plan, Property, Runner};

/// What a canary came to.
fn come_to(canary: &Canary) -> Result<(), String> {
    let Canary { name, breaks, mix, .. } = canary;
    let fall = canary.fall(SEEDS).map_err(|survival| {
        format!("{name} does not make {breaks} fall in the mix {mix}; {:?} fell", survival.instead)
    })?;
    // It is what is broken that makes it fall.
    let seed = fall.plan.seed;
    let whole = Plan::draw(seed, &Mix::named(mix).expect("a mix with a name"));
    let mut runner = Runner::new(&whole, false);
    runner.finish();
    match runner.violation() {
        None => Ok(()),
        Some(violation) => Err(format!("{name}: seed {seed} falls as it is: {violation}")),
    }
}

#[test]
fn every_canary_falls_by_its_own_check() {
    let all = Canary::all();
    let next = AtomicUsize::new(0);
    let work = || {
        let canaries = std::iter::from_fn(|| all.get(next.fetch_add(1, Ordering::Relaxed)));
        canaries.filter_map(|canary| come_to(canary).err()).collect::<Vec<_>>()
    };
    let wrong = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut wrong = work();
        wrong.extend(other.join().expect("the other half falls too"));
        wrong
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Without seeds, which any change of the draw moves.
#[test]
fn the_table_of_canaries() {
    let canaries = Canary::all();
    let rows = canaries.iter().map(|Canary { name, what, breaks, mix, .. }| {
        format!("{:4} {mix:9} {name:22} {what}\n", breaks.to_string())
    });
    let by_hand = BY_HAND
        .iter()
        .map(|(property, why)| format!("{:4} by hand: {why}\n", property.to_string()));
    insta::assert_snapshot!("canaries", rows.chain(by_hand).collect::<String>());
}

#[test]
fn every_property_has_a_canary_or_a_reason() {
    let broken: BTreeSet<_> = Canary::all().iter().map(|canary| canary.breaks).collect();
    let by_hand: BTreeSet<_> = BY_HAND.iter().map(|(property, _)| *property).collect();
    assert_eq!(broken.intersection(&by_hand).count(), 0, "what falls needs no reason");
    let all: BTreeSet<_> = Property::ALL.iter().copied().collect();
    assert_eq!(broken.union(&by_hand).copied().collect::<BTreeSet<_>>(), all);
}

#[test]
fn canaries_are_found_by_their_names() {
    let all = Canary::all();
    let names: BTreeSet<_> = all.iter().map(|canary| canary.name).collect();
    assert_eq!(names.len(), all.len(), "two have one name");
    for canary in all {
        let found = Canary::find(canary.name).expect("it has that name");
        assert_eq!((found.what, found.breaks), (canary.what, canary.breaks));
        assert!(canary.what.ends_with('.'), "{} says nothing", canary.name);
        assert!(Mix::named(canary.mix).is_some(), "{} is no mix", canary.mix);
    }
    assert!(Canary::find("no such").is_none());
}

/// A plan says what is broken in it, so that it can be kept, replayed, and made small.
#[test]
fn a_plan_that_fell_is_replayed_and_made_small() {
    let canary = Canary::find("watch-one-later").expect("it has that name");
    let fall = canary.fall(SEEDS).expect("it falls");
    let text = fall.plan.to_text();
    assert!(text.contains(r#""broken":"watch-one-later""#), "{text}");
    let plan = Plan::parse(&text).expect("it reads back");
    assert_eq!(plan, fall.plan);
    let small = shrink(Failure { plan, violation: fall.violation }, 200).plan;
    assert_eq!(small.steps.len(), 1, "a directory is enough: {}", small.to_text());
    assert_eq!(small.world.broken, Some(Breakage::WatchOneLater));
    let world = WorldSetup { broken: None, ..small.world.clone() };
    let mut runner = Runner::new(&Plan { world, ..small }, false);
    runner.finish();
    assert_eq!(runner.violation(), None);
}

#[test]
fn what_is_no_breakage_is_refused() {
    let text = r#"{"world": {"broken": "everything"}, "steps": []}"#;
    let error = Plan::parse(text).expect_err("there is no such thing").to_string();
    assert!(error.contains("unknown variant `everything`"), "{error}");
    let whole = Plan::of(0, WorldSetup::default(), Vec::new()).to_text();
    assert!(!whole.contains("broken"), "{whole}");
}
