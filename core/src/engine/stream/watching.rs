//! A watch that keeps a content up to date, whatever that is: opened at the content's cursor,
//! checked, followed, probed, and ended when it is of no more use.
//!
//! ```text
//! Opening ── created ──▶ Checking ── the same ──▶ Following
//!    │                      │                        │
//!    └──────────────────────┴────────────────────────┴──▶ End
//! ```
//!
//! **Cursor.** All changes up to it are in the content. It moves with whole revisions that were
//! told, and with progress answers of servers that are known to mean them. The headers of event
//! answers are ahead of their events (row W8 of `docs/etcd.md`) and never become the cursor.
//!
//! A watch begins at the cursor itself, and what it tells again is left out. From the revision
//! after, it would not always be told of a delete there: servers before 3.4.36 and 3.5.18 forget
//! one that stands exactly where they compact, and a watch that begins there is not cancelled
//! (row C2). From the cursor on it is, and where they compact at the cursor the content has the
//! delete already. Besides, newer servers answer no probe of a watch that begins in the future
//! (row W13).
//!
//! **Check.** A watch says nothing when the store behind it is another one by now: a wiped store
//! may have the same cluster id (row R8) and have overtaken the cursor. So each new watch's events
//! are held back until a linearizable read *at the cursor* has shown what is known of it. If it does
//! not, or if cluster, raft term or revision cannot be the same store's, it is another store. A
//! member that merely lags (row W18) passes, since the read does not depend on it.
//!
//! **Lag.** A member that is behind (row W18), or has stopped applying what the others agree on, streams
//! on and answers probes, with its own revision. A watch that has no events to tell, and shows an older
//! store than a linearizable read did longer ago than `probe_timeout`, is opened anew, elsewhere.
//!
//! **Probe.** A quiet watch is asked for its progress. Not every server and no proxy answers, so
//! silence is only a suspicion, settled by a linearizable read of count and newest record: as the
//! content's, and the watch is fine; else another one is opened from the cursor, elsewhere.

use super::{Feed, NO_WATCH, Probe, Source, cancellation};
use crate::engine::cx::Cx;
use crate::engine::epoch::Stand;
use crate::engine::view::Gap;
use crate::time::Time;
use crate::waist::{
    AttemptId, KeyEvent, Range, RangeReply, Reply, Request, Revision, StoreError, Watch,
    WatchReply, WatchSay,
};

/// A watch, from when it is asked for.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) enum Watching {
    /// A watch is asked for; another member is tried if it is not confirmed by `until`.
    Opening { attempt: AttemptId, until: Time },
    /// The watch is confirmed; its answers are held back until `check` is answered.
    Checking { feed: Feed, check: AttemptId, held: Vec<WatchReply> },
    /// The content follows the store.
    Following { feed: Feed, probe: Probe },
}

/// How a watch ended. Nothing of it is under way any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// Another one may do better.
    Elsewhere,
    /// The store failed, or the way to it.
    Failed(StoreError),
    /// As that, and the stream is silent.
    Silent(StoreError),
    /// Continuity is broken: only a list helps.
    Gap(Gap),
    /// The content takes no more: likewise.
    Full,
}

/// What is kept up to date by a watch.
pub(crate) trait Watcher {
    fn source(&mut self) -> &mut Source;

    /// All changes up to here are in the content.
    fn cursor(&self) -> Revision;

    /// The watch that it needs.
    fn wants(&self) -> Watch;

    /// What to ask of a store to see whether it has at the cursor what is known of it.
    fn question(&self) -> Request;

    /// Holds the answer against what is known, and learns from it if it fits.
    fn check(&mut self, answer: Reply) -> Result<(), Gap>;

    /// The question is refused since history is compacted. True: one that needs less of it may be
    /// answered.
    fn asks_less(&mut self) -> bool {
        false
    }

    /// What shows whether the store has something by now that was not told: the newest records.
    fn newest(&self) -> Range;

    /// Whether that answer shows no more than what is known.
    fn is_told_all(&mut self, answer: &RangeReply) -> bool;

    /// Whether it would learn from that answer, even without a suspicion.
    fn is_curious(&self) -> bool {
        false
    }

