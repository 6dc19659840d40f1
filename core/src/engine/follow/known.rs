use crate::engine::stream::newest;
use crate::rng::hash;
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
    /// No record changed later than this.
    newest: Revision,
    /// Records that changed just then, with hashes of their values. Empty after they were deleted:
    /// the newest is an older one then, and which is not known until the store is asked again.
    some: Vec<(Key, u64)>,
    /// Whether those are, or were, all that changed just then.
    all: bool,
    /// How the newest record went, if none came since.
    gone: Option<Gone>,
}

/// A deletion, to be found in the store's history as long as that is kept.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Gone {
    key: Key,
    at: Revision,
    was: Version,
}

/// One state of a record: when it came about, and a hash of its value.
type Version = (Revision, u64);

/// That a key had this, or nothing, at a revision.
struct Fact<'a> {
    key: &'a Key,
    at: Revision,
    is: Option<Version>,
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
                    self.count = self.count.saturating_sub(1);
                    let before = self.some.len();
                    self.some.retain(|(key, _)| *key != kv.key);
                    if self.some.is_empty() && before > 0 {
                        let gone = |prev| Gone {
                            key: kv.key.clone(),
                            at: kv.mod_revision,
                            was: version(prev),
                        };
                        self.gone = prev.as_ref().map(gone);
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
            // Of the newest revision more may be known than an answer shows.
            return;
        }
        self.newest = Revision::ZERO;
        for kv in &reply.kvs {
            self.put(kv);
        }
        // One that is older says that there are no more.
        self.all = reply.kvs.len() > self.some.len() || !reply.more;
    }

    /// What to ask of a store to see whether it is the one that is known.
    pub fn question(&self, keys: &KeyRange, cursor: Revision) -> Request {
        let range = Range { revision: cursor, ..newest_two(keys) };
        let mut then: Vec<_> =
            self.facts(cursor).iter().map(|fact| Op::Range(fact.read())).collect();
        if then.is_empty() {
            return Request::Range(range);
        }
        then.insert(0, Op::Range(range));
        Request::Txn(Txn { then, ..Txn::default() })
    }

    /// The answer to such a question: what its range shows; `None`: the store does not have what is
    /// known.
    pub fn answered(&self, answer: Reply, cursor: Revision) -> Option<RangeReply> {
        if let Reply::Range(range) = answer {
            return Some(range);
        }
        let Reply::Txn(reply) = answer else { return None };
        let mut answers = reply.responses.into_iter().filter_map(|answer| match answer {
            OpReply::Range(range) => Some(range),
            OpReply::Put(_) | OpReply::Delete(_) | OpReply::Txn(_) => None,
        });
        let range = answers.next()?;
        let facts = self.facts(cursor);
        let fit = facts.iter().filter(|fact| answers.next().is_some_and(|read| fact.fits(&read)));
        (fit.count() == facts.len()).then_some(range)
    }

    /// The history of a deletion may be compacted. True: there was one to ask for.
    pub fn forget_gone(&mut self) -> bool {
        self.gone.take().is_some()
    }

    /// Whether a range read at the cursor, with its newest records first, shows what is known.
    pub fn is_as(&self, reply: &RangeReply) -> bool {
        self.is_as_new_as(reply)
            && reply.kvs.iter().filter(|kv| kv.mod_revision == self.newest).all(|kv| {
                let known = self.some.iter().find(|(key, _)| *key == kv.key);
                known.map_or(!self.all, |(_, value_hash)| *value_hash == hash(&kv.value))
            })
    }

    /// Whether a range read with its newest record first has as many records, and none that is
    /// newer.
    pub fn is_as_new_as(&self, reply: &RangeReply) -> bool {
        let newest = match reply.kvs.first() {
            None => reply.count == 0,
            Some(kv) if !self.some.is_empty() => kv.mod_revision == self.newest,
            Some(kv) if self.all => kv.mod_revision < self.newest,
            Some(kv) => kv.mod_revision <= self.newest,
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

    fn put(&mut self, kv: &KeyValue) {
        if kv.mod_revision < self.newest {
            return;
        }
        if kv.mod_revision > self.newest {
            self.newest = kv.mod_revision;
            self.some.clear();
            self.all = true;
        }
        self.some.push((kv.key.clone(), hash(&kv.value)));
    }

    /// What count and newest records do not show.
    fn facts(&self, cursor: Revision) -> Vec<Fact<'_>> {
        let mut facts = Vec::new();
        if let (false, Some((key, value_hash))) = (self.all, self.some.first()) {
            facts.push(Fact { key, at: cursor, is: Some((self.newest, *value_hash)) });
        }
        if let Some(Gone { key, at, was }) = &self.gone {
            facts.push(Fact { key, at: Revision(at.0.saturating_sub(1)), is: Some(*was) });
            facts.push(Fact { key, at: *at, is: None });
        }
        facts
    }
}

impl Fact<'_> {
    fn read(&self) -> Range {
        Range { revision: self.at, ..Range::of(KeyRange::one(self.key.clone())) }
    }

    fn fits(&self, reply: &RangeReply) -> bool {
        reply.kvs.first().map(version) == self.is
    }
}

fn version(kv: &KeyValue) -> Version {
    (kv.mod_revision, hash(&kv.value))
}

/// A read of the newest record, and of the next one, which says whether it came alone.
pub(super) fn newest_two(keys: &KeyRange) -> Range {
    Range { limit: 2, ..newest(keys) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waist::Header;

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
        let question = known.question(&KeyRange::prefix("k"), Revision(9));
        if let Request::Txn(txn) = question { txn.then.len() } else { 1 }
    }

    /// Of the newest records only those that nothing tells apart by number cost a question more.
    #[test]
    fn what_was_read_is_asked_for_again_only_where_it_may_be_one_of_many() {
        let cases = [
            ("none", newest(0, &[]), 1),
            ("one", newest(1, &[kv("k1", 7)]), 1),
            ("two of one revision", newest(2, &[kv("k1", 7), kv("k2", 7)]), 1),
            ("the newest came alone", newest(3, &[kv("k1", 7), kv("k2", 6)]), 1),
            ("two, and perhaps more", newest(3, &[kv("k1", 7), kv("k2", 7)]), 2),
        ];
        for (what, reply, questions) in cases {
            let mut known = Known::default();
            known.learn(&reply);
            assert!(known.is_as(&reply), "{what}");
            assert_eq!(asks(&known), questions, "{what}");
        }
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
    }

    /// After the newest went, whatever is left is older, if all of the newest were known.
    #[test]
    fn a_record_as_new_as_what_was_deleted_was_not_there() {
        for (more_of_it, at, fits) in [(false, 6, true), (false, 7, false), (true, 7, true)] {
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
