//! Real etcd under test, through the carrier.
#![expect(clippy::wildcard_enum_match_arm, reason = "it looks for few of many kinds")]

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::time::{Duration, Instant};

use portolan_core::waist::{
    AttemptId, Backend, Key, KeyRange, MemberId, Put, Reply, Request, StoreError,
};
use portolan_etcd::EtcdBackend;
use portolan_kit::{Cluster, Etcd, Programs, Release};
use portolan_memory::{Access, Admin, Config, Credentials, Permission};
use tokio::runtime::Runtime;

use super::codes::Codes;
use super::store::{Happening, PASS, ROOT, Setup, Store};
use super::wire::Wire;

pub struct RealStore {
    name: String,
    release: String,
    // Before the runtime: its tasks want to be ended there.
    backend: EtcdBackend,
    /// Those of other users, and whose is in use.
    others: BTreeMap<String, EtcdBackend>,
    user: String,
    /// Whether the operator has to show a password by now.
    auth: bool,
    member: MemberId,
    require_leader: bool,
    runtime: Runtime,
    servers: Servers,
    codes: Codes,
    started: Instant,
    next: u64,
}

enum Servers {
    One(Etcd),
    Many(Cluster),
    /// The model, over the same wire.
    Wire(Wire),
}

impl RealStore {
    /// # Panics
    /// Without that etcd, with a line on how to get one.
    pub fn start(release: Release, setup: Setup) -> Self {
        let mut builder = Etcd::builder(release);
        if let Some(interval) = setup.progress {
            builder = builder.progress_every(interval);
        }
        if let Some(ttl) = setup.token_ttl {
            builder = builder.auth_token_ttl(ttl);
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
        let release = servers.asked().version().to_owned();
        Self::of(servers, format!("etcd {release}"), release, setup)
    }

    /// The model behind etcd's gRPC.
    pub fn over_wire(config: Config, setup: Setup) -> Self {
        let wire = Wire::start(config);
        let release = wire.release().to_owned();
        Self::of(Servers::Wire(wire), format!("wire server as {release}"), release, setup)
    }

    fn of(servers: Servers, name: String, release: String, setup: Setup) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime starts");
        let codes = Codes::default();
        let require_leader = setup.require_leader;
        let backend = connect(&runtime, &servers, &codes, require_leader, None);
        let started = Instant::now();
        Self {
            name,
            release,
            backend,
            others: BTreeMap::new(),
            user: String::new(),
            auth: false,
            member: MemberId(0),
            require_leader,
            runtime,
            servers,
            codes,
            started,
            next: 1,
        }
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

/// A client of all members, as a user or as nobody.
fn connect(
    runtime: &Runtime,
    servers: &Servers,
    codes: &Codes,
    require_leader: bool,
    user: Option<(&str, &str)>,
) -> EtcdBackend {
    let _inside = runtime.enter();
    let mut builder = EtcdBackend::builder();
    for url in servers.urls() {
        let (calls, streams) = (codes.channel(&url), codes.channel(&url));
        builder = builder.channels(url, calls, streams);
    }
    if let Some((user, password)) = user {
        builder = builder.credentials(user, password.into());
    }
    builder.require_leader(require_leader).build().expect("there is a member")
}

/// What etcdctl is asked for a change of users and roles.
fn words(admin: &Admin) -> Vec<String> {
    let of = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let text = |key: &Key| String::from_utf8_lossy(key).into_owned();
    match admin {
        Admin::Enable => of(&["auth", "enable"]),
        Admin::Disable => of(&["auth", "disable"]),
        Admin::AddUser(Credentials { user, .. }) if user == "root" => {
            of(&["user", "add", &format!("root:{ROOT}")])
        }
        Admin::AddUser(Credentials { user, .. }) => of(&["user", "add", &format!("{user}:{PASS}")]),
        Admin::AddUserWithoutPassword { user } => of(&["user", "add", user, "--no-password"]),
        Admin::DeleteUser { user } => of(&["user", "delete", user]),
        Admin::AddRole { role } => of(&["role", "add", role]),
        Admin::DeleteRole { role } => of(&["role", "delete", role]),
        Admin::GrantRole { user, role } => of(&["user", "grant-role", user, role]),
        Admin::RevokeRole { user, role } => of(&["user", "revoke-role", user, role]),
        Admin::GrantPermission { role, permission: Permission { keys, access } } => {
            let access = match access {
                Access::Read => "read",
                Access::Write => "write",
                Access::ReadWrite => "readwrite",
            };
            let mut words = of(&["role", "grant-permission", role, access, &text(&keys.key)]);
            words.extend(end(keys));
            words
        }
        Admin::RevokePermission { role, keys } => {
            let mut words = of(&["role", "revoke-permission", role, &text(&keys.key)]);
            words.extend(end(keys));
            words
        }
        Admin::ChangePassword(_) => panic!("etcdctl wants to be typed to"),
    }
}

/// The end of a range, as etcdctl wants it.
fn end(keys: &KeyRange) -> Option<String> {
    match &*keys.end {
        [] => None,
        [0] => Some("--from-key".to_owned()),
        end => Some(String::from_utf8_lossy(end).into_owned()),
    }
}

impl Servers {
    fn urls(&self) -> Vec<String> {
        match self {
            Self::One(etcd) => vec![etcd.client_url()],
            Self::Many(cluster) => cluster.client_urls(),
            Self::Wire(wire) => wire.urls().to_vec(),
        }
    }

    fn member_mut(&mut self, member: u16) -> &mut Etcd {
        match self {
            Self::One(etcd) => etcd,
            Self::Many(cluster) => &mut cluster.members_mut()[usize::from(member)],
            Self::Wire(_) => panic!("no process of its own"),
        }
    }

    /// The first member, which is asked unless another one is named.
    fn asked(&self) -> &Etcd {
        match self {
            Self::One(etcd) => etcd,
            Self::Many(cluster) => &cluster.members()[0],
            Self::Wire(_) => panic!("no process of its own"),
        }
    }

    fn asked_mut(&mut self) -> &mut Etcd {
        match self {
            Self::One(etcd) => etcd,
            Self::Many(cluster) => &mut cluster.members_mut()[0],
            Self::Wire(_) => panic!("no process of its own"),
        }
    }

    fn others_mut(&mut self) -> &mut [Etcd] {
        match self {
            Self::One(_) | Self::Wire(_) => &mut [],
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
        self.backend.submit(attempt, self.member, request);
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

    fn turn_to(&mut self, member: u16) {
        self.member = MemberId(member);
    }

    fn leader(&mut self) -> u16 {
        match &self.servers {
            Servers::One(_) => 0,
            Servers::Wire(wire) => loop {
                match wire.leader() {
                    Some(leader) => return leader,
                    None => std::thread::sleep(Duration::from_millis(10)),
                }
            },
            Servers::Many(cluster) => {
                let leader = cluster.leader(PATIENCE).unwrap_or_else(|error| panic!("{error}"));
                u16::try_from(leader).expect("there are few members")
            }
        }
    }

    fn act_as(&mut self, user: Option<(&str, &str)>) {
        let key = user.map_or(String::new(), |(user, password)| format!("{user}:{password}"));
        if key == self.user {
            return;
        }
        let next = self.others.remove(&key).unwrap_or_else(|| {
            connect(&self.runtime, &self.servers, &self.codes, self.require_leader, user)
        });
        let former = std::mem::replace(&mut self.backend, next);
        self.others.insert(std::mem::replace(&mut self.user, key), former);
    }

    fn administer(&mut self, admin: &Admin) {
        if let Servers::Wire(wire) = &self.servers {
            return wire.etcd.administer(admin.clone());
        }
        let mut words = words(admin);
        if self.auth {
            words.insert(0, format!("--user=root:{ROOT}"));
        }
        let said = self.servers.asked().etcdctl(words);
        said.unwrap_or_else(|error| panic!("{admin:?}: {error}"));
        match admin {
            Admin::Enable => self.auth = true,
            Admin::Disable => self.auth = false,
            _ => {}
        }
    }

    fn happen(&mut self, event: Happening) {
        if let Servers::Wire(wire) = &self.servers {
            return wire.happen(event);
        }
        let etcd = match event {
            Happening::PauseMember(member)
            | Happening::ResumeMember(member)
            | Happening::KillMember(member)
            | Happening::StartMember(member) => self.servers.member_mut(member),
            _ => self.servers.asked_mut(),
        };
        let done = match event {
            Happening::Restart => etcd.restart(),
            Happening::Wipe => etcd.wipe().and_then(|()| etcd.restart()),
            Happening::Pause | Happening::PauseMember(_) => etcd.pause(),
            Happening::Resume | Happening::ResumeMember(_) => etcd.resume(),
            Happening::KillMember(_) => etcd.kill(),
            Happening::StartMember(_) => etcd.launch().and_then(|()| etcd.wait_healthy(PATIENCE)),
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
