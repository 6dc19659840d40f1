//! What each process believes, and where the store has it otherwise: told from the trace alone, so that
//! it is the same for every kind of client.

use std::collections::BTreeMap;

use portolan_core::Time;
use portolan_core::engine::{
    Command, DirectoryId, Event, RegistrationEvent, RegistrationId, Snapshot,
};
use portolan_core::layout::{Decoded, Layout, Scope};
use portolan_core::rng::hash;
use portolan_core::waist::{
    AttemptId, Key, KeyRange, LeaseId, MemberId, OpReply, Reply, Request, TxnReply,
};
use portolan_memory::{ClientId, LeaseStep, Model};
use portolan_sim::{Entry, Run, What, World};
use serde::Serialize;

/// What all processes believe.
#[derive(Clone, Debug)]
pub struct Beliefs {
    layout: Layout,
    pub processes: Vec<Believer>,
    clients: BTreeMap<ClientId, (Run, MemberId)>,
    /// The processes for which leases were granted.
    owners: BTreeMap<LeaseId, u16>,
    /// How many records they were given in answer to reads: work of the store's.
    pub read: u64,
}

/// What one process believes.
#[derive(Clone, Debug, Default)]
pub struct Believer {
    pub run: Option<Run>,
    pub registrations: BTreeMap<RegistrationId, Registered>,
    pub directories: BTreeMap<DirectoryId, Shown>,
    /// The calls that it waits for.
    pub waiting: BTreeMap<AttemptId, Asked>,
    /// What it was told last.
    pub told: Option<(Time, Event)>,
}

/// What a process waits for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at: Time,
    pub request: Request,
}

/// A registration, as its application knows it.
#[derive(Clone, Debug)]
pub struct Registered {
    pub name: String,
    pub group: String,
    pub key: Option<Key>,
    pub told: Option<RegistrationEvent>,
    pub told_at: Time,
}

/// A directory, as its application knows it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub scope: Scope,
    ranges: Vec<KeyRange>,
    pub snapshot: Option<Snapshot>,
    /// When it was told something last.
    pub told_at: Time,
    /// Where the store has it otherwise.
    pub differs: BTreeMap<Key, Difference>,
}

/// How what is believed of a key differs from what is stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// It is stored, and not believed.
    Missing,
    /// It is believed, and stored no more.
    Gone,
    /// Another version is stored.
    Old,
}

impl Beliefs {
    pub fn new(layout: Layout) -> Self {
        let (clients, owners) = (BTreeMap::new(), BTreeMap::new());
        Self { layout, processes: Vec::new(), clients, owners, read: 0 }
    }

    /// The process for which a lease was granted.
    pub fn owner(&self, lease: LeaseId) -> Option<u16> {
        self.owners.get(&lease).copied()
    }

    /// Whose a connection is, and where it leads.
    pub fn connection(&self, client: ClientId) -> Option<(Run, MemberId)> {
        self.clients.get(&client).copied()
    }

    /// In how many places what processes believe is not what is stored.
    pub fn differs(&self) -> usize {
        let directories = self.processes.iter().flat_map(|process| process.directories.values());
        directories.map(|directory| directory.differs.len()).sum()
    }

    /// Takes in what has just happened; the world is as it is after all of it.
    pub fn take(&mut self, entries: &[Entry], world: &World) {
        let mut changed = Vec::new();
        let mut anew = false;
        for entry in entries {
            match &entry.what {
                What::Started { run, .. } => {
                    let place = usize::from(run.process);
                    if self.processes.len() <= place {
                        self.processes.resize_with(place + 1, Believer::default);
                    }
                    self.processes[place] = Believer { run: Some(*run), ..Believer::default() };
                }
                What::Crashed(run) => {
                    if let Some(process) = self.of(*run) {
                        *process = Believer::default();
                    }
                }
                What::Wanted { run, command } => self.want(*run, entry.at, command, world.store()),
                What::Told { run, event } => self.hear(*run, entry.at, event, world.store()),
                What::Sent { run, attempt, request, .. } => {
                    if let Some(process) = self.of(*run) {
                        let asked = Asked { at: entry.at, request: request.clone() };
                        process.waiting.insert(*attempt, asked);
                    }
                }
                What::Answered { run, attempt, reply } => {
                    self.read += match reply {
                        Reply::Range(range) => range.kvs.len() as u64,
                        Reply::Txn(txn) => read_by(txn),
                        _ => 0,
                    };
                    let Some(process) = self.of(*run) else { continue };
                    if !matches!(reply, Reply::Watch(_)) {
                        process.waiting.remove(attempt);
                    }
                }
                What::Cancelled { run, attempt } => {
                    if let Some(process) = self.of(*run) {
                        process.waiting.remove(attempt);
                    }
                }
                What::Connected { run, client, member } => {
                    self.clients.insert(*client, (*run, *member));
                }
                What::Leased(change) => {
                    if let LeaseStep::Granted { from, .. } = change.step
                        && let Some((run, _)) = self.clients.get(&from)
                    {
                        self.owners.insert(change.lease, run.process);
                    }
                }
                What::Changed(change) => changed.push(&change.kv.key),
                What::Stored(_) => anew = true,
                What::Began(_)
                | What::Did(_)
                | What::Healed(_)
                | What::Clocked { .. }
                | What::Paused(_)
                | What::Resumed(_)
                | What::Broke { .. }
                | What::Arrived { .. }
                | What::Delayed { .. }
                | What::Stopped { .. }
                | What::Swallowed { .. }
                | What::Membered { .. }
                | What::Allowed(_)
                | What::PasswordSet { .. }
                | What::Led(_)
                | What::Lost { .. }
                | What::Compacted(_) => {}
            }
        }
        let directories = self.processes.iter_mut().flat_map(|it| it.directories.values_mut());
        for directory in directories {
            if anew {
                directory.compare_all(&self.layout, world.store());
            }
            for key in &changed {
                directory.compare(&self.layout, world.store(), key);
            }
        }
    }

