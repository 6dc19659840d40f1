//! LV: what must hold once the world was left alone, healed, for long enough.

use portolan_core::engine::{Conflict, Freshness, RegistrationEvent};
use portolan_core::layout::Scope;
use portolan_core::waist::{Key, KeyRange, Request, Revision};

use super::facts::{Directory, Facts, Registration, RunLife};
use super::history::Version;
use super::{HeldTo, Looked, Property, Report, Violation};
use crate::trace::Run;

type Scan = fn(&Facts, &mut Report<'_>);

/// How far a world is from rest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unrest {
    /// How much is not as it should be at rest.
    pub left: usize,
    /// How many records those who list have still to be told.
    pub unlisted: u64,
    /// How many revisions, all together, those who show or follow the store have still to be told
    /// up to the one that is asked about.
    pub untold: u64,
}

impl Unrest {
    /// Before anything was looked at.
    pub(crate) const MOST: Self = Self { left: usize::MAX, unlisted: u64::MAX, untold: u64::MAX };

    pub(super) fn of(facts: &Facts, held_to: HeldTo, up_to: Revision) -> Self {
        let mut violations = Vec::new();
        check(facts, &mut Looked::NONE.clone(), &mut violations, held_to);
        let open = |run: Run, open: bool| open && facts.must_rest(run);
        let shown = facts.directories.iter().filter(|((run, _), it)| open(*run, it.open));
        let followed = facts.follows.iter().filter(|((run, _), it)| open(*run, it.open));
        let mut unrest = Self { left: violations.len(), unlisted: 0, untold: 0 };
        let untold = |cursor: Revision| u64::try_from(up_to.0 - cursor.0).unwrap_or(0);
        // Each is told of its own keys only: who lacks none of those lacks nothing.
        for ((run, _), directory) in shown {
            let cursor = directory.cursor();
            let keys = directory.keys.as_ref();
            if keys.is_none_or(|keys| missed(facts, keys, cursor).is_some()) {
                unrest.untold += untold(cursor);
            }
            unrest.unlisted += unlisted(facts, *run, directory);
        }
        for (_, follower) in followed {
            let cursor = follower.cursor.unwrap_or_default();
            if follower.broken || missed(facts, &follower.keys, cursor).is_some() {
                unrest.untold += untold(cursor);
            }
            if follower.broken {
                let from = follower.listed.as_ref().unwrap_or(&follower.keys.key);
                let rest = KeyRange { key: from.clone(), ..follower.keys.clone() };
                unrest.unlisted += records(facts, &rest);
            }
        }
        unrest
    }

    /// Whether less is to be done than at `best`, or more is told: who catches up by many small
    /// answers makes progress although nothing is as it should be yet. Takes the best of both.
    pub(crate) fn is_progress(self, best: &mut Self) -> bool {
        let less = (self.left, self.unlisted) < (best.left, best.unlisted);
        let more = self.untold < best.untold;
        if less {
            (best.left, best.unlisted) = (self.left, self.unlisted);
        }
        best.untold = best.untold.min(self.untold);
        less || more
    }
}

/// How many records a directory that lacks something has still to list, if it lists.
fn unlisted(facts: &Facts, run: Run, directory: &Directory) -> u64 {
    let Some(keys) = &directory.keys else { return 0 };
    if directory.cursor() >= facts.store.revision {
        return 0;
    }
    let pages = facts.attempts.by(run).filter_map(|(_, attempt)| match &attempt.request {
        Request::Range(page) if attempt.fate.is_none() && page.keys.end == keys.end => {
            Some(records(facts, &page.keys))
        }
        _ => None,
    });
    pages.min().unwrap_or_else(|| records(facts, keys))
}

fn records(facts: &Facts, keys: &KeyRange) -> u64 {
    facts.store.range_at(keys, facts.store.revision).count() as u64
}

