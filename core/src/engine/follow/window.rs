use std::collections::VecDeque;

use crate::engine::FollowSeq;
use crate::tuning::Tuning;
use crate::waist::{KeyEvent, KeyValue};

/// What was told and not acknowledged.
///
/// It never holds more events or bytes than the tuning allows, but for something that cannot be
/// divided: a whole revision, or one record, that is larger than the window has it to itself.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(super) struct Window {
    last: FollowSeq,
    open: VecDeque<(FollowSeq, Size)>,
    held: Size,
}

/// How much of a window something takes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash)]
pub(super) struct Size {
    /// Changes or records.
    pub events: usize,
    /// Of keys and values, those before a change included.
    pub bytes: usize,
}

impl Size {
    pub fn of_event(event: &KeyEvent) -> Self {
        let before = event.prev.as_ref().map_or(0, bytes);
        Self { events: 1, bytes: bytes(&event.kv).saturating_add(before) }
    }

    pub fn of_record(kv: &KeyValue) -> Self {
        Self { events: 1, bytes: bytes(kv) }
    }

    pub fn and(self, other: Self) -> Self {
        Self {
            events: self.events.saturating_add(other.events),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    fn fits(self, tuning: &Tuning) -> bool {
        let most = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
        self.events <= most(tuning.follow_events) && self.bytes <= most(tuning.follow_bytes)
    }
}

impl Window {
    /// Whether there is room for `more`, which cannot be divided, after `some` that is about to be
    /// told.
    pub fn takes(&self, tuning: &Tuning, some: Size, more: Size) -> bool {
        let before = self.held.and(some);
        before.events == 0 || before.and(more).fits(tuning)
    }

    /// Takes something in, under the number that is returned.
    pub fn put(&mut self, size: Size) -> FollowSeq {
        self.last = FollowSeq(self.last.0 + 1);
        self.open.push_back((self.last, size));
        self.held = self.held.and(size);
        self.last
    }

    /// All up to `seq` was taken by the reader.
    pub fn acknowledge(&mut self, seq: FollowSeq) {
        while let Some(&(_, size)) = self.open.front().filter(|(told, _)| *told <= seq) {
            self.open.pop_front();
            self.held.events = self.held.events.saturating_sub(size.events);
            self.held.bytes = self.held.bytes.saturating_sub(size.bytes);
        }
    }

    /// Whether the reader has taken all.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

fn bytes(kv: &KeyValue) -> usize {
    kv.key.len().saturating_add(kv.value.len())
}
