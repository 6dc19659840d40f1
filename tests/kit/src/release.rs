//! Which etcd: the releases that the tests run against, and where their programs are.

use std::{
    env,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{KitError, etcdctl};

/// A release of etcd that tests run against. `.ci/etcd.sh` (`make etcd`) brings the first three.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Release {
    /// 3.4.23: the oldest that is supported. Required.
    V3_4,
    /// 3.5.16: what most clusters run. Required.
    V3_5,
    /// A late 3.5, 3.5.30 at the time of writing. Optional.
    Late,
    /// Whatever `$PORTOLAN_ETCD` names. Optional.
    Named,
}

impl Release {
    /// Those that a test run must have: without them tests fail, they are never skipped.
    pub const REQUIRED: [Self; 2] = [Self::V3_4, Self::V3_5];

    /// The required releases (here or not), and the optional ones that are here.
    #[must_use]
    pub fn wanted() -> Vec<Self> {
        let optional = [Self::Late, Self::Named];
        let here = optional.into_iter().filter(|release| Programs::find(*release).is_ok());
        Self::REQUIRED.into_iter().chain(here).collect()
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V3_4 => "etcd 3.4",
            Self::V3_5 => "etcd 3.5",
            Self::Late => "late etcd",
            Self::Named => "etcd of PORTOLAN_ETCD",
        })
    }
}

/// The programs of one release.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Programs {
    /// The server.
    pub etcd: PathBuf,
    /// The command-line client; may be missing beside an etcd of [`Release::Named`].
    pub etcdctl: PathBuf,
    /// What the server says it is: `3.5.16`.
    pub version: String,
}

impl Programs {
    /// Finds the programs of a release and asks the server for its version.
    ///
    /// # Errors
    /// [`KitError::NoEtcd`] when there is none or it does not run, [`KitError::NotNamed`].
    pub fn find(release: Release) -> Result<Self, KitError> {
        let etcd = match release {
            Release::V3_4 => cache().join("3.4/etcd"),
            Release::V3_5 => cache().join("3.5/etcd"),
            Release::Late => cache().join("late/etcd"),
            Release::Named => match env::var_os("PORTOLAN_ETCD") {
                Some(path) if !path.is_empty() => PathBuf::from(path),
                Some(_) | None => return Err(KitError::NotNamed),
            },
        };
        let Some(version) = version_of(&etcd) else {
            return Err(KitError::NoEtcd { release, looked_at: etcd });
        };
        Ok(Self { etcdctl: etcd.with_file_name("etcdctl"), etcd, version })
    }

    /// Runs `etcdctl` against the server of somebody else and returns what it printed. `endpoints`:
    /// joined by commas.
    ///
    /// # Errors
    /// [`KitError::Etcdctl`] when it failed, [`KitError::Os`] when it could not be run.
    pub fn etcdctl<A: Into<OsString>>(
        &self,
        endpoints: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Result<String, KitError> {
        etcdctl::run(self, endpoints, args)
    }

    /// Major and minor version, to choose flags by; `(0, 0)` when it makes no sense.
    #[must_use]
    pub fn minor(&self) -> (u32, u32) {
        let mut parts = self.version.split('.').map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }
}

/// Where `.ci/etcd.sh` puts what it brings.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/etcd")
}

/// etcd prints `etcd Version: 3.5.16` as the first line of `--version`.
fn version_of(etcd: &Path) -> Option<String> {
    let output = Command::new(etcd).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find_map(|line| line.strip_prefix("etcd Version: ")).map(str::to_owned)
}
