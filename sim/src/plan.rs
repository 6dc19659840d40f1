//! Plans: what happens in a world, as data.
//!
//! A plan is a JSON document that a person can write. Everything but `steps` may be left out:
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
//! Steps run in the order of their times, equal times in the order of the list. A step that makes
//! no sense at its moment (pausing a process that has crashed, healing what is not cut) does
//! nothing, so that any step can be taken out of a plan. All processes start at 0. When the last
//! step has run, everything heals, and the world must come to rest as it should.

use std::time::Duration;

use portolan_core::engine::{Conflict, DirectoryId, OpId, RegistrationId};
use portolan_core::instance::State;
use portolan_core::layout::{Layout, Scope};
use portolan_core::name::{GroupName, InstanceId};
use portolan_core::waist::Key;
use portolan_core::{Time, Tuning};
use serde::{Deserialize, Serialize};

/// A whole run: the world, what is done in it, and where chance comes from.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Where all chance comes from that the steps leave open: delays, the engines' own draws.
    #[serde(default)]
    pub seed: u64,
    /// What there is.
    #[serde(default)]
    pub world: WorldSetup,
    /// What happens.
    pub steps: Vec<Step>,
}

/// What there is in a world.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorldSetup {
    /// How many processes there are, numbered from 0; 1 to 64.
    pub processes: u16,
    /// How many members of the store each process can reach, numbered from 0; 1 to 5. So far all
    /// of them are the same store behind links of their own.
    pub members: u16,
    /// Which keys and values stand for what.
    pub layout: Layout,
    /// The engines' constants.
    pub tuning: Tuning,
    /// The store's constants.
    pub store: portolan_memory::Config,
    /// The links' constants.
    pub wire: WireSetup,
    /// How much faster each process's clock runs than the store's, in thousandths; processes
    /// beyond the list have a true one.
    pub drift_permille: Vec<i16>,
    /// How long an application thinks about a configuration that it is shown, least and most, in
    /// microseconds.
    pub think_us: (u64, u64),
}

/// How connections behave.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WireSetup {
    /// How long a message travels, least and most, in microseconds.
    pub delay_us: (u64, u64),
    /// After how long a silent connection is taken for dead, in milliseconds (D).
    pub detect_ms: u64,
    /// How often, in percent, what was written to a connection before it broke arrives all the same.
    pub linger_percent: u32,
    /// How often, in percent, a request that was given up before it was sent is sent all the same.
    pub late_percent: u32,
    /// How often, in percent, the answer to a call that was given up is delivered all the same.
    pub late_answer_percent: u32,
    /// How often, in percent, the answer to a call arrives twice.
    pub duplicate_percent: u32,
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

