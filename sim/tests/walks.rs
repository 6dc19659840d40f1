//! Every order of what can happen, in small worlds, under all checks.
//!
//! Two processes, one key or one configuration, and a store on an instant wire: what is done, what
//! may be lost, how often time may pass and how long a path may be is said beside each walk. From
//! each end the world is left alone, and must come to rest. The numbers of states are exact: where
//! one changes, so did what can happen.

use std::fmt::Write;

use portolan_core::Time;
use portolan_sim::{Plan, Runner, Walk};

/// What is walked: what was done before, all of it over; what is done, list beside list; messages
/// that may be lost, times that time may pass, moves of a path.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a [&'a str]], (u32, u32, u32));

/// Walks them, and says what they came to. There must be `least` states in all.
fn walk(least: u64, cases: &[Case<'_>]) -> String {
    let (mut said, mut states) = (String::new(), 0);
    for &(name, before, scripts, (losses, waits, moves)) in cases {
        let mut from = Runner::new(&plan(before), false);
        let begin = if before.is_empty() { Time::ZERO } else { Time::from_millis(100) };
        assert!(from.run_until(begin), "{name}: {:?}", from.violation());
        let steps = |script: &&[&str]| plan(script).steps.into_iter().map(|step| step.what);
        let scripts = scripts.iter().map(|script| steps(script).collect()).collect();
        let walked = Walk { from, scripts, losses, waits, moves }.walk();
        assert!(walked.fallen.is_none(), "{name}: {walked}");
        states += walked.states;
        writeln!(said, "{name}: {walked}").expect("a string takes all");
    }
    assert!(states >= least, "only {states} states:\n{said}");
    said
}

/// A plan of these steps at the beginning.
fn plan(steps: &[&str]) -> Plan {
    let steps: Vec<_> = steps.iter().map(|step| format!(r#"{{"at_ms":0,"do":{step}}}"#)).collect();
    let text = format!(
        r#"{{"world": {{
            "processes": 2,
            "tuning": {{"lease_ttl": {{"secs": 2, "nanos": 0}}}},
            "wire": {{"delay_us": [0, 0], "linger_percent": 100, "late_percent": 100}}
        }}, "steps": [{}]}}"#,
        steps.join(",")
    );
    Plan::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

const REGISTER: &str = r#"{"register":{"process":0,"id":1,"group":"web","instance":"a"}}"#;
const PUBLISH: &str = r#"{"publish":{"process":0,"id":1,"state":"ready","weight":5}}"#;
const REMOVE: &str = r#"{"deregister":{"process":0,"id":1,"within_ms":1000}}"#;
const CRASH: &str = r#"{"crash":{"process":0}}"#;
const RESTART: &str = r#"{"restart":{"process":0}}"#;
const PAUSE: &str = r#"{"pause":{"process":0}}"#;
const RESUME: &str = r#"{"resume":{"process":0}}"#;
const CUT: &str = r#"{"cut":{"process":0,"way":"both"}}"#;
const CUT_DOWN: &str = r#"{"cut":{"process":0,"way":"down"}}"#;
const HEAL: &str = r#"{"heal":{"process":0}}"#;
const RESET: &str = r#"{"reset":{"process":0}}"#;
const UPDATE: &str = r#"{"update":{"process":0,"id":1,"group":"web","within_ms":2000}}"#;
const ANOTHER_UPDATE: &str = r#"{"update":{"process":0,"id":2,"group":"web","within_ms":2000}}"#;

/// By the other process.
const TAKE_OVER: &str = r#"{"register":{"process":1,"id":1,"group":"web","instance":"a"}}"#;
const WAIT: &str =
    r#"{"register":{"process":1,"id":1,"group":"web","instance":"a","conflict":"wait"}}"#;
const UPDATE_TOO: &str = r#"{"update":{"process":1,"id":1,"group":"web","within_ms":2000}}"#;

