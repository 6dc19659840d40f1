use std::fmt;

use portolan_core::engine::{Command, FollowId, FollowSeq, Followed};
use portolan_core::waist::{Key, KeyRange, Revision};
use tokio::sync::mpsc;

use crate::driver::Message;
use crate::registry::Registry;

/// Every change of the keys below a prefix, once, in the order of revisions, with what was there
/// before. Made by [`Registry::follow`] and [`Registry::follow_from`]; dropping it ends it.
///
/// What it was told and has not been read is bounded by [`Tuning::follow_events`] and
/// [`Tuning::follow_bytes`]. A reader that is slower than that is told that it
/// [lagged](Followed::Lagged), and then what there is, at one revision; changes go on from there.
///
/// A store that was wiped, or restored from a backup, is told as a [gap](Followed::Gap), and then
/// what it has. It is known by its cluster, its raft term and its revision, and, where it has
/// overtaken these, by what it has at the revision that was told last: the number of records, the
/// newest one, and the deletion of what was newer still. One thing goes unseen, as only a whole list
/// would show it: a restored store that has overtaken and is the same in all that, though older
/// records differ, since other ones were deleted.
///
/// [`Tuning::follow_events`]: crate::Tuning::follow_events
/// [`Tuning::follow_bytes`]: crate::Tuning::follow_bytes
pub struct Follower {
    registry: Registry,
    id: FollowId,
    news: mpsc::UnboundedReceiver<(FollowSeq, Followed)>,
    /// Given out last, and acknowledged when more is asked for.
    taken: Option<FollowSeq>,
}

impl Follower {
    pub(crate) fn start(registry: &Registry, prefix: Key, from: Option<Revision>) -> Self {
        let id = FollowId(registry.next_id());
        // Bounded by the engine's window.
        let (send, news) = mpsc::unbounded_channel();
        registry.send(Message::Follow { id, keys: KeyRange::prefix(prefix), from, news: send });
        Self { registry: registry.clone(), id, news, taken: None }
    }

    /// Waits for what comes next. Asking for it says that what came before was dealt with. Never
    /// ends on errors: `None` once the registry was shut down and all was read. Cancel safe.
    pub async fn next(&mut self) -> Option<Followed> {
        if let Some(seq) = self.taken.take() {
            self.registry.command(Command::Acknowledge { id: self.id, seq });
        }
        let (seq, what) = self.news.recv().await?;
        self.taken = Some(seq);
        Some(what)
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("id", &self.id.0).finish_non_exhaustive()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.registry.command(Command::Unfollow { id: self.id });
    }
}
