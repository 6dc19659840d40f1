//! Drives an engine with one follower by hand.

use std::time::Duration;

use crate::engine::harness::Harness;
use crate::engine::{Command, FollowId, FollowSeq, Setup};
use crate::layout::Layout;
use crate::tuning::Tuning;
use crate::waist::{
    EventKind, Header, KeyEvent, KeyRange, KeyValue, OpReply, RangeReply, Reply, Revision,
    StatusReply, StoreError, TxnReply, WatchReply,
};

pub const FOLLOW: FollowId = FollowId(1);

pub fn setup(tuning: Tuning) -> Setup {
    let layout = Layout::etcd_naming("shop").expect("a root");
    Setup { layout, tuning, members: 1, authenticates: false, seed: 1 }
}

/// A follower of what begins with `k`, pages of two, no jitter.
pub fn start(tuning: Tuning, from: Option<i64>) -> Harness {
    let tuning = Tuning { jitter_percent: 0, ..tuning };
    let mut harness = Harness::with(setup(tuning));
    let (keys, from) = (KeyRange::prefix("k"), from.map(Revision));
    harness.command(Command::Follow { id: FOLLOW, keys, from });
    harness
}

/// Follows from 7 on, where `b@7` is all there is; the watch is #2.
pub fn followed(tuning: Tuning) -> Harness {
    let mut harness = start(tuning, None);
    harness.reply(1, counted(7, 1, put("b", 4, 7))).reply(2, created(7));
    harness.reply(3, counted(7, 1, put("b", 4, 7)));
    harness
}

impl Harness {
    pub fn acknowledge(&mut self, seq: u64) -> &mut Self {
        self.command(Command::Acknowledge { id: FOLLOW, seq: FollowSeq(seq) })
    }
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub const fn header(revision: i64) -> Header {
    Header { cluster_id: 0xc, member_id: 0xa, revision: Revision(revision), raft_term: 2 }
}

pub fn put(id: &str, create: i64, modified: i64) -> KeyEvent {
    let kv = KeyValue {
        key: format!("k/{id}").into(),
        create_revision: Revision(create),
        mod_revision: Revision(modified),
        version: 1,
        value: format!("v{modified}").into(),
        lease: None,
    };
    KeyEvent { kind: EventKind::Put, kv, prev: None }
}

pub fn delete(id: &str, revision: i64) -> KeyEvent {
    let (key, mod_revision) = (format!("k/{id}").into(), Revision(revision));
    let kv = KeyValue { key, mod_revision, ..KeyValue::default() };
    KeyEvent { kind: EventKind::Delete, kv, prev: None }
}

pub fn was(event: KeyEvent, before: KeyEvent) -> KeyEvent {
    KeyEvent { prev: Some(before.kv), ..event }
}

pub fn valued(event: KeyEvent, value: &str) -> KeyEvent {
    KeyEvent { kv: KeyValue { value: value.into(), ..event.kv }, ..event }
}

fn ranged(revision: i64, kvs: Vec<KeyValue>, more: bool, count: i64) -> Reply {
    Reply::Range(RangeReply { header: header(revision), kvs, more, count })
}

pub fn range<const N: usize>(revision: i64, records: [KeyEvent; N]) -> Reply {
    let count = i64::try_from(N).expect("few");
    ranged(revision, records.into_iter().map(|put| put.kv).collect(), false, count)
}

/// A page with more to come.
pub fn page<const N: usize>(revision: i64, records: [KeyEvent; N], count: i64) -> Reply {
    ranged(revision, records.into_iter().map(|put| put.kv).collect(), true, count)
}

/// The newest of `count` records.
pub fn counted(revision: i64, count: i64, newest: KeyEvent) -> Reply {
    ranged(revision, vec![newest.kv], count > 1, count)
}

/// Reads within one transaction: the newest of `count` records, and single keys.
pub fn reads<const N: usize>(
    revision: i64,
    count: i64,
    newest: KeyEvent,
    keys: [Option<KeyEvent>; N],
) -> Reply {
    let one = |kvs: Vec<KeyValue>, count| {
        let header = Header { revision: Revision(revision), ..Header::default() };
        OpReply::Range(RangeReply { header, kvs, more: false, count })
    };
    let keys = keys.map(|key| one(key.into_iter().map(|put| put.kv).collect(), 1));
    let responses = [one(vec![newest.kv], count)].into_iter().chain(keys).collect();
    Reply::Txn(TxnReply { header: header(revision), succeeded: true, responses })
}

pub fn old_term(reply: Reply) -> Reply {
    let Reply::Range(mut reply) = reply else { unreachable!("a range's answer") };
    reply.header.raft_term -= 1;
    Reply::Range(reply)
}

pub fn created(revision: i64) -> Reply {
    let header = header(revision);
    Reply::Watch(WatchReply { header, created: true, ..WatchReply::default() })
}

pub fn events<const N: usize>(revision: i64, events: [KeyEvent; N]) -> Reply {
    let header = header(revision);
    Reply::Watch(WatchReply { header, events: events.into(), ..WatchReply::default() })
}

pub fn part<const N: usize>(revision: i64, events: [KeyEvent; N]) -> Reply {
    let (header, events) = (header(revision), events.into());
    Reply::Watch(WatchReply { header, events, fragment: true, ..WatchReply::default() })
}

/// Row W3: the header's revision is 0.
pub fn compacted(at: i64) -> Reply {
    let compact_revision = Revision(at);
    let reply = WatchReply { header: header(0), canceled: true, ..WatchReply::default() };
    Reply::Watch(WatchReply { compact_revision, ..reply })
}

pub fn status(version: &str) -> Reply {
    let version = version.to_owned();
    Reply::Status(StatusReply { header: header(1), version, ..StatusReply::default() })
}

pub fn failed(error: StoreError) -> Reply {
    Reply::Failed(error)
}

pub fn lost() -> StoreError {
    StoreError::ConnectionLost { detail: "reset".to_owned() }
}
