//! When to log in.
//!
//! ```text
//! Wanted ──▶ Asking ── a token, or none is needed ──▶ LoggedIn
//!   ▲          │ └──── the password is wrong ──▶ Refused ── much later, or other credentials ──▶ Wanted
//!   └──────────┘ no answer
//!   └───────────────────────────── the token is refused ────────────────────────── LoggedIn
//!
//! LoggedIn ── no answer ──▶ Doubted ──▶ Renewing ── a token ──▶ LoggedIn
//!    ▲                         │ ▲─ no answer, refused ┘
//!    └── an answer ────────────┘
//! ```
//!
//! etcd forgets tokens: those not used for `--auth-token-ttl`, 5 min by default, and all of them when
//! users or roles change (rows A1 and following of `docs/etcd.md`). A clock cannot tell when, so only
//! the refusal counts: then one login is under way for the whole process, attempts wait for it
//! unsent, and those that the old token cost are sent anew. A refusal of a token that is older than
//! the present one says nothing new.
//!
//! A simple token names the place in the store's log where it was made, and a member keeps whoever
//! brings it waiting until it has come so far (row A8). A store that was wiped or restored comes so
//! far only much later, and refuses nothing meanwhile. So when a request has had its full time, and
//! nothing for which the token is looked at was answered since it was sent, another token is asked
//! for. Beside all else: it may be an outage like any other, and then nothing shall wait for that.
//!
//! A wrong password is no outage. It is tried again slowly, since each try costs the store more than
//! a hundred reads, and meanwhile everything fails as refused, at once. A missing right is not this
//! machine's: the login stands, and each owner retries slowly by itself.

use super::output::Login;
use super::retry::Backoff;
use crate::rng::Rng;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{Certainty, StoreError};

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Auth {
    state: State,
    /// Which token the attempts carry that are sent now.
    logins: u32,
    since: Time,
    /// When the store last showed that it takes that token.
    vouched_at: Time,
    backoff: Backoff,
    rng: Rng,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
enum State {
    /// There are no credentials: what the store says of tokens is its last word.
    Off,
    /// A login is needed, and asked for at `ask_at` at the earliest. `why` stood in its way.
    /// Where the store refused the last one it is wanted even if nobody waits: those who were refused
    /// are to be called back.
    Wanted { ask_at: Time, why: Option<StoreError>, after_refusal: bool },
    /// Asked; the wire answers in any case, and once.
    Asking { after_refusal: bool },
    /// The attempts carry a token, or need none.
    LoggedIn,
    /// They do, but are not answered: another one is asked for at `ask_at`.
    Doubted { ask_at: Time },
    /// Asked for another one meanwhile.
    Renewing,
    /// The store refuses the credentials, or there are none to read.
    Refused { ask_at: Time, error: StoreError },
}

/// Whether an attempt may be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Gate {
    Open,
    /// It waits for a token.
    Waits,
    /// It fails with this.
    Shut(StoreError),
}

impl Auth {
    pub fn new(has_credentials: bool, rng: Rng) -> Self {
        let state = if has_credentials {
            State::Wanted { ask_at: Time::ZERO, why: None, after_refusal: false }
        } else {
            State::Off
        };
        let (since, vouched_at) = (Time::ZERO, Time::ZERO);
        Self { state, logins: 0, since, vouched_at, backoff: Backoff::default(), rng }
    }

    pub fn standing(&self) -> Login {
        match self.state {
            State::Off => Login::None,
            State::Wanted { .. } | State::Asking { .. } => Login::Pending,
            State::LoggedIn | State::Doubted { .. } | State::Renewing => Login::Done,
            State::Refused { .. } => Login::Refused,
        }
    }

    pub fn gate(&self) -> Gate {
        match &self.state {
            State::Off | State::LoggedIn | State::Doubted { .. } | State::Renewing => Gate::Open,
            State::Wanted { .. } | State::Asking { .. } => Gate::Waits,
            State::Refused { error, .. } => Gate::Shut(error.clone()),
        }
    }

    /// Whether attempts may have to be sent anew.
    pub fn is_used(&self) -> bool {
        self.state != State::Off
    }

    /// Which token the attempts carry that are sent now.
    pub fn login(&self) -> u32 {
        self.logins
    }

    /// Whether it is time to ask for a token; `waiting`: attempts wait for one.
    pub fn wants_to_ask(&self, now: Time, waiting: bool) -> bool {
        self.ask_at(waiting).is_some_and(|at| at <= now)
    }

    /// When it is time to ask.
    pub fn ask_at(&self, waiting: bool) -> Option<Time> {
        match self.state {
            State::Wanted { ask_at, after_refusal, .. } if waiting || after_refusal => Some(ask_at),
            State::Refused { ask_at, .. } | State::Doubted { ask_at } => Some(ask_at),
            State::Off
            | State::Wanted { .. }
            | State::Asking { .. }
            | State::LoggedIn
            | State::Renewing => None,
        }
    }

