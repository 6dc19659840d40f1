use std::collections::BTreeSet;
use std::time::Duration;

use portolan_core::waist::{
    AttemptId, EventKind, KeyEvent, KeyRange, Op, Request, Revision, Watch, WatchFilter,
    WatchReply, WatchSay,
};
use portolan_memory::{ClientId, Config, Input};

use crate::kit::{Bench, ME, delete_op, put_op, span};

fn of(key: &str, start: i64) -> Watch {
    Watch::of(KeyRange::one(key), Revision(start))
}

fn all(start: i64) -> Watch {
    Watch::of(KeyRange::all(), Revision(start))
}

/// The whole of a message in one line: what is zero or empty is left out.
fn line(reply: &WatchReply) -> String {
    let mut words = vec![format!("#{} r{}", reply.watch_id, reply.header.revision)];
    for (set, word) in
        [(reply.created, "created"), (reply.canceled, "canceled"), (reply.fragment, "fragment")]
    {
        if set {
            words.push(word.to_owned());
        }
    }
    if reply.compact_revision != Revision::ZERO {
        words.push(format!("compacted {}", reply.compact_revision));
    }
    if !reply.cancel_reason.is_empty() {
        words.push(format!("'{}'", reply.cancel_reason));
    }
    words.extend(reply.events.iter().map(event));
    words.join(" ")
}

fn event(event: &KeyEvent) -> String {
    let sign = match event.kind {
        EventKind::Put => '+',
        EventKind::Delete => '-',
    };
    let prev = match &event.prev {
        Some(kv) => format!("(was {})", kv.mod_revision),
        None => String::new(),
    };
    format!("{sign}{}@{}{prev}", event.kv.key, event.kv.mod_revision)
}

impl Bench {
    fn lines(&mut self, stream: AttemptId) -> Vec<String> {
        self.heard(stream).iter().map(line).collect()
    }
}

#[test]
fn w1_w2_w7_created_then_one_answer_for_each_revision() {
    let mut bench = Bench::new();
    bench.put("k", "");
    let stream = bench.watch(Watch::of(KeyRange::prefix("k"), Revision::ZERO));
    assert_eq!(bench.lines(stream), ["#0 r2 created"]);
    bench.put("k", "");
    bench.put("other", "");
    let ops: Vec<Op> =
        vec![put_op("k2", ""), put_op("x", ""), delete_op(KeyRange::one("k")), put_op("k1", "")];
    bench.txn(vec![], ops, vec![]);
    assert_eq!(bench.lines(stream), ["#0 r3 +k@3", "#0 r5 +k2@5 -k@5 +k1@5"]);
}

#[test]
fn w2_a_start_in_the_past_gets_history_at_the_next_beat() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.put("k", "");
    }
    bench.wait_ms(30);
    let stream = bench.watch(of("k", 3));
    assert_eq!(bench.lines(stream), ["#0 r4 created"]);
    bench.put("other", "");
    bench.wait_ms(69);
    assert_eq!(bench.lines(stream), Vec::<String>::new());
    bench.wait_ms(1);
    assert_eq!(bench.lines(stream), ["#0 r5 +k@3 +k@4"]);
    bench.put("k", "");
    assert_eq!(bench.lines(stream), ["#0 r6 +k@6"]);
}

#[test]
fn w2_a_start_to_come_waits() {
    let mut bench = Bench::new();
    let stream = bench.watch(of("k", 4));
    assert_eq!(bench.lines(stream), ["#0 r1 created"], "the header is below the start");
    for _ in 0..4 {
        bench.put("k", "");
    }
    assert_eq!(bench.lines(stream), ["#0 r4 +k@4", "#0 r5 +k@5"]);
}

