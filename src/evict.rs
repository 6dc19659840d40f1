//! Taking an instance out that is not our own.

use portolan_core::layout::EvictError as Mark;
use portolan_core::waist::{
    Compare, DeleteRange, Key, KeyRange, KeyValue, LeaseId, Op, Put, Range, Reply, Request,
    Revision, Txn,
};

use crate::error::{CallError, EvictError};
use crate::group::Group;

/// What became of an instance that was to go.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Eviction {
    /// Its record is marked, and nobody calls it any more. Its owner removes it, if it lives; else
    /// it goes with its lease.
    Marked {
        /// At which revision.
        revision: Revision,
        /// The lease that the record hangs on: its owner's.
        lease: LeaseId,
        /// In whose name: an earlier mark stays as it is.
        by: String,
    },
    /// Its record is deleted. If it hung on a lease its owner may be alive, and then restores it.
    Deleted {
        /// At which revision.
        revision: Revision,
        /// The lease that the record hung on.
        lease: Option<LeaseId>,
    },
    /// There is no such record.
    NotFound,
    /// Somebody changed the record each time after it was read; nothing was written.
    Changed,
}

/// What a look at the record leads to.
enum Step {
    Write(Op, Eviction),
    Done(Eviction),
}

impl Group {
    /// Asks the owner of an instance to remove it and not to register it again, in the name of
    /// `by`: text that prints, of 1 to 256 bytes. The record is marked where it stands, on the lease
    /// that it has, so that it goes even if its owner is dead. One without a lease has no owner: it
    /// is deleted. Either is done only if the record is still as it was read.
    ///
    /// The owner's registration ends as [`Gone::Evicted`](crate::Gone::Evicted). It learns of the
    /// mark at once if it watches its record (processes with up to 200 registrations do), else by
    /// its next audit.
    ///
    /// # Errors
    /// [`EvictError::Mark`] if the layout has no room for the mark, the record cannot be read, or
    /// nobody can be called `by`: nothing was written. A [`EvictError::Call`] of kind
    /// [`Unknown`](crate::ErrorKind::Unknown) leaves open whether it was.
    pub async fn evict(&self, id: &str, by: &str) -> Result<Eviction, EvictError> {
        let layout = self.registry().layout().clone();
        self.take_out(id, |kv| match kv.lease {
            None => Ok(delete(kv)),
            Some(lease) => {
                let eviction =
                    |revision, by: &str| Eviction::Marked { revision, lease, by: by.to_owned() };
                if let Some((_, by)) = layout.eviction_of(&kv.key, &kv.value) {
                    return Ok(Step::Done(eviction(kv.mod_revision, &by)));
                }
                let value = layout.evict(&kv.key, &kv.value, by)?;
                let put = Put { key: kv.key.clone(), value, ignore_lease: true, ..Put::default() };
                Ok(Step::Write(Op::Put(put), eviction(Revision::ZERO, by)))
            }
        })
        .await
    }

    /// Deletes an instance's record, whoever's it is, if it is still as it was read. An owner that
    /// is alive restores it: [`evict`](Self::evict) asks it not to.
    ///
    /// # Errors
    /// [`EvictError::Call`], as for [`evict`](Self::evict).
    pub async fn delete_instance(&self, id: &str) -> Result<Eviction, EvictError> {
        self.take_out(id, |kv| Ok(delete(kv))).await
    }

    async fn take_out(
        &self,
        id: &str,
        decide: impl Fn(&KeyValue) -> Result<Step, Mark>,
    ) -> Result<Eviction, EvictError> {
        let key = self.key_of(id)?;
        for _ in 0..TRIES {
            let Some(kv) = self.record(&key).await? else { return Ok(Eviction::NotFound) };
            let (op, eviction) = match decide(&kv)? {
                Step::Write(op, eviction) => (op, eviction),
                Step::Done(eviction) => return Ok(eviction),
            };
            let guard = Compare::mod_revision(key.clone(), kv.mod_revision);
            let txn = Txn { compares: vec![guard], then: vec![op], or_else: Vec::new() };
            let within = self.registry().shared.limits.call;
            let reply = self.registry().call(Request::Txn(txn), within).await?;
            if let Reply::Txn(reply) = reply
                && reply.succeeded
            {
                return Ok(eviction.at(reply.header.revision));
            }
        }
        Ok(Eviction::Changed)
    }

    async fn record(&self, key: &Key) -> Result<Option<KeyValue>, CallError> {
        let range = Request::Range(Range::of(KeyRange::one(key.clone())));
        let reply = self.registry().call(range, self.registry().shared.limits.call).await?;
        Ok(if let Reply::Range(range) = reply { range.kvs.into_iter().next() } else { None })
    }

    /// Layouts have one key for an instance; of several, the first would stand for it.
    fn key_of(&self, id: &str) -> Result<Key, CallError> {
        let layout = self.registry().layout();
        let invalid = |error: &dyn std::fmt::Display| CallError::invalid(error.to_string());
        let id = layout.parse_id(id).map_err(|error| invalid(&error))?;
        let keys = layout.instance_keys(self.name(), &id).map_err(|error| invalid(&error))?;
        keys.into_iter().next().ok_or_else(|| CallError::invalid("no key".to_owned()))
    }
}

impl Eviction {
    fn at(self, revision: Revision) -> Self {
        match self {
            Self::Marked { lease, by, .. } => Self::Marked { revision, lease, by },
            Self::Deleted { lease, .. } => Self::Deleted { revision, lease },
            Self::NotFound | Self::Changed => self,
        }
    }
}

fn delete(kv: &KeyValue) -> Step {
    let keys = KeyRange::one(kv.key.clone());
    let op = Op::Delete(DeleteRange { keys, prev_kv: false });
    Step::Write(op, Eviction::Deleted { revision: Revision::ZERO, lease: kv.lease })
}

/// An owner that writes in between does so once or twice, not for ever.
const TRIES: usize = 5;
