//! Clients within this process, without a socket.

use std::fmt;
use std::io;
use std::sync::Arc;

use etcd_client::Channel;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::{Endpoint, Uri};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceExt};

use crate::{Etcd, connection};

/// Bytes on their way, in each direction.
const PIPE: usize = 64 * 1024;

/// The way from clients within this process to an [`Etcd`]: gRPC over HTTP/2 as over a socket. It can
/// be cut. Cheap to clone; all clones are one link.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), etcd_client::Error> {
/// use std::time::Duration;
/// use portolan_wire::{Config, Etcd};
///
/// let etcd = Etcd::new(Config::default());
/// let link = etcd.link();
/// let mut client = etcd_client::Client::from_channel(link.channel(), None).await?;
/// client.put("color", "red", None).await?;
/// assert_eq!(client.get("color", None).await?.kvs()[0].value(), b"red");
///
/// link.cut();
/// let silence = tokio::time::timeout(Duration::from_secs(60), client.get("color", None));
/// assert!(silence.await.is_err());
/// link.heal();
/// assert_eq!(client.get("color", None).await?.count(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Link {
    etcd: Etcd,
    cut: Arc<watch::Sender<bool>>,
}

impl Etcd {
    /// A way to it for clients within this process.
    pub fn link(&self) -> Link {
        Link { etcd: self.clone(), cut: Arc::default() }
    }
}

impl Link {
    /// A channel for etcd-client's `Client::from_channel`. It connects when it is first used, and anew
    /// after its connection broke; while the store is stopped, that is refused.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn channel(&self) -> Channel {
        Channel::Tonic(self.grpc())
    }

    /// As [`channel`](Self::channel), for any client of gRPC.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn grpc(&self) -> tonic::transport::Channel {
        let link = self.clone();
        let connect = tower::service_fn(move |_: Uri| {
            let link = link.clone();
            async move { link.connect().await }
        });
        Endpoint::from_static("http://within").connect_with_connector_lazy(connect)
    }

    /// As [`channel`](Self::channel), for who takes any service that carries gRPC.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn raw(&self) -> BoxCloneSyncService<http::Request<Body>, http::Response<Body>, BoxError> {
        BoxCloneSyncService::new(ServiceExt::<http::Request<Body>>::map_err(
            self.grpc(),
            BoxError::from,
        ))
    }

    /// Nothing comes through any more, in either direction, and nobody is told: connections stand
    /// still, and new ones wait.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// All comes through again, what was sent meanwhile too.
    pub fn heal(&self) {
        self.cut.send_replace(false);
    }

    async fn connect(&self) -> io::Result<TokioIo<DuplexStream>> {
        let mut cut = self.cut.subscribe();
        // The sender is ours: it is there.
        let _ = cut.wait_for(|cut| !cut).await;
        if self.etcd.is_shut() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = tokio::io::duplex(PIPE);
        let etcd = self.etcd.clone();
        tokio::spawn(async move {
            let served = etcd.serve(far, None, std::future::pending());
            connection::unless_cut(served, cut).await
        });
        Ok(TokioIo::new(near))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("cut", &*self.cut.borrow()).finish_non_exhaustive()
    }
}
