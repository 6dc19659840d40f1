use serde::{Deserialize, Serialize};

use super::{
    DirectoryId, FollowId, FollowSeq, Followed, GuardNews, OpId, RegistrationId, Snapshot, Step,
};
use crate::instance::GroupConfig;
use crate::waist::{AttemptId, LeaseId, MemberId, Reply, Request, Revision, StoreError};

/// What to do: the one way out.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub enum Output {
    /// Carry a request to a member.
    Send {
        /// The attempt; its answers name it.
        attempt: AttemptId,
        /// Which member to ask.
        member: MemberId,
        /// What to ask.
        request: Request,
    },
    /// Stop waiting for an attempt; ends its stream if it is a watch.
    Cancel {
        /// Which.
        attempt: AttemptId,
    },
    /// Have a member's next request use new connections; see
    /// [`Backend::redial`](crate::waist::Backend::redial).
    Redial {
        /// Which.
        member: MemberId,
    },
    /// A member was found that the driver was not given; see
    /// [`Backend::introduce`](crate::waist::Backend::introduce).
    Introduce {
        /// Its number from now on.
        member: MemberId,
        /// Where it serves clients.
        urls: Vec<String>,
    },
    /// Tell the application.
    Event(Event),
}

/// How the store stands, as far as asking it goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// The member asked last.
    pub member: MemberId,
    /// Whether every member has failed lately, and none has answered since. A refusal is an answer.
    pub away: bool,
    /// How the login is.
    pub login: Login,
}

/// How the login to the store is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Login {
    /// There are no credentials.
    #[default]
    None,
    /// There is no token yet, or not any more; requests wait for one.
    Pending,
    /// Requests carry a token, or need none.
    Done,
    /// The store refuses the credentials; everything fails until it does not.
    Refused,
}

/// What the application must learn.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub enum Event {
    /// Of a registration.
    Registration {
        /// Which.
        id: RegistrationId,
        /// What.
        event: RegistrationEvent,
    },
    /// A directory's content went on.
    Stepped {
        /// Which.
        id: DirectoryId,
        /// From where to where, with the snapshot after it.
        step: Step,
    },
    /// A directory's content stayed, but how fresh it is changed.
    Freshness {
        /// Which.
        id: DirectoryId,
        /// The same content under its new freshness.
        snapshot: Snapshot,
    },
    /// A directory's guard did something. What it keeps apart may also change with a step, where
    /// instances vanish or come back.
    Guard {
        /// Which.
        id: DirectoryId,
        /// What.
        news: GuardNews,
        /// The same content, with what is kept apart now.
        snapshot: Snapshot,
    },
    /// A follower has news for its reader.
    Followed {
        /// Which.
        id: FollowId,
        /// What to acknowledge once the reader has taken it.
        seq: FollowSeq,
        /// What.
        what: Followed,
    },
    /// An update asks what to make of this configuration. May be asked several times.
    Propose {
        /// Which.
        id: OpId,
        /// What stands now; `None`: nothing.
        base: Option<GroupConfig>,
    },
    /// An update ended.
    Updated {
        /// Which.
        id: OpId,
        /// How.
        outcome: UpdateOutcome,
    },
    /// A call ended.
    Called {
        /// Which.
        id: OpId,
        /// The store's answer, or why there is none.
        result: Result<Reply, CallError>,
    },
    /// The shutdown ended; nothing follows.
    Closed {
        /// Whether every removal was confirmed; else the leases' ends take the rest away.
        confirmed: bool,
    },
}

/// What happens to a registration.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum RegistrationEvent {
    /// Its record stands in the store as wanted.
    Registered {
        /// The lease it hangs on, shared with others of this process. Nothing else is to be put on
        /// it: records move to other leases, and what is found on one then goes with it.
        lease: LeaseId,
        /// The record's mod revision.
        revision: Revision,
        /// Which content stands there: 1 for the first, one more with each
        /// [`Command::Publish`](super::Command::Publish).
        sequence: u64,
    },
    /// Its record is not, or may not be, in the store any more. It is being restored, unless the
    /// reason says otherwise.
    Lost {
        /// Why.
        reason: LossReason,
    },
    /// The store refuses for a reason that only its operator can mend; tried again, slowly.
    Denied {
        /// The refusal.
        error: StoreError,
    },
    /// Somebody else's record stands there, and the registration waits for it to go.
    Waiting {
        /// The lease it hangs on.
        owner: Option<LeaseId>,
    },
    /// The registration has ended; nothing follows.
    Gone(Gone),
}

/// Why a record may be gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum LossReason {
    /// Its lease ended at the store, or its time passed without a renewal.
    LeaseLost,
    /// An operator has marked it as evicted. It is not restored but removed, and the registration
    /// then ends as [`Gone::Evicted`].
    Evicted,
    /// It was deleted, changed, or moved by somebody else; or the store is another one, or lost
    /// what it had.
    Disturbed,
}

/// How a registration ended.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Gone {
    /// Removed as wished, confirmed: no late attempt can bring it back.
    Deregistered,
    /// Removal was not confirmed in time. It is gone, at the latest, when its lease ends.
    Unconfirmed,
    /// Somebody else's record stands at its key, and the registration was to give way.
    Rejected {
        /// The lease of that record.
        by: Option<LeaseId>,
    },
    /// Somebody else put a record over ours.
    Superseded {
        /// The lease of that record.
        by: Option<LeaseId>,
    },
    /// An operator had its record marked, and it was removed, confirmed: no late attempt can bring
    /// it back.
    Evicted {
        /// The name that the operator gave.
        by: String,
    },
    /// It cannot be written in this layout or within the store's limits; nothing was sent.
    Refused {
        /// Why, naming field, value and limit.
        reason: String,
    },
}

/// How an update ended.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum UpdateOutcome {
    /// Written, exactly once, at this revision.
    Done {
        /// The record's mod revision.
        revision: Revision,
    },
    /// The closure left it as it was, at this revision (0: absent).
    Unchanged {
        /// The record's mod revision.
        revision: Revision,
    },
    /// Others kept writing until the deadline; nothing of ours was written.
    Conflict,
    /// It may have been written, once; the history that could tell is out of reach.
    Unknown {
        /// The last failure.
        error: StoreError,
    },
    /// Surely nothing was written.
    Failed {
        /// Why.
        error: CallError,
    },
}

/// Why a call or update has no answer.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum CallError {
    /// The store refused, or could not be reached until the deadline; surely not done.
    #[error("not done: {0}")]
    NotDone(StoreError),
    /// It may have been done, or may be later.
    #[error("unknown whether done: {0}")]
    Unknown(StoreError),
    /// Too much is in flight already; nothing was sent.
    #[error("busy: {in_flight} requests in flight, the limit is {limit}")]
    Busy {
        /// Requests in flight.
        in_flight: u32,
        /// The limit.
        limit: u32,
    },
    /// What is in flight holds too much already; nothing was sent.
    #[error("busy: {bytes} bytes in flight with this request, the limit is {limit}")]
    BusyBytes {
        /// Bytes of keys and values in flight, those of the refused request included.
        bytes: u32,
        /// The limit.
        limit: u32,
    },
    /// The engine is shut down or shutting down; nothing was sent.
    #[error("shut down")]
    Closed,
    /// It cannot be sent: refused here, before the store.
    #[error("{reason}")]
    Invalid {
        /// Why, naming field, value and limit.
        reason: String,
    },
}
