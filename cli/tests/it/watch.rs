use std::process::Stdio;

use portolan_kit::Etcd;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::kit::{Running, etcd, on, run};

fn register(etcd: &Etcd, id: &str) -> Running {
    let args = ["register", "web", "--id", id, "--endpoint", "http=10.0.0.7:8080"];
    let running = Running::start(&mut on(etcd, args));
    running.hears("is registered");
    running
}

/// A line without the revision, which is that of the directory.
fn said(watch: &Running) -> String {
    let line = watch.out();
    let (revision, rest) = line.trim_start().split_once(' ').expect("a revision and more");
    assert!(revision.parse::<u64>().is_ok(), "{line}");
    rest.trim_start().to_owned()
}

#[test]
fn the_first_list_and_each_change() {
    let etcd = etcd();
    let _one = register(&etcd, "web-1");
    run(&mut on(&etcd, ["config", "set", "web", "{\"a\":1}"])).done();
    run(&mut on(&etcd, ["config", "set", "shop", "{}"])).done();
    let mut all = Running::start(&mut on(&etcd, ["watch"]));
    let mut web = Running::start(&mut on(&etcd, ["watch", "web"]));

    assert_eq!(said(&all), "added      web/web-1  ready  http=10.0.0.7:8080");
    assert_eq!(said(&all), "added      shop  configuration of 2 bytes");
    assert_eq!(said(&all), "added      web  configuration of 7 bytes");
    assert_eq!(said(&all), "listed     instances: 1, configurations: 2");
    assert_eq!(said(&web), "added      web/web-1  ready  http=10.0.0.7:8080");
    assert_eq!(said(&web), "added      web  configuration of 7 bytes");
    assert_eq!(said(&web), "listed     instances: 1, configurations: 1");

    let mut two = register(&etcd, "web-2");
    assert_eq!(said(&web), "added      web/web-2  ready  http=10.0.0.7:8080");
    two.signal(Signal::TERM);
    assert_eq!(two.status(), 0);
    // Draining is seen before the end, or folded into it: that is the reader's pace.
    let mut line = said(&web);
    if line == "updated    web/web-2  draining  http=10.0.0.7:8080" {
        line = said(&web);
    }
    assert!(line.starts_with("removed    web/web-2"), "{line}");
    run(&mut on(&etcd, ["config", "set", "shop", "[]"])).done();
    run(&mut on(&etcd, ["config", "set", "web", "{\"a\":10}"])).done();
    assert_eq!(said(&web), "updated    web  configuration of 8 bytes");

    for watch in [&mut all, &mut web] {
        assert!(watch.is_running());
        watch.signal(Signal::INT);
        assert_eq!(watch.status(), 0);
    }
}

/// Every kind of line.
#[test]
fn changes_as_objects() {
    let mut etcd = etcd();
    let mut one = register(&etcd, "web-1");
    let watch = Running::start(&mut on(&etcd, ["watch", "web", "-o", "json"]));
    let object = || -> Value { serde_json::from_str(&watch.out()).expect("a line is an object") };
    let added = object();
    assert_eq!((&added["event"], &added["instance"]["id"]), (&"added".into(), &"web-1".into()));
    assert_eq!(added["instance"]["endpoints"]["http"], "10.0.0.7:8080");
    let at = added["at"].as_u64().expect("a revision");
    assert_eq!(object(), json!({"event":"listed","at":at,"instances":1,"configs":0}));
    run(&mut on(&etcd, ["config", "set", "web", "{\"a\":1}"])).done();
    let config = json!({"group":"web","revision":at + 1,"data":{"a":1}});
    assert_eq!(object(), json!({"event":"added","at":at + 1,"config":config}));
    run(&mut on(&etcd, ["config", "set", "web", "[2]"])).done();
    let config = json!({"group":"web","revision":at + 2,"data":[2]});
    assert_eq!(object(), json!({"event":"updated","at":at + 2,"config":config}));
    etcd.etcdctl(["del", "/portolan/groups/web"]).expect("etcdctl deletes");
    assert_eq!(object(), json!({"event":"removed","at":at + 3,"config":config}));

    // Draining is seen before the end, or folded into it: that is the reader's pace.
    one.signal(Signal::TERM);
    assert_eq!(one.status(), 0);
    let mut left = object();
    if left["event"] == "updated" {
        assert_eq!(left["instance"]["state"], "draining", "{left}");
        left = object();
    }
    assert_eq!((&left["event"], &left["instance"]["id"]), (&"removed".into(), &"web-1".into()));
    let at = left["at"].as_u64().expect("a revision");

    etcd.kill().expect("etcd is killed");
    assert_eq!(object(), json!({"event":"stale","at":at}));
    etcd.restart().expect("etcd starts again");
    assert_eq!(object(), json!({"event":"live","at":at}));
}

