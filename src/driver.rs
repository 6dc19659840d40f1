//! The driver: one task that runs an engine over a store, in real time.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use portolan_core::engine::{
    CallError as Refusal, Command, Conflict, DirectoryId, Engine, Event, FollowId, FollowSeq,
    Followed, Input, OpId, Output, Proposal, RegistrationId, UpdateOutcome,
};
use portolan_core::instance::{Data, GroupConfig, Instance};
use portolan_core::layout::Scope;
use portolan_core::name::GroupName;
use portolan_core::time::Time;
use portolan_core::waist::{AttemptId, Backend, KeyRange, Reply, Request, Revision};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::directory::View;
use crate::error::{CallError, UpdateError};
use crate::group::Updated;
use crate::handles::{Call, Handles, Update, name_of};
use crate::registration::RegistrationState;

/// What handles tell their driver.
pub(crate) enum Message {
    Register {
        id: RegistrationId,
        instance: Instance,
        conflict: Conflict,
        state: watch::Sender<RegistrationState>,
    },
    Open {
        id: DirectoryId,
        scope: Scope,
        view: Arc<View>,
    },
    Follow {
        id: FollowId,
        keys: KeyRange,
        from: Option<Revision>,
        news: mpsc::UnboundedSender<(FollowSeq, Followed)>,
    },
    Update {
        id: OpId,
        group: GroupName,
        within: Duration,
        change: Change,
        done: oneshot::Sender<Result<Updated, UpdateError>>,
    },
    Call {
        id: OpId,
        request: Request,
        within: Duration,
        done: oneshot::Sender<Result<Reply, Refusal>>,
    },
    Command(Command),
    Shutdown {
        within: Duration,
    },
    /// End without a word to the store.
    Abandon,
}

/// What becomes of a configuration: other content, none, or an end to the update.
pub(crate) type Change =
    Box<dyn FnMut(Option<&GroupConfig>) -> Result<Option<Data>, UpdateError> + Send>;

/// A store that a driver can end.
pub(crate) trait Store: Backend + Send + 'static {
    /// Ends all that the backend still runs.
    fn close(self) -> impl Future<Output = ()> + Send;
}

#[cfg(feature = "etcd")]
impl Store for portolan_etcd::EtcdBackend {
    async fn close(self) {
        portolan_etcd::EtcdBackend::close(self).await;
    }
}

pub(crate) struct Driver<S> {
    engine: Engine,
    store: S,
    handles: Handles,
    /// Whether a directory was shown, or a follower told, since others could last run.
    shown: bool,
    /// When the engine wanted to be woken.
    due: Option<Time>,
    shutdown_within: Duration,
}

/// Why the driver stops.
enum End {
    Closed { confirmed: bool },
    Abandoned,
}

/// Commands, and answers, taken in one go before the outputs are carried out and the status is told.
const INPUTS_AT_ONCE: usize = 64;

impl<S: Store> Driver<S> {
    pub fn new(engine: Engine, store: S, handles: Handles, shutdown_within: Duration) -> Self {
        Self { engine, store, handles, shown: false, due: None, shutdown_within }
    }

    /// Runs until the registry is shut down.
    pub async fn run(mut self) {
        let mut messages = Vec::with_capacity(INPUTS_AT_ONCE);
        let mut inbox_open = true;
        let end = loop {
            if let Some(end) = self.carry_out() {
                break end;
            }
            if std::mem::take(&mut self.shown) {
                // Readers on the same thread see every step, however fast the store is.
                tokio::task::yield_now().await;
            }
            self.due = self.engine.poll_timeout();
            let wake_at = self.due.map(|at| self.handles.instant(at));
            tokio::select! {
                biased;
                count = self.handles.inbox.recv_many(&mut messages, INPUTS_AT_ONCE), if inbox_open => {
                    if count == 0 {
                        // Every handle is gone: nobody is left to ask for the shutdown.
                        inbox_open = false;
                        self.shutdown(self.shutdown_within);
                    }
                    for message in messages.drain(..) {
                        if self.message(message) {
                            self.finish(&End::Abandoned).await;
                            return;
                        }
                    }
                    // However many commands come, answers have their turn.
                    for _ in 0..INPUTS_AT_ONCE {
                        let Some((attempt, reply)) = self.reply_at_hand().await else { break };
                        self.reply(attempt, reply);
                    }
                }
                (attempt, reply) = poll_fn(|cx| self.store.poll_reply(cx)) => {
                    self.reply(attempt, reply);
                }
                () = sleep_until(wake_at) => {
                    self.handle(Input::Tick);
                }
            }
        };
        self.finish(&end).await;
    }

    async fn finish(mut self, end: &End) {
        self.handles.let_go();
        self.store.close().await;
        let confirmed = matches!(end, End::Closed { confirmed: true });
        self.handles.telemetry.closed(confirmed);
        self.handles.end(confirmed);
    }

