//! The holds, driven through the engine by a store that is played by hand.

mod laws;

use std::fmt::Write;
use std::time::Duration;

use insta::assert_snapshot;

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
/// the order of their grants; own watches are left out unless a test asks for them.
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

#[test]
fn registers_renews_and_removes() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).wait(3);
    let lease = h.leases[0];
    h.reply(3, kept(lease, TTL as i64)).deregister(1).reply(4, put(6)).reply(5, deleted(7));
    h.reply(6, Reply::Revoke(RevokeReply { header: header(7) }));
    assert_snapshot!(h.trace(), @"
    0.000s < register 1 web/a ready Replace
    0.000s > #1 m0 grant lease=L1 ttl=9s
    0.000s < #1 granted lease=L1 ttl=9s
    0.000s > #2 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    0.000s < #2 then put @5
    0.000s > registration 1 registered @5 lease=L1 sequence=1
    3.000s > #3 m0 keepalive lease=L1
    3.000s < #3 kept alive lease=L1 ttl=9s
    3.000s < deregister 1 within 20s
    3.000s > #4 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    3.000s < #4 then put @6
    3.000s > #5 m0 txn if mod(/p/instances/web/a)=6 then delete /p/instances/web/a else range /p/instances/web/a
    3.000s > #6 m0 revoke lease=L1
    3.000s < #5 then deleted 1 @7
    3.000s > registration 1 gone: deregistered
    3.000s < #6 revoked @7
    ");
    assert_eq!(h.engine.poll_timeout(), None, "nothing is left to wait for");
}

#[test]
fn a_lease_that_the_store_lost_is_granted_anew_under_another_id() {
    let mut h = Harness::registered();
    h.wait(3);
    let lease = h.leases[0];
    h.reply(3, kept(lease, 0)).grant(4).reply(5, put(9));
    assert_snapshot!(h.trace(), @"
    3.000s > #3 m0 keepalive lease=L1
    3.000s < #3 kept alive lease=L1 ttl=0s
    3.000s > registration 1 lost LeaseLost
    3.000s > #4 m0 grant lease=L2 ttl=9s
    3.000s < #4 granted lease=L2 ttl=9s
    3.000s > #5 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L2 else range /p/instances/web/a
    3.000s < #5 then put @9
    3.000s > registration 1 registered @9 lease=L2 sequence=1
    ");
}

#[test]
fn a_lease_counts_from_when_it_was_asked_for() {
    let mut h = Harness::registered();
    h.wait(TTL + 1);
    assert_snapshot!(h.trace(), @"
    3.000s > #3 m0 keepalive lease=L1
    6.000s > #3 cancel
    6.000s > m0 redial
    6.100s > #4 m0 keepalive lease=L1
    8.910s > #4 cancel
    8.910s > registration 1 lost LeaseLost
    8.910s > #5 m0 grant lease=L2 ttl=9s
    ");
}

#[test]
fn a_process_that_slept_says_lost_first() {
    let mut h = Harness::registered();
    h.sleep(TTL + 1).input(Input::Tick);
    let trace = h.trace();
    let first = trace.lines().next().expect("something was said");
    assert!(first.ends_with("registration 1 lost LeaseLost"), "{trace}");
    assert!(!trace.contains("keepalive"), "{trace}");
}

#[test]
fn an_unanswered_grant_is_never_used() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace);
    let first = h.leases[0];
    h.wait(4).reply(1, granted(first)).grant(2).reply(3, put(5));
    assert_snapshot!(h.trace(), @"
    0.000s < register 1 web/a ready Replace
    0.000s > #1 m0 grant lease=L1 ttl=9s
    3.000s > #1 cancel
    3.000s > m0 redial
    3.100s > #2 m0 grant lease=L2 ttl=9s
    4.000s < #1 granted lease=L1 ttl=9s
    4.000s < #2 granted lease=L2 ttl=9s
    4.000s > #3 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L2 else range /p/instances/web/a
    4.000s < #3 then put @5
    4.000s > registration 1 registered @5 lease=L2 sequence=1
    ");
}

#[test]
fn an_unanswered_publish_is_repeated_under_its_guard_and_taints_the_lease() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, gave_up()).wait(1);
    let ours = own(&h, 5, 5, h.leases[0]);
    h.reply(3, found(5, Some(ours)));
    // The first attempt may still land once the key is gone: removal is confirmed only when its
    // lease is dead.
    h.deregister(1).reply(4, put(6)).reply(5, deleted(7));
    assert!(!h.trace.contains("gone"), "{}", h.trace);
    h.reply(6, Reply::Revoke(RevokeReply { header: header(7) }));
    assert_snapshot!(h.trace(), @"
    0.000s < register 1 web/a ready Replace
    0.000s > #1 m0 grant lease=L1 ttl=9s
    0.000s < #1 granted lease=L1 ttl=9s
    0.000s > #2 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    0.000s < #2 failed: connection lost: reset
    0.000s > m0 redial
    0.100s > #3 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    1.000s < #3 else /p/instances/web/a=146B:1a5ed297@5/5~L1 @5
    1.000s > registration 1 registered @5 lease=L1 sequence=1
    1.000s < deregister 1 within 20s
    1.000s > #4 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    1.000s < #4 then put @6
    1.000s > #5 m0 txn if mod(/p/instances/web/a)=6 then delete /p/instances/web/a else range /p/instances/web/a
    1.000s > #6 m0 revoke lease=L1
    1.000s < #5 then deleted 1 @7
    1.000s < #6 revoked @7
    1.000s > registration 1 gone: deregistered
    ");
}

