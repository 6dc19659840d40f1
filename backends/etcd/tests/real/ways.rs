//! Names that stand for several members, other connections on demand, members that turn up later.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use portolan_core::waist::{
    Backend, Certainty, KeepAlive, KeyRange, MemberId, Reply, Request, Revision, StoreError, Watch,
};
use portolan_etcd::{Builder, EtcdBackend, Transport};
use portolan_kit::{Etcd, Port};
use tokio::net::TcpSocket;

use crate::harness::{Driver, PATIENCE, etcd, get, put};

const MEMBER: MemberId = MemberId(0);

/// One name for all of these, which the resolver tells in another order each time.
fn named(places: Vec<SocketAddr>) -> Builder {
    let asked = AtomicUsize::new(0);
    EtcdBackend::builder().address("etcd.test:2379").resolver(move |host, port| {
        assert_eq!((host.as_str(), port), ("etcd.test", 2379));
        let mut places = places.clone();
        let count = places.len();
        places.rotate_left(asked.fetch_add(1, Ordering::Relaxed) % count);
        async move { Ok(places) }
    })
}

fn place(etcd: &Etcd) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], etcd.client_port()))
}

/// Two servers, the one that is first in order first. Each has its number under `who`.
fn two() -> [Etcd; 2] {
    let mut two = [etcd(), etcd()];
    two.sort_by_key(Etcd::client_port);
    for (number, etcd) in two.iter().enumerate() {
        etcd.etcdctl(["put", "who", &number.to_string()]).expect("put");
    }
    two
}

async fn who(driver: &mut Driver) -> String {
    let Reply::Range(reply) = driver.ask(get("who")).await else { panic!("a reply") };
    String::from_utf8_lossy(&reply.kvs[0].value).into_owned()
}

fn watch() -> Request {
    Request::Watch(Watch::of(KeyRange::one("a"), Revision::ZERO))
}

#[tokio::test]
async fn a_redial_reaches_another_one_and_leaves_what_is_under_way() {
    let mut etcds = two();
    let mut driver = Driver::new(named(etcds.iter().map(place).collect()));
    assert_eq!(who(&mut driver).await, "0");
    let stream = driver.submit(watch());
    driver.answer(stream).await;
    let lease = driver.grant(1).await;
    let renew = Request::KeepAlive(KeepAlive { lease });
    driver.ask(renew.clone()).await;

    etcds[0].pause().expect("pause");
    let (read, renewal) = (driver.submit(get("who")), driver.submit(renew.clone()));
    // Let both get onto the wire.
    tokio::time::sleep(Duration::from_millis(100)).await;
    driver.backend.redial(MEMBER);
    assert_eq!(who(&mut driver).await, "1");
    // That one has no such lease: the renewal went over a stream of its own.
    assert!(matches!(driver.ask(renew).await, Reply::KeepAlive(reply) if reply.ttl_secs == 0));
    let elsewhere = driver.submit(watch());
    driver.answer(elsewhere).await;

    etcds[0].resume().expect("resume");
    let Reply::Range(reply) = driver.answer(read).await else { panic!("a reply") };
    assert_eq!(reply.kvs[0].value, b"0"[..].into());
    let reply = driver.answer(renewal).await;
    assert!(matches!(&reply, Reply::KeepAlive(reply) if reply.ttl_secs == 600), "{reply:?}");
    for (etcd, stream) in etcds.iter().zip([stream, elsewhere]) {
        etcd.etcdctl(["put", "a", etcd.name()]).expect("put");
        let reply = driver.answer(stream).await;
        assert!(matches!(&reply, Reply::Watch(reply) if reply.events.len() == 1), "{reply:?}");
    }

    driver.backend.redial(MEMBER);
    assert_eq!(who(&mut driver).await, "0");
}

