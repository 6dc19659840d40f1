use serde::{Deserialize, Serialize};

use super::{Code, Header, KeyEvent, KeyValue, LeaseId, Revision, StoreError};

/// What a store answers.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Request::Range`](super::Request::Range).
    Range(RangeReply),
    /// To [`Request::Put`](super::Request::Put).
    Put(PutReply),
    /// To [`Request::Delete`](super::Request::Delete).
    Delete(DeleteReply),
    /// To [`Request::Txn`](super::Request::Txn).
    Txn(TxnReply),
    /// To [`Request::Compact`](super::Request::Compact).
    Compact(CompactReply),
    /// To [`Request::Grant`](super::Request::Grant).
    Grant(GrantReply),
    /// To [`Request::Revoke`](super::Request::Revoke).
    Revoke(RevokeReply),
    /// To [`Request::KeepAlive`](super::Request::KeepAlive).
    KeepAlive(KeepAliveReply),
    /// To [`Request::TimeToLive`](super::Request::TimeToLive).
    TimeToLive(TimeToLiveReply),
    /// To [`Request::Leases`](super::Request::Leases).
    Leases(LeasesReply),
    /// On a watch stream.
    Watch(WatchReply),
    /// To [`Request::Status`](super::Request::Status).
    Status(StatusReply),
    /// To [`Request::Members`](super::Request::Members).
    Members(MembersReply),
    /// To [`Request::Authenticate`](super::Request::Authenticate): the new token is in use.
    Authenticated,
    /// To nothing that was asked, under [`AttemptId::NEWS`](super::AttemptId::NEWS): what the
    /// backend authenticates with is another by now, so that a refused login may be tried again.
    CredentialsChanged,
    /// The request failed, or the stream ended; the error says what may have been done.
    Failed(StoreError),
}

impl Reply {
    /// The header, where the answer has one.
    pub fn header(&self) -> Option<&Header> {
        match self {
            Self::Range(reply) => Some(&reply.header),
            Self::Put(reply) => Some(&reply.header),
            Self::Delete(reply) => Some(&reply.header),
            Self::Txn(reply) => Some(&reply.header),
            Self::Compact(reply) => Some(&reply.header),
            Self::Grant(reply) => Some(&reply.header),
            Self::Revoke(reply) => Some(&reply.header),
            Self::KeepAlive(reply) => Some(&reply.header),
            Self::TimeToLive(reply) => Some(&reply.header),
            Self::Leases(reply) => Some(&reply.header),
            Self::Watch(reply) => Some(&reply.header),
            Self::Status(reply) => Some(&reply.header),
            Self::Members(reply) => Some(&reply.header),
            Self::Authenticated | Self::CredentialsChanged | Self::Failed(_) => None,
        }
    }
}

/// What a range found.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct RangeReply {
    /// The current revision, also when an old one was read (row R5).
    pub header: Header,
    /// The records.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit cut the list.
    pub more: bool,
    /// All records in the range, whatever limit and filters.
    pub count: i64,
}

/// What a put did.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct PutReply {
    /// With the put's own revision.
    pub header: Header,
    /// What was there before, if it was asked for.
    pub prev: Option<KeyValue>,
}

/// What a delete did.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct DeleteReply {
    /// With the delete's own revision; the current one if nothing was deleted.
    pub header: Header,
    /// How many keys.
    pub deleted: i64,
    /// What was there before, if it was asked for.
    pub prev: Vec<KeyValue>,
}

/// What a transaction did.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct TxnReply {
    /// With the transaction's own revision; the current one if nothing changed.
    pub header: Header,
    /// Whether the compares held.
    pub succeeded: bool,
    /// One for each operation of the branch that ran.
    pub responses: Vec<OpReply>,
}

