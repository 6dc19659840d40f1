//! Draws plans from seeds.
//!
//! Each plan first draws its world and which classes of faults it has at all: a uniform mix hides
//! what a single fault alone would show.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_core::engine::{Conflict, DirectoryId, OpId, RegistrationId};
use portolan_core::instance::{Instance, Stamp, State};
use portolan_core::layout::{Layout, Scope};
use portolan_core::name::{GroupName, InstanceId};
use portolan_core::waist::Key;
use portolan_core::{Rng, Tuning};
use serde::{Deserialize, Serialize};

use crate::plan::{
    Call, Cut, Do, Kind, MemberFault, Plan, Step, StoreFault, Way, WireSetup, WorldSetup,
};

/// What plans are drawn from: ranges, least and most, both included.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// Processes.
    pub processes: (u16, u16),
    /// Members of the store.
    pub members: (u16, u16),
    /// How long steps go on, in seconds.
    pub seconds: (u64, u64),
    /// Registrations of each process.
    pub registrations: (u64, u64),
    /// Directories of each process.
    pub directories: (u64, u64),
    /// Updates of each process.
    pub updates: (u64, u64),
    /// Key-value calls of each process.
    pub calls: (u64, u64),
    /// How often, in percent, a class of faults is present.
    pub fault_percent: u32,
    /// How often each class of faults that is present strikes.
    pub strikes: (u64, u64),
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            processes: (1, 4),
            members: (1, 3),
            seconds: (15, 40),
            registrations: (0, 4),
            directories: (0, 2),
            updates: (0, 4),
            calls: (0, 3),
            fault_percent: 40,
            strikes: (1, 3),
        }
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64, mix: &Mix) -> Self {
        let rng = Rng::new(seed).fork("plan");
        let world = world(rng.fork("world"), mix);
        let mut work = Drawing {
            rng: rng.fork("work"),
            world: &world,
            end_ms: Drawing::number(&mut rng.fork("length"), mix.seconds) * 1000,
            steps: Vec::new(),
            places: Vec::new(),
        };
        for process in 0..world.processes {
            work.workload(process, mix);
        }
        for class in Class::ALL {
            work.rng = rng.fork(class.name());
            if work.rng.percent(mix.fault_percent) {
                for _ in 0..work.between(mix.strikes) {
                    work.strike(*class);
                }
            }
        }
        let mut steps = work.steps;
        steps.sort_by_key(|step| step.at_ms);
        number(&mut steps);
        Self { seed, world, steps }
    }
}

/// Numbers each process's registrations in the order of their times.
fn number(steps: &mut [Step]) {
    let mut numbers: BTreeMap<(u16, RegistrationId), RegistrationId> = BTreeMap::new();
    let mut last: BTreeMap<u16, u64> = BTreeMap::new();
    for step in &*steps {
        if let Do::Register { process, id, .. } = step.what {
            let last = last.entry(process).or_default();
            *last += 1;
            numbers.insert((process, id), RegistrationId(*last));
        }
    }
    for step in steps {
        if let Do::Register { process, id, .. }
        | Do::Publish { process, id, .. }
        | Do::Deregister { process, id, .. } = &mut step.what
        {
            *id = numbers.get(&(*process, *id)).copied().unwrap_or(*id);
        }
    }
}

/// The classes of faults.
#[derive(Clone, Copy)]
enum Class {
    Cut,
    Reset,
    Blackhole,
    Lose,
    Slow,
    Crash,
    Pause,
    StoreRestart,
    StoreStop,
    StorePause,
    LeaderLoss,
    Lead,
    MemberRestart,
    MemberStop,
    MemberPause,
    MemberCutOff,
    MemberLag,
    Fill,
    Compact,
    Revoke,
    Delete,
    Overwrite,
    Move,
}

