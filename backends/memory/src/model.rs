//! An etcd cluster as its clients see it.
//!
//! ```text
//! request ─→ refused by gRPC, checks, limits ────────────────────────────────→ answer
//!         ─→ read from the member's own state ───────────────────────────────→ answer
//!         ─→ command ─→ (waits for a leader) ─→ agreed on ─→ log, watchers ──→ answer
//! tick ────→ expired lease ─→ command ─↗        └─→ members that lag ─→ their watchers
//! ```
//!
//! What the whole cluster has agreed on (the log, and the state at its head) is apart from what
//! its leader has (`Lessor`) and from what each member has (`Member`).

mod cluster;
mod commit;
mod faults;
mod leases;
mod member;
mod operations;
mod requests;
mod space;
mod users;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use portolan_core::Time;
use portolan_core::waist::{AttemptId, Header, MemberId, Reply, Revision};

use crate::state::State;
use crate::watch::{Said, Scene, Watches};
use crate::{ClientId, Config, Input, Log, Operated, Outcome, Output, Token};
use cluster::Cluster;
use member::{Member, Power};

pub(crate) use space::LEASE_BYTES;
pub use view::{LeaseView, MemberView};

/// The in-memory model of etcd. See the crate's documentation.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Model {
    config: Config,
    now: Time,
    cluster: Cluster,
    members: Vec<Member>,
    /// The state at the head of the log.
    head: State,
    log: Log,
    /// How many leases were granted with an id of our choice.
    chosen: u64,
    /// How many tokens were ever issued: the address of their chance.
    tokens_issued: u64,
    /// Tokens that are on their way to who has asked for them.
    issued: BTreeMap<(ClientId, AttemptId), Token>,
    backup: Option<Box<Backup>>,
    /// The members that have raised the space alarm, by their ids: the alarm of one stops all (row E2).
    alarms: BTreeSet<u64>,
    outputs: VecDeque<Output>,
    operated: VecDeque<Operated>,
}

/// What a backup holds.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Backup {
    state: State,
    log: Log,
}

impl Model {
    /// A fresh cluster at time 0, with an empty store, led by its first member.
    pub fn new(config: Config) -> Self {
        let cluster = Cluster::new();
        let members = config.member_ids().map(|id| Member::new(id, 0, cluster.term)).collect();
        Self {
            config,
            now: Time::ZERO,
            cluster,
            members,
            head: State::new(),
            log: Log::default(),
            chosen: 0,
            tokens_issued: 0,
            issued: BTreeMap::new(),
            backup: None,
            alarms: BTreeSet::new(),
            outputs: VecDeque::new(),
            operated: VecDeque::new(),
        }
    }

