//! What to begin with.

use super::asked::{
    Alarm, Asked, Changed, Compact, Compare, Create, Delete, Field, Grant, GrantPermission, Login,
    METHODS, Name, Nested, NewUser, Nothing, Number, Op, Operation, Pair, Permission, Put, Range,
    Span, Text, TimeToLive, Txn, Watch, WatchSay, With,
};
use super::call::{Call, Frame, Lie, Metadatum, Path, Then};
use super::connection::{Payload, Sent};
use super::seldom::Seldom;
use super::{Scene, Step};
use crate::tape;

const ALONE: Scene = Scene { more_members: 0, users: false, little: false, raw: false };
const USERS: Scene = Scene { users: true, ..ALONE };
const THREE: Scene = Scene { more_members: 2, ..ALONE };
const LITTLE: Scene = Scene { little: true, ..ALONE };

/// What to begin with, by name.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let scenes = [
        ("put-and-range", ALONE, vec![put("a", "1"), call(Asked::Range(all()))]),
        ("keys", THREE, keys()),
        ("watch", ALONE, watch(false)),
        ("watch-unread", LITTLE, watch(true)),
        ("leases", ALONE, leases()),
        ("cluster-and-maintenance", THREE, maintenance()),
        ("users", ALONE, users()),
        ("as-a-user", USERS, as_a_user()),
        ("tokens", USERS, tokens()),
        ("lies", ALONE, lies()),
        ("metadata", ALONE, metadata()),
        ("given-up", ALONE, given_up()),
        ("fields", ALONE, fields()),
        ("every-method", ALONE, every_method(0..30)),
        ("every-other-method", THREE, every_method(12..42)),
        ("a-connection", ALONE, a_connection()),
        ("a-connection-gone-wrong", THREE, a_connection_gone_wrong()),
    ];
    let scenes = scenes.into_iter().map(|(name, scene, steps)| (name, of(&scene, &steps)));
    scenes.chain(raw()).map(|(name, seed)| (name.to_owned(), seed)).collect()
}

fn of(scene: &Scene, steps: &[Step]) -> Vec<u8> {
    let mut tape = tape::write(std::slice::from_ref(scene));
    tape.extend(tape::write(steps));
    tape
}

/// Bytes of whole connections.
fn raw() -> Vec<(&'static str, Vec<u8>)> {
    let connections = [
        ("raw-call", vec![Sent::Preface, settings(), head("KV/Range", 1), data(1, message(all()))]),
        ("raw-settings-and-garbage", vec![Sent::Preface, settings(), Sent::Raw(vec![0xff; 64])]),
        ("raw-garbage", vec![Sent::Raw(b"GET / HTTP/1.1\r\n\r\n".to_vec())]),
    ];
    let raw = Scene { raw: true, ..ALONE };
    let each = |(name, all): (_, Vec<Sent>)| {
        let mut seed = of(&raw, &[]);
        seed.extend(all.iter().flat_map(|sent| sent.bytes(&[])));
        (name, seed)
    };
    connections.into_iter().map(each).collect()
}

fn frame(asked: Asked) -> Frame {
    Frame::from(asked)
}

fn message(range: Range) -> Frame {
    frame(Asked::Range(range))
}

fn that(said: Frame) -> Call {
    Call {
        member: 0,
        said,
        path: Seldom(None),
        metadata: Vec::new(),
        then: Then::Ended,
        deaf: false,
    }
}

fn call(asked: Asked) -> Step {
    Step::Call(that(frame(asked)))
}

fn open(asked: Asked, deaf: bool) -> Step {
    Step::Call(Call { then: Then::Open, deaf, ..that(frame(asked)) })
}

fn with(asked: Asked, metadata: Vec<Metadatum>) -> Step {
    Step::Call(Call { metadata, ..that(frame(asked)) })
}

fn all() -> Range {
    Range { key: "a".into(), end: "\0".into(), ..Range::default() }
}

fn put_of(key: &str, value: &str) -> Put {
    Put { key: key.into(), value: value.into(), ..Put::default() }
}

