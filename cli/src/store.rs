//! Which etcd, as whom, in which layout; and waiting for its answer.

use std::env::{self, VarError};
use std::future::pending;
use std::time::Duration;

use portolan::{
    BuildError, CallError, Directory, EtcdError, Layout, Registry, RegistryBuilder, Snapshot,
    Status,
};

use crate::args::{Globals, LayoutName};
use crate::fail::Failure;

mod login;

use login::{Password, TlsFiles, user};

/// Where everything is. Nothing is connected yet.
pub struct Store {
    endpoints: Vec<String>,
    /// Whether somebody named these, rather than the default.
    given: bool,
    user: Option<(String, Password)>,
    tls: TlsFiles,
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
            tls: TlsFiles::new(globals)?,
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
        match &self.user {
            Some((name, Password::Given(password))) => {
                builder = builder.user(name, password.clone());
            }
            Some((name, Password::File(file))) => builder = builder.password_file(name, file),
            None => {}
        }
        match self.tls.settings() {
            Some(tls) => builder.tls(tls),
            None => builder,
        }
    }

    /// What to say when no registry could be described.
    pub fn unbuilt(&self, error: &BuildError) -> Failure {
        if let BuildError::Etcd(EtcdError::Tls(error)) = error {
            return self.tls.unusable(error);
        }
        Failure::usage(error)
    }

    /// A registry on this etcd; nobody has spoken to it yet.
    pub fn connect(&self) -> Result<Registry, Failure> {
        self.builder().build().map_err(|error| self.unbuilt(&error))
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
        format!("`etcdctl --endpoints={}{} {command}`", self.endpoints.join(","), self.tls)
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

/// A variable of the environment; an empty one counts as none, as for etcdctl.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Failure::usage(format!("{name} is not UTF-8"))),
    }
}
