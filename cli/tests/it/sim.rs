use std::fs;

use insta::assert_snapshot;

use crate::kit::{portolan, run};

#[test]
fn plans_with_a_name_are_listed_and_told() {
    let list = run(&mut portolan(["sim", "list"])).done();
    assert!(list.lines().count() > 40, "{list}");
    assert!(list.contains("\ncrash "), "{list}");
    let crash = run(&mut portolan(["sim", "replay", "crash"]));
    assert_eq!(crash.status, 0);
    assert_snapshot!(crash.out, @r#"
    0.000s p0.1 starts as 65e396c6a234576c
    0.000s p1.1 starts as 30891bdbff84dbf9
    0.000s plan {"open":{"process":1,"id":1,"scope":{"instances":"web"}}}
    0.000s plan {"register":{"process":0,"id":1,"group":"web","instance":"a","conflict":"replace"}}
    0.001s store lease=2579d5fa42218243 granted for 3s by c2 #1
    0.005s p1.1 told directory 1 0@1 live 0 records Listed
    0.009s store @2 put /portolan/instances/web/a=146B:1fb23624@2/2~2579d5fa42218243 by c2 #2
    0.013s p0.1 told registration 1 registered @2 lease=2579d5fa42218243 sequence=1
    0.103s p1.1 told directory 1 0@2 live 1 records Watched: +/portolan/instances/web/a@2
    1.000s plan {"crash":{"process":0}}
    1.000s p0.1 crashes
    1.000s plan all heals
    3.500s store @3 delete /portolan/instances/web/a by expiry of lease 2579d5fa42218243
    3.500s store lease=2579d5fa42218243 ended by expiry of lease 2579d5fa42218243
    3.503s p1.1 told directory 1 0@3 live 0 records Watched: -/portolan/instances/web/a@2
    47 entries, hash 240b664cd7f5fde8
    "#);
    assert_snapshot!(crash.err, @"portolan: A process ends without a word. Its record stays until its lease has run out, and then goes from the store and from every directory.");
    let objects = run(&mut portolan(["sim", "replay", "crash", "-o", "json"])).out;
    let last = objects.lines().last().expect("it ends");
    assert!(last.contains(r#""held":true"#), "{last}");
    let all = run(&mut portolan(["sim", "replay", "crash", "--trace"])).out;
    assert!(all.lines().count() > crash.out.lines().count() * 2, "every message: {all}");
    assert_eq!(all.lines().last(), crash.out.lines().last(), "the hash is that of the whole");
}

#[test]
fn drawn_plans_hold() {
    let ran = run(&mut portolan(["sim", "run", "--seeds", "20", "--from", "7"]));
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.out.starts_with("20 plans, ") && ran.out.ends_with(": all held\n"), "{}", ran.out);
    let json = run(&mut portolan(["sim", "run", "--seeds", "2", "-o", "json"])).out;
    assert!(json.contains(r#""failures":0"#), "{json}");
    let progress = "20 of 20 seeds, 0 failures, 0 h of virtual time, ";
    assert!(ran.err.starts_with(&format!("portolan: {progress}")), "{}", ran.err);
    assert!(ran.err.ends_with(" properties looked at\n"), "{}", ran.err);
    let alone = run(&mut portolan(["sim", "run", "--seeds", "20", "--from", "7", "--jobs", "1"]));
    assert_eq!(alone.out, ran.out, "it does not matter how many run beside each other");
    let calm = run(&mut portolan(["sim", "run", "--seeds", "20", "--from", "7", "--mix", "calm"]));
    assert_ne!(calm.out, ran.out, "other plans");
    let drawn = run(&mut portolan(["sim", "replay", "7"])).done();
    let calm = run(&mut portolan(["sim", "replay", "7", "--mix", "calm"])).done();
    assert!(drawn.contains(", hash ") && drawn.lines().last() != calm.lines().last(), "{drawn}");
}

/// A run that was interrupted goes on, and comes to what it would have come to.
#[test]
fn a_run_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("state.json");
    let state = file.to_str().expect("letters");
    let part = ["sim", "run", "--from", "5", "--state", state, "--seeds"];
    let go = |seeds: &str| run(&mut portolan(part.into_iter().chain([seeds])));
    assert_eq!(go("7").status, 0);
    let rest = go("20");
    assert!(rest.err.starts_with("portolan: going on from seed 12\n"), "{}", rest.err);
    let whole = run(&mut portolan(["sim", "run", "--from", "5", "--seeds", "20"]));
    assert_eq!((rest.status, rest.out), (0, whole.out));
    let left: Vec<_> = fs::read_dir(folder.path()).expect("it is there").collect();
    assert_eq!(left.len(), 1, "nothing else is left: {left:?}");
    let other = run(&mut portolan(["sim", "run", "--state", state]));
    assert_eq!(other.status, 2);
    let wrong = "it is of --mix full --from 5, not of --mix full --from 0\n";
    assert!(other.err.ends_with(wrong), "{}", other.err);
    fs::write(&file, "{}").expect("it is written");
    let broken = go("20");
    assert_eq!(broken.status, 2);
    assert!(broken.err.contains("no such state: missing field"), "{}", broken.err);
}

#[test]
fn what_is_broken_on_purpose_is_noticed() {
    let table = run(&mut portolan(["sim", "canary", "watch-one-later"])).done();
    let mut lines = table.lines();
    let header: Vec<_> = lines.next().expect("a header").split("  ").map(str::trim).collect();
    let header: Vec<_> = header.into_iter().filter(|name| !name.is_empty()).collect();
    assert_eq!(header, ["CANARY", "BREAKS", "MIX", "SEED", "OTHERS", "WHAT IS BROKEN"]);
    let row = lines.next().expect("a row");
    assert!(row.starts_with("watch-one-later  VW9 "), "{row}");
    assert!(
        row.ends_with("A watch that is opened begins one revision later than it was to."),
        "{row}"
    );
    assert_eq!(lines.next(), None);
    let json = run(&mut portolan(["sim", "canary", "change-told-twice", "-o", "json"])).done();
    let object: serde_json::Value = serde_json::from_str(&json).expect("an object");
    assert_eq!(object["canary"], "change-told-twice");
    assert_eq!(object["breaks"], "VW4");
    assert!(object["seed"].is_u64(), "it fell: {object}");
    let unknown = run(&mut portolan(["sim", "canary", "nightingale"]));
    assert_eq!(unknown.status, 3);
    assert!(unknown.err.contains("no canary with the name nightingale"), "{}", unknown.err);
}

/// Where every message travels for ten seconds, nothing is answered in time.
#[test]
fn what_does_not_hold_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("plan.json");
    let plan = r#"{"world": {"wire": {"delay_us": [10000000, 10000000]}},
        "steps": [{"at_ms": 0, "do": {"open": {"process": 0, "id": 1, "scope": "all-configs"}}}]}"#;
    fs::write(&file, plan).expect("it is written");
    let fell = run(&mut portolan(["sim", "replay", file.to_str().expect("letters")]));
    assert_eq!(fell.status, 1);
    assert!(fell.err.starts_with("portolan: LV1 ("), "{}", fell.err);
}

#[test]
fn what_is_no_plan_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("plan.json");
    fs::write(&file, r#"{"world": {"members": 9}, "steps": []}"#).expect("it is written");
    let file = file.to_str().expect("letters");
    let refused = run(&mut portolan(["sim", "replay", file]));
    assert_eq!(refused.status, 2);
    let wrong = "world.members is 9; it takes 1 to 5\n";
    assert!(refused.err.ends_with(wrong), "{}", refused.err);
    let unknown = run(&mut portolan(["sim", "replay", "no-such-plan"]));
    assert_eq!(unknown.status, 3);
    assert!(unknown.err.contains("neither a plan with the name no-such-plan"), "{}", unknown.err);
    let none = run(&mut portolan(["sim", "run", "--seeds", "0"]));
    assert_eq!(none.status, 2);
    assert!(none.err.contains("1..=10000000"), "{}", none.err);
    let nothing = run(&mut portolan(["sim", "run", "--mix", "nothing"]));
    assert_eq!(nothing.status, 2);
    let names = "--mix nothing is none of full, calm, crash, wire, store, strangers\n";
    assert!(nothing.err.ends_with(names), "{}", nothing.err);
    let nowhere = run(&mut portolan(["sim", "run", "--keep", "no/such/folder"]));
    assert_eq!(nowhere.status, 2);
}
