use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::epoch::{Then, Witness, needs_leader};
use super::members::Members;
use super::output::Output;
use super::retry::{Backoff, Budget};
use super::{DirectoryId, OpId};
use crate::rng::Rng;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{AttemptId, Code, MemberId, Reply, Request, StoreError, WatchSay};

/// Which machine waits for an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(crate) enum Owner {
    Epoch,
    Holds,
    Mirror(DirectoryId),
    Update(OpId),
    Call(OpId),
}

/// What is in flight, and the outputs not fetched yet.
///
/// It numbers attempts, ends each at its time limit, picks the member, and hands out the retries
/// that the machines share.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Wire {
    last: u64,
    flights: BTreeMap<AttemptId, Flight>,
    limits: BTreeSet<(Time, AttemptId)>,
    members: Members,
    budget: Budget,
    /// What all answers say of the store itself.
    pub witness: Witness,
    rng: Rng,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Flight {
    owner: Owner,
    member: MemberId,
    kind: Kind,
    needs_leader: bool,
    then: Then,
    /// `None` for streams.
    give_up_at: Option<Time>,
}

/// Which answer fits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
enum Kind {
    Range,
    Put,
    Delete,
    Txn,
    Compact,
    Grant,
    Revoke,
    KeepAlive,
    TimeToLive,
    Leases,
    Watch,
    Status,
    Members,
    Authenticate,
}

impl Wire {
    pub fn new(members: u16, rng: &Rng) -> Self {
        let mut rng = rng.fork("wire");
        Self {
            last: 0,
            flights: BTreeMap::new(),
            limits: BTreeSet::new(),
            members: Members::new(members, rng.bits()),
            budget: Budget::new(),
            witness: Witness::default(),
            rng,
            outputs: VecDeque::new(),
        }
    }

    pub fn send(&mut self, owner: Owner, request: Request, give_up_at: Option<Time>) -> AttemptId {
        self.last += 1;
        let attempt = AttemptId(self.last);
        let member = self.members.current();
        let kind = kind(&request);
        let needs_leader = needs_leader(&request);
        let then = self.witness.now();
        let flight = Flight { owner, member, kind, needs_leader, then, give_up_at };
        self.flights.insert(attempt, flight);
        if let Some(at) = give_up_at {
            self.limits.insert((at, attempt));
        }
        self.outputs.push_back(Output::Send { attempt, member, request });
        attempt
    }

    pub fn say(&mut self, stream: AttemptId, say: WatchSay) {
        if let Some(flight) = self.flights.get(&stream) {
            self.last += 1;
            let (attempt, member) = (AttemptId(self.last), flight.member);
            let request = Request::OnWatch { stream, say };
            self.outputs.push_back(Output::Send { attempt, member, request });
        }
    }

    pub fn cancel(&mut self, attempt: AttemptId) {
        if self.forget(attempt).is_some() {
            self.outputs.push_back(Output::Cancel { attempt });
        }
    }

    pub fn cancel_all(&mut self) {
        for attempt in std::mem::take(&mut self.flights).into_keys() {
            self.outputs.push_back(Output::Cancel { attempt });
        }
        self.limits.clear();
    }

    /// An answer came: who waits for it. `None` when nobody does any more.
    pub fn answered(&mut self, attempt: AttemptId, reply: Reply) -> Option<(Owner, Reply)> {
        let flight = self.flights.get(&attempt)?;
        let (owner, member) = (flight.owner, flight.member);
        let reply = if fits(flight.kind, &reply) { reply } else { misfit() };
        if let Some(header) = reply.header() {
            self.witness.see(flight.then, flight.needs_leader, header);
        }
        if let Reply::Failed(error) = &reply {
            if error.blames_member() {
                self.members.blame(member);
            }
            self.forget(attempt);
        } else if flight.kind != Kind::Watch {
            self.forget(attempt);
        }
        Some((owner, reply))
    }

    /// The next attempt whose time limit has passed; its member is blamed, and nothing of it
    /// arrives any more.
    pub fn expire(&mut self, now: Time) -> Option<(AttemptId, Owner)> {
        let &(at, attempt) = self.limits.first()?;
        if at > now {
            return None;
        }
        let flight = self.forget(attempt).expect("a limit belongs to a flight");
        self.members.blame(flight.member);
        self.outputs.push_back(Output::Cancel { attempt });
        Some((attempt, flight.owner))
    }

