//! The model and real etcd, side by side: the same steps done to both, every answer compared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use portolan_core::waist::{
    AttemptId, DeleteRange, KeyRange, Put, Range, Reply, Request, Revision, Revoke, Watch, WatchSay,
};
use portolan_kit::Release;

use super::draw::{Present, Step, compaction};
use super::mask;
use crate::conformance::model::ModelStore;
use crate::conformance::real::RealStore;
use crate::conformance::store::{Setup, Store};

/// Both stores, alike at all times.
pub struct Pair {
    release: Release,
    stores: Option<Stores>,
    /// How often each kind of answer was seen, for the record.
    pub seen: BTreeMap<String, u64>,
    /// Steps taken.
    pub steps: u64,
    /// How many differences did not come again.
    late: u64,
}

struct Stores {
    model: ModelStore,
    etcd: RealStore,
    present: Present,
    streams: BTreeMap<u8, Stream>,
    /// Whether a watch may be behind at etcd, without this showing in what it was told.
    unsettled: bool,
    /// How often which kind of message came on a stream.
    told: BTreeMap<String, u64>,
}

/// A watch stream, on both sides, with what was said since both were last found alike.
struct Stream {
    model: AttemptId,
    etcd: AttemptId,
    model_said: Vec<Reply>,
    etcd_said: Vec<Reply>,
    /// Watches that were behind at some time.
    behind: BTreeSet<i64>,
}

/// Where the two differ.
pub struct Difference(pub String);

type Alike<T = ()> = Result<T, Difference>;

impl Pair {
    pub fn new(release: Release) -> Self {
        Self { release, stores: None, seen: BTreeMap::new(), steps: 0, late: 0 }
    }

    /// Takes the steps of one case. What differs has to differ twice: etcd's watches keep times of
    /// their own, and on a busy machine one of them may be late once.
    pub fn case(&mut self, steps: &[Step]) -> Alike {
        let Err(Difference(first)) = self.take(steps) else { return Ok(()) };
        self.take(steps)?;
        eprintln!("a difference that did not come again, {first}");
        self.late += 1;
        let most = 1 + self.steps / 5_000;
        if self.late > most {
            return Err(Difference(format!("now and then, more than {most} times: {first}")));
        }
        Ok(())
    }

    /// Takes the steps of one case, from empty stores on. If they differ, both are given up, so
    /// that the next case finds them alike again.
    fn take(&mut self, steps: &[Step]) -> Alike {
        let mut stores = match self.stores.take() {
            Some(stores) => stores,
            None => Stores::start(self.release)?,
        };
        stores.clean()?;
        for (number, step) in steps.iter().enumerate() {
            self.steps += 1;
            let outcome = stores.step(step).map_err(|Difference(what)| {
                Difference(format!("at step {number}, {step:?}:\n{what}"))
            })?;
            if let Some(outcome) = outcome {
                *self.seen.entry(outcome).or_default() += 1;
            }
        }
        stores.settle()?;
        for place in stores.streams.keys().copied().collect::<Vec<_>>() {
            stores.close(place);
        }
        for (said, count) in std::mem::take(&mut stores.told) {
            *self.seen.entry(said).or_default() += count;
        }
        self.stores = Some(stores);
        Ok(())
    }
}

impl Stores {
    /// Two fresh stores, some way from revision 1: what is drawn as so many revisions ago is then a
    /// revision in every case, and a case does the same whether others came before it or not.
    fn start(release: Release) -> Alike<Self> {
        let etcd = RealStore::start(release, Setup::FRESH);
        let model = ModelStore::new(Some(etcd.release()), Setup::FRESH);
        let present = Present { revision: Revision(1), compacted: Revision::ZERO };
        let (streams, told) = (BTreeMap::new(), BTreeMap::new());
        let mut stores = Self { model, etcd, present, streams, unsettled: false, told };
        for _ in 0..20 {
            stores.call(&Request::Put(Put { key: "start".into(), ..Put::default() }))?;
        }
        Ok(stores)
    }

    /// No keys, no leases, and no history below the present.
    fn clean(&mut self) -> Alike {
        let leases = self.call(&Request::Leases)?;
        if let Reply::Leases(reply) = leases {
            for lease in reply.leases {
                self.call(&Request::Revoke(Revoke { lease }))?;
            }
        }
        self.call(&Request::Delete(DeleteRange { keys: KeyRange::all(), prev_kv: false }))?;
        self.call(&Request::Range(Range::of(KeyRange::all())))?;
        let revision = self.present.revision;
        self.call(&Request::Compact(compaction(revision)))?;
        Ok(())
    }

