//! The driver: one task that runs an engine over a store, in real time.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use portolan_core::engine::{
    CallError as Refusal, Command, Conflict, DirectoryId, Engine, Event, Freshness, Gone, Input,
    OpId, Output, Proposal, RegistrationEvent, RegistrationId, Snapshot, UpdateOutcome,
};
use portolan_core::instance::{Data, GroupConfig, Instance};
use portolan_core::layout::Scope;
use portolan_core::name::GroupName;
use portolan_core::time::Time;
use portolan_core::waist::{AttemptId, Backend, Reply, Request};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::directory::View;
use crate::error::{CallError, UpdateError};
use crate::group::Updated;
use crate::registration::RegistrationState;
use crate::status::Status;

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
        done: oneshot::Sender<bool>,
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
    started: Instant,
    inbox: mpsc::UnboundedReceiver<Message>,
    status: watch::Sender<Status>,
    told: Status,
    registrations: BTreeMap<RegistrationId, watch::Sender<RegistrationState>>,
    /// How many of them stand in the store.
    registered: usize,
    directories: BTreeMap<DirectoryId, Shown>,
    updates: BTreeMap<OpId, Update>,
    calls: BTreeMap<OpId, oneshot::Sender<Result<Reply, Refusal>>>,
    /// Whether a directory was shown since others could last run.
    shown: bool,
    closing: Vec<oneshot::Sender<bool>>,
    shutdown_within: Duration,
}

/// A directory, and what the status counts of it.
struct Shown {
    view: Arc<View>,
    freshness: Freshness,
    unreadable: usize,
}

struct Update {
    change: Change,
    done: oneshot::Sender<Result<Updated, UpdateError>>,
}

/// Why the driver stops.
enum End {
    Closed { confirmed: bool },
    Abandoned,
}

/// Commands taken in one go before the outputs are carried out and the status is told.
const INPUTS_AT_ONCE: usize = 64;

