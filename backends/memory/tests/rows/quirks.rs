//! How released servers differ, in both directions: with the switch and without.

use portolan_core::waist::{
    KeyRange, LeaseId, Op, Put, Range, Request, Revision, StoreError, Txn, Watch, WatchSay,
};
use portolan_memory::{Config, Fault, Quirks};

use crate::kit::{Bench, put};

fn bench(quirks: Quirks) -> Bench {
    Bench::with(Config { quirks, ..Config::default() })
}

fn of(key: &str, start: i64) -> Watch {
    Watch::of(KeyRange::one(key), Revision(start))
}

/// Both ways: off, then on.
fn both_ways(set: impl Fn(&mut Quirks)) -> [(bool, Quirks); 2] {
    let mut on = Quirks::default();
    set(&mut on);
    [(false, Quirks::default()), (true, on)]
}

#[test]
fn which_release_has_which() {
    let named = |version: &str| {
        let quirks = Quirks::of_version(version).expect("a version");
        [
            (quirks.compaction_drops_delete, "compaction_drops_delete"),
            (quirks.negative_start_accepted, "negative_start_accepted"),
            (quirks.progress_before_start, "progress_before_start"),
            (quirks.progress_out_of_step, "progress_out_of_step"),
            (quirks.progress_owed, "progress_owed"),
            (quirks.puts_checked_first, "puts_checked_first"),
            (quirks.overload_stops_expiry, "overload_stops_expiry"),
        ]
        .into_iter()
        .filter_map(|(set, name)| set.then_some(name))
        .collect::<Vec<_>>()
        .join(" ")
    };
    let always = "puts_checked_first overload_stops_expiry";
    let watch = "negative_start_accepted progress_before_start";
    let drops = "compaction_drops_delete";
    let cases = [
        ("2.9.9", format!("{drops} {watch} progress_out_of_step {always}")),
        ("3.3.27", format!("{drops} {watch} progress_out_of_step {always}")),
        ("3.4.23", format!("{drops} {watch} progress_out_of_step {always}")),
        ("3.4.25", format!("{drops} {watch} progress_owed {always}")),
        ("3.4.31", format!("{drops} {watch} {always}")),
        ("3.4.38", always.to_owned()),
        ("3.5.12", format!("{drops} {watch} progress_owed {always}")),
        ("3.5.16", format!("{watch} {always}")),
        ("3.5.22", format!("negative_start_accepted {always}")),
        ("3.5.30", always.to_owned()),
        ("3.6.1", format!("{watch} overload_stops_expiry")),
        ("3.6.6", "overload_stops_expiry".to_owned()),
        ("3.7.0", String::new()),
        ("3.10.0", String::new()),
        ("4.0.0", String::new()),
        ("4.3.0", String::new()),
    ];
    for (version, expected) in cases {
        assert_eq!(named(version), expected, "{version}");
    }
    assert_eq!(Quirks::of_version("3.5"), None);
    let config = Config::of_version("3.4.23").expect("a version");
    assert_eq!(config.quirks, Quirks::of_version("3.4.23").expect("a version"));
    assert_eq!(config.version, "3.4.23");
    assert_eq!(Config::of_version("3.5"), None);
}