    /// The store confirmed a revision at or above the cursor just now.
    fn confirm(&mut self, _cx: &mut Cx<'_>) {}

    /// There is nothing more to tell up to this revision.
    fn advance(&mut self, to: Revision);

    /// Takes whole revisions after the cursor. False: there was no room for all of them.
    fn absorb(&mut self, cx: &mut Cx<'_>, events: Vec<KeyEvent>) -> bool;
}

impl Watching {
    /// Opens a watch at the cursor.
    pub fn open(cx: &mut Cx<'_>, of: &mut impl Watcher) -> Self {
        let watch = of.wants();
        let attempt = cx.watch(of.source().owner(), watch);
        Self::Opening { attempt, until: cx.now + cx.tuning.probe_timeout }
    }

    /// Something of it was answered, or its stream said something.
    pub fn on_reply(
        self,
        cx: &mut Cx<'_>,
        of: &mut impl Watcher,
        attempt: AttemptId,
        reply: Reply,
    ) -> Result<Self, End> {
        match (self, reply) {
            (watching, Reply::Watch(reply)) => watching.said(cx, of, reply),
            (Self::Checking { feed, held, .. }, answer @ (Reply::Range(_) | Reply::Txn(_))) => {
                checked(cx, of, feed, held, answer)
            }
            (
                Self::Following { feed, probe: Probe::Settling { learning, stand, .. } },
                Reply::Range(answer),
            ) => settled(cx, of, feed, (learning, stand), &answer),
            (Self::Following { mut feed, probe }, Reply::Status(reply)) => {
                feed.versioned(&reply);
                Ok(Self::Following { feed, probe })
            }
            (watching, Reply::Failed(error)) => watching.failed(cx, of, attempt, error),
            // Nothing else is asked for, and no other answers get through.
            (watching, _) => Ok(watching),
        }
    }

    /// Its time is over.
    pub fn on_timer(self, cx: &mut Cx<'_>, of: &mut impl Watcher) -> Result<Self, End> {
        match self {
            Self::Opening { attempt, .. } => {
                cx.blame_stream(attempt);
                self.leave(cx);
                Err(End::Elsewhere)
            }
            Self::Following { feed, probe: Probe::Quiet { .. } } => {
                let learning = !feed.mute && of.is_curious();
                if feed.mute || learning {
                    return Ok(settle(cx, of, feed, learning));
                }
                Ok(ask_progress(cx, feed))
            }
            Self::Following { feed, probe: Probe::Asked { .. } } => Ok(settle(cx, of, feed, false)),
            Self::Checking { .. } | Self::Following { probe: Probe::Settling { .. }, .. } => {
                Ok(self)
            }
        }
    }

    /// When its time is over. Where there is none, an attempt is under way that ends by itself.
    pub fn until(&self) -> Option<Time> {
        match self {
            Self::Opening { until, .. } => Some(*until),
            Self::Following { probe: Probe::Quiet { probe_at }, .. } => Some(*probe_at),
            Self::Following { probe: Probe::Asked { until }, .. } => Some(*until),
            Self::Checking { .. } | Self::Following { probe: Probe::Settling { .. }, .. } => None,
        }
    }

    pub fn is_due(&self, now: Time) -> bool {
        self.until().is_some_and(|until| until <= now)
    }

    /// Whether the content follows the store.
    pub fn is_following(&self) -> bool {
        match self {
            Self::Following { .. } => true,
            Self::Opening { .. } | Self::Checking { .. } => false,
        }
    }

    /// The stream.
    pub fn stream(&self) -> AttemptId {
        match self {
            Self::Opening { attempt, .. } => *attempt,
            Self::Checking { feed, .. } | Self::Following { feed, .. } => feed.attempt,
        }
    }

    /// Ends all that is under way.
    pub fn leave(self, cx: &mut Cx<'_>) {
        match self {
            Self::Opening { attempt, .. } => cx.cancel(attempt),
            Self::Checking { feed, check, .. } => {
                cx.cancel(check);
                feed.end(cx);
            }
            Self::Following { feed, probe } => {
                if let Probe::Settling { attempt, .. } = probe {
                    cx.cancel(attempt);
                }
                feed.end(cx);
            }
        }
    }

    /// A message on the stream.
    fn said(self, cx: &mut Cx<'_>, of: &mut impl Watcher, reply: WatchReply) -> Result<Self, End> {
        if reply.canceled {
            let why = cancellation(cx, self.stream(), &reply);
            self.leave(cx);
            return Err(of_stream(why));
        }
        match self {
            // Whether the store is the one that the content is of is asked now: earlier, it might
            // be replaced between answer and watch.
            Self::Opening { attempt, .. } if reply.created => {
                let feed = Feed::created(attempt, &reply, of.cursor());
                Ok(check(cx, of, feed, Vec::new()))
            }
            // Nothing is said of a watch before it is confirmed.
            Self::Opening { .. } => Ok(self),
            Self::Checking { feed, check, mut held } => {
                held.push(reply);
                Ok(Self::Checking { feed, check, held })
            }
            Self::Following { feed, probe } => followed(cx, of, feed, probe, reply),
        }
    }

    fn failed(
        self,
        cx: &mut Cx<'_>,
        of: &mut impl Watcher,
        attempt: AttemptId,
        error: StoreError,
    ) -> Result<Self, End> {
        match self {
            Self::Checking { feed, check: asked, held } if asked == attempt => {
                if error == StoreError::Compacted && of.asks_less() {
                    return Ok(check(cx, of, feed, held));
                }
                feed.end(cx);
                Err(of_check(of, error))
            }
            Self::Following { feed, probe: Probe::Settling { attempt: asked, .. } }
                if asked == attempt =>
            {
                feed.end(cx);
                Err(match of.source().shrinks_checks(&error) {
                    true => End::Elsewhere,
                    false => End::Silent(error),
                })
            }
            Self::Following { mut feed, probe } if feed.status == Some(attempt) => {
                feed.status = None;
                Ok(Self::Following { feed, probe })
            }
            // The stream.
            Self::Opening { .. } | Self::Checking { .. } | Self::Following { .. } => {
                self.leave(cx);
                Err(of_stream(error))
            }
        }
    }
}

/// Why a check failed.
pub(crate) fn of_check(of: &mut impl Watcher, error: StoreError) -> End {
    match of.source().shrinks_checks(&error) {
        // The next one is smaller.
        true => End::Elsewhere,
        false => of_read(error),
    }
}

/// Why a read at the cursor failed.
fn of_read(error: StoreError) -> End {
    if error == StoreError::Compacted {
        End::Gap(Gap::Compacted)
    } else if error == StoreError::FutureRevision {
        // Linearizable, so no member lags: the store never had that revision, or has lost it.
        End::Gap(Gap::NewEpoch)
    } else {
        End::Failed(error)
    }
}

/// Why a stream ended.
fn of_stream(error: StoreError) -> End {
    if error == StoreError::Compacted {
        End::Gap(Gap::Compacted)
    } else if matches!(error, StoreError::AnswerTooLarge { .. }) {
        // It would be as large again from the same cursor; the pages of a list shrink.
        End::Gap(Gap::Garbled)
    } else {
        End::Failed(error)
    }
}

/// Asks whether the store is the one that the content is of.
fn check(cx: &mut Cx<'_>, of: &mut impl Watcher, feed: Feed, held: Vec<WatchReply>) -> Watching {
    let question = of.question();
    let check = cx.send(of.source().owner(), question);
    Watching::Checking { feed, check, held }
}

/// The check is answered: what the store had at the cursor.
fn checked(
    cx: &mut Cx<'_>,
    of: &mut impl Watcher,
    mut feed: Feed,
    held: Vec<WatchReply>,
    answer: Reply,
) -> Result<Watching, End> {
    let header = answer.header().copied().unwrap_or_default();
    let cursor = of.cursor();
    let fits = match of.source().is_other(cursor, &header) {
        true => Err(Gap::NewEpoch),
        false => of.check(answer),
    };
    if let Err(gap) = fits {
        feed.end(cx);
        return Err(End::Gap(gap));
    }
    of.source().adopt(cx, &header);
    of.confirm(cx);
    if feed.cluster_id != header.cluster_id {
        // The stream leads to a stranger, the calls to the store we know.
        return elsewhere(cx, &feed);
    }
    of.source().worked(cx);
    feed.status = Some(cx.send(of.source().owner(), Request::Status));
    let watching = Watching::Following { feed, probe: quiet(cx, of) };
    held.into_iter().try_fold(watching, |watching, reply| watching.said(cx, of, reply))
}

/// A message on the stream of a watch that is being followed.
fn followed(
    cx: &mut Cx<'_>,
    of: &mut impl Watcher,
    mut feed: Feed,
    mut probe: Probe,
    reply: WatchReply,
) -> Result<Watching, End> {
    if reply.watch_id != feed.watch_id && reply.watch_id != NO_WATCH {
        return Ok(Watching::Following { feed, probe });
    }
    let cursor = of.cursor();
    let last = reply.events.last().map_or(Revision::ZERO, |event| event.kv.mod_revision);
    let told = reply.header.revision.max(last);
    // Whoever brings events catches up, and the headers of those may be as old as they are.
    if reply.events.is_empty() && of.source().is_behind(cx, told) {
        cx.blame_stream(feed.attempt);
        Watching::Following { feed, probe }.leave(cx);
        return Err(End::Elsewhere);
    }
    // A lagging member's messages tell nothing of the present.
    let alive = told >= cursor;
    if alive {
        feed.reached = true;
        of.confirm(cx);
        if let Probe::Settling { attempt, .. } = probe {
            cx.cancel(attempt);
        }
        probe = quiet(cx, of);
    }
    if reply.events.is_empty() {
        if !feed.partial.is_empty() {
            // The rest of an answer in parts did not come.
            Watching::Following { feed, probe }.leave(cx);
            return Err(End::Elsewhere);
        }
        if alive && feed.vouched && !reply.created {
            of.advance(reply.header.revision);
        }
        return Ok(Watching::Following { feed, probe });
    }
    let Ok(mut events) = feed.join(reply.events, reply.fragment) else {
        Watching::Following { feed, probe }.leave(cx);
        return Err(End::Gap(Gap::Garbled));
    };
    // Servers before 3.4.24 and 3.5.8 may tell an event twice.
    let known = events.partition_point(|event| event.kv.mod_revision <= cursor);
    events.drain(..known);
    let keys = &of.source().keys;
    events.retain(|event| keys.contains(&event.kv.key));
    if of.absorb(cx, events) {
        return Ok(Watching::Following { feed, probe });
    }
    Watching::Following { feed, probe }.leave(cx);
    Err(End::Full)
}

fn ask_progress(cx: &mut Cx<'_>, feed: Feed) -> Watching {
    cx.say(feed.attempt, WatchSay::Progress);
    let until = cx.now + cx.tuning.probe_timeout;
    Watching::Following { feed, probe: Probe::Asked { until } }
}

/// A probe was not answered, which may have many reasons: what does the store have now?
fn settle(cx: &mut Cx<'_>, of: &mut impl Watcher, feed: Feed, learning: bool) -> Watching {
    let range = of.newest();
    let cursor = of.cursor();
    let stand = of.source().stand(cursor);
    let attempt = of.source().ask(cx, range);
    Watching::Following { feed, probe: Probe::Settling { attempt, learning, stand } }
}

fn settled(
    cx: &mut Cx<'_>,
    of: &mut impl Watcher,
    mut feed: Feed,
    (learning, stand): (bool, Option<Stand>),
    reply: &RangeReply,
) -> Result<Watching, End> {
    let cursor = of.cursor();
    if stand.is_some_and(|stand| !stand.allows(&reply.header)) {
        feed.end(cx);
        return Err(End::Gap(Gap::NewEpoch));
    }
    // What an audit that was asked later has told meanwhile is the newer word.
    if !of.source().is_other(cursor, &reply.header) {
        of.source().adopt(cx, &reply.header);
    }
    if of.is_told_all(reply) {
        of.confirm(cx);
        if feed.reached {
            feed.mute |= !learning;
            return Ok(Watching::Following { feed, probe: quiet(cx, of) });
        }
        return elsewhere(cx, &feed);
    }
    if learning {
        // Something is new, and may just be on its way.
        return Ok(ask_progress(cx, feed));
    }
    let differed_at = std::mem::replace(&mut of.source().differed_at, cursor);
    if differed_at == cursor {
        // Opened anew since, and still not told: this watch will not bring it.
        feed.end(cx);
        return Err(End::Gap(Gap::Differs));
    }
    elsewhere(cx, &feed)
}

/// Ends the stream, to open another one on another member.
fn elsewhere(cx: &mut Cx<'_>, feed: &Feed) -> Result<Watching, End> {
    cx.blame_stream(feed.attempt);
    feed.end(cx);
    Err(End::Elsewhere)
}

fn quiet(cx: &Cx<'_>, of: &mut impl Watcher) -> Probe {
    Probe::Quiet { probe_at: of.source().trusted_until(cx) }
}
