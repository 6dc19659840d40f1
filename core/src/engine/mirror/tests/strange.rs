//! Stores that answer anything at all.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::harness::{DIRECTORY, engine, lost};
use super::laws::error;
use super::viewer::Viewer;
use crate::engine::{Command, Input, Output, Snapshot};
use crate::layout::Scope;
use crate::rng::hash;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{
    EventKind, Header, Key, KeyEvent, KeyValue, Range, RangeReply, Reply, Request, Revision,
    StatusReply, StoreError, WatchReply,
};

/// One turn against a strange store.
#[derive(Clone, Debug)]
pub struct Strange {
    /// Which of the open attempts is answered; `None`: time passes.
    which: Option<u8>,
    pause: Duration,
    answers: Answers,
    /// Whether a check is answered as the copy has it, so that the life goes on after it.
    honest: bool,
}

pub fn strange_life(turns: Vec<Strange>) -> Viewer {
    let mut engine = engine(Tuning { page_limit: 2, ..Tuning::default() });
    let (mut open, mut viewer, mut now) = (BTreeMap::new(), Viewer::default(), Time::ZERO);
    let scope = Scope::AllInstances;
    engine.handle(now, Input::Command(Command::Open { id: DIRECTORY, scope }));
    for turn in turns {
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Send { attempt, request, .. } => drop(open.insert(attempt, (request, 0))),
                Output::Redial { .. } | Output::Introduce { .. } => {}
                Output::Cancel { attempt } => drop(open.remove(&attempt)),
                Output::Event(event) => viewer.see(&event),
            }
        }
        let snapshot = engine.snapshot(DIRECTORY).expect("open");
        viewer.check_told(snapshot);
        now = now + turn.pause;
        let count = open.len().max(1);
        let which = turn.which.and_then(|which| open.iter_mut().nth(usize::from(which) % count));
        let Some((&attempt, (request, said))) = which else {
            engine.handle(now, Input::Tick);
            continue;
        };
        let is_check = matches!(request, Request::Range(Range { sort: Some(_), .. }));
        let reply = if is_check && turn.honest {
            Reply::Range(as_shown(snapshot))
        } else {
            turn.answers.nth_to(request, *said)
        };
        *said += 1;
        if !matches!(reply, Reply::Watch(_)) {
            open.remove(&attempt);
        }
        engine.handle(now, Input::Reply { attempt, reply });
    }
    viewer
}

/// What a check would find if the store had what is shown.
fn as_shown(snapshot: &Snapshot) -> RangeReply {
    let value = |known: u64| {
        let value = VALUES.into_iter().find(|value| hash(value.as_bytes()) == known);
        value.expect("one of them").into()
    };
    let records = snapshot.records.iter().map(|(key, record)| KeyValue {
        key: key.clone(),
        create_revision: record.create_revision,
        mod_revision: record.mod_revision,
        value: value(record.value_hash),
        ..KeyValue::default()
    });
    let unread = snapshot.bad.iter().map(|(key, unread)| KeyValue {
        key: key.clone(),
        mod_revision: unread.mod_revision,
        value: value(unread.value_hash),
        ..KeyValue::default()
    });
    let newest = records.chain(unread).max_by_key(|kv| kv.mod_revision);
    let count = snapshot.records.len() + snapshot.bad.len();
    RangeReply {
        header: Header { revision: snapshot.revision, ..PLAUSIBLE },
        kvs: newest.into_iter().collect(),
        more: count > 1,
        count: i64::try_from(count).expect("few"),
    }
}

#[derive(Debug, Default)]
pub struct Counts {
    pub lists: u128,
    pub pages: u128,
    pub checks: u128,
    pub settles: u128,
    pub watches: u128,
    pub statuses: u128,
    pub probes: u128,
}

impl Counts {
    fn count(&mut self, request: &Request) {
        let count = match request {
            Request::Range(Range { sort: None, revision: Revision::ZERO, .. }) => &mut self.lists,
            Request::Range(Range { sort: None, .. }) => &mut self.pages,
            Request::Range(Range { keys_only: true, .. }) => &mut self.settles,
            Request::Range(_) => &mut self.checks,
            Request::Watch(_) => &mut self.watches,
            Request::Status => &mut self.statuses,
            Request::OnWatch { .. } => &mut self.probes,
            Request::Put(_)
            | Request::Delete(_)
            | Request::Txn(_)
            | Request::Compact(_)
            | Request::Grant(_)
            | Request::Revoke(_)
            | Request::KeepAlive(_)
            | Request::TimeToLive(_)
            | Request::Leases
            | Request::Members
            | Request::Authenticate => panic!("a mirror never asks {request}"),
        };
        *count += 1;
    }
}