#[test]
fn w3_a_compacted_start_is_cancelled_in_band() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.put("k", "");
    }
    bench.compact(4);
    let stream = bench.watch(of("k", 3));
    bench.wait_ms(100);
    assert_eq!(bench.lines(stream), ["#0 r5 created", "#0 r0 canceled compacted 4"]);
    bench.put("k", "");
    bench.wait_ms(1000);
    assert!(bench.is_quiet());
    // The number stays taken, and the watch counts as behind, until it is cancelled too.
    bench.say(stream, WatchSay::Progress);
    bench.say(stream, WatchSay::Create(Watch { id: 0, ..of("k", 0) }));
    bench.say(stream, WatchSay::Cancel { id: 0 });
    bench.say(stream, WatchSay::Progress);
    assert_eq!(bench.lines(stream), ["#1 r6 created", "#0 r6 canceled", "#-1 r6"]);
    // Exactly the compacted revision can be watched from.
    let stream = bench.watch(of("k", 4));
    bench.wait_ms(100);
    assert_eq!(bench.lines(stream), ["#0 r6 created", "#0 r6 +k@4 +k@5 +k@6"]);
}

#[test]
fn w3_compacted_while_behind() {
    let mut bench = Bench::with(Config { sync_revisions: 2, ..Config::default() });
    for _ in 0..6 {
        bench.put("k", "");
    }
    let stream = bench.watch(of("k", 2));
    bench.wait_ms(100);
    assert_eq!(bench.lines(stream), ["#0 r7 created", "#0 r7 +k@2 +k@3"]);
    bench.compact(6);
    bench.wait_ms(100);
    assert_eq!(bench.lines(stream), ["#0 r0 canceled compacted 6"]);
}

#[test]
fn w4_a_negative_start_is_refused() {
    let mut bench = Bench::new();
    let stream = bench.watch(of("k", -1));
    let reason = "'etcdserver: mvcc: required revision has been compacted'";
    assert_eq!(bench.lines(stream), [format!("#-1 r1 created canceled {reason}")]);
    // Before the range and the number are looked at; the stream lives on.
    let void = Watch { id: 3, ..Watch::of(span("b", "a"), Revision(-9)) };
    bench.say(stream, WatchSay::Create(void));
    bench.say(stream, WatchSay::Create(of("k", 0)));
    assert_eq!(
        bench.lines(stream),
        [format!("#-1 r1 created canceled {reason}"), "#0 r1 created".to_owned()]
    );
}

#[test]
fn w5_numbers_and_ranges() {
    let mut bench = Bench::new();
    let stream = bench.watch(of("k", 0));
    let create = |bench: &mut Bench, watch| bench.say(stream, WatchSay::Create(watch));
    create(&mut bench, Watch { id: 1, ..of("k", 0) });
    create(&mut bench, of("k", 0));
    create(&mut bench, Watch { id: 1, ..of("k", 0) });
    create(&mut bench, Watch { id: -1, ..of("k", 0) });
    create(&mut bench, Watch { id: -7, ..of("k", 0) });
    create(&mut bench, Watch::of(span("b", "a"), Revision::ZERO));
    create(&mut bench, Watch::of(span("b", "b"), Revision::ZERO));
    let duplicate = "'mvcc: duplicate watch ID provided on the WatchStream'";
    let void = "'mvcc: watcher range is empty'";
    assert_eq!(
        bench.lines(stream),
        [
            "#0 r1 created".to_owned(),
            "#1 r1 created".to_owned(),
            "#2 r1 created".to_owned(),
            format!("#-1 r1 created canceled {duplicate}"),
            "#-1 r1 created".to_owned(),
            "#-7 r1 created".to_owned(),
            format!("#-1 r1 created canceled {void}"),
            format!("#-1 r1 created canceled {void}"),
        ]
    );
    // A number that was cancelled can be given again, but is not chosen again.
    bench.say(stream, WatchSay::Cancel { id: 0 });
    create(&mut bench, of("k", 0));
    assert_eq!(bench.lines(stream), ["#0 r1 canceled", "#3 r1 created"]);
}

