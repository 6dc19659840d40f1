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
    both at once: 1031 states, 1712 moves, 124 ends, 0 unfinished
    both at once, time passes: 22919 states, 44194 moves, 120 ends, 9314 unfinished
    while publishing: 198 states, 368 moves, 25 ends, 0 unfinished
    while publishing, time passes: 9788 states, 22958 moves, 120 ends, 2876 unfinished
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
    registered and removed: 29401 states, 87602 moves, 1064 ends, 0 unfinished
    published and removed: 6950 states, 17191 moves, 745 ends, 0 unfinished
    removed, connections reset: 2068 states, 4511 moves, 162 ends, 0 unfinished
    removed, cut off: 23103 states, 54355 moves, 284 ends, 5711 unfinished
    removed, held: 11710 states, 32564 moves, 177 ends, 0 unfinished
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
    taken over, crash: 4356 states, 11204 moves, 214 ends, 0 unfinished
    taken over, restart: 1453 states, 2504 moves, 156 ends, 0 unfinished
    taken over, held: 5925 states, 19081 moves, 69 ends, 0 unfinished
    taken over, cut off: 7913 states, 16009 moves, 72 ends, 3344 unfinished
    taken over, reset: 6921 states, 15602 moves, 147 ends, 2697 unfinished
    held until its lease ends: 4943 states, 11228 moves, 12 ends, 1131 unfinished
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
    both create it: 9145 states, 17074 moves, 1012 ends, 0 unfinished
    both change it: 5933 states, 11094 moves, 615 ends, 0 unfinished
    a reset: 20619 states, 38944 moves, 2603 ends, 0 unfinished
    a crash: 8390 states, 15437 moves, 1156 ends, 0 unfinished
    cut off: 18466 states, 38648 moves, 1223 ends, 0 unfinished
    ");
}
