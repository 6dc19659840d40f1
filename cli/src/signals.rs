//! The signals that are taken, rather than died of.

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

use crate::fail::Failure;

/// All of them, from the moment of [`listen`](Self::listen) on.
pub struct Signals {
    term: unix::Signal,
    int: unix::Signal,
    hup: unix::Signal,
    quit: unix::Signal,
    usr1: unix::Signal,
    usr2: unix::Signal,
}

impl Signals {
    pub fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            unix::signal(kind)
                .map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))
        };
        Ok(Self {
            term: listen(SignalKind::terminate())?,
            int: listen(SignalKind::interrupt())?,
            hup: listen(SignalKind::hangup())?,
            quit: listen(SignalKind::quit())?,
            usr1: listen(SignalKind::user_defined1())?,
            usr2: listen(SignalKind::user_defined2())?,
        })
    }

    /// The next one of any kind. Cancel safe.
    pub async fn next(&mut self) -> Signal {
        // tokio's streams of signals never end.
        tokio::select! {
            biased;
            _ = self.term.recv() => Signal::TERM,
            _ = self.int.recv() => Signal::INT,
            _ = self.hup.recv() => Signal::HUP,
            _ = self.quit.recv() => Signal::QUIT,
            _ = self.usr1.recv() => Signal::USR1,
            _ = self.usr2.recv() => Signal::USR2,
        }
    }

    /// The next one that asks a program to end.
    pub async fn next_end(&mut self) {
        while !asks_to_end(self.next().await) {}
    }
}

/// Whether a program that knows of nothing else to do about it should end.
pub fn asks_to_end(signal: Signal) -> bool {
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT].contains(&signal)
}
