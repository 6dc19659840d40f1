//! Tells every change of a key range, once, in the order of revisions, with what was there before.
//!
//! ```text
//!  follow
//!   ▼
//! Anchoring ── found ──▶ Opening ── created ──▶ Checking ── the same ──▶ Following
//!   │ gap                  ▲  ▲                                            │ gap, lagged
//!   ▼                      │  └── Waiting ◀── whatever else goes wrong     │
//! Waiting ──▶ Listing ── whole list told                                   │
//!   ▲  └────▶ Draining (until the reader has taken all) ──▶ Listing        │
//!   └──────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! **Anchor.** It begins now, or at a revision that the reader names: a read of the range's newest
//! record there says where the *cursor* is, and whether the store has that revision. All up to the
//! cursor was told. It moves with whole revisions that are told, and with progress answers of
//! servers known to keep their promise, never by the header of an answer with events (row W8 of
//! `docs/etcd.md`). A watch begins at the cursor itself and what it repeats is left out, for the
//! reasons that the mirror gives.
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
//! **Check and probe** are the mirror's, without a copy: the number of records and the newest one
//! are known at the cursor ([`Known`]). What came and went again while a watch told nothing leaves
//! no trace in them; but the cursor stays before it, so the next watch tells it, or its loss is
//! declared.
//!
//! After the newest record was deleted it is not known which one is the newest now. So the check
//! asks for the deletion itself as well: the record that was there before it, and was not after it.
//! Where that history is compacted, nothing shows that the store is still the same, and a gap is
//! declared. To make that seldom, the next probe is a read at once, which tells the newest record;
//! what is read so is believed as the stream is, which is still open.
//!
//! A store that was restored from a backup and has overtaken the cursor passes all the same if it
//! has as many records there, the same newest one, and the same deletion of what was newer, and
//! differs in older records only: other ones were deleted. Only a whole list would show that.
//!
//! **Before a change.** The store looks it up when it tells the change, and has nothing to tell
//! where that revision is compacted (row W11): then it is missing, and the change is told.

mod known;
mod listing;
#[cfg(test)]
mod tests;
mod watching;
mod window;

use self::known::{Known, newest_two};
use self::listing::List;
use self::window::{Size, Window};
use super::cx::Cx;
use super::epoch::Stand;
use super::output::Event;
use super::retry::Backoff;
use super::stream::{Feed, Probe};
use super::view::{Followed, Gap};
use super::wire::Owner;
use super::{FollowId, FollowSeq};
use crate::rng::Rng;
use crate::time::Time;
use crate::waist::{
    AttemptId, Header, KeyRange, Range, RangeReply, Reply, Request, Revision, StoreError, TxnReply,
    WatchReply,
};

