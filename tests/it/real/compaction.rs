//! A compaction at every point of the main job.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use portolan::{Registry, Tuning};
use portolan_kit::Etcd;

use super::wire::{Seen, Wire};
use super::{content, etcd, etcdctl, register, seen, settles, soon};

/// Compacts all that there is, and a revision that nobody has seen yet with it.
fn compact(etcd: &Etcd) {
    let text = etcdctl(etcd, &["put", "elsewhere", "", "--write-out=fields"]);
    let start = "\"Revision\" : ";
    let revision = text.lines().find_map(|line| line.strip_prefix(start)).expect("it is told");
    etcdctl(etcd, &["compact", revision]);
}

/// Registers, lists, follows, is cut off, goes on; `true`: the compaction came to pass.
async fn run(etcd: &Arc<Etcd>, group: &str, number: usize, answered: bool) -> bool {
    let compacted = Arc::new(AtomicUsize::new(0));
    let look = {
        let (etcd, compacted) = (etcd.clone(), compacted.clone());
        move |seen: &Seen| {
            if (seen.number, seen.answered) == (number, answered) {
                compact(&etcd);
                compacted.fetch_add(1, Relaxed);
            }
        }
    };
    let wire = Wire::looked_at(&etcd.client_url(), look).await;
    let tuning = Tuning {
        backoff_base: Duration::from_millis(10),
        backoff_cap: Duration::from_millis(100),
        quarantine_base: Duration::from_millis(10),
        quarantine_cap: Duration::from_millis(100),
        ..Tuning::default()
    };
    // It draws the same pauses each time, so that the requests are the same.
    let registry = Registry::builder().endpoints([wire.url()]).tuning(tuning).seed(7).build();
    let registry = registry.expect("an address");
    let web = registry.group(group).expect("a name");
    let mut kept = register(&web, "a");
    soon("registered", kept.ready()).await.expect("it stands");
    let directory = web.directory();
    seen("one", &directory, |snapshot| snapshot.is_live() && snapshot.len() == 1).await;
    wire.cut();
    etcdctl(etcd, &["put", &format!("/portolan/instances/{group}/other"), r#"{"v":1}"#]);
    wire.heal();
    let prefix = format!("/portolan/instances/{group}/");
    settles(etcd, &directory, &prefix).await;
    let again = web.instance("a").expect("a name").label("run", "2").build().expect("an instance");
    kept.update(again).expect("it is taken");
    soon("registered", kept.ready()).await.expect("it stands");
    settles(etcd, &directory, &prefix).await;
    assert_eq!(directory.snapshot().len(), 2);
    soon("removed", kept.deregister()).await.expect("it is confirmed");
    settles(etcd, &directory, &prefix).await;
    assert!(registry.shutdown().await);
    let left: Vec<_> = content(etcd, &prefix).into_keys().collect();
    assert_eq!(left, [format!("{prefix}other")]);
    compacted.load(Relaxed) > 0
}

#[tokio::test]
async fn compacted_before_and_after_each_request() {
    let etcd = Arc::new(etcd());
    for answered in [false, true] {
        // The requests of one run, and how many they are, depend on what happens in it.
        let mut number = 0;
        while run(&etcd, &format!("group-{answered}-{number}"), number, answered).await {
            number += 1;
            assert!(number < 60, "the runs become no end");
        }
        assert!(number >= 10, "{number} requests are too few for all this");
    }
}
