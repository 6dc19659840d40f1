//! What must hold: the simulator's properties (`docs/properties.md`), on the way and at rest, and some of
//! this simulation's own, of what the simulator does not have: handles, a driver, tasks, calls.
//!
//! | | what must hold |
//! |---|---|
//! | MS1 | handles say at rest what is so, and whatever was waited for has ended |
//! | MS2 | directories show at rest what the store has |
//! | MS3 | what was counted was counted once: neither lost when told done, nor done when told not |
//! | MS4 | a shutdown of a healthy world is confirmed |
//! | MS5 | and leaves neither record nor lease |
//! | MS6 | and no call open, at either end |
//! | MS7 | and no task |
//! | MS8 | the simulation ends, without a panic |
//! | MS9 | the store does nothing that nobody has asked for |
//! | MS10 | the differences of a directory make what it shows, however slow their reader |
//!
//! Of the simulator's some have nothing to look at here: EF5, LV7 (its own kind of dead connection), LV8
//! and LV12 (nothing stays cut off, and no store is replaced).

use std::fmt;
use std::time::Duration;

use portolan::{RegistrationState, Scope};
use portolan_core::layout::{Decoded, Layout};
use portolan_core::waist::{Key, Revision};
use portolan_sim::{Property, Violation};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::app::{Counter, Order, Process, Seen};
use crate::record;
use crate::world::World;

/// The simulator's properties that are looked at; none named: all.
pub const HELD_TO: &[Property] = &[];

/// What did not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// One of the simulator's properties.
    Property(Violation),
    /// One of this simulation's own: its name, and what was found.
    Own(&'static str, String),
}

