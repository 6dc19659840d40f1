//! What following a watch needs, whoever does it: a confirmed stream, its health, and the read that
//! it is held against.

use super::cx::Cx;
use super::retry::jittered;
use crate::rng::Rng;
use crate::time::Time;
use crate::waist::{
    AttemptId, KeyEvent, KeyRange, Range, Revision, Sort, SortTarget, StatusReply, StoreError,
    WatchReply,
};

/// A watch stream that was confirmed.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Feed {
    pub attempt: AttemptId,
    pub watch_id: i64,
    /// Who serves it, by etcd's ids.
    pub cluster_id: u64,
    member_id: u64,
    /// Whether it ever showed a revision at or above the cursor. Until then its member lags.
    pub reached: bool,
    /// Asked of the member, not answered yet: its version.
    pub status: Option<AttemptId>,
    /// Whether its member's version keeps the promise of progress answers.
    pub vouched: bool,
    /// Whether it once left a probe unanswered and was fine: probed by a read from then on.
    pub mute: bool,
    /// Of an answer in parts, the last revision that is here: more of it may come.
    pub partial: Vec<KeyEvent>,
}

/// What is known of a followed stream's health.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) enum Probe {
    /// Trusted until `probe_at`.
    Quiet { probe_at: Time },
    /// Asked for progress; suspected from `until` on.
    Asked { until: Time },
    /// Suspected: a linearizable read will settle it.
    Settling { attempt: AttemptId },
}

/// An answer that cannot be.
pub(crate) struct Garbled;

impl Feed {
    /// The store confirmed a watch that begins at `cursor`.
    pub fn created(attempt: AttemptId, reply: &WatchReply, cursor: Revision) -> Self {
        Self {
            attempt,
            watch_id: reply.watch_id,
            cluster_id: reply.header.cluster_id,
            member_id: reply.header.member_id,
            reached: reply.header.revision >= cursor,
            status: None,
            vouched: false,
            mute: false,
            partial: Vec::new(),
        }
    }

    /// The member said its version.
    pub fn versioned(&mut self, reply: &StatusReply) {
        self.status = None;
        // Behind one address there may be several servers: only the very one counts.
        self.vouched = reply.header.member_id == self.member_id && keeps_progress(&reply.version);
    }

    /// Ends it and all that was asked beside it.
    pub fn end(&self, cx: &mut Cx<'_>) {
        cx.cancel(self.attempt);
        if let Some(status) = self.status {
            cx.cancel(status);
        }
    }

    /// Adds a part to what is still incomplete and returns the revisions that are whole now.
    pub fn join(&mut self, events: Vec<KeyEvent>, more: bool) -> Result<Vec<KeyEvent>, Garbled> {
        let mut whole = events;
        if !self.partial.is_empty() {
            let parts = std::mem::take(&mut self.partial);
            whole.splice(..0, parts);
        }
        if !whole.is_sorted_by_key(|event| event.kv.mod_revision) {
            return Err(Garbled);
        }
        if let (true, Some(last)) = (more, whole.last()) {
            let last = last.kv.mod_revision;
            let at = whole.partition_point(|event| event.kv.mod_revision < last);
            self.partial = whole.split_off(at);
        }
        Ok(whole)
    }
}

/// Why the store ended a watch, though not its stream. Unless its start was compacted, its member is
/// blamed where another one might not do so.
pub(crate) fn cancellation(
    cx: &mut Cx<'_>,
    stream: Option<AttemptId>,
    reply: &WatchReply,
) -> StoreError {
    let error = reply.refusal();
    if reply.compact_revision > Revision::ZERO || error == StoreError::Compacted {
        return StoreError::Compacted;
    }
    let unclear = matches!(error, StoreError::Other { .. });
    if let Some(stream) = stream.filter(|_| unclear || error.blames_member()) {
        cx.blame_stream(stream);
    }
    error
}

/// A read of the newest record of `keys`, which counts them all.
pub(crate) fn newest(keys: &KeyRange) -> Range {
    Range { limit: 1, sort: Some((SortTarget::Mod, Sort::Descending)), ..Range::of(keys.clone()) }
}

/// Until when a stream that spoke just now is trusted. Drawn, so that the streams of a process do
/// not all ask in the same moment.
pub(crate) fn trusted(cx: &Cx<'_>, rng: &mut Rng) -> Time {
    let jitter = cx.tuning.jitter_percent.min(PROBE_JITTER_PERCENT);
    cx.now + jittered(cx.tuning.probe_after, jitter, rng)
}

/// The watch id of answers that speak of the whole stream.
pub(crate) const NO_WATCH: i64 = -1;

/// How much of the time before a probe is drawn by chance.
const PROBE_JITTER_PERCENT: u32 = 25;

/// Whether a server of this version answers progress only with what it has delivered (fixed in
/// 3.4.25 and 3.5.8).
fn keeps_progress(version: &str) -> bool {
    let Ok(version) = semver::Version::parse(version) else { return false };
    match (version.major, version.minor) {
        (3, 4) => version.patch >= 25,
        (3, 5) => version.patch >= 8,
        (major, minor) => (major, minor) > (3, 5),
    }
}
