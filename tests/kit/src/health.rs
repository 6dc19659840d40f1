//! Asks a server over a plain socket whether it can serve, `GET /health`, and what it has counted,
//! `GET /metrics`.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Whether the member answers that it is healthy: it has a leader and can read through it.
///
/// etcd: `/health` on the client port makes a linearizable read and answers `{"health":"true"..}`
/// (`etcdserver/api/etcdhttp/metrics.go` in 3.4, `server/etcdserver/api/etcdhttp/health.go` later).
pub(crate) fn is_healthy(addr: SocketAddr) -> bool {
    get(addr, "/health", PATIENCE).is_ok_and(|answer| {
        answer.starts_with("HTTP/1.1 200") && answer.contains(r#""health":"true""#)
    })
}

/// The page of all that the member counts, in the text format of Prometheus.
///
/// etcd: `/metrics` on the client port (`etcdserver/api/etcdhttp/metrics.go` in 3.4,
/// `server/etcdserver/api/etcdhttp/metrics.go` later).
pub(crate) fn metrics(addr: SocketAddr) -> io::Result<String> {
    get(addr, "/metrics", METRICS_PATIENCE)
}

fn get(addr: SocketAddr, path: &str, patience: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&addr, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// For each step of one question. A member without a leader answers only after seconds; asking again
/// finds out sooner.
const PATIENCE: Duration = Duration::from_millis(500);
/// A member answers this without its leader; the machine may be busy.
const METRICS_PATIENCE: Duration = Duration::from_secs(60);
