//! Small plans with a name, and what happens in them, line by line.

use std::collections::{BTreeMap, BTreeSet};

use portolan_core::Time;
use portolan_core::waist::Request;
use portolan_memory::LeaseStep;
use portolan_sim::plan::Subjects;
use portolan_sim::{Plan, Property, Runner, Scenario, What};

/// Where a client of another fleet loses, and by what.
const LOSE: &[(&str, Property)] = &[
    ("naive-deletes-forgotten", Property::LV1),
    ("naive-group-removed", Property::LV2),
    ("naive-held-longer-than-its-lease", Property::LV2),
    ("naive-lease-revoked", Property::LV2),
    ("naive-prefix-without-end", Property::LV1),
    ("naive-stranger-deletes", Property::LV2),
    ("naive-watch-compacted", Property::LV1),
    ("naive-watch-from-now", Property::LV1),
];

/// Runs a scenario. All of it must hold, unless it is to show otherwise.
fn run(scenario: Scenario) -> Runner {
    let runner = finish(&scenario.plan());
    let lost = LOSE.iter().find(|(name, _)| *name == scenario.name).map(|&(_, property)| property);
    let found = runner.violation();
    assert_eq!(found.map(|found| found.property), lost, "{}: {found:?}", scenario.name);
    runner
}

fn finish(plan: &Plan) -> Runner {
    let mut runner = Runner::new(plan, true);
    runner.finish();
    runner
}

/// The plan of a scenario with engines in all of its processes, held to everything.
fn with_engines(scenario: Scenario) -> Plan {
    let mut plan = scenario.plan();
    plan.world.subjects = Subjects::default();
    plan.held_to.clear();
    plan
}

fn naive() -> impl Iterator<Item = Scenario> {
    let all = Scenario::ALL.iter().copied();
    all.filter(|scenario| !scenario.plan().world.subjects.are_engines())
}

#[test]
fn where_a_naive_client_loses_the_engine_holds() {
    for scenario in naive() {
        let runner = finish(&with_engines(scenario));
        assert!(runner.violation().is_none(), "{}: {:?}", scenario.name, runner.violation());
        let about = scenario.plan().about;
        assert!(scenario.name.starts_with("naive-"), "{}", scenario.name);
        assert!(about.contains("there it loses"), "{} does not say so", scenario.name);
    }
    assert_eq!(naive().count(), LOSE.len() + 2, "and two lose by what they cost");
}

/// A list for each answer of the watch, and two to begin with; an engine takes one, and asks for one
/// record to know that its watch is of the store that it listed.
#[test]
fn a_naive_client_lists_for_each_event() {
    let scenario = Scenario::find("naive-list-for-each-event").expect("it has that name");
    let lists = |plan: &Plan| {
        let runner = finish(plan);
        let lists = runner.trace().iter().filter(|entry| {
            matches!(&entry.what, What::Sent { run, request: Request::Range(_), .. }
                if run.process == 1)
        });
        lists.count()
    };
    assert_eq!((lists(&scenario.plan()), lists(&with_engines(scenario))), (11, 2));
}

/// A lease more for each time to live of one registration, and none of them ends.
#[test]
fn the_leases_of_a_naive_client_pile_up() {
    let scenario = Scenario::find("naive-leases-pile-up").expect("it has that name");
    let leases = |plan: &Plan| {
        let runner = finish(plan);
        let steps = runner.trace().iter().filter_map(|entry| {
            if let What::Leased(change) = &entry.what { Some(change.step) } else { None }
        });
        steps.fold((0, 0), |(granted, ended), step| match step {
            LeaseStep::Granted { .. } => (granted + 1, ended),
            LeaseStep::Ended { .. } => (granted, ended + 1),
            LeaseStep::Renewed { .. } | LeaseStep::Prolonged { .. } => (granted, ended),
        })
    };
    assert_eq!((leases(&scenario.plan()), leases(&with_engines(scenario))), ((14, 0), (1, 0)));
}

