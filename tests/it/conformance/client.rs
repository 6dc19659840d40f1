//! A client of a store under test: asks, and reads what comes back.

use std::collections::VecDeque;
use std::time::Duration;

use portolan_core::waist::{
    AttemptId, Compact, DeleteRange, DeleteReply, Grant, GrantReply, KeepAlive, KeepAliveReply,
    Key, KeyEvent, KeyRange, KeyValue, LeaseId, Op, Put, PutReply, Range, RangeReply, Reply,
    Request, Revision, Revoke, RevokeReply, StoreError, TimeToLive, TimeToLiveReply, Txn, TxnReply,
    Watch, WatchReply, WatchSay,
};

use portolan_memory::Admin;

use super::store::{Happening, PASS, ROOT, Store};

/// One case's way to its store. Every key that it names lies below a prefix of its own.
pub struct Client<'a> {
    store: &'a mut dyn Store,
    prefix: String,
    /// Answers that came while another one was waited for.
    aside: VecDeque<(AttemptId, Reply)>,
    leases: i64,
}

impl<'a> Client<'a> {
    /// `number` sets its keys and leases apart from those of other cases on the same store.
    pub fn new(store: &'a mut dyn Store, number: usize) -> Self {
        let leases = i64::try_from(number).expect("there are few cases") << 32;
        Self { store, prefix: format!("{number:03}/"), aside: VecDeque::new(), leases }
    }

    pub fn key(&self, name: &str) -> Key {
        format!("{}{name}", self.prefix).into()
    }

    /// All keys of the case.
    pub fn all(&self) -> KeyRange {
        KeyRange::prefix(self.prefix.as_str())
    }

    /// From one key of the case to another, which does not belong to it.
    pub fn span(&self, from: &str, to: &str) -> KeyRange {
        KeyRange::span(self.key(from), self.key(to))
    }

    pub fn one(&self, name: &str) -> KeyRange {
        KeyRange::one(self.key(name))
    }

    /// A lease id that was never used.
    pub fn lease_id(&mut self) -> LeaseId {
        self.leases += 1;
        LeaseId::new(self.leases).expect("it is above 0")
    }

    /// The id of a lease that never is.
    pub fn never(&self) -> LeaseId {
        LeaseId::new(i64::MAX).expect("it is not 0")
    }
}

/// What is asked, and what is expected of the answer's kind.
impl Client<'_> {
    pub fn submit(&mut self, request: Request) -> AttemptId {
        self.store.submit(request)
    }

    pub fn cancel(&mut self, attempt: AttemptId) {
        self.store.cancel(attempt);
    }

    pub fn now(&self) -> Duration {
        self.store.now()
    }

    pub fn wait(&mut self, span: Duration) {
        self.store.wait(span);
    }

    pub fn release(&self) -> &str {
        self.store.release()
    }

    pub fn turn_to(&mut self, member: u16) {
        self.store.turn_to(member);
    }

    pub fn leader(&mut self) -> u16 {
        self.store.leader()
    }

    /// Asks as a user whose password is [`PASS`], or as root, or as nobody.
    pub fn act_as(&mut self, user: &str) {
        match user {
            "" => self.store.act_as(None),
            "root" => self.store.act_as(Some((user, ROOT))),
            _ => self.store.act_as(Some((user, PASS))),
        }
    }

    /// Asks as somebody with a password that may be wrong.
    pub fn act_with(&mut self, user: &str, password: &str) {
        self.store.act_as(Some((user, password)));
    }

    pub fn administer(&mut self, admin: Admin) {
        self.store.administer(&admin);
    }

    pub fn happen(&mut self, event: Happening) {
        self.store.happen(event);
    }

    /// The answer to `attempt`, if it comes in time; other answers are kept for later.
    pub fn answer_within(&mut self, attempt: AttemptId, limit: Duration) -> Option<Reply> {
        if let Some(at) = self.aside.iter().position(|(id, _)| *id == attempt) {
            return self.aside.remove(at).map(|(_, reply)| reply);
        }
        let until = self.now() + limit;
        loop {
            let (id, reply) = self.store.poll(until.saturating_sub(self.now()))?;
            if id == attempt {
                return Some(reply);
            }
            self.aside.push_back((id, reply));
        }
    }

    pub fn answer(&mut self, attempt: AttemptId) -> Reply {
        self.answer_within(attempt, PATIENCE).expect("an answer comes in time")
    }

    pub fn ask(&mut self, request: Request) -> Reply {
        let attempt = self.submit(request);
        self.answer(attempt)
    }

    pub fn failure(&mut self, request: Request) -> StoreError {
        let reply = self.ask(request.clone());
        let Reply::Failed(error) = reply else { panic!("{request:?} was to fail: {reply:?}") };
        error
    }

    pub fn put(&mut self, name: &str, value: &str) -> PutReply {
        let put = self.a_put(name, value);
        self.ask_put(put)
    }

    pub fn ask_put(&mut self, put: Put) -> PutReply {
        let reply = self.ask(Request::Put(put));
        let Reply::Put(reply) = reply else { panic!("put: {reply:?}") };
        reply
    }

    pub fn range(&mut self, range: Range) -> RangeReply {
        let reply = self.ask(Request::Range(range));
        let Reply::Range(reply) = reply else { panic!("range: {reply:?}") };
        reply
    }

    /// All records of the case.
    pub fn records(&mut self) -> RangeReply {
        self.range(Range::of(self.all()))
    }

    pub fn get(&mut self, name: &str) -> Option<KeyValue> {
        self.range(Range::of(self.one(name))).kvs.pop()
    }

    /// The store's revision, asked of the store.
    pub fn revision(&mut self) -> Revision {
        self.records().header.revision
    }

    pub fn delete(&mut self, keys: KeyRange) -> DeleteReply {
        let reply = self.ask(Request::Delete(DeleteRange { keys, prev_kv: true }));
        let Reply::Delete(reply) = reply else { panic!("delete: {reply:?}") };
        reply
    }

    pub fn txn(&mut self, txn: Txn) -> TxnReply {
        let reply = self.ask(Request::Txn(txn));
        let Reply::Txn(reply) = reply else { panic!("txn: {reply:?}") };
        reply
    }

    pub fn compact(&mut self, revision: Revision) {
        let reply = self.ask(Request::Compact(Compact { revision, physical: false }));
        assert!(matches!(reply, Reply::Compact(_)), "compact: {reply:?}");
    }

    pub fn grant(&mut self, ttl_secs: i64) -> LeaseId {
        let lease = Some(self.lease_id());
        self.ask_grant(Grant { lease, ttl_secs }).lease
    }

    pub fn ask_grant(&mut self, grant: Grant) -> GrantReply {
        let reply = self.ask(Request::Grant(grant));
        let Reply::Grant(reply) = reply else { panic!("grant: {reply:?}") };
        reply
    }

    pub fn revoke(&mut self, lease: LeaseId) -> RevokeReply {
        let reply = self.ask(Request::Revoke(Revoke { lease }));
        let Reply::Revoke(reply) = reply else { panic!("revoke: {reply:?}") };
        reply
    }

    pub fn renew(&mut self, lease: LeaseId) -> KeepAliveReply {
        let reply = self.ask(Request::KeepAlive(KeepAlive { lease }));
        let Reply::KeepAlive(reply) = reply else { panic!("renewal: {reply:?}") };
        reply
    }

    pub fn time_to_live(&mut self, lease: LeaseId) -> TimeToLiveReply {
        let reply = self.ask(Request::TimeToLive(TimeToLive { lease, keys: true }));
        let Reply::TimeToLive(reply) = reply else { panic!("time to live: {reply:?}") };
        reply
    }

    /// Asks until the store is there again: connections broken meanwhile cost a call each.
    pub fn come_back(&mut self) {
        for _ in 0..100 {
            let reply = self.ask(Request::Range(Range::of(self.all())));
            if matches!(reply, Reply::Range(_)) {
                return;
            }
            self.wait(Duration::from_millis(100));
        }
        panic!("the store does not come back");
    }
}

