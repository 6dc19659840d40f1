//! The waist: etcd's own vocabulary as plain data.
//!
//! Above it nothing knows gRPC or a runtime; below it nothing knows what a registration is.
//! One conformance suite holds every store to these words.

mod backend;
mod bytes;
mod error;
mod kv;
mod reply;
mod request;
mod show;
mod size;

pub use backend::{AttemptId, Backend, MemberId};
pub use bytes::{Key, Value};
pub use error::{Certainty, Code, StoreError};
pub use kv::{EventKind, Header, KeyEvent, KeyRange, KeyValue, LeaseId, Revision};
pub use reply::{
    CompactReply, DeleteReply, GrantReply, KeepAliveReply, LeasesReply, MemberInfo, MembersReply,
    OpReply, PutReply, RangeReply, Reply, RevokeReply, StatusReply, TimeToLiveReply, TxnReply,
    WatchReply,
};
pub use request::{
    Compact, Compare, DeleteRange, Grant, KeepAlive, Op, Ordering, Put, Range, Request, Revoke,
    Sort, SortTarget, Target, TimeToLive, Txn, Watch, WatchFilter, WatchSay,
};
