use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use portolan_core::waist::{
    AttemptId, Backend, LeaseId, MemberId, Reply, Request, StoreError, Watch, WatchSay,
};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::Builder;
use crate::files;
use crate::inbox::Inbox;
use crate::keepalive::{self, Order};
use crate::member::{Clients, Member};
use crate::watch;
use crate::wires::{Wires, Workshop};

/// A real etcd cluster of one to several members.
///
/// It runs on the ambient tokio runtime: build and use it inside one. Connections are made when
/// they are first needed and made again after a failure, by the first request that wants one.
/// Time limits are the engine's: it cancels what it no longer waits for.
///
/// Dropping it ends all that it has running; [`EtcdBackend::close`] also waits for that.
pub struct EtcdBackend {
    members: BTreeMap<MemberId, Member>,
    /// What may still be answered. Answers to anything else are dropped.
    running: BTreeMap<AttemptId, Running>,
    inbox: Inbox,
    workshop: Workshop,
}

enum Running {
    /// The answer waits already.
    Answered,
    Call(AbortHandle),
    /// With the way to the task that has it, which lives as long as it is waited for.
    Renewal(mpsc::UnboundedSender<Order>),
    Watch {
        task: AbortHandle,
        say: mpsc::UnboundedSender<WatchSay>,
    },
}

impl EtcdBackend {
    /// Describes the cluster to reach.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(wires: Vec<Wires>, workshop: Workshop) -> Self {
        let members = (0..=u16::MAX).map(MemberId).zip(wires);
        let members = members.map(|(id, wires)| (id, Member::new(wires, &workshop))).collect();
        let inbox = Inbox::new();
        files::watch(&workshop, inbox.replies());
        Self { members, running: BTreeMap::new(), inbox, workshop }
    }

    /// How many members there are, those included that were introduced later.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// Ends everything and waits until nothing is left running, connections included: a matter of
    /// milliseconds, since nothing is waited for but the tasks' own ends.
    pub async fn close(self) {
        let tasks = self.workshop.tasks.clone();
        drop(self);
        tasks.all_ended().await;
    }

    /// How many tasks this backend has running, those of its connections included.
    pub fn tasks_alive(&self) -> usize {
        self.workshop.tasks.alive()
    }

    /// Runs one call, to its one answer.
    fn call(
        &mut self,
        attempt: AttemptId,
        answer: impl Future<Output = Result<Reply, StoreError>> + Send + 'static,
    ) {
        let replies = self.inbox.replies();
        let task = self.workshop.tasks.spawn(async move {
            replies.call(attempt, answer.await.unwrap_or_else(Reply::Failed));
        });
        self.running.insert(attempt, Running::Call(task));
    }

    fn renew(&mut self, attempt: AttemptId, member: MemberId, lease: LeaseId) {
        let Some(Member { clients, renewals, .. }) = self.members.get_mut(&member) else { return };
        let orders = renewals.get_or_insert_with(|| {
            let (orders, ordered) = mpsc::unbounded_channel();
            let renewing = keepalive::run(clients.clone(), ordered, self.inbox.replies());
            self.workshop.tasks.spawn(renewing);
            orders
        });
        // The task ends with the last way to it only.
        let _ = orders.send(Order::Renew(attempt, lease));
        self.running.insert(attempt, Running::Renewal(orders.clone()));
    }

    fn watch(&mut self, attempt: AttemptId, clients: Arc<Clients>, watch: Watch) {
        let (say, says) = mpsc::unbounded_channel();
        let stream = watch::run(clients, attempt, watch, says, self.inbox.replies());
        let task = self.workshop.tasks.spawn(stream);
        self.running.insert(attempt, Running::Watch { task, say });
    }
}

impl Backend for EtcdBackend {
    fn submit(&mut self, attempt: AttemptId, member: MemberId, request: Request) {
        if let Request::OnWatch { stream, say } = request {
            if let Some(Running::Watch { say: says, .. }) = self.running.get(&stream) {
                let _ = says.send(say);
            }
            return;
        }
        let clients = self.members.get_mut(&member).map(|member| {
            member.keep_up(&self.workshop);
            member.clients.clone()
        });
        let Some(clients) = clients else {
            let detail = format!("there is no member {member} among {}", self.members.len());
            self.running.insert(attempt, Running::Answered);
            let error = StoreError::CannotConnect { detail };
            return self.inbox.replies().call(attempt, Reply::Failed(error));
        };
        match request {
            Request::Range(ask) => self.call(attempt, clients.range(ask)),
            Request::Put(ask) => self.call(attempt, clients.put(ask)),
            Request::Delete(ask) => self.call(attempt, clients.delete(ask)),
            Request::Txn(ask) => self.call(attempt, clients.txn(ask)),
            Request::Compact(ask) => self.call(attempt, clients.compact(ask)),
            Request::Grant(ask) => self.call(attempt, clients.grant(ask)),
            Request::Revoke(ask) => self.call(attempt, clients.revoke(ask)),
            Request::KeepAlive(ask) => self.renew(attempt, member, ask.lease),
            Request::TimeToLive(ask) => {
                self.call(attempt, clients.time_to_live(ask));
            }
            Request::Leases => self.call(attempt, clients.leases()),
            Request::Watch(watch) => self.watch(attempt, clients, watch),
            // Handled above: it goes where its stream went.
            Request::OnWatch { .. } => {}
            Request::Status => self.call(attempt, clients.status()),
            Request::Members => self.call(attempt, clients.members()),
            Request::Authenticate => self.call(attempt, clients.authenticate()),
        }
    }

    fn cancel(&mut self, attempt: AttemptId) {
        match self.running.remove(&attempt) {
            Some(Running::Call(task) | Running::Watch { task, .. }) => task.abort(),
            Some(Running::Renewal(orders)) => {
                let _ = orders.send(Order::Forget(attempt));
            }
            Some(Running::Answered) | None => {}
        }
    }

    /// Members reached through [`Builder::channels`] stay on these.
    fn redial(&mut self, member: MemberId) {
        if let Some(member) = self.members.get_mut(&member) {
            member.redial(&self.workshop);
        }
    }

    /// One that is known already is from now on at `urls`, as after a redial.
    fn introduce(&mut self, member: MemberId, urls: &[String]) {
        let wires = Wires::introduced(urls, self.workshop.has_tls);
        self.members.insert(member, Member::new(wires, &self.workshop));
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Reply)> {
        loop {
            let (attempt, reply) = ready!(self.inbox.poll(cx));
            if attempt == AttemptId::NEWS {
                return Poll::Ready((attempt, reply));
            }
            if !self.running.contains_key(&attempt) {
                continue;
            }
            if !matches!(reply, Reply::Watch(_)) {
                self.running.remove(&attempt);
            }
            return Poll::Ready((attempt, reply));
        }
    }
}

impl Drop for EtcdBackend {
    fn drop(&mut self) {
        self.workshop.tasks.abort_all();
    }
}

impl fmt::Debug for EtcdBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdBackend")
            .field("members", &self.members.values())
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}
