//! Runs the command and looks at what it wrote.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use portolan_kit::{Etcd, Release};
use rustix::process::{Pid, Signal};

/// The command under test.
pub const PORTOLAN: &str = env!("CARGO_BIN_EXE_portolan");

/// Longer than anything here takes on a busy machine.
pub const LONG: Duration = Duration::from_secs(20);

/// A private etcd 3.5.
pub fn etcd() -> Etcd {
    Etcd::start(Release::V3_5).expect("etcd starts")
}

/// The command, with nothing of this machine's settings.
pub fn portolan<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(PORTOLAN);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("ETCD") || ["VISUAL", "EDITOR"].contains(&name.as_ref()) {
            command.env_remove(name.as_ref());
        }
    }
    // In a group of its own the command is never in the foreground of a terminal, whoever runs the
    // tests, so it passes every signal on.
    command.args(args).stdin(Stdio::null()).process_group(0);
    command
}

/// The command on one etcd.
pub fn on<A: AsRef<OsStr>>(etcd: &Etcd, args: impl IntoIterator<Item = A>) -> Command {
    let mut command = portolan(args);
    command.env("ETCD_ENDPOINTS", etcd.client_url());
    command
}

/// Runs it to its end.
pub fn run(command: &mut Command) -> Ran {
    let output = command.output().expect("the command runs");
    Ran::new(&output)
}

/// What a command left behind.
#[derive(Debug, Eq, PartialEq)]
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it writes UTF-8");
        Self {
            status: output.status.code().expect("it is not killed"),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// What it wrote to standard output, if it was done.
    pub fn done(self) -> String {
        assert_eq!((self.status, self.err.as_str()), (0, ""), "{self:?}");
        self.out
    }
}

/// A command that goes on, line by line.
pub struct Running {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let out = lines(child.stdout.take().expect("it is piped"));
        let err = lines(child.stderr.take().expect("it is piped"));
        Self { child, out, err }
    }

    /// The next line of standard output.
    pub fn out(&self) -> String {
        next(&self.out).expect("standard output goes on")
    }

    /// What is left of standard output, line by line, of one that has ended.
    pub fn last_out(&self) -> Option<String> {
        next(&self.out)
    }

    /// The next line of standard error.
    pub fn err(&self) -> String {
        next(&self.err).expect("standard error goes on")
    }

    /// What is left of standard error, line by line, of one that has ended.
    pub fn last_err(&self) -> Option<String> {
        next(&self.err)
    }

    /// Waits for a line of standard error that has `text` in it.
    pub fn hears(&self, text: &str) -> String {
        let mut heard = Vec::new();
        while let Some(line) = next(&self.err) {
            if line.contains(text) {
                return line;
            }
            heard.push(line);
        }
        panic!("never heard {text:?}, but {heard:#?}");
    }

    /// Whether nothing was said on standard error for a while.
    pub fn is_silent_for(&self, time: Duration) -> bool {
        self.err.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
    }

    /// The most memory that it ever had, in bytes.
    pub fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("it is told");
        kib.trim().parse::<u64>().expect("a number") << 10
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        rustix::process::kill_process(pid.expect("a pid"), signal).expect("the signal is sent");
    }

    /// Writes to standard input, which must be piped.
    pub fn write(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("standard input is piped");
        stdin.write_all(text.as_bytes()).expect("it reads");
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_none()
    }

    /// Its exit status, once it has ended by itself.
    pub fn status(&mut self) -> i32 {
        let give_up_at = Instant::now() + LONG;
        while self.is_running() {
            assert!(Instant::now() < give_up_at, "it has not ended");
            thread::sleep(Duration::from_millis(10));
        }
        let status = self.child.wait().expect("it has ended");
        status.code().expect("it is not killed")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up_at = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < give_up_at, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What stands at a key, if anything.
pub fn value(etcd: &Etcd, key: &str) -> String {
    etcd.etcdctl(["get", "--print-value-only", key]).expect("etcdctl gets")
}

/// Writes a program.
pub fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("it is written");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).expect("it can be run");
}

/// `None`: no line came in time, or none will.
fn next(lines: &Receiver<String>) -> Option<String> {
    lines.recv_timeout(LONG).ok()
}

fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
