//! Rows A1 to A8 as far as they need several members, other clocks, or words that no carrier sends.

use std::time::Duration;

use portolan_core::waist::{
    AttemptId, KeyRange, MemberId, Range, Reply, Request, Revision, StoreError, Watch, WatchSay,
};
use portolan_memory::{
    Access, Admin, Config, Credentials, Fault, Identity, Input, MemberFault, Operation, Pass,
    Permission, Quirks, Token,
};

use crate::kit::{Bench, ME, put};

/// A store with root, and with ann, who may do everything below `a`.
fn guarded(config: Config) -> Bench {
    let mut bench = Bench::with(config);
    let role = || "part".to_owned();
    let permission = Permission { keys: KeyRange::prefix("a"), access: Access::ReadWrite };
    for admin in [
        Admin::Enable,
        Admin::AddUser(Credentials::new("root", "r00t")),
        Admin::GrantRole { user: "root".to_owned(), role: "root".to_owned() },
        Admin::AddUser(Credentials::new("ann", "secret")),
        Admin::AddRole { role: role() },
        Admin::GrantPermission { role: role(), permission },
        Admin::GrantRole { user: "ann".to_owned(), role: role() },
        Admin::Enable,
    ] {
        bench.input(Input::Admin(admin));
    }
    bench
}

/// A token from one of the members.
fn token(bench: &mut Bench, member: u16, credentials: &Credentials) -> Option<Token> {
    let (from, attempt, member) = (ME, AttemptId(1 << 40), MemberId(member));
    let pass = Pass::Login(credentials.clone());
    let request = Request::Authenticate;
    bench.model.handle(bench.now, Input::Request { from, attempt, member, request, pass });
    let mut output = bench.model.poll_output()?;
    let token = output.take_token();
    assert_eq!(output.reply == Reply::Authenticated, token.is_some());
    token
}

fn log_in(bench: &mut Bench) {
    let token = token(bench, 0, &Credentials::new("ann", "secret"));
    bench.pass = Pass::Token(token.expect("the password is right"));
}

fn read(key: &str) -> Request {
    Request::Range(Range::of(KeyRange::one(key)))
}

fn error_at(bench: &mut Bench, member: u16, request: Request) -> Option<StoreError> {
    if let Reply::Failed(error) = bench.ask_at(member, request) { Some(error) } else { None }
}

#[test]
fn a1_nobody_is_asked_before_root_is_there() {
    let mut bench = Bench::new();
    for admin in [Admin::Enable, Admin::AddUser(Credentials::new("root", "r00t")), Admin::Enable] {
        bench.input(Input::Admin(admin));
        bench.put("k", "");
    }
    let root = || "root".to_owned();
    bench.input(Input::Admin(Admin::GrantRole { user: root(), role: root() }));
    bench.put("k", "");
    bench.input(Input::Admin(Admin::Enable));
    assert_eq!(bench.error(read("k")), Some(StoreError::NoToken));
    // While it is on, root stays.
    for admin in [
        Admin::DeleteUser { user: root() },
        Admin::RevokeRole { user: root(), role: root() },
        Admin::DeleteRole { role: root() },
    ] {
        bench.input(Input::Admin(admin));
    }
    let known = token(&mut bench, 0, &Credentials::new("root", "r00t")).expect("it is there");
    bench.pass = Pass::Token(known);
    assert!(bench.get("k").is_some());
    assert_eq!(token(&mut bench, 0, &Credentials::new("root", "else")), None);
    bench.input(Input::Admin(Admin::ChangePassword(Credentials::new("root", "else"))));
    assert_eq!(bench.error(read("k")), Some(StoreError::InvalidToken));
    assert!(token(&mut bench, 0, &Credentials::new("root", "else")).is_some());
}

#[test]
fn a3_a_change_of_users_refuses_what_was_under_way() {
    let mut bench = guarded(Config { require_leader: false, ..Config::default().members(3) });
    log_in(&mut bench);
    bench.member_fault(1, MemberFault::Lag);
    bench.input(Input::Admin(Admin::AddUser(Credentials::new("bob", ""))));
    // The member that lags looks the user up as of before the change.
    let late = bench.send_to(1, Request::Put(put("a", "")));
    assert_eq!(error_at(&mut bench, 0, Request::Put(put("a", "2"))), None);
    bench.member_fault(1, MemberFault::CatchUp);
    assert_eq!(bench.failed(late), Some(StoreError::OldAuthRevision));
    assert_eq!(bench.get("a").map(|kv| kv.version), Some(1));
}