    /// An answer that is there already.
    async fn reply_at_hand(&mut self) -> Option<(AttemptId, Reply)> {
        poll_fn(|cx| match self.store.poll_reply(cx) {
            Poll::Ready(reply) => Poll::Ready(Some(reply)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    fn reply(&mut self, attempt: AttemptId, reply: Reply) {
        let failure = if let Reply::Failed(error) = &reply { Some(error.clone()) } else { None };
        self.handle(Input::Reply { attempt, reply });
        let failure = self.engine.take_disbelieved().or(failure);
        self.handles.answered(failure.as_ref());
    }

    fn command(&mut self, command: Command) {
        self.handle(Input::Command(command));
    }

    fn handle(&mut self, input: Input) {
        let now = self.handles.now();
        if let Some(due) = self.due.take().filter(|&due| due <= now) {
            self.handles.telemetry.lagged(now, now.since(due));
        }
        self.engine.handle(now, input);
    }

    fn shutdown(&mut self, within: Duration) {
        self.handles.closing();
        // Nothing more will come; what was told can still be read.
        self.handles.followers.clear();
        self.command(Command::Shutdown { within });
    }

    /// True: end at once.
    fn message(&mut self, message: Message) -> bool {
        match message {
            Message::Register { id, instance, conflict, state } => {
                self.handles.registered(id, name_of(&instance), state);
                self.command(Command::Register { id, instance, conflict });
            }
            Message::Open { id, scope, view } => {
                self.handles.opened(id, scope.clone(), view);
                self.command(Command::Open { id, scope });
            }
            Message::Follow { id, keys, from, news } => {
                self.handles.followers.insert(id, news);
                self.command(Command::Follow { id, keys, from });
            }
            Message::Update { id, group, within, change, done } => {
                self.handles.updates.insert(id, Update { change, proposed: false, done });
                self.command(Command::Update { id, group, within });
            }
            Message::Call { id, request, within, done } => {
                self.handles.calls.insert(id, Call { reads: reads(&request), done });
                self.command(Command::Call { id, request, within });
            }
            Message::Command(command) => {
                if let Command::Close { id } = &command {
                    self.handles.closed(*id);
                }
                if let Command::Unfollow { id } = &command {
                    self.handles.followers.remove(id);
                }
                self.command(command);
            }
            Message::Shutdown { within } => self.shutdown(within),
            Message::Abandon => return true,
        }
        false
    }

    /// Does what the engine puts out, until it has nothing more to say.
    fn carry_out(&mut self) -> Option<End> {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { attempt, member, request } => {
                    self.store.submit(attempt, member, request);
                }
                Output::Cancel { attempt } => self.store.cancel(attempt),
                Output::Redial { member } => self.store.redial(member),
                Output::Introduce { member, urls } => self.store.introduce(member, &urls),
                Output::Event(Event::Closed { confirmed }) => {
                    return Some(End::Closed { confirmed });
                }
                Output::Event(event) => self.event(event),
            }
        }
        self.handles.tell_status(&self.engine);
        None
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Registration { id, event } => self.handles.registration(id, event),
            Event::Stepped { id, step } => self.shown |= self.handles.step(id, step),
            Event::Freshness { id, snapshot } => self.shown |= self.handles.show(id, snapshot),
            Event::Guard { id, news, snapshot } => {
                self.shown |= self.handles.guard(id, &news, snapshot);
            }
            Event::Followed { id, seq, what } => {
                if let Some(news) = self.handles.followers.get(&id) {
                    // A reader that is gone says so by a command of its own.
                    let _ = news.send((seq, what));
                    self.shown = true;
                }
            }
            Event::Propose { id, base } => self.propose(id, base.as_ref()),
            Event::Updated { id, outcome } => {
                if let Some(update) = self.handles.updates.remove(&id) {
                    // A caller that no longer waits need not be told.
                    let _ = update.done.send(outcome_of(outcome));
                }
            }
            Event::Called { id, result } => {
                if let Some(call) = self.handles.calls.remove(&id) {
                    let _ = call.done.send(result);
                }
            }
            Event::Closed { .. } => {}
        }
    }

    fn propose(&mut self, id: OpId, base: Option<&GroupConfig>) {
        let Some(update) = self.handles.updates.get_mut(&id) else { return };
        // The closure is the caller's: its panic must not take everybody's registrations along.
        // It is never called again.
        let proposed = catch_unwind(AssertUnwindSafe(|| (update.change)(base)));
        let proposal = match proposed.unwrap_or(Err(UpdateError::Panicked)) {
            Ok(Some(data)) => {
                update.proposed = true;
                Proposal::Write(data)
            }
            Ok(None) => Proposal::Keep,
            Err(error) => {
                self.command(Command::Abandon { id });
                if let Some(update) = self.handles.updates.remove(&id) {
                    let _ = update.done.send(Err(error));
                }
                return;
            }
        };
        self.command(Command::Proposed { id, proposal });
    }
}

/// Whether a request changes nothing in the store.
fn reads(request: &Request) -> bool {
    matches!(
        request,
        Request::Range(_)
            | Request::TimeToLive(_)
            | Request::Leases
            | Request::Status
            | Request::Members
    )
}

fn outcome_of(outcome: UpdateOutcome) -> Result<Updated, UpdateError> {
    match outcome {
        UpdateOutcome::Done { revision } => Ok(Updated { revision, written: true }),
        UpdateOutcome::Unchanged { revision } => Ok(Updated { revision, written: false }),
        UpdateOutcome::Conflict => Err(UpdateError::Conflict),
        UpdateOutcome::Unknown { error } => Err(UpdateError::Unknown { reason: error.to_string() }),
        UpdateOutcome::Failed { error } => Err(UpdateError::NotDone(CallError { inner: error })),
    }
}

/// Never, for `None`.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