/// The former connections end with the last that was under way on them.
#[tokio::test]
async fn a_redial_leaves_no_connection_behind() {
    let etcds = two();
    let mut driver = Driver::new(named(etcds.iter().map(place).collect()));
    // Two channels that nobody used yet.
    let unused = driver.backend.tasks_alive();
    let lease = driver.grant(1).await;
    let mut counts = Vec::new();
    for _ in 0..4 {
        driver.ask(Request::KeepAlive(KeepAlive { lease })).await;
        let stream = driver.submit(watch());
        driver.answer(stream).await;
        driver.cancel(stream);
        counts.push(driver.backend.tasks_alive());
        driver.backend.redial(MEMBER);
        let begun = Instant::now();
        while driver.backend.tasks_alive() > unused {
            assert!(begun.elapsed() < PATIENCE, "{} are left", driver.backend.tasks_alive());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert!(counts.iter().all(|count| *count > unused + 2), "{counts:?}");
}

#[tokio::test]
async fn a_lost_connection_is_followed_by_one_to_the_next_address() {
    let mut etcds = two();
    let mut driver = Driver::new(named(etcds.iter().map(place).collect()));
    assert_eq!(who(&mut driver).await, "0");
    etcds[0].kill().expect("kill");
    // The loss may be noticed by the call.
    let mut reply = driver.ask(get("who")).await;
    if matches!(reply, Reply::Failed(StoreError::ConnectionLost { .. })) {
        reply = driver.ask(get("who")).await;
    }
    assert!(
        matches!(&reply, Reply::Range(range) if range.kvs[0].value == b"1"[..].into()),
        "{reply:?}"
    );
    // And past one where nobody listens.
    driver.backend.redial(MEMBER);
    driver.backend.redial(MEMBER);
    assert_eq!(who(&mut driver).await, "1");
    etcds[1].kill().expect("kill");
    driver.backend.redial(MEMBER);
    let error = driver.failure(get("who")).await;
    let StoreError::Refused { detail } = &error else { panic!("{error:?}") };
    assert!(detail.starts_with("etcd.test:2379: 127.0.0.1:"), "{detail}");
}

/// A place that takes no connection and does not say so costs its share of the time.
#[tokio::test]
async fn a_silent_address_leaves_time_for_the_others() {
    let etcd = etcd();
    etcd.etcdctl(["put", "who", "me"]).expect("put");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port is free");
    let listener = socket.listen(1).expect("listen");
    let silent = listener.local_addr().expect("it is bound");
    let mut held = Vec::new();
    let briefly = Duration::from_millis(200);
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&silent, briefly) {
        held.push(stream);
        assert!(held.len() < 100, "the queue of a listener has an end");
    }
    let mut driver = Driver::new(named(vec![silent, place(&etcd)]));
    for _ in 0..2 {
        assert_eq!(who(&mut driver).await, "me");
        driver.backend.redial(MEMBER);
    }
}

#[tokio::test]
async fn a_name_that_stands_for_nothing() {
    let build = |outcome: fn() -> std::io::Result<Vec<SocketAddr>>| {
        let builder = EtcdBackend::builder().address("etcd.test:2379");
        Driver::new(builder.resolver(move |_, _| async move { outcome() }))
    };
    let cases: [(fn() -> _, &str); 2] = [
        (|| Err(std::io::Error::other("no such host")), "no such host"),
        (|| Ok(Vec::new()), "the name stands for no address"),
    ];
    for (outcome, why) in cases {
        let error = build(outcome).failure(Request::Put(put("a", b"1"))).await;
        let detail = format!("etcd.test:2379: {why}");
        assert_eq!(error, StoreError::CannotConnect { detail });
        assert_eq!(error.certainty(), Certainty::NotDone);
    }
    // A resolver that does not answer.
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let mut transport = Transport::default();
    transport.connect_timeout = Duration::from_millis(100);
    let builder = EtcdBackend::builder().address("etcd.test:2379").transport(transport);
    let builder = builder.resolver(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::pending()
    });
    let error = Driver::new(builder).failure(get("a")).await;
    let detail = "etcd.test:2379: no connection within 100ms".to_owned();
    assert_eq!(error, StoreError::CannotConnect { detail });
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

/// The system's own resolver, and numbers, which need none.
#[tokio::test]
async fn names_are_the_systems() {
    let etcd = etcd();
    etcd.etcdctl(["put", "who", "me"]).expect("put");
    let address = format!("localhost:{}", etcd.client_port());
    assert_eq!(who(&mut Driver::new(EtcdBackend::builder().address(address))).await, "me");
    let builder = EtcdBackend::builder().address(etcd.client_url());
    let builder = builder.resolver(|host, _| async move { panic!("{host} needs no resolver") });
    assert_eq!(who(&mut Driver::new(builder)).await, "me");
}

#[tokio::test]
async fn members_are_introduced() {
    let etcds = two();
    let mut driver = Driver::of(&etcds[0]);
    let (free, free_too) = (Port::reserve().expect("a port"), Port::reserve().expect("a port"));
    let nobody = |port: &Port| format!("http://{}", port.addr());
    // Of several addresses any will do.
    let urls = [nobody(&free), etcds[1].client_url(), nobody(&free_too)];
    driver.backend.introduce(MemberId(7), &urls);
    assert_eq!(driver.backend.members(), 2);
    for (member, number) in [(MemberId(7), "1"), (MEMBER, "0")] {
        let attempt = driver.submit_to(member, get("who"));
        let Reply::Range(reply) = driver.answer(attempt).await else { panic!("a reply") };
        assert_eq!(reply.kvs[0].value, number.as_bytes().into());
    }
    let cases: [(&[&str], &str); 3] = [
        (&["unix:///run/etcd"], "its address \"unix:///run/etcd\" has an unknown scheme"),
        (&["http://root:hush@a:1"], "its address \"a:1\" holds a user name"),
        (&[], "the member names no address"),
    ];
    for (member, (urls, why)) in (8..).map(MemberId).zip(cases) {
        let urls: Vec<_> = urls.iter().map(ToString::to_string).collect();
        driver.backend.introduce(member, &urls);
        let attempt = driver.submit_to(member, get("who"));
        let Reply::Failed(error) = driver.answer(attempt).await else { panic!("{urls:?}") };
        let StoreError::CannotConnect { detail } = &error else { panic!("{error:?}") };
        assert!(detail.contains(why) && !detail.contains("hush"), "{detail}");
    }
}
