//! A plan's world: hosts, a network, and what happens to them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Channel, Client};
use madsim::net::NetSim;
use madsim::runtime::{Handle, NodeHandle};
use portolan::{RawChannel, Tuning};
use portolan_core::waist::MemberId;
use portolan_memory::{Config, Fault, MemberFault};
use portolan_sim::plan::{self as sim, StoreFault, WorldSetup};
use portolan_sim::trace::What;
use portolan_wire::Etcd;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::body::Body;
use tonic::service::Routes;
use tower::{BoxError, ServiceExt};

use crate::app::{Order, Process, tuning};
use crate::bridge::{Gauge, Wire, serve};
use crate::chance::{Chance, Purpose};
use crate::links::Links;
use crate::plan::{Breakage, Do, Plan, Way};
use crate::record;
use crate::tally::Tally;

/// Everything that there is.
pub struct World {
    /// When it began.
    pub started: Instant,
    /// What the checks know of it.
    pub setup: WorldSetup,
    /// The store.
    pub etcd: Etcd,
    /// The processes, by number.
    pub processes: Vec<Arc<Process>>,
    /// What they counted.
    pub tally: Tally,
    /// Calls that are open at their ends.
    pub calls: Gauge,
    /// Calls that are open at the members' ends.
    pub answers: Gauge,
    handle: Handle,
    members: Vec<NodeHandle>,
    hosts: Vec<NodeHandle>,
    links: Arc<Links>,
    /// Hosts that stand still.
    paused: BTreeSet<u16>,
    paused_members: BTreeSet<u16>,
    dead: BTreeSet<u16>,
    latency_ms: (u64, u64),
}

impl World {
    /// The world at its beginning: all hosts run.
    pub fn new(plan: &Plan) -> Self {
        let (world, chance) = (&plan.world, Chance(plan.seed));
        let handle = Handle::current();
        let store = Config::default().members(world.members);
        let store = Config { seed: chance.bits(Purpose::Network, 1, 0), ..store };
        let etcd = Etcd::untimed(store.clone());
        let setup = setup(plan, store);
        let started = Instant::now();
        record::begin(etcd.clone(), started, crate::checks::HELD_TO);
        record::began(setup.clone());
        // Time passes for the cluster, not for one of its members, which may die.
        let time = handle.create_node().name("time").ip(ip(9, 0)).build();
        drop(time.spawn(etcd.let_time_pass()));
        let (links, tally) = (Arc::<Links>::default(), Tally::default());
        let (calls, answers) = (Gauge::default(), Gauge::default());
        let members = (0..world.members).map(|member| {
            let (etcd, answers) = (etcd.clone(), answers.clone());
            let node = handle.create_node().name(format!("etcd {member}")).ip(ip(0, member));
            node.init(move || {
                let serving = serve(routes(&etcd, member), place(member), answers.clone(), chance);
                async move { serving.await.expect("a host has its address to itself") }
            })
            .build()
        });
        let members = members.collect();
        let processes: Vec<_> = (0..world.processes)
            .map(|process| {
                let wire = |member| Wire {
                    process,
                    member,
                    address: place(member),
                    links: links.clone(),
                    open: calls.clone(),
                };
                let wires = (0..world.members).map(wire).collect();
                let tuning = tuning(world.ttl_secs);
                let (broken, tally) = (world.broken, tally.clone());
                Arc::new(Process::new(process, wires, tuning, chance, broken, tally))
            })
            .collect();
        let hosts = processes.iter().map(|process| {
            let living = process.clone();
            let node = handle.create_node().name(format!("process {}", process.number));
            node.ip(ip(1, process.number)).init(move || living.clone().live()).build()
        });
        let hosts = hosts.collect();
        let latency_ms = world.latency_ms;
        let (paused, paused_members, dead) = Default::default();
        let mut made = Self {
            started,
            setup,
            etcd,
            processes,
            tally,
            calls,
            answers,
            handle,
            members,
            hosts,
            links,
            paused,
            paused_members,
            dead,
            latency_ms,
        };
        made.latency(latency_ms);
        made
    }

    /// Has the plan's steps happen, each at its time, and then ends all faults.
    pub async fn run(&mut self, plan: &Plan) {
        let mut steps = plan.steps.clone();
        steps.sort_by_key(|step| step.at_ms);
        for step in steps {
            sleep_until(self.started + Duration::from_millis(step.at_ms)).await;
            self.act(step.what).await;
        }
        self.heal();
        if plan.world.broken == Some(Breakage::Stranger)
            && let Some(mut stranger) = self.operator(0).await
        {
            drop(timeout(Duration::from_secs(1), stranger.put("stranger", "", None)).await);
        }
    }

