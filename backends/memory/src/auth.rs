//! Users, roles, and who may do what, from `server/auth/store.go` and
//! `server/etcdserver/apply_auth.go`.

use std::collections::{BTreeMap, BTreeSet};

use portolan_core::waist::{
    Compare, DeleteRange, Key, KeyRange, LeaseId, Op, Put, StoreError, Txn,
};

use crate::pass::Password;
use crate::state::{Command, Lease};
use crate::{Access, Admin, Credentials, Permission, Quirks};

/// What the members agree on about users.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Auth {
    pub(crate) enabled: bool,
    /// Rises with each change of users and roles; what was asked under an older one is refused.
    pub(crate) revision: u64,
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Vec<Permission>>,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct User {
    password: Password,
    roles: BTreeSet<String>,
}

/// Whose request it is, as the member that was asked has found out.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) enum Who {
    /// No token, or nobody asks for one.
    Nobody,
    User {
        name: String,
        /// The revision of users and roles when the member looked.
        revision: u64,
    },
    /// The store itself.
    Store,
}

/// What one request is judged by.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) auth: &'a Auth,
    pub(crate) leases: &'a BTreeMap<LeaseId, Lease>,
    pub(crate) who: &'a Who,
    pub(crate) quirks: &'a Quirks,
}

impl Auth {
    pub(crate) fn new() -> Self {
        Self { enabled: false, revision: 1, users: BTreeMap::new(), roles: BTreeMap::new() }
    }

    /// Whether the name and the password are right.
    pub(crate) fn knows(&self, credentials: &Credentials) -> bool {
        let user = self.users.get(&credentials.user);
        user.is_some_and(|user| user.password == credentials.password)
    }

    /// Changes users or roles. What etcd refuses has no effect.
    pub(crate) fn administer(&mut self, admin: &Admin) {
        if let Admin::Enable = admin {
            self.enabled |= self.is_root(ROOT);
        } else if self.change(admin).is_some() {
            self.revision += 1;
        }
    }

    /// `None` where there is nothing to change.
    fn change(&mut self, admin: &Admin) -> Option<()> {
        // Who has everything cannot lose it while that matters.
        let is_kept = |name: &str| self.enabled && name == ROOT;
        match admin {
            Admin::Enable => return None,
            Admin::Disable => {
                if !std::mem::take(&mut self.enabled) {
                    return None;
                }
            }
            Admin::AddUser(Credentials { user, password }) => {
                if user.is_empty() || self.users.contains_key(user) {
                    return None;
                }
                let roles = BTreeSet::new();
                self.users.insert(user.clone(), User { password: password.clone(), roles });
            }
            Admin::DeleteUser { user } => {
                if is_kept(user) {
                    return None;
                }
                self.users.remove(user)?;
            }
            Admin::ChangePassword(Credentials { user, password }) => {
                self.users.get_mut(user)?.password = password.clone();
            }
            Admin::AddRole { role } => {
                if role.is_empty() || self.roles.contains_key(role) {
                    return None;
                }
                self.roles.insert(role.clone(), Vec::new());
            }
            Admin::DeleteRole { role } => {
                if is_kept(role) {
                    return None;
                }
                self.roles.remove(role)?;
                for user in self.users.values_mut() {
                    user.roles.remove(role);
                }
            }
            Admin::GrantRole { user, role } => {
                // The role root need not have been added.
                let is_known = role == ROOT || self.roles.contains_key(role);
                if !is_known || !self.users.get_mut(user)?.roles.insert(role.clone()) {
                    return None;
                }
            }
            Admin::RevokeRole { user, role } => {
                if is_kept(role) && is_kept(user) || !self.users.get_mut(user)?.roles.remove(role) {
                    return None;
                }
            }
            Admin::GrantPermission { role, permission } => {
                let permissions = self.roles.get_mut(role)?;
                permissions.retain(|old| old.keys != permission.keys);
                permissions.push(permission.clone());
            }
            Admin::RevokePermission { role, keys } => {
                let permissions = self.roles.get_mut(role)?;
                let before = permissions.len();
                permissions.retain(|old| old.keys != *keys);
                if permissions.len() == before {
                    return None;
                }
            }
        }
        Some(())
    }

    fn is_root(&self, user: &str) -> bool {
        self.users.get(user).is_some_and(|user| user.roles.contains(ROOT))
    }

    /// Whether the permissions of a user, joined where they touch, cover all of `keys`.
    fn covers(&self, user: &User, keys: &KeyRange, access: Access) -> bool {
        let given = user.roles.iter().filter_map(|role| self.roles.get(role)).flatten();
        let of_kind = |permission: &&Permission| {
            permission.access == access || permission.access == Access::ReadWrite
        };
        let mut spans: Vec<Span> = given.filter(of_kind).map(|each| span(&each.keys)).collect();
        spans.sort();
        let mut joined: Vec<Span> = Vec::new();
        for next in spans {
            match joined.last_mut() {
                Some(last) if End::At(next.start.clone()) <= last.end => {
                    last.end = last.end.clone().max(next.end);
                }
                Some(_) | None => joined.push(next),
            }
        }
        let wanted = span(keys);
        joined.iter().any(|held| {
            // Also of a range that ends before it begins, which holds nothing.
            let begins = held.start <= wanted.start && End::At(wanted.start.clone()) <= held.end;
            begins && wanted.end <= held.end
        })
    }
}

