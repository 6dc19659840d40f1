//! What following a watch needs, whoever does it: the machine that keeps one open, its confirmed
//! stream, its health, and the read that it is held against.

mod source;
mod watching;

pub(crate) use self::source::Source;
pub(crate) use self::watching::{End, Watcher, Watching, of_check};
use super::cx::Cx;
use super::epoch::Stand;
use super::pages::Garbled;
use super::retry::jittered;
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
    /// Suspected: a linearizable read will settle it. Or, when `learning`, not suspected: that read
    /// is wanted for what it tells. `stand`: how far the store was when it was asked; an audit that
    /// was asked after it may be answered before it.
    Settling { attempt: AttemptId, learning: bool, stand: Option<Stand> },
}

impl Feed {
    /// The store confirmed a watch that begins at `cursor`.
    fn created(attempt: AttemptId, reply: &WatchReply, cursor: Revision) -> Self {
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
    fn versioned(&mut self, reply: &StatusReply) {
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
    fn join(&mut self, events: Vec<KeyEvent>, more: bool) -> Result<Vec<KeyEvent>, Garbled> {
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
fn cancellation(cx: &mut Cx<'_>, stream: AttemptId, reply: &WatchReply) -> StoreError {
    let error = reply.refusal();
    if reply.compact_revision > Revision::ZERO || error == StoreError::Compacted {
        return StoreError::Compacted;
    }
    let unclear = matches!(error, StoreError::Other { .. });
    if unclear || error.blames_member() {
        cx.blame_stream(stream);
    }
    error
}

/// A read of the newest record of `keys`, which counts them all.
pub(crate) fn newest(keys: &KeyRange) -> Range {
    Range { limit: 1, sort: Some((SortTarget::Mod, Sort::Descending)), ..Range::of(keys.clone()) }
}

/// How many of the newest records are held against the store's by the check of a watch. Most ranges
/// have no more, and are compared whole. The store sorts all of a range for it, whatever the number.
pub(crate) const KNOWN_NEWEST: u32 = 128;

/// The watch id of answers that speak of the whole stream.
const NO_WATCH: i64 = -1;

/// Whether a server of this version answers progress only with what it has delivered (fixed in
/// 3.4.25 and 3.5.8).
fn keeps_progress(version: &str) -> bool {
    let Ok(version) = semver::Version::parse(version) else { return false };
    match (version.major, version.minor) {
        (3, 4) => version.patch >= 25,
        (3, 5) => version.patch >= 8,
        later => later >= (3, 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waist::Header;

    #[test]
    fn only_servers_that_mean_their_progress_are_believed() {
        let cases = [
            ("3.3.27", false),
            ("3.4.24", false),
            ("3.4.25", true),
            ("3.5.7", false),
            ("3.5.8", true),
            ("3.6.0", true),
            ("4.0.0", true),
            ("3.5", false),
            ("", false),
        ];
        for (version, keeps) in cases {
            assert_eq!(keeps_progress(version), keeps, "{version:?}");
        }
    }

    /// Behind one address there may be several servers.
    #[test]
    fn only_the_version_of_the_member_that_serves_it_counts() {
        for (member_id, vouched) in [(1, true), (2, false)] {
            let created = WatchReply {
                header: Header { member_id: 1, ..Header::default() },
                ..WatchReply::default()
            };
            let mut feed = Feed::created(AttemptId(1), &created, Revision(1));
            let header = Header { member_id, ..Header::default() };
            let version = "3.5.30".to_owned();
            feed.versioned(&StatusReply { header, version, ..StatusReply::default() });
            assert_eq!(feed.vouched, vouched);
        }
    }
}
