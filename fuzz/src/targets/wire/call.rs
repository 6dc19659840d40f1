//! Calls, and what becomes of them.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::Frame as Part;
use prost::Message;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::codegen::http::header::{HeaderMap, HeaderName, HeaderValue};
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as _, Bytes, Service as _};
use tonic::service::Routes;

use super::asked::{Asked, METHODS, Text};
use super::seldom::Seldom;

/// A call as it begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    /// Which member is asked.
    pub member: u8,
    /// What it says first.
    pub said: Frame,
    /// Of another method than its message is made for.
    pub path: Seldom<Path>,
    pub metadata: Vec<Metadatum>,
    /// Whether it goes on, or how it ends.
    pub then: Then,
    /// Whether it does not read what it is told until all is over.
    pub deaf: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Path {
    Known(u8),
    Any(String),
}

/// A message as gRPC frames it, or something like that.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Frame {
    pub text: Text,
    /// What is said of it, if not the truth.
    pub lie: Seldom<Lie>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Lie {
    /// That it is as long as this.
    Length(u32),
    /// That it is compressed; gRPC knows 0 and 1.
    Flag(u8),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Then {
    Ended,
    Open,
    Trailers(Vec<Metadatum>),
    Broken,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Metadatum {
    /// A token that was issued in this scene.
    Issued(u8),
    /// One that was made up, and how far the log is by it.
    MadeUp(u64),
    Token(Vec<u8>),
    Leader,
    Timeout(String),
    Encoding(String),
    AcceptEncoding(String),
    Te(String),
    ContentType(String),
    Any(String, Vec<u8>),
}

impl Call {
    pub fn path(&self) -> String {
        match &self.path.0 {
            Some(path) => path.whole(),
            None => whole(self.said.text.path().unwrap_or("KV/Put")),
        }
    }
}

impl Path {
    pub fn whole(&self) -> String {
        match self {
            Self::Known(place) => whole(METHODS[usize::from(*place) % METHODS.len()]),
            Self::Any(path) => path.clone(),
        }
    }
}

/// The path of a method of etcd's.
pub fn whole(method: &str) -> String {
    format!("/etcdserverpb.{method}")
}

impl From<Asked> for Frame {
    fn from(asked: Asked) -> Self {
        Self { text: Text::Asked(asked, Seldom(None)), lie: Seldom(None) }
    }
}

impl Frame {
    pub fn bytes(&self) -> Vec<u8> {
        let text = self.text.bytes();
        let (mut flag, mut length) = (0, text.len() as u32);
        match self.lie.0 {
            Some(Lie::Length(lie)) => length = lie,
            Some(Lie::Flag(lie)) => flag = lie,
            None => {}
        }
        let mut bytes = vec![flag];
        bytes.extend(length.to_be_bytes());
        bytes.extend(text);
        bytes
    }
}

impl Metadatum {
    /// Name and value, as far as they can be sent at all.
    pub fn pair(&self, issued: &[String]) -> Option<(HeaderName, HeaderValue)> {
        let (name, value): (&str, Vec<u8>) = match self {
            Self::Issued(place) => {
                let token = issued.get(usize::from(*place) % issued.len().max(1))?;
                ("token", token.clone().into_bytes())
            }
            Self::MadeUp(index) => ("token", format!("abcdefghijklmnop.{index}").into_bytes()),
            Self::Token(token) => ("token", token.clone()),
            Self::Leader => ("hasleader", b"true".to_vec()),
            Self::Timeout(value) => ("grpc-timeout", value.clone().into_bytes()),
            Self::Encoding(value) => ("grpc-encoding", value.clone().into_bytes()),
            Self::AcceptEncoding(value) => ("grpc-accept-encoding", value.clone().into_bytes()),
            Self::Te(value) => ("te", value.clone().into_bytes()),
            Self::ContentType(value) => ("content-type", value.clone().into_bytes()),
            Self::Any(name, value) => (name, value.clone()),
        };
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(&value).ok()?))
    }
}

fn map(metadata: &[Metadatum], issued: &[String]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in metadata.iter().filter_map(|each| each.pair(issued)) {
        map.insert(name, value);
    }
    map
}

/// Whether a token in them says how far the log is.
fn has_index(metadata: &HeaderMap) -> bool {
    let tokens = ["token", "authorization"].iter().filter_map(|name| metadata.get(*name));
    let mut indices = tokens.filter_map(|token| token.to_str().ok()?.split_once('.'));
    indices.any(|(_, index)| index.parse::<u64>().is_ok())
}

/// A call under way.
pub struct Open {
    pub path: String,
    tell: Option<mpsc::UnboundedSender<io::Result<Part<Bytes>>>>,
    ears: Option<oneshot::Sender<()>>,
    answered: JoinHandle<Answer>,
    /// As etcd, a member waits for a log that it has not come to yet, for as long as its client does.
    pub may_wait: bool,
}

impl Open {
    /// `None`: it cannot even be sent.
    pub fn new(call: &Call, routes: &Routes, issued: &[String]) -> Option<Self> {
        let path = call.path();
        let (tell, said) = mpsc::unbounded_channel();
        let mut request =
            Request::post(format!("http://etcd{path}")).body(Body::new(Said(said))).ok()?;
        let mut metadata = map(&call.metadata, issued);
        for (name, usual) in [("content-type", "application/grpc"), ("te", "trailers")] {
            metadata.entry(name).or_insert(HeaderValue::from_static(usual));
        }
        let may_wait = has_index(&metadata);
        *request.headers_mut() = metadata;
        let (ears, hears) = oneshot::channel();
        let answering = answer(routes.clone(), request, hears);
        let mut open = Self {
            path,
            tell: Some(tell),
            ears: call.deaf.then_some(ears),
            answered: tokio::spawn(answering),
            may_wait,
        };
        open.say(&call.said);
        open.then(&call.then, issued);
        Some(open)
    }