/// One follower of a key range.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Follow {
    id: FollowId,
    keys: KeyRange,
    rng: Rng,
    /// All changes up to here were told, or declared missing; 0: not known yet.
    cursor: Revision,
    known: Known,
    window: Window,
    /// The store's cluster and term, from answers that needed a leader.
    cluster_id: u64,
    raft_term: u64,
    backoff: Backoff,
    /// Records in a page; it shrinks when answers are too large.
    page_limit: u32,
    /// The cursor at which the store was last found to have more; 0: none.
    differed_at: Revision,
    /// Whether the read that settles a probe was made without a suspicion, only to learn which
    /// record is the newest.
    learning: bool,
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
    /// A watch is asked for; another member is tried if it is not confirmed by `until`.
    Opening { attempt: AttemptId, until: Time },
    /// The watch is confirmed; its answers are held back until `check` is answered.
    Checking { feed: Feed, check: AttemptId, held: Vec<WatchReply> },
    /// Changes are told as they come.
    Following { feed: Feed, probe: Probe },
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
        let mut follow = Self {
            id,
            keys,
            rng,
            // Nothing was ever written at the first revision, and 0 would mean now.
            cursor: from.map_or(Revision::ZERO, |from| Revision(from.0.saturating_sub(1).max(1))),
            known: Known::default(),
            window: Window::default(),
            cluster_id: 0,
            raft_term: 0,
            backoff: Backoff::default(),
            page_limit: cx.tuning.page_limit.min(cx.tuning.follow_events).max(1),
            differed_at: Revision::ZERO,
            learning: false,
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
            | State::Opening { .. }
            | State::Checking { .. }
            | State::Following { .. } => state,
        };
    }

    /// An attempt of this follower was answered, or its stream said something.
    pub fn on_reply(&mut self, cx: &mut Cx<'_>, attempt: AttemptId, reply: Reply) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        self.state = match reply {
            Reply::Range(reply) => self.on_range(cx, state, attempt, reply),
            Reply::Txn(reply) => self.on_txn(cx, state, attempt, reply),
            Reply::Watch(reply) if state.stream() == Some(attempt) => {
                self.watched(cx, state, reply)
            }
            Reply::Status(reply) => watching::on_status(state, attempt, &reply),
            Reply::Failed(error) => self.on_failure(cx, state, attempt, &error),
            // Nothing else is asked for, and no other answers get through.
            Reply::Watch(_)
            | Reply::Put(_)
            | Reply::Delete(_)
            | Reply::Compact(_)
            | Reply::Grant(_)
            | Reply::Revoke(_)
            | Reply::KeepAlive(_)
            | Reply::TimeToLive(_)
            | Reply::Leases(_)
            | Reply::Members(_)
            | Reply::Authenticated
            | Reply::CredentialsChanged => state,
        };
    }

    /// Does what is due by now.
    pub fn on_timer(&mut self, cx: &mut Cx<'_>) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        self.state = match state {
            State::Waiting { retry_at, next } if retry_at <= cx.now => match next {
                Next::Anchor => self.anchor(cx),
                Next::List if self.window.is_empty() => self.list(cx),
                Next::List => State::Draining,
                Next::Watch => self.watch(cx),
            },
            State::Opening { attempt, until } if until <= cx.now => {
                cx.blame_stream(attempt);
                state.leave(cx);
                self.again(cx, Next::Watch)
            }
            State::Following { feed, probe: Probe::Quiet { probe_at } } if probe_at <= cx.now => {
                self.probe(cx, feed)
            }
            State::Following { feed, probe: Probe::Asked { until } } if until <= cx.now => {
                self.learning = false;
                self.settle(cx, feed)
            }
            State::Idle
            | State::Waiting { .. }
            | State::Draining
            | State::Anchoring { .. }
            | State::Listing { .. }
            | State::Telling { .. }
            | State::Opening { .. }
            | State::Checking { .. }
            | State::Following { .. } => state,
        };
    }

    /// A login succeeded after one was refused: a long pause need not be sat out.
    pub fn let_in(&mut self, cx: &mut Cx<'_>) {
        if let State::Waiting { retry_at, .. } = &mut self.state {
            *retry_at =
                cx.wire.backoff_at(cx.now, cx.tuning, &mut Backoff::default()).min(*retry_at);
        }
    }

    /// Ends all that is under way; nothing follows.
    pub fn close(&mut self, cx: &mut Cx<'_>) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        state.leave(cx);
    }

    /// When to call [`on_timer`](Self::on_timer) if nothing else happens first.
    pub fn next_timeout(&self) -> Option<Time> {
        self.state.until()
    }

    /// Asks what there is where it begins.
    fn anchor(&self, cx: &mut Cx<'_>) -> State {
        let range = Range { revision: self.cursor, ..newest_two(&self.keys) };
        State::Anchoring { attempt: cx.send(self.owner(), Request::Range(range)) }
    }

    fn anchored(&mut self, cx: &mut Cx<'_>, reply: &RangeReply) -> State {
        if reply.header.revision < self.cursor.max(Revision(1)) {
            return self.again(cx, Next::Anchor);
        }
        if self.cursor == Revision::ZERO {
            self.cursor = reply.header.revision;
        }
        self.known = Known::default();
        self.known.learn(reply);
        self.adopt(&reply.header);
        self.tell(cx, Size::default(), Followed::Begun { revision: self.cursor });
        self.watch(cx)
    }

    /// A read at the cursor failed.
    fn read_failed(&mut self, cx: &mut Cx<'_>, error: &StoreError, next: Next) -> State {
        if *error == StoreError::Compacted {
            self.gap(cx, Gap::Compacted)
        } else if *error == StoreError::FutureRevision {
            // Linearizable, so no member lags: the store never had that revision, or has lost it.
            self.gap(cx, Gap::NewEpoch)
        } else {
            self.retry(cx, error, next)
        }
    }

    fn on_range(
        &mut self,
        cx: &mut Cx<'_>,
        state: State,
        attempt: AttemptId,
        reply: RangeReply,
    ) -> State {
        match state {
            State::Anchoring { attempt: asked } if asked == attempt => self.anchored(cx, &reply),
            State::Listing { attempt: asked, list } if asked == attempt => {
                self.listed(cx, list, reply)
            }
            State::Checking { feed, check, held } if check == attempt => {
                self.checked(cx, feed, held, &reply)
            }
            State::Following { feed, probe: Probe::Settling { attempt: asked } }
                if asked == attempt =>
            {
                self.settled(cx, feed, &reply)
            }
            State::Idle
            | State::Waiting { .. }
            | State::Draining
            | State::Anchoring { .. }
            | State::Listing { .. }
            | State::Telling { .. }
            | State::Opening { .. }
            | State::Checking { .. }
            | State::Following { .. } => state,
        }
    }

    fn on_txn(
        &mut self,
        cx: &mut Cx<'_>,
        state: State,
        attempt: AttemptId,
        reply: TxnReply,
    ) -> State {
        match state {
            State::Checking { feed, check, held } if check == attempt => {
                match self.known.answered(reply, self.cursor) {
                    Some(range) => self.checked(cx, feed, held, &range),
                    None => self.is_another(cx, &feed),
                }
            }
            State::Idle
            | State::Waiting { .. }
            | State::Draining
            | State::Anchoring { .. }
            | State::Listing { .. }
            | State::Telling { .. }
            | State::Opening { .. }
            | State::Checking { .. }
            | State::Following { .. } => state,
        }
    }

    fn on_failure(
        &mut self,
        cx: &mut Cx<'_>,
        state: State,
        attempt: AttemptId,
        error: &StoreError,
    ) -> State {
        match state {
            State::Anchoring { attempt: asked } if asked == attempt => {
                self.read_failed(cx, error, Next::Anchor)
            }
            State::Listing { attempt: asked, .. } if asked == attempt => {
                self.list_failed(cx, error)
            }
            State::Checking { feed, check, held } if check == attempt => {
                self.check_failed(cx, feed, held, error)
            }
            State::Following { probe: Probe::Settling { attempt: asked }, .. }
                if asked == attempt =>
            {
                state.leave(cx);
                self.retry(cx, error, Next::Watch)
            }
            State::Following { mut feed, probe } if feed.status == Some(attempt) => {
                feed.status = None;
                State::Following { feed, probe }
            }
            state if state.stream() == Some(attempt) => {
                state.leave(cx);
                self.stream_failed(cx, error)
            }
            State::Idle
            | State::Waiting { .. }
            | State::Draining
            | State::Anchoring { .. }
            | State::Listing { .. }
            | State::Telling { .. }
            | State::Opening { .. }
            | State::Checking { .. }
            | State::Following { .. } => state,
        }
    }

    /// Tries `next` again, after a pause that grows with each failure. All that goes wrong ends
    /// here, so nothing spins.
    fn again(&mut self, cx: &mut Cx<'_>, next: Next) -> State {
        let retry_at = cx.wire.backoff_at(cx.now, cx.tuning, &mut self.backoff);
        State::Waiting { retry_at, next }
    }

    /// As [`again`](Self::again), and slowly where only an operator can help.
    fn retry(&mut self, cx: &mut Cx<'_>, error: &StoreError, next: Next) -> State {
        let retry_at = cx.wire.backoff_after(error, cx.now, cx.tuning, &mut self.backoff);
        State::Waiting { retry_at, next }
    }

    /// Continuity is broken, which the reader is told: a whole list comes next.
    fn gap(&mut self, cx: &mut Cx<'_>, why: Gap) -> State {
        self.tell(cx, Size::default(), Followed::Gap { after: self.cursor, why });
        if why == Gap::NewEpoch {
            // Told once: whatever answers the list is the store from now on.
            self.cluster_id = 0;
        }
        self.again(cx, Next::List)
    }

    fn tell(&mut self, cx: &mut Cx<'_>, size: Size, what: Followed) {
        let seq = self.window.put(size);
        cx.event(Event::Followed { id: self.id, seq, what });
    }

    /// Whether an answer shows that the store is another one, or has lost what it had.
    fn is_other_store(&self, header: &Header) -> bool {
        let &Self { cluster_id, raft_term, cursor, .. } = self;
        // Before the first anchor nothing is known of it.
        cluster_id != 0 && !Stand { cluster_id, raft_term, revision: cursor }.allows(header)
    }

    /// Remembers the store by an answer that needed a leader.
    fn adopt(&mut self, header: &Header) {
        self.cluster_id = header.cluster_id;
        self.raft_term = header.raft_term;
    }

    fn owner(&self) -> Owner {
        Owner::Follow(self.id)
    }
}

