//! Pages of a list: where the next one begins, what cannot be one, and how large it may be.
//!
//! Between two pages the store may become another one, and nothing in their headers shows it where
//! that has come to the list's revision again: a wiped store keeps its cluster id and begins with
//! the same term (row R8 of `docs/etcd.md`). So each later page begins with the record that the one
//! before ended with, and has to have it just as it was.

use super::fingerprint::Fingerprint;
use crate::waist::{Header, Key, KeyRange, KeyValue, Range, RangeReply, Revision};

/// A list under way, as far as its pages go: all of one revision, one after the other.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(crate) struct Pages {
    /// The first page's header. Its revision is the list's: the later pages are read at it.
    head: Option<Header>,
    /// The last record that came.
    last: Option<(Key, Fingerprint)>,
}

/// A page that cannot be.
pub(crate) struct Garbled;

impl Pages {
    pub fn head(&self) -> Option<Header> {
        self.head
    }

    pub fn revision(&self) -> Revision {
        self.head.map_or(Revision::ZERO, |head| head.revision)
    }

    /// What to read next; its limit is what comes on top of a page's.
    pub fn next(&self, keys: &KeyRange) -> Range {
        let keys = match &self.last {
            Some((last, _)) => KeyRange { key: last.clone(), end: keys.end.clone() },
            None => keys.clone(),
        };
        let limit = i64::from(self.last.is_some());
        Range { revision: self.revision(), limit, ..Range::of(keys) }
    }

    /// Takes the page that was read: the records that are new.
    pub fn take<'a>(
        &mut self,
        keys: &KeyRange,
        page: &'a RangeReply,
    ) -> Result<&'a [KeyValue], Garbled> {
        let head = *self.head.get_or_insert(page.header);
        // Pages of two stores must not be mixed. A new leader changes the term too, but seldom.
        let strayed = page.header.cluster_id != head.cluster_id
            || page.header.raft_term != head.raft_term
            || page.header.revision < head.revision
            || head.revision <= Revision::ZERO;
        let new = match (&self.last, page.kvs.split_first()) {
            (None, _) => &page.kvs[..],
            (Some(last), Some((first, new))) if record(first) == *last => new,
            (Some(_), _) => return Err(Garbled),
        };
        let last = self.last.as_ref().map(|(key, _)| key);
        if strayed || !continues(keys, last, head.revision, new, page.more) {
            return Err(Garbled);
        }
        if let Some(kv) = new.last() {
            self.last = Some(record(kv));
        }
        Ok(new)
    }
}

fn record(kv: &KeyValue) -> (Key, Fingerprint) {
    (kv.key.clone(), Fingerprint::of(kv))
}

/// What there is of `keys` after `last`.
pub(crate) fn rest(keys: &KeyRange, last: Option<&Key>) -> KeyRange {
    match last {
        Some(last) => KeyRange { key: successor(last), end: keys.end.clone() },
        None => keys.clone(),
    }
}

/// Whether these may come after `last` in a list of `keys` at a revision, with `more` after them.
pub(crate) fn continues(
    keys: &KeyRange,
    last: Option<&Key>,
    at: Revision,
    kvs: &[KeyValue],
    more: bool,
) -> bool {
    // More of nothing would never end.
    let ends = !more || !kvs.is_empty();
    let ascends = last.into_iter().chain(kvs.iter().map(|kv| &kv.key)).is_sorted_by(|a, b| a < b);
    let belongs = kvs.iter().all(|kv| keys.contains(&kv.key) && kv.mod_revision <= at);
    ends && ascends && belongs
}

/// The first key after `key`.
fn successor(key: &Key) -> Key {
    let mut bytes = Vec::with_capacity(key.len() + 1);
    bytes.extend_from_slice(key);
    bytes.push(0);
    bytes.into()
}

