//! What to begin with: some sequences that reach each of the rows.

use portolan_core::waist::{
    KeyRange, MemberId, Op, Ordering, Put, Range, Request, Sort, SortTarget, Txn,
};
use portolan_memory::{Fault, MemberFault, Operation};

use super::script::{Act, Branches, Deed, Erase, Guess, Names, Setup, Step, View, Write};
use crate::tape;

/// Them, by name.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let plain = Setup { copied_after: 2, ..Setup::default() };
    let three = Setup { members: 2, ..plain.clone() };
    let full = Setup { stream_bytes: Some(180), history_bytes: Some(2_000), ..plain.clone() };
    let parts = Setup { fragment_bytes: Some(100), is_talkative: true, ..plain.clone() };
    let users = Setup { has_users: true, ..plain.clone() };
    let small = Setup { txn_ops: 3, ..plain.clone() };
    let old = Setup { release: 1, ..plain.clone() };
    let all = [
        ("keys", plain.clone(), keys()),
        ("transactions", plain.clone(), transactions()),
        ("too-large", small, transactions()),
        ("leases", plain.clone(), leases()),
        ("the-past", plain.clone(), the_past()),
        ("the-past-of-old", old, the_past()),
        ("slow", full, slow()),
        ("parts", parts, the_past()),
        ("restart", plain.clone(), faults(Fault::Restart)),
        ("restore", plain, faults(Fault::Restore)),
        ("lag", three.clone(), lag()),
        ("no-leader", three, faults(Fault::LeaderLost)),
        ("users", users, users_ask()),
    ];
    all.into_iter()
        .map(|(name, setup, steps)| {
            let mut bytes = tape::write(&[setup]);
            bytes.extend(tape::write(&steps));
            (name.to_owned(), bytes)
        })
        .collect()
}

fn act(step: Step) -> Act {
    Act { by: 0, member: 0, step }
}

fn put(key: u8, lease: u8) -> Step {
    Step::Put(Write { key, value: key + 1, lease, flags: 1 })
}

const ALL: Names = Names { from: 0, to: 1 };

fn one(from: u8) -> Names {
    Names { from, to: 0 }
}

fn erase(keys: Names) -> Erase {
    Erase { keys, prev_kv: true }
}

fn watch(keys: Names, start: u8) -> Step {
    Step::Watch(View { keys, start, flags: 1, id: 0 })
}

fn keys() -> Vec<Act> {
    let kept = Write { key: 1, value: 0, lease: 0, flags: 7 };
    let steps = [
        watch(ALL, 0),
        put(1, 0),
        put(2, 0),
        put(1, 0),
        Step::Put(kept),
        Step::Read(ALL, 1),
        Step::Delete(erase(Names { from: 1, to: 3 })),
        Step::Delete(erase(one(1))),
        Step::Compact(1),
        Step::AskProgress(0),
        Step::Another(0, View { keys: one(2), start: 4, flags: 16, id: 7 }),
        Step::Unwatch(0, 7),
        Step::Cancel(4),
    ];
    steps.map(act).into()
}

fn transactions() -> Vec<Act> {
    let write = |key: u8| Deed::Put(Write { key, value: key, lease: 0, flags: 0 });
    let delete = |keys: Names| Deed::Delete(erase(keys));
    let then = |then: Vec<Deed>| Branches { then, ..Branches::default() };
    let guess = Guess { keys: one(0), target: 2, result: Ordering::Less, number: 0 };
    let either = Branches {
        guesses: vec![guess],
        then: vec![write(0), Deed::Read(ALL), delete(one(1))],
        or_else: vec![write(1), Deed::Txn(then(vec![write(0), delete(one(2))]))],
    };
    let apart = Branches { then: vec![write(3)], or_else: vec![write(3)], ..Branches::default() };
    let raw = Txn {
        then: vec![
            Op::Put(Put { key: "a".into(), value: "v".into(), ..Put::default() }),
            Op::Range(Range {
                sort: Some((SortTarget::Mod, Sort::Descending)),
                ..Range::of(KeyRange::all())
            }),
        ],
        ..Txn::default()
    };
    let steps = [
        watch(Names { from: 0, to: 2 }, 0),
        Step::Txn(then(Vec::new())),
        Step::Txn(then(vec![write(0), write(1), write(2)])),
        Step::Txn(either.clone()),
        Step::Txn(then(vec![write(0), write(0)])),
        Step::Txn(then(vec![write(0), delete(Names { from: 0, to: 3 })])),
        Step::Txn(then(vec![write(0), delete(Names { from: 0, to: 2 })])),
        Step::Txn(then(vec![Deed::Txn(apart.clone()), Deed::Txn(then(vec![delete(one(3))]))])),
        Step::Txn(then(vec![Deed::Txn(then(vec![delete(one(3))])), Deed::Txn(apart)])),
        Step::Txn(then(vec![Deed::Txn(either)])),
        Step::Ask(Box::new(Request::Txn(raw))),
    ];
    steps.map(act).into()
}

