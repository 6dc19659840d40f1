//! What operators ask: users and roles, alarms, what is kept.

use portolan_core::waist::{AttemptId, Revision, StoreError};

use super::Model;
use super::member::Then;
use crate::state::{Answer, Command, Entry};
use crate::{ClientId, Operation, Outcome, Pass, size};

impl Model {
    pub(super) fn operate(
        &mut self,
        m: usize,
        from: ClientId,
        attempt: AttemptId,
        operation: Operation,
        pass: Pass,
    ) {
        let answer = self.outcome(m, from, attempt, operation, pass);
        self.answered(m, from, attempt, answer);
    }

    /// What comes of it, if that is known at once.
    fn outcome(
        &mut self,
        m: usize,
        from: ClientId,
        attempt: AttemptId,
        operation: Operation,
        pass: Pass,
    ) -> Result<Option<Answer>, StoreError> {
        self.check_power(m)?;
        self.check_message(size::operation_size(&operation))?;
        let ask = || Then::Operate(operation.clone(), pass.clone());
        if self.waits_for_token(m, from, attempt, &pass, ask) {
            return Ok(None);
        }
        let who = self.identify(m, &pass)?;
        if let Operation::Kept { revision } = operation {
            self.judge(m, &who).operation(&operation)?;
            return self.kept(m, revision).map(Answer::Outcome).map(Some);
        }
        self.propose(m, from, attempt, Entry { command: Command::Operate(operation), who })
    }

    /// All that a member keeps up to a revision (`HashByRev` in `server/storage/mvcc/kvstore.go`).
    fn kept(&self, m: usize, revision: Revision) -> Result<Outcome, StoreError> {
        let store = &self.state(m).store;
        let present = store.revision();
        if revision > Revision::ZERO && revision <= store.compacted() {
            return Err(StoreError::Compacted);
        }
        if revision > present {
            return Err(StoreError::FutureRevision);
        }
        let revision = if revision == Revision::ZERO { present } else { revision };
        let drop_delete = self.config.quirks.compaction_drops_delete;
        let changes = store.changes(revision, drop_delete);
        Ok(Outcome::Kept { revision, compacted: store.compacted(), changes })
    }

    /// Raises an alarm, ends one, or lists them (`server/etcdserver/api/v3alarm/alarms.go`). Any number
    /// passes for a member's id.
    pub(super) fn alarm(&mut self, step: AlarmStep) -> Outcome {
        Outcome::Alarms(match step {
            AlarmStep::List => self.alarms.iter().copied().collect(),
            AlarmStep::Raise(member) => {
                self.alarms.insert(member);
                vec![member]
            }
            AlarmStep::End(member) => self.alarms.take(&member).into_iter().collect(),
        })
    }
}

/// What a command does to alarms.
pub(super) enum AlarmStep {
    List,
    Raise(u64),
    End(u64),
}

impl AlarmStep {
    pub(super) fn of(command: &Command) -> Option<Self> {
        let Command::Operate(operation) = command else { return None };
        match *operation {
            Operation::Alarms => Some(Self::List),
            Operation::SetAlarm { member, on: true } => Some(Self::Raise(member)),
            Operation::SetAlarm { member, on: false } => Some(Self::End(member)),
            Operation::Admin(_)
            | Operation::AuthStatus
            | Operation::Users
            | Operation::User { .. }
            | Operation::Roles
            | Operation::Role { .. }
            | Operation::Kept { .. } => None,
        }
    }
}
