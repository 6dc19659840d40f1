//! What may happen to the store itself.

use std::time::Duration;

use portolan_core::waist::{KeepAlive, Reply, Request, StoreError};
use portolan_core::{Rng, Time};

use super::leases::span;
use super::member::{Later, Power, Waiting, Waits};
use super::{Backup, FIRST_TERM, Model};
use crate::lessor::Lessor;
use crate::log::LeaseStep;
use crate::state::State;
use crate::{Fault, Input, Log};

impl Model {
    pub(super) fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Restart => {
                self.stop();
                self.start();
            }
            Fault::Stop => self.stop(),
            Fault::Start => {
                if self.power == Power::Off {
                    self.start();
                }
            }
            Fault::Pause => {
                if self.power == Power::On {
                    self.power = Power::Held;
                }
            }
            Fault::Resume => self.resume(),
            Fault::Wipe => self.replace(State::new(), Log::default()),
            Fault::Snapshot => {
                let state = self.member.state.clone();
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
                self.replace(State::new(), Log::default());
            }
            Fault::SpaceAlarm(on) => self.member.full = on,
            Fault::Overload(on) => self.member.overloaded = on,
            Fault::LeaderLost => {
                if self.leaderless_since.is_none() {
                    self.leaderless_since = Some(self.now);
                    self.step_down();
                }
            }
            Fault::LeaderBack => {
                if self.leaderless_since.take().is_some() {
                    self.term += 1;
                    self.lead();
                    self.take_up_waiting();
                }
            }
        }
    }

    /// When streams that asked for a leader are ended for want of one (row W17).
    pub(super) fn cut_at(&self) -> Option<Time> {
        let since = self.leaderless_since.filter(|_| self.config.require_leader)?;
        (!self.member.watches.is_empty()).then(|| since + self.config.election_timeout * 3)
    }

    pub(super) fn cut_streams(&mut self) {
        if self.cut_at().is_some_and(|at| at <= self.now) {
            for (to, attempt) in self.member.watches.close_all() {
                self.reply(to, attempt, Reply::Failed(StoreError::NoLeader));
            }
        }
    }

    /// Answers the calls that have waited for a leader too long (rows G7, L8).
    pub(super) fn give_up_waiting(&mut self) {
        let now = self.now;
        let is_over =
            |call: &Waiting| matches!(call.what, Waits::Leader { until, .. } if until <= now);
        if !self.waiting.iter().any(is_over) {
            return;
        }
        let (over, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(is_over);
        self.waiting = rest;
        for Waiting { from, attempt, what } in over {
            if let Waits::Leader { otherwise, .. } = what {
                self.reply(from, attempt, Reply::Failed(otherwise));
            }
        }
    }

    /// Goes on with the calls that have waited for a leader, in order.
    fn take_up_waiting(&mut self) {
        for Waiting { from, attempt, what } in std::mem::take(&mut self.waiting) {
            match what {
                Waits::Leader { later: Later::Request(request), .. } => {
                    self.request(from, attempt, request);
                }
                Waits::Leader { later: Later::Command(command), .. } => {
                    match self.propose(from, attempt, command) {
                        Ok(None) => {}
                        Ok(Some(reply)) => self.reply(from, attempt, reply),
                        Err(error) => self.reply(from, attempt, Reply::Failed(error)),
                    }
                }
                Waits::Revoke { .. } => self.waiting.push(Waiting { from, attempt, what }),
            }
        }
    }

    /// The countdowns belong to the leader. A renewal that waited for a revoke is sent to the next
    /// leader instead (`LeaseRenew` in `server/etcdserver/v3_server.go`).
    fn step_down(&mut self) {
        self.lessor.clear();
        let until = self.now + self.config.request_timeout();
        for call in &mut self.waiting {
            if let Waits::Revoke { lease, .. } = call.what {
                let later = Later::Request(Request::KeepAlive(KeepAlive { lease }));
                call.what = Waits::Leader { later, until, otherwise: StoreError::NoLeader };
            }
        }
    }

    /// All connections break. Of calls under way nobody learns what became of them.
    fn stop(&mut self) {
        self.power = Power::Off;
        let broken = || {
            let detail = "the store has stopped".to_owned();
            Reply::Failed(StoreError::ConnectionLost { detail })
        };
        for (to, attempt) in self.member.watches.close_all() {
            self.reply(to, attempt, broken());
        }
        for Waiting { from, attempt, .. } in std::mem::take(&mut self.waiting) {
            self.reply(from, attempt, broken());
        }
        for input in std::mem::take(&mut self.held) {
            if let Input::Request { from, attempt, request, .. } = input
                && !matches!(request, Request::OnWatch { .. })
            {
                self.reply(from, attempt, broken());
            }
        }
        self.lessor.clear();
    }

    /// A stopped process starts with the data it has, and leads again (row R9).
    fn start(&mut self) {
        self.power = Power::On;
        self.leaderless_since = None;
        self.member.overloaded = false;
        self.term += 1;
        self.lead();
    }

    /// Other data take the place of these: a new epoch. A stopped process stays stopped.
    fn replace(&mut self, state: State, log: Log) {
        let was_off = self.power == Power::Off;
        self.stop();
        self.member.state = state;
        self.log = log;
        self.member.full = false;
        self.epoch += 1;
        // The start makes it the first term.
        self.term = FIRST_TERM - 1;
        if !was_off {
            self.start();
        }
    }

    /// A new leader starts every countdown over, a little longer than granted (row L10).
    fn lead(&mut self) {
        self.lessor = Lessor::default();
        let leases: Vec<_> =
            self.member.state.leases.iter().map(|(&id, lease)| (id, lease.ttl_secs)).collect();
        for (lease, ttl_secs) in leases {
            let longer: Duration = span(ttl_secs).saturating_add(self.config.election_timeout);
            let expires = self.lessor.start(self.now, lease, longer);
            self.log_lease(lease, LeaseStep::Prolonged { expires });
        }
    }

    fn resume(&mut self) {
        if self.power != Power::Held {
            return;
        }
        self.power = Power::On;
        self.run_timers(self.now);
        for input in std::mem::take(&mut self.held) {
            self.handle(self.now, input);
        }
    }
}
