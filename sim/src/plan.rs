//! Plans: what happens in a world, as data.
//!
//! A plan is a JSON document that a person can write. Everything but `steps` may be left out;
//! `version` is the format's, and this is version 1. What a later version has otherwise, or more, an
//! earlier reader refuses.
//!
//! ```
//! let plan = portolan_sim::Plan::parse(r#"{
//!   "seed": 7,
//!   "world": { "processes": 2 },
//!   "steps": [
//!     {"at_ms": 0,    "do": {"register": {"process": 0, "id": 1, "group": "web", "instance": "a"}}},
//!     {"at_ms": 0,    "do": {"open": {"process": 1, "id": 1, "scope": {"instances": "web"}}}},
//!     {"at_ms": 2000, "do": {"cut": {"process": 1, "way": "both"}}},
//!     {"at_ms": 2500, "do": {"compact": {"keep": 0}}},
//!     {"at_ms": 9000, "do": {"heal": {"process": 1}}}
//!   ]
//! }"#).expect("this is a plan");
//! assert_eq!(plan.steps.len(), 5);
//! ```
//!
//! `world` says how many processes there are and what is tried in each: engines, or clients of other
//! fleets (`"subjects": ["engine", {"naive": "go-kit"}]`), which were never made to hold most of the
//! properties; `held_to` then names those that the run is held to (`["LV1", "LV2", "LV3"]`).
//!
//! Steps run in the order of their times, equal times in the order of the list. A step that makes
//! no sense at its moment (pausing a process that has crashed, healing what is not cut) does
//! nothing, so that any step can be taken out of a plan. All processes start at 0. When the last
//! step has run, and `lasts_ms` is over, everything heals but what is `left`, and the world must come
//! to rest as it should.

mod step;
mod subject;
mod world;

use portolan_core::Time;
use portolan_core::tuning::TuningError;
use serde::{Deserialize, Serialize};

use crate::check::Property;

pub use step::{Call, Cut, Do, Kind, MemberFault, Rights, StoreFault, Way};
pub use subject::{Fleet, SubjectKind, Subjects};
pub use world::{WireSetup, WorldSetup};

/// A whole run: the world, what is done in it, and where chance comes from.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The format's version: 1.
    #[serde(default = "this_version")]
    pub version: u32,
    /// What there is to see, in a sentence; for readers only.
    #[serde(default)]
    pub about: String,
    /// Where all chance comes from that the steps leave open: delays, the engines' own draws.
    #[serde(default)]
    pub seed: u64,
    /// The properties that the run is held to; none named: all of them. Clients that are no engine
    /// were never made to hold most of them.
    #[serde(default)]
    pub held_to: Vec<Property>,
    /// What there is.
    #[serde(default)]
    pub world: WorldSetup,
    /// How long all goes on as it is, in milliseconds since the world began: before that nothing
    /// heals, though the last step has run.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lasts_ms: u64,
    /// What happens.
    pub steps: Vec<Step>,
    /// What stays as it is when all else heals.
    #[serde(default, skip_serializing_if = "Left::is_empty")]
    pub left: Left,
}

/// What stays as it is when all else heals after the last step: cut off, held, stopped, behind.
/// From the others it is demanded that they come to rest all the same.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Left {
    /// Processes, with their links.
    pub processes: Vec<u16>,
    /// Members: fewer than half of them, since the others must agree.
    pub members: Vec<u16>,
}

/// One thing that happens.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When, in milliseconds since the world began.
    pub at_ms: u64,
    /// What.
    #[serde(rename = "do")]
    pub what: Do,
}

/// A document that is no plan.
#[derive(Debug)]
pub enum PlanError {
    /// It cannot be read.
    Json(serde_json::Error),
    /// A number out of its range.
    Number {
        /// The field.
        field: &'static str,
        /// The value.
        found: u64,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// Constants with which no engine can work.
    Tuning(TuningError),
    /// A step of a process that is not there.
    Process {
        /// The step, from 0.
        step: usize,
        /// The process.
        found: u16,
        /// How many there are.
        processes: u16,
    },
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// [`PlanError`] names the field, the value and the limit.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_str(text).map_err(PlanError::Json)?;
        plan.check()?;
        Ok(plan)
    }

    /// The plan as a document, a step a line.
    pub fn to_text(&self) -> String {
        let json = |value: serde_json::Result<String>| value.expect("plans are JSON");
        let world = json(serde_json::to_string(&self.world));
        let steps: Vec<_> = self
            .steps
            .iter()
            .map(|step| format!("  {}", json(serde_json::to_string(step))))
            .collect();
        let about = if self.about.is_empty() {
            String::new()
        } else {
            format!("\"about\": {},\n", json(serde_json::to_string(&self.about)))
        };
        let left = if self.left.is_empty() {
            String::new()
        } else {
            format!("\"left\": {},\n", json(serde_json::to_string(&self.left)))
        };
        let held_to = if self.held_to.is_empty() {
            String::new()
        } else {
            format!("\"held_to\": {},\n", json(serde_json::to_string(&self.held_to)))
        };
        let lasts = match self.lasts_ms {
            0 => String::new(),
            lasts => format!("\"lasts_ms\": {lasts},\n"),
        };
        let Self { version, seed, .. } = self;
        let steps = steps.join(",\n");
        format!(
            "{{\"version\": {version},\n{about}\"seed\": {seed},\n{held_to}\"world\": \
             {world},\n{left}{lasts}\"steps\": [\n{steps}\n]}}\n"
        )
    }

