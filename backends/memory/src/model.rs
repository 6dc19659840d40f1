//! One etcd member as its clients see it.
//!
//! ```text
//! request ─→ refused by gRPC, checks, limits ──────────────────────────────→ answer
//!         ─→ read from the member's own state ─────────────────────────────→ answer
//!         ─→ command ─→ (waits for a leader) ─→ applied ─→ log, watchers ──→ answer
//! tick ────→ expired lease ─→ command ─↗
//! ```
//!
//! What one member has (`Member`) is apart from what the leader has (`Lessor`) and from what the
//! whole cluster has (the log), so that members that lag can be added.

mod faults;
mod leases;
mod view;

use std::collections::VecDeque;

use portolan_core::Time;
use portolan_core::waist::{
    AttemptId, Header, LeaseId, MemberInfo, MembersReply, Range, Reply, Request, Revision,
    StatusReply, StoreError,
};

use crate::lessor::Lessor;
use crate::log::{Cause, Change, LeaseStep};
use crate::state::{Command, State};
use crate::watch::{Said, Scene, Watches};
use crate::{ClientId, Config, Input, Log, Output, check, range, size, store, txn};

pub use view::LeaseView;

/// The in-memory model of etcd. See the crate's documentation.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Model {
    config: Config,
    now: Time,
    power: Power,
    /// How often the history began anew: by a wipe, a restore, another cluster.
    epoch: u64,
    term: u64,
    /// Since when there is no leader, if there is none.
    leaderless_since: Option<Time>,
    member: Member,
    lessor: Lessor,
    log: Log,
    /// How many leases were granted with an id of our choice.
    chosen: u64,
    waiting: Vec<Waiting>,
    /// What has arrived while the process is held.
    held: VecDeque<Input>,
    backup: Option<Box<Backup>>,
    outputs: VecDeque<Output>,
}

/// What one member has.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Member {
    state: State,
    watches: Watches,
    /// The space alarm (row E2).
    full: bool,
    /// Too far behind with applying to take proposals (row E3).
    overloaded: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
enum Power {
    On,
    /// Held, as by SIGSTOP.
    Held,
    Off,
}

/// A call that is not answered yet.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Waiting {
    from: ClientId,
    attempt: AttemptId,
    what: Waits,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
enum Waits {
    /// For a leader, until a time when this error is the answer.
    Leader { later: Later, until: Time, otherwise: StoreError },
    /// For the revoke of a lease that is over (row L7). The header is from before (row R6).
    Revoke { lease: LeaseId, header: Header },
}

/// What is taken up again once there is a leader.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
enum Later {
    Request(Request),
    /// Already proposed.
    Command(Command),
}

/// What a backup holds.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Backup {
    state: State,
    log: Log,
}