impl State {
    /// The open stream.
    fn stream(&self) -> Option<AttemptId> {
        match self {
            Self::Opening { attempt, .. } => Some(*attempt),
            Self::Checking { feed, .. } | Self::Following { feed, .. } => Some(feed.attempt),
            Self::Idle
            | Self::Waiting { .. }
            | Self::Draining
            | Self::Anchoring { .. }
            | Self::Listing { .. }
            | Self::Telling { .. } => None,
        }
    }

    /// When its time is over. Where there is none, it is the reader's turn, or an attempt is under
    /// way that ends by itself.
    fn until(&self) -> Option<Time> {
        match self {
            Self::Waiting { retry_at, .. } => Some(*retry_at),
            Self::Opening { until, .. } => Some(*until),
            Self::Following { probe: Probe::Quiet { probe_at }, .. } => Some(*probe_at),
            Self::Following { probe: Probe::Asked { until }, .. } => Some(*until),
            Self::Idle
            | Self::Draining
            | Self::Anchoring { .. }
            | Self::Listing { .. }
            | Self::Telling { .. }
            | Self::Checking { .. }
            | Self::Following { probe: Probe::Settling { .. }, .. } => None,
        }
    }

    /// Ends all that is under way.
    fn leave(self, cx: &mut Cx<'_>) {
        match self {
            Self::Idle | Self::Waiting { .. } | Self::Draining | Self::Telling { .. } => {}
            Self::Anchoring { attempt }
            | Self::Listing { attempt, .. }
            | Self::Opening { attempt, .. } => cx.cancel(attempt),
            Self::Checking { feed, check, .. } => {
                cx.cancel(check);
                feed.end(cx);
            }
            Self::Following { feed, probe } => {
                if let Probe::Settling { attempt } = probe {
                    cx.cancel(attempt);
                }
                feed.end(cx);
            }
        }
    }
}
