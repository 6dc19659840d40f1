//! Streams of watches whose carrier takes no more, or not yet.

use portolan_core::waist::{
    AttemptId, KeyEvent, KeyRange, Put, Reply, Revision, Value, Watch, WatchFilter, WatchReply,
    WatchSay,
};
use portolan_memory::{Config, Input, Limits, watch_weight};

use crate::kit::{Bench, ME, put, put_op};

/// Room for about five small answers.
const ROOM: u64 = 2_500;

fn bench() -> Bench {
    let limits = Limits { stream_bytes: Some(ROOM), ..Limits::default() };
    Bench::with(Config { limits, ..Config::default() })
}

fn all(start: i64) -> Watch {
    Watch::of(KeyRange::all(), Revision(start))
}

/// The revisions of all events, answer by answer; an answer without events by what it says.
fn told(replies: &[WatchReply]) -> Vec<String> {
    let line = |reply: &WatchReply| {
        let events = reply.events.iter().map(|event| event.kv.mod_revision.to_string());
        match (reply.created, reply.canceled) {
            (true, _) => "created".to_owned(),
            (_, true) => format!("canceled {}", reply.compact_revision),
            (false, false) => events.collect::<Vec<_>>().join(" "),
        }
    };
    replies.iter().map(|reply| format!("#{} {}", reply.watch_id, line(reply))).collect()
}

fn weight(replies: &[WatchReply]) -> u64 {
    replies.iter().map(watch_weight).sum()
}

impl Bench {
    fn take(&mut self, stream: AttemptId, bytes: u64) {
        self.input(Input::Taken { from: ME, attempt: stream, bytes });
    }

    /// Hears what was said, takes it, and so on, until nothing more is said.
    fn take_all(&mut self, stream: AttemptId) -> Vec<WatchReply> {
        let mut heard = Vec::new();
        loop {
            let more = self.heard(stream);
            if more.is_empty() {
                return heard;
            }
            self.take(stream, weight(&more));
            heard.extend(more);
        }
    }
}

#[test]
fn a_full_stream_is_told_later_and_once() {
    let mut bench = bench();
    let stream = bench.watch(all(0));
    for _ in 2..20 {
        bench.put("k", "");
    }
    let first = bench.heard(stream);
    assert_eq!(told(&first), ["#0 created", "#0 2", "#0 3", "#0 4", "#0 5", "#0 6", "#0 7"]);
    assert!((ROOM..ROOM + 500).contains(&weight(&first)));
    // It keeps nobody busy, and no time brings it more.
    assert_eq!(bench.model.poll_timeout(), None);
    bench.wait_ms(10_000);
    bench.say(stream, WatchSay::Progress);
    assert!(bench.is_quiet(), "not all was told");
    // Less than half is no reason to go on.
    bench.take(stream, weight(&first) - ROOM / 2 - 1);
    assert!(bench.is_quiet());
    bench.take(stream, 1);
    let second = bench.heard(stream);
    assert_eq!(told(&second), ["#0 8 9 10 11 12 13 14 15 16"], "as many as there is room for");
    bench.take(stream, ROOM / 2);
    bench.take(stream, weight(&second));
    assert_eq!(told(&bench.heard(stream)), ["#0 17 18 19"]);
    bench.take(stream, ROOM);
    bench.put("k", "");
    bench.say(stream, WatchSay::Progress);
    assert_eq!(told(&bench.heard(stream)), ["#0 20", "#-1 "], "in step again");
}

#[test]
fn who_has_waited_longest_is_served_first() {
    let mut bench = bench();
    let stream = bench.watch(Watch::of(KeyRange::one("a"), Revision::ZERO));
    for key in ["b", "c"] {
        bench.say(stream, WatchSay::Create(Watch::of(KeyRange::one(key), Revision::ZERO)));
    }
    for (key, times) in [("a", 6), ("c", 1), ("b", 1), ("c", 9)] {
        for _ in 0..times {
            bench.put(key, "");
        }
    }
    let first = bench.heard(stream);
    assert_eq!(told(&first)[3..], ["#0 2", "#0 3", "#0 4", "#0 5"]);
    bench.take(stream, weight(&first));
    let second = bench.heard(stream);
    let expected = ["#0 6 7", "#2 8 10 11 12 13 14 15 16 17 18", "#1 9"];
    assert_eq!(told(&second), expected, "c was there before b");
}

#[test]
fn a_revision_stays_whole() {
    let mut bench = bench();
    let stream = bench.watch(all(0));
    let ops = |n: usize| (0..n).map(|at| put_op(&format!("k{at}"), "")).collect();
    for size in [30, 2, 30, 1] {
        bench.txn(vec![], ops(size), vec![]);
    }
    let count = |reply: &WatchReply| reply.events.len();
    let first = bench.heard(stream);
    assert_eq!(first.iter().map(count).collect::<Vec<_>>(), [0, 30]);
    bench.take(stream, weight(&first));
    let rest = bench.take_all(stream);
    assert_eq!(rest.iter().map(count).collect::<Vec<_>>(), [32, 1]);
}

