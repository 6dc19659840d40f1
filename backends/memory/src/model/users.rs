//! Who asks: tokens are issued, used, and forgotten (`server/auth/simple_token.go`).

use portolan_core::Rng;
use portolan_core::waist::{AttemptId, KeyRange, Request, StoreError, Watch};

use super::Model;
use super::member::{Session, Then, Waiting, Waits};
use crate::auth::{Judge, Who};
use crate::state::{Answer, Applied, Command, Entry};
use crate::{Access, Admin, ClientId, Credentials, Operation, Pass, Token};

/// What a command does to the tokens that a member knows, once it has applied it.
pub(super) enum TokenStep {
    Issue(String, Token),
    /// This user's are worth nothing any more.
    Forget(String),
    ForgetAll,
    /// None; but what is on disk now is newer than they are.
    Write,
}

impl TokenStep {
    pub(super) fn of(command: &Command) -> Self {
        match command {
            Command::Authenticate { user, token } => Self::Issue(user.clone(), token.clone()),
            Command::Operate(Operation::Admin(Admin::Disable)) => Self::ForgetAll,
            Command::Operate(Operation::Admin(
                Admin::DeleteUser { user } | Admin::ChangePassword(Credentials { user, .. }),
            )) => Self::Forget(user.clone()),
            Command::Operate(_)
            | Command::Put(_)
            | Command::Delete(_)
            | Command::Txn(_)
            | Command::Compact(_)
            | Command::Grant { .. }
            | Command::Revoke { .. } => Self::Write,
        }
    }

    /// What was refused does nothing to them.
    pub(super) fn after(self, applied: &Applied) -> Self {
        if applied.answer.is_ok() { self } else { Self::Write }
    }
}

impl Model {
    /// Takes over what a command that the member has just applied does to tokens.
    pub(super) fn keep_tokens(&mut self, m: usize, step: &TokenStep) {
        let issued = self.state(m).applied;
        let expires = self.now + self.config.token_ttl;
        let member = &mut self.members[m];
        match step {
            TokenStep::Issue(user, token) => {
                // Nobody counts for those that are never used again: here they go.
                let now = self.now;
                member.tokens.retain(|_, session| session.expires >= now);
                let session = Session { user: user.clone(), expires, issued };
                member.tokens.insert(token.clone(), session);
                return;
            }
            TokenStep::Forget(user) => member.tokens.retain(|_, session| session.user != *user),
            TokenStep::ForgetAll => member.tokens.clear(),
            TokenStep::Write => {}
        }
        member.written = issued;
    }

    /// A process starts: it knows again the tokens whose place in the log is above what it finds on
    /// disk, and they last anew.
    pub(super) fn recover_tokens(&mut self, m: usize) {
        let expires = self.now + self.config.token_ttl;
        let member = &mut self.members[m];
        member.tokens.retain(|_, session| session.issued > member.written);
        for session in member.tokens.values_mut() {
            session.expires = expires;
        }
    }

    /// Whether a request waits for its member to learn of the token that it carries. Then it is put
    /// aside for that.
    pub(super) fn waits_for_token(
        &mut self,
        m: usize,
        from: ClientId,
        attempt: AttemptId,
        pass: &Pass,
        then: impl FnOnce() -> Then,
    ) -> bool {
        let Pass::Token(token) = pass else { return false };
        let state = self.state(m);
        if !state.auth.enabled || self.members[m].tokens.contains_key(token) {
            return false;
        }
        let Some(count) = token.index().filter(|&index| index > state.applied) else {
            return false;
        };
        let then = then();
        let what = Waits::Applied { count, then, since: self.now, until: None };
        self.members[m].waiting.push(Waiting { from, attempt, what });
        true
    }

    /// Rows A3 to A5: whether this release looks at who asks for it.
    pub(super) fn asks_who(&self, request: &Request) -> bool {
        let quirks = &self.config.quirks;
        match request {
            Request::KeepAlive(_) | Request::Leases | Request::Status | Request::Members => {
                !quirks.auth_gaps
            }
            Request::TimeToLive(ask) => !quirks.auth_gaps || ask.keys && !quirks.lease_keys_told,
            Request::Range(_)
            | Request::Put(_)
            | Request::Delete(_)
            | Request::Txn(_)
            | Request::Compact(_)
            | Request::Grant(_)
            | Request::Revoke(_)
            | Request::Watch(_) => true,
            Request::OnWatch { .. } | Request::Authenticate => false,
        }
    }

