//! How much may be said on a stream that its carrier does not take.
//!
//! ```text
//!           what is not taken yet reaches the limit
//! has room ─────────────────────────────────────────→ full: whoever there is something to tell
//!     ↑                                                │     waits, in order of what it waits for
//!     └────────────────────────────────────────────────┘
//!        half of the limit is taken: those who wait are served from history, until it is full again
//! ```
//! etcd does likewise: a watcher whose channel is full becomes a victim, and is served from history
//! later (`server/storage/mvcc/watchable_store.go`). It counts answers where this counts bytes.

use std::collections::BTreeSet;

use portolan_core::waist::{Revision, WatchReply};

use super::{Said, Scene, StreamId, Watches, watcher_mut};
use crate::{Config, size};

/// What a stream has said and its carrier has not taken.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(super) struct Flow {
    /// Not taken yet, in bytes.
    untaken: u64,
    is_full: bool,
    /// Watchers that wait for room, by the first revision that each was not told of: who has waited
    /// longest is first. Without any limit, and of a stream with room, there are none.
    held: BTreeSet<(Revision, i64)>,
}

impl Flow {
    /// Says something, whether there is room or not.
    pub(super) fn say(
        &mut self,
        scene: Scene<'_>,
        id: StreamId,
        reply: WatchReply,
        said: &mut Said,
    ) {
        if let Some(limit) = scene.config.limits.stream_bytes {
            self.untaken += size::watch_weight(&reply);
            self.is_full |= self.untaken >= limit;
        }
        said.push((id, reply));
    }

    /// Whether no event is told before some of what was said is taken.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// How many bytes there is room for; `None`: any number.
    pub(super) fn room(&self, config: &Config) -> Option<u64> {
        config.limits.stream_bytes.map(|limit| limit.saturating_sub(self.untaken))
    }

    /// A watcher waits for room, to be told from `next` on.
    pub(super) fn hold(&mut self, next: Revision, number: i64) {
        self.held.insert((next, number));
    }

    /// A watcher does not wait any more.
    pub(super) fn forget(&mut self, next: Revision, number: i64) {
        self.held.remove(&(next, number));
    }
}

impl Watches {
    /// The carrier has taken `bytes` of what was said on a stream.
    pub(crate) fn taken(&mut self, scene: Scene<'_>, id: StreamId, bytes: u64, said: &mut Said) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let flow = &mut stream.flow;
        flow.untaken = flow.untaken.saturating_sub(bytes);
        // Not at every byte: then each answer would be a short one.
        if scene.config.limits.stream_bytes.is_some_and(|limit| flow.untaken > limit / 2) {
            return;
        }
        flow.is_full = false;
        while let Some(number) = self.next_held(id) {
            if self.serve(scene, (id, number), said) {
                let (watcher, flow) = watcher_mut(&mut self.streams, (id, number));
                flow.hold(watcher.next, number);
            }
        }
        self.pay_progress(scene, said);
    }

    /// Who waits longest on a stream that has room.
    fn next_held(&mut self, id: StreamId) -> Option<i64> {
        let flow = &mut self.streams.get_mut(&id)?.flow;
        if flow.is_full { None } else { flow.held.pop_first().map(|(_, number)| number) }
    }
}
