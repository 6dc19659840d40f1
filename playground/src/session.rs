//! A plan that is being watched and changed: it goes on, it goes back, and what one does is written
//! into it.
//!
//! ```text
//! plan ──▶ the present ──advance──▶ known up to here
//!            ▲   ▲ checkpoints, a clone of the whole now and then
//!            └───┴── seek: from the last checkpoint before a moment
//! act at t ──▶ the plan with a step at the next whole millisecond; the future is forgotten
//! ```

use portolan_core::Time;
use portolan_sim::plan::{Do, Step};
use portolan_sim::{Entry, Plan, Runner, Violation, World};

use crate::belief::Beliefs;

/// One run of a plan.
#[derive(Clone, Debug)]
pub struct Session {
    heedless: bool,
    present: Present,
    /// What is shown: everything up to here, included.
    at: Time,
    /// All that is known of the trace; the present is somewhere in it.
    trace: Vec<Entry>,
    /// By time; the first is the beginning.
    checkpoints: Vec<Present>,
    /// How often the future was forgotten.
    forks: u64,
    /// When it is found to be at its end, if that is known.
    ended: Option<Time>,
    /// When each violation is found: what did not hold at a moment shows once that is over.
    found: Vec<Time>,
}

/// The world at a moment, and what its processes believe.
#[derive(Clone, Debug)]
struct Present {
    runner: Runner,
    beliefs: Beliefs,
    /// How much of the trace has happened.
    entries: usize,
}

impl Session {
    /// At the beginning of a plan. `heedless`: goes on when something does not hold.
    pub fn new(plan: Plan, heedless: bool) -> Self {
        let runner = Runner::new(&plan, true);
        let runner = if heedless { runner.heedless() } else { runner };
        let beliefs = Beliefs::new(plan.world.layout.clone());
        let mut present = Present { runner, beliefs, entries: 0 };
        let trace = present.take();
        let checkpoints = vec![present.clone()];
        let (at, forks) = (Time::ZERO, 0);
        let (ended, found) = (None, Vec::new());
        Self { heedless, present, at, trace, checkpoints, forks, ended, found }
    }

    pub fn plan(&self) -> &Plan {
        self.present.runner.plan()
    }

    /// The moment that is shown.
    pub fn at(&self) -> Time {
        self.at
    }

    pub fn world(&self) -> &World {
        self.present.runner.world()
    }

    pub fn runner(&self) -> &Runner {
        &self.present.runner
    }

    pub fn beliefs(&self) -> &Beliefs {
        &self.present.beliefs
    }

    /// What has happened by now.
    pub fn past(&self) -> &[Entry] {
        &self.trace[..self.present.entries]
    }

    /// What has happened by now, and what is known to come if nobody does anything.
    pub fn known(&self) -> &[Entry] {
        &self.trace
    }

    /// What did not hold by now, and when that is found: then it is there to be seen.
    pub fn violations(&self) -> impl Iterator<Item = (Time, &Violation)> {
        self.found.iter().copied().zip(self.runner().checks().violations())
    }

    /// How often what is known was cut short.
    pub fn forks(&self) -> u64 {
        self.forks
    }

    /// Up to where it is known what happens, if nobody does anything.
    pub fn reaches(&self) -> Time {
        let last = self.trace.last().map_or(Time::ZERO, |entry| entry.at);
        last.max(self.at).max(self.ended.unwrap_or(Time::ZERO))
    }

    /// When the next thing happens; `None` at the end.
    pub fn next(&self) -> Option<Time> {
        self.present.runner.next_at().map(|at| at.max(self.at))
    }

    /// Goes on to a moment; has at most so much happen. Whether it is reached.
    pub fn advance(&mut self, to: Time, mut most: u32) -> bool {
        while self.present.runner.next_at().is_some_and(|next| next <= to) {
            if most == 0 {
                return false;
            }
            most -= 1;
            self.happen();
        }
        if !self.present.runner.has_ended() {
            self.at = self.at.max(to);
        }
        true
    }

    /// Has the next thing happen. False at the end.
    pub fn step(&mut self) -> bool {
        let goes_on = !self.present.runner.has_ended();
        if goes_on {
            self.happen();
        }
        goes_on
    }

