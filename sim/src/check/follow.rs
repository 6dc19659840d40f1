//! FO1 and FO2: what the reader of a followed key range is told, held against the store's log.

use std::collections::{BTreeMap, VecDeque};

use portolan_core::engine::{Command, Event, FollowId, FollowSeq, Followed};
use portolan_core::rng::hash;
use portolan_core::waist::{EventKind, Key, KeyEvent, KeyValue, Revision};

use super::epochs::Epochs;
use super::facts::{Facts, Follower};
use super::history::History;
use super::{Check, Report};
use crate::trace::{Entry, Run, What};

type Place = (Run, FollowId);
type List = BTreeMap<Key, (Revision, u64)>;

/// What an entry tells the reader of a follower, and under which number.
fn told(entry: &Entry) -> Option<(Place, FollowSeq, &Followed)> {
    match &entry.what {
        What::Told { run, event: Event::Followed { id, seq, what } } => {
            Some(((*run, *id), *seq, what))
        }
        _ => None,
    }
}

/// FO1.
#[derive(Clone, Debug, Default)]
pub(super) struct Once {
    /// Each follower before the present entry.
    before: BTreeMap<Place, Follower>,
    /// The histories of the store of which each may have been told.
    epochs: BTreeMap<Place, Epochs>,
    /// What a list that is not complete has told so far.
    lists: BTreeMap<Place, (Revision, List)>,
    compacted: Revision,
}

impl Check for Once {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        if let What::Compacted(revision) = &entry.what {
            self.compacted = *revision;
        }
        let Some((place, _, what)) = told(entry) else { return };
        let Some(now) = facts.follows.get(&place) else { return };
        let before = self.before.insert(place, now.clone()).unwrap_or_else(|| now.unheard());
        report.look();
        if let Err(text) = self.look(facts, place, &before, what) {
            report.fail(format!("follower {} of {}: {text}", place.1.0, place.0));
        }
    }
}

impl Once {
    fn look(
        &mut self,
        facts: &Facts,
        place: Place,
        before: &Follower,
        what: &Followed,
    ) -> Result<(), String> {
        let list = self.gather(place, before, what)?;
        let known = self.epochs.get(&place).cloned().unwrap_or_default();
        let may_be = match before.cursor.filter(|_| !before.broken) {
            Some(cursor) => facts.epochs_since(&known, &before.keys, cursor),
            None => facts.epochs_from(&known),
        };
        let mut fitting = Epochs::new();
        let mut wrong = String::new();
        for epoch in may_be {
            match self.is_told_of(facts.history(epoch), before, what, list.as_ref()) {
                Ok(()) => {
                    fitting.insert(epoch);
                }
                Err(text) => wrong = text,
            }
        }
        let any = !fitting.is_empty();
        self.epochs.insert(place, fitting);
        if any { Ok(()) } else { Err(wrong) }
    }

    /// Puts the parts of a list together; the list, once it is whole.
    fn gather(
        &mut self,
        place: Place,
        before: &Follower,
        what: &Followed,
    ) -> Result<Option<List>, String> {
        let Followed::Listed { revision, first, complete, records } = what else {
            if matches!(what, Followed::Lagged { .. } | Followed::Gap { .. }) {
                self.lists.remove(&place);
            }
            return Ok(None);
        };
        if !before.broken {
            return Err(format!("lists @{revision} without a gap"));
        }
        if *first {
            self.lists.insert(place, (*revision, List::new()));
        }
        let Some((at, list)) = self.lists.get_mut(&place) else {
            return Err(format!("goes on with a list @{revision} that never began"));
        };
        if at != revision {
            return Err(format!("lists @{at}, and goes on @{revision}"));
        }
        let shown = |kv: &KeyValue| (kv.key.clone(), (kv.mod_revision, hash(&kv.value)));
        list.extend(records.iter().map(shown));
        let whole = complete.then(|| std::mem::take(list));
        if *complete {
            self.lists.remove(&place);
        }
        Ok(whole)
    }

