//! What a page relies on, on any machine.

use portolan_core::Time;
use portolan_sim::plan::{Fleet, SubjectKind};
use portolan_sim::{Entry, Mix, Plan, Runner, Scenario};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};

use crate::belief::Beliefs;
use crate::play::Play;
use crate::session::Session;
use crate::view::{Options, Side, View};
use crate::{guide, inspect, trace};

fn open(request: &Value) -> Play {
    Play::open(&request.to_string()).unwrap_or_else(|error| panic!("{request}: {error}"))
}

/// What whoever is handed its address is led to.
fn shared(play: &Play) -> Play {
    let mut other = open(&json!({"share": play.share()}));
    assert_eq!((other.at(), other.wanted()), (Time::ZERO, Some(play.at())));
    assert!(other.advance(play.at(), u32::MAX));
    other
}

fn view(play: &Play) -> Value {
    let options = Options { rows: Some(1_000), ..Options::default() };
    let view = View::of(play, &options);
    serde_json::to_value(view).expect("it is JSON")
}

fn finish(play: &mut Play) {
    while play.step() {}
}

/// The trace of a plan, as the command runs it.
fn lines(plan: &Plan) -> Vec<String> {
    let mut runner = Runner::new(plan, true);
    runner.finish();
    runner.trace().iter().map(Entry::to_string).collect()
}

fn past(play: &Play) -> Vec<String> {
    play.side(Side::Main).past().iter().map(Entry::to_string).collect()
}

