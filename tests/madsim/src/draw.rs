//! Draws plans from seeds.

use portolan_core::Rng;

use crate::plan::{Do, Plan, Step, Way, World};

/// The plan of a seed.
pub fn plan(seed: u64) -> Plan {
    let rng = Rng::new(seed).fork("plan");
    let world = world(&mut rng.fork("world"));
    let mut steps = Vec::new();
    let span = 15_000 + rng.fork("span").below(45_000);
    for process in 0..world.processes {
        begin(&mut rng.fork(&format!("begin {process}")), process, &mut steps);
    }
    work(&mut rng.fork("work"), &world, span, &mut steps);
    faults(&mut rng.fork("faults"), &world, span, &mut steps);
    steps.sort_by_key(|step| step.at_ms);
    Plan { version: 1, about: String::new(), seed, world, steps }
}

fn world(rng: &mut Rng) -> World {
    let least = rng.below(5);
    World {
        processes: 2 + small(rng.below(3)),
        members: if rng.percent(70) { 1 } else { 3 },
        ttl_secs: 2 + rng.below(9),
        latency_ms: (least, least + 1 + rng.below(20)),
        broken: None,
    }
}

/// What a process does first.
fn begin(rng: &mut Rng, process: u16, steps: &mut Vec<Step>) {
    for n in 0..1 + rng.below(3) {
        let (group, instance) = (group(rng), format!("p{process}-{n}"));
        push(steps, rng.below(2_000), Do::Register { process, group, instance });
    }
    for _ in 0..1 + rng.below(2) {
        push(steps, rng.below(2_000), Do::Open { process, group: group(rng) });
    }
}

/// What processes do later.
fn work(rng: &mut Rng, world: &World, span: u64, steps: &mut Vec<Step>) {
    for _ in 0..10 + rng.below(40) {
        let (at, process) = (rng.below(span), small(rng.below(world.processes.into())));
        let group = group(rng);
        // Few ids are shared by two processes, so that they are told of each other.
        let owner = if rng.percent(5) { small(rng.below(world.processes.into())) } else { process };
        let instance = format!("p{owner}-{}", rng.below(4));
        let weight = small(rng.below(1_000));
        let what = match rng.below(100) {
            0..20 => Do::Register { process, group, instance },
            20..40 => Do::Publish { process, group, instance, weight },
            40..45 => Do::Drain { process, group, instance },
            45..58 => Do::Remove { process, group, instance },
            58..66 => Do::Open { process, group },
            66..70 => Do::Close { process, group },
            70..90 => {
                if rng.percent(30) {
                    // Two at once, one of whom has to try again.
                    let other = small(rng.below(world.processes.into()));
                    push(steps, at, Do::Count { process: other, group: group.clone() });
                }
                Do::Count { process, group }
            }
            90..94 => Do::Read { process, group },
            94..97 => {
                let slow_ms = [0, 0, 50, 4_000][usize::from(small(rng.below(4)))];
                Do::Follow { process, slow_ms }
            }
            97 => Do::Unfollow { process },
            _ => Do::Shutdown { process },
        };
        push(steps, at, what);
    }
}

/// What goes wrong, and mostly ends before the plan does.
fn faults(rng: &mut Rng, world: &World, span: u64, steps: &mut Vec<Step>) {
    for _ in 0..1 + rng.below(8) {
        let at = 500 + rng.below(span);
        let process = small(rng.below(world.processes.into()));
        let member = small(rng.below(world.members.into()));
        let one = (world.members > 1 && rng.percent(60)).then_some(member);
        let longest = [1_500, 8_000, 30_000][usize::from(small(rng.below(3)))];
        let until = at + 50 + rng.below(longest);
        let way = [Way::To, Way::From, Way::Both][usize::from(small(rng.below(3)))];
        let (begins, ends) = match rng.below(100) {
            0..40 => {
                (Do::Cut { process, member: one, way }, Some(Do::Heal { process, member: one }))
            }
            40..52 => (Do::Pause { process }, Some(Do::Resume { process })),
            52..60 => (Do::Kill { process }, rng.percent(70).then_some(Do::Restart { process })),
            60..62 => (Do::Restart { process }, None),
            62..64 => (Do::Abandon { process }, None),
            64..76 => (Do::KillMember { member }, Some(Do::RestartMember { member })),
            76..80 => (Do::RestartMember { member }, None),
            80..87 => (Do::PauseMember { member }, Some(Do::ResumeMember { member })),
            87..92 => (
                Do::Lose { permille: 1 + u32::from(small(rng.below(200))) },
                Some(Do::Lose { permille: 0 }),
            ),
            92..97 => {
                let least = rng.below(300);
                let (least_ms, most_ms) = world.latency_ms;
                (
                    Do::Latency { least_ms: least, most_ms: least + 1 + rng.below(1_500) },
                    Some(Do::Latency { least_ms, most_ms }),
                )
            }
            _ => (Do::Compact, None),
        };
        push(steps, at, begins);
        for moment in [at, until] {
            if rng.percent(60) {
                // Just before or after, when it hurts.
                push(steps, (moment + rng.below(60)).saturating_sub(30), touchy(rng, process));
            }
        }
        if let Some(ends) = ends {
            push(steps, until, ends);
        }
    }
}

/// What a fault should not break.
fn touchy(rng: &mut Rng, process: u16) -> Do {
    let (group, instance) = (group(rng), format!("p{process}-{}", rng.below(3)));
    match rng.below(10) {
        0..4 => Do::Count { process, group },
        4..6 => Do::Remove { process, group, instance },
        6..8 => Do::Register { process, group, instance },
        _ => Do::Publish { process, group, instance, weight: small(rng.below(1_000)) },
    }
}

fn group(rng: &mut Rng) -> String {
    ["web", "db"][usize::from(small(rng.below(2)))].to_owned()
}

fn push(steps: &mut Vec<Step>, at_ms: u64, what: Do) {
    steps.push(Step { at_ms, what });
}

fn small(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
