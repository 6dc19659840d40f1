//! What the rows of the table share: records as a fleet writes them, and an engine that mirrors
//! them.

use portolan_core::engine::{Command, DirectoryId, Engine, Input, Output, Setup};
use portolan_core::instance::Instance;
use portolan_core::layout::{Layout, Scope, Stamp};
use portolan_core::name::{GroupName, InstanceId, LabelKey};
use portolan_core::time::Time;
use portolan_core::tuning::Tuning;
use portolan_core::waist::{
    AttemptId, EventKind, Header, Key, KeyEvent, KeyValue, LeaseId, RangeReply, Reply, Request,
    Revision, WatchReply,
};

/// The group of all records here.
pub const GROUP: &str = "checkout";

/// The layout of all records here.
pub fn layout() -> Layout {
    Layout::native("/portolan").expect("a root")
}

/// An instance as a fleet has it: one endpoint, three labels.
pub fn instance(number: u64) -> Instance {
    let group = GroupName::parse(GROUP).expect("a name");
    let id = InstanceId::parse(&format!("checkout-{number:07}")).expect("a name");
    let label = |key| LabelKey::parse(key).expect("a name");
    Instance::builder(group, id)
        .endpoint("http", "10.1.2.3:8080")
        .label(label("zone"), "eu-west-1a")
        .label(label("version"), "1.14.2")
        .label(label("rack"), "r17")
        .build()
        .expect("an instance")
}

/// Key and value of an instance's record; another `sequence`, another value.
pub fn record(number: u64, sequence: u64) -> (Vec<u8>, Vec<u8>) {
    let stamp = Stamp { run: 7, registration: number, sequence };
    let written = layout().encode_instance(&instance(number), stamp).expect("it encodes").remove(0);
    (written.key.to_vec(), written.value.to_vec())
}

/// A record as a list or an event brings it, in buffers of its own.
pub fn key_value(number: u64, sequence: u64, revision: i64) -> KeyValue {
    let (key, value) = record(number, sequence);
    KeyValue {
        key: Key::from(key),
        value: value.into(),
        create_revision: Revision(1),
        mod_revision: Revision(revision),
        version: 1,
        lease: LeaseId::new(77),
    }
}

/// An engine with one directory, fed by hand.
pub struct Mirroring {
    engine: Engine,
    watch: AttemptId,
    revision: i64,
}

const DIRECTORY: DirectoryId = DirectoryId(1);

impl Mirroring {
    /// A directory of `records` records, listed and followed.
    pub fn of(records: u64) -> Self {
        let tuning = Tuning { page_limit: u32::MAX, ..Tuning::default() };
        let setup = Setup { layout: layout(), tuning, members: 1, authenticates: false, seed: 1 };
        let mut engine = Engine::new(Time::ZERO, setup);
        let group = GroupName::parse(GROUP).expect("a name");
        let open = Command::Open { id: DIRECTORY, scope: Scope::Instances(group) };
        let mut replies = vec![Input::Command(open)];
        let mut watch = None;
        let revision = 2;
        while let Some(input) = replies.pop() {
            engine.handle(Time::ZERO, input);
            while let Some(output) = engine.poll_output() {
                let Output::Send { attempt, request, .. } = output else { continue };
                let header = Header { revision: Revision(revision), ..Header::default() };
                let reply = if let Request::Range(_) = request {
                    let kvs = (0..records).map(|n| key_value(n, 1, revision)).collect();
                    let count = i64::try_from(records).expect("few enough");
                    Reply::Range(RangeReply { header, kvs, more: false, count })
                } else if let Request::Watch(asked) = request {
                    watch = Some(attempt);
                    let watch_id = asked.id;
                    let created =
                        WatchReply { header, watch_id, created: true, ..Default::default() };
                    Reply::Watch(created)
                } else {
                    continue;
                };
                replies.push(Input::Reply { attempt, reply });
            }
        }
        let watch = watch.expect("a listed directory is followed");
        Self { engine, watch, revision }
    }

    /// One answer of the watch: a change for each of `numbers`, each at a revision of its own.
    pub fn batch(&mut self, numbers: impl Iterator<Item = u64>) -> Reply {
        let events = numbers.map(|number| {
            self.revision += 1;
            let kv = key_value(number, self.revision.unsigned_abs(), self.revision);
            KeyEvent { kind: EventKind::Put, kv, prev: None }
        });
        let events: Vec<_> = events.collect();
        let header = Header { revision: Revision(self.revision), ..Header::default() };
        Reply::Watch(WatchReply { header, events, ..WatchReply::default() })
    }

    /// Has the directory take an answer of its watch; returns how many steps came of it.
    pub fn apply(&mut self, reply: Reply) -> usize {
        self.engine.handle(Time::ZERO, Input::Reply { attempt: self.watch, reply });
        let mut steps = 0;
        while let Some(output) = self.engine.poll_output() {
            steps += usize::from(matches!(output, Output::Event(_)));
        }
        steps
    }

    /// The directory's present content.
    pub fn snapshot(&self) -> portolan_core::engine::Snapshot {
        self.engine.snapshot(DIRECTORY).expect("it is open").clone()
    }
}
