use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_client::{Client, Error, WatchStream};
use portolan_wire::{Config, End, Etcd, Fault, MemberFault, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

async fn client(etcd: &Etcd) -> Client {
    Client::from_channel(etcd.link().channel(), None).await.expect("it is made")
}

/// A client of a fresh etcd that holds one key, and watches it.
async fn watching() -> (Etcd, Client, WatchStream) {
    let etcd = Etcd::new(Config::default());
    let mut client = client(&etcd).await;
    client.put("a", "1", None).await.expect("it puts");
    let mut watch = client.watch("a", None).await.expect("it watches");
    let created = watch.message().await.expect("it is watched").expect("it goes on");
    assert!(created.created());
    (etcd, client, watch)
}

async fn value(client: &mut Client) -> Result<Vec<u8>, Error> {
    let got = client.get("a", None).await?;
    Ok(got.kvs().first().map(|kv| kv.value().to_vec()).unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn whatever_ends_the_process_breaks_connections() {
    let all = [
        (Fault::Restart, "1"),
        (Fault::Member(portolan_core::waist::MemberId(0), MemberFault::Restart), "1"),
        (Fault::Wipe, ""),
        (Fault::ReplaceCluster, ""),
    ];
    for (fault, left) in all {
        let (etcd, mut client, mut watch) = watching().await;
        etcd.fault(fault);
        let error = watch.message().await.expect_err("it is broken").to_string();
        assert!(error.contains("h2 protocol error"), "{fault:?}: {error}");
        assert_eq!(value(&mut client).await.expect("it is there again"), left.as_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_another_member_breaks_no_connection() {
    let etcd = Etcd::new(Config::default().members(3));
    let mut client = client(&etcd).await;
    client.put("a", "1", None).await.expect("it puts");
    let mut watch = client.watch("a", None).await.expect("it watches");
    watch.message().await.expect("it is watched");
    let another = portolan_core::waist::MemberId(2);
    for fault in [MemberFault::Restart, MemberFault::Pause, MemberFault::Stop] {
        etcd.fault(Fault::Member(another, fault));
        client.put("a", "2", None).await.expect("it puts");
        let told = watch.message().await.expect("it goes on").expect("it goes on");
        assert_eq!(told.events().len(), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_store_lets_nobody_in() {
    let (etcd, mut client, mut watch) = watching().await;
    etcd.fault(Fault::Stop);
    watch.message().await.expect_err("it is broken");
    for _ in 0..2 {
        let error = value(&mut client).await.expect_err("nobody is there").to_string();
        assert!(error.contains("connection refused"), "{error}");
    }
    etcd.fault(Fault::Start);
    assert_eq!(value(&mut client).await.expect("it is there again"), b"1");
}

/// What is asked meanwhile is answered when it goes on, and nothing is said before.
#[tokio::test(start_paused = true)]
async fn a_held_store_keeps_connections_and_says_nothing() {
    let (etcd, mut client, mut watch) = watching().await;
    etcd.fault(Fault::Pause);
    let long = Duration::from_secs(600);
    timeout(long, value(&mut client)).await.expect_err("nobody answers");
    timeout(long, watch.message()).await.expect_err("nothing is said");
    etcd.fault(Fault::Resume);
    client.put("a", "2", None).await.expect("it goes on");
    let told = watch.message().await.expect("it goes on").expect("it goes on");
    assert_eq!(told.events().len(), 1);
}

/// Not even the transport says a word.
#[tokio::test(start_paused = true)]
async fn whoever_connects_to_a_held_store_waits() {
    let etcd = Etcd::new(Config::default());
    etcd.fault(Fault::Pause);
    let (mut near, far) = tokio::io::duplex(1_024);
    let serving = etcd.clone();
    tokio::spawn(async move { serving.serve(far, None, std::future::pending()).await });
    near.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("it is sent");
    let mut said = [0; 9];
    let long = Duration::from_secs(600);
    timeout(long, near.read_exact(&mut said)).await.expect_err("nothing is said");
    etcd.fault(Fault::Resume);
    near.read_exact(&mut said).await.expect("it says its settings");
    assert_eq!(said[3], 4, "a frame of settings: {said:?}");
}

/// Serves on a free port until the sender is dropped or used, and tells who was served.
struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    over: tokio::task::JoinHandle<()>,
    log: Arc<Mutex<Vec<portolan_wire::Served>>>,
}

async fn serve(etcd: Etcd) -> Served {
    let server = Server::bind(([127, 0, 0, 1], 0).into(), etcd).await.expect("it listens");
    let (address, log) = (server.address(), Arc::<Mutex<Vec<_>>>::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let told = log.clone();
    let server = server.log(move |served| told.lock().expect("a log").push(served.clone()));
    let over = tokio::spawn(server.serve(async { drop(stopped.await) }));
    Served { address, stop, over, log }
}

impl Served {
    async fn client(&self) -> Client {
        Client::connect([self.address.to_string()], None).await.expect("it connects")
    }

    /// Stops it, and returns how connections ended.
    async fn stop(self) -> Vec<portolan_wire::Served> {
        drop(self.stop);
        self.over.await.expect("it ends well");
        std::mem::take(&mut *self.log.lock().expect("a log"))
    }
}

/// A stream of watches never ends by itself: it has a second.
#[tokio::test]
async fn a_server_that_ends_leaves_nothing_open() {
    let served = serve(Etcd::new(Config::default())).await;
    let mut client = served.client().await;
    client.put("a", "1", None).await.expect("it puts");
    let mut watch = client.watch("a", None).await.expect("it watches");
    watch.message().await.expect("it is watched");
    let (address, since) = (served.address, Instant::now());
    let log = served.stop().await;
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    watch.message().await.expect_err("it is broken");
    TcpStream::connect(address).await.expect_err("nobody listens");
    let [one] = &log[..] else { panic!("{log:?}") };
    assert_eq!((one.calls, &one.end), (2, &End::Ended));
}

#[tokio::test]
async fn each_connection_is_told_once_it_is_over() {
    let etcd = Etcd::new(Config::default());
    let served = serve(etcd.clone()).await;
    let mut first = served.client().await;
    first.put("a", "1", None).await.expect("it puts");
    first.put("a", "2", None).await.expect("it puts");
    drop(first);
    let over = |count| {
        let log = served.log.clone();
        async move {
            while log.lock().expect("a log").len() < count {
                tokio::task::yield_now().await;
            }
        }
    };
    over(1).await;
    let mut garbled = TcpStream::connect(served.address).await.expect("it connects");
    garbled.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
    over(2).await;
    drop(garbled);
    let mut broken = served.client().await;
    broken.get("a", None).await.expect("it gets");
    etcd.fault(Fault::Stop);
    over(3).await;
    let log = served.stop().await;
    let told: Vec<_> = log.iter().map(|served| (served.calls, served.end.clone())).collect();
    let [(2, End::Left), (0, End::Failed(why)), (1, End::Broken)] = &told[..] else {
        panic!("{told:?}")
    };
    assert!(why.contains("protocol error"), "{why}");
    let line = log[0].to_string();
    assert!(line.starts_with("127.0.0.1:") && line.contains(": 2 calls in 0."), "{line}");
}

/// Who connects and says nothing is not kept.
#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_is_sent_away() {
    let served = serve(Etcd::new(Config::default())).await;
    let mut silent = TcpStream::connect(served.address).await.expect("it connects");
    assert_eq!(silent.read(&mut [0; 1]).await.expect("it is closed"), 0);
    let log = served.stop().await;
    let [one] = &log[..] else { panic!("{log:?}") };
    assert_eq!(one.end, End::Failed("nothing was said for 10 s".into()));
}

/// Nor is who begins, and says no more: half a word is none.
#[tokio::test(start_paused = true)]
async fn whoever_does_not_begin_is_sent_away() {
    let etcd = Etcd::new(Config::default());
    let (mut slow, far) = tokio::io::duplex(1_024);
    slow.write_all(b"PRI * HTTP/2.0\r\n").await.expect("it is sent");
    let served = etcd.serve(far, None, std::future::pending());
    let served = timeout(Duration::from_secs(600), served).await.expect("it is sent away");
    assert_eq!(served.end, End::Failed("HTTP/2 was not begun within 10 s".into()));
}
