//! go-kit's `sd/etcdv3`, as of 2024-03.
//!
//! A registration is a lease, a put and renewals, tried once; when the renewals end, nobody is told
//! (`client.go`: `Register`). An instancer lists, watches from now on and lists again for each answer
//! of the watch; it ends with the watch (`instancer.go`: `loop`). Its prefix is what the application
//! gave it, as in its own example without a separator at the end.
//!
//! Kinder than the original: each registration and each instancer has a client of its own. Sharing
//! one, a registration ends the watch and the renewals of what was there before.

use super::ways::{Begin, Broken, Compacted, Lost, OnEvent, Removal, Ways};

pub(super) const WAYS: Ways = Ways {
    shared_lease: false,
    lost: Lost::Nothing,
    rewrite: None,
    retry: None,
    removal: Removal::Delete,
    timeout: None,
    begin: Begin::ListThenNowThenList,
    on_event: OnEvent::ListAgain,
    stale_lists: false,
    bare_prefix: true,
    broken: Broken::Resume,
    compacted: Compacted::Deaf,
};
