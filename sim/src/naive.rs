//! Clients as others have written them, to be tried where the engine is.
//!
//! They hear what an engine hears and say what an engine says, so that wire, store, trace and checks
//! are the engine's. Each is the algorithm of one fleet's client in its simplest form, on the records
//! of the world's layout; what they have in common is etcd's Go client. None is made worse than it
//! is: where nothing fails but processes, each ends as it should.
//!
//! | file | what it holds |
//! |---|---|
//! | `ways` | in what they differ |
//! | `go_kit`, `etcd_naming`, `lumeweb`, `scalingo`, `ligato` | the ways of each, and where they come from |
//! | `hold` | a registration: lease, put, and what else |
//! | `reader`, `view` | a directory: lists, a watch, and what is shown |
//! | `calls`, `lease`, `watch` | what etcd's Go client does by itself |
//!
//! They only register and show: updates and calls are refused, followers are told nothing. Whose record
//! stands at a key is not asked. They never say that a view is old, nor that a lease may be gone.

mod calls;
mod etcd_naming;
mod go_kit;
mod hold;
mod lease;
mod ligato;
mod lumeweb;
mod reader;
mod scalingo;
mod view;
mod watch;
mod ways;

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_core::engine::{
    CallError, Command, DirectoryId, Event, Gone, Input, Output, RegistrationEvent, RegistrationId,
    Setup, UpdateOutcome,
};
use portolan_core::instance::Instance;
use portolan_core::layout::Layout;
use portolan_core::waist::{AttemptId, Grant, LeaseId, Reply, Request, StoreError};
use portolan_core::{Rng, Time};

use self::calls::{Calls, Why};
use self::hold::{Around, Hold, Wish};
use self::lease::Keeper;
use self::reader::Reader;
use self::ways::Ways;
use crate::plan::Fleet;

/// A client of a fleet.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Naive {
    ways: Ways,
    layout: Layout,
    ttl: Duration,
    run: u64,
    calls: Calls,
    holds: BTreeMap<RegistrationId, Hold>,
    shared: Shared,
    readers: BTreeMap<DirectoryId, Reader>,
    closing: Closing,
}