#[test]
fn siblings_move_before_a_tainted_lease_is_revoked() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1).register(2, "b", Conflict::Replace);
    h.reply(2, gave_up()).reply(3, put(5)).wait(1).reply(4, put(6)).trace();
    h.deregister(1).reply(5, put(7)).reply(6, deleted(8));
    h.grant(7).reply(8, put(9));
    h.reply(9, Reply::Revoke(RevokeReply { header: header(9) }));
    assert_snapshot!(h.trace(), @"
    1.000s < deregister 1 within 20s
    1.000s > #5 m0 txn if mod(/p/instances/web/a)=6 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    1.000s < #5 then put @7
    1.000s > #6 m0 txn if mod(/p/instances/web/a)=7 then delete /p/instances/web/a else range /p/instances/web/a
    1.000s < #6 then deleted 1 @8
    1.000s > #7 m0 grant lease=L2 ttl=9s
    1.000s < #7 granted lease=L2 ttl=9s
    1.000s > #8 m0 txn if mod(/p/instances/web/b)=5 then put /p/instances/web/b=146B:41b53285 lease=L2 else range /p/instances/web/b
    1.000s < #8 then put @9
    1.000s > registration 2 registered @9 lease=L2 sequence=1
    1.000s > #9 m0 revoke lease=L1
    1.000s < #9 revoked @9
    1.000s > registration 1 gone: deregistered
    ");
}

#[test]
fn conflicts_are_decided_once() {
    let mut outcome = String::new();
    for conflict in [Conflict::Replace, Conflict::Reject, Conflict::Wait] {
        let mut h = Harness::new();
        h.register(1, "a", conflict).grant(1).trace();
        h.reply(2, found(4, Some(record(3, 4, Some(stranger())))));
        outcome += &format!("{conflict:?}\n{}", h.trace());
    }
    assert_snapshot!(outcome, @"
    Replace
    0.000s < #2 else /p/instances/web/a=2B:51503ab8@3/4~999 @4
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=4 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    Reject
    0.000s < #2 else /p/instances/web/a=2B:51503ab8@3/4~999 @4
    0.000s > registration 1 gone: kept out by the record on lease 999
    0.000s > #3 m0 revoke lease=L1
    Wait
    0.000s < #2 else /p/instances/web/a=2B:51503ab8@3/4~999 @4
    0.000s > registration 1 waiting for lease=999
    ");
}

#[test]
fn a_record_without_a_lease_is_nobodys() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Reject).grant(1).trace();
    h.reply(2, found(4, Some(record(3, 4, None)))).reply(3, put(5));
    assert_snapshot!(h.trace(), @"
    0.000s < #2 else /p/instances/web/a=2B:51503ab8@3/4 @4
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=4 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    0.000s < #3 then put @5
    0.000s > registration 1 registered @5 lease=L1 sequence=1
    ");
}

#[test]
fn a_record_put_over_ours_is_a_takeover() {
    let mut h = Harness::registered();
    let instance = instance("a").with_state(State::OutOfService);
    h.command(Command::Publish { id: RegistrationId(1), instance });
    h.reply(3, found(6, Some(record(5, 6, Some(stranger())))));
    assert_snapshot!(h.trace(), @"
    0.000s < publish 1 web/a out-of-service
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=155B:a3356908 lease=L1 else range /p/instances/web/a
    0.000s < #3 else /p/instances/web/a=2B:51503ab8@5/6~999 @6
    0.000s > registration 1 lost Disturbed
    0.000s > registration 1 gone: superseded by the record on lease 999
    0.000s > #4 m0 revoke lease=L1
    ");
}

#[test]
fn a_record_created_after_ours_vanished_is_disputed() {
    let mut h = Harness::registered();
    let instance = instance("a").with_state(State::OutOfService);
    h.command(Command::Publish { id: RegistrationId(1), instance });
    h.reply(3, found(7, Some(record(7, 7, Some(stranger())))));
    h.reply(
        4,
        Reply::TimeToLive(crate::waist::TimeToLiveReply {
            header: header(7),
            lease: stranger(),
            ttl_secs: 3,
            granted_secs: 4,
            keys: Vec::new(),
        }),
    );
    h.wait(1);
    // It went with its lease: ours comes back.
    h.reply(6, read(8, None));
    assert_snapshot!(h.trace(), @"
    0.000s < publish 1 web/a out-of-service
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=155B:a3356908 lease=L1 else range /p/instances/web/a
    0.000s < #3 else /p/instances/web/a=2B:51503ab8@7/7~999 @7
    0.000s > #4 m0 time-to-live lease=999
    0.000s > registration 1 lost Disturbed
    0.000s > #5 m0 revoke lease=L1
    0.000s < #4 time-to-live lease=999 left=3s granted=4s keys=0
    0.100s > #6 m0 range /p/instances/web/a
    1.000s < #6 range @8
    1.000s > #7 m0 grant lease=L2 ttl=9s
    ");
}

#[test]
fn own_keys_are_watched_and_healed() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).trace();
    let created = WatchReply { watch_id: 1, created: true, ..WatchReply::default() };
    h.reply(3, Reply::Watch(created.clone()));
    let kv = KeyValue {
        key: Key::from("/p/instances/web/a"),
        mod_revision: Revision(6),
        ..KeyValue::default()
    };
    let event = KeyEvent { kind: crate::waist::EventKind::Delete, kv, prev: None };
    h.reply(3, Reply::Watch(WatchReply { created: false, events: vec![event], ..created }));
    h.wait(1);
    assert_snapshot!(h.trace(), @"
    0.000s < #3 watch @0 id=1 created
    0.000s < #3 watch @0 id=1 -/p/instances/web/a@6
    0.000s > registration 1 lost Disturbed
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    ");
}

#[test]
fn many_registrations_share_requests_and_leases() {
    let mut h = Harness::tuned(|tuning| tuning.max_keys_per_lease = 150);
    for id in 1..=200 {
        h.register(id, &format!("i{id}"), Conflict::Replace);
    }
    assert_eq!(h.asked.len(), 2, "two leases are asked for, and nothing else");
    let (first, second) = (h.leases[0], h.leases[1]);
    h.reply(1, granted(first)).reply(2, granted(second));
    fn nested(request: &Request) -> &[Op] {
        if let Request::Txn(txn) = request { &txn.then } else { &[] }
    }
    let sizes: Vec<_> = h.asked[2..].iter().map(|(_, request)| nested(request).len()).collect();
    assert_eq!(sizes, [126, 24, 50]);
    let key = |op: &Op| -> KeyRange {
        let Op::Txn(txn) = op else { panic!("a batch nests transactions") };
        txn.compares[0].keys.clone()
    };
    let keys = |request: &Request| nested(request).iter().map(key).collect::<Vec<_>>();
    let mut all: Vec<_> = h.asked[2..].iter().flat_map(|(_, request)| keys(request)).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 200, "each key once");
}

