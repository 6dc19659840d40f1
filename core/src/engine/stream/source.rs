use super::{KNOWN_NEWEST, jittered, newest};
use crate::engine::cx::Cx;
use crate::engine::epoch::Stand;
use crate::engine::pages::smaller;
use crate::engine::retry::Backoff;
use crate::engine::wire::Owner;
use crate::rng::Rng;
use crate::time::Time;
use crate::waist::{AttemptId, Header, KeyRange, Range, Request, Revision, StoreError};

/// Where a watcher's content comes from: a key range, and what is remembered of its store from one
/// answer to the next.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Source {
    owner: Owner,
    pub keys: KeyRange,
    rng: Rng,
    /// By the last answer that needed a leader; the revision of it does not count. `None`: whatever
    /// answers next is the store.
    store: Option<Stand>,
    /// The newest revision by such an answer, and from when on a stream that shows none as new is of
    /// a member that lags.
    newest: Option<(Revision, Time)>,
    backoff: Backoff,
    /// Records in a page; it shrinks when answers are too large.
    page_limit: u32,
    /// Records in a check; likewise.
    check_limit: u32,
    /// The cursor at which the store was last found to have more; 0: none.
    pub differed_at: Revision,
}

impl Source {
    pub fn new(owner: Owner, keys: KeyRange, page_limit: u32, rng: Rng) -> Self {
        Self {
            owner,
            keys,
            rng,
            store: None,
            newest: None,
            backoff: Backoff::default(),
            page_limit: page_limit.max(1),
            check_limit: KNOWN_NEWEST,
            differed_at: Revision::ZERO,
        }
    }

    pub fn owner(&self) -> Owner {
        self.owner
    }

    pub fn ask(&self, cx: &mut Cx<'_>, range: Range) -> AttemptId {
        cx.send(self.owner, Request::Range(range))
    }

    /// Asks for a page of what `range` is of; its own limit comes on top.
    pub fn ask_page(&self, cx: &mut Cx<'_>, range: Range) -> AttemptId {
        self.ask(cx, Range { limit: i64::from(self.page_limit) + range.limit, ..range })
    }

    /// What a check reads: the newest records.
    pub fn newest_records(&self) -> Range {
        Range { limit: i64::from(self.check_limit), ..newest(&self.keys) }
    }

    /// How far the store surely is that has a content up to `cursor`.
    pub fn stand(&self, cursor: Revision) -> Option<Stand> {
        self.store.map(|store| Stand { revision: cursor, ..store })
    }

    /// Whether an answer shows that the store is another one than that of a content up to
    /// `cursor`, or has lost what it had: of a linearizable read this is proof, of any other answer
    /// a suspicion.
    pub fn is_other(&self, cursor: Revision, header: &Header) -> bool {
        self.stand(cursor).is_some_and(|stand| !stand.allows(header))
    }

    /// Remembers the store by an answer that needed a leader.
    pub fn adopt(&mut self, cx: &Cx<'_>, header: &Header) {
        if self.store.replace(Stand::of(header)).is_some_and(|before| !before.allows(header)) {
            // Another store's: its revisions begin anew.
            self.newest = None;
        }
        if self.newest.is_none_or(|(newest, _)| newest < header.revision) {
            self.newest = Some((header.revision, cx.now + cx.tuning.probe_timeout));
        }
    }

    /// The store was found to be another one.
    pub fn forget(&mut self) {
        (self.store, self.newest) = (None, None);
    }

    /// Whether a message on a stream that shows the store at `told` is of a member that has stopped
    /// applying what the others agree on: by now it would show what was read elsewhere so long ago.
    pub fn is_behind(&self, cx: &Cx<'_>, told: Revision) -> bool {
        self.newest.is_some_and(|(newest, from)| told < newest && from <= cx.now)
    }

    /// It works, as far as can be seen.
    pub fn worked(&mut self, cx: &Cx<'_>) {
        self.backoff.worked(cx.now);
    }

    /// When to try again: after a pause that grows with each failure. All that goes wrong asks
    /// here, or in one of the next two, so nothing spins.
    pub fn again_at(&mut self, cx: &mut Cx<'_>) -> Time {
        cx.wire.backoff_at(cx.now, cx.tuning, &mut self.backoff)
    }

    /// As [`again_at`](Self::again_at), and late where only an operator can help.
    pub fn retry_at(&mut self, cx: &mut Cx<'_>, error: &StoreError) -> Time {
        cx.wire.backoff_after(error, cx.now, cx.tuning, &mut self.backoff)
    }

    /// When to begin a list anew of which a page did not come. It begins anew whatever the failure:
    /// the store may have forgotten the revision, or be another one that has it too.
    pub fn relist_at(&mut self, cx: &mut Cx<'_>, error: &StoreError) -> Time {
        let is_gone = matches!(error, StoreError::Compacted | StoreError::FutureRevision);
        if self.shrinks_pages(error) || is_gone {
            return self.again_at(cx);
        }
        self.retry_at(cx, error)
    }