impl Class {
    const ALL: &[Self] = &[
        Self::Cut,
        Self::Reset,
        Self::Blackhole,
        Self::Lose,
        Self::Slow,
        Self::Crash,
        Self::Pause,
        Self::StoreRestart,
        Self::StoreStop,
        Self::StorePause,
        Self::LeaderLoss,
        Self::Lead,
        Self::MemberRestart,
        Self::MemberStop,
        Self::MemberPause,
        Self::MemberCutOff,
        Self::MemberLag,
        Self::Fill,
        Self::Compact,
        Self::Revoke,
        Self::Delete,
        Self::Overwrite,
        Self::Move,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Reset => "reset",
            Self::Blackhole => "blackhole",
            Self::Lose => "lose",
            Self::Slow => "slow",
            Self::Crash => "crash",
            Self::Pause => "pause",
            Self::StoreRestart => "store restart",
            Self::StoreStop => "store stop",
            Self::StorePause => "store pause",
            Self::LeaderLoss => "leader loss",
            Self::Lead => "lead",
            Self::MemberRestart => "member restart",
            Self::MemberStop => "member stop",
            Self::MemberPause => "member pause",
            Self::MemberCutOff => "member cut off",
            Self::MemberLag => "member lag",
            Self::Fill => "fill",
            Self::Compact => "compact",
            Self::Revoke => "revoke",
            Self::Delete => "delete",
            Self::Overwrite => "overwrite",
            Self::Move => "move",
        }
    }
}

/// A plan while it is drawn.
struct Drawing<'a> {
    rng: Rng,
    world: &'a WorldSetup,
    end_ms: u64,
    steps: Vec<Step>,
    /// Where instances are registered.
    places: Vec<(GroupName, InstanceId)>,
}

