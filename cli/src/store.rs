//! Which etcd, as whom, in which layout; and waiting for its answer.

use std::env::{self, VarError};
use std::fs;
use std::future::pending;
use std::path::Path;
use std::time::Duration;

use portolan::{CallError, Directory, Layout, Registry, RegistryBuilder, Snapshot, Status};
use secrecy::{ExposeSecret, SecretString};

use crate::args::{Globals, LayoutName};
use crate::fail::Failure;

/// Where everything is. Nothing is connected yet.
pub struct Store {
    endpoints: Vec<String>,
    /// Whether somebody named these, rather than the default.
    given: bool,
    user: Option<(String, SecretString)>,
    layout: Layout,
    timeout: Duration,
}

impl Store {
    pub fn new(globals: &Globals) -> Result<Self, Failure> {
        let from_env = || -> Result<_, Failure> {
            let first = variable("ETCD_ENDPOINTS")?;
            let either = if first.is_some() { first } else { variable("ETCDCTL_ENDPOINTS")? };
            Ok(either.map(|list| list.split(',').map(str::to_owned).collect::<Vec<_>>()))
        };
        let endpoints = match globals.endpoints.clone() {
            Some(endpoints) => Some(endpoints),
            None => from_env()?,
        };
        Ok(Self {
            given: endpoints.is_some(),
            endpoints: endpoints.unwrap_or_else(|| vec![DEFAULT_ENDPOINT.to_owned()]),
            user: user(globals)?,
            layout: layout(globals)?,
            timeout: globals.timeout,
        })
    }

    /// Describes a registry on this etcd.
    pub fn builder(&self) -> RegistryBuilder {
        let mut builder = Registry::builder()
            .endpoints(&self.endpoints)
            .layout(self.layout.clone())
            .call_within(self.timeout)
            .shutdown_within(self.timeout.min(SHUTDOWN_LIMIT));
        if let Some((name, password)) = &self.user {
            builder = builder.user(name, password.clone());
        }
        builder
    }

    /// A registry on this etcd; nobody has spoken to it yet.
    pub fn connect(&self) -> Result<Registry, Failure> {
        self.builder().build().map_err(Failure::usage)
    }

    /// A directory's content, once it was listed.
    pub async fn listed(
        &self,
        registry: &Registry,
        directory: &Directory,
    ) -> Result<Snapshot, Failure> {
        tokio::select! {
            biased;
            listed = directory.ready() => listed.map_err(|error| Failure::Failed(error.to_string())),
            () = refused(registry) => Err(Failure::Failed(self.silent(registry))),
            () = tokio::time::sleep(self.timeout) => Err(Failure::Failed(self.silent(registry))),
        }
    }

    /// What to say when the store refused a call.
    pub fn refused(&self, error: &CallError) -> String {
        let text = error.to_string();
        format!("refused by {self}: {}", text.strip_prefix("not done: ").unwrap_or(&text))
    }

    /// What to say when nothing useful came from the store.
    pub fn silent(&self, registry: &Registry) -> String {
        let failure = registry.status().last_failure;
        match failure.as_deref() {
            Some(reason) if is_refusal(reason) => format!("refused by {self}: {reason}"),
            Some(reason) => format!("no answer from {self} within {:?}: {reason}", self.timeout),
            None => format!("no answer from {self} within {:?}: it says nothing", self.timeout),
        }
    }

    /// `etcdctl` on this etcd, for a line that the user is to copy.
    pub fn etcdctl(&self, command: &str) -> String {
        format!("`etcdctl --endpoints={} {command}`", self.endpoints.join(","))
    }

    pub fn is_given(&self) -> bool {
        self.given
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

impl std::fmt::Display for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "etcd at {}", self.endpoints.join(","))
    }
}

/// Waits until the store refuses who we are, or what we ask: no waiting changes that.
async fn refused(registry: &Registry) {
    let refused = |status: &Status| status.last_failure.as_deref().is_some_and(is_refusal);
    if registry.wait_for_status(refused).await.is_none() {
        pending::<()>().await;
    }
}

/// Whether this is etcd's word for it: password, rights, or no user where one is needed. A status
/// has no more than words.
fn is_refusal(reason: &str) -> bool {
    ["authentication failed", "permission denied", "user name is empty"]
        .iter()
        .any(|words| reason.contains(words))
}

/// As etcdctl's.
const DEFAULT_ENDPOINT: &str = "127.0.0.1:2379";

/// Longer than this nobody waits for a command to end; the leases' ends do the rest.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

fn layout(globals: &Globals) -> Result<Layout, Failure> {
    let root = globals.root.as_deref();
    match globals.layout {
        LayoutName::Native => Layout::native(root.unwrap_or("/portolan")),
        LayoutName::EtcdNaming => Layout::etcd_naming(root.unwrap_or_default()),
    }
    .map_err(Failure::usage)
}

fn user(globals: &Globals) -> Result<Option<(String, SecretString)>, Failure> {
    let given = globals.user.clone();
    let given = match given {
        Some(user) => Some(user),
        None => variable("ETCDCTL_USER")?.map(SecretString::from),
    };
    let file = globals.password_file.as_deref();
    let Some(given) = given else {
        return match file {
            Some(_) => Err(Failure::usage("--password-file needs --user")),
            None => Ok(None),
        };
    };
    let (name, password) = match given.expose_secret().split_once(':') {
        Some((name, password)) => (name, Some(SecretString::from(password))),
        None => (given.expose_secret(), None),
    };
    if name.is_empty() {
        return Err(Failure::usage("--user has no name; it takes NAME or NAME:PASSWORD"));
    }
    let password = match (password, file) {
        (Some(_), Some(_)) => {
            return Err(Failure::usage("--user has a password, and so has --password-file"));
        }
        (Some(password), None) => password,
        (None, Some(file)) => first_line(file)?,
        (None, None) => variable("ETCDCTL_PASSWORD")?.map(SecretString::from).ok_or_else(|| {
            Failure::usage("--user has no password; it takes --password-file or ETCDCTL_PASSWORD")
        })?,
    };
    Ok(Some((name.to_owned(), password)))
}

fn first_line(file: &Path) -> Result<SecretString, Failure> {
    let shown = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::Usage(format!("--password-file {shown}: {error}")))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.into()),
        Some(_) | None => Err(Failure::usage(format!("--password-file {shown} begins empty"))),
    }
}

/// A variable of the environment; an empty one counts as none, as for etcdctl.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Failure::usage(format!("{name} is not UTF-8"))),
    }
}
