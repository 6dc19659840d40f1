//! How the rest is gathered when most registrations of many leases are gone.
//!
//! Each lease costs a renewal, so there is at most one more than the keys fill (RG5). That one
//! makes room for keys that come and go: none of the others moves for them.

use super::Holds;
use super::lease::{Lease, LeaseState};
use crate::engine::cx::Cx;

impl Holds {
    /// Retires the emptiest lease, if there are too many: its records move to others under their
    /// guards, as when a lease is lost, and when they are seen there it is revoked. One at a time,
    /// and only one whose records stand as they should: whatever else goes on there comes first.
    pub(super) fn gather(&mut self, cx: &mut Cx<'_>) {
        let fits = cx.tuning.max_keys_per_lease.max(1) as usize;
        // What is being removed counts: it may hang on a lease still.
        let enough = self.slots.len().div_ceil(fits) + 1;
        if self.leases.len() <= enough || self.sending.is_failing() {
            return;
        }
        let (mut open, mut emptiest) = (0, None);
        for (&id, lease) in &self.leases {
            match lease.state {
                LeaseState::Held { condemned: false, .. } => open += 1,
                // It is being left.
                LeaseState::Held { condemned: true, .. } | LeaseState::Lost => return,
                LeaseState::Granting { .. } | LeaseState::Revoking(_) => continue,
            }
            let carries = lease.slots.len();
            if emptiest.is_none_or(|(least, _)| carries < least) && self.is_at_rest(lease) {
                emptiest = Some((carries, id));
            }
        }
        if let (true, Some((_, id))) = (open > enough, emptiest) {
            self.condemn(cx, id);
        }
    }

    /// Whether all that a lease carries stands as it should: nothing of it is being published, healed
    /// or drained.
    fn is_at_rest(&self, lease: &Lease) -> bool {
        lease.slots.iter().all(|id| self.slots[id].stands())
    }
}
