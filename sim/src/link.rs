//! The wire: a link between each process and each member, with one connection at a time.
//!
//! A connection delivers or breaks. What is written to it while its link is cut waits, and goes on
//! when the link heals. If that takes too long, the client takes the connection for dead: unanswered
//! calls and streams fail, and the next request makes a new connection. What the old one still holds
//! may arrive all the same, long after its client has moved on.
//!
//! ```text
//! (none) ──request──▶ Connected ──silent for D, reset, crash──▶ Broken ──nothing left──▶ (gone)
//!                          └── link cut when made: not established, its requests surely not done
//! ```
//!
//! Each attempt is a stream of its own within its connection: its messages stay in order, but
//! attempts overtake each other.

mod faults;
mod parcel;
mod show;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use portolan_core::Time;
use portolan_core::waist::{AttemptId, MemberId, Reply, Request, StoreError};
use portolan_memory::{ClientId, Credentials, Identity, Input, Pass, Token, reply_size};

use crate::chance::{Chance, Purpose};
use crate::plan::{Cut, Kind, Way, WireSetup};
use crate::queue::{Happening, Queue};
use crate::trace::{Run, What};
use parcel::{Flows, Parcel, SetOut, flow, pop};
pub use show::{Carried, LinkView, Travelling};

/// All links and connections.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Wire {
    setup: WireSetup,
    chance: Chance,
    links: BTreeMap<(u16, MemberId), Link>,
    connections: BTreeMap<ClientId, Connection>,
    /// Who each process is to the store.
    identities: BTreeMap<Run, Identity>,
    /// Which connection carries an attempt that its engine still waits for.
    routes: BTreeMap<(Run, AttemptId), ClientId>,
    last_client: u32,
    last_silence: u64,
    /// The members that are held, and so silent: the numbers of those silences.
    held: BTreeMap<MemberId, u64>,
    notes: Vec<What>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
