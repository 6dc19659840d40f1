//! A directory: a view, and the lists and the watch that feed it.

use std::time::Duration;

use portolan_core::Time;
use portolan_core::engine::DirectoryId;
use portolan_core::layout::{Layout, Scope};
use portolan_core::waist::{KeyEvent, KeyRange, Range, Reply, Request, Revision};

use super::calls::{Calls, Why};
use super::view::View;
use super::watch::{News, Watcher};
use super::ways::{Begin, Compacted, OnEvent, Ways};

/// A directory of one of these clients.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Reader {
    id: DirectoryId,
    ways: Ways,
    keys: KeyRange,
    view: View,
    watch: Watcher,
    watches: bool,
    /// Answers of the watch for which a list is still to be taken.
    signals: u32,
    /// What the watch told while a list was under way.
    behind: Vec<KeyEvent>,
    list_at: Option<Time>,
    /// Whether the list that was to follow the watch's beginning was begun.
    settled: bool,
}

impl Reader {
    /// Begins to read. `None`: the layout has no such records.
    pub fn open(
        calls: &mut Calls,
        layout: &Layout,
        ways: Ways,
        id: DirectoryId,
        scope: &Scope,
    ) -> Option<Self> {
        let mut keys = layout.ranges(scope).into_iter().next()?;
        if ways.bare_prefix {
            keys = KeyRange::prefix(keys.key.strip_suffix(b"/").unwrap_or(&keys.key).to_vec());
        }
        let watch = Watcher::new(keys.clone(), Why::Watch(id), ways.broken);
        let mut reader = Self {
            id,
            ways,
            keys,
            view: View::new(id),
            watch,
            watches: false,
            signals: 0,
            behind: Vec::new(),
            list_at: None,
            settled: false,
        };
        match ways.begin {
            Begin::ListThenNext | Begin::ListThenNowThenList => reader.list(calls),
            Begin::NowThenList => reader.watch(calls, Revision::ZERO),
        }
        Some(reader)
    }

    pub fn close(&self, calls: &mut Calls) {
        let id = self.id;
        calls.drop_all(|why| why == Why::List(id) || why == Why::Watch(id));
    }

    pub fn on_timer(&mut self, calls: &mut Calls) {
        self.watch.on_timer(calls);
        if self.list_at.is_some_and(|at| at <= calls.now()) {
            self.list(calls);
        }
    }

    pub fn on_list(&mut self, calls: &mut Calls, layout: &Layout, reply: Reply) {
        if let Reply::Range(reply) = reply {
            let told = self.view.list(layout, &reply.kvs, reply.header.revision);
            told.into_iter().for_each(|event| calls.tell(event));
            if !self.watches {
                let next = match self.ways.begin {
                    Begin::ListThenNext => reply.header.revision.next(),
                    Begin::ListThenNowThenList | Begin::NowThenList => Revision::ZERO,
                };
                self.watch(calls, next);
            }
        } else {
            match self.ways.on_event {
                // Until the watch tells something again.
                OnEvent::ListAgain if self.watches => {}
                OnEvent::ListAgain | OnEvent::Apply => {
                    self.list_at = Some(calls.now() + LIST_AGAIN);
                    return;
                }
            }
        }
        let behind = std::mem::take(&mut self.behind);
        self.apply(calls, layout, &behind);
        if self.signals > 0 {
            self.signals -= 1;
            self.list(calls);
        }
    }

    pub fn on_watch(&mut self, calls: &mut Calls, layout: &Layout, reply: Reply) {
        match self.watch.on_reply(calls, reply) {
            Some(News::Created) if !self.settled => {
                self.settled = true;
                match self.ways.begin {
                    Begin::ListThenNext => {}
                    Begin::ListThenNowThenList | Begin::NowThenList => self.signal(calls),
                }
            }
            Some(News::Events(events)) => match self.ways.on_event {
                OnEvent::ListAgain => self.signal(calls),
                OnEvent::Apply if self.lists(calls) => self.behind.extend(events),
                OnEvent::Apply => self.apply(calls, layout, &events),
            },
            Some(News::Compacted(oldest)) => match self.ways.compacted {
                Compacted::Deaf => {}
                Compacted::AtOldest => self.watch.open(calls, oldest),
                Compacted::FromNow { pause } => self.watch.open_later(calls, pause),
            },
            Some(News::Ended) => match self.ways.compacted {
                Compacted::Deaf | Compacted::AtOldest => {}
                Compacted::FromNow { pause } => self.watch.open_later(calls, pause),
            },
            Some(News::Created) | None => {}
        }
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.watch.next_timeout().into_iter().chain(self.list_at).min()
    }

    fn watch(&mut self, calls: &mut Calls, next: Revision) {
        self.watches = true;
        self.watch.open(calls, next);
    }

    /// One list more, after those that are under way.
    fn signal(&mut self, calls: &mut Calls) {
        if self.lists(calls) {
            self.signals += 1;
        } else {
            self.list(calls);
        }
    }

    fn list(&mut self, calls: &mut Calls) {
        self.list_at = None;
        let serializable = self.ways.stale_lists;
        let range = Range { serializable, ..Range::of(self.keys.clone()) };
        calls.ask(Why::List(self.id), Request::Range(range));
    }

    fn lists(&self, calls: &Calls) -> bool {
        self.list_at.is_some() || calls.has(Why::List(self.id))
    }

    fn apply(&mut self, calls: &mut Calls, layout: &Layout, events: &[KeyEvent]) {
        let told = self.view.apply(layout, events);
        told.into_iter().for_each(|event| calls.tell(event));
    }
}

/// How long a reader waits after a list that failed.
const LIST_AGAIN: Duration = Duration::from_secs(1);