    /// Whether it failed for the size of its answer, and pages are smaller from now on.
    pub fn shrinks_pages(&mut self, error: &StoreError) -> bool {
        shrink(&mut self.page_limit, error)
    }

    /// Whether it failed for the size of its answer, and checks are smaller from now on.
    pub fn shrinks_checks(&mut self, error: &StoreError) -> bool {
        shrink(&mut self.check_limit, error)
    }

    /// When it would be tried again if nothing had ever failed.
    pub fn soon(cx: &mut Cx<'_>) -> Time {
        cx.wire.backoff_at(cx.now, cx.tuning, &mut Backoff::default())
    }

    /// Until when a stream that spoke just now is trusted. Drawn, so that the streams of a process
    /// do not all ask in the same moment.
    pub fn trusted_until(&mut self, cx: &Cx<'_>) -> Time {
        let jitter = cx.tuning.jitter_percent.min(PROBE_JITTER_PERCENT);
        cx.now + jittered(cx.tuning.probe_after, jitter, &mut self.rng)
    }
}

fn shrink(records: &mut u32, error: &StoreError) -> bool {
    if let StoreError::AnswerTooLarge { size, limit } = *error
        && *records > 1
    {
        *records = smaller(*records, size, limit);
        return true;
    }
    false
}

/// How much of the time before a probe is drawn by chance.
const PROBE_JITTER_PERCENT: u32 = 25;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::{DirectoryId, wire::Wire};
    use crate::layout::Layout;
    use crate::tuning::Tuning;

    const NOW: Time = Time::from_secs(9);

    fn with<T>(act: impl FnOnce(&mut Source, &mut Cx<'_>) -> T) -> T {
        let tuning = Tuning { jitter_percent: 0, ..Tuning::default() };
        let (layout, mut wire) = (Layout::default(), Wire::new(1, false, &tuning, &Rng::new(1)));
        let mut cx = Cx { now: NOW, tuning: &tuning, layout: &layout, wire: &mut wire };
        let keys = KeyRange::prefix("k");
        act(&mut Source::new(Owner::Mirror(DirectoryId(1)), keys, 2, Rng::new(1)), &mut cx)
    }

    /// When it may be tried again, after many failures.
    fn after_many_failures(next: fn(&mut Source, &mut Cx<'_>) -> Time) -> Duration {
        with(|source, cx| {
            for _ in 0..20 {
                source.again_at(cx);
            }
            next(source, cx).since(NOW)
        })
    }

    fn at(revision: i64) -> Header {
        Header { raft_term: 2, revision: Revision(revision), ..Header::default() }
    }

    /// However often it is told meanwhile.
    #[test]
    fn a_stream_is_behind_some_time_after_a_revision_was_told_for_the_first_time() {
        with(|source, cx| {
            source.adopt(cx, &at(7));
            cx.now = NOW + cx.tuning.probe_timeout / 2;
            source.adopt(cx, &at(7));
            assert!(!source.is_behind(cx, Revision(6)));
            cx.now = NOW + cx.tuning.probe_timeout;
            assert!(source.is_behind(cx, Revision(6)));
            assert!(!source.is_behind(cx, Revision(7)));
        });
    }

    #[test]
    fn a_stream_is_not_behind_what_another_store_told() {
        with(|source, cx| {
            source.adopt(cx, &at(7));
            source.adopt(cx, &at(3));
            cx.now = NOW + cx.tuning.probe_timeout;
            assert!(!source.is_behind(cx, Revision(3)));
            assert!(source.is_behind(cx, Revision(2)));
        });
    }

    /// At once would be a loop where a login succeeds and what follows is refused.
    #[test]
    fn soon_is_after_the_first_pause_however_much_had_failed() {
        let soon = after_many_failures(|_, cx| Source::soon(cx));
        assert_eq!(soon, Tuning::default().backoff_base);
    }

    /// Only what an operator has to mend is tried again late.
    #[test]
    fn a_list_begins_anew_soon_where_that_helps() {
        const LARGE: StoreError = StoreError::AnswerTooLarge { size: 9, limit: 4 };
        let Tuning { backoff_cap: soon, backoff_slow_cap: late, .. } = Tuning::default();
        let pause = after_many_failures;
        assert_eq!(pause(|source, cx| source.relist_at(cx, &StoreError::Compacted)), soon);
        assert_eq!(pause(|source, cx| source.relist_at(cx, &StoreError::FutureRevision)), soon);
        assert_eq!(pause(|source, cx| source.relist_at(cx, &StoreError::NoLeader)), soon);
        assert_eq!(pause(|source, cx| source.relist_at(cx, &StoreError::PermissionDenied)), late);
        assert_eq!(pause(|source, cx| source.relist_at(cx, &LARGE)), soon, "smaller pages help");
        let again = pause(|source, cx| {
            source.relist_at(cx, &LARGE);
            source.relist_at(cx, &LARGE)
        });
        assert_eq!(again, late, "there is no smaller page than of one record");
    }
}