    /// Whom a token stands for. Using it makes it last anew, at this member.
    pub(super) fn identify(&mut self, m: usize, pass: &Pass) -> Result<Who, StoreError> {
        let auth = &self.state(m).auth;
        let revision = auth.revision;
        let Pass::Token(token) = pass else { return Ok(Who::Nobody) };
        if !auth.enabled {
            return Ok(Who::Nobody);
        }
        let now = self.now;
        let session = self.members[m].tokens.get_mut(token);
        let session = session.filter(|session| session.expires >= now);
        let session = session.ok_or(StoreError::InvalidToken)?;
        session.expires = now + self.config.token_ttl;
        Ok(Who::User { name: session.user.clone(), revision })
    }

    pub(super) fn judge<'a>(&'a self, m: usize, who: &'a Who) -> Judge<'a> {
        self.state(m).judge(who, &self.config.quirks)
    }

    /// Row A4: what is asked of requests that no key decides about.
    pub(super) fn check_who(
        &mut self,
        m: usize,
        request: &Request,
        pass: &Pass,
    ) -> Result<(), StoreError> {
        if !self.asks_who(request) {
            return Ok(());
        }
        let gaps = self.config.quirks.auth_gaps;
        match request {
            Request::KeepAlive(ask) => {
                let who = self.identify(m, pass)?;
                let judge = self.judge(m, &who);
                judge.somebody()?;
                judge.lease(ask.lease, Access::Write)
            }
            Request::TimeToLive(ask) => {
                let who = self.identify(m, pass)?;
                let judge = self.judge(m, &who);
                judge.somebody()?;
                if ask.keys { judge.lease(ask.lease, Access::Read) } else { Ok(()) }
            }
            Request::Leases | Request::Status => {
                let who = self.identify(m, pass)?;
                self.judge(m, &who).root()
            }
            Request::Compact(_) if !gaps => {
                let who = self.identify(m, pass)?;
                self.judge(m, &who).root()
            }
            Request::Grant(_) | Request::Revoke(_) if !gaps => {
                let who = self.identify(m, pass)?;
                self.judge(m, &who).somebody()
            }
            Request::Members => {
                let who = self.identify(m, pass)?;
                self.judge(m, &who).somebody()
            }
            // Looked at where they are read, proposed, or applied.
            Request::Range(_)
            | Request::Put(_)
            | Request::Delete(_)
            | Request::Txn(_)
            | Request::Compact(_)
            | Request::Grant(_)
            | Request::Revoke(_)
            | Request::Watch(_)
            | Request::OnWatch { .. }
            | Request::Authenticate => Ok(()),
        }
    }

    /// Row A5: whether a watch is let in, and why not.
    pub(super) fn check_watch(
        &mut self,
        m: usize,
        watch: &Watch,
        pass: &Pass,
    ) -> Result<(), StoreError> {
        let who = self.identify(m, pass)?;
        let mut keys = watch.keys.clone();
        if keys.key.is_empty() {
            keys.key = (&[0][..]).into();
        }
        if self.config.quirks.open_watch_unchecked && *keys.end == [0] {
            keys = KeyRange::one(keys.key);
        }
        self.judge(m, &who).read(&keys)
    }

    /// Rows A1 and A2. The carrier without credentials is told what a wrong password is told.
    pub(super) fn authenticate(
        &mut self,
        m: usize,
        from: ClientId,
        attempt: AttemptId,
        pass: Pass,
    ) -> Result<Option<Answer>, StoreError> {
        if !self.is_current(m) {
            self.wait_to_read(m, from, attempt, Request::Authenticate, pass);
            return Ok(None);
        }
        let auth = &self.state(m).auth;
        if !auth.enabled {
            return Err(StoreError::AuthNotEnabled);
        }
        let Pass::Login(credentials) = pass else { return Err(StoreError::AuthFailed) };
        auth.check(&credentials)?;
        self.tokens_issued += 1;
        let mut chance = Rng::new(self.config.seed ^ self.tokens_issued).fork("token");
        let letters: String = (0..16)
            .map(|_| char::from(b'a' + u8::try_from(chance.below(26)).unwrap_or(0)))
            .collect();
        let token = Token::new(&letters, self.head.applied + 1);
        self.issued.insert((from, attempt), token.clone());
        let user = credentials.user;
        let entry = Entry { command: Command::Authenticate { user, token }, who: Who::Nobody };
        self.propose(m, from, attempt, entry)
    }
}
