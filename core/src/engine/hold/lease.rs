//! One lease of this process.
//!
//! ```text
//! Granting ──granted──▶ Held ──time over──▶ Lost ──all moved──▶ Revoking ──answered──▶ (dead)
//!     └─any failure─▶ (forgotten)  ├──condemned or empty, all moved──────▲
//!                                  └──TTL 0, lease not found──▶ (dead)
//! ```
//!
//! A lease counts from when it was asked for, with the time to live granted, less a clock error:
//! the store started its own count no earlier, so we stop relying on it before the store drops it.
//! An id is asked for once: an unanswered grant's id is never used, so a revoked id can not come
//! alive again behind our back.

use std::collections::BTreeSet;
use std::time::Duration;

use super::slot::SlotId;
use crate::engine::retry::Backoff;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::AttemptId;

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Lease {
    pub state: LeaseState,
    /// When it was asked for.
    pub since: Time,
    /// The slots that are to hang on it.
    pub slots: BTreeSet<SlotId>,
    /// The slots whose record may still hang on it and that must first be seen elsewhere.
    pub leaving: BTreeSet<SlotId>,
    /// The slots with an unanswered publish on it.
    pub tainting: BTreeSet<SlotId>,
    pub backoff: Backoff,
    /// When it is asked which keys it has; `None`: all of them are watched.
    pub sweep_at: Option<Time>,
    /// It was asked for them, not before it came into doubt, and has not answered yet.
    pub sweep: Option<AttemptId>,
    /// A slot left it: where the store is restored from a backup, its record may be back.
    pub vacated: bool,
    /// Another store may be behind it by now, and have brought back what was removed.
    pub doubted: bool,
    /// The own watch's stream since which it is, or was, in doubt.
    pub doubted_on: Option<AttemptId>,
    /// The timer that is set for it.
    pub timer: Option<Time>,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) enum LeaseState {
    /// Asked for; the wire gives up at its time limit.
    Granting { asked_at: Time },
    /// Ours until `expires_at`.
    Held {
        expires_at: Time,
        renewal: Renewal,
        /// It takes no new slots, and is revoked as soon as its slots are elsewhere.
        condemned: bool,
    },
    /// Our time is over, but the store may still have it (row L10).
    Lost,
    /// It takes no slots ever again; a revoke is under way, or due.
    Revoking(Revoking),
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) enum Renewal {
    Due { at: Time },
    Asked { attempt: AttemptId, asked_at: Time },
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) enum Revoking {
    Due { at: Time },
    Asked { attempt: AttemptId },
}

impl Lease {
    pub fn granting(now: Time) -> Self {
        Self {
            state: LeaseState::Granting { asked_at: now },
            since: now,
            slots: BTreeSet::new(),
            leaving: BTreeSet::new(),
            tainting: BTreeSet::new(),
            backoff: Backoff::default(),
            sweep_at: None,
            sweep: None,
            vacated: false,
            doubted: false,
            doubted_on: None,
            timer: None,
        }
    }

    /// The store granted or renewed it for `ttl`, in answer to what was asked at `asked_at`.
    pub fn alive(&mut self, asked_at: Time, ttl: Duration, tuning: &Tuning) {
        let error = ttl * tuning.clock_error_permille.min(1_000) / 1_000;
        let renewed_until = asked_at + (ttl - error);
        let due = Renewal::Due { at: asked_at + ttl / tuning.renewals_per_ttl.max(2) };
        self.state = match self.state {
            LeaseState::Granting { .. } => {
                LeaseState::Held { expires_at: renewed_until, renewal: due, condemned: false }
            }
            // A repeated or late answer never moves the deadline back.
            LeaseState::Held { expires_at, condemned, .. } => LeaseState::Held {
                expires_at: expires_at.max(renewed_until),
                renewal: due,
                condemned,
            },
            LeaseState::Lost => LeaseState::Lost,
            LeaseState::Revoking(ref revoking) => LeaseState::Revoking(revoking.clone()),
        };
    }

    /// A revoke that is due is due by `at`.
    pub fn due_by(&mut self, at: Time) {
        if let LeaseState::Revoking(Revoking::Due { at: due }) = &mut self.state {
            *due = at.min(*due);
        }
    }

    /// Whether one slot more may be placed on it.
    pub fn has_room(&self, tuning: &Tuning) -> bool {
        matches!(self.state, LeaseState::Held { condemned: false, .. })
            && self.slots.len() < tuning.max_keys_per_lease.max(1) as usize
    }

    /// Whether it carries, or will carry, no slot at all.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.leaving.is_empty()
    }

    /// When something must be done about it.
    pub fn next_timeout(&self) -> Option<Time> {
        match &self.state {
            LeaseState::Held { expires_at, renewal, .. } => {
                let renewed_at = match renewal {
                    Renewal::Due { at } => Some(*at),
                    Renewal::Asked { .. } => None,
                };
                renewed_at.into_iter().chain(self.sweep_at).chain([*expires_at]).min()
            }
            LeaseState::Revoking(Revoking::Due { at }) => Some(*at),
            LeaseState::Granting { .. }
            | LeaseState::Lost
            | LeaseState::Revoking(Revoking::Asked { .. }) => None,
        }
    }
}
