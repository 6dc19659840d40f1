use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::engine::fingerprint::Fingerprint;
use crate::engine::stream;
use crate::waist::{
    EventKind, Key, KeyEvent, KeyRange, KeyValue, Op, OpReply, Range, RangeReply, Reply, Request,
    Revision, Txn,
};

/// What is known of a key range at the cursor, without a copy of it: enough to notice that a store
/// is another one, or that something was not told.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(super) struct Known {
    /// How many records there are.
    count: u64,
    /// The newest records: all that changed at `since` or later, and perhaps some more.
    some: BTreeMap<Key, Fingerprint>,
    since: Revision,
    /// How the newest record went, if nothing was put since.
    gone: Option<Gone>,
}

/// A deletion, to be found in the store's history as long as that is kept.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Gone {
    key: Key,
    at: Revision,
    was: Fingerprint,
}

/// That a key had this, or nothing, at a revision.
struct Fact<'a> {
    key: &'a Key,
    at: Revision,
    is: Option<Fingerprint>,
}

impl Known {
    /// Goes on by the changes of one whole revision.
    pub fn apply(&mut self, events: &[KeyEvent]) {
        for KeyEvent { kind, kv, prev } in events {
            match kind {
                EventKind::Put => {
                    if kv.create_revision == kv.mod_revision {
                        self.count = self.count.saturating_add(1);
                    }
                    self.gone = None;
                    self.put(kv);
                }
                EventKind::Delete => {
                    let newest = self.newest();
                    self.count = self.count.saturating_sub(1);
                    let was = self.some.remove(&kv.key);
                    if was.is_some_and(|was| Some(was.modified) == newest)
                        && self.newest() != newest
                    {
                        let gone = |prev| Gone {
                            key: kv.key.clone(),
                            at: kv.mod_revision,
                            was: Fingerprint::of(prev),
                        };
                        self.gone = prev.as_ref().map(gone).or(self.gone.take());
                    }
                }
            }
        }
    }

    /// One more record of a list.
    pub fn listed(&mut self, kv: &KeyValue) {
        self.count = self.count.saturating_add(1);
        self.put(kv);
    }

    /// Learns from an answer that fits.
    pub fn learn(&mut self, reply: &RangeReply) {
        self.count = u64::try_from(reply.count).unwrap_or_default();
        if !self.some.is_empty() {
            // Of the newest records more may be known than an answer shows.
            return;
        }
        self.since = complete_from(reply);
        for kv in &reply.kvs {
            self.some.insert(kv.key.clone(), Fingerprint::of(kv));
        }
    }

    /// What to ask of a store to see whether it is the one that is known; `range` reads the newest
    /// records.
    pub fn question(&self, range: Range, cursor: Revision) -> Request {
        let range = Range { revision: cursor, ..range };
        let mut then: Vec<_> = self.facts().iter().map(|fact| Op::Range(fact.read())).collect();
        if then.is_empty() {
            return Request::Range(range);
        }
        then.insert(0, Op::Range(range));
        Request::Txn(Txn { then, ..Txn::default() })
    }

    /// The answer to such a question: what its range shows; `None`: the store does not have what is
    /// known.
    pub fn answered(&self, answer: Reply) -> Option<RangeReply> {
        if let Reply::Range(range) = answer {
            return Some(range);
        }
        let Reply::Txn(reply) = answer else { return None };
        let mut answers = reply.responses.into_iter().filter_map(|answer| match answer {
            OpReply::Range(range) => Some(range),
            OpReply::Put(_) | OpReply::Delete(_) | OpReply::Txn(_) => None,
        });
        let range = answers.next()?;
        let facts = self.facts();
        let fit = facts.iter().filter(|fact| answers.next().is_some_and(|read| fact.fits(&read)));
        (fit.count() == facts.len()).then_some(range)
    }

    /// The history of a deletion may be compacted. True: there was one to ask for.
    pub fn forget_gone(&mut self) -> bool {
        self.gone.take().is_some()
    }

