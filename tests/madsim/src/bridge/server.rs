//! The server's end: hands what comes over the network to the services.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service;

use super::frame::{self, Head, Headers, Kind};
use super::{Broken, Gauge};
use crate::chance::{Chance, Purpose};

/// Serves the services of one member on an address, until its host dies.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(
    routes: Routes,
    address: SocketAddr,
    open: Gauge,
    chance: Chance,
) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    for call in 0.. {
        let (stream, from) = listener.accept().await?;
        let (routes, one) = (routes.clone(), open.one());
        // The address has the process in it: the fates of two processes' calls are not tied.
        let place = u64::from(address.port()) ^ stable(from);
        let lingers = chance.percent(Purpose::Linger, place, call, 50);
        tokio::spawn(async move {
            // Who breaks its connection does not hear of it.
            let _ = answer(routes, stream, lingers).await;
            drop(one);
        });
    }
    Ok(())
}

fn stable(address: SocketAddr) -> u64 {
    match address {
        SocketAddr::V4(address) => u64::from(u32::from(*address.ip())),
        SocketAddr::V6(_) => 0,
    }
}

type Part = Result<http_body::Frame<Bytes>, Broken>;

/// One call. `lingers`: whether one that came whole is done although its caller is gone by then, as
/// happens in life to what was in a socket already.
async fn answer(mut routes: Routes, stream: TcpStream, lingers: bool) -> io::Result<()> {
    let (mut asks, answers) = tokio::io::split(stream);
    let (kind, bytes) = frame::read(&mut asks).await?;
    if kind != Kind::Head {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let head: Head = serde_json::from_slice(&bytes)?;
    let (tell, told) = mpsc::unbounded_channel::<Part>();
    let parts = futures_util::stream::unfold(told, |mut told| async {
        let part = told.recv().await?;
        Some((part, told))
    });
    let mut request = http::Request::new(Body::new(StreamBody::new(parts)));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = format!("http://etcd{}", head.path).parse().map_err(io::Error::other)?;
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = head.headers.into_map();
    let responding = async {
        let response = match routes.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        respond(answers, response).await
    };
    tokio::select! {
        biased;
        done = responding => done,
        () = listen(asks, tell, lingers) => Ok(()),
    }
}

/// Hands on what the caller says, until it hangs up.
async fn listen(mut asks: ReadHalf<TcpStream>, tell: mpsc::UnboundedSender<Part>, lingers: bool) {
    let mut tell = Some(tell);
    loop {
        match frame::read(&mut asks).await {
            Ok((Kind::Data, bytes)) => {
                if let Some(tell) = &tell {
                    let _ = tell.send(Ok(http_body::Frame::data(bytes)));
                }
            }
            Ok((Kind::End, _)) => tell = None,
            Ok((Kind::Head | Kind::Trailers, _)) => return,
            Err(_) => break,
        }
    }
    match tell {
        // Half a request is none.
        Some(tell) => drop(tell.send(Err(Broken::new(io::ErrorKind::ConnectionReset)))),
        None if lingers => tokio::task::yield_now().await,
        None => {}
    }
}

async fn respond(mut to: WriteHalf<TcpStream>, response: http::Response<Body>) -> io::Result<()> {
    let (parts, mut body) = response.into_parts();
    let (status, headers) = (parts.status.as_u16(), Headers::of(&parts.headers));
    frame::write_json(&mut to, Kind::Head, &Head { path: String::new(), status, headers }).await?;
    while let Some(part) = body.frame().await {
        let part = part.map_err(io::Error::other)?;
        match part.into_data() {
            Ok(data) => frame::write(&mut to, Kind::Data, &data).await?,
            Err(part) => {
                let Ok(trailers) = part.into_trailers() else { continue };
                return frame::write_json(&mut to, Kind::Trailers, &Headers::of(&trailers)).await;
            }
        }
    }
    frame::write(&mut to, Kind::End, &[]).await
}
