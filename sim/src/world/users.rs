//! Who may do what in a store with users.

use portolan_core::waist::KeyRange;
use portolan_memory::{self as memory, Access, Admin, Credentials, Permission};

use super::World;
use crate::plan::{Rights, StoreFault};
use crate::trace::What;

/// What is wanted of the user that the processes are, and what the store has been told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash)]
pub(super) struct Users {
    rights: Rights,
    wrong_password: bool,
    /// The store could not agree on it yet.
    owed_rights: bool,
    owed_password: bool,
    /// It does not know them any more.
    lost: bool,
}

const USER: &str = "app";
const ROLE: &str = "app";

/// What the processes log in with.
pub(super) fn processes() -> Credentials {
    Credentials::new(USER, "right")
}

/// What strangers log in with: they may do everything.
pub(super) fn operator() -> Credentials {
    Credentials::new("root", "root")
}

impl World {
    pub(super) fn set_up_users(&mut self) {
        let role = ROLE.to_owned();
        let grant =
            |user: &str, role: &str| Admin::GrantRole { user: user.into(), role: role.into() };
        for admin in [
            Admin::AddUser(operator()),
            grant("root", "root"),
            Admin::AddRole { role },
            Admin::AddUser(processes()),
            grant(USER, ROLE),
            allow(Rights::All),
            Admin::Enable,
        ] {
            self.tell_store(memory::Input::Admin(admin));
        }
    }

    pub(super) fn set_rights(&mut self, may: Rights) {
        if self.setup.users && self.users.rights != may {
            self.users.rights = may;
            self.users.owed_rights = true;
            self.apply_rights();
        }
    }

    pub(super) fn set_password(&mut self, right: bool) {
        if self.setup.users {
            self.users.wrong_password = !right;
            self.users.owed_password = true;
            self.apply_rights();
        }
    }

    /// Everything is allowed again.
    pub(super) fn heal_users(&mut self) {
        self.set_rights(Rights::All);
        if self.users.wrong_password {
            self.set_password(true);
        }
    }

    /// Other data took the place of the store's: its operator sets up who is missing.
    pub(super) fn forget_users(&mut self, fault: StoreFault) {
        if self.setup.users {
            self.users.lost = fault != StoreFault::Restore;
            // Passwords and rights may be those of the backup.
            self.users.owed_rights = true;
            self.users.owed_password = true;
        }
    }

    /// Tells the store what it is owed, once it can agree on it.
    pub(super) fn apply_rights(&mut self) {
        if !self.store.works() {
            return;
        }
        if std::mem::take(&mut self.users.lost) {
            self.set_up_users();
        }
        if std::mem::take(&mut self.users.owed_rights) {
            self.tell_store(memory::Input::Admin(allow(self.users.rights)));
            self.note(What::Allowed(self.users.rights));
        }
        if std::mem::take(&mut self.users.owed_password) {
            let wrong = self.users.wrong_password;
            let credentials = Credentials::new(USER, if wrong { "wrong" } else { "right" });
            self.tell_store(memory::Input::Admin(Admin::ChangePassword(credentials)));
            self.note(What::PasswordSet { right: !wrong });
        }
    }
}

fn allow(rights: Rights) -> Admin {
    let (role, keys) = (ROLE.to_owned(), KeyRange::all());
    let access = match rights {
        Rights::All => Access::ReadWrite,
        Rights::Read => Access::Read,
        Rights::Nothing => return Admin::RevokePermission { role, keys },
    };
    Admin::GrantPermission { role, permission: Permission { keys, access } }
}