    async fn act(&mut self, what: Do) {
        match what {
            Do::Register { process, .. }
            | Do::Publish { process, .. }
            | Do::Drain { process, .. }
            | Do::Remove { process, .. }
            | Do::Open { process, .. }
            | Do::Close { process, .. }
            | Do::Count { process, .. }
            | Do::Read { process, .. }
            | Do::Follow { process, .. }
            | Do::Unfollow { process }
            | Do::Shutdown { process }
            | Do::Abandon { process } => {
                self.processes[usize::from(process)].order(Order::Do(what));
            }
            Do::Kill { process } => self.kill(process),
            Do::Restart { process } => {
                self.kill(process);
                self.dead.remove(&process);
                self.handle.restart(self.hosts[usize::from(process)].id());
            }
            Do::Pause { process } => {
                if !self.dead.contains(&process) && self.paused.insert(process) {
                    record::note(What::Paused(self.processes[usize::from(process)].run()));
                    self.handle.pause(self.hosts[usize::from(process)].id());
                }
            }
            Do::Resume { process } => self.resume(process),
            Do::KillMember { member } => self.kill_member(member),
            Do::RestartMember { member } => {
                self.kill_member(member);
                self.start_member(member);
            }
            Do::PauseMember { member } => {
                if !self.links.is_down(member) && self.paused_members.insert(member) {
                    self.fault(member, StoreFault::Pause);
                    self.handle.pause(self.members[usize::from(member)].id());
                }
            }
            Do::ResumeMember { member } => self.resume_member(member),
            Do::Cut { process, member, way } => {
                self.each(member, |world, member| world.cut(process, member, way));
            }
            Do::Heal { process, member } => {
                self.each(member, |world, member| world.mend(process, member));
            }
            Do::Lose { permille } => self.lose(permille),
            Do::Latency { least_ms, most_ms } => self.latency((least_ms, most_ms)),
            Do::Compact => self.compact().await,
        }
    }

    fn kill(&mut self, process: u16) {
        if self.dead.insert(process) {
            self.paused.remove(&process);
            record::note(What::Crashed(self.processes[usize::from(process)].run()));
            self.handle.kill(self.hosts[usize::from(process)].id());
        }
    }

    fn resume(&mut self, process: u16) {
        if self.paused.remove(&process) {
            record::note(What::Resumed(self.processes[usize::from(process)].run()));
            self.handle.resume(self.hosts[usize::from(process)].id());
        }
    }

    fn kill_member(&mut self, member: u16) {
        if self.links.set_down(member, true) {
            self.paused_members.remove(&member);
            self.fault(member, StoreFault::Stop);
            self.handle.kill(self.members[usize::from(member)].id());
        }
    }

    fn start_member(&mut self, member: u16) {
        if self.links.set_down(member, false) {
            self.fault(member, StoreFault::Start);
            self.handle.restart(self.members[usize::from(member)].id());
        }
    }

    fn resume_member(&mut self, member: u16) {
        if self.paused_members.remove(&member) {
            self.fault(member, StoreFault::Resume);
            self.handle.resume(self.members[usize::from(member)].id());
        }
    }

    /// Tells the model what becomes of a member's process, and the checks.
    fn fault(&self, member: u16, fault: StoreFault) {
        let (of_member, told) = match fault {
            StoreFault::Stop => (MemberFault::Stop, sim::MemberFault::Stop),
            StoreFault::Start => (MemberFault::Start, sim::MemberFault::Start),
            StoreFault::Pause => (MemberFault::Pause, sim::MemberFault::Pause),
            _ => (MemberFault::Resume, sim::MemberFault::Resume),
        };
        let member = MemberId(member);
        let led = self.leader();
        self.etcd.fault(Fault::Member(member, of_member));
        if self.members.len() == 1 {
            record::note(What::Stored(fault));
            return;
        }
        record::note(What::Membered { member, fault: told });
        if self.leader() != led {
            record::note(What::Led(self.leader()));
        }
    }

    fn leader(&self) -> Option<MemberId> {
        self.etcd.look(portolan_memory::Model::leader)
    }

