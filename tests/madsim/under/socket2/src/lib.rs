//! What the etcd backend asks of the crate `socket2`, for sockets that are none: simulated ones have
//! no options to set.

use std::io;
use std::marker::PhantomData;
use std::time::Duration;

/// A socket whose options are set.
pub struct SockRef<'a>(PhantomData<&'a ()>);

impl<'a, S> From<&'a S> for SockRef<'a> {
    fn from(_: &'a S) -> Self {
        Self(PhantomData)
    }
}

impl SockRef<'_> {
    /// Does nothing.
    ///
    /// # Errors
    /// None.
    pub fn set_tcp_keepalive(&self, _: &TcpKeepalive) -> io::Result<()> {
        Ok(())
    }
}

/// Says nothing.
#[derive(Default)]
pub struct TcpKeepalive(());

impl TcpKeepalive {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ignored.
    pub fn with_time(self, _: Duration) -> Self {
        self
    }

    /// Ignored.
    pub fn with_interval(self, _: Duration) -> Self {
        self
    }

    /// Ignored.
    pub fn with_retries(self, _: u32) -> Self {
        self
    }
}
