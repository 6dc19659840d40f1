//! What becomes of a request: refused, answered from the member's own state, or proposed.

use portolan_core::waist::{
    AttemptId, MemberInfo, MembersReply, Range, Reply, Request, StatusReply, StoreError, WatchSay,
};

use super::Model;
use super::member::{Later, Power, Proposal, Then, Waiting, Waits};
use crate::state::{Answer, Command, Entry};
use crate::{ClientId, Pass, check, range, size, txn};

impl Model {
    pub(super) fn request(
        &mut self,
        m: usize,
        from: ClientId,
        attempt: AttemptId,
        request: Request,
        pass: Pass,
    ) {
        let stream =
            if let Request::OnWatch { stream, .. } = &request { Some(*stream) } else { None };
        match (self.answer(m, from, attempt, request, pass), stream) {
            // What is said on a stream has no answer of its own: the stream ends.
            (Err(error), Some(stream)) => {
                if self.members[m].watches.close((from, stream)) {
                    self.reply(m, from, stream, Reply::Failed(error));
                }
            }
            (answer, _) => self.answered(m, from, attempt, answer),
        }
    }

    /// Passes on the answer to a call, if there is one by now.
    pub(super) fn answered(
        &mut self,
        m: usize,
        from: ClientId,
        attempt: AttemptId,
        answer: Result<Option<Answer>, StoreError>,
    ) {
        match answer {
            Ok(None) => {}
            Ok(Some(Answer::Reply(reply))) => self.reply(m, from, attempt, reply),
            Ok(Some(Answer::Outcome(outcome))) => self.tell(m, from, attempt, outcome),
            Err(error) => self.reply(m, from, attempt, Reply::Failed(error)),
        }
    }

