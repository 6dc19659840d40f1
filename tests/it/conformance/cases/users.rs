//! Users, roles and tokens.
#![expect(clippy::wildcard_enum_match_arm, reason = "it tells one kind of answer from all others")]

use std::time::Duration;

use portolan_core::waist::{
    Compact, Compare, DeleteRange, Grant, KeepAlive, KeyRange, LeaseId, Op, Put, Range, Reply,
    Request, Revision, Revoke, StoreError, TimeToLive, Txn, Watch, WatchSay,
};
use portolan_memory::{Access, Admin, Credentials, Permission, Quirks};

use super::cases;
use crate::conformance::client::{Client, Tap, always};
use crate::conformance::store::{Happening, PASS, ROOT};

cases! {
    a1_a_token_for_a_password: FRESH,
    a2_no_token_and_a_dead_one: FRESH,
    a3_what_keys_decide: FRESH,
    a3_permissions_are_joined_and_change_at_once: FRESH,
    a4_what_no_key_decides: FRESH,
    a5_watches_are_refused_in_band: FRESH,
    a6_a_token_ends_when_it_is_not_used: SHORT_TOKENS,
    a7_a_restart_forgets_what_is_older_than_its_disk: FRESH,
}

fn add_user(client: &mut Client<'_>, user: &str, password: &str) {
    client.administer(Admin::AddUser(Credentials::new(user, password)));
}

fn grant_role(client: &mut Client<'_>, user: &str, role: &str) {
    client.administer(Admin::GrantRole { user: user.to_owned(), role: role.to_owned() });
}

fn permit(client: &mut Client<'_>, keys: KeyRange, access: Access) {
    let permission = Permission { keys, access };
    client.administer(Admin::GrantPermission { role: "part".to_owned(), permission });
}

/// Adds root, ann with the role `part`, and bob without any, and asks for them from now on. The
/// role may read and write `a`, read `r`, and write `w`.
fn enable(client: &mut Client<'_>) {
    add_user(client, "root", ROOT);
    grant_role(client, "root", "root");
    for user in ["ann", "bob"] {
        add_user(client, user, PASS);
    }
    client.administer(Admin::AddRole { role: "part".to_owned() });
    for (name, access) in [("a", Access::ReadWrite), ("r", Access::Read), ("w", Access::Write)] {
        permit(client, client.one(name), access);
    }
    grant_role(client, "ann", "part");
    client.administer(Admin::Enable);
}

fn log_in(client: &mut Client<'_>, user: &str) {
    client.act_as(user);
    assert_eq!(client.ask(Request::Authenticate), Reply::Authenticated, "{user}");
}

/// What comes of a request: the error, or none.
fn outcome(client: &mut Client<'_>, request: Request) -> Option<StoreError> {
    match client.ask(request) {
        Reply::Failed(error) => Some(error),
        _ => None,
    }
}

fn get(client: &Client<'_>, name: &str) -> Request {
    Request::Range(Range::of(client.one(name)))
}

fn put(client: &Client<'_>, name: &str) -> Request {
    Request::Put(client.a_put(name, "1"))
}

fn a1_a_token_for_a_password(client: &mut Client<'_>) {
    client.act_as("ann");
    assert_eq!(client.failure(Request::Authenticate), StoreError::AuthNotEnabled);
    client.act_as("");
    enable(client);
    for (user, password) in [("ann", "wrong"), ("nobody", PASS)] {
        client.act_with(user, password);
        assert_eq!(client.failure(Request::Authenticate), StoreError::AuthFailed, "{user}");
    }
    log_in(client, "ann");
    assert_eq!(outcome(client, put(client, "a")), None);
    // A second one is as good.
    log_in(client, "ann");
    assert_eq!(outcome(client, get(client, "a")), None);
}

