//! Small plans with a name, and what happens in them, line by line.

use std::collections::BTreeSet;

use portolan_core::Time;
use portolan_sim::{Runner, Scenario};

/// Runs a scenario. All of it must hold.
fn run(scenario: Scenario) -> Runner {
    let mut runner = Runner::new(&scenario.plan(), true);
    runner.finish();
    assert!(runner.violation().is_none(), "{}: {:?}", scenario.name, runner.violation());
    runner
}

/// Each is told as whoever looks on sees it, with the hash of all that happened.
#[test]
fn every_scenario_shows_what_it_says() {
    for scenario in Scenario::ALL {
        let runner = run(*scenario);
        let news = runner.trace().iter().filter(|entry| entry.what.is_news());
        let news: String = news.map(|entry| format!("{entry}\n")).collect();
        let about = scenario.plan().about;
        let told = format!("{about}\n\n{news}\n{} entries, {}\n", runner.entries(), runner.hash());
        insta::assert_snapshot!(format!("scenario-{}", scenario.name), told);
    }
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
