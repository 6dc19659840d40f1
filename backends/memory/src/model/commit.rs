//! What consensus has agreed on is applied, written down, and told to those who watch.

use portolan_core::waist::{Reply, StoreError};

use super::{Model, leases};
use crate::log::{Cause, Change, LeaseStep};
use crate::state::Command;
use crate::store;

impl Model {
    /// Applies a command: the one place where anything changes.
    pub(super) fn commit(
        &mut self,
        mut command: Command,
        cause: Cause,
    ) -> Result<Reply, StoreError> {
        let mut ended = None;
        match &mut command {
            Command::Grant { ttl_secs, .. } => {
                *ttl_secs = (*ttl_secs).max(self.config.min_lease_ttl());
            }
            Command::Revoke { lease } => ended = Some(*lease),
            Command::Put(_) | Command::Delete(_) | Command::Txn(_) | Command::Compact(_) => {}
        }
        let applied = self.member.state.apply(command, &self.config.quirks);
        let revision = self.member.state.store.revision();
        if self.config.keep_log {
            for (index, kv) in (0..).zip(&applied.changes) {
                let kind = store::event_kind(kv);
                let kv = kv.clone();
                self.log.push(Change { at: self.now, revision, index, kind, kv, cause });
            }
        }
        if !applied.changes.is_empty() {
            self.on_watches(|watches, scene, said| watches.notify(scene, &applied.changes, said));
        }
        let reply = applied.reply?;
        if let Reply::Grant(granted) = &reply {
            let span = leases::span(granted.ttl_secs);
            let expires = self.lessor.start(self.now, granted.lease, span);
            if let Cause::Request { from, attempt } = cause {
                let ttl_secs = granted.ttl_secs;
                let step = LeaseStep::Granted { ttl_secs, expires, from, attempt };
                self.log_lease(granted.lease, step);
            }
        }
        if let Some(lease) = ended {
            self.lease_ended(lease, cause);
        }
        Ok(reply)
    }
}