fn a2_no_token_and_a_dead_one(client: &mut Client<'_>) {
    enable(client);
    for request in [get(client, "a"), put(client, "a"), put(client, "x")] {
        assert_eq!(client.failure(request), StoreError::NoToken);
    }
    // What is wrong with a request in itself comes first; a key that is asked for does not.
    let future = Range { revision: Revision(1000), ..Range::of(client.one("a")) };
    assert_eq!(client.failure(Request::Range(future)), StoreError::NoToken);
    assert_eq!(client.failure(Request::Put(Put::default())), StoreError::KeyNotProvided);
    log_in(client, "ann");
    client.act_as("bob");
    assert_eq!(client.ask(Request::Authenticate), Reply::Authenticated);
    // Who is removed takes the tokens along, also if another one of that name comes.
    client.administer(Admin::DeleteUser { user: "ann".to_owned() });
    add_user(client, "ann", PASS);
    grant_role(client, "ann", "part");
    client.act_as("ann");
    assert_eq!(client.failure(get(client, "a")), StoreError::InvalidToken);
    log_in(client, "ann");
    assert_eq!(outcome(client, get(client, "a")), None);
    // Turned off and on again, nobody is known any more.
    client.administer(Admin::Disable);
    client.act_as("");
    assert_eq!(outcome(client, put(client, "x")), None);
    client.administer(Admin::Enable);
    client.act_as("ann");
    assert_eq!(client.failure(put(client, "a")), StoreError::InvalidToken);
}

fn a3_what_keys_decide(client: &mut Client<'_>) {
    let [theirs, own] = [client.grant(600), client.grant(600)];
    let leased = |client: &Client<'_>, name: &str, lease: LeaseId| {
        client.a_put(name, "1").tap(|put| put.lease = Some(lease))
    };
    client.ask_put(leased(client, "x", theirs));
    client.ask_put(leased(client, "a", own));
    enable(client);
    log_in(client, "ann");
    let gaps = Quirks::of_version(client.release()).expect("it is a version").auth_gaps;
    let with_prev =
        |client: &Client<'_>, name: &str| client.a_put(name, "1").tap(|put| put.prev_kv = true);
    let delete =
        |client: &Client<'_>, name: &str, prev_kv| DeleteRange { keys: client.one(name), prev_kv };
    let when = |client: &Client<'_>, name: &str, then: Vec<Op>| {
        let compares = vec![Compare::mod_revision(client.key(name), Revision(1 << 40))];
        Request::Txn(Txn { compares, then, or_else: Vec::new() })
    };
    let otherwise = |op: Op| Request::Txn(Txn { or_else: vec![op], ..Txn::default() });
    let nested = |ops: Vec<Op>| Request::Txn(always([Op::Txn(always(ops))]));
    let denied = Some(StoreError::PermissionDenied);
    // What earlier releases let pass.
    let gap = denied.clone().filter(|_| !gaps);
    let unknown = Some(StoreError::LeaseNotFound);
    let cases = [
        (get(client, "a"), None),
        (get(client, "r"), None),
        (get(client, "w"), denied.clone()),
        (get(client, "x"), denied.clone()),
        (
            Request::Range(Range { serializable: true, ..Range::of(client.one("x")) }),
            denied.clone(),
        ),
        (Request::Range(Range { count_only: true, ..Range::of(client.all()) }), denied.clone()),
        (Request::Range(Range::of(KeyRange::from_key(client.key("a")))), denied.clone()),
        (put(client, "a"), None),
        (put(client, "r"), denied.clone()),
        (put(client, "w"), None),
        (Request::Put(with_prev(client, "w")), denied.clone()),
        (Request::Put(with_prev(client, "a")), None),
        (Request::Put(leased(client, "a", theirs)), denied.clone()),
        (Request::Put(leased(client, "w", own)), None),
        (Request::Put(leased(client, "a", client.never())), unknown),
        (Request::Put(leased(client, "x", client.never())), denied.clone()),
        (Request::Delete(delete(client, "x", false)), denied.clone()),
        (Request::Delete(delete(client, "w", true)), denied.clone()),
        (Request::Delete(delete(client, "w", false)), None),
        (Request::Txn(Txn::default()), None),
        (when(client, "x", Vec::new()), denied.clone()),
        (when(client, "w", Vec::new()), denied.clone()),
        (when(client, "r", Vec::new()), None),
        // The branch that does not run counts, too.
        (when(client, "a", vec![client.op_put("x", "1")]), denied.clone()),
        (when(client, "a", vec![client.op_get("x")]), denied.clone()),
        (otherwise(client.op_put("x", "1")), denied.clone()),
        (otherwise(client.op_get("x")), denied.clone()),
        (otherwise(client.op_put("w", "1")), None),
        (Request::Txn(always([client.op_put("w", "1"), client.op_get("a")])), None),
        (Request::Txn(always([Op::Delete(delete(client, "w", true))])), denied.clone()),
        (Request::Txn(always([Op::Put(with_prev(client, "w"))])), gap.clone()),
        (Request::Txn(always([Op::Put(leased(client, "a", theirs))])), gap.clone()),
        (nested(vec![client.op_get("x")]), gap.clone()),
        (nested(vec![client.op_put("x", "1")]), gap.clone()),
        (nested(Vec::new()), None),
    ];
    for (request, expected) in cases {
        assert_eq!(outcome(client, request.clone()), expected, "{request:?}");
    }
    log_in(client, "root");
    assert_eq!(outcome(client, Request::Range(Range::of(client.all()))), None);
    assert_eq!(outcome(client, put(client, "x")), None);
}

