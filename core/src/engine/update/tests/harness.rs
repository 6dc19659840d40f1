//! One engine, driven by hand: what goes in and what comes out, a line each.

use std::time::Duration;

use crate::engine::update::task::State;
use crate::engine::{Command, Engine, Event, Input, OpId, Output, Proposal, Setup};
use crate::instance::{Data, GroupConfig};
use crate::layout::Layout;
use crate::name::GroupName;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{
    AttemptId, EventKind, Header, Key, KeyEvent, KeyValue, Op, OpReply, PutReply, RangeReply,
    Reply, Request, Revision, StoreError, TxnReply, Value, WatchReply,
};

pub const OP: OpId = OpId(1);
pub const WITHIN: Duration = Duration::from_secs(10);

pub struct Harness {
    pub engine: Engine,
    now: Time,
    lines: Vec<String>,
    /// The value of the last swap sent.
    pub put: Value,
}

impl Harness {
    /// An engine with one update under way, and pauses without chance.
    pub fn updating() -> Self {
        let mut harness = Self::idle(Layout::default());
        harness.command(Command::Update { id: OP, group: group(), within: WITHIN });
        harness
    }

    pub fn idle(layout: Layout) -> Self {
        let tuning = Tuning { jitter_percent: 0, census_within: None, ..Tuning::default() };
        let engine = Engine::new(
            Time::ZERO,
            Setup { layout, tuning, members: 2, authenticates: false, seed: 1 },
        );
        Self { engine, now: Time::ZERO, lines: Vec::new(), put: Value::default() }
    }

    /// An update that was shown `base` at `revision` and has sent its swap. The trace begins with
    /// the proposal.
    pub fn swapping(base: Option<KeyValue>, revision: i64) -> Self {
        let mut harness = Self::updating();
        harness.reply(1, range(revision, base));
        harness.lines.clear();
        harness.write("\"mine\"");
        harness
    }

    pub fn command(&mut self, command: Command) -> &mut Self {
        self.handle(Input::Command(command))
    }

    /// The application's answer: JSON text.
    pub fn write(&mut self, json: &str) -> &mut Self {
        let proposal = Proposal::Write(data(json));
        self.command(Command::Proposed { id: OP, proposal })
    }

    pub fn reply(&mut self, attempt: u64, reply: Reply) -> &mut Self {
        self.handle(Input::Reply { attempt: AttemptId(attempt), reply })
    }

    pub fn fail(&mut self, attempt: u64, error: StoreError) -> &mut Self {
        self.reply(attempt, Reply::Failed(error))
    }

    /// Time passes, with a tick whenever the engine asks for one.
    pub fn wait(&mut self, span: Duration) -> &mut Self {
        let end = self.now + span;
        while let Some(due) = self.engine.poll_timeout().filter(|&due| due <= end) {
            self.now = due;
            self.engine.handle(due, Input::Tick);
            self.drain();
        }
        self.now = end;
        self
    }

    pub fn millis(&mut self, millis: u64) -> &mut Self {
        self.wait(Duration::from_millis(millis))
    }

    /// As if the layout had no room for operations' ids.
    pub fn unmark(&mut self) -> &mut Self {
        if let Some((_, State::Swapping { swap, .. })) = self.engine.updates.tasks.get_mut(&OP) {
            swap.mark = None;
        }
        self
    }

    /// All lines, with `K` for the key.
    pub fn trace(&self) -> String {
        self.lines.join("\n").replace(&key().to_string(), "K")
    }

    /// The last line.
    pub fn end(&self) -> &str {
        self.lines.last().expect("something happened")
    }

    fn handle(&mut self, input: Input) -> &mut Self {
        self.lines.push(format!("{} < {input}", self.now));
        self.engine.handle(self.now, input);
        self.drain();
        self
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            self.lines.push(format!("{} > {output}", self.now));
            if let Output::Send { request, .. } = &output {
                self.put = put_value(request).cloned().unwrap_or_else(|| self.put.clone());
            }
            assert!(!matches!(output, Output::Event(Event::Closed { confirmed: false })));
        }
    }
}