#[test]
fn a6_each_member_counts_for_itself() {
    let mut bench =
        guarded(Config { token_ttl: Duration::from_secs(5), ..Config::default().members(3) });
    log_in(&mut bench);
    for _ in 0..3 {
        bench.wait_ms(4000);
        assert_eq!(error_at(&mut bench, 0, read("a")), None);
    }
    assert_eq!(error_at(&mut bench, 1, read("a")), Some(StoreError::InvalidToken));
    bench.wait_ms(5000);
    assert_eq!(error_at(&mut bench, 0, read("a")), None);
    bench.wait_ms(5001);
    assert_eq!(error_at(&mut bench, 0, read("a")), Some(StoreError::InvalidToken));
}

#[test]
fn a7_a_member_that_starts_finds_what_is_newer_than_its_disk() {
    let mut bench = guarded(Config::default().members(3));
    log_in(&mut bench);
    bench.member_fault(2, MemberFault::Restart);
    assert_eq!(error_at(&mut bench, 2, read("a")), None);
    assert_eq!(error_at(&mut bench, 1, Request::Put(put("a", ""))), None);
    bench.member_fault(2, MemberFault::Restart);
    assert_eq!(error_at(&mut bench, 2, read("a")), Some(StoreError::InvalidToken));
    assert_eq!(error_at(&mut bench, 1, read("a")), None, "it did not restart");
    bench.fault(Fault::Wipe);
    bench.wait_ms(2000);
    bench.pass = Pass::Nobody;
    assert_eq!(error_at(&mut bench, 1, read("a")), None, "users are gone with the data");
}

#[test]
fn a8_a_token_waits_for_its_member() {
    let mut bench = guarded(Config::default().members(3));
    bench.member_fault(1, MemberFault::Lag);
    log_in(&mut bench);
    let stale = Request::Range(Range { serializable: true, ..Range::of(KeyRange::one("a")) });
    let waiting = bench.send_to(1, stale.clone());
    bench.wait_ms(60_000);
    assert!(bench.is_quiet(), "it waits for as long as it takes");
    bench.member_fault(1, MemberFault::CatchUp);
    assert!(matches!(bench.answer(waiting), Some(Reply::Range(_))));
    // One that is no place in the log is wrong at once; one that has not come yet waits for that.
    bench.pass = Pass::Token("letters".into());
    assert_eq!(error_at(&mut bench, 1, stale.clone()), Some(StoreError::InvalidToken));
    bench.pass = Pass::Token("letters.12".into());
    let waiting = bench.send_to(1, stale);
    assert!(bench.is_quiet());
    log_in(&mut bench);
    for n in 0..9 {
        bench.put("a", &n.to_string());
    }
    assert_eq!(bench.failed(waiting), Some(StoreError::InvalidToken));
}

#[test]
fn a8_what_is_said_on_a_stream_waits_with_it() {
    let mut bench = guarded(Config::default().members(3));
    bench.member_fault(1, MemberFault::Lag);
    log_in(&mut bench);
    let of = |key: &str| Watch::of(KeyRange::one(key), Revision::ZERO);
    let stream = bench.send_to(1, Request::Watch(of("a")));
    let say = WatchSay::Create(of("ab"));
    bench.send_to(1, Request::OnWatch { stream, say });
    assert!(bench.is_quiet());
    bench.member_fault(1, MemberFault::CatchUp);
    let created = bench.heard(stream).iter().filter(|reply| reply.created).count();
    assert_eq!(created, 2);
    // Where the process ends first, the stream does, and nothing is said of what was said on it.
    bench.member_fault(1, MemberFault::Lag);
    log_in(&mut bench);
    let stream = bench.send_to(1, Request::Watch(of("a")));
    let say = WatchSay::Create(of("ab"));
    let said = bench.send_to(1, Request::OnWatch { stream, say });
    bench.member_fault(1, MemberFault::Stop);
    assert!(matches!(bench.failed(stream), Some(StoreError::ConnectionLost { .. })));
    assert_eq!(bench.answer(said), None);
}