    pub fn asked(&mut self) {
        let after_refusal = match self.state {
            State::Wanted { after_refusal, .. } => after_refusal,
            State::Refused { .. } => true,
            State::Doubted { .. } => {
                self.state = State::Renewing;
                return;
            }
            State::Off | State::Asking { .. } | State::LoggedIn | State::Renewing => false,
        };
        self.state = State::Asking { after_refusal };
    }

    /// The login was answered: with a token, or with words that none is needed. True: those who
    /// were refused before it may try again.
    pub fn succeeded(&mut self, now: Time) -> bool {
        let after_refusal = self.is_after_refusal();
        self.state = State::LoggedIn;
        self.logins += 1;
        self.since = now;
        self.vouched_at = now;
        after_refusal
    }

    pub fn failed(&mut self, error: StoreError, now: Time, tuning: &Tuning) {
        let after_refusal = self.is_after_refusal();
        let is_beside = self.state == State::Renewing;
        let is_refused = error.is_permanent();
        let ask_at = if is_refused {
            self.backoff.refused(now, tuning, &mut self.rng)
        } else {
            self.backoff.failed(now, tuning, &mut self.rng)
        };
        self.state = if is_beside {
            // Whatever is wrong with the credentials: the token that there is was not refused.
            State::Doubted { ask_at }
        } else if is_refused {
            State::Refused { ask_at, error }
        } else {
            State::Wanted { ask_at, why: Some(error), after_refusal }
        };
    }

    /// The store refused the token of an attempt that was sent after so many logins.
    pub fn token_refused(&mut self, login: u32, now: Time, tuning: &Tuning) {
        if login != self.logins {
            return;
        }
        match self.state {
            State::LoggedIn | State::Doubted { .. } => {}
            State::Renewing => {
                self.state = State::Asking { after_refusal: false };
                return;
            }
            State::Off | State::Wanted { .. } | State::Asking { .. } | State::Refused { .. } => {
                return;
            }
        }
        // One that has served is asked for again at once; one that is refused as soon as it is
        // there would be asked for without end.
        let has_served =
            self.vouched_at > self.since || now.since(self.since) >= tuning.healthy_after;
        let ask_at = if has_served {
            self.backoff = Backoff::default();
            now
        } else {
            self.backoff.failed(now, tuning, &mut self.rng)
        };
        self.state = State::Wanted { ask_at, why: None, after_refusal: false };
    }

    /// A request for which the store looks at its token was answered.
    pub fn vouched(&mut self, login: u32, now: Time) {
        if login != self.logins {
            return;
        }
        self.vouched_at = now;
        if matches!(self.state, State::Doubted { .. }) {
            self.state = State::LoggedIn;
        }
    }

    /// An attempt that was sent at `sent_at`, after so many logins, had its full time and no answer.
    pub fn unanswered(&mut self, login: u32, sent_at: Time, now: Time, tuning: &Tuning) {
        let in_vain = login == self.logins && self.vouched_at < sent_at;
        if in_vain && self.state == State::LoggedIn {
            if now.since(self.since) >= tuning.healthy_after {
                self.backoff = Backoff::default();
            }
            self.state = State::Doubted { ask_at: self.backoff.failed(now, tuning, &mut self.rng) };
        }
    }

    /// Other credentials are there.
    pub fn credentials_changed(&mut self, now: Time) {
        match &self.state {
            State::Refused { .. } => {
                self.state = State::Wanted { ask_at: now, why: None, after_refusal: true };
            }
            State::Doubted { .. } => self.state = State::Doubted { ask_at: now },
            State::Off
            | State::Wanted { .. }
            | State::Asking { .. }
            | State::LoggedIn
            | State::Renewing => {}
        }
    }

    /// What to tell an attempt that waited for a token until its time was over. It was never sent, so
    /// the error must not leave that open.
    pub fn in_the_way(&self) -> StoreError {
        let why = match &self.state {
            State::Wanted { why, .. } => why.clone(),
            State::Refused { error, .. } => Some(error.clone()),
            State::Off
            | State::Asking { .. }
            | State::LoggedIn
            | State::Doubted { .. }
            | State::Renewing => None,
        };
        why.filter(|error| error.certainty() == Certainty::NotDone).unwrap_or_else(|| {
            StoreError::CannotConnect { detail: "not logged in to the store yet".to_owned() }
        })
    }
}

impl Auth {
    /// Whether the login before the one under way was refused.
    fn is_after_refusal(&self) -> bool {
        matches!(self.state, State::Asking { after_refusal: true })
    }
}

/// Whether a refusal means that another token is needed. `NoToken` is the answer to an attempt without
/// one, after authentication was turned on.
pub(crate) fn is_of_token(error: &StoreError) -> bool {
    [StoreError::InvalidToken, StoreError::NoToken, StoreError::OldAuthRevision].contains(error)
}

#[cfg(test)]
mod tests;
