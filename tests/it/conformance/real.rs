//! Real etcd under test, through the carrier.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use portolan_core::waist::{AttemptId, Backend, MemberId, Put, Reply, Request, StoreError};
use portolan_etcd::EtcdBackend;
use portolan_kit::{Cluster, Etcd, Programs, Release};
use tokio::runtime::Runtime;

use super::codes::Codes;
use super::store::{Happening, Setup, Store};

pub struct RealStore {
    name: String,
    release: String,
    // Before the runtime: its tasks want to be ended there.
    backend: EtcdBackend,
    runtime: Runtime,
    servers: Servers,
    codes: Codes,
    started: Instant,
    next: u64,
}

enum Servers {
    One(Etcd),
    Many(Cluster),
}

impl RealStore {
    /// # Panics
    /// Without that etcd, with a line on how to get one.
    pub fn start(release: Release, setup: Setup) -> Self {
        let mut builder = Etcd::builder(release);
        if let Some(interval) = setup.progress {
            builder = builder.progress_every(interval);
        }
        if setup.small {
            builder = builder.flag(format!("--quota-backend-bytes={SMALL_QUOTA}"));
        }
        if setup.slow_compactions {
            // One revision at a time, with 10 ms between two.
            let programs = Programs::find(release).unwrap_or_else(|error| panic!("{error}"));
            let experimental = if programs.minor() < (3, 6) { "experimental-" } else { "" };
            builder = builder.flag(format!("--{experimental}compaction-batch-limit=1"));
        }
        let servers = if setup.members == 1 {
            builder.start().map(Servers::One)
        } else {
            builder.start_cluster(setup.members).map(Servers::Many)
        };
        let servers = servers.unwrap_or_else(|error| panic!("{error}"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime starts");
        let codes = Codes::default();
        let backend = {
            let _inside = runtime.enter();
            let url = servers.asked().client_url();
            let (calls, streams) = (codes.channel(&url), codes.channel(&url));
            let builder = EtcdBackend::builder().channels(url, calls, streams);
            builder.require_leader(setup.require_leader).build().expect("there is one member")
        };
        let release = servers.asked().version().to_owned();
        let name = format!("etcd {release}");
        let started = Instant::now();
        Self { name, release, backend, runtime, servers, codes, started, next: 1 }
    }

    /// Writes until the store says that it is full: large values at first, then the smallest, so
    /// that there is no room for anything.
    fn fill(&mut self) {
        for _ in 0..20_000 {
            let room = SMALL_QUOTA - self.db_size();
            let value = vec![0; if room > 512 << 10 { 256 << 10 } else { 1 }].into();
            let put = Put { key: "fill".into(), value, ..Put::default() };
            let reply = self.ask(Request::Put(put));
            if reply == Reply::Failed(StoreError::NoSpace) {
                return;
            }
            assert!(matches!(reply, Reply::Put(_)), "filling up: {reply:?}");
        }
        panic!("the database does not fill up");
    }

    fn db_size(&mut self) -> i64 {
        let reply = self.ask(Request::Status);
        let Reply::Status(status) = reply else { panic!("{reply:?}") };
        status.db_size
    }

    fn ask(&mut self, request: Request) -> Reply {
        self.submit(request);
        self.poll(PATIENCE).expect("an answer comes in time").1
    }
}

impl Servers {
    /// The member that the client is connected to.
    fn asked(&self) -> &Etcd {
        match self {
            Self::One(etcd) => etcd,
            Self::Many(cluster) => &cluster.members()[0],
        }
    }

    fn asked_mut(&mut self) -> &mut Etcd {
        match self {
            Self::One(etcd) => etcd,
            Self::Many(cluster) => &mut cluster.members_mut()[0],
        }
    }

    fn others_mut(&mut self) -> &mut [Etcd] {
        match self {
            Self::One(_) => &mut [],
            Self::Many(cluster) => &mut cluster.members_mut()[1..],
        }
    }
}

impl Store for RealStore {
    fn name(&self) -> &str {
        &self.name
    }

    fn release(&self) -> &str {
        &self.release
    }

    fn submit(&mut self, request: Request) -> AttemptId {
        let attempt = AttemptId(self.next);
        self.next += 1;
        let _inside = self.runtime.enter();
        self.backend.submit(attempt, MemberId(0), request);
        attempt
    }

    fn cancel(&mut self, attempt: AttemptId) {
        self.backend.cancel(attempt);
    }

    /// # Panics
    /// When etcd's code for an error is not ours.
    fn poll(&mut self, within: Duration) -> Option<(AttemptId, Reply)> {
        let Self { backend, runtime, .. } = self;
        let (attempt, reply) = runtime.block_on(async {
            let next = poll_fn(|cx| backend.poll_reply(cx));
            tokio::time::timeout(within, next).await.ok()
        })?;
        if let Reply::Failed(error) = &reply {
            assert_eq!(self.codes.amiss(&self.release, error), None);
        }
        Some((attempt, reply))
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn wait(&mut self, span: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(span).await });
    }

    fn happen(&mut self, event: Happening) {
        let etcd = self.servers.asked_mut();
        let done = match event {
            Happening::Restart => etcd.restart(),
            Happening::Wipe => etcd.wipe().and_then(|()| etcd.restart()),
            Happening::Pause => etcd.pause(),
            Happening::Resume => etcd.resume(),
            Happening::Fill => {
                self.fill();
                Ok(())
            }
            Happening::LoseLeader => self.servers.others_mut().iter_mut().try_for_each(Etcd::kill),
            Happening::FindLeader => {
                let others = self.servers.others_mut();
                others.iter_mut().try_for_each(Etcd::launch).and_then(|()| {
                    others.iter_mut().try_for_each(|etcd| etcd.wait_healthy(PATIENCE))
                })
            }
        };
        done.unwrap_or_else(|error| panic!("{event:?}: {error}"));
    }
}

const SMALL_QUOTA: i64 = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(30);
