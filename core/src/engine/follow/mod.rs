//! Tells every change of a key range, once, in the order of revisions, with what was there before.
//!
//! ```text
//!  follow
//!   ▼
//! Anchoring ── found ──▶ Watching ── gap, lagged ───────────────┐
//!   │ gap                  ▲  ▲                                 │
//!   ▼                      │  └── Waiting ◀── whatever else     │
//! Waiting ──▶ Listing ── whole list told          goes wrong    │
//!   ▲  └────▶ Draining (until the reader has taken all) ──▶ Listing
//!   └───────────────────────────────────────────────────────────┘
//! ```
//!
//! **Anchor.** It begins now, or at a revision that the reader names: a read of the range's newest
//! record there says where the *cursor* is, and whether the store has that revision. All up to the
//! cursor was told; a watch goes on from there (see [`Watching`]).
//!
//! **Window.** What was told and not acknowledged is bounded, in events and in bytes. When the
//! next whole revision has no room, the watch ends, and after what is told already the reader is
//! told that it lagged. Once it has taken everything, all is listed, at one revision, and changes
//! go on from there. So a slow reader costs a bounded amount of memory, and loses changes only
//! where it is told so.
//!
//! **Gaps.** History that is compacted, another store, a store that has something else than was
//! told, and answers without sense are declared likewise and end in a whole list.
//!
//! **Check and probe** of the watch do without a copy: the number of records and fingerprints of the
//! newest ones are known at the cursor ([`Known`]). What came and went again while a watch told
//! nothing leaves no trace in them; but the cursor stays before it, so the next watch tells it, or
//! its loss is declared.
//!
//! After the newest record was deleted the check asks for the deletion itself as well: the record
//! that was there before it, and was not after it. Where that history is compacted, the other
//! records have to do. If none of them is known, nothing shows that the store is still the same, and
//! a gap is declared. To make that seldom, the next probe is a read at once, which tells the newest
//! ones; what is read so is believed as the stream is, which is still open.
//!
//! A store that was restored from a backup and has overtaken the cursor passes all the same if it
//! has as many records there, the same newest 128, and the same deletion of what was newer, and
//! differs in older records only: other ones were deleted. Only a whole list would show that.
//!
//! **A list's end** is told when the watch that goes on from there has passed its check. While the
//! reader took one page after the other the store may have become another one, and the pages fit as
//! little as the stores do.
//!
//! **Before a change.** The store looks it up when it tells the change, and has nothing to tell
//! where that revision is compacted (row W11): then it is missing, and the change is told.

mod known;
mod listing;
#[cfg(test)]
mod tests;
mod watching;
mod window;

use self::known::Known;
use self::listing::List;
use self::window::{Size, Window};
use super::cx::Cx;
use super::output::Event;
use super::stream::{End, Source, Watching, of_check};
use super::view::{Followed, Gap};
use super::wire::Owner;
use super::{FollowId, FollowSeq};
use crate::rng::Rng;
use crate::time::Time;
use crate::waist::{AttemptId, KeyRange, Range, RangeReply, Reply, Revision};

/// One follower of a key range.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Follow {
    id: FollowId,
    source: Source,
    /// All changes up to here were told, or declared missing; 0: not known yet.
    cursor: Revision,
    known: Known,
    window: Window,
    /// The last part of a list, told when a watch that goes on from there has passed its check.
    list_end: Option<(Size, Followed)>,
    /// The store is known to be another one than before, and that may not have been told.
    doubted: bool,
    state: State,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
enum State {
    /// Closed.
    Idle,
    /// Something failed; goes on at `retry_at`.
    Waiting { retry_at: Time, next: Next },
    /// A list is due, once the reader has taken all that was told. That is up to the reader, so
    /// there is no time limit; nothing is under way meanwhile.
    Draining,
    /// Asked what there is where it begins.
    Anchoring { attempt: AttemptId },
    /// A page is asked for.
    Listing { attempt: AttemptId, list: List },
    /// A page is here, and the reader takes it as it can: again without a time limit.
    Telling { list: List },
    /// Changes are told as they come.
    Watching(Watching),
}

/// What comes after a pause.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
enum Next {
    Anchor,
    List,
    Watch,
}

impl Follow {
    /// Follows `keys` from now on, or from the changes of revision `from` on.
    pub fn start(
        cx: &mut Cx<'_>,
        id: FollowId,
        keys: KeyRange,
        from: Option<Revision>,
        rng: Rng,
    ) -> Self {
        let page_limit = cx.tuning.page_limit.min(cx.tuning.follow_events);
        let mut follow = Self {
            id,
            source: Source::new(Owner::Follow(id), keys, page_limit, rng),
            // Nothing was ever written at the first revision, and 0 would mean now.
            cursor: from.map_or(Revision::ZERO, |from| Revision(from.0.saturating_sub(1).max(1))),
            known: Known::default(),
            window: Window::default(),
            list_end: None,
            doubted: false,
            state: State::Idle,
        };
        follow.state = follow.anchor(cx);
        follow
    }

    /// The reader has taken everything up to `seq`.
    pub fn acknowledge(&mut self, cx: &mut Cx<'_>, seq: FollowSeq) {
        self.window.acknowledge(seq);
        let state = std::mem::replace(&mut self.state, State::Idle);
        self.state = match state {
            State::Draining if self.window.is_empty() => self.list(cx),
            State::Telling { list } => self.tell_list(cx, list),
            State::Idle
            | State::Waiting { .. }
            | State::Draining
            | State::Anchoring { .. }
            | State::Listing { .. }
            | State::Watching(_) => state,
        };
    }

