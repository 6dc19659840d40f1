//! What each present and each event proves: one row a case.

use super::harness::{applied, base, delete, found, key, lost, put, record, theirs};
use crate::engine::update::swap::{Answer, Present, Swap, Verdict};
use crate::instance::GroupConfig;
use crate::layout::Layout;
use crate::waist::{KeyValue, Reply, Revision, TxnReply, Value};

const OURS: u64 = 4711;

fn swap(base: Option<KeyValue>) -> Swap {
    let config = GroupConfig::new(super::harness::group(), super::harness::data("1"));
    let written = Layout::default().encode_config(&config, OURS).expect("small");
    Swap { base: Present { revision: Revision(9), kv: base }, mark: Some(OURS), written }
}

fn ours() -> Value {
    swap(None).written.value
}

#[test]
fn what_the_present_proves() {
    let other = || theirs("2");
    let cases = [
        // Where a record stood, mod 5, version 2, created at 3.
        (base(), 12, base(), Verdict::Open),
        (base(), 12, Some(record(ours(), 3, 10, 3)), Verdict::Applied(Revision(10))),
        (base(), 12, Some(record(other(), 3, 10, 3)), Verdict::Lost),
        (base(), 12, Some(record(Value::from("{"), 3, 10, 3)), Verdict::Lost),
        (base(), 12, Some(record(other(), 3, 10, 4)), Verdict::AskHistory),
        (base(), 12, Some(record(other(), 9, 10, 3)), Verdict::AskHistory),
        (base(), 12, Some(record(ours(), 3, 10, 4)), Verdict::AskHistory),
        (base(), 12, None, Verdict::AskHistory),
        (base(), 12, Some(record(other(), 3, 4, 1)), Verdict::Absurd),
        (base(), 12, Some(record(other(), 3, 5, 2)), Verdict::Absurd),
        (base(), 8, base(), Verdict::Absurd),
        // Where none stood at revision 9.
        (None, 12, Some(record(ours(), 10, 10, 1)), Verdict::Applied(Revision(10))),
        (None, 12, Some(record(other(), 10, 10, 1)), Verdict::AskHistory),
        (None, 12, Some(record(ours(), 10, 11, 2)), Verdict::AskHistory),
        (None, 12, None, Verdict::AskHistory),
        (None, 9, None, Verdict::Untold),
        (None, 8, None, Verdict::Absurd),
        (None, 12, Some(record(ours(), 9, 9, 1)), Verdict::Absurd),
    ];
    for (base, revision, kv, expected) in cases {
        let now = Present { revision: Revision(revision), kv };
        let verdict = swap(base.clone()).judge(&Layout::default(), &now);
        assert_eq!(verdict, expected, "{base:?}, then {now:?}");
    }
}

#[test]
fn what_an_event_proves() {
    let other = || theirs("2");
    let elsewhere = KeyValue { key: "/portolan/groups/cart2".into(), ..record(ours(), 3, 10, 3) };
    let present = || Some(record(other(), 11, 12, 2));
    let cases = [
        (base(), None, put(record(ours(), 3, 10, 3)), Some(Verdict::Applied(Revision(10)))),
        (base(), None, put(record(other(), 3, 10, 3)), Some(Verdict::Lost)),
        (base(), None, delete(10), Some(Verdict::Lost)),
        // Older or foreign changes, which no watch should tell.
        (base(), None, put(record(ours(), 3, 5, 2)), None),
        (base(), None, delete(4), None),
        (base(), None, put(elsewhere), None),
        // The first change was kept back.
        (base(), None, put(record(ours(), 3, 10, 4)), Some(Verdict::Untold)),
        (base(), None, put(record(other(), 10, 10, 1)), Some(Verdict::Untold)),
        // A creation: until it is found, or all is told.
        (None, present(), put(record(ours(), 10, 10, 1)), Some(Verdict::Applied(Revision(10)))),
        (None, present(), put(record(other(), 10, 10, 1)), None),
        (None, present(), delete(10), None),
        (None, present(), put(record(other(), 11, 12, 2)), Some(Verdict::Untold)),
        (None, None, delete(10), None),
        (None, None, put(record(ours(), 9, 9, 1)), None),
    ];
    for (base, kv, event, expected) in cases {
        let now = Present { revision: Revision(13), kv };
        let verdict = swap(base.clone()).judge_event(&Layout::default(), &now, &event);
        assert_eq!(verdict, expected, "{base:?}, then {event:?}");
    }
}

#[test]
fn what_cannot_be_told_without_a_mark() {
    let cases = [
        (base(), record(theirs("2"), 3, 10, 3), Verdict::Lost),
        (base(), record(ours(), 3, 10, 3), Verdict::Untold),
        (base(), record(ours(), 3, 10, 4), Verdict::AskHistory),
    ];
    for (base, kv, expected) in cases {
        let swap = Swap { mark: None, ..swap(base) };
        let now = Present { revision: Revision(12), kv: Some(kv) };
        assert_eq!(swap.judge(&Layout::default(), &now), expected, "{now:?}");
    }
}

#[test]
fn what_no_store_would_answer_is_not_believed() {
    let kv = || record(ours(), 3, 5, 2);
    let two = {
        let mut reply = found(9, Some(kv()));
        reply.kvs.push(kv());
        reply
    };
    let cases = [
        (9, found(9, None), true),
        (9, found(9, Some(kv())), true),
        (5, found(5, Some(kv())), true),
        (0, found(0, None), false),
        (-1, found(-1, None), false),
        (4, found(4, Some(kv())), false),
        (9, two, false),
        (9, found(9, Some(KeyValue { key: "other".into(), ..kv() })), false),
        (9, found(9, Some(record(ours(), 0, 5, 2))), false),
        (9, found(9, Some(record(ours(), 6, 5, 2))), false),
        (9, found(9, Some(record(ours(), 3, 5, 0))), false),
        (9, found(9, Some(record(ours(), 0, 0, 0))), false),
    ];
    for (revision, reply, believed) in cases {
        let read = Present::read(&key(), Revision(revision), reply.clone());
        assert_eq!(read.is_some(), believed, "{revision} {reply:?}");
    }
}

/// A swap is applied after what it was guarded by, and lost to something else than that.
#[test]
fn what_an_answer_to_a_swap_says() {
    let winner = || Some(record(theirs("2"), 3, 10, 3));
    let done = |revision| Answer::Applied(Revision(revision));
    let gave_way = |revision, kv| Answer::Lost(Present { revision: Revision(revision), kv });
    let cases = [
        (base(), applied(6), done(6)),
        (base(), applied(5), Answer::Garbled),
        (None, applied(10), done(10)),
        (None, applied(9), Answer::Garbled),
        (base(), lost(12, winner()), gave_way(12, winner())),
        (base(), lost(12, None), gave_way(12, None)),
        (base(), lost(12, base()), Answer::Garbled),
        (None, lost(12, None), Answer::Garbled),
    ];
    for (base, reply, expected) in cases {
        let Reply::Txn(answer) = reply else { panic!("a transaction's answer") };
        assert_eq!(swap(base.clone()).answer(answer.clone()), expected, "{base:?}, then {answer}");
        // A put where a read belongs, or the other way round; too much, or nothing.
        let twice = [answer.responses.clone(), answer.responses.clone()].concat();
        for wrong in [
            TxnReply { succeeded: !answer.succeeded, ..answer.clone() },
            TxnReply { responses: twice, ..answer.clone() },
            TxnReply { responses: Vec::new(), ..answer.clone() },
        ] {
            assert_eq!(swap(base.clone()).answer(wrong.clone()), Answer::Garbled, "{wrong}");
        }
    }
}
