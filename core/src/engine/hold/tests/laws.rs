//! What holds of the holds whatever the store answers.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::store::Store;
use super::*;
use crate::engine::{Event, RegistrationEvent};
use crate::waist::{KeepAlive, Revoke};

/// What a store has to say, of one kind of request or of all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    /// As it should be.
    Right,
    NotFound,
    Exists,
    Denied,
    Full,
    Strange,
    NoLeader,
    /// A renewal's time to live is 0, a watch is refused, a compare fails.
    Empty,
    /// A watch is confirmed and cancelled, somebody else's record stands there.
    Taken,
    Silent,
}

const ANSWERS: [Answer; 10] = [
    Answer::Right,
    Answer::NotFound,
    Answer::Exists,
    Answer::Denied,
    Answer::Full,
    Answer::Strange,
    Answer::NoLeader,
    Answer::Empty,
    Answer::Taken,
    Answer::Silent,
];

fn answer() -> impl Strategy<Value = Answer> {
    prop::sample::select(&ANSWERS[..])
}

/// Which row of answers a request is answered from.
fn kind(request: &Request) -> usize {
    match request {
        Request::Grant(_) => 0,
        Request::KeepAlive(_) => 1,
        Request::Revoke(_) => 2,
        Request::Watch(_) | Request::OnWatch { .. } => 3,
        Request::Range(_) => 5,
        Request::Put(_)
        | Request::Delete(_)
        | Request::Txn(_)
        | Request::Compact(_)
        | Request::TimeToLive(_)
        | Request::Leases
        | Request::Status
        | Request::Members
        | Request::Authenticate => 4,
    }
}

/// Renewals and revokes are counted for each lease by itself.
fn lease_of(request: &Request) -> Option<LeaseId> {
    if let Request::KeepAlive(KeepAlive { lease }) | Request::Revoke(Revoke { lease }) = request {
        Some(*lease)
    } else {
        None
    }
}

/// A key is read when its watch has ended, and written when its lease has, each at its own pace.
const KINDS: [&str; 6] = ["grant", "keepalive", "revoke", "watch", "write", "read"];

/// The answers to a request, one or more for a stream.
fn replies(request: &Request, answer: Answer, revision: i64) -> Vec<Reply> {
    let failed = |error| vec![Reply::Failed(error)];
    match answer {
        Answer::NotFound => return failed(StoreError::LeaseNotFound),
        Answer::Exists => return failed(StoreError::LeaseExists),
        Answer::Denied => return failed(StoreError::PermissionDenied),
        Answer::Full => return failed(StoreError::NoSpace),
        Answer::NoLeader => return failed(StoreError::NoLeader),
        Answer::Strange => {
            let message = "teapot".to_owned();
            return failed(StoreError::Other { code: Code::FailedPrecondition, message });
        }
        Answer::Silent => return Vec::new(),
        Answer::Right | Answer::Empty | Answer::Taken => {}
    }
    let stands = (answer == Answer::Taken).then(|| record(2, 2, Some(stranger())));
    match request {
        Request::Grant(grant) => grant.lease.map(granted).into_iter().collect(),
        Request::KeepAlive(keep) => {
            let ttl_secs = if answer == Answer::Right { TTL as i64 } else { 0 };
            vec![kept(keep.lease, ttl_secs)]
        }
        Request::Revoke(_) => vec![Reply::Revoke(RevokeReply { header: header(revision) })],
        Request::Range(_) => vec![read(revision, stands)],
        Request::Txn(txn) => vec![match (&txn.then[..], answer) {
            ([Op::Delete(_)], Answer::Right) => deleted(revision),
            (_, Answer::Right) => put(revision),
            _ => found(revision, stands),
        }],
        Request::Watch(watch) => {
            let right = WatchReply {
                header: header(revision),
                watch_id: watch.id,
                created: true,
                ..WatchReply::default()
            };
            let canceled = WatchReply { created: false, canceled: true, ..right.clone() };
            if answer == Answer::Right {
                vec![Reply::Watch(right)]
            } else if answer == Answer::Empty {
                vec![Reply::Watch(WatchReply { watch_id: -1, canceled: true, ..right })]
            } else {
                vec![Reply::Watch(right), Reply::Watch(canceled)]
            }
        }
        Request::Put(_)
        | Request::Delete(_)
        | Request::Compact(_)
        | Request::TimeToLive(_)
        | Request::Leases
        | Request::OnWatch { .. }
        | Request::Status
        | Request::Members
        | Request::Authenticate => Vec::new(),
    }
}

/// A spurious tick changes nothing and says nothing. One that is asked for now is none.
fn ticks_change_nothing(h: &Harness) {
    if h.engine.poll_timeout().is_some_and(|due| due <= h.now) {
        return;
    }
    let mut ticked = h.engine.clone();
    ticked.handle(h.now, Input::Tick);
    assert_eq!(ticked.poll_output(), None, "a tick said something");
    assert!(ticked == h.engine, "a tick changed something");
}