    /// Takes one input. Timers due at or before `now` run first, each at its own time. A time
    /// before an earlier one counts as that one.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.run_timers(now);
        self.now = self.now.max(now);
        match input {
            Input::Request { member, .. } | Input::Operate { member, .. } => {
                self.arrive(self.place(member), input);
            }
            // A client may have asked any of them.
            Input::Cancel { .. } | Input::Disconnect { .. } | Input::Taken { .. } => {
                self.forget_issued(&input);
                for m in 0..self.members.len() {
                    self.arrive(m, input.clone());
                }
            }
            Input::Admin(admin) => self.administer(admin),
            Input::Fault(fault) => self.fault(fault),
            Input::Tick => {}
        }
    }

    /// The next thing that a client is told. Drain it after every [`handle`](Self::handle).
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next thing that an operator is told; drain it likewise where any is asked for.
    pub fn poll_operated(&mut self) -> Option<Operated> {
        self.operated.pop_front()
    }

    /// When to pass [`Input::Tick`] if nothing else happens first.
    pub fn poll_timeout(&self) -> Option<Time> {
        let of_members = (0..self.members.len()).filter_map(|m| self.next_of_member(m));
        let scan = self.works().then(|| self.cluster.lessor.next_scan(&self.config)).flatten();
        of_members.chain([scan, self.cluster.elect_at].into_iter().flatten()).min()
    }

    /// Whoever asked for a token does not wait for it any more.
    fn forget_issued(&mut self, input: &Input) {
        match input {
            Input::Cancel { from, attempt } => {
                self.issued.remove(&(*from, *attempt));
            }
            Input::Disconnect { from } => self.issued.retain(|(to, _), _| to != from),
            Input::Request { .. }
            | Input::Operate { .. }
            | Input::Taken { .. }
            | Input::Admin(_)
            | Input::Fault(_)
            | Input::Tick => {}
        }
    }

    /// When a member has something to do. A process that is held, or gone, has nothing.
    fn next_of_member(&self, m: usize) -> Option<Time> {
        let member = &self.members[m];
        if member.power != Power::On {
            return None;
        }
        let waits = member.waiting.iter().filter_map(|call| call.what.until());
        let timers = [member.watches.next_tick(), self.cut_at(m), member.sight.forget_at];
        timers.into_iter().flatten().chain(waits).min()
    }

    fn run_timers(&mut self, now: Time) {
        while let Some(due) = self.poll_timeout().filter(|&due| due <= now) {
            // After a hold timers run on waking, not when they were due.
            self.now = self.now.max(due);
            self.give_up_waiting();
            self.run_elections();
            self.cut_streams();
            self.expire_leases();
            for m in 0..self.members.len() {
                if self.members[m].power == Power::On {
                    self.on_watches(m, |watches, scene, said| watches.tick(scene, said));
                }
            }
        }
    }

    /// Which member stands at a place in the client's list; a model with fewer members takes the
    /// rest of the list as further ways to them.
    fn place(&self, member: MemberId) -> usize {
        usize::from(member.0) % self.members.len()
    }

    /// What a member has applied.
    fn state(&self, m: usize) -> &State {
        self.members[m].behind.as_ref().map_or(&self.head, |behind| &behind.state)
    }

    fn header(&self, m: usize) -> Header {
        Header {
            cluster_id: self.config.cluster_id,
            member_id: self.members[m].id,
            revision: self.state(m).store.revision(),
            raft_term: self.members[m].term,
        }
    }

    fn on_watches(&mut self, m: usize, run: impl FnOnce(&mut Watches, Scene<'_>, &mut Said)) {
        let mut said = Said::new();
        let header = self.header(m);
        let member = &mut self.members[m];
        let state = member.behind.as_ref().map_or(&self.head, |behind| &behind.state);
        let scene = Scene { now: self.now, config: &self.config, store: &state.store, header };
        run(&mut member.watches, scene, &mut said);
        for ((to, attempt), reply) in said {
            self.outputs.push_back(Output { to, attempt, reply: Reply::Watch(reply), token: None });
        }
    }

    /// Says to an operator what has come of an operation, in the name of a member.
    fn tell(&mut self, m: usize, to: ClientId, attempt: AttemptId, outcome: Outcome) {
        let header = self.header(m);
        self.operated.push_back(Operated { to, attempt, header, outcome });
    }

    /// Says something to a client, in the name of a member.
    fn reply(&mut self, m: usize, to: ClientId, attempt: AttemptId, mut reply: Reply) {
        if let Some(header) = header_mut(&mut reply) {
            let Header { cluster_id, member_id, revision, raft_term } = self.header(m);
            let own = if header.revision == Revision::ZERO { revision } else { header.revision };
            *header = Header { cluster_id, member_id, revision: own, raft_term };
        }
        if let Reply::Members(reply) = &mut reply {
            // The one answer of etcd that leaves it out.
            reply.header.revision = Revision::ZERO;
        }
        let issued = self.issued.remove(&(to, attempt));
        let token = issued.filter(|_| reply == Reply::Authenticated);
        self.outputs.push_back(Output { to, attempt, reply, token });
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
