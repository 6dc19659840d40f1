//! An engine, a store, and what is on its way between them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use portolan_core::Time;
use portolan_core::engine::{
    Command, DirectoryId, Engine, FollowId, Input, OpId, Output, RegistrationId, Setup,
};
use portolan_core::waist::{AttemptId, MemberId, Reply, Request};
use portolan_memory::{ClientId, Config, Input as Asked, Model, Pass};

use super::Act;
use super::rules::Rules;
use crate::tape::{self, Tape};

const ENGINE: ClientId = ClientId(1);
const STRANGER: ClientId = ClientId(2);

/// What was heard, and may be heard again.
const MOST_HEARD: usize = 16;
/// What the store said, and is on its way.
const MOST_SAID: usize = 256;
/// Timers that run in one wait: what waits for more than these is looked at no further.
const MOST_TIMERS: usize = 400;
/// Ticks at one moment.
const MOST_TICKS: usize = 4;
/// Things of a kind that are begun.
const MOST_OF_A_KIND: u64 = 6;
const MOST_MEMBERS: u16 = 5;

pub(super) struct Bench {
    engine: Engine,
    model: Model,
    now: Time,
    /// Not answered, and not given up; and whether the store has taken it in.
    sent: BTreeMap<AttemptId, (MemberId, Request, bool)>,
    said: VecDeque<(AttemptId, Reply)>,
    heard: VecDeque<(AttemptId, Reply)>,
    begun: Begun,
    stranger: u64,
    rules: Rules,
}

/// The last number of each kind.
#[derive(Default)]
struct Begun {
    registrations: u64,
    directories: u64,
    follows: u64,
    operations: u64,
}

impl Bench {
    pub fn new(setup: Setup) -> Self {
        let members = setup.members.min(MOST_MEMBERS);
        let config = Config::default().members(members);
        let rules = Rules::new(&setup);
        let mut bench = Self {
            engine: Engine::new(Time::ZERO, setup),
            model: Model::new(config),
            now: Time::ZERO,
            sent: BTreeMap::new(),
            said: VecDeque::new(),
            heard: VecDeque::new(),
            begun: Begun::default(),
            stranger: 0,
            rules,
        };
        bench.drain();
        bench
    }

    pub fn act(&mut self, act: Act) {
        match act {
            Act::Flow(rounds) => self.flow(rounds % 10),
            Act::Wait { ms } => self.wait(Duration::from_millis(ms.into())),
            Act::Jump { secs } => {
                self.now = self.now + Duration::from_secs(secs.into());
                self.handle(Input::Tick);
            }
            Act::Do(command) => {
                if let Some(command) = self.renumbered(command) {
                    self.rules.asked(self.now, &command);
                    self.handle(Input::Command(command));
                }
            }
            Act::Serve(which) => {
                if let Some(attempt) = pick(which, self.sent.keys().copied()) {
                    self.serve(attempt);
                }
            }
            Act::Hear(which) => {
                if !self.said.is_empty() {
                    let at = usize::from(which) % self.said.len();
                    if let Some((attempt, reply)) = self.said.remove(at) {
                        self.hear(attempt, reply, true);
                    }
                }
            }
            Act::HearAgain(which) => {
                if let Some((attempt, reply)) = pick(which, self.heard.iter().cloned()) {
                    self.hear(attempt, reply, false);
                }
            }
            Act::Twist { which, at, byte } => {
                let all = self.said.iter().chain(&self.heard);
                if let Some((attempt, reply)) = pick(which, all.cloned())
                    && let Some(twisted) = twisted(&reply, at, byte)
                {
                    self.hear(attempt, twisted, false);
                }
            }
            Act::Answer { which, reply } => {
                let all = self.sent.keys().chain(self.heard.iter().map(|(attempt, _)| attempt));
                if let Some(attempt) = pick(which, all.copied()) {
                    self.hear(attempt, reply, false);
                }
            }
            Act::Fail { which, error } => {
                if let Some(attempt) = pick(which, self.sent.keys().copied()) {
                    self.hear(attempt, Reply::Failed(error), false);
                }
            }
            Act::Storm { error, times } => {
                for _ in 0..times {
                    let Some(&attempt) = self.sent.keys().next() else { break };
                    self.hear(attempt, Reply::Failed(error.clone()), false);
                }
            }
            Act::Fault(fault) => self.ask(Asked::Fault(fault)),
            Act::Stranger(request) => {
                self.stranger += 1;
                let attempt = AttemptId(self.stranger);
                let (member, pass) = (MemberId(0), Pass::Nobody);
                self.ask(Asked::Request { from: STRANGER, attempt, member, request, pass });
            }
        }
    }

    /// Everybody goes, and nobody answers: it comes to its end all the same.
    pub fn end(mut self) {
        self.wait(Duration::from_secs(20));
        let within = Duration::from_secs(5);
        let shutdown = Command::Shutdown { within };
        self.rules.asked(self.now, &shutdown);
        self.handle(Input::Command(shutdown));
        self.wait(within + Duration::from_millis(1));
        self.rules.ended(self.now);
    }

