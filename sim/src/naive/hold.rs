//! A registration: a lease, a put, and what else the client does about it.
//!
//! One call of a registration is under way at a time, as a program's would be that waits for each.

use std::time::Duration;

use portolan_core::Time;
use portolan_core::engine::{Event, Gone, RegistrationEvent, RegistrationId};
use portolan_core::instance::Instance;
use portolan_core::layout::{Layout, Stamp};
use portolan_core::waist::{
    DeleteRange, Grant, KeepAlive, Key, KeyRange, LeaseId, Put, Range, Reply, Request, StoreError,
    TimeToLive,
};

use super::calls::{Calls, Why};
use super::lease::Keeper;
use super::ways::{LeaseFirst, Lost, Removal, Rewrite, Ways};

/// A registration of one of these clients.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Hold {
    id: RegistrationId,
    ways: Ways,
    instance: Instance,
    sequence: u64,
    pub key: Key,
    doing: Doing,
    /// Whether there is something to write.
    unwritten: bool,
    leaving: bool,
    /// Its lease, and when the time for which it was granted is over.
    lease: Option<(LeaseId, Time)>,
    keepers: Vec<Keeper>,
    /// When what failed is tried again.
    again: Option<Time>,
    /// When it is written again though nothing in it has changed.
    rewrite_at: Option<Time>,
}

/// What is under way.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
enum Doing {
    Nothing,
    /// A former registration of the key is being removed.
    Queued,
    /// Waits for the process's lease.
    Shared,
    Granting,
    AskingForLease,
    Putting,
    Deleting,
    /// Looking whether the group has records left.
    Counting,
    DeletingGroup,
}

/// What a registration needs to know of its process.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub layout: &'a Layout,
    pub run: u64,
    pub ttl: Duration,
}

/// What a registration wants of its process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Wish {
    /// The process's lease.
    SharedLease,
    /// It has ended, and is to be forgotten.
    Over(Gone),
}

impl Hold {
    pub fn new(id: RegistrationId, ways: Ways, instance: Instance, key: Key, queued: bool) -> Self {
        Self {
            id,
            ways,
            instance,
            sequence: 1,
            key,
            doing: if queued { Doing::Queued } else { Doing::Nothing },
            unwritten: true,
            leaving: false,
            lease: None,
            keepers: Vec::new(),
            again: None,
            rewrite_at: None,
        }
    }

    pub fn publish(&mut self, instance: Instance) {
        self.instance = instance;
        self.sequence += 1;
        self.unwritten = true;
        self.again = None;
    }

    pub fn leave(&mut self) {
        self.leaving = true;
    }

    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// The former registration of its key is over.
    pub fn follow(&mut self) {
        if self.doing == Doing::Queued {
            self.doing = Doing::Nothing;
        }
    }

    /// Begins what is to be done next, unless something is under way.
    pub fn go_on(&mut self, calls: &mut Calls, around: Around<'_>) -> Option<Wish> {
        match self.doing {
            Doing::Queued | Doing::Shared if self.leaving => {
                return Some(Wish::Over(Gone::Deregistered));
            }
            Doing::Nothing => {}
            Doing::Queued
            | Doing::Shared
            | Doing::Granting
            | Doing::AskingForLease
            | Doing::Putting
            | Doing::Deleting
            | Doing::Counting
            | Doing::DeletingGroup => return None,
        }
        if self.leaving {
            let keys = KeyRange::one(self.key.clone());
            return match self.ways.removal {
                Removal::Delete | Removal::DeleteAndTidy => {
                    self.ask(calls, Doing::Deleting, delete(keys));
                    None
                }
                Removal::Leave => Some(Wish::Over(Gone::Unconfirmed)),
            };
        }
        if !self.unwritten || self.again.is_some() {
            return None;
        }
        match self.lease {
            None if self.ways.shared_lease => {
                self.doing = Doing::Shared;
                return Some(Wish::SharedLease);
            }
            None => {
                let ttl_secs = i64::try_from(around.ttl.as_secs()).unwrap_or(i64::MAX);
                let grant = Request::Grant(Grant { lease: None, ttl_secs });
                self.rewrite_at = self.next_rewrite(calls, around);
                self.ask(calls, Doing::Granting, grant);
            }
            Some((lease, _)) => return self.put(calls, around, lease),
        }
        None
    }