/// Answers all that is asked at once and alike.
pub fn constant(tuning: &Tuning, span: Duration, answers: &Answers) -> Counts {
    let mut engine = engine(tuning.clone());
    let mut counts = Counts::default();
    let mut now = Time::ZERO;
    let end = now + span;
    let scope = Scope::AllInstances;
    engine.handle(now, Input::Command(Command::Open { id: DIRECTORY, scope }));
    loop {
        while let Some(output) = engine.poll_output() {
            let Output::Send { attempt, request, .. } = output else { continue };
            counts.count(&request);
            for reply in answers.all_to(&request) {
                engine.handle(now, Input::Reply { attempt, reply });
            }
        }
        match engine.poll_timeout() {
            Some(due) if due <= end => now = due,
            _ => return counts,
        }
        engine.handle(now, Input::Tick);
    }
}

/// What a strange store says to each kind of request.
#[derive(Clone, Debug)]
pub struct Answers {
    range: Reply,
    watch: Vec<Reply>,
    status: Reply,
}

impl Answers {
    /// The answer after `said` others.
    fn nth_to(&self, request: &Request, said: usize) -> Reply {
        let all = self.all_to(request);
        let nth = all.get(said).or(all.last());
        nth.cloned().unwrap_or(Reply::Failed(lost()))
    }

    fn all_to(&self, request: &Request) -> Vec<Reply> {
        match request {
            Request::Range(_) => vec![self.range.clone()],
            Request::Watch(_) => self.watch.clone(),
            Request::Status => vec![self.status.clone()],
            Request::OnWatch { .. } => Vec::new(),
            Request::Put(_)
            | Request::Delete(_)
            | Request::Txn(_)
            | Request::Compact(_)
            | Request::Grant(_)
            | Request::Revoke(_)
            | Request::KeepAlive(_)
            | Request::TimeToLive(_)
            | Request::Leases
            | Request::Members
            | Request::Authenticate => panic!("a mirror never asks {request}"),
        }
    }
}

pub fn strange_turn() -> impl Strategy<Value = Strange> {
    let which = prop_oneof![1 => Just(None), 2 => any::<u8>().prop_map(Some)];
    let honest = prop_oneof![3 => Just(true), 1 => Just(false)];
    (which, 0_u64..4_000, answers(), honest).prop_map(|(which, pause, answers, honest)| Strange {
        which,
        pause: Duration::from_millis(pause),
        answers,
        honest,
    })
}

pub fn answers() -> impl Strategy<Value = Answers> {
    let failed = || strange_error().prop_map(Reply::Failed);
    let range = prop_oneof![
        4 => plausible_range().prop_map(Reply::Range),
        4 => range_reply().prop_map(Reply::Range),
        1 => failed(),
    ];
    let created = WatchReply { header: PLAUSIBLE, created: true, ..WatchReply::default() };
    let first = prop_oneof![
        4 => Just(Reply::Watch(created)),
        2 => watch_reply().prop_map(|reply| Reply::Watch(WatchReply { created: true, ..reply })),
        1 => watch_reply().prop_map(Reply::Watch),
    ];
    let later = prop_oneof![4 => watch_reply().prop_map(Reply::Watch), 1 => failed()];
    let watch = (first, vec(later, 0..4))
        .prop_map(|(first, later)| [first].into_iter().chain(later).collect());
    let version = select(vec!["3.4.30", "3.5.7", "3.6.1", ""]);
    let status = (version, header()).prop_map(|(version, header)| {
        let version = version.to_owned();
        Reply::Status(StatusReply { header, version, ..StatusReply::default() })
    });
    let status = prop_oneof![4 => status, 1 => failed()];
    (range, watch, status).prop_map(|(range, watch, status)| Answers { range, watch, status })
}

