//! The main job as a story. A line is printed when what it says was observed through the library,
//! never before; whatever is not observed in time ends the story, and the exit status is 1.
//!
//! Several registries play the several programs: three that register an instance each, one that
//! follows them, two that change the configuration.

mod cast;
mod race;

use std::time::{Duration, Instant};

use portolan::{Directory, Embedded, Group, RegistrationState, Registry, Snapshot, State};
use serde::Serialize;

use self::cast::{Cast, Program};
use crate::fail::Failure;
use crate::out::{self, Out};
use crate::signals::Signals;
use crate::store::Store;

/// Tells the story; fails if any of it was not observed, or not told. Whatever happens, nothing of
/// it is left but what ends with its lease.
pub async fn run(store: &Store, out: Out) -> Result<(), Failure> {
    let mut end = Signals::listen()?;
    let cast = Cast::new(store)?;
    let mut story = Story { cast, out, begun: Instant::now(), step: "the beginning", lines: 0 };
    let told = tokio::select! {
        biased;
        () = end.next_end() => Err(failed("ended by a signal")),
        told = tokio::time::timeout(LIMIT, story.tell()) => told.unwrap_or_else(|_| {
            Err(failed(format!("not observed within {LIMIT:?}: {}", story.step)))
        }),
    };
    let left = tokio::select! {
        biased;
        () = end.next_end() => Some("whatever was written".to_owned()),
        left = story.cast.clear() => left,
    };
    let told = match left {
        None => told.and_then(|()| story.saw("every step was observed")),
        Some(left) => {
            out::note(format!("demo: left behind: {left}"));
            told.and(Err(failed("not all was cleared up")))
        }
    };
    // Elsewhere a reader who has enough is no failure; a story is told to its end.
    told.map_err(|failure| match failure {
        Failure::Unread => failed("nobody reads the story"),
        Failure::Failed(_) | Failure::Usage(_) | Failure::NotFound(_) => failure,
    })
}

/// All of it takes about 5 s; the longest wait is for a lease's end.
const LIMIT: Duration = Duration::from_secs(14);

/// Less than is left of a lease at any time: it is renewed each third of its 2 s.
const STANDS: Duration = Duration::from_millis(500);

struct Story<'a> {
    cast: Cast<'a>,
    out: Out,
    begun: Instant,
    /// What is to be observed next.
    step: &'static str,
    lines: u32,
}

/// What was observed.
#[derive(Serialize)]
struct Line<'a> {
    line: u32,
    millis: u128,
    step: &'a str,
    observed: &'a str,
}

