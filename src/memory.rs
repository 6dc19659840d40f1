//! The embedded store: the in-memory model of etcd, in real time.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use portolan_core::time::Time;
use portolan_core::waist::{AttemptId, Backend, MemberId, Reply, Request};
use portolan_memory::{ClientId, Config, Fault, Identity, Input, Model};
use tokio::time::{Instant, Sleep};

use crate::driver::Store;

/// A store within this process: a model of etcd. Cheap to clone; all clones are one store, which
/// lives as long as one of them, or a registry on it, does. Nothing is kept beyond that.
///
/// Its clock is tokio's, so that it works under a paused one.
#[derive(Clone)]
pub struct Embedded {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    model: Model,
    started: Instant,
    last_client: u32,
    clients: BTreeMap<ClientId, Mailbox>,
}

#[derive(Default)]
struct Mailbox {
    replies: VecDeque<(AttemptId, Reply)>,
    identity: Identity,
    waker: Option<Waker>,
}

impl Embedded {
    /// An empty store.
    ///
    /// # Panics
    /// Outside a tokio runtime, whose clock it uses.
    pub fn new() -> Self {
        let config = Config { keep_log: false, ..Config::default() };
        let inner = Inner {
            model: Model::new(config),
            started: Instant::now(),
            last_client: 0,
            clients: BTreeMap::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Restarts the store, as a server restarts: its data stay, connections break, and leases
    /// count from the start again.
    pub fn restart(&self) {
        self.lock().handle(Input::Fault(Fault::Restart));
    }

    /// Stops the store: nobody answers, connections break.
    pub fn stop(&self) {
        self.lock().handle(Input::Fault(Fault::Stop));
    }

    /// Starts a stopped store, with its data.
    pub fn start(&self) {
        self.lock().handle(Input::Fault(Fault::Start));
    }

    pub(crate) fn connect(&self) -> Connection {
        let mut inner = self.lock();
        inner.last_client += 1;
        let client = ClientId(inner.last_client);
        inner.clients.insert(client, Mailbox::default());
        drop(inner);
        Connection { store: self.clone(), client, timer: None }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The model is consistent between inputs, whoever panicked meanwhile.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Embedded {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Embedded")
    }
}

impl Inner {
    fn handle(&mut self, input: Input) {
        let now = Time::ZERO + self.started.elapsed();
        self.model.handle(now, input);
        while let Some(mut output) = self.model.poll_output() {
            if let Some(mailbox) = self.clients.get_mut(&output.to) {
                mailbox.identity.hear(output.take_token());
                mailbox.replies.push_back((output.attempt, output.reply));
                if let Some(waker) = mailbox.waker.take() {
                    waker.wake();
                }
            }
        }
    }
}

/// One client of an embedded store.
pub(crate) struct Connection {
    store: Embedded,
    client: ClientId,
    /// When the store has something to do of its own. Every client minds that, so that it needs
    /// no task.
    timer: Option<(Time, Pin<Box<Sleep>>)>,
}

impl Backend for Connection {
    fn submit(&mut self, attempt: AttemptId, member: MemberId, request: Request) {
        let mut inner = self.store.lock();
        let from = self.client;
        let pass = inner.clients.get(&from).map(|mailbox| mailbox.identity.pass(&request));
        let pass = pass.unwrap_or_default();
        inner.handle(Input::Request { from, attempt, member, request, pass });
    }

    fn cancel(&mut self, attempt: AttemptId) {
        self.store.lock().handle(Input::Cancel { from: self.client, attempt });
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Reply)> {
        loop {
            let mut inner = self.store.lock();
            let due = inner.model.poll_timeout();
            let started = inner.started;
            if let Some(mailbox) = inner.clients.get_mut(&self.client) {
                if let Some(reply) = mailbox.replies.pop_front() {
                    return Poll::Ready(reply);
                }
                mailbox.waker = Some(cx.waker().clone());
            }
            drop(inner);
            let Some(due) = due else { return Poll::Pending };
            if self.timer.as_ref().is_none_or(|(at, _)| *at != due) {
                let at = started + due.since(Time::ZERO);
                self.timer = Some((due, Box::pin(tokio::time::sleep_until(at))));
            }
            let Some((_, sleep)) = &mut self.timer else { return Poll::Pending };
            std::task::ready!(sleep.as_mut().poll(cx));
            self.timer = None;
            self.store.lock().handle(Input::Tick);
        }
    }
}

impl Store for Connection {
    async fn close(self) {}
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut inner = self.store.lock();
        inner.handle(Input::Disconnect { from: self.client });
        inner.clients.remove(&self.client);
    }
}
