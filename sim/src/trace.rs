//! What happened, one line each.
//!
//! One type feeds the checks, the snapshots and whoever shows a run. Times are virtual. Same plan,
//! same trace, to the byte, on every platform.

mod hash;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portolan_core::Time;
use portolan_core::engine::{Command, Event};
use portolan_core::waist::{AttemptId, EventKind, MemberId, Reply, Request, Revision};
use portolan_memory::{Change, ClientId, LeaseChange, LeaseStep};
use serde::{Deserialize, Serialize};

use crate::plan::{Cut, Do, Left, MemberFault, Rights, StoreFault, Way, WorldSetup};
use crate::process::Clock;
pub use hash::TraceHash;
pub(crate) use hash::stable_hash;

/// One run of a process: `p0.1` is the first run of process 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
pub struct Run {
    /// The process.
    pub process: u16,
    /// How often it was started, this time included.
    pub start: u32,
}

/// One thing that happened.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Entry {
    /// When.
    pub at: Time,
    /// What.
    pub what: What,
}

/// What may happen.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub enum What {
    /// The world began; always the first entry.
    Began(Arc<WorldSetup>),
    /// A step of the plan.
    Did(Do),
    /// All faults ended but those of what is left; from now on all else must come to rest.
    Healed(Left),
    /// A process started a run.
    Started {
        /// The run.
        run: Run,
        /// The number that its engine writes into records.
        stamp: u64,
        /// How its clock runs.
        clock: Clock,
    },
    /// A run ended without a word.
    Crashed(Run),
    /// A run is held.
    Paused(Run),
    /// A held run goes on.
    Resumed(Run),
    /// An application wants something of its engine.
    Wanted {
        /// Whose.
        run: Run,
        /// What.
        command: Command,
    },
    /// An engine told its application something.
    Told {
        /// Whose.
        run: Run,
        /// What.
        event: Event,
    },
    /// An engine sent a request.
    Sent {
        /// Whose.
        run: Run,
        /// Which attempt.
        attempt: AttemptId,
        /// To which member.
        member: MemberId,
        /// What.
        request: Request,
    },
    /// An engine stopped waiting for an attempt.
    Cancelled {
        /// Whose.
        run: Run,
        /// Which.
        attempt: AttemptId,
    },
    /// An answer reached an engine.
    Answered {
        /// Whose.
        run: Run,
        /// To which attempt.
        attempt: AttemptId,
        /// What it says.
        reply: Reply,
    },
    /// From now on a run's clock runs otherwise.
    Clocked {
        /// The run.
        run: Run,
        /// How its clock runs.
        clock: Clock,
    },
    /// A process made a connection.
    Connected {
        /// Whose.
        run: Run,
        /// To which member.
        member: MemberId,
        /// How the store knows it.
        client: ClientId,
    },
    /// A process noticed that a connection is gone.
    Broke {
        /// Whose.
        run: Run,
        /// Which.
        client: ClientId,
    },
    /// A request reached the store.
    Arrived {
        /// Over which connection.
        client: ClientId,
        /// Which attempt.
        attempt: AttemptId,
        /// Whether the one who sent it has stopped waiting.
        late: bool,
    },
    /// A message sets out on a link that is slowed.
    Delayed {
        /// On which connection.
        client: ClientId,
        /// Of which attempt.
        attempt: AttemptId,
        /// On its way there or back.
        way: Way,
        /// How much longer it travels.
        by: Duration,
    },
    /// A message has come to where its link is cut, and waits there.
    Stopped {
        /// On which connection.
        client: ClientId,
        /// Of which attempt.
        attempt: AttemptId,
        /// On its way there or back.
        way: Way,
        /// How the link is cut.
        cut: Cut,
    },
    /// A message vanished in a connection that is dead, which nobody has noticed yet.
    Swallowed {
        /// On which connection.
        client: ClientId,
        /// Of which attempt.
        attempt: AttemptId,
    },
    /// Something happened to the store.
    Stored(StoreFault),
    /// Something happened to one of its members.
    Membered {
        /// Which.
        member: MemberId,
        /// What.
        fault: MemberFault,
    },
    /// What the processes' user may do now.
    Allowed(Rights),
    /// The processes' user has another password.
    PasswordSet {
        /// Whether it is the one that they have.
        right: bool,
    },
    /// One of its several members leads now, or none does.
    Led(Option<MemberId>),
    /// A message was lost.
    Lost {
        /// On which connection.
        client: ClientId,
        /// Of which attempt.
        attempt: AttemptId,
        /// On its way there or back.
        way: Way,
    },
    /// The store changed a key.
    Changed(Change),
    /// A lease took a step.
    Leased(LeaseChange),
    /// The store forgot its history before this revision.
    Compacted(Revision),
}

