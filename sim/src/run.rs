//! Runs plans, and makes failing ones small.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portolan_core::Time;
use portolan_core::waist::Revision;
use serde::{Deserialize, Serialize};

use crate::check::{Checks, Unrest, Violation};
use crate::plan::{Plan, Step};
use crate::trace::{Entry, TraceHash};
use crate::world::World;

/// A plan that is being run, under the checks that it is held to. Clone it to go on twice from one
/// moment.
#[derive(Clone, Debug)]
pub struct Runner {
    world: World,
    checks: Checks,
    hash: TraceHash,
    entries: u64,
    steps: u64,
    plan: Arc<Plan>,
    /// When all heals.
    heals: Time,
    /// Once the plan is done and all has healed.
    settling: Option<Settling>,
    rested: bool,
    heedless: bool,
    trace: Option<Vec<Entry>>,
}

impl Runner {
    /// At the beginning of a plan. `keep`: whether the trace is kept.
    pub fn new(plan: &Plan, keep: bool) -> Self {
        let mut runner = Self {
            world: World::new(plan),
            checks: Checks::of(&plan.held_to),
            hash: TraceHash::EMPTY,
            entries: 0,
            steps: 0,
            plan: Arc::new(plan.clone()),
            heals: plan.heals(),
            settling: None,
            rested: false,
            heedless: false,
            trace: keep.then(Vec::new),
        };
        runner.drain();
        runner
    }

    /// Goes on when something does not hold, to see what comes of it.
    #[must_use]
    pub fn heedless(mut self) -> Self {
        self.heedless = true;
        self
    }

    /// Has the next thing happen; that all heals is one. False at the end, or once something did not
    /// hold.
    pub fn step(&mut self) -> bool {
        if self.has_ended() {
            return false;
        }
        if self.heals_next() {
            self.world.wait_until(self.heals);
            self.world.heal(&self.plan.left);
            self.drain();
            self.settling = Some(Settling::from(&self.world));
            return true;
        }
        let next = self.world.next_at().unwrap_or(Time::NEVER);
        let over = match &mut self.settling {
            Some(settling) => settling.is_over(&self.world, &self.checks, next),
            None => next == Time::NEVER,
        };
        if over || self.steps > self.most_steps() {
            self.rest();
            return false;
        }
        self.steps += 1;
        self.world.step();
        self.drain();
        true
    }

    /// Runs until nothing more happens before a moment. False if something did not hold.
    pub fn run_until(&mut self, moment: Time) -> bool {
        while self.next_at().is_some_and(|at| at < moment) && self.step() {}
        self.violation().is_none()
    }

    /// When the next thing happens; now, where nothing ever will, but it is not found to be at rest
    /// yet. `None` at the end.
    pub fn next_at(&self) -> Option<Time> {
        if self.has_ended() {
            None
        } else if self.heals_next() {
            Some(self.heals)
        } else {
            Some(self.world.next_at().unwrap_or(self.world.now()))
        }
    }

    /// Whether it came to rest, or something did not hold.
    pub fn has_ended(&self) -> bool {
        self.rested || !self.heedless && self.violation().is_some()
    }

    /// Whether all has healed, at the plan's end.
    pub fn has_healed(&self) -> bool {
        self.settling.is_some()
    }

    fn heals_next(&self) -> bool {
        let next = self.world.next_at();
        self.settling.is_none()
            && self.world.plan_is_done()
            && next.is_none_or(|next| next >= self.heals)
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Goes on under another plan that has the same past, as if it had been this one from the start:
    /// the same trace comes of it.
    ///
    /// # Errors
    /// [`TooLate`]: what the plans differ in has happened. All is as it was.
    pub fn replan(&mut self, plan: &Plan) -> Result<(), TooLate> {
        let now = self.world.now();
        let same_world = plan.seed == self.plan.seed
            && plan.world == self.plan.world
            && plan.held_to == self.plan.held_to;
        let past = |plan: &Plan| -> Vec<_> {
            let is_past = |step: &Step| Time::from_millis(step.at_ms) <= now;
            plan.in_order().into_iter().take_while(is_past).collect()
        };
        let heals = plan.heals();
        let heals_in_time = heals > now || heals == self.heals;
        let open = !self.has_ended() && !self.has_healed();
        if !(open && same_world && heals_in_time && past(plan) == past(&self.plan)) {
            return Err(TooLate { now });
        }
        self.world.replan(plan);
        (self.plan, self.heals) = (Arc::new(plan.clone()), heals);
        Ok(())
    }

    /// Takes away what of the trace is kept, and goes on keeping it.
    pub fn take_trace(&mut self) -> Vec<Entry> {
        self.trace.replace(Vec::new()).unwrap_or_default()
    }

    /// Has the world do something else than the next thing.
    pub(crate) fn have(&mut self, it: impl FnOnce(&mut World)) {
        it(&mut self.world);
        self.drain();
    }

    /// Runs to the end.
    pub fn finish(&mut self) {
        while self.step() {}
    }

    /// The world as it is.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// What the checks know.
    pub fn checks(&self) -> &Checks {
        &self.checks
    }

    /// The trace's hash so far.
    pub fn hash(&self) -> TraceHash {
        self.hash
    }

    /// Entries of the trace so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Steps of the world so far.
    pub fn events(&self) -> u64 {
        self.steps
    }

    /// The trace, if it is kept.
    pub fn trace(&self) -> &[Entry] {
        self.trace.as_deref().unwrap_or(&[])
    }

    /// The first thing that did not hold.
    pub fn violation(&self) -> Option<&Violation> {
        self.checks.violations().first()
    }

    fn drain(&mut self) {
        while let Some(entry) = self.world.poll_entry() {
            self.hash = self.hash.with(&entry);
            self.entries += 1;
            self.checks.see(&entry);
            if let Some(trace) = &mut self.trace {
                trace.push(entry);
            }
        }
    }

    fn rest(&mut self) {
        self.rested = true;
        self.checks.at_rest();
    }

    /// A world that never rests is stopped, and found not to be at rest.
    fn most_steps(&self) -> u64 {
        let spans = self.world.now().since(Time::ZERO).as_secs() + 60;
        spans.saturating_mul(20_000)
    }
}

/// A plan differs from another one in what has happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooLate {
    /// When that was found.
    pub now: Time,
}

