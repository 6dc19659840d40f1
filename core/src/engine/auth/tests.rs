use std::collections::BTreeMap;
use std::time::Duration;

use insta::assert_snapshot;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::engine::harness::Harness;
use crate::engine::{
    Command, Conflict, DirectoryId, Engine, Input, Login, OpId, Output, Proposal, RegistrationId,
    Setup,
};
use crate::instance::{Data, Instance};
use crate::layout::{Layout, Scope};
use crate::name::{EndpointName, GroupName, InstanceId};
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{
    AttemptId, Header, KeyRange, Put, PutReply, Range, RangeReply, Reply, Request, Revision,
    StoreError, WatchReply,
};

mod doubt;
mod let_in;
mod shutdown;

fn setup() -> Setup {
    let tuning = Tuning { jitter_percent: 0, ..Tuning::default() };
    Setup { layout: Layout::default(), tuning, members: 1, authenticates: true, seed: 1 }
}

fn harness() -> Harness {
    Harness::with(setup())
}

impl Harness {
    fn get(&mut self, id: u64) -> &mut Self {
        let request = Request::Range(Range::of(KeyRange::one("k")));
        self.command(Command::Call { id: OpId(id), request, within: Duration::from_secs(20) })
    }

    fn put(&mut self, id: u64) -> &mut Self {
        let request = Request::Put(Put { key: "k".into(), value: "v".into(), ..Put::default() });
        self.command(Command::Call { id: OpId(id), request, within: Duration::from_secs(20) })
    }

    fn update(&mut self, id: u64) -> &mut Self {
        let group = GroupName::parse("g").expect("a letter");
        self.command(Command::Update { id: OpId(id), group, within: Duration::from_secs(20) })
    }

    fn logged_in() -> Self {
        let mut h = harness();
        h.get(1).reply(2, Reply::Authenticated).reply(1, range());
        h.lines.clear();
        h
    }

    /// The number of the last attempt that asked so.
    fn last(&self, request: &str) -> u64 {
        self.asked(request).expect("it was asked")
    }

    fn asked(&self, request: &str) -> Option<u64> {
        let line = self.lines.iter().rev().find(|line| line.contains(request))?;
        line.split_once('#')?.1.split(' ').next()?.parse().ok()
    }

    fn fail(&mut self, attempt: u64, error: StoreError) -> &mut Self {
        self.reply(attempt, Reply::Failed(error))
    }
}

fn header() -> Header {
    Header { cluster_id: 1, member_id: 1, revision: Revision(7), raft_term: 2 }
}

fn range() -> Reply {
    Reply::Range(RangeReply { header: header(), ..RangeReply::default() })
}

fn put() -> Reply {
    Reply::Put(PutReply { header: header(), prev: None })
}

