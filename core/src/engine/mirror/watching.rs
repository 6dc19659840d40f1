use super::audit::Audit;
use super::{Mirror, Next, State};
use crate::engine::cx::Cx;
use crate::engine::stream::{Feed, Garbled, NO_WATCH, Probe, cancellation, newest, trusted};
use crate::engine::view::{Gap, StepCause};
use crate::waist::{
    AttemptId, KeyEvent, Range, RangeReply, Request, Revision, StoreError, Watch, WatchReply,
    WatchSay,
};

/// A watch stream that was confirmed, and what is asked beside it.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Stream {
    pub feed: Feed,
    /// Under way: a list that shows whether the stream has told everything.
    pub audit: Option<Audit>,
}

impl Stream {
    /// Whether this is the answer that its audit waits for.
    pub fn audits(&self, attempt: AttemptId) -> bool {
        self.audit.as_ref().is_some_and(|audit| audit.attempt == attempt)
    }

    /// Ends it and all that was asked beside it.
    pub fn end(&self, cx: &mut Cx<'_>) {
        self.feed.end(cx);
        if let Some(audit) = &self.audit {
            cx.cancel(audit.attempt);
        }
    }
}

impl Mirror {
    /// Opens a watch at the cursor.
    pub(super) fn watch(&self, cx: &mut Cx<'_>) -> State {
        let watch =
            Watch { progress: true, fragment: true, ..Watch::of(self.keys.clone(), self.cursor()) };
        let attempt = cx.watch(self.owner(), watch);
        State::Opening { attempt, until: cx.now + cx.tuning.probe_timeout }
    }

    /// The watch is confirmed. Whether it is one of the store that the copy is of is another
    /// question, asked now: earlier, the store might be replaced between answer and watch.
    pub(super) fn created(&self, cx: &mut Cx<'_>, attempt: AttemptId, reply: &WatchReply) -> State {
        let feed = Feed::created(attempt, reply, self.cursor());
        let stream = Stream { feed, audit: None };
        let range = Range { revision: self.cursor(), ..newest(&self.keys) };
        let check = cx.send(self.owner(), Request::Range(range));
        State::Checking { stream, check, held: Vec::new() }
    }

    /// The check is answered: what the store had at the cursor.
    pub(super) fn checked(
        &mut self,
        cx: &mut Cx<'_>,
        stream: Stream,
        held: Vec<WatchReply>,
        reply: &RangeReply,
    ) -> State {
        if self.is_other_store(&reply.header) || !self.replica.is_as(reply) {
            stream.end(cx);
            return self.relist(cx, Gap::NewEpoch);
        }
        self.adopt(&reply.header);
        self.confirm(cx);
        if stream.feed.cluster_id != reply.header.cluster_id {
            // The stream leads to a stranger, the calls to the store we know.
            return self.elsewhere(cx, stream);
        }
        let state = self.follow(cx, stream);
        held.into_iter().fold(state, |state, reply| self.watched(cx, state, reply))
    }

    pub(super) fn check_failed(&mut self, cx: &mut Cx<'_>, error: &StoreError) -> State {
        if *error == StoreError::Compacted {
            self.relist(cx, Gap::Compacted)
        } else if *error == StoreError::FutureRevision {
            // Linearizable, so no member lags: the store has lost the cursor's revision.
            self.relist(cx, Gap::NewEpoch)
        } else {
            self.retry(cx, error, Next::Watch)
        }
    }

    fn follow(&mut self, cx: &mut Cx<'_>, mut stream: Stream) -> State {
        self.backoff.worked(cx.now);
        stream.feed.status = Some(cx.send(self.owner(), Request::Status));
        State::Following { stream, probe: self.quiet(cx) }
    }

    /// A message on the stream of a watch that is being followed.
    pub(super) fn followed(
        &mut self,
        cx: &mut Cx<'_>,
        mut stream: Stream,
        mut probe: Probe,
        reply: WatchReply,
    ) -> State {
        if reply.watch_id != stream.feed.watch_id && reply.watch_id != NO_WATCH {
            return State::Following { stream, probe };
        }
        let last = reply.events.last().map_or(Revision::ZERO, |event| event.kv.mod_revision);
        // A lagging member's messages tell nothing of the present.
        let alive = reply.header.revision.max(last) >= self.cursor();
        if alive {
            stream.feed.reached = true;
            self.confirm(cx);
            if let Probe::Settling { attempt } = probe {
                cx.cancel(attempt);
            }
            probe = self.quiet(cx);
        }
        if reply.events.is_empty() {
            if !stream.feed.partial.is_empty() {
                // The rest of an answer in parts did not come.
                State::Following { stream, probe }.leave(cx);
                return self.again(cx, Next::Watch);
            }
            if alive && stream.feed.vouched && !reply.created {
                self.replica.shown.revision = reply.header.revision;
            }
            return State::Following { stream, probe };
        }
        match stream.feed.join(reply.events, reply.fragment) {
            Ok(events) => {
                self.absorb(cx, events);
                State::Following { stream, probe }
            }
            Err(Garbled) => {
                State::Following { stream, probe }.leave(cx);
                self.relist(cx, Gap::Garbled)
            }
        }
    }