fn strange_error() -> impl Strategy<Value = StoreError> {
    prop_oneof![
        error(),
        Just(StoreError::Compacted),
        Just(StoreError::FutureRevision),
        Just(StoreError::AnswerTooLarge { size: 0, limit: u64::MAX }),
        Just(StoreError::GaveUp),
    ]
}

fn revision() -> impl Strategy<Value = Revision> {
    prop_oneof![20 => 0_i64..12, 1 => Just(-1), 1 => Just(i64::MAX), 1 => Just(i64::MIN)]
        .prop_map(Revision)
}

fn header() -> impl Strategy<Value = Header> {
    let ids = (
        prop_oneof![9 => Just(1_u64), 1 => Just(2_u64)],
        prop_oneof![9 => Just(1_u64), 1 => Just(2_u64)],
        prop_oneof![9 => Just(3_u64), 1 => 0_u64..5],
    );
    (ids, revision()).prop_map(|((cluster_id, member_id, raft_term), revision)| Header {
        cluster_id,
        member_id,
        revision,
        raft_term,
    })
}

const PLAUSIBLE: Header =
    Header { cluster_id: 1, member_id: 1, revision: Revision(6), raft_term: 3 };

const VALUES: [&str; 4] = [r#"{"Addr":"h:1"}"#, r#"{"Addr":"h:2"}"#, "{", ""];

/// Fits as a whole list and as the answer to a check after it.
fn plausible_range() -> impl Strategy<Value = RangeReply> {
    vec(kv(), 0..2).prop_map(|mut kvs| {
        for kv in &mut kvs {
            kv.key = "shop/cart/a".into();
            kv.mod_revision = kv.mod_revision.clamp(Revision(1), PLAUSIBLE.revision);
        }
        let count = i64::try_from(kvs.len()).expect("few");
        RangeReply { header: PLAUSIBLE, kvs, more: false, count }
    })
}

fn kv() -> impl Strategy<Value = KeyValue> {
    let keys = ["shop/cart/a", "shop/cart/b", "shop/cart/", "shop/leader", "elsewhere", ""];
    let names = (select(keys.to_vec()), select(VALUES.to_vec()));
    (names, revision(), revision()).prop_map(|((key, value), create_revision, mod_revision)| {
        KeyValue {
            key: Key::from(key),
            create_revision,
            mod_revision,
            version: 1,
            value: value.into(),
            lease: None,
        }
    })
}

fn range_reply() -> impl Strategy<Value = RangeReply> {
    let kvs = (vec(kv(), 0..4), any::<bool>()).prop_map(|(mut kvs, sorted)| {
        if sorted {
            kvs.sort_by(|a, b| a.key.cmp(&b.key));
            kvs.dedup_by(|a, b| a.key == b.key);
        }
        kvs
    });
    let count = prop_oneof![9 => 0_i64..5, 1 => any::<i64>()];
    (header(), kvs, any::<bool>(), count).prop_map(|(header, kvs, more, count)| RangeReply {
        header,
        kvs,
        more,
        count,
    })
}

fn watch_reply() -> impl Strategy<Value = WatchReply> {
    let event = (any::<bool>(), kv()).prop_map(|(put, kv)| KeyEvent {
        kind: if put { EventKind::Put } else { EventKind::Delete },
        kv,
        prev: None,
    });
    let events = (vec(event, 0..5), any::<bool>()).prop_map(|(mut events, sorted)| {
        if sorted {
            events.sort_by_key(|event| event.kv.mod_revision);
        }
        events
    });
    let watch_id = prop_oneof![8 => Just(0_i64), 2 => Just(-1_i64), 1 => any::<i64>()];
    let canceled = prop_oneof![9 => Just(false), 1 => Just(true)];
    let compact_revision = prop_oneof![9 => Just(Revision::ZERO), 1 => revision()];
    let reasons = ["", "etcdserver: permission denied", "etcdserver: no leader", "?"];
    let reason = select(reasons.to_vec());
    let flags = (any::<bool>(), prop_oneof![9 => Just(false), 1 => Just(true)]);
    (header(), watch_id, canceled, compact_revision, reason, flags, events).prop_map(
        |(header, watch_id, canceled, compact_revision, reason, (fragment, created), events)| {
            WatchReply {
                header,
                watch_id,
                created,
                canceled,
                compact_revision,
                cancel_reason: reason.to_owned(),
                fragment,
                events,
            }
        },
    )
}