    /// An attempt of this follower was answered, or its stream said something.
    pub fn on_reply(&mut self, cx: &mut Cx<'_>, attempt: AttemptId, reply: Reply) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        self.state = match (state, reply) {
            (State::Anchoring { .. }, Reply::Range(reply)) => self.anchored(cx, &reply),
            (State::Anchoring { .. }, Reply::Failed(error)) => {
                let end = of_check(self, error);
                self.ended(cx, end, Next::Anchor)
            }
            (State::Listing { list, .. }, Reply::Range(page)) => self.listed(cx, list, &page),
            (State::Listing { .. }, Reply::Failed(error)) => self.list_failed(cx, &error),
            (State::Watching(watching), reply) => {
                let watching = watching.on_reply(cx, self, attempt, reply);
                self.watched(cx, watching)
            }
            // Nothing else is asked for, and no other answers get through.
            (state, _) => state,
        };
    }

    /// Does what is due: it has one timer, and that one is over.
    pub fn on_timer(&mut self, cx: &mut Cx<'_>) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        self.state = match state {
            State::Waiting { next, .. } => match next {
                Next::Anchor => self.anchor(cx),
                Next::List if self.window.is_empty() => self.list(cx),
                Next::List => State::Draining,
                Next::Watch => self.watch(cx),
            },
            State::Watching(watching) => {
                let watching = watching.on_timer(cx, self);
                self.watched(cx, watching)
            }
            State::Idle
            | State::Draining
            | State::Anchoring { .. }
            | State::Listing { .. }
            | State::Telling { .. } => state,
        };
    }

    /// The store has turned out to be another one. What came and went in it up to the cursor leaves no
    /// trace that a check would find, so the next one ends in a gap; unless that is told before.
    pub fn new_epoch(&mut self) {
        self.doubted = self.source.stand(self.cursor).is_some();
    }

    /// A login succeeded after one was refused: a long pause need not be sat out.
    pub fn let_in(&mut self, cx: &mut Cx<'_>) {
        if let State::Waiting { retry_at, .. } = &mut self.state {
            *retry_at = Source::soon(cx).min(*retry_at);
        }
    }

    /// Ends all that is under way; nothing follows.
    pub fn close(&mut self, cx: &mut Cx<'_>) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle | State::Waiting { .. } | State::Draining | State::Telling { .. } => {}
            State::Anchoring { attempt } | State::Listing { attempt, .. } => cx.cancel(attempt),
            State::Watching(watching) => watching.leave(cx),
        }
    }

    /// When to call [`on_timer`](Self::on_timer) if nothing else happens first. Where there is no
    /// such time, it is the reader's turn, or an attempt is under way that ends by itself.
    pub fn next_timeout(&self) -> Option<Time> {
        match &self.state {
            State::Waiting { retry_at, .. } => Some(*retry_at),
            State::Watching(watching) => watching.until(),
            State::Idle
            | State::Draining
            | State::Anchoring { .. }
            | State::Listing { .. }
            | State::Telling { .. } => None,
        }
    }

    /// Asks what there is where it begins.
    fn anchor(&self, cx: &mut Cx<'_>) -> State {
        let range = Range { revision: self.cursor, ..self.source.newest_records() };
        State::Anchoring { attempt: self.source.ask(cx, range) }
    }

    fn anchored(&mut self, cx: &mut Cx<'_>, reply: &RangeReply) -> State {
        if reply.header.revision < self.cursor.max(Revision(1)) {
            return self.again(cx, Next::Anchor);
        }
        if self.cursor == Revision::ZERO {
            self.cursor = reply.header.revision;
        }
        self.known.learn(reply);
        self.source.adopt(cx, &reply.header);
        self.tell(cx, Size::default(), Followed::Begun { revision: self.cursor });
        self.watch(cx)
    }

    /// Opens a watch at the cursor.
    fn watch(&mut self, cx: &mut Cx<'_>) -> State {
        State::Watching(Watching::open(cx, self))
    }

    fn watched(&mut self, cx: &mut Cx<'_>, watching: Result<Watching, End>) -> State {
        match watching {
            Ok(watching) => State::Watching(watching),
            Err(end) => self.ended(cx, end, Next::Watch),
        }
    }

    /// A watch, or the read where it begins, has ended. If continuity is not broken, `next` is
    /// tried again.
    fn ended(&mut self, cx: &mut Cx<'_>, end: End, next: Next) -> State {
        let missing = match end {
            End::Elsewhere => return self.again(cx, next),
            End::Failed(error) | End::Silent(error) => {
                return State::Waiting { retry_at: self.source.retry_at(cx, &error), next };
            }
            End::Gap(why) => {
                if why == Gap::NewEpoch {
                    // Told once: whatever answers the list is the store from now on.
                    self.source.forget();
                    self.doubted = false;
                }
                Followed::Gap { after: self.cursor, why }
            }
            End::Full => Followed::Lagged { after: self.cursor },
        };
        self.list_end = None;
        self.tell(cx, Size::default(), missing);
        self.again(cx, Next::List)
    }

    /// Tries `next` after a pause that grows with each failure.
    fn again(&mut self, cx: &mut Cx<'_>, next: Next) -> State {
        State::Waiting { retry_at: self.source.again_at(cx), next }
    }

    fn tell(&mut self, cx: &mut Cx<'_>, size: Size, what: Followed) {
        let seq = self.window.put(size);
        cx.event(Event::Followed { id: self.id, seq, what });
    }
}