#[test]
fn a5_a_stream_keeps_its_token() {
    let mut bench = guarded(Config::default());
    log_in(&mut bench);
    let of = |key: &str| Watch::of(KeyRange::one(key), Revision::ZERO);
    let stream = bench.watch(of("a"));
    let open = Watch::of(KeyRange::from_key("a"), Revision::ZERO);
    bench.say(stream, WatchSay::Create(open));
    let heard = bench.heard(stream);
    assert_eq!(heard.iter().map(|reply| reply.canceled).collect::<Vec<_>>(), [false, true]);
    // Another token does not help, and no other time counts than when it was used last.
    bench.wait_ms(300_001);
    log_in(&mut bench);
    bench.say(stream, WatchSay::Create(of("a")));
    let heard = bench.heard(stream);
    let reason = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
    assert_eq!(
        heard.iter().map(|reply| reply.cancel_reason.as_str()).collect::<Vec<_>>(),
        [reason]
    );
    bench.put("a", "");
    assert_eq!(bench.heard_events(stream).len(), 1, "what runs goes on");
}

#[test]
fn what_is_secret_is_not_shown() {
    let credentials = Credentials::new("ann", "secret");
    let mut bench = guarded(Config::default());
    log_in(&mut bench);
    let Pass::Token(token) = bench.pass.clone() else { panic!("it has one") };
    let hidden = serde_json::to_string(&token).expect("text");
    let hidden = hidden.trim_matches('"');
    let inputs = [
        Input::Admin(Admin::AddUser(credentials.clone())),
        Input::Admin(Admin::ChangePassword(credentials.clone())),
        Input::Request {
            from: ME,
            attempt: AttemptId(1),
            member: MemberId(0),
            request: Request::Authenticate,
            pass: Pass::Login(credentials.clone()),
        },
        Input::Request {
            from: ME,
            attempt: AttemptId(1),
            member: MemberId(0),
            request: Request::Status,
            pass: Pass::Token(token.clone()),
        },
    ];
    let mut texts: Vec<_> = inputs.iter().map(|input| format!("{input:?} {input}")).collect();
    texts.push(format!("{:?}", bench.model));
    let mut identity = Identity::of(Some(credentials));
    identity.hear(Some(token));
    texts.push(format!("{identity:?}"));
    for text in texts {
        assert!(!text.contains("secret") && !text.contains(hidden), "{text}");
    }
}

/// Two users, and their tokens: root, and ann, who has the role `part`.
fn both(config: Config) -> (Bench, [Pass; 2]) {
    let mut bench = guarded(config);
    let passes = [("root", "r00t"), ("ann", "secret")].map(|(user, password)| {
        let token = token(&mut bench, 0, &Credentials::new(user, password));
        Pass::Token(token.expect("the password is right"))
    });
    (bench, passes)
}

/// Who may ask for what, as `nobody ann root`: `+` if it is done.
fn who_may(config: &Config, operation: &Operation) -> String {
    let (mut bench, [root, ann]) = both(config.clone());
    let told = [Pass::Nobody, ann, root].map(|pass| {
        bench.pass = pass;
        match bench.operate(operation.clone()) {
            Ok(_) => "+".to_owned(),
            Err(StoreError::NoToken) => "who".to_owned(),
            Err(StoreError::PermissionDenied) => "no".to_owned(),
            Err(StoreError::Other { message, .. }) => format!("<{message}>"),
            Err(error) => panic!("{error:?}"),
        }
    });
    told.join(" ")
}

/// `server/etcdserver/apply_auth.go` and `server/etcdserver/api/v3rpc/maintenance.go`.
#[test]
fn a3_who_may_ask_what_operators_ask() {
    let user = |user: &str| Operation::User { user: user.to_owned() };
    let role = |role: &str| Operation::Role { role: role.to_owned() };
    let alarm = Operation::SetAlarm { member: 1, on: true };
    let kept = Operation::Kept { revision: Revision::ZERO };
    let everyone_asks = |config: &Config, lines: &[(Operation, &str)]| {
        for (operation, told) in lines {
            assert_eq!(who_may(config, operation), *told, "{operation:?}");
        }
    };
    everyone_asks(
        &Config::default(),
        &[
            (Operation::AuthStatus, "who no +"),
            (Operation::Users, "who no +"),
            (user("ann"), "who + +"),
            (user("root"), "who no +"),
            (Operation::Roles, "who no +"),
            (role("part"), "who + +"),
            (role("root"), "who no <etcdserver: role name not found>"),
            (Operation::Admin(Admin::AddRole { role: "new".to_owned() }), "who no +"),
            (Operation::Alarms, "who + +"),
            (alarm.clone(), "who no +"),
            (kept.clone(), "who no +"),
        ],
    );
    let gaps = Quirks { auth_gaps: true, ..Quirks::default() };
    let config = Config { quirks: gaps, ..Config::default() };
    everyone_asks(&config, &[(Operation::Alarms, "+ + +"), (alarm, "+ + +")]);
    let raw = Quirks { hash_refused_raw: true, ..Quirks::default() };
    let config = Config { quirks: raw, ..Config::default() };
    let words = "<auth: user name is empty> <auth: permission denied> +";
    everyone_asks(&config, &[(kept, words), (Operation::Users, "who no +")]);
}

