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
use crate::inbox::Inbox;
use crate::keepalive::{self, Order};
use crate::member::{Clients, Member};
use crate::tasks::Tasks;
use crate::watch;

/// A real etcd cluster of one to several members.
///
/// It runs on the ambient tokio runtime: build and use it inside one. Connections are made when
/// they are first needed and made again after a failure, by the first request that wants one.
/// Time limits are the engine's: it cancels what it no longer waits for.
///
/// Dropping it ends all that it has running; [`EtcdBackend::close`] also waits for that.
pub struct EtcdBackend {
    members: Vec<Member>,
    /// What may still be answered. Answers to anything else are dropped.
    running: BTreeMap<AttemptId, Running>,
    inbox: Inbox,
    tasks: Tasks,
}

enum Running {
    /// The answer waits already.
    Answered,
    Call(AbortHandle),
    Renewal(MemberId),
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

    pub(crate) fn new(members: Vec<Member>, inbox: Inbox, tasks: Tasks) -> Self {
        Self { members, running: BTreeMap::new(), inbox, tasks }
    }

    /// How many members there are; they are numbered from 0.
    pub fn members(&self) -> u16 {
        u16::try_from(self.members.len()).expect("the builder takes no more than u16::MAX")
    }

    /// Ends everything and waits until nothing is left running, connections included: a matter of
    /// milliseconds, since nothing is waited for but the tasks' own ends.
    pub async fn close(self) {
        let tasks = self.tasks.clone();
        drop(self);
        tasks.all_ended().await;
    }

    /// How many tasks this backend has running, those of its connections included.
    pub fn tasks_alive(&self) -> usize {
        self.tasks.alive()
    }

    /// Runs one call, to its one answer.
    fn call(
        &mut self,
        attempt: AttemptId,
        clients: &Arc<Clients>,
        call: impl Future<Output = Result<Reply, StoreError>> + Send + 'static,
    ) {
        let clients = clients.clone();
        self.answer(attempt, async move {
            clients.ready().await?;
            call.await
        });
    }

    /// As [`Self::call`], but nothing needs to be fetched first: this fetches it.
    fn authenticate(&mut self, attempt: AttemptId, clients: Arc<Clients>) {
        self.answer(attempt, async move { clients.authenticate().await });
    }

    fn answer(
        &mut self,
        attempt: AttemptId,
        answer: impl Future<Output = Result<Reply, StoreError>> + Send + 'static,
    ) {
        let replies = self.inbox.replies();
        let task = self.tasks.spawn(async move {
            replies.call(attempt, answer.await.unwrap_or_else(Reply::Failed));
        });
        self.running.insert(attempt, Running::Call(task));
    }

    fn renew(&mut self, attempt: AttemptId, member: MemberId, lease: LeaseId) {
        let Some(Member { clients, renewals }) = self.members.get_mut(usize::from(member.0)) else {
            return;
        };
        let orders = renewals.get_or_insert_with(|| {
            let (orders, ordered) = mpsc::unbounded_channel();
            self.tasks.spawn(keepalive::run(clients.clone(), ordered, self.inbox.replies()));
            orders
        });
        // The task ends with the backend only.
        let _ = orders.send(Order::Renew(attempt, lease));
        self.running.insert(attempt, Running::Renewal(member));
    }

    fn watch(&mut self, attempt: AttemptId, clients: Arc<Clients>, watch: Watch) {
        let (say, says) = mpsc::unbounded_channel();
        let stream = watch::run(clients, attempt, watch, says, self.inbox.replies());
        let task = self.tasks.spawn(stream);
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
        let Some(clients) = self.members.get(usize::from(member.0)).map(|m| m.clients.clone())
        else {
            let detail = format!("there is no member {member} among {}", self.members.len());
            self.running.insert(attempt, Running::Answered);
            let error = StoreError::CannotConnect { detail };
            return self.inbox.replies().call(attempt, Reply::Failed(error));
        };
        match request {
            Request::Range(ask) => self.call(attempt, &clients, clients.clone().range(ask)),
            Request::Put(ask) => self.call(attempt, &clients, clients.clone().put(ask)),
            Request::Delete(ask) => self.call(attempt, &clients, clients.clone().delete(ask)),
            Request::Txn(ask) => self.call(attempt, &clients, clients.clone().txn(ask)),
            Request::Compact(ask) => self.call(attempt, &clients, clients.clone().compact(ask)),
            Request::Grant(ask) => self.call(attempt, &clients, clients.clone().grant(ask)),
            Request::Revoke(ask) => self.call(attempt, &clients, clients.clone().revoke(ask)),
            Request::KeepAlive(ask) => self.renew(attempt, member, ask.lease),
            Request::TimeToLive(ask) => {
                self.call(attempt, &clients, clients.clone().time_to_live(ask));
            }
            Request::Leases => self.call(attempt, &clients, clients.clone().leases()),
            Request::Watch(watch) => self.watch(attempt, clients, watch),
            // Handled above: it goes where its stream went.
            Request::OnWatch { .. } => {}
            Request::Status => self.call(attempt, &clients, clients.clone().status()),
            Request::Members => self.call(attempt, &clients, clients.clone().members()),
            Request::Authenticate => self.authenticate(attempt, clients),
        }
    }

    fn cancel(&mut self, attempt: AttemptId) {
        match self.running.remove(&attempt) {
            Some(Running::Call(task) | Running::Watch { task, .. }) => task.abort(),
            Some(Running::Renewal(member)) => {
                let member = self.members.get(usize::from(member.0));
                if let Some(orders) = member.and_then(|member| member.renewals.as_ref()) {
                    let _ = orders.send(Order::Forget(attempt));
                }
            }
            Some(Running::Answered) | None => {}
        }
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Reply)> {
        loop {
            let (attempt, reply) = ready!(self.inbox.poll(cx));
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
        self.tasks.abort_all();
    }
}

impl fmt::Debug for EtcdBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdBackend")
            .field("members", &self.members)
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}
