//! A gRPC proxy that sees each request: it counts them, and can be cut.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower::ServiceExt;

/// Called before and after each request; may block.
type Look = Arc<dyn Fn(&Seen) + Send + Sync>;

/// One request, or the opening of one stream.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The how manieth, from 0.
    pub number: usize,
    /// Whether the server has begun to answer it.
    pub answered: bool,
}

/// Passes requests on, each on its own, so that one can be held while something happens to the
/// server. Cut, it breaks every connection and closes new ones. Ends when dropped.
pub struct Wire {
    address: SocketAddr,
    shared: Arc<Shared>,
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

struct Shared {
    to: Channel,
    look: Look,
    counts: Mutex<BTreeMap<String, usize>>,
}

impl Wire {
    pub async fn start(to: &str) -> Self {
        Self::looked_at(to, |_| {}).await
    }

    pub async fn looked_at(to: &str, look: impl Fn(&Seen) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let endpoint = Endpoint::from_shared(to.to_owned()).expect("an address");
        let to = endpoint.tcp_nodelay(true).connect_lazy();
        let shared = Arc::new(Shared { to, look: Arc::new(look), counts: Mutex::default() });
        let (open, is_open) = watch::channel(true);
        let served = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mut is_open, served) = (is_open.clone(), served.clone());
                tokio::spawn(async move {
                    if !*is_open.borrow_and_update() {
                        return;
                    }
                    let service = service_fn(move |request| pass(served.clone(), request));
                    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    tokio::select! {
                        biased;
                        _ = is_open.changed() => {}
                        _ = http.serve_connection(TokioIo::new(client), service) => {}
                    }
                });
            }
        });
        Self { address, shared, open, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    pub fn heal(&self) {
        self.open.send_replace(true);
    }

    /// How many requests of this name came so far.
    pub fn count(&self, name: &str) -> usize {
        self.shared.counts().get(name).copied().unwrap_or(0)
    }

    /// How many requests came so far.
    pub fn total(&self) -> usize {
        self.shared.counts().values().sum()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
        self.open.send_replace(false);
    }
}

impl Shared {
    fn counts(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look(&self, seen: Seen) {
        let look = self.look.clone();
        spawn_blocking(move || look(&seen)).await.expect("looking does not panic");
    }
}

async fn pass(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let number = {
        let mut counts = shared.counts();
        let number = counts.values().sum();
        *counts.entry(name).or_default() += 1;
        number
    };
    let mut seen = Seen { number, answered: false };
    shared.look(seen).await;
    let answer = shared.to.clone().oneshot(request.map(Body::new)).await;
    seen.answered = true;
    shared.look(seen).await;
    Ok(answer.unwrap_or_else(|error| {
        tonic::Status::unavailable(format!("nobody behind the proxy: {error}")).into_http()
    }))
}