    /// Applies whole revisions; what the copy has already is left out. (Servers before 3.4.24 and
    /// 3.5.8 may tell an event twice.)
    fn absorb(&mut self, cx: &mut Cx<'_>, mut events: Vec<KeyEvent>) {
        let cursor = self.cursor();
        let known = events.partition_point(|event| event.kv.mod_revision <= cursor);
        events.drain(..known);
        events.retain(|event| self.keys.contains(&event.kv.key));
        let delta = self.replica.apply(cx.layout, events);
        if !delta.is_empty() {
            self.step(cx, StepCause::Watched, delta);
        }
    }

    /// The stream ended.
    pub(super) fn stream_failed(&mut self, cx: &mut Cx<'_>, error: &StoreError) -> State {
        if *error == StoreError::Compacted {
            self.relist(cx, Gap::Compacted)
        } else if matches!(error, StoreError::AnswerTooLarge { .. }) {
            // It would be as large again from the same cursor; the pages of a list shrink.
            self.relist(cx, Gap::Garbled)
        } else {
            self.retry(cx, error, Next::Watch)
        }
    }

    /// The store ended the watch, though not the stream.
    pub(super) fn canceled(&mut self, cx: &mut Cx<'_>, state: State, reply: &WatchReply) -> State {
        let why = cancellation(cx, state.stream(), reply);
        state.leave(cx);
        if why == StoreError::Compacted {
            return self.relist(cx, Gap::Compacted);
        }
        self.retry(cx, &why, Next::Watch)
    }

    /// The stream was quiet for long.
    pub(super) fn probe(&self, cx: &mut Cx<'_>, stream: Stream) -> State {
        if stream.feed.mute {
            return self.settle(cx, stream);
        }
        cx.say(stream.feed.attempt, WatchSay::Progress);
        let until = cx.now + cx.tuning.probe_timeout;
        State::Following { stream, probe: Probe::Asked { until } }
    }

    /// A probe was not answered, which may have many reasons: what does the store have now?
    pub(super) fn settle(&self, cx: &mut Cx<'_>, stream: Stream) -> State {
        let range = Range { keys_only: true, ..newest(&self.keys) };
        let attempt = cx.send(self.owner(), Request::Range(range));
        State::Following { stream, probe: Probe::Settling { attempt } }
    }

    pub(super) fn settled(
        &mut self,
        cx: &mut Cx<'_>,
        mut stream: Stream,
        reply: &RangeReply,
    ) -> State {
        if self.is_other_store(&reply.header) {
            stream.end(cx);
            return self.relist(cx, Gap::NewEpoch);
        }
        self.adopt(&reply.header);
        if self.replica.is_as_new_as(reply) {
            self.confirm(cx);
            if stream.feed.reached {
                stream.feed.mute = true;
                return State::Following { stream, probe: self.quiet(cx) };
            }
            return self.elsewhere(cx, stream);
        }
        if self.differed_at == self.cursor() {
            // Opened anew since, and still not told: this watch will not bring it.
            stream.end(cx);
            return self.relist(cx, Gap::Differs);
        }
        self.differed_at = self.cursor();
        self.elsewhere(cx, stream)
    }

    /// Neither stream nor store answers.
    pub(super) fn settle_failed(&mut self, cx: &mut Cx<'_>, error: &StoreError) -> State {
        self.doubt();
        self.retry(cx, error, Next::Watch)
    }

    /// Ends the stream, to open another one on another member.
    fn elsewhere(&mut self, cx: &mut Cx<'_>, stream: Stream) -> State {
        cx.blame_stream(stream.feed.attempt);
        stream.end(cx);
        self.again(cx, Next::Watch)
    }

    fn quiet(&mut self, cx: &Cx<'_>) -> Probe {
        Probe::Quiet { probe_at: trusted(cx, &mut self.rng) }
    }
}
