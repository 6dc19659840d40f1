//! Requests on their way: what each is for, whom it goes to, and what etcd's Go client does about a
//! failure before its caller hears of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use portolan_core::Time;
use portolan_core::engine::{DirectoryId, Event, Output, RegistrationId};
use portolan_core::waist::{AttemptId, LeaseId, MemberId, Reply, Request, StoreError};

/// All requests of one client.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Calls {
    now: Time,
    members: u16,
    /// The member that is asked, until it fails.
    member: MemberId,
    /// How long an answer is waited for; `None`: for ever.
    timeout: Option<Duration>,
    login: Login,
    last: u64,
    sent: BTreeMap<AttemptId, Call>,
    /// To be sent anew, by when.
    later: BTreeMap<(Time, u64), Call>,
    /// What waits for the login.
    held: Vec<Call>,
    outputs: VecDeque<Output>,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) enum Why {
    Login,
    /// The lease of the whole process.
    SharedLease,
    /// What a registration is about.
    Hold(RegistrationId),
    /// The renewal of a lease that a registration, or the whole process, keeps.
    Renewal(Option<RegistrationId>, LeaseId),
    List(DirectoryId),
    Watch(DirectoryId),
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Call {
    why: Why,
    request: Request,
    member: MemberId,
    tries: u32,
    give_up_at: Option<Time>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
enum Login {
    /// No token, and none asked for.
    Needed,
    /// Asked for, or to be asked for after a pause.
    Underway,
    /// There is one, or none is needed.
    Done,
}

impl Calls {
    pub fn new(members: u16, authenticates: bool, timeout: Option<Duration>) -> Self {
        Self {
            now: Time::ZERO,
            members: members.max(1),
            member: MemberId(0),
            timeout,
            login: if authenticates { Login::Needed } else { Login::Done },
            last: 0,
            sent: BTreeMap::new(),
            later: BTreeMap::new(),
            held: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    pub fn now(&self) -> Time {
        self.now
    }

    pub fn set_now(&mut self, now: Time) {
        self.now = self.now.max(now);
    }

    pub fn ask(&mut self, why: Why, request: Request) {
        let member = self.member;
        self.send(Call { why, request, member, tries: 0, give_up_at: None });
    }

    /// Tells the application.
    pub fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Whether anything is under way for that.
    pub fn has(&self, why: Why) -> bool {
        let mut calls = self.sent.values().chain(self.later.values()).chain(&self.held);
        calls.any(|call| call.why == why)
    }

    /// Stops whatever is under way for that.
    pub fn drop_all(&mut self, is_theirs: impl Fn(Why) -> bool) {
        let sent = std::mem::take(&mut self.sent);
        for (attempt, call) in sent {
            if is_theirs(call.why) {
                self.outputs.push_back(Output::Cancel { attempt });
            } else {
                self.sent.insert(attempt, call);
            }
        }
        self.later.retain(|_, call| !is_theirs(call.why));
        self.held.retain(|call| !is_theirs(call.why));
    }

    /// What an answer is for, and says; `None` where nobody has to hear of it (yet).
    pub fn answered(&mut self, attempt: AttemptId, reply: Reply) -> Option<(Why, Reply)> {
        let call = self.sent.get(&attempt)?;
        if matches!(call.request, Request::Watch(_)) && !matches!(reply, Reply::Failed(_)) {
            return Some((call.why, reply));
        }
        let call = self.sent.remove(&attempt)?;
        if call.why == Why::Login {
            self.logged_in(call, matches!(reply, Reply::Authenticated));
            return None;
        }
        let Reply::Failed(error) = reply else { return Some((call.why, reply)) };
        self.failed(call, error)
    }

    /// Sends what is due anew, and says what was given up.
    pub fn on_timer(&mut self) -> Option<(Why, Reply)> {
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let call = Call { member: self.member, ..entry.remove() };
            self.send(call);
        }
        let now = self.now;
        let (&attempt, _) =
            self.sent.iter().find(|(_, call)| call.give_up_at.is_some_and(|at| at <= now))?;
        let call = self.sent.remove(&attempt)?;
        self.outputs.push_back(Output::Cancel { attempt });
        Some((call.why, Reply::Failed(StoreError::GaveUp)))
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn next_timeout(&self) -> Option<Time> {
        let later = self.later.keys().next().map(|&(at, _)| at);
        let given_up = self.sent.values().filter_map(|call| call.give_up_at).min();
        later.into_iter().chain(given_up).min()
    }

    fn send(&mut self, mut call: Call) {
        if call.why != Why::Login && self.login != Login::Done {
            self.held.push(call);
            if self.login == Login::Needed {
                self.login = Login::Underway;
                self.ask(Why::Login, Request::Authenticate);
            }
            return;
        }
        self.last += 1;
        let attempt = AttemptId(self.last);
        let (member, request) = (call.member, call.request.clone());
        call.tries += 1;
        let is_stream = matches!(request, Request::Watch(_));
        call.give_up_at = self.timeout.filter(|_| !is_stream).map(|timeout| self.now + timeout);
        self.sent.insert(attempt, call);
        self.outputs.push_back(Output::Send { attempt, member, request });
    }

    fn send_later(&mut self, call: Call, pause: Duration) {
        self.last += 1;
        self.later.insert((self.now + pause, self.last), call);
    }

    fn logged_in(&mut self, call: Call, done: bool) {
        if !done {
            self.leave(call.member);
            self.send_later(call, LOGIN_PAUSE);
            return;
        }
        self.login = Login::Done;
        for call in std::mem::take(&mut self.held) {
            self.send(call);
        }
    }

    fn failed(&mut self, call: Call, error: StoreError) -> Option<(Why, Reply)> {
        if error.blames_member() {
            self.leave(call.member);
        }
        let has_no_token = matches!(
            error,
            StoreError::InvalidToken | StoreError::NoToken | StoreError::OldAuthRevision
        );
        if has_no_token && self.login == Login::Done {
            self.login = Login::Needed;
        }
        // A write is repeated only if it was surely not sent (`client/v3/retry_interceptor.go`).
        let again = match call.request {
            Request::Range(_) | Request::TimeToLive(_) => error.blames_member(),
            Request::Watch(_) | Request::KeepAlive(_) => false,
            Request::Put(_)
            | Request::Delete(_)
            | Request::Txn(_)
            | Request::Compact(_)
            | Request::Grant(_)
            | Request::Revoke(_)
            | Request::Leases
            | Request::OnWatch { .. }
            | Request::Status
            | Request::Members
            | Request::Authenticate => {
                matches!(error, StoreError::Refused { .. } | StoreError::CannotConnect { .. })
            }
        };
        // Watches are opened anew by whoever has them.
        let is_watch = matches!(call.request, Request::Watch(_));
        if (again || has_no_token && !is_watch) && call.tries < MOST_TRIES {
            self.send_later(call, PAUSE);
            return None;
        }
        Some((call.why, Reply::Failed(error)))
    }

    /// Asks the next member from now on, if it was that one.
    fn leave(&mut self, member: MemberId) {
        if member == self.member {
            self.member = MemberId((member.0 + 1) % self.members);
        }
    }
}

/// How long the Go client waits before it repeats a request (`client/v3/options.go`).
const PAUSE: Duration = Duration::from_millis(25);

/// How often it sends a request at most (`client/v3/options.go`).
const MOST_TRIES: u32 = 100;

/// How long a refused login waits.
const LOGIN_PAUSE: Duration = Duration::from_secs(1);