fn a3_permissions_are_joined_and_change_at_once(client: &mut Client<'_>) {
    enable(client);
    log_in(client, "ann");
    let span = |client: &Client<'_>, from: &str, to: &str| {
        Request::Range(Range::of(client.span(from, to)))
    };
    let denied = Some(StoreError::PermissionDenied);
    permit(client, client.span("d", "f"), Access::Read);
    permit(client, client.span("f", "h"), Access::ReadWrite);
    permit(client, KeyRange::from_key(client.key("y")), Access::Read);
    let cases = [
        (span(client, "d", "h"), None),
        (span(client, "e", "g"), None),
        (span(client, "d", "h0"), denied.clone()),
        (span(client, "c", "e"), denied.clone()),
        (span(client, "h", "i"), denied.clone()),
        (Request::Range(Range::of(KeyRange::from_key(client.key("z")))), None),
        (Request::Range(Range::of(KeyRange::from_key(client.key("f")))), denied.clone()),
        (put(client, "e"), denied.clone()),
        (put(client, "g"), None),
    ];
    for (request, expected) in cases {
        assert_eq!(outcome(client, request.clone()), expected, "{request:?}");
    }
    // Tokens are not asked for again.
    let role = || "part".to_owned();
    client.administer(Admin::RevokePermission { role: role(), keys: client.span("d", "f") });
    assert_eq!(outcome(client, span(client, "d", "e")), denied);
    assert_eq!(outcome(client, get(client, "a")), None);
    client.administer(Admin::RevokeRole { user: "ann".to_owned(), role: role() });
    assert_eq!(outcome(client, get(client, "a")), denied);
    grant_role(client, "ann", "part");
    assert_eq!(outcome(client, get(client, "a")), None);
    client.administer(Admin::DeleteRole { role: role() });
    assert_eq!(outcome(client, get(client, "a")), denied);
}

