use std::fmt::Write as _;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::engine::harness::Harness;
use crate::engine::{Command, Engine, Input, Output, Setup};
use crate::layout::Layout;
use crate::tuning::Tuning;
use crate::waist::{
    Code, Compact, Compare, DeleteRange, Grant, Header, KeepAlive, Key, KeyRange, LeaseId,
    LeasesReply, MemberId, Put, PutReply, Range, RangeReply, Revision, Revoke, Target, TimeToLive,
    Value, Watch, WatchSay,
};

const ID: OpId = OpId(1);
const WITHIN: Duration = Duration::from_secs(10);

impl Harness {
    fn new() -> Self {
        let tuning = Tuning { jitter_percent: 0, census_within: None, ..Tuning::default() };
        let layout = Layout::default();
        Self::with(Setup { layout, tuning, members: 2, authenticates: false, seed: 1 })
    }

    fn calling(request: Request) -> Self {
        let mut harness = Self::new();
        harness.command(Command::Call { id: ID, request, within: WITHIN });
        harness
    }
}

fn key() -> Key {
    Key::from("k")
}

fn range() -> Range {
    Range::of(KeyRange::one(key()))
}

fn put() -> Put {
    Put { key: key(), value: "v".into(), ..Put::default() }
}

fn lease() -> LeaseId {
    LeaseId::new(7).expect("not 0")
}

fn txn(then: Vec<Op>, or_else: Vec<Op>) -> Request {
    let compares = vec![Compare::mod_revision(key(), Revision(3))];
    Request::Txn(Txn { compares, then, or_else })
}