    fn cut(&mut self, process: u16, member: u16, way: Way) {
        let (net, from, to) = self.ends(process, member);
        self.links.set_cut(process, member, true);
        if way != Way::From {
            net.clog_link(from, to);
        }
        if way != Way::To {
            net.clog_link(to, from);
        }
    }

    fn mend(&mut self, process: u16, member: u16) {
        let (net, from, to) = self.ends(process, member);
        self.links.set_cut(process, member, false);
        net.unclog_link(from, to);
        net.unclog_link(to, from);
    }

    fn ends(
        &self,
        process: u16,
        member: u16,
    ) -> (Arc<NetSim>, madsim::task::NodeId, madsim::task::NodeId) {
        let host = self.hosts[usize::from(process)].id();
        (NetSim::current(), host, self.members[usize::from(member)].id())
    }

    fn each(&mut self, member: Option<u16>, mut to: impl FnMut(&mut Self, u16)) {
        match member {
            Some(member) => to(self, member),
            None => (0..self.setup.members).for_each(|member| to(self, member)),
        }
    }

    fn lose(&self, permille: u32) {
        NetSim::current().update_config(|net| net.packet_loss_rate = f64::from(permille) / 1_000.0);
    }

    fn latency(&mut self, (least, most): (u64, u64)) {
        NetSim::current().update_config(|net| {
            net.send_latency = Duration::from_millis(least)..Duration::from_millis(most);
        });
    }

    /// Forgets all history up to now, as an operator would have it.
    async fn compact(&self) {
        let revision = self.etcd.look(portolan_memory::Model::revision);
        let member = (0..self.setup.members).find(|&member| !self.links.is_down(member));
        let Some(member) = member else { return };
        let Some(mut operator) = self.operator(member).await else { return };
        // What cannot be done is not done: without a leader, say. It is not waited for.
        let _ = timeout(Duration::from_millis(1), operator.compact(revision.0, None)).await;
    }

    /// Somebody beside the store: no network is between them.
    async fn operator(&self, member: u16) -> Option<Client> {
        let routes = routes(&self.etcd, member);
        let never = |never: std::convert::Infallible| -> BoxError { match never {} };
        let routes = ServiceExt::<http::Request<Body>>::map_err(routes, never);
        Client::from_channel(Channel::Custom(RawChannel::new(routes)), None).await.ok()
    }

    /// Ends all faults. Who is dead stays so.
    fn heal(&mut self) {
        for process in 0..self.setup.processes {
            for member in 0..self.setup.members {
                self.mend(process, member);
            }
        }
        self.lose(0);
        self.latency(self.latency_ms);
        for member in 0..self.setup.members {
            self.resume_member(member);
            self.start_member(member);
        }
        record::note(What::Healed(sim::Left::default()));
        for process in 0..self.setup.processes {
            self.resume(process);
        }
    }

    /// The processes whose hosts live.
    pub fn living(&self) -> impl Iterator<Item = &Arc<Process>> {
        self.processes.iter().filter(|process| !self.dead.contains(&process.number))
    }

    /// The tasks of each host.
    pub fn tasks(&self) -> Vec<(String, usize)> {
        self.handle.metrics().num_tasks_by_node().into_iter().collect()
    }
}

/// As the simulator describes such a world.
fn setup(plan: &Plan, store: Config) -> WorldSetup {
    let tuning = tuning(plan.world.ttl_secs);
    // madsim's timers fire 50 ns late, and something else may happen in between.
    let probe_timeout = tuning.probe_timeout + Duration::from_micros(1);
    let clock_error_permille = tuning.clock_error_permille - 1;
    WorldSetup {
        processes: plan.world.processes,
        members: plan.world.members,
        tuning: Tuning { probe_timeout, clock_error_permille, ..tuning },
        store,
        // A segment that madsim loses is sent again up to 10 s later.
        wire: sim::WireSetup { detect_ms: 14_000, ..sim::WireSetup::default() },
        ..WorldSetup::default()
    }
}

fn place(member: u16) -> SocketAddr {
    SocketAddr::new(ip(0, member), 2379)
}

fn ip(net: u8, host: u16) -> IpAddr {
    [10, 0, net, u8::try_from(host).unwrap_or(u8::MAX - 1) + 1].into()
}

/// What a member of the store offers.
fn routes(etcd: &Etcd, member: u16) -> Routes {
    etcd.member(member).expect("it is one of its members").routes()
}
