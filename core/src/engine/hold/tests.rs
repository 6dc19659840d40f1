//! The holds, driven through the engine by a store that is played by hand.

mod batches;
mod epochs;
mod eviction;
mod laws;
mod leases;
mod lifecycle;
mod own;
mod ownership;
mod refusals;
mod removal;
mod store;
mod stray;
mod sweep;

use std::fmt::Write;
use std::time::Duration;

use crate::engine::{Command, Conflict, Engine, Input, Output, RegistrationId, Setup};
use crate::instance::{Instance, State};
use crate::layout::{Layout, Stamp};
use crate::name::{EndpointName, GroupName, InstanceId};
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{
    AttemptId, Code, GrantReply, Header, KeepAliveReply, Key, KeyEvent, KeyRange, KeyValue,
    LeaseId, Op, OpReply, PutReply, RangeReply, Reply, Request, Revision, RevokeReply, StoreError,
    TxnReply, WatchReply,
};

const TTL: u64 = 9;

/// An engine, a clock, and what was asked and told, as text. Lease ids are shown as `L1`, `L2` in
/// the order of their grants; own watches, sweeps and the audit
/// are left out unless a test asks for them.
struct Harness {
    engine: Engine,
    now: Time,
    asked: Vec<(AttemptId, Request)>,
    /// How many of them were answered, or passed over, by [`Harness::play`].
    played: usize,
    leases: Vec<LeaseId>,
    /// The newest revision that an answer told.
    revision: Revision,
    trace: String,
}

impl Harness {
    fn new() -> Self {
        Self::tuned(|_| {})
    }

    fn tuned(change: impl FnOnce(&mut Tuning)) -> Self {
        let mut tuning = Tuning {
            lease_ttl: Duration::from_secs(TTL),
            jitter_percent: 0,
            own_watches: 0,
            sweeps_per_ttl: 0,
            audit_every: Duration::from_secs(24 * 3600),
            ..Tuning::default()
        };
        change(&mut tuning);
        let layout = Layout::native("/p").expect("a root");
        let setup = Setup { layout, tuning, members: 1, authenticates: false, seed: 7 };
        Self {
            engine: Engine::new(Time::ZERO, setup),
            now: Time::ZERO,
            asked: Vec::new(),
            played: 0,
            leases: Vec::new(),
            revision: Revision(1),
            trace: String::new(),
        }
    }

    fn input(&mut self, input: Input) -> &mut Self {
        self.engine.handle(self.now, input);
        while let Some(output) = self.engine.poll_output() {
            if let Output::Send { attempt, request, .. } = &output {
                if let Request::Grant(grant) = request {
                    self.leases.extend(grant.lease);
                }
                self.asked.push((*attempt, request.clone()));
            }
            self.line('>', &output.to_string());
        }
        self
    }

    fn line(&mut self, sign: char, text: &str) {
        let mut text = text.to_owned();
        // Older ones are not named any more.
        for (place, lease) in self.leases.iter().enumerate().rev().take(8) {
            text = text.replace(&format!("{lease}"), &format!("L{}", place + 1));
        }
        writeln!(self.trace, "{} {sign} {text}", self.now).expect("a string takes it");
    }

    fn command(&mut self, command: Command) -> &mut Self {
        self.line('<', &command.to_string());
        self.input(Input::Command(command))
    }

    fn register(&mut self, id: u64, name: &str, conflict: Conflict) -> &mut Self {
        let (id, instance) = (RegistrationId(id), instance(name));
        self.command(Command::Register { id, instance, conflict })
    }

    fn deregister(&mut self, id: u64) -> &mut Self {
        self.command(Command::Deregister {
            id: RegistrationId(id),
            within: Duration::from_secs(20),
        })
    }

    fn reply(&mut self, attempt: u64, mut reply: Reply) -> &mut Self {
        if let Reply::Grant(GrantReply { header, .. })
        | Reply::KeepAlive(KeepAliveReply { header, .. }) = &mut reply
            && *header == Header::default()
        {
            header.revision = self.revision;
        } else if let Some(header) = reply.header() {
            self.revision = self.revision.max(header.revision);
        }
        self.line('<', &format!("#{attempt} {reply}"));
        self.input(Input::Reply { attempt: AttemptId(attempt), reply })
    }

    /// Time passes; every timer on the way fires at its own moment.
    fn wait(&mut self, secs: u64) -> &mut Self {
        let until = self.now + Duration::from_secs(secs);
        while let Some(due) = self.engine.poll_timeout().filter(|&due| due <= until) {
            self.now = self.now.max(due);
            self.input(Input::Tick);
        }
        self.now = until;
        self.input(Input::Tick)
    }

    /// Time passes while the process sleeps: nothing fires before its end.
    fn sleep(&mut self, secs: u64) -> &mut Self {
        self.now = self.now + Duration::from_secs(secs);
        self
    }

