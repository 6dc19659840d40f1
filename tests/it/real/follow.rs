//! Followers on real etcd: each change once and in order, held against what etcd itself tells of its
//! history, or declared missing.

mod epochs;
mod writer;

use std::collections::BTreeMap;

use portolan::{EventKind, Followed, Follower, Gap, KeyEvent, KeyValue, Registry, Tuning};
use portolan_core::waist::Request;

use self::writer::{PREFIX, Writer};
use super::history::{self, Event, Kv};
use super::proxy::Proxy;
use super::raw::{Raw, put};
use super::{etcd, etcdctl, registry, registry_at, soon};

type Content = BTreeMap<String, Kv>;

async fn next(follower: &mut Follower) -> Followed {
    soon("told", follower.next()).await.expect("the registry is open")
}

/// Where it begins.
async fn begun(follower: &mut Follower) -> i64 {
    let Followed::Begun { revision } = next(follower).await else { panic!("it begins first") };
    revision.0
}

/// All that is told until continuity breaks: after which revision, and why if not by lagging.
async fn until_broken(follower: &mut Follower) -> (Vec<Event>, i64, Option<Gap>) {
    let mut told = Vec::new();
    loop {
        match next(follower).await {
            Followed::Changes { events } => take(&mut told, events),
            Followed::Lagged { after } => return (told, after.0, None),
            Followed::Gap { after, why } => return (told, after.0, Some(why)),
            other @ (Followed::Begun { .. } | Followed::Listed { .. }) => panic!("{other:?}"),
        }
    }
}

/// All that is told up to a change of the key `last`, without a break.
async fn until(follower: &mut Follower, last: &str) -> Vec<Event> {
    let mut told = Vec::new();
    while told.last().is_none_or(|event: &Event| event.key != last) {
        let Followed::Changes { events } = soon(last, next(follower)).await else {
            panic!("only changes come before {last}");
        };
        take(&mut told, events);
    }
    told
}

/// A whole list, told in parts of at most so many records: its revision and what it has.
async fn listed(follower: &mut Follower, most: usize) -> (i64, Content) {
    let (mut at, mut all) = (None, Content::new());
    loop {
        let Followed::Listed { revision, first, complete, records } = next(follower).await else {
            panic!("a list comes next, whole");
        };
        assert_eq!(first, at.is_none(), "one list");
        assert_eq!(*at.get_or_insert(revision), revision, "of one revision");
        assert!(records.len() <= most, "{} records", records.len());
        for record in records {
            assert!(all.insert(text(&record.key), kv(&record)).is_none(), "each record once");
        }
        if complete {
            return (revision.0, all);
        }
    }
}

fn take(told: &mut Vec<Event>, events: Vec<KeyEvent>) {
    assert!(!events.is_empty(), "nothing is told as a change");
    let before = told.last().map_or(0, |event| event.revision);
    assert!(before < events[0].kv.mod_revision.0, "a revision is not divided");
    told.extend(events.into_iter().map(|event| Event {
        revision: event.kv.mod_revision.0,
        key: text(&event.kv.key),
        now: (event.kind == EventKind::Put).then(|| kv(&event.kv)),
        before: event.prev.as_ref().map(kv),
    }));
}

