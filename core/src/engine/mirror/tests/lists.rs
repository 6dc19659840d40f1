//! Lists, page by page.

use insta::assert_snapshot;

use super::harness::*;
use crate::waist::{LeaseId, RangeReply, Reply, Revision, StoreError};

#[test]
fn lists_in_pages_of_one_revision_and_watches_from_there() {
    let mut h = Harness::open();
    h.reply(1, page(7, [kv("a", 3, 3), kv("b", 4, 5)], 3));
    h.reply(2, range(9, [kv("b", 4, 5), kv("c", 6, 6)]));
    h.reply(3, created(9)).reply(4, counted(9, 3, kv("c", 6, 6))).reply(5, status("3.5.30"));
    h.reply(3, events(10, [put(kv("b", 4, 10)), delete("c", 10)]));
    assert_snapshot!(h.trace(), @"
    0.000s < #1 m1 range shop limit=2
    0.000s > #1 range @7 a@3/3, b@4/5 of 3
    0.000s < #2 m1 range [b, shop0) at7 limit=3
    0.000s > #2 range @9 b@4/5, c@6/6
    0.000s < directory 1 0@7 live 3 records Listed: +a@3, +b@5, +c@6
    0.000s < #3 m1 watch shop from 7 progress fragment
    0.000s > #3 watch @9 created
    0.000s < #4 m1 range shop at7 limit=128 sort=Mod/Descending
    0.000s > #4 range @9 c@6/6 of 3
    0.000s < #5 m1 status
    0.000s > #5 status 3.5.30 @1
    0.000s > #3 watch @10 b@4/10, -c@10
    0.000s < directory 1 0@10 live 2 records Watched: ~b@10, -c@6
    ");
}

#[test]
fn a_compaction_between_two_pages_starts_over() {
    let mut h = Harness::open();
    h.reply(1, page(7, [kv("a", 3, 3), kv("b", 4, 5)], 3));
    h.fail(2, StoreError::Compacted).wait(ms(100));
    h.reply(3, range(12, [kv("a", 3, 3)]));
    assert_snapshot!(h.trace(), @"
    0.000s < #1 m1 range shop limit=2
    0.000s > #1 range @7 a@3/3, b@4/5 of 3
    0.000s < #2 m1 range [b, shop0) at7 limit=3
    0.000s > #2 failed: etcdserver: mvcc: required revision has been compacted
    0.100s < #3 m1 range shop limit=2
    0.100s > #3 range @12 a@3/3
    0.100s < directory 1 0@12 live 1 records Listed: +a@3
    0.100s < #4 m1 watch shop from 12 progress fragment
    ");
}

#[test]
fn a_page_that_cannot_be_starts_over() {
    let with = |change: fn(&mut RangeReply)| {
        let Reply::Range(mut reply) = range(9, [kv("b", 4, 5), kv("c", 6, 6)]) else {
            unreachable!("a range's answer")
        };
        change(&mut reply);
        Reply::Range(reply)
    };
    let cases = [
        ("as it should be", with(|_| {}), true),
        ("another cluster", with(|page| page.header.cluster_id += 1), false),
        ("another term", with(|page| page.header.raft_term += 1), false),
        ("an earlier revision", with(|page| page.header.revision = Revision(6)), false),
        ("a record changed since", with(|page| page.kvs[1].mod_revision = Revision(8)), false),
        ("a record of the page before", with(|page| page.kvs[1] = kv("a", 3, 3)), false),
        ("a record from elsewhere", with(|page| page.kvs[1].key = "z".into()), false),
        ("more, but nothing", with(|page| page.more = page.kvs.pop().is_some()), false),
        ("without the record before it", with(|page| drop(page.kvs.remove(0))), false),
        ("another one in its place", with(|page| page.kvs[0].lease = LeaseId::new(9)), false),
    ];
    for (what, second, fits) in cases {
        let mut h = Harness::open();
        h.reply(1, page(7, [kv("a", 3, 3), kv("b", 4, 5)], 3)).reply(2, second).wait(ms(100));
        let last = h.trace();
        let next = if fits { "watch shop from 7" } else { "range shop limit=2" };
        // Whoever answers for another cluster is not asked again.
        let member = if what == "another cluster" { "m0" } else { "m1" };
        assert!(last.contains(&format!("#3 {member} {next}")), "{what}: {last}");
    }
}

#[test]
fn a_lost_page_starts_over_and_a_large_one_is_made_smaller() {
    let mut h = Harness::open();
    h.reply(1, page(7, [kv("a", 3, 3), kv("b", 4, 5)], 3));
    h.fail(2, lost()).wait(ms(100));
    h.fail(3, StoreError::AnswerTooLarge { size: 5 << 20, limit: 4 << 20 }).wait(ms(200));
    h.reply(4, range(9, [kv("c", 6, 6)]));
    assert_snapshot!(h.trace(), @"
    0.000s < #1 m1 range shop limit=2
    0.000s > #1 range @7 a@3/3, b@4/5 of 3
    0.000s < #2 m1 range [b, shop0) at7 limit=3
    0.000s > #2 failed: connection lost: reset
    0.000s < m1 redial
    0.100s < #3 m0 range shop limit=2
    0.100s > #3 failed: answer of 5242880 bytes exceeds the decode limit of 4194304
    0.300s < #4 m0 range shop limit=1
    0.300s > #4 range @9 c@6/6
    0.300s < directory 1 0@9 live 1 records Listed: +c@6
    0.300s < #5 m0 watch shop from 9 progress fragment
    ");
}

#[test]
fn a_list_that_finds_nothing_new_is_no_step() {
    let mut h = Harness::followed();
    h.reply(2, compacted(8)).wait(ms(100));
    h.reply(5, range(40, [kv("a", 3, 3), kv("b", 4, 5)]));
    assert_snapshot!(h.trace(), @"
    0.000s > #2 watch @0 canceled compacted=8
    0.000s < #2 cancel
    0.000s < directory 1 0@7 stale since 0.000s 2 records
    0.100s < #5 m1 range shop limit=2
    0.100s > #5 range @40 a@3/3, b@4/5
    0.100s < #6 m1 watch shop from 40 progress fragment
    0.100s < directory 1 0@40 live 2 records
    ");
    assert_eq!(h.snapshot().revision.0, 40);
}
