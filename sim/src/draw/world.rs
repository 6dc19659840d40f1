//! The world of a plan.

use std::time::Duration;

use portolan_core::layout::Layout;
use portolan_core::tuning::Guard;
use portolan_core::{Rng, Tuning};

use super::{Drawing, Mix};
use crate::plan::{Subjects, WireSetup, WorldSetup};

pub(super) fn world(mut rng: Rng, mix: &Mix) -> WorldSetup {
    let rest = rest(&mut rng.fork("rest"));
    let (clocks, mut sizes_from) = (rng.fork("clocks"), rng.fork("sizes"));
    let mut between = |least: u64, most: u64| Drawing::number(&mut rng, (least, most));
    let few_or_many = |drawn: u64, few: u64, many: u32| {
        if drawn < few { u32::try_from(drawn + 1).unwrap_or(many) } else { many }
    };
    let attempt_ms = between(300, 1_500);
    let base_ms = between(20, 100);
    let tuning = Tuning {
        lease_ttl: Duration::from_secs(between(2, 6)),
        max_keys_per_lease: few_or_many(between(0, 7), 4, 1_000),
        clock_error_permille: u32::try_from(between(10, 50)).unwrap_or(10),
        renewals_per_ttl: u32::try_from(between(3, 4)).unwrap_or(3),
        attempt_timeout: Duration::from_millis(attempt_ms),
        backoff_base: Duration::from_millis(base_ms),
        backoff_cap: Duration::from_millis(base_ms * between(2, 20)),
        backoff_slow_cap: Duration::from_secs(between(2, 4)),
        jitter_percent: u32::try_from(between(0, 90)).unwrap_or(90),
        healthy_after: Duration::from_millis(between(500, 5_000)),
        retry_burst: u32::try_from(between(2, 64)).unwrap_or(64),
        retries_per_sec: u32::try_from(between(4, 32)).unwrap_or(32),
        page_limit: few_or_many(between(0, 5), 3, 10_000),
        probe_after: Duration::from_millis(between(500, 3_000)),
        probe_timeout: Duration::from_millis(between(300, 1_500)),
        batch_keys: few_or_many(between(0, 5), 3, 126),
        ..rest
    };
    let last = VERSIONS.len() as u64 - 1;
    let version = VERSIONS[usize::try_from(between(0, last)).unwrap_or(0)];
    let store = portolan_memory::Config {
        sync_revisions: if between(0, 2) == 0 { between(1, 3) as usize } else { 1_000 },
        sync_interval: Duration::from_millis(between(10, 200)),
        progress_interval: Duration::from_millis(between(500, 20_000)),
        seed: between(0, u64::MAX - 1),
        ..portolan_memory::Config::of_version(version).unwrap_or_default()
    };
    // A round trip fits twice into what an attempt or a probe waits.
    let waited_ms = attempt_ms.min(tuning.probe_timeout.as_millis() as u64);
    let slowest_us = waited_ms * 1_000 / 5;
    let delay_us = match between(0, 3) {
        0 => (100, 500),
        1 => (500, slowest_us),
        _ => (500, 8_000),
    };
    let percent = |drawn: u64| [0, 50, 100][usize::try_from(drawn).unwrap_or(0) % 3];
    let wire = WireSetup {
        delay_us,
        detect_ms: between(500, 4_000),
        linger_percent: percent(between(0, 2)),
        late_percent: percent(between(0, 2)),
        late_answer_percent: percent(between(0, 2)),
        duplicate_percent: if between(0, 2) == 0 { 20 } else { 0 },
        ..WireSetup::default()
    };
    let processes = between(mix.processes.0.into(), mix.processes.1.into());
    let members = between(mix.members.0.into(), mix.members.1.into());
    let mut world = WorldSetup {
        processes: u16::try_from(processes).unwrap_or(1).max(1),
        members: u16::try_from(members).unwrap_or(1).max(1),
        drift_permille: drifts(clocks, processes),
        think_us: if between(0, 1) == 0 { (0, 0) } else { (0, 200_000) },
        users: between(0, 3) == 0,
        layout: Layout::default(),
        subjects: Subjects::default(),
        tuning,
        store,
        wire,
        broken: None,
    };
    if world.store.quirks.compaction_drops_delete {
        // A watch that is served slowly is not told of a delete exactly where they compact, and no
        // answer shows that: the next audit does, in a quarter of an hour.
        world.store.sync_revisions = portolan_memory::Config::default().sync_revisions;
    }
    if world.users && between(0, 1) == 0 {
        world.store.token_ttl = Duration::from_secs(between(1, 5));
    }
    world.tuning.follow_events = few_or_many(between(0, 5), 3, 8_192);
    world.tuning.follow_bytes = if between(0, 5) == 0 { 600 } else { 16 << 20 };
    sizes(&mut sizes_from, &mut world);
    world
}