    /// The answer to a request, if it has one at once.
    fn answer(
        &mut self,
        m: usize,
        from: ClientId,
        attempt: AttemptId,
        request: Request,
        pass: Pass,
    ) -> Result<Option<Answer>, StoreError> {
        self.check_power(m)?;
        self.check_message(size::request_size(&request))?;
        self.check_leader(m, &request)?;
        self.check_space(&request)?;
        self.check_quota(m, &request)?;
        let ask = || Then::Ask(request.clone(), pass.clone());
        if self.asks_who(&request) && self.waits_for_token(m, from, attempt, &pass, ask) {
            return Ok(None);
        }
        self.check_who(m, &request, &pass)?;
        let command = match request {
            Request::Range(request) => {
                check::range(&request)?;
                if !request.serializable && !self.is_current(m) {
                    self.wait_to_read(m, from, attempt, Request::Range(request), pass);
                    return Ok(None);
                }
                let who = self.identify(m, &pass)?;
                self.judge(m, &who).read(&request.keys)?;
                return self.range(m, &request).map(Answer::Reply).map(Some);
            }
            Request::Txn(request) => {
                check::txn(&request, self.config.max_txn_ops)?;
                if !txn::is_read_only(&request) {
                    Command::Txn(request)
                } else if !txn::is_serializable(&request) && !self.is_current(m) {
                    self.wait_to_read(m, from, attempt, Request::Txn(request), pass);
                    return Ok(None);
                } else {
                    let who = self.identify(m, &pass)?;
                    self.judge(m, &who).txn(&request)?;
                    let reply = self.state(m).read_txn(&request, &self.config.quirks)?;
                    return Ok(Some(reply.into()));
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
                let lease = request.lease.unwrap_or_else(|| self.choose_lease(m));
                Command::Grant { lease, ttl_secs: request.ttl_secs }
            }
            Request::Revoke(request) => Command::Revoke { lease: request.lease },
            Request::KeepAlive(request) => return self.keep_alive(m, from, attempt, request, pass),
            Request::TimeToLive(request) => {
                return self.time_to_live(m, from, attempt, request, pass);
            }
            Request::Leases => return Ok(Some(Reply::Leases(self.all_leases(m)).into())),
            Request::Watch(watch) => {
                let permit = self.check_watch(m, &watch, &pass);
                self.on_watches(m, |watches, scene, said| {
                    watches.open(scene, (from, attempt), (watch, permit), pass, said);
                });
                return Ok(None);
            }
            Request::OnWatch { stream, say } => {
                if let Some(count) = self.members[m].opens_after((from, stream)) {
                    // A stream is read in order: what is said on it waits with what opens it.
                    let then = Then::Ask(Request::OnWatch { stream, say }, pass);
                    let what = Waits::Applied { count, then, since: self.now, until: None };
                    self.members[m].waiting.push(Waiting { from, attempt, what });
                    return Ok(None);
                }
                // The token is that of the stream, as old as it may be.
                let pass = self.members[m].watches.pass_of((from, stream));
                let permit = match (&say, pass) {
                    (WatchSay::Create(watch), Some(pass)) => self.check_watch(m, watch, &pass),
                    (WatchSay::Create(_) | WatchSay::Cancel { .. } | WatchSay::Progress, _) => {
                        Ok(())
                    }
                };
                self.on_watches(m, |watches, scene, said| {
                    watches.say(scene, (from, stream), say, permit, said);
                });
                return Ok(None);
            }
            Request::Status => return Ok(Some(Reply::Status(self.status(m)).into())),
            Request::Members => return Ok(Some(Reply::Members(self.list_members(m)).into())),
            Request::Authenticate => return self.authenticate(m, from, attempt, pass),
        };
        let who = self.identify(m, &pass)?;
        self.propose(m, from, attempt, Entry { command, who })
    }

    /// A process that does not run lets nobody in.
    pub(super) fn check_power(&self, m: usize) -> Result<(), StoreError> {
        if self.members[m].power == Power::Off {
            return Err(StoreError::Refused { detail: "the store is stopped".to_owned() });
        }
        Ok(())
    }

    /// What gRPC lets through at all (row E1).
    pub(super) fn check_message(&self, size: u64) -> Result<(), StoreError> {
        let limit = self.config.max_message_bytes();
        if size > limit { Err(StoreError::MessageTooLarge { size, limit }) } else { Ok(()) }
    }

    /// Row W17: clients ask for a leader on everything but stale reads and questions about
    /// the members.
    fn check_leader(&self, m: usize, request: &Request) -> Result<(), StoreError> {
        let asked = match request {
            Request::Range(range) => !range.serializable,
            Request::Status | Request::Members | Request::OnWatch { .. } => false,
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
            | Request::Authenticate => true,
        };
        if asked && self.config.require_leader && self.members[m].sight.leader.is_none() {
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
        if needs_space && !self.alarms.is_empty() { Err(StoreError::NoSpace) } else { Ok(()) }
    }

    /// Puts a command through consensus.
    pub(super) fn propose(
        &mut self,
        m: usize,
        from: ClientId,
        attempt: AttemptId,
        entry: Entry,
    ) -> Result<Option<Answer>, StoreError> {
        let member = &self.members[m];
        if member.overloaded {
            return Err(StoreError::TooManyRequests);
        }
        if size::proposal(&entry.command, member.id) > self.config.max_request_bytes {
            return Err(StoreError::RequestTooLarge);
        }
        if member.sight.leader.is_none() {
            let later = Later::Entry(entry);
            self.wait_for_leader(m, from, attempt, later, StoreError::ServerDeadline);
            return Ok(None);
        }
        if self.hears(m) {
            let result = self.agree(from, attempt, entry);
            return self.when_applied(m, from, attempt, result);
        }
        self.send(Proposal { asked: m, from, attempt, entry });
        let (since, until) = (self.now, self.now + self.config.request_timeout());
        let what = Waits::Sent { since, until };
        self.members[m].waiting.push(Waiting { from, attempt, what });
        Ok(None)
    }

    /// Whether a member can answer a linearizable read at once: a leader has told it how far the
    /// log is, and it has applied all of that.
    pub(super) fn is_current(&self, m: usize) -> bool {
        self.hears(m) && self.members[m].behind.is_none()
    }

    pub(super) fn wait_to_read(
        &mut self,
        m: usize,
        from: ClientId,
        attempt: AttemptId,
        request: Request,
        pass: Pass,
    ) {
        if self.hears(m) {
            let count = self.head.applied;
            self.wait_applied(m, from, attempt, count, Then::Ask(request, pass));
        } else {
            let until = self.now + self.config.request_timeout();
            let what = Waits::Read { request, pass, until };
            self.members[m].waiting.push(Waiting { from, attempt, what });
        }
    }

    pub(super) fn wait_for_leader(
        &mut self,
        m: usize,
        from: ClientId,
        attempt: AttemptId,
        later: Later,
        otherwise: StoreError,
    ) {
        let until = self.now + self.config.request_timeout();
        let there = self.members[m].sight.leader;
        let silent = there.filter(|&leader| self.members[leader].power != Power::Off);
        let what = Waits::Leader { later, silent, until, otherwise };
        self.members[m].waiting.push(Waiting { from, attempt, what });
    }

    /// Answers the calls that have waited too long (rows G7, L8).
    pub(super) fn give_up_waiting(&mut self) {
        let now = self.now;
        for m in 0..self.members.len() {
            if self.members[m].power != Power::On {
                continue;
            }
            let is_over = |what: &Waits| what.until().is_some_and(|until| until <= now);
            for Waiting { from, attempt, what } in self.members[m].take_waiting(is_over) {
                let error = match what {
                    // A lease's question was on its way to a leader that is silent.
                    Waits::Leader { otherwise: StoreError::NoLeader, .. }
                        if self.members[m].sight.leader.is_some() =>
                    {
                        StoreError::TimedOut
                    }
                    Waits::Leader { otherwise, .. } => otherwise,
                    Waits::Sent { since, .. }
                    | Waits::Applied { then: Then::Say(_), since, .. } => self.too_late(m, since),
                    Waits::Read { .. }
                    | Waits::Applied { then: Then::Ask(..) | Then::Operate(..), .. }
                    | Waits::Revoke { .. } => StoreError::TimedOut,
                };
                self.reply(m, from, attempt, Reply::Failed(error));
            }
        }
    }

    fn range(&self, m: usize, request: &Range) -> Result<Reply, StoreError> {
        let store = &self.state(m).store;
        range::range(store, store.revision(), request).map(Reply::Range)
    }

    fn status(&self, m: usize) -> StatusReply {
        let member = &self.members[m];
        let leader = member.sight.leader.map_or(0, |leader| self.members[leader].id);
        let mut errors = Vec::new();
        if leader == 0 {
            errors.push(StoreError::NoLeader.to_string());
        }
        errors.extend(self.alarms.iter().map(|id| format!("memberID:{id} alarm:NOSPACE ")));
        StatusReply {
            header: self.header(m),
            version: self.config.version.clone(),
            leader,
            // What it has received counts, applied or not.
            raft_index: if member.missed { self.state(m).applied } else { self.head.applied },
            db_size: i64::try_from(self.db_size(m)).unwrap_or(i64::MAX),
            is_learner: false,
            errors,
        }
    }

    /// A model has no addresses.
    fn list_members(&self, m: usize) -> MembersReply {
        let member = |id| MemberInfo { id, client_urls: Vec::new(), is_learner: false };
        let members = self.members.iter().map(|each| member(each.id)).collect();
        MembersReply { header: self.header(m), members }
    }
}
