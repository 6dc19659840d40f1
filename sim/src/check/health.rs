//! EF2: what merely opens proves nothing.

use std::collections::BTreeMap;

use portolan_core::Time;
use portolan_core::waist::{AttemptId, KeyRange, Reply, Request, StoreError, WatchSay};

use super::facts::Facts;
use super::series::{Series, users};
use super::{Check, Report};
use crate::trace::{Entry, Run, What};

/// EF2.
#[derive(Clone, Debug, Default)]
pub(super) struct ProvenHealth {
    series: Series<KeyRange>,
    /// The watches that were opened on each stream, and when.
    watches: BTreeMap<(Run, AttemptId), BTreeMap<i64, (KeyRange, Time)>>,
}

impl Check for ProvenHealth {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        match &entry.what {
            What::Sent { run, attempt, request, .. } => {
                let (stream, watch) = match request {
                    Request::Watch(watch) => (*attempt, watch),
                    Request::OnWatch { stream, say: WatchSay::Create(watch) } => (*stream, watch),
                    _ => return,
                };
                let keys = &watch.keys;
                let users = |first| users(facts, *run, &keys.key, first);
                self.series.tried(facts, (*run, keys.clone()), users, report);
                let watches = self.watches.entry((*run, stream)).or_default();
                watches.insert(watch.id, (keys.clone(), facts.local(*run, entry.at)));
            }
            What::Cancelled { run, attempt } => self.ended(facts, (*run, *attempt), None),
            What::Answered { run, attempt, reply } if facts.fresh => {
                self.ended(facts, (*run, *attempt), Some(reply));
            }
            _ => {}
        }
    }
}

impl ProvenHealth {
    /// A watch ended, or a stream with all its watches.
    fn ended(&mut self, facts: &Facts, place: (Run, AttemptId), reply: Option<&Reply>) {
        let (run, _) = place;
        let ended: Vec<_> = match reply {
            Some(Reply::Watch(reply)) if reply.canceled => self
                .watches
                .get_mut(&place)
                .and_then(|watches| watches.remove(&reply.watch_id))
                .into_iter()
                .collect(),
            Some(Reply::Watch(_)) => return,
            _ => self.watches.remove(&place).into_iter().flat_map(BTreeMap::into_values).collect(),
        };
        let for_token = reply.is_some_and(is_for_token);
        for (keys, opened) in ended {
            if for_token {
                self.series.made_anew(&(run, keys.clone()));
            }
            let lived = facts.local(run, facts.now).since(opened);
            let worked = lived >= facts.setup.tuning.healthy_after;
            self.series.ended((run, keys), worked);
        }
    }
}

/// Whether a watch was refused for its token alone.
fn is_for_token(reply: &Reply) -> bool {
    let of_token = |error: &StoreError| {
        matches!(
            error,
            StoreError::InvalidToken | StoreError::NoToken | StoreError::OldAuthRevision
        )
    };
    match reply {
        Reply::Failed(error) => of_token(error),
        Reply::Watch(reply) => reply.canceled && of_token(&reply.refusal()),
        _ => false,
    }
}
