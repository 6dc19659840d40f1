//! What is broken about registrations and their leases.

use portolan_core::engine::{
    Command, Event, Gone, Input, LossReason, Output, RegistrationEvent, RegistrationId, Setup,
};
use portolan_core::layout::Scope;
use portolan_core::waist::{
    Compare, DeleteRange, KeepAlive, KeyRange, LeaseId, Op, Put, Reply, Request, Revision, Txn,
};

use super::memory::{Memory, guarded};
use crate::check::ops;

/// A registration's event.
fn event(output: &Output) -> Option<(RegistrationId, &RegistrationEvent)> {
    match output {
        Output::Event(Event::Registration { id, event }) => Some((*id, event)),
        _ => None,
    }
}

/// Says more than was said.
fn and(output: Output, more: Option<Output>) -> Vec<Output> {
    [output].into_iter().chain(more).collect()
}

pub(super) fn publish_after_removal(memory: &mut Memory, output: Output) -> Vec<Output> {
    let Some((id, RegistrationEvent::Gone(Gone::Deregistered))) = event(&output) else {
        return vec![output];
    };
    let last = memory.puts.iter().rev().find(|((_, of, _), _)| *of == id);
    let put = last.map(|(_, put)| put.clone()).filter(|_| !memory.closing);
    let more = put.map(|put| memory.send(guarded(put, Revision::ZERO)));
    and(output, more)
}

/// When a registration stands, writes over it what `older` chooses, on the lease that it has.
fn over(
    memory: &mut Memory,
    output: Output,
    older: impl Fn((RegistrationId, u64), (RegistrationId, u64)) -> bool,
) -> Vec<Output> {
    let Some((id, RegistrationEvent::Registered { lease, revision, sequence })) = event(&output)
    else {
        return vec![output];
    };
    let (lease, revision, sequence) = (*lease, *revision, *sequence);
    let mut own = memory.puts.keys().filter(|(_, of, number)| (*of, *number) == (id, sequence));
    let key = own.next().map(|(key, ..)| key.clone());
    let found = memory.puts.iter().find(|((of, other, number), _)| {
        Some(of) == key.as_ref() && older((*other, *number), (id, sequence))
    });
    let put = found.map(|(_, put)| Put { lease: Some(lease), ..put.clone() });
    let more = put.map(|put| memory.send(guarded(put, revision)));
    and(output, more)
}

pub(super) fn earlier_one_again(memory: &mut Memory, output: Output) -> Vec<Output> {
    over(memory, output, |(other, _), (id, _)| other < id)
}

pub(super) fn older_content_again(memory: &mut Memory, output: Output) -> Vec<Output> {
    over(memory, output, |(other, number), (id, sequence)| other == id && number < sequence)
}

/// Changes the transactions that write instances' records.
fn of_records(memory: &Memory, mut output: Output, change: fn(&mut Txn)) -> Vec<Output> {
    if let Output::Send { request, .. } = &mut output {
        let all = memory.layout.ranges(&Scope::AllInstances);
        let of_records = ops::writes(request)
            .iter()
            .any(|write| all.iter().any(|range| range.contains(write.key)));
        if let (true, Request::Txn(txn)) = (of_records, request) {
            each(txn, change);
        }
    }
    vec![output]
}

/// A transaction and all those nested in it.
fn each(txn: &mut Txn, change: fn(&mut Txn)) {
    change(txn);
    for op in txn.then.iter_mut().chain(&mut txn.or_else) {
        if let Op::Txn(nested) = op {
            each(nested, change);
        }
    }
}

pub(super) fn without_lease(memory: &mut Memory, output: Output) -> Vec<Output> {
    of_records(memory, output, |txn| {
        for op in &mut txn.then {
            if let Op::Put(put) = op {
                put.lease = None;
            }
        }
    })
}

pub(super) fn without_compares(memory: &mut Memory, output: Output) -> Vec<Output> {
    of_records(memory, output, |txn| txn.compares.clear())
}

pub(super) fn lease_id_again(memory: &mut Memory, mut output: Output) -> Vec<Output> {
    if let Output::Send { request: Request::Grant(grant), .. } = &mut output {
        grant.lease = memory.first_lease;
    }
    vec![output]
}