/// The lease of a whole process.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
enum Shared {
    Unasked,
    Asked,
    /// Its keeper, as long as it is kept alive.
    Granted(LeaseId, Option<Keeper>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
enum Closing {
    Open,
    /// The registrations are being removed, and are let be then.
    Until(Time),
    Closed,
}

impl Fleet {
    const fn ways(self) -> Ways {
        match self {
            Self::GoKit => go_kit::WAYS,
            Self::EtcdNaming => etcd_naming::WAYS,
            Self::Lumeweb => lumeweb::WAYS,
            Self::Scalingo => scalingo::WAYS,
            Self::Ligato => ligato::WAYS,
        }
    }

    /// Whether its clients write records again and again in which nothing has changed.
    pub(crate) const fn rewrites(self) -> bool {
        self.ways().rewrite.is_some()
    }
}

impl Naive {
    pub fn new(fleet: Fleet, setup: Setup) -> Self {
        let ways = fleet.ways();
        Self {
            ways,
            layout: setup.layout,
            ttl: setup.tuning.lease_ttl,
            run: Rng::new(setup.seed).fork("run").bits() >> 1,
            calls: Calls::new(setup.members, setup.authenticates, ways.timeout),
            holds: BTreeMap::new(),
            shared: Shared::Unasked,
            readers: BTreeMap::new(),
            closing: Closing::Open,
        }
    }

    /// What it writes into its records.
    pub fn run(&self) -> u64 {
        self.run
    }

    pub fn handle(&mut self, now: Time, input: Input) {
        self.calls.set_now(now);
        if self.closing == Closing::Closed {
            if let Input::Command(command) = input {
                self.command(command);
            }
            return;
        }
        self.run_timers();
        match input {
            Input::Command(command) => self.command(command),
            Input::Reply { attempt, reply } => self.reply(attempt, reply),
            Input::Tick => {}
        }
        self.settle();
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.calls.poll_output()
    }

    pub fn poll_timeout(&self) -> Option<Time> {
        let closing = match self.closing {
            Closing::Open => None,
            Closing::Until(at) => Some(at),
            Closing::Closed => return None,
        };
        let shared = match &self.shared {
            Shared::Granted(_, Some(keeper)) => Some(keeper.next_timeout()),
            Shared::Unasked | Shared::Asked | Shared::Granted(_, None) => None,
        };
        let holds = self.holds.values().filter_map(Hold::next_timeout);
        let readers = self.readers.values().filter_map(Reader::next_timeout);
        let others = [self.calls.next_timeout(), shared, closing].into_iter().flatten();
        holds.chain(readers).chain(others).min()
    }

    fn run_timers(&mut self) {
        while let Some((why, reply)) = self.calls.on_timer() {
            self.dispatch(why, reply);
        }
        let around = Around { layout: &self.layout, run: self.run, ttl: self.ttl };
        for hold in self.holds.values_mut() {
            hold.on_timer(&mut self.calls, around);
        }
        for reader in self.readers.values_mut() {
            reader.on_timer(&mut self.calls);
        }
        if let Shared::Granted(_, keeper) = &mut self.shared
            && keeper.as_mut().is_some_and(|keeper| keeper.on_timer(&mut self.calls))
        {
            *keeper = None;
        }
    }

    fn command(&mut self, command: Command) {
        let is_open = self.closing == Closing::Open;
        match command {
            Command::Register { id, instance, .. } if is_open => self.register(id, instance),
            Command::Publish { id, instance } => {
                if let Some(hold) = self.holds.get_mut(&id) {
                    hold.publish(instance);
                }
            }
            Command::Deregister { id, .. } => {
                if let Some(hold) = self.holds.get_mut(&id) {
                    hold.leave();
                }
            }
            Command::Open { id, scope } if is_open => {
                let reader = Reader::open(&mut self.calls, &self.layout, self.ways, id, &scope);
                self.readers.extend(reader.map(|reader| (id, reader)));
            }
            Command::Close { id } => {
                if let Some(reader) = self.readers.remove(&id) {
                    reader.close(&mut self.calls);
                }
            }
            Command::Register { id, .. } => {
                let event = RegistrationEvent::Gone(refused("shut down"));
                self.calls.tell(Event::Registration { id, event });
            }
            Command::Update { id, .. } => {
                let error = CallError::Invalid { reason: NO_OPERATIONS.to_owned() };
                self.calls.tell(Event::Updated { id, outcome: UpdateOutcome::Failed { error } });
            }
            Command::Call { id, .. } => {
                let error = CallError::Invalid { reason: NO_OPERATIONS.to_owned() };
                self.calls.tell(Event::Called { id, result: Err(error) });
            }
            Command::Shutdown { within } => {
                self.holds.values_mut().for_each(Hold::leave);
                for reader in std::mem::take(&mut self.readers).into_values() {
                    reader.close(&mut self.calls);
                }
                if is_open {
                    self.closing = Closing::Until(self.calls.now() + within);
                }
            }
            Command::Open { .. }
            | Command::Refused { .. }
            | Command::Follow { .. }
            | Command::Acknowledge { .. }
            | Command::Unfollow { .. }
            | Command::Proposed { .. }
            | Command::Abandon { .. } => {}
        }
    }

    fn register(&mut self, id: RegistrationId, instance: Instance) {
        let keys = self.layout.instance_keys(&instance.group_name(), &instance.instance_id());
        match keys.map(|keys| keys.into_iter().next()) {
            Ok(Some(key)) => {
                let mut same = self.holds.values().filter(|hold| hold.key == key).peekable();
                let queued = same.peek().is_some();
                if same.any(|hold| !hold.is_leaving()) {
                    self.over(id, refused("registered already"));
                    return;
                }
                self.holds.insert(id, Hold::new(id, self.ways, instance, key, queued));
            }
            Ok(None) => self.over(id, refused("the layout has no key for it")),
            Err(error) => self.over(id, refused(&error.to_string())),
        }
    }

    fn reply(&mut self, attempt: AttemptId, reply: Reply) {
        if let Some((why, reply)) = self.calls.answered(attempt, reply) {
            self.dispatch(why, reply);
        }
    }

    fn dispatch(&mut self, why: Why, reply: Reply) {
        let around = Around { layout: &self.layout, run: self.run, ttl: self.ttl };
        match why {
            // Calls keep these to themselves.
            Why::Login => {}
            Why::SharedLease => self.on_shared_lease(reply),
            Why::Hold(id) => {
                let Some(hold) = self.holds.get_mut(&id) else { return };
                let wish = hold.on_reply(&mut self.calls, around, reply);
                self.grant(id, wish);
            }
            Why::Renewal(Some(id), lease) => {
                if let Some(hold) = self.holds.get_mut(&id) {
                    hold.on_renewal(&self.calls, lease, &reply);
                }
            }
            Why::Renewal(None, _) => {
                if let Shared::Granted(_, keeper) = &mut self.shared
                    && keeper.as_mut().is_some_and(|keeper| keeper.on_reply(&self.calls, &reply))
                {
                    *keeper = None;
                }
            }
            Why::List(id) => {
                if let Some(reader) = self.readers.get_mut(&id) {
                    reader.on_list(&mut self.calls, &self.layout, reply);
                }
            }
            Why::Watch(id) => {
                if let Some(reader) = self.readers.get_mut(&id) {
                    reader.on_watch(&mut self.calls, &self.layout, reply);
                }
            }
        }
    }

    fn on_shared_lease(&mut self, reply: Reply) {
        let lease = if let Reply::Grant(reply) = reply {
            let ttl = Duration::from_secs(u64::try_from(reply.ttl_secs).unwrap_or(0));
            let why = Why::Renewal(None, reply.lease);
            let keeper = Keeper::new(&self.calls, why, reply.lease, ttl);
            self.shared = Shared::Granted(reply.lease, Some(keeper));
            Ok(reply.lease)
        } else {
            self.shared = Shared::Unasked;
            Err(if let Reply::Failed(error) = reply { error } else { StoreError::StreamEnded })
        };
        for hold in self.holds.values_mut() {
            hold.on_shared(&mut self.calls, lease.clone());
        }
    }

    /// Does what a registration wishes.
    fn grant(&mut self, id: RegistrationId, wish: Option<Wish>) {
        match wish {
            Some(Wish::Over(gone)) => self.over(id, gone),
            Some(Wish::SharedLease) => match &self.shared {
                Shared::Unasked => {
                    let ttl_secs = i64::try_from(self.ttl.as_secs()).unwrap_or(i64::MAX);
                    self.shared = Shared::Asked;
                    let grant = Request::Grant(Grant { lease: None, ttl_secs });
                    self.calls.ask(Why::SharedLease, grant);
                }
                Shared::Asked => {}
                &Shared::Granted(lease, _) => {
                    if let Some(hold) = self.holds.get_mut(&id) {
                        hold.on_shared(&mut self.calls, Ok(lease));
                    }
                }
            },
            None => {}
        }
    }

    fn over(&mut self, id: RegistrationId, gone: Gone) {
        let event = RegistrationEvent::Gone(gone);
        self.calls.tell(Event::Registration { id, event });
        let Some(over) = self.holds.remove(&id) else { return };
        self.calls.drop_all(|why| match why {
            Why::Hold(of) | Why::Renewal(Some(of), _) => of == id,
            Why::Login
            | Why::SharedLease
            | Why::Renewal(None, _)
            | Why::List(_)
            | Why::Watch(_) => false,
        });
        if let Some(next) = self.holds.values_mut().find(|hold| hold.key == over.key) {
            next.follow();
        }
    }

    /// Has every registration go on until each waits for something.
    fn settle(&mut self) {
        loop {
            let ids: Vec<_> = self.holds.keys().copied().collect();
            let mut wishes = false;
            for id in ids {
                let around = Around { layout: &self.layout, run: self.run, ttl: self.ttl };
                let Some(hold) = self.holds.get_mut(&id) else { continue };
                let wish = hold.go_on(&mut self.calls, around);
                wishes |= wish.is_some();
                self.grant(id, wish);
            }
            if !wishes {
                break;
            }
        }
        if let Closing::Until(at) = self.closing
            && (self.holds.is_empty() || at <= self.calls.now())
        {
            self.closing = Closing::Closed;
            self.calls.drop_all(|_| true);
            self.calls.tell(Event::Closed { confirmed: false });
        }
    }
}

fn refused(reason: &str) -> Gone {
    Gone::Refused { reason: reason.to_owned() }
}

/// What is said to whoever wants more than to register and to read.
const NO_OPERATIONS: &str = "this client has no updates and no calls";
