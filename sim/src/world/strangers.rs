//! What others do to the store, past the wire.

use portolan_core::instance::{Instance, Stamp};
use portolan_core::layout::{Layout, Written};
use portolan_core::name::{GroupName, InstanceId};
use portolan_core::waist::{
    AttemptId, Compact, Grant, Key, LeaseId, MemberId, Op, Put, Request, Revision, Txn,
};
use portolan_memory::{self as memory, Identity};

use super::{STRANGER, STRANGERS_LEASES, World, users};

impl World {
    pub(super) fn compact(&mut self, keep: u64) {
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        let revision = Revision(self.store.revision().0.saturating_sub(keep));
        if revision.0 > 0 {
            self.ask(Request::Compact(Compact { revision, physical: false }));
        }
    }

    pub(super) fn move_key(&mut self, key: Key, lease_secs: Option<u32>) {
        if self.store.record(&key).is_some() {
            let lease = lease_secs.map(|secs| self.grant(secs));
            let put = Put { key, lease, ignore_value: true, ..Put::default() };
            self.ask(Request::Put(put));
        }
    }

    /// A stranger's own lease.
    pub(super) fn grant(&mut self, secs: u32) -> LeaseId {
        self.stranger.leases += 1;
        let lease = LeaseId::new(STRANGERS_LEASES + self.stranger.leases).expect("above 0");
        self.ask(Request::Grant(Grant { lease: Some(lease), ttl_secs: secs.into() }));
        lease
    }

    /// A stranger asks the store, past the wire; with a token of its own if one is needed.
    pub(super) fn ask(&mut self, request: Request) {
        if self.setup.users {
            self.stranger.identity = Identity::of(Some(users::operator()));
            self.ask_as_it_is(Request::Authenticate);
        }
        self.ask_as_it_is(request);
    }

    pub(super) fn ask_as_it_is(&mut self, request: Request) {
        self.stranger.attempts += 1;
        let attempt = AttemptId(self.stranger.attempts);
        let (from, member) = (STRANGER, MemberId(0));
        let pass = self.stranger.identity.pass(&request);
        self.tell_store(memory::Input::Request { from, attempt, member, request, pass });
    }

    pub(super) fn crowd(
        &mut self,
        group: &GroupName,
        count: u16,
        at_once: u16,
        lease_secs: Option<u32>,
    ) {
        for first in (0..count).step_by(usize::from(at_once.max(1))) {
            let lease = lease_secs.map(|secs| self.grant(secs));
            let numbers = first..count.min(first.saturating_add(at_once));
            let puts = numbers.filter_map(|number| instance(&self.setup.layout, group, number));
            let puts = puts.map(|put| Op::Put(Put { lease, ..put })).collect();
            self.ask(Request::Txn(Txn { then: puts, ..Txn::default() }));
        }
    }
}

/// The record of one of a crowd; `None` where the layout has none.
fn instance(layout: &Layout, group: &GroupName, number: u16) -> Option<Put> {
    let id = InstanceId::parse(&format!("crowd-{number:05}")).ok()?;
    let instance = Instance::builder(group.clone(), id).build().ok()?;
    let stamp = Stamp { run: 1, registration: number.into(), sequence: 1 };
    let Written { key, value } = layout.encode_instance(&instance, stamp).ok()?.pop()?;
    Some(Put { key, value, ..Put::default() })
}
