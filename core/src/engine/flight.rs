//! One attempt in flight, and which answers fit it.

use super::epoch::Then;
use super::{DirectoryId, FollowId, OpId};
use crate::time::Time;
use crate::waist::{AttemptId, Code, MemberId, Reply, Request, StoreError, WatchSay};

/// Which machine waits for an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(crate) enum Owner {
    Epoch,
    Holds,
    Mirror(DirectoryId),
    Follow(FollowId),
    Update(OpId),
    Call(OpId),
    /// The engine, for the list of members.
    Members,
    /// The wire itself, for a token.
    Login,
    /// The wire itself, to learn which cluster the store is.
    Census,
}

/// An attempt that is neither answered nor given up.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Flight {
    pub owner: Owner,
    /// The number that its owner knows; another one than its own after it was sent anew.
    pub known_as: AttemptId,
    pub kind: Kind,
    pub needs_leader: bool,
    /// `None` for streams.
    pub give_up_at: Option<Time>,
    pub place: Place,
    /// To send it anew, where a token may turn out to be old.
    pub request: Option<Request>,
    /// Of keys and values in it.
    pub bytes: usize,
    /// Whether anything of it has been delivered: a stream that spoke is not opened anew in secret.
    pub spoke: bool,
    /// What was said on a stream before it spoke: it belongs to what is sent anew.
    pub said: Vec<WatchSay>,
}

/// Where an attempt is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(crate) enum Place {
    /// Not sent yet: it waits for a token.
    Parked,
    Sent(Sent),
}

/// What was so when an attempt was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Sent {
    pub member: MemberId,
    pub at: Time,
    pub then: Then,
    /// Which token it carries: one more with each login.
    pub login: u32,
}

impl Flight {
    pub fn sent(&self) -> Option<Sent> {
        match self.place {
            Place::Parked => None,
            Place::Sent(sent) => Some(sent),
        }
    }
}

/// Which answer fits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(crate) enum Kind {
    Range,
    Put,
    Delete,
    Txn,
    Compact,
    Grant,
    Revoke,
    KeepAlive,
    TimeToLive,
    Leases,
    Watch,
    Status,
    Members,
    Authenticate,
}

impl Kind {
    pub fn of(request: &Request) -> Self {
        match request {
            Request::Range(_) => Self::Range,
            Request::Put(_) => Self::Put,
            Request::Delete(_) => Self::Delete,
            Request::Txn(_) => Self::Txn,
            Request::Compact(_) => Self::Compact,
            Request::Grant(_) => Self::Grant,
            Request::Revoke(_) => Self::Revoke,
            Request::KeepAlive(_) => Self::KeepAlive,
            Request::TimeToLive(_) => Self::TimeToLive,
            Request::Leases => Self::Leases,
            Request::Watch(_) | Request::OnWatch { .. } => Self::Watch,
            Request::Status => Self::Status,
            Request::Members => Self::Members,
            Request::Authenticate => Self::Authenticate,
        }
    }

    /// Whether every release looks at the token before it answers (row A3).
    pub fn shows_token(self) -> bool {
        match self {
            Self::Range | Self::Put | Self::Delete | Self::Txn => true,
            Self::Compact
            | Self::Grant
            | Self::Revoke
            | Self::KeepAlive
            | Self::TimeToLive
            | Self::Leases
            | Self::Watch
            | Self::Status
            | Self::Members
            | Self::Authenticate => false,
        }
    }

    /// The reply, if it fits. A store that answers something else than it was asked is not to be
    /// believed, but may have done what it was asked.
    pub fn fitting(self, reply: Reply) -> Reply {
        if self.fits(&reply) {
            return reply;
        }
        let message = "the answer does not fit the request".to_owned();
        Reply::Failed(StoreError::Other { code: Code::Internal, message })
    }

