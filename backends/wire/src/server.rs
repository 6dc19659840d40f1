//! Listens, and serves whoever connects.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::connection::{End, Served};
use crate::{Etcd, Tls};

/// How many connections are open at a time; more wait.
const MOST_CONNECTIONS: usize = 1_024;

/// How long a client may take to say its first word, or to agree on TLS.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// How long to wait when the system gives no more connections, as when it is out of files.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// A member of an [`Etcd`] on an address. The list of members names the address until the server ends,
/// unless it is that of all interfaces (`0.0.0.0`).
///
/// ```no_run
/// use portolan_wire::{Config, Etcd, ListenError, Server};
///
/// async fn an_etcd(stop: impl Future<Output = ()>) -> Result<(), ListenError> {
///     let etcd = Etcd::new(Config::default());
///     let server = Server::bind(([127, 0, 0, 1], 0).into(), etcd).await?;
///     println!("etcdctl --endpoints {} put color red", server.address());
///     server.serve(stop).await;
///     Ok(())
/// }
/// ```
#[must_use]
pub struct Server {
    etcd: Etcd,
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    log: Arc<dyn Fn(&Served) + Send + Sync>,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ListenError {
    /// Which.
    pub address: SocketAddr,
    /// The system's words.
    pub source: io::Error,
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
    pub async fn bind(address: SocketAddr, etcd: Etcd) -> Result<Self, ListenError> {
        let listen = |source| ListenError { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let server = Self { etcd, listener, address, tls: None, log: Arc::new(|_| {}) };
        server.advertise(true);
        Ok(server)
    }

    /// Speaks TLS only.
    pub fn tls(self, tls: Tls) -> Self {
        self.advertise(false);
        let server = Self { tls: Some(tls), ..self };
        server.advertise(true);
        server
    }

    /// Has the list of members name the address, or leave it out. Any address is nobody's.
    fn advertise(&self, on: bool) {
        if !self.address.ip().is_unspecified() {
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            self.etcd.advertise(&format!("{scheme}://{}", self.address), on);
        }
    }

    /// `log` is told of each connection when it is over.
    pub fn log(self, log: impl Fn(&Served) + Send + Sync + 'static) -> Self {
        Self { log: Arc::new(log), ..self }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` comes. Then nobody gets in any more, calls under way have a second left,
    /// and when it returns no connection is open.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let Self { etcd, listener, tls, log, .. } = &self;
        let (end, ending) = watch::channel(());
        let (mut stop, mut connections) = (pin!(stop), JoinSet::new());
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => {
                    match accepted {
                        Ok((socket, peer)) => {
                            let (etcd, tls, log) = (etcd.clone(), tls.clone(), log.clone());
                            let mut ending = ending.clone();
                            connections.spawn(async move {
                                // Told, or gone.
                                let ending = async move { drop(ending.changed().await) };
                                log(&connected(etcd, socket, peer, tls, ending).await);
                            });
                        }
                        // Its client is gone already, or there are no files left.
                        Err(_) => sleep(OUT_OF_FILES).await,
                    }
                }
            }
        }
        self.advertise(false);
        drop((self, end));
        while connections.join_next().await.is_some() {}
    }
}

async fn connected(
    etcd: Etcd,
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<Tls>,
    ending: impl Future<Output = ()>,
) -> Served {
    let since = Instant::now();
    let over = |end| Served { peer: Some(peer), lasted: since.elapsed(), calls: 0, end };
    let mut ending = pin!(ending);
    if etcd.is_shut() {
        return over(End::Broken);
    }
    // Answers are short, and somebody waits for each.
    let begun = socket.set_nodelay(true);
    let begun = async {
        begun?;
        match &tls {
            Some(tls) => Ok(Begun::Tls(Box::new(tls.acceptor().accept(socket).await?))),
            None => socket.peek(&mut [0]).await.map(|_| Begun::Plain(socket)),
        }
    };
    let begun = tokio::select! {
        biased;
        () = &mut ending => return over(End::Ended),
        begun = timeout(FIRST_WORD, begun) => begun,
    };
    match begun {
        Ok(Ok(Begun::Plain(socket))) => etcd.serve(socket, Some(peer), ending).await,
        Ok(Ok(Begun::Tls(stream))) => etcd.serve(*stream, Some(peer), ending).await,
        Ok(Err(error)) => over(End::Failed(error.to_string())),
        Err(_) => over(End::Failed(format!("nothing was said for {} s", FIRST_WORD.as_secs()))),
    }
}

enum Begun {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}
