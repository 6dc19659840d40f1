//! What a tape says: a small configuration, and then who asks for what.
//!
//! Requests as they come from a tape seldom meet: most steps name few keys and leases, and
//! revisions as seen from the present.

use std::time::Duration;

use portolan_core::waist::{
    AttemptId, Compact, Compare, DeleteRange, Grant, KeepAlive, Key, KeyRange, LeaseId, Op,
    Ordering, Put, Range, Request, Revision, Revoke, Target, TimeToLive, Txn, Watch, WatchFilter,
    WatchSay,
};
use portolan_memory::{Access, Admin, Config, Credentials, Fault, Limits, Operation, Permission};
use serde::{Deserialize, Serialize};

/// What a store is configured with, and when a copy of it is taken.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) members: u8,
    pub(super) release: u8,
    /// 0: as many as etcd lets.
    pub(super) txn_ops: u8,
    pub(super) stream_bytes: Option<u16>,
    pub(super) history_bytes: Option<u16>,
    pub(super) quota_bytes: Option<u16>,
    pub(super) fragment_bytes: Option<u16>,
    pub(super) is_talkative: bool,
    pub(super) is_leaderless: bool,
    pub(super) has_users: bool,
    pub(super) copied_after: u8,
}

/// Who asks which member for what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Act {
    pub(super) by: u8,
    pub(super) member: u8,
    pub(super) step: Step,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Step {
    Put(Write),
    Delete(Erase),
    Txn(Branches),
    /// A lease, and how many seconds.
    Grant(u8, u8),
    Revoke(u8),
    KeepAlive(u8),
    TimeToLive(u8),
    /// Keys as they were so many revisions ago.
    Read(Names, u8),
    /// Up to so many revisions ago.
    Compact(u8),
    Watch(View),
    /// One more on a stream, by how many were opened after it.
    Another(u8, View),
    Unwatch(u8, i8),
    AskProgress(u8),
    /// So many quarters of what lies before a stream are taken.
    Take(u8, u8),
    /// So many milliseconds.
    Wait(u16),
    /// What was asked so many attempts ago is given up.
    Cancel(u8),
    Disconnect,
    Login,
    Fault(Fault),
    /// A request as it is; what is said on a stream is said on a recent one.
    Ask(Box<Request>),
    Operate(Box<Operation>),
    Admin(Box<Admin>),
}

/// `flags`: 1, the former record is wanted; 2 and 4, value and lease stay as they are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Write {
    pub(super) key: u8,
    pub(super) value: u8,
    /// 0: none.
    pub(super) lease: u8,
    pub(super) flags: u8,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Erase {
    pub(super) keys: Names,
    pub(super) prev_kv: bool,
}

