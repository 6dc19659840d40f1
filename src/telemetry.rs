//! What is seen from outside: log lines by `tracing`, and figures by `metrics` (feature `metrics`).
//!
//! A line at `info` or above for each change of state, none for each event. `docs/observing.md` lists all
//! lines with their fields, and all figures; no figure has a label whose values have no bound.

use std::time::Duration;

use portolan_core::engine::{
    Freshness, Gap, GuardNews, GuardRule, Login, LossReason, RegistrationEvent, Standing, Step,
    StepCause,
};
use portolan_core::layout::Scope;
use portolan_core::time::Time;
use portolan_core::waist::{Certainty, StoreError};

use crate::status::Status;

/// Remembers what was told, so that only changes are.
pub(crate) struct Telemetry {
    standing: Option<Standing>,
    /// When a late driver may be warned of again.
    quiet_until: Time,
    /// The worst lag, and when it was.
    worst: (Duration, Time),
    /// From here on a lag endangers leases.
    limit: Duration,
}

impl Telemetry {
    /// For leases of this time to live.
    pub fn new(lease_ttl: Duration) -> Self {
        Self {
            standing: None,
            quiet_until: Time::ZERO,
            worst: (Duration::ZERO, Time::ZERO),
            limit: lease_ttl / 3,
        }
    }

    /// A timer fired so much too late.
    pub fn lagged(&mut self, now: Time, lag: Duration) {
        if lag >= self.worst(now) {
            self.worst = (lag, now);
        }
        figures::lag(lag);
        if lag > self.limit && now >= self.quiet_until {
            self.quiet_until = now + LAG_WINDOW;
            tracing::warn!(
                target: "portolan::driver",
                lag_ms = millis(lag),
                limit_ms = millis(self.limit),
                "the driver runs late: its thread is busy or was suspended, and leases are in danger"
            );
        }
    }

    /// The worst lag within the last minute.
    pub fn worst(&self, now: Time) -> Duration {
        let (lag, at) = self.worst;
        if now.since(at) < LAG_WINDOW { lag } else { Duration::ZERO }
    }

    pub fn registration(&self, name: &str, event: &RegistrationEvent) {
        match event {
            RegistrationEvent::Registered { lease, revision, sequence } => tracing::info!(
                target: "portolan::registration",
                registration = name,
                %lease,
                revision = revision.0,
                sequence,
                "registered"
            ),
            RegistrationEvent::Lost { reason } => {
                let (why, follows) = match reason {
                    LossReason::LeaseLost => ("lease", "lost; it is being restored"),
                    LossReason::Disturbed => ("disturbed", "lost; it is being restored"),
                    LossReason::Evicted => ("evicted", "evicted; it is being removed"),
                };
                figures::lost(why);
                tracing::warn!(
                    target: "portolan::registration",
                    registration = name,
                    ?reason,
                    "{follows}"
                );
            }
            RegistrationEvent::Denied { error } => tracing::error!(
                target: "portolan::registration",
                registration = name,
                %error,
                "the store refuses it; its operator must mend that"
            ),
            RegistrationEvent::Waiting { owner } => tracing::info!(
                target: "portolan::registration",
                registration = name,
                owner = owner.map(|lease| lease.get()),
                "somebody else's record stands there; it is waited for"
            ),
            RegistrationEvent::Gone(how) => tracing::info!(
                target: "portolan::registration",
                registration = name,
                ?how,
                "gone"
            ),
        }
    }

    pub fn freshness(&self, scope: &Scope, before: Freshness, after: Freshness, len: usize) {
        match (before, after) {
            (Freshness::Live, Freshness::Live)
            | (Freshness::Stale { .. }, Freshness::Stale { .. })
            | (Freshness::Unsynced, Freshness::Unsynced) => {}
            (_, Freshness::Live) => tracing::info!(
                target: "portolan::directory",
                directory = %Name(scope),
                instances = len,
                "live"
            ),
            (_, Freshness::Stale { .. } | Freshness::Unsynced) => tracing::warn!(
                target: "portolan::directory",
                directory = %Name(scope),
                instances = len,
                "stale: the store does not confirm it; what was known is kept"
            ),
        }
    }

    pub fn stepped(&self, scope: &Scope, step: &Step) {
        let StepCause::Relisted(gap) = &step.cause else { return };
        figures::relisted(match gap {
            Gap::Compacted => "compacted",
            Gap::NewEpoch => "new_epoch",
            Gap::Garbled => "garbled",
            Gap::Differs => "differs",
            Gap::Audited => "audited",
        });
        tracing::info!(
            target: "portolan::directory",
            directory = %Name(scope),
            ?gap,
            changes = step.changes.len(),
            revision = step.snapshot.revision.0,
            "listed anew, since continuity was broken"
        );
    }

