//! What is in flight: numbers attempts, ends each at its time limit, picks the member, and holds back
//! what must not be sent before a login.

mod admission;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::auth::Auth;
use super::census::Census;
use super::epoch::{Witness, needs_leader};
pub(crate) use super::flight::Owner;
use super::flight::{Flight, Kind, Place, Sent};
use super::members::Members;
use super::output::{Output, Standing};
use super::retry::{Backoff, Budget};
use crate::rng::Rng;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{AttemptId, MemberId, MemberInfo, Reply, Request, StoreError, WatchSay};

/// What is in flight, and the outputs not fetched yet.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Wire {
    now: Time,
    last: u64,
    /// By the number that the backend knows.
    flights: BTreeMap<AttemptId, Flight>,
    limits: BTreeSet<(Time, AttemptId)>,
    /// Of keys and values in all flights.
    bytes: usize,
    /// The backend's number of attempts that were sent anew, by the owner's.
    renamed: BTreeMap<AttemptId, AttemptId>,
    /// Attempts that wait for a token, and such as fail for want of one.
    parked: BTreeSet<AttemptId>,
    refused: VecDeque<(AttemptId, Owner, StoreError)>,
    /// The engine shuts down.
    closing: bool,
    /// A login succeeded after one was refused.
    let_in: bool,
    /// The last answer that was not believed.
    disbelieved: Option<StoreError>,
    census: Census,
    members: Members,
    auth: Auth,
    budget: Budget,
    /// What all answers say of the store itself.
    pub witness: Witness,
    rng: Rng,
    outputs: VecDeque<Output>,
}

impl Wire {
    pub fn new(members: u16, authenticates: bool, tuning: &Tuning, rng: &Rng) -> Self {
        let mut rng = rng.fork("wire");
        let first = rng.bits();
        Self {
            now: Time::ZERO,
            last: 0,
            flights: BTreeMap::new(),
            limits: BTreeSet::new(),
            bytes: 0,
            renamed: BTreeMap::new(),
            parked: BTreeSet::new(),
            refused: VecDeque::new(),
            closing: false,
            let_in: false,
            disbelieved: None,
            census: Census::new(members, tuning.census_within.is_some()),
            members: Members::new(members, first, rng.fork("members")),
            auth: Auth::new(authenticates, rng.fork("auth")),
            budget: Budget::new(),
            witness: Witness::default(),
            rng,
            outputs: VecDeque::new(),
        }
    }

    /// The time has come this far. Must be told before anything else is.
    pub fn set_now(&mut self, now: Time) {
        self.now = now;
    }

    pub fn send(&mut self, owner: Owner, request: Request, give_up_at: Option<Time>) -> AttemptId {
        let attempt = self.enter(owner, &request, give_up_at);
        if owner == Owner::Login {
            self.carry(attempt, request);
        } else {
            self.admit(attempt, request);
        }
        attempt
    }

    pub fn say(&mut self, stream: AttemptId, say: WatchSay) {
        let stream = self.number_of(stream);
        let Some(flight) = self.flights.get_mut(&stream) else { return };
        if !flight.spoke && say != WatchSay::Progress {
            flight.said.push(say.clone());
        }
        if let Some(sent) = flight.sent() {
            self.say_to(sent.member, stream, say);
        }
    }

    fn say_to(&mut self, member: MemberId, stream: AttemptId, say: WatchSay) {
        let attempt = self.next_attempt();
        let request = Request::OnWatch { stream, say };
        self.outputs.push_back(Output::Send { attempt, member, request });
    }

    /// Nobody waits for an attempt any more. False: it was not sent, so it is surely not done.
    pub fn cancel(&mut self, attempt: AttemptId) -> bool {
        self.refused.retain(|(refused, _, _)| *refused != attempt);
        let number = self.number_of(attempt);
        let Some(flight) = self.forget(number) else { return false };
        self.leave(number, &flight);
        flight.sent().is_some()
    }

    pub fn cancel_all(&mut self) {
        for (attempt, flight) in std::mem::take(&mut self.flights) {
            self.leave(attempt, &flight);
        }
        self.limits.clear();
        self.bytes = 0;
        self.renamed.clear();
        self.parked.clear();
        self.refused.clear();
    }

