//! Keeps a local copy of a key range that is always the store's content at some revision.
//!
//! ```text
//!  open
//!   ▼
//! Listing ── whole ──▶ Opening ── created ──▶ Checking ── the same ──▶ Following
//!   ▲                    ▲
//!   └───── Waiting ──────┘   ◀── whatever goes wrong, in every state
//! ```
//!
//! `Waiting` says what comes next: a list where continuity is broken, else a watch.
//!
//! **List.** In pages, all at the revision of the first; then a watch.
//! The *cursor* is the copy's revision: that of the list, of the last event, or of a progress
//! answer of a server that is known to mean it. The headers of event answers are ahead of their
//! events (row W8 of `docs/etcd.md`) and never become the cursor.
//!
//! A watch begins at the cursor itself, and what it tells again is left out. From the revision
//! after, it would not always be told of a delete there: servers before 3.4.36 and 3.5.18 forget
//! one that stands exactly where they compact, and a watch that begins there is not cancelled
//! (row C2). From the cursor on it is, and where they compact at the cursor the copy has the
//! delete already. Besides, newer servers answer no probe of a watch that begins in the future
//! (row W13).
//!
//! **Check.** A watch says nothing when the store behind it is another one by now: a wiped store
//! may have the same cluster id (row R8) and have overtaken the cursor. So each new watch's events
//! are held back until a linearizable read *at the cursor* has shown the copy's own count and
//! newest record. If not, or if cluster, raft term or revision cannot be the same store's, a new
//! epoch begins: all is listed anew. A member that merely lags (row W18) passes, since the read
//! does not depend on it. It does not see through everything: a store restored from a backup that
//! differs by nothing but deletions may have the same count and newest record. And it costs the
//! store a walk over the range, though nothing on the wire.
//!
//! **Probe.** A quiet watch is asked for its progress. Not every server and no proxy answers, so
//! silence is only a suspicion, settled by a linearizable read of count and newest record: as the
//! copy's, and the watch is fine; else another one is opened from the cursor, elsewhere.
//!
//! An error never changes the content, only its freshness: live as long as the store confirmed a
//! revision at or above the cursor no longer ago than `probe_after + probe_timeout`; stale beyond
//! that, and as soon as continuity is known to be broken.
//!
//! **Audit.** A watch may lose an event, by an error of the server's or of something on the way, and
//! probes would not notice: progress says where the store is, not what it told. So a followed copy
//! is held against a whole list now and then. The list is read at the copy's own cursor, so that
//! nothing that is merely new differs. If anything does, all is listed anew, and told as `Audited`.
//!
//! **Guard.** What vanishes with most of its group is kept apart, beside the copy: see `guard`.
//!
//! All layouts keep a scope in one range or in none. Of several ranges only the first would be
//! mirrored. A scope without a range is listed and empty at once, and live for ever.

mod audit;
mod guard;
mod listing;
mod replica;
#[cfg(test)]
mod tests;
mod watching;

use self::guard::Guard;
use self::listing::List;
use self::replica::{Delta, Replica};
use self::watching::Stream;
use super::DirectoryId;
use super::cx::Cx;
use super::epoch::Stand;
use super::output::Event;
use super::retry::Backoff;
use super::stream::Probe;
use super::view::{Freshness, Gap, GuardNews, Snapshot, Step, StepCause};
use super::wire::Owner;
use crate::layout::Scope;
use crate::rng::Rng;
use crate::time::Time;
use crate::waist::{
    AttemptId, Header, Key, KeyRange, RangeReply, Reply, Revision, StatusReply, StoreError,
    WatchReply,
};

/// One directory: a copy of what its scope covers, and the machine that keeps it.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Mirror {
    id: DirectoryId,
    keys: KeyRange,
    rng: Rng,
    replica: Replica,
    guard: Guard,
    /// The freshness that the application knows.
    told: Freshness,
    /// When the store last confirmed a revision at or above the cursor, and until when that makes
    /// the copy live.
    confirmed_at: Time,
    live_until: Time,
    /// The store's cluster and term, from answers that needed a leader.
    cluster_id: u64,
    raft_term: u64,
    backoff: Backoff,
    /// Records in a page; it shrinks when answers are too large.
    page_limit: u32,
    /// The cursor at which the store was last found to have more; 0: none.
    differed_at: Revision,
    /// When a copy that follows the store is to be held against a list of it.
    audit_at: Time,
    audit_rng: Rng,
    state: State,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