impl<S: Store> Driver<S> {
    pub fn new(
        engine: Engine,
        store: S,
        started: Instant,
        inbox: mpsc::UnboundedReceiver<Message>,
        status: watch::Sender<Status>,
        shutdown_within: Duration,
    ) -> Self {
        Self {
            engine,
            store,
            started,
            inbox,
            status,
            told: Status::default(),
            registrations: BTreeMap::new(),
            registered: 0,
            directories: BTreeMap::new(),
            updates: BTreeMap::new(),
            calls: BTreeMap::new(),
            shown: false,
            closing: Vec::new(),
            shutdown_within,
        }
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
            let timeout = self.engine.poll_timeout();
            let wake_at = timeout.map(|at| self.started + at.since(Time::ZERO));
            tokio::select! {
                biased;
                count = self.inbox.recv_many(&mut messages, INPUTS_AT_ONCE), if inbox_open => {
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
                }
                (attempt, reply) = poll_fn(|cx| self.store.poll_reply(cx)) => {
                    self.reply(attempt, reply);
                }
                () = sleep_until(wake_at) => {
                    self.engine.handle(self.now(), Input::Tick);
                }
            }
        };
        self.finish(&end).await;
    }

    async fn finish(mut self, end: &End) {
        let confirmed = matches!(end, End::Closed { confirmed: true });
        self.inbox.close();
        self.told.closing = true;
        self.status.send_replace(self.told.clone());
        for directory in self.directories.values() {
            directory.view.close();
        }
        for state in self.registrations.values() {
            state.send_replace(RegistrationState::Gone(Gone::Unconfirmed));
        }
        while let Ok(message) = self.inbox.try_recv() {
            match message {
                Message::Shutdown { done, .. } => self.closing.push(done),
                Message::Open { view, .. } => view.close(),
                // Whoever waits for one of these sees its channel closed.
                Message::Register { .. }
                | Message::Update { .. }
                | Message::Call { .. }
                | Message::Command(_)
                | Message::Abandon => {}
            }
        }
        self.store.close().await;
        for done in self.closing {
            // A caller that no longer waits need not be told.
            let _ = done.send(confirmed);
        }
    }

    fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    fn reply(&mut self, attempt: AttemptId, reply: Reply) {
        let now = self.now();
        if let Reply::Failed(error) = &reply {
            self.told.last_failure = Some(error.to_string().into());
        } else {
            self.told.answered_at(now);
        }
        self.engine.handle(now, Input::Reply { attempt, reply });
    }

    fn command(&mut self, command: Command) {
        self.engine.handle(self.now(), Input::Command(command));
    }

    fn shutdown(&mut self, within: Duration) {
        self.told.closing = true;
        self.command(Command::Shutdown { within });
    }

    /// True: end at once.
    fn message(&mut self, message: Message) -> bool {
        match message {
            Message::Register { id, instance, conflict, state } => {
                self.registrations.insert(id, state);
                self.command(Command::Register { id, instance, conflict });
            }
            Message::Open { id, scope, view } => {
                let shown = Shown { view, freshness: Freshness::Unsynced, unreadable: 0 };
                self.directories.insert(id, shown);
                self.command(Command::Open { id, scope });
            }
            Message::Update { id, group, within, change, done } => {
                self.updates.insert(id, Update { change, done });
                self.command(Command::Update { id, group, within });
            }
            Message::Call { id, request, within, done } => {
                self.calls.insert(id, done);
                self.command(Command::Call { id, request, within });
            }
            Message::Command(command) => {
                if let Command::Close { id } = &command
                    && let Some(shown) = self.directories.remove(id)
                {
                    shown.view.close();
                }
                self.command(command);
            }
            Message::Shutdown { within, done } => {
                self.closing.push(done);
                self.shutdown(within);
            }
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
                Output::Event(Event::Closed { confirmed }) => {
                    return Some(End::Closed { confirmed });
                }
                Output::Event(event) => self.event(event),
            }
        }
        self.tell_status();
        None
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Registration { id, event } => self.registration(id, event),
            Event::Stepped { id, step } => self.show(id, step.snapshot),
            Event::Freshness { id, snapshot } => self.show(id, snapshot),
            Event::Propose { id, base } => self.propose(id, base.as_ref()),
            Event::Updated { id, outcome } => {
                if let Some(update) = self.updates.remove(&id) {
                    // A caller that no longer waits need not be told.
                    let _ = update.done.send(outcome_of(outcome));
                }
            }
            Event::Called { id, result } => {
                if let Some(done) = self.calls.remove(&id) {
                    let _ = done.send(result);
                }
            }
            Event::Closed { .. } => {}
        }
    }

    fn registration(&mut self, id: RegistrationId, event: RegistrationEvent) {
        let over = matches!(event, RegistrationEvent::Gone(_));
        let Some(state) = self.registrations.get(&id) else { return };
        let stands =
            |state: &RegistrationState| matches!(state, RegistrationState::Registered { .. });
        let after = RegistrationState::after(event);
        self.registered += usize::from(stands(&after));
        self.registered -= usize::from(stands(&state.send_replace(after)));
        if over {
            self.registrations.remove(&id);
        }
    }

    fn show(&mut self, id: DirectoryId, snapshot: Snapshot) {
        if let Some(shown) = self.directories.get_mut(&id) {
            shown.freshness = snapshot.freshness;
            shown.unreadable = snapshot.bad.len();
            shown.view.show(snapshot);
            self.shown = true;
        }
    }

    fn propose(&mut self, id: OpId, base: Option<&GroupConfig>) {
        let Some(update) = self.updates.get_mut(&id) else { return };
        let proposal = match (update.change)(base) {
            Ok(Some(data)) => Proposal::Write(data),
            Ok(None) => Proposal::Keep,
            Err(error) => {
                self.command(Command::Abandon { id });
                if let Some(update) = self.updates.remove(&id) {
                    let _ = update.done.send(Err(error));
                }
                return;
            }
        };
        self.command(Command::Proposed { id, proposal });
    }

    /// Tells the status, if it is another one.
    fn tell_status(&mut self) {
        let status = Status {
            registrations: self.registrations.len(),
            registered: self.registered,
            directories: self.directories.len(),
            live: self.fresh(Freshness::Live),
            unsynced: self.fresh(Freshness::Unsynced),
            unreadable: self.directories.values().map(|shown| shown.unreadable).sum(),
            in_flight: self.engine.in_flight(),
            ..self.told.clone()
        };
        if status != self.told || *self.status.borrow() != status {
            self.told = status.clone();
            self.status.send_replace(status);
        }
    }

    fn fresh(&self, freshness: Freshness) -> usize {
        self.directories.values().filter(|shown| shown.freshness == freshness).count()
    }
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
