//! Drives an engine with one directory by hand, and writes down what goes in and out.

use std::fmt::Write as _;
use std::time::Duration;

use super::viewer::Viewer;
use crate::engine::{Command, DirectoryId, Engine, Input, Output, Setup, Snapshot};
use crate::layout::{Layout, Scope};
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{
    AttemptId, EventKind, Header, KeyEvent, KeyValue, LeaseId, RangeReply, Reply, Revision,
    StatusReply, StoreError, TimeToLiveReply, WatchReply,
};

pub const DIRECTORY: DirectoryId = DirectoryId(1);

pub struct Harness {
    engine: Engine,
    now: Time,
    viewer: Viewer,
    lines: String,
}

impl Harness {
    /// A directory of all instances below `shop`, two members, pages of two, no jitter.
    pub fn open() -> Self {
        Self::open_scope(Scope::AllInstances)
    }

    pub fn open_scope(scope: Scope) -> Self {
        Self::open_with(scope, Tuning::default())
    }

    pub fn open_with(scope: Scope, tuning: Tuning) -> Self {
        let mut harness = Self {
            engine: engine(Tuning { page_limit: 2, jitter_percent: 0, ..tuning }),
            now: Time::ZERO,
            viewer: Viewer::default(),
            lines: String::new(),
        };
        harness.command(Command::Open { id: DIRECTORY, scope });
        harness
    }

    /// As `open`, after a list of `a@3` and `b@5` at revision 7; the watch #2 is followed.
    pub fn followed() -> Self {
        Self::followed_with(Tuning::default())
    }

    pub fn followed_with(tuning: Tuning) -> Self {
        let mut harness = Self::open_with(Scope::AllInstances, tuning);
        harness
            .reply(1, range(7, [kv("a", 3, 3), kv("b", 4, 5)]))
            .reply(2, created(7))
            .reply(3, counted(7, 2, kv("b", 4, 5)))
            .reply(4, status("3.5.30"));
        harness.trace();
        harness
    }

    pub fn command(&mut self, command: Command) -> &mut Self {
        self.handle(Input::Command(command))
    }

    pub fn reply(&mut self, attempt: u64, reply: Reply) -> &mut Self {
        writeln!(self.lines, "{} > {}", self.now, short(&format!("#{attempt} {reply}")))
            .expect("a string takes all");
        self.handle(Input::Reply { attempt: AttemptId(attempt), reply })
    }

    pub fn fail(&mut self, attempt: u64, error: StoreError) -> &mut Self {
        self.reply(attempt, Reply::Failed(error))
    }

    /// Lets time pass, with a tick whenever one is due.
    pub fn wait(&mut self, span: Duration) -> &mut Self {
        let end = self.now + span;
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.handle(Input::Tick);
        }
        self.now = end;
        self
    }

    pub fn snapshot(&self) -> &Snapshot {
        self.engine.snapshot(DIRECTORY).expect("the directory is open")
    }

    /// What happened since it was last asked.
    pub fn trace(&mut self) -> String {
        std::mem::take(&mut self.lines)
    }

    fn handle(&mut self, input: Input) -> &mut Self {
        self.engine.handle(self.now, input);
        while let Some(output) = self.engine.poll_output() {
            if let Output::Event(event) = &output {
                self.viewer.see(event);
            }
            writeln!(self.lines, "{} < {}", self.now, short(&output.to_string()))
                .expect("a string takes all");
        }
        if let Some(snapshot) = self.engine.snapshot(DIRECTORY) {
            self.viewer.check_told(snapshot);
        }
        self
    }
}