fn requests() -> [(&'static str, Request); 12] {
    let delete = DeleteRange { keys: KeyRange::one(key()), prev_kv: false };
    let nested = |op| Op::Txn(Txn { then: vec![op], ..Txn::default() });
    [
        ("range", Request::Range(range())),
        ("time-to-live", Request::TimeToLive(TimeToLive { lease: lease(), keys: true })),
        ("leases", Request::Leases),
        ("status", Request::Status),
        ("txn that reads", txn(vec![nested(Op::Range(range()))], vec![Op::Range(range())])),
        ("txn that puts", txn(vec![Op::Put(put())], vec![])),
        ("txn that deletes", txn(vec![], vec![nested(Op::Delete(delete.clone()))])),
        ("put", Request::Put(put())),
        ("delete", Request::Delete(delete)),
        ("compact", Request::Compact(Compact { revision: Revision(3), physical: false })),
        ("grant", Request::Grant(Grant { lease: None, ttl_secs: 10 })),
        ("revoke", Request::Revoke(Revoke { lease: lease() })),
    ]
}

fn errors() -> Vec<StoreError> {
    let detail = || "..".to_owned();
    let other = |code| StoreError::Other { code, message: detail() };
    vec![
        StoreError::Refused { detail: detail() },
        StoreError::NoLeader,
        StoreError::TooManyRequests,
        StoreError::InvalidToken,
        StoreError::ConnectionLost { detail: detail() },
        StoreError::TimedOut,
        StoreError::LeaderChanged,
        StoreError::GaveUp,
        StoreError::NoSpace,
        other(Code::Unavailable),
        other(Code::Unknown),
        other(Code::Unauthenticated),
        StoreError::PermissionDenied,
        StoreError::Compacted,
        StoreError::LeaseNotFound,
        StoreError::RequestTooLarge,
        StoreError::AnswerTooLarge { size: 9, limit: 4 },
        other(Code::InvalidArgument),
    ]
}

/// What a first failure leads to: another attempt, or an end.
#[test]
fn what_is_repeated() {
    let mut table = String::new();
    for error in errors() {
        write!(table, "{error}:").expect("a string takes all");
        let mut last = "";
        for (name, request) in requests() {
            let mut h = Harness::calling(request);
            h.reply(1, Reply::Failed(error.clone()));
            let pending = !h.engine.calls.calls.is_empty();
            let what = match h.end() {
                _ if pending => "again",
                end if end.contains("> call 1 not done") => "not done",
                end if end.contains("> call 1 unknown") => "unknown",
                end => panic!("{name}, {error}: {end}"),
            };
            let before = if what == last { "," } else { "\n    " };
            let head = if what == last { String::new() } else { format!("{what}:") };
            write!(table, "{before}{head} {name}").expect("a string takes all");
            last = what;
        }
        table.push('\n');
    }
    assert_snapshot!(table, @"
    connection refused: ..:
        again: range, time-to-live, leases, status, txn that reads, txn that puts, txn that deletes, put, delete, compact, grant, revoke
    etcdserver: no leader:
        again: range, time-to-live, leases, status, txn that reads, txn that puts, txn that deletes, put, delete, compact, grant, revoke
    etcdserver: too many requests:
        again: range, time-to-live, leases, status, txn that reads, txn that puts, txn that deletes, put, delete, compact, grant, revoke
    etcdserver: invalid auth token:
        again: range, time-to-live, leases, status, txn that reads, txn that puts, txn that deletes, put, delete, compact, grant, revoke
    connection lost: ..:
        again: range, time-to-live, leases, status, txn that reads
        unknown: txn that puts, txn that deletes, put, delete, compact, grant, revoke
    etcdserver: request timed out:
        again: range, time-to-live, leases, status, txn that reads
        unknown: txn that puts, txn that deletes, put, delete, compact, grant, revoke
    etcdserver: leader changed:
        again: range, time-to-live, leases, status, txn that reads
        unknown: txn that puts, txn that deletes, put, delete, compact, grant, revoke
    no answer in time:
        again: range, time-to-live, leases, status, txn that reads
        unknown: txn that puts, txn that deletes, put, delete, compact, grant, revoke
    etcdserver: mvcc: database space exceeded:
        again: range, time-to-live, leases, status, txn that reads
        unknown: txn that puts, txn that deletes, put, delete, compact, grant, revoke
    Unavailable: ..:
        again: range, time-to-live, leases, status, txn that reads
        unknown: txn that puts, txn that deletes, put, delete, compact, grant, revoke
    Unknown: ..:
        again: range, time-to-live, leases, status, txn that reads
        unknown: txn that puts, txn that deletes, put, delete, compact, grant, revoke
    Unauthenticated: ..:
        again: range, time-to-live, leases, status, txn that reads, txn that puts, txn that deletes, put, delete, compact, grant, revoke
    etcdserver: permission denied:
        not done: range, time-to-live, leases, status, txn that reads, txn that puts, txn that deletes, put, delete, compact, grant, revoke
    etcdserver: mvcc: required revision has been compacted:
        not done: range, time-to-live, leases, status, txn that reads, txn that puts, txn that deletes, put, delete, compact, grant, revoke
    etcdserver: requested lease not found:
        not done: range, time-to-live, leases, status, txn that reads, txn that puts, txn that deletes, put, delete, compact, grant, revoke
    etcdserver: request is too large:
        not done: range, time-to-live, leases, status, txn that reads, txn that puts, txn that deletes, put, delete, compact, grant, revoke
    answer of 9 bytes exceeds the decode limit of 4:
        not done: range, time-to-live, leases, status, txn that reads
        unknown: txn that puts, txn that deletes, put, delete, compact, grant, revoke
    InvalidArgument: ..:
        not done: range, time-to-live, leases, status, txn that reads, txn that puts, txn that deletes, put, delete, compact, grant, revoke
    ");
}

#[test]
fn a_read_is_repeated_until_it_is_answered() {
    let mut h = Harness::calling(Request::Range(range()));
    h.reply(1, Reply::Failed(StoreError::NoLeader)).wait(Duration::from_secs(4));
    h.reply(3, Reply::Range(RangeReply::default()));
    assert_eq!(h.engine.standing().member, MemberId(1), "asked last");
    assert_snapshot!(h.trace(), @"
    0.000s < call 1 range k within 10s
    0.000s > #1 m1 range k
    0.000s < #1 failed: etcdserver: no leader
    0.000s > m1 redial
    0.100s > #2 m0 range k
    3.100s > #2 cancel
    3.100s > m0 redial
    3.300s > #3 m1 range k
    4.000s < #3 range @0
    4.000s > call 1 range @0
    ");
}

#[test]
fn a_write_in_doubt_is_not_repeated() {
    let mut h = Harness::calling(Request::Put(put()));
    h.wait(Duration::from_secs(4)).reply(1, Reply::Put(PutReply::default()));
    assert_snapshot!(h.trace(), @"
    0.000s < call 1 put k=1B:8416192e within 10s
    0.000s > #1 m1 put k=1B:8416192e
    3.000s > #1 cancel
    3.000s > m1 redial
    3.000s > call 1 unknown whether done: no answer in time
    4.000s < #1 put @0
    ");
}

#[test]
fn a_write_that_never_left_is_repeated() {
    let mut h = Harness::calling(Request::Put(put()));
    let refused = StoreError::Refused { detail: "127.0.0.1:2379".to_owned() };
    h.reply(1, Reply::Failed(refused)).wait(Duration::from_millis(100));
    h.reply(2, Reply::Put(PutReply::default()));
    assert_snapshot!(h.trace(), @"
    0.000s < call 1 put k=1B:8416192e within 10s
    0.000s > #1 m1 put k=1B:8416192e
    0.000s < #1 failed: connection refused: 127.0.0.1:2379
    0.000s > m1 redial
    0.100s > #2 m0 put k=1B:8416192e
    0.100s < #2 put @0
    0.100s > call 1 put @0
    ");
}

#[test]
fn the_deadline_cuts_the_last_attempt_short() {
    let mut h = Harness::calling(Request::Leases);
    h.wait(2 * WITHIN);
    assert_snapshot!(h.trace(), @"
    0.000s < call 1 leases within 10s
    0.000s > #1 m1 leases
    3.000s > #1 cancel
    3.000s > m1 redial
    3.100s > #2 m0 leases
    6.100s > #2 cancel
    6.100s > m0 redial
    6.300s > #3 m1 leases
    9.300s > #3 cancel
    9.300s > m1 redial
    9.700s > #4 m0 leases
    10.000s > #4 cancel
    10.000s > call 1 not done: no answer in time
    ");
}

/// Whoever slept through the pause and the deadline asks no more.
#[test]
fn a_pause_that_is_slept_through_is_the_end() {
    let mut h = Harness::calling(Request::Leases);
    h.reply(1, Reply::Failed(StoreError::NoLeader));
    h.now = h.now + 2 * WITHIN;
    h.handle(Input::Tick);
    assert_snapshot!(h.end(), @"20.000s > call 1 not done: etcdserver: no leader");
}

#[test]
fn it_ends_when_no_further_attempt_fits() {
    let mut h = Harness::calling(Request::Leases);
    for round in 0..7 {
        let failed = Reply::Failed(StoreError::NoLeader);
        h.reply(round + 1, failed).wait(Duration::from_millis(100 << round));
    }
    let shown = h.lines.iter().filter(|line| line.contains(" > "));
    assert_snapshot!(shown.cloned().collect::<Vec<_>>().join("\n"), @"
    0.000s > #1 m1 leases
    0.000s > m1 redial
    0.100s > #2 m0 leases
    0.100s > m0 redial
    0.300s > #3 m1 leases
    0.700s > #4 m0 leases
    1.500s > #5 m1 leases
    1.500s > m1 redial
    3.100s > #6 m0 leases
    3.100s > m0 redial
    6.300s > #7 m1 leases
    6.300s > m1 redial
    6.300s > call 1 not done: etcdserver: no leader
    ");
}

#[test]
fn an_answer_that_does_not_fit_is_no_answer() {
    let mut h = Harness::calling(Request::Put(put()));
    h.reply(1, Reply::Leases(LeasesReply::default()));
    assert_snapshot!(h.end(), @"0.000s > call 1 unknown whether done: Internal: the answer does not fit the request");
}

#[test]
fn no_time_at_all() {
    let mut h = Harness::new();
    h.command(Command::Call { id: ID, request: Request::Leases, within: Duration::ZERO });
    assert_snapshot!(h.trace(), @"
    0.000s < call 1 leases within 0ns
    0.000s > call 1 not done: no answer in time
    ");
}

#[test]
fn shut_down() {
    let mut ends = Vec::new();
    let refused = StoreError::Refused { detail: "..".to_owned() };
    for (name, request) in requests() {
        for failed in [false, true] {
            let mut h = Harness::calling(request.clone());
            if failed {
                h.reply(1, Reply::Failed(refused.clone()));
            }
            h.command(Command::Shutdown { within: WITHIN }).wait(WITHIN);
            let end = h.lines.iter().find(|line| line.contains("> call 1")).expect("it ends");
            let after = if failed { " refused" } else { "" };
            ends.push(format!("{name}{after}: {}", end.trim_start_matches("0.000s > call 1 ")));
        }
    }
    assert_snapshot!(ends.join("\n"), @"
    range: shut down
    range refused: shut down
    time-to-live: shut down
    time-to-live refused: shut down
    leases: shut down
    leases refused: shut down
    status: shut down
    status refused: shut down
    txn that reads: shut down
    txn that reads refused: shut down
    txn that puts: unknown whether done: no answer in time
    txn that puts refused: shut down
    txn that deletes: unknown whether done: no answer in time
    txn that deletes refused: shut down
    put: unknown whether done: no answer in time
    put refused: shut down
    delete: unknown whether done: no answer in time
    delete refused: shut down
    compact: unknown whether done: no answer in time
    compact refused: shut down
    grant: unknown whether done: no answer in time
    grant refused: shut down
    revoke: unknown whether done: no answer in time
    revoke refused: shut down
    ");
}

#[test]
fn abandoned() {
    let mut h = Harness::calling(Request::Put(put()));
    h.command(Command::Abandon { id: ID }).reply(1, Reply::Put(PutReply::default())).wait(WITHIN);
    assert_snapshot!(h.trace(), @"
    0.000s < call 1 put k=1B:8416192e within 10s
    0.000s > #1 m1 put k=1B:8416192e
    0.000s < abandon 1
    0.000s > #1 cancel
    0.000s < #1 put @0
    ");
}

#[test]
fn busy() {
    let mut h = Harness::new();
    h.engine.tuning.max_in_flight = 2;
    for id in 1..=3 {
        let request = Request::Leases;
        h.command(Command::Call { id: OpId(id), request, within: WITHIN });
    }
    // One that pauses counts too; one that ended does not.
    h.reply(1, Reply::Failed(StoreError::NoLeader));
    h.command(Command::Call { id: OpId(4), request: Request::Leases, within: WITHIN });
    h.reply(2, Reply::Leases(LeasesReply::default()));
    h.command(Command::Call { id: OpId(5), request: Request::Leases, within: WITHIN });
    assert_snapshot!(h.trace(), @"
    0.000s < call 1 leases within 10s
    0.000s > #1 m1 leases
    0.000s < call 2 leases within 10s
    0.000s > #2 m1 leases
    0.000s < call 3 leases within 10s
    0.000s > call 3 busy: 2 requests in flight, the limit is 2
    0.000s < #1 failed: etcdserver: no leader
    0.000s > m1 redial
    0.000s < call 4 leases within 10s
    0.000s > call 4 busy: 2 requests in flight, the limit is 2
    0.000s < #2 leases 0
    0.000s > call 2 leases 0
    0.000s < call 5 leases within 10s
    0.000s > #3 m0 leases
    ");
}

/// What is on the wire counts, and what waits to be sent again; what was answered does not.
#[test]
fn busy_by_bytes() {
    let mut h = Harness::new();
    h.engine.tuning.max_in_flight_bytes = 100;
    let put = |h: &mut Harness, id, size: usize| {
        let value = Value::from(vec![0; size]);
        let request = Request::Put(Put { key: key(), value, ..Put::default() });
        h.command(Command::Call { id: OpId(id), request, within: WITHIN });
    };
    put(&mut h, 1, 59);
    put(&mut h, 2, 40);
    h.reply(1, Reply::Failed(StoreError::NoLeader));
    put(&mut h, 3, 40);
    h.wait(Duration::from_secs(1)).reply(2, Reply::Put(PutReply::default()));
    put(&mut h, 4, 39);
    assert_snapshot!(h.trace(), @"
    0.000s < call 1 put k=59B:27b1b180 within 10s
    0.000s > #1 m1 put k=59B:27b1b180
    0.000s < call 2 put k=40B:ae3b7be3 within 10s
    0.000s > call 2 busy: 101 bytes in flight with this request, the limit is 100
    0.000s < #1 failed: etcdserver: no leader
    0.000s > m1 redial
    0.000s < call 3 put k=40B:ae3b7be3 within 10s
    0.000s > call 3 busy: 101 bytes in flight with this request, the limit is 100
    0.100s > #2 m0 put k=59B:27b1b180
    1.000s < #2 put @0
    1.000s > call 1 put @0
    1.000s < call 4 put k=39B:c58e2f38 within 10s
    1.000s > #3 m0 put k=39B:c58e2f38
    ");
}

#[test]
fn what_is_refused_before_it_is_sent() {
    let large = |size: usize| Value::from(vec![0; size]);
    let put_of = |key: Key, value: Value| Put { key, value, ..Put::default() };
    let empty = || KeyRange::one(Key::default());
    let puts = |count: usize| vec![Op::Put(put()); count];
    let inner = |count: usize| Op::Txn(Txn { then: puts(count), ..Txn::default() });
    let with = |count: usize, op: Op| {
        let mut then = puts(count);
        then.push(op);
        txn(then, vec![])
    };
    let compare = |keys: KeyRange, target: Target| Compare {
        keys,
        result: crate::waist::Ordering::Equal,
        target,
    };
    let many = vec![compare(KeyRange::one(key()), Target::Version(0)); 129];
    let cases = [
        ("range", Request::Range(Range::of(empty()))),
        ("range of all", Request::Range(Range::of(KeyRange::all()))),
        ("put", Request::Put(put_of(Key::default(), Value::default()))),
        ("put of the limit", Request::Put(put_of(key(), large((3 << 19) - 24)))),
        ("put of one more", Request::Put(put_of(key(), large((3 << 19) - 23)))),
        ("delete", Request::Delete(DeleteRange { keys: empty(), prev_kv: false })),
        ("compare", {
            let compares = vec![compare(empty(), Target::Version(0))];
            Request::Txn(Txn { compares, then: puts(1), or_else: vec![] })
        }),
        ("compared value", {
            let compares = vec![compare(KeyRange::one(key()), Target::Value(large(3 << 19)))];
            Request::Txn(Txn { compares, then: puts(1), or_else: vec![] })
        }),
        ("many small", txn(vec![Op::Put(put_of(key(), large(1 << 15))); 50], vec![])),
        (
            "nested key",
            txn(
                vec![Op::Txn(Txn { then: vec![Op::Range(Range::of(empty()))], ..Txn::default() })],
                vec![],
            ),
        ),
        ("compares only", txn(vec![], vec![])),
        ("nothing", Request::Txn(Txn::default())),
        ("128 and 128", txn(puts(128), puts(128))),
        ("129", txn(puts(129), vec![])),
        ("129 else", txn(vec![], puts(129))),
        ("129 compares", Request::Txn(Txn { compares: many, then: puts(1), or_else: vec![] })),
        ("126 and a nested one", with(126, inner(1))),
        ("127 and a nested one", with(127, inner(1))),
        ("126 and a nested two", with(126, inner(2))),
        ("watch", Request::Watch(Watch::of(KeyRange::one(key()), Revision::ZERO))),
        ("on a watch", Request::OnWatch { stream: AttemptId(1), say: WatchSay::Progress }),
        ("keepalive", Request::KeepAlive(KeepAlive { lease: lease() })),
        ("authenticate", Request::Authenticate),
    ];
    let mut table = String::new();
    for (name, request) in cases {
        let mut h = Harness::calling(request);
        h.lines.retain(|line| line.contains(" > "));
        let [line] = &h.lines[..] else { panic!("{name}: {:?}", h.lines) };
        let what = line.strip_prefix("0.000s > call 1 ").unwrap_or("sent");
        writeln!(table, "{name}: {what}").expect("a string takes all");
    }
    assert_snapshot!(table, @"
    range: key of range has 0 bytes; it takes at least 1
    range of all: sent
    put: key of put has 0 bytes; it takes at least 1
    put of the limit: sent
    put of one more: request has 1572842 bytes of keys and values; the limit is 1572841
    delete: key of delete has 0 bytes; it takes at least 1
    compare: key of compare has 0 bytes; it takes at least 1
    compared value: request has 1572867 bytes of keys and values; the limit is 1572841
    many small: request has 1638451 bytes of keys and values; the limit is 1572841
    nested key: key of range has 0 bytes; it takes at least 1
    compares only: transaction has 0 operations, so its compares could be answered from old data; it takes at least 1, a range for one
    nothing: transaction has 0 operations, so its compares could be answered from old data; it takes at least 1, a range for one
    128 and 128: sent
    129: transaction has 129 operations (then); the limit is 128
    129 else: transaction has 129 operations (else); the limit is 128
    129 compares: transaction has 129 compares; the limit is 128
    126 and a nested one: sent
    127 and a nested one: nested transaction has 1 operations (then); the outer ones leave 0 of the limit of 128
    126 and a nested two: nested transaction has 2 operations (then); the outer ones leave 1 of the limit of 128
    watch: watch is no call: calls are single requests, each with one answer
    on a watch: watch is no call: calls are single requests, each with one answer
    keepalive: keepalive is no call: calls are single requests, each with one answer
    authenticate: authenticate is no call: calls are single requests, each with one answer
    ");
}

proptest! {
    /// EF1, EF4 and EF5 under one error without end, whenever it comes.
    #[test]
    fn a_constant_error_neither_spins_nor_hangs(
        seed: u64,
        kind in 0_usize..12,
        error in 0_usize..18,
        jitter in 0_u32..=90,
        delay_ms in 0_u64..4_000,
        within_ms in 1_u64..60_000,
    ) {
        let tuning = Tuning { jitter_percent: jitter, census_within: None, ..Tuning::default() };
        let setup = Setup { layout: Layout::default(), tuning: tuning.clone(), members: 3, authenticates: false, seed };
        let mut engine = Engine::new(Time::ZERO, setup);
        let (_, request) = requests()[kind].clone();
        let error = errors()[error].clone();
        let within = Duration::from_millis(within_ms);
        let (mut now, mut sent, mut results) = (Time::ZERO, 0_u128, Vec::new());
        let mut due: Option<(Time, AttemptId)> = None;
        let mut input = Input::Command(Command::Call { id: ID, request, within });
        loop {
            engine.handle(now, input);
            let settled = engine.clone();
            while let Some(output) = engine.poll_output() {
                match output {
                    Output::Send { attempt, .. } => {
                        prop_assert!(now < Time::ZERO + within, "EF4: an attempt at {now}");
                        sent += 1;
                        due = Some((now + Duration::from_millis(delay_ms), attempt));
                    }
                    Output::Cancel { .. } => due = None,
                    Output::Redial { .. } | Output::Introduce { .. } => {}
                    Output::Event(Event::Called { result, .. }) => results.push((now, result)),
                    Output::Event(event) => panic!("{event}"),
                }
            }
            engine.handle(now, Input::Tick);
            prop_assert_eq!(&engine.calls, &settled.calls, "a tick that nobody asked for");
            let floor = tuning.backoff_cap.as_nanos() * u128::from(100 - jitter) / 100;
            let doublings = u128::from((5_000_u32 / 100).next_power_of_two().ilog2());
            let allowed = 1 + doublings + u128::from(now.as_nanos()).div_ceil(floor);
            prop_assert!(sent <= allowed, "EF1: {sent} attempts by {now}, {allowed} allowed");
            let next = [engine.poll_timeout(), due.map(|(at, _)| at)].into_iter().flatten().min();
            let Some(next) = next else { break };
            now = next;
            input = match due {
                Some((at, attempt)) if at <= now => {
                    due = None;
                    Input::Reply { attempt, reply: Reply::Failed(error.clone()) }
                }
                _ => Input::Tick,
            };
        }
        let [(at, result)] = &results[..] else { panic!("answered once: {results:?}") };
        prop_assert!(*at <= Time::ZERO + within, "EF4: answered at {at}");
        let lately = Duration::from_millis(delay_ms) >= tuning.attempt_timeout.min(within);
        if error.is_permanent() && !lately {
            prop_assert_eq!(sent, 1, "EF5");
        }
        prop_assert!(matches!(result, Err(CallError::NotDone(_) | CallError::Unknown(_))));
    }
}

#[test]
fn headers_pass_through() {
    let header = Header { revision: Revision(7), ..Header::default() };
    let mut h = Harness::calling(Request::Put(put()));
    h.reply(1, Reply::Put(PutReply { header, prev: None }));
    assert_eq!(h.end(), "0.000s > call 1 put @7");
}

/// What an application may have under way is told as it counts, and the limit itself is within.
#[test]
fn what_is_in_flight_is_counted() {
    let mut h = Harness::new();
    h.engine.tuning.max_in_flight_bytes = 100;
    let put = |h: &mut Harness, id, size: usize| {
        let value = Value::from(vec![0; size]);
        let request = Request::Put(Put { key: key(), value, ..Put::default() });
        h.command(Command::Call { id: OpId(id), request, within: WITHIN });
        (h.engine.in_flight(), h.engine.bytes_in_flight())
    };
    assert_eq!(put(&mut h, 1, 59), (1, 60));
    assert_eq!(put(&mut h, 2, 39), (2, 100), "{}", h.trace());
    assert_eq!(put(&mut h, 3, 0), (2, 100));
    assert!(h.end().contains("busy: 101 bytes"), "{}", h.trace());
    h.reply(1, Reply::Put(PutReply::default()));
    assert_eq!((h.engine.in_flight(), h.engine.bytes_in_flight()), (1, 40));
}
