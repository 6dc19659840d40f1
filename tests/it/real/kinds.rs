//! How calls may end while something is wrong.

use std::fmt::Debug;

use portolan::{CallError, ErrorKind, UpdateError};

pub trait Kind: Debug {
    fn kind(&self) -> ErrorKind;
}

impl Kind for CallError {
    fn kind(&self) -> ErrorKind {
        self.kind()
    }
}

impl Kind for UpdateError {
    fn kind(&self) -> ErrorKind {
        self.kind()
    }
}

/// The call ended well, or in a way that is listed.
pub fn among<T, E: Kind>(
    step: &str,
    result: Result<T, E>,
    listed: &[ErrorKind],
) -> Result<T, ErrorKind> {
    result.map_err(|error| {
        assert!(listed.contains(&error.kind()), "{step}: {:?}: {error:?}", error.kind());
        error.kind()
    })
}

/// The call was refused.
pub fn refused<T: Debug, E: Kind>(step: &str, result: Result<T, E>, kind: ErrorKind) {
    let error = result.expect_err(step);
    assert_eq!(error.kind(), kind, "{step}: {error:?}");
}