#[test]
fn a_refused_batch_is_split_so_that_one_slot_holds_up_no_other() {
    let mut h = Harness::new();
    for id in 1..=3 {
        h.register(id, &format!("i{id}"), Conflict::Replace);
    }
    h.grant(1).trace();
    h.reply(2, Reply::Failed(StoreError::RequestTooLarge));
    h.reply(3, Reply::Failed(StoreError::RequestTooLarge)).reply(4, put(5)).reply(5, put(6));
    assert_snapshot!(h.trace(), @"
    0.000s < #2 failed: etcdserver: request is too large
    0.000s > #3 m0 txn if mod(/p/instances/web/i1)=0 then put /p/instances/web/i1=147B:a375f67c lease=L1 else range /p/instances/web/i1
    0.000s > #4 m0 txn if mod(/p/instances/web/i2)=0 then put /p/instances/web/i2=147B:1ce01096 lease=L1 else range /p/instances/web/i2
    0.000s > #5 m0 txn if mod(/p/instances/web/i3)=0 then put /p/instances/web/i3=147B:97386d91 lease=L1 else range /p/instances/web/i3
    0.000s < #3 failed: etcdserver: request is too large
    0.000s > registration 1 gone: refused: key /p/instances/web/i1: etcdserver: request is too large
    0.000s < #4 then put @5
    0.000s > registration 2 registered @5 lease=L1 sequence=1
    0.000s < #5 then put @6
    0.000s > registration 3 registered @6 lease=L1 sequence=1
    ");
}

#[test]
fn a_key_is_registered_once_and_again_only_when_its_former_registration_has_ended() {
    let mut h = Harness::registered();
    h.register(2, "a", Conflict::Replace);
    h.deregister(1).register(3, "a", Conflict::Replace);
    h.reply(3, put(6)).reply(4, deleted(7));
    assert_snapshot!(h.trace(), @"
    0.000s < register 2 web/a ready Replace
    0.000s > registration 2 gone: refused: key /p/instances/web/a is registered by this process already
    0.000s < deregister 1 within 20s
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.000s < register 3 web/a ready Replace
    0.000s < #3 then put @6
    0.000s > #4 m0 txn if mod(/p/instances/web/a)=6 then delete /p/instances/web/a else range /p/instances/web/a
    0.000s > #5 m0 revoke lease=L1
    0.000s < #4 then deleted 1 @7
    0.000s > registration 1 gone: deregistered
    0.000s > #6 m0 grant lease=L2 ttl=9s
    ");
}

#[test]
fn a_removal_that_is_not_confirmed_in_time_leaves_its_lease_to_die() {
    let mut h = Harness::registered();
    h.command(Command::Deregister { id: RegistrationId(1), within: Duration::from_secs(1) });
    h.wait(1);
    h.reply(4, Reply::Failed(StoreError::LeaseNotFound));
    assert_snapshot!(h.trace(), @"
    0.000s < deregister 1 within 1s
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.250s > #4 m0 revoke lease=L1
    1.000s > registration 1 gone: removal not confirmed in time
    1.000s < #4 failed: etcdserver: requested lease not found
    ");
}

#[test]
fn shutdown_drains_removes_revokes_and_falls_silent() {
    let mut h = Harness::registered();
    h.command(Command::Shutdown { within: Duration::from_secs(5) });
    h.reply(3, put(6)).reply(4, deleted(7));
    h.reply(5, Reply::Revoke(RevokeReply { header: header(7) }));
    h.register(9, "z", Conflict::Replace).wait(60);
    assert_snapshot!(h.trace(), @"
    0.000s < shutdown within 5s
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.000s < #3 then put @6
    0.000s > #4 m0 txn if mod(/p/instances/web/a)=6 then delete /p/instances/web/a else range /p/instances/web/a
    0.000s > #5 m0 revoke lease=L1
    0.000s < #4 then deleted 1 @7
    0.000s > registration 1 gone: deregistered
    0.000s < #5 revoked @7
    0.000s > closed confirmed=true
    0.000s < register 9 web/z ready Replace
    0.000s > registration 9 gone: refused: shut down
    ");
    assert_eq!(h.engine.poll_timeout(), None);
}

/// A store that grants leases, renews them, and finds none when something is put: the first loss is
/// healed at once, the next ones after pauses.
#[test]
fn leases_that_are_gone_when_they_are_used_do_not_make_it_spin() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace);
    let minute = Time::from_secs(60);
    let mut grants = Vec::new();
    while h.now < minute && grants.len() < 100 {
        for (attempt, request) in std::mem::take(&mut h.asked) {
            let reply = if let Request::Grant(grant) = request {
                grants.push(h.now);
                granted(grant.lease.expect("its own id"))
            } else if let Request::KeepAlive(keep) = request {
                kept(keep.lease, TTL.cast_signed())
            } else {
                Reply::Failed(StoreError::LeaseNotFound)
            };
            h.reply(attempt.0, reply);
        }
        if h.asked.is_empty() {
            h.now = h.engine.poll_timeout().unwrap_or(minute);
            h.input(Input::Tick);
        }
    }
    assert_eq!(grants[..2], [Time::ZERO; 2]);
    // With pauses from 0.1 s up to 5 s.
    assert!((10..=20).contains(&grants.len()), "{} grants in a minute: {grants:?}", grants.len());
}

/// What could not be removed in time is left to its lease, and the revoke has time to be answered.
#[test]
fn a_shutdown_that_runs_out_hears_of_its_revokes() {
    let mut outcome = String::new();
    for within in [2, 10] {
        let mut h = Harness::registered();
        let lease = h.leases[0];
        h.command(Command::Shutdown { within: Duration::from_secs(within) });
        h.played = h.asked.len();
        // Only renewals are answered.
        let last = within - 1;
        h.play(last, |request| {
            matches!(request, Request::KeepAlive(_)).then(|| kept(lease, TTL as i64))
        });
        let (revoke, _) = h
            .asked
            .iter()
            .rfind(|(_, asked)| matches!(asked, Request::Revoke(_)))
            .cloned()
            .expect("a revoke");
        h.reply(revoke.0, Reply::Revoke(RevokeReply { header: header(7) }));
        outcome += &h.trace();
    }
    assert_snapshot!(outcome, @"
    0.000s < shutdown within 2s
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.250s > #4 m0 revoke lease=L1
    1.000s > registration 1 gone: removal not confirmed in time
    1.000s < #4 revoked @7
    1.000s > #3 cancel
    1.000s > closed confirmed=false
    0.000s < shutdown within 10s
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    1.750s > #4 m0 revoke lease=L1
    3.000s > #3 cancel
    3.000s > m0 redial
    3.100s > #5 m0 txn if mod(/p/instances/web/a)=5 then delete /p/instances/web/a else range /p/instances/web/a
    4.750s > #4 cancel
    4.850s > #6 m0 revoke lease=L1
    6.100s > #5 cancel
    6.100s > m0 redial
    6.300s > #7 m0 txn if mod(/p/instances/web/a)=5 then delete /p/instances/web/a else range /p/instances/web/a
    7.000s > registration 1 gone: removal not confirmed in time
    7.850s > #6 cancel
    8.050s > #8 m0 revoke lease=L1
    9.000s < #8 revoked @7
    9.000s > #7 cancel
    9.000s > closed confirmed=false
    ");
}

/// Refused once, as one batch with others, is not refused for ever.
#[test]
fn a_split_batch_is_joined_again() {
    let mut h = Harness::new();
    h.register(1, "i1", Conflict::Replace).register(2, "i2", Conflict::Replace).grant(1);
    h.reply(2, Reply::Failed(StoreError::RequestTooLarge)).reply(3, put(5)).reply(4, put(6));
    let lease = h.leases[0];
    h.wait(3).reply(5, kept(lease, 0)).grant(6);
    let (_, last) = h.asked.last().expect("both are published again");
    let Request::Txn(txn) = last else { panic!("{last}") };
    assert_eq!(txn.then.len(), 2, "{last}");
}

/// One that has ended does not spoil the answer to the others of its batch.
#[test]
fn a_batch_is_answered_to_those_who_are_left() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Wait).register(2, "b", Conflict::Wait).grant(1);
    let taken = |name: &str| KeyValue {
        key: Key::from(format!("/p/instances/web/{name}").as_str()),
        ..record(2, 2, Some(stranger()))
    };
    let range = |kv: Option<KeyValue>| {
        let kvs: Vec<_> = kv.into_iter().collect();
        RangeReply { count: kvs.len() as i64, kvs, ..Default::default() }
    };
    let all = |revision, responses| {
        Reply::Txn(TxnReply { header: header(revision), succeeded: true, responses })
    };
    let refused = |name| {
        let responses = vec![OpReply::Range(range(Some(taken(name))))];
        OpReply::Txn(TxnReply { header: header(0), succeeded: false, responses })
    };
    h.reply(2, all(3, vec![refused("a"), refused("b")])).wait(1).trace();
    let id = RegistrationId(1);
    h.command(Command::Deregister { id, within: Duration::from_millis(500) }).wait(1);
    let read = h.asked.iter().rfind(|(_, request)| matches!(request, Request::Txn(_)));
    let (read, _) = read.cloned().expect("both are read");
    let absent = OpReply::Range(range(None));
    h.reply(read.0, all(4, vec![OpReply::Range(range(Some(taken("a")))), absent]));
    assert_snapshot!(h.trace(), @"
    1.000s < deregister 1 within 500ms
    1.500s > registration 1 gone: removal not confirmed in time
    2.000s < #3 then /p/instances/web/a=2B:51503ab8@2/2~999, nothing @4
    2.000s > #4 m0 txn if mod(/p/instances/web/b)=0 then put /p/instances/web/b=146B:41b53285 lease=L1 else range /p/instances/web/b
    ");
}

/// However long the store keeps silent, and however many leases come and go.
#[test]
fn what_is_remembered_does_not_grow() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1);
    h.played = 1;
    let lease = h.leases[0];
    h.play(100, |request| {
        let refused = Reply::Failed(StoreError::TimedOut);
        Some(if matches!(request, Request::KeepAlive(_)) { kept(lease, 9) } else { refused })
    });
    let taints: Vec<_> = h.engine.holds.slots.values().map(|slot| slot.taints.len()).collect();
    assert_eq!(taints, [1], "one guard, one lease");

    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace);
    // Each lease is found dead when it is first used.
    h.played = 0;
    h.play(15_000, |request| {
        let lost = Reply::Failed(StoreError::LeaseNotFound);
        let Request::Grant(grant) = request else { return Some(lost) };
        grant.lease.map(granted)
    });
    assert!(h.leases.len() > 2_900, "{}", h.leases.len());
    assert!(h.engine.holds.ours.len() < 2_500, "{}", h.engine.holds.ours.len());
}

