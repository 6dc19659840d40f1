//! Much at a time: a lease of very many keys, a long catch-up, a reader that does not read.

use std::collections::BTreeMap;

use portolan::{Change, Changes, Key, Record, Registry, Tuning};
use portolan_core::waist::{KeyRange, Reply, Request, Revision, Revoke, Watch};

use super::raw::{Raw, put, together};
use super::wire::Wire;
use super::{content, etcd, register, registry, registry_at, seen, settles, shown, soon};

/// What a reader has made of all the differences that it was told.
type Folded = BTreeMap<Key, std::sync::Arc<Record>>;

fn fold(folded: &mut Folded, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Added { key, record } => {
                assert!(folded.insert(key, record).is_none(), "added twice");
            }
            Change::Updated { key, record, before } => {
                assert_eq!(folded.insert(key, record), Some(before));
            }
            Change::Removed { key, before } => assert_eq!(folded.remove(&key), Some(before)),
        }
    }
}

/// Reads until it has seen what is at `revision`; says in how many steps.
async fn read_to(changes: &mut Changes, folded: &mut Folded, revision: Revision) -> usize {
    let mut steps = 0;
    while changes.seen().revision() < revision {
        let difference = changes.next().await.expect("it is open");
        fold(folded, difference.changes);
        steps += 1;
    }
    steps
}