pub(super) fn check(
    facts: &Facts,
    looked: &mut Looked,
    violations: &mut Vec<Violation>,
    held_to: HeldTo,
) {
    let scans: [(Property, Scan); 9] = [
        (Property::LV1, views),
        (Property::LV2, wanted),
        (Property::LV3, dead),
        (Property::LV4, removals),
        (Property::LV5, losses),
        (Property::LV6, operations),
        (Property::LV8, moved),
        (Property::LV12, histories),
        (Property::FO3, followers),
    ];
    for (property, scan) in scans.into_iter().filter(|&(property, _)| held_to.has(property)) {
        let looked = looked.of(property);
        scan(facts, &mut Report { property, at: facts.now, looked, violations });
    }
}

/// LV1.
fn views(facts: &Facts, report: &mut Report<'_>) {
    for ((run, id), directory) in &facts.directories {
        if !directory.open || !facts.must_rest(*run) {
            continue;
        }
        report.look();
        let name = format!("directory {} of {run}", id.0);
        let Some(shown) = &directory.shown else {
            report.fail(format!("{name} never showed anything"));
            continue;
        };
        report.expect(shown.freshness == Freshness::Live, || {
            format!("{name} says {:?}", shown.freshness)
        });
        let Some(keys) = &directory.keys else { continue };
        let truth = facts.store.range_at(keys, facts.store.revision);
        let mut truth: Vec<_> = truth
            .filter(|(_, version)| version.is_shown())
            .map(|(key, version)| (key, version.revision, version.value_hash))
            .collect();
        let records = shown.records.iter();
        let records = records.map(|(key, record)| (key, record.mod_revision, record.value_hash));
        let bad = shown.bad.iter();
        let bad = bad.map(|(key, unread)| (key, unread.mod_revision, unread.value_hash));
        let mut shown: Vec<_> = records.chain(bad).collect();
        truth.sort_unstable();
        shown.sort_unstable();
        // Where records are written again and again as they were, one is always under way.
        let rewritten = facts.setup.subjects.rewrite();
        let is_same = |(shown, truth): (&(&Key, Revision, u64), &(&Key, Revision, u64))| {
            (shown.0, shown.2) == (truth.0, truth.2) && (rewritten || shown.1 == truth.1)
        };
        let same = truth.len() == shown.len() && shown.iter().zip(&truth).all(is_same);
        report.expect(same, || {
            let named = |records: &[(&Key, Revision, u64)]| -> Vec<_> {
                records.iter().map(|(key, revision, _)| format!("{key}@{revision}")).collect()
            };
            let (shown, truth) = (named(&shown), named(&truth));
            format!("{name} shows {shown:?}, but the store has {truth:?}")
        });
    }
}

/// LV8.
fn moved(facts: &Facts, report: &mut Report<'_>) {
    if !facts.left.members.is_empty() {
        views(facts, report);
    }
}

/// LV2.
fn wanted(facts: &Facts, report: &mut Report<'_>) {
    for ((run, id), registration) in &facts.registrations {
        if registration.gone.is_some() || registration.deadline.is_some() || !facts.must_rest(*run)
        {
            continue;
        }
        report.look();
        for key in &registration.keys {
            let standing = facts.store.at(key, facts.store.revision);
            let own = standing.filter(|version| is_of(facts, version, *run, id.0));
            let told = registration.told.as_ref();
            let name = format!("registration {} of {run}", id.0);
            match (own, told) {
                (Some(version), Some(RegistrationEvent::Registered { revision, sequence, .. })) => {
                    let stamp = version.stamp().map(|stamp| stamp.sequence);
                    let same = *revision == version.revision || facts.setup.subjects.rewrite();
                    report.expect(same && stamp == Some(*sequence), || {
                        format!("{name} says @{revision}, but {key} is from @{}", version.revision)
                    });
                }
                (None, Some(RegistrationEvent::Waiting { .. }))
                    if registration.conflict == Conflict::Wait && standing.is_some() => {}
                (None, _) => {
                    let by =
                        standing.map(|version| format!("{:?} @{}", version.by, version.revision));
                    report.fail(format!("{name} is wanted, but {key} is not its own: {by:?}"));
                }
                (Some(_), told) => {
                    let told = told.map_or("nothing".to_owned(), ToString::to_string);
                    report.fail(format!("{name} stands, but its application was told {told}"));
                }
            }
        }
    }
}