fn leases() -> Vec<Act> {
    let steps = [
        Step::Grant(1, 2),
        Step::Grant(2, 5),
        Step::Grant(0, 3),
        watch(ALL, 0),
        put(0, 1),
        put(1, 1),
        put(0, 2),
        put(2, 2),
        put(3, 3),
        Step::KeepAlive(1),
        Step::TimeToLive(2),
        Step::Wait(2_600),
        Step::Revoke(2),
        Step::Put(Write { key: 4, value: 1, lease: 0, flags: 4 }),
        Step::Wait(3_000),
    ];
    steps.map(act).into()
}

fn the_past() -> Vec<Act> {
    let mut steps: Vec<_> = (0..7).map(|number| put(number % 3, 0)).collect();
    steps.extend([
        Step::Delete(erase(ALL)),
        watch(ALL, 8),
        watch(one(1), 9),
        watch(Names { from: 0, to: 4 }, 2),
        put(1, 0),
        Step::Wait(100),
        Step::AskProgress(1),
        Step::Compact(3),
        watch(ALL, 6),
        watch(ALL, 9),
        Step::Wait(250),
        Step::Unwatch(0, 0),
        put(0, 0),
        Step::Wait(5_000),
    ]);
    steps.into_iter().map(act).collect()
}

fn slow() -> Vec<Act> {
    let mut steps = vec![watch(ALL, 0), watch(one(1), 0)];
    for number in 0..12 {
        steps.extend([put(number, 0), Step::Take(number, number), Step::Wait(60)]);
    }
    steps.into_iter().map(act).collect()
}

fn faults(fault: Fault) -> Vec<Act> {
    let steps = [
        Step::Grant(1, 4),
        put(0, 1),
        watch(ALL, 4),
        Step::Fault(Fault::Snapshot),
        put(1, 0),
        Step::Fault(Fault::Pause),
        put(1, 0),
        watch(ALL, 0),
        Step::Fault(Fault::Resume),
        Step::Fault(fault),
        watch(ALL, 5),
        put(2, 1),
        Step::Wait(9_000),
        Step::Fault(Fault::LeaderBack),
        put(2, 0),
        Step::Wait(9_000),
    ];
    steps.map(act).into()
}

fn lag() -> Vec<Act> {
    let at = |member: u8, step: Step| Act { by: 1, member, step };
    let fault = |fault| Step::Fault(Fault::Member(MemberId(1), fault));
    vec![
        at(1, watch(ALL, 0)),
        at(0, put(0, 0)),
        at(1, fault(MemberFault::Lag)),
        at(0, put(1, 0)),
        at(1, put(2, 0)),
        at(1, watch(ALL, 5)),
        at(1, watch(ALL, 2)),
        at(1, Step::Wait(200)),
        at(0, Step::Compact(0)),
        at(1, fault(MemberFault::CatchUp)),
        at(0, fault(MemberFault::CutOff)),
        at(0, put(3, 0)),
        at(1, Step::Wait(3_000)),
        at(0, fault(MemberFault::Heal)),
        at(0, Step::Fault(Fault::Member(MemberId(0), MemberFault::Stop))),
        at(2, Step::Wait(3_000)),
        at(2, put(4, 0)),
    ]
}

fn users_ask() -> Vec<Act> {
    let by = |by: u8, step: Step| Act { by, member: 0, step };
    vec![
        by(0, put(0, 0)),
        by(0, Step::Login),
        by(1, Step::Login),
        by(0, Step::Grant(1, 5)),
        by(1, put(0, 0)),
        by(1, put(4, 0)),
        by(1, watch(one(1), 0)),
        by(1, watch(ALL, 0)),
        by(0, put(1, 0)),
        by(0, Step::Operate(Box::new(Operation::Users))),
        by(0, Step::Fault(Fault::Restart)),
        by(1, put(1, 0)),
    ]
}
