use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Everything that a backend has running: its own tasks, and those of the connections that it
/// made. A clone is another handle to the same set.
#[derive(Clone, Default)]
pub(crate) struct Tasks(Arc<Shared>);

#[derive(Default)]
struct Shared {
    set: Mutex<Set>,
    ended: Notify,
}

#[derive(Default)]
struct Set {
    next: u64,
    /// `None` between a task's start and the moment its handle is known.
    alive: BTreeMap<u64, Option<AbortHandle>>,
    /// Nothing starts any more.
    closed: bool,
}

impl Tasks {
    /// Runs `work` on the ambient runtime until it is done or aborted. After [`Tasks::abort_all`]
    /// nothing runs: the handle is then that of a task which has ended already.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut set = self.lock();
        let id = set.next;
        set.next += 1;
        set.alive.insert(id, None);
        let closed = set.closed;
        drop(set);

        let ticket = Ticket { tasks: self.clone(), id };
        let handle = tokio::spawn(async move {
            let _ticket = ticket;
            work.await;
        })
        .abort_handle();
        if closed {
            handle.abort();
        }
        if let Some(entry) = self.lock().alive.get_mut(&id) {
            *entry = Some(handle.clone());
        }
        handle
    }

    /// Ends all tasks at their next await point, and every later one at its start.
    pub(crate) fn abort_all(&self) {
        let mut set = self.lock();
        set.closed = true;
        let handles: Vec<_> = set.alive.values().flatten().cloned().collect();
        drop(set);
        handles.iter().for_each(AbortHandle::abort);
    }

    /// Waits until no task is left.
    pub(crate) async fn all_ended(&self) {
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.alive() == 0 {
                return;
            }
            ended.await;
        }
    }

    /// How many have not ended.
    pub(crate) fn alive(&self) -> usize {
        self.lock().alive.len()
    }

    fn lock(&self) -> MutexGuard<'_, Set> {
        self.0.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tonic runs its connections on.
impl hyper::rt::Executor<Pin<Box<dyn Future<Output = ()> + Send>>> for Tasks {
    fn execute(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.spawn(work);
    }
}

/// Held by a task; dropped with it, however it ends.
struct Ticket {
    tasks: Tasks,
    id: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tasks.lock().alive.remove(&self.id);
        self.tasks.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_end_is_counted() {
        let tasks = Tasks::default();
        tasks.spawn(async {});
        let waiting = tasks.spawn(std::future::pending());
        tasks.spawn(std::future::pending());
        assert_eq!(tasks.alive(), 3);

        waiting.abort();
        while tasks.alive() > 1 {
            tokio::task::yield_now().await;
        }
        tasks.abort_all();
        tasks.all_ended().await;

        tasks.spawn(std::future::pending());
        tasks.all_ended().await;
        assert_eq!(tasks.alive(), 0);
    }
}
