//! What a broken engine's surroundings remember, so that they can say old things again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use portolan_core::engine::{
    Command, DirectoryId, Event, FollowId, Input, OpId, Output, RegistrationId, Step,
};
use portolan_core::instance::{GroupConfig, Stamp};
use portolan_core::layout::Layout;
use portolan_core::name::GroupName;
use portolan_core::waist::{
    AttemptId, Compare, Key, KeyRange, LeaseId, MemberId, Op, Put, Request, Revision, Txn, WatchSay,
};

use crate::check::ops;

/// What has passed so far, in and out.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Memory {
    pub layout: Layout,
    /// All that the engine has asked.
    pub asked: BTreeMap<AttemptId, Request>,
    /// The newest revision in any answer's header.
    pub newest: Revision,
    /// How often a watch of these keys was opened.
    pub opened: BTreeMap<KeyRange, u32>,
    /// The streams of which the first answer was swallowed.
    pub swallowed: BTreeSet<AttemptId>,
    /// The keys that each directory shows.
    pub shown: BTreeMap<DirectoryId, Vec<KeyRange>>,
    /// What each directory told before the present output.
    pub steps: BTreeMap<DirectoryId, Step>,
    /// How often each directory has said something.
    pub said: BTreeMap<DirectoryId, u32>,
    /// Whether what is heard now is that a watch's start was compacted.
    pub compacted: bool,
    /// What was put first, by key, registration and content.
    pub puts: BTreeMap<(Key, RegistrationId, u64), Put>,
    /// Whether a record was ever lost.
    pub lost: bool,
    /// What each call asks.
    pub calls: BTreeMap<OpId, Request>,
    /// The group of each update.
    pub updates: BTreeMap<OpId, GroupName>,
    /// What was first shown of each group's configuration.
    pub bases: BTreeMap<GroupName, Option<GroupConfig>>,
    /// The operations of updates that were attempted.
    pub operations: BTreeSet<u64>,
    /// How often each follower was told something.
    pub followed: BTreeMap<FollowId, u32>,
    /// The first lease that was asked for.
    pub first_lease: Option<LeaseId>,
    /// The one that was asked for last.
    pub last_lease: Option<LeaseId>,
    /// Whether a shutdown was wanted.
    pub closing: bool,
    /// What the engine is to hear besides.
    answers: VecDeque<Input>,
    /// What is to be said besides.
    extra: VecDeque<Output>,
    member: MemberId,
    attempts: u64,
}

impl Memory {
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            asked: BTreeMap::new(),
            newest: Revision::ZERO,
            opened: BTreeMap::new(),
            swallowed: BTreeSet::new(),
            shown: BTreeMap::new(),
            steps: BTreeMap::new(),
            said: BTreeMap::new(),
            compacted: false,
            puts: BTreeMap::new(),
            lost: false,
            calls: BTreeMap::new(),
            updates: BTreeMap::new(),
            bases: BTreeMap::new(),
            operations: BTreeSet::new(),
            followed: BTreeMap::new(),
            first_lease: None,
            last_lease: None,
            closing: false,
            answers: VecDeque::new(),
            extra: VecDeque::new(),
            member: MemberId(0),
            attempts: 0,
        }
    }

    pub fn hear(&mut self, input: &Input) {
        self.compacted = false;
        match input {
            Input::Reply { reply, .. } => {
                let revision = reply.header().map_or(Revision::ZERO, |header| header.revision);
                self.newest = self.newest.max(revision);
            }
            Input::Command(Command::Open { id, scope }) => {
                self.shown.insert(*id, self.layout.ranges(scope));
            }
            Input::Command(Command::Shutdown { .. }) => self.closing = true,
            Input::Command(Command::Call { id, request, .. }) => {
                self.calls.insert(*id, request.clone());
            }
            Input::Command(Command::Update { id, group, .. }) => {
                self.updates.insert(*id, group.clone());
            }
            Input::Command(_) | Input::Tick => {}
        }
    }

    /// The engine has told something.
    pub fn told(&mut self, output: Output) {
        if let Output::Event(Event::Stepped { id, step }) = output {
            self.steps.insert(id, step);
        }
    }

    /// The engine asks something.
    pub fn sent(&mut self, output: &Output) {
        let Output::Send { attempt, member, request } = output else { return };
        self.member = *member;
        self.asked.insert(*attempt, request.clone());
        if let Request::Watch(watch) | Request::OnWatch { say: WatchSay::Create(watch), .. } =
            request
        {
            *self.opened.entry(watch.keys.clone()).or_default() += 1;
        }
        if let Request::Grant(grant) = request {
            self.last_lease = grant.lease;
            self.first_lease = self.first_lease.or(grant.lease);
        }
        for put in ops::writes(request).into_iter().filter_map(|write| write.put) {
            if let Some(Stamp { registration, sequence, .. }) =
                self.layout.stamp_of(&put.key, &put.value)
            {
                let place = (put.key.clone(), RegistrationId(registration), sequence);
                self.puts.entry(place).or_insert_with(|| put.clone());
            }
        }
    }

    /// A request that the engine has not asked for.
    pub fn send(&mut self, request: Request) -> Output {
        self.attempts += 1;
        let attempt = AttemptId(OWN_ATTEMPTS + self.attempts);
        Output::Send { attempt, member: self.member, request }
    }

    /// Whether a request is a call's.
    pub fn is_of_call(&self, request: &Request) -> bool {
        self.calls.values().any(|called| called == request)
    }

    /// Has the engine hear something more.
    pub fn answer(&mut self, input: Input) {
        self.answers.push_back(input);
    }

    pub fn next_answer(&mut self) -> Option<Input> {
        self.answers.pop_front()
    }

    /// Says something more, before the engine says anything.
    pub fn say_more(&mut self, output: Output) {
        self.extra.push_back(output);
    }

    pub fn next_extra(&mut self) -> Option<Output> {
        self.extra.pop_front()
    }
}

/// A put under a guard, as the engine's own are.
pub(super) fn guarded(put: Put, guard: Revision) -> Request {
    Request::Txn(Txn {
        compares: vec![Compare::mod_revision(put.key.clone(), guard)],
        then: vec![Op::Put(put)],
        or_else: Vec::new(),
    })
}

/// Attempts of the surroundings are numbered from here; no engine comes so far.
const OWN_ATTEMPTS: u64 = 1 << 48;
