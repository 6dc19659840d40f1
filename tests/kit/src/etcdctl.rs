//! Runs `etcdctl`: a client that is not ours, to look at and disturb a cluster with.

use std::{
    ffi::OsString,
    process::{Command, Stdio},
};

use crate::{KitError, Programs};

/// Runs `etcdctl` against `endpoints` (joined by commas) and returns what it printed.
///
/// # Errors
/// [`KitError::Etcdctl`] when it ended with a failure, [`KitError::Os`] when it could not be run.
pub(crate) fn run<A: Into<OsString>>(
    programs: &Programs,
    endpoints: &str,
    args: impl IntoIterator<Item = A>,
) -> Result<String, KitError> {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let mut command = Command::new(&programs.etcdctl);
    without_etcd_variables(&mut command);
    let output = command
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", endpoints, "--dial-timeout", "2s", "--command-timeout", "10s"])
        .args(&args)
        .stdin(Stdio::null())
        .output()
        .map_err(KitError::os(format!("running {}", programs.etcdctl.display())))?;
    if !output.status.success() {
        let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(KitError::Etcdctl { args: args.join(" "), stderr });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A developer's own settings must not reach the servers and clients of tests.
pub(crate) fn without_etcd_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ETCD") {
            command.env_remove(name);
        }
    }
}
