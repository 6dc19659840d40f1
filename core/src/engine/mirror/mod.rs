//! Keeps a local copy of a key range that is always the store's content at some revision.
//!
//! ```text
//!  open
//!   ▼
//! Listing ── whole ──▶ Watching
//!   ▲                    ▲
//!   └───── Waiting ──────┘   ◀── whatever goes wrong, in every state
//! ```
//!
//! `Waiting` says what comes next: a list where continuity is broken, else a watch.
//!
//! **List.** In pages, all at the revision of the first, which is the *cursor* then; and a watch from
//! there on (see [`Watching`]).
//!
//! **Check.** A new watch is checked by the copy's own count and its newest records at the cursor, up
//! to 128 of them. If they are not the store's, or it cannot be the same for another reason, a new
//! epoch begins: all is listed anew. So a range of no more records is compared whole. Of a larger
//! one it does not see through everything: a store that was restored from a backup and differs by
//! the deletion of old records, as many as were deleted before, passes until the next audit. It
//! costs the store a walk over the range, however few are shown.
//!
//! An error never changes the content, only its freshness: live as long as the store confirmed a
//! revision at or above the cursor no longer ago than `probe_after + probe_timeout`; stale beyond
//! that, and as soon as continuity is known to be broken.
//!
//! **Audit.** A watch may lose an event, by an error of the server's or of something on the way, and
//! probes would not notice: progress says where the store is, not what it told. So a followed copy
//! is held against a whole list now and then. The list is read at the copy's own cursor, so that
//! nothing that is merely new differs. If anything does, all is listed anew, and told as `Audited`. A
//! member that leaves an audit unanswered is left, though it goes on streaming: one that has stopped
//! applying what the store agrees on answers progress, with its own revision, and no read.
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

use self::audit::Audit;
use self::guard::Guard;
use self::listing::List;
use self::replica::{Delta, Replica};
use super::DirectoryId;
use super::cx::Cx;
use super::output::Event;
use super::stream::{End, Source, Watching};
use super::view::{Freshness, Gap, GuardNews, Snapshot, Step, StepCause};
use super::wire::Owner;
use crate::layout::Scope;
use crate::rng::Rng;
use crate::time::Time;
use crate::waist::{AttemptId, Key, KeyRange, Reply};

