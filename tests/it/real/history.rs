//! All that ever happened below a prefix, as another client than ours tells it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use etcd_client::{Client, EventType, WatchOptions, WatchStream};
use tokio::task::JoinHandle;

/// One event of the store.
#[derive(Debug)]
pub struct Event {
    pub revision: i64,
    pub key: String,
    /// What was written; `None`: it was deleted, or went with its lease.
    pub now: Option<Kv>,
    /// What stood there.
    pub before: Option<Kv>,
}

#[derive(Debug)]
pub struct Kv {
    pub value: String,
    pub lease: i64,
}

/// What a read shows: keys and their mod revisions.
pub async fn content(url: &str, prefix: &str) -> Vec<(String, i64)> {
    let mut client = connect(url).await;
    let options = etcd_client::GetOptions::new().with_prefix();
    let answer = client.get(prefix, Some(options)).await.expect("it is read");
    let kvs = answer.kvs().iter();
    kvs.map(|kv| (kv.key_str().expect("UTF-8").to_owned(), kv.mod_revision())).collect()
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
        let options =
            WatchOptions::new().with_prefix().with_prev_key().with_start_revision(revision);
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
        connect(url).await.put(self.last, "", None).await.expect("it is put");
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

async fn connect(url: &str) -> Client {
    Client::connect([url], None).await.expect("etcd is there")
}

fn read(kv: &etcd_client::KeyValue) -> Kv {
    Kv { value: kv.value_str().expect("UTF-8").to_owned(), lease: kv.lease() }
}
