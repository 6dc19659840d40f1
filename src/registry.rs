use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use portolan_core::engine::{Command, DirectoryId, OpId, RegistrationId};
use portolan_core::instance::Instance;
use portolan_core::layout::{Layout, Scope};
use portolan_core::name::GroupName;
use portolan_core::time::Time;
use portolan_core::waist::{Key, Reply, Request, Revision};
use tokio::sync::{mpsc, oneshot, watch};

use crate::build::RegistryBuilder;
use crate::clock::Clock;
use crate::directory::{Directory, DirectoryState};
use crate::driver::Message;
use crate::error::{CallError, GroupError};
use crate::follow::Follower;
use crate::group::Group;
use crate::registration::RegistrationState;
use crate::status::{Status, StatusChanges};
use crate::task::Task;

/// The connection of a program to a registry's store. Cheap to clone; all clones are one.
///
/// One task drives it. When the last handle is dropped (this, or anything made from it), the
/// registry shuts down by itself, as well as it can; [`shutdown`](Self::shutdown) waits for that.
#[derive(Clone)]
pub struct Registry {
    pub(crate) shared: Arc<Shared>,
}

/// What all handles of a registry share.
pub(crate) struct Shared {
    pub inbox: mpsc::UnboundedSender<Message>,
    pub layout: Layout,
    pub limits: Limits,
    pub status: watch::Receiver<Status>,
    /// Whether all removals were confirmed; `None` as long as the driver runs.
    pub ended: watch::Receiver<Option<bool>>,
    pub task: tokio::sync::Mutex<Option<Task>>,
    pub clock: Clock,
    pub last_id: AtomicU64,
    pub directories: Mutex<BTreeMap<Scope, Weak<DirectoryState>>>,
}

/// How long things are tried, and what is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub call: Duration,
    pub shutdown: Duration,
    pub allow_local: bool,
}

