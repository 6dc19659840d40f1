use std::time::Duration;

use portolan_core::waist::{
    KeepAlive, KeyRange, Reply, Request, Revision, StoreError, Watch, WatchReply, WatchSay,
};
use portolan_kit::Etcd;

use crate::harness::{Driver, PATIENCE, etcd, get, metric, put};

fn watch(keys: KeyRange) -> Request {
    Request::Watch(Watch::of(keys, Revision::ZERO))
}

fn told(reply: Reply) -> WatchReply {
    let Reply::Watch(reply) = reply else { panic!("a watch was told {reply:?}") };
    reply
}

#[tokio::test]
async fn one_stream_carries_many_watches() {
    let etcd = etcd();
    let mut driver = Driver::of(&etcd);
    let stream = driver.submit(watch(KeyRange::one("a")));
    // Said before the stream is open; kept in order.
    let more = Watch { id: 5, ..Watch::of(KeyRange::one("b"), Revision::ZERO) };
    driver.submit(Request::OnWatch { stream, say: WatchSay::Create(more) });
    let first = told(driver.answer(stream).await);
    let second = told(driver.answer(stream).await);
    assert_eq!((first.created, first.watch_id), (true, 0));
    assert_eq!((second.created, second.watch_id), (true, 5));

    driver.put("b", b"1").await;
    let event = told(driver.answer(stream).await);
    assert_eq!((event.watch_id, event.events.len()), (5, 1));

    driver.submit(Request::OnWatch { stream, say: WatchSay::Progress });
    let progress = told(driver.answer(stream).await);
    assert_eq!((progress.watch_id, progress.events.len()), (-1, 0));

    driver.submit(Request::OnWatch { stream, say: WatchSay::Cancel { id: 5 } });
    let cancelled = told(driver.answer(stream).await);
    assert_eq!((cancelled.watch_id, cancelled.canceled), (5, true));
    assert_eq!(watchers(&etcd), 1);

    // A cancelled attempt ends its stream at the server, and is not heard of any more.
    driver.cancel(stream);
    driver.submit(Request::OnWatch { stream, say: WatchSay::Progress });
    driver.put("a", b"1").await;
    while watchers(&etcd) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(driver.next_within(Duration::from_millis(100)).await, None);
}

/// While nobody takes watch data in, renewals and calls are answered, and the data waits at the
/// server, not here.
#[tokio::test]
async fn watch_data_holds_nothing_else_up() {
    let etcd = etcd();
    let mut driver = Driver::of(&etcd);
    let lease = driver.grant(1).await;
    for n in 0..40 {
        driver.put(&format!("big/{n:02}"), &vec![7; 1 << 20]).await;
    }
    // 40 MB of history to each of three streams, far above all windows and queues.
    let keys = KeyRange::prefix("big/");
    let streams: Vec<_> = (0..3)
        .map(|_| {
            let watch = Watch { fragment: true, ..Watch::of(keys.clone(), Revision(2)) };
            driver.submit(Request::Watch(watch))
        })
        .collect();
    // Until the queue is full.
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The runtime does nothing between these two, so this is all that was taken in: of some 60
    // messages the queue's 16, while the rest waits in the sockets and at the server.
    let taken = driver.take_what_is_there();
    assert!((8..=16).contains(&taken), "{taken}");
    tokio::time::sleep(Duration::from_secs(1)).await;

    // The queue of watch data is full of answers that came long before these.
    for request in [Request::KeepAlive(KeepAlive { lease }), get("a"), Request::Status] {
        let attempt = driver.submit(request);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (answered, reply) = driver.first().await;
        assert_eq!(answered, attempt, "{reply:?}");
    }
    for stream in streams {
        let mut told_of = 0;
        while told_of < 40 {
            let reply = told(driver.answer(stream).await);
            for event in &reply.events {
                assert_eq!(event.kv.key, format!("big/{told_of:02}").into());
                told_of += 1;
            }
        }
    }
}

/// Dropped or closed, a backend leaves nothing running: neither what it started itself nor what
/// its connections did.
#[tokio::test]
async fn nothing_is_left_running() {
    let mut etcd = etcd();
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for stopped in [false, true] {
        let mut driver = Driver::of(&etcd);
        let lease = driver.grant(1 + i64::from(stopped)).await;
        driver.ask(Request::KeepAlive(KeepAlive { lease })).await;
        let stream = driver.submit(watch(KeyRange::all()));
        driver.answer(stream).await;
        if stopped {
            // Calls that nobody answers, a stream whose server stands still.
            etcd.pause().expect("pause");
        }
        driver.submit(Request::Put(put("a", b"1")));
        driver.submit(Request::KeepAlive(KeepAlive { lease }));
        tokio::task::yield_now().await;
        assert!(driver.backend.tasks_alive() > 4, "{}", driver.backend.tasks_alive());
        let closing = driver.backend.close();
        tokio::time::timeout(PATIENCE, closing).await.expect("everything ends at once");
        assert_eq!(alive(), 0);
    }
    etcd.resume().expect("resume");
    drop(Driver::of(&etcd));
    while alive() > 0 {
        tokio::task::yield_now().await;
    }
}

/// What the server says of how many it serves.
fn watchers(etcd: &Etcd) -> u64 {
    metric(etcd, "etcd_debugging_mvcc_watcher_total ")
}

#[tokio::test]
async fn a_failed_watch_is_told_once() {
    let mut etcd = etcd();
    let mut driver = Driver::of(&etcd);
    let stream = driver.submit(watch(KeyRange::all()));
    driver.answer(stream).await;
    etcd.kill().expect("kill");
    let reply = driver.answer(stream).await;
    assert!(matches!(reply, Reply::Failed(StoreError::ConnectionLost { .. })), "{reply:?}");
    driver.submit(Request::OnWatch { stream, say: WatchSay::Progress });
    assert_eq!(driver.next_within(Duration::from_millis(100)).await, None);
}
