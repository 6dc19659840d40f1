use std::io;
use std::time::{Duration, Instant};

use portolan_core::waist::{
    Certainty, Code, KeepAlive, Key, KeyRange, LeaseId, MemberId, Op, Put, Range, Reply, Request,
    StoreError, Txn, Watch,
};
use portolan_etcd::{EtcdBackend, RawChannel, Transport};
use portolan_kit::Port;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket};
use tonic::transport::Endpoint;
use tower::{BoxError, ServiceExt, service_fn};

use crate::harness::{Driver, etcd, get, put};

#[tokio::test]
async fn nobody_listens() {
    let port = Port::reserve().expect("a port is free");
    let address = port.addr().to_string();
    let mut driver = Driver::new(EtcdBackend::builder().address(&address));
    let lease = LeaseId::new(7).expect("not 0");
    let renewal = Request::KeepAlive(KeepAlive { lease });
    let watch = Request::Watch(Watch::of(KeyRange::all(), Default::default()));
    for request in [get("a"), Request::Put(put("a", b"1")), renewal, watch, Request::Status] {
        let error = driver.failure(request.clone()).await;
        let StoreError::Refused { detail } = &error else { panic!("{request:?}: {error:?}") };
        assert!(detail.starts_with(&address), "{detail}");
        assert_eq!(error.certainty(), Certainty::NotDone);
    }
}

/// Everything that keeps a connection from coming about, other than a refusal.
#[tokio::test]
async fn no_connection_comes_about() {
    let channel = || {
        let connector = service_fn(|_: http::Uri| async {
            Err::<NoStream, _>(io::Error::new(io::ErrorKind::HostUnreachable, "no route to host"))
        });
        let channel = Endpoint::from_static("http://away").connect_with_connector_lazy(connector);
        RawChannel::new(channel.map_err(BoxError::from))
    };
    let builder = EtcdBackend::builder().channels("away:2379", channel(), channel());
    let error = Driver::new(builder).failure(get("a")).await;
    let detail = "away:2379: no route to host".to_owned();
    assert_eq!(error, StoreError::CannotConnect { detail });
    assert_eq!(error.certainty(), Certainty::NotDone);
}

/// The system takes no more connections for this listener, and does not say so.
#[tokio::test]
async fn a_connection_takes_too_long() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port is free");
    let listener = socket.listen(1).expect("listen");
    let address = listener.local_addr().expect("it is bound");
    let mut held = Vec::new();
    let briefly = Duration::from_millis(200);
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, briefly) {
        held.push(stream);
        assert!(held.len() < 100, "the queue of a listener has an end");
    }
    let mut transport = Transport::default();
    transport.connect_timeout = Duration::from_millis(300);
    let builder = EtcdBackend::builder().address(address.to_string()).transport(transport);
    let asked = Instant::now();
    let error = Driver::new(builder).failure(get("a")).await;
    assert!(matches!(error, StoreError::CannotConnect { .. }), "{error:?}");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

type NoStream = hyper_util::rt::TokioIo<tokio::net::TcpStream>;

#[tokio::test]
async fn a_connection_breaks_under_a_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    let server = tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.expect("accept");
            // Read what comes first, so that the request is on its way, then hang up.
            let _ = socket.read(&mut [0; 1024]).await;
        }
    });
    let mut driver = Driver::new(EtcdBackend::builder().address(&address));
    let error = driver.failure(Request::Put(put("a", b"1"))).await;
    let StoreError::ConnectionLost { detail } = &error else { panic!("{error:?}") };
    assert!(detail.starts_with(&address), "{detail}");
    assert_eq!(error.certainty(), Certainty::Unknown);
    server.abort();
}

#[tokio::test]
async fn a_killed_member_ends_its_streams_and_is_found_again() {
    let mut etcd = etcd();
    let mut driver = Driver::of(&etcd);
    let watch = driver.submit(Request::Watch(Watch::of(KeyRange::all(), Default::default())));
    assert!(matches!(driver.answer(watch).await, Reply::Watch(reply) if reply.created));
    driver.put("a", b"1").await;
    assert!(matches!(driver.answer(watch).await, Reply::Watch(reply) if reply.events.len() == 1));

    etcd.kill().expect("kill");
    let reply = driver.answer(watch).await;
    assert!(matches!(reply, Reply::Failed(StoreError::ConnectionLost { .. })), "{reply:?}");
    let error = driver.failure(get("a")).await;
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");

    etcd.restart().expect("restart");
    let Reply::Range(reply) = driver.ask(get("a")).await else { panic!("a reply") };
    assert_eq!(reply.count, 1);
}

/// Whoever pings etcd while idle is hung up on at the fourth ping. The first call after a pause
/// finds its connection as it was, and is pinged at once: see the next test.
#[tokio::test]
async fn an_idle_connection_is_kept() {
    let etcd = etcd();
    let mut transport = Transport::default();
    transport.keepalive_interval = Duration::from_secs(1);
    let builder = EtcdBackend::builder().address(etcd.client_url()).transport(transport);
    let mut driver = Driver::new(builder);
    driver.put("a", b"1").await;
    let connected = driver.backend.tasks_alive();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(driver.backend.tasks_alive(), connected, "a connection's tasks end with it");
}

