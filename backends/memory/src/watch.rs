//! Watch streams and their watchers, from `server/storage/mvcc/watchable_store.go` and
//! `server/etcdserver/api/v3rpc/watch.go`.
//!
//! ```text
//!            start 0 or to come                 start in the past
//! create ──────────────────────→ in step  ←──────────────────────  behind ←──── create
//!                                   │      served up to the present    │
//!                                   │                                  │ start was compacted
//!                                   └───────────→ gone ←───────────────┘
//!                                        cancel
//! ```
//! In step: told of each revision as it is applied (row W7). Behind: served at each beat, up to a
//! thousand revisions at a time (row W8). Of a stream that is full, whoever there is something to
//! tell waits until it has room again ([`flow`]).

mod batch;
mod flow;
mod index;

use std::collections::{BTreeMap, BTreeSet};

use portolan_core::waist::{
    AttemptId, Header, Key, KeyEvent, KeyRange, KeyValue, Revision, StoreError, Watch, WatchFilter,
    WatchReply, WatchSay,
};
use portolan_core::{Rng, Time};

use crate::lessor::next_beat;
use crate::store::{Store, event};
use crate::{ClientId, Config, Pass};
use batch::Refusal;
use flow::Flow;
use index::Index;

/// One stream: a client and the attempt that opened it.
pub(crate) type StreamId = (ClientId, AttemptId);

type WatcherId = (StreamId, i64);

/// Whether whoever asks for a watch may have it.
pub(crate) type Permit = Result<(), StoreError>;

/// What the streams of one member say, in order.
pub(crate) type Said = Vec<(StreamId, WatchReply)>;

/// All watch streams of one member.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(crate) struct Watches {
    streams: BTreeMap<StreamId, Stream>,
    in_step: Index,
    behind: BTreeSet<WatcherId>,
    /// When those behind are served next, if there are any.
    next_sync: Option<Time>,
    /// When which stream tells its progress, for streams that were asked to.
    tickers: BTreeSet<(Time, StreamId)>,
    /// How many streams were ever opened: the address of their chance.
    opened: u64,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Stream {
    watchers: BTreeMap<i64, Watcher>,
    next_id: i64,
    opened_at: Time,
    /// The time between two progress notifications, jitter included.
    interval: std::time::Duration,
    /// The next of them, if any watcher wants them.
    next_progress: Option<Time>,
    /// Whether a progress request still waits for an event, as some releases have it.
    owes_progress: bool,
    /// What it was opened with: it goes for all that is said on it.
    pass: Pass,
    flow: Flow,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Watcher {
    keys: KeyRange,
    start: Revision,
    /// The first revision not yet told.
    next: Revision,
    filters: Vec<WatchFilter>,
    prev_kv: bool,
    fragment: bool,
    progress: Progress,
}

/// Progress notifications of one watcher (row W12).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
enum Progress {
    Unwanted,
    /// The next beat tells it.
    Due,
    /// The next beat is left out, since an event was sent.
    Skipped,
}

/// What a stream needs to know of the member to speak.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) now: Time,
    pub(crate) config: &'a Config,
    pub(crate) store: &'a Store,
    /// As of what the member has applied.
    pub(crate) header: Header,
}

impl Watches {
    /// Opens a stream, with its first watch. An open one is left alone.
    pub(crate) fn open(
        &mut self,
        scene: Scene<'_>,
        id: StreamId,
        watch: (Watch, Permit),
        pass: Pass,
        said: &mut Said,
    ) {
        if self.streams.contains_key(&id) {
            return;
        }
        let interval = scene.config.progress_interval;
        let tenth = u64::try_from(interval.as_nanos() / 10).unwrap_or(u64::MAX);
        let mut chance = Rng::new(scene.config.seed ^ self.opened).fork("progress");
        self.opened += 1;
        let jitter = std::time::Duration::from_nanos(chance.below(tenth));
        let stream = Stream {
            watchers: BTreeMap::new(),
            next_id: 0,
            opened_at: scene.now,
            interval: interval + jitter,
            next_progress: None,
            owes_progress: false,
            pass,
            flow: Flow::default(),
        };
        self.streams.insert(id, stream);
        self.create(scene, id, watch, said);
    }

    /// Takes what the client says on an open stream. Nothing happens if there is no such stream.
    pub(crate) fn say(
        &mut self,
        scene: Scene<'_>,
        id: StreamId,
        say: WatchSay,
        permit: Permit,
        said: &mut Said,
    ) {
        if !self.streams.contains_key(&id) {
            return;
        }
        match say {
            WatchSay::Create(watch) => self.create(scene, id, (watch, permit), said),
            WatchSay::Cancel { id: watch } => self.cancel(scene, id, watch, said),
            WatchSay::Progress => self.progress(scene, id, said),
        }
    }

