//! The classes of faults, and how each strikes.

use portolan_core::instance::{Data, GroupConfig, Instance, Stamp};
use portolan_core::layout::Layout;
use portolan_core::name::GroupName;
use portolan_core::waist::Key;
use serde::{Deserialize, Serialize};

use super::world::SOON;
use super::{Drawing, Mix};
use crate::plan::{Cut, Do, Kind, Left, MemberFault, Rights, StoreFault, Way};

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A class of faults.
        #[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Class {
            $($(#[$doc])* $name,)*
        }

        impl Class {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

classes! {
    /// A link carries nothing for a while.
    Cut = "cut",
    /// Links are cut one by one, and healed in another order.
    Swizzle = "swizzle",
    /// A connection breaks.
    Reset = "reset",
    /// A connection dies, and nobody notices.
    Blackhole = "blackhole",
    /// Single calls or answers are lost.
    Lose = "lose",
    /// Messages travel longer.
    Slow = "slow",
    /// A process ends, and may come back.
    Crash = "crash",
    /// A process is held.
    Pause = "pause",
    /// The store restarts.
    StoreRestart = "store-restart",
    /// The store is away.
    StoreStop = "store-stop",
    /// The store is held.
    StorePause = "store-pause",
    /// No leader is known.
    LeaderLoss = "leader-loss",
    /// Another member leads.
    Lead = "lead",
    /// A member restarts.
    MemberRestart = "member-restart",
    /// A member is away.
    MemberStop = "member-stop",
    /// A member is held.
    MemberPause = "member-pause",
    /// A member does not reach the others.
    MemberCutOff = "member-cut-off",
    /// A member is behind.
    MemberLag = "member-lag",
    /// The store is full.
    Fill = "fill",
    /// The store's data are lost.
    Wipe = "wipe",
    /// The store goes back to a backup.
    Restore = "restore",
    /// Another cluster stands there.
    Replace = "replace",
    /// The user's rights are taken.
    Rights = "rights",
    /// The user's password is changed.
    Password = "password",
    /// The store forgets its history.
    Compact = "compact",
    /// An operator revokes a lease.
    Revoke = "revoke",
    /// A stranger deletes a key.
    Delete = "delete",
    /// A stranger writes a key.
    Overwrite = "overwrite",
    /// A stranger moves a key to another lease, or off its own.
    Move = "move",
    /// Strangers write more keys than anybody else.
    Crowd = "crowd",
}

impl Class {
    /// How often, in percent, it is present where a class is so in `percent`. A store that forgets
    /// ends much of what a plan began, so that is rarer. Crowds come to worlds that are made for them.
    pub(super) const fn percent(self, percent: u32) -> u32 {
        match self {
            Self::Wipe | Self::Restore | Self::Replace => percent / 5,
            Self::Crowd => 0,
            Self::Cut
            | Self::Swizzle
            | Self::Reset
            | Self::Blackhole
            | Self::Lose
            | Self::Slow
            | Self::Crash
            | Self::Pause
            | Self::StoreRestart
            | Self::StoreStop
            | Self::StorePause
            | Self::LeaderLoss
            | Self::Lead
            | Self::MemberRestart
            | Self::MemberStop
            | Self::MemberPause
            | Self::MemberCutOff
            | Self::MemberLag
            | Self::Fill
            | Self::Rights
            | Self::Password
            | Self::Compact
            | Self::Revoke
            | Self::Delete
            | Self::Overwrite
            | Self::Move => percent,
        }
    }
}

impl Drawing<'_> {
    /// One fault, and its end; nothing, where its class means nothing in this world.
    pub(super) fn draw_fault(&mut self, class: Class) {
        let (at, process, member) = (self.moment(), self.process(), self.member());
        let end = at + self.span();
        match class {
            Class::Cut => {
                let way = [Cut::Up, Cut::Down, Cut::Both][self.rng.below(3) as usize];
                let reset = self.rng.percent(30);
                self.push(at, Do::Cut { process, member, way, reset });
                self.push(end, Do::Heal { process, member });
            }
            Class::Swizzle => self.swizzle(at, end),
            Class::Reset => self.push(at, Do::Reset { process, member }),
            Class::Blackhole => self.push(at, Do::Blackhole { process, member }),
            Class::Lose => {
                let way = if self.rng.percent(70) { Way::Down } else { Way::Up };
                let of = match self.rng.below(7) {
                    0 => None,
                    1 => Some(Kind::Grant),
                    2 => Some(Kind::Revoke),
                    3 => Some(Kind::KeepAlive),
                    4 => Some(Kind::Range),
                    _ => Some(Kind::Txn),
                };
                let count = u32::try_from(self.between((1, 4))).unwrap_or(1);
                let told = self.rng.percent(40);
                self.push(at, Do::Lose { process, member, way, of, count, told });
            }
            Class::Slow => {
                let extra_ms = self.between((10, self.slowest()));
                self.push(at, Do::Slow { process, member, extra_ms });
                self.push(end, Do::Slow { process, member, extra_ms: 0 });
            }
            Class::Crash => {
                if self.rng.percent(30) {
                    self.push(at, Do::Restart { process });
                } else {
                    self.push(at, Do::Crash { process });
                    if self.rng.percent(70) {
                        self.push(end, Do::Restart { process });
                    }
                }
            }
            Class::Pause => {
                self.push(at, Do::Pause { process });
                self.push(end, Do::Resume { process });
            }
            Class::StoreRestart => self.push(at, Do::Store { fault: StoreFault::Restart }),
            Class::StoreStop => {
                self.push(at, Do::Store { fault: StoreFault::Stop });
                self.push(end, Do::Store { fault: StoreFault::Start });
            }
            Class::StorePause => {
                self.push(at, Do::Store { fault: StoreFault::Pause });
                self.push(end, Do::Store { fault: StoreFault::Resume });
            }
            Class::LeaderLoss => {
                self.push(at, Do::Store { fault: StoreFault::LoseLeader });
                self.push(end, Do::Store { fault: StoreFault::RegainLeader });
            }
            Class::Fill => {
                self.push(at, Do::Store { fault: StoreFault::Fill });
                self.push(end, Do::Store { fault: StoreFault::MakeRoom });
            }
            Class::Wipe => self.push(at, Do::Store { fault: StoreFault::Wipe }),
            Class::Restore => {
                self.push(at, Do::Store { fault: StoreFault::Backup });
                self.push(end, Do::Store { fault: StoreFault::Restore });
            }
            Class::Replace => self.push(at, Do::Store { fault: StoreFault::Replace }),
            Class::Rights if self.world.users => {
                let may = if self.rng.percent(50) { Rights::Read } else { Rights::Nothing };
                self.push(at, Do::Rights { may });
                self.push(end, Do::Rights { may: Rights::All });
            }
            Class::Password if self.world.users => {
                self.push(at, Do::Password { right: false });
                self.push(end, Do::Password { right: true });
            }
            Class::Rights | Class::Password => {}
            Class::Lead => {
                let member = self.one_member();
                self.push(at, Do::Lead { member });
            }
            Class::MemberRestart => self.member_fault(at, MemberFault::Restart, None),
            Class::MemberStop => {
                self.member_fault(at, MemberFault::Stop, Some((end, MemberFault::Start)));
            }
            Class::MemberPause => {
                self.member_fault(at, MemberFault::Pause, Some((end, MemberFault::Resume)));
            }
            Class::MemberCutOff => {
                self.member_fault(at, MemberFault::CutOff, Some((end, MemberFault::Rejoin)));
            }
            Class::MemberLag => {
                self.member_fault(at, MemberFault::Lag, Some((end, MemberFault::CatchUp)));
            }
            Class::Compact => {
                let keep = self.rng.below(4);
                self.push(at, Do::Compact { keep });
            }
            Class::Revoke => {
                if let Some((key, _)) = self.target() {
                    self.push(at, Do::RevokeOf { key });
                }
            }
            Class::Delete => {
                if let Some((key, _)) = self.target() {
                    self.push(at, Do::DeleteKey { key });
                }
            }
            Class::Overwrite => {
                if let Some((key, lease_secs)) = self.target() {
                    let value = self.value(&key);
                    self.push(at, Do::PutKey { key, value, lease_secs });
                }
            }
            Class::Move => {
                if let Some((key, lease_secs)) = self.target() {
                    self.push(at, Do::MoveKey { key, lease_secs });
                }
            }
            Class::Crowd => self.crowd(at, end),
        }
    }

    /// A crowd, and mostly somebody who is cut off meanwhile and has to catch up.
    fn crowd(&mut self, at: u64, end: u64) {
        let group = self.group();
        // Half of them are long to catch up with. Where all is taken one by one, few are enough.
        let (at_once, count) = match self.rng.below(4) {
            _ if !self.crowded => (1, (20, 60)),
            0 => (10, (200, 1_500)),
            1 => (100, (200, 1_500)),
            _ => (1, (1_000, 1_500)),
        };
        let count = u16::try_from(self.between(count)).unwrap_or(20);
        let secs = u32::try_from(self.between((2, 6))).unwrap_or(2);
        let lease_secs = self.rng.percent(50).then_some(secs);
        if at_once == 1 || self.rng.percent(60) {
            let (process, member) = (self.process(), None);
            self.push(at, Do::Cut { process, member, way: Cut::Both, reset: true });
            self.push(end, Do::Heal { process, member });
        }
        self.push(at + 1, Do::Crowd { group, count, at_once, lease_secs });
    }

    /// Faults that last when all else heals: of a process, of a member, or of both.
    pub(super) fn left(&mut self, mix: &Mix) -> Left {
        let mut left = Left::default();
        let at = self.end_ms;
        if self.rng.percent(mix.left_percent) {
            let process = self.process();
            let cut = |way| Do::Cut { process, member: None, way, reset: false };
            let what = match self.rng.below(4) {
                0 => Do::Pause { process },
                1 => cut(Cut::Up),
                2 => cut(Cut::Down),
                _ => cut(Cut::Both),
            };
            self.push(at, what);
            left.processes.push(process);
        }
        if self.world.members > 2 && self.rng.percent(mix.left_percent) {
            let member = self.one_member();
            let fault = match self.rng.below(4) {
                0 => MemberFault::Stop,
                1 => MemberFault::Pause,
                2 if self.shows_lagging() => MemberFault::Lag,
                _ => MemberFault::CutOff,
            };
            self.push(at, Do::Member { member, fault });
            left.members.push(member);
        }
        left
    }

    /// Whether it shows soon that a member has stopped applying: no answer of its own tells, only
    /// an audit does, and followers have none.
    fn shows_lagging(&self) -> bool {
        let follows = self.steps.iter().any(|step| matches!(step.what, Do::Follow { .. }));
        self.world.tuning.audit_every <= SOON && !follows
    }

    /// Links cut one by one, and healed one by one in another order.
    fn swizzle(&mut self, from: u64, to: u64) {
        let mut links: Vec<_> = (0..self.world.processes)
            .flat_map(|process| (0..self.world.members).map(move |member| (process, member)))
            .collect();
        self.shuffle(&mut links);
        links.truncate(usize::try_from(self.between((2, 6))).unwrap_or(2));
        let gap = (to - from) / 12;
        let mut at = from;
        for &(process, member) in &links {
            let way = [Cut::Up, Cut::Down, Cut::Both][self.rng.below(3) as usize];
            self.push(at, Do::Cut { process, member: Some(member), way, reset: false });
            at += gap;
        }
        self.shuffle(&mut links);
        at = to;
        for (process, member) in links {
            self.push(at, Do::Heal { process, member: Some(member) });
            at += gap;
        }
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.rng.below(last as u64 + 1)).unwrap_or(0);
            items.swap(last, other);
        }
    }

    /// Something that happens to one of several members, and its end.
    fn member_fault(&mut self, at: u64, fault: MemberFault, end: Option<(u64, MemberFault)>) {
        let member = self.one_member();
        if self.world.members > 1 {
            self.push(at, Do::Member { member, fault });
            if let Some((end, fault)) = end {
                self.push(end, Do::Member { member, fault });
            }
        }
    }

    fn one_member(&mut self) -> u16 {
        u16::try_from(self.rng.below(self.world.members.into())).unwrap_or(0)
    }

    fn slowest(&self) -> u64 {
        self.world.tuning.attempt_timeout.as_millis() as u64 * 2
    }

    /// What a stranger meddles with, and the time to live of its lease, if it has one.
    fn target(&mut self) -> Option<(Key, Option<u32>)> {
        let key = match self.rng.below(10) {
            0 => Key::from(format!("/kv/{}", self.rng.below(3))),
            1 | 2 => {
                let group = self.group();
                self.world.layout.config_key(&group)?
            }
            _ => self.key()?,
        };
        let secs = u32::try_from(self.between((2, 6))).unwrap_or(2);
        Some((key, self.rng.percent(50).then_some(secs)))
    }

    /// What a stranger writes: a configuration or a record of its own, or nothing that anybody can
    /// read.
    fn value(&mut self, key: &Key) -> String {
        let config = |group: &GroupName| self.world.layout.config_key(group).as_ref() == Some(key);
        let group =
            ["web", "db"].iter().filter_map(|name| GroupName::parse(name).ok()).find(config);
        if let Some(group) = group.filter(|_| self.rng.percent(60)) {
            let count = self.rng.below(9);
            let data = Data::parse(&format!("{{\"count\":{count}}}")).expect("this is JSON");
            let config = GroupConfig::new(group, data);
            let written = self.world.layout.encode_config(&config, 1);
            let value = written.map(|written| String::from_utf8_lossy(&written.value).into_owned());
            return value.unwrap_or_default();
        }
        let at = usize::try_from(self.rng.below(self.places.len() as u64)).unwrap_or(0);
        let Some((group, id)) = self.places.get(at).cloned() else { return String::new() };
        if self.rng.percent(40) {
            return "not a record".to_owned();
        }
        let stamp = Stamp { run: 1, registration: 1, sequence: self.between((1, 9)) };
        let instance = Instance::builder(group, id).build().expect("names alone are enough");
        let written = Layout::encode_instance(&self.world.layout, &instance, stamp);
        let value = written.ok().and_then(|mut written| written.pop());
        value.map_or(String::new(), |written| String::from_utf8_lossy(&written.value).into_owned())
    }
}
