//! What a trace says so far, kept once for all checks.

use std::collections::BTreeMap;
use std::slice;
use std::sync::Arc;

use portolan_core::Time;
use portolan_core::engine::{
    Command, DirectoryId, Event, FollowId, OpId, RegistrationEvent, RegistrationId, UpdateOutcome,
};
use portolan_core::layout::{Decoded, Scope};
use portolan_core::waist::{AttemptId, Key, KeyRange, KeyValue, LeaseId, Reply, Request, Revision};
use portolan_memory::{ClientId, LeaseChange, LeaseStep};

use super::digest::Digest;
use super::epochs::{Backup, Epochs};
use super::history::{History, Version};
use super::ops;
use crate::plan::{Left, WorldSetup};
use crate::trace::{Entry, Run, What};

mod asked;
mod attempts;
mod records;

pub(crate) use self::attempts::Attempts;
pub(crate) use self::records::{
    Attempt, Clocks, Directory, Fate, Follower, Lease, Moment, Operation, OperationKind,
    Registration, RunFacts, RunLife,
};

/// What is known after an entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Facts {
    pub setup: Arc<WorldSetup>,
    /// Where all instances' records are.
    instances: Vec<KeyRange>,
    /// The present entry's time.
    pub now: Time,
    /// What was left as it was when all else healed.
    pub left: Left,
    pub runs: BTreeMap<Run, RunFacts>,
    pub clients: BTreeMap<ClientId, Run>,
    pub attempts: Attempts,
    /// Whether the engine still waited for what the present entry answers.
    pub fresh: bool,
    /// The store's present history.
    pub store: History,
    /// Whom the present entry tells that the store does not have a lease.
    pub died: Vec<(Run, LeaseId)>,
    /// Those before it, oldest first: the store was wiped, restored or replaced in between.
    pub past: Vec<History>,
    pub backup: Option<Backup>,
    pub leases: BTreeMap<LeaseId, Lease>,
    /// Of each run, those that were granted for it.
    owned: BTreeMap<Run, Vec<LeaseId>>,
    pub directories: BTreeMap<(Run, DirectoryId), Directory>,
    pub registrations: BTreeMap<(Run, RegistrationId), Registration>,
    pub ops: BTreeMap<(Run, OpId), Operation>,
    pub follows: BTreeMap<(Run, FollowId), Follower>,
}

impl Facts {
    pub fn new(setup: Arc<WorldSetup>) -> Self {
        Self {
            instances: setup.layout.ranges(&Scope::AllInstances),
            setup,
            now: Time::ZERO,
            left: Left::default(),
            runs: BTreeMap::new(),
            clients: BTreeMap::new(),
            attempts: Attempts::default(),
            fresh: false,
            store: History::new(),
            died: Vec::new(),
            past: Vec::new(),
            backup: None,
            leases: BTreeMap::new(),
            owned: BTreeMap::new(),
            directories: BTreeMap::new(),
            registrations: BTreeMap::new(),
            ops: BTreeMap::new(),
            follows: BTreeMap::new(),
        }
    }

    /// Takes the next entry.
    pub fn take(&mut self, entry: &Entry) {
        self.now = entry.at;
        self.fresh = false;
        self.died.clear();
        match &entry.what {
            What::Started { run, stamp, clock } => {
                let facts = RunFacts {
                    clock: Clocks::of(*clock),
                    stamp: *stamp,
                    life: RunLife::Awake,
                    held_at: None,
                    closing: None,
                    closed: false,
                    farewell: None,
                    home: None,
                    acknowledged: Revision::ZERO,
                };
                self.runs.insert(*run, facts);
            }
            What::Clocked { run, clock } => {
                if let Some(facts) = self.runs.get_mut(run) {
                    facts.clock.runs(*clock);
                }
            }
            What::Crashed(run) => self.live(*run, RunLife::Over),
            What::Paused(run) => self.live(*run, RunLife::Held),
            What::Resumed(run) => self.live(*run, RunLife::Awake),
            What::Wanted { run, command } => self.wanted(*run, command),
            What::Told { run, event } => self.told(*run, event),
            What::Sent { run, attempt, request, .. } => self.sent(*run, *attempt, request),
            What::Cancelled { run, attempt } => {
                if let Some(known) = self.attempts.get_mut(&(*run, *attempt)) {
                    known.fate.get_or_insert(Fate::Cancelled);
                }
            }
            What::Answered { run, attempt, reply } => self.hear(*run, *attempt, reply),
            What::Connected { run, client, .. } => {
                self.clients.insert(*client, *run);
            }
            What::Changed(change) => {
                let setup = Arc::clone(&self.setup);
                self.store.push(&setup.layout, &self.clients, change);
                if let Some(lease) = change.kv.lease {
                    self.use_lease(lease);
                }
            }
            What::Leased(change) => self.leased(change),
            What::Stored(fault) => self.stored(*fault),
            What::Healed(left) => self.left = left.clone(),
            What::Began(_)
            | What::Did(_)
            | What::Broke { .. }
            | What::Arrived { .. }
            | What::Delayed { .. }
            | What::Stopped { .. }
            | What::Swallowed { .. }
            | What::Membered { .. }
            | What::Led(_)
            | What::Allowed(_)
            | What::PasswordSet { .. }
            | What::Lost { .. }
            | What::Compacted(_) => {}
        }
    }

