use std::fmt;

use crate::{Admin, Operation, Pass, Token};
use portolan_core::waist::{AttemptId, LeaseId, MemberId, Reply, Request};
use serde::{Deserialize, Serialize};

/// Who asks: one connection of one process. Attempts are numbered per client.
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ClientId(pub u32);

/// What reaches the store.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Input {
    /// A request has arrived.
    Request {
        /// Who asks.
        from: ClientId,
        /// The attempt that the answer will carry.
        attempt: AttemptId,
        /// Which member is asked, by its place.
        member: MemberId,
        /// What is asked.
        request: Request,
        /// What the carrier has added, to say who asks.
        #[serde(default)]
        pass: Pass,
    },
    /// The client has given up a call or ended a stream. What was applied stays applied.
    Cancel {
        /// Whose.
        from: ClientId,
        /// Which.
        attempt: AttemptId,
    },
    /// The client's connection is gone: its streams end, and nothing more reaches it.
    Disconnect {
        /// Whose.
        from: ClientId,
    },
    /// An operator asks something.
    Operate {
        /// Who asks.
        from: ClientId,
        /// The attempt that the answer will carry.
        attempt: AttemptId,
        /// Which member is asked, by its place.
        member: MemberId,
        /// What is asked.
        operation: Operation,
        /// What the carrier has added, to say who asks.
        #[serde(default)]
        pass: Pass,
    },
    /// Users and roles change, as if by an operator who may do that. Nobody is answered: what etcd
    /// would refuse, and what comes while there is no leader, has no effect.
    Admin(Admin),
    /// Something happens to the store itself.
    Fault(Fault),
    /// Time has passed.
    Tick,
    /// The carrier has taken some of what was said on a stream of watches. Counts only where there
    /// is a limit to that ([`Limits::stream_bytes`](crate::Limits::stream_bytes)).
    Taken {
        /// Whose.
        from: ClientId,
        /// Which.
        attempt: AttemptId,
        /// How much ([`watch_weight`](crate::watch_weight)).
        bytes: u64,
    },
}

/// What may happen to the store. Of several members it happens to all, unless one is named.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Fault {
    /// The process ends and starts again with its data: calls and streams break, the raft term
    /// rises, and every lease's countdown starts over (rows R9, L10).
    Restart,
    /// The process ends: calls and streams break, and whoever calls is refused.
    Stop,
    /// A stopped process starts again with its data, as after [`Restart`](Self::Restart).
    Start,
    /// The process is held (as by SIGSTOP): it answers nothing and its timers do not run.
    Pause,
    /// A held process goes on. Its timers run first, then what has arrived meanwhile (row L11).
    Resume,
    /// The data are lost; the process starts empty under the same cluster id (row R8).
    Wipe,
    /// A backup is taken, replacing an earlier one.
    Snapshot,
    /// The process starts again with the data of the last backup, under the same cluster id, the
    /// raft term starting over. Without a backup nothing happens.
    Restore,
    /// Another cluster stands at the same address: empty, with another cluster id.
    ReplaceCluster,
    /// The database is full, or no longer so (row E2).
    SpaceAlarm(bool),
    /// The member has fallen behind with applying, or has caught up (row E3).
    Overload(bool),
    /// The member loses sight of its leader (rows G7, L8, W17).
    LeaderLost,
    /// There is a leader again: the term rises, and every countdown starts over (row L10).
    LeaderBack,
    /// The leader hands over to this member, if that one hears of it.
    LeaderTo(MemberId),
    /// A lease's time is over now, if there is a leader that counts it: what follows is as if it had
    /// run out (rows L5 to L7).
    Expire(LeaseId),
    /// Something happens to one member alone.
    Member(MemberId, MemberFault),
}

/// What may happen to one of several members.
///
/// Where a leader is stopped, held or cut off from a majority, the others elect another one between
/// one and two election timeouts later.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum MemberFault {
    /// As [`Fault::Restart`].
    Restart,
    /// As [`Fault::Stop`].
    Stop,
    /// As [`Fault::Start`].
    Start,
    /// As [`Fault::Pause`]. What reaches it meanwhile is read when it goes on.
    Pause,
    /// As [`Fault::Resume`].
    Resume,
    /// The other members cannot reach it, nor it them; its clients can.
    CutOff,
    /// The others can reach it again.
    Heal,
    /// It applies nothing more, though it hears of it: what it serves by itself is from now.
    Lag,
    /// It applies all that it has to, and goes on doing so.
    CatchUp,
}

/// What the store says to one client.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Output {
    /// To whom.
    pub to: ClientId,
    /// In answer to which attempt; a watch's attempt stands for its whole stream.
    pub attempt: AttemptId,
    /// What is said.
    pub reply: Reply,
    /// The token that [`Reply::Authenticated`] brings.
    #[serde(default)]
    pub(crate) token: Option<Token>,
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { from, attempt, member, request, pass: _ } => {
                write!(f, "{from} {attempt} > {member} {request:?}")
            }
            Self::Cancel { from, attempt } => write!(f, "{from} {attempt} cancelled"),
            Self::Disconnect { from } => write!(f, "{from} disconnected"),
            Self::Operate { from, attempt, member, operation, pass: _ } => {
                write!(f, "{from} {attempt} > {member} {operation:?}")
            }
            Self::Taken { from, attempt, bytes } => write!(f, "{from} {attempt} took {bytes} B"),
            Self::Admin(admin) => write!(f, "admin {admin:?}"),
            Self::Fault(fault) => write!(f, "fault {fault:?}"),
            Self::Tick => write!(f, "tick"),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} < {:?}", self.to, self.attempt, self.reply)
    }
}