enum State {
    /// The scope has no keys, or the directory is closed.
    Idle,
    /// Something failed; goes on at `retry_at`.
    Waiting { retry_at: Time, next: Next },
    /// A page is asked for.
    Listing { attempt: AttemptId, list: List },
    /// A watch is asked for; another member is tried if it is not confirmed by `until`.
    Opening { attempt: AttemptId, until: Time },
    /// The watch is confirmed; its answers are held back until `check` is answered.
    Checking { stream: Stream, check: AttemptId, held: Vec<WatchReply> },
    /// The copy follows the store.
    Following { stream: Stream, probe: Probe },
}

/// What comes after a pause.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
enum Next {
    List(StepCause),
    Watch,
}

impl Mirror {
    pub fn open(cx: &mut Cx<'_>, id: DirectoryId, scope: Scope, rng: Rng) -> Self {
        let ranges = cx.layout.ranges(&scope);
        debug_assert!(ranges.len() <= 1, "only the first range is mirrored");
        let keys = ranges.into_iter().next();
        let audit_rng = rng.fork("audit");
        let mut mirror = Self {
            id,
            keys: keys.clone().unwrap_or_else(|| KeyRange::one(Key::default())),
            rng,
            replica: Replica::new(),
            guard: Guard::new(cx, Owner::Mirror(id)),
            told: Freshness::Unsynced,
            confirmed_at: cx.now,
            live_until: Time::NEVER,
            cluster_id: 0,
            raft_term: 0,
            backoff: Backoff::default(),
            page_limit: cx.tuning.page_limit.max(1),
            differed_at: Revision::ZERO,
            audit_at: Time::NEVER,
            audit_rng,
            state: State::Idle,
        };
        if keys.is_some() {
            mirror.state = mirror.list(cx, StepCause::Listed);
        } else {
            mirror.replica.shown.freshness = Freshness::Live;
            mirror.step(cx, StepCause::Listed, Delta::default());
        }
        mirror
    }

    /// An attempt of this mirror was answered, or its stream said something.
    pub fn on_reply(&mut self, cx: &mut Cx<'_>, attempt: AttemptId, reply: Reply) {
        if let Some(news) = self.guard.answered(cx, attempt, &reply) {
            self.guarded(cx, news);
            return;
        }
        let state = std::mem::replace(&mut self.state, State::Idle);
        self.state = match reply {
            Reply::Range(reply) => self.on_range(cx, state, attempt, &reply),
            Reply::Watch(reply) if state.stream() == Some(attempt) => {
                self.watched(cx, state, reply)
            }
            Reply::Status(reply) => self.on_status(state, attempt, &reply),
            Reply::Failed(error) => self.on_failure(cx, state, attempt, &error),
            // Nothing else is asked for, and no other answers get through.
            Reply::Watch(_)
            | Reply::Put(_)
            | Reply::Delete(_)
            | Reply::Txn(_)
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
        self.tell(cx);
    }

    /// Does what is due by now.
    pub fn on_timer(&mut self, cx: &mut Cx<'_>) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        self.state = match state {
            State::Waiting { retry_at, next } if retry_at <= cx.now => match next {
                Next::List(cause) => self.list(cx, cause),
                Next::Watch => self.watch(cx),
            },
            State::Opening { attempt, until, .. } if until <= cx.now => {
                cx.blame_stream(attempt);
                state.leave(cx);
                self.again(cx, Next::Watch)
            }
            State::Following { stream, probe: Probe::Quiet { probe_at } } if probe_at <= cx.now => {
                self.probe(cx, stream)
            }
            State::Following { stream, probe: Probe::Asked { until } } if until <= cx.now => {
                self.settle(cx, stream)
            }
            State::Following { stream, probe }
                if self.audit_at <= cx.now && stream.audit.is_none() =>
            {
                self.audit(cx, stream, probe)
            }
            State::Idle
            | State::Waiting { .. }
            | State::Listing { .. }
            | State::Opening { .. }
            | State::Checking { .. }
            | State::Following { .. } => state,
        };
        if self.live_until <= cx.now {
            self.doubt();
        }
        self.tell(cx);
        let news = self.guard.on_timer(cx);
        self.guarded(cx, news);
    }

