//! Plans: what happens in a simulated network, as data.
//!
//! A plan is a JSON document that a person can write:
//! ```json
//! {"version": 1, "seed": 7, "world": {"processes": 2},
//!  "steps": [
//!   {"at_ms": 0,    "do": {"register": {"process": 0, "group": "web", "instance": "a"}}},
//!   {"at_ms": 0,    "do": {"open": {"process": 1, "group": "web"}}},
//!   {"at_ms": 4000, "do": {"cut": {"process": 1, "way": "from"}}},
//!   {"at_ms": 9000, "do": {"heal": {"process": 1}}}
//!  ]}
//! ```
//! A step that makes no sense at its moment does nothing, so that any step can be taken out. After
//! the last one everything heals, and all must come to rest.

use serde::{Deserialize, Serialize};

/// A whole run.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The format's version: 1.
    pub version: u32,
    /// What there is to see; for readers only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Where all chance comes from that the steps leave open.
    #[serde(default)]
    pub seed: u64,
    /// What there is.
    #[serde(default)]
    pub world: World,
    /// What happens.
    pub steps: Vec<Step>,
}

/// What there is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct World {
    /// Hosts with a process each, numbered from 0; 1 to 4.
    pub processes: u16,
    /// etcd's members, each on a host; 1 to 5.
    pub members: u16,
    /// The registries' time to live, in seconds; 1 to 60.
    pub ttl_secs: u64,
    /// How long a packet travels, least and most, in milliseconds.
    pub latency_ms: (u64, u64),
    /// What is broken on purpose; nothing, if it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<Breakage>,
}

impl Default for World {
    fn default() -> Self {
        Self { processes: 2, members: 1, ttl_secs: 6, latency_ms: (1, 5), broken: None }
    }
}

/// What may be broken on purpose, for the checks to notice.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breakage {
    /// Engines forget to revoke leases.
    NoRevoke,
    /// Engines forget to delete records.
    NoDelete,
    /// Directories are told of nothing but their first list.
    NoNews,
    /// Applications count one update twice.
    CountsTwice,
    /// A process leaves a call open.
    LeavesCall,
    /// A process leaves a task running.
    LeavesTask,
    /// A program forgets a change of which it was told.
    ForgetsChange,
    /// A process goes by something that is not simulated.
    Whim,
    /// Somebody writes who is none of the processes.
    Stranger,
}

impl Breakage {
    /// Each, with the property by which it must be noticed.
    pub const ALL: &[(Self, &str)] = &[
        (Self::NoDelete, "LV4"),
        (Self::NoDelete, "MS1"),
        (Self::NoNews, "VW1"),
        (Self::NoNews, "LV1"),
        (Self::NoNews, "MS2"),
        (Self::CountsTwice, "MS3"),
        (Self::NoDelete, "MS4"),
        (Self::NoRevoke, "MS5"),
        (Self::LeavesCall, "MS6"),
        (Self::LeavesTask, "MS7"),
        (Self::ForgetsChange, "MS10"),
        (Self::Stranger, "MS9"),
        (Self::Whim, "EF8"),
    ];
}

/// One thing that happens.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When, in milliseconds since the world began; up to an hour.
    pub at_ms: u64,
    /// What.
    #[serde(rename = "do")]
    pub what: Do,
}

