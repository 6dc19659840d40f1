use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portolan_core::engine::{Engine, Setup};
use portolan_core::layout::{Layout, RootError};
use portolan_core::time::Time;
use portolan_core::tuning::{Guard, Tuning, TuningError};
#[cfg(feature = "etcd")]
use portolan_etcd::RawChannel;

use crate::clock::Clock;
use crate::driver::{Driver, Store};
use crate::handles::{Handles, Seen};
use crate::registry::{Limits, Registry, Shared};
use crate::task::Task;
use crate::telemetry::Telemetry;

/// Describes a registry. Nothing is connected before [`build`](Self::build), and not by it either.
#[must_use]
pub struct RegistryBuilder {
    source: Source,
    layout: Result<Layout, RootError>,
    tuning: Tuning,
    limits: Limits,
    seed: Option<u64>,
    own_thread: bool,
    #[cfg(feature = "etcd")]
    login: Option<(String, Password)>,
    #[cfg(feature = "etcd")]
    tls: Option<portolan_etcd::Tls>,
    #[cfg(feature = "etcd")]
    resolver: Option<Resolving>,
}

/// Sets a resolver.
#[cfg(feature = "etcd")]
type Resolving = Box<dyn FnOnce(portolan_etcd::Builder) -> portolan_etcd::Builder + Send>;

#[cfg(feature = "etcd")]
enum Password {
    Fixed(secrecy::SecretString),
    File(std::path::PathBuf),
}

enum Source {
    Nowhere,
    #[cfg(feature = "etcd")]
    Etcd(Vec<EtcdMember>),
    #[cfg(feature = "memory")]
    Embedded(crate::Embedded),
}

/// How one of etcd's members is reached.
#[cfg(feature = "etcd")]
enum EtcdMember {
    At(String),
    Over { name: String, calls: RawChannel, streams: RawChannel },
}

