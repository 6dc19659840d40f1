//! What clients send that no client should.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use etcd_client::{Client, WatchOptions};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Frame, SizeHint};
use portolan::Key;
use portolan_wire::{Config, Etcd, Link};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::ServiceExt;

/// A gRPC call with any bytes in its body, and what becomes of it.
async fn call(link: &Link, path: &str, body: Body) -> Status {
    let request = http::Request::post(format!("http://within/etcdserverpb.{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .expect("a request");
    let answer = link.raw().oneshot(request).await.expect("it answers");
    let (head, body) = answer.into_parts();
    if let Some(status) = Status::from_header_map(&head.headers) {
        return status;
    }
    let trailers = body.collect().await.expect("it ends").trailers().cloned();
    Status::from_header_map(&trailers.expect("trailers")).expect("a status")
}

/// One message as gRPC frames it.
fn frame(flag: u8, length: u32, message: &[u8]) -> Body {
    let mut frame = vec![flag];
    frame.extend(length.to_be_bytes());
    frame.extend(message);
    Body::new(Full::new(Bytes::from(frame)))
}

fn whole(message: &[u8]) -> Body {
    frame(0, u32::try_from(message.len()).expect("it is short"), message)
}

/// A put of `key` with a value of that many bytes.
fn put(length: usize) -> Vec<u8> {
    let mut message = vec![0x0a, 1, b'k', 0x12];
    let mut rest = length;
    while rest >= 0x80 {
        message.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
        rest >>= 7;
    }
    message.push(u8::try_from(rest).expect("seven bits"));
    message.resize(message.len() + length, b'v');
    message
}

/// Somebody else is served as ever.
async fn undisturbed(etcd: &Etcd) {
    let client = Client::from_channel(etcd.link().channel(), None).await;
    let mut client = client.expect("it is made");
    client.put("other", "1", None).await.expect("it puts");
    assert_eq!(client.get("other", None).await.expect("it gets").count(), 1);
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    let etcd = Etcd::new(Config::default());
    let link = etcd.link();
    let large = |size: u32| format!("grpc: received message larger than max ({size} vs. 2097152)");
    let cases = [
        ("truncated", "KV/Put", frame(0, 9, b"abc"), Code::Internal, None),
        ("no message", "KV/Put", Body::empty(), Code::Internal, None),
        (
            "two",
            "KV/Put",
            frame(0, 0, &[0; 5]),
            Code::InvalidArgument,
            Some("etcdserver: key is not provided".into()),
        ),
        (
            "half a length",
            "KV/Put",
            Body::new(Full::new(Bytes::from_static(&[0, 0]))),
            Code::Internal,
            None,
        ),
        ("garbage", "KV/Put", whole(&[0xff; 64]), Code::Internal, None),
        ("compressed", "KV/Put", frame(1, 3, b"abc"), Code::Internal, None),
        (
            "said to be huge",
            "KV/Put",
            frame(0, u32::MAX, b""),
            Code::ResourceExhausted,
            Some(large(u32::MAX)),
        ),
        (
            "five MiB",
            "KV/Put",
            whole(&put(5 << 20)),
            Code::ResourceExhausted,
            Some(large((5 << 20) + 8)),
        ),
        (
            "three MiB",
            "KV/Put",
            whole(&put(3 << 20)),
            Code::ResourceExhausted,
            Some(large((3 << 20) + 8)),
        ),
        (
            "two MiB less some",
            "KV/Put",
            whole(&put((2 << 20) - 100)),
            Code::InvalidArgument,
            Some("etcdserver: request is too large".into()),
        ),
        ("a watch of garbage", "Watch/Watch", whole(&[0xff; 64]), Code::Internal, None),
        (
            "a huge watch",
            "Watch/Watch",
            frame(0, u32::MAX, b""),
            Code::ResourceExhausted,
            Some(large(u32::MAX)),
        ),
        (
            "a huge renewal",
            "Lease/LeaseKeepAlive",
            frame(0, u32::MAX, b""),
            Code::ResourceExhausted,
            Some(large(u32::MAX)),
        ),
        ("no such method", "KV/Drop", whole(b""), Code::Unimplemented, None),
        ("no such service", "Nothing/Put", whole(b""), Code::Unimplemented, None),
    ];
    for (what, path, body, code, words) in cases {
        let status = call(&link, path, body).await;
        assert_eq!(status.code(), code, "{what}: {status:?}");
        if let Some(words) = words {
            assert_eq!(status.message(), words, "{what}");
        }
        undisturbed(&etcd).await;
    }
    assert!(etcd.look(|model| model.record(&Key::from("k")).is_none()), "nothing was put");
}

/// Sends messages, for ever, as long as somebody takes them.
struct Endless {
    messages: Bytes,
    sent: Arc<AtomicUsize>,
}

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.sent.fetch_add(1_000, Relaxed);
        Poll::Ready(Some(Ok(Frame::data(self.messages.clone()))))
    }

    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Whoever does not take what it is told is not heard further: what it sends waits where it is.
#[tokio::test]
async fn an_endless_stream_is_not_heard_further_than_it_listens() {
    // Creates a watch of `k`, whose answer is told each time.
    let create = [0, 0, 0, 0, 5, 0x0a, 3, 0x0a, 1, b'k'];
    // Renews a lease that there is not, likewise.
    let renew = [0, 0, 0, 0, 2, 0x08, 7];
    for (path, message) in [("Watch/Watch", &create[..]), ("Lease/LeaseKeepAlive", &renew[..])] {
        let etcd = Etcd::new(Config::default());
        let link = etcd.link();
        let sent = Arc::new(AtomicUsize::new(0));
        // Many at a time: the transport ends a connection that brings nothing but tiny frames.
        let messages = Bytes::from(message.repeat(1_000));
        let endless = Endless { messages, sent: sent.clone() };
        let request = http::Request::post(format!("http://within/etcdserverpb.{path}"))
            .header("content-type", "application/grpc")
            .body(Body::new(endless))
            .expect("a request");
        let answer = link.raw().oneshot(request).await.expect("it answers");
        let mut before = 0;
        let standstill = async {
            loop {
                tokio::time::sleep(Duration::from_millis(300)).await;
                let now = sent.load(Relaxed);
                if now == before {
                    break;
                }
                before = now;
            }
        };
        timeout(Duration::from_secs(60), standstill).await.expect("it comes to a standstill");
        undisturbed(&etcd).await;
        // What the windows and buffers of HTTP/2 hold, and no more.
        let on_its_way = before * message.len();
        assert!(on_its_way < 2 << 20, "{path}: {on_its_way} bytes");
        drop(answer);
    }
}

#[tokio::test]
async fn thousands_of_watches_on_one_stream() {
    let etcd = Etcd::new(Config::default());
    let mut client = Client::from_channel(etcd.link().channel(), None).await.expect("it is made");
    let stream = client.watch("all", None).await.expect("it watches");
    let (mut say, mut told) = stream.split();
    let count = 5_000;
    let asking = async {
        for at in 1..count {
            let options = WatchOptions::new().with_watch_id(at);
            say.watch("all", Some(options)).await.expect("it watches");
        }
    };
    let mut created = 0;
    let hearing = async {
        while created < count {
            let message = told.message().await.expect("it goes on").expect("it goes on");
            assert!(message.created());
            created += 1;
        }
    };
    tokio::join!(asking, hearing);
    undisturbed(&etcd).await;
    client.put("all", "1", None).await.expect("it puts");
    for _ in 0..count {
        let message = told.message().await.expect("it goes on").expect("it goes on");
        assert_eq!(message.events().len(), 1);
    }
}

/// What this server does not do it says so.
#[tokio::test]
async fn the_rest_is_unimplemented() {
    let etcd = Etcd::new(Config::default());
    let link = etcd.link();
    let all = [
        "Maintenance/Defragment",
        "Maintenance/Snapshot",
        "Maintenance/MoveLeader",
        "Maintenance/Downgrade",
        "Cluster/MemberAdd",
        "Cluster/MemberRemove",
        "Cluster/MemberUpdate",
        "Cluster/MemberPromote",
        "Auth/Unknown",
    ];
    for path in all {
        let status = call(&link, path, whole(b"")).await;
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
        let words = status.message();
        assert!(
            words.starts_with("portolan: ") && words.ends_with(" is not served")
                || words.ends_with(" are not served"),
            "{path}: {words}"
        );
    }
}
