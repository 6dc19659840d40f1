//! An instance is registered while a program runs: listen, ready, register; drain, end, remove.
//!
//! ```text
//! CMD starts ──▶ the probe succeeds ──▶ registered ──▶ SIGTERM, SIGINT: draining ──▶ passed on
//!      │                  │                 │                                          │
//!      └──────────────────┴──── CMD ends ───┴──────────────────────────────────────────┘
//!                                   ▼
//!                    removed; exit with the status of CMD
//! ```
//!
//! Without CMD the signal is the end. Standard output belongs to CMD: what happens to the
//! registration is told on standard error.

use std::collections::BTreeMap;
use std::env;
use std::future::pending;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portolan::{
    Group, Instance, Layout, LossReason, RegisterError, Registration, RegistrationState, Registry,
    State,
};
use rustix::process::Signal;
use tokio::time::{Instant, sleep_until};

use crate::args::Register;
use crate::child::Child;
use crate::fail::Failure;
use crate::out::note;
use crate::probe::Probe;
use crate::signals::{Signals, asks_to_end};
use crate::store::Store;

/// Runs it; the exit status is the program's.
pub async fn run(store: &Store, mut args: Register) -> Result<u8, Failure> {
    if args.command.is_empty() && env::args_os().next_back().is_some_and(|last| last == "--") {
        return Err(Failure::usage(
            "there is no CMD after --; leave out -- to register until a signal",
        ));
    }
    fits(store, &args)?;
    let builder = store.builder().ttl(args.ttl).allow_local_addresses(args.allow_local);
    let registry = builder.build().map_err(|error| store.unbuilt(&error))?;
    let group = registry.group(args.group.as_str()).map_err(Failure::usage)?;
    let instance = instance(&group, &mut args)?;
    group.check(&instance).map_err(|error| {
        let flag = if matches!(error, RegisterError::Address(_)) { " (--allow-local)" } else { "" };
        Failure::Usage(format!("{error}{flag}"))
    })?;
    let signals = Signals::listen()?;
    let child = match Child::start(&args.command) {
        Ok(child) => child,
        Err(not_started) => {
            note(not_started.line);
            return Ok(not_started.status);
        }
    };
    let mut keeper = Keeper {
        store,
        registry,
        group,
        instance,
        args,
        signals,
        child,
        registration: None,
        told: RegistrationState::Starting,
        stood: false,
        stopping: false,
        to_pass: None,
    };
    let ended = keeper.keep().await;
    keeper.finish(ended).await
}

struct Keeper<'a> {
    store: &'a Store,
    registry: Registry,
    group: Group,
    instance: Instance,
    args: Register,
    signals: Signals,
    child: Option<Child>,
    /// `None`: not begun, or ended by itself.
    registration: Option<Registration>,
    /// What was last said of it.
    told: RegistrationState,
    /// Whether it ever stood in the store.
    stood: bool,
    /// Whether the program was asked to end: nothing is registered any more.
    stopping: bool,
    /// The signal that the program gets when others had time to see that it drains.
    to_pass: Option<(Instant, Signal)>,
}

/// Why there is nothing more to keep.
enum Ended {
    /// The program ended, with this status.
    Child(u8),
    /// There is no program, and a signal came.
    Signal,
    /// There is no program, and the registration ended by itself.
    Lost,
}

