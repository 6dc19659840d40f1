//! One swap, and what the store's answers prove about it. Pure: nothing here is sent or awaited.

use crate::layout::{Layout, Written};
use crate::waist::{
    Compare, EventKind, Key, KeyEvent, KeyRange, KeyValue, Op, OpReply, Put, Range, RangeReply,
    Request, Revision, StoreError, Txn, TxnReply, Value,
};

/// What stood at a key at a revision, by an answer that needed the store's consensus.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Present {
    /// The store's revision.
    pub revision: Revision,
    /// The record; `None`: absent.
    pub kv: Option<KeyValue>,
}

/// The put of one operation under one guard: all its attempts are the same to the byte, so at most
/// one of them is ever applied, however late.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Swap {
    /// What the application was shown; the guard is its mod revision.
    pub base: Present,
    /// The operation's id, if the layout writes it into the record.
    pub mark: Option<u64>,
    /// The key and its new value.
    pub written: Written,
}

/// A swap of which an attempt was not answered.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Doubted {
    pub swap: Swap,
    /// The last failure.
    pub error: StoreError,
}

/// What the store answered to an attempt of a swap.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) enum Answer {
    /// It was applied, at this revision.
    Applied(Revision),
    /// The guard did not hold; this stood there instead.
    Lost(Present),
    /// Nothing that a store would say; what was done is open.
    Garbled,
}

/// What is known of a swap after an attempt of it was not answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) enum Verdict {
    /// It was applied, at this revision.
    Applied(Revision),
    /// It was not applied, and never will be.
    Lost,
    /// It was not applied yet and still may be; the same attempt may be sent again.
    Open,
    /// The present does not tell; the key's history may.
    AskHistory,
    /// Nothing that can still be asked would tell.
    Untold,
    /// The answer contradicts what was read before; it proves nothing.
    Absurd,
}

/// Whose change a value is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
enum Author {
    Ours,
    Other,
    /// Our bytes, but the layout has no room for a mark: anybody may have written them.
    Either,
}

impl Present {
    /// What a range over just `key` found; `None` if no store would answer that.
    pub fn read(key: &Key, revision: Revision, reply: RangeReply) -> Option<Self> {
        let mut kvs = reply.kvs.into_iter();
        let (kv, None) = (kvs.next(), kvs.next()) else {
            return None;
        };
        let sound = |kv: &KeyValue| {
            kv.key == *key
                && kv.version > 0
                && kv.create_revision > Revision::ZERO
                && kv.create_revision <= kv.mod_revision
                && kv.mod_revision <= revision
        };
        (revision > Revision::ZERO && kv.as_ref().is_none_or(sound))
            .then_some(Self { revision, kv })
    }

    /// The record's mod revision; 0: absent.
    pub fn mod_revision(&self) -> Revision {
        self.kv.as_ref().map_or(Revision::ZERO, |kv| kv.mod_revision)
    }
}

impl Swap {
    /// If the key was last changed at the guard, put the value; else read what stands there.
    pub fn request(&self) -> Request {
        let Written { key, value } = self.written.clone();
        Request::Txn(Txn {
            compares: vec![Compare::mod_revision(key.clone(), self.base.mod_revision())],
            or_else: vec![Op::Range(Range::of(KeyRange::one(key.clone())))],
            then: vec![Op::Put(Put { key, value, ..Put::default() })],
        })
    }

    /// Whether the guard is 0, which recurs whenever the key is deleted.
    pub fn creates(&self) -> bool {
        self.base.kv.is_none()
    }

    /// Whatever this swap does, it does after this revision.
    pub fn after(&self) -> Revision {
        if self.creates() { self.base.revision } else { self.base.mod_revision() }
    }

