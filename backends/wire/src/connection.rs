//! A client's connection: how it is served, held, broken, and ended.

mod begun;

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portolan_core::waist::MemberId;
use portolan_memory::{Fault, MemberFault};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::service::Routes;

use crate::status;
use begun::Begun;

/// How long a client may take to begin with HTTP/2. Only then the transport asks after silent ones.
const BEGIN_WITHIN: Duration = Duration::from_secs(10);

/// How long calls that are under way may take when a server ends. Streams of watches never end by
/// themselves.
const GRACE: Duration = Duration::from_secs(1);

/// How often a silent client is asked whether it is still there, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_WITHIN: Duration = Duration::from_secs(20);

/// Calls and streams of one connection at a time; more wait.
const MOST_CALLS: u32 = 10_000;

/// What a connection's client may send ahead of its calls being read, in bytes, all of them together:
/// enough for a put of the longest value to need no second breath.
const WINDOW: u32 = 1 << 20;

/// The longest frame that is read, and the longest head of a call with all its metadata, in bytes.
const FRAME: u32 = 16 << 10;
const HEAD: u32 = 16 << 10;

/// What is prepared of a stream's answers ahead of its client reading them, in bytes; one message may
/// go beyond it.
const AHEAD: usize = 64 << 10;

/// How all connections to one member go on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Going {
    /// How often all of them broke.
    breaks: u64,
    /// Nobody gets in: it is stopped.
    shut: bool,
    /// Nothing is read or written: it is held.
    held: bool,
}

impl Going {
    /// Whether nobody gets in.
    pub fn is_shut(self) -> bool {
        self.shut
    }

    /// How those to `member` go on after something has happened to the store. What happens to a process
    /// does so to its connections.
    pub fn after(self, member: MemberId, fault: Fault) -> Self {
        match fault {
            Fault::Member(named, _) if named != member => self,
            Fault::Stop | Fault::Member(_, MemberFault::Stop) => {
                Self { breaks: self.breaks + 1, shut: true, held: false }
            }
            Fault::Start | Fault::Member(_, MemberFault::Start) => Self { shut: false, ..self },
            Fault::Restart | Fault::Member(_, MemberFault::Restart) => {
                Self { breaks: self.breaks + 1, shut: false, held: false }
            }
            // What is stopped stays stopped.
            Fault::Wipe | Fault::Restore | Fault::ReplaceCluster => {
                Self { breaks: self.breaks + 1, held: false, ..self }
            }
            Fault::Pause | Fault::Member(_, MemberFault::Pause) => {
                Self { held: !self.shut, ..self }
            }
            Fault::Resume | Fault::Member(_, MemberFault::Resume) => Self { held: false, ..self },
            Fault::Snapshot
            | Fault::SpaceAlarm(_)
            | Fault::Overload(_)
            | Fault::LeaderLost
            | Fault::LeaderBack
            | Fault::LeaderTo(_)
            | Fault::Expire(_)
            | Fault::Member(
                _,
                MemberFault::CutOff | MemberFault::Heal | MemberFault::Lag | MemberFault::CatchUp,
            ) => self,
        }
    }
}

/// A connection that is over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Served {
    /// Who it was; `None`: someone within this process.
    pub peer: Option<SocketAddr>,
    /// How long it was there.
    pub lasted: Duration,
    /// How many calls it made; a stream is one.
    pub calls: u64,
    /// Why it is over.
    pub end: End,
}

/// Why a connection is over.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum End {
    /// Its client left.
    Left,
    /// What its client sent makes no sense, or its client is gone. The transport's words.
    Failed(String),
    /// The store was stopped or restarted, or was so when it came.
    Broken,
    /// The server ended.
    Ended,
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer {
            Some(peer) => write!(f, "{peer}")?,
            None => f.write_str("within")?,
        }
        let (calls, lasted) = (self.calls, self.lasted.as_secs_f64());
        let plural = if calls == 1 { "" } else { "s" };
        write!(f, ": {calls} call{plural} in {lasted:.3} s, {}", self.end)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("left"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Broken => f.write_str("broken, since the store was stopped"),
            Self::Ended => f.write_str("ended with the server"),
        }
    }
}

