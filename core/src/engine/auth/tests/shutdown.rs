//! Shutdowns while there is no token yet.

use super::*;

/// What waits for a token is not sent any more once the engine shuts down.
#[test]
fn a_shutdown_before_the_login_asks_for_nothing() {
    let mut h = harness();
    h.command(register());
    h.command(Command::Shutdown { within: secs(5) });
    h.reply(2, Reply::Authenticated).wait(secs(6));
    assert_eq!(h.asked("grant"), None, "{}", h.trace());
    assert_eq!(h.asked("txn"), None, "{}", h.trace());
    assert!(h.trace().contains("closed confirmed=true"), "{}", h.trace());
}

/// What waits for a token has not left: a shutdown says of it that it is not done.
#[test]
fn what_waits_for_a_login_is_not_done_at_a_shutdown() {
    let mut h = harness();
    h.put(1).update(2).command(Command::Shutdown { within: secs(5) });
    assert_snapshot!(h.trace(), @"
    0.000s < call 1 put k=1B:8416192e within 20s
    0.000s > #2 m0 authenticate
    0.000s < update 2 g within 20s
    0.000s < shutdown within 5s
    0.000s > update 2 failed: shut down
    0.000s > call 1 shut down
    0.000s > #2 cancel
    0.000s > closed confirmed=true
    ");
    let mut h = Harness::logged_in();
    h.wait(secs(300)).put(3).command(Command::Shutdown { within: secs(5) });
    assert!(h.trace().contains("call 3 unknown whether done"), "it had left: {}", h.trace());
    for (token_is_old, end) in [(true, "update 4 failed: shut down"), (false, "update 4 unknown")] {
        let mut h = Harness::logged_in();
        let proposal = Proposal::Write(Data::parse("1").expect("JSON"));
        h.wait(secs(300)).update(4).reply(3, range());
        h.command(Command::Proposed { id: OpId(4), proposal });
        let swap = h.last("txn");
        if token_is_old {
            h.fail(swap, StoreError::InvalidToken);
        }
        h.command(Command::Shutdown { within: secs(5) });
        assert!(h.trace().contains(end), "{end}: {}", h.trace());
    }
}

/// Of all that waits, each is told by itself.
#[test]
fn a_shutdown_before_the_login_keeps_nobody_waiting() {
    let mut h = harness();
    h.command(register()).get(1).put(2);
    h.command(Command::Shutdown { within: secs(5) });
    let trace = h.trace();
    for told in ["call 1 shut down", "call 2 ", "closed confirmed=true"] {
        assert!(trace.contains(&format!("0.000s > {told}")), "{trace}");
    }
}