/// What one operation of a transaction did. Of its header only the revision is set (row R7).
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum OpReply {
    /// To [`Op::Range`](super::Op::Range).
    Range(RangeReply),
    /// To [`Op::Put`](super::Op::Put).
    Put(PutReply),
    /// To [`Op::Delete`](super::Op::Delete).
    Delete(DeleteReply),
    /// To [`Op::Txn`](super::Op::Txn).
    Txn(TxnReply),
}

/// History is forgotten.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct CompactReply {
    /// With the current revision.
    pub header: Header,
}

/// A lease was granted.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct GrantReply {
    /// With the current revision.
    pub header: Header,
    /// Its id.
    pub lease: LeaseId,
    /// Its time to live in seconds, as granted.
    pub ttl_secs: i64,
}

/// A lease was revoked and its keys are deleted.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct RevokeReply {
    /// With the revision of the deletes; the current one if there were no keys.
    pub header: Header,
}

/// A lease was renewed, or is not there.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct KeepAliveReply {
    /// With the revision from before the renewal (row R6).
    pub header: Header,
    /// Its id.
    pub lease: LeaseId,
    /// The time to live in seconds from now on; 0 or less: the store has no such lease.
    pub ttl_secs: i64,
}

/// What is left of a lease.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct TimeToLiveReply {
    /// With the current revision.
    pub header: Header,
    /// Its id.
    pub lease: LeaseId,
    /// Remaining seconds, rounded down; −1: the store has no such lease (row L9).
    pub ttl_secs: i64,
    /// The seconds granted; 0 for an unknown lease.
    pub granted_secs: i64,
    /// The keys that hang on it, if they were asked for; in no order.
    pub keys: Vec<super::Key>,
}

/// All leases.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct LeasesReply {
    /// With the current revision.
    pub header: Header,
    /// Their ids.
    pub leases: Vec<LeaseId>,
}

/// One message on a watch stream, as etcd writes it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct WatchReply {
    /// Of an event answer the revision may be *ahead* of the events (row W8); of a cancelled watch
    /// it may be 0 (row W3): never a cursor.
    pub header: Header,
    /// The watch's number on its stream; −1 where it speaks of no watch, or of none that lives.
    pub watch_id: i64,
    /// The first answer of a watch.
    pub created: bool,
    /// The last answer of a watch, possibly the first too.
    pub canceled: bool,
    /// Set when the start was compacted: the oldest revision that can be watched from.
    pub compact_revision: Revision,
    /// Why it was cancelled; empty when asked for, or compacted.
    pub cancel_reason: String,
    /// Whether more parts of this answer follow (row W14).
    pub fragment: bool,
    /// The changes, in order; none in progress notifications.
    pub events: Vec<KeyEvent>,
}

impl WatchReply {
    /// What the reason of a cancelled watch says. etcd writes a gRPC status as text there, or its
    /// description alone.
    pub fn refusal(&self) -> StoreError {
        let text = &self.cancel_reason;
        let (_, description) = text.split_once("desc = ").unwrap_or(("", text));
        StoreError::from_status(Code::Unknown, description)
    }
}

/// How a member is.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct StatusReply {
    /// With the member's own revision.
    pub header: Header,
    /// The server's version, as text: `3.5.16`.
    pub version: String,
    /// The leader by etcd's member id; 0: none known.
    pub leader: u64,
    /// The member's own raft index.
    pub raft_index: u64,
    /// Bytes of the database on disk.
    pub db_size: i64,
    /// Whether the member only listens.
    pub is_learner: bool,
    /// Alarms and other troubles, as text.
    pub errors: Vec<String>,
}

/// Who the members of the cluster are.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct MembersReply {
    /// With no revision: etcd leaves it 0 here.
    pub header: Header,
    /// In no order.
    pub members: Vec<MemberInfo>,
}

/// A member, as its cluster knows it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct MemberInfo {
    /// etcd's own id of it, as in [`Header::member_id`].
    pub id: u64,
    /// Where clients reach it; none if it has not started yet.
    pub client_urls: Vec<String>,
    /// Whether it only listens: it serves no linearizable request.
    pub is_learner: bool,
}
