//! Users, roles, and who may do what, from `server/auth/store.go` and
//! `server/etcdserver/apply_auth.go`.

use std::collections::{BTreeMap, BTreeSet};

use portolan_core::waist::{
    Code, Compare, DeleteRange, Key, KeyRange, LeaseId, Op, Put, StoreError, Txn,
};

use crate::pass::Password;
use crate::state::{Command, Lease};
use crate::{Access, Admin, Credentials, Operation, Outcome, Permission, Quirks};

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
    /// Without one nobody can log in as it.
    password: Option<Password>,
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
    pub(crate) fn check(&self, credentials: &Credentials) -> Result<(), StoreError> {
        let user = self.users.get(&credentials.user).ok_or(StoreError::AuthFailed)?;
        match &user.password {
            Some(password) if *password == credentials.password => Ok(()),
            Some(_) => Err(StoreError::AuthFailed),
            None => {
                let words = "authentication failed, password was given for no password user";
                Err(in_raw_words(words))
            }
        }
    }

    /// What comes of an operation on users and roles: `AuthStore` in `server/auth/store.go`.
    pub(crate) fn operate(
        &mut self,
        operation: &Operation,
        quirks: &Quirks,
    ) -> Result<Outcome, StoreError> {
        match operation {
            Operation::Admin(admin) => {
                if self.change(admin, quirks)? {
                    self.revision += 1;
                }
                Ok(Outcome::Done)
            }
            Operation::AuthStatus => {
                Ok(Outcome::AuthStatus { enabled: self.enabled, revision: self.revision })
            }
            Operation::Users => Ok(Outcome::Names(self.users.keys().cloned().collect())),
            Operation::User { user } => {
                let user = self.users.get(user).ok_or_else(user_not_found)?;
                Ok(Outcome::Names(user.roles.iter().cloned().collect()))
            }
            Operation::Roles => Ok(Outcome::Names(self.roles.keys().cloned().collect())),
            Operation::Role { role } => {
                Ok(Outcome::Permissions(self.roles.get(role).ok_or_else(role_not_found)?.clone()))
            }
            // Not of users and roles.
            Operation::Alarms | Operation::SetAlarm { .. } | Operation::Kept { .. } => {
                Ok(Outcome::Done)
            }
        }
    }

    /// Whether anything is another now that a token may depend on.
    fn change(&mut self, admin: &Admin, quirks: &Quirks) -> Result<bool, StoreError> {
        // Who has everything cannot lose it while that matters.
        let keep = |is_root: bool| if self.enabled && is_root { Err(not_to_be()) } else { Ok(()) };
        match admin {
            Admin::Enable => {
                if !self.enabled {
                    self.users.get(ROOT).ok_or_else(no_root)?;
                    self.is_root(ROOT).then_some(()).ok_or_else(root_without_role)?;
                    self.enabled = true;
                }
                return Ok(false);
            }
            Admin::Disable => return Ok(std::mem::take(&mut self.enabled)),
            Admin::AddUser(Credentials { user, password }) => {
                self.add_user(user, Some(password.clone()))?;
            }
            Admin::AddUserWithoutPassword { user } => self.add_user(user, None)?,
            Admin::DeleteUser { user } => {
                keep(user == ROOT)?;
                self.users.remove(user).ok_or_else(user_not_found)?;
            }
            Admin::ChangePassword(Credentials { user, password }) => {
                let user = self.users.get_mut(user).ok_or_else(user_not_found)?;
                // Who has none gets none, and nobody is told so.
                if user.password.is_some() {
                    user.password = Some(password.clone());
                }
            }
            Admin::AddRole { role } => {
                if role.is_empty() {
                    return Err(refused(Code::InvalidArgument, "role name is empty"));
                }
                if self.roles.contains_key(role) {
                    return Err(refused(Code::FailedPrecondition, "role name already exists"));
                }
                self.roles.insert(role.clone(), Vec::new());
            }
            Admin::DeleteRole { role } => {
                keep(role == ROOT)?;
                self.roles.remove(role).ok_or_else(role_not_found)?;
                for user in self.users.values_mut() {
                    user.roles.remove(role);
                }
            }
            Admin::GrantRole { user, role } => {
                let user = self.users.get_mut(user).ok_or_else(user_not_found)?;
                // The role root need not have been added.
                if role != ROOT && !self.roles.contains_key(role) {
                    return Err(role_not_found());
                }
                return Ok(user.roles.insert(role.clone()));
            }
            Admin::RevokeRole { user, role } => {
                keep(user == ROOT && role == ROOT)?;
                let user = self.users.get_mut(user).ok_or_else(user_not_found)?;
                if !user.roles.remove(role) {
                    let words = "role is not granted to the user";
                    return Err(refused(Code::FailedPrecondition, words));
                }
            }
            Admin::GrantPermission { role, permission } => {
                if !quirks.permissions_unchecked && !is_some_range(&permission.keys) {
                    return Err(not_to_be());
                }
                let permissions = self.roles.get_mut(role).ok_or_else(role_not_found)?;
                permissions.retain(|old| old.keys != permission.keys);
                permissions.push(permission.clone());
                permissions.sort_by(|one, other| one.keys.key.cmp(&other.keys.key));
            }
            Admin::RevokePermission { role, keys } => {
                let permissions = self.roles.get_mut(role).ok_or_else(role_not_found)?;
                let before = permissions.len();
                permissions.retain(|old| old.keys != *keys);
                if permissions.len() == before {
                    let words = "permission is not granted to the role";
                    return Err(refused(Code::FailedPrecondition, words));
                }
            }
        }
        Ok(true)
    }

    fn add_user(&mut self, user: &str, password: Option<Password>) -> Result<(), StoreError> {
        if user.is_empty() {
            return Err(StoreError::NoToken);
        }
        if self.users.contains_key(user) {
            return Err(refused(Code::FailedPrecondition, "user name already exists"));
        }
        self.users.insert(user.to_owned(), User { password, roles: BTreeSet::new() });
        Ok(())
    }

    fn has_role(&self, user: &str, role: &str) -> bool {
        self.users.get(user).is_some_and(|user| user.roles.contains(role))
    }

    fn is_root(&self, user: &str) -> bool {
        self.has_role(user, ROOT)
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
            Command::Compact(_) | Command::Grant { .. } | Command::Authenticate { .. } => Ok(()),
            Command::Operate(operation) => self.operation(operation),
        }
    }

    /// Who may ask for an operation (`server/etcdserver/apply_auth.go`).
    pub(crate) fn operation(self, operation: &Operation) -> Result<(), StoreError> {
        let own = match (operation, self.who) {
            (Operation::User { user }, Who::User { name, .. }) => user == name,
            (Operation::Role { role }, Who::User { name, .. }) => self.auth.has_role(name, role),
            (
                Operation::Admin(_)
                | Operation::AuthStatus
                | Operation::Users
                | Operation::User { .. }
                | Operation::Roles
                | Operation::Role { .. }
                | Operation::Kept { .. },
                _,
            ) => false,
            (Operation::Alarms | Operation::SetAlarm { .. }, _) if self.quirks.auth_gaps => true,
            (Operation::Alarms, _) => return self.somebody(),
            (Operation::SetAlarm { .. }, _) => false,
        };
        if own {
            return Ok(());
        }
        let asked = self.root();
        if !self.quirks.hash_refused_raw || !matches!(operation, Operation::Kept { .. }) {
            return asked;
        }
        asked.map_err(|error| {
            let is_anonymous = error == StoreError::NoToken;
            in_raw_words(if is_anonymous { "user name is empty" } else { "permission denied" })
        })
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

/// `isValidPermissionRange` in `server/auth/range_perm_cache.go`.
fn is_some_range(keys: &KeyRange) -> bool {
    !keys.key.is_empty() && !keys.is_void()
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

fn refused(code: Code, words: &str) -> StoreError {
    StoreError::Other { code, message: format!("etcdserver: {words}") }
}

/// What etcd forgets to put into words for clients.
fn in_raw_words(words: &str) -> StoreError {
    StoreError::Other { code: Code::Unknown, message: format!("auth: {words}") }
}

fn user_not_found() -> StoreError {
    refused(Code::FailedPrecondition, "user name not found")
}

fn role_not_found() -> StoreError {
    refused(Code::FailedPrecondition, "role name not found")
}

fn no_root() -> StoreError {
    refused(Code::FailedPrecondition, "root user does not exist")
}

fn root_without_role() -> StoreError {
    refused(Code::FailedPrecondition, "root user does not have root role")
}

fn not_to_be() -> StoreError {
    refused(Code::InvalidArgument, "invalid auth management")
}

const ROOT: &str = "root";