    /// Time passes, and each request is answered at once as `answer` says, if it says so. What
    /// was asked, and when.
    fn play(
        &mut self,
        secs: u64,
        mut answer: impl FnMut(&Request) -> Option<Reply>,
    ) -> Vec<(Time, Request)> {
        let until = self.now + Duration::from_secs(secs);
        let mut asked = Vec::new();
        loop {
            while self.played < self.asked.len() {
                let (attempt, request) = self.asked[self.played].clone();
                self.played += 1;
                let reply = answer(&request);
                asked.push((self.now, request));
                if let Some(reply) = reply {
                    self.reply(attempt.0, reply);
                }
            }
            let Some(due) = self.engine.poll_timeout().filter(|&due| due <= until) else { break };
            self.now = self.now.max(due);
            self.input(Input::Tick);
        }
        self.now = until;
        asked
    }

    fn trace(&mut self) -> String {
        std::mem::take(&mut self.trace)
    }

    /// A registration `1` named `a` that stands at revision 5 on lease `L1`.
    fn registered() -> Self {
        let mut h = Self::new();
        h.register(1, "a", Conflict::Replace);
        h.grant(1);
        h.reply(2, put(5));
        h.trace();
        h
    }

    fn grant(&mut self, attempt: u64) -> &mut Self {
        let lease = *self.leases.last().expect("a lease was asked for");
        self.reply(attempt, granted(lease))
    }
}

fn instance(name: &str) -> Instance {
    let group = GroupName::parse("web").expect("a name");
    let id = InstanceId::parse(name).expect("a name");
    Instance::builder(group, id)
        .endpoint(EndpointName::parse("http").expect("a name"), "10.0.0.1:80")
        .build()
        .expect("an instance")
}

fn header(revision: i64) -> Header {
    Header { revision: Revision(revision), ..Header::default() }
}

/// At the present revision, as all answers about leases here.
fn granted(lease: LeaseId) -> Reply {
    Reply::Grant(GrantReply { header: Header::default(), lease, ttl_secs: TTL as i64 })
}

fn kept(lease: LeaseId, ttl_secs: i64) -> Reply {
    Reply::KeepAlive(KeepAliveReply { header: Header::default(), lease, ttl_secs })
}

fn put(revision: i64) -> Reply {
    let put = OpReply::Put(PutReply::default());
    Reply::Txn(TxnReply { header: header(revision), succeeded: true, responses: vec![put] })
}

fn deleted(revision: i64) -> Reply {
    let deleted = OpReply::Delete(crate::waist::DeleteReply { deleted: 1, ..Default::default() });
    Reply::Txn(TxnReply { header: header(revision), succeeded: true, responses: vec![deleted] })
}

fn found(revision: i64, kv: Option<KeyValue>) -> Reply {
    let kvs: Vec<_> = kv.into_iter().collect();
    let range = RangeReply { count: kvs.len() as i64, kvs, ..Default::default() };
    let responses = vec![OpReply::Range(range)];
    Reply::Txn(TxnReply { header: header(revision), succeeded: false, responses })
}

fn read(revision: i64, kv: Option<KeyValue>) -> Reply {
    let kvs: Vec<_> = kv.into_iter().collect();
    let count = kvs.len() as i64;
    Reply::Range(RangeReply { header: header(revision), kvs, count, more: false })
}

fn record(created: i64, modified: i64, lease: Option<LeaseId>) -> KeyValue {
    KeyValue {
        key: Key::from("/p/instances/web/a"),
        create_revision: Revision(created),
        mod_revision: Revision(modified),
        version: 1,
        value: b"{}".as_slice().into(),
        lease,
    }
}

/// What registration 1 of the harness writes for `a`.
fn own(h: &Harness, created: i64, modified: i64, lease: LeaseId) -> KeyValue {
    let stamp = Stamp { run: h.engine.run(), registration: 1, sequence: 1 };
    let layout = Layout::native("/p").expect("a root");
    let written = layout.encode_instance(&instance("a"), stamp).expect("it encodes").remove(0);
    KeyValue { value: written.value, ..record(created, modified, Some(lease)) }
}

fn stranger() -> LeaseId {
    LeaseId::new(0x999).expect("not 0")
}

fn gave_up() -> Reply {
    Reply::Failed(StoreError::ConnectionLost { detail: "reset".to_owned() })
}

fn kept_at(lease: LeaseId, header: Header) -> Reply {
    Reply::KeepAlive(KeepAliveReply { header, lease, ttl_secs: TTL as i64 })
}

fn created(revision: i64) -> Reply {
    let header = header(revision);
    Reply::Watch(WatchReply { header, watch_id: 1, created: true, ..WatchReply::default() })
}

/// From the `next` request on all are answered at once, until `end`; those for which `answer` has
/// none never are.
fn play(
    h: &mut Harness,
    mut next: usize,
    end: Time,
    mut answer: impl FnMut(&Request) -> Option<Reply>,
) {
    loop {
        while let Some((attempt, request)) = h.asked.get(next).cloned() {
            next += 1;
            if let Some(reply) = answer(&request) {
                h.reply(attempt.0, reply);
            }
        }
        let Some(due) = h.engine.poll_timeout().filter(|&due| due <= end) else { return };
        h.now = h.now.max(due);
        h.input(Input::Tick);
    }
}
