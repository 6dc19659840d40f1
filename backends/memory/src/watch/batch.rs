//! One answer of a watch: which events it holds, and in which parts it goes out.

use portolan_core::waist::{
    EventKind, KeyEvent, KeyRange, Revision, StoreError, WatchFilter, WatchReply,
};

use crate::size;
use crate::store::Store;

/// The next events of a watcher that is behind (row W8).
pub(super) struct Batch {
    pub(super) events: Vec<KeyEvent>,
    /// The first revision that did not fit.
    pub(super) more_from: Option<Revision>,
}

/// How much goes into one answer. One revision does in any case.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Distinct revisions.
    pub(super) revisions: usize,
    /// Bytes, after which no other revision begins; `None`: any number.
    pub(super) bytes: Option<u64>,
}

/// Collects the events of `keys` from `since` on that `prepare` wants, the last revision whole.
pub(super) fn collect(
    store: &Store,
    keys: &KeyRange,
    since: Revision,
    limits: Limits,
    prepare: impl Fn(&mut KeyEvent) -> bool,
) -> Batch {
    let mut batch = Batch { events: Vec::new(), more_from: None };
    let (mut seen, mut bytes) = (0, 0);
    let mut last = None;
    for mut event in store.events(keys, since) {
        if last != Some(event.kv.mod_revision) {
            let is_long = limits.bytes.is_some_and(|limit| bytes >= limit.max(1));
            if seen == limits.revisions.max(1) || is_long {
                batch.more_from = Some(event.kv.mod_revision);
                break;
            }
            seen += 1;
            last = Some(event.kv.mod_revision);
        }
        if prepare(&mut event) {
            bytes += size::event_weight(&event);
            batch.events.push(event);
        }
    }
    batch
}

/// Whether a filter drops `event` (row W10).
pub(super) fn is_filtered(filters: &[WatchFilter], event: &KeyEvent) -> bool {
    filters.iter().any(|filter| match filter {
        WatchFilter::NoPut => event.kind == EventKind::Put,
        WatchFilter::NoDelete => event.kind == EventKind::Delete,
    })
}

/// Adds what was there before, unless the event is a creation or the history is gone (row W11).
/// Below the last compaction the store holds nothing that could be found here.
pub(super) fn add_prev(store: &Store, event: &mut KeyEvent) {
    let is_creation =
        event.kind == EventKind::Put && event.kv.create_revision == event.kv.mod_revision;
    if !is_creation {
        let before = Revision(event.kv.mod_revision.0 - 1);
        event.prev = store.at(&event.kv.key, before).cloned();
    }
}

/// Splits an answer of `limit` bytes or more into parts below it, at least one event each (row
/// W14).
pub(super) fn fragments(mut reply: WatchReply, limit: u64) -> Vec<WatchReply> {
    if reply.events.len() < 2 || size::watch_reply(&reply) < limit {
        return vec![reply];
    }
    let events = std::mem::take(&mut reply.events);
    // Measured with the flag set, also for the last part, as etcd does.
    reply.fragment = true;
    let head = size::watch_reply_head(&reply);
    let mut parts = Vec::new();
    let mut part = reply.clone();
    let mut length = head;
    for event in events {
        let more = size::watch_event(&event);
        if !part.events.is_empty() && length + more >= limit {
            parts.push(std::mem::replace(&mut part, reply.clone()));
            length = head;
        }
        length += more;
        part.events.push(event);
    }
    part.fragment = false;
    parts.push(part);
    parts
}

/// Why a watch could not be created, in etcd's words (`server/storage/mvcc/watcher.go`).
pub(super) enum Refusal {
    EmptyRange,
    DuplicateId,
    NegativeStart,
    /// The user may not watch that, or is nobody.
    Denied(StoreError),
}

impl Refusal {
    pub(super) fn text(&self) -> String {
        match self {
            Self::EmptyRange => "mvcc: watcher range is empty".to_owned(),
            Self::DuplicateId => "mvcc: duplicate watch ID provided on the WatchStream".to_owned(),
            Self::NegativeStart => StoreError::Compacted.to_string(),
            // As Go prints a gRPC status.
            Self::Denied(error) => format!("rpc error: code = {:?} desc = {error}", error.code()),
        }
    }
}
