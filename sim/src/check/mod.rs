//! The properties that must hold, as scans of the trace.
//!
//! Each check is a struct that sees every entry of a trace, with what is known after it. It counts
//! how often it had something to look at: a check that never had proves nothing. The store's log is
//! in the trace, and is the truth; so no check needs to guess what may have happened.
//!
//! `docs/properties.md` says what each property means.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a check looks at few of the trace's many entries, and is right to pass over new ones"
)]

mod config;
mod coverage;
mod digest;
mod due;
mod effort;
mod epochs;
mod facts;
mod faults;
mod follow;
mod health;
mod history;
mod late;
mod leases;
mod limits;
pub(crate) mod ops;
mod recovery;
mod registrations;
mod renewals;
mod rest;
mod resume;
mod series;
mod standing;
#[cfg(test)]
mod tests;
mod views;

use std::collections::BTreeMap;
use std::fmt;

use portolan_core::Time;
use portolan_core::engine::Event;
use portolan_core::waist::Revision;
use serde::{Deserialize, Serialize};

use self::facts::Facts;
use crate::trace::{Entry, What};
pub use coverage::{Coverage, Machine, Mark};
pub use faults::Fault;
pub use rest::Unrest;

macro_rules! properties {
    ($($(#[$doc:meta])* $name:ident = $title:literal,)*) => {
        /// A property, by its name in `docs/properties.md`.
        #[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "the titles below say it")]
        pub enum Property {
            $($(#[$doc])* $name,)*
        }

        impl Property {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What it asks for, in a few words.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)*
                }
            }
        }
    };
}

properties! {
    VW1 = "a view is the store at the revision it names",
    VW2 = "a view never goes back",
    VW3 = "a view shows whole revisions",
    VW4 = "a difference fits the view it is applied to",
    VW5 = "two views of one revision are equal",
    VW6 = "nothing shown is invented",
    VW7 = "nothing is missed or told twice across a reconnect",
    VW8 = "a gap is declared and listed over",
    VW9 = "a watch resumes where something was delivered",
    VW10 = "no answer from before the view becomes the view",
    VW11 = "a view says live only while the store confirms it",
    VW12 = "a reader that comes late is told what it takes to catch up",
    RG1 = "a registration whose end was confirmed never comes back",
    RG2 = "an earlier registration never follows a later one",
    RG3 = "what is written hangs on a live lease of the writer",
    RG4 = "other people's keys are left alone",
    RG5 = "leases do not pile up",
    RG6 = "who says registered holds a lease that lives",
    RG7 = "who wakes up after its lease's time says so first",
    RG8 = "the answer to a renewal counts for that renewal",
    RG9 = "a loss is told once",
    RG10 = "no lease is kept alive that nobody needs",
    RG11 = "a dead lease is replaced, not used again",
    RG12 = "a registration's content never goes back",
    CS1 = "the outcome of an update is true",
    CS2 = "all attempts of one operation have one guard",
    CS3 = "a doubt is resolved by what proves it",
    CS4 = "no update overwrites what it has not seen",
    CS5 = "what was acknowledged is seen by who was told",
    CS6 = "nothing is decided on what may be stale",
    FO1 = "a follower is told every change once, or of a gap",
    FO2 = "what a slow reader leaves is bounded",
    FO3 = "in the end a follower was told all",
    EF1 = "what fails is not repeated without a pause",
    EF2 = "what merely opens proves nothing",
    EF3 = "retries of the many are limited together",
    EF4 = "nothing is begun after its deadline, and all ends by then",
    EF5 = "what can never help is not tried again",
    EF6 = "what is waited for is bounded",
    EF7 = "an engine that is shut down is silent",
    EF8 = "the same plan gives the same trace",
    LV1 = "in the end every view is the store, and live",
    LV2 = "in the end what is wanted stands",
    LV3 = "in the end nothing of the dead is left",
    LV4 = "in the end every removal has ended",
    LV5 = "in the end every loss is made good",
    LV6 = "in the end every update and call has ended",
    LV7 = "nobody waits for long on a dead connection",
    LV8 = "who is at a member that is cut off moves to one that is not",
    LV9 = "one compaction is run into once",
    LV10 = "no lease starves",
    LV11 = "a key goes from hand to hand without a gap",
    LV12 = "in another history of the store nobody waits for the former one",
}

/// A property that did not hold.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// When it was noticed.
    pub at: Time,
    /// What was found, and what should have been.
    pub text: String,
}

