//! Plans that once fell, or cost too much, and must not again. `FOUND.md` tells their stories.

use portolan_core::waist::Request;
use portolan_sim::{Plan, Runner, What};

fn run(name: &str, text: &str) -> Runner {
    let plan = Plan::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut runner = Runner::new(&plan, true);
    runner.finish();
    runner
}

macro_rules! plans {
    ($($name:literal,)*) => {
        /// Every stored plan, by the name of its file.
        const PLANS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../plans/found/", $name, ".json"))),)*];
    };
}

plans! {
    "a-list-begun-anew-for-a-slow-reader",
    "a-login-beside-is-refused",
    "a-member-that-applies-nothing-more",
    "a-token-is-still-asked-for",
    "all-move-and-one-a-second-is-tried",
    "an-update-looks-back-past-what-is-compacted",
    "another-record-at-the-same-revision",
    "another-record-deleted-instead",
    "answers-lost-on-every-connection",
    "asked-beside-a-stream-that-is-left",
    "audited-by-one-member-and-streamed-by-another",
    "brought-back-where-nothing-is-watched",
    "brought-back-while-nothing-was-watched",
    "came-and-went-in-another-store",
    "closing-before-anything-was-sent",
    "compacted-at-the-next-change",
    "condemned-lease-runs-out",
    "condemned-with-nothing-on-it",
    "given-up-and-never-freed",
    "healed-alike-on-another-lease",
    "move-seen-only-by-the-watch",
    "moved-and-seen-only-in-a-refusal",
    "neither-a-token-nor-a-login",
    "nothing-written-is-answered",
    "one-member-asked-again-and-again",
    "one-member-cut-off-from-another-cluster",
    "one-taint-lifted-of-two",
    "own-watch-before-what-is-compacted",
    "own-watch-in-a-quiet-store",
    "pages-of-two-stores",
    "pages-of-two-stores-for-a-slow-reader",
    "publish-passed-over-for-reads",
    "put-back-on-a-lease-that-has-ended",
    "read-again-whenever-its-watch-is-refused",
    "refused-though-it-stands",
    "removed-and-back-with-its-lease",
    "removed-where-nothing-may-be-written",
    "renewed-by-a-cluster-that-is-not-believed",
    "replaced-while-one-member-is-cut-off",
    "said-on-a-stream-that-waits-for-its-token",
    "second-watch-lost-with-its-token",
    "sent-after-a-pause-and-its-deadline",
    "sent-anew-on-a-dead-lease",
    "sent-anew-on-a-lease-that-died-meanwhile",
    "shutdown-before-the-removal-was-to-end",
    "superseded-and-silent",
    "token-from-before-the-store-was-replaced",
    "token-lost-while-closing",
    "token-shorter-lived-than-a-pause",
    "swept-faster-than-it-answers",
    "told-by-the-stream-of-a-store-that-is-gone",
    "told-late-of-the-store-before",
    "told-one-by-one-of-another-range",
    "two-calls-ask-the-same",
    "two-wait-for-one-key",
}

#[test]
fn what_was_found_stays_mended() {
    let fell: Vec<_> = PLANS
        .iter()
        .filter_map(|(name, text)| Some(format!("{name}: {}", run(name, text).violation()?)))
        .collect();
    assert!(fell.is_empty(), "{}", fell.join("\n"));
}

/// A watch of an own key that begins before what was compacted is cancelled each time: it must
/// begin where the key was last seen.
#[test]
fn an_own_watch_survives_a_compaction() {
    let runner =
        run("compacted", include_str!("../plans/found/own-watch-before-what-is-compacted.json"));
    let watches = own_watches(&runner);
    assert!(watches <= 4, "{watches} watches of one key in a minute");
}

/// Since 3.5.22 a watch that begins in the future leaves probes unanswered. An own watch must not
/// take a quiet store for a dead one, and go from member to member.
#[test]
fn an_own_watch_in_a_quiet_store_stays_open() {
    let runner = run("quiet", include_str!("../plans/found/own-watch-in-a-quiet-store.json"));
    assert_eq!(own_watches(&runner), 1);
}

fn own_watches(runner: &Runner) -> usize {
    let watches = runner.trace().iter().filter(|entry| {
        matches!(&entry.what, What::Sent { request: Request::Watch(_), .. })
            || matches!(&entry.what, What::Sent { request: Request::OnWatch { say, .. }, .. }
                if matches!(say, portolan_core::waist::WatchSay::Create(_)))
    });
    watches.count()
}
