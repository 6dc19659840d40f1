//! Keeps an outage from emptying a directory: what vanishes with more than half of a group's
//! leases is kept apart for a while, beside the copy, which stays the store's very content.
//!
//! ```text
//!  an instance vanishes, unannounced, and with it its lease from the group
//!          │
//!          ▼                                            a minority: nothing happens
//!  at least 3 leases, and more than half, within one time to live?
//!          │ yes: all of them are suspects at once
//!          ▼
//!  the store is asked which of these leases it still has ──▶ those: deleted on purpose, dropped
//!          │ still more than half
//!          ▼
//!  tripped: told; each suspect stays until it comes back, is refused, or `guard_hold` is over
//! ```
//!
//! It counts leases, not instances: a process that dies takes all of its own along and is one
//! failure. A lease of which the group still shows an instance has not ended; what went from it
//! was deleted on purpose. So was what was last seen `Draining`. A wish that nobody saw counts as
//! a failure: the guard errs to keep.
//!
//! One time to live is this process's own (`lease_ttl`), or the longest that leases of the group
//! said they were granted, if that is longer. One of those that live on is asked for it when the
//! first lease of a group ends, and each that turns out to live says it too. An ended lease cannot
//! tell any more.
//!
//! At most 32 leases are asked at once. Of more, those that were not asked share the answer if all
//! the others live; else they count as ended.
//!
//! All of this is one process's view. Nothing is written to the store.

mod tally;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use self::tally::{Gone, Tally};
use super::replica::Delta;
use crate::engine::cx::Cx;
use crate::engine::view::{Change, GuardNews, Record, Suspect, Undone};
use crate::engine::wire::Owner;
use crate::instance::{Instance, State};
use crate::map::Map;
use crate::time::Time;
use crate::tuning::Guard as Switch;
use crate::waist::{AttemptId, Key, LeaseId, Reply, Request, TimeToLive};

/// The guard of one directory.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Guard {
    /// Off, it counts nothing and costs nothing.
    on: bool,
    owner: Owner,
    groups: BTreeMap<String, Tally>,
    suspects: Map<Key, Arc<Suspect>>,
    /// When suspects may be over; some of these are back by then.
    deadlines: BTreeSet<(Time, String, LeaseId)>,
    /// Groups for which it has tripped.
    tripped: usize,
    asked: BTreeMap<AttemptId, Asked>,
}

/// A question to the store about a lease.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Asked {
    group: String,
    lease: LeaseId,
    /// Whether its records are gone; else it is asked for its time to live only.
    gone: bool,
}

impl Guard {
    pub fn new(cx: &Cx<'_>, owner: Owner) -> Self {
        let on = match cx.tuning.guard {
            Switch::On => true,
            Switch::Off => false,
            Switch::ByLayout => cx.layout.says_state(),
        };
        Self {
            on,
            owner,
            groups: BTreeMap::new(),
            suspects: Map::new(),
            deadlines: BTreeSet::new(),
            tripped: 0,
            asked: BTreeMap::new(),
        }
    }

    /// What is kept apart now.
    pub fn suspects(&self) -> &Map<Key, Arc<Suspect>> {
        &self.suspects
    }

    /// Whether it has tripped for any group.
    pub fn is_tripped(&self) -> bool {
        self.tripped > 0
    }

    /// The copy went on.
    pub fn see(&mut self, cx: &mut Cx<'_>, delta: &Delta) -> Vec<GuardNews> {
        let mut news = Vec::new();
        if !self.on {
            return news;
        }
        let mut touched = BTreeSet::new();
        for change in &delta.changes {
            if let Some(group) = self.change(cx.now, change, delta) {
                touched.insert(group);
            }
        }
        for group in touched {
            self.weigh(cx, &group, &mut news);
        }
        news
    }

    /// The store said something of a lease; `None`: the guard did not ask this.
    pub fn answered(
        &mut self,
        cx: &mut Cx<'_>,
        attempt: AttemptId,
        reply: &Reply,
    ) -> Option<Vec<GuardNews>> {
        let Asked { group, lease, gone } = self.asked.remove(&attempt)?;
        let mut news = Vec::new();
        let mut granted = 0;
        // A lease without time left is about to be revoked with all that hangs on it.
        if let Reply::TimeToLive(reply) = reply
            && reply.ttl_secs > 0
        {
            granted = reply.granted_secs;
        }
        let Some(tally) = self.groups.get_mut(&group) else { return Some(news) };
        let granted = Duration::from_secs(u64::try_from(granted).unwrap_or(0));
        tally.granted = tally.granted.max(granted.min(LONGEST));
        if gone {
            let lives = !granted.is_zero();
            tally.question.answered += 1;
            tally.question.lived += u32::from(lives);
            tally.question.ended += u32::from(!lives);
            if lives {
                self.drop_leases(&group, vec![lease], Undone::Wished, &mut news);
            } else if let Some(gone) = tally.gone.get_mut(&lease) {
                gone.ended = true;
            }
            self.conclude(cx, &group, &mut news);
        }
        Some(news)
    }