/// Who may do it: the errors that nobody, bob without a role, and ann are told.
fn a4_what_no_key_decides(client: &mut Client<'_>) {
    let [theirs, own, read] = [client.grant(600), client.grant(600), client.grant(600)];
    for (name, lease) in [("x", theirs), ("a", own), ("r", read)] {
        client.ask_put(client.a_put(name, "1").tap(|put| put.lease = Some(lease)));
    }
    let empty = client.grant(600);
    enable(client);
    for user in ["ann", "bob", "root"] {
        log_in(client, user);
    }
    let Quirks { auth_gaps, lease_keys_told, .. } =
        Quirks::of_version(client.release()).expect("it is a version");
    let (nobody, denied) = (StoreError::NoToken, StoreError::PermissionDenied);
    let never = client.never();
    let keep_alive = |lease| Request::KeepAlive(KeepAlive { lease });
    let left = |lease, keys| Request::TimeToLive(TimeToLive { lease, keys });
    // Nobody, bob, ann, and whether earlier releases let all of them pass.
    type Row = (Request, [Option<StoreError>; 3], bool);
    let all = |errors: [Option<&StoreError>; 3]| errors.map(|error| error.cloned());
    let known = || all([Some(&nobody), None, None]);
    let own_only = || all([Some(&nobody), Some(&denied), None]);
    let root_only = || all([Some(&nobody), Some(&denied), Some(&denied)]);
    let cases: Vec<Row> = vec![
        (Request::Grant(Grant { lease: None, ttl_secs: 60 }), known(), auth_gaps),
        (keep_alive(theirs), root_only(), auth_gaps),
        (keep_alive(read), root_only(), auth_gaps),
        (keep_alive(own), own_only(), auth_gaps),
        (keep_alive(empty), known(), auth_gaps),
        (keep_alive(never), known(), auth_gaps),
        (left(theirs, false), known(), auth_gaps),
        (left(theirs, true), root_only(), lease_keys_told),
        (left(read, true), own_only(), lease_keys_told),
        (left(never, true), known(), lease_keys_told),
        (Request::Leases, root_only(), auth_gaps),
        (Request::Revoke(Revoke { lease: theirs }), root_only(), false),
        (Request::Revoke(Revoke { lease: read }), root_only(), false),
        (Request::Status, root_only(), auth_gaps),
        (Request::Members, known(), auth_gaps),
    ];
    for (request, expected, is_open) in cases {
        for (user, error) in ["", "bob", "ann"].into_iter().zip(expected) {
            client.act_as(user);
            let error = error.filter(|_| !is_open);
            assert_eq!(outcome(client, request.clone()), error, "{user:?}: {request:?}");
        }
    }
    // What is looked at first differs, too.
    let future = Request::Compact(Compact { revision: Revision(1000), physical: false });
    let revoke = Request::Revoke(Revoke { lease: never });
    let (late, gone) = (StoreError::FutureRevision, StoreError::LeaseNotFound);
    for (user, compacting, revoking) in
        [("", &nobody, &nobody), ("bob", &denied, &gone), ("root", &late, &gone)]
    {
        client.act_as(user);
        let open = |error, otherwise| if auth_gaps { otherwise } else { error };
        assert_eq!(client.failure(future.clone()), *open(compacting, &late), "{user:?}");
        assert_eq!(client.failure(revoke.clone()), *open(revoking, &gone), "{user:?}");
    }
    client.act_as("root");
    for request in [keep_alive(theirs), left(theirs, true), Request::Leases, Request::Status] {
        assert_eq!(outcome(client, request.clone()), None, "{request:?}");
    }
    client.act_as("ann");
    assert_eq!(outcome(client, Request::Revoke(Revoke { lease: own })), None);
}

