//! VW7 to VW11: how a directory goes on after something went wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portolan_core::Time;
use portolan_core::engine::{Change, DirectoryId, Event, Freshness, Gap, StepCause};
use portolan_core::waist::{
    Key, KeyRange, Range, Reply, Request, Revision, StoreError, Watch, WatchSay,
};

use super::due::Due;
use super::facts::Facts;
use super::history::History;
use super::views::Shown;
use super::{Check, Report};
use crate::trace::{Entry, Run, What};

type Place = (Run, DirectoryId);

/// VW7.
#[derive(Clone, Debug, Default)]
pub(super) struct Gapless {
    watched: BTreeSet<Place>,
    reopened: BTreeSet<Place>,
}

impl Check for Gapless {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        if let What::Sent { run, request: Request::Watch(watch), .. } = &entry.what {
            for (id, _) in facts.directories_of(*run, &watch.keys) {
                if !self.watched.insert((*run, id)) {
                    self.reopened.insert((*run, id));
                }
            }
        }
        let Some(shown) = Shown::of(facts, entry) else { return };
        let (Some(step), Some(keys)) = (shown.step, shown.keys) else { return };
        if !self.reopened.remove(&(shown.run, shown.id)) || step.cause != StepCause::Watched {
            return;
        }
        report.look();
        let (from, to) = (shown.before(), step.snapshot.revision);
        let told: BTreeMap<&Key, Option<Revision>> = step.changes.iter().map(told).collect();
        let store = facts.history_of(shown.directory);
        let touched: BTreeSet<&Key> =
            store.revisions(from, to).flat_map(|at| store.touched(keys, at)).collect();
        for key in &touched {
            let readable = |at| {
                let version = store
                    .at(key, at)
                    .filter(|version| version.stamp().is_some() || version.operation().is_some());
                version.map(|version| version.revision)
            };
            let (before, after) = (readable(from), readable(to));
            let expected = (before != after).then_some(after);
            report.expect(told.get(*key).copied() == expected || unstamped(store, key), || {
                format!(
                    "{} resumed from @{from} to @{to} and did not tell of {key} rightly",
                    shown.name()
                )
            });
        }
        if let Some((key, _)) = told.iter().find(|(key, _)| !touched.contains(**key)) {
            report.fail(format!(
                "{} resumed from @{from} to @{to} and tells of {key}, which did not change",
                shown.name()
            ));
        }
    }
}

/// Whether a key ever held a record without a stamp, which strangers may write: VW1 knows better
/// than the short-cut here.
fn unstamped(store: &History, key: &Key) -> bool {
    store.of(key).iter().any(|version| {
        version.is_shown() && version.stamp().is_none() && version.operation().is_none()
    })
}

fn told(change: &Change) -> (&Key, Option<Revision>) {
    match change {
        Change::Added { key, record } | Change::Updated { key, record, .. } => {
            (key, Some(record.mod_revision))
        }
        Change::Removed { key, .. } => (key, None),
    }
}

/// VW8.
#[derive(Clone, Debug, Default)]
pub(super) struct Declared {
    /// Directories whose history was found compacted, and that have not listed since; whether it
    /// was their watch that found it.
    gaps: BTreeMap<Place, bool>,
}

impl Check for Declared {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        if let Some((run, attempt, reply)) = facts.answered(entry) {
            let compacted = match reply {
                Reply::Watch(reply) => reply.canceled && reply.compact_revision.0 > 0,
                Reply::Failed(StoreError::Compacted) => true,
                _ => false,
            };
            let keys = match &attempt.request {
                Request::Range(range) => Some(&range.keys),
                Request::Watch(watch) => Some(&watch.keys),
                _ => None,
            };
            // Who looks for what became of its write watches the key too, without progress.
            let is_update = matches!(&attempt.request, Request::Watch(watch) if !watch.progress);
            if let (true, Some(keys)) = (compacted && !is_update, keys) {
                let watched = matches!(attempt.request, Request::Watch(_));
                if let Some((id, _)) = facts.only_directory_of(run, keys) {
                    *self.gaps.entry((run, id)).or_default() |= watched;
                }
            }
            if let (Request::Range(range), Reply::Range(_)) = (&attempt.request, reply)
                && is_list(range)
            {
                for (id, _) in facts.directories_of(run, &range.keys) {
                    if self.gaps.remove(&(run, id)).is_some() {
                        report.look();
                    }
                }
            }
        }
        let Some(shown) = Shown::of(facts, entry) else { return };
        if !self.gaps.contains_key(&(shown.run, shown.id)) {
            return;
        }
        report.expect(shown.snapshot.freshness != Freshness::Live, || {
            format!("{} says live across a gap, without having listed", shown.name())
        });
        report.expect(shown.step.is_none_or(|step| step.cause != StepCause::Watched), || {
            format!("{} goes on across a gap as if it were none", shown.name())
        });
    }

    /// Who says nothing goes on saying what it said last.
    fn settled(&mut self, facts: &Facts, report: &mut Report<'_>) {
        for ((run, id), _) in self.gaps.iter().filter(|&(_, &watched)| watched) {
            let Some(directory) = facts.directories.get(&(*run, *id)) else { continue };
            let says = directory.shown.as_ref().map(|shown| shown.freshness);
            let live = directory.open && facts.is_awake(*run) && says == Some(Freshness::Live);
            report.expect(!live, || {
                format!("directory {} of {run} does not say that its history is gone", id.0)
            });
        }
    }
}