/// A watcher that was told of nothing has also missed nothing: compaction ends only those that
/// have.
#[test]
fn w3_w16_what_is_compacted_meanwhile_ends_who_was_not_told() {
    let mut bench = bench();
    let stream = bench.watch(Watch::of(KeyRange::one("a"), Revision::ZERO));
    for key in ["b", "c"] {
        bench.say(stream, WatchSay::Create(Watch::of(KeyRange::one(key), Revision::ZERO)));
    }
    for _ in 0..10 {
        bench.put("a", "");
    }
    bench.heard(stream);
    let missed = bench.revision();
    for _ in 0..10 {
        bench.put("x", "");
    }
    bench.compact(missed + 5);
    bench.put("b", "");
    bench.take(stream, 10 * ROOM);
    let heard = told(&bench.heard(stream));
    let canceled = format!("#0 canceled {}", missed + 5);
    assert_eq!(heard, [canceled, format!("#1 {}", bench.revision())]);
    bench.take(stream, 10 * ROOM);
    bench.put("a", "");
    bench.put("c", "");
    assert_eq!(told(&bench.heard(stream)), [format!("#2 {}", bench.revision())]);
    bench.say(stream, WatchSay::Cancel { id: 0 });
    assert_eq!(told(&bench.heard(stream)), ["#0 canceled 0"]);
}

#[test]
fn what_is_not_wanted_fills_nothing() {
    let mut bench = bench();
    let filters = vec![WatchFilter::NoPut];
    let stream = bench.watch(Watch { filters, ..all(0) });
    let fat = Value::from(vec![7; 1_000]);
    for _ in 0..10 {
        bench.put_with(Put { value: fat.clone(), ..put("k", "") });
    }
    bench.delete(KeyRange::all());
    assert_eq!(told(&bench.heard(stream)), ["#0 created", "#0 12"]);
    // Nor does it from history.
    let stream = bench.watch(Watch { filters: vec![WatchFilter::NoPut], ..all(2) });
    bench.wait_ms(100);
    assert_eq!(told(&bench.heard(stream)), ["#0 created", "#0 12"]);
}

#[test]
fn a_watch_that_is_held_can_be_cancelled_and_its_stream_ended() {
    let mut bench = bench();
    let stream = bench.watch(all(0));
    for _ in 0..10 {
        bench.put("k", "");
    }
    // From the past, so that the beat finds the stream full.
    bench.say(stream, WatchSay::Create(all(2)));
    bench.wait_ms(100);
    assert_eq!(bench.model.poll_timeout(), None);
    bench.heard(stream);
    bench.say(stream, WatchSay::Cancel { id: 0 });
    assert_eq!(told(&bench.heard(stream)), ["#0 canceled 0"]);
    bench.take(stream, 10 * ROOM);
    let heard = bench.take_all(stream);
    let events = |reply: &WatchReply| reply.events.len();
    assert!(heard.iter().all(|reply| reply.watch_id == 1));
    assert_eq!(heard.iter().map(events).sum::<usize>(), 10);
    for _ in 0..10 {
        bench.put("k", "");
    }
    bench.heard(stream);
    bench.input(Input::Cancel { from: ME, attempt: stream });
    bench.take(stream, 10 * ROOM);
    bench.take(AttemptId(1_000), 1);
    assert!(bench.is_quiet());
}

/// Without a limit nothing counts what is taken.
#[test]
fn without_a_limit_nobody_waits() {
    let mut bench = Bench::new();
    let stream = bench.watch(all(0));
    for _ in 0..1_000 {
        bench.put("k", "");
    }
    let before = bench.model.clone();
    bench.take(stream, 1);
    assert!(bench.model == before);
    let events: Vec<KeyEvent> = bench.heard_events(stream);
    assert_eq!(events.len(), 1_000);
}

/// A record lies in memory beside what it says on the wire.
#[test]
fn what_an_answer_counts_for() {
    let mut bench = Bench::new();
    let stream = bench.watch(Watch { prev_kv: true, ..all(0) });
    let more = |reply: &WatchReply| {
        watch_weight(reply) - portolan_memory::reply_size(&Reply::Watch(reply.clone()))
    };
    for _ in 0..2 {
        bench.put("k", "");
    }
    let heard = bench.heard(stream);
    assert_eq!(heard.iter().map(more).collect::<Vec<_>>(), [256, 256 + 128, 256 + 2 * 128]);
}

/// From history as many come at once as there is room for, with what was there before.
#[test]
fn what_was_there_before_takes_room_too() {
    let count = |prev_kv| {
        let mut bench = bench();
        for _ in 0..20 {
            bench.put("k", "");
        }
        let stream = bench.watch(Watch { prev_kv, ..all(3) });
        bench.wait_ms(100);
        let heard = bench.heard(stream);
        let events: usize = heard.iter().map(|reply| reply.events.len()).sum();
        assert!((ROOM..ROOM + 500).contains(&weight(&heard)), "{}", weight(&heard));
        events
    };
    assert_eq!([count(false), count(true)], [16, 8]);
}