    /// A user of the directory found a suspect to be gone indeed.
    pub fn refused(&mut self, cx: &mut Cx<'_>, key: &Key) {
        let news = self.guard.refused(key);
        self.guarded(cx, news);
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
        self.guard.close(cx);
    }

    /// When to call [`on_timer`](Self::on_timer) if nothing else happens first.
    pub fn next_timeout(&self) -> Option<Time> {
        let fresh = (self.live_until < Time::NEVER).then_some(self.live_until);
        let audit = self.state.awaits_audit().then_some(self.audit_at);
        [self.state.until(), fresh, audit, self.guard.next_timeout()].into_iter().flatten().min()
    }

    pub fn snapshot(&self) -> &Snapshot {
        &self.replica.shown
    }

    fn on_range(
        &mut self,
        cx: &mut Cx<'_>,
        state: State,
        attempt: AttemptId,
        reply: &RangeReply,
    ) -> State {
        match state {
            State::Listing { attempt: asked, list } if asked == attempt => {
                self.listed(cx, list, reply)
            }
            State::Checking { stream, check, held } if check == attempt => {
                self.checked(cx, stream, held, reply)
            }
            State::Following { stream, probe: Probe::Settling { attempt: asked } }
                if asked == attempt =>
            {
                self.settled(cx, stream, reply)
            }
            State::Following { stream, probe } if stream.audits(attempt) => {
                self.audited(cx, stream, probe, reply)
            }
            State::Idle
            | State::Waiting { .. }
            | State::Listing { .. }
            | State::Opening { .. }
            | State::Checking { .. }
            | State::Following { .. } => state,
        }
    }

    /// A message on the stream.
    fn watched(&mut self, cx: &mut Cx<'_>, state: State, reply: WatchReply) -> State {
        match state {
            State::Opening { .. } | State::Checking { .. } | State::Following { .. }
                if reply.canceled =>
            {
                self.canceled(cx, state, &reply)
            }
            State::Opening { attempt, .. } if reply.created => self.created(cx, attempt, &reply),
            State::Checking { stream, check, mut held } => {
                held.push(reply);
                State::Checking { stream, check, held }
            }
            State::Following { stream, probe } => self.followed(cx, stream, probe, reply),
            // Nothing is said of a watch before it is confirmed.
            State::Opening { .. } | State::Idle | State::Waiting { .. } | State::Listing { .. } => {
                state
            }
        }
    }

