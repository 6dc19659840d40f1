//! Traces made by hand, entry by entry.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use portolan_core::engine::{
    Change as Shown, Command, Conflict, Content, DirectoryId, Event, Freshness, Record,
    RegistrationEvent, RegistrationId, Snapshot, Step, StepCause,
};
use portolan_core::instance::{Data, GroupConfig, Instance, Stamp};
use portolan_core::layout::{Decoded, Layout, Scope};
use portolan_core::name::{GroupName, InstanceId};
use portolan_core::rng::hash;
use portolan_core::waist::{
    AttemptId, Compare, EventKind, Grant, GrantReply, Header, Key, KeyEvent, KeyRange, KeyValue,
    LeaseId, MemberId, Op, OpReply, Put, PutReply, Range, RangeReply, Reply, Request, Revision,
    Txn, TxnReply, Value, Watch, WatchReply,
};
use portolan_core::{Time, Tuning};
use portolan_memory::{Cause, Change, ClientId, LeaseChange, LeaseStep};

use super::super::Checks;
use crate::app::{Edited, Tag};
use crate::plan::WorldSetup;
use crate::process::Clock;
use crate::trace::{Entry, Run, What};

pub(super) const P0: Run = Run { process: 0, start: 1 };
pub(super) const P1: Run = Run { process: 1, start: 1 };
pub(super) const C0: ClientId = ClientId(1);
pub(super) const C1: ClientId = ClientId(2);

#[derive(Clone)]
pub(super) struct Story {
    pub entries: Vec<Entry>,
    at: Time,
    records: BTreeMap<Key, KeyValue>,
    /// Whether it is to be looked at as one that has come to rest.
    rested: bool,
}

impl Story {
    /// Two processes that have done nothing, each with a connection.
    pub fn new() -> Self {
        let setup = WorldSetup { processes: 2, tuning: tuning(), ..WorldSetup::default() };
        let mut story =
            Self { entries: Vec::new(), at: Time::ZERO, records: BTreeMap::new(), rested: false };
        story.add(What::Began(Arc::new(setup)));
        for (run, client, stamp) in [(P0, C0, 100), (P1, C1, 101)] {
            let clock = Clock::started(Time::ZERO, 0);
            story.add(What::Started { run, stamp, clock });
            story.add(What::Connected { run, member: MemberId(0), client });
        }
        story
    }

    /// Registration 1 of process 0 stands at revision 2 on lease 7, by its attempt 2.
    pub fn registered() -> Self {
        let mut story = Self::new();
        story.register(P0, 1, Conflict::Replace).grant(P0, 1, 7).publish(P0, 2, 7, 0, 1, 1);
        story.changed(2, &instance(P0, 1, 1), Some(7), C0, 2).publish_done(P0, 2, 2);
        story.told_registered(1, 7, 2, 1);
        story
    }

    /// Directory 1 of process 1 shows what stands at revision 2.
    pub fn directory() -> Self {
        let mut story = Self::registered();
        story.open(P1, 1).listed(P1, 1, 1, 2);
        story
    }

    /// Update 1 of process 0 has created the configuration at revision 2, by its attempt 2.
    pub fn updated() -> Self {
        let mut story = Self::new();
        story.update(P0, 1).swap(P0, 2, 50, 0, 1).swapped(2, 50, 1, C0, 2).swap_done(P0, 2, 2);
        story.tells(
            P0,
            updated(1, portolan_core::engine::UpdateOutcome::Done { revision: Revision(2) }),
        );
        story
    }

    /// The same, with a store of the release `version`.
    pub fn on(mut self, version: &str) -> Self {
        if let Some(Entry { what: What::Began(setup), .. }) = self.entries.first_mut() {
            let store = portolan_memory::Config::of_version(version).expect("a version");
            Arc::make_mut(setup).store = store;
        }
        self
    }

    /// What the checks make of it.
    pub fn checked(&self) -> Checks {
        let mut checks = Checks::new();
        for entry in &self.entries {
            checks.see(entry);
        }
        if self.rested {
            checks.at_rest();
        }
        checks
    }

    pub fn rests(mut self) -> Self {
        self.rested = true;
        self
    }

    pub fn add(&mut self, what: What) -> &mut Self {
        self.entries.push(Entry { at: self.at, what });
        self
    }

    pub fn at(&mut self, millis: u64) -> &mut Self {
        self.at = Time::from_millis(millis);
        self
    }

    pub fn wants(&mut self, run: Run, command: Command) -> &mut Self {
        self.add(What::Wanted { run, command })
    }