/// LV3.
fn dead(facts: &Facts, report: &mut Report<'_>) {
    for range in facts.layout().ranges(&Scope::AllInstances) {
        for (key, version) in facts.store.range_at(&range, facts.store.revision) {
            let owner = version.lease.and_then(|lease| facts.leases.get(&lease)?.owner);
            let Some(owner) = owner else { continue };
            report.look();
            let known = &facts.runs[&owner];
            report.expect(known.life != RunLife::Over && !known.closed, || {
                format!("{key} still hangs on a lease of {owner}, which is gone")
            });
        }
    }
}

/// LV4.
fn removals(facts: &Facts, report: &mut Report<'_>) {
    for ((run, id), registration) in &facts.registrations {
        let Registration { deadline, gone, keys, .. } = registration;
        if deadline.is_none() && gone.is_none() {
            continue;
        }
        report.look();
        let awake = facts.must_rest(*run);
        report.expect(gone.is_some() || !awake, || {
            format!("the removal of registration {} of {run} has not ended", id.0)
        });
        for key in keys {
            let standing = facts.store.at(key, facts.store.revision);
            let own_lease = standing.is_some_and(|version| {
                let owner = version.lease.and_then(|lease| facts.leases.get(&lease)?.owner);
                owner == Some(*run) && is_of(facts, version, *run, id.0)
            });
            report.expect(!own_lease, || {
                format!("registration {} of {run} has ended, but {key} still stands", id.0)
            });
        }
    }
}

/// LV5.
fn losses(facts: &Facts, report: &mut Report<'_>) {
    for ((run, id), registration) in &facts.registrations {
        if registration.told.is_some() && registration.stood && facts.must_rest(*run) {
            report.look();
            let lost = matches!(registration.told, Some(RegistrationEvent::Lost { .. }));
            let wanted = registration.deadline.is_none();
            report.expect(!lost || !wanted, || {
                format!("registration {} of {run} was lost, and has not come back", id.0)
            });
        }
    }
}

/// LV12.
fn histories(facts: &Facts, report: &mut Report<'_>) {
    if facts.past.is_empty() {
        return;
    }
    for ((run, id), attempt) in facts.attempts.iter() {
        let Request::Watch(watch) = &attempt.request else { continue };
        if attempt.fate.is_some() || !facts.must_rest(run) {
            continue;
        }
        report.look();
        let next = facts.store.revision.next();
        report.expect(watch.start <= next, || {
            format!(
                "{run} watches {} by {id} from @{}, and @{next} is next",
                watch.keys, watch.start
            )
        });
    }
}

/// FO3.
fn followers(facts: &Facts, report: &mut Report<'_>) {
    for ((run, id), follower) in &facts.follows {
        if !follower.open || !facts.must_rest(*run) {
            continue;
        }
        report.look();
        let name = format!("follower {} of {run}", id.0);
        let Some(cursor) = follower.cursor.filter(|_| !follower.broken) else {
            report.fail(format!("{name} has still to list: {follower:?}"));
            continue;
        };
        let missed = missed(facts, &follower.keys, cursor);
        report.expect(missed.is_none(), || format!("{name} was not told of {missed:?}"));
    }
}

/// The first change of a range behind the cursor of whoever is to be told of it.
fn missed(facts: &Facts, keys: &KeyRange, cursor: Revision) -> Option<Revision> {
    let mut later = facts.store.revisions(cursor, facts.store.revision);
    later.find(|&at| facts.store.touched(keys, at).next().is_some())
}

/// LV6.
fn operations(facts: &Facts, report: &mut Report<'_>) {
    for ((run, id), operation) in &facts.ops {
        if facts.must_rest(*run) {
            report.look();
            report.expect(operation.ended, || format!("operation {} of {run} has not ended", id.0));
        }
    }
}

fn is_of(facts: &Facts, version: &Version, run: Run, registration: u64) -> bool {
    version.stamp().is_some_and(|stamp| {
        stamp.run == facts.runs[&run].stamp && stamp.registration == registration
    })
}
