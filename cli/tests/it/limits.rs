//! How much an etcd in memory takes, whatever its clients do: the process is looked at, not the
//! model. The figures are those of the README.

use etcd_client::{
    Client, Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp, WatchOptions, WatchStream,
};

use crate::serve::serve;

const MIB: u64 = 1 << 20;

/// What a watch with a short key takes at most.
const OF_A_WATCH: u64 = 2 << 10;

/// What the README says it takes at most, beside watches and other calls.
fn most(quota: u64, connections: u64, streams: u64, longest: u64) -> u64 {
    32 * MIB + 2 * quota + connections * 5 * MIB / 4 + streams * (3 * MIB / 8 + 3 * longest)
}

async fn connect(address: &str) -> Client {
    Client::connect([address], None).await.expect("it connects")
}

/// A stream of watches of which nothing was read yet: the watch may still be on its way.
async fn ask(client: &mut Client, prefix: &str) -> WatchStream {
    let options = WatchOptions::new().with_prefix();
    client.watch(prefix, Some(options)).await.expect("it is taken")
}

/// A watch that is there, from now on.
async fn watch(client: &mut Client, prefix: &str) -> WatchStream {
    let mut stream = ask(client, prefix).await;
    assert!(stream.message().await.expect("it goes on").expect("it goes on").created());
    stream
}

/// Reads events, which must go on from `last` revision by revision, up to `until` or to the end of
/// the watch. The last one, and what was compacted if that has ended it.
async fn read(stream: &mut WatchStream, mut last: i64, until: i64) -> (i64, Option<i64>) {
    while last < until {
        let message = stream.message().await.expect("it goes on").expect("it goes on");
        for event in message.events() {
            let revision = event.kv().expect("a record").mod_revision();
            assert_eq!(revision, last + 1, "nothing is lost, and nothing told twice");
            last = revision;
        }
        if message.canceled() {
            return (last, Some(message.compact_revision()));
        }
    }
    (last, None)
}

/// Two hundred streams that nobody reads, and half a GiB for each.
#[tokio::test]
async fn streams_that_nobody_reads_take_no_more_than_they_may() {
    const LONGEST: u64 = 64 << 10;
    let (server, address) = serve(&["--quota", "24MiB", "--history", "8MiB"]);
    let mut clients = Vec::new();
    let mut silent = Vec::new();
    for _ in 0..20 {
        clients.push(connect(&address).await);
    }
    // Who reads again has a connection alone: what others do not read there would hold it up.
    let mut asleep = Vec::new();
    for _ in 0..3 {
        let mut client = connect(&address).await;
        let stream = watch(&mut client, "k/").await;
        asleep.push((client, stream));
    }
    let (mut writer, mut reader) = (connect(&address).await, connect(&address).await);
    let mut beside = watch(&mut reader, "k/").await;
    let mut late = None;
    let (writes, mut last, mut read_to) = (8 * 1024, 1, 1);
    for at in 0..writes {
        // One after the other, so that no two are kept the same values.
        if at % 16 == 0 && silent.len() < 200 {
            let client = &mut clients[silent.len() / 10];
            silent.push(ask(client, "k/").await);
        }
        if at == writes - 48 {
            let mut client = connect(&address).await;
            let stream = watch(&mut client, "k/").await;
            late = Some((client, stream, last));
        }
        let value = vec![7; LONGEST as usize - 512];
        let put = writer.put(format!("k/{}", at % 16), value, None).await.expect("it puts");
        last = put.header().expect("a header").revision();
        // Whoever reads is not far behind, however slow the machine is.
        if at % 16 == 15 {
            let (to, compacted) = read(&mut beside, read_to, last).await;
            assert_eq!((to, compacted), (last, None));
            read_to = to;
        }
    }
    let peak = server.peak();
    let most = most(24 * MIB, 26, 205, LONGEST);
    assert!(u64::try_from(writes).expect("few") * LONGEST > 2 * most, "{most} is no limit");
    assert!(peak <= most, "{peak} of {most}");
    // Who was silent for long is told what it has missed; who was so for a moment misses nothing.
    for (_, stream) in &mut asleep {
        let (told, compacted) = read(stream, 1, last).await;
        let compacted = compacted.expect("that is compacted by now");
        assert!(told < compacted && compacted <= last, "{told} {compacted}");
    }
    let (_client, mut stream, since) = late.expect("it was opened");
    assert_eq!(read(&mut stream, since, last).await, (last, None));
    let peak = server.peak();
    assert!(peak <= most, "{peak} of {most}");
}