    pub fn tells(&mut self, run: Run, event: Event) -> &mut Self {
        self.add(What::Told { run, event })
    }

    pub fn sends(&mut self, run: Run, attempt: u64, request: Request) -> &mut Self {
        let (attempt, member) = (AttemptId(attempt), MemberId(0));
        self.add(What::Sent { run, attempt, member, request })
    }

    pub fn hears(&mut self, run: Run, attempt: u64, reply: Reply) -> &mut Self {
        self.add(What::Answered { run, attempt: AttemptId(attempt), reply })
    }

    pub fn cancels(&mut self, run: Run, attempt: u64) -> &mut Self {
        self.add(What::Cancelled { run, attempt: AttemptId(attempt) })
    }

    pub fn register(&mut self, run: Run, id: u64, conflict: Conflict) -> &mut Self {
        let id = RegistrationId(id);
        self.wants(run, Command::Register { id, instance: named("a"), conflict })
    }

    /// A lease is asked for and granted.
    pub fn grant(&mut self, run: Run, attempt: u64, id: i64) -> &mut Self {
        self.sends(run, attempt, grant_request(id));
        self.granted(id, client(run), attempt);
        let reply = GrantReply { header: header(1), lease: lease(id), ttl_secs: TTL_SECS };
        self.hears(run, attempt, Reply::Grant(reply))
    }

    pub fn granted(&mut self, id: i64, from: ClientId, attempt: u64) -> &mut Self {
        let expires = self.at + Duration::from_secs(TTL_SECS.unsigned_abs());
        let attempt = AttemptId(attempt);
        let step = LeaseStep::Granted { ttl_secs: TTL_SECS, expires, from, attempt };
        self.leased(id, step)
    }

    pub fn leased(&mut self, id: i64, step: LeaseStep) -> &mut Self {
        let (at, revision) = (self.at, Revision(1));
        self.add(What::Leased(LeaseChange { at, revision, lease: lease(id), step }))
    }

    /// A guarded publish of `web/a` is sent.
    pub fn publish(
        &mut self,
        run: Run,
        attempt: u64,
        id: i64,
        guard: i64,
        registration: u64,
        sequence: u64,
    ) -> &mut Self {
        let value = instance(run, registration, sequence);
        self.sends(run, attempt, publish_request(guard, value, Some(id)))
    }

    pub fn publish_done(&mut self, run: Run, attempt: u64, revision: i64) -> &mut Self {
        self.hears(run, attempt, done(revision))
    }

    /// The store puts `web/a`.
    pub fn changed(
        &mut self,
        revision: i64,
        value: &Value,
        id: Option<i64>,
        from: ClientId,
        attempt: u64,
    ) -> &mut Self {
        self.put(revision, &key("a"), value, id, from, attempt)
    }

    pub fn put(
        &mut self,
        revision: i64,
        key: &Key,
        value: &Value,
        id: Option<i64>,
        from: ClientId,
        attempt: u64,
    ) -> &mut Self {
        let revision = Revision(revision);
        let old = self.records.get(key);
        let kv = KeyValue {
            key: key.clone(),
            create_revision: old.map_or(revision, |old| old.create_revision),
            mod_revision: revision,
            version: old.map_or(1, |old| old.version + 1),
            value: value.clone(),
            lease: id.map(lease),
        };
        self.records.insert(key.clone(), kv.clone());
        self.change(revision, EventKind::Put, kv, from, attempt)
    }

    pub fn delete(&mut self, revision: i64, key: &Key, from: ClientId, attempt: u64) -> &mut Self {
        let revision = Revision(revision);
        self.records.remove(key);
        let kv = KeyValue { key: key.clone(), mod_revision: revision, ..KeyValue::default() };
        self.change(revision, EventKind::Delete, kv, from, attempt)
    }

    fn change(
        &mut self,
        revision: Revision,
        kind: EventKind,
        kv: KeyValue,
        from: ClientId,
        attempt: u64,
    ) -> &mut Self {
        let cause = Cause::Request { from, attempt: AttemptId(attempt) };
        let at = self.at;
        self.add(What::Changed(Change { at, revision, index: 0, kind, kv, cause }))
    }

    pub fn told_registered(&mut self, id: u64, on: i64, revision: i64, sequence: u64) -> &mut Self {
        let revision = Revision(revision);
        let event = RegistrationEvent::Registered { lease: lease(on), revision, sequence };
        self.tells(P0, Event::Registration { id: RegistrationId(id), event })
    }