/// What may happen.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "snake_case", deny_unknown_fields)]
pub enum Do {
    /// An application registers an instance. After a restart of its process it does so again.
    Register {
        /// Whose.
        process: u16,
        /// The registration's number in its process; a later one must have a higher one.
        id: RegistrationId,
        /// The group.
        group: GroupName,
        /// The instance's id.
        instance: InstanceId,
        /// What to do when somebody else's record stands there.
        #[serde(default)]
        conflict: Conflict,
    },
    /// An application replaces what a registration publishes.
    Publish {
        /// Whose.
        process: u16,
        /// Which.
        id: RegistrationId,
        /// The new state.
        #[serde(default)]
        state: State,
        /// Anything, to tell this content from others.
        #[serde(default)]
        weight: u16,
    },
    /// An application ends a registration.
    Deregister {
        /// Whose.
        process: u16,
        /// Which.
        id: RegistrationId,
        /// How long to try, in milliseconds.
        within_ms: u64,
    },
    /// An application opens a directory. After a restart of its process it does so again.
    Open {
        /// Whose.
        process: u16,
        /// The directory's number, unique in its process.
        id: DirectoryId,
        /// What it shows.
        scope: Scope,
    },
    /// An application closes a directory.
    Close {
        /// Whose.
        process: u16,
        /// Which.
        id: DirectoryId,
    },
    /// An application changes a group's configuration: it notes itself as the last writer and
    /// counts one up.
    Update {
        /// Whose.
        process: u16,
        /// The operation's number, unique in its process among updates and calls.
        id: OpId,
        /// Whose configuration.
        group: GroupName,
        /// How long to try, in milliseconds.
        within_ms: u64,
        /// Decide to leave it as it is.
        #[serde(default)]
        keep: bool,
    },
    /// An application makes a key-value call.
    Call {
        /// Whose.
        process: u16,
        /// The operation's number, unique in its process among updates and calls.
        id: OpId,
        /// What is called.
        call: Call,
        /// How long to try, in milliseconds.
        within_ms: u64,
    },
    /// An application gives up an update or a call.
    Abandon {
        /// Whose.
        process: u16,
        /// Which.
        id: OpId,
    },
    /// An application shuts its engine down.
    Shutdown {
        /// Whose.
        process: u16,
        /// How long to try, in milliseconds.
        within_ms: u64,
    },
    /// A process ends without a word.
    Crash {
        /// Which.
        process: u16,
    },
    /// A process starts again, after a crash or by ending first: a new run, that wants what the
    /// former one wanted.
    Restart {
        /// Which.
        process: u16,
    },
    /// A process is held, as by a suspended machine: what reaches it waits, its timers too.
    Pause {
        /// Which.
        process: u16,
    },
    /// A held process goes on; for it, time has jumped.
    Resume {
        /// Which.
        process: u16,
    },
    /// A link carries nothing any more: what is written to it waits.
    Cut {
        /// Whose link.
        process: u16,
        /// To which member; to all, if it does not say.
        #[serde(default)]
        member: Option<u16>,
        /// Which way.
        way: Cut,
        /// Whether its connection is reset as well, so that both ends notice at once.
        #[serde(default)]
        reset: bool,
    },
    /// A cut link carries again, what has waited first.
    Heal {
        /// Whose link.
        process: u16,
        /// To which member; to all, if it does not say.
        #[serde(default)]
        member: Option<u16>,
    },
    /// A connection breaks, and both ends notice at once. The next request makes a new one.
    Reset {
        /// Whose link.
        process: u16,
        /// To which member; to all, if it does not say.
        #[serde(default)]
        member: Option<u16>,
    },
    /// A connection dies and neither end notices: only its own liveness probe ends it.
    Blackhole {
        /// Whose link.
        process: u16,
        /// To which member; to all, if it does not say.
        #[serde(default)]
        member: Option<u16>,
    },
    /// Single calls are lost: the streams of their own that carry them fail.
    Lose {
        /// Whose link.
        process: u16,
        /// To which member; to all, if it does not say.
        #[serde(default)]
        member: Option<u16>,
        /// On the way to the store, or the answers on their way back.
        way: Way,
        /// Of which kind; of any, if it does not say.
        #[serde(default)]
        of: Option<Kind>,
        /// How many.
        count: u32,
        /// Whether the caller learns that it was lost.
        #[serde(default)]
        told: bool,
    },
    /// Messages travel longer from now on.
    Slow {
        /// Whose link.
        process: u16,
        /// To which member; to all, if it does not say.
        #[serde(default)]
        member: Option<u16>,
        /// How much longer each message travels, in milliseconds; 0 ends it.
        extra_ms: u64,
    },
    /// Something happens to the store's process.
    Store {
        /// What.
        fault: StoreFault,
    },
    /// The store forgets its history, but for the last `keep` revisions.
    Compact {
        /// How many revisions before the present one stay readable.
        keep: u64,
    },
    /// An operator revokes the lease on which a key hangs.
    RevokeOf {
        /// The key.
        key: Key,
    },
    /// A stranger deletes a key.
    DeleteKey {
        /// The key.
        key: Key,
    },
    /// A stranger writes a key.
    PutKey {
        /// The key.
        key: Key,
        /// The value: any text, readable as a record or not.
        value: String,
        /// The time to live of a lease of its own, in seconds; without one, if it does not say.
        #[serde(default)]
        lease_secs: Option<u32>,
    },
    /// A stranger moves a key as it is.
    MoveKey {
        /// The key.
        key: Key,
        /// To a lease with this time to live, in seconds; off any lease, if it does not say.
        #[serde(default)]
        lease_secs: Option<u32>,
    },
}

/// A key-value call.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Call {
    /// Writes who calls.
    Put {
        /// The key.
        key: Key,
    },
    /// Reads a key.
    Get {
        /// The key.
        key: Key,
    },
    /// Lists the keys below a prefix.
    List {
        /// The prefix.
        prefix: Key,
    },
    /// Deletes a key.
    Delete {
        /// The key.
        key: Key,
    },
    /// Writes who calls, if the key is absent; reads it otherwise.
    Create {
        /// The key.
        key: Key,
    },
}

/// What may happen to the store's process.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreFault {
    /// It ends and starts again.
    Restart,
    /// It ends.
    Stop,
    /// It starts again.
    Start,
    /// It is held.
    Pause,
    /// It goes on.
    Resume,
}

/// A direction of a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// To the store.
    Up,
    /// From the store.
    Down,
}

/// Which way a link is cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// To the store.
    Up,
    /// From the store.
    Down,
    /// Both ways.
    Both,
}

