//! Our errors as etcd's clients see them.

use portolan_core::waist::{Code, StoreError};
use tonic::Status;

/// The status of a failed call: etcd's code, and etcd's words.
pub(crate) fn of(error: &StoreError) -> Status {
    let message = if let StoreError::Other { message, .. } = error {
        message.clone()
    } else {
        error.to_string()
    };
    Status::new(code(error.code()), message)
}

fn code(code: Code) -> tonic::Code {
    tonic::Code::from_i32(code as i32)
}