impl Model {
    /// A fresh member that leads a cluster of its own, at time 0 with an empty store.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            now: Time::ZERO,
            power: Power::On,
            epoch: 0,
            term: FIRST_TERM,
            leaderless_since: None,
            member: Member::new(),
            lessor: Lessor::default(),
            log: Log::default(),
            chosen: 0,
            waiting: Vec::new(),
            held: VecDeque::new(),
            backup: None,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input. Timers due at or before `now` run first, each at its own time. A time
    /// before an earlier one counts as that one.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.run_timers(now);
        self.now = self.now.max(now);
        if self.power == Power::Held {
            match input {
                Input::Request { .. } | Input::Cancel { .. } | Input::Disconnect { .. } => {
                    self.held.push_back(input);
                    return;
                }
                Input::Fault(_) | Input::Tick => {}
            }
        }
        match input {
            // One member stands for all of them so far.
            Input::Request { from, attempt, member: _, request } => {
                self.request(from, attempt, request);
            }
            Input::Cancel { from, attempt } => {
                self.member.watches.close((from, attempt));
                self.waiting.retain(|call| (call.from, call.attempt) != (from, attempt));
            }
            Input::Disconnect { from } => {
                self.member.watches.close_client(from);
                self.waiting.retain(|call| call.from != from);
                self.outputs.retain(|output| output.to != from);
            }
            Input::Fault(fault) => self.fault(fault),
            Input::Tick => {}
        }
    }

    /// The next thing that a client is told. Drain it after every [`handle`](Self::handle).
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to pass [`Input::Tick`] if nothing else happens first.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.power != Power::On {
            return None;
        }
        let waits = self.waiting.iter().filter_map(|call| match &call.what {
            Waits::Leader { until, .. } => Some(*until),
            Waits::Revoke { .. } => None,
        });
        let timers =
            [self.lessor.next_scan(&self.config), self.member.watches.next_tick(), self.cut_at()];
        timers.into_iter().flatten().chain(waits).min()
    }

    fn run_timers(&mut self, now: Time) {
        while let Some(due) = self.poll_timeout().filter(|&due| due <= now) {
            // After a hold timers run on waking, not when they were due.
            self.now = self.now.max(due);
            self.give_up_waiting();
            self.cut_streams();
            self.expire_leases();
            self.on_watches(|watches, scene, said| watches.tick(scene, said));
        }
    }

    fn request(&mut self, from: ClientId, attempt: AttemptId, request: Request) {
        let stream =
            if let Request::OnWatch { stream, .. } = &request { Some(*stream) } else { None };
        match (self.answer(from, attempt, request), stream) {
            (Ok(None), _) => {}
            (Ok(Some(reply)), _) => self.reply(from, attempt, reply),
            (Err(error), None) => self.reply(from, attempt, Reply::Failed(error)),
            // What is said on a stream has no answer of its own: the stream ends.
            (Err(error), Some(stream)) => {
                if self.member.watches.close((from, stream)) {
                    self.reply(from, stream, Reply::Failed(error));
                }
            }
        }
    }

    /// The answer to a request, if it has one at once.
    fn answer(
        &mut self,
        from: ClientId,
        attempt: AttemptId,
        request: Request,
    ) -> Result<Option<Reply>, StoreError> {
        if self.power == Power::Off {
            return Err(StoreError::Refused { detail: "the store is stopped".to_owned() });
        }
        self.check_message(&request)?;
        self.check_leader(&request)?;
        self.check_space(&request)?;
        let command = match request {
            Request::Range(request) => {
                check::range(&request)?;
                if !request.serializable && self.leaderless_since.is_some() {
                    let later = Later::Request(Request::Range(request));
                    return self.wait(from, attempt, later, StoreError::TimedOut);
                }
                return self.range(&request).map(Some);
            }
            Request::Txn(request) => {
                check::txn(&request, self.config.max_txn_ops)?;
                if !txn::is_read_only(&request) {
                    Command::Txn(request)
                } else if !txn::is_serializable(&request) && self.leaderless_since.is_some() {
                    let later = Later::Request(Request::Txn(request));
                    return self.wait(from, attempt, later, StoreError::TimedOut);
                } else {
                    let reply = self.member.state.read_txn(&request, &self.config.quirks)?;
                    return Ok(Some(reply));
                }
            }
            Request::Put(request) => {
                check::put(&request)?;
                Command::Put(request)
            }
            Request::Delete(request) => {
                check::delete(&request)?;
                Command::Delete(request)
            }
            Request::Compact(request) => Command::Compact(request),
            Request::Grant(request) => {
                let lease = request.lease.unwrap_or_else(|| self.choose_lease());
                Command::Grant { lease, ttl_secs: request.ttl_secs }
            }
            Request::Revoke(request) => Command::Revoke { lease: request.lease },
            Request::KeepAlive(request) => return self.keep_alive(from, attempt, request),
            Request::TimeToLive(request) => return self.time_to_live(from, attempt, request),
            Request::Leases => return Ok(Some(Reply::Leases(self.all_leases()))),
            Request::Watch(watch) => {
                self.on_watches(|watches, scene, said| {
                    watches.open(scene, (from, attempt), watch, said);
                });
                return Ok(None);
            }
            Request::OnWatch { stream, say } => {
                self.on_watches(|watches, scene, said| {
                    watches.say(scene, (from, stream), say, said);
                });
                return Ok(None);
            }
            Request::Status => return Ok(Some(Reply::Status(self.status()))),
            Request::Members => return Ok(Some(Reply::Members(self.members()))),
            Request::Authenticate => return Err(StoreError::AuthNotEnabled),
        };
        self.propose(from, attempt, command)
    }

    /// What gRPC lets through at all (row E1).
    fn check_message(&self, request: &Request) -> Result<(), StoreError> {
        let size = size::request(request);
        let limit = self.config.max_message_bytes();
        if size > limit { Err(StoreError::MessageTooLarge { size, limit }) } else { Ok(()) }
    }

    /// Row W17: clients ask for a leader on everything but stale reads and status.
    fn check_leader(&self, request: &Request) -> Result<(), StoreError> {
        let asked = match request {
            Request::Range(range) => !range.serializable,
            Request::Status | Request::OnWatch { .. } => false,
            Request::Put(_)
            | Request::Delete(_)
            | Request::Txn(_)
            | Request::Compact(_)
            | Request::Grant(_)
            | Request::Revoke(_)
            | Request::KeepAlive(_)
            | Request::TimeToLive(_)
            | Request::Leases
            | Request::Watch(_)
            | Request::Members
            | Request::Authenticate => true,
        };
        if asked && self.config.require_leader && self.leaderless_since.is_some() {
            return Err(StoreError::NoLeader);
        }
        Ok(())
    }

    /// Row E2: asked before anything else is looked at.
    fn check_space(&self, request: &Request) -> Result<(), StoreError> {
        let needs_space = match request {
            Request::Put(_) | Request::Grant(_) => true,
            Request::Txn(request) => txn::needs_space(request),
            Request::Range(_)
            | Request::Delete(_)
            | Request::Compact(_)
            | Request::Revoke(_)
            | Request::KeepAlive(_)
            | Request::TimeToLive(_)
            | Request::Leases
            | Request::Watch(_)
            | Request::OnWatch { .. }
            | Request::Status
            | Request::Members
            | Request::Authenticate => false,
        };
        if needs_space && self.member.full { Err(StoreError::NoSpace) } else { Ok(()) }
    }

    /// Puts a command through consensus.
    fn propose(
        &mut self,
        from: ClientId,
        attempt: AttemptId,
        command: Command,
    ) -> Result<Option<Reply>, StoreError> {
        if self.member.overloaded {
            return Err(StoreError::TooManyRequests);
        }
        if size::proposal(&command, self.config.member_id) > self.config.max_request_bytes {
            return Err(StoreError::RequestTooLarge);
        }
        if self.leaderless_since.is_some() {
            return self.wait(from, attempt, Later::Command(command), StoreError::ServerDeadline);
        }
        let cause = match command {
            Command::Revoke { lease } => Cause::Revoke { lease, from, attempt },
            Command::Put(_)
            | Command::Delete(_)
            | Command::Txn(_)
            | Command::Compact(_)
            | Command::Grant { .. } => Cause::Request { from, attempt },
        };
        self.commit(command, cause).map(Some)
    }

    /// Applies a command: the one place where anything changes.
    fn commit(&mut self, mut command: Command, cause: Cause) -> Result<Reply, StoreError> {
        let mut ended = None;
        match &mut command {
            Command::Grant { ttl_secs, .. } => {
                *ttl_secs = (*ttl_secs).max(self.config.min_lease_ttl());
            }
            Command::Revoke { lease } => ended = Some(*lease),
            Command::Put(_) | Command::Delete(_) | Command::Txn(_) | Command::Compact(_) => {}
        }
        let applied = self.member.state.apply(command, &self.config.quirks);
        let revision = self.member.state.store.revision();
        if self.config.keep_log {
            for (index, kv) in (0..).zip(&applied.changes) {
                let kind = store::event_kind(kv);
                let kv = kv.clone();
                self.log.push(Change { at: self.now, revision, index, kind, kv, cause });
            }
        }
        if !applied.changes.is_empty() {
            self.on_watches(|watches, scene, said| watches.notify(scene, &applied.changes, said));
        }
        let reply = applied.reply?;
        if let Reply::Grant(granted) = &reply {
            let span = leases::span(granted.ttl_secs);
            let expires = self.lessor.start(self.now, granted.lease, span);
            if let Cause::Request { from, attempt } = cause {
                let ttl_secs = granted.ttl_secs;
                let step = LeaseStep::Granted { ttl_secs, expires, from, attempt };
                self.log_lease(granted.lease, step);
            }
        }
        if let Some(lease) = ended {
            self.lease_ended(lease, cause);
        }
        Ok(reply)
    }

    fn range(&self, request: &Range) -> Result<Reply, StoreError> {
        let store = &self.member.state.store;
        range::range(store, store.revision(), request).map(Reply::Range)
    }

    fn status(&self) -> StatusReply {
        let member_id = self.config.member_id;
        let mut errors = Vec::new();
        if self.leaderless_since.is_some() {
            errors.push(StoreError::NoLeader.to_string());
        }
        if self.member.full {
            errors.push(format!("memberID:{member_id} alarm:NOSPACE "));
        }
        StatusReply {
            header: self.header(),
            version: self.config.version.clone(),
            leader: if self.leaderless_since.is_some() { 0 } else { member_id },
            raft_index: self.member.state.applied,
            db_size: i64::try_from(self.member.state.store.bytes()).unwrap_or(i64::MAX),
            is_learner: false,
            errors,
        }
    }

    fn members(&self) -> MembersReply {
        let id = self.config.member_id;
        // A model has no address.
        let member = MemberInfo { id, client_urls: Vec::new(), is_learner: false };
        MembersReply { header: self.header(), members: vec![member] }
    }

    fn wait(
        &mut self,
        from: ClientId,
        attempt: AttemptId,
        later: Later,
        otherwise: StoreError,
    ) -> Result<Option<Reply>, StoreError> {
        let until = self.now + self.config.request_timeout();
        let what = Waits::Leader { later, until, otherwise };
        self.waiting.push(Waiting { from, attempt, what });
        Ok(None)
    }

    fn header(&self) -> Header {
        Header {
            cluster_id: self.config.cluster_id,
            member_id: self.config.member_id,
            revision: self.member.state.store.revision(),
            raft_term: self.term,
        }
    }

    fn on_watches(&mut self, run: impl FnOnce(&mut Watches, Scene<'_>, &mut Said)) {
        let mut said = Said::new();
        let scene = Scene {
            now: self.now,
            config: &self.config,
            store: &self.member.state.store,
            header: self.header(),
        };
        run(&mut self.member.watches, scene, &mut said);
        for ((to, attempt), reply) in said {
            self.outputs.push_back(Output { to, attempt, reply: Reply::Watch(reply) });
        }
    }

    fn reply(&mut self, to: ClientId, attempt: AttemptId, mut reply: Reply) {
        if let Some(header) = header_mut(&mut reply) {
            let Header { cluster_id, member_id, revision, raft_term } = self.header();
            let own = if header.revision == Revision::ZERO { revision } else { header.revision };
            *header = Header { cluster_id, member_id, revision: own, raft_term };
        }
        self.outputs.push_back(Output { to, attempt, reply });
    }
}

