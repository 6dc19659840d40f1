//! etcd's `naming` package, as of 3.6.
//!
//! Endpoints are registered as etcd's own proxy does: a session's lease, a put, and all of it again
//! at most once a second when the session ends (`server/proxy/grpcproxy/register.go`). The resolver
//! takes a list that may be old and watches from the revision after it; when the watch ends it keeps
//! what it has, for ever (`endpoints_impl.go`: `watch`; `resolver.go`: `watch`).
//!
//! Kinder than the original: an empty list is told as such.

use std::time::Duration;

use super::ways::{Begin, Broken, Compacted, Lost, OnEvent, Removal, Ways};

pub(super) const WAYS: Ways = Ways {
    shared_lease: false,
    lost: Lost::Replace { pause: SECOND },
    rewrite: None,
    retry: Some(SECOND),
    removal: Removal::Delete,
    timeout: None,
    begin: Begin::ListThenNext,
    on_event: OnEvent::Apply,
    stale_lists: true,
    bare_prefix: false,
    broken: Broken::Resume,
    compacted: Compacted::Deaf,
};

const SECOND: Duration = Duration::from_secs(1);