impl Keeper<'_> {
    async fn keep(&mut self) -> Ended {
        let ready = ready(self.args.ready.take());
        tokio::pin!(ready);
        let late = tokio::time::sleep(self.store.timeout());
        tokio::pin!(late);
        let (mut is_ready, mut is_late) = (false, false);
        loop {
            let over = tokio::select! {
                biased;
                signal = self.signals.next() => self.signalled(signal),
                status = ended(&mut self.child) => Some(Ended::Child(status)),
                signal = due(self.to_pass) => {
                    self.pass(signal);
                    None
                }
                () = &mut ready, if !is_ready => {
                    is_ready = true;
                    late.as_mut().reset(Instant::now() + self.store.timeout());
                    self.register()
                }
                state = changed(self.registration.as_ref(), &self.told) => self.heard(state),
                () = &mut late, if is_ready && !is_late => {
                    is_late = true;
                    self.say_late();
                    None
                }
            };
            if let Some(over) = over {
                return over;
            }
        }
    }

    fn signalled(&mut self, signal: Signal) -> Option<Ended> {
        if self.child.is_none() {
            return asks_to_end(signal).then_some(Ended::Signal);
        }
        // What the other two mean, the program knows best.
        let means_end = matches!(signal, Signal::TERM | Signal::INT);
        if !means_end || std::mem::replace(&mut self.stopping, true) {
            self.pass(signal);
            return None;
        }
        self.drain();
        self.to_pass = Some((Instant::now() + self.args.drain_for, signal));
        None
    }

    fn pass(&mut self, signal: Signal) {
        if self.to_pass.is_some_and(|(_, waiting)| waiting == signal) {
            self.to_pass = None;
        }
        if let Some(child) = &self.child {
            child.pass(signal);
        }
    }

    fn register(&mut self) -> Option<Ended> {
        if self.stopping {
            return None;
        }
        let begun = self.group.register_with(self.instance.clone(), self.args.conflict.into());
        match begun {
            Ok(registration) => {
                self.registration = Some(registration);
                None
            }
            Err(error) => {
                note(format!("{}: {error}", self.name()));
                self.lost()
            }
        }
    }

    /// Says that others should not call it any more.
    fn drain(&mut self) {
        if !self.group_says_state() {
            return;
        }
        let draining = self.instance.clone().with_state(State::Draining);
        if let Some(registration) = &mut self.registration
            && let Err(error) = registration.update(draining)
        {
            note(format!("{}: {error}", self.name()));
        }
    }

    fn group_says_state(&self) -> bool {
        self.registry.layout().says_state()
    }

    fn heard(&mut self, state: RegistrationState) -> Option<Ended> {
        let name = self.name();
        let before = std::mem::replace(&mut self.told, state.clone());
        match state {
            RegistrationState::Starting => {}
            RegistrationState::Registered { lease, revision, .. } => {
                let what = if matches!(before, RegistrationState::Lost { .. }) {
                    "is registered again"
                } else if matches!(before, RegistrationState::Registered { .. }) && self.stopping {
                    "is draining"
                } else {
                    "is registered"
                };
                self.stood = true;
                note(format!("{name} {what}: revision {revision}, lease {lease}"));
            }
            RegistrationState::Lost { reason } => {
                let why = match reason {
                    LossReason::LeaseLost => "its lease has ended, or may have",
                    LossReason::Evicted => "an operator takes it out",
                    LossReason::Disturbed => "somebody took its record away",
                };
                // What comes of it is told next: it stands again, or somebody else's does.
                note(format!("{name} is lost: {why}"));
            }
            RegistrationState::Denied { reason } => {
                note(format!("{name} is not registered: {reason}; still trying"));
            }
            RegistrationState::Waiting { owner } => {
                let owner = owner.map_or("no lease".to_owned(), |lease| format!("lease {lease}"));
                note(format!("{name} waits until the record that hangs on {owner} is gone"));
            }
            RegistrationState::Gone(gone) => {
                note(format!("{name}: the registration has ended: {gone}"));
                return self.lost();
            }
            _ => {}
        }
        None
    }

    /// The registration has ended by itself. The program is not ours to judge: it goes on.
    fn lost(&mut self) -> Option<Ended> {
        self.registration = None;
        self.child.is_none().then_some(Ended::Lost)
    }

    fn say_late(&self) {
        if self.registration.is_some() && self.told == RegistrationState::Starting {
            let why = self.store.silent(&self.registry);
            note(format!("{} is not registered yet: {why}; still trying", self.name()));
        }
    }

    /// Removes the record and revokes the lease; says how that went.
    async fn finish(mut self, ended: Ended) -> Result<u8, Failure> {
        let name = self.name();
        let state = self.registration.as_ref().map(Registration::state);
        let stood = self.stood || matches!(state, Some(RegistrationState::Registered { .. }));
        let removed = tokio::select! {
            biased;
            // Asked again to end: the lease's end does the rest.
            () = self.signals.next_end() => false,
            removed = self.registry.shutdown() => removed,
        };
        match (&self.registration, removed) {
            (Some(_), false) => {
                // etcd may have raised it to its least.
                let ttl = self.args.ttl;
                let what = if stood { "its" } else { "if it stands, its" };
                let lease = format!("{what} lease ends within {ttl:?}, at most a little longer");
                note(format!("{name}: removal not confirmed; {lease}"));
            }
            // Of one that never stood there is nothing to say.
            (Some(_), true) if stood => note(format!("{name} is removed")),
            (Some(_) | None, _) => {}
        }
        Ok(match ended {
            Ended::Child(status) => status,
            Ended::Signal => u8::from(!removed),
            Ended::Lost => 1,
        })
    }

    fn name(&self) -> String {
        format!("{}/{}", self.instance.group(), self.instance.id())
    }
}

