//! Two stores, the model and real etcd, side by side: the same steps done to both, every answer
//! compared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portolan_core::waist::{
    AttemptId, DeleteRange, KeyRange, Put, Range, Reply, Request, Revision, Revoke, Watch, WatchSay,
};

use super::draw::{Present, Step, compaction};
use super::mask;
use crate::conformance::store::Store;

/// Both stores, alike at all times.
pub struct Pair {
    start: Start,
    stores: Option<Stores>,
    /// How often each kind of answer was seen, for the record.
    pub seen: BTreeMap<String, u64>,
    /// Steps taken: what was sent to both. A step that found nothing to do is none.
    pub steps: u64,
}

/// Starts a model and the store that it is held against, both empty.
pub type Start = fn() -> [Box<dyn Store>; 2];

struct Stores {
    model: Box<dyn Store>,
    etcd: Box<dyn Store>,
    present: Present,
    streams: BTreeMap<u8, Stream>,
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

/// What a step came to.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Taken {
    /// A call, and how it ended, in a word or two.
    Call(String),
    /// Something said on a stream.
    Said,
    /// There was nothing to do it to.
    Nothing,
}

impl Pair {
    pub fn new(start: Start) -> Self {
        Self { start, stores: None, seen: BTreeMap::new(), steps: 0 }
    }

    /// Takes the steps of one case, from empty stores on. If they differ, both are given up, so
    /// that the next case finds them alike again.
    pub fn case(&mut self, steps: &[Step]) -> Alike {
        let mut stores = match self.stores.take() {
            Some(stores) => stores,
            None => Stores::start((self.start)())?,
        };
        stores.clean()?;
        for (number, step) in steps.iter().enumerate() {
            let taken = stores.step(step).map_err(|Difference(what)| {
                Difference(format!("at step {number}, {step:?}:\n{what}"))
            })?;
            self.steps += u64::from(taken != Taken::Nothing);
            if let Taken::Call(outcome) = taken {
                *self.seen.entry(outcome).or_default() += 1;
            }
        }
        stores.settle().map_err(|Difference(what)| Difference(format!("at the end:\n{what}")))?;
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
    fn start([model, etcd]: [Box<dyn Store>; 2]) -> Alike<Self> {
        let present = Present { revision: Revision(1), compacted: Revision::ZERO };
        let (streams, told) = (BTreeMap::new(), BTreeMap::new());
        let mut stores = Self { model, etcd, present, streams, told };
        for _ in 0..20 {
            stores.call(&Request::Put(Put { key: MARK.into(), ..Put::default() }))?;
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

    fn step(&mut self, step: &Step) -> Alike<Taken> {
        if matches!(step, Step::Compact(_)) {
            // A watch behind may or may not make it; one with events under way looks up what was
            // there before.
            self.settle()?;
        }
        if let Some(request) = step.request(self.present) {
            let reply = self.call(&request)?;
            return Ok(Taken::Call(outcome(&reply)));
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
            _ => return Ok(Taken::Nothing),
        }
        Ok(Taken::Said)
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
        let give_up_at = self.etcd.now() + PATIENCE;
        while self.streams[&place].is_short() {
            let left = give_up_at.saturating_sub(self.etcd.now());
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
        if !self.streams.is_empty() {
            self.overtake()?;
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

    /// Waits until etcd has served every watch that is behind, also those that there is nothing to
    /// tell: it serves all of them together, so that one more that is created now is not before
    /// the others. That one is known to be told of a put. What etcd says though the model is silent
    /// has come by then, too.
    fn overtake(&mut self) -> Alike {
        self.call(&Request::Put(Put { key: MARK.into(), ..Put::default() }))?;
        let watch = Watch::of(KeyRange::one(MARK), self.present.revision);
        let last = self.etcd.submit(Request::Watch(watch));
        loop {
            match self.etcd.poll(PATIENCE) {
                Some((id, Reply::Watch(message))) if id == last => {
                    if !message.events.is_empty() {
                        self.etcd.cancel(last);
                        return Ok(());
                    }
                }
                Some((id, reply)) => self.take_in(id, reply),
                None => return Err(Difference("a watch behind is not served".to_owned())),
            }
        }
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
        etcd.iter().zip(model).any(|(&etcd, model)| etcd < model)
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

/// How many events, how many watches created, and how many other messages. Each for itself: the end
/// of one watch may come before the beginning of another, or after it.
fn tally(said: &[Reply]) -> [usize; 3] {
    let mut counts = [0; 3];
    for reply in said {
        match reply {
            Reply::Watch(message) if message.created => counts[1] += 1,
            Reply::Watch(message) if !message.events.is_empty() => {
                counts[0] += message.events.len()
            }
            _ => counts[2] += 1,
        }
    }
    counts
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
        Reply::Status(_) => "status",
        Reply::Watch(_) | Reply::Members(_) | Reply::Authenticated | Reply::CredentialsChanged => {
            "never drawn"
        }
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

/// Longer than a watch that is behind waits to be served, by the model's own clock.
const CATCH_UP: Duration = Duration::from_millis(300);
/// Longer than any answer takes that comes at all, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(10);
/// A key that is never drawn.
const MARK: &str = "mark";