/// Why no registry was built; nothing was started.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No store was named.
    #[error("no store is named: give the addresses of etcd's members, or an embedded store")]
    NoStore,
    /// The root is not one.
    #[error(transparent)]
    Root(#[from] RootError),
    /// A constant out of its range, the time to live among them.
    #[error(transparent)]
    Tuning(#[from] TuningError),
    /// A time limit that is no time at all.
    #[error("{what} is zero; it takes a time above zero")]
    NoTime {
        /// Which.
        what: &'static str,
    },
    /// An address of etcd that is none, too many, or TLS settings that cannot be used.
    #[cfg(feature = "etcd")]
    #[error(transparent)]
    Etcd(#[from] portolan_etcd::BuildError),
    /// Not within a tokio runtime, and without a thread of its own.
    #[error("no tokio runtime: build a registry from within one, or give it a thread of its own")]
    NoRuntime,
    /// There is no thread or no runtime to be had for the driver.
    #[error("no thread for the driver: {reason}")]
    NoThread {
        /// The system's words.
        reason: String,
    },
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness: {reason}")]
    NoEntropy {
        /// Its words.
        reason: String,
    },
}

impl RegistryBuilder {
    pub(crate) fn new() -> Self {
        Self {
            source: Source::Nowhere,
            layout: Layout::native(portolan_core::layout::DEFAULT_ROOT),
            tuning: Tuning::default(),
            limits: Limits {
                call: Duration::from_secs(10),
                shutdown: Duration::from_secs(5),
                allow_local: false,
            },
            seed: None,
            own_thread: false,
            #[cfg(feature = "etcd")]
            login: None,
            #[cfg(feature = "etcd")]
            tls: None,
            #[cfg(feature = "etcd")]
            resolver: None,
        }
    }

    /// etcd's members, each as `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`. Without a
    /// scheme it is `https` if [`tls`](Self::tls) is set. If it is not, the members of `https`
    /// addresses are known by the authorities that the system trusts.
    #[cfg(feature = "etcd")]
    pub fn endpoints<E: Into<String>>(mut self, endpoints: impl IntoIterator<Item = E>) -> Self {
        let at = |endpoint: E| EtcdMember::At(endpoint.into());
        self.source = Source::Etcd(endpoints.into_iter().map(at).collect());
        self
    }

    /// One member of etcd more, reached over channels of the caller's own: a server in the same
    /// process, a wire that a test can cut. One is for calls and renewals, one for watches, which may
    /// stall theirs. `name` is what errors call the member.
    ///
    /// Time limits, pings, TLS and other connections are then the channels' own business. They are
    /// tower services of tonic's requests: whoever makes them follows the versions of these crates
    /// that [`portolan_etcd`] uses.
    #[cfg(feature = "etcd")]
    pub fn channels(
        mut self,
        name: impl Into<String>,
        calls: RawChannel,
        streams: RawChannel,
    ) -> Self {
        let member = EtcdMember::Over { name: name.into(), calls, streams };
        match &mut self.source {
            Source::Etcd(members) => members.push(member),
            Source::Nowhere => self.source = Source::Etcd(vec![member]),
            #[cfg(feature = "memory")]
            Source::Embedded(_) => self.source = Source::Etcd(vec![member]),
        }
        self
    }

    /// The user to be for etcd, and the password, which is shown nowhere. A token is fetched with
    /// the first call, and again when etcd no longer knows it.
    #[cfg(feature = "etcd")]
    pub fn user(mut self, name: impl Into<String>, password: secrecy::SecretString) -> Self {
        self.login = Some((name.into(), Password::Fixed(password)));
        self
    }

    /// As [`user`](Self::user), with a password that is read from the first line of a file each time
    /// that a token is fetched, so that it may change while the process runs.
    #[cfg(feature = "etcd")]
    pub fn password_file(
        mut self,
        name: impl Into<String>,
        path: impl Into<std::path::PathBuf>,
    ) -> Self {
        self.login = Some((name.into(), Password::File(path.into())));
        self
    }

    /// Speaks TLS to etcd's members. Files are read by [`build`](Self::build), and again when they
    /// change.
    #[cfg(feature = "etcd")]
    pub fn tls(mut self, tls: portolan_etcd::Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Finds the addresses that the hosts of [`endpoints`](Self::endpoints), with their ports, stand
    /// for: the system's resolver, if not set. One name may stand for several members: each new
    /// connection tries another of its addresses first.
    #[cfg(feature = "etcd")]
    pub fn resolver<R, F>(mut self, resolver: R) -> Self
    where
        R: Fn(String, u16) -> F + Send + Sync + 'static,
        F: Future<Output = std::io::Result<Vec<std::net::SocketAddr>>> + Send + 'static,
    {
        self.resolver = Some(Box::new(|etcd| etcd.resolver(resolver)));
        self
    }

    /// A store within this process.
    #[cfg(feature = "memory")]
    pub fn embedded(mut self, store: &crate::Embedded) -> Self {
        self.source = Source::Embedded(store.clone());
        self
    }

    /// Where in the store everything of this registry is: `/portolan` if not set.
    pub fn root(mut self, root: &str) -> Self {
        self.layout = Layout::native(root);
        self
    }

    /// Which keys and values stand for what: portolan's own if not set. Has its own root.
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = Ok(layout);
        self
    }

    /// How long a registration outlives its process: 15 s if not set; 1 s to a day, in whole
    /// seconds. etcd raises it to its minimum, 2 s by default (row L2).
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.tuning.lease_ttl = ttl;
        self
    }

    /// Which directories keep what an outage seems to have taken away, as
    /// [suspects](crate::Snapshot::suspects): by layout if not set, which is those of portolan's own.
    pub fn guard(mut self, guard: Guard) -> Self {
        self.tuning.guard = guard;
        self
    }

    /// Asks the cluster for its members at once and then this often, up to a quarter sooner: 1 s to
    /// a day. Never, if not set.
    ///
    /// Those that it names are asked beside those of [`endpoints`](Self::endpoints), in their turn:
    /// when the one in use fails. Who is no member any more is asked no more; those that were given
    /// always are. Learners are left out. Members are named by the addresses that they were told to
    /// advertise (etcd's `--advertise-client-urls`), which are often reachable from within the
    /// cluster's own network only:
    ///
    /// - one that cannot be reached costs a failed attempt (of 3 s at most) when its turn comes, and
    ///   is then left alone, each time for longer, up to half a minute;
    /// - one that leads to another cluster (`localhost` may, which is etcd's default) is taken for
    ///   failed, as [`Status::last_failure`] tells: nothing that it answers is believed, and no
    ///   registration comes to stand there. But an attempt to write what hangs on no lease, a
    ///   configuration, may be the one that finds this out, and be done there;
    /// - where [`tls`](Self::tls) is set, one without TLS is not used.
    ///
    /// Only members that were given can show that the whole cluster was replaced by another one.
    /// etcd asks for a user to tell its members, where users are on.
    ///
    /// [`Status::last_failure`]: crate::Status::last_failure
    pub fn member_list_every(mut self, interval: Duration) -> Self {
        self.tuning.member_list_every = Some(interval);
        self
    }

    /// How long calls, updates and removals are tried: 10 s if not set.
    pub fn call_within(mut self, limit: Duration) -> Self {
        self.limits.call = limit;
        self
    }

    /// How long a shutdown may take: 5 s if not set.
    pub fn shutdown_within(mut self, limit: Duration) -> Self {
        self.limits.shutdown = limit;
        self
    }

    /// Allows addresses that only this machine can reach (`127.0.0.1`, `0.0.0.0`, ..) in what is
    /// registered. Off by default: they are useless to everybody else.
    pub fn allow_local_addresses(mut self, allow: bool) -> Self {
        self.limits.allow_local = allow;
        self
    }

    /// All other constants. Sets the time to live, the guard and the list of members too.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// Where the engine's chance comes from: the operating system, if not set. For tests alone:
    /// two processes with one seed take each other's records for their own.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Runs the registry on a thread and a runtime of its own, so that leases are renewed in time however
    /// busy the program's runtime is. Off if not set: then it is a task of the runtime that
    /// [`build`](Self::build) is called in. Either way [`Status::driver_lag`] tells how late it runs.
    ///
    /// Closures of updates run there too.
    ///
    /// [`Status::driver_lag`]: crate::Status::driver_lag
    pub fn own_thread(mut self, wanted: bool) -> Self {
        self.own_thread = wanted;
        self
    }

    /// Starts the registry's task, and returns without waiting for the store.
    ///
    /// # Errors
    /// What was described makes no sense; nothing was started.
    pub fn build(self) -> Result<Registry, BuildError> {
        let layout = self.layout.clone()?;
        self.check()?;
        let seed = match self.seed {
            Some(seed) => seed,
            None => getrandom::u64()
                .map_err(|error| BuildError::NoEntropy { reason: error.to_string() })?,
        };
        let members = match &self.source {
            Source::Nowhere => 0,
            #[cfg(feature = "etcd")]
            Source::Etcd(members) => u16::try_from(members.len()).unwrap_or(u16::MAX),
            #[cfg(feature = "memory")]
            Source::Embedded(_) => 1,
        };
        #[cfg(feature = "etcd")]
        let authenticates = self.login.is_some();
        #[cfg(not(feature = "etcd"))]
        let authenticates = false;
        let setup = Setup { layout, tuning: self.tuning, members, authenticates, seed };
        let (limits, apart) = (self.limits, self.own_thread);
        match self.source {
            Source::Nowhere => Err(BuildError::NoStore),
            #[cfg(feature = "etcd")]
            Source::Etcd(members) => {
                let mut etcd = portolan_etcd::EtcdBackend::builder();
                for member in members {
                    etcd = match member {
                        EtcdMember::At(endpoint) => etcd.address(endpoint),
                        EtcdMember::Over { name, calls, streams } => {
                            etcd.channels(name, calls, streams)
                        }
                    };
                }
                match self.login {
                    Some((user, Password::Fixed(password))) => {
                        etcd = etcd.credentials(user, password);
                    }
                    Some((user, Password::File(path))) => etcd = etcd.password_file(user, path),
                    None => {}
                }
                if let Some(tls) = self.tls {
                    etcd = etcd.tls(tls);
                }
                if let Some(resolving) = self.resolver {
                    etcd = resolving(etcd);
                }
                start(apart, setup, limits, Clock::start, move || Ok(etcd.build()?))
            }
            #[cfg(feature = "memory")]
            Source::Embedded(store) => {
                start(apart, setup, limits, Clock::start, move || Ok(store.connect()))
            }
        }
    }

    fn check(&self) -> Result<(), BuildError> {
        self.tuning.check()?;
        let times = [("call_within", self.limits.call), ("shutdown_within", self.limits.shutdown)];
        match times.into_iter().find(|(_, time)| time.is_zero()) {
            Some((what, _)) => Err(BuildError::NoTime { what }),
            None => Ok(()),
        }
    }
}

/// Starts a driver, which makes its own store and clock where it runs.
pub(crate) fn start<S: Store>(
    apart: bool,
    setup: Setup,
    limits: Limits,
    clock: impl FnOnce() -> Clock + Send + 'static,
    store: impl FnOnce() -> Result<S, BuildError> + Send + 'static,
) -> Result<Registry, BuildError> {
    let make = move || {
        let (store, clock) = (store()?, clock());
        let telemetry = Telemetry::new(setup.tuning.lease_ttl);
        let (handles, Seen { inbox, status, ended }) = Handles::new(clock.clone(), telemetry);
        let layout = setup.layout.clone();
        let engine = Engine::new(Time::ZERO, setup);
        let driver = Driver::new(engine, store, handles, limits.shutdown);
        let registry = Registry {
            shared: Arc::new(Shared {
                inbox,
                layout,
                limits,
                status,
                ended,
                task: tokio::sync::Mutex::new(None),
                clock,
                last_id: AtomicU64::new(0),
                directories: Mutex::new(BTreeMap::new()),
            }),
        };
        Ok((registry, driver))
    };
    let (registry, task) = Task::start(apart, make)?;
    if let Ok(mut place) = registry.shared.task.try_lock() {
        *place = Some(task);
    }
    Ok(registry)
}

impl fmt::Debug for RegistryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryBuilder")
            .field("layout", &self.layout)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
