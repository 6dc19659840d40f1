//! What becomes of a request: refused, answered from the member's own state, or proposed.

use portolan_core::waist::{
    AttemptId, MemberInfo, MembersReply, Range, Reply, Request, StatusReply, StoreError,
};

use super::Model;
use super::member::{Later, Power, Waiting, Waits};
use crate::log::Cause;
use crate::state::Command;
use crate::{ClientId, check, range, size, txn};

impl Model {
    pub(super) fn request(&mut self, from: ClientId, attempt: AttemptId, request: Request) {
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
    pub(super) fn answer(
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
    pub(super) fn check_message(&self, request: &Request) -> Result<(), StoreError> {
        let size = size::request(request);
        let limit = self.config.max_message_bytes();
        if size > limit { Err(StoreError::MessageTooLarge { size, limit }) } else { Ok(()) }
    }

    /// Row W17: clients ask for a leader on everything but stale reads and status.
    pub(super) fn check_leader(&self, request: &Request) -> Result<(), StoreError> {
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
    pub(super) fn check_space(&self, request: &Request) -> Result<(), StoreError> {
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
    pub(super) fn propose(
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

    pub(super) fn range(&self, request: &Range) -> Result<Reply, StoreError> {
        let store = &self.member.state.store;
        range::range(store, store.revision(), request).map(Reply::Range)
    }

    pub(super) fn status(&self) -> StatusReply {
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

    pub(super) fn members(&self) -> MembersReply {
        let id = self.config.member_id;
        // A model has no address.
        let member = MemberInfo { id, client_urls: Vec::new(), is_learner: false };
        MembersReply { header: self.header(), members: vec![member] }
    }

    pub(super) fn wait(
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
}
