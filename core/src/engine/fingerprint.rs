//! What is kept of a record to know it again.

use crate::rng::hash;
use crate::waist::{KeyValue, LeaseId, Revision};

/// A record but for its key, as far as it tells one store from another: an owner that heals its
/// record after a restore may write the same value at the same revision as before, but hardly on
/// the same lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Fingerprint {
    created: Revision,
    pub modified: Revision,
    version: i64,
    lease: Option<LeaseId>,
    value_hash: u64,
}

impl Fingerprint {
    pub fn of(kv: &KeyValue) -> Self {
        Self {
            created: kv.create_revision,
            modified: kv.mod_revision,
            version: kv.version,
            lease: kv.lease,
            value_hash: hash(&kv.value),
        }
    }
}
