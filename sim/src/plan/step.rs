//! What happens in a world, one step at a time.

use portolan_core::engine::{Conflict, DirectoryId, FollowId, OpId, RegistrationId};
use portolan_core::instance::State;
use portolan_core::layout::Scope;
use portolan_core::name::{GroupName, InstanceId};
use portolan_core::waist::{Key, LeaseId, Revision};
use serde::{Deserialize, Serialize};

use super::Left;

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
    /// An application follows a key range. After a restart of its process it does so again, from
    /// then on.
    Follow {
        /// Whose.
        process: u16,
        /// The follower's number, unique in its process.
        id: FollowId,
        /// Which keys.
        prefix: Key,
        /// The first revision whose changes are told; those after now, if it does not say.
        #[serde(default)]
        from: Option<Revision>,
        /// How long the reader takes for each part that it is told, in milliseconds.
        #[serde(default)]
        slow_ms: u64,
    },
    /// An application follows no longer.
    Unfollow {
        /// Whose.
        process: u16,
        /// Which.
        id: FollowId,
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
    /// One process more starts. It has the next number, and stands by itself: an engine that nobody
    /// has asked for anything.
    AddProcess {},
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
    /// From now on a process's clock runs so much faster than the store's, until it ends.
    Clock {
        /// Whose.
        process: u16,
        /// How much faster, in thousandths; -500 to 500.
        drift_permille: i16,
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
    /// Something happens to one of the store's members. Where there is but one, being cut off and
    /// lagging mean nothing.
    Member {
        /// Which.
        member: u16,
        /// What.
        fault: MemberFault,
    },
    /// The store's leader hands over, if the other one is well and hears of it. A new leader
    /// starts every lease's countdown over (row L10).
    Lead {
        /// To which member.
        member: u16,
    },
    /// The user that the processes are may do this from now on. As soon as the store can agree on it.
    Rights {
        /// What.
        may: Rights,
    },
    /// The user's password is changed, to another than the processes have or back. Either way the
    /// store forgets the tokens that it has issued to them.
    Password {
        /// Whether it is the one that they have.
        right: bool,
    },
    /// The store forgets its history, but for the last `keep` revisions.
    Compact {
        /// How many revisions before the present one stay readable.
        keep: u64,
    },
    /// A lease's time is over at once, as if it had run out.
    Expire {
        /// Which. The same plan with the same seed has the same leases.
        lease: LeaseId,
    },
    /// An operator revokes a lease.
    Revoke {
        /// Which.
        lease: LeaseId,
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
    /// Many instances of strangers come, `crowd-00000` and so on.
    Crowd {
        /// To which group.
        group: GroupName,
        /// How many; 1 to 10000.
        count: u16,
        /// How many of them in one revision; 1 to 100.
        at_once: u16,
        /// The time to live, in seconds, of the lease on which those of one revision hang, and which
        /// nobody renews; without one, if it does not say.
        #[serde(default)]
        lease_secs: Option<u32>,
    },
    /// Everything heals, as it does after the last step; but then the plan goes on.
    Mend {
        /// What stays as it is.
        #[serde(default, skip_serializing_if = "Left::is_empty")]
        left: Left,
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

/// What may happen to the store as a whole: to the processes of all its members.
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
    /// No member knows of a leader any more, and none is elected.
    LoseLeader,
    /// There is a leader again.
    RegainLeader,
    /// The database is full: what needs room is refused (row E2).
    Fill,
    /// There is room again.
    MakeRoom,
    /// Its data are lost; it starts empty, under the same cluster id (row R8).
    Wipe,
    /// A backup is taken, in place of an earlier one.
    Backup,
    /// It starts with the data of the last backup, under the same cluster id; without a backup
    /// nothing happens.
    Restore,
    /// Another cluster stands at the same addresses, empty.
    Replace,
}

/// What may happen to one member of the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberFault {
    /// Its process ends and starts again.
    Restart,
    /// It ends.
    Stop,
    /// It starts again.
    Start,
    /// It is held.
    Pause,
    /// It goes on.
    Resume,
    /// The other members cannot reach it, nor it them; its clients can.
    CutOff,
    /// The other members can reach it again.
    Rejoin,
    /// It applies nothing more of what is agreed on: what it serves by itself is old.
    Lag,
    /// It applies all that it has missed, and goes on doing so.
    CatchUp,
}

/// What a user may do.
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Rights {
    /// Read and write every key.
    #[default]
    All,
    /// Read every key.
    Read,
    /// Nothing.
    Nothing,
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

impl Do {
    /// The process to which it happens; `None` when it happens to the store.
    pub fn process(&self) -> Option<u16> {
        match *self {
            Self::Register { process, .. }
            | Self::Publish { process, .. }
            | Self::Deregister { process, .. }
            | Self::Open { process, .. }
            | Self::Close { process, .. }
            | Self::Follow { process, .. }
            | Self::Unfollow { process, .. }
            | Self::Update { process, .. }
            | Self::Call { process, .. }
            | Self::Abandon { process, .. }
            | Self::Shutdown { process, .. }
            | Self::Crash { process }
            | Self::Restart { process }
            | Self::Clock { process, .. }
            | Self::Pause { process }
            | Self::Resume { process }
            | Self::Cut { process, .. }
            | Self::Heal { process, .. }
            | Self::Reset { process, .. }
            | Self::Blackhole { process, .. }
            | Self::Lose { process, .. }
            | Self::Slow { process, .. } => Some(process),
            Self::AddProcess {}
            | Self::Expire { .. }
            | Self::Revoke { .. }
            | Self::Mend { .. }
            | Self::Store { .. }
            | Self::Member { .. }
            | Self::Lead { .. }
            | Self::Rights { .. }
            | Self::Password { .. }
            | Self::Compact { .. }
            | Self::RevokeOf { .. }
            | Self::DeleteKey { .. }
            | Self::PutKey { .. }
            | Self::MoveKey { .. }
            | Self::Crowd { .. } => None,
        }
    }
}
