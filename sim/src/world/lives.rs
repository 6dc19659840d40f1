//! The lives of processes: they start, end, are held, and have clocks.

use std::collections::VecDeque;

use portolan_core::Time;
use portolan_core::engine::{Input, Setup};

use super::{World, users};
use crate::chance::Purpose;
use crate::process::{Clock, Live};
use crate::subject::Subject;
use crate::trace::{Run, What};

impl World {
    pub(super) fn start(&mut self, process: u16) {
        let Some(there) = self.processes.get_mut(usize::from(process)) else { return };
        there.starts += 1;
        let run = Run { process, start: there.starts };
        let drift_permille =
            self.setup.drift_permille.get(usize::from(process)).copied().unwrap_or(0);
        let clock = Clock::started(self.now, drift_permille);
        let place = u64::from(process);
        let setup = Setup {
            layout: self.setup.layout.clone(),
            tuning: self.setup.tuning.clone(),
            members: self.setup.members,
            authenticates: self.setup.users,
            seed: self.chance.bits(Purpose::Run, place, run.start.into()),
        };
        let kind = self.setup.subjects.of(process);
        let subject = Subject::new(kind, setup, self.setup.broken);
        let live = Live::new(run, clock, subject);
        let stamp = live.subject.stamp();
        there.live = Some(live);
        let commands = there.app.restart();
        if self.setup.users {
            self.wire.introduce(run, users::processes());
        }
        self.note(What::Started { run, stamp, clock });
        for command in commands {
            self.feed(process, Input::Command(command));
        }
    }

    pub(super) fn crash(&mut self, process: u16) {
        let Some(there) = self.processes.get_mut(usize::from(process)) else { return };
        let Some(live) = there.live.take() else { return };
        if let Some(wake) = live.wake {
            self.wakes.remove(&(wake, process));
        }
        self.note(What::Crashed(live.run));
        self.wire.crash(self.now, &mut self.queue, live.run);
    }

    pub(super) fn set_clock(&mut self, process: u16, drift_permille: i16) {
        let Some(there) = self.processes.get_mut(usize::from(process)) else { return };
        let Some(live) = &mut there.live else { return };
        live.clock = live.clock.runs(self.now, drift_permille);
        let (run, clock) = (live.run, live.clock);
        self.note(What::Clocked { run, clock });
        // Its timers are due at other moments of the world.
        self.rewake(process);
    }

    pub(super) fn pause(&mut self, process: u16) {
        let Some(there) = self.processes.get_mut(usize::from(process)) else { return };
        let Some(live) = there.live.as_mut().filter(|live| live.held.is_none()) else { return };
        live.held = Some(VecDeque::new());
        let run = live.run;
        if let Some(wake) = live.wake.take() {
            self.wakes.remove(&(wake, process));
        }
        self.note(What::Paused(run));
    }

    pub(super) fn resume(&mut self, process: u16) {
        let Some(there) = self.processes.get_mut(usize::from(process)) else { return };
        let Some(live) = there.live.as_mut() else { return };
        let Some(held) = live.held.take() else { return };
        let run = live.run;
        self.note(What::Resumed(run));
        for input in held {
            self.feed(process, input);
        }
        self.feed(process, Input::Tick);
    }

    /// Has a process woken when its next timer is due.
    pub(super) fn rewake(&mut self, process: u16) {
        let Some(there) = self.processes.get_mut(usize::from(process)) else { return };
        let Some(live) = there.live.as_mut().filter(|live| live.held.is_none()) else { return };
        let wake = live.due.map(|local| live.clock.world(local).max(self.now));
        if wake != live.wake {
            if let Some(old) = live.wake {
                self.wakes.remove(&(old, process));
            }
            live.wake = wake;
            self.wakes.extend(wake.filter(|&at| at < Time::NEVER).map(|at| (at, process)));
        }
    }
}