/// `to`: 0, this key alone; 1, all keys; 2, this key and all after it; above, up to that one.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Names {
    pub(super) from: u8,
    pub(super) to: u8,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Branches {
    pub(super) guesses: Vec<Guess>,
    pub(super) then: Vec<Deed>,
    pub(super) or_else: Vec<Deed>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Guess {
    pub(super) keys: Names,
    pub(super) target: u8,
    pub(super) result: Ordering,
    pub(super) number: u8,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Deed {
    Put(Write),
    Delete(Erase),
    Read(Names),
    Txn(Branches),
}

/// `start`: 0, from now on; else so many revisions before the third to come. `flags`, by bits: former
/// records, progress, no puts, no deletes, in parts. `id`: 0, the store chooses.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct View {
    pub(super) keys: Names,
    pub(super) start: u8,
    pub(super) flags: u8,
    pub(super) id: i8,
}

const RELEASES: [&str; 6] = ["3.7.0", "3.4.23", "3.5.8", "3.5.16", "3.5.30", "3.6.5"];

impl Setup {
    pub(super) fn config(&self) -> Config {
        let release = RELEASES[usize::from(self.release) % RELEASES.len()];
        let config = Config::of_version(release).expect("a version");
        let config = config.members(1 + u16::from(self.members) % 3);
        let limits = Limits {
            stream_bytes: self.stream_bytes.map(u64::from),
            quota_bytes: self.quota_bytes.map(u64::from),
            history_bytes: self.history_bytes.map(u64::from),
        };
        Config {
            max_txn_ops: if self.txn_ops == 0 { 128 } else { usize::from(self.txn_ops) },
            sync_revisions: 2,
            sync_watchers: 2,
            fragment_bytes: self.fragment_bytes.map(u64::from),
            limits,
            progress_interval: Duration::from_secs(if self.is_talkative { 2 } else { 600 }),
            require_leader: !self.is_leaderless,
            ..config
        }
    }

    /// Three users: one who may do everything, one with some rights, one without any.
    pub(super) fn users(&self) -> Vec<Admin> {
        if !self.has_users {
            return Vec::new();
        }
        let user = |name: &str| Admin::AddUser(credentials(name));
        let grant =
            |user: &str, role: &str| Admin::GrantRole { user: user.into(), role: role.into() };
        let may = |keys, access| {
            let permission = Permission { keys, access };
            Admin::GrantPermission { role: "a".to_owned(), permission }
        };
        vec![
            user("root"),
            user("a"),
            user("b"),
            grant("root", "root"),
            Admin::AddRole { role: "a".to_owned() },
            may(KeyRange::span("a", "d"), Access::ReadWrite),
            may(KeyRange::one("d"), Access::Read),
            grant("a", "a"),
            Admin::Enable,
        ]
    }
}

/// Of a user whose password is their name.
pub(super) fn credentials(name: &str) -> Credentials {
    Credentials::new(name, name)
}

impl Step {
    /// What is asked of a store at `present`; `None` for what is no request, or one on a stream.
    pub(super) fn request(&self, present: Revision) -> Option<Request> {
        let back = |back: u8| Revision(present.0 - i64::from(back));
        Some(match self {
            Self::Put(write) => Request::Put(write.put()),
            Self::Delete(erase) => Request::Delete(erase.delete()),
            Self::Txn(branches) => Request::Txn(branches.txn(present)),
            Self::Grant(id, ttl) => {
                Request::Grant(Grant { lease: lease(*id), ttl_secs: i64::from(*ttl) })
            }
            Self::Revoke(id) => Request::Revoke(Revoke { lease: lease(*id)? }),
            Self::KeepAlive(id) => Request::KeepAlive(KeepAlive { lease: lease(*id)? }),
            Self::TimeToLive(id) => {
                Request::TimeToLive(TimeToLive { lease: lease(*id)?, keys: true })
            }
            Self::Read(names, ago) => {
                Request::Range(Range { revision: back(*ago), ..Range::of(names.range()) })
            }
            Self::Compact(ago) => {
                Request::Compact(Compact { revision: back(*ago), physical: false })
            }
            Self::Watch(view) => Request::Watch(view.watch(present)),
            Self::Login => Request::Authenticate,
            Self::Ask(request) => (**request).clone(),
            Self::Another(..)
            | Self::Unwatch(..)
            | Self::AskProgress(_)
            | Self::Take(..)
            | Self::Wait(_)
            | Self::Cancel(_)
            | Self::Disconnect
            | Self::Fault(_)
            | Self::Operate(_)
            | Self::Admin(_) => return None,
        })
    }

    /// What is said on a stream, and on which, from the last one on.
    pub(super) fn say(&self, present: Revision) -> Option<(u8, WatchSay)> {
        match self {
            Self::Another(stream, view) => Some((*stream, WatchSay::Create(view.watch(present)))),
            Self::Unwatch(stream, id) => Some((*stream, WatchSay::Cancel { id: (*id).into() })),
            Self::AskProgress(stream) => Some((*stream, WatchSay::Progress)),
            _ => None,
        }
    }
}

impl Write {
    fn put(&self) -> Put {
        let ignore_value = self.flags & 2 != 0;
        let value = if ignore_value { Vec::new() } else { vec![self.value; self.value.into()] };
        Put {
            key: key(self.key),
            value: value.into(),
            lease: lease(self.lease),
            prev_kv: self.flags & 1 != 0,
            ignore_value,
            ignore_lease: self.flags & 4 != 0,
        }
    }
}

impl Erase {
    fn delete(&self) -> DeleteRange {
        DeleteRange { keys: self.keys.range(), prev_kv: self.prev_kv }
    }
}

impl Names {
    fn range(self) -> KeyRange {
        let from = key(self.from);
        match self.to {
            0 => KeyRange::one(from),
            1 => KeyRange::all(),
            2 => KeyRange::from_key(from),
            to => KeyRange::span(from, key(to)),
        }
    }
}

impl Branches {
    fn txn(&self, present: Revision) -> Txn {
        let ops = |deeds: &[Deed]| deeds.iter().map(|deed| deed.op(present)).collect();
        Txn {
            compares: self.guesses.iter().map(|guess| guess.compare(present)).collect(),
            then: ops(&self.then),
            or_else: ops(&self.or_else),
        }
    }
}

impl Deed {
    fn op(&self, present: Revision) -> Op {
        match self {
            Self::Put(write) => Op::Put(write.put()),
            Self::Delete(erase) => Op::Delete(erase.delete()),
            Self::Read(names) => Op::Range(Range::of(names.range())),
            Self::Txn(branches) => Op::Txn(branches.txn(present)),
        }
    }
}

impl Guess {
    fn compare(&self, present: Revision) -> Compare {
        let ago = Revision(present.0 - i64::from(self.number));
        let target = match self.target % 5 {
            0 => Target::Version(self.number.into()),
            1 => Target::CreateRevision(ago),
            2 => Target::ModRevision(ago),
            3 => Target::Value(vec![self.number; self.number.into()].into()),
            _ => Target::Lease(lease(self.number)),
        };
        Compare { keys: self.keys.range(), result: self.result, target }
    }
}

impl View {
    fn watch(&self, present: Revision) -> Watch {
        let has = |bit: u8| self.flags & (1 << bit) != 0;
        let start = match self.start {
            0 => Revision::ZERO,
            back => Revision(present.0 + 3 - i64::from(back)),
        };
        let filters = [(2, WatchFilter::NoPut), (3, WatchFilter::NoDelete)];
        Watch {
            keys: self.keys.range(),
            start,
            id: self.id.into(),
            prev_kv: has(0),
            progress: has(1),
            filters: filters.into_iter().filter(|(bit, _)| has(*bit)).map(|(_, f)| f).collect(),
            fragment: has(4),
        }
    }
}

/// One of five.
fn key(number: u8) -> Key {
    Key::from(&[b'a' + number % 5][..])
}

/// One of four, or none for 0.
fn lease(number: u8) -> Option<LeaseId> {
    if number == 0 { None } else { LeaseId::new(1 + i64::from(number - 1) % 4) }
}

/// A request from a tape, on `stream` if it is said on one.
pub(super) fn redirected(request: Request, stream: AttemptId) -> Request {
    match request {
        Request::OnWatch { say, .. } => Request::OnWatch { stream, say },
        other => other,
    }
}