    /// Goes to a moment, back too; no further forward than is known.
    pub fn seek(&mut self, to: Time) {
        let before = self.checkpoints.partition_point(|it| it.runner.world().now() <= to);
        let nearest = &self.checkpoints[before.saturating_sub(1)];
        let forward = self.at <= to && self.present.entries >= nearest.entries;
        if !forward {
            self.present = nearest.clone();
            self.at = self.present.runner.world().now();
        }
        self.advance(to.min(self.reaches()), u32::MAX);
        // Nothing more is known to happen before it.
        if self.next().is_some_and(|next| next > to) {
            self.at = to;
        }
    }

    /// Does something in the world, all of it at once, as soon as a moment is over. Answers when it
    /// happened: that is the present then.
    ///
    /// # Errors
    /// A sentence; nothing has changed.
    pub fn act(&mut self, now: Time, what: Vec<Do>) -> Result<u64, String> {
        let at_ms = self.at.max(now).as_nanos() / 1_000_000 + 1;
        let mut plan = self.plan().clone();
        plan.steps.extend(what.into_iter().map(|what| Step { at_ms, what }));
        plan.lasts_ms = plan.lasts_ms.max(at_ms + GOES_ON_MS);
        self.replan(plan)?;
        self.advance(Time::from_millis(at_ms), u32::MAX);
        Ok(at_ms)
    }

    /// Has nothing heal before a moment.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub fn last(&mut self, lasts_ms: u64) -> Result<(), String> {
        self.replan(Plan { lasts_ms, ..self.plan().clone() })
    }

    /// From now on another plan, with what has happened by now in it.
    fn replan(&mut self, mut plan: Plan) -> Result<(), String> {
        if let Some(violation) = self.present.runner.violation().filter(|_| !self.heedless) {
            return Err(format!(
                "the run has ended, since {} did not hold: go back before {}",
                violation.property, violation.at
            ));
        }
        let healed = self.present.runner.has_healed() || self.present.runner.has_ended();
        let heals = self.plan().heals();
        if healed {
            // That all healed is a step as any other, now that the plan goes on after it.
            let (left, at_ms) = (self.plan().left.clone(), heals.as_nanos() / 1_000_000);
            plan.steps.push(Step { at_ms, what: Do::Mend { left } });
        }
        plan.check().map_err(|error| error.to_string())?;
        let mut present = self.present.clone();
        if healed {
            let before = self.checkpoints.partition_point(|it| it.runner.world().now() < heals);
            let Some(last) = before.checked_sub(1) else {
                let (at, forks) = (self.at, self.forks + 1);
                *self = Self { forks, ..Self::new(plan, self.heedless) };
                self.advance(at, u32::MAX);
                return Ok(());
            };
            present = self.checkpoints[last].clone();
        }
        present.runner.replan(&plan).map_err(|error| error.to_string())?;
        self.forks += 1;
        self.ended = None;
        self.found.truncate(present.runner.checks().violations().len());
        self.trace.truncate(present.entries);
        self.checkpoints
            .retain_mut(|it| it.entries <= present.entries && it.runner.replan(&plan).is_ok());
        let at = std::mem::replace(&mut self.at, present.runner.world().now());
        self.present = present;
        self.advance(at, u32::MAX);
        Ok(())
    }

    /// Has one thing happen, and takes in what it was.
    fn happen(&mut self) {
        let next = self.present.runner.next_at();
        self.present.runner.step();
        let is_new = self.present.entries == self.trace.len();
        let entries = self.present.take();
        if is_new {
            self.trace.extend(entries);
        }
        self.at = self.at.max(self.present.runner.world().now());
        if self.present.runner.has_ended() {
            // That nothing more is to be done shows where the next thing would have happened.
            self.at = self.at.max(next.unwrap_or(self.at));
            self.ended = Some(self.at);
        }
        let violations = self.present.runner.checks().violations().len();
        self.found.resize(self.found.len().max(violations), self.at);
        let last = self.checkpoints.last().map_or(0, |it| it.runner.events());
        // A clone costs as much as there was so far, and so may what lies between two of them.
        let apart = APART.max(last / PART);
        if is_new && self.present.runner.events() >= last + apart {
            self.checkpoints.push(self.present.clone());
        }
    }
}

impl Present {
    /// Takes in what has happened since the last call.
    fn take(&mut self) -> Vec<Entry> {
        let entries = self.runner.take_trace();
        self.beliefs.take(&entries, self.runner.world());
        self.entries += entries.len();
        entries
    }
}

/// Steps of the world between checkpoints, at first; later this part of all that there were.
const APART: u64 = 1_000;
const PART: u64 = 8;

/// How long the world goes on after something was done in it, before all heals.
const GOES_ON_MS: u64 = 30_000;