impl Failure {
    /// The property's name.
    pub fn name(&self) -> String {
        match self {
            Self::Property(violation) => violation.property.to_string(),
            Self::Own(name, _) => (*name).to_owned(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Property(violation) => violation.fmt(f),
            Self::Own(name, text) => write!(f, "{name}: {text}"),
        }
    }
}

/// Waits until a healed world has come to rest, or should have.
pub async fn rest(world: &World) {
    let (quiet, limit) = (world.setup.quiet_time(), world.setup.settling_time());
    let healed = Instant::now();
    let mut at_rest_since = None;
    loop {
        sleep(Duration::from_secs(1)).await;
        let revision = world.etcd.look(portolan_memory::Model::revision);
        let (left, failed) = record::with(|record| {
            let left = record.checks.unrest(revision).left;
            (left, !record.checks.violations().is_empty())
        })
        .unwrap_or_default();
        let since = if left == 0 {
            *at_rest_since.get_or_insert_with(Instant::now)
        } else {
            at_rest_since = None;
            Instant::now()
        };
        if failed || since.elapsed() >= quiet || healed.elapsed() >= limit {
            break;
        }
    }
    record::with(|record| record.checks.at_rest());
}

/// What must hold at rest, as programs see it through the library.
pub async fn seen(world: &World, failures: &mut Vec<Failure>) {
    for process in world.living() {
        let (tell, told) = oneshot::channel();
        // What was shut down shows what it showed last.
        if is_closed(process) || !process.order(Order::Look(tell)) {
            continue;
        }
        let Ok(Ok(seen)) = timeout(PATIENCE, told).await else {
            let text = format!("process {} does not do what it is told", process.number);
            failures.push(Failure::Own("MS1", text));
            continue;
        };
        let waits = process.waits.count();
        if waits > 0 {
            let text = format!("{waits} calls of process {} have not ended", process.number);
            failures.push(Failure::Own("MS1", text));
        }
        agree(world, process.number, &seen, failures);
    }
}

/// MS1: handles show what the engine has told, and calls have ended. MS2: what directories show is the
/// store. MS10: their differences make what they show.
fn agree(world: &World, process: u16, seen: &Seen, failures: &mut Vec<Failure>) {
    for (name, state) in &seen.registrations {
        let at_rest =
            matches!(state, RegistrationState::Registered { .. } | RegistrationState::Gone(_));
        if !at_rest {
            let text = format!("process {process}: registration {name} is {state:?}");
            failures.push(Failure::Own("MS1", text));
        }
    }
    for text in &seen.trouble {
        failures.push(Failure::Own("MS10", format!("process {process}: {text}")));
    }
    for (group, shown) in &seen.directories {
        let Ok(name) = portolan::GroupName::parse(group) else { continue };
        let truth = standing(world, &Scope::Instances(name));
        if *shown != truth {
            let text = format!(
                "process {process}: the directory of {group} shows {shown:?}, the store has {truth:?}"
            );
            failures.push(Failure::Own("MS2", text));
        }
    }
}

fn standing(world: &World, scope: &Scope) -> Vec<(Key, Revision)> {
    let ranges = Layout::default().ranges(scope);
    let store = world.etcd.look(|model| model.store_at(model.revision()).unwrap_or_default());
    let within = |key: &Key| ranges.iter().any(|range| range.contains(key));
    let records = store.iter().filter(|(key, _)| within(key));
    records.map(|(key, kv)| (key.clone(), kv.mod_revision)).collect()
}

/// MS3: what was counted was counted once, however often it was sent.
pub fn counted(world: &World, failures: &mut Vec<Failure>) {
    let layout = Layout::default();
    for (group, counts) in world.tally.counts() {
        let Ok(name) = portolan::GroupName::parse(&group) else { continue };
        let Some(key) = layout.config_key(&name) else { continue };
        let found = world.etcd.look(|model| model.record(&key).map(|kv| kv.value.clone()));
        let found = found.map_or(0, |value| match layout.decode(&key, &value) {
            Decoded::Config(config) => Counter::read(config.data()).count,
            Decoded::Instance(_) | Decoded::Ignored | Decoded::Bad(_) => 0,
        });
        let (least, most) = (counts.done, counts.began - counts.refused);
        if !(least..=most).contains(&found) {
            let text = format!("{group} was counted to {found}, but should be {least} to {most}");
            failures.push(Failure::Own("MS3", text));
        }
    }
}

/// MS4: a shutdown of a healthy world is confirmed. MS5: it leaves neither record nor lease.
pub async fn farewell(world: &World, failures: &mut Vec<Failure>) {
    for process in world.living() {
        let (tell, told) = oneshot::channel();
        let had_ended = is_closed(process);
        if !process.order(Order::End(tell)) {
            continue;
        }
        let confirmed = matches!(timeout(PATIENCE, told).await, Ok(Ok(true)));
        if !confirmed && !had_ended {
            let text = format!("the shutdown of process {} was not confirmed", process.number);
            failures.push(Failure::Own("MS4", text));
        }
    }
    let leases = world.etcd.look(|model| model.leases().count());
    let records = standing(world, &Scope::AllInstances);
    if leases > 0 || !records.is_empty() {
        let text = format!("after all are gone there are {leases} leases, and {records:?}");
        failures.push(Failure::Own("MS5", text));
    }
}

/// MS6: no call stays open. MS7: no task is left but those that serve.
pub async fn leaks(world: &World, failures: &mut Vec<Failure>) {
    let until = Instant::now() + PATIENCE;
    loop {
        let open = (world.calls.count(), world.answers.count());
        let left: Vec<_> = world.tasks().into_iter().filter(is_leak).collect();
        if open == (0, 0) && left.is_empty() {
            return;
        }
        if Instant::now() >= until {
            if open != (0, 0) {
                let text = format!("{} calls are open, and {} answers", open.0, open.1);
                failures.push(Failure::Own("MS6", text));
            }
            if !left.is_empty() {
                failures.push(Failure::Own("MS7", format!("tasks that are left: {left:?}")));
            }
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn is_closed(process: &Process) -> bool {
    record::with(|record| record.is_closed(process.run())).unwrap_or_default()
}

/// Every host has one task that stays: it serves, lets time pass, or waits for nothing any more.
fn is_leak((host, tasks): &(String, usize)) -> bool {
    host != "main" && *tasks > 1
}

/// How long a healthy world takes for anything.
const PATIENCE: Duration = Duration::from_secs(20);
