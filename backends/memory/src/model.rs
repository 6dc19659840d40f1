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

mod commit;
mod faults;
mod leases;
mod member;
mod requests;
mod view;

use std::collections::VecDeque;

use portolan_core::Time;
use portolan_core::waist::{AttemptId, Header, Reply, Revision};

use crate::lessor::Lessor;
use crate::state::State;
use crate::watch::{Said, Scene, Watches};
use crate::{ClientId, Config, Input, Log, Output};
use member::{Member, Power, Waiting, Waits};

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