pub fn engine(tuning: Tuning) -> Engine {
    let layout = Layout::etcd_naming("shop").expect("a root");
    let tuning = Tuning { census_within: None, ..tuning };
    Engine::new(Time::ZERO, Setup { layout, tuning, members: 2, authenticates: false, seed: 1 })
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub const fn header(revision: i64) -> Header {
    Header { cluster_id: 0xc, member_id: 0xa, revision: Revision(revision), raft_term: 2 }
}

/// An instance's record, its value told by its revision.
pub fn kv(id: &str, create: i64, modified: i64) -> KeyValue {
    record(&format!("shop/cart/{id}"), &format!(r#"{{"Addr":"h:{modified}"}}"#), create, modified)
}

/// The same on a lease.
pub fn leased(id: &str, lease: i64, modified: i64) -> KeyValue {
    KeyValue { lease: LeaseId::new(lease), ..kv(id, modified, modified) }
}

/// What is left of a lease: nothing, or something of so many seconds.
pub fn left(lease: i64, granted_secs: i64) -> Reply {
    let ttl_secs = if granted_secs > 0 { granted_secs - 1 } else { -1 };
    let lease = LeaseId::new(lease).expect("above zero");
    let (header, keys) = (header(7), Vec::new());
    Reply::TimeToLive(TimeToLiveReply { header, lease, ttl_secs, granted_secs, keys })
}

pub fn record(key: &str, value: &str, create: i64, modified: i64) -> KeyValue {
    KeyValue {
        key: key.into(),
        create_revision: Revision(create),
        mod_revision: Revision(modified),
        version: 1,
        value: value.into(),
        lease: None,
    }
}

pub fn put(kv: KeyValue) -> KeyEvent {
    KeyEvent { kind: EventKind::Put, kv, prev: None }
}

pub fn delete(id: &str, revision: i64) -> KeyEvent {
    delete_key(&format!("shop/cart/{id}"), revision)
}

pub fn delete_key(key: &str, revision: i64) -> KeyEvent {
    let mod_revision = Revision(revision);
    let kv = KeyValue { key: key.into(), mod_revision, ..KeyValue::default() };
    KeyEvent { kind: EventKind::Delete, kv, prev: None }
}

/// All there is.
pub fn range<const N: usize>(revision: i64, kvs: [KeyValue; N]) -> Reply {
    let count = i64::try_from(N).expect("few");
    let header = header(revision);
    Reply::Range(RangeReply { header, kvs: kvs.into(), more: false, count })
}

/// A page with more to come.
pub fn page<const N: usize>(revision: i64, kvs: [KeyValue; N], count: i64) -> Reply {
    Reply::Range(RangeReply { header: header(revision), kvs: kvs.into(), more: true, count })
}

/// The newest of `count` records.
pub fn counted(revision: i64, count: i64, newest: KeyValue) -> Reply {
    let more = count > 1;
    Reply::Range(RangeReply { header: header(revision), kvs: vec![newest], more, count })
}

pub fn created(revision: i64) -> Reply {
    let header = header(revision);
    Reply::Watch(WatchReply { header, created: true, ..WatchReply::default() })
}

pub fn progress(revision: i64) -> Reply {
    let header = header(revision);
    Reply::Watch(WatchReply { header, watch_id: -1, ..WatchReply::default() })
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

pub fn canceled(revision: i64, reason: &str) -> Reply {
    let cancel_reason = reason.to_owned();
    let reply = WatchReply { header: header(revision), canceled: true, ..WatchReply::default() };
    Reply::Watch(WatchReply { cancel_reason, ..reply })
}

pub fn status(version: &str) -> Reply {
    let version = version.to_owned();
    Reply::Status(StatusReply { header: header(1), version, ..StatusReply::default() })
}

pub fn lost() -> StoreError {
    StoreError::ConnectionLost { detail: "reset".to_owned() }
}

/// A line without the groups' prefix and the values.
fn short(line: &str) -> String {
    let line = line.replace("[shop/, shop0)", "shop").replace("shop/cart/", "");
    let mut parts = line.split('=');
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('@') {
            Some((value, rest)) if value.contains("B:") => {
                short.push('@');
                short.push_str(rest);
            }
            _ => {
                short.push('=');
                short.push_str(part);
            }
        }
    }
    short
}
