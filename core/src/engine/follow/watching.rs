use super::Follow;
use super::window::Size;
use crate::engine::cx::Cx;
use crate::engine::stream::{Source, Watcher, newest};
use crate::engine::view::{Followed, Gap};
use crate::waist::{KeyEvent, Range, RangeReply, Reply, Request, Revision, Watch};

impl Watcher for Follow {
    fn source(&mut self) -> &mut Source {
        &mut self.source
    }

    fn cursor(&self) -> Revision {
        self.cursor
    }

    fn wants(&self) -> Watch {
        let watch = Watch::of(self.source.keys.clone(), self.cursor);
        Watch { prev_kv: true, progress: true, fragment: true, ..watch }
    }

    fn question(&self) -> Request {
        self.known.question(self.source.newest_records(), self.cursor)
    }

    fn check(&mut self, answer: Reply) -> Result<(), Gap> {
        if self.doubted {
            return Err(Gap::NewEpoch);
        }
        let answer = self.known.answered(answer).ok_or(Gap::NewEpoch)?;
        if !self.known.is_as(&answer) {
            return Err(Gap::NewEpoch);
        }
        if !self.known.is_enough() {
            return Err(Gap::Compacted);
        }
        self.known.learn(&answer);
        Ok(())
    }

    /// Perhaps what was before the deletion is compacted, and not the cursor.
    fn asks_less(&mut self) -> bool {
        self.known.forget_gone()
    }

    fn newest(&self) -> Range {
        match self.known.is_whole() {
            true => Range { keys_only: true, ..newest(&self.source.keys) },
            false => self.source.newest_records(),
        }
    }

    fn is_told_all(&mut self, answer: &RangeReply) -> bool {
        let told = self.known.is_as_new_as(answer);
        if told && !self.known.is_whole() {
            // As many records as at the cursor, none of them newer: those of the cursor.
            self.known.learn(answer);
        }
        told
    }

    fn is_curious(&self) -> bool {
        !self.known.is_whole()
    }

    /// The first time after a list: the list was of this store, to its end.
    fn confirm(&mut self, cx: &mut Cx<'_>) {
        if let Some((size, end)) = self.list_end.take() {
            self.tell(cx, size, end);
        }
    }

    fn advance(&mut self, to: Revision) {
        self.cursor = to;
    }

    /// Tells whole revisions, as many as the reader has room for.
    fn absorb(&mut self, cx: &mut Cx<'_>, mut events: Vec<KeyEvent>) -> bool {
        let (mut size, mut told) = (Size::default(), 0);
        let mut room = true;
        while room && told < events.len() {
            let revision = events[told].kv.mod_revision;
            let rest = &events[told..];
            let count = rest.partition_point(|event| event.kv.mod_revision == revision);
            let whole = rest[..count].iter().map(Size::of_event).fold(Size::default(), Size::and);
            room = self.window.takes(cx.tuning, size, whole);
            if room {
                self.known.apply(&rest[..count]);
                self.cursor = revision;
                size = size.and(whole);
                told += count;
            }
        }
        events.truncate(told);
        if !events.is_empty() {
            self.tell(cx, size, Followed::Changes { events });
        }
        room
    }
}
