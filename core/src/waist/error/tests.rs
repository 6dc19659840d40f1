use super::*;

/// What a client of etcd is shown, what we read it as, and what may have been done
/// (`docs/etcd.md`, 1.8).
#[test]
fn statuses_are_read_by_their_words() {
    use Certainty::{NotDone, Unknown};
    use StoreError as E;
    let lost = |detail: &str| E::ConnectionLost { detail: detail.to_owned() };
    let other = |code, message: &str| E::Other { code, message: message.to_owned() };
    let cases = [
        (Code::InvalidArgument, "etcdserver: key is not provided", E::KeyNotProvided, NotDone),
        (Code::InvalidArgument, "etcdserver: key not found", E::KeyNotFound, NotDone),
        (Code::InvalidArgument, "etcdserver: value is provided", E::ValueProvided, NotDone),
        (Code::InvalidArgument, "etcdserver: lease is provided", E::LeaseProvided, NotDone),
        (
            Code::InvalidArgument,
            "etcdserver: too many operations in txn request",
            E::TooManyOps,
            NotDone,
        ),
        (
            Code::InvalidArgument,
            "etcdserver: duplicate key given in txn request",
            E::DuplicateKey,
            NotDone,
        ),
        (Code::InvalidArgument, "etcdserver: invalid sort option", E::InvalidSort, NotDone),
        (Code::InvalidArgument, "etcdserver: request is too large", E::RequestTooLarge, NotDone),
        (
            Code::OutOfRange,
            "etcdserver: mvcc: required revision has been compacted",
            E::Compacted,
            NotDone,
        ),
        (
            Code::OutOfRange,
            "etcdserver: mvcc: required revision is a future revision",
            E::FutureRevision,
            NotDone,
        ),
        (Code::OutOfRange, "etcdserver: too large lease TTL", E::LeaseTtlTooLarge, NotDone),
        (Code::NotFound, "etcdserver: requested lease not found", E::LeaseNotFound, NotDone),
        (Code::FailedPrecondition, "etcdserver: lease already exists", E::LeaseExists, NotDone),
        // What was written when there was no room left any more is answered so too.
        (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", E::NoSpace, Unknown),
        (Code::ResourceExhausted, "etcdserver: too many requests", E::TooManyRequests, NotDone),
        (
            Code::ResourceExhausted,
            "grpc: received message larger than max (2097189 vs. 2097152)",
            E::MessageTooLarge { size: 2_097_189, limit: 2_097_152 },
            NotDone,
        ),
        (Code::Unavailable, "etcdserver: no leader", E::NoLeader, NotDone),
        (Code::Unavailable, "etcdserver: request timed out", E::TimedOut, Unknown),
        (
            Code::Unavailable,
            "etcdserver: request timed out, possibly due to previous leader failure",
            E::TimedOutLeaderFail,
            Unknown,
        ),
        (
            Code::Unavailable,
            "etcdserver: request timed out, possibly due to connection lost",
            E::TimedOutConnectionLost,
            Unknown,
        ),
        (
            Code::Unavailable,
            "etcdserver: request timed out, waiting for the applied index took too long",
            other(
                Code::Unavailable,
                "etcdserver: request timed out, waiting for the applied index took too long",
            ),
            Unknown,
        ),
        // One error, two codes: newer releases and older ones.
        (Code::FailedPrecondition, "etcdserver: not capable", E::NotCapable, NotDone),
        (Code::Unavailable, "etcdserver: not capable", E::NotCapable, NotDone),
        (Code::Unavailable, "etcdserver: leader changed", E::LeaderChanged, Unknown),
        (Code::Unavailable, "etcdserver: server stopped", E::Stopped, Unknown),
        // One error, two codes: 3.5 and 3.4.
        (Code::DeadlineExceeded, "context deadline exceeded", E::ServerDeadline, Unknown),
        (Code::Unknown, "context deadline exceeded", E::ServerDeadline, Unknown),
        (
            Code::InvalidArgument,
            "etcdserver: authentication failed, invalid user ID or password",
            E::AuthFailed,
            NotDone,
        ),
        (Code::Unauthenticated, "etcdserver: invalid auth token", E::InvalidToken, NotDone),
        (Code::InvalidArgument, "etcdserver: user name is empty", E::NoToken, NotDone),
        (
            Code::InvalidArgument,
            "etcdserver: revision of auth store is old",
            E::OldAuthRevision,
            NotDone,
        ),
        (Code::PermissionDenied, "etcdserver: permission denied", E::PermissionDenied, NotDone),
        (
            Code::FailedPrecondition,
            "etcdserver: authentication is not enabled",
            E::AuthNotEnabled,
            NotDone,
        ),
        (
            Code::Unimplemented,
            "unknown service etcdserverpb.Watch",
            E::Unimplemented { message: "unknown service etcdserverpb.Watch".to_owned() },
            NotDone,
        ),
        // The same code as for a compaction, and nothing to do with one (row G8).
        (
            Code::OutOfRange,
            "Error, decoded message length too large: found 5000012 bytes, the limit is: \
             4194304 bytes",
            E::AnswerTooLarge { size: 5_000_012, limit: 4_194_304 },
            Unknown,
        ),
        (
            Code::Unknown,
            "h2 protocol error: error reading a body from connection",
            lost("h2 protocol error: error reading a body from connection"),
            Unknown,
        ),
        (Code::Unknown, "transport error", lost("transport error"), Unknown),
        // A connection's end has that code only.
        (Code::Unknown, "new", other(Code::Unknown, "new"), Unknown),
        (Code::Aborted, "transport error", other(Code::Aborted, "transport error"), Unknown),
        // Nothing that we know: the code decides.
        (Code::InvalidArgument, "new", other(Code::InvalidArgument, "new"), NotDone),
        (Code::Unavailable, "new", other(Code::Unavailable, "new"), Unknown),
        (Code::OutOfRange, "", other(Code::OutOfRange, ""), Unknown),
        (
            Code::OutOfRange,
            "too large: found many bytes, the limit is: 7 bytes",
            other(Code::OutOfRange, "too large: found many bytes, the limit is: 7 bytes"),
            Unknown,
        ),
    ];
    for (code, message, expected, certainty) in cases {
        let found = StoreError::from_status(code, message);
        assert_eq!(found, expected, "{code:?} {message:?}");
        assert_eq!(found.certainty(), certainty, "{code:?} {message:?}");
        // What we call it elsewhere, and the model with us, has the code that etcd gives it.
        let has = OTHER_CODE.iter().find(|(of, text, _)| (*of, *text) == (code, message));
        assert_eq!(found.code(), has.map_or(code, |(.., has)| *has), "{code:?} {message:?}");
    }
}

/// Where releases give one error several codes, and ours is another than the row's.
const OTHER_CODE: &[(Code, &str, Code)] = &[
    // 3.4's; ours is that of 3.5 and later.
    (Code::Unknown, "context deadline exceeded", Code::DeadlineExceeded),
    (Code::Unavailable, "etcdserver: not capable", Code::FailedPrecondition),
];

/// An error shown and read again is the same: the model's errors travel over the wire.
#[test]
fn what_is_shown_reads_back() {
    let text = String::new;
    let all = [
        StoreError::MessageTooLarge { size: 9, limit: 8 },
        StoreError::Unimplemented { message: text() },
        StoreError::NoSpace,
        StoreError::InvalidToken,
        StoreError::ServerDeadline,
        StoreError::Other { code: Code::Aborted, message: text() },
    ];
    for error in all {
        // `Other` shows its code for the reader; the message travels by itself.
        let message = if let StoreError::Other { message, .. } = &error {
            message.clone()
        } else {
            error.to_string()
        };
        assert_eq!(StoreError::from_status(error.code(), &message), error);
    }
}

/// Whom a refusal blames: the member, the request, or neither; whether it is final for a call, and
/// whether it shows that the store is there.
#[test]
fn a_refusal_blames_the_member_or_the_request() {
    let other = |code| StoreError::Other { code, message: "403 forbidden".to_owned() };
    let cases = [
        (StoreError::NotCapable, true, false, false, false),
        (StoreError::NoLeader, true, false, false, false),
        (StoreError::GaveUp, true, false, false, false),
        (other(Code::FailedPrecondition), true, false, true, false),
        (other(Code::PermissionDenied), true, false, true, false),
        (other(Code::InvalidArgument), false, false, true, false),
        (StoreError::PermissionDenied, false, false, true, true),
        (StoreError::AuthFailed, false, false, true, true),
        (StoreError::RequestTooLarge, false, true, true, true),
        (StoreError::DuplicateKey, false, true, true, true),
        (StoreError::NoSpace, false, false, false, true),
        (StoreError::TooManyRequests, false, false, false, true),
    ];
    for (error, member, request, permanent, answer) in cases {
        let found = (error.blames_member(), error.blames_request(), error.is_permanent());
        assert_eq!(found, (member, request, permanent), "{error:?}");
        assert_eq!(error.is_answer(), answer, "{error:?}");
    }
}