    /// What was done, and how it ended, in a word or two.
    fn step(&mut self, step: &Step) -> Alike<Option<String>> {
        if let Some(request) = step.request(self.present) {
            if matches!(request, Request::Compact(_)) {
                // A watch behind may or may not make it; one with events under way looks up what
                // was there before.
                self.settle()?;
            }
            let reply = self.call(&request)?;
            return Ok(Some(outcome(&reply)));
        }
        match step {
            Step::Open(stream, watch) if !self.streams.contains_key(stream) => {
                let watch = watch.words(self.present);
                self.open(*stream, watch)?;
            }
            Step::Create(stream, watch) if self.streams.contains_key(stream) => {
                let watch = watch.words(self.present);
                self.say(*stream, WatchSay::Create(watch.clone()))?;
                self.note_start(*stream, watch.start);
            }
            Step::Cancel(stream, id) if self.streams.contains_key(stream) => {
                // Events on the way are lost at a cancel, or not.
                self.settle()?;
                self.say(*stream, WatchSay::Cancel { id: *id })?;
            }
            Step::Progress(stream) if self.streams.contains_key(stream) => {
                self.settle()?;
                self.say(*stream, WatchSay::Progress)?;
            }
            Step::Close(stream) if self.streams.contains_key(stream) => {
                self.settle()?;
                self.close(*stream);
            }
            _ => return Ok(None),
        }
        Ok(None)
    }

    /// Asks both, and compares.
    fn call(&mut self, request: &Request) -> Alike<Reply> {
        let attempt = self.model.submit(request.clone());
        let model = self.hear_model(Some(attempt));
        let attempt = self.etcd.submit(request.clone());
        let etcd = self.hear_etcd(attempt);
        let (Some(model), Some(etcd)) = (&model, &etcd) else {
            return Err(Difference(format!("{request:?}\nmodel: {model:?}\netcd:  {etcd:?}")));
        };
        let masked = [model, etcd].map(|reply| mask::reply(request, reply.clone()));
        if masked[0] != masked[1] {
            let [model, etcd] = masked;
            return Err(Difference(format!("{request:?}\nmodel: {model:?}\netcd:  {etcd:?}")));
        }
        if let Some(header) = model.header() {
            self.present.revision = header.revision;
        }
        if let (Request::Compact(compact), Reply::Compact(_)) = (request, model) {
            self.present.compacted = compact.revision;
        }
        Ok(model.clone())
    }

    fn open(&mut self, place: u8, watch: Watch) -> Alike {
        let start = watch.start;
        let model = self.model.submit(Request::Watch(watch.clone()));
        let etcd = self.etcd.submit(Request::Watch(watch));
        let stream = Stream {
            model,
            etcd,
            model_said: Vec::new(),
            etcd_said: Vec::new(),
            behind: BTreeSet::new(),
        };
        self.streams.insert(place, stream);
        self.hear_model(None);
        self.keep_up(place)?;
        self.note_start(place, start);
        Ok(())
    }

    fn say(&mut self, place: u8, say: WatchSay) -> Alike {
        let stream = &self.streams[&place];
        let (model, etcd) = (stream.model, stream.etcd);
        self.model.submit(Request::OnWatch { stream: model, say: say.clone() });
        self.etcd.submit(Request::OnWatch { stream: etcd, say });
        self.hear_model(None);
        self.keep_up(place)
    }

    /// Notes whether the watch that was created last starts in the past, and so is behind for a
    /// while.
    fn note_start(&mut self, place: u8, start: Revision) {
        if start == Revision::ZERO || start > self.present.revision {
            return;
        }
        self.unsettled = true;
        if let Some(stream) = self.streams.get_mut(&place) {
            let created = stream.etcd_said.iter().rev().find_map(|reply| match reply {
                Reply::Watch(message) if message.created => Some(message.watch_id),
                _ => None,
            });
            stream.behind.extend(created);
        }
    }

    /// Takes in what the model has said; gives back the answer to `attempt`.
    fn hear_model(&mut self, attempt: Option<AttemptId>) -> Option<Reply> {
        let mut answer = None;
        while let Some((id, reply)) = self.model.poll(Duration::ZERO) {
            if Some(id) == attempt {
                answer = Some(reply);
            } else if let Some(stream) = self.streams.values_mut().find(|s| s.model == id) {
                stream.model_said.push(reply);
            }
        }
        answer
    }

    /// Waits for etcd's answer to `attempt`, taking in what else it says.
    fn hear_etcd(&mut self, attempt: AttemptId) -> Option<Reply> {
        loop {
            let (id, reply) = self.etcd.poll(PATIENCE)?;
            if id == attempt {
                return Some(reply);
            }
            self.take_in(id, reply);
        }
    }

    fn take_in(&mut self, id: AttemptId, reply: Reply) {
        if let Some(stream) = self.streams.values_mut().find(|stream| stream.etcd == id) {
            stream.etcd_said.push(reply);
        }
    }

    /// Waits until etcd has said as much on a stream as the model.
    fn keep_up(&mut self, place: u8) -> Alike {
        let give_up_at = Instant::now() + PATIENCE;
        while self.streams[&place].is_short() {
            let left = give_up_at.saturating_duration_since(Instant::now());
            match self.etcd.poll(left) {
                Some((id, reply)) => self.take_in(id, reply),
                None => return Err(self.streams[&place].difference()),
            }
        }
        Ok(())
    }

