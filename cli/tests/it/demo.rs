use std::time::{Duration, Instant};

use crate::kit::{Running, etcd, on, portolan, run};

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

#[test]
fn the_story_on_a_real_etcd() {
    let etcd = etcd();
    let begun = Instant::now();
    let told = run(&mut on(&etcd, ["demo"])).done();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(told.lines().count() <= 30, "{told}");
    tells(&told, &[&format!("on etcd at {}", etcd.client_url())]);
    tells(&told, STORY);
    tells(&told, &["left out: the store restarts", "left behind: /portolan/groups/demo"]);
    let keys = etcd.etcdctl(["get", "--prefix", "", "--keys-only"]).expect("etcdctl gets");
    assert_eq!(keys.trim(), "/portolan/groups/demo");
    // Again, on what the first left behind.
    run(&mut on(&etcd, ["demo", "--root", "/portolan"])).done();
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

/// Without it, the story would be told whatever happens.
#[test]
fn a_demo_that_does_not_see_a_step_fails() {
    let mut etcd = etcd();
    let mut demo = Running::start(&mut on(&etcd, ["demo"]));
    while !demo.out().contains("both changes survive") {}
    etcd.kill().expect("etcd is killed");
    let line = demo.hears("portolan: ");
    assert_eq!(
        line,
        "portolan: demo: not observed within 14s: one instance is killed without a word"
    );
    assert_eq!(demo.status(), 1);
}
