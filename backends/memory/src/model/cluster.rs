//! Who leads, who hears of it, and what becomes of what is under way when that changes.
//!
//! ```text
//!            the leader is gone, cut off, held            another member is elected
//! led ──────────────────────────────────────→ leaderless ─────────────────────────→ led, term + 1
//!  ↑   members forget it an election timeout later   │
//!  └─────────────────────────────────────────────────┘ it is back before that
//! ```
//! There is no consensus here: what the members in touch with a leader of a majority are asked to
//! agree on is agreed on at once.

use portolan_core::waist::{KeepAlive, Reply, Request, StoreError};
use portolan_core::{Rng, Time};

use super::Model;
use super::member::{Later, Power, Proposal, Sight, Waiting, Waits};
use crate::Input;
use crate::lessor::Lessor;
use crate::log::LeaseStep;

/// What the members are together.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Cluster {
    /// How often the history began anew: by a wipe, a restore, another cluster.
    pub(super) epoch: u64,
    pub(super) term: u64,
    /// Who leads, whether or not it can.
    pub(super) leader: Option<usize>,
    /// When the next one is elected, if nothing comes between.
    pub(super) elect_at: Option<Time>,
    /// Whether nobody is elected, as if the members never agreed.
    pub(super) barred: bool,
    /// The leader's countdowns.
    pub(super) lessor: Lessor,
}

impl Cluster {
    pub(super) fn new() -> Self {
        Self {
            epoch: 0,
            term: FIRST_TERM,
            leader: Some(0),
            elect_at: None,
            barred: false,
            lessor: Lessor::default(),
        }
    }
}

impl Model {
    /// Whether there is a leader that runs and reaches a majority: what is written now is agreed on.
    pub fn works(&self) -> bool {
        self.cluster.leader.is_some_and(|leader| self.has_majority(leader))
    }

    /// Whether a member hears from a leader that works.
    pub(super) fn hears(&self, m: usize) -> bool {
        self.works() && self.cluster.leader.is_some_and(|leader| self.reach(m, leader))
    }

    /// Whether the member that has the countdowns answers this one. It does so without a majority
    /// until it knows that it has none.
    pub(super) fn lessor_answers(&self, m: usize) -> bool {
        let leader = self.cluster.leader;
        leader.is_some_and(|leader| {
            self.members[m].sight.leader == Some(leader) && self.reach(m, leader)
        })
    }

    fn has_majority(&self, m: usize) -> bool {
        let reached = (0..self.members.len()).filter(|&other| self.reach(m, other)).count();
        reached > self.members.len() / 2
    }

    fn reach(&self, a: usize, b: usize) -> bool {
        let [one, other] = [&self.members[a], &self.members[b]];
        let run = one.power == Power::On && other.power == Power::On;
        run && (a == b || !one.cut && !other.cut)
    }

