//! What can be broken on purpose: each breakage by its name, and where it takes hold.

use portolan_core::engine::{Input, Output, Setup};
use portolan_core::waist::Request;
use serde::{Deserialize, Serialize};

use super::memory::Memory;
use super::{configs, efforts, follows, holds, views};
use crate::check::Property;

macro_rules! breakages {
    ($($name:ident = $kebab:literal breaks $property:ident in $mix:literal by $acts:expr, $what:literal;)*) => {
        /// Something that is broken on purpose, in every process or in the store, so that a check
        /// can be seen to notice.
        #[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
        pub enum Breakage {
            $(#[doc = $what] #[serde(rename = $kebab)] $name,)*
        }

        impl Breakage {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name in plans.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $kebab,)*
                }
            }

            /// What is broken, in a sentence.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$name => $what,)*
                }
            }

            /// The property that cannot hold then.
            pub const fn breaks(self) -> Property {
                match self {
                    $(Self::$name => Property::$property,)*
                }
            }

            /// The name of the mix in which that shows.
            pub const fn mix(self) -> &'static str {
                match self {
                    $(Self::$name => $mix,)*
                }
            }

            fn acts(self) -> Acts {
                match self {
                    $(Self::$name => $acts,)*
                }
            }
        }
    };
}

breakages! {
    DeafToDeletes = "deaf-to-deletes" breaks VW1 in "calm"
        by Acts::hears(views::without_deletes),
        "No watch tells of a delete.";
    OldStepAgain = "old-step-again" breaks VW2 in "calm"
        by Acts::says(views::old_step_again),
        "After each step of a directory, the one before it is told again.";
    TornRevision = "torn-revision" breaks VW3 in "calm"
        by Acts::hears(views::torn),
        "Where one revision has several changes, a watch's answer is cut in two, as if each were whole.";
    ChangeToldTwice = "change-told-twice" breaks VW4 in "calm"
        by Acts::says(views::last_change_twice),
        "The last change of each step of a directory is told twice.";
    LacksWhereItStays = "lacks-where-it-stays" breaks VW5 in "full"
        by Acts::says(views::lacks_where_it_stays),
        "What a directory shows lacks a record where only its freshness changed.";
    LeasesForgotten = "leases-forgotten" breaks VW6 in "calm"
        by Acts::says(views::leases_forgotten),
        "Directories show records without the leases that they hang on.";
    FirstAnswerSwallowed = "first-answer-swallowed" breaks VW7 in "full"
        by Acts::hears(views::first_answer_swallowed),
        "What a watch tells first, once it is opened again, is not heard.";
    SilentWhereCompacted = "silent-where-compacted" breaks VW8 in "store"
        by Acts { says: views::silent_where_compacted, ..Acts::hears(views::compaction_heard) },
        "Where the start of a directory's watch is compacted, it says nothing.";
    LiveWhereCompacted = "live-where-compacted" breaks VW8 in "store"
        by Acts { says: views::live_where_compacted, ..Acts::hears(views::compaction_heard) },
        "Where the start of a directory's watch is compacted, it says that it is live.";
    WatchOneLater = "watch-one-later" breaks VW9 in "calm"
        by Acts::says(views::watch_one_later),
        "A watch that is opened begins one revision later than it was to.";
    HeaderForCursor = "header-for-cursor" breaks VW9 in "wire"
        by Acts::says(views::header_for_cursor),
        "A watch that is opened begins at the revision in the newest answer's header.";
    StepFromBehind = "step-from-behind" breaks VW10 in "store"
        by Acts::hears(views::step_from_behind),
        "Where a member that is behind confirms a watch, the last step is told once more.";
    TrustsTooLong = "trusts-too-long" breaks VW11 in "calm"
        by Acts::prepares(views::trusts_too_long),
        "Quiet watches are trusted ten times as long as is set.";
    EveryFifthLacks = "every-fifth-lacks" breaks VW12 in "calm"
        by Acts::says(views::every_fifth_lacks),
        "Each fifth thing that a directory says lacks a record.";

    PublishAfterRemoval = "publish-after-removal" breaks RG1 in "calm"
        by Acts::says(holds::publish_after_removal),
        "When a removal was confirmed, the record's first publish is sent once more.";
    EarlierOneAgain = "earlier-one-again" breaks RG2 in "calm"
        by Acts::says(holds::earlier_one_again),
        "When a registration stands, what an earlier one had at its key is written over it.";
    OlderContentAgain = "older-content-again" breaks RG12 in "calm"
        by Acts::says(holds::older_content_again),
        "When a registration's new content stands, an older one is written over it.";
    WithoutLease = "without-lease" breaks RG3 in "calm"
        by Acts::says(holds::without_lease),
        "Records are written on no lease.";
    WithoutCompares = "without-compares" breaks RG4 in "calm"
        by Acts::says(holds::without_compares),
        "Records are written and deleted without a compare.";
    LeaseIdAgain = "lease-id-again" breaks RG5 in "calm"
        by Acts::says(holds::lease_id_again),
        "Each lease is asked for by the id of the first.";
    CountsTooLong = "counts-too-long" breaks RG6 in "wire"
        by Acts::hears(holds::counts_too_long),
        "Renewed leases are thought to last two seconds longer than the store says.";
    LossUntold = "loss-untold" breaks RG7 in "full"
        by Acts::says(holds::loss_untold),
        "Nobody is told that a lease is over.";
    RenewedTwice = "renewed-twice" breaks RG8 in "calm"
        by Acts::says(holds::renewed_twice),
        "Each renewal is sent twice.";
    LossToldTwice = "loss-told-twice" breaks RG9 in "calm"
        by Acts::says(holds::loss_told_twice),
        "What is lost is told twice.";
    RenewsUnanswered = "renews-unanswered" breaks RG10 in "calm"
        by Acts::says(holds::renews_unanswered),
        "A lease is renewed as soon as it is asked for.";
    RenewsTheDead = "renews-the-dead" breaks RG11 in "strangers"
        by Acts::hears(holds::renews_the_dead),
        "A lease that the store does not have any more is renewed all the same.";

    DoneToldAsConflict = "done-told-as-conflict" breaks CS1 in "calm"
        by Acts::says(configs::done_told_as_conflict),
        "An update that was written is told as lost to others.";
    AnotherGuard = "another-guard" breaks CS2 in "full"
        by Acts::says(configs::another_guard),
        "A repeated attempt of an update compares with the newest revision in any answer.";
    DoubtToldAsFailure = "doubt-told-as-failure" breaks CS3 in "calm"
        by Acts::says(configs::doubt_told_as_failure),
        "An update that may have been written is told as failed.";
    StoreComparesNothing = "store-compares-nothing" breaks CS4 in "calm"
        by Acts::reaches(configs::compares_nothing),
        "The store takes every compare as true where something is put on no lease.";
    OldBase = "old-base" breaks CS5 in "calm"
        by Acts::says(configs::old_base),
        "An update is shown what the first one of its group was shown.";
    AsksAnyMember = "asks-any-member" breaks CS6 in "calm"
        by Acts::says(configs::asks_any_member),
        "Reads are answered by any member from the data it has.";

    ChangesFollowedTwice = "changes-followed-twice" breaks FO1 in "calm"
        by Acts::says(follows::twice),
        "What a follower is told of changes it is told twice.";
    GapUntold = "gap-untold" breaks FO1 in "calm"
        by Acts::says(follows::gap_untold),
        "A follower is not told of a gap.";
    BoundlessWindow = "boundless-window" breaks FO2 in "calm"
        by Acts::prepares(follows::boundless),
        "Followers' windows are unbounded.";
    FollowerFallsSilent = "follower-falls-silent" breaks FO3 in "calm"
        by Acts::says(follows::falls_silent),
        "After the third part that a follower is told, it is told nothing.";

    NoPause = "no-pause" breaks EF1 in "store"
        by Acts::prepares(efforts::no_pause),
        "Failures are followed by next to no pause.";
    OpenIsWell = "open-is-well" breaks EF2 in "calm"
        by Acts { prepares: efforts::open_is_well, ..Acts::hears(efforts::ends_what_opens) },
        "A watch ends as soon as it is opened, and that it was is taken for well.";
    CallsFlood = "calls-flood" breaks EF3 in "calm"
        by Acts::says(efforts::calls_flood),
        "Each attempt of a call is sent twelve hundred times.";
    OverDeadline = "over-deadline" breaks EF4 in "calm"
        by Acts::hears(efforts::over_deadline),
        "Everything may take a second longer than was said.";
    AsksAgain = "asks-again" breaks EF5 in "full"
        by Acts::hears(efforts::asks_again),
        "What a call was refused for good it asks once more.";
    ReadsFiftyfold = "reads-fiftyfold" breaks EF6 in "calm"
        by Acts::says(efforts::reads_fiftyfold),
        "Each read is sent fifty times.";
    NeverCancels = "never-cancels" breaks EF7 in "calm"
        by Acts::says(efforts::never_cancels),
        "Nothing that was sent is ever cancelled.";
    RenewsAfterClosing = "renews-after-closing" breaks EF7 in "calm"
        by Acts::says(efforts::renews_after_closing),
        "Leases are renewed once more when the engine has closed.";

    DeafToWatches = "deaf-to-watches" breaks LV1 in "calm"
        by Acts::hears(views::deaf),
        "No answer of a watch is heard.";
    StandingUntold = "standing-untold" breaks LV2 in "calm"
        by Acts::says(holds::standing_untold),
        "Nobody is told that a record stands.";
    NeverHeals = "never-heals" breaks LV5 in "calm"
        by Acts::says(holds::never_heals),
        "Records that were lost are not written again.";
    RemovalNotTried = "removal-not-tried" breaks LV4 in "calm"
        by Acts::hears(holds::removal_not_tried),
        "A removal is told as given up at once, and nothing is removed.";
    EndsUntold = "ends-untold" breaks LV6 in "calm"
        by Acts::says(efforts::ends_untold),
        "How updates and calls end is not told.";
    DeadUnnoticed = "dead-unnoticed" breaks LV7 in "wire"
        by Acts { detects: false, ..Acts::NONE },
        "Nobody notices that a connection is dead.";
    AsksOneMember = "asks-one-member" breaks LV8 in "full"
        by Acts::says(efforts::asks_one_member),
        "The first member is asked for everything, however it is.";
    CompactionUnheard = "compaction-unheard" breaks LV9 in "store"
        by Acts::hears(views::compaction_unheard),
        "That history is compacted is not heard.";
    RenewsLate = "renews-late" breaks LV10 in "calm"
        by Acts::prepares(holds::renews_late),
        "A lease is renewed when all its time has passed.";
    DeletesFirst = "deletes-first" breaks LV11 in "calm"
        by Acts::says(holds::deletes_first),
        "What stands at a key is deleted before it is replaced.";
    OwnWatchLate = "own-watch-late" breaks LV12 in "store"
        by Acts::says(holds::own_watch_late),
        "The watch of an own record begins a thousand revisions later.";
}

