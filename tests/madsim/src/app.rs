//! The program on a process's host: it uses the library as any program does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portolan::{
    Data, Directory, ErrorKind, Instance, Registration, RegistrationState, Registry, State, Tuning,
};
use portolan_sim::Run;
use portolan_sim::trace::What;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::bridge::{Gauge, Wire};
use crate::chance::{Chance, Purpose};
use crate::plan::{Breakage, Do};
use crate::reader::Reader;
use crate::record;
use crate::tally::Tally;

/// A process, across the lives of its host.
pub struct Process {
    /// Its number.
    pub number: u16,
    /// The ways to etcd's members.
    pub wires: Vec<Wire>,
    /// Its constants.
    pub tuning: Tuning,
    /// Where its engines' chance comes from.
    pub chance: Chance,
    /// What is broken on purpose.
    pub broken: Option<Breakage>,
    /// What it counted.
    pub tally: Tally,
    /// What it waits for.
    pub waits: Gauge,
    /// How often it drew lots.
    drawn: AtomicU64,
    state: Mutex<Kept>,
}

/// What is kept when its host dies, as in a configuration file.
#[derive(Default)]
struct Kept {
    starts: u32,
    orders: Option<mpsc::UnboundedSender<Order>>,
    registered: BTreeMap<(String, String), u16>,
    opened: BTreeSet<String>,
    /// How slow its reader is, if it follows.
    follows: Option<u64>,
}

/// What a process is told to do.
pub enum Order {
    /// A step of the plan.
    Do(Do),
    /// To say what it sees.
    Look(oneshot::Sender<Seen>),
    /// To shut down, and end. Answered with whether all was confirmed.
    End(oneshot::Sender<bool>),
}

/// What a program sees through the library.
#[derive(Debug, Default)]
pub struct Seen {
    /// Its registrations.
    pub registrations: Vec<(String, RegistrationState)>,
    /// Each directory's group, and its records' keys, with their revisions.
    pub directories: Vec<(String, Vec<(portolan::Key, portolan::Revision)>)>,
    /// What its readers could not make sense of.
    pub trouble: Vec<String>,
}

/// What a group's configuration holds, as the simulator's applications write it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counter {
    /// How often it was counted.
    pub count: u64,
    by: Tag,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Tag {
    process: u16,
    start: u32,
    op: u64,
    proposal: u32,
}

