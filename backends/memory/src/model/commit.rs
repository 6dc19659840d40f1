//! What consensus has agreed on is applied, written down, and told to those who watch.

use portolan_core::waist::{AttemptId, Reply, StoreError};

use super::member::{Behind, Then, Waiting, Waits};
use super::operations::AlarmStep;
use super::users::TokenStep;
use super::{Model, leases};
use crate::auth::Who;
use crate::log::{Cause, Change, LeaseStep};
use crate::state::{Answer, Command, Entry};
use crate::store;
use crate::{Admin, ClientId, Operation};

impl Model {
    /// Commits a request's command. Only for callers that hear of a leader.
    pub(super) fn agree(
        &mut self,
        from: ClientId,
        attempt: AttemptId,
        entry: Entry,
    ) -> Result<Answer, StoreError> {
        let cause = match entry.command {
            Command::Revoke { lease } => Cause::Revoke { lease, from, attempt },
            Command::Put(_)
            | Command::Delete(_)
            | Command::Txn(_)
            | Command::Compact(_)
            | Command::Grant { .. }
            | Command::Authenticate { .. }
            | Command::Operate(_) => Cause::Request { from, attempt },
        };
        self.commit(entry, cause)
    }

    /// Users and roles change. Without a leader nothing comes of it.
    pub(super) fn administer(&mut self, admin: Admin) {
        if self.works() {
            let entry =
                Entry { command: Command::Operate(Operation::Admin(admin)), who: Who::Store };
            let cause = Cause::Request { from: ClientId(0), attempt: AttemptId::NEWS };
            // It answers nobody, and changes no key.
            let _ = self.commit(entry, cause);
        }
    }

    /// Appends a command to the log: the one place where anything changes. Members in step apply
    /// it at once, the others when they can.
    pub(super) fn commit(&mut self, mut entry: Entry, cause: Cause) -> Result<Answer, StoreError> {
        let mut ended = None;
        match &mut entry.command {
            Command::Grant { ttl_secs, .. } => {
                *ttl_secs = (*ttl_secs).max(self.config.min_lease_ttl());
            }
            Command::Revoke { lease } => ended = Some(*lease),
            Command::Put(_)
            | Command::Delete(_)
            | Command::Txn(_)
            | Command::Compact(_)
            | Command::Authenticate { .. }
            | Command::Operate(_) => {}
        }
        self.leave_behind(&entry);
        let tokens = TokenStep::of(&entry.command);
        let alarm = AlarmStep::of(&entry.command);
        let applied = self.head.apply(entry, &self.config.quirks);
        let tokens = tokens.after(&applied);
        let revision = self.head.store.revision();
        if self.config.keep_log {
            for (index, kv) in (0..).zip(&applied.changes) {
                let kind = store::event_kind(kv);
                let kv = kv.clone();
                self.log.push(Change { at: self.now, revision, index, kind, kv, cause });
            }
        }
        for m in 0..self.members.len() {
            if self.members[m].behind.is_some() {
                continue;
            }
            self.keep_tokens(m, &tokens);
            if !applied.changes.is_empty() {
                self.on_watches(m, |watches, scene, said| {
                    watches.notify(scene, &applied.changes, said);
                });
            }
        }
        self.settle();
        self.limit_history();
        let answer = applied.answer?;
        if let Some(step) = alarm {
            return Ok(Answer::Outcome(self.alarm(step)));
        }
        if let Answer::Reply(Reply::Grant(granted)) = &answer {
            let span = leases::span(granted.ttl_secs);
            let expires = self.cluster.lessor.start(self.now, granted.lease, span);
            if let Cause::Request { from, attempt } = cause {
                let ttl_secs = granted.ttl_secs;
                let step = LeaseStep::Granted { ttl_secs, expires, from, attempt };
                self.log_lease(granted.lease, step);
            }
        }
        if let Some(lease) = ended {
            self.lease_ended(lease, cause);
        }
        Ok(answer)
    }

    /// Requests whose token a member in step knows by now go on.
    fn settle(&mut self) {
        for m in 0..self.members.len() {
            let member = &self.members[m];
            let waits = |call: &Waiting| matches!(call.what, Waits::Applied { .. });
            if member.behind.is_none() && member.waiting.iter().any(waits) {
                self.catch_up(m);
            }
        }
    }

    /// Before a command is applied: members that cannot do so now keep the state they stand at, and
    /// what they have to apply.
    fn leave_behind(&mut self, entry: &Entry) {
        for m in 0..self.members.len() {
            let hears = self.hears(m);
            let member = &mut self.members[m];
            member.missed |= !hears;
            if (!hears || member.lag) && member.behind.is_none() {
                let state = self.head.clone();
                member.behind = Some(Box::new(Behind { state, queue: Default::default() }));
            }
            if let Some(behind) = &mut member.behind {
                behind.queue.push_back(entry.clone());
            }
        }
    }

    /// A member applies all that it has to, and tells those who watch there.
    pub(super) fn catch_up(&mut self, m: usize) {
        while let Some(behind) = &mut self.members[m].behind {
            let Some(entry) = behind.queue.pop_front() else {
                self.members[m].behind = None;
                break;
            };
            let tokens = TokenStep::of(&entry.command);
            let applied = behind.state.apply(entry, &self.config.quirks);
            let tokens = tokens.after(&applied);
            self.keep_tokens(m, &tokens);
            if !applied.changes.is_empty() {
                self.on_watches(m, |watches, scene, said| {
                    watches.notify(scene, &applied.changes, said);
                });
            }
        }
        let count = self.state(m).applied;
        let is_there =
            |what: &Waits| matches!(what, Waits::Applied { count: wanted, .. } if *wanted <= count);
        for Waiting { from, attempt, what } in self.members[m].take_waiting(is_there) {
            match what {
                Waits::Applied { then: Then::Say(result), .. } => {
                    self.answered(m, from, attempt, result.map(Some));
                }
                Waits::Applied { then: Then::Ask(request, pass), .. } => {
                    self.request(m, from, attempt, request, pass);
                }
                Waits::Applied { then: Then::Operate(operation, pass), .. } => {
                    self.operate(m, from, attempt, operation, pass);
                }
                Waits::Leader { .. }
                | Waits::Read { .. }
                | Waits::Sent { .. }
                | Waits::Revoke { .. } => {}
            }
        }
    }

    /// The answer to what was agreed on just now: a member gives it once it has applied it itself.
    pub(super) fn when_applied(
        &mut self,
        m: usize,
        from: ClientId,
        attempt: AttemptId,
        result: Result<Answer, StoreError>,
    ) -> Result<Option<Answer>, StoreError> {
        if self.members[m].behind.is_none() {
            return result.map(Some);
        }
        let count = self.head.applied;
        self.wait_applied(m, from, attempt, count, Then::Say(result));
        Ok(None)
    }

    pub(super) fn wait_applied(
        &mut self,
        m: usize,
        from: ClientId,
        attempt: AttemptId,
        count: u64,
        then: Then,
    ) {
        let (since, until) = (self.now, Some(self.now + self.config.request_timeout()));
        let what = Waits::Applied { count, then, since, until };
        self.members[m].waiting.push(Waiting { from, attempt, what });
    }
}