impl Drawing<'_> {
    fn number(rng: &mut Rng, (least, most): (u64, u64)) -> u64 {
        least + rng.below(most.saturating_sub(least).saturating_add(1))
    }

    fn between(&mut self, range: (u64, u64)) -> u64 {
        Self::number(&mut self.rng, range)
    }

    fn push(&mut self, at_ms: u64, what: Do) {
        self.steps.push(Step { at_ms, what });
    }

    /// A moment: often one of few, so that things happen at once.
    fn moment(&mut self) -> u64 {
        if self.rng.percent(40) {
            return self.rng.below(self.end_ms / 5000 + 1) * 5000;
        }
        self.rng.below(self.end_ms + 1)
    }

    fn process(&mut self) -> u16 {
        u16::try_from(self.rng.below(self.world.processes.into())).unwrap_or(0)
    }

    fn member(&mut self) -> Option<u16> {
        let members = self.world.members;
        let one = members > 1 && self.rng.percent(50);
        one.then(|| u16::try_from(self.rng.below(members.into())).unwrap_or(0))
    }

    /// How long a fault lasts: from a moment to well beyond a lease's time.
    fn span(&mut self) -> u64 {
        let ttl = self.world.tuning.lease_ttl.as_millis() as u64;
        match self.rng.below(3) {
            0 => self.between((50, 500)),
            1 => self.between((500, ttl)),
            _ => self.between((ttl, ttl * 2)),
        }
    }

    fn key(&mut self) -> Option<Key> {
        let at = usize::try_from(self.rng.below(self.places.len() as u64)).ok()?;
        let (group, instance) = self.places.get(at)?.clone();
        self.world.layout.instance_keys(&group, &instance).ok()?.pop()
    }

    /// What one application does.
    fn workload(&mut self, process: u16, mix: &Mix) {
        let mut registrations = 0;
        for number in 1..=self.between(mix.registrations) {
            self.registration(process, number, &mut registrations);
        }
        for number in 1..=self.between(mix.directories) {
            let id = DirectoryId(number);
            let scope = self.scope();
            let at = if self.rng.percent(60) { self.between((0, 200)) } else { self.moment() };
            self.push(at, Do::Open { process, id, scope });
            if self.rng.percent(10) {
                let at = at + self.between((1_000, 10_000));
                self.push(at, Do::Close { process, id });
            }
        }
        let mut ops = 0;
        for _ in 0..self.between(mix.updates) {
            ops += 1;
            let (id, at) = (OpId(ops), self.moment());
            // Some have hardly time for one try, so that a lost race is their end.
            let within = if self.rng.percent(30) { (20, 200) } else { (200, 6_000) };
            let (group, within_ms) = (self.group(), self.between(within));
            let keep = self.rng.percent(10);
            self.push(at, Do::Update { process, id, group, within_ms, keep });
            self.maybe_abandon(process, id, at);
        }
        for _ in 0..self.between(mix.calls) {
            ops += 1;
            let (id, at) = (OpId(ops), self.moment());
            let (call, within_ms) = (self.call(), self.between((200, 6_000)));
            self.push(at, Do::Call { process, id, call, within_ms });
            self.maybe_abandon(process, id, at);
        }
        if self.rng.percent(15) {
            let (at, within_ms) = (self.moment(), self.between((100, 8_000)));
            self.push(at, Do::Shutdown { process, within_ms });
        }
    }

    fn registration(&mut self, process: u16, number: u64, registrations: &mut u64) {
        let group = self.group();
        let name =
            if self.rng.percent(20) { "shared".to_owned() } else { format!("p{process}-{number}") };
        let instance = InstanceId::parse(&name).expect("letters and digits");
        self.places.push((group.clone(), instance.clone()));
        let mut at = if self.rng.percent(60) { self.between((0, 1_000)) } else { self.moment() };
        // Some come back after they left.
        for _ in 0..self.between((1, 3)) {
            *registrations += 1;
            let id = RegistrationId(*registrations);
            let conflict = match self.rng.below(4) {
                0 => Conflict::Wait,
                1 => Conflict::Reject,
                _ => Conflict::Replace,
            };
            let (group, instance) = (group.clone(), instance.clone());
            self.push(at, Do::Register { process, id, group, instance, conflict });
            let end = at + self.between((10, self.end_ms / 2));
            for _ in 0..self.between((0, 3)) {
                let at = self.between((at, end));
                let state = State::ALL[usize::try_from(self.rng.below(4)).unwrap_or(0)];
                let weight = u16::try_from(self.rng.below(1_000)).unwrap_or(0);
                self.push(at, Do::Publish { process, id, state, weight });
            }
            if !self.rng.percent(60) {
                return;
            }
            let within_ms = self.between((50, 8_000));
            self.push(end, Do::Deregister { process, id, within_ms });
            at = end + if self.rng.percent(50) { 0 } else { self.between((0, 5_000)) };
        }
    }

    fn maybe_abandon(&mut self, process: u16, id: OpId, begun: u64) {
        if self.rng.percent(10) {
            let at = begun + self.between((0, 1_000));
            self.push(at, Do::Abandon { process, id });
        }
    }

    fn group(&mut self) -> GroupName {
        let name = if self.rng.percent(70) { "web" } else { "db" };
        GroupName::parse(name).expect("letters")
    }

    fn scope(&mut self) -> Scope {
        match self.rng.below(6) {
            0 => Scope::AllInstances,
            1 => Scope::AllConfigs,
            2 => Scope::Config(self.group()),
            _ => Scope::Instances(self.group()),
        }
    }

    fn call(&mut self) -> Call {
        let key = Key::from(format!("/kv/{}", self.rng.below(3)));
        match self.rng.below(5) {
            0 => Call::Get { key },
            1 => Call::List { prefix: Key::from("/kv/") },
            2 => Call::Delete { key },
            3 => Call::Create { key },
            _ => Call::Put { key },
        }
    }

    /// One fault, and its end.
    fn strike(&mut self, class: Class) {
        let (at, process, member) = (self.moment(), self.process(), self.member());
        let end = at + self.span();
        match class {
            Class::Cut => {
                let way = [Cut::Up, Cut::Down, Cut::Both][self.rng.below(3) as usize];
                let reset = self.rng.percent(30);
                self.push(at, Do::Cut { process, member, way, reset });
                self.push(end, Do::Heal { process, member });
            }
            Class::Reset => self.push(at, Do::Reset { process, member }),
            Class::Blackhole => self.push(at, Do::Blackhole { process, member }),
            Class::Lose => {
                let way = if self.rng.percent(70) { Way::Down } else { Way::Up };
                let of = match self.rng.below(7) {
                    0 => None,
                    1 => Some(Kind::Grant),
                    2 => Some(Kind::Revoke),
                    3 => Some(Kind::KeepAlive),
                    4 => Some(Kind::Range),
                    _ => Some(Kind::Txn),
                };
                let count = u32::try_from(self.between((1, 4))).unwrap_or(1);
                let told = self.rng.percent(40);
                self.push(at, Do::Lose { process, member, way, of, count, told });
            }
            Class::Slow => {
                let extra_ms = self.between((10, self.slowest()));
                self.push(at, Do::Slow { process, member, extra_ms });
                self.push(end, Do::Slow { process, member, extra_ms: 0 });
            }
            Class::Crash => {
                if self.rng.percent(30) {
                    self.push(at, Do::Restart { process });
                } else {
                    self.push(at, Do::Crash { process });
                    if self.rng.percent(70) {
                        self.push(end, Do::Restart { process });
                    }
                }
            }
            Class::Pause => {
                self.push(at, Do::Pause { process });
                self.push(end, Do::Resume { process });
            }
            Class::StoreRestart => self.push(at, Do::Store { fault: StoreFault::Restart }),
            Class::StoreStop => {
                self.push(at, Do::Store { fault: StoreFault::Stop });
                self.push(end, Do::Store { fault: StoreFault::Start });
            }
            Class::StorePause => {
                self.push(at, Do::Store { fault: StoreFault::Pause });
                self.push(end, Do::Store { fault: StoreFault::Resume });
            }
            Class::LeaderLoss => {
                self.push(at, Do::Store { fault: StoreFault::LoseLeader });
                self.push(end, Do::Store { fault: StoreFault::RegainLeader });
            }
            Class::Fill => {
                self.push(at, Do::Store { fault: StoreFault::Fill });
                self.push(end, Do::Store { fault: StoreFault::MakeRoom });
            }
            Class::Lead => {
                let member = self.one_member();
                self.push(at, Do::Lead { member });
            }
            Class::MemberRestart => self.member_fault(at, MemberFault::Restart, None),
            Class::MemberStop => {
                self.member_fault(at, MemberFault::Stop, Some((end, MemberFault::Start)));
            }
            Class::MemberPause => {
                self.member_fault(at, MemberFault::Pause, Some((end, MemberFault::Resume)));
            }
            Class::MemberCutOff => {
                self.member_fault(at, MemberFault::CutOff, Some((end, MemberFault::Rejoin)));
            }
            Class::MemberLag => {
                self.member_fault(at, MemberFault::Lag, Some((end, MemberFault::CatchUp)));
            }
            Class::Compact => {
                let keep = self.rng.below(4);
                self.push(at, Do::Compact { keep });
            }
            Class::Revoke | Class::Delete | Class::Overwrite | Class::Move => {
                self.stranger(class, at);
            }
        }
    }

    /// Something that happens to one of several members, and its end.
    fn member_fault(&mut self, at: u64, fault: MemberFault, end: Option<(u64, MemberFault)>) {
        let member = self.one_member();
        if self.world.members > 1 {
            self.push(at, Do::Member { member, fault });
            if let Some((end, fault)) = end {
                self.push(end, Do::Member { member, fault });
            }
        }
    }

    fn one_member(&mut self) -> u16 {
        u16::try_from(self.rng.below(self.world.members.into())).unwrap_or(0)
    }

    fn slowest(&self) -> u64 {
        self.world.tuning.attempt_timeout.as_millis() as u64 * 2
    }

    fn stranger(&mut self, class: Class, at: u64) {
        let Some(key) = self.key() else { return };
        let secs = u32::try_from(self.between((2, 6))).unwrap_or(2);
        let lease_secs = self.rng.percent(50).then_some(secs);
        let what = match class {
            Class::Revoke => Do::RevokeOf { key },
            Class::Delete => Do::DeleteKey { key },
            Class::Move => Do::MoveKey { key, lease_secs },
            Class::Overwrite
            | Class::Cut
            | Class::Reset
            | Class::Blackhole
            | Class::Lose
            | Class::Slow
            | Class::Crash
            | Class::Pause
            | Class::StoreRestart
            | Class::StoreStop
            | Class::StorePause
            | Class::LeaderLoss
            | Class::Lead
            | Class::MemberRestart
            | Class::MemberStop
            | Class::MemberPause
            | Class::MemberCutOff
            | Class::MemberLag
            | Class::Fill
            | Class::Compact => Do::PutKey { value: self.value(), key, lease_secs },
        };
        self.push(at, what);
    }

    /// What a stranger writes: a record of its own, or nothing that anybody can read.
    fn value(&mut self) -> String {
        let at = usize::try_from(self.rng.below(self.places.len() as u64)).unwrap_or(0);
        let Some((group, id)) = self.places.get(at).cloned() else { return String::new() };
        if self.rng.percent(40) {
            return "not a record".to_owned();
        }
        let stamp = Stamp { run: 1, registration: 1, sequence: self.between((1, 9)) };
        let instance = Instance::builder(group, id).build().expect("names alone are enough");
        let written = Layout::encode_instance(&self.world.layout, &instance, stamp);
        let value = written.ok().and_then(|mut written| written.pop());
        value.map_or(String::new(), |written| String::from_utf8_lossy(&written.value).into_owned())
    }
}