    /// Lets every watch catch up on both sides, and compares what was said.
    fn settle(&mut self) -> Alike {
        self.model.wait(CATCH_UP);
        self.hear_model(None);
        if std::mem::take(&mut self.unsettled) {
            let until = Instant::now() + CATCH_UP;
            loop {
                let left = until.saturating_duration_since(Instant::now());
                let Some((id, reply)) = self.etcd.poll(left) else { break };
                self.take_in(id, reply);
            }
        }
        for place in self.streams.keys().copied().collect::<Vec<_>>() {
            self.keep_up(place)?;
            let stream = self.streams.get_mut(&place).expect("it is listed");
            for kind in stream.compare()? {
                *self.told.entry(kind).or_default() += 1;
            }
        }
        Ok(())
    }

    fn close(&mut self, place: u8) {
        if let Some(stream) = self.streams.remove(&place) {
            self.model.cancel(stream.model);
            self.etcd.cancel(stream.etcd);
        }
    }
}

impl Stream {
    /// Whether etcd has said less than the model so far.
    fn is_short(&self) -> bool {
        let (model, etcd) = (tally(&self.model_said), tally(&self.etcd_said));
        etcd.0 < model.0 || etcd.1 < model.1
    }

    /// Compares what was said, and forgets it. Gives back which kinds of message came.
    fn compare(&mut self) -> Alike<Vec<String>> {
        let model = mask::stream(&self.model_said, &self.behind);
        let etcd = mask::stream(&self.etcd_said, &self.behind);
        if model != etcd {
            return Err(self.difference());
        }
        self.etcd_said.clear();
        Ok(self.model_said.drain(..).map(|reply| kind(&reply)).collect())
    }

    fn difference(&self) -> Difference {
        let model = mask::stream(&self.model_said, &self.behind);
        let etcd = mask::stream(&self.etcd_said, &self.behind);
        let mut text = String::new();
        let ids: BTreeSet<_> = model.keys().chain(etcd.keys()).collect();
        for id in ids.into_iter().filter(|id| model.get(id) != etcd.get(id)) {
            let (model, etcd) = (model.get(id), etcd.get(id));
            text += &format!("watch {id}\nmodel: {model:#?}\netcd:  {etcd:#?}\n");
        }
        Difference(text)
    }
}

/// How many events, and how many messages without any.
fn tally(said: &[Reply]) -> (usize, usize) {
    let events = |reply: &Reply| match reply {
        Reply::Watch(message) => message.events.len(),
        _ => 0,
    };
    let (with, without): (Vec<_>, Vec<_>) = said.iter().map(events).partition(|&events| events > 0);
    (with.iter().sum(), without.len())
}

/// How a call ended, in a few words.
fn outcome(reply: &Reply) -> String {
    let words = match reply {
        Reply::Failed(error) => return error.to_string(),
        Reply::Range(reply) if reply.more => "range, cut",
        Reply::Range(_) => "range",
        Reply::Put(_) => "put",
        Reply::Delete(reply) if reply.deleted == 0 => "delete of nothing",
        Reply::Delete(_) => "delete",
        Reply::Txn(reply) if reply.succeeded => "transaction, compares held",
        Reply::Txn(_) => "transaction, compares did not hold",
        Reply::Compact(_) => "compaction",
        Reply::Grant(_) => "grant",
        Reply::Revoke(_) => "revoke",
        Reply::KeepAlive(reply) if reply.ttl_secs > 0 => "renewal",
        Reply::KeepAlive(_) => "renewal of nothing",
        Reply::TimeToLive(reply) if reply.ttl_secs > 0 => "time to live",
        Reply::TimeToLive(_) => "time to live of nothing",
        Reply::Leases(_) => "leases",
        Reply::Watch(_) | Reply::Status(_) | Reply::Authenticated => "never drawn",
    };
    words.to_owned()
}

/// What kind of message a stream brought.
fn kind(reply: &Reply) -> String {
    let Reply::Watch(message) = reply else { return "stream failed".to_owned() };
    let words = if message.created && message.canceled {
        "watch refused"
    } else if message.created {
        "watch created"
    } else if message.canceled && message.compact_revision != Revision::ZERO {
        "watch compacted away"
    } else if message.canceled {
        "watch cancelled"
    } else if message.events.is_empty() {
        "watch progress"
    } else if message.events.len() > 1 {
        "watch events, several"
    } else {
        "watch event"
    };
    words.to_owned()
}

/// Longer than a watch that is behind waits to be served, which is 100 ms.
const CATCH_UP: Duration = Duration::from_millis(300);
/// Longer than any answer takes that comes at all.
const PATIENCE: Duration = Duration::from_secs(5);