/// Each is told as whoever looks on sees it, with the hash of all that happened.
#[test]
fn every_scenario_shows_what_it_says() {
    for scenario in Scenario::ALL {
        let runner = run(*scenario);
        let news = runner.trace().iter().filter(|entry| entry.what.is_news());
        let news: String = shortened(news.map(|entry| format!("{entry}\n")).collect());
        let about = scenario.plan().about;
        let lost = runner.violation().map(|violation| format!("{violation}\n"));
        let lost = lost.unwrap_or_default();
        let (entries, hash) = (runner.entries(), runner.hash());
        let told = format!("{about}\n\n{news}{lost}\n{entries} entries, {hash}\n");
        insta::assert_snapshot!(format!("scenario-{}", scenario.name), told);
    }
}

/// The first and the last lines of what is too long to be read.
fn shortened(lines: Vec<String>) -> String {
    let (head, tail) = (40, 20);
    if lines.len() <= 400 {
        return lines.concat();
    }
    let left_out = lines.len() - head - tail;
    let (first, last) = (lines[..head].concat(), lines[lines.len() - tail..].concat());
    format!("{first}({left_out} lines)\n{last}")
}

/// Row L6: five hundred in each round, two rounds a second.
#[test]
fn leases_end_at_the_rate_of_the_store() {
    let runner = run(Scenario::find("thousands-of-leases-expire").expect("it has that name"));
    let mut rounds: BTreeMap<Time, u64> = BTreeMap::new();
    for entry in runner.trace() {
        if let What::Leased(change) = &entry.what
            && let LeaseStep::Ended { .. } = change.step
        {
            *rounds.entry(entry.at).or_default() += 1;
        }
    }
    let at = |millis| (Time::from_millis(millis), 500);
    let expected = [at(6_000), at(6_500), at(7_000), at(7_500)];
    assert_eq!(rounds.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn scenarios_are_found_by_their_names() {
    let names: BTreeSet<_> = Scenario::ALL.iter().map(|scenario| scenario.name).collect();
    assert_eq!(names.len(), Scenario::ALL.len());
    for scenario in Scenario::ALL {
        assert_eq!(Scenario::find(scenario.name), Some(*scenario));
        assert!(scenario.plan().about.ends_with('.'), "{} says nothing", scenario.name);
    }
    assert_eq!(Scenario::find("no such"), None);
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/plans/named"));
    let files = files.expect("the folder is there").count();
    assert_eq!(files, names.len(), "a stored plan is not listed");
}

/// The trace of a scenario up to a moment, message by message.
fn trace(name: &str, until_ms: u64) -> String {
    let runner = run(Scenario::find(name).expect("it has that name"));
    let until = Time::from_millis(until_ms);
    let lines = runner.trace().iter().take_while(|entry| entry.at <= until);
    lines.map(|entry| format!("{entry}\n")).collect()
}

macro_rules! named {
    ($($(#[$doc:meta])* fn $test:ident() = $file:literal until $millis:literal;)*) => {
        $(
            $(#[$doc])*
            #[test]
            fn $test() {
                insta::assert_snapshot!($file, trace($file, $millis));
            }
        )*
    };
}

named! {
    /// A put is applied and its answer lost: the next one's guard stops it, and finds the record.
    fn a_put_whose_answer_is_lost() = "lost-answer-to-a-put" until 5_000;
    /// What happened while a directory was cut off is compacted: it lists, and tells the difference.
    fn compacted_while_cut_off() = "compacted-while-cut-off" until 6_000;
    /// A process wakes up after its lease has ended: it says lost first, then registers anew.
    fn held_longer_than_its_lease() = "held-longer-than-its-lease" until 6_500;
    /// Two processes change a configuration at the same moment: both changes survive.
    fn two_updates_at_once() = "two-updates-at-once" until 500;
    /// A put that was given up arrives after the removal: its lease is gone by then.
    fn a_late_put_after_a_removal() = "late-put-after-a-removal" until 5_000;
}
