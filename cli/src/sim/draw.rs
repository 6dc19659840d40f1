//! `sim run`: drawn plans, a share at a time, so that it can be gone on with.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use portolan_sim::run::{Failure as Fallen, shrink};
use portolan_sim::{Batch, Mix, Property};
use serde::{Deserialize, Serialize};

use crate::args::Draw;
use crate::fail::Failure;
use crate::out::{self, Out};

/// What a run came to.
#[derive(Serialize)]
struct Summary {
    plans: u64,
    virtual_secs: u64,
    entries: u64,
    events: u64,
    failures: u64,
    unproven: Vec<String>,
}

/// How far a run is: what stands in the file of `--state`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    mix: String,
    /// The first seed.
    from: u64,
    /// The seed to go on from: all before it are done.
    next: u64,
    /// Plans that did not hold; they lie in files of their own.
    failures: u64,
    batch: Batch,
}

pub fn run(out: Out, asked: &Draw) -> Result<(), Failure> {
    let Draw { seeds, from, keep, state: file, .. } = asked;
    if !keep.is_dir() {
        return Err(Failure::Usage(format!("--keep {} is no folder", keep.display())));
    }
    let mix = mix(&asked.mix)?;
    let end = from.checked_add(*seeds).ok_or_else(|| {
        Failure::Usage(format!("--from {from} and --seeds {seeds} go beyond {}", u64::MAX))
    })?;
    let mut state = begin(asked)?;
    let mut progress = Progress::begin(&state);
    while state.next < end && state.failures < MOST_FAILURES {
        let share = state.next..end.min(state.next.saturating_add(SHARE));
        let mut batch = Batch::of(share.clone(), &mix, asked.threads(), MOST_FAILURES);
        for fallen in std::mem::take(&mut batch.failures) {
            keep_fallen(fallen, keep)?;
            state.failures += 1;
        }
        state.batch.join(batch);
        state.next = share.end;
        if let Some(file) = file {
            state.write(file)?;
        }
        progress.tell(&state, end);
    }
    state.tell(out)
}

/// Where to begin: at the first seed, or where the file says.
fn begin(asked: &Draw) -> Result<State, Failure> {
    let Draw { mix, from, state: file, .. } = asked;
    let new =
        State { mix: mix.clone(), from: *from, next: *from, failures: 0, batch: Batch::default() };
    let Some(file) = file else { return Ok(new) };
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(new),
        Err(error) => {
            return Err(Failure::Failed(format!("cannot read {}: {error}", file.display())));
        }
    };
    let wrong = |what: String| Failure::Usage(format!("--state {}: {what}", file.display()));
    let state: State =
        serde_json::from_str(&text).map_err(|error| wrong(format!("no such state: {error}")))?;
    if (&state.mix, state.from) != (mix, *from) {
        return Err(wrong(format!(
            "it is of --mix {} --from {}, not of --mix {mix} --from {from}",
            state.mix, state.from
        )));
    }
    Ok(state)
}

/// The mix of a name.
pub fn mix(name: &str) -> Result<Mix, Failure> {
    Mix::named(name).ok_or_else(|| {
        let names: Vec<_> = Mix::NAMES.iter().map(|(name, _)| *name).collect();
        Failure::Usage(format!("--mix {name} is none of {}", names.join(", ")))
    })
}

impl State {
    /// Takes the place of the former one at once, or not at all.
    fn write(&self, file: &Path) -> Result<(), Failure> {
        let failed = |error: String| {
            Failure::Failed(format!("cannot write --state {}: {error}", file.display()))
        };
        let text = serde_json::to_string(self).map_err(|error| failed(error.to_string()))?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.map_or(PathBuf::from("."), Path::to_path_buf);
        let write = || {
            let mut new = tempfile::NamedTempFile::new_in(folder)?;
            new.write_all(text.as_bytes())?;
            new.as_file().sync_all()?;
            new.persist(file)?;
            Ok(())
        };
        write().map_err(|error: std::io::Error| failed(error.to_string()))
    }

