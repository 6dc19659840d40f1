//! madsim's tokio, with timers that are as exact as its clock.
//!
//! madsim has every sleep last a millisecond at least, one whose time has come too. tokio is done with
//! that one at once, and so is every simulation of ours: the simulator's checks ask for what is due
//! when it is due.

pub use tokio::*;

/// madsim's, but for [`sleep_until`](time::sleep_until).
pub mod time {
    pub use tokio::time::*;

    /// Sleeps until a moment, and not at all if it has come.
    pub async fn sleep_until(deadline: Instant) {
        let mut sleep = std::pin::pin!(tokio::time::sleep_until(deadline));
        sleep.as_mut().reset(deadline);
        sleep.await;
    }
}
