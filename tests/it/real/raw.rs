//! Requests to etcd that the library would not make.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::time::Duration;

use portolan_core::waist::{
    AttemptId, Backend, Grant, LeaseId, MemberId, Op, Put, Reply, Request, Txn,
};
use portolan_etcd::EtcdBackend;
use portolan_kit::Etcd;
use tokio::time::timeout;

pub struct Raw {
    backend: EtcdBackend,
    last: u64,
}

impl Raw {
    pub fn of(etcd: &Etcd) -> Self {
        let builder = EtcdBackend::builder().address(etcd.client_url());
        Self { backend: builder.build().expect("an address"), last: 0 }
    }

    /// Asks many things, several at a time, in no order among each other; all must be done.
    pub async fn all(&mut self, requests: impl IntoIterator<Item = Request>) {
        let mut requests = requests.into_iter();
        let mut open = BTreeSet::new();
        loop {
            while open.len() < AT_ONCE {
                let Some(request) = requests.next() else { break };
                open.insert(self.submit(request));
            }
            if open.is_empty() {
                return;
            }
            let (attempt, reply) = self.next().await;
            assert!(!matches!(reply, Reply::Failed(_)), "{reply:?}");
            open.remove(&attempt);
        }
    }

    /// Asks all of them at once; the answers, in the order of the requests.
    pub async fn each(&mut self, requests: impl IntoIterator<Item = Request>) -> Vec<Reply> {
        let attempts: Vec<_> = requests.into_iter().map(|asked| self.submit(asked)).collect();
        let mut replies = BTreeMap::new();
        while replies.len() < attempts.len() {
            let (attempt, reply) = self.next().await;
            replies.insert(attempt, reply);
        }
        replies.into_values().collect()
    }

    pub async fn ask(&mut self, request: Request) -> Reply {
        let wanted = self.submit(request);
        loop {
            let (attempt, reply) = self.next().await;
            if attempt == wanted {
                return reply;
            }
        }
    }

    /// What comes next, of a watch that is open.
    pub async fn more(&mut self) -> Reply {
        self.next().await.1
    }

    pub async fn grant(&mut self, ttl_secs: i64) -> LeaseId {
        let reply = self.ask(Request::Grant(Grant { lease: None, ttl_secs })).await;
        let Reply::Grant(reply) = reply else { panic!("{reply:?}") };
        reply.lease
    }

    fn submit(&mut self, request: Request) -> AttemptId {
        self.last += 1;
        let attempt = AttemptId(self.last);
        self.backend.submit(attempt, MemberId(0), request);
        attempt
    }

    async fn next(&mut self) -> (AttemptId, Reply) {
        let next = poll_fn(|cx| self.backend.poll_reply(cx));
        timeout(Duration::from_secs(60), next).await.expect("an answer comes in time")
    }
}

pub fn put(key: String, value: impl Into<Vec<u8>>, lease: Option<LeaseId>) -> Put {
    let value: Vec<u8> = value.into();
    Put { key: key.into(), value: value.into(), lease, ..Put::default() }
}

/// All of them in one revision.
pub fn together(puts: impl IntoIterator<Item = Put>) -> Request {
    let then = puts.into_iter().map(Op::Put).collect();
    Request::Txn(Txn { compares: Vec::new(), then, or_else: Vec::new() })
}

const AT_ONCE: usize = 16;