    /// The process's lease is there, or was refused.
    pub fn on_shared(&mut self, calls: &mut Calls, lease: Result<LeaseId, StoreError>) {
        if self.doing != Doing::Shared {
            return;
        }
        self.doing = Doing::Nothing;
        match lease {
            Ok(lease) => self.lease = Some((lease, calls.now())),
            Err(error) => self.failed(calls, error),
        }
    }

    /// Its own lease ended.
    pub fn on_lost(&mut self, calls: &Calls, lease: LeaseId) {
        match self.ways.lost {
            Lost::Nothing => self.keepers.retain(|keeper| keeper.lease != lease),
            Lost::Replace { pause } => {
                self.keepers.retain(|keeper| keeper.lease != lease);
                self.lease = self.lease.filter(|&(known, _)| known != lease);
                self.unwritten = true;
                self.again = Some(calls.now() + pause);
            }
            Lost::Insist { pause } => {
                let keeper = self.keepers.iter_mut().find(|keeper| keeper.lease == lease);
                if let Some(keeper) = keeper {
                    keeper.insist(calls, pause);
                }
            }
        }
    }

    pub fn on_renewal(&mut self, calls: &Calls, lease: LeaseId, reply: &Reply) {
        let keeper = self.keepers.iter_mut().find(|keeper| keeper.lease == lease);
        if keeper.is_some_and(|keeper| keeper.on_reply(calls, reply)) {
            self.on_lost(calls, lease);
        }
    }

    pub fn on_timer(&mut self, calls: &mut Calls, around: Around<'_>) {
        let mut lost = Vec::new();
        for keeper in &mut self.keepers {
            if keeper.on_timer(calls) {
                lost.push(keeper.lease);
            }
        }
        for lease in lost {
            self.on_lost(calls, lease);
        }
        let now = calls.now();
        let is_due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if self.doing != Doing::Nothing || !is_due(self.again) && !is_due(self.rewrite_at) {
            return;
        }
        self.again = None;
        self.unwritten = true;
        let Some(rewrite) = self.ways.rewrite else { return };
        self.rewrite_at = self.next_rewrite(calls, around);
        let Some((lease, until)) = self.lease else { return };
        match rewrite.lease {
            LeaseFirst::Renew => {
                let renew = Request::KeepAlive(KeepAlive { lease });
                self.ask(calls, Doing::AskingForLease, renew);
            }
            LeaseFirst::Ask if now < until => {
                let ask = Request::TimeToLive(TimeToLive { lease, keys: false });
                self.ask(calls, Doing::AskingForLease, ask);
            }
            // Its keeper goes on.
            LeaseFirst::Ask => self.lease = None,
        }
    }

