//! The model under test, on virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_core::Time;
use portolan_core::waist::{AttemptId, MemberId, Reply, Request};
use portolan_memory::{
    Admin, ClientId, Config, Credentials, Fault, Identity, Input, MemberFault, Model,
};

use super::store::{Happening, Setup, Store};

pub struct ModelStore {
    name: String,
    release: String,
    model: Model,
    now: Time,
    next: u64,
    member: MemberId,
    /// Who asks, and who has asked.
    user: String,
    users: BTreeMap<String, (ClientId, Identity)>,
    /// What was said to others than who asks now.
    aside: Vec<(ClientId, AttemptId, Reply)>,
}

/// The model that a case wants.
pub fn config(release: Option<&str>, setup: Setup) -> Config {
    let mut config = match release {
        Some(release) => Config::of_version(release).expect("releases are versions"),
        None => Config::default(),
    };
    config.require_leader = setup.require_leader;
    config = config.members(u16::try_from(setup.members).expect("there are few members"));
    if let Some(ttl) = setup.token_ttl {
        config.token_ttl = ttl;
    }
    if let Some(interval) = setup.progress {
        config.progress_interval = interval;
    }
    config
}

/// Who leads and runs, by its place.
pub fn leader(model: &Model) -> Option<u16> {
    let leader = model.leader()?;
    model.members().any(|view| view.member == leader && view.is_up).then_some(leader.0)
}

/// What happens to a model of so many members.
pub fn faults(event: Happening, members: usize) -> Vec<Fault> {
    let of = |member, fault| Fault::Member(MemberId(member), fault);
    let others = |fault| {
        let others = 1..u16::try_from(members).expect("there are few members");
        others.map(|member| of(member, fault)).collect()
    };
    let fault = match event {
        Happening::Restart => Fault::Restart,
        Happening::Wipe => Fault::Wipe,
        Happening::Pause => Fault::Pause,
        Happening::Resume => Fault::Resume,
        Happening::Fill => Fault::SpaceAlarm(true),
        Happening::LoseLeader => return others(MemberFault::Stop),
        Happening::FindLeader => return others(MemberFault::Start),
        Happening::PauseMember(member) => of(member, MemberFault::Pause),
        Happening::ResumeMember(member) => of(member, MemberFault::Resume),
        Happening::KillMember(member) => of(member, MemberFault::Stop),
        Happening::StartMember(member) => of(member, MemberFault::Start),
    };
    vec![fault]
}

impl ModelStore {
    /// The model as `release` behaves, or as the newest does.
    pub fn new(release: Option<&str>, setup: Setup) -> Self {
        Self::with(config(release, setup))
    }

    /// A model of its own kind.
    pub fn with(config: Config) -> Self {
        let config = Config { keep_log: false, ..config };
        let release = config.version.clone();
        let name = format!("model as {release}");
        Self {
            name,
            release,
            model: Model::new(config),
            now: Time::ZERO,
            next: 1,
            member: MemberId(0),
            user: String::new(),
            users: BTreeMap::from([(String::new(), (ClientId(1), Identity::default()))]),
            aside: Vec::new(),
        }
    }

    fn us(&self) -> ClientId {
        self.users[&self.user].0
    }

    fn handle(&mut self, input: Input) {
        self.model.handle(self.now, input);
    }
}

impl Store for ModelStore {
    fn name(&self) -> &str {
        &self.name
    }

    fn release(&self) -> &str {
        &self.release
    }

    fn submit(&mut self, request: Request) -> AttemptId {
        let attempt = AttemptId(self.next);
        self.next += 1;
        let (from, identity) = &self.users[&self.user];
        let (from, pass, member) = (*from, identity.pass(&request), self.member);
        self.handle(Input::Request { from, attempt, member, request, pass });
        attempt
    }

    fn cancel(&mut self, attempt: AttemptId) {
        self.handle(Input::Cancel { from: self.us(), attempt });
    }

    fn poll(&mut self, within: Duration) -> Option<(AttemptId, Reply)> {
        let limit = self.now + within;
        let asking = self.us();
        if let Some(place) = self.aside.iter().position(|(client, ..)| *client == asking) {
            let (_, attempt, reply) = self.aside.remove(place);
            return Some((attempt, reply));
        }
        loop {
            if let Some(mut output) = self.model.poll_output() {
                let token = output.take_token();
                let known = self.users.values_mut().find(|(client, _)| *client == output.to);
                let (client, identity) = known.expect("it has asked");
                identity.hear(token);
                if *client != asking {
                    self.aside.push((*client, output.attempt, output.reply));
                    continue;
                }
                return Some((output.attempt, output.reply));
            }
            match self.model.poll_timeout() {
                Some(due) if due <= limit => self.now = self.now.max(due),
                Some(_) | None if self.now < limit => self.now = limit,
                Some(_) | None => return None,
            }
            self.handle(Input::Tick);
        }
    }

    fn now(&self) -> Duration {
        self.now.since(Time::ZERO)
    }

    fn wait(&mut self, span: Duration) {
        self.now = self.now + span;
        self.handle(Input::Tick);
    }

    fn turn_to(&mut self, member: u16) {
        self.member = MemberId(member);
    }

    fn leader(&mut self) -> u16 {
        loop {
            match leader(&self.model) {
                Some(place) => return place,
                None => self.wait(Duration::from_millis(10)),
            }
        }
    }

    fn act_as(&mut self, user: Option<(&str, &str)>) {
        let key = user.map_or(String::new(), |(user, password)| format!("{user}:{password}"));
        let next = ClientId(u32::try_from(self.users.len()).expect("there are few users") + 1);
        self.users.entry(key.clone()).or_insert_with(|| {
            let credentials = user.map(|(user, password)| Credentials::new(user, password));
            (next, Identity::of(credentials))
        });
        self.user = key;
    }

    fn administer(&mut self, admin: &Admin) {
        self.handle(Input::Admin(admin.clone()));
    }

    fn happen(&mut self, event: Happening) {
        for fault in faults(event, self.model.members().count()) {
            self.handle(Input::Fault(fault));
        }
    }
}