fn kv(record: &KeyValue) -> Kv {
    let &KeyValue { create_revision, mod_revision, version, .. } = record;
    Kv {
        value: text(&record.value),
        lease: record.lease.map_or(0, portolan::LeaseId::get),
        times: (create_revision.0, mod_revision.0, version),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// What was told is what came to pass, and all of it.
fn is_all(told: &[Event], truth: &[Event]) {
    let pairs = told.iter().zip(truth);
    for (at, (told, truth)) in pairs.enumerate() {
        assert_eq!(told, truth, "the change no. {at}");
    }
    assert_eq!(told.len(), truth.len(), "as many");
}

fn after(revision: i64, events: &[Event]) -> &[Event] {
    &events[events.partition_point(|event| event.revision <= revision)..]
}

/// From now on and from the first revision on, while the way to etcd is cut and etcd is killed and
/// stopped, with much written at all those times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_is_told_once_and_in_order_whatever_breaks() {
    let mut etcd = etcd();
    let url = etcd.client_url();
    let proxy = Proxy::start(etcd.client_port()).await;
    // More than what etcd tells of its history in one message (row W8).
    let puts = (0..2_300).map(|n| Request::Put(put(format!("{PREFIX}old-{}", n % 50), "", None)));
    Raw::of(&etcd).all(puts).await;
    let mut writer = Writer::at(&url).await;
    let (direct, behind) = (registry(&etcd), registry_at(&proxy.url()));
    let followers = [
        direct.follow(PREFIX),
        direct.follow_from(PREFIX, portolan::Revision(1)),
        behind.follow(PREFIX),
        behind.follow_from(PREFIX, portolan::Revision(1)),
    ];
    let last = format!("{PREFIX}last");
    let readers = followers.map(|mut follower| {
        let last = last.clone();
        tokio::spawn(async move {
            let begins = begun(&mut follower).await;
            (begins, until(&mut follower, &last).await)
        })
    });
    for round in 0..6 {
        writer.write(40).await;
        proxy.cut();
        writer.write(40).await;
        match round % 3 {
            0 => {}
            1 => etcd.restart().expect("it starts"),
            _ => {
                etcd.stop().expect("it ends");
                etcd.launch().expect("it starts");
                etcd.wait_healthy(super::SOON).expect("it is well");
            }
        }
        writer.reconnect().await;
        writer.write(20).await;
        proxy.heal();
        writer.write(20).await;
    }
    writer.put(&last, "").await;
    let mut all = Vec::new();
    for (reader, from_start) in readers.into_iter().zip([false, true, false, true]) {
        let (begins, told) = soon("read", reader).await.expect("it reads to the end");
        assert!(if from_start { begins <= 1 } else { begins > 2_300 }, "{begins}");
        all.push((begins, told));
    }
    let truth = history::history(&url, PREFIX).await;
    assert!(truth.len() > 2_300 + 500, "{} changes are too few", truth.len());
    let deletes = truth.iter().filter(|event| event.now.is_none()).count();
    assert!(deletes > 100, "{deletes} deletes are too few");
    for (begins, told) in all {
        is_all(&told, after(begins, &truth));
    }
    assert!(direct.shutdown().await && behind.shutdown().await);
}

#[tokio::test]
async fn what_was_compacted_while_it_was_cut_off_is_declared_missing() {
    let etcd = etcd();
    let url = etcd.client_url();
    let proxy = Proxy::start(etcd.client_port()).await;
    let registry = registry_at(&proxy.url());
    let mut writer = Writer::at(&url).await;
    writer.write(50).await;
    let mut follower = registry.follow(PREFIX);
    let begins = begun(&mut follower).await;
    writer.write(50).await;
    let seen = writer.mark().await;
    let told = until(&mut follower, &seen).await;
    is_all(&told, after(begins, &history::history(&url, PREFIX).await));

    proxy.cut();
    writer.write(50).await;
    let compacted = writer.revision().await;
    writer.write(20).await;
    etcdctl(&etcd, &["compact", &compacted.to_string()]);
    proxy.heal();
    let (told, gap_after, why) = until_broken(&mut follower).await;
    // The end of the history that was read above stands after the mark.
    assert!(told.len() <= 1, "nothing but what was told before the cut: {told:?}");
    assert_eq!(why, Some(Gap::Compacted));
    assert!(gap_after < compacted, "{gap_after}");
    let (at, content) = listed(&mut follower, usize::MAX).await;
    assert!(at >= compacted);
    assert_eq!(content, history::content_at(&url, PREFIX, at).await);

    let telling = history::Telling::from(&url, PREFIX, at + 1).await;
    writer.write(100).await;
    let seen = writer.mark().await;
    let told = until(&mut follower, &seen).await;
    let truth: Vec<_> = telling.end(&url).await.into_iter().map(|(_, event)| event).collect();
    is_all(&told, &truth);
    assert!(registry.shutdown().await);
}

#[tokio::test]
async fn who_does_not_read_is_told_so_and_holds_up_nobody() {
    const EVENTS: u32 = 20;
    const BYTES: u32 = 9_000;
    let etcd = etcd();
    let url = etcd.client_url();
    let tuning = Tuning { follow_events: EVENTS, follow_bytes: BYTES, ..Tuning::default() };
    let registry = Registry::builder().endpoints([&url]).tuning(tuning).build();
    let registry = registry.expect("an address");
    let mut writer = Writer::at(&url).await;
    let mut reading = registry.follow(PREFIX);
    let begins = begun(&mut reading).await;
    // One fills its window with many changes, the other with few large ones.
    for (size, most) in [(10, EVENTS), (1_000, BYTES / 1_000)] {
        let mut idle = registry.follow(PREFIX);
        let idle_begins = begun(&mut idle).await;
        let mut told = Vec::new();
        for number in 0..100 {
            let key = format!("{PREFIX}{}", number % 30);
            writer.put(&key, &"v".repeat(size)).await;
            told.extend(until(&mut reading, &key).await);
        }
        let truth = history::history(&url, PREFIX).await;
        // The reader of everything has read on, but for the end of that history.
        let end = until_one_more(&mut reading).await;
        assert!(end.key.contains("the-end-of-history"), "{end:?}");
        let news = after(idle_begins, &truth);
        is_all(&told, &news[news.len() - 100..]);

        let (late, lagged_after, why) = until_broken(&mut idle).await;
        assert_eq!(why, None, "it lagged");
        assert!(!late.is_empty() && late.len() <= most as usize, "{} were held", late.len());
        is_all(&late, &news[..late.len()]);
        assert_eq!(late.last().map(|event| event.revision), Some(lagged_after));
        let (at, content) = listed(&mut idle, most as usize).await;
        assert_eq!(content, history::content_at(&url, PREFIX, at).await);

        let mark = writer.mark().await;
        let (now, late) = (until(&mut reading, &mark).await, until(&mut idle, &mark).await);
        assert_eq!(late, now, "and on from there");
    }
    assert!(begins > 0);
    assert!(registry.shutdown().await);
}

async fn until_one_more(follower: &mut Follower) -> Event {
    let Followed::Changes { events } = next(follower).await else { panic!("a change comes") };
    let mut told = Vec::new();
    take(&mut told, events);
    told.pop().expect("one")
}
