use super::known::newest_two;
use super::window::Size;
use super::{Follow, Next, State};
use crate::engine::cx::Cx;
use crate::engine::stream::{Feed, NO_WATCH, Probe, cancellation, trusted};
use crate::engine::view::{Followed, Gap};
use crate::waist::{
    AttemptId, KeyEvent, Range, RangeReply, Request, Revision, StatusReply, StoreError, Watch,
    WatchReply, WatchSay,
};

impl Follow {
    /// Opens a watch at the cursor.
    pub(super) fn watch(&self, cx: &mut Cx<'_>) -> State {
        let watch = Watch {
            prev_kv: true,
            progress: true,
            fragment: true,
            ..Watch::of(self.keys.clone(), self.cursor)
        };
        let attempt = cx.watch(self.owner(), watch);
        State::Opening { attempt, until: cx.now + cx.tuning.probe_timeout }
    }

    /// A message on the stream.
    pub(super) fn watched(&mut self, cx: &mut Cx<'_>, state: State, reply: WatchReply) -> State {
        match state {
            State::Opening { .. } | State::Checking { .. } | State::Following { .. }
                if reply.canceled =>
            {
                self.canceled(cx, state, &reply)
            }
            State::Opening { attempt, .. } if reply.created => self.created(cx, attempt, &reply),
            State::Checking { feed, check, mut held } => {
                held.push(reply);
                State::Checking { feed, check, held }
            }
            State::Following { feed, probe } => self.followed(cx, feed, probe, reply),
            // Nothing is said of a watch before it is confirmed.
            State::Opening { .. }
            | State::Idle
            | State::Waiting { .. }
            | State::Draining
            | State::Anchoring { .. }
            | State::Listing { .. }
            | State::Telling { .. } => state,
        }
    }

    /// The watch is confirmed. Whether it is one of the store that was followed so far is asked
    /// now: earlier, the store might be replaced between answer and watch.
    fn created(&self, cx: &mut Cx<'_>, attempt: AttemptId, reply: &WatchReply) -> State {
        let feed = Feed::created(attempt, reply, self.cursor);
        let check = self.check(cx);
        State::Checking { feed, check, held: Vec::new() }
    }

    fn check(&self, cx: &mut Cx<'_>) -> AttemptId {
        cx.send(self.owner(), self.known.question(&self.keys, self.cursor))
    }

    /// The check is answered: what the store had at the cursor.
    pub(super) fn checked(
        &mut self,
        cx: &mut Cx<'_>,
        mut feed: Feed,
        held: Vec<WatchReply>,
        reply: &RangeReply,
    ) -> State {
        if self.is_other_store(&reply.header) || !self.known.is_as(reply) {
            return self.is_another(cx, &feed);
        }
        if !self.known.is_enough() {
            feed.end(cx);
            return self.gap(cx, Gap::Compacted);
        }
        self.adopt(&reply.header);
        self.known.learn(reply);
        if feed.cluster_id != reply.header.cluster_id {
            // The stream leads to a stranger, the calls to the store we know.
            return self.elsewhere(cx, &feed);
        }
        self.backoff.worked(cx.now);
        feed.status = Some(cx.send(self.owner(), Request::Status));
        let state = State::Following { feed, probe: self.quiet(cx) };
        held.into_iter().fold(state, |state, reply| self.watched(cx, state, reply))
    }

    /// The check was not answered.
    pub(super) fn check_failed(
        &mut self,
        cx: &mut Cx<'_>,
        feed: Feed,
        held: Vec<WatchReply>,
        error: &StoreError,
    ) -> State {
        if *error == StoreError::Compacted && self.known.forget_gone() {
            // Perhaps what was before the deletion, and not the cursor.
            let check = self.check(cx);
            return State::Checking { feed, check, held };
        }
        feed.end(cx);
        self.read_failed(cx, error, Next::Watch)
    }

    /// The store does not have at the cursor what it had.
    pub(super) fn is_another(&mut self, cx: &mut Cx<'_>, feed: &Feed) -> State {
        feed.end(cx);
        self.gap(cx, Gap::NewEpoch)
    }

    /// A message on the stream of a watch that is being followed.
    fn followed(
        &mut self,
        cx: &mut Cx<'_>,
        mut feed: Feed,
        mut probe: Probe,
        reply: WatchReply,
    ) -> State {
        if reply.watch_id != feed.watch_id && reply.watch_id != NO_WATCH {
            return State::Following { feed, probe };
        }
        let last = reply.events.last().map_or(Revision::ZERO, |event| event.kv.mod_revision);
        // A lagging member's messages tell nothing of the present.
        let alive = reply.header.revision.max(last) >= self.cursor;
        if alive {
            feed.reached = true;
            if let Probe::Settling { attempt } = probe {
                cx.cancel(attempt);
            }
            probe = self.quiet(cx);
        }
        if reply.events.is_empty() {
            if !feed.partial.is_empty() {
                // The rest of an answer in parts did not come.
                State::Following { feed, probe }.leave(cx);
                return self.again(cx, Next::Watch);
            }
            if alive && feed.vouched && !reply.created {
                self.cursor = reply.header.revision;
            }
            return State::Following { feed, probe };
        }
        let Ok(events) = feed.join(reply.events, reply.fragment) else {
            State::Following { feed, probe }.leave(cx);
            return self.gap(cx, Gap::Garbled);
        };
        if self.absorb(cx, events) {
            return State::Following { feed, probe };
        }
        State::Following { feed, probe }.leave(cx);
        self.tell(cx, Size::default(), Followed::Lagged { after: self.cursor });
        self.again(cx, Next::List)
    }