fn drawn(seed: u64) -> Plan {
    Plan::draw(seed, &Mix::default())
}

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_page_shows_the_trace_of_the_command() {
    for scenario in Scenario::ALL {
        let mut play = open(&json!({"scenario": scenario.name}));
        finish(&mut play);
        let plan = play.side(Side::Main).plan().clone();
        assert_eq!(past(&play), lines(&plan), "{}", scenario.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Wherever one goes in a run, and however often: the same moment is shown the same.
    #[test]
    fn a_moment_is_shown_the_same_however_one_comes_to_it(
        seed in 0..10_000_u64,
        moments in vec(0..40 * SECOND, 1..6),
    ) {
        let request = json!({"seed": seed.to_string()});
        let mut there = open(&request);
        there.advance(Time::from_nanos(45 * SECOND), u32::MAX);
        for moment in moments.into_iter().map(Time::from_nanos) {
            there.seek(moment);
            let mut once = open(&request);
            once.advance(moment, u32::MAX);
            prop_assert_eq!(there.at(), once.at());
            prop_assert_eq!(view(&there), view(&once));
            prop_assert_eq!(past(&there), past(&once));
        }
    }

    /// What each process believes is compared key by key, as it changes: that is what comparing all
    /// of it finds.
    #[test]
    fn differences_are_those_that_are_there(seed in 0..10_000_u64, at in 0..40 * SECOND) {
        let mut session = Session::new(drawn(seed), true);
        session.advance(Time::from_nanos(at), u32::MAX);
        let mut anew = Beliefs::new(session.plan().world.layout.clone());
        anew.take(session.past(), session.world());
        for (process, believer) in session.beliefs().processes.iter().enumerate() {
            for (id, shown) in &believer.directories {
                let whole = &anew.processes[process].directories[id];
                prop_assert_eq!(&shown.differs, &whole.differs);
                let believed = shown.snapshot.iter().flat_map(|snapshot| snapshot.records.keys());
                for key in believed {
                    let is_there = session.world().store().record(key).is_some();
                    prop_assert!(is_there || shown.differs.contains_key(key));
                }
            }
        }
    }

    /// Whatever one does, when, and after going back or to the end: the export replays to what is seen,
    /// and the address leads to the same moment.
    #[test]
    fn what_is_done_can_be_exported_and_shared(
        seed in 0..10_000_u64,
        acts in vec((0..30 * SECOND, 0..ACTS.len()), 1..6),
    ) {
        let mut play = open(&json!({"seed": seed.to_string(), "mix": "calm"}));
        for (moment, act) in acts {
            play.advance(Time::from_nanos(moment), u32::MAX);
            play.seek(Time::from_nanos(moment));
            let before = play.export();
            match play.act(ACTS[act]) {
                Ok(at_ms) => {
                    prop_assert_eq!(play.at(), Time::from_millis(at_ms));
                    prop_assert!(play.export() != before);
                }
                Err(_) => prop_assert_eq!(play.export(), before),
            }
        }
        let other = shared(&play);
        prop_assert_eq!(view(&other), view(&play));
        prop_assert_eq!(other.export(), play.export());
        let now = past(&play);
        finish(&mut play);
        let plan = Plan::parse(&play.export()).expect("it is a plan");
        let whole = lines(&plan);
        prop_assert_eq!(&past(&play), &whole);
        prop_assert_eq!(&now[..], &whole[..now.len()]);
        prop_assert_eq!(play.side(Side::Main).runner().violation(), None);
    }

    /// Text from outside is refused in a sentence, or read.
    #[test]
    fn anything_may_be_handed_in(text in ".{0,200}") {
        drop(Play::open(&text));
        drop(Play::open(&json!({"share": text}).to_string()));
        drop(Play::open(&json!({"plan": text}).to_string()));
        let mut play = open(&json!({"scenario": "crash"}));
        let before = play.export();
        prop_assert!(play.act(&text).is_err());
        prop_assert_eq!(play.export(), before);
        prop_assert!(inspect::inspect(play.side(Side::Main), &text).is_err() || text.starts_with("key"));
    }
}

const ACTS: &[&str] = &[
    r#"{"add-process":{}}"#,
    r#"{"register":{"process":0,"group":"web","instance":"new"}}"#,
    r#"{"open":{"process":0,"scope":"all-instances"}}"#,
    r#"[{"edit":{"process":0,"group":"web"}},{"edit":{"process":0,"group":"web"}}]"#,
    r#"{"crash":{"process":0}}"#,
    r#"{"restart":{"process":0}}"#,
    r#"{"cut":{"process":0,"way":"both"}}"#,
    r#"{"clock":{"process":0,"drift_permille":200}}"#,
    r#"{"store":{"fault":"wipe"}}"#,
    r#"{"rights":{"may":"nothing"}}"#,
    r#"{"compact":{"keep":0}}"#,
    r#"{"mend":{}}"#,
    r#"{"crash":{"process":4000}}"#,
];

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let mut play = open(&json!({"scenario": "crash"}));
    let before = (play.export(), view(&play));
    for (action, words) in [
        ("{}", "no action"),
        ("[]", "0 things at once"),
        (r#"{"crash":{"process":9}}"#, "names process 9 of 2"),
        (r#"{"rights":{"may":"read"}}"#, "asks nobody who they are"),
        (r#"{"expire":{"lease":"x"}}"#, "is no lease"),
        (r#"{"register":{"process":0,"group":"a b","instance":"c"}}"#, "group name has ' '"),
        (
            r#"{"clock":{"process":0,"drift_permille":501}}"#,
            "clock.drift_permille is 501; it takes 0 to 500",
        ),
    ] {
        let error = play.act(action).expect_err(action);
        assert!(error.contains(words), "{action}: {error}");
        assert_eq!((play.export(), view(&play)), before, "{action}");
    }
    for (request, words) in [
        (json!({}), "neither a scenario, nor a seed, nor a plan"),
        (json!({"scenario": "none"}), "there is no scenario \"none\""),
        (json!({"seed": "-1"}), "\"-1\" is no seed"),
        (json!({"seed": "1", "mix": "none"}), "there is no mix \"none\""),
        (json!({"plan": "{"}), "not a plan"),
        (json!({"share": "{}"}), "holds no moment"),
        (
            json!({"share": r#"{"of":{"scenario":"crash"},"at_nanos":9999999999999999}"#}),
            "later than",
        ),
        (json!({"elsewhere": 1}), "cannot be read"),
    ] {
        let error = Play::open(&request.to_string()).err().expect("refused");
        assert!(error.contains(words), "{request}: {error}");
    }
}

/// In each scenario of another client it stands beside ours, which loses nothing.
#[test]
fn other_clients_lose_beside_where_it_is_promised() {
    let naive = Scenario::ALL.iter().filter(|scenario| scenario.name.starts_with("naive"));
    for scenario in naive {
        let mut play = open(&json!({"scenario": scenario.name}));
        finish(&mut play);
        let losses = serde_json::to_value(play.losses()).expect("it is JSON");
        let ours = play.side(Side::Main).runner();
        assert!(ours.has_ended() && ours.violation().is_none(), "{}", scenario.name);
        let words = losses["words"].as_str().expect("they say so");
        let how = match scenario.name {
            "naive-leases-pile-up" => "piles up leases",
            "naive-list-for-each-event" => "makes the store work",
            _ => "lost: ",
        };
        assert!(words.contains(how), "{}: {losses}", scenario.name);
        // A loss leads to where it is seen.
        if let Some(at) = losses["lost"][0]["at_ms"].as_f64() {
            let nanos = (at * 1e6).round() as u64;
            play.seek(Time::from_nanos(nanos));
            let there = serde_json::to_value(play.losses()).expect("it is JSON");
            assert_eq!(there["lost"][0], losses["lost"][0], "{}", scenario.name);
            play.seek(Time::from_nanos(nanos - 1_000_000));
            let before = serde_json::to_value(play.losses()).expect("it is JSON");
            assert_eq!(before["lost"], json!([]), "{}", scenario.name);
            finish(&mut play);
        }
        // To the end, and back, and on again: both sides go on, also when one has ended.
        let (end, moment) = (play.at(), view(&play));
        play.seek(Time::from_secs(1));
        assert_eq!(play.at(), Time::from_secs(1), "{}", scenario.name);
        while !play.advance(end, 100) {}
        assert_eq!((play.at(), view(&play)), (end, moment), "{}", scenario.name);
    }
}

/// What stands beside is shared, too: the clients of the plan's own where it has them, or any others.
#[test]
fn who_stands_beside_is_shared() {
    for fleet in [None, Some("ligato"), Some("go-kit")] {
        let mut play = open(&json!({"scenario": "naive-deletes-forgotten"}));
        play.beside(fleet).expect("there is such a fleet");
        play.advance(Time::from_secs(5), u32::MAX);
        let other = shared(&play);
        assert_eq!(view(&other), view(&play), "{fleet:?}");
        let client = |play: &Play| play.side(Side::Beside).plan().world.subjects.clone();
        assert_eq!(client(&other), client(&play), "{fleet:?}");
        let first = client(&play).of(0);
        let other = first == SubjectKind::Naive(Fleet::GoKit);
        assert_eq!(other, fleet == Some("go-kit"), "{first:?}: others stand in every process");
    }
}

/// The first visit: an instance vanishes with its lease, ours survives the cut, the other does not.
#[test]
fn the_first_visit_shows_what_it_promises() {
    let mut play = open(&json!({"scenario": "first-visit"}));
    play.beside(Some("etcd-naming")).expect("there is such a fleet");
    let shown = |play: &Play, side| {
        let believer = &play.side(side).beliefs().processes[3];
        let shown = believer.directories.values().next().expect("it is open");
        (shown.count(), shown.differs.len())
    };
    play.advance(Time::from_secs(5), u32::MAX);
    assert_eq!((shown(&play, Side::Main), shown(&play, Side::Beside)), ((3, 0), (3, 0)));
    play.advance(Time::from_secs(24), u32::MAX);
    assert_eq!((shown(&play, Side::Main), shown(&play, Side::Beside)), ((2, 0), (2, 0)));
    play.advance(Time::from_secs(33), u32::MAX);
    assert_eq!(shown(&play, Side::Main), (2, 2), "it is cut off");
    play.advance(Time::from_secs(44), u32::MAX);
    assert_eq!(shown(&play, Side::Main), (3, 0), "it knows all again");
    assert!(shown(&play, Side::Beside).1 > 0, "and the other one does not");
    finish(&mut play);
    assert!(play.side(Side::Main).runner().violation().is_none());
    let losses = serde_json::to_value(play.losses()).expect("it is JSON");
    assert!(losses["words"].as_str().is_some_and(|words| words.contains("lost: ")), "{losses}");
    let stops = guide::of(play.side(Side::Main).plan());
    let titles: Vec<_> = stops.iter().map(|stop| stop.title.as_str()).collect();
    assert!(titles.contains(&"A lease runs out"), "{titles:?}");
    assert!(titles.contains(&"Listed anew"), "{titles:?}");
}

/// Each line is of one kind; the last one that has happened moves with the moment.
#[test]
fn lines_are_found_by_kind_and_process() {
    let mut play = open(&json!({"scenario": "crash"}));
    finish(&mut play);
    let mut count = |kind: Option<trace::Kind>, process| {
        let options = trace::Options { count: 1_000, kind, process, ..Default::default() };
        let (session, index) = play.indexed(Side::Main);
        let lines = serde_json::to_value(index.lines(session, &options)).expect("it is JSON");
        (lines["total"].as_u64().expect("a number"), index.present(session, &options))
    };
    let (all, last) = count(None, None);
    assert_eq!(last.map(|last| last as u64 + 1), Some(all));
    let kinds = [trace::Kind::Plan, trace::Kind::Told, trace::Kind::Messages, trace::Kind::Store];
    let each: u64 = kinds.map(|kind| count(Some(kind), None).0).iter().sum();
    assert_eq!(each, all);
    let (zero, one) = (count(None, Some(0)).0, count(None, Some(1)).0);
    assert!(zero > 5 && one > 5 && zero + one < all, "{zero} {one} {all}");
    play.seek(Time::ZERO);
    let (session, index) = play.indexed(Side::Main);
    let options = trace::Options { count: 1, ..Default::default() };
    assert!(index.present(session, &options) < last, "what is known to come has not happened");
}

/// What travels is shown: answers that come twice as two, what is lost as lost, what waits at a cut.
#[test]
fn what_travels_is_shown_as_it_travels() {
    let seen = |scenario: &str, what: &dyn Fn(&Value) -> bool| {
        let mut play = open(&json!({"scenario": scenario}));
        let mut moments = 0;
        loop {
            let view = view(&play);
            for message in view["messages"].as_array().expect("a list") {
                let (left, now) = (message["left_ms"].as_f64(), view["now_ms"].as_f64());
                assert!(left <= now, "{scenario}: {message} has not set out at {now:?}");
                let arrives = message["arrives_ms"].as_f64();
                assert!(arrives.is_none_or(|at| Some(at) >= now), "{scenario}: {message}, {now:?}");
                assert_eq!(arrives.is_none(), message["held"] == json!(true), "{message}");
            }
            moments += usize::from(what(&view));
            if !play.step() {
                return moments;
            }
        }
    };
    let any = |list: &'static str, fits: fn(&Value) -> bool| {
        move |view: &Value| view[list].as_array().is_some_and(|all| all.iter().any(fits))
    };
    let twice = any("messages", |message| message["copies"] == json!(2));
    assert!(seen("answers-twice", &twice) > 0);
    assert_eq!(seen("crash", &twice), 0);
    let lost = any("vanished", |_| true);
    assert!(seen("lost-answer-to-a-put", &lost) > 0);
    assert_eq!(seen("crash", &lost), 0);
    let held = any("messages", |message| message["held"] == json!(true));
    assert!(seen("compacted-while-cut-off", &held) > 0);
    assert_eq!(seen("crash", &held), 0);
}

/// Each thing that is shown can be asked for in words; what it can be made to do can be done.
#[test]
fn each_thing_can_be_asked_for() {
    let mut play = open(&json!({"scenario": "sandbox"}));
    play.advance(Time::from_millis(1_420), u32::MAX);
    let shown = view(&play);
    let message = shown["messages"][0]["id"].as_str().expect("some travel");
    let lease = shown["leases"][0]["id"].as_str().expect("a lease").to_owned();
    let key = shown["store"]["rows"][0]["key"].as_str().expect("a key").to_owned();
    let things = [
        "store".to_owned(),
        "process:0".to_owned(),
        "member:1".to_owned(),
        "link:2:1".to_owned(),
        "directory:4:1".to_owned(),
        "registration:2:2".to_owned(),
        "check:VW1".to_owned(),
        format!("message:{message}"),
        format!("lease:{lease}"),
        format!("key:{key}"),
    ];
    for thing in things {
        let words = inspect::inspect(play.side(Side::Main), &thing);
        let words = serde_json::to_value(words.expect(&thing)).expect("it is JSON");
        let facts = words["facts"].as_array().map_or(0, Vec::len);
        assert!(facts > 0 && words["meaning"].as_str().is_some_and(|it| it.len() > 20), "{words}");
        for see in words["see"].as_array().expect("a list") {
            let what = see["what"].as_str().expect("a thing");
            assert!(
                inspect::inspect(play.side(Side::Main), what).is_ok(),
                "{thing} leads to {what}"
            );
        }
        for can in words["can"].as_array().expect("a list") {
            let mut play = shared(&play);
            play.act(&can["action"].to_string()).unwrap_or_else(|error| panic!("{can}: {error}"));
        }
    }
}
