use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tower::{BoxError, Service};

use crate::address::Address;
use crate::tls::Trust;

/// Finds the addresses that a host's name and a port stand for.
pub(crate) type Resolver = Arc<dyn Fn(String, u16) -> Resolving + Send + Sync>;
pub(crate) type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// What all connections of a backend have in common.
pub(crate) struct Dialing {
    pub(crate) resolver: Resolver,
    pub(crate) trust: Trust,
    /// For a connection with all that belongs to it: finding the address, TCP, TLS.
    pub(crate) limit: Duration,
}

/// Makes the connections of one channel. One name may stand for several members, so each connection
/// tries the addresses in turn, from another one on than the connection before it.
#[derive(Clone)]
pub(crate) struct Dialer {
    /// At least one, or why there is none.
    ways: Result<Arc<[Address]>, String>,
    how: Arc<Dialing>,
    /// At which address the first connection begins.
    first: usize,
    made: Arc<AtomicUsize>,
}

impl Dialer {
    pub(crate) fn new(
        ways: Result<Arc<[Address]>, String>,
        how: Arc<Dialing>,
        first: usize,
    ) -> Self {
        Self { ways, how, first, made: Arc::default() }
    }

    async fn connect(self) -> Result<Connection, BoxError> {
        let ways = self.ways?;
        let turn = self.first.wrapping_add(self.made.fetch_add(1, Ordering::Relaxed));
        let limit = self.how.limit;
        match timeout(limit, self.how.connect(&ways, turn)).await {
            Ok(outcome) => outcome.map_err(BoxError::from),
            Err(_) => Err(too_long(limit).into()),
        }
    }
}

impl Dialing {
    async fn connect(&self, ways: &[Address], turn: usize) -> io::Result<Connection> {
        let give_up_at = Instant::now() + self.limit;
        let mut failure: Option<io::Error> = None;
        let mut places = Vec::new();
        for address in ways {
            match self.resolve(address).await {
                Ok(found) => places.extend(found.into_iter().map(|place| (address, place))),
                Err(error) => failure = Some(error),
            }
        }
        let count = places.len();
        if count > 0 {
            places.rotate_left(turn % count);
        }
        for (index, (address, place)) in places.into_iter().enumerate() {
            // An address that is silent leaves time for the others.
            let left = give_up_at.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(count - index).unwrap_or(u32::MAX);
            let tried = timeout(share, self.connect_to(address, place)).await;
            let error = match tried.unwrap_or_else(|_| Err(too_long(share))) {
                Ok(connection) => return Ok(connection),
                Err(error) => said_of(place, address, &error),
            };
            // That nobody listens says less than anything else that went wrong.
            if failure.as_ref().is_none_or(is_refusal) {
                failure = Some(error);
            }
        }
        Err(failure.unwrap_or_else(|| io::Error::other("the name stands for no address")))
    }

    /// The addresses in an order that does not depend on the resolver's, which may turn too.
    async fn resolve(&self, address: &Address) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = address.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, address.port)]);
        }
        let mut found = (self.resolver)(address.host.clone(), address.port).await?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    async fn connect_to(&self, address: &Address, place: SocketAddr) -> io::Result<Connection> {
        let socket = TcpStream::connect(place).await?;
        socket.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new()
            .with_time(TCP_KEEPALIVE)
            .with_interval(TCP_KEEPALIVE_INTERVAL)
            .with_retries(TCP_KEEPALIVE_RETRIES);
        SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
        if address.tls {
            let stream = self.trust.handshake(&address.host, socket).await?;
            return Ok(TokioIo::new(Box::new(stream)));
        }
        Ok(TokioIo::new(Box::new(socket)))
    }
}

/// With `tokio`'s own resolver: the system's.
pub(crate) fn system_resolver() -> Resolver {
    Arc::new(|host, port| {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    })
}

impl Service<http::Uri> for Dialer {
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

/// A connection, TLS or not.
pub(crate) type Connection = TokioIo<Box<dyn Io>>;

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// Names the place where the address does not.
fn said_of(place: SocketAddr, address: &Address, error: &io::Error) -> io::Error {
    if address.to_string() == place.to_string() {
        return io::Error::new(error.kind(), error.to_string());
    }
    io::Error::new(error.kind(), format!("{place}: {error}"))
}

fn too_long(limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {limit:?}"))
}

const TCP_KEEPALIVE: Duration = Duration::from_secs(10);
const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
const TCP_KEEPALIVE_RETRIES: u32 = 3;