/// The watch message is larger than what gRPC takes by default.
#[tokio::test]
async fn fifty_thousand_keys_end_at_once() {
    const KEYS: usize = 50_000;
    let etcd = etcd();
    let mut raw = Raw::of(&etcd);
    let lease = raw.grant(600).await;
    // Long names: the deletes alone make up the message.
    let key = |n: usize| format!("/portolan/instances/web/{n:060}");
    let puts = (0..KEYS).map(|n| put(key(n), r#"{"v":1}"#, Some(lease))).collect::<Vec<_>>();
    raw.all(puts.chunks(120).map(|some| together(some.to_vec()))).await;
    let wire = Wire::start(&etcd.client_url()).await;
    let theirs = registry_at(&wire.url());
    let directory = theirs.group("web").expect("a name").directory();
    seen("all", &directory, |snapshot| snapshot.is_live() && snapshot.len() == KEYS).await;
    let marker = Request::Put(put("/portolan/instances/web/last".into(), r#"{"v":1}"#, None));
    raw.all([marker]).await;
    seen("followed", &directory, |snapshot| snapshot.len() == KEYS + 1).await;
    let (watches, total) = (wire.count("Watch"), wire.total());
    let mut changes = directory.changes();
    changes.next().await.expect("it is open");
    raw.all([Request::Revoke(Revoke { lease })]).await;
    let steps = soon("none", async {
        let (mut changes, mut steps) = (changes, 0);
        while changes.seen().len() != 1 {
            changes.next().await.expect("it is open");
            steps += 1;
        }
        steps
    });
    assert_eq!(steps.await, 1, "one revision is one step, in however many parts it came");
    assert_eq!(wire.count("Watch"), watches, "the watch goes on");
    assert!(wire.total() <= total + 3, "nothing is listed again");
    assert!(theirs.shutdown().await);
}

#[tokio::test]
async fn a_long_catch_up_comes_in_parts() {
    const REVISIONS: usize = 60;
    let etcd = etcd();
    let mut raw = Raw::of(&etcd);
    let key = |n: usize| format!("/portolan/instances/web/{n}");
    raw.all([Request::Put(put(key(0), r#"{"v":1}"#, None))]).await;
    let wire = Wire::start(&etcd.client_url()).await;
    // So that a list would take many reads.
    let tuning = Tuning { page_limit: 5, ..Tuning::default() };
    let theirs = Registry::builder().endpoints([wire.url()]).tuning(tuning);
    let theirs = theirs.build().expect("an address");
    let directory = theirs.group("web").expect("a name").directory();
    let first = seen("one", &directory, |s| s.is_live() && s.len() == 1).await;
    let mut changes = directory.changes();
    let mut folded = Folded::new();
    read_to(&mut changes, &mut folded, first.revision()).await;
    wire.cut();
    seen("stale", &directory, |snapshot| !snapshot.is_live()).await;
    let large = |n: usize| format!(r#"{{"v":1,"more":"{}"}}"#, format!("{n:04}").repeat(25_000));
    for n in 0..REVISIONS {
        raw.all([Request::Put(put(key(n % 40), large(n), None))]).await;
    }
    let listed = wire.count("Range");
    wire.heal();
    settles(&etcd, &directory, "/portolan/instances/web/").await;
    let snapshot = directory.snapshot();
    assert_eq!(snapshot.len(), 40);
    read_to(&mut changes, &mut folded, snapshot.revision()).await;
    let now: Folded = snapshot.records().iter().map(|(k, r)| (k.clone(), r.clone())).collect();
    assert_eq!(folded, now);
    // The check of the new watch, and a probe or two.
    let asked = wire.count("Range") - listed;
    assert!(asked < snapshot.len() / 5, "{asked} reads to catch up: it was listed anew");
    // That it comes in parts is etcd's doing; here is the witness.
    let watch = Watch { fragment: true, ..Watch::of(KeyRange::prefix("/portolan/"), Revision(3)) };
    let mut parts = 0;
    let mut reply = raw.ask(Request::Watch(watch)).await;
    while let Reply::Watch(part) = reply {
        parts += usize::from(part.fragment);
        if !part.created && !part.fragment && !part.events.is_empty() {
            break;
        }
        reply = raw.more().await;
    }
    assert!(parts >= 2, "{parts} parts");
    assert!(theirs.shutdown().await);
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_up_nobody() {
    const CHANGES: usize = 10_000;
    const KEYS: usize = 50;
    let etcd = etcd();
    let ours: Registry = registry(&etcd);
    let web = ours.group("web").expect("a name");
    let registration = register(&web, "kept");
    soon("registered", registration.ready()).await.expect("it stands");
    let directory = web.directory();
    let first = seen("one", &directory, |snapshot| snapshot.len() == 1).await;
    let (mut slow, mut behind) = (directory.changes(), Folded::new());
    read_to(&mut slow, &mut behind, first.revision()).await;
    let before = registration.state();

    let (mut fast, mut ahead) = (directory.changes(), Folded::new());
    let reader = tokio::spawn(async move {
        let mut steps = 0;
        // The last key of all is written when all others are.
        while !ahead.keys().any(|key| key.to_string().ends_with("/last")) {
            fold(&mut ahead, fast.next().await.expect("it is open").changes);
            steps += 1;
        }
        (steps, ahead)
    });
    let mut raw = Raw::of(&etcd);
    let key = |n: usize| format!("/portolan/instances/web/{}", n % KEYS);
    let writes = (0..CHANGES).map(|n| Request::Put(put(key(n), r#"{"v":1}"#, None)));
    raw.all(writes).await;
    raw.all([Request::Put(put("/portolan/instances/web/last".into(), r#"{"v":1}"#, None))]).await;
    let (steps, ahead) = soon("all is read", reader).await.expect("nothing was amiss");
    assert!(steps > 10, "{steps} steps: the fast one followed");
    let snapshot = directory.snapshot();
    assert_eq!(shown(&snapshot), content(&etcd, "/portolan/instances/web/"));

    // Nothing was kept for it: what it is told is the difference between two contents.
    assert_eq!(slow.seen().revision(), first.revision());
    let difference = slow.next().await.expect("it is open");
    assert_eq!(difference.changes.len(), KEYS + 1, "one for each key, not for each change");
    fold(&mut behind, difference.changes);
    assert_eq!(behind, ahead);
    assert_eq!(registration.state(), before, "the same record on the same lease");
    assert!(ours.shutdown().await);
}