fn put(key: &str, value: &str) -> Step {
    call(Asked::Put(put_of(key, value)))
}

fn op(op: Op) -> Operation {
    Operation { op: Some(op) }
}

fn keys() -> Vec<Step> {
    let compare =
        |target, with| Compare { target, key: "a".into(), with: Some(with), ..Compare::default() };
    let txn = Txn {
        compares: vec![
            compare(0, With::Version(1)),
            compare(2, With::Mod(2)),
            compare(3, With::Value("1".into())),
        ],
        then: vec![op(Op::Put(put_of("b", "2"))), op(Op::Range(all()))],
        or_else: vec![op(Op::Delete(Delete { key: "a".into(), ..Delete::default() }))],
    };
    let two = Txn { then: vec![op(Op::Put(put_of("b", "2"))); 2], ..Txn::default() };
    let newest = Range { sort_order: 2, sort_target: 3, limit: 1, ..all() };
    let old = Range { revision: 2, ..all() };
    vec![
        put("a", "1"),
        call(Asked::Txn(Nested { txn: txn.clone(), times: 0 })),
        call(Asked::Txn(Nested { txn, times: 2 })),
        call(Asked::Txn(Nested { txn: two, times: 0 })),
        call(Asked::Txn(Nested { txn: Txn::default(), times: 200 })),
        call(Asked::Range(newest)),
        call(Asked::Range(Range { sort_target: 9, ..all() })),
        call(Asked::DeleteRange(Delete { key: "a".into(), end: "\0".into(), prev_kv: true })),
        call(Asked::Compact(Compact { revision: 3, physical: true })),
        call(Asked::Range(old)),
        call(Asked::Compact(Compact { revision: 1_000, physical: false })),
        call(Asked::RangeStream(all())),
    ]
}

fn say(asked: Asked) -> Step {
    Step::Say(0, frame(asked))
}

fn create(create: Create) -> Asked {
    Asked::Watch(Watch { say: Some(WatchSay::Create(create)) })
}

fn watch(deaf: bool) -> Vec<Step> {
    let each = Create {
        key: "a".into(),
        end: "c".into(),
        start: 1,
        prev_kv: true,
        fragment: true,
        ..Create::default()
    };
    let filtered = Create { filters: vec![0, 7], id: 7, progress: true, ..each.clone() };
    let cancel = |number| Some(WatchSay::Cancel(Number { number }));
    vec![
        put("a", "0"),
        open(create(each.clone()), deaf),
        say(create(filtered.clone())),
        say(create(filtered)),
        put("a", "1"),
        put("b", "a value which is a little longer than the others are, so that it counts"),
        put("a", "another value which is a little longer than the others are"),
        say(Asked::Watch(Watch { say: Some(WatchSay::Progress(Nothing {})) })),
        Step::Wait(1_000),
        say(Asked::Watch(Watch { say: cancel(0) })),
        say(Asked::Watch(Watch { say: cancel(99) })),
        say(Asked::Watch(Watch { say: None })),
        put("a", "2"),
        Step::Then(0, Then::Ended),
        open(create(each), deaf),
        Step::Say(
            0,
            Frame { lie: Seldom(Some(Lie::Length(u32::MAX))), ..frame(Asked::Status(Nothing {})) },
        ),
    ]
}

fn leases() -> Vec<Step> {
    let renew = |number| Asked::LeaseKeepAlive(Number { number });
    vec![
        call(Asked::LeaseGrant(Grant { ttl: 5, id: 7 })),
        call(Asked::LeaseGrant(Grant { ttl: 5, id: 7 })),
        call(Asked::LeaseGrant(Grant { ttl: i64::MAX, id: -1 })),
        call(Asked::Put(Put { lease: 7, ..put_of("a", "1") })),
        open(renew(7), false),
        say(renew(0)),
        say(renew(7)),
        call(Asked::LeaseTimeToLive(TimeToLive { id: 7, keys: true })),
        call(Asked::LeaseLeases(Nothing {})),
        Step::Wait(10_000),
        say(renew(7)),
        call(Asked::LeaseTimeToLive(TimeToLive { id: 7, keys: true })),
        call(Asked::LeaseGrant(Grant { ttl: 60, id: 0 })),
        call(Asked::LeaseGrant(Grant { ttl: 60, id: 8 })),
        call(Asked::LeaseRevoke(Number { number: 8 })),
        call(Asked::LeaseRevoke(Number { number: 8 })),
    ]
}