/// What may happen.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Do {
    /// A process registers an instance, and again whenever it starts.
    Register {
        /// Whose.
        process: u16,
        /// The group.
        group: String,
        /// The instance's id.
        instance: String,
    },
    /// It publishes other content for it.
    Publish {
        /// Whose.
        process: u16,
        /// The group.
        group: String,
        /// The instance's id.
        instance: String,
        /// Anything, to tell this content from others.
        weight: u16,
    },
    /// It says that an instance is about to leave.
    Drain {
        /// Whose.
        process: u16,
        /// The group.
        group: String,
        /// The instance's id.
        instance: String,
    },
    /// It removes an instance.
    Remove {
        /// Whose.
        process: u16,
        /// The group.
        group: String,
        /// The instance's id.
        instance: String,
    },
    /// It opens a group's directory, and again whenever it starts.
    Open {
        /// Whose.
        process: u16,
        /// The group.
        group: String,
    },
    /// It closes it.
    Close {
        /// Whose.
        process: u16,
        /// The group.
        group: String,
    },
    /// It adds one to the counter in a group's configuration.
    Count {
        /// Whose.
        process: u16,
        /// The group.
        group: String,
    },
    /// It reads a group's configuration.
    Read {
        /// Whose.
        process: u16,
        /// The group.
        group: String,
    },
    /// It follows all keys of the registries, and again whenever it starts.
    Follow {
        /// Whose.
        process: u16,
        /// How long its reader takes over each piece of news, in milliseconds; up to a minute.
        #[serde(default)]
        slow_ms: u64,
    },
    /// It no longer does.
    Unfollow {
        /// Whose.
        process: u16,
    },
    /// It shuts down in good order; its host stays.
    Shutdown {
        /// Whose.
        process: u16,
    },
    /// It gives its registry up without a word, as a crash would, and builds another one.
    Abandon {
        /// Whose.
        process: u16,
    },
    /// Its host dies.
    Kill {
        /// Whose.
        process: u16,
    },
    /// Its host dies, if it lives, and starts.
    Restart {
        /// Whose.
        process: u16,
    },
    /// Its host stands still.
    Pause {
        /// Whose.
        process: u16,
    },
    /// And goes on.
    Resume {
        /// Whose.
        process: u16,
    },
    /// A member's host dies; its data stay.
    KillMember {
        /// Which.
        member: u16,
    },
    /// It starts, or dies and starts.
    RestartMember {
        /// Which.
        member: u16,
    },
    /// A member's host stands still.
    PauseMember {
        /// Which.
        member: u16,
    },
    /// And goes on.
    ResumeMember {
        /// Which.
        member: u16,
    },
    /// A process's links to a member, or to all, are cut.
    Cut {
        /// Whose.
        process: u16,
        /// To which; all, if it does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<u16>,
        /// Which way.
        way: Way,
    },
    /// They are whole again.
    Heal {
        /// Whose.
        process: u16,
        /// To which; all, if it does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<u16>,
    },
    /// Packets are lost everywhere, so many of a thousand; up to 900.
    Lose {
        /// How many.
        permille: u32,
    },
    /// Packets travel so long, least and most, in milliseconds.
    Latency {
        /// The shortest time.
        least_ms: u64,
        /// The longest.
        most_ms: u64,
    },
    /// etcd forgets its history.
    Compact,
}

/// Which way a link is cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// What the process says is lost.
    To,
    /// What the member says is lost.
    From,
    /// Both.
    Both,
}