impl Registry {
    /// Describes a registry over a real etcd.
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::new()
    }

    /// A registry over a store of its own within this process; see [`Embedded`](crate::Embedded).
    ///
    /// # Errors
    /// None with the defaults; see [`RegistryBuilder::build`].
    #[cfg(feature = "memory")]
    pub fn embedded() -> Result<Self, crate::BuildError> {
        Self::builder().embedded(&crate::Embedded::new()).build()
    }

    /// A group, by its name. Asks the store nothing.
    ///
    /// # Errors
    /// The name is not one.
    pub fn group(&self, name: &str) -> Result<Group, GroupError> {
        Ok(Group::new(self.clone(), GroupName::parse(name)?))
    }

    /// A live copy of what `scope` covers. Directories of one scope share one watch.
    pub fn directory(&self, scope: Scope) -> Directory {
        let mut directories =
            self.shared.directories.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = directories.get(&scope).and_then(Weak::upgrade) {
            return Directory::new(state);
        }
        let state = Arc::new(DirectoryState::new(self.clone(), DirectoryId(self.next_id())));
        let (id, view) = (state.id, state.view.clone());
        directories.retain(|_, state| state.strong_count() > 0);
        directories.insert(scope.clone(), Arc::downgrade(&state));
        drop(directories);
        if !self.send(Message::Open { id, scope, view: view.clone() }) {
            view.close(Time::ZERO);
        }
        Directory::new(state)
    }

    /// Every change from now on of the keys that begin with `prefix`, whatever the layout; of all
    /// keys where it is empty. The first thing told is where that begins.
    pub fn follow(&self, prefix: impl Into<Key>) -> Follower {
        Follower::start(self, prefix.into(), None)
    }

    /// As [`follow`](Self::follow), from the changes of revision `from` on. A revision that the
    /// store has compacted, or does not have, is told as a gap, and then what there is.
    pub fn follow_from(&self, prefix: impl Into<Key>, from: Revision) -> Follower {
        Follower::start(self, prefix.into(), Some(from))
    }

    /// Waits until the store has answered anything at all. Cancel safe.
    ///
    /// # Errors
    /// The registry was shut down, or `within` was over; it goes on trying all the same.
    pub async fn ready(&self, within: Duration) -> Result<(), CallError> {
        self.call(Request::Status, within).await.map(drop)
    }

    /// How the registry is doing now.
    pub fn status(&self) -> Status {
        self.shared.status.borrow().clone()
    }

    /// Waits for a status that fits; `None` when the registry was shut down before.
    pub async fn wait_for_status(&self, fits: impl FnMut(&Status) -> bool) -> Option<Status> {
        let mut status = self.shared.status.clone();
        status.wait_for(fits).await.ok().map(|status| status.clone())
    }

    /// The status, now and whenever it changes; those in between that came and went unseen are left
    /// out. It ends with the registry, after the last one was told.
    pub fn status_changes(&self) -> StatusChanges {
        StatusChanges::new(self.shared.status.clone())
    }

    /// The layout in use.
    pub fn layout(&self) -> &Layout {
        &self.shared.layout
    }

    /// How long ago it was built: what [`Status::last_answer`] and [`Freshness::Stale`] count from.
    ///
    /// [`Freshness::Stale`]: crate::Freshness::Stale
    pub fn uptime(&self) -> Duration {
        self.shared.clock.elapsed()
    }

    /// Publishes `Draining` for every registration (in layouts that know it), removes them, revokes
    /// the leases, and ends the driver, within the time set at
    /// [`RegistryBuilder::shutdown_within`]. When it returns no task of this registry is left.
    ///
    /// Returns whether every removal was confirmed; what was not ends with its lease. Whoever calls
    /// it again, or at the same time, gets the same answer; after [`abandon`](Self::abandon) that
    /// is no. Dropping the future leaves the shutdown under way.
    pub async fn shutdown(&self) -> bool {
        self.send(Message::Shutdown { within: self.shared.limits.shutdown });
        self.end().await
    }

    /// Ends the registry at once and without a word to the store, as a crash would: its records
    /// stay until their leases end.
    pub async fn abandon(&self) {
        self.send(Message::Abandon);
        self.end().await;
    }

    /// Waits until the driver has ended, and no task is left of it.
    async fn end(&self) -> bool {
        let mut ended = self.shared.ended.clone();
        let confirmed = ended.wait_for(Option::is_some).await.is_ok_and(|said| *said == Some(true));
        let mut task = self.shared.task.lock().await;
        if let Some(running) = task.as_mut() {
            // Whoever is dropped here leaves the task to the next.
            running.ended().await;
        }
        if let Some(over) = task.take() {
            over.join();
        }
        confirmed
    }

    /// One request, tried until `within` is over.
    pub(crate) async fn call(
        &self,
        request: Request,
        within: Duration,
    ) -> Result<Reply, CallError> {
        let (done, answer) = oneshot::channel();
        let id = OpId(self.next_id());
        self.send(Message::Call { id, request, within, done });
        match answer.await {
            Ok(result) => result.map_err(|inner| CallError { inner }),
            Err(_) => Err(CallError::closed()),
        }
    }

    pub(crate) fn register(
        &self,
        instance: Instance,
        conflict: portolan_core::engine::Conflict,
    ) -> Option<(RegistrationId, watch::Receiver<RegistrationState>)> {
        let id = RegistrationId(self.next_id());
        let (state, states) = watch::channel(RegistrationState::Starting);
        self.send(Message::Register { id, instance, conflict, state }).then_some((id, states))
    }

    pub(crate) fn command(&self, command: Command) -> bool {
        self.send(Message::Command(command))
    }

    /// Whether the driver will see it. One that has ended drops what it is sent; whoever waits for
    /// an answer sees that.
    pub(crate) fn send(&self, message: Message) -> bool {
        self.shared.inbox.send(message).is_ok()
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.shared.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("layout", &self.shared.layout)
            .field("status", &*self.shared.status.borrow())
            .finish_non_exhaustive()
    }
}