    /// When one of many may retry after a failure: backoff, within the process's budget.
    pub fn retry_at(&mut self, now: Time, tuning: &Tuning, backoff: &mut Backoff) -> Time {
        let wanted = self.backoff_at(now, tuning, backoff);
        self.budget.take(now, wanted, Time::NEVER, tuning).unwrap_or(Time::NEVER)
    }

    /// As [`retry_at`](Self::retry_at), before a deadline; `None`: time is too short.
    pub fn retry_before(
        &mut self,
        deadline: Time,
        now: Time,
        tuning: &Tuning,
        backoff: &mut Backoff,
    ) -> Option<Time> {
        let wanted = self.backoff_at(now, tuning, backoff);
        self.budget.take(now, wanted, deadline, tuning)
    }

    /// When one of the few may retry after a failure; see [`Budget`].
    pub fn backoff_at(&mut self, now: Time, tuning: &Tuning, backoff: &mut Backoff) -> Time {
        backoff.failed(now, tuning, &mut self.rng)
    }

    /// When one of the few may retry after a permanent refusal.
    pub fn backoff_slowly_at(&mut self, now: Time, tuning: &Tuning, backoff: &mut Backoff) -> Time {
        backoff.refused(now, tuning, &mut self.rng)
    }

    /// When a retry may happen whose backoff has passed already.
    pub fn budget_at(&mut self, now: Time, tuning: &Tuning) -> Time {
        self.budget.take(now, now, Time::NEVER, tuning).unwrap_or(Time::NEVER)
    }

    pub fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub fn pop_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.limits.first().map(|&(at, _)| at)
    }

    pub fn calls_in_flight(&self) -> usize {
        self.limits.len()
    }

    /// Blames the member that serves `stream`: it went silent.
    pub fn blame_stream(&mut self, stream: AttemptId) {
        if let Some(flight) = self.flights.get(&stream) {
            self.members.blame(flight.member);
        }
    }

    fn forget(&mut self, attempt: AttemptId) -> Option<Flight> {
        let flight = self.flights.remove(&attempt)?;
        if let Some(at) = flight.give_up_at {
            self.limits.remove(&(at, attempt));
        }
        Some(flight)
    }
}

fn kind(request: &Request) -> Kind {
    match request {
        Request::Range(_) => Kind::Range,
        Request::Put(_) => Kind::Put,
        Request::Delete(_) => Kind::Delete,
        Request::Txn(_) => Kind::Txn,
        Request::Compact(_) => Kind::Compact,
        Request::Grant(_) => Kind::Grant,
        Request::Revoke(_) => Kind::Revoke,
        Request::KeepAlive(_) => Kind::KeepAlive,
        Request::TimeToLive(_) => Kind::TimeToLive,
        Request::Leases => Kind::Leases,
        Request::Watch(_) | Request::OnWatch { .. } => Kind::Watch,
        Request::Status => Kind::Status,
        Request::Members => Kind::Members,
        Request::Authenticate => Kind::Authenticate,
    }
}

fn fits(kind: Kind, reply: &Reply) -> bool {
    match reply {
        Reply::Range(_) => kind == Kind::Range,
        Reply::Put(_) => kind == Kind::Put,
        Reply::Delete(_) => kind == Kind::Delete,
        Reply::Txn(_) => kind == Kind::Txn,
        Reply::Compact(_) => kind == Kind::Compact,
        Reply::Grant(_) => kind == Kind::Grant,
        Reply::Revoke(_) => kind == Kind::Revoke,
        Reply::KeepAlive(_) => kind == Kind::KeepAlive,
        Reply::TimeToLive(_) => kind == Kind::TimeToLive,
        Reply::Leases(_) => kind == Kind::Leases,
        Reply::Watch(_) => kind == Kind::Watch,
        Reply::Status(_) => kind == Kind::Status,
        Reply::Members(_) => kind == Kind::Members,
        Reply::Authenticated => kind == Kind::Authenticate,
        Reply::CredentialsChanged => false,
        Reply::Failed(_) => true,
    }
}

/// A store that answers something else than it was asked is not to be believed, but may have
/// done what it was asked.
fn misfit() -> Reply {
    let message = "the answer does not fit the request".to_owned();
    Reply::Failed(StoreError::Other { code: Code::Internal, message })
}