#[test]
fn one_key_is_taken_over() {
    let said = walk(
        20_000,
        &[
            ("both at once", &[], &[&[REGISTER], &[TAKE_OVER]], (1, 0, 100)),
            ("both at once, time passes", &[], &[&[REGISTER], &[TAKE_OVER]], (1, 1, 12)),
            ("while publishing", &[REGISTER], &[&[PUBLISH], &[TAKE_OVER]], (1, 0, 100)),
            ("while publishing, time passes", &[REGISTER], &[&[PUBLISH], &[TAKE_OVER]], (1, 1, 14)),
            ("while removing", &[REGISTER], &[&[REMOVE], &[TAKE_OVER]], (1, 0, 100)),
            ("waiting while removing", &[REGISTER], &[&[REMOVE], &[WAIT]], (1, 0, 100)),
            (
                "while publishing and removing",
                &[REGISTER],
                &[&[PUBLISH, REMOVE], &[TAKE_OVER]],
                (0, 0, 100),
            ),
        ],
    );
    insta::assert_snapshot!(said, @r"
    both at once: 971 states, 1664 moves, 100 ends, 0 unfinished
    both at once, time passes: 23667 states, 44674 moves, 124 ends, 9974 unfinished
    while publishing: 198 states, 368 moves, 25 ends, 0 unfinished
    while publishing, time passes: 12242 states, 28010 moves, 183 ends, 3708 unfinished
    while removing: 3338 states, 9051 moves, 132 ends, 0 unfinished
    waiting while removing: 2337 states, 6268 moves, 103 ends, 0 unfinished
    while publishing and removing: 4229 states, 10329 moves, 70 ends, 0 unfinished
    ");
}

#[test]
fn one_key_is_published_and_removed() {
    let said = walk(
        20_000,
        &[
            ("registered and removed", &[], &[&[REGISTER, REMOVE]], (1, 1, 100)),
            ("published and removed", &[REGISTER], &[&[PUBLISH, REMOVE]], (2, 1, 100)),
            ("removed, connections reset", &[REGISTER], &[&[REMOVE], &[RESET, RESET]], (1, 0, 100)),
            ("removed, cut off", &[REGISTER], &[&[REMOVE], &[CUT_DOWN, HEAL]], (1, 1, 12)),
            ("removed, held", &[REGISTER], &[&[REMOVE], &[PAUSE, RESUME]], (1, 1, 14)),
        ],
    );
    insta::assert_snapshot!(said, @r"
    registered and removed: 29932 states, 88466 moves, 1158 ends, 0 unfinished
    published and removed: 9050 states, 22263 moves, 957 ends, 0 unfinished
    removed, connections reset: 2068 states, 4511 moves, 162 ends, 0 unfinished
    removed, cut off: 25505 states, 58319 moves, 352 ends, 6639 unfinished
    removed, held: 12542 states, 34430 moves, 205 ends, 0 unfinished
    ");
}

#[test]
fn one_key_outlives_faults() {
    let said = walk(
        20_000,
        &[
            ("taken over, crash", &[REGISTER], &[&[CRASH], &[TAKE_OVER]], (1, 1, 100)),
            ("taken over, restart", &[REGISTER], &[&[RESTART], &[TAKE_OVER]], (1, 0, 100)),
            ("taken over, held", &[REGISTER], &[&[PAUSE, RESUME], &[TAKE_OVER]], (1, 1, 100)),
            ("taken over, cut off", &[REGISTER], &[&[CUT, HEAL], &[TAKE_OVER]], (1, 1, 14)),
            ("taken over, reset", &[REGISTER], &[&[RESET], &[TAKE_OVER]], (1, 1, 14)),
            ("held until its lease ends", &[REGISTER], &[&[PAUSE, RESUME]], (0, 3, 13)),
        ],
    );
    insta::assert_snapshot!(said, @r"
    taken over, crash: 5040 states, 12789 moves, 268 ends, 0 unfinished
    taken over, restart: 1393 states, 2456 moves, 132 ends, 0 unfinished
    taken over, held: 6674 states, 21517 moves, 77 ends, 0 unfinished
    taken over, cut off: 8991 states, 18021 moves, 80 ends, 3851 unfinished
    taken over, reset: 7898 states, 17638 moves, 167 ends, 3132 unfinished
    held until its lease ends: 5014 states, 11315 moves, 12 ends, 1165 unfinished
    ");
}

#[test]
fn two_updates_of_one_configuration() {
    let said = walk(
        20_000,
        &[
            ("both create it", &[], &[&[UPDATE], &[UPDATE_TOO]], (2, 2, 100)),
            ("both change it", &[UPDATE], &[&[ANOTHER_UPDATE], &[UPDATE_TOO]], (2, 2, 100)),
            ("a reset", &[], &[&[UPDATE], &[UPDATE_TOO], &[RESET]], (1, 1, 100)),
            ("a crash", &[], &[&[UPDATE], &[UPDATE_TOO], &[CRASH]], (1, 1, 100)),
            ("cut off", &[UPDATE], &[&[ANOTHER_UPDATE], &[UPDATE_TOO], &[CUT, HEAL]], (1, 1, 100)),
        ],
    );
    insta::assert_snapshot!(said, @r"
    both create it: 9679 states, 17576 moves, 1168 ends, 0 unfinished
    both change it: 6461 states, 11679 moves, 736 ends, 0 unfinished
    a reset: 22811 states, 41561 moves, 3322 ends, 0 unfinished
    a crash: 9008 states, 15936 moves, 1411 ends, 0 unfinished
    cut off: 20043 states, 40475 moves, 1638 ends, 0 unfinished
    ");
}
