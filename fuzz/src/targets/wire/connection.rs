//! A connection, and whatever bytes go over it.

use std::future::pending;
use std::time::Duration;

use portolan_wire::{Etcd, Served};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::call::{Frame, Metadatum, Path};
use super::seldom::Seldom;

/// Bytes on their way, in each direction: few, so that whoever does not read is felt soon.
const PIPE: usize = 4 << 10;

/// The longest frame that HTTP/2 has unless somebody allows more, in bytes.
const LONGEST: usize = 16 << 10;

/// Something that is sent over a connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Sent {
    /// How a connection of HTTP/2 begins.
    Preface,
    /// A frame of HTTP/2.
    Frame {
        stream: u8,
        flags: u8,
        payload: Payload,
        /// How long it is said to be, if not as long as it is.
        lie: Seldom<u32>,
    },
    Raw(Vec<u8>),
}

/// What a frame carries; the kind of the frame goes by that.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Payload {
    /// The head of a call.
    Head(Path, Vec<Metadatum>),
    /// Messages of a call.
    Data(Vec<Frame>),
    Settings(Vec<(u8, u32)>),
    Window(u32),
    Reset(u32),
    Ping(u64),
    /// Any, with its kind.
    Any(u8, Vec<u8>),
}

impl Sent {
    pub fn bytes(&self, issued: &[String]) -> Vec<u8> {
        match self {
            Self::Preface => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            Self::Frame { stream, flags, payload, lie } => {
                let (kind, payload) = payload.bytes(issued);
                let length = lie.0.unwrap_or(payload.len() as u32).to_be_bytes();
                let mut bytes = vec![length[1], length[2], length[3], kind, *flags];
                bytes.extend(u32::from(*stream).to_be_bytes());
                bytes.extend(payload);
                bytes
            }
            Self::Raw(bytes) => bytes.clone(),
        }
    }
}

impl Payload {
    fn bytes(&self, issued: &[String]) -> (u8, Vec<u8>) {
        match self {
            Self::Head(path, metadata) => (1, head(path, metadata, issued)),
            Self::Data(frames) => (0, frames.iter().flat_map(Frame::bytes).collect()),
            Self::Settings(settings) => {
                let each = |(name, value): &(u8, u32)| {
                    let name = u16::from(*name).to_be_bytes();
                    name.into_iter().chain(value.to_be_bytes())
                };
                (4, settings.iter().flat_map(each).collect())
            }
            Self::Window(more) => (8, more.to_be_bytes().to_vec()),
            Self::Reset(why) => (3, why.to_be_bytes().to_vec()),
            Self::Ping(number) => (6, number.to_be_bytes().to_vec()),
            Self::Any(kind, bytes) => (*kind, bytes.clone()),
        }
    }
}

/// As HPACK has names and values that no table knows.
fn head(path: &Path, metadata: &[Metadatum], issued: &[String]) -> Vec<u8> {
    let path = path.whole();
    let mut bytes = Vec::new();
    let mut add = |name: &[u8], value: &[u8]| {
        bytes.push(0);
        for text in [name, value] {
            let short = &text[..text.len().min(126)];
            bytes.push(short.len() as u8);
            bytes.extend(short);
        }
    };
    add(b":method", b"POST");
    add(b":scheme", b"http");
    add(b":authority", b"etcd");
    add(b":path", path.as_bytes());
    add(b"content-type", b"application/grpc");
    add(b"te", b"trailers");
    for (name, value) in metadata.iter().filter_map(|each| each.pair(issued)) {
        add(name.as_ref(), value.as_bytes());
    }
    bytes
}

/// A connection that is open, or was closed by the server.
pub struct Connection {
    to: WriteHalf<DuplexStream>,
    heard: JoinHandle<()>,
    served: JoinHandle<Served>,
}

impl Connection {
    pub fn new(etcd: &Etcd) -> Self {
        let (near, far) = tokio::io::duplex(PIPE);
        let etcd = etcd.clone();
        let served = tokio::spawn(async move { etcd.serve(far, None, pending()).await });
        let (from, to) = tokio::io::split(near);
        Self { to, heard: tokio::spawn(hear(from)), served }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        // It may be closed, or its windows full.
        let _ = timeout(Duration::from_secs(1), self.to.write_all(bytes)).await;
    }

    /// Its client leaves.
    ///
    /// # Panics
    /// It is served on, or what it was told was not HTTP/2.
    pub async fn leave(mut self) -> Served {
        let _ = self.to.shutdown().await;
        let served = timeout(Duration::from_secs(120), &mut self.served).await;
        let served = served.expect("it is not served for ever");
        let heard = timeout(Duration::from_secs(1), &mut self.heard).await;
        for over in [served.as_ref().err(), heard.expect("it is closed").as_ref().err()] {
            assert!(over.is_none(), "{over:?}");
        }
        served.expect("looked at before")
    }
}

/// Reads all that a server says: frames, one after the other.
async fn hear(mut from: ReadHalf<DuplexStream>) {
    let mut first = true;
    loop {
        let mut head = [0; 9];
        if from.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        assert!(length <= LONGEST, "{head:?}");
        assert!(head[3] <= 9, "HTTP/2 has no such frame: {head:?}");
        assert!(!first || head[3] == 4, "it begins with its settings: {head:?}");
        first = false;
        let mut payload = vec![0; length];
        if from.read_exact(&mut payload).await.is_err() {
            return;
        }
    }
}
