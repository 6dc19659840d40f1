use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use portolan_kit::Etcd;
use rustix::process::Signal;

use crate::kit::{Running, etcd, on, portolan, run, until};

/// What the story has to say, in order.
const STORY: &[&str] = &[
    "web-1",
    "web-2",
    "web-3",
    "a directory in another program follows",
    "two clients change the configuration at the same moment",
    "both changes survive",
    "was killed without a word",
    "vanishes",
    "drains",
    "leaves",
];

fn tells(told: &str, story: &[&str]) {
    let mut lines = told.lines();
    for part in story {
        assert!(lines.any(|line| line.contains(part)), "{part:?} does not come next in\n{told}");
    }
}

#[test]
fn the_story_on_the_embedded_store() {
    let begun = Instant::now();
    let told = run(&mut portolan(["demo"])).done();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(told.lines().count() <= 30, "{told}");
    tells(&told, &["on the embedded store"]);
    tells(&told, STORY);
    tells(&told, &["the store stops", "the store starts again", "all is well", "all leave"]);
    assert!(told.ends_with("every step was observed\n"), "{told}");
}

/// Its keys are apart from the users', and none is left.
#[test]
fn the_story_on_a_real_etcd() {
    let etcd = etcd();
    run(&mut on(&etcd, ["config", "set", "demo", "{\"retries\":9}"])).done();
    let begun = Instant::now();
    let told = run(&mut on(&etcd, ["demo"])).done();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(told.lines().count() <= 30, "{told}");
    tells(&told, &[&format!("on etcd at {}, below /portolan-demo-", etcd.client_url())]);
    tells(&told, STORY);
    tells(&told, &["left out: the store restarts", "every step was observed"]);
    assert!(told.contains("from {}"), "{told}");
    assert_eq!(keys(&etcd), ["/portolan/groups/demo"]);
    let users = run(&mut on(&etcd, ["config", "get", "demo", "-o", "json"])).done();
    assert!(users.contains("{\"retries\":9}"), "{users}");
    let told = run(&mut on(&etcd, ["demo", "--root", "/else/where"])).done();
    tells(&told, &["below /else/where-demo-"]);
    assert_eq!(keys(&etcd), ["/portolan/groups/demo"]);
}