    /// What an open stream was opened with.
    pub(crate) fn pass_of(&self, id: StreamId) -> Option<Pass> {
        self.streams.get(&id).map(|stream| stream.pass.clone())
    }

    /// Ends a stream. Whether there was one.
    pub(crate) fn close(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.streams.remove(&id) else { return false };
        for (&number, watcher) in &stream.watchers {
            self.in_step.remove(&watcher.keys, (id, number));
            self.behind.remove(&(id, number));
        }
        if let Some(at) = stream.next_progress {
            self.tickers.remove(&(at, id));
        }
        if self.behind.is_empty() {
            self.next_sync = None;
        }
        true
    }

    /// Ends all streams of a client.
    pub(crate) fn close_client(&mut self, client: ClientId) {
        let first = (client, AttemptId(0));
        let last = (client, AttemptId(u64::MAX));
        let ids: Vec<_> = self.streams.range(first..=last).map(|(&id, _)| id).collect();
        for id in ids {
            self.close(id);
        }
    }

    /// Ends all streams, and names them.
    pub(crate) fn close_all(&mut self) -> Vec<StreamId> {
        let ids: Vec<_> = self.streams.keys().copied().collect();
        for &id in &ids {
            self.close(id);
        }
        ids
    }

    /// Tells the watchers in step of the changes of one revision, which the store already holds.
    pub(crate) fn notify(&mut self, scene: Scene<'_>, changes: &[KeyValue], said: &mut Said) {
        if self.in_step.is_empty() {
            return;
        }
        let revision = scene.store.revision();
        let mut told: BTreeMap<WatcherId, Vec<KeyEvent>> = BTreeMap::new();
        for kv in changes {
            for id in self.in_step.of(&kv.key) {
                told.entry(id).or_default().push(event(kv.clone()));
            }
        }
        for (id, mut events) in told {
            let (watcher, flow) = watcher_mut(&mut self.streams, id);
            if revision < watcher.next {
                continue;
            }
            events.retain(|event| !batch::is_filtered(&watcher.filters, event));
            if flow.is_full() && !events.is_empty() {
                // Up to here it has missed nothing, whatever was compacted.
                watcher.next = revision;
                flow.hold(revision, id.1);
                self.in_step.remove(&watcher.keys, id);
                continue;
            }
            watcher.next = revision.next();
            if watcher.prev_kv {
                events.iter_mut().for_each(|event| batch::add_prev(scene.store, event));
            }
            watcher.send(flow, scene, id, events, said);
        }
        self.pay_progress(scene, said);
    }

    /// Whether no stream is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// When [`Watches::tick`] is due.
    pub(crate) fn next_tick(&self) -> Option<Time> {
        let progress = self.tickers.first().map(|&(at, _)| at);
        [self.next_sync, progress].into_iter().flatten().min()
    }

    /// Serves those behind and tells progress, whichever is due.
    pub(crate) fn tick(&mut self, scene: Scene<'_>, said: &mut Said) {
        if self.next_sync.is_some_and(|at| at <= scene.now) {
            self.sync(scene, said);
            self.pay_progress(scene, said);
        }
        while let Some(&(at, id)) = self.tickers.first() {
            if at > scene.now {
                break;
            }
            self.tick_progress(scene, id, said);
        }
    }

