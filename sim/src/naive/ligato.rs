//! ligato's `cn-infra`, as of 2023-08.
//!
//! All records hang on one lease, asked for once and never again: when it is lost nobody is told, and
//! later puts fail (`db/keyval/etcd/bytes_broker_impl.go`). A reader lists, watches from now on, and
//! lists once more when agents resync at their start. A watch whose next events are compacted goes on
//! at the oldest revision that there is, without a list: deletes before it are never told
//! (`startWatching`).

use std::time::Duration;

use super::ways::{Begin, Broken, Compacted, Lost, OnEvent, Removal, Ways};

pub(super) const WAYS: Ways = Ways {
    shared_lease: true,
    lost: Lost::Nothing,
    rewrite: None,
    retry: None,
    removal: Removal::Delete,
    timeout: Some(Duration::from_secs(3)),
    begin: Begin::ListThenNowThenList,
    on_event: OnEvent::Apply,
    stale_lists: false,
    bare_prefix: false,
    broken: Broken::Resume,
    compacted: Compacted::AtOldest,
};
