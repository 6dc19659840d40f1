//! Small plans with a name, and what happens in them, line by line.

use portolan_core::Time;
use portolan_sim::{Plan, Runner};

/// The trace of a plan up to a moment. All of it must hold.
fn trace(plan: &str, until_ms: u64) -> String {
    let plan = Plan::parse(plan).unwrap_or_else(|error| panic!("{error}"));
    let mut runner = Runner::new(&plan, true);
    runner.finish();
    assert!(runner.violation().is_none(), "{:?}", runner.violation());
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
                let plan = include_str!(concat!("../plans/named/", $file, ".json"));
                insta::assert_snapshot!($file, trace(plan, $millis));
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