/// Watches.
impl Client<'_> {
    /// Opens a stream with one watch, and reads that it was created.
    pub fn watch(&mut self, watch: Watch) -> AttemptId {
        let stream = self.submit(Request::Watch(watch));
        let created = self.told(stream);
        assert!(created.created && !created.canceled && created.events.is_empty(), "{created:?}");
        stream
    }

    /// Opens a stream on all keys of the case.
    pub fn watch_all(&mut self, start: Revision) -> AttemptId {
        self.watch(Watch::of(self.all(), start))
    }

    pub fn say(&mut self, stream: AttemptId, say: WatchSay) {
        self.submit(Request::OnWatch { stream, say });
    }

    /// The next message on a stream.
    pub fn told(&mut self, stream: AttemptId) -> WatchReply {
        let reply = self.answer(stream);
        let Reply::Watch(reply) = reply else { panic!("a watch was told {reply:?}") };
        reply
    }

    /// The next `count` events of a stream, in whatever messages they come.
    pub fn events(&mut self, stream: AttemptId, count: usize) -> Vec<KeyEvent> {
        let mut events = Vec::new();
        while events.len() < count {
            let message = self.told(stream);
            assert!(!message.canceled, "{message:?}");
            events.extend(message.events);
        }
        assert_eq!(events.len(), count, "{events:?}");
        events
    }

    /// Nothing comes on a stream, for as long as a watch that is behind may take to be served.
    pub fn silent(&mut self, stream: AttemptId) {
        self.silent_for(stream, Duration::from_millis(400));
    }

    pub fn silent_for(&mut self, stream: AttemptId, span: Duration) {
        let told = self.answer_within(stream, span);
        assert_eq!(told, None);
    }
}

/// Words.
impl Client<'_> {
    pub fn a_put(&self, name: &str, value: &str) -> Put {
        Put { key: self.key(name), value: value.into(), ..Put::default() }
    }

    pub fn op_put(&self, name: &str, value: &str) -> Op {
        Op::Put(self.a_put(name, value))
    }

    pub fn op_get(&self, name: &str) -> Op {
        Op::Range(Range::of(self.one(name)))
    }

    pub fn op_delete(&self, keys: KeyRange) -> Op {
        Op::Delete(DeleteRange { keys, prev_kv: false })
    }
}

/// A transaction that runs `ops`, whatever holds.
pub fn always(ops: impl Into<Vec<Op>>) -> Txn {
    Txn { then: ops.into(), ..Txn::default() }
}

/// The keys of records, without the case's prefix.
pub fn names(kvs: &[KeyValue]) -> Vec<String> {
    kvs.iter().map(|kv| name(&kv.key)).collect()
}

/// A key without the case's prefix.
pub fn name(key: &Key) -> String {
    let text = key.to_string();
    text.split_once('/').map_or(text.clone(), |(_, name)| name.to_owned())
}

/// Longer than any answer takes that comes at all; the longest is etcd's own limit of 7 s.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Changes a request on the way: `client.a_put("a", "1").tap(|put| put.prev_kv = true)`.
pub trait Tap: Sized {
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Tap for Put {}
impl Tap for Range {}
impl Tap for Watch {}
