//! What can be looked at from outside, and how what is said reads.

use std::hash::{Hash, Hasher};

use portolan_core::Time;
use portolan_core::waist::{AttemptId, KeyRange, MemberId, Range, Reply, Request, Revision};
use portolan_memory::{
    Admin, Config, Credentials, Fault, Input, Limits, MemberFault, Operation, Output, Pass, Token,
};

use crate::kit::{Bench, ME, lease, put};

#[test]
fn a_backup_is_there_once_it_was_taken() {
    let mut bench = Bench::new();
    assert!(!bench.model.has_backup());
    bench.fault(Fault::Snapshot);
    assert!(bench.model.has_backup());
}

#[test]
fn it_is_up_while_any_process_runs() {
    let mut bench = Bench::with(Config::default().members(3));
    assert!(bench.model.is_up() && bench.model.has_leader());
    bench.fault(Fault::LeaderLost);
    assert!(bench.model.is_up() && !bench.model.has_leader());
    bench.member_fault(0, MemberFault::Pause);
    bench.member_fault(1, MemberFault::Stop);
    assert!(bench.model.is_up());
    bench.member_fault(2, MemberFault::Stop);
    assert!(!bench.model.is_up());
}

#[test]
fn a_member_that_lags_shows_its_own_header() {
    let mut bench = Bench::with(Config::default().members(2));
    bench.member_fault(1, MemberFault::Lag);
    bench.put("k", "");
    let told = bench.ask(Request::Range(Range::of(KeyRange::all())));
    assert_eq!(told.header(), Some(&bench.model.header_of(MemberId(0))));
    let lagging = bench.model.header_of(MemberId(1));
    assert_eq!((lagging.revision, lagging.raft_term), (Revision(1), 2));
}

#[test]
fn a_record_is_shown_as_it_is_now() {
    let mut bench = Bench::new();
    assert_eq!(bench.model.record(b"k"), None);
    bench.put("k", "1");
    bench.put("k", "2");
    let read = bench.get("k");
    assert_eq!(bench.model.record(b"k"), read.as_ref());
    assert_eq!(bench.model.record(b"k").map(|kv| kv.version), Some(2));
}

#[test]
fn it_knows_the_time_that_it_was_told() {
    let mut bench = Bench::new();
    bench.wait_ms(1_500);
    assert_eq!(bench.model.now(), Time::from_millis(1_500));
}

#[test]
fn without_limits_the_size_is_that_of_keys_and_values() {
    let mut bench = Bench::new();
    bench.put("ab", "cde");
    bench.put("ab", "f");
    let Reply::Status(status) = bench.ask(Request::Status) else { panic!("no status") };
    assert_eq!(status.db_size, 5 + 3);
}

/// Nobody counts for a lease while nobody leads.
#[test]
fn a_lease_has_no_end_while_its_store_is_stopped() {
    let mut bench = Bench::new();
    bench.grant(1, 10);
    let expires = |bench: &Bench| bench.model.leases().next().expect("a lease").expires;
    assert!(expires(&bench).is_some());
    bench.fault(Fault::Stop);
    assert_eq!(expires(&bench), None);
    bench.fault(Fault::Start);
    assert!(expires(&bench).is_some());
}

#[test]
fn a_lease_that_is_made_to_end_is_over_at_once() {
    let mut bench = Bench::new();
    bench.grant(1, 60);
    bench.put_on("k", "", 1);
    bench.fault(Fault::Expire(lease(1)));
    bench.wait_ms(500);
    assert_eq!((bench.get("k"), bench.model.leases().count()), (None, 0));
}

#[test]
fn what_is_said_reads_as_a_line_without_secrets() {
    let (from, attempt, member) = (ME, AttemptId(7), MemberId(2));
    let login = || Pass::Login(Credentials::new("ann", "secret"));
    let request = Input::Request { from, attempt, member, request: Request::Status, pass: login() };
    let operation = Operation::Users;
    let admin = Admin::AddUser(Credentials::new("ann", "secret"));
    let lines = [
        (request, "c1 #7 > m2 Status"),
        (Input::Operate { from, attempt, member, operation, pass: login() }, "c1 #7 > m2 Users"),
        (Input::Cancel { from, attempt }, "c1 #7 cancelled"),
        (Input::Disconnect { from }, "c1 disconnected"),
        (Input::Taken { from, attempt, bytes: 9 }, "c1 #7 took 9 B"),
        (Input::Admin(admin), "admin AddUser(Credentials { user: \"ann\", password: Password })"),
        (Input::Fault(Fault::Restart), "fault Restart"),
        (Input::Tick, "tick"),
    ];
    for (input, line) in lines {
        assert_eq!(input.to_string(), line);
    }
    let mut bench = Bench::new();
    bench.model.handle(
        bench.now,
        Input::Request {
            from,
            attempt,
            member,
            request: Request::Put(put("k", "")),
            pass: Pass::Token(Token::from("secret")),
        },
    );
    let told: Output = bench.model.poll_output().expect("an answer");
    assert!(told.to_string().starts_with("c1 #7 < Put(PutReply"), "{told}");
    assert_eq!(format!("{:?}", Pass::Token(Token::from("secret"))), "Token(Token)");
    assert_eq!(Token::from("secret").reveal(), "secret");
}

/// What is hashed, byte by byte.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// Traces from before there were any keep their hash.
#[test]
fn limits_that_are_off_leave_nothing_in_a_hash() {
    let hashed = |limits: Limits| {
        let mut bytes = Bytes::default();
        limits.hash(&mut bytes);
        bytes.0
    };
    assert!(hashed(Limits::default()).is_empty());
    let some = |bytes| Limits { quota_bytes: Some(bytes), ..Limits::default() };
    assert!(!hashed(some(1)).is_empty());
    assert_ne!(hashed(some(1)), hashed(some(2)));
}
