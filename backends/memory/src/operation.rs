//! What an operator asks of a store: about users, roles and alarms, and what is kept.

use portolan_core::waist::{AttemptId, Header, KeyRange, KeyValue, Revision};
use serde::{Deserialize, Serialize};

use crate::{ClientId, Credentials};

/// What an operator asks of a member.
///
/// Of users and roles only somebody with the role `root` may ask while [`Admin::Enable`] holds, and
/// everybody of their own user and roles (`server/etcdserver/apply_auth.go`).
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// A change of users and roles.
    Admin(Admin),
    /// Whether requests need a user.
    AuthStatus,
    /// All users.
    Users,
    /// The roles of one.
    User {
        /// Its name.
        user: String,
    },
    /// All roles.
    Roles,
    /// What one may do.
    Role {
        /// Its name.
        role: String,
    },
    /// The members that have raised the alarm that their space is used up.
    Alarms,
    /// That alarm is raised for a member, or ends (row E2).
    SetAlarm {
        /// etcd's id of the member.
        member: u64,
        /// Whether it is raised.
        on: bool,
    },
    /// All that the member keeps up to a revision, as a hash of it is made of.
    Kept {
        /// The revision; 0: the present one.
        revision: Revision,
    },
}

/// A change of users and roles. It is agreed on like any write.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Admin {
    /// From now on requests need a user who may do them. Needs a user `root` with the role `root`.
    Enable,
    /// Everybody may do everything again.
    Disable,
    /// One user more, without a role.
    AddUser(Credentials),
    /// One user more, without a role, whom no password lets in.
    AddUserWithoutPassword {
        /// Its name.
        user: String,
    },
    /// One user less. Its tokens are worth nothing any more.
    DeleteUser {
        /// Its name.
        user: String,
    },
    /// Another password. The user's tokens are worth nothing any more.
    ChangePassword(Credentials),
    /// One role more, without a permission.
    AddRole {
        /// Its name.
        role: String,
    },
    /// One role less, of all its users too.
    DeleteRole {
        /// Its name.
        role: String,
    },
    /// A user gets a role. Whoever has the role `root` may do everything.
    GrantRole {
        /// The user.
        user: String,
        /// The role, which exists unless it is `root`.
        role: String,
    },
    /// A user loses a role.
    RevokeRole {
        /// The user.
        user: String,
        /// The role.
        role: String,
    },
    /// A role may do more; another permission for the very same keys is replaced.
    GrantPermission {
        /// The role.
        role: String,
        /// What it may do.
        permission: Permission,
    },
    /// A role loses the permission for exactly these keys.
    RevokePermission {
        /// The role.
        role: String,
        /// The keys.
        keys: KeyRange,
    },
}

/// What a role may do.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Permission {
    /// With which keys.
    pub keys: KeyRange,
    /// What.
    pub access: Access,
}

/// What may be done with keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
pub enum Access {
    /// Read and watch.
    Read,
    /// Put and delete.
    Write,
    /// Both.
    ReadWrite,
}

/// What an operator is told. A failure is told as any other, by an [`Output`](crate::Output).
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Operated {
    /// To whom.
    pub to: ClientId,
    /// In answer to which attempt.
    pub attempt: AttemptId,
    /// Whose word it is, and as of when.
    pub header: Header,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an [`Operation`].
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub enum Outcome {
    /// It is done.
    Done,
    /// Of [`Operation::AuthStatus`].
    AuthStatus {
        /// Whether requests need a user.
        enabled: bool,
        /// Rises with each change of users and roles.
        revision: u64,
    },
    /// All users, all roles, or the roles of a user, in order.
    Names(Vec<String>),
    /// What a role may do, by keys.
    Permissions(Vec<Permission>),
    /// The members that have an alarm, by etcd's ids; of [`Operation::SetAlarm`] the one that had, or
    /// has, if it is there.
    Alarms(Vec<u64>),
    /// Of [`Operation::Kept`].
    Kept {
        /// Up to which revision.
        revision: Revision,
        /// The last compaction; −1 before the first.
        compacted: Revision,
        /// Each change that is kept, in order, with its place within its revision. A version of 0 marks
        /// a delete.
        changes: Vec<(KeyValue, u32)>,
    },
}