    /// Whether it is told as a history of the store was.
    fn is_told_of(
        &self,
        store: &History,
        before: &Follower,
        what: &Followed,
        list: Option<&List>,
    ) -> Result<(), String> {
        let cursor = before.cursor;
        match what {
            Followed::Begun { revision } => {
                // No store has changes before revision 2 (row R1).
                let wanted =
                    before.from.is_none_or(|from| from.max(Revision(2)) == revision.next());
                if cursor.is_some() || !wanted || *revision > store.revision {
                    return Err(format!("begins @{revision}, {before:?}"));
                }
            }
            Followed::Changes { events } => {
                let Some(cursor) = cursor.filter(|_| !before.broken) else {
                    return Err("tells changes before there is anything that they follow".into());
                };
                self.changes(store, before, cursor, events)?;
            }
            Followed::Lagged { after } | Followed::Gap { after, .. } => {
                // What it has heard may reach further than what there was to tell.
                let Some(cursor) = cursor.filter(|_| !before.broken) else { return Ok(()) };
                let mut between = store.revisions(cursor, *after);
                let missed = between.find(|&at| store.touched(&before.keys, at).next().is_some());
                if *after < cursor || missed.is_some() {
                    return Err(format!("has told all up to @{cursor}, and says @{after}"));
                }
            }
            Followed::Listed { revision, .. } => {
                let Some(list) = list else { return Ok(()) };
                let truth = store.range_at(&before.keys, *revision);
                let truth: List =
                    truth.map(|(key, v)| (key.clone(), (v.revision, v.value_hash))).collect();
                if *list != truth || *revision > store.revision {
                    return Err(format!("lists {list:?} @{revision}; there was {truth:?}"));
                }
            }
        }
        Ok(())
    }

    /// Exactly what the log has after the cursor.
    fn changes(
        &self,
        store: &History,
        before: &Follower,
        cursor: Revision,
        events: &[KeyEvent],
    ) -> Result<(), String> {
        let last = events.last().map_or(cursor, |event| event.kv.mod_revision);
        let truth: Vec<_> = store
            .revisions(cursor, last)
            .flat_map(|at| store.touched(&before.keys, at).map(move |key| (at, key)))
            .collect();
        let said: Vec<_> = events.iter().map(|e| (e.kv.mod_revision, &e.kv.key)).collect();
        if said != truth {
            return Err(format!("tells {said:?} after @{cursor}; there was {truth:?}"));
        }
        for event in events {
            let (key, at) = (&event.kv.key, event.kv.mod_revision);
            let is = store.at(key, at).map(|version| version.value_hash);
            let says = (event.kind == EventKind::Put).then(|| hash(&event.kv.value));
            if is != says {
                return Err(format!("tells {event} @{at} not as it was"));
            }
            let earlier = Revision(at.0 - 1);
            let was = store.at(key, earlier).map(|v| (v.revision, v.value_hash));
            let says = event.prev.as_ref().map(|prev| (prev.mod_revision, hash(&prev.value)));
            let forgotten = says.is_none() && earlier < self.compacted;
            if was != says && !forgotten {
                return Err(format!("tells of {key} @{at} that it was {says:?}, not {was:?}"));
            }
        }
        Ok(())
    }
}

/// FO2.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    open: BTreeMap<Place, VecDeque<(FollowSeq, usize, usize)>>,
}

impl Check for Window {
    fn see(&mut self, facts: &Facts, entry: &Entry, report: &mut Report<'_>) {
        if let What::Wanted { run, command: Command::Acknowledge { id, seq } } = &entry.what
            && let Some(open) = self.open.get_mut(&(*run, *id))
        {
            open.retain(|(told, ..)| told > seq);
        }
        let Some((place, seq, what)) = told(entry) else { return };
        let (events, bytes) = size(what);
        let open = self.open.entry(place).or_default();
        open.push_back((seq, events, bytes));
        let held = open.iter().filter(|(_, events, _)| *events > 0);
        let (count, events, bytes) = held.fold((0, 0, 0), |(count, events, bytes), more| {
            (count + 1, events + more.1, bytes + more.2)
        });
        let tuning = &facts.setup.tuning;
        report.look();
        let fits = events <= tuning.follow_events as usize && bytes <= tuning.follow_bytes as usize;
        // What cannot be divided has the window to itself.
        report.expect(fits || count <= 1 && is_one(what), || {
            format!(
                "follower {} of {} holds {events} changes with {bytes} bytes for its reader",
                place.1.0, place.0
            )
        });
    }
}

/// Changes or records, and their bytes.
fn size(what: &Followed) -> (usize, usize) {
    let of = |kv: &KeyValue| kv.key.len() + kv.value.len();
    match what {
        Followed::Changes { events } => {
            let bytes =
                events.iter().map(|event| of(&event.kv) + event.prev.as_ref().map_or(0, of));
            (events.len(), bytes.sum())
        }
        Followed::Listed { records, .. } => (records.len(), records.iter().map(of).sum()),
        Followed::Begun { .. } | Followed::Lagged { .. } | Followed::Gap { .. } => (0, 0),
    }
}

/// Whether it is one revision, or one record.
fn is_one(what: &Followed) -> bool {
    match what {
        Followed::Changes { events } => {
            events.windows(2).all(|two| two[0].kv.mod_revision == two[1].kv.mod_revision)
        }
        Followed::Listed { records, .. } => records.len() <= 1,
        Followed::Begun { .. } | Followed::Lagged { .. } | Followed::Gap { .. } => true,
    }
}
