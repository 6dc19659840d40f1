//! The cases, one for each row of `docs/etcd.md`, by its chapters.

mod compaction;
mod keys;
mod leases;
mod limits;
mod members;
mod ranges;
mod revisions;
mod txns;
mod users;
mod watches;

use super::client::Client;
use super::store::Setup;

/// One row put to the test.
pub struct Case {
    /// The function's name; it begins with the row's id.
    pub name: &'static str,
    pub setup: Setup,
    pub run: fn(&mut Client<'_>),
}

impl Case {
    /// The row's id: `R1`.
    pub fn row(&self) -> String {
        let id = self.name.split('_').next().expect("a name has a beginning");
        id.to_uppercase()
    }
}

/// All cases.
pub fn all() -> Vec<Case> {
    [
        revisions::cases(),
        keys::cases(),
        ranges::cases(),
        txns::cases(),
        leases::cases(),
        watches::cases(),
        compaction::cases(),
        limits::cases(),
        members::cases(),
        users::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Rows without a case, and why.
pub const WITHOUT: &[(&str, &str)] = &[
    ("G8", "the limit is the client's own: the etcd backend's tests exceed it"),
    ("T8", "the vocabulary has no operation without content"),
    ("W9", "says that there is no order: the random runs compare watch by watch"),
    ("W15", "the limit is the client's own: the etcd backend's tests exceed it"),
    ("W18", "nothing keeps a real member from catching up at once; the model's own tests do"),
    ("A8", "nothing keeps a real member from catching up at once; the model's own tests do"),
    ("A9", "what operators ask: `wire::operators` asks a real etcd and the wire server"),
    ("E4", "what operators ask: `wire::operators` asks a real etcd and the wire server"),
    ("E5", "what operators ask: `wire::operators` asks a real etcd and the wire server"),
    ("C3", "says what operators may turn on; nothing happens by itself"),
    ("E3", "no way from outside to bring a member 5000 entries behind"),
];

/// Lists the cases of a chapter: `cases! { r1_fresh: FRESH, r2_one_step: SHARED }`.
macro_rules! cases {
    ($($name:ident: $setup:ident),* $(,)?) => {
        pub fn cases() -> Vec<$crate::conformance::cases::Case> {
            vec![$($crate::conformance::cases::Case {
                name: stringify!($name),
                setup: $crate::conformance::store::Setup::$setup,
                run: $name,
            }),*]
        }
    };
}
use cases;