impl Member {
    fn new() -> Self {
        Self { state: State::new(), watches: Watches::default(), full: false, overloaded: false }
    }
}

/// The header of an answer to a call; watch answers have theirs already.
fn header_mut(reply: &mut Reply) -> Option<&mut Header> {
    match reply {
        Reply::Range(reply) => Some(&mut reply.header),
        Reply::Put(reply) => Some(&mut reply.header),
        Reply::Delete(reply) => Some(&mut reply.header),
        Reply::Txn(reply) => Some(&mut reply.header),
        Reply::Compact(reply) => Some(&mut reply.header),
        Reply::Grant(reply) => Some(&mut reply.header),
        Reply::Revoke(reply) => Some(&mut reply.header),
        Reply::KeepAlive(reply) => Some(&mut reply.header),
        Reply::TimeToLive(reply) => Some(&mut reply.header),
        Reply::Leases(reply) => Some(&mut reply.header),
        Reply::Status(reply) => Some(&mut reply.header),
        Reply::Members(reply) => Some(&mut reply.header),
        Reply::Watch(_) | Reply::Authenticated | Reply::CredentialsChanged | Reply::Failed(_) => {
            None
        }
    }
}

/// The raft term of a fresh cluster of one: its first election makes it 2.
const FIRST_TERM: u64 = 2;
