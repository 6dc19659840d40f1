//! The search of a key's history for what became of a swap.

use super::swap::{Doubted, Present, Verdict};
use crate::engine::OpId;
use crate::engine::cx::Cx;
use crate::engine::retry::Backoff;
use crate::engine::wire::Owner;
use crate::time::Time;
use crate::waist::{AttemptId, Code, KeyRange, Revision, StoreError, Watch, WatchReply, WatchSay};

/// A watch of the key from the guard on. (From right after it, a compaction could hide a delete
/// there: see the mirror.)
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Search {
    pub stream: AttemptId,
    pub doubted: Doubted,
    /// What stood there before the watch began; the history up to then is wanted.
    pub now: Present,
    /// A stream has no time limit of its own.
    pub until: Time,
    asking: Asking,
}

/// Whether the store must be asked how far the watch is: where the key is absent, no last change
/// shows that all was told.
///
/// A store does not answer while the watch still catches up (row W13), so it is asked again. An
/// answer that comes too early, as old servers give it, costs no more than an "unknown".
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
enum Asking {
    No,
    OnceCreated,
    Again { at: Time },
}

impl Search {
    pub fn open(cx: &mut Cx<'_>, id: OpId, doubted: Doubted, now: Present) -> Self {
        let keys = KeyRange::one(doubted.swap.written.key.clone());
        // Only the first changes are wanted, but a store that catches up sends many at once.
        let watch = Watch { fragment: true, ..Watch::of(keys, doubted.swap.after()) };
        let stream = cx.watch(Owner::Update(id), watch);
        let until = cx.now + cx.tuning.attempt_timeout;
        let ends_unseen = doubted.swap.creates() && now.kv.is_none();
        let asking = if ends_unseen { Asking::OnceCreated } else { Asking::No };
        Self { stream, doubted, now, until, asking }
    }

    /// Takes an answer that cancels nothing; `None`: go on.
    pub fn on_reply(
        &mut self,
        cx: &mut Cx<'_>,
        backoff: &mut Backoff,
        reply: &WatchReply,
    ) -> Option<Verdict> {
        if reply.created && self.asking == Asking::OnceCreated {
            self.ask(cx, backoff);
        }
        let swap = &self.doubted.swap;
        reply
            .events
            .iter()
            .find_map(|event| swap.judge_event(cx.layout, &self.now, event))
            .or_else(|| self.is_told(reply).then_some(Verdict::Untold))
    }

    /// Asks how far the watch is. Also when it wakes, which it does before `until` for this alone.
    pub fn ask(&mut self, cx: &mut Cx<'_>, backoff: &mut Backoff) {
        cx.say(self.stream, WatchSay::Progress);
        self.asking = Asking::Again { at: cx.wire.retry_at(cx.now, cx.tuning, backoff) };
    }

    pub fn wakes_at(&self) -> Time {
        match self.asking {
            Asking::Again { at } => at.min(self.until),
            Asking::No | Asking::OnceCreated => self.until,
        }
    }

    /// Whether all history up to what stood there before was told, and held nothing of ours.
    fn is_told(&self, reply: &WatchReply) -> bool {
        let progress = !reply.created && !reply.fragment && reply.events.is_empty();
        self.asking != Asking::No && progress && reply.header.revision >= self.now.revision
    }
}

/// Why a watch was cancelled in band. etcd puts a whole status into the text where the reason is
/// no word of its own.
pub(super) fn cancel_reason(reply: &WatchReply) -> StoreError {
    if reply.compact_revision > Revision::ZERO {
        return StoreError::Compacted;
    }
    let reason = &*reply.cancel_reason;
    let words = reason.split_once(" desc = ").map_or(reason, |(_, words)| words);
    StoreError::from_status(Code::Unknown, words)
}