    fn of(&mut self, run: Run) -> Option<&mut Believer> {
        let process = self.processes.get_mut(usize::from(run.process))?;
        (process.run == Some(run)).then_some(process)
    }

    fn want(&mut self, run: Run, at: Time, command: &Command, store: &Model) {
        let layout = self.layout.clone();
        let Some(process) = self.of(run) else { return };
        match command {
            Command::Register { id, instance, .. } => {
                let keys = layout.instance_keys(&instance.group_name(), &instance.instance_id());
                let key = keys.ok().and_then(|keys| keys.into_iter().next());
                let (name, group) = (instance.id().to_owned(), instance.group().to_owned());
                let registered = Registered { name, group, key, told: None, told_at: at };
                process.registrations.insert(*id, registered);
            }
            Command::Open { id, scope } => {
                let ranges = layout.ranges(scope);
                let scope = scope.clone();
                let differs = BTreeMap::new();
                let mut shown = Shown { scope, ranges, snapshot: None, told_at: at, differs };
                shown.compare_all(&layout, store);
                process.directories.insert(*id, shown);
            }
            Command::Close { id } => {
                process.directories.remove(id);
            }
            Command::Shutdown { .. } => process.directories.clear(),
            Command::Publish { .. }
            | Command::Deregister { .. }
            | Command::Refused { .. }
            | Command::Follow { .. }
            | Command::Acknowledge { .. }
            | Command::Unfollow { .. }
            | Command::Update { .. }
            | Command::Proposed { .. }
            | Command::Call { .. }
            | Command::Abandon { .. } => {}
        }
    }

    fn hear(&mut self, run: Run, at: Time, event: &Event, store: &Model) {
        let layout = self.layout.clone();
        let Some(process) = self.of(run) else { return };
        process.told = Some((at, event.clone()));
        match event {
            Event::Registration { id, event } => {
                if let Some(registered) = process.registrations.get_mut(id) {
                    (registered.told, registered.told_at) = (Some(event.clone()), at);
                }
            }
            Event::Stepped { id, step } => {
                if let Some(shown) = process.directories.get_mut(id) {
                    shown.show(at, &step.snapshot, &layout, store);
                }
            }
            Event::Freshness { id, snapshot } | Event::Guard { id, snapshot, .. } => {
                if let Some(shown) = process.directories.get_mut(id) {
                    shown.show(at, snapshot, &layout, store);
                }
            }
            Event::Followed { .. }
            | Event::Propose { .. }
            | Event::Updated { .. }
            | Event::Called { .. }
            | Event::Closed { .. } => {}
        }
    }
}

/// How many records a transaction has read.
fn read_by(txn: &TxnReply) -> u64 {
    let read = txn.responses.iter().map(|response| match response {
        OpReply::Range(range) => range.kvs.len() as u64,
        OpReply::Txn(txn) => read_by(txn),
        OpReply::Put(_) | OpReply::Delete(_) => 0,
    });
    read.sum()
}

impl Believer {
    /// How many calls it waits for; streams aside, which stay open.
    pub fn waits_for(&self) -> usize {
        let is_call =
            |asked: &&Asked| !matches!(asked.request, Request::Watch(_) | Request::OnWatch { .. });
        self.waiting.values().filter(is_call).count()
    }
}

impl Shown {
    /// How many records it shows.
    pub fn count(&self) -> usize {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.records.len())
    }

    /// It shows this from now on; what has changed is compared anew.
    fn show(&mut self, at: Time, now: &Snapshot, layout: &Layout, store: &Model) {
        self.told_at = at;
        let Some(before) = self.snapshot.replace(now.clone()) else {
            return self.compare_all(layout, store);
        };
        let records = before.records.diff(&now.records).map(|(key, ..)| key.clone());
        let unread = before.bad.diff(&now.bad).map(|(key, ..)| key.clone());
        for key in records.chain(unread).collect::<Vec<_>>() {
            self.compare(layout, store, &key);
        }
    }

    fn compare_all(&mut self, layout: &Layout, store: &Model) {
        let believed = self.snapshot.iter().flat_map(|snapshot| snapshot.records.keys());
        let stored = self.ranges.iter().flat_map(|range| store.records_of(range));
        let keys: Vec<Key> = believed.chain(stored.map(|kv| &kv.key)).cloned().collect();
        self.differs.clear();
        for key in keys {
            self.compare(layout, store, &key);
        }
    }

    /// Compares one key.
    fn compare(&mut self, layout: &Layout, store: &Model, key: &Key) {
        if !self.ranges.iter().any(|range| range.contains(key)) {
            return;
        }
        let snapshot = self.snapshot.as_ref();
        let believed = snapshot.and_then(|snapshot| {
            let record = snapshot.records.get(key);
            let record = record.map(|record| (record.mod_revision, record.value_hash));
            record.or_else(|| {
                let unread = snapshot.bad.get(key)?;
                Some((unread.mod_revision, unread.value_hash))
            })
        });
        let stored = store
            .record(key)
            .filter(|kv| !matches!(layout.decode(&kv.key, &kv.value), Decoded::Ignored));
        let difference = match (believed, stored) {
            (None, None) => None,
            (None, Some(_)) => Some(Difference::Missing),
            (Some(_), None) => Some(Difference::Gone),
            (Some((revision, value)), Some(kv)) => {
                (revision != kv.mod_revision || value != hash(&kv.value)).then_some(Difference::Old)
            }
        };
        match difference {
            Some(difference) => self.differs.insert(key.clone(), difference),
            None => self.differs.remove(key),
        };
    }
}