impl What {
    /// Whether it is news, and no message on its way: what happened to the world and to the store,
    /// and what applications want and are told.
    pub fn is_news(&self) -> bool {
        match self {
            Self::Did(_)
            | Self::Healed(_)
            | Self::Started { .. }
            | Self::Crashed(_)
            | Self::Clocked { .. }
            | Self::Paused(_)
            | Self::Resumed(_)
            | Self::Told { .. }
            | Self::Stored(_)
            | Self::Membered { .. }
            | Self::Allowed(_)
            | Self::PasswordSet { .. }
            | Self::Led(_)
            | Self::Changed(_)
            | Self::Compacted(_) => true,
            Self::Leased(change) => !matches!(change.step, LeaseStep::Renewed { .. }),
            Self::Began(_)
            | Self::Wanted { .. }
            | Self::Sent { .. }
            | Self::Cancelled { .. }
            | Self::Answered { .. }
            | Self::Connected { .. }
            | Self::Broke { .. }
            | Self::Arrived { .. }
            | Self::Delayed { .. }
            | Self::Stopped { .. }
            | Self::Swallowed { .. }
            | Self::Lost { .. } => false,
        }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}.{}", self.process, self.start)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.what)
    }
}

impl fmt::Display for What {
    /// `>` goes to the store or the engine, `<` comes back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began(setup) => write!(
                f,
                "world of {} processes, layout {} below {}",
                setup.processes,
                setup.layout.name(),
                setup.layout.root()
            ),
            Self::Did(step) => write!(f, "plan {}", json(step)),
            Self::Healed(left) => {
                f.write_str("plan all heals")?;
                let processes = left.processes.iter().map(|process| format!("p{process}"));
                let members = left.members.iter().map(|member| format!("m{member}"));
                let left: Vec<_> = processes.chain(members).collect();
                if left.is_empty() { Ok(()) } else { write!(f, " but {}", left.join(", ")) }
            }
            Self::Started { run, stamp, clock } => write!(f, "{run} starts as {stamp:x}{clock}"),
            Self::Crashed(run) => write!(f, "{run} crashes"),
            Self::Clocked { run, clock } => match clock.drift_permille {
                0 => write!(f, "{run} has a true clock again"),
                drift => write!(f, "{run} has a clock that is off by {drift:+} in 1000"),
            },
            Self::Paused(run) => write!(f, "{run} is held"),
            Self::Resumed(run) => write!(f, "{run} goes on"),
            Self::Wanted { run, command } => write!(f, "{run} wants {command}"),
            Self::Told { run, event } => write!(f, "{run} told {event}"),
            Self::Sent { run, attempt, member, request } => {
                write!(f, "{run} > {attempt} {member} {request}")
            }
            Self::Cancelled { run, attempt } => write!(f, "{run} > {attempt} cancel"),
            Self::Answered { run, attempt, reply } => write!(f, "{run} < {attempt} {reply}"),
            Self::Connected { run, member, client } => {
                write!(f, "{run} connects to {member} as {client}")
            }
            Self::Broke { run, client } => write!(f, "{run} notices that {client} is gone"),
            Self::Arrived { client, attempt, late } => {
                write!(f, "store < {client} {attempt}{}", if *late { " late" } else { "" })
            }
            Self::Delayed { client, attempt, way, by } => {
                write!(f, "wire delays {}{client} {attempt} by {by:?}", answer(*way))
            }
            Self::Stopped { client, attempt, way, cut } => {
                let cut = match cut {
                    Cut::Up => "up",
                    Cut::Down => "down",
                    Cut::Both => "both ways",
                };
                write!(f, "wire stops {}{client} {attempt}, cut {cut}", answer(*way))
            }
            Self::Swallowed { client, attempt } => write!(f, "wire swallows {client} {attempt}"),
            Self::Stored(fault) => f.write_str(match fault {
                StoreFault::Restart => "store restarts",
                StoreFault::Stop => "store stops",
                StoreFault::Start => "store starts",
                StoreFault::Pause => "store is held",
                StoreFault::Resume => "store goes on",
                StoreFault::LoseLeader => "store loses its leader",
                StoreFault::RegainLeader => "store may elect a leader again",
                StoreFault::Fill => "store is full",
                StoreFault::MakeRoom => "store has room again",
                StoreFault::Wipe => "store has lost its data",
                StoreFault::Backup => "store is backed up",
                StoreFault::Restore => "store is as it was backed up",
                StoreFault::Replace => "store is another cluster",
            }),
            Self::Membered { member, fault } => {
                let what = match fault {
                    MemberFault::Restart => "restarts",
                    MemberFault::Stop => "stops",
                    MemberFault::Start => "starts",
                    MemberFault::Pause => "is held",
                    MemberFault::Resume => "goes on",
                    MemberFault::CutOff => "is cut off from the others",
                    MemberFault::Rejoin => "is reached by the others again",
                    MemberFault::Lag => "applies nothing more",
                    MemberFault::CatchUp => "catches up",
                };
                write!(f, "store {member} {what}")
            }
            Self::Allowed(rights) => f.write_str(match rights {
                Rights::All => "store lets processes do everything",
                Rights::Read => "store lets processes only read",
                Rights::Nothing => "store lets processes do nothing",
            }),
            Self::PasswordSet { right } => {
                write!(f, "store has the {} password", if *right { "right" } else { "wrong" })
            }
            Self::Led(Some(member)) => write!(f, "store is led by {member}"),
            Self::Led(None) => f.write_str("store has no leader"),
            Self::Lost { client, attempt, way } => {
                write!(f, "wire loses {}{client} {attempt}", answer(*way))
            }
            Self::Changed(change) => show_change(f, change),
            Self::Leased(change) => show_lease(f, change),
            Self::Compacted(revision) => write!(f, "store compacted to @{revision}"),
        }
    }
}

