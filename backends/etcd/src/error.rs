use std::error::Error;
use std::io;

use portolan_core::waist::{Code, StoreError};
use tonic::{ConnectError, Status, TimeoutExpired};

/// What an error of etcd-client says of the request. `address` is the member's, for the reader.
pub(crate) fn from_client(error: &etcd_client::Error, address: &str) -> StoreError {
    if let etcd_client::Error::GRpcStatus(status) = error {
        return from_status(status, address);
    }
    // All the others are raised before anything is sent, or stand for a closed request stream.
    StoreError::Other { code: Code::Internal, message: error.to_string() }
}

/// What a gRPC status says of the request.
///
/// | where it arose | read as |
/// |---|---|
/// | here, connecting, and the system said "refused" | `Refused`: nothing was sent |
/// | here, connecting, otherwise | `CannotConnect`: nothing was sent |
/// | here, a time limit of the endpoint | `GaveUp` |
/// | here, anything else with a cause: HTTP/2, the socket, a ping without answer | `ConnectionLost` |
/// | at the server, or without a cause | by its words: [`StoreError::from_status`] |
pub(crate) fn from_status(status: &Status, address: &str) -> StoreError {
    // Only what arose on this side has a cause: the server's own statuses come as bare headers.
    let Some(cause) = status.source() else {
        return StoreError::from_status(code(status.code()), status.message());
    };
    if let Some(connect) = find::<ConnectError>(cause) {
        let detail = format!("{address}: {}", innermost(connect));
        let refused = find::<io::Error>(connect)
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        return if refused {
            StoreError::Refused { detail }
        } else {
            StoreError::CannotConnect { detail }
        };
    }
    if find::<TimeoutExpired>(cause).is_some() {
        return StoreError::GaveUp;
    }
    StoreError::ConnectionLost { detail: format!("{address}: {}", innermost(cause)) }
}

pub(crate) fn code(code: tonic::Code) -> Code {
    match code {
        tonic::Code::Ok => Code::Ok,
        tonic::Code::Cancelled => Code::Cancelled,
        tonic::Code::Unknown => Code::Unknown,
        tonic::Code::InvalidArgument => Code::InvalidArgument,
        tonic::Code::DeadlineExceeded => Code::DeadlineExceeded,
        tonic::Code::NotFound => Code::NotFound,
        tonic::Code::AlreadyExists => Code::AlreadyExists,
        tonic::Code::PermissionDenied => Code::PermissionDenied,
        tonic::Code::ResourceExhausted => Code::ResourceExhausted,
        tonic::Code::FailedPrecondition => Code::FailedPrecondition,
        tonic::Code::Aborted => Code::Aborted,
        tonic::Code::OutOfRange => Code::OutOfRange,
        tonic::Code::Unimplemented => Code::Unimplemented,
        tonic::Code::Internal => Code::Internal,
        tonic::Code::Unavailable => Code::Unavailable,
        tonic::Code::DataLoss => Code::DataLoss,
        tonic::Code::Unauthenticated => Code::Unauthenticated,
    }
}

/// The first `T` in the chain of causes, `error` included.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut error = Some(error);
    while let Some(found) = error {
        if let Some(found) = found.downcast_ref() {
            return Some(found);
        }
        error = found.source();
    }
    None
}

/// The cause behind all causes: `error reading a body` says less than `connection reset`.
fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cause that says nothing by itself, around one that does.
    #[derive(Debug, thiserror::Error)]
    #[error("transport error")]
    struct Around(#[source] Box<dyn Error + Send + Sync>);

    fn read(cause: impl Error + Send + Sync + 'static) -> StoreError {
        let status = Status::from_error(Box::new(Around(Box::new(cause))));
        from_status(&status, "m:1")
    }

    #[test]
    fn what_arises_on_this_side_is_told_by_its_cause() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let detail = format!("m:1: {refused}");
        assert_eq!(read(ConnectError(refused.into())), StoreError::Refused { detail });

        let detail = "m:1: no such host".to_owned();
        let unknown = io::Error::other("no such host");
        assert_eq!(read(ConnectError(unknown.into())), StoreError::CannotConnect { detail });

        assert_eq!(read(TimeoutExpired(())), StoreError::GaveUp);

        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let detail = format!("m:1: {reset}");
        assert_eq!(read(reset), StoreError::ConnectionLost { detail });
        // Refused, but not while connecting: something may have been sent.
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(matches!(read(refused), StoreError::ConnectionLost { .. }));
    }

    #[test]
    fn what_comes_from_the_server_is_told_by_its_words() {
        let status = Status::unavailable("etcdserver: no leader");
        assert_eq!(from_status(&status, "m:1"), StoreError::NoLeader);
        let status = Status::unavailable("etcdserver: unhealthy cluster");
        let message = "etcdserver: unhealthy cluster".to_owned();
        let expected = StoreError::Other { code: Code::Unavailable, message };
        assert_eq!(from_status(&status, "m:1"), expected);
    }

    #[test]
    fn every_code_keeps_its_number() {
        for number in 0..=16 {
            assert_eq!(code(tonic::Code::from_i32(number)) as i32, number);
        }
    }
}
