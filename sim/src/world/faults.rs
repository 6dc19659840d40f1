//! What happens to the store and its members, and the end of all faults.

use portolan_core::waist::MemberId;
use portolan_memory::{self as memory, Fault};

use super::{LogEnd, World};
use crate::plan::{Left, MemberFault, StoreFault};
use crate::trace::What;

impl World {
    /// Ends all faults at once, but for what is to be left: links carry, the store runs, held
    /// processes go on, slow readers hurry. Processes that have crashed stay so.
    pub fn heal(&mut self, left: &Left) {
        self.note(What::Healed(left.clone()));
        self.mend(left);
    }

    pub(super) fn mend(&mut self, left: &Left) {
        self.wire.heal_all(self.now, &mut self.queue, &left.processes);
        if left.members.is_empty() {
            self.store_fault(StoreFault::Resume);
            self.store_fault(StoreFault::Start);
        }
        self.store_fault(StoreFault::RegainLeader);
        self.store_fault(StoreFault::MakeRoom);
        for member in self.members().filter(|member| !left.members.contains(&member.0)) {
            if !left.members.is_empty() {
                self.member_fault(member, MemberFault::Resume);
                self.member_fault(member, MemberFault::Start);
            }
            self.member_fault(member, MemberFault::Rejoin);
            self.member_fault(member, MemberFault::CatchUp);
        }
        self.heal_users();
        for process in 0..self.processes.len() as u16 {
            if !left.processes.contains(&process) {
                self.processes[usize::from(process)].app.hurry();
                self.resume(process);
            }
        }
    }

    pub(super) fn store_fault(&mut self, fault: StoreFault) {
        match fault {
            StoreFault::Wipe => self.begin_history(fault, Fault::Wipe, LogEnd::default()),
            StoreFault::Replace => {
                self.begin_history(fault, Fault::ReplaceCluster, LogEnd::default());
            }
            StoreFault::Restore => {
                if let Some(backup) = self.backup {
                    self.begin_history(fault, Fault::Restore, backup);
                }
            }
            StoreFault::Backup => {
                self.tell_store(memory::Input::Fault(Fault::Snapshot));
                self.backup = Some(self.told);
                self.note(What::Stored(fault));
            }
            StoreFault::Restart => self.power(fault, Fault::Restart),
            StoreFault::Stop => self.power(fault, Fault::Stop),
            StoreFault::Start => self.power(fault, Fault::Start),
            StoreFault::Pause => self.power(fault, Fault::Pause),
            StoreFault::Resume => self.power(fault, Fault::Resume),
            StoreFault::LoseLeader => self.power(fault, Fault::LeaderLost),
            StoreFault::RegainLeader => self.power(fault, Fault::LeaderBack),
            StoreFault::Fill => self.power(fault, Fault::SpaceAlarm(true)),
            StoreFault::MakeRoom => self.power(fault, Fault::SpaceAlarm(false)),
        }
    }

    /// Other data take the place of the store's: what its log had up to `kept`, and nothing later.
    /// All members that run start anew.
    fn begin_history(&mut self, fault: StoreFault, model_fault: Fault, kept: LogEnd) {
        for member in self.members() {
            self.end(member);
            self.wire.member_goes_on(member);
        }
        self.told = kept;
        self.note(What::Stored(fault));
        self.forget_users(fault);
        self.tell_store(memory::Input::Fault(model_fault));
    }

    /// Something happens to the processes of all members.
    fn power(&mut self, fault: StoreFault, model_fault: Fault) {
        let before = self.standings();
        for member in self.members() {
            match fault {
                StoreFault::Restart | StoreFault::Stop => self.end(member),
                StoreFault::Pause => self.hold(member),
                StoreFault::Resume => self.wire.member_goes_on(member),
                StoreFault::Start
                | StoreFault::LoseLeader
                | StoreFault::RegainLeader
                | StoreFault::Fill
                | StoreFault::MakeRoom
                | StoreFault::Wipe
                | StoreFault::Backup
                | StoreFault::Restore
                | StoreFault::Replace => {}
            }
        }
        self.tell_store(memory::Input::Fault(model_fault));
        if fault == StoreFault::Restart || self.standings() != before {
            self.note(What::Stored(fault));
        }
        self.note_wire();
    }

    pub(super) fn member_fault(&mut self, member: MemberId, fault: MemberFault) {
        let model_fault = match fault {
            MemberFault::Restart => memory::MemberFault::Restart,
            MemberFault::Stop => memory::MemberFault::Stop,
            MemberFault::Start => memory::MemberFault::Start,
            MemberFault::Pause => memory::MemberFault::Pause,
            MemberFault::Resume => memory::MemberFault::Resume,
            MemberFault::CutOff => memory::MemberFault::CutOff,
            MemberFault::Rejoin => memory::MemberFault::Heal,
            MemberFault::Lag => memory::MemberFault::Lag,
            MemberFault::CatchUp => memory::MemberFault::CatchUp,
        };
        if member.0 >= self.setup.members {
            return;
        }
        let before = self.standings();
        match fault {
            MemberFault::Restart | MemberFault::Stop => self.end(member),
            MemberFault::Pause => self.hold(member),
            MemberFault::Resume => self.wire.member_goes_on(member),
            MemberFault::Start
            | MemberFault::CutOff
            | MemberFault::Rejoin
            | MemberFault::Lag
            | MemberFault::CatchUp => {}
        }
        self.tell_store(memory::Input::Fault(Fault::Member(member, model_fault)));
        if fault == MemberFault::Restart || self.standings() != before {
            self.note(What::Membered { member, fault });
        }
        self.note_wire();
    }

    /// The member's process ends: its connections break.
    fn end(&mut self, member: MemberId) {
        for from in self.wire.member_ended(self.now, &mut self.queue, member) {
            self.tell_store(memory::Input::Disconnect { from });
        }
    }

    fn hold(&mut self, member: MemberId) {
        if self.store.members().any(|view| view.member == member && view.is_up) {
            self.wire.member_held(self.now, &mut self.queue, member);
        }
    }

    /// How each member is, but for what time alone changes.
    fn standings(&self) -> Vec<memory::MemberView> {
        let same =
            |view| memory::MemberView { revision: portolan_core::waist::Revision::ZERO, ..view };
        self.store.members().map(same).collect()
    }

    fn members(&self) -> impl Iterator<Item = MemberId> + use<> {
        (0..self.setup.members).map(MemberId)
    }
}
