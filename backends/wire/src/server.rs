//! Listens, serves, and stops.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use portolan_core::waist::MemberId;
use portolan_memory::{Admin, Config, Fault, Input};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

use crate::services::Member;
use crate::store::Store;

/// An etcd with one member, on one address. It holds its data in memory, and they end with it.
///
/// ```no_run
/// use portolan_wire::{Config, ServeError, Server};
///
/// async fn an_etcd(stop: impl Future<Output = ()>) -> Result<(), ServeError> {
///     let server = Server::bind(([127, 0, 0, 1], 0).into(), Config::default()).await?;
///     println!("etcdctl --endpoints {} put /color red", server.address());
///     server.serve(stop).await
/// }
/// ```
pub struct Server {
    store: Store,
    listener: TcpListener,
    address: SocketAddr,
    most_bytes: usize,
}

/// A hand on the store of a [`Server`]. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    store: Store,
}

impl Control {
    /// Changes users and roles, as an operator who may do that. What etcd refuses has no effect.
    pub fn administer(&self, admin: Admin) {
        self.store.happen(Input::Admin(admin));
    }

    /// Does something to the store itself.
    pub fn fault(&self, fault: Fault) {
        self.store.happen(Input::Fault(fault));
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Control")
    }
}

/// Why a server does not serve, or no longer does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
    /// It can no longer be served.
    #[error("cannot serve {address} any more")]
    Serve {
        /// Which.
        address: SocketAddr,
        /// The transport's words.
        source: tonic::transport::Error,
    },
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on `address`; port 0: on a free one. Whoever connects from then on waits until it
    /// [serves](Self::serve).
    ///
    /// # Errors
    /// When the address cannot be listened on.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn bind(address: SocketAddr, config: Config) -> Result<Self, ServeError> {
        let listen = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        // The model refuses what is larger than its limit, in etcd's words: it has to see that.
        let most_bytes = usize::try_from(config.max_message_bytes()).unwrap_or(usize::MAX);
        let most_bytes = most_bytes.saturating_mul(2);
        let config = Config { keep_log: false, ..config };
        Ok(Self { store: Store::start(config), listener, address, most_bytes })
    }

    /// What may be done to the store from beside: as an operator, and as a misfortune.
    pub fn control(&self) -> Control {
        Control { store: self.store.clone() }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` comes: then it takes no more connections, and returns. Those that are open
    /// by then go on until their clients end them, or the runtime ends.
    ///
    /// # Errors
    /// When the address can no longer be served.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { store, listener, address, most_bytes } = self;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let routes = Member::new(store, MemberId(0)).routes(most_bytes);
        let serving = tonic::transport::Server::builder().add_routes(routes);
        tokio::select! {
            biased;
            () = stop => Ok(()),
            served = serving.serve_with_incoming(incoming) => {
                served.map_err(|source| ServeError::Serve { address, source })
            }
        }
    }
}