/// The keys from one on, up to an end.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
struct Span {
    start: Vec<u8>,
    end: End,
}

/// Where a range ends: before a key, or nowhere.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
enum End {
    At(Vec<u8>),
    Open,
}

impl Judge<'_> {
    /// Row A3, for what goes through consensus. Of a transaction every operation counts, whichever
    /// branch will run.
    pub(crate) fn command(self, command: &Command) -> Result<(), StoreError> {
        match command {
            Command::Put(put) => self.put(put),
            Command::Delete(delete) => self.delete(delete),
            Command::Txn(txn) => self.txn(txn),
            Command::Revoke { lease } => self.lease(*lease, Access::Write),
            Command::Compact(_)
            | Command::Grant { .. }
            | Command::Authenticate { .. }
            | Command::Admin(_) => Ok(()),
        }
    }

    pub(crate) fn read(self, keys: &KeyRange) -> Result<(), StoreError> {
        self.may(keys, Access::Read)
    }

    fn put(self, put: &Put) -> Result<(), StoreError> {
        self.key(&put.key, Access::Write)?;
        if let Some(lease) = put.lease {
            // Who could not revoke the lease may not bind more to it.
            self.lease(lease, Access::Write)?;
        }
        if put.prev_kv { self.key(&put.key, Access::Read) } else { Ok(()) }
    }

    fn delete(self, delete: &DeleteRange) -> Result<(), StoreError> {
        self.may(&delete.keys, Access::Write)?;
        if delete.prev_kv { self.read(&delete.keys) } else { Ok(()) }
    }

    pub(crate) fn txn(self, txn: &Txn) -> Result<(), StoreError> {
        for Compare { keys, .. } in &txn.compares {
            self.read(keys)?;
        }
        for op in txn.then.iter().chain(&txn.or_else) {
            match op {
                Op::Range(range) => self.read(&range.keys)?,
                Op::Put(put) if self.quirks.auth_gaps => self.key(&put.key, Access::Write)?,
                Op::Put(put) => self.put(put)?,
                Op::Delete(delete) => self.delete(delete)?,
                Op::Txn(_) if self.quirks.auth_gaps => {}
                Op::Txn(nested) => self.txn(nested)?,
            }
        }
        Ok(())
    }

    /// Whether all keys of a lease may be accessed.
    pub(crate) fn lease(self, lease: LeaseId, access: Access) -> Result<(), StoreError> {
        let keys = self.leases.get(&lease).map(|lease| &lease.keys);
        keys.into_iter().flatten().try_for_each(|key| self.key(key, access))
    }

    /// Whether it is anybody at all.
    pub(crate) fn somebody(self) -> Result<(), StoreError> {
        match self.who {
            Who::Nobody if self.auth.enabled => Err(StoreError::NoToken),
            Who::Nobody | Who::User { .. } | Who::Store => Ok(()),
        }
    }

    /// Whether it is an administrator.
    pub(crate) fn root(self) -> Result<(), StoreError> {
        self.somebody()?;
        match self.who {
            Who::User { name, .. } if self.auth.enabled && !self.auth.is_root(name) => {
                Err(StoreError::PermissionDenied)
            }
            Who::Nobody | Who::User { .. } | Who::Store => Ok(()),
        }
    }

    fn key(self, key: &Key, access: Access) -> Result<(), StoreError> {
        self.may(&KeyRange::one(key.clone()), access)
    }

    fn may(self, keys: &KeyRange, access: Access) -> Result<(), StoreError> {
        if !self.auth.enabled {
            return Ok(());
        }
        self.somebody()?;
        let Who::User { name, revision } = self.who else { return Ok(()) };
        if *revision < self.auth.revision {
            return Err(StoreError::OldAuthRevision);
        }
        let user = self.auth.users.get(name).ok_or(StoreError::PermissionDenied)?;
        if self.auth.is_root(name) || self.auth.covers(user, keys, access) {
            return Ok(());
        }
        Err(StoreError::PermissionDenied)
    }
}

fn span(keys: &KeyRange) -> Span {
    let start = keys.key.to_vec();
    let end = match &*keys.end {
        // A single key ends right before the next one that there can be.
        [] => End::At([&start[..], &[0]].concat()),
        [0] => End::Open,
        end => End::At(end.to_vec()),
    };
    Span { start, end }
}

const ROOT: &str = "root";