pub(super) fn counts_too_long(_: &mut Memory, mut input: Input) -> Vec<Input> {
    if let Input::Reply { reply: Reply::KeepAlive(renewed), .. } = &mut input
        && renewed.ttl_secs > 0
    {
        renewed.ttl_secs += 2;
    }
    vec![input]
}

pub(super) fn loss_untold(_: &mut Memory, output: Output) -> Vec<Output> {
    let lost = RegistrationEvent::Lost { reason: LossReason::LeaseLost };
    if event(&output).is_some_and(|(_, event)| *event == lost) { Vec::new() } else { vec![output] }
}

pub(super) fn loss_told_twice(_: &mut Memory, output: Output) -> Vec<Output> {
    let lost = matches!(event(&output), Some((_, RegistrationEvent::Lost { .. })));
    let more = lost.then(|| output.clone());
    and(output, more)
}

pub(super) fn standing_untold(_: &mut Memory, output: Output) -> Vec<Output> {
    let stands = matches!(event(&output), Some((_, RegistrationEvent::Registered { .. })));
    if stands { Vec::new() } else { vec![output] }
}

pub(super) fn renewed_twice(memory: &mut Memory, output: Output) -> Vec<Output> {
    let again = match &output {
        Output::Send { request: request @ Request::KeepAlive(_), .. } => Some(request.clone()),
        _ => None,
    };
    let more = again.map(|request| memory.send(request));
    and(output, more)
}

pub(super) fn renews_unanswered(memory: &mut Memory, output: Output) -> Vec<Output> {
    let lease = match &output {
        Output::Send { request: Request::Grant(grant), .. } => grant.lease,
        _ => None,
    };
    let more = lease.map(|lease| memory.send(renew(lease)));
    and(output, more)
}

pub(super) fn renews_late(setup: &mut Setup) {
    setup.tuning.renewals_per_ttl = 1;
}

pub(super) fn deletes_first(memory: &mut Memory, output: Output) -> Vec<Output> {
    let Output::Send { request, .. } = &output else { return vec![output] };
    let over = ops::writes(request).into_iter().filter_map(|write| {
        let put = write.put?;
        memory.layout.stamp_of(&put.key, &put.value)?;
        Some((write.key.clone(), write.guard.filter(|guard| *guard > Revision::ZERO)?))
    });
    let over: Vec<_> = over.collect();
    let deletes = over.into_iter().map(|(key, guard)| {
        let keys = KeyRange::one(key.clone());
        memory.send(Request::Txn(Txn {
            compares: vec![Compare::mod_revision(key, guard)],
            then: vec![Op::Delete(DeleteRange { keys, prev_kv: false })],
            or_else: Vec::new(),
        }))
    });
    deletes.chain([output]).collect()
}

pub(super) fn own_watch_late(_: &mut Memory, mut output: Output) -> Vec<Output> {
    if let Output::Send { request: Request::Watch(watch), .. } = &mut output
        && watch.keys.end.is_empty()
    {
        watch.start.0 += 1_000;
    }
    vec![output]
}

pub(super) fn renews_the_dead(memory: &mut Memory, input: Input) -> Vec<Input> {
    if let Input::Reply { reply: Reply::KeepAlive(renewed), .. } = &input
        && renewed.ttl_secs <= 0
    {
        let renewal = memory.send(renew(renewed.lease));
        memory.say_more(renewal);
    }
    vec![input]
}

pub(super) fn renew(lease: LeaseId) -> Request {
    Request::KeepAlive(KeepAlive { lease })
}

pub(super) fn never_heals(memory: &mut Memory, output: Output) -> Vec<Output> {
    if let Some((_, RegistrationEvent::Lost { .. })) = event(&output) {
        memory.lost = true;
    }
    let Output::Send { request, .. } = &output else { return vec![output] };
    let puts = ops::writes(request).into_iter().filter_map(|write| write.put);
    let mut stamps = puts.filter_map(|put| memory.layout.stamp_of(&put.key, &put.value));
    let swallowed = memory.lost && stamps.next().is_some();
    if swallowed { Vec::new() } else { vec![output] }
}

pub(super) fn removal_not_tried(memory: &mut Memory, input: Input) -> Vec<Input> {
    let Input::Command(Command::Deregister { id, .. }) = input else { return vec![input] };
    let event = RegistrationEvent::Gone(Gone::Unconfirmed);
    memory.say_more(Output::Event(Event::Registration { id, event }));
    Vec::new()
}
