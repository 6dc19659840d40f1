//! The client's end: what stands in the place of a tonic channel.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use portolan::RawChannel;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tower::{BoxError, Service};

use super::frame::{self, Head, Headers, Kind};
use super::{Broken, Gauge, One};
use crate::links::Links;

/// The way from one process to one member.
#[derive(Clone)]
pub struct Wire {
    /// Whose.
    pub process: u16,
    /// Where to.
    pub member: u16,
    /// Where that is.
    pub address: SocketAddr,
    /// What is cut, and who is down.
    pub links: Arc<Links>,
    /// Calls that are open at this end.
    pub open: Gauge,
}

impl Wire {
    /// As etcd-client takes it.
    pub fn channel(&self) -> RawChannel {
        RawChannel::new(self.clone())
    }

    /// Connects as the etcd backend does by itself: a member that is down refuses, one that cannot be
    /// reached is given up after a while.
    async fn connect(&self) -> io::Result<TcpStream> {
        let give_up_at = Instant::now() + CONNECT_TIMEOUT;
        loop {
            // madsim refuses at once over a cut link, and when it loses the first packet.
            let error = match TcpStream::connect(self.address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            if !self.links.is_cut(self.process, self.member) && self.links.is_down(self.member) {
                return Err(error);
            }
            let left = give_up_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let text = format!("no connection within {CONNECT_TIMEOUT:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            sleep(left.min(RETRANSMIT)).await;
        }
    }

    async fn carry(self, request: http::Request<Body>) -> Result<http::Response<Body>, BoxError> {
        let one = self.open.one();
        let stream = self.connect().await.map_err(|error| tonic::ConnectError(error.into()))?;
        let (mut answers, mut asks) = tokio::io::split(stream);
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let head = Head { path, status: 0, headers: Headers::of(&parts.headers) };
        frame::write_json(&mut asks, Kind::Head, &head).await.map_err(Broken)?;
        let upload = Upload(tokio::spawn(send(asks, body)));
        let (kind, bytes) = frame::read(&mut answers).await.map_err(Broken)?;
        if kind != Kind::Head {
            return Err(Broken::new(io::ErrorKind::InvalidData).into());
        }
        let Head { status, headers, .. } = serde_json::from_slice(&bytes)?;
        let mut response = http::Response::new(receive(Receiving { answers, upload, one }));
        *response.status_mut() = http::StatusCode::from_u16(status)?;
        *response.headers_mut() = headers.into_map();
        Ok(response)
    }
}

impl Service<http::Request<Body>> for Wire {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.clone().carry(request))
    }
}

/// A request's body on its way; it ends with the call.
struct Upload(JoinHandle<()>);

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn send(mut to: WriteHalf<TcpStream>, mut body: Body) {
    while let Some(Ok(part)) = body.frame().await {
        if let Ok(data) = part.into_data()
            && frame::write(&mut to, Kind::Data, &data).await.is_err()
        {
            return;
        }
    }
    // A connection that broke is noticed by who reads it.
    let _ = frame::write(&mut to, Kind::End, &[]).await;
}

/// A response on its way.
struct Receiving {
    answers: ReadHalf<TcpStream>,
    #[expect(dead_code, reason = "it ends when this is dropped")]
    upload: Upload,
    #[expect(dead_code, reason = "it counts as long as it is there")]
    one: One,
}

fn receive(receiving: Receiving) -> Body {
    Body::new(StreamBody::new(unfold(Some(receiving), |receiving| async {
        let mut receiving = receiving?;
        match frame::read(&mut receiving.answers).await {
            Ok((Kind::Data, bytes)) => Some((Ok(http_body::Frame::data(bytes)), Some(receiving))),
            Ok((Kind::Trailers, bytes)) => {
                let trailers = serde_json::from_slice::<Headers>(&bytes);
                let trailers = trailers.map(|them| http_body::Frame::trailers(them.into_map()));
                Some((trailers.map_err(|error| Broken(error.into())), None))
            }
            Ok((Kind::End, _)) => None,
            Ok((Kind::Head, _)) => Some((Err(Broken::new(io::ErrorKind::InvalidData)), None)),
            Err(error) => Some((Err(Broken(error)), None)),
        }
    })))
}

/// As the etcd backend's own connections have it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// When a first packet that was lost is sent again.
const RETRANSMIT: Duration = Duration::from_millis(500);
