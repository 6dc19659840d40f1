//! How far a watch was told, and what comes next for it.

use std::collections::BTreeSet;

use portolan_core::waist::{EventKind, KeyEvent, Revision, Watch, WatchFilter, WatchReply};
use portolan_memory::{Config, MemberView, Model};

use super::super::ledger::Past;
use super::super::rules::is_within;

/// How far a watch was told.
pub(super) struct Told {
    pub(super) watch: Watch,
    pub(super) start: Revision,
    /// The place in the log of the first change that it was not told of.
    pub(super) next: usize,
    pub(super) last: Revision,
    /// Revisions of the answer that goes on.
    pub(super) part: BTreeSet<Revision>,
    /// It is surely told of each revision as it comes.
    pub(super) is_in_step: bool,
    /// A compaction has ended it.
    pub(super) is_ended: bool,
    /// What a release makes of a negative start is not looked at.
    pub(super) is_odd: bool,
}

/// What is known beside the streams.
#[derive(Clone, Copy)]
pub(in super::super) struct Known<'a> {
    pub(in super::super) past: &'a [Past],
    pub(in super::super) model: &'a Model,
}

impl Known<'_> {
    pub(super) fn config(&self) -> &Config {
        self.model.config()
    }

    /// Row C2: whether a watch that is told from history may miss this.
    fn may_be_gone(&self, past: &Past) -> bool {
        let drops = self.config().quirks.compaction_drops_delete && past.kind == EventKind::Delete;
        (past.is_undone || drops) && self.model.compacted() >= Some(past.revision)
    }

    pub(super) fn member(&self, place: u16) -> MemberView {
        let mut members = self.model.members();
        members.find(|view| view.member.0 == place).expect("streams are at members that there are")
    }
}

impl Told {
    fn concerns(&self, past: &Past) -> bool {
        let drop = match past.kind {
            EventKind::Put => WatchFilter::NoPut,
            EventKind::Delete => WatchFilter::NoDelete,
        };
        let key = &self.watch.keys;
        let is_there = if key.key.is_empty() {
            // Row W5: an empty key means one zero byte; no key of ours is below that.
            let mut keys = key.clone();
            keys.key = (&[0][..]).into();
            is_within(&keys, &past.kv.key)
        } else {
            is_within(key, &past.kv.key)
        };
        is_there && past.revision >= self.start && !self.watch.filters.contains(&drop)
    }

    /// The first change up to there that it was not told of, and should have been.
    pub(super) fn untold<'a>(&mut self, known: Known<'a>, up_to: Revision) -> Option<&'a Past> {
        self.rest(known, up_to).find(|past| !known.may_be_gone(past))
    }

    /// Whether it was told of each change up to there. What is heard was said before what is known now:
    /// a change that may be gone may not have been yet.
    pub(super) fn has_all(&mut self, known: Known<'_>, up_to: Revision) -> bool {
        self.rest(known, up_to).next().is_none()
    }

    /// The changes up to there that it was not told of.
    fn rest<'a>(&mut self, known: Known<'a>, up_to: Revision) -> impl Iterator<Item = &'a Past> {
        while known.past.get(self.next).is_some_and(|past| !self.concerns(past)) {
            self.next += 1;
        }
        let rest = known.past.get(self.next..).unwrap_or_default().iter();
        let rest = rest.take_while(move |past| past.revision <= up_to);
        rest.filter(|past| self.concerns(past))
    }

    pub(super) fn hear(&mut self, event: &KeyEvent, known: Known<'_>, reply: &WatchReply) {
        loop {
            let Some(past) = known.past.get(self.next) else {
                panic!("W7: told of what has not happened, or again: {event:?} in {reply:?}")
            };
            self.next += 1;
            if !self.concerns(past) {
                continue;
            }
            if (past.kind, &past.kv) == (event.kind, &event.kv) {
                self.check_prev(event, past, known);
                self.last = past.revision;
                self.part.insert(past.revision);
                return;
            }
            let (key, at) = (&past.kv.key, past.revision);
            assert!(known.may_be_gone(past), "W7: {key} at {at} is next, not {event:?}: {reply:?}");
        }
    }

    /// Row W11.
    fn check_prev(&self, event: &KeyEvent, past: &Past, known: Known<'_>) {
        let is_creation =
            event.kind == EventKind::Put && event.kv.create_revision == event.kv.mod_revision;
        let wanted = past.prev.as_ref().filter(|_| self.watch.prev_kv && !is_creation);
        let is_forgotten = event.prev.is_none() && known.model.compacted() >= Some(past.revision);
        assert!(
            event.prev.as_ref() == wanted || is_forgotten,
            "W11: {wanted:?} was there before {event:?}"
        );
    }
}