    fn on_status(&self, state: State, attempt: AttemptId, reply: &StatusReply) -> State {
        match state {
            State::Following { mut stream, probe } if stream.feed.status == Some(attempt) => {
                stream.feed.versioned(reply);
                State::Following { stream, probe }
            }
            State::Idle
            | State::Waiting { .. }
            | State::Listing { .. }
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
            State::Listing { attempt: asked, list } if asked == attempt => {
                self.list_failed(cx, &list, error)
            }
            State::Checking { check, .. } if check == attempt => {
                state.leave(cx);
                self.check_failed(cx, error)
            }
            State::Following { probe: Probe::Settling { attempt: asked }, .. }
                if asked == attempt =>
            {
                state.leave(cx);
                self.settle_failed(cx, error)
            }
            State::Following { mut stream, probe } if stream.feed.status == Some(attempt) => {
                stream.feed.status = None;
                State::Following { stream, probe }
            }
            State::Following { stream, probe } if stream.audits(attempt) => {
                self.audit_failed(cx, stream, probe, error)
            }
            state if state.stream() == Some(attempt) => {
                state.leave(cx);
                self.stream_failed(cx, error)
            }
            State::Idle
            | State::Waiting { .. }
            | State::Listing { .. }
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

    /// Continuity is broken: lists again.
    fn relist(&mut self, cx: &mut Cx<'_>, gap: Gap) -> State {
        self.doubt();
        self.again(cx, Next::List(StepCause::Relisted(gap)))
    }

    /// The store confirmed a revision at or above the cursor just now.
    fn confirm(&mut self, cx: &Cx<'_>) {
        self.confirmed_at = cx.now;
        self.live_until = cx.now + cx.tuning.probe_after + cx.tuning.probe_timeout;
        self.replica.shown.freshness = Freshness::Live;
    }

    /// The copy may be old.
    fn doubt(&mut self) {
        self.live_until = Time::NEVER;
        if self.replica.shown.freshness == Freshness::Live {
            self.replica.shown.freshness = Freshness::Stale { since: self.confirmed_at };
        }
    }

    /// Whether an answer shows that the store is another one, or has lost what it had: of a
    /// linearizable read this is proof, of any other answer a suspicion.
    fn is_other_store(&self, header: &Header) -> bool {
        let &Self { cluster_id, raft_term, .. } = self;
        !Stand { cluster_id, raft_term, revision: self.cursor() }.allows(header)
    }

    /// Remembers the store by an answer that needed a leader.
    fn adopt(&mut self, header: &Header) {
        self.cluster_id = header.cluster_id;
        self.raft_term = header.raft_term;
    }

    /// Tells a change of content, and with it the freshness.
    fn step(&mut self, cx: &mut Cx<'_>, cause: StepCause, delta: Delta) {
        let news = self.guard.see(cx, &delta);
        self.show_guard();
        let snapshot = self.replica.shown.clone();
        self.told = snapshot.freshness;
        let step = Step { cause, changes: delta.changes, snapshot };
        cx.event(Event::Stepped { id: self.id, step });
        self.guarded(cx, news);
    }

    /// Tells what the guard did. Freshness was told before.
    fn guarded(&mut self, cx: &mut Cx<'_>, news: Vec<GuardNews>) {
        self.show_guard();
        for news in news {
            let snapshot = self.replica.shown.clone();
            cx.event(Event::Guard { id: self.id, news, snapshot });
        }
    }

    fn show_guard(&mut self) {
        let shown = &mut self.replica.shown;
        shown.suspects.clone_from(self.guard.suspects());
        shown.guarded = self.guard.is_tripped();
    }

    /// Tells a change of freshness that came without a step.
    fn tell(&mut self, cx: &mut Cx<'_>) {
        let snapshot = &self.replica.shown;
        debug_assert!(
            self.live_until == Time::NEVER || snapshot.freshness == Freshness::Live,
            "only what is live can become stale"
        );
        if self.told != snapshot.freshness {
            self.told = snapshot.freshness;
            cx.event(Event::Freshness { id: self.id, snapshot: snapshot.clone() });
        }
    }

    fn cursor(&self) -> Revision {
        self.replica.shown.revision
    }

    fn owner(&self) -> Owner {
        Owner::Mirror(self.id)
    }
}

impl State {
    /// The open stream.
    fn stream(&self) -> Option<AttemptId> {
        match self {
            Self::Opening { attempt, .. } => Some(*attempt),
            Self::Checking { stream, .. } | Self::Following { stream, .. } => {
                Some(stream.feed.attempt)
            }
            Self::Idle | Self::Waiting { .. } | Self::Listing { .. } => None,
        }
    }

    /// When its time is over. Where there is none, an attempt is under way that ends by itself.
    fn until(&self) -> Option<Time> {
        match self {
            Self::Waiting { retry_at, .. } => Some(*retry_at),
            Self::Opening { until, .. } => Some(*until),
            Self::Following { probe: Probe::Quiet { probe_at }, .. } => Some(*probe_at),
            Self::Following { probe: Probe::Asked { until }, .. } => Some(*until),
            Self::Idle
            | Self::Listing { .. }
            | Self::Checking { .. }
            | Self::Following { probe: Probe::Settling { .. }, .. } => None,
        }
    }

    /// Whether an audit may begin.
    fn awaits_audit(&self) -> bool {
        match self {
            Self::Following { stream, .. } => stream.audit.is_none(),
            Self::Idle
            | Self::Waiting { .. }
            | Self::Listing { .. }
            | Self::Opening { .. }
            | Self::Checking { .. } => false,
        }
    }

    /// Ends all that is under way.
    fn leave(self, cx: &mut Cx<'_>) {
        match self {
            Self::Idle | Self::Waiting { .. } => {}
            Self::Listing { attempt, .. } | Self::Opening { attempt, .. } => cx.cancel(attempt),
            Self::Checking { stream, check, .. } => {
                cx.cancel(check);
                stream.end(cx);
            }
            Self::Following { stream, probe } => {
                if let Probe::Settling { attempt } = probe {
                    cx.cancel(attempt);
                }
                stream.end(cx);
            }
        }
    }
}