/// That it is superseded is known, and that nothing of it can come: it is told, though the last
/// read is not answered in time.
#[test]
fn an_ending_that_is_known_is_told_when_the_time_is_over() {
    let mut outcome = String::new();
    for seen in [true, false] {
        let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
        h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).trace();
        let created = WatchReply { watch_id: 1, created: true, ..WatchReply::default() };
        h.reply(3, Reply::Watch(created.clone()));
        if seen {
            let kv = record(5, 6, Some(stranger()));
            let event = KeyEvent { kind: crate::waist::EventKind::Put, kv, prev: None };
            h.reply(3, Reply::Watch(WatchReply { created: false, events: vec![event], ..created }));
        }
        h.command(Command::Shutdown { within: Duration::from_secs(2) }).wait(2);
        outcome += &h.trace();
    }
    assert_snapshot!(outcome, @"
    0.000s < #3 watch @0 id=1 created
    0.000s < #3 watch @0 id=1 /p/instances/web/a=2B:51503ab8@5/6~999
    0.000s > registration 1 lost Disturbed
    0.000s > #3 cancel
    0.000s > #4 m0 range /p/instances/web/a
    0.000s > #5 m0 revoke lease=L1
    0.000s < shutdown within 2s
    1.000s > registration 1 gone: superseded by the record on lease 999
    2.000s > #4 cancel
    2.000s > #5 cancel
    2.000s > closed confirmed=true
    0.000s < #3 watch @0 id=1 created
    0.000s < shutdown within 2s
    0.000s > #3 cancel
    0.000s > #4 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.250s > #5 m0 revoke lease=L1
    1.000s > registration 1 gone: removal not confirmed in time
    2.000s > #4 cancel
    2.000s > #5 cancel
    2.000s > closed confirmed=false
    ");
}