    pub fn open(&mut self, run: Run, id: u64) -> &mut Self {
        self.wants(run, Command::Open { id: DirectoryId(id), scope: scope() })
    }

    /// A directory is listed at a revision, as the store is now, and watched from there on: with
    /// three attempts from `first`.
    pub fn listed(&mut self, run: Run, id: u64, first: u64, revision: i64) -> &mut Self {
        self.asks_list(run, first).hears_list(run, first, revision);
        let snapshot = self.snapshot(revision);
        let changes = added(&snapshot);
        self.steps(run, id, StepCause::Listed, changes, snapshot);
        self.watches(run, first + 1, revision).confirms(run, first + 1, revision)
    }

    /// A watch is confirmed by a member that is at a revision.
    pub fn confirms(&mut self, run: Run, attempt: u64, revision: i64) -> &mut Self {
        let created =
            WatchReply { header: header(revision), created: true, ..WatchReply::default() };
        self.hears(run, attempt, Reply::Watch(created))
    }

    pub fn asks_list(&mut self, run: Run, attempt: u64) -> &mut Self {
        self.sends(run, attempt, Request::Range(Range::of(keys())))
    }

    pub fn hears_list(&mut self, run: Run, attempt: u64, revision: i64) -> &mut Self {
        let kvs: Vec<_> = self.records.values().cloned().collect();
        let count = i64::try_from(kvs.len()).unwrap_or(0);
        let reply = RangeReply { header: header(revision), kvs, more: false, count };
        self.hears(run, attempt, Reply::Range(reply))
    }

    pub fn watches(&mut self, run: Run, attempt: u64, start: i64) -> &mut Self {
        let watch = Watch { progress: true, ..Watch::of(keys(), Revision(start)) };
        self.sends(run, attempt, Request::Watch(watch))
    }

    /// A watch brings the newest record of `web/a`.
    pub fn hears_events(&mut self, run: Run, attempt: u64, revision: i64) -> &mut Self {
        let kv = self.records[&key("a")].clone();
        let events = vec![KeyEvent { kind: EventKind::Put, kv, prev: None }];
        let reply = WatchReply { header: header(revision), events, ..WatchReply::default() };
        self.hears(run, attempt, Reply::Watch(reply))
    }

    pub fn steps(
        &mut self,
        run: Run,
        id: u64,
        cause: StepCause,
        changes: Vec<Shown>,
        snapshot: Snapshot,
    ) -> &mut Self {
        let step = Step { cause, changes, snapshot };
        self.tells(run, Event::Stepped { id: DirectoryId(id), step })
    }

    pub fn says(&mut self, run: Run, id: u64, snapshot: Snapshot) -> &mut Self {
        self.tells(run, Event::Freshness { id: DirectoryId(id), snapshot })
    }

    /// A watch brings nothing but the store's revision.
    pub fn hears_progress(&mut self, run: Run, attempt: u64, revision: i64) -> &mut Self {
        let reply = WatchReply { header: header(revision), watch_id: -1, ..WatchReply::default() };
        self.hears(run, attempt, Reply::Watch(reply))
    }

    /// What stands, as a directory would show it.
    pub fn snapshot(&self, revision: i64) -> Snapshot {
        let records = self.records.iter().filter_map(|(key, kv)| Some((key.clone(), record(kv)?)));
        Snapshot {
            epoch: 0,
            revision: Revision(revision),
            freshness: Freshness::Live,
            records: records.collect(),
            bad: portolan_core::map::Map::new(),
            suspects: portolan_core::map::Map::new(),
            guarded: false,
        }
    }

    pub fn update(&mut self, run: Run, id: u64) -> &mut Self {
        let id = portolan_core::engine::OpId(id);
        let within = Duration::from_secs(5);
        self.wants(run, Command::Update { id, group: group(), within })
    }

    /// A guarded swap is sent, of `operation` for update `op`.
    pub fn swap(
        &mut self,
        run: Run,
        attempt: u64,
        operation: u64,
        guard: i64,
        op: u64,
    ) -> &mut Self {
        let value = config(run, op, operation);
        self.sends(run, attempt, guarded(&config_key(), guard, value, None))
    }

    /// The store takes a swap of process 0.
    pub fn swapped(
        &mut self,
        revision: i64,
        operation: u64,
        op: u64,
        from: ClientId,
        attempt: u64,
    ) -> &mut Self {
        let run = if from == C0 { P0 } else { P1 };
        self.put(revision, &config_key(), &config(run, op, operation), None, from, attempt)
    }

