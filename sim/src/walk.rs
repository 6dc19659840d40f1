//! Every order of what can happen, in small worlds.
//!
//! Where drawn plans fail to find a counterexample, a walk shows that there is none of its size: it
//! goes on from a moment in all ways there are, and comes to each state once.
//!
//! ```text
//! state ──▶ a script's next step          budgets: the scripts, losses, waits, moves
//!       ──▶ a message arrives, or is lost
//!       ──▶ time passes to the next timer ──▶ .. ──▶ an end: left alone, it must come to rest
//! ```
//!
//! Two paths that come to the same are one state from there on: the same world, in which each
//! application was told the same. What the checks remember beyond that is of the path that came
//! first; so a walk looks at every step of every path, but not at every pair of a past and a future.

use std::collections::BTreeMap;
use std::fmt;

use crate::check::Violation;
use crate::plan::Do;
use crate::run::Runner;
use crate::trace::{TraceHash, What, stable_hash};
use crate::world::Choice;

/// What is walked.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Where it begins. The plan that brought it here should have no steps left.
    pub from: Runner,
    /// What is done: each list in its order, against all others in any.
    pub scripts: Vec<Vec<Do>>,
    /// Messages that may be lost.
    pub losses: u32,
    /// How often time may pass to the next timer.
    pub waits: u32,
    /// Moves of a path at most; what lies beyond is not looked at.
    pub moves: u32,
}

/// What a walk came to.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    /// Different states.
    pub states: u64,
    /// Moves from each of them; those to a state that was known already too.
    pub moves: u64,
    /// States in which nothing was left to do, from which the world came to rest.
    pub ends: u64,
    /// States in which a path was as long as it may be.
    pub unfinished: u64,
    /// The first path on which something did not hold.
    pub fallen: Option<Fallen>,
}

/// A path on which something did not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fallen {
    /// What was done, one after the other.
    pub path: Vec<String>,
    /// What did not hold.
    pub violation: Violation,
}

/// One move.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The next step of a script.
    Script(usize),
    World(Choice),
}

/// A moment of a path.
#[derive(Clone)]
struct State {
    runner: Runner,
    /// How far each script is.
    done: Vec<usize>,
    losses: u32,
    waits: u32,
    /// What each application was told so far.
    told: BTreeMap<u16, TraceHash>,
}

impl Walk {
    /// Walks.
    pub fn walk(&self) -> Walked {
        let mut from = self.from.clone();
        from.take_trace();
        let state = State {
            runner: from,
            done: vec![0; self.scripts.len()],
            losses: self.losses,
            waits: self.waits,
            told: BTreeMap::new(),
        };
        let mut walker = Walker { walk: self, seen: BTreeMap::new(), walked: Walked::default() };
        let mut path = Vec::new();
        walker.go(state, self.moves, &mut path);
        walker.walked.states = walker.seen.len() as u64;
        walker.walked.unfinished = walker.seen.values().filter(|&&left| left == 0).count() as u64;
        walker.walked
    }
}

struct Walker<'a> {
    walk: &'a Walk,
    /// Each state, with the most moves that were left in it; `ALL` if no path from it was cut short.
    seen: BTreeMap<u64, u32>,
    walked: Walked,
}

const ALL: u32 = u32::MAX;

impl Walker<'_> {
    /// Goes on from a state in all ways, as far as was never gone before. Whether all of them are
    /// walked to their ends now.
    fn go(&mut self, state: State, left: u32, path: &mut Vec<String>) -> bool {
        let hash = state.hash();
        let before = self.seen.get(&hash).copied();
        if before.is_some_and(|before| before >= left) {
            return before == Some(ALL);
        }
        let moves = self.moves(&state);
        if moves.is_empty() {
            self.seen.insert(hash, ALL);
            self.walked.ends += 1;
            let mut runner = state.runner;
            runner.finish();
            self.look(&runner, path);
            return true;
        }
        self.seen.insert(hash, left);
        if left == 0 {
            return false;
        }
        if before.is_none_or(|before| before == 0) {
            self.walked.moves += moves.len() as u64;
        }
        let mut all = true;
        for one in moves {
            let mut next = state.clone();
            path.push(next.show(one, self.walk));
            next.make(one, self.walk);
            self.look(&next.runner, path);
            if self.walked.fallen.is_none() {
                all &= self.go(next, left - 1, path);
            }
            path.pop();
            if self.walked.fallen.is_some() {
                return false;
            }
        }
        if all {
            self.seen.insert(hash, ALL);
        }
        all
    }

    fn look(&mut self, runner: &Runner, path: &[String]) {
        if let Some(violation) = runner.violation() {
            let fallen = Fallen { path: path.to_vec(), violation: violation.clone() };
            self.walked.fallen.get_or_insert(fallen);
        }
    }

    fn moves(&self, state: &State) -> Vec<Move> {
        let scripts = self.walk.scripts.iter().zip(&state.done).enumerate();
        let scripts = scripts.filter(|(_, (script, done))| **done < script.len());
        let world = state.runner.world().choices().into_iter().filter(|choice| match choice {
            Choice::Comes(_) => true,
            Choice::Lost(_) => state.losses > 0,
            Choice::Passes(_) => state.waits > 0,
        });
        scripts.map(|(at, _)| Move::Script(at)).chain(world.map(Move::World)).collect()
    }
}

impl State {
    fn make(&mut self, one: Move, walk: &Walk) {
        match one {
            Move::Script(at) => {
                let step = walk.scripts[at][self.done[at]].clone();
                self.done[at] += 1;
                self.runner.have(|world| world.act(step));
            }
            Move::World(choice) => {
                match choice {
                    Choice::Comes(_) => {}
                    Choice::Lost(_) => self.losses -= 1,
                    Choice::Passes(_) => self.waits -= 1,
                }
                self.runner.have(|world| world.choose(choice));
            }
        }
        for entry in self.runner.take_trace() {
            if let What::Told { run, .. } = entry.what {
                let told = self.told.entry(run.process).or_insert(TraceHash::EMPTY);
                *told = told.with(&entry);
            }
        }
    }

    fn show(&self, one: Move, walk: &Walk) -> String {
        match one {
            Move::Script(at) => What::Did(walk.scripts[at][self.done[at]].clone()).to_string(),
            Move::World(choice) => self.runner.world().show(choice),
        }
    }

    fn hash(&self) -> u64 {
        stable_hash(&(self.runner.world(), &self.done, self.losses, self.waits, &self.told))
    }
}

impl fmt::Display for Walked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, moves, ends, unfinished, fallen } = self;
        write!(f, "{states} states, {moves} moves, {ends} ends, {unfinished} unfinished")?;
        match fallen {
            Some(fallen) => write!(f, "\n{fallen}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Fallen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.path {
            writeln!(f, "  {step}")?;
        }
        write!(f, "{}", self.violation)
    }
}