    /// A plan of these steps, with nothing said about it.
    pub fn of(seed: u64, world: WorldSetup, steps: Vec<Step>) -> Self {
        let (version, about, left) = (VERSION, String::new(), Left::default());
        Self { version, about, seed, held_to: Vec::new(), world, lasts_ms: 0, steps, left }
    }

    /// When the last step runs.
    pub fn last(&self) -> Time {
        Time::from_millis(self.steps.iter().map(|step| step.at_ms).max().unwrap_or(0))
    }

    /// The steps in the order in which they run.
    pub(crate) fn in_order(&self) -> Vec<Step> {
        let mut steps = self.steps.clone();
        steps.sort_by_key(|step| step.at_ms);
        steps
    }

    /// When all heals.
    pub fn heals(&self) -> Time {
        self.last().max(Time::from_millis(self.lasts_ms))
    }

    /// Whether every number is within its limits; [`parse`](Self::parse) has asked already.
    ///
    /// # Errors
    /// [`PlanError`] names the field, the value and the limit.
    pub fn check(&self) -> Result<(), PlanError> {
        let world = &self.world;
        let number = |field, found: u64, least: u64, most: u64| {
            if (least..=most).contains(&found) {
                return Ok(());
            }
            Err(PlanError::Number { field, found, least, most })
        };
        number("version", self.version.into(), VERSION.into(), VERSION.into())?;
        number("world.processes", world.processes.into(), 1, MOST_PROCESSES)?;
        number("world.members", world.members.into(), 1, 5)?;
        world.tuning.check().map_err(PlanError::Tuning)?;
        for &drift in &world.drift_permille {
            number("world.drift_permille", drift.unsigned_abs().into(), 0, 500)?;
        }
        for (field, (least, most)) in
            [("world.think_us", world.think_us), ("world.wire.delay_us", world.wire.delay_us)]
        {
            number(field, least, 0, LONGEST_US)?;
            number(field, most, least, LONGEST_US)?;
        }
        let store = &world.store;
        for (field, span) in [
            ("world.store.heartbeat, in ms,", store.heartbeat),
            ("world.store.election_timeout, in ms,", store.election_timeout),
            ("world.store.lease_scan_interval, in ms,", store.lease_scan_interval),
            ("world.store.sync_interval, in ms,", store.sync_interval),
            ("world.store.progress_interval, in ms,", store.progress_interval),
            ("world.store.token_ttl, in ms,", store.token_ttl),
        ] {
            let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            number(field, millis, 1, LONGEST_US / 1000)?;
        }
        number("world.wire.detect_ms", world.wire.detect_ms, 1, LONGEST_US / 1000)?;
        for &process in &self.left.processes {
            number("left.processes", process.into(), 0, u64::from(world.processes) - 1)?;
        }
        for &member in &self.left.members {
            number("left.members", member.into(), 0, u64::from(world.members) - 1)?;
        }
        let few = (u64::from(world.members) - 1) / 2;
        number("left.members, counted,", self.left.members.len() as u64, 0, few)?;
        number("lasts_ms", self.lasts_ms, 0, LATEST_MS)?;
        let added = self.steps.iter().filter(|step| step.what == Do::AddProcess {}).count() as u64;
        let processes = u64::from(world.processes).saturating_add(added);
        number("world.processes with those added,", processes, 1, MOST_PROCESSES)?;
        for (step, Step { at_ms, what }) in self.steps.iter().enumerate() {
            number("at_ms", *at_ms, 0, LATEST_MS)?;
            if let Some(found) = what.process()
                && u64::from(found) >= processes
            {
                let processes = u16::try_from(processes).unwrap_or(u16::MAX);
                return Err(PlanError::Process { step, found, processes });
            }
            if let Do::Clock { drift_permille, .. } = what {
                number("clock.drift_permille", drift_permille.unsigned_abs().into(), 0, 500)?;
            }
            if let Do::Crowd { count, at_once, .. } = what {
                number("crowd.count", (*count).into(), 1, 10_000)?;
                number("crowd.at_once", (*at_once).into(), 1, 100)?;
            }
        }
        Ok(())
    }
}

impl Left {
    /// Whether all heals.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty() && self.members.is_empty()
    }
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not a plan: {error}"),
            Self::Number { field, found, least, most } => {
                let most = if least == most { String::new() } else { format!(" to {most}") };
                write!(f, "{field} is {found}; it takes {least}{most}")
            }
            Self::Tuning(error) => write!(f, "world.tuning: {error}"),
            Self::Process { step, found, processes } => {
                write!(f, "steps[{step}] names process {found} of {processes}, numbered from 0")
            }
        }
    }
}

impl std::error::Error for PlanError {}

/// The format's version.
const VERSION: u32 = 1;

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn this_version() -> u32 {
    VERSION
}

const MOST_PROCESSES: u64 = 4_096;
/// An hour, in microseconds: longer spans are mistakes.
const LONGEST_US: u64 = 3_600_000_000;
/// Ten years, in milliseconds.
const LATEST_MS: u64 = 315_360_000_000;