/// What the layout has no place for is refused rather than left out.
fn fits(store: &Store, args: &Register) -> Result<(), Failure> {
    let Layout::EtcdNaming(_) = store.layout() else { return Ok(()) };
    let named = |(name, _): &(String, String)| name != NAMING_ENDPOINT;
    let other_name = matches!(args.endpoint.as_slice(), [one] if named(one));
    let flags = [
        ("--version", args.version.is_some()),
        ("--weight", args.weight.is_some()),
        ("--drain-for", !args.drain_for.is_zero()),
        ("an --endpoint with another name than grpc", other_name),
    ];
    match flags.into_iter().find(|&(_, given)| given) {
        Some((flag, _)) => {
            Err(Failure::Usage(format!("--layout etcd-naming has no place for {flag}")))
        }
        None => Ok(()),
    }
}

/// What readers of etcd's naming layout are shown for the name of its one endpoint.
const NAMING_ENDPOINT: &str = "grpc";

/// What is to be registered.
fn instance(group: &Group, args: &mut Register) -> Result<Instance, Failure> {
    let mut builder = group.instance(&args.id).map_err(Failure::usage)?;
    for (name, address) in once("--endpoint", std::mem::take(&mut args.endpoint))? {
        builder = builder.endpoint(name, address);
    }
    for (key, value) in once("--label", std::mem::take(&mut args.label))? {
        builder = builder.label(key, value);
    }
    if let Some(version) = args.version.take() {
        builder = builder.version(version);
    }
    if let Some(weight) = args.weight {
        builder = builder.weight(weight);
    }
    // A clock before 1970 knows nothing.
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let millis = u64::try_from(since_1970.as_millis()).unwrap_or_default();
    builder.created_millis(millis).build().map_err(Failure::usage)
}

/// Each name once; else the last would win without a word.
fn once(flag: &str, pairs: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Failure> {
    let mut map = BTreeMap::new();
    for (name, value) in pairs {
        if map.contains_key(&name) {
            return Err(Failure::Usage(format!("{flag} {name:?} is given twice; allowed is once")));
        }
        map.insert(name, value);
    }
    Ok(map)
}

async fn ready(probe: Option<Probe>) {
    if let Some(probe) = probe {
        probe.succeed(|why| note(format!("not ready yet: {probe}: {why}"))).await;
    }
}

/// The program's end; never, without one.
async fn ended(child: &mut Option<Child>) -> u8 {
    match child {
        Some(child) => child.ended().await,
        None => pending().await,
    }
}

/// The moment at which a signal is to be passed on; never, without one.
async fn due(to_pass: Option<(Instant, Signal)>) -> Signal {
    match to_pass {
        Some((at, signal)) => {
            sleep_until(at).await;
            signal
        }
        None => pending().await,
    }
}

/// The registration's next state; never, without one.
async fn changed(
    registration: Option<&Registration>,
    told: &RegistrationState,
) -> RegistrationState {
    match registration {
        Some(registration) => registration.wait_for(|state| state != told).await,
        None => pending().await,
    }
}
