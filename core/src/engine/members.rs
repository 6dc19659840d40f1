//! Which member to ask.
//!
//! ```text
//! Trusted ── blamed ──▶ Quarantined ── it answers ──▶ on probation
//!    ▲                      ▲                            │   │
//!    │                      └──── blamed, for longer ────┘   │
//!    └──────── has worked for `tuning.healthy_after` ────────┘
//! ```
//!
//! The member asked last is asked again until it is blamed: moving costs a connection, and a lagging
//! member must not be swapped for one that lags more. Then the next trusted one in turn is asked, else
//! one on probation, else one whose quarantine is over, else any: of several the one that was blamed
//! longest ago. So somebody is always asked, and where nobody works all are asked in turn, however
//! short a quarantine is.
//!
//! What counts against a member is an attempt that was sent after it was last blamed: of a hundred
//! calls that a dying connection takes along, the first is news.
//!
//! A member stands for an address, and a name may lead to several of etcd's members. So whoever is
//! blamed is reached over new connections from then on, and what its header said it was is
//! forgotten. Where two addresses lead to one of etcd's members, told by that header, both are
//! quarantined at once.
//!
//! An answer from another cluster than the known one is believed once more than half of all members
//! have said the same, as in the census: then the cluster was replaced, and whoever is away or cut
//! off need not be waited for. Short of that it is not believed as long as any other member
//! can be asked that has not said the same, nor until more members have said so than were last
//! heard from the known one: one wrong address must not make the process take its records to
//! another cluster, also not while all the right ones are down. Who has not been heard of for long
//! has no say: where but one member of a lost cluster was restored, as another cluster, that one
//! is believed then. Only those that were given have a
//! say in that: what a cluster's list says may lead anywhere, and to one place under many names.

use std::time::Duration;

use super::retry::jittered;
use crate::rng::Rng;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{MemberId, MemberInfo};

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Members {
    members: Vec<Member>,
    current: MemberId,
    rng: Rng,
}

#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
struct Member {
    health: Health,
    /// How often it was quarantined since it was last trusted.
    strikes: u32,
    blamed_at: Option<Time>,
    /// etcd's own id of the one that answers here, as its present connections told.
    serves: Option<u64>,
    /// The cluster that its last answer came from, and when it came.
    cluster: Option<(u64, Time)>,
    /// etcd's own id of one that was found, not given.
    found: Option<u64>,
    /// It was found once, and is a member no more.
    retired: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash)]
enum Health {
    #[default]
    Trusted,
    Quarantined {
        until: Time,
    },
    Probation {
        since: Time,
    },
}

impl Members {
    /// Of `count` members, beginning with `first` (taken modulo the count), so that many
    /// processes do not all begin with the same one.
    pub fn new(count: u16, first: u64, rng: Rng) -> Self {
        let first = u16::try_from(first % u64::from(count)).expect("less than the count");
        let members = vec![Member::default(); usize::from(count)];
        Self { members, current: MemberId(first), rng }
    }

    /// The member to ask now.
    pub fn choose(&mut self, now: Time) -> MemberId {
        let count = self.members.len();
        let from = usize::from(self.current.0);
        // The current one comes first, then the others in turn; the first of equals wins.
        let turns = (0..count).map(|turn| (from + turn) % count);
        let best = turns.min_by_key(|&place| {
            let member = &self.members[place];
            let rank = member.rank(now);
            // Whoever is asked and works stays.
            if place == from && rank.0 <= PROBATION { (TRUSTED, Time::ZERO) } else { rank }
        });
        self.current = id(best.unwrap_or(from));
        self.current
    }

    /// The member asked last.
    pub fn current(&self) -> MemberId {
        self.current
    }

    /// Whether every member is quarantined.
    pub fn all_failed(&self, now: Time) -> bool {
        self.members.iter().all(|member| member.rank(now).0 >= SERVED)
    }

    /// An attempt that was sent at `sent_at` failed in a way that another member might not. True:
    /// that is news, and new connections are to be made.
    pub fn blame(&mut self, member: MemberId, sent_at: Time, now: Time, tuning: &Tuning) -> bool {
        let place = usize::from(member.0);
        let Some(blamed) = self.members.get_mut(place) else { return false };
        if blamed.blamed_at.is_some_and(|at| sent_at <= at) {
            return false;
        }
        let serves = blamed.serves.take();
        let again = matches!(blamed.health, Health::Quarantined { until } if now < until);
        if !again {
            blamed.strikes = blamed.strikes.saturating_add(1);
        }
        let strikes = blamed.strikes;
        blamed.blamed_at = Some(now);
        let doubled = 1_u32.checked_shl(strikes.saturating_sub(1)).unwrap_or(u32::MAX);
        let span = tuning.quarantine_base.saturating_mul(doubled).min(tuning.quarantine_cap);
        let until = now + jittered(span, QUARANTINE_JITTER_PERCENT, &mut self.rng);
        blamed.health = Health::Quarantined { until };
        if serves.is_some() {
            for twin in self.members.iter_mut().filter(|other| other.serves == serves) {
                twin.health = Health::Quarantined { until };
            }
        }
        !again
    }