/// All that etcd has.
fn keys(etcd: &Etcd) -> Vec<String> {
    let keys = etcd.etcdctl(["get", "--prefix", "", "--keys-only"]).expect("etcdctl gets");
    keys.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The root that a demo has taken, from its first line.
fn root(demo: &Running) -> String {
    let line = demo.out();
    let (_, root) = line.split_once(", below ").unwrap_or_else(|| panic!("{line}"));
    root.to_owned()
}

#[test]
fn the_story_as_objects() {
    let told = run(&mut portolan(["demo", "-o", "json"])).done();
    let lines = told.lines().map(|line| {
        let object: serde_json::Value = serde_json::from_str(line).expect("a line is an object");
        assert!(object["millis"].is_u64() && object["step"].is_string(), "{line}");
        object["observed"].as_str().expect("a text").to_owned()
    });
    tells(&lines.collect::<Vec<_>>().join("\n"), STORY);
}

/// The time for a store's answer is none for the embedded one, and none for the steps.
#[test]
fn little_time_for_the_store_is_no_matter() {
    tells(&run(&mut portolan(["demo", "--timeout", "1ms"])).done(), STORY);
}

/// A story that nobody hears to its end was not told; what it wrote goes away all the same.
#[test]
fn a_demo_that_is_not_heard_fails_and_clears_up() {
    let etcd = etcd();
    let mut command = on(&etcd, ["demo"]);
    let mut demo =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let head = BufReader::new(demo.stdout.take().expect("it is piped")).lines().take(3);
    assert!(head.last().expect("a line").expect("text").contains("web-2 registers"));
    let output = demo.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(err, "portolan: demo: nobody reads the story\n");
    assert_eq!(keys(&etcd), Vec::<String>::new());
    assert_eq!(etcd.etcdctl(["lease", "list"]).expect("etcdctl lists").trim(), "found 0 leases");
}

#[test]
fn a_demo_that_is_ended_clears_up() {
    let etcd = etcd();
    let mut demo = Running::start(&mut on(&etcd, ["demo"]));
    while !demo.out().contains("both changes survive") {}
    assert!(keys(&etcd).iter().any(|key| key.ends_with("/groups/demo")));
    demo.signal(Signal::INT);
    assert_eq!(demo.hears("portolan: "), "portolan: demo: ended by a signal");
    assert_eq!(demo.status(), 1);
    // The instance that was killed in the story ends with its lease, and nothing else is left.
    let left = keys(&etcd);
    assert!(left.iter().all(|key| key.ends_with("/instances/demo/web-3")), "{left:?}");
    until("the killed one is gone", || keys(&etcd).is_empty());
}

/// Without it, the story would be told whatever happens.
#[test]
fn a_demo_that_does_not_see_a_step_fails() {
    let mut etcd = etcd();
    let mut demo = Running::start(&mut on(&etcd, ["demo"]));
    let root = root(&demo);
    while !demo.out().contains("both changes survive") {}
    etcd.kill().expect("etcd is killed");
    assert_eq!(demo.hears("left"), format!("portolan: demo: left behind: {root}/groups/demo"));
    assert_eq!(
        demo.hears("portolan: "),
        "portolan: demo: not observed within 14s: one instance is killed without a word"
    );
    assert_eq!(demo.status(), 1);
}

/// Who may not write registers nothing.
#[test]
fn a_demo_that_may_not_write_fails() {
    let etcd = etcd();
    for args in [
        &["user", "add", "root:root"][..],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "reading"],
        &["role", "grant-permission", "reading", "read", "--prefix=true", "/"],
        &["user", "add", "reader:reader"],
        &["user", "grant-role", "reader", "reading"],
        &["auth", "enable"],
    ] {
        etcd.etcdctl(args.iter().copied()).unwrap_or_else(|error| panic!("{args:?}: {error}"));
    }
    let ran = run(&mut on(&etcd, ["demo", "--user", "reader:reader"]));
    assert_eq!(ran.status, 1, "{ran:?}");
    assert_eq!(ran.err, "portolan: demo: not observed within 14s: three instances register\n");
}

/// Takes the place of one of the story's instances, while another dies.
fn overtaken(id: &str) -> (Etcd, Running, Running) {
    let etcd = etcd();
    let demo = Running::start(&mut on(&etcd, ["demo"]));
    let root = root(&demo);
    while !demo.out().contains("was killed without a word") {}
    let ours = ["register", "demo", "--id", id, "--endpoint", "http=10.0.0.7:8080"];
    let ours = Running::start(on(&etcd, ours).args(["--root", &root]));
    ours.hears("is registered");
    (etcd, demo, ours)
}

#[test]
fn a_demo_that_cannot_drain_fails() {
    let (etcd, mut demo, _ours) = overtaken("web-2");
    let line = demo.hears("portolan: ");
    assert!(line.starts_with("portolan: demo: "), "{line}");
    assert_eq!(demo.status(), 1);
    while let Some(line) = demo.last_out() {
        assert!(!line.contains("drains"), "{line}");
    }
    // What is not of the story stays.
    let keys = keys(&etcd);
    assert!(keys.len() == 1 && keys[0].ends_with("/instances/demo/web-2"), "{keys:?}");
}

#[test]
fn a_demo_that_cannot_leave_fails() {
    let (etcd, mut demo, _ours) = overtaken("web-1");
    let line = demo.hears("portolan: ");
    assert!(line.contains("superseded"), "{line}");
    assert_eq!(demo.status(), 1);
    let told: Vec<_> = std::iter::from_fn(|| demo.last_out()).collect();
    assert!(told.iter().any(|line| line.contains("left out: the store restarts")), "{told:?}");
    assert!(!told.iter().any(|line| line.contains("all leave")), "{told:?}");
    let keys = keys(&etcd);
    assert!(keys.len() == 1 && keys[0].ends_with("/instances/demo/web-1"), "{keys:?}");
}
