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

/// A message that was too large to be read at all, in etcd's words: the transport has its own.
pub(crate) fn of_transport(status: Status, limit: u64) -> Status {
    let words = (status.code() == tonic::Code::OutOfRange).then(|| status.message());
    let size = words.and_then(|words| words.split_once("too large: found ")?.1.split(' ').next());
    match size.and_then(|size| size.parse().ok()) {
        Some(size) => of(&StoreError::MessageTooLarge { size, limit }),
        None => status,
    }
}

/// An answer of another kind than was asked for. What it holds is nobody's to see.
pub(crate) fn unexpected() -> Status {
    Status::internal("portolan: the model's answer is of another kind than the question")
}

fn code(code: Code) -> tonic::Code {
    tonic::Code::from_i32(code as i32)
}