    /// Hears the answer to what was under way.
    pub fn on_reply(
        &mut self,
        calls: &mut Calls,
        around: Around<'_>,
        reply: Reply,
    ) -> Option<Wish> {
        let doing = std::mem::replace(&mut self.doing, Doing::Nothing);
        match (doing, reply) {
            (Doing::Granting, Reply::Grant(reply)) => {
                let ttl = Duration::from_secs(u64::try_from(reply.ttl_secs).unwrap_or(0));
                self.granted(calls, reply.lease, ttl);
            }
            (Doing::AskingForLease, Reply::TimeToLive(reply)) if reply.ttl_secs > 0 => {}
            (Doing::AskingForLease, Reply::KeepAlive(reply)) if reply.ttl_secs > 0 => {}
            (Doing::AskingForLease, Reply::TimeToLive(_) | Reply::KeepAlive(_)) => {
                self.lease = None;
            }
            (Doing::Putting, Reply::Put(reply)) => {
                if self.ways.rewrite.is_some_and(|rewrite| rewrite.lease == LeaseFirst::Ask) {
                    self.rewrite_at = self.next_rewrite(calls, around);
                }
                let (lease, _) = self.lease.filter(|_| !self.unwritten)?;
                let (revision, sequence) = (reply.header.revision, self.sequence);
                let event = RegistrationEvent::Registered { lease, revision, sequence };
                calls.tell(Event::Registration { id: self.id, event });
            }
            (Doing::Deleting, Reply::Delete(reply)) => {
                if self.ways.removal != Removal::DeleteAndTidy || reply.deleted == 0 {
                    return Some(Wish::Over(Gone::Deregistered));
                }
                let keys = KeyRange::prefix([self.group(), b"/"].concat());
                let count = Range { count_only: true, ..Range::of(keys) };
                self.ask(calls, Doing::Counting, Request::Range(count));
            }
            (Doing::Counting, Reply::Range(reply)) if reply.count == 0 => {
                let keys = KeyRange::prefix(self.group().to_vec());
                self.ask(calls, Doing::DeletingGroup, delete(keys));
            }
            // What fails in tidying up is let be.
            (Doing::Counting | Doing::DeletingGroup, _) => {
                return Some(Wish::Over(Gone::Deregistered));
            }
            (Doing::Deleting, _) => return Some(Wish::Over(Gone::Unconfirmed)),
            (_, Reply::Failed(error)) => self.failed(calls, error),
            (_, _) => {}
        }
        None
    }

    pub fn next_timeout(&self) -> Option<Time> {
        let again = [self.again, self.rewrite_at].into_iter().flatten();
        let again = again.filter(|_| self.doing == Doing::Nothing);
        self.keepers.iter().map(Keeper::next_timeout).chain(again).min()
    }

    fn next_rewrite(&self, calls: &Calls, around: Around<'_>) -> Option<Time> {
        let Rewrite { tenths, .. } = self.ways.rewrite?;
        Some(calls.now() + around.ttl / 10 * tenths)
    }

    fn granted(&mut self, calls: &Calls, lease: LeaseId, ttl: Duration) {
        self.lease = Some((lease, calls.now() + ttl));
        let renews_itself =
            self.ways.rewrite.is_some_and(|rewrite| rewrite.lease == LeaseFirst::Renew);
        if !renews_itself {
            let why = Why::Renewal(Some(self.id), lease);
            self.keepers.push(Keeper::new(calls, why, lease, ttl));
        }
    }

    fn put(&mut self, calls: &mut Calls, around: Around<'_>, lease: LeaseId) -> Option<Wish> {
        let stamp = Stamp { run: around.run, registration: self.id.0, sequence: self.sequence };
        match around.layout.encode_instance(&self.instance, stamp) {
            Ok(mut written) => {
                let value = written.pop().map(|written| written.value).unwrap_or_default();
                self.unwritten = false;
                let key = self.key.clone();
                let put = Put { key, value, lease: Some(lease), ..Put::default() };
                self.ask(calls, Doing::Putting, Request::Put(put));
                None
            }
            Err(error) => Some(Wish::Over(Gone::Refused { reason: error.to_string() })),
        }
    }

    fn failed(&mut self, calls: &mut Calls, error: StoreError) {
        if error == StoreError::LeaseNotFound && self.ways.retry.is_some() {
            self.lease = None;
        }
        self.unwritten = self.ways.retry.is_some();
        self.again = self.ways.retry.map(|pause| calls.now() + pause);
        let event = RegistrationEvent::Denied { error };
        calls.tell(Event::Registration { id: self.id, event });
    }

    fn ask(&mut self, calls: &mut Calls, doing: Doing, request: Request) {
        self.doing = doing;
        calls.ask(Why::Hold(self.id), request);
    }

    /// What the keys of its group begin with, and those of groups with longer names.
    fn group(&self) -> &[u8] {
        let end = self.key.iter().rposition(|&byte| byte == b'/').unwrap_or(self.key.len());
        &self.key[..end]
    }
}

fn delete(keys: KeyRange) -> Request {
    Request::Delete(DeleteRange { keys, prev_kv: false })
}
