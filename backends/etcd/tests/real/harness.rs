//! A backend with somebody who waits for its answers.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use portolan_core::waist::{
    AttemptId, Backend, Grant, KeyRange, LeaseId, MemberId, Put, Range, Reply, Request, StoreError,
};
use portolan_etcd::{Builder, EtcdBackend};
use portolan_kit::{Etcd, Release};

/// Longer than any answer here takes, also on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Driver {
    pub backend: EtcdBackend,
    next: u64,
    /// Answers that came while another one was waited for.
    aside: VecDeque<(AttemptId, Reply)>,
}

impl Driver {
    pub fn new(builder: Builder) -> Self {
        let backend = builder.build().expect("the description is right");
        Self { backend, next: 1, aside: VecDeque::new() }
    }

    /// A driver of one server.
    pub fn of(etcd: &Etcd) -> Self {
        Self::new(EtcdBackend::builder().address(etcd.client_url()))
    }

    pub fn submit(&mut self, request: Request) -> AttemptId {
        self.submit_to(MemberId(0), request)
    }

    pub fn submit_to(&mut self, member: MemberId, request: Request) -> AttemptId {
        let attempt = AttemptId(self.next);
        self.next += 1;
        self.backend.submit(attempt, member, request);
        attempt
    }

    pub fn cancel(&mut self, attempt: AttemptId) {
        self.backend.cancel(attempt);
    }

    /// The next answer, whoever it is for.
    pub async fn next(&mut self) -> (AttemptId, Reply) {
        self.next_within(PATIENCE).await.expect("an answer comes in time")
    }

    pub async fn next_within(&mut self, limit: Duration) -> Option<(AttemptId, Reply)> {
        if let Some(answer) = self.aside.pop_front() {
            return Some(answer);
        }
        let next = poll_fn(|cx| self.backend.poll_reply(cx));
        tokio::time::timeout(limit, next).await.ok()
    }

    /// The first of the answers that the backend has, kept aside ones apart.
    pub async fn first(&mut self) -> (AttemptId, Reply) {
        let next = poll_fn(|cx| self.backend.poll_reply(cx));
        tokio::time::timeout(PATIENCE, next).await.expect("an answer comes in time")
    }

    /// Takes the answers that are there without letting more arrive; says how many.
    pub fn take_what_is_there(&mut self) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        let before = self.aside.len();
        while let Poll::Ready(answer) = self.backend.poll_reply(&mut context) {
            self.aside.push_back(answer);
        }
        self.aside.len() - before
    }

    /// The next answer to `attempt`; others are kept for later.
    pub async fn answer(&mut self, attempt: AttemptId) -> Reply {
        if let Some(at) = self.aside.iter().position(|(id, _)| *id == attempt) {
            return self.aside.remove(at).expect("it was found there").1;
        }
        loop {
            let next = poll_fn(|cx| self.backend.poll_reply(cx));
            let (id, reply) =
                tokio::time::timeout(PATIENCE, next).await.expect("an answer comes in time");
            if id == attempt {
                return reply;
            }
            self.aside.push_back((id, reply));
        }
    }

    pub async fn ask(&mut self, request: Request) -> Reply {
        let attempt = self.submit(request);
        self.answer(attempt).await
    }

    pub async fn failure(&mut self, request: Request) -> StoreError {
        let reply = self.ask(request).await;
        // A watch is refused within its stream, which lives on.
        if let Reply::Watch(said) = &reply
            && said.canceled
        {
            return said.refusal();
        }
        let Reply::Failed(error) = reply else { panic!("it was to fail: {reply:?}") };
        error
    }

    /// What ended `attempt`.
    pub async fn end(&mut self, attempt: AttemptId) -> StoreError {
        let reply = self.answer(attempt).await;
        let Reply::Failed(error) = reply else { panic!("it was to end: {reply:?}") };
        error
    }

    pub async fn put(&mut self, key: &str, value: &[u8]) -> i64 {
        let reply = self.ask(Request::Put(put(key, value))).await;
        let Reply::Put(reply) = reply else { panic!("put: {reply:?}") };
        reply.header.revision.0
    }

    pub async fn grant(&mut self, id: i64) -> LeaseId {
        let lease = LeaseId::new(id);
        let reply = self.ask(Request::Grant(Grant { lease, ttl_secs: 600 })).await;
        let Reply::Grant(reply) = reply else { panic!("grant: {reply:?}") };
        reply.lease
    }
}

pub fn put(key: &str, value: &[u8]) -> Put {
    Put { key: key.into(), value: value.into(), ..Put::default() }
}

pub fn get(key: &str) -> Request {
    Request::Range(Range::of(KeyRange::one(key)))
}

/// A server of the release that most clusters run.
pub fn etcd() -> Etcd {
    Etcd::start(Release::V3_5).expect("etcd starts")
}

/// How many calls of a method the server has begun.
pub fn started(etcd: &Etcd, service: &str, method: &str) -> u64 {
    let page = metrics(etcd);
    let wanted = [format!("grpc_method=\"{method}\""), format!("\"etcdserverpb.{service}\"")];
    let counts = page.lines().filter(|line| {
        line.starts_with("grpc_server_started_total")
            && wanted.iter().all(|part| line.contains(part))
    });
    counts.map(number).sum()
}

/// The figure on the line that begins with `name`.
pub fn metric(etcd: &Etcd, name: &str) -> u64 {
    metrics(etcd).lines().find(|line| line.starts_with(name)).map_or(0, number)
}

fn number(line: &str) -> u64 {
    let text = line.rsplit(' ').next().unwrap_or_default();
    text.parse().unwrap_or_else(|_| panic!("no whole number in {line:?}"))
}

fn metrics(etcd: &Etcd) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", etcd.client_port())).expect("connect");
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    socket.write_all(request).expect("write");
    let mut page = String::new();
    socket.read_to_string(&mut page).expect("read");
    page
}