    pub fn swap_done(&mut self, run: Run, attempt: u64, revision: i64) -> &mut Self {
        self.hears(run, attempt, done(revision))
    }
}

pub(super) fn tuning() -> Tuning {
    Tuning { lease_ttl: Duration::from_secs(TTL_SECS.unsigned_abs()), ..Tuning::default() }
}

pub(super) fn updated(id: u64, outcome: portolan_core::engine::UpdateOutcome) -> Event {
    Event::Updated { id: portolan_core::engine::OpId(id), outcome }
}

pub(super) fn grant_request(id: i64) -> Request {
    Request::Grant(Grant { lease: Some(lease(id)), ttl_secs: TTL_SECS })
}

pub(super) fn publish_request(guard: i64, value: Value, id: Option<i64>) -> Request {
    guarded(&key("a"), guard, value, id)
}

fn guarded(key: &Key, guard: i64, value: Value, id: Option<i64>) -> Request {
    let put = Put { key: key.clone(), value, lease: id.map(lease), ..Put::default() };
    Request::Txn(Txn {
        compares: vec![Compare::mod_revision(key.clone(), Revision(guard))],
        then: vec![Op::Put(put)],
        or_else: vec![Op::Range(Range::of(KeyRange::one(key.clone())))],
    })
}

pub(super) fn done(revision: i64) -> Reply {
    let put = PutReply { header: header(revision), prev: None };
    let responses = vec![OpReply::Put(put)];
    Reply::Txn(TxnReply { header: header(revision), succeeded: true, responses })
}

pub(super) fn header(revision: i64) -> Header {
    Header { revision: Revision(revision), ..Header::default() }
}

pub(super) fn lease(id: i64) -> LeaseId {
    LeaseId::new(id).expect("not 0")
}

pub(super) fn group() -> GroupName {
    GroupName::parse("web").expect("a name")
}

pub(super) fn scope() -> Scope {
    Scope::Instances(group())
}

pub(super) fn keys() -> KeyRange {
    Layout::default().ranges(&scope()).remove(0)
}

pub(super) fn named(id: &str) -> Instance {
    let id = InstanceId::parse(id).expect("a name");
    Instance::builder(group(), id).build().expect("names are enough")
}

pub(super) fn key(id: &str) -> Key {
    let id = InstanceId::parse(id).expect("a name");
    Layout::default().instance_keys(&group(), &id).expect("a key").remove(0)
}

pub(super) fn config_key() -> Key {
    Layout::default().config_key(&group()).expect("a key")
}

/// What a run writes at `web/a`.
pub(super) fn instance(run: Run, registration: u64, sequence: u64) -> Value {
    let stamp = Stamp { run: 100 + u64::from(run.process), registration, sequence };
    value_of("a", stamp)
}

pub(super) fn value_of(id: &str, stamp: Stamp) -> Value {
    let mut written = Layout::default().encode_instance(&named(id), stamp).expect("a record");
    written.remove(0).value
}

/// What update `op` of a run writes.
pub(super) fn config(run: Run, op: u64, operation: u64) -> Value {
    let by = Tag { process: run.process, start: run.start, op, proposal: 1 };
    let data = serde_json::to_string(&Edited { count: 1, by }).expect("numbers");
    let data = Data::parse(&data).expect("JSON");
    let config = GroupConfig::new(group(), data);
    Layout::default().encode_config(&config, operation).expect("a record").value
}

pub(super) fn decoded_config(run: Run, op: u64, operation: u64) -> GroupConfig {
    match Layout::default().decode(&config_key(), &config(run, op, operation)) {
        Decoded::Config(config) => config,
        other => panic!("{other:?} is no configuration"),
    }
}

pub(super) fn record(kv: &KeyValue) -> Option<Arc<Record>> {
    let Decoded::Instance(instance) = Layout::default().decode(&kv.key, &kv.value) else {
        return None;
    };
    Some(Arc::new(Record {
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        lease: kv.lease,
        value_hash: hash(&kv.value),
        content: Content::Instance(instance),
    }))
}

/// All of a snapshot, as it would be told first.
pub(super) fn added(snapshot: &Snapshot) -> Vec<Shown> {
    let records = snapshot.records.iter();
    records.map(|(key, record)| Shown::Added { key: key.clone(), record: record.clone() }).collect()
}

fn client(run: Run) -> ClientId {
    if run == P0 { C0 } else { C1 }
}

pub(super) const TTL_SECS: i64 = 10;
