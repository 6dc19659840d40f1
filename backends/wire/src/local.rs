//! Clients within this process, without a socket.

use std::io;

use etcd_client::Channel;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tonic::transport::Endpoint;
use tonic::transport::Uri;

use crate::Etcd;

/// Bytes on their way, in each direction.
const PIPE: usize = 64 * 1024;

impl Etcd {
    /// A channel for etcd-client's `Client::from_channel`: gRPC over HTTP/2 as over a socket, but
    /// within this process. It connects when it is first used, and anew after its connection broke;
    /// while the store is stopped, that is refused.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), etcd_client::Error> {
    /// use portolan_wire::{Config, Etcd};
    ///
    /// let etcd = Etcd::new(Config::default());
    /// let mut client = etcd_client::Client::from_channel(etcd.channel(), None).await?;
    /// client.put("color", "red", None).await?;
    /// assert_eq!(client.get("color", None).await?.kvs()[0].value(), b"red");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn channel(&self) -> Channel {
        let etcd = self.clone();
        let connect = tower::service_fn(move |_: Uri| {
            let etcd = etcd.clone();
            async move { etcd.pipe() }
        });
        Channel::Tonic(Endpoint::from_static("http://within").connect_with_connector_lazy(connect))
    }

    fn pipe(&self) -> io::Result<TokioIo<DuplexStream>> {
        if self.is_shut() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = tokio::io::duplex(PIPE);
        let etcd = self.clone();
        tokio::spawn(async move { etcd.serve(far, None, std::future::pending()).await });
        Ok(TokioIo::new(near))
    }
}