struct Link {
    /// The present connection.
    client: Option<ClientId>,
    cut_up: bool,
    cut_down: bool,
    /// The number of the present cut.
    silence: u64,
    extra: Duration,
    losing: Vec<Losing>,
    /// Messages so far: the address of the next draw.
    messages: u64,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Losing {
    way: Way,
    of: Option<Kind>,
    count: u32,
    told: bool,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Connection {
    run: Run,
    member: MemberId,
    /// Whether the other end has ever been reached. Until then nothing has been sent.
    established: bool,
    /// Whether its client still uses it.
    open: bool,
    /// The number of the silence in which it died for good.
    dead: Option<u64>,
    /// What its client still waits for.
    waiting: BTreeMap<AttemptId, Asked>,
    up: Flows<Up>,
    down: Flows<(Reply, Option<Token>)>,
    /// What has come to a cut: an attempt's next message.
    held: Vec<(Way, AttemptId)>,
    /// No message of a stream arrives before the one before it.
    arrivals: BTreeMap<(Way, AttemptId), Time>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
struct Asked {
    kind: Option<Kind>,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
enum Up {
    Request(AttemptId, Request, Pass),
    Cancel,
}

/// What comes to the end of its way.
pub(crate) enum Arrival {
    Store(Input),
    Process(Run, AttemptId, Reply),
}

impl Wire {
    pub fn new(setup: WireSetup, chance: Chance) -> Self {
        Self {
            setup,
            chance,
            links: BTreeMap::new(),
            connections: BTreeMap::new(),
            identities: BTreeMap::new(),
            routes: BTreeMap::new(),
            last_client: 0,
            last_silence: 0,
            held: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// What happened on the wire since the last call.
    pub fn take_notes(&mut self) -> Vec<What> {
        std::mem::take(&mut self.notes)
    }

    /// A process has begun that is somebody to the store.
    pub fn introduce(&mut self, run: Run, credentials: Credentials) {
        self.identities.insert(run, Identity::of(Some(credentials)));
    }

    /// An engine sends a request.
    pub fn send(
        &mut self,
        now: Time,
        queue: &mut Queue,
        (run, member): (Run, MemberId),
        attempt: AttemptId,
        request: Request,
    ) {
        let pass = self.identities.get(&run).map(|identity| identity.pass(&request));
        let pass = pass.unwrap_or_default();
        if let Request::OnWatch { stream, .. } = &request {
            // What is said on a stream travels in its order; if the stream is gone, nowhere.
            let stream = *stream;
            if let Some(&client) = self.routes.get(&(run, stream)) {
                self.write(now, queue, client, stream, Up::Request(attempt, request, pass));
            }
            return;
        }
        let client = self.connect(now, queue, run, member);
        self.routes.insert((run, attempt), client);
        if let Some(connection) = self.connections.get_mut(&client) {
            connection.waiting.insert(attempt, Asked { kind: kind(&request) });
        }
        self.write(now, queue, client, attempt, Up::Request(attempt, request, pass));
    }

    /// An engine stops waiting.
    pub fn cancel(&mut self, now: Time, queue: &mut Queue, run: Run, attempt: AttemptId) {
        let Some(client) = self.routes.remove(&(run, attempt)) else { return };
        let Some(connection) = self.connections.get_mut(&client) else { return };
        connection.waiting.remove(&attempt);
        if !connection.open {
            return;
        }
        let first = connection.up.get(&attempt).and_then(VecDeque::front);
        if matches!(first.map(|first| &first.what), Some(Up::Request(first, ..)) if *first == attempt)
        {
            let percent = self.setup.late_percent;
            let late = self.chance.percent(Purpose::Late, client.0.into(), attempt.0, percent);
            if !late || !connection.established {
                // It was never sent.
                connection.up.remove(&attempt);
                return;
            }
        }
        if !keeps_late(self.chance, &self.setup, client, attempt) {
            connection.down.remove(&attempt);
        }
        self.write(now, queue, client, attempt, Up::Cancel);
    }

    /// The store says something.
    pub fn answer(
        &mut self,
        now: Time,
        queue: &mut Queue,
        client: ClientId,
        attempt: AttemptId,
        (reply, token): (Reply, Option<Token>),
    ) {
        let Some(connection) = self.connections.get_mut(&client) else { return };
        if !connection.open {
            return;
        }
        let asked = connection.waiting.get(&attempt);
        if asked.is_none() && !keeps_late(self.chance, &self.setup, client, attempt) {
            return;
        }
        let is_call = asked.is_some_and(|asked| asked.kind.is_some());
        let (place, percent) = (client.0.into(), self.setup.duplicate_percent);
        let twice = is_call && self.chance.percent(Purpose::Duplicate, place, attempt.0, percent);
        let copies = if twice { 2 } else { 1 };
        for _ in 0..copies {
            self.put(now, queue, client, Way::Down, attempt);
            let connection = self.connections.get_mut(&client).expect("it was there");
            let (what, left) = ((reply.clone(), token.clone()), SetOut(now));
            flow(&mut connection.down, attempt).push_back(Parcel { what, left });
        }
    }

    /// A message has come to the end of its way, unless the way is cut.
    pub fn arrive(
        &mut self,
        now: Time,
        queue: &mut Queue,
        client: ClientId,
        way: Way,
        attempt: AttemptId,
    ) -> Option<Arrival> {
        let connection = self.connections.get_mut(&client)?;
        let link = self.links.get_mut(&(connection.run.process, connection.member))?;
        if connection.dead.is_some() {
            let there = connection.up.remove(&attempt).is_some();
            if connection.down.remove(&attempt).is_some() || there {
                self.notes.push(What::Swallowed { client, attempt });
            }
            return None;
        }
        let cut = match way {
            Way::Up => link.cut_up || !connection.established,
            Way::Down => link.cut_down,
        };
        if cut {
            connection.held.push((way, attempt));
            let cut = link.cut();
            self.notes.extend(cut.map(|cut| What::Stopped { client, attempt, way, cut }));
            return None;
        }
        let asked = connection.waiting.get(&attempt).copied();
        let lost = asked.and_then(|asked| link.loses(way, asked.kind?));
        let arrival = match way {
            Way::Up => {
                let message = pop(&mut connection.up, attempt);
                connection.forget_arrival(now, way, attempt);
                let message = message?;
                if lost.is_some() {
                    None
                } else {
                    Some(Arrival::Store(input(client, connection.member, attempt, message)))
                }
            }
            Way::Down => {
                let message = pop(&mut connection.down, attempt);
                connection.forget_arrival(now, way, attempt);
                let (reply, token) = message?;
                if lost.is_some() {
                    None
                } else {
                    if token.is_some() {
                        self.identities.entry(connection.run).or_default().hear(token);
                    }
                    Some(self.take_in(now, queue, client, attempt, reply)?)
                }
            }
        };
        let Some(told) = lost else { return arrival };
        self.notes.push(What::Lost { client, attempt, way });
        if !told {
            return None;
        }
        let error = connection_lost("the call's stream was reset");
        self.deliver(client, attempt, Reply::Failed(error))
    }

    /// Whether whoever sent an attempt has stopped waiting for it.
    pub fn is_late(&self, client: ClientId, attempt: AttemptId) -> bool {
        self.connections
            .get(&client)
            .is_none_or(|connection| !connection.open || !connection.waiting.contains_key(&attempt))
    }

    /// A connection has been silent for long: its client takes it for dead.
    pub fn detect(&mut self, now: Time, queue: &mut Queue, client: ClientId, silence: u64) {
        if self.silence_of(client) != Some(silence) {
            return;
        }
        let Some(connection) = self.connections.get(&client) else { return };
        let error = if connection.established {
            connection_lost("the connection is silent")
        } else {
            StoreError::CannotConnect { detail: "no answer".to_owned() }
        };
        self.close(now, queue, client, Some(&error));
    }

    /// The store learns that a client is gone. `None` while something of it is still on the way.
    pub fn hangup(&mut self, now: Time, queue: &mut Queue, client: ClientId) -> Option<Input> {
        let connection = self.connections.get(&client)?;
        if !connection.established {
            self.connections.remove(&client);
            return None;
        }
        if !self.has_all_arrived(connection) {
            queue.push(now + HANGUP_AGAIN, Happening::Hangup { client });
            return None;
        }
        self.connections.remove(&client);
        Some(Input::Disconnect { from: client })
    }

    fn has_all_arrived(&self, connection: &Connection) -> bool {
        let left = connection.up.values().any(|flow| !flow.is_empty());
        let link = &self.links[&(connection.run.process, connection.member)];
        connection.dead.is_some() || !(left || link.cut_up)
    }

    /// Whether anything would come of it now.
    pub fn minds(&self, happening: &Happening) -> bool {
        match happening {
            Happening::Arrive { client, .. } => self.connections.contains_key(client),
            Happening::Detect { client, silence } => self.silence_of(*client) == Some(*silence),
            Happening::Hangup { client } => self
                .connections
                .get(client)
                .is_some_and(|connection| self.has_all_arrived(connection)),
            Happening::Fail { .. } | Happening::Command { .. } => true,
        }
    }

    /// Where a message that comes to its end now could be lost alone: it is of a call that is
    /// waited for, on a way that is not cut.
    pub fn could_lose(
        &self,
        client: ClientId,
        way: Way,
        attempt: AttemptId,
    ) -> Option<(u16, MemberId)> {
        let connection = self.connections.get(&client)?;
        connection.waiting.get(&attempt)?.kind?;
        let end = (connection.run.process, connection.member);
        let link = &self.links[&end];
        let cut = match way {
            Way::Up => link.cut_up || !connection.established,
            Way::Down => link.cut_down,
        };
        (!cut && connection.dead.is_none()).then_some(end)
    }

    fn connect(&mut self, now: Time, queue: &mut Queue, run: Run, member: MemberId) -> ClientId {
        let end = (run.process, member);
        let link = self.links.entry(end).or_default();
        if let Some(client) = link.client {
            return client;
        }
        self.last_client += 1;
        let client = ClientId(self.last_client);
        link.client = Some(client);
        let connection = Connection {
            run,
            member,
            established: !link.cut_up && !link.cut_down,
            open: true,
            dead: None,
            waiting: BTreeMap::new(),
            up: BTreeMap::new(),
            down: BTreeMap::new(),
            held: Vec::new(),
            arrivals: BTreeMap::new(),
        };
        self.connections.insert(client, connection);
        self.notes.push(What::Connected { run, member, client });
        self.expect_silence(now, queue, end);
        client
    }

    /// Ends a connection for its client, which is told why unless it is gone itself.
    fn close(&mut self, now: Time, queue: &mut Queue, client: ClientId, why: Option<&StoreError>) {
        let Some(connection) = self.connections.get_mut(&client) else { return };
        if !connection.open {
            return;
        }
        connection.open = false;
        let (run, member) = (connection.run, connection.member);
        let waiting: Vec<_> = std::mem::take(&mut connection.waiting).into_keys().collect();
        let linger = connection.established
            && connection.dead.is_none()
            && self.chance.percent(Purpose::Linger, client.0.into(), 0, self.setup.linger_percent);
        if !linger {
            connection.up.clear();
        }
        connection.down.clear();
        connection.held.retain(|&(way, _)| way == Way::Up);
        if let Some(link) = self.links.get_mut(&(run.process, member)) {
            link.client = None;
        }
        for &attempt in &waiting {
            self.routes.remove(&(run, attempt));
        }
        queue.push(now + HANGUP_AGAIN, Happening::Hangup { client });
        if let Some(error) = why {
            self.notes.push(What::Broke { run, client });
            for attempt in waiting {
                let reply = Box::new(Reply::Failed(error.clone()));
                queue.push(now, Happening::Fail { run, attempt, reply });
            }
        }
    }

    /// Delivers what is not too large for its client. A stream that brings such an answer is ended.
    fn take_in(
        &mut self,
        now: Time,
        queue: &mut Queue,
        client: ClientId,
        attempt: AttemptId,
        reply: Reply,
    ) -> Option<Arrival> {
        let (size, limit) = (reply_size(&reply), self.setup.decode_bytes);
        let connection = self.connections.get_mut(&client)?;
        if size <= limit || !connection.waiting.contains_key(&attempt) {
            return self.deliver(client, attempt, reply);
        }
        if let Reply::Watch(_) = reply {
            connection.down.remove(&attempt);
            self.write(now, queue, client, attempt, Up::Cancel);
        }
        let error = StoreError::AnswerTooLarge { size, limit };
        self.deliver(client, attempt, Reply::Failed(error))
    }

    fn deliver(&mut self, client: ClientId, attempt: AttemptId, reply: Reply) -> Option<Arrival> {
        let connection = self.connections.get_mut(&client)?;
        let run = connection.run;
        let over = match connection.waiting.get(&attempt) {
            Some(asked) => asked.kind.is_some() || matches!(reply, Reply::Failed(_)),
            None => false,
        };
        if over {
            connection.waiting.remove(&attempt);
            self.routes.remove(&(run, attempt));
        }
        Some(Arrival::Process(run, attempt, reply))
    }

    fn write(
        &mut self,
        now: Time,
        queue: &mut Queue,
        client: ClientId,
        attempt: AttemptId,
        message: Up,
    ) {
        if let Some(connection) = self.connections.get_mut(&client) {
            flow(&mut connection.up, attempt)
                .push_back(Parcel { what: message, left: SetOut(now) });
            self.put(now, queue, client, Way::Up, attempt);
        }
    }

    /// Lets an attempt's next message arrive after a while.
    fn put(
        &mut self,
        now: Time,
        queue: &mut Queue,
        client: ClientId,
        way: Way,
        attempt: AttemptId,
    ) {
        let Some(connection) = self.connections.get_mut(&client) else { return };
        let end = (connection.run.process, connection.member);
        let link = self.links.entry(end).or_default();
        link.messages += 1;
        let place = u64::from(end.0) << 16 | u64::from(end.1.0);
        let travel = self.chance.micros(Purpose::Delay, place, link.messages, self.setup.delay_us);
        let drawn = now + travel + link.extra;
        if link.extra > Duration::ZERO {
            self.notes.push(What::Delayed { client, attempt, way, by: link.extra });
        }
        let earliest = connection.arrivals.entry((way, attempt)).or_insert(drawn);
        *earliest = drawn.max(*earliest);
        queue.push(*earliest, Happening::Arrive { client, way, attempt });
    }

    /// Whoever is connected over a link that is silent will notice, if it stays so.
    fn expect_silence(&self, now: Time, queue: &mut Queue, end: (u16, MemberId)) {
        let Some(client) = self.links.get(&end).and_then(|link| link.client) else { return };
        if let Some(silence) = self.silence_of(client) {
            let at = now + Duration::from_millis(self.setup.detect_ms);
            queue.push(at, Happening::Detect { client, silence });
        }
    }

    /// The number of the silence that a connection is in.
    fn silence_of(&self, client: ClientId) -> Option<u64> {
        let connection = self.connections.get(&client).filter(|connection| connection.open)?;
        let link = &self.links[&(connection.run.process, connection.member)];
        let cut = (link.cut_up || link.cut_down).then_some(link.silence);
        connection.dead.or(cut).or(self.held.get(&connection.member).copied())
    }

    fn clients_of(&self, run: Run) -> Vec<ClientId> {
        let theirs = |(_, connection): &(&ClientId, &Connection)| connection.run == run;
        self.connections.iter().filter(theirs).map(|(&client, _)| client).collect()
    }

    fn next_silence(&mut self) -> u64 {
        self.last_silence += 1;
        self.last_silence
    }
}

impl Connection {
    /// What has waited at a cut sets out again.
    fn goes_on(&mut self, now: Time, way: Way, attempt: AttemptId) {
        let (up, down) = (self.up.get_mut(&attempt), self.down.get_mut(&attempt));
        match way {
            Way::Up => up.into_iter().flatten().for_each(|parcel| parcel.left = SetOut(now)),
            Way::Down => down.into_iter().flatten().for_each(|parcel| parcel.left = SetOut(now)),
        }
    }

    /// Once the last of an attempt's messages has arrived, a later one need not be held back for it.
    fn forget_arrival(&mut self, now: Time, way: Way, attempt: AttemptId) {
        let on_its_way = match way {
            Way::Up => self.up.contains_key(&attempt),
            Way::Down => self.down.contains_key(&attempt),
        };
        if !on_its_way && self.arrivals.get(&(way, attempt)).is_some_and(|&last| last <= now) {
            self.arrivals.remove(&(way, attempt));
        }
    }
}

impl Link {
    fn cut(&self) -> Option<Cut> {
        match (self.cut_up, self.cut_down) {
            (true, true) => Some(Cut::Both),
            (true, false) => Some(Cut::Up),
            (false, true) => Some(Cut::Down),
            (false, false) => None,
        }
    }

    /// Whether a call of that kind is lost; if so, whether its caller is told.
    fn loses(&mut self, way: Way, kind: Kind) -> Option<bool> {
        let fits = |losing: &&mut Losing| {
            losing.way == way && losing.count > 0 && losing.of.is_none_or(|of| of == kind)
        };
        let losing = self.losing.iter_mut().find(fits)?;
        losing.count -= 1;
        let told = losing.told;
        self.losing.retain(|losing| losing.count > 0);
        Some(told)
    }
}

fn input(client: ClientId, member: MemberId, attempt: AttemptId, message: Up) -> Input {
    match message {
        Up::Request(attempt, request, pass) => {
            Input::Request { from: client, attempt, member, request, pass }
        }
        Up::Cancel => Input::Cancel { from: client, attempt },
    }
}

/// Of which kind a call is; `None` for streams, which are never lost alone.
fn kind(request: &Request) -> Option<Kind> {
    Some(match request {
        Request::Range(_) => Kind::Range,
        Request::Put(_) => Kind::Put,
        Request::Delete(_) => Kind::Delete,
        Request::Txn(_) => Kind::Txn,
        Request::Grant(_) => Kind::Grant,
        Request::Revoke(_) => Kind::Revoke,
        Request::KeepAlive(_) => Kind::KeepAlive,
        Request::Compact(_)
        | Request::TimeToLive(_)
        | Request::Leases
        | Request::Status
        | Request::Members
        | Request::Authenticate => Kind::Other,
        Request::Watch(_) | Request::OnWatch { .. } => return None,
    })
}

/// Whether the answer to an attempt that was given up is delivered all the same.
fn keeps_late(chance: Chance, setup: &WireSetup, client: ClientId, attempt: AttemptId) -> bool {
    let percent = setup.late_answer_percent;
    chance.percent(Purpose::LateAnswer, client.0.into(), attempt.0, percent)
}

fn connection_lost(detail: &str) -> StoreError {
    StoreError::ConnectionLost { detail: detail.to_owned() }
}

/// How often the store looks again whether all of a broken connection has arrived.
const HANGUP_AGAIN: Duration = Duration::from_millis(50);
