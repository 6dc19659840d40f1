use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DirectoryId, FollowId, FollowSeq, OpId, RegistrationId};
use crate::instance::{Data, Instance};
use crate::layout::Scope;
use crate::name::GroupName;
use crate::waist::{AttemptId, Key, KeyRange, Reply, Request, Revision};

/// What happened: the one way in.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Input {
    /// The application wants something.
    Command(Command),
    /// The store answered an attempt. Answers to attempts that nobody waits for any more are
    /// ignored.
    Reply {
        /// Which attempt.
        attempt: AttemptId,
        /// What it said.
        reply: Reply,
    },
    /// Nothing but time passed.
    Tick,
}

/// What the application wants. Ids are chosen by the driver, each used once in a run.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// Keep this instance in the store, until told otherwise. Answered by
    /// [`Event::Registration`](super::Event::Registration).
    Register {
        /// The registration; its number is written with the record.
        id: RegistrationId,
        /// What, and in which group.
        instance: Instance,
        /// What to do when somebody else's record stands there.
        conflict: Conflict,
    },
    /// Replace what a registration publishes; group and id must stay. Ignored when the
    /// registration is gone or being removed.
    Publish {
        /// Which.
        id: RegistrationId,
        /// The new content.
        instance: Instance,
    },
    /// Publish `Draining`, remove the record, and say when that is confirmed.
    Deregister {
        /// Which.
        id: RegistrationId,
        /// How long to try; after that the record's fate is left to its lease. Asked again, the
        /// earlier end counts.
        within: Duration,
    },
    /// Keep a local copy of what `scope` covers.
    Open {
        /// The directory.
        id: DirectoryId,
        /// What it shows.
        scope: Scope,
    },
    /// Forget a directory.
    Close {
        /// Which.
        id: DirectoryId,
    },
    /// A suspect of a directory did not answer: keep it no more. Ignored for what is no suspect.
    Refused {
        /// The directory.
        id: DirectoryId,
        /// The suspect's key.
        key: Key,
    },
    /// Tell every change of a key range, once, in the order of revisions, in parts that are to be
    /// acknowledged. Answered by [`Event::Followed`](super::Event::Followed), without end.
    Follow {
        /// The follower.
        id: FollowId,
        /// Which keys.
        keys: KeyRange,
        /// The first revision whose changes are told; `None`: those after now. One that the store
        /// has compacted, or never had, is declared as a gap.
        from: Option<Revision>,
    },
    /// The reader of a follower has taken all up to here, which makes room for more.
    Acknowledge {
        /// The follower.
        id: FollowId,
        /// The last that was taken.
        seq: FollowSeq,
    },
    /// Forget a follower.
    Unfollow {
        /// Which.
        id: FollowId,
    },
    /// Read a group's configuration, have it changed, swap it in. Asks back by
    /// [`Event::Propose`](super::Event::Propose), ends with [`Event::Updated`](super::Event::Updated).
    Update {
        /// The operation.
        id: OpId,
        /// Whose configuration.
        group: GroupName,
        /// How long to try.
        within: Duration,
    },
    /// The answer to [`Event::Propose`](super::Event::Propose).
    Proposed {
        /// The operation.
        id: OpId,
        /// What to write.
        proposal: Proposal,
    },
    /// One request, with retries where they are safe. Ends with
    /// [`Event::Called`](super::Event::Called). Watches, keepalives and authentication are not for
    /// calls and are refused.
    Call {
        /// The operation.
        id: OpId,
        /// What to ask.
        request: Request,
        /// How long to try.
        within: Duration,
    },
    /// Give up an update or a call; no event follows. It may still be applied.
    Abandon {
        /// The operation.
        id: OpId,
    },
    /// Remove all registrations, end everything; [`Event::Closed`](super::Event::Closed) is the
    /// last output. Commands after it are refused.
    Shutdown {
        /// How long to try.
        within: Duration,
    },
}

/// What to do when somebody else's record stands at a registration's key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Conflict {
    /// Put ours in its place.
    #[default]
    Replace,
    /// Leave it; the registration ends.
    Reject,
    /// Wait until it is gone.
    Wait,
}

/// What an update's closure made of the configuration it was shown.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Proposal {
    /// Write this.
    Write(Data),
    /// Leave it as it is; the update ends as unchanged.
    Keep,
}