    /// Reads the answer to an attempt.
    pub fn answer(&self, reply: TxnReply) -> Answer {
        let revision = reply.header.revision;
        let mut responses = reply.responses.into_iter();
        match (reply.succeeded, responses.next(), responses.next()) {
            (true, Some(OpReply::Put(_)), None) if revision > self.after() => {
                Answer::Applied(revision)
            }
            (false, Some(OpReply::Range(range)), None) => {
                match Present::read(&self.written.key, revision, range) {
                    Some(now) if now.mod_revision() != self.base.mod_revision() => {
                        Answer::Lost(now)
                    }
                    Some(_) | None => Answer::Garbled,
                }
            }
            _ => Answer::Garbled,
        }
    }

    /// What a read proves that began after an attempt was not answered.
    pub fn judge(&self, layout: &Layout, now: &Present) -> Verdict {
        if now.revision < self.base.revision {
            return Verdict::Absurd;
        }
        match (&self.base.kv, &now.kv) {
            (Some(base), Some(kv)) => self.judge_change(layout, base, kv),
            (Some(_), None) => Verdict::AskHistory,
            (None, Some(kv)) => self.judge_creation(layout, kv),
            // Nothing at all happened since the key was seen absent: no history to ask.
            (None, None) if now.revision == self.base.revision => Verdict::Untold,
            (None, None) => Verdict::AskHistory,
        }
    }

    /// What a change that a watch tells proves; `None`: go on. The watch begins at
    /// [`after`](Self::after), and `now` is what a read before it found.
    pub fn judge_event(&self, layout: &Layout, now: &Present, event: &KeyEvent) -> Option<Verdict> {
        let kv = &event.kv;
        if kv.key != self.written.key || kv.mod_revision <= self.after() {
            // The guard itself; and some servers tell older changes too, or one twice.
            return None;
        }
        match (&self.base.kv, event.kind) {
            (Some(_), EventKind::Delete) => Some(Verdict::Lost),
            (Some(base), EventKind::Put) => {
                let verdict = self.judge_change(layout, base, kv);
                // Not the first change after the guard: the store kept that one back.
                Some(if verdict == Verdict::AskHistory { Verdict::Untold } else { verdict })
            }
            (None, EventKind::Put) if self.author(layout, &kv.value) == Author::Ours => {
                Some(Verdict::Applied(kv.mod_revision))
            }
            (None, EventKind::Put | EventKind::Delete) => {
                let last =
                    now.kv.as_ref().is_some_and(|kv| event.kv.mod_revision >= kv.mod_revision);
                last.then_some(Verdict::Untold)
            }
        }
    }

    /// Of all attempts under a guard above 0 at most one is ever applied, and it is the first
    /// change after the guard. So whoever made that change settles it for good.
    fn judge_change(&self, layout: &Layout, base: &KeyValue, kv: &KeyValue) -> Verdict {
        if kv == base {
            return Verdict::Open;
        }
        if kv.mod_revision <= base.mod_revision {
            return Verdict::Absurd;
        }
        let first = kv.create_revision == base.create_revision
            && base.version.checked_add(1) == Some(kv.version);
        if !first {
            return Verdict::AskHistory;
        }
        match self.author(layout, &kv.value) {
            Author::Ours => Verdict::Applied(kv.mod_revision),
            Author::Other => Verdict::Lost,
            Author::Either => Verdict::Untold,
        }
    }

    /// A creation is never judged lost: it may still come whenever the key is absent.
    fn judge_creation(&self, layout: &Layout, kv: &KeyValue) -> Verdict {
        if kv.create_revision <= self.base.revision {
            return Verdict::Absurd;
        }
        // Our mark on a later version is a copy; the history knows the original.
        if kv.version == 1 && self.author(layout, &kv.value) == Author::Ours {
            return Verdict::Applied(kv.mod_revision);
        }
        Verdict::AskHistory
    }

    fn author(&self, layout: &Layout, value: &Value) -> Author {
        match self.mark {
            Some(mark) if layout.operation_of(value) == Some(mark) => Author::Ours,
            None if *value == self.written.value => Author::Either,
            Some(_) | None => Author::Other,
        }
    }
}