/// One directory: a copy of what its scope covers, and the machine that keeps it.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Mirror {
    id: DirectoryId,
    source: Source,
    replica: Replica,
    guard: Guard,
    /// The freshness that the application knows.
    told: Freshness,
    /// When the store last confirmed a revision at or above the cursor, and until when that makes
    /// the copy live.
    confirmed_at: Time,
    live_until: Option<Time>,
    /// When a copy that follows the store is to be held against a list of it.
    audit_at: Time,
    audit_rng: Rng,
    /// Under way, beside the watch: a list that shows whether that has told everything.
    audit: Option<Audit>,
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
    /// The copy follows the store.
    Watching(Watching),
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
        let range = keys.clone().unwrap_or_else(|| KeyRange::one(Key::default()));
        let mut mirror = Self {
            id,
            source: Source::new(Owner::Mirror(id), range, cx.tuning.page_limit, rng),
            replica: Replica::new(),
            guard: Guard::new(cx, Owner::Mirror(id)),
            told: Freshness::Unsynced,
            confirmed_at: cx.now,
            live_until: None,
            audit_at: Time::NEVER,
            audit_rng,
            audit: None,
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
        if let Some(audit) = self.audit.take_if(|audit| audit.attempt == attempt) {
            self.audited(cx, audit.seen, &reply);
        } else {
            let state = std::mem::replace(&mut self.state, State::Idle);
            self.state = match (state, reply) {
                (State::Listing { list, .. }, Reply::Range(page)) => self.listed(cx, list, &page),
                (State::Listing { list, .. }, Reply::Failed(error)) => {
                    self.list_failed(cx, &list, &error)
                }
                (State::Watching(watching), reply) => {
                    let watching = watching.on_reply(cx, self, attempt, reply);
                    self.watched(cx, watching)
                }
                // Nothing else is asked for, and no other answers get through.
                (state, _) => state,
            };
        }
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
            State::Watching(watching) if watching.is_due(cx.now) => {
                let watching = watching.on_timer(cx, self);
                self.watched(cx, watching)
            }
            State::Watching(watching) => {
                if self.next_audit(&watching).is_some_and(|at| at <= cx.now) {
                    self.audit(cx);
                }
                State::Watching(watching)
            }
            State::Idle | State::Waiting { .. } | State::Listing { .. } => state,
        };
        if self.live_until.is_some_and(|until| until <= cx.now) {
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
            *retry_at = Source::soon(cx).min(*retry_at);
        }
    }

    /// Ends all that is under way; nothing follows.
    pub fn close(&mut self, cx: &mut Cx<'_>) {
        self.leave(cx);
        self.guard.close(cx);
    }

    /// When to call [`on_timer`](Self::on_timer) if nothing else happens first. Of a state that has
    /// no time limit, an attempt is under way that ends by itself.
    pub fn next_timeout(&self) -> Option<Time> {
        let (until, audit) = match &self.state {
            State::Waiting { retry_at, .. } => (Some(*retry_at), None),
            State::Watching(watching) => (watching.until(), self.next_audit(watching)),
            State::Idle | State::Listing { .. } => (None, None),
        };
        [until, self.live_until, audit, self.guard.next_timeout()].into_iter().flatten().min()
    }

    pub fn snapshot(&self) -> &Snapshot {
        &self.replica.shown
    }

    /// Opens a watch at the cursor.
    fn watch(&mut self, cx: &mut Cx<'_>) -> State {
        State::Watching(Watching::open(cx, self))
    }

    fn watched(&mut self, cx: &mut Cx<'_>, watching: Result<Watching, End>) -> State {
        match watching {
            Ok(watching) => State::Watching(watching),
            Err(end) => {
                self.leave_audit(cx);
                self.ended(cx, end)
            }
        }
    }

    /// The watch has ended.
    fn ended(&mut self, cx: &mut Cx<'_>, end: End) -> State {
        let retry_at = match end {
            End::Elsewhere => self.source.again_at(cx),
            End::Failed(error) => self.source.retry_at(cx, &error),
            End::Silent(error) => {
                self.doubt();
                self.source.retry_at(cx, &error)
            }
            End::Gap(gap) => return self.relist(cx, gap),
            // A copy takes all.
            End::Full => return self.relist(cx, Gap::Differs),
        };
        State::Waiting { retry_at, next: Next::Watch }
    }

    /// Tries `next` after a pause that grows with each failure.
    fn again(&mut self, cx: &mut Cx<'_>, next: Next) -> State {
        State::Waiting { retry_at: self.source.again_at(cx), next }
    }

    /// Continuity is broken: lists again.
    fn relist(&mut self, cx: &mut Cx<'_>, gap: Gap) -> State {
        self.doubt();
        self.again(cx, Next::List(StepCause::Relisted(gap)))
    }

    /// Blames the member that serves the watch.
    fn blame(&self, cx: &mut Cx<'_>) {
        if let State::Watching(watching) = &self.state {
            cx.blame_stream(watching.stream());
        }
    }

    /// Ends all that is under way but for the guard's.
    fn leave(&mut self, cx: &mut Cx<'_>) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle | State::Waiting { .. } => {}
            State::Listing { attempt, .. } => cx.cancel(attempt),
            State::Watching(watching) => watching.leave(cx),
        }
        self.leave_audit(cx);
    }

    /// The store confirmed a revision at or above the cursor just now.
    fn confirm(&mut self, cx: &Cx<'_>) {
        self.confirmed_at = cx.now;
        self.live_until = Some(cx.now + cx.tuning.probe_after + cx.tuning.probe_timeout);
        self.replica.shown.freshness = Freshness::Live;
    }

    /// The copy may be old.
    fn doubt(&mut self) {
        self.live_until = None;
        if self.replica.shown.freshness == Freshness::Live {
            self.replica.shown.freshness = Freshness::Stale { since: self.confirmed_at };
        }
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
            self.live_until.is_none() || snapshot.freshness == Freshness::Live,
            "only what is live can become stale"
        );
        if self.told != snapshot.freshness {
            self.told = snapshot.freshness;
            cx.event(Event::Freshness { id: self.id, snapshot: snapshot.clone() });
        }
    }
}