    /// Tells whole revisions; what was told already is left out. (Servers before 3.4.24 and 3.5.8
    /// may tell an event twice.) False: the reader has no room for the first revision after the
    /// cursor.
    fn absorb(&mut self, cx: &mut Cx<'_>, mut events: Vec<KeyEvent>) -> bool {
        let told = events.partition_point(|event| event.kv.mod_revision <= self.cursor);
        events.drain(..told);
        events.retain(|event| self.keys.contains(&event.kv.key));
        let (mut size, mut told) = (Size::default(), 0);
        let mut room = true;
        while room && told < events.len() {
            let revision = events[told].kv.mod_revision;
            let rest = &events[told..];
            let count = rest.partition_point(|event| event.kv.mod_revision == revision);
            let whole = rest[..count].iter().map(Size::of_event).fold(Size::default(), Size::and);
            room = match told {
                0 => self.window.takes(cx.tuning, whole),
                _ => self.window.takes_both(cx.tuning, size, whole),
            };
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

    /// The stream ended.
    pub(super) fn stream_failed(&mut self, cx: &mut Cx<'_>, error: &StoreError) -> State {
        if *error == StoreError::Compacted {
            self.gap(cx, Gap::Compacted)
        } else if matches!(error, StoreError::AnswerTooLarge { .. }) {
            // It would be as large again from the same cursor; the pages of a list shrink.
            self.gap(cx, Gap::Garbled)
        } else {
            self.retry(cx, error, Next::Watch)
        }
    }

    /// The store ended the watch, though not the stream.
    fn canceled(&mut self, cx: &mut Cx<'_>, state: State, reply: &WatchReply) -> State {
        let why = cancellation(cx, state.stream(), reply);
        state.leave(cx);
        if why == StoreError::Compacted {
            return self.gap(cx, Gap::Compacted);
        }
        self.retry(cx, &why, Next::Watch)
    }

    /// The stream was quiet for long.
    pub(super) fn probe(&mut self, cx: &mut Cx<'_>, feed: Feed) -> State {
        self.learning = !feed.mute && !self.known.is_whole();
        if feed.mute || self.learning {
            return self.settle(cx, feed);
        }
        self.ask_progress(cx, feed)
    }

    fn ask_progress(&self, cx: &mut Cx<'_>, feed: Feed) -> State {
        cx.say(feed.attempt, WatchSay::Progress);
        let until = cx.now + cx.tuning.probe_timeout;
        State::Following { feed, probe: Probe::Asked { until } }
    }

    /// A probe was not answered, which may have many reasons: what does the store have now?
    pub(super) fn settle(&self, cx: &mut Cx<'_>, feed: Feed) -> State {
        let range = Range { keys_only: self.known.is_whole(), ..newest_two(&self.keys) };
        let attempt = cx.send(self.owner(), Request::Range(range));
        State::Following { feed, probe: Probe::Settling { attempt } }
    }

    pub(super) fn settled(&mut self, cx: &mut Cx<'_>, mut feed: Feed, reply: &RangeReply) -> State {
        if self.is_other_store(&reply.header) {
            return self.is_another(cx, &feed);
        }
        self.adopt(&reply.header);
        if self.known.is_as_new_as(reply) {
            if !self.known.is_whole() {
                // As many records as at the cursor, none of them newer: those of the cursor.
                self.known.learn(reply);
            }
            if feed.reached {
                feed.mute |= !self.learning;
                return State::Following { feed, probe: self.quiet(cx) };
            }
            return self.elsewhere(cx, &feed);
        }
        if self.learning {
            // Something is new, and may just be on its way.
            return self.ask_progress(cx, feed);
        }
        if self.differed_at == self.cursor {
            // Opened anew since, and still not told: this watch will not bring it.
            feed.end(cx);
            return self.gap(cx, Gap::Differs);
        }
        self.differed_at = self.cursor;
        self.elsewhere(cx, &feed)
    }

    /// Ends the stream, to open another one on another member.
    fn elsewhere(&mut self, cx: &mut Cx<'_>, feed: &Feed) -> State {
        cx.blame_stream(feed.attempt);
        feed.end(cx);
        self.again(cx, Next::Watch)
    }

    fn quiet(&mut self, cx: &Cx<'_>) -> Probe {
        Probe::Quiet { probe_at: trusted(cx, &mut self.rng) }
    }
}

/// The member that serves a stream said its version.
pub(super) fn on_status(state: State, attempt: AttemptId, reply: &StatusReply) -> State {
    match state {
        State::Following { mut feed, probe } if feed.status == Some(attempt) => {
            feed.versioned(reply);
            State::Following { feed, probe }
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