/// On one stream, all of them told that they are there.
#[tokio::test]
async fn tens_of_thousands_of_watches_take_no_more_than_they_may() {
    const WATCHES: u64 = 40_000;
    let quota = 8 * MIB;
    let (server, address) = serve(&["--quota", "8MiB", "--history", "4MiB"]);
    let mut client = connect(&address).await;
    let mut stream = watch(&mut client, "0").await;
    for number in 1..WATCHES {
        stream.watch(format!("{number}/"), None).await.expect("it asks");
        let told = stream.message().await.expect("it goes on").expect("it goes on");
        assert!(told.created() && !told.canceled());
    }
    client.put("7/", "1", None).await.expect("it puts");
    let told = stream.message().await.expect("it goes on").expect("it goes on");
    assert_eq!(told.events().len(), 1);
    let (peak, most) = (server.peak(), most(quota, 1, 1, 64) + WATCHES * OF_A_WATCH);
    assert!(peak <= most, "{peak} of {most}");
}

/// A client that asks for long answers, and reads none of them.
#[tokio::test]
async fn long_answers_that_nobody_reads_take_no_more_than_they_may() {
    const CALLS: u64 = 60;
    const LONG: u64 = MIB;
    let quota = 8 * MIB;
    let (server, address) = serve(&["--quota", "8MiB", "--history", "4MiB"]);
    let mut client = connect(&address).await;
    let value = vec![7; usize::try_from(LONG).expect("it is long")];
    client.put("k", value, None).await.expect("it puts");
    let socket = tokio::net::TcpStream::connect(&address).await.expect("it connects");
    let (mut calls, connection) = h2::client::handshake(socket).await.expect("it connects");
    tokio::spawn(connection);
    let mut unread = Vec::new();
    for _ in 0..CALLS {
        let call = http::Request::post(format!("http://{address}/etcdserverpb.KV/Range"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .expect("a request");
        calls = calls.ready().await.expect("there is room");
        let (answer, mut question) = calls.send_request(call, false).expect("it asks");
        // A range of the key `k`, as gRPC frames it.
        let range = b"\0\0\0\0\x03\x0a\x01k";
        question.send_data(range[..].into(), true).expect("it asks");
        unread.push(answer.await.expect("it is answered"));
    }
    // Others do not suffer from it.
    let found = client.get("k", None).await.expect("it reads");
    assert_eq!(found.count(), 1);
    let (peak, most) = (server.peak(), most(quota, 2, 0, 0) + CALLS * 3 * (LONG + 64));
    assert!(peak <= most, "{peak} of {most}");
    assert!(unread.iter().all(|answer| answer.status() == http::StatusCode::OK));
}

/// As many of the smallest records as there is room for; beyond, etcd's own words.
#[tokio::test]
async fn a_full_store_refuses_writes_and_goes_on() {
    let quota = 64 * MIB;
    let (server, address) = serve(&["--quota", "64MiB", "--history", "8MiB"]);
    let mut client = connect(&address).await;
    let mut other = connect(&address).await;
    let mut stream = watch(&mut other, "0").await;
    let mut puts = 0;
    let refused = loop {
        let ops: Vec<TxnOp> =
            (puts..puts + 128).map(|key| TxnOp::put(format!("{key:07}"), "", None)).collect();
        match client.txn(Txn::new().and_then(ops)).await {
            Ok(_) => puts += 128,
            Err(error) => break error,
        }
        assert!(puts < 1_000_000, "the quota is never met");
        // Each transaction is one revision, and one message.
        let told = stream.message().await.expect("it goes on").expect("it goes on");
        assert_eq!(told.events().len(), 128);
    };
    let is_refused = |error: &etcd_client::Error| {
        let etcd_client::Error::GRpcStatus(status) = error else { return false };
        let is_exhausted = status.code() as i32 == 8;
        is_exhausted && status.message() == "etcdserver: mvcc: database space exceeded"
    };
    assert!(is_refused(&refused), "{refused}");
    assert_eq!(puts, i64::try_from(quota / (256 + 7)).expect("a few") / 128 * 128);
    let (peak, most) = (server.peak(), most(quota, 2, 1, 128 * 256));
    assert!(peak <= most, "{peak} of {most}");

    let all = || Some(GetOptions::new().with_prefix().with_count_only());
    assert_eq!(client.get("0", all()).await.expect("it reads").count(), puts);
    client.delete("0000000", None).await.expect("it deletes");
    let told = stream.message().await.expect("it goes on").expect("it goes on");
    assert_eq!(told.events().len(), 1);
    // The alarm is on: one byte is too much, though there would be room for it.
    for _ in 0..3 {
        let refused = client.put("0", "", None).await.expect_err("it is full");
        assert!(is_refused(&refused), "{refused}");
        let refused = client.lease_grant(60, None).await.expect_err("it is full");
        assert!(is_refused(&refused), "{refused}");
    }
    let reads = Txn::new().when([Compare::version("0000001", CompareOp::Equal, 1)]);
    assert!(client.txn(reads).await.expect("it is taken").succeeded());
    assert_eq!(client.get("0", all()).await.expect("it reads").count(), puts - 1);
}

/// Each is served as if it were alone.
#[tokio::test]
async fn five_hundred_clients_at_once() {
    let (server, address) = serve(&[]);
    let mut tasks = Vec::new();
    for number in 0..500 {
        let address = address.clone();
        tasks.push(tokio::spawn(async move {
            let mut client = connect(&address).await;
            let lease = client.lease_grant(600, None).await.expect("it grants").id();
            let key = format!("{number}/");
            let mut stream = watch(&mut client, &key).await;
            let (mut renew, mut renewed) = client.lease_keep_alive(lease).await.expect("it renews");
            for at in 0..10 {
                let options = PutOptions::new().with_lease(lease);
                let put = client.put(format!("{key}{at}"), key.clone(), Some(options)).await;
                let revision = put.expect("it puts").header().expect("a header").revision();
                let told = stream.message().await.expect("it goes on").expect("it goes on");
                let [event] = told.events() else { panic!("{told:?}") };
                let kv = event.kv().expect("a record");
                assert_eq!((kv.value(), kv.lease()), (key.as_bytes(), lease));
                assert_eq!(kv.mod_revision(), revision);
                renew.keep_alive().await.expect("it asks");
                let said = renewed.message().await.expect("it goes on").expect("it goes on");
                assert_eq!(said.ttl(), 600);
            }
            (client, lease, stream)
        }));
    }
    let mut there = Vec::new();
    for task in tasks {
        there.push(task.await.expect("it is served"));
    }
    let count = |found: etcd_client::GetResponse| found.count();
    let (client, ..) = &mut there[0];
    let all = GetOptions::new().with_all_keys().with_count_only();
    assert_eq!(count(client.get("", Some(all)).await.expect("it reads")), 5_000);
    let peak = server.peak();
    let most = most(256 * MIB, 500, 500, 0);
    assert!(peak <= most, "{peak} of {most}");
    // With a lease go its keys, and nobody else's.
    for (client, lease, stream) in there.iter_mut().step_by(2) {
        client.lease_revoke(*lease).await.expect("it revokes");
        let told = stream.message().await.expect("it goes on").expect("it goes on");
        assert_eq!(told.events().len(), 10);
    }
    let (client, ..) = &mut there[0];
    let all = GetOptions::new().with_all_keys().with_count_only();
    assert_eq!(count(client.get("", Some(all)).await.expect("it reads")), 2_500);
}
