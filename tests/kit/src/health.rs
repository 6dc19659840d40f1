//! Asks a server whether it can serve: `GET /health` over a plain socket.

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
    get(addr, "/health").is_ok_and(|answer| {
        answer.starts_with("HTTP/1.1 200") && answer.contains(r#""health":"true""#)
    })
}

fn get(addr: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// For each step of one question. A member without a leader answers only after seconds; asking again
/// finds out sooner.
const PATIENCE: Duration = Duration::from_millis(500);
