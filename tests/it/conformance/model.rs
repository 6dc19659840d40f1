//! The model under test, on virtual time.

use std::time::Duration;

use portolan_core::Time;
use portolan_core::waist::{AttemptId, MemberId, Reply, Request};
use portolan_memory::{ClientId, Config, Fault, Input, Model};

use super::store::{Happening, Setup, Store};

pub struct ModelStore {
    name: String,
    release: String,
    model: Model,
    now: Time,
    next: u64,
}

impl ModelStore {
    /// The model as `release` behaves, or as the newest does.
    pub fn new(release: Option<&str>, setup: Setup) -> Self {
        let mut config = match release {
            Some(release) => Config::of_version(release).expect("releases are versions"),
            None => Config::default(),
        };
        config.require_leader = setup.require_leader;
        if let Some(interval) = setup.progress {
            config.progress_interval = interval;
        }
        Self::with(config)
    }

    /// A model of its own kind.
    pub fn with(config: Config) -> Self {
        let config = Config { keep_log: false, ..config };
        let release = config.version.clone();
        let name = format!("model as {release}");
        Self { name, release, model: Model::new(config), now: Time::ZERO, next: 1 }
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
        self.handle(Input::Request { from: US, attempt, member: MemberId(0), request });
        attempt
    }

    fn cancel(&mut self, attempt: AttemptId) {
        self.handle(Input::Cancel { from: US, attempt });
    }

    fn poll(&mut self, within: Duration) -> Option<(AttemptId, Reply)> {
        let limit = self.now + within;
        loop {
            if let Some(output) = self.model.poll_output() {
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

    fn happen(&mut self, event: Happening) {
        let fault = match event {
            Happening::Restart => Fault::Restart,
            Happening::Wipe => Fault::Wipe,
            Happening::Pause => Fault::Pause,
            Happening::Resume => Fault::Resume,
            Happening::Fill => Fault::SpaceAlarm(true),
            Happening::LoseLeader => Fault::LeaderLost,
            Happening::FindLeader => Fault::LeaderBack,
        };
        self.handle(Input::Fault(fault));
    }
}

const US: ClientId = ClientId(1);