    fn live(&mut self, run: Run, life: RunLife) {
        let now = self.now;
        if let Some(facts) = self.runs.get_mut(&run) {
            facts.life = life;
            if life != RunLife::Over {
                facts.held_at = Some(now);
            }
        }
    }

    fn wanted(&mut self, run: Run, command: &Command) {
        let now = self.local(run, self.now);
        match command {
            Command::Register { id, instance, conflict } => {
                let layout = self.layout();
                let keys = layout
                    .instance_keys(&instance.group_name(), &instance.instance_id())
                    .unwrap_or_default();
                let registration = Registration {
                    wanted: now,
                    keys,
                    conflict: *conflict,
                    told: None,
                    deadline: None,
                    gone: None,
                    gone_in: 0,
                    hangs_on: None,
                    stood: false,
                };
                self.registrations.insert((run, *id), registration);
            }
            Command::Deregister { id, within } => {
                if let Some(registration) = self.registrations.get_mut(&(run, *id)) {
                    registration.deadline.get_or_insert(now + *within);
                }
            }
            Command::Open { id, scope } => {
                let keys = self.layout().ranges(scope).into_iter().next();
                if let Some(keys) = &keys {
                    let histories = self.past.iter_mut().chain([&mut self.store]);
                    histories.for_each(|history| history.account_for(keys));
                }
                let directory = Directory {
                    scope: scope.clone(),
                    keys,
                    before: None,
                    shown: None,
                    digest: Digest::default(),
                    // An engine that is closing opens nothing any more.
                    open: self.runs.get(&run).is_some_and(|known| known.closing.is_none()),
                    epochs_before: Epochs::new(),
                    epochs: (0..=self.epoch()).collect(),
                };
                self.directories.insert((run, *id), directory);
            }
            Command::Close { id } => {
                if let Some(directory) = self.directories.get_mut(&(run, *id)) {
                    directory.open = false;
                }
            }
            Command::Update { id, group, within } => {
                let kind = OperationKind::Update { key: self.layout().config_key(group) };
                self.begin(run, *id, kind, now + *within);
            }
            Command::Call { id, request, within } => {
                let kind = OperationKind::Call { request: request.clone() };
                self.begin(run, *id, kind, now + *within);
            }
            Command::Abandon { id } => {
                if let Some(operation) = self.ops.get_mut(&(run, *id)) {
                    operation.ended = true;
                }
            }
            Command::Shutdown { within } => {
                if let Some(facts) = self.runs.get_mut(&run) {
                    facts.closing.get_or_insert(now + *within);
                }
                let deadline = now + *within;
                for ((of, _), registration) in &mut self.registrations {
                    if *of == run && registration.gone.is_none() {
                        let sooner = registration.deadline.map_or(deadline, |at| at.min(deadline));
                        registration.deadline = Some(sooner);
                    }
                }
                for ((of, _), directory) in &mut self.directories {
                    if *of == run {
                        directory.open = false;
                    }
                }
                for ((of, _), follower) in &mut self.follows {
                    if *of == run {
                        follower.open = false;
                    }
                }
            }
            Command::Follow { id, keys, from } => {
                let follower = Follower {
                    listed: None,
                    keys: keys.clone(),
                    from: *from,
                    open: self.runs.get(&run).is_some_and(|known| known.closing.is_none()),
                    cursor: None,
                    broken: false,
                };
                self.follows.insert((run, *id), follower);
            }
            Command::Unfollow { id } => {
                if let Some(follower) = self.follows.get_mut(&(run, *id)) {
                    follower.open = false;
                }
            }
            Command::Publish { .. }
            | Command::Refused { .. }
            | Command::Proposed { .. }
            | Command::Acknowledge { .. } => {}
        }
    }

    fn begin(&mut self, run: Run, id: OpId, kind: OperationKind, deadline: Time) {
        let floor = self.runs.get(&run).map_or(Revision::ZERO, |facts| facts.acknowledged);
        let operation = Operation { kind, deadline, ended: false, outcome: None, floor };
        self.ops.insert((run, id), operation);
    }