impl Story<'_> {
    async fn tell(&mut self) -> Result<(), Failure> {
        self.step = "the store answers";
        let follower = self.cast.registry()?;
        self.cast.reached(&follower).await?;
        let stage = self.cast.stage();
        self.saw(&stage)?;

        self.step = "three instances register";
        let first = self.registers(1).await?;
        let second = self.registers(2).await?;
        let third = self.registers(3).await?;

        self.step = "a directory follows";
        let group = follower.group(cast::GROUP).map_err(failed)?;
        let directory = group.directory();
        self.follows(&directory, &[&first, &second, &third]).await?;

        self.step = "two clients change the configuration at the same moment";
        self.configured(&group).await?;

        self.step = "one instance is killed without a word";
        self.killed(&directory, third).await?;

        self.step = "one instance drains and leaves";
        self.drained(&directory, second, &first).await?;

        self.step = "the store restarts";
        let again = match self.cast.embedded() {
            Some(store) => Some(self.restarted(store, &follower, &directory, &first).await?),
            None => {
                self.saw(
                    "left out: the store restarts; only the embedded store is ours to restart",
                )?;
                None
            }
        };

        self.step = "all leave";
        for program in [Some(first), again].into_iter().flatten() {
            program.leave().await?;
        }
        directory.wait_for(Snapshot::is_empty).await.map_err(failed)?;
        self.saw("all leave: removals are confirmed, and the directory has none of them")
    }

    async fn registers(&mut self, number: u8) -> Result<Program, Failure> {
        let program = self.cast.program(number)?;
        let revision = program.registration.ready().await.map_err(failed)?;
        let (id, address) = (program.id(), program.address());
        self.saw(&format!("{id} registers {address}: its record stands at revision {revision}"))?;
        Ok(program)
    }

    async fn follows(
        &mut self,
        directory: &Directory,
        programs: &[&Program],
    ) -> Result<(), Failure> {
        let all_ready = |snapshot: &Snapshot| {
            programs.iter().all(|program| cast::state(snapshot, program.id()) == Some(State::Ready))
        };
        let snapshot = directory.wait_for(all_ready).await.map_err(failed)?;
        let at = snapshot.revision();
        self.saw(&format!("a directory in another program follows: at revision {at} it has all"))?;
        let picked = cast::picks(directory);
        if programs.iter().any(|program| !picked.iter().any(|id| id == program.id())) {
            return Err(failed("picks do not reach every instance"));
        }
        self.saw(&format!("picks reach them in turn: {}", picked.join(", ")))
    }

    async fn configured(&mut self, group: &Group) -> Result<(), Failure> {
        let race = race::run(&self.cast).await?;
        let seen = group.configurations().wait_for(|snapshot| race.survived(snapshot)).await;
        let revision = seen.map_err(failed)?.revision();
        let (base, (first, late)) = (race.base(), race.fields());
        self.saw(&format!("two clients change the configuration at the same moment, from {base}"))?;
        self.saw(&format!(
            "{first} is written first; who sets {late} is shown that, and adds to it"
        ))?;
        self.saw(&format!("both changes survive, at revision {revision}: {}", race.result()))
    }

    async fn killed(&mut self, directory: &Directory, program: Program) -> Result<(), Failure> {
        let id = program.id().to_owned();
        program.registry.abandon().await;
        let killed = Instant::now();
        // Were it removed rather than left behind, it would be gone by now.
        tokio::time::sleep(STANDS).await;
        if cast::state(&directory.snapshot(), &id) != Some(State::Ready) {
            return Err(failed(format!("{id} left before its lease ended")));
        }
        self.saw(&format!("{id} was killed without a word; its record still stands"))?;
        let gone = |snapshot: &Snapshot| cast::state(snapshot, &id).is_none();
        directory.wait_for(gone).await.map_err(failed)?;
        let after = killed.elapsed().as_secs_f32();
        self.saw(&format!("{id} vanishes {after:.1} s later, as its lease of 2 s ends"))
    }

    async fn drained(
        &mut self,
        directory: &Directory,
        mut program: Program,
        other: &Program,
    ) -> Result<(), Failure> {
        let id = program.id().to_owned();
        program.publish(State::Draining)?;
        let draining = |snapshot: &Snapshot| cast::state(snapshot, &id) == Some(State::Draining);
        directory.wait_for(draining).await.map_err(failed)?;
        let picked = cast::picks(directory);
        if picked.contains(&id) || !picked.iter().any(|id| id == other.id()) {
            return Err(failed(format!("{id} drains and is picked nonetheless")));
        }
        self.saw(&format!("{id} drains: the directory shows it, and picks pass it by"))?;
        program.leave().await?;
        let gone = |snapshot: &Snapshot| cast::state(snapshot, &id).is_none();
        directory.wait_for(gone).await.map_err(failed)?;
        self.saw(&format!("{id} leaves: its removal is confirmed, and seen"))
    }

    /// Stops and starts the store; the third program comes back.
    async fn restarted(
        &mut self,
        store: Embedded,
        follower: &Registry,
        directory: &Directory,
        program: &Program,
    ) -> Result<Program, Failure> {
        let id = program.id().to_owned();
        store.stop();
        let kept = |snapshot: &Snapshot| {
            !snapshot.is_live() && cast::state(snapshot, &id) == Some(State::Ready)
        };
        directory.wait_for(kept).await.map_err(failed)?;
        self.saw(&format!("the store stops: the directory says that it is stale, and keeps {id}"))?;
        let stopped_at = follower.status().last_answer;
        store.start();
        let live = |snapshot: &Snapshot| {
            snapshot.is_live() && cast::state(snapshot, &id) == Some(State::Ready)
        };
        directory.wait_for(live).await.map_err(failed)?;
        for registry in [follower, &program.registry] {
            let well = registry
                .wait_for_status(|status| status.is_well() && status.last_answer > stopped_at);
            well.await.ok_or_else(|| failed("a registry ended"))?;
        }
        if !matches!(program.registration.state(), RegistrationState::Registered { .. }) {
            return Err(failed(format!("{id} is not registered any more")));
        }
        self.saw(&format!("the store starts again: the directory is live, and {id} stands"))?;
        let again = self.registers(3).await?;
        let back = |snapshot: &Snapshot| cast::state(snapshot, again.id()) == Some(State::Ready);
        directory.wait_for(back).await.map_err(failed)?;
        self.saw(&format!("{} is back in the directory: all is well", again.id()))?;
        Ok(again)
    }

    fn saw(&mut self, observed: &str) -> Result<(), Failure> {
        self.lines += 1;
        let millis = self.begun.elapsed().as_millis();
        let line = Line { line: self.lines, millis, step: self.step, observed };
        let (seconds, tenths) = (millis / 1_000, millis / 100 % 10);
        self.out.one(format!("{seconds:>2}.{tenths} s  {observed}"), &line)
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(format!("demo: {error}"))
}
