//! The simulator: how fast worlds go by, all checks on, the trace hashed and not told.

use std::time::{Duration, Instant};

use allocation_counter::measure;
use portolan_core::Time;
use portolan_core::engine::{Conflict, DirectoryId, RegistrationId};
use portolan_core::instance::State;
use portolan_core::layout::Scope;
use portolan_core::name::{GroupName, InstanceId};
use portolan_sim::plan::{Do, Step, WorldSetup};
use portolan_sim::{Batch, Mix, Plan, Runner, World};

use super::{median, micros, time};
use crate::Row;

pub fn all() -> Vec<Row> {
    let mut rows: Vec<_> = [3, 100, 1_000].into_iter().map(speed).collect();
    rows.push(seeds());
    rows.extend(snapshots());
    rows
}

/// Each process registers an instance, ten in a group, shows that group in a directory, and
/// publishes every ten seconds. No faults.
fn plan(processes: u16, secs: u64) -> Plan {
    let mut steps = Vec::new();
    for process in 0..processes {
        let group = GroupName::parse(&format!("g{}", process / 10)).expect("a name");
        let instance = InstanceId::parse(&format!("p{process}")).expect("a name");
        let (id, conflict) = (RegistrationId(1), Conflict::Replace);
        let scope = Scope::Instances(group.clone());
        let register = Do::Register { process, id, group, instance, conflict };
        let offset = u64::from(process) * 10_000 / u64::from(processes);
        steps.push(Step { at_ms: offset, what: register });
        let what = Do::Open { process, id: DirectoryId(1), scope };
        steps.push(Step { at_ms: offset, what });
        for at_ms in (10_000 + offset..secs * 1_000).step_by(10_000) {
            let weight = u16::try_from(at_ms / 1_000).unwrap_or(0);
            let what = Do::Publish { process, id, state: State::Ready, weight };
            steps.push(Step { at_ms, what });
        }
    }
    Plan::of(1, WorldSetup { processes, ..WorldSetup::default() }, steps)
}

/// A plan's length in seconds, and a moment at which its world has settled.
const fn length(processes: u16) -> (u64, u64) {
    match processes {
        0..=3 => (3_600, 20),
        4..=100 => (300, 20),
        _ => (40, 20),
    }
}

fn speed(processes: u16) -> Row {
    let (secs, _) = length(processes);
    let plan = plan(processes, secs);
    let mut rates = Vec::new();
    for _ in 0..3 {
        let mut runner = Runner::new(&plan, false);
        let spent = time(|| runner.run_until(Time::from_millis(secs * 1_000))).as_nanos().max(1);
        assert!(runner.violation().is_none(), "{:?}", runner.violation());
        let events = u128::from(runner.events()) * 1_000_000_000 / spent;
        rates.push((events, u128::from(secs) * 1_000_000_000_000 / 3_600 / spent));
    }
    let (events, millihours) = median(rates);
    let (what, aim, least) = match processes {
        3 => ("simulator, 3 processes: events/s, virtual h/s", "≥ 1,000,000 /s", 1_000_000),
        100 => ("the same, 100 processes", "report", 0),
        _ => ("the same, 1,000 processes", "≥ 300,000 /s", 300_000),
    };
    Row {
        what,
        against: "–",
        aim,
        measured: format!("{events} /s, {}.{:03} h/s", millihours / 1_000, millihours % 1_000),
        met: (least > 0).then_some(events >= least),
    }
}

fn seeds() -> Row {
    let mix = Mix::default();
    let rates = (0..3_u64).map(|round| {
        let started = Instant::now();
        let seeds = round * 100..round * 100 + 100;
        let batch = Batch::of(seeds, &mix, 1, u64::MAX);
        assert!(batch.failures.is_empty(), "{:?}", batch.failures);
        batch.plans * 1_000 / started.elapsed().as_millis().max(1) as u64
    });
    let measured = median(rates.collect());
    Row {
        what: "simulator, drawn plans of the mix full, one core",
        against: "–",
        aim: "≥ 200 seeds/s",
        measured: format!("{measured} seeds/s"),
        met: Some(measured >= 200),
    }
}

/// What a snapshot of a settled world takes; of the bytes of all that it holds, those that are its
/// own and not shared with what was cloned.
fn snapshots() -> Vec<Row> {
    let of = |processes| {
        let (secs, settled) = length(processes);
        let plan = plan(processes, secs);
        let mut world = World::new(&plan);
        let grown = measure(|| {
            while world.next_at().is_some_and(|at| at < Time::from_secs(settled)) && world.step() {
                while world.poll_entry().is_some() {}
            }
        });
        let samples: Vec<Duration> = (0..20).map(|_| time(|| world.clone())).collect();
        let mut copy = None;
        let copied = measure(|| copy = Some(world.clone()));
        drop(copy);
        let each = |bytes: i64| bytes / i64::from(processes);
        let (all, own) = (each(grown.bytes_current), each(copied.bytes_current));
        Row {
            what: match processes {
                3 => "a settled world of 3 processes: a snapshot, bytes a process",
                100 => "the same, 100 processes",
                _ => "the same, 1,000 processes",
            },
            against: "–",
            aim: "report",
            measured: format!("{}, {all} B; {own} B in a snapshot", micros(median(samples))),
            met: None,
        }
    };
    [3, 100, 1_000].into_iter().map(of).collect()
}
