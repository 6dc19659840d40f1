use super::replica::{Reading, Replica};
use super::{Mirror, Next, State};
use crate::engine::cx::Cx;
use crate::engine::pages::{smaller, successor};
use crate::engine::view::{Gap, StepCause};
use crate::layout::Layout;
use crate::waist::{Header, Key, KeyRange, Range, RangeReply, Request, Revision, StoreError};

/// A list under way: page after page, all of one revision.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct List {
    cause: StepCause,
    /// The first page's header. Its revision is the list's: the later pages are read at it.
    first: Option<Header>,
    readings: Vec<(Key, Reading)>,
}

/// A page that cannot be.
struct Garbled;

impl List {
    fn new(cause: StepCause) -> Self {
        Self { cause, first: None, readings: Vec::new() }
    }

    fn request(&self, keys: &KeyRange, page_limit: u32) -> Range {
        let rest = match self.readings.last() {
            Some((last, _)) => KeyRange { key: successor(last), end: keys.end.clone() },
            None => keys.clone(),
        };
        let revision = self.first.map_or(Revision::ZERO, |first| first.revision);
        Range { limit: i64::from(page_limit), revision, ..Range::of(rest) }
    }

    /// Takes a page; true if it was the last.
    fn take(
        &mut self,
        keys: &KeyRange,
        layout: &Layout,
        replica: &Replica,
        page: &RangeReply,
    ) -> Result<bool, Garbled> {
        let first = *self.first.get_or_insert(page.header);
        // Pages of two stores must not be mixed. A new leader changes the term too, but seldom.
        let strayed = page.header.cluster_id != first.cluster_id
            || page.header.raft_term != first.raft_term
            || page.header.revision < first.revision
            || first.revision <= Revision::ZERO;
        let endless = page.more && (page.kvs.is_empty() || keys.end.is_empty());
        if strayed || endless {
            return Err(Garbled);
        }
        for kv in &page.kvs {
            let ascends = self.readings.last().is_none_or(|(last, _)| *last < kv.key);
            if !ascends || !keys.contains(&kv.key) || kv.mod_revision > first.revision {
                return Err(Garbled);
            }
            self.readings.push((kv.key.clone(), replica.read(layout, kv)));
        }
        Ok(!page.more)
    }
}

impl Mirror {
    /// Begins a list.
    pub(super) fn list(&self, cx: &mut Cx<'_>, cause: StepCause) -> State {
        self.ask(cx, List::new(cause))
    }

    /// A page came.
    pub(super) fn listed(&mut self, cx: &mut Cx<'_>, mut list: List, page: &RangeReply) -> State {
        match list.take(&self.keys, cx.layout, &self.replica, page) {
            Ok(false) => self.ask(cx, list),
            Ok(true) => self.show(cx, list),
            Err(Garbled) => self.again(cx, Next::List(list.cause)),
        }
    }

    /// A page did not come. The list starts over whatever the failure: the store may have
    /// forgotten the revision, or be another one that has it too.
    pub(super) fn list_failed(
        &mut self,
        cx: &mut Cx<'_>,
        list: &List,
        error: &StoreError,
    ) -> State {
        let next = Next::List(list.cause);
        if self.smaller_pages(error)
            || matches!(error, StoreError::Compacted | StoreError::FutureRevision)
        {
            return self.again(cx, next);
        }
        self.retry(cx, error, next)
    }

    /// Whether it failed for the size of its answer, and pages are smaller from now on.
    pub(super) fn smaller_pages(&mut self, error: &StoreError) -> bool {
        if let StoreError::AnswerTooLarge { size, limit } = *error
            && self.page_limit > 1
        {
            self.page_limit = smaller(self.page_limit, size, limit);
            return true;
        }
        false
    }

    /// Asks for the next page.
    fn ask(&self, cx: &mut Cx<'_>, list: List) -> State {
        let request = Request::Range(list.request(&self.keys, self.page_limit));
        State::Listing { attempt: cx.send(self.owner(), request), list }
    }

    /// The list is whole: shows it, and watches from there on.
    fn show(&mut self, cx: &mut Cx<'_>, list: List) -> State {
        let List { mut cause, first, readings } = list;
        let header = first.expect("a whole list has a first page");
        if cause != StepCause::Listed && self.is_other_store(&header) {
            cause = StepCause::Relisted(Gap::NewEpoch);
        }
        let fresh = match cause {
            StepCause::Listed => true,
            StepCause::Relisted(Gap::NewEpoch) => {
                self.replica.shown.epoch += 1;
                true
            }
            StepCause::Relisted(_) | StepCause::Watched => false,
        };
        self.adopt(&header);
        let delta = self.replica.replace(header.revision, readings);
        self.differed_at = Revision::ZERO;
        self.audit_at = self.audit_after(cx);
        self.confirm(cx);
        if fresh || !delta.is_empty() {
            self.step(cx, cause, delta);
        }
        self.watch(cx)
    }
}
