//! What must not be sent yet: attempts wait while it is not known which cluster the store is, and
//! while there is no token.

use super::Wire;
use crate::engine::auth::{Gate, is_of_token};
use crate::engine::flight::{Flight, Owner, Place, Sent};
use crate::engine::output::Output;
use crate::tuning::Tuning;
use crate::waist::{AttemptId, LeaseId, MemberId, Op, Reply, Request, StoreError, Txn};

impl Wire {
    /// Asks all given members which cluster they belong to, before anything is sent to any.
    pub fn take_census(&mut self, tuning: &Tuning) {
        if !self.census.is_due() || self.parked.is_empty() {
            return;
        }
        let give_up_at = tuning.census_within.map(|within| self.now + within);
        for member in self.census.begin() {
            let request = Request::Txn(Txn::default());
            let attempt = self.enter(Owner::Census, &request, give_up_at);
            self.carry_to(member, attempt, request);
        }
    }

    /// Asks for a token, if it is time.
    pub fn log_in(&mut self, tuning: &Tuning) {
        if self.census.is_over() && self.auth.wants_to_ask(self.now, !self.parked.is_empty()) {
            let give_up_at = Some(self.now + tuning.attempt_timeout);
            self.send(Owner::Login, Request::Authenticate, give_up_at);
            self.auth.asked();
        }
    }

    /// Sends a flight, or lets it wait or fail.
    pub(super) fn admit(&mut self, attempt: AttemptId, request: Request) {
        let limit = self.flights.get(&attempt).and_then(|flight| flight.give_up_at);
        // Where time has jumped, the wait and what it was for may have run out together.
        let is_too_late = limit.is_some_and(|at| at <= self.now);
        let gate = if self.census.is_over() { self.auth.gate() } else { Gate::Waits };
        match if is_too_late { Gate::Waits } else { gate } {
            Gate::Open => self.carry(attempt, request),
            Gate::Waits => {
                if let Some(flight) = self.flights.get_mut(&attempt) {
                    flight.place = Place::Parked;
                    flight.request = Some(request);
                    self.parked.insert(attempt);
                }
            }
            Gate::Shut(error) => {
                if let Some(flight) = self.forget(attempt) {
                    self.refused.push_back((flight.known_as, flight.owner, error));
                }
            }
        }
    }

    /// Looks whether an answer means that the token is old. If so its attempt, which surely was not
    /// done, waits for the next one and is then sent anew: `None`.
    pub(super) fn without_token(
        &mut self,
        attempt: AttemptId,
        sent: Sent,
        reply: Reply,
        tuning: &Tuning,
    ) -> Option<Reply> {
        let flight = self.flights.get(&attempt)?;
        let needs_token = self.auth.is_used() && flight.owner != Owner::Census;
        let Some(error) = refusal(&reply).filter(is_of_token).filter(|_| needs_token) else {
            return Some(reply);
        };
        self.auth.token_refused(sent.login, self.now, tuning);
        let is_watch = matches!(reply, Reply::Watch(_));
        if is_watch {
            // The watch has ended, its stream has not; and that keeps its first token for good.
            self.outputs.push_back(Output::Cancel { attempt });
        }
        if flight.spoke || flight.owner == Owner::Login || flight.request.is_none() {
            return Some(if is_watch { Reply::Failed(error) } else { reply });
        }
        let mut flight = self.forget(attempt)?;
        if self.closing {
            // Its owner decides anew: most of what an open engine asked for is not wanted any more.
            self.refuse(&flight, SHUT_DOWN);
            self.log_in(tuning);
            return None;
        }
        let request = flight.request.take()?;
        // Under another number: a repeated refusal of this one must not be taken for the next.
        let anew = self.next_attempt();
        self.renamed.insert(flight.known_as, anew);
        if let Some(at) = flight.give_up_at {
            self.limits.insert((at, anew));
        }
        self.bytes += flight.bytes;
        self.flights.insert(anew, flight);
        self.admit(anew, request);
        self.log_in(tuning);
        None
    }

    pub(super) fn logged_in(&mut self, reply: Reply, tuning: &Tuning) {
        if let Reply::Failed(error) = reply
            && error != StoreError::AuthNotEnabled
        {
            self.auth.failed(error, self.now, tuning);
        } else {
            self.let_in |= self.auth.succeeded(self.now);
        }
        self.admit_waiting();
    }

    /// A member was heard of that was asked for its cluster.
    pub(super) fn counted(&mut self, member: MemberId, cluster: Option<u64>, tuning: &Tuning) {
        if !self.census.heard(member, cluster) {
            return;
        }
        for (member, found) in self.census.strangers() {
            let (at, then) = (self.now, self.witness.now());
            self.blame(Sent { member, at, then, login: self.auth.login() }, tuning);
            let expected = self.census.home().unwrap_or(found);
            self.disbelieved = Some(StoreError::OtherCluster { expected, found });
        }
        self.admit_waiting();
    }

    /// The engine shuts down: what waits is not to be sent any more, and its owners learn that it
    /// was not.
    pub fn refuse_waiting(&mut self) {
        self.closing = true;
        for attempt in std::mem::take(&mut self.parked) {
            if let Some(flight) = self.forget(attempt) {
                self.refuse(&flight, SHUT_DOWN);
            }
        }
    }

    /// A lease is dead: what waits to put a record on it is not to be sent any more, nor anew what
    /// is under way.
    pub fn refuse_puts_on(&mut self, lease: LeaseId) {
        let mut waiting = Vec::new();
        for (&attempt, flight) in &mut self.flights {
            let puts = matches!(&flight.request, Some(Request::Txn(txn)) if puts_on(txn, lease));
            if flight.owner == Owner::Holds && puts {
                match flight.place {
                    Place::Parked => waiting.push(attempt),
                    Place::Sent(_) => flight.request = None,
                }
            }
        }
        for attempt in waiting {
            if let Some(flight) = self.forget(attempt) {
                self.refuse(&flight, "its lease is gone");
            }
        }
    }

    fn refuse(&mut self, flight: &Flight, why: &str) {
        let error = StoreError::CannotConnect { detail: why.to_owned() };
        self.refused.push_back((flight.known_as, flight.owner, error));
    }

    /// Something has changed for those that wait.
    fn admit_waiting(&mut self) {
        for attempt in std::mem::take(&mut self.parked) {
            let flight = self.flights.get_mut(&attempt);
            if let Some(request) = flight.and_then(|flight| flight.request.take()) {
                self.admit(attempt, request);
            }
        }
    }
}

/// What the store refused, if this is a refusal: in words of its own, or in the band of a watch.
fn refusal(reply: &Reply) -> Option<StoreError> {
    if let Reply::Failed(error) = reply {
        return Some(error.clone());
    }
    let Reply::Watch(said) = reply else { return None };
    said.canceled.then(|| said.refusal())
}

fn puts_on(txn: &Txn, lease: LeaseId) -> bool {
    txn.then.iter().chain(&txn.or_else).any(|op| match op {
        Op::Put(put) => put.lease == Some(lease),
        Op::Txn(txn) => puts_on(txn, lease),
        Op::Range(_) | Op::Delete(_) => false,
    })
}

const SHUT_DOWN: &str = "the registry shuts down";