#[test]
fn w5_an_empty_key_means_one_zero_byte() {
    let mut bench = Bench::new();
    let one = bench.watch(of("", 0));
    let from = bench.watch(Watch::of(KeyRange::from_key(""), Revision::ZERO));
    bench.heard(one);
    bench.heard(from);
    bench.put("k", "");
    bench.put("\0", "");
    assert_eq!(bench.lines(one), ["#0 r3 +\\x00@3"]);
    assert_eq!(bench.lines(from), ["#0 r2 +k@2", "#0 r3 +\\x00@3"]);
}

#[test]
fn w6_cancel() {
    let mut bench = Bench::new();
    let stream = bench.watch(all(0));
    bench.say(stream, WatchSay::Cancel { id: 5 });
    assert_eq!(bench.lines(stream), ["#0 r1 created"]);
    bench.say(stream, WatchSay::Cancel { id: 0 });
    bench.say(stream, WatchSay::Cancel { id: 0 });
    bench.put("k", "");
    assert_eq!(bench.lines(stream), ["#0 r1 canceled"]);
}

#[test]
fn w8_a_thousand_revisions_at_a_time() {
    let mut bench = Bench::new();
    for _ in 0..2300 {
        bench.put("k", "");
        bench.put("other", "");
    }
    let stream = bench.watch(of("k", 2));
    let heard: Vec<_> = (0..4)
        .map(|_| {
            bench.wait_ms(100);
            let heard = bench.heard(stream);
            let last = heard.last().expect("one answer a beat until it is in step");
            (last.header.revision.0, last.events.len())
        })
        .take(3)
        .collect();
    // Revisions that do not concern the watch do not count, and the header is ahead.
    assert_eq!(heard, [(4601, 1000), (4601, 1000), (4601, 300)]);
    bench.put("k", "");
    assert_eq!(bench.heard(stream)[0].header.revision.0, 4602);
}

#[test]
fn w8_a_revision_is_never_torn_between_batches() {
    let mut bench = Bench::with(Config { sync_revisions: 1, ..Config::default() });
    bench.txn(vec![], vec![put_op("a", ""), put_op("b", "")], vec![]);
    bench.put("c", "");
    let stream = bench.watch(all(2));
    bench.wait_ms(200);
    assert_eq!(bench.lines(stream), ["#0 r3 created", "#0 r3 +a@2 +b@2", "#0 r3 +c@3"]);
}

#[test]
fn w8_many_that_are_behind_are_served_in_one_beat() {
    let mut bench = Bench::with(Config { sync_watchers: 2, ..Config::default() });
    bench.put("k", "");
    let streams: Vec<_> = (0..5).map(|_| bench.watch(of("k", 2))).collect();
    bench.wait_ms(100);
    for stream in streams {
        assert_eq!(bench.lines(stream), ["#0 r2 created", "#0 r2 +k@2"]);
    }
}

#[test]
fn w10_filters() {
    let mut bench = Bench::new();
    let filtered = |filters: &[WatchFilter]| Watch { filters: filters.to_vec(), ..all(0) };
    let deletes = bench.watch(filtered(&[WatchFilter::NoPut]));
    let puts = bench.watch(filtered(&[WatchFilter::NoDelete]));
    let nothing = bench.watch(filtered(&[WatchFilter::NoPut, WatchFilter::NoDelete]));
    bench.put("k", "");
    bench.txn(vec![], vec![put_op("l", ""), delete_op(KeyRange::one("k"))], vec![]);
    assert_eq!(bench.lines(deletes), ["#0 r1 created", "#0 r3 -k@3"]);
    assert_eq!(bench.lines(puts), ["#0 r1 created", "#0 r2 +k@2", "#0 r3 +l@3"]);
    assert_eq!(bench.lines(nothing), ["#0 r1 created"]);
    let late = bench.watch(Watch { start: Revision(2), ..filtered(&[WatchFilter::NoPut]) });
    bench.wait_ms(100);
    assert_eq!(bench.lines(late), ["#0 r3 created", "#0 r3 -k@3"]);
}