/// Whether a read is the first page of a list.
fn is_list(range: &Range) -> bool {
    range.revision == Revision::ZERO && range.sort.is_none() && !range.keys_only
}

/// VW9.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    /// The revisions that were delivered, and so may be told again.
    allowed: BTreeMap<(Run, KeyRange), BTreeSet<Revision>>,
}

impl Check for Cursor {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        if let What::Sent { run, request, .. } = &entry.what {
            let (Request::Watch(watch) | Request::OnWatch { say: WatchSay::Create(watch), .. }) =
                request
            else {
                return;
            };
            self.opened(facts, *run, watch, report);
        }
        let Some((run, attempt, reply)) = facts.answered(entry) else { return };
        let (keys, delivered) = match (&attempt.request, reply) {
            (Request::Range(range), Reply::Range(reply)) => {
                let mut delivered: Vec<_> = Vec::new();
                if is_list(range) {
                    delivered.push(reply.header.revision);
                }
                if range.keys.end.is_empty() {
                    delivered.extend(reply.kvs.iter().map(|kv| kv.mod_revision));
                }
                (&range.keys, delivered)
            }
            (Request::Watch(watch), Reply::Watch(reply)) => {
                let progress = reply.events.is_empty() && !reply.created && !reply.canceled;
                let delivered = if progress {
                    // Some releases claim revisions whose events come later.
                    let kept = !facts.setup.store.quirks.progress_out_of_step;
                    kept.then_some(reply.header.revision).into_iter().collect()
                } else if reply.fragment {
                    reply.events.iter().map(|event| event.kv.mod_revision).collect()
                } else {
                    reply.events.last().map(|event| event.kv.mod_revision).into_iter().collect()
                };
                (&watch.keys, delivered)
            }
            _ => return,
        };
        let allowed = self.allowed.entry((run, keys.clone())).or_default();
        allowed.extend(delivered);
    }
}

impl Cursor {
    fn opened(&self, facts: &Facts, run: Run, watch: &Watch, report: &mut Report<'_>) {
        // The wire does not tell whether it is a follower's, and FO1 holds those to more.
        let of_directory = facts.directories_of(run, &watch.keys).next().is_some();
        if !of_directory || facts.is_followed(run, &watch.keys) {
            return;
        }
        report.look();
        let allowed = self.allowed.get(&(run, watch.keys.clone()));
        report.expect(allowed.is_some_and(|allowed| allowed.contains(&watch.start)), || {
            format!(
                "{run} watches {} from @{}, which nothing delivered stands at",
                watch.keys, watch.start
            )
        });
    }
}

/// VW10.
#[derive(Clone, Debug, Default)]
pub(super) struct NotBehind {
    /// The newest event delivered, for each directory.
    delivered: BTreeMap<Place, Revision>,
    /// The revision of the last list delivered that was behind it.
    behind: BTreeMap<Place, Revision>,
    /// The revision at which a watch was confirmed, where that was behind and no read has vouched
    /// for the view since.
    doubtful: BTreeMap<Place, Revision>,
}

