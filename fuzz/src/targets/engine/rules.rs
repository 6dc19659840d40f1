//! What holds whatever the store says.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use portolan_core::Time;
use portolan_core::engine::{
    Change, Command, DirectoryId, Engine, Event, FollowId, FollowSeq, Followed, OpId, Record,
    RegistrationEvent, RegistrationId, Setup, Snapshot,
};
use portolan_core::tuning::Tuning;
use portolan_core::waist::{AttemptId, Key, Request, Revision};

/// Bytes that the engine's own requests may hold, beside what the application has begun.
const OWN_BYTES: usize = 8 << 20;

pub(super) struct Rules {
    tuning: Tuning,
    members: usize,
    /// When what is under way was sent; streams and what is said on them are never answered as a whole.
    under_way: BTreeMap<AttemptId, Time>,
    /// When what the application has begun must have ended.
    operations: BTreeMap<OpId, Time>,
    leaving: BTreeMap<RegistrationId, Time>,
    registrations: BTreeSet<RegistrationId>,
    gone: BTreeSet<RegistrationId>,
    directories: BTreeMap<DirectoryId, BTreeMap<Key, Arc<Record>>>,
    windows: BTreeMap<FollowId, VecDeque<(FollowSeq, Vec<Revision>)>>,
    closing: Option<Time>,
    is_closed: bool,
    /// At one moment: what was answered by no store, and how often it was sent again.
    moment: Time,
    failed: HashMap<Request, usize>,
}

impl Rules {
    pub fn new(setup: &Setup) -> Self {
        Self {
            tuning: setup.tuning.clone(),
            members: setup.members.into(),
            under_way: BTreeMap::new(),
            operations: BTreeMap::new(),
            leaving: BTreeMap::new(),
            registrations: BTreeSet::new(),
            gone: BTreeSet::new(),
            directories: BTreeMap::new(),
            windows: BTreeMap::new(),
            closing: None,
            is_closed: false,
            moment: Time::ZERO,
            failed: HashMap::new(),
        }
    }

    /// The application wants something.
    pub fn asked(&mut self, now: Time, command: &Command) {
        match command {
            Command::Register { id, .. } => drop(self.registrations.insert(*id)),
            // Of two the earlier end counts; after a shutdown it is refused, as all is.
            Command::Deregister { id, within } => {
                let is_there = self.registrations.contains(id) && !self.gone.contains(id);
                if is_there && self.closing.is_none() {
                    let end = self.leaving.entry(*id).or_insert(now + *within);
                    *end = (*end).min(now + *within);
                }
            }
            Command::Open { id, .. } => drop(self.directories.insert(*id, BTreeMap::new())),
            Command::Close { id } => drop(self.directories.remove(id)),
            Command::Follow { id, .. } => drop(self.windows.insert(*id, VecDeque::new())),
            Command::Unfollow { id } => drop(self.windows.remove(id)),
            Command::Acknowledge { id, seq } => {
                let window = self.windows.entry(*id).or_default();
                window.retain(|(told, _)| told > seq);
            }
            Command::Update { id, within, .. } | Command::Call { id, within, .. } => {
                self.operations.insert(*id, now + *within);
            }
            Command::Abandon { id } => drop(self.operations.remove(id)),
            Command::Shutdown { within } => {
                self.closing.get_or_insert(now + *within);
            }
            Command::Publish { .. } | Command::Refused { .. } | Command::Proposed { .. } => {}
        }
    }

    /// EF1: what did not work is not sent again and again at the same moment. What the many share
    /// comes in a burst; of the others each has a member to try, and one more.
    pub fn sent(&mut self, now: Time, attempt: AttemptId, request: &Request) {
        assert!(!self.is_closed, "sent after it had closed: {request:?}");
        if !matches!(request, Request::Watch(_) | Request::OnWatch { .. }) {
            self.under_way.insert(attempt, now);
        }
        self.come_to(now);
        if let Some(times) = self.failed.get_mut(request) {
            *times += 1;
            let holders = self.registrations.len() + self.directories.len() + self.windows.len();
            let burst = usize::try_from(self.tuning.retry_burst).unwrap_or(usize::MAX);
            let most = burst + (self.members + 1) * (holders + 2);
            assert!(*times <= most, "EF1: sent {times} times at {now}: {request:?}");
        }
    }

    /// An attempt that is under way was answered.
    pub fn heard(&mut self, request: &Request, is_true: bool) {
        if !is_true {
            self.failed.entry(request.clone()).or_default();
        }
    }

    /// Nobody waits for it any more.
    pub fn ended_attempt(&mut self, attempt: AttemptId) {
        self.under_way.remove(&attempt);
    }