/// Why a document is no plan.
#[derive(Debug)]
pub enum PlanError {
    /// It cannot be read.
    Json(serde_json::Error),
    /// A number out of its range.
    Number {
        /// The field.
        field: String,
        /// The value.
        found: u64,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A name that is none.
    Name {
        /// The field.
        field: String,
        /// The value.
        found: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// The field, the value and the limit.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_str(text).map_err(PlanError::Json)?;
        plan.check()?;
        Ok(plan)
    }

    /// The plan as a document, a step a line.
    pub fn to_text(&self) -> String {
        let Self { version, about, seed, world, steps } = self;
        let json = |value: serde_json::Result<String>| value.expect("plans are JSON");
        let world = json(serde_json::to_string(world));
        let about = json(serde_json::to_string(about));
        let steps: Vec<_> =
            steps.iter().map(|step| format!("  {}", json(serde_json::to_string(step)))).collect();
        let steps = steps.join(",\n");
        format!(
            "{{\"version\": {version}, \"seed\": {seed},\n\"about\": {about},\n\"world\": {world},\n\
             \"steps\": [\n{steps}\n]}}\n"
        )
    }

    /// When the last step runs, in milliseconds.
    pub fn last_ms(&self) -> u64 {
        self.steps.iter().map(|step| step.at_ms).max().unwrap_or(0)
    }

    fn check(&self) -> Result<(), PlanError> {
        let World { processes, members, ttl_secs, latency_ms, broken: _ } = &self.world;
        number("version", self.version.into(), 1, 1)?;
        number("world.processes", (*processes).into(), 1, 4)?;
        number("world.members", (*members).into(), 1, 5)?;
        number("world.ttl_secs", *ttl_secs, 1, 60)?;
        latency("world.latency_ms", *latency_ms)?;
        for (at, step) in self.steps.iter().enumerate() {
            let field = |name: &str| format!("steps[{at}].{name}");
            number(&field("at_ms"), step.at_ms, 0, 3_600_000)?;
            if let Some(process) = step.what.process() {
                number(&field("process"), process.into(), 0, u64::from(*processes) - 1)?;
            }
            if let Some(member) = step.what.member() {
                number(&field("member"), member.into(), 0, u64::from(*members) - 1)?;
            }
            if let Some((group, instance)) = step.what.names() {
                let bad = |field: String, found: &str, problem: String| PlanError::Name {
                    field,
                    found: found.to_owned(),
                    problem,
                };
                portolan::GroupName::parse(group)
                    .map_err(|error| bad(field("group"), group, error.to_string()))?;
                if let Some(instance) = instance {
                    portolan::InstanceId::parse(instance)
                        .map_err(|error| bad(field("instance"), instance, error.to_string()))?;
                }
            }
            match step.what {
                Do::Follow { slow_ms, .. } => number(&field("slow_ms"), slow_ms, 0, 60_000)?,
                Do::Lose { permille } => number(&field("permille"), permille.into(), 0, 900)?,
                Do::Latency { least_ms, most_ms } => {
                    latency(&field("latency"), (least_ms, most_ms))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Do {
    fn process(&self) -> Option<u16> {
        match self {
            Self::Register { process, .. }
            | Self::Publish { process, .. }
            | Self::Drain { process, .. }
            | Self::Remove { process, .. }
            | Self::Open { process, .. }
            | Self::Close { process, .. }
            | Self::Count { process, .. }
            | Self::Read { process, .. }
            | Self::Follow { process, .. }
            | Self::Unfollow { process }
            | Self::Shutdown { process }
            | Self::Abandon { process }
            | Self::Kill { process }
            | Self::Restart { process }
            | Self::Pause { process }
            | Self::Resume { process }
            | Self::Cut { process, .. }
            | Self::Heal { process, .. } => Some(*process),
            Self::KillMember { .. }
            | Self::RestartMember { .. }
            | Self::PauseMember { .. }
            | Self::ResumeMember { .. }
            | Self::Lose { .. }
            | Self::Latency { .. }
            | Self::Compact => None,
        }
    }

    fn member(&self) -> Option<u16> {
        match self {
            Self::KillMember { member }
            | Self::RestartMember { member }
            | Self::PauseMember { member }
            | Self::ResumeMember { member } => Some(*member),
            Self::Cut { member, .. } | Self::Heal { member, .. } => *member,
            _ => None,
        }
    }

    fn names(&self) -> Option<(&str, Option<&str>)> {
        match self {
            Self::Register { group, instance, .. }
            | Self::Publish { group, instance, .. }
            | Self::Drain { group, instance, .. }
            | Self::Remove { group, instance, .. } => Some((group, Some(instance))),
            Self::Open { group, .. }
            | Self::Close { group, .. }
            | Self::Count { group, .. }
            | Self::Read { group, .. } => Some((group, None)),
            _ => None,
        }
    }
}

fn number(field: &str, found: u64, least: u64, most: u64) -> Result<(), PlanError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(PlanError::Number { field: field.to_owned(), found, least, most })
}

fn latency(field: &str, (least, most): (u64, u64)) -> Result<(), PlanError> {
    number(&format!("{field}, the least,"), least, 0, 10_000)?;
    number(&format!("{field}, the most,"), most, least + 1, 10_001)
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not a plan: {error}"),
            Self::Number { field, found, least, most } if least == most => {
                write!(f, "{field} is {found}; it takes {least}")
            }
            Self::Number { field, found, least, most } => {
                write!(f, "{field} is {found}; it takes {least} to {most}")
            }
            Self::Name { field, found, problem } => write!(f, "{field} is {found:?}: {problem}"),
        }
    }
}

impl std::error::Error for PlanError {}