#[test]
fn an_outage_is_told_and_empties_nothing() {
    let mut etcd = etcd();
    run(&mut on(&etcd, ["config", "set", "web", "1"])).done();
    let watch = Running::start(&mut on(&etcd, ["watch", "web"]));
    assert_eq!(said(&watch), "added      web  configuration of 1 bytes");
    assert_eq!(said(&watch), "listed     instances: 0, configurations: 1");
    etcd.kill().expect("etcd is killed");
    assert_eq!(said(&watch), "stale      the store does not confirm this any more");
    etcd.restart().expect("etcd starts again");
    assert_eq!(said(&watch), "live       the store confirms this again");
    run(&mut on(&etcd, ["config", "set", "web", "22"])).done();
    assert_eq!(said(&watch), "updated    web  configuration of 2 bytes");
}

#[test]
fn unreadable_records_are_told() {
    let etcd = etcd();
    let watch = Running::start(&mut on(&etcd, ["watch"]));
    assert_eq!(said(&watch), "listed     instances: 0, configurations: 0");
    etcd.etcdctl(["put", "/portolan/instances/web/odd", "{"]).expect("etcdctl puts");
    assert_eq!(
        watch.err(),
        "portolan: unreadable record /portolan/instances/web/odd: \
         record is not JSON: byte 1: expected a key"
    );
}

/// As in `portolan watch | head -1`.
#[test]
fn a_closed_output_ends_it_quietly() {
    let etcd = etcd();
    run(&mut on(&etcd, ["config", "set", "web", "1"])).done();
    let mut command = on(&etcd, ["watch"]);
    let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(watch.stdout.take());
    let output = watch.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

/// Three of three are killed, and none of them could say that it was leaving.
#[test]
fn what_an_outage_takes_away_is_told_as_suspect() {
    let etcd = etcd();
    let start = |id: &str| {
        let args = ["register", "web", "--ttl", "2s", "--endpoint", "http=10.0.0.7:8080", "--id"];
        let running = Running::start(on(&etcd, args).arg(id));
        running.hears("is registered");
        running
    };
    let mut all = ["web-1", "web-2", "web-3"].map(start);
    let watch = Running::start(&mut on(&etcd, ["watch", "web", "-o", "json"]));
    let object = || -> Value { serde_json::from_str(&watch.out()).expect("a line is an object") };
    while object()["event"] != "listed" {}
    for process in &mut all {
        process.signal(Signal::KILL);
    }
    // Whatever is gone before the third is: told as removed, and then as kept. The third is kept.
    let (mut kept, mut removed) = (std::collections::BTreeSet::new(), 0);
    let last = loop {
        let line = object();
        match line["event"].as_str() {
            Some("suspect") => {
                kept.insert(line["instance"]["id"].as_str().expect("an id").to_owned());
            }
            Some("removed") => {
                removed += 1;
                assert!(kept.is_empty() && removed < 3, "{line}");
            }
            _ => break line,
        }
    };
    assert_eq!(last["event"], "guarded", "{last}");
    assert_eq!(kept, ["web-1", "web-2", "web-3"].map(str::to_owned).into());
    let _again = start("web-2");
    let back = object();
    assert_eq!((&back["event"], &back["instance"]["id"]), (&"added".into(), &"web-2".into()));
}
