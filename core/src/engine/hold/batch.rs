//! Many slots in one request, and what its answer says of each.

use super::slot::{Action, Slot, SlotId};
use crate::waist::{
    Code, DeleteRange, Key, KeyRange, KeyValue, LeaseId, Op, OpReply, Put, Range, RangeReply,
    Reply, Request, Revision, StoreError, Txn, TxnReply,
};

/// What was asked for one slot.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Item {
    pub slot: SlotId,
    /// Kept here, since the slot may have ended when the answer comes.
    pub key: Key,
    pub action: Action,
    pub guard: Revision,
    /// The create revision of the record at the guard; `None`: the key is believed to be absent.
    pub created: Option<Revision>,
    pub value_hash: u64,
    /// The newest revision known of the key when it was asked: an answer below it comes from a
    /// store that lost what it had.
    pub known_to: Revision,
}

/// What the store says of one slot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// It was written, or deleted, at this revision.
    Done(Revision),
    /// Nothing was written; at this revision this stood there.
    Found(Revision, Option<KeyValue>),
}

impl Item {
    pub fn new(id: SlotId, slot: &Slot, action: Action) -> Self {
        Self {
            slot: id,
            key: slot.key.clone(),
            action,
            guard: slot.guard(),
            created: slot.standing().map(|record| record.created),
            value_hash: slot.value_hash,
            known_to: slot.seen.map_or(Revision::ZERO, |seen| seen.as_of),
        }
    }

    pub fn lease(&self) -> Option<LeaseId> {
        match self.action {
            Action::Publish(lease) => Some(lease),
            Action::Remove | Action::Read => None,
        }
    }

    pub fn is_write(&self) -> bool {
        match self.action {
            Action::Publish(_) | Action::Remove => true,
            Action::Read => false,
        }
    }
}

/// One request for all: a plain one for a single slot, else a transaction of nested ones.
pub(super) fn request<'a>(slots: impl ExactSizeIterator<Item = (&'a Slot, Action)>) -> Request {
    let single = slots.len() == 1;
    let mut ops: Vec<Op> = slots.map(|(slot, action)| op(slot, action)).collect();
    match (single, ops.pop()) {
        (true, Some(Op::Txn(txn))) => Request::Txn(txn),
        (true, Some(Op::Range(range))) => Request::Range(range),
        (_, last) => {
            ops.extend(last);
            Request::Txn(Txn { compares: Vec::new(), then: ops, or_else: Vec::new() })
        }
    }
}

fn op(slot: &Slot, action: Action) -> Op {
    let read = Op::Range(Range::of(KeyRange::one(slot.key.clone())));
    let write = match action {
        Action::Read => return read,
        Action::Remove => {
            Op::Delete(DeleteRange { keys: KeyRange::one(slot.key.clone()), prev_kv: false })
        }
        Action::Publish(lease) => Op::Put(Put {
            key: slot.key.clone(),
            value: slot.value.clone(),
            lease: Some(lease),
            ..Put::default()
        }),
    };
    Op::Txn(Txn { compares: slot.compares(), then: vec![write], or_else: vec![read] })
}

/// Bytes of a slot in a request, about.
pub(super) fn size(slot: &Slot) -> usize {
    // In one compare or two, what is written, and what is read.
    let keys = if slot.standing().is_some() { 4 } else { 3 };
    keys * slot.key.len() + slot.value.len() + 64
}

/// What `reply` says of each item.
///
/// # Errors
/// The store's failure; an answer that does not fit what was asked is one too, of unknown outcome.
pub(super) fn answers(reply: Reply, items: &[Item]) -> Result<Vec<Answer>, StoreError> {
    let misfit = || StoreError::Other {
        code: Code::Internal,
        message: "the answer does not fit the batch".to_owned(),
    };
    let keys = || items.iter().map(|item| &item.key);
    let answers = if let Reply::Failed(error) = reply {
        return Err(error);
    } else if let Reply::Range(range) = reply {
        let at = range.header.revision;
        vec![found(at, range, keys().next()).ok_or_else(misfit)?]
    } else if let Reply::Txn(txn) = reply {
        let at = txn.header.revision;
        if let [item] = items
            && item.is_write()
        {
            vec![written(at, txn, keys().next()).ok_or_else(misfit)?]
        } else {
            let nested = |(reply, key)| match reply {
                OpReply::Txn(txn) => written(at, txn, Some(key)),
                OpReply::Range(range) => found(at, range, Some(key)),
                OpReply::Put(_) | OpReply::Delete(_) => None,
            };
            let answers = txn.responses.into_iter().zip(keys()).map(nested);
            answers.collect::<Option<Vec<_>>>().ok_or_else(misfit)?
        }
    } else {
        return Err(misfit());
    };
    if answers.len() == items.len() { Ok(answers) } else { Err(misfit()) }
}

fn written(at: Revision, txn: TxnReply, key: Option<&Key>) -> Option<Answer> {
    let [response] = <[OpReply; 1]>::try_from(txn.responses).ok()?;
    match (txn.succeeded, response) {
        (true, OpReply::Put(_) | OpReply::Delete(_)) => Some(Answer::Done(at)),
        (false, OpReply::Range(range)) => found(at, range, key),
        (true, OpReply::Range(_) | OpReply::Txn(_))
        | (false, OpReply::Put(_) | OpReply::Delete(_) | OpReply::Txn(_)) => None,
    }
}

fn found(at: Revision, range: RangeReply, key: Option<&Key>) -> Option<Answer> {
    let kv = range.kvs.into_iter().next();
    let fits = kv.as_ref().is_none_or(|kv| Some(&kv.key) == key);
    fits.then_some(Answer::Found(at, kv))
}
