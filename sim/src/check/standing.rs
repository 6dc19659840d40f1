//! RG9 and LV11: how a registration tells of its loss, and how a key goes from hand to hand.

use std::collections::BTreeMap;

use portolan_core::engine::{Conflict, Event, RegistrationEvent, RegistrationId};
use portolan_core::waist::EventKind;

use super::facts::Facts;
use super::history::Author;
use super::{Check, Report};
use crate::trace::{Entry, Run, What};

/// RG9.
#[derive(Clone, Debug, Default)]
pub(super) struct LossOnce {
    standing: BTreeMap<(Run, RegistrationId), Standing>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    Yes,
    No,
    Over,
}

impl Check for LossOnce {
    fn see(&mut self, _: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let What::Told { run, event: Event::Registration { id, event } } = &entry.what else {
            return;
        };
        let name = || format!("registration {} of {run}", id.0);
        let before = self.standing.get(&(*run, *id)).copied().unwrap_or(Standing::No);
        report.expect(before != Standing::Over, || {
            format!("{} has ended, and then says: {event}", name())
        });
        let now = match event {
            RegistrationEvent::Registered { .. } => Standing::Yes,
            RegistrationEvent::Lost { .. } => {
                report.look();
                report.expect(before == Standing::Yes, || {
                    format!("{} tells of a loss of what it did not have, or twice", name())
                });
                Standing::No
            }
            RegistrationEvent::Gone(_) => Standing::Over,
            RegistrationEvent::Denied { .. } | RegistrationEvent::Waiting { .. } => before,
        };
        self.standing.insert((*run, *id), now);
    }
}

/// LV11.
#[derive(Clone, Debug, Default)]
pub(super) struct Handover;

impl Check for Handover {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        let What::Changed(change) = &entry.what else { return };
        let key = &change.kv.key;
        let Some(version) = facts.store.of(key).last() else { return };
        let Author::Run(run, attempt) = version.by else { return };
        // A key-value call may delete what it likes.
        if facts.attempts.get(&(run, attempt)).is_none_or(|known| known.call.is_some()) {
            return;
        }
        let comes = facts.registrations_of(run).find(|(_, known)| {
            let wanted = known.gone.is_none() && known.deadline.is_none();
            wanted && known.conflict == Conflict::Replace && known.keys.contains(key)
        });
        let Some((id, _)) = comes else { return };
        let before = facts.store.before_last(key).map(|before| before.by);
        let from_hand = matches!(before, Some(Author::Run(other, _)) if other != run);
        if !from_hand {
            return;
        }
        report.look();
        report.expect(change.kind == EventKind::Put, || {
            format!("{run} deletes {key} of another, where its registration {} is to stand", id.0)
        });
    }
}