impl Check for NotBehind {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        if let Some((run, attempt, reply)) = facts.answered(entry) {
            match (&attempt.request, reply) {
                (Request::Watch(watch), Reply::Watch(reply)) => {
                    let last = reply.events.last().map(|event| event.kv.mod_revision);
                    if let Some((id, directory)) = facts.only_directory_of(run, &watch.keys) {
                        let newest = self.delivered.entry((run, id)).or_default();
                        *newest = (*newest).max(last.unwrap_or_default());
                        let at = reply.header.revision;
                        if reply.created && directory.cursor().max(*newest) > at {
                            self.doubtful.insert((run, id), at);
                        }
                        if reply.created && directory.cursor() > Revision::ZERO {
                            report.look();
                        }
                    }
                }
                (Request::Range(range), Reply::Range(reply)) => {
                    // Of several that show these keys, the wire does not tell whose read it is.
                    for (id, directory) in facts.directories_of(run, &range.keys) {
                        if !range.serializable && reply.header.revision >= directory.cursor() {
                            self.doubtful.remove(&(run, id));
                        }
                    }
                    if let Some((id, directory)) = facts.only_directory_of(run, &range.keys) {
                        if !is_list(range) {
                            return;
                        }
                        let newest = self.delivered.get(&(run, id)).copied().unwrap_or_default();
                        let at = reply.header.revision;
                        if at < newest.max(directory.cursor()) {
                            self.behind.insert((run, id), at);
                        } else {
                            self.behind.remove(&(run, id));
                        }
                        if directory.cursor() > Revision::ZERO {
                            report.look();
                        }
                    }
                }
                _ => {}
            }
        }
        let Some(shown) = Shown::of(facts, entry) else { return };
        let Some(step) = shown.step else { return };
        match step.cause {
            StepCause::Watched => {
                let doubtful = self.doubtful.get(&(shown.run, shown.id));
                report.expect(doubtful.is_none(), || {
                    let at = doubtful.copied().unwrap_or_default();
                    format!(
                        "{} goes on by a watch confirmed @{at}, behind what it had been told, \
                         without a read since",
                        shown.name()
                    )
                });
            }
            StepCause::Relisted(Gap::NewEpoch) => {
                let place = (shown.run, shown.id);
                self.delivered.insert(place, step.snapshot.revision);
                self.behind.remove(&place);
                self.doubtful.remove(&place);
            }
            StepCause::Listed | StepCause::Relisted(_) => {
                let behind = self.behind.get(&(shown.run, shown.id));
                report.expect(behind != Some(&step.snapshot.revision), || {
                    format!(
                        "{} took a list @{} that was behind what it had been told",
                        shown.name(),
                        step.snapshot.revision
                    )
                });
            }
        }
    }
}

/// VW11.
#[derive(Clone, Debug, Default)]
pub(super) struct Fresh {
    /// When the store last confirmed each directory's revision.
    confirmed: BTreeMap<Place, Time>,
    /// Runs with a directory that may say live for too long.
    due: Due,
}

impl Check for Fresh {
    fn see(&mut self, facts: &Facts, entry: &Entry, _: &mut Report<'_>) {
        match &entry.what {
            What::Told {
                run,
                event: Event::Stepped { .. } | Event::Freshness { .. } | Event::Guard { .. },
            }
            | What::Clocked { run, .. }
            | What::Resumed(run)
            | What::Started { run, .. } => self.due.changed(*run),
            _ => {}
        }
        if let Some(Shown { run, id, step: Some(step), .. }) = Shown::of(facts, entry)
            && step.cause == StepCause::Relisted(Gap::NewEpoch)
        {
            // Just listed, in a store whose revisions may be smaller.
            self.confirmed.insert((run, id), entry.at);
        }
        let Some((run, attempt, reply)) = facts.answered(entry) else { return };
        let (Some(asked), Some(newest)) = (keys(&attempt.request), newest(reply)) else { return };
        for (id, directory) in facts.directories_by(run) {
            // A later page asks for the rest of the directory's keys.
            let speaks_of_it = directory
                .keys
                .as_ref()
                .is_some_and(|keys| keys == asked || keys.end == asked.end && asked.key > keys.key);
            if speaks_of_it && newest >= directory.cursor() {
                self.confirmed.insert((run, id), entry.at);
            }
        }
    }

    fn settled(&mut self, facts: &Facts, report: &mut Report<'_>) {
        let tuning = &facts.setup.tuning;
        let longest = tuning.probe_after + tuning.probe_timeout;
        while let Some(run) = self.due.next(facts.now) {
            let Some(of_run) = facts.runs.get(&run).filter(|_| facts.is_awake(run)) else {
                continue;
            };
            let now = of_run.clock.local(facts.now);
            let mut next = Time::NEVER;
            for (id, directory) in facts.directories_by(run) {
                let (Some(_), Some(shown)) = (&directory.keys, &directory.shown) else { continue };
                if !directory.open || shown.freshness != Freshness::Live {
                    continue;
                }
                report.look();
                let confirmed = self.confirmed.get(&(run, id)).copied().unwrap_or_default();
                let confirmed = of_run.clock.local(confirmed);
                let silent = now.since(confirmed);
                report.expect(silent <= longest, || {
                    format!("directory {} of {run} says live after a silence of {silent:?}", id.0)
                });
                // What is confirmed meanwhile is seen then.
                next = next.min(confirmed + longest + Duration::from_nanos(1));
            }
            let next = (next < Time::NEVER && next > now).then(|| of_run.clock.world(next));
            self.due.at(run, next);
        }
    }
}

fn keys(request: &Request) -> Option<&KeyRange> {
    match request {
        Request::Range(range) => Some(&range.keys),
        Request::Watch(watch) => Some(&watch.keys),
        _ => None,
    }
}

/// The newest revision of which an answer is proof.
fn newest(reply: &Reply) -> Option<Revision> {
    match reply {
        Reply::Range(reply) => Some(reply.header.revision),
        Reply::Watch(reply) if !reply.canceled => {
            let last = reply.events.last().map(|event| event.kv.mod_revision);
            Some(reply.header.revision.max(last.unwrap_or_default()))
        }
        _ => None,
    }
}
