//! Cleans up after a test process that was killed and could not do so itself.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::KitError;

/// A shell that waits for the end of its standard input, which comes with the end of the test
/// process, however that ends. Then it kills the server that it was last told of and removes the
/// data folder.
///
/// A process group of its own keeps it alive when a test runner kills the test's whole group.
#[derive(Debug)]
pub(crate) struct Guardian {
    shell: Child,
    /// `None` only while dropping.
    orders: Option<ChildStdin>,
}

impl Guardian {
    /// Starts a guardian over `folder`; it guards no process yet.
    pub(crate) fn over(folder: &Path) -> Result<Self, KitError> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "portolan-guardian"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(KitError::os("starting the guardian shell"))?;
        let orders = shell.stdin.take();
        Ok(Self { shell, orders })
    }

    /// From now on `pid` is killed when this process dies; `None`: nothing is.
    ///
    /// Tell it `None` as soon as a process was reaped: its number may then be given to another.
    pub(crate) fn watch(&mut self, pid: Option<u32>) -> Result<(), KitError> {
        let line = pid.map_or(String::from("-\n"), |pid| format!("{pid}\n"));
        let orders = self.orders.as_mut().expect("open until dropped");
        orders.write_all(line.as_bytes()).map_err(KitError::os("telling the guardian"))
    }
}

impl Drop for Guardian {
    /// Waits until the shell has done its work.
    fn drop(&mut self) {
        self.orders = None;
        // Nothing is left to do about a failure: the shell is gone either way.
        let _ = self.shell.wait();
    }
}

/// Signals that end the tests must not end the guardian before its work is done.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
pid=-
while read -r line; do pid=$line; done
if [ "$pid" != - ]; then
    kill -KILL "$pid"
    sleep 0.2
fi
rm -rf "$1"
"#;
