//! What a trace says so far, kept once for all checks.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_core::Time;
use portolan_core::engine::{
    Command, Conflict, DirectoryId, Event, FollowId, Followed, Gone, OpId, RegistrationEvent,
    RegistrationId, Snapshot, UpdateOutcome,
};
use portolan_core::layout::{Layout, Scope};
use portolan_core::waist::{
    AttemptId, Certainty, Key, KeyRange, LeaseId, Reply, Request, Revision, StoreError,
};
use portolan_memory::{ClientId, LeaseChange, LeaseStep};

use super::history::History;
use super::ops;
use crate::plan::WorldSetup;
use crate::process::Clock;
use crate::trace::{Entry, Run, What};

/// What is known after an entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Facts {
    pub setup: Arc<WorldSetup>,
    /// The present entry's time.
    pub now: Time,
    pub runs: BTreeMap<Run, RunFacts>,
    pub clients: BTreeMap<ClientId, Run>,
    pub attempts: BTreeMap<(Run, AttemptId), Attempt>,
    /// Whether the engine still waited for what the present entry answers.
    pub fresh: bool,
    pub store: History,
    pub leases: BTreeMap<LeaseId, Lease>,
    pub directories: BTreeMap<(Run, DirectoryId), Directory>,
    pub registrations: BTreeMap<(Run, RegistrationId), Registration>,
    pub ops: BTreeMap<(Run, OpId), Operation>,
    pub follows: BTreeMap<(Run, FollowId), Follower>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct RunFacts {
    pub clock: Clock,
    /// What it writes into its records.
    pub stamp: u64,
    pub life: RunLife,
    /// When it was last held, if ever.
    pub held_at: Option<Time>,
    /// By its own clock, when its shutdown is to end.
    pub closing: Option<Time>,
    pub closed: bool,
    /// Whether its end was told to have left nothing behind.
    pub farewell: bool,
    /// The newest revision that an update or a call has told its application of.
    pub acknowledged: Revision,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RunLife {
    Awake,
    Held,
    Over,
}

/// A request that was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Attempt {
    pub at: Time,
    pub request: Request,
    /// How it ended for its engine; `None`: it still waits.
    pub fate: Option<Fate>,
    /// The key-value call that it is of.
    pub call: Option<OpId>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    Answered,
    Failed(StoreError),
    Cancelled,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Lease {
    /// The run that asked for it, and for which it was granted.
    pub owner: Option<Run>,
    /// Whether the store has it.
    pub lives: bool,
    /// Whether the owner knows that it was granted.
    pub confirmed: bool,
    /// Whether its owner ever asked to revoke it.
    pub revoke_sent: bool,
    /// Whether its owner has been told that the store does not have it.
    pub known_dead: bool,
    /// By the owner's clock, until when it may rely on it: as long as no acknowledged request for
    /// it is older than the time to live that it brought.
    pub relied_until: Time,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Directory {
    pub scope: Scope,
    pub keys: Option<KeyRange>,
    /// What it showed before the present entry, and shows now.
    pub before: Option<Snapshot>,
    pub shown: Option<Snapshot>,
    pub open: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Registration {
    pub keys: Vec<Key>,
    pub conflict: Conflict,
    pub told: Option<RegistrationEvent>,
    /// By its run's clock, when its removal is to end.
    pub deadline: Option<Time>,
    pub gone: Option<Gone>,
    /// The lease on which its record is known to hang, and since which revision.
    pub hangs_on: Option<(Revision, LeaseId)>,
    /// Whether an answer has ever shown its own record in the store.
    pub stood: bool,
}

/// A follower of a key range.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Follower {
    pub keys: KeyRange,
    pub from: Option<Revision>,
    pub open: bool,
    /// All changes up to here were told, or declared missing; `None`: nothing was told yet.
    pub cursor: Option<Revision>,
    /// A gap was declared, and no whole list was told since.
    pub broken: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Operation {
    pub kind: OperationKind,
    /// By its run's clock.
    pub deadline: Time,
    pub ended: bool,
    pub outcome: Option<UpdateOutcome>,
    /// The newest revision that its application had been told as written when it began.
    pub floor: Revision,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum OperationKind {
    Update { key: Option<Key> },
    Call { request: Request },
}

impl Facts {
    pub fn new(setup: Arc<WorldSetup>) -> Self {
        Self {
            setup,
            now: Time::ZERO,
            runs: BTreeMap::new(),
            clients: BTreeMap::new(),
            attempts: BTreeMap::new(),
            fresh: false,
            store: History::new(),
            leases: BTreeMap::new(),
            directories: BTreeMap::new(),
            registrations: BTreeMap::new(),
            ops: BTreeMap::new(),
            follows: BTreeMap::new(),
        }
    }

    pub fn layout(&self) -> &Layout {
        &self.setup.layout
    }

    /// What a run's clock shows at a moment of the world.
    pub fn local(&self, run: Run, at: Time) -> Time {
        self.runs.get(&run).map_or(at, |facts| facts.clock.local(at))
    }

    /// Whether a run takes inputs as they come.
    pub fn is_awake(&self, run: Run) -> bool {
        self.runs.get(&run).is_some_and(|facts| facts.life == RunLife::Awake)
    }

    /// The attempt that an entry answers, if its engine still waited for it.
    pub fn answered<'a>(&'a self, entry: &'a Entry) -> Option<(Run, &'a Attempt, &'a Reply)> {
        match &entry.what {
            What::Answered { run, attempt, reply } if self.fresh => {
                Some((*run, self.attempts.get(&(*run, *attempt))?, reply))
            }
            _ => None,
        }
    }

    /// The directories of a run that show just these keys.
    pub fn directories_of(
        &self,
        run: Run,
        keys: &KeyRange,
    ) -> impl Iterator<Item = (DirectoryId, &Directory)> {
        self.directories
            .range((run, DirectoryId(0))..=(run, DirectoryId(u64::MAX)))
            .filter(move |(_, directory)| directory.open && directory.keys.as_ref() == Some(keys))
            .map(|(&(_, id), directory)| (id, directory))
    }

    /// The one directory of a run that shows just these keys; `None` if there are several, or a
    /// follower of them, since the wire does not tell for which of them an attempt is.
    pub fn only_directory_of(
        &self,
        run: Run,
        keys: &KeyRange,
    ) -> Option<(DirectoryId, &Directory)> {
        let mut of = self.directories_of(run, keys);
        of.next().filter(|_| of.next().is_none() && !self.is_followed(run, keys))
    }

    /// Whether a run has ever followed just these keys.
    pub fn is_followed(&self, run: Run, keys: &KeyRange) -> bool {
        let mut followers = self.follows.range((run, FollowId(0))..=(run, FollowId(u64::MAX)));
        followers.any(|(_, follower)| follower.keys == *keys)
    }

    /// The registrations of a run.
    pub fn registrations_of(
        &self,
        run: Run,
    ) -> impl Iterator<Item = (RegistrationId, &Registration)> {
        self.registrations
            .range((run, RegistrationId(0))..=(run, RegistrationId(u64::MAX)))
            .map(|(&(_, id), registration)| (id, registration))
    }

    /// Takes the next entry.
    pub fn take(&mut self, entry: &Entry) {
        self.now = entry.at;
        self.fresh = false;
        match &entry.what {
            What::Started { run, stamp, clock } => {
                let facts = RunFacts {
                    clock: *clock,
                    stamp: *stamp,
                    life: RunLife::Awake,
                    held_at: None,
                    closing: None,
                    closed: false,
                    farewell: false,
                    acknowledged: Revision::ZERO,
                };
                self.runs.insert(*run, facts);
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
            }
            What::Leased(change) => self.leased(change),
            What::Began(_)
            | What::Did(_)
            | What::Healed
            | What::Broke { .. }
            | What::Arrived { .. }
            | What::Delayed { .. }
            | What::Stopped { .. }
            | What::Swallowed { .. }
            | What::Stored(_)
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
                    keys,
                    conflict: *conflict,
                    told: None,
                    deadline: None,
                    gone: None,
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
                let directory = Directory {
                    scope: scope.clone(),
                    keys,
                    before: None,
                    shown: None,
                    // An engine that is closing opens nothing any more.
                    open: self.runs.get(&run).is_some_and(|known| known.closing.is_none()),
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
        match event {
            Event::Registration { id, event } => {
                let Some(registration) = self.registrations.get_mut(&(run, *id)) else { return };
                match event {
                    RegistrationEvent::Gone(gone) => registration.gone = Some(gone.clone()),
                    RegistrationEvent::Registered { lease, revision, .. } => {
                        registration.stood = true;
                        registration.hangs(*revision, *lease);
                    }
                    RegistrationEvent::Lost { .. }
                    | RegistrationEvent::Denied { .. }
                    | RegistrationEvent::Waiting { .. } => {}
                }
                registration.told = Some(event.clone());
            }
            Event::Stepped { id, step } => self.show(run, *id, &step.snapshot),
            Event::Freshness { id, snapshot } | Event::Guard { id, snapshot, .. } => {
                self.show(run, *id, snapshot);
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
                    facts.farewell = *confirmed;
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

    fn show(&mut self, run: Run, id: DirectoryId, snapshot: &Snapshot) {
        if let Some(directory) = self.directories.get_mut(&(run, id)) {
            directory.before = directory.shown.replace(snapshot.clone());
        }
    }

    fn sent(&mut self, run: Run, attempt: AttemptId, request: &Request) {
        let own = self.ops.range((run, OpId(0))..=(run, OpId(u64::MAX)));
        let call = own
            .filter(|(_, operation)| {
                !operation.ended
                    && matches!(&operation.kind,
                        OperationKind::Call { request: called } if called == request)
            })
            .map(|(&(_, id), _)| id)
            .next();
        if let Request::Revoke(revoke) = request
            && let Some(lease) = self.leases.get_mut(&revoke.lease)
        {
            lease.revoke_sent |= lease.owner == Some(run);
        }
        let known = Attempt { at: self.now, request: request.clone(), fate: None, call };
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
        let stood: Vec<(RegistrationId, Option<LeaseId>)> = ops::writes(&known.request)
            .into_iter()
            .filter(|write| keys.contains(&write.key))
            .filter_map(|write| {
                let stamp = self.setup.layout.stamp_of(write.key, &write.put?.value)?;
                Some((RegistrationId(stamp.registration), write.lease()))
            })
            .collect();
        for (id, lease) in stood {
            let Some(registration) = self.registrations.get_mut(&(run, id)) else { continue };
            registration.stood = true;
            if let Some(lease) = lease {
                registration.hangs(at, lease);
            }
        }
        if let Reply::Watch(reply) = reply {
            for event in &reply.events {
                self.sighted(run, &event.kv.key, event.kv.mod_revision);
            }
        }
        for lease in dead.into_iter().filter(|_| call.is_none()) {
            if let Some(lease) =
                self.leases.get_mut(&lease).filter(|known| known.owner == Some(run))
            {
                lease.known_dead = true;
            }
        }
        let (lease, ttl_secs) = match reply {
            Reply::Grant(reply) => (reply.lease, reply.ttl_secs),
            Reply::KeepAlive(reply) => (reply.lease, reply.ttl_secs),
            _ => return,
        };
        let Some(facts) = self.runs.get(&run) else { return };
        let ttl = std::time::Duration::from_secs(u64::try_from(ttl_secs).unwrap_or(0));
        let error = ttl * self.setup.tuning.clock_error_permille.min(1_000) / 1_000;
        let until = facts.clock.local(asked) + (ttl - error);
        if let Some(lease) = self.leases.get_mut(&lease).filter(|lease| lease.owner == Some(run)) {
            lease.confirmed |= matches!(reply, Reply::Grant(_));
            if ttl_secs > 0 {
                lease.relied_until = lease.relied_until.max(until);
            }
        }
    }

    /// A run was shown a record of its own as it was at a revision.
    fn sighted(&mut self, run: Run, key: &Key, at: Revision) {
        let Some(version) = self.store.at(key, at) else { return };
        let (Some(stamp), Some(lease)) = (version.stamp(), version.lease) else { return };
        let id = RegistrationId(stamp.registration);
        let own = self.runs.get(&run).is_some_and(|known| known.stamp == stamp.run)
            && self.leases.get(&lease).is_some_and(|known| known.owner == Some(run));
        if let (true, Some(registration)) = (own, self.registrations.get_mut(&(run, id))) {
            registration.hangs(at, lease);
        }
    }

    fn leased(&mut self, change: &LeaseChange) {
        match change.step {
            LeaseStep::Granted { from, .. } => {
                let lease = Lease {
                    owner: self.clients.get(&from).copied(),
                    lives: true,
                    confirmed: false,
                    revoke_sent: false,
                    known_dead: false,
                    relied_until: Time::ZERO,
                };
                self.leases.insert(change.lease, lease);
            }
            LeaseStep::Ended { .. } => {
                if let Some(lease) = self.leases.get_mut(&change.lease) {
                    lease.lives = false;
                }
            }
            LeaseStep::Renewed { .. } | LeaseStep::Prolonged { .. } => {}
        }
    }
}

impl Directory {
    /// The revision that it shows; 0 before its first list.
    pub fn cursor(&self) -> Revision {
        self.shown.as_ref().map_or(Revision::ZERO, |shown| shown.revision)
    }
}

impl Follower {
    /// As it was before anything was told.
    pub fn unheard(&self) -> Self {
        Self { cursor: None, broken: false, ..self.clone() }
    }

    fn hear(&mut self, what: &Followed) {
        match what {
            Followed::Begun { revision } => self.cursor = Some(*revision),
            Followed::Changes { events } => {
                self.cursor = events.last().map(|event| event.kv.mod_revision).or(self.cursor);
            }
            Followed::Lagged { after } | Followed::Gap { after, .. } => {
                self.cursor = Some(*after);
                self.broken = true;
            }
            Followed::Listed { revision, complete, .. } => {
                if *complete {
                    self.cursor = Some(*revision);
                    self.broken = false;
                }
            }
        }
    }
}

impl Registration {
    fn hangs(&mut self, at: Revision, lease: LeaseId) {
        if self.hangs_on.is_none_or(|(known, _)| known <= at) {
            self.hangs_on = Some((at, lease));
        }
    }
}

impl Attempt {
    /// Whether its engine cannot know whether it was, or will be, applied.
    pub fn is_in_doubt(&self) -> bool {
        match &self.fate {
            Some(Fate::Failed(error)) => error.certainty() == Certainty::Unknown,
            Some(Fate::Cancelled) => true,
            Some(Fate::Answered) | None => false,
        }
    }
}