    fn told(&mut self, run: Run, event: &Event) {
        let epoch = self.epoch();
        match event {
            Event::Registration { id, event } => {
                let Some(registration) = self.registrations.get(&(run, *id)) else { return };
                let stands = match event {
                    RegistrationEvent::Registered { lease, revision, .. } => {
                        Some((self.moment(&registration.keys, *revision, *lease), *lease))
                    }
                    RegistrationEvent::Gone(_)
                    | RegistrationEvent::Lost { .. }
                    | RegistrationEvent::Denied { .. }
                    | RegistrationEvent::Waiting { .. } => None,
                };
                let Some(registration) = self.registrations.get_mut(&(run, *id)) else { return };
                match event {
                    RegistrationEvent::Gone(gone) => {
                        registration.gone = Some(gone.clone());
                        registration.gone_in = epoch;
                    }
                    RegistrationEvent::Registered { .. } => {
                        registration.stood = true;
                        // Whatever was known before: this is what the application relies on.
                        registration.hangs_on = stands;
                    }
                    RegistrationEvent::Lost { .. }
                    | RegistrationEvent::Denied { .. }
                    | RegistrationEvent::Waiting { .. } => {}
                }
                registration.told = Some(event.clone());
            }
            Event::Stepped { id, step } => self.show(run, *id, &step.snapshot, Some(step.cause)),
            Event::Freshness { id, snapshot } | Event::Guard { id, snapshot, .. } => {
                self.show(run, *id, snapshot, None);
            }
            Event::Updated { id, outcome } => {
                if let UpdateOutcome::Done { revision } = outcome {
                    self.acknowledge(run, *revision);
                }
                if let Some(operation) = self.ops.get_mut(&(run, *id)) {
                    operation.ended = true;
                    operation.outcome = Some(outcome.clone());
                }
            }
            Event::Called { id, result } => {
                if let Some(header) = result.as_ref().ok().and_then(Reply::header) {
                    self.acknowledge(run, header.revision);
                }
                if let Some(operation) = self.ops.get_mut(&(run, *id)) {
                    operation.ended = true;
                }
            }
            Event::Closed { confirmed } => {
                if let Some(facts) = self.runs.get_mut(&run) {
                    facts.closed = true;
                    facts.farewell = confirmed.then_some(epoch);
                }
            }
            Event::Followed { id, what, .. } => {
                if let Some(follower) = self.follows.get_mut(&(run, *id)) {
                    follower.hear(what);
                }
            }
            Event::Propose { .. } => {}
        }
    }

    fn acknowledge(&mut self, run: Run, revision: Revision) {
        if let Some(facts) = self.runs.get_mut(&run) {
            facts.acknowledged = facts.acknowledged.max(revision);
        }
    }

    /// The calls of a run that ask `request`, and have not ended.
    pub fn calls_for(&self, run: Run, request: &Request) -> impl Iterator<Item = OpId> {
        let asks = move |operation: &Operation| {
            !operation.ended
                && matches!(&operation.kind,
                    OperationKind::Call { request: called } if called == request)
        };
        self.ops_by(run).filter(move |(_, operation)| asks(operation)).map(|(id, _)| id)
    }

    fn sent(&mut self, run: Run, attempt: AttemptId, request: &Request) {
        let call = self.calls_for(run, request).next();
        if let Request::Revoke(revoke) = request
            && let Some(lease) = self.leases.get_mut(&revoke.lease)
        {
            lease.revoke_sent |= lease.owner == Some(run);
        }
        let (at, epoch) = (self.now, self.epoch());
        let says: Vec<_> = ops::writes(request)
            .into_iter()
            .map(|write| Some(self.layout().decode(write.key, &write.put?.value)))
            .collect();
        let known = Attempt { at, epoch, request: request.clone(), says, fate: None, call };
        self.attempts.insert((run, attempt), known);
    }

