//! What streams of watches are told: row W7, and W1 to W3, W6, W8, W10, W11, W13, W16 with it.

mod told;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use portolan_core::waist::{AttemptId, Reply, Revision, Watch, WatchReply};
use portolan_memory::{ClientId, watch_weight};

pub(super) use told::Known;
use told::Told;

/// The streams that are open.
#[derive(Default)]
pub(super) struct Streams {
    open: BTreeMap<AttemptId, Stream>,
}

pub(super) struct Stream {
    pub(super) from: ClientId,
    /// By its place.
    pub(super) member: u16,
    /// What was asked for and is not answered, in order.
    asked: VecDeque<Watch>,
    watches: BTreeMap<i64, Told>,
    /// How often each number was asked to be cancelled.
    leaving: BTreeMap<i64, usize>,
    /// What was said and is not taken, where that counts.
    pub(super) untaken: u64,
    /// The number of the watch whose answer goes on.
    in_parts: Option<i64>,
}

impl Streams {
    pub(super) fn open(&mut self, id: AttemptId, from: ClientId, member: u16, watch: Watch) {
        let stream = Stream {
            from,
            member,
            asked: VecDeque::from([watch]),
            watches: BTreeMap::new(),
            leaving: BTreeMap::new(),
            untaken: 0,
            in_parts: None,
        };
        self.open.insert(id, stream);
    }

    pub(super) fn get(&self, id: AttemptId) -> Option<&Stream> {
        self.open.get(&id)
    }

    /// One more is asked for, by whoever has opened the stream, where it is open.
    pub(super) fn ask(&mut self, id: AttemptId, from: ClientId, member: u16, watch: Watch) {
        if let Some(stream) = self.at(id, from, member) {
            stream.asked.push_back(watch);
        }
    }

    pub(super) fn leave(&mut self, id: AttemptId, from: ClientId, member: u16, number: i64) {
        if let Some(stream) = self.at(id, from, member) {
            *stream.leaving.entry(number).or_default() += 1;
        }
    }

    fn at(&mut self, id: AttemptId, from: ClientId, member: u16) -> Option<&mut Stream> {
        self.open.get_mut(&id).filter(|stream| (stream.from, stream.member) == (from, member))
    }

    pub(super) fn take(&mut self, id: AttemptId, bytes: u64) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.untaken -= bytes;
        }
    }

    /// All that lies before streams, for who takes it.
    pub(super) fn untaken(&self) -> Vec<(AttemptId, ClientId, u64)> {
        let untaken = self.open.iter().filter(|(_, stream)| stream.untaken > 0);
        untaken.map(|(&id, stream)| (id, stream.from, stream.untaken)).collect()
    }

    /// Nobody listens to these any more.
    pub(super) fn close(&mut self, wanted: impl Fn(ClientId, AttemptId) -> bool) {
        self.open.retain(|&id, stream| !wanted(stream.from, id));
    }

    /// What is said on a stream; `false` if this is none that is open.
    pub(super) fn hear(&mut self, id: AttemptId, reply: &Reply, known: Known<'_>) -> bool {
        let Some(stream) = self.open.get_mut(&id) else { return false };
        match reply {
            Reply::Watch(reply) => {
                stream.hear(reply, known);
                true
            }
            // It ends, which is an answer to what has opened it.
            _ => {
                self.open.remove(&id);
                false
            }
        }
    }

    /// Rows W7 and W16: who is in step has been told all that its member has applied.
    pub(super) fn check(&mut self, known: Known<'_>) {
        for (id, stream) in &mut self.open {
            let applied = known.member(stream.member).revision;
            assert!(stream.in_parts.is_none(), "W14: the last part is missing on {id}");
            for (number, told) in stream.watches.iter_mut().filter(|(_, told)| told.is_in_step) {
                if let Some(past) = told.untold(known, applied) {
                    let (watch, start, last) = (&told.watch, told.start, told.last);
                    panic!(
                        "W7: {number} on {id} is in step, and was not told of {} at {}: {watch:?} \
                         from {start}, told up to {last}",
                        past.kv.key, past.revision
                    );
                }
            }
        }
    }

    /// A watch, at a member that runs, that was not told all that this has applied.
    pub(super) fn late(&mut self, known: Known<'_>) -> Option<String> {
        for (id, stream) in &mut self.open {
            let member = known.member(stream.member);
            if !member.is_up {
                continue;
            }
            for (number, told) in stream.watches.iter_mut().filter(|(_, told)| !told.is_odd) {
                if !told.is_ended && told.untold(known, member.revision).is_some() {
                    let (watch, start, last) = (&told.watch, told.start, told.last);
                    return Some(format!(
                        "{number} on {id}: {watch:?} from {start}, told to {last}"
                    ));
                }
            }
        }
        None
    }
}

impl Stream {
    fn hear(&mut self, reply: &WatchReply, known: Known<'_>) {
        let applied = known.member(self.member).revision;
        assert!(reply.header.revision <= applied, "the header is ahead of the member: {reply:?}");
        // Where nothing lies before a stream it has room, as small as that may be.
        let limit = known.config().limits.stream_bytes;
        let was_full = limit.is_some_and(|limit| self.untaken >= limit.max(1));
        if limit.is_some() {
            self.untaken += watch_weight(reply);
        }
        if reply.created {
            self.hear_created(reply, known);
        } else if reply.canceled {
            self.hear_canceled(reply, known);
        } else if reply.events.is_empty() {
            self.hear_progress(reply, known);
        } else {
            let is_part = self.in_parts.is_some();
            assert!(is_part || !was_full, "more is told on a stream that is full: {reply:?}");
            self.hear_events(reply, known);
        }
    }

