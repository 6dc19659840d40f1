//! What operators ask: users and roles, alarms, what is kept.

use portolan_core::waist::{AttemptId, Revision, StoreError};

use super::Model;
use super::member::Then;
use crate::state::{Answer, Command, Entry};
use crate::{ClientId, Operation, Outcome, Pass};

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

    /// What a command does to alarms, if it is of them. Nobody needs a right for that.
    pub(super) fn alarm(&mut self, command: &Command) -> Option<Outcome> {
        let chosen = match command {
            Command::Operate(Operation::Alarms) => None,
            Command::Operate(Operation::SetAlarm { member, on }) => Some((*member, *on)),
            Command::Operate(_)
            | Command::Put(_)
            | Command::Delete(_)
            | Command::Txn(_)
            | Command::Compact(_)
            | Command::Grant { .. }
            | Command::Revoke { .. }
            | Command::Authenticate { .. } => return None,
        };
        let mut named = Vec::new();
        for member in &mut self.members {
            match chosen {
                None if member.full => named.push(member.id),
                Some((id, on)) if id == member.id && (on || member.full) => {
                    member.full = on;
                    named.push(id);
                }
                None | Some(_) => {}
            }
        }
        Some(Outcome::Alarms(named))
    }
}