/// What comes of changes of users and roles, in order (`server/auth/store.go`).
#[test]
fn a1_changes_of_users_and_roles_that_are_refused() {
    let (user, role) = (|name: &str| name.to_owned(), |name: &str| name.to_owned());
    let on = |key: &str, end: &str| KeyRange { key: key.into(), end: end.into() };
    let grant = |keys: KeyRange| {
        let permission = Permission { keys, access: Access::Read };
        Admin::GrantPermission { role: role("part"), permission }
    };
    let revoke = |keys: KeyRange| Admin::RevokePermission { role: role("part"), keys };
    let (mut bench, [root, _]) = both(Config::default());
    bench.pass = root;
    let mut told = |admin: &Admin| match bench.operate(Operation::Admin(admin.clone())) {
        Ok(_) => "done".to_owned(),
        Err(StoreError::Other { message, .. }) => message.clone(),
        Err(error) => error.to_string(),
    };
    let steps = [
        (grant(on("", "")), "etcdserver: invalid auth management"),
        (grant(on("", "b")), "etcdserver: invalid auth management"),
        (grant(on("b", "a")), "etcdserver: invalid auth management"),
        (grant(on("b", "")), "done"),
        (grant(on("b", "\0")), "done"),
        (revoke(on("b", "c")), "etcdserver: permission is not granted to the role"),
        (revoke(on("b", "")), "done"),
        (revoke(on("b", "")), "etcdserver: permission is not granted to the role"),
        (
            Admin::RevokeRole { user: user("ann"), role: role("root") },
            "etcdserver: role is not granted to the user",
        ),
        (
            Admin::RevokeRole { user: user("root"), role: role("root") },
            "etcdserver: invalid auth management",
        ),
        (Admin::GrantRole { user: user("root"), role: role("part") }, "done"),
        (Admin::RevokeRole { user: user("root"), role: role("part") }, "done"),
        (Admin::GrantRole { user: user("ann"), role: role("root") }, "done"),
        (Admin::RevokeRole { user: user("ann"), role: role("root") }, "done"),
    ];
    for (admin, expected) in &steps {
        assert_eq!(told(admin), *expected, "{admin:?}");
    }
}

/// Whatever the seed, no two are alike.
#[test]
fn a2_each_token_has_letters_of_its_own() {
    for seed in [0, u64::MAX] {
        let mut bench = guarded(Config { seed, ..Config::default() });
        let mut known = std::collections::BTreeSet::new();
        for _ in 0..5 {
            let token = token(&mut bench, 0, &Credentials::new("ann", "secret")).expect("let in");
            let (letters, _) = token.reveal().split_once('.').expect("letters and an index");
            assert!(letters.len() == 16 && letters.bytes().all(|byte| byte.is_ascii_lowercase()));
            assert!(known.insert(letters.to_owned()), "{letters} again, with seed {seed}");
        }
    }
}

/// Made up, one waits only where it names a place of the log that is still to come, and only while
/// anybody asks for tokens.
#[test]
fn a8_a_token_that_nobody_issued() {
    let mut bench = guarded(Config::default());
    log_in(&mut bench);
    let Pass::Token(known) = &bench.pass else { unreachable!("it has logged in") };
    let (_, index) = known.reveal().split_once('.').expect("letters and an index");
    bench.pass = Pass::Token(Token::from(format!("madeup.{index}").as_str()));
    assert_eq!(bench.error(read("a")), Some(StoreError::InvalidToken), "its place is known");
    bench.pass = Pass::Token(Token::from("madeup.1000000"));
    let waits = bench.send(read("a"));
    bench.wait_ms(100);
    assert_eq!(bench.failed(waits), None);
    bench.input(Input::Admin(Admin::Disable));
    assert_eq!(bench.error(read("a")), None, "nobody is asked");
}