/// How large answers may be: small ones in some worlds, so that few records are too many.
fn sizes(rng: &mut Rng, world: &mut WorldSetup) {
    let mut between = |least: u64, most: u64| Drawing::number(rng, (least, most));
    if between(0, 3) == 0 {
        world.store.fragment_bytes = Some(between(300, 2_000));
    }
    if between(0, 7) == 0 {
        world.wire.decode_bytes = between(2_000, 8_000);
        // As every sound setup has it: the parts of a revision are smaller than what is taken in.
        // Nobody is told in parts what a transaction answers.
        world.store.fragment_bytes.get_or_insert(world.wire.decode_bytes / 2);
        world.tuning.batch_keys = world.tuning.batch_keys.min(3);
    }
}

/// How far clocks are off: mostly less than engines reckon with, sometimes by up to a fifth.
fn drifts(mut rng: Rng, processes: u64) -> Vec<i16> {
    let most = if rng.percent(20) { 200 } else { 9 };
    let mut drift = || i16::try_from(rng.below(2 * most + 1)).unwrap_or(0);
    let most = i16::try_from(most).unwrap_or(0);
    (0..processes).map(|_| drift() - most).collect()
}

/// The constants on which little hangs, mostly as they are by default.
fn rest(rng: &mut Rng) -> Tuning {
    let mut between = |least: u64, most: u64| Drawing::number(rng, (least, most));
    let mut tuning = Tuning::default();
    if between(0, 2) == 0 {
        tuning.audit_every = Duration::from_secs(between(2, SOON.as_secs()));
    }
    if between(0, 2) == 0 {
        tuning.guard = if between(0, 1) == 0 { Guard::On } else { Guard::Off };
    }
    tuning.guard_hold = Duration::from_secs(between(1, 20));
    if between(0, 2) == 0 {
        tuning.own_watches = u32::try_from(between(0, 2)).unwrap_or(0);
        // Of what is not watched nothing but its audit tells what a restored store has brought back.
        tuning.audit_every = tuning.audit_every.min(SOON);
    }
    tuning.sweeps_per_ttl = u32::try_from(between(1, 3)).unwrap_or(1);
    if between(0, 2) == 0 {
        tuning.batch_bytes = u32::try_from(between(1, 2_000)).unwrap_or(1);
    }
    tuning.quarantine_base = Duration::from_millis(between(100, 2_000));
    tuning.quarantine_cap = tuning.quarantine_base * u32::try_from(between(1, 10)).unwrap_or(1);
    tuning.census_within = match between(0, 3) {
        0 => None,
        _ => Some(Duration::from_millis(between(200, 2_000))),
    };
    if between(0, 2) == 0 {
        tuning.max_in_flight = u32::try_from(between(1, 8)).unwrap_or(1);
    }
    if between(0, 2) == 0 {
        tuning.max_in_flight_bytes = 3 << 19;
    }
    if between(0, 2) == 0 {
        tuning.member_list_every = Some(Duration::from_secs(between(1, 15)));
    }
    tuning
}

/// Audits that come as often as this show what nothing else does before a plan ends.
pub(super) const SOON: Duration = Duration::from_secs(15);

/// The releases that stores are drawn from. Older ones answer progress out of step and forget a
/// delete where they compact; the next owe progress until an event; the next tell it before a watch has
/// begun; then the newest of each line.
const VERSIONS: &[&str] =
    &["3.4.23", "3.5.7", "3.4.30", "3.5.10", "3.4.37", "3.5.16", "3.5.30", "3.6.6", "3.7.0"];