    pub fn say(&self, frame: &Frame) {
        self.send(Ok(Part::data(frame.bytes().into())));
    }

    pub fn then(&mut self, then: &Then, issued: &[String]) {
        match then {
            Then::Open => return,
            Then::Ended => {}
            Then::Trailers(metadata) => {
                // They are metadata as those before are.
                let metadata = map(metadata, issued);
                self.may_wait |= has_index(&metadata);
                self.send(Ok(Part::trailers(metadata)));
            }
            Then::Broken => self.send(Err(io::ErrorKind::ConnectionReset.into())),
        }
        self.tell = None;
    }

    fn send(&self, part: io::Result<Part<Bytes>>) {
        if let Some(tell) = &self.tell {
            // Who has heard enough does not listen.
            let _ = tell.send(part);
        }
    }

    /// Has nothing more to say, and reads all.
    pub fn end(&mut self) {
        (self.tell, self.ears) = (None, None);
    }

    /// What came of it, if it is over.
    pub async fn over(&mut self) -> Option<Answer> {
        if !self.answered.is_finished() {
            return None;
        }
        match (&mut self.answered).await {
            Ok(answer) => Some(answer),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl Drop for Open {
    /// Its client gives it up.
    fn drop(&mut self) {
        self.answered.abort();
    }
}

/// A body of one piece.
pub fn body(bytes: Vec<u8>) -> Body {
    let (tell, said) = mpsc::unbounded_channel();
    // The receiver is here.
    let _ = tell.send(Ok(Part::data(bytes.into())));
    Body::new(Said(said))
}

/// What a call says.
struct Said(mpsc::UnboundedReceiver<io::Result<Part<Bytes>>>);

impl http_body::Body for Said {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Part<Bytes>>>> {
        self.get_mut().0.poll_recv(cx)
    }
}

/// What a call was told.
#[derive(Clone, Debug)]
pub struct Answer {
    /// gRPC's number; 0: it was done.
    pub status: i32,
    pub words: String,
    pub messages: Vec<Bytes>,
}

/// What all of etcd's answers have.
#[derive(Clone, PartialEq, Message)]
pub struct Told {
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
}

/// The answer to a login.
#[derive(Clone, PartialEq, Message)]
pub struct LoggedIn {
    #[prost(string, tag = "2")]
    pub token: String,
}

/// The answer to a transaction.
#[derive(Clone, PartialEq, Message)]
pub struct Found {
    #[prost(message, repeated, tag = "3")]
    done: Vec<Done>,
}

#[derive(Clone, PartialEq, Message)]
struct Done {
    #[prost(message, optional, tag = "1")]
    range: Option<Ranged>,
}

#[derive(Clone, PartialEq, Message)]
struct Ranged {
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(bytes = "vec", tag = "5")]
    value: Vec<u8>,
}

impl Found {
    /// The first value that it has read.
    pub fn value(&self) -> Option<&[u8]> {
        let range = self.done.iter().find_map(|done| done.range.as_ref())?;
        Some(&range.kvs.first()?.value)
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct Header {
    #[prost(uint64, tag = "1")]
    pub cluster: u64,
    #[prost(uint64, tag = "2")]
    pub member: u64,
    #[prost(int64, tag = "3")]
    pub revision: i64,
}

/// Makes a call, and reads the answer once `ears` is gone.
///
/// # Panics
/// The answer is none of gRPC's.
pub async fn answer(
    mut routes: Routes,
    request: Request<Body>,
    ears: oneshot::Receiver<()>,
) -> Answer {
    let path = request.uri().path().to_owned();
    let response = match routes.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let _ = ears.await;
    let answer = hear(response).await;
    let is_stream = ["/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/LeaseKeepAlive"];
    if !is_stream.contains(&path.as_str()) {
        let expected = usize::from(answer.status == 0);
        assert_eq!(answer.messages.len(), expected, "{path}: {answer:?}");
    }
    answer
}

async fn hear(response: Response<Body>) -> Answer {
    let (head, mut body) = response.into_parts();
    assert_eq!(head.status, 200, "{head:?}");
    let kind = head.headers.get("content-type").map(HeaderValue::as_bytes);
    assert_eq!(kind, Some(&b"application/grpc"[..]), "{head:?}");
    assert_eq!(head.headers.get("grpc-encoding"), None, "nobody asked for that");
    let (mut bytes, mut end) = (Vec::new(), status(&head.headers));
    // After trailers no transport asks for more.
    while end.is_none()
        && let Some(part) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
    {
        match part.expect("its body does not break").into_data() {
            Ok(data) => bytes.extend(data),
            Err(part) => end = part.trailers_ref().and_then(status),
        }
    }
    let (status, words) = end.expect("it ends with a status");
    assert!((0..=16).contains(&status), "{status}");
    assert!(!words.contains("answer%20is%20of%20another%20kind"), "{words}");
    Answer { status, words, messages: messages(Bytes::from(bytes)) }
}

fn status(headers: &HeaderMap) -> Option<(i32, String)> {
    let status = headers.get("grpc-status")?.to_str().ok()?.parse().expect("a number");
    let words = headers.get("grpc-message").map(HeaderValue::as_bytes).unwrap_or_default();
    Some((status, String::from_utf8_lossy(words).into_owned()))
}

fn messages(mut bytes: Bytes) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        assert!(bytes.len() >= 5, "half a head");
        let head = bytes.split_to(5);
        assert_eq!(head[0], 0, "nothing is compressed");
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        assert!(bytes.len() >= length, "half a message");
        messages.push(bytes.split_to(length));
    }
    messages
}
