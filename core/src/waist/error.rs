use serde::{Deserialize, Serialize};

/// Why a request failed, or a stream ended. [`StoreError::certainty`] says what may have been done.
///
/// The texts are etcd's own where the error is etcd's (`api/v3rpc/rpctypes/error.go`).
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum StoreError {
    /// A request without a key.
    #[error("etcdserver: key is not provided")]
    KeyNotProvided,
    /// An ignore flag on a missing key, or an operation without content.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// A value together with `ignore_value`.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// A lease together with `ignore_lease`.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// More operations than the store takes (row T5).
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// One key written twice in a transaction (row T6).
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// A sort by something etcd does not know.
    #[error("etcdserver: invalid sort option")]
    InvalidSort,
    /// The revision was forgotten.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// The revision has not come yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// The lease expired, was revoked, or never was; nothing was written.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// A live lease has that id.
    #[error("etcdserver: lease already exists")]
    LeaseExists,
    /// A time to live above 9,000,000,000 s.
    #[error("etcdserver: too large lease TTL")]
    LeaseTtlTooLarge,
    /// More than the store takes in one request (row E1).
    #[error("etcdserver: request is too large")]
    RequestTooLarge,
    /// More than gRPC takes in one message, on the way to the store.
    #[error("grpc: received message larger than max ({size} vs. {limit})")]
    MessageTooLarge {
        /// Bytes sent.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The database is full. The write may have been applied all the same (row E2).
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    /// The store is overloaded and did not propose the request.
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    /// The member has no leader; the request was refused at once.
    #[error("etcdserver: no leader")]
    NoLeader,
    /// The store gave up waiting for its own consensus.
    #[error("etcdserver: request timed out")]
    TimedOut,
    /// As [`TimedOut`](Self::TimedOut), and the store suspects a lost leader.
    #[error("etcdserver: request timed out, possibly due to previous leader failure")]
    TimedOutLeaderFail,
    /// As [`TimedOut`](Self::TimedOut), and the store suspects a lost connection.
    #[error("etcdserver: request timed out, possibly due to connection lost")]
    TimedOutConnectionLost,
    /// The store's own deadline, as another text (3.5.30: DeadlineExceeded, 3.4.23: Unknown).
    #[error("context deadline exceeded")]
    ServerDeadline,
    /// The member does not serve this: its cluster is still agreeing on a version.
    #[error("etcdserver: not capable")]
    NotCapable,
    /// The leader changed while the request was under way.
    #[error("etcdserver: leader changed")]
    LeaderChanged,
    /// The member is stopping.
    #[error("etcdserver: server stopped")]
    Stopped,
    /// Wrong name or password.
    #[error("etcdserver: authentication failed, invalid user ID or password")]
    AuthFailed,
    /// The token has expired or is from before a restart.
    #[error("etcdserver: invalid auth token")]
    InvalidToken,
    /// The request carried no token.
    #[error("etcdserver: user name is empty")]
    NoToken,
    /// Users or roles changed since the token was issued.
    #[error("etcdserver: revision of auth store is old")]
    OldAuthRevision,
    /// The user may not do this.
    #[error("etcdserver: permission denied")]
    PermissionDenied,
    /// Authentication asked of a store that has it turned off.
    #[error("etcdserver: authentication is not enabled")]
    AuthNotEnabled,
    /// The member has no such service.
    #[error("{message}")]
    Unimplemented {
        /// The server's words.
        message: String,
    },
    /// Nobody listens there; nothing was sent.
    #[error("connection refused: {detail}")]
    Refused {
        /// The address and the system's words.
        detail: String,
    },
    /// No connection could be made, for another reason than a refusal; nothing was sent.
    #[error("cannot connect: {detail}")]
    CannotConnect {
        /// What failed: name, route, TLS.
        detail: String,
    },
    /// The connection broke while the request was under way.
    #[error("connection lost: {detail}")]
    ConnectionLost {
        /// The transport's words.
        detail: String,
    },
    /// The answer came from another cluster than all before it, while other members could be asked,
    /// and no more than half of all had said the same: it is not believed. There, it may have been
    /// done.
    #[error("answer from cluster {found:016x}, not {expected:016x}: is an address wrong?")]
    OtherCluster {
        /// The cluster known so far.
        expected: u64,
        /// The one that answered.
        found: u64,
    },
    /// The answer exceeds what this client decodes: it is no compaction, though gRPC gives it the
    /// same code (row G8).
    #[error("answer of {size} bytes exceeds the decode limit of {limit}")]
    AnswerTooLarge {
        /// Bytes received.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// No answer within the attempt's time; it may still be applied later.
    #[error("no answer in time")]
    GaveUp,
    /// The stream was ended by the store, without an error.
    #[error("stream ended")]
    StreamEnded,
    /// What the backend has no word for.
    #[error("{code:?}: {message}")]
    Other {
        /// gRPC's code.
        code: Code,
        /// The server's words.
        message: String,
    },
}

/// What a failed request may have done.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Certainty {
    /// Surely nothing.
    NotDone,
    /// It may have been applied, or may be later.
    Unknown,
}

/// gRPC's status codes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "gRPC's own names say it")]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl StoreError {
    /// What may have been done. A full database leaves even that open (row E2), so it counts as
    /// unknown.
    pub const fn certainty(&self) -> Certainty {
        match self {
            Self::KeyNotProvided
            | Self::KeyNotFound
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::TooManyOps
            | Self::DuplicateKey
            | Self::InvalidSort
            | Self::Compacted
            | Self::FutureRevision
            | Self::LeaseNotFound
            | Self::LeaseExists
            | Self::LeaseTtlTooLarge
            | Self::RequestTooLarge
            | Self::MessageTooLarge { .. }
            | Self::TooManyRequests
            | Self::NoLeader
            | Self::NotCapable
            | Self::AuthFailed
            | Self::InvalidToken
            | Self::NoToken
            | Self::OldAuthRevision
            | Self::PermissionDenied
            | Self::AuthNotEnabled
            | Self::Unimplemented { .. }
            | Self::Refused { .. }
            | Self::CannotConnect { .. } => Certainty::NotDone,
            Self::NoSpace
            | Self::TimedOut
            | Self::TimedOutLeaderFail
            | Self::TimedOutConnectionLost
            | Self::ServerDeadline
            | Self::LeaderChanged
            | Self::Stopped
            | Self::ConnectionLost { .. }
            | Self::OtherCluster { .. }
            | Self::AnswerTooLarge { .. }
            | Self::GaveUp
            | Self::StreamEnded => Certainty::Unknown,
            Self::Other { code, .. } => match code {
                Code::InvalidArgument
                | Code::NotFound
                | Code::PermissionDenied
                | Code::FailedPrecondition
                | Code::Unimplemented
                | Code::Unauthenticated => Certainty::NotDone,
                Code::Ok
                | Code::Cancelled
                | Code::Unknown
                | Code::DeadlineExceeded
                | Code::AlreadyExists
                | Code::ResourceExhausted
                | Code::Aborted
                | Code::OutOfRange
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss => Certainty::Unknown,
            },
        }
    }

    /// gRPC's code for it; what a client of etcd sees.
    pub const fn code(&self) -> Code {
        match self {
            Self::KeyNotProvided
            | Self::KeyNotFound
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::TooManyOps
            | Self::DuplicateKey
            | Self::InvalidSort
            | Self::RequestTooLarge
            | Self::AuthFailed
            | Self::NoToken
            | Self::OldAuthRevision => Code::InvalidArgument,
            Self::Compacted
            | Self::FutureRevision
            | Self::LeaseTtlTooLarge
            | Self::AnswerTooLarge { .. } => Code::OutOfRange,
            Self::LeaseNotFound => Code::NotFound,
            Self::LeaseExists | Self::NotCapable | Self::AuthNotEnabled => Code::FailedPrecondition,
            Self::MessageTooLarge { .. } | Self::NoSpace | Self::TooManyRequests => {
                Code::ResourceExhausted
            }
            Self::NoLeader
            | Self::TimedOut
            | Self::TimedOutLeaderFail
            | Self::TimedOutConnectionLost
            | Self::LeaderChanged
            | Self::Stopped
            | Self::Refused { .. }
            | Self::CannotConnect { .. } => Code::Unavailable,
            Self::InvalidToken => Code::Unauthenticated,
            Self::PermissionDenied => Code::PermissionDenied,
            Self::Unimplemented { .. } => Code::Unimplemented,
            Self::ServerDeadline | Self::GaveUp => Code::DeadlineExceeded,
            Self::ConnectionLost { .. } | Self::OtherCluster { .. } | Self::StreamEnded => {
                Code::Unknown
            }
            Self::Other { code, .. } => *code,
        }
    }

    /// Whether another member might answer: this one is away, stopping, or without a leader; or
    /// it refuses in words that are not etcd's, so that what stands before it may be to blame.
    pub const fn blames_member(&self) -> bool {
        match self {
            Self::NoLeader
            | Self::NotCapable
            | Self::TimedOut
            | Self::TimedOutLeaderFail
            | Self::TimedOutConnectionLost
            | Self::ServerDeadline
            | Self::Stopped
            | Self::Refused { .. }
            | Self::CannotConnect { .. }
            | Self::ConnectionLost { .. }
            | Self::OtherCluster { .. }
            | Self::GaveUp
            | Self::StreamEnded
            | Self::Unimplemented { .. } => true,
            Self::Other { code, .. } => matches!(
                code,
                Code::Unavailable
                    | Code::Internal
                    | Code::FailedPrecondition
                    | Code::PermissionDenied
            ),
            Self::KeyNotProvided
            | Self::KeyNotFound
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::TooManyOps
            | Self::DuplicateKey
            | Self::InvalidSort
            | Self::Compacted
            | Self::FutureRevision
            | Self::LeaseNotFound
            | Self::LeaseExists
            | Self::LeaseTtlTooLarge
            | Self::RequestTooLarge
            | Self::MessageTooLarge { .. }
            | Self::NoSpace
            | Self::TooManyRequests
            | Self::LeaderChanged
            | Self::AuthFailed
            | Self::InvalidToken
            | Self::NoToken
            | Self::OldAuthRevision
            | Self::PermissionDenied
            | Self::AuthNotEnabled
            | Self::AnswerTooLarge { .. } => false,
        }
    }

    /// Whether a member has said it that is there and works: it refuses, and so would any other.
    pub const fn is_answer(&self) -> bool {
        // Whatever blames no member is a member's word, but for what may come from the way to it.
        !self.blames_member() && !matches!(self, Self::Other { .. })
    }

    /// Whether repeating the same request can never help: a call or update ends with it.
    pub const fn is_permanent(&self) -> bool {
        match self {
            Self::KeyNotProvided
            | Self::KeyNotFound
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::TooManyOps
            | Self::DuplicateKey
            | Self::InvalidSort
            | Self::Compacted
            | Self::FutureRevision
            | Self::LeaseNotFound
            | Self::LeaseExists
            | Self::LeaseTtlTooLarge
            | Self::RequestTooLarge
            | Self::MessageTooLarge { .. }
            | Self::AuthFailed
            | Self::PermissionDenied
            | Self::AuthNotEnabled
            | Self::Unimplemented { .. }
            | Self::AnswerTooLarge { .. } => true,
            Self::NoSpace
            | Self::TooManyRequests
            | Self::NoLeader
            | Self::NotCapable
            | Self::TimedOut
            | Self::TimedOutLeaderFail
            | Self::TimedOutConnectionLost
            | Self::ServerDeadline
            | Self::LeaderChanged
            | Self::Stopped
            | Self::InvalidToken
            | Self::NoToken
            | Self::OldAuthRevision
            | Self::Refused { .. }
            | Self::CannotConnect { .. }
            | Self::ConnectionLost { .. }
            | Self::OtherCluster { .. }
            | Self::GaveUp
            | Self::StreamEnded => false,
            Self::Other { code, .. } => matches!(
                code,
                Code::InvalidArgument
                    | Code::NotFound
                    | Code::PermissionDenied
                    | Code::FailedPrecondition
                    | Code::Unimplemented
            ),
        }
    }

    /// Whether it says that the request itself is wrong: whoever asks for it, and whomever they
    /// ask, the same request is refused for ever.
    pub const fn blames_request(&self) -> bool {
        match self {
            Self::KeyNotProvided
            | Self::KeyNotFound
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::TooManyOps
            | Self::DuplicateKey
            | Self::InvalidSort
            | Self::LeaseTtlTooLarge
            | Self::RequestTooLarge
            | Self::MessageTooLarge { .. } => true,
            Self::Compacted
            | Self::FutureRevision
            | Self::LeaseNotFound
            | Self::LeaseExists
            | Self::NoSpace
            | Self::TooManyRequests
            | Self::NoLeader
            | Self::NotCapable
            | Self::TimedOut
            | Self::TimedOutLeaderFail
            | Self::TimedOutConnectionLost
            | Self::ServerDeadline
            | Self::LeaderChanged
            | Self::Stopped
            | Self::AuthFailed
            | Self::InvalidToken
            | Self::NoToken
            | Self::OldAuthRevision
            | Self::PermissionDenied
            | Self::AuthNotEnabled
            | Self::Unimplemented { .. }
            | Self::Refused { .. }
            | Self::CannotConnect { .. }
            | Self::ConnectionLost { .. }
            | Self::OtherCluster { .. }
            | Self::AnswerTooLarge { .. }
            | Self::GaveUp
            | Self::StreamEnded
            // What there is no word for may come from anything on the way.
            | Self::Other { .. } => false,
        }
    }

    /// Reads a gRPC status that a server or a client library produced.
    ///
    /// Messages decide before codes, since etcd gives several errors the same code and, between
    /// releases, the same error several codes.
    pub fn from_status(code: Code, message: &str) -> Self {
        const FIXED: &[StoreError] = &[
            StoreError::KeyNotProvided,
            StoreError::KeyNotFound,
            StoreError::ValueProvided,
            StoreError::LeaseProvided,
            StoreError::TooManyOps,
            StoreError::DuplicateKey,
            StoreError::InvalidSort,
            StoreError::Compacted,
            StoreError::FutureRevision,
            StoreError::LeaseNotFound,
            StoreError::LeaseExists,
            StoreError::LeaseTtlTooLarge,
            StoreError::RequestTooLarge,
            StoreError::NoSpace,
            StoreError::TooManyRequests,
            StoreError::NoLeader,
            StoreError::TimedOut,
            StoreError::TimedOutLeaderFail,
            StoreError::TimedOutConnectionLost,
            StoreError::ServerDeadline,
            StoreError::NotCapable,
            StoreError::LeaderChanged,
            StoreError::Stopped,
            StoreError::AuthFailed,
            StoreError::InvalidToken,
            StoreError::NoToken,
            StoreError::OldAuthRevision,
            StoreError::PermissionDenied,
            StoreError::AuthNotEnabled,
        ];
        if let Some(known) = FIXED.iter().find(|error| error.to_string() == message) {
            return known.clone();
        }
        if let Some((size, limit)) = numbers(message, "message larger than max (", " vs. ", ")") {
            return Self::MessageTooLarge { size, limit };
        }
        if let Some((size, limit)) =
            numbers(message, "too large: found ", " bytes, the limit is: ", " bytes")
        {
            return Self::AnswerTooLarge { size, limit };
        }
        let broken = message.contains("transport error") || message.contains("h2 ");
        if code == Code::Unimplemented {
            Self::Unimplemented { message: message.to_owned() }
        } else if code == Code::Unknown && broken {
            Self::ConnectionLost { detail: message.to_owned() }
        } else {
            Self::Other { code, message: message.to_owned() }
        }
    }
}

/// The two numbers in `..before A between B after..`.
fn numbers(text: &str, before: &str, between: &str, after: &str) -> Option<(u64, u64)> {
    let rest = &text[text.find(before)? + before.len()..];
    let (first, rest) = rest.split_once(between)?;
    let (second, _) = rest.split_once(after)?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

#[cfg(test)]
mod tests;