    fn fits(self, reply: &Reply) -> bool {
        match reply {
            Reply::Range(_) => self == Self::Range,
            Reply::Put(_) => self == Self::Put,
            Reply::Delete(_) => self == Self::Delete,
            Reply::Txn(_) => self == Self::Txn,
            Reply::Compact(_) => self == Self::Compact,
            Reply::Grant(_) => self == Self::Grant,
            Reply::Revoke(_) => self == Self::Revoke,
            Reply::KeepAlive(_) => self == Self::KeepAlive,
            Reply::TimeToLive(_) => self == Self::TimeToLive,
            Reply::Leases(_) => self == Self::Leases,
            Reply::Watch(_) => self == Self::Watch,
            Reply::Status(_) => self == Self::Status,
            Reply::Members(_) => self == Self::Members,
            Reply::Authenticated => self == Self::Authenticate,
            Reply::CredentialsChanged => false,
            Reply::Failed(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waist::{
        Compact, CompactReply, DeleteRange, DeleteReply, Grant, GrantReply, Header, KeepAlive,
        KeepAliveReply, KeyRange, LeaseId, LeasesReply, MembersReply, Put, PutReply, Range,
        RangeReply, Revision, Revoke, RevokeReply, StatusReply, TimeToLive, TimeToLiveReply, Txn,
        TxnReply, Watch, WatchReply,
    };

    /// What a store answers to each request, and no other.
    #[test]
    fn an_answer_fits_its_own_request_only() {
        let header = Header::default();
        let lease = LeaseId::new(7).expect("not 0");
        let keys = || KeyRange::one("k");
        let stream = AttemptId(1);
        let time_to_live =
            TimeToLiveReply { header, lease, ttl_secs: 1, granted_secs: 1, keys: Vec::new() };
        let pairs = [
            (Request::Range(Range::of(keys())), Reply::Range(RangeReply::default())),
            (Request::Put(Put::default()), Reply::Put(PutReply::default())),
            (
                Request::Delete(DeleteRange { keys: keys(), prev_kv: false }),
                Reply::Delete(DeleteReply::default()),
            ),
            (Request::Txn(Txn::default()), Reply::Txn(TxnReply::default())),
            (
                Request::Compact(Compact { revision: Revision(1), physical: false }),
                Reply::Compact(CompactReply { header }),
            ),
            (
                Request::Grant(Grant { lease: None, ttl_secs: 1 }),
                Reply::Grant(GrantReply { header, lease, ttl_secs: 1 }),
            ),
            (Request::Revoke(Revoke { lease }), Reply::Revoke(RevokeReply { header })),
            (
                Request::KeepAlive(KeepAlive { lease }),
                Reply::KeepAlive(KeepAliveReply { header, lease, ttl_secs: 1 }),
            ),
            (
                Request::TimeToLive(TimeToLive { lease, keys: false }),
                Reply::TimeToLive(time_to_live),
            ),
            (Request::Leases, Reply::Leases(LeasesReply::default())),
            (
                Request::Watch(Watch::of(keys(), Revision::ZERO)),
                Reply::Watch(WatchReply::default()),
            ),
            (Request::Status, Reply::Status(StatusReply::default())),
            (Request::Members, Reply::Members(MembersReply::default())),
            (Request::Authenticate, Reply::Authenticated),
        ];
        let on_watch = Request::OnWatch { stream, say: WatchSay::Progress };
        assert_eq!(Kind::of(&on_watch), Kind::Watch);
        for (asked, (request, _)) in pairs.iter().enumerate() {
            let kind = Kind::of(request);
            for (answered, (_, reply)) in pairs.iter().enumerate() {
                let taken = kind.fitting(reply.clone());
                let fits = taken == *reply;
                assert_eq!(fits, asked == answered, "{request} {reply}");
                assert_eq!(matches!(taken, Reply::Failed(_)), !fits, "{request} {reply}");
            }
            let failed = Reply::Failed(StoreError::GaveUp);
            assert_eq!(kind.fitting(failed.clone()), failed, "{request}");
            assert_ne!(kind.fitting(Reply::CredentialsChanged), Reply::CredentialsChanged);
        }
    }
}
