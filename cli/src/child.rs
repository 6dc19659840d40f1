//! The program that `register` runs: started, passed signals, waited for.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal};
use tokio::process::{Child as Process, Command};

use crate::out;

/// A running program. It shares our terminal, our process group, and our standard streams.
pub struct Child {
    name: String,
    process: Process,
}

/// A program that could not be started, in the words and with the status that a shell has for it.
pub struct NotStarted {
    pub line: String,
    pub status: u8,
}

impl Child {
    /// Starts it; `None`: there is no program to start.
    pub fn start(command: &[OsString]) -> Result<Option<Self>, NotStarted> {
        let Some((program, args)) = command.split_first() else { return Ok(None) };
        let name = program.to_string_lossy().into_owned();
        match Command::new(program).args(args).spawn() {
            Ok(process) => Ok(Some(Self { name, process })),
            Err(error) => Err(NotStarted {
                status: if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 },
                line: format!("cannot start {name:?}: {error}; nothing was registered"),
            }),
        }
    }

    /// Passes a signal on, unless the program has ended, or has it from the terminal already.
    pub fn pass(&self, signal: Signal) {
        let from_terminal = [Signal::INT, Signal::QUIT].contains(&signal) && in_foreground();
        // The id is not reused before the process was waited for, and then there is none here.
        let id = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let Some(id) = id.filter(|_| !from_terminal) else { return };
        if let Err(error) = rustix::process::kill_process(id, signal) {
            out::note(format!("cannot pass signal {} on: {error}", signal.as_raw()));
        }
    }

    /// Waits for its end. Cancel safe.
    pub async fn ended(&mut self) -> u8 {
        match self.process.wait().await {
            Ok(status) => status_of(status),
            Err(error) => {
                out::note(format!("cannot wait for {:?}: {error}", self.name));
                1
            }
        }
    }
}

/// A program's own status, or 128 and the number of the signal that killed it.
fn status_of(status: ExitStatus) -> u8 {
    let killed = || status.signal().map(|signal| 128 + signal);
    status.code().or_else(killed).and_then(|status| u8::try_from(status).ok()).unwrap_or(1)
}

/// Whether keys like ctrl-c at the terminal send signals to us: then they do to our child too.
fn in_foreground() -> bool {
    let Ok(terminal) = File::open("/dev/tty") else { return false };
    rustix::termios::tcgetpgrp(terminal).is_ok_and(|group| group == rustix::process::getpgrp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_a_shell() {
        let cases = [(0, 0), (3 << 8, 3), (255 << 8, 255), (9, 137), (15, 143)];
        for (raw, expected) in cases {
            assert_eq!(status_of(ExitStatus::from_raw(raw)), expected, "{raw}");
        }
    }
}
