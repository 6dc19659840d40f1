//! Released servers that differ: what each of them shows, and what it does not show any more.
//!
//! Every row is put to every store; none is left out. A row says which releases are the old way,
//! and the store has to be just that: the model with the switches of its release, and real etcd.

use std::time::Duration;

use portolan_core::waist::{
    Compact, Op, Put, Range, Reply, Request, Revision, StoreError, Watch, WatchSay,
};
use portolan_memory::Quirks;

use super::client::{Client, always};
use super::store::{Happening, Setup, World};

/// A behaviour that was mended.
pub struct Row {
    pub what: &'static str,
    /// The first releases of 3.4, 3.5 that have it; 0: all from the beginning.
    since: [u64; 2],
    /// The first good releases of 3.4, 3.5, 3.6. `NEVER`: the whole line has it.
    mended: [u64; 3],
    /// The same for the model, where that is another: it has no crash within a request.
    model: Option<[u64; 3]>,
    setup: Setup,
    /// Whether this store does it.
    seen: fn(&mut Client<'_>) -> bool,
}

const NEVER: u64 = u64::MAX;

pub const ROWS: &[Row] = &[
    Row {
        what: "a delete exactly at the compaction is forgotten (C2)",
        since: [0, 0],
        mended: [34, 16, 0],
        model: None,
        setup: Setup::FRESH,
        seen: delete_at_compaction_is_forgotten,
    },
    Row {
        what: "a negative start is accepted (W4)",
        since: [0, 0],
        mended: [38, 24, 6],
        model: None,
        setup: Setup::FRESH,
        seen: negative_start,
    },
    Row {
        what: "progress is told of a watch before its start (W13)",
        since: [0, 0],
        mended: [38, 22, 2],
        model: None,
        setup: Setup::FRESH,
        seen: progress_before_the_start,
    },
    Row {
        what: "progress is told with a watch behind (W13)",
        since: [0, 0],
        mended: [25, 8, 0],
        model: None,
        setup: Setup::FRESH,
        seen: progress_with_a_watch_behind,
    },
    Row {
        what: "progress asked for with a watch behind is told after the next event, and not before",
        since: [25, 8],
        mended: [31, 13, 0],
        model: None,
        setup: Setup::FRESH,
        seen: progress_is_owed,
    },
    Row {
        what: "all puts of a transaction are checked before its reads (T7)",
        since: [0, 0],
        mended: [NEVER, NEVER, 0],
        model: None,
        setup: Setup::FRESH,
        seen: puts_are_checked_first,
    },
    // Up to 3.4.33 and 3.5.15 the first row has it, too.
    Row {
        what: "a compaction that a crash broke off forgets the delete exactly at it (C2)",
        since: [0, 0],
        mended: [36, 18, 0],
        model: Some([34, 16, 0]),
        setup: Setup::SLOW,
        seen: delete_is_forgotten_after_a_crash,
    },
];

/// What cannot be brought about from outside a process, and why.
pub const UNSEEN: &[(&str, &str)] = &[
    ("events delivered twice to a watch", "needs a stream whose 1024 places are full at a moment"),
    ("events lost after a compaction", "needs a stream whose 1024 places are full at a moment"),
    ("a watch goes back in time", "needs a member that takes a snapshot from the leader"),
    ("an old leader revokes leases", "needs a leader that is cut off and does not know it"),
    ("the revision falls after a crash", "needs a crash between two writes of one compaction"),
    ("a part of a transaction is applied", "needs a crash between two writes of one commit"),
    ("time to live fails or lies", "needs a question between an election and its end"),
    ("a renewal of a revoked lease succeeds", "needs a renewal between two steps of a revoke"),
    ("stale linearizable reads", "needs a leader held within a read, and a new one meanwhile"),
    // The model's switch for it, `overload_stops_expiry`, is put to the test by the model's own.
    ("revokes starve under overload", "needs a member 5000 entries behind with applying"),
    ("members diverge on reads at a revision", "needs members compacted at different moments"),
];

/// Every switch of the model has its row, or none that could be seen, and both mean the same
/// releases by it. A new switch does not compile here.
#[test]
fn every_switch_has_its_row() {
    for line in ["3.4", "3.5", "3.6", "3.7"] {
        for patch in 0..60 {
            let release = format!("{line}.{patch}");
            let Quirks {
                compaction_drops_delete,
                negative_start_accepted,
                progress_before_start,
                progress_out_of_step,
                progress_owed,
                puts_checked_first,
                overload_stops_expiry: _,
                // Row A3 and A4 hold the cases to these, in both directions.
                auth_gaps: _,
                lease_keys_told: _,
                // As row A5 does to this one.
                open_watch_unchecked: _,
                // What operators ask: `wire::operators` holds real releases to these.
                permissions_unchecked: _,
                hash_refused_raw: _,
            } = Quirks::of_version(&release).expect("it is a version");
            let switches = [
                compaction_drops_delete,
                negative_start_accepted,
                progress_before_start,
                progress_out_of_step,
                progress_owed,
                puts_checked_first,
                // Without a switch of its own: the crash is more than the model can do.
                compaction_drops_delete,
            ];
            let rows: Vec<_> = ROWS.iter().map(|row| row.is_of(&release, true)).collect();
            assert_eq!(rows, switches, "{release}");
        }
    }
}

impl Row {
    /// Whether `release` still has it, or the model as that release.
    fn is_of(&self, release: &str, is_model: bool) -> bool {
        let mended = self.model.filter(|_| is_model).unwrap_or(self.mended);
        let mut parts = release.split('.').map(|part| part.parse::<u64>().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        let (major, minor, patch) = (next(), next(), next());
        let line = match (major, minor) {
            (3, 4) => 0,
            (3, 5) => 1,
            (3, 6) => 2,
            _ => return false,
        };
        patch >= self.since.get(line).copied().unwrap_or(0) && patch < mended[line]
    }
}

/// Puts every row to a store, and says which ones it fails.
pub fn check(world: World) -> Vec<String> {
    let mut shared = world.store(Setup::FRESH);
    let mut failures = Vec::new();
    for (number, row) in ROWS.iter().enumerate() {
        let mut own;
        let store = if row.setup == Setup::FRESH {
            &mut shared
        } else {
            own = world.store(row.setup);
            &mut own
        };
        let expected = row.is_of(store.release(), matches!(world, World::Model(_)));
        let seen = (row.seen)(&mut Client::new(&mut **store, number));
        if seen != expected {
            failures.push(format!(
                "{}: {}: seen: {seen}, expected: {expected}",
                store.name(),
                row.what
            ));
        }
    }
    failures
}

fn delete_at_compaction_is_forgotten(client: &mut Client<'_>) -> bool {
    client.put("a", "1");
    let at = client.delete(client.one("a")).header.revision;
    let last = client.put("a", "2").header.revision;
    // Answered when it is done: until then the delete may still be there.
    let compact = Compact { revision: at, physical: true };
    let reply = client.ask(Request::Compact(compact));
    assert!(matches!(reply, Reply::Compact(_)), "{reply:?}");
    is_forgotten(client, at, last)
}

/// Whether a watch from `at` on does not tell what was done there, but what was at `last`.
fn is_forgotten(client: &mut Client<'_>, at: Revision, last: Revision) -> bool {
    let stream = client.watch_all(at);
    let mut told = Vec::new();
    while told.last() != Some(&last) {
        told.extend(client.told(stream).events.iter().map(|event| event.kv.mod_revision));
    }
    client.cancel(stream);
    !told.contains(&at)
}

fn delete_is_forgotten_after_a_crash(client: &mut Client<'_>) -> bool {
    // To be forgotten, 10 ms each: what was put is gone before the crash, its delete is still there.
    client.put("a", "1");
    for _ in 0..REVISIONS {
        client.put("old", "");
    }
    let at = client.delete(client.one("a")).header.revision;
    let last = client.put("a", "2").header.revision;
    // etcd writes to disk every tenth of a second: the crash is to find all of this there, and that
    // the compaction has begun.
    client.wait(Duration::from_millis(300));
    client.compact(at);
    client.wait(Duration::from_millis(300));
    client.happen(Happening::Restart);
    client.come_back();
    // It is taken up again, and nobody says when it ends.
    let until = client.now() + Duration::from_millis(REVISIONS * 50);
    loop {
        let forgotten = is_forgotten(client, at, last);
        if forgotten || client.now() > until {
            return forgotten;
        }
        client.wait(Duration::from_millis(500));
    }
}

/// How long a slow compaction lasts, in units of 10 ms and a little more.
const REVISIONS: u64 = 300;

/// Row W4, in either of its forms.
pub fn negative_start(client: &mut Client<'_>) -> bool {
    let stream = client.submit(Request::Watch(Watch::of(client.all(), Revision(-2))));
    let first = client.told(stream);
    assert!(first.created && first.events.is_empty(), "{first:?}");
    if first.canceled {
        assert_eq!(first.watch_id, -1);
        assert_eq!(first.cancel_reason, "etcdserver: mvcc: required revision has been compacted");
        return false;
    }
    // Taken as a start in the past, and ended like any that was compacted; on a store that never
    // was, this is said with −1.
    let end = client.told(stream);
    assert_eq!((end.watch_id, end.header.revision), (0, Revision::ZERO), "{end:?}");
    assert!(end.events.is_empty(), "{end:?}");
    true
}

fn progress_before_the_start(client: &mut Client<'_>) -> bool {
    let now = client.revision();
    let stream = client.watch(Watch::of(client.all(), Revision(now.0 + 10)));
    client.say(stream, WatchSay::Progress);
    client.answer_within(stream, A_WHILE).is_some()
}

fn progress_with_a_watch_behind(client: &mut Client<'_>) -> bool {
    let first = client.put("a", "1").header.revision;
    let now = client.put("a", "2").header.revision;
    client.compact(now);
    let stream = client.watch_all(Revision::ZERO);
    // Its start was compacted: ended, but behind until we cancel it ourselves (W3).
    let behind = Watch { id: 7, ..Watch::of(client.all(), first) };
    client.say(stream, WatchSay::Create(behind));
    assert!(client.told(stream).created);
    assert!(client.told(stream).canceled);
    client.say(stream, WatchSay::Progress);
    client.answer_within(stream, A_WHILE).is_some()
}

fn progress_is_owed(client: &mut Client<'_>) -> bool {
    let start = client.put("b", "1").header.revision;
    // Behind until it is served, a tenth of a second later at most, though there is nothing to tell.
    let watch = Watch::of(client.one("a"), start);
    let stream = client.submit(Request::Watch(watch));
    client.say(stream, WatchSay::Progress);
    assert!(client.told(stream).created);
    if client.answer_within(stream, A_WHILE).is_some() {
        return false;
    }
    client.say(stream, WatchSay::Progress);
    if client.answer_within(stream, A_WHILE).is_some() {
        return false;
    }
    client.put("a", "1");
    client.events(stream, 1);
    client.answer_within(stream, A_WHILE).is_some()
}

fn puts_are_checked_first(client: &mut Client<'_>) -> bool {
    let now = client.revision();
    let read = Range { revision: Revision(now.0 + 100), ..Range::of(client.one("a")) };
    let put = Put { lease: Some(client.never()), ..client.a_put("b", "1") };
    let txn = always([Op::Range(read), Op::Put(put)]);
    let error = client.failure(Request::Txn(txn));
    let known = [StoreError::LeaseNotFound, StoreError::FutureRevision];
    assert!(known.contains(&error), "{error:?}");
    error == StoreError::LeaseNotFound
}

/// Longer than anything takes that comes at all here; watches behind are served every 100 ms.
const A_WHILE: Duration = Duration::from_millis(500);
