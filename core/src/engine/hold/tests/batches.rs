//! Many keys in one request.

use insta::assert_snapshot;

use super::store::Store;
use super::*;

#[test]
fn many_registrations_share_requests_and_leases() {
    let mut h = Harness::tuned(|tuning| tuning.max_keys_per_lease = 150);
    for id in 1..=200 {
        h.register(id, &format!("i{id}"), Conflict::Replace);
    }
    assert_eq!(h.asked.len(), 2, "two leases are asked for, and nothing else");
    let (first, second) = (h.leases[0], h.leases[1]);
    h.reply(1, granted(first)).reply(2, granted(second));
    fn nested(request: &Request) -> &[Op] {
        if let Request::Txn(txn) = request { &txn.then } else { &[] }
    }
    let sizes: Vec<_> = h.asked[2..].iter().map(|(_, request)| nested(request).len()).collect();
    assert_eq!(sizes, [126, 24, 50]);
    let key = |op: &Op| -> KeyRange {
        let Op::Txn(txn) = op else { panic!("a batch nests transactions") };
        txn.compares[0].keys.clone()
    };
    let keys = |request: &Request| nested(request).iter().map(key).collect::<Vec<_>>();
    let mut all: Vec<_> = h.asked[2..].iter().flat_map(|(_, request)| keys(request)).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 200, "each key once");
}

