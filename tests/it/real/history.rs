//! All that ever happened below a prefix, as another client than ours tells it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use etcd_client::{Client, Error, EventType, GetOptions, WatchOptions, WatchStream};
use tokio::task::JoinHandle;

/// One event of the store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    pub revision: i64,
    pub key: String,
    /// What was written; `None`: it was deleted, or went with its lease.
    pub now: Option<Kv>,
    /// What stood there.
    pub before: Option<Kv>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kv {
    pub value: String,
    pub lease: i64,
    /// When it was put first, when last, and how often.
    pub times: (i64, i64, i64),
}

/// What a read shows: keys and their mod revisions.
pub async fn content(url: &str, prefix: &str) -> Vec<(String, i64)> {
    let client = connect(url).await;
    let answer = patiently(|| {
        let options = GetOptions::new().with_prefix();
        let mut client = client.clone();
        async move { client.get(prefix, Some(options)).await }
    });
    let answer = answer.await;
    let kvs = answer.kvs().iter();
    kvs.map(|kv| (kv.key_str().expect("UTF-8").to_owned(), kv.mod_revision())).collect()
}

/// What stood below `prefix` at a revision.
pub async fn content_at(url: &str, prefix: &str, revision: i64) -> BTreeMap<String, Kv> {
    let options = GetOptions::new().with_prefix().with_revision(revision);
    let answer = connect(url).await.get(prefix, Some(options)).await.expect("it has that");
    let kvs = answer.kvs().iter();
    kvs.map(|kv| (kv.key_str().expect("UTF-8").to_owned(), read(kv))).collect()
}

/// Every event below `prefix` since the first revision; nothing was compacted. Writes one key there,
/// to know when it has come to the end.
pub async fn history(url: &str, prefix: &str) -> Vec<Event> {
    let telling = Telling::from(url, prefix, 1).await;
    telling.end(url).await.into_iter().map(|(_, event)| event).collect()
}

/// Events as they come, with the moment of each.
pub struct Telling {
    last: String,
    task: JoinHandle<Vec<(Instant, Event)>>,
}

impl Telling {
    /// Begins with this revision.
    pub async fn from(url: &str, prefix: &str, revision: i64) -> Self {
        let mut client = connect(url).await;
        let last = new_last(prefix);
        let options = WatchOptions::new()
            .with_prefix()
            .with_prev_key()
            .with_start_revision(revision)
            .with_fragment();
        let mut watch = client.watch(prefix, Some(options)).await.expect("it is watched");
        let end = last.clone();
        let task = tokio::spawn(async move {
            let mut events = Vec::new();
            while !collect(&mut watch, &last, |event| events.push((Instant::now(), event))).await {}
            events
        });
        Self { last: end, task }
    }

    /// All until now.
    pub async fn end(self, url: &str) -> Vec<(Instant, Event)> {
        let client = connect(url).await;
        patiently(|| {
            let (mut client, last) = (client.clone(), self.last.clone());
            async move { client.put(last, "", None).await }
        })
        .await;
        self.task.await.expect("it ends well")
    }
}

/// One answer of a watch; true: that was the last one.
async fn collect(watch: &mut WatchStream, last: &str, mut take: impl FnMut(Event)) -> bool {
    let message = watch.message().await.expect("it goes on").expect("it goes on");
    assert!(!message.canceled(), "cancelled: {:?}", message.cancel_reason());
    for event in message.events() {
        let kv = event.kv().expect("an event has a key");
        let key = kv.key_str().expect("UTF-8").to_owned();
        if key == last {
            return true;
        }
        let now = (event.event_type() == EventType::Put).then(|| read(kv));
        take(Event { revision: kv.mod_revision(), key, now, before: event.prev_kv().map(read) });
    }
    false
}

/// A key that nobody has written yet.
fn new_last(prefix: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{prefix}the-end-of-history-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A cluster that has just come back may refuse at first: its leader changes.
async fn patiently<T, F: Future<Output = Result<T, Error>>>(mut ask: impl FnMut() -> F) -> T {
    const TRIES: u32 = 100;
    for _ in 1..TRIES {
        if let Ok(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ask().await.expect("it answers after 10 s")
}

pub async fn connect(url: &str) -> Client {
    Client::connect([url], None).await.expect("etcd is there")
}

fn read(kv: &etcd_client::KeyValue) -> Kv {
    Kv {
        value: kv.value_str().expect("UTF-8").to_owned(),
        lease: kv.lease(),
        times: (kv.create_revision(), kv.mod_revision(), kv.version()),
    }
}
