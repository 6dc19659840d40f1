//! Any plan in the simulator, with all its checks: scenarios and drawn plans, and what is done to
//! them step by step. What does not hold is a panic.

use portolan_sim::plan::{Do, Step};
use portolan_sim::{Mix, Plan, Runner, Scenario};
use serde::{Deserialize, Serialize};

use crate::tape::{self, Tape};

/// What a plan may have at most, so that many run in a second.
const MOST_STEPS: usize = 60;
const MOST_PROCESSES: u16 = 8;
const LATEST_MS: u64 = 120_000;
const MOST_EVENTS: u32 = 30_000;
const MOST_CROWD: u16 = 20;

/// Where a plan comes from.
#[derive(Debug, Serialize, Deserialize)]
enum Start {
    Scenario(u8),
    Drawn { seed: u64, mix: u8 },
}

/// What is done to it.
#[derive(Debug, Serialize, Deserialize)]
enum Edit {
    Drop(u8),
    Move {
        step: u8,
        to_ms: u16,
    },
    Double {
        step: u8,
        after_ms: u16,
    },
    /// A step of another plan, in the place of this one's process.
    Take {
        from: Start,
        step: u8,
    },
    Add {
        at_ms: u16,
        what: Do,
    },
    Seed(u64),
    Members(u8),
    Users(bool),
}

/// A tape with a start and edits.
pub fn run(input: &[u8]) {
    if let Some(plan) = plan(input) {
        hold(&plan);
    }
}

/// The named scenarios as they are, and some drawn plans.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let named = Scenario::ALL.iter().enumerate().map(|(at, scenario)| {
        (scenario.name.to_owned(), tape::write(&[Start::Scenario(at as u8)]))
    });
    let drawn = (0..Mix::NAMES.len() as u8).map(|mix| {
        let seed = 1_000 + u64::from(mix);
        (format!("drawn-{mix}"), tape::write(&[Start::Drawn { seed, mix }]))
    });
    named.chain(drawn).collect()
}

/// The plan that a tape says, if it is one that can be run in good time. Clients of other fleets are
/// known not to hold; their plans are run with ours.
fn plan(input: &[u8]) -> Option<Plan> {
    let mut tape = Tape::new(input);
    let mut plan = tape.read::<Start>()?.plan();
    plan.world.subjects = Default::default();
    plan.held_to.clear();
    while !tape.is_over() && plan.steps.len() < MOST_STEPS {
        if let Some(edit) = tape.read::<Edit>() {
            edit.apply(&mut plan);
        }
    }
    let fits = plan.world.processes <= MOST_PROCESSES
        && plan.steps.len() <= MOST_STEPS
        && plan.steps.iter().all(|step| step.at_ms <= LATEST_MS && is_small(&step.what))
        && plan.lasts_ms <= LATEST_MS;
    (fits && plan.check().is_ok()).then_some(plan)
}

fn is_small(what: &Do) -> bool {
    match what {
        Do::Crowd { count, .. } => *count <= MOST_CROWD,
        _ => true,
    }
}

fn hold(plan: &Plan) {
    let mut runner = Runner::new(plan, false);
    for _ in 0..MOST_EVENTS {
        if !runner.step() {
            break;
        }
    }
    if let Some(violation) = runner.violation() {
        panic!("{violation}\n{}", plan.to_text());
    }
}

impl Start {
    fn plan(self) -> Plan {
        match self {
            Self::Scenario(at) => Scenario::ALL[usize::from(at) % Scenario::ALL.len()].plan(),
            Self::Drawn { seed, mix } => {
                let (name, _) = Mix::NAMES[usize::from(mix) % Mix::NAMES.len()];
                Plan::draw(seed, &Mix::named(name).expect("it has a name"))
            }
        }
    }
}

impl Edit {
    fn apply(self, plan: &mut Plan) {
        let count = plan.steps.len();
        let place = |step: u8| (count > 0).then(|| usize::from(step) % count);
        match self {
            Self::Drop(step) => drop(place(step).map(|at| plan.steps.remove(at))),
            Self::Move { step, to_ms } => {
                if let Some(at) = place(step) {
                    plan.steps[at].at_ms = to_ms.into();
                }
            }
            Self::Double { step, after_ms } => {
                if let Some(at) = place(step) {
                    let mut step = plan.steps[at].clone();
                    step.at_ms += u64::from(after_ms);
                    plan.steps.push(step);
                }
            }
            Self::Take { from, step } => {
                let steps = from.plan().steps;
                let taken = steps.into_iter().cycle().nth(step.into());
                plan.steps.extend(taken);
            }
            Self::Add { at_ms, what } => plan.steps.push(Step { at_ms: at_ms.into(), what }),
            Self::Seed(seed) => plan.seed = seed,
            Self::Members(members) => plan.world.members = u16::from(members % 5) + 1,
            Self::Users(users) => plan.world.users = users,
        }
    }
}