fn maintenance() -> Vec<Step> {
    let alarm = |action, member, alarm| call(Asked::Alarm(Alarm { action, member, alarm }));
    vec![
        put("a", "1"),
        call(Asked::MemberList(Number { number: 1 })),
        call(Asked::Status(Nothing {})),
        call(Asked::Hash(Nothing {})),
        call(Asked::HashKv(Number { number: 2 })),
        call(Asked::HashKv(Number { number: -1 })),
        alarm(1, 7, 1),
        alarm(0, 0, 0),
        put("a", "2"),
        alarm(2, 7, 1),
        alarm(1, 0, 2),
        put("a", "3"),
        call(Asked::Snapshot(Nothing {})),
        call(Asked::MoveLeader(Number { number: 1 })),
    ]
}

fn name(name: &str) -> Name {
    Name { name: name.into() }
}

fn pair(one: &str, other: &str) -> Pair {
    Pair { one: one.into(), other: other.into() }
}

fn login(name: &str, password: &str) -> Login {
    Login { name: name.into(), password: password.into(), hashed: String::new() }
}

fn user(name: &str, password: &str) -> NewUser {
    NewUser { name: name.into(), password: password.into(), ..NewUser::default() }
}

fn grant(role: &str) -> Asked {
    let permission = Permission { access: 2, key: "a".into(), end: "\0".into() };
    Asked::RoleGrantPermission(GrantPermission { role: role.into(), permission: Some(permission) })
}

fn users() -> Vec<Step> {
    let span = Span { role: "c".into(), key: "a".into(), end: "\0".into() };
    let no_password = Some(Number { number: 1 });
    vec![
        call(Asked::AuthEnable(Nothing {})),
        call(Asked::UserAdd(user("root", "a"))),
        call(Asked::UserAdd(user("b", "c"))),
        call(Asked::UserAdd(NewUser { options: no_password, ..user("api", "") })),
        call(Asked::UserAdd(NewUser { hashed: "a".into(), ..user("web", "") })),
        call(Asked::UserGrantRole(pair("root", "root"))),
        call(Asked::RoleAdd(name("c"))),
        call(grant("c")),
        call(Asked::UserGrantRole(pair("b", "c"))),
        call(Asked::UserGet(name("b"))),
        call(Asked::RoleGet(name("c"))),
        call(Asked::UserList(Nothing {})),
        call(Asked::RoleList(Nothing {})),
        call(Asked::RoleRevokePermission(span)),
        call(Asked::UserRevokeRole(pair("b", "c"))),
        call(Asked::UserChangePassword(login("b", "d"))),
        call(Asked::RoleDelete(name("c"))),
        call(Asked::UserDelete(name("b"))),
        call(Asked::AuthStatus(Nothing {})),
        call(Asked::AuthEnable(Nothing {})),
        call(Asked::AuthStatus(Nothing {})),
    ]
}

fn as_a_user() -> Vec<Step> {
    let me = || vec![Metadatum::Issued(0)];
    let each = Create { key: "a".into(), ..Create::default() };
    let forbidden = Create { key: "x".into(), ..Create::default() };
    let watching = that(frame(create(each)));
    vec![
        with(Asked::Put(put_of("a", "1")), me()),
        with(Asked::Put(put_of("x", "1")), me()),
        with(Asked::Range(Range { key: "a".into(), ..Range::default() }), me()),
        Step::Call(Call { metadata: me(), then: Then::Open, ..watching }),
        say(create(forbidden)),
        with(Asked::Put(put_of("a", "2")), me()),
        with(Asked::UserGet(name("a")), me()),
        with(Asked::UserList(Nothing {}), me()),
        call(Asked::Authenticate(login("a", "b"))),
        call(Asked::Authenticate(login("a", "c"))),
        with(Asked::Put(put_of("b", "1")), vec![Metadatum::Issued(1)]),
        with(Asked::LeaseGrant(Grant { ttl: 60, id: 7 }), me()),
        with(Asked::Put(Put { lease: 7, ..put_of("a", "3") }), me()),
        with(Asked::AuthDisable(Nothing {}), me()),
    ]
}