    /// Rows W1, W2, W4, W5.
    fn hear_created(&mut self, reply: &WatchReply, known: Known<'_>) {
        let watch = self.asked.pop_front();
        let watch = watch.unwrap_or_else(|| panic!("W1: nobody has asked for this: {reply:?}"));
        let quirks = &known.config().quirks;
        if reply.canceled {
            let keys = &watch.keys;
            let is_void = !keys.end.is_empty() && *keys.end != [0] && keys.end <= keys.key;
            let is_taken = watch.id != 0 && self.watches.contains_key(&watch.id);
            let is_negative = watch.start.0 < 0 && !quirks.negative_start_accepted;
            let is_denied = reply.cancel_reason.starts_with("rpc error: ");
            let is_due = is_void || is_taken || is_negative || is_denied;
            assert!(is_due && reply.watch_id == -1, "W4, W5: {watch:?} is refused: {reply:?}");
            return;
        }
        let number = reply.watch_id;
        assert!(watch.id == 0 || watch.id == number, "W5: another number: {reply:?}");
        let now = reply.header.revision;
        let is_past = watch.start.0 != 0 && watch.start <= now;
        let start = if is_past { watch.start } else { watch.start.max(now.next()) };
        let told = Told {
            start,
            next: 0,
            last: Revision::ZERO,
            part: BTreeSet::new(),
            is_in_step: !is_past && known.config().limits.stream_bytes.is_none(),
            is_ended: false,
            is_odd: watch.start.0 < 0,
            watch,
        };
        let former = self.watches.insert(number, told);
        assert!(former.is_none(), "W5: the number is taken: {reply:?}");
    }

    /// Rows W3, W6, W16.
    fn hear_canceled(&mut self, reply: &WatchReply, known: Known<'_>) {
        let number = reply.watch_id;
        let Some(told) = self.watches.get_mut(&number) else {
            panic!("a watch is cancelled that is not there: {reply:?}")
        };
        if reply.compact_revision == Revision::ZERO {
            let asked = self.leaving.get_mut(&number).filter(|asked| **asked > 0);
            *asked.unwrap_or_else(|| panic!("W6: nobody has cancelled it: {reply:?}")) -= 1;
            self.watches.remove(&number);
            return;
        }
        let end = reply.compact_revision;
        let is_below = end > told.start && end > told.last.next();
        let is_compacted = known.model.compacted() >= Some(end);
        assert!(
            told.is_odd || !told.is_in_step && !told.is_ended && is_below && is_compacted,
            "W3, W16: told to {} from {}, and ended: {reply:?}",
            told.last,
            told.start
        );
        told.is_ended = true;
    }

    /// Rows W12 and W13: what is claimed was told.
    fn hear_progress(&mut self, reply: &WatchReply, known: Known<'_>) {
        if known.config().quirks.progress_out_of_step && reply.watch_id == -1 {
            return;
        }
        // A watch may have taken that number: then it may speak of this one alone (row W5).
        let is_of_all = reply.watch_id == -1 && !self.watches.contains_key(&-1);
        for (&number, told) in &mut self.watches {
            if told.is_odd || !is_of_all && reply.watch_id != number {
                continue;
            }
            assert!(!told.is_ended, "W13: the stream is behind: {reply:?}");
            if let Some(past) = told.untold(known, reply.header.revision) {
                let (key, at) = (&past.kv.key, past.revision);
                panic!("W13: {number} was not told of {key} at {at}: {reply:?}");
            }
        }
    }

    /// Rows W7, W8, W10, W11, W14, C2.
    fn hear_events(&mut self, reply: &WatchReply, known: Known<'_>) {
        let number = reply.watch_id;
        let Some(told) = self.watches.get_mut(&number).filter(|told| !told.is_ended) else {
            panic!("W6: there is no such watch: {reply:?}")
        };
        let goes_on = self.in_parts.take();
        assert!(goes_on.is_none_or(|part| part == number), "W14: in between: {reply:?}");
        if goes_on.is_none() {
            told.part.clear();
        }
        if told.is_odd {
            return;
        }
        for event in &reply.events {
            told.hear(event, known, reply);
        }
        let header = reply.header.revision;
        let is_alone = told.part.len() == 1 && told.part.contains(&header);
        assert!(
            is_alone || !told.is_in_step,
            "W7: not one revision, that of the header: {reply:?}"
        );
        let most = known.config().sync_revisions;
        assert!(told.part.len() <= most, "W8: more than {most} revisions: {reply:?}");
        assert!(told.last <= header, "W8: the header is behind: {reply:?}");
        if reply.fragment {
            assert!(told.watch.fragment, "W14: in parts that nobody asked for: {reply:?}");
            self.in_parts = Some(number);
            return;
        }
        if let Some(past) = told.untold(known, told.last) {
            panic!("W7, W8: of {} not {}: {reply:?}", past.revision, past.kv.key);
        }
        let is_unlimited = known.config().limits.stream_bytes.is_none();
        // With filters what is left of the history may be what nobody is told.
        let is_whole = told.watch.filters.is_empty() && told.has_all(known, header);
        told.is_in_step |= is_unlimited && is_whole;
    }
}