    /// Whether a range read at the cursor, with its newest records first, shows what is known.
    pub fn is_as(&self, reply: &RangeReply) -> bool {
        let from = complete_from(reply).max(self.since);
        let expected = self.some.values().filter(|known| known.modified >= from).count();
        let shown = reply.kvs.iter().filter(|kv| kv.mod_revision >= from).count();
        let same = |kv: &KeyValue| match self.some.get(&kv.key) {
            Some(known) => *known == Fingerprint::of(kv),
            None => kv.mod_revision < self.since,
        };
        self.is_as_new_as(reply) && shown == expected && reply.kvs.iter().all(same)
    }

    /// Whether a range read with its newest record first has as many records, and none that is
    /// newer.
    pub fn is_as_new_as(&self, reply: &RangeReply) -> bool {
        let newest = match (reply.kvs.first(), self.newest()) {
            (None, _) => reply.count == 0,
            (Some(kv), Some(newest)) => kv.mod_revision == newest,
            (Some(kv), None) => kv.mod_revision < self.since,
        };
        newest && u64::try_from(reply.count) == Ok(self.count)
    }

    /// Whether it is known which record is the newest.
    pub fn is_whole(&self) -> bool {
        self.count == 0 || !self.some.is_empty()
    }

    /// Whether it tells this store from any other, but for those that only a whole list would.
    pub fn is_enough(&self) -> bool {
        self.is_whole() || self.gone.is_some()
    }

    /// When the newest record changed, if that is known.
    fn newest(&self) -> Option<Revision> {
        self.some.values().map(|known| known.modified).max()
    }

    fn put(&mut self, kv: &KeyValue) {
        if kv.mod_revision < self.since {
            return;
        }
        self.some.insert(kv.key.clone(), Fingerprint::of(kv));
        if self.some.len() > 2 * KNOWN_NEWEST {
            self.prune();
        }
    }

    /// Forgets the older half.
    fn prune(&mut self) {
        let mut modified: Vec<_> = self.some.values().map(|known| known.modified).collect();
        modified.sort_unstable();
        let since = modified[modified.len() - KNOWN_NEWEST];
        // Of a revision that is larger than all that is kept, a part is kept.
        let (mut room, mut all) = (KNOWN_NEWEST, true);
        self.some.retain(|_, known| match known.modified.cmp(&since) {
            Ordering::Less => false,
            Ordering::Equal => {
                let keep = room > 0;
                all &= keep;
                room = room.saturating_sub(1);
                keep
            }
            Ordering::Greater => true,
        });
        self.since = if all { since } else { since.next() };
    }

    /// What count and newest records do not show.
    fn facts(&self) -> Vec<Fact<'_>> {
        let Some(Gone { key, at, was }) = &self.gone else { return Vec::new() };
        vec![
            Fact { key, at: Revision(at.0.saturating_sub(1)), is: Some(*was) },
            Fact { key, at: *at, is: None },
        ]
    }
}

impl Fact<'_> {
    fn read(&self) -> Range {
        Range { revision: self.at, ..Range::of(KeyRange::one(self.key.clone())) }
    }

    fn fits(&self, reply: &RangeReply) -> bool {
        reply.kvs.first().map(Fingerprint::of) == self.is
    }
}

/// How many records are kept; up to twice as many before older ones are forgotten.
const KNOWN_NEWEST: usize = stream::KNOWN_NEWEST as usize;

