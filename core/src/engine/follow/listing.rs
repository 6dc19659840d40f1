use std::collections::VecDeque;

use super::known::Known;
use super::window::Size;
use super::{Follow, Next, State};
use crate::engine::cx::Cx;
use crate::engine::pages::Pages;
use crate::engine::view::{Followed, Gap};
use crate::waist::{KeyValue, RangeReply, Revision, StoreError};

/// A list under way: page after page, told as the reader takes it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(super) struct List {
    pages: Pages,
    /// What all records so far say of the range.
    known: Known,
    /// Here, and not told yet.
    rest: VecDeque<KeyValue>,
    /// Whether the store has more.
    more: bool,
    /// Whether something of it was told already.
    told: bool,
}

impl Follow {
    /// Begins a list. The reader has taken all that was told before.
    pub(super) fn list(&self, cx: &mut Cx<'_>) -> State {
        self.ask(cx, List::default())
    }

    /// A page came.
    pub(super) fn listed(&mut self, cx: &mut Cx<'_>, mut list: List, page: &RangeReply) -> State {
        let is_first = list.pages.head().is_none();
        let Ok(new) = list.pages.take(&self.source.keys, page) else {
            return self.again(cx, Next::List);
        };
        if is_first {
            if self.source.is_other(self.cursor, &page.header) {
                let gap = Followed::Gap { after: self.cursor, why: Gap::NewEpoch };
                self.tell(cx, Size::default(), gap);
            }
            // Declared once: what comes now is held against this store.
            self.source.adopt(cx, &page.header);
            self.cursor = page.header.revision;
        }
        new.iter().for_each(|kv| list.known.listed(kv));
        list.rest.extend(new.iter().cloned());
        list.more = page.more;
        self.tell_list(cx, list)
    }

    /// Tells as much of what is here as the reader has room for, and goes on when all is told.
    pub(super) fn tell_list(&mut self, cx: &mut Cx<'_>, mut list: List) -> State {
        loop {
            let (mut size, mut count) = (Size::default(), 0);
            for kv in &list.rest {
                let record = Size::of_record(kv);
                if !self.window.takes(cx.tuning, size, record) {
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
            let is_some = !records.is_empty();
            let first = !list.told;
            let revision = list.pages.revision();
            let part = Followed::Listed { revision, first, complete, records };
            if complete {
                // While the reader took its time the store may have become another one.
                self.list_end = Some((size, part));
                self.known = list.known;
                self.source.differed_at = Revision::ZERO;
                return self.watch(cx);
            }
            if is_some {
                list.told = true;
                self.tell(cx, size, part);
            }
            if list.rest.is_empty() {
                if !self.window.is_empty() {
                    return State::Telling { list };
                }
                return self.ask(cx, list);
            }
        }
    }

    /// A page did not come.
    pub(super) fn list_failed(&mut self, cx: &mut Cx<'_>, error: &StoreError) -> State {
        State::Waiting { retry_at: self.source.relist_at(cx, error), next: Next::List }
    }

    /// Asks for the next page.
    fn ask(&self, cx: &mut Cx<'_>, list: List) -> State {
        let range = list.pages.next(&self.source.keys);
        State::Listing { attempt: self.source.ask_page(cx, range), list }
    }
}
