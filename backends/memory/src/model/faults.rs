//! What may happen to the store itself, or to one of its members.

use portolan_core::Rng;
use portolan_core::waist::{Reply, Request, StoreError};

use super::cluster::FIRST_TERM;
use super::member::{Power, Sight, Waiting};
use super::{Backup, Model};
use crate::lessor::Lessor;
use crate::state::State;
use crate::{Fault, Input, Log, MemberFault};

impl Model {
    pub(super) fn fault(&mut self, fault: Fault) {
        let all: Vec<usize> = (0..self.members.len()).collect();
        match fault {
            Fault::Restart => self.restart(&all),
            Fault::Stop => self.stop(&all),
            Fault::Start => self.start(&all),
            Fault::Pause => self.pause(&all),
            Fault::Resume => self.resume(&all),
            Fault::Wipe => self.replace(State::new(), Log::default()),
            Fault::Snapshot => {
                let state = self.head.clone();
                self.backup = Some(Box::new(Backup { state, log: self.log.clone() }));
            }
            Fault::Restore => {
                if let Some(backup) = self.backup.clone() {
                    self.replace(backup.state, backup.log);
                }
            }
            Fault::ReplaceCluster => {
                let mut chance = Rng::new(self.config.cluster_id).fork("cluster");
                self.config.cluster_id = chance.bits();
                self.config.member_id = chance.bits();
                for id in &mut self.config.other_members {
                    *id = chance.bits();
                }
                for (member, id) in self.members.iter_mut().zip(self.config.member_ids()) {
                    member.id = id;
                }
                self.replace(State::new(), Log::default());
            }
            Fault::SpaceAlarm(on) => {
                self.alarms.clear();
                if on {
                    self.alarms.extend(self.members.iter().map(|member| member.id));
                }
            }
            Fault::Overload(on) => {
                for member in &mut self.members {
                    member.overloaded = on;
                }
            }
            Fault::LeaderLost => self.lose_leader(),
            Fault::LeaderBack => {
                if self.cluster.barred {
                    self.cluster.barred = false;
                    if self.members.len() == 1 { self.crown(0) } else { self.elect() }
                }
            }
            Fault::LeaderTo(member) => {
                let m = self.place(member);
                let is_able = self.hears(m) && !self.members[m].missed;
                if is_able && self.cluster.leader != Some(m) {
                    self.crown(m);
                }
            }
            Fault::Expire(lease) => self.cluster.lessor.expire(self.now, lease),
            Fault::Member(member, fault) => self.member_fault(self.place(member), fault),
        }
        // What a leader that has its majority again has to do may be overdue.
        self.run_timers(self.now);
    }

    fn member_fault(&mut self, m: usize, fault: MemberFault) {
        match fault {
            MemberFault::Restart => self.restart(&[m]),
            MemberFault::Stop => self.stop(&[m]),
            MemberFault::Start => self.start(&[m]),
            MemberFault::Pause => self.pause(&[m]),
            MemberFault::Resume => self.resume(&[m]),
            MemberFault::CutOff => self.members[m].cut = true,
            MemberFault::Heal => self.members[m].cut = false,
            MemberFault::Lag => self.members[m].lag = true,
            MemberFault::CatchUp => {
                self.members[m].lag = false;
                if self.hears(m) {
                    self.catch_up(m);
                }
            }
        }
        self.review();
    }

    /// When a member's streams that asked for a leader are ended for want of one (row W17).
    pub(super) fn cut_at(&self, m: usize) -> Option<portolan_core::Time> {
        let member = &self.members[m];
        let wanted = self.config.require_leader && member.sight.leader.is_none();
        (wanted && !member.watches.is_empty())
            .then(|| member.sight.since + self.config.election_timeout * 3)
    }

    pub(super) fn cut_streams(&mut self) {
        for m in 0..self.members.len() {
            let is_on = self.members[m].power == Power::On;
            if is_on && self.cut_at(m).is_some_and(|at| at <= self.now) {
                for (to, attempt) in self.members[m].watches.close_all() {
                    self.reply(m, to, attempt, Reply::Failed(StoreError::NoLeader));
                }
            }
        }
    }

    /// Every member loses sight of its leader, and there will be none.
    fn lose_leader(&mut self) {
        if self.cluster.barred {
            return;
        }
        self.cluster.barred = true;
        self.cluster.elect_at = None;
        self.step_down();
        for member in &mut self.members {
            member.sight = Sight { since: self.now, ..Sight::default() };
            member.mail.clear();
        }
    }

    fn restart(&mut self, chosen: &[usize]) {
        self.stop(chosen);
        self.start(chosen);
    }

    fn pause(&mut self, chosen: &[usize]) {
        for &m in chosen {
            if self.members[m].power == Power::On {
                self.members[m].power = Power::Held;
            }
        }
        self.review();
    }

    /// Their connections break. Of calls under way nobody learns what became of them.
    fn stop(&mut self, chosen: &[usize]) {
        let broken = || {
            let detail = "the store has stopped".to_owned();
            Reply::Failed(StoreError::ConnectionLost { detail })
        };
        for &m in chosen {
            self.members[m].power = Power::Off;
            for (to, attempt) in self.members[m].watches.close_all() {
                self.reply(m, to, attempt, broken());
            }
            for Waiting { from, attempt, what } in std::mem::take(&mut self.members[m].waiting) {
                if !what.is_on_stream() {
                    self.reply(m, from, attempt, broken());
                }
            }
            for input in std::mem::take(&mut self.members[m].held) {
                match input {
                    Input::Request { request: Request::OnWatch { .. }, .. } => {}
                    Input::Request { from, attempt, .. } | Input::Operate { from, attempt, .. } => {
                        self.reply(m, from, attempt, broken());
                    }
                    Input::Cancel { .. }
                    | Input::Disconnect { .. }
                    | Input::Taken { .. }
                    | Input::Admin(_)
                    | Input::Fault(_)
                    | Input::Tick => {}
                }
            }
            self.members[m].mail.clear();
            if self.members.len() == 1 {
                self.cluster.lessor.clear();
            } else if self.cluster.leader == Some(m) {
                self.step_down();
            }
        }
        self.review();
    }

    /// Stopped processes start with the data they have. One alone leads again at once (row R9).
    fn start(&mut self, chosen: &[usize]) {
        let mut any = false;
        for &m in chosen {
            let member = &mut self.members[m];
            if member.power == Power::Off {
                member.power = Power::On;
                member.overloaded = false;
                member.lag = false;
                member.sight = Sight { since: self.now, ..Sight::default() };
                any = true;
                self.recover_tokens(m);
            }
        }
        if any && self.members.len() == 1 {
            self.crown(0);
        } else if any {
            self.review();
        }
    }

    /// Other data take the place of these: a new epoch. Stopped processes stay stopped.
    fn replace(&mut self, state: State, log: Log) {
        let on: Vec<usize> =
            (0..self.members.len()).filter(|&m| self.members[m].power != Power::Off).collect();
        let all: Vec<usize> = (0..self.members.len()).collect();
        self.stop(&all);
        self.head = state;
        self.log = log;
        self.alarms.clear();
        for member in &mut self.members {
            member.behind = None;
            member.missed = false;
            member.tokens.clear();
            member.written = 0;
        }
        self.cluster.epoch += 1;
        // The election makes it the first term.
        self.cluster.term = FIRST_TERM - 1;
        self.cluster.lessor = Lessor::default();
        self.start(&on);
    }
}
