use super::{Mirror, Next, State};
use crate::engine::cx::Cx;
use crate::engine::retry::jittered;
use crate::engine::view::{Gap, StepCause};
use crate::time::Time;
use crate::waist::{
    AttemptId, KeyEvent, Range, RangeReply, Request, Revision, Sort, SortTarget, StatusReply,
    StoreError, Watch, WatchReply, WatchSay,
};

/// A watch stream that was confirmed.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Stream {
    pub attempt: AttemptId,
    watch_id: i64,
    /// Who serves it, by etcd's ids.
    cluster_id: u64,
    member_id: u64,
    /// Whether it ever showed a revision at or above the cursor. Until then its member lags.
    reached: bool,
    /// Asked of the member, not answered yet: its version.
    pub status: Option<AttemptId>,
    /// Whether its member's version keeps the promise of progress answers.
    vouched: bool,
    /// Whether it once left a probe unanswered and was fine: probed by a read from then on.
    mute: bool,
    /// Of an answer in parts, the last revision that is here: more of it may come.
    partial: Vec<KeyEvent>,
}

/// What is known of a followed stream's health.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) enum Probe {
    /// Trusted until `probe_at`.
    Quiet { probe_at: Time },
    /// Asked for progress; suspected from `until` on.
    Asked { until: Time },
    /// Suspected: a linearizable read will settle it.
    Settling { attempt: AttemptId },
}

/// An answer that cannot be.
struct Garbled;

impl Stream {
    /// The member said its version.
    pub fn versioned(mut self, reply: &StatusReply) -> Self {
        self.status = None;
        // Behind one address there may be several servers: only the very one counts.
        self.vouched = reply.header.member_id == self.member_id && keeps_progress(&reply.version);
        self
    }

    /// Ends it and all that was asked beside it.
    pub fn end(&self, cx: &mut Cx<'_>) {
        cx.cancel(self.attempt);
        if let Some(status) = self.status {
            cx.cancel(status);
        }
    }

    /// Adds a part to what is still incomplete and returns the revisions that are whole now.
    fn join(&mut self, events: Vec<KeyEvent>, more: bool) -> Result<Vec<KeyEvent>, Garbled> {
        let mut whole = events;
        if !self.partial.is_empty() {
            let parts = std::mem::take(&mut self.partial);
            whole.splice(..0, parts);
        }
        if !whole.is_sorted_by_key(|event| event.kv.mod_revision) {
            return Err(Garbled);
        }
        if let (true, Some(last)) = (more, whole.last()) {
            let last = last.kv.mod_revision;
            let at = whole.partition_point(|event| event.kv.mod_revision < last);
            self.partial = whole.split_off(at);
        }
        Ok(whole)
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
        let stream = Stream {
            attempt,
            watch_id: reply.watch_id,
            cluster_id: reply.header.cluster_id,
            member_id: reply.header.member_id,
            reached: reply.header.revision >= self.cursor(),
            status: None,
            vouched: false,
            mute: false,
            partial: Vec::new(),
        };
        let range = Range { revision: self.cursor(), ..self.newest() };
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
        if stream.cluster_id != reply.header.cluster_id {
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
        stream.status = Some(cx.send(self.owner(), Request::Status));
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
        if reply.watch_id != stream.watch_id && reply.watch_id != NO_WATCH {
            return State::Following { stream, probe };
        }
        let last = reply.events.last().map_or(Revision::ZERO, |event| event.kv.mod_revision);
        // A lagging member's messages tell nothing of the present.
        let alive = reply.header.revision.max(last) >= self.cursor();
        if alive {
            stream.reached = true;
            self.confirm(cx);
            if let Probe::Settling { attempt } = probe {
                cx.cancel(attempt);
            }
            probe = self.quiet(cx);
        }
        if reply.events.is_empty() {
            if !stream.partial.is_empty() {
                // The rest of an answer in parts did not come.
                State::Following { stream, probe }.leave(cx);
                return self.again(cx, Next::Watch);
            }
            if alive && stream.vouched && !reply.created {
                self.replica.shown.revision = reply.header.revision;
            }
            return State::Following { stream, probe };
        }
        match stream.join(reply.events, reply.fragment) {
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
        let error = reply.refusal();
        let compacted = reply.compact_revision > Revision::ZERO || error == StoreError::Compacted;
        let unclear = matches!(error, StoreError::Other { .. });
        if let Some(stream) = state.stream()
            && !compacted
            && (unclear || error.blames_member())
        {
            cx.blame_stream(stream);
        }
        state.leave(cx);
        if compacted {
            return self.relist(cx, Gap::Compacted);
        }
        self.retry(cx, &error, Next::Watch)
    }

    /// The stream was quiet for long.
    pub(super) fn probe(&self, cx: &mut Cx<'_>, stream: Stream) -> State {
        if stream.mute {
            return self.settle(cx, stream);
        }
        cx.say(stream.attempt, WatchSay::Progress);
        let until = cx.now + cx.tuning.probe_timeout;
        State::Following { stream, probe: Probe::Asked { until } }
    }

    /// A probe was not answered, which may have many reasons: what does the store have now?
    pub(super) fn settle(&self, cx: &mut Cx<'_>, stream: Stream) -> State {
        let range = Range { keys_only: true, ..self.newest() };
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
            if stream.reached {
                stream.mute = true;
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
        cx.blame_stream(stream.attempt);
        stream.end(cx);
        self.again(cx, Next::Watch)
    }

    fn quiet(&mut self, cx: &Cx<'_>) -> Probe {
        // Drawn, so that the directories of a process do not all ask in the same moment.
        let jitter = cx.tuning.jitter_percent.min(PROBE_JITTER_PERCENT);
        let trusted = jittered(cx.tuning.probe_after, jitter, &mut self.rng);
        Probe::Quiet { probe_at: cx.now + trusted }
    }

    /// A read of the range's newest record, which counts them all.
    fn newest(&self) -> Range {
        Range {
            limit: 1,
            sort: Some((SortTarget::Mod, Sort::Descending)),
            ..Range::of(self.keys.clone())
        }
    }
}

/// The watch id of answers that speak of the whole stream.
const NO_WATCH: i64 = -1;

/// How much of the time before a probe is drawn by chance.
const PROBE_JITTER_PERCENT: u32 = 25;

/// Whether a server of this version answers progress only with what it has delivered (fixed in
/// 3.4.25 and 3.5.8).
fn keeps_progress(version: &str) -> bool {
    let Ok(version) = semver::Version::parse(version) else { return false };
    match (version.major, version.minor) {
        (3, 4) => version.patch >= 25,
        (3, 5) => version.patch >= 8,
        (major, minor) => (major, minor) > (3, 5),
    }
}
