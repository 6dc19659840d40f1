//! Whoever was refused goes on once a login succeeds, and nobody else is called back by one.

use super::*;
use crate::waist::{GrantReply, LeaseId, OpReply, PutReply, TxnReply};

/// The lease that was asked for last, for an hour.
fn granted(h: &Harness) -> Reply {
    let line = h.lines.iter().rev().find(|line| line.contains(" grant lease="));
    let id = line.and_then(|line| line.split("lease=").nth(1)?.split(' ').next());
    let id = id.and_then(|id| i64::from_str_radix(id, 16).ok()).and_then(LeaseId::new);
    let lease = id.expect("a lease was asked for");
    Reply::Grant(GrantReply { header: header(), lease, ttl_secs: 3600 })
}

/// A directory that was refused waits up to a minute, but not once the password is right.
#[test]
fn whoever_was_refused_is_let_in_soon() {
    let mut h = harness();
    h.command(Command::Open { id: DirectoryId(1), scope: all() });
    let mut attempt = 2;
    for _ in 0..12 {
        h.fail(attempt, StoreError::AuthFailed).wait(secs(60));
        attempt = h.last("authenticate");
    }
    h.lines.clear();
    h.reply(attempt, Reply::Authenticated).wait(secs(1));
    assert!(h.end().contains("range"), "{}", h.trace());
}

/// Its lease was refused, its record, or its record's removal: no slow pause is sat out.
#[test]
fn a_registration_that_was_refused_is_let_in_soon() {
    // Ten minutes of refusals, each at once; then the next login succeeds.
    let refuse = |h: &mut Harness| {
        let (mut answered, end) = (0, h.now + secs(600));
        loop {
            let login = h.asked(" m0 authenticate").unwrap_or(0);
            if login > answered && h.now < end {
                h.fail(login, StoreError::AuthFailed);
            } else if login > answered {
                h.lines.clear();
                h.reply(login, Reply::Authenticated).wait(secs(1));
                return;
            }
            answered = login;
            h.wait(secs(1));
        }
    };
    let mut h = harness();
    h.command(register());
    refuse(&mut h);
    assert!(h.trace().contains("grant"), "{}", h.trace());

    let reply = granted(&h);
    h.reply(h.last(" grant "), reply);
    h.fail(h.last(" txn "), StoreError::InvalidToken);
    refuse(&mut h);
    assert!(h.trace().contains("then put"), "{}", h.trace());

    h.command(Command::Deregister { id: RegistrationId(1), within: secs(3600) });
    h.fail(h.last(" revoke "), StoreError::InvalidToken);
    refuse(&mut h);
    assert!(h.trace().contains("revoke"), "{}", h.trace());
}

/// An outage has made the pauses of writes and of the own watch long. When a login succeeds that was
/// refused after it, neither is sat out.
#[test]
fn pauses_from_an_outage_end_with_the_login() {
    let setup = setup();
    let tuning = Tuning { backoff_cap: secs(1_000), ..setup.tuning };
    let mut h = Harness::with(Setup { tuning, ..setup });
    h.command(register()).reply(2, Reply::Authenticated);
    let reply = granted(&h);
    h.reply(h.last(" grant "), reply);
    let put = vec![OpReply::Put(PutReply::default())];
    let put = TxnReply { header: header(), succeeded: true, responses: put };
    h.reply(h.last(" txn "), Reply::Txn(put));
    let (own_watch, read) =
        ("m0 watch /portolan/instances/web/a ", "m0 range /portolan/instances/web/a");
    let (mut watches, mut reads) = (0, 0);
    while h.now < Time::from_secs(300) {
        for (kind, last) in [(own_watch, &mut watches), (read, &mut reads)] {
            let asked = h.asked(kind).unwrap_or(0);
            if asked > std::mem::replace(last, asked) {
                h.fail(asked, StoreError::ConnectionLost { detail: "reset".to_owned() });
            }
        }
        h.wait(Duration::from_millis(100));
    }
    h.get(1);
    h.fail(h.last("m0 range k"), StoreError::InvalidToken);
    h.fail(h.last(" authenticate"), StoreError::AuthFailed).lines.clear();
    h.wait(secs(1));
    h.reply(h.last(" authenticate"), Reply::Authenticated).wait(secs(1));
    let trace = h.trace();
    assert!(trace.contains(own_watch) && trace.contains(read), "{trace}");
}

/// A login after one that was refused is news for those that it was refused to. A token that is only
/// renewed changes nothing for whoever lacks a right: it waits its time.
#[test]
fn a_token_that_is_renewed_calls_nobody_back() {
    let mut h = Harness::logged_in();
    h.command(Command::Open { id: DirectoryId(1), scope: all() });
    let listing = "m0 range [/portolan";
    let mut asked = 0;
    while h.now < Time::from_secs(600) {
        let last = h.last(listing);
        if last > std::mem::replace(&mut asked, last) {
            h.fail(last, StoreError::PermissionDenied);
        }
        h.wait(secs(1));
    }
    h.get(3);
    h.fail(h.last("m0 range k"), StoreError::InvalidToken);
    h.reply(h.last("authenticate"), Reply::Authenticated).wait(secs(1));
    assert!(h.end().contains("m0 range k"), "{}", h.end());
    assert_eq!(h.last(listing), asked);
}