    pub fn guard(&self, scope: &Scope, news: &GuardNews) {
        match news {
            GuardNews::Tripped { group, rule: GuardRule { leases_gone, of, within } } => {
                figures::guard_tripped();
                tracing::warn!(
                    target: "portolan::directory",
                    directory = %Name(scope),
                    group,
                    leases_gone,
                    of,
                    within_secs = within.as_secs(),
                    "the guard holds: more than half of the group's leases ended within one time to \
                     live, which looks like an outage, so its instances are kept apart as suspects"
                );
            }
            GuardNews::Dropped { group, keys, why } => tracing::info!(
                target: "portolan::directory",
                directory = %Name(scope),
                group,
                suspects = keys.len(),
                ?why,
                "suspects are dropped"
            ),
            GuardNews::Ended { group } => tracing::info!(
                target: "portolan::directory",
                directory = %Name(scope),
                group,
                "the guard is done"
            ),
        }
    }

    /// The store answered, or failed.
    pub fn answered(&self, failure: Option<&StoreError>) {
        figures::answered(match failure.map(StoreError::certainty) {
            None => "done",
            Some(Certainty::NotDone) => "not_done",
            Some(Certainty::Unknown) => "unknown",
        });
    }

    pub fn standing(&mut self, standing: Standing) {
        let Some(before) = self.standing.replace(standing) else { return };
        if before == standing {
            return;
        }
        if before.member != standing.member {
            figures::member_changed();
            tracing::info!(
                target: "portolan::store",
                from = before.member.0,
                to = standing.member.0,
                "asks another member"
            );
        }
        if before.away != standing.away {
            if standing.away {
                tracing::warn!(target: "portolan::store", "away: every member fails");
            } else {
                tracing::info!(target: "portolan::store", member = standing.member.0, "answers again");
            }
        }
        if before.login != standing.login {
            match standing.login {
                Login::Refused => tracing::error!(
                    target: "portolan::store",
                    "login refused: user or password is wrong; tried again slowly"
                ),
                Login::Done if before.login == Login::Refused => {
                    tracing::info!(target: "portolan::store", "login accepted again");
                }
                Login::None | Login::Pending | Login::Done => {}
            }
        }
    }

    pub fn closed(&self, confirmed: bool) {
        tracing::info!(target: "portolan::driver", confirmed, "shut down");
    }

    pub fn status(&self, status: &Status) {
        figures::status(status);
    }
}

struct Name<'a>(&'a Scope);

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Scope::Instances(group) => write!(f, "instances of {group}"),
            Scope::AllInstances => f.write_str("instances of every group"),
            Scope::Config(group) => write!(f, "configuration of {group}"),
            Scope::AllConfigs => f.write_str("configuration of every group"),
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// How long a lag is remembered, and the shortest time between two warnings of one.
const LAG_WINDOW: Duration = Duration::from_secs(60);

#[cfg(feature = "metrics")]
mod figures {
    use std::time::Duration;

    use metrics::{counter, gauge, histogram};
    use portolan_core::engine::Login;

    use crate::status::Status;

    pub fn lag(lag: Duration) {
        histogram!("portolan_driver_lag_seconds").record(lag);
    }

    pub fn lost(reason: &'static str) {
        counter!("portolan_registrations_lost_total", "reason" => reason).increment(1);
    }

    pub fn relisted(gap: &'static str) {
        counter!("portolan_relists_total", "gap" => gap).increment(1);
    }

    pub fn answered(outcome: &'static str) {
        counter!("portolan_answers_total", "outcome" => outcome).increment(1);
    }

    pub fn guard_tripped() {
        counter!("portolan_guard_trips_total").increment(1);
    }

    pub fn member_changed() {
        counter!("portolan_member_changes_total").increment(1);
    }

    pub fn status(status: &Status) {
        let gauges = [
            ("portolan_registrations_wanted", status.registrations),
            ("portolan_registrations_standing", status.registered),
            ("portolan_directories_open", status.directories),
            ("portolan_directories_live", status.live),
            ("portolan_records_unreadable", status.unreadable),
            ("portolan_suspects", status.suspects),
            ("portolan_requests_in_flight", status.in_flight),
            ("portolan_bytes_in_flight", status.bytes_in_flight),
            ("portolan_store_away", usize::from(status.store_away)),
            ("portolan_login_refused", usize::from(status.login == Login::Refused)),
        ];
        for (name, value) in gauges {
            gauge!(name).set(u32::try_from(value).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(not(feature = "metrics"))]
mod figures {
    use std::time::Duration;

    use crate::status::Status;

    pub fn lag(_: Duration) {}
    pub fn lost(_: &'static str) {}
    pub fn relisted(_: &'static str) {}
    pub fn answered(_: &'static str) {}
    pub fn guard_tripped() {}
    pub fn member_changed() {}
    pub fn status(_: &Status) {}
}
