//! What a driver tells its handles, and that it tells them of its own end.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_core::engine::{
    CallError as Refusal, DirectoryId, Engine, FollowId, FollowSeq, Followed, Freshness, Gone,
    GuardNews, OpId, RegistrationEvent, RegistrationId, Snapshot, Standing, Step,
};
use portolan_core::instance::Instance;
use portolan_core::layout::Scope;
use portolan_core::time::Time;
use portolan_core::waist::{Reply, StoreError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::directory::View;
use crate::driver::{Change, Message};
use crate::error::UpdateError;
use crate::group::Updated;
use crate::registration::RegistrationState;
use crate::status::Status;
use crate::telemetry::Telemetry;

/// The driver's side of all handles.
///
/// However the driver ends (shut down, abandoned, panicked, dropped with its runtime), dropping
/// this lets nobody wait for it, or believe it.
pub(crate) struct Handles {
    pub inbox: mpsc::UnboundedReceiver<Message>,
    pub updates: BTreeMap<OpId, Update>,
    pub calls: BTreeMap<OpId, Call>,
    registrations: BTreeMap<RegistrationId, Registered>,
    /// How many of them stand in the store.
    registered: usize,
    directories: BTreeMap<DirectoryId, Shown>,
    pub followers: BTreeMap<FollowId, mpsc::UnboundedSender<(FollowSeq, Followed)>>,
    status: watch::Sender<Status>,
    told: Status,
    pub telemetry: Telemetry,
    /// Whether all removals were confirmed; `None` as long as the driver runs.
    ended: watch::Sender<Option<bool>>,
    clock: Clock,
}

/// What handles see of their driver.
pub(crate) struct Seen {
    pub inbox: mpsc::UnboundedSender<Message>,
    pub status: watch::Receiver<Status>,
    pub ended: watch::Receiver<Option<bool>>,
}

pub(crate) struct Update {
    pub change: Change,
    /// Whether something was proposed, which may be written by now.
    pub proposed: bool,
    pub done: oneshot::Sender<Result<Updated, UpdateError>>,
}

pub(crate) struct Call {
    /// Whether it changes nothing in the store.
    pub reads: bool,
    pub done: oneshot::Sender<Result<Reply, Refusal>>,
}

struct Registered {
    state: watch::Sender<RegistrationState>,
    /// Group and id, for log lines.
    name: Arc<str>,
}

/// A directory, and what the status counts of it.
struct Shown {
    scope: Scope,
    view: Arc<View>,
    freshness: Freshness,
    unreadable: usize,
    suspects: usize,
}

impl Handles {
    pub fn new(clock: Clock, telemetry: Telemetry) -> (Self, Seen) {
        let (send, inbox) = mpsc::unbounded_channel();
        let (status, statuses) = watch::channel(Status::default());
        let (ended, end) = watch::channel(None);
        let handles = Self {
            inbox,
            updates: BTreeMap::new(),
            calls: BTreeMap::new(),
            registrations: BTreeMap::new(),
            registered: 0,
            directories: BTreeMap::new(),
            followers: BTreeMap::new(),
            status,
            told: Status::default(),
            telemetry,
            ended,
            clock,
        };
        (handles, Seen { inbox: send, status: statuses, ended: end })
    }

    pub fn now(&self) -> Time {
        self.clock.now()
    }

    pub fn instant(&self, at: Time) -> Instant {
        self.clock.instant(at)
    }

    pub fn closing(&mut self) {
        self.told.closing = true;
    }

    /// The store answered, or failed.
    pub fn answered(&mut self, failure: Option<&StoreError>) {
        self.telemetry.answered(failure);
        if let Some(error) = failure {
            self.told.last_failure = Some(error.to_string().into());
        } else {
            self.told.answered_at(self.now());
        }
    }

    pub fn registered(
        &mut self,
        id: RegistrationId,
        name: Arc<str>,
        state: watch::Sender<RegistrationState>,
    ) {
        self.registrations.insert(id, Registered { state, name });
    }

    pub fn registration(&mut self, id: RegistrationId, event: RegistrationEvent) {
        let over = matches!(event, RegistrationEvent::Gone(_));
        let Some(Registered { state, name }) = self.registrations.get(&id) else { return };
        self.telemetry.registration(name, &event);
        let stands =
            |state: &RegistrationState| matches!(state, RegistrationState::Registered { .. });
        let after = RegistrationState::after(event);
        self.registered += usize::from(stands(&after));
        self.registered -= usize::from(stands(&state.send_replace(after)));
        if over {
            self.registrations.remove(&id);
        }
    }

    pub fn opened(&mut self, id: DirectoryId, scope: Scope, view: Arc<View>) {
        let shown =
            Shown { scope, view, freshness: Freshness::Unsynced, unreadable: 0, suspects: 0 };
        self.directories.insert(id, shown);
    }

    /// Whether there is somebody to show it to.
    pub fn show(&mut self, id: DirectoryId, snapshot: Snapshot) -> bool {
        let Some(shown) = self.directories.get_mut(&id) else { return false };
        let (before, after) = (shown.freshness, snapshot.freshness);
        self.telemetry.freshness(&shown.scope, before, after, snapshot.records.len());
        shown.freshness = after;
        shown.unreadable = snapshot.bad.len();
        shown.suspects = snapshot.suspects.len();
        shown.view.show(snapshot);
        true
    }

    /// A directory's content went on.
    pub fn step(&mut self, id: DirectoryId, step: Step) -> bool {
        if let Some(shown) = self.directories.get(&id) {
            self.telemetry.stepped(&shown.scope, &step);
        }
        self.show(id, step.snapshot)
    }

    /// A directory's guard did something.
    pub fn guard(&mut self, id: DirectoryId, news: &GuardNews, snapshot: Snapshot) -> bool {
        if let Some(shown) = self.directories.get(&id) {
            self.telemetry.guard(&shown.scope, news);
        }
        self.show(id, snapshot)
    }

    pub fn closed(&mut self, id: DirectoryId) {
        if let Some(shown) = self.directories.remove(&id) {
            shown.view.close(self.now());
        }
    }

    /// Tells the status, if it is another one.
    pub fn tell_status(&mut self, engine: &Engine) {
        let Standing { member, away, login } = engine.standing();
        self.telemetry.standing(engine.standing());
        let driver_lag = self.telemetry.worst(self.now());
        let status = Status {
            in_flight: engine.in_flight(),
            bytes_in_flight: engine.bytes_in_flight(),
            member: member.0,
            store_away: away,
            login,
            driver_lag,
            ..self.told.clone()
        };
        self.publish_status(status);
    }

    fn publish_status(&mut self, status: Status) {
        let status = Status {
            registrations: self.registrations.len(),
            registered: self.registered,
            directories: self.directories.len(),
            live: self.fresh(Freshness::Live),
            unsynced: self.fresh(Freshness::Unsynced),
            unreadable: self.directories.values().map(|shown| shown.unreadable).sum(),
            suspects: self.directories.values().map(|shown| shown.suspects).sum(),
            ..status
        };
        if status != self.told || *self.status.borrow() != status {
            self.telemetry.status(&status);
            self.told = status.clone();
            self.status.send_replace(status);
        }
    }

    fn fresh(&self, freshness: Freshness) -> usize {
        self.directories.values().filter(|shown| shown.freshness == freshness).count()
    }

    /// The last word: whether every removal was confirmed.
    pub fn end(mut self, confirmed: bool) {
        self.let_go();
        self.ended.send_replace(Some(confirmed));
    }

    /// Ends whatever still waits. Nothing more is confirmed from now on.
    pub fn let_go(&mut self) {
        let now = self.now();
        self.inbox.close();
        while let Ok(message) = self.inbox.try_recv() {
            match message {
                Message::Register { id, instance, state, .. } => {
                    self.registered(id, name_of(&instance), state);
                }
                Message::Open { id, scope, view } => self.opened(id, scope, view),
                // Whoever waits for one of these sees its channel closed.
                Message::Follow { .. }
                | Message::Update { .. }
                | Message::Call { .. }
                | Message::Command(_)
                | Message::Shutdown { .. }
                | Message::Abandon => {}
            }
        }
        for directory in std::mem::take(&mut self.directories).into_values() {
            directory.view.close(now);
        }
        for registered in std::mem::take(&mut self.registrations).into_values() {
            registered.state.send_replace(RegistrationState::Gone(Gone::Unconfirmed));
        }
        self.registered = 0;
        self.followers.clear();
        // What may have been done is not told to be undone. The others see their channel closed.
        let updates = std::mem::take(&mut self.updates).into_values();
        for update in updates.filter(|update| update.proposed) {
            let reason = Refusal::Closed.to_string();
            let _ = update.done.send(Err(UpdateError::Unknown { reason }));
        }
        let calls = std::mem::take(&mut self.calls).into_values();
        for call in calls.filter(|call| !call.reads) {
            let _ = call.done.send(Err(Refusal::Unknown(StoreError::GaveUp)));
        }
        let status =
            Status { closing: true, in_flight: 0, bytes_in_flight: 0, ..self.told.clone() };
        self.publish_status(status);
    }
}

/// What log lines call a registration.
pub(crate) fn name_of(instance: &Instance) -> Arc<str> {
    format!("{}/{}", instance.group(), instance.id()).into()
}

impl Drop for Handles {
    fn drop(&mut self) {
        self.let_go();
        self.ended.send_if_modified(|ended| {
            let unsaid = ended.is_none();
            *ended = ended.or(Some(false));
            unsaid
        });
    }
}