impl fmt::Display for TooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plans differ in what has happened by {}", self.now)
    }
}

impl std::error::Error for TooLate {}

/// How a world comes to rest: looked at every second, until nothing is left to be done for a
/// while, or nothing has been done for too long.
#[derive(Clone, Debug)]
struct Settling {
    look_at: Time,
    /// The best that was found so far, and when there was progress last.
    best: Unrest,
    progress_at: Time,
    /// Up to where it is progress to be told the store's changes: to where it was at first, and then
    /// a few times to where it is by then. Some stores are written to without end.
    target: Revision,
    targets: u32,
    /// How much had still to be listed when it was looked at last, and how often that became more, as
    /// when somebody who could not take in what it was told lists anew: that is not how it was at best.
    unlisted: u64,
    lists: u32,
}

impl Settling {
    fn from(world: &World) -> Self {
        let (now, target) = (world.now(), world.store().revision());
        let look_at = now + LOOK_EVERY;
        let (best, unlisted) = (Unrest::MOST, u64::MAX);
        Self { look_at, best, progress_at: now, target, targets: 1, unlisted, lists: 0 }
    }

    /// Whether the world has come to rest, or has made no progress for longer than it may, before
    /// the next thing happens in it.
    fn is_over(&mut self, world: &World, checks: &Checks, next: Time) -> bool {
        while next > self.look_at {
            let unrest = checks.unrest(self.target);
            let before = std::mem::replace(&mut self.unlisted, unrest.unlisted);
            if unrest.unlisted > before && self.lists < MOST_LISTS {
                self.best.left = self.best.left.max(unrest.left);
                self.best.unlisted = unrest.unlisted;
                self.lists += 1;
            }
            if unrest.is_progress(&mut self.best) {
                self.progress_at = self.look_at;
            }
            let there = world.store().revision();
            if unrest.untold == 0 && self.target < there && self.targets < MOST_TARGETS {
                (self.target, self.targets) = (there, self.targets + 1);
                self.best.untold = u64::MAX;
            }
            let waited = self.look_at.since(self.progress_at);
            let setup = world.setup();
            if unrest.left == 0 && waited >= setup.quiet_time() || waited >= setup.settling_time() {
                return true;
            }
            self.look_at = self.look_at + LOOK_EVERY;
        }
        false
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often it is progress that everybody was told all that there was.
const MOST_TARGETS: u32 = 4;

/// How often it may become more that is to be listed, before that is no excuse any more: some stores are
/// written to without end.
const MOST_LISTS: u32 = 16;

/// A plan that failed, as small as it could be made.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The plan.
    pub plan: Plan,
    /// What did not hold.
    pub violation: Violation,
}

/// Runs a plan to its end. `None`: all held.
pub fn failure_of(plan: &Plan) -> Option<Failure> {
    let mut runner = Runner::new(plan, false);
    runner.finish();
    let violation = runner.violation()?.clone();
    Some(Failure { plan: plan.clone(), violation })
}

/// Takes steps out of a failing plan as long as the same property still fails; tries at most
/// `tries` plans.
pub fn shrink(failure: Failure, tries: u32) -> Failure {
    shrink_by(failure, tries, failure_of)
}

fn shrink_by(
    failure: Failure,
    mut tries: u32,
    failure_of: impl Fn(&Plan) -> Option<Failure>,
) -> Failure {
    let property = failure.violation.property;
    let mut best = failure;
    let mut size = best.plan.steps.len().div_ceil(2);
    while size > 0 && tries > 0 {
        let mut from = 0;
        let mut shorter = false;
        while from < best.plan.steps.len() && tries > 0 {
            let mut plan = best.plan.clone();
            let to = (from + size).min(plan.steps.len());
            plan.steps.drain(from..to);
            tries -= 1;
            match failure_of(&plan).filter(|failure| failure.violation.property == property) {
                Some(smaller) => {
                    best = smaller;
                    shorter = true;
                }
                None => from += size,
            }
        }
        if !shorter {
            size /= 2;
        }
    }
    best
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.violation)?;
        writeln!(f, "replay: put the plan below into a file, and")?;
        writeln!(
            f,
            "  PORTOLAN_PLAN=FILE cargo nextest run -p portolan-sim --no-capture --run-ignored only \
             replay"
        )?;
        write!(f, "{}", self.plan.to_text())
    }
}

#[cfg(test)]
mod tests;