    /// An attempt that was sent at `sent_at` was answered by the one with etcd's id `serves`.
    pub fn worked(
        &mut self,
        member: MemberId,
        serves: Option<u64>,
        sent_at: Time,
        now: Time,
        healthy_after: Duration,
    ) {
        let Some(member) = self.members.get_mut(usize::from(member.0)) else { return };
        if member.blamed_at.is_some_and(|at| sent_at <= at) {
            return;
        }
        member.serves = serves.or(member.serves);
        match member.health {
            Health::Trusted => {}
            Health::Quarantined { .. } => member.health = Health::Probation { since: now },
            Health::Probation { since } => {
                if now.since(since) >= healthy_after {
                    member.health = Health::Trusted;
                    member.strikes = 0;
                }
            }
        }
    }

    /// An answer came from the cluster `found`.
    pub fn heard_from(&mut self, member: MemberId, found: u64, now: Time) {
        if let Some(answering) = self.members.get_mut(usize::from(member.0)) {
            answering.cluster = Some((found, now));
        }
    }

    /// An answer came from the cluster `found`, where `expected` is known. True: it is not to be
    /// believed.
    pub fn is_stranger(
        &mut self,
        member: MemberId,
        found: u64,
        expected: u64,
        now: Time,
        tuning: &Tuning,
    ) -> bool {
        self.heard_from(member, found, now);
        if found == expected {
            return false;
        }
        let was_found = |member: &Member| member.found.is_some();
        if self.members.get(usize::from(member.0)).is_some_and(was_found) {
            return true;
        }
        let says_so = |member: &&Member| {
            !was_found(member) && member.cluster.is_some_and(|(cluster, _)| cluster == found)
        };
        let all = self.members.iter().filter(|member| !member.retired).count();
        if self.members.iter().filter(says_so).count() > all / 2 {
            return false;
        }
        let word_holds = tuning.quarantine_cap.saturating_mul(WORD_HOLDS);
        let (mut same, mut against) = (0, 0);
        for member in &self.members {
            match member.cluster {
                Some((cluster, _)) if cluster == found => same += u32::from(!was_found(member)),
                _ if member.rank(now).0 <= SERVED => return true,
                Some((cluster, at)) if cluster == expected && !member.retired => {
                    against += u32::from(now.since(at) < word_holds);
                }
                Some(_) | None => {}
            }
        }
        against >= same
    }

    /// The cluster's own list of its members: whom of them nobody knew yet, and where they are.
    pub fn listed(&mut self, list: &[MemberInfo]) -> Vec<(MemberId, Vec<String>)> {
        let usable = |info: &&MemberInfo| !info.is_learner && !info.client_urls.is_empty();
        for member in &mut self.members {
            if let Some(found) = member.found {
                member.retired = !list.iter().filter(usable).any(|info| info.id == found);
            }
        }
        let mut new = Vec::new();
        for info in list.iter().filter(usable) {
            let known =
                |member: &Member| member.found == Some(info.id) || member.serves == Some(info.id);
            if self.members.iter().any(known) || self.members.len() >= MOST_MEMBERS {
                continue;
            }
            let urls = info.client_urls.iter().take(MOST_URLS).cloned().collect();
            new.push((id(self.members.len()), urls));
            self.members.push(Member { found: Some(info.id), ..Member::default() });
        }
        new
    }
}

impl Member {
    /// Less is better.
    fn rank(&self, now: Time) -> (u8, Time) {
        match self.health {
            _ if self.retired => (RETIRED, Time::ZERO),
            Health::Trusted => (TRUSTED, Time::ZERO),
            Health::Probation { .. } => (PROBATION, Time::ZERO),
            Health::Quarantined { until } => {
                let rank = if until <= now { SERVED } else { QUARANTINED };
                (rank, self.blamed_at.unwrap_or_default())
            }
        }
    }
}

fn id(place: usize) -> MemberId {
    MemberId(u16::try_from(place).expect("there are no more than u16::MAX members"))
}

const TRUSTED: u8 = 0;
const PROBATION: u8 = 1;
/// Its quarantine is over; it has not been asked since.
const SERVED: u8 = 2;
const QUARANTINED: u8 = 3;
const RETIRED: u8 = 4;

/// How much of a quarantine is drawn by chance, so that the processes of a fleet do not all come back
/// in the same moment.
const QUARANTINE_JITTER_PERCENT: u32 = 25;

/// For how many of the longest quarantines a member's last word on its cluster counts after it has
/// fallen silent: five minutes, longer than clusters take to restart.
const WORD_HOLDS: u32 = 10;

/// Members known at once, found ones included unless more were given. A list that names more is not
/// that of a cluster: etcd advises against more than 7.
const MOST_MEMBERS: usize = 64;

/// Addresses of one found member that are tried.
const MOST_URLS: usize = 8;

#[cfg(test)]
mod tests;