fn world(mut rng: Rng, mix: &Mix) -> WorldSetup {
    let mut between = |least: u64, most: u64| Drawing::number(&mut rng, (least, most));
    let few_or_many = |drawn: u64, few: u64, many: u32| {
        if drawn < few { u32::try_from(drawn + 1).unwrap_or(many) } else { many }
    };
    let attempt_ms = between(300, 1_500);
    let base_ms = between(20, 100);
    let tuning = Tuning {
        lease_ttl: Duration::from_secs(between(2, 6)),
        max_keys_per_lease: few_or_many(between(0, 7), 4, 1_000),
        clock_error_permille: 10,
        renewals_per_ttl: u32::try_from(between(3, 4)).unwrap_or(3),
        attempt_timeout: Duration::from_millis(attempt_ms),
        backoff_base: Duration::from_millis(base_ms),
        backoff_cap: Duration::from_millis(base_ms * between(2, 20)),
        backoff_slow_cap: Duration::from_secs(3),
        jitter_percent: u32::try_from(between(0, 90)).unwrap_or(90),
        healthy_after: Duration::from_millis(between(500, 5_000)),
        retry_burst: u32::try_from(between(2, 64)).unwrap_or(64),
        retries_per_sec: u32::try_from(between(4, 32)).unwrap_or(32),
        page_limit: few_or_many(between(0, 5), 3, 10_000),
        probe_after: Duration::from_millis(between(500, 3_000)),
        probe_timeout: Duration::from_millis(between(300, 1_500)),
        batch_keys: few_or_many(between(0, 5), 3, 126),
        ..Tuning::default()
    };
    let last = VERSIONS.len() as u64 - 1;
    let version = VERSIONS[usize::try_from(between(0, last)).unwrap_or(0)];
    let store = portolan_memory::Config {
        sync_revisions: if between(0, 2) == 0 { between(1, 3) as usize } else { 1_000 },
        sync_interval: Duration::from_millis(between(10, 200)),
        progress_interval: Duration::from_millis(between(500, 20_000)),
        seed: between(0, u64::MAX - 1),
        ..portolan_memory::Config::of_version(version).unwrap_or_default()
    };
    // A round trip fits twice into what an attempt or a probe waits.
    let waited_ms = attempt_ms.min(tuning.probe_timeout.as_millis() as u64);
    let slowest_us = waited_ms * 1_000 / 5;
    let delay_us = match between(0, 3) {
        0 => (100, 500),
        1 => (500, slowest_us),
        _ => (500, 8_000),
    };
    let percent = |drawn: u64| [0, 50, 100][usize::try_from(drawn).unwrap_or(0) % 3];
    let wire = WireSetup {
        delay_us,
        detect_ms: between(500, 4_000),
        linger_percent: percent(between(0, 2)),
        late_percent: percent(between(0, 2)),
        late_answer_percent: percent(between(0, 2)),
        duplicate_percent: if between(0, 2) == 0 { 20 } else { 0 },
    };
    let processes = between(mix.processes.0.into(), mix.processes.1.into());
    let members = between(mix.members.0.into(), mix.members.1.into());
    let drift = |drawn: u64| i16::try_from(drawn).unwrap_or(0) - 9;
    WorldSetup {
        processes: u16::try_from(processes).unwrap_or(1).max(1),
        members: u16::try_from(members).unwrap_or(1).max(1),
        drift_permille: (0..processes).map(|_| drift(between(0, 18))).collect(),
        think_us: if between(0, 1) == 0 { (0, 0) } else { (0, 200_000) },
        layout: Layout::default(),
        tuning,
        store,
        wire,
    }
}

/// The releases that stores are drawn from. Older ones answer progress out of step and forget a
/// delete where they compact; the next owe progress until an event; the next tell it before a watch has
/// begun; then the newest of each line.
const VERSIONS: &[&str] =
    &["3.4.23", "3.5.7", "3.4.30", "3.5.10", "3.4.37", "3.5.16", "3.5.30", "3.6.6", "3.7.0"];