    fn hear(&mut self, run: Run, attempt: AttemptId, reply: &Reply) {
        let Some(known) = self.attempts.get_mut(&(run, attempt)) else { return };
        if known.fate.is_some() {
            return;
        }
        self.fresh = true;
        let is_stream = matches!(known.request, Request::Watch(_));
        match reply {
            Reply::Failed(error) => known.fate = Some(Fate::Failed(error.clone())),
            _ if is_stream => {}
            _ => known.fate = Some(Fate::Answered),
        }
        let asked = known.at;
        let call = known.call;
        let dead = ops::found_dead(&known.request, reply);
        let at = reply.header().map_or(Revision::ZERO, |header| header.revision);
        let keys = ops::written(&known.request, reply);
        let looked_up = ops::looked_up(&known.request, reply);
        let stood: Vec<(RegistrationId, Key, Option<LeaseId>)> = known
            .writes()
            .filter(|(write, _)| keys.contains(&write.key))
            .filter_map(|(write, says)| {
                let Some(Decoded::Instance(instance)) = says else { return None };
                let id = RegistrationId(instance.stamp()?.registration);
                Some((id, write.key.clone(), write.lease()))
            })
            .collect();
        for (id, key, lease) in stood {
            let on = lease.map(|lease| (self.moment(slice::from_ref(&key), at, lease), lease));
            let Some(registration) = self.registrations.get_mut(&(run, id)) else { continue };
            registration.stood = true;
            if let Some((moment, lease)) = on {
                registration.hangs(moment, lease);
            }
        }
        // What the application asks for itself tells its registrations nothing.
        for kv in looked_up.into_iter().filter(|_| call.is_none()) {
            self.sighted(run, kv);
        }
        if let Reply::Watch(reply) = reply {
            for event in &reply.events {
                self.sighted(run, &event.kv);
            }
        }
        let cluster = reply.header().map_or(0, |header| header.cluster_id);
        for id in dead.into_iter().filter(|_| call.is_none()) {
            let lease = self.leases.get_mut(&id).filter(|known| known.owner == Some(run));
            // What another cluster says of it proves nothing.
            let foreign = lease.as_ref().is_some_and(|lease| lease.cluster != cluster);
            if cluster == 0 || !foreign {
                self.died.push((run, id));
                if let Some(lease) = lease {
                    lease.known_dead = true;
                }
            }
        }
        let (lease, ttl_secs) = match reply {
            Reply::Grant(reply) => (reply.lease, reply.ttl_secs),
            Reply::KeepAlive(reply) => (reply.lease, reply.ttl_secs),
            _ => return,
        };
        let Some(facts) = self.runs.get_mut(&run) else { return };
        if matches!(reply, Reply::Grant(_)) {
            facts.home.get_or_insert(cluster);
        }
        let ttl = std::time::Duration::from_secs(u64::try_from(ttl_secs).unwrap_or(0));
        let error = ttl * self.setup.tuning.clock_error_permille.min(1_000) / 1_000;
        let until = facts.clock.local(asked) + (ttl - error);
        if let Some(lease) = self.leases.get_mut(&lease).filter(|lease| lease.owner == Some(run)) {
            if matches!(reply, Reply::Grant(_)) {
                lease.confirmed = true;
                lease.cluster = cluster;
            }
            if ttl_secs > 0 {
                lease.relied_until = lease.relied_until.max(until);
            }
        }
    }

    /// A run was shown a record of its own as it was at a revision.
    fn sighted(&mut self, run: Run, kv: &KeyValue) {
        let Some(lease) = kv.lease else { return };
        let moment = self.moment(slice::from_ref(&kv.key), kv.mod_revision, lease);
        let (epoch, at) = moment;
        let Some(stamp) = self.history(epoch).at(&kv.key, at).and_then(Version::stamp) else {
            return;
        };
        let id = RegistrationId(stamp.registration);
        let own = self.runs.get(&run).is_some_and(|known| known.stamp == stamp.run)
            && self.leases.get(&lease).is_some_and(|known| known.owner == Some(run));
        if let (true, Some(registration)) = (own, self.registrations.get_mut(&(run, id))) {
            if registration.hangs_on.is_some_and(|((known, _), _)| known < epoch) {
                // What is shown does not tell that the store is another one.
                return;
            }
            registration.hangs(moment, lease);
        }
    }

    fn use_lease(&mut self, lease: LeaseId) {
        if let Some(lease) = self.leases.get_mut(&lease) {
            lease.used = true;
        }
    }

    fn leased(&mut self, change: &LeaseChange) {
        match change.step {
            LeaseStep::Granted { from, .. } => {
                let lease = Lease {
                    owner: self.clients.get(&from).copied(),
                    lives: true,
                    confirmed: false,
                    cluster: 0,
                    used: false,
                    revoke_sent: false,
                    known_dead: false,
                    relied_until: Time::ZERO,
                };
                let id = change.lease;
                if let Some(Lease { owner: Some(before), .. }) = self.leases.get(&id)
                    && let Some(owned) = self.owned.get_mut(before)
                {
                    owned.retain(|&lease| lease != id);
                }
                if let Some(owner) = lease.owner {
                    self.owned.entry(owner).or_default().push(id);
                }
                self.leases.insert(id, lease);
            }
            LeaseStep::Ended { .. } => {
                if let Some(lease) = self.leases.get_mut(&change.lease) {
                    lease.lives = false;
                }
            }
            LeaseStep::Renewed { .. } => self.use_lease(change.lease),
            LeaseStep::Prolonged { .. } => {}
        }
    }
}