/// What a connection leads to.
pub(crate) struct To {
    pub member: MemberId,
    pub routes: Routes,
    /// How long a message may be, in bytes.
    pub limit: u64,
    /// How connections to each member go on, by its place.
    pub going: watch::Receiver<Vec<Going>>,
}

impl To {
    fn going(&mut self) -> Going {
        self.going.borrow_and_update()[usize::from(self.member.0)]
    }
}

/// Serves one connection until it is over. It is told to end by `ending`.
pub(crate) async fn serve<I>(
    io: I,
    peer: Option<SocketAddr>,
    to: To,
    ending: impl Future<Output = ()>,
) -> Served
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (since, calls) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let end = run(io, to, calls.clone(), ending).await;
    Served { peer, lasted: since.elapsed(), calls: calls.load(Relaxed), end }
}

async fn run<I>(io: I, mut to: To, calls: Arc<AtomicU64>, ending: impl Future<Output = ()>) -> End
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let breaks = to.going().breaks;
    let begun = Begun::default();
    let io = begun.watch(io);
    let (routes, limit) = (to.routes.clone(), to.limit);
    let answer = service_fn(move |request| {
        calls.fetch_add(1, Relaxed);
        // Routes are always ready.
        let answer = routes.clone().call(request);
        async move { Ok::<_, Infallible>(in_etcds_words(answer.await?, limit)) }
    });
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WITHIN)
            .max_concurrent_streams(MOST_CALLS)
            .initial_connection_window_size(WINDOW)
            .initial_stream_window_size(WINDOW)
            .max_frame_size(FRAME)
            .max_header_list_size(HEAD)
            .max_send_buf_size(AHEAD)
            .serve_connection(TokioIo::new(io), answer)
    );
    let mut ending = pin!(ending);
    let mut gone_by = None;
    let mut late = pin!(begun.late(BEGIN_WITHIN));
    loop {
        let now = to.going();
        if now.shut || now.breaks != breaks {
            return End::Broken;
        }
        tokio::select! {
            biased;
            Ok(()) = to.going.changed() => {}
            () = &mut ending, if gone_by.is_none() => {
                connection.as_mut().graceful_shutdown();
                gone_by = Some(Instant::now() + GRACE);
            }
            () = until(gone_by) => return End::Ended,
            // While the store is held nothing goes in or out.
            over = connection.as_mut(), if !now.held => return match over {
                Ok(()) if gone_by.is_some() => End::Ended,
                Ok(()) => End::Left,
                Err(error) => End::Failed(with_cause(&error)),
            },
            // After the connection: what has come meanwhile was read.
            () = late.as_mut(), if !now.held => {
                let within = BEGIN_WITHIN.as_secs();
                return End::Failed(format!("HTTP/2 was not begun within {within} s"));
            }
        }
    }
}

/// A call that is refused before it is read is refused in etcd's words.
fn in_etcds_words(answer: http::Response<Body>, limit: u64) -> http::Response<Body> {
    match Status::from_header_map(answer.headers()) {
        Some(refused) => status::of_transport(refused, limit).into_http(),
        None => answer,
    }
}

/// Does `serving` while its link is not cut: then it stands still, and nobody notices.
pub(crate) async fn unless_cut<T>(
    serving: impl Future<Output = T>,
    mut cut: watch::Receiver<bool>,
) -> T {
    let mut serving = pin!(serving);
    loop {
        let is_cut = *cut.borrow_and_update();
        tokio::select! {
            biased;
            Ok(()) = cut.changed() => {}
            served = serving.as_mut(), if !is_cut => return served,
            // Nobody can heal it any more.
            else => return pending().await,
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

fn with_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
