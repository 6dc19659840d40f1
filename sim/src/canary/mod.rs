//! Canaries: for every check something that is broken on purpose, and that it must notice.
//!
//! Where nothing falls, either all holds or nobody looks. Each canary breaks one thing: what an
//! engine hears, says, or is set up with, what the store makes of what reaches it, or what sort of
//! store it is. Then drawn plans are run, and the property that cannot hold must be among the first
//! that do not. The engine is the one that production runs, and knows nothing of it. The plan says
//! what is broken, so one that fell is replayed and made small like any other.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is broken is one thing among many, and all else is right to pass, also what is new"
)]

mod breakage;
mod broken;
mod configs;
mod efforts;
mod follows;
mod holds;
mod memory;
#[cfg(test)]
mod tests;
mod views;

use std::collections::BTreeSet;
use std::ops::Range;

pub use self::breakage::Breakage;
pub(crate) use self::broken::Broken;
use crate::check::{Property, Violation};
use crate::draw::Mix;
use crate::plan::{Do, Plan};
use crate::run::Runner;

/// Something broken, and the property that cannot hold then.
#[derive(Clone, Copy, Debug)]
pub struct Canary {
    /// Its name, unique.
    pub name: &'static str,
    /// What is broken, in a sentence.
    pub what: &'static str,
    /// The property that must fall.
    pub breaks: Property,
    /// The name of the mix in whose plans it must.
    pub mix: &'static str,
    /// Does it to a plan.
    spoil: Spoil,
}

/// How a plan is spoiled.
#[derive(Clone, Copy, Debug)]
enum Spoil {
    /// Something around the engine or the store breaks.
    Breakage(Breakage),
    /// The world is another one than it says.
    World(fn(&mut Plan)),
}

/// A plan in which a canary's property fell.
#[derive(Clone, Debug)]
pub struct Fall {
    /// The plan, with what is broken in it.
    pub plan: Plan,
    /// What did not hold of the canary's property.
    pub violation: Violation,
    /// What else did not hold at the same step.
    pub others: BTreeSet<Property>,
}

/// A canary that did not fall as it must.
#[derive(Clone, Debug, Default)]
pub struct Survival {
    /// What fell in its place, in plans where its own property could not any more.
    pub instead: BTreeSet<Property>,
}

impl Canary {
    /// All of them, in the order of their properties.
    pub fn all() -> Vec<Self> {
        let mut all: Vec<_> = Breakage::ALL.iter().map(|&of| Self::of(of)).collect();
        all.extend(OTHERS);
        all.sort_by_key(|canary| canary.breaks);
        all
    }

    /// The one of that name.
    pub fn find(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|canary| canary.name == name)
    }

    /// The plan of a seed, with what is broken in it. A mix that has no such name counts as full.
    pub fn plan(&self, seed: u64) -> Plan {
        let mut plan = Plan::draw(seed, &Mix::named(self.mix).unwrap_or_default());
        self.what.clone_into(&mut plan.about);
        match self.spoil {
            Spoil::Breakage(breakage) => {
                plan.world.broken = Some(breakage);
                if breakage == Breakage::EndsUntold {
                    // Else they are missed at their deadlines (EF4), and never in the end.
                    deadlines_far_off(&mut plan);
                }
            }
            Spoil::World(spoil) => spoil(&mut plan),
        }
        plan
    }

    /// Runs the plans of seeds until its property is among the first that do not hold.
    ///
    /// # Errors
    /// In none of them is it: the check is too weak, or what is broken does not matter.
    pub fn fall(&self, seeds: Range<u64>) -> Result<Fall, Survival> {
        let mut survival = Survival::default();
        for seed in seeds {
            let plan = self.plan(seed);
            let mut runner = Runner::new(&plan, false);
            runner.finish();
            let violations = runner.checks().violations();
            let mut others: BTreeSet<_> = violations.iter().map(|found| found.property).collect();
            if let Some(own) = violations.iter().find(|found| found.property == self.breaks) {
                others.remove(&self.breaks);
                return Ok(Fall { violation: own.clone(), plan, others });
            }
            survival.instead.extend(others);
        }
        Err(survival)
    }

    fn of(breakage: Breakage) -> Self {
        Self {
            name: breakage.name(),
            what: breakage.what(),
            breaks: breakage.breaks(),
            mix: breakage.mix(),
            spoil: Spoil::Breakage(breakage),
        }
    }
}

/// In how many plans a canary must have fallen.
pub const SEEDS: Range<u64> = 0..200;

/// What is broken elsewhere than around engines and the store.
const OTHERS: &[Canary] = &[
    Canary {
        name: "progress-too-early",
        what: "The store tells progress before what came until then, though its release does not.",
        breaks: Property::VW9,
        mix: "store",
        spoil: Spoil::World(|plan| {
            plan.world.store.version = "3.7.0".to_owned();
            plan.world.store.quirks = portolan_memory::Quirks::default();
            plan.world.store.quirks.progress_out_of_step = true;
        }),
    },
    Canary {
        name: "leases-never-end",
        what: "The store revokes no lease whose time is over.",
        breaks: Property::LV3,
        mix: "crash",
        spoil: Spoil::World(|plan| plan.world.store.lease_scan_limit = 0),
    },
];

/// Properties whose checks nothing broken can bring down, and why. What shows that these can fail is
/// made by hand (`check::tests`).
pub const BY_HAND: &[(Property, &str)] = &[(
    Property::EF8,
    "it compares two runs of one plan, and nothing that a plan can break makes them differ: a world \
     has no door for chance",
)];

fn deadlines_far_off(plan: &mut Plan) {
    for step in &mut plan.steps {
        if let Do::Update { within_ms, .. } | Do::Call { within_ms, .. } = &mut step.what {
            *within_ms = 24 * 3_600_000;
        }
    }
}
