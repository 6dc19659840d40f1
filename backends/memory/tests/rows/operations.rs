//! What operators ask: what is kept, and alarms.

use portolan_core::waist::{KeyRange, Request, Revision, StoreError};
use portolan_memory::{Config, Operation, Outcome, Quirks};

use crate::kit::{Bench, delete_op, put, put_op};

/// All that is kept up to a revision: each change as `key@revision.place`, a delete with a minus.
fn kept(bench: &mut Bench, at: i64) -> Result<String, StoreError> {
    let told = bench.operate(Operation::Kept { revision: Revision(at) })?;
    let Outcome::Kept { revision, compacted, changes } = told.outcome else {
        panic!("{:?}", told.outcome)
    };
    let asked = if at == 0 { told.header.revision } else { Revision(at) };
    assert_eq!(revision, asked);
    assert_eq!(compacted, bench.model.compacted().unwrap_or(Revision(-1)));
    let change = |(kv, place): &(portolan_core::waist::KeyValue, u32)| {
        let (key, at) = (String::from_utf8_lossy(&kv.key), kv.mod_revision.0);
        let sign = if kv.version == 0 { "-" } else { "" };
        format!("{sign}{key}@{at}.{place}")
    };
    Ok(changes.iter().map(change).collect::<Vec<_>>().join(" "))
}

/// Changes of each kind at revisions 2 to 8.
fn changed(drop_delete: bool) -> Bench {
    let quirks = Quirks { compaction_drops_delete: drop_delete, ..Quirks::default() };
    let mut bench = Bench::with(Config { quirks, ..Config::default() });
    bench.put("a", "");
    bench.put("a", "");
    bench.put("b", "");
    bench.delete(KeyRange::one("b"));
    bench.put("c", "");
    bench.txn(vec![], vec![put_op("e", ""), put_op("d", "")], vec![]);
    bench.delete(KeyRange::one("c"));
    bench
}

/// As `HashByRev` reads it (`server/storage/mvcc/kvstore.go`): of what is older than the compaction
/// only what a compaction at the revision asked for would leave.
#[test]
fn what_a_hash_is_made_of() {
    let mut bench = changed(false);
    let all = "a@2.0 a@3.0 b@4.0 -b@5.0 c@6.0 e@7.0 d@7.1 -c@8.0";
    assert_eq!(kept(&mut bench, 0).as_deref(), Ok(all));
    assert_eq!(kept(&mut bench, 8).as_deref(), Ok(all));
    assert_eq!(kept(&mut bench, 4).as_deref(), Ok("a@2.0 a@3.0 b@4.0"));
    assert_eq!(kept(&mut bench, 1).as_deref(), Ok(""));
    assert_eq!(kept(&mut bench, -1).as_deref(), Ok(""));
    assert_eq!(kept(&mut bench, 9), Err(StoreError::FutureRevision));

    bench.compact(5);
    assert_eq!(kept(&mut bench, -1).as_deref(), Ok(""));
    assert_eq!(kept(&mut bench, 4), Err(StoreError::Compacted));
    assert_eq!(kept(&mut bench, 5), Err(StoreError::Compacted));
    assert_eq!(kept(&mut bench, 6).as_deref(), Ok("a@3.0 c@6.0"));
    assert_eq!(kept(&mut bench, 7).as_deref(), Ok("a@3.0 c@6.0 e@7.0 d@7.1"));
    assert_eq!(kept(&mut bench, 8).as_deref(), Ok("a@3.0 c@6.0 e@7.0 d@7.1 -c@8.0"));
    // What a later one supersedes goes, as long as it is older than the compaction.
    bench.put("a", "");
    bench.compact(8);
    assert_eq!(kept(&mut bench, 9).as_deref(), Ok("e@7.0 d@7.1 a@9.0"));
    assert_eq!(kept(&mut bench, 0).as_deref(), Ok("e@7.0 d@7.1 a@9.0"));
}

/// Releases that forget a delete exactly at a compaction do not count one exactly there either.
#[test]
fn what_a_hash_is_made_of_where_deletes_are_dropped() {
    for (drop_delete, at_the_end) in [(false, "-b@5.0"), (true, "b@4.0 -b@5.0")] {
        let quirks = Quirks { compaction_drops_delete: drop_delete, ..Quirks::default() };
        let mut bench = Bench::with(Config { quirks, ..Config::default() });
        bench.put("a", "");
        bench.delete(KeyRange::one("a"));
        bench.put("b", "");
        bench.compact(4);
        bench.delete(KeyRange::one("b"));
        // Where nothing at all would be left, all counts.
        assert_eq!(kept(&mut bench, 5).as_deref(), Ok(at_the_end), "{drop_delete}");
        bench.txn(vec![], vec![put_op("c", ""), delete_op(KeyRange::one("b"))], vec![]);
        let with_c = "-b@5.0 c@6.0";
        assert_eq!(kept(&mut bench, 6).as_deref(), Ok(with_c), "{drop_delete}");
    }
}

#[test]
fn e2_an_alarm_is_raised_told_and_ended() {
    let mut bench = Bench::new();
    let member = bench.model.config().member_id;
    let mut told = |operation| {
        let outcome = bench.operate(operation).expect("an answer").outcome;
        let Outcome::Alarms(members) = outcome else { panic!("{outcome:?}") };
        members
    };
    let (raise, end) =
        (Operation::SetAlarm { member, on: true }, Operation::SetAlarm { member, on: false });
    assert_eq!(told(Operation::Alarms), [0; 0]);
    assert_eq!(told(end.clone()), [0; 0]);
    assert_eq!(told(raise.clone()), [member]);
    assert_eq!(told(Operation::Alarms), [member]);
    assert_eq!(bench.error(Request::Put(put("k", ""))), Some(StoreError::NoSpace));
    assert_eq!(bench.operate(end).map(|told| told.outcome), Ok(Outcome::Alarms(vec![member])));
    assert_eq!(bench.error(Request::Put(put("k", ""))), None);
}