fn harness(jitter_percent: u32, conflict: Conflict) -> Harness {
    let mut h = Harness::tuned(|tuning| {
        tuning.own_watches = 200;
        tuning.jitter_percent = jitter_percent;
    });
    h.register(1, "a", conflict);
    h
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Under any constant answers, attempts of one kind in a time t are at most
    /// `1 + log2(B/b) + t / (B·(1 − jitter))`. Four more are free: the first failures of a slot
    /// and of a lease are tried again at once. Renewals that work are no failures.
    #[test]
    fn nothing_is_tried_without_a_pause(
        answers in prop::array::uniform5(answer()),
        jitter in prop::sample::select(vec![0_u32, 90]),
    ) {
        let secs = 600;
        let mut h = harness(jitter, Conflict::Replace);
        let mut revision = 5;
        let mut attempts = BTreeMap::new();
        let until = Time::from_secs(secs);
        loop {
            while h.played < h.asked.len() {
                let (attempt, request) = h.asked[h.played].clone();
                h.played += 1;
                let kind = kind(&request);
                let lease = lease_of(&request);
                let count: &mut u128 = attempts.entry((kind, lease)).or_default();
                *count += u128::from(!matches!(request, Request::OnWatch { .. }));
                prop_assert!(*count < 100_000, "{}: it spins", KINDS[kind]);
                revision += 1;
                for reply in replies(&request, answers[kind.min(4)], revision) {
                    h.input(Input::Reply { attempt, reply });
                }
                h.trace.clear();
            }
            let Some(due) = h.engine.poll_timeout().filter(|&due| due <= until) else { break };
            h.now = h.now.max(due);
            h.input(Input::Tick);
        }
        let tuning = Tuning::default();
        let floor = tuning.backoff_cap.as_millis() * u128::from(100 - jitter) / 100;
        let doublings = 6; // 100 ms to 5 s.
        let bound = 1 + doublings + u128::from(secs) * 1000 / floor + 4;
        for ((kind, _), count) in attempts {
            // A renewal that works comes every third of the time to live.
            let renewals = u128::from(kind == 1) * u128::from(secs) / 3;
            prop_assert!(
                count <= bound + renewals,
                "{} {:?}: {count} attempts, bound {bound}", KINDS[kind], answers,
            );
        }
    }

    /// Whatever is answered, in any order, late or twice: no panic; a registration ends once, and
    /// nothing is told of it afterwards; a tick between two inputs changes nothing.
    #[test]
    fn strange_answers_break_nothing(
        conflict in prop::sample::select(vec![Conflict::Replace, Conflict::Reject, Conflict::Wait]),
        steps in prop::collection::vec((any::<prop::sample::Index>(), answer(), 0_u8..8, 0_u64..4000), 1..60),
    ) {
        let mut h = harness(0, conflict);
        h.register(2, "b", conflict);
        let mut revision = 5;
        let mut ended = Vec::new();
        for (which, answer, what, millis) in steps {
            h.trace.clear();
            h.now = h.now + Duration::from_millis(millis);
            let inputs: Vec<_> = match what {
                0 => vec![Input::Command(Command::Deregister {
                    id: RegistrationId(1),
                    within: Duration::from_secs(millis / 100),
                })],
                1 if millis > 3000 => {
                    vec![Input::Command(Command::Shutdown { within: Duration::from_secs(5) })]
                }
                2 => vec![Input::Command(Command::Publish {
                    id: RegistrationId(2),
                    instance: instance("b").with_state(State::OutOfService),
                })],
                _ => {
                    let (attempt, request) = h.asked[which.index(h.asked.len())].clone();
                    revision += 1;
                    let replies = replies(&request, answer, revision);
                    replies.into_iter().map(|reply| Input::Reply { attempt, reply }).collect()
                }
            };
            for input in inputs {
                h.engine.handle(h.now, input);
                while let Some(output) = h.engine.poll_output() {
                    match output {
                        Output::Send { attempt, request, .. } => {
                            if let Request::Grant(grant) = &request {
                                h.leases.extend(grant.lease);
                            }
                            h.asked.push((attempt, request));
                        }
                        Output::Event(Event::Registration { id, event }) => {
                            prop_assert!(!ended.contains(&id), "{event} after the end of {id:?}");
                            if let RegistrationEvent::Gone(_) = event {
                                ended.push(id);
                            }
                        }
                        Output::Event(_)
                        | Output::Cancel { .. }
                        | Output::Redial { .. }
                        | Output::Introduce { .. } => {}
                    }
                }
                ticks_change_nothing(&h);
            }
        }
    }

    /// At rest there is at most one lease more than the keys fill (RG5), whatever came and went,
    /// and whichever answers were lost meanwhile; and just what is wanted stands.
    #[test]
    fn few_leases_at_rest(
        max in 1_u32..6,
        steps in prop::collection::vec((1_u64..40, any::<bool>(), 0_u64..3), 1..80),
        lost in prop::collection::vec(0_usize..60, 0..6),
    ) {
        let mut h = Harness::tuned(|tuning| tuning.max_keys_per_lease = max);
        let mut store = Store { revision: 1, ..Store::default() };
        let (mut wanted, mut last, mut asked) = (BTreeMap::new(), 0, 0);
        for (name, comes, secs) in steps {
            if comes {
                wanted.entry(name).or_insert_with(|| {
                    last += 1;
                    h.register(last, &format!("i{name}"), Conflict::Replace);
                    last
                });
            } else if let Some(id) = wanted.remove(&name) {
                h.deregister(id);
            }
            h.play(secs, |request| {
                asked += 1;
                store.answer(request).filter(|_| !lost.contains(&asked))
            });
        }
        h.play(120, |request| store.answer(request));
        let stand: Vec<_> = store.keys.keys().cloned().collect();
        let mut keys: Vec<_> =
            wanted.keys().map(|name| Key::from(format!("/p/instances/web/i{name}"))).collect();
        keys.sort();
        prop_assert_eq!(&stand, &keys);
        // A lease whose grant was not answered is not kept alive.
        let renewed: BTreeSet<_> = h
            .play(TTL, |request| store.answer(request))
            .iter()
            .filter_map(|(_, request)| {
                let Request::KeepAlive(KeepAlive { lease }) = request else { return None };
                Some(*lease)
            })
            .collect();
        let enough = keys.len().div_ceil(max as usize) + 1;
        prop_assert!(renewed.len() <= enough, "{} for {} keys", renewed.len(), keys.len());
    }
}