/// One property's scan.
trait Check {
    /// Sees an entry; `facts` know it already.
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>);

    /// All that was to happen at a moment, `facts.now`, has happened.
    fn settled(&mut self, _facts: &Facts, _report: &mut Report<'_>) {}
}

/// Where a check reports.
struct Report<'a> {
    property: Property,
    at: Time,
    looked: &'a mut u64,
    violations: &'a mut Vec<Violation>,
}

impl Report<'_> {
    /// There was something to look at.
    fn look(&mut self) {
        *self.looked += 1;
    }

    fn fail(&mut self, text: impl Into<String>) {
        let (property, at) = (self.property, self.at);
        self.violations.push(Violation { property, at, text: text.into() });
    }

    fn expect(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.fail(text());
        }
    }
}

/// Kinds of entries. Most checks look at few, and are not asked about the others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Sent,
    Answered,
    Cancelled,
    Wanted,
    /// An application was told of a directory.
    View,
    /// Or of anything else.
    Told,
    Changed,
    Leased,
    /// What happens to processes and to the store.
    Rare,
    /// What no check looks at: steps of the plan, and messages on their way.
    Passing,
}

impl Kind {
    const fn of(what: &What) -> Self {
        match what {
            What::Sent { .. } => Self::Sent,
            What::Answered { .. } => Self::Answered,
            What::Cancelled { .. } => Self::Cancelled,
            What::Wanted { .. } => Self::Wanted,
            What::Told { event, .. } => match event {
                Event::Stepped { .. } | Event::Freshness { .. } | Event::Guard { .. } => Self::View,
                Event::Registration { .. }
                | Event::Followed { .. }
                | Event::Propose { .. }
                | Event::Updated { .. }
                | Event::Called { .. }
                | Event::Closed { .. } => Self::Told,
            },
            What::Changed(_) => Self::Changed,
            What::Leased(_) => Self::Leased,
            What::Healed(_)
            | What::Started { .. }
            | What::Crashed(_)
            | What::Paused(_)
            | What::Resumed(_)
            | What::Clocked { .. }
            | What::Broke { .. }
            | What::Swallowed { .. }
            | What::Stored(_)
            | What::Membered { .. }
            | What::Allowed(_)
            | What::PasswordSet { .. }
            | What::Led(_)
            | What::Compacted(_) => Self::Rare,
            What::Began(_)
            | What::Did(_)
            | What::Connected { .. }
            | What::Arrived { .. }
            | What::Delayed { .. }
            | What::Stopped { .. }
            | What::Lost { .. } => Self::Passing,
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

macro_rules! checks {
    ($($field:ident: $property:ident = $check:ident::$name:ident of [$($kind:ident),*],)*) => {
        /// Every check of a trace.
        #[derive(Clone, Debug, Default)]
        struct Scans {
            $($field: $check::$name,)*
        }

        impl Scans {
            fn see(
                &mut self,
                facts: &Facts,
                entry: &Entry,
                looked: &mut Looked,
                violations: &mut Vec<Violation>,
                held_to: HeldTo,
            ) {
                let kind = Kind::of(&entry.what).bit();
                $(if kind & (0 $(| Kind::$kind.bit())*) != 0 && held_to.has(Property::$property) {
                    let property = Property::$property;
                    let looked = looked.of(property);
                    let mut report = Report { property, at: entry.at, looked, violations };
                    self.$field.see(facts, entry, &mut report);
                })*
            }

            fn settled(
                &mut self,
                facts: &Facts,
                looked: &mut Looked,
                violations: &mut Vec<Violation>,
                held_to: HeldTo,
            ) {
                $(if held_to.has(Property::$property) {
                    let property = Property::$property;
                    let looked = looked.of(property);
                    let mut report = Report { property, at: facts.now, looked, violations };
                    self.$field.settled(facts, &mut report);
                })*
            }

            /// The checks that take notice of an entry although it is of no kind that they name.
            #[cfg(test)]
            fn surprised(&self, facts: &Facts, entry: &Entry) -> Vec<Property> {
                let mut surprised = Vec::new();
                let kind = Kind::of(&entry.what);
                $(if ![$(Kind::$kind),*].contains(&kind) {
                    let property = Property::$property;
                    let mut scan = self.$field.clone();
                    let (mut looked, mut violations) = (0, Vec::new());
                    let (looked, found) = (&mut looked, &mut violations);
                    scan.see(facts, entry, &mut Report { property, at: entry.at, looked, violations: found });
                    let same = format!("{scan:?}") == format!("{:?}", self.$field);
                    if !same || *looked > 0 || !violations.is_empty() {
                        surprised.push(property);
                    }
                })*
                surprised
            }
        }
    };
}

checks! {
    prefix: VW1 = views::Prefix of [View],
    monotone: VW2 = views::Monotone of [View],
    whole: VW3 = views::Whole of [View],
    sound: VW4 = views::Sound of [View],
    one_order: VW5 = views::OneOrder of [View],
    not_invented: VW6 = views::NotInvented of [View],
    gapless: VW7 = resume::Gapless of [Sent, View],
    declared: VW8 = resume::Declared of [Answered, View],
    cursor: VW9 = resume::Cursor of [Sent, Answered],
    not_behind: VW10 = resume::NotBehind of [Answered, View],
    fresh: VW11 = resume::Fresh of [Answered, View, Rare],
    late: VW12 = late::CatchUp of [View],
    taken: LV2 = registrations::Taken of [Told],
    no_ghost: RG1 = registrations::NoGhost of [Told, Changed],
    no_return: RG2 = registrations::NoReturn of [Changed, Rare],
    leased: RG3 = registrations::AlwaysLeased of [Sent, Changed],
    foreign: RG4 = registrations::ForeignSafe of [Sent, Changed],
    pile: RG5 = leases::NoPile of [Sent, Answered, Cancelled, Told, Changed, Leased, Rare],
    belief: RG6 = leases::Belief of [Answered, Told, Leased, Rare],
    waking: RG7 = renewals::Waking of [Sent, Told, Rare],
    renewed: RG8 = renewals::Renewed of [Sent, Answered, Cancelled],
    loss_once: RG9 = standing::LossOnce of [Told],
    no_strays: RG10 = renewals::NoStrays of [Sent, Told, Wanted],
    lease_gone: RG11 = leases::GoneMeansGrant of [Sent, Answered],
    no_step_back: RG12 = registrations::NoStepBack of [Changed, Rare],
    outcome: CS1 = config::Outcome of [Told, Changed, Rare],
    one_guard: CS2 = config::OneGuard of [Sent, Answered],
    honest: CS3 = config::Honest of [Sent, Told],
    no_lost_update: CS4 = config::NoLostUpdate of [Changed],
    own_writes: CS5 = config::OwnWrites of [Told],
    linearizable: CS6 = config::Linearizable of [Sent],
    once: FO1 = follow::Once of [Told, Rare],
    window: FO2 = follow::Window of [Told, Wanted],
    no_busy_loop: EF1 = effort::NoBusyLoop of [Sent, Answered, Cancelled],
    proven_health: EF2 = health::ProvenHealth of [Sent, Answered, Cancelled],
    shared_budget: EF3 = limits::SharedBudget of [Sent],
    deadlines: EF4 = effort::Deadlines of [Sent, Told, Wanted, Rare],
    no_use: EF5 = limits::NoUse of [Sent, Answered],
    bounded: EF6 = limits::Bounded of [Sent, Answered, Cancelled, Rare],
    silence: EF7 = effort::Silence of [Sent, Told, View, Cancelled],
    no_dead_wait: LV7 = recovery::NoDeadWait of [Rare],
    no_chase: LV9 = recovery::NoChase of [Answered],
    no_starving: LV10 = renewals::NoStarving of [Sent, Answered, Told, Cancelled, Rare],
    handover: LV11 = standing::Handover of [Changed],
}

/// All checks over one trace.
#[derive(Clone, Debug)]
pub struct Checks {
    facts: Option<Facts>,
    scans: Scans,
    coverage: Coverage,
    looked: Looked,
    violations: Vec<Violation>,
    held_to: HeldTo,
}

/// The properties that are looked at: a bit for each.
#[derive(Clone, Copy, Debug)]
struct HeldTo(u64);

const _: () = assert!(Property::ALL.len() <= 64, "a bit for each");

impl HeldTo {
    /// None named: all of them.
    fn of(properties: &[Property]) -> Self {
        if properties.is_empty() {
            return Self(u64::MAX);
        }
        Self(properties.iter().fold(0, |bits, &property| bits | 1 << property as u32))
    }

    fn has(self, property: Property) -> bool {
        self.0 & (1 << property as u32) != 0
    }
}

/// How often each property had something to look at.
#[derive(Clone, Debug)]
struct Looked([u64; Property::ALL.len()]);

impl Looked {
    const NONE: Self = Self([0; Property::ALL.len()]);

    fn of(&mut self, property: Property) -> &mut u64 {
        &mut self.0[property as usize]
    }
}

impl Checks {
    /// For a trace from its beginning.
    pub fn new() -> Self {
        Self::of(&[])
    }

    /// Only of these properties; none named: of all.
    pub fn of(held_to: &[Property]) -> Self {
        Self {
            held_to: HeldTo::of(held_to),
            facts: None,
            scans: Scans::default(),
            coverage: Coverage::default(),
            looked: Looked::NONE,
            violations: Vec::new(),
        }
    }

    /// Sees the next entry.
    pub fn see(&mut self, entry: &Entry) {
        if let What::Began(setup) = &entry.what {
            self.facts = Some(Facts::new(setup.clone()));
        }
        let Some(facts) = &mut self.facts else { return };
        if entry.at > facts.now {
            self.scans.settled(facts, &mut self.looked, &mut self.violations, self.held_to);
        }
        facts.take(entry);
        self.coverage.see(facts, entry);
        self.scans.see(facts, entry, &mut self.looked, &mut self.violations, self.held_to);
    }

    /// The world was left alone, healed, for long enough: it must have come to rest.
    pub fn at_rest(&mut self) {
        if let Some(facts) = &self.facts {
            self.scans.settled(facts, &mut self.looked, &mut self.violations, self.held_to);
            rest::check(facts, &mut self.looked, &mut self.violations, self.held_to);
        }
    }

    /// How far the world is from rest: `left` is what [`at_rest`](Self::at_rest) would find.
    /// `up_to`: the revision up to which its changes are to be told.
    pub fn unrest(&self, up_to: Revision) -> Unrest {
        let nothing = Unrest { left: 0, unlisted: 0, untold: 0 };
        self.facts.as_ref().map_or(nothing, |facts| Unrest::of(facts, self.held_to, up_to))
    }

    /// What did not hold, in the order of discovery.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How often each property that is looked at had something to look at. (EF8 is of two traces.)
    pub fn looked(&self) -> BTreeMap<Property, u64> {
        let held_to = Property::ALL.iter().filter(|&&property| self.held_to.has(property));
        let of_one = held_to.filter(|&&property| property != Property::EF8);
        of_one.map(|&property| (property, self.looked.0[property as usize])).collect()
    }

    /// The checks that take notice of the entry seen last, although it is of no kind that they name.
    #[cfg(test)]
    fn surprised(&self, entry: &Entry) -> Vec<Property> {
        self.facts.as_ref().map_or(Vec::new(), |facts| self.scans.surprised(facts, entry))
    }

    /// What was exercised.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }
}

/// EF8: two traces of one plan are the same.
///
/// # Errors
/// The first line on which they differ.
pub fn same(first: &[Entry], second: &[Entry]) -> Result<(), Violation> {
    let lines = first.iter().zip(second).position(|(first, second)| first != second);
    let line = match lines {
        Some(line) => line,
        None if first.len() == second.len() => return Ok(()),
        None => first.len().min(second.len()),
    };
    let show = |entry: Option<&Entry>| entry.map_or("nothing".to_owned(), ToString::to_string);
    let (first, second) = (first.get(line), second.get(line));
    let at = first.or(second).map_or(Time::ZERO, |entry| entry.at);
    let text = format!("line {} is {:?}, and then {:?}", line + 1, show(first), show(second));
    Err(Violation { property: Property::EF8, at, text })
}

impl Default for Checks {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { property, at, text } = self;
        write!(f, "{property} ({}) at {at}: {text}", property.title())
    }
}