    /// What it all came to.
    fn tell(self, out: Out) -> Result<(), Failure> {
        let Self { batch, failures, .. } = self;
        let unproven = batch.unproven();
        // A small batch has not come to everything.
        let enough = batch.plans >= ENOUGH;
        let said =
            if failures == 0 { "all held".to_owned() } else { format!("{failures} did not hold") };
        let text = format!("{batch}: {said}");
        let Batch { plans, virtual_secs, entries, events, .. } = batch;
        let summary = Summary { plans, virtual_secs, entries, events, failures, unproven };
        out.one(text, &summary)?;
        if enough {
            summary.unproven.iter().for_each(|line| out::note(format!("in these plans {line}")));
        }
        if failures > 0 {
            return Err(Failure::Failed(format!("{failures} of {plans} plans did not hold")));
        }
        Ok(())
    }
}

/// Tells now and then how far it is.
struct Progress {
    begun: Instant,
    told: Instant,
    /// The events of what was done before.
    before: u64,
}

impl Progress {
    fn begin(state: &State) -> Self {
        if state.next > state.from {
            out::note(format!("going on from seed {}", state.next));
        }
        let now = Instant::now();
        Self { begun: now, told: now, before: state.batch.events }
    }

    fn tell(&mut self, state: &State, end: u64) {
        let last = state.next == end;
        if self.told.elapsed() < EVERY && !last {
            return;
        }
        self.told = Instant::now();
        let State { from, next, failures, batch, .. } = state;
        let millis = self.begun.elapsed().as_millis().max(1);
        let rate = u128::from(batch.events - self.before) * 1_000 / millis;
        let looked = batch.looked.values().filter(|&&times| times > 0).count();
        out::note(format!(
            "{} of {} seeds, {failures} failures, {} h of virtual time, {rate} events/s, {looked} of \
             {} properties looked at{}",
            next - from,
            end - from,
            batch.virtual_secs / 3_600,
            Property::ALL.len(),
            if last { String::new() } else { format!("; to go on: --from {next}") },
        ));
    }
}

/// Makes a fallen plan small, and keeps it.
fn keep_fallen(fallen: Fallen, folder: &Path) -> Result<(), Failure> {
    let (seed, property) = (fallen.plan.seed, fallen.violation.property);
    let small = shrink(fallen, SHRINKING_TRIES);
    let path = folder.join(format!("{property}-{seed}.json"));
    fs::write(&path, small.plan.to_text())
        .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))?;
    out::note(format!("{}; kept as {}", small.violation, path.display()));
    Ok(())
}

/// Seeds between two looks at the clock and two states written.
const SHARE: u64 = 100;

/// How often a run says how far it is.
const EVERY: Duration = Duration::from_secs(5);

/// A batch of so many has come to everything that is to be proven.
const ENOUGH: u64 = 1_000;

/// A run begins no further share once so many plans did not hold.
const MOST_FAILURES: u64 = 20;

/// Smaller plans tried for each.
const SHRINKING_TRIES: u32 = 2_000;

#[cfg(test)]
mod tests {
    use portolan_sim::Plan;
    use portolan_sim::run::failure_of;

    use super::*;

    /// Where every message travels for ten seconds, nothing is answered in time.
    #[test]
    fn what_fell_is_kept_small() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = r#"{"seed": 9, "world": {"wire": {"delay_us": [10000000, 10000000]}}, "steps": [
            {"at_ms": 0, "do": {"heal": {"process": 0}}},
            {"at_ms": 1, "do": {"open": {"process": 0, "id": 1, "scope": "all-configs"}}},
            {"at_ms": 2, "do": {"heal": {"process": 0}}}]}"#;
        let fallen = failure_of(&Plan::parse(text).expect("a plan")).expect("it does not hold");
        keep_fallen(fallen, folder.path()).expect("it is written");
        let kept = fs::read_to_string(folder.path().join("LV1-9.json")).expect("it is there");
        let kept = Plan::parse(&kept).expect("a plan");
        assert_eq!(kept.steps.len(), 1, "{}", kept.to_text());
        assert!(failure_of(&kept).is_some_and(|fallen| fallen.violation.property == Property::LV1));
    }
}