    /// The application is told something.
    pub fn told(&mut self, event: Event) {
        assert!(!self.is_closed || is_refusal(&event), "told after it had closed: {event:?}");
        match event {
            Event::Registration { id, event } => {
                assert!(!self.gone.contains(&id), "{id:?} is gone, and is told {event:?}");
                if matches!(event, RegistrationEvent::Gone(_)) {
                    self.gone.insert(id);
                    self.leaving.remove(&id);
                }
            }
            Event::Stepped { id, step } => {
                let shown = self.directories.get_mut(&id).expect("an open directory");
                for change in step.changes {
                    apply(shown, change);
                }
                same(shown, &step.snapshot);
            }
            Event::Freshness { id, snapshot } | Event::Guard { id, snapshot, .. } => {
                same(self.directories.get(&id).expect("an open directory"), &snapshot);
            }
            Event::Followed { id, seq, what } => {
                let revisions = match what {
                    Followed::Changes { events } => {
                        events.iter().map(|event| event.kv.mod_revision).collect()
                    }
                    Followed::Listed { records, .. } => {
                        records.iter().map(|record| record.mod_revision).collect()
                    }
                    Followed::Begun { .. } | Followed::Lagged { .. } | Followed::Gap { .. } => {
                        Vec::new()
                    }
                };
                self.windows.get_mut(&id).expect("a follower").push_back((seq, revisions));
                self.window_holds(id);
            }
            Event::Updated { id, .. } | Event::Called { id, .. } => {
                assert!(self.operations.remove(&id).is_some(), "{id:?} ends, and had not begun");
            }
            Event::Propose { id, .. } => {
                assert!(self.operations.contains_key(&id), "{id:?} asks, and has ended");
            }
            Event::Closed { .. } => {
                self.is_closed = true;
                self.leaving.clear();
            }
        }
    }

    /// After each input, when all was taken that it had to say.
    pub fn look(&mut self, now: Time, engine: &Engine) {
        self.come_to(now);
        let due = engine.poll_timeout();
        assert!(due.is_none_or(|due| due > now), "a timer of {due:?} stays due at {now}");
        let most = usize::try_from(self.tuning.max_in_flight).unwrap_or(usize::MAX);
        assert!(self.operations.len() <= most, "{} operations at once", self.operations.len());
        let bytes = usize::try_from(self.tuning.max_in_flight_bytes).unwrap_or(usize::MAX);
        assert!(engine.bytes_in_flight() <= bytes.saturating_add(OWN_BYTES));
        if self.is_closed {
            return;
        }
        // Every waiting state has a deadline.
        let longest = self.tuning.attempt_timeout.max(self.tuning.probe_timeout);
        for (attempt, &since) in &self.under_way {
            assert!(now < since + longest, "{attempt} is under way since {since}, at {now}");
        }
        for (id, &end) in &self.operations {
            assert!(now < end, "{id:?} was to end at {end}, at {now}");
        }
        for (id, &end) in &self.leaving {
            assert!(now < end, "{id:?} was to be gone at {end}, at {now}");
        }
        if let Some(end) = self.closing {
            assert!(now < end, "it was to close at {end}, at {now}");
        }
        let ends = self.operations.values().chain(self.leaving.values()).chain(&self.closing);
        let waits = !self.under_way.is_empty() || ends.clone().next().is_some();
        assert!(!waits || due.is_some(), "it waits, and for no time");
        if let (Some(due), Some(&end)) = (due, ends.min()) {
            assert!(due <= end, "the next timer is due at {due}, and something is to end at {end}");
        }
    }

    /// At the very end, if it is one: it may have been told before to close later.
    pub fn ended(&self, now: Time) {
        if !self.is_closed && self.closing.is_some_and(|end| end > now) {
            return;
        }
        assert!(self.is_closed, "it was told to close");
        let open: Vec<_> = self.registrations.difference(&self.gone).collect();
        assert!(open.is_empty(), "it is closed, and {open:?} were not told");
        assert!(self.operations.is_empty(), "it is closed, and {:?} go on", self.operations);
    }

    fn come_to(&mut self, now: Time) {
        if self.moment != now {
            self.moment = now;
            self.failed.clear();
        }
    }

    /// A window holds no more than it may, but for what cannot be divided: a revision, or a record.
    fn window_holds(&self, id: FollowId) {
        let revisions: Vec<_> = self.windows[&id].iter().flat_map(|(_, them)| them).collect();
        let most = usize::try_from(self.tuning.follow_events).unwrap_or(usize::MAX);
        let is_one = revisions.windows(2).all(|pair| pair[0] == pair[1]);
        let count = revisions.len();
        assert!(count <= most || is_one, "{id:?} has {count} untaken; {most} are allowed");
    }
}

/// What is asked of an engine that has closed is refused.
fn is_refusal(event: &Event) -> bool {
    matches!(event, Event::Registration { event: RegistrationEvent::Gone(_), .. })
        || matches!(event, Event::Updated { .. } | Event::Called { .. } | Event::Closed { .. })
}

fn apply(shown: &mut BTreeMap<Key, Arc<Record>>, change: Change) {
    match change {
        Change::Added { key, record } => {
            let before = shown.insert(key.clone(), record);
            assert!(before.is_none(), "{key} is added, and was there");
        }
        Change::Updated { key, before, record } => {
            let was = shown.insert(key.clone(), record);
            assert_eq!(was, Some(before), "{key} changed");
        }
        Change::Removed { key, before } => {
            assert_eq!(shown.remove(&key), Some(before), "{key} is removed");
        }
    }
}

fn same(told: &BTreeMap<Key, Arc<Record>>, snapshot: &Snapshot) {
    let is_same = told.iter().eq(snapshot.records.iter());
    assert!(is_same, "the changes told lead to {told:?}, the snapshot is {snapshot:?}");
}