    /// An answer came: who waits for it, and under which number. `None` when nobody does any more.
    pub fn answered(
        &mut self,
        attempt: AttemptId,
        reply: Reply,
        tuning: &Tuning,
    ) -> Option<(Owner, AttemptId, Reply)> {
        if attempt == AttemptId::NEWS {
            if reply == Reply::CredentialsChanged {
                self.auth.credentials_changed(self.now);
                self.log_in(tuning);
            }
            return None;
        }
        let flight = self.flights.get_mut(&attempt)?;
        let sent = flight.sent()?;
        let mut reply = flight.kind.fitting(reply);
        if let Some(error) = self.strange(sent, &reply, tuning) {
            if matches!(reply, Reply::Watch(_)) {
                self.outputs.push_back(Output::Cancel { attempt });
            }
            self.disbelieved = Some(error.clone());
            reply = Reply::Failed(error);
        }
        let reply = self.without_token(attempt, sent, reply, tuning)?;
        let flight = self.flights.get_mut(&attempt)?;
        flight.spoke = true;
        flight.said = Vec::new();
        if let Place::Sent(sent) = &mut flight.place {
            // A stream is as young as what it said last.
            sent.at = self.now;
        }
        let (owner, known_as, kind, needs_leader) =
            (flight.owner, flight.known_as, flight.kind, flight.needs_leader);
        if let Some(header) = reply.header() {
            self.witness.see(sent.then, needs_leader, header);
        }
        if kind.shows_token() && !matches!(reply, Reply::Failed(_)) {
            self.auth.vouched(sent.login, self.now);
        }
        if let Reply::Failed(error) = &reply
            && !error.is_answer()
        {
            if error.blames_member() {
                self.blame(sent, tuning);
            }
        } else {
            // A refusal too: who refuses is there.
            let serves = reply.header().map(|header| header.member_id);
            let (at, after) = (sent.at, tuning.healthy_after);
            self.members.worked(sent.member, serves, at, self.now, after);
        }
        if matches!(reply, Reply::Failed(_)) || kind != Kind::Watch {
            self.forget(attempt);
        }
        match owner {
            Owner::Login => {
                self.logged_in(reply, tuning);
                None
            }
            Owner::Census => {
                let cluster = reply.header().map(|header| header.cluster_id);
                self.counted(sent.member, cluster.filter(|&cluster| cluster != 0), tuning);
                None
            }
            Owner::Epoch
            | Owner::Holds
            | Owner::Mirror(_)
            | Owner::Follow(_)
            | Owner::Update(_)
            | Owner::Call(_)
            | Owner::Members => Some((owner, known_as, reply)),
        }
    }

    /// The next attempt whose time limit has passed, with what to tell its owner. Nothing of it
    /// arrives any more. Its member is blamed if it had the full time to answer.
    pub fn expire(&mut self, tuning: &Tuning) -> Option<(AttemptId, Owner, StoreError)> {
        loop {
            let &(at, attempt) = self.limits.first()?;
            if at > self.now {
                return None;
            }
            let flight = self.forget(attempt).expect("a limit belongs to a flight");
            self.leave(attempt, &flight);
            let sent = flight.sent();
            let is_of_census = flight.owner == Owner::Census;
            if let Some(sent) = sent
                && (is_of_census || at.since(sent.at) >= tuning.attempt_timeout)
            {
                self.blame(sent, tuning);
                self.auth.unanswered(sent.login, sent.at, self.now, tuning);
            }
            let error = if sent.is_some() {
                StoreError::GaveUp
            } else if self.census.is_over() {
                self.auth.in_the_way()
            } else {
                let detail = "the members have not told yet to which cluster they belong";
                StoreError::CannotConnect { detail: detail.to_owned() }
            };
            match (flight.owner, sent) {
                (Owner::Login, _) => self.logged_in(Reply::Failed(error), tuning),
                (Owner::Census, Some(sent)) => self.counted(sent.member, None, tuning),
                (owner, _) => return Some((flight.known_as, owner, error)),
            }
        }
    }

    /// The next attempt that was not sent because the store refuses our credentials.
    pub fn pop_refused(&mut self) -> Option<(AttemptId, Owner, StoreError)> {
        self.refused.pop_front()
    }

    /// Whether a login has succeeded, since this was last asked, after one was refused: whoever
    /// waits long because of that need not.
    pub fn take_let_in(&mut self) -> bool {
        std::mem::take(&mut self.let_in)
    }

