//! What is on the wire: a byte for the kind, four for the length, and so many.

use std::io;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a frame holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The head of a request or a response, first of all.
    Head = 1,
    /// A part of a body.
    Data = 2,
    /// What follows a body, and ends it.
    Trailers = 3,
    /// The end of a body without that.
    End = 4,
}

/// The head of a request, or of a response.
#[derive(Debug, Serialize, Deserialize)]
pub struct Head {
    /// A request's.
    pub path: String,
    /// A response's.
    pub status: u16,
    /// Both have them.
    pub headers: Headers,
}

/// Headers, in their order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// In a form that can be sent.
    pub fn of(map: &HeaderMap) -> Self {
        let name = |name: &HeaderName| name.as_str().to_owned();
        Self(map.iter().map(|(key, value)| (name(key), value.as_bytes().to_vec())).collect())
    }

    /// As http has them. What is no header was never sent.
    pub fn into_map(self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in self.0 {
            let name = HeaderName::try_from(name).expect("a header was sent");
            map.append(name, HeaderValue::try_from(value).expect("a header was sent"));
        }
        map
    }
}

/// Writes a frame, and sends it.
pub async fn write(to: &mut (impl AsyncWrite + Unpin), kind: Kind, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_u8(kind as u8).await?;
    to.write_u32(length).await?;
    to.write_all(bytes).await?;
    to.flush().await
}

/// Writes something as JSON.
pub async fn write_json(
    to: &mut (impl AsyncWrite + Unpin),
    kind: Kind,
    what: &impl Serialize,
) -> io::Result<()> {
    write(to, kind, &serde_json::to_vec(what)?).await
}

/// Reads the next frame.
pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(Kind, Bytes)> {
    let kind = match from.read_u8().await? {
        1 => Kind::Head,
        2 => Kind::Data,
        3 => Kind::Trailers,
        4 => Kind::End,
        other => return Err(io::Error::other(format!("no frame begins with {other}"))),
    };
    let length = from.read_u32().await?;
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes).await?;
    Ok((kind, bytes.into()))
}