    fn flow(&mut self, rounds: u8) {
        for _ in 0..rounds {
            let waiting: Vec<_> = self.sent.keys().copied().collect();
            for attempt in waiting {
                self.serve(attempt);
            }
            if self.said.is_empty() {
                return;
            }
            while let Some((attempt, reply)) = self.said.pop_front() {
                self.hear(attempt, reply, true);
            }
        }
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..MOST_TIMERS {
            let Some(due) = self.engine.poll_timeout().filter(|&due| due <= end) else {
                self.now = end;
                self.ask(Asked::Tick);
                return;
            };
            self.now = self.now.max(due);
            self.ask(Asked::Tick);
            self.handle(Input::Tick);
        }
    }

    /// What is due by then is done with as any driver does: by a tick, and not many of them.
    fn handle(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        self.drain();
        for _ in 0..MOST_TICKS {
            if self.engine.poll_timeout().is_none_or(|due| due > self.now) {
                break;
            }
            self.engine.handle(self.now, Input::Tick);
            self.drain();
        }
        self.rules.look(self.now, &self.engine);
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { attempt, member, request } => {
                    self.rules.sent(self.now, attempt, &request);
                    let known = self.sent.insert(attempt, (member, request, false));
                    assert!(known.is_none(), "{attempt} is sent twice");
                }
                Output::Cancel { attempt } => {
                    self.rules.ended_attempt(attempt);
                    self.sent.remove(&attempt);
                    self.said.retain(|(of, _)| *of != attempt);
                    self.ask(Asked::Cancel { from: ENGINE, attempt });
                }
                Output::Event(event) => self.rules.told(event),
                Output::Redial { .. } | Output::Introduce { .. } => {}
            }
        }
    }

    fn serve(&mut self, attempt: AttemptId) {
        let Some((member, request, served)) = self.sent.get_mut(&attempt) else { return };
        if std::mem::replace(served, true) {
            return;
        }
        let (member, request, pass) = (*member, request.clone(), Pass::Nobody);
        if matches!(request, Request::OnWatch { .. }) {
            // What is said on a stream is answered on it.
            self.sent.remove(&attempt);
        }
        self.ask(Asked::Request { from: ENGINE, attempt, member, request, pass });
    }

    fn ask(&mut self, input: Asked) {
        self.model.handle(self.now, input);
        while let Some(output) = self.model.poll_output() {
            if output.to == ENGINE && self.said.len() < MOST_SAID {
                self.said.push_back((output.attempt, output.reply));
            }
        }
    }

    /// `true`: by the store, and for the first time.
    fn hear(&mut self, attempt: AttemptId, reply: Reply, is_true: bool) {
        let request = self.sent.get(&attempt).map(|(_, request, _)| request.clone());
        if let Some(request) = &request {
            self.rules.heard(request, is_true);
            let goes_on = matches!((request, &reply), (Request::Watch(_), Reply::Watch(_)));
            if !goes_on {
                self.sent.remove(&attempt);
                self.rules.ended_attempt(attempt);
            }
        }
        self.heard.push_back((attempt, reply.clone()));
        if self.heard.len() > MOST_HEARD {
            self.heard.pop_front();
        }
        self.handle(Input::Reply { attempt, reply });
    }

    /// The same of something that was begun, or of something new: a number is used once.
    fn renumbered(&mut self, mut command: Command) -> Option<Command> {
        let Begun { registrations, directories, follows, operations } = &mut self.begun;
        let new = |last: &mut u64| {
            *last += 1;
            (*last <= MOST_OF_A_KIND).then_some(*last)
        };
        let known = |last: &u64, id: u64| id % (last + 1);
        match &mut command {
            Command::Register { id, .. } => *id = RegistrationId(new(registrations)?),
            Command::Publish { id, .. } | Command::Deregister { id, .. } => {
                id.0 = known(registrations, id.0);
            }
            Command::Open { id, .. } => *id = DirectoryId(new(directories)?),
            Command::Close { id } | Command::Refused { id, .. } => id.0 = known(directories, id.0),
            Command::Follow { id, .. } => *id = FollowId(new(follows)?),
            Command::Acknowledge { id, .. } | Command::Unfollow { id } => {
                id.0 = known(follows, id.0);
            }
            Command::Update { id, .. } | Command::Call { id, .. } => {
                *operations += 1;
                *id = OpId(*operations);
            }
            Command::Proposed { id, .. } | Command::Abandon { id } => {
                id.0 = known(operations, id.0);
            }
            Command::Shutdown { .. } => {}
        }
        Some(command)
    }
}

/// One of several, chosen by a number.
fn pick<T>(which: u8, all: impl Iterator<Item = T> + Clone) -> Option<T> {
    let count = all.clone().count();
    let mut all = all;
    if count == 0 { None } else { all.nth(usize::from(which) % count) }
}

/// What another byte on its tape makes of a reply.
fn twisted(reply: &Reply, at: u8, byte: u8) -> Option<Reply> {
    let mut bytes = tape::write(&[reply]);
    let at = usize::from(at) % bytes.len().max(1);
    *bytes.get_mut(at)? ^= byte;
    Tape::new(&bytes).read()
}