/// A kind of call.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Reads.
    Range,
    /// Single writes.
    Put,
    /// Single deletes.
    Delete,
    /// Transactions.
    Txn,
    /// Lease grants.
    Grant,
    /// Lease revokes.
    Revoke,
    /// Lease renewals.
    KeepAlive,
    /// Anything else that is answered once.
    Other,
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
        let seed = self.seed;
        let steps = steps.join(",\n");
        format!("{{\"seed\": {seed},\n\"world\": {world},\n\"steps\": [\n{steps}\n]}}\n")
    }

    /// When the last step runs.
    pub fn last(&self) -> Time {
        Time::from_millis(self.steps.iter().map(|step| step.at_ms).max().unwrap_or(0))
    }

    fn check(&self) -> Result<(), PlanError> {
        let world = &self.world;
        let number = |field, found: u64, least: u64, most: u64| {
            if (least..=most).contains(&found) {
                return Ok(());
            }
            Err(PlanError::Number { field, found, least, most })
        };
        number("world.processes", world.processes.into(), 1, 64)?;
        number("world.members", world.members.into(), 1, 5)?;
        for &drift in &world.drift_permille {
            number("world.drift_permille", drift.unsigned_abs().into(), 0, 500)?;
        }
        for (field, (least, most)) in
            [("world.think_us", world.think_us), ("world.wire.delay_us", world.wire.delay_us)]
        {
            number(field, least, 0, LONGEST_US)?;
            number(field, most, least, LONGEST_US)?;
        }
        number("world.wire.detect_ms", world.wire.detect_ms, 1, LONGEST_US / 1000)?;
        for (step, Step { at_ms, what }) in self.steps.iter().enumerate() {
            number("at_ms", *at_ms, 0, LATEST_MS)?;
            if let Some(found) = what.process()
                && found >= world.processes
            {
                return Err(PlanError::Process { step, found, processes: world.processes });
            }
        }
        Ok(())
    }
}

impl Do {
    /// The process to which it happens; `None` when it happens to the store.
    pub fn process(&self) -> Option<u16> {
        match *self {
            Self::Register { process, .. }
            | Self::Publish { process, .. }
            | Self::Deregister { process, .. }
            | Self::Open { process, .. }
            | Self::Close { process, .. }
            | Self::Update { process, .. }
            | Self::Call { process, .. }
            | Self::Abandon { process, .. }
            | Self::Shutdown { process, .. }
            | Self::Crash { process }
            | Self::Restart { process }
            | Self::Pause { process }
            | Self::Resume { process }
            | Self::Cut { process, .. }
            | Self::Heal { process, .. }
            | Self::Reset { process, .. }
            | Self::Blackhole { process, .. }
            | Self::Lose { process, .. }
            | Self::Slow { process, .. } => Some(process),
            Self::Store { .. }
            | Self::Compact { .. }
            | Self::RevokeOf { .. }
            | Self::DeleteKey { .. }
            | Self::PutKey { .. }
            | Self::MoveKey { .. } => None,
        }
    }
}

impl WorldSetup {
    /// How long after the last fault a world may take to come to rest.
    ///
    /// A dead connection is noticed (D), whoever waits tries again (B, twice, since two things may
    /// have to be tried in a row), a few answers come (4T), a quiet watch is probed, and what hangs
    /// on leases of the dead goes when they end: their time, started over by a restart of the
    /// store (row L10), and once more for what waits for such a lease before it acts.
    pub fn settling_time(&self) -> Duration {
        let tuning = &self.tuning;
        let longest_lease = tuning.lease_ttl.max(Duration::from_secs(2));
        Duration::from_millis(self.wire.detect_ms)
            + tuning.backoff_cap * 3
            + tuning.attempt_timeout * 4
            + tuning.probe_after
            + tuning.probe_timeout * 2
            + longest_lease * 3
            + self.store.election_timeout
            + self.store.lease_scan_interval
            + Duration::from_secs(2)
    }
}

impl Default for WorldSetup {
    fn default() -> Self {
        Self {
            processes: 1,
            members: 1,
            layout: Layout::default(),
            tuning: Tuning::default(),
            store: portolan_memory::Config::default(),
            wire: WireSetup::default(),
            drift_permille: Vec::new(),
            think_us: (0, 0),
        }
    }
}

impl Default for WireSetup {
    fn default() -> Self {
        Self {
            delay_us: (1_000, 5_000),
            detect_ms: 4_000,
            linger_percent: 50,
            late_percent: 50,
            late_answer_percent: 50,
            duplicate_percent: 0,
        }
    }
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not a plan: {error}"),
            Self::Number { field, found, least, most } => {
                write!(f, "{field} is {found}; it takes {least} to {most}")
            }
            Self::Process { step, found, processes } => {
                write!(f, "steps[{step}] names process {found} of {processes}, numbered from 0")
            }
        }
    }
}

impl std::error::Error for PlanError {}

/// An hour, in microseconds: longer spans are mistakes.
const LONGEST_US: u64 = 3_600_000_000;
/// Ten years, in milliseconds.
const LATEST_MS: u64 = 315_360_000_000;