    /// Something changed about who reaches whom: who hears of the leader takes up what it has
    /// missed, who does not will forget it, and if need be another one is going to be elected.
    pub(super) fn review(&mut self) {
        if self.works() || self.cluster.barred || self.candidates().is_empty() {
            self.cluster.elect_at = None;
        } else if self.cluster.elect_at.is_none() {
            let timeout = self.config.election_timeout;
            let most = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).max(1);
            let mut chance = self.chance("election timeout");
            let longer = std::time::Duration::from_nanos(chance.below(most));
            self.cluster.elect_at = Some(self.now + timeout + longer);
        }
        for m in 0..self.members.len() {
            if self.hears(m) {
                self.hear(m);
            } else if self.members[m].power == Power::On {
                let forget_at = self.now + self.config.election_timeout;
                let sight = &mut self.members[m].sight;
                if sight.leader.is_some() {
                    sight.forget_at.get_or_insert(forget_at);
                }
            }
        }
        self.deliver_mail();
    }

    /// Members forget a leader that they do not hear of any more, and elect another.
    pub(super) fn run_elections(&mut self) {
        for m in 0..self.members.len() {
            let member = &mut self.members[m];
            if member.power == Power::On && member.sight.forget_at.is_some_and(|at| at <= self.now)
            {
                member.sight = Sight { since: self.now, ..Sight::default() };
                if self.cluster.leader == Some(m) {
                    self.step_down();
                }
            }
        }
        if self.cluster.elect_at.is_some_and(|at| at <= self.now) {
            self.elect();
        }
    }

    /// One of those who can be is elected, if there are any.
    pub(super) fn elect(&mut self) {
        self.cluster.elect_at = None;
        let candidates = self.candidates();
        let many = u64::try_from(candidates.len()).unwrap_or(1).max(1);
        let drawn = usize::try_from(self.chance("election").below(many)).unwrap_or(0);
        if let Some(&leader) = candidates.get(drawn) {
            self.crown(leader);
        }
    }

    /// Who may be elected: it reaches a majority and has all that was agreed on.
    fn candidates(&self) -> Vec<usize> {
        let able = |&m: &usize| self.has_majority(m) && !self.members[m].missed;
        (0..self.members.len()).filter(able).collect()
    }

    /// Chance that belongs to the present term.
    fn chance(&self, purpose: &str) -> Rng {
        Rng::new(self.config.seed ^ self.cluster.term.rotate_left(32)).fork(purpose)
    }

    /// Makes a member the leader of a new term.
    pub(super) fn crown(&mut self, leader: usize) {
        self.step_down();
        self.cluster.term += 1;
        self.cluster.leader = Some(leader);
        self.cluster.barred = false;
        for (m, member) in self.members.iter_mut().enumerate() {
            // What the former leader could not spread is lost. What waits before a process that is
            // held is read when it goes on.
            if m != leader && member.power != Power::Held {
                member.mail.clear();
            }
        }
        self.start_countdowns();
        self.review();
    }

    /// A new leader starts every countdown over, a little longer than granted (row L10).
    fn start_countdowns(&mut self) {
        let leases: Vec<_> =
            self.head.leases.iter().map(|(&id, lease)| (id, lease.ttl_secs)).collect();
        for (lease, ttl_secs) in leases {
            let span = super::leases::span(ttl_secs);
            let longer = span.saturating_add(self.config.election_timeout);
            let expires = self.cluster.lessor.start(self.now, lease, longer);
            self.log_lease(lease, LeaseStep::Prolonged { expires });
        }
    }

    /// Nobody leads. The countdowns belonged to the leader; a renewal that waited for a revoke is
    /// sent to the next one instead (`LeaseRenew` in `server/etcdserver/v3_server.go`).
    pub(super) fn step_down(&mut self) {
        self.cluster.leader = None;
        self.cluster.lessor = Lessor::default();
        let until = self.now + self.config.request_timeout();
        for call in self.members.iter_mut().flat_map(|member| &mut member.waiting) {
            if let Waits::Revoke { lease, pass, .. } = &call.what {
                let request = Request::KeepAlive(KeepAlive { lease: *lease });
                let later = Later::Request(request, pass.clone());
                let otherwise = StoreError::NoLeader;
                call.what = Waits::Leader { later, silent: None, until, otherwise };
            }
        }
    }

    /// A member hears of the leader: it gets what it has missed, and goes on with what waits.
    fn hear(&mut self, m: usize) {
        let leader = self.cluster.leader;
        let member = &mut self.members[m];
        let is_new = member.sight.leader != leader;
        let since = if is_new { self.now } else { member.sight.since };
        member.sight = Sight { leader, since, forget_at: None };
        member.term = self.cluster.term;
        member.missed = false;
        if !member.lag {
            self.catch_up(m);
        }
        if is_new {
            for call in self.members[m].take_waiting(|what| matches!(what, Waits::Read { .. })) {
                let error = StoreError::LeaderChanged;
                self.reply(m, call.from, call.attempt, Reply::Failed(error));
            }
        }
        let silent: Vec<bool> = (0..self.members.len())
            .map(|other| self.members[other].power != Power::Off && !self.reach(m, other))
            .collect();
        let goes_on = |what: &Waits| match what {
            Waits::Leader { silent: Some(other), .. } => !silent[*other],
            Waits::Leader { silent: None, .. } | Waits::Read { .. } => true,
            Waits::Sent { .. } | Waits::Applied { .. } | Waits::Revoke { .. } => false,
        };
        for Waiting { from, attempt, what } in self.members[m].take_waiting(goes_on) {
            match what {
                Waits::Leader { later: Later::Request(request, pass), .. }
                | Waits::Read { request, pass, .. } => {
                    self.request(m, from, attempt, request, pass);
                }
                Waits::Leader { later: Later::Entry(entry), .. } => {
                    let answer = self.propose(m, from, attempt, entry);
                    self.answered(m, from, attempt, answer);
                }
                Waits::Sent { .. } | Waits::Applied { .. } | Waits::Revoke { .. } => {
                    self.members[m].waiting.push(Waiting { from, attempt, what });
                }
            }
        }
    }

    /// Agrees on what has reached members that now hear of a leader, in order. Whoever waits for
    /// it is answered.
    fn deliver_mail(&mut self) {
        for m in 0..self.members.len() {
            if !self.hears(m) {
                continue;
            }
            for proposal in std::mem::take(&mut self.members[m].mail) {
                let Proposal { asked, from, attempt, entry } = proposal;
                let result = self.agree(from, attempt, entry);
                let place = self.members[asked].waiting.iter().position(|call| {
                    let sent = matches!(call.what, Waits::Sent { .. });
                    sent && (call.from, call.attempt) == (from, attempt)
                });
                if let Some(place) = place {
                    self.members[asked].waiting.remove(place);
                    let answer = self.when_applied(asked, from, attempt, result);
                    self.answered(asked, from, attempt, answer);
                }
            }
        }
    }

    /// Sends a proposal to the leader that a member knows of, which cannot have it agreed on now.
    pub(super) fn send(&mut self, proposal: Proposal) {
        let asked = proposal.asked;
        let Some(leader) = self.members[asked].sight.leader else { return };
        let there = &self.members[leader];
        let arrives =
            leader == asked || there.power != Power::Off && !there.cut && !self.members[asked].cut;
        if arrives {
            self.members[leader].mail.push(proposal);
        }
    }

    /// What etcd says of a proposal that it has waited for too long (`parseProposeCtxErr` in
    /// `server/etcdserver/v3_server.go`).
    pub(super) fn too_late(&self, m: usize, asked_at: Time) -> StoreError {
        let Sight { leader, since, .. } = self.members[m].sight;
        let Some(leader) = leader else { return StoreError::TimedOut };
        if asked_at < since && since < asked_at + self.config.election_timeout * 2 {
            return StoreError::TimedOutLeaderFail;
        }
        let [own, there] = [&self.members[m], &self.members[leader]];
        if self.members.len() > 1 && (own.cut || there.cut || there.power == Power::Off) {
            return StoreError::TimedOutConnectionLost;
        }
        StoreError::TimedOut
    }

    /// Processes go on: their timers run first, then what has arrived meanwhile (row L11).
    pub(super) fn resume(&mut self, chosen: &[usize]) {
        let held: Vec<_> =
            chosen.iter().copied().filter(|&m| self.members[m].power == Power::Held).collect();
        for &m in &held {
            self.members[m].power = Power::On;
        }
        self.review();
        self.run_timers(self.now);
        for m in held {
            for input in std::mem::take(&mut self.members[m].held) {
                self.arrive(m, input);
            }
        }
    }

    /// Something arrives at a member that may be held.
    pub(super) fn arrive(&mut self, m: usize, input: Input) {
        if self.members[m].power == Power::Held {
            self.members[m].held.push_back(input);
            return;
        }
        match input {
            Input::Request { from, attempt, member: _, request, pass } => {
                self.request(m, from, attempt, request, pass);
            }
            Input::Cancel { from, attempt } => {
                let member = &mut self.members[m];
                member.watches.close((from, attempt));
                member.waiting.retain(|call| (call.from, call.attempt) != (from, attempt));
            }
            Input::Disconnect { from } => {
                let member = &mut self.members[m];
                member.watches.close_client(from);
                member.waiting.retain(|call| call.from != from);
                self.outputs.retain(|output| output.to != from);
                self.operated.retain(|operated| operated.to != from);
            }
            Input::Operate { from, attempt, member: _, operation, pass } => {
                self.operate(m, from, attempt, operation, pass);
            }
            Input::Taken { from, attempt, bytes } => {
                self.on_watches(m, |watches, scene, said| {
                    watches.taken(scene, (from, attempt), bytes, said);
                });
            }
            Input::Admin(_) | Input::Fault(_) | Input::Tick => {}
        }
    }
}

/// The raft term of a fresh cluster: its first election makes it 2.
pub(super) const FIRST_TERM: u64 = 2;
