use super::replica::Reading;
use super::{Mirror, Next, State};
use crate::engine::cx::Cx;
use crate::engine::pages::Pages;
use crate::engine::view::{Gap, StepCause};
use crate::waist::{Header, Key, RangeReply, Revision, StoreError};

/// A list under way.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct List {
    cause: StepCause,
    pages: Pages,
    readings: Vec<(Key, Reading)>,
}

impl Mirror {
    /// Begins a list.
    pub(super) fn list(&self, cx: &mut Cx<'_>, cause: StepCause) -> State {
        self.ask(cx, List { cause, pages: Pages::default(), readings: Vec::new() })
    }

    /// A page came.
    pub(super) fn listed(&mut self, cx: &mut Cx<'_>, mut list: List, page: &RangeReply) -> State {
        let Ok(new) = list.pages.take(&self.source.keys, page) else {
            return self.again(cx, Next::List(list.cause));
        };
        let readings = new.iter().map(|kv| (kv.key.clone(), self.replica.read(cx.layout, kv)));
        list.readings.extend(readings);
        match list.pages.head().filter(|_| !page.more) {
            Some(head) => self.show(cx, list, &head),
            None => self.ask(cx, list),
        }
    }

    /// A page did not come.
    pub(super) fn list_failed(
        &mut self,
        cx: &mut Cx<'_>,
        list: &List,
        error: &StoreError,
    ) -> State {
        State::Waiting { retry_at: self.source.relist_at(cx, error), next: Next::List(list.cause) }
    }

    /// Asks for the next page.
    fn ask(&self, cx: &mut Cx<'_>, list: List) -> State {
        let range = list.pages.next(&self.source.keys);
        State::Listing { attempt: self.source.ask_page(cx, range), list }
    }

    /// The list is whole: shows it, and watches from there on.
    fn show(&mut self, cx: &mut Cx<'_>, list: List, head: &Header) -> State {
        let List { mut cause, pages: _, readings } = list;
        if self.source.is_other(self.replica.cursor(), head) {
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
        self.source.adopt(cx, head);
        let delta = self.replica.replace(head.revision, readings);
        self.source.differed_at = Revision::ZERO;
        self.audit_at = self.audit_after(cx);
        self.confirm(cx);
        if fresh || !delta.is_empty() {
            self.step(cx, cause, delta);
        }
        self.watch(cx)
    }
}
