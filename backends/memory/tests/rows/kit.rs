//! A model with a client: asks, waits, and collects what is said.

use std::time::Duration;

use portolan_core::Time;
use portolan_core::waist::{
    AttemptId, Compact, Compare, DeleteRange, Grant, KeepAlive, Key, KeyEvent, KeyRange, KeyValue,
    LeaseId, MemberId, Op, Put, Range, RangeReply, Reply, Request, Revision, StoreError, Txn,
    TxnReply, Watch, WatchReply, WatchSay,
};
use portolan_memory::{
    ClientId, Config, Fault, Input, MemberFault, Model, Operated, Operation, Output, Pass,
};

pub(crate) const ME: ClientId = ClientId(1);

pub(crate) struct Bench {
    pub(crate) model: Model,
    pub(crate) now: Time,
    /// What requests are sent with.
    pub(crate) pass: Pass,
    attempts: u64,
    /// What was said and not asked for yet.
    said: Vec<Output>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        Self {
            model: Model::new(config),
            now: Time::ZERO,
            pass: Pass::Nobody,
            attempts: 0,
            said: Vec::new(),
        }
    }

    /// A cluster of three.
    pub(crate) fn three() -> Self {
        Self::with(Config::default().members(3))
    }

    /// Its clients do not ask for a leader.
    pub(crate) fn patient(members: u16) -> Self {
        Self::with(Config { require_leader: false, ..Config::default().members(members) })
    }

    /// The place of the member that leads, if there is one.
    pub(crate) fn leader(&self) -> Option<u16> {
        self.model.leader().map(|MemberId(place)| place)
    }

    /// Sends a request, without looking for its answer.
    pub(crate) fn send(&mut self, request: Request) -> AttemptId {
        self.send_as(ME, request)
    }

    pub(crate) fn send_as(&mut self, from: ClientId, request: Request) -> AttemptId {
        let attempt = self.next_attempt();
        self.input(Input::Request {
            from,
            attempt,
            member: MemberId(0),
            request,
            pass: self.pass.clone(),
        });
        attempt
    }

    /// Asks one of several members, without looking for the answer.
    pub(crate) fn send_to(&mut self, member: u16, request: Request) -> AttemptId {
        let attempt = self.next_attempt();
        self.input(Input::Request {
            from: ME,
            attempt,
            member: MemberId(member),
            request,
            pass: self.pass.clone(),
        });
        attempt
    }

    /// Asks one of several members, and expects an answer at once.
    pub(crate) fn ask_at(&mut self, member: u16, request: Request) -> Reply {
        let attempt = self.send_to(member, request.clone());
        self.answer(attempt).unwrap_or_else(|| panic!("no answer of m{member} to {request:?}"))
    }

    /// The error that an attempt was answered with, if it was.
    pub(crate) fn failed(&mut self, attempt: AttemptId) -> Option<StoreError> {
        match self.answer(attempt) {
            Some(Reply::Failed(error)) => Some(error),
            None => None,
            Some(other) => panic!("{other:?}"),
        }
    }

    /// Asks as an operator, and expects to be told at once.
    pub(crate) fn operate(&mut self, operation: Operation) -> Result<Operated, StoreError> {
        let attempt = self.next_attempt();
        let (from, member, pass) = (ME, MemberId(0), self.pass.clone());
        self.input(Input::Operate { from, attempt, member, operation, pass });
        match self.model.poll_operated() {
            Some(told) => {
                assert_eq!((told.to, told.attempt), (ME, attempt));
                Ok(told)
            }
            None => Err(self.failed(attempt).expect("an answer at once")),
        }
    }

    fn next_attempt(&mut self) -> AttemptId {
        self.attempts += 1;
        AttemptId(self.attempts)
    }

    pub(crate) fn member_fault(&mut self, member: u16, fault: MemberFault) {
        self.fault(Fault::Member(MemberId(member), fault));
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.model.handle(self.now, input);
        self.drain();
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        self.input(Input::Fault(fault));
    }

    /// The answer to `attempt`, if it has come.
    pub(crate) fn answer(&mut self, attempt: AttemptId) -> Option<Reply> {
        let place = self.said.iter().position(|output| output.attempt == attempt)?;
        Some(self.said.remove(place).reply)
    }

    /// Asks and expects an answer at once.
    pub(crate) fn ask(&mut self, request: Request) -> Reply {
        let attempt = self.send(request.clone());
        self.answer(attempt).unwrap_or_else(|| panic!("no answer to {request:?}"))
    }

    /// The error that `request` is answered with, if it is one.
    pub(crate) fn error(&mut self, request: Request) -> Option<StoreError> {
        if let Reply::Failed(error) = self.ask(request) { Some(error) } else { None }
    }

    /// Lets time pass, timers running when they are due.
    pub(crate) fn wait(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(due) = self.model.poll_timeout().filter(|&due| due <= until) {
            assert!(due >= self.now, "a timer lies in the past");
            self.now = due;
            self.input(Input::Tick);
        }
        self.now = until;
        self.input(Input::Tick);
    }

    pub(crate) fn wait_ms(&mut self, millis: u64) {
        self.wait(Duration::from_millis(millis));
    }

    pub(crate) fn revision(&self) -> i64 {
        self.model.revision().0
    }

    pub(crate) fn put(&mut self, key: &str, value: &str) -> i64 {
        self.put_with(put(key, value))
    }

    pub(crate) fn put_on(&mut self, key: &str, value: &str, lease: i64) -> i64 {
        self.put_with(Put { lease: LeaseId::new(lease), ..put(key, value) })
    }

    pub(crate) fn put_with(&mut self, put: Put) -> i64 {
        let reply = self.ask(Request::Put(put));
        let Reply::Put(reply) = reply else { panic!("{reply:?}") };
        reply.header.revision.0
    }

    pub(crate) fn delete(&mut self, keys: KeyRange) -> (i64, i64) {
        let reply = self.ask(Request::Delete(DeleteRange { keys, prev_kv: false }));
        let Reply::Delete(reply) = reply else { panic!("{reply:?}") };
        (reply.header.revision.0, reply.deleted)
    }

    pub(crate) fn range(&mut self, range: Range) -> RangeReply {
        let reply = self.ask(Request::Range(range));
        let Reply::Range(reply) = reply else { panic!("{reply:?}") };
        reply
    }

    pub(crate) fn get(&mut self, key: &str) -> Option<KeyValue> {
        self.range(Range::of(KeyRange::one(key))).kvs.pop()
    }

    pub(crate) fn txn(
        &mut self,
        compares: Vec<Compare>,
        then: Vec<Op>,
        or_else: Vec<Op>,
    ) -> TxnReply {
        let reply = self.ask(Request::Txn(Txn { compares, then, or_else }));
        let Reply::Txn(reply) = reply else { panic!("{reply:?}") };
        reply
    }

    pub(crate) fn compact(&mut self, revision: i64) -> Option<StoreError> {
        self.error(Request::Compact(Compact { revision: Revision(revision), physical: false }))
    }

    pub(crate) fn grant(&mut self, lease: i64, ttl_secs: i64) -> i64 {
        let reply = self.ask(Request::Grant(Grant { lease: LeaseId::new(lease), ttl_secs }));
        let Reply::Grant(reply) = reply else { panic!("{reply:?}") };
        reply.ttl_secs
    }

    pub(crate) fn watch(&mut self, watch: Watch) -> AttemptId {
        self.send(Request::Watch(watch))
    }

    pub(crate) fn say(&mut self, stream: AttemptId, say: WatchSay) {
        self.send(Request::OnWatch { stream, say });
    }

    /// What was said on a stream since the last look.
    pub(crate) fn heard(&mut self, stream: AttemptId) -> Vec<WatchReply> {
        let mut heard = Vec::new();
        while let Some(reply) = self.answer(stream) {
            let Reply::Watch(reply) = reply else { panic!("{reply:?}") };
            heard.push(reply);
        }
        heard
    }

    pub(crate) fn heard_events(&mut self, stream: AttemptId) -> Vec<KeyEvent> {
        self.heard(stream).into_iter().flat_map(|reply| reply.events).collect()
    }

    /// Whether anything was said that nobody asked for.
    pub(crate) fn is_quiet(&self) -> bool {
        self.said.is_empty()
    }

    fn drain(&mut self) {
        while let Some(output) = self.model.poll_output() {
            self.said.push(output);
        }
    }
}

pub(crate) fn put(key: &str, value: &str) -> Put {
    Put { key: key.into(), value: value.into(), ..Put::default() }
}

pub(crate) fn renewal(id: i64) -> Request {
    Request::KeepAlive(KeepAlive { lease: lease(id) })
}

pub(crate) fn put_op(key: &str, value: &str) -> Op {
    Op::Put(put(key, value))
}

pub(crate) fn delete_op(keys: KeyRange) -> Op {
    Op::Delete(DeleteRange { keys, prev_kv: false })
}

pub(crate) fn range_op(keys: KeyRange) -> Op {
    Op::Range(Range::of(keys))
}

pub(crate) fn nested(then: Vec<Op>) -> Op {
    Op::Txn(Txn { compares: Vec::new(), then, or_else: Vec::new() })
}

pub(crate) fn span(key: &str, end: &str) -> KeyRange {
    KeyRange::span(Key::from(key), Key::from(end))
}

pub(crate) fn lease(id: i64) -> LeaseId {
    LeaseId::new(id).expect("a lease id other than 0")
}