#[test]
fn a_delete_at_the_compaction() {
    for (on, quirks) in both_ways(|quirks| quirks.compaction_drops_delete = true) {
        let mut bench = bench(quirks);
        bench.put("k", "");
        bench.put("l", "");
        bench.delete(KeyRange::one("k"));
        bench.put("k", "");
        bench.delete(KeyRange::one("l"));
        bench.compact(4);
        let mut told = |start| {
            let stream = bench.watch(Watch::of(KeyRange::all(), Revision(start)));
            bench.wait_ms(100);
            bench
                .heard_events(stream)
                .iter()
                .map(|event| event.kv.mod_revision.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(told(4), if on { vec![5, 6] } else { vec![4, 5, 6] });
        assert_eq!(bench.compact(6), None);
        let stream = bench.watch(Watch::of(KeyRange::all(), Revision(6)));
        bench.wait_ms(100);
        assert_eq!(bench.heard_events(stream).len(), usize::from(!on));
    }
}

#[test]
fn a_negative_start() {
    for (on, quirks) in both_ways(|quirks| quirks.negative_start_accepted = true) {
        let mut bench = bench(quirks);
        bench.put("k", "");
        let mut told = |start: i64| {
            let stream = bench.watch(of("k", start));
            bench.wait_ms(100);
            let heard: Vec<_> = bench
                .heard(stream)
                .iter()
                .map(|reply| {
                    (
                        reply.watch_id,
                        reply.header.revision.0,
                        reply.canceled,
                        reply.compact_revision.0,
                    )
                })
                .collect();
            assert!(bench.compact(0).is_none() || start < -1, "only once");
            heard
        };
        // Never compacted: −1 is the compacted revision itself, and finds nothing.
        let refused = vec![(-1, 2, true, 0)];
        assert_eq!(told(-1), if on { vec![(0, 2, false, 0)] } else { refused.clone() });
        // Compacted at 0: an answer without events, with revision 0, that does not say it is over.
        assert_eq!(told(-2), if on { vec![(0, 2, false, 0), (0, 0, false, 0)] } else { refused });
    }
    let quirks = Quirks { negative_start_accepted: true, ..Quirks::default() };
    let mut bench = bench(quirks);
    let stream = bench.watch(of("k", -2));
    bench.wait_ms(100);
    let last = bench.heard(stream).pop().expect("two answers");
    assert!(last.canceled && last.compact_revision == Revision(-1));
}

#[test]
fn progress_of_a_watch_whose_start_has_not_come() {
    for (on, quirks) in both_ways(|quirks| quirks.progress_before_start = true) {
        let mut bench = bench(quirks);
        let stream = bench.watch(Watch { progress: true, ..of("k", 9) });
        bench.heard(stream);
        bench.say(stream, WatchSay::Progress);
        assert_eq!(bench.heard(stream).len(), usize::from(on));
        bench.wait_ms(660_000);
        assert_eq!(bench.heard(stream).len(), usize::from(on));
    }
}

#[test]
fn progress_out_of_step() {
    for (on, quirks) in both_ways(|quirks| quirks.progress_out_of_step = true) {
        let mut bench = bench(quirks);
        bench.put("k", "");
        let stream = bench.watch(of("k", 1));
        bench.heard(stream);
        bench.say(stream, WatchSay::Progress);
        let heard = bench.heard(stream);
        assert_eq!(heard.len(), usize::from(on));
        assert!(heard.iter().all(|reply| reply.header.revision.0 == 2), "a lie: 2 is yet to come");
    }
}

#[test]
fn progress_that_is_owed() {
    for (on, quirks) in both_ways(|quirks| quirks.progress_owed = true) {
        let mut bench = bench(quirks);
        bench.put("other", "");
        let stream = bench.watch(of("k", 1));
        bench.say(stream, WatchSay::Progress);
        bench.wait_ms(100);
        bench.heard(stream);
        // In step by now, but no event has come.
        bench.say(stream, WatchSay::Progress);
        assert_eq!(bench.heard(stream).len(), usize::from(!on));
        bench.put("k", "");
        let ids: Vec<_> = bench.heard(stream).iter().map(|reply| reply.watch_id).collect();
        assert_eq!(ids, if on { vec![0, -1] } else { vec![0] });
        bench.say(stream, WatchSay::Progress);
        assert_eq!(bench.heard(stream).len(), 1);
    }
}

#[test]
fn puts_checked_before_ranges() {
    for (on, quirks) in both_ways(|quirks| quirks.puts_checked_first = true) {
        let mut bench = bench(quirks);
        let range = Range { revision: Revision(9), ..Range::of(KeyRange::one("k")) };
        let bad = Put { lease: LeaseId::new(404), ..put("k", "") };
        let txn = Txn { then: vec![Op::Range(range), Op::Put(bad)], ..Txn::default() };
        let expected = if on { StoreError::LeaseNotFound } else { StoreError::FutureRevision };
        assert_eq!(bench.error(Request::Txn(txn)), Some(expected));
    }
}

#[test]
fn overload_and_expiry() {
    for (on, quirks) in both_ways(|quirks| quirks.overload_stops_expiry = true) {
        let mut bench = bench(quirks);
        bench.grant(1, 2);
        bench.fault(Fault::Overload(true));
        bench.wait_ms(60_000);
        assert_eq!(bench.model.leases().count(), usize::from(on));
    }
}