/// A store that refuses the watch of one key answers with number -1 (rows W4, W5).
#[test]
fn a_refused_own_watch_is_made_again_and_its_key_is_read() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).trace();
    let refused =
        WatchReply { watch_id: -1, created: true, canceled: true, ..WatchReply::default() };
    h.reply(3, Reply::Watch(refused)).wait(1);
    let ours = own(&h, 5, 5, h.leases[0]);
    h.reply(5, read(9, Some(ours)));
    assert_snapshot!(h.trace(), @"
    0.000s < #3 watch @0 id=-1 created canceled
    0.000s > m0 redial
    0.000s > #3 cancel
    0.100s > #4 m0 watch /p/instances/web/a from 5 id=1 fragment
    0.100s > #5 m0 range /p/instances/web/a
    1.000s < #5 range @9 /p/instances/web/a=146B:1a5ed297@5/5~L1
    ");
}

/// Our own cancel is answered with the number of the watch.
#[test]
fn a_watch_that_we_gave_up_is_no_refused_one() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5));
    h.register(2, "b", Conflict::Replace).reply(4, put(6)).trace();
    h.deregister(1).reply(6, put(7)).trace();
    let canceled = WatchReply { watch_id: 1, canceled: true, ..WatchReply::default() };
    h.reply(3, Reply::Watch(canceled));
    assert_snapshot!(h.trace(), @"0.000s < #3 watch @0 id=1 canceled");
}