    /// Rows W1 to W5, and A5.
    fn create(
        &mut self,
        scene: Scene<'_>,
        id: StreamId,
        (watch, permit): (Watch, Permit),
        said: &mut Said,
    ) {
        let current = scene.store.revision();
        let stream = self.streams.get_mut(&id).expect("only called for open streams");
        let mut reply = WatchReply { header: scene.header, created: true, ..WatchReply::default() };
        let mut keys = watch.keys;
        if keys.key.is_empty() {
            keys.key = Key::from(&[0][..]);
        }
        let refusal = if watch.start.0 < 0 && !scene.config.quirks.negative_start_accepted {
            Some(Refusal::NegativeStart)
        } else if let Err(error) = permit {
            Some(Refusal::Denied(error))
        } else if keys.is_void() {
            Some(Refusal::EmptyRange)
        } else if watch.id != 0 && stream.watchers.contains_key(&watch.id) {
            Some(Refusal::DuplicateId)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            reply.watch_id = -1;
            reply.canceled = true;
            reply.cancel_reason = refusal.text();
            stream.flow.say(scene, id, reply, said);
            return;
        }
        let number = if watch.id == 0 { stream.number() } else { watch.id };
        let is_in_step = watch.start.0 == 0 || watch.start > current;
        let next = if is_in_step { watch.start.max(current.next()) } else { watch.start };
        if is_in_step {
            self.in_step.insert(&keys, (id, number));
        } else {
            self.behind.insert((id, number));
            let later = scene.now + std::time::Duration::from_nanos(1);
            self.next_sync.get_or_insert(next_beat(later, scene.config.sync_interval));
        }
        if watch.progress && stream.next_progress.is_none() {
            let at = stream.progress_after(scene.now);
            stream.next_progress = Some(at);
            self.tickers.insert((at, id));
        }
        stream.watchers.insert(
            number,
            Watcher {
                keys,
                start: watch.start,
                next,
                filters: watch.filters,
                prev_kv: watch.prev_kv,
                fragment: watch.fragment,
                progress: if watch.progress { Progress::Due } else { Progress::Unwanted },
            },
        );
        reply.watch_id = number;
        stream.flow.say(scene, id, reply, said);
    }

    /// Row W6. A watch that compaction ended is still there to be cancelled.
    fn cancel(&mut self, scene: Scene<'_>, id: StreamId, number: i64, said: &mut Said) {
        let stream = self.streams.get_mut(&id).expect("only called for open streams");
        let Some(watcher) = stream.watchers.remove(&number) else { return };
        self.in_step.remove(&watcher.keys, (id, number));
        self.behind.remove(&(id, number));
        stream.flow.forget(watcher.next, number);
        if self.behind.is_empty() {
            self.next_sync = None;
        }
        let reply = WatchReply {
            header: scene.header,
            watch_id: number,
            canceled: true,
            ..WatchReply::default()
        };
        stream.flow.say(scene, id, reply, said);
    }

    /// Row W13.
    fn progress(&mut self, scene: Scene<'_>, id: StreamId, said: &mut Said) {
        let stream = self.streams.get_mut(&id).expect("only called for open streams");
        let quirks = &scene.config.quirks;
        if quirks.progress_out_of_step {
            stream.flow.say(scene, id, progress_reply(scene, -1), said);
        } else if !stream.owes_progress {
            let answered = stream.tell_progress(scene, id, &self.in_step, said);
            stream.owes_progress = !answered && quirks.progress_owed;
        }
    }

    /// Answers the progress requests that waited for what was just said.
    fn pay_progress(&mut self, scene: Scene<'_>, said: &mut Said) {
        if !scene.config.quirks.progress_owed {
            return;
        }
        let spoken: BTreeSet<_> = said.iter().map(|&(id, _)| id).collect();
        for id in spoken {
            if let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.owes_progress) {
                stream.owes_progress = !stream.tell_progress(scene, id, &self.in_step, said);
            }
        }
    }

    /// Row W12.
    fn tick_progress(&mut self, scene: Scene<'_>, id: StreamId, said: &mut Said) {
        let stream = self.streams.get_mut(&id).expect("tickers belong to open streams");
        for (&number, watcher) in &mut stream.watchers {
            if watcher.progress == Progress::Due
                && self.in_step.contains((id, number))
                && watcher.has_begun(scene)
                && !stream.flow.is_full()
            {
                stream.flow.say(scene, id, progress_reply(scene, number), said);
            }
            if watcher.progress == Progress::Skipped {
                watcher.progress = Progress::Due;
            }
        }
        if let Some(old) = stream.next_progress {
            self.tickers.remove(&(old, id));
        }
        let wanted = stream.watchers.values().any(|each| each.progress != Progress::Unwanted);
        stream.next_progress = wanted.then(|| stream.progress_after(scene.now));
        if let Some(at) = stream.next_progress {
            self.tickers.insert((at, id));
        }
    }

    /// Serves those behind: rows W3 and W8.
    fn sync(&mut self, scene: Scene<'_>, said: &mut Said) {
        loop {
            let before = self.behind.len();
            let chosen: Vec<_> =
                self.behind.iter().take(scene.config.sync_watchers.max(1)).copied().collect();
            for id in chosen {
                let (watcher, flow) = watcher_mut(&mut self.streams, id);
                if flow.is_full() {
                    flow.hold(watcher.next, id.1);
                    self.behind.remove(&id);
                } else if !self.serve(scene, id, said) {
                    self.behind.remove(&id);
                }
            }
            // Where this round has got some in step, the rest need not wait for the next beat.
            if self.behind.is_empty() || self.behind.len() == before {
                break;
            }
        }
        let later = scene.now + std::time::Duration::from_nanos(1);
        self.next_sync =
            (!self.behind.is_empty()).then(|| next_beat(later, scene.config.sync_interval));
    }

    /// Tells a watcher that is behind what comes next. Whether there is more.
    fn serve(&mut self, scene: Scene<'_>, id: WatcherId, said: &mut Said) -> bool {
        let (watcher, flow) = watcher_mut(&mut self.streams, id);
        let compacted = scene.store.compacted();
        if watcher.next < compacted {
            let reply = WatchReply {
                header: Header { revision: Revision::ZERO, ..scene.header },
                watch_id: id.1,
                // Only a negative start on a store compacted at 0 finds a 0 here; etcd then
                // forgets to say that the watch is over.
                canceled: compacted != Revision::ZERO,
                compact_revision: compacted,
                ..WatchReply::default()
            };
            flow.say(scene, id.0, reply, said);
            return false;
        }
        let current = scene.store.revision();
        // A negative start that gets here is looked up as a huge one, and nothing is found.
        let since = if watcher.next.0 < 0 { current.next() } else { watcher.next };
        let limits = batch::Limits {
            revisions: scene.config.sync_revisions,
            bytes: flow.room(scene.config),
        };
        let (filters, prev_kv) = (&watcher.filters, watcher.prev_kv);
        let batch = batch::collect(scene.store, &watcher.keys, since, limits, |event| {
            let is_wanted = !batch::is_filtered(filters, event);
            if is_wanted && prev_kv {
                batch::add_prev(scene.store, event);
            }
            is_wanted
        });
        watcher.next = batch.more_from.unwrap_or(current.next());
        if batch.more_from.is_none() {
            self.in_step.insert(&watcher.keys, id);
        }
        watcher.send(flow, scene, id, batch.events, said);
        batch.more_from.is_some()
    }
}