#[test]
fn w11_prev_kv() {
    let mut bench = Bench::new();
    bench.put("k", "1");
    bench.put("k", "2");
    bench.delete(KeyRange::one("k"));
    bench.put("k", "3");
    let watch = Watch { prev_kv: true, ..of("k", 2) };
    let stream = bench.watch(watch.clone());
    bench.wait_ms(100);
    assert_eq!(bench.lines(stream), ["#0 r5 created", "#0 r5 +k@2 +k@3(was 2) -k@4(was 3) +k@5"]);
    bench.put("k", "4");
    assert_eq!(bench.lines(stream), ["#0 r6 +k@6(was 5)"]);
    // Deleted and created at one revision: what was before is told once.
    bench.txn(vec![], vec![delete_op(KeyRange::from_key("a")), put_op("k", "5")], vec![]);
    assert_eq!(bench.lines(stream), ["#0 r7 -k@7(was 6) +k@7"]);
    // Of the compacted revision itself, what was before is gone.
    bench.compact(3);
    let stream = bench.watch(Watch { start: Revision(3), ..watch });
    bench.wait_ms(100);
    assert_eq!(
        bench.lines(stream),
        ["#0 r7 created", "#0 r7 +k@3 -k@4(was 3) +k@5 +k@6(was 5) -k@7(was 6) +k@7"]
    );
}

#[test]
fn w12_progress_notifications() {
    let config =
        Config { progress_interval: Duration::from_secs(10), seed: 4, ..Config::default() };
    let mut bench = Bench::with(config);
    let stream = bench.watch(Watch { progress: true, ..of("k", 0) });
    bench.say(stream, WatchSay::Create(of("k", 0)));
    bench.heard(stream);
    bench.put("other", "");
    bench.wait_ms(10_000);
    assert!(bench.is_quiet(), "a little more than the interval");
    bench.wait_ms(1_000);
    assert_eq!(bench.lines(stream), ["#0 r2"], "only the watch that asked");
    bench.put("k", "");
    bench.heard(stream);
    bench.wait_ms(11_000);
    assert!(bench.is_quiet(), "left out after an event");
    for _ in 0..3 {
        bench.wait_ms(11_000);
        assert_eq!(bench.lines(stream), ["#0 r3"]);
    }
    // Nothing is told of a watch that waits for its start, or is not there any more.
    bench.say(stream, WatchSay::Cancel { id: 0 });
    bench.say(stream, WatchSay::Create(Watch { progress: true, ..of("k", 99) }));
    bench.heard(stream);
    bench.wait_ms(40_000);
    assert!(bench.is_quiet());
}

/// Which says nothing of the store (`syncWatchers` in `server/storage/mvcc/watchable_store.go`).
#[test]
fn w3_a_start_that_is_compacted_is_told_to_the_watch_that_asked() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.put("k", "");
    }
    bench.compact(4);
    let stream = bench.watch(Watch { id: 7, ..of("k", 2) });
    bench.wait_ms(100);
    let told = bench.heard(stream).pop().expect("an end");
    assert_eq!((told.watch_id, told.canceled, told.compact_revision), (7, true, Revision(4)));
    assert_eq!(told.header.revision, Revision::ZERO);
    assert_eq!(told.header.raft_term, 2);
}

#[test]
fn w12_progress_is_told_again_and_again() {
    let config = Config { progress_interval: Duration::from_secs(10), ..Config::default() };
    let mut bench = Bench::with(config);
    let stream = bench.watch(Watch { progress: true, ..of("k", 0) });
    bench.wait_ms(45_000);
    assert_eq!(bench.lines(stream), ["#0 r1 created", "#0 r1", "#0 r1", "#0 r1", "#0 r1"]);
}

