//! Where a driver runs: as a task of the caller's runtime, or on a thread of its own.

use std::thread;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::build::BuildError;
use crate::driver::{Driver, Store};
use crate::registry::Registry;

/// A running driver.
pub(crate) enum Task {
    Here(tokio::task::JoinHandle<()>),
    Apart { over: oneshot::Receiver<()>, thread: thread::JoinHandle<()> },
}

impl Task {
    /// Starts what `make` makes. Neither waits for the store.
    ///
    /// # Errors
    /// What `make` returns, or that there is no runtime, or no thread to be had; nothing is left.
    pub fn start<S: Store>(
        apart: bool,
        make: impl FnOnce() -> Result<(Registry, Driver<S>), BuildError> + Send + 'static,
    ) -> Result<(Registry, Self), BuildError> {
        if apart {
            return Self::apart(make);
        }
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(BuildError::NoRuntime);
        }
        let (registry, driver) = make()?;
        Ok((registry, Self::Here(tokio::spawn(driver.run()))))
    }

    fn apart<S: Store>(
        make: impl FnOnce() -> Result<(Registry, Driver<S>), BuildError> + Send + 'static,
    ) -> Result<(Registry, Self), BuildError> {
        let no_thread = |error: std::io::Error| BuildError::NoThread { reason: error.to_string() };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
        let (made, answer) = std::sync::mpsc::sync_channel(1);
        let (done, over) = oneshot::channel();
        let run = move || {
            runtime.block_on(async move {
                match make() {
                    Ok((registry, driver)) => {
                        // Nobody is left to be told only if the caller panicked.
                        let _ = made.send(Ok(registry));
                        driver.run().await;
                    }
                    Err(error) => drop(made.send(Err(error))),
                }
            });
            drop(runtime);
            let _ = done.send(());
        };
        let thread =
            thread::Builder::new().name("portolan".to_owned()).spawn(run).map_err(no_thread)?;
        match answer.recv() {
            Ok(Ok(registry)) => Ok((registry, Self::Apart { over, thread })),
            Ok(Err(error)) => {
                let _ = thread.join();
                Err(error)
            }
            Err(_) => Err(BuildError::NoThread { reason: "it ended at once".to_owned() }),
        }
    }

    /// Waits until it has ended. One that panicked has already said so. Cancel safe.
    pub async fn ended(&mut self) {
        match self {
            Self::Here(task) => drop(task.await),
            // Its sender goes with the thread's last step, so a join does not block for long.
            Self::Apart { over, .. } => drop(over.await),
        }
    }

    /// Leaves nothing behind, after [`ended`](Self::ended).
    pub fn join(self) {
        match self {
            Self::Here(_) => {}
            Self::Apart { thread, .. } => drop(thread.join()),
        }
    }
}