    /// Why an answer was not believed, since this was last asked. It looked like any other.
    pub fn take_disbelieved(&mut self) -> Option<StoreError> {
        self.disbelieved.take()
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

    /// When one of the few may retry after `error`: slowly where only an operator can help.
    pub fn backoff_after(
        &mut self,
        error: &StoreError,
        now: Time,
        tuning: &Tuning,
        backoff: &mut Backoff,
    ) -> Time {
        if error.is_permanent() {
            self.backoff_slowly_at(now, tuning, backoff)
        } else {
            self.backoff_at(now, tuning, backoff)
        }
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
        let limit = self.limits.first().map(|&(at, _)| at);
        let login = self.auth.ask_at(!self.parked.is_empty()).filter(|_| self.census.is_over());
        [limit, login].into_iter().flatten().min()
    }

    /// Bytes of keys and values in them, those of watches included.
    pub fn bytes_in_flight(&self) -> usize {
        self.bytes
    }

    pub fn calls_in_flight(&self) -> usize {
        self.limits.len()
    }

    /// Blames the member that serves `stream`: it went silent.
    pub fn blame_stream(&mut self, stream: AttemptId, tuning: &Tuning) {
        let number = self.number_of(stream);
        let Some(flight) = self.flights.get(&number) else { return };
        let spoke = flight.spoke;
        if let Some(sent) = flight.sent() {
            if !spoke {
                self.auth.unanswered(sent.login, sent.at, self.now, tuning);
            }
            // Its silence is news, however long it has been open.
            self.blame(Sent { at: self.now, ..sent }, tuning);
        }
    }

    /// The cluster's own list of its members came: those that nobody knew are made known.
    pub fn members_listed(&mut self, list: &[MemberInfo]) {
        for (member, urls) in self.members.listed(list) {
            self.outputs.push_back(Output::Introduce { member, urls });
        }
    }

    /// How the store stands, as far as asking it goes.
    pub fn standing(&self) -> Standing {
        Standing {
            member: self.members.current(),
            away: self.members.all_failed(self.now),
            login: self.auth.standing(),
        }
    }

    fn next_attempt(&mut self) -> AttemptId {
        self.last += 1;
        AttemptId(self.last)
    }

    /// A new flight that is not sent yet.
    fn enter(&mut self, owner: Owner, request: &Request, give_up_at: Option<Time>) -> AttemptId {
        let attempt = self.next_attempt();
        let flight = Flight {
            owner,
            known_as: attempt,
            kind: Kind::of(request),
            needs_leader: needs_leader(request),
            give_up_at,
            place: Place::Parked,
            request: None,
            bytes: request.payload_bytes(),
            spoke: false,
            said: Vec::new(),
        };
        self.bytes += flight.bytes;
        self.flights.insert(attempt, flight);
        if let Some(at) = give_up_at {
            self.limits.insert((at, attempt));
        }
        attempt
    }

    /// Sends a flight, whose member is chosen now.
    fn carry(&mut self, attempt: AttemptId, request: Request) {
        let member = self.members.choose(self.now);
        self.carry_to(member, attempt, request);
    }

    fn carry_to(&mut self, member: MemberId, attempt: AttemptId, request: Request) {
        let then = self.witness.now();
        let sent = Sent { member, at: self.now, then, login: self.auth.login() };
        if let Some(flight) = self.flights.get_mut(&attempt) {
            flight.place = Place::Sent(sent);
            flight.request = self.auth.is_used().then(|| request.clone());
        }
        self.outputs.push_back(Output::Send { attempt, member, request });
        let said = self.flights.get(&attempt).map(|flight| flight.said.clone());
        for say in said.into_iter().flatten() {
            self.say_to(member, attempt, say);
        }
    }

    /// Why an answer is not to be believed: it comes from another cluster than all before, and
    /// others can be asked.
    fn strange(&mut self, sent: Sent, reply: &Reply, tuning: &Tuning) -> Option<StoreError> {
        let found = reply.header().map(|header| header.cluster_id).filter(|&found| found != 0)?;
        let Some(expected) = self.witness.cluster_id().or(self.census.home()) else {
            self.members.heard_from(sent.member, found, self.now);
            return None;
        };
        self.members
            .is_stranger(sent.member, found, expected, self.now, tuning)
            .then_some(StoreError::OtherCluster { expected, found })
    }

    fn blame(&mut self, sent: Sent, tuning: &Tuning) {
        let Sent { member, at, .. } = sent;
        if self.members.blame(member, at, self.now, tuning) {
            self.outputs.push_back(Output::Redial { member });
        }
    }

    fn number_of(&self, attempt: AttemptId) -> AttemptId {
        self.renamed.get(&attempt).copied().unwrap_or(attempt)
    }

    /// Tells the backend that nobody waits for an attempt, if it knows of it.
    fn leave(&mut self, attempt: AttemptId, flight: &Flight) {
        if flight.sent().is_some() {
            self.outputs.push_back(Output::Cancel { attempt });
        }
    }

    fn forget(&mut self, attempt: AttemptId) -> Option<Flight> {
        let flight = self.flights.remove(&attempt)?;
        self.bytes -= flight.bytes;
        if let Some(at) = flight.give_up_at {
            self.limits.remove(&(at, attempt));
        }
        self.parked.remove(&attempt);
        self.renamed.remove(&flight.known_as);
        Some(flight)
    }
}

#[cfg(test)]
mod tests;