impl Breakage {
    /// What the engine is set up with.
    pub(super) fn prepare(self, setup: &mut Setup) {
        (self.acts().prepares)(setup);
    }

    /// What the engine hears of an input.
    pub(super) fn hear(self, memory: &mut Memory, input: Input) -> Vec<Input> {
        (self.acts().hears)(memory, input)
    }

    /// What becomes of what the engine says.
    pub(super) fn say(self, memory: &mut Memory, output: Output) -> Vec<Output> {
        (self.acts().says)(memory, output)
    }

    /// What the store makes of a request that reaches it.
    pub(crate) fn reach(self, request: &mut Request) {
        (self.acts().reaches)(request);
    }

    /// Whether a process notices that a connection is dead.
    pub(crate) fn detects(self) -> bool {
        self.acts().detects
    }
}

/// Where a breakage takes hold; everywhere else all goes its way.
struct Acts {
    prepares: fn(&mut Setup),
    hears: fn(&mut Memory, Input) -> Vec<Input>,
    says: fn(&mut Memory, Output) -> Vec<Output>,
    reaches: fn(&mut Request),
    /// Whether dead connections are noticed.
    detects: bool,
}

impl Acts {
    const NONE: Self = Self {
        prepares: |_| {},
        hears: |_, input| vec![input],
        says: |_, output| vec![output],
        reaches: |_| {},
        detects: true,
    };

    fn prepares(prepares: fn(&mut Setup)) -> Self {
        Self { prepares, ..Self::NONE }
    }

    fn hears(hears: fn(&mut Memory, Input) -> Vec<Input>) -> Self {
        Self { hears, ..Self::NONE }
    }

    fn says(says: fn(&mut Memory, Output) -> Vec<Output>) -> Self {
        Self { says, ..Self::NONE }
    }

    fn reaches(reaches: fn(&mut Request)) -> Self {
        Self { reaches, ..Self::NONE }
    }
}