fn tokens() -> Vec<Step> {
    let put = || Asked::Put(put_of("a", "1"));
    let token = |token: &[u8]| Metadatum::Token(token.to_vec());
    vec![
        call(put()),
        with(put(), vec![token(b"")]),
        with(put(), vec![token(b"nothing")]),
        with(put(), vec![token(&[0x80, 0xff])]),
        with(put(), vec![Metadatum::MadeUp(1)]),
        with(put(), vec![Metadatum::MadeUp(u64::MAX)]),
        with(put(), vec![Metadatum::Any("authorization".into(), b"Bearer x".to_vec())]),
        with(put(), vec![Metadatum::MadeUp(20)]),
        Step::Drop(0),
        with(put(), vec![Metadatum::Issued(0)]),
    ]
}

fn lies() -> Vec<Step> {
    let put = || frame(Asked::Put(put_of("a", "1")));
    let lie = |lie| Step::Call(that(Frame { lie: Seldom(Some(lie)), ..put() }));
    let changed = Seldom(Some(Changed { at: 1, byte: 0xff }));
    let text = Text::Asked(Asked::Put(put_of("a", "1")), changed);
    vec![
        lie(Lie::Length(0)),
        lie(Lie::Length(3)),
        lie(Lie::Length(100)),
        lie(Lie::Length(u32::MAX)),
        lie(Lie::Flag(1)),
        lie(Lie::Flag(7)),
        Step::Call(that(Frame { text, ..put() })),
        Step::Call(that(Frame { text: Text::Raw(vec![0xff; 64]), ..put() })),
        Step::Call(Call { then: Then::Broken, ..that(put()) }),
        Step::Call(Call { then: Then::Trailers(vec![Metadatum::Leader]), ..that(put()) }),
        Step::Call(Call { then: Then::Open, ..that(put()) }),
        Step::Say(0, put()),
    ]
}

fn metadata() -> Vec<Step> {
    let put = || Asked::Put(put_of("a", "1"));
    let any = |name: &str, value: &[u8]| Metadatum::Any(name.into(), value.to_vec());
    let all = [
        Metadatum::Leader,
        Metadatum::Timeout("1S".into()),
        Metadatum::Timeout("99999999999999H".into()),
        Metadatum::Encoding("gzip".into()),
        Metadatum::AcceptEncoding("gzip,identity".into()),
        Metadatum::Te(String::new()),
        Metadatum::ContentType("application/json".into()),
        any("token-bin", b"!!!"),
        any("grpc-status", b"0"),
        any("content-length", b"7"),
    ];
    let mut steps: Vec<Step> = all.iter().map(|one| with(put(), vec![one.clone()])).collect();
    steps.push(with(put(), all.to_vec()));
    for path in ["/", "/etcdserverpb.KV/", "/etcdserverpb.Auth/x/AuthStatus", "/x/Put?a=b"] {
        let path = Seldom(Some(Path::Any(path.into())));
        steps.push(Step::Call(Call { path, ..that(frame(put())) }));
    }
    steps
}

fn given_up() -> Vec<Step> {
    let each = Create { key: "a".into(), ..Create::default() };
    let renew = Asked::LeaseKeepAlive(Number { number: 7 });
    vec![
        call(Asked::LeaseGrant(Grant { ttl: 5, id: 7 })),
        open(create(each.clone()), true),
        open(renew, true),
        open(create(each), false),
        put("a", "1"),
        Step::Drop(1),
        Step::Then(0, Then::Broken),
        Step::Drop(0),
        put("a", "2"),
    ]
}

