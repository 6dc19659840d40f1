use std::collections::VecDeque;

use super::known::Known;
use super::window::Size;
use super::{Follow, Next, State};
use crate::engine::cx::Cx;
use crate::engine::pages::{smaller, successor};
use crate::engine::view::{Followed, Gap};
use crate::waist::{
    Header, Key, KeyRange, KeyValue, Range, RangeReply, Request, Revision, StoreError,
};

/// A list under way: page after page, all of one revision, told as the reader takes it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(super) struct List {
    /// The first page's header. Its revision is the list's: the later pages are read at it.
    head: Option<Header>,
    /// Of the last record that is here.
    last: Option<Key>,
    /// What all records so far say of the range.
    known: Known,
    /// Here, and not told yet.
    rest: VecDeque<KeyValue>,
    /// Whether the store has more.
    more: bool,
    /// Whether nothing of it was told yet.
    untold: bool,
}

/// A page that cannot be.
struct Garbled;

impl List {
    fn new() -> Self {
        Self { untold: true, ..Self::default() }
    }

    fn revision(&self) -> Revision {
        self.head.map_or(Revision::ZERO, |head| head.revision)
    }

    fn request(&self, keys: &KeyRange, page_limit: u32) -> Range {
        let rest = match &self.last {
            Some(last) => KeyRange { key: successor(last), end: keys.end.clone() },
            None => keys.clone(),
        };
        Range { limit: i64::from(page_limit), revision: self.revision(), ..Range::of(rest) }
    }

    /// Takes a page.
    fn take(&mut self, keys: &KeyRange, page: RangeReply) -> Result<(), Garbled> {
        let head = *self.head.get_or_insert(page.header);
        // Pages of two stores must not be mixed. A new leader changes the term too, but seldom.
        let strayed = page.header.cluster_id != head.cluster_id
            || page.header.raft_term != head.raft_term
            || page.header.revision < head.revision
            || head.revision <= Revision::ZERO;
        let endless = page.more && (page.kvs.is_empty() || keys.end.is_empty());
        if strayed || endless {
            return Err(Garbled);
        }
        for kv in page.kvs {
            let ascends = self.last.as_ref().is_none_or(|last| *last < kv.key);
            if !ascends || !keys.contains(&kv.key) || kv.mod_revision > head.revision {
                return Err(Garbled);
            }
            self.last = Some(kv.key.clone());
            self.known.listed(&kv);
            self.rest.push_back(kv);
        }
        self.more = page.more;
        Ok(())
    }
}

impl Follow {
    /// Begins a list. The reader has taken all that was told before.
    pub(super) fn list(&self, cx: &mut Cx<'_>) -> State {
        self.ask(cx, List::new())
    }

    /// A page came.
    pub(super) fn listed(&mut self, cx: &mut Cx<'_>, mut list: List, page: RangeReply) -> State {
        let first = list.head.is_none();
        if list.take(&self.keys, page).is_err() {
            return self.again(cx, Next::List);
        }
        if let Some(head) = list.head.filter(|_| first) {
            if self.is_other_store(&head) {
                let gap = Followed::Gap { after: self.cursor, why: Gap::NewEpoch };
                self.tell(cx, Size::default(), gap);
            }
            // Declared once: what comes now is held against this store.
            self.adopt(&head);
            self.cursor = head.revision;
        }
        self.tell_list(cx, list)
    }

    /// Tells as much of what is here as the reader has room for, and goes on when all is told.
    pub(super) fn tell_list(&mut self, cx: &mut Cx<'_>, mut list: List) -> State {
        loop {
            let (mut size, mut count) = (Size::default(), 0);
            for kv in &list.rest {
                let record = Size::of_record(kv);
                let room = match count {
                    0 => self.window.takes(cx.tuning, record),
                    _ => self.window.takes_both(cx.tuning, size, record),
                };
                if !room {
                    break;
                }
                size = size.and(record);
                count += 1;
            }
            if count == 0 && !list.rest.is_empty() {
                return State::Telling { list };
            }
            let records: Vec<_> = list.rest.drain(..count).collect();
            let complete = list.rest.is_empty() && !list.more;
            if complete || !records.is_empty() {
                let first = std::mem::take(&mut list.untold);
                let revision = list.revision();
                self.tell(cx, size, Followed::Listed { revision, first, complete, records });
            }
            if complete {
                self.known = list.known;
                self.differed_at = Revision::ZERO;
                return self.watch(cx);
            }
            if list.rest.is_empty() {
                if !self.window.is_empty() {
                    return State::Telling { list };
                }
                return self.ask(cx, list);
            }
        }
    }

    /// A page did not come. The list starts over whatever the failure: the store may have
    /// forgotten the revision, or be another one that has it too.
    pub(super) fn list_failed(&mut self, cx: &mut Cx<'_>, error: &StoreError) -> State {
        if let StoreError::AnswerTooLarge { size, limit } = *error
            && self.page_limit > 1
        {
            self.page_limit = smaller(self.page_limit, size, limit);
            return self.again(cx, Next::List);
        }
        if matches!(error, StoreError::Compacted | StoreError::FutureRevision) {
            return self.again(cx, Next::List);
        }
        self.retry(cx, error, Next::List)
    }

    /// Asks for the next page.
    fn ask(&self, cx: &mut Cx<'_>, list: List) -> State {
        let request = Request::Range(list.request(&self.keys, self.page_limit));
        State::Listing { attempt: cx.send(self.owner(), request), list }
    }
}
