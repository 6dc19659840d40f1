//! Inputs and outputs as one line each, for traces.

use std::fmt::{self, Display, Formatter};

use super::{
    Change, Command, Event, Followed, Freshness, Gone, GuardNews, GuardRule, Input, Output,
    Proposal, RegistrationEvent, Snapshot, Step, UpdateOutcome,
};

impl Display for Input {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => command.fmt(f),
            Self::Reply { attempt, reply } => write!(f, "{attempt} {reply}"),
            Self::Tick => f.write_str("tick"),
        }
    }
}

impl Display for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register { id, instance, conflict } => {
                write!(f, "register {} {instance} {conflict:?}", id.0)
            }
            Self::Publish { id, instance } => write!(f, "publish {} {instance}", id.0),
            Self::Deregister { id, within } => write!(f, "deregister {} within {within:?}", id.0),
            Self::Open { id, scope } => write!(f, "open {} {scope:?}", id.0),
            Self::Close { id } => write!(f, "close {}", id.0),
            Self::Refused { id, key } => write!(f, "refused {} {key}", id.0),
            Self::Follow { id, keys, from } => {
                write!(f, "follow {} {keys}", id.0)?;
                from.map_or(Ok(()), |from| write!(f, " from {from}"))
            }
            Self::Acknowledge { id, seq } => write!(f, "acknowledge {} {}", id.0, seq.0),
            Self::Unfollow { id } => write!(f, "unfollow {}", id.0),
            Self::Update { id, group, within } => {
                write!(f, "update {} {group} within {within:?}", id.0)
            }
            Self::Proposed { id, proposal } => match proposal {
                Proposal::Write(data) => write!(f, "proposed {} {data:?}", id.0),
                Proposal::Keep => write!(f, "proposed {} nothing", id.0),
            },
            Self::Call { id, request, within } => {
                write!(f, "call {} {request} within {within:?}", id.0)
            }
            Self::Abandon { id } => write!(f, "abandon {}", id.0),
            Self::Shutdown { within } => write!(f, "shutdown within {within:?}"),
        }
    }
}

impl Display for Output {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { attempt, member, request } => write!(f, "{attempt} {member} {request}"),
            Self::Cancel { attempt } => write!(f, "{attempt} cancel"),
            Self::Redial { member } => write!(f, "{member} redial"),
            Self::Introduce { member, urls } => write!(f, "{member} is at {}", urls.join(" or ")),
            Self::Event(event) => event.fmt(f),
        }
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registration { id, event } => write!(f, "registration {} {event}", id.0),
            Self::Stepped { id, step } => write!(f, "directory {} {step}", id.0),
            Self::Freshness { id, snapshot } => write!(f, "directory {} {snapshot}", id.0),
            Self::Guard { id, news, snapshot } => {
                write!(f, "directory {} {snapshot} {news}", id.0)
            }
            Self::Followed { id, seq, what } => write!(f, "follow {} {} {what}", id.0, seq.0),
            Self::Propose { id, base } => match base {
                Some(config) => write!(f, "update {} propose on {:?}", id.0, config.data()),
                None => write!(f, "update {} propose on nothing", id.0),
            },
            Self::Updated { id, outcome } => write!(f, "update {} {outcome}", id.0),
            Self::Called { id, result } => match result {
                Ok(reply) => write!(f, "call {} {reply}", id.0),
                Err(error) => write!(f, "call {} {error}", id.0),
            },
            Self::Closed { confirmed } => write!(f, "closed confirmed={confirmed}"),
        }
    }
}

impl Display for Followed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun { revision } => write!(f, "begun @{revision}"),
            Self::Changes { events } => {
                f.write_str("changes")?;
                for (place, event) in events.iter().enumerate() {
                    write!(f, "{} {event}", if place == 0 { ":" } else { "," })?;
                    if let Some(before) = &event.prev {
                        write!(f, " was @{}", before.mod_revision)?;
                    }
                }
                Ok(())
            }
            Self::Lagged { after } => write!(f, "lagged after @{after}"),
            Self::Gap { after, why } => write!(f, "gap after @{after}: {why:?}"),
            Self::Listed { revision, first, complete, records } => {
                f.write_str(if *first { "listed" } else { "listed on" })?;
                write!(f, " @{revision}")?;
                records.iter().try_for_each(|record| write!(f, " {record}"))?;
                f.write_str(if *complete { "" } else { ", more" })
            }
        }
    }
}

impl Display for RegistrationEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered { lease, revision, sequence } => {
                write!(f, "registered @{revision} lease={lease} sequence={sequence}")
            }
            Self::Lost { reason } => write!(f, "lost {reason:?}"),
            Self::Denied { error } => write!(f, "denied: {error}"),
            Self::Waiting { owner } => match owner {
                Some(lease) => write!(f, "waiting for lease={lease}"),
                None => f.write_str("waiting"),
            },
            Self::Gone(gone) => write!(f, "gone: {gone}"),
        }
    }
}

impl Display for Gone {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let by = |f: &mut Formatter<'_>, what: &str, by: &Option<crate::waist::LeaseId>| match by {
            Some(lease) => write!(f, "{what} by the record on lease {lease}"),
            None => write!(f, "{what} by a record without a lease"),
        };
        match self {
            Self::Deregistered => f.write_str("deregistered"),
            Self::Unconfirmed => f.write_str("removal not confirmed in time"),
            Self::Rejected { by: lease } => by(f, "kept out", lease),
            Self::Superseded { by: lease } => by(f, "superseded", lease),
            Self::Evicted { by } => write!(f, "evicted by {by}"),
            Self::Refused { reason } => write!(f, "refused: {reason}"),
        }
    }
}

impl Display for UpdateOutcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { revision } => write!(f, "done @{revision}"),
            Self::Unchanged { revision } => write!(f, "unchanged @{revision}"),
            Self::Conflict => f.write_str("conflict"),
            Self::Unknown { error } => write!(f, "unknown: {error}"),
            Self::Failed { error } => write!(f, "failed: {error}"),
        }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.snapshot, self.cause)?;
        for (place, change) in self.changes.iter().enumerate() {
            write!(f, "{} {change}", if place == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

impl Display for Snapshot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} ", self.epoch, self.revision)?;
        match self.freshness {
            Freshness::Unsynced => f.write_str("unsynced")?,
            Freshness::Live => f.write_str("live")?,
            Freshness::Stale { since } => write!(f, "stale since {since}")?,
        }
        write!(f, " {} records", self.records.len())?;
        if !self.bad.is_empty() {
            write!(f, " {} unreadable", self.bad.len())?;
        }
        if !self.suspects.is_empty() {
            write!(f, " {} suspects", self.suspects.len())?;
        }
        if self.guarded {
            f.write_str(" guarded")?;
        }
        Ok(())
    }
}

impl Display for GuardNews {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tripped { group, rule } => write!(f, "guards {group}: {rule}"),
            Self::Dropped { group, keys, why } => {
                write!(f, "drops suspects of {group} {why:?}:")?;
                keys.iter().try_for_each(|key| write!(f, " {key}"))
            }
            Self::Ended { group } => write!(f, "guards {group} no more"),
        }
    }
}

impl Display for GuardRule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { leases_gone, of, within } = self;
        write!(f, "{leases_gone} of {of} leases ended within {within:?}")
    }
}

impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { key, record } => write!(f, "+{key}@{}", record.mod_revision),
            Self::Updated { key, record, .. } => write!(f, "~{key}@{}", record.mod_revision),
            Self::Removed { key, before } => write!(f, "-{key}@{}", before.mod_revision),
        }
    }
}