impl Process {
    /// A process that was never started.
    pub fn new(
        number: u16,
        wires: Vec<Wire>,
        tuning: Tuning,
        chance: Chance,
        broken: Option<Breakage>,
        tally: Tally,
    ) -> Self {
        Self {
            number,
            wires,
            tuning,
            chance,
            broken,
            tally,
            waits: Gauge::default(),
            drawn: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    /// The run that is under way, or was last.
    pub fn run(&self) -> Run {
        Run { process: self.number, start: self.kept().starts }
    }

    /// Tells it to do something; when nothing runs it does not.
    pub fn order(&self, order: Order) -> bool {
        self.kept().orders.as_ref().is_some_and(|orders| orders.send(order).is_ok())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs, until told to end, or its host dies.
    pub async fn live(self: Arc<Self>) {
        let (orders, mut ordered) = mpsc::unbounded_channel();
        self.kept().orders = Some(orders);
        let mut app = self.begin();
        while let Some(order) = ordered.recv().await {
            match order {
                Order::Do(Do::Abandon { .. }) => {
                    app.registry.abandon().await;
                    record::note(What::Crashed(app.run));
                    app = self.begin();
                }
                Order::Do(step) => self.act(&mut app, step).await,
                Order::Look(tell) => drop(tell.send(app.seen())),
                Order::End(tell) => {
                    let App { registry, registrations, open, following, .. } = app;
                    drop((registrations, open, following));
                    let confirmed = registry.shutdown().await;
                    self.leave_behind(&registry);
                    let _ = tell.send(confirmed);
                    drop(registry);
                    // With its first task a host of madsim's ends, and all that was left there.
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Begins a run, with what is wanted from the runs before it.
    fn begin(&self) -> App {
        let (run, registered, opened, follows) = {
            let mut kept = self.kept();
            kept.starts += 1;
            let run = Run { process: self.number, start: kept.starts };
            (run, kept.registered.clone(), kept.opened.clone(), kept.follows)
        };
        let seed = self.chance.bits(Purpose::Run, self.number.into(), run.start.into());
        record::listen(run, seed, self.broken);
        let mut builder = Registry::builder().seed(seed).tuning(self.tuning.clone());
        for wire in &self.wires {
            let name = format!("member {}", wire.member);
            builder = builder.channels(name, wire.channel(), wire.channel());
        }
        let registry = builder.build().expect("the plan was checked");
        let mut app = App {
            run,
            registry,
            registrations: BTreeMap::new(),
            open: BTreeMap::new(),
            following: None,
        };
        for ((group, instance), weight) in registered {
            app.register(&group, &instance, weight);
        }
        for group in opened {
            app.open(&group, self.broken);
        }
        if let Some(slow_ms) = follows {
            app.follow(slow_ms);
        }
        app
    }

    async fn act(&self, app: &mut App, step: Do) {
        match step {
            Do::Register { group, instance, .. } => {
                self.kept().registered.insert((group.clone(), instance.clone()), 0);
                app.register(&group, &instance, 0);
            }
            Do::Publish { group, instance, weight, .. } => {
                let known = app.publish(&group, &instance, weight, State::Ready);
                known.then(|| self.kept().registered.insert((group, instance), weight));
            }
            Do::Drain { group, instance, .. } => {
                app.publish(&group, &instance, 0, State::Draining);
            }
            Do::Remove { group, instance, .. } => {
                self.kept().registered.remove(&(group.clone(), instance.clone()));
                if let Some(registration) = app.registrations.remove(&(group, instance)) {
                    self.wait(async move { drop(registration.deregister().await) });
                }
            }
            Do::Open { group, .. } => {
                self.kept().opened.insert(group.clone());
                app.open(&group, self.broken);
            }
            Do::Close { group, .. } => {
                self.kept().opened.remove(&group);
                app.open.remove(&group);
            }
            Do::Count { group, .. } => self.count(app, group),
            Do::Read { group, .. } => {
                let handle = app.registry.group(&group).expect("the plan was checked");
                self.wait(async move { drop(handle.config().await) });
            }
            Do::Follow { slow_ms, .. } => {
                self.kept().follows = Some(slow_ms);
                app.follow(slow_ms);
            }
            Do::Unfollow { .. } => {
                self.kept().follows = None;
                app.following = None;
            }
            Do::Shutdown { .. } => {
                app.following = None;
                app.registrations.clear();
                app.open.clear();
                app.registry.shutdown().await;
            }
            // The others are done to it, or to others.
            _ => {}
        }
    }

    fn count(&self, app: &App, group: String) {
        let (run, tally, broken) = (app.run, self.tally.clone(), self.broken);
        let registry = app.registry.clone();
        tally.began(&group);
        let patience = self.patience();
        self.wait(async move {
            if broken == Some(Breakage::Whim) {
                whim().await;
            }
            let handle = registry.group(&group).expect("the plan was checked");
            let mut proposal = 0;
            let done = handle.update(move |base| {
                let before = base.map(Counter::read).unwrap_or_default();
                proposal += 1;
                let op = record::asked(run);
                let by = Tag { process: run.process, start: run.start, op, proposal };
                let more = if broken == Some(Breakage::CountsTwice) { 2 } else { 1 };
                Some(Counter { count: before.count + more, by }.write())
            });
            match timeout(patience, done).await {
                Ok(Ok(_)) => tally.done(&group),
                Ok(Err(error)) if error.kind() == ErrorKind::Unknown => {}
                Ok(Err(_)) => tally.refused(&group),
                // Dropped half-way: nobody is told what becomes of it.
                Err(_) => {}
            }
        });
    }

    /// Waits for something beside all else; every wait must end.
    fn wait(&self, what: impl Future<Output = ()> + Send + 'static) {
        let one = self.waits.another();
        tokio::spawn(async move {
            what.await;
            drop(one);
        });
    }

    /// Some programs do not wait for long.
    fn patience(&self) -> Duration {
        let (place, count) = (self.number.into(), self.drawn.fetch_add(1, Relaxed));
        let hasty = self.chance.percent(Purpose::Patience, place, count, 15);
        let millis = self.chance.bits(Purpose::Patience, place, count) % 50;
        if hasty { Duration::from_millis(millis) } else { Duration::from_secs(3_600) }
    }

    /// What the checks of leaks must notice.
    fn leave_behind(&self, registry: &Registry) {
        let Some(wire) = self.wires.first() else { return };
        if self.broken == Some(Breakage::LeavesTask) {
            let registry = registry.clone();
            tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop(registry);
            });
        }
        if self.broken == Some(Breakage::LeavesCall) {
            std::mem::forget(wire.open.another());
        }
    }
}

/// A run of the program.
struct App {
    run: Run,
    registry: Registry,
    registrations: BTreeMap<(String, String), Registration>,
    open: BTreeMap<String, (Directory, Reader)>,
    following: Option<Reader>,
}

impl App {
    fn register(&mut self, group: &str, instance: &str, weight: u16) {
        let key = (group.to_owned(), instance.to_owned());
        if self.registrations.get(&key).is_some_and(|known| known.state().gone().is_none()) {
            return;
        }
        let handle = self.registry.group(group).expect("the plan was checked");
        let described = self.describe(group, instance, weight, State::Ready);
        // After a shutdown there is nothing to register with.
        if let Ok(registration) = handle.register(described) {
            self.registrations.insert(key, registration);
        }
    }

    fn publish(&mut self, group: &str, instance: &str, weight: u16, state: State) -> bool {
        let described = self.describe(group, instance, weight, state);
        let key = (group.to_owned(), instance.to_owned());
        let Some(registration) = self.registrations.get_mut(&key) else { return false };
        registration.update(described).is_ok()
    }

    fn describe(&self, group: &str, instance: &str, weight: u16, state: State) -> Instance {
        let group = self.registry.group(group).expect("the plan was checked");
        let builder = group.instance(instance).expect("the plan was checked");
        let address = format!("10.0.1.{}:80", self.run.process + 1);
        let builder = builder.endpoint("http", address).weight(weight).state(state);
        builder.build().expect("this is an address")
    }

    fn open(&mut self, group: &str, broken: Option<Breakage>) {
        let handle = self.registry.group(group).expect("the plan was checked");
        let directory = handle.directory();
        let slow_ms = SLOWNESS[self.open.len() % SLOWNESS.len()];
        let forgets = broken == Some(Breakage::ForgetsChange);
        let reader = Reader::of_directory(&directory, slow_ms, forgets);
        self.open.insert(group.to_owned(), (directory, reader));
    }

    fn follow(&mut self, slow_ms: u64) {
        self.following = Some(Reader::of_follower(self.registry.follow("/portolan"), slow_ms));
    }

    fn seen(&self) -> Seen {
        let registrations = self.registrations.iter();
        let registrations = registrations
            .map(|((group, instance), it)| (format!("{group}/{instance}"), it.state()))
            .collect();
        let trouble = self.open.iter().filter_map(|(group, (_, reader))| {
            Some(format!("the reader of {group}: {}", reader.trouble()?))
        });
        let trouble = trouble.collect();
        let directories = self.open.iter().map(|(group, (directory, _))| {
            let records = directory.with(|records| {
                records.iter().map(|(key, record)| (key.clone(), record.mod_revision)).collect()
            });
            (group.clone(), records)
        });
        Seen { registrations, directories: directories.collect(), trouble }
    }
}

impl Counter {
    /// What stands in a configuration; anything else counts as never counted.
    pub fn read(data: &Data) -> Self {
        serde_json::from_str(data.as_str()).unwrap_or_default()
    }

    fn write(&self) -> Data {
        let text = serde_json::to_string(self).expect("numbers are JSON");
        Data::parse(&text).expect("numbers are a configuration")
    }
}

/// How long the readers of directories take for each difference, in milliseconds.
const SLOWNESS: [u64; 3] = [0, 40, 3_000];

/// Waits, each time longer than ever before in this operating system's process.
async fn whim() {
    static TIMES: AtomicU64 = AtomicU64::new(0);
    tokio::time::sleep(Duration::from_millis(TIMES.fetch_add(1, Relaxed))).await;
}

/// The constants of a plan's registries.
pub fn tuning(ttl_secs: u64) -> Tuning {
    Tuning {
        lease_ttl: Duration::from_secs(ttl_secs),
        // Often enough to happen within a run.
        audit_every: Duration::from_secs(20),
        ..Tuning::default()
    }
}