    /// Somebody found a suspect to be gone indeed.
    pub fn refused(&mut self, key: &Key) -> Vec<GuardNews> {
        let mut news = Vec::new();
        let mut groups = self.groups.iter_mut();
        let missed = groups.find_map(|(group, tally)| tally.write_off(key).then_some(group));
        let Some(group) = missed.cloned() else { return news };
        if self.suspects.remove(key).is_some() {
            let keys = vec![key.clone()];
            news.push(GuardNews::Dropped { group: group.clone(), keys, why: Undone::Refused });
        }
        self.end(&group, &mut news);
        news
    }

    /// Drops what was kept long enough.
    pub fn on_timer(&mut self, cx: &Cx<'_>) -> Vec<GuardNews> {
        let mut news = Vec::new();
        let mut due: BTreeMap<String, Vec<LeaseId>> = BTreeMap::new();
        while self.next_timeout().is_some_and(|at| at <= cx.now)
            && let Some((_, group, lease)) = self.deadlines.pop_first()
        {
            let gone = self.groups.get(&group).and_then(|tally| tally.gone.get(&lease));
            // One that is gone again since has a deadline of its own.
            if gone.is_some_and(|gone| gone.kept && gone.since + cx.tuning.guard_hold <= cx.now) {
                due.entry(group).or_default().push(lease);
            }
        }
        for (group, leases) in due {
            self.drop_leases(&group, leases, Undone::Over, &mut news);
            self.end(&group, &mut news);
        }
        news
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, _, _)| *at)
    }

    /// Asks for nothing any more.
    pub fn close(&mut self, cx: &mut Cx<'_>) {
        for attempt in std::mem::take(&mut self.asked).into_keys() {
            cx.cancel(attempt);
        }
    }

    /// Counts one change; the group that it touched.
    fn change(&mut self, now: Time, change: &Change, delta: &Delta) -> Option<String> {
        let (key, before, after) = match change {
            Change::Added { key, record } => (key, None, Some(record)),
            Change::Updated { key, before, record } => (key, Some(before), Some(record)),
            Change::Removed { key, before } => (key, Some(before), None),
        };
        let group = before.or(after)?.instance()?.group();
        if !self.groups.contains_key(group) {
            self.groups.insert(group.to_owned(), Tally::default());
        }
        let tally = self.groups.get_mut(group)?;
        if let Some(before) = before {
            tally.unhang(before.lease);
        }
        if let Some(record) = after {
            tally.hang(record.lease);
            if tally.found(key) {
                self.suspects.remove(key);
            }
        } else if let Some(last) = delta.last(key).or(before).filter(|last| !is_leaving(last)) {
            tally.miss(key, last, now);
        }
        Some(group.to_owned())
    }

    /// After the leases of a group changed: whether it is an outage.
    fn weigh(&mut self, cx: &mut Cx<'_>, group: &str, news: &mut Vec<GuardNews>) {
        let Some(tally) = self.groups.get_mut(group) else { return };
        let revived = tally.revived();
        self.drop_leases(group, revived, Undone::Wished, news);
        let Some(tally) = self.groups.get_mut(group) else { return };
        let within = tally.granted.max(cx.tuning.lease_ttl);
        tally.forget_old(cx.now, within);
        if tally.rule(within).is_some() {
            tally.question();
            let kept = tally.keep();
            self.keep(cx, group, &kept);
            self.ask(cx, group, &kept);
            self.conclude(cx, group, news);
        } else if let Some(lease) = tally.sample() {
            self.send(cx, group, lease, false);
        }
        self.end(group, news);
    }

    /// Makes suspects of what these leases took along.
    fn keep(&mut self, cx: &Cx<'_>, group: &str, leases: &[LeaseId]) {
        let Some(tally) = self.groups.get(group) else { return };
        for (lease, gone) in leases.iter().filter_map(|lease| tally.gone.get_key_value(lease)) {
            self.deadlines.insert((gone.since + cx.tuning.guard_hold, group.to_owned(), *lease));
            for (key, record) in &gone.records {
                let (record, since) = (Arc::clone(record), gone.since);
                self.suspects.insert(key.clone(), Arc::new(Suspect { record, since }));
            }
        }
    }

    /// Asks which of these leases live, unless that is known.
    fn ask(&mut self, cx: &mut Cx<'_>, group: &str, leases: &[LeaseId]) {
        for lease in leases {
            let Some(tally) = self.groups.get_mut(group) else { return };
            let Some(gone) = tally.gone.get_mut(lease) else { continue };
            if gone.ended {
                tally.question.ended += 1;
            } else if tally.question.asked < MOST_ASKED {
                tally.question.asked += 1;
                self.send(cx, group, *lease, true);
            } else {
                tally.unasked.insert(*lease);
            }
        }
    }

    fn send(&mut self, cx: &mut Cx<'_>, group: &str, lease: LeaseId, gone: bool) {
        let request = Request::TimeToLive(TimeToLive { lease, keys: false });
        let asked = Asked { group: group.to_owned(), lease, gone };
        self.asked.insert(cx.send(self.owner, request), asked);
    }

    /// Decides, once all that was asked is answered.
    fn conclude(&mut self, cx: &Cx<'_>, group: &str, news: &mut Vec<GuardNews>) {
        let Some(tally) = self.groups.get_mut(group) else { return };
        if tally.question.is_open() {
            return;
        }
        let mut question = std::mem::take(&mut tally.question);
        let unasked: Vec<_> = std::mem::take(&mut tally.unasked).into_iter().collect();
        if question.all_live() {
            self.drop_leases(group, unasked, Undone::Wished, news);
        } else {
            for lease in unasked {
                if let Some(gone) = tally.gone.get_mut(&lease) {
                    gone.ended = true;
                    question.ended += 1;
                }
            }
        }
        let Some(tally) = self.groups.get_mut(group) else { return };
        if !tally.tripped {
            let rule = question.rule(tally.granted.max(cx.tuning.lease_ttl));
            if let Some(rule) = rule.filter(|_| tally.keeps()) {
                tally.tripped = true;
                self.tripped += 1;
                news.push(GuardNews::Tripped { group: group.to_owned(), rule });
            } else {
                self.release(group, news);
            }
        }
        self.end(group, news);
    }

    /// It was no outage: what is left of the suspects is gone indeed. Their leases go on counting
    /// until one time to live is over.
    fn release(&mut self, group: &str, news: &mut Vec<GuardNews>) {
        let Some(tally) = self.groups.get_mut(group) else { return };
        let keys = tally.release();
        self.told_dropped(group, keys, Undone::Few, news);
    }

    /// Takes leases from the count, and their records from the suspects.
    fn drop_leases(
        &mut self,
        group: &str,
        leases: Vec<LeaseId>,
        why: Undone,
        news: &mut Vec<GuardNews>,
    ) {
        let Some(tally) = self.groups.get_mut(group) else { return };
        let gone = leases.iter().filter_map(|lease| tally.forget(*lease));
        let keys = gone.flat_map(|Gone { records, .. }| records.into_keys()).collect();
        self.told_dropped(group, keys, why, news);
    }

    fn told_dropped(
        &mut self,
        group: &str,
        mut keys: Vec<Key>,
        why: Undone,
        news: &mut Vec<GuardNews>,
    ) {
        keys.retain(|key| self.suspects.remove(key).is_some());
        if !keys.is_empty() {
            keys.sort();
            news.push(GuardNews::Dropped { group: group.to_owned(), keys, why });
        }
    }

    /// What follows when leases have left a group's count.
    fn end(&mut self, group: &str, news: &mut Vec<GuardNews>) {
        let Some(tally) = self.groups.get_mut(group) else { return };
        if tally.tripped && !tally.keeps() {
            tally.tripped = false;
            self.tripped -= 1;
            news.push(GuardNews::Ended { group: group.to_owned() });
        }
        if tally.gone.is_empty() {
            tally.sampled = false;
        }
        if tally.is_empty() {
            self.groups.remove(group);
        }
    }
}

/// Whether an instance had said that it was about to leave.
fn is_leaving(record: &Record) -> bool {
    match record.instance().map(Instance::state) {
        Some(State::Draining) => true,
        Some(State::Starting | State::Ready | State::OutOfService) | None => false,
    }
}

/// Leases asked for in one question at most: a directory of thousands must not be a burden to a
/// store in trouble.
const MOST_ASKED: u32 = 32;

/// A longer time to live says nothing of a failure: what ended a day apart has not ended together.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
