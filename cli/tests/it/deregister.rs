use std::time::Duration;

use insta::assert_snapshot;
use portolan_kit::Etcd;
use rustix::process::Signal;

use crate::kit::{Ran, Running, etcd, on, run, until, value};

const KEY: &str = "/portolan/instances/web/web-1";

fn register(etcd: &Etcd, more: &[&str]) -> Running {
    let args = ["register", "web", "--id", "web-1", "--endpoint", "http=10.0.0.7:8080"];
    let running = Running::start(&mut on(etcd, args.iter().chain(more)));
    running.hears("web/web-1 is registered: ");
    running
}

fn deregister(etcd: &Etcd, more: &[&str]) -> Ran {
    run(on(etcd, ["deregister", "web", "web-1"]).args(more))
}

/// The same without what differs from run to run.
fn plain(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let hex = word.trim_end_matches([':', '\n']);
        let is_lease = hex.len() >= 8 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_lease { word.replace(hex, "LEASE") } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_owner_obeys_and_its_program_goes_on() {
    let etcd = etcd();
    let mut owner = register(
        &etcd,
        &["--", "sh", "-c", "echo up; trap 'exit 4' TERM; while :; do sleep 0.02; done"],
    );
    assert_eq!(owner.out(), "up");
    let ran = deregister(&etcd, &["--by", "ops at \"desk 3\""]);
    assert_snapshot!(plain(&ran.done()), @r#"web/web-1 is evicted by ops at "desk 3" at revision 3; its owner removes it, or it goes with lease LEASE"#);
    owner.hears("web/web-1: the registration has ended: evicted by ops at \"desk 3\"");
    assert_eq!(value(&etcd, KEY), "");
    assert!(owner.is_running(), "its program is not ours to end");
    // It does not come back by itself.
    assert!(owner.is_silent_for(Duration::from_secs(1)));
    assert_eq!(value(&etcd, KEY), "");
    let again = deregister(&etcd, &[]);
    assert_eq!((again.status, &*again.err), (3, "portolan: web/web-1 is not registered\n"));
    owner.signal(Signal::TERM);
    assert_eq!(owner.status(), 4);
}

#[test]
fn an_owner_without_a_program_ends() {
    let etcd = etcd();
    let mut owner = register(&etcd, &[]);
    let mut command = on(&etcd, ["deregister", "web", "web-1", "-o", "json"]);
    let line = run(command.env("USER", "joe")).done();
    let mut object: serde_json::Value = serde_json::from_str(&line).expect("an object");
    assert!(object["lease"].as_str().is_some_and(|lease| lease.len() >= 8), "{line}");
    object["lease"] = "LEASE".into();
    assert_snapshot!(object, @r#"{"by":"joe","group":"web","id":"web-1","lease":"LEASE","outcome":"evicted","revision":3}"#);
    owner.hears("the registration has ended: evicted by joe");
    assert_eq!(owner.status(), 1);
    let leases = etcd.etcdctl(["lease", "list"]).expect("etcdctl lists");
    assert_eq!(leases.trim(), "found 0 leases");
}

/// Nobody obeys: the mark stays until the lease ends, and is seen.
#[test]
fn the_mark_of_a_suspended_owner_is_shown_and_stays_the_first_one() {
    let etcd = etcd();
    let mut owner = register(&etcd, &["--ttl", "60s"]);
    owner.signal(Signal::STOP);
    assert_eq!(deregister(&etcd, &["--by", "ops"]).status, 0);
    assert_snapshot!(run(&mut on(&etcd, ["instances", "web"])).done(), @"
    ID     STATE                     ENDPOINTS           VERSION  WEIGHT  LABELS
    web-1  draining, evicted by ops  http=10.0.0.7:8080
    ");
    let again = deregister(&etcd, &["--by", "me"]).done();
    assert!(again.starts_with("web/web-1 is evicted by ops at revision 3;"), "{again}");
    owner.signal(Signal::CONT);
    owner.hears("the registration has ended: evicted by ops");
    assert_eq!(owner.status(), 1);
}

#[test]
fn a_record_without_a_lease_is_deleted() {
    let etcd = etcd();
    etcd.etcdctl(["put", KEY, r#"{"v":1,"endpoints":{"http":"10.0.0.7:80"}}"#]).expect("put");
    let ran = deregister(&etcd, &[]);
    assert_snapshot!(ran.done(), @"web/web-1 is deleted at revision 3");
    assert_eq!(value(&etcd, KEY), "");
    // What cannot be read is nobody's to keep either.
    etcd.etcdctl(["put", KEY, "nonsense"]).expect("put");
    assert_eq!(deregister(&etcd, &[]).status, 0);
    assert_eq!(value(&etcd, KEY), "");
}

#[test]
fn by_force_it_is_deleted_and_a_living_owner_restores_it() {
    let etcd = etcd();
    let owner = register(&etcd, &[]);
    let ran = deregister(&etcd, &["--force"]);
    assert_snapshot!(plain(&format!("{}{}", ran.out, ran.err)), @"
    web/web-1 is deleted at revision 3
    portolan: web/web-1 hung on lease LEASE: if its owner is alive, it restores it
    ");
    assert_eq!(ran.status, 0);
    owner.hears("web/web-1 is registered again");
    until("restored", || value(&etcd, KEY).contains("ready"));
}

#[test]
fn what_cannot_be_marked_says_why() {
    let etcd = etcd();
    let lease = etcd.etcdctl(["lease", "grant", "60"]).expect("granted");
    let lease = lease.split(' ').nth(1).expect("lease ID granted").to_owned();
    etcd.etcdctl(["put", KEY, "nonsense", &format!("--lease={lease}")]).expect("put");
    let other = "/portolan/instances/web/web-2";
    etcd.etcdctl(["put", other, r#"{"v":1}"#, &format!("--lease={lease}")]).expect("put");
    let mut lines = String::new();
    let mut tell = |ran: Ran| lines += &format!("{} {}", ran.status, ran.err);
    tell(deregister(&etcd, &[]));
    tell(deregister(&etcd, &["--layout", "etcd-naming"]));
    tell(deregister(&etcd, &["--layout", "etcd-naming", "--force"]));
    tell(run(&mut on(&etcd, ["deregister", "web", "web-2", "--by", "a\nb"])));
    tell(run(&mut on(&etcd, ["deregister", "web", "web-2", "--by", ""])));
    tell(deregister(&etcd, &["--by", "me", "--force"]));
    tell(run(&mut on(&etcd, ["deregister", "web", "web 1"])));
    tell(run(&mut on(&etcd, ["deregister", "web"])));
    assert_snapshot!(lines, @r"
    1 portolan: web/web-1 cannot be marked: record is unreadable: record is not JSON: byte 0: expected a value; --force deletes it
    2 portolan: --layout etcd-naming has no room for an eviction mark; --force deletes the record, which an owner that is alive restores
    3 portolan: web/web-1 is not registered
    2 portolan: evicted by: value has '\n' at byte 1; allowed is text of one line that prints
    2 portolan: evicted by: value is empty; it takes 1 to 256 bytes
    2 portolan: the argument '--by <NAME>' cannot be used with '--force'
    2 portolan: instance id has ' ' at byte 3; allowed are letters, digits, '.', '_' and '-'
    2 portolan: the following required arguments were not provided: <ID>
    ");
    assert_eq!(deregister(&etcd, &["--force"]).status, 0);
    assert_eq!(value(&etcd, KEY), "");
}
