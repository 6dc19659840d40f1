//! LumeWeb's `etcd-registry`, as of 2024-12.
//!
//! A node is written again each half of its time to live. Its lease counts as over when its first
//! time is, however often it was renewed: so every second time another is granted, while the renewals
//! of all former ones go on, also of those that are lost (`etcdregistry.go`: `registerNode`,
//! `monitorKeepAlive`). Who removes the last node of a group deletes all that begins with the group's
//! name (`DeleteNode`). Watches begin now, and end without a word.
//!
//! Kinder than the original: readers watch before they list, and wait a second at most after a
//! failure, where the original's pauses grow for as long as all is well. Nor is a watch that has ended
//! read again and again, without a pause.

use std::time::Duration;

use super::ways::{Begin, Broken, Compacted, LeaseFirst, Lost, OnEvent, Removal, Rewrite, Ways};

pub(super) const WAYS: Ways = Ways {
    shared_lease: false,
    lost: Lost::Insist { pause: SECOND },
    rewrite: Some(Rewrite { tenths: 5, lease: LeaseFirst::Ask }),
    retry: Some(SECOND),
    removal: Removal::DeleteAndTidy,
    timeout: None,
    begin: Begin::NowThenList,
    on_event: OnEvent::Apply,
    stale_lists: false,
    bare_prefix: false,
    broken: Broken::Resume,
    compacted: Compacted::Deaf,
};

const SECOND: Duration = Duration::from_secs(1);
