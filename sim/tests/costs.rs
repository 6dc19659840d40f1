//! What a process asks of its store in a minute, by kind: golden numbers. A change that asks more
//! shows here.
//!
//! One process has so many registrations, each in a group of its own; another one a directory of
//! each of these groups. In busy worlds a tenth of the registrations, at least one, publishes
//! every second.

use std::collections::BTreeMap;
use std::fmt::Write;

use portolan_core::Time;
use portolan_core::engine::{Conflict, DirectoryId, RegistrationId};
use portolan_core::instance::State;
use portolan_core::layout::Scope;
use portolan_core::name::{GroupName, InstanceId};
use portolan_core::waist::{Request, WatchSay};
use portolan_sim::plan::{Do, Step, WorldSetup};
use portolan_sim::{Plan, What, World};

/// The kinds, in the order of the columns.
const KINDS: [&str; 9] =
    ["range", "txn", "grant", "revoke", "keepalive", "watch", "progress", "unwatch", "other"];

fn kind(request: &Request) -> &'static str {
    match request {
        Request::Range(_) => "range",
        Request::Txn(_) => "txn",
        Request::Grant(_) => "grant",
        Request::Revoke(_) => "revoke",
        Request::KeepAlive(_) => "keepalive",
        Request::Watch(_) | Request::OnWatch { say: WatchSay::Create(_), .. } => "watch",
        Request::OnWatch { say: WatchSay::Progress, .. } => "progress",
        Request::OnWatch { say: WatchSay::Cancel { .. }, .. } => "unwatch",
        Request::Put(_)
        | Request::Delete(_)
        | Request::Compact(_)
        | Request::TimeToLive(_)
        | Request::Leases
        | Request::Status
        | Request::Members
        | Request::Authenticate => "other",
    }
}

/// Everything begins at once; in busy worlds the publishing goes on to the end.
fn plan(count: u64, busy: bool) -> Plan {
    let group = |number| GroupName::parse(&format!("g{number}")).expect("a name");
    let mut steps = Vec::new();
    for number in 1..=count {
        let (id, instance) = (RegistrationId(number), InstanceId::parse("a").expect("a name"));
        let register = Do::Register {
            process: 0,
            id,
            group: group(number),
            instance,
            conflict: Conflict::Replace,
        };
        steps.push(Step { at_ms: 0, what: register });
        let scope = Scope::Instances(group(number));
        steps
            .push(Step { at_ms: 0, what: Do::Open { process: 1, id: DirectoryId(number), scope } });
    }
    for second in 1..MINUTES * 60 {
        let publishing = if busy { count.div_ceil(10) } else { 0 };
        for number in 0..publishing {
            let id = RegistrationId((second * publishing + number) % count + 1);
            let weight = u16::try_from(second).expect("few minutes");
            let what = Do::Publish { process: 0, id, state: State::Ready, weight };
            steps.push(Step { at_ms: second * 1_000, what });
        }
    }
    Plan::of(1, WorldSetup { processes: 2, ..WorldSetup::default() }, steps)
}

const MINUTES: u64 = 2;

/// Of each process what it asked in the first minute, and in the second one.
fn costs(count: u64, busy: bool) -> String {
    let mut world = World::new(&plan(count, busy));
    let end = Time::from_millis(MINUTES * 60_000);
    let mut asked: BTreeMap<(u16, u64, &str), u64> = BTreeMap::new();
    while world.next_at().is_some_and(|at| at < end) {
        world.step();
        while let Some(entry) = world.poll_entry() {
            if let What::Sent { run, request, .. } = &entry.what {
                let minute = entry.at.as_nanos() / 60_000_000_000 + 1;
                *asked.entry((run.process, minute, kind(request))).or_default() += 1;
            }
        }
    }
    let mut rows = String::new();
    for (process, what) in [(0, "registrations"), (1, "directories")] {
        for minute in [1, MINUTES] {
            let how = if busy { "busy" } else { "idle" };
            write!(rows, "{:26}", format!("{count} {what}, {how}")).expect("a string takes all");
            write!(rows, "{minute:>3}").expect("a string takes all");
            for kind in KINDS {
                let number = asked.get(&(process, minute, kind)).copied().unwrap_or(0);
                write!(rows, "{number:>width$}", width = kind.len() + 2).expect("it takes all");
            }
            rows.push('\n');
        }
    }
    rows
}

#[test]
fn a_minute_costs_what_it_did() {
    let mut table = format!("{:26}min", "what");
    for kind in KINDS {
        write!(table, "  {kind}").expect("a string takes all");
    }
    table.push('\n');
    for count in [1, 10, 1_000] {
        for busy in [false, true] {
            table += &costs(count, busy);
        }
    }
    insta::assert_snapshot!(table);
}
