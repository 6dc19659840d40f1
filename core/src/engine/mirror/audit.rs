use super::replica::Replica;
use super::watching::Stream;
use super::{Mirror, State};
use crate::engine::cx::Cx;
use crate::engine::epoch::Stand;
use crate::engine::pages::successor;
use crate::engine::retry::jittered;
use crate::engine::stream::Probe;
use crate::engine::view::Gap;
use crate::time::Time;
use crate::waist::{AttemptId, Key, KeyRange, Range, RangeReply, Request, Revision, StoreError};

/// A whole list at the cursor, held against the copy as it was there, page by page.
///
/// It costs no more than a page at a time, and the copy goes on meanwhile: what the watch brings
/// is of later revisions.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Audit {
    /// The page that is asked for.
    pub attempt: AttemptId,
    pages: Pages,
}

/// What an audit has seen so far.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Pages {
    /// The copy when the audit began; it shares its content with the present one.
    copy: Replica,
    /// How far the store was by then.
    stand: Stand,
    /// Records seen to be the same, and the last one's key.
    same: usize,
    last: Option<Key>,
}

/// What a page of an audit shows.
enum Found {
    /// All is the same, and there is more.
    More,
    /// All is the same.
    Same,
    Differs,
    /// An answer that cannot be.
    Garbled,
}

impl Pages {
    fn at(&self) -> Revision {
        self.copy.shown.revision
    }

    fn request(&self, keys: &KeyRange, page_limit: u32) -> Range {
        let rest = match &self.last {
            Some(last) => KeyRange { key: successor(last), end: keys.end.clone() },
            None => keys.clone(),
        };
        Range { limit: i64::from(page_limit), revision: self.at(), ..Range::of(rest) }
    }

    /// Takes a page.
    fn take(&mut self, keys: &KeyRange, page: &RangeReply) -> Found {
        if page.more && (page.kvs.is_empty() || keys.end.is_empty()) {
            return Found::Garbled;
        }
        for kv in &page.kvs {
            let ascends = self.last.as_ref().is_none_or(|last| *last < kv.key);
            if !ascends || !keys.contains(&kv.key) || kv.mod_revision > self.at() {
                return Found::Garbled;
            }
            if !self.copy.has(kv) {
                return Found::Differs;
            }
            self.same += 1;
            self.last = Some(kv.key.clone());
        }
        match page.more {
            true => Found::More,
            false if self.same == self.copy.len() => Found::Same,
            false => Found::Differs,
        }
    }
}

impl Mirror {
    /// Begins an audit of the copy.
    pub(super) fn audit(&self, cx: &mut Cx<'_>, mut stream: Stream, probe: Probe) -> State {
        let &Self { cluster_id, raft_term, .. } = self;
        let pages = Pages {
            copy: self.replica.clone(),
            stand: Stand { cluster_id, raft_term, revision: self.cursor() },
            same: 0,
            last: None,
        };
        stream.audit = Some(self.ask_audit(cx, pages));
        State::Following { stream, probe }
    }

    /// A page came.
    pub(super) fn audited(
        &mut self,
        cx: &mut Cx<'_>,
        mut stream: Stream,
        probe: Probe,
        page: &RangeReply,
    ) -> State {
        let Some(Audit { mut pages, .. }) = stream.audit.take() else {
            return State::Following { stream, probe };
        };
        let gap = if pages.stand.allows(&page.header) {
            match pages.take(&self.keys, page) {
                Found::More => {
                    stream.audit = Some(self.ask_audit(cx, pages));
                    return State::Following { stream, probe };
                }
                // A strange answer tells nothing of the copy.
                Found::Same | Found::Garbled => {
                    self.audit_at = self.audit_after(cx);
                    return State::Following { stream, probe };
                }
                Found::Differs => Gap::Audited,
            }
        } else {
            Gap::NewEpoch
        };
        // This watch has kept something from us: whatever else it did not tell, a list does.
        cx.wire.blame_stream(stream.feed.attempt, cx.tuning);
        State::Following { stream, probe }.leave(cx);
        self.relist(cx, gap)
    }

    /// A page did not come. The next audit may fare better; the copy is no worse for it.
    pub(super) fn audit_failed(
        &mut self,
        cx: &mut Cx<'_>,
        mut stream: Stream,
        probe: Probe,
        error: &StoreError,
    ) -> State {
        stream.audit = None;
        if *error == StoreError::Compacted {
            // So old is the cursor: a list brings it forward, and shows what an audit would.
            State::Following { stream, probe }.leave(cx);
            return self.relist(cx, Gap::Compacted);
        }
        self.smaller_pages(error);
        self.audit_at = self.audit_after(cx);
        State::Following { stream, probe }
    }

    /// When the next audit is due, drawn so that the processes of a fleet do not all list at once.
    pub(super) fn audit_after(&mut self, cx: &Cx<'_>) -> Time {
        let jitter = cx.tuning.jitter_percent.min(AUDIT_JITTER_PERCENT);
        cx.now + jittered(cx.tuning.audit_every, jitter, &mut self.audit_rng)
    }

    fn ask_audit(&self, cx: &mut Cx<'_>, pages: Pages) -> Audit {
        let request = Request::Range(pages.request(&self.keys, self.page_limit));
        Audit { attempt: cx.send(self.owner(), request), pages }
    }
}

/// How much of the time before an audit is drawn by chance: of 15 minutes, 5.
const AUDIT_JITTER_PERCENT: u32 = 33;
