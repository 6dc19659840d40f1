//! Tokens that are neither refused nor answered: a store that was wiped keeps them waiting (row A8).

use super::*;
use crate::waist::LeasesReply;

#[test]
fn an_unanswered_token_is_renewed_beside_all_else() {
    let mut h = Harness::logged_in();
    h.wait(secs(300)).get(3).wait(secs(6)).put(4);
    let login = h.last("authenticate");
    h.reply(login, Reply::Authenticated).wait(secs(1));
    assert_snapshot!(h.trace(), @"
    300.000s < call 3 range k within 20s
    300.000s > #3 m0 range k
    303.000s > #3 cancel
    303.000s > m0 redial
    303.100s > #4 m0 range k
    303.100s > #5 m0 authenticate
    306.000s < call 4 put k=1B:8416192e within 20s
    306.000s > #6 m0 put k=1B:8416192e
    306.000s < #5 authenticated
    306.100s > #4 cancel
    306.100s > m0 redial
    306.300s > #7 m0 range k
    ");
}

#[test]
fn a_member_that_is_slow_alone_costs_no_login() {
    let mut h = Harness::logged_in();
    h.wait(secs(300)).get(3).wait(secs(1)).put(4);
    h.reply(h.last("put"), put()).wait(secs(4));
    assert!(h.trace().contains("#3 cancel"), "it had its full time");
    assert_eq!(h.asked("authenticate"), None, "another answer showed that the token is good");
}

#[test]
fn an_answer_ends_the_doubt() {
    let mut h = Harness::logged_in();
    h.wait(secs(300)).get(3).wait(secs(2)).put(4).wait(Duration::from_millis(1_050));
    assert!(h.trace().contains("#3 cancel"), "it had its full time");
    h.reply(h.last("put"), put()).wait(secs(2));
    assert_eq!(h.asked("authenticate"), None, "it was to be asked for 50 ms later");
}

/// In an outage the login is not answered either. It is tried ever more seldom, and nothing waits.
#[test]
fn an_outage_of_the_store_costs_few_logins() {
    let mut h = Harness::logged_in();
    for id in 3..123 {
        h.wait(secs(5)).get(id);
    }
    let logins =
        h.lines.iter().filter(|line| line.contains("> #") && line.contains("authenticate"));
    assert!((20..=130).contains(&logins.count()), "{}", h.trace());
    let waits = h.lines.iter().filter(|line| line.contains("not logged in"));
    assert_eq!(waits.count(), 0, "{}", h.trace());
}

#[test]
fn a_refusal_meanwhile_waits_for_the_login_that_is_under_way() {
    let mut h = Harness::logged_in();
    h.wait(secs(300)).get(3).wait(secs(6)).put(4);
    let (login, late) = (h.last("authenticate"), h.last("put"));
    h.lines.clear();
    h.fail(late, StoreError::InvalidToken).reply(login, Reply::Authenticated);
    assert_snapshot!(h.trace(), @"
    306.000s < #6 failed: etcdserver: invalid auth token
    306.000s < #5 authenticated
    306.000s > #7 m0 put k=1B:8416192e
    ");
}

/// Old releases look at no token for leases, and who fails may not have come to looking.
#[test]
fn only_answers_for_which_the_token_is_looked_at_speak_for_it() {
    let leases = Reply::Leases(LeasesReply { header: header(), leases: Vec::new() });
    let failed = Reply::Failed(StoreError::TimedOut);
    let put = Request::Put(Put { key: "k".into(), value: "v".into(), ..Put::default() });
    for (request, reply) in [(Request::Leases, leases), (put, failed)] {
        let mut h = Harness::logged_in();
        h.wait(secs(300)).get(3).wait(secs(1));
        h.command(Command::Call { id: OpId(4), request, within: secs(2) });
        let other = h.last("> #");
        h.reply(other, reply).wait(Duration::from_millis(2_150));
        assert!(h.asked("authenticate").is_some(), "{}", h.trace());
    }
}

#[test]
fn a_watch_that_is_never_confirmed_is_a_reason_too() {
    let mut h = Harness::logged_in();
    h.wait(secs(300)).command(Command::Open { id: DirectoryId(1), scope: all() });
    h.reply(h.last("range"), range()).wait(secs(4));
    assert!(h.trace().contains("watch"), "{}", h.trace());
    assert_eq!(h.asked("authenticate"), None, "the list spoke for it in that moment");
    h.wait(secs(3));
    assert!(h.asked("authenticate").is_some(), "{}", h.trace());
}

/// The pauses that an outage has made long begin anew once the token has served.
#[test]
fn pauses_between_logins_begin_anew_after_a_while() {
    let mut h = Harness::logged_in();
    h.wait(secs(300)).get(3).wait(secs(60)).put(4);
    h.reply(h.last("put"), put()).wait(secs(300)).get(5);
    h.lines.clear();
    h.wait(Duration::from_millis(3_150));
    assert!(h.asked("authenticate").is_some(), "{}", h.trace());
}