fn fields() -> Vec<Step> {
    let fields = vec![
        Field::Text { tag: 1, text: "a".into() },
        Field::Bytes { tag: 2, bytes: vec![0, 0xff] },
        Field::Number { tag: 3, number: u64::MAX },
        Field::Four { tag: 9, number: 1 },
        Field::Eight { tag: 10, number: 1 },
        Field::Group { tag: 11, ends: false },
        Field::Number { tag: 1, number: 1 },
        Field::Group { tag: 11, ends: true },
    ];
    let deep = |tag| vec![Field::Deep { tag, times: 120 }, Field::Number { tag: 1, number: 1 }];
    let put = frame(Asked::Put(put_of("a", "1")));
    let of = |path, fields| {
        let said = Frame { text: Text::Fields(fields), ..put.clone() };
        Step::Call(Call { path: Seldom(Some(Path::Known(path))), ..that(said) })
    };
    vec![of(2, fields.clone()), of(0, fields), of(4, deep(2)), of(6, deep(1))]
}

fn every_method(which: std::ops::Range<u8>) -> Vec<Step> {
    let nothing = Frame { text: Text::Fields(Vec::new()), lie: Seldom(None) };
    let each = |place| {
        let path = Seldom(Some(Path::Known(place)));
        Step::Call(Call { path, ..that(nothing.clone()) })
    };
    which.map(each).collect()
}

const END_OF_HEAD: u8 = 4;
const END_OF_STREAM: u8 = 1;

fn part(stream: u8, flags: u8, payload: Payload) -> Sent {
    Sent::Frame { stream, flags, payload, lie: Seldom(None) }
}

fn settings() -> Sent {
    part(0, 0, Payload::Settings(vec![(4, 65_535)]))
}

fn head(method: &str, stream: u8) -> Sent {
    let place = METHODS.iter().position(|&known| known == method).unwrap_or_default();
    let head = Payload::Head(Path::Known(place as u8), vec![Metadatum::Leader]);
    part(stream, END_OF_HEAD, head)
}

fn data(stream: u8, frame: Frame) -> Sent {
    part(stream, END_OF_STREAM, Payload::Data(vec![frame]))
}

fn a_connection() -> Vec<Step> {
    let each = Create { key: "a".into(), ..Create::default() };
    let watching =
        vec![head("Watch/Watch", 3), part(3, 0, Payload::Data(vec![frame(create(each))]))];
    let put = frame(Asked::Put(put_of("a", "1")));
    vec![
        Step::Connect(0),
        Step::Send(vec![Sent::Preface, settings(), part(0, 1, Payload::Settings(Vec::new()))]),
        Step::Send(watching),
        Step::Send(vec![head("KV/Put", 5), data(5, put.clone())]),
        Step::Send(vec![part(3, 0, Payload::Window(100)), part(0, 0, Payload::Ping(7))]),
        Step::Send(vec![part(3, 0, Payload::Reset(8))]),
        Step::Connect(0),
        Step::Send(vec![Sent::Preface, settings(), head("KV/Put", 1), data(1, put)]),
    ]
}

fn a_connection_gone_wrong() -> Vec<Step> {
    let put = frame(Asked::Put(put_of("a", "1")));
    let lie = |payload| Sent::Frame { stream: 1, flags: 4, payload, lie: Seldom(Some(1 << 20)) };
    vec![
        Step::Connect(2),
        Step::Send(vec![Sent::Preface, settings(), head("KV/Put", 1), data(1, put.clone())]),
        Step::Send(vec![data(1, put.clone()), data(9, put)]),
        Step::Connect(1),
        Step::Send(vec![Sent::Preface, settings(), lie(Payload::Any(9, vec![0; 9]))]),
        Step::Connect(0),
        Step::Send(vec![Sent::Preface, part(0, 0, Payload::Settings(vec![(5, 1), (4, u32::MAX)]))]),
        Step::Connect(0),
        Step::Wait(65_535),
        Step::Wait(65_535),
    ]
}
