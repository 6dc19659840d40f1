use std::time::Duration;

use portolan_kit::Etcd;
use rustix::process::Signal;

use crate::kit::{Running, etcd, on, until, value};

const KEY: &str = "/portolan/instances/web/web-1";

fn register(etcd: &Etcd, address: &str) -> Running {
    let endpoint = format!("http={address}");
    let args = ["register", "web", "--id", "web-1", "--ttl", "2s", "--endpoint", &endpoint];
    let running = Running::start(&mut on(etcd, args));
    running.hears("web/web-1 is registered: ");
    running
}

/// The record's create and mod revision: no write goes unseen.
fn revisions(etcd: &Etcd) -> Vec<String> {
    let fields = etcd.etcdctl(["get", KEY, "--write-out=fields"]).expect("etcdctl gets");
    let revision = |line: &&str| line.contains("CreateRevision") || line.contains("ModRevision");
    fields.lines().filter(revision).map(str::to_owned).collect()
}

/// A process that slept longer than its lease lives, and was replaced meanwhile, gives way when it
/// wakes: it touches nothing, and ends.
#[test]
fn who_wakes_after_being_replaced_gives_way() {
    let etcd = etcd();
    let mut sleeper = register(&etcd, "10.0.0.7:8080");
    sleeper.signal(Signal::STOP);
    until("its record goes with its lease", || value(&etcd, KEY).is_empty());
    let mut other = register(&etcd, "10.0.0.8:8080");
    let theirs = revisions(&etcd);
    assert_eq!(theirs.len(), 2);
    sleeper.signal(Signal::CONT);
    sleeper.hears("the registration has ended: superseded by the record on lease");
    assert_eq!(sleeper.status(), 1);
    assert_eq!(revisions(&etcd), theirs, "one record, the other's, untouched");
    assert!(value(&etcd, KEY).contains("10.0.0.8:8080"));
    assert!(other.is_silent_for(Duration::from_millis(300)) && other.is_running());
}