fn a5_watches_are_refused_in_band(client: &mut Client<'_>) {
    enable(client);
    for user in ["ann", "bob"] {
        log_in(client, user);
    }
    let reason =
        |code: &str, error: &StoreError| format!("rpc error: code = {code} desc = {error}");
    let refused = |client: &mut Client<'_>, stream| {
        let told = client.told(stream);
        assert!(told.created && told.canceled && told.watch_id == -1, "{told:?}");
        assert!(told.header.revision > Revision::ZERO && told.events.is_empty(), "{told:?}");
        told.cancel_reason
    };
    let denied = reason("PermissionDenied", &StoreError::PermissionDenied);
    let nobody = reason("InvalidArgument", &StoreError::NoToken);
    let numbered = Watch { id: 7, ..Watch::of(client.one("x"), Revision::ZERO) };
    for (user, watch, expected) in [
        ("", Watch::of(client.one("a"), Revision::ZERO), &nobody),
        ("bob", Watch::of(client.one("a"), Revision::ZERO), &denied),
        ("ann", Watch::of(client.one("x"), Revision::ZERO), &denied),
        ("ann", Watch::of(client.one("w"), Revision(1)), &denied),
        ("ann", Watch::of(client.all(), Revision::ZERO), &denied),
        ("ann", numbered, &denied),
    ] {
        client.act_as(user);
        let stream = client.submit(Request::Watch(watch.clone()));
        assert_eq!(refused(client, stream), *expected, "{user:?} {watch:?}");
        client.cancel(stream);
    }
    // The stream lives on, and lets in what may be.
    client.act_as("ann");
    let stream = client.submit(Request::Watch(Watch::of(client.one("x"), Revision::ZERO)));
    refused(client, stream);
    client.say(stream, WatchSay::Create(Watch::of(client.one("a"), Revision::ZERO)));
    assert!(client.told(stream).created);
    client.ask_put(client.a_put("a", "1"));
    client.events(stream, 1);
    // A range that nothing ends: older releases look at its first key alone.
    let open = Quirks::of_version(client.release()).expect("a version").open_watch_unchecked;
    let watch = Watch::of(KeyRange::from_key(client.key("a")), Revision::ZERO);
    client.say(stream, WatchSay::Create(watch));
    let told = client.told(stream);
    assert_eq!((told.created, told.canceled), (true, !open), "{told:?}");
    // What is told goes on, and progress is answered, whatever becomes of its user.
    let keys = client.one("a");
    let taken = Admin::RevokePermission { role: "part".to_owned(), keys };
    let gone = Admin::DeleteUser { user: "ann".to_owned() };
    for (change, value) in [(taken, "2"), (gone, "3")] {
        client.administer(change);
        log_in(client, "root");
        client.ask_put(client.a_put("a", value));
        client.act_as("ann");
        for _ in 0..1 + u32::from(open) {
            assert_eq!(client.told(stream).events.len(), 1, "{value}");
        }
        client.say(stream, WatchSay::Progress);
        let told = client.told(stream);
        assert!(told.events.is_empty() && !told.canceled, "{told:?}");
    }
}

fn a6_a_token_ends_when_it_is_not_used(client: &mut Client<'_>) {
    enable(client);
    log_in(client, "ann");
    for _ in 0..3 {
        client.wait(Duration::from_secs(2));
        assert_eq!(outcome(client, get(client, "a")), None, "each use counts");
    }
    // Its time, and the second that etcd takes to notice.
    client.wait(Duration::from_millis(4500));
    assert_eq!(client.failure(get(client, "a")), StoreError::InvalidToken);
    log_in(client, "ann");
    assert_eq!(outcome(client, get(client, "a")), None);
}

fn a7_a_restart_forgets_what_is_older_than_its_disk(client: &mut Client<'_>) {
    enable(client);
    client.wait(Duration::from_millis(500));
    log_in(client, "ann");
    let restart = |client: &mut Client<'_>| {
        // etcd writes to disk every tenth of a second.
        client.wait(Duration::from_millis(500));
        client.happen(Happening::Restart);
        for _ in 0..100 {
            let outcome = outcome(client, get(client, "a"));
            if outcome.as_ref().is_none_or(|error| *error == StoreError::InvalidToken) {
                return outcome;
            }
            client.wait(Duration::from_millis(100));
        }
        panic!("the store does not come back");
    };
    assert_eq!(restart(client), None, "found in the log again");
    assert_eq!(outcome(client, put(client, "a")), None);
    assert_eq!(restart(client), Some(StoreError::InvalidToken), "a write came after it");
}
