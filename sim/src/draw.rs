//! Draws plans from seeds.
//!
//! Each plan first draws its world and which classes of faults it has at all: a uniform mix hides
//! what a single fault alone would show.

mod faults;
mod mix;
mod world;

use std::collections::BTreeMap;

use portolan_core::engine::{Conflict, DirectoryId, FollowId, OpId, RegistrationId};
use portolan_core::instance::State;
use portolan_core::layout::Scope;
use portolan_core::name::{GroupName, InstanceId};
use portolan_core::waist::{Key, Revision};
use portolan_core::{Rng, Tuning};

pub use self::faults::Class;
pub use self::mix::Mix;
use crate::plan::{Call, Do, Plan, Step, WorldSetup};

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64, mix: &Mix) -> Self {
        let rng = Rng::new(seed).fork("plan");
        let mut world = world::world(rng.fork("world"), mix);
        let crowds = mix.classes.contains(&Class::Crowd);
        let crowded = crowds && rng.fork("crowd").percent(mix.crowd_percent);
        if crowded {
            // What is taken record by record would take hours.
            let usual = Tuning::default();
            world.tuning.page_limit = usual.page_limit;
            world.tuning.follow_events = usual.follow_events;
        }
        let mut work = Drawing {
            rng: rng.fork("work"),
            world: &world,
            end_ms: Drawing::number(&mut rng.fork("length"), mix.seconds) * 1000,
            steps: Vec::new(),
            places: Vec::new(),
            strikes: 0,
            least_ms: 0,
            crowded,
        };
        let mut many = rng.fork("many");
        let crowded = many.percent(mix.many_percent).then(|| many.below(world.processes.into()));
        for process in 0..world.processes {
            let is_crowded = crowded == Some(process.into());
            work.workload(process, mix, if is_crowded { mix.many } else { mix.registrations });
        }
        work.rng = rng.fork("follow");
        for process in 0..world.processes {
            work.follows(process, mix);
        }
        work.rng = rng.fork("least");
        work.least_ms = work.least();
        work.faults(&rng, mix);
        work.rng = rng.fork("left");
        let left = work.left(mix);
        let mut steps = work.steps;
        steps.sort_by_key(|step| step.at_ms);
        number(&mut steps);
        Self { left, ..Self::of(seed, world, steps) }
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

/// A plan while it is drawn.
struct Drawing<'a> {
    rng: Rng,
    world: &'a WorldSetup,
    end_ms: u64,
    steps: Vec<Step>,
    /// Where instances are registered.
    places: Vec<(GroupName, InstanceId)>,
    /// How many faults there are.
    strikes: u64,
    /// How long each fault lasts at least.
    least_ms: u64,
    /// Whether the world is one in which crowds of thousands come.
    crowded: bool,
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

    fn lease_ms(&self) -> u64 {
        self.world.tuning.lease_ttl.as_millis() as u64
    }

    /// In half of all plans faults may be short, in the others none is.
    fn least(&mut self) -> u64 {
        if self.rng.percent(50) { 0 } else { self.between((0, self.lease_ms())) }
    }

    /// How long a fault lasts: from a moment to well beyond a lease's time.
    fn span(&mut self) -> u64 {
        let ttl = self.lease_ms();
        let drawn = match self.rng.below(3) {
            0 => self.between((50, 500)),
            1 => self.between((500, ttl)),
            _ => self.between((ttl, ttl * 2)),
        };
        drawn.max(self.least_ms)
    }

    fn key(&mut self) -> Option<Key> {
        let at = usize::try_from(self.rng.below(self.places.len() as u64)).ok()?;
        let (group, instance) = self.places.get(at)?.clone();
        self.world.layout.instance_keys(&group, &instance).ok()?.pop()
    }

    /// Faults of each class that is present, and more until there are enough.
    fn faults(&mut self, rng: &Rng, mix: &Mix) {
        for &class in &mix.classes {
            self.rng = rng.fork(class.name());
            let present = self.rng.percent(class.percent(mix.fault_percent));
            if present || class == Class::Crowd && self.crowded {
                for _ in 0..self.between(mix.strikes) {
                    self.strike(class);
                }
            }
        }
        self.rng = rng.fork("more faults");
        // Not every class means something in every world.
        for _ in 0..mix.least_faults * 4 {
            let drawn = usize::try_from(self.rng.below(mix.classes.len() as u64)).unwrap_or(0);
            let Some(&class) = mix.classes.get(drawn) else { return };
            if self.strikes >= mix.least_faults {
                return;
            }
            self.strike(class);
        }
    }

    /// One fault, and its end.
    fn strike(&mut self, class: Class) {
        let before = self.steps.len();
        self.draw_fault(class);
        self.strikes += u64::from(self.steps.len() > before);
    }

    /// What one application does.
    fn workload(&mut self, process: u16, mix: &Mix, registrations: (u64, u64)) {
        let wanted = self.between(registrations);
        // Many mostly come at once, as from a program that starts.
        let at_once = (wanted >= MANY && self.rng.percent(70)).then(|| self.moment());
        let mut registrations = 0;
        for number in 1..=wanted {
            self.registration(process, number, at_once, &mut registrations);
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
            let (mut group, within_ms) = (self.group(), self.between(within));
            let keep = self.rng.percent(10);
            // Some meet: all at one moment, in one group.
            let (at, within_ms) = if self.rng.percent(15) {
                group = GroupName::parse("web").expect("letters");
                (5_000, within_ms.min(300))
            } else {
                (at, within_ms)
            };
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

    fn follows(&mut self, process: u16, mix: &Mix) {
        for number in 1..=self.between(mix.follows) {
            let id = FollowId(number);
            let prefix = ["/kv/", "/portolan/", "/portolan/instances/web/", "/portolan/groups/"];
            let prefix = Key::from(prefix[self.rng.below(4) as usize]);
            let at = if self.rng.percent(60) { self.between((0, 200)) } else { self.moment() };
            let first = i64::try_from(self.between((1, 12))).unwrap_or(1);
            let from = self.rng.percent(30).then_some(Revision(first));
            let slow_ms = if self.rng.percent(50) { 0 } else { self.between((1, 3_000)) };
            self.push(at, Do::Follow { process, id, prefix, from, slow_ms });
            if self.rng.percent(10) {
                let at = at + self.between((1_000, 10_000));
                self.push(at, Do::Unfollow { process, id });
            }
        }
    }

    fn registration(
        &mut self,
        process: u16,
        number: u64,
        at: Option<u64>,
        registrations: &mut u64,
    ) {
        let group = self.group();
        let name =
            if self.rng.percent(20) { "shared".to_owned() } else { format!("p{process}-{number}") };
        let instance = InstanceId::parse(&name).expect("letters and digits");
        self.places.push((group.clone(), instance.clone()));
        let drawn = if self.rng.percent(60) { self.between((0, 1_000)) } else { self.moment() };
        let mut at = at.unwrap_or(drawn);
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
}

/// More registrations of one process than it ever has where many are not drawn.
const MANY: u64 = 20;