/// Deleting needs no space.
#[test]
fn a_full_store_does_not_hold_up_a_removal() {
    let mut h = Harness::registered();
    h.deregister(1).reply(3, Reply::Failed(StoreError::NoSpace)).reply(4, deleted(6));
    h.reply(5, Reply::Revoke(RevokeReply { header: header(6) }));
    assert_snapshot!(h.trace(), @"
    0.000s < deregister 1 within 20s
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.000s < #3 failed: etcdserver: mvcc: database space exceeded
    0.000s > #4 m0 txn if mod(/p/instances/web/a)=5 then delete /p/instances/web/a else range /p/instances/web/a
    0.000s > #5 m0 revoke lease=L1
    0.000s < #4 then deleted 1 @6
    0.000s > registration 1 gone: deregistered
    0.000s < #5 revoked @6
    ");
}

/// Who has said that it drains does not say it again.
#[test]
fn a_removal_of_what_drains_already_only_removes() {
    let mut h = Harness::registered();
    let draining = instance("a").with_state(State::Draining);
    h.command(Command::Publish { id: RegistrationId(1), instance: draining });
    h.reply(3, put(6)).deregister(1).reply(4, deleted(7));
    assert_snapshot!(h.trace(), @"
    0.000s < publish 1 web/a draining
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.000s < #3 then put @6
    0.000s > registration 1 registered @6 lease=L1 sequence=2
    0.000s < deregister 1 within 20s
    0.000s > #4 m0 txn if mod(/p/instances/web/a)=6 then delete /p/instances/web/a else range /p/instances/web/a
    0.000s > #5 m0 revoke lease=L1
    0.000s < #4 then deleted 1 @7
    0.000s > registration 1 gone: deregistered
    ");
}

/// Telling that it drains takes a quarter of a removal's time at most.
#[test]
fn a_removal_goes_on_without_draining() {
    let mut h = Harness::registered();
    h.deregister(1);
    let lease = h.leases[0];
    h.played = 2;
    h.play(6, |request| {
        if let Request::Txn(txn) = request {
            let draining = matches!(txn.then[..], [Op::Put(_)]);
            return draining.then_some(Reply::Failed(StoreError::TooManyRequests));
        }
        matches!(request, Request::KeepAlive(_)).then(|| kept(lease, TTL as i64))
    });
    assert_snapshot!(h.trace(), @"
    0.000s < deregister 1 within 20s
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.000s < #3 failed: etcdserver: too many requests
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.100s < #4 failed: etcdserver: too many requests
    0.300s > #5 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.300s < #5 failed: etcdserver: too many requests
    0.700s > #6 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.700s < #6 failed: etcdserver: too many requests
    1.500s > #7 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    1.500s < #7 failed: etcdserver: too many requests
    3.000s > #8 m0 keepalive lease=L1
    3.000s < #8 kept alive lease=L1 ttl=9s
    3.100s > #9 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    3.100s < #9 failed: etcdserver: too many requests
    5.000s > #10 m0 revoke lease=L1
    ");
}

/// The pauses grow to a minute; each refusal is told.
#[test]
fn denied_is_told_and_tried_again_slowly() {
    let mut outcome = String::new();
    for error in [StoreError::PermissionDenied, StoreError::AuthFailed, StoreError::NoSpace] {
        let mut h = Harness::new();
        h.register(1, "a", Conflict::Replace).grant(1).trace();
        h.played = 1;
        let (refused, lease) = (Reply::Failed(error.clone()), h.leases[0]);
        let tried = h.play(240, |request| {
            let renewal = matches!(request, Request::KeepAlive(_));
            Some(if renewal { kept(lease, TTL as i64) } else { refused.clone() })
        });
        let trace = h.trace();
        let told = trace.lines().filter(|line| line.contains("registration 1 denied")).count();
        let tried: Vec<_> = tried
            .iter()
            .filter(|(_, request)| matches!(request, Request::Txn(_)))
            .map(|(at, _)| at.to_string())
            .collect();
        outcome += &format!("{error}, told {told} times\n{}\n", tried.join(" "));
    }
    // The store takes it at last.
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1).trace();
    h.reply(2, Reply::Failed(StoreError::PermissionDenied)).wait(1).reply(3, put(5));
    outcome += &h.trace();
    assert_snapshot!(outcome, @"
    etcdserver: permission denied, told 13 times
    0.000s 0.100s 0.300s 0.700s 1.500s 3.100s 6.300s 12.700s 25.500s 51.100s 102.300s 162.300s 222.300s
    etcdserver: authentication failed, invalid user ID or password, told 13 times
    0.000s 0.100s 0.300s 0.700s 1.500s 3.100s 6.300s 12.700s 25.500s 51.100s 102.300s 162.300s 222.300s
    etcdserver: mvcc: database space exceeded, told 13 times
    0.000s 0.100s 0.300s 0.700s 1.500s 3.100s 6.300s 12.700s 25.500s 51.100s 102.300s 162.300s 222.300s
    0.000s < #2 failed: etcdserver: permission denied
    0.000s > registration 1 denied: etcdserver: permission denied
    0.100s > #3 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    1.000s < #3 then put @5
    1.000s > registration 1 registered @5 lease=L1 sequence=1
    ");
}

/// The record stood all along, but nobody was allowed to look; once it is seen again, that is told.
#[test]
fn a_record_that_may_be_read_again_is_told_again() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).trace();
    let lease = h.leases[0];
    let refused = || Reply::Failed(StoreError::PermissionDenied);
    h.reply(3, refused()).wait(1).reply(5, refused()).wait(1);
    let Request::Txn(published) = h.asked[1].1.clone() else { panic!("a publish") };
    let Some(Op::Put(written)) = published.then.into_iter().next() else { panic!("a put") };
    let kv = KeyValue {
        key: written.key,
        value: written.value,
        create_revision: Revision(5),
        mod_revision: Revision(5),
        version: 1,
        lease: Some(lease),
    };
    h.reply(6, read(7, Some(kv)));
    assert_snapshot!(h.trace(), @"
    0.000s < #3 failed: etcdserver: permission denied
    0.100s > #4 m0 watch /p/instances/web/a from 5 id=1 fragment
    0.100s > #5 m0 range /p/instances/web/a
    1.000s < #5 failed: etcdserver: permission denied
    1.000s > registration 1 denied: etcdserver: permission denied
    1.200s > #6 m0 range /p/instances/web/a
    2.000s < #6 range @7 /p/instances/web/a=146B:1a5ed297@5/5~L1
    2.000s > registration 1 registered @5 lease=L1 sequence=1
    ");
}

/// Registrations never give up: a refusal that blames nothing of ours is told and tried again.
#[test]
fn a_refusal_in_strange_words_ends_no_registration() {
    let forbidden = "grpc-status header missing, mapped from HTTP status code 403";
    let mut outcome = String::new();
    for (code, message) in [
        (Code::PermissionDenied, forbidden),
        (Code::InvalidArgument, "etcdserver: something new"),
        (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted"),
        (Code::FailedPrecondition, "etcdserver: not capable"),
    ] {
        let mut h = Harness::registered();
        let instance = instance("a").with_state(State::OutOfService);
        h.command(Command::Publish { id: RegistrationId(1), instance });
        h.trace();
        h.reply(3, Reply::Failed(StoreError::from_status(code, message))).wait(1);
        outcome += &h.trace();
    }
    assert_snapshot!(outcome, @"
    0.000s < #3 failed: PermissionDenied: grpc-status header missing, mapped from HTTP status code 403
    0.000s > m0 redial
    0.000s > registration 1 denied: PermissionDenied: grpc-status header missing, mapped from HTTP status code 403
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=155B:a3356908 lease=L1 else range /p/instances/web/a
    0.000s < #3 failed: InvalidArgument: etcdserver: something new
    0.000s > registration 1 denied: InvalidArgument: etcdserver: something new
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=155B:a3356908 lease=L1 else range /p/instances/web/a
    0.000s < #3 failed: etcdserver: mvcc: required revision has been compacted
    0.000s > registration 1 denied: etcdserver: mvcc: required revision has been compacted
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=155B:a3356908 lease=L1 else range /p/instances/web/a
    0.000s < #3 failed: etcdserver: not capable
    0.000s > m0 redial
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=5 then put /p/instances/web/a=155B:a3356908 lease=L1 else range /p/instances/web/a
    ");
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

#[test]
fn refusals_of_others_cost_no_lease_its_renewal() {
    let mut h = Harness::tuned(|tuning| tuning.jitter_percent = 90);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5));
    let mut renewals = 0;
    for id in 2..900 {
        h.register(id, &format!("b{id}"), Conflict::Replace);
    }
    h.trace();
    play(&mut h, 2, Time::from_secs(60), |request| {
        let Request::KeepAlive(keep) = request else {
            return Some(Reply::Failed(StoreError::PermissionDenied));
        };
        renewals += 1;
        let fails = renewals % 5 == 0;
        Some(if fails { gave_up() } else { kept(keep.lease, TTL as i64) })
    });
    let told: Vec<_> = h.trace.lines().filter(|line| line.contains("registration 1 ")).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_renewal_is_tried_once_more_before_its_lease_is_over() {
    let mut h = Harness::tuned(|tuning| {
        tuning.backoff_base = Duration::from_secs(5);
        tuning.backoff_cap = Duration::from_secs(10);
    });
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).trace();
    play(&mut h, 2, Time::from_secs(8), |request| {
        matches!(request, Request::KeepAlive(_)).then(gave_up)
    });
    assert_snapshot!(h.trace(), @"
    3.000s > #3 m0 keepalive lease=L1
    3.000s < #3 failed: connection lost: reset
    3.000s > m0 redial
    7.410s > #4 m0 keepalive lease=L1
    7.410s < #4 failed: connection lost: reset
    7.410s > m0 redial
    ");
}

#[test]
fn retries_of_many_keys_draw_on_the_budget_once_for_a_batch() {
    let mut h = Harness::tuned(|tuning| {
        tuning.retry_burst = 1;
        tuning.retries_per_sec = 1;
        tuning.jitter_percent = 90;
    });
    for id in 1..=100 {
        h.register(id, &format!("i{id}"), Conflict::Wait);
    }
    let lease = h.leases[0];
    let mut batches = Vec::new();
    play(&mut h, 0, Time::from_secs(30), |request| {
        Some(if let Request::Txn(txn) = request {
            batches.push(txn.then.len());
            let responses = txn.then.iter().map(taken).collect();
            Reply::Txn(TxnReply { header: header(9), succeeded: true, responses })
        } else if let Request::Range(range) = request {
            batches.push(1);
            let kvs = vec![strangers(&range.keys)];
            Reply::Range(RangeReply { header: header(9), kvs, count: 1, more: false })
        } else if let Request::Grant(_) = request {
            granted(lease)
        } else {
            kept(lease, TTL as i64)
        })
    });
    let (&first, retries) = batches.split_first().expect("something was sent");
    assert_eq!(first, 100, "all at once");
    assert!((25..=32).contains(&retries.len()), "one a second: {retries:?}");
    let keys: usize = retries.iter().sum();
    assert!(keys > 10 * retries.len(), "they go together: {retries:?}");
}

#[test]
fn retries_go_round() {
    let mut h = Harness::tuned(|tuning| {
        tuning.retry_burst = 1;
        tuning.retries_per_sec = 1;
        tuning.batch_keys = 1;
        tuning.backoff_slow_cap = Duration::from_secs(1);
        tuning.backoff_cap = Duration::from_secs(1);
    });
    for id in 1..=20 {
        h.register(id, &format!("i{id:02}"), Conflict::Wait);
    }
    let lease = h.leases[0];
    let mut tried = std::collections::BTreeMap::<Key, u32>::new();
    play(&mut h, 0, Time::from_secs(61), |request| {
        let Request::Txn(txn) = request else {
            return Some(if let Request::Grant(_) = request {
                granted(lease)
            } else {
                kept(lease, TTL as i64)
            });
        };
        *tried.entry(txn.compares[0].keys.key.clone()).or_default() += 1;
        Some(Reply::Failed(StoreError::PermissionDenied))
    });
    assert!(tried.values().all(|&times| times >= 3), "{tried:?}");
}

/// Somebody else's record at a key.
fn strangers(keys: &KeyRange) -> KeyValue {
    KeyValue { key: keys.key.clone(), ..record(3, 4, Some(stranger())) }
}

/// What the store answers to one operation of a batch when somebody else's record stands there.
fn taken(op: &Op) -> OpReply {
    let found = |keys: &KeyRange| {
        OpReply::Range(RangeReply { kvs: vec![strangers(keys)], count: 1, ..Default::default() })
    };
    match op {
        Op::Range(range) => found(&range.keys),
        Op::Txn(txn) => OpReply::Txn(TxnReply {
            responses: vec![found(&txn.compares[0].keys)],
            ..TxnReply::default()
        }),
        Op::Put(_) | Op::Delete(_) => panic!("batches nest transactions"),
    }
}

fn kept_at(lease: LeaseId, header: Header) -> Reply {
    Reply::KeepAlive(KeepAliveReply { header, lease, ttl_secs: TTL as i64 })
}

fn created(revision: i64) -> Reply {
    let header = header(revision);
    Reply::Watch(WatchReply { header, watch_id: 1, created: true, ..WatchReply::default() })
}

/// A store restored to before the publish, with the lease: the watch would wait for a revision to
/// come, and the lease is renewed as ever.
#[test]
fn a_restored_store_gets_all_anew_on_new_leases() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).reply(3, created(5)).trace();
    h.reply(3, gave_up()).wait(1).reply(4, created(2));
    let early = own(&h, 2, 2, h.leases[0]);
    h.reply(5, read(2, Some(early.clone())));
    h.revision = Revision(2);
    h.grant(6).wait(1).reply(7, found(2, Some(early))).reply(8, put(3));
    h.reply(10, Reply::Revoke(RevokeReply { header: header(3) }));
    assert_snapshot!(h.trace(), @"
    0.000s < #3 failed: connection lost: reset
    0.000s > m0 redial
    0.100s > #4 m0 watch /p/instances/web/a from 5 id=1 fragment
    1.000s < #4 watch @2 id=1 created
    1.000s > #5 m0 range /p/instances/web/a
    1.000s < #5 range @2 /p/instances/web/a=146B:1a5ed297@2/2~L1
    1.000s > #4 cancel
    1.000s > registration 1 lost Disturbed
    1.000s > #6 m0 grant lease=L2 ttl=9s
    1.000s < #6 granted lease=L2 ttl=9s
    1.100s > #7 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L2 else range /p/instances/web/a
    2.000s < #7 else /p/instances/web/a=146B:1a5ed297@2/2~L1 @2
    2.000s > #8 m0 txn if mod(/p/instances/web/a)=2 then put /p/instances/web/a=146B:1a5ed297 lease=L2 else range /p/instances/web/a
    2.000s < #8 then put @3
    2.000s > #9 m0 watch /p/instances/web/a from 3 id=2 fragment
    2.000s > registration 1 registered @3 lease=L2 sequence=1
    2.000s > #10 m0 revoke lease=L1
    2.000s < #10 revoked @3
    ");
}

#[test]
fn a_renewal_tells_of_a_restored_store_too() {
    let mut h = Harness::registered();
    h.wait(3);
    let lease = h.leases[0];
    h.reply(3, kept_at(lease, header(2))).reply(4, read(2, None));
    h.revision = Revision(2);
    h.grant(5).reply(6, put(3));
    assert_snapshot!(h.trace(), @"
    3.000s > #3 m0 keepalive lease=L1
    3.000s < #3 kept alive lease=L1 ttl=9s
    3.000s > #4 m0 range /p/instances/web/a
    3.000s < #4 range @2
    3.000s > registration 1 lost Disturbed
    3.000s > #5 m0 grant lease=L2 ttl=9s
    3.000s < #5 granted lease=L2 ttl=9s
    3.000s > #6 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L2 else range /p/instances/web/a
    3.000s < #6 then put @3
    3.000s > registration 1 registered @3 lease=L2 sequence=1
    3.000s > #7 m0 revoke lease=L1
    ");
}

#[test]
fn a_member_that_lags_is_no_other_store() {
    let mut h = Harness::registered();
    h.wait(3);
    let lease = h.leases[0];
    h.reply(3, kept_at(lease, header(2))).reply(4, read(5, None));
    assert_snapshot!(h.trace(), @"
    3.000s > #3 m0 keepalive lease=L1
    3.000s < #3 kept alive lease=L1 ttl=9s
    3.000s > #4 m0 range /p/instances/web/a
    3.000s < #4 range @5
    ");
}

#[test]
fn another_cluster_or_a_younger_term_is_another_store() {
    let mut outcome = String::new();
    for (cluster_id, raft_term) in [(1, 3), (2, 3), (1, 2), (1, 4)] {
        let mut h = Harness::new();
        let stand = |revision: i64, cluster_id: u64, raft_term: u64| Header {
            cluster_id,
            raft_term,
            ..header(revision)
        };
        h.register(1, "a", Conflict::Replace);
        let lease = h.leases[0];
        let ttl_secs = TTL as i64;
        h.reply(1, Reply::Grant(GrantReply { header: stand(4, 1, 3), lease, ttl_secs }));
        let responses = vec![OpReply::Put(PutReply::default())];
        h.reply(2, Reply::Txn(TxnReply { header: stand(5, 1, 3), succeeded: true, responses }));
        h.wait(3).reply(3, kept_at(lease, stand(9, cluster_id, raft_term))).trace();
        let header = stand(9, cluster_id, raft_term);
        h.reply(4, Reply::Range(RangeReply { header, ..RangeReply::default() }));
        outcome += &format!("cluster {cluster_id} term {raft_term}\n{}", h.trace());
    }
    assert_snapshot!(outcome, @"
    cluster 1 term 3
    3.000s < #4 range @9
    cluster 2 term 3
    3.000s < #4 range @9
    3.000s > registration 1 lost Disturbed
    3.000s > #5 m0 grant lease=L2 ttl=9s
    cluster 1 term 2
    3.000s < #4 range @9
    3.000s > registration 1 lost Disturbed
    3.000s > #5 m0 grant lease=L2 ttl=9s
    cluster 1 term 4
    3.000s < #4 range @9
    ");
}

/// In a store that has overtaken all that was known of the former one, no header tells.
#[test]
fn own_keys_are_read_after_their_watch_was_lost() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).reply(3, created(5)).trace();
    h.reply(3, gave_up()).wait(1).reply(4, created(50)).wait(1).reply(5, read(50, None)).wait(1);
    assert_snapshot!(h.trace(), @"
    0.000s < #3 failed: connection lost: reset
    0.000s > m0 redial
    0.100s > #4 m0 watch /p/instances/web/a from 5 id=1 fragment
    1.000s < #4 watch @50 id=1 created
    1.100s > #5 m0 range /p/instances/web/a
    2.000s < #5 range @50
    2.000s > registration 1 lost Disturbed
    2.200s > #6 m0 txn if mod(/p/instances/web/a)=0 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    3.000s > #7 m0 keepalive lease=L1
    ");
}

/// What a process has removed may stand again.
#[test]
fn a_removal_that_waits_for_its_lease_begins_anew_in_another_epoch() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, gave_up()).wait(1);
    let ours = own(&h, 5, 5, h.leases[0]);
    h.reply(3, found(5, Some(ours.clone()))).deregister(1).reply(4, put(6)).trace();
    h.reply(5, deleted(7));
    h.command(Command::Call {
        id: crate::engine::OpId(9),
        request: Request::Range(crate::waist::Range::of(KeyRange::one(Key::from("x")))),
        within: Duration::from_secs(5),
    });
    h.reply(7, read(5, None)).reply(8, read(5, Some(ours.clone())));
    h.reply(9, read(5, Some(ours))).reply(10, deleted(6));
    h.reply(6, Reply::Failed(StoreError::LeaseNotFound));
    assert_snapshot!(h.trace(), @"
    1.000s < #5 then deleted 1 @7
    1.000s < call 9 range x within 5s
    1.000s > #7 m0 range x
    1.000s < #7 range @5
    1.000s > call 9 range @5
    1.000s > #8 m0 range /p/instances/web/a
    1.000s < #8 range @5 /p/instances/web/a=146B:1a5ed297@5/5~L1
    1.000s > #9 m0 range /p/instances/web/a
    1.000s < #9 range @5 /p/instances/web/a=146B:1a5ed297@5/5~L1
    1.000s > #10 m0 txn if mod(/p/instances/web/a)=5 then delete /p/instances/web/a else range /p/instances/web/a
    1.000s < #10 then deleted 1 @6
    1.000s < #6 failed: etcdserver: requested lease not found
    1.000s > registration 1 gone: deregistered
    ");
}

#[test]
fn an_update_in_doubt_stays_so_in_another_epoch() {
    let mut h = Harness::registered();
    let (id, within) = (crate::engine::OpId(9), Duration::from_secs(20));
    let group = GroupName::parse("web").expect("a name");
    h.command(Command::Update { id, group, within }).reply(3, read(5, None));
    let proposal = crate::engine::Proposal::Write(crate::instance::Data::parse("1").expect("JSON"));
    h.command(Command::Proposed { id, proposal }).wait(3).trace();
    let lease = h.leases[0];
    h.reply(5, kept_at(lease, header(2))).reply(6, read(2, None));
    assert_snapshot!(h.trace(), @"
    3.000s < #5 kept alive lease=L1 ttl=9s
    3.000s > #6 m0 range /p/instances/web/a
    3.000s < #6 range @2
    3.000s > registration 1 lost Disturbed
    3.000s > update 9 unknown: no answer in time
    3.000s > #7 m0 grant lease=L2 ttl=9s
    ");
}
