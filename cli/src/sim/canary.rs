//! What is broken on purpose, and whether the checks notice.

use std::sync::atomic::{AtomicUsize, Ordering};

use portolan_sim::canary::{BY_HAND, SEEDS};
use portolan_sim::{Canary, Property};
use serde::Serialize;

use crate::fail::Failure;
use crate::out::{Out, Row};

/// What a canary came to; or a property that has none.
#[derive(Serialize)]
struct Line {
    canary: Option<&'static str>,
    /// What is broken; of a property without a canary, why it has none.
    what: &'static str,
    breaks: Property,
    mix: Option<&'static str>,
    /// The seed of the first plan in which it fell.
    seed: Option<u64>,
    /// What fell at the same step; if it did not fall itself, what did in its place.
    others: Vec<Property>,
}

impl Row for Line {
    const HEADER: &'static [&'static str] =
        &["CANARY", "BREAKS", "MIX", "SEED", "OTHERS", "WHAT IS BROKEN"];

    fn cells(&self) -> Vec<String> {
        let or_none = |text: Option<&str>| text.unwrap_or("-").to_owned();
        let others: Vec<_> = self.others.iter().map(ToString::to_string).collect();
        vec![
            or_none(self.canary),
            self.breaks.to_string(),
            or_none(self.mix),
            self.seed.map_or_else(|| "-".to_owned(), |seed| seed.to_string()),
            if others.is_empty() { "-".to_owned() } else { others.join(",") },
            self.what.to_owned(),
        ]
    }
}

pub fn run(out: Out, name: Option<&str>) -> Result<(), Failure> {
    let mut canaries = Canary::all();
    if let Some(name) = name {
        canaries.retain(|canary| canary.name == name);
        if canaries.is_empty() {
            return Err(Failure::NotFound(format!(
                "there is no canary with the name {name}; `portolan sim canary` lists them"
            )));
        }
    }
    let mut lines = come_to(&canaries);
    let alive = lines.iter().filter(|line| line.seed.is_none()).count();
    if name.is_none() {
        lines.extend(BY_HAND.iter().map(|&(breaks, what)| Line {
            canary: None,
            what,
            breaks,
            mix: None,
            seed: None,
            others: Vec::new(),
        }));
    }
    out.rows(&lines)?;
    if alive > 0 {
        let of = canaries.len();
        let plans = SEEDS.end;
        return Err(Failure::Failed(format!(
            "{alive} of {of} canaries did not fall by their own check within {plans} plans"
        )));
    }
    Ok(())
}

/// On all cores.
fn come_to(canaries: &[Canary]) -> Vec<Line> {
    let next = AtomicUsize::new(0);
    let work = || -> Vec<(usize, Line)> {
        let numbers = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
        let canaries = numbers.map_while(|number| Some((number, canaries.get(number)?)));
        canaries.map(|(number, canary)| (number, line(canary))).collect()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut lines = std::thread::scope(|scope| {
        let others: Vec<_> = (1..cores).map(|_| scope.spawn(work)).collect();
        let mut lines = work();
        for other in others {
            // A thread ends early only by a panic, which goes on here.
            lines.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        lines
    });
    lines.sort_by_key(|(number, _)| *number);
    lines.into_iter().map(|(_, line)| line).collect()
}

fn line(canary: &Canary) -> Line {
    let Canary { name, what, breaks, mix, .. } = *canary;
    let (seed, others) = match canary.fall(SEEDS) {
        Ok(fall) => (Some(fall.plan.seed), fall.others),
        Err(survival) => (None, survival.instead),
    };
    let others = others.into_iter().collect();
    Line { canary: Some(name), what, breaks, mix: Some(mix), seed, others }
}
