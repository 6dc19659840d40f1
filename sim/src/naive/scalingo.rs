//! Scalingo's `etcd-discovery`, version 8, on records of etcd's third API, which it does not have.
//!
//! A host is written whole each four fifths of its time to live, which is also what renews it
//! (`register.go`). One that leaves stops writing: its delete is sent with a context that is cancelled
//! already. A subscription begins now; on any failure it ends, and is taken up from now on a second
//! later, as the service's own watch is (`register.go`: `watch`). Lists are no quorum reads.
//!
//! Kinder than the original: readers subscribe before they list, and subscribe again.

use std::time::Duration;

use super::ways::{Begin, Broken, Compacted, LeaseFirst, Lost, OnEvent, Removal, Rewrite, Ways};

pub(super) const WAYS: Ways = Ways {
    shared_lease: false,
    lost: Lost::Nothing,
    rewrite: Some(Rewrite { tenths: 8, lease: LeaseFirst::Renew }),
    retry: Some(SECOND),
    removal: Removal::Leave,
    timeout: None,
    begin: Begin::NowThenList,
    on_event: OnEvent::Apply,
    stale_lists: true,
    bare_prefix: false,
    broken: Broken::FromNow { pause: SECOND },
    compacted: Compacted::FromNow { pause: SECOND },
};

const SECOND: Duration = Duration::from_secs(1);