/// A page that should fit when one of `page` records made an answer of `size` bytes: half, or less
/// if the sizes say so; at least one record.
pub(crate) fn smaller(page: u32, size: u64, limit: u64) -> u32 {
    let fitting = u128::from(page) * u128::from(limit) / u128::from(size.max(1));
    let fitting = u32::try_from(fitting).unwrap_or(u32::MAX);
    fitting.min(page / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waist::{KeyValue, LeaseId};

    fn page(keys: &[&str]) -> RangeReply {
        let header = Header { cluster_id: 1, member_id: 1, revision: Revision(7), raft_term: 3 };
        let kv = |key: &&str| KeyValue {
            key: Key::from(*key),
            mod_revision: Revision(7),
            ..KeyValue::default()
        };
        RangeReply { header, kvs: keys.iter().map(kv).collect(), more: false, count: 0 }
    }

    #[test]
    fn a_page_is_taken_only_where_it_belongs() {
        let keys = KeyRange::prefix("k");
        let (none, next) = (page(&["k2"]), page(&["k2", "k3", "k4"]));
        let with = |change: fn(&mut RangeReply)| {
            let mut page = next.clone();
            change(&mut page);
            page
        };
        let cases = [
            ("the next", next.clone(), true),
            ("with more", with(|page| page.more = true), true),
            ("nothing more", none.clone(), true),
            ("not even the last one", page(&[]), false),
            ("without the last one", page(&["k3", "k4"]), false),
            ("the last one changed", with(|page| page.kvs[0].mod_revision = Revision(6)), false),
            ("created otherwise", with(|page| page.kvs[0].create_revision = Revision(6)), false),
            ("in another version", with(|page| page.kvs[0].version = 2), false),
            ("on a lease", with(|page| page.kvs[0].lease = LeaseId::new(5)), false),
            ("with another value", with(|page| page.kvs[0].value = "v".into()), false),
            ("more of nothing", RangeReply { more: true, ..none }, false),
            ("of a later revision", with(|page| page.header.revision = Revision(9)), true),
            ("of an earlier revision", with(|page| page.header.revision = Revision(6)), false),
            ("of another cluster", with(|page| page.header.cluster_id = 2), false),
            ("of another term", with(|page| page.header.raft_term = 4), false),
            ("of another member", with(|page| page.header.member_id = 2), true),
            ("changed since", with(|page| page.kvs[2].mod_revision = Revision(8)), false),
            ("the last one twice", page(&["k2", "k2", "k3"]), false),
            ("one before it", page(&["k2", "k1", "k3"]), false),
            ("a key twice", page(&["k2", "k3", "k3"]), false),
            ("in disorder", page(&["k2", "k4", "k3"]), false),
            ("from elsewhere", page(&["k2", "k3", "l"]), false),
        ];
        for (what, second, fits) in cases {
            let mut pages = Pages::default();
            assert!(pages.take(&keys, &page(&["k1", "k2"])).is_ok());
            let left = KeyRange { key: "k2".into(), end: keys.end.clone() };
            let next = Range { revision: Revision(7), limit: 1, ..Range::of(left) };
            assert_eq!(pages.next(&keys), next);
            let taken = pages.take(&keys, &second).ok();
            assert_eq!(taken, fits.then(|| &second.kvs[1..]), "{what}");
        }
    }

    /// The later pages would be read at no revision.
    #[test]
    fn a_list_without_a_revision_is_not_begun() {
        let mut first = page(&["k1"]);
        first.header.revision = Revision::ZERO;
        assert!(Pages::default().take(&KeyRange::prefix("k"), &first).is_err());
    }

    #[test]
    fn what_is_left_begins_right_after_the_last_key() {
        let keys = KeyRange::prefix("k");
        let last = Key::from("k2");
        let left = rest(&keys, Some(&last));
        assert!(!left.contains(&last) && left.contains(b"k2\0"));
        assert_eq!(left.end, keys.end);
    }

    #[test]
    fn a_page_shrinks_by_half_or_by_what_the_sizes_say() {
        let cases = [
            ((8_192, 5 << 20, 4 << 20), 4_096),
            ((8_192, 64 << 20, 4 << 20), 512),
            ((100, 0, 4), 50),
            ((3, 9, 4), 1),
            ((1, 9, 4), 1),
            ((u32::MAX, 1, u64::MAX), u32::MAX / 2),
        ];
        for ((page, size, limit), smaller_page) in cases {
            assert_eq!(smaller(page, size, limit), smaller_page, "{page} {size} {limit}");
        }
    }
}