#[tokio::test]
async fn a_call_after_a_pause_notices_a_silent_member_at_once() {
    let mut etcd = etcd();
    let mut transport = Transport::default();
    transport.keepalive_interval = Duration::from_secs(4);
    transport.keepalive_timeout = Duration::from_secs(1);
    let builder = EtcdBackend::builder().address(etcd.client_url()).transport(transport);
    let mut driver = Driver::new(builder);
    driver.put("a", b"1").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    etcd.pause().expect("pause");
    let asked = Instant::now();
    let error = driver.failure(get("a")).await;
    assert!(matches!(error, StoreError::ConnectionLost { .. }), "{error:?}");
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
}

/// A member that stands still keeps its connections open; only unanswered pings tell.
#[tokio::test]
async fn a_silent_member_is_noticed() {
    let mut etcd = etcd();
    let mut transport = Transport::default();
    transport.keepalive_interval = Duration::from_secs(1);
    transport.keepalive_timeout = Duration::from_secs(1);
    let builder = EtcdBackend::builder().address(etcd.client_url()).transport(transport);
    let mut driver = Driver::new(builder);
    let watch = driver.submit(Request::Watch(Watch::of(KeyRange::all(), Default::default())));
    driver.answer(watch).await;
    driver.put("a", b"1").await;
    driver.answer(watch).await;

    etcd.pause().expect("pause");
    let paused = Instant::now();
    let get = driver.submit(get("a"));
    for attempt in [get, watch] {
        let reply = driver.answer(attempt).await;
        assert!(matches!(reply, Reply::Failed(StoreError::ConnectionLost { .. })), "{reply:?}");
    }
    assert!(paused.elapsed() < Duration::from_secs(5), "{:?}", paused.elapsed());
}

#[tokio::test]
async fn an_answer_above_the_decode_limit_is_no_compaction() {
    let etcd = etcd();
    let builder = EtcdBackend::builder().address(etcd.client_url()).decode_limit(1000);
    let mut driver = Driver::new(builder);
    let watch = driver.submit(Request::Watch(Watch::of(KeyRange::one("a"), Default::default())));
    driver.answer(watch).await;
    driver.put("a", &[0; 2000]).await;
    let range = Range::of(KeyRange::one("a"));
    let txn = Txn { then: vec![Op::Range(range)], ..Txn::default() };
    for error in [
        driver.failure(get("a")).await,
        driver.failure(Request::Txn(txn)).await,
        driver.end(watch).await,
    ] {
        let StoreError::AnswerTooLarge { size, limit } = error else { panic!("{error:?}") };
        assert!(size > 2000 && limit == 1000, "{size} {limit}");
        assert_eq!(error.code(), Code::OutOfRange);
    }
    // The failed stream holds nothing up.
    driver.put("b", b"1").await;
    let watch = driver.submit(Request::Watch(Watch::of(KeyRange::one("b"), Default::default())));
    assert!(matches!(driver.answer(watch).await, Reply::Watch(reply) if reply.created));
}

#[tokio::test]
async fn ten_megabytes_come_in_one_answer() {
    let etcd = etcd();
    let mut driver = Driver::of(&etcd);
    for n in 0..10 {
        driver.put(&format!("big/{n}"), &vec![7; 1 << 20]).await;
    }
    let range = Range::of(KeyRange::prefix("big/"));
    let Reply::Range(reply) = driver.ask(Request::Range(range)).await else { panic!("a reply") };
    let bytes: usize = reply.kvs.iter().map(|kv| kv.value.len()).sum();
    assert_eq!(bytes, 10 << 20);
}

#[tokio::test]
async fn members_are_told_apart_by_their_place() {
    let (first, second) = (etcd(), etcd());
    let builder = EtcdBackend::builder().address(first.client_url()).address(second.client_url());
    let mut driver = Driver::new(builder);
    assert_eq!(driver.backend.members(), 2);
    driver.put("here", b"1").await;
    let attempt = driver.submit_to(MemberId(1), get("here"));
    assert!(matches!(driver.answer(attempt).await, Reply::Range(reply) if reply.count == 0));

    let attempt = driver.submit_to(MemberId(2), Request::Put(put("here", b"2")));
    let Reply::Failed(error) = driver.answer(attempt).await else { panic!("there is no member 2") };
    let detail = "there is no member m2 among 2".to_owned();
    assert_eq!(error, StoreError::CannotConnect { detail });
}

#[tokio::test]
async fn keys_and_values_are_any_bytes() {
    let etcd = etcd();
    let mut driver = Driver::of(&etcd);
    let all: Vec<u8> = (0..=255).collect();
    let key = Key::from(all.clone());
    let put = Put { key: key.clone(), value: all.into(), ..put("", b"") };
    driver.ask(Request::Put(put.clone())).await;
    let range = Request::Range(Range::of(KeyRange::one(key.clone())));
    let Reply::Range(reply) = driver.ask(range).await else { panic!("a reply") };
    assert_eq!(reply.kvs[0].key, key);
    assert_eq!(reply.kvs[0].value, put.value);
}