/// From where on an answer with the newest records first shows all of them: of the last revision in
/// it there may be more.
fn complete_from(reply: &RangeReply) -> Revision {
    match reply.kvs.last() {
        Some(kv) if reply.more => kv.mod_revision.next(),
        _ => Revision::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waist::{Header, LeaseId};

    fn kv(key: &str, mod_revision: i64) -> KeyValue {
        let mod_revision = Revision(mod_revision);
        KeyValue { key: key.into(), mod_revision, ..KeyValue::default() }
    }

    /// The newest two of `count` records.
    fn newest(count: i64, kvs: &[KeyValue]) -> RangeReply {
        let more = count > 2;
        RangeReply { header: Header::default(), kvs: kvs.to_vec(), more, count }
    }

    fn asks(known: &Known) -> usize {
        let question = known.question(Range::of(KeyRange::prefix("k")), Revision(9));
        if let Request::Txn(txn) = question { txn.then.len() } else { 1 }
    }

    #[test]
    fn what_was_read_is_as_it_was_read() {
        let cases = [
            ("none", newest(0, &[])),
            ("one", newest(1, &[kv("k1", 7)])),
            ("two of one revision", newest(2, &[kv("k1", 7), kv("k2", 7)])),
            ("the newest came alone", newest(3, &[kv("k1", 7), kv("k2", 6)])),
            ("two, and perhaps more", newest(3, &[kv("k1", 7), kv("k2", 7)])),
        ];
        for (what, reply) in cases {
            let mut known = Known::default();
            known.learn(&reply);
            assert!(known.is_as(&reply), "{what}");
            assert_eq!(asks(&known), 1, "{what}");
        }
    }

    /// Each of these has as many records, and none that is newer.
    #[test]
    fn what_is_known_of_older_records_tells_stores_apart() {
        let listed = [kv("k1", 5), kv("k2", 6), kv("k3", 7)];
        let mut known = Known::default();
        listed.iter().for_each(|kv| known.listed(kv));
        let with = |change: fn(&mut Vec<KeyValue>)| {
            let mut kvs = listed.iter().rev().cloned().collect();
            change(&mut kvs);
            RangeReply { more: false, ..newest(3, &kvs) }
        };
        let cases = [
            ("the same", with(|_| {}), true),
            ("only the newest two are shown", newest(3, &[kv("k3", 7), kv("k2", 6)]), true),
            ("on another lease", with(|kvs| kvs[1].lease = LeaseId::new(5)), false),
            ("with another value", with(|kvs| kvs[1].value = "v".into()), false),
            ("created otherwise", with(|kvs| kvs[1].create_revision = Revision(2)), false),
            ("in another version", with(|kvs| kvs[1].version = 2), false),
            ("at another revision", with(|kvs| kvs[2].mod_revision = Revision(4)), false),
            ("of another name", with(|kvs| kvs[2].key = "k0".into()), false),
        ];
        for (what, reply, same) in cases {
            assert!(known.is_as_new_as(&reply), "{what}");
            assert_eq!(known.is_as(&reply), same, "{what}");
        }
    }

    /// However many there are, and whether or not one revision has all of them.
    #[test]
    fn of_many_records_the_newest_are_kept() {
        let count = 5 * KNOWN_NEWEST;
        let int = |n| i64::try_from(n).expect("few");
        for per_revision in [1, 3, 100, 200, 10_000] {
            let kvs: Vec<_> =
                (0..count).map(|n| kv(&format!("k{n:05}"), 1 + int(n / per_revision))).collect();
            let mut known = Known::default();
            kvs.iter().for_each(|kv| known.listed(kv));
            assert!((1..=2 * KNOWN_NEWEST).contains(&known.some.len()), "{per_revision}");
            let mut answer: Vec<_> = kvs.clone();
            answer.sort_by_key(|kv| std::cmp::Reverse(kv.mod_revision));
            answer.truncate(KNOWN_NEWEST);
            let reply = |kvs: &[KeyValue]| RangeReply { more: true, ..newest(int(count), kvs) };
            assert!(known.is_as(&reply(&answer)), "{per_revision}");
            if per_revision < KNOWN_NEWEST {
                answer[5].value = "v".into();
                assert!(!known.is_as(&reply(&answer)), "{per_revision}");
                answer.remove(5);
                assert!(!known.is_as(&reply(&answer)), "{per_revision}");
            }
        }
    }

    /// Of the revision from which on all is known nobody else may be.
    #[test]
    fn a_stranger_among_the_newest_is_noticed() {
        let cases = [
            (
                "more than was read",
                newest(3, &[kv("k1", 7), kv("k2", 6)]),
                [kv("k9", 7), kv("k2", 6)],
            ),
            (
                "no more than was read",
                newest(2, &[kv("k1", 7), kv("k2", 6)]),
                [kv("k1", 7), kv("k9", 6)],
            ),
        ];
        for (what, read, other) in cases {
            let mut known = Known::default();
            known.learn(&read);
            assert!(!known.is_as(&newest(read.count, &other)), "there is {what}");
        }
    }

    #[test]
    fn older_ones_are_forgotten_once_there_are_twice_as_many() {
        let listed = |count: usize, at: fn(usize) -> i64| {
            let mut known = Known::default();
            (0..count).for_each(|n| known.listed(&kv(&format!("k{n:05}"), at(n))));
            known
        };
        let one_each = |n| 1 + i64::try_from(n).expect("few");
        for (count, kept) in
            [(2 * KNOWN_NEWEST, 2 * KNOWN_NEWEST), (2 * KNOWN_NEWEST + 1, KNOWN_NEWEST)]
        {
            assert_eq!(listed(count, one_each).some.len(), kept, "{count}");
        }
        // All of one revision: no answer shows all of it, and any part of it will do.
        let count = 2 * KNOWN_NEWEST + 1;
        let known = listed(count, |_| 7);
        assert_eq!(known.some.len(), KNOWN_NEWEST);
        let of = |n: usize| kv(&format!("k{n:05}"), 7);
        let last: Vec<_> = (count - KNOWN_NEWEST..count).map(of).collect();
        let count = i64::try_from(count).expect("few");
        assert!(known.is_as(&RangeReply { more: true, ..newest(count, &last) }));
    }

    #[test]
    fn what_is_known_of_the_newest_is_not_forgotten_for_an_answer_that_shows_less() {
        let mut known = Known::default();
        ["k1", "k2", "k3"].iter().for_each(|key| known.listed(&kv(key, 7)));
        known.learn(&newest(3, &[kv("k1", 7), kv("k2", 7)]));
        assert_eq!(asks(&known), 1);
        let other = newest(3, &[kv("k4", 7), kv("k2", 7)]);
        assert!(!known.is_as(&other));
    }

    fn deleted(kv: &KeyValue, at: i64) -> KeyEvent {
        let gone = KeyValue { mod_revision: Revision(at), value: "".into(), ..kv.clone() };
        KeyEvent { kind: EventKind::Delete, kv: gone, prev: Some(kv.clone()) }
    }

    /// An empty range has nothing else that tells it from any other.
    #[test]
    fn the_deletion_of_the_newest_is_asked_for_until_another_one_comes() {
        let mut known = Known::default();
        ["k0", "k1"].iter().zip([6, 7]).for_each(|(key, at)| known.listed(&kv(key, at)));
        known.apply(&[deleted(&kv("k1", 7), 8)]);
        assert_eq!(asks(&known), 3);
        let untold = KeyEvent { prev: None, ..deleted(&kv("k0", 6), 9) };
        known.apply(&[untold]);
        assert_eq!(asks(&known), 3, "an older one went, and what was before is compacted");
        known.learn(&newest(0, &[]));
        assert_eq!(asks(&known), 3, "learning that there is nothing changes nothing");
        let put = |kv| KeyEvent { kind: EventKind::Put, kv, prev: None };
        known.apply(&[put(kv("k2", 10)), put(kv("k3", 11))]);
        assert_eq!(asks(&known), 1, "there is another newest one");
        known.apply(&[deleted(&kv("k2", 10), 12)]);
        assert_eq!(asks(&known), 1, "an older one went");
        known.apply(&[put(kv("k4", 13)), put(kv("k5", 13)), deleted(&kv("k5", 13), 14)]);
        assert_eq!(asks(&known), 1, "another one is as new as it was");
    }

    /// After the newest went, whatever is left is older, if all of the newest were known.
    #[test]
    fn a_record_as_new_as_what_was_deleted_was_not_there() {
        let cases = [(false, 6, true), (false, 7, false), (true, 7, true), (true, 8, false)];
        for (more_of_it, at, fits) in cases {
            let mut known = Known::default();
            let more = if more_of_it { 7 } else { 6 };
            known.learn(&newest(3, &[kv("k1", 7), kv("k2", more)]));
            known.apply(&[deleted(&kv("k1", 7), 8)]);
            if more_of_it {
                known.apply(&[deleted(&kv("k2", 7), 9)]);
            }
            let count = if more_of_it { 1 } else { 2 };
            let left = newest(count, &[kv("k3", at)]);
            assert_eq!(known.is_as_new_as(&left), fits, "{more_of_it} {at}");
        }
    }
}