impl Stream {
    /// The next number that no watch of the stream has (row W5).
    fn number(&mut self) -> i64 {
        while self.watchers.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }

    /// Tells how far all watches of the stream are; `false` if some are not in step. Of a stream
    /// without watches there is nothing to tell.
    fn tell_progress(
        &mut self,
        scene: Scene<'_>,
        id: StreamId,
        in_step: &Index,
        said: &mut Said,
    ) -> bool {
        let is_in_step = |(&number, watcher): (&i64, &Watcher)| {
            in_step.contains((id, number)) && watcher.has_begun(scene)
        };
        if !self.watchers.iter().all(is_in_step) {
            return false;
        }
        if !self.watchers.is_empty() {
            self.flow.say(scene, id, progress_reply(scene, -1), said);
        }
        true
    }

    /// The first beat of the stream's ticker after `now`.
    fn progress_after(&self, now: Time) -> Time {
        let interval = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let passed = now.as_nanos().saturating_sub(self.opened_at.as_nanos());
        let beats = (passed / interval + 1).saturating_mul(interval);
        Time::from_nanos(self.opened_at.as_nanos().saturating_add(beats))
    }
}

impl Watcher {
    /// Whether its start has come: before, nothing is told of its progress.
    fn has_begun(&self, scene: Scene<'_>) -> bool {
        scene.config.quirks.progress_before_start || self.start <= scene.store.revision()
    }

    fn send(
        &mut self,
        flow: &mut Flow,
        scene: Scene<'_>,
        (stream, number): WatcherId,
        events: Vec<KeyEvent>,
        said: &mut Said,
    ) {
        if events.is_empty() {
            return;
        }
        if self.progress == Progress::Due {
            self.progress = Progress::Skipped;
        }
        let reply =
            WatchReply { header: scene.header, watch_id: number, events, ..WatchReply::default() };
        if self.fragment {
            for part in batch::fragments(reply, scene.config.fragment_size()) {
                flow.say(scene, stream, part, said);
            }
        } else {
            flow.say(scene, stream, reply, said);
        }
    }
}

fn watcher_mut(
    streams: &mut BTreeMap<StreamId, Stream>,
    (stream, number): WatcherId,
) -> (&mut Watcher, &mut Flow) {
    streams
        .get_mut(&stream)
        .and_then(|stream| Some((stream.watchers.get_mut(&number)?, &mut stream.flow)))
        .expect("every indexed watcher is on an open stream")
}

fn progress_reply(scene: Scene<'_>, watch_id: i64) -> WatchReply {
    WatchReply { header: scene.header, watch_id, ..WatchReply::default() }
}