pub fn put_value(request: &Request) -> Option<&Value> {
    let Request::Txn(txn) = request else {
        return None;
    };
    txn.then.iter().find_map(|op| match op {
        Op::Put(put) => Some(&put.value),
        Op::Range(_) | Op::Delete(_) | Op::Txn(_) => None,
    })
}

pub fn group() -> GroupName {
    GroupName::parse("cart").expect("a name")
}

pub fn key() -> Key {
    Layout::default().config_key(&group()).expect("the native layout has configurations")
}

pub fn data(json: &str) -> Data {
    Data::parse(json).expect("JSON")
}

/// A record that another operation wrote.
pub fn theirs(json: &str) -> Value {
    let config = GroupConfig::new(group(), data(json));
    Layout::default().encode_config(&config, 77).expect("small").value
}

pub fn record(value: Value, create: i64, modified: i64, version: i64) -> KeyValue {
    KeyValue {
        key: key(),
        create_revision: Revision(create),
        mod_revision: Revision(modified),
        version,
        value,
        lease: None,
    }
}

/// The record at revision 5 that most stories begin with.
pub fn base() -> Option<KeyValue> {
    Some(record(theirs("\"old\""), 3, 5, 2))
}

pub fn header(revision: i64) -> Header {
    Header { cluster_id: 1, member_id: 1, revision: Revision(revision), raft_term: 1 }
}

pub fn range(revision: i64, kv: Option<KeyValue>) -> Reply {
    Reply::Range(found(revision, kv))
}

pub fn found(revision: i64, kv: Option<KeyValue>) -> RangeReply {
    let count = i64::from(kv.is_some());
    RangeReply { header: header(revision), kvs: kv.into_iter().collect(), more: false, count }
}

pub fn applied(revision: i64) -> Reply {
    let responses = vec![OpReply::Put(PutReply { header: header(revision), prev: None })];
    Reply::Txn(TxnReply { header: header(revision), succeeded: true, responses })
}

pub fn lost(revision: i64, kv: Option<KeyValue>) -> Reply {
    let responses = vec![OpReply::Range(found(revision, kv))];
    Reply::Txn(TxnReply { header: header(revision), succeeded: false, responses })
}

pub fn created(revision: i64) -> Reply {
    Reply::Watch(WatchReply { header: header(revision), created: true, ..WatchReply::default() })
}

/// A catch-up: the header is ahead of the events.
pub fn events(revision: i64, events: Vec<KeyEvent>) -> Reply {
    Reply::Watch(WatchReply { header: header(revision), events, ..WatchReply::default() })
}

pub fn progress(revision: i64) -> Reply {
    let header = header(revision);
    Reply::Watch(WatchReply { header, watch_id: -1, ..WatchReply::default() })
}

pub fn compacted(at: i64) -> Reply {
    let compact_revision = Revision(at);
    Reply::Watch(WatchReply { canceled: true, compact_revision, ..WatchReply::default() })
}

pub fn cancelled(why: &str) -> Reply {
    let cancel_reason = why.to_owned();
    Reply::Watch(WatchReply { canceled: true, cancel_reason, ..WatchReply::default() })
}

pub fn put(kv: KeyValue) -> KeyEvent {
    KeyEvent { kind: EventKind::Put, kv, prev: None }
}

pub fn delete(revision: i64) -> KeyEvent {
    let kv = KeyValue { key: key(), mod_revision: Revision(revision), ..KeyValue::default() };
    KeyEvent { kind: EventKind::Delete, kv, prev: None }
}

pub fn lost_connection() -> StoreError {
    StoreError::ConnectionLost { detail: "reset".to_owned() }
}

pub fn refused() -> StoreError {
    StoreError::Refused { detail: "127.0.0.1:2379".to_owned() }
}