fn all() -> Scope {
    Scope::AllInstances
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn one_login_goes_before_everything() {
    let mut h = harness();
    h.get(1).get(2).wait(secs(1)).reply(2, Reply::Authenticated);
    assert_snapshot!(h.trace(), @"
    0.000s < call 1 range k within 20s
    0.000s > #2 m0 authenticate
    0.000s < call 2 range k within 20s
    1.000s < #2 authenticated
    1.000s > #1 m0 range k
    1.000s > #3 m0 range k
    ");
}

#[test]
fn a_forgotten_token_costs_one_login_and_nobody_notices() {
    let mut h = Harness::logged_in();
    h.wait(secs(300)).get(3).put(4);
    h.fail(3, StoreError::InvalidToken).fail(4, StoreError::InvalidToken);
    h.reply(6, Reply::Authenticated);
    // The wire repeats itself, which means nothing any more.
    h.fail(3, StoreError::InvalidToken);
    h.reply(5, range()).reply(7, put());
    assert_snapshot!(h.trace(), @"
    300.000s < call 3 range k within 20s
    300.000s > #3 m0 range k
    300.000s < call 4 put k=1B:8416192e within 20s
    300.000s > #4 m0 put k=1B:8416192e
    300.000s < #3 failed: etcdserver: invalid auth token
    300.000s > #6 m0 authenticate
    300.000s < #4 failed: etcdserver: invalid auth token
    300.000s < #6 authenticated
    300.000s > #5 m0 range k
    300.000s > #7 m0 put k=1B:8416192e
    300.000s < #3 failed: etcdserver: invalid auth token
    300.000s < #5 range @7
    300.000s > call 3 range @7
    300.000s < #7 put @7
    300.000s > call 4 put @7
    ");
}

/// One that the store took once is asked for again at once, however young; one that it never took is not.
#[test]
fn a_token_that_served_is_replaced_at_once() {
    for (served, at) in [(true, "1.000s"), (false, "1.100s")] {
        let mut h = harness();
        h.get(1).reply(2, Reply::Authenticated).wait(secs(1));
        if served {
            h.reply(1, range()).get(3);
        }
        let refused = h.last("range");
        h.lines.clear();
        h.fail(refused, StoreError::InvalidToken).wait(secs(1));
        let login = h.lines.iter().find(|line| line.contains("authenticate"));
        assert!(login.is_some_and(|line| line.starts_with(at)), "{served}: {}", h.trace());
    }
}

#[test]
fn a_refusal_of_the_token_before_costs_no_login() {
    let mut h = Harness::logged_in();
    h.wait(secs(300)).get(3).put(4).fail(3, StoreError::OldAuthRevision);
    h.reply(6, Reply::Authenticated).fail(4, StoreError::OldAuthRevision);
    assert_snapshot!(h.trace(), @"
    300.000s < call 3 range k within 20s
    300.000s > #3 m0 range k
    300.000s < call 4 put k=1B:8416192e within 20s
    300.000s > #4 m0 put k=1B:8416192e
    300.000s < #3 failed: etcdserver: revision of auth store is old
    300.000s > #6 m0 authenticate
    300.000s < #6 authenticated
    300.000s > #5 m0 range k
    300.000s < #4 failed: etcdserver: revision of auth store is old
    300.000s > #7 m0 put k=1B:8416192e
    ");
}

/// How often a directory's process logs in within ten minutes.
fn logins(login: &Reply, other: &Reply) -> usize {
    let mut engine = Engine::new(Time::ZERO, setup());
    engine.handle(Time::ZERO, Input::Command(Command::Open { id: DirectoryId(1), scope: all() }));
    let (mut now, mut logins) = (Time::ZERO, 0);
    while now < Time::from_secs(600) {
        while let Some(output) = engine.poll_output() {
            let Output::Send { attempt, request, .. } = output else { continue };
            let is_login = request == Request::Authenticate;
            logins += usize::from(is_login);
            let reply = if is_login { login } else { other }.clone();
            engine.handle(now, Input::Reply { attempt, reply });
        }
        now = engine.poll_timeout().expect("it never gives up");
        engine.handle(now, Input::Tick);
    }
    logins
}

/// EF1, with a first pause of 100 ms and a longest of 5 s, or of a minute.
#[test]
fn a_store_that_never_lets_us_in_is_asked_ever_less_often() {
    let refused = Reply::Failed(StoreError::InvalidToken);
    let logins_in_vain = logins(&Reply::Authenticated, &refused);
    assert!((20..=1 + 6 + 120).contains(&logins_in_vain), "{logins_in_vain} logins");
    let wrong = Reply::Failed(StoreError::AuthFailed);
    let wrong_passwords = logins(&wrong, &refused);
    assert!((10..=1 + 10 + 10).contains(&wrong_passwords), "{wrong_passwords} logins");
}

#[test]
fn a_wrong_password_is_told_at_once() {
    let mut h = harness();
    h.get(1).put(2).fail(2, StoreError::AuthFailed).get(3).wait(secs(1));
    assert_snapshot!(h.trace(), @"
    0.000s < call 1 range k within 20s
    0.000s > #2 m0 authenticate
    0.000s < call 2 put k=1B:8416192e within 20s
    0.000s < #2 failed: etcdserver: authentication failed, invalid user ID or password
    0.000s > call 1 not done: etcdserver: authentication failed, invalid user ID or password
    0.000s > call 2 not done: etcdserver: authentication failed, invalid user ID or password
    0.000s < call 3 range k within 20s
    0.000s > call 3 not done: etcdserver: authentication failed, invalid user ID or password
    0.100s > #5 m0 authenticate
    ");
}

#[test]
fn other_credentials_are_tried_at_once() {
    let mut h = harness();
    h.get(1).fail(2, StoreError::AuthFailed).lines.clear();
    h.reply(0, Reply::CredentialsChanged).get(2).reply(3, Reply::Authenticated);
    h.reply(0, Reply::CredentialsChanged);
    assert_snapshot!(h.trace(), @"
    0.000s < #0 credentials changed
    0.000s > #3 m0 authenticate
    0.000s < call 2 range k within 20s
    0.000s < #3 authenticated
    0.000s > #4 m0 range k
    0.000s < #0 credentials changed
    ");
}

fn register() -> Command {
    let (group, id) = (GroupName::parse("web"), InstanceId::parse("a"));
    let builder = Instance::builder(group.expect("a name"), id.expect("a name"));
    let http = EndpointName::parse("http").expect("a name");
    let instance = builder.endpoint(http, "10.0.0.1:80").build().expect("an instance");
    Command::Register { id: RegistrationId(1), instance, conflict: Conflict::Replace }
}

#[test]
fn a_watch_that_is_refused_in_its_band_is_opened_anew_unseen() {
    let mut h = Harness::logged_in();
    h.wait(secs(300)).command(Command::Open { id: DirectoryId(1), scope: all() }).reply(3, range());
    h.lines.clear();
    h.reply(
        4,
        Reply::Watch(WatchReply {
            header: header(),
            watch_id: -1,
            created: true,
            canceled: true,
            cancel_reason: "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token"
                .to_owned(),
            ..WatchReply::default()
        }),
    );
    h.reply(6, Reply::Authenticated);
    h.reply(
        5,
        Reply::Watch(WatchReply { header: header(), created: true, ..WatchReply::default() }),
    );
    assert_snapshot!(h.trace(), @r#"
    300.000s < #4 watch @7 id=-1 created canceled reason="rpc error: code = Unauthenticated desc = etcdserver: invalid auth token"
    300.000s > #4 cancel
    300.000s > #6 m0 authenticate
    300.000s < #6 authenticated
    300.000s > #5 m0 watch [/portolan/instances/, /portolan/instances0) from 7 progress fragment
    300.000s < #5 watch @7 created
    300.000s > #7 m0 range [/portolan/instances/, /portolan/instances0) at7 limit=128 sort=Mod/Descending
    "#);
}

/// A stream keeps its first token, so a further watch on it would be refused for ever.
#[test]
fn a_stream_whose_token_is_old_is_opened_anew() {
    let mut h = Harness::logged_in();
    h.wait(secs(300)).command(Command::Open { id: DirectoryId(1), scope: all() }).reply(3, range());
    let said = |created, canceled, cancel_reason: &str| {
        let cancel_reason = cancel_reason.to_owned();
        let header = header();
        let said = WatchReply { header, created, canceled, cancel_reason, ..Default::default() };
        Reply::Watch(said)
    };
    h.reply(4, said(true, false, "")).lines.clear();
    h.reply(4, said(true, true, "etcdserver: invalid auth token")).wait(secs(1));
    let login = h.last("authenticate");
    h.reply(login, Reply::Authenticated);
    assert_snapshot!(h.trace(), @r#"
    300.000s < #4 watch @7 created canceled reason="etcdserver: invalid auth token"
    300.000s > #4 cancel
    300.000s > #5 cancel
    300.100s > #7 m0 authenticate
    301.000s < #7 authenticated
    301.000s > #6 m0 watch [/portolan/instances/, /portolan/instances0) from 7 progress fragment
    "#);
}

#[test]
fn a_store_without_authentication_needs_no_token_until_it_says_so() {
    let mut h = harness();
    h.get(1).fail(2, StoreError::AuthNotEnabled).reply(1, range());
    h.wait(secs(60)).get(2).fail(3, StoreError::NoToken);
    assert_snapshot!(h.trace(), @"
    0.000s < call 1 range k within 20s
    0.000s > #2 m0 authenticate
    0.000s < #2 failed: etcdserver: authentication is not enabled
    0.000s > #1 m0 range k
    0.000s < #1 range @7
    0.000s > call 1 range @7
    60.000s < call 2 range k within 20s
    60.000s > #3 m0 range k
    60.000s < #3 failed: etcdserver: user name is empty
    60.000s > #5 m0 authenticate
    ");
}

/// It was never sent, so it is not in doubt.
#[test]
fn what_waited_for_a_login_in_vain_was_not_done() {
    let mut h = harness();
    h.put(1);
    h.wait(secs(60));
    assert!(h.trace().contains("> call 1 not done"), "{}", h.trace());
    assert!(!h.trace().contains("m0 put"), "{}", h.trace());
}

/// What stood in the way of the login is told, unless it could be read as a doubt about the call.
#[test]
fn why_nobody_was_logged_in_is_told() {
    let refused = StoreError::Refused { detail: "127.0.0.1:2379".to_owned() };
    for (error, told) in [(refused, true), (StoreError::TimedOut, false)] {
        let mut h = harness();
        h.put(1);
        while !h.trace().contains("> call 1") {
            if let Some(login) = h.asked("m0 authenticate") {
                h.fail(login, error.clone());
            }
            h.wait(secs(1));
        }
        let end = h.lines.iter().find(|line| line.contains("> call 1")).expect("it ends");
        let why = if told { error.to_string() } else { "not logged in".to_owned() };
        assert!(end.contains("> call 1 not done: ") && end.contains(&why), "{end}");
    }
}

#[test]
fn how_the_login_stands() {
    let login = |h: &Harness| h.engine.standing().login;
    let mut h = harness();
    assert_eq!(login(&h), Login::Pending);
    h.get(1).fail(2, StoreError::AuthFailed);
    assert_eq!(login(&h), Login::Refused);
    h.reply(0, Reply::CredentialsChanged);
    assert_eq!(login(&h), Login::Pending);
    h.reply(3, Reply::Authenticated);
    assert_eq!(login(&h), Login::Done);
    let none = Harness::with(Setup { authenticates: false, ..setup() });
    assert_eq!(login(&none), Login::None);
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Done,
    TokenRefused,
    Late,
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![Just(Answer::Done), Just(Answer::TokenRefused), Just(Answer::Late)]
}

proptest! {
    /// Whatever the store says of tokens: nothing is sent before a login, one login is under way at a
    /// time, each call ends once, and a request that was answered is never sent again.
    #[test]
    fn logins_are_single_and_calls_end_once(
        seed: u64,
        answers in vec(answer(), 1..40),
        password_is_right in vec(any::<bool>(), 1..10),
    ) {
        let mut engine = Engine::new(Time::ZERO, Setup { seed, ..setup() });
        let mut answers = answers.into_iter();
        let mut right = password_is_right.into_iter();
        let mut now = Time::ZERO;
        let mut open: BTreeMap<AttemptId, Request> = BTreeMap::new();
        let (mut logged_in, mut ended, mut logins) = (false, 0, 0);
        for id in 0..8 {
            let request = Request::Put(Put { key: "k".into(), ..Put::default() });
            let within = Duration::from_secs(30);
            let call = Command::Call { id: OpId(id + 1), request, within };
            engine.handle(now, Input::Command(call));
        }
        for _ in 0..2_000 {
            while let Some(output) = engine.poll_output() {
                match output {
                    Output::Send { attempt, request, .. } => {
                        let login = request == Request::Authenticate;
                        prop_assert!(login || logged_in, "{request} before a login");
                        let under_way = open.values().any(|open| *open == Request::Authenticate);
                        prop_assert!(!(login && under_way), "two logins at once");
                        logins += u32::from(login);
                        prop_assert!(open.insert(attempt, request).is_none(), "one number, twice");
                    }
                    Output::Cancel { attempt } => drop(open.remove(&attempt)),
                    Output::Event(_) => ended += 1,
                    Output::Redial { .. } | Output::Introduce { .. } => {}
                }
            }
            let next = open.iter().next().map(|(&attempt, request)| (attempt, request.clone()));
            let input = match next {
                Some((attempt, Request::Authenticate)) => {
                    open.remove(&attempt);
                    logged_in = right.next().unwrap_or(true);
                    let refused = Reply::Failed(StoreError::AuthFailed);
                    let reply = if logged_in { Reply::Authenticated } else { refused };
                    Input::Reply { attempt, reply }
                }
                Some((attempt, _)) => match answers.next().unwrap_or(Answer::Done) {
                    Answer::Late => {
                        now = now + Duration::from_millis(700);
                        Input::Tick
                    }
                    said @ (Answer::Done | Answer::TokenRefused) => {
                        open.remove(&attempt);
                        let refused = Reply::Failed(StoreError::InvalidToken);
                        let done = matches!(said, Answer::Done);
                        Input::Reply { attempt, reply: if done { put() } else { refused } }
                    }
                },
                None => {
                    let Some(due) = engine.poll_timeout() else { break };
                    now = due;
                    Input::Tick
                }
            };
            engine.handle(now, input);
            if ended == 8 {
                break;
            }
        }
        prop_assert_eq!(ended, 8);
        prop_assert!(logins <= 60, "{logins} logins");
    }
}

/// Only a refusal of the token says that nothing was done.
#[test]
fn a_write_in_doubt_is_not_sent_anew_after_a_login() {
    for error in [StoreError::TimedOut, StoreError::PermissionDenied] {
        let mut h = Harness::logged_in();
        h.wait(secs(300)).put(3).fail(3, error.clone()).wait(secs(60));
        assert_eq!(h.last("m0 put"), 3, "{}", h.trace());
        assert_eq!(h.asked("authenticate"), None, "{}", h.trace());
        assert!(h.trace().contains(&error.to_string()), "{}", h.trace());
    }
}

/// What the store says of other credentials says nothing of the token that there is: it is used until
/// it is refused itself.
#[test]
fn a_refused_login_beside_a_token_stops_nobody() {
    let mut h = Harness::logged_in();
    h.wait(secs(300)).get(3).wait(secs(4));
    h.fail(h.last("authenticate"), StoreError::AuthFailed).get(4);
    h.reply(h.last("m0 range k"), range());
    assert!(h.end().contains("call 4 range @7"), "{}", h.trace());
    // Others are asked for a token at once.
    h.wait(secs(300)).get(5).wait(secs(4));
    h.fail(h.last("authenticate"), StoreError::AuthFailed);
    let asked = h.last("authenticate");
    h.reply(0, Reply::CredentialsChanged);
    assert!(h.last("authenticate") > asked, "{}", h.trace());
}
