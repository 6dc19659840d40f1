use super::replica::Replica;
use super::{Mirror, Next};
use crate::engine::cx::Cx;
use crate::engine::epoch::Stand;
use crate::engine::pages::{continues, rest};
use crate::engine::retry::jittered;
use crate::engine::stream::Watching;
use crate::engine::view::Gap;
use crate::time::Time;
use crate::waist::{AttemptId, Key, KeyRange, Range, RangeReply, Reply, StoreError};

/// A whole list at the cursor, held against the copy as it was there, page by page.
///
/// It costs no more than a page at a time, and the copy goes on meanwhile: what the watch brings
/// is of later revisions.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Audit {
    /// The page that is asked for.
    pub attempt: AttemptId,
    pub seen: Seen,
}

/// What an audit has seen so far.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Seen {
    /// The copy when the audit began; it shares its content with the present one.
    copy: Replica,
    /// How far the store was by then.
    stand: Option<Stand>,
    /// Records seen to be the same, and the last one's key.
    same: usize,
    last: Option<Key>,
}

/// What a page of an audit shows.
enum Found {
    /// All is the same so far, and there is more.
    More,
    /// All is the same. Or nothing: what did not come, or cannot be, tells nothing of the copy, and
    /// the next audit may fare better.
    Nothing,
    /// The member answers what is asked on its stream, and no read in all its time: it may have
    /// stopped applying what the store agrees on. Then all that it streams is old, and says not so.
    Silence,
    Gap(Gap),
}

impl Seen {
    fn next(&self, keys: &KeyRange) -> Range {
        Range { revision: self.copy.cursor(), ..Range::of(rest(keys, self.last.as_ref())) }
    }

    /// Takes a page.
    fn take(&mut self, keys: &KeyRange, page: &RangeReply) -> Found {
        if !continues(keys, self.last.as_ref(), self.copy.cursor(), &page.kvs, page.more) {
            return Found::Nothing;
        }
        if !page.kvs.iter().all(|kv| self.copy.has(kv)) {
            return Found::Gap(Gap::Audited);
        }
        self.same += page.kvs.len();
        self.last = page.kvs.last().map(|kv| kv.key.clone());
        match page.more {
            true => Found::More,
            false if self.same == self.copy.len() => Found::Nothing,
            false => Found::Gap(Gap::Audited),
        }
    }
}

impl Mirror {
    /// Begins an audit of the copy.
    pub(super) fn audit(&mut self, cx: &mut Cx<'_>) {
        let copy = self.replica.clone();
        let stand = self.source.stand(copy.cursor());
        self.ask_audit(cx, Seen { copy, stand, same: 0, last: None });
    }

    /// When an audit may begin beside a watch.
    pub(super) fn next_audit(&self, watching: &Watching) -> Option<Time> {
        (watching.is_following() && self.audit.is_none()).then_some(self.audit_at)
    }

    /// A page came, or did not.
    pub(super) fn audited(&mut self, cx: &mut Cx<'_>, mut seen: Seen, reply: &Reply) {
        let found = if let Reply::Range(page) = reply {
            match seen.stand.is_none_or(|stand| stand.allows(&page.header)) {
                true => {
                    self.source.adopt(cx, &page.header);
                    seen.take(&self.source.keys, page)
                }
                false => Found::Gap(Gap::NewEpoch),
            }
        } else if *reply == Reply::Failed(StoreError::Compacted) {
            // So old is the cursor: a list brings it forward, and shows what an audit would.
            Found::Gap(Gap::Compacted)
        } else if *reply == Reply::Failed(StoreError::GaveUp) {
            Found::Silence
        } else {
            if let Reply::Failed(error) = reply {
                self.source.shrinks_pages(error);
            }
            Found::Nothing
        };
        match found {
            Found::More => self.ask_audit(cx, seen),
            Found::Nothing => self.audit_at = self.audit_after(cx),
            Found::Silence => {
                self.blame(cx);
                self.leave(cx);
                self.audit_at = self.audit_after(cx);
                self.state = self.again(cx, Next::Watch);
            }
            Found::Gap(gap) => {
                if gap != Gap::Compacted {
                    // This watch has kept something from us: whatever else it did not tell, a list
                    // does.
                    self.blame(cx);
                }
                self.leave(cx);
                self.state = self.relist(cx, gap);
            }
        }
    }

    /// Ends the one that is under way.
    pub(super) fn leave_audit(&mut self, cx: &mut Cx<'_>) {
        if let Some(audit) = self.audit.take() {
            cx.cancel(audit.attempt);
        }
    }

    /// When the next audit is due, drawn so that the processes of a fleet do not all list at once.
    pub(super) fn audit_after(&mut self, cx: &Cx<'_>) -> Time {
        let jitter = cx.tuning.jitter_percent.min(AUDIT_JITTER_PERCENT);
        cx.now + jittered(cx.tuning.audit_every, jitter, &mut self.audit_rng)
    }

    fn ask_audit(&mut self, cx: &mut Cx<'_>, seen: Seen) {
        let attempt = self.source.ask_page(cx, seen.next(&self.source.keys));
        self.audit = Some(Audit { attempt, seen });
    }
}

/// How much of the time before an audit is drawn by chance: of 15 minutes, 5.
const AUDIT_JITTER_PERCENT: u32 = 33;