const fn answer(way: Way) -> &'static str {
    match way {
        Way::Up => "",
        Way::Down => "the answer to ",
    }
}

fn show_change(f: &mut fmt::Formatter<'_>, change: &Change) -> fmt::Result {
    let Change { kv, cause, revision, kind, .. } = change;
    match kind {
        EventKind::Put => write!(f, "store @{revision} put {kv} by {cause}"),
        EventKind::Delete => write!(f, "store @{revision} delete {} by {cause}", kv.key),
    }
}

fn show_lease(f: &mut fmt::Formatter<'_>, change: &LeaseChange) -> fmt::Result {
    let lease = change.lease;
    match change.step {
        LeaseStep::Granted { ttl_secs, from, attempt, .. } => {
            write!(f, "store lease={lease} granted for {ttl_secs}s by {from} {attempt}")
        }
        LeaseStep::Renewed { expires, .. } => {
            write!(f, "store lease={lease} renewed until {expires}")
        }
        LeaseStep::Prolonged { expires } => {
            write!(f, "store lease={lease} prolonged until {expires}")
        }
        LeaseStep::Ended { cause } => write!(f, "store lease={lease} ended by {cause}"),
    }
}

fn json(step: &Do) -> String {
    serde_json::to_string(step).expect("steps are JSON")
}