#[test]
fn w12_streams_tell_progress_at_different_times() {
    for seed in [0, u64::MAX] {
        let config =
            Config { progress_interval: Duration::from_secs(10), seed, ..Config::default() };
        let mut bench = Bench::with(config);
        let times: BTreeSet<_> = (0..4)
            .map(|_| {
                let stream = bench.watch(Watch { progress: true, ..of("k", 0) });
                let due = bench.model.poll_timeout().expect("a stream that tells its progress");
                bench.model.handle(bench.now, Input::Cancel { from: ME, attempt: stream });
                assert_eq!(bench.model.poll_timeout(), None);
                due
            })
            .collect();
        assert_eq!(times.len(), 4, "with seed {seed}");
        assert!(times.iter().all(|time| (10..=11).contains(&(time.as_nanos() / 1_000_000_000))));
    }
}

#[test]
fn w13_a_progress_request_is_answered_only_if_all_are_in_step() {
    let mut bench = Bench::new();
    bench.put("k", "");
    let stream = bench.watch(of("k", 0));
    bench.say(stream, WatchSay::Progress);
    assert_eq!(bench.lines(stream), ["#0 r2 created", "#-1 r2"]);
    bench.say(stream, WatchSay::Create(of("k", 2)));
    bench.say(stream, WatchSay::Progress);
    assert_eq!(bench.lines(stream), ["#1 r2 created"]);
    bench.wait_ms(100);
    bench.say(stream, WatchSay::Progress);
    assert_eq!(bench.lines(stream), ["#1 r2 +k@2", "#-1 r2"]);
    bench.say(stream, WatchSay::Create(of("k", 9)));
    bench.say(stream, WatchSay::Progress);
    assert_eq!(bench.lines(stream), ["#2 r2 created"], "its start has not come");
    for id in 0..3 {
        bench.say(stream, WatchSay::Cancel { id });
    }
    bench.heard(stream);
    bench.say(stream, WatchSay::Progress);
    assert!(bench.is_quiet(), "nothing is watched");
}

#[test]
fn w16_compaction_does_not_disturb_those_in_step() {
    let mut bench = Bench::new();
    let stream = bench.watch(of("k", 0));
    bench.put("k", "");
    bench.put("k", "");
    bench.compact(3);
    bench.wait_ms(1000);
    bench.put("k", "");
    assert_eq!(bench.lines(stream), ["#0 r1 created", "#0 r2 +k@2", "#0 r3 +k@3", "#0 r4 +k@4"]);
}

#[test]
fn streams_of_several_clients_end_apart() {
    let mut bench = Bench::new();
    let mine = bench.watch(all(0));
    let other = ClientId(2);
    let theirs = bench.send_as(other, Request::Watch(all(0)));
    let theirs_too = bench.send_as(other, Request::Watch(all(1)));
    bench.input(Input::Disconnect { from: other });
    bench.put("k", "");
    assert_eq!(bench.lines(mine), ["#0 r1 created", "#0 r2 +k@2"]);
    assert_eq!(bench.lines(theirs), ["#0 r1 created"]);
    assert_eq!(bench.lines(theirs_too), ["#0 r1 created"]);
    bench.input(Input::Cancel { from: ME, attempt: mine });
    bench.put("k", "");
    // What is said on a stream that is gone falls on deaf ears.
    bench.say(mine, WatchSay::Create(all(0)));
    bench.say(mine, WatchSay::Progress);
    assert!(bench.is_quiet());
    assert_eq!(bench.model.poll_timeout(), None);
}

#[test]
fn one_key_and_ranges_around_it_are_all_told() {
    let mut bench = Bench::new();
    let watches = [
        (KeyRange::one("m"), true),
        (span("a", "z"), true),
        (span("m", "m\0"), true),
        (KeyRange::from_key("m"), true),
        (KeyRange::from_key("n"), false),
        (span("a", "m"), false),
        (KeyRange::one("mm"), false),
        (KeyRange::all(), true),
    ];
    let streams: Vec<_> = watches
        .iter()
        .map(|(keys, _)| bench.watch(Watch::of(keys.clone(), Revision::ZERO)))
        .collect();
    bench.put("m", "");
    for (stream, (keys, told)) in streams.into_iter().zip(watches) {
        assert_eq!(bench.heard_events(stream).len(), usize::from(told), "{keys}");
    }
}