#[test]
fn a_refused_batch_is_split_so_that_one_slot_holds_up_no_other() {
    let mut h = Harness::new();
    for id in 1..=3 {
        h.register(id, &format!("i{id}"), Conflict::Replace);
    }
    h.grant(1).trace();
    h.reply(2, Reply::Failed(StoreError::RequestTooLarge));
    h.reply(3, Reply::Failed(StoreError::RequestTooLarge)).reply(4, put(5)).reply(5, put(6));
    assert_snapshot!(h.trace(), @"
    0.000s < #2 failed: etcdserver: request is too large
    0.000s > #3 m0 txn if mod(/p/instances/web/i1)=0 then put /p/instances/web/i1=147B:a375f67c lease=L1 else range /p/instances/web/i1
    0.000s > #4 m0 txn if mod(/p/instances/web/i2)=0 then put /p/instances/web/i2=147B:1ce01096 lease=L1 else range /p/instances/web/i2
    0.000s > #5 m0 txn if mod(/p/instances/web/i3)=0 then put /p/instances/web/i3=147B:97386d91 lease=L1 else range /p/instances/web/i3
    0.000s < #3 failed: etcdserver: request is too large
    0.000s > registration 1 gone: refused: key /p/instances/web/i1: etcdserver: request is too large
    0.000s < #4 then put @5
    0.000s > registration 2 registered @5 lease=L1 sequence=1
    0.000s < #5 then put @6
    0.000s > registration 3 registered @6 lease=L1 sequence=1
    ");
}

/// Refused once, as one batch with others, is not refused for ever.
#[test]
fn a_split_batch_is_joined_again() {
    let mut h = Harness::new();
    h.register(1, "i1", Conflict::Replace).register(2, "i2", Conflict::Replace).grant(1);
    h.reply(2, Reply::Failed(StoreError::RequestTooLarge)).reply(3, put(5)).reply(4, put(6));
    let lease = h.leases[0];
    h.wait(3).reply(5, kept(lease, 0)).grant(6);
    let (_, last) = h.asked.last().expect("both are published again");
    let Request::Txn(txn) = last else { panic!("{last}") };
    assert_eq!(txn.then.len(), 2, "{last}");
}

/// One that has ended does not spoil the answer to the others of its batch.
#[test]
fn a_batch_is_answered_to_those_who_are_left() {
    let mut h = Harness::new();
    h.register(1, "a", Conflict::Wait).register(2, "b", Conflict::Wait).grant(1);
    let taken = |name: &str| KeyValue {
        key: Key::from(format!("/p/instances/web/{name}").as_str()),
        ..record(2, 2, Some(stranger()))
    };
    let range = |kv: Option<KeyValue>| {
        let kvs: Vec<_> = kv.into_iter().collect();
        RangeReply { count: kvs.len() as i64, kvs, ..Default::default() }
    };
    let all = |revision, responses| {
        Reply::Txn(TxnReply { header: header(revision), succeeded: true, responses })
    };
    let refused = |name| {
        let responses = vec![OpReply::Range(range(Some(taken(name))))];
        OpReply::Txn(TxnReply { header: header(0), succeeded: false, responses })
    };
    h.reply(2, all(3, vec![refused("a"), refused("b")])).wait(1).trace();
    let id = RegistrationId(1);
    h.command(Command::Deregister { id, within: Duration::from_millis(500) }).wait(1);
    let read = h.asked.iter().rfind(|(_, request)| matches!(request, Request::Txn(_)));
    let (read, _) = read.cloned().expect("both are read");
    let absent = OpReply::Range(range(None));
    h.reply(read.0, all(4, vec![OpReply::Range(range(Some(taken("a")))), absent]));
    assert_snapshot!(h.trace(), @"
    1.000s < deregister 1 within 500ms
    1.500s > registration 1 gone: removal not confirmed in time
    2.000s < #3 then /p/instances/web/a=2B:51503ab8@2/2~0000000000000999, nothing @4
    2.000s > #4 m0 txn if mod(/p/instances/web/b)=0 then put /p/instances/web/b=146B:41b53285 lease=L1 else range /p/instances/web/b
    ");
}

#[test]
fn retries_of_many_keys_draw_on_the_budget_once_for_a_batch() {
    let mut h = Harness::tuned(|tuning| {
        tuning.retry_burst = 1;
        tuning.retries_per_sec = 1;
        tuning.jitter_percent = 90;
    });
    for id in 1..=100 {
        h.register(id, &format!("i{id}"), Conflict::Wait);
    }
    let lease = h.leases[0];
    let mut batches = Vec::new();
    play(&mut h, 0, Time::from_secs(30), |request| {
        Some(if let Request::Txn(txn) = request {
            batches.push(txn.then.len());
            let responses = txn.then.iter().map(taken).collect();
            Reply::Txn(TxnReply { header: header(9), succeeded: true, responses })
        } else if let Request::Range(range) = request {
            batches.push(1);
            let kvs = vec![strangers(&range.keys)];
            Reply::Range(RangeReply { header: header(9), kvs, count: 1, more: false })
        } else if let Request::Grant(_) = request {
            granted(lease)
        } else {
            kept(lease, TTL as i64)
        })
    });
    let (&first, retries) = batches.split_first().expect("something was sent");
    assert_eq!(first, 100, "all at once");
    assert!((25..=32).contains(&retries.len()), "one a second: {retries:?}");
    let keys: usize = retries.iter().sum();
    assert!(keys > 10 * retries.len(), "they go together: {retries:?}");
}

#[test]
fn retries_go_round() {
    let mut h = Harness::tuned(|tuning| {
        tuning.retry_burst = 1;
        tuning.retries_per_sec = 1;
        tuning.batch_keys = 1;
        tuning.backoff_slow_cap = Duration::from_secs(1);
        tuning.backoff_cap = Duration::from_secs(1);
    });
    for id in 1..=20 {
        h.register(id, &format!("i{id:02}"), Conflict::Wait);
    }
    let lease = h.leases[0];
    let mut tried = std::collections::BTreeMap::<Key, u32>::new();
    play(&mut h, 0, Time::from_secs(61), |request| {
        let Request::Txn(txn) = request else {
            return Some(if let Request::Grant(_) = request {
                granted(lease)
            } else {
                kept(lease, TTL as i64)
            });
        };
        *tried.entry(txn.compares[0].keys.key.clone()).or_default() += 1;
        Some(Reply::Failed(StoreError::PermissionDenied))
    });
    assert!(tried.values().all(|&times| times >= 3), "{tried:?}");
}

/// Reads of keys that others have do not hold up publishes, nor do either begin anew with each turn
/// of the other.
#[test]
fn retries_of_both_kinds_go_round() {
    let mut h = Harness::tuned(|tuning| {
        tuning.retry_burst = 1;
        tuning.retries_per_sec = 1;
        tuning.batch_keys = 1;
        tuning.backoff_slow_cap = Duration::from_secs(1);
        tuning.backoff_cap = Duration::from_secs(1);
    });
    for id in 1..=10 {
        h.register(id, &format!("denied{id:02}"), Conflict::Wait);
        h.register(10 + id, &format!("waits{id:02}"), Conflict::Wait);
    }
    let lease = h.leases[0];
    let mut tried = std::collections::BTreeMap::<Key, u32>::new();
    play(&mut h, 0, Time::from_secs(81), |request| {
        let keys = if let Request::Txn(txn) = request {
            &txn.compares[0].keys
        } else if let Request::Range(range) = request {
            &range.keys
        } else if let Request::Grant(_) = request {
            return Some(granted(lease));
        } else {
            return Some(kept(lease, TTL as i64));
        };
        *tried.entry(keys.key.clone()).or_default() += 1;
        let theirs = || Some(strangers(keys));
        Some(if let Request::Range(_) = request {
            read(9, theirs())
        } else if keys.key.to_string().contains("waits") {
            found(9, theirs())
        } else {
            Reply::Failed(StoreError::PermissionDenied)
        })
    });
    assert!(tried.values().all(|&times| times >= 4), "{tried:?}");
}

/// Keys and values, each key as often as it is said.
#[test]
fn no_batch_is_larger_than_allowed() {
    const LIMIT: usize = 5_000;
    let mut h = Harness::tuned(|tuning| tuning.batch_bytes = LIMIT as u32);
    for id in 1..=40 {
        h.register(id, &format!("{id:0>60}"), Conflict::Replace);
    }
    h.grant(1);
    let sizes: Vec<_> = h.asked[1..].iter().map(|(_, request)| request.payload_bytes()).collect();
    assert!(sizes.iter().all(|&size| size <= LIMIT), "{sizes:?}");
    let (_, full) = sizes.split_last().expect("something was sent");
    assert!(full.iter().all(|&size| size > LIMIT * 3 / 4), "well filled: {sizes:?}");
}

/// Eight while they are answered. After a failure it is one, which feels its way.
#[test]
fn few_batches_are_under_way_at_once() {
    let sent = |h: &Harness| {
        let batch = |(_, request): &&(AttemptId, Request)| matches!(request, Request::Txn(_));
        h.asked.iter().filter(batch).count()
    };
    let mut h = Harness::tuned(|tuning| tuning.batch_keys = 1);
    for id in 1..=20 {
        h.register(id, &format!("i{id}"), Conflict::Replace);
    }
    h.grant(1);
    assert_eq!(sent(&h), 8);
    h.reply(2, put(5));
    assert_eq!(sent(&h), 9, "one was answered");
    for attempt in 3..=10 {
        assert_eq!(sent(&h), 9, "nothing is sent after a failure");
        h.reply(attempt, gave_up());
    }
    h.wait(2);
    assert_eq!(sent(&h), 9, "nor before a pause");
    h.played = h.asked.len();
    let asked = h.play(4, |request| matches!(request, Request::Txn(_)).then(|| put(6)));
    let (first, _) = asked
        .iter()
        .find(|(_, request)| matches!(request, Request::Txn(_)))
        .expect("it is tried again");
    assert_eq!(sent(&h), 20 + 8, "each once, and those that failed once more");
    assert!(*first > Time::from_secs(2));
}

#[test]
fn only_retries_draw_on_the_budget() {
    let mut h = Harness::tuned(|tuning| {
        (tuning.retry_burst, tuning.retries_per_sec, tuning.batch_keys) = (1, 1, 1);
    });
    let mut store = Store { revision: 1, ..Store::default() };
    h.register(1, "a", Conflict::Replace).register(2, "b", Conflict::Replace);
    h.play(10, |request| store.answer(request));
    for (id, name) in [(1, "a"), (2, "b")] {
        let instance = instance(name).with_state(State::OutOfService);
        h.command(Command::Publish { id: RegistrationId(id), instance });
    }
    let asked = h.play(5, |request| {
        let is_batch = matches!(request, Request::Txn(_));
        if is_batch {
            Some(Reply::Failed(StoreError::PermissionDenied))
        } else {
            store.answer(request)
        }
    });
    let batches = asked.iter().filter(|(_, request)| matches!(request, Request::Txn(_)));
    let times: Vec<_> = batches.map(|(at, _)| at.to_string()).collect();
    assert_snapshot!(times.join(" "), @"10.000s 10.000s 10.100s 11.100s 12.100s 13.100s 14.100s");
}

/// After a failure one batch is under way; a retry whose time has come waits for its answer.
#[test]
fn a_retry_waits_for_the_batch_that_feels_its_way() {
    let mut h = Harness::tuned(|tuning| {
        (tuning.retry_burst, tuning.retries_per_sec, tuning.batch_keys) = (1, 1, 1);
    });
    for id in 1..=3 {
        h.register(id, &format!("i{id}"), Conflict::Replace);
    }
    let denied = || Reply::Failed(StoreError::PermissionDenied);
    h.grant(1).reply(2, denied()).reply(3, denied()).reply(4, gave_up()).wait(1);
    assert_eq!(h.asked.len(), 5, "one retry");
    h.reply(5, denied());
    assert_eq!(h.asked.len(), 6, "one batch");
    h.wait(1);
    assert_eq!(h.asked.len(), 6, "one batch");
    h.reply(6, put(5));
    assert_eq!(h.asked.len(), 7, "one retry");
}

/// Somebody else's record at a key.
fn strangers(keys: &KeyRange) -> KeyValue {
    KeyValue { key: keys.key.clone(), ..record(3, 4, Some(stranger())) }
}

/// What the store answers to one operation of a batch when somebody else's record stands there.
fn taken(op: &Op) -> OpReply {
    let found = |keys: &KeyRange| {
        OpReply::Range(RangeReply { kvs: vec![strangers(keys)], count: 1, ..Default::default() })
    };
    match op {
        Op::Range(range) => found(&range.keys),
        Op::Txn(txn) => OpReply::Txn(TxnReply {
            responses: vec![found(&txn.compares[0].keys)],
            ..TxnReply::default()
        }),
        Op::Put(_) | Op::Delete(_) => panic!("batches nest transactions"),
    }
}
