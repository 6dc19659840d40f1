//! One running server process, and the signals it is sent.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// A child process that is reaped by whoever ends it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    paused: bool,
}

impl Process {
    /// Starts it in a process group of its own: a Ctrl-C meant for the tests does not reach it.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.process_group(0).spawn()?;
        Ok(Self { child, paused: false })
    }

    /// SIGSTOP; returns once the process has stopped, so nothing it does comes later.
    pub(crate) fn pause(&mut self) -> io::Result<()> {
        if self.paused {
            return Ok(());
        }
        kill_process(self.handle(), Signal::STOP)?;
        // Leaves the state to be waited for again: the child is reaped by `child` alone.
        let changes = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(self.handle()), changes)?;
        self.paused = true;
        Ok(())
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self) -> io::Result<()> {
        kill_process(self.handle(), Signal::CONT)?;
        self.paused = false;
        Ok(())
    }

    /// SIGKILL, paused or not; returns once the process is reaped.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// SIGTERM, after waking it up if need be. `false`: it had not ended `within` and was killed.
    pub(crate) fn stop(&mut self, within: Duration) -> io::Result<bool> {
        if self.ended()?.is_some() {
            return Ok(true);
        }
        kill_process(self.handle(), Signal::TERM)?;
        self.resume()?;
        let give_up_at = Instant::now() + within;
        while Instant::now() < give_up_at {
            if self.ended()?.is_some() {
                return Ok(true);
            }
            thread::sleep(POLL);
        }
        self.kill()?;
        Ok(false)
    }

    /// How it ended, if it has; reaps it.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Signals go to a child that was not reaped yet, so the number is still its own.
    fn handle(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

/// Between two looks at a process that should end or become healthy soon.
pub(crate) const POLL: Duration = Duration::from_millis(10);
