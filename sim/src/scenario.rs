//! Plans with a name: each shows one thing that happens to registries.
//!
//! They lie in `plans/named/`, and say in a sentence what there is to see. All of them hold, but for
//! those whose names begin with `naive`: they show where a client of another fleet loses, and hold with
//! engines in its place.

use crate::plan::Plan;

/// A plan with a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scenario {
    /// Its name: lower-case words with hyphens between them.
    pub name: &'static str,
    text: &'static str,
}

impl Scenario {
    /// All of them, by name.
    pub const ALL: &[Self] = SCENARIOS;

    /// The one of that name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|scenario| scenario.name == name).copied()
    }

    /// Its plan.
    pub fn plan(self) -> Plan {
        Plan::parse(self.text).expect("every stored plan is read in tests")
    }
}

macro_rules! scenarios {
    ($($name:literal,)*) => {
        const SCENARIOS: &[Scenario] = &[$(Scenario {
            name: $name,
            text: include_str!(concat!("../plans/named/", $name, ".json")),
        },)*];
    };
}

scenarios! {
    "another-cluster",
    "answers-cut",
    "answers-lost-and-told",
    "answers-twice",
    "blackholed-watch",
    "compacted-in-a-list",
    "compacted-while-cut-off",
    "connection-reset",
    "crash",
    "delete-forgotten-by-compaction",
    "fast-clock",
    "first-visit",
    "garbage-beside-records",
    "grant-answer-lost",
    "healed-in-another-order",
    "held-longer-than-its-lease",
    "lagging-member",
    "late-put-after-a-removal",
    "leader-change-prolongs-leases",
    "lease-revoked",
    "leases-expire-a-few-at-a-time",
    "lost-answer-to-a-put",
    "member-cut-off",
    "members-restarted-in-turn",
    "naive-deletes-forgotten",
    "naive-group-removed",
    "naive-held-longer-than-its-lease",
    "naive-lease-revoked",
    "naive-leases-pile-up",
    "naive-list-for-each-event",
    "naive-prefix-without-end",
    "naive-stranger-deletes",
    "naive-watch-compacted",
    "naive-watch-from-now",
    "no-leader",
    "no-room",
    "one-id-reject",
    "one-id-replace",
    "one-id-wait",
    "password-changed",
    "progress-out-of-step",
    "progress-withheld",
    "restart",
    "rights-taken",
    "sandbox",
    "shutdown",
    "slow-clock",
    "slow-link",
    "slow-reader",
    "store-held-longer-than-leases",
    "store-restored",
    "store-wiped",
    "stranger-deletes",
    "stranger-moves-a-lease",
    "stranger-overwrites",
    "thousands-of-leases-expire",
    "token-forgotten",
    "two-updates-at-once",
}
